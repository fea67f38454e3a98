"""What keeps compiled loops right: numba looks at the file of a function alone, and sums in its own type."""

import ast
from pathlib import Path

import pytest

import neuroinverse

PACKAGE = Path(neuroinverse.__file__).parent
LOOPS = sorted(f for f in PACKAGE.rglob("*.py") if "compiled import jit" in f.read_text())
OUTSIDE = {"math", "operator", "numpy", "numba", "llvmlite"}
# numba adds up float32 in float32: np.sum of 2^25 ones is 2^24, and the variance around a large mean is another
REDUCTIONS = {"sum", "mean", "var", "std", "prod", "average", "dot", "nansum", "nanmean"}


def test_there_are_loops():
    assert {f.name for f in LOOPS} >= {"brunel_loop.py", "cable_loop.py", "pospischil_loop.py"}
    others = [f.name for f in PACKAGE.rglob("*.py") if "import numba" in f.read_text() and f.name != "compiled.py"]
    assert others == [], "compiled functions go by `compiled.jit`, where these rules are held"


@pytest.mark.parametrize("file", LOOPS, ids=lambda f: f.name)
def test_a_loop_is_one_file(file):
    """A function or a number of another file may change, and numba goes on with the code that it compiled before."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "neuroinverse.simulators.compiled":
            assert [alias.name for alias in node.names] == ["jit"]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            assert {name.partition(".")[0] for name in names} <= OUTSIDE, ast.unparse(node)


@pytest.mark.parametrize("file", LOOPS, ids=lambda f: f.name)
def test_no_reduction_in_single_precision(file):
    tree = ast.parse(file.read_text())
    called = {n.func.attr for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)}
    assert called & REDUCTIONS == set()
    # with fastmath NaN is a number like others
    assert not [k for k in ast.walk(tree) if isinstance(k, ast.keyword) and k.arg == "fastmath"]
