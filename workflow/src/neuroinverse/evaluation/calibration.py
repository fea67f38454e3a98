"""The stated error of an ensemble, its intervals, and whether they are honest: how often the truth lies within them."""

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from neuroinverse.errors import NeuroinverseError
from neuroinverse.parameters import ParameterSpace

# the levels that metrics.json states
LEVELS = (0.5, 0.9, 0.95)
# the levels of the coverage figure
CURVE_LEVELS = tuple(np.round(np.concatenate([np.arange(0.05, 0.951, 0.05), [0.97, 0.99]]), 2).tolist())
# the levels that calibration.json holds intervals of, in percent
PERCENT = range(1, 100)
# how often a trace of the prior raises the warning, in percent
FALSE_ALARMS = 1

# the floor is sought between these multiples of the root mean squared residual
FLOORS = tuple(np.geomspace(1e-3, 10, 81).tolist())


@dataclass(frozen=True, eq=False)
class ErrorModel:
    """Turns the spread of an answer into an error, scale · √(spread² + floor²), and the error into intervals.

    The spread knows which simulations are hard, but not what all folds get wrong together; scale and floor, a pair for
    each parameter, are fitted to simulations that no fold saw (variance calibration). Residuals in units of this error
    have heavier tails than a Gaussian: an interval of level L is therefore mean ± w(L) · error, where w(L) is the
    ⌈(n + 1) L⌉-th smallest |residual| / error of the same n simulations (conformal prediction: Lei et al. 2018, J Am
    Stat Assoc 113:1094), each error of scale and floor that are fitted to the n − 1 others. It holds the truth of
    another simulation of the prior with a probability of L or more, whatever the law of the residuals. Where that
    rank is beyond n there is no interval of the level.

    Args:
        scale: Factor of each parameter, unit parameters.
        floor: Spread, in unit parameters, below which folds agree by chance.
        widths: Half-widths in units of the error, shape (99, n_parameters) for the levels 1 % to 99 %; inf where
            the simulations are too few for the level.
        n: Simulations that it was fitted to.
        threshold: Score above which a trace counts as unlike the training traces: the ⌈0.99 (n + 1)⌉-th smallest of
            the same simulations, or their largest where n is below 99. NaN where they have no scores.
    """

    scale: tuple[float, ...]
    floor: tuple[float, ...]
    widths: np.ndarray
    n: int
    threshold: float = np.nan

    @classmethod
    def fit(cls, spread, residual, score=None) -> "ErrorModel":
        """Fits scale and floor by maximum likelihood of Gaussian residuals, then the half-widths and the threshold.

        Args:
            spread: Standard deviation of each answer, shape (n, n_parameters); zero for a single fold.
            residual: Predicted minus true of the same simulations, shape (n, n_parameters).
            score: How unlike the training traces they are, shape (n,).

        Raises:
            ValueError: If there are no simulations to fit to.
        """
        spread, residual = np.asarray(spread, np.float64), np.asarray(residual, np.float64)
        if not len(residual):
            raise ValueError("no simulation to calibrate the error with")
        fits = [_fit_one(s, r) for s, r in zip(spread.T, residual.T, strict=True)]
        scale, floor = (tuple(values) for values in zip(*(fit[:2] for fit in fits), strict=True))
        # of an error of zero no multiple is wider
        error = np.maximum(np.column_stack([fit[2] for fit in fits]), np.finfo(float).tiny)
        ratio = np.sort(np.abs(residual) / error, axis=0)
        beyond = np.vstack([ratio, np.full_like(ratio[:1], np.inf)])
        # in whole numbers: 0.95 · 20 is not 19 in floating point
        ranks = [-(-(len(ratio) + 1) * percent // 100) for percent in PERCENT]
        threshold = np.nan if score is None else warning_threshold(np.asarray(score, np.float64))
        return cls(scale, floor, beyond[np.array(ranks) - 1], len(ratio), threshold)

    def error(self, spread) -> np.ndarray:
        """One standard deviation of the answer's error, unit parameters, shape (n, n_parameters).

        Args:
            spread: Standard deviation of each answer, unit parameters, shape (n, n_parameters).
        """
        return np.asarray(self.scale) * np.sqrt(np.asarray(spread) ** 2 + np.asarray(self.floor) ** 2)

    def warns(self, score) -> np.ndarray:
        """Whether traces count as unlike the training traces, bool, shape (n,); never without a threshold.

        Args:
            score: As of `estimators.ensemble.Predictions`, shape (n,).
        """
        return np.asarray(score) > self.threshold

    def warned(self, score) -> float | None:
        """Share of traces that are warned of; None where there is no threshold, or a trace without a score."""
        known = np.isfinite(self.threshold) and np.isfinite(score).all()
        return float(self.warns(score).mean()) if known else None

    def half_widths(self, level: float) -> np.ndarray:
        """Half-widths of the intervals of a level, in units of the error, shape (n_parameters,); inf for none.

        Args:
            level: 0.01 to 0.99 in steps of 0.01.

        Raises:
            ValueError: If the level is another one.
        """
        percent = round(100 * level) if np.isfinite(level) else 0
        if percent not in PERCENT or abs(percent - 100 * level) > 1e-6:
            raise ValueError(f"a level must be 0.01 to 0.99 in steps of 0.01, not {level:g}")
        return self.widths[percent - 1]

    def interval(self, space: ParameterSpace, mean, spread, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the intervals of a level, within the ranges of the parameters.

        Beyond its range a parameter has no probability: an end that is drawn in to it costs no truth of the prior.
        An answer beyond it by more than its half-width leaves the end of the range alone.

        Args:
            space: The parameters, over the ranges that the ensemble was trained on.
            mean: The ensemble's answers, unit parameters, shape (n, n_parameters).
            spread: Their standard deviations, unit parameters, alike.
            level: As for `half_widths`.

        Returns:
            Lower and upper ends in physical units, shape (n, n_parameters) each; NaN where no error is known.
        """
        mean, reach = np.asarray(mean), self.half_widths(level) * self.error(spread)
        low, high = np.array([[p.low, p.high] for p in space.parameters], np.float64).T
        # again in physical units, in which a logarithm's rounding shows
        ends = (space.to_physical(np.clip(mean + offset, -1, 1)) for offset in (-reach, reach))
        return tuple(np.clip(end, low, high) for end in ends)

    @property
    def highest_level(self) -> float:
        """The highest level that there are intervals of; 0 for none."""
        return int(np.isfinite(self.widths).all(axis=1).sum()) / 100

    def to_dict(self) -> dict:
        """As JSON values; a level without intervals is null."""
        widths = [row.tolist() if np.isfinite(row).all() else None for row in self.widths]
        threshold = float(self.threshold) if np.isfinite(self.threshold) else None
        return {
            "n": self.n, "scale": self.scale, "floor": self.floor, "threshold": threshold, "half_widths": widths
        }  # fmt: skip

    @classmethod
    def read(cls, path: Path) -> "ErrorModel":
        """Reads calibration.json.

        Raises:
            NeuroinverseError: If it holds no half-widths.
        """
        content = json.loads(Path(path).read_text())
        if "half_widths" not in content:
            raise NeuroinverseError(
                f"{path}: holds no half-widths of intervals: it is of an earlier version. Run the workflow again"
            )
        nothing = [np.inf] * len(content["scale"])
        widths = np.array([row or nothing for row in content["half_widths"]], np.float64)
        threshold = content.get("threshold")
        threshold = np.nan if threshold is None else threshold
        return cls(tuple(content["scale"]), tuple(content["floor"]), widths, content["n"], threshold)

    @classmethod
    def nothing(cls, count: int) -> "ErrorModel":
        """Stands where nothing is known of the error of `count` parameters: all is NaN."""
        return cls((np.nan,) * count, (np.nan,) * count, np.full((len(PERCENT), count), np.nan), 0)


def _fit_one(spread: np.ndarray, residual: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Scale and floor of a parameter, and the error of each simulation by those that the others give, shape (n,)."""
    floors = np.array(FLOORS) * max(np.sqrt((residual**2).mean()), 1e-12)
    variance = spread[:, None] ** 2 + floors**2
    # for a given floor the best scale is known: the likelihood is left to be searched in one dimension
    log, square, n = np.log(variance), residual[:, None] ** 2 / variance, len(residual)
    tiny = np.finfo(float).tiny
    scale = np.maximum(square.mean(axis=0), tiny)
    best = int(np.argmin(log.mean(axis=0) + np.log(scale)))
    others = max(n - 1, 1)
    without = (square.sum(axis=0) - square * (n > 1)) / others
    # a sum less its only term may fall below zero by rounding
    without = np.maximum(without, tiny)
    chosen = np.argmin((log.sum(axis=0) - log * (n > 1)) / others + np.log(without), axis=1)
    error = np.sqrt(np.take_along_axis(without * variance, chosen[:, None], axis=1)[:, 0])
    return float(np.sqrt(scale[best])), float(floors[best]), error


def warning_threshold(score: np.ndarray) -> float:
    """Score that only FALSE_ALARMS percent of simulations like these exceed; the largest of too few."""
    rank = -(-(len(score) + 1) * (100 - FALSE_ALARMS) // 100)
    # too few simulations raise more false alarms, not fewer warnings
    return float(np.sort(score)[min(rank, len(score)) - 1])


def half_width(level: float) -> float:
    """Half-width, in standard deviations, of the central interval that holds `level` of a Gaussian.

    Raises:
        ValueError: If the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"a coverage level must lie between 0 and 1, not at {level}")
    return NormalDist().inv_cdf((1 + level) / 2)


def gaussian_widths(levels=LEVELS) -> np.ndarray:
    """Half-widths of the central Gaussian intervals in standard deviations, shape (len(levels), 1)."""
    return np.array([[half_width(level)] for level in levels])


def coverage(residual, error, widths) -> np.ndarray | None:
    """Fraction of the truths within mean ± width · error.

    Args:
        residual: Predicted minus true, shape (n, n_parameters).
        error: Stated standard deviation in the same units, shape (n, n_parameters).
        widths: Half-widths in units of the error, a row for each level, shape (m, n_parameters) or (m, 1).

    Returns:
        Observed coverage, shape (m, n_parameters), NaN where a half-width is not finite: an interval without ends
        would flatter. None where any error is not finite: nothing was stated then, and a fraction over the rest would
        flatter too.
    """
    error, widths = np.asarray(error, dtype=np.float64), np.asarray(widths, dtype=np.float64)
    if error.size == 0 or not np.isfinite(error).all():
        return None
    distance = np.abs(np.asarray(residual, dtype=np.float64))
    observed = np.stack([(distance <= row * error).mean(axis=0) for row in widths])
    return np.where(np.isfinite(widths), observed, np.nan)


def coverage_table(residual, error, names, widths, levels=LEVELS) -> tuple[dict | None, dict | None]:
    """Coverage as metrics.json states it.

    Args:
        residual: Predicted minus true, shape (n, n_parameters).
        error: Stated standard deviation, shape (n, n_parameters).
        names: Names of the parameters.
        widths: Half-widths, a row for each level.
        levels: Nominal levels.

    Returns:
        {level: observed}, averaged over parameters, and {name: {level: observed}}, None for a level without an
        interval; both None where no finite error is stated.
    """
    observed = coverage(residual, error, widths)
    if observed is None:
        return None, None
    keys = [f"{level:g}" for level in levels]

    def by_level(values) -> dict:
        return {key: None if np.isnan(v) else float(v) for key, v in zip(keys, values, strict=True)}

    single = {name: by_level(column) for name, column in zip(names, observed.T, strict=True)}
    return by_level(observed.mean(axis=1)), single


def sampling_band(levels, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Where 95 % of the observed coverages of an honest error lie for n test simulations (binomial, normal limit).

    Args:
        levels: Nominal levels, shape (m,).
        n: Number of test simulations.

    Returns:
        Lower and upper end, within [0, 1], shape (m,) each.
    """
    levels = np.asarray(levels, dtype=np.float64)
    spread = half_width(0.95) * np.sqrt(levels * (1 - levels) / max(n, 1))
    return np.clip(levels - spread, 0, 1), np.clip(levels + spread, 0, 1)
