"""The studies of `make demo` from the prior to its report through a real Slurm, with the command of the README."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from cluster import ACCOUNT, CPU_PARTITION, GPU_PARTITION
from running import CONFIGURED, REPO, arrays, read_jobs

# the target rule runs where Snakemake runs
LOCAL = {"all"}


@pytest.fixture(scope="module")
def run(new_clone, tmp_path_factory):
    """The finished run through Slurm."""
    clone = new_clone(tmp_path_factory.mktemp("slurm") / "clone")
    clone.slurm()
    return clone


def test_the_link_in_the_root_is_the_profile():
    assert (REPO / "slurm").readlink() == Path("profiles/slurm") and (REPO / "slurm" / "config.yaml").is_file()


def test_every_job_ran_under_slurm(run):
    planned = Counter(job.rule for job in read_jobs(run.printed) if job.rule not in LOCAL)
    assert planned["simulate_shard"] and planned["train_fold"]
    print(planned)
    jobs = run.jobs()
    assert Counter(job.rule for job in jobs) == planned
    assert {job.state for job in jobs} == {"COMPLETED"}


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
