"""What the networks of a study do: example states, the phase diagram, and errors by state; states.json and figures."""

import json
from pathlib import Path

import numpy as np

from neuroinverse.evaluation import metrics as measures
from neuroinverse.evaluation import network
from neuroinverse.files import atomic
from neuroinverse.parameters import ParameterSpace

# simulations read at a time
BLOCK = 200


def run(
    spec: dict, examples: Path, phase: Path, test_dataset: Path, predictions: list[Path], output: Path, figures: Path
) -> dict:
    """Measures and draws the networks of a study.

    Args:
        spec: Specification of the step.
        examples: Dataset of the example states, with the signals spikes, isi_cv, raster and lfp.
        phase: Dataset on a grid of eta, g and J.
        test_dataset: Dataset that was predicted.
        predictions: predictions.parquet of every estimator, in the order of `spec["estimators"]`.
        output: states.json, written last.
        figures: Folder for the figures.

    Returns:
        What is written to `output`.

    Raises:
        ShardError: If a dataset is damaged.
    """
    from neuroinverse.evaluation import network_figures, style
    from neuroinverse.provenance import collect
    from neuroinverse.shards import Dataset

    shown, grid, test = Dataset(examples), Dataset(phase), Dataset(test_dataset)
    neurons = spec["neurons"]
    activity, values = measure(grid, neurons), grid.theta(0, grid.n)
    columns = {p.name: values[:, k] for k, p in enumerate(grid.parameters.parameters)}
    of_examples = measure(shown, neurons)
    drawn = read_examples(shown, of_examples.state, spec["raster_E"])
    of_test = dict(zip(test.index(0, test.n).tolist(), measure(test, neurons).state.tolist(), strict=True))
    tables = {}
    for name, evaluation, estimator in zip(spec["estimators"], spec["evaluations"], predictions, strict=True):
        space = ParameterSpace.from_table(evaluation["parameters"])
        predicted = measures.read_predictions(estimator, space)
        states = np.array([of_test[i] for i in predicted.index.tolist()])
        tables[name] = network.errors_by_state(states, predicted.residual_unit, space.names)
    rows = {
        "firing rate of E (1/s)": activity.rate_E,
        "CV of interspike intervals": activity.cv,
        "synchrony": activity.synchrony,
    }
    drawings = {
        "example_states": lambda: network_figures.example_states(drawn, neurons, shown.signals["lfp"].unit),
        "phase_diagram": lambda: network_figures.phase_diagram(columns, rows, spec["boxes"]),
        "errors_by_state": lambda: network_figures.errors_by_state(tables, list(columns)),
    }
    for name, draw in drawings.items():
        style.save(draw(), Path(figures) / f"{name}.png")
    result = {
        "study": spec["study"],
        "scale": spec["scale"],
        "neurons": neurons,
        "limits": {"irregular_cv": network.IRREGULAR, "synchronous": network.SYNCHRONOUS},
        "examples": [
            {
                "name": example.name,
                **{name: float(value) for name, value in example.theta.items()},
                "state": example.state,
                **{key: _number(getattr(of_examples, key)[k]) for key in ("rate_E", "rate_I", "cv", "synchrony")},
            }
            for k, example in enumerate(drawn)
        ],
        "phase_states": {key: int((activity.state == key).sum()) for key in network.STATES},
        "errors_by_state_percent_of_range": tables,
        "provenance": collect(spec),
    }
    with atomic(output) as temporary:
        temporary.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return result


def measure(dataset, neurons: dict[str, int]) -> network.Activity:
    """Measures every network of a dataset; NaN for those whose simulation is not usable."""
    from neuroinverse.shards import OK

    blocks = []
    for start in range(0, dataset.n, BLOCK):
        stop = min(start + BLOCK, dataset.n)
        spikes = np.array(dataset.signal("spikes", start, stop), np.float64)
        spikes[dataset.status(start, stop) != OK] = np.nan
        blocks.append(network.measure(spikes, dataset.signal("isi_cv", start, stop), neurons))
    fields = ("rate_E", "rate_I", "cv", "synchrony")
    return network.Activity(*(np.concatenate([getattr(block, field) for block in blocks]) for field in fields))


def read_examples(dataset, states, raster_E: int) -> list:
    """Reads the example networks whole, each with its state: they are few."""
    from neuroinverse.evaluation.network_figures import StateExample

    names = dataset.parameters.names
    examples = []
    for k, theta in enumerate(dataset.theta(0, dataset.n)):
        spikes, lfp, raster = (dataset.signal(name, k, k + 1)[0] for name in ("spikes", "lfp", "raster"))
        values = dict(zip(names, theta.tolist(), strict=True))
        examples.append(StateExample(chr(ord("A") + k), values, spikes, lfp, raster, raster_E, str(states[k])))
    return examples


def _number(value) -> float | None:
    """A number as JSON knows it: None where it is undefined."""
    return float(value) if np.isfinite(value) else None
