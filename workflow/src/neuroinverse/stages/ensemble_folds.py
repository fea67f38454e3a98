"""ensemble_folds: every fold's and the ensemble's answer for each test simulation, with a calibrated error."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from neuroinverse.errors import NeuroinverseError
from neuroinverse.estimators.ensemble import Ensemble, Predictions
from neuroinverse.evaluation.calibration import ErrorModel
from neuroinverse.files import atomic
from neuroinverse.parameters import ParameterSpace
from neuroinverse.progress import Progress
from neuroinverse.shards import OK, Dataset

BLOCK = 512


def run(
    spec: dict, calibration_dataset: Path, test_dataset: Path, models: list[Path], output: Path, calibration: Path
) -> None:
    """Fits the error model to the calibration dataset, then predicts the test dataset, both block by block.

    The columns, physical units unless said otherwise: index; for each parameter P P_true, P_fold0 …, P_mean (mean of
    the folds' unit parameters), P_sd and P_error (both in unit parameters); out_of_range; score. Failed and silent
    simulations are left out.

    Args:
        spec: Specification of the ensemble.
        calibration_dataset: Simulations that no fold was trained on, for the stated error.
        test_dataset: Simulations to predict.
        models: The folds' estimators.
        output: The parquet file.
        calibration: JSON with the error model and its intervals, for later predictions.

    Raises:
        NeuroinverseError: If every simulation of a dataset failed.
    """
    ensemble = Ensemble(models)
    signal = spec["training"]["signal"]
    spread, residual, score = [], [], []
    for _, theta, predictions, _ in predict_dataset(ensemble, Dataset(calibration_dataset), signal):
        spread.append(predictions.sd)
        residual.append(predictions.mean - ensemble.parameters.to_unit(theta))
        score.append(predictions.score)
    errors = ErrorModel.fit(*map(np.concatenate, (spread, residual, score)))
    seconds, rows = 0.0, 0
    with atomic(output) as temporary:
        writer = None
        for index, theta, predictions, spent in predict_dataset(ensemble, Dataset(test_dataset), signal):
            frame = _frame(ensemble.parameters, index, theta, predictions, errors)
            table = pa.Table.from_pandas(frame, preserve_index=False)
            writer = writer or pq.ParquetWriter(temporary, table.schema)
            writer.write_table(table)
            seconds, rows = seconds + spent, rows + len(index)
        writer.add_key_value_metadata({"predict_seconds_per_trace": repr(seconds / rows)})
        writer.close()
    with atomic(calibration) as temporary:
        content = {"names": list(ensemble.parameters.names), "folds": len(models)}
        temporary.write_text(json.dumps(content | errors.to_dict(), indent=1) + "\n")


def predict_dataset(
    ensemble: Ensemble, data: Dataset, signal: str
) -> Iterator[tuple[np.ndarray, np.ndarray, Predictions, float]]:
    """Predicts a dataset block by block; failed and silent simulations are left out.

    Args:
        ensemble: The folds.
        data: The dataset.
        signal: Name of the signal.

    Yields:
        Index, physical parameters that the ensemble infers, predictions, and seconds spent.

    Raises:
        NeuroinverseError: If every simulation failed.
    """
    for rows, usable, predictions, spent in predict_blocks(ensemble, data, signal):
        theta = data.theta(rows.start, rows.stop, ensemble.parameters.names)[usable]
        yield data.index(rows.start, rows.stop)[usable], theta, predictions, spent


def predict_blocks(
    ensemble: Ensemble, data: Dataset, signal: str
) -> Iterator[tuple[range, np.ndarray, Predictions, float]]:
    """Predicts the signals of a dataset, whatever parameters it has, block by block.

    Args:
        ensemble: The folds.
        data: The dataset.
        signal: Name of the signal.

    Yields:
        Rows of the block; which of them neither failed nor are silent, shape (len(rows),); predictions of these, and
        seconds spent.

    Raises:
        NeuroinverseError: If every simulation failed.
    """
    progress, found = Progress(data.n, "predictions"), False
    for start in range(0, data.n, BLOCK):
        stop = min(start + BLOCK, data.n)
        usable = data.status(start, stop) == OK
        progress.add(stop - start)
        if not usable.any():
            continue
        signals = data.signal(signal, start, stop)[usable]
        if not found:
            ensemble.predict(signals[:1])  # the first call builds the graph: not timed
        found, begin = True, time.perf_counter()
        predictions = ensemble.predict(signals)
        yield range(start, stop), usable, predictions, time.perf_counter() - begin
    progress.close()
    if not found:
        raise NeuroinverseError(
            f"{data.path}: every simulation failed or is silent; look at the logs of simulate_shard"
        )


def _frame(space: ParameterSpace, index, theta, predictions: Predictions, errors: ErrorModel) -> pd.DataFrame:
    columns = {"index": index}
    mean, spread = space.to_physical(predictions.mean), predictions.sd
    folds, error = space.to_physical(predictions.folds), errors.error(spread)
    for i, name in enumerate(space.names):
        columns[f"{name}_true"] = theta[:, i]
        columns |= {f"{name}_fold{k}": folds[k, :, i] for k in range(len(folds))}
        columns[f"{name}_mean"] = mean[:, i]
        columns[f"{name}_sd"] = spread[:, i]
        columns[f"{name}_error"] = error[:, i]
    columns |= {"out_of_range": predictions.out_of_range, "score": predictions.score}
    return pd.DataFrame({k: np.ascontiguousarray(v) for k, v in columns.items()})
