import json

import numpy as np
import pytest
from synthetic import gaussian_errors, make_space

from neuroinverse.errors import NeuroinverseError
from neuroinverse.evaluation import calibration
from neuroinverse.evaluation.metrics import Predictions


@pytest.mark.parametrize(("level", "width"), [(0.5, 0.67449), (0.9, 1.64485), (0.95, 1.95996), (0.99, 2.57583)])
def test_half_width_is_the_gaussian_one(level, width):
    assert calibration.half_width(level) == pytest.approx(width, abs=1e-5)


@pytest.mark.parametrize("level", [0, 1, -0.1, 1.5])
def test_impossible_levels_are_refused(level):
    with pytest.raises(ValueError, match="between 0 and 1"):
        calibration.half_width(level)


def test_honest_errors_cover_as_stated_and_half_errors_too_little():
    residual = np.random.default_rng(0).normal(0, [0.1, 3.0], (40_000, 2))
    honest = np.broadcast_to([0.1, 3.0], residual.shape)
    observed = calibration.coverage(residual, honest, calibration.gaussian_widths((0.5, 0.9, 0.95)))
    assert observed.shape == (3, 2)
    np.testing.assert_allclose(observed, np.array([[0.5], [0.9], [0.95]]) * [[1, 1]], atol=0.01)
    # half of the width: P(|z| < 1.95996 / 2) = 0.67290
    assert calibration.coverage(residual, honest / 2, calibration.gaussian_widths((0.95,)))[0] == pytest.approx(
        [0.6729, 0.6729], abs=0.01
    )


def test_intervals_end_where_the_prior_ends_and_lose_no_truth():
    space = make_space(2, log=(1,))
    rng = np.random.default_rng(3)
    true = rng.uniform(-1, 1, (2000, 2))
    mean, spread = true + rng.normal(0, 0.3, true.shape), np.full(true.shape, 0.3)
    errors = gaussian_errors(2)
    low, high = errors.interval(space, mean, spread, 0.9)
    ends = np.array([[p.low, p.high] for p in space.parameters]).T
    assert (low >= ends[0]).all() and (high <= ends[1]).all() and (low <= high).all()
    reach = 1.64485 * spread
    plain = (np.abs(mean - true) <= reach).mean()
    theta = space.to_physical(true)
    tiny = 1e-12 * theta
    assert ((theta >= low - tiny) & (theta <= high + tiny)).mean() == pytest.approx(plain, abs=1e-3)
    # what lies within the prior as a whole is left as it was
    inner = (np.abs(mean) + reach < 1).all(axis=1)
    np.testing.assert_allclose(low[inner], space.to_physical(mean - reach)[inner], rtol=1e-5)
    # an answer far beyond the range leaves its end alone
    far = errors.interval(space, [[5.0, -5.0]], [[0.1, 0.1]], 0.9)
    np.testing.assert_allclose(np.array(far)[:, 0], [[0.04, 0.02], [0.04, 0.02]], rtol=1e-12)


def test_a_truth_beyond_the_range_is_in_no_interval():
    space = make_space(1)
    true = np.array([[0.0], [1.2], [1.0]])
    found = Predictions.from_units(
        space, np.arange(3), space.to_physical(true), [true], space.to_physical(true), true * 0 + 1, true * 0 + 1
    )
    np.testing.assert_allclose(found.distance_unit, [[0], [np.inf], [0]], atol=1e-12)


def test_counts_are_exact():
    residual = np.array([[0.0], [1.6], [-1.6], [1.7], [-5.0]])
    assert calibration.coverage(residual, np.ones((5, 1)), [[1.65], [1.7]]).tolist() == [[0.6], [0.8]]
    assert calibration.coverage(residual, np.zeros((5, 1)), [[1.65]]).tolist() == [[0.2]]


def test_table_averages_over_parameters():
    residual = np.array([[0.0, 9.0], [0.0, 0.0]])
    average, single = calibration.coverage_table(residual, np.ones((2, 2)), ["a", "b"], calibration.gaussian_widths())
    assert average == {"0.5": 0.75, "0.9": 0.75, "0.95": 0.75}
    assert single == {"a": {"0.5": 1, "0.9": 1, "0.95": 1}, "b": {"0.5": 0.5, "0.9": 0.5, "0.95": 0.5}}


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_no_coverage_is_stated_for_errors_that_are_not_finite(wrong):
    error = np.array([[0.1], [wrong]])
    widths = calibration.gaussian_widths()
    assert calibration.coverage(np.zeros((2, 1)), error, widths) is None
    assert calibration.coverage_table(np.zeros((2, 1)), error, ["a"], widths) == (None, None)


def test_no_coverage_is_stated_for_intervals_without_ends():
    average, single = calibration.coverage_table(np.zeros((2, 1)), np.ones((2, 1)), ["a"], [[1.0], [2.0], [np.inf]])
    assert average == {"0.5": 1, "0.9": 1, "0.95": None} and single == {"a": average}


def test_band_narrows_with_the_number_of_simulations_and_stays_within_bounds():
    low, high = calibration.sampling_band([0.5, 0.99], 100)
    assert high[0] - low[0] == pytest.approx(2 * 1.95996 * 0.05, abs=1e-5)
    assert high[1] == 1.0
    low, high = calibration.sampling_band([0.5], 400)
    assert high[0] - low[0] == pytest.approx(1.95996 * 0.05, abs=1e-5)


def test_band_holds_about_95_percent_of_honest_coverages():
    rng = np.random.default_rng(2)
    widths = calibration.gaussian_widths((0.7,))
    observed = [calibration.coverage(rng.normal(size=(200, 1)), np.ones((200, 1)), widths)[0, 0] for _ in range(600)]
    low, high = calibration.sampling_band([0.7], 200)
    assert 0.92 < np.mean((observed >= low[0]) & (observed <= high[0])) < 0.98


def simulated(seed, n, floor, scale):
    """Spreads and residuals of a known law: residual sd = scale · √(spread² + floor²)."""
    rng = np.random.default_rng(seed)
    spread = rng.gamma(1.5, 0.02, (n, 2))
    return spread, rng.standard_normal((n, 2)) * scale * np.sqrt(spread**2 + floor**2)


def test_error_model_finds_the_law_behind_the_residuals():
    floor, scale = np.array([0.03, 0.005]), np.array([0.6, 2.0])
    model = calibration.ErrorModel.fit(*simulated(1, 20000, floor, scale))
    print(f"scale {np.round(model.scale, 3)}, floor {np.round(model.floor, 4)}")
    np.testing.assert_allclose(model.scale, scale, rtol=0.05)
    np.testing.assert_allclose(model.floor, floor, rtol=0.15)


def test_error_fitted_to_few_is_honest_on_others():
    floor, scale = np.array([0.03, 0.005]), np.array([0.6, 2.0])
    model = calibration.ErrorModel.fit(*simulated(2, 500, floor, scale))
    spread, residual = simulated(3, 20000, floor, scale)
    gaussian = calibration.coverage(residual, model.error(spread), calibration.gaussian_widths())
    for level, observed in zip(calibration.LEVELS, gaussian, strict=True):
        print(level, observed)
        assert np.abs(observed - level).max() < 0.03


def test_error_of_a_single_fold_is_its_root_mean_square():
    residual = np.random.default_rng(4).standard_normal((300, 3)) * [0.1, 0.01, 1e-4]
    model = calibration.ErrorModel.fit(np.zeros((300, 3)), residual)
    np.testing.assert_allclose(model.error(np.zeros((1, 3)))[0], np.sqrt((residual**2).mean(axis=0)), rtol=1e-9)


def test_error_model_needs_simulations():
    with pytest.raises(ValueError, match="no simulation"):
        calibration.ErrorModel.fit(np.empty((0, 2)), np.empty((0, 2)))


def heavy(seed, n, count=10):
    """Spreads, and residuals of Student's t with 3 degrees of freedom: narrow in the middle, with heavy tails."""
    rng = np.random.default_rng(seed)
    spread = rng.gamma(1.5, 0.02, (n, count))
    return spread, rng.standard_t(3, (n, count)) * 0.7 * np.sqrt(spread**2 + 0.02**2)


def test_intervals_of_heavy_tails_hold_as_many_truths_as_stated():
    n = 2000
    model = calibration.ErrorModel.fit(*heavy(5, n))
    spread, residual = heavy(6, 20000)
    error, widths = model.error(spread), [model.half_widths(level) for level in calibration.LEVELS]
    observed = calibration.coverage(residual, error, widths)
    gaussian = calibration.coverage(residual, error, calibration.gaussian_widths())
    for level, here, there in zip(calibration.LEVELS, observed, gaussian, strict=True):
        # the coverage of a fitted quantile has the spread of a binomial of n, and the test of its own 20000
        deviation = np.sqrt(level * (1 - level) * (1 / n + 1 / 20000))
        print(level, here.round(3), there.mean().round(3))
        assert np.abs(here - level).max() < 4 * deviation
        assert abs(here.mean() - level) < 4 * deviation / np.sqrt(10)
    assert gaussian[0].mean() > 0.58, "the Gaussian reading is wrong here, or the test says nothing"


def test_intervals_of_few_simulations_hold_at_least_what_they_state():
    test_spread, test_residual = heavy(8, 4000)
    observed = []
    for seed in range(40):
        model = calibration.ErrorModel.fit(*heavy(100 + seed, 20))
        widths = [model.half_widths(level) for level in calibration.LEVELS]
        observed.append(calibration.coverage(test_residual, model.error(test_spread), widths).mean(axis=1))
    mean = np.mean(observed, axis=0)
    print(mean)
    # ranks of 20 are coarse, 11 of 21, 19 of 21 and 20 of 21; to err is to err to the safe side
    assert (mean > [0.5, 0.9, 0.95]).all() and (mean < [0.55, 0.94, 0.98]).all()


def test_half_widths_are_ranks_of_errors_made_without_each(tmp_path):
    residual = heavy(9, 20, 2)[1]
    squares = residual**2
    model = calibration.ErrorModel.fit(np.zeros_like(residual), residual)
    # without a spread the error is the root mean square of the other 19
    ratio = np.sort(np.abs(residual) / np.sqrt((squares.sum(axis=0) - squares) / 19), axis=0)
    np.testing.assert_allclose(model.half_widths(0.5), ratio[11 - 1])
    np.testing.assert_allclose(model.half_widths(0.9), ratio[19 - 1])
    np.testing.assert_allclose(model.half_widths(0.95), ratio[20 - 1])
    # 0.96 · 21 is more than 20
    assert np.isinf(model.half_widths(0.96)).all() and model.highest_level == 0.95
    (tmp_path / "c.json").write_text(json.dumps(model.to_dict(), allow_nan=False))
    again = calibration.ErrorModel.read(tmp_path / "c.json")
    np.testing.assert_array_equal(again.widths, model.widths)
    assert (again.scale, again.floor, again.n) == (model.scale, model.floor, 20)


@pytest.mark.parametrize("level", [0, 1, 0.905, -0.5, np.nan, np.inf])
def test_levels_that_are_no_whole_percent_are_refused(level):
    with pytest.raises(ValueError, match=r"in steps of 0\.01"):
        calibration.ErrorModel.fit(*heavy(9, 20, 2)).half_widths(level)


def test_a_calibration_without_intervals_is_refused(tmp_path):
    (tmp_path / "c.json").write_text('{"scale": [1], "floor": [1]}')
    with pytest.raises(NeuroinverseError, match=r"c\.json: .*earlier version. Run the workflow again"):
        calibration.ErrorModel.read(tmp_path / "c.json")


def test_answers_without_any_error_have_intervals_without_any():
    model = calibration.ErrorModel.fit(np.zeros((30, 1)), np.zeros((30, 1)))
    assert model.error(np.zeros((1, 1))).item() < 1e-100 and model.half_widths(0.9).tolist() == [0]
