"""Stimulus waveforms by name and parameters.

Every waveform is sampled at dt and starts at t = 0. Published stimuli are dimensionless shapes times the model's
amplitude; the table of "reset + chirp" is that of the 2019 CNN regression of neuron physiology.
"""

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


def from_file(t, path, column=0):
    """A recorded or designed waveform: .npy of shape (n,), or a text column, sampled at dt from t = 0.

    Raises:
        ConfigError: If the file is missing, holds no such numbers, or is shorter than the protocol.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"stimulus file {file} does not exist")
    try:
        wave = np.load(file) if file.suffix == ".npy" else np.loadtxt(file, delimiter=",", ndmin=2)[:, column]
    except (ValueError, IndexError, EOFError) as error:
        raise ConfigError(f"stimulus file {file}: expected numbers in column {column}: {error}") from error
    if wave.ndim != 1 or len(wave) < len(t):
        raise ConfigError(
            f"stimulus file {file}: expected one waveform of at least {len(t)} samples, got shape {wave.shape}"
        )
    return wave[: len(t)].astype(float)


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
    if kind == "ou_noise":
        arguments["master_seed"] = master_seed
    if kind == "reset_chirp" and arguments.get("variant", "460ms") not in RESET_CHIRP_VARIANTS:
        raise ConfigError(
            f"stimulus variant {arguments['variant']!r} is unknown; known: {', '.join(RESET_CHIRP_VARIANTS)}"
        )
    t = np.arange(n_samples) * dt_ms
    try:
        return stimulus["amplitude"] * WAVEFORMS[kind](t, **arguments)
    except TypeError as error:
        raise ConfigError(f"stimulus {kind}: {error}; see neuroinverse.stimuli.{kind}") from error
