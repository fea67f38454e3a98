"""Runs batches of simulations, in processes of their own: a failure costs only the simulation that failed.

What would meet every simulation alike is no failure of one, and ends the work with its cause.
"""

import multiprocessing
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib.util import source_from_cache
from pathlib import Path

import numpy as np

from neuroinverse import interrupts
from neuroinverse.errors import ConfigError, NeuroinverseError
from neuroinverse.shards import NOT_FINITE, OK, RAISED, SILENT
from neuroinverse.simulators import make_simulator
from neuroinverse.simulators.base import SimulationFailed
from neuroinverse.simulators.contract import check_result
from neuroinverse.simulators.user_module import cause, is_own

# what lies here is of the machine
SYSTEM = ("/usr/", "/etc/", "/proc/", "/sys/", "/dev/", "/lib", "/opt/", "/bin/", "/sbin/", "/var/")
# so many failures of one kind, and nothing else before them, are no chance
ALIKE = 10


def simulate_batch(simulator, theta, seeds) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Runs a batch such that a failure costs only the simulation that failed.

    A batch that raises is halved until the failing simulations stand alone: theirs are NaN. A ConfigError is no failure
    of a simulation but a mistake in the study, such as a cell that cannot be built: it ends the job. So is a result
    that is not what the simulator declares.

    Args:
        simulator: The simulator.
        theta: Physical parameters, shape (batch, K).
        seeds: Seeds, shape (batch,).

    Returns:
        Arrays by signal name, float32, and status, uint8, shape (batch,).
    """
    return run_batch(simulator, theta, seeds)[:2]


def run_batch(simulator, theta, seeds) -> tuple[dict[str, np.ndarray], np.ndarray, list[str | None]]:
    """As `simulate_batch`, and says of each simulation with which error it failed.

    Returns:
        Arrays by signal name; status; errors, None where there is none or the simulator means it (SimulationFailed).
    """
    folder, error = Path.cwd(), None
    try:
        # copies, so that what a simulator does to them stays its own
        values = simulator.simulate(np.array(theta), np.array(seeds))
    except ConfigError:
        # it would meet every simulation alike
        raise
    except BaseException as raised:
        if isinstance(raised, KeyboardInterrupt) and (interrupts.requested() or not interrupts.installed()):
            raise
        error = raised
        if len(theta) == 1:
            return _failed(simulator, theta[0], raised)
    finally:
        os.chdir(folder)
    if error is not None:
        # not inside `except`: a log would show the whole chain of batches for every simulation that failed
        middle = len(theta) // 2
        halves = (slice(middle), slice(middle, None))
        left, right = (run_batch(simulator, theta[half], seeds[half]) for half in halves)
        values = {k: np.concatenate([left[0][k], right[0][k]]) for k in left[0]}
        return values, np.concatenate([left[1], right[1]]), left[2] + right[2]
    result, silent = check_result(simulator, values, len(theta))
    status = np.full(len(theta), OK, np.uint8)
    for declared in simulator.signals:
        array = result[declared.name]
        bad = np.isinf(array) if declared.may_be_nan else ~np.isfinite(array)
        status[bad.reshape(len(theta), -1).any(axis=1)] = NOT_FINITE
    # what follows from silence, such as an undefined signal, is no failure
    status[silent] = SILENT
    return result, status, [None] * len(theta)


# kinds of errors that stand in the log with all that led to them
_told: set[str] = set()


def _failed(simulator, theta, error: BaseException):
    meant, text = isinstance(error, SimulationFailed), cause(error)
    whole = not meant and kind(text) not in _told
    said = f":\n{''.join(traceback.format_exception(error))}" if whole else f": {text}"
    print(f"simulation with theta {theta.tolist()} failed{said}", file=sys.stderr)
    _told.add(kind(text))
    empty = {s.name: np.full((1, *s.shape), np.nan, np.float32) for s in simulator.signals}
    return empty, np.array([RAISED], np.uint8), [None if meant else text]


def kind(error: str) -> str:
    """An error without its numbers: what failures of one cause have in common."""
    numbers = re.sub(r"0x[0-9a-f]+|[-+]?(\d+\.?\d*(e[-+]?\d+)?|\.\d+|\bnan\b|\binf\b)", "#", error, flags=re.IGNORECASE)
    return re.sub(r"#([\s,;]*#)*", "#", numbers)


class Watch:
    """Looks at failures as they come, for those that meet every simulation alike.

    Args:
        total: Simulations in all.
    """

    def __init__(self, total: int):
        self.total, self.n, self.sound, self.errors = total, 0, 0, []

    def add(self, status: np.ndarray, errors: Sequence[str | None]) -> None:
        """Takes the next simulations.

        Raises:
            ConfigError: If the first ones failed with one and the same error, or of all none has a result and the
                simulator does not say that each is a failure of its own.
        """
        first = self.n < min(ALIKE, self.total)
        self.n += len(status)
        self.sound += int(np.isin(status, (OK, SILENT)).sum())
        self.errors += [e for e in errors if e]
        alike = len(self.errors) == self.n and len(set(map(kind, self.errors))) == 1
        if first and self.n >= min(ALIKE, self.total) and alike:
            self._end(
                f"each of the first {self.n} simulations failed with one error" if self.n > 1 else "the only one failed"
            )
        if self.n == self.total and self.errors and not self.sound:
            self._end(f"no simulation of {self.total} has a result, and {len(self.errors)} raised errors")

    def _end(self, said: str) -> None:
        raise ConfigError(
            f"simulator: {said}: {self.errors[0]}. Mend its cause; where parameters have no result, give NaN or raise "
            "SimulationFailed (neuroinverse.simulators.base)"
        )


# --- worker processes ------------------------------------------------------------------------------------------------

_simulator, _about = None, None


@contextmanager
def workers(
    what, threads: int, simulation: dict, library: Path | None, kernel: Path | None, listen: bool = False
) -> Iterator:
    """Processes that simulate: call `submit(simulate_rows, theta, seeds)` of what this gives.

    Args:
        what: What is made, for the message when one dies.
        threads: Their number.
        simulation: Specification of a dataset.
        library: Compiled mechanisms, where the simulator has some.
        kernel: What `compute_kernel` made, where the simulator needs it.
        listen: Whether they remember for `files_touched` what is opened.

    Raises:
        NeuroinverseError: If one dies.
    """
    # spawned, not forked: NEURON and the threads of numerical libraries do not survive a fork
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(threads, context, _start, (listen, simulation, library, kernel)) as pool:
        try:
            yield pool
        except BrokenProcessPool as error:
            raise NeuroinverseError(
                f"{what}: a worker process died, of a crash in the simulator or for want of memory. Look for its "
                "last words above, ask for more memory (set-resources in the profile), and run again; nothing is lost"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start(listen: bool, *about) -> None:
    global _about
    _about = about
    if listen:
        sys.addaudithook(_hear)
    # a KeyboardInterrupt of the simulator's own is none of these
    interrupts.install((signal.SIGINT,))
    # what it prints is for the log
    os.dup2(2, 1)


def simulate_rows(theta, seeds) -> tuple:
    """In a worker process: `run_batch`, and the core seconds that it took."""
    global _simulator
    start = time.process_time()
    try:
        # here and not when the process starts: of an error there, only the end of the process would be known
        if _simulator is None:
            _simulator = make_simulator(*_about)
        return *run_batch(_simulator, theta, seeds), time.process_time() - start
    except NeuroinverseError as error:
        # errors with arguments of their own do not travel
        raise (ConfigError if isinstance(error, ConfigError) else NeuroinverseError)(str(error)) from None


# --- files -----------------------------------------------------------------------------------------------------------

_opened: dict[str, bool] = {}


def _hear(event: str, arguments: tuple) -> None:
    """Remembers what Python opens, and whether to write. What compiled code opens by itself is not heard of."""
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        mode, flags = arguments[1] or "", arguments[2] or 0
        path = str(Path(os.fsdecode(arguments[0])).absolute())
        writes = bool(set(mode) & set("wax+")) or bool(flags & (os.O_WRONLY | os.O_RDWR))
        _opened[path] = _opened.get(path, False) or writes


def files_touched() -> tuple[set[str], set[str]]:
    """In a worker process that listens: files of the user's that were read, and those written to, that are there."""
    read, written = set(), set()
    for path, writes in _opened.items():
        file = Path(path)
        if file.suffix == ".pyc":
            file = Path(source_from_cache(path))
        below = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
        hidden = any(part.startswith(".") or part == "__pycache__" for part in below.parts)
        if not hidden and is_own(file) and not path.startswith(SYSTEM) and file.is_file():
            (written if writes else read).add(str(file))
    return read - {str(Path(p).absolute()) for p in _about[1:] if p}, written
