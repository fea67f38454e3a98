"""Advice on jobs that Slurm refuses, from what Snakemake prints."""

import pytest

from neuroinverse.slurm import advice

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
