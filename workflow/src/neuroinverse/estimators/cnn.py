"""The CNN regressors in Keras 3: the published body and the residual one, in one vocabulary."""

import numpy as np

from neuroinverse.estimators.architecture import ACTIVATION, BIAS, is_residual, kernels, layer_shapes
from neuroinverse.estimators.heads import add_head
from neuroinverse.features import feature_shape, split
from neuroinverse.features.chain import apply_features
from neuroinverse.parameters import ParameterSpace
from neuroinverse.simulators.base import Signal

# variance, in the unit of a feature, that is taken for that of what never changes
LEAST_VARIANCE = 1e-12


def feature_model(signal: Signal, features: list):
    """The features that need no fitting: what a training computes once.

    Args:
        signal: The input.
        features: The study's feature chain.

    Returns:
        Keras model, input (batch, time, channel) float32 in the signal's unit, output (batch, time or frequency,
        channel); None where the chain begins with a feature that is fitted.
    """
    import keras

    first = split(features)[0]
    if not first:
        return None
    inputs = signal_input(signal)
    return keras.Model(inputs, apply_features(inputs, first, signal), name="features")


def signal_input(signal: Signal):
    import keras

    channels = signal.shape[1] if len(signal.shape) > 1 else 1
    return keras.Input((signal.shape[0], channels), name=signal.name, dtype="float32")


def build_models(signal: Signal, features: list, hyperparameters: dict, n_outputs: int, fit_feature, first=None):
    """Builds the network: physical signal in, unit parameters out.

    Args:
        signal: The input.
        features: The study's feature chain.
        hyperparameters: Complete hyper-parameters.
        n_outputs: Number of parameters.
        fit_feature: See `apply_features`; it is given what `first` makes of signals.
        first: Output of `feature_model`.

    Returns:
        Two Keras models that share their weights: the whole, input (batch, time, channel) float32, output as of
        `add_head`; and what is trained, which takes the output of `first`.

    Raises:
        ConfigError: If pooling uses up the input, naming the layer.
    """
    import keras

    begin = signal_input(signal) if first is None else first.output
    x = body(begin, signal, features, hyperparameters, fit_feature)
    x = add_head(x, hyperparameters, n_outputs, "output" in hyperparameters.get("bias", BIAS))
    whole = keras.Model(begin if first is None else first.input, x, name="unit_model")
    return whole, whole if first is None else keras.Model(begin, x, name="trained_model")


def body(begin, signal: Signal, features: list, hyperparameters: dict, fit_feature):
    """Builds a network up to its last hidden layer; features alone where it has neither convolutions nor dense layers.

    Args:
        begin: What the graph begins with: the signal, or what `feature_model` makes of it.
        signal: The signal.
        features: The study's feature chain.
        hyperparameters: Complete hyper-parameters.
        fit_feature: See `apply_features`; it is given what the graph begins with.

    Returns:
        The last hidden layer, shape (batch, width).

    Raises:
        ConfigError: If pooling uses up the input, naming the layer.
    """
    import keras

    h = hyperparameters
    activation = {"leaky_relu": keras.layers.LeakyReLU, "relu": keras.layers.ReLU}[h.get("activation", ACTIVATION)]
    bias = {kind: kind in h.get("bias", BIAS) for kind in BIAS}
    x = apply_features(begin, split(features)[1], signal, fit_feature)
    if "augment" in h:
        # of training alone: a prediction passes it unchanged
        x = keras.layers.GaussianNoise(h["augment"]["noise"], name="noise")(x)
    if "conv_filter" in h:
        layer_shapes(*feature_shape(features, signal), h)
        x = _residual_body(x, h, activation) if is_residual(h) else _plain_body(x, h, activation, bias["conv"])
    x = keras.layers.Flatten(name="flatten")(x)
    for i, width in enumerate(h["fc_dims"], start=1):
        x = keras.layers.Dense(width, use_bias=bias["fc"], name=f"fc_{i}")(x)
        x = activation()(x)
        if h["dropFrac"] > 0:
            x = keras.layers.Dropout(h["dropFrac"], name=f"drop_{i}")(x)
    return x


def _plain_body(x, h: dict, activation, bias: bool):
    import keras

    for block, (filters, kernel) in enumerate(zip(h["conv_filter"], kernels(h), strict=True), start=1):
        for repeat in range(1, h["conv_repeat"] + 1):
            name = f"conv_{block}_{repeat}"
            x = keras.layers.Conv1D(filters, kernel, padding=h["conv_padding"], use_bias=bias, name=name)(x)
            x = activation()(x)
        x = keras.layers.MaxPooling1D(h["pool_len"], name=f"pool_{block}")(x)
    return x


def _residual_body(x, h: dict, activation):
    import keras

    def convolution(x, filters: int, kernel: int, name: str, strides: int = 1):
        x = keras.layers.Conv1D(filters, kernel, strides, padding="same", use_bias=False, name=name)(x)
        # its statistics need single precision; few batches make an epoch here, so they follow faster than Keras' 0.99
        return keras.layers.BatchNormalization(momentum=0.9, dtype="float32", name=f"{name}_norm")(x)

    x = activation()(convolution(x, h["conv_filter"][0], h["stem"]["length"], "stem", h["stem"]["stride"]))
    for block, (filters, kernel) in enumerate(zip(h["conv_filter"], kernels(h), strict=True), start=1):
        for repeat in range(1, h["conv_repeat"] + 1):
            name = f"conv_{block}_{repeat}"
            inner = activation()(convolution(x, filters, kernel, f"{name}_a"))
            inner = convolution(inner, filters, kernel, f"{name}_b")
            if x.shape[-1] != filters:
                x = keras.layers.Conv1D(filters, 1, name=f"{name}_skip")(x)
            x = activation()(keras.layers.Add(name=f"{name}_sum")([x, inner]))
        x = keras.layers.MaxPooling1D(h["pool_len"], name=f"pool_{block}")(x)
    return x


def to_physical_model(unit_model, parameters: ParameterSpace):
    """Adds the map from unit to physical parameters, in plain Keras layers.

    Args:
        unit_model: The whole of `build_models`.
        parameters: The prior.

    Returns:
        Keras model, output (batch, K) in physical units; with a Gaussian head a dictionary of these, `parameters`, and
        of standard deviations in unit parameters, `sd_unit`, shape (batch, K).
    """
    import keras

    log, middle, half = parameters.affine()
    unit, count = unit_model.output, len(log)
    log_sd = unit[:, count:] if unit.shape[-1] > count else None
    unit = unit if log_sd is None else unit[:, :count]
    x = keras.layers.Rescaling(half.tolist(), offset=middle.tolist(), dtype="float32", name="from_unit")(unit)
    if log.any():
        columns = [keras.ops.exp(x[:, i : i + 1]) if log[i] else x[:, i : i + 1] for i in range(len(log))]
        x = keras.ops.concatenate(columns, axis=-1)
    outputs = x if log_sd is None else {"parameters": x, "sd_unit": keras.ops.exp(log_sd)}
    return keras.Model(unit_model.input, outputs, name="estimator")


def feature_statistics(chunks):
    """Makes the `fit` callback of `apply_features`: mean and variance over the training set.

    What never changes has the variance `LEAST_VARIANCE`; what changes, no less than its rounding in single precision,
    and where it is smaller than that too, its own.

    Args:
        chunks: Called without arguments, gives arrays of what the chain begins with, shape (rows, time or frequency,
            channel).
    """
    import keras

    def fit(begin, x, per_bin: bool):
        transform = None if x is begin else keras.Model(begin, x)
        axes = (0,) if per_bin else (0, 1)

        def blocks():
            for chunk in chunks():
                yield np.asarray(transform.predict_on_batch(chunk) if transform else chunk, np.float64)

        n, total, squares, low, high = 0, 0.0, 0.0, np.inf, -np.inf
        for values in blocks():
            n += len(values) * (1 if per_bin else values.shape[1])
            total = total + values.sum(axis=axes)
            squares = squares + (values**2).sum(axis=axes)
            low, high = np.minimum(low, values.min(axis=axes)), np.maximum(high, values.max(axis=axes))
        mean = total / n
        variance = squares / n - mean**2
        small = (variance < LEAST_VARIANCE) & (low < high)
        if small.any():
            # the difference of squares has lost its digits
            exact = sum(((values - mean) ** 2).sum(axis=axes) for values in blocks()) / n
            rounding = (np.finfo(np.float32).eps * np.maximum(-low, high)) ** 2
            variance = np.where(small, np.maximum(exact, np.minimum(rounding, LEAST_VARIANCE)), variance)
        return mean.tolist(), np.where(small, variance, np.maximum(variance, LEAST_VARIANCE)).tolist()

    return fit


def make_optimizer(hyperparameters: dict):
    """The Keras optimiser that `optimizerName`, `learning_rate` and, for adamw, `weight_decay` name."""
    import keras

    config = {key: hyperparameters[key] for key in ("learning_rate", "weight_decay") if key in hyperparameters}
    return keras.optimizers.get({"class_name": hyperparameters["optimizerName"], "config": config})
