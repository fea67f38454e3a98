"""Features of voltage traces as plain Keras operations."""

from collections.abc import Mapping

import keras


def log_voltage(x, settings: Mapping):
    """Compresses spikes: log10(v − low + 1), v clipped to [low, high].

    Args:
        x: Voltage (mV), shape (batch, time, channel).
        settings: `low_mV` (−80), `high_mV` (50).
    """
    low, high = settings.get("low_mV", -80.0), settings.get("high_mV", 50.0)
    # log10(X + 81) with X clipped to [−80, 50] mV as published: the argument is at least 1
    return keras.ops.log10(keras.ops.clip(x, low, high) - low + 1.0)
