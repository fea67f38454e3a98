"""The observation that a posterior is asked about: the first simulation of a dataset, or a recording."""

import hashlib
import sys
from pathlib import Path

import numpy as np

from neuroinverse.errors import NeuroinverseError
from neuroinverse.shards import OK, Dataset, is_dataset
from neuroinverse.traces import read_recording


def read_observation(path: Path, signal: dict) -> np.ndarray:
    """Reads the observation.

    Args:
        path: A dataset of this project, or a file of traces, of which the first is taken.
        signal: What the posterior takes, as its file describes it.

    Returns:
        The signal in physical units, shape (1, time[, channel]).

    Raises:
        ConfigError: If a recording cannot be read or does not cover what the posterior takes.
        NeuroinverseError: If the simulation failed.
    """
    if not is_dataset(path):
        print(f"{path}: {read_as(path, signal)}", file=sys.stderr)
        return read_recording(path, signal).values[:1]
    data = Dataset(path)
    if data.status(0, 1)[0] != OK:
        raise NeuroinverseError(f"{path}: the simulation that is the observation failed; change its parameters")
    return data.signal(signal["name"], 0, 1)


def read_as(path: Path, signal: dict) -> str | None:
    """What a recording was taken for, and which of its traces is the observation; None of a simulation."""
    if is_dataset(path):
        return None
    recording = read_recording(path, signal)
    more = f"; the first, {recording.names[0]!r}, is the observation" if len(recording.names) > 1 else ""
    return recording.words + more


def signal_sha256(signal: np.ndarray) -> str:
    """SHA-256 of a signal as an estimator takes it, in single precision."""
    return hashlib.sha256(np.ascontiguousarray(signal, "<f4").tobytes()).hexdigest()


def true_parameters(path: Path, names: tuple[str, ...]) -> np.ndarray | None:
    """Physical parameters behind the observation, shape (K,); None of a recording."""
    return Dataset(path).theta(0, 1, names)[0] if is_dataset(path) else None
