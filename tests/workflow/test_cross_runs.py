"""A model on the traces of another study, through Snakemake."""

import json

import decay
import pytest
import yaml

TARGET = "results/known/smoke/cnn/cross.html"


@pytest.fixture
def folder(fresh):
    """A folder with two studies of a simulator of the user's own, of which each names the other."""
    (fresh.path / "decay.py").write_text(decay.MODULE)
    for name, other, rate in (("known", "strange", 1.0), ("strange", "known", 30.0)):
        study = decay.study("decay.py", "Decay", folds=2)
        study["parameters"][0]["high"] = rate
        study["estimators"]["cnn"]["cross"] = [other]
        (fresh.path / "config" / "studies" / f"{name}.yaml").write_text(yaml.safe_dump(study))
    (fresh.path / "config" / "config.yaml").write_text("master_seed: 3\nstudies: {known: smoke}\n")
    return fresh


def test_the_other_study_is_simulated_and_not_trained(folder):
    planned = folder.rules(TARGET)
    # own: two shards to train on, one each to calibrate and to test with; of the other its test set
    simulated = {"check_simulator": 2, "simulate_shard": 5, "index_dataset": 4}
    assert planned == simulated | {"train_fold": 2, "ensemble_folds": 1, "cross": 1}
    folder.snakemake(TARGET)
    results = folder.path / "results" / "known" / "smoke" / "cnn"
    found = json.loads((results / "cross.json").read_text())
    assert [(row["study"], row["n"]) for row in found["datasets"]] == [("known", 20), ("strange", 20)]
    assert "data:image/png" in (results / "cross.html").read_text()
    assert folder.plan(TARGET) == []

    # a larger test set of the other study: what it lacks, and no training
    folder.edit("strange", datasets__test={"n": 30})
    assert folder.rules(TARGET) == {"simulate_shard": 1, "index_dataset": 1, "cross": 1}
    # no longer asked for: the rest is settled
    folder.edit("known", estimators__cnn={**decay.study("decay.py", "Decay", folds=2)["estimators"]["cnn"]})
    assert folder.plan("results/known/smoke/cnn/predictions.parquet") == []
    printed = folder.snakemake("-n", TARGET, "--forcerun", "cross", check=False)
    assert "add `cross: [other_study]` to the study file" in printed


def test_no_report_depends_on_it(folder):
    assert not {job.rule for job in folder.plan("all")} & {"cross"}
