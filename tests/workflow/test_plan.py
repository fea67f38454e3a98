"""`neuroinverse plan` counts what Snakemake would run."""

import pytest
from running import STUDIES

from neuroinverse.workload import Rates, plan


@pytest.mark.parametrize("name", STUDIES)
def test_jobs_are_those_of_a_dry_run(fresh, name):
    study = fresh.study(name)
    needs = plan(study, Rates(1.0, dict.fromkeys(study.estimators, 1.0)))
    jobs = fresh.plan(f"results/{name}/smoke/report.html")
    assert needs["jobs"] == len(jobs)
    assert needs["shards"] == sum(job.rule == "simulate_shard" for job in jobs)
