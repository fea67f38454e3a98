"""What tests of all kinds share: the compiled mechanisms, kernels, and one smoke run of every study.

Several processes may run them (`make test` takes two): what is shared is made once for all of them.
"""

import atexit
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from running import Folder, make_folder

if sys.dont_write_bytecode:
    # all processes share it in a temporary folder: they are many, and compiling TensorFlow's sources takes longer than
    # any of them
    BYTECODE = tempfile.mkdtemp(prefix="bytecode-")
    atexit.register(shutil.rmtree, BYTECODE, ignore_errors=True)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = BYTECODE
    sys.dont_write_bytecode = False
# before TensorFlow or NEURON is imported by any test
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("NEURON_MODULE_OPTIONS", "-nogui")


def pytest_collection_modifyitems(items):
    """The longest first, so that no process waits for another at the end."""
    order = ("slurm", "workflow", "reference")
    items.sort(key=lambda item: order.index(item.path.parent.name) if item.path.parent.name in order else len(order))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Gives files whole to the next free process, and Slurm, of which there is one, to one of them."""
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return "tests/slurm" if file.startswith("tests/slurm/") else file

    return Files(config, log)


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Gives a folder by its name, filled by the first process that asks; the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def give(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = base / name, base / f"{name}.done"
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return give


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def kernel(once):
    """Gives the kernel of a study, made once per session; None where its simulator needs none."""
    from neuroinverse.provenance import digest
    from neuroinverse.stages import compute_kernel

    def make(study) -> Path | None:
        if not study.needs_kernel:
            return None
        spec = study.kernel_spec()
        return (
            once(f"kernel-{digest(spec)}", lambda folder: compute_kernel.run(spec, folder / "kernel.h5")) / "kernel.h5"
        )

    return make


@pytest.fixture(scope="session")
def library(once) -> Path:
    """The compiled mechanisms, made once per session.

    NEURON loads them into the test process for good: simulate in a subprocess only what needs a process of its own.
    """
    from neuroinverse.stages import compile_mechanisms

    folder = once("mechanisms", lambda folder: compile_mechanisms.run(folder / "libnrnmech.so"))
    return folder / "libnrnmech.so"


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Environment of subprocesses, in which TensorFlow's own remarks do not stand among ours."""
    return os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}


@pytest.fixture(scope="session")
def smoke(once, environment) -> tuple[Folder, str]:
    """The finished smoke run of every study, not to be changed, and what Snakemake printed."""
    threads = [f"{rule}=1" for rule in ("check_simulator", "simulate_shard", "train_fold", "ensemble_folds")]

    def make(path: Path) -> None:
        folder = make_folder(path / "run", environment)
        (path / "printed.txt").write_text(folder.snakemake("all", "--set-threads", *threads))

    path = once("smoke", make)
    return Folder(path / "run", environment), (path / "printed.txt").read_text()
