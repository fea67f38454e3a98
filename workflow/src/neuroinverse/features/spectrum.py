"""Power spectra as plain Keras operations."""

from collections.abc import Mapping

import keras
import numpy as np

from neuroinverse.features import segment_samples

# in (unit of the signal)²/Hz; a silent contact has a power of zero
LOWEST_POWER = 1e-30
# in a trace of small signals the lowest is this much below its highest, as far as single precision goes
DEPTH, LEAST = 1e-20, 1e-37


def welch(x, settings: Mapping, dt_ms: float):
    """Power spectral density by Welch's method (1967, IEEE Trans Audio Electroacoust 15:70), channel by channel.

    One-sided; the mean of every segment is taken off; the windowed periodograms of all whole segments are averaged, and
    what is left at the end is not used. The same as `scipy.signal.welch` with its defaults but the segment's length.

    Args:
        x: Signal, shape (batch, time, channel).
        settings: `segment_ms`, `overlap` (fraction of a segment, 0.5), `window` (hann, periodic; or boxcar).
        dt_ms: Sampling interval (ms).

    Returns:
        Density (unit of the signal)²/Hz, shape (batch, segment // 2 + 1, channel), from 0 Hz in steps of
        1000 / segment_ms.
    """
    length, step = segment_samples(settings, dt_ms, x.shape[1])
    window = np.ones(length)
    if settings.get("window", "hann") == "hann":
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    # every frequency but 0 and Nyquist's stands for its negative too
    both = np.full(length // 2 + 1, 2.0)
    both[0] = 1.0
    if length % 2 == 0:
        both[-1] = 1.0
    scale = both * dt_ms * 1e-3 / (window**2).sum()
    # half precision, in which layers may compute, holds no power
    x = keras.ops.cast(x, "float32")
    segments = keras.ops.extract_sequences(keras.ops.transpose(x, (0, 2, 1)), length, step)
    segments = segments - keras.ops.mean(segments, axis=-1, keepdims=True)
    real, imaginary = keras.ops.rfft(segments * window.astype(np.float32), length)
    power = keras.ops.mean(keras.ops.square(real) + keras.ops.square(imaginary), axis=-2)
    return keras.ops.transpose(power * scale.astype(np.float32), (0, 2, 1))


def log_power(x):
    """log10 of a power spectral density, shape (batch, frequency, channel)."""
    highest = keras.ops.max(x, axis=(1, 2), keepdims=True)
    lowest = keras.ops.where(highest > 0, keras.ops.clip(DEPTH * highest, LEAST, LOWEST_POWER), LOWEST_POWER)
    return keras.ops.log10(keras.ops.maximum(x, lowest))
