"""Training data from shards through tf.data: in memory where it fits, else streamed in shuffled groups of chunks.

Features that need no fitting are computed here: once where they fit in memory, else as the batches come.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from neuroinverse import interrupts
from neuroinverse.errors import NeuroinverseError
from neuroinverse.parameters import ParameterSpace
from neuroinverse.shards import OK, Dataset

CHUNK = 256


class FoldData:
    """The simulations of one fold, as batches of (features, unit parameters).

    Simulation i is held out for validation in fold i mod k, whatever the shards are. Failed and silent simulations are
    left out.

    Args:
        dataset: The training dataset.
        signal: Name of the signal.
        parameters: The prior.
        folds: k; with k = 1 nothing is held out.
        fold: The fold.
        memory_bytes: Memory for features. A fold that fits is read once; else a quarter of it is filled with signals
            and shuffled at a time.
        seed: Seed of the order of chunks and simulations.
        first: Keras model of the features that need no fitting; the signals themselves when None.

    Raises:
        NeuroinverseError: If no simulation is left to train on or to validate with.
    """

    def __init__(
        self,
        dataset: Dataset,
        signal: str,
        parameters: ParameterSpace,
        folds: int,
        fold: int,
        memory_bytes: float,
        seed: int,
        first=None,
    ):
        self.dataset, self.signal, self.parameters, self.seed = dataset, signal, parameters, seed
        self.folds, self.fold, self.first = folds, fold, first
        shape = dataset.signals[signal].shape
        self.shape = shape if len(shape) > 1 else (*shape, 1)
        self.chunks = [(i, min(i + CHUNK, dataset.n)) for i in range(0, dataset.n, CHUNK)]
        bytes_each = 4 * int(np.prod(self.shape))
        self.feature_shape = tuple(first.output.shape[1:]) if first else self.shape
        self.fits = dataset.n * 4 * int(np.prod(self.feature_shape)) <= memory_bytes
        self.group = max(1, int(memory_bytes / 4 / (CHUNK * bytes_each)))
        self._kept: dict[bool, tuple[np.ndarray, np.ndarray]] = {}
        self.error: BaseException | None = None
        counts = np.sum([self._counts(*chunk) for chunk in self.chunks], axis=0)
        self.n_train, self.n_validation = int(counts[0]), int(counts[1])
        if not self.n_train or (folds > 1 and not self.n_validation):
            raise NeuroinverseError(
                f"{dataset.path}: fold {fold} of {folds} has {self.n_train} training and {self.n_validation} "
                f"validation simulations ({dataset.n_failed} of {dataset.n} failed); look at the logs of simulate_shard"
            )

    def _rows(self, start: int, stop: int, validation: bool) -> np.ndarray:
        usable = self.dataset.status(start, stop) == OK
        held_out = (self.dataset.index(start, stop) % self.folds == self.fold) & (self.folds > 1)
        return usable & (held_out if validation else ~held_out)

    def _counts(self, start: int, stop: int) -> tuple[int, int]:
        return self._rows(start, stop, False).sum(), self._rows(start, stop, True).sum()

    def _read(self, chunks: Iterable[int], validation: bool) -> tuple[np.ndarray, np.ndarray]:
        """What is kept in memory, shape (rows, time or frequency, channel), and unit parameters, shape (rows, K).

        That is features where all of them fit, else signals.
        """
        xs, ys = [], []
        for start, stop in (self.chunks[c] for c in chunks):
            rows = self._rows(start, stop, validation)
            x = self.dataset.signal(self.signal, start, stop)[rows].reshape(-1, *self.shape)
            xs.append(self._extract(x) if self.fits else x)
            theta = self.dataset.theta(start, stop, self.parameters.names)[rows]
            ys.append(self.parameters.to_unit(theta).astype(np.float32))
        return np.concatenate(xs), np.concatenate(ys)

    def _extract(self, x: np.ndarray) -> np.ndarray:
        if self.first is None:
            return x
        return np.asarray(self.first.predict_on_batch(x)) if len(x) else np.empty((0, *self.feature_shape), np.float32)

    def _keep(self, validation: bool) -> None:
        """Reads what fits in memory; not left to the generator, which runs in a thread of TensorFlow's."""
        if self.fits and validation not in self._kept:
            self._kept[validation] = self._read(range(len(self.chunks)), validation)

    def _groups(self, order, validation: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if self.fits:
            yield self._kept[validation]
        else:
            for i in range(0, len(order), self.group):
                yield self._read(order[i : i + self.group], validation)

    def training(self, epoch: int, batch_size: int, shift: int = 0) -> tf.data.Dataset:
        """Shuffled batches of one epoch; the order depends on (seed, epoch) alone, so a resumed training repeats it.

        Args:
            epoch: 0-based.
            batch_size: Simulations in a batch.
            shift: Each simulation comes up to so many samples early or late, drawn anew in every epoch.
        """
        self._keep(False)
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self.chunks))

        def shuffled():
            for x, y in self._groups(order, False):
                rows = rng.permutation(len(x))
                yield x, y, rows

        def moved(x):
            return _shifted(x, rng.integers(-shift, shift + 1, len(x))) if shift else x

        return self._dataset(shuffled, batch_size, self.n_train, moved)

    def validation(self, batch_size: int = 256) -> tf.data.Dataset:
        """Batches of the held-out simulations in the order of their index."""
        self._keep(True)

        def in_order():
            for x, y in self._groups(range(len(self.chunks)), True):
                yield x, y, np.arange(len(x))

        return self._dataset(in_order, batch_size, self.n_validation)

    def training_features(self, batch_size: int = CHUNK) -> Iterator[np.ndarray]:
        """Features of the training part in blocks, shape (rows, time or frequency, channel), for their statistics."""
        self._keep(False)
        for x, _ in self._groups(range(len(self.chunks)), False):
            for i in range(0, len(x), batch_size):
                block = x[i : i + batch_size]
                yield block if self.fits else self._extract(block)

    def training_signals(self, most: int) -> Iterator[np.ndarray]:
        """Signals of the training part in blocks, shape (rows, time, channel); where there are more, of spread chunks.

        Args:
            most: About how many signals to give at most.
        """
        for start, stop in self.chunks[:: max(1, -(-self.n_train // most))]:
            rows = self._rows(start, stop, False)
            if rows.any():
                yield self.dataset.signal(self.signal, start, stop)[rows].reshape(-1, *self.shape)

    @property
    def target_shape(self) -> tuple[int, ...]:
        """Shape of what a simulation is to be answered with."""
        return (len(self.parameters.parameters),)

    def _dataset(self, groups, batch_size: int, total: int, change=lambda x: x) -> tf.data.Dataset:
        def batches():
            try:
                for x, y in _batches(groups(), batch_size):
                    if interrupts.requested():
                        self.error = KeyboardInterrupt()
                        return
                    yield change(x), y
            except NeuroinverseError as error:
                # TensorFlow hides the type of an error in a generator: keep it for the caller
                self.error = error
                raise

        specs = (
            tf.TensorSpec((None, *(self.feature_shape if self.fits else self.shape)), tf.float32),
            tf.TensorSpec((None, *self.target_shape), tf.float32),
        )
        data = tf.data.Dataset.from_generator(batches, output_signature=specs)
        if self.first is not None and not self.fits:
            data = data.map(lambda x, y: (self.first(x), y))
        data = data.apply(tf.data.experimental.assert_cardinality(-(-total // batch_size)))
        return data.prefetch(tf.data.AUTOTUNE)


def _shifted(x: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Every row later in time by its number of samples; its first or last value fills what is left open."""
    source = np.clip(np.arange(x.shape[1]) - by[:, None], 0, x.shape[1] - 1)
    return np.take_along_axis(x, source[:, :, None], axis=1)


def _batches(groups: Iterable[tuple], batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cuts (x, y, order) groups into batches; what is left of a group goes into the next one's first batch."""
    left_x, left_y = None, None
    for x, y, order in groups:
        start = 0
        if left_x is not None:
            start = batch_size - len(left_x)
            left_x = np.concatenate([left_x, x[order[:start]]])
            left_y = np.concatenate([left_y, y[order[:start]]])
            if len(left_x) < batch_size:
                continue
            yield left_x, left_y
            left_x, left_y = None, None
        for i in range(start, len(order), batch_size):
            rows = order[i : i + batch_size]
            if len(rows) < batch_size:
                left_x, left_y = x[rows], y[rows]
            else:
                yield x[rows], y[rows]
    if left_x is not None and len(left_x):
        yield left_x, left_y
