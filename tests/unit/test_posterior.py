"""Neural posteriors: densities are densities, draws lie inside the box, files say the same, a known one is learnt."""

import math

import numpy as np
import pytest
import tensorflow as tf
from tiny import SIGNAL, SPACE, make_dataset, traces

from neuroinverse.errors import NeuroinverseError
from neuroinverse.estimators import posterior as posteriors
from neuroinverse.estimators.architecture import complete
from neuroinverse.estimators.posterior import EDGE, PairedData, Posterior, build_models
from neuroinverse.stages.train_fold import train

FLOW = {"epochs": 3, "batch_size": 16, "flow_layers": 1, "flow_widths": [8], "flow_bins": 4}


def spec(fold=0, folds=2, **hyperparameters) -> dict:
    return {
        "simulation": {"study": "tiny"},
        "kind": "posterior",
        "parameters": SPACE.to_table(),
        "n": 60,
        "signal": SIGNAL.name,
        "features": [{"standardize": {"per": "bin"}}],
        "hyperparameters": complete(FLOW | hyperparameters, "posterior"),
        "precision": "float32",
        "folds": folds,
        "fold": fold,
        "rounds": [],
        "master_seed": 1,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two folds of a posterior that has seen little."""
    folder = tmp_path_factory.mktemp("posterior")
    data = make_dataset(folder, failed=(3, 4))
    # TensorFlow may have started, with as many threads as there are
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    for fold in range(2):
        place = folder / f"fold-{fold}"
        place.mkdir()
        files = {"history": place / "history.csv", "output": place / "model.keras"}
        train(spec(fold), [data.path], place, ("train_fold", fold), **files, threads=threads)
    return folder


@pytest.fixture(scope="module")
def posterior(folder):
    return Posterior(sorted(folder.glob("fold-*/model.keras")))


@pytest.fixture(scope="module")
def signals():
    return traces(np.array([[2.0, 10.0], [1.2, 60.0], [2.8, 2.0]]))


def test_the_density_integrates_to_one(posterior, signals):
    """The mean over the prior of a density relative to the prior, on a grid finer than the density."""
    cells = 120
    grid = (2 * np.arange(cells) + 1) / cells - 1
    unit = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(1, -1, 2)
    gain = posterior.gain(np.repeat(unit, len(signals), axis=0), posterior.conditions(signals))
    assert np.exp(gain).mean(axis=1) == pytest.approx(1, abs=0.01)


def test_draws_follow_the_density(posterior, signals):
    """The share of draws in a part of the box is the integral of the density over it."""
    rng, conditions = np.random.default_rng(2), posterior.conditions(signals)
    drawn = posterior.sample(conditions, rng.standard_normal((len(signals), 20_000, 2)))
    assert (np.abs(drawn) <= EDGE).all()
    uniform = rng.uniform(-1, 1, (len(signals), 40_000, 2))
    weight = np.exp(posterior.gain(uniform, conditions))
    for part in ([1, 1], [1, -1], [-1, 1]):
        expected = np.where((uniform * part > 0).all(axis=-1), weight, 0).mean(axis=1)
        found = (drawn * part > 0).all(axis=-1).mean(axis=1)
        error = np.sqrt(found * (1 - found) / 20_000 + (weight.std(axis=1) / 200) ** 2)
        assert (np.abs(found - expected) < 5 * error).all()


def test_a_mixture_is_the_mean_of_its_folds(folder, signals):
    files = sorted(folder.glob("fold-*/model.keras"))
    unit = np.random.default_rng(3).uniform(-1, 1, (len(signals), 5, 2))
    densities = [np.exp(p.gain(unit, p.conditions(signals))) for p in (Posterior([f]) for f in files)]
    assert np.abs(densities[0] - densities[1]).max() > 1e-3
    both = Posterior(files)
    assert np.exp(both.gain(unit, both.conditions(signals))) == pytest.approx(np.mean(densities, axis=0), rel=1e-5)
    noise = np.random.default_rng(4).standard_normal((len(signals), 6, 2))
    single = [p.sample(p.conditions(signals), noise) for p in (Posterior([f]) for f in files)]
    drawn = both.sample(both.conditions(signals), noise)
    assert np.allclose(drawn[:, ::2], single[0][:, ::2], atol=1e-6)
    assert np.allclose(drawn[:, 1::2], single[1][:, 1::2], atol=1e-6)


def test_one_condition_stands_for_many_rows(posterior, signals):
    unit = np.random.default_rng(5).uniform(-1, 1, (1, 7, 2))
    alone = posterior.gain(unit, posterior.conditions(signals[:1]))
    beside = posterior.gain(np.repeat(unit, 3, axis=0), posterior.conditions(signals))
    assert alone[0] == pytest.approx(beside[0], abs=1e-5)


def test_a_saved_file_says_what_the_trained_network_says(folder, signals):
    """The file is a Keras model: signal and probits in, gain out."""
    import keras

    path = folder / "fold-0" / "model.keras"
    model, unit = keras.models.load_model(path, compile=False), np.random.default_rng(6).uniform(-1, 1, (3, 1, 2))
    own = model.predict([signals[:, :, None], posteriors._probit(unit[:, 0])], verbose=0)
    posterior = Posterior([path])
    assert posterior.gain(unit, posterior.conditions(signals))[:, 0] == pytest.approx(own, abs=1e-5)


def test_the_mode_is_no_worse_than_any_draw(posterior, signals):
    conditions = posterior.conditions(signals[:1])
    drawn = posterior.sample(conditions, np.random.default_rng(7).standard_normal((1, 500, 2)))
    density = posterior.probit_density(drawn, conditions)[0]
    mode = posterior.mode(conditions, drawn[0, density.argmax()])
    assert posterior.probit_density(mode[None, None], conditions)[0, 0] >= density.max() - 1e-4


def test_a_body_before_the_flow_is_trained_with_it_and_saved(tmp_path):
    """A posterior of traces: convolutions and dense layers give the condition."""
    from neuroinverse.estimators.modelfile import read_metadata

    body = {"conv_filter": [4, 6], "conv_kernel": 3, "conv_padding": "same", "pool_len": 2, "fc_dims": [5]}
    data, files = make_dataset(tmp_path), {"history": tmp_path / "h.csv", "output": tmp_path / "model.keras"}
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    features = [{"log_voltage": {"low_mV": -80, "high_mV": 50}}, {"standardize": {}}]
    trained = train(
        spec(epochs=2, **body) | {"features": features}, [data.path], tmp_path, ("x", 0), **files, threads=threads
    )
    found, signals = Posterior([files["output"]]), data.signal("voltage", 0, 20)
    conditions = found.conditions(signals)
    assert conditions[0].shape == (20, 5) and np.ptp(conditions[0], axis=0).max() > 0
    assert np.isfinite(found.gain(np.zeros((20, 1, 2)), conditions)).all()
    assert trained.metadata["n_weights"] == read_metadata(files["output"])["n_weights"] > 300


def test_a_regressor_is_no_posterior(tmp_path):
    from test_modelfile import metadata
    from tiny import make_model

    from neuroinverse.estimators import cnn
    from neuroinverse.estimators.modelfile import save_model

    save_model(cnn.to_physical_model(make_model(), SPACE), metadata(), tmp_path / "model.keras")
    with pytest.raises(NeuroinverseError, match="is a regressor; ask it with: neuroinverse predict"):
        Posterior([tmp_path / "model.keras"])


def test_batches_are_whole_and_leave_out_what_is_undefined(tmp_path):
    data = make_dataset(tmp_path, failed=(3, 4, 31))
    kept = PairedData(data, "voltage", SPACE, 3, 0, 1e9, 5)
    batches = [(x.shape[0], z) for (x, z), _ in kept.training(0, 16).as_numpy_iterator()]
    assert {n for n, _ in batches} == {16} and len(batches) == kept.n_train // 16
    assert sum(x.shape[0] for (x, _), _ in kept.validation().as_numpy_iterator()) == kept.n_validation
    unit = SPACE.to_unit(data.theta(0, data.n))
    known = {round(float(z), 4) for z in posteriors._probit(unit).ravel()}
    assert all(round(float(v), 4) in known for _, z in batches for v in z.ravel())


def test_a_further_round_refuses_to_lose_simulations(tmp_path):
    data = make_dataset(tmp_path, failed=(3,))
    kept = PairedData(data, "voltage", SPACE, 3, 0, 1e9, 5)
    with pytest.raises(NeuroinverseError, match=r"1 of 60 simulations failed .* would bias"):
        posteriors.require_all(kept)


def test_it_learns_a_posterior_that_is_known():
    """Of x = probit(u) + noise, posteriors of the probits are normal: the gain is known, and so are mean and spread."""
    import keras

    from neuroinverse.estimators.cnn import make_optimizer
    from neuroinverse.simulators.base import Signal

    keras.utils.set_random_seed(1)
    rng, sd, n = np.random.default_rng(8), 0.5, 6000
    z = rng.standard_normal((n, 2)).astype(np.float32)
    x = (z + sd * rng.standard_normal((n, 2))).astype(np.float32)[:, :, None]
    h = complete(FLOW | {"learning_rate": 0.005, "flow_widths": [16]}, "posterior")
    _, model = build_models(Signal("x", "1", 1.0, (2,)), [], h, 2, None)
    model.compile(make_optimizer(h), posteriors.loss)
    model.fit([x[:5000], z[:5000]], z[:5000], batch_size=100, epochs=8, verbose=0)
    found = model.predict([x[5000:], z[5000:]], batch_size=500, verbose=0)
    mean, spread = x[5000:, :, 0] / (1 + sd**2), sd / math.sqrt(1 + sd**2)
    exact = (-0.5 * ((z[5000:] - mean) / spread) ** 2 - math.log(spread) + 0.5 * z[5000:] ** 2).sum(axis=1)
    print(f"gain {found.mean():.3f} nats, exact {exact.mean():.3f}")
    assert exact.mean() - 0.1 < found.mean() < exact.mean() + 0.03
