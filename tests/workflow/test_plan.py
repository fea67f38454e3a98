"""`neuroinverse plan` counts what Snakemake would run."""

import pytest
from running import STUDIES

from neuroinverse import surrogates
from neuroinverse.column import specs as column
from neuroinverse.planning import Rates, plan


@pytest.mark.parametrize("name", STUDIES)
def test_jobs_are_those_of_a_dry_run(fresh, name):
    study = fresh.study(name)
    trained = dict.fromkeys([*study.estimators, *surrogates.names(study)], 1.0)
    needs = plan(study, Rates(1.0, trained, dict.fromkeys(column.names(study), 1.0)))
    jobs = fresh.plan(f"results/{name}/smoke/report.html")
    # a column is built on surrogates of another study, which has a plan of its own
    jobs = [job for job in jobs if job.output[0].startswith(f"results/{name}/")]
    assert needs["jobs"] == len(jobs)
    assert needs["shards"] == sum(job.rule == "simulate_shard" for job in jobs)
