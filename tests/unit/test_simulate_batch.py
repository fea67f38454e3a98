import math
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from neuroinverse import cli, interrupts
from neuroinverse.errors import ConfigError
from neuroinverse.provenance import canonical
from neuroinverse.shards import NOT_FINITE, OK, RAISED, SILENT
from neuroinverse.simulators import run as run_module
from neuroinverse.simulators.base import ParameterInfo, Signal, SimulationFailed, Simulator
from neuroinverse.simulators.run import Watch, run_batch, simulate_batch

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


X, Y = np.zeros((2, 8)), np.zeros((2, 8, 2))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, r"returned None; expected a dictionary with x of shape \(2, 8\), y of shape \(2, 8, 2\)"),
        (X, r"returned an array of shape \(2, 8\); expected a dictionary with x"),
        ([X, Y], "returned a list of 2; expected a dictionary"),
        ({}, "returned a dictionary with nothing; missing x, y: expected x of shape"),
        ({"v": X, "y": Y}, "returned a dictionary with 'v', 'y'; missing x: expected"),
        ({"x": X}, "missing y"),
        (
            {"x": X[:, :7], "y": Y},
            r"gave x of shape \(2, 7\); expected \(2, 8\): simulations, time, as its Signal says",
        ),
        ({"x": X[0], "y": Y}, r"gave x of shape \(8,\); expected \(2, 8\)"),
        ({"x": X.T, "y": Y}, r"gave x of shape \(8, 2\)"),
        ({"x": X, "y": X}, r"gave y of shape \(2, 8\); expected \(2, 8, 2\): simulations, time, channels"),
        ({"x": 0.0, "y": Y}, r"gave x of shape \(\)"),
        ({"x": X + 1j, "y": Y}, "x came as an array of shape .* of complex numbers; expected real numbers"),
        ({"x": X.astype(str), "y": Y}, "x came as an array .* of text"),
        ({"x": X.astype(object), "y": Y}, "x came as an array .* of objects"),
        ({"x": [[1.0] * 8, [1.0] * 7], "y": Y}, "x came as a list of 2, which is no array"),
        ({"x": (row for row in X), "y": Y}, "x came as a generator of objects"),
        ({"x": None, "y": Y}, "x came as None of objects"),
        ({"x": X.astype("datetime64[s]"), "y": Y}, r"datetime64\[s\]; expected real numbers"),
        ({"x": X, "y": Y, "silent": False}, r"gave silent as False; expected true or false for each of 2 simulations"),
        ({"x": X, "y": Y, "silent": np.array([0.5, 0])}, r"gave silent as an array of shape \(2,\)"),
        ({"x": X, "y": Y, "silence": np.array([True, False])}, "returned 'silence'; .* told as 'silent'"),
    ],
)
def test_a_wrong_result_ends_the_work_at_once(given, said):
    class Wrong(Fragile):
        calls = 0

        def simulate(self, theta, seeds):
            self.calls += 1
            return given

    simulator = Wrong(["a"], PROTOCOL)
    with pytest.raises(ConfigError, match=rf"^Wrong\.simulate:? .*{said}"):
        simulate_batch(simulator, np.ones((2, 1)), np.zeros(2, np.uint64))
    assert simulator.calls == 1, "a wrong type is no failure to be looked for in halves"


def test_a_quantity_with_a_unit_is_refused():
    """Packages with units give numbers in a base unit as soon as they are asked for an array: volts for mV."""

    class Quantity(np.ndarray):
        unit = "V"

    class InVolts(Fragile):
        def simulate(self, theta, seeds):
            return {"x": X.view(Quantity), "y": Y}

    with pytest.raises(ConfigError, match=r"x came as a quantity with a unit \(Quantity\); give numbers in mV"):
        simulate_batch(InVolts(["a"], PROTOCOL), np.ones((2, 1)), np.zeros(2, np.uint64))


def test_numbers_of_all_types_are_taken_and_what_is_masked_is_undefined():
    class Typed(Fragile):
        def simulate(self, theta, seeds):
            masked = np.ma.masked_array(np.full((3, 8), 7), mask=np.arange(24).reshape(3, 8) == 9)
            y = np.full((3, 8, 2), 1e5)
            # of float16, 1e5 is infinite: seen, and not stored
            return {"x": masked, "y": y.astype(np.float16) if theta[0, 0] else y.astype(int).tolist()}

    simulator = Typed(["a"], PROTOCOL)
    values, status = simulate_batch(simulator, np.zeros((3, 1)), np.zeros(3, np.uint64))
    assert status.tolist() == [OK, NOT_FINITE, OK] and np.isnan(values["x"][1, 1]) and (values["y"] == 1e5).all()
    with np.errstate(over="ignore"):
        assert (simulate_batch(simulator, np.ones((3, 1)), np.zeros(3, np.uint64))[1] == NOT_FINITE).all()


class Selfish(Fragile):
    """Writes to its arguments, to one buffer and elsewhere: it answers a, and raises for a batch with a negative a."""

    buffer = np.zeros((8, 8))

    def simulate(self, theta, seeds):
        seeds[:] = 0
        theta *= 2
        os.chdir("/")
        if (theta < 0).any():
            raise ValueError("negative a")
        self.buffer[: len(theta)] = theta / 2
        return {"x": self.buffer[: len(theta)].astype(np.float32, copy=False), "y": np.zeros((len(theta), 8, 2))}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_a_simulator_writes_to_stays_its_own(dtype, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    simulator = Selfish(["a"], PROTOCOL)
    simulator.buffer = np.zeros((8, 8), dtype)
    theta, seeds = np.array([[1.0], [2.0], [-3.0], [4.0]]), np.arange(4, dtype=np.uint64)
    values, status = simulate_batch(simulator, theta, seeds)
    assert status.tolist() == [OK, OK, RAISED, OK]
    assert values["x"][[0, 1, 3], 0].tolist() == [1, 2, 4], "halves share no buffer"
    assert theta[:, 0].tolist() == [1, 2, -3, 4] and seeds.tolist() == [0, 1, 2, 3] and Path.cwd() == tmp_path


class Licence(BaseException):
    pass


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(0), SystemExit("no licence"), KeyboardInterrupt(), Licence("none"), MemoryError(),
        RecursionError("deep"), StopIteration(), GeneratorExit(), SimulationFailed("no limit cycle"),
    ],
    ids=lambda e: type(e).__name__,
)  # fmt: skip
def test_every_exception_is_a_failure_of_its_simulation(error, monkeypatch, capsys):
    monkeypatch.setattr(interrupts, "installed", lambda: True)

    class Raising(Fragile):
        def simulate(self, theta, seeds):
            if (theta < 0).any():
                raise error
            return super().simulate(theta, seeds)

    theta = np.array([[1.0], [-2.0], [3.0]])
    values, status, errors = run_batch(Raising(["a"], PROTOCOL), theta, np.arange(100, 103, dtype=np.uint64))
    assert status.tolist() == [OK, RAISED, OK] and errors[0] is errors[2] is None
    check_rows(theta[:, 0], values, status)
    # one that the simulator means is none of the study's
    assert (errors[1] is None) == isinstance(error, SimulationFailed)
    log = capsys.readouterr().err
    assert "theta [-2.0] failed" in log and type(error).__name__ in log


@pytest.mark.parametrize(("installed", "requested"), [(True, True), (False, False)])
def test_ctrl_c_is_no_failed_simulation(monkeypatch, installed, requested):
    monkeypatch.setattr(interrupts, "installed", lambda: installed)
    monkeypatch.setattr(interrupts, "requested", lambda: requested)

    class Interrupted(Fragile):
        def simulate(self, theta, seeds):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_batch(Interrupted(["a"], PROTOCOL), np.ones((2, 1)), np.zeros(2, np.uint64))


def watched(total, *batches):
    """Gives batches to a watch: for each simulation its error, None for a result, nan for a failure that is meant."""
    watch = Watch(total)
    for batch in batches:
        status = [OK if e is None else NOT_FINITE if e != e else RAISED for e in batch]
        watch.add(np.array(status, np.uint8), [e if isinstance(e, str) else None for e in batch])


SOLVER = [f"RuntimeError: step {i} at t = {i / 7} of [{i}.5, -{i}e-3 nan] (us/cell.py, line 15)" for i in range(50)]


@pytest.mark.parametrize(
    "batches",
    [
        [SOLVER[:40]],
        # networks have batches of one
        [[e] for e in SOLVER[:10]],
        [SOLVER[:7], SOLVER[7:14]],
        [["OSError: no file (a.py, line 1)"] * 10],
    ],
)
def test_first_simulations_that_fail_alike_end_the_work(batches):
    with pytest.raises(
        ConfigError, match=r"each of the first \d+ simulations failed with one error: .*\(.*, line \d+\)\. Mend"
    ):
        watched(100, *batches)


@pytest.mark.parametrize(
    "batches",
    [
        [[*SOLVER[:39], None]],
        [["ValueError: a (x.py, line 1)", *SOLVER[:39]]],
        [[math.nan] * 100],
        [[None] * 50, SOLVER],
    ],
)
def test_failures_of_their_own_do_not(batches):
    watched(100, *batches)


def test_nothing_simulated_is_no_success():
    with pytest.raises(ConfigError, match=r"the only one failed: RuntimeError: step 0"):
        watched(1, SOLVER[:1])
    with pytest.raises(ConfigError, match=r"no simulation of 5 has a result, and 2 raised errors: KeyError: 'v'"):
        watched(5, [math.nan, "KeyError: 'v'"], [math.nan, math.nan, "ValueError"])


# --- shards ----------------------------------------------------------------------------------------------------------

USERS = """
import os, sys
import numpy as np
from neuroinverse.simulators.base import ParameterInfo, Signal, SimulationFailed, Simulator

class Base(Simulator):
    parameters = {'a': ParameterInfo('1', 1.0)}
    stimulus_unit = '1'
    signals = (Signal('x', 'mV', 0.5, (8,)),)

class Deadly(Base):
    def simulate(self, theta, seeds):
        os._exit(9)

class Alike(Base):
    def simulate(self, theta, seeds):
        print('printed'); sys.exit(0)

class Unmade(Base):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        if 'Unmade' in os.environ:
            raise OSError('no licence')
    def simulate(self, theta, seeds):
        return {}

class Meant(Base):
    def simulate(self, theta, seeds):
        raise SimulationFailed('no limit cycle')
"""


def shard(tmp_path, name):
    (tmp_path / "users.py").write_text(USERS)
    simulation = {
        "study": "s",
        "dataset": "train",
        "master_seed": 0,
        "simulator": {"path": str(tmp_path / "users.py"), "class": name},
        "parameters": [{"name": "a", "unit": "1", "low": 0, "high": 1, "scale": "linear"}],
        "protocol": PROTOCOL,
    }
    spec = {"simulation": simulation, "start": 0, "stop": 4}
    return cli.main(["simulate_shard", "--spec", canonical(spec), "--output", str(tmp_path / "shards" / "00000.h5")])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Deadly", "a worker process died"),
        ("Alike", "each of the first 4 simulations failed with one error: SystemExit: 0 (users.py, line 17). Mend its"),
        ("Unmade", "simulator.class: Unmade cannot be made: OSError: no licence (users.py, line 23)"),
    ],
)
def test_an_error_of_all_is_the_last_line_and_leaves_nothing(tmp_path, name, said, monkeypatch, capfd):
    """Of every kind: a process that dies, a simulator that cannot simulate, one that worker processes cannot make."""
    monkeypatch.chdir(tmp_path)
    made = run_module.ProcessPoolExecutor

    def in_the_workers_alone(*arguments):
        monkeypatch.setenv(name, "1")
        return made(*arguments)

    monkeypatch.setattr(run_module, "ProcessPoolExecutor", in_the_workers_alone)
    assert shard(tmp_path, name) == 1
    printed = capfd.readouterr()
    last = printed.err.strip().splitlines()[-1]
    assert last.startswith("error: ") and said in last
    assert printed.out == "" and "concurrent.futures" not in printed.err
    assert list((tmp_path / "shards").iterdir()) == []


def test_failures_that_the_simulator_means_are_written(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert shard(tmp_path, "Meant") == 0
    with h5py.File(tmp_path / "shards" / "00000.h5") as file:
        assert file["status"][:].tolist() == [RAISED] * 4
    assert capfd.readouterr().err.count("SimulationFailed: no limit cycle (users.py, line 29)") == 4
