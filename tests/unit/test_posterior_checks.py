"""Checks of posteriors where the exact posterior is known: exact ones pass, each fault is found by the check it is for.

θ is uniform on [−1, 1] and x = θ + τ·noise, so that the exact posterior is a normal distribution around x, cut off at
the ends of the prior. On a ring, where −1 and 1 are the same, it is not cut off and may be correlated.
"""

import json

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from scipy.stats import kstest

from neuroinverse.evaluation import posterior_checks as checks
from neuroinverse.evaluation import posterior_figures as figures
from neuroinverse.evaluation import posterior_observation as observation

TAU = np.array([0.05, 0.15, 0.4])
CALIBRATION = ("sbc", "hpd_coverage", "central_coverage", "tarp", "z_score")


def box(seed, n=600, samples=200, tau=TAU, width=1.0, shift=0.0):
    """Truths, and posteriors that are exact but for the factor of their width and a shift in units of τ."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(-1, 1, (n, len(tau)))
    mean, sd = truth + tau * rng.normal(size=truth.shape) + shift * tau, width * tau
    # the tail beyond −1 is the one that is exact in floating point
    side = np.where(mean > 0, -1, 1)
    low, high = ndtr((-1 - side * mean) / sd), ndtr((1 - side * mean) / sd)
    share = low[:, None] + (high - low)[:, None] * rng.random((n, samples, len(tau)))
    drawn = np.clip(side[:, None] * mean[:, None] + sd * ndtri(share), -1, 1) * side[:, None]

    def log_prob(x):
        square = np.square((x - mean[:, None]) / sd)
        return (-square / 2 - np.log(np.sqrt(2 * np.pi) * sd * (high - low))[:, None]).sum(axis=-1)

    return truth, drawn, log_prob(truth[:, None])[:, 0], log_prob(drawn)


def ring(seed, true_correlation, stated_correlation, n=600, samples=200, sd=0.1):
    """Truths, and posteriors with the right marginals whose two parameters may have another correlation."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(-1, 1, (n, 2))
    roots = [np.linalg.cholesky(sd**2 * np.array([[1, r], [r, 1]])) for r in (true_correlation, stated_correlation)]
    centre = truth - rng.normal(size=(n, 2)) @ roots[0].T
    drawn = wrapped(centre[:, None] + rng.normal(size=(n, samples, 2)) @ roots[1].T)

    def log_prob(x):
        z = wrapped(x - centre[:, None]) @ np.linalg.inv(roots[1]).T
        return -np.square(z).sum(axis=-1) / 2 - np.log(2 * np.pi * np.linalg.det(roots[1]))

    return truth, drawn, log_prob(truth[:, None])[:, 0], log_prob(drawn)


def wrapped(x):
    return (x + 1) % 2 - 1


def assessed(posteriors, seed=1, more=None):
    found = checks.assess(checks.measure([f"g{k}" for k in range(posteriors[0].shape[1])], *posteriors, seed), more)
    json.dumps(found, allow_nan=False)
    return found, {check["name"]: check["verdict"] for check in found["checks"]}


def test_exact_posteriors_pass_every_check():
    found, verdicts = assessed(box(1))
    assert found["verdict"] == "pass" and set(verdicts.values()) == {"pass"}, found["checks"]
    assert list(found["metrics"]) == [check["name"] for check in found["checks"]] == list(verdicts)
    metrics = found["metrics"]
    # of a normal posterior 1 − τ² / (1/3), but for the ends of the prior
    assert metrics["contraction"]["parameters"]["g0"]["contraction"] == pytest.approx(1 - 3 * 0.05**2, abs=0.002)
    assert metrics["contraction"]["parameters"]["g0"]["sd_ratio"] == pytest.approx(np.sqrt(3) * 0.05, rel=0.05)
    assert metrics["z_score"]["parameters"]["g1"]["rms"] == pytest.approx(1, abs=0.1)
    _, _, others, _ = box(100, n=20_000, samples=2)
    assert abs(metrics["log_prob"]["mean"] - others.mean()) < 4 * metrics["log_prob"]["standard_error"]
    assert metrics["log_prob"]["standard_error"] == pytest.approx(others.std() / np.sqrt(600), rel=0.1)
    assert metrics["log_prob"]["gain_nats"] == pytest.approx(metrics["log_prob"]["mean"] + 3 * np.log(2))
    assert abs(metrics["tarp"]["atc"]) < 0.03
    curve = {key: np.array(values) for key, values in metrics["hpd_coverage"]["curve"].items()}
    assert ((curve["low"] < curve["nominal"]) & (curve["nominal"] < curve["high"])).all()
    assert np.abs(curve["observed"] - curve["nominal"]).max() < 0.06


@pytest.mark.parametrize(
    ("posteriors", "fails", "words"),
    [
        (box(2, width=0.7), {"sbc", "hpd_coverage", "central_coverage", "tarp"}, "too narrow"),
        (box(2, width=1.6), {"sbc", "hpd_coverage", "central_coverage", "tarp"}, "too wide"),
        (box(2, shift=0.7), {"sbc", "z_score"}, "too high"),
        (box(2, shift=-0.7), {"sbc", "z_score"}, "too low"),
    ],
)
def test_the_right_checks_find_a_fault(posteriors, fails, words):
    found, verdicts = assessed(posteriors)
    assert {name for name in fails if verdicts[name] == "fail"} == fails and found["verdict"] == "fail"
    (sentence,) = (check["sentence"] for check in found["checks"] if check["name"] == "sbc")
    assert words in sentence
    assert verdicts["test_set"] == verdicts["inside_prior"] == verdicts["contraction"] == "pass"


def test_signs_tell_narrow_from_wide():
    narrow, wide = (assessed(box(3, width=width))[0]["metrics"] for width in (0.7, 1.6))
    assert narrow["tarp"]["atc"] < -0.01 and wide["tarp"]["atc"] > 0.01
    assert narrow["hpd_coverage"]["levels"]["0.9"] < 0.8 and wide["hpd_coverage"]["levels"]["0.9"] > 0.94
    high = assessed(box(3, shift=0.7))[0]["metrics"]["z_score"]["parameters"]
    assert all(row["mean"] > 0.4 for row in high.values())


def test_overconfidence_about_a_combination_is_seen_by_joint_checks_alone():
    _, exact = assessed(ring(4, 0.95, 0.95))
    assert {exact[name] for name in CALIBRATION} == {"pass"}
    # the posterior believes that it knows θ₁ − θ₂; each parameter by itself is as it should be
    _, verdicts = assessed(ring(4, 0.0, 0.95))
    assert verdicts["sbc"] == verdicts["central_coverage"] == verdicts["z_score"] == "pass"
    assert verdicts["hpd_coverage"] == verdicts["tarp"] == "fail"


def test_parameters_that_nothing_is_known_of_do_not_hide_the_others():
    truth, drawn, log_prob, log_prob_drawn = box(5, tau=TAU[:2], width=0.7)
    rng = np.random.default_rng(6)
    prior = rng.uniform(-1, 1, (len(truth), 6)), rng.uniform(-1, 1, (*drawn.shape[:2], 6))
    both = [np.concatenate(pair, axis=-1) for pair in zip((truth, drawn), prior, strict=True)]
    found, verdicts = assessed((*both, log_prob - 6 * np.log(2), log_prob_drawn - 6 * np.log(2)))
    assert verdicts["tarp"] == verdicts["hpd_coverage"] == "fail" and verdicts["contraction"] == "warn"
    (sentence,) = (check["sentence"] for check in found["checks"] if check["name"] == "contraction")
    assert sentence.endswith("hardly informed by the data: g2, g3, g4, g5, g6, g7.")


def test_the_prior_is_honest_but_says_nothing():
    rng = np.random.default_rng(7)
    truth, drawn = rng.uniform(-1, 1, (300, 3)), rng.uniform(-1, 1, (300, 100, 3))
    # of equal densities none is higher: ties are in random order
    flat = np.full(300, -3 * np.log(2)), np.full((300, 100), -3 * np.log(2))
    found, verdicts = assessed((truth, drawn, *flat))
    assert {verdicts[name] for name in CALIBRATION} == {"pass"}
    assert verdicts["contraction"] == verdicts["log_prob"] == found["verdict"] == "warn"
    assert found["metrics"]["log_prob"]["gain_nats"] == pytest.approx(0, abs=1e-9)


def test_a_large_test_set_does_not_fail_for_a_small_fault():
    found, verdicts = assessed(box(8, n=20_000, samples=100, tau=TAU[:1], width=0.94))
    assert verdicts["central_coverage"] == verdicts["sbc"] == found["verdict"] == "warn"
    assert found["metrics"]["central_coverage"]["p"] < 1e-4


def test_probability_outside_the_prior():
    truth, drawn, log_prob, log_prob_drawn = box(9, tau=TAU[:2])
    drawn = drawn.copy()
    drawn[0, :10, 0] = 1.2
    found, verdicts = assessed((truth, drawn, log_prob, log_prob_drawn))
    assert verdicts["inside_prior"] == "warn" and found["metrics"]["inside_prior"]["lowest"] == pytest.approx(0.95)
    drawn[:, :1, 1] = -1.01
    assert assessed((truth, drawn, log_prob, log_prob_drawn))[1]["inside_prior"] == "fail"
    # single precision may round to just beyond
    edge = np.where(np.abs(drawn) > 1, np.float32(1 + 1e-7), drawn).astype(np.float32)
    assert assessed((truth, edge, log_prob, log_prob_drawn))[1]["inside_prior"] == "pass"


def test_a_truth_without_density_fails():
    truth, drawn, log_prob, log_prob_drawn = box(10)
    found, verdicts = assessed((truth, drawn, np.where(np.arange(600) == 3, -np.inf, log_prob), log_prob_drawn))
    assert verdicts["log_prob"] == "fail" and verdicts["hpd_coverage"] == "pass"
    assert found["metrics"]["log_prob"] == {
        "mean": None, "gain_nats": None, "standard_error": None, "n_zero_density": 1
    }  # fmt: skip
    worse = assessed((truth, drawn, log_prob - 8, log_prob_drawn - 8))[0]
    assert [c["verdict"] for c in worse["checks"] if c["name"] == "log_prob"] == ["fail"]


def test_posteriors_that_are_no_numbers_are_counted():
    truth, drawn, log_prob, log_prob_drawn = (x.copy() for x in box(11))
    drawn[0, 5, 1], log_prob[1], log_prob_drawn[2, 0] = np.nan, np.nan, np.inf
    found, verdicts = assessed((truth, drawn, log_prob, log_prob_drawn))
    assert found["metrics"]["test_set"] == {"n": 597, "n_left_out": 3, "n_samples": 200}
    assert verdicts["test_set"] == "warn" and {verdicts[name] for name in CALIBRATION} == {"pass"}
    drawn[:10] = np.nan
    assert assessed((truth, drawn, log_prob, log_prob_drawn))[1]["test_set"] == "fail"
    with pytest.raises(ValueError, match="none of the 600 posteriors"):
        assessed((truth, drawn * np.nan, log_prob, log_prob_drawn))
    with pytest.raises(ValueError, match="do not go with"):
        assessed((truth[:5], drawn, log_prob, log_prob_drawn))


def test_few_observations_are_said():
    for n, samples in ((1, 200), (20, 200), (150, 20)):
        found, verdicts = assessed(box(12, n=n, samples=samples))
        assert verdicts["test_set"] == "warn" and found["metrics"]["sbc"]["bins"] == n // 20


def test_blocks_and_seed_do_not_change_what_is_counted(monkeypatch):
    posteriors = box(13, n=50, samples=40)
    whole = checks.measure("abc", *posteriors, 1)
    monkeypatch.setattr(checks, "BLOCK", 1000)
    parts, other = checks.measure("abc", *posteriors, 1), checks.measure("abc", *posteriors, 2)
    for name in ("marginal", "density", "distance", "z", "sd", "inside", "log_prob"):
        # ties are broken by other numbers
        assert np.abs(getattr(whole, name) - getattr(parts, name)).max() <= 1 / 41 + 1e-9
    np.testing.assert_array_equal(np.floor(41 * whole.marginal), np.floor(41 * other.marginal))
    below = (posteriors[1] < posteriors[0][:, None]).sum(axis=1)
    np.testing.assert_array_equal(np.floor(41 * whole.marginal), below)
    np.testing.assert_array_equal(np.floor(41 * whole.density), (posteriors[3] > posteriors[2][:, None]).sum(axis=1))


def test_points_are_not_the_truths_of_the_same_seed():
    truth = np.random.default_rng(1).uniform(-1, 1, (200, 2))
    drawn = wrapped(truth[:, None] + np.random.default_rng(2).normal(0, 0.1, (200, 101, 2)))
    measured = checks.measure("ab", truth, drawn[:, 1:], np.zeros(200), np.zeros((200, 100)), 1)
    assert measured.distance.max() > 0.5


def test_ranks_are_uniform_with_few_samples_and_ties():
    rng = np.random.default_rng(14)
    x = rng.integers(0, 3, (20_000, 4, 1)) - 1.0
    measured = checks.measure("a", x[:, 0], x[:, 1:], np.zeros(20_000), np.zeros((20_000, 3)), 1)
    for ranks in (measured.marginal[:, 0], measured.density, measured.distance):
        assert kstest(ranks, "uniform").pvalue > 1e-3


def test_p_values_are_uniform_and_false_alarms_rare():
    """Of 200 reports of exact posteriors at most 5 % + 3 standard errors are warned of, and at most 2 fail."""
    p, verdicts = {"ks": [], "chi2": [], "tarp": [], "binomial": []}, []
    for seed in range(200):
        found, _ = assessed(box(1000 + seed, n=200, samples=100, tau=TAU[1:]), seed)
        verdicts.append(found["verdict"])
        sbc = found["metrics"]["sbc"]["parameters"]["g1"]
        p["ks"].append(sbc["ks_p"])
        p["chi2"].append(sbc["chi2_p"])
        p["tarp"].append(found["metrics"]["tarp"]["ks_p"])
        p["binomial"].append(found["metrics"]["hpd_coverage"]["p"])
    print({verdict: verdicts.count(verdict) for verdict in checks.VERDICTS})
    for name in ("ks", "chi2", "tarp"):
        assert kstest(p[name], "uniform").pvalue > 1e-3, name
    # corrected ones are too large rather than too small
    assert np.mean(np.array(p["binomial"]) < 0.05) < 0.05
    assert verdicts.count("pass") > 200 * (0.95 - 3 * np.sqrt(0.05 * 0.95 / 200))
    assert verdicts.count("fail") <= 2


def test_holm():
    np.testing.assert_allclose(checks.holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(checks.holm([[0.6, 0.9]]), [[1, 1]])
    assert checks.worst([]) == "pass" and checks.worst(["warn", "fail", "pass"]) == "fail"


@pytest.mark.parametrize(("n", "share"), [(50, 0.95), (1000, 0.99)])
def test_the_band_holds_its_share_of_uniform_ranks(n, share):
    low, high = figures.ecdf_band(n, figures.GRID, share)
    draws = 3000
    ranks = np.random.default_rng(15).random((draws, n))
    observed = np.stack([(ranks <= point).mean(axis=1) for point in figures.GRID], axis=1)
    inside = ((observed >= low - 1e-9) & (observed <= high + 1e-9)).all(axis=1).mean()
    # of counts no band holds a share exactly
    assert share - 4 * np.sqrt(share * (1 - share) / draws) - 0.005 < inside < min(share + 0.03, 0.9999)


# --- an observation ---------------------------------------------------------------------------------------------------

FEATURES = ("spikes", "rest", "sd", "mean", "variance")


def predicted(seed, shift=0.0, M=200):
    rng = np.random.default_rng(seed)
    sd = np.array([1.0, 0.5, 0.2, 0.1, 0.05])
    return sd * rng.normal(size=5) + shift * sd, sd * rng.normal(size=(M, 5)), np.ones(5)


def test_predictions_that_hold_the_observation_pass():
    result = observation.predictive(FEATURES, *predicted(1))
    json.dumps(result.metrics, allow_nan=False)
    assert result.check.verdict == "pass" and result.metrics["unjudged"] == [] and result.metrics["n_undefined"] == 0
    observed, simulated, _ = predicted(1)
    distance = np.sqrt(np.square(simulated - observed).mean(axis=1))
    assert result.metrics["median_distance"] == pytest.approx(np.median(distance)) == result.check.value
    row = result.metrics["features"]["rest"]
    assert row["z"] == pytest.approx((observed[1] - simulated[:, 1].mean()) / simulated[:, 1].std(ddof=1))
    below = (simulated[:, 1] <= observed[1]).mean()
    assert row["tail_probability"] == pytest.approx(2 * min(below, 1 - below))


@pytest.mark.parametrize("M", [100, 1000])
def test_false_alarms_of_predictions(M):
    verdicts = [observation.predictive(FEATURES, *predicted(seed, M=M)).check.verdict for seed in range(400)]
    print(M, {verdict: verdicts.count(verdict) for verdict in checks.VERDICTS})
    assert verdicts.count("warn") < 400 * (0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)) and verdicts.count("fail") <= 3


def test_missed_features_are_named():
    observed, simulated, sd = predicted(2)
    observed = np.where(np.arange(5) == 1, 4.0, 0.0)
    check = observation.predictive(FEATURES, observed, simulated, sd).check
    assert check.verdict == "fail" and "miss rest (z 7.7)" in check.sentence and "spikes" not in check.sentence
    # many predictive sds away, but less than a tenth of the training's
    near = observation.predictive(FEATURES, observed, simulated, np.full(5, 100.0)).check
    assert near.verdict == "warn" and "miss rest" in near.sentence


def test_a_feature_that_all_simulations_share_is_no_fault():
    observed, simulated, sd = predicted(3)
    simulated[:, 0], observed[0] = np.float32(0.1), 0.1
    assert observation.predictive(FEATURES, observed, simulated, sd).check.verdict == "pass"
    observed[0] = 1.1
    result = observation.predictive(FEATURES, observed, simulated, sd)
    assert result.check.verdict == "fail" and "miss spikes" in result.check.sentence


def test_undefined_features_are_counted_and_said():
    observed, simulated, sd = predicted(4)
    simulated[:10, 2] = np.nan
    few = observation.predictive(FEATURES, observed, simulated, sd)
    assert few.check.verdict == "pass" and "10 of 200 simulations lack a feature" in few.check.sentence
    assert few.metrics["features"]["sd"]["n_undefined"] == 10 == few.metrics["n_undefined"]
    simulated[:50, 2] = np.nan
    assert observation.predictive(FEATURES, observed, simulated, sd).check.verdict == "warn"
    simulated[:120, 2] = np.nan
    most = observation.predictive(FEATURES, observed, simulated, sd)
    assert most.check.verdict == "fail" and most.metrics["median_distance"] is None
    # what the observation lacks is no fault of the simulations
    observed[2] = np.nan
    lacking = observation.predictive(FEATURES, observed, simulated, sd)
    json.dumps(lacking.metrics, allow_nan=False)
    assert lacking.check.verdict == "warn" and lacking.metrics["unjudged"] == ["sd"]
    assert lacking.metrics["n_undefined"] == 0 and "nothing is said of them: sd" in lacking.check.sentence
    assert lacking.metrics["features"]["sd"]["z"] is None and lacking.metrics["median_distance"] < 3
    assert observation.predictive(FEATURES, observed * np.nan, simulated, sd).check.verdict == "fail"
    assert observation.predictive(FEATURES, observed, simulated * np.nan, sd).check.verdict == "fail"
    with pytest.raises(ValueError, match="do not go with"):
        observation.predictive(FEATURES, observed[:3], simulated, sd)


def training(seed, n=4000):
    """Features of simulations: skewed, correlated, counts, and one that never varies."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=n)
    second = first + 0.1 * rng.normal(size=n)
    return np.stack([rng.poisson(3, n), np.exp(first), second, rng.uniform(size=n), np.full(n, 0.3)], axis=1)


def test_one_in_a_hundred_simulations_is_warned_of():
    known, others = training(1), training(2, 200)
    verdicts = [observation.misspecification(FEATURES, known, row).check.verdict for row in others]
    print({verdict: verdicts.count(verdict) for verdict in checks.VERDICTS})
    assert verdicts.count("warn") <= 200 * (0.012 + 3 * np.sqrt(0.012 / 200)) and verdicts.count("fail") == 0


def test_an_observation_of_another_kind():
    known = training(1)
    usual = np.array([3, 1.0, 0.0, 0.5, 0.3])
    result = observation.misspecification(FEATURES, known, usual)
    json.dumps(result.metrics, allow_nan=False)
    assert result.check.verdict == "pass" and result.metrics["p"] > 0.05 and result.metrics["n_training"] == 4000
    # each value is usual, not both together
    pair = observation.misspecification(FEATURES, known, [3, 1.0, 1.5, 0.5, 0.3])
    assert pair.check.verdict in ("warn", "fail") and pair.metrics["out_of_range"] == []
    far = observation.misspecification(FEATURES, known, [3, 1.0, 0.0, 4.5, 0.4])
    assert far.check.verdict == "fail" and far.metrics["out_of_range"] == ["mean", "variance"]
    assert "outside the range of all 4000: mean, variance" in far.check.sentence


@pytest.mark.parametrize("unit", [1e-15, 1e6])
def test_the_unit_of_a_feature_changes_no_verdict(unit):
    """A power is told in mV²/Hz, and may be very small in them."""
    known, far = training(1), np.array([3, 1.0, 0.0, 4.5, 0.4])
    plain, other = (observation.misspecification(FEATURES, known * u, far * u) for u in (1, unit))
    assert other.check.verdict == plain.check.verdict == "fail"
    assert other.metrics["distance"] == pytest.approx(plain.metrics["distance"], rel=1e-6)
    observed, simulated, sd = predicted(2, shift=30)
    plain, other = (observation.predictive(FEATURES, observed * u, simulated * u, sd * u) for u in (1, unit))
    assert other.check.verdict == plain.check.verdict == "fail"
    assert other.metrics["median_distance"] == pytest.approx(plain.metrics["median_distance"], rel=1e-9)


def test_undefined_features_of_an_observation():
    known = training(1)
    known[:1000, 0] = np.nan
    usual = np.array([3, 1.0, 0.0, 0.5, 0.3])
    result = observation.misspecification(FEATURES, known, usual)
    assert (result.metrics["n_training"], result.metrics["n_undefined"]) == (3000, 1000)
    usual[0] = np.nan
    result = observation.misspecification(FEATURES, known, usual)
    assert result.check.verdict == "warn" and "undefined and left out: spikes" in result.check.sentence
    assert result.metrics["n_undefined"] == 0 and result.metrics["undefined"] == ["spikes"]
    few = observation.misspecification(FEATURES, known[:50], usual)
    assert few.check.verdict == "warn" and few.check.value is None and "only 50 simulations" in few.check.sentence
    assert observation.misspecification(FEATURES, known, usual * np.nan).check.verdict == "fail"


def test_observations_are_part_of_the_verdict():
    more = {"predictive": observation.predictive(FEATURES, *predicted(2, shift=30))}
    more["misspecification: cell 1"] = observation.misspecification(FEATURES, training(1), np.array([3, 1, 0, 0.5, 9]))
    found, verdicts = assessed(box(1), more=more)
    assert found["verdict"] == verdicts["predictive"] == verdicts["misspecification: cell 1"] == "fail"
    assert found["metrics"]["predictive"]["n"] == 200
