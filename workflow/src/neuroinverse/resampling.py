"""Recordings at another sampling than a model's: the resting potential stays, nothing folds back from above Nyquist."""

from fractions import Fraction

import numpy as np

# up- and downsampling by more than this is done by interpolation after the filter
LARGEST_FACTOR = 2000


def at_times(traces: np.ndarray, given: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, str]:
    """Samples of traces at other times.

    Where the recording is finer it is filtered first: scipy's polyphase filter, on each trace less its first value, so
    that a constant stays what it is; times that jitter are made even before. Where it is coarser, or of a variable
    step, it is interpolated linearly. Its last sample is held for one of its own intervals.

    Args:
        traces: Shape (n, time[, channel]).
        given: Their times (ms), increasing, shape (time,).
        wanted: Evenly spaced times (ms) within those, shape (samples,).

    Returns:
        Shape (n, samples[, channel]), and in words what was done.
    """
    dt, own = float(wanted[1] - wanted[0]) if len(wanted) > 1 else 1.0, float(np.median(np.diff(given)))
    even = bool(np.abs(given - np.linspace(given[0], given[-1], len(given))).max() < 0.01 * own)
    if even:
        own = float(given[-1] - given[0]) / (len(given) - 1)
    first = (wanted[0] - given[0]) / own
    aligned = abs(first - round(first)) < min(1e-6 * len(given), 0.01)
    if even and abs(own / dt - 1) < 1e-6 and aligned:
        places = np.clip(round(first) + np.arange(len(wanted)), 0, len(given) - 1)
        return traces[:, places], "as they are"
    if not even:
        regular = np.linspace(given[0], given[-1], len(given))
        mean = float(regular[1] - regular[0])
        if mean > 0.7 * dt or np.ptp(np.diff(given)) > mean:
            return _interpolate(traces, given, wanted), "interpolated on the given times"
        finer = _finer(_interpolate(traces, given, regular), regular, wanted, mean, dt)
        return finer, "interpolated on the given times, filtered against aliasing"
    if own > dt * (1 - 1e-6):
        return _interpolate(traces, given, wanted), "interpolated"
    return _finer(traces, given, wanted, own, dt), "filtered against aliasing"


def _interpolate(traces: np.ndarray, given: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    from scipy.interpolate import interp1d

    inside = np.clip(wanted, given[0], given[-1])
    return interp1d(given, traces, axis=1, assume_sorted=True)(inside)


def _finer(traces: np.ndarray, given: np.ndarray, wanted: np.ndarray, own: float, dt: float) -> np.ndarray:
    from scipy.signal import resample_poly

    if wanted[0] < given[0]:
        # by less than a sample: the first is held
        traces, given = np.concatenate([traces[:, :1], traces], axis=1), np.append(given[0] - own, given)
    ratio = Fraction(own / dt).limit_denominator(LARGEST_FACTOR)
    # a start between two samples: the recording as if it had been sampled there
    shift = (wanted[0] - given[0]) / own
    shift -= np.floor(shift + 1e-6)
    if shift > 1e-6:
        traces, given = _interpolate(traces, given, given[:-1] + shift * own), given[:-1] + shift * own
    start = traces[:, :1]
    before = round((wanted[0] - given[0]) / own)
    whole = before // ratio.denominator
    begin = before - whole * ratio.denominator
    x = traces[:, begin:] - start
    y = resample_poly(x, ratio.numerator, ratio.denominator, axis=1, padtype="edge")[:, whole * ratio.numerator :]
    drift = abs(own / dt * ratio.denominator / ratio.numerator - 1) * len(wanted)
    if drift > 0.05:
        grid = wanted[0] + np.arange(y.shape[1]) * own * ratio.denominator / ratio.numerator
        return _interpolate(y, grid, np.minimum(wanted, grid[-1])) + start
    places = np.minimum(np.arange(len(wanted)), y.shape[1] - 1)
    return y[:, places] + start
