"""Noisy Hodgkin-Huxley neurons per core-second: the compiled engine, NEURON, and the published compiled code.

All simulate the study hh_posterior_8: 120 ms in steps of 0.01 ms, parameters drawn from its prior, noise of its own for
every simulation, voltages in single precision. The sides take turns in one process on one thread, and CPU time counts;
a figure is the median of the rounds, `_min` the worst. The peer is NEURON with the same equations and noise, one cell a
run; nothing is timed before both have spikes alike.

The published code is not run here. Over 22,000 draws it took 6.70 ms of CPU time for a simulation, and 0.57 ms more for
its seven statistics, on one thread and at another time: ratios to it compare machines too.

    python benchmarks/hh_engine.py [--rounds 5] [--simulations 2000] [--cells 20] [--dry-run]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from neuroinverse import sampling
from neuroinverse.config import load_study
from neuroinverse.estimators import cnn
from neuroinverse.records import write_record
from neuroinverse.simulators import make_simulator
from neuroinverse.stages import compile_mechanisms

STUDY = "hh_posterior_8"
SMALL, LARGE = 50, 500
SIMULATIONS, DESCRIBED = "simulations_per_core_second", "simulations_per_core_second_with_statistics"
PUBLISHED = {SIMULATIONS: 149.3, DESCRIBED: 137.6}


def in_batches(simulate, theta: np.ndarray, seeds: np.ndarray, size: int) -> None:
    """Simulates as a shard does, and drops what it gets."""
    for rows in (slice(i, i + size) for i in range(0, len(theta), size)):
        simulate(theta[rows], seeds[rows])


def per_second(function, n: int) -> float:
    """Simulations per second of CPU time."""
    start = time.process_time()
    function()
    return n / (time.process_time() - start)


def spike_counts(voltage: np.ndarray) -> np.ndarray:
    """Upward crossings of -10 mV, shape (batch,)."""
    return ((voltage[:, :-1] < -10) & (voltage[:, 1:] >= -10)).sum(axis=1)


def main() -> None:
    """Times all sides and writes docs/records/hh_engine.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--simulations", type=int, default=2000, help="of the compiled engine, each round")
    parser.add_argument("--cells", type=int, default=20, help="of NEURON, each round")
    parser.add_argument("--dry-run", action="store_true", help="prints the figures and writes no record")
    arguments = parser.parse_args()

    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    simulation = load_study(STUDY, "demo", 0).dataset_spec("train")["simulation"]
    step = simulation["protocol"]["stimulus"]
    settings = {"on_ms": step["start_ms"], "off_ms": step["stop_ms"]}
    theta, seeds = sampling.draw(simulation, np.arange(arguments.simulations))
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "libnrnmech.so"
        compile_mechanisms.run(library)
        compiled, neuron = (
            make_simulator({**simulation, "simulator": {**simulation["simulator"], "engine": engine}}, library)
            for engine in ("compiled", "neuron")
        )
        model = cnn.feature_model(compiled.signals[0], [{"step_statistics": settings}])

        def described(theta, seeds):
            voltage = compiled.simulate(theta, seeds)["voltage"]
            return model.predict(voltage[:, :, None], batch_size=len(theta), verbose=0)

        few = slice(0, arguments.cells)
        # machine code and graphs are made before anything is timed
        described(theta[:LARGE], seeds[:LARGE])
        ours, theirs = (engine.simulate(theta[few], seeds[few])["voltage"] for engine in (compiled, neuron))
        equal = np.mean(spike_counts(ours) == spike_counts(theirs))
        if equal < 0.8:
            raise SystemExit(f"only {100 * equal:.0f} % of the traces have as many spikes in both: nothing to compare")
        small = slice(0, SMALL)
        # function, and how many simulations it makes
        sides = {
            SIMULATIONS: (lambda: in_batches(compiled.simulate, theta, seeds, LARGE), len(theta)),
            f"{SIMULATIONS}_batch_{SMALL}": (lambda: in_batches(compiled.simulate, theta, seeds, SMALL), len(theta)),
            DESCRIBED: (lambda: in_batches(described, theta, seeds, LARGE), len(theta)),
            "neuron_single_cells_per_core_second": (
                lambda: in_batches(neuron.simulate, theta[few], seeds[few], 1),
                len(theta[few]),
            ),
            f"neuron_cells_per_core_second_batch_{SMALL}": (
                lambda: neuron.simulate(theta[small], seeds[small]),
                len(theta[small]),
            ),
        }
        rounds = [{name: per_second(*side) for name, side in sides.items()} for _ in range(arguments.rounds)]
    figures = {}
    for row in rounds:
        row["speedup_over_neuron"] = row[SIMULATIONS] / row["neuron_single_cells_per_core_second"]
        row["ratio_to_published"] = row[SIMULATIONS] / PUBLISHED[SIMULATIONS]
        row["ratio_to_published_with_statistics"] = row[DESCRIBED] / PUBLISHED[DESCRIBED]
    for name in rounds[0]:
        values = [row[name] for row in rounds]
        figures |= {name: statistics.median(values), f"{name}_min": min(values)}
    figures["fraction_with_equal_spike_count"] = float(equal)
    if arguments.dry_run:
        print(*(f"{name}: {value:.4g}" for name, value in figures.items()), sep="\n")
        return
    write_record(
        "hh_engine",
        f"python benchmarks/hh_engine.py --rounds {arguments.rounds} --simulations {arguments.simulations} "
        f"--cells {arguments.cells}",
        figures,
        PUBLISHED,
    )


if __name__ == "__main__":
    main()
