"""What a simulator of the user's declares: wrong tables, signals and files are refused when a study is read."""

import copy

import decay
import numpy as np
import pytest

from neuroinverse.errors import ConfigError
from neuroinverse.provenance import file_sha256
from neuroinverse.simulators import make_simulator
from neuroinverse.study import Study

CELL = """
from pathlib import Path
import numpy as np
from neuroinverse.simulators.base import ParameterInfo, Signal, Simulator

class Cell(Simulator):
    parameters = {"rate": ParameterInfo("1/ms", 0.1)}
    stimulus_unit = "mV"
    signals = (Signal("decay", "mV", 0.5, (40,)),)

    def simulate(self, theta, seeds):
        return {"decay": np.exp(-theta[:, :1] * np.arange(40))}
"""


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Gives a function that reads the study of a user's simulator with something replaced in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "us").mkdir()

    def run(old="", new="", source=CELL):
        assert old in source
        (tmp_path / "us" / "cell.py").write_text(source.replace(old, new, 1))
        # contents are read once in a process
        file_sha256.cache_clear()
        return Study("cell", "smoke", 1, copy.deepcopy(decay.study("us/cell.py", "Cell")))

    return run


def test_a_sound_one_is_read(read):
    assert read().simulator.signals[0].shape == (40,)


FILES = "    def files(self):\n        return {}\n    def simulate"
TABLE, SIGNAL = '{"rate": ParameterInfo("1/ms", 0.1)}', 'Signal("decay", "mV", 0.5, (40,))'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (TABLE, "None", r"simulator\.class: Cell\.parameters is None; expected a dictionary such as"),
        (TABLE, '["rate"]', r"Cell\.parameters is a list of 1; expected a dictionary"),
        (TABLE, '{"rate": 0.1}', r"Cell\.parameters has 'rate': 0\.1; expected"),
        ('"1/ms", 0.1', '0.1, "1/ms"', r'the unit of rate is 0\.1; expected text, "1" for none'),
        ('"1/ms", 0.1', '"1/ms", "0.1"', r"the default of rate is '0\.1'; expected a number"),
        ('"1/ms", 0.1', '"1/ms", float("nan")', "the default of rate is nan; expected a number"),
        ('    stimulus_unit = "mV"\n', "", "Cell: missing stimulus_unit; add the unit, such as"),
        ('"mV"\n', '"mV"\n    mechanisms = "a.mod"\n', r"Cell\.mechanisms is 'a\.mod'; expected several texts, such"),
        ('"mV"\n', '"mV"\n    batch = 0\n', r"Cell\.batch is 0; expected a number of simulations"),
        (f"({SIGNAL},)", SIGNAL, r"Cell\.signals is a Signal; expected a tuple of Signal"),
        (f"({SIGNAL},)", "()", r"Cell\.signals is a tuple of 0; expected a tuple of Signal"),
        (f"({SIGNAL},)", f"(s for s in [{SIGNAL}])", r"Cell\.signals is a generator; expected a tuple of Signal"),
        (SIGNAL, '"decay"', r"Cell\.signals holds 'decay'; expected a tuple of Signal"),
        (SIGNAL, f"{SIGNAL}, {SIGNAL}", r"Cell\.signals: two are named 'decay'; give one another name"),
        ('"decay", ', '"silent", ', "a signal is named 'silent'; expected a word, and not silent, status"),
        ('"decay", ', '"a/b", ', "a signal is named 'a/b'"),
        ('"mV", 0.5', '"", 0.5', "the unit of decay is ''; expected text"),
        ("0.5, (40,)", "0, (40,)", "decay has dt_ms 0 and t0_ms 0.0; expected a sampling interval above 0"),
        ("0.5, (40,)", "None, (40,)", "decay has dt_ms None"),
        ("(40,)", "(40.0,)", r"the shape of decay is \(40\.0,\); expected that of one simulation in whole"),
        ("(40,)", "40", "the shape of decay is 40; expected"),
        ("(40,)", "(0,)", r"the shape of decay is \(0,\)"),
        ("(40,)", "(2, 2, 2)", r"the shape of decay is \(2, 2, 2\)"),
        ("(40,)", '(40, 2), channels=("a",)', "decay has 2 channels and 1 names for them"),
        ("    def simulate", FILES.format("'us/x.npy'"), r"Cell\.files\(\) gave 'us/x\.npy'"),
        ("    def simulate", FILES.format("['us/x.npy']"), r"us/x\.npy does not exist; it"),
        ("    def simulate", "    def other", r"Cell cannot be made: TypeError: Can't instantiate abstract class Cell"),
        (
            f"signals = ({SIGNAL},)",
            "@property\n    def signals(self):\n        return 1 / 0",
            r"simulator\.class: Cell cannot be made: ZeroDivisionError: division by zero \(us/cell\.py, line 11\)",
        ),
        (
            "    def simulate",
            "    def __init__(self, **options):\n        raise OSError('no licence')\n    def simulate",
            r"Cell cannot be made: OSError: no licence \(us/cell\.py, line 12\)",
        ),
    ],
)  # fmt: skip
def test_what_is_declared_wrong_is_named(read, old, new, said):
    with pytest.raises(ConfigError, match=said) as caught:
        read(old, new).dataset_spec("train")
    assert "\n" not in str(caught.value)


def test_a_class_of_another_name_is_offered(read):
    with pytest.raises(ConfigError, match=r"us/cell\.py has no subclass of Simulator named 'Cell'; it has Sell"):
        read("class Cell", "class Sell")


READING = CELL.replace(
    "class Cell",
    """
import helper
SCALE = float(Path(__file__).with_name('scale.txt').read_text())
TABLE = Path(__file__).parent / 'tables' / 'deep' / 'table.txt'
FROM_HERE = Path('us/from_here.txt')
UNSEEN = f'table_{3}.txt'
class Cell""",
).replace('stimulus_unit = "mV"', 'stimulus_unit = "mV"\n    mechanisms = ("own.mod",)')


def test_files_behind_a_simulator_enter_its_specification(read, tmp_path):
    """The files that its modules name, and these modules; each of them, edited, changes the specification alone."""
    us = tmp_path / "us"
    (us / "tables" / "deep").mkdir(parents=True)
    texts = {
        "scale.txt": "1", "tables/deep/table.txt": "1", "from_here.txt": "1", "of_helper.txt": "1", "table_3.txt": "1",
        "own.mod": "NEURON { SUFFIX own }", "README.md": "us", "helper.py": "FILE = 'of_helper.txt'\n",
    }  # fmt: skip
    for name, text in texts.items():
        (us / name).write_text(text)
    plain = read().dataset_spec("train")["simulation"]
    assert not {"files", "modules"} & set(plain), "what has no files has the specification that it had"
    first = read(source=READING).dataset_spec("train")["simulation"]
    named = {"us/scale.txt", "us/tables/deep/table.txt", "us/from_here.txt", "us/of_helper.txt"}
    assert (
        set(first["files"]) == named and set(first["modules"]) == {"helper"} and set(first["mechanisms"]) == {"own.mod"}
    )
    for name in texts:
        (us / name).write_text(texts[name] + "\n ")
        again = read(source=READING).dataset_spec("train")["simulation"]
        assert (again != first) == (name not in ("table_3.txt", "README.md")), name
        (us / name).write_text(texts[name])
    assert read(source=READING).dataset_spec("train")["simulation"] == first


def test_the_guard_depends_on_the_simulator_and_not_on_sizes(read):
    first = read().guard_spec()
    assert not {"study", "dataset", "n", "sampling"} & set(first)
    sized = copy.deepcopy(read().settings)
    sized["datasets"]["train"]["n"], sized["title"] = 60, "Another"
    sized["estimators"]["cnn"]["hyperparameters"]["epochs"] = 7
    assert Study("cell", "smoke", 1, sized).guard_spec() == first
    sized["parameters"][0]["high"] = 2.0
    assert Study("cell", "smoke", 1, sized).guard_spec() != first
    assert read("0.1)", "0.2)").guard_spec() != first


def test_traces_of_the_users_simulator(read):
    simulator = make_simulator(read().scenario("train"))
    np.testing.assert_allclose(simulator.simulate(np.array([[0.5]]), None)["decay"][0, :3], np.exp([0, -0.5, -1.0]))
