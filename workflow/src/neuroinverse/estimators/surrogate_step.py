"""A trained surrogate, one sample at a time: what a network of cells is built of."""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from neuroinverse.errors import NeuroinverseError
from neuroinverse.estimators.modelfile import read_metadata
from neuroinverse.estimators.surrogate import FLOOR, SPIKE, UNIT_uS
from neuroinverse.estimators.surrogate_settings import samples
from neuroinverse.evaluation import surrogates
from neuroinverse.shards import OK

# simulations that are predicted at a time
ROWS = 64


class StepSurrogate:
    """The surrogate in a model file, in TensorFlow operations on constants: it compiles with XLA and has gradients.

    Step t takes the events of bin t and gives sample t, which they do not change yet: the state keeps them for the
    steps after. Unfolded over time it is the model in the file.

    Args:
        path: The .keras file of a surrogate.

    Attributes:
        channels: Names of the inputs (uS).
        outputs: Names of the outputs: voltages (mV), `dipole` (fAm) where the cell has one, `spike` (a logit).
        dt_ms: Length of a step (ms).

    Raises:
        NeuroinverseError: If the file is missing, damaged, or no surrogate.
    """

    def __init__(self, path: Path):
        metadata = read_metadata(path)
        self.channels, self.outputs = tuple(metadata["signal"]["channels"]), tuple(metadata["outputs"])
        self.dt_ms = float(metadata["signal"]["dt_ms"])
        layers = {layer.name: layer for layer in keras.models.load_model(path, compile=False).layers}
        if "standardize" not in layers or "lstm_1" not in layers:
            raise NeuroinverseError(f"{path} is no surrogate of a cell; give the model that train_surrogate wrote")

        def constants(name):
            # NumPy's: TensorFlow loses tensors from outside where a network runs a part of its steps again
            return [np.asarray(weight, np.float32) for weight in layers[name].get_weights()]

        self._exact = "synapses" in layers
        if self._exact:
            self._kept = np.diag(constants("synapses")[1])
            (self._to_conductance,) = constants("conductance")
        else:
            self._kernel = constants("kernels")[0][:, :, 0]
        standardize, outputs = layers["standardize"], layers["outputs"]
        self._mean, self._sd = (
            np.asarray(v, np.float32).reshape(1, -1) for v in (standardize.mean, np.sqrt(standardize.variance))
        )
        self._mix, self._read, self._z_scores = constants("mix"), constants("read"), constants("z_scores")
        self._lstms = [constants(f"lstm_{i}") for i in range(1, 1 + sum(n.startswith("lstm_") for n in layers))]
        self._scale, self._offset = np.float32(outputs.scale), np.float32(outputs.offset)

    def initial_state(self, n: int) -> tuple[tf.Tensor, ...]:
        """The state of n cells which no event has reached yet."""
        count = len(self.channels)
        front = (n, 2 * count) if self._exact else (n, self._kernel.shape[0], count)
        units = [recurrent.shape[0] for _, recurrent, _ in self._lstms]
        return tf.zeros(front), *(tf.zeros((n, width)) for width in units for _ in range(2))

    def step(self, state: tuple[tf.Tensor, ...], x: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
        """Goes one step on.

        Args:
            state: The state before.
            x: Summed weights of the events that arrive in this bin (uS), shape (n, channel).

        Returns:
            The state, and the outputs at the beginning of the bin, shape (n, output).
        """
        front, *states = state
        if self._exact:
            g, front = front @ self._to_conductance, self._kept * (front + tf.concat([x, x], 1))
        else:
            g = tf.reduce_sum(front * self._kernel, 1)
            front = tf.concat([front[:, 1:], x[:, None]], 1)
        feature = (tf.sqrt(tf.maximum(g, 0.0) / UNIT_uS + FLOOR) - self._mean) / self._sd
        h, after = tf.concat([_dense(feature, self._mix, tf.tanh), feature], 1), []
        for (kernel, recurrent, bias), hidden, cell in zip(self._lstms, states[::2], states[1::2], strict=True):
            # Keras' order of gates
            enter, keep, new, show = tf.split(h @ kernel + hidden @ recurrent + bias, 4, 1)
            cell = tf.sigmoid(keep) * cell + tf.sigmoid(enter) * tf.tanh(new)
            h = tf.sigmoid(show) * tf.tanh(cell)
            after += [h, cell]
        z = _dense(_dense(h, self._read, tf.tanh), self._z_scores)
        return (front, *after), z * self._scale + self._offset


def _dense(x, weights, activation=tf.identity):
    kernel, bias = weights
    return activation(x @ kernel + bias)


def calibrate_threshold(model, dataset, metadata: Mapping, spikes: str = "spikes") -> dict:
    """Where a surrogate spikes: at a voltage of its soma or at a logit, whichever serves better.

    Args:
        model: The whole of `surrogate.build_models`.
        dataset: Simulations that it was not trained on.
        metadata: With `signal`, `outputs` and `hyperparameters`, as the file of a surrogate has them.
        spikes: Name of the spike counts.

    Returns:
        See `evaluation.surrogates.calibrate_threshold`.

    Raises:
        NeuroinverseError: If no simulation has a spike.
    """
    signal, outputs = metadata["signal"], metadata["outputs"]
    masked = samples(metadata["hyperparameters"]["mask_ms"], signal["dt_ms"])
    offered = [name for name in ("soma", SPIKE) if name in outputs]
    columns, traces, true = [outputs.index(name) for name in offered], [], []
    for start in range(0, dataset.n, ROWS):
        stop = min(start + ROWS, dataset.n)
        usable = dataset.status(start, stop) == OK
        if usable.any():
            predicted = model.predict_on_batch(dataset.signal(signal["name"], start, stop)[usable])
            traces.append(np.asarray(predicted)[:, masked:, columns])
            counts = dataset.signal(spikes, start, stop)[usable]
            true.append(counts.reshape(predicted.shape[:2])[:, masked:] > 0)
    if not traces:
        raise NeuroinverseError(f"{dataset.path}: all simulations failed; look at the logs of simulate_shard")
    by_name = dict(zip(offered, np.moveaxis(np.concatenate(traces), -1, 0), strict=True))
    return surrogates.calibrate_threshold(by_name, np.concatenate(true), signal["dt_ms"])
