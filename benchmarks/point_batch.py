"""Point neurons per core-second: one cell at a time through `continuerun` against this project's batches.

Both sides simulate the same traces of the study hh_point_2 with the same mechanism on one core, in alternating rounds
of one process, so that the ratio holds when the machine's speed drifts. The peer is the common script: an IClamp with
a played vector, a recorded voltage, `run()`. Both traces must agree before anything is timed.

    python benchmarks/point_batch.py [--rounds 5] [--traces 200]
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from neuroinverse.config import load_study
from neuroinverse.records import write_record
from neuroinverse.simulators import make_simulator
from neuroinverse.simulators.neuron_batch import hoc
from neuroinverse.stages import compile_mechanisms
from neuroinverse.stages.simulate_shard import BATCH


def one_by_one(h, simulator, theta: np.ndarray) -> np.ndarray:
    """Voltage traces (mV), shape (n, time), one cell and one `run()` each."""
    h.load_file("stdrun.hoc")
    density = simulator.stimulus()
    # a played vector needs its times alive: NEURON drops the stimulus in silence when they are collected
    times = h.Vector(np.arange(len(density)) * simulator.dt_ms)
    traces = []
    for gnabar, gkbar in theta:
        soma = h.Section(name="soma")
        soma.L = soma.diam = 20
        soma.insert("hh1952")
        soma.ena, soma.ek, soma.cm = 50, -77, 1
        soma(0.5).hh1952.gnabar, soma(0.5).hh1952.gkbar = gnabar, gkbar
        clamp = h.IClamp(soma(0.5))
        clamp.dur = 1e9
        # uA/cm2 over the area in um2, in nA
        current = h.Vector(density * soma(0.5).area() * 1e-5)
        current.play(clamp._ref_amp, times, True)
        voltage = h.Vector().record(soma(0.5)._ref_v)
        h.celsius, h.dt, h.steps_per_ms, h.v_init = 6.3, simulator.dt_ms, 1 / simulator.dt_ms, -65
        h.tstop = (simulator.n_steps - 1) * simulator.dt_ms
        h.run()
        traces.append(voltage.as_numpy()[: simulator.n_steps].astype(np.float32))
    return np.array(traces)


def batched(simulator, theta: np.ndarray) -> np.ndarray:
    """Voltage traces (mV), shape (n, time), in batches as a shard is simulated."""
    seeds = np.zeros(len(theta), np.uint64)
    parts = [simulator.simulate(theta[i : i + BATCH], seeds[i : i + BATCH]) for i in range(0, len(theta), BATCH)]
    return np.concatenate([part["soma_voltage"] for part in parts])


def main() -> None:
    """Times both and writes docs/records/point_batch.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--traces", type=int, default=200)
    arguments = parser.parse_args()
    study = load_study("hh_point_2", "demo", 0)
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "libnrnmech.so"
        compile_mechanisms.run(library)
        simulator = make_simulator(study.dataset_spec("train")["simulation"], library)
        h = hoc(library)
        theta, _ = study.parameters.draw(0, "benchmarks/point_batch", np.arange(arguments.traces))
        difference = np.abs(one_by_one(h, simulator, theta[:10]) - batched(simulator, theta[:10])).max()
        if difference > 0.01:
            raise SystemExit(f"the two sides differ by {difference:.3g} mV: nothing to compare")
        seconds = {"peer": [], "batch": []}
        for _ in range(arguments.rounds):
            for side, run in (
                ("peer", lambda: one_by_one(h, simulator, theta)),
                ("batch", lambda: batched(simulator, theta)),
            ):
                start = time.process_time()
                run()
                seconds[side].append(time.process_time() - start)
    ratios = [a / b for a, b in zip(seconds["peer"], seconds["batch"], strict=True)]
    per_trace = {side: 1e3 * statistics.median(s) / arguments.traces for side, s in seconds.items()}
    write_record(
        "point_batch",
        f"python benchmarks/point_batch.py --rounds {arguments.rounds} --traces {arguments.traces}",
        {
            "speedup_per_core": statistics.median(ratios),
            "speedup_per_core_min": min(ratios),
            "speedup_per_core_max": max(ratios),
            "peer_ms_per_trace": per_trace["peer"],
            "batch_ms_per_trace": per_trace["batch"],
            "max_difference_mV": float(difference),
        },
    )


if __name__ == "__main__":
    main()
