"""Figures of the warning: ROC curves and distortions."""

import numpy as np
import pytest

from neuroinverse.evaluation import warning
from neuroinverse.evaluation.calibration import ErrorModel


def test_area_is_the_share_of_pairs_in_the_right_order():
    assert warning.auroc([1, 2, 3], [4, 5]) == 1 and warning.auroc([1, 2, 3], [0]) == 0
    # 2.5 beats two of three; 2 beats one and ties with one
    assert warning.auroc([1, 2, 3], [2.5, 2]) == pytest.approx((2 + 1.5) / 6)
    assert warning.auroc([1, 1], [1, 1]) == 0.5
    assert warning.auroc([1, np.nan], [1]) is None and warning.auroc([1], [np.inf]) is None


def test_share_warned_of_is_unknown_without_a_threshold():
    errors = ErrorModel((1.0,), (0.0,), np.ones((99, 1)), 9, 2.0)
    assert errors.warned([1, 2, 3, 4]) == 0.5 and errors.warned([1, np.nan]) is None
    assert ErrorModel.nothing(1).warned([1, 2]) is None


@pytest.mark.parametrize("shape", [(3, 600), (3, 600, 2)])
def test_distortions_are_what_they_are_called(shape):
    x = np.random.default_rng(1).normal(size=shape)
    made = {name: f(x) for name, f in warning.distortions("mV", 0.1, np.random.default_rng(2)).items()}
    assert all(y.shape == shape for y in made.values()) and len(made) == 8
    np.testing.assert_allclose(made["scaled by 0.8"] / x, 0.8)
    np.testing.assert_allclose(made["10 mV higher"] - x, 10)
    assert (made["noise of 5 mV"] - x).std() == pytest.approx(5, rel=0.1)
    np.testing.assert_array_equal(made["5 ms late"][:, 50:], x[:, :-50])
    np.testing.assert_array_equal(made["last third flat"][:, :400], x[:, :400])
    assert (np.ptp(made["last third flat"][:, 399:], axis=1) == 0).all()
    assert len(warning.distortions("1", 0.1, np.random.default_rng(2))) == 4


def test_curves_pass_through_the_shares():
    rng = np.random.default_rng(3)
    figure = warning.roc(rng.normal(0, 1, 2000), {"other": rng.normal(3, 1, 500)}, {"noise": rng.normal(0, 1, 500)})
    left, right = figure.axes
    x, y = left.get_lines()[0].get_data()
    # 3 standard deviations apart: 75 % lie above the 99 % quantile
    assert np.interp(1, x, y) == pytest.approx(75, abs=6)
    x, y = right.get_lines()[0].get_data()
    assert np.interp(10, x, y) == pytest.approx(10, abs=5)
