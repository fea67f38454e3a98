"""simulate_shard: draws parameters by index, simulates them in batches on all given threads, writes one shard."""

import multiprocessing
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from neuroinverse import sampling
from neuroinverse.errors import ConfigError, NeuroinverseError
from neuroinverse.progress import Progress
from neuroinverse.shards import NOT_FINITE, OK, RAISED, SILENT, write_shard
from neuroinverse.simulators import make_simulator


def run(
    spec: dict,
    output: Path,
    threads: int = 1,
    library: Path | None = None,
    kernel: Path | None = None,
    proposal: Path | None = None,
) -> dict[str, int]:
    """Simulates [start, stop) of a dataset.

    Args:
        spec: `simulation`, `start`, `stop`.
        output: The shard.
        threads: Worker processes.
        library: Compiled mechanisms, where the simulator has some.
        kernel: What `compute_kernel` made, where the simulator needs it.
        proposal: What `propose` wrote, where a posterior proposes the parameters.

    Returns:
        Number of simulations by status name.

    Raises:
        NeuroinverseError: If a worker process dies.
    """
    simulation, indices = spec["simulation"], np.arange(spec["start"], spec["stop"])
    theta, seeds = sampling.draw(simulation, indices, proposal)
    simulator = make_simulator(simulation)
    signals = simulator.signals
    seconds = 0.0
    progress = Progress(len(indices), "simulations")

    def blocks(pool: ProcessPoolExecutor) -> Iterator:
        nonlocal seconds
        size = max(1, min(simulator.batch, -(-len(indices) // threads)))
        starts = range(0, len(indices), size)
        waiting: list[tuple[int, Future]] = []
        for start in starts:
            rows = slice(start, start + size)
            waiting.append((start, pool.submit(_simulate, theta[rows], seeds[rows])))
            # two batches per worker are in flight, so memory does not grow with the shard
            if len(waiting) >= 2 * threads or start == starts[-1]:
                drain = len(waiting) if start == starts[-1] else 1
                for offset, future in waiting[:drain]:
                    values, status, spent = future.result()
                    seconds += spent
                    progress.add(len(status))
                    yield offset, values, status
                del waiting[:drain]

    # spawned, not forked: NEURON and the threads of numerical libraries do not survive a fork
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(threads, context, _start_worker, (simulation, library, kernel)) as pool:
        try:
            counts = write_shard(output, spec, theta, signals, blocks(pool), lambda: seconds)
        except BrokenProcessPool as error:
            raise NeuroinverseError(
                f"{output}: a worker process died, of a crash in the simulator or for want of memory. Look for its "
                "last words above, ask for more memory (set-resources in the profile), and run again; nothing is lost"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    progress.close()
    if counts["ok"] < len(indices):
        print(f"{output}: {counts}", file=sys.stderr)
    return counts


_simulator = None


def _start_worker(simulation: dict, library: Path | None, kernel: Path | None) -> None:
    global _simulator
    _simulator = make_simulator(simulation, library, kernel)


def _simulate(theta, seeds):
    start = time.process_time()
    values, status = simulate_batch(_simulator, theta, seeds)
    return values, status, time.process_time() - start


def simulate_batch(simulator, theta, seeds) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Runs a batch such that a failure costs only the simulation that failed.

    A batch that raises is halved until the failing simulations stand alone: theirs are NaN. A ConfigError is no failure
    of a simulation but a mistake in the study, such as a cell that cannot be built: it ends the job.

    Args:
        simulator: The simulator.
        theta: Physical parameters, shape (batch, K).
        seeds: Seeds, shape (batch,).

    Returns:
        Arrays by signal name, float32, and status, uint8, shape (batch,).
    """
    values = None
    try:
        values = simulator.simulate(theta, seeds)
    except ConfigError:
        # it would meet every simulation alike
        raise
    except Exception:
        if len(theta) == 1:
            print(f"simulation with theta {theta[0].tolist()} failed:\n{traceback.format_exc()}", file=sys.stderr)
            empty = {s.name: np.full((1, *s.shape), np.nan, np.float32) for s in simulator.signals}
            return empty, np.array([RAISED], np.uint8)
    if values is None:
        # not inside `except`: a log would show the whole chain of batches for every simulation that failed
        middle = len(theta) // 2
        halves = (slice(middle), slice(middle, None))
        left, right = (simulate_batch(simulator, theta[half], seeds[half]) for half in halves)
        return {k: np.concatenate([left[0][k], right[0][k]]) for k in left[0]}, np.concatenate([left[1], right[1]])
    status = np.full(len(theta), OK, np.uint8)
    result = {}
    for signal in simulator.signals:
        array = np.asarray(values[signal.name], np.float32)
        if array.shape != (len(theta), *signal.shape):
            raise ValueError(
                f"simulator gave {signal.name} of shape {array.shape}, expected {(len(theta), *signal.shape)}"
            )
        bad = np.isinf(array) if signal.may_be_nan else ~np.isfinite(array)
        status[bad.reshape(len(theta), -1).any(axis=1)] = NOT_FINITE
        result[signal.name] = array
    # what follows from silence, such as an undefined signal, is no failure
    status[np.asarray(values.get("silent", np.zeros(len(theta), bool)), bool)] = SILENT
    return result, status
