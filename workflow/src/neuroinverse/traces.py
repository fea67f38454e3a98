"""Traces of a user's: read from files, brought to the window and sampling that an estimator takes."""

from pathlib import Path

import numpy as np
import pandas as pd

from neuroinverse.errors import ConfigError


def read_at_sampling(
    path: Path, signal: dict, dt_ms: float | None = None, start_ms: float = 0.0, dataset: str | None = None
) -> tuple[list[str], np.ndarray]:
    """Reads traces and brings them to an estimator's window and sampling.

    Args:
        path: See `read_traces`.
        signal: What the estimator takes, as its file describes it.
        dt_ms: Sampling interval of the input (ms); that of the estimator when None. A column time_ms overrules it.
        start_ms: Time in the protocol of the first sample (ms).
        dataset: Path of the array in an .h5 file of another origin.

    Returns:
        Names, and traces of shape (n, time[, channel]).

    Raises:
        ConfigError: If the input cannot be read, or does not cover what the estimator takes.
    """
    names, traces, time_ms = read_traces(path, signal, dataset)
    if time_ms is not None:
        dt_ms, start_ms = float(np.diff(time_ms).mean()), float(time_ms[0])
    return names, resample(traces, signal, dt_ms or signal["dt_ms"], start_ms, path)


def read_traces(path: Path, signal: dict, dataset: str | None) -> tuple[list[str], np.ndarray, np.ndarray | None]:
    """Reads traces of a user's.

    Args:
        path: .csv (a column per trace and channel; one named time_ms gives the sampling), .npy of shape (time,) or
            (n, time), with channels (time, channel) or (n, time, channel), or .h5.
        signal: What the estimator takes, as its file describes it: `name`, `shape`.
        dataset: Path of the array in an .h5 file of another origin.

    Returns:
        Names, traces of shape (n, time[, channel]), and time (ms) where the file has it, else None.

    Raises:
        ConfigError: If the file does not exist, is no such file, or holds values that are not finite.
    """
    if not path.is_file():
        raise ConfigError(f"{path} does not exist")
    time_ms, channels = None, (*signal["shape"], 1)[1]
    try:
        if path.suffix == ".csv":
            table = pd.read_csv(path)
            if "time_ms" in table:
                time_ms = table.pop("time_ms").to_numpy(float)
            if len(table.columns) % channels:
                raise ConfigError(
                    f"{path}: has {len(table.columns)} columns of samples; {signal['name']} has {channels} channels, "
                    "each a column"
                )
            names, traces = [str(c) for c in table.columns[::channels]], table.to_numpy(float).T
            if channels > 1:
                traces = traces.reshape(-1, channels, len(table)).transpose(0, 2, 1)
        elif path.suffix == ".npy":
            traces = _of_channels(np.load(path), channels)
            names = [str(i) for i in range(len(traces))]
        elif path.suffix in (".h5", ".hdf5"):
            import h5py

            with h5py.File(path) as file:
                array = file[dataset or f"signals/{signal['name']}"]
                traces, time_ms = _of_channels(array[:], channels), _stated_time(array, signal, path)
                names = [str(i) for i in (file["index"][:] if "index" in file and not dataset else range(len(traces)))]
        else:
            raise ConfigError(f"{path}: expected .csv, .npy or .h5")
    except (ValueError, KeyError, OSError) as error:
        raise ConfigError(f"{path}: cannot be read as traces ({error})") from error
    if (
        not len(traces)
        or traces.ndim > 3
        or traces.shape[2:] not in ((channels,), () if channels == 1 else (channels,))
    ):
        raise ConfigError(
            f"{path}: holds an array of shape {traces.shape}; expected (traces, time)"
            + (f", with {channels} channels (traces, time, {channels})" if channels > 1 else "")
        )
    if not np.isfinite(traces).all():
        raise ConfigError(f"{path}: holds values that are not finite (or a header is missing); clean the traces first")
    return names, traces, time_ms


def _stated_time(array, signal: dict, path: Path) -> np.ndarray | None:
    """Time (ms) of the samples of an array that says its sampling, as this project's do; None of others.

    Raises:
        ConfigError: If it says another unit.
    """
    unit = array.attrs.get("unit", signal["unit"])
    unit = unit.decode() if isinstance(unit, bytes) else str(unit)
    if unit != signal["unit"]:
        raise ConfigError(f"{path}: {signal['name']} is in {unit}; the estimator takes {signal['unit']}. Convert it")
    if "dt_ms" not in array.attrs:
        return None
    samples = array.shape[-1] if array.ndim == 1 else array.shape[1]
    return array.attrs.get("t0_ms", 0.0) + np.arange(samples) * array.attrs["dt_ms"]


def _of_channels(array: np.ndarray, channels: int) -> np.ndarray:
    """An array with the axis of traces that one trace alone may lack."""
    return array[None] if array.ndim == (2 if channels > 1 else 1) else array


def resample(traces: np.ndarray, signal: dict, dt_ms: float, start_ms: float, source: Path) -> np.ndarray:
    """The trained window at the trained sampling, by linear interpolation where the sampling differs.

    Args:
        traces: Shape (n, time[, channel]).
        signal: What the estimator takes: `shape`, `dt_ms`, `t0_ms`, `name`, `unit`.
        dt_ms: Sampling interval of the traces (ms).
        start_ms: Time in the protocol of their first sample (ms).
        source: Their file, for messages.

    Raises:
        ConfigError: If the traces do not cover the window.
    """
    n, dt, t0 = signal["shape"][0], signal["dt_ms"], signal["t0_ms"]
    given = start_ms + np.arange(traces.shape[1]) * dt_ms
    wanted = t0 + np.arange(n) * dt
    if traces.shape[1] == n and abs(dt_ms - dt) < 1e-9 and start_ms == 0.0:
        return traces  # just the window
    if wanted[0] < given[0] - dt / 2 or wanted[-1] > given[-1] + dt / 2:
        raise ConfigError(
            f"{source}: spans {given[0]:g} to {given[-1]:g} ms at {dt_ms:g} ms; the estimator needs {wanted[0]:g} to "
            f"{wanted[-1]:g} ms ({n} samples at {dt:g} ms) of {signal['name']} in {signal['unit']}. "
            "Give --dt-ms and --start-ms, or record the whole protocol"
        )
    columns = traces.reshape(len(traces), len(given), -1).transpose(0, 2, 1)
    resampled = np.array([[np.interp(wanted, given, column) for column in trace] for trace in columns])
    return resampled.transpose(0, 2, 1).reshape(len(traces), n, *traces.shape[2:])
