"""The surrogate of a cell: its synapses against their equations, training on windows, one step against the whole."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import SPACE

from neuroinverse.errors import ConfigError, NeuroinverseError
from neuroinverse.estimators import cnn, surrogate, training
from neuroinverse.estimators.ensemble import Ensemble
from neuroinverse.estimators.modelfile import save_model, signal_table
from neuroinverse.estimators.surrogate_data import SurrogateData
from neuroinverse.estimators.surrogate_settings import DEFAULTS, check_times, complete, samples
from neuroinverse.estimators.surrogate_step import StepSurrogate, calibrate_threshold
from neuroinverse.evaluation.surrogates import crossings
from neuroinverse.shards import NOT_FINITE, OK
from neuroinverse.simulators.base import Signal

DT, T = 0.5, 120
CHANNELS = ("tuft_ampa", "tuft_nmda", "soma_gabaa", "soma_gabab")
INPUTS = Signal("inputs", "uS", DT, (T, len(CHANNELS)), channels=CHANNELS)
VOLTAGE = Signal("voltage", "mV", DT, (T, 2), channels=("tuft", "soma"))
DIPOLE = Signal("dipole", "fAm", DT, (T, 1), channels=("dipole",))
NAMES = ("tuft", "soma", "dipole")
SMALL = {
    "lstm_units": 6,
    "conv_units": 5,
    "mask_ms": 10,
    "epochs": 2,
    "batch_size": 8,
    "memory_ms": 20,
    "window_ms": None,
}
# rise, decay (ms) and reversal of Exp2Syn in hnn-core 0.6.1, params_default
EXP2SYN = {"ampa": (0.5, 5.0), "nmda": (1.0, 20.0), "gabaa": (0.5, 5.0), "gabab": (1.0, 20.0)}


def events(n: int, seed: int = 1, length: int = T) -> np.ndarray:
    """Poisson events of log-uniform weight (uS), float32, shape (n, length, channel)."""
    rng = np.random.default_rng(seed)
    shape = (n, length, len(CHANNELS))
    return np.where(rng.random(shape) < 0.05, 10 ** rng.uniform(-4, -1, shape), 0.0).astype(np.float32)


def analytic(x: np.ndarray) -> np.ndarray:
    """Conductance (uS) at every sample: each event's closed form, begun at its own sample."""
    g, time = np.zeros(x.shape), DT * np.arange(x.shape[1])
    for c, channel in enumerate(CHANNELS):
        rise, decay = EXP2SYN[channel.rpartition("_")[2]]
        fine = np.linspace(0, 100, 200_001)
        peak = (np.exp(-fine / decay) - np.exp(-fine / rise)).max()
        for row, start in np.argwhere(x[..., c] > 0):
            since = np.maximum(time - DT * start, 0)
            g[row, :, c] += x[row, start, c] * (np.exp(-since / decay) - np.exp(-since / rise)) / peak
    return g


def cell(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A toy cell: voltages and dipole, shape (n, time, 3), and spike counts, shape (n, time, 1)."""
    drive = np.sqrt(analytic(x)) @ np.array([100.0, 50.0, -60.0, -30.0])
    tuft = -70 + drive
    soma = -70 + 0.7 * np.concatenate([np.zeros((len(x), 3)), drive[:, :-3]], axis=1)
    spikes = crossings(soma, -64.0) * 2.0
    return np.stack([tuft, soma, 3 * (tuft - soma)], axis=-1).astype(np.float32), spikes.astype(np.float32)[..., None]


class Simulations:
    """Stands for a `Dataset` of toy cells."""

    path, parameters = "toy.h5", SPACE

    def __init__(self, n: int = 30, seed: int = 1, failed: tuple[int, ...] = ()):
        self.n, self.n_failed, self.failed = n, len(failed), failed
        x = events(n, seed)
        y, spikes = cell(x)
        self.values = {"inputs": x, "voltage": y[..., :2], "dipole": y[..., 2:], "spikes": spikes}
        for values in self.values.values():
            values[list(failed)] = np.nan
        self.signals = {"inputs": INPUTS, "voltage": VOLTAGE, "dipole": DIPOLE}

    def index(self, start, stop):
        return np.arange(start, stop)

    def status(self, start, stop):
        return np.where(np.isin(np.arange(start, stop), self.failed), NOT_FINITE, OK)

    def signal(self, name, start, stop):
        return self.values[name][start:stop]


def make_data(simulations=None, folds=3, memory=1e9, first=None, seed=5) -> SurrogateData:
    simulations = simulations or Simulations()
    return SurrogateData(simulations, "inputs", ("voltage", "dipole"), "spikes", folds, 0, memory, seed, first)


def build(seed: int = 3, data=None, **h):
    """Data, whole and trained model, and hyper-parameters."""
    keras.utils.set_random_seed(seed)
    h = complete(SMALL | h)
    data = data or make_data(first=surrogate.front_model(INPUTS, h))
    scale = data.scale(samples(h["mask_ms"], DT))
    whole, trained = surrogate.build_models(INPUTS, NAMES, h, scale, cnn.feature_statistics(data.training_features))
    return data, whole, trained, h


def save(whole, path, h, **more):
    metadata = {"signal": signal_table(INPUTS), "outputs": [*NAMES, "spike"], "hyperparameters": h, **more}
    save_model(whole, metadata, path)
    return metadata


def test_the_exact_front_is_exp2syn():
    x = events(3)
    g = surrogate.front_model(INPUTS, complete({}))(x).numpy()
    expected = analytic(x)
    assert expected.max() > 0.05 and g.dtype == np.float32
    np.testing.assert_allclose(g, expected, rtol=2e-5, atol=1e-7 * expected.max())


def test_no_event_reaches_the_sample_of_its_own_time():
    x = np.zeros((1, T, len(CHANNELS)), np.float32)
    x[0, 20] = 0.01
    g = surrogate.front_model(INPUTS, complete({}))(x).numpy()[0]
    assert not g[:21].any() and (g[21] > 0.001).all()


@pytest.mark.parametrize("length", [100, 7])
def test_the_learnt_front_begins_as_exp2syn_of_its_length(length):
    _, _, trained, h = build(front="learnt", conv_kernel=length)
    assert surrogate.front_model(INPUTS, h) is None
    x = np.zeros((1, T, len(CHANNELS)), np.float32)
    x[0, 5] = 0.02
    g = keras.Model(trained.input, trained.get_layer("kernels").output)(x).numpy()
    expected = analytic(x)
    expected[:, 5 + length + 1 :] = 0
    np.testing.assert_allclose(g[:, : expected.shape[1]], expected, rtol=2e-5, atol=1e-9)
    assert trained.get_layer("kernels").trainable and any("kernels" in v.path for v in trained.trainable_variables)


def test_units_in_and_out_and_any_length():
    """The whole is the front, what is trained, and the scale of each output; its front is not trained."""
    data, whole, trained, h = build()
    x = events(4, seed=2)
    z = trained.predict(surrogate.front_model(INPUTS, h)(x), verbose=0)
    mean, sd = data.scale(samples(h["mask_ms"], DT))
    found = whole.predict(x, verbose=0)
    np.testing.assert_allclose(found[..., :3], z[..., :3] * sd + mean, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found[..., 3], z[..., 3], atol=1e-5)
    long = whole.predict(events(2, length=3 * T), verbose=0)
    assert long.shape == (2, 3 * T, 4) and np.isfinite(long).all()
    assert not [v for v in whole.trainable_variables if "synapses" in v.path or "conductance" in v.path]
    later = x.copy()
    later[:, 50:] = events(4, seed=9)[:, 50:]
    changed = np.abs(whole.predict(later, verbose=0) - found).max(axis=(0, 2))
    assert changed[:51].max() < 1e-4 < changed[51], "sample t depends on the inputs before t alone"


ALONE = """
import sys
sys.modules["neuroinverse"] = None
import keras, numpy as np
np.save(sys.argv[3], keras.models.load_model(sys.argv[1])(np.load(sys.argv[2])))
"""


def test_keras_alone_opens_it(tmp_path):
    _, whole, _, h = build(front="learnt", conv_kernel=9)
    _, exact, _, _ = build(lstm_layers=2)
    x = events(2, length=25)
    np.save(tmp_path / "x.npy", x)
    for name, model in (("learnt", whole), ("exact", exact)):
        save(model, tmp_path / f"{name}.keras", h)
    code = f"{ALONE}\nsys.argv[1], sys.argv[3] = sys.argv[4], sys.argv[5]\n{ALONE}"
    names = [tmp_path / n for n in ("learnt.keras", "x.npy", "learnt.npy", "exact.keras", "exact.npy")]
    done = subprocess.run([sys.executable, "-c", code, *map(str, names)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    for name, model in (("learnt", whole), ("exact", exact)):
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), model(x), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    "h",
    [{}, {"lstm_layers": 2}, {"front": "learnt", "conv_kernel": 9}],
    ids=["exact", "two layers", "learnt"],
)
def test_step_by_step_it_is_the_model_in_the_file(tmp_path, h):
    _, whole, _, h = build(**h)
    save(whole, tmp_path / "model.keras", h)
    steps = StepSurrogate(tmp_path / "model.keras")
    assert (steps.channels, steps.outputs, steps.dt_ms) == (CHANNELS, (*NAMES, "spike"), DT)
    x = events(3, seed=4)

    @tf.function(jit_compile=True)
    def step(state, inputs):
        return steps.step(state, inputs)

    state, found = steps.initial_state(3), []
    for t in range(T):
        state, y = step(state, tf.constant(x[:, t]))
        found.append(y.numpy())
    expected = whole.predict(x, verbose=0)
    np.testing.assert_allclose(np.stack(found, axis=1), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_the_step_has_the_gradient_of_its_finite_differences(tmp_path):
    """An event that has not happened has a gradient too: that is how a network learns of spikes that are missing."""
    _, whole, _, h = build()
    save(whole, tmp_path / "model.keras", h)
    steps = StepSurrogate(tmp_path / "model.keras")

    def late_soma(weights):
        state = steps.initial_state(1)
        for t in range(12):
            state, y = steps.step(state, weights if t == 2 else tf.zeros_like(weights))
        return y[0, 1]

    weights = tf.constant([[0.01, 0.0, 0.003, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(weights)
        value = late_soma(weights)
    gradient = tape.gradient(value, weights).numpy()[0]
    for c in (0, 2):
        up, down = (late_soma(weights * (1 + sign * 0.1 * tf.one_hot([c], 4))) for sign in (1, -1))
        assert gradient[c] == pytest.approx(float(up - down) / 0.2 / float(weights[0, c]), rel=0.03)
    for c in (1, 3):
        up = late_soma(weights + 1e-6 * tf.one_hot([c], 4))
        assert gradient[c] * float(up - value) > 0


def test_a_file_of_something_else_is_no_surrogate(tmp_path):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]).save(tmp_path / "m.keras")
    with pytest.raises(NeuroinverseError, match="not trained by neuroinverse"):
        StepSurrogate(tmp_path / "m.keras")
    save(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]), tmp_path / "n.keras", {})
    with pytest.raises(NeuroinverseError, match=r"n\.keras is no surrogate of a cell"):
        StepSurrogate(tmp_path / "n.keras")


def test_a_surrogate_infers_nothing(tmp_path):
    _, whole, _, h = build()
    save(whole, tmp_path / "model.keras", h, kind="surrogate", parameters=SPACE.to_table())
    with pytest.raises(
        NeuroinverseError, match=r"model\.keras is a surrogate.*infers nothing; expected the folder of a regressor"
    ):
        Ensemble([tmp_path / "model.keras"])


def all_rows(batches):
    xs, ys = zip(*batches.as_numpy_iterator(), strict=True)
    return np.concatenate(xs), np.concatenate(ys)


@pytest.mark.parametrize("memory", [1e9, 60_000], ids=["in memory", "streamed"])
def test_the_data_are_inputs_outputs_and_spikes_of_the_fold(monkeypatch, memory):
    monkeypatch.setattr("neuroinverse.estimators.streaming.CHUNK", 8)
    simulations = Simulations(failed=(3, 4))
    h = complete(SMALL)
    data = make_data(simulations, memory=memory, first=surrogate.front_model(INPUTS, h))
    assert data.fits == (memory == 1e9) and data.names == NAMES
    trained = [i for i in range(30) if i % 3 and i != 4]
    assert (data.n_train, data.n_validation) == (len(trained), 9)
    x, y = all_rows(data.training(0, 7))
    order = [int(np.flatnonzero((simulations.values["voltage"] == row[..., :2]).all(axis=(1, 2)))[0]) for row in y]
    assert sorted(order) == trained and order != trained
    np.testing.assert_allclose(x, analytic(simulations.values["inputs"][order]), rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(y[..., 2], simulations.values["dipole"][order, :, 0])
    np.testing.assert_array_equal(y[..., 3], np.minimum(simulations.values["spikes"][order, :, 0], 1))
    assert set(np.unique(y[..., 3])) == {0, 1}, "two spikes in a bin are one"
    values = np.concatenate([simulations.values[name][trained][:, 20:] for name in ("voltage", "dipole")], axis=-1)
    expected = values.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(data.scale(20), [expected.mean(axis=0), expected.std(axis=0)], rtol=1e-6)
    np.testing.assert_array_equal(all_rows(data.training(3, 7))[1], all_rows(data.training(3, 7))[1])


def test_the_loss_is_that_of_its_formula_and_leaves_the_beginning_out():
    rng = np.random.default_rng(4)
    true, predicted = rng.normal(size=(2, T, 4)).astype(np.float32), rng.normal(size=(2, T, 4)).astype(np.float32)
    true[..., 3] = rng.random((2, T)) < 0.1
    scale = np.array([[0.5, 0.0, -1.0], [2.0, 1.0, 0.3]])
    loss = surrogate.make_loss(complete(SMALL | {"spike_weight": 0.7}), DT, scale)
    p = 1 / (1 + np.exp(-predicted[:, 20:, 3].astype(np.float64)))
    entropy = -np.where(true[:, 20:, 3] > 0, surrogate.POSITIVE * np.log(p), np.log(1 - p)).mean()
    z = (true[:, 20:, :3] - scale[0]) / scale[1]
    expected = ((z - predicted[:, 20:, :3]) ** 2).mean() + 0.7 * entropy
    assert float(loss(true, predicted)) == pytest.approx(expected, rel=1e-5)
    assert float(loss(true[:, 15:], predicted[:, 15:], 15)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("h", [{}, {"front": "learnt", "conv_kernel": 50}], ids=["exact", "learnt"])
def test_windows_carry_the_state_on(h):
    """Without a step of the optimiser, the losses of all windows are that of the whole."""
    data, _, trained, h = build(window_ms=30, **h)
    assert isinstance(trained, surrogate.WindowedModel)
    trained.optimizer.learning_rate = 0.0
    x, y = all_rows(data.training(0, 20))
    loss = surrogate.make_loss(h, DT, data.scale(20))
    z = trained.predict(x, verbose=0)
    parts = [float(loss(y[:, a : a + 60], z[:, a : a + 60], a)) for a in (0, 60)]
    assert np.ptp(parts) > 0.01
    logs = trained.fit(x, y, batch_size=20, verbose=0).history
    assert logs["loss"][0] == pytest.approx(np.mean(parts), rel=1e-4)


def test_one_window_of_the_whole_length_is_training_without_windows():
    weights = []
    for window in (None, T * DT):
        data, _, trained, _ = build(window_ms=window)
        trained.fit(data.training(0, 20), verbose=0)
        weights.append(trained.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_it_learns_a_cell_and_its_spikes(tmp_path):
    h = complete(SMALL)
    data = make_data(Simulations(64), 4, first=surrogate.front_model(INPUTS, h))
    data, whole, trained, h = build(data=data, lstm_units=16, learning_rate=0.02, spike_weight=0.3, epochs=10)
    state = training.fit(trained, data, h, training.Checkpoint(tmp_path / "c", {}))
    assert state.best_loss < 0.5 * state.history[0]["val_loss"]
    unseen = Simulations(20, seed=8)
    y = whole.predict(unseen.values["inputs"], verbose=0)
    truth = np.concatenate([unseen.values["voltage"], unseen.values["dipole"]], axis=-1)
    found = [np.corrcoef(y[:, 20:, i].ravel(), truth[:, 20:, i].ravel())[0, 1] for i in range(3)]
    assert min(found) > 0.75, found
    threshold = calibrate_threshold(whole, unseen, save(whole, tmp_path / "m.keras", h))
    assert threshold["candidates"][threshold["output"]]["f1"] > 0.5


def test_a_training_on_windows_is_kept_whole(tmp_path):
    """Weights and optimiser, so that it goes on after a kill as if there had been none."""
    data, _, trained, h = build(window_ms=T * DT, epochs=1)
    kept = training.Checkpoint(tmp_path / "c", {})
    state = training.fit(trained, data, h, kept)
    _, whole, again, _ = build(seed=4, data=data, window_ms=T * DT)
    x = events(2, length=25)
    before = whole(x).numpy()
    assert kept.load(again, 1.0).history == state.history
    for kind in (lambda m: m.weights, lambda m: m.optimizer.variables):
        for a, b in zip(kind(trained), kind(again), strict=True):
            if "learning_rate" not in a.path:
                np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    assert np.abs(whole(x).numpy() - before).max() > 0.01


@pytest.mark.parametrize("own", [{}, {"window_ms": 20.0}, {"front": "learnt", "conv_kernel": 9}], ids=str)
def test_what_goes_on_from_a_surrogate_begins_as_it_is(tmp_path, own):
    data, whole, _, h = build(**own)
    path, scale = tmp_path / "model.keras", data.scale(samples(h["mask_ms"], DT))
    save(whole, path, h, scale=scale.tolist())
    again, trained = surrogate.continue_models(path, INPUTS, NAMES, h | {"learning_rate": 1e-3})
    x = events(3)
    before = whole.predict(x, verbose=0)
    np.testing.assert_array_equal(again.predict(x, verbose=0), before)
    # what is trained is what will be saved
    trained.fit(data.training(0, 8), verbose=0)
    assert abs(again.predict(x, verbose=0) - before).max() > 1e-3
    other = Signal("inputs", "uS", DT, (T, 1), channels=CHANNELS[:1])
    with pytest.raises(NeuroinverseError, match=r"model.keras: takes tuft_ampa, tuft_nmda.*here are tuft_ampa; give"):
        surrogate.continue_models(path, other, NAMES, h)
    with pytest.raises(NeuroinverseError, match="gives tuft, soma, dipole, spike, and here are soma, spike"):
        surrogate.continue_models(path, INPUTS, NAMES[1:2], h)


def test_the_threshold_counts_behind_the_mask_and_without_failed_simulations(tmp_path):
    """The model is one whose soma is exact: there the threshold of the simulation comes back."""

    class Exact:
        def predict_on_batch(self, x):
            y, _ = cell(x)
            return np.concatenate([y, np.random.default_rng(1).normal(size=(*y.shape[:2], 1))], axis=-1)

    simulations = Simulations(150, seed=6, failed=(0, 70))
    metadata = {"signal": signal_table(INPUTS), "outputs": [*NAMES, "spike"], "hyperparameters": {"mask_ms": 10}}
    found = calibrate_threshold(Exact(), simulations, metadata)
    assert found["output"] == "soma" and found["threshold"] == pytest.approx(-64, abs=0.5)
    scores = found["candidates"]["soma"]
    usable = np.delete(simulations.values["spikes"], (0, 70), axis=0)
    assert scores["n_simulated"] == (usable[:, 20:] > 0).sum() and scores["f1"] > 0.95
    silent = Simulations(5)
    silent.values["spikes"][:] = 0
    with pytest.raises(NeuroinverseError, match=r"no calibration simulation has a spike.* raise the rate"):
        calibrate_threshold(Exact(), silent, metadata)
    with pytest.raises(NeuroinverseError, match="all simulations failed"):
        calibrate_threshold(Exact(), Simulations(3, failed=(0, 1, 2)), metadata)


@pytest.mark.parametrize(
    ("h", "message"),
    [
        ({"lstm_unit": 3}, "'lstm_unit' is unknown .did you mean 'lstm_units'"),
        ({"front": "exat"}, "front: 'exat' is unknown .did you mean 'exact'"),
        ({"conv_kernel": 50}, "conv_kernel: only front: learnt has one"),
        ({"window_ms": 50}, "window_ms: 50 ms .* mask_ms"),
    ],
)
def test_impossible_hyperparameters_are_refused(h, message):
    with pytest.raises(ConfigError, match=f"hyperparameters.*{message}"):
        complete(h)


def test_times_have_to_fit_the_signals():
    assert complete({}) == DEFAULTS
    check_times(complete({}), 0.5, 201)
    with pytest.raises(ConfigError, match="mask_ms: 100 ms leave nothing to learn of simulations of 100 ms"):
        check_times(complete({}), 0.5, 200)


def test_an_unknown_receptor_is_refused():
    signal = Signal("inputs", "uS", DT, (T, 1), channels=("soma_glycine",))
    with pytest.raises(ConfigError, match="receptors of the input channels: 'glycine' is unknown"):
        surrogate.front_model(signal, complete({}))
