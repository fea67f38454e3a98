"""The network of surrogates that stands for a simulated column, and what the column does in both."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from neuroinverse.column.network import ColumnActivity, ColumnNetwork, Threshold
from neuroinverse.column.objectives import Objective
from neuroinverse.estimators.modelfile import read_metadata
from neuroinverse.estimators.surrogate_step import StepSurrogate


def load_column(simulator, surrogates: Mapping[str, Path], settings: Mapping) -> ColumnNetwork:
    """The column of a simulator with surrogates for its cells.

    Args:
        simulator: `HnnColumn`.
        surrogates: Model files by cell type.
        settings: `delay_bins`, `prune`, `max_delay_ms`, `segment_ms` of `ColumnNetwork`.

    Raises:
        ConfigError: If surrogates, column and settings do not fit each other.
    """
    thresholds = {cell: _threshold(read_metadata(path)["threshold"]) for cell, path in surrogates.items()}
    steps = {cell: StepSurrogate(path) for cell, path in surrogates.items()}
    return ColumnNetwork(simulator.as_column(), steps, thresholds, **settings)


def _threshold(found: Mapping) -> Threshold:
    return Threshold(found["threshold"], found["output"], found["scale"])


def make_objective(settings: Mapping, simulator, network: ColumnNetwork) -> Objective:
    """The objective of a specification, for the network's activity over what the simulator simulates.

    Args:
        settings: `terms`, `warm_up_ms`.
        simulator: `HnnColumn`.
        network: The network.
    """
    own = {key: settings[key] for key in ("terms", "warm_up_ms")}
    return Objective(own, network.populations, network.dipoles, network.dt_ms, simulator.window.stop)


def simulated_activity(simulator, dipole: np.ndarray, spikes: np.ndarray) -> ColumnActivity:
    """What the simulator recorded, as the network of surrogates gives it.

    Args:
        simulator: `HnnColumn`.
        dipole: Signal (fAm), shape (batch, time, layers).
        spikes: Signal, shape (batch, time, cells).
    """
    cells: Sequence[str] = next(s for s in simulator.signals if s.name == "spikes").channels
    kinds = np.array([name.rpartition("_")[0] for name in cells])
    return ColumnActivity(dipole, {kind: np.minimum(spikes[..., kinds == kind], 1) for kind in dict.fromkeys(kinds)})
