"""HDF5 where it needs care: errors of a full disk, and text within its checksums."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np


class Sink(io.FileIO):
    """A file for HDF5 to write to, which keeps the first error of the system instead of raising it.

    HDF5 cannot close a file after a failed write, and the process crashes when h5py frees what was open in it. So HDF5
    sees no error, and whoever writes asks `check`.
    """

    error: OSError | None = None

    def write(self, data) -> int:
        left = memoryview(data).cast("B")
        try:
            while self.error is None and len(left):
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
        return memoryview(data).nbytes

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def check(self) -> None:
        """Raises the error that was kept, if there is one."""
        if self.error is not None:
            raise self.error


@contextmanager
def new_file(path: Path, readable_by: str = "v108") -> Iterator[tuple[h5py.File, Sink]]:
    """An empty HDF5 file to fill. Errors of the system come from `check` and at the end, as OSError.

    Args:
        path: The file.
        readable_by: The oldest HDF5 that is to read it, as h5py names it: 1.8, or 1.10, which virtual datasets need.
            HDF5's own latest format is that of its last release, and older ones do not read it.
    """
    with Sink(path, "w+") as sink:
        # not from "earliest": the headers of 1.8 have checksums
        with h5py.File(sink, "w", libver=("v108", readable_by)) as file:
            yield file, sink
        sink.check()


def fixed(text: str | Sequence[str]) -> np.ndarray:
    """Text or texts as UTF-8 of fixed length, which lies within HDF5's checksummed metadata."""
    return np.char.encode(np.array(text, dtype=np.str_), "utf-8")


def text(attributes: h5py.AttributeManager, name: str) -> str:
    """A text attribute, of fixed or of variable length."""
    value = attributes[name]
    return value.decode() if isinstance(value, bytes) else str(value)
