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


def run(output: Path, source: Path = MECHANISMS) -> None:
    """Compiles every MOD file of a folder.

    Args:
        output: The shared library.
        source: Folder of MOD files.

    Raises:
        NeuroinverseError: If nrnivmodl or a compiler is missing or fails; the message holds what it printed.
    """
    files = sorted(source.glob("*.mod"))
    if not files:
        raise NeuroinverseError(f"{source}: no MOD files there")
    compiler = Path(sys.executable).with_name("nrnivmodl")
    if not compiler.is_file():
        raise NeuroinverseError(
            f"{compiler} does not exist: NEURON is not installed beside {sys.executable}; run make setup"
        )
    with tempfile.TemporaryDirectory() as build:
        for file in files:
            shutil.copy(file, build)
        done = subprocess.run([compiler, "."], cwd=build, capture_output=True, text=True)
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        made = list(Path(build, platform.machine()).glob("**/libnrnmech.*"))
        # nrnivmodl has returned 0 after a failed translation: the library is the proof
        if done.returncode or not made:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
            raise NeuroinverseError(f"nrnivmodl failed on {source} (exit status {done.returncode}):\n{tail}")
        with atomic(output) as temporary:
            shutil.copy(made[0], temporary)
