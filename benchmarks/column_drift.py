"""Drift of the surrogates over rollouts of five seconds, five times what they were trained on.

python benchmarks/column_drift.py

Simulates cells anew for each surrogate of the demo of hnn_cells, with events drawn as its test dataset's are, and
compares part by part. Recorded are correlation, bias and the ratio of spikes in the first second behind the mask and in
the last.
"""

from pathlib import Path

import keras
import numpy as np

from neuroinverse import sampling, surrogates
from neuroinverse.config import load_study, master_seed
from neuroinverse.estimators.modelfile import read_metadata
from neuroinverse.estimators.surrogate_settings import samples
from neuroinverse.evaluation import surrogates as measures
from neuroinverse.records import write_record
from neuroinverse.simulators import make_simulator

DURATION_MS, PART_MS = 5100.0, 1000.0
CELLS = 40
SHOWN = ("soma", "apical_tuft", "dipole")


def main() -> None:
    """Simulates, compares and records."""
    study, figures = load_study("hnn_cells", "demo", master_seed()), {"cells": CELLS, "simulated_ms": DURATION_MS}
    for name in surrogates.names(study):
        short = f"{name[:2].upper()}{name[2:]}"
        for key, (first, last) in compare(study, name).items():
            figures |= {f"{key}_first_{short}": first, f"{key}_last_{short}": last}
    for key, value in figures.items():
        print(f"{key:40s} {value if isinstance(value, str) else round(value, 4)}")
    write_record("column_drift", "python benchmarks/column_drift.py", figures)


def compare(study, name: str) -> dict[str, tuple[float, float]]:
    """Measures of a surrogate in the first and in the last part of a rollout."""
    path = Path(surrogates.file(study, name))
    metadata, network = read_metadata(path), keras.models.load_model(path, compile=False)
    simulation = study.dataset_spec(surrogates.test_dataset(study, name))["simulation"]
    # seeds of their own: neither those of the training nor of the test
    theta, seeds = sampling.draw(simulation | {"dataset": "drift"}, np.arange(CELLS))
    long = {**simulation, "protocol": {**simulation["protocol"], "duration_ms": DURATION_MS}}
    true = make_simulator(long).simulate(theta, seeds)
    predicted = np.asarray(network.predict(true["inputs"], verbose=0))
    dt_ms = metadata["signal"]["dt_ms"]
    masked, length = samples(metadata["hyperparameters"]["mask_ms"], dt_ms), samples(PART_MS, dt_ms)
    traces = np.concatenate([true[signal] for signal in metadata["spec"]["outputs"]], axis=-1)
    outputs, threshold = list(metadata["units"]), metadata["threshold"]
    sums = measures.trace_sums(predicted[..., :-1], traces, metadata["scale"][0], masked, length)
    drift = measures.drift(sums, outputs, masked * dt_ms, PART_MS)
    absent = ["–"] * sums.shape[1]
    found = {f"{o}_{key}": drift[key].get(o, absent) for o in SHOWN for key in ("correlation", "bias")}
    spiked = measures.crossings(predicted[..., metadata["outputs"].index(threshold["output"])], threshold["threshold"])
    parts = [slice(masked + i * length, masked + (i + 1) * length) for i in (0, sums.shape[1] - 1)]
    rates = tuple(spiked[:, part].sum() / true["spikes"][:, part].sum() for part in parts)
    return {key: (values[0], values[-1]) for key, values in found.items()} | {"spike_rate_ratio": rates}


if __name__ == "__main__":
    main()
