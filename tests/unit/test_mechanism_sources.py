"""What every MOD file of the package keeps to, read from its text."""

import re

import pytest

from neuroinverse.simulators import MECHANISMS


def written_globals(source: str) -> set[str]:
    """Variables of a MOD file that all instances share and that its code assigns."""
    source = re.sub(r"COMMENT.*?ENDCOMMENT", "", source, flags=re.S)
    source = re.sub(r"(?m)^TITLE.*$|:.*$", "", source)
    blocks = {"": source}
    # blocks of the file by name, nested braces with their block
    for match in re.finditer(r"(?m)^(\w+)[^{}\n]*\{", source):
        depth, end = 1, match.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(source[end], 0)
            end += 1
        blocks[match[1]] = blocks.get(match[1], "") + source[match.end() : end - 1] + "\n"
        blocks[""] = blocks[""].replace(source[match.start() : end], "")

    def declared(keyword, text):
        return {name for line in re.findall(rf"\b{keyword}\b([^\n]*)", text) for name in re.findall(r"\w+", line)}

    constants = set(re.findall(r"(?m)^\s*(\w+)", blocks.pop("PARAMETER", "")))
    neuron = blocks.pop("NEURON")
    assert "THREADSAFE" in neuron
    # a LOCAL outside of all blocks is one variable for all instances; so is a parameter that is no RANGE
    shared = declared("GLOBAL", neuron) | declared("LOCAL", blocks.pop("")) | (constants - declared("RANGE", neuron))
    for name in ("UNITS", "ASSIGNED", "STATE"):
        blocks.pop(name, None)
    return {name for name in shared if re.search(rf"\b{name}\s*=(?!=)", "".join(blocks.values()))}


@pytest.mark.parametrize("file", sorted(MECHANISMS.glob("*.mod")), ids=lambda file: file.name)
def test_no_mechanism_writes_what_all_its_instances_share(file):
    """Threads and CoreNEURON would make a trace depend on its neighbours."""
    assert written_globals(file.read_text()) == set()


@pytest.mark.parametrize(
    ("declared", "outside", "code", "written"),
    [
        ("GLOBAL a", "ASSIGNED {\n  a\n}", "a = 1", {"a"}),
        ("GLOBAL tau, a", "ASSIGNED {\n  tau (ms) a\n}", "if (v == 1) {\n  a = 1\n}", {"a"}),
        ("RANGE tau", "PARAMETER {\n  a = 0 (mV)\n}", "tau = a  a = 1", {"a"}),
        ("RANGE tau", "LOCAL a", "a = 1", {"a"}),
        ("GLOBAL a", "PARAMETER {\n  a = 0\n}", "b = a : a = 1", set()),
        ("GLOBAL a", "PARAMETER {\n  a = 0\n}", "if (a == 1) {\n  b = 1\n}", set()),
        ("RANGE a", "PARAMETER {\n  a = 0\n}", "a = 1", set()),
    ],
)
def test_a_written_global_is_found(declared, outside, code, written):
    source = f"NEURON {{\n  SUFFIX x\n  {declared}\n  THREADSAFE\n}}\n{outside}\nPROCEDURE p(v) {{\n  {code}\n}}\n"
    assert written_globals(source) == written
