"""Python files of the user's own: imported as Python would run them in their folder, beside others."""

import dataclasses
import multiprocessing
import pickle
import random
import sys

import pytest

from neuroinverse.errors import ConfigError
from neuroinverse.simulators import user_module
from neuroinverse.simulators.user_module import load, neighbours


@pytest.fixture(autouse=True)
def own_folder(monkeypatch, tmp_path):
    """Each test has a working directory; what others imported from theirs is laid aside."""
    monkeypatch.chdir(tmp_path)
    user_module._enter((str(tmp_path / "elsewhere"),))
    yield
    user_module._enter((str(tmp_path / "elsewhere"),))


def write(folder, **sources):
    """Writes modules into a folder; returns it. Two underscores stand for a folder below."""
    for name, source in sources.items():
        file = folder.joinpath(*name.split("__")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    return folder


def test_a_dataclass_whose_annotations_are_text(tmp_path):
    write(
        tmp_path,
        cell="from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import ClassVar\n"
        "@dataclass\nclass P:\n    kind: ClassVar[str] = 'x'\n    gain: float = 2.5\n",
    )
    module = load(tmp_path / "cell.py", "simulator.path")
    assert module.P(3.0).gain == 3.0 and [f.name for f in dataclasses.fields(module.P)] == ["gain"]
    assert load(tmp_path / "cell.py", "simulator.path") is module, "a class is the same whoever asks for it"


def test_neighbours_of_all_kinds(tmp_path):
    folder = write(
        tmp_path / "us",
        cell="import first\nfrom lib.core import Core\nfrom lib import extra as e\n"
        "def later():\n    import lazy\n    return lazy.VALUE\n"
        "def dynamic():\n    import importlib\n    return importlib.import_module('named').VALUE\n",
        first="import second\nVALUE = second.VALUE + 1\n",
        second="import math\nVALUE = 10\n",
        lazy="VALUE = 7\n",
        named="VALUE = 8\n",
        unused="VALUE = 9\n",
        lib__core="from .below import X\nfrom . import extra\nclass Core:\n    x = X\n",
        lib__below="X = 5\n",
        lib__extra="Y = 6\n",
    )
    module = load(folder / "cell.py", "simulator.path")
    assert (module.first.VALUE, module.Core.x, module.e.Y, module.later(), module.dynamic()) == (11, 5, 6, 7, 8)
    found = neighbours(folder / "cell.py", "simulator.path")
    assert list(found) == ["first", "lazy", "lib.below", "lib.core", "lib.extra", "named", "second"]
    assert found["lib.below"] == folder / "lib" / "below.py"


@pytest.mark.parametrize("init", [None, "", "from .cell import A\nX = 1\n"])
def test_relative_imports(tmp_path, init):
    folder = tmp_path / "models" / "passive"
    write(folder, cell="from .helper import A\nfrom ..shared import B\nclass C:\n    pass\n", helper="A = 1")
    write(tmp_path / "models", shared="B = 2\n")
    packages = () if init is None else (folder / "__init__.py", folder.parent / "__init__.py")
    for file, text in zip(packages, (init, ""), strict=False):
        file.write_text(text)
    module = load(folder / "cell.py", "simulator.path")
    assert (module.A, module.B) == (1, 2)
    assert pickle.loads(pickle.dumps(module.C)) is module.C, "there is one of it"
    files = set(neighbours(folder / "cell.py", "simulator.path").values())
    assert files == {folder / "helper.py", folder.parent / "shared.py", *packages}


def test_folders_do_not_see_each_other(tmp_path):
    """Files and neighbours of one name in two folders, also where a neighbour is imported when a function is called."""
    for name, value in (("a", 1), ("b", 2)):
        write(
            tmp_path / name,
            cell="import helper\ndef value():\n    import late\n    return helper.VALUE, late.VALUE\n",
            helper=f"VALUE = {value}\n",
            late=f"VALUE = {10 * value}\n",
        )
    a, b = (load(tmp_path / name / "cell.py", "simulator.path") for name in "ab")
    assert b.value() == (2, 20)
    assert load(tmp_path / "a" / "cell.py", "simulator.path") is a
    assert a.value() == (1, 10)
    assert str(tmp_path / "b") not in sys.path and load(tmp_path / "b" / "cell.py", "simulator.path") is b


def test_what_changes_is_imported_anew(tmp_path):
    write(tmp_path, cell="import helper\nVALUE = helper.VALUE\n", helper="VALUE = 1\n")
    assert load(tmp_path / "cell.py", "simulator.path").VALUE == 1
    # of the same size within the same second: compiled code that Python keeps would pass for it
    write(tmp_path, helper="VALUE = 2\n")
    assert load(tmp_path / "cell.py", "simulator.path").VALUE == 2
    assert not (tmp_path / "__pycache__").exists()


def test_functions_travel_to_other_processes(tmp_path):
    write(
        tmp_path / "us",
        pooled="from helper import add\ndef f(x):\n    return add(x)\n",
        helper="def add(x):\n    return x + 1\n",
    )
    module = load(tmp_path / "us" / "pooled.py", "simulator.path")
    assert pickle.loads(pickle.dumps(module.f)) is module.f
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(module.f, [1, 2]) == [2, 3]


@pytest.mark.parametrize("name", ["random", "numpy", "neuron", "queue"])
def test_a_neighbour_of_an_installed_name_is_refused(tmp_path, name):
    folder = write(tmp_path / "us", cell=f"def f():\n    import {name}\n", **{name: "VALUE = 1\n"})
    with pytest.raises(
        ConfigError, match=rf"simulator\.path: us/{name}\.py has the name of .*{name}.*; rename the file"
    ):
        load(folder / "cell.py", "simulator.path")


def test_a_file_that_nobody_imports_may_have_any_name(tmp_path):
    folder = write(
        tmp_path / "us", cell="import random\nimport queue\nVALUE = random.random()\n", test="1 / 0", code="1 / 0"
    )
    assert 0 <= load(folder / "cell.py", "simulator.path").VALUE < 1
    import code

    assert "us" not in code.__file__, "what is installed keeps its name"


def test_the_file_itself_may_have_an_installed_name(tmp_path):
    folder = write(tmp_path / "us", random="import random\nVALUE = random.Random(3).random()\n")
    assert random.Random(3).random() == load(folder / "random.py", "simulator.path").VALUE
    assert sys.modules["random"] is random
    assert load(folder / "random.py", "simulator.path") is load(folder / "random.py", "simulator.path")
    relative = write(tmp_path / "json", cell="from .helper import A\n", helper="A = 1\n")
    with pytest.raises(ConfigError, match=r"json/cell\.py imports relatively, .* package 'json'.*rename the folder"):
        load(relative / "cell.py", "simulator.path")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "x = 1\nimport nosuch.part\n",
            "ModuleNotFoundError: No module named 'nosuch' (us/cell.py, line 2). Install nosuch",
        ),
        ("x = 1\n\ndef f(:\n", "SyntaxError: invalid syntax (us/cell.py, line 3)"),
        ("import helper\nhelper.fail()\n", "ZeroDivisionError: division by zero (us/helper.py, line 2)"),
        ("import math\nmath.sqrt(-1)\n", "ValueError: math domain error (us/cell.py, line 2)"),
        (
            "import sys\nsys.exit('no licence')\n",
            "SystemExit: no licence (us/cell.py, line 2)",
        ),
        ("open('data.txt')\n", "(us/cell.py, line 1). It stands beside the module, and relative names count from"),
        ("import json\njson.loads('{')\n", "JSONDecodeError: Expecting property name"),
        ("class E(BaseException): pass\nraise E('first\\nsecond')\n", "E: first second (us/cell.py, line 2)"),
        ("import broken\n", "SyntaxError: '(' was never closed (us/broken.py, line 1)"),
        ("from __future__ import nothing\n", "SyntaxError: future feature nothing is not defined (us/cell.py, line 1)"),
        ("x = '\x00'\n", "SyntaxError: source code string cannot contain null bytes"),
    ],
)
def test_errors_of_the_file_are_one_message(tmp_path, source, said):
    folder = write(tmp_path / "us", cell=source, helper="def fail():\n    return 1 / 0\n", broken="x = (1\n")
    (folder / "data.txt").write_text("1")
    with pytest.raises(ConfigError) as caught:
        load(folder / "cell.py", "simulator.path")
    message = str(caught.value)
    assert message.startswith("simulator.path: us/cell.py cannot be imported: ") and said in message, message
    assert "\n" not in message and "cell" not in sys.modules


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(
        ConfigError, match=r"simulator\.path: us/none\.py does not exist; it counts from where .*" + tmp_path.name
    ):
        load(tmp_path.relative_to(tmp_path) / "us" / "none.py", "simulator.path")


def test_the_process_stays_as_it_is(tmp_path, capfd):
    write(
        tmp_path / "us",
        cell="import os, ctypes\nos.chdir(os.path.dirname(__file__))\nprint('from Python')\n"
        "os.system('echo from a program')\n",
    )
    load(tmp_path / "us" / "cell.py", "simulator.path")
    assert user_module.Path.cwd() == tmp_path
    print("the answer", flush=True)
    out, err = capfd.readouterr()
    assert out == "the answer\n" and "from Python" in err and "from a program" in err


def test_numba_keeps_what_it_compiled_by_all_sources(tmp_path, monkeypatch):
    """Its cache looks for a change in the file of the cached function, not in those that this one calls."""
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    folders = []
    for value in (1, 2):
        monkeypatch.setenv("NUMBA_CACHE_DIR", "")
        write(tmp_path, cell="import helper\n", helper=f"VALUE = {value}\n")
        load(tmp_path / "cell.py", "simulator.path")
        folders.append(user_module.os.environ["NUMBA_CACHE_DIR"])
    assert len(set(folders)) == 2 and all(folder.startswith(str(tmp_path)) for folder in folders)
