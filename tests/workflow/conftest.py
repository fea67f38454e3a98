"""Copies of the smoke run in which a test may break things."""

import shutil

import pytest
from running import Folder, make_folder


@pytest.fixture
def finished(smoke, tmp_path) -> Folder:
    """A copy of the finished smoke run, with Snakemake's records, to be changed at will."""
    shutil.copytree(smoke[0].path, tmp_path / "run", symlinks=True)
    return Folder(tmp_path / "run", smoke[0].environment)


@pytest.fixture
def fresh(environment, tmp_path) -> Folder:
    """A folder in which nothing has run yet."""
    return make_folder(tmp_path / "run", environment)
