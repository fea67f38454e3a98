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


def voltage_derivatives(x, settings: Mapping, dt_ms: float):
    """Voltage with its two derivatives, compressed at several scales, so that spikes and what is below both show.

    asinh is linear below 1 and logarithmic above. Derivatives are differences of neighbours; zero stands at the ends.

    Args:
        x: Voltage (mV), shape (batch, time, channel).
        settings: `first`, scales of dV/dt (ms/mV), and `second`, of d²V/dt² (ms²/mV); `low_mV` and `high_mV` of
            `log_voltage`.
        dt_ms: Sampling interval (ms).

    Returns:
        The logarithm, the voltage (mV), asinh(scale · derivative) of all first and all second scales, shape (batch,
        time, (2 + number of scales) · channel).
    """
    rate = (x[:, 1:] - x[:, :-1]) / dt_ms
    curvature = keras.ops.pad((rate[:, 1:] - rate[:, :-1]) / dt_ms, ((0, 0), (1, 1), (0, 0)))
    rate = keras.ops.pad(rate, ((0, 0), (1, 0), (0, 0)))
    compressed = [
        keras.ops.arcsinh(scale * derivative)
        for derivative, scales in ((rate, settings["first"]), (curvature, settings["second"]))
        for scale in scales
    ]
    return keras.ops.concatenate([log_voltage(x, settings), x, *compressed], axis=-1)
