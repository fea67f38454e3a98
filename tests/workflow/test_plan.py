"""`neuroinverse plan` counts what Snakemake would run."""

import pytest
from running import STUDIES, make_folder

from neuroinverse import surrogates
from neuroinverse.column import specs as column
from neuroinverse.planning import Rates, plan


@pytest.fixture(scope="module")
def dry_run(environment, tmp_path_factory):
    """A fresh folder, and the jobs of all reports: one dry run, since Snakemake's start is most of it."""
    folder = make_folder(tmp_path_factory.mktemp("plan") / "run", environment)
    return folder, folder.plan(*(f"results/{name}/smoke/report.html" for name in STUDIES))


@pytest.mark.parametrize("name", STUDIES)
def test_jobs_are_those_of_a_dry_run(dry_run, name):
    folder, jobs = dry_run
    study = folder.study(name)
    trained = dict.fromkeys([*study.estimators, *surrogates.names(study)], 1.0)
    needs = plan(study, Rates(1.0, trained, dict.fromkeys(column.names(study), 1.0)))
    # a column is built on surrogates of another study, which has a plan of its own
    jobs = [job for job in jobs if job.output[0].startswith(f"results/{name}/")]
    assert needs["jobs"] == len(jobs)
    assert needs["shards"] == sum(job.rule == "simulate_shard" for job in jobs)
