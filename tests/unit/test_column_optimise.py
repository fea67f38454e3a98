"""The search for gains: it lowers the loss, keeps to its bounds, seeds and projections, and says what is wrong."""

import json
import sys
from dataclasses import replace
from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_column import DT_ms, LeakyCell, loop, surrogates

from neuroinverse.column import optimise as module
from neuroinverse.column.journal import Journal
from neuroinverse.column.network import ColumnNetwork
from neuroinverse.column.objectives import Objective
from neuroinverse.column.optimise import GRADIENT_COST, clipped, optimise, slopes
from neuroinverse.column.settings import SEARCH, complete
from neuroinverse.errors import ConfigError, NeuroinverseError

N = 300
NAMES = ("E_E", "E_I", "I_E", "I_I")
BASE = {"slope": 50.0, "bound": 0.5, "seeds": 2, "learning_rate": 0.1, "patience": 9}
SHORT = BASE | {"epochs": 3, "held_out_seeds": 2}
POWER = {"kind": "band_power", "low_Hz": 15, "high_Hz": 60, "dipoles": ["E"]}


def objective(net, *terms) -> Objective:
    return Objective({"terms": terms or [POWER], "warm_up_ms": 50}, net.populations, net.dipoles, DT_ms, N)


@pytest.fixture(scope="module")
def network():
    return ColumnNetwork(loop(), surrogates(loop()), jit=False)


@pytest.fixture(scope="module")
def power(network):
    """One objective for the module: what is compiled for it serves all tests."""
    return objective(network)


@pytest.fixture(scope="module")
def result(network, power):
    return optimise(network, power, BASE | {"epochs": 8, "held_out_seeds": 4}, 1)


def self_exciting():
    """One projection alone, which is built quickly."""
    return replace(loop(), projections=loop().projections[:1])


def gains(row) -> np.ndarray:
    return np.array([row["log10_gains"][name] for name in NAMES])


def without_seconds(result) -> dict:
    return {key: value for key, value in result.items() if key != "seconds"}


def test_adam_raises_the_power_of_a_band(result):
    assert result["best"]["loss"] < result["initial"]["loss"] - 0.5
    measured = [row["held_out_loss"] for row in result["history"]]
    assert len(measured) == 9 and result["best"]["loss"] == min(measured)
    best = result["best"]["step"]
    assert measured[best] == min(measured) and (gains(result["best"]) == gains(result["history"][best])).all()
    assert result["initial"]["step"] == 0 and not gains(result["initial"]).any()


def test_the_history_says_what_happened(result):
    for row in result["history"]:
        assert set(row["log10_gains"]) == set(NAMES) and set(row["rates_Hz"]) == {"E", "I"}
        assert row["terms"] == {"band_power": row["loss"]}
    for row in result["history"][:-1]:
        norm = np.linalg.norm(list(row["gradient"].values()))
        assert norm <= min(1, row["gradient_norm"]) + 1e-6 or row["gradient_norm"] < 1
    assert result["rollouts"] == (8 * GRADIENT_COST + 1) * 2 and result["held_out_rollouts"] == 9 * 4
    assert json.loads(json.dumps(result)) == result, "plain data"


def test_what_is_measured_is_what_the_network_does(network, power, result):
    activity = network.simulate(gains(result["best"]), network.drive(N, result["held_out_seeds"]))
    assert float(power(activity)["loss"]) == pytest.approx(result["best"]["loss"], rel=1e-4)
    assert {k: float(r) for k, r in power.rates(activity).items()} == pytest.approx(result["best"]["rates_Hz"])


def test_steps_are_those_of_adam_within_the_bounds(result):
    """Keras' optimiser on the recorded gradients, projected, walks the same way."""
    variable, adam = tf.Variable(np.zeros(4)), keras.optimizers.Adam(0.1, epsilon=1e-12)
    at_bound = 0
    for row, after in zip(result["history"][:-1], result["history"][1:], strict=True):
        gradient = np.array([row["gradient"][name] for name in NAMES])
        adam.apply([tf.constant(gradient)], [variable])
        variable.assign(np.clip(variable, -0.5, 0.5))
        np.testing.assert_allclose(gains(after), variable, atol=2e-5)
        at_bound += (np.abs(gains(after)) == 0.5).sum()
    assert at_bound, "the bound is reached, and held"


def test_it_goes_back_to_the_best_gains_at_half_the_rate(network, power):
    """With steps as large as the bounds nothing gets better for long."""
    settings = BASE | {"epochs": 9, "held_out_seeds": 2, "learning_rate": 0.4, "patience": 2}
    history = optimise(network, power, settings, 1)["history"]
    lowest, since, rate, returned = np.inf, 0, 0.4, 0
    for row, after in pairwise(history):
        assert row["learning_rate"] == rate
        since += 1
        if row["held_out_loss"] < lowest:
            lowest, best, since = row["held_out_loss"], row, 0
        if since == 2:
            assert after["log10_gains"] == best["log10_gains"]
            since, rate, returned = 0, rate / 2, returned + 1
        else:
            # the first of a new start is Adam's, of the length of the rate wherever no bound is met
            assert np.abs(gains(after) - gains(row)).max() <= 1.2 * rate
    assert returned >= 2


def test_a_drive_whose_gradient_explodes_is_left_out_and_counted(network, power, monkeypatch):
    settings = BASE | {"epochs": 2, "held_out_seeds": 2}
    plain = module.compiled(network, power)

    def exploding(*arguments):
        terms, rates, each = plain[1](*arguments)
        return terms, rates, tf.concat([tf.fill((1, 4), np.inf), each[1:]], axis=0)

    monkeypatch.setattr(module, "compiled", lambda *_: (plain[0], exploding))
    first = optimise(network, power, settings, 1)["history"][0]
    assert first["exploded"] == 1
    drive = {name: tf.constant(x) for name, x in network.drive(N, seeds_of(network, power, settings)).items()}
    expected = plain[1](tf.zeros(4), drive, tf.constant(50.0))[2].numpy()[1:]
    np.testing.assert_allclose(list(first["gradient"].values()), clipped(expected.astype(float), 1.0), rtol=1e-3)


def seeds_of(network, power, settings):
    """The seeds of the first epoch."""
    search = module._Search(network, power, complete(settings, network.projections), 1, Journal())
    return search._seeds("training", 0, settings["seeds"])


def test_no_drive_outvotes_the_others():
    each = np.array([[3e6, 4e6], [0.0, -0.1], [0.1, 0.0]])
    np.testing.assert_allclose(clipped(each, 1.0), [0.2 + 0.1, 0.8 / 3 - 0.1], rtol=1e-6)
    np.testing.assert_allclose(clipped(each[1:], 1.0), [0.1, -0.1])
    assert not clipped(np.zeros((2, 3)), 1.0).any()


def test_what_each_drive_adds_is_the_gradient(network, power):
    """Gains of each drive's own give parts whose sum is the gradient of gains that all share."""
    drive = {name: tf.constant(x) for name, x in network.drive(N, [1, 2, 3]).items()}
    with tf.GradientTape(persistent=True) as tape:
        shared = tf.constant([0.1, 0.0, -0.1, 0.2])
        tape.watch(shared)
        each = tf.tile(shared[None], (3, 1))
        losses = [power(network.rollout(g, drive, tf.constant(20.0)))["loss"] for g in (shared, each)]
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-5)
    parts = tape.gradient(losses[1], each)
    assert parts.shape == (3, 4) and (np.abs(parts) > 0).any(axis=1).all()
    np.testing.assert_allclose(np.sum(parts, axis=0), tape.gradient(losses[0], shared), rtol=2e-3, atol=1e-5)


def test_only_the_projections_that_are_asked_for_change(network, power):
    settings = SHORT | {"projections": ["E_E"], "initial_gains": {"E_I": 4.0, "E_E": 1.5}}
    found = np.array([gains(row) for row in optimise(network, power, settings, 1)["history"]])
    np.testing.assert_allclose(found[:, 1:], np.log10([[4.0, 1.0, 1.0]] * 4))
    np.testing.assert_allclose(found[0, 0], np.log10(1.5))
    assert (np.diff(found[:, 0]) != 0).all()


def test_a_search_repeats_itself_and_follows_its_seed(network, power):
    first, again, other = (optimise(network, power, SHORT, seed) for seed in (1, 1, 2))
    assert without_seconds(first) == without_seconds(again)
    assert first["held_out_seeds"] != other["held_out_seeds"] and first["initial"]["loss"] != other["initial"]["loss"]


@pytest.mark.parametrize("method", ["adam", "cma", "random"])
def test_a_search_that_was_killed_goes_on_where_it_was(network, power, tmp_path, monkeypatch, method):
    settings, folder = SHORT | {"method": method, "generation": 2}, tmp_path / "checkpoint"
    expected = without_seconds(optimise(network, power, settings, 1))
    done, calls = Journal.measured, []

    def killed(journal, question, measure):
        calls.append(question)
        if len(calls) > 4:
            raise KeyboardInterrupt
        return done(journal, question, measure)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "measured", killed)
        optimise(network, power, settings, 1, Journal(folder, "spec"))
    # and in the middle of a line
    file = folder / "search.jsonl"
    file.write_text(file.read_text()[:-9])
    made = []
    again = Journal(folder, "spec")
    monkeypatch.setattr(Journal, "_write", lambda journal, row: made.append(row))
    assert without_seconds(optimise(network, power, settings, 1, again)) == expected
    monkeypatch.undo()
    whole = []
    monkeypatch.setattr(Journal, "measured", lambda journal, q, m: whole.append(q) or done(journal, q, m))
    optimise(network, power, settings, 1)
    assert len(made) == len(whole) - 3
    again.remove()
    assert not folder.exists()


def test_a_journal_of_another_search_is_thrown_away(tmp_path, capsys):
    for spec, kept in (("one", 0), ("one", 1), ("other", 0)):
        journal = Journal(tmp_path / "checkpoint", spec)
        assert ("goes on after 1" in capsys.readouterr().out) == bool(kept)
        assert journal.measured([1.5], lambda: {"loss": 2.0}) == {"loss": 2.0}
    with pytest.raises(RuntimeError, match=r"checkpoint: .*other measurements.*remove"):
        Journal(tmp_path / "checkpoint", "other").measured([2.5], dict)


def test_seeds_are_new_in_every_epoch_or_stay(network, power):
    """With gains that hardly move, losses differ by the seeds alone."""
    settings = SHORT | {"learning_rate": 1e-6}
    changing, staying = (
        [row["loss"] for row in optimise(network, power, settings | {"new_seeds": new}, 1)["history"]]
        for new in (True, False)
    )
    assert changing[0] == staying[0] and np.ptp(changing) > 0.01 and np.ptp(staying) < 1e-3


def test_random_search_is_a_control_of_equal_budget(network, power, result):
    found = optimise(network, power, BASE | {"method": "random", "epochs": 8, "held_out_seeds": 4}, 1)
    assert found["rollouts"] == result["rollouts"] and len(found["history"]) == 1 + 8 * GRADIENT_COST
    assert found["held_out_seeds"] == result["held_out_seeds"] and found["initial"] == result["initial"]
    drawn = np.array([gains(row) for row in found["history"]])
    assert not drawn[0].any() and np.abs(drawn).max() <= 0.5 and np.ptp(drawn[1:], axis=0).min() > 0.5
    # measured where the loss under its seeds is the lowest so far
    losses = [row["loss"] for row in found["history"]]
    measured = ["held_out_loss" in row for row in found["history"]]
    assert measured == [loss == min(losses[: i + 1]) for i, loss in enumerate(losses)]
    assert found["held_out_rollouts"] == 4 * sum(measured)
    assert found["best"]["loss"] <= found["initial"]["loss"]


def test_cma_es_is_a_control_of_equal_budget(network, power, result):
    pytest.importorskip("cma")
    settings = BASE | {"method": "cma", "epochs": 8, "held_out_seeds": 4, "generation": 5}
    found = optimise(network, power, settings | {"projections": ["E_E", "I_E"]}, 1)
    assert found["rollouts"] == (3 * 5 + 1) * 2 <= result["rollouts"], "whole generations"
    assert [len(row["losses"]) for row in found["history"][1:]] == [5] * 3
    assert all(row["loss"] == min(row["losses"]) for row in found["history"][1:])
    tried = np.array([gains(row) for row in found["history"]])
    assert np.abs(tried).max() <= 0.5 and not tried[:, [1, 3]].any() and tried[1:, [0, 2]].all()
    again = optimise(network, power, settings | {"projections": ["E_E", "I_E"]}, 1)
    assert without_seconds(found) == without_seconds(again)
    json.dumps(found)


def test_without_cma_the_message_says_what_to_install(network, power, monkeypatch):
    monkeypatch.setitem(sys.modules, "cma", None)
    with pytest.raises(NeuroinverseError, match="pip install cma"):
        optimise(network, power, SHORT | {"method": "cma"}, 1)


def test_slopes_are_compared_and_one_that_fails_is_reported(network, power, monkeypatch):
    found = slopes(network, power, SHORT, [1e6, 50.0], 1)
    assert [run["slope"] for run in found["runs"]] == [1e6, 50.0]
    steep, moderate = found["runs"]
    assert steep["history"][0]["loss"] == moderate["history"][0]["loss"], "a slope changes no activity"
    assert steep["history"][0]["gradient_norm"] != moderate["history"][0]["gradient_norm"]
    best = min(found["runs"], key=lambda run: run["best"]["loss"])
    assert found["best_slope"] == best["slope"]
    with pytest.raises(ConfigError, match="slope: 0; expected a positive number"):
        slopes(network, power, SHORT, [0], 1)


@tf.custom_gradient
def poisoned(x):
    return tf.identity(x), lambda upstream: upstream * np.nan


class Failing(LeakyCell):
    """What it shows is no number, or what flows back through it."""

    def __init__(self, backwards):
        super().__init__()
        self.backwards = backwards

    def step(self, state, x):
        state, outputs = super().step(state, x)
        return state, poisoned(outputs) if self.backwards else outputs * np.nan


@pytest.mark.parametrize(
    ("backwards", "words"),
    [
        (False, ["loss is not finite", "band_power nan", "0.5", "bound"]),
        (True, ["epoch 0", "gradient", "E_E", "slope"]),
    ],
)
def test_what_is_not_finite_ends_the_search_with_a_cure(backwards, words):
    net = ColumnNetwork(self_exciting(), surrogates(loop(), lambda: Failing(backwards)), jit=False)
    with pytest.raises(NeuroinverseError) as caught:
        optimise(net, objective(net), SHORT, 1)
    for word in words:
        assert word in str(caught.value)
    found = slopes(net, objective(net), SHORT, [5.0], 1)
    assert found["best_slope"] is None and words[-1] in found["runs"][0]["error"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "adamw"}, ["search.method", "adamw", "adam"]),
        ({"epoch": 3}, ["search", "epoch", "epochs"]),
        ({"projections": ["E_E", "EI"]}, ["search.projections", "'EI'", "E_I"]),
        ({"initial_gains": {"II": 2}}, ["search.initial_gains", "'II'", "I_I"]),
        ({"initial_gains": {"I_I": 0}}, ["search.initial_gains.I_I", "0", "positive"]),
        ({"initial_gains": {"I_I": 20}}, ["search.initial_gains.I_I", "20", "[0.1, 10]", "bound"]),
        ({"epochs": 0}, ["search.epochs", "0", "an integer from 1 on"]),
        ({"seeds": 1.5}, ["search.seeds", "1.5", "integer"]),
        ({"learning_rate": -0.1}, ["search.learning_rate", "-0.1"]),
        ({"bound": "one"}, ["search.bound", "'one'", "positive number"]),
        ({"epochs": True}, ["search.epochs", "True", "integer"]),
        ({"new_seeds": 3}, ["search.new_seeds", "3", "true or false"]),
        ({"projections": "E_E"}, ["search.projections", "'E_E'", "a list"]),
        ({"method": "cma", "projections": ["E_E"]}, ["search.projections", "cma", "two or more"]),
    ],
)
def test_settings_that_do_not_fit_are_named(settings, words):
    with pytest.raises(ConfigError) as caught:
        complete(settings, NAMES)
    for word in words:
        assert word in str(caught.value)


def test_settings_are_completed():
    full = complete({"epochs": 3, "initial_gains": {"E_I": 0.1}}, NAMES)
    assert full == {**SEARCH, "epochs": 3, "projections": list(NAMES), "initial_gains": {"E_I": 0.1}}
    # a gain that stays may be anything
    assert complete({"projections": ["E_E"], "initial_gains": {"E_I": 100}}, NAMES)["initial_gains"] == {"E_I": 100}


def test_a_search_is_the_same_compiled_and_by_segments():
    column = self_exciting()
    plain, fast = (ColumnNetwork(column, surrogates(column), **s) for s in ({"jit": False}, {"segment_ms": 40}))
    plain, fast = (optimise(net, objective(net), SHORT | {"epochs": 1}, 1) for net in (plain, fast))
    assert plain["history"][1]["log10_gains"]["E_E"] != 0
    assert fast["history"][1]["log10_gains"] == pytest.approx(plain["history"][1]["log10_gains"], abs=1e-3)
    assert fast["initial"]["loss"] == pytest.approx(plain["initial"]["loss"], rel=1e-3)


def test_a_silent_column_is_no_error():
    """Its dipole has no power at all: the loss is finite, and no gradient leads away."""
    silent = ColumnNetwork(replace(self_exciting(), drives=()), surrogates(loop()), jit=False)
    found = optimise(silent, objective(silent), SHORT | {"epochs": 1}, 1)
    assert np.isfinite(found["best"]["loss"]) and found["best"]["log10_gains"] == {"E_E": 0}
