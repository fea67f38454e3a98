"""The vocabulary of the surrogate of a cell: its synapses and hyper-parameters.

Needs no Keras, so that settings that do not go together are refused while the study is read.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from neuroinverse.errors import ConfigError, require_known

# time constants of rise and decay (ms) of the Exp2Syn behind a channel, which its name ends with: Neymotin et al. 2020,
# eLife 9:e51214, as in hnn-core 0.6
TIME_CONSTANTS_MS = {"ampa": (0.5, 5.0), "nmda": (1.0, 20.0), "gabaa": (0.5, 5.0), "gabab": (1.0, 20.0)}

FRONTS = ("exact", "learnt")
DEFAULTS = {
    "front": "exact",
    "conv_kernel": 100,
    "conv_units": 64,
    "lstm_units": 96,
    "lstm_layers": 1,
    "memory_ms": 100.0,
    "spike_weight": 0.1,
    "mask_ms": 100.0,
    "window_ms": 250.0,
    "epochs": 40,
    "batch_size": 16,
    "learning_rate": 0.003,
    "lrSchedule": "cosine",
    "reduceLR_factor": 0.3,
    "reduceLR_patience": 5,
    "earlyStop_patience": 20,
}


def complete(hyperparameters: Mapping) -> dict:
    """The hyper-parameters of a surrogate with defaults filled in.

    Raises:
        ConfigError: If one is unknown, or they do not go together.
    """
    require_known("hyperparameters", hyperparameters, DEFAULTS)
    h = DEFAULTS | dict(hyperparameters)
    require_known("hyperparameters.front", [h["front"]], FRONTS)
    if "conv_kernel" in hyperparameters and h["front"] != "learnt":
        raise ConfigError("hyperparameters.conv_kernel: only front: learnt has one; add front: learnt, or remove it")
    if h["window_ms"] is not None and h["window_ms"] <= h["mask_ms"]:
        raise ConfigError(
            f"hyperparameters.window_ms: {h['window_ms']:g} ms lie within mask_ms ({h['mask_ms']:g}), which does not "
            "count; give a longer window"
        )
    return h


def check_times(h: Mapping, dt_ms: float, n_samples: int) -> None:
    """Checks that a simulation is longer than what does not count of it.

    Args:
        h: Complete hyper-parameters.
        dt_ms: Sampling interval (ms).
        n_samples: Length of a simulation.

    Raises:
        ConfigError: If nothing is left behind the mask.
    """
    if samples(h["mask_ms"], dt_ms) >= n_samples:
        raise ConfigError(
            f"hyperparameters.mask_ms: {h['mask_ms']:g} ms leave nothing to learn of simulations of "
            f"{n_samples * dt_ms:g} ms; lower it, or simulate longer"
        )


def samples(time_ms: float, dt_ms: float) -> int:
    """Number of samples that a time spans, to the nearest."""
    return round(time_ms / dt_ms)


def time_constants(channels: Sequence[str]) -> np.ndarray:
    """Rise and decay (ms) of every channel, shape (2, channel).

    Args:
        channels: Names that end with `_<receptor>`.

    Raises:
        ConfigError: If a receptor is unknown.
    """
    receptors = [channel.rpartition("_")[2] for channel in channels]
    require_known("receptors of the input channels", receptors, TIME_CONSTANTS_MS)
    return np.array([TIME_CONSTANTS_MS[receptor] for receptor in receptors]).T


def peak_factor(rise, decay):
    """Factor that gives Exp2Syn's conductance, factor · (exp(−t / decay) − exp(−t / rise)), a peak of 1.

    Args:
        rise: Time constant (ms).
        decay: Time constant (ms), above `rise`.
    """
    peak = rise * decay / (decay - rise) * np.log(decay / rise)
    return 1 / (np.exp(-peak / decay) - np.exp(-peak / rise))
