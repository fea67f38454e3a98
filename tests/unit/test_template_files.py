"""Files behind a cell template, found in its text: they enter the specification, or the template is refused."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuroinverse.config import load_study
from neuroinverse.errors import ConfigError
from neuroinverse.provenance import canonical, file_sha256
from neuroinverse.simulators import mod_files, template_files, template_settings

SWC = "1 1 0 0 0 10 -1\n2 3 0 10 0 1 1\n3 3 0 60 0 1 2\n"
HOC = "begintemplate Cell\npublic soma\ncreate soma\nproc init() {{ {0} }}\nendtemplate Cell\n"
# as BluePyOpt writes templates: folder and name are two arguments
BPO = """
{load_file("stdrun.hoc")}
{load_file("import3d.hoc")}
begintemplate bpo_cell
  public init, soma, dend, all
  create soma[1], dend[1]
  objref this, all
  strdef path
proc init() {localobj morph, import
  all = new SectionList()
  forall delete_section()
  sprint(path, "%s/%s", $s2, $s3)
  morph = new Import3d_SWC_read()
  morph.input(path)
  import = new Import3d_GUI(morph, 0)
  import.instantiate(this)
  forsec all { insert pas  g_pas = 1e-4  e_pas = -65 }
}
endtemplate bpo_cell
"""
WRAP = 'def make(h):\n    h.load_file("bpo.hoc")\n    return h.bpo_cell(0, "morph", "cell.swc")\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in ("cells/morph/cell.swc", "cells/morph/other.asc", "cells/deep/er/x.swc", "shared/y.swc", "cells/z.swc"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(SWC)
    return tmp_path


def found(text, suffix=".hoc", **others):
    """What stands behind a template of this text, beside the text itself."""
    path = Path(f"cells/template{suffix}")
    path.write_text(text)
    for name, content in others.items():
        Path("cells", name.replace("__", ".")).write_text(content)
    files = template_files.behind(path, "template")
    assert files[0] == path
    return {str(f) for f in files[1:]}


CELL, X, Z = "cells/morph/cell.swc", "cells/deep/er/x.swc", "cells/z.swc"


@pytest.mark.parametrize(
    ("text", "suffix", "files"),
    [
        ('file.ropen("morph/cell.swc")', ".hoc", {CELL}),
        ('strdef d, n  d = "morph"  n = "cell.swc"', ".hoc", {CELL}),
        ('d = "morph/"\nsprint(path, "%s%s", d, "cell.swc")', ".hoc", {CELL}),
        ('n = "cell"\nsf.append(n, ".swc")', ".hoc", set()),
        ('d = "morph" n = "cell"\nstrcat(n, ".swc")', ".hoc", {CELL}),
        ('sprint(path, "morph/%s.swc", "cell")', ".hoc", {CELL}),
        ('sprint(path, "morph/cel%c.swc", 108)', ".hoc", {CELL}),
        ('sprint(path, "%s%s.swc", "ce", "ll")', ".hoc", {Z}),
        ('os.path.join("deep", "er", "x.swc")', ".py", {X}),
        ('Path(__file__).parent / "morph" / "cell.swc"', ".py", {CELL}),
        ('Path(__file__).parent.parent / "shared" / "y.swc"', ".py", {"cells/../shared/y.swc"}),
        ('here.parents[1] / "shared" / "y.swc"', ".py", {"cells/../shared/y.swc"}),
        ('f"{here}/morph/{name}.swc"', ".py", {CELL}),
        ('Path("morph").glob("*.asc")', ".py", {"cells/morph/other.asc", CELL}),
        ('os.listdir("morph")', ".py", {"cells/morph/other.asc", CELL}),
        ('"/morph" + "/cell.swc"', ".py", {CELL}),
        ('h.load_file("stdrun.hoc")', ".py", set()),
        ('x = "/"  y = "."  z = ""', ".py", set()),
        ('path.with_suffix(".swc")', ".py", set()),
    ],
)
def test_names_in_quotes(folder, text, suffix, files):
    assert found(text, suffix) == files


def test_files_that_are_named_by_files(folder):
    """Loaded HOC, a settings file that names the morphology, modules beside a Python template."""
    hoc = found('load_file("a.hoc")', a__hoc='{xopen("b.hoc")}', b__hoc='x = "morph"\ny = "settings.json"',
                settings__json='{"morphology": "cell.swc"}')  # fmt: skip
    assert hoc == {"cells/a.hoc", "cells/b.hoc", "cells/settings.json", CELL}
    python = found("import parts\n", ".py", parts__py='import more\nNAME = "z.swc"\n', more__py='A = "a.hoc"\n')
    assert python == {"cells/parts.py", "cells/more.py", Z, "cells/a.hoc", "cells/b.hoc", "cells/settings.json", CELL}
    # two that name each other
    assert found('"b.hoc"', b__hoc='load_file("template.hoc")') == {"cells/b.hoc"}


def options(template, **more):
    vary = [{"parameter": "gl", "unit": "S/cm2", "regions": ["soma"], "mechanism": "pas", "name": "g", "default": 1e-4}]
    return {"template": template, "vary": vary, **more}


@pytest.mark.parametrize(
    ("suffix", "body", "words"),
    [
        (".hoc", "r = new Import3d_SWC_read()  r.input($s1)", ["line 4 reads a morphology (Import3d_SWC_read"]),
        (".hoc", "f.ropen($s1)", ["line 4 reads a file (ropen"]),
        (".hoc", "load_file(name)", ["reads a file (load_file"]),
        (".hoc", "xopen($s1)", ["reads a file (xopen"]),
        (".py", "    open(name).read()", ["line 2 reads a file"]),
        (".py", "    np.loadtxt(sys.argv[1])", ["reads a file (np.loadtxt"]),
        (".py", "    h.load_file(name)", ["reads a file (.load_file"]),
        (".py", "    import morphio", ["reads a morphology (import morphio"]),
    ],
)
def test_reading_a_file_that_is_not_known(folder, suffix, body, words):
    path, text = Path(f"cells/reads{suffix}"), HOC.format(body) if suffix == ".hoc" else f"def Cell(h):\n{body}\n"
    path.write_text(text)
    template = {"path": str(path), "name": "Cell"}
    with pytest.raises(ConfigError) as caught:
        template_settings.read(options(template))
    for word in [*words, "template.files: [...]", str(path)]:
        assert word in str(caught.value)
    for files in ([Z], []):
        read = template_settings.read(options(template | {"files": files})).files
        assert [str(f) for f in read[1:]] == files


@pytest.mark.parametrize(
    ("suffix", "body"),
    [
        (".hoc", 'load_file("stdrun.hoc")'),
        (".hoc", "// xopen($s1)"),
        (".hoc", 'print "open( it"'),
        (".py", "    open('log.txt', 'w').write('made')"),
        (".py", "    # open(name)\n    h.load_file('stdrun.hoc')"),
    ],
)
def test_templates_that_read_nothing(folder, suffix, body):
    path = Path(f"cells/reads{suffix}")
    path.write_text(HOC.format(body) if suffix == ".hoc" else f"def Cell(h):\n{body}\n")
    assert template_settings.read(options({"path": str(path), "name": "Cell"})).files == (path,)


def test_a_changed_morphology_changes_the_specification(folder):
    """Folder and name of the file are two texts, as in the templates that BluePyOpt writes; nothing else changes."""
    Path("cells/wrap.py").write_text(WRAP)
    Path("cells/bpo.hoc").write_text(BPO)
    study = """
title: t
question: q?
simulator:
  name: cell_template
  options:
    template: {path: cells/wrap.py, name: make}
    sites: {soma: "soma[0](0.5)"}
    vary: [{parameter: gl, unit: S/cm2, regions: [all], mechanism: pas, name: g, default: 1.0e-4}]
parameters: [{name: gl, unit: S/cm2, low: 5.0e-5, high: 2.0e-4}]
protocol: {dt_ms: 0.1, duration_ms: 10, stimulus: {kind: step, start_ms: 1, stop_ms: 5, amplitude: 0.1, unit: nA}}
datasets: {shard_size: 4, train: {n: 4}, calibration: {n: 10}, test: {n: 4}}
estimators:
  cnn:
    kind: cnn
    signal: voltage
    features: [standardize: {}]
    hyperparameters: {conv_filter: [4], conv_kernel: 3, pool_len: 3, fc_dims: [4], epochs: 1}
    folds: 2
scales: {smoke: {}, demo: {}, paper: {}}
"""
    Path("bpo.yaml").write_text(study)
    first = load_study(Path("bpo.yaml"), "smoke", 3).dataset_spec("train")["simulation"]
    assert set(first["files"]) == {"cells/wrap.py", "cells/bpo.hoc", CELL}
    Path(CELL).write_text(SWC.replace("10 -1", "20 -1"))
    file_sha256.cache_clear()
    second = load_study(Path("bpo.yaml"), "smoke", 3).dataset_spec("train")["simulation"]
    assert {k for k in first if canonical(first[k]) != canonical(second[k])} == {"files"}
    Path(CELL).rename("elsewhere.swc")
    with pytest.raises(ConfigError, match=r"cells/bpo.hoc, line 13 reads a morphology"):
        load_study(Path("bpo.yaml"), "smoke", 3)


@pytest.mark.parametrize(
    ("text", "suffix", "stated"),
    [
        ("celsius = 34\nproc init() { v_init = -7.5e1 }", ".hoc", [("celsius", 34, 1), ("v_init", -75, 2)]),
        ("// celsius = 34\n/* v_init = 1 */ if (celsius == 34) {}", ".hoc", []),
        ("a.celsius = 34  my_celsius = 3  celsius = 24 + 10", ".hoc", []),
        ("celsius=34 v_init=-75", ".hoc", [("celsius", 34, 1), ("v_init", -75, 1)]),
        ("celsius = 3\n# h.celsius = 34\nh.celsius = 35\n", ".py", [("celsius", 35, 3)]),
        ("h('celsius = 34')", ".py", [("celsius", 34, 1)]),
        ("self.v_init = -75", ".py", []),
    ],
)
def test_what_the_text_states(folder, text, suffix, stated):
    path = Path(f"cells/stated{suffix}")
    path.write_text(text)
    expected = [(key, value, f"{path}, line {line}") for key, value, line in stated]
    assert list(template_files.stated([path])) == expected


PIECES = (
    *("morph", "cell", ".swc", "/", "%s", "{x}", "*", '"', "'", "..", "celsius = 34 ", "insert ", "\n", "//", "/*"),
    *("NEURON {", "SUFFIX a", "}", "{", "TABLE", "VERBATIM", "COMMENT", "PARAMETER {", "é", "\0", "INCLUDE"),
)


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=25).map("".join))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_read(folder, text):
    """To the end, and again to the same."""
    path = Path("cells/any.hoc")
    path.write_text(text, errors="replace")
    first = template_files.behind(path, "template")
    assert first == template_files.behind(path, "template") and all(f.is_file() for f in first)
    list(template_files.stated([path]))
    mod_files.read(path)


@pytest.mark.parametrize("call", ["np.random.default_rng()", "RandomState()", "random.SystemRandom()"])
def test_a_generator_without_a_seed_is_refused(folder, call):
    Path("cells/random.py").write_text(f"def make(h):\n    rng = {call}\n")
    with pytest.raises(ConfigError, match=r"cells/random.py, line 2: \w+\(\) without a seed"):
        template_files.defined(Path("cells/random.py"), "template")
    Path("cells/random.py").write_text("def make(h):\n    rng = np.random.default_rng(3)\n")
    assert template_files.defined(Path("cells/random.py"), "template") == ["make"]


@pytest.mark.parametrize(
    ("body", "revision"), [("soma { insert pas }", 0), ("ns = new NetStim()", 1), ("x = 3^((celsius-6.3)/10)", 1)]
)
def test_cells_that_are_simulated_otherwise_than_before_are_simulated_anew(folder, body, revision):
    Path("cells/cell.hoc").write_text(HOC.format(body))
    read = template_settings.read(options({"path": "cells/cell.hoc", "name": "Cell"}))
    assert template_settings.revision(read) == revision
