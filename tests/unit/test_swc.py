"""SWC files: every line a point or refused by its number; the cell that the points mean; areas by hand."""

import gzip
import math

import pytest

from neuroinverse.errors import ConfigError
from neuroinverse.simulators.swc import read_setting, read_swc
from neuroinverse.simulators.swc_cell import KINDS

SOUND = """1 1 0 0 0 10 -1
2 3 0 10 0 1.5 1
3 3 0 60 0 1.2 2
4 3 20 110 0 0.8 3
5 3 -20 110 0 0.8 3
6 3 -30 150 0 0.5 5
7 3 10 -8 0 1 1
8 3 60 -60 0 0.6 7
9 2 0 -10 0 0.5 1
10 2 0 -100 0 0.4 9
"""
SPHERE = 4 * math.pi * 10**2
AREAS = {"soma": SPHERE, "basal": 1631.8706, "axon": math.pi * 0.9 * math.hypot(90, 0.1)}


def side(length, a, b=None):
    """Frustum between two radii."""
    b = a if b is None else b
    return math.pi * (a + b) * math.hypot(length, a - b)


@pytest.fixture
def cell(tmp_path):
    """Reads a file's text or bytes as a cell."""

    def read(content, name="cell.swc"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_swc(path)

    return read


def areas(made) -> dict:
    return {KINDS[kind]: area for kind, area in made.areas().items()}


def of_sections(made) -> dict:
    found = {}
    for section in made.sections:
        name = KINDS[section.kind]
        found[name] = found.get(name, 0) + made.area(section)
    return found


def kinds(made) -> dict:
    """Lengths of the sections by kind."""
    found = {}
    for section in made.sections:
        found.setdefault(KINDS[section.kind], []).append(round(made.length(section), 3))
    return found


# --- lines -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        SOUND,
        SOUND.rstrip("\n"),
        SOUND.replace("\n", "\r\n"),
        SOUND.replace("\n", "\r"),
        SOUND.replace(" ", "\t"),
        "\ufeff" + SOUND,
        "# µm\n\n   \n" + SOUND.replace("0.8 3", "0.8 3 # a note"),
        SOUND.encode() + b"# \xb5m in latin-1\n",
        SOUND.encode() + b"\x1a",
        "\n".join(" " + line.replace("1.5", "1.5e0").replace("10 ", "10.0 ") + " " for line in SOUND.splitlines()),
        "\n".join(reversed(SOUND.splitlines())) + "\n",
    ],
    ids=["plain", "no_end", "crlf", "cr", "tabs", "bom", "comments", "latin1", "dos_end", "floats", "children_first"],
)
def test_the_same_cell_however_it_is_written(cell, text):
    made = cell(text)
    assert areas(made) == pytest.approx(AREAS, rel=1e-6)
    assert {kind: len(lengths) for kind, lengths in kinds(made).items()} == {"soma": 1, "basal": 4, "axon": 1}


def with_line(number, line):
    lines = SOUND.splitlines()
    lines[number - 1] = line
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (with_line(3, "3 3 0 60 0 1,2 2"), ["line 3:", "'1,2'", "comma"]),
        (with_line(4, "4 3 1,060.5 60 0 1 3"), ["line 4:", "thousands", "write 1060.5"]),
        (with_line(4, "4 3 1,060 60 0 1 3"), ["line 4:", "'1,060'", "comma"]),
        (with_line(2, "2,3,0,10,0,1.5,1"), ["line 2:", "separate them by blanks"]),
        (with_line(2, "2;3;0;10;0;1.5;1"), ["line 2:", "separate them by blanks"]),
        (with_line(3, "3 3 0 60 0 2"), ["line 3:", "6 numbers", "seven"]),
        (with_line(3, "3 3 0 60 0 1.2 2 1"), ["line 3:", "8 numbers", "first seven"]),
        (SOUND[: SOUND.index("0 0.8 3\n6")], ["line 5:", "4 numbers", "cut off"]),
        (with_line(6, "6 3 nan 150 0 0.5 5"), ["line 6:", "finite"]),
        (with_line(6, "6 3 -inf 150 0 0.5 5"), ["line 6:", "finite"]),
        (with_line(6, "6 3 1e999 150 0 0.5 5"), ["line 6:", "x is beyond"]),
        (with_line(6, "6.5 3 -30 150 0 0.5 5"), ["line 6:", "id is 6.5", "whole"]),
        (with_line(6, "6 3.5 -30 150 0 0.5 5"), ["line 6:", "type is 3.5", "whole"]),
        (with_line(6, "6 3 -30 150 0 0.5 4.5"), ["line 6:", "parent is 4.5", "whole"]),
        (with_line(6, "6 -3 -30 150 0 0.5 5"), ["line 6:", "type is -3"]),
        (with_line(6, "-6 3 -30 150 0 0.5 5"), ["line 6:", "id is -6"]),
        (with_line(6, "6 3 -30 150 0 0 5"), ["line 6:", "radius is 0"]),
        (with_line(6, "6 3 -30 150 0 -0.5 5"), ["line 6:", "radius is -0.5"]),
        (with_line(6, "6 3 -30 150 0 0x1 5"), ["line 6:", "'0x1' is no number"]),
        (with_line(6, "6 3 -30 1_50 0 0.5 5"), ["line 6:", "'1_50' is no number"]),
        (with_line(6, "6 3 \u221230 150 0 0.5 5"), ["line 6:", "typographic minus"]),
        (with_line(6, "6 3 -30\u00a0150 0 0.5 5"), ["line 6:", "hard blank"]),
        (with_line(6, "6 3 -30 \u0661\u0665 0 0.5 5"), ["line 6:"]),
        ("id type x y z radius parent\n" + SOUND, ["line 1:", "put # before it"]),
        (with_line(6, "5 3 -30 150 0 0.5 3"), ["line 6:", "id 5 stands in line 5"]),
        (with_line(6, "6 3 -30 150 0 0.5 17"), ["line 6:", "parent 17", "no point of the file"]),
        (with_line(1, "1 1 0 0 0 10 0"), ["line 1:", "parent 0", "root's is -1"]),
        (with_line(1, "1 1 0 0 0 10 -2"), ["line 1:", "parent is -2", "-1"]),
        (with_line(6, "6 3 -30 150 0 0.5 6"), ["line 6:", "its own parent"]),
        (with_line(5, "5 3 -20 110 0 0.8 6"), ["lines 5, 6:", "their own ancestors"]),
        (with_line(1, "1 1 0 0 0 10 10"), ["1, 2, 3, 4, 5 and 5 more", "ancestors", "no point is the root"]),
        (with_line(7, "7 3 10 -8 0 1 -1"), ["lines 1, 7:", "hangs nowhere", "parent"]),
        (SOUND.encode("utf-16"), ["UTF-16", "plain text"]),
        (SOUND.encode("utf-16-le"), ["line 1:", "zero bytes"]),
        (SOUND.encode() + b"\0" * 64, ["line 11:", "damaged"]),
        (b"", ["is empty"]),
        ("\n  \n", ["is empty"]),
        ("# nothing\n", ["comments alone"]),
        (gzip.compress(SOUND.encode()), ["gzip", "gunzip"]),
        (b"PK\x03\x04rest", ["zip"]),
        (b"\x89HDF\r\n\x1a\n", ["HDF5", "convert"]),
        ("<!DOCTYPE html>\n<html><body>404</body></html>\n", ["web page", "download the file itself"]),
        ('<?xml version="1.0"?>\n<neuroml></neuroml>\n', ["XML", "SWC"]),
        ('{"points": []}\n', ["JSON"]),
        ('\ufeff("CellBody"\n  (Color Red)\n  (5 5 0 0.1)\n)\n', ["Neurolucida", "morph-tool convert"]),
        ("; V3 text file written for MicroBrightField\n(ImageCoords)\n", ["Neurolucida", "morph-tool convert"]),
        ("// made by hand\ncreate soma\nsoma { pt3dadd(0,0,0,1) }\n", ["HOC", "hoc2swc", "cell_template"]),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", ["git lfs pull"]),
    ],
)  # fmt: skip
def test_a_line_or_a_file_that_is_none_is_refused(cell, tmp_path, content, words):
    with pytest.raises(ConfigError) as caught:
        cell(content)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(tmp_path / "cell.swc"), "give another file", *words):
        assert word in message


def test_a_folder_or_nothing_is_refused_by_key(tmp_path):
    (tmp_path / "file").write_text("")
    for path, words in (
        (tmp_path, "is a folder"),
        (tmp_path / "no.swc", "does not exist"),
        (tmp_path / "file/cell.swc", "does not exist"),
        ("no\0.swc", "cannot be read"),
        (tmp_path / ("long" * 100), "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=rf"^simulator\.options\.morphology: .*{words}"):
            read_setting("simulator.options.morphology", path)


# --- the soma --------------------------------------------------------------------------------------------------------

DENDRITE = "10 3 0 20 0 1 {0}\n11 3 0 120 0 1 10\n"


@pytest.mark.parametrize(
    ("soma", "parent", "area", "sections"),
    [
        ("1 1 0 0 0 10 -1\n", 1, SPHERE, 1),
        # NeuroMorpho.Org's three points, and those rounded
        ("1 1 0 0 0 10 -1\n2 1 0 -10 0 10 1\n3 1 0 10 0 10 1\n", 1, SPHERE, 1),
        ("1 1 0 0 0 10 -1\n2 1 0 -9.98 0 10 1\n3 1 0 9.98 0 10 1\n", 1, SPHERE, 1),
        ("1 1 0 0 0 10 -1\n2 1 0 -9 0 10 1\n3 1 0 9 0 10 1\n", 1, 2 * math.pi * 10 * 18, 2),
        ("1 1 0 0 0 10 -1\n2 1 0 10 0 8 1\n", 2, side(10, 10, 8), 1),
        ("1 1 0 0 0 4 -1\n2 1 0 8 0 9 1\n3 1 0 16 0 5 2\n", 2, side(8, 4, 9) + side(8, 9, 5), 1),
        ("1 1 0 0 0 4 -1\n2 1 0 8 0 9 1\n3 1 0 16 0 5 2\n", 1, side(8, 4, 9) + side(8, 9, 5), 1),
        # forked at its second point
        ("1 1 0 0 0 4 -1\n2 1 0 8 0 9 1\n3 1 0 16 0 5 2\n4 1 9 8 0 5 2\n", 3,
         side(8, 4, 9) + side(8, 9, 5) + side(9, 9, 5), 3),
    ],
)  # fmt: skip
def test_somata(cell, soma, parent, area, sections):
    """No membrane is between the soma and a dendrite, wherever that hangs."""
    made = cell(soma + DENDRITE.format(parent))
    expected = {"soma": area, "basal": 2 * math.pi * 100}
    assert areas(made) == pytest.approx(expected, rel=1e-9) and of_sections(made) == pytest.approx(expected, rel=1e-9)
    assert len([s for s in made.sections if KINDS[s.kind] == "soma"]) == sections


def test_where_sections_hang(cell):
    """On a soma of several sections: at its ends by these, else at the middle of the section."""
    soma = "1 1 0 0 0 4 -1\n2 1 0 8 0 9 1\n3 1 0 16 0 5 2\n4 1 9 8 0 5 2\n"
    soma += "5 1 0 -8 0 5 1\n6 1 0 -16 0 5 5\n7 1 0 -24 0 5 6\n"
    made = cell(soma + "".join(f"{10 + i} 3 30 {i} 0 1 {i}\n{20 + i} 3 60 {i} 0 1 {10 + i}\n" for i in range(1, 8)))
    lines = {made.lines[s.points[-1]]: s for s in made.sections}
    hang = {line: (made.lines[made.sections[s.parent].points[-1]], s.at) for line, s in lines.items() if s.parent >= 0}
    # sections of the soma end in the lines 2 (from 1), 3 and 4 (from 2) and 7 (from 1, by 5 and 6)
    assert {line: hang[line] for line in (3, 4, 7)} == {3: (2, 1.0), 4: (2, 1.0), 7: (2, 0.0)}
    assert [hang[line] for line in range(9, 22, 2)] == [
        (2, 0.0), (2, 1.0), (3, 1.0), (4, 1.0), (7, 0.5), (7, 0.5), (7, 1.0)
    ]  # fmt: skip
    assert all(made.lines[s.origin] == line // 2 - 3 for line, s in lines.items() if line > 8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 3 0 100 0 1 -1\n2 3 0 50 0 1 1\n3 3 0 11 0 1 2\n4 1 0 0 0 10 3\n5 3 0 -11 0 1 4\n6 3 0 -80 0 1 5\n",
         {"soma": SPHERE, "basal": 2 * math.pi * (50 + 39 + 69)}),
        ("1 3 0 0 0 5 -1\n2 3 5 0 0 5 1\n3 3 10 0 0 5 2\n4 1 0.2 0 0 10 1\n5 3 -12 0 0 1 4\n6 3 -80 0 0 0.5 5\n",
         {"soma": SPHERE, "basal": 2 * math.pi * 5 * 10 + side(68, 1, 0.5)}),
        # three points, entered at the middle; two points; the way to the root changes its kind: frusta keep the file's
        ("1 3 0 100 0 1 -1\n2 3 0 20 0 1 1\n3 1 0 0 0 10 2\n4 1 0 10 0 10 3\n5 1 0 -10 0 10 3\n",
         {"soma": SPHERE, "basal": 2 * math.pi * 80}),
        ("1 2 0 100 0 1 -1\n2 2 0 50 0 1 1\n3 3 0 20 0 1 2\n4 1 0 10 0 8 3\n5 1 0 0 0 8 4\n"
         "6 4 0 -5 0 1 5\n7 4 0 -55 0 1 6\n",
         {"soma": side(10, 8), "axon": side(50, 1), "basal": side(30, 1), "apical": side(50, 1)}),
    ],
)  # fmt: skip
def test_a_soma_that_is_not_the_root_becomes_it(cell, capsys, text, expected):
    made = cell(text)
    assert made.kinds[0] == 1 and made.parents[0] == -1
    assert areas(made) == pytest.approx(expected, rel=1e-9) and of_sections(made) == pytest.approx(expected, rel=1e-9)
    assert "its root (line 1) is not the soma" in capsys.readouterr().err


OUTLINE = "".join(
    f"{i + 1} 1 {10 * math.cos(i * math.pi / 6):.3f} {10 * math.sin(i * math.pi / 6):.3f} 0 0.5 {i or -1}\n"
    for i in range(12)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SOUND.replace(" 1 0 0 0 10", " 3 0 0 0 10"), ["no soma", "type 1"]),
        ("1 0 0 0 0 10 -1\n2 0 0 10 0 1 1\n3 0 0 90 0 1 2\n", ["no soma", "types 0"]),
        (with_line(4, "4 1 20 110 0 0.8 3"), ["lines 1, 4:", "2 somata"]),
        ("1 1 0 0 0 10 -1\n2 1 0 0 0 10 1\n3 3 0 20 0 1 1\n4 3 0 90 0 1 3\n", ["lines 1, 2:", "no area", "one point"]),
        (OUTLINE + "20 3 12 0 0 1 1\n21 3 100 0 0 1 20\n", ["outline", "179 um2", "1 1 0.00 0.00 0.00 10.00 -1"]),
        # all on the first point, and with thick lines
        (OUTLINE.replace("0.5 ", "3 "), ["outline"]),
        ("\n".join(line.rsplit(" ", 1)[0] + (" 1" if i else " -1") for i, line in enumerate(OUTLINE.splitlines())),
         ["outline"]),
        ("1 1 0 0 0 5000 -1\n2 3 0 5000 0 500 1\n3 3 0 80000 0 500 2\n", ["5000", "nanometres", "um"]),
        ("1 1 0 0 0 375 -1\n2 3 0 400 0 50 1\n3 3 0 20000 0 50 2\n", ["voxels"]),
        ("1 1 0 0 0 0.005 -1\n2 3 0 0.005 0 0.0005 1\n3 3 0 0.1 0 0.0005 2\n", ["millimetres"]),
        ("1 1 0 0 0 5e-6 -1\n2 3 0 5e-6 0 5e-7 1\n3 3 0 1e-4 0 5e-7 2\n", ["metres"]),
        ("1 1 0 0 0 0.01 -1\n2 3 0 10 0 0.001 1\n3 3 0 90 0 0.001 2\n", ["radius 0.01", "millimetres"]),
        ("1 1 0 0 0 10 -1\n2 3 0 10 0 1 1\n3 3 0 2e5 0 1 2\n", ["spans 200000"]),
        ("1 1 0 0 0 10 -1\n2 3 0 10 0 1 1\n3 3 0 10 0 1 2\n4 3 0 10 0 1 3\n", ["line", "2, 3", "without length"]),
        ("1 1 0 0 0 10 -1\n2 3 0 0 0 1 1\n", ["without length"]),
        (SOUND + "11 3 -30 150 0 0.7 5\n12 3 -20 110 0 0.7 5\n", ["lines 5, 12:", "without length"]),
    ],
)  # fmt: skip
def test_what_cannot_be_a_cell_is_refused(cell, text, words):
    with pytest.raises(ConfigError) as caught:
        cell(text)
    for word in ("cell.swc", "give another file", *words):
        assert word in str(caught.value)


# --- types and branches ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [2, 6, 0, 7])
def test_the_end_of_an_axon_is_an_axon(cell, end):
    made = cell(
        "1 1 0 0 0 10 -1\n2 3 10 0 0 1 1\n3 3 110 0 0 1 2\n4 2 -10 0 0 0.5 1\n5 2 -110 0 0 0.5 4\n6 2 -210 0 0 0.5 5\n"
        f"7 {end} -260 0 0 0.5 6\n"
    )
    assert kinds(made) == {"soma": [20], "basal": [100], "axon": [250]}
    assert areas(made)["basal"] == pytest.approx(628.3, rel=1e-4)
    assert made.bare_axons() == {2}


@pytest.mark.parametrize(("fork", "end"), [(4, 4), (5, 6), (0, 0)])
def test_marks_of_forks_and_ends_are_no_kinds(cell, fork, end):
    made = cell(
        "1 1 0 0 0 10 -1\n2 3 10 0 0 1 1\n3 3 110 0 0 1 2\n4 4 0 10 0 1 1\n5 4 0 200 0 1 4\n"
        f"6 {fork} 0 300 0 1 5\n7 4 40 350 0 0.5 6\n8 {end} 80 400 0 0.5 7\n"
        f"9 4 -40 350 0 0.5 6\n10 {end} -80 400 0 0.5 9\n"
    )
    branch = round(2 * math.hypot(40, 50), 3)
    assert kinds(made) == {"soma": [20], "basal": [100], "apical": [290, branch, branch]}
    assert bool(made.warnings) == (fork != 4)


def test_marks_on_the_soma_are_of_what_grows_from_them(cell):
    """A fork on the soma is none of it, one between two points of the soma is; what has no kind at all is basal."""
    made = cell("1 1 0 0 0 8 -1\n2 5 0 8 0 1 1\n3 4 0 60 0 1 2\n4 4 9 60 0 1 2\n5 7 0 -8 0 1 1\n6 7 0 -58 0 1 5\n")
    assert areas(made) == pytest.approx(
        {"soma": 256 * math.pi, "apical": side(52, 1) + side(math.hypot(52, 9), 1), "basal": side(50, 1)}
    )
    assert [w for w in made.warnings if "type 7" in w and "basal" in w and "line 5" in w]
    through = cell("1 1 0 0 0 8 -1\n2 5 0 8 0 8 1\n3 1 0 16 0 8 2\n4 3 0 20 0 1 3\n5 3 0 70 0 1 4\n", "through.swc")
    assert areas(through) == pytest.approx({"soma": side(16, 8), "basal": side(50, 1)})


def test_a_type_may_change_along_a_branch(cell):
    made = cell("1 1 0 0 0 10 -1\n2 3 0 10 0 1 1\n3 3 0 50 0 1 2\n4 2 0 60 0 0.5 3\n5 2 0 90 0 0.5 4\n")
    assert kinds(made) == {"soma": [20], "basal": [40], "axon": [40]}
    assert areas(made)["axon"] == pytest.approx(side(10, 1, 0.5) + side(30, 0.5))
    assert len(made.bare_axons()) == 1
    carrying = cell(
        "1 1 0 0 0 10 -1\n2 2 0 10 0 1 1\n3 2 0 50 0 1 2\n4 3 0 60 0 1 3\n5 3 0 90 0 1 4\n6 2 9 90 0 1 3\n",
        "carrying.swc",
    )
    assert [carrying.sections[i].points for i in carrying.bare_axons()] == [[2, 5]]
    assert [w for w in carrying.warnings if "grows from the axon in line 4" in w]


def test_a_stem_that_forks_at_its_first_point(cell):
    """Import3d gives it the way from the middle of the soma when the soma has one point."""
    made = cell("1 1 0 0 0 10 -1\n2 3 0 10 0 1 1\n3 3 0 60 0 1 2\n4 4 30 50 0 1 2\n")
    assert kinds(made) == {"soma": [20], "basal": [50], "apical": [50]}
    assert {(s.parent, s.at, s.origin) for s in made.sections[1:]} == {(0, 0.5, 0)}


def test_a_neurite_of_one_point_is_a_cable_from_the_soma(cell):
    made = cell("1 1 0 0 0 10 -1\n2 3 0 60 0 1 1\n")
    assert kinds(made) == {"soma": [20], "basal": [60]} and areas(made)["basal"] == pytest.approx(side(60, 1))
    assert made.warnings == ["line 2: a neurite of one point is read as a cable of 60 um from the soma's point"]


def test_points_on_top_of_each_other(cell):
    """One that says nothing new goes, and its children hang on its parent; a step in radius is a ring of membrane."""
    made = cell(SOUND + "11 3 20 110 0 0.8 4\n12 3 20 110 0 0.8 11\n13 3 20 130 0 0.8 12\n")
    assert areas(made)["basal"] == pytest.approx(AREAS["basal"] + side(20, 0.8), rel=1e-6)
    assert [w for w in made.warnings if "2 points repeat their parents (first in line 11)" in w]
    stepped = cell(SOUND + "11 3 20 110 0 0.5 4\n12 3 20 130 0 0.5 11\n", "stepped.swc")
    ring = math.pi * (0.8**2 - 0.5**2)
    assert areas(stepped)["basal"] == pytest.approx(AREAS["basal"] + ring + side(20, 0.5), rel=1e-6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# SCALE 0.5 0.5 1.0\n" + SOUND, "line 1 says 'SCALE 0.5 0.5 1.0'"),
        ("# units: nm\n" + SOUND, "the unit is nm"),
        (SOUND.rstrip("\n"), "line, 10, does not end"),
        ("1 1 0 0 0 10 -1\n", "no dendrite"),
        (SOUND.replace(" 3 ", " 2 "), "no dendrite"),
        # three points of a sphere, the third on the second
        (
            "1 1 0 0 0 9 -1\n2 1 0 -9 0 9 1\n3 1 0 9 0 9 2\n4 3 0 9 0 1 1\n5 3 0 50 0 1 4\n",
            "18 um apart on a way of 27",
        ),
        ("1 1 0 0 0 60 -1\n2 3 0 60 0 1 1\n3 3 0 90 0 1 2\n", "radius is 60 um"),
        ("1 1 0 0 0 0.5 -1\n2 3 0 1 0 0.1 1\n3 3 0 90 0 0.1 2\n", "radius is 0.5 um"),
        ("1 1 0 0 0 0.1 -1\n2 3 0 1 0 0.1 1\n3 3 0 90 0 0.1 2\n", "radius is 0.1 um"),
        ("1 1 0 0 0 9 -1\n2 3 0 10 0 1 1\n3 3 0 12000 0 1 2\n", "span 12000 um"),
        ("1 1 0 0 0 9 -1\n2 3 0 10 0 1 1\n3 3 0 90 0 15 2\n", "line 3: a neurite of radius 15 um"),
        ("1 1 0 0 0 9 -1\n2 3 0 10 0 1 1\n3 3 0 90 0 1e-6 2\n", "line 3: a neurite of radius 1e-06 um"),
        ("1 1 0 0 0 9 -1\n2 3 0 90 0 1 1\n3 3 0 120 0 1 2\n", "line 2: a neurite begins 81.0 um"),
        ("1 1 0 0 0 2 -1\n2 1 0 40 0 2 1\n3 3 0 42 0 1 2\n4 3 0 90 0 1 3\n", "the soma is 40 um long"),
    ],
)
def test_what_is_odd_is_said(cell, capsys, text, words):
    made = cell(text)
    assert [w for w in made.warnings if words in w], made.warnings
    assert f"cell.swc: warning: {made.warnings[0]}" in capsys.readouterr().err
    assert [line for line in made.describe() if words in line]


def test_nothing_is_odd_about_a_sound_file(cell, capsys):
    made = cell("# SCALE 1.0 1.0 1.0\n# unit: um\n" + SOUND)
    assert made.warnings == [] and capsys.readouterr().err == ""
    length = 50 + 2 * math.hypot(20, 50) + math.hypot(10, 40) + math.hypot(50, 52)
    assert made.describe() == [
        "cell.swc: soma 1 section, 1256.6 um2; axon 1 section, 254.5 um2, 90.0 um, 1 tip, left out; "
        f"basal 4 sections, 1631.9 um2, {length:.1f} um, 3 tips"
    ]


def test_a_changed_file_is_read_again(cell):
    first = cell(SOUND)
    assert cell(SOUND) is not None and areas(first) == pytest.approx(AREAS, rel=1e-6)
    assert areas(cell(SOUND.replace("0 0 0 10 -1", "0 0 0 5.0 -1")))["soma"] == pytest.approx(SPHERE / 4)
