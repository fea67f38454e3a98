"""Passive multicompartment cells in NEURON, and their transmembrane currents to a current into one segment."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from neuroinverse.errors import NeuroinverseError
from neuroinverse.simulators.morphology import load_swc
from neuroinverse.simulators.neuron_batch import interpreter

# axis of an SWC file that points to the surface → the file's axes that become x, y, z (a rotation, no mirror image)
UP = {"z": (0, 1, 2), "y": (2, 0, 1), "x": (1, 2, 0)}


@dataclass
class PassiveCell:
    """A cell that stands in NEURON while `passive_cell` holds it.

    Segment 0 is the soma's; the coordinates have its middle as origin and z to the surface.

    Args:
        start: Where each segment begins (um), shape (segments, 3).
        end: Where it ends (um), shape (segments, 3).
        diameter: Diameter (um), shape (segments,).
        area: Membrane area (um2), shape (segments,).
        section: "soma", "basal", "apical" or "axon" for each segment, shape (segments,).
        segments: NEURON's segments, in the same order.
    """

    start: np.ndarray
    end: np.ndarray
    diameter: np.ndarray
    area: np.ndarray
    section: np.ndarray
    E_pas_mV: float
    segments: list = field(repr=False)

    def __len__(self) -> int:
        return len(self.area)

    def currents(self, injected: Mapping[int, np.ndarray], dt_ms: float) -> np.ndarray:
        """Transmembrane currents while synaptic currents flow.

        A synaptic current crosses the membrane: it counts among the transmembrane currents, which add up to zero.

        Args:
            injected: Current into the cell by segment (nA), at the middle of each step, each of shape (steps,).
            dt_ms: Time step (ms).

        Returns:
            Transmembrane currents (nA), outward positive, at 0, dt_ms, …, shape (steps + 1, segments).
        """
        h = interpreter()
        solver = h.CVode()
        was = solver.use_fast_imem(), solver.active(), h.dt, h.secondorder
        solver.active(False)
        solver.use_fast_imem(True)
        h.dt = dt_ms
        h.secondorder = 0
        kept = []
        try:
            records = [h.Vector().record(segment._ref_i_membrane_) for segment in self.segments]
            for j, current in injected.items():
                clamp = h.IClamp(self.segments[j])
                clamp.delay, clamp.dur = 0, 1e9
                # NEURON takes a played current in the middle of each step
                amplitude, times = h.Vector(current), h.Vector((np.arange(len(current)) + 0.5) * dt_ms)
                amplitude.play(clamp._ref_amp, times, True)
                kept += [clamp, amplitude, times]
            steps = {len(current) for current in injected.values()}.pop()
            parallel = h.ParallelContext()
            parallel.set_maxstep(10)
            h.finitialize(self.E_pas_mV)
            parallel.psolve(steps * dt_ms)
            result = np.stack([record.as_numpy()[: steps + 1] for record in records], axis=1)
        finally:
            for item in kept:
                if hasattr(item, "play_remove"):
                    item.play_remove()
            kept.clear()
            solver.use_fast_imem(was[0])
            solver.active(was[1])
            h.dt, h.secondorder = was[2:]
        # the current of an electrode is none of the membrane's for NEURON: what it gives is charge and leak alone
        for j, current in injected.items():
            result[1:, j] -= current
        result[0] = 0
        return result


@contextmanager
def passive_cell(cell: Mapping, settings: Mapping) -> Iterator[PassiveCell]:
    """Builds a cell in NEURON and removes it afterwards.

    Args:
        cell: `soma` and `sticks`, or `swc` and `up`, as lfp_settings.complete gives them.
        settings: The completed settings: membrane constants and `segment_um`.

    Raises:
        NeuroinverseError: If NEURON cannot make a cell of an SWC file.
    """
    h = interpreter()
    sections, axes = (load_swc(h, cell["swc"]), UP[cell["up"]]) if "swc" in cell else (_sticks(h, cell), UP["z"])
    built = None
    try:
        for kind, section in sections:
            _make_passive(section, kind, settings)
        built = _geometry(sections, axes, settings["E_pas_mV"])
        points = int((built.start == built.end).all(axis=1).sum())
        if points:
            raise NeuroinverseError(
                f"{cell.get('swc')}: {points} of {len(built)} segments have no length: branches of points that all lie "
                "in one place. Remove them from the file, or give another"
            )
        yield built
    finally:
        if built is not None:
            built.segments.clear()
        for _, section in reversed(sections):
            h.delete_section(sec=section)
        sections.clear()


def _sticks(h, cell: Mapping) -> list[tuple[str, object]]:
    """Soma along z, and straight sticks from its upper end where they point up, else from its lower end."""
    length, diameter = cell["soma"]["length_um"], cell["soma"]["diameter_um"]
    soma = h.Section(name="soma")
    soma.pt3dadd(0, 0, -length / 2, diameter)
    soma.pt3dadd(0, 0, length / 2, diameter)
    sections = [("soma", soma)]
    for i, stick in enumerate(cell["sticks"]):
        section = h.Section(name=f"{stick['section']}{i}")
        up = stick["direction"][2] >= 0
        section.connect(soma(1 if up else 0), 0)
        z = length / 2 if up else -length / 2
        direction = np.array(stick["direction"]) * stick["length_um"] / math.hypot(*stick["direction"])
        section.pt3dadd(0, 0, z, stick["diameter_um"])
        section.pt3dadd(direction[0], direction[1], z + direction[2], stick["diameter_um"])
        sections.append((stick["section"], section))
    return sections


def _make_passive(section, kind: str, settings: Mapping) -> None:
    """Membrane constants, and segments of at most `segment_um` and a tenth of the length constant at 100 Hz."""
    section.Ra = settings["R_a_Ohm_cm"]
    section.cm = settings["c_m_uF_per_cm2"]
    if kind == "soma":
        section.nseg = 1
    else:
        # Hines and Carnevale (2001) Neuroscientist 7:123; um
        constant = 1e5 * math.sqrt(section.diam / (4 * math.pi * 100 * section.Ra * section.cm))
        segments = math.ceil(section.L / min(settings["segment_um"], 0.1 * constant))
        section.nseg = segments + 1 - segments % 2
    section.insert("pas")
    for segment in section:
        segment.pas.g = 1 / settings["r_m_Ohm_cm2"]
        segment.pas.e = settings["E_pas_mV"]


def _geometry(sections: Sequence, axes: tuple[int, int, int], E_pas_mV: float) -> PassiveCell:
    start, end, kinds, segments = [], [], [], []
    for kind, section in sections:
        n = section.n3d()
        points = np.array([(section.x3d(i), section.y3d(i), section.z3d(i)) for i in range(n)])[:, axes]
        arc = np.array([section.arc3d(i) for i in range(n)])
        at = np.linspace(0, arc[-1], section.nseg + 1)
        edges = np.stack([np.interp(at, arc, points[:, axis]) for axis in range(3)], axis=1)
        start.append(edges[:-1])
        end.append(edges[1:])
        kinds += [kind] * section.nseg
        segments += list(section)
    start, end = np.concatenate(start), np.concatenate(end)
    middle = (start[0] + end[0]) / 2
    return PassiveCell(
        start=start - middle,
        end=end - middle,
        diameter=np.array([s.diam for s in segments]),
        area=np.array([s.area() for s in segments]),
        section=np.array(kinds),
        E_pas_mV=E_pas_mV,
        segments=segments,
    )
