"""What the guard costs: its core seconds beside those of the simulations that it goes before, from finished results.

python benchmarks/guard.py [--scale demo]
"""

import argparse
import json
import statistics
from pathlib import Path

from neuroinverse.records import write_record
from neuroinverse.shards import Dataset


def shares(results: Path, scale: str) -> dict[str, tuple[float, float]]:
    """By study the guard's core seconds, and its share of all that the study's joined datasets took."""
    found = {}
    for file in sorted(results.glob(f"*/{scale}/simulator.json")):
        seconds = json.loads(file.read_text())["seconds"]
        datasets = [Dataset(f) for f in sorted((file.parent / "dataset").glob("*.h5"))]
        if datasets:
            found[file.parents[1].name] = seconds, seconds / sum(data.seconds_core for data in datasets)
    return found


def main() -> None:
    """Reads both and writes docs/records/guard.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", default="demo")
    scale = parser.parse_args().scale
    found = shares(Path("results"), scale)
    if not found:
        raise SystemExit(f"results holds no finished {scale} of a study; run one first")
    figures = {f"{study}_seconds": seconds for study, (seconds, _) in found.items()}
    figures |= {f"{study}_share_of_a_{scale}": share for study, (_, share) in found.items()}
    middle = {
        "seconds": statistics.median(seconds for seconds, _ in found.values()),
        f"share_of_a_{scale}": statistics.median(share for _, share in found.values()),
        f"share_of_a_{scale}_max": max(share for _, share in found.values()),
    }
    write_record("guard", f"python benchmarks/guard.py --scale {scale}", middle | figures)


if __name__ == "__main__":
    main()
