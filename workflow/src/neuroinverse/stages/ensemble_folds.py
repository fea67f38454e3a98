"""ensemble_folds: every fold's and the ensemble's answer for each test simulation."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from neuroinverse.estimators.ensemble import Ensemble
from neuroinverse.files import atomic
from neuroinverse.progress import Progress
from neuroinverse.shards import OK, Dataset

BLOCK = 512


def run(spec: dict, dataset: Path, models: list[Path], output: Path) -> None:
    """Predicts the test dataset block by block.

    The columns, physical units unless said otherwise: index; for each parameter P P_true, P_fold0 …, P_mean (mean of
    the folds' unit parameters), P_sd and P_error (both in unit parameters); out_of_range. Failed simulations are left
    out.

    Args:
        spec: Specification of the ensemble.
        dataset: The test dataset.
        models: The folds' estimators.
        output: The parquet file.
    """
    ensemble, data = Ensemble(models), Dataset(dataset)
    progress = Progress(data.n, "simulations")
    seconds, rows = 0.0, 0
    with atomic(output) as temporary:
        writer = None
        for start in range(0, data.n, BLOCK):
            stop = min(start + BLOCK, data.n)
            usable = data.status(start, stop) == OK
            progress.add(stop - start)
            if not usable.any():
                continue
            signals = data.signal(spec["training"]["signal"], start, stop)[usable]
            if rows == 0:
                ensemble.predict(signals[:1])  # the first call builds the graph: not timed
            begin = time.perf_counter()
            predictions = ensemble.predict(signals)
            seconds += time.perf_counter() - begin
            rows += len(signals)
            theta, index = data.theta(start, stop)[usable], data.index(start, stop)[usable]
            table = pa.Table.from_pandas(_frame(ensemble.parameters, index, theta, predictions), preserve_index=False)
            writer = writer or pq.ParquetWriter(temporary, table.schema)
            writer.write_table(table)
        if writer is None:
            raise ValueError(f"{dataset}: every test simulation failed; look at the logs of simulate_shard")
        writer.add_key_value_metadata({"predict_seconds_per_trace": repr(seconds / rows)})
        writer.close()
    progress.close()


def _frame(space, index, theta, predictions) -> pd.DataFrame:
    columns = {"index": index}
    mean = space.to_physical(predictions.mean)
    folds = space.to_physical(predictions.folds)
    for i, name in enumerate(space.names):
        columns[f"{name}_true"] = theta[:, i]
        columns |= {f"{name}_fold{k}": folds[k, :, i] for k in range(len(folds))}
        columns[f"{name}_mean"] = mean[:, i]
        columns[f"{name}_sd"] = predictions.sd[:, i]
        columns[f"{name}_error"] = predictions.error[:, i]
    columns["out_of_range"] = predictions.out_of_range
    return pd.DataFrame({k: np.ascontiguousarray(v) for k, v in columns.items()})
