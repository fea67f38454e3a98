"""A study of every simulator from the prior to its report at the smallest scale; every scale as a plan; the tools."""

import html
import json
import math
import subprocess

import numpy as np
import pandas as pd
import pytest
import yaml
from running import BIN, REPO, SMOKED, STUDIES, make_folder, read_jobs

from neuroinverse import surrogates
from neuroinverse.column import specs as column
from neuroinverse.column.cells import ColumnCells
from neuroinverse.shards import OK, Dataset


def test_every_declared_file_is_made(smoke):
    folder, printed = smoke
    jobs = read_jobs(printed)
    assert {"simulate_shard", "train_fold", "ensemble_folds", "evaluate", "report", "report_index"} <= {
        j.rule for j in jobs
    }
    for job in jobs:
        for file in job.files:
            path = folder.path / file
            # what a job prints is its log: a verb with nothing to say leaves an empty one
            assert path.is_file() and (path.stat().st_size or "/logs/" in file), f"{job.rule}: {file}"
    hidden = [p for p in (folder.path / "results").rglob(".*") if p.name != ".gitkeep"]
    assert not hidden, "temporary files are left"
    assert not list((folder.path / "results").rglob("checkpoint")), "a finished training keeps no checkpoint"


@pytest.mark.parametrize("name", SMOKED)
def test_smoke_run(smoke, name):
    folder, _ = smoke
    study, results = folder.study(name), folder.results(name)
    assert (folder.path / "results" / "index.html").read_text().count(f"{name}/smoke/report.html")
    assert study.settings["title"] in html.unescape((results / "report.html").read_text())
    for dataset in study.report_datasets:
        joined = Dataset(results / "dataset" / f"{dataset}.h5")
        assert joined.n == study.n(dataset) and joined.n_failed == 0 and joined.seconds_core > 0
    for estimator in study.estimators:
        check = _check_posterior if study.is_posterior(estimator) else _check_estimator
        check(study, estimator, results)
    for surrogate in surrogates.reported(study):
        _check_surrogate(study, surrogate, results)
    for objective in column.names(study):
        _check_objective(study, objective, results)


def _check_estimator(study, estimator, results):
    folder, parameters = results / estimator, study.estimator_space(estimator)
    train, test = (Dataset(results / "dataset" / f"{d}.h5") for d in (study.training_dataset(estimator), "test"))
    several = len(study.folds(estimator)) > 1
    table = pd.read_parquet(folder / "predictions.parquet")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert list(table["index"]) == np.flatnonzero(test.status(0, test.n) == OK).tolist()
    assert metrics["n_train"] == train.n - train.n_silent and metrics["n_test"] == len(table) == test.n - test.n_silent
    assert metrics["n_failed"] == 0 and metrics["n_silent"] == train.n_silent + test.n_silent
    assert len(metrics["mse_unit_folds"]) == len(study.folds(estimator))
    # guessing the middle of the range has a mean squared error of 1/3: two epochs may do little better, never far worse
    assert 0 < metrics["mse_unit"] < 1.5
    assert metrics["mse_unit"] <= max(metrics["mse_unit_folds"]) + 1e-12
    assert set(metrics["parameters"]) == set(parameters.names)
    for p in parameters.parameters:
        truth, errors = table[f"{p.name}_true"], metrics["parameters"][p.name]
        assert truth.between(p.low, p.high).all() and truth.nunique() == len(table)
        assert errors["unit"] == p.unit
        assert errors["rmse"] == pytest.approx(math.sqrt(((table[f"{p.name}_mean"] - truth) ** 2).mean()), rel=1e-6)
        assert (table[f"{p.name}_error"] > 0).all() and (table[f"{p.name}_sd"] > 0).all() == several
    assert all(share is None or 0 <= share <= 1 for share in metrics["coverage"].values())
    assert all(seconds > 0 for seconds in metrics["seconds"].values())
    assert metrics["provenance"]["revision"]
    for fold in study.folds(estimator):
        history = pd.read_csv(folder / f"fold-{fold}" / "history.csv")
        assert len(history) == study.estimator(estimator)["hyperparameters"]["epochs"]
        assert history["loss"].notna().all() and history["val_loss"].notna().all() == several


def _check_posterior(study, estimator, results):
    folder, space = results / estimator, study.estimator_space(estimator)
    metrics, draws = json.loads((folder / "metrics.json").read_text()), pd.read_parquet(folder / "samples.parquet")
    assert list(draws.columns) == [*space.names, "gain_nats"] and np.isfinite(draws.to_numpy()).all()
    for p in space.parameters:
        assert draws[p.name].between(p.low, p.high).all() and draws[p.name].nunique() > 0.99 * len(draws)
    assert metrics["n_train"] == study.n_training(estimator) and metrics["n_test"] == study.n("test")
    names = {check["name"] for check in metrics["checks"]}
    assert {"sbc", "hpd_coverage", "tarp", "contraction", "inside_prior", "predictive", "misspecification"} <= names
    assert {check["verdict"] for check in metrics["checks"]} <= {"pass", "warn", "fail"}
    assert len(metrics["gain_nats_folds"]) == metrics["folds"] == len(study.folds(estimator))
    # a mixture is at least as good as its folds on the average
    assert metrics["gain_nats"] >= np.mean(metrics["gain_nats_folds"]) - 1e-9
    for dataset in study.training_datasets(estimator)[1:]:
        joined = Dataset(results / "dataset" / f"{dataset}.h5")
        assert (np.abs(space.to_unit(joined.theta(0, joined.n))) <= 1).all()
        assert len(np.unique(joined.theta(0, joined.n), axis=0)) == joined.n
    page = html.unescape((results / "report.html").read_text())
    assert all(check["sentence"] in page for check in metrics["checks"])


def _check_surrogate(study, surrogate, results):
    metrics = json.loads((results / "surrogates" / surrogate / "metrics.json").read_text())
    test = Dataset(results / "dataset" / f"{surrogates.test_dataset(study, surrogate)}.h5")
    n_test = ColumnCells(test, metrics["cell"]).n if "cell" in metrics else test.n
    assert (metrics["n_train"], metrics["n_test"]) == (surrogates.n_training(study, surrogate), n_test)
    for name, row in metrics["outputs"].items():
        assert -1 <= row["low"] <= row["correlation"] <= row["high"] <= 1, name
        # after an epoch it may know nothing, and is not far off for that
        assert 0 < row["rmse"] < 2 * row["sd"]
        assert metrics[f"{name}_correlation"] == row["correlation"]
    assert metrics["spikes"]["n_simulated"] > 0
    assert metrics["spikes"]["threshold"]["output"] in ("soma", "spike")


def _check_objective(study, objective, results):
    folder = results / "objectives" / objective
    metrics = json.loads((folder / "metrics.json").read_text())
    search = column.search_spec(study, objective)
    assert metrics["n"] == {"before": study.n("start"), "after": study.n(objective)}
    assert {"loss", *(term.get("name", term["kind"]) for term in search["terms"])} == set(metrics["measures"])
    bound = 10 ** json.loads((folder / "search.json").read_text())["search"]["settings"]["bound"]
    found = Dataset(results / "dataset" / f"{objective}.h5")
    theta = found.theta(0, found.n)
    # the same gains in all, within the bounds, and those that the metrics and hnn-core's file tell
    assert (theta == theta[0]).all() and (theta >= 1 / bound - 1e-9).all() and (theta <= bound + 1e-9).all()
    told = [10 ** metrics["log10_gains"][name.removeprefix(column.GAIN)] for name in study.parameters.names]
    np.testing.assert_allclose(theta[0], told, rtol=1e-6)
    assert json.loads((folder / "network.json").read_text())["object_type"] == "Network"


def _targets(name: str) -> list[str]:
    """The report of a study at every scale, and the error over the training size where its first estimator has one."""
    settings = yaml.safe_load((REPO / "config" / "studies" / f"{name}.yaml").read_text())
    scaled = [estimator for estimator, own in list(settings.get("estimators", {}).items())[:1] if "scaling" in own]
    files = ["report.html", *(f"{estimator}/scaling.json" for estimator in scaled)]
    return [f"results/{name}/{scale}/{file}" for scale in ("smoke", "demo", "paper") for file in files]


@pytest.fixture(scope="module")
def every_plan(environment, tmp_path_factory):
    """The jobs of every study at every scale: one dry run, since Snakemake's start is most of it."""
    folder = make_folder(tmp_path_factory.mktemp("plans") / "run", environment)
    return folder.plan(*(target for name in STUDIES for target in _targets(name)))


@pytest.mark.parametrize("name", STUDIES)
def test_every_scale_has_a_plan(every_plan, name):
    assert set(_targets(name)) <= {file for job in every_plan for file in job.output}
    for scale in ("smoke", "demo", "paper"):
        trained = [job for job in every_plan if job.rule in ("train_fold", "train_surrogate")]
        assert any(job.output[0].startswith(f"results/{name}/{scale}/") for job in trained)


def test_snakemake_writes_its_own_report(finished):
    target = finished.path / "report.html"
    finished.snakemake("--report", str(target), "all")
    assert "error_map" in target.read_text()


@pytest.mark.parametrize(
    "command",
    [
        ["snakemake", "--lint"],
        ["snakefmt", "--check", "Snakefile", "workflow/rules"],
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_tools_find_nothing(command, environment):
    done = subprocess.run([BIN / command[0], *command[1:]], cwd=REPO, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
