"""Advice on jobs that Slurm refuses, from what Snakemake prints."""

import pytest

from neuroinverse.errors import ConfigError
from neuroinverse.slurm import advice, require_slurm

PROFILE = """\
executor: slurm
default-resources:
  slurm_account: lab
  slurm_partition: nowhere
set-resources:
  train_fold:
    mem_mb: attempt * 90000000
set-threads:
  simulate_shard: 999
"""
CALL = "sbatch --parsable --comment x  -A lab  -p nowhere -t 10 --mem {} --ntasks=1 --cpus-per-task=999 -D /x"


def printed(rule, message, memory=1000):
    return (
        f"Error in rule {rule}:\n    message: SLURM sbatch failed. The error message was '{message}'.\n"
        f'    sbatch call:\n        {CALL.format(memory)} --wrap="python"\n'
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    (tmp_path / "profiles" / "slurm").mkdir(parents=True)
    (tmp_path / "profiles" / "slurm" / "config.yaml").write_text(PROFILE)
    (tmp_path / "slurm").symlink_to("profiles/slurm")
    return tmp_path


@pytest.mark.parametrize("arguments", [["--profile", "slurm"], ["--profile=profiles/slurm"]])
@pytest.mark.parametrize(
    ("rule", "message", "place"),
    [
        ("report", "invalid partition specified: nowhere", "line 4: slurm_partition: nowhere "),
        ("report", "Invalid account or account/partition", "line 3: slurm_account: lab "),
        ("train_fold", "Memory specification can not be satisfied", "line 7: mem_mb: 1000 "),
        ("simulate_shard", "CPU count per node can not be satisfied", "line 9: simulate_shard: 999 "),
    ],
)
def test_the_line_to_mend(folder, arguments, rule, message, place):
    (sentence,) = advice(2 * printed(rule, message), ["snakemake", *arguments, "all"])
    assert sentence.startswith(f"profiles/slurm/config.yaml, {place}(rule {rule})")
    assert message in sentence


def test_what_a_rule_asks_for_itself(folder):
    (sentence,) = advice(printed("report", "Memory specification can not be satisfied"), ["--profile", "slurm"])
    assert sentence.startswith("mem_mb: 1000 of rule report") and "set-resources: report: in profiles/slurm" in sentence


def test_other_refusals_and_other_profiles(folder):
    (sentence,) = advice(printed("report", "Unable to contact slurm controller"), ["--profile", "slurm"])
    assert "Unable to contact" in sentence and "sbatch" in sentence
    (sentence,) = advice(printed("report", "invalid partition specified: nowhere"), ["--profile", "elsewhere"])
    assert "the profile" in sentence
    assert advice("Error in rule report:\n    message: None\n", []) == []


def program(folder, name, script):
    file = folder / "bin" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def slurm_here(folder, monkeypatch, **scripts):
    """Nothing on PATH but the shell's own and these programs."""
    for name, script in scripts.items():
        program(folder, name, script)
    monkeypatch.setenv("PATH", str(folder / "bin"))
    monkeypatch.setattr("getpass.getuser", lambda: "anna")


RUN = ["snakemake", "--profile", "slurm", "results/index.html"]


def test_where_there_is_no_slurm_it_is_said(folder, monkeypatch):
    slurm_here(folder, monkeypatch)
    with pytest.raises(ConfigError, match=r"no sbatch on PATH.*--profile profiles/local") as refused:
        require_slurm(RUN)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "arguments",
    [
        [*RUN, "--dry-run"],
        [*RUN, "-n"],
        [*RUN, "-np"],
        [*RUN, "--lint"],
        [*RUN, "--report=x.html"],
        [*RUN, "--executor", "slurm-jobstep"],
        ["snakemake", "--profile", "local"],
        ["snakemake"],
        [],
    ],
    ids=" ".join,
)
def test_what_needs_no_slurm_runs_without_it(folder, monkeypatch, arguments):
    slurm_here(folder, monkeypatch)
    require_slurm(arguments)


def test_a_silent_controller_is_said(folder, monkeypatch):
    down = "echo 'slurm_load_partitions: Unable to contact slurm controller (connect failure)' >&2; exit 1"
    slurm_here(folder, monkeypatch, sbatch="exit 1", sinfo=down)
    with pytest.raises(ConfigError, match=r"does not answer.*Unable to contact.*--profile profiles/local"):
        require_slurm(RUN)
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "slurm")
    with pytest.raises(ConfigError, match="does not answer"):
        require_slurm(["snakemake"])


@pytest.mark.parametrize(
    ("sacctmgr", "sinfo", "said"),
    [
        ("echo LAB", "echo short; echo nowhere", None),
        ("exit 1", "echo nowhere", None),
        ("echo other; echo other; echo third", "echo nowhere", "line 3: slurm_account: lab: .*other, third"),
        ("exit 1", "echo short; echo long", "line 4: slurm_partition: nowhere: .*short, long"),
    ],
)
def test_an_account_or_partition_that_slurm_does_not_know(folder, monkeypatch, sacctmgr, sinfo, said):
    slurm_here(folder, monkeypatch, sbatch="exit 1", sinfo=sinfo, sacctmgr=sacctmgr)
    # what stands on the command line takes the place of the profile's
    require_slurm([*RUN, "--default-resources", "slurm_partition=elsewhere"])
    if said is None:
        require_slurm(RUN)
    else:
        with pytest.raises(ConfigError, match=f"profiles/slurm/config.yaml, {said}"):
            require_slurm(RUN)
