import numpy as np
import pytest

from neuroinverse.evaluation import calibration


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
    observed = calibration.coverage(residual, honest, (0.5, 0.9, 0.95))
    assert observed.shape == (3, 2)
    np.testing.assert_allclose(observed, np.array([[0.5], [0.9], [0.95]]) * [[1, 1]], atol=0.01)
    # half of the width: P(|z| < 1.95996 / 2) = 0.67290
    assert calibration.coverage(residual, honest / 2, (0.95,))[0] == pytest.approx([0.6729, 0.6729], abs=0.01)


def test_counts_are_exact():
    # 1.64485 standard deviations hold 90 %
    residual = np.array([[0.0], [1.6], [-1.6], [1.7], [-5.0]])
    assert calibration.coverage(residual, np.ones((5, 1)), (0.9,)).tolist() == [[0.6]]
    assert calibration.coverage(residual, np.zeros((5, 1)), (0.9,)).tolist() == [[0.2]]


def test_table_averages_over_parameters():
    residual = np.array([[0.0, 9.0], [0.0, 0.0]])
    average, single = calibration.coverage_table(residual, np.ones((2, 2)), ["a", "b"])
    assert average == {"0.5": 0.75, "0.9": 0.75, "0.95": 0.75}
    assert single == {"a": {"0.5": 1, "0.9": 1, "0.95": 1}, "b": {"0.5": 0.5, "0.9": 0.5, "0.95": 0.5}}


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_no_coverage_is_stated_for_errors_that_are_not_finite(wrong):
    error = np.array([[0.1], [wrong]])
    assert calibration.coverage(np.zeros((2, 1)), error) is None
    assert calibration.coverage_table(np.zeros((2, 1)), error, ["a"]) == (None, None)


def test_band_narrows_with_the_number_of_simulations_and_stays_within_bounds():
    low, high = calibration.sampling_band([0.5, 0.99], 100)
    assert high[0] - low[0] == pytest.approx(2 * 1.95996 * 0.05, abs=1e-5)
    assert high[1] == 1.0
    low, high = calibration.sampling_band([0.5], 400)
    assert high[0] - low[0] == pytest.approx(1.95996 * 0.05, abs=1e-5)


def test_band_holds_about_95_percent_of_honest_coverages():
    rng = np.random.default_rng(2)
    observed = [calibration.coverage(rng.normal(size=(200, 1)), np.ones((200, 1)), (0.7,))[0, 0] for _ in range(600)]
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
    for level, observed in zip(calibration.LEVELS, calibration.coverage(residual, model.error(spread)), strict=True):
        print(level, observed)
        assert np.abs(observed - level).max() < 0.03


def test_error_of_a_single_fold_is_its_root_mean_square():
    residual = np.random.default_rng(4).standard_normal((300, 3)) * [0.1, 0.01, 1e-4]
    model = calibration.ErrorModel.fit(np.zeros((300, 3)), residual)
    np.testing.assert_allclose(model.error(np.zeros((1, 3)))[0], np.sqrt((residual**2).mean(axis=0)), rtol=1e-9)


def test_error_model_needs_simulations():
    with pytest.raises(ValueError, match="no simulation"):
        calibration.ErrorModel.fit(np.empty((0, 2)), np.empty((0, 2)))
