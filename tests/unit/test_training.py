"""Training data, the loop over epochs, and the devices it runs on."""

import csv
import json
import math
import subprocess
import sys

import keras
import numpy as np
import pytest
from tiny import FEATURES, HYPERPARAMETERS, SIGNAL, SPACE, make_dataset, make_model, traces

from neuroinverse.errors import ConfigError, NeuroinverseError
from neuroinverse.estimators import cnn, devices, posterior, streaming, training
from neuroinverse.estimators.streaming import FoldData
from neuroinverse.estimators.training import Checkpoint, TrainingState, fit
from neuroinverse.parameters import ParameterSpace

FAILED = (3, 4, 31, 58)
BIG, TINY = 1e9, 8 * 24 * 4 * 4


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("tiny"), failed=FAILED)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Chunks of 8 simulations, so that 60 of them are streamed in several groups."""
    monkeypatch.setattr(streaming, "CHUNK", 8)


def fold_data(dataset, memory=BIG, folds=3, fold=0, seed=5) -> FoldData:
    return FoldData(dataset, "voltage", SPACE, folds, fold, memory, seed)


def rows(batches) -> list[tuple]:
    """Unit parameters of every simulation, in the order in which batches deliver them."""
    return [tuple(y) for _, ys in batches.as_numpy_iterator() for y in ys]


def expected(dataset, keep) -> set[tuple]:
    """Unit parameters of the usable simulations whose index `keep` accepts."""
    unit = SPACE.to_unit(dataset.theta(0, dataset.n)).astype(np.float32)
    return {tuple(unit[i]) for i in range(dataset.n) if i not in FAILED and keep(i)}


@pytest.mark.parametrize("memory", [BIG, TINY], ids=["in memory", "streamed"])
def test_training_shifts_simulations_and_validation_does_not(dataset, memory):
    """Early or late by so many samples, another number in every epoch, and no other one of the simulation's values."""
    data = fold_data(dataset, memory)
    plain = {tuple(y): x for xs, ys in data.training(0, 8).as_numpy_iterator() for x, y in zip(xs, ys, strict=True)}
    found = {}
    for epoch in (0, 1):
        for xs, ys in data.training(epoch, 8, 3).as_numpy_iterator():
            for x, y in zip(xs, ys, strict=True):
                n, original = len(x), plain[tuple(y)]
                places = np.arange(n)
                fits = [s for s in range(-3, 4) if (x == original[np.clip(places - s, 0, n - 1)]).all()]
                assert len(fits) == 1
                found.setdefault(epoch, []).append(fits[0])
    assert set(found[0]) == set(range(-3, 4)) and found[0] != found[1]
    again = [x for x, _ in data.training(1, 8, 3).as_numpy_iterator()]
    first = [x for x, _ in data.training(1, 8, 3).as_numpy_iterator()]
    assert all((a == b).all() for a, b in zip(again, first, strict=True))


def test_noise_is_of_training_alone(dataset):
    h = HYPERPARAMETERS | {"augment": {"shift": 1, "noise": 0.5}}
    data = fold_data(dataset)
    _, model = cnn.build_models(SIGNAL, FEATURES, h, 2, cnn.feature_statistics(data.training_features))
    x = next(iter(data.validation()))[0]
    assert (model(x, training=False) == model(x, training=False)).numpy().all()
    assert (model(x, training=True) != model(x, training=True)).numpy().any()


@pytest.mark.parametrize("batch_size", [1, 7, 8, 100])
@pytest.mark.parametrize("memory", [BIG, TINY], ids=["in memory", "streamed"])
def test_every_simulation_once_per_epoch(dataset, memory, batch_size):
    data = fold_data(dataset, memory)
    assert data.fits == (memory == BIG)
    batches = data.training(0, batch_size)
    found = rows(batches)
    assert len(found) == len(set(found)) == data.n_train
    assert set(found) == expected(dataset, lambda i: i % 3 != 0)
    sizes = [len(x) for x, _ in batches.as_numpy_iterator()]
    assert sizes[:-1] == [batch_size] * (len(sizes) - 1) and len(sizes) == int(batches.cardinality())


@pytest.mark.parametrize("memory", [BIG, TINY], ids=["in memory", "streamed"])
def test_signals_stay_with_their_parameters(dataset, memory):
    for x, y in fold_data(dataset, memory).training(2, 10).as_numpy_iterator():
        assert x.shape[1:] == (24, 1) and np.isfinite(x).all()
        np.testing.assert_allclose(x[..., 0], traces(SPACE.to_physical(y)), rtol=1e-3)


def test_folds_partition_the_usable_simulations(dataset):
    parts = [fold_data(dataset, folds=4, fold=k) for k in range(4)]
    held_out = [set(rows(part.validation())) for part in parts]
    assert sum(map(len, held_out)) == len(set.union(*held_out)) == dataset.n - len(FAILED)
    for part, held in zip(parts, held_out, strict=True):
        assert not held & set(rows(part.training(0, 8)))
        assert part.n_train + part.n_validation == dataset.n - len(FAILED)
    single = fold_data(dataset, folds=1)
    assert (single.n_train, single.n_validation) == (dataset.n - len(FAILED), 0)


@pytest.mark.parametrize("memory", [BIG, TINY], ids=["in memory", "streamed"])
def test_the_order_depends_on_seed_and_epoch_alone(dataset, memory):
    first = rows(fold_data(dataset, memory).training(3, 8))
    used = fold_data(dataset, memory)
    rows(used.training(0, 8))
    assert rows(used.training(3, 8)) == first, "an earlier epoch must not matter"
    assert rows(used.training(4, 8)) != first
    assert rows(fold_data(dataset, memory, seed=6).training(3, 8)) != first
    assert rows(fold_data(dataset, memory).training(3, 8)) != sorted(first)


def test_another_shard_size_trains_on_the_same(dataset, tmp_path):
    other = make_dataset(tmp_path, shard_size=60, failed=FAILED)
    assert rows(fold_data(other, TINY).training(1, 8)) == rows(fold_data(dataset, TINY).training(1, 8))


def test_statistics_are_of_the_training_part(dataset):
    blocks = list(fold_data(dataset, TINY).training_features(5))
    assert sum(map(len, blocks)) == fold_data(dataset).n_train and max(map(len, blocks)) <= 5


@pytest.mark.parametrize("memory", [BIG, TINY], ids=["in memory", "streamed"])
def test_features_are_computed_before_the_network(dataset, memory):
    """Once where they fit, as batches come where they do not: the same features either way."""
    first = cnn.feature_model(SIGNAL, FEATURES)
    data = FoldData(dataset, "voltage", SPACE, 3, 0, memory, 5, first)
    assert data.fits == (memory == BIG)
    for batches in (data.training(1, 10), data.validation(7)):
        for x, y in batches.as_numpy_iterator():
            expected = np.log10(np.clip(traces(SPACE.to_physical(y)), -80, 50) + 81)
            np.testing.assert_allclose(x[..., 0], expected, rtol=1e-5)
    assert sum(map(len, data.training_features(5))) == data.n_train


def test_what_fits_is_measured_in_features(dataset):
    """A spectrum of 5 frequencies fits where 24 samples do not."""
    first = cnn.feature_model(SIGNAL, [{"welch": {"segment_ms": 4}}])
    room = dataset.n * 4 * 10
    assert not FoldData(dataset, "voltage", SPACE, 3, 0, room, 5).fits
    assert FoldData(dataset, "voltage", SPACE, 3, 0, room, 5, first).fits


def test_training_of_the_shared_part_trains_the_whole(dataset, tmp_path):
    first = cnn.feature_model(SIGNAL, FEATURES)
    data = FoldData(dataset, "voltage", SPACE, 3, 0, BIG, 5, first)
    statistics = cnn.feature_statistics(data.training_features)
    whole, model = cnn.build_models(SIGNAL, FEATURES, HYPERPARAMETERS, 2, statistics, first)
    model.compile(cnn.make_optimizer(HYPERPARAMETERS), "mse")
    state = fit(model, data, HYPERPARAMETERS, Checkpoint(tmp_path / "c", {}))
    whole.compile(loss="mse")
    signals = fold_data(dataset).validation()
    assert whole.evaluate(signals, verbose=0) == pytest.approx(state.best_loss, rel=1e-5)


def test_some_of_the_parameters(dataset):
    tau = ParameterSpace(SPACE.parameters[1:])
    both = fold_data(dataset).validation().as_numpy_iterator()
    one = FoldData(dataset, "voltage", tau, 3, 0, BIG, 5).validation().as_numpy_iterator()
    for (_, y), (_, y_tau) in zip(both, one, strict=True):
        np.testing.assert_array_equal(y_tau, y[:, 1:])


def test_a_fold_without_simulations_is_refused(tmp_path):
    data = make_dataset(tmp_path, n=6, failed=(0, 2, 4))
    with pytest.raises(NeuroinverseError, match="0 validation simulations"):
        fold_data(data, folds=2, fold=0)


def watch(losses, **h) -> TrainingState:
    """State after a training with these losses."""
    h = HYPERPARAMETERS | h
    state = TrainingState("", learning_rate=h["learning_rate"])
    for loss in losses:
        state.epoch += 1
        training._judge(state, h, loss)
    return state


def test_plateaus_reduce_the_learning_rate():
    h = {"learning_rate": 1.0, "lrSchedule": "plateau", "reduceLR_factor": 0.5, "reduceLR_patience": 2}
    assert watch([5, 4, 3, 2], **h).learning_rate == 1
    assert watch([5, 6, 6], **h).learning_rate == 0.5
    assert watch([5, 6, 6, 4, 6], **h).learning_rate == 0.5
    state = watch([5, 6, 6, 6, 6], **h)
    assert state.learning_rate == 0.25 and state.best_epoch == 1
    assert training.learning_rate(HYPERPARAMETERS | h, 7, state) == 0.25


def test_the_cosine_falls_from_the_full_rate_to_zero():
    h = HYPERPARAMETERS | {"learning_rate": 0.2, "lrSchedule": "cosine", "epochs": 10}
    rates = [training.learning_rate(h, epoch, TrainingState("")) for epoch in range(11)]
    assert rates[0] == 0.2 and rates[5] == pytest.approx(0.1) and rates[10] == pytest.approx(0)
    assert rates == sorted(rates, reverse=True)


def test_training_stops_early():
    h = {"earlyStop_patience": 3}
    assert not watch([2, 3, 3], **h).stopped
    assert watch([2, 3, 3, 3], **h).stopped
    assert watch([2, math.nan], **h).stopped


def run(dataset, folder, after_epoch=lambda epoch: None, **h):
    """Trains a tiny network with a checkpoint in `folder`; returns model and state."""
    h = HYPERPARAMETERS | h
    model = make_model(h)
    return model, fit(model, fold_data(dataset), h, Checkpoint(folder, {"h": h}), after_epoch)


def make_posterior(h):
    h = HYPERPARAMETERS | {"flow_layers": 1, "flow_widths": [8], "flow_bins": 4} | h
    _, model = posterior.build_models(SIGNAL, FEATURES[:1], h, 2, None, cnn.feature_model(SIGNAL, FEATURES[:1]))
    model.compile(cnn.make_optimizer(h), posterior.loss)
    return model


def test_training_learns_keeps_the_best_and_writes_its_history(dataset, tmp_path):
    model, state = run(dataset, tmp_path / "c", epochs=6, learning_rate=0.02)
    losses = [row["val_loss"] for row in state.history]
    assert state.epoch == len(losses) == 6 and min(losses) < 0.8 * losses[0]
    assert state.best_loss == min(losses) and state.best_epoch == 1 + losses.index(min(losses))
    assert model.evaluate(fold_data(dataset).validation(), verbose=0) == pytest.approx(state.best_loss, rel=1e-5)
    training.write_history(state.history, tmp_path / "history.csv")
    with (tmp_path / "history.csv").open() as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == ["epoch", "seconds", "learning_rate", "loss", "val_loss"]
    assert [int(row["epoch"]) for row in table] == [1, 2, 3, 4, 5, 6]
    assert [float(row["val_loss"]) for row in table] == losses


class Killed(BaseException):
    """Stands for a kill between two epochs."""


def killed_after(last):
    def kill(epoch):
        if epoch == last:
            raise Killed

    return kill


@pytest.mark.parametrize(
    "h",
    [
        {"lrSchedule": "plateau"},
        {"lrSchedule": "cosine"},
        {"dropFrac": 0.3, "augment": {"shift": 2, "noise": 0.3}},
    ],
    ids=["plateau", "cosine", "dropout and noise"],
)
def test_a_resumed_training_ends_where_the_whole_one_does(dataset, tmp_path, capsys, h):
    h = {"epochs": 4, "reduceLR_patience": 1, "learning_rate": 0.01} | h
    whole, expected_state = run(dataset, tmp_path / "whole", **h)
    with pytest.raises(Killed):
        run(dataset, tmp_path / "resumed", killed_after(2), **h)
    resumed, state = run(dataset, tmp_path / "resumed", **h)
    assert "resumes after epoch 2" in capsys.readouterr().out
    for column in ("epoch", "learning_rate", "loss", "val_loss"):
        assert [row[column] for row in state.history] == pytest.approx(
            [row[column] for row in expected_state.history], rel=1e-5
        )
    # sums of several threads differ in their last digits; another draw would differ in the first
    for a, b in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert state.generators == expected_state.generators


def saved(model, folder) -> Checkpoint:
    """The checkpoint of a model after an epoch."""
    checkpoint = Checkpoint(folder, {})
    state = checkpoint.load(model, 0.1)
    state.epoch = 1
    model.optimizer.build(model.trainable_variables)
    checkpoint.save(model, state, True)
    return checkpoint


def test_the_generators_of_a_flow_are_kept(tmp_path):
    """Dropout stands deep within BayesFlow's layers."""
    model = make_posterior({"dropFrac": 0.3, "flow_dropout": 0.3})
    dropouts = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Dropout)]
    random = [layer.seed_generator.state for layer in dropouts]
    assert len(random) >= 3
    checkpoint, before = saved(model, tmp_path / "c"), [np.array(v) for v in random]
    for variable in random:
        variable.assign(variable + 5)
    assert checkpoint.load(model, 0.1).epoch == 1
    np.testing.assert_array_equal([np.array(v) for v in random], before)


def test_a_checkpoint_without_the_states_of_its_generators_is_discarded(tmp_path):
    """Those of earlier versions: dropout would begin again with the first epoch's draws."""
    for dropout, epoch in ((0.0, 1), (0.3, 0)):
        model = make_model({"dropFrac": dropout})
        checkpoint = saved(model, tmp_path / str(dropout))
        assert checkpoint.load(model, 0.1).epoch == 1
        file = tmp_path / str(dropout) / "state.json"
        state = json.loads(file.read_text())
        del state["generators"]
        file.write_text(json.dumps(state))
        assert checkpoint.load(model, 0.1).epoch == epoch


def test_a_checkpoint_of_another_training_is_discarded(dataset, tmp_path, capsys):
    run(dataset, tmp_path / "c", epochs=1)
    _, state = run(dataset, tmp_path / "c", epochs=2)
    assert "resumes" not in capsys.readouterr().out and len(state.history) == 2


def test_a_diverging_training_says_so(dataset, tmp_path):
    with pytest.raises(NeuroinverseError, match=r"diverged.*Lower hyperparameters.learning_rate \(now 1e\+30\)"):
        run(dataset, tmp_path / "c", learning_rate=1e30, optimizerName="sgd")
    assert not (tmp_path / "c").exists(), "a repetition starts anew"


@pytest.fixture
def policy():
    """Puts the global dtype policy back."""
    before = keras.mixed_precision.global_policy() if hasattr(keras.mixed_precision, "global_policy") else "float32"
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(dataset, tmp_path, policy, precision):
    import tensorflow as tf

    devices.use_devices(0, precision, tf.config.threading.get_intra_op_parallelism_threads(), 1)
    model, state = run(dataset, tmp_path / "c", epochs=1)
    assert model.get_layer("conv_1_1").compute_dtype == precision.removeprefix("mixed_")
    assert model.output.dtype == "float32" and model.get_layer("conv_1_1").variable_dtype == "float32"
    assert math.isfinite(state.best_loss)


def test_too_few_gpus_are_an_error(policy):
    import tensorflow as tf

    here = len(tf.config.list_physical_devices("GPU"))
    with pytest.raises(ConfigError, match=f"{here + 1} GPUs asked for .* and {here} found"):
        devices.use_devices(here + 1, "float32", tf.config.threading.get_intra_op_parallelism_threads(), 1)


MIRRORED = """
import sys
import tensorflow as tf
cpu, = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tiny import HYPERPARAMETERS, SPACE, make_dataset, make_model
from neuroinverse.estimators.streaming import FoldData
from neuroinverse.estimators.training import Checkpoint, fit
folder = Path(sys.argv[2])
data = FoldData(make_dataset(folder), "voltage", SPACE, 3, 0, 1e9, 5)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = make_model()
    state = fit(model, data, HYPERPARAMETERS | {"epochs": 2}, Checkpoint(folder / "c", {}))
print(strategy.num_replicas_in_sync, state.history[-1]["val_loss"])
"""


def test_two_devices_train_together(tmp_path, request):
    """Two logical CPUs stand for two GPUs."""
    command = [
        sys.executable,
        "-c",
        "import neuroinverse.estimators\n" + MIRRORED,
        str(request.path.parent),
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    replicas, loss = done.stdout.split()[-2:]
    assert replicas == "2" and math.isfinite(float(loss))
