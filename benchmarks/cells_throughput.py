"""Cells of many compartments: traces per core-second against the published way, and where the time goes.

`speed`: the studies mainen_10 and ball_and_sticks_10, parameters drawn from their priors. Every way simulates in a
process of its own, the ways in turn, some rounds; a rate counts the process's CPU time after one simulation to warm up.
The ways are this project's two engines, which simulate as far as the recorded window needs, and the published one,
which simulates the whole stimulus (published_cells.py says how). A ratio is the median of the rounds, `_min` the worst:

- `speedup_over_published_way`: with all that the published way does;
- `…_without_reload`: the time it takes to make the cell anew for every sample left out;
- `…_lean`: with this project's calcium mechanisms, which are cheaper than the published Newton iteration and powers;
- `speedup_at_equal_duration`: of as many steps as ours takes;
- `speedup_strictest`: all three together, what is left of one and the same work.

Nothing is timed before the peer, with fine tables and its stimulus in phase with ours, spikes as ours does: it is the
same cell. The published coarse tables move spikes, and so does single precision in the compiled engine: recorded is how
many traces have as many spikes, and by how much those of them move, the largest of each trace, the median of traces.

`scaling_2_cores` is the throughput of `simulate_shard` on two processes over that on one, in wall time beyond what
their start and first simulations take; `…_with_start` is that of the whole.

`profile`: cells_profile.py.

    python benchmarks/cells_throughput.py speed [--rounds 3] [--traces 8] [--scaling-rounds 2] [--scaling-traces 64]
    python benchmarks/cells_throughput.py profile [--rounds 3] [--traces 2]
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

import cells_profile
import published_cells
from neuroinverse import sampling
from neuroinverse.config import load_study
from neuroinverse.records import write_record
from neuroinverse.simulators import make_simulator
from neuroinverse.stages import compile_mechanisms, simulate_shard
from neuroinverse.stimuli import waveform

# ending of the figures' names: study, how many times as many traces as of Mainen's cell, its peers
STUDIES = {
    "": ("mainen_10", 1, ("published", "lean")),
    "_ball_and_sticks": ("ball_and_sticks_10", 4, ("published",)),
}
ENGINES = ("neuron", "compiled")
# the compiled engine simulates many side by side: as many times as many traces for it
COMPILED_TIMES = 16
# as many times `--scaling-traces`, for some seconds of work
SCALING_TIMES = {"mainen_10": {"neuron": 1, "compiled": 12}, "ball_and_sticks_10": {"neuron": 4, "compiled": 96}}
PROFILED = "mainen_10"
SPIKE_MV = -20.0
# no trace of a dataset has the index of those that warm up
WARM_UP = 10**9


def in_child(function, *arguments):
    """Calls a function in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function, *arguments).result()


def simulation_of(study: str, engine: str) -> dict:
    """Specification of a study's traces, by one of the engines."""
    simulation = load_study(study, "demo", 0).dataset_spec("train")["simulation"]
    return {**simulation, "simulator": {**simulation["simulator"], "engine": engine}}


def ours(study: str, engine: str, folder: Path, indices: np.ndarray) -> dict:
    """Simulates in batches as a shard is; seconds per trace, and traces (mV)."""
    simulation = simulation_of(study, engine)
    simulator = make_simulator(simulation, folder / "own.so")
    theta, seeds = sampling.draw(simulation, indices)
    simulator.simulate(*sampling.draw(simulation, np.array([WARM_UP])))
    batches = [slice(i, i + simulator.batch) for i in range(0, len(theta), simulator.batch)]
    start = time.process_time()
    traces = [simulator.simulate(theta[rows], seeds[rows])["voltage"] for rows in batches]
    return {"seconds": (time.process_time() - start) / len(theta), "traces": np.concatenate(traces)}


def peers(study: str, prefix: str, folder: Path, indices: np.ndarray) -> dict:
    """Simulates the published way; seconds per trace, those that make the cell, and traces (mV) in the window."""
    simulation = simulation_of(study, "neuron")
    simulator = make_simulator(simulation)
    n = round(published_cells.DURATION_MS / published_cells.DT_MS)
    wave = waveform(simulation["protocol"]["stimulus"], n, published_cells.DT_MS)
    if prefix == "fine":
        # ours is linear between samples: a step sees the mean of its ends
        wave = (wave + np.append(wave[1:], wave[-1])) / 2
    cell = published_cells.PUBLISHED[study](
        folder / "published.so", folder / "points.hoc", prefix, simulator.free, simulator.fixed, wave
    )
    theta, _ = sampling.draw(simulation, indices)
    cell.simulate(sampling.draw(simulation, np.array([WARM_UP]))[0])
    cell.build_seconds = cell.read_seconds = 0.0
    start = time.process_time()
    traces = cell.simulate(theta)
    return {
        "seconds": (time.process_time() - start) / len(theta),
        "build": cell.build_seconds / len(theta),
        "read": cell.read_seconds / len(theta),
        "traces": traces[:, simulator.window],
        "steps": n / (simulator.window.stop - 1),
    }


def spike_times(trace: np.ndarray) -> np.ndarray:
    """Upward crossings of SPIKE_MV, ms from the start of the trace."""
    i = np.flatnonzero((trace[:-1] < SPIKE_MV) & (trace[1:] >= SPIKE_MV))
    return (i + (SPIKE_MV - trace[i]) / (trace[i + 1] - trace[i])) * published_cells.DT_MS


def deviations(found: np.ndarray, expected: np.ndarray) -> tuple[int, np.ndarray]:
    """Traces with as many spikes as expected, and for each of them by how much its spikes moved at most (ms)."""
    pairs = [(spike_times(a), spike_times(b)) for a, b in zip(found, expected, strict=False)]
    moved = [np.abs(a - b).max(initial=0) for a, b in pairs if len(a) == len(b)]
    return len(moved), np.array(moved)


def compare_speed(arguments) -> None:
    """Times all ways and writes docs/records/cells_throughput.json."""
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compile_mechanisms.run(folder / "own.so")
        compile_mechanisms.run(folder / "published.so", published_cells.write_mechanisms(folder))
        in_child(published_cells.write_points, folder / "points.hoc")
        for suffix, (study, times, prefixes) in STUDIES.items():
            # machine code is made, or read, before anything is timed
            in_child(ours, study, "compiled", folder, np.arange(1))
            found = check_same_cell(study, folder)
            rounds = run_rounds(study, times * arguments.traces, prefixes, folder, arguments.rounds)
            found |= speed_figures(rounds)
            for engine in ENGINES:
                own = "" if engine == "neuron" else "compiled_"
                n = SCALING_TIMES[study][engine] * arguments.scaling_traces
                scaling = compare_scaling(study, engine, n, folder, arguments.scaling_rounds)
                found |= {f"{own}{key}": value for key, value in scaling.items()}
            figures |= {f"{key}{suffix}": value for key, value in found.items()}
    options = f"--rounds {arguments.rounds} --traces {arguments.traces}"
    options += f" --scaling-rounds {arguments.scaling_rounds} --scaling-traces {arguments.scaling_traces}"
    write_record("cells_throughput", f"python benchmarks/cells_throughput.py speed {options}", figures)


def check_same_cell(study: str, folder: Path) -> dict:
    """Stops unless the peer with fine tables spikes as the reference does."""
    indices = np.arange(WARM_UP + 1, WARM_UP + 4)
    found = in_child(peers, study, "fine", folder, indices)["traces"]
    expected = in_child(ours, study, "neuron", folder, indices)["traces"]
    same, moved = deviations(found, expected)
    if same < len(indices) or moved.max() > 0.02:
        sys.exit(f"{study}: the peer is another cell: {same} of {len(indices)} traces alike, spikes move {moved} ms")
    return {"same_cell_spikes_move_ms": float(moved.max())}


def run_rounds(study: str, n: int, prefixes, folder: Path, rounds: int) -> list[dict]:
    """Results of every way by its name, one dictionary for each round."""
    results = []
    for i in range(rounds):
        indices = np.arange(i * n, (i + 1) * n)
        done = {prefix: in_child(peers, study, prefix, folder, indices) for prefix in prefixes}
        done["neuron"] = in_child(ours, study, "neuron", folder, indices)
        many = np.arange(i * n, i * n + COMPILED_TIMES * n)
        done["compiled"] = in_child(ours, study, "compiled", folder, many)
        results.append(done)
        said = "  ".join(f"{way} {1e3 * result['seconds']:.1f} ms" for way, result in done.items())
        print(f"{study}, round {i + 1}: {said}", file=sys.stderr)
    return results


def speed_figures(rounds: list[dict]) -> dict:
    """Rates, ratios and deviations."""

    def seconds(way, what="seconds"):
        return np.array([done[way][what] for done in rounds])

    def ratio(name, values):
        return {name: float(np.median(values)), f"{name}_min": float(values.min())}

    published, neuron, compiled = seconds("published"), seconds("neuron"), seconds("compiled")
    build, steps = seconds("published", "build"), rounds[0]["published"]["steps"]
    lean = "lean" in rounds[0]
    cheapest = (seconds("lean") - seconds("lean", "build")) / steps if lean else (published - build) / steps
    figures = {
        "traces_per_core_second": 1 / float(np.median(neuron)),
        "published_traces_per_core_second": 1 / float(np.median(published)),
        **ratio("speedup_over_published_way", published / neuron),
        **ratio("speedup_over_published_way_without_reload", (published - build) / neuron),
        **ratio("speedup_at_equal_duration", published / steps / neuron),
        **(ratio("speedup_over_published_way_lean", seconds("lean") / neuron) if lean else {}),
        **ratio("speedup_strictest", cheapest / neuron),
        "simulated_percent": 100 / steps,
        "published_reload_percent": 100 * float(np.median(build / published)),
        "published_read_percent": 100 * float(np.median(seconds("published", "read") / published)),
        "compiled_traces_per_core_second": 1 / float(np.median(compiled)),
        **ratio("compiled_over_neuron", neuron / compiled),
        **ratio("compiled_speedup_over_published_way", published / compiled),
        **ratio("compiled_speedup_at_equal_duration", published / steps / compiled),
        **ratio("compiled_speedup_strictest", cheapest / compiled),
    }
    for way, name in (("published", ""), ("compiled", "compiled_")):
        pairs = [deviations(done["neuron"]["traces"], done[way]["traces"]) for done in rounds]
        moved = np.concatenate([m for _, m in pairs])
        total = sum(len(done["neuron"]["traces"]) for done in rounds)
        figures[f"{name}same_spike_count_percent"] = 100 * sum(same for same, _ in pairs) / total
        figures[f"{name}spikes_move_ms"] = float(np.median(moved)) if len(moved) else float("nan")
        figures[f"{name}spikes_move_half_ms_percent"] = 100 * float((moved > 0.5).sum()) / total
    return figures


def compare_scaling(study: str, engine: str, n: int, folder: Path, rounds: int) -> dict:
    """Throughput of two processes over that of one, through `simulate_shard`."""
    simulation = simulation_of(study, engine)

    def wall(traces: int, threads: int) -> float:
        spec, output = {"simulation": simulation, "start": 0, "stop": traces}, folder / "shard.h5"
        start = time.perf_counter()
        counts = simulate_shard.run(spec, output, threads, folder / "own.so")
        seconds = time.perf_counter() - start
        output.unlink()
        if counts["ok"] < traces:
            sys.exit(f"{study}, {engine}: {counts}")
        return seconds

    # the compiled engine takes as long for one trace as for a whole batch
    first = make_simulator(simulation).batch if engine == "compiled" else 1
    with_start, without = [], []
    for _ in range(rounds):
        starts, whole = zip(*[(wall(threads * first, threads), wall(n, threads)) for threads in (1, 2)], strict=True)
        with_start.append(whole[0] / whole[1])
        each = [(whole[i] - starts[i]) / (n - (i + 1) * first) for i in (0, 1)]
        without.append(each[0] / each[1])
        said = ", ".join(f"{w:.1f} s ({s:.1f} s to start)" for w, s in zip(whole, starts, strict=True))
        print(f"{study}, {engine}, {n} traces on 1 and 2 processes: {said}", file=sys.stderr)
    return {
        "scaling_2_cores": statistics.median(without),
        "scaling_2_cores_min": min(without),
        "scaling_2_cores_with_start": statistics.median(with_start),
        "scaling_traces": n,
    }


def profile(arguments) -> None:
    """Takes the time of an engine apart and writes docs/records/cells_profile.json."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compile_mechanisms.run(folder / "own.so")
        simulation = simulation_of(PROFILED, "neuron")
        figures = in_child(cells_profile.neuron, simulation, folder / "own.so", arguments.traces, arguments.rounds)
        simulator = make_simulator(simulation_of(PROFILED, "compiled"))
        # machine code is made, or read, before anything is timed
        in_child(ours, PROFILED, "compiled", folder, np.arange(1))
        indices = np.arange(2 * simulator.batch)
        runs = [in_child(ours, PROFILED, "compiled", folder, indices) for _ in range(arguments.rounds)]
        seconds = statistics.median(run["seconds"] for run in runs)
        figures["compiled_ms"] = 1e3 * seconds
        figures["compiled_ns_per_compartment_and_step"] = 1e9 * seconds / (figures["compartments"] * figures["steps"])
    options = f"--rounds {arguments.rounds} --traces {arguments.traces}"
    write_record("cells_profile", f"python benchmarks/cells_throughput.py profile {options}", figures)


def main() -> None:
    """Runs one of the two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    speed = commands.add_parser("speed", help="traces per core-second against the published way")
    speed.add_argument("--rounds", type=int, default=3)
    speed.add_argument("--traces", type=int, default=8, help="of Mainen's cell, for every way and round")
    speed.add_argument("--scaling-rounds", type=int, default=2)
    speed.add_argument("--scaling-traces", type=int, default=64, help="of Mainen's cell; whole batches on 2 processes")
    speed.set_defaults(run=compare_speed)
    parts = commands.add_parser("profile", help="where the time goes")
    parts.add_argument("--rounds", type=int, default=3)
    parts.add_argument("--traces", type=int, default=2, help="for every variant and round")
    parts.set_defaults(run=profile)
    arguments = parser.parse_args()
    if arguments.command == "speed" and arguments.scaling_traces < 32:
        parser.error("--scaling-traces: at least 32, for the compiled engine has only whole batches")
    arguments.run(arguments)


if __name__ == "__main__":
    main()
