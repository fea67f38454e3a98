"""The documentation does what it says: its example simulator, its template, its tables."""

import re
import subprocess
import sys

import numpy as np
import pytest

from neuroinverse.config import load_study
from neuroinverse.simulators import make_simulator


@pytest.mark.parametrize("scale", ["smoke", "demo", "paper"])
def test_the_template_is_a_study(root, scale):
    study = load_study(root / "config" / "studies" / "_template.yaml", scale, 0)
    assert study.parameters.parameters[0].scale == "log"


def test_the_example_simulator_works(root, tmp_path):
    """The simulator of add-a-study.md, against the analytic charging curve of a leaky membrane."""
    page = (root / "docs" / "add-a-study.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "my_cell.py").write_text(code)
    step = {"kind": "step", "start_ms": 10, "stop_ms": 60, "amplitude": 0.1, "unit": "nA"}
    spec = {
        "simulator": {"path": str(tmp_path / "my_cell.py"), "class": "PassiveCell", "fixed": {"r": 50}},
        "parameters": [{"name": "tau", "unit": "ms", "low": 5, "high": 40, "scale": "linear"}],
        "protocol": {"dt_ms": 0.1, "duration_ms": 60, "stimulus": step},
        "master_seed": 0,
    }
    simulator = make_simulator(spec)
    tau = np.array([5.0, 20.0, 40.0])
    voltage = simulator.simulate(tau[:, None], np.zeros(3, np.uint64))["voltage"]
    (signal,) = simulator.signals
    assert voltage.shape == (3, *signal.shape)
    t = np.arange(600) * 0.1 - 10
    expected = np.where(t > 0, 5 * (1 - np.exp(-t / tau[:, None])), 0)
    np.testing.assert_allclose(voltage, expected, atol=1e-9)


def test_tables_are_those_of_the_records(root):
    done = subprocess.run([sys.executable, root / "docs" / "tables.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_figure_typed_by_hand_is_noticed(root, tmp_path):
    """The check fails on an altered table; run on a copy, so that the check itself is shown to work."""
    sys.path.insert(0, str(root / "docs"))
    try:
        import tables
    finally:
        sys.path.pop(0)
    page = (root / "docs" / "hh_point_2.md").read_text()
    assert tables.filled(page) == page
    block = re.search(r"(<!-- record hh_point_2 -->\n.*?\| )(\d[\d.e-]*)( \|)", page, re.DOTALL)
    altered = page[: block.start(2)] + "0.123" + page[block.end(2) :]
    assert tables.filled(altered) == page
