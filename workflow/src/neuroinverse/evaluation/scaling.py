"""Error against the size of the training set: its power law, and the band that the scatter of the folds gives it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroinverse.evaluation import metrics, style
from neuroinverse.evaluation.style import BLUE, GREEN, GREY, INK, ORANGE
from neuroinverse.parameters import ParameterSpace

# how often the band is to hold the law
LEVEL = 0.9
DRAWS = 4000
# sizes that a band needs: two are on a line whatever they are
FEWEST = 3
LOOKS = {"mse_unit_folds_mean": ("single folds", BLUE, "o"), "mse_unit": ("ensemble", ORANGE, "s")}


@dataclass(frozen=True, eq=False)
class PowerLaw:
    """Error = factor · n^exponent: a straight line through the logarithms.

    Args:
        factor: Error of a training set of one.
        exponent: Below 0 where more simulations help.
        deviations: Of the coefficients (logarithm of the factor, exponent) in draws of the bootstrap, shape
            (draws, 2); None where there is no band.
    """

    factor: float
    exponent: float
    deviations: np.ndarray | None = None

    @classmethod
    def fit(cls, sizes: Sequence[int], folds: np.ndarray, seed=None) -> "PowerLaw":
        """Fits the means over folds by least squares, and their band by bootstrap.

        The scatter of the folds, relative to their mean, is taken to be the same at all sizes: so few folds give it
        only together. Each draw takes folds of any size, and its deviation is divided by the scatter that it shows
        itself (bootstrap-t: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 12). Percentiles of
        the deviations as they are would make the band of four folds too narrow by a third.

        Args:
            sizes: Training sizes, at least two different ones.
            folds: Error of each fold at each size, shape (sizes, folds).
            seed: Of the bootstrap, a numpy.random.SeedSequence; without it there is no band.
        """
        folds = np.asarray(folds, np.float64)
        inverse = np.linalg.pinv(np.stack([np.ones(len(sizes)), np.log(sizes)], axis=1))
        mean, k = folds.mean(axis=1), folds.shape[1]
        offset, exponent = inverse @ np.log(mean)
        deviations = None
        if seed is not None and len(sizes) >= FEWEST and k > 1:
            residuals = (folds / mean[:, None] - 1) * np.sqrt(k / (k - 1))
            drawn = np.random.default_rng(seed).choice(residuals.ravel(), (DRAWS, *folds.shape))
            means = drawn.mean(axis=2)
            scatter = np.sqrt(((drawn - means[..., None]) ** 2).mean(axis=(1, 2)) * k / (k - 1))
            # a draw without scatter, such as of folds that agree, deviates by nothing
            own = np.sqrt((residuals**2).mean())
            scale = np.divide(own, scatter, out=np.zeros_like(scatter), where=scatter > 0)
            deviations = scale[:, None] * (means @ inverse.T)
        return cls(float(np.exp(offset)), float(exponent), deviations)

    def at(self, n) -> np.ndarray:
        """The error at training sizes."""
        return self.factor * np.asarray(n, np.float64) ** self.exponent

    def band(self, n) -> np.ndarray | None:
        """Lower and upper end of the band at training sizes, shape (2, len(n)); None where there is none."""
        if self.deviations is None:
            return None
        n = np.atleast_1d(np.asarray(n, np.float64))
        moved = self.deviations @ np.stack([np.ones(len(n)), np.log(n)])
        # what lies too high in a draw says that the truth lies as much lower
        return self.at(n) * np.exp(-np.quantile(moved, _ends()[::-1], axis=0))

    def exponent_band(self) -> list[float] | None:
        """Lower and upper end of the exponent."""
        if self.deviations is None:
            return None
        return (self.exponent - np.quantile(self.deviations[:, 1], _ends()[::-1])).tolist()

    def to_dict(self) -> dict:
        """As JSON values."""
        return {"factor": self.factor, "exponent": self.exponent, "exponent_band": self.exponent_band()}


def _ends() -> np.ndarray:
    return np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2])


def ensemble_parts(predictions: Path | str, space: ParameterSpace) -> np.ndarray:
    """Every fold's part in the mean squared error of the ensemble, unit parameters, shape (folds,).

    The mean of the parts is the ensemble's error, and each part tells, to first order, how it would change with the
    weight of the fold: a fold's own error, less its squared distance from the ensemble.

    Args:
        predictions: predictions.parquet of a test set.
        space: The parameters.
    """
    import pyarrow.parquet as pq

    table, total = pq.read_table(predictions), 0.0
    folds = metrics.fold_numbers(table.column_names, space.names)
    for parameter in space.parameters:
        columns = [f"{parameter.name}_true", *(f"{parameter.name}_fold{fold}" for fold in folds)]
        physical = np.column_stack([table[column].to_numpy() for column in columns])
        unit = ParameterSpace((parameter,)).to_unit(physical[..., None])[..., 0]
        true, each = unit[:, :1], unit[:, 1:]
        total = total + (each - true) ** 2 - (each - each.mean(axis=1, keepdims=True)) ** 2
    return total[np.isfinite(total).all(axis=1)].mean(axis=0) / len(space.parameters)


def plot(sizes: Sequence[Mapping], laws: Mapping[str, PowerLaw], published: Mapping[int, float], furthest: int):
    """Error and training time against the size of the training set, both on logarithmic axes.

    Args:
        sizes: The sizes of scaling.json.
        laws: By key of LOOKS; empty where there is one size.
        published: Published error by training size.
        furthest: Size to which the laws are drawn.
    """
    n = np.array([size["n_train"] for size in sizes])
    ends = [*n, *published, furthest] if laws else [*n, *published]
    grid = np.geomspace(min(ends), max(ends), 60)
    with style.styled():
        figure = style.new_figure(3.6)
        error, time = figure.subplots(1, 2, width_ratios=[1.7, 1])
        for key, (label, color, marker) in LOOKS.items():
            if key in laws:
                band = laws[key].band(grid)
                if band is not None:
                    error.fill_between(grid, *band, color=color, alpha=0.18, linewidth=0)
                error.plot(grid, laws[key].at(grid), color=color, linewidth=0.8, linestyle="--")
            error.plot(n, [s[key] for s in sizes], marker, color=color, markersize=4.5, label=label, zorder=4)
        folds = [(s["n_train"], e) for s in sizes for e in s["mse_unit_folds"]]
        error.plot(*zip(*folds, strict=True), "_", color=BLUE, markersize=8, markeredgewidth=0.8, zorder=3)
        if published:
            look = {"color": GREEN, "markersize": 5, "markerfacecolor": "none", "label": "published"}
            error.plot(list(published), list(published.values()), "D", **look)
        error.set(ylabel="mean squared error (unit parameters)", xlabel="training simulations")
        error.legend(loc="best")
        seconds = [s["train_seconds_per_fold"] for s in sizes]
        time.plot(n, seconds, "o-", color=GREY, markersize=4, linewidth=0.8)
        time.set(ylabel="training time of a fold (s)", xlabel="training simulations")
        for axis in (error, time):
            _log_axes(axis)
    return figure


def _log_axes(axis) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis.set(xscale="log", yscale="log")
    axis.grid(color=INK, alpha=0.12, linewidth=0.4)
    for part, most in ((axis.xaxis, 5), (axis.yaxis, 6)):
        low, high = sorted(part.get_view_interval())
        part.set_major_locator(FixedLocator(style.log_ticks(low, high, most)))
        part.set_major_formatter(FuncFormatter(lambda value, _: style.exact(value)))
        part.set_minor_locator(NullLocator())
