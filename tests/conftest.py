"""What tests of all kinds share: the compiled mechanisms, and one smoke run of every study."""

import os
import sys
from pathlib import Path

import pytest
from running import Folder, make_folder

# before TensorFlow or NEURON is imported by any test
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("NEURON_MODULE_OPTIONS", "-nogui")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def kernel(tmp_path_factory):
    """Gives the kernel of a study, made once per session; None where its simulator needs none."""
    from neuroinverse.provenance import digest
    from neuroinverse.stages import compute_kernel

    folder = tmp_path_factory.mktemp("kernels")

    def make(study) -> Path | None:
        if not study.needs_kernel:
            return None
        path = folder / f"{digest(study.kernel_spec())}.h5"
        if not path.is_file():
            compute_kernel.run(study.kernel_spec(), path)
        return path

    return make


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path:
    """The compiled mechanisms, made once per session.

    NEURON loads them into the test process for good: simulate in a subprocess only what needs a process of its own.
    """
    from neuroinverse.stages import compile_mechanisms

    path = tmp_path_factory.mktemp("mechanisms") / "libnrnmech.so"
    compile_mechanisms.run(path)
    return path


@pytest.fixture(scope="session")
def environment(tmp_path_factory) -> dict[str, str]:
    """Environment of subprocesses. Where bytecode is not to be written they share it in a temporary folder: they are
    many, and compiling TensorFlow's sources takes longer than any of them."""
    variables = dict(os.environ)
    # TensorFlow's own remarks would stand among ours
    variables["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if sys.dont_write_bytecode:
        variables.pop("PYTHONDONTWRITEBYTECODE", None)
        variables["PYTHONPYCACHEPREFIX"] = str(tmp_path_factory.mktemp("bytecode"))
    return variables


@pytest.fixture(scope="session")
def smoke(tmp_path_factory, environment) -> tuple[Folder, str]:
    """The finished smoke run of every study, not to be changed, and what Snakemake printed."""
    folder = make_folder(tmp_path_factory.mktemp("smoke") / "run", environment)
    threads = [f"{rule}=1" for rule in ("check_simulator", "simulate_shard", "train_fold", "ensemble_folds")]
    return folder, folder.snakemake("all", "--set-threads", *threads)
