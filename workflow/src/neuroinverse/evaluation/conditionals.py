"""Conditional densities of a posterior: of one or two parameters with all others held where a sample lies.

Marginal densities of many parameters hide how they compensate each other; conditional ones show it (Gonçalves et al.
2020, eLife 9:e56261, figure 6).
"""

import itertools
from collections.abc import Callable

import numpy as np

# points of a grid that is drawn; of that of correlations, and the samples that these are averaged over
GRID, COARSE, AVERAGED = 31, 13, 20


def conditionals(gain: Callable[[np.ndarray], np.ndarray], names, point: np.ndarray) -> dict:
    """Conditional densities at a point.

    Args:
        gain: Gives the log density of unit parameters (S, K), shape (S,), up to a constant.
        names: The K parameters.
        point: Unit parameters, shape (K,).

    Returns:
        `grid`, unit values, centres of equal cells, shape (G,); `single`, by parameter the density, (G,); `pair`, by
        two parameters (G, G), the first parameter along the first axis. Each has 1 as its largest value.
    """
    grid = (2 * np.arange(GRID) + 1) / GRID - 1
    single = {}
    for k, name in enumerate(names):
        rows = np.tile(point, (GRID, 1))
        rows[:, k] = grid
        single[name] = _relative(gain(rows))
    pair = {(names[i], names[j]): _of_pair(gain, point, i, j, grid) for i, j in _pairs(len(names))}
    return {"grid": grid, "single": single, "pair": pair}


def conditional_correlation(gain: Callable[[np.ndarray], np.ndarray], samples: np.ndarray) -> np.ndarray:
    """Correlation of every two parameters with all others held, averaged over the first samples, shape (K, K).

    Args:
        gain: See `conditionals`.
        samples: Of the posterior, unit parameters, shape (S, K).
    """
    k = samples.shape[1]
    grid, total = (2 * np.arange(COARSE) + 1) / COARSE - 1, np.eye(k)
    points = samples[:AVERAGED]
    for i, j in _pairs(k):
        found = [_correlation(_of_pair(gain, point, i, j, grid), grid) for point in points]
        total[i, j] = total[j, i] = np.mean(found)
    return total


def _pairs(k: int):
    return itertools.combinations(range(k), 2)


def _of_pair(gain, point: np.ndarray, i: int, j: int, grid: np.ndarray) -> np.ndarray:
    rows = np.tile(point, (len(grid) ** 2, 1))
    rows[:, i], rows[:, j] = np.repeat(grid, len(grid)), np.tile(grid, len(grid))
    return _relative(gain(rows)).reshape(len(grid), len(grid))


def _relative(log_density: np.ndarray) -> np.ndarray:
    return np.exp(log_density - log_density.max())


def _correlation(density: np.ndarray, grid: np.ndarray) -> float:
    """Correlation of two parameters by their density on a grid; 0 where all of it lies in one row or column."""
    weight = density / density.sum()
    x, y = weight.sum(axis=1), weight.sum(axis=0)
    mean_x, mean_y = x @ grid, y @ grid
    variance = (x @ (grid - mean_x) ** 2) * (y @ (grid - mean_y) ** 2)
    covariance = (grid - mean_x) @ weight @ (grid - mean_y)
    return float(covariance / np.sqrt(variance)) if variance > 1e-12 else 0.0
