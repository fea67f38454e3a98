"""Several datasets read as one, block by block."""

from collections.abc import Callable, Sequence

import numpy as np

from neuroinverse.errors import NeuroinverseError
from neuroinverse.shards import Dataset


class JoinedDatasets:
    """Datasets of one simulator, one after the other: the rounds that a posterior is trained on.

    It is read as a `Dataset` is.

    Args:
        datasets: The datasets, in their order.

    Raises:
        NeuroinverseError: If their signals or parameters differ.
    """

    def __init__(self, datasets: Sequence[Dataset]):
        self.datasets, first = list(datasets), datasets[0]
        for other in self.datasets[1:]:
            if other.signals != first.signals or other.parameters.names != first.parameters.names:
                raise NeuroinverseError(
                    f"{other.path} has other signals or parameters than {first.path}; remove it and run again"
                )
        self.path, self.signals, self.parameters = first.path, first.signals, first.parameters
        self.n = sum(d.n for d in self.datasets)
        self.n_failed = sum(d.n_failed for d in self.datasets)
        self.n_silent = sum(d.n_silent for d in self.datasets)
        self.seconds_core = sum(d.seconds_core for d in self.datasets)

    def _join(self, start: int, stop: int, read: Callable[[Dataset, int, int], np.ndarray]) -> np.ndarray:
        parts, first = [], 0
        for dataset in self.datasets:
            begin, end = max(start - first, 0), min(stop - first, dataset.n)
            if begin < end:
                parts.append(read(dataset, begin, end))
            first += dataset.n
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def theta(self, start: int, stop: int, names: Sequence[str] | None = None) -> np.ndarray:
        """Physical parameters, all or those named, shape (stop − start, K)."""
        return self._join(start, stop, lambda d, begin, end: d.theta(begin, end, names))

    def index(self, start: int, stop: int) -> np.ndarray:
        """Indices of the simulations within their datasets, shape (stop − start,)."""
        return self._join(start, stop, lambda d, begin, end: d.index(begin, end))

    def status(self, start: int, stop: int) -> np.ndarray:
        """Status of the simulations, shape (stop − start,)."""
        return self._join(start, stop, lambda d, begin, end: d.status(begin, end))

    def signal(self, name: str, start: int, stop: int) -> np.ndarray:
        """A signal, float32, shape (stop − start, time[, channel])."""
        return self._join(start, stop, lambda d, begin, end: d.signal(name, begin, end))
