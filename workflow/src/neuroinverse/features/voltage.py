"""Features of voltage traces as plain Keras layers and operations.

Nothing here is a class of our own: a saved model that contains them loads with Keras alone.
"""

from collections.abc import Callable, Mapping, Sequence

import keras

from neuroinverse.features import window_samples
from neuroinverse.simulators.base import Signal


def apply_features(x, features: Sequence[Mapping], signal: Signal, fit: Callable):
    """Adds the feature chain to a Keras graph.

    Args:
        x: Signal in physical units, shape (batch, time, channel).
        features: The study's chain.
        signal: What x is.
        fit: Called with the graph so far, gives (mean, variance) per channel over the training set.

    Returns:
        Features, shape (batch, time', channel).
    """
    raw, n = x, signal.shape[0]
    for feature in features:
        ((name, settings),) = feature.items()
        if name == "window":
            kept = window_samples(settings, signal.dt_ms, signal.t0_ms, n)
            x = keras.layers.Cropping1D((kept.start, n - kept.stop), name="window")(x)
            n = kept.stop - kept.start
        elif name == "log_voltage":
            low, high = settings.get("low_mV", -80.0), settings.get("high_mV", 50.0)
            # log10(X + 81) with X clipped to [−80, 50] mV as published: the argument is at least 1
            x = keras.ops.log10(keras.ops.clip(x, low, high) - low + 1.0)
        elif name == "standardize":
            mean, variance = fit(raw, x)
            x = keras.layers.Normalization(axis=-1, mean=mean, variance=variance, name="standardize")(x)
    return x
