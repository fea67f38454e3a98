"""Why jobs of a dry run would run, in words."""

import json

import pytest

from neuroinverse.provenance import canonical, differences
from neuroinverse.reasons import changes

OLD, NEW = "0" * 64, "1" * 64


def parameter(**spec) -> str:
    """As Snakemake keeps it."""
    return repr(canonical(spec))


def test_differences_name_their_place():
    a = {"x": {"y": [1, 2], "z": 3}, "only": 1, "table": [{"name": "g", "low": 0}, {"name": "h", "low": 1}]}
    b = {"x": {"y": [1, 5], "z": 3}, "table": [{"name": "h", "low": 2}, {"name": "g", "low": 0}]}
    assert list(differences(a, b)) == [("only", 1, "nothing"), ("table.h.low", 1, 2), ("x.y.1", 2, 5)]
    assert list(differences(a, json.loads(json.dumps(a)))) == []


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ({"hyperparameters": {"epochs": 2}}, {"hyperparameters": {"epochs": 3}}, ["hyperparameters.epochs: 2 → 3"]),
        ({"files": {"cells/my.swc": OLD}}, {"files": {"cells/my.swc": NEW}}, ["files.cells/my.swc changed"]),
        ({"evaluations": [{"sha256": OLD}]}, {"evaluations": [{"sha256": NEW}]}, ["evaluations.0 changed"]),
        ({"a": 1}, {"a": 1, "files": {"x.csv": NEW}}, ['files: {"x.csv": "11']),
        ({"a": 1, "b": 2}, {"a": 1}, ["b: 2 is gone"]),
        ({"neuron": "8.2.7"}, {"neuron": "9.0.2"}, ["neuron: 8.2.7 → 9.0.2"]),
        ({c: 1 for c in "abcdefgh"}, {c: 2 for c in "abcdefgh"}, [*(f"{c}: 1 → 2" for c in "abcdef"), "and 2 more"]),
    ],
)
def test_changes_in_words(before, now, words):
    found = changes([parameter(**before)], [parameter(**now)])
    assert len(found) == len(words) and all(f.startswith(w) for f, w in zip(found, words, strict=True))


def test_parameters_that_are_no_specification():
    assert changes(["4000"], ["5000"]) == ["4000 → 5000"]
    # one that changes beside a specification says nothing of its own
    assert changes(["'results/x'", parameter(n=1)], ["'results/y'", parameter(n=2)]) == ["n: 1 → 2"]
