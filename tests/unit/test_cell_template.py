"""Cells of the user's own: the example of the docs against the same cell built by hand, and every refusal."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from neuroinverse.config import load_study
from neuroinverse.errors import ConfigError
from neuroinverse.provenance import canonical, file_sha256
from neuroinverse.simulators import cable_cell, make_simulator
from neuroinverse.simulators.neuron_batch import interpreter
from neuroinverse.stages import compile_mechanisms, simulate_shard

OPTIONS = ("simulator", "options")
FUNCTION = """
class Made:
    pass

def make_cell(h):
    made = Made()
    made.soma = h.Section(name="soma")
    made.soma.L = made.soma.diam = 20
    made.dend = [h.Section(name=f"dend{i}") for i in range(2)]
    for i, dend in enumerate(made.dend):
        dend.connect(made.soma(i), 0)
        dend.L, dend.diam, dend.nseg = 200, 2, 5
    for section in (made.soma, *made.dend):
        section.insert("hh")
        section.insert("pas")
        section.g_pas, section.e_pas, section.Ra = 1e-4, -65, 100
    for dend in made.dend:
        for segment in dend:
            segment.hh.gnabar = 0.06 - 0.04 * segment.x
    return made
"""
LEAK = """
NEURON { SUFFIX template_leak  NONSPECIFIC_CURRENT i  POINTER unset  RANGE g, e, seen  GLOBAL shared }
INCLUDE "template_units.inc"
PARAMETER { g = 1e-4 (S/cm2)  e = -65 (mV)  shared = 1 }
ASSIGNED { v (mV)  unset  i (mA/cm2)  seen (mV) }
BREAKPOINT { i = g * (v - e)  seen = v }
"""
UNITS = "UNITS { (mV) = (millivolt)  (mA) = (milliamp)  (S) = (siemens) }\n"


HOC = "begintemplate {0}\npublic soma\ncreate soma\nproc init() {{ {1} }}\nendtemplate {0}\n"
INSERTED = "soma { insert hh insert pas }"


@pytest.fixture(autouse=True)
def nothing_stands():
    """Cells of one test are not simulated with those of the next."""
    yield
    cable_cell.take_down()


@pytest.fixture
def folder(root, tmp_path, monkeypatch):
    """A folder with the example of the docs, as its comments name the files."""
    page = (root / "docs" / "add-a-study.md").read_text()
    for first in ("// cells/my_cell.hoc", "# config/studies/my_cell.yaml"):
        (text,) = re.findall(rf"```\w+\n{re.escape(first)}\n(.*?)```", page, re.DOTALL)
        path = tmp_path / first.split()[1]
        path.parent.mkdir(parents=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def study(folder, edit=lambda settings: None):
    """The example's study, edited."""
    settings = yaml.safe_load((folder / "config" / "studies" / "my_cell.yaml").read_text())
    edit(settings)
    path = folder / "edited.yaml"
    path.write_text(yaml.safe_dump(settings))
    return load_study(path, "smoke", 3)


def options(**changes):
    """An edit that puts other values for options; None removes one."""

    def edit(settings):
        over = settings["simulator"]["options"] | changes
        settings["simulator"]["options"] = {k: v for k, v in over.items() if v is not None}

    return edit


def varied(index, **changes):
    """An edit of one entry of `vary`; None removes a key."""

    def edit(settings):
        entry = settings["simulator"]["options"]["vary"][index] | changes
        settings["simulator"]["options"]["vary"][index] = {k: v for k, v in entry.items() if v is not None}

    return edit


def template(text, path="cells/other.hoc", name="Other"):
    """An edit that puts another template, of this text."""

    def edit(settings):
        Path(path).write_text(text)
        settings["simulator"]["options"]["template"] = {"path": path, "name": name}

    return edit


def simulate(study, theta, **changes):
    simulator = make_simulator(study.scenario("train"), **changes)
    return simulator.simulate(np.array(theta, float), np.zeros(len(theta), np.uint64))["voltage"]


def by_hand(gna, gna_dend, gl, cm, ra=100.0):
    """The example's cell, built and run with NEURON alone; voltage of soma and tip, shape (time, 2)."""
    cable_cell.take_down()
    h = interpreter()
    soma, dends = h.Section(name="a"), [h.Section(name=name) for name in "bc"]
    soma.L = soma.diam = 20
    for end, dend in enumerate(dends):
        dend.L, dend.diam, dend.nseg = 200, 2, 5
        dend.connect(soma(end), 0)
    for section in (soma, *dends):
        section.insert("hh")
        section.insert("pas")
        section.e_pas, section.g_pas, section.Ra, section.cm = -65, gl, ra, cm
    soma.gnabar_hh = gna
    for dend in dends:
        for segment in dend:
            segment.gnabar_hh = gna_dend * (0.06 - 0.04 * segment.x)
    clamp = h.IClamp(soma(0.5))
    clamp.dur = 1e9
    t = np.arange(4000) * 0.025
    wave, times = h.Vector(np.where((t >= 10) & (t < 90), 0.5, 0.0)), h.Vector(t)
    wave.play(clamp._ref_amp, times, True)
    h.celsius, h.dt, h.secondorder = 6.3, 0.025, 0
    records = [h.Vector().record(where._ref_v) for where in (soma(0.5), dends[1](1))]
    h.finitialize(-65)
    for _ in range(3999):
        h.fadvance()
    return np.stack([np.array(r) for r in records], axis=1)


DEFAULT = [0.12, 1.0, 1e-4]
OTHER = [0.2, 0.6, 6e-5]


def test_the_example_of_the_docs_is_the_cell_built_by_hand(folder):
    """Every parameter changes what it names and nothing else: traces as those of a cell that was built with them."""
    example = study(folder)
    found = simulate(example, [DEFAULT, OTHER, DEFAULT])
    assert found.shape == (3, 4000, 2) and found.max() > 0, "it spikes"
    np.testing.assert_array_equal(found[2], found[0])
    for trace, theta in zip(found, (DEFAULT, OTHER), strict=False):
        np.testing.assert_allclose(trace, by_hand(*theta, cm=1.0), atol=1e-4)
    assert np.abs(found[1] - found[0]).max() > 10
    # a parameter that is not inferred has its default, or its fixed value
    fixed = study(folder, lambda s: s["simulator"].update(fixed={"cm": 1.5}))
    np.testing.assert_allclose(simulate(fixed, [OTHER])[0], by_hand(*OTHER, cm=1.5), atol=1e-4)


def test_a_python_template_is_the_same_cell(folder):
    expected = simulate(study(folder), [DEFAULT, OTHER])
    alone = FUNCTION.replace("def make_cell(h):", "from neuron import h\ndef make_cell():")
    nested = FUNCTION.replace(
        "    return made", "    made.dend = {0: made.dend[:1], 1: made.dend[1:]}\n    return made"
    )
    assert FUNCTION not in (alone, nested)
    for text in (FUNCTION, FUNCTION.replace("return made", "return vars(made)"), alone, nested):
        python = study(folder, template(text, "cells/made.py", "make_cell"))
        np.testing.assert_allclose(simulate(python, [DEFAULT, OTHER]), expected, atol=1e-4)


def test_regions_are_those_of_the_template_where_the_study_names_none(folder):
    """Sections by name, arrays, one of an array, lists, and lists that share sections."""
    expected = simulate(study(folder), [OTHER])

    def edit(settings):
        options(regions=None, sites={"soma": "soma(0.5)", "tip": "dend[1](1)"})(settings)
        for entry in settings["simulator"]["options"]["vary"]:
            entry["regions"] = ["dend" if r == "dendrites" else r for r in entry["regions"]]

    np.testing.assert_array_equal(simulate(study(folder, edit), [OTHER]), expected)
    listed = (folder / "cells" / "my_cell.hoc").read_text().replace("MyCell", "Listed")
    listed = listed.replace("public soma, dend", "public all, twigs\nobjref all, twigs").replace(
        "    forall {", "    all = new SectionList()\n    forall all.append()\n    twigs = new SectionList()\n"
        "    for i = 0, 1 dend[i] twigs.append()\n    forall {"
    )  # fmt: skip

    def lists(settings):
        template(listed, "cells/listed.hoc", "Listed")(settings)
        settings["simulator"]["options"]["regions"] = {
            "soma": ["soma"], "dendrites": ["dend[1]", "dend[0]"], "whole": ["all", "twigs"],
        }  # fmt: skip
        for i in (2, 3):
            varied(i, regions=["whole"])(settings)

    np.testing.assert_array_equal(simulate(study(folder, lists), [OTHER]), expected)


def test_a_cell_that_is_built_once_forgets_the_simulations_before(folder):
    simulator = make_simulator(study(folder).scenario("train"))
    many = np.random.default_rng(1).uniform([0.06, 0.5, 5e-5], [0.24, 2, 2e-4], (20, 3))
    seeds = np.zeros(20, np.uint64)
    first = simulator.simulate(many[:1], seeds[:1])["voltage"]
    cell = cable_cell.standing_cell(simulator)
    again = simulator.simulate(many[::-1], seeds)["voltage"][-1:]
    assert cable_cell.standing_cell(simulator) is cell, "it was built once"
    np.testing.assert_array_equal(again, first)
    # and built anew
    cable_cell.take_down()
    np.testing.assert_array_equal(simulator.simulate(many[:1], seeds[:1])["voltage"], first)


def test_a_cell_that_is_taken_down_leaves_nothing(folder):
    h = interpreter()
    before = len(list(h.allsec()))
    simulate(study(folder), [DEFAULT])
    assert len(list(h.allsec())) == before + 3
    cable_cell.take_down()
    assert len(list(h.allsec())) == before


def test_mod_files_are_compiled_and_count_by_content(folder):
    """A leak of the user's own, whose MOD file includes another and has a pointer that nothing sets, is NEURON's."""
    mod = folder / "cells" / "mod"
    mod.mkdir()
    (mod / "leak.mod").write_text(LEAK)
    (mod / "template_units.inc").write_text(UNITS)
    text = (folder / "cells" / "my_cell.hoc").read_text().replace("MyCell", "Leaky")
    text = text.replace("insert pas  g_pas = 1e-4  e_pas = -65", "insert template_leak")

    def edit(settings):
        template(text, "cells/leaky.hoc", "Leaky")(settings)
        options(mechanisms=["cells/mod"])(settings)
        varied(2, mechanism="template_leak")(settings)

    leaky = study(folder, edit)
    library = folder / "libnrnmech.so"
    compile_mechanisms.run(library, leaky.mechanisms)
    found = simulate(leaky, [OTHER], library=library)
    np.testing.assert_allclose(found, simulate(study(folder), [OTHER]), atol=1e-4)
    spec = leaky.dataset_spec("train")["simulation"]
    assert set(spec["mechanisms"]) == {"leak.mod", "template_units.inc"}
    assert leaky.mechanisms_spec()["mechanisms"] == spec["mechanisms"]
    # one for the whole process; computed in every step
    for name in ("shared", "seen"):
        with pytest.raises(
            ConfigError, match=rf"vary\[2\]\.name: template_leak has no parameter '{name}'.*g, e \(RANGE"
        ):
            study(folder, lambda s, name=name: (edit(s), varied(2, name=name)(s)))
    with pytest.raises(ConfigError, match="compile_mechanisms"):
        simulate(leaky, [OTHER])


def test_files_behind_the_template_count_by_content(folder):
    """The file, what it loads from its own folder, what is listed, and the versions of packages."""
    parts = folder / "cells" / "parts"
    parts.mkdir()
    (parts / "geometry.hoc").write_text('proc geometry() { soma { L = diam = 20 } }\n// see "../numbers.txt"\n')
    (folder / "cells" / "numbers.txt").write_text("1")
    (folder / "listed.txt").write_text("1")
    text = 'load_file("parts/geometry.hoc")\nbegintemplate Loads\npublic soma\ncreate soma\n'
    text += "proc init() { soma { L = 20  diam = 20  insert hh  insert pas } }\nendtemplate Loads\n"

    def edit(settings):
        template(text, "cells/loads.hoc", "Loads")(settings)
        settings["simulator"]["options"]["template"] |= {"files": ["listed.txt"], "packages": ["numpy", "neuron"]}
        options(regions=None, sites=None, record=None)(settings)
        settings["simulator"]["options"]["vary"] = [
            {"parameter": p, "unit": u, "regions": ["soma"], "mechanism": "hh", "name": n, "default": 0.1}
            for p, u, n in (("gna", "S/cm2", "gnabar"), ("gl", "S/cm2", "gl"))
        ]
        settings["parameters"] = [p for p in settings["parameters"] if p["name"] in ("gna", "gl")]

    loads = study(folder, edit)
    spec = loads.dataset_spec("train")["simulation"]
    assert set(spec["files"]) == {"cells/loads.hoc", "cells/parts/geometry.hoc", "listed.txt"}
    assert spec["packages"]["numpy"] == np.__version__
    assert simulate(loads, [[0.12, 3e-4]]).max() > 0
    (parts / "geometry.hoc").write_text("proc geometry() { }\n")
    file_sha256.cache_clear()
    other = study(folder, edit).dataset_spec("train")["simulation"]
    assert {k for k in spec if canonical(spec[k]) != canonical(other[k])} == {"files"}


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (options(colour=1), ["simulator.options", "'colour' is unknown", "vary"]),
        (options(site={"soma": "soma(0.5)"}), ["'site' is unknown", "did you mean 'sites'?"]),
        (options(template=None), ["missing 'template'", "my_cell.hoc"]),
        (options(vary=None), ["missing 'vary'"]),
        (options(vary=[]), ["simulator.options.vary is []", "list with an entry"]),
        (options(template={"path": "cells/no.hoc", "name": "MyCell"}), ["cells/no.hoc does not exist", "Snakemake"]),
        (options(template={"path": "cells/my_cell.hoc"}), ["template.name is None", "MyCell"]),
        (options(template={"path": "cells/my_cell.hoc", "nam": "A"}), ["'nam' is unknown", "did you mean 'name'?"]),
        (options(template={"path": "cells/my_cell.hoc", "name": "MyCel"}), ["no begintemplate 'MyCel'", "'MyCell'?"]),
        (options(template={"path": "edited.yaml", "name": "A"}), ["edited.yaml is neither .hoc nor .py"]),
        (options(template={"path": "cells/my_cell.hoc", "name": "MyCell", "files": ["x.swc"]}), ["files: x.swc does"]),
        (template(FUNCTION, "cells/a.py", "make_cel"), ["no function 'make_cel'", "did you mean 'make_cell'?"]),
        (template("def make(:", "cells/a.py", "make"), ["cells/a.py is not Python"]),
        (varied(0, mechanism="hh2"), ["vary[0].mechanism: 'hh2' is no mechanism", "did you mean 'hh'?"]),
        (template(HOC.format("Unknown", "soma { insert nosuch }"), name="Unknown"),
         ["cells/other.hoc, line 4: insert 'nosuch' is no mechanism", "simulator.options.mechanisms"]),
        (template(HOC.format("Vector", INSERTED), name="Vector"), ["NEURON has a Vector of its own"]),
        (options(mechanisms="cells/mod"), ["mechanisms is 'cells/mod'", "list of names"]),
        (options(mechanisms=["cells/mod"]), ["mechanisms: cells/mod does not exist"]),
        (options(mechanisms=["cells"]), ["the folder cells holds no .mod file"]),
        (options(mechanisms=["cells/my_cell.hoc"]), ["cells/my_cell.hoc is no .mod file"]),
        (options(regions={"soma": []}), ["regions.soma is empty"]),
        (options(regions=["soma"]), ["regions is ['soma']", "section lists"]),
        (options(regions={"soma": "soma(0.5)"}), ["regions.soma: 'soma(0.5)'", "dend[3]"]),
        (options(sites={"soma": "soma"}), ["sites.soma is 'soma'", "from 0 to 1"]),
        (options(sites={"soma": "soma(1.5)"}), ["sites.soma is 'soma(1.5)'", "from 0 to 1"]),
        (options(sites={"soma": "soma(0.5)"}), ["simulator.options.record", "no site 'tip'", "it has soma"]),
        (options(celsius="warm"), ["celsius is 'warm'", "degC"]),
        (options(v_init="-6e1"), ["simulator.options.v_init: YAML reads -6e1 as text"]),
        (options(max_segment_um=20), ["'max_segment_um' is unknown"]),
        (varied(0, nam="g"), ["vary[0]", "'nam' is unknown", "did you mean 'name'?"]),
        (varied(0, default=None), ["vary[0]: missing 'default'"]),
        (varied(0, default=True), ["vary[0].default is True", "a number"]),
        (varied(0, regions=["some"]), ["vary[0].regions: 'some' is unknown", "did you mean 'soma'?"]),
        (varied(0, regions=[]), ["vary[0].regions is empty"]),
        (varied(0, mechanism=None), ["vary[0].name is 'gnabar'", "cm or Ra", "mechanism"]),
        (varied(1, unit="S/cm2"), ["vary[1].unit is 'S/cm2'", "a factor"]),
        (varied(1, relative="yes"), ["vary[1].relative is 'yes'", "true or false"]),
        (varied(1, parameter="gna"), ["vary[1]: 'gna' is named twice"]),
        (varied(1, regions=["soma"]), ["gna (entry 0) and gna_dend (entry 1) both set hh.gnabar of soma"]),
        (varied(0, unit="pS/um2"), ["parameter gna: unit is 'S/cm2'", "'pS/um2'"]),
        (varied(0, parameter="gnabar"), ["the simulator has no 'gna'", "gnabar, gna_dend"]),
        (lambda s: s["simulator"].update(fixed={"g": 1}), ["has no parameter 'g'", "cm"]),
        (lambda s: s["simulator"].update(engine="compiled"), ["no engine 'compiled'", "neuron"]),
        (lambda s: s["protocol"]["stimulus"].update(site="axon"), ["no site 'axon'", "soma, tip"]),
        (lambda s: s["datasets"]["train"].update(options={"v_init": "a"}), ["datasets.train", "v_init is 'a'"]),
    ],
)  # fmt: skip
def test_refused_when_the_study_is_read(folder, edit, words):
    with pytest.raises(ConfigError) as caught:
        study(folder, edit)
    for word in words:
        assert word in str(caught.value)


def test_mod_files_are_those_of_the_study(folder):
    """Two of one name; and a dataset with others, for which nothing would be compiled."""
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "leak.mod").write_text(LEAK)
    with pytest.raises(ConfigError, match=r"a/leak.mod and b/leak.mod have one name"):
        study(folder, options(mechanisms=["a", "b/leak.mod"]))
    with pytest.raises(ConfigError, match=r"datasets.test.options: changes the MOD files"):
        study(folder, lambda s: s["datasets"]["test"].update(options={"mechanisms": ["a"]}))


def test_a_dataset_may_have_another_cell_with_the_same_parameters(folder):
    shorter = (folder / "cells" / "my_cell.hoc").read_text().replace("MyCell", "Shorter").replace("L = 200", "L = 50")
    (folder / "cells" / "shorter.hoc").write_text(shorter)

    def other_cell(settings):
        other = {"template": {"path": "cells/shorter.hoc", "name": "Shorter"}}
        settings["datasets"]["shorter"] = {"n": 10, "options": other}

    both = study(folder, other_cell)
    traces = [
        make_simulator(both.scenario(d)).simulate(np.array([DEFAULT]), [0])["voltage"] for d in ("test", "shorter")
    ]
    assert np.abs(traces[1] - traces[0]).max() > 1
    files = [set(both.dataset_spec(d)["simulation"]["files"]) for d in ("test", "shorter")]
    assert files == [{"cells/my_cell.hoc"}, {"cells/shorter.hoc"}]

    def other_unit(settings):
        entries = copy.deepcopy(settings["simulator"]["options"]["vary"])
        entries[0]["unit"] = "mS/cm2"
        settings["datasets"]["shorter"] = {"n": 10, "options": {"vary": entries}}

    with pytest.raises(ConfigError, match="parameter gna: unit is 'S/cm2'; the simulator takes 'mS/cm2'"):
        study(folder, other_unit)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (
            options(regions={"soma": "soma", "dendrites": "dends"}),
            ["regions.dendrites", "'dends'", "did you mean 'dend'", "dend (2 sections)"],
        ),
        (
            options(regions={"soma": "soma", "dendrites": "dend[2]"}),
            ["regions.dendrites: dend[2]", "2 sections, counted"],
        ),
        (options(sites={"soma": "soma(0.5)", "tip": "dend(1)"}), ["sites.tip: dend has 2 sections", "dend[0](1)"]),
        (options(sites={"soma": "soma(0.5)", "tip": "axon(1)"}), ["sites.tip", "'axon'", "it has soma, dend"]),
        (
            options(regions={"soma": "soma", "dendrites": ["dend", "soma"]}),
            ["gna and gna_dend both set hh.gnabar", "soma(0.5)", "disjoint"],
        ),
        (
            varied(0, mechanism="fastpas"),
            ["vary[0].mechanism: 'fastpas' is not inserted in MyCell[", "pas, hh", "na_ion"],
        ),
        (varied(0, name="gnaba"), ["vary[0].name: hh has no parameter 'gnaba'", "gnabar, gkbar, gl, el"]),
        (varied(0, name="gna"), ["vary[0].name: hh has no parameter 'gna'", "RANGE"]),
        (varied(3, unit="nF/cm2"), ["vary[3].unit is 'nF/cm2'", "cm in 'uF/cm2'"]),
        (varied(3, mechanism="na_ion", name="ena", unit="V"), ["vary[3].unit is 'V'", "'mV'"]),
        (
            template(HOC.format("NoInit", "soma { L = $1 }"), name="NoInit"),
            ["NoInit of cells/other.hoc cannot be made", "without arguments"],
        ),
        (template(HOC.format("MyCell", INSERTED), name="MyCell"), ["another MyCell was loaded"]),
        (
            template("def make(h, gid):\n    pass\n", "cells/a.py", "make"),
            ["make of cells/a.py cannot be made: TypeError", "NEURON's h"],
        ),
        (template("def make(h):\n    h.Section()\n", "cells/a.py", "make"), ["make of cells/a.py gave no sections"]),
        (
            template("import nosuch\ndef make(h):\n    pass\n", "cells/a.py", "make"),
            ["template.path is cells/a.py", "a.py cannot be imported: ModuleNotFoundError", "line 1"],
        ),
    ],
)
def test_refused_when_the_cell_is_built(folder, edit, words):
    simulate(study(folder), [DEFAULT])
    wrong = study(folder, edit)
    with pytest.raises(ConfigError) as caught:
        simulate(wrong, [DEFAULT])
    for word in words:
        assert word in str(caught.value)


def test_a_wrong_cell_ends_the_job_with_one_message(folder, capfd):
    """Not one traceback for every simulation, and no shard without a trace."""
    wrong = study(folder, varied(0, mechanism="fastpas"))
    with pytest.raises(ConfigError, match=r"vary\[0\]\.mechanism: 'fastpas' is not inserted"):
        simulate_shard.run(wrong.shard_spec("train", "00000"), folder / "00000.h5", threads=2)
    assert not (folder / "00000.h5").exists()
    assert "Traceback" not in capfd.readouterr().err


def test_an_ion_and_the_axial_resistance_are_varied_too(folder):
    def edit(settings):
        varied(2, mechanism="na_ion", name="ena", unit="mV", default=50)(settings)
        varied(3, name="Ra", unit="Ohm*cm", default=100)(settings)
        settings["parameters"][2] |= {"unit": "mV", "low": 40, "high": 60}

    both = study(folder, edit)
    first = simulate(both, [[0.12, 1, 50]])[0]
    np.testing.assert_allclose(first, by_hand(*DEFAULT, cm=1.0), atol=1e-4)
    lower = simulate(both, [[0.12, 1, 40]])[0]
    assert first[:, 0].max() - lower[:, 0].max() > 5
    fixed = study(folder, lambda s: (edit(s), s["simulator"].update(fixed={"cm": 300})))
    np.testing.assert_allclose(simulate(fixed, [[0.12, 1, 50]])[0], by_hand(*DEFAULT, cm=1.0, ra=300), atol=1e-4)


def test_hnn_core_switches_no_constants_for_others(root, monkeypatch):
    """hnn-core's import switches NEURON to its old physical constants; the template's cell leaves it as it was."""
    monkeypatch.chdir(root)
    h = interpreter()
    before = h.nrnunit_use_legacy()
    hnn = load_study("hnn_l5_pyramidal", "smoke", 3)
    simulator = make_simulator(hnn.scenario("train"))
    cell = cable_cell.standing_cell(simulator)
    assert h.nrnunit_use_legacy() == before
    (sections,) = cell.regions.values()
    assert len(sections) == 9
    # defaults in the study are what hnn-core sets
    for entry in simulator.template.vary:
        own = {value for _, value in cell.carriers[entry.parameter]}
        assert entry.relative or own == {entry.default}, entry.parameter
    h_current = [value for _, value in cell.carriers["gh_factor"]]
    assert max(h_current) > 100 * min(h_current), "it has a gradient"


def test_hnn_cores_cell_is_the_one_that_hnn_core_builds(root, monkeypatch):
    """Its own cell, changed by hand and driven by the same step, at defaults and at other values."""
    monkeypatch.chdir(root)
    spec = load_study("hnn_l5_pyramidal", "smoke", 3).scenario("train")
    spec["protocol"] = {"dt_ms": 0.025, "duration_ms": 60, "stimulus": spec["protocol"]["stimulus"] | {"start_ms": 10}}
    simulator = make_simulator(spec)
    default = np.array([simulator.parameters[name].default for name in simulator.free])
    other = default * [1.5, 0.7, 2, 0.5, 1.2, 1.8]
    found = simulator.simulate(np.stack([default, other]), np.zeros(2, np.uint64))["voltage"]
    assert found[:, 400:, 0].max() > 20, "it spikes"
    cable_cell.take_down()

    from hnn_core import pyramidal

    h = interpreter()
    cell = pyramidal("L5_pyramidal")
    cell.build()
    parts = cell._nrn_sections
    clamp = h.IClamp(parts["soma"](0.5))
    t = np.arange(2400) * 0.025
    clamp.dur = 1e9
    wave, times = h.Vector(np.where(t >= 10, 2.0, 0.0)), h.Vector(t)
    wave.play(clamp._ref_amp, times, True)
    records = [h.Vector().record(parts[name](0.5)._ref_v) for name in ("soma", "apical_tuft")]
    h.celsius, h.dt, h.secondorder = 37, 0.025, 0
    for trace, (gna_soma, gna_dend, gk_soma, gca, gkm, factor) in zip(found, (default, other), strict=True):
        for name, section in parts.items():
            section.gnabar_hh2 = gna_soma if name == "soma" else gna_dend
            section.gbar_ca, section.gbar_km = gca, gkm
            for segment in section:
                segment.gbar_ar *= factor
        parts["soma"].gkbar_hh2 = gk_soma
        h.finitialize(-72)
        h.ParallelContext().psolve(60)
        np.testing.assert_allclose(trace, np.stack([np.array(r)[:2400] for r in records], axis=1), atol=1e-3)
