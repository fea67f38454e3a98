"""Predictions, histories and datasets with known properties, as the stages before `evaluate` leave them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from neuroinverse.evaluation import calibration
from neuroinverse.evaluation.calibration import ErrorModel
from neuroinverse.parameters import Parameter, ParameterSpace


def gaussian_errors(count: int, scale=None, floor=None) -> ErrorModel:
    """The error model of Gaussian residuals."""
    levels = [percent / 100 for percent in calibration.PERCENT]
    widths = np.repeat(calibration.gaussian_widths(levels), count, axis=1)
    return ErrorModel(tuple(scale or (1.0,) * count), tuple(floor or (0.0,) * count), widths, 1000, 2.0)


def make_space(count: int = 2, log: tuple[int, ...] = (), prefix: str = "g_channel") -> ParameterSpace:
    """A space of `count` parameters; those numbered in `log` are on a log scale."""
    return ParameterSpace(
        tuple(
            Parameter(
                f"{prefix}{k}", "S/cm2", 0.01 * (k + 1), 0.04 * (k + 1), "log" if k in log else "linear", "density"
            )
            for k in range(count)
        )
    )


def write_predictions(
    path, space, n=400, folds=4, sd=0.05, bias=0.0, common_share=0.0, seed=1, seconds=None, stated=None
) -> pd.DataFrame:
    """Writes predictions.parquet: every fold errs by `bias` + Gaussian noise of standard deviation `sd` (unit space).

    Args:
        common_share: Share of the noise's variance that all folds have in common.
        stated: Stated error; by default the true standard deviation of the ensemble's error.
    """
    rng = np.random.default_rng(seed)
    count = len(space.parameters)
    true = rng.uniform(-1, 1, (n, count))
    common = rng.normal(0, sd * np.sqrt(common_share), (n, count))
    each = [true + bias + common + rng.normal(0, sd * np.sqrt(1 - common_share), (n, count)) for _ in range(folds)]
    mean = np.mean(each, axis=0)
    table = {"index": np.arange(n, dtype=np.int64)}
    expected = sd * np.sqrt(common_share + (1 - common_share) / folds)
    for k, name in enumerate(space.names):
        table[f"{name}_true"] = space.to_physical(true)[:, k]
        for fold, values in enumerate(each):
            table[f"{name}_fold{fold}"] = space.to_physical(values)[:, k]
        table[f"{name}_mean"] = space.to_physical(mean)[:, k]
        table[f"{name}_sd"] = np.std(each, axis=0)[:, k]
        table[f"{name}_error"] = np.full(n, expected if stated is None else stated)
    table["out_of_range"] = np.abs(mean).max(axis=1)
    # the threshold of gaussian_errors is 2: two in a hundred are above
    table["score"] = np.where(np.arange(n) % 50 == 0, 2.5, 1.0)
    frame = pd.DataFrame(table)
    arrow = pa.Table.from_pandas(frame, preserve_index=False)
    if seconds is not None:
        arrow = arrow.replace_schema_metadata({b"predict_seconds_per_trace": str(seconds).encode()})
    pq.write_table(arrow, path)
    return frame


def write_history(path, epochs=20, validation=True, seed=1) -> None:
    """Writes a history.csv whose loss falls, with an empty val_loss where there is no validation."""
    rng = np.random.default_rng(seed)
    epoch = np.arange(1, epochs + 1)
    loss = 0.3 * epoch**-1.5 * np.exp(rng.normal(0, 0.1, epochs))
    pd.DataFrame(
        {
            "epoch": epoch,
            "seconds": 1.5 * epoch,
            "learning_rate": 1e-3,
            "loss": loss,
            "val_loss": 1.2 * loss if validation else np.nan,
        }
    ).to_csv(path, index=False)


class FakeDataset:
    """Stands in for `shards.Dataset`: the same attributes, signals made up on demand."""

    def __init__(self, space, n=400, name="test", channels=None, unit="mV", stimulus=True, silent=0):
        shape = (1500,) if channels is None else (1500, channels)
        self.n, self.n_failed, self.n_silent, self.seconds_core = n, 2, silent, 12.5
        self.status_counts = {"ok": n - 2 - silent, "not finite": 2, "raised an error": 0, "silent": silent}
        self.parameters = space
        self.spec = {"n": n, "simulation": {"dataset": name, "simulator": {"name": "hh_point"}}}
        self.signals = {
            "soma_voltage": SimpleNamespace(
                name="soma_voltage", unit=unit, dt_ms=0.1, t0_ms=2.0, shape=shape, channels=()
            )
        }
        time = 2 + 0.1 * np.arange(1500)
        self.stimulus = np.sin(time**2 / 500) * (time > 10) if stimulus else None
        self.provenance = {"revision": "abc123", "host": "node1"}

    def index(self, start, stop):
        return np.arange(start, stop)

    def signal(self, name, start, stop):
        shape = self.signals[name].shape
        rows = []
        for i in range(start, stop):
            rng = np.random.default_rng(i)
            noise = rng.normal(0, 1, shape)
            rows.append(-65 + 80 * (np.abs(noise) > 2.6) + noise)
        return np.asarray(rows, dtype=np.float32)
