"""Files that are either whole or absent."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuroinverse.errors import StorageError

# the clone that the package runs from, where studies and results are; None of a copy that was installed elsewhere
_ROOT = Path(__file__).parents[3]
CLONE = _ROOT if (_ROOT / "Snakefile").is_file() else None


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Gives a temporary path beside `path`; renames it when the block ends well, removes it when it does not.

    A killed process leaves at most a hidden temporary file, never one that looks whole.

    Args:
        path: The final file. Its folder is made if it is missing.

    Raises:
        StorageError: If the disk, or the quota on it, is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=f".{path.name}", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    # mkstemp makes private files; results are shared like any other file
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(f"{path}: the disk is full. Free some space and run again; nothing is lost") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def require_space(path: Path | str, needed_bytes: int) -> None:
    """Refuses work whose output cannot fit, before it begins.

    Args:
        path: The file to be written.
        needed_bytes: Its size.

    Raises:
        StorageError: If the file system has less room than that.
    """
    folder = Path(path).resolve().parent
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise StorageError(
            f"{path}: needs {needed_bytes / 1e6:.1f} MB and its disk has {free / 1e6:.1f} MB free. "
            "Free some space, or link results/ to a larger disk, and run again; nothing is lost"
        )
