"""The Brunel network's engines: how fast, and whether they are the same model.

`engines`: simulations of 3 s per core-hour at five points of the large box, from quiet to saturated, order 2500,
building included: the published way (NEST, rebuilt for every simulation, `static_synapse`), NEST as used here
(`static_synapse_hom_w`, rebuilt), and the compiled loop, which always simulates the whole 3 s. The three alternate in
one process on one core, so that ratios hold when the machine's speed drifts. NEST simulates `--nest-ms` of the 3 s
unless `--full` is given; its time for them, but for building, is scaled to 3 s. Building includes NEST's first step, at
which it sorts its connections. `nest_reuse_could_save_percent` is the share of building, the most that reusing one
built network could save.

`equivalence`: order 2500, at least 30 points spread evenly over the large box (Halton): NEST once, the compiled loop
with many seeds, 1 s recorded after 0.1 s. Compared are the rates of E and I neurons, the CV of interspike intervals and
the log power of both populations' spike counts in twelve bands. A deviation is NEST's value less the mean of the
compiled loop's, in units of the spread of such a difference. Were NEST one more seed of the compiled loop, it would
follow Student's t: the share beyond its 95 % quantile would be 0.05, its mean square (n − 1)/(n − 3) for n seeds. Every
point is kept in results/benchmarks as it comes, and a run that was stopped goes on from there while the engines are the
same.

    python benchmarks/brunel_engines.py engines [--rounds 3] [--nest-ms 300] [--full]
    python benchmarks/brunel_engines.py equivalence [--points 32] [--seeds 25]
"""

import argparse
import hashlib
import itertools
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from scipy import signal, stats

from neuroinverse.files import atomic
from neuroinverse.records import RECORDS, write_record
from neuroinverse.simulators import brunel_compiled, brunel_loop, brunel_nest, brunel_network
from neuroinverse.simulators.brunel_network import Network

BOX = {"eta": (0.8, 4.0), "g": (3.5, 8.0), "J": (0.05, 0.4)}
POINTS = {
    "quiet": (1.2, 7.0, 0.3),
    "irregular": (1.5, 5.0, 0.2),
    "40Hz": (2.0, 5.0, 0.1),
    "oscillating": (3.8, 4.2, 0.3),
    "saturated": (3.0, 3.6, 0.3),
}
FULL_MS = 3000.0
EDGES_HZ = [2, 5, 10, 20, 40, 60, 80, 110, 150, 200, 260, 360, 501]
ROOT = Path(__file__).parents[1]


def window(duration_ms: float) -> dict:
    """Duration and recorded window of a run."""
    return {"duration_ms": duration_ms, "record_ms": (100.0, duration_ms)}


# --- speed -----------------------------------------------------------------------------------------------------------


def compare_speed(arguments) -> None:
    """Times the engines and writes docs/records/brunel_engines.json."""
    nest_ms = FULL_MS if arguments.full else arguments.nest_ms
    ways = {
        "published": lambda point, seed: brunel_nest.run(Network(**window(nest_ms)), *point, seed, "published"),
        "nest_tuned": lambda point, seed: brunel_nest.run(Network(**window(nest_ms)), *point, seed, "tuned"),
        "compiled": lambda point, seed: brunel_compiled.run(Network(), *point, seed),
    }
    # machine code is made, or read, before anything is timed
    brunel_compiled.run(Network(order=50, **window(200.0)), 2.0, 5.0, 0.3, 1)
    figures = {}
    for name, point in POINTS.items():
        build, total = ({way: [] for way in ways} for _ in range(2))
        for seed in range(1, arguments.rounds + 1):
            for way, run in ways.items():
                activity = run(point, seed)
                scale = 1.0 if way == "compiled" else FULL_MS / nest_ms
                build[way].append(activity.build_s)
                total[way].append(activity.build_s + scale * activity.simulate_s)
                if way == "compiled":
                    rate = activity.rates(Network())[0]
            done = "  ".join(f"{way} {values[-1]:.2f} s" for way, values in total.items())
            print(f"{name}, round {seed}: {done}", file=sys.stderr)
        figures[f"rate_Hz_{name}"] = rate
        for way in ways:
            figures[f"{way}_seconds_{name}"] = statistics.median(total[way])
            figures[f"{way}_build_seconds_{name}"] = statistics.median(build[way])
            figures[f"{way}_per_core_hour_{name}"] = 3600 / statistics.median(total[way])
        for way in ("nest_tuned", "compiled"):
            ratios = [a / b for a, b in zip(total["published"], total[way], strict=True)]
            figures[f"{way}_over_published_{name}"] = statistics.median(ratios)
            figures[f"{way}_over_published_min_{name}"] = min(ratios)
        shares = [100 * b / t for b, t in zip(build["nest_tuned"], total["nest_tuned"], strict=True)]
        figures[f"nest_reuse_could_save_percent_{name}"] = statistics.median(shares)
    figures["nest_simulated_ms"] = nest_ms
    options = f"--rounds {arguments.rounds}" + (" --full" if arguments.full else f" --nest-ms {nest_ms:g}")
    write_record("brunel_engines", f"python benchmarks/brunel_engines.py engines {options}", figures)


# --- equivalence -----------------------------------------------------------------------------------------------------


def measures(network: Network, activity) -> list[float]:
    """Rates (Hz), CV, and log power of E and I counts in bands, shape (27,)."""
    counts = activity.counts[network.bins]
    f, power = signal.welch(counts, 1000.0, nperseg=500, axis=0, detrend="constant")
    bands = [power[(f >= a) & (f < b)].mean(axis=0) for a, b in itertools.pairwise(EDGES_HZ)]
    # a population without a spike has no power: a floor far below that of one spike
    spectra = np.log10(np.array(bands) + 1e-9).T.ravel()
    return [*activity.rates(network), activity.isi_cv, *spectra.tolist()]


def one_point(network: Network, point: tuple, seeds: int) -> dict:
    """Measures of NEST with one seed and of the compiled loop with several."""
    started = time.process_time()
    return {
        "nest": measures(network, brunel_nest.run(network, *point, 1)),
        "compiled": [measures(network, brunel_compiled.run(network, *point, seed)) for seed in range(1, seeds + 1)],
        "seconds": time.process_time() - started,
    }


def deviations(result: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """NEST less the mean of the compiled loop, that in units of its spread, and the mean; NaN where undefined."""
    found, seeds = np.array(result["nest"]), np.array(result["compiled"])
    mean, spread = seeds.mean(axis=0), seeds.std(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return found - mean, (found - mean) / (spread * np.sqrt(1 + 1 / len(seeds))), mean


def compare_models(arguments) -> None:
    """Compares the engines over the box; writes the record and a table of the points beside it."""
    network = Network(**window(1100.0))
    unit = stats.qmc.Halton(3, seed=1).random(arguments.points)
    points = stats.qmc.scale(unit, *zip(*BOX.values(), strict=True)).round(3).tolist()
    sources = [Path(m.__file__).read_bytes() for m in (brunel_nest, brunel_compiled, brunel_loop, brunel_network)]
    engines = hashlib.sha256(b"".join([*sources, Path(__file__).read_bytes()])).hexdigest()[:12]
    results = []
    for i, point in enumerate(points):
        key = "-".join(f"{x:g}" for x in (*point, arguments.seeds))
        kept = ROOT / "results" / "benchmarks" / "brunel_equivalence" / engines / f"{key}.json"
        if not kept.is_file():
            result = one_point(network, tuple(point), arguments.seeds)
            kept.parent.mkdir(parents=True, exist_ok=True)
            with atomic(kept) as temporary:
                temporary.write_text(json.dumps(result))
        results.append(json.loads(kept.read_text()))
        print(f"{i + 1} of {len(points)}: {point}, {results[-1]['seconds']:.0f} s", file=sys.stderr, flush=True)
    command = f"python benchmarks/brunel_engines.py equivalence --points {arguments.points} --seeds {arguments.seeds}"
    rows, figures = summary(points, results, arguments.seeds)
    if arguments.points < 30:
        print("\n".join(rows), json.dumps(figures, indent=1), sep="\n")
        sys.exit("fewer than 30 points: nothing is recorded")
    with atomic(RECORDS / "brunel_equivalence.csv") as temporary:
        temporary.write_text("\n".join(rows) + "\n")
    write_record("brunel_equivalence", command, figures)


def summary(points, results, seeds: int) -> tuple[list[str], dict[str, float]]:
    """The table of the points, as lines of CSV, and the largest deviations."""
    columns = ["rate_E_Hz", "rate_I_Hz", "isi_cv"]
    head = ["eta", "g", "J_mV", *(f"{c}_{what}" for c in columns for what in ("nest", "compiled", "sd", "deviation"))]
    rows = [",".join([*head, "power_deviation_rms", "power_deviation_largest"])]
    all_z, percents = [], []
    for point, result in zip(points, results, strict=True):
        difference, z, mean = deviations(result)
        spread = np.array(result["compiled"]).std(axis=0, ddof=1)
        cells = [*point]
        for k in range(3):
            cells += [result["nest"][k], mean[k], spread[k], z[k]]
        cells += [np.sqrt(np.nanmean(z[3:] ** 2)), np.nanmax(np.abs(z[3:]))]
        rows.append(",".join(f"{x:.4g}" for x in cells))
        all_z.append(z)
        percents.append(100 * np.abs(difference[:2]) / mean[:2])
    z, percents = np.abs(np.array(all_z)), np.array(percents)
    outside = stats.t.ppf(0.975, seeds - 1)
    # what a rate may deviate by: 2 %, or, where seeds differ more, the range of all but one in a thousand
    allowed = (percents <= 2) | (z[:, :2] <= stats.t.ppf(0.9995, seeds - 1))
    parts = {"rate": z[:, :2], "cv": z[:, 2], "power": z[:, 3:]}
    figures = {"points": len(points), "compiled_seeds": seeds, "rates_within": int(allowed.all(axis=1).sum())}
    figures["largest_rate_deviation_percent"] = float(percents.max())
    figures["median_rate_deviation_percent"] = float(np.median(percents))
    figures["expected_deviation_rms"] = float(np.sqrt((seeds - 1) / (seeds - 3)))
    for name, values in parts.items():
        figures[f"{name}_deviation_largest"] = float(np.nanmax(values))
        figures[f"{name}_deviation_rms"] = float(np.sqrt(np.nanmean(values**2)))
        figures[f"{name}_share_outside_95"] = float((values[np.isfinite(values)] > outside).mean())
    # the largest of so many, if all were draws of Student's t
    n = int(np.isfinite(z).sum())
    figures["expected_deviation_largest"] = float(stats.t.ppf(1 - 0.25 / n, seeds - 1))
    return rows, figures


def main() -> None:
    """Runs one of the two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    speed = commands.add_parser("engines", help="simulations per core-hour")
    speed.add_argument("--rounds", type=int, default=3)
    speed.add_argument("--nest-ms", type=float, default=300.0)
    speed.add_argument("--full", action="store_true", help="NEST simulates all 3 s")
    speed.set_defaults(run=compare_speed)
    same = commands.add_parser("equivalence", help="the same rates, irregularity and spectra")
    same.add_argument("--points", type=int, default=32)
    same.add_argument("--seeds", type=int, default=25)
    same.set_defaults(run=compare_models)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
