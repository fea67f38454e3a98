"""What the project adds to start-up: `neuroinverse --help`, and the Snakefile against an empty one, in pairs.

python benchmarks/startup.py [--rounds 7]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from neuroinverse.records import write_record

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
EMPTY = 'rule all:\n    output:\n        "done",\n    shell:\n        "touch {output}"\n'


def seconds(command: list, cwd: Path) -> float:
    """Wall time of a whole process (s)."""
    start = time.perf_counter()
    subprocess.run([str(c) for c in command], cwd=cwd, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Times both and writes docs/records/startup.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Snakefile").write_text(EMPTY)
        list_rules = [BIN / "snakemake", "--list-rules"]
        pairs = [(seconds(list_rules, ROOT), seconds(list_rules, Path(folder))) for _ in range(rounds)]
    helps = [seconds([BIN / "neuroinverse", "--help"], ROOT) for _ in range(rounds)]
    write_record(
        "startup",
        f"python benchmarks/startup.py --rounds {rounds}",
        {
            "help_seconds": statistics.median(helps),
            "help_seconds_max": max(helps),
            "snakefile_adds_seconds": statistics.median(ours - empty for ours, empty in pairs),
            "snakefile_adds_seconds_max": max(ours - empty for ours, empty in pairs),
            "snakemake_alone_seconds": statistics.median(empty for _, empty in pairs),
        },
    )


if __name__ == "__main__":
    main()
