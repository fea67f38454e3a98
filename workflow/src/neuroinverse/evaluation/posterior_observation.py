"""Whether a posterior and its simulator fit an observation: predictions from it, and how unlike the training it is."""

from collections.abc import Sequence

import numpy as np

# the Gaussian copula of traces serves for features too: they are its descriptors already
from neuroinverse.estimators.trace_range import FINE, PROBABILITIES, RIDGE, TraceRange, normal_scores
from neuroinverse.evaluation.calibration import warning_threshold
from neuroinverse.evaluation.posterior_checks import FAIL_P, WARN_P, Check, Result, holm, worst
from neuroinverse.evaluation.style import number

# predictive simulations without a feature that the observation has: in the published network a fifth of them
# (Gonçalves et al. 2020, doi:10.7554/eLife.56261)
UNDEFINED_WARN, UNDEFINED_FAIL = 0.1, 0.5
# a feature that is this near (training standard deviations) is not missed, however narrow its predictions; smaller
# differences than the finest are rounding
MATERIAL, FINEST = 0.1, 1e-3
# beyond this multiple of the threshold an observation is of another kind, not an unusual one
FAR = 2.0
# every so many training simulations one is held out, for the threshold; fewer than these give no 1 %
HOLD_OUT, FEWEST = 5, 500


def predictive(names: Sequence[str], observed, simulated, training_sd) -> Result:
    """Whether simulations from a posterior look like the observation it was made of (Gelman et al. 1996, Stat Sin 6).

    Tail probabilities are counted among the simulations; where the observation lies beyond all of them, they are read
    off a t distribution with their mean and standard deviation. Corrected for the number of features they warn below
    0.05, and fail below 0.001 where the observation is a tenth of a training standard deviation off, or more.

    Args:
        names: The F features, as the estimator is given them.
        observed: Features of the observation, shape (F,); NaN where one is undefined.
        simulated: Features of M simulations with parameters drawn from the posterior, shape (M, F), alike.
        training_sd: Standard deviation of each feature over the training simulations, shape (F,).

    Returns:
        Metrics `n`; `n_undefined`, simulations that lack a feature that the observation has; `unjudged`, names of
        features that the observation lacks or that fewer than two simulations have; `median_distance`, of simulations
        from the observation, root mean square over the observation's features in training standard deviations, None
        where half of the simulations or more lack one (they are infinitely far); `features`: by name `observed`,
        `mean`, `sd`, `z`, `tail_probability` (two-sided), `p` (corrected), `off` (training sds), `n_undefined`.

    Raises:
        ValueError: If shapes do not fit.
    """
    from scipy.stats import t

    observed, simulated, scale = (np.asarray(x, np.float64) for x in (observed, simulated, training_sd))
    M, F = simulated.shape
    _require_shapes(names, observed, simulated, scale)
    defined = np.isfinite(simulated)
    count, has = defined.sum(axis=0), np.isfinite(observed)
    judged = has & (count > 1)
    scale = _scale(scale, np.where(has, observed, 0))
    off, sd, z, tail = (np.full(F, np.nan) for _ in range(4))
    mean = off.copy()
    for f in np.flatnonzero(judged):
        values = simulated[defined[:, f], f]
        mean[f], sd[f] = values.mean(), values.std(ddof=1)
        off[f] = (observed[f] - mean[f]) / scale[f]
        z[f] = (observed[f] - mean[f]) / max(sd[f], FINEST * scale[f])
        side = min((values <= observed[f]).sum(), (values >= observed[f]).sum())
        tail[f] = (
            2 * side / len(values) if side else 2 * t.sf(abs(z[f]) / np.sqrt(1 + 1 / len(values)), len(values) - 1)
        )
    tail = np.minimum(tail, 1)
    p = np.full(F, np.nan)
    p[judged] = holm(tail[judged])
    lacking = (~defined[:, has]).any(axis=1)
    distance = np.where(lacking, np.inf, 0.0)
    if has.any():
        square = np.square((simulated[~lacking][:, has] - observed[has]) / scale[has])
        distance[~lacking] = np.sqrt(square.mean(axis=1))
    median = float(np.median(distance)) if has.any() and M else np.inf
    metrics = {
        "n": M,
        "n_undefined": int(lacking.sum()),
        "unjudged": [names[f] for f in np.flatnonzero(~judged)],
        "median_distance": median if np.isfinite(median) else None,
        "features": _rows(
            names, observed=observed, mean=mean, sd=sd, z=z, tail_probability=tail, p=p, off=off,
            n_undefined=(~defined).sum(axis=0),
        ),
    }  # fmt: skip
    return Result(metrics, _predictive_check(names, metrics, judged, p, off, z))


def _predictive_check(names, metrics: dict, judged, p, off, z) -> Check:
    undefined = metrics["n_undefined"] / max(metrics["n"], 1)
    verdicts, parts = ["pass"], []
    missed = judged & (p < WARN_P)
    if missed.any():
        failed = missed & (p < FAIL_P) & (np.abs(off) > MATERIAL)
        verdicts.append("fail" if failed.any() else "warn")
        listed = [f"{names[f]} (z {number(float(z[f]), 2)})" for f in np.flatnonzero(missed)]
        parts.append(f"predictions miss {', '.join(listed)}")
    elif judged.any():
        parts.append(f"predictions hold the observation in each of {judged.sum()} features")
    if metrics["unjudged"]:
        verdicts.append("warn" if judged.any() else "fail")
        parts.append(f"undefined, so that nothing is said of them: {', '.join(metrics['unjudged'])}")
    if undefined > 0:
        verdicts.append("fail" if undefined > UNDEFINED_FAIL else "warn" if undefined > UNDEFINED_WARN else "pass")
        parts.append(f"{metrics['n_undefined']} of {metrics['n']} simulations lack a feature that it has")
    median = metrics["median_distance"]
    text = "; ".join([*parts, f"median distance {number(median, 2)} training sd"])
    return Check("predictive", median, worst(verdicts), f"{text[0].upper()}{text[1:]}.")


def misspecification(names: Sequence[str], training, observed) -> Result:
    """Whether an observation is like the training simulations; a posterior for one that is not means nothing.

    The distance is that of the traces' warning (`estimators.trace_range`): Mahalanobis' between normal scores, with a
    ridge, about 1 for a simulation. Its threshold, the 99th percentile, is of simulations that the scores are not made
    of. As a warning of misspecified simulators see Cannon et al. 2022, arXiv:2209.01845. A feature that is undefined
    in the observation is left out and named; simulations that lack one that it has are left out and counted.

    Args:
        names: The F features, as the estimator is given them.
        training: Features of training simulations, shape (N, F); NaN where one is undefined.
        observed: Features of the observation, shape (F,), alike.

    Returns:
        Metrics `distance`, `threshold` and `p` (share of held-out simulations at least as far), None where too few
        simulations are left; `n_training`, simulations used; `n_undefined`, those left out; `undefined`, features that
        the observation lacks; `out_of_range`, features outside the range of all simulations; `features`: by name
        `observed`, `low`, `high`, `normal_score`.

    Raises:
        ValueError: If shapes do not fit.
    """
    training, observed = np.asarray(training, np.float64), np.asarray(observed, np.float64)
    _require_shapes(names, observed, training)
    has = np.isfinite(observed)
    rows = np.isfinite(training[:, has]).all(axis=1)
    x, known = training[rows][:, has], np.flatnonzero(has)
    low, high, score = (np.full(len(names), np.nan) for _ in range(3))
    outside = []
    metrics = dict.fromkeys(("distance", "threshold", "p"))
    metrics |= {"n_training": len(x), "n_undefined": int((~rows).sum())}
    metrics["undefined"] = [names[f] for f in np.flatnonzero(~has)]
    if len(x) >= FEWEST and len(known):
        low[has], high[has] = x.min(axis=0), x.max(axis=0)
        slack = 1e-6 * np.abs(observed[has])
        beyond = (observed[has] < low[has] - slack) | (observed[has] > high[has] + slack)
        outside = [names[f] for f in known[beyond]]
        held = np.arange(len(x)) % HOLD_OUT == 0
        found, score[has] = _fit(x[~held], observed[has])
        distance, others = _distance(found, observed[None, has])[0], _distance(found, x[held])
        metrics["distance"] = float(distance)
        metrics["threshold"] = warning_threshold(others)
        metrics["p"] = float((1 + (others >= distance).sum()) / (1 + len(others)))
    metrics["out_of_range"] = outside
    metrics["features"] = _rows(names, observed=observed, low=low, high=high, normal_score=score)
    return Result(metrics, _misspecification_check(metrics, bool(has.any())))


def _misspecification_check(metrics: dict, any_defined: bool) -> Check:
    distance, threshold = metrics["distance"], metrics["threshold"]
    verdicts, parts = ["pass"], []
    if distance is None:
        verdicts.append("warn" if any_defined else "fail")
        reason = f"only {metrics['n_training']} simulations have its features" if any_defined else "it has no features"
        parts.append(f"the observation was not compared with the training simulations: {reason}")
    else:
        unlike = distance > threshold
        verdicts.append("fail" if distance > FAR * threshold else "warn" if unlike else "pass")
        values = f"distance {number(distance)}, warned of above {number(threshold)}"
        parts.append(f"the observation is {'unlike' if unlike else 'like'} the training simulations ({values})")
    if metrics["out_of_range"]:
        verdicts.append("warn")
        parts.append(f"outside the range of all {metrics['n_training']}: {', '.join(metrics['out_of_range'])}")
    if metrics["undefined"]:
        verdicts.append("warn")
        parts.append(f"undefined and left out: {', '.join(metrics['undefined'])}")
    text = "; ".join(parts)
    return Check("misspecification", distance, worst(verdicts), f"{text[0].upper()}{text[1:]}.")


def _fit(x: np.ndarray, observed: np.ndarray) -> tuple[TraceRange, np.ndarray]:
    """The range of features, shape (N, F), and the normal scores of the observation's, shape (F,)."""
    scale = _scale(x.std(axis=0), x.mean(axis=0))
    ramp = np.linspace(0, 1, len(PROBABILITIES))[:, None]
    knots = np.quantile(x, PROBABILITIES, axis=0) + FINE * scale * ramp
    scores = normal_scores(x, knots)
    mean = scores.mean(axis=0)
    variances, axes = np.linalg.eigh((scores - mean).T @ (scores - mean) / len(scores))
    whitening = axes / np.sqrt(np.maximum(variances, 0) + RIDGE)
    return TraceRange(np.ones(1), knots, mean, whitening), normal_scores(observed[None], knots)[0]


def _scale(sd: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Standard deviations of features, shape (F,); of one that never varied a width that its rounding stays within."""
    # in its own unit: the power of an LFP may be 1e-12 mV²/Hz
    return np.maximum(sd, np.where((sd == 0) & (values == 0), 1e-9, 1e-6 * np.abs(values)))


def _distance(found: TraceRange, x: np.ndarray) -> np.ndarray:
    """Distances of features, shape (n, F): values of one channel, without changes from sample to sample."""
    return found.score((x[..., None], np.empty((len(x), 0, 1))))


def _require_shapes(names, observed, simulated, *others) -> None:
    shapes = [observed.shape, simulated.shape[1:], *(x.shape for x in others)]
    if any(shape != (len(names),) for shape in shapes):
        raise ValueError(f"{len(names)} names of features do not go with arrays of shapes {shapes}")


def _rows(names, **columns) -> dict:
    """A dictionary per feature, None for what is not a finite number."""
    table = {key: [v.item() if np.isfinite(v) else None for v in column] for key, column in columns.items()}
    return {name: {key: column[f] for key, column in table.items()} for f, name in enumerate(names)}
