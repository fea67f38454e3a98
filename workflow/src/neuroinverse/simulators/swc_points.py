"""SWC files, line by line: every line is a point, a comment or blank, and what is none of these is refused.

A point is a line of seven numbers: id, type, x, y, z, radius (um) and the parent's id, -1 for the root (Cannon et al.
1998, J Neurosci Methods 84:49). Imports nothing heavy: studies are checked with it. What the points mean as a cell says
swc.py.
"""

import codecs
import math
import re
from dataclasses import dataclass
from pathlib import Path

from neuroinverse.errors import ConfigError

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_ROW = re.compile(rf"\s*{_NUMBER}(?:\s+{_NUMBER}){{6}}\s*", re.ASCII)
_COLUMNS = ("id", "type", "x", "y", "z", "radius", "parent")
_EXPECTED = f"expected seven numbers, {', '.join(_COLUMNS)}"
# what a file begins with, what it is, and how an SWC file comes of it
_OTHERS = (
    (rb"\x1f\x8b", "is compressed by gzip", "unpack it: gunzip"),
    (rb"PK\x03\x04", "is a zip archive", "unpack it and name the .swc file in it"),
    (rb"\x89HDF", "is an HDF5 file", "convert it to SWC, with morph-tool for one"),
    (rb"%PDF", "is a PDF file", "give the SWC file"),
    (rb"version https://git-lfs", "stands for a file that git-lfs has not fetched", "run git lfs pull"),
    (rb"\s*<(!doctype )?html", "is a web page, not the file it links to", "download the file itself"),
    (rb"\s*<", "is XML (NeuroML, MorphML, Neurolucida)", "export it as SWC from the program that wrote it"),
    (rb"\s*[{\[]", "is JSON", "export it as SWC from the program that wrote it"),
    (
        rb"\s*[(;]",
        "is a Neurolucida file (.asc)",
        "convert it: pip install morph-tool; morph-tool convert file cell.asc cell.swc",
    ),
    (
        rb"(?s).*?^\s*(create|begintemplate|objref|load_file|proc|pt3dadd)\b",
        "is a HOC file",
        "convert it to SWC (pip install hoc2swc), or make the cell a template of a study with simulator cell_template",
    ),
)
_UTF = ((codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"))


@dataclass(frozen=True)
class Point:
    """A line of the file: place and radius in um, `parent` -1 for the root."""

    line: int
    id: int
    type: int
    at: tuple[float, float, float]
    radius: float
    parent: int


@dataclass(frozen=True)
class Points:
    """The points of a file in its order, their children by id, and what is odd about the text."""

    path: Path
    points: tuple[Point, ...]
    children: dict[int, list[Point]]
    warnings: tuple[str, ...]

    def refuse(self, problem: str, *points: Point) -> ConfigError:
        """An error that names the file and the lines of the points."""
        return refusal(self.path, problem, *(p.line for p in points))


def refusal(path: Path, problem: str, *lines: int) -> ConfigError:
    """An error that names file and lines, the first five of them."""
    shown = ", ".join(map(str, lines[:5])) + (f" and {len(lines) - 5} more" if len(lines) > 5 else "")
    where = f", line{'s' * (len(lines) > 1)} {shown}" if lines else ""
    return ConfigError(f"{path}{where}{':' * bool(lines)} {problem}, or give another file")


def read_points(path: Path) -> Points:
    """Reads a file and checks that its points are one tree.

    Raises:
        ConfigError: If the file is no SWC file, a line is none, or the points are no tree.
    """
    points, warnings = [], []
    lines = _text(path, warnings).split("\n")
    for number, line in enumerate(lines, 1):
        row, _, comment = line.partition("#")
        if row.strip():
            points.append(_point(path, number, row))
        elif comment:
            warnings += _header(number, comment)
    if not points:
        raise refusal(path, "holds comments alone and no point; write points" if "".join(lines).strip() else "is empty")
    if lines[-1].partition("#")[0].strip():
        warnings.append(f"its last line, {len(lines)}, does not end: was the file cut off there?")
    return Points(path, tuple(points), _tree(path, points), tuple(warnings))


def _text(path: Path, warnings: list[str]) -> str:
    try:
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except IsADirectoryError as error:
        raise refusal(path, "is a folder; name the .swc file in it") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise refusal(path, "does not exist; expected the path of an SWC file, from the repository's root") from error
    except (OSError, ValueError) as error:
        raise refusal(path, f"cannot be read ({error}); make it readable") from error
    for mark, name in _UTF:
        if data.startswith(mark):
            raise refusal(path, f"is written in {name}; save it as plain text (UTF-8)")
    for pattern, what, cure in _OTHERS:
        # a HOC file may say so late; points before it make it none
        if re.match(pattern, data[:4096], re.IGNORECASE | re.MULTILINE) and not _ROW.match(_first(data)):
            raise refusal(path, f"{what}, no SWC file; {cure}")
    if b"\0" in data:
        number = data[: data.index(b"\0")].count(b"\n") + 1
        raise refusal(path, "holds zero bytes: it is binary, UTF-16 or damaged; save it as plain text (UTF-8)", number)
    lines = data.rstrip(b"\x1a").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    for number, line in enumerate(lines, 1):
        row = line.partition(b"#")[0]
        if not row.isascii():
            raise refusal(
                path,
                f"{row.decode('utf-8', 'backslashreplace').strip()[:60]!r} has characters that stand in no number "
                "(a typographic minus, a hard blank, another encoding); save it as plain text",
                number,
            )
    return b"\n".join(lines).decode("utf-8", "replace")


def _first(data: bytes) -> str:
    """The first line that is neither blank nor a comment."""
    for line in re.split(rb"[\r\n]+", data):
        row = line.partition(b"#")[0]
        if row.strip():
            return row.decode("ascii", "replace")
    return ""


def _header(number: int, comment: str) -> list[str]:
    """What a comment says of units and scales that are not those of SWC."""
    scale = re.match(rf"\s*scale\W+((?:{_NUMBER}[\s,]*)+)", comment, re.IGNORECASE)
    if scale and any(float(v) != 1 for v in re.findall(_NUMBER, scale[1])):
        return [f"line {number} says '{comment.strip()}': the numbers are taken as they stand, in um"]
    unit = re.search(
        r"\bunits?\b\W*(nm|nano\w+|mm|milli\w+|pixels?|px|voxels?|inch\w*|metres?|meters?)\b", comment, re.I
    )
    return [f"line {number} says that the unit is {unit[1]}: the numbers are taken as um"] if unit else []


def _point(path: Path, number: int, row: str) -> Point:
    if not _ROW.fullmatch(row):
        raise _malformed(path, number, row)
    values = [float(v) for v in row.split()]
    for name, value in zip(_COLUMNS, values, strict=True):
        if not math.isfinite(value):
            raise refusal(path, f"{name} is beyond all numbers: {row.strip()!r}; correct the line", number)
    for column in (0, 1, 6):
        if not values[column].is_integer():
            raise refusal(
                path, f"{_COLUMNS[column]} is {values[column]:g}, expected a whole number; correct the line", number
            )
    i, kind, x, y, z, radius, parent = values
    if not radius > 0:
        raise refusal(path, f"radius is {radius:g}, expected more than 0 um; give the radius", number)
    if kind < 0 or i < 0:
        name, value = ("type", kind) if kind < 0 else ("id", i)
        raise refusal(path, f"{name} is {value:g}, expected 0 or more; correct the line", number)
    if parent < -1:
        raise refusal(path, f"parent is {parent:g}, expected an id, or -1 for the root; correct the line", number)
    return Point(number, int(i), int(kind), (x, y, z), radius, int(parent))


def _malformed(path: Path, number: int, row: str) -> ConfigError:
    fields = row.split()
    shown = f"{row.strip()[:60]!r}"
    wrong = [f for f in fields if not re.fullmatch(_NUMBER, f, re.ASCII)]
    if any("," in f or ";" in f for f in wrong):
        commas = [f for f in wrong if re.fullmatch(r"[-+]?\d*,\d*", f)]
        if commas and len(fields) == 7:
            problem = f"{commas[0]!r} has a decimal or thousands comma; write a point, and thousands without a mark"
        elif any(re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?", f) for f in wrong) and len(fields) == 7:
            problem = f"{wrong[0]!r} has thousands commas; write {wrong[0].replace(',', '')}"
        else:
            problem = f"{shown}: commas or semicolons between numbers; separate them by blanks"
    elif any(re.fullmatch(r"[-+]?(nan|inf|infinity)", f, re.IGNORECASE) for f in wrong):
        problem = f"{shown} has a number that is none; {_EXPECTED}, all of them finite. Correct the line"
    elif wrong:
        heading = "; if it is a heading, put # before it" if all(not f[:1].isdigit() for f in fields) else ""
        problem = f"{wrong[0][:20]!r} is no number; {_EXPECTED}{heading}. Correct the line"
    else:
        cure = "was the file cut off there?" if len(fields) < 7 else "keep the first seven, if these are the columns"
        problem = f"{shown} has {len(fields)} numbers; {_EXPECTED}. Correct the line ({cure})"
    return refusal(path, problem, number)


def _tree(path: Path, points: list[Point]) -> dict[int, list[Point]]:
    """The children of every point, by id, in the order of the file; checks that the points are one tree."""
    known: dict[int, Point] = {}
    for p in points:
        if p.id in known:
            raise refusal(
                path, f"the id {p.id} stands in line {known[p.id].line} already; give every point its own", p.line
            )
        known[p.id] = p
    children: dict[int, list[Point]] = {p.id: [] for p in points}
    roots = []
    for p in points:
        if p.parent == p.id:
            raise refusal(path, f"the point {p.id} is its own parent; give it the point before it", p.line)
        if p.parent == -1:
            roots.append(p)
        elif p.parent not in known:
            hint = " (the root's is -1)" if p.parent == 0 else ""
            raise refusal(
                path,
                f"its parent {p.parent} is no point of the file{hint}; is a line missing? Give it the point before it",
                p.line,
            )
        else:
            children[p.parent].append(p)
    if len(roots) > 1:
        raise refusal(
            path,
            f"{len(roots)} points have the parent -1, and a cell is one tree with one root: a piece that hangs nowhere "
            "is no part of it. Give the first point of each piece its parent, or remove the piece",
            *(p.line for p in roots),
        )
    reached, waiting = set(), list(roots)
    while waiting:
        p = waiting.pop()
        reached.add(p.id)
        waiting += children[p.id]
    if len(reached) < len(points):
        raise refusal(
            path,
            "these points are their own ancestors, in a ring or behind one; correct their parents"
            + ("" if roots else " (no point is the root, which has the parent -1)"),
            *(p.line for p in points if p.id not in reached),
        )
    return children
