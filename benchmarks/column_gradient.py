"""How far the surrogate gradient of the column points where its loss falls, by slope.

python benchmarks/column_gradient.py [--drives 16]

The power from 15 to 60 Hz at the start of the search `gamma`, with the surrogates of the demo. What the gradient is
held to are central differences over 0.3 in log10 gain of the loss over some drives. Recorded are the cosines to these
of the gradient over half as many others, as it is and with every drive's part clipped, as the search takes it, and the
norms of single drives' parts.
"""

import argparse
from pathlib import Path

import numpy as np

from neuroinverse.column import specs as column
from neuroinverse.config import load_study, master_seed
from neuroinverse.records import write_record
from neuroinverse.simulators import make_simulator

STEP = 0.15
SLOPES = (5, 10, 25, 50, 100, 1_000_000)


def main(drives: int) -> None:
    """Measures and records."""
    from neuroinverse.estimators import devices

    devices.use_devices(0, "float32", 2, 0)
    import tensorflow as tf

    from neuroinverse.column.optimise import clipped, compiled
    from neuroinverse.column.surrogate_column import load_column, make_objective

    study = load_study("hnn_column", "demo", master_seed())
    simulator = make_simulator(study.scenario(column.START))
    files = dict(zip(column.cells(study, "gamma"), map(Path, column.surrogate_files(study, "gamma")), strict=True))
    network = load_column(simulator, files, study.settings["column"].get("network", {}))
    objective = make_objective({"terms": [{"kind": "band_power"}], "warm_up_ms": 100}, simulator, network)
    measure, differentiate = compiled(network, objective)
    n, first = len(network.projections), 10_000
    parts = range(first, first + drives), range(first + drives, first + drives + drives // 2)
    drive, other = (
        {name: tf.constant(x) for name, x in network.drive(objective.window.n_steps, seeds).items()} for seeds in parts
    )

    def loss(gains) -> float:
        terms, _ = measure(tf.constant(gains, tf.float32), drive, tf.constant(1.0))
        return float(terms["loss"])

    differences = np.array([loss(STEP * row) - loss(-STEP * row) for row in np.eye(n)]) / (2 * STEP)
    print("central differences", dict(zip(network.projections, differences.round(2).tolist(), strict=True)), flush=True)
    figures = {"drives": drives, "drives_of_the_gradient": drives // 2, "projections": n}
    for slope in SLOPES:
        each = differentiate(tf.zeros(n), other, tf.constant(float(slope)))[2].numpy().astype(float)
        norms = np.linalg.norm(each, axis=1) * len(each)
        figures |= {
            f"cosine_plain_{slope}": cosine(each.sum(axis=0), differences),
            f"cosine_clipped_{slope}": cosine(clipped(each, 1.0), differences),
            f"norm_median_{slope}": float(np.median(norms)),
            f"norm_largest_{slope}": float(norms.max()),
        }
        print(slope, {key: round(value, 3) for key, value in figures.items() if key.endswith(f"_{slope}")}, flush=True)
    write_record("column_gradient", f"python benchmarks/column_gradient.py --drives {drives}", figures)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of the angle between two gradients."""
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drives", type=int, default=16)
    main(parser.parse_args().drives)
