"""The Gaussian head: its likelihood, what it learns, how it is saved, and what an ensemble makes of it."""

import json
import math

import keras
import numpy as np
import pytest
from tiny import FEATURES, HYPERPARAMETERS, SPACE, make_dataset, make_model, metadata, traces

from neuroinverse.errors import ConfigError
from neuroinverse.estimators import architecture, cnn, heads
from neuroinverse.estimators.ensemble import Ensemble, Predictions
from neuroinverse.estimators.modelfile import read_metadata, save_model
from neuroinverse.stages import train_fold

GAUSSIAN = {"head": "gaussian", "lossName": "nll"}


@pytest.mark.parametrize(("name", "beta"), [("nll", 0), ("beta_nll", 0.5)])
def test_likelihood_is_that_of_a_gaussian_weighted_by_its_variance(name, beta):
    rng = np.random.default_rng(1)
    true, mean, sd = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), rng.uniform(0.1, 2, (5, 3))
    stated = keras.ops.convert_to_tensor(np.concatenate([mean, np.log(sd)], axis=1))
    found = heads.loss(GAUSSIAN | {"lossName": name})(keras.ops.convert_to_tensor(true), stated)
    density = np.exp(-0.5 * ((mean - true) / sd) ** 2) / (sd * math.sqrt(2 * math.pi))
    # but for the constant
    terms = -np.log(density) - 0.5 * math.log(2 * math.pi)
    np.testing.assert_allclose(found, (terms * sd ** (2 * beta)).mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize("name", ["nll", "beta_nll"])
def test_head_learns_where_the_answer_is_uncertain(name):
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 1, (2000, 1))
    y = 0.5 * x + (0.02 + 0.3 * (x > 0.5)) * rng.normal(size=(2000, 1))
    begin = keras.Input((1,))
    hidden = keras.layers.Dense(32, activation="relu")(begin)
    h = {**GAUSSIAN, "lossName": name, "lastAct": "linear", "outAmpl": 1.0}
    model = keras.Model(begin, heads.add_head(hidden, h, 1, True))
    model.compile(keras.optimizers.Adam(0.01), heads.loss(h))
    assert np.exp(model.predict(x[:50], verbose=0)[:, 1]).mean() == pytest.approx(heads.START, abs=0.2)
    model.fit(x, y, epochs=40, batch_size=100, verbose=0)
    low, high = (model.predict(np.linspace(*ends, 50)[:, None], verbose=0) for ends in ((0.1, 0.4), (0.6, 0.9)))
    np.testing.assert_allclose([low[:, 0].mean(), high[:, 0].mean()], [0.125, 0.375], atol=0.05)
    assert np.exp(low[:, 1]).mean() < 0.06 and 0.2 < np.exp(high[:, 1]).mean() < 0.6


@pytest.mark.parametrize("h", [{"head": "gaussian"}, {"lossName": "nll"}, {"head": "point", "lossName": "beta_nll"}])
def test_a_loss_of_another_head_is_refused(h):
    with pytest.raises(ConfigError, match=r"hyperparameters\.lossName: .* takes lossName nll or beta_nll"):
        architecture.is_gaussian(architecture.complete(h))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two saved folds with Gaussian heads, their unit models, and signals, shape (n, time, 1)."""
    folder = tmp_path_factory.mktemp("folds")
    units = [make_model(GAUSSIAN | {"lastAct": "tanh", "outAmpl": 1.2}, seed=k) for k in range(2)]
    paths = [folder / f"{k}.keras" for k in range(2)]
    for unit, path in zip(units, paths, strict=True):
        save_model(cnn.to_physical_model(unit, SPACE), metadata(), path)
    theta, _ = SPACE.draw(1, "tiny/test", np.arange(7))
    return paths, units, traces(theta)[..., None]


def test_saved_head_gives_physical_parameters_and_unit_deviations(saved):
    paths, units, signals = saved
    answer = keras.models.load_model(paths[0]).predict(signals, verbose=0)
    raw = units[0].predict(signals, verbose=0)
    assert raw.shape == (7, 4) and set(answer) == {"parameters", "sd_unit"}
    np.testing.assert_allclose(answer["parameters"], SPACE.to_physical(raw[:, :2]), rtol=1e-5)
    np.testing.assert_allclose(answer["sd_unit"], np.exp(raw[:, 2:]), rtol=1e-5)
    assert (answer["sd_unit"] >= heads.SD[0]).all() and (answer["sd_unit"] <= heads.SD[1]).all()


def test_spread_of_an_ensemble_holds_what_the_folds_state(saved):
    paths, units, signals = saved
    found = Ensemble(paths).predict(signals[..., 0])
    raw = np.stack([unit.predict(signals, verbose=0) for unit in units]).astype(float)
    between, within = raw[..., :2].var(axis=0, ddof=1), np.exp(2 * raw[..., 2:]).mean(axis=0)
    np.testing.assert_allclose(found.sd, np.sqrt(between + within), rtol=1e-4)
    alone = Ensemble(paths[:1]).predict(signals[..., 0])
    np.testing.assert_allclose(alone.sd, np.exp(raw[0, :, 2:]), rtol=1e-4)


def test_folds_that_state_nothing_have_the_spread_between_them():
    folds, nothing = np.random.default_rng(1).normal(size=(3, 4, 2)), (np.zeros((4, 2)), np.full(4, np.nan))
    np.testing.assert_allclose(Predictions(folds, *nothing).sd, folds.std(axis=0, ddof=1))
    assert (Predictions(folds[:1], *nothing).sd == 0).all()


def test_blocks_of_predictions_join_and_part_again():
    rng = np.random.default_rng(2)
    whole = Predictions(rng.normal(size=(3, 9, 2)), rng.uniform(0, 1, (9, 2)), rng.normal(size=9))
    joined = Predictions.joined([whole[:4], whole[4:]])
    for key in ("folds", "variances", "score", "sd"):
        np.testing.assert_array_equal(getattr(joined, key), getattr(whole, key))


def test_training_measures_means_whatever_the_head(tmp_path):
    dataset = make_dataset(tmp_path)
    spec = {
        "version": 1, "simulation": {"study": "tiny"}, "parameters": SPACE.to_table(), "n": 60, "signal": "voltage",
        "features": FEATURES, "hyperparameters": HYPERPARAMETERS | GAUSSIAN, "precision": "float32", "folds": 3,
        "fold": 1, "master_seed": 1,
    }  # fmt: skip
    import tensorflow as tf

    threads = tf.config.threading.get_intra_op_parallelism_threads()
    output = tmp_path / "fold-1" / "model.keras"
    train_fold.run(json.loads(json.dumps(spec)), [dataset.path], output, output.with_name("h.csv"), threads=threads)
    found = read_metadata(output)["validation_rmse_unit"]
    assert read_metadata(output)["outputs"] == ["parameters", "sd_unit"]
    held_out = np.arange(60) % 3 == 1
    theta, _ = SPACE.draw(1, "tiny/train", np.arange(60))
    answer = Ensemble([output]).predict(traces(theta[held_out]))
    mean = answer.mean
    assert np.median(answer.score) < 3, "the file says what the training traces are like"
    np.testing.assert_allclose(found, np.sqrt(((mean - SPACE.to_unit(theta[held_out])) ** 2).mean(axis=0)), rtol=1e-4)
