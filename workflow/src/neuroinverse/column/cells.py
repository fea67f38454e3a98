"""The recorded cells of a column's simulations, read as a dataset of single cells."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from neuroinverse.errors import ConfigError
from neuroinverse.simulators.base import Signal
from neuroinverse.simulators.column_cells import cell_channels, signal_name

SPIKES = "spikes"


def cell_signals(stored: dict[str, Signal], cell: str) -> dict[str, Signal]:
    """The signals of one recorded cell, those that `hnn_cell` gives.

    Args:
        stored: The signals of a column by name.
        cell: Type of the cell.

    Raises:
        ConfigError: If no cells of the type are recorded.
    """
    if signal_name(cell, "inputs") not in stored:
        raise ConfigError(
            f"simulator.options.record_cells: no {cell} is recorded to learn from; give a number, such as 12"
        )
    channels = cell_channels(cell) | {SPIKES: ("soma",)}
    signals = {}
    for name, own in channels.items():
        source = stored[SPIKES if name == SPIKES else signal_name(cell, name)]
        signals[name] = Signal(name, source.unit, source.dt_ms, (source.shape[0], len(own)), source.t0_ms, channels=own)
    return signals


def n_cells(stored: dict[str, Signal], cell: str) -> int:
    """Recorded cells of a type in a simulation; arguments as of `cell_signals`."""
    return stored[signal_name(cell, "inputs")].shape[1] // len(cell_channels(cell)["inputs"])


class ColumnCells:
    """The recorded cells of one type, a row for each cell of each simulation; it is read as a `Dataset` is.

    Args:
        dataset: Simulations of a column, a `Dataset` or `JoinedDatasets`.
        cell: Type of the cells.
    """

    def __init__(self, dataset, cell: str):
        self.dataset, self.cell = dataset, cell
        self.path, self.parameters = dataset.path, dataset.parameters
        self.signals = cell_signals(dataset.signals, cell)
        voltages = dataset.signals[signal_name(cell, "voltage")].channels
        # stored cell by cell, each with its number before the name of a channel
        self._numbers = list(dict.fromkeys(channel.partition("_")[0] for channel in voltages))
        self._places = [dataset.signals[SPIKES].channels.index(f"{cell}_{number}") for number in self._numbers]
        self.n, self.n_failed = dataset.n * len(self._numbers), dataset.n_failed * len(self._numbers)

    def _rows(self, start: int, stop: int, read: Callable[[int, int], np.ndarray]) -> np.ndarray:
        """Rows of what `read` gives for some simulations, shape (simulations · cells, ...)."""
        k = len(self._numbers)
        first = start // k
        return read(first, -(-stop // k))[start - first * k : stop - first * k]

    def _repeated(self, start: int, stop: int, read: Callable[[int, int], np.ndarray]) -> np.ndarray:
        return self._rows(start, stop, lambda a, b: np.repeat(read(a, b), len(self._numbers), axis=0))

    def theta(self, start: int, stop: int, names=None) -> np.ndarray:
        """Physical parameters of the column, shape (stop − start, K)."""
        return self._repeated(start, stop, lambda a, b: self.dataset.theta(a, b, names))

    def status(self, start: int, stop: int) -> np.ndarray:
        """Status of the simulations, shape (stop − start,)."""
        return self._repeated(start, stop, self.dataset.status)

    def index(self, start: int, stop: int) -> np.ndarray:
        """Indices of the simulations, shape (stop − start,)."""
        return self._repeated(start, stop, self.dataset.index)

    def signal(self, name: str, start: int, stop: int) -> np.ndarray:
        """A signal of the cells, float32, shape (stop − start, time, channel)."""

        def read(a, b):
            if name == SPIKES:
                stored = self.dataset.signal(SPIKES, a, b)[..., self._places]
            else:
                stored = self.dataset.signal(signal_name(self.cell, name), a, b)
            n, time = stored.shape[:2]
            by_cell = stored.reshape(n, time, len(self._numbers), -1)
            return np.moveaxis(by_cell, 2, 1).reshape(n * len(self._numbers), time, -1)

        return self._rows(start, stop, read)


def open_cells(spec: dict, *paths: Path):
    """What a surrogate is trained or measured on, read as one dataset of single cells.

    Args:
        spec: Specification of the step; with `cell` these are the recorded cells of that type in columns.
        *paths: Datasets, one after the other.
    """
    from neuroinverse.joined import JoinedDatasets
    from neuroinverse.shards import Dataset

    opened = [Dataset(path) for path in paths]
    joined = JoinedDatasets(opened) if len(opened) > 1 else opened[0]
    return ColumnCells(joined, spec["cell"]) if "cell" in spec else joined
