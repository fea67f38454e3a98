import os
from pathlib import Path

import pytest

# before TensorFlow or NEURON is imported by any test
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("NEURON_MODULE_OPTIONS", "-nogui")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path:
    """The compiled mechanisms, made once per session.

    NEURON loads them into the test process for good: simulate in a subprocess only what needs a process of its own.
    """
    from neuroinverse.stages import compile_mechanisms

    path = tmp_path_factory.mktemp("mechanisms") / "libnrnmech.so"
    compile_mechanisms.run(path)
    return path
