"""check_surrogate: measures and draws how far a surrogate does what the simulator does."""

import json
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from neuroinverse import surrogates
from neuroinverse.column.cells import open_cells
from neuroinverse.errors import NeuroinverseError
from neuroinverse.estimators.modelfile import read_metadata
from neuroinverse.estimators.surrogate_settings import samples
from neuroinverse.evaluation import style, surrogate_figures
from neuroinverse.evaluation import surrogates as measures
from neuroinverse.evaluation.figures import learning_curves
from neuroinverse.files import atomic
from neuroinverse.parameters import seed_sequence
from neuroinverse.provenance import collect
from neuroinverse.shards import OK

# simulations that are read at once
BLOCK = 32
# ms: parts of a rollout by which drift is told
SEGMENT_MS = 100.0
# test simulations in the figure, and the outputs it shows where the cell has them
SHOWN, OUTPUTS = 3, ("soma", "apical_tuft", "dipole")
# ms of them
SHOWN_MS = 500.0


def run(spec: dict, model: Path, history: Path, test_dataset: Path, metrics: Path, figures: Path) -> dict:
    """Compares a surrogate with the simulator on simulations that its training has not seen.

    Args:
        spec: Specification of the step.
        model: The surrogate.
        history: CSV of its training.
        test_dataset: The simulations.
        metrics: metrics.json, written last.
        figures: Folder for the figures, one PNG per entry of `captions.SURROGATE`.

    Returns:
        The contents of metrics.json: `outputs`, by name unit, correlation with its interval, rmse, bias and sd;
        `spikes`; `drift`; for every output NAME_correlation.

    Raises:
        NeuroinverseError: If all test simulations failed.
        ShardError: If a dataset is damaged.
    """
    metadata, test = read_metadata(model), open_cells(spec, test_dataset)
    signal, h, units = metadata["signal"], metadata["hyperparameters"], metadata["units"]
    dt_ms, masked = signal["dt_ms"], samples(h["mask_ms"], signal["dt_ms"])
    sums, counts, shown, seconds = [], [], [], 0.0
    network = keras.models.load_model(model, compile=False)
    # not timed: compilation
    network.predict_on_batch(np.zeros((BLOCK, *signal["shape"]), np.float32))
    for start in range(0, test.n, BLOCK):
        stop = min(start + BLOCK, test.n)
        usable = test.status(start, stop) == OK
        if not usable.any():
            continue
        begun = time.monotonic()
        predicted = np.asarray(network.predict_on_batch(test.signal(signal["name"], start, stop)[usable]))
        seconds += time.monotonic() - begun
        true = [test.signal(name, start, stop)[usable] for name in metadata["spec"]["outputs"]]
        true = np.concatenate([t.reshape(*t.shape[:2], -1) for t in true], axis=-1)
        spikes = test.signal(surrogates.SPIKES, start, stop)[usable].reshape(true.shape[:2]) > 0
        threshold, names = metadata["threshold"], metadata["outputs"]
        found = measures.crossings(predicted[..., names.index(threshold["output"])], threshold["threshold"])
        length = samples(SEGMENT_MS, dt_ms)
        sums.append(measures.trace_sums(predicted[..., :-1], true, metadata["scale"][0], masked, length))
        tolerance = samples(measures.TOLERANCE_MS, dt_ms)
        counts.append(measures.spike_counts(found[:, masked:], spikes[:, masked:], tolerance))
        indices = start + np.flatnonzero(usable)
        for i in range(min(SHOWN - len(shown), len(indices))):
            shown.append(_example(f"test simulation {indices[i]}", names, true[i], predicted[i], spikes[i], found[i]))
    if not sums:
        raise NeuroinverseError(f"{test.path}: all simulations failed; look at the logs of simulate_shard")
    sums, counts = np.concatenate(sums), np.concatenate(counts)
    purpose = f"{spec['study']}/{spec['surrogate']}/check"
    seed = int(seed_sequence(spec["master_seed"], purpose, 0).generate_state(1)[0])
    names, duration = list(units), (signal["shape"][0] - masked) * dt_ms / 1000
    outputs = measures.output_scores(sums, names, list(units.values()), seed=seed)
    drift = measures.drift(sums, names, masked * dt_ms, SEGMENT_MS)
    result = {
        **{key: spec[key] for key in ("study", "scale", "title", "surrogate", "published", "published_source")},
        "kind": "surrogate",
        **({"cell": spec["cell"]} if "cell" in spec else {}),
        "n_train": metadata["n_train"],
        "n_test": len(sums),
        "n_failed": test.n_failed,
        "n_weights": metadata["n_weights"],
        "epochs": metadata["epochs"],
        "mask_ms": h["mask_ms"],
        "outputs": outputs,
        **{f"{name}_correlation": row["correlation"] for name, row in outputs.items()},
        "spikes": measures.spike_scores(counts, duration, seed=seed)
        | {"tolerance_ms": measures.TOLERANCE_MS, "threshold": metadata["threshold"]},
        "drift": drift,
        "seconds": {"train": metadata["train_seconds"], "predict_per_simulation": seconds / len(sums)},
        "provenance": collect(spec),
    }
    drawn = {name: units[name] for name in OUTPUTS if name in units}
    span = (masked * dt_ms, min(masked * dt_ms + SHOWN_MS, signal["shape"][0] * dt_ms))
    for name, draw in {
        "overlay": lambda: surrogate_figures.overlay(shown, drawn, dt_ms, span),
        "output_correlations": lambda: surrogate_figures.output_correlations(outputs),
        "drift": lambda: surrogate_figures.drift(drift, drawn),
        "learning_curves": lambda: learning_curves([pd.read_csv(history)], "standardized outputs"),
    }.items():
        style.save(draw(), Path(figures) / f"{name}.png")
    with atomic(metrics) as temporary:
        temporary.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return result


def _example(title: str, names, true, predicted, spikes, found) -> surrogate_figures.TraceExample:
    """A simulation for the figure."""
    traces = ({name: array[:, i] for i, name in enumerate(names[:-1])} for array in (true, predicted))
    return surrogate_figures.TraceExample(title, *traces, spikes, found)
