"""One smoke run of every study for the whole session, and copies of it in which a test may break things."""

import os
import shutil
import sys

import pytest
from running import Folder, make_folder


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
    threads = [f"{rule}=1" for rule in ("simulate_shard", "train_fold", "ensemble_folds")]
    return folder, folder.snakemake("all", "--set-threads", *threads)


@pytest.fixture
def finished(smoke, tmp_path) -> Folder:
    """A copy of the finished smoke run, with Snakemake's records, to be changed at will."""
    shutil.copytree(smoke[0].path, tmp_path / "run", symlinks=True)
    return Folder(tmp_path / "run", smoke[0].environment)


@pytest.fixture
def fresh(environment, tmp_path) -> Folder:
    """A folder in which nothing has run yet."""
    return make_folder(tmp_path / "run", environment)
