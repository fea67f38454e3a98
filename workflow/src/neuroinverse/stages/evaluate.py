"""Compares the predictions for the test set with the truth: metrics.json and the figures."""

import json
from pathlib import Path

import numpy as np

from neuroinverse.errors import NeuroinverseError
from neuroinverse.evaluation import calibration as calibrated
from neuroinverse.evaluation import learnt
from neuroinverse.evaluation import metrics as measures
from neuroinverse.evaluation.calibration import ErrorModel
from neuroinverse.files import atomic
from neuroinverse.parameters import ParameterSpace

EXAMPLES = 5


def run(
    spec: dict,
    predictions: Path,
    train_dataset: Path,
    test_dataset: Path,
    models: list[Path],
    histories: list[Path],
    calibration: Path,
    metrics: Path,
    figures: Path,
) -> None:
    """Evaluates one estimator of a study.

    Args:
        spec: Specification of the step.
        predictions: predictions.parquet of the test set.
        train_dataset: Dataset that the folds were trained on.
        test_dataset: Dataset that was predicted.
        models: Saved estimators, one per fold.
        histories: history.csv of every fold, in the same order.
        calibration: The ensemble's error model (JSON).
        metrics: metrics.json, written last.
        figures: Folder for the figures.

    Raises:
        NeuroinverseError: If the predictions are not of these parameters, or none is finite.
        ShardError: If a dataset is damaged.
    """
    from neuroinverse.estimators.modelfile import read_metadata
    from neuroinverse.provenance import collect
    from neuroinverse.shards import Dataset

    space = ParameterSpace.from_table(spec["parameters"])
    predicted = measures.read_predictions(predictions, space)
    train, test = Dataset(train_dataset), Dataset(test_dataset)
    errors = ErrorModel.read(calibration)
    result = summarise(spec, predicted, train, test, [read_metadata(path) for path in models], errors)
    result["provenance"] = collect(spec)
    draw_figures(spec, predicted, test, histories, errors, Path(figures))
    with atomic(metrics) as temporary:
        temporary.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def summarise(spec: dict, predicted: measures.Predictions, train, test, folds: list[dict], errors: ErrorModel) -> dict:
    """Everything in metrics.json but its provenance.

    Args:
        spec: Specification of the step.
        predicted: Predictions of the test set.
        train: Training dataset.
        test: Test dataset.
        folds: Metadata of the saved estimators: `n_train`, `n_validation`, `train_seconds`.
        errors: The ensemble's error model.
    """
    names = predicted.space.names
    distance = predicted.distance_unit
    widths = [errors.half_widths(level) for level in calibrated.LEVELS]
    coverage, coverage_parameters = calibrated.coverage_table(distance, predicted.error_unit, names, widths)
    gaussian = calibrated.gaussian_widths()
    read_gaussian, _ = calibrated.coverage_table(distance, predicted.error_unit, names, gaussian)
    spread_only = None
    if predicted.n_folds > 1:
        spread_only, _ = calibrated.coverage_table(distance, predicted.sd_unit, names, gaussian)
    train_seconds = float(np.mean([fold["train_seconds"] for fold in folds]))
    return {
        "study": spec["study"],
        "scale": spec["scale"],
        "title": spec["title"],
        "estimator": spec["estimator"],
        "kind": spec["kind"],
        "n_train": max(int(fold["n_train"]) + int(fold["n_validation"]) for fold in folds),
        "n_test": len(predicted),
        "n_failed": train.n_failed + test.n_failed,
        "n_silent": train.n_silent + test.n_silent,
        "n_unpredicted": predicted.n_unpredicted,
        "mse_unit": measures.mse(predicted.mean_unit, predicted.true_unit),
        "mse_unit_folds": list(predicted.mse_unit_folds),
        "mse_unit_folds_mean": float(np.mean(predicted.mse_unit_folds)),
        "train_seconds_per_fold": train_seconds,
        "parameters": measures.parameter_errors(predicted),
        "learnt": learnt.of_answers(predicted.residual_unit, predicted.true_unit, names),
        "coverage": coverage,
        "coverage_parameters": coverage_parameters,
        "coverage_gaussian": read_gaussian,
        "coverage_spread_only": spread_only,
        "seconds": {
            "simulate_core": train.seconds_core + test.seconds_core,
            "train": train_seconds,
            "predict_per_trace": predicted.seconds_per_trace,
        },
        "out_of_range_fraction": float(np.mean(predicted.out_of_range > 1)),
        "warned_fraction": errors.warned(predicted.score),
        "published": dict(spec["published"]),
        "published_source": spec["published_source"],
    }


def draw_figures(
    spec: dict, predicted: measures.Predictions, test, histories: list[Path], errors: ErrorModel, folder: Path
) -> None:
    """Writes every figure into a folder, one PNG per entry of `captions.CAPTIONS`.

    Args:
        spec: Specification of the step.
        predicted: Predictions of the test set.
        test: Test dataset; only the example traces are read.
        histories: history.csv of every fold.
        errors: The ensemble's error model.
        folder: Where the figures go.
    """
    import pandas as pd

    from neuroinverse.evaluation import figures, style
    from neuroinverse.evaluation.error_map import error_map

    signal = test.signals[spec["signal"]]
    traces = read_examples(test, spec["signal"], predicted)
    tables = [pd.read_csv(path) for path in histories]
    stimulus = test.stimulus
    drawings = {
        "examples": lambda: figures.examples(
            predicted, traces, signal, spec["signal_unit"], stimulus, spec["stimulus_unit"] or ""
        ),
        "predicted_true": lambda: figures.predicted_true(predicted),
        "residuals": lambda: figures.residuals(predicted),
        "residual_correlation": lambda: figures.residual_correlation(predicted),
        "error_map": lambda: error_map(predicted),
        "learning_curves": lambda: figures.learning_curves(tables),
        "coverage": lambda: figures.coverage(predicted, errors),
    }
    # one at a time: 31 panels of hexagons take a while to hold as well as to draw
    for name, draw in drawings.items():
        style.save(draw(), folder / f"{name}.png")


def read_examples(test, name: str, predicted: measures.Predictions) -> list:
    """Reads the traces of the example figure and nothing else of the signal.

    Args:
        test: Test dataset.
        name: The signal.
        predicted: Predictions of the test set.

    Raises:
        NeuroinverseError: If a predicted simulation is not in the dataset.
    """
    from neuroinverse.evaluation.figures import Example

    index = np.asarray(test.index(0, test.n))
    examples = []
    for row in measures.example_rows(predicted, EXAMPLES):
        found = np.flatnonzero(index == predicted.index[row])
        if not len(found):
            raise NeuroinverseError(
                f"simulation {predicted.index[row]} was predicted but is not in the test dataset. The predictions "
                "are of another test set: delete predictions.parquet and run the workflow again"
            )
        place = int(found[0])
        examples.append(Example(int(row), test.signal(name, place, place + 1)[0]))
    return examples
