"""A search through Snakemake: its jobs are known beforehand, and each is repeated by its own target."""

import csv
import json
from collections import Counter

import decay
import pytest
import yaml

SEARCH = "results/searched/smoke/cnn/search"


@pytest.fixture
def folder(fresh):
    """A folder with a study of a simulator of the user's own, and a search of three trials."""
    (fresh.path / "decay.py").write_text(decay.MODULE)
    study = decay.study("decay.py", "Decay", folds=2)
    # long enough for the shallow ones of the published networks
    study["protocol"] |= {"duration_ms": 500}
    section = {"trials": 3, "epochs": 1, "finalists": 1, "stability": {"designs": 1, "repeats": 2}}
    study["estimators"]["cnn"]["search"] = section
    (fresh.path / "config" / "studies" / "searched.yaml").write_text(yaml.safe_dump(study))
    (fresh.path / "config" / "config.yaml").write_text("master_seed: 3\nstudies: {searched: smoke}\n")
    return fresh


def edit(folder, **changes):
    folder.edit("searched", **{f"estimators__cnn__search__{key}": value for key, value in changes.items()})


def test_a_search_from_its_trials_to_its_finalists(folder):
    target = f"{SEARCH}/finalists.csv"
    planned = folder.rules(target)
    simulated = {"check_simulator": 1, "simulate_shard": 2, "index_dataset": 1}
    assert planned == simulated | {"train_trial": 4, "rank_trials": 2}
    folder.snakemake(target)
    results = folder.path / SEARCH
    tables = {tier: list(csv.DictReader((results / f"{tier}.csv").open())) for tier in ("ranking", "finalists")}
    assert sorted(row["trial"] for row in tables["ranking"]) == ["0", "1", "2"]
    losses = [float(row["mse_unit"]) for row in tables["ranking"]]
    assert losses == sorted(losses) and {row["epochs"] for row in tables["ranking"]} == {"1"}
    (finalist,) = tables["finalists"]
    assert finalist["trial"] == tables["ranking"][0]["trial"] and finalist["epochs"] == "2"
    for tier in tables:
        assert "data:image/png" in (results / f"{tier}.html").read_text()
        assert (results / f"{tier}.png").is_file()
    assert folder.plan(target) == []

    # one trial by its own target, to the same loss, and nothing else
    one = results / "trial-1" / "result.json"
    before = json.loads(one.read_text())
    one.unlink()
    (job,) = folder.plan(f"{SEARCH}/trial-1/result.json")
    assert job.rule == "train_trial"
    folder.snakemake(f"{SEARCH}/trial-1/result.json")
    after = json.loads(one.read_text())
    assert after["hyperparameters"] == before["hyperparameters"]
    assert after["mse_unit"] == pytest.approx(before["mse_unit"], rel=1e-3)
    assert folder.plan(target) == [], "the ranking knows the trial already"

    # the best is trained again, from the design that the ranking names when its jobs start
    again = f"{SEARCH}/stability.html"
    assert folder.rules(again) == {"train_trial": 2, "stability": 1}
    folder.snakemake(again)
    found = json.loads((results / "stability.json").read_text())
    (design,) = found["rows"]
    assert (found["chosen"], design["trial"]) == (1, int(finalist["trial"]))
    assert [m["fold"] for m in design["members"]] == [0, 1] and {m["status"] for m in design["members"]} == {"ok"}
    assert yaml.safe_load((results / "golden.yaml").read_text()) == design["hyperparameters"]
    assert folder.plan(again) == folder.plan(target) == []
    edit(folder, stability={"designs": 1, "repeats": 3})
    jobs = folder.plan(again)
    assert sorted(job.output[0] for job in jobs if job.rule == "train_trial") == [
        f"{SEARCH}/design-1-repeat-2/result.json"
    ]
    assert folder.plan(target) == [], "no repeat is behind the finalists"

    # more finalists: the further one alone; more trials: these, and the finalists, whose ranking is another
    edit(folder, finalists=2)
    jobs = folder.plan(target)
    assert Counter(job.rule for job in jobs) == {"train_trial": 1, "rank_trials": 1}
    assert any(f"{SEARCH}/finalist-2/result.json" in job.output for job in jobs)
    edit(folder, trials=4)
    jobs = folder.plan(target)
    trained = {job.output[0].split("/")[5] for job in jobs if job.rule == "train_trial"}
    assert trained == {"trial-3", "finalist-1", "finalist-2"}
    edit(folder, trials=3, finalists=1, epochs=2)
    assert folder.rules(target) == {"train_trial": 4, "rank_trials": 2}
    assert folder.rules(again) == {"train_trial": 7, "rank_trials": 2, "stability": 1}


def test_the_search_is_no_part_of_the_report(folder):
    jobs = folder.plan("all")
    assert not {job.rule for job in jobs} & {"train_trial", "rank_trials"}


def test_a_study_without_a_search_says_what_to_add(folder):
    printed = folder.snakemake("-n", "results/hh_point_2/smoke/cnn/search/ranking.csv", check=False)
    assert "add `search: {trials: 40, epochs: 8, finalists: 5}` to the study file" in printed
