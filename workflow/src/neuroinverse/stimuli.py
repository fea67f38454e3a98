"""Stimulus waveforms by name and parameters.

Every waveform is sampled at dt and starts at t = 0. Published stimuli are dimensionless shapes times the model's
amplitude; the table of "reset + chirp" is that of the 2019 CNN regression of neuron physiology.
"""

import inspect
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from neuroinverse.errors import ConfigError
from neuroinverse.parameters import seed_sequence

# start of the reset, start of the chirp, its end, second reset (ms)
RESET_CHIRP_VARIANTS = {
    "460ms": {
        "duration_ms": 460.0,
        "reset_ms": (4.0, 120.0),
        "chirp_ms": (120.0, 252.5),
        "second_reset_ms": (340.0, 456.0),
    },
    "320ms": {
        "duration_ms": 320.0,
        "reset_ms": (4.0, 70.0),
        "chirp_ms": (70.0, 203.0),
        "second_reset_ms": None,
    },
}


def chirp(
    t,
    start_ms,
    stop_ms,
    ramp_ms=10.0,
    offset=0.5,
    amplitude_start=0.31,
    amplitude_per_ms=0.012,
    frequency_start_Hz=28.0,
    frequency_slope_Hz_per_ms=3.13,
):
    """A ramp to 0.75, then a sine of rising amplitude and frequency around an offset.

    With s = t − start: offset + (amplitude_start + amplitude_per_ms·s)·sin(phase), the phase being the integral of
    the instantaneous frequency frequency_start + slope·s. The defaults are the published chirp (30 → 450 Hz).

    Args:
        t: Time (ms), shape (n,).
        start_ms: Start of the ramp (ms).
        stop_ms: End of the chirp (ms).
        ramp_ms: Length of the linear ramp 0 → 0.75 before the sine starts (ms).

    Returns:
        Dimensionless waveform, shape (n,).
    """
    s = t - start_ms
    phase = 2e-3 * np.pi * (frequency_start_Hz * s + frequency_slope_Hz_per_ms * s**2 / 2)
    wave = offset + (amplitude_start + amplitude_per_ms * s) * np.sin(phase)
    if ramp_ms > 0:
        wave = np.where(s < ramp_ms, 0.75 * s / ramp_ms, wave)
    return np.where((t >= start_ms) & (t < stop_ms), wave, 0.0)


def reset_chirp(t, variant="460ms"):
    """Hyperpolarising reset, which brings every cell to the same state, then the chirp.

    Args:
        t: Time (ms), shape (n,).
        variant: "460ms" or "320ms". What follows the chirp of the short variant is not published: zero here.
    """
    v = RESET_CHIRP_VARIANTS[variant]
    wave = chirp(t, *v["chirp_ms"]) - _within(t, v["reset_ms"])
    return wave - _within(t, v["second_reset_ms"]) if v["second_reset_ms"] else wave


def step(t, start_ms, stop_ms):
    """One between start and stop, zero elsewhere."""
    return _within(t, (start_ms, stop_ms)).astype(float)


def ramp(t, start_ms, stop_ms, low=0.0, high=1.0):
    """A straight line from `low` to `high` between start and stop, zero elsewhere."""
    line = low + (high - low) * (t - start_ms) / (stop_ms - start_ms)
    return np.where(_within(t, (start_ms, stop_ms)), line, 0.0)


def ou_noise(t, tau_ms, mean=0.0, sd=1.0, seed=0, master_seed=0):
    """Ornstein-Uhlenbeck noise, the same ("frozen") for every simulation.

    The exact discretisation of dx = (mean − x)/tau dt + sd·sqrt(2/tau) dW, started in its stationary distribution.
    """
    rng = np.random.default_rng(seed_sequence(master_seed, "stimulus/ou_noise", seed))
    decay = np.exp(-(t[1] - t[0]) / tau_ms)
    kicks = rng.standard_normal(len(t)) * np.sqrt(1 - decay**2)
    kicks[0] /= np.sqrt(1 - decay**2)
    from scipy.signal import lfilter

    return mean + sd * lfilter([1.0], [1.0, -decay], kicks)


def from_file(t, path, column=None, dt_ms=None, start_ms=None, unit=None):
    """A recorded or designed waveform, with its own sampling: linear between its samples, the last one held.

    Args:
        t: Time (ms), shape (n,).
        path: .npy of shape (n,), or a table of numbers (.csv, .txt, .tsv), with or without a column of time.
        column: Its name, or its number counted from 0, where the table has several beside time.
        dt_ms: Sampling interval of the file (ms), where it has no column of time.
        start_ms: Where the file begins in the protocol; nothing flows before and after it. Without it the file begins
            at 0 and lasts as long as the protocol.
        unit: The stimulus's unit; that of the column, where it says one, must be the same.

    Raises:
        ConfigError: If the file is missing, holds no such numbers, or does not fit the protocol.
    """
    from neuroinverse import trace_columns, trace_files, units

    file, dt = Path(path), float(t[1] - t[0]) if len(t) > 1 else 1.0
    if not file.is_file():
        raise ConfigError(f"stimulus file {file} does not exist")
    time_ms = None
    if file.suffix == ".npy":
        wave = _array(file)
    else:
        try:
            columns = trace_files.read_table(file)
            times = [c for c in columns if c.time_unit]
            if column is None:
                _, values, _ = trace_columns.take_time(file, columns, dt_ms is not None)
                if len(values) != 1:
                    names = ", ".join(c.title for c in values)
                    raise ConfigError(f"{file}: has several columns ({names}); add column: to the stimulus, which one")
                chosen = values[0]
            else:
                chosen = _chosen(file, columns, column)
                trace_columns.require_no_time(file, chosen, len(columns))
            if times:
                time_ms = trace_columns.milliseconds(times[0])
                trace_columns.check_time(file, time_ms, times[0].title)
        except ConfigError as error:
            more = "; or say which column the stimulus is with column:" if "looks like time" in str(error) else ""
            raise ConfigError(f"stimulus file {error}{more}") from error
        wave = chosen.values
        if chosen.unit and unit and chosen.unit != unit and units.known(chosen.unit) != (units.known(unit) or ""):
            raise ConfigError(
                f"stimulus file {file}: column {chosen.title!r} is in {chosen.unit}, the stimulus in {unit}; convert it"
            )
    if len(wave) < 2:
        raise ConfigError(f"stimulus file {file}: has {len(wave)} sample; expected a waveform")
    if not np.isfinite(wave).all():
        raise ConfigError(f"stimulus file {file}: sample {int(np.argmin(np.isfinite(wave)))} is not finite; correct it")
    return _placed(file, wave, time_ms, dt_ms, start_ms, t, dt)


def _array(file: Path) -> np.ndarray:
    try:
        wave = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ConfigError(f"stimulus file {file}: cannot be read as numbers ({error})") from error
    if not isinstance(wave, np.ndarray) or wave.ndim != 1 or wave.dtype.kind not in "fiu" or len(wave) < 2:
        shape = getattr(wave, "shape", "several arrays")
        raise ConfigError(f"stimulus file {file}: expected one waveform of real numbers, shape (n,), got {shape}")
    return wave.astype(float)


def _chosen(file: Path, columns: list, column):
    names = [c.title for c in columns]
    if isinstance(column, int) and not isinstance(column, bool) and 0 <= column < len(columns):
        return columns[column]
    for by in ([c.title for c in columns], [c.name for c in columns]):
        if by.count(column) == 1:
            return columns[by.index(column)]
    raise ConfigError(f"{file}: has no column {column!r}; it has {', '.join(names)}, counted from 0")


def _placed(file: Path, wave, time_ms, dt_ms, start_ms, t, dt: float) -> np.ndarray:
    """A file's waveform at the times of the protocol."""
    if time_ms is None and dt_ms is None:
        raise ConfigError(
            f"stimulus file {file}: does not say its sampling; add dt_ms: to the stimulus, the file's own (ms), or a "
            "column time_ms to the file"
        )
    if time_ms is None:
        if isinstance(dt_ms, bool) or not isinstance(dt_ms, int | float) or not 0 < dt_ms < np.inf:
            raise ConfigError(f"protocol.stimulus.dt_ms is {dt_ms!r}; expected the sampling interval of {file} in ms")
        time_ms = np.arange(len(wave)) * float(dt_ms)
    own = float(np.median(np.diff(time_ms)))
    if dt_ms is not None and abs(own / dt_ms - 1) > 0.01:
        raise ConfigError(
            f"stimulus file {file}: its time says {own:.6g} ms between samples, the stimulus dt_ms {dt_ms:g}; "
            "leave dt_ms out"
        )
    if own < dt * (1 - 1e-6):
        raise ConfigError(
            f"stimulus file {file}: is sampled every {own:.6g} ms, finer than the protocol's dt_ms {dt:.6g}, which "
            "would leave samples out; lower the protocol's dt_ms, or resample the file"
        )
    if start_ms is not None:
        time_ms = time_ms - time_ms[0] + start_ms
    end, last = time_ms[-1] + own, t[-1] + dt
    slack = max(1e-6 * own, 1e-9)
    if start_ms is None and abs(time_ms[0]) > own / 2:
        raise ConfigError(
            f"stimulus file {file}: begins at {time_ms[0]:g} ms, the protocol at 0; add start_ms: to the stimulus, "
            "where it is to begin in the protocol"
        )
    if start_ms is None and end < last - slack:
        raise ConfigError(
            f"stimulus file {file}: lasts {end:.6g} ms ({len(wave)} samples at {own:.6g} ms), the protocol {last:.6g} "
            f"ms; expected at least {int(np.ceil(last / own - 1e-6))} samples. Add start_ms: to the "
            "stimulus if nothing is to flow after it"
        )
    if end > last + own + slack:
        raise ConfigError(
            f"stimulus file {file}: ends at {end:.6g} ms, the protocol at {last:.6g} ms; cut the "
            "file, or lengthen duration_ms"
        )
    if start_ms is not None and time_ms[0] < -slack:
        raise ConfigError(f"protocol.stimulus.start_ms is {start_ms:g}; expected 0 ms or later")
    values = np.interp(t, time_ms, wave)
    outside = (t < time_ms[0] - slack) | (t >= end - slack) if start_ms is not None else np.zeros(len(t), bool)
    return np.where(outside, 0.0, values)


def _within(t, span):
    return (t >= span[0]) & (t < span[1])


WAVEFORMS = {
    "reset_chirp": reset_chirp,
    "chirp": chirp,
    "step": step,
    "ramp": ramp,
    "ou_noise": ou_noise,
    "from_file": from_file,
}
# arguments that are no numbers
WORDS = ("path", "column", "unit", "variant")


def waveform(stimulus: Mapping, n_samples: int, dt_ms: float, master_seed: int = 0) -> np.ndarray:
    """Samples the stimulus of a protocol.

    Args:
        stimulus: `kind`, `amplitude` (in the simulator's stimulus unit), and the arguments of the waveform.
        n_samples: Number of samples.
        dt_ms: Sampling interval (ms).
        master_seed: The seed of the configuration; only noise uses it.

    Returns:
        Stimulus in the simulator's unit, float64, shape (n_samples,).

    Raises:
        ConfigError: If the kind or one of its arguments is unknown, or a needed one is missing.
    """
    arguments = {k: v for k, v in stimulus.items() if k not in ("kind", "amplitude", "unit", "site")}
    kind = stimulus["kind"]
    if kind not in WAVEFORMS:
        raise ConfigError(f"stimulus kind {kind!r} is unknown; known: {', '.join(WAVEFORMS)}")
    for name, value in arguments.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if name in inspect.signature(WAVEFORMS[kind]).parameters and name not in WORDS and not number:
            raise ConfigError(f"stimulus {kind}: {name} is {value!r}; expected a number")
    if kind == "from_file":
        arguments["unit"] = stimulus.get("unit")
    if kind == "ou_noise":
        arguments["master_seed"] = master_seed
    if kind == "reset_chirp" and arguments.get("variant", "460ms") not in list(RESET_CHIRP_VARIANTS):
        raise ConfigError(
            f"stimulus variant {arguments['variant']!r} is unknown; known: {', '.join(RESET_CHIRP_VARIANTS)}"
        )
    t = np.arange(n_samples) * dt_ms
    try:
        wave = stimulus["amplitude"] * WAVEFORMS[kind](t, **arguments)
    except TypeError as error:
        raise ConfigError(f"stimulus {kind}: {error}; see neuroinverse.stimuli.{kind}") from error
    if not np.isfinite(wave).all():
        raise ConfigError(f"stimulus {kind}: is not finite; correct its keys, which are {dict(stimulus)}")
    return wave
