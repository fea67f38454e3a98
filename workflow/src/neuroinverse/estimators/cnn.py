"""The CNN regressor of the published studies in Keras 3, in their vocabulary."""

import numpy as np

from neuroinverse.estimators.architecture import layer_shapes
from neuroinverse.features import feature_shape
from neuroinverse.features.voltage import apply_features
from neuroinverse.parameters import ParameterSpace
from neuroinverse.simulators.base import Signal


def build_model(signal: Signal, features: list, hyperparameters: dict, n_outputs: int, fit_feature):
    """Builds the network: physical signal in, unit parameters out.

    Args:
        signal: The input.
        features: The study's feature chain.
        hyperparameters: Complete hyper-parameters.
        n_outputs: Number of parameters.
        fit_feature: See `apply_features`.

    Returns:
        Keras model, input (batch, time, channel) float32, output (batch, n_outputs) float32.

    Raises:
        ConfigError: If pooling uses up the input, naming the layer.
    """
    import keras

    h = hyperparameters
    layer_shapes(*feature_shape(features, signal), h)
    channels = signal.shape[1] if len(signal.shape) > 1 else 1
    inputs = keras.Input((signal.shape[0], channels), name=signal.name, dtype="float32")
    x = apply_features(inputs, features, signal, fit_feature)
    for block, filters in enumerate(h["conv_filter"], start=1):
        for repeat in range(1, h["conv_repeat"] + 1):
            name = f"conv_{block}_{repeat}"
            x = keras.layers.Conv1D(filters, h["conv_kernel"], padding=h["conv_padding"], name=name)(x)
            x = keras.layers.LeakyReLU()(x)
        x = keras.layers.MaxPooling1D(h["pool_len"], name=f"pool_{block}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    for i, width in enumerate(h["fc_dims"], start=1):
        x = keras.layers.Dense(width, name=f"fc_{i}")(x)
        x = keras.layers.LeakyReLU()(x)
        if h["dropFrac"] > 0:
            x = keras.layers.Dropout(h["dropFrac"], name=f"drop_{i}")(x)
    # float32 at the end keeps the loss exact under mixed precision
    x = keras.layers.Dense(n_outputs, activation=h["lastAct"], dtype="float32", name="unit_parameters")(x)
    if h["outAmpl"] != 1:
        x = keras.layers.Rescaling(h["outAmpl"], dtype="float32", name="out_ampl")(x)
    return keras.Model(inputs, x, name="unit_model")


def to_physical_model(unit_model, parameters: ParameterSpace):
    """Adds the map from unit to physical parameters, in plain Keras layers.

    Args:
        unit_model: Output of `build_model`.
        parameters: The prior.

    Returns:
        Keras model, output (batch, K) in physical units.
    """
    import keras

    log, middle, half = parameters.affine()
    unit = unit_model.output
    x = keras.layers.Rescaling(half.tolist(), offset=middle.tolist(), dtype="float32", name="from_unit")(unit)
    if log.any():
        columns = [keras.ops.exp(x[:, i : i + 1]) if log[i] else x[:, i : i + 1] for i in range(len(log))]
        x = keras.ops.concatenate(columns, axis=-1)
    return keras.Model(unit_model.input, x, name="estimator")


def feature_statistics(chunks):
    """Makes the `fit` callback of `apply_features`: mean and variance per channel over the training set.

    Args:
        chunks: Called without arguments, gives arrays of signals, shape (rows, time, channel).
    """
    import keras

    def fit(raw, x):
        transform = keras.Model(raw, x)
        n, total, squares = 0, 0.0, 0.0
        for chunk in chunks():
            values = np.asarray(transform.predict_on_batch(chunk), np.float64)
            n += values.shape[0] * values.shape[1]
            total = total + values.sum(axis=(0, 1))
            squares = squares + (values**2).sum(axis=(0, 1))
        mean = total / n
        return mean.tolist(), np.maximum(squares / n - mean**2, 1e-12).tolist()

    return fit


def make_optimizer(hyperparameters: dict):
    """The Keras optimiser that `optimizerName` and `learning_rate` name."""
    import keras

    return keras.optimizers.get(
        {
            "class_name": hyperparameters["optimizerName"],
            "config": {"learning_rate": hyperparameters["learning_rate"]},
        }
    )
