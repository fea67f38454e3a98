"""Whether neural posteriors are honest and worth having: checks on held-out simulations, one line each.

Honest: ranks of the truth (simulation-based calibration, SBC: Talts et al. 2018, arXiv:1804.06788), expected coverage
of highest-density regions (Hermans et al. 2022, arXiv:2110.06581; Deistler et al. 2022, arXiv:2210.04815), tests of
accuracy with random points (TARP: Lemos et al. 2023, arXiv:2302.03026). SBC looks at one parameter at a time and passes
posteriors that are overconfident about a combination of them; the other two do not. Worth having: contraction and
z-score (Betancourt 2018, arXiv:1803.08393; Schad et al. 2021, doi:10.1037/met0000275), gain in log probability.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from neuroinverse.evaluation.calibration import CURVE_LEVELS, LEVELS, sampling_band
from neuroinverse.evaluation.style import number

VERDICTS = ("pass", "warn", "fail")
# p values of a whole report: one in 20 exact posteriors is warned of, one in 1000 fails. Each check of calibration
# corrects for its own tests (Holm) and all of them for each other (Bonferroni), so that 31 parameters raise no more
# alarms than 8 do
WARN_P, FAIL_P = 0.05, 0.001
CALIBRATION_CHECKS = 5
# many test simulations find the smallest fault: it fails only where a probability is 3 points off, or a mean a tenth
# of a posterior standard deviation
MATERIAL, MATERIAL_Z = 0.03, 0.1
# below, an interval of 90 % is known to 6 points, and a rank to a hundredth, at best
FEWEST_TESTS, FEWEST_SAMPLES = 100, 100
LEFT_OUT = 0.01
# expected count of a bin of the χ² test, and most bins: Talts et al. 2018 choose about as many
BIN_COUNT, BINS = 20, 20
# below a tenth less variance than the prior, the posterior is the prior to the eye
CONTRACTION = 0.1
# a density over the box leaves no more outside than this; where an observation leaks more, its mean hides it
INSIDE, INSIDE_EACH = 0.999, 0.99
# sampled in single precision
EDGE = 1e-6
# a gain (nats) below this is rounding
ROUNDING = 1e-3
# elements of the samples that are worked on at once
BLOCK = 2**22


@dataclass(frozen=True)
class Check:
    """One line of a report.

    Args:
        name: What was checked.
        value: Its number, None where there is none: of coverage the largest deviation, of sbc the smallest p value, of
            z_score the largest mean, of tarp the area to the curve, of the others what their name says.
        verdict: One of `VERDICTS`.
        sentence: What was found, with the numbers that it stands on.
    """

    name: str
    value: float | None
    verdict: str
    sentence: str


@dataclass(frozen=True)
class Result:
    """A check, and its metrics as JSON values."""

    metrics: dict
    check: Check


@dataclass(frozen=True, eq=False)
class Measured:
    """What the checks and their figures need of every test observation.

    Args:
        names: The K parameters.
        marginal: Rank of the truth among the samples of each parameter, made continuous, in [0, 1], shape (n, K).
        density: Share of samples of higher density than the truth, alike, shape (n,): the truth lies in the
            highest-density region of level L where it is below L.
        distance: Share of samples nearer than the truth to a random point, alike, shape (n,).
        z: Posterior mean minus truth, in posterior standard deviations, shape (n, K).
        sd: Posterior standard deviation, unit parameters, shape (n, K).
        inside: Share of samples inside the prior, shape (n,).
        log_prob: Log density of the truth over unit parameters (nats), shape (n,); may be −inf.
        n_samples: Samples of each posterior.
        n_left_out: Test observations left out because a sample or a log probability is not a number.
    """

    names: tuple[str, ...]
    marginal: np.ndarray
    density: np.ndarray
    distance: np.ndarray
    z: np.ndarray
    sd: np.ndarray
    inside: np.ndarray
    log_prob: np.ndarray
    n_samples: int
    n_left_out: int

    @property
    def contraction(self) -> np.ndarray:
        """1 − posterior variance / prior variance (1/3 in unit parameters), shape (n, K)."""
        return 1 - 3 * self.sd**2


def measure(names: Sequence[str], truth, samples, log_prob_truth, log_prob_samples, seed: int) -> Measured:
    """Compares posteriors with the parameters that their observations were simulated with.

    Ranks r among S samples become (r + U)/(S + 1) with U uniform on [0, 1), ties in random order: exactly uniform for
    exact posteriors, whatever S. The random points of TARP are drawn from the prior. Its distance is Euclidean, each
    parameter in units of its mean posterior standard deviation: else parameters that nothing is known of hide the
    others.

    Args:
        names: The K parameters.
        truth: True unit parameters, drawn from the prior, uniform on [−1, 1], shape (n, K).
        samples: Samples of the posterior of each test observation, unit parameters, shape (n, S, K).
        log_prob_truth: Log density of the truth over unit parameters (nats), shape (n,).
        log_prob_samples: Log density of the samples, alike, shape (n, S).
        seed: Of the random points and of ties.

    Raises:
        ValueError: If shapes do not fit, or no observation has samples that are numbers.
    """
    truth, log_prob = np.asarray(truth, np.float64), np.asarray(log_prob_truth, np.float64)
    samples, log_prob_samples = np.asarray(samples), np.asarray(log_prob_samples)
    n, S, K = samples.shape
    found = (truth.shape, log_prob.shape, log_prob_samples.shape, len(names))
    if found != ((n, K), (n,), (n, S), K) or S < 2:
        raise ValueError(f"samples {samples.shape} do not go with truth, log probabilities and names {found}")
    # a truth may have no density at all, which is an answer
    usable = np.isfinite(truth).all(axis=1) & (log_prob < np.inf)
    usable &= np.isfinite(samples).all(axis=(1, 2)) & (log_prob_samples < np.inf).all(axis=1)
    if not usable.any():
        raise ValueError(f"none of the {n} posteriors has samples and log probabilities that are numbers")
    # a stream of its own: points that were the truths of the same seed would make every posterior look wrong
    rows, rng = np.flatnonzero(usable), np.random.default_rng([seed, 0x7A59])
    points = rng.uniform(-1, 1, (n, K))
    blocks = np.array_split(rows, -(-len(rows) * S * K // BLOCK))
    mean = np.concatenate([samples[b].mean(axis=1, dtype=np.float64) for b in blocks])
    # a posterior that is a point has a z-score too
    sd = np.maximum(np.concatenate([samples[b].std(axis=1, ddof=1, dtype=np.float64) for b in blocks]), 1e-9)
    weights = 1 / np.square(sd.mean(axis=0))
    ranks, inside = [], []
    for b in blocks:
        near = np.square(samples[b] - points[b, None]) @ weights
        known = np.concatenate(
            [truth[b], log_prob[b, None], (np.square(truth[b] - points[b]) @ weights)[:, None]], axis=1
        )
        drawn = np.concatenate([samples[b], log_prob_samples[b, :, None], near[..., None]], axis=2)
        below = (drawn < known[:, None]).sum(axis=1)
        ties = (drawn == known[:, None]).sum(axis=1)
        # of densities the higher ones count
        below[:, K] = S - below[:, K] - ties[:, K]
        ranks.append((below + rng.random(below.shape) * (ties + 1)) / (S + 1))
        inside.append((np.abs(samples[b]) <= 1 + EDGE).all(axis=2).mean(axis=1))
    ranks = np.concatenate(ranks)
    return Measured(
        tuple(names), ranks[:, :K], ranks[:, K], ranks[:, K + 1], (mean - truth[rows]) / sd, sd,
        np.concatenate(inside), log_prob[rows], S, n - len(rows),
    )  # fmt: skip


def holm(p) -> np.ndarray:
    """P values corrected for all of them being tested (Holm 1979, Scand J Stat 6:65), any shape."""
    p = np.asarray(p, np.float64)
    order = np.argsort(p, axis=None)
    corrected = np.empty(p.size)
    corrected[order] = np.maximum.accumulate(p.ravel()[order] * np.arange(p.size, 0, -1))
    return np.minimum(corrected, 1).reshape(p.shape)


def worst(verdicts) -> str:
    """The worst of some verdicts; "pass" for none."""
    return max(verdicts, key=VERDICTS.index, default="pass")


def check_test_set(measured: Measured) -> Result:
    """Whether there are enough test observations and samples, and posteriors for all of them."""
    n, left = len(measured.z), measured.n_left_out
    few = n < FEWEST_TESTS or measured.n_samples < FEWEST_SAMPLES
    verdict = "fail" if left > LEFT_OUT * (n + left) else "warn" if left or few else "pass"
    text = f"{n} test observations with {measured.n_samples} samples each"
    text += ", too few to find faults" * few + f"; {left} left out: no finite samples" * (left > 0)
    metrics = {"n": n, "n_left_out": left, "n_samples": measured.n_samples}
    return Result(metrics, Check("test_set", float(n), verdict, text + "."))


def check_sbc(measured: Measured) -> Result:
    """SBC: whether ranks of the truth are uniform, by a Kolmogorov-Smirnov and a χ² test of each parameter."""
    from scipy.stats import chisquare, kstest

    ranks = measured.marginal
    bins = min(BINS, len(ranks) // BIN_COUNT)
    tests = [kstest(column, "uniform") for column in ranks.T]
    off, ks_p = (np.array([getattr(t, field) for t in tests]) for field in ("statistic", "pvalue"))
    chi2_p = np.ones_like(ks_p)
    if bins > 1:
        chi2_p = np.array([chisquare(np.histogram(c, bins, (0, 1))[0]).pvalue for c in ranks.T])
    verdict, (_, k), p = _judge([ks_p, chi2_p], [off, off])
    rows = {
        name: {"ks": float(off[i]), "ks_p": float(ks_p[i]), "chi2_p": float(chi2_p[i]), "p": float(p[:, i].min())}
        for i, name in enumerate(measured.names)
    }
    smallest = f"smallest corrected p = {number(float(p.min()), 2)}"
    text = f"Ranks of the truth are uniform for every parameter ({smallest})."
    if verdict != "pass":
        count = int((p.min(axis=0) < WARN_P).sum())
        text = (
            f"Ranks of the truth are not uniform for {count} of {len(rows)} parameters, above all "
            f"{measured.names[k]}, whose posterior is {_fault(ranks[:, k])} ({smallest}, {_points(off[k])} off)."
        )
    return Result({"bins": bins, "parameters": rows}, Check("sbc", float(p.min()), verdict, text))


def check_hpd_coverage(measured: Measured) -> Result:
    """Expected coverage: how often the truth lies in the region of highest density of all parameters together."""
    return _coverage("hpd_coverage", "Regions of highest density hold", measured.density[:, None])


def check_central_coverage(measured: Measured) -> Result:
    """How often the truth lies in the central interval of each parameter."""
    return _coverage("central_coverage", "Central intervals hold", np.abs(2 * measured.marginal - 1), measured.names)


def check_tarp(measured: Measured) -> Result:
    """TARP: whether the truth is as far as the samples are from random points.

    Points lie on all sides of a posterior that is too narrow: the truth is nearer than the samples as often as it is
    farther. Shares are therefore also tested by how far they are from ½ (`centred`). `atc` is the area between curve
    and diagonal above level 0.5: below zero for posteriors that are too narrow.
    """
    from scipy.stats import kstest

    tests = [kstest(shares, "uniform") for shares in (measured.distance, np.abs(2 * measured.distance - 1))]
    off, raw = ([float(getattr(test, field)) for test in tests] for field in ("statistic", "pvalue"))
    verdict, (k,), p = _judge(raw, off)
    # ∫ of an empirical distribution function over [½, 1] is the mean of what lies right of each value
    atc = float(np.minimum(1 - measured.distance, 0.5).mean() - 0.375)
    text = "The truth is as far from random points as samples are"
    if verdict != "pass":
        fault = _fault(measured.distance, "biased", "biased")
        text = f"The truth is not as far from random points as samples are: posteriors are {fault}"
    text += f" (corrected p = {number(float(p[k]), 2)}, {_points(off[k])} off)."
    metrics = {
        "atc": atc, "ks": off[0], "ks_p": raw[0], "ks_centred": off[1], "ks_centred_p": raw[1], "p": float(p[k]),
        "curve": _curve(measured.distance),
    }  # fmt: skip
    return Result(metrics, Check("tarp", atc, verdict, text))


def check_z_score(measured: Measured) -> Result:
    """Whether posterior means lie on the truth on average; an exact posterior has z-scores of mean 0 and rms 1."""
    from scipy.stats import ttest_1samp

    z = measured.z
    p = ttest_1samp(z, 0).pvalue if len(z) > 1 else np.ones(z.shape[1])
    # equal z-scores have no p value
    verdict, (k,), p = _judge(np.nan_to_num(p, nan=1.0), z.mean(axis=0), MATERIAL_Z)
    columns = zip(z.mean(axis=0), np.abs(z).mean(axis=0), np.sqrt(np.square(z).mean(axis=0)), p, strict=True)
    keys = ("mean", "mean_abs", "rms", "p")
    rows = {n: dict(zip(keys, map(float, c), strict=True)) for n, c in zip(measured.names, columns, strict=True)}
    value = float(z[:, k].mean())
    side = f"{number(abs(value), 2)} posterior sd {'above' if value > 0 else 'below'} it"
    words = "lie on the truth on average, but for chance" if verdict == "pass" else "miss the truth on average"
    text = f"Posterior means {words}: of {measured.names[k]} they lie {side} (corrected p = {number(float(p[k]), 2)})."
    return Result({"parameters": rows}, Check("z_score", value, verdict, text))


def check_contraction(measured: Measured) -> Result:
    """How much narrower than the prior posteriors are; `sd_ratio` is posterior over prior standard deviation."""
    contraction, ratio = measured.contraction.mean(axis=0), np.sqrt(3) * measured.sd.mean(axis=0)
    rows = {
        name: {"contraction": float(c), "sd_ratio": float(r)}
        for name, c, r in zip(measured.names, contraction, ratio, strict=True)
    }
    hardly = [name for name, row in rows.items() if row["contraction"] < CONTRACTION]
    value, least = float(contraction.mean()), measured.names[int(contraction.argmin())]
    text = f"Posteriors have {_percent(value)} less variance than the prior, {least} {_percent(contraction.min())}"
    text += f"; hardly informed by the data: {', '.join(hardly)}." if hardly else "."
    return Result({"parameters": rows}, Check("contraction", value, "warn" if hardly else "pass", text))


def check_inside_prior(measured: Measured) -> Result:
    """Whether posteriors leave probability outside the prior ("leakage")."""
    share, lowest = float(measured.inside.mean()), float(measured.inside.min())
    verdict = "fail" if share < INSIDE else "warn" if lowest < INSIDE_EACH else "pass"
    text = f"{_percent(share)} of the samples lie inside the prior, {_percent(lowest)} at the worst observation."
    return Result({"share": share, "lowest": lowest}, Check("inside_prior", share, verdict, text))


def check_log_prob(measured: Measured) -> Result:
    """Whether the truth is more probable under the posterior than under the prior, 2⁻ᴷ over unit parameters."""
    values = measured.log_prob
    zero = int(np.isneginf(values).sum())
    mean = float(values.mean())
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 and not zero else 0.0
    gain = mean + len(measured.names) * np.log(2)
    sure = 2 * error + ROUNDING
    verdict = "fail" if gain < -sure else "warn" if gain <= sure else "pass"
    text = f"The truth gains {number(gain, 3)} ± {number(error, 2)} nats over the prior"
    text += ", no more than nothing." if verdict == "warn" else ": the prior is better." if verdict == "fail" else "."
    if zero:
        text = f"{zero} of {len(values)} true parameter sets have no probability at all under their posterior."
    metrics = {"mean": _json(mean), "gain_nats": _json(gain), "n_zero_density": zero}
    metrics["standard_error"] = None if zero else error
    return Result(metrics, Check("log_prob", _json(gain), verdict, text))


CHECKS: tuple[Callable[[Measured], Result], ...] = (
    check_test_set, check_sbc, check_hpd_coverage, check_central_coverage, check_tarp, check_z_score,
    check_contraction, check_inside_prior, check_log_prob,
)  # fmt: skip


def assess(measured: Measured, more: Mapping[str, Result] | None = None) -> dict:
    """All checks of held-out posteriors, with those of observations, as JSON values.

    Args:
        measured: Held-out posteriors beside the truth.
        more: Further results by the name of their check, such as of `predictive` and `misspecification`.

    Returns:
        `verdict`, the worst of all; `checks`, a list of the fields of `Check`; `metrics`, by the name of the check.
    """
    results = [check(measured) for check in CHECKS]
    results += [Result(r.metrics, replace(r.check, name=name)) for name, r in (more or {}).items()]
    return {
        "verdict": worst(r.check.verdict for r in results),
        "checks": [asdict(r.check) for r in results],
        "metrics": {r.check.name: r.metrics for r in results},
    }


def _judge(p, off, material: float = MATERIAL) -> tuple[str, tuple, np.ndarray]:
    """Verdict of tests whose effects are `off`, the place of the worst, and p values corrected for the report."""
    off = np.abs(np.atleast_1d(off))
    p = np.minimum(CALIBRATION_CHECKS * holm(np.atleast_1d(p)), 1)
    failed = (p < FAIL_P) & (off > material)
    # among equal p values the largest effect
    order = np.lexsort((-off.ravel(), p.ravel(), ~failed.ravel()))
    verdict = "fail" if failed.any() else "warn" if p.min() < WARN_P else "pass"
    return verdict, np.unravel_index(order[0], p.shape), p


def _coverage(name: str, words: str, credibility: np.ndarray, names: Sequence[str] = ()) -> Result:
    """Coverage of regions that hold the truth from a credibility on, shape (n, K), of each parameter or of all (1)."""
    from scipy.stats import binomtest

    n, levels = len(credibility), np.array(LEVELS)
    covered = (credibility <= levels[:, None, None]).sum(axis=1)
    observed = covered / n
    raw = [[binomtest(int(c), n, level).pvalue for c in row] for level, row in zip(levels, covered, strict=True)]
    verdict, (i, k), p = _judge(raw, observed - levels[:, None])
    if verdict == "pass":
        listed = (f"{_percent(c)} at {100 * L:g} %" for L, c in zip(levels, observed.mean(axis=1), strict=True))
        text = f"{words} the truth as often as they say: {', '.join(listed)}"
    else:
        text = f"{words} the truth{f' of {names[k]}' if names else ''} in {_percent(observed[i, k])} instead of "
        text += f"{100 * levels[i]:g} % of the cases: posteriors are "
        text += "too narrow (overconfident)" if observed[i, k] < levels[i] else "too wide"
    text += f" (smallest corrected p = {number(float(p.min()), 2)}, {n} observations)."
    rows = [dict(zip(map(str, LEVELS), column, strict=True)) for column in observed.T.tolist()]
    band = zip(map(str, LEVELS), np.transpose(sampling_band(LEVELS, n)).tolist(), strict=True)
    metrics = {"band": dict(band), "p": float(p.min())}
    if names:
        metrics["parameters"] = dict(zip(names, rows, strict=True))
    else:
        metrics |= {"levels": rows[0], "curve": _curve(credibility[:, 0])}
    return Result(metrics, Check(name, float(observed[i, k] - levels[i]), verdict, text))


def _curve(credibility: np.ndarray) -> dict:
    """Coverage at `CURVE_LEVELS` with the band that holds 95 % of honest ones at each level."""
    observed = (credibility[:, None] <= CURVE_LEVELS).mean(axis=0)
    low, high = sampling_band(CURVE_LEVELS, len(credibility))
    return {"nominal": list(CURVE_LEVELS), "observed": observed.tolist(), "low": low.tolist(), "high": high.tolist()}


def _fault(ranks: np.ndarray, low: str = "too low", high: str = "too high") -> str:
    """What is most wrong with posteriors, by ranks of the truth: their place or their width, in standard errors."""
    place = (ranks.mean() - 0.5) * np.sqrt(12)
    # the mean square of a uniform number around its middle is 1/12, with a variance of 1/180
    width = (np.square(ranks - 0.5).mean() - 1 / 12) * np.sqrt(180)
    if abs(place) > abs(width):
        return low if place > 0 else high
    return "too narrow" if width > 0 else "too wide"


def _points(share) -> str:
    return f"{number(100 * float(share), 2)} points"


def _percent(share) -> str:
    # what is nearly all does not read as all
    return f"{np.floor(1000 * float(share) + 1e-9) / 10:g} %"


def _json(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
