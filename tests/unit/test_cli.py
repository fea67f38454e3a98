"""The command line: verbs, modules, rules and versions fit each other, and errors are one line."""

import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny import SPACE

from neuroinverse import cli
from neuroinverse.study import VERSIONS

REPO = Path(__file__).parents[2]
RULES = "\n".join(path.read_text() for path in sorted((REPO / "workflow" / "rules").glob("*.smk")))
# called by people; every other verb is a step of the workflow


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
    assert called == {verb: [verb] for verb in cli.VERBS if verb not in cli.TOOLS}
    assert not re.search(r"^    (run|script):", RULES, re.MULTILINE)
    # a recording is where the user has it, in a folder with spaces for instance
    assert "{input.observation:q}" in RULES and "{input.observation}" not in RULES


def test_versions_cover_every_step():
    assert set(VERSIONS) == set(cli.VERBS) - set(cli.TOOLS)
    assert all(isinstance(v, int) and v >= 1 for v in VERSIONS.values())


def test_help_names_every_verb(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    verbs = [line.split()[0] for line in printed.splitlines() if re.match(r" {4}\w", line)]
    assert sorted(verbs) == sorted(cli.VERBS) and tuple(verbs[: len(cli.TOOLS)]) == cli.TOOLS


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
        (["inspect", "missing.keras"], "missing.keras: does not exist"),
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


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["inspekt", "x"], "did you mean 'inspect'?"),
        (["prdict"], "did you mean 'predict'?"),
        (["what"], "see --help"),
        (["predict", "--modle", "x"], "did you mean --model?"),
        (["predict", "--modle=x"], "did you mean --model?"),
        (["plan", "x", "--simulate", "3"], "it has --scale"),
    ],
)
def test_what_was_probably_meant(arguments, meant, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert meant in err and "Traceback" not in err


def test_a_shortened_option_is_no_typo(capsys):
    assert cli.main(["check", "no_such_study", "--sca", "demo"]) == 1
    assert "no_such_study" in capsys.readouterr().err


def test_versions_are_printed_without_their_packages(tmp_path):
    command = "import sys; from neuroinverse import cli\ntry: cli.main(['--version'])\nexcept SystemExit: pass\n"
    command += "print([m for m in ('neuron', 'keras', 'tensorflow', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    first, loaded = done.stdout.splitlines()
    assert re.fullmatch(
        r"neuroinverse \S+ \(revision .+\); neuron \d\S*, keras \d\S*, tensorflow \S+, snakemake \S+", first
    )
    assert loaded == "[]"


@pytest.mark.parametrize("arguments", [["check", "izhikevich"], ["plan"], ["plan", "izhikevich"], ["why"]])
def test_outside_the_clone_it_is_said_where_to_run(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 1
    err = capsys.readouterr().err
    assert f"there is no config/studies in {tmp_path}" in err and f"cd {REPO}" in err and len(err.splitlines()) == 1


def test_a_file_of_the_clone_is_found_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["predict", "--model", "docs/records", "--input", "traces.csv"]
    assert cli.main(arguments) == 1
    assert f"docs/records is in {REPO}: run there, or give its full path" in capsys.readouterr().err


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
