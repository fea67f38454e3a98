"""Summary statistics of the response to a step of current, as plain Keras operations."""

from collections.abc import Mapping

import keras

from neuroinverse.features import STEP_STATISTICS, step_samples

# a peak closer to the one before it is no spike (ms)
REFRACTORY_MS = 0.5
# what is added before a logarithm: to a standard deviation (mV) and a variance (mV²)
LOWEST = 1e-6


def step_statistics(x, settings: Mapping, dt_ms: float, t0_ms: float):
    """Seven statistics of a voltage before and during a step of current.

    Those of Gonçalves PJ et al. (2020) eLife 9:e56261 as their code has them: `spike_count`, peaks above the threshold
    strictly inside the step, but those up to 0.5 ms after another peak; `rest_mean`, before the step (mV); `rest_sd`,
    in its last tenth (mV); `mean` (mV), `variance` (mV²), `skewness` and `kurtosis` (3 for a normal distribution)
    strictly inside the step. What is undefined is NaN: whatever samples that are not finite enter, and skewness and
    kurtosis of a constant.

    Compressed, they are log(1 + count); the logarithm of standard deviation and variance, 1e-6 added, and of the
    kurtosis, which is at least 1; asinh of the skewness; and the means as they are.

    Args:
        x: Voltage (mV), shape (batch, time, 1).
        settings: `on_ms`, `off_ms`, start and end of the step; `keep`, names of statistics in the order wanted (all);
            `compress` (false); `threshold_mV` (−10).
        dt_ms: Sampling interval (ms).
        t0_ms: Time of the first sample (ms).

    Returns:
        The statistics, shape (batch, kept, 1).
    """
    # half precision, in which layers may compute, holds no moments
    v = keras.ops.cast(x[:, :, 0], "float32")
    before, late, inside = step_samples(settings, dt_ms, t0_ms, v.shape[1])
    keep, compress = settings.get("keep", STEP_STATISTICS), settings.get("compress", False)
    mean, centred = _centre(v[:, inside.start : inside.stop])
    variance = keras.ops.mean(keras.ops.square(centred), axis=1)
    # 0 / 0 for a constant
    z = centred / keras.ops.sqrt(variance)[:, None]
    z2 = keras.ops.square(z)
    count = _spike_count(v, inside, settings.get("threshold_mV", -10.0), dt_ms)
    found = {
        # comparisons are false where a trace is no number
        "spike_count": keras.ops.where(keras.ops.isfinite(mean), count, float("nan")),
        "rest_mean": _centre(v[:, before.start : before.stop])[0],
        "rest_sd": keras.ops.sqrt(keras.ops.mean(keras.ops.square(_centre(v[:, late.start : late.stop])[1]), axis=1)),
        "mean": mean,
        "variance": variance,
        "skewness": keras.ops.mean(z2 * z, axis=1),
        "kurtosis": keras.ops.mean(keras.ops.square(z2), axis=1),
    }
    if compress:
        found["spike_count"] = keras.ops.log1p(found["spike_count"])
        found["skewness"] = keras.ops.arcsinh(found["skewness"])
        found["kurtosis"] = keras.ops.log(found["kurtosis"])
        for name in ("rest_sd", "variance"):
            found[name] = keras.ops.log(found[name] + LOWEST)
    return keras.ops.stack([found[name] for name in keep], axis=1)[:, :, None]


def _centre(v):
    """Mean, shape (batch,), and differences from it, shape (batch, time); those of a constant are exactly zero."""
    # sums of small numbers round less: single precision holds a voltage of 60 mV to 4e-6 mV
    first = v[:, :1]
    difference = v - first
    mean = keras.ops.mean(difference, axis=1, keepdims=True)
    return (first + mean)[:, 0], difference - mean


def _spike_count(v, inside: slice, threshold_mV: float, dt_ms: float):
    """Number of peaks, float32, shape (batch,).

    A peak stands at the last sample before the highest one, which must be above the threshold and not be followed by a
    lower one: there the published code finds it.
    """
    last = min(inside.stop, v.shape[1] - 2)
    here, next_, after = (v[:, inside.start + k : last + k] for k in range(3))
    peak = (here > threshold_mV) & (next_ >= here) & (after < next_)
    peak = keras.ops.cast(peak, "float32")
    # peaks among the samples up to 0.5 ms before, not counting those before the step
    n = min(int(REFRACTORY_MS / dt_ms + 1e-6), last - inside.start)
    total = keras.ops.cumsum(peak, axis=1)
    earlier = keras.ops.pad(total, ((0, 0), (n + 1, 0)))
    recent = earlier[:, n:-1] - earlier[:, : -n - 1]
    return keras.ops.sum(peak * keras.ops.cast(recent < 1, "float32"), axis=1)
