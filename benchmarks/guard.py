"""What the guard costs beside what it guards: the demo of every study of the package.

    python benchmarks/guard.py                     all studies
    python benchmarks/guard.py hh_point_2 ...      only these, hh_point_2 among them

`<study>_seconds` are the CPU seconds of the whole job `check_simulator`, all its processes and their starts included.
The demo's are those of its simulations alone, without start-up: by the record `rates` where the study's demo was
measured, else by some simulations in this run (`<study>_rate_measured_here` is 1). `seconds`, `share_of_a_demo` and
`share_of_a_shard` are those of hh_point_2, whose simulations are among the cheapest; its shard is a whole job too.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from neuroinverse.config import load_study, master_seed
from neuroinverse.provenance import canonical, digest
from neuroinverse.records import read_records, write_record
from neuroinverse.shards import verify_shard
from neuroinverse.stages import compile_mechanisms, compute_kernel

ROOT = Path(__file__).parents[1]
NEUROINVERSE = Path(sys.executable).with_name("neuroinverse")
SHOWN = "hh_point_2"


def cpu_seconds(*command) -> float:
    """CPU seconds of a command and its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([str(c) for c in command], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def needs(study, folder: Path) -> list:
    """Options for what the simulator needs, made once for all studies that need the same."""
    options = []
    if study.mechanisms:
        library = folder / f"{digest(study.mechanisms_spec())}.so"
        if not library.is_file():
            compile_mechanisms.run(library, study.mechanisms)
        options += ["--library", library]
    if study.needs_kernel:
        kernel = folder / f"{digest(study.kernel_spec())}.h5"
        if not kernel.is_file():
            compute_kernel.run(study.kernel_spec(), kernel)
        options += ["--kernel", kernel]
    return options


def simulate(study, folder: Path, options: list, n: int | None = None) -> tuple[float, float]:
    """Simulates the first shard of a study, or its first n simulations.

    Returns:
        CPU seconds of the job, and core seconds of a simulation in it.
    """
    spec, shard = study.shard_spec(study.datasets[0], "00000"), folder / "shard.h5"
    if n is not None:
        spec |= {"stop": spec["start"] + n}
    seconds = cpu_seconds(NEUROINVERSE, "simulate_shard", "--spec", canonical(spec), "--output", shard, *options)
    return seconds, verify_shard(shard)["seconds_core"] / (spec["stop"] - spec["start"])


def main() -> None:
    """Measures the guard of every study and writes docs/records/guard.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="*", metavar="STUDY")
    chosen = parser.parse_args().studies
    every = sorted(p.stem for p in (ROOT / "config" / "studies").glob("*.yaml") if not p.stem.startswith("_"))
    rates, figures, shares = read_records()["rates"]["figures"], {}, {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in chosen or every:
            study = load_study(name, "demo", master_seed())
            options, spec, file = needs(study, folder), canonical(study.guard_spec()), folder / f"{name}.json"
            seconds = cpu_seconds(NEUROINVERSE, "check_simulator", "--spec", spec, "--output", file, *options)
            rate, measured = rates.get(f"{name}_core_seconds_per_simulation"), 0
            if rate is None:
                batches = 2 * study.simulator.batch
                rate, measured = simulate(study, folder, options, min(batches, study.shard_size))[1], 1
            shares[name] = seconds / (rate * sum(map(study.n, study.report_datasets)))
            figures |= {
                f"{name}_seconds": seconds,
                f"{name}_share_of_a_demo": shares[name],
                f"{name}_rate_measured_here": measured,
            }
            print({k: v for k, v in figures.items() if k.startswith(f"{name}_")}, flush=True)
        study = load_study(SHOWN, "demo", master_seed())
        shard, seconds = simulate(study, folder, needs(study, folder))[0], figures[f"{SHOWN}_seconds"]
    worst = max(shares, key=shares.get)
    shown = {
        "seconds": seconds,
        "share_of_a_demo": shares[SHOWN],
        "share_of_a_shard": seconds / shard,
        "largest_share_of_a_demo": shares[worst],
        "largest_share_of_a_demo_study": worst,
    }
    write_record("guard", " ".join(["python benchmarks/guard.py", *chosen]), shown | figures)


if __name__ == "__main__":
    main()
