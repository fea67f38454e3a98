"""Datasets that a study adds, estimators of some parameters, errors on other datasets, silent networks."""

import json
from collections import Counter

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from neuroinverse.estimators.modelfile import read_metadata
from neuroinverse.shards import SILENT, Dataset

# two channels of noise, low-pass filtered, without a stimulus; a small drive gives silence
SIMULATOR = """
import numpy as np

from neuroinverse.simulators.base import ParameterInfo, Signal, Simulator


class Noise(Simulator):
    parameters = {
        "drive": ParameterInfo("1", 1.0, "amplitude"),
        "tau": ParameterInfo("ms", 5.0, "time constant"),
        "mix": ParameterInfo("1", 0.5, "share of the first channel in the second"),
    }
    stimulus_unit = None
    batch = 7
    options = ("seconds",)

    @property
    def signals(self):
        return (
            Signal("lfp", "mV", self.dt_ms, (self.n_steps, 2)),
            Signal("regularity", "1", self.dt_ms, (1,), may_be_nan=True),
        )

    def simulate(self, theta, seeds):
        values = self.columns(theta)
        lfp = np.zeros((len(theta), self.n_steps, 2))
        for i, seed in enumerate(seeds):
            noise = np.random.default_rng(int(seed)).normal(size=self.n_steps)
            decay = np.exp(-self.dt_ms / values["tau"][i])
            for k in range(1, self.n_steps):
                lfp[i, k, 0] = decay * lfp[i, k - 1, 0] + values["drive"][i] * noise[k]
            lfp[i, :, 1] = values["mix"][i] * lfp[i, :, 0]
        silent = values["drive"] < 0.3
        lfp[silent] = 0
        return {"lfp": lfp, "regularity": np.where(silent, np.nan, 1.0)[:, None], "silent": silent}
"""
NETWORK = {
    "kind": "cnn",
    "signal": "lfp",
    "features": [{"welch": {"segment_ms": 32}}, {"log_power": {}}, {"standardize": {"per": "bin"}}],
    "folds": 2,
    "hyperparameters": {
        "conv_filter": [4, 4], "conv_kernel": [5, 3], "pool_len": 2, "fc_dims": [8], "epochs": 2,
        "activation": "relu", "bias": ["fc"],
    },
}  # fmt: skip
STUDY = {
    "title": "Filtered noise",
    "question": "Which drive and time constant?",
    "simulator": {"path": "noise.py", "class": "Noise"},
    "parameters": [
        {"name": "drive", "unit": "1", "low": 0.2, "high": 2},
        {"name": "tau", "unit": "ms", "low": 1, "high": 20, "scale": "log"},
    ],
    "protocol": {"dt_ms": 1, "duration_ms": 128},
    "datasets": {
        "shard_size": 25,
        "train": {"n": 60},
        "calibration": {"n": 20},
        "test": {"n": 20},
        "train_grid": {"n": 64, "sampling": "grid"},
        "test_narrow": {"n": 10, "ranges": {"drive": [1.0, 1.5]}},
        "test_mixed": {"n": 10, "fixed": {"mix": 0.9}},
        "states": {"sampling": "points", "points": [{"drive": 1, "tau": 3}, {"drive": 0.1, "tau": 9}]},
    },
    "estimators": {
        "cnn": NETWORK | {"transfer": ["test_narrow", "test_mixed"]},
        "cnn_tau": NETWORK | {"parameters": ["tau"], "dataset": "train_grid"},
    },
    "scales": {"smoke": {}, "demo": {}, "paper": {}},
}


@pytest.fixture(scope="module")
def noise(tmp_path_factory, environment):
    """The finished study, not to be changed."""
    from running import make_folder

    folder = make_folder(tmp_path_factory.mktemp("noise") / "run", environment)
    (folder.path / "noise.py").write_text(SIMULATOR)
    (folder.path / "config" / "studies" / "noise.yaml").write_text(yaml.safe_dump(STUDY))
    (folder.path / "config" / "config.yaml").write_text("master_seed: 3\nstudies: {noise: smoke}\n")
    jobs = Counter(job.rule for job in folder.plan("all"))
    folder.snakemake("all")
    return folder, jobs


def test_the_report_takes_the_datasets_that_estimators_name(noise):
    folder, jobs = noise
    assert jobs["index_dataset"] == 6 and jobs["transfer"] == 1 and jobs["compile_mechanisms"] == 0
    names = {p.stem for p in (folder.results("noise") / "dataset").glob("*.h5")}
    assert names == {"train", "calibration", "test", "train_grid", "test_narrow", "test_mixed"}
    page = (folder.results("noise") / "report.html").read_text()
    assert "On other datasets" in page and "test_narrow" in page and "1.00 to 1.50" not in page and "1 to 1.5" in page
    assert "nothing spiked" in page
    assert folder.plan("all") == []


def test_a_dataset_is_sampled_as_it_says(noise):
    folder, _ = noise
    results = folder.results("noise")
    grid, narrow, mixed = (
        Dataset(results / "dataset" / f"{d}.h5") for d in ("train_grid", "test_narrow", "test_mixed")
    )
    theta = grid.theta(0, 64)
    assert [len(np.unique(theta[:, k])) for k in (0, 1)] == [8, 8] and len(np.unique(theta, axis=0)) == 64
    drive = narrow.theta(0, 10)[:, 0]
    assert drive.min() >= 1 and drive.max() <= 1.5
    good = mixed.signal("lfp", 0, 10)[mixed.status(0, 10) == 0]
    np.testing.assert_allclose(good[..., 1], np.float32(0.9) * good[..., 0], rtol=1e-6)


def test_silent_networks_are_counted_and_left_out(noise):
    folder, _ = noise
    results = folder.results("noise")
    train, test = (Dataset(results / "dataset" / f"{d}.h5") for d in ("train", "test"))
    silent = train.status(0, train.n) == SILENT
    assert (silent == (train.theta(0, train.n)[:, 0] < 0.3)).all() and 0 < silent.sum() == train.n_silent
    assert train.n_failed == 0 and train.signals["regularity"].may_be_nan
    metrics = json.loads((results / "cnn" / "metrics.json").read_text())
    assert metrics["n_silent"] == train.n_silent + test.n_silent and metrics["n_failed"] == 0
    assert metrics["n_test"] == test.n - test.n_silent
    model = read_metadata(results / "cnn" / "fold-0" / "model.keras")
    assert model["n_train"] + model["n_validation"] == train.n - train.n_silent


def test_an_estimator_of_one_parameter(noise):
    folder, _ = noise
    results = folder.results("noise") / "cnn_tau"
    model = read_metadata(results / "fold-1" / "model.keras")
    assert [p["name"] for p in model["parameters"]] == ["tau"]
    assert model["spec"]["simulation"]["dataset"] == "train_grid"
    table = pd.read_parquet(results / "predictions.parquet")
    assert "tau_mean" in table and not any(column.startswith("drive") for column in table)
    assert list(json.loads((results / "metrics.json").read_text())["parameters"]) == ["tau"]
    test = Dataset(folder.results("noise") / "dataset" / "test.h5")
    with h5py.File(test.shards[0]) as file:
        np.testing.assert_allclose(table["tau_true"], file["theta"][:, 1][file["status"][:] == 0])
    assert not (results / "transfer.json").exists()


def test_errors_on_other_datasets_stand_beside_those_on_the_test_set(noise):
    folder, _ = noise
    results = folder.results("noise") / "cnn"
    transfer = json.loads((results / "transfer.json").read_text())
    rows = {row["dataset"]: row for row in transfer["datasets"]}
    assert list(rows) == ["test", "test_narrow", "test_mixed"]
    metrics = json.loads((results / "metrics.json").read_text())
    assert rows["test"]["n"] == metrics["n_test"] and rows["test"]["differs"] == {}
    for name, errors in metrics["parameters"].items():
        assert rows["test"]["parameters"][name] == pytest.approx(errors)
    assert rows["test_narrow"]["differs"] == {"drive": [1.0, 1.5]} and rows["test_mixed"]["differs"] == {"mix": 0.9}
    assert (results / "figures" / "transfer.png").stat().st_size > 1000


def test_a_dataset_on_its_own(noise):
    """The states are made when they are asked for, and nothing else is."""
    folder, _ = noise
    assert folder.rules("results/noise/smoke/dataset/states.h5") == {"simulate_shard": 1, "index_dataset": 1}
    folder.snakemake("results/noise/smoke/dataset/states.h5")
    states = Dataset(folder.results("noise") / "dataset" / "states.h5")
    assert states.theta(0, 2).tolist() == [[1, 3], [0.1, 9]] and states.n_silent == 1
    assert folder.plan("all") == []


def test_an_unknown_dataset_is_named(noise):
    folder, _ = noise
    printed = folder.snakemake("results/noise/smoke/dataset/stats.h5", check=False)
    assert "has no dataset 'stats'" in printed and "states" in printed
