"""SWC files drawn at random, sound and damaged, and an independent reader of them.

The reader adds up the frusta of the lines, without sections. `outcome` compares with it what the product makes of one.
"""

import io
import math
import random
import re
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from neuroinverse.errors import ConfigError

SOMATA = ("point", "three", "three_apart", "two", "chain", "forked")
DAMAGES = (
    "drop_line", "repeat_line", "cut", "byte", "comma", "thousands", "nan", "column_more", "column_less", "utf16",
    "radius", "self_parent", "cycle", "second_root", "no_soma", "two_somata", "millimetres", "nanometres", "fraction",
    "nul", "separator", "heading", "parent_zero", "word",
)  # fmt: skip
# relative difference of areas that counts as wrong
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Example:
    """A file. `sound`: it was drawn as a cell and not damaged. `neuron`: it is loaded into NEURON too."""

    data: bytes
    sound: bool
    neuron: bool
    seed: int


def inputs() -> st.SearchStrategy[Example]:
    """Sound files and damaged ones, one to one."""
    return st.builds(example, st.integers(0, 2**32), st.sampled_from([None, *DAMAGES]) | st.none())


def sound() -> st.SearchStrategy[Example]:
    """Files that are cells."""
    return st.builds(example, st.integers(0, 2**32))


def example(seed: int, damage: str | None = None, plain: bool = False) -> Example:
    """The file of a seed.

    Args:
        seed: Of everything in it.
        damage: One of DAMAGES.
        plain: In the order and with the types that NEURON's Import3d reads well.
    """
    draw = random.Random(seed)
    rows = _cell(draw, plain)
    if not plain:
        if draw.random() < 0.3:
            rows = _rerooted(rows, draw.randrange(len(rows)))
        rows = _marked(draw, _repeated(draw, rows))
    data = _damaged(draw, _written(draw, rows, plain), damage)
    return Example(data, damage is None, plain or draw.random() < 0.25, seed)


# --- cells: rows of [type, x, y, z, radius, parent], the parent as an index ------------------------------------------


def _cell(draw: random.Random, plain: bool) -> list[list]:
    kind = draw.choice(SOMATA[:2] if plain else SOMATA)
    r = round(draw.uniform(3, 15), 2)
    rows = [[1, 0.0, 0.0, 0.0, r, -1]]
    if kind in ("three", "three_apart"):
        step = r if kind == "three" else round(0.9 * r, 2)
        if kind == "three" and not plain:
            # rounded, as in files that have gone through several hands
            step = round(r * draw.uniform(0.992, 1.008), 3)
        rows += [[1, 0.0, -step, 0.0, r, 0], [1, 0.0, step, 0.0, r, 0]]
    elif kind != "point":
        for i in range(1 if kind == "two" else draw.randint(2, 5)):
            rows.append([1, 0.0, round(0.6 * r * (i + 1), 3), 0.0, round(r * draw.uniform(0.7, 1.2), 3), i])
        if kind == "forked":
            rows.append([1, round(1.5 * r, 3), round(0.6 * r, 3), 0.0, r, 1])
    bases = [0] if kind in ("point", "three") else list(range(len(rows)))
    for _ in range(draw.randint(1, 5)):
        _neurite(draw, rows, draw.choice(bases), draw.choice((2, 3, 3, 4)), plain)
    if not plain and draw.random() < 0.2:
        far = [round(draw.uniform(-9000, 9000), 1) for _ in range(3)]
        rows = [[row[0], *(round(c + f, 4) for c, f in zip(row[1:4], far, strict=True)), *row[4:]] for row in rows]
    return rows


def _neurite(draw, rows, base: int, kind: int, plain: bool) -> None:
    radius = round(draw.uniform(0.3, 3), 3)
    away = _direction(draw)
    start = [round(c + rows[base][4] * a, 4) for c, a in zip(rows[base][1:4], away, strict=True)]
    rows.append([kind, *start, radius, base])
    if not plain and draw.random() < 0.1:
        return
    tips = [len(rows) - 1]
    # Import3d adds membrane where a stem forks at its first point and that is the second of the file
    straight = plain
    for _ in range(draw.randint(1, 14)):
        at = tips.pop()
        branches = 1 if straight else draw.choice((1, 1, 1, 2, 3))
        straight = False
        for _ in range(branches):
            step, way = draw.uniform(1, 40), _direction(draw)
            place = [round(c + step * w, 4) for c, w in zip(rows[at][1:4], way, strict=True)]
            other = not plain and draw.random() < 0.05
            kind = draw.choice((2, 3, 4)) if other else rows[at][0]
            rows.append([kind, *place, round(max(0.1, rows[at][4] * draw.uniform(0.6, 1.1)), 4), at])
            tips.append(len(rows) - 1)


def _direction(draw) -> tuple[float, ...]:
    v = [draw.gauss(0, 1) for _ in range(3)]
    return tuple(c / (math.hypot(*v) or 1) for c in v)


def _rerooted(rows, root: int) -> list[list]:
    rows, before, i = [list(row) for row in rows], -1, root
    while i >= 0:
        above = rows[i][5]
        rows[i][5], before, i = before, i, above
    return rows


def _repeated(draw, rows) -> list[list]:
    """Some points once more in the same place, with the same radius or another."""
    rows = [list(row) for row in rows]
    for i in range(len(rows)):
        children = [j for j, row in enumerate(rows) if row[5] == i]
        neurite = rows[i][0] > 1 and rows[i][5] >= 0 and rows[rows[i][5]][0] > 1
        if neurite and len(children) == 1 and rows[children[0]][0] == rows[i][0] and draw.random() < 0.05:
            radius = rows[i][4] if draw.random() < 0.5 else round(1.3 * rows[i][4], 4)
            rows.append([*rows[i][:4], radius, i])
            rows[children[0]][5] = len(rows) - 1
    return rows


def _marked(draw, rows) -> list[list]:
    """Forks and ends marked by types 5 and 6, other points by 0 and 7, wherever that leaves the kinds as they are."""
    if draw.random() < 0.6:
        return rows
    given = [row[0] for row in rows]
    rows = [list(row) for row in rows]
    for i, row in enumerate(rows):
        children = sum(other[5] == i for other in rows)
        if row[5] >= 0 and given[row[5]] == given[i] > 1 and draw.random() < 0.5:
            row[0] = 6 if children == 0 else 5 if children > 1 else draw.choice((given[i], given[i], 0, 7))
    return rows


# --- files -----------------------------------------------------------------------------------------------------------


def _written(draw: random.Random, rows, plain: bool) -> bytes:
    order, ids = list(range(len(rows))), list(range(1, len(rows) + 1))
    if plain:
        order = _depth_first(rows)
        for n, i in enumerate(order, 1):
            ids[i] = n
    elif draw.random() < 0.6:
        ids = draw.sample(range(draw.choice((0, 1)), 4 * len(rows) + 2), len(rows))
        draw.shuffle(order)
    odd = not plain and draw.random() < 0.5
    blank = (lambda: draw.choice((" ", "  ", "\t", " \t "))) if odd else lambda: " "
    lines = ["# drawn at random", "# SCALE 1.0 1.0 1.0"] if draw.random() < 0.5 else []
    for i in order:
        kind, x, y, z, r, parent = rows[i]
        fields = [ids[i], kind, x, y, z, r, -1 if parent < 0 else ids[parent]]
        style = draw.choice(("{}", "{:.6e}", "{:+.4f}")) if odd else "{}"
        texts = [style.format(f) if 1 < n < 6 else f"{f}.0" if odd and draw.random() < 0.05 else str(f)
                 for n, f in enumerate(fields)]  # fmt: skip
        lines.append(
            blank() * odd + blank().join(texts) + blank() * odd + ("# note" if odd and draw.random() < 0.1 else "")
        )
        if odd and draw.random() < 0.05:
            lines.append(draw.choice(("", "   ", "# µm", "#")))
    end = draw.choice(("\n", "\r\n", "\r")) if odd else "\n"
    return (b"\xef\xbb\xbf" if odd and draw.random() < 0.3 else b"") + (end.join(lines) + end).encode()


def _depth_first(rows) -> list[int]:
    order, waiting = [], [0]
    while waiting:
        i = waiting.pop()
        order.append(i)
        waiting += [j for j in reversed(range(len(rows))) if rows[j][5] == i]
    return order


def _damaged(draw: random.Random, data: bytes, damage: str | None) -> bytes:
    if damage is None:
        return data
    if damage == "utf16":
        return data.decode("utf-8-sig").encode(draw.choice(("utf-16", "utf-16-le", "utf-16-be")))
    if damage == "cut":
        return data[: draw.randrange(len(data))]
    if damage in ("byte", "nul"):
        at = draw.randrange(len(data))
        return data[:at] + (b"\0" if damage == "nul" else bytes([draw.randrange(256)])) + data[at + 1 :]
    lines = re.split("\r\n|\r|\n", data.decode("utf-8-sig"))
    points = [n for n, line in enumerate(lines) if line.partition("#")[0].strip()]
    n = draw.choice(points)
    fields = lines[n].partition("#")[0].split()
    column = draw.randrange(2, 6)
    if damage == "drop_line":
        fields = []
    elif damage == "repeat_line":
        fields += ["\n", *fields]
    elif damage == "comma":
        fields[column] = f"{float(fields[column]):.3f}".replace(".", ",")
    elif damage == "thousands":
        fields[column] = f"{1000 + float(fields[column]):,.1f}"
    elif damage == "nan":
        fields[column] = draw.choice(("nan", "NaN", "inf", "-Infinity", "1e999"))
    elif damage == "column_more":
        fields.insert(draw.randrange(8), draw.choice(("0", "1", "0.5")))
    elif damage == "column_less":
        del fields[draw.randrange(7)]
    elif damage == "radius":
        fields[5] = draw.choice(("0", "-1", "0.0", "-0"))
    elif damage == "self_parent":
        fields[6] = fields[0]
    elif damage == "cycle":
        fields[6] = lines[draw.choice(points)].split()[0]
    elif damage == "second_root":
        fields[6] = draw.choice(("-1", "-2"))
    elif damage == "parent_zero":
        fields[6] = draw.choice(("0", "99999"))
    elif damage == "fraction":
        fields[draw.choice((0, 1, 6))] += draw.choice((".5", "e-1"))
    elif damage == "word":
        fields[draw.randrange(7)] = draw.choice(("x", "1_0", "0x1", "1.2.3", "--1", "1d3", "²", "−1", "1;"))
    elif damage == "separator":
        fields = [draw.choice((",", ";", ", ")).join(fields)]
    elif damage == "heading":
        fields = ["id", "type", "x", "y", "z", "r", "parent", "\n", *fields]
    elif damage == "no_soma":
        return "\n".join(_type(line, "1", "3") for line in lines).encode()
    elif damage == "two_somata":
        fields[1] = "1"
    elif damage in ("millimetres", "nanometres"):
        factor = 1e-3 if damage == "millimetres" else 1e3
        return "\n".join(_scaled(line, factor) for line in lines).encode()
    lines[n] = " ".join(fields)
    return "\n".join(lines).encode()


def _type(line: str, old: str, new: str) -> str:
    fields = line.partition("#")[0].split()
    return " ".join([fields[0], new if fields[1] == old else fields[1], *fields[2:]]) if fields else line


def _scaled(line: str, factor: float) -> str:
    fields = line.partition("#")[0].split()
    return " ".join([*fields[:2], *(str(float(f) * factor) for f in fields[2:6]), fields[6]]) if fields else line


# --- the independent reader ------------------------------------------------------------------------------------------


def independent(data: bytes) -> dict[str, float] | None:
    """Membrane areas (um2) by kind, line by line; None where the file is no cell."""
    points = {}
    for line in re.split(rb"\r\n|\r|\n", data.removeprefix(b"\xef\xbb\xbf")):
        row = line.split(b"#")[0]
        if not row.strip():
            continue
        try:
            values = [float(f) for f in row.decode("ascii").split()]
        except ValueError:
            return None
        if len(values) != 7 or b"_" in row or not all(math.isfinite(v) for v in values):
            return None
        i, kind, x, y, z, r, parent = values
        if any(v != round(v) for v in (i, kind, parent)) or i in points or r <= 0 or min(i, kind) < 0:
            return None
        points[i] = [kind, (x, y, z), r, parent]
    if sum(p[3] == -1 for p in points.values()) != 1:
        return None
    for i in points:
        seen = set()
        while i != -1:
            if i in seen or i not in points:
                return None
            seen.add(i)
            i = points[i][3]
    _settle_types(points)
    return _areas(points)


def _settle_types(points) -> None:
    """Gives types that are no kinds that of the nearest point that has one: above first, then below."""

    def kind_of(i):
        kind, _, _, parent = points[i]
        if 1 <= kind <= 4:
            return kind
        above = kind_of(parent) if parent != -1 else None
        if above is not None and above > 1:
            return above
        level = [i]
        below = []
        while level:
            level = [j for j, p in points.items() if p[3] in level]
            below += [points[j][0] for j in level if 1 <= points[j][0] <= 4]
            level = [j for j in level if not 1 <= points[j][0] <= 4]
        if above == 1 and 1 in below:
            return 1
        return next((k for k in below if k > 1), 3)

    settled = {i: kind_of(i) for i in points}
    for i, kind in settled.items():
        points[i][0] = kind


def _areas(points) -> dict[str, float] | None:
    names = {1: "soma", 2: "axon", 3: "basal", 4: "apical"}
    somata = [i for i, p in points.items() if p[0] == 1]
    pairs = [(i, p[3]) for i, p in points.items() if p[3] != -1]
    degree = {i: sum(i in pair for pair in pairs) for i in points}
    # one soma: its points hang together
    if len(somata) - sum(points[i][0] == points[j][0] == 1 for i, j in pairs) != 1:
        return None
    area = dict.fromkeys(names.values(), 0.0)
    for i, j in pairs:
        (kind, a, r, _), (other, b, s, _) = points[i], points[j]
        if (kind == 1) != (other == 1):
            end = j if kind == 1 else i
            # a neurite of one point
            if degree[end] == 1:
                area[names[points[end][0]]] += 2 * math.pi * points[end][2] * math.dist(a, b)
            continue
        area[names[kind]] += math.pi * (r + s) * math.sqrt(math.dist(a, b) ** 2 + (r - s) ** 2)
    if len(somata) == 1 or _three_points(points, somata, degree):
        area["soma"] = 4 * math.pi * points[somata[0]][2] ** 2
    radius = math.sqrt(area["soma"] / 4 / math.pi)
    places = list(zip(*(p[1] for p in points.values()), strict=True))
    extent = max(max(axis) - min(axis) for axis in places)
    if radius > 250 or extent > 1e5 or radius < 0.05 or (radius < 0.25 and extent < 10):
        return None
    return {name: value for name, value in area.items() if value}


def _three_points(points, somata, degree) -> bool:
    """NeuroMorpho.Org's soma: two points on a middle one, a radius to either side within 1 %."""
    middle = [i for i in somata if sum(points[j][3] == i for j in somata) == 2]
    if len(somata) != 3 or not middle or len({points[i][2] for i in somata}) > 1:
        return False
    sides = [i for i in somata if i not in middle]
    if any(degree[i] > 1 for i in sides):
        return False
    length = sum(math.dist(points[i][1], points[middle[0]][1]) for i in sides)
    return abs(length / 2 / points[middle[0]][2] - 1) < 0.01


# --- the comparison --------------------------------------------------------------------------------------------------


def outcome(example: Example, folder: Path) -> str:
    """What the product makes of a file: "accepted", "refused", "traceback" or "wrong_acceptance"."""
    from neuroinverse.simulators.swc import read_swc
    from neuroinverse.simulators.swc_cell import KINDS

    path = Path(folder) / "cell.swc"
    path.write_bytes(example.data)
    try:
        with redirect_stderr(io.StringIO()):
            cell = read_swc(path)
            cell.describe()
            found = {KINDS[kind]: area for kind, area in cell.areas().items()}
            loaded = _in_neuron(path) if example.neuron else {}
    except ConfigError as error:
        return "refused" if str(path) in str(error) and "\n" not in str(error) else "traceback"
    except Exception:
        return "traceback"
    expected = independent(example.data)
    if expected is None or not _same(found, expected):
        return "wrong_acceptance"
    # a bare axon is left out
    wanted = {name: area for name, area in expected.items() if name != "axon"}
    return "accepted" if not loaded or _same(loaded, wanted) else "wrong_acceptance"


def _same(found: dict, expected: dict) -> bool:
    return found.keys() == expected.keys() and all(abs(found[k] - v) <= TOLERANCE * v for k, v in expected.items())


def _in_neuron(path: Path) -> dict[str, float]:
    from neuroinverse.simulators.morphology import load_swc
    from neuroinverse.simulators.neuron_batch import interpreter

    h = interpreter()
    sections, areas = load_swc(h, str(path)), {}
    for kind, section in sections:
        if kind != "axon":
            areas[kind] = areas.get(kind, 0) + sum(segment.area() for segment in section)
    for _, section in reversed(sections):
        h.delete_section(sec=section)
    return areas
