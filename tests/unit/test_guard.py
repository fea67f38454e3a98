"""The guard: parameters that do nothing and simulations that cannot be repeated are named before shards are made."""

import json
from contextlib import contextmanager

import numpy as np
import pytest

from neuroinverse import cli, guard
from neuroinverse.errors import ConfigError
from neuroinverse.guard import examine
from neuroinverse.provenance import canonical
from neuroinverse.simulators.base import ParameterInfo, Signal, SimulationFailed, Simulator
from neuroinverse.simulators.run import run_batch

TIME = np.arange(1, 9)
NAMES = ("a", "b", "c")


def about(simulator):
    """What the guard is told of a simulator with the parameters a, b and c."""
    return {
        "simulator": simulator,
        "parameters": [{"name": n, "unit": "1", "low": 1.0, "high": 2.0, "scale": "linear"} for n in NAMES],
        "protocol": {"dt_ms": 0.5, "duration_ms": 4},
        "master_seed": 3,
    }


class Sound(Simulator):
    """x: a + b t; y: c and noise from the seed. Tests make it unsound."""

    parameters = dict.fromkeys(NAMES, ParameterInfo("1", 1.0))
    stimulus_unit = None
    batch = 4
    signals = (Signal("x", "mV", 0.5, (8,)), Signal("y", "nA", 0.5, (8, 2)))

    def simulate(self, theta, seeds):
        noise = np.stack([np.random.default_rng(int(s)).normal(size=(8, 2)) for s in seeds])
        return {"x": theta[:, :1] + theta[:, 1:2] * TIME, "y": theta[:, 2:, None] + noise}


@pytest.fixture
def look(monkeypatch):
    """Gives a function that examines a class of this file, in this process: the simulator is made twice."""

    def run(kind, threads=1):
        class Here:
            def __init__(self):
                self.simulator = kind(NAMES, about({})["protocol"])

            def submit(self, function, *arguments):
                class Done:
                    @staticmethod
                    def result():
                        if function is guard.files_touched:
                            return set(), set()
                        return *run_batch(self.simulator, *arguments), 0.001

                done = Done.result()
                Done.result = staticmethod(lambda: done)
                return Done

        @contextmanager
        def workers(*arguments, **options):
            yield Here()

        monkeypatch.setattr(guard, "workers", workers)
        monkeypatch.setattr(guard, "make_simulator", lambda simulation: kind(NAMES, simulation["protocol"]))
        monkeypatch.setattr(guard, "source_files", lambda *arguments: [])
        return examine(about({"name": "izhikevich"}), threads=threads)

    return run


@pytest.mark.parametrize("threads", [1, 2])
def test_a_sound_simulator_passes_with_a_simulation_for_each_parameter(look, threads, monkeypatch):
    monkeypatch.setattr(Sound, "batch", 3)
    found = look(Sound, threads)
    assert found.problems == found.warnings == []
    assert found.simulations == (1 + 3) + 4
    assert {p: v["signal"] for p, v in found.parameters.items()} == {"a": "x", "b": "x", "c": "y"}
    # b moves x by at least 4 at its end, of a range of at most 16
    assert 0.25 < found.parameters["b"]["share"] <= 1
    assert found.signals["x"]["low"] >= 2 and found.signals["x"]["high"] <= 18
    found.refuse()


class Unread(Sound):
    """c is not read."""

    def simulate(self, theta, seeds):
        return super().simulate(np.column_stack([theta[:, :2], 0 * theta[:, 2]]), seeds)


class First(Sound):
    """c keeps the first value that it has in a process, as a TABLE does."""

    first = None

    def simulate(self, theta, seeds):
        self.first = theta[0, 2] if self.first is None else self.first
        theta[:, 2] = self.first
        return super().simulate(theta, seeds)


class Rounded(Sound):
    """c is divided out again: what is left of it is rounding."""

    def simulate(self, theta, seeds):
        result = super().simulate(0 * theta, seeds)
        scale = np.float32(theta[:, 2:])
        return {
            "x": super().simulate(theta, seeds)["x"] * scale / scale,
            "y": result["y"] * (1 + 1e-8 * scale[..., None]),
        }


@pytest.mark.parametrize("kind", [Unread, First, Rounded])
def test_a_parameter_that_does_nothing_is_named(look, kind):
    found = look(kind)
    assert [p[: p.index(",")] for p in found.problems] == ["parameter c: from 1 to 2 1"]
    with pytest.raises(
        ConfigError, match=r"^simulator: parameter c: .* beside 31 draws of the others, .* \(x, y\)\. Usual"
    ):
        found.refuse()


class Rarely(Sound):
    """c acts where a is above 1.9 alone."""

    def simulate(self, theta, seeds):
        theta[:, 2] *= theta[:, 0] > 1.9
        return super().simulate(theta, seeds)


class Fails(Sound):
    """The upper end of c has no result: NaN; so have all simulations with a low b, which raise."""

    def simulate(self, theta, seeds):
        if (theta[:, 1] == 1).any():
            raise SimulationFailed("too slow")
        result = super().simulate(theta, seeds)
        result["x"][theta[:, 2] == 2] = np.nan
        return result


class Silent(Sound):
    """Nothing spikes below a = 1.5, and nothing is recorded then."""

    def simulate(self, theta, seeds):
        result, silent = super().simulate(theta, seeds), theta[:, 0] < 1.5
        result["x"][silent] = np.nan
        return result | {"silent": silent}


class OneByOne(Sound):
    """A network, of which each call simulates one."""

    batch = 1

    def simulate(self, theta, seeds):
        assert len(theta) == 1
        return super().simulate(theta, seeds)


@pytest.mark.parametrize("kind", [Rarely, Fails, Silent, OneByOne])
def test_what_acts_somewhere_or_decides_about_failure_acts(look, kind):
    assert look(kind).problems == []


class Global(Sound):
    """Noise from numpy's own generator."""

    def simulate(self, theta, seeds):
        return super().simulate(theta, seeds) | {"y": theta[:, 2:, None] + np.random.normal(size=(len(theta), 8, 2))}


class OneGenerator(Sound):
    """One generator for the batch."""

    def simulate(self, theta, seeds):
        noise = np.random.default_rng(int(seeds[0])).normal(size=(len(theta), 8, 2))
        return super().simulate(theta, seeds) | {"y": theta[:, 2:, None] + noise}


class Remembers(Sound):
    """Starts where the simulation before ended."""

    last = 0.0

    def simulate(self, theta, seeds):
        result = super().simulate(theta, seeds)
        for row in result["x"]:
            row[:], self.last = row + 0.1 * self.last, row[-1]
        return result


class Coupled(Sound):
    """Normalised over the batch."""

    def simulate(self, theta, seeds):
        result = super().simulate(theta, seeds)
        return result | {"x": result["x"] / result["x"].max()}


@pytest.mark.parametrize("kind", [Global, OneGenerator, Remembers, Coupled])
def test_what_cannot_be_repeated_is_named(look, kind):
    np.random.seed(0)
    signal = "y" if kind in (Global, OneGenerator) else "x"
    with pytest.raises(
        ConfigError, match=rf"^simulator: the same parameters and seed give another {signal} .*: up to 0\.\d+ of"
    ):
        look(kind).refuse()


def test_rounding_of_the_batch_is_a_warning(look):
    class Vectorised(Sound):
        def simulate(self, theta, seeds):
            result = super().simulate(theta, seeds)
            return result | {"x": result["x"] * (1 + 2e-7 * len(theta))}

    found = look(Vectorised)
    assert (
        found.problems == [] and "is rounding, and a shard made again is not the same to the bit" in found.warnings[0]
    )


def test_a_membrane_potential_that_no_cell_has_is_warned_of(look):
    class Driven(Sound):
        signals = (Signal("voltage", "mV", 0.5, (8,)),)
        low = 0.0

        def simulate(self, theta, seeds):
            x = theta[:, :1] + theta[:, 1:2] * TIME + theta[:, 2:] * TIME**2
            return {"voltage": self.low - x}

    class Burnt(Driven):
        low = -600.0

    assert look(Driven).warnings == []
    (warning,) = look(Burnt).warnings
    assert "signal voltage: reaches -7" in warning and "is the stimulus too strong" in warning


def test_a_signal_at_rest_is_named(look):
    class Elsewhere(Sound):
        def simulate(self, theta, seeds):
            x = super().simulate(theta, seeds)["x"] + theta[:, 2:]
            return {"x": x, "y": np.full((len(theta), 8, 2), 0.5)}

    with pytest.raises(
        ConfigError, match=r"^simulator: signal y: is 0.5 nA at all times in all \d+ simulations; record"
    ):
        look(Elsewhere).refuse()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("no convergence at 3.5"), "ValueError: no convergence at 3.5 ("),
        (SimulationFailed("none"), "all give NaN, infinite values or SimulationFailed"),
        (None, "all give NaN, infinite values or SimulationFailed"),
    ],
)
def test_no_result_at_all_ends_with_the_cause(look, error, said):
    class Never(Sound):
        def simulate(self, theta, seeds):
            if error:
                raise error
            return {"x": np.full((len(theta), 8), np.nan), "y": np.zeros((len(theta), 8, 2))}

    with pytest.raises(
        ConfigError, match=r"^simulator: none of \d+ simulations over the prior has a result: "
    ) as caught:
        look(Never)
    assert said in str(caught.value)


USERS = """
from pathlib import Path
import numpy as np
from neuroinverse.simulators.base import ParameterInfo, Signal, Simulator

SCALE = float(Path(__file__).with_name('scale.txt').read_text())

class Cell(Simulator):
    parameters = dict.fromkeys('abc', ParameterInfo('1', 1.0))
    stimulus_unit = None
    signals = (Signal('x', 'mV', 0.5, (8,)),)

    def simulate(self, theta, seeds):
        print('simulated')
        factor = float(Path('us', f'table_{3}.txt').read_text())
        Path('us', f'scratch_{3}.txt').write_text('1'), Path('us', f'scratch_{3}.txt').read_text()
        return {'x': factor * SCALE * theta.sum(axis=1)[:, None] + np.arange(8)}

class Noting(Cell):
    def simulate(self, theta, seeds):
        with open('us/notes.log', 'a') as file:
            file.write('again')
        order = sum(i * hash(name) % 97 for i, name in enumerate({'soma', 'dend', 'axon', 'apical', 'basal'}))
        return {'x': super().simulate(theta, seeds)['x'] + order}
"""


def check(tmp_path, name):
    """Runs the verb on a class of a user's file; returns its exit status and the file that it writes."""
    (tmp_path / "us").mkdir()
    for file, text in (("cell.py", USERS), ("scale.txt", "2"), ("table_3.txt", "1"), ("notes.log", "")):
        (tmp_path / "us" / file).write_text(text)
    spec = about({"path": "us/cell.py", "class": name}) | {"version": 1}
    output = tmp_path / "simulator.json"
    return cli.main(["check_simulator", "--spec", canonical(spec), "--output", str(output)]), output


def test_the_verb_writes_what_it_saw_and_names_files_that_it_cannot_see(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    status, output = check(tmp_path, "Cell")
    out, err = capfd.readouterr()
    assert status == 0 and out == "" and "simulated" in err
    told = json.loads(output.read_text())
    assert told["simulations"] == 8 and told["seconds"] > 0 and set(told["parameters"]) == set(NAMES)
    # the scale is named in quotes, the table's name is put together; what it writes itself is none of its inputs
    assert len(told["warnings"]) == 1
    assert told["warnings"][0].startswith(
        "reads what is in no specification: us/table_3.txt. When that changes, nothing"
    )
    assert f"warning: simulator: {told['warnings'][0]}" in err


def test_another_process_and_files_that_are_written(tmp_path, monkeypatch, capfd):
    """The order of a set of texts differs from process to process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    status, output = check(tmp_path, "Noting")
    last = capfd.readouterr().err.splitlines()[-1]
    assert status == 1 and not output.exists()
    assert last.startswith("error: simulator: the same parameters and seed give another x in another process: up to")
    assert "; and writes to us/notes.log, which is part of its specification" in last
