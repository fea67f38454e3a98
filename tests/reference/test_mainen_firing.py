"""Mainen and Sejnowski (1996), figure 1: the same channels fire otherwise in other dendrites."""

import numpy as np

from neuroinverse.simulators.mainen import MORPHOLOGY, Mainen

DT_MS, START_MS, STEP_MS = 0.025, 10, 400


def spikes(library, cell: str, *currents: float, spines: bool = True, duration_ms: float = STEP_MS) -> list:
    """Times of spikes (ms) for steps of current (nA) into the soma, with the default parameters."""
    steps = [
        {"kind": "step", "unit": "nA", "amplitude": a, "start_ms": START_MS, "stop_ms": START_MS + duration_ms}
        for a in currents
    ]
    simulator = Mainen(
        (),
        {"dt_ms": DT_MS, "duration_ms": START_MS + duration_ms, "stimulus": steps},
        options={"morphology": str(MORPHOLOGY.with_name(f"{cell}.swc")), "spines": spines},
        library=library,
    )
    voltage = simulator.simulate(np.empty((1, 0)), np.zeros(1, np.uint64))["voltage"].reshape(-1, len(currents))
    return [DT_MS * np.flatnonzero((v[:-1] < 0) & (v[1:] >= 0)) - START_MS for v in voltage.T]


def test_the_stellate_cell_fires_regularly_and_adapts(library):
    (times,) = spikes(library, "spiny_stellate", 0.07, duration_ms=1000)
    intervals = np.diff(times)
    assert len(intervals) >= 5 and min(intervals) > 30
    assert intervals[-1] > 1.5 * intervals[0]
    # adapted, it keeps its time
    assert np.ptp(intervals[-3:]) < 0.05 * intervals[-1]


def test_it_fires_more_with_more_current(library):
    counts = [len(times) for times in spikes(library, "spiny_stellate", 0.02, 0.07, 0.1, 0.2)]
    assert counts[0] == 0 and counts == sorted(set(counts))


def test_small_dendrites_fire_fast_and_adapt_little(library):
    (small,) = spikes(library, "aspiny_stellate", 0.05, spines=False)
    (large,) = spikes(library, "spiny_stellate", 0.05)
    assert len(small) > 5 * max(1, len(large))
    intervals = np.diff(small)
    assert min(intervals) > 15 and intervals[-1] < 1.5 * intervals[0]


def test_large_dendrites_burst(library):
    (times,) = spikes(library, "layer_5_pyramid", 0.2, duration_ms=500)
    intervals = np.diff(times)
    # three spikes and more within 15 ms of each other, then a pause
    assert max(intervals[:2]) < 15 and max(intervals) > 100
