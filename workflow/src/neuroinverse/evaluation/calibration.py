"""Whether stated errors are honest: how often the truth lies within them."""

from statistics import NormalDist

import numpy as np

# the levels that metrics.json states
LEVELS = (0.5, 0.9, 0.95)
# the levels of the coverage figure
CURVE_LEVELS = tuple(np.round(np.concatenate([np.arange(0.05, 0.951, 0.05), [0.97, 0.99]]), 2).tolist())


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
