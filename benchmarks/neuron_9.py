"""The suite under NEURON 9, in a fresh clone with an environment of its own.

    python benchmarks/neuron_9.py        the unit, contract and reference tests that meet NEURON

Everything is installed as pinned; then NEURON is replaced. hnn-core 0.6.1 says that it needs NEURON 8.2.7 or older:
tests that fail in its own code, or for want of it, are counted as `failed_hnn_core`, all others as `failed_ours`.
Left out are files of tests in which no simulator, cell or MOD file occurs, and those that run Snakemake throughout
(tests/workflow, tests/slurm): they ask NEURON nothing more, and take an hour.
"""

import argparse
import os
import re
import subprocess
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path

from neuroinverse.provenance import cores
from neuroinverse.records import write_record

ROOT = Path(__file__).parents[1]
REQUIREMENTS = Path(__file__).with_name("requirements-neuron-9.txt").resolve()
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
# pytest's own names of a test's outcome
FAILED = ("failure", "error")
MEETS_NEURON = re.compile(r"\bneuron\b|NEURON|\blibrary\b|make_simulator|simulate_batch|_swc\b")
FOLDERS = ("tests/unit", "tests/contract", "tests/reference")


def install(clone: Path) -> Path:
    """Clones the repository and installs it with NEURON 9; returns its interpreter."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    subprocess.run(["make", "setup"], cwd=clone, check=True)
    folder = clone / ".venv" / "bin"
    replace = [folder / "uv", "pip", "install", "--quiet", "--python", folder / "python", "--no-deps"]
    subprocess.run([*replace, "--require-hashes", "-r", REQUIREMENTS], check=True)
    return folder / "python"


def outcomes(report: Path) -> dict[str, str | None]:
    """What each test said when it failed, None where it passed; skipped ones are left out."""
    found = {}
    for case in xml.parse(report).iter("testcase"):
        said = [child for child in case if child.tag in FAILED]
        if case.find("skipped") is None:
            name = f"{case.get('classname')}::{case.get('name')}"
            found[name] = "\n".join(child.text or "" for child in said) if said else None
    return found


def is_hnn_core(said: str) -> bool:
    """Whether a failure is hnn-core's: raised in its code, or by NEURON at its call."""
    return "hnn_core/" in said or "nrnunit_use_legacy" in said


def main() -> None:
    """Runs the tests and writes docs/records/neuron_9.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", nargs="*", help="only these, and no record")
    tests = parser.parse_args().tests
    with tempfile.TemporaryDirectory(prefix="neuron-9-") as folder:
        clone = Path(folder) / "clone"
        python = install(clone)
        found = sorted(f for d in FOLDERS for f in (clone / d).glob("test_*.py") if MEETS_NEURON.search(f.read_text()))
        files = tests or [str(f.relative_to(clone)) for f in found]
        streams, found = [files[i :: cores()] for i in range(min(cores(), len(files)))], {}
        # what is imported is the clone's
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        reports = [Path(folder) / f"report-{i}.xml" for i in range(len(streams))]
        running = [
            subprocess.Popen([python, *PYTEST, f"--junitxml={report}", *stream], cwd=clone, env=environment)
            for stream, report in zip(streams, reports, strict=True)
        ]
        for process, report in zip(running, reports, strict=True):
            process.wait()
            found |= outcomes(report)
    failed = {name: said for name, said in found.items() if said is not None}
    theirs = [name for name, said in failed.items() if is_hnn_core(said)]
    for name, said in failed.items():
        print(f"{'hnn-core' if name in theirs else 'ours'}: {name}: {said.strip().splitlines()[-1]}")
    figures = {
        "passed": len(found) - len(failed),
        "failed": len(failed),
        "failed_hnn_core": len(theirs),
        "failed_ours": len(failed) - len(theirs),
    }
    print(figures)
    if not tests:
        write_record("neuron_9", "python benchmarks/neuron_9.py", figures)


if __name__ == "__main__":
    main()
