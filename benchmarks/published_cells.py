"""The published way to simulate these cells, made again in our own words: the peer of cells_throughput.py.

As the public code of Balewski et al. (2019) does it: one process for a set of traces. For every sample the parameters
become globals of hoc, all sections are deleted and the cell is made anew, from its file of points where it has one; the
whole stimulus of 460 ms is played by a statement that hoc interprets at every step; six variables of the soma's middle
are recorded; stdrun.hoc's `stdinit` and `run` step, one interpreted call a step; six arrays are copied.

Its mechanisms tabulate steady states and time constants in 199 intervals from -120 to 100 mV, so that every gate takes
an exponential at every step (METHOD cnexp). The calcium pool is solved by Newton's method (derivimplicit), although it
is linear, and the calcium-dependent channel takes two powers at every step: [Ca]^1 and q10's.

What differs: Python makes the cell and folds its spines in point by point, theirs is made by hoc. In the peer's favour:
our morphology, with the same statistics, has a smaller file (49 kB against 60 kB); no shape plot and no graph are made;
each mechanism keeps fewer variables. Against it: the sticks of their balls are one compartment each; here they have
ours, for the same traces.
"""

import math
import re
import sys
import time
from pathlib import Path

import numpy as np

from neuroinverse.simulators import MECHANISMS, ball_and_sticks, mainen
from neuroinverse.simulators.cable_cell import segments
from neuroinverse.simulators.morphology import load_swc
from neuroinverse.simulators.neuron_batch import hoc, interpreter

DT_MS, DURATION_MS = 0.02, 460.0
# prefixes of the mechanisms' names, and their tables
TABLES = {
    "published": "FROM -120 TO 100 WITH 199",
    # calcium's two mechanisms are this project's own, which are cheaper
    "lean": "FROM -120 TO 100 WITH 199",
    # so are they here, and tables are as fine as this project's: the same cell but for rounding
    "fine": "FROM -300 TO 200 WITH 5000",
}
# what is rewritten in the mechanisms that have tables, and in those of calcium
TIME_CONSTANTS = (
    (r"DEPEND dt, celsius FROM .*", "DEPEND celsius {extent}"),
    (r"kept = exp\(-dt \* (.*)\)\n", r"tau = 1 / (\1)\n"),
    (r"SOLVE advance", "SOLVE states METHOD cnexp"),
    (r"PROCEDURE advance\(\)", "DERIVATIVE states"),
    (r"(\w) = \1inf \+ \(\1 - \1inf\) \* \1kept", r"\1' = (\1inf - \1) / \1tau"),
    (r"    dt \(ms\)\n", ""),
    (r"kept\b", "tau"),
)
NEWTON = ((r"METHOD cnexp", "METHOD derivimplicit"),)
POWERS = (
    (r"    n' = .*\n}", "    rates(cai)\n    n' = (ninf - n) / ntau\n}"),
    (r"(    ralpha = .*\n)", r"\1    power = 1\n"),
    (r"(    q10\n)", r"\1    ninf\n    ntau (ms)\n"),
    (
        r"\Z",
        """
PROCEDURE rates(c (mM)) {
    LOCAL open
    open = ralpha * c^power
    ninf = open / (open + 0.02)
    ntau = 1 / (2.3^((celsius - 23) / 10) * (open + 0.02))
}
""",
    ),
)


def write_mechanisms(folder: Path) -> list[Path]:
    """Writes this project's mechanisms as the published ones compute.

    Args:
        folder: Where the MOD files go.

    Returns:
        The files, of all mechanisms once for every one of TABLES.
    """
    files = []
    for source in sorted(MECHANISMS.glob("mainen_*.mod")):
        for prefix, extent in TABLES.items():
            text = source.read_text().replace("mainen_", f"{prefix}_")
            if "TABLE" in text:
                text = _rewritten(source.name, text, [(old, new.format(extent=extent)) for old, new in TIME_CONSTANTS])
            elif prefix == "published":
                text = _rewritten(source.name, text, NEWTON if source.name == "mainen_cad.mod" else POWERS)
            files.append(folder / source.name.replace("mainen_", f"{prefix}_"))
            files[-1].write_text(text)
    return files


def _rewritten(name: str, text: str, replacements) -> str:
    for pattern, new in replacements:
        text, n = re.subn(pattern, new, text)
        if not n:
            sys.exit(f"{name} has no {pattern!r}: adapt benchmarks/published_cells.py to it")
    return text


def write_points(path: Path) -> None:
    """Writes the package's morphology as a hoc file of points, the form that was published.

    Args:
        path: The file; it makes sections soma[…] and dend[…].
    """
    h = interpreter()
    sections = load_swc(h, str(mainen.MORPHOLOGY))
    groups = {
        "soma": [s for kind, s in sections if kind == "soma"],
        "dend": [s for kind, s in sections if kind != "soma"],
    }
    names = {section: f"{group}[{i}]" for group, members in groups.items() for i, section in enumerate(members)}
    lines = ["create " + ", ".join(f"{group}[{len(members)}]" for group, members in groups.items())]
    for section, name in names.items():
        points = (
            f"pt3dadd({section.x3d(i):.9g}, {section.y3d(i):.9g}, {section.z3d(i):.9g}, {section.diam3d(i):.9g})"
            for i in range(section.n3d())
        )
        lines.append("\n".join([f"{name} {{", "pt3dclear()", *points, "}"]))
        parent = section.parentseg()
        if parent is not None:
            lines.append(f"connect {name}({section.orientation():g}), {names[parent.sec]}({parent.x:g})")
    path.write_text("\n".join(lines) + "\n")
    for _, section in reversed(sections):
        h.delete_section(sec=section)


class Published:
    """One cell, simulated the published way.

    Args:
        library: Compiled mechanisms of `write_mechanisms`.
        points: File of `write_points`, where the cell has one.
        prefix: One of TABLES.
        names: The parameters.
        fixed: Values of the others.
        wave: Stimulus (nA), float64, shape (time,).
    """

    v_init: float

    def __init__(self, library: Path, points: Path, prefix: str, names, fixed: dict, wave: np.ndarray):
        self.h, self.points, self.prefix, self.names, self.wave = hoc(library), points, prefix, names, wave
        h = self.h
        h.load_file("stdrun.hoc")
        h("objref st")
        for name in (*names, *fixed):
            h(f"{_hoc_name(name)} = 0")
        for name, value in fixed.items():
            setattr(h, _hoc_name(name), value)
        h.celsius, h.v_init, h.tstop = 37, self.v_init, DURATION_MS
        h.dt, h.steps_per_ms = DT_MS, 1 / DT_MS
        self.build_seconds = self.read_seconds = 0.0

    def simulate(self, theta: np.ndarray) -> np.ndarray:
        """Voltage traces (mV), shape (n, time), of the whole stimulus; adds to `build_seconds`, and `read_seconds`, the
        part of them that reads the file of points."""
        return np.stack([self._one(row)[0] for row in theta])

    def _one(self, row) -> list[np.ndarray]:
        h = self.h
        for name, value in zip(self.names, row, strict=True):
            setattr(h, _hoc_name(name), value)
        start = time.process_time()
        h("forall delete_section()")
        soma = self.make()(0.5)
        self.build_seconds += time.process_time() - start
        h.st = h.IClamp(soma)
        h.st.delay, h.st.dur = 0, 1e9
        stimulus = h.Vector(self.wave)
        stimulus.play("st.amp = $1", h.dt)
        recorded = (soma._ref_v, soma._ref_ina, soma._ref_ik, soma._ref_ica, soma.pas._ref_i, soma._ref_i_cap)
        vectors = [h.Vector().record(reference) for reference in recorded]
        h.stdinit()
        h.run()
        return [vector.as_numpy().copy() for vector in vectors]

    def make(self):
        """Makes the cell of the parameters that stand in hoc; returns its soma."""
        raise NotImplementedError

    def put(self, section, **densities: float) -> None:
        """Inserts mechanisms and sets their conductances, each in a whole section."""
        for name, value in densities.items():
            section.insert(f"{self.prefix}_{name}")
            setattr(section, f"gbar_{self.prefix}_{name}", value)


def _hoc_name(parameter: str) -> str:
    """A parameter's global in hoc; some names are NEURON's own."""
    return f"all_{parameter}"


class PublishedMainen(Published):
    """Mainen and Sejnowski's cell from a file of points."""

    v_init = mainen.Mainen.v_init

    def make(self):
        h = self.h
        start = time.process_time()
        h.load_file(1, str(self.points))
        self.read_seconds += time.process_time() - start
        somata, dendrites = list(h.soma), list(h.dend)
        for section in somata + dendrites:
            section.nseg = segments(section.L, 50)
            if section in somata:
                continue
            area = sum(segment.area() for segment in section)
            factor = (section.L * 0.83 + area) / area
            longer, thicker = factor ** (2 / 3), factor ** (1 / 3)
            for i in range(section.n3d()):
                x, y, z, diameter = section.x3d(i), section.y3d(i), section.z3d(i), section.diam3d(i)
                section.pt3dchange(i, x * longer, y * longer, z * longer, diameter * thicker)
        h("create hillock, initial_segment, myelin[5], node[5]")
        soma = somata[len(somata) // 2]
        diameter = math.sqrt(sum(s.area() for section in somata for s in section) / (4 * math.pi)) / 10
        end = soma(0.5)
        axon = [(h.hillock, 10, diameter, 5), (h.initial_segment, 15, diameter, 5)]
        for myelin, node in zip(h.myelin, h.node, strict=True):
            axon += [(myelin, 100, diameter, 5), (node, 1, 0.75 * diameter, 1)]
        for section, length, thickness, nseg in axon:
            section.L, section.diam, section.nseg = length, thickness, nseg
            section.connect(end, 0)
            end = section(1)
        for segment in h.hillock:
            segment.diam = diameter * (4 - 3 * segment.x)
        nodes, myelins = list(h.node), list(h.myelin)
        for section in h.allsec():
            section.insert("pas")
            section.Ra, section.e_pas, section.g_pas, section.cm = 150, -70, 1 / h.all_rm, h.all_c_m
        for section in dendrites + myelins:
            self.put(section, na=h.all_gna_dend)
        for section in [h.hillock, h.initial_segment, *nodes]:
            self.put(section, na=h.all_gna_node)
        for section in (h.hillock, h.initial_segment):
            self.put(section, kv=h.all_gkv_axon)
        for section in somata:
            self.put(section, na=h.all_gna_soma, kv=h.all_gkv_soma)
        for section in somata + dendrites:
            self.put(section, km=h.all_gkm_dend, kca=h.all_gkca_dend, ca=h.all_gca_dend)
            section.insert(f"{self.prefix}_cad")
            setattr(section, f"ralpha_{self.prefix}_kca", h.all_kca_rate)
            h.ion_style("ca_ion", 3, 1, 0, 0, 0, sec=section)
            section.eca = 140
        for section in h.allsec():
            section.ena = 60
        for section in [*somata, *dendrites, h.hillock, h.initial_segment]:
            section.ek = -90
        for section in myelins:
            section.cm = 0.04
        for section in nodes:
            section.g_pas = 0.02
        return soma


class PublishedBallAndSticks(Published):
    """A ball with two kinds of sticks; no file."""

    v_init = ball_and_sticks.BallAndSticks.v_init

    def make(self):
        h = self.h
        h("create soma, apical, basal[2]")
        for section, part, length, thickness in (
            (h.soma, "soma", 21, 21),
            (h.apical, "apical", 210, 2.1),
            *((basal, "basal", 52.5, 2.1) for basal in h.basal),
        ):
            section.L, section.diam = length, thickness
            section.nseg = segments(length, 50)
            values = {name: getattr(h, f"all_g{name}bar_{part}") for name in ("na", "k", "ca")}
            self.put(section, na=values["na"], kv=values["k"], ca=values["ca"])
            setattr(section, f"shift_{self.prefix}_na", -10)
            section.insert("pas")
            section.Ra, section.cm, section.g_pas, section.e_pas = 35.4, h.all_cm, h.all_gl_soma, -70
            section.ena, section.ek, section.eca = 50, -77, 132.458
        h.apical.connect(h.soma(1), 0)
        for basal in h.basal:
            basal.connect(h.soma(0), 0)
        return h.soma


PUBLISHED = {"mainen_10": PublishedMainen, "ball_and_sticks_10": PublishedBallAndSticks}
