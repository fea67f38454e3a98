"""Datasets and networks so small that a training takes a second."""

from pathlib import Path

import numpy as np

from neuroinverse.estimators.architecture import complete
from neuroinverse.parameters import Parameter, ParameterSpace
from neuroinverse.shards import NOT_FINITE, OK, Dataset, join_shards, write_shard
from neuroinverse.simulators.base import Signal

SPACE = ParameterSpace((Parameter("amplitude", "mV", 1.0, 3.0), Parameter("tau", "ms", 1.0, 100.0, "log")))
SIGNAL = Signal("voltage", "mV", 0.5, (24,), 10.0)
HYPERPARAMETERS = complete(
    {
        "conv_filter": [4, 6],
        "conv_kernel": 3,
        "conv_padding": "same",
        "pool_len": 2,
        "fc_dims": [8],
        "epochs": 3,
        "batch_size": 8,
    }
)

FEATURES = [{"log_voltage": {"low_mV": -80, "high_mV": 50}}, {"standardize": {}}]


def traces(theta: np.ndarray) -> np.ndarray:
    """Exponential decays, float32, shape (n, time): theta is (amplitude, tau)."""
    t = SIGNAL.dt_ms * np.arange(SIGNAL.shape[0])
    return (theta[:, :1] * np.exp(-t / theta[:, 1:])).astype(np.float32)


def make_dataset(folder: Path, n: int = 60, shard_size: int = 25, failed: tuple[int, ...] = ()) -> Dataset:
    """Writes shards of decays under `folder` and joins them; the simulations in `failed` are NaN."""
    simulation = {
        "study": "tiny",
        "dataset": "train",
        "master_seed": 1,
        "parameters": SPACE.to_table(),
        "simulator": {"name": "tiny"},
        "protocol": {"dt_ms": SIGNAL.dt_ms, "duration_ms": 12},
    }
    shards = []
    for start in range(0, n, shard_size):
        index = np.arange(start, min(start + shard_size, n))
        theta, _ = SPACE.draw(1, "tiny/train", index)
        values, status = traces(theta), np.full(len(index), OK, np.uint8)
        lost = np.isin(index, failed)
        values[lost], status[lost] = np.nan, NOT_FINITE
        path = folder / "shards" / "train" / f"{len(shards):05d}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        spec = {"simulation": simulation, "start": start, "stop": int(index[-1]) + 1}
        write_shard(path, spec, theta, [SIGNAL], [(0, {"voltage": values}, status)], lambda: 1.0)
        shards.append(path)
    joined = folder / "dataset" / "train.h5"
    joined.parent.mkdir(parents=True, exist_ok=True)
    join_shards(joined, {"simulation": simulation, "n": n, "shard_size": shard_size}, shards)
    return Dataset(joined)


def metadata(rmse: float | None = 0.1) -> dict:
    """What train_fold would store beside a network of SPACE and SIGNAL."""
    return {
        "parameters": SPACE.to_table(),
        "signal": {
            "name": SIGNAL.name,
            "unit": SIGNAL.unit,
            "dt_ms": SIGNAL.dt_ms,
            "shape": list(SIGNAL.shape),
            "t0_ms": SIGNAL.t0_ms,
        },
        "validation_rmse_unit": [rmse, 2 * rmse] if rmse else None,
        "n_train": 30,
    }


def make_model(hyperparameters: dict | None = None, seed: int = 1):
    """An untrained network, from the physical signal to unit parameters, with every feature in its chain."""
    import keras

    from neuroinverse.estimators import cnn, heads

    keras.utils.set_random_seed(seed)
    h = HYPERPARAMETERS | (hyperparameters or {})
    theta, _ = SPACE.draw(1, "tiny/train", np.arange(20))
    first = cnn.feature_model(SIGNAL, FEATURES)
    statistics = cnn.feature_statistics(lambda: iter([np.asarray(first(traces(theta)[..., None]))]))
    model, _ = cnn.build_models(SIGNAL, FEATURES, h, len(SPACE.parameters), statistics, first)
    model.compile(cnn.make_optimizer(h), heads.loss(h))
    return model
