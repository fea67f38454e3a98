import numpy as np
import pytest

from neuroinverse.errors import NeuroinverseError
from neuroinverse.shards import NOT_FINITE, OK, RAISED, SILENT
from neuroinverse.simulators.base import ParameterInfo, Signal, Simulator
from neuroinverse.stages import simulate_shard
from neuroinverse.stages.simulate_shard import simulate_batch

PROTOCOL = {
    "dt_ms": 0.5, "duration_ms": 4,
    "stimulus": {"kind": "step", "start_ms": 0, "stop_ms": 4, "amplitude": 1, "unit": "1"},
}  # fmt: skip


class Fragile(Simulator):
    """Answers a · (1, 2, …); raises for a batch with a negative a; NaN for a = 5, infinite for a = 6."""

    parameters = {"a": ParameterInfo("1", 1.0), "b": ParameterInfo("1", 0.0)}
    stimulus_unit = "1"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.batches = []

    @property
    def signals(self):
        return (Signal("x", "mV", 0.5, (8,)), Signal("y", "nA", 0.5, (8, 2)))

    def simulate(self, theta, seeds):
        self.batches.append(len(theta))
        a = theta[:, 0]
        if (a < 0).any():
            raise FloatingPointError("negative a")
        x = a[:, None] * np.arange(1, 9)
        y = np.stack([x, seeds[:, None] + 0 * x], axis=2)
        x[a == 5, 3:] = np.nan
        y[a == 6, 7, 1] = np.inf
        return {"x": x, "y": y}


def run(a):
    simulator = Fragile(["a"], PROTOCOL)
    seeds = np.arange(100, 100 + len(a), dtype=np.uint64)
    values, status = simulate_batch(simulator, np.array(a, float)[:, None], seeds)
    assert {k: v.shape for k, v in values.items()} == {"x": (len(a), 8), "y": (len(a), 8, 2)}
    assert all(v.dtype == np.float32 for v in values.values())
    assert status.dtype == np.uint8
    return simulator, values, status.tolist()


def check_rows(a, values, status):
    """Every row that is ok holds its own simulation, with its own seed."""
    for i, value in enumerate(a):
        if status[i] == OK:
            np.testing.assert_array_equal(values["x"][i], np.float32(value) * np.arange(1, 9))
            np.testing.assert_array_equal(values["y"][i, :, 0], values["x"][i])
            np.testing.assert_array_equal(values["y"][i, :, 1], 100 + i)


def test_a_good_batch_runs_at_once():
    a = [1, 2, 3, 4]
    simulator, values, status = run(a)
    assert status == [OK] * 4
    assert simulator.batches == [4]
    check_rows(a, values, status)


@pytest.mark.parametrize("bad", [{0}, {6}, {3}, {1, 2}, {0, 3, 6}, set(range(7))])
def test_only_the_simulation_that_raises_fails(bad, capsys):
    a = [-1.0 - i if i in bad else 10.0 + i for i in range(7)]
    _, values, status = run(a)
    assert status == [RAISED if i in bad else OK for i in range(7)]
    check_rows(a, values, status)
    for i in bad:
        assert np.isnan(values["x"][i]).all() and np.isnan(values["y"][i]).all()
    # the log says which parameters failed, and why
    log = capsys.readouterr().err
    for i in bad:
        assert str([a[i]]) in log
    assert log.count("FloatingPointError: negative a") == len(bad)


def test_values_that_are_not_finite_have_their_own_status():
    a = [1, 5, 2, 6, 3]
    simulator, values, status = run(a)
    assert status == [OK, NOT_FINITE, OK, NOT_FINITE, OK]
    assert simulator.batches == [5]
    check_rows(a, values, status)
    assert np.isnan(values["x"][1, 3:]).all()


def test_both_kinds_of_failure_in_one_batch():
    a = [5, -1, 1, 6, -2, 2]
    _, values, status = run(a)
    assert status == [NOT_FINITE, RAISED, OK, NOT_FINITE, RAISED, OK]
    check_rows(a, values, status)


class Quiet(Fragile):
    """Says that a < 10 is silent; its second signal is undefined for a = 7, 8 and 17, and infinite for a = 16."""

    @property
    def signals(self):
        return (Signal("x", "mV", 0.5, (8,)), Signal("y", "nA", 0.5, (1,), may_be_nan=True))

    def simulate(self, theta, seeds):
        a = theta[:, 0]
        if (a < 0).any():
            raise FloatingPointError("negative a")
        y = np.select([np.isin(a, (7, 8, 17)), a == 16], [np.nan, np.inf], a)
        return {"x": np.where(a == 8, np.nan, a)[:, None] * np.ones(8), "y": y[:, None], "silent": a < 10}


def test_silent_networks_are_no_failures():
    a = [7, 8, 11, -1, 16, 17]
    values, status = simulate_batch(Quiet(["a"], PROTOCOL), np.array(a, float)[:, None], np.zeros(6, np.uint64))
    # what is undefined because nothing spiked is silence; undefined where it may be is no failure, infinite is one
    assert status.tolist() == [SILENT, SILENT, OK, RAISED, NOT_FINITE, OK]
    assert np.isnan(values["y"][5, 0]) and list(values) == ["x", "y"]


def test_a_wrong_shape_is_an_error_of_the_simulator():
    class Wrong(Fragile):
        def simulate(self, theta, seeds):
            return {"x": np.zeros((len(theta), 7)), "y": np.zeros((len(theta), 8, 2))}

    with pytest.raises(ValueError, match=r"x of shape \(2, 7\), expected \(2, 8\)"):
        simulate_batch(Wrong(["a"], PROTOCOL), np.ones((2, 1)), np.zeros(2, np.uint64))


def test_ctrl_c_is_no_failed_simulation():
    class Interrupted(Fragile):
        def simulate(self, theta, seeds):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_batch(Interrupted(["a"], PROTOCOL), np.ones((2, 1)), np.zeros(2, np.uint64))


def test_a_worker_that_dies_is_said_and_leaves_nothing(tmp_path):
    (tmp_path / "deadly.py").write_text(
        "import os\n"
        "from neuroinverse.simulators.base import ParameterInfo, Signal, Simulator\n"
        "class Deadly(Simulator):\n"
        "    parameters = {'a': ParameterInfo('1', 1.0)}\n"
        "    stimulus_unit = '1'\n"
        "    signals = (Signal('x', 'mV', 0.5, (8,)),)\n"
        "    def simulate(self, theta, seeds):\n"
        "        os._exit(9)\n"
    )
    simulation = {
        "study": "s",
        "dataset": "train",
        "master_seed": 0,
        "simulator": {"path": str(tmp_path / "deadly.py"), "class": "Deadly"},
        "parameters": [{"name": "a", "unit": "1", "low": 0, "high": 1, "scale": "linear"}],
        "protocol": PROTOCOL,
    }
    shard = tmp_path / "shards" / "00000.h5"
    with pytest.raises(NeuroinverseError, match="worker process died"):
        simulate_shard.run({"simulation": simulation, "start": 0, "stop": 4}, shard, threads=2)
    assert list(shard.parent.iterdir()) == []
