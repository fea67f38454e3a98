"""How well a surrogate stands for its cell, on simulations it has not seen: traces, spikes, drift over a rollout.

Traces come in blocks: each leaves a few sums for every simulation and segment, and everything else follows from these.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from neuroinverse.errors import NeuroinverseError

# spikes this far apart are the same one
TOLERANCE_MS = 2.0


def trace_sums(predicted, true, centre, start: int, length: int) -> np.ndarray:
    """Sums over segments of traces, of which correlations and errors follow.

    Args:
        predicted: The surrogate's traces, shape (simulation, time, output).
        true: Those of the simulations, alike.
        centre: A typical value of each output, shape (output,), the same for all blocks: it keeps the sums exact.
        start: First sample that counts.
        length: Samples of a segment; what is left at the end does not count.

    Returns:
        Number of samples, sums of p, t, p², t² and p t, where p and t are relative to the centre; float64, shape
        (simulation, segment, output, 6).
    """
    segments = (true.shape[1] - start) // length
    if segments < 1:
        raise NeuroinverseError(
            f"traces of {true.shape[1]} samples have no segment of {length} behind the first {start}; simulate longer"
        )

    def cut(traces):
        kept = np.asarray(traces[:, start : start + segments * length], np.float64) - centre
        return kept.reshape(len(kept), segments, length, -1)

    p, t = cut(predicted), cut(true)
    sums = [np.full((len(p), segments, p.shape[-1]), float(length))]
    return np.stack(sums + [a.sum(axis=2) for a in (p, t, p**2, t**2, p * t)], axis=-1)


def correlation(sums) -> np.ndarray:
    """Pearson's correlation from sums, shape (..., 6) to (...); NaN where one of the two is constant."""
    n, p, t, pp, tt, pt = np.moveaxis(np.asarray(sums), -1, 0)
    variances = (n * pp - p**2) * (n * tt - t**2)
    return (n * pt - p * t) / np.sqrt(np.where(variances > 0, variances, np.nan))


def rmse(sums) -> np.ndarray:
    """Root mean squared error from sums, in the output's unit."""
    n, _, _, pp, tt, pt = np.moveaxis(np.asarray(sums), -1, 0)
    return np.sqrt(np.maximum(pp + tt - 2 * pt, 0) / n)


def bias(sums) -> np.ndarray:
    """Mean of surrogate minus simulation from sums, in the output's unit."""
    n, p, t, *_ = np.moveaxis(np.asarray(sums), -1, 0)
    return (p - t) / n


def output_scores(sums, names: Sequence[str], units: Sequence[str], resamples: int = 1000, seed: int = 0) -> dict:
    """Scores of each output over all simulations and segments.

    Args:
        sums: Of `trace_sums`, blocks one after the other.
        names: The outputs.
        units: Their units.
        resamples: Bootstrap samples, of whole simulations: samples of one trace are not independent.
        seed: Of the bootstrap.

    Returns:
        By output `unit`, `correlation` with its 95 % interval `low` and `high`, `rmse`, `bias`, and `sd` of the
        simulation. Correlations are None where a trace is constant.
    """
    each = np.asarray(sums).sum(axis=1)
    counts = np.random.default_rng(seed).multinomial(len(each), np.full(len(each), 1 / len(each)), resamples)
    drawn = correlation(np.tensordot(counts, each, axes=1))
    whole = each.sum(axis=0)
    low, high = _interval(drawn)
    n, t, tt = whole[:, 0], whole[:, 2], whole[:, 4]
    sd = np.sqrt(np.maximum(tt / n - (t / n) ** 2, 0))
    table = zip(correlation(whole), low, high, rmse(whole), bias(whole), sd, strict=True)
    keys = ("correlation", "low", "high", "rmse", "bias", "sd")
    return {
        name: {"unit": unit} | {key: _finite(value) for key, value in zip(keys, row, strict=True)}
        for name, unit, row in zip(names, units, table, strict=True)
    }


def drift(sums, names: Sequence[str], start_ms: float, segment_ms: float) -> dict:
    """Correlation and bias of each output segment by segment over the length of a rollout.

    Args:
        sums: Of `trace_sums`.
        names: The outputs.
        start_ms: Where the first segment begins.
        segment_ms: Length of a segment.

    Returns:
        `time_ms`, middles of the segments, and `correlation` and `bias`: by output a list with a value per segment.
    """
    each = np.asarray(sums).sum(axis=0)
    middles = start_ms + segment_ms * (np.arange(len(each)) + 0.5)
    by_output = {
        key: {name: [_finite(v) for v in column] for name, column in zip(names, measure(each).T, strict=True)}
        for key, measure in (("correlation", correlation), ("bias", bias))
    }
    return {"time_ms": middles.tolist(), **by_output}


def crossings(trace, threshold: float) -> np.ndarray:
    """Where traces reach a threshold from below: bool, of the shape (..., time) of the trace."""
    above = np.asarray(trace) >= threshold
    before = np.concatenate([np.ones_like(above[..., :1]), above[..., :-1]], axis=-1)
    return above & ~before


def spike_counts(predicted, true, tolerance: int) -> np.ndarray:
    """Matches spikes one to one, in the order of time.

    Args:
        predicted: Whether the surrogate spikes, shape (simulation, time).
        true: Whether the simulated cell does.
        tolerance: Largest distance of two that match (samples).

    Returns:
        Matches, spikes of the surrogate and of the cell, int64, shape (simulation, 3).
    """
    return np.array([_match(*map(np.flatnonzero, pair), tolerance) for pair in zip(predicted, true, strict=True)])


def _match(predicted: np.ndarray, true: np.ndarray, tolerance: int) -> tuple[int, int, int]:
    # of two that are too far apart the earlier has no partner any more: the greedy matching is the largest one
    i = j = hits = 0
    while i < len(predicted) and j < len(true):
        distance = predicted[i] - true[j]
        hits += abs(distance) <= tolerance
        i, j = i + (distance <= tolerance), j + (distance >= -tolerance)
    return int(hits), len(predicted), len(true)


def spike_scores(counts, seconds: float, resamples: int = 1000, seed: int = 0) -> dict:
    """Scores of spikes.

    Args:
        counts: Of `spike_counts`.
        seconds: Length of each simulation (s).
        resamples: Bootstrap samples, of whole simulations.
        seed: Of the bootstrap.

    Returns:
        `precision`, `recall`, `f1`, `n_surrogate`, `n_simulated`, `rate_surrogate_Hz`, `rate_simulated_Hz`, and
        `rate_ratio` of the two with its 95 % interval `rate_ratio_low` and `rate_ratio_high`. None where there is
        nothing to divide by.
    """
    counts = np.asarray(counts)
    hits, predicted, true = counts.sum(axis=0)
    drawn = np.random.default_rng(seed).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), resamples)
    drawn = drawn @ counts[:, 1:]
    ratios = drawn[:, 0] / np.where(drawn[:, 1] > 0, drawn[:, 1], np.nan)
    low, high = _interval(ratios)
    return {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, true),
        "f1": _ratio(2 * hits, predicted + true),
        "n_surrogate": int(predicted),
        "n_simulated": int(true),
        "rate_surrogate_Hz": _ratio(predicted, seconds * len(counts)),
        "rate_simulated_Hz": _ratio(true, seconds * len(counts)),
        "rate_ratio": _ratio(predicted, true),
        "rate_ratio_low": _finite(low),
        "rate_ratio_high": _finite(high),
    }


def calibrate_threshold(traces: Mapping[str, np.ndarray], spikes, dt_ms: float, tolerance_ms=TOLERANCE_MS) -> dict:
    """The output and the threshold at which a surrogate spikes as often as its cell.

    For each output that is offered it is the highest threshold with as many crossings from below as the cell has
    spikes, or with the most where no threshold has enough; of the outputs that whose spikes match best (F1).

    Args:
        traces: The surrogate's outputs that are offered, by name, shape (simulation, time): the soma's voltage (mV),
            the logit.
        spikes: Whether the cell spikes, shape (simulation, time); calibration simulations, unseen by the training.
        dt_ms: Sampling interval (ms).
        tolerance_ms: Largest distance of two spikes that match.

    Returns:
        `output`, `threshold`, `scale`, the standard deviation of that output, and by output `candidates` with the
        threshold and the scores at it.

    Raises:
        NeuroinverseError: If the cell never spikes.
    """
    spikes = np.asarray(spikes) > 0
    if not spikes.any():
        raise NeuroinverseError(
            "no calibration simulation has a spike, so that no threshold can be found; raise the rate or the weights "
            "of the inputs of the calibration dataset"
        )
    candidates = {}
    for name, trace in traces.items():
        threshold = _matching_threshold(np.asarray(trace, np.float64), int(spikes.sum()))
        counts = spike_counts(crossings(trace, threshold), spikes, round(tolerance_ms / dt_ms))
        candidates[name] = {"threshold": threshold} | spike_scores(counts, spikes.shape[1] * dt_ms / 1000)
    best = max(candidates, key=lambda name: candidates[name]["f1"])
    scale = float(np.std(traces[best], dtype=np.float64))
    return {"output": best, "threshold": candidates[best]["threshold"], "scale": scale, "candidates": candidates}


def _matching_threshold(trace: np.ndarray, count: int) -> float:
    """Highest threshold that traces cross from below `count` times, or most often where none is crossed so often."""
    before, after = trace[:, :-1].ravel(), trace[:, 1:].ravel()
    rising = after > before
    # a step that begins below a threshold and ends at it or above crosses it
    begins, ends = np.sort(before[rising]), np.sort(after[rising])
    crossed = np.searchsorted(begins, ends, "left") - np.searchsorted(ends, ends, "left")
    highest = ends[np.flatnonzero(crossed >= min(count, crossed.max()))[-1]]
    # half way down to where another step begins or ends: rounding does not decide about any
    below = np.concatenate([begins[begins < highest], ends[ends < highest]]).max()
    return float((below + highest) / 2)


def _interval(drawn) -> np.ndarray:
    """95 % interval of bootstrap samples along the first axis; NaN where one of them is undefined."""
    return np.percentile(drawn, [2.5, 97.5], axis=0)


def _ratio(a, b) -> float | None:
    return float(a / b) if b else None


def _finite(value) -> float | None:
    return float(value) if np.isfinite(value) else None
