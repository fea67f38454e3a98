"""Runs the workflow in a folder of a test's own, and reads what Snakemake prints."""

import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import h5py
import yaml

from neuroinverse.config import load_study
from neuroinverse.study import Study

REPO = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
STUDIES = sorted(p.stem for p in (REPO / "config" / "studies").glob("*.yaml") if not p.stem.startswith("_"))
# those that are run: one of each simulator, since the others differ in numbers alone
_SIMULATORS = {s: yaml.safe_load((REPO / "config" / "studies" / f"{s}.yaml").read_text())["simulator"] for s in STUDIES}
SMOKED = sorted({str(section.get("name", section)): s for s, section in reversed(_SIMULATORS.items())}.values())
# those that `make demo` runs
CONFIGURED = sorted(yaml.safe_load((REPO / "config" / "config.yaml").read_text())["studies"])
# the study that the tests edit; another one stands beside it
EDITED = "hh_point_2"


@dataclass(frozen=True)
class Job:
    """A job as Snakemake prints it: its rule and the files behind `output`, `log` and `benchmark`."""

    rule: str
    output: tuple[str, ...]
    files: tuple[str, ...]


@dataclass
class Folder:
    """A working directory with its own configuration and results; the workflow is that of the repository."""

    path: Path
    environment: dict[str, str]
    last_plan: str = ""

    def snakemake(self, *arguments, check: bool = True) -> str:
        """Runs Snakemake with the local profile; returns what it printed."""
        command = [BIN / "snakemake", "-s", REPO / "Snakefile", "--directory", self.path]
        command += ["--profile", REPO / "profiles" / "local", "--cores", "2"]
        done = subprocess.run(
            [*command, *arguments],
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert not check or done.returncode == 0, done.stdout
        assert check or done.returncode != 0, done.stdout
        return done.stdout

    def plan(self, *arguments: str) -> list[Job]:
        """The jobs that Snakemake would run for the targets, target rules left out."""
        printed = self.last_plan = self.snakemake("--dry-run", *arguments)
        jobs = read_jobs(printed)
        stats = re.search(r"^total +(\d+)$", printed, re.MULTILINE)
        assert len(jobs) == (int(stats[1]) if stats else 0), printed
        return [job for job in jobs if job.rule not in ("all", "simulations")]

    def rules(self, *targets: str) -> Counter:
        """How many jobs of each rule Snakemake would run."""
        return Counter(job.rule for job in self.plan(*targets))

    def neuroinverse(self, *arguments, **options) -> subprocess.CompletedProcess:
        """Runs the command line."""
        return subprocess.run(
            [BIN / "neuroinverse", *map(str, arguments)],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            **options,
        )

    def edit(self, study: str, **changes) -> None:
        """Changes a study; keys are paths such as scales__smoke__datasets__shard_size."""
        file = self.path / "config" / "studies" / f"{study}.yaml"
        content = yaml.safe_load(file.read_text())
        for key, value in changes.items():
            *way, last = key.split("__")
            reduce(lambda section, name: section[name], way, content)[last] = value
        file.write_text(yaml.safe_dump(content, sort_keys=False))

    def study(self, name: str = EDITED) -> Study:
        """A study of this folder at the scale smoke."""
        config = yaml.safe_load((self.path / "config" / "config.yaml").read_text())
        return load_study(self.path / "config" / "studies" / f"{name}.yaml", "smoke", config["master_seed"])

    def results(self, name: str = EDITED) -> Path:
        """Folder of a study's results at the scale smoke."""
        return self.path / "results" / name / "smoke"


def read_jobs(printed: str) -> list[Job]:
    """Reads the blocks that Snakemake prints for jobs, each job once."""
    jobs = {}
    for rule, block in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", printed, re.MULTILINE):
        files = {
            key: tuple(value.split(", "))
            for key, value in re.findall(r"^    (output|log|benchmark): (.*)$", block, re.MULTILINE)
        }
        output = files.get("output", ())
        jobs[rule, output] = Job(rule, output, tuple(f for group in files.values() for f in group))
    return list(jobs.values())


def arrays(shard: Path) -> dict[str, bytes]:
    """The bytes of every array of a shard, and its own sum of them."""
    content = {}
    with h5py.File(shard) as file:
        file.visititems(lambda name, x: content.update({name: x[:].tobytes()}) if isinstance(x, h5py.Dataset) else None)
        content["content_sha256"] = file.attrs["content_sha256"]
    assert {"theta", "status", "index"} < set(content)
    return content


def make_folder(path: Path, environment: dict[str, str], studies=SMOKED) -> Folder:
    """A folder with the repository's configuration, some studies at the scale smoke, and no results."""
    shutil.copytree(REPO / "config", path / "config")
    file = path / "config" / "config.yaml"
    config = yaml.safe_load(file.read_text()) | {"studies": dict.fromkeys(studies, "smoke")}
    file.write_text(yaml.safe_dump(config))
    return Folder(path, environment)
