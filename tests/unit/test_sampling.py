"""Parameters of a dataset: drawn, on a grid, at points; each by its index alone."""

import numpy as np
import pytest

from neuroinverse import sampling
from neuroinverse.errors import ConfigError
from neuroinverse.parameters import Parameter, ParameterSpace

SPACE = ParameterSpace((Parameter("eta", "1", 1.0, 3.0), Parameter("tau", "ms", 1.0, 100.0, "log")))


def simulation(chosen=None, dataset="train"):
    spec = {"study": "s", "dataset": dataset, "master_seed": 1, "parameters": SPACE.to_table()}
    return spec | ({"sampling": chosen} if chosen else {})


def resolve(**settings):
    return sampling.resolve("datasets.d", settings, SPACE)


def test_drawn_from_the_prior_by_default():
    assert resolve(n=7) == (7, None) == resolve(n=7, sampling="random")
    theta, seeds = sampling.draw(simulation(), np.arange(5))
    expected = SPACE.draw(1, "s/train", np.arange(5))
    np.testing.assert_array_equal(theta, expected[0])
    np.testing.assert_array_equal(seeds, expected[1])


def test_a_grid_has_the_centres_of_equal_cells():
    n, chosen = resolve(n=16, sampling="grid")
    assert (n, chosen) == (16, {"kind": "grid", "levels": [4, 4]})
    theta, _ = sampling.draw(simulation(chosen), np.arange(16))
    np.testing.assert_allclose(np.unique(theta[:, 0]), [1.25, 1.75, 2.25, 2.75])
    # equal cells of the logarithm: 10^(1/4), 10^(3/4), …
    np.testing.assert_allclose(np.unique(theta[:, 1]), 10 ** np.array([0.25, 0.75, 1.25, 1.75]))
    assert len(np.unique(theta, axis=0)) == 16
    assert (theta[:4, 0] == theta[0, 0]).all() and len(np.unique(theta[:4, 1])) == 4, "the last parameter is fastest"
    # as many simulations in every cell as the prior has mass there
    np.testing.assert_allclose(SPACE.to_unit(theta).mean(axis=0), 0, atol=1e-12)


def test_levels_of_each_parameter_and_values_of_ones_own():
    n, chosen = resolve(sampling="grid", levels={"tau": [5.0, 2.0, 50.0], "eta": 2})
    assert (n, chosen["levels"]) == (6, [2, [5.0, 2.0, 50.0]])
    theta, _ = sampling.draw(simulation(chosen), np.arange(6))
    np.testing.assert_allclose(theta, [[e, t] for e in (1.5, 2.5) for t in (5, 2, 50)])


def test_points_repeat_with_other_seeds():
    points = [{"eta": 2, "tau": 3}, {"tau": 7.5, "eta": 9}]
    n, chosen = resolve(sampling="points", points=points, n=4)
    assert n == 4 and resolve(sampling="points", points=points)[0] == 2
    theta, seeds = sampling.draw(simulation(chosen), np.arange(4))
    assert theta.tolist() == [[2, 3], [9, 7.5], [2, 3], [9, 7.5]]
    assert len(set(seeds.tolist())) == 4


@pytest.mark.parametrize(
    "chosen", [None, {"kind": "grid", "levels": [3, 4]}, {"kind": "points", "points": [[1, 2], [3, 4], [5, 6]]}]
)
def test_a_simulation_depends_on_its_index_alone(chosen):
    theta, seeds = sampling.draw(simulation(chosen), np.arange(12))
    some = np.array([7, 2, 11])
    again = sampling.draw(simulation(chosen), some)
    np.testing.assert_array_equal(again[0], theta[some])
    np.testing.assert_array_equal(again[1], seeds[some])
    elsewhere = sampling.draw(simulation(chosen, "other"), np.arange(12))[1]
    assert not set(elsewhere.tolist()) & set(seeds.tolist()), "another dataset has other seeds at the same points"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, ["datasets.d: missing 'n'"]),
        ({"n": 4, "points": [{}]}, ["datasets.d.points", "sampling: points"]),
        ({"n": 4, "sampling": "points", "points": [{"eta": 1, "tau": 2}], "levels": {}}, ["levels", "sampling: grid"]),
        ({"sampling": "grid"}, ["missing 'n' or 'levels'"]),
        ({"n": 17, "sampling": "grid"}, ["17 is no full grid of 2", "16 (4 levels each)", "25 (5 levels each)"]),
        ({"sampling": "grid", "levels": {"eta": 3}}, ["levels: missing 'tau'"]),
        ({"sampling": "grid", "levels": {"eta": 3, "taun": 2}}, ["'taun'", "did you mean 'tau'"]),
        ({"n": 5, "sampling": "grid", "levels": {"eta": 3, "tau": [1, 2]}}, ["5 is not", "3 × 2", "write 6"]),
        ({"sampling": "grid", "levels": {"eta": 3, "tau": [0, 2]}}, ["levels.tau", "0 is not positive"]),
        ({"sampling": "points"}, ["missing 'points'"]),
        ({"sampling": "points", "points": [{"eta": 1}]}, ["points.0: missing 'tau'", "'ms'"]),
        ({"sampling": "points", "points": [{"etaa": 1, "tau": 1}]}, ["points.0", "'etaa'", "did you mean 'eta'"]),
        ({"sampling": "points", "points": [{"eta": 1, "tau": -1}]}, ["points.0.tau", "-1 is not positive"]),
        ({"sampling": "points", "points": [{"eta": 1, "tau": 1}] * 2, "n": 3}, ["3 is no multiple of the 2 points"]),
    ],
)
def test_mistakes_are_named(settings, words):
    with pytest.raises(ConfigError) as caught:
        resolve(**settings)
    for word in words:
        assert word in str(caught.value)
