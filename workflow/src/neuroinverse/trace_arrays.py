"""Arrays of a user's: .npy, and .h5 with the attributes of other programs, taken at their word or refused."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroinverse.errors import ConfigError

# attributes by which other programs say a sampling, and a scale: with the value that changes nothing
_RATE = re.compile(
    r"(.*_)?(dt|fs|sr|hz|sample_?rate|sampling_?rate|rate|sampling_?frequency|frequency|sampling|interval|period|delta"
    r"|igorwavescaling)(_.*)?"
)
_SCALES = {
    "conversion": 1.0, "scale": 1.0, "scale_factor": 1.0, "scaling": 1.0, "gain": 1.0, "bit_volts": 1.0, "offset": 0.0,
    "add_offset": 0.0,
}  # fmt: skip
# arrays beside one that are its times
_TIMES = {"time", "times", "t", "timestamps", "time_ms", "time_s", "starting_time"}


@dataclass(frozen=True)
class Stored:
    """An array and what its file says of it.

    Args:
        values: As they are.
        unit: None where none is said.
        sampling: Interval and first time of the samples (ms), as this project writes them; None where it is not said.
        index: Numbers of the traces, in files of this project.
    """

    values: np.ndarray
    unit: str | None = None
    sampling: tuple[float, float] | None = None
    index: np.ndarray | None = None


def read_array(path: Path, dataset: str, told: bool, scale: float) -> Stored:
    """Reads an array.

    Args:
        path: .npy, .h5 or .hdf5.
        dataset: Path of the array in an HDF5 file.
        told: Whether the sampling is told beside the file.
        scale: What is told of the scale; 1 is nothing.

    Raises:
        ConfigError: If it cannot be read, or says its sampling or scale in a way that cannot be told from its name.
    """
    try:
        if path.suffix.lower() == ".npy":
            array = np.load(path, allow_pickle=False)
            if not isinstance(array, np.ndarray):
                raise ConfigError(f"{path}: is an archive of several arrays (.npz); save one with numpy.save")
            return Stored(array)
        import h5py

        with h5py.File(path) as file:
            return _stored(path, file, dataset, told, scale)
    except ConfigError:
        raise
    except Exception as error:
        # of a damaged header numpy's may be any
        said = " ".join(str(error).split())
        raise ConfigError(f"{path}: cannot be read as traces ({said or type(error).__name__})") from error


def _stored(path: Path, file, dataset: str, told: bool, scale: float) -> Stored:
    import h5py

    found = file.get(dataset)
    if not isinstance(found, h5py.Dataset):
        there: list[str] = []
        file.visititems(lambda name, item: there.append(name) if isinstance(item, h5py.Dataset) else None)
        raise ConfigError(
            f"{path}: cannot be read as traces: {'a group' if found is not None else 'nothing'} is called {dataset}; "
            f"name the array with --dataset: {', '.join(there[:6]) or 'there is none'}{', …' if len(there) > 6 else ''}"
        )
    attributes = {name.lower(): value for name, value in found.attrs.items()}
    for name, neutral in _SCALES.items():
        if name in attributes and scale == 1.0 and np.any(attributes[name] != neutral):
            raise ConfigError(
                f"{path}: {found.name} has an attribute {name} = {attributes[name]}; apply it to the values, or give "
                "--scale"
            )
    units = list(dict.fromkeys(_text(attributes[name]) for name in ("unit", "units") if name in attributes))
    if len(units) > 1:
        raise ConfigError(f"{path}: {found.name} has attributes unit and units, {units[0]} and {units[1]}; keep one")
    return Stored(
        found[()],
        units[0] if units else None,
        _sampling(path, found, attributes, told),
        file["index"][:] if "index" in file else None,
    )


def _sampling(path: Path, found, attributes: dict, told: bool) -> tuple[float, float] | None:
    """Interval and first time (ms) as this project's files say them; None where none are said."""
    if "dt_ms" in attributes:
        dt, start = float(attributes["dt_ms"]), float(attributes.get("t0_ms", 0.0))
        if not (np.isfinite([dt, start]).all() and dt > 0):
            raise ConfigError(f"{path}: {found.name} has attributes dt_ms = {dt:g} and t0_ms = {start:g}; correct them")
        return dt, start
    if told:
        return None
    # of the array, of the groups that it is in, and what lies beside it
    said = [(found.name, name) for name in attributes if _RATE.fullmatch(name)]
    group = found.parent
    while True:
        said += [(group.name, name) for name in group.attrs if _RATE.fullmatch(name.lower())]
        if group.name == "/":
            break
        group = group.parent
    said += [
        (found.parent.name, name)
        for name in found.parent
        if (name.lower() in _TIMES or (_RATE.fullmatch(name.lower()) and getattr(found.parent[name], "size", 0) == 1))
        and f"{found.parent.name}/{name}".replace("//", "/") != found.name
    ]
    if said:
        where, name = said[0]
        raise ConfigError(
            f"{path}: {where} has {name}, which may say the sampling, and {found.name} has no attribute dt_ms; give "
            "--dt-ms, the sampling interval in ms"
        )
    return None


def _text(value) -> str:
    value = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
