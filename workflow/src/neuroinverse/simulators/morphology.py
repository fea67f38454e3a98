"""Reconstructed cells in NEURON."""

from neuroinverse.errors import ConfigError
from neuroinverse.simulators.swc import read_swc
from neuroinverse.simulators.swc_cell import KINDS, SOMA, SwcCell

# Import3d's names of sections by kind
_NAMES = {1: "soma", 2: "axon", 3: "dend", 4: "apic"}
# NEURON keeps places in single precision: far from the origin (um), short pieces lose their lengths
_FAR = 5000.0
# largest relative difference between NEURON's membrane and the file's
_AGREES = 1e-3


class _Cell:
    """What the names of sections begin with."""

    def __str__(self):
        return "cell"


def load_swc(h, path: str) -> list[tuple[str, object]]:
    """Sections of an SWC file in NEURON, soma first, without the axon.

    The axon stays only where a dendrite grows from it. The cell is that of swc.py, made as NEURON's Import3d makes
    it, with its names, places and order.

    Args:
        h: NEURON's interpreter.
        path: The file.

    Returns:
        Kind ("soma", "basal", "apical" or "axon") and section, for every section; by kind, then in the file's order.

    Raises:
        ConfigError: If the file cannot be read as a cell, or NEURON's membrane is not that of the file.
    """
    cell = read_swc(path)
    bare = cell.bare_axons()
    kept = [i for i in range(len(cell.sections)) if i not in bare]
    made, owner = {}, _Cell()
    for kind, name in _NAMES.items():
        own = [i for i in kept if cell.sections[i].kind == kind]
        made |= {i: h.Section(name=f"{name}[{n}]", cell=owner) for n, i in enumerate(own)}
    far = max(map(abs, cell.at[0])) > _FAR
    origin = cell.at[0] if far else (0.0, 0.0, 0.0)
    for i in kept:
        section = cell.sections[i]
        if section.parent >= 0:
            made[i].connect(made[section.parent](section.at), 0)
        if section.origin is not None:
            h.pt3dstyle(1, *_moved(cell.at[section.origin], origin), sec=made[i])
        for at, radius in _points(cell, section):
            h.pt3dadd(*_moved(at, origin), 2 * radius, sec=made[i])
    sections = [(KINDS[kind], made[i]) for kind in (1, 3, 4, 2) for i in kept if cell.sections[i].kind == kind]
    try:
        _check(cell, bare, sections)
    except ConfigError:
        for _, section in reversed(sections):
            h.delete_section(sec=section)
        raise
    return sections


def _moved(at, origin) -> tuple[float, ...]:
    return tuple(a - o for a, o in zip(at, origin, strict=True))


def _points(cell: SwcCell, section) -> list[tuple]:
    """Places and radii (um) of a section; a sphere is a cylinder of the same area along x."""
    if section.kind == SOMA and cell.sphere:
        (x, y, z), radius = cell.at[0], cell.radii[0]
        return [((x + step * radius, y, z), radius) for step in (-1, 0, 1)]
    return list(zip((cell.at[i] for i in section.points), cell.thick(section), strict=True))


def _check(cell: SwcCell, bare: set[int], sections: list) -> None:
    """Whether NEURON's membrane is that of the points."""
    areas = cell.areas()
    for i in bare:
        areas[cell.sections[i].kind] -= cell.area(cell.sections[i])
    for kind, area in areas.items():
        found = sum(s.area() for name, section in sections if name == KINDS[kind] for s in section)
        if abs(found - area) > _AGREES * area + 1e-6:
            raise ConfigError(
                f"{cell.path}: NEURON makes {found:.1f} um2 of {KINDS[kind]} of it, and by its points there are "
                f"{area:.1f}: it cannot be simulated as it is. Correct the points, or give another file"
            )
