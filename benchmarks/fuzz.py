"""Generated inputs against the promise: read right or refused, no traceback, nothing wrong accepted.

    python benchmarks/fuzz.py                       at least 10,000 inputs, recorded
    python benchmarks/fuzz.py --only swc --runs 2   a part, and no record

The tests' own generators (tests/fuzz) make SWC files, studies and traces, and judge each by a reader of their own. What
they find wrong is printed in full, with the seed of its run: `--only KIND --seed SEED` makes the same inputs again.
"""

import argparse
import importlib
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from neuroinverse.provenance import cores
from neuroinverse.records import write_record

FUZZ = Path(__file__).parents[1] / "tests" / "fuzz"
# module by kind; inputs of one run, which has a seed and a process of its own; runs
KINDS = {"swc": ("swc_files", 500, 16), "study": ("studies", 250, 16), "trace": ("traces", 500, 12)}
FIGURES = {
    "refused": "refused",
    "accepted": "accepted",
    "traceback": "tracebacks",
    "wrong_acceptance": "wrong_acceptances",
    # of what was drawn to be right
    "wrong_refusal": "wrong_refusals",
}


def run(kind: str, seed: int) -> tuple[Counter, list[str]]:
    """Judges the inputs of one run.

    Returns:
        How many had which outcome, and those that must not be, in full.
    """
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    sys.path.insert(0, str(FUZZ))
    name, examples, _ = KINDS[kind]
    module, found, wrong = importlib.import_module(name), Counter(), []

    # nothing is asserted, so that nothing is shrunk and every input counts
    @seeded(seed)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(module.inputs())
    def judge(example):
        with tempfile.TemporaryDirectory() as folder:
            outcome = module.outcome(example, Path(folder))
        if outcome == "refused" and getattr(example, "sound", False):
            outcome = "wrong_refusal"
        found[outcome] += 1
        if outcome not in ("refused", "accepted"):
            wrong.append(f"{kind}, seed {seed}, {outcome}:\n{example!r}")

    judge()
    return found, wrong


def main() -> None:
    """Runs all kinds and writes docs/records/fuzz.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--runs", type=int, help="of each kind")
    parser.add_argument("--seed", type=int, help="this run alone")
    options = parser.parse_args()
    figures, start = {}, time.monotonic()
    for kind, (_, _, runs) in KINDS.items():
        if options.only not in (None, kind):
            continue
        seeds = range(options.runs or runs) if options.seed is None else [options.seed]
        total = Counter()
        # a process for every run: NEURON keeps what it has seen
        with ProcessPoolExecutor(cores(), get_context("spawn"), max_tasks_per_child=1) as pool:
            for found, wrong in pool.map(run, [kind] * len(seeds), seeds):
                total += found
                print(*wrong, sep="\n", end="\n" if wrong else "", flush=True)
        figures[f"inputs_{kind}"] = sum(total.values())
        figures |= {f"{figure}_{kind}": total[outcome] for outcome, figure in FIGURES.items()}
        print({k: v for k, v in figures.items() if k.endswith(kind)}, flush=True)
    figures["inputs"] = sum(v for k, v in figures.items() if k.startswith("inputs_"))
    figures["wall_seconds"] = time.monotonic() - start
    if options.only is None and options.runs is None and options.seed is None:
        write_record("fuzz", "python benchmarks/fuzz.py", figures)


if __name__ == "__main__":
    main()
