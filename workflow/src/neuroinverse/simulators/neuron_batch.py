"""Many point cells in one NEURON process and one run.

A batch shares the fixed-step loop, which runs in compiled code (`psolve`), and one played stimulus: the overhead per
step, which dominates one-compartment cells, is paid once per batch. Cells are not coupled and no mechanism uses a
look-up table, so that a trace is the same to the bit in any batch.
"""

import functools
import hashlib
import importlib.util
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import numpy as np

from neuroinverse.errors import ConfigError
from neuroinverse.simulators.neuron_messages import cause, listening


def hoc(library: Path):
    """NEURON's interpreter with the compiled mechanisms loaded.

    Args:
        library: The shared library that `compile_mechanisms` made.

    Raises:
        ConfigError: If the library is missing, or NEURON does not take it.
    """
    if library is None or not Path(library).is_file():
        raise ConfigError(f"{library}: no compiled mechanisms there; make them with: neuroinverse compile_mechanisms")
    h = interpreter()
    problem = _load_once(h, Path(library).resolve())
    if problem:
        raise ConfigError(problem)
    return h


def _load_once(h, path: Path) -> str:
    # one that was compiled anew is another: NEURON refuses its names, and the old one would go on unseen
    key = path, _content(path, path.stat().st_mtime_ns)
    if key not in _loaded:
        _loaded[key] = _load(h, str(path))
    return _loaded[key]


@functools.lru_cache(64)
def _content(path: Path, changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _load(h, path: str) -> str:
    """Loads a library; returns what went wrong."""
    failed = None
    with listening() as printed:
        try:
            # as bytes: of text NEURON takes ASCII alone
            done = h.nrn_load_dll(os.fsencode(path))
        except RuntimeError as error:
            done, failed = 0, error
    if done:
        return ""
    why = cause(printed, failed)
    taken = re.search(r"name already exists: (\w+)", why)
    cure = (
        f"rename SUFFIX or POINT_PROCESS {taken[1]} in its MOD file, or, if another library of this process has it, "
        "simulate in a new process"
        if taken
        else "remove the file, which makes it anew, with the NEURON that is installed now"
    )
    return f"{path}: NEURON cannot load these compiled mechanisms: {why}; {cure}"


def load_packaged(h, package: str) -> None:
    """Loads the mechanisms of a Python package whose folder has letters beyond ASCII: the package itself cannot.

    Args:
        h: NEURON's interpreter.
        package: Name by which it is installed or imported.
    """
    found = importlib.util.find_spec(package.replace("-", "_"))
    if found is None or found.origin is None or found.origin.isascii():
        return
    for library in sorted(Path(found.origin).parent.rglob("libnrnmech.so"))[:1]:
        _load_once(h, library)


def interpreter():
    """NEURON's interpreter as it comes."""
    os.environ.setdefault("NEURON_MODULE_OPTIONS", "-nogui")
    # on import NEURON loads whatever x86_64/ stands in the working directory: give it an empty one
    with tempfile.TemporaryDirectory() as empty, chdir(empty):
        from neuron import h
    return h


# libraries, with what went wrong: NEURON loads none a second time
_loaded: dict[tuple[Path, str], str] = {}


def run_batch(
    h,
    make_cell: Callable[[int], tuple],
    n_cells: int,
    stimulus: np.ndarray,
    stimulus_reference: str,
    dt_ms: float,
    v_init: float,
    celsius: float,
    window: slice,
) -> np.ndarray:
    """Runs uncoupled cells together and records one variable of each.

    Args:
        h: NEURON's interpreter.
        make_cell: Called with 0 … n_cells − 1; returns (objects to keep alive, reference to the recorded variable).
        n_cells: Size of the batch.
        stimulus: Waveform in the mechanism's unit, shape (n_steps,); linear between samples.
        stimulus_reference: Global variable that carries it, such as "density_shared_current".
        dt_ms: Time step (ms).
        v_init: Initial membrane potential (mV).
        celsius: Temperature (degC).
        window: Samples that are kept.

    Returns:
        Recorded variable, float32, shape (n_cells, window).
    """
    h.celsius = celsius
    h.CVode().active(False)
    h.dt = dt_ms
    cells, vectors = [], []
    for i in range(n_cells):
        cell, reference = make_cell(i)
        cells.append(cell)
        # without an interval NEURON samples at every step: no event per cell and step
        vectors.append(h.Vector().record(reference))
    amplitude = h.Vector(stimulus)
    times = h.Vector(np.arange(len(stimulus)) * dt_ms)
    # "continuous" playing is linear between samples and set twice a step: currents see the middle of the
    # step, states its end
    amplitude.play(getattr(h, f"_ref_{stimulus_reference}"), times, True)
    solver = h.ParallelContext()
    solver.set_maxstep(10)
    h.finitialize(v_init)
    solver.psolve((window.stop - 1) * dt_ms)
    result = np.empty((n_cells, window.stop - window.start), dtype=np.float32)
    for i, vector in enumerate(vectors):
        result[i] = vector.as_numpy()[window]
    return result
