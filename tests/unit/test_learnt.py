"""What an estimator has learnt, against numbers made by hand, and how it is said."""

import json

import numpy as np
import pytest

from neuroinverse.evaluation import learnt

RNG = np.random.default_rng(5)
TRUE = RNG.uniform(-1, 1, (800, 2))


def metrics(found, kind="cnn"):
    return {"learnt": found, "n_test": 800, "kind": kind}


def test_a_ratio_of_squared_errors_with_its_interval():
    # the first parameter is known to 0.1, the second is answered by the middle of the prior
    residual = np.column_stack([RNG.normal(0, 0.1, 800), -TRUE[:, 1]])
    found = learnt.of_answers(residual, TRUE, ("a", "b"))
    a, b = found["parameters"].values()
    assert a["ratio"] == pytest.approx(0.01 * 3, rel=0.15) and a["learnt"] and a["low"] < a["ratio"] < a["high"] < 0.05
    # the same squares in every resample
    assert (b["ratio"], b["low"], b["high"], b["learnt"]) == (1, 1, 1, False)
    assert found["overall"]["ratio"] == pytest.approx((a["ratio"] + 1) / 2, rel=0.1) and found["overall"]["learnt"]
    assert learnt.nothing(metrics(found)).startswith("Has learnt nothing of b (1.00, 95 % interval 1.00 to 1.00)")
    json.dumps(found, allow_nan=False)


def test_the_interval_is_that_of_theory():
    """The ratio's standard error is √((var r² + var t²) / n) over their mean, of independent squares."""
    residual = RNG.permutation(TRUE)
    row = learnt.of_answers(residual[:, :1], TRUE[:, :1], ("a",))["parameters"]["a"]
    # squares of uniform numbers: mean 1/3, variance 4/45
    expected = np.sqrt(2 * 4 / 45 / 800) * 3
    assert (row["high"] - row["low"]) / (2 * 1.96) == pytest.approx(expected, rel=0.15)
    assert not row["learnt"]


def test_posteriors_and_metrics_that_do_not_say():
    rows = {"a": {"contraction": 0.9}, "b": {"contraction": 0.01}}
    found = learnt.of_posteriors(2.0, 0.1, rows)
    assert (
        learnt.nothing(metrics(found, "posterior")) == "Has learnt nothing of b: its posterior is as wide as the prior."
    )
    for gain, error in ((0.1, 0.06), (-1, 0.1), (0, 0), (None, None)):
        said = learnt.nothing(metrics(learnt.of_posteriors(gain, error, rows), "posterior"))
        assert said.startswith("Has learnt nothing: over 800 test simulations")
    rows["b"]["contraction"] = 0.5
    assert learnt.nothing(metrics(learnt.of_posteriors(2.0, 0.1, rows), "posterior")) == ""
    assert learnt.nothing({"n_test": 5}) == "", "of an earlier version"
