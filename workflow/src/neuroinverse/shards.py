"""The file format: shards of simulations and the dataset that joins them. It lives here and nowhere else.

A shard holds /theta (n, K) float64 in physical units, /signals/<name> (n, time[, channel]) float32, /status (n) uint8
and /index (n) int64, chunked by simulations, with Fletcher32 on every dataset and the checksummed headers of HDF5 1.8.
Root attributes: format, study, dataset, spec (JSON), provenance (JSON), seconds_core, and content_sha256 over all
arrays.
Text has a fixed length: HDF5 keeps variable-length text in a heap without a checksum, and one altered byte there goes
unnoticed or makes the HDF5 library loop for ever.
A dataset file joins shards by virtual datasets (HDF5 1.10); it keeps their names and content sums, and nothing is
copied. Where a shard cannot be opened, HDF5 gives fill values without an error: they are no values of a simulation.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import h5py
import numpy as np

from neuroinverse.errors import ShardError
from neuroinverse.files import atomic, require_space
from neuroinverse.hdf5 import fixed, new_file, text
from neuroinverse.parameters import ParameterSpace
from neuroinverse.provenance import canonical, collect, differences
from neuroinverse.simulators.base import Signal

FORMAT = "neuroinverse-shard-1"
OK, NOT_FINITE, RAISED, SILENT = 0, 1, 2, 3
STATUS_NAMES = {OK: "ok", NOT_FINITE: "not finite", RAISED: "raised an error", SILENT: "silent"}
# what other tools find in a dataset file in the rows of a shard that cannot be opened: NaN, and these
LOST_STATUS, LOST_INDEX = 255, -1
CHUNK_BYTES = 1 << 20
AGAIN = "It is put aside; run the same target again to simulate it anew"


def write_shard(
    path: Path,
    spec: dict,
    theta: np.ndarray,
    signals: Sequence[Signal],
    blocks: Iterable[tuple[int, dict[str, np.ndarray], np.ndarray]],
    seconds_core,
) -> dict[str, int]:
    """Writes a shard block by block; the file appears under its name only when it is whole.

    Args:
        path: The shard.
        spec: Its specification: `simulation`, `start`, `stop`.
        theta: Physical parameters, shape (n, K).
        signals: The simulator's outputs.
        blocks: (offset, arrays by signal name, status) for consecutive blocks.
        seconds_core: Called at the end, gives the core seconds the simulations took.

    Returns:
        Number of simulations by status name.

    Raises:
        StorageError: If the disk is too small or full.
    """
    n = len(theta)
    bytes_needed = sum(4 * n * int(np.prod(s.shape)) for s in signals) + theta.nbytes + 9 * n + (64 << 10)
    require_space(path, bytes_needed)
    counts = dict.fromkeys(STATUS_NAMES.values(), 0)
    with atomic(path) as temporary, new_file(temporary) as (file, sink):
        arrays = _create(file, spec, theta, signals)
        for offset, values, status in blocks:
            rows = slice(offset, offset + len(status))
            arrays["status"][rows] = status
            for signal in signals:
                arrays[signal.name][rows] = values[signal.name]
            for code, name in STATUS_NAMES.items():
                counts[name] += int((status == code).sum())
            sink.check()
        file.flush()
        sink.check()
        file.attrs["seconds_core"] = float(seconds_core())
        file.attrs["content_sha256"] = fixed(_content_sum(file))
    return counts


def _create(file: h5py.File, spec: dict, theta: np.ndarray, signals: Sequence[Signal]) -> dict[str, h5py.Dataset]:
    simulation, n = spec["simulation"], len(theta)
    file.attrs["format"] = fixed(FORMAT)
    file.attrs["study"] = fixed(simulation["study"])
    file.attrs["dataset"] = fixed(simulation["dataset"])
    file.attrs["spec"] = fixed(canonical(spec))
    file.attrs["provenance"] = fixed(json.dumps(collect(spec)))
    _describe(file.create_dataset("theta", data=theta, chunks=theta.shape, fletcher32=True), simulation)
    index = np.arange(spec["start"], spec["stop"], dtype=np.int64)
    file.create_dataset("index", data=index, chunks=index.shape, fletcher32=True)
    arrays = {"status": file.create_dataset("status", (n,), np.uint8, chunks=(n,), fletcher32=True)}
    for signal in signals:
        per_simulation = 4 * int(np.prod(signal.shape))
        chunk = (max(1, min(n, CHUNK_BYTES // per_simulation)), *signal.shape)
        data = file.create_dataset(
            f"signals/{signal.name}", (n, *signal.shape), np.float32, chunks=chunk, fletcher32=True
        )
        _describe_signal(data, signal)
        arrays[signal.name] = data
    return arrays


def _describe(theta: h5py.Dataset, simulation: dict) -> None:
    table = simulation["parameters"]
    theta.attrs["names"] = fixed([p["name"] for p in table])
    theta.attrs["units"] = fixed([p["unit"] for p in table])
    theta.attrs["low"] = [p["low"] for p in table]
    theta.attrs["high"] = [p["high"] for p in table]
    theta.attrs["scale"] = fixed([p["scale"] for p in table])


def _describe_signal(data: h5py.Dataset, signal: Signal) -> None:
    data.attrs["unit"] = fixed(signal.unit)
    data.attrs["dt_ms"] = signal.dt_ms
    data.attrs["t0_ms"] = signal.t0_ms
    if signal.may_be_nan:
        data.attrs["may_be_nan"] = True
    if signal.channels:
        data.attrs["channels"] = fixed(list(signal.channels))


def read_signals(file: h5py.File) -> dict[str, Signal]:
    """The signals of a shard, or of a file that joins shards, by name."""
    return {
        name: Signal(
            name,
            text(d.attrs, "unit"),
            float(d.attrs["dt_ms"]),
            d.shape[1:],
            float(d.attrs["t0_ms"]),
            bool(d.attrs.get("may_be_nan", False)),
            tuple(c.decode() for c in d.attrs.get("channels", ())),
        )
        for name, d in file["signals"].items()
    }


def _content_sum(file: h5py.File) -> str:
    """SHA-256 over all arrays, read in chunks of simulations."""
    total = hashlib.sha256()
    for name in ["theta", "index", "status", *(f"signals/{s}" for s in sorted(file["signals"]))]:
        data = file[name]
        rows = data.chunks[0]
        for start in range(0, len(data), rows):
            total.update(np.ascontiguousarray(data[start : start + rows]).tobytes())
    return total.hexdigest()


def verify_shard(path: Path, spec: dict | None = None) -> dict:
    """Reads a shard from end to end and compares it with its sums and its specification.

    Args:
        path: The shard.
        spec: What it should hold; not compared when None.

    Returns:
        Its root attributes, with `status_counts` and `signals` added.

    Raises:
        ShardError: If it is missing, truncated, altered or of something else.
    """
    with _open(path) as file:
        try:
            attributes = {k: text(file.attrs, k) if k != "seconds_core" else float(v) for k, v in file.attrs.items()}
            if attributes.get("format") != FORMAT:
                raise ShardError(path, f"is no shard of format {FORMAT}", AGAIN)
            found = json.loads(attributes["spec"])
            if spec is not None and canonical(found) != canonical(spec):
                raise ShardError(path, f"is a shard of something else: {_difference(found, spec)}", AGAIN)
            if _content_sum(file) != attributes["content_sha256"]:
                raise ShardError(path, "its contents do not match its SHA-256 sum: it was altered", AGAIN)
            status = file["status"][:]
            # what HDF5's index of chunks holds beside their places has no checksum and is not met by reading
            file.visit(lambda name: None)
            attributes["signals"] = read_signals(file)
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise ShardError(path, f"is truncated or altered ({error})", AGAIN) from error
    attributes["status_counts"] = {name: int((status == code).sum()) for code, name in STATUS_NAMES.items()}
    return attributes


def _open(path: Path) -> h5py.File:
    if not Path(path).is_file():
        raise ShardError(path, "does not exist", "Run the same target again to make it")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ShardError(path, f"cannot be opened as HDF5: it is truncated or altered ({error})", AGAIN) from error


def _difference(found: dict, expected: dict) -> str:
    """First key in which two specifications differ, in words."""
    for place, a, b in differences(found, expected):
        return f"{place} is {a!r}, expected {b!r}"
    return "no difference"


def put_aside(path: Path) -> None:
    """Moves a refused shard to <name>.refused, and removes the dataset files that join it, so that it is made anew."""
    path = Path(path)
    if path.is_file():
        path.replace(path.with_suffix(".refused"))
    folder = path.parent.parent.parent / "dataset"
    for joined in (*folder.glob(f"{path.parent.name}.h5"), *folder.glob(f"{path.parent.name}@*.h5")):
        joined.unlink()


def join_shards(path: Path, spec: dict, shards: Sequence[Path]) -> dict[str, int]:
    """Verifies every shard and joins them in a dataset file of virtual datasets.

    Args:
        path: The dataset file.
        spec: Specification of the dataset: `simulation`, `n`, `shard_size`.
        shards: The shards in order.

    Returns:
        Number of simulations by status name.

    Raises:
        ShardError: If a shard is refused.
    """
    n, size = spec["n"], spec["shard_size"]
    counts = dict.fromkeys(STATUS_NAMES.values(), 0)
    sums, seconds, signals = [], 0.0, {}
    for i, shard in enumerate(shards):
        expected = {"simulation": spec["simulation"], "start": i * size, "stop": min((i + 1) * size, n)}
        attributes = verify_shard(shard, expected)
        sums.append(attributes["content_sha256"])
        seconds += attributes["seconds_core"]
        signals = attributes["signals"]
        for name, count in attributes["status_counts"].items():
            counts[name] += count
    folder = Path(path).resolve().parent
    relative = [os.path.relpath(Path(s).resolve(), folder) for s in shards]
    n_parameters = len(spec["simulation"]["parameters"])
    layout = {"theta": ((n_parameters,), np.float64, np.nan)}
    layout |= {"index": ((), np.int64, LOST_INDEX), "status": ((), np.uint8, LOST_STATUS)}
    layout |= {f"signals/{s.name}": (s.shape, np.float32, np.nan) for s in signals.values()}
    with atomic(path) as temporary, new_file(temporary, "v110") as (file, _):
        file.attrs["format"] = fixed(FORMAT.replace("shard", "dataset"))
        file.attrs["study"] = fixed(spec["simulation"]["study"])
        file.attrs["dataset"] = fixed(spec["simulation"]["dataset"])
        file.attrs["spec"] = fixed(canonical(spec))
        file.attrs["provenance"] = fixed(json.dumps(collect(spec)))
        file.attrs["seconds_core"] = seconds
        file.attrs["status_counts"] = fixed(json.dumps(counts))
        # thousands of names exceed what an attribute may hold
        for name, texts in (("path", relative), ("content_sha256", sums)):
            file.create_dataset(f"shards/{name}", data=fixed(texts), chunks=(len(texts),), fletcher32=True)
        for name, (shape, dtype, lost) in layout.items():
            virtual = h5py.VirtualLayout((n, *shape), dtype)
            for i, shard in enumerate(relative):
                rows = min((i + 1) * size, n) - i * size
                virtual[i * size : i * size + rows] = h5py.VirtualSource(shard, name, (rows, *shape), dtype)
            file.create_virtual_dataset(name, virtual, fillvalue=lost)
        _describe(file["theta"], spec["simulation"])
        for signal in signals.values():
            _describe_signal(file[f"signals/{signal.name}"], signal)
    return counts


def is_dataset(path: Path) -> bool:
    """Whether a file is one that `join_shards` wrote."""
    if not h5py.is_hdf5(path):
        return False
    with _open(path) as file:
        return "shards" in file and "format" in file.attrs


class Dataset:
    """A joined dataset, read block by block.

    Rows are read from the shards themselves and not through the virtual datasets: HDF5 gives fill values, without an
    error, where a virtual dataset's source is missing.

    Args:
        path: The dataset file that `join_shards` wrote.

    Raises:
        ShardError: If it, or later one of its shards, is missing or damaged.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        with _open(self.path) as file:
            try:
                self.spec = json.loads(text(file.attrs, "spec"))
                self.provenance = json.loads(text(file.attrs, "provenance"))
                self.seconds_core = float(file.attrs["seconds_core"])
                self.status_counts = json.loads(text(file.attrs, "status_counts"))
                self.shards = [self.path.parent / p for p in file["shards/path"].asstr()[:]]
                self._sums = list(file["shards/content_sha256"].asstr()[:])
            except (OSError, KeyError, RuntimeError, ValueError) as error:
                raise ShardError(self.path, f"is no dataset file ({error})", "Remove it and run again") from error
        with _open(self.shards[0]) as file:
            try:
                self.signals = read_signals(file)
            except (OSError, KeyError, RuntimeError, ValueError) as error:
                raise ShardError(self.shards[0], f"is truncated or altered ({error})", AGAIN) from error
        self.n = self.spec["n"]
        self.shard_size = self.spec["shard_size"]
        self.parameters = ParameterSpace.from_table(self.spec["simulation"]["parameters"])

    @property
    def n_failed(self) -> int:
        """Simulations whose status is neither ok nor silent."""
        return self.n - self.status_counts[STATUS_NAMES[OK]] - self.n_silent

    @property
    def n_silent(self) -> int:
        """Networks in which nothing spiked."""
        # files of before there were networks do not count them
        return self.status_counts.get(STATUS_NAMES[SILENT], 0)

    @property
    def stimulus(self) -> np.ndarray | None:
        """The stimulus over the stored window, in the simulator's unit, shape (time,); None where there is none."""
        from neuroinverse.simulators import make_simulator

        simulator = make_simulator(self.spec["simulation"])
        stimulus = simulator.stimulus()
        return None if stimulus is None else stimulus[simulator.window]

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows start to stop of theta, index, status, or signals/<name>.

        Raises:
            ShardError: If a shard in the range is missing, damaged, or not the one that was joined.
        """
        parts = []
        for shard in range(start // self.shard_size, (stop - 1) // self.shard_size + 1):
            first = shard * self.shard_size
            path = self.shards[shard]
            with _open(path) as file:
                try:
                    same = text(file.attrs, "content_sha256") == self._sums[shard]
                    part = file[name][max(start - first, 0) : min(stop - first, self.shard_size)]
                except (OSError, KeyError, RuntimeError) as error:
                    raise ShardError(path, f"is truncated or altered ({error})", AGAIN) from error
            if not same:
                raise ShardError(path, "is not the shard that was joined", f"Remove {self.path} and run again")
            parts.append(part)
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def theta(self, start: int, stop: int, names: Sequence[str] | None = None) -> np.ndarray:
        """Physical parameters, all or those named, shape (stop − start, K)."""
        columns = [self.parameters.names.index(name) for name in names or self.parameters.names]
        return self.read("theta", start, stop)[:, columns]

    def index(self, start: int, stop: int) -> np.ndarray:
        """Indices of the simulations, shape (stop − start,)."""
        return self.read("index", start, stop)

    def status(self, start: int, stop: int) -> np.ndarray:
        """Status of the simulations, shape (stop − start,); see STATUS_NAMES."""
        return self.read("status", start, stop)

    def signal(self, name: str, start: int, stop: int) -> np.ndarray:
        """A signal, float32, shape (stop − start, time[, channel])."""
        return self.read(f"signals/{name}", start, stop)
