"""What a file or a folder is, in lines for people. Files are read in blocks, and called damaged only when they are."""

import stat
from pathlib import Path

from neuroinverse.errors import NeuroinverseError
from neuroinverse.inspection.ranges import size_words

# files that may well be empty
MAY_BE_EMPTY = (".log", ".gitkeep", ".txt")
CURE = "Remove it and run its target again"


def describe(path: Path) -> list[str]:
    """What a file or folder is: the first line names it, its kind and size; the others say what is in it.

    Raises:
        NeuroinverseError: If there is nothing at the path, it is empty, cannot be read, or is damaged: in one line.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            from neuroinverse.inspection import folders

            kind, lines = folders.describe(path)
            return [f"{_named(path)}: {kind}", *lines]
        if not stat.S_ISREG(mode):
            raise NeuroinverseError(f"{path}: is neither a file nor a folder")
        size = path.stat().st_size
        if not size:
            if path.suffix in MAY_BE_EMPTY or path.name in MAY_BE_EMPTY:
                return [f"{_named(path)}: an empty file: nothing was written to it"]
            raise NeuroinverseError(f"{path}: is empty (0 bytes): nothing was written, or a copy failed. {CURE}")
        kind, lines = _of_file(path)
    except FileNotFoundError:
        if path.is_symlink():
            raise NeuroinverseError(f"{path}: is a link to {path.readlink()}, which does not exist") from None
        raise NeuroinverseError(f"{path}: does not exist") from None
    except OSError as error:
        raise NeuroinverseError(f"{path}: cannot be read: {error.strerror or error}") from error
    return [f"{_named(path)}: {kind} ({size_words(size)})", *lines]


def _named(path: Path) -> str:
    return f"{path} -> {path.readlink()}" if path.is_symlink() else str(path)


def _of_file(path: Path) -> tuple[str, list[str]]:
    """What a file with content is, by its content where that tells, else by its name."""
    from neuroinverse.inspection import hdf5_files, json_files, tables, texts

    with path.open("rb") as file:
        start = file.read(8)
    if start == b"\x89HDF\r\n\x1a\n" or path.suffix in (".h5", ".hdf5", ".hdf", ".nwb", ".refused"):
        return hdf5_files.describe(path)
    if start == b"\x89PNG\r\n\x1a\n" or path.suffix == ".png":
        return texts.describe_png(path)
    if start[:4] == b"PAR1" or path.suffix == ".parquet":
        return tables.describe_parquet(path)
    if start[:6] == b"\x93NUMPY" or path.suffix == ".npy":
        return tables.describe_npy(path)
    if path.suffix == ".keras":
        return texts.describe_keras(path)
    if start[:4] == b"\x7fELF" or path.suffix in (".so", ".dylib"):
        return "a compiled library: mechanisms that NEURON loads, where compile_mechanisms made it", []
    if path.suffix in (".json", ".ipynb"):
        return json_files.describe(path)
    if path.suffix in (".csv", ".tsv"):
        return tables.describe_text(path)
    if path.suffix in (".yaml", ".yml"):
        return texts.describe_yaml(path)
    if path.suffix in (".html", ".htm"):
        return texts.describe_html(path)
    return texts.describe_text(path)
