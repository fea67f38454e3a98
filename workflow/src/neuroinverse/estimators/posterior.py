"""Neural posteriors: a normalizing flow over the parameters, conditioned on what a body makes of the signal.

The flow is BayesFlow's coupling flow with rational-quadratic splines (Durkan et al. 2019, arXiv:1906.04032). It lives
in probits of the prior: z = Φ⁻¹((u + 1) / 2) of unit parameters u is standard normal under the prior, so that no mass
can lie outside the box, and a flow that has learnt nothing is the prior itself. What is trained and told is the gain

    log q(u | signal) − log p(u) = log q_z(z | signal) − log N(z; 0, 1),   in nats,

whose mean over simulations of the prior is a lower bound of the information that the signal holds on the parameters.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from neuroinverse.errors import NeuroinverseError
from neuroinverse.estimators.cnn import body, signal_input
from neuroinverse.estimators.modelfile import read_metadata, read_trace_range, require_family
from neuroinverse.estimators.streaming import FoldData
from neuroinverse.estimators.trace_range import mean_score
from neuroinverse.parameters import ParameterSpace
from neuroinverse.rounds import partial

# largest |unit parameter| of single precision whose probit is finite
EDGE = 1 - 1e-6
# rows that the flow takes at a time
ROWS = 20_000


@keras.saving.register_keras_serializable("neuroinverse")
class Flow(keras.Layer):
    """BayesFlow's coupling flow with splines.

    Takes probits, shape (batch, K), and conditions, (batch, C), and gives gains (nats), (batch,).

    Args:
        layers: Coupling layers.
        widths: Hidden layers of the perceptrons in each.
        bins: Pieces of each spline.
        dropout: Of the perceptrons' hidden layers.
        settings: Of `keras.Layer`.
    """

    def __init__(self, layers: int, widths: Sequence[int], bins: int, dropout: float, **settings):
        super().__init__(**settings)
        # importing BayesFlow starts TensorFlow: its devices have to be set before
        import bayesflow

        self.own = {"layers": layers, "widths": list(widths), "bins": bins, "dropout": dropout}
        self.flow = bayesflow.networks.CouplingFlow(
            depth=layers,
            transform="spline",
            subnet_kwargs={"widths": list(widths), "dropout": dropout or None},
            transform_kwargs={"bins": bins},
            dtype="float32",
        )

    def get_config(self):
        return super().get_config() | self.own

    def build(self, shapes):
        self.flow.build(shapes[0], conditions_shape=shapes[1])

    def call(self, inputs, training=False):
        z, condition = inputs
        density = self.flow(z, conditions=condition, density=True, training=training)[1]
        return density + 0.5 * keras.ops.sum(keras.ops.square(z), axis=-1) + 0.5 * z.shape[-1] * math.log(2 * math.pi)

    def sample(self, noise, condition):
        """Probits, shape (batch, K), from standard normal noise, alike."""
        return self.flow(noise, conditions=condition, inverse=True)


class PairedData(FoldData):
    """The simulations of one fold, as batches of ((features, probits), probits).

    Simulations with an undefined statistic are left out and counted in `n_undefined`. The last batch of an epoch is
    left out where it is smaller: a compiled step takes one shape.
    """

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.n_undefined = 0
        # signals themselves are never undefined in a simulation that did not fail
        if self.fits and self.first is not None:
            for validation in (False, True):
                self._keep(validation)
                x, unit = self._kept[validation]
                usable = np.isfinite(x).all(axis=(1, 2))
                self.n_undefined += int((~usable).sum())
                self._kept[validation] = x[usable], unit[usable]
            self.n_train, self.n_validation = len(self._kept[False][0]), len(self._kept[True][0])
            if not self.n_train or (self.folds > 1 and not self.n_validation):
                raise NeuroinverseError(
                    f"{self.dataset.path}: of {self.n_undefined} simulations a statistic is undefined, and too few are "
                    "left; choose other features"
                )

    def training(self, epoch: int, batch_size: int, shift: int = 0):
        """See `FoldData.training`."""
        batches = super().training(epoch, min(batch_size, self.n_train), shift)
        # the order changes from epoch to epoch, and with it what is left out
        return batches.take(self.n_train // min(batch_size, self.n_train)).map(_paired)

    def validation(self, batch_size: int = 256):
        """See `FoldData.validation`."""
        return super().validation(batch_size).map(_paired)


def require_all(data: PairedData) -> None:
    """Refuses to train a further round on a part of its simulations: see `rounds.partial`.

    Raises:
        NeuroinverseError: If a simulation failed or a statistic is undefined.
    """
    lost = data.dataset.n_failed + data.dataset.n_silent + data.n_undefined
    if lost:
        raise NeuroinverseError(f"{data.dataset.path} and further rounds: {partial(lost, data.dataset.n)}")


def _paired(x, unit):
    import tensorflow as tf

    z = math.sqrt(2) * tf.math.erfinv(tf.clip_by_value(unit, -EDGE, EDGE))
    return (x, z), z


def build_models(signal, features: list, hyperparameters: dict, n_outputs: int, fit_feature, first=None):
    """Builds the posterior: physical signal and probits of parameters in, gain over the prior out.

    Args:
        signal: The input.
        features: The study's feature chain.
        hyperparameters: Complete hyper-parameters.
        n_outputs: Number of parameters K, two or more.
        fit_feature: See `apply_features`.
        first: Output of `feature_model`.

    Returns:
        Two Keras models that share their weights: the whole, inputs (batch, time, channel) float32 and (batch, K),
        output (batch,), nats; and what is trained, which takes the output of `first` in the place of the signal.
    """
    h = hyperparameters
    signals = signal_input(signal) if first is None else first.input
    source = keras.layers.Identity(dtype="float32", name="source")(signals if first is None else first.output)
    # a graph of its own: Keras cannot save one of two inputs that begins within another
    begin = keras.Input(source.shape[1:], name="features", dtype="float32")
    condition = body(begin, signal, features, h, fit_feature)
    condition = keras.layers.Identity(dtype="float32", name="condition")(condition)
    z = keras.Input((n_outputs,), name="probits", dtype="float32")
    flow = Flow(h["flow_layers"], h["flow_widths"], h["flow_bins"], h["flow_dropout"], dtype="float32", name="flow")
    gain = flow([z, condition])
    density = keras.Model([begin, z], gain, name="density")
    whole = keras.Model([signals, z], density([source, z]), name="posterior")
    # a model of its own: what is compiled is not saved
    return whole, keras.Model([begin, z], gain, name="trained_posterior")


def loss(probits, gain):
    """What is minimised: the negative gain, shape (batch,)."""
    return -gain


class Posterior:
    """The saved folds of one posterior, as an equal mixture.

    Args:
        models: The .keras files.

    Raises:
        NeuroinverseError: If there are none, or they are no posteriors of the same parameters and signal.
    """

    def __init__(self, models: Sequence[Path]):
        import tensorflow as tf

        if not models:
            raise NeuroinverseError("no models: a posterior's folder holds fold-0/model.keras and so on")
        self.metadata = [read_metadata(m) for m in models]
        for path, other in zip(models, self.metadata, strict=True):
            require_family(path, other, "posterior")
            if any(other[key] != self.metadata[0][key] for key in ("parameters", "signal")):
                raise NeuroinverseError(f"{path} infers other parameters or takes another signal than {models[0]}")
        self.parameters = ParameterSpace.from_table(self.metadata[0]["parameters"])
        self.signal = self.metadata[0]["signal"]
        self._ranges = [read_trace_range(m) for m in models]
        self._conditions, self._gain, self._sample = [], [], []
        for path in models:
            model = keras.models.load_model(path, compile=False)
            density = model.get_layer("density")
            condition, flow = density.get_layer("condition").output, density.get_layer("flow")
            inner = keras.Model(density.inputs[0], condition)
            self._conditions.append(keras.Model(model.inputs[0], inner(model.get_layer("source").output)))
            shape = [tf.TensorSpec((None, len(self.parameters.names))), tf.TensorSpec((None, condition.shape[-1]))]
            self._gain.append(tf.function(lambda z, c, flow=flow: flow([z, c]), input_signature=shape))
            self._sample.append(tf.function(flow.sample, input_signature=shape))

    @property
    def n_folds(self) -> int:
        return len(self._conditions)

    @property
    def truncated(self) -> bool:
        """Whether it was trained on simulations near what an earlier round said of one observation."""
        return bool(self.metadata[0]["spec"].get("rounds"))

    def conditions(self, signals: np.ndarray) -> list[np.ndarray]:
        """What each fold's body makes of signals, shape (n, width) each.

        Args:
            signals: In physical units, shape (n, time[, channel]), sampled as `signal` says.
        """
        x = self._channelled(signals)
        return [model.predict(x, verbose=0, batch_size=64) for model in self._conditions]

    def gain(self, unit: np.ndarray, conditions: list[np.ndarray]) -> np.ndarray:
        """Log density over that of the prior (nats), shape (n, S).

        Args:
            unit: Unit parameters, shape (n, S, K), inside the box.
            conditions: What `conditions` made of the n signals; of a single one where it stands for all.
        """
        return np.logaddexp.reduce(self.gain_folds(unit, conditions), axis=0) - math.log(self.n_folds)

    def probit_density(self, unit: np.ndarray, conditions: list[np.ndarray]) -> np.ndarray:
        """Log density over probits, up to a constant, shape (n, S); arguments as of `gain`.

        At the very edge of the box the gain compares two densities that are almost nothing: of a parameter that the
        signal tells nothing about, its maximum lies there by chance, and this one's in the middle of the prior.
        """
        return self.gain(unit, conditions) - 0.5 * np.square(_probit(unit)).sum(axis=-1)

    def gain_folds(self, unit: np.ndarray, conditions: list[np.ndarray]) -> np.ndarray:
        """The same of each fold alone, shape (k, n, S)."""
        n, s, k = unit.shape
        z = _probit(unit).reshape(n * s, k)
        folds = []
        for gain, condition in zip(self._gain, conditions, strict=True):
            rows = _rows_of(condition, n, s)
            parts = (gain(z[i : i + ROWS], condition[rows[i : i + ROWS]]) for i in range(0, len(z), ROWS))
            folds.append(np.concatenate([part.numpy() for part in parts]))
        return np.array(folds, np.float64).reshape(-1, n, s)

    def sample(self, conditions: list[np.ndarray], noise: np.ndarray) -> np.ndarray:
        """Draws from the posteriors of signals, unit parameters inside the box, shape (n, S, K).

        Sample s of every signal is of fold s mod k.

        Args:
            conditions: What `conditions` made of the n signals; of a single one where it stands for all.
            noise: Standard normal, shape (n, S, K): each row gives one sample.
        """
        n, s, k = noise.shape
        z, fold = np.empty((n * s, k), np.float32), np.tile(np.arange(s) % self.n_folds, n)
        flat = noise.reshape(n * s, k).astype(np.float32)
        for number, (draw, condition) in enumerate(zip(self._sample, conditions, strict=True)):
            mine, rows = np.flatnonzero(fold == number), _rows_of(condition, n, s)
            for i in range(0, len(mine), ROWS):
                part = mine[i : i + ROWS]
                z[part] = draw(flat[part], condition[rows[part]]).numpy()
        return _unit(z).reshape(n, s, k)

    def mode(self, conditions: list[np.ndarray], start: np.ndarray) -> np.ndarray:
        """The most probable unit parameters near a point, shape (K,), by the simplex of Nelder and Mead.

        Most probable in probits: see `probit_density`.

        Args:
            conditions: What `conditions` made of one signal.
            start: Unit parameters, shape (K,), such as the most probable of many draws.
        """
        from scipy.optimize import minimize

        def loss(z):
            return -self.probit_density(_unit(z)[None, None], conditions)[0, 0]

        z = _probit(start).astype(np.float64)
        return _unit(minimize(loss, z, method="Nelder-Mead", options={"maxfev": 100 * len(z)}).x)

    def score(self, signals: np.ndarray) -> np.ndarray:
        """How unlike the training traces signals are, shape (n,): see `TraceRange`.

        Args:
            signals: In physical units, shape (n, time[, channel]).
        """
        return mean_score(self._ranges, self._channelled(signals))

    def _channelled(self, signals: np.ndarray) -> np.ndarray:
        """Signals with an axis of channels, shape (n, time, channel)."""
        return np.asarray(signals, np.float32).reshape(len(signals), -1, (*self.signal["shape"], 1)[1])


def _rows_of(condition: np.ndarray, n: int, s: int) -> np.ndarray:
    """For each of n · s rows the row of its condition."""
    return np.zeros(n * s, int) if len(condition) == 1 else np.repeat(np.arange(n), s)


def _probit(unit: np.ndarray) -> np.ndarray:
    from scipy.special import ndtri

    return ndtri((np.clip(unit, -EDGE, EDGE) + 1) / 2).astype(np.float32)


def _unit(z: np.ndarray) -> np.ndarray:
    from scipy.special import erf

    return np.clip(erf(np.asarray(z, np.float64) / math.sqrt(2)), -EDGE, EDGE)
