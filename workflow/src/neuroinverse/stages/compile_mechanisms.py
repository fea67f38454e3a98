"""compile_mechanisms: MOD files to the shared library that NEURON loads."""

import platform
import shutil
import subprocess
import sys
import tempfile
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
    with tempfile.TemporaryDirectory() as build:
        for file in files:
            if not file.is_file():
                raise NeuroinverseError(f"{file} does not exist")
            shutil.copy(file, build)
        done = subprocess.run([compiler, "."], cwd=build, capture_output=True, text=True)
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        made = list(Path(build, platform.machine()).glob("**/libnrnmech.*"))
        # nrnivmodl has returned 0 after a failed translation: the library is the proof
        if done.returncode or not made:
            names = ", ".join(f.name for f in files)
            # what follows is about nrnivmodl's own wrapper
            printed = (done.stdout + done.stderr).partition("Traceback (most recent call last)")[0]
            tail = "\n".join(printed.splitlines()[-15:])
            raise NeuroinverseError(f"nrnivmodl failed on {names} (exit status {done.returncode}):\n{tail}")
        with atomic(output) as temporary:
            shutil.copy(made[0], temporary)
