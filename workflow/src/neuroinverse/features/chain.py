"""The feature chain as plain Keras layers and operations.

Nothing here is a class of our own: a saved model that contains them loads with Keras alone.
"""

from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np

from neuroinverse.features import channel_indices, window_samples
from neuroinverse.features.spectrum import log_power, welch
from neuroinverse.features.summary import step_statistics
from neuroinverse.features.voltage import log_voltage, voltage_derivatives
from neuroinverse.simulators.base import Signal

# standard deviations below this are too small for Keras, whose own floor is 1e-7
SMALL = 1e-6


def apply_features(x, features: Sequence[Mapping], signal: Signal, fit: Callable | None = None):
    """Adds features to a Keras graph.

    Args:
        x: What the features before these have made of the signal, shape (batch, time or frequency, channel).
        features: The study's chain, or the rest of it.
        signal: The signal at its beginning.
        fit: Needed by standardize. Called with x, the graph so far and whether to keep bins (samples or frequencies)
            apart; gives mean and variance over the training set, per channel, or per bin and channel.

    Returns:
        Features, shape (batch, time', frequency or statistic, channel).
    """
    begin, n, t0_ms = x, x.shape[1], signal.t0_ms
    for feature in features:
        ((name, settings),) = feature.items()
        if name == "window":
            kept = window_samples(settings, signal.dt_ms, t0_ms, n)
            # half precision, in which layers may compute, rounds a voltage of −65 mV to 0.06 mV
            x = keras.layers.Cropping1D((kept.start, n - kept.stop), dtype="float32", name="window")(x)
            n, t0_ms = kept.stop - kept.start, t0_ms + kept.start * signal.dt_ms
        elif name == "channels":
            x = keras.ops.take(x, channel_indices(settings, signal.channels), axis=-1)
        elif name == "log_voltage":
            x = log_voltage(x, settings)
        elif name == "voltage_derivatives":
            x = voltage_derivatives(x, settings, signal.dt_ms)
        elif name == "welch":
            x = welch(x, settings, signal.dt_ms)
        elif name == "step_statistics":
            x = step_statistics(x, settings, signal.dt_ms, t0_ms)
        elif name == "log_power":
            x = log_power(x)
        elif name == "standardize":
            per_bin = settings.get("per", "channel") == "bin"
            x = _standardize(x, *fit(begin, x, per_bin), (1, 2) if per_bin else -1)
    return x


def _standardize(x, mean: Sequence, variance: Sequence, axis: tuple[int, int] | int):
    """Mean 0 and variance 1 over the training set; what is small is enlarged by a power of two before."""
    mean, variance = np.asarray(mean), np.asarray(variance)
    if (variance < SMALL**2).any():
        # at most the largest that single precision holds
        doublings = np.where(variance < SMALL**2, np.minimum(-np.floor(np.log2(variance) / 2), 126), 0)
        x = keras.layers.Rescaling((2.0**doublings).tolist(), dtype="float32", name="enlarge")(x)
        mean, variance = mean * 2.0**doublings, variance * 4.0**doublings
    # in single precision: the power of an LFP underflows in half
    return keras.layers.Normalization(
        axis=axis, mean=mean.tolist(), variance=variance.tolist(), dtype="float32", name="standardize"
    )(x)
