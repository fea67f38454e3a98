"""The smoke studies through a real Slurm of one node, in a fresh clone: jobs that completed, time, and cost per job.

The cost of a job is its time in Slurm, in whole seconds, less that of its rule's command: Slurm's own, and that of the
two starts of Snakemake that the executor plugin makes. Two jobs run side by side on two cores.

    python benchmarks/slurm_smoke.py        needs Linux and root; installs Slurm where it is missing
"""

import csv
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import yaml

from neuroinverse.provenance import cores
from neuroinverse.records import write_record

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
sys.path.append(str(ROOT / "tests" / "slurm"))
import cluster  # noqa: E402


def main() -> None:
    """Runs the studies and writes docs/records/slurm_smoke.json."""
    cluster.install()
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        state, clone = Path(folder) / "state", Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        config = clone / "config" / "config.yaml"
        content = yaml.safe_load(config.read_text())
        config.write_text(yaml.safe_dump(content | {"studies": dict.fromkeys(content["studies"], "smoke")}))
        cluster.edit_profile(clone / "profiles" / "slurm" / "config.yaml")
        cluster.start(state, cpus=cores())
        try:
            figures = measure(clone, os.environ | cluster.environment(state))
        finally:
            cluster.stop(state)
    write_record("slurm_smoke", "python benchmarks/slurm_smoke.py", figures)


def measure(clone: Path, environment: dict[str, str]) -> dict[str, float]:
    """Runs a clone's studies; returns figures."""
    command = [BIN / "snakemake", "--profile", "slurm", "--slurm-init-seconds-before-status-checks", "2"]
    start = time.monotonic()
    run = subprocess.run(
        command, cwd=clone, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    seconds = time.monotonic() - start
    if run.returncode:
        raise SystemExit(run.stdout)
    name = re.search(r"SLURM run ID: (\S+)", run.stdout)[1]
    listing = ["squeue", "--noheader", "--states=all", "--name", name, "--format=%T|%k|%S|%e"]
    listed = subprocess.run(listing, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    jobs = [line.split("|") for line in listed]
    in_slurm = sum(
        (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds() for _, _, begin, end in jobs
    )
    in_rules = [float(read_tsv(file)["s"]) for file in (clone / "results").rglob("benchmarks/**/*.tsv")]
    states = [state for state, *_ in jobs]
    if states != ["COMPLETED"] * len(in_rules):
        raise SystemExit(f"{len(in_rules)} benchmarks, and jobs: {states}")
    return {
        "jobs_completed": states.count("COMPLETED"),
        "simulate_shard_jobs": sum("rule_simulate_shard" in comment for _, comment, *_ in jobs),
        "train_fold_jobs": sum("rule_train_fold" in comment for _, comment, *_ in jobs),
        "wall_seconds": seconds,
        "overhead_seconds_per_job": (in_slurm - sum(in_rules)) / len(jobs),
        "rule_seconds_median": statistics.median(in_rules),
    }


def read_tsv(file: Path) -> dict[str, str]:
    """The one row of a benchmark of Snakemake's."""
    with file.open() as lines:
        (row,) = csv.DictReader(lines, delimiter="\t")
    return row


if __name__ == "__main__":
    main()
