"""Transforms from signals to the estimator's input.

A feature is described in a study as one mapping, {name: settings}. Its arithmetic on shapes (here) needs no Keras, so
that a study is checked before any work; its layers (`voltage.py`) are plain Keras and travel inside the saved model.
"""

from collections.abc import Mapping, Sequence

from neuroinverse.errors import ConfigError
from neuroinverse.simulators.base import Signal


def window_samples(settings: Mapping, signal_dt_ms: float, t0_ms: float, n: int) -> slice:
    """The samples of a signal that lie in [start_ms, stop_ms).

    Raises:
        ConfigError: If the window is not inside the signal.
    """
    start = round((settings["start_ms"] - t0_ms) / signal_dt_ms)
    stop = round((settings["stop_ms"] - t0_ms) / signal_dt_ms)
    if not 0 <= start < stop <= n:
        raise ConfigError(
            f"features.window: [{settings['start_ms']:g}, {settings['stop_ms']:g}] ms is not inside the signal, "
            f"which spans [{t0_ms:g}, {t0_ms + n * signal_dt_ms:g}] ms"
        )
    return slice(start, stop)


def feature_shape(features: Sequence[Mapping], signal: Signal) -> tuple[int, int]:
    """Shape (time, channel) of what the chain of features makes of a signal.

    Raises:
        ConfigError: If a feature does not fit the signal.
    """
    n, channels = signal.shape[0], signal.shape[1] if len(signal.shape) > 1 else 1
    for feature in features:
        ((name, settings),) = feature.items()
        if name == "window":
            kept = window_samples(settings, signal.dt_ms, signal.t0_ms, n)
            n = kept.stop - kept.start
        if name == "log_voltage" and signal.unit != "mV":
            raise ConfigError(f"features.log_voltage takes mV; signal {signal.name} is in {signal.unit}")
    return n, channels
