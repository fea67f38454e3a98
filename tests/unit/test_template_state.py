"""Cells of the user's own that would make a simulation depend on more than its parameters and its seed.

Each is simulated right, checked against NEURON alone or an integral by hand, or refused with the reason.
"""

import importlib.util
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from neuroinverse.errors import ConfigError, NeuroinverseError
from neuroinverse.simulators import cable_cell, make_simulator, neuron_state
from neuroinverse.simulators.neuron_batch import interpreter
from neuroinverse.stages import compile_mechanisms

UNITS = "UNITS { (mV) = (millivolt)  (mA) = (milliamp)  (S) = (siemens) (mM) = (milli/liter) }\n"
KX = """
NEURON {{ SUFFIX {0}  USEION k READ ek WRITE ik  RANGE gbar, vh }}
PARAMETER {{ gbar = 0.005 (S/cm2)  vh = -35 (mV) }}
ASSIGNED {{ v (mV)  ek (mV)  ik (mA/cm2)  ninf }}
STATE {{ n }}
INITIAL {{ rates(v)  n = ninf }}
BREAKPOINT {{ SOLVE st METHOD cnexp  ik = gbar*n*(v-ek) }}
DERIVATIVE st {{ rates(v)  n' = (ninf-n)/3 }}
PROCEDURE rates(v (mV)) {{ {1}
  ninf = 1/(1+exp(-(v-vh)/8)) }}
"""
MODS = {
    "tabled": KX.format("tabled", "TABLE ninf FROM -120 TO 100 WITH 221"),
    "depends": KX.format("depends", "TABLE ninf DEPEND vh FROM -120 TO 100 WITH 221"),
    "exact": KX.format("exact", ""),
    "channel": """
NEURON { SUFFIX channel  USEION ca READ eca WRITE ica }
ASSIGNED { v (mV)  eca (mV)  ica (mA/cm2) }
BREAKPOINT { ica = 2e-4/(1+exp(-(v+40)/6))*(v-eca) }
""",
    "pool": """
NEURON { SUFFIX pool  USEION ca READ ica WRITE cai }
ASSIGNED { ica }
STATE { cai }
INITIAL { cai = 1e-4 }
BREAKPOINT { SOLVE st METHOD cnexp }
DERIVATIVE st { cai' = -500*ica - (cai-1e-4)/80 }
""",
    "writes_e": """
NEURON { SUFFIX writes_e  USEION k WRITE ek }
ASSIGNED { ek (mV) }
INITIAL { ek = -90 }
BREAKPOINT { ek = -90 }
""",
    "noisy": """
NEURON { SUFFIX noisy  NONSPECIFIC_CURRENT i }
ASSIGNED { v (mV)  i (mA/cm2)  x }
INITIAL { x = 0 }
BEFORE BREAKPOINT { x = normrand(0, 1) + exprand(1) + scop_random() }
BREAKPOINT { i = 1e-4*(v+65) + 0.002*x }
""",
    "keeps": """
NEURON { SUFFIX keeps  NONSPECIFIC_CURRENT i }
ASSIGNED { v (mV)  i (mA/cm2)  top (mV) }
BREAKPOINT { if (v + 65 > top) { top = v + 65 }  i = 1e-4*top/20*(v+65) }
""",
    "clamps": """
NEURON { SUFFIX clamps  NONSPECIFIC_CURRENT i  RANGE g }
PARAMETER { g = 1e-4 (S/cm2) }
ASSIGNED { v (mV)  i (mA/cm2) }
INITIAL { limit() }
BREAKPOINT { i = g*(v+65) }
PROCEDURE limit() { if (g > 5e-4) { g = 5e-4 } }
""",
    "by_c": """
NEURON { SUFFIX by_c  NONSPECIFIC_CURRENT i }
ASSIGNED { v (mV)  i (mA/cm2) x }
INITIAL { x = 0 }
BREAKPOINT {
VERBATIM
    x = (double) rand() / RAND_MAX;
ENDVERBATIM
    i = 1e-4*(v+65)*x }
""",
    "plastic": """
NEURON { POINT_PROCESS Plastic  NONSPECIFIC_CURRENT i  RANGE g }
ASSIGNED { v (mV)  i (nA)  g (uS) }
INITIAL { g = 0 }
BREAKPOINT { i = g*v }
NET_RECEIVE(w) { g = g + w   w = 0.8*w }
""",
}
BALL = "soma { L=20 diam=20 insert pas g_pas=1e-4 e_pas=-65 %s }"
NETSTIM = (
    "insert hh syn = new ExpSyn(0.5) syn.tau = 3 } %s = new NetStim() ns.interval = 5 ns.number = 1000 ns.start = 0 "
    "ns.noise = 1 nc = new NetCon(ns, syn, 0, 1, 0.002) {"
)
GL = {"parameter": "gl", "unit": "S/cm2", "regions": ["soma"], "mechanism": "pas", "name": "g", "default": 1e-4}
numbers = iter(range(1000))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """All mechanisms in one library; it, MOD files, temporary files and NEURON stand where a path has other letters."""
    folder = tmp_path_factory.mktemp("mod") / "müller" / "my project"
    folder.mkdir(parents=True)
    for name, text in MODS.items():
        (folder / f"{name}-1 é.mod").write_text(UNITS + text)
    made, package = folder / "libnrnmech.so", folder / "neuron"
    package.symlink_to(Path(importlib.util.find_spec("neuron").origin).parent)
    with pytest.MonkeyPatch.context() as patch:
        # nrnivmodl finds it there
        patch.setenv("PYTHONPATH", str(folder))
        patch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(origin=str(package / "__init__.py")))
        patch.setattr(tempfile, "tempdir", str(folder))
        compile_mechanisms.run(made, sorted(folder.glob("*.mod")))
    return made


@pytest.fixture(autouse=True)
def nothing_stands():
    yield
    cable_cell.take_down()


@pytest.fixture
def cell(library, tmp_path, monkeypatch):
    """A simulator of a cell from what its soma holds, or from a whole file."""
    monkeypatch.chdir(tmp_path)

    def make(body, vary=(GL,), declared="create soma", public="soma", before="", python=None, amplitude=0.1, **options):
        name = f"Cell{next(numbers)}"
        if python is None:
            path = tmp_path / f"{name}.hoc"
            text = f"begintemplate {name}\npublic {public}\n{declared}\nproc init() {{ {body} }}\nendtemplate {name}\n"
            path.write_text(before + text)
        else:
            path, name = tmp_path / f"{name.lower()}.py", "make"
            path.write_text(python)
        folder = library.parent
        return make_simulator(
            {
                "simulator": {
                    "name": "cell_template",
                    "options": {
                        "template": {"path": path.name, "name": name},
                        "mechanisms": [str(f) for f in sorted(folder.glob("*.mod"))],
                        "vary": [dict(v) for v in vary],
                        **options,
                    },
                },
                "parameters": [{"name": v["parameter"]} for v in vary],
                "protocol": {
                    "dt_ms": 0.025,
                    "duration_ms": 50,
                    "stimulus": {"kind": "step", "start_ms": 5, "stop_ms": 45, "amplitude": amplitude, "unit": "nA"},
                },
                "master_seed": 0,
            },
            library=library,
        )

    return make


def voltages(simulator, *theta, seeds=None):
    seeds = np.zeros(len(theta), np.uint64) if seeds is None else np.array(seeds, np.uint64)
    return simulator.simulate(np.array(theta, float), seeds)["voltage"]


def half(parameter, region, mechanism, **changes):
    about = {"parameter": parameter, "unit": "mV", "regions": [region], "mechanism": mechanism}
    return about | {"name": "vh", "default": -35.0} | changes


@pytest.mark.parametrize("mechanism", ["tabled", "depends"])
def test_a_table_holds_no_parameter(cell, mechanism):
    """The cell is that of the mechanism without a table, in any order, and each section has its own value."""
    two = BALL.replace(
        "%s }", "insert {0} usetable_{0} = 1 }} connect dend(0), soma(1) dend {{ L=200 diam=2 nseg=5 insert pas "
    )
    two += "g_pas=1e-4 e_pas=-65 insert {0} gbar_{0}=0.002 }}"
    made = {
        name: cell(
            two.replace("soma {", "soma {{", 1).format(name),
            [half("vs", "soma", name), half("vd", "dend", name)],
            declared="create soma, dend",
            public="soma, dend",
        )
        for name in (mechanism, "exact")
    }
    theta = [[-35, -35], [-35, -60], [-60, -35]]
    found = voltages(made[mechanism], *theta)
    np.testing.assert_array_equal(voltages(made[mechanism], *theta[::-1])[::-1], found)
    np.testing.assert_array_equal(found, voltages(made["exact"], *theta))
    # of NEURON alone, with usetable = 0
    np.testing.assert_allclose(found.max(axis=1), [-57.0267, -64.7389, -65.0], atol=1e-3)


ECA = {"unit": "mV", "regions": ["soma"], "mechanism": "ca_ion", "name": "eca", "default": 120.0, "parameter": "eca"}


def test_a_reversal_potential_that_follows_concentrations_is_refused(cell):
    with pytest.raises(ConfigError, match=r"vary\[0\].name: in Cell\d+\[0\].soma a mechanism reads or writes .* of ca"):
        voltages(cell(BALL % "insert channel insert pool", [ECA]), [60], [100])
    # 200 um2 per mV: without the pool NEURON keeps the value
    free = voltages(cell(BALL % "insert channel", [ECA]), [60], [140])
    assert free[1].max() - free[0].max() > 10
    held = BALL % 'insert channel insert pool ion_style("ca_ion", 3, 1, 0, 0, 0)'
    np.testing.assert_array_equal(voltages(cell(held, [ECA]), [60], [140]), free)
    ek = ECA | {"mechanism": "k_ion", "name": "ek", "default": -77.0}
    with pytest.raises(ConfigError, match=r"eca was set to -80 in .* and is -90 after the simulation"):
        voltages(cell(BALL % "insert hh insert writes_e", [ek]), [-80])


def test_a_value_that_its_mechanism_replaces_is_refused(cell):
    """Also only at values that it does not like."""
    g = GL | {"mechanism": "clamps"}
    within = cell(BALL % "insert clamps", [g])
    first = voltages(within, [1e-4], [3e-4])
    assert first[0].max() > first[1].max() + 1
    with pytest.raises(ConfigError, match=r"gl was set to 0.001 in .*soma\(0.5\) and is 0.0005"):
        voltages(within, [1e-4], [1e-3])


def test_a_factor_on_nothing_is_refused(cell):
    factor = {"parameter": "x", "regions": ["soma"], "mechanism": "hh", "name": "gnabar", "relative": True}
    with pytest.raises(ConfigError, match=r"vary\[0\]: hh.gnabar is 0 in all of soma"):
        voltages(cell(BALL % "insert hh gnabar_hh = 0", [factor]), [1])


def seeded(simulator):
    """Noise comes from the seed: the same again, in another place of a batch, and with a cell that is built anew."""
    v = voltages(simulator, *[[1e-4]] * 3, seeds=[7, 8, 7])
    np.testing.assert_array_equal(v[2], v[0])
    assert np.abs(v[1] - v[0]).max() > 1e-3
    cable_cell.take_down()
    np.testing.assert_array_equal(voltages(simulator, [1e-4], seeds=[8])[0], v[1])
    return v


@pytest.mark.parametrize(
    "own",
    ["", "r = new Random(5) r.negexp(1) ns.noiseFromRandom(r)",
     "r = new Random() r.MCellRan4(3) r.negexp(1) ns.noiseFromRandom(r)",
     "r = new Random() r.Random123(4, 5, 6) r.negexp(1) ns.noiseFromRandom(r)"],
)  # fmt: skip
def test_noise_of_a_netstim_comes_from_the_seed(cell, own):
    body = BALL % (NETSTIM % "ns") + f" {own}"
    simulator = cell(body, declared="create soma\nobjref ns, syn, nc, r", amplitude=0.0, celsius=6.3)
    if "MCellRan4" in own and neuron_state.version() >= 9:
        with pytest.raises(ConfigError, match=r"Random\.Random123 generator is required"):
            voltages(simulator, [1e-4])
        return
    seeded(simulator)


def test_two_netstims_are_independent(cell):
    """Two of one kind do not fire together; and none fires before its start."""
    one = BALL % (NETSTIM % "ns")
    two = one + " " + NETSTIM.partition("} ")[2].replace("{", "").replace("syn,", "syn2,").replace("ns", "ms") % "ms"
    body = two.replace("soma {", "soma { syn2 = new ExpSyn(0.5)", 1).replace("insert hh", "", 1)
    simulator = cell(body, declared="create soma\nobjref ns, ms, syn, syn2, nc", amplitude=0.0)
    voltages(simulator, [1e-4])
    h, times = interpreter(), []
    stims = [o for o in (h.List("NetStim").o(i) for i in range(int(h.List("NetStim").count())))]
    assert len(stims) == 2
    for stim in stims:
        times.append(h.Vector())
        connection = h.NetCon(stim, None)
        connection.record(times[-1])
        h.finitialize(-65)
        h.ParallelContext().psolve(50)
        del connection
    first, second = (np.array(t) for t in times)
    assert len(first) and len(second) and not np.intersect1d(first, second).size


def test_noise_of_mod_files_comes_from_the_seed(cell):
    v = seeded(cell(BALL % "insert noisy", amplitude=0.0))
    # mean of the current: 0.002 (0 + 1 + 0.5) mA/cm2 over 2e-4 S/cm2 is -15 mV
    assert abs(v[:, 800:].mean() - (-65 - 15)) < 1.5


def test_noise_of_python_and_hoc_objects_comes_from_the_seed(cell):
    python = """
import numpy as np
import random

def make(h):
    soma = h.Section(name="soma")
    soma.L = soma.diam = 20
    soma.insert("pas")
    for segment in soma:
        segment.pas.e = -65
    source = h.Random()
    source.uniform(-66, -64)
    made = {"soma": soma, "source": source, "scale": 1 + random.random() + np.random.rand()}

    def start():
        soma.e_pas = source.repick() + made["scale"] * (random.random() + np.random.rand())

    made["handler"] = h.FInitializeHandler(start)
    return made
"""
    random.seed(1)
    np.random.seed(1)
    state = random.getstate(), np.random.get_state()[1].tolist()
    seeded(cell("", python=python, amplitude=0.0))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == state, "of whoever else draws from them"


def test_c_random_numbers_are_refused_where_they_are_used(cell):
    with pytest.raises(ConfigError, match=r"by_c-1 é.mod, line 8 calls C's rand\(\)"):
        voltages(cell(BALL % "insert by_c"), [1e-4])


@pytest.mark.parametrize(
    ("body", "declared", "words"),
    [
        (BALL % "insert keeps", "create soma", ["at soma is another", "keeps-1 é.mod: top"]),
        (
            BALL % "syn = new Plastic(0.5) } ns = new NetStim() ns.number = 3 ns.interval = 10 ns.start = 1 "
            "nc = new NetCon(ns, syn, 0, 1, 0.001) {",
            "create soma\nobjref ns, syn, nc",
            ["at soma is another", "outlives the initialisation"],
        ),
        (
            BALL % "" + ' fih = new FInitializeHandler("bump()", this)',
            "create soma\nobjref fih, this\nproc bump() { soma e_pas = e_pas + 1 }",
            ["at soma is another", "FInitializeHandler"],
        ),
    ],
)  # fmt: skip
def test_what_outlives_a_simulation_is_refused(cell, body, declared, words):
    with pytest.raises(ConfigError) as caught:
        voltages(cell(body, declared=declared), [1e-4], [2e-5])
    for word in words:
        assert word in str(caught.value)


# --- temperature and potential ---------------------------------------------------------------------------------------


def test_a_template_is_made_at_the_studys_temperature(cell):
    """The first cell of a process and the second; Q10 = 3 over 20 degrees is 9."""
    body = BALL % "insert hh" + " soma.gnabar_hh = 0.12*3^((celsius-6.3)/10)*(dt/0.025)"
    simulator = cell(body, celsius=26.3)
    for _ in range(2):
        first = voltages(simulator, [1e-4])
        assert cable_cell.standing_cell(simulator).sites["soma"].hh.gnabar == pytest.approx(1.08, rel=1e-9)
        cable_cell.take_down()
    np.testing.assert_array_equal(voltages(simulator, [1e-4]), first)


PYTHON = (
    "def make(h):\n    soma = h.Section(name='soma')\n    soma.insert('pas')\n    {}\n    return {{'soma': soma}}\n"
)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"before": "celsius = 34\n"}, ["simulator.options.celsius", "line 1 sets celsius = 34", "37 degC would hold"]),
        ({"before": "{v_init = -75}\n"}, ["simulator.options.v_init", "v_init = -75", "add v_init: -75"]),
        ({"more": " celsius = 24 + 10"}, ["sets celsius = 34", "add celsius: 34"]),
        ({"python": PYTHON.format("h.celsius = 34")}, ["line 4 sets celsius = 34"]),
        ({"python": PYTHON.format("setattr(h, 'celsius', 34)")}, ["sets celsius = 34"]),
        ({"python": PYTHON.format("h('v_init = -75')")}, ["sets v_init = -75"]),
        ({"handler": "celsius = 30 + 4"}, ["when", "is initialised or simulated it sets celsius = 34", "has 37"]),
        ({"handler": "forall v = 5 - 80"}, ["where it is initialised, sets v_init = -75", "add v_init: -75"]),
        ({"handler": "dt = 0.1/2"}, ["it sets dt = 0.05", "study has 0.025"]),
        ({"handler": 'cvode.event(20, "celsius = 30 + 4")'}, ["simulated it sets celsius = 34", "events"]),
    ],
)  # fmt: skip
def test_what_a_file_states_the_study_must_say(cell, made, words):
    made = dict(made)
    handler = made.pop("handler", None)
    body = BALL % "insert hh" + made.pop("more", "")
    declared = "create soma"
    if handler:
        body += ' cvode = new CVode() fih = new FInitializeHandler(0, "bump()", this)'
        declared += f"\nobjref fih, this, cvode\nproc bump() {{ {handler} }}"
    with pytest.raises(ConfigError) as caught:
        voltages(cell(body, declared=declared, **made), [1e-4])
    for word in words:
        assert word in str(caught.value)


def test_what_the_study_says_holds(cell, capsys):
    """With a warning where the file says otherwise; without one where both agree."""
    before, body = "celsius = 34\nv_init = -75\n", BALL % "insert hh"
    plain = voltages(cell(body, celsius=34, v_init=-75), [1e-4])
    assert plain[0, 0] == -75
    agreed = voltages(cell(body, before=before, celsius=34, v_init=-75), [1e-4])
    np.testing.assert_array_equal(agreed, plain)
    assert "warning" not in capsys.readouterr().err
    other = voltages(cell(body, before=before, celsius=20, v_init=-60), [1e-4])
    np.testing.assert_array_equal(other, voltages(cell(body, celsius=20, v_init=-60), [1e-4]))
    warned = capsys.readouterr().err
    assert "sets celsius = 34; the study's 20 holds" in warned and "sets v_init = -75; the study's -60" in warned


def test_sections_may_start_at_potentials_of_their_own(cell, capsys):
    """Where the study states v_init: NEURON's own exponential from -75 to -65 mV at 10 ms."""
    body = BALL % "" + ' fih = new FInitializeHandler(0, "start()", this)'
    declared = "create soma\nobjref fih, this\nproc start() { soma v = 5 - 80 }"
    v = voltages(cell(body, declared=declared, v_init=-65, amplitude=0.0), [1e-4])[0]
    assert v[0] == -75 and "at other potentials, -75 mV among them" in capsys.readouterr().err
    np.testing.assert_allclose(v[400], -65 - 10 * np.exp(-1), atol=0.02)


# --- cells that cannot be made ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("soma { L = $1 }", ["cannot be made: init not enough arguments", "without arguments"]),
        ('execerror("too", "bad")', ["cannot be made: too bad"]),
        ("missing()", ["cannot be made: missing undefined function"]),
        ('xopen("missing.hoc")', ["cannot be made: Can't open", "missing.hoc"]),
        ('{load_file("missing.hoc")}', ["cannot be made: Couldn't find: missing.hoc"]),
        ("soma { nseg = 0 }", ["cannot be made: nseg"]),
    ],
)
def test_the_cause_is_in_the_one_line(cell, body, words):
    """Twice: a process that has met the failure says the same again."""
    simulator = cell(body)
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            voltages(simulator, [1e-4])
        assert "\n" not in str(caught.value)
        for word in words:
            assert word in str(caught.value)


SYNTAX = """
import numpy as np
from neuroinverse.simulators import make_simulator
from neuroinverse.stages.simulate_shard import simulate_batch

vary = [{"parameter": "gl", "unit": "S/cm2", "regions": ["soma"], "mechanism": "pas", "name": "g", "default": 1e-4}]
stimulus = {"kind": "step", "start_ms": 0, "stop_ms": 1, "amplitude": 0, "unit": "nA"}
FILES = {"Bad": "a.hoc", "Good": "b.hoc"}
for name in ("Bad", "Bad", "Good"):
    simulator = make_simulator({
        "simulator": {"name": "cell_template", "options": {
            "vary": vary, "template": {"path": FILES[name], "name": name}}},
        "parameters": [{"name": "gl"}], "protocol": {"dt_ms": 0.5, "duration_ms": 1, "stimulus": stimulus},
        "master_seed": 0})
    try:
        print(simulate_batch(simulator, np.full((4, 1), 1e-4), np.zeros(4, np.uint64))[1])
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_a_file_that_cannot_be_parsed(tmp_path):
    """With its line; in a process of its own, since NEURON 8 does not recover from it."""
    text = "begintemplate {0}\npublic soma\ncreate soma\nproc init() {{ soma {{ {1}\nendtemplate {0}\n"
    (tmp_path / "a.hoc").write_text(text.format("Bad", "insert"))
    (tmp_path / "b.hoc").write_text(text.format("Good", "insert pas } }"))
    ran = subprocess.run([sys.executable, "-c", SYNTAX], cwd=tmp_path, capture_output=True, text=True)
    lines = ran.stdout.splitlines()
    assert ran.returncode == 0 and len(lines) == 3, ran.stdout + ran.stderr
    assert lines[0] == lines[1] and "ConfigError" in lines[0] and "cannot load a.hoc: syntax error (a.hoc, " in lines[0]
    assert ("go on in a new process" if neuron_state.version() < 9 else "[0 0 0 0]") in lines[2]


@pytest.mark.parametrize(
    ("python", "words"),
    [
        ("def make(h):\n    h.load_file('none.hoc')\n    return h.Nothing()\n", ["Couldn't find: none.hoc", "line 3"]),
        ("def make(h):\n    h.Section().insert('nosuch')\n", ["not a density mechanism name", "line 2"]),
        ("import sys\ndef make(h):\n    sys.exit(0)\n", ["cannot be made: SystemExit: 0", "line 3"]),
        ("def make(h, gid):\n    pass\n", ["cannot be made: TypeError", "'gid'"]),
        ("def make(h):\n    return 3\n", ["gave no sections"]),
        ("def make(h):\n    h.load_file('é.hoc')\n", ["'ascii' codec", "os.fsencode", "line 2"]),
    ],
)
def test_the_cause_in_a_python_template(cell, python, words):
    with pytest.raises(ConfigError) as caught:
        voltages(cell("", python=python), [1e-4])
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "head",
    ["def make(passive=False):", "def make(*, passive=False):", "def make(h=None, passive=False):",
     "def make(hoc, passive=False):"],
)  # fmt: skip
def test_a_python_template_is_not_given_h_for_a_setting_of_its_own(cell, head):
    """NEURON's h in the place of a flag would make another cell."""
    python = f"""
from neuron import h as neuron_h

{head}
    soma = neuron_h.Section(name="soma")
    soma.L = soma.diam = 20
    soma.insert("pas")
    soma.e_pas = -40 if passive else -65
    return {{"soma": soma}}
"""
    assert voltages(cell("", python=python, amplitude=0.0), [1e-4])[0, -1] == pytest.approx(-65, abs=1e-3)


def test_python_templates_find_their_neighbours(cell, tmp_path):
    """Modules beside them, dataclasses with text annotations."""
    (tmp_path / "made_of.py").write_text("SIZE = 20\n")
    python = """
from __future__ import annotations
from dataclasses import dataclass
from made_of import SIZE

@dataclass
class Made:
    soma: object
    size: float = SIZE

def make(h):
    soma = h.Section(name="soma")
    soma.L = soma.diam = SIZE
    soma.insert("pas")
    soma.e_pas, soma.g_pas = -65, 1e-4
    return Made(soma)
"""
    simulator = cell("", python=python)
    assert sorted(f.name for f in simulator.files())[-1] == "made_of.py"
    np.testing.assert_allclose(voltages(simulator, [2e-4]), voltages(cell(BALL % ""), [2e-4]), atol=1e-5)


def test_two_files_of_one_name_in_one_process(cell, tmp_path):
    """NEURON would take the first for the second without a word."""
    python = PYTHON.format("h.load_file('size_of_it.hoc'); soma.L = h.size_of_it()")
    (tmp_path / "size_of_it.hoc").write_text("func size_of_it() { return 20 }\n")
    voltages(cell("", python=python), [1e-4])
    cable_cell.take_down()
    (tmp_path / "size_of_it.hoc").write_text("func size_of_it() { return 30 }\n")
    with pytest.raises(ConfigError, match=r"another size_of_it.hoc than size_of_it.hoc was loaded in this process"):
        voltages(cell("", python=python), [1e-4])


def test_a_library_that_cannot_be_loaded(cell, tmp_path):
    """A damaged file; and mechanisms that another library of the process has."""
    simulator = cell(BALL % "")
    broken = tmp_path / "bröken lib.so"
    broken.write_text("no library")
    simulator.library = broken
    with pytest.raises(ConfigError, match=r"bröken lib.so: NEURON cannot load these .*remove the file"):
        voltages(simulator, [1e-4])
    (tmp_path / "tabled.mod").write_text(UNITS + MODS["tabled"])
    compile_mechanisms.run(tmp_path / "second.so", [tmp_path / "tabled.mod"])
    simulator.library = tmp_path / "second.so"
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"second.so: .*already exists: tabled.*rename SUFFIX .*tabled"):
            voltages(simulator, [1e-4])


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a.mod", "b.inc"], ["a.mod", "b.inc"]),
        (["k-v.mod", "k v.mod", "ü.mod", "x y.inc"], ["k_v.mod", "k_v_.mod", "_.mod", "x y.inc"]),
    ],
)
def test_mod_files_are_compiled_under_names_that_c_takes(files, names):
    assert compile_mechanisms._names([Path(f) for f in files]) == names


def test_a_folder_that_nrnivmodl_takes(monkeypatch):
    for path, plain in (("/tmp/a_b-1.2", True), ("/tmp/my project", False), ("/tmp/müller", False), ("/a$b", False)):
        assert compile_mechanisms.is_plain(path) == plain
    monkeypatch.setattr(compile_mechanisms, "is_plain", lambda path: False)
    with pytest.raises(NeuroinverseError, match="set TMPDIR to such a folder"):
        compile_mechanisms.plain_folder()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("NEURON { SUFFIX s1 RANGE g }\nPARAMETER { g = 1 }\nBREAKPOINT { g = (1 + }\n",
         "a b.mod, line 3: Illegal block"),
        ("NEURON { SUFFIX s3 }\nBREAKPOINT {\nVERBATIM\n int x = nosuch;\nENDVERBATIM\n}\n", "a b.mod: .nosuch. "),
    ],
)  # fmt: skip
def test_the_cause_of_a_failed_translation_is_in_the_last_line(tmp_path, text, words):
    (tmp_path / "a b.mod").write_text(text)
    with pytest.raises(NeuroinverseError) as caught:
        compile_mechanisms.run(tmp_path / "lib.so", [tmp_path / "a b.mod"])
    assert re.search(words, str(caught.value).splitlines()[-1])
