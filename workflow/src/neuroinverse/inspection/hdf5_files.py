"""HDF5 files: shards, datasets, kernels, proposals, and files of other origin."""

import json
import os
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np

from neuroinverse.errors import NeuroinverseError, ShardError
from neuroinverse.hdf5 import text
from neuroinverse.inspection.json_files import origin
from neuroinverse.inspection.ranges import BLOCK, Ranges, short
from neuroinverse.shards import STATUS_NAMES, read_signals, verify_shard
from neuroinverse.simulators.base import Signal

# items of a file of other origin that are listed, and attributes of each
ITEMS, ATTRIBUTES = 60, 8
# values of the signals of a dataset that are looked at: of a larger one, rows all over it
LOOKED_AT = 25 * BLOCK
CURE = "Remove it and run its target again"


def describe(path: Path) -> tuple[str, list[str]]:
    """Kind and content of an HDF5 file.

    Raises:
        NeuroinverseError: If it is none, or damaged: which part, and the cure.
    """
    if not h5py.is_hdf5(path):
        raise NeuroinverseError(f"{path}: is no HDF5 file: its first bytes are not those of one")
    try:
        with h5py.File(path, "r") as file:
            kind = text(file.attrs, "format") if "format" in file.attrs else ""
            if kind.startswith("neuroinverse-shard"):
                return "a shard of simulations", _shard(path, file)
            if kind.startswith("neuroinverse-dataset"):
                return "a dataset, which joins shards", _dataset(path, file)
            if kind.startswith("neuroinverse-kernel"):
                return "what one spike of a population adds to the LFP (compute_kernel)", _arrays(file) + _origin(file)
            if "theta" in file and {"spec", "provenance"} <= set(file.attrs) and "signals" not in file:
                return "parameters that another step proposes for a dataset", _proposal(file)
            return "an HDF5 file that neuroinverse did not write", _tree(file)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> NeuroinverseError:
    return NeuroinverseError(f"{path}: is truncated or altered: {' '.join(str(error).split())}. {CURE}")


def _blocks(data: h5py.Dataset) -> Iterator[np.ndarray]:
    """An array, some rows at a time."""
    rows = max(1, BLOCK // max(1, int(np.prod(data.shape[1:]))))
    for start in range(0, len(data), rows):
        yield data[start : start + rows]


def _origin(file: h5py.File) -> list[str]:
    return origin(json.loads(text(file.attrs, "provenance"))) if "provenance" in file.attrs else []


def _shard(path: Path, file: h5py.File) -> list[str]:
    try:
        attributes = verify_shard(path)
    except ShardError as error:
        # the cure of a run, to put it aside, is not taken here: a look changes nothing
        raise NeuroinverseError(f"{path}: {error.problem}. {CURE}") from error
    spec = json.loads(attributes["spec"])
    lines = [
        f"  study {attributes['study']}, dataset {attributes['dataset']}: simulations {spec['start']} to "
        f"{spec['stop'] - 1}; whole, its sums are right",
        f"  status: {_statuses(attributes['status_counts'])}; {attributes['seconds_core']:.4g} core seconds",
    ]
    return lines + _preview(spec["simulation"], attributes["signals"], lambda: [file]) + _origin(file)


def _dataset(path: Path, file: h5py.File) -> list[str]:
    spec, sums = json.loads(text(file.attrs, "spec")), file["shards/content_sha256"].asstr()[:]
    shards = [_tidy(path.parent / name) for name in file["shards/path"].asstr()[:]]
    there = [(shard, total) for shard, total in zip(shards, sums, strict=True) if shard.is_file()]
    lines = [
        f"  study {text(file.attrs, 'study')}, dataset {text(file.attrs, 'dataset')}: {spec['n']} simulations in "
        f"{len(shards)} shards",
        f"  status: {_statuses(json.loads(text(file.attrs, 'status_counts')))}; "
        f"{float(file.attrs['seconds_core']):.4g} core seconds",
    ]
    if len(there) < len(shards):
        first = next(shard for shard in shards if not shard.is_file())
        lines.append(
            f"  {len(shards) - len(there)} of its shards are gone, such as {first}; they are simulated again, to "
            f"the same bits, with: snakemake --profile profiles/local {first}"
        )
    return lines + _preview(spec["simulation"], read_signals(file), lambda: _of_shards(path, there)) + _origin(file)


def _tidy(path: Path) -> Path:
    """A path without "..", as targets are; as it is where that, beside a link, is another file."""
    tidy = Path(os.path.normpath(path))
    return tidy if tidy.is_file() or not path.is_file() else path


def _of_shards(path: Path, shards: list[tuple[Path, str]]) -> Iterator[h5py.File]:
    for shard, total in shards:
        try:
            with h5py.File(shard, "r") as file:
                same = text(file.attrs, "content_sha256") == total
                if same:
                    yield file
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise _damaged(shard, error) from error
        if not same:
            raise NeuroinverseError(f"{path}: {shard} is not the shard that was joined. Remove {path} and run again")


def _preview(simulation: dict, signals: dict[str, Signal], files: Callable[[], Iterable[h5py.File]]) -> list[str]:
    """Ranges of parameters and signals over the simulations in some files."""
    table = simulation["parameters"]
    parameters = [Ranges() for _ in table]
    seen = {name: Ranges() for name in signals}
    left = {name: LOOKED_AT for name in signals}
    for file in files():
        try:
            for ranges, column in zip(parameters, file["theta"][:].T, strict=True):
                ranges.add(column)
            for name, ranges in seen.items():
                for block in _blocks(file[f"signals/{name}"]):
                    if left[name] <= 0:
                        break
                    ranges.add(block)
                    left[name] -= block.size
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise _damaged(Path(file.filename), error) from error
    lines = ["  parameters:"]
    for p, ranges in zip(table, parameters, strict=True):
        lines.append(f"    {p['name']}: {ranges.words(p['unit'])} (range {p['low']:g} to {p['high']:g}, {p['scale']})")
    lines.append("  signals:")
    for name, signal in signals.items():
        first, rest = signal.shape[0], "".join(f" × {n}" for n in signal.shape[1:])
        some = f" (of the first {seen[name].n // int(np.prod(signal.shape))} simulations)" if left[name] <= 0 else ""
        lines.append(
            f"    {name}: {first}{rest} samples, every {signal.dt_ms:g} ms from {signal.t0_ms:g} ms: "
            f"{seen[name].words(signal.unit)}{some}"
        )
        if signal.channels:
            lines.append(f"      channels {short(list(signal.channels))}")
    return lines


def _proposal(file: h5py.File) -> list[str]:
    spec, theta = json.loads(text(file.attrs, "spec")), file["theta"]
    said = json.loads(text(file.attrs, "proposal")) if "proposal" in file.attrs else {}
    of = [f"{key} {spec[key]}" for key in ("by", "dataset", "objective", "study") if isinstance(spec.get(key), str)]
    lines = [f"  {len(theta)} rows of {theta.shape[1]} parameters" + (f": {', '.join(of)}" if of else "")]
    lines += [f"  {short(said)}"] if said else []
    for column in range(theta.shape[1]):
        ranges = Ranges()
        ranges.add(theta[:, column])
        lines.append(f"    parameter {column + 1}: {ranges}")
    return lines + _origin(file)


def _statuses(counts: dict[str, int]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in STATUS_NAMES.values() if counts.get(name))


def _numbers(data: h5py.Dataset) -> str:
    """The range of an array of numbers, of its first values where it is large."""
    if data.dtype.kind not in "iufb" or not data.size or data.shape is None:
        return ""
    ranges, seen = Ranges(), 0
    if not data.shape:
        return f": {data[()]:.6g}"
    for block in _blocks(data):
        ranges.add(block)
        seen += block.size
        if seen >= LOOKED_AT:
            break
    return f": {ranges}" + (" (of its first values)" if seen < data.size else "")


def _arrays(file: h5py.File) -> list[str]:
    return [
        f"  {name}: {_shape(data)}{_numbers(data)}" for name, data in file.items() if isinstance(data, h5py.Dataset)
    ]


def _shape(data: h5py.Dataset) -> str:
    shape = " × ".join(map(str, data.shape)) if data.shape else "one value"
    return f"{shape} {'text' if data.dtype.kind in 'OS' else data.dtype}"


def _tree(file: h5py.File) -> list[str]:
    """Groups, arrays and links with their attributes."""
    lines = _attributes(file, "  ")
    items = list(_walk(file, ""))
    for name, item, link in items[:ITEMS]:
        if item is None:
            lines.append(f"  {name}: {link}")
        elif isinstance(item, h5py.Dataset):
            lines.append(f"  {name}: {_shape(item)}{_numbers(item)}")
        else:
            lines.append(f"  {name}/")
        lines += _attributes(item, "    ") if item is not None else []
    lines += ["  and more"] if len(items) > ITEMS else []
    arrays = [
        name for name, item, _ in items if isinstance(item, h5py.Dataset) and item.shape and item.dtype.kind in "iuf"
    ]
    if arrays:
        longest = max(arrays, key=lambda name: file[name].size)
        lines.append(f"  to read an array as traces: neuroinverse predict ... --dataset {shlex.quote(longest)}")
    return lines


def _walk(group: h5py.Group, where: str) -> Iterator[tuple[str, object, str]]:
    """Items below a group: name, the item or None where it cannot be followed, and where its link goes."""
    count = 0
    for key in group:
        name, link = f"{where}/{key}", group.get(key, getlink=True)
        if not isinstance(link, h5py.HardLink):
            target = f"{getattr(link, 'filename', '')}:{link.path}".lstrip(":")
            yield (
                name,
                None,
                f"a link to {target}" + ("" if key in group and group.get(key) else ", which is not there"),
            )
            continue
        item = group[key]
        yield name, item, ""
        count += 1
        # an item may hold itself: names are not followed for ever
        if isinstance(item, h5py.Group) and name.count("/") < 12 and count <= ITEMS:
            yield from _walk(item, name)


def _attributes(item, indent: str) -> list[str]:
    lines = []
    for key in list(item.attrs)[:ATTRIBUTES]:
        try:
            value = item.attrs[key]
        except (OSError, TypeError, ValueError):
            # of a type that h5py does not read
            lines.append(f"{indent}{key} = ?")
            continue
        value = value.decode(errors="replace") if isinstance(value, bytes) else value
        value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        lines.append(
            f"{indent}{key} = {short(value if isinstance(value, str | int | float | list) else str(value), 80)}"
        )
    more = len(item.attrs) - ATTRIBUTES
    return lines + ([f"{indent}and {more} more attributes"] if more > 0 else [])
