"""The stated error of an ensemble, and whether it is honest: how often the truth lies within it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

# the levels that metrics.json states
LEVELS = (0.5, 0.9, 0.95)
# the levels of the coverage figure
CURVE_LEVELS = tuple(np.round(np.concatenate([np.arange(0.05, 0.951, 0.05), [0.97, 0.99]]), 2).tolist())


# the floor is sought between these multiples of the root mean squared residual
FLOORS = tuple(np.geomspace(1e-3, 10, 81).tolist())


@dataclass(frozen=True)
class ErrorModel:
    """Turns the spread over folds into an error: scale · √(spread² + floor²), one pair for each parameter.

    The spread knows which simulations are hard, but not what all folds get wrong together; scale and floor are fitted
    to simulations that no fold saw (variance calibration).

    Args:
        scale: Factor of each parameter, unit parameters.
        floor: Spread, in unit parameters, below which folds agree by chance.
    """

    scale: tuple[float, ...]
    floor: tuple[float, ...]

    @classmethod
    def fit(cls, spread, residual) -> "ErrorModel":
        """Fits by maximum likelihood of Gaussian residuals.

        Args:
            spread: Standard deviation over folds, shape (n, n_parameters); zero for a single fold.
            residual: Predicted minus true of the same simulations, shape (n, n_parameters).

        Raises:
            ValueError: If there are no simulations to fit to.
        """
        spread, residual = np.asarray(spread, np.float64), np.asarray(residual, np.float64)
        if not len(residual):
            raise ValueError("no simulation to calibrate the error with")
        pairs = [cls._fit_one(s, r) for s, r in zip(spread.T, residual.T, strict=True)]
        return cls(tuple(scale for scale, _ in pairs), tuple(floor for _, floor in pairs))

    @staticmethod
    def _fit_one(spread: np.ndarray, residual: np.ndarray) -> tuple[float, float]:
        floors = np.array(FLOORS) * max(np.sqrt((residual**2).mean()), 1e-12)
        variance = spread[:, None] ** 2 + floors**2
        # for a given floor the best scale is known: the likelihood is left to be searched in one dimension
        scale = (residual[:, None] ** 2 / variance).mean(axis=0)
        best = int(np.argmin(np.log(variance).mean(axis=0) + np.log(scale)))
        return float(np.sqrt(scale[best])), float(floors[best])

    def error(self, spread) -> np.ndarray:
        """One standard deviation of the answer's error, unit parameters, shape (n, n_parameters).

        Args:
            spread: Standard deviation over folds, unit parameters, shape (n, n_parameters).
        """
        return np.asarray(self.scale) * np.sqrt(np.asarray(spread) ** 2 + np.asarray(self.floor) ** 2)

    def to_dict(self) -> dict:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def read(cls, path: Path) -> "ErrorModel":
        """Reads calibration.json."""
        content = json.loads(Path(path).read_text())
        return cls(tuple(content["scale"]), tuple(content["floor"]))


def half_width(level: float) -> float:
    """Half-width, in standard deviations, of the central interval that holds `level` of a Gaussian.

    Raises:
        ValueError: If the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"a coverage level must lie between 0 and 1, not at {level}")
    return NormalDist().inv_cdf((1 + level) / 2)


def coverage(residual, error, levels=LEVELS) -> np.ndarray | None:
    """Fraction of the truths within the central Gaussian interval of each level.

    Args:
        residual: Predicted minus true, shape (n, n_parameters).
        error: Stated standard deviation in the same units, shape (n, n_parameters).
        levels: Nominal levels between 0 and 1.

    Returns:
        Observed coverage, shape (len(levels), n_parameters), or None where any error is not finite: nothing was
        stated then, and a fraction over the rest would flatter.
    """
    error = np.asarray(error, dtype=np.float64)
    if error.size == 0 or not np.isfinite(error).all():
        return None
    distance = np.abs(np.asarray(residual, dtype=np.float64))
    return np.stack([(distance <= half_width(level) * error).mean(axis=0) for level in levels])


def coverage_table(residual, error, names, levels=LEVELS) -> tuple[dict | None, dict | None]:
    """Coverage as metrics.json states it.

    Args:
        residual: Predicted minus true, shape (n, n_parameters).
        error: Stated standard deviation, shape (n, n_parameters).
        names: Names of the parameters.
        levels: Nominal levels.

    Returns:
        {level: observed}, averaged over parameters, and {name: {level: observed}}; both None where no finite error
        is stated.
    """
    observed = coverage(residual, error, levels)
    if observed is None:
        return None, None
    keys = [f"{level:g}" for level in levels]
    average = {key: float(row.mean()) for key, row in zip(keys, observed, strict=True)}
    single = {
        name: {key: float(value) for key, value in zip(keys, column, strict=True)}
        for name, column in zip(names, observed.T, strict=True)
    }
    return average, single


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
