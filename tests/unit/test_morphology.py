"""The cells of the package: made by their script, and as the published cells in their statistics."""

import math
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import swc_files

import neuroinverse.simulators
from neuroinverse.errors import ConfigError

FOLDER = Path(neuroinverse.simulators.__file__).with_name("morphologies")
FILE = FOLDER / "spiny_stellate.swc"
# Mainen and Sejnowski (1996): the layer 4 stellate cell
SOMA_AREA_UM2 = 778
CELLS = ("spiny_stellate", "aspiny_stellate", "layer_5_pyramid")
TOTAL_UM = 5560


class Tree:
    """An SWC file read line by line: neither the script's way nor NEURON's."""

    def __init__(self, text: str):
        rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
        self.kind = {int(r[0]): int(r[1]) for r in rows}
        self.at = {int(r[0]): tuple(float(x) for x in r[2:5]) for r in rows}
        self.radius = {int(r[0]): float(r[5]) for r in rows}
        self.parent = {int(r[0]): int(r[6]) for r in rows}
        self.children = {i: [j for j, p in self.parent.items() if p == i] for i in self.kind}
        assert len(self.kind) == len(rows), "an id twice"
        assert all(p == -1 or p < i for i, p in self.parent.items()), "a parent after its child"
        self.dendrite = [i for i, kind in self.kind.items() if kind in (3, 4)]
        self.stems = [i for i in self.dendrite if self.kind[self.parent[i]] == 1]
        self.tips = [i for i in self.dendrite if not self.children[i]]
        self.forks = [i for i in self.dendrite if len(self.children[i]) > 1]

    def length(self, i: int) -> float:
        """From the point before; a stem's first point begins the dendrite, on the soma's membrane."""
        return 0.0 if i in self.stems else math.dist(self.at[i], self.at[self.parent[i]])

    def path(self, i: int) -> float:
        total = 0.0
        while self.kind[i] != 1:
            total, i = total + self.length(i), self.parent[i]
        return total


@pytest.fixture(scope="module")
def tree():
    return Tree(FILE.read_text())


def test_the_script_writes_the_bytes_that_are_there(tmp_path):
    script = shutil.copy(FOLDER / "generate.py", tmp_path)
    subprocess.run([sys.executable, script], check=True)
    assert sorted(p.name for p in tmp_path.glob("*.swc")) == sorted(f"{name}.swc" for name in CELLS)
    for name in CELLS:
        assert (tmp_path / f"{name}.swc").read_bytes() == (FOLDER / f"{name}.swc").read_bytes()


def test_the_script_writes_only_the_cells_that_are_named(tmp_path):
    script = shutil.copy(FOLDER / "generate.py", tmp_path)
    subprocess.run([sys.executable, script, "aspiny_stellate"], check=True)
    assert [p.name for p in tmp_path.glob("*.swc")] == ["aspiny_stellate.swc"]


def test_the_pyramid_is_as_large_as_the_published_one():
    """Mainen and Sejnowski (1996), layer 5: soma 25 x 35 um, 11 stems, 17668 um of dendrite, 52996 um2, 87 tips."""
    tree = Tree((FOLDER / "layer_5_pyramid.swc").read_text())
    soma = [tree.at[i] for i, kind in tree.kind.items() if kind == 1]
    assert math.dist(soma[0], soma[-1]) == pytest.approx(35)
    assert {2 * tree.radius[i] for i, kind in tree.kind.items() if kind == 1} == {25}
    assert (len(tree.stems), len(tree.forks), len(tree.tips)) == (11, 76, 87)
    assert sum(tree.kind[i] == 4 for i in tree.stems) == 1 and sum(tree.kind[i] == 4 for i in tree.tips) == 42
    assert all(tree.kind[i] == tree.kind[tree.parent[i]] for i in tree.dendrite if i not in tree.stems)
    assert sum(tree.length(i) for i in tree.dendrite) == pytest.approx(17668, rel=0.002)
    area = sum(
        math.pi * (a + b) * math.hypot(tree.length(i), a - b)
        for i in tree.dendrite
        if i not in tree.stems
        for a, b in ((tree.radius[i], tree.radius[tree.parent[i]]),)
    )
    assert area == pytest.approx(52996, rel=0.02)
    # the tuft is above, no basal tip is
    heights = {kind: [tree.at[i][1] for i in tree.tips if tree.kind[i] == kind] for kind in (3, 4)}
    assert max(heights[4]) > 900 and max(heights[3]) < 300


def test_the_aspiny_cell_is_small():
    tree = Tree((FOLDER / "aspiny_stellate.swc").read_text())
    assert sum(tree.length(i) for i in tree.dendrite) == pytest.approx(2000, rel=0.002)
    assert min(2 * tree.radius[i] for i in tree.dendrite) == pytest.approx(0.3)


def test_the_soma_is_the_published_one(tree):
    soma = [i for i, kind in tree.kind.items() if kind == 1]
    assert [tree.parent[i] for i in soma] == [-1, *soma[:-1]]
    length = sum(math.dist(tree.at[i], tree.at[tree.parent[i]]) for i in soma[1:])
    assert length == pytest.approx(23.6) and {2 * tree.radius[i] for i in soma} == {10.5}
    assert math.pi * length * 10.5 == pytest.approx(SOMA_AREA_UM2, rel=0.002)


def test_its_branching_is_the_published_one(tree):
    assert set(tree.kind.values()) == {1, 3}
    assert (len(tree.stems), len(tree.forks), len(tree.tips)) == (6, 37, 43)
    assert {len(tree.children[i]) for i in tree.forks} == {2}
    assert len({tree.at[i] for i in tree.kind}) == len(tree.kind), "two points in one place"


def test_its_lengths_and_diameters_are_the_published_ones(tree):
    lengths = [tree.length(i) for i in tree.dendrite]
    total = sum(lengths)
    assert total == pytest.approx(TOTAL_UM, rel=0.002)
    assert total / (len(tree.stems) + 2 * len(tree.forks)) == pytest.approx(69, rel=0.02)
    # frusta: the mean of both ends; a branch begins with the diameter of the point that it leaves
    weighted = sum(
        w * (tree.radius[i] + tree.radius[tree.parent[i]]) for i, w in zip(tree.dendrite, lengths, strict=True)
    )
    assert weighted / total == pytest.approx(0.81, abs=0.005)
    diameters = [2 * tree.radius[i] for i in tree.dendrite]
    assert min(diameters) > 0.3 and max(diameters) < 4
    grows = [i for i in tree.dendrite if i not in tree.stems and tree.radius[i] > tree.radius[tree.parent[i]]]
    assert not grows, "dendrites taper"


def test_its_paths_are_the_published_ones(tree):
    paths = [tree.path(i) for i in tree.tips]
    assert sum(paths) / len(paths) == pytest.approx(171, rel=0.01)
    assert max(paths) == pytest.approx(221, rel=0.01)


def test_stems_begin_on_the_membrane(tree):
    for i in tree.stems:
        x, y, z = tree.at[i]
        side, end = math.hypot(x, z) / 5.25, abs(y) / 11.8
        assert max(side, end) == pytest.approx(1, abs=0.001)
        assert math.dist((0, 0, 0), tree.at[tree.children[i][0]]) > math.dist((0, 0, 0), tree.at[i])


def test_it_fills_space(tree):
    """No fan and no line: tips lie on all sides of the soma."""
    for axis in range(3):
        ends = [tree.at[i][axis] for i in tree.tips]
        assert min(ends) < -60 and max(ends) > 60
    straight = [math.dist(tree.at[i], (0, 0, 0)) / tree.path(i) for i in tree.tips]
    assert 0.6 < sum(straight) / len(straight) < 1


def test_the_header_says_what_it_is():
    header = "".join(line for line in FILE.read_text().splitlines(keepends=True) if line.startswith("#"))
    for words in ("generate.py", "seed 1996", "no reconstruction", "stems 6, bifurcations 37, tips 43"):
        assert words in header


def test_neuron_reads_it(tree):
    from neuroinverse.simulators.morphology import load_swc
    from neuroinverse.simulators.neuron_batch import interpreter

    h = interpreter()
    sections = load_swc(h, str(FILE))
    try:
        somata = [s for kind, s in sections if kind == "soma"]
        dendrites = [s for kind, s in sections if kind == "basal"]
        assert (len(somata), len(dendrites)) == (1, 6 + 2 * 37) and len(sections) == 81
        assert (somata[0].L, somata[0].diam) == pytest.approx((23.6, 10.5))
        assert sum(segment.area() for segment in somata[0]) == pytest.approx(SOMA_AREA_UM2, rel=0.002)
        # what joins a stem to the soma's axis is no length
        assert sum(s.L for s in dendrites) == pytest.approx(sum(tree.length(i) for i in tree.dendrite), rel=1e-5)
        assert sum(s.L for s in dendrites) == pytest.approx(TOTAL_UM, rel=0.002)
        stems = [s for s in dendrites if s.parentseg().sec == somata[0]]
        assert len(stems) == 6 and {s.parentseg().x for s in stems} == {0.5}
        side = 0.0
        for i in tree.dendrite:
            a, b = tree.radius[i], tree.radius[tree.parent[i]]
            side += 0 if i in tree.stems else math.pi * (a + b) * math.hypot(tree.length(i), a - b)
        # one compartment is a cylinder of its frusta's side
        assert sum(segment.area() for s in dendrites for segment in s) == pytest.approx(side, rel=0.001)
    finally:
        for _, section in reversed(sections):
            h.delete_section(sec=section)


# --- files of others -------------------------------------------------------------------------------------------------

STEP = {"kind": "step", "start_ms": 0.1, "stop_ms": 0.9, "amplitude": 0.1, "unit": "nA"}


@contextmanager
def loaded(path):
    """Sections of a file in NEURON, and afterwards none."""
    from neuroinverse.simulators.morphology import load_swc
    from neuroinverse.simulators.neuron_batch import interpreter

    h = interpreter()
    before = len(list(h.allsec()))
    sections = load_swc(h, str(path))
    try:
        yield sections
    finally:
        for _, section in reversed(sections):
            h.delete_section(sec=section)
    assert len(list(h.allsec())) == before


def shape(section) -> tuple:
    """Name, where it hangs, its points, and what NEURON makes of them."""
    from neuroinverse.simulators.neuron_batch import interpreter

    parent, n = section.parentseg(), section.n3d()
    points = [(section.x3d(i), section.y3d(i), section.z3d(i), section.diam3d(i)) for i in range(n)]
    on = None if parent is None else (parent.sec.name(), parent.x)
    wired = interpreter().pt3dstyle(sec=section)
    return section.name(), on, wired, points, section.L, section(0.5).area(), section(0.5).ri()


class Import3d:
    """NEURON's own reading of a file: the sections of soma, dendrites and apical dendrite."""

    def __init__(self, path):
        from neuroinverse.simulators.neuron_batch import interpreter

        h = interpreter()
        h.load_file("stdrun.hoc")
        h.load_file("import3d.hoc")
        reader = h.Import3d_SWC_read()
        reader.quiet = 1
        reader.input(str(path))
        h.Import3d_GUI(reader, False).instantiate(self)

    def __str__(self):
        return "cell"

    def shapes(self) -> list[tuple]:
        return [shape(s) for name in ("soma", "dend", "apic") for s in getattr(self, name, ())]


@pytest.mark.parametrize("cell", CELLS)
def test_the_cells_of_the_package_are_those_of_import3d(cell):
    path = FOLDER / f"{cell}.swc"
    expected = Import3d(path).shapes()
    with loaded(path) as sections:
        assert [shape(s) for _, s in sections] == expected


def test_sound_files_are_read_as_by_import3d(tmp_path):
    """Random trees in the order that Import3d takes: the same sections, points and places to the bit."""
    path, compared = tmp_path / "cell.swc", 0
    for seed in range(30):
        path.write_bytes(swc_files.example(seed, plain=True).data)
        expected = Import3d(path).shapes()
        with loaded(path) as sections:
            assert [shape(s) for kind, s in sections if kind != "axon"] == expected
        compared += len(expected)
    assert compared > 200


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # the root is a dendrite; the axon is left out
        ("1 3 0 100 0 1 -1\n2 3 0 50 0 1 1\n3 3 0 11 0 1 2\n4 1 0 0 0 10 3\n5 2 0 -11 0 1 4\n6 2 0 -80 0 1 5\n",
         {"soma": 400 * math.pi, "basal": 2 * math.pi * 89}),
        # marks of ends on the axon and on the dendrite
        ("1 1 0 0 0 10 -1\n2 3 10 0 0 1 1\n3 6 110 0 0 1 2\n4 2 -10 0 0 0.5 1\n5 6 -210 0 0 0.5 4\n",
         {"soma": 400 * math.pi, "basal": 200 * math.pi}),
        # three points of the soma, nine tenths of a radius apart
        ("1 1 0 0 0 10 -1\n2 1 0 -9 0 10 1\n3 1 0 9 0 10 1\n4 3 0 10 0 1 1\n5 3 0 70 0 1 4\n",
         {"soma": 360 * math.pi, "basal": 120 * math.pi}),
        # the only dendrite forks at its first point, the file's second
        ("1 1 0 0 0 10 -1\n2 3 0 10 0 1 1\n3 3 0 60 0 1 2\n4 3 30 50 0 1 2\n",
         {"soma": 400 * math.pi, "basal": 200 * math.pi}),
        # one point, 60 um away
        ("1 1 0 0 0 10 -1\n2 3 0 60 0 1 1\n", {"soma": 400 * math.pi, "basal": 120 * math.pi}),
        # far from the origin, where single precision tells places apart by 0.06 um
        ("1 1 900000 0 0 10 -1\n2 3 900010 0 0 1 1\n3 3 900010.01 0 0 1 2\n4 3 900010.02 0 0 1 3\n",
         {"soma": 400 * math.pi, "basal": 0.04 * math.pi}),
    ],
)  # fmt: skip
def test_areas_in_neuron(tmp_path, rows, expected):
    path = tmp_path / "neur\u00f6n \u6570.swc"
    path.write_text(rows, encoding="utf-8")
    with loaded(path) as sections:
        found = {}
        for kind, section in sections:
            found[kind] = found.get(kind, 0) + sum(segment.area() for segment in section)
    assert found == pytest.approx(expected, rel=1e-3)


def test_sections_stand_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "cell.swc"
    rows = ["1 1 0 0 0 10 -1"]
    for i, kind in enumerate((8, 4, 7, 3, 6, 5, 9)):
        rows += [f"{2 * i + 2} {kind} {10 + i} 0 0 1 1", f"{2 * i + 3} {kind} {110 + 10 * i} {i} 0 1 {2 * i + 2}"]
    path.write_text("\n".join(rows))
    with loaded(path) as sections:
        assert [kind for kind, _ in sections] == ["soma", *["basal"] * 6, "apical"]
        starts = [section.x3d(0) for _, section in sections[1:]]
    assert starts == [10, 12, 13, 14, 15, 16, 11]


def test_an_axon_that_carries_a_dendrite_stays_and_comes_last(tmp_path):
    path = tmp_path / "cell.swc"
    path.write_text(
        "1 1 0 0 0 10 -1\n2 2 0 -10 0 1 1\n3 2 0 -50 0 1 2\n4 3 9 -90 0 1 3\n5 2 0 -90 0 1 3\n"
        "6 4 0 10 0 1 1\n7 4 0 90 0 1 6\n"
    )
    with loaded(path) as sections:
        assert [(kind, s.name(), s.parentseg() and s.parentseg().sec.name()) for kind, s in sections] == [
            ("soma", "cell.soma[0]", None),
            ("basal", "cell.dend[0]", "cell.axon[0]"),
            ("apical", "cell.apic[0]", "cell.soma[0]"),
            ("axon", "cell.axon[0]", "cell.soma[0]"),
        ]


def test_a_file_that_is_no_cell_ends_the_job(tmp_path):
    """In the settings, and where it has gone bad since they were read."""
    from neuroinverse.simulators.lfp_settings import check_lfp
    from neuroinverse.simulators.mainen import Mainen

    path = tmp_path / "morph.asc"
    path.write_text('("CellBody"\n  (CellBody)\n  (5 5 0 0.1)\n)\n')
    with pytest.raises(ConfigError, match=r"^simulator\.options\.morphology: .*morph\.asc is a Neurolucida file"):
        Mainen([], {"dt_ms": 0.025, "duration_ms": 1, "stimulus": STEP}, options={"morphology": str(path)})
    with pytest.raises(ConfigError, match=r"^lfp\.populations\.E\.cell\.swc: .*morph\.asc is a Neurolucida file"):
        check_lfp({"populations": {"E": {"cell": {"swc": str(path)}}}})
    with pytest.raises(ConfigError, match="Neurolucida"), loaded(path):
        pass


def test_membrane_that_neuron_makes_otherwise_is_refused(monkeypatch):
    from neuroinverse.simulators import morphology
    from neuroinverse.simulators.neuron_batch import interpreter

    def thicker(cell, section):
        return [1.01 * cell.radii[i] for i in section.points]

    before = len(list(interpreter().allsec()))
    monkeypatch.setattr(morphology.SwcCell, "thick", thicker)
    with (
        pytest.raises(ConfigError, match=r"stellate\.swc: NEURON makes 786\.\d um2 of soma .* there are 778\.5"),
        loaded(FILE),
    ):
        pass
    assert len(list(interpreter().allsec())) == before


def test_what_was_read_is_told(capsys, monkeypatch):
    from neuroinverse.stages import check

    monkeypatch.chdir(FOLDER.parents[4])
    check.run("mainen_10", "smoke")
    assert "  spiny_stellate.swc: soma 1 section, 778.5 um2; basal 80 sections, 14150.5 um2" in capsys.readouterr().out
