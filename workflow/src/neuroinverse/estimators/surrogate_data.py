"""Training data of a surrogate: inputs and outputs of simulated cells, in memory where they fit, else streamed."""

from collections.abc import Iterable, Sequence

import numpy as np

from neuroinverse.estimators.streaming import FoldData
from neuroinverse.simulators.base import Signal


class SurrogateData(FoldData):
    """The simulations of one fold, as batches of (what `first` makes of the inputs, outputs with spikes).

    Outputs are in their units; 0 or 1 for a spike in the bin that ends at a sample follows them.

    Args:
        dataset: The training dataset.
        signal: Name of the inputs.
        outputs: Names of the signals that are learnt.
        spikes: Name of the spike counts.
        folds: k; with k = 1 nothing is held out.
        fold: The fold.
        memory_bytes: Memory for inputs and outputs; see `FoldData`.
        seed: Seed of the order of chunks and simulations.
        first: Output of `surrogate.front_model`.

    Raises:
        NeuroinverseError: If no simulation is left to train on or to validate with.
    """

    def __init__(
        self,
        dataset,
        signal: str,
        outputs: Sequence[str],
        spikes: str,
        folds: int,
        fold: int,
        memory_bytes: float,
        seed: int,
        first=None,
    ):
        super().__init__(dataset, signal, dataset.parameters, folds, fold, memory_bytes, seed, first)
        self.targets = [*outputs, spikes]
        self.names = output_names([dataset.signals[name] for name in outputs])
        # the outputs take more memory than the inputs do
        share = self.shape[1] / (self.shape[1] + len(self.names) + 1)
        self.fits = dataset.n * 4 * int(np.prod(self.shape)) <= share * memory_bytes
        self.group = max(1, int(share * self.group))

    def _read(self, chunks: Iterable[int], validation: bool) -> tuple[np.ndarray, np.ndarray]:
        """See `FoldData._read`; the second array holds outputs and spikes, shape (rows, time, output + 1)."""
        xs, ys = [], []
        for start, stop in (self.chunks[c] for c in chunks):
            rows = self._rows(start, stop, validation)
            x = self.dataset.signal(self.signal, start, stop)[rows]
            xs.append(self._extract(x) if self.fits else x)
            parts = [self.dataset.signal(name, start, stop)[rows] for name in self.targets]
            y = np.concatenate([part.reshape(*x.shape[:2], -1) for part in parts], axis=-1)
            # two spikes in one bin are one to a threshold
            ys.append(np.concatenate([y[..., :-1], np.minimum(y[..., -1:], 1)], axis=-1))
        return np.concatenate(xs), np.concatenate(ys)

    def scale(self, masked: int) -> np.ndarray:
        """Mean and standard deviation of each output over the training part, shape (2, output).

        Args:
            masked: Samples at the beginning that do not count.
        """
        self._keep(False)
        n, total, squares = 0, 0.0, 0.0
        for _, y in self._groups(range(len(self.chunks)), False):
            values = y[:, masked:, :-1].astype(np.float64)
            n += values.shape[0] * values.shape[1]
            total = total + values.sum(axis=(0, 1))
            squares = squares + (values**2).sum(axis=(0, 1))
        mean = total / n
        # an output that never moves has nothing to learn
        return np.array([mean, np.sqrt(np.maximum(squares / n - mean**2, 1e-12))])

    @property
    def target_shape(self) -> tuple[int, int]:
        """See `FoldData.target_shape`."""
        return self.shape[0], len(self.names) + 1


def output_names(signals: Sequence[Signal]) -> tuple[str, ...]:
    """Names of the outputs that signals give: their channels, or their own name where they have one alone."""
    return tuple(name for signal in signals for name in (signal.channels or (signal.name,)))
