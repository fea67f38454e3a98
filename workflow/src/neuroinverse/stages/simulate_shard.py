"""simulate_shard: draws parameters by index, simulates them in batches on all given threads, writes one shard."""

import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import numpy as np

from neuroinverse import sampling
from neuroinverse.progress import Progress
from neuroinverse.shards import write_shard
from neuroinverse.simulators import make_simulator
from neuroinverse.simulators.run import Watch, simulate_batch, simulate_rows, workers

__all__ = ["run", "simulate_batch"]


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
        NeuroinverseError: If a worker process dies, or simulations fail with what would meet all others too.
    """
    simulation, indices = spec["simulation"], np.arange(spec["start"], spec["stop"])
    theta, seeds = sampling.draw(simulation, indices, proposal)
    simulator = make_simulator(simulation)
    signals = simulator.signals
    seconds = 0.0
    progress, watch = Progress(len(indices), "simulations"), Watch(len(indices))

    def blocks(pool: ProcessPoolExecutor) -> Iterator:
        nonlocal seconds
        size = max(1, min(simulator.batch, -(-len(indices) // threads)))
        starts = range(0, len(indices), size)
        waiting: list[tuple[int, Future]] = []
        for start in starts:
            rows = slice(start, start + size)
            waiting.append((start, pool.submit(simulate_rows, theta[rows], seeds[rows])))
            # two batches per worker are in flight, so memory does not grow with the shard
            if len(waiting) >= 2 * threads or start == starts[-1]:
                drain = len(waiting) if start == starts[-1] else 1
                for offset, future in waiting[:drain]:
                    values, status, errors, spent = future.result()
                    seconds += spent
                    watch.add(status, errors)
                    progress.add(len(status))
                    yield offset, values, status
                del waiting[:drain]

    with workers(output, threads, simulation, library, kernel) as pool:
        counts = write_shard(output, spec, theta, signals, blocks(pool), lambda: seconds)
    progress.close()
    if counts["ok"] < len(indices):
        print(f"{output}: {counts}", file=sys.stderr)
    return counts
