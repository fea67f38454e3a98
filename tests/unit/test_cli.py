"""The command line: verbs, modules, rules and versions fit each other, and errors are one line."""

import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from tiny import SPACE, make_dataset, make_model, metadata

from neuroinverse import cli
from neuroinverse.study import VERSIONS

REPO = Path(__file__).parents[2]
RULES = "\n".join(path.read_text() for path in sorted((REPO / "workflow" / "rules").glob("*.smk")))
# called by people; every other verb is a step of the workflow
TOOLS = {"posterior", "predict", "inspect", "check", "plan"}


@pytest.mark.parametrize("verb", cli.VERBS)
def test_a_verb_is_a_module_whose_run_takes_the_arguments(verb):
    run = importlib.import_module(f"neuroinverse.stages.{verb}").run
    parameters = inspect.signature(run).parameters
    parser = cli.make_parser()._subparsers._group_actions[0].choices[verb]
    actions = {a.dest: a for a in parser._actions if a.dest != "help"}
    assert set(actions) == set(parameters)
    for name, parameter in parameters.items():
        needed = actions[name].required
        optional = parameter.default is not inspect.Parameter.empty
        assert needed != optional or actions[name].default is not None, f"{verb}: {name}"
        if optional and actions[name].default is not None:
            assert actions[name].default == parameter.default, f"{verb}: two defaults for {name}"


def test_every_module_in_stages_is_a_verb():
    modules = {p.stem for p in (REPO / "workflow/src/neuroinverse/stages").glob("*.py")} - {"__init__"}
    assert modules == set(cli.VERBS)


def test_rules_call_their_verb():
    bodies = dict(part.partition(":")[::2] for part in re.split(r"^rule ", RULES, flags=re.MULTILINE)[1:])
    called = {
        rule: re.findall(r"^    shell:\n        \"neuroinverse (\w+) ", body, re.MULTILINE)
        for rule, body in bodies.items()
    }
    # target rules call nothing
    called = {rule: verbs for rule, verbs in called.items() if "    output:" in bodies[rule]}
    assert called == {verb: [verb] for verb in cli.VERBS if verb not in TOOLS}
    assert not re.search(r"^    (run|script):", RULES, re.MULTILINE)


def test_versions_cover_every_step():
    assert set(VERSIONS) == set(cli.VERBS) - TOOLS
    assert all(isinstance(v, int) and v >= 1 for v in VERSIONS.values())


def test_help_names_every_verb(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert all(verb in printed for verb in cli.VERBS)


@pytest.mark.parametrize("arguments", [[], ["simulate"], ["simulate_shard", "--spec", "{", "--output", "x"]])
def test_wrong_usage_is_told_from_failure(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert "usage: neuroinverse" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "missing.h5"], "missing.h5: does not exist"),
        (["inspect", "missing.keras"], "missing.keras does not exist"),
        (["check", "no_such_study"], "no_such_study"),
        (["check", "wrong.yaml"], "wrong.yaml: "),
        (
            ["index_dataset", "--spec", "DATASET", "--shards", "nowhere", "--output", "x.h5"],
            "nowhere/00000.h5: does not exist",
        ),
    ],
)
def test_errors_of_the_user_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("wrong.yaml").write_text("titel: x\n")
    spec = json.dumps({"simulation": {"parameters": SPACE.to_table()}, "n": 4, "shard_size": 2})
    assert cli.main([spec if a == "DATASET" else a for a in arguments]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and message in printed.err
    assert len(printed.err.splitlines()) == 1 and not printed.out
    assert not Path("x.h5").exists()


def test_the_installed_command_returns_the_status(tmp_path):
    command = [Path(sys.executable).with_name("neuroinverse"), "inspect", "missing.h5"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("error: missing.h5") and "Traceback" not in done.stderr


def test_inspect_shard_and_dataset(tmp_path, capsys):
    data = make_dataset(tmp_path, n=6, shard_size=4, failed=(1,))
    assert cli.main(["inspect", str(data.path)]) == 0
    printed = capsys.readouterr().out
    assert "n: 6" in printed and "shards: 2" in printed and '"not finite": 1' in printed
    assert cli.main(["inspect", str(data.shards[0])]) == 0
    printed = capsys.readouterr().out
    assert (
        "n: 4" in printed and '"unit": "mV"' in printed and "study: tiny" in printed and "content_sha256: " in printed
    )
    content = data.shards[0].read_bytes()
    place = content.index(np.float32(data.signal("voltage", 0, 1)[0, 3]).tobytes())
    data.shards[0].write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert cli.main(["inspect", str(data.shards[0])]) == 1
    assert "altered" in capsys.readouterr().err


def test_inspect_estimator(tmp_path, capsys):
    from neuroinverse.estimators import cnn
    from neuroinverse.estimators.modelfile import save_model

    save_model(cnn.to_physical_model(make_model(), SPACE), metadata(), tmp_path / "model.keras")
    assert cli.main(["inspect", str(tmp_path / "model.keras")]) == 0
    printed = capsys.readouterr().out
    assert '"name": "tau"' in printed and '"high": 100.0' in printed and "n_train: 30" in printed


def test_check_prints_what_datasets_change(root, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(REPO)
    content = yaml.safe_load((root / "config" / "studies" / "hh_point_2.yaml").read_text())
    content["datasets"]["narrow"] = {"n": 30, "ranges": {"gnabar": [0.1, 0.2]}}
    content["datasets"]["grid"] = {"n": 16, "sampling": "grid"}
    content["estimators"]["cnn"]["transfer"] = ["narrow"]
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(content))
    assert cli.main(["check", str(tmp_path / "more.yaml"), "--scale", "smoke"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("narrow: 30 simulations" in line and line.endswith(", gnabar 0.1 to 0.2 S/cm2") for line in lines)
    assert any("grid: 16 simulations" in line and line.endswith(", grid, not for the report") for line in lines)


def test_check_prints_sizes_and_layers(monkeypatch, capsys):
    monkeypatch.chdir(REPO)
    assert cli.main(["check", "hh_point_2", "--scale", "smoke"]) == 0
    printed = capsys.readouterr().out
    assert (
        "gnabar: 0.06 to 0.24 S/cm2" in printed
        and "train: 60 simulations in 3 shards" in printed
        and "flatten" in printed
    )
