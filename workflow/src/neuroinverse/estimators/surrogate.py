"""The surrogate of a cell: synaptic events in; membrane voltages, dipole and spikes out, on one time grid.

The events of a channel (uS) become its conductance, as in NEURON's Exp2Syn: exactly, by a recursion, or by a causal
convolution that starts from it and is trained. A dense layer mixes the channels at each sample, LSTM layers hold the
cell's state, and two dense layers read the outputs from it (CNN and LSTM: Olah et al. 2022, eLife 11:e79535). Nothing
that the surrogate puts out is fed back to it, so that errors do not build up.

An event of bin t acts from sample t + 1 on: sample t depends on the inputs before t alone.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from neuroinverse.errors import NeuroinverseError
from neuroinverse.estimators.modelfile import read_metadata
from neuroinverse.estimators.surrogate_settings import peak_factor, samples, time_constants
from neuroinverse.simulators.base import Signal

# conductances are compressed as √(g / UNIT_uS + FLOOR): those of single events span four decades. The floor bounds the
# slope where there is none
UNIT_uS, FLOOR = 1e-3, 1e-3
SPIKE = "spike"
# weight of a sample with a spike in the cross-entropy: about one in 300 has one
POSITIVE = 10.0


def front_model(signal: Signal, h: dict):
    """The conductances where they are exact: what a training computes once.

    Args:
        signal: The inputs (uS), channels named `<place>_<receptor>`.
        h: Complete hyper-parameters.

    Returns:
        Keras model, events (batch, time, channel) in uS to conductances alike; None where the front is learnt.
    """
    if h["front"] == "learnt":
        return None
    # of one length: its output's shape tells how much memory a training needs
    begin = keras.Input(signal.shape, name=signal.name, dtype="float32")
    return keras.Model(begin, _exact(begin, signal), name="front")


def build_models(signal: Signal, names: Sequence[str], h: dict, scale: np.ndarray, fit_feature: Callable):
    """Builds the surrogate.

    Args:
        signal: The inputs (uS), channels named `<place>_<receptor>`.
        names: The outputs: voltages (mV), and a dipole (fAm) where the cell has one. `spike` follows them.
        h: Complete hyper-parameters.
        scale: Mean and standard deviation of each output over the training set, shape (2, output).
        fit_feature: Gives mean and variance over the training set: see `cnn.feature_statistics`.

    Returns:
        Two Keras models that share their weights. The whole: inputs (batch, time, channel) in uS, of any length, to
        outputs (batch, time, output + 1) in their units, the last the logit that a spike lies between a sample and the
        one before. And what is trained, compiled: what `front_model` makes of the inputs to z-scores.
    """
    inputs, begin = (keras.Input((None, signal.shape[1]), name=name, dtype="float32") for name in (signal.name, "g"))
    kernels = _kernels(signal, h) if h["front"] == "learnt" else None
    mean, variance = fit_feature(begin, _feature(begin, kernels), False)
    standardize = keras.layers.Normalization(mean=mean, variance=variance, dtype="float32", name="standardize")
    mix = keras.layers.Dense(h["conv_units"], "tanh", name="mix")
    lstms = [
        keras.layers.LSTM(h["lstm_units"], return_sequences=True, return_state=True, name=f"lstm_{i}")
        for i in range(1, h["lstm_layers"] + 1)
    ]
    read = keras.layers.Dense(h["conv_units"], "tanh", name="read")
    # float32 at the end keeps the loss exact under mixed precision
    z_scores = keras.layers.Dense(len(names) + 1, dtype="float32", name="z_scores")

    def unfold(x, states=None, before=0):
        x = standardize(_feature(x, kernels))
        if before:
            x = keras.layers.Cropping1D((before, 0))(x)
        x, after = keras.layers.Concatenate()([mix(x), x]), []
        for i, lstm in enumerate(lstms):
            x, *state = lstm(x, initial_state=states and states[2 * i : 2 * i + 2])
            after += state
        return z_scores(read(x)), *after

    z, *after = unfold(begin)
    for lstm in lstms:
        _remember(lstm, samples(h["memory_ms"], signal.dt_ms))
    mean, sd = (np.append(row, last).tolist() for row, last in zip(scale, (0.0, 1.0), strict=True))
    to_units = keras.layers.Rescaling(sd, offset=mean, dtype="float32", name="outputs")
    g = inputs if kernels else _exact(inputs, signal)
    whole = keras.Model(inputs, to_units(unfold(g)[0]), name="surrogate")
    if h["window_ms"] is None:
        trained = keras.Model(begin, z, name="trained")
    else:
        states = [keras.Input((h["lstm_units"],)) for _ in after]
        before = h["conv_kernel"] if kernels else 0
        graph = keras.Model([begin, *states], unfold(begin, states, before))
        window = samples(h["window_ms"], signal.dt_ms)
        trained = WindowedModel(graph, window, before, inputs=begin, outputs=z, name="trained")
    # XLA takes twice the time on CPUs
    optimizer = keras.optimizers.Adam(h["learning_rate"], global_clipnorm=1.0)
    trained.compile(optimizer, make_loss(h, signal.dt_ms, scale), jit_compile=False)
    return whole, trained


def continue_models(base: Path, signal: Signal, names: Sequence[str], h: dict):
    """Builds a surrogate that begins with what another one has learnt, its scales among it.

    Args:
        base: Model file of the other.
        signal: As of `build_models`.
        names: As of `build_models`.
        h: As of `build_models`; layers are as in the base.

    Returns:
        As `build_models`.

    Raises:
        NeuroinverseError: If the base has other inputs or outputs.
    """
    metadata = read_metadata(base)
    found = {"takes": metadata["signal"]["channels"], "gives": metadata["outputs"]}
    wanted = {"takes": signal.channels, "gives": (*names, SPIKE)}
    for what, its in found.items():
        if tuple(its) != tuple(wanted[what]):
            raise NeuroinverseError(
                f"{base}: {what} {', '.join(its)}, and here are {', '.join(wanted[what])}; give a surrogate of "
                "the same cell and the same inputs"
            )
    learnt = keras.models.load_model(base, compile=False)
    standardize = learnt.get_layer("standardize")
    statistics = [np.asarray(x).ravel().tolist() for x in (standardize.mean, standardize.variance)]
    whole, trained = build_models(signal, names, h, np.array(metadata["scale"]), lambda *_: statistics)
    whole.set_weights(learnt.get_weights())
    return whole, trained


def make_loss(h: dict, dt_ms: float, scale: np.ndarray) -> Callable:
    """The loss: mean squared error of z-scores, all outputs alike, and the spikes' cross-entropy times `spike_weight`.

    Args:
        h: Complete hyper-parameters; what happens before `mask_ms` does not count.
        dt_ms: Sampling interval (ms).
        scale: Mean and standard deviation of each output, shape (2, output).

    Returns:
        Function of the true outputs in their units with 0 or 1 for a spike, shape (batch, time, output + 1), of what
        is trained, and of the number of the first sample, where that is not 0.
    """
    masked = samples(h["mask_ms"], dt_ms)
    mean, sd = np.asarray(scale, np.float32)

    def loss(true, predicted, start: int = 0):
        first = max(masked - start, 0)
        true, predicted = true[:, first:], predicted[:, first:]
        error = (true[..., :-1] - mean) / sd - predicted[..., :-1]
        spike, logit = true[..., -1], predicted[..., -1]
        entropy = POSITIVE * spike * ops.softplus(-logit) + (1 - spike) * ops.softplus(logit)
        return ops.mean(ops.square(error)) + h["spike_weight"] * ops.mean(entropy)

    return loss


class WindowedModel(keras.Model):
    """A model that is trained on consecutive windows: the state goes on from one to the next, the gradient does not.

    Each window is a step of the optimiser, so that there are more of them, and of the activations those of one window
    are in memory.

    Args:
        graph: Model of the same layers: a window of x and states to outputs and states.
        window: Length of a window (samples).
        before: Samples before a window that `graph` takes with it and gives no outputs of.
        settings: Of a functional `keras.Model`.
    """

    def __init__(self, graph, window: int, before: int, **settings):
        super().__init__(**settings)
        self.graph, self.window, self.before = graph, window, before

    def train_step(self, data):
        x, true = data
        states = [ops.zeros((ops.shape(x)[0], state.shape[1])) for state in self.graph.inputs[1:]]
        x = ops.pad(x, ((0, 0), (self.before, 0), (0, 0)))
        variables = self.trainable_variables
        for start in range(0, true.shape[1], self.window):
            stop = start + self.window
            with tf.GradientTape() as tape:
                predicted, *states = self.graph([x[:, start : stop + self.before], *states], training=True)
                value = self.loss(true[:, start:stop], predicted, start)
                scaled = self.optimizer.scale_loss(value)
            self.optimizer.apply(tape.gradient(scaled, variables), variables)
            states = [ops.stop_gradient(state) for state in states]
            self.metrics[0].update_state(value)
        return self.get_metrics_result()


def _feature(x, kernels):
    """Compressed conductances."""
    if kernels is not None:
        # an event acts from the next sample on
        x = keras.layers.ZeroPadding1D((kernels.kernel_size[0], 0))(x)
        x = kernels(keras.layers.Cropping1D((0, 1))(x))
    # rounding, or a trained kernel, may give less than none; unlike ReLU, this has a slope at none
    return ops.sqrt(ops.maximum(x, 0.0) / UNIT_uS + FLOOR)


def _exact(x, signal: Signal):
    """Exp2Syn's conductance at every sample: two exponentials for each channel, with weights that are not trained."""
    rise, decay = time_constants(signal.channels)
    kept = np.exp(-signal.dt_ms / np.concatenate([rise, decay]))
    count, factor = len(rise), np.diag(peak_factor(rise, decay))
    # an event acts from the next sample on
    x = keras.layers.Cropping1D((0, 1))(keras.layers.ZeroPadding1D((1, 0))(x))
    states = keras.layers.SimpleRNN(
        2 * count, None, use_bias=False, return_sequences=True, trainable=False, dtype="float32", name="synapses"
    )
    conductance = keras.layers.Dense(count, use_bias=False, trainable=False, dtype="float32", name="conductance")
    g = conductance(states(x))
    # an event counts as it is at its own sample, and at the next as what one interval leaves of it
    states.set_weights([np.tile(np.eye(count), 2) * kept, np.diag(kept)])
    conductance.set_weights([np.concatenate([-factor, factor])])
    return g


def _kernels(signal: Signal, h: dict):
    """A convolution over `conv_kernel` samples of each channel, at first Exp2Syn's conductance."""
    (rise, decay), length = time_constants(signal.channels), h["conv_kernel"]
    # its last tap is the sample before
    lag = signal.dt_ms * np.arange(length, 0, -1)[:, None]
    kernel = peak_factor(rise, decay) * (np.exp(-lag / decay) - np.exp(-lag / rise))
    layer = keras.layers.DepthwiseConv1D(length, use_bias=False, dtype="float32", name="kernels")
    layer.build((None, None, signal.shape[1]))
    layer.set_weights([kernel[:, :, None]])
    return layer


def _remember(lstm, longest: int) -> None:
    """Starts an LSTM's cells with time constants up to `longest` samples (chrono: Tallec and Ollivier 2018, ICLR)."""
    kernel, recurrent, bias = lstm.get_weights()
    # Keras' order of gates: input, forget, cell, output
    units = lstm.units
    forget = np.log(np.geomspace(1.0, max(longest - 1, 1.0), units))
    bias[:units], bias[units : 2 * units] = -forget, forget
    lstm.set_weights([kernel, recurrent, bias])
