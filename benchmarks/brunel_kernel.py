"""LFP kernels against lfpykernels and against the hybrid scheme cell by cell; and the time for a whole network.

python benchmarks/brunel_kernel.py [--peer PYTHON]

lfpykernels takes one cell of each kind: its currents spread evenly over the population's disc, and in depth over a
Gaussian of the somata's standard deviation; its synapses where cells have them on average. The package sums over placed
cells, each with the synapses that its own depth gives it. So the two are compared three times: as they are; with the
package's sum replaced by (mean potential) × (mean synapses), which leaves out the same as lfpykernels does; and as they
are with somata in a thin sheet. lfpykernels turns no cell: here both kinds of cells turn about z only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from neuroinverse.records import write_record
from neuroinverse.simulators.lfp_cells import passive_cell
from neuroinverse.simulators.lfp_kernel import alpha_current, fine_kernels, kernel_settings, placement
from neuroinverse.simulators.lfp_populations import contact_points, placed, potentials, synapse_shares

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "reference"))
from direct_hybrid import direct_lfp  # noqa: E402

HOC_NAMES = {"soma": "soma", "basal": "dend", "apical": "apic"}
# lfpykernels steps in powers of two
DT_MS = 2**-4
LENGTH_MS = 100
THIN = [-408.66, -391.34]
SEED = 1


def hoc_files(folder: Path, name: str, cell: dict, lfp: dict) -> dict:
    """Writes a ball-and-sticks cell as LFPy reads it: template and morphology, in the package's own segments."""
    with passive_cell(cell, lfp) as built:
        sections = list(dict.fromkeys(segment.sec for segment in built.segments))
        segments = [section.nseg for section in sections]
        sections.clear()
    half, diameter = cell["soma"]["length_um"] / 2, cell["soma"]["diameter_um"]
    lines = [f"soma[0] {{ pt3dadd(0, 0, {-half}, {diameter}) pt3dadd(0, 0, {half}, {diameter}) nseg = 1 }}"]
    count = {"dend": 0, "apic": 0}
    for stick, nseg in zip(cell["sticks"], segments[1:], strict=True):
        kind = HOC_NAMES[stick["section"]]
        section = f"{kind}[{count[kind]}]"
        count[kind] += 1
        direction = np.array(stick["direction"])
        up = direction[2] >= 0
        x, y, z_end = direction / np.linalg.norm(direction) * stick["length_um"]
        z_start, d = half if up else -half, stick["diameter_um"]
        points = f"pt3dadd(0, 0, {z_start}, {d}) pt3dadd({x}, {y}, {z_start + z_end}, {d})"
        lines += [f"{section} {{ {points} nseg = {nseg} }}", f"connect {section}(0), soma[0]({1 if up else 0})"]
    made = ["create soma[1]"] + [f"create {kind}[{n}]" for kind, n in count.items() if n]
    names = ", ".join(["soma"] + [kind for kind, n in count.items() if n])
    (folder / f"{name}.hoc").write_text("\n".join([*made, *lines, "forall { all.append() }"]) + "\n")
    (folder / f"{name}_template.hoc").write_text(
        f"begintemplate Cell{name}\npublic init, all, {names}\nobjref all\n"
        + "proc init() { all = new SectionList() }\n"
        + "\n".join(made)
        + f"\nendtemplate Cell{name}\n"
    )
    return {"template": f"{name}_template.hoc", "template_name": f"Cell{name}", "morphology": f"{name}.hoc"}


def mean_shares(cell, settings: dict, name: str, source: str) -> np.ndarray:
    """Share of each segment's synapses from a population, mean over the placed cells, shape (segments,)."""
    positions, turns = placement(settings, SEED)[name]
    layers, total = settings["lfp"]["populations"][name]["synapses"][source], 0.0
    for _, start, end in placed(cell, positions, turns):
        total += synapse_shares((start[..., 2] + end[..., 2]) / 2, cell.area, cell.section, layers).sum(axis=0)
    return total / len(positions)


def problem_of(folder: Path, settings: dict) -> dict:
    """The network as lfpykernels_kernel.py reads it."""
    lfp = settings["lfp"]
    populations = {}
    for name, population in lfp["populations"].items():
        synapses = {}
        with passive_cell(population["cell"], lfp) as cell:
            middle = np.mean(population["soma_z_um"]) + (cell.start[:, 2] + cell.end[:, 2]) / 2
            for source, layers in population["synapses"].items():
                allowed = np.isin(cell.section, layers[0]["sections"])
                assert all(layer["sections"] == layers[0]["sections"] for layer in layers)
                density = mean_shares(cell, settings, name, source) / cell.area
                # within the allowed sections synapses per area depend on depth alone
                z, first = np.unique(np.where(allowed, middle, np.nan).round(6), return_index=True)
                first = first[~np.isnan(z)]
                section = [HOC_NAMES[s] for s in layers[0]["sections"] if s in cell.section]
                synapses[source] = {"section": section, "z": list(middle[first]), "density": list(density[first])}
        populations[name] = hoc_files(folder, name, population["cell"], lfp) | {
            "soma_z_um": population["soma_z_um"],
            "neurons": (4 if name == "E" else 1) * settings["order"],
            "synapses": synapses,
        }
    tau = lfp["tau_syn_ms"]
    return {
        "populations": populations,
        "connection_probability": settings["connection_probability"],
        "contacts_z_um": [c[2] for c in lfp["contacts_um"]],
        "conductivity_S_per_m": lfp["conductivity_S_per_m"],
        "radius_um": lfp["radius_um"],
        "delay_ms": lfp["delay_ms"],
        "dt_ms": lfp["dt_ms"],
        "length_ms": lfp["length_ms"],
        "E_pas_mV": lfp["E_pas_mV"],
        "passive": {
            "g": 1 / lfp["r_m_Ohm_cm2"],
            "e": lfp["E_pas_mV"],
            "cm": lfp["c_m_uF_per_cm2"],
            "ra": lfp["R_a_Ohm_cm"],
        },
        "weight_nA": lfp["charge_fC_per_mV"] * 1e-3 / (np.e * tau),
        # an alpha function to a part in 10⁶
        "exp2syn": {"tau1": 0.998 * tau, "tau2": 1.002 * tau},
    }


def peer_kernels(python: Path, settings: dict) -> np.ndarray:
    """lfpykernels' kernels of E and of I, shape (2, steps + 1, contacts)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "problem.json").write_text(json.dumps(problem_of(folder, settings)))
        done = subprocess.run([python, HERE / "lfpykernels_kernel.py", folder], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        found = json.loads((folder / "kernels.json").read_text())
    return np.stack([sum(np.array(found[f"{target}{source}"]) for target in "EI").T for source in "EI"])


def mean_cell_kernels(settings: dict) -> np.ndarray:
    """The package's kernels with the mean over cells taken of potentials and of synapses apart, as lfpykernels does."""
    lfp, order, result = settings["lfp"], settings["order"], 0.0
    points, current = contact_points(lfp), alpha_current(lfp)
    for name, population in lfp["populations"].items():
        reach = settings["connection_probability"] * order * (4 if name == "E" else 1)
        positions, turns = placement(settings, SEED)[name]
        with passive_cell(population["cell"], lfp) as cell:
            transfer = 0.0
            for _, start, end in placed(cell, positions, turns):
                transfer += potentials(start, end, cell.diameter, points, lfp["conductivity_S_per_m"]).sum(axis=0)
            # linear: all segments' shares of the current at once
            parts = [
                cell.currents(
                    {j: p * current for j, p in enumerate(mean_shares(cell, settings, name, source)) if p},
                    lfp["dt_ms"],
                )
                for source in "EI"
            ]
            result += reach / len(positions) * np.stack(parts) @ transfer.T
    return result


def difference(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """Relative differences over populations and contacts.

    Peaks and waveforms by the largest contact's, spectra (amplitudes up to 200 Hz) summed over contacts: a kernel near
    the depth where it turns its sign is a small difference of large terms.
    """
    peak = [np.take_along_axis(k, np.abs(k).argmax(axis=1)[:, None], axis=1)[:, 0] for k in (ours, theirs)]
    largest = np.abs(peak[1]).max(axis=1, keepdims=True)
    frequencies = np.fft.rfftfreq(ours.shape[1], DT_MS * 1e-3)
    spectra = [np.abs(np.fft.rfft(k, axis=1))[:, frequencies <= 200] for k in (ours, theirs)]
    for x, name in enumerate("EI"):
        print(name, "peak per contact (1e-6 mV):", np.round(1e6 * peak[0][x], 2), "lfpykernels:", end=" ")
        print(np.round(1e6 * peak[1][x], 2))
    own = np.abs(peak[0] - peak[1]) / np.abs(peak[1])
    print("relative to the contact's own peak:", np.round(own, 4).tolist())
    return {
        "peak_error_max": (np.abs(peak[0] - peak[1]) / largest).max(),
        "peak_error_median_own": float(np.median(own)),
        "waveform_error_max": (np.abs(ours - theirs).max(axis=1) / largest).max(),
        "spectrum_error": (np.abs(spectra[0] - spectra[1]).sum() / spectra[1].sum()),
    }


def against_lfpykernels(python: Path) -> dict[str, float]:
    """Both kernels in the published range of soma depths, also of the mean cell, and in a thin sheet."""
    figures = {}
    for label, depth in (("lfpykernels", None), ("lfpykernels_thin", THIN)):
        change = {"rotation": "z"} | ({"soma_z_um": depth} if depth else {})
        settings = kernel_settings(
            {"dt_ms": DT_MS, "length_ms": LENGTH_MS, "populations": {"E": change, "I": change}}, order=2500
        )
        theirs = peer_kernels(python, settings)
        print(label)
        figures |= {f"{label}_{k}": v for k, v in difference(fine_kernels(settings, SEED), theirs).items()}
        if depth is None:
            print(label, "mean cell")
            found = difference(mean_cell_kernels(settings), theirs)
            figures |= {f"{label}_mean_cell_{k}": v for k, v in found.items()}
    return figures


def against_direct(rng: np.random.Generator) -> dict[str, float]:
    """100 E and 25 I cells, simulated one by one: synapses spread over the segments, then drawn.

    Every neuron spikes at 20 Hz. Drawn: each cell draws its presynaptic neurons and a segment for each of its synapses,
    25 of them or more of as much less weight. Errors are root mean squares, relative to that of the LFP.
    """
    figures = {}
    settings = kernel_settings({"dt_ms": 0.1, "length_ms": 100}, order=25, connection_probability=0.2)
    lfp = settings["lfp"]
    fine, places, points = fine_kernels(settings, 3), placement(settings, 3), contact_points(lfp)
    dt, duration = lfp["dt_ms"], 100
    steps = round(duration / dt) + 1

    def trains(n):
        return [np.sort(rng.integers(0, round(duration / dt), rng.poisson(2))) * dt for _ in range(n)]

    spikes = {"E": trains(100), "I": trains(25)}
    expected = np.zeros((steps, fine.shape[2]))
    for x, (name, weight) in enumerate((("E", 0.1), ("I", -0.5))):
        for t in np.concatenate(spikes[name]):
            k = round(t / dt)
            expected[k:] += weight * fine[x, : steps - k]

    def error(direct, until=steps):
        return float(np.sqrt(np.mean((direct - expected)[:until] ** 2) / np.mean(expected[:until] ** 2)))

    # before the first of NEURON's alpha synapses ends, 10 time constants after its onset
    early = round((lfp["delay_ms"] + 10 * lfp["tau_syn_ms"]) / dt)
    spread = direct_lfp(settings, places, points, spikes, duration, J=0.1, g=5)
    figures["direct_spread_error"] = error(spread, early)
    print("direct, synapses spread:", figures["direct_spread_error"])
    for times, draws in ((1, 12), (4, 6), (16, 3)):
        degrees = {"E": 20 * times, "I": 5 * times}
        drawn = [
            error(direct_lfp(settings, places, points, spikes, duration, rng, degrees, J=0.1 / times, g=5))
            for _ in range(draws)
        ]
        key = f"direct_drawn_{25 * times}_synapses_error"
        figures[key] = float(np.sqrt(np.mean(np.square(drawn))))
        print(key, figures[key], np.round(drawn, 3))
    return figures


def whole_network() -> dict[str, float]:
    """Time and amplitude of the published network's kernels."""
    start = time.perf_counter()
    settings = kernel_settings({})
    fine = fine_kernels(settings, SEED)
    seconds = time.perf_counter() - start
    other = fine_kernels(settings, SEED + 1)
    finer = fine_kernels(kernel_settings({"segment_um": 10}), SEED)
    largest = np.abs(fine).max(axis=(1, 2), keepdims=True)
    return {
        "cells": 12500,
        "seconds_12500_cells": seconds,
        "peak_E_uV": 1e3 * float(largest[0, 0, 0]),
        "peak_I_uV": 1e3 * float(largest[1, 0, 0]),
        # what another placement changes, and segments of half the length
        "other_seed_difference": float((np.abs(other - fine) / largest).max()),
        "half_segments_difference": float((np.abs(finer - fine) / largest).max()),
        "charge_fC_per_mV": 1e3 * float(alpha_current(settings["lfp"]).sum() * settings["lfp"]["dt_ms"]),
    }


def main() -> None:
    """Compares and writes docs/records/brunel_kernel.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=Path, help="Python that has requirements-lfpykernels.txt; made anew by default")
    peer = parser.parse_args().peer
    figures = whole_network() | against_direct(np.random.default_rng(20))
    with tempfile.TemporaryDirectory() as folder:
        if peer is None:
            uv, peer = Path(sys.executable).with_name("uv"), Path(folder, "bin", "python")
            subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, "--clear", folder], check=True)
            wanted = HERE / "requirements-lfpykernels.txt"
            subprocess.run([uv, "pip", "install", "--quiet", "--python", peer, "-r", wanted], check=True)
        figures |= against_lfpykernels(peer)
    write_record("brunel_kernel", "python benchmarks/brunel_kernel.py", figures)


if __name__ == "__main__":
    main()
