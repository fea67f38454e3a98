"""A cell as an SWC file means it: points, sections, membrane areas, and what it has in words."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

KINDS = {1: "soma", 2: "axon", 3: "basal", 4: "apical"}
SOMA, AXON, BASAL = 1, 2, 3


@dataclass
class Section:
    """Points in a row without a fork, of one kind.

    Args:
        kind: Key of `KINDS`.
        points: Indices of the points, from its beginning: the point that it leaves, or a stem's own first.
        parent: Index of the section that it hangs on; -1 for the root's.
        at: Where on that, 0 to 1.
        origin: Point of the soma that a stem hangs on by a wire without membrane; None where there is no wire.
    """

    kind: int
    points: list[int]
    parent: int = -1
    at: float = 1.0
    origin: int | None = None


@dataclass
class SwcCell:
    """A cell.

    Args:
        path: Its file.
        lines: Line of each point in the file; the points are in the order of a walk from the soma, branch by branch.
        kinds: Key of `KINDS` for each.
        at: Places (um).
        radii: Radii (um).
        parents: Index of each point's parent; -1 for the first.
        sphere: Whether the soma is a sphere.
        sections: From the soma outward, branch by branch.
        warnings: What is odd about the file.
    """

    path: Path
    lines: list[int]
    kinds: list[int]
    at: list[tuple[float, float, float]]
    radii: list[float]
    parents: list[int]
    sphere: bool
    sections: list[Section]
    warnings: list[str]

    def thick(self, section: Section) -> list[float]:
        """Radii along a section (um): where it hangs on the soma's own point it is as thick as its next one."""
        radii = [self.radii[i] for i in section.points]
        if section.kind != SOMA and self.kinds[section.points[0]] == SOMA:
            radii[0] = radii[1]
        return radii

    def length(self, section: Section) -> float:
        """Length of a section (um)."""
        if section.kind == SOMA and self.sphere:
            return 2 * self.radii[section.points[0]]
        return sum(math.dist(self.at[i], self.at[j]) for i, j in zip(section.points, section.points[1:], strict=False))

    def area(self, section: Section) -> float:
        """Membrane of a section (um2)."""
        if section.kind == SOMA and self.sphere:
            return 4 * math.pi * self.radii[0] ** 2
        points, radii = [self.at[i] for i in section.points], self.thick(section)
        pieces = zip(points, points[1:], radii, radii[1:], strict=False)
        return sum(frustum(math.dist(p, q), start, end) for p, q, start, end in pieces)

    def areas(self) -> dict[int, float]:
        """Membrane area by kind (um2), from the points and not from the sections."""
        areas: Counter = Counter()
        leaves = set(range(len(self.parents))) - set(self.parents)
        for i, parent in enumerate(self.parents):
            if self.sphere and self.kinds[i] == SOMA:
                areas[SOMA] += 4 * math.pi * self.radii[0] ** 2 if i == 0 else 0
            elif parent >= 0:
                stem = self.kinds[i] != SOMA and self.kinds[parent] == SOMA
                if stem and i not in leaves:
                    continue
                start = self.radii[i] if stem else self.radii[parent]
                areas[self.kinds[i]] += frustum(math.dist(self.at[i], self.at[parent]), start, self.radii[i])
        return {kind: areas[kind] for kind in KINDS if areas[kind]}

    def bare_axons(self) -> set[int]:
        """Indices of the axon's sections from which no dendrite grows."""
        bare = {i for i, s in enumerate(self.sections) if s.kind == AXON}
        for i in reversed(range(len(self.sections))):
            if i not in bare:
                bare.discard(self.sections[i].parent)
        return bare

    def describe(self) -> list[str]:
        """What the cell has, kind by kind, and what is odd about its file."""
        bare, areas, lines = self.bare_axons(), self.areas(), []
        for kind, name in KINDS.items():
            own = [i for i, s in enumerate(self.sections) if s.kind == kind]
            if not own:
                continue
            text = f"{name} {len(own)} section{'s' * (len(own) > 1)}, {areas.get(kind, 0):.1f} um2"
            if kind != SOMA:
                tips = len(set(own) - {s.parent for s in self.sections})
                length = sum(self.length(self.sections[i]) for i in own)
                text += f", {length:.1f} um, {tips} tip{'s' * (tips != 1)}"
            left_out = len(bare.intersection(own))
            lines.append(
                text + (", left out" if left_out == len(own) else f", {left_out} left out" if left_out else "")
            )
        # where the package is installed says nothing
        name = self.path.name if self.path.is_absolute() else self.path
        return [f"{name}: {'; '.join(lines)}", *(f"{name}: warning: {w}" for w in self.warnings)]


def frustum(length: float, start: float, end: float) -> float:
    """Side of a frustum (um2) between two radii."""
    return math.pi * (start + end) * math.hypot(length, start - end)
