"""Conditional densities and correlations of a posterior that is known."""

import numpy as np
import pytest

from neuroinverse.evaluation.conditionals import conditional_correlation, conditionals

PRECISION = np.array([[60.0, 25.0, 0.0], [25.0, 50.0, -20.0], [0.0, -20.0, 40.0]])
NAMES = ("a", "b", "c")


def gain(unit):
    return -0.5 * np.einsum("si,ij,sj->s", unit, PRECISION, unit)


def test_correlations_are_those_of_the_precision():
    """Of a normal distribution two parameters correlate by −P_ij/√(P_ii P_jj) when all others are held, wherever."""
    samples = np.random.default_rng(1).multivariate_normal(np.zeros(3), np.linalg.inv(PRECISION), 50)
    scale = np.sqrt(np.diag(PRECISION))
    expected = -PRECISION / np.outer(scale, scale) + 2 * np.eye(3)
    assert conditional_correlation(gain, samples) == pytest.approx(expected, abs=0.05)


def test_densities_are_cut_at_the_point():
    point = np.array([0.1, -0.1, 0.2])
    found = conditionals(gain, NAMES, point)
    grid, single, pair = found["grid"], found["single"], found["pair"]
    for k, name in enumerate(NAMES):
        rows = np.tile(point, (len(grid), 1))
        rows[:, k] = grid
        density = np.exp(gain(rows))
        assert single[name] == pytest.approx(density / density.max())
    assert set(pair) == {("a", "b"), ("a", "c"), ("b", "c")}
    i, j = 3, 20
    highest = np.unravel_index(pair["a", "c"].argmax(), pair["a", "c"].shape)
    ratio = gain(np.array([[grid[i], -0.1, grid[j]]])) - gain(np.array([[grid[highest[0]], -0.1, grid[highest[1]]]]))
    assert pair["a", "c"][i, j] == pytest.approx(np.exp(ratio[0]))


def test_a_density_in_one_cell_has_no_correlation():
    found = conditional_correlation(lambda unit: -1e9 * np.square(unit).sum(axis=1), np.zeros((3, 2)))
    assert found == pytest.approx(np.eye(2))
