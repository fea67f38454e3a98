"""Transforms from signals to the estimator's input.

A feature is described in a study as one mapping, {name: settings}. Its arithmetic on shapes (here) needs no Keras, so
that a study is checked before any work; its layers (`voltage.py`, `spectrum.py`, joined in `chain.py`) are plain Keras
and travel inside the saved model.
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


def segment_samples(settings: Mapping, dt_ms: float, n: int) -> tuple[int, int]:
    """Length of a segment of Welch's method and the step from one to the next, in samples.

    Raises:
        ConfigError: If a segment is no whole number of samples, or longer than the signal.
    """
    length = round(settings["segment_ms"] / dt_ms)
    if length < 2 or abs(length * dt_ms - settings["segment_ms"]) > 1e-6 * dt_ms * length:
        raise ConfigError(
            f"features.welch: segment_ms {settings['segment_ms']:g} is no whole number of samples of {dt_ms:g} ms, "
            "two or more"
        )
    if length > n:
        raise ConfigError(
            f"features.welch: segment_ms {settings['segment_ms']:g} is longer than the signal's {n * dt_ms:g} ms"
        )
    return length, length - min(int(settings.get("overlap", 0.5) * length), length - 1)


def channel_indices(settings: Mapping, names: Sequence[str]) -> list[int]:
    """Where the channels that are kept stand among those of a signal.

    Raises:
        ConfigError: If the signal has no such channel.
    """
    for name in settings["keep"]:
        if name not in names:
            raise ConfigError(
                f"features.channels: the signal has no channel {name!r}; it has {', '.join(names) or 'one alone'}"
            )
    return [list(names).index(name) for name in settings["keep"]]


def split(features: Sequence[Mapping]) -> tuple[list[Mapping], list[Mapping]]:
    """Parts a chain before the first feature that is fitted to the training set.

    What comes before has nothing to learn, so that a training computes it once and not in every epoch.
    """
    fitted = [i for i, feature in enumerate(features) if "standardize" in feature]
    first = fitted[0] if fitted else len(features)
    return list(features[:first]), list(features[first:])


def feature_shape(features: Sequence[Mapping], signal: Signal) -> tuple[int, int]:
    """Shape (time or frequency, channel) of what the chain of features makes of a signal.

    Raises:
        ConfigError: If a feature does not fit the signal.
    """
    n, channels = signal.shape[0], signal.shape[1] if len(signal.shape) > 1 else 1
    spectrum, voltage = False, signal.unit == "mV"
    for feature in features:
        ((name, settings),) = feature.items()
        if spectrum and name in ("window", "log_voltage", "voltage_derivatives", "welch"):
            raise ConfigError(f"features.{name}: takes a signal, and welch has made a spectrum; put it before welch")
        if name == "channels":
            if channels != max(len(signal.channels), 1):
                raise ConfigError("features.channels: given twice; keep what is wanted at once")
            channels = len(channel_indices(settings, signal.channels))
        if name == "log_power" and not spectrum:
            raise ConfigError("features.log_power: takes a spectrum; put welch before it")
        if name == "welch":
            n, spectrum = segment_samples(settings, signal.dt_ms, n)[0] // 2 + 1, True
        if name == "window":
            kept = window_samples(settings, signal.dt_ms, signal.t0_ms, n)
            n = kept.stop - kept.start
        if name in ("log_voltage", "voltage_derivatives"):
            if signal.unit != "mV":
                raise ConfigError(f"features.{name} takes mV; signal {signal.name} is in {signal.unit}")
            if not voltage:
                raise ConfigError(f"features.{name}: takes a voltage, and a feature before it has changed it")
            voltage = False
        if name == "voltage_derivatives":
            if n < 3:
                raise ConfigError(f"features.voltage_derivatives: needs 3 samples, and there are {n}")
            channels *= 2 + len(settings["first"]) + len(settings["second"])
    return n, channels
