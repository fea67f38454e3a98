"""The cell of an SWC file: rooted at its soma and cut into sections. Needs no NEURON.

The rules are those of NEURON's Import3d where these are sound:

- A point and its parent are a frustum of the point's kind; between the soma and a neurite there is no membrane.
- A soma of one point is a sphere, and so are three points as NeuroMorpho.Org writes them (two on a middle one, a radius
  to either side); NEURON has it as a cylinder of the same area. Other somata are the frusta of their points.
- Kinds are soma (1), axon (2), basal (3) and apical (4). Other types, the marks of forks (5) and ends (6) among them,
  are of the kind of their parent, or, on the soma, of what grows from them.
- A neurite of one single point is a cable from the soma's point.

They are not Import3d's in these places. A tree whose root is not the soma is rooted there. Import3d counts as dendrite
the way from an end of a soma of several points, and to a stem that forks at its first point where that is the file's
second: here it is none. The order of the lines does not cut a branch in two.
"""

import functools
import math
import sys
from pathlib import Path

from neuroinverse.errors import ConfigError
from neuroinverse.simulators.swc_cell import BASAL, KINDS, SOMA, Section, SwcCell
from neuroinverse.simulators.swc_checks import check_cell
from neuroinverse.simulators.swc_points import Point, Points, read_points

# raised when another cell comes of a file
READING = 2


def read_swc(path: Path | str) -> SwcCell:
    """The cell of a file.

    Raises:
        ConfigError: If the file cannot be read as one cell with a soma; it names file, line, and cure.
    """
    path = Path(path)
    try:
        about = path.stat()
    except (OSError, ValueError):
        return make_cell(read_points(path))
    return _read(path, about.st_mtime_ns, about.st_size, about.st_ino)


@functools.lru_cache(maxsize=16)
def _read(path: Path, *about: int) -> SwcCell:
    cell = make_cell(read_points(path))
    for warning in cell.warnings:
        print(f"{path}: warning: {warning}", file=sys.stderr)
    return cell


def read_setting(where: str, path) -> SwcCell:
    """`read_swc` for a setting: the error names its key.

    Raises:
        ConfigError: As `read_swc`.
    """
    try:
        return read_swc(Path(str(path)))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def make_cell(file: Points) -> SwcCell:
    """The cell of a file's points.

    Raises:
        ConfigError: As `read_swc`.
    """
    warnings = list(file.warnings)
    kinds = _kinds(file, warnings)
    order, parents, edge_kinds = _walk(file, _root(file, kinds, warnings), kinds)
    order, parents = _without_repeats(order, parents, edge_kinds, warnings)
    index = {p.id: i for i, p in enumerate(order)}
    cell = SwcCell(
        path=file.path,
        lines=[p.line for p in order],
        kinds=[edge_kinds[p.id] for p in order],
        at=[p.at for p in order],
        radii=[p.radius for p in order],
        parents=[-1 if parents[p.id] is None else index[parents[p.id].id] for p in order],
        sphere=False,
        sections=[],
        warnings=warnings,
    )
    cell.sphere = _is_sphere(cell)
    cell.sections = _sections(cell)
    check_cell(file, cell, order)
    return cell


# --- the tree --------------------------------------------------------------------------------------------------------


def _kinds(file: Points, warnings: list[str]) -> dict[int, int]:
    """The kind of every point by id; that of others than 1 to 4 follows from their neighbours."""
    kinds, waiting = {}, [p for p in file.points if p.parent == -1]
    taken, lost = [], []
    while waiting:
        p = waiting.pop()
        waiting += reversed(file.children[p.id])
        if p.type in KINDS:
            kinds[p.id] = p.type
            continue
        kind = kinds.get(p.parent, 0)
        if kind > SOMA:
            taken.append(p)
        else:
            below = _below(file, p)
            wanted = [k for k in below if k > SOMA or (k == SOMA and kind == SOMA)]
            (taken if wanted else lost).append(p)
            kind = SOMA if SOMA in wanted else wanted[0] if wanted else BASAL
        kinds[p.id] = kind
    for points, what in ((taken, "have the kind of their neighbours"), (lost, "are read as basal dendrites")):
        if points:
            types = ", ".join(map(str, sorted({p.type for p in points})))
            warnings.append(f"{len(points)} points of type {types} (first in line {points[0].line}) {what}")
    return kinds


def _below(file: Points, p: Point) -> list[int]:
    """Types of the first points below that have one of the known types, in the file's order."""
    found, waiting = [], list(file.children[p.id])
    while waiting:
        q = waiting.pop(0)
        if q.type in KINDS:
            found.append(q.type)
        else:
            waiting += file.children[q.id]
    return found


def _root(file: Points, kinds: dict[int, int], warnings: list[str]) -> Point:
    """The point of the soma that the tree grows from: the file's root where it is one, else the first on the way."""
    tops = [p for p in file.points if kinds[p.id] == SOMA and kinds.get(p.parent) != SOMA]
    if not tops:
        raise file.refuse(
            f"has no soma: no point of type 1 among the types {_types(file)}; give the soma's points the type 1"
        )
    if len(tops) > 1:
        raise file.refuse(
            f"{len(tops)} somata: points of type 1 that do not hang together; give a file one cell, and it one soma",
            *tops,
        )
    if tops[0].parent != -1:
        root = next(p for p in file.points if p.parent == -1)
        warnings.append(
            f"its root (line {root.line}) is not the soma: the tree is read from the soma, line {tops[0].line}"
        )
    return tops[0]


def _types(file: Points) -> str:
    return ", ".join(map(str, sorted({p.type for p in file.points})))


def _walk(file: Points, root: Point, kinds: dict[int, int]):
    """Points from the root outward, branch by branch; their parents; the kind of the frustum to each parent.

    Where the way to the file's own root is turned round, a frustum keeps the kind that the file gives it.
    """
    known = {p.id: p for p in file.points}
    neighbours, parents, edge_kinds = dict(file.children), {root.id: None}, dict(kinds)
    p, before = root, None
    while p is not None:
        above = known.get(p.parent)
        near = [q for q in file.children[p.id] if q is not before]
        # in the file's order
        neighbours[p.id] = sorted([*near, above], key=lambda q: q.line) if above else near
        if before is not None and kinds[before.id] != SOMA:
            edge_kinds[p.id] = kinds[before.id]
        p, before = above, p
    order, waiting = [], [root]
    while waiting:
        p = waiting.pop()
        order.append(p)
        for q in neighbours[p.id]:
            parents[q.id] = p
        waiting += reversed(neighbours[p.id])
    return order, parents, edge_kinds


def _without_repeats(order: list[Point], parents, kinds, warnings: list[str]):
    """The points without those that say the same as their parent: they have no membrane and no length."""
    kept, gone = [], {}
    for p in order:
        q = parents[p.id]
        if q is not None and q.id in gone:
            parents[p.id] = q = gone[q.id]
        same = q is not None and (p.at, p.radius, kinds[p.id]) == (q.at, q.radius, kinds[q.id])
        # a stem's first point is no branch without the second
        if same and kinds[p.id] != SOMA and kinds[parents[q.id].id] != SOMA:
            gone[p.id] = q
        else:
            kept.append(p)
    if gone:
        first = min(p.line for p in order if p.id in gone)
        warnings.append(f"{len(gone)} points repeat their parents (first in line {first})")
    return kept, parents


# --- sections --------------------------------------------------------------------------------------------------------


def _is_sphere(cell: SwcCell) -> bool:
    """One point, or three as NeuroMorpho.Org writes them, within the 1 % of Import3d."""
    somata = [i for i, kind in enumerate(cell.kinds) if kind == SOMA]
    if len(somata) == 1:
        return True
    if len(somata) != 3 or [cell.parents[i] for i in somata] != [-1, 0, 0]:
        return False
    if set(somata[1:]) & set(cell.parents) or len({cell.radii[i] for i in somata}) > 1:
        return False
    length = sum(math.dist(cell.at[i], cell.at[0]) for i in somata[1:])
    return abs(length / (2 * cell.radii[0]) - 1) < 0.01


def _sections(cell: SwcCell) -> list[Section]:
    children: list[list[int]] = [[] for _ in cell.kinds]
    for i, parent in enumerate(cell.parents):
        if parent >= 0:
            children[parent].append(i)
    sections = [Section(SOMA, [0])]
    # index of the section of each point, the one that it does not begin
    home = {0: 0}

    def grow(section: Section) -> None:
        """Goes on to the next fork, end or other kind; at the soma's first point, too, where the soma forks."""
        while True:
            last = section.points[-1]
            following = children[last]
            if section.kind == SOMA:
                following = [] if cell.sphere else [j for j in following if cell.kinds[j] == SOMA]
                if last == 0:
                    following = following[:1]
            if len(following) != 1 or cell.kinds[following[0]] != section.kind:
                return
            section.points += following
            home[following[0]] = len(sections) - 1

    grow(sections[0])
    for i in range(1, len(cell.kinds)):
        parent = cell.parents[i]
        if i in home or (cell.sphere and cell.kinds[i] == SOMA):
            continue
        if cell.kinds[parent] != SOMA or cell.kinds[i] == SOMA:
            on, at, origin = home.get(parent), 0.0 if parent == 0 else 1.0, None
            if on is None:
                # a branch that begins at the first point of a stem
                origin = cell.parents[parent]
                on, at = _on_soma(cell, sections, home, origin)
            sections.append(Section(cell.kinds[i], [parent, i], on, at, origin))
        else:
            only = children[i]
            if only and (len(only) > 1 or cell.kinds[only[0]] != cell.kinds[i]):
                # a stem that forks at its first point: each branch begins there, on a wire of its own
                continue
            points, origin = ([i], parent) if only else ([parent, i], None)
            sections.append(Section(cell.kinds[i], points, *_on_soma(cell, sections, home, parent), origin))
        home[i] = len(sections) - 1
        grow(sections[-1])
    return sections


def _on_soma(cell: SwcCell, sections: list[Section], home: dict[int, int], point: int) -> tuple[int, float]:
    """Section of the soma, and where on it a neurite hangs: its ends, or its middle."""
    if cell.sphere:
        return 0, 0.5
    section = sections[home[point]]
    return home[point], 0.0 if point == section.points[0] else 1.0 if point == section.points[-1] else 0.5
