"""transfer: an ensemble's error on datasets other than it was trained for, beside that on its test dataset."""

import json
from pathlib import Path

import numpy as np

from neuroinverse.errors import NeuroinverseError
from neuroinverse.estimators.ensemble import Ensemble
from neuroinverse.evaluation import calibration as calibrated
from neuroinverse.evaluation import metrics, style
from neuroinverse.evaluation.calibration import ErrorModel
from neuroinverse.evaluation.transfer import error_histograms
from neuroinverse.files import atomic
from neuroinverse.provenance import collect
from neuroinverse.shards import Dataset
from neuroinverse.stages.ensemble_folds import predict_dataset


def run(spec: dict, datasets: list[Path], models: list[Path], calibration: Path, output: Path, figure: Path) -> dict:
    """Measures an ensemble on further datasets.

    Errors in unit parameters, and in percent of the range, are in units of the range that the ensemble was trained on,
    whatever the range of the dataset.

    Args:
        spec: Specification of the step.
        datasets: The test dataset and the further ones, in the order of `spec["datasets"]`.
        models: The folds' estimators.
        calibration: The ensemble's error model (JSON).
        output: JSON to write: for each dataset `n`, `n_failed`, `n_silent`, `mse_unit`, `out_of_range_fraction`,
            `warned_fraction`, `coverage`, and `parameters` as in metrics.json.
        figure: PNG to write: the distributions of the errors.

    Raises:
        NeuroinverseError: If every simulation of a dataset failed.
    """
    ensemble, errors = Ensemble(models), ErrorModel.read(calibration)
    rows, found = [], {}
    for section, path in zip(spec["datasets"], datasets, strict=True):
        name, data = section["simulation"]["dataset"], Dataset(path)
        found[name] = predictions = _predictions(ensemble, errors, data)
        rows.append({"dataset": name, **_summary(predictions, data, errors), "differs": _difference(spec, section)})
    result = {
        "study": spec["study"],
        "scale": spec["scale"],
        "estimator": spec["estimator"],
        "datasets": rows,
        "provenance": collect(spec),
    }
    style.save(error_histograms(found), figure)
    with atomic(output) as temporary:
        temporary.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return result


def _predictions(ensemble: Ensemble, errors: ErrorModel, data: Dataset) -> metrics.Predictions:
    index, true, blocks, seconds = zip(*predict_dataset(ensemble, data, ensemble.signal["name"]), strict=True)
    sd = np.concatenate([block.sd for block in blocks])
    index = np.concatenate(index)
    try:
        return metrics.Predictions.from_units(
            ensemble.parameters,
            index,
            np.concatenate(true),
            np.concatenate([block.folds for block in blocks], axis=1),
            ensemble.parameters.to_physical(np.concatenate([block.mean for block in blocks])),
            sd,
            errors.error(sd),
            sum(seconds) / len(index),
            np.concatenate([block.score for block in blocks]),
        )
    except ValueError as error:
        raise NeuroinverseError(f"{data.path}: {error}; did the training diverge?") from error


def _summary(predictions: metrics.Predictions, data: Dataset, errors: ErrorModel) -> dict:
    distance, names = predictions.distance_unit, predictions.space.names
    widths = [errors.half_widths(level) for level in calibrated.LEVELS]
    coverage, _ = calibrated.coverage_table(distance, predictions.error_unit, names, widths)
    return {
        "n": len(predictions),
        "n_failed": data.n_failed,
        "n_silent": data.n_silent,
        "n_unpredicted": predictions.n_unpredicted,
        "mse_unit": metrics.mse(predictions.mean_unit, predictions.true_unit),
        "out_of_range_fraction": float(np.mean(predictions.out_of_range > 1)),
        "warned_fraction": errors.warned(predictions.score),
        "coverage": coverage,
        "parameters": metrics.parameter_errors(predictions),
    }


def _difference(spec: dict, section: dict) -> dict:
    """What of a dataset's simulations is not as in those that the ensemble was trained on: by key, what it has."""
    trained, here = (s["simulation"] for s in (spec["ensemble"]["training"], section))
    found = {}
    for key in ("fixed", "options"):
        own, other = here["simulator"].get(key, {}), trained["simulator"].get(key, {})
        found |= {name: own.get(name, "default") for name in (*own, *other) if own.get(name) != other.get(name)}
    for own, other in zip(here["parameters"], trained["parameters"], strict=True):
        if (own["low"], own["high"]) != (other["low"], other["high"]):
            found[own["name"]] = [own["low"], own["high"]]
    if here.get("sampling") != trained.get("sampling"):
        found["sampling"] = here.get("sampling", {"kind": "random"})["kind"]
    return found
