"""Same channels, other dendrites: how the cells of the package fire, as in figure 1 of Mainen and Sejnowski (1996).

Every cell has the default parameters and gets a step of 1 s into its soma. The currents are the published ones: 50 pA
into the aspiny stellate cell, which has no spines, 70 pA into the spiny one, 200 pA into the layer 5 pyramid. Then the
pyramid with dendrites of other lengths, the current in proportion to their area, and with dendrites that are coupled
more tightly or more loosely: their axial resistivity is multiplied.

A spike is a rise through 0 mV; a burst, spikes of which each follows the one before within 15 ms.

    python benchmarks/mainen_firing.py
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroinverse.evaluation import style
from neuroinverse.records import RECORDS, write_record
from neuroinverse.simulators import cable_cell, mainen
from neuroinverse.stages import compile_mechanisms

FOLDER = mainen.MORPHOLOGY.parent
START_MS, STEP_MS, AFTER_MS, DT_MS = 20, 1000, 30, 0.025
BURST_MS = 15.0
PYRAMID, PYRAMID_NA = "layer_5_pyramid", 0.2
# name of the file, published current (nA), spines
CELLS = (("aspiny_stellate", 0.05, False), ("spiny_stellate", 0.07, True), (PYRAMID, PYRAMID_NA, True))
CURRENTS_NA = (0.05, 0.07, 0.1, 0.15, 0.2)
LENGTHS = (0.4, 0.6, 0.8)
COUPLINGS = (0.25, 0.5, 2, 4)


class Firing(mainen.Mainen):
    """The cell with dendrites whose axial resistivity is multiplied by `axial`."""

    axial = 1.0

    def build(self, h):
        cell = super().build(h)
        for section in cell.regions["dendrites"]:
            section.Ra *= self.axial
        return cell


@dataclass
class Response:
    """What a cell answers to a step: voltage (mV) from `START_MS` before it, spike times (ms) after its start."""

    voltage: np.ndarray
    spikes: np.ndarray
    current: float
    area: float

    @property
    def burst_spikes(self) -> int:
        """Spikes in bursts."""
        near = np.diff(self.spikes) <= BURST_MS
        return int(np.sum(np.append(near, False) | np.insert(near, 0, False))) if len(near) else 0

    def figures(self, name: str) -> dict[str, float]:
        """Numbers of the record."""
        intervals = np.diff(self.spikes)
        found = {"dendrite_area_um2": self.area, "current_nA": self.current, "spikes": len(self.spikes)}
        if len(intervals):
            found |= {"first_interval_ms": intervals[0], "last_interval_ms": intervals[-1]}
            found["adaptation"] = intervals[-1] / intervals[0]
        return {f"{name}_{k}": v for k, v in (found | {"burst_spikes": self.burst_spikes}).items()}


def fire(library: Path, morphology: Path, current: float, spines: bool = True, axial: float = 1.0) -> Response:
    """Simulates one cell with the default parameters.

    Args:
        library: Compiled mechanisms.
        morphology: SWC file.
        current: Of the step (nA).
        spines: Whether the dendrites have spines.
        axial: Factor of the dendrites' axial resistivity.
    """
    step = {"kind": "step", "unit": "nA", "amplitude": current, "start_ms": START_MS, "stop_ms": START_MS + STEP_MS}
    protocol = {"dt_ms": DT_MS, "duration_ms": START_MS + STEP_MS + AFTER_MS, "stimulus": step}
    options = {"morphology": str(morphology), "spines": spines}
    simulator = Firing((), protocol, engine="neuron", options=options, library=library)
    simulator.axial = axial
    voltage = simulator.simulate(np.empty((1, 0)), np.zeros(1, np.uint64))["voltage"][0]
    dendrites = cable_cell.standing_cell(simulator).regions["dendrites"]
    spikes = np.flatnonzero((voltage[:-1] < 0) & (voltage[1:] >= 0)) * DT_MS - START_MS
    return Response(voltage, spikes, current, sum(segment.area() for section in dendrites for segment in section))


def with_lengths(source: Path, factor: float, target: Path) -> Path:
    """Writes the cell with dendrites of other lengths: coordinates of the whole are scaled, but for the soma's."""
    lines = []
    for line in source.read_text().splitlines():
        fields = line.split()
        if fields[0] != "#" and fields[1] != "1":
            fields[2:5] = [f"{factor * float(x):.3f}" for x in fields[2:5]]
        lines.append(" ".join(fields))
    target.write_text("\n".join(lines) + "\n")
    return target


def draw(rows: list[tuple[str, Response]], path: Path) -> None:
    """One panel per cell: the first 700 ms of the step."""
    shown = slice(0, round((START_MS + 700) / DT_MS))
    with style.styled():
        figure = style.new_figure(1.35 * len(rows) + 0.3)
        panels = figure.subplots(len(rows), 1, sharex=True, sharey=True)
        for panel, (name, response) in zip(panels, rows, strict=True):
            voltage = response.voltage[shown]
            panel.plot(np.arange(len(voltage)) * DT_MS - START_MS, voltage, color=style.BLUE, linewidth=0.8)
            panel.set_title(
                f"{name}: {1000 * response.current:.0f} pA, dendrites {style.number(round(response.area, -2))} µm²"
            )
            panel.set_xlim(-START_MS, 700)
            panel.set_yticks([-80, -40, 0, 40])
            panel.set_ylabel("soma (mV)")
        panels[-1].set_xlabel("time from the start of the step (ms)")
        style.save(figure, path)


def main() -> None:
    """Simulates all, draws docs/images/mainen_firing.png and writes docs/records/mainen_firing.json."""
    figures, shown = {}, []
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "libnrnmech.so"
        compile_mechanisms.run(library)
        for name, current, spines in CELLS:
            response = fire(library, FOLDER / f"{name}.swc", current, spines)
            figures |= response.figures(name)
            shown.append((name.replace("_", " ").capitalize(), response))
        stellate = FOLDER / "spiny_stellate.swc"
        for current in CURRENTS_NA:
            figures[f"spiny_stellate_spikes_at_{current}_nA"] = len(fire(library, stellate, current).spikes)
        pyramid, whole = FOLDER / f"{PYRAMID}.swc", shown[-1][1]
        for factor in LENGTHS:
            scaled = with_lengths(pyramid, factor, Path(folder) / f"{factor}.swc")
            area = fire(library, scaled, 0).area
            response = fire(library, scaled, PYRAMID_NA * area / whole.area)
            figures |= response.figures(f"{PYRAMID}_length_x{factor}")
            if factor == min(LENGTHS):
                shown.append((f"The pyramid with dendrites of {factor:g} the length", response))
        for axial in COUPLINGS:
            response = fire(library, pyramid, PYRAMID_NA, axial=axial)
            figures |= response.figures(f"{PYRAMID}_axial_x{axial}")
            if axial == 2:
                shown.insert(3, ("The pyramid with twice the axial resistivity of dendrites", response))
    draw(shown, RECORDS.parent / "images" / "mainen_firing.png")
    write_record("mainen_firing", "python benchmarks/mainen_firing.py", figures)


if __name__ == "__main__":
    main()
