"""Transforms from signals to the estimator's input.

A feature is described in a study as one mapping, {name: settings}. Its arithmetic on shapes (here) needs no Keras, so
that a study is checked before any work; its layers (`voltage.py`, `spectrum.py`, `summary.py`, joined in `chain.py`)
are plain Keras and travel inside the saved model.
"""

import math
from collections.abc import Mapping, Sequence

from neuroinverse.errors import ConfigError, require_known
from neuroinverse.simulators.base import Signal

# what step_statistics makes, in the published order
STEP_STATISTICS = ("spike_count", "rest_mean", "rest_sd", "mean", "variance", "skewness", "kurtosis")


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


def step_samples(settings: Mapping, dt_ms: float, t0_ms: float, n: int) -> tuple[slice, slice, slice]:
    """The parts of a signal that `step_statistics` describes.

    Args:
        settings: `on_ms` and `off_ms`, start and end of the step.
        dt_ms: Sampling interval (ms).
        t0_ms: Time of the first sample (ms).
        n: Number of samples.

    Returns:
        Samples before the step; those of its last tenth, from 0.9 · on_ms; those strictly inside the step.

    Raises:
        ConfigError: If one of them reaches beyond the signal or has no samples; inside the step, fewer than three.
    """
    on, off = settings["on_ms"], settings["off_ms"]

    def first(t_ms):
        """First sample at t_ms or later, without the rounding of times."""
        return math.ceil((t_ms - t0_ms) / dt_ms - 1e-6)

    before, late = slice(0, first(on)), slice(first(0.9 * on), first(on))
    inside = slice(math.floor((on - t0_ms) / dt_ms + 1e-6) + 1, first(off))
    # a peak takes three samples
    if not (0 <= late.start < late.stop < inside.start <= inside.stop - 3 <= n - 3):
        raise ConfigError(
            f"features.step_statistics: on_ms {on:g} and off_ms {off:g} do not fit the signal, which spans "
            f"[{t0_ms:g}, {t0_ms + n * dt_ms:g}] ms; expected {t0_ms:g} <= 0.9 on_ms < on_ms < off_ms "
            f"<= {t0_ms + n * dt_ms:g}"
        )
    return before, late, inside


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
    """Shape (time, frequency or statistic; channel) of what the chain of features makes of a signal.

    Raises:
        ConfigError: If a feature does not fit the signal.
    """
    n, channels = signal.shape[0], signal.shape[1] if len(signal.shape) > 1 else 1
    t0_ms, spectrum, voltage = signal.t0_ms, False, signal.unit == "mV"
    before: list[str] = []
    for feature in features:
        ((name, settings),) = feature.items()
        if spectrum and name in ("window", "log_voltage", "voltage_derivatives", "welch"):
            raise ConfigError(f"features.{name}: takes a signal, and welch has made a spectrum; put it before welch")
        if name not in ("channels", "standardize") and "step_statistics" in before:
            raise ConfigError(f"features.{name}: takes what step_statistics has used up; put it before or remove it")
        if name == "channels":
            if channels != max(len(signal.channels), 1):
                raise ConfigError("features.channels: given twice; keep what is wanted at once")
            channels = len(channel_indices(settings, signal.channels))
        if name == "log_power" and not spectrum:
            raise ConfigError("features.log_power: takes a spectrum; put welch before it")
        for other in ("log_power", "standardize"):
            if name == "log_power" and other in before:
                raise ConfigError(
                    f"features.log_power: takes the spectrum itself, and {other} has changed it; remove one"
                )
        if name == "welch":
            n, spectrum = segment_samples(settings, signal.dt_ms, n)[0] // 2 + 1, True
        if name == "window":
            kept = window_samples(settings, signal.dt_ms, t0_ms, n)
            n, t0_ms = kept.stop - kept.start, t0_ms + kept.start * signal.dt_ms
        if name == "step_statistics":
            _check_step_statistics(settings, before, channels, signal)
            step_samples(settings, signal.dt_ms, t0_ms, n)
            n = len(settings.get("keep", STEP_STATISTICS))
        if name in ("log_voltage", "voltage_derivatives"):
            if signal.unit != "mV":
                raise ConfigError(f"features.{name} takes mV; signal {signal.name} is in {signal.unit}")
            low, high = settings.get("low_mV", -80.0), settings.get("high_mV", 50.0)
            if low >= high:
                raise ConfigError(f"features.{name}: low_mV ({low:g}) must be below high_mV ({high:g})")
            if not voltage or "standardize" in before:
                raise ConfigError(f"features.{name}: takes a voltage, and a feature before it has changed it")
            voltage = False
        if name == "voltage_derivatives":
            if n < 3:
                raise ConfigError(f"features.voltage_derivatives: needs 3 samples, and there are {n}")
            channels *= 2 + len(settings["first"]) + len(settings["second"])
        before.append(name)
    return n, channels


def _check_step_statistics(settings: Mapping, before: Sequence[str], channels: int, signal: Signal) -> None:
    where = "features.step_statistics"
    require_known(f"{where}.keep", settings.get("keep", ()), STEP_STATISTICS)
    if signal.unit != "mV":
        raise ConfigError(f"{where} takes mV; signal {signal.name} is in {signal.unit}")
    for name in before:
        if name not in ("window", "channels"):
            raise ConfigError(f"{where}: takes the voltage itself, and {name} has changed it; remove {name}")
    if channels > 1:
        raise ConfigError(f"{where}: takes one channel, and there are {channels}; keep one with channels before it")
