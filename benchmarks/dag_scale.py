"""What planning costs: Snakemake's graph for a million traces in ten thousand training shards.

Three dry runs in a temporary folder, each a process of its own:

- build: nothing is made yet, the report is asked for;
- check: all shards are made and asked for, so that each one's specification is compared;
- noop: everything is made, the report is asked for.

The finished files are empty, and Snakemake's records of them are written through its own code: its `--touch` would
sleep a tenth of a second for each.

    python benchmarks/dag_scale.py [--traces 1000000] [--shard-size 100]
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from neuroinverse.config import load_study
from neuroinverse.provenance import canonical
from neuroinverse.records import write_record
from neuroinverse.study import DATASETS, Study

ROOT = Path(__file__).parents[1]
NAME, SCALE = "izhikevich", "paper"
RESULTS = f"results/{NAME}/{SCALE}"
REPORT = f"{RESULTS}/report.html"
NOTHING = "Nothing to be done"


def make_folder(folder: Path, traces: int, shard_size: int) -> Study:
    """Copies the configuration, with one study of `traces` training traces in shards of `shard_size`."""
    shutil.copytree(ROOT / "config", folder / "config")
    config_file, study_file = folder / "config/config.yaml", folder / f"config/studies/{NAME}.yaml"
    config = yaml.safe_load(config_file.read_text()) | {"studies": {NAME: SCALE}}
    config_file.write_text(yaml.safe_dump(config))
    content = yaml.safe_load(study_file.read_text())
    content["scales"][SCALE]["datasets"] |= {"shard_size": shard_size, "train": {"n": traces}}
    study_file.write_text(yaml.safe_dump(content))
    return load_study(study_file, SCALE, config["master_seed"])


def recorded(study: Study) -> Iterator[tuple[str, str, list, list[str]]]:
    """Rule, file, parameters and inputs of what the finished plans compare; the specification comes first."""
    library = f"{RESULTS}/mechanisms/libnrnmech.so"
    sources = [str(f) for f in study.mechanisms]
    yield "compile_mechanisms", library, [canonical(study.mechanisms_spec()), sources], []
    for dataset in DATASETS:
        for name in study.shards(dataset):
            spec = canonical(study.shard_spec(dataset, name))
            yield "simulate_shard", f"{RESULTS}/shards/{dataset}/{name}.h5", [spec], [library]
    metrics = [f"{RESULTS}/{estimator}/metrics.json" for estimator in study.estimators]
    joined = [f"{RESULTS}/dataset/{dataset}.h5" for dataset in DATASETS]
    yield "report", REPORT, [canonical(study.report_spec())], sorted([*metrics, *joined])


def finish(folder: Path, study: Study) -> None:
    """Leaves the files of a finished run, empty, with Snakemake's records of them."""
    from snakemake.persistence import RECORD_FORMAT_VERSION, MetadataRecord
    from snakemake.persistence.file import FilePersistence

    records, now = FilePersistence(path=folder / ".snakemake"), time.time()
    for rule, name, params, inputs in recorded(study):
        for file in (name, *inputs):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).touch()
        record = MetadataRecord(
            rule=rule,
            input=inputs,
            params=sorted(map(repr, params)),
            shellcmd=f"neuroinverse {rule} --spec {shlex.quote(params[0])}",
            record_format_version=RECORD_FORMAT_VERSION,
            starttime=now,
            endtime=now,
            incomplete=False,
        )
        records._write_record(name, record)


def plan(folder: Path, target: str) -> tuple[float, float, str]:
    """Wall time (s) and peak resident memory (GB) of a dry run that prints no jobs, and what it printed."""
    command = [Path(sys.executable).parent / "snakemake", "-s", ROOT / "Snakefile", "--directory", folder]
    command += ["--profile", ROOT / "profiles/local", "--dry-run", target, "--quiet"]
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(list(map(str, command)), cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read()
    if process.returncode:
        raise SystemExit(printed)
    return seconds, usage.ru_maxrss * 1024 / 1e9, printed


def main() -> None:
    """Times the three and writes docs/records/dag_scale.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=int, default=1_000_000)
    parser.add_argument("--shard-size", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        study = make_folder(folder, arguments.traces, arguments.shard_size)
        runs = {"build": plan(folder, REPORT)}
        finish(folder, study)
        runs |= {"check": plan(folder, "simulations"), "noop": plan(folder, REPORT)}
    for name, (_, _, printed) in runs.items():
        if (NOTHING in printed) != (name != "build") or "missing provenance" in printed:
            raise SystemExit(f"{name} is not the plan that was to be measured:\n{printed}")
    write_record(
        "dag_scale",
        f"python benchmarks/dag_scale.py --traces {arguments.traces} --shard-size {arguments.shard_size}",
        {
            "traces": study.n("train"),
            "shards": len(study.shards("train")),
            "shards_of_all_datasets": sum(len(study.shards(dataset)) for dataset in DATASETS),
            **{f"{name}_seconds": seconds for name, (seconds, _, _) in runs.items()},
            "peak_memory_gb": max(memory for _, memory, _ in runs.values()),
        },
    )


if __name__ == "__main__":
    main()
