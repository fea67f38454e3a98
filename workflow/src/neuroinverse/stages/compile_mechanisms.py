"""compile_mechanisms: MOD files to the shared library that NEURON loads."""

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuroinverse.errors import NeuroinverseError
from neuroinverse.files import atomic
from neuroinverse.simulators import MECHANISMS


def run(output: Path, sources: list[Path] | None = None, spec: dict | None = None) -> None:
    """Compiles MOD files.

    Args:
        output: The shared library.
        sources: MOD files; all of the package when None.
        spec: Specification of the step: it decides when the step runs, and changes nothing here.

    Raises:
        NeuroinverseError: If nrnivmodl or a compiler is missing or fails; the message holds what it printed.
    """
    files = sources or sorted(MECHANISMS.glob("*.mod"))
    compiler = Path(sys.executable).with_name("nrnivmodl")
    if not compiler.is_file():
        raise NeuroinverseError(
            f"{compiler} does not exist: NEURON is not installed beside {sys.executable}; run make setup"
        )
    by_name = dict(zip(_names(files), files, strict=True))
    with tempfile.TemporaryDirectory(dir=plain_folder()) as build, _environment() as environment:
        for name, file in by_name.items():
            if not file.is_file():
                raise NeuroinverseError(f"{file} does not exist")
            shutil.copy(file, Path(build, name))
        # by the interpreter: the first line of a script cannot hold a space
        command = [sys.executable, compiler, "."]
        done = subprocess.run(command, cwd=build, env=environment, capture_output=True, text=True, errors="replace")
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        made = list(Path(build, platform.machine()).glob("**/libnrnmech.*"))
        # nrnivmodl has returned 0 after a failed translation: the library is the proof
        if done.returncode or not made:
            names = ", ".join(f.name for f in files)
            # what follows is about nrnivmodl's own wrapper
            printed = (done.stdout + done.stderr).partition("Traceback (most recent call last)")[0]
            tail = "\n".join(printed.splitlines()[-15:])
            raise NeuroinverseError(
                f"nrnivmodl failed on {names} (exit status {done.returncode}):\n{tail}\n{_cause(printed, by_name)}"
            )
        with atomic(output) as temporary:
            shutil.copy(made[0], temporary)


def _cause(printed: str, by_name: dict[str, Path]) -> str:
    """The first complaint of NEURON's translator or the C compiler in one line, with the user's file."""
    translated = re.search(r"(?m)^\s*(?:Error: )?(\S.*) at line (\d+) in file (\S+)", printed)
    compiled = re.search(r"(?m)([^\s/:]+)\.c(?:pp)?:\d+:\d+: (?:fatal )?error: (.*)$", printed)
    if translated:
        place, words = f"{by_name.get(translated[3], translated[3])}, line {translated[2]}", translated[1]
    elif compiled:
        place, words = str(by_name.get(f"{compiled[1]}.mod", f"{compiled[1]}.mod")), compiled[2]
    else:
        return "The MOD files could not be compiled: the reason stands above"
    return f"{place}: {words}; correct the file, or leave it out"


def _names(files: list[Path]) -> list[str]:
    """What the files are called while they are compiled: nrnivmodl makes identifiers of C of the names."""
    names: list[str] = []
    for file in files:
        stem = re.sub(r"\W", "_", file.stem, flags=re.ASCII) if file.suffix == ".mod" else file.stem
        while f"{stem}{file.suffix}" in names:
            stem += "_"
        names.append(f"{stem}{file.suffix}")
    return names


def plain_folder() -> str:
    """A folder for temporary files whose path nrnivmodl takes.

    Raises:
        NeuroinverseError: If there is none.
    """
    folders = [tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]
    for folder in folders:
        if is_plain(folder) and os.access(folder, os.W_OK):
            return folder
    raise NeuroinverseError(
        f"nrnivmodl needs a folder for temporary files without spaces and letters beyond ASCII in its path, and none "
        f"of {', '.join(folders)} is one that can be written to; set TMPDIR to such a folder"
    )


def is_plain(path: str | Path) -> bool:
    """Whether nrnivmodl, which quotes no paths, takes this one."""
    return re.fullmatch(r"[\w./+@%,=-]+", str(path), re.ASCII) is not None


@contextmanager
def _environment() -> Iterator[dict[str, str]]:
    """Environment for nrnivmodl: it finds NEURON's own files through a link where their path has other letters."""
    environment = dict(os.environ)
    package = Path(importlib.util.find_spec("neuron").origin).parent
    if is_plain(package):
        yield environment
        return
    with tempfile.TemporaryDirectory(dir=plain_folder()) as links:
        Path(links, package.name).symlink_to(package)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (links, environment.get("PYTHONPATH"))))
        yield environment
