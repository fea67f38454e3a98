"""Whether what an SWC file means can be a cell: what cannot is refused, what is odd is warned of."""

import math

from neuroinverse.simulators.swc_cell import AXON, SOMA, SwcCell
from neuroinverse.simulators.swc_points import Point, Points

# um: radius of the sphere of the area of the soma, extent of all points; a small soma in a small cell is one in mm
SOMA_RADIUS, SMALL_SOMA_RADIUS, ODD_SOMA_RADIUS = (0.05, 250.0), 0.25, (1.0, 50.0)
EXTENT, SMALL_EXTENT, ODD_EXTENT = 100_000.0, 10.0, 10_000.0
# um: radius of neurites, where some tools write a tiny one for none
THIN = 0.01


def check_cell(file: Points, cell: SwcCell, order: list[Point]) -> None:
    """Checks a cell and adds what is odd to its warnings.

    Args:
        file: Its points as they stand in the file.
        cell: The cell.
        order: The points in the order of the cell's.

    Raises:
        ConfigError: If its soma is an outline or without area, a branch has no length, or the unit cannot be um.
    """
    areas = cell.areas()
    somata = [i for i, kind in enumerate(cell.kinds) if kind == SOMA]
    if not areas.get(SOMA):
        raise file.refuse(
            "the soma has no area: its points lie in one place; make it one point with the soma's radius",
            *(order[i] for i in somata),
        )
    _check_outline(file, cell, [order[i] for i in somata])
    _check_size(file, cell, math.sqrt(areas[SOMA] / (4 * math.pi)))
    for section in cell.sections:
        if not cell.length(section) > 0:
            raise file.refuse(
                "a branch without length: its points lie in one place; remove them, or correct their places",
                *(order[i] for i in section.points),
            )
    stems = [s for s in cell.sections if s.kind != SOMA and cell.kinds[s.points[0]] == SOMA]
    cell.warnings.extend(
        f"line {cell.lines[s.points[1]]}: a neurite of one point is read as a cable of {cell.length(s):g} um from the "
        "soma's point"
        for s in stems
    )
    if not set(areas) - {SOMA, AXON}:
        cell.warnings.append("it has no dendrite")
    axon = [i for i, p in enumerate(cell.parents) if cell.kinds[i] > AXON and p >= 0 and cell.kinds[p] == AXON]
    if axon:
        cell.warnings.append(f"a dendrite grows from the axon in line {cell.lines[axon[0]]}")


def _check_outline(file: Points, cell: SwcCell, somata: list[Point]) -> None:
    """A soma drawn as its outline is a thin cable to NEURON: its area would be that of a hair."""
    if cell.sphere:
        return
    own = [s for s in cell.sections if s.kind == SOMA]
    path = sum(cell.length(s) for s in own)
    extent = max(math.dist(p.at, q.at) for p in somata for q in somata)
    thickness = 2 * sum(p.radius for p in somata) / len(somata)
    if path > 1.5 * extent and extent > 2 * thickness:
        n = len(somata)
        centre = tuple(sum(p.at[axis] for p in somata) / n for axis in range(3))
        radius = sum(math.dist(p.at, centre) for p in somata) / n
        x, y, z = (f"{c:.2f}".replace("-0.00", "0.00") for c in centre)
        raise file.refuse(
            f"the soma's {n} points, {extent:g} um apart and {thickness:g} um thick, are an outline: as SWC they are "
            f"a thin cable of {cell.areas()[SOMA]:.0f} um2. Give the soma as one point instead (as a sphere: "
            f"1 1 {x} {y} {z} {radius:.2f} -1), with what grew from the outline as its children",
            *somata,
        )
    if path > 1.3 * extent:
        cell.warnings.append(f"the soma's points are {extent:g} um apart on a way of {path:g} um: does it turn back?")
    if extent > 5 * thickness:
        cell.warnings.append(f"the soma is {extent:g} um long and {thickness:g} um thick on average")


def _check_size(file: Points, cell: SwcCell, radius: float) -> None:
    extent = max(max(axis) - min(axis) for axis in zip(*cell.at, strict=True))
    small = radius < SOMA_RADIUS[0] or (radius < SMALL_SOMA_RADIUS and extent < SMALL_EXTENT)
    large = radius > SOMA_RADIUS[1] or extent > EXTENT
    if small or large:
        unit = "millimetres or metres" if small else "nanometres or voxels"
        raise file.refuse(
            f"has a soma of radius {radius:g} and spans {extent:g}, which cannot be um: {unit}? Convert x, y, z and "
            "radius to um"
        )
    low, high = ODD_SOMA_RADIUS
    if not low <= radius <= high:
        cell.warnings.append(f"the soma's radius is {radius:g} um: are the numbers um?")
    if extent > ODD_EXTENT:
        cell.warnings.append(f"the points span {extent:g} um: are the numbers um?")
    thickest = max((i for i, kind in enumerate(cell.kinds) if kind != SOMA), key=lambda i: cell.radii[i], default=None)
    if thickest is not None and cell.radii[thickest] > max(radius, 5):
        cell.warnings.append(
            f"line {cell.lines[thickest]}: a neurite of radius {cell.radii[thickest]:g} um is thicker than the soma"
        )
    thinnest = min((i for i, kind in enumerate(cell.kinds) if kind != SOMA), key=lambda i: cell.radii[i], default=None)
    if thinnest is not None and cell.radii[thinnest] < THIN:
        cell.warnings.append(
            f"line {cell.lines[thinnest]}: a neurite of radius {cell.radii[thinnest]:g} um is thinner than any "
            "membrane tube: has it been measured?"
        )
    somata = [i for i, kind in enumerate(cell.kinds) if kind == SOMA]
    inner = set(cell.parents)
    for i, parent in enumerate(cell.parents):
        if parent >= 0 and cell.kinds[parent] == SOMA != cell.kinds[i] and i in inner:
            gap = min(math.dist(cell.at[i], cell.at[j]) - cell.radii[j] for j in somata)
            if gap > 10 + radius:
                cell.warnings.append(
                    f"line {cell.lines[i]}: a neurite begins {gap:.1f} um from the soma's membrane, and none is between"
                )
