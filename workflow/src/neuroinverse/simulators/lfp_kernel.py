"""LFP kernels: the mean LFP of a spike of each population, from NEURON cells and LFPykit's forward model.

The cells are passive and their synapses give currents, so everything is linear and does not change in time. For each
kind of cell NEURON gives the transmembrane currents of all segments to a unit synaptic current into each segment. For
every cell of the placed population LFPykit gives the potential at the contacts per current of each segment. A kernel
sums both over segments and cells, with the synapses spread over each cell as their rule has it: for the placed
population it is exactly the mean over all ways to place synapses and to wire the network. No average over cells stands
in for the population, as it does in Hagen et al. (2022) PLoS Comput Biol 18:e1010353.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from neuroinverse.errors import NeuroinverseError
from neuroinverse.files import atomic
from neuroinverse.hdf5 import fixed, new_file, text
from neuroinverse.provenance import canonical, collect, version
from neuroinverse.simulators.lfp_settings import (
    POPULATIONS,
    check_lfp,
    kernel_files,
    kernel_settings,
    n_contacts,
)

__all__ = [
    "Kernel", "alpha_current", "binned", "check_lfp", "fine_kernels", "kernel_files", "kernel_settings", "n_contacts",
    "placement", "population_kernels", "read_kernel", "write_kernel",
]  # fmt: skip

FORMAT = "neuroinverse-kernel-1"
BIN_MS = 1.0
CURE = "Remove the file and run the same target again to make it anew"


@dataclass(frozen=True, eq=False)
class Kernel:
    """The mean LFP (mV) of one spike of a population, per mV of synaptic weight, in bins of 1 ms.

    Args:
        values: E and I, shape (2, bins, contacts); both for an excitatory current, the sign of inhibition is in `lfp`.
        contacts_um: Positions of the contacts, shape (contacts, 3).
    """

    values: np.ndarray
    contacts_um: np.ndarray

    def lfp(self, counts, J: float, g: float) -> np.ndarray:
        """LFP of a network: J·(H_E * n_E) − g·J·(H_I * n_I); what came before the first bin is silence.

        Args:
            counts: Spikes of E and of I in bins of 1 ms, shape (bins, 2).
            J: Excitatory weight (mV).
            g: Inhibitory over excitatory weight.

        Returns:
            LFP (mV), mean over each bin, shape (bins, contacts).
        """
        counts = np.asarray(counts, dtype=float)
        n = len(counts)
        size = n + self.values.shape[1] - 1
        weighted = np.fft.rfft(counts * [J, -g * J], size, axis=0)
        spectrum = np.einsum("fx,xfc->fc", weighted, np.fft.rfft(self.values, size, axis=1))
        return np.fft.irfft(spectrum, size, axis=0)[:n]


def alpha_current(lfp: Mapping) -> np.ndarray:
    """Synaptic current of a weight of 1 mV after a spike at time 0 (nA), in the middle of every dt_ms of length_ms.

    (t/τ)·exp(1 − t/τ), t counted from the end of the delay; its integral e·τ·amplitude is the charge that a weight of
    1 mV stands for.
    """
    dt, tau = lfp["dt_ms"], lfp["tau_syn_ms"]
    # fC/ms = pA
    amplitude = 1e-3 * lfp["charge_fC_per_mV"] / (math.e * tau)
    t = (np.arange(round(lfp["length_ms"] / dt)) + 0.5) * dt - lfp["delay_ms"]
    return np.where(t > 0, amplitude * (t / tau) * np.exp(1 - t / tau), 0.0)


def placement(settings: Mapping, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Where the cells of each population are.

    Args:
        settings: As `kernel_settings` gives them.
        seed: Seed of the placement.

    Returns:
        Positions (um), shape (cells, 3), and rotation matrices, shape (cells, 3, 3), by population.

    Raises:
        NeuroinverseError: If the cells do not fit.
    """
    from neuroinverse.simulators.lfp_populations import place, rotations

    placing, *turning = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3))
    positions = place(settings["lfp"], placing)
    populations = settings["lfp"]["populations"]
    return {
        name: (positions[name], rotations(populations[name]["rotation"], len(positions[name]), rng))
        for name, rng in zip(POPULATIONS, turning, strict=True)
    }


def fine_kernels(settings: Mapping, seed: int, count: Callable[[int], None] | None = None) -> np.ndarray:
    """Mean LFP of a spike at time 0 (mV), at 0, dt_ms, …, length_ms.

    Args:
        settings: As `kernel_settings` gives them.
        seed: Seed of the placement of cells.
        count: Called with the number of cells that are done since the last call.

    Returns:
        E and I, shape (2, steps + 1, contacts).

    Raises:
        NeuroinverseError: If a cell cannot be made or placed.
    """
    # NEURON is imported here, by whoever computes a kernel, and not by those who read one
    from neuroinverse.simulators.lfp_cells import passive_cell
    from neuroinverse.simulators.lfp_populations import coupling

    lfp, order = settings["lfp"], settings["order"]
    current = alpha_current(lfp)
    result = np.zeros((2, len(current) + 1, n_contacts(lfp)))
    places = placement(settings, seed)
    for name, neurons in zip(POPULATIONS, (4 * order, order), strict=True):
        population = lfp["populations"][name]
        # where fewer cells are placed than there are, each stands for several; a spike reaches a cell with the
        # connection probability
        reach = settings["connection_probability"] * neurons / population["cells"]
        with passive_cell(population["cell"], lfp) as cell:
            couplings = coupling(cell, *places[name], population["synapses"], lfp, count)
            both = reach * np.stack([couplings[source] for source in POPULATIONS])
            for j in np.flatnonzero(both.any(axis=(0, 1, 2))):
                currents = cell.currents({j: current}, lfp["dt_ms"])
                result += np.einsum("tk,xck->xtc", currents, both[..., j], optimize=True)
    return result


def binned(fine: np.ndarray, dt_ms: float) -> np.ndarray:
    """What a spike anywhere in one bin gives on average in the same and in later bins.

    Both the spike within its bin and the LFP over its bin are averaged: each lag is weighted by a triangle of two bins.

    Args:
        fine: Response at 0, dt_ms, …, shape (populations, steps + 1, contacts).
        dt_ms: Its time step (ms).

    Returns:
        Shape (populations, bins, contacts).
    """
    per_bin = round(BIN_MS / dt_ms)
    bins = (fine.shape[1] - 1) // per_bin
    lag = np.arange(fine.shape[1]) / per_bin
    weight = np.maximum(0, 1 - np.abs(lag - np.arange(bins)[:, None])) / per_bin
    return np.einsum("bt,xtc->xbc", weight, fine, optimize=True)


def population_kernels(settings: Mapping, seed: int, count: Callable[[int], None] | None = None) -> Kernel:
    """The kernels of a network's populations.

    Args:
        settings: As `kernel_settings` gives them.
        seed: Seed of the placement of cells.
        count: Called with the number of cells that are done since the last call.

    Raises:
        NeuroinverseError: If a cell cannot be made or placed.
    """
    lfp = settings["lfp"]
    return Kernel(binned(fine_kernels(settings, seed, count), lfp["dt_ms"]), np.array(lfp["contacts_um"]))


def write_kernel(path: Path, kernel: Kernel, spec: Mapping) -> None:
    """Writes a kernel with its specification and provenance; the file appears when it is whole.

    Args:
        path: The file.
        kernel: The kernel.
        spec: What it was made from: `settings`, `seed`, `files` (SHA-256 sums by path), and whatever else.
    """
    values = np.ascontiguousarray(kernel.values, dtype=np.float64)
    provenance = collect(spec) | {"lfpykit": version("lfpykit")}
    with atomic(path) as temporary, new_file(temporary) as (file, _):
        data = file.create_dataset("kernel", data=values, chunks=values.shape, fletcher32=True)
        data.attrs["populations"] = fixed(POPULATIONS)
        data.attrs["unit"] = fixed("mV per spike and mV of weight")
        data.attrs["dt_ms"] = BIN_MS
        file.attrs["format"] = fixed(FORMAT)
        file.attrs["spec"] = fixed(canonical(spec))
        file.attrs["provenance"] = fixed(json.dumps(provenance))
        file.attrs["content_sha256"] = fixed(hashlib.sha256(values.tobytes()).hexdigest())


def read_kernel(path: Path, settings: Mapping) -> Kernel:
    """Reads a kernel and makes sure that it was made for these settings.

    Args:
        path: The file.
        settings: As `kernel_settings` gives them.

    Raises:
        NeuroinverseError: If the file is missing, damaged, or made for something else; it says for what.
    """
    if path is None or not Path(path).is_file():
        raise NeuroinverseError(f"{path}: no LFP kernel there; snakemake makes results/<study>/<scale>/kernel.h5")
    try:
        with h5py.File(path, "r") as file:
            if text(file.attrs, "format") != FORMAT:
                raise NeuroinverseError(f"{path}: is no LFP kernel of format {FORMAT}. {CURE}")
            spec = json.loads(text(file.attrs, "spec"))
            values = file["kernel"][:]
            if hashlib.sha256(values.tobytes()).hexdigest() != text(file.attrs, "content_sha256"):
                raise NeuroinverseError(f"{path}: its contents do not match its SHA-256 sum: it was altered. {CURE}")
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise NeuroinverseError(f"{path}: the LFP kernel is truncated or altered ({error}). {CURE}") from error
    sums = {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in kernel_files(settings["lfp"])}
    difference = _difference(
        {"settings": spec["settings"], "SHA-256": spec.get("files", {})}, {"settings": settings, "SHA-256": sums}
    )
    if difference:
        raise NeuroinverseError(f"{path}: the LFP kernel was made for something else: {difference}. {CURE}")
    return Kernel(values, np.array(settings["lfp"]["contacts_um"]))


def _difference(found, expected, where: str = "") -> str:
    """The first value in which two specifications differ, in words; empty where they agree."""
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        for key in sorted(set(found) | set(expected)):
            said = _difference(found.get(key, "nothing"), expected.get(key, "nothing"), f"{where}.{key}".strip("."))
            if said:
                return said
        return ""
    return "" if found == expected else f"{where} is {found!r}, expected {expected!r}"
