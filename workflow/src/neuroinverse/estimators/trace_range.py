"""How unlike the training traces a trace is: a distance between descriptions of traces, which no network has a part in.

A network answers whatever it is given, and its hidden layers have learned to overlook what does not matter within the
prior. What a trace is like is therefore read off the trace: quantiles of its values in a few segments, and how much it
changes from sample to sample in more windows. Each descriptor is mapped to a normal score by its distribution over the
training traces, drawn out straight beyond their tails; the distance is Mahalanobis', with a ridge (a Gaussian copula).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

# of one channel; with more channels each has fewer, so that the number of descriptors hardly grows
SEGMENTS, WINDOWS = 3, 30
# fewest samples of a segment or window
SAMPLES = 8
QUANTILES = (0.0, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, 1.0)
# where the distribution of a descriptor is kept
PROBABILITIES = (0.002, 0.005, 0.01, 0.02, *np.linspace(0.05, 0.95, 19).tolist(), 0.98, 0.99, 0.995, 0.998)
# knots from the end of a distribution that give the slope beyond it
TAIL = 3
# variance, in normal scores, below which a combination of descriptors counts as constant by chance
RIDGE = 0.01
# in units of the standard deviation of a channel: the smallest change that counts, and the finest difference of values
QUIET, FINE = 1e-3, 1e-3
# the finest difference of logarithms of changes
FINE_LOG = 0.1
# traces that are described at a time
BLOCK = 128
# traces that the statistics are made of
TRACES = 10_000


def describe(signals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Describes traces.

    Args:
        signals: Traces, shape (n, time, channel).

    Returns:
        Quantiles, shape (n, segments · quantiles, channel), and root mean squares of the changes from sample to sample,
        shape (n, windows, channel), both in the signal's unit.
    """
    _, n, channels = signals.shape
    segments, windows = (max(1, min(count // channels, n // SAMPLES)) for count in (SEGMENTS, WINDOWS))
    ordered = [np.sort(part, axis=1) for part in np.array_split(signals, segments, axis=1)]
    places = [np.round(np.array(QUANTILES) * (part.shape[1] - 1)).astype(int) for part in ordered]
    values = np.concatenate([part[:, at] for part, at in zip(ordered, places, strict=True)], axis=1)
    changes = np.array_split(np.diff(signals, axis=1), windows, axis=1)
    return values, np.stack([np.sqrt(np.square(part).mean(axis=1)) for part in changes], axis=1)


@dataclass(frozen=True, eq=False)
class TraceRange:
    """The range of the training traces.

    Args:
        scale: Standard deviation of each channel, shape (channel,).
        knots: Quantiles of the D descriptors at `PROBABILITIES`, strictly increasing, shape (probabilities, D).
        mean: Mean normal scores, shape (D,).
        whitening: Turns normal scores into uncorrelated ones of variance 1, shape (D, D).
    """

    scale: np.ndarray
    knots: np.ndarray
    mean: np.ndarray
    whitening: np.ndarray

    @classmethod
    def fit(cls, blocks: Iterable[np.ndarray]) -> "TraceRange":
        """Makes the statistics of training traces; only descriptions are kept in memory.

        Args:
            blocks: Traces, shape (rows, time, channel) each.
        """
        values, changes, moments = [], [], []
        for block in blocks:
            found = describe(block)
            values.append(found[0])
            changes.append(found[1])
            moments.append((block.mean(axis=(0, 1), dtype=np.float64), np.square(block).mean((0, 1), dtype=np.float64)))
        rows = [len(v) for v in values]
        first, second = (np.average(m, axis=0, weights=rows) for m in zip(*moments, strict=True))
        # a channel that never changes has a scale too
        scale = np.sqrt(np.maximum(second - first**2, np.maximum(1e-12 * second, 1e-30)))
        x = _join(np.concatenate(values), np.concatenate(changes), scale)
        fine = _join(FINE * scale * np.ones((1, *values[0].shape[1:])), np.ones((1, *changes[0].shape[1:])), scale)[0]
        fine[-changes[0][0].size :] = FINE_LOG
        # a distribution with a single value keeps a width, that of the finest difference
        knots = np.quantile(x, PROBABILITIES, axis=0) + fine * np.linspace(0, 1, len(PROBABILITIES))[:, None]
        scores = normal_scores(x, knots)
        mean = scores.mean(axis=0)
        variances, axes = np.linalg.eigh((scores - mean).T @ (scores - mean) / len(scores))
        return cls(scale, knots, mean, axes / np.sqrt(np.maximum(variances, 0) + RIDGE))

    def score(self, description: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Distance of traces from the training traces, about 1 for one of them, shape (n,).

        Args:
            description: What `describe` makes of the traces.
        """
        whitened = (normal_scores(_join(*description, self.scale), self.knots) - self.mean) @ self.whitening
        return np.sqrt(np.square(whitened).mean(axis=1))

    def to_dict(self) -> dict:
        """As JSON values, to the last digit: knots may lie close together."""
        return {name: value.tolist() for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, content: dict) -> "TraceRange":
        """The range that `to_dict` wrote."""
        return cls(**{name: np.array(value, np.float64) for name, value in content.items()})


def mean_score(ranges: Sequence[TraceRange | None], signals: np.ndarray) -> np.ndarray:
    """Score of traces, mean over the ranges of several folds, shape (n,); NaN where a fold has none.

    Args:
        ranges: Of the folds.
        signals: Traces, shape (n, time, channel).
    """
    if None in ranges:
        return np.full(len(signals), np.nan)
    # descriptions are made of some traces at a time: they sort their samples
    parts = [describe(signals[i : i + BLOCK]) for i in range(0, len(signals), BLOCK)]
    return np.concatenate([np.mean([r.score(part) for r in ranges], axis=0) for part in parts])


def _join(values: np.ndarray, changes: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Descriptors side by side, shape (n, D): values, then logarithms of changes."""
    logs = np.log(changes + QUIET * scale, dtype=np.float64)
    return np.concatenate([values.reshape(len(values), -1), logs.reshape(len(logs), -1)], axis=1)


def normal_scores(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Normal scores of descriptors, shape (n, D), straight beyond the outermost knots."""
    levels = np.array([NormalDist().inv_cdf(p) for p in PROBABILITIES])
    low = (levels[TAIL] - levels[0]) / (knots[TAIL] - knots[0])
    high = (levels[-1] - levels[-1 - TAIL]) / (knots[-1] - knots[-1 - TAIL])
    inside = np.stack([np.interp(column, k, levels) for column, k in zip(x.T, knots.T, strict=True)], axis=1)
    return inside + low * np.minimum(x - knots[0], 0) + high * np.maximum(x - knots[-1], 0)
