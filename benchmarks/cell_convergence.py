"""How far the time step and the length of compartments move the answer of cells with shape.

python benchmarks/cell_convergence.py

A current step that fires the cell and one that hyperpolarises it, against the finest setting: the largest shift of a
spike (ms), and the largest difference of the hyperpolarised voltage (mV).
"""

import tempfile
from pathlib import Path

import numpy as np

from neuroinverse.records import write_record
from neuroinverse.simulators.ball_and_sticks import BallAndStick, BallAndSticks
from neuroinverse.simulators.mainen import Mainen
from neuroinverse.stages import compile_mechanisms

# class and current that fires it (nA)
CELLS = {"ball_and_stick": (BallAndStick, 0.3), "ball_and_sticks": (BallAndSticks, 0.5), "mainen": (Mainen, 0.2)}
TIME_STEPS_MS, FINEST_MS = (0.04, 0.02, 0.01, 0.005), 0.00125
LENGTHS_UM, FINEST_UM = (100.0, 50.0, 25.0, 12.5), 2.75
STEP = {"kind": "step", "start_ms": 10, "stop_ms": 60, "unit": "nA"}


def answer(library: Path, cell: str, dt_ms: float, longest_um: float) -> tuple[np.ndarray, np.ndarray]:
    """Times of the soma's upward crossings of 0 mV (ms), and its hyperpolarised voltage (mV), one value per 0.2 ms."""
    kind, amplitude = CELLS[cell]
    stimuli = [STEP | {"amplitude": amplitude}, STEP | {"amplitude": -amplitude}]
    protocol = {"dt_ms": dt_ms, "duration_ms": 80, "stimulus": stimuli}
    simulator = kind([], protocol, options={"max_segment_um": longest_um}, library=library)
    v, below = simulator.simulate(np.empty((1, 0)), np.zeros(1, np.uint64))["voltage"][0].T.astype(float)
    i = np.flatnonzero((v[:-1] < 0) & (v[1:] >= 0))
    return dt_ms * (i - v[i] / (v[i + 1] - v[i])), below[:: round(0.2 / dt_ms)]


def deviations(library: Path, cell: str, settings: list, finest: tuple) -> tuple[list[float], list[float]]:
    """Largest shift of a spike (ms; NaN where their number differs) and difference of voltage (mV) per setting.

    Args:
        library: Compiled mechanisms.
        cell: Key of CELLS.
        settings: Pairs of dt (ms) and longest compartment (um).
        finest: The pair they are compared with.
    """
    expected, below = answer(library, cell, *finest)
    shifts, differences = [], []
    for setting in settings:
        spikes, voltage = answer(library, cell, *setting)
        same = len(spikes) == len(expected) > 0
        shifts.append(float(np.abs(spikes - expected).max()) if same else float("nan"))
        differences.append(float(np.abs(voltage - below).max()))
    return shifts, differences


def by_time_step(library: Path, cell: str):
    """Deviations of TIME_STEPS_MS from FINEST_MS at 50 um."""
    return deviations(library, cell, [(dt, 50.0) for dt in TIME_STEPS_MS], (FINEST_MS, 50.0))


def by_length(library: Path, cell: str):
    """Deviations of LENGTHS_UM from FINEST_UM at 0.02 ms."""
    return deviations(library, cell, [(0.02, longest) for longest in LENGTHS_UM], (0.02, FINEST_UM))


def main() -> None:
    """Writes docs/records/cell_convergence.json."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "libnrnmech.so"
        compile_mechanisms.run(library)
        for cell in CELLS:
            for what, values, measure in (("dt", TIME_STEPS_MS, by_time_step), ("um", LENGTHS_UM, by_length)):
                for value, shift, difference in zip(values, *measure(library, cell), strict=True):
                    figures[f"{cell}_{what}_{value:g}_spike_ms"] = shift
                    figures[f"{cell}_{what}_{value:g}_voltage_mV"] = difference
    write_record("cell_convergence", "python benchmarks/cell_convergence.py", figures)


if __name__ == "__main__":
    main()
