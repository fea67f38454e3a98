"""The studies of `make demo` from the prior to its report through a real Slurm, with the command of the README."""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml
from cluster import ACCOUNT, CPU_PARTITION, GPU_PARTITION
from running import CONFIGURED, REPO, arrays, read_jobs

# the target rule runs where Snakemake runs
LOCAL = {"all"}
# beside the reports, targets of one of these studies
CNN = Path("results/izhikevich/smoke/cnn")
FURTHER = [str(CNN / file) for file in ("search/finalists.html", "search/stability.html", "scaling.json", "cross.html")]
# a posterior whose second round is simulated where the first holds it likely
ROUND = Path("results/hh_posterior_8/smoke/posterior_sequential_round_2")
# a study that the model is given traces of
OTHER = "slower_neuron"


@pytest.fixture(scope="module")
def run(new_clone, tmp_path_factory):
    """The finished run through Slurm."""
    clone = new_clone(tmp_path_factory.mktemp("slurm") / "clone")
    clone.slurm()
    return clone


@pytest.fixture(scope="module")
def further(run, tmp_path_factory):
    """A copy of the finished run, in which the further targets have run through Slurm."""
    clone = type(run)(tmp_path_factory.mktemp("further") / "clone", run.environment)
    shutil.copytree(run.path, clone.path, symlinks=True)
    file = clone.path / "config" / "studies" / "izhikevich.yaml"
    content = yaml.safe_load(file.read_text())
    content["parameters"][0]["low"] /= 4
    file.with_stem(OTHER).write_text(yaml.safe_dump(content))
    content["parameters"][0]["low"] *= 4
    content["estimators"]["cnn"]["cross"] = [OTHER]
    file.write_text(yaml.safe_dump(content))
    clone.slurm(*FURTHER)
    return clone


def test_the_link_in_the_root_is_the_profile():
    assert (REPO / "slurm").readlink() == Path("profiles/slurm") and (REPO / "slurm" / "config.yaml").is_file()


def went_well(clone) -> Counter:
    """How many jobs of each rule the last run had; all ran under Slurm, and are completed."""
    planned = Counter(job.rule for job in read_jobs(clone.printed) if job.rule not in LOCAL)
    jobs = clone.jobs()
    assert Counter(job.rule for job in jobs) == planned
    assert {job.state for job in jobs} == {"COMPLETED"}
    return planned


def test_every_job_ran_under_slurm(run):
    planned = went_well(run)
    assert planned["simulate_shard"] and planned["train_fold"]
    print(planned)


def test_the_edited_lines_reach_every_job(run):
    for job in run.jobs():
        training = job.rule == "train_fold"
        assert job.account == ACCOUNT
        assert job.partition == (GPU_PARTITION if training else CPU_PARTITION)
        details = run.client("scontrol", "show", "job", job.id)
        assert ("TresPerNode=gres:gpu:1" in details) == training, details


@pytest.mark.parametrize("name", CONFIGURED)
def test_results_are_those_of_a_local_run(run, smoke, name):
    local = smoke[0]
    shards = [p.relative_to(local.path) for p in local.results(name).rglob("shards/*/*.h5")]
    assert shards
    for shard in shards:
        assert arrays(run.path / shard) == arrays(local.path / shard), shard
    for estimator in run.study(name).estimators:
        found, expected = (
            pd.read_parquet(folder.results(name) / estimator / "predictions.parquet") for folder in (run, local)
        )
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert (run.results(name) / "report.html").is_file()


def test_a_search_and_its_repeats(further):
    planned = went_well(further)
    # three trials, one finalist and its two repeats; of the training sizes one more shard, and two folds each of two;
    # of the other study its test traces
    assert [planned[rule] for rule in ("train_trial", "rank_trials", "stability")] == [3 + 1 + 2, 2, 1]
    tested = len(further.study(OTHER).shards("test"))
    assert [planned[rule] for rule in ("simulate_shard", "train_fold", "scaling")] == [1 + tested, 2 * 2, 1]
    folder = further.path / CNN / "search"
    ranking, found = (json.loads((folder / f"{name}.json").read_text()) for name in ("ranking", "stability"))
    trials = [json.loads((folder / f"trial-{t}" / "result.json").read_text()) for t in range(3)]
    # jobs of their own, each of which looked up its design in the ranking that others had made
    best = min((t for t in trials if t["status"] == "ok"), key=lambda t: t["mse_unit"])["trial"]
    with (folder / "finalists.csv").open() as file:
        (finalist,) = csv.DictReader(file)
    (design,) = found["rows"]
    assert ranking["rows"][0]["trial"] == int(finalist["trial"]) == design["trial"] == best
    repeats = [json.loads((folder / f"design-1-repeat-{i}" / "result.json").read_text()) for i in range(2)]
    assert [r["mse_unit"] for r in repeats] == [m["mse_unit"] for m in design["members"]]
    golden = yaml.safe_load((folder / "golden.yaml").read_text())
    assert golden == (design["hyperparameters"] if design["ok"] == 2 else None)
    for name in ("finalists", "stability"):
        assert "data:image/png" in (folder / f"{name}.html").read_text()


def test_traces_of_another_study(further):
    own, other = json.loads((further.path / CNN / "cross.json").read_text())["datasets"]
    assert (own["study"], other["study"]) == ("izhikevich", OTHER) and own["own"] and not other["own"]
    assert 0 <= other["auroc"] <= 1 and "data:image/png" in (further.path / CNN / "cross.html").read_text()


def test_error_over_training_size(further):
    sizes = json.loads((further.path / CNN / "scaling.json").read_text())["sizes"]
    assert [size["n_train"] for size in sizes] == [40, 60, 80]
    for size, name in zip(sizes, ("cnn@40", "cnn", "cnn@80"), strict=True):
        metrics = json.loads((further.results("izhikevich") / name / "metrics.json").read_text())
        assert size["mse_unit"] == metrics["mse_unit"]


def test_a_posterior_in_two_rounds(new_clone, tmp_path_factory):
    clone = new_clone(tmp_path_factory.mktemp("rounds") / "clone")
    clone.slurm(str(ROUND / "metrics.json"))
    planned = went_well(clone)
    study = clone.study("hh_posterior_8")
    # of the round, of its test set and of its predictions
    assert planned["propose"] == 3 and planned["check_posterior"] == 1
    assert planned["train_fold"] == sum(len(study.folds(e)) for e in study.estimators)
    metrics = json.loads((clone.path / ROUND / "metrics.json").read_text())
    assert metrics["n_train"] == study.n_training(ROUND.name) == study.n("half") + study.n(ROUND.name)
    assert all(c["verdict"] in ("pass", "warn", "fail") for c in metrics["checks"]) and metrics["checks"]
