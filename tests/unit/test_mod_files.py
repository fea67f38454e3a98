"""MOD files read as text: what they declare, and what is refused before anything is compiled."""

from pathlib import Path

import pytest

from neuroinverse.errors import ConfigError
from neuroinverse.simulators import mod_files
from neuroinverse.simulators.neuron_messages import cause

FULL = """TITLE SUFFIX wrong, of a title
COMMENT
NEURON { SUFFIX alsowrong }
ENDCOMMENT
NEURON {
    SUFFIX it's : SUFFIX no
    USEION ca READ eca, cai WRITE ica VALENCE 2
    USEION na WRITE nai, ina
    NONSPECIFIC_CURRENT i
    RANGE g, vh
    RANGE seen ? , none
    GLOBAL shared
    RANDOM noise
}
PARAMETER { g = 1e-4 (S/cm2) <0, 1e9>
  vh = -35 (mV)   shared = 1.e-3   q = 2 FROM 0 TO 3 }
ASSIGNED { v (mV) i (mA/cm2) seen last count top }
STATE { m FROM 0 TO 1 }
INITIAL { rates(v)  seen = 0  m = 0 }
BREAKPOINT {
    SOLVE st METHOD cnexp
    if (v > top) { top = v }
    count = count + 1
    g = 3
    VERBATIM
    /* drand48() */ last = rand() + time(NULL); // random()
    ENDVERBATIM
    i = g*normrand(0, 1)
}
DERIVATIVE st { m' = -m }
PROCEDURE rates(v (mV)) { TABLE minf FROM -100 TO 100 WITH 200
    last = 1 }
""".replace("it's", "mine")


def mod(folder, text, name="a.mod"):
    path = Path(folder, name)
    path.write_bytes(text.encode())
    return mod_files.read(path)


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_what_a_file_declares(tmp_path, ends):
    read = mod(tmp_path, FULL.replace("\n", ends))
    assert (read.name, read.kind, read.line) == ("mine", "SUFFIX", 6)
    assert read.parameters == {"g": 15, "vh": 16, "shared": 16, "q": 16}
    assert read.ranges == {"g", "vh", "seen"}
    assert read.ions == {"ca": {"ica"}, "na": {"nai", "ina"}}
    assert read.tables and read.randoms == ["noise"]
    assert read.draws == {"normrand": 28}
    assert read.unseeded == {"rand": 26, "time": 26}
    assert "g" in read.assigned and "top" not in read.assigned
    assert read.kept == ["count", "top"]


def test_what_is_included_counts(tmp_path):
    (tmp_path / "head.inc").write_text("NEURON { POINT_PROCESS Syn RANGE g }\n")
    read = mod(tmp_path, 'INCLUDE "head.inc"\nPARAMETER { g = 1 }\n')
    assert (read.name, read.kind, read.ranges) == ("Syn", "POINT_PROCESS", {"g"})


def test_broken_files_are_left_to_the_compiler(tmp_path):
    for text in ("", "NEURON {", "}}}{", "NEURON { SUFFIX }", "COMMENT", "VERBATIM {", "\0é\x01"):
        mod(tmp_path, text)


def suffix(name, kind="SUFFIX"):
    return f"NEURON {{\n  {kind} {name}\n  RANGE g }}\nPARAMETER {{ g = 1 }}\n"


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ([suffix("hh")], ["a.mod, line 2: SUFFIX hh", "mechanism of NEURON's own", "my_hh"]),
        ([suffix("pas")], ["SUFFIX pas"]),
        ([suffix("extracellular")], ["SUFFIX extracellular"]),
        ([suffix("na_ion")], ["SUFFIX na_ion"]),
        ([suffix("ExpSyn", "POINT_PROCESS")], ["POINT_PROCESS ExpSyn", "POINT_PROCESS my_ExpSyn"]),
        ([suffix("IClamp", "POINT_PROCESS")], ["IClamp"]),
        ([suffix("NetStim", "ARTIFICIAL_CELL")], ["ARTIFICIAL_CELL NetStim"]),
        ([suffix("Vector", "POINT_PROCESS")], ["a word of NEURON's own"]),
        ([suffix("area")], ["a word of NEURON's own"]),
        ([suffix("mine"), suffix("mine")], ["b.mod, line 2: SUFFIX mine stands in", "a.mod too", "leave out one"]),
        ([suffix("mine"), suffix("mine", "POINT_PROCESS")], ["b.mod, line 2: POINT_PROCESS mine stands in"]),
        ([suffix("mine"), suffix("Mine"), suffix("nothing"), suffix("nothing")], []),
    ],
)
def test_names_that_neuron_has(tmp_path, texts, words):
    mods = [mod(tmp_path, text, f"{name}.mod") for name, text in zip("abcd", texts, strict=False)]
    if not words:
        mod_files.check(mods, "simulator.options.mechanisms")
        return
    with pytest.raises(ConfigError) as caught:
        mod_files.check(mods, "simulator.options.mechanisms")
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vh", []),
        ("g", ["a.mod sets g itself in line 24", "vary what it is computed from"]),
        ("shared", ["no parameter 'shared'", "line 16 makes one for all; write RANGE shared", "it has g, vh"]),
        ("seen", ["no parameter 'seen'", "it has g, vh"]),
        ("gg", ["no parameter 'gg'"]),
    ],
)
def test_what_can_be_varied(tmp_path, name, words):
    read = mod(tmp_path, FULL)
    if not words:
        mod_files.check_varied([read], "vary[0]", "mine", name)
        return
    with pytest.raises(ConfigError) as caught:
        mod_files.check_varied([read], "vary[0]", "mine", name)
    for word in words:
        assert word in str(caught.value)


def test_a_point_process_is_not_varied(tmp_path):
    with pytest.raises(ConfigError, match=r"vary\[0\].mechanism: Syn is a POINT_PROCESS"):
        mod_files.check_varied([mod(tmp_path, suffix("Syn", "POINT_PROCESS"))], "vary[0]", "Syn", "g")


@pytest.mark.parametrize(
    ("printed", "error", "said"),
    [
        ("NEURON: nosuch is not a MECHANISM\n in bad.hoc near line 4\n proc init()", None,
         "nosuch is not a MECHANISM (bad.hoc, line 4)"),
        ("NEURON: init not enough arguments\n in bad.hoc near line 0\n ^", RuntimeError("hocobj_call error"),
         "init not enough arguments"),
        ("", RuntimeError("hocobj_call error: hoc_execerror: x"), "RuntimeError: hocobj_call error: hoc_execerror: x"),
        ("dlopen failed - \n", None, "dlopen failed -"),
        ("Traceback\n  File x\nNameError: no a\nNEURON: Python Callback failed\n near line 0",
         RuntimeError("hocobj_call"), "Python Callback failed; NameError: no a"),
        ("", None, "NEURON gave no reason"),
    ],
)  # fmt: skip
def test_the_cause_in_what_neuron_prints(printed, error, said):
    assert cause([printed], error) == said
