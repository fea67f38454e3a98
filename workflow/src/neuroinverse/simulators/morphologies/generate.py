"""Makes the cells beside it: each drawn at random with a fixed seed, with the statistics of a published cell or kind.

The shapes are the script's own and no reconstructions: branching, lengths and directions are drawn, then lengths and
diameters are scaled so that totals and means agree. `python generate.py [shape ...]` writes the files again, all where
none is named.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

BASAL, APICAL = 3, 4
# reconstructions have nothing thinner: that is what is seen under the microscope
THINNEST = 0.3
BASAL_TREES, TRUNK, OBLIQUES, TUFT = range(4)


@dataclass
class Branch:
    """A dendrite's unbranched piece: length and diameters at both ends, relative until they are scaled."""

    length: float
    start_diameter: float
    end_diameter: float
    children: list["Branch"] = field(default_factory=list)
    points: np.ndarray | None = None
    group: int = BASAL_TREES


@dataclass(frozen=True)
class Trees:
    """Dendrites that share their statistics. Paths run from where the trees begin; um."""

    tips: tuple[int, ...]
    total: float
    mean_path: float
    max_path: float
    mean_diameter: float


@dataclass(frozen=True)
class Trunk:
    """An apical dendrite: a stem in pieces, at whose ends trees leave: first the obliques, then those of the tuft.

    Args:
        pieces: Length and diameter at both ends (um).
        obliques: A tree for each of the first pieces.
        tuft: A tree for each of the other pieces, and one more for the last.
    """

    pieces: tuple[tuple[float, float, float], ...]
    obliques: Trees
    tuft: Trees


@dataclass(frozen=True)
class Shape:
    """What is drawn. Lengths in um; the soma lies along y.

    `roughness` is the standard deviation of the logarithm of diameters from point to point, but for the trunk's: about
    0.5 in the published layer 5 pyramid. It makes dendrites resist more than their area says.
    """

    title: str
    follows: str
    seed: int
    soma_diameter: float
    soma_length: float
    basal: Trees
    # where each basal stem goes
    directions: tuple[tuple[float, float, float], ...]
    trunk: Trunk | None = None
    point_distance: float = 8
    roughness: float = 0


def around(count: int, highest: float, lowest: float) -> tuple[tuple[float, float, float], ...]:
    """Directions on a spiral, evenly over the part of the sphere between two heights."""
    heights = [highest + (lowest - highest) * (i + 0.5) / count for i in range(count)]
    return tuple(
        (float(np.sqrt(1 - y * y) * np.cos(2.4 * i)), y, float(np.sqrt(1 - y * y) * np.sin(2.4 * i)))
        for i, y in enumerate(heights)
    )


SHAPES = {
    "spiny_stellate": Shape(
        title="A spiny stellate cell",
        follows="the layer 4 spiny stellate cell of Mainen and Sejnowski (1996) Nature 382:363",
        seed=1996,
        soma_diameter=10.5,
        soma_length=23.6,
        basal=Trees((9, 8, 8, 7, 6, 5), total=5560, mean_path=171, max_path=221, mean_diameter=0.81),
        directions=(
            (0.05, 1, 0.02),
            (1, 0.3, 0.2),
            (-0.3, 0.3, 1),
            (-1, -0.2, -0.3),
            (0.2, -0.3, -1),
            (-0.02, -1, 0.05),
        ),
    ),
    "aspiny_stellate": Shape(
        title="A small aspiny stellate cell",
        follows="small cortical interneurons in their order of size, no cell in particular",
        seed=1996,
        roughness=0.55,
        soma_diameter=10,
        soma_length=14,
        basal=Trees((5, 4, 4, 3), total=2000, mean_path=150, max_path=200, mean_diameter=0.7),
        directions=around(4, 0.9, -0.9),
    ),
    "layer_5_pyramid": Shape(
        title="A layer 5 pyramidal cell",
        follows="the layer 5 pyramidal cell of Mainen and Sejnowski (1996) Nature 382:363",
        seed=1996,
        roughness=0.55,
        soma_diameter=25,
        soma_length=35,
        basal=Trees((7, 7, 6, 6, 5, 4, 3, 3, 3, 1), total=8200, mean_path=200, max_path=270, mean_diameter=0.83),
        directions=around(10, 0.6, -0.95),
        trunk=Trunk(
            pieces=(
                (15, 9, 6.5),
                (12, 6.5, 6.5),
                (10, 6.5, 6),
                (12, 6, 5.5),
                (8, 5.5, 4.8),
                (5, 4.8, 4.5),
                (395, 4.5, 4.2),
                (85, 2.3, 2.3),
                (245, 1.4, 1.4),
            ),
            obliques=Trees((2, 3, 3, 1, 1, 1), total=2100, mean_path=205, max_path=270, mean_diameter=0.83),
            tuft=Trees((12, 7, 6, 6), total=6570, mean_path=330, max_path=450, mean_diameter=0.83),
        ),
        point_distance=10,
    ),
}


def grow(rng: np.random.Generator, tips: int, diameter: float) -> Branch:
    """A tree with `tips` ends, split near the middle, that tapers; diameters go as the square root of the ends."""
    branch = Branch(0.4 + 1.2 * rng.random(), diameter, diameter * (0.7 if tips == 1 else 0.9))
    if tips > 1:
        left = max(1, round(tips * (0.35 + 0.3 * rng.random())))
        for part in (left, tips - left):
            branch.children.append(grow(rng, part, branch.end_diameter * (part / tips) ** 0.5))
    return branch


def walk(branch: Branch, before: float = 0) -> Iterator[tuple[Branch, float]]:
    """(branch, length of the path before it) for a tree, parents first."""
    yield branch, before
    for child in branch.children:
        yield from walk(child, before + branch.length)


def scale(rng: np.random.Generator, stems: list[Branch], trees: Trees) -> None:
    """Sets all lengths.

    Each tip is given its distance along the path, with the wanted mean and maximum; the last piece is what remains of
    it. The total is then linear in the scale of the inner pieces.
    """
    pieces = [piece for stem in stems for piece in walk(stem)]
    tips = [(branch, before) for branch, before in pieces if not branch.children]
    inner = [branch for branch, _ in pieces if branch.children]
    paths = np.array([rng.random() + rng.random() for _ in tips])
    paths = trees.mean_path + (paths - paths.mean()) * (trees.max_path - trees.mean_path) / (paths.max() - paths.mean())
    shared = sum(before for _, before in tips) - sum(branch.length for branch in inner)
    factor = (paths.sum() - trees.total) / shared
    for (branch, before), path in zip(tips, paths, strict=True):
        branch.length = path - factor * before
        if branch.length < 20:
            raise SystemExit(f"a last piece of {branch.length:.1f} um: take another seed")
    for branch in inner:
        branch.length *= factor


def planted(rng: np.random.Generator, trees: Trees, group: int) -> list[Branch]:
    """Trees of one group with their lengths; diameters stay relative."""
    stems = [grow(rng, tips, tips**0.5) for tips in trees.tips]
    scale(rng, stems, trees)
    for stem in stems:
        for branch, _ in walk(stem):
            branch.group = group
    return stems


def unit(vector) -> np.ndarray:
    return np.array(vector, dtype=float) / np.sqrt(np.sum(np.square(vector)))


def draw(
    rng: np.random.Generator, branch: Branch, start: np.ndarray, direction: np.ndarray, point_distance: float
) -> None:
    """Points of a tree: steps of equal length, in a direction that wanders and drifts away from the soma."""
    count = max(2, round(branch.length / point_distance))
    points = [start]
    for _ in range(count):
        direction = unit(direction + 0.5 * (rng.random(3) - 0.5) + 0.05 * unit(points[-1]))
        points.append(points[-1] + direction * branch.length / count)
    branch.points = np.array(points)
    if branch.children:
        sideways = unit(np.cross(direction, rng.random(3) - 0.5))
        for child, sign in zip(branch.children, (1, -1), strict=True):
            draw(rng, child, points[-1], unit(direction + sign * (0.4 + 0.3 * rng.random()) * sideways), point_distance)


def draw_trunk(rng: np.random.Generator, trunk: Trunk, start: np.ndarray, point_distance: float) -> Branch:
    """An apical dendrite upwards, with its obliques and its tuft."""
    sides = [*planted(rng, trunk.obliques, OBLIQUES), *planted(rng, trunk.tuft, TUFT)]
    pieces = [Branch(*piece, group=TRUNK) for piece in trunk.pieces]
    up, turn = np.array([0.0, 1.0, 0.0]), 0.0
    for i, piece in enumerate(pieces):
        count = max(1, round(piece.length / point_distance))
        piece.points = start + np.linspace(0, piece.length, count + 1)[:, None] * up
        start, last = piece.points[-1], i == len(pieces) - 1
        here = sides[i:] if last else [sides[i]]
        for side in here:
            # in the tuft upwards, below it rather sideways
            turn += np.pi if last else 2.4
            sideways = np.array([np.cos(turn), 0.0, np.sin(turn)])
            draw(rng, side, start, unit(sideways + (1.2 if side.group == TUFT else 0.3) * up), point_distance)
        piece.children = here if last else [*here, pieces[i + 1]]
    for child in (child for piece in pieces for child in piece.children):
        # a branch begins with its parent's diameter: for a short way, so that a thin one is no thick cone
        child.points = np.insert(child.points, 1, child.points[0] + 0.1 * (child.points[1] - child.points[0]), axis=0)
    return pieces[0]


def add_rows(rows: list, branch: Branch, parent: int, kind: int, stem: bool = False) -> None:
    """Rows of a tree; a branch begins at its parent's last point, which is not repeated."""
    diameters = np.linspace(branch.start_diameter, branch.end_diameter, len(branch.points))
    for i in range(0 if stem else 1, len(branch.points)):
        rows.append([kind, branch.points[i], diameters[i] / 2, parent, branch.group])
        parent = len(rows)
    for child in branch.children:
        add_rows(rows, child, parent, kind)


def frusta(rows: list) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Length, mean diameter and group of every step of the dendrites; a step between two groups has group -1."""
    pairs = [(row, rows[row[3] - 1]) for row in rows if row[3] > 3]
    lengths = np.array([np.sqrt(np.sum((end[1] - start[1]) ** 2)) for end, start in pairs])
    diameters = np.array([end[2] + start[2] for end, start in pairs])
    return lengths, diameters, np.array([end[4] if end[4] == start[4] else -1 for end, start in pairs])


def generate(shape: Shape) -> str:
    """The text of the file."""
    rng = np.random.default_rng(shape.seed)
    stems = planted(rng, shape.basal, BASAL_TREES)
    radius, half = shape.soma_diameter / 2, shape.soma_length / 2
    rows = [[1, np.array([0, y, 0]), radius, parent, None] for y, parent in ((-half, -1), (0, 1), (half, 2))]
    for stem, direction in zip(stems, map(unit, shape.directions), strict=True):
        # a stem's first point lies on the membrane: the way to it from the soma's middle is none of the dendrite's
        along, across = abs(direction[1]), np.sqrt(direction[0] ** 2 + direction[2] ** 2)
        draw(rng, stem, direction * min(half / max(along, 1e-9), radius / across), direction, shape.point_distance)
        add_rows(rows, stem, 2, BASAL, stem=True)
    if shape.trunk:
        stems.append(draw_trunk(rng, shape.trunk, np.array([0.0, half, 0.0]), shape.point_distance))
        add_rows(rows, stems[-1], 2, APICAL, stem=True)

    if shape.roughness:
        for row in rows[3:]:
            row[2] *= 1 if row[4] == TRUNK else np.exp(shape.roughness * rng.standard_normal())
    lengths, diameters, groups = frusta(rows)
    wanted = {BASAL_TREES: shape.basal}
    if shape.trunk:
        wanted |= {OBLIQUES: shape.trunk.obliques, TUFT: shape.trunk.tuft}
    for group, trees in wanted.items():
        mine = groups == group
        factor = trees.mean_diameter / (np.sum(lengths[mine] * diameters[mine]) / np.sum(lengths[mine]))
        for row in rows[3:]:
            if row[4] == group:
                row[2] = max(row[2] * factor, THINNEST / 2)
    return "\n".join([*header(shape, stems, rows), *map(line, range(1, len(rows) + 1), rows)]) + "\n"


def header(shape: Shape, stems: list[Branch], rows: list) -> Iterator[str]:
    """Comments on what the file holds."""
    pieces = [piece for stem in stems for piece in walk(stem)]
    paths = [before + branch.length for branch, before in pieces if not branch.children]
    lengths, diameters, _ = frusta(rows)
    for text in (
        f"{shape.title} drawn at random; no reconstruction. Lengths in um.",
        f"Made by generate.py (neuroinverse) with seed {shape.seed}.",
        f"Statistics follow {shape.follows}:",
        f"soma: a cylinder of diameter {shape.soma_diameter}, length {shape.soma_length}, "
        f"side {np.pi * shape.soma_diameter * shape.soma_length:.1f} um2",
        f"stems {len(stems)}, bifurcations {sum(bool(b.children) for b, _ in pieces)}, tips {len(paths)}",
        f"dendrites: length {lengths.sum():.0f}, mean unbranched piece {lengths.sum() / len(pieces):.1f}, "
        f"length-weighted diameter {np.sum(lengths * diameters) / lengths.sum():.2f}",
        f"path from the soma's membrane to the tips: mean {np.mean(paths):.0f}, maximum {np.max(paths):.0f}",
        "No axon, no spines.",
        "id type x y z radius parent",
    ):
        yield f"# {text}"


def line(number: int, row: list) -> str:
    """One point of the file."""
    # + 0.0: no negative zeros
    x, y, z = (round(float(value), 3) + 0.0 for value in row[1])
    return f"{number} {row[0]} {x:.3f} {y:.3f} {z:.3f} {row[2]:.4f} {row[3]}"


if __name__ == "__main__":
    for name in sys.argv[1:] or SHAPES:
        Path(__file__).with_name(f"{name}.swc").write_bytes(generate(SHAPES[name]).encode())
