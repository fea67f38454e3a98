"""Traces of a user's: read from files, brought to the unit, window and sampling that an estimator takes."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from neuroinverse import trace_arrays, trace_columns, trace_files, units
from neuroinverse.errors import ConfigError
from neuroinverse.resampling import at_times
from neuroinverse.trace_columns import is_even

TABLES, ARRAYS = (".csv", ".tsv", ".txt"), (".npy", ".h5", ".hdf5")
# a membrane potential (mV) is not beyond, half of its samples are not beyond, and not all of them are this near to 0
LARGEST_MV, USUAL_MV, SMALLEST_MV = 500.0, 200.0, 0.5
# samples of an estimator to one of a recording: more are no recording of the same
COARSEST = 400


@dataclass(frozen=True)
class Traces:
    """Traces as a file has them.

    Args:
        names: One for every trace.
        values: In the estimator's unit, shape (n, time[, channel]).
        time_ms: Times of the samples (ms), where the file says them; else None.
        words: What was understood.
    """

    names: list[str]
    values: np.ndarray
    time_ms: np.ndarray | None
    words: str


def read_at_sampling(
    path: Path, signal: dict, dt_ms: float | None = None, start_ms: float | None = None, dataset: str | None = None
) -> tuple[list[str], np.ndarray]:
    """Names and values of `read_recording`."""
    recording = read_recording(path, signal, dt_ms, start_ms, dataset)
    return recording.names, recording.values


def read_recording(
    path: Path,
    signal: dict,
    dt_ms: float | None = None,
    start_ms: float | None = None,
    dataset: str | None = None,
    unit: str | None = None,
    scale: float = 1.0,
) -> Traces:
    """Reads traces and brings them to an estimator's unit, window and sampling.

    Args:
        path: See `read_traces`.
        signal: What the estimator takes, as its file describes it: `name`, `unit`, `dt_ms`, `shape`, `t0_ms`.
        dt_ms: Sampling interval of the input (ms), where the file does not say it; that of the estimator when None.
        start_ms: Time in the protocol of the first sample (ms); a file's own time is then counted from there.
        dataset: Path of the array in an .h5 file of another origin.
        unit: Unit of the values, where the file does not say it; the estimator's when None.
        scale: What the values are multiplied by to be in that unit.

    Returns:
        Names, values of shape (n, time[, channel]) and what was understood.

    Raises:
        ConfigError: If the input cannot be read, can be read in two ways, or does not cover what the estimator takes.
    """
    for option, value, right, expected in (
        ("--scale", scale, scale != 0, "finite number other than 0"),
        ("--start-ms", start_ms, True, "finite number"),
        ("--dt-ms", dt_ms, (dt_ms or 0) > 0, "time above 0"),
    ):
        if value is not None and not (right and np.isfinite(value)):
            raise ConfigError(f"{option} is {value:g}; expected a {expected}")
    found = read_traces(path, signal, dataset, dt_ms is not None, unit, scale)
    n, dt, t0 = signal["shape"][0], signal["dt_ms"], signal["t0_ms"]
    samples = found.values.shape[1]
    given, said = found.time_ms, found.words
    if given is None:
        own = dt_ms or dt
        just = samples == n and abs(own / dt - 1) < 1e-6 and start_ms is None
        if dt_ms is None and samples > n:
            raise ConfigError(
                f"{path}: holds {samples} samples and does not say how far apart they are; the estimator takes {n} at "
                f"{dt:g} ms. Give --dt-ms, a column of time (.csv), or the attribute dt_ms (.h5)"
            )
        given = (t0 if just else start_ms or 0.0) + np.arange(samples) * own
        said += f"; {own:g} ms apart" + (
            " (as the estimator's: the file does not say; --dt-ms if not)" if dt_ms is None else ""
        )
    else:
        own = float(np.median(np.diff(given))) if samples > 1 else dt
        if dt_ms is not None and abs(dt_ms / own - 1) > 0.01:
            raise ConfigError(
                f"{path}: its time says {own:.6g} ms between samples, --dt-ms {dt_ms:g}; leave --dt-ms out"
            )
        if start_ms is not None:
            given = given - given[0] + start_ms
        said += f"; {own:.6g} ms apart"
    _check_covered(path, signal, given, own, transposed=samples < n <= len(found.names))
    if own > COARSEST * dt:
        raise ConfigError(
            f"{path}: has a sample every {own:.6g} ms, the estimator one every {dt:g} ms; is its time in another unit, "
            "or --dt-ms? Expected a recording at a sampling of the same order"
        )
    wanted = t0 + np.arange(n) * dt
    values, how = at_times(found.values, given, wanted) if samples > 1 else (found.values, "as they are")
    if _is_membrane(signal) and own > 5 * dt and own > 0.2:
        said += f"; WARNING: {1 / own:.3g} kHz is coarse for spikes, the training had {1 / dt:.3g} kHz"
    said += f", {samples} samples from {given[0]:.6g} ms; {n} samples at {dt:g} ms from {t0:g} ms taken, {how}"
    return replace(found, values=values, time_ms=wanted, words=said)


def _check_covered(path: Path, signal: dict, given: np.ndarray, own: float, transposed: bool) -> None:
    """Refuses a recording that does not cover the window; its last sample lasts one of its own intervals."""
    n, dt, t0 = signal["shape"][0], signal["dt_ms"], signal["t0_ms"]
    last = t0 + (n - 1) * dt
    slack = 1e-6 * max(own, dt)
    if t0 >= given[0] - max(min(own, dt) / 2, slack) and last <= given[-1] + max(own, dt / 2) + slack:
        return
    raise ConfigError(
        f"{path}: spans {given[0]:g} to {given[-1] + own:g} ms ({len(given)} samples at {own:.6g} ms); the estimator "
        f"needs {t0:g} to {t0 + n * dt:g} ms ({n} samples at {dt:g} ms) of {signal['name']} in {signal['unit']}. Give "
        "--start-ms, the protocol's time of the first sample, and --dt-ms where the file does not say its sampling; or "
        "record the whole protocol" + (". Or is the array transposed? Expected (traces, time)" if transposed else "")
    )


def read_traces(
    path: Path, signal: dict, dataset: str | None, told: bool = False, unit: str | None = None, scale: float = 1.0
) -> Traces:
    """Reads traces of a user's as they are, in the estimator's unit.

    Args:
        path: A table (.csv, .tsv, .txt: a column per trace and channel, one of them time), .npy of shape (time,) or
            (n, time), with channels (time, channel) or (n, time, channel), or .h5.
        signal: What the estimator takes, as its file describes it: `name`, `unit`, `shape`.
        dataset: Path of the array in an .h5 file of another origin.
        told: Whether the sampling is told beside the file.
        unit: Unit of the values, where the file does not say it.
        scale: What the values are multiplied by to be in that unit.

    Raises:
        ConfigError: If the file does not exist, is no such file, or holds values that are not finite or not in a unit
            of the signal.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path} {'is a folder; expected a file of traces' if path.is_dir() else 'does not exist'}")
    if unit is not None:
        units.factor(unit, signal["unit"], f"--unit: {signal['name']}")
    channels = (*signal["shape"], 1)[1]
    suffix = path.suffix.lower()
    if suffix in TABLES:
        found = _of_table(path, signal, channels, told, unit, scale)
    elif suffix in ARRAYS:
        found = _of_array(path, signal, channels, dataset, told, unit, scale)
    else:
        raise ConfigError(f"{path}: expected .csv, .npy or .h5 (also .tsv, .txt, .hdf5)")
    _check_range(path, signal, found.values)
    return found


def _of_table(path, signal, channels, told, unit, scale) -> Traces:
    time_ms, columns, said = trace_columns.take_time(path, trace_files.read_table(path), told)
    if not columns or len(columns) % channels:
        raise ConfigError(
            f"{path}: has {len(columns)} columns of samples; {signal['name']} has {channels} channel"
            f"{'s, each' if channels > 1 else ', each trace'} a column"
        )
    for column in columns:
        trace_columns.require_of(path, column, signal["unit"])
    factors = [scale * _factor(path, signal, c.unit, unit, f"column {c.title!r}") for c in columns]
    values = np.array([c.values * f for c, f in zip(columns, factors, strict=True)])
    if channels > 1:
        values = values.reshape(-1, channels, values.shape[1]).transpose(0, 2, 1)
    names = [c.name or c.title for c in columns[::channels]]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"{path}: several columns are called {next(n for n in names if names.count(n) > 1)!r}; name each otherwise"
        )
    units_said = ", ".join(dict.fromkeys(c.unit or unit or f"{signal['unit']}, as none is stated" for c in columns))
    return Traces(
        names, values, time_ms, f"{_count(names)} ({units_said}){'; ' if said else ''}{said.removeprefix('; ')}"
    )


def _of_array(path, signal, channels, dataset, told, unit, scale) -> Traces:
    stored = trace_arrays.read_array(path, dataset or f"signals/{signal['name']}", told, scale)
    array, stated, indices = stored.values, stored.unit, None if dataset else stored.index
    if array.dtype.kind not in "fiu":
        raise ConfigError(f"{path}: holds {array.dtype} values; expected real numbers")
    if array.dtype.kind in "iu" and scale == 1.0 and unit is None:
        raise ConfigError(
            f"{path}: holds whole numbers ({array.dtype}), as an amplifier counts them; give --scale, the "
            f"{signal['unit']} of one count, or --unit if they are in a unit already"
        )
    array = array.astype(float)
    values = array[None] if array.ndim == (2 if channels > 1 else 1) else array
    if values.ndim != (3 if values.shape[2:] == (channels,) else 2 if channels == 1 else -1) or not values.size:
        raise ConfigError(
            f"{path}: holds an array of shape {array.shape}; expected (traces, time)"
            + (f", with {channels} channels (traces, time, {channels})" if channels > 1 else "")
        )
    if not np.isfinite(values).all():
        row = int(np.argmax(~np.isfinite(values.reshape(len(values), -1)).all(axis=1)))
        raise ConfigError(f"{path}: trace {row} holds values that are not finite; clean the traces first")
    foreign = stored.index is None and values.ndim == 2 and len(values) > 1 and values.shape[1] > 2
    for i, row in enumerate(values if foreign else ()):
        if is_even(row) or (i == 0 and (np.diff(row) > 0).all()):
            raise ConfigError(
                f"{path}: its {f'row {i}' if i else 'first row'} increases all along, as time does; give the traces "
                "alone, with --dt-ms and --start-ms"
            )
    values = values * scale * _factor(path, signal, stated, unit, signal["name"])
    names = [str(i) for i in (range(len(values)) if indices is None else indices)]
    time_ms = None if stored.sampling is None else stored.sampling[1] + np.arange(values.shape[1]) * stored.sampling[0]
    said = stated or unit or f"{signal['unit']}, as none is stated"
    return Traces(names, values, time_ms, f"{_count(names)} ({said})")


def _factor(path: Path, signal: dict, stated: str | None, told: str | None, what: str) -> float:
    if stated is None:
        return 1.0 if told is None else units.factor(told, signal["unit"], f"--unit: {signal['name']}")
    if told is not None and units.known(told) != units.known(stated):
        raise ConfigError(
            f"{path}: {what} is in {stated!r}, --unit says {told!r}; leave --unit out, or correct the file"
        )
    return units.factor(stated, signal["unit"], f"{path}: {what}")


def _check_range(path: Path, signal: dict, values: np.ndarray) -> None:
    """Refuses membrane potentials that cannot be in the unit that they are taken for."""
    if not _is_membrane(signal):
        return
    sizes = np.abs(values).reshape(len(values), -1)
    for trace, size in enumerate(sizes):
        top = size.max()
        if top > LARGEST_MV or np.median(size) > USUAL_MV or 0 < top < SMALLEST_MV:
            raise ConfigError(
                f"{path}: trace {trace} reaches {top:.4g} mV, read as it stands; no membrane potential does. Give its "
                f"unit in the file's heading, such as 'Vm ({'V' if top < SMALLEST_MV else 'uV'})', or with --unit, or "
                "a factor with --scale"
            )


def _is_membrane(signal: dict) -> bool:
    name = signal["name"].lower()
    return signal["unit"] == "mV" and ("voltage" in name or name in ("v", "vm"))


def _count(names: list[str]) -> str:
    shown = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
    return f"{len(names)} trace{'s' if len(names) > 1 else ''} {shown}"
