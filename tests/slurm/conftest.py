"""A real Slurm for the session, and clones from which the literal `snakemake --profile slurm` runs."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cluster
import pytest
from running import BIN, CONFIGURED, REPO, Folder, make_folder

# the first look at a job's state comes 40 s after its submission by default
QUICK = ("--slurm-init-seconds-before-status-checks", "2")


@dataclass(frozen=True)
class SlurmJob:
    """A job as squeue lists it; `name` is the plugin's comment: rule_<rule>_wildcards_<values>."""

    id: str
    state: str
    name: str
    partition: str
    memory: str
    account: str

    @property
    def rule(self) -> str:
        """Its rule."""
        return self.name.removeprefix("rule_").partition("_wildcards_")[0]

    @property
    def memory_mb(self) -> int:
        """Requested memory (MB)."""
        return int(float(self.memory[:-1]) * {"M": 1, "G": 1024}[self.memory[-1]])


class Clone(Folder):
    """A working directory laid out as a clone, its profile edited as its head asks."""

    def start(self, *arguments: str) -> subprocess.Popen:
        """Starts `snakemake --profile slurm`; what it prints goes to run.log."""
        with (self.path / "run.log").open("w") as log:
            return subprocess.Popen(
                [BIN / "snakemake", "--profile", "slurm", *QUICK, *arguments],
                cwd=self.path,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def finish(self, process: subprocess.Popen, check: bool = True, seconds: float = 800) -> str:
        """Waits for the end, long enough for a machine with other work; returns what was printed."""
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            pytest.fail(f"still running after {seconds} s:\n{self.printed}")
        assert (process.returncode == 0) == check, self.printed
        return self.printed

    def slurm(self, *arguments: str, check: bool = True) -> str:
        """Runs `snakemake --profile slurm` to its end."""
        return self.finish(self.start(*arguments), check)

    @property
    def printed(self) -> str:
        """What the last run has printed so far."""
        return (self.path / "run.log").read_text()

    def client(self, *command: str) -> str:
        """Runs a client of Slurm's."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def jobs(self, name: str = "") -> list[SlurmJob]:
        """All jobs of the last run in the order of submission; only those with `name` in theirs, if given."""
        run = re.search(r"SLURM run ID: (\S+)", self.printed)
        if not run:
            return []
        form = "--format=%i|%T|%k|%P|%m|%a"
        lines = self.client("squeue", "--noheader", "--states=all", "--name", run[1], "--sort=i", form).splitlines()
        jobs = [SlurmJob(*line.split("|")) for line in lines]
        return [job for job in jobs if name in job.name]

    def wait(self, what: Callable[[], object], process: subprocess.Popen, seconds: float = 120) -> None:
        """Waits until what() is true, while the run goes on."""
        end = time.monotonic() + seconds
        while not what():
            assert process.poll() is None, f"it has ended:\n{self.printed}"
            assert time.monotonic() < end, f"it never came:\n{self.printed}\n{self.client('scontrol', 'show', 'jobs')}"
            time.sleep(0.05)


def as_clone(folder: Folder, environment: dict[str, str]) -> Clone:
    """Adds what a clone has beside its configuration."""
    shutil.copy(REPO / "Snakefile", folder.path)
    (folder.path / "workflow").symlink_to(REPO / "workflow")
    shutil.copytree(REPO / "profiles", folder.path / "profiles")
    (folder.path / "slurm").symlink_to((REPO / "slurm").readlink())
    cluster.edit_profile(folder.path / "profiles" / "slurm" / "config.yaml")
    return Clone(folder.path, environment)


@pytest.fixture(scope="session")
def slurm() -> Iterator[dict[str, str]]:
    """Environment in which a real Slurm is found, and nothing of a virtual environment."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        try:
            cluster.check()
            cluster.start(folder)
        except cluster.Unavailable as error:
            pytest.skip(f"no Slurm here: {error}")
        variables = os.environ | cluster.environment(folder) | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        variables["PATH"] = os.pathsep.join(p for p in variables["PATH"].split(os.pathsep) if Path(p) != BIN)
        yield variables
    finally:
        cluster.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_clone(slurm) -> Callable[[Path], Clone]:
    """Makes a clone, with the studies of `make demo` at the scale smoke, in a folder that does not exist yet."""
    return lambda path: as_clone(make_folder(path, slurm, CONFIGURED), slurm)
