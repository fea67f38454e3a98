"""Where the time of a trace goes in NEURON: `python benchmarks/cells_throughput.py profile`.

A trace's parts are timed one by one, as `CableCell` calls them, and must give its traces to the bit. What a mechanism
costs is the difference between the steps of the whole cell and of the cell without it (`uninsert`; its ion stays). Such
differences need not add up: what all six channels cost together beyond their sum is given. `cable` are the steps
without any mechanism: ions, capacitance, axial currents, solver, stimulus and record. All in CPU time of one process;
variants in turn, the median of all rounds.
"""

import statistics
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from neuroinverse import sampling
from neuroinverse.simulators import cable_cell, make_simulator
from neuroinverse.simulators.neuron_batch import hoc

CHANNELS = ("mainen_na", "mainen_kv", "mainen_km", "mainen_ca", "mainen_kca", "mainen_cad")
TABLES = ("mainen_na", "mainen_kv", "mainen_km", "mainen_ca")


def neuron(simulation: dict, library: Path, traces: int, rounds: int) -> dict:
    """Figures of the engine on NEURON.

    Args:
        simulation: The traces' specification.
        library: Compiled mechanisms.
        traces: Traces of every variant and round.
        rounds: Rounds.

    Returns:
        Milliseconds per trace, and nanoseconds per compartment and step.
    """
    h = hoc(library)
    simulator = make_simulator(simulation, library)
    theta, seeds = sampling.draw(simulation, np.arange(traces))
    first, _ = _seconds(lambda: cable_cell.standing_cell(simulator))
    expected = simulator.simulate(theta, seeds)["voltage"]
    parts, result = timed(h, simulator, theta)
    if not np.array_equal(result, expected):
        raise SystemExit("the parts that are timed are not what the simulator does")
    present = {m: sum(hasattr(s(0.5), m) * s.nseg for s in h.allsec()) for m in (*CHANNELS, "pas")}
    compartments, steps = sum(s.nseg for s in h.allsec()), simulator.window.stop - 1
    variants = {
        "whole": {},
        **{f"without_{m}": {"without": (m,)} for m in present},
        "without_channels": {"without": CHANNELS},
        "cable": {"without": (*CHANNELS, "pas")},
        "tables_off": {"tables": False},
        "cache_efficient_off": {"cache": False},
    }
    solve = {name: [] for name in variants}
    others = {key: [] for key in ("build", "simulate", "set", "initialize", "copy")}
    for _ in range(rounds):
        for name, options in variants.items():
            cable_cell.take_down()
            others["build"].append(_seconds(lambda: cable_cell.standing_cell(simulator))[0])
            parts, _ = timed(h, simulator, theta, **options)
            solve[name] += parts["solve"]
            if name == "whole":
                for key in ("set", "initialize", "copy"):
                    others[key] += parts[key]
        cable_cell.take_down()
        cable_cell.standing_cell(simulator)
        simulator.simulate(theta[:1], seeds[:1])
        others["simulate"].append(_seconds(lambda: simulator.simulate(theta, seeds))[0] / traces)
    ms = {name: 1e3 * statistics.median(values) for name, values in (solve | others).items()}
    each = 1e6 / (compartments * steps)
    whole = ms["whole"]
    figures = {
        "compartments": compartments,
        "steps": steps,
        "build_first_ms": 1e3 * first,
        "build_ms": ms["build"],
        "simulate_ms": ms["simulate"],
        "set_parameters_ms": ms["set"],
        "initialize_ms": ms["initialize"],
        "steps_ms": whole,
        "copy_ms": ms["copy"],
        "steps_ns_per_compartment_and_step": whole * each,
        "steps_cable_ms": ms["cable"],
    }
    for mechanism, n in present.items():
        cost = whole - ms[f"without_{mechanism}"]
        short = mechanism.removeprefix("mainen_")
        figures[f"steps_{short}_ms"] = cost
        figures[f"{short}_compartments"] = n
        figures[f"{short}_ns_per_compartment_and_step"] = cost * 1e6 / (n * steps)
    together = whole - ms["without_channels"]
    figures["channels_together_ms"] = together
    figures["channels_beyond_their_sum_ms"] = together - sum(whole - ms[f"without_{m}"] for m in CHANNELS)
    for variant in ("tables_off", "cache_efficient_off"):
        figures[f"steps_{variant}_ms"] = ms[variant]
        figures[f"{variant}_ns_per_compartment_and_step"] = ms[variant] * each
        figures[f"{variant}_over_whole"] = ms[variant] / whole
    return figures


def timed(h, simulator, theta, without=(), tables=True, cache=True) -> tuple[dict[str, list[float]], np.ndarray]:
    """Simulates as `CableCell` does, part by part.

    Args:
        h: NEURON's interpreter.
        simulator: Its cell must stand as built; it no longer does afterwards where mechanisms were taken out.
        theta: Physical parameters, shape (n, n_parameters).
        without: Mechanisms that are taken out.
        tables: Whether mechanisms use their tables.
        cache: Whether NEURON stores values side by side.

    Returns:
        CPU time (s) of every simulation by part, and traces, float32, shape (n, window).
    """
    cell = cable_cell.standing_cell(simulator)
    for section in (s for region in cell.regions.values() for s in region):
        for mechanism in without:
            section.uninsert(mechanism)
    h.celsius, h.dt, h.secondorder = simulator.celsius, simulator.dt_ms, 0
    solver = h.CVode()
    solver.active(False)
    solver.cache_efficient(cache)
    (wave,) = simulator.waveforms()
    clamp = h.IClamp(cell.sites[simulator.stimulus_sites[0]])
    clamp.delay, clamp.dur = 0, 1e9
    amplitude, times = h.Vector(wave), h.Vector(np.arange(len(wave)) * simulator.dt_ms)
    amplitude.play(clamp._ref_amp, times, True)
    vector = h.Vector().record(cell.sites[simulator.record[0]]._ref_v)
    context = h.ParallelContext()
    context.set_maxstep(10)
    columns = simulator.columns(theta)
    result = np.empty((len(theta), simulator.window.stop - simulator.window.start), np.float32)
    parts = {key: [] for key in ("set", "initialize", "solve", "copy")}

    def put(i):
        for setting in simulator.settings_of({k: v[i] for k, v in columns.items()}):
            if setting.mechanism not in without:
                simulator.apply(cell, setting)

    def copy(i):
        result[i] = vector.as_numpy()[simulator.window]

    with _tables(h, tables):
        # what NEURON sets up once after a change of the cell
        put(0)
        h.finitialize(simulator.v_init)
        context.psolve(1)
        for i in range(len(theta)):
            parts["set"].append(_seconds(lambda i=i: put(i))[0])
            parts["initialize"].append(_seconds(lambda: h.finitialize(simulator.v_init))[0])
            end = (simulator.window.stop - 1) * simulator.dt_ms
            parts["solve"].append(_seconds(lambda end=end: context.psolve(end))[0])
            parts["copy"].append(_seconds(lambda i=i: copy(i))[0])
    amplitude.play_remove()
    return parts, result


@contextmanager
def _tables(h, used: bool):
    for mechanism in TABLES:
        setattr(h, f"usetable_{mechanism}", int(used))
    yield
    for mechanism in TABLES:
        setattr(h, f"usetable_{mechanism}", 1)


def _seconds(call):
    start = time.process_time()
    result = call()
    return time.process_time() - start, result
