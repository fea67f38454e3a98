"""Time of the column's rollouts as a network of surrogates, beside NEURON's, in one run.

python benchmarks/column_speed.py [--rounds 3]

500 ms of 136 cells, one drive: forward, and forward and backward, of the network (compiled, its first call left out);
NEURON through hnn-core's cells at steps of 0.1 and 0.025 ms, without building the network. Takes the surrogates of the
demo. One after the other in each round; medians and the worst of the rounds are recorded.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

from neuroinverse.column.specs import START, cells, surrogate_files
from neuroinverse.config import load_study, master_seed
from neuroinverse.records import write_record
from neuroinverse.simulators import make_simulator

DURATION_MS = 500.0
STEPS_MS = (0.1, 0.025)


def main(rounds: int) -> None:
    """Measures and records."""
    from neuroinverse.estimators import devices

    devices.use_devices(0, "float32", 2, 0)
    import tensorflow as tf

    from neuroinverse.column.surrogate_column import load_column, make_objective
    from neuroinverse.simulators.column import drive_inputs
    from neuroinverse.simulators.hnn_core_adapter import NeuronColumn

    study = load_study("hnn_column", "demo", master_seed())
    scenario = study.scenario(START)
    scenario["protocol"] = {**scenario["protocol"], "duration_ms": DURATION_MS}
    simulator = make_simulator(scenario)
    files = dict(zip(cells(study, "gamma"), map(Path, surrogate_files(study, "gamma")), strict=True))
    network = load_column(simulator, files, study.settings["column"].get("network", {}))
    settings = {"terms": [{"kind": "band_power"}], "warm_up_ms": 100}
    objective = make_objective(settings, simulator, network)
    n_steps, gains = simulator.window.stop, tf.zeros(len(network.projections))
    drive = {k: tf.constant(v) for k, v in network.drive(n_steps, [0]).items()}

    @tf.function(jit_compile=network.jit)
    def forward(gains):
        return objective(network.rollout(gains, drive, tf.constant(50.0)))["loss"]

    @tf.function(jit_compile=network.jit)
    def backward(gains):
        with tf.GradientTape() as tape:
            tape.watch(gains)
            loss = objective(network.rollout(gains, drive, tf.constant(50.0)))["loss"]
        return tape.gradient(loss, gains)

    column = simulator.as_column()
    neuron, inputs = NeuronColumn(column), drive_inputs(column, n_steps, simulator.dt_ms, 0)
    ones = np.ones(len(column.projections))
    stop_ms = (n_steps - 1) * simulator.dt_ms
    timed = {
        "forward": lambda: forward(gains).numpy(),
        "forward_and_backward": lambda: backward(gains).numpy(),
        **{
            f"neuron_dt_{step:g}": lambda step=step: neuron.run(ones, inputs, stop_ms, simulator.dt_ms, step)
            for step in STEPS_MS
        },
    }
    seconds = {name: [] for name in timed}
    for name in ("forward", "forward_and_backward"):
        start = time.perf_counter()
        timed[name]()
        seconds[f"{name}_first_call"] = [time.perf_counter() - start]
    for _ in range(rounds):
        for name, run in timed.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    figures = {"cells": sum(cell.n for cell in column.cells.values()), "simulated_ms": DURATION_MS}
    figures |= {f"seconds_{name}": statistics.median(values) for name, values in seconds.items()}
    for step in STEPS_MS:
        slow = seconds[f"neuron_dt_{step:g}"]
        for name in ("forward", "forward_and_backward"):
            ratios = [a / b for a, b in zip(slow, seconds[name], strict=True)]
            figures[f"speedup_{name}_dt_{step:g}"] = statistics.median(ratios)
            figures[f"speedup_{name}_dt_{step:g}_min"] = min(ratios)
    for name, value in figures.items():
        print(f"{name:40s} {value:.4g}")
    write_record("column_speed", f"python benchmarks/column_speed.py --rounds {rounds}", figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args().rounds)
