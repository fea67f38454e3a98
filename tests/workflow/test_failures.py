"""What goes wrong on purpose: simulators that fail, studies that cannot work, work that is interrupted or killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import decay
import numpy as np
import pandas as pd
import pytest
import yaml
from running import BIN, EDITED, REPO, STUDIES

from neuroinverse.estimators.modelfile import read_metadata
from neuroinverse.provenance import canonical
from neuroinverse.shards import NOT_FINITE, OK, RAISED, Dataset, verify_shard

# raises for some parameters, gives NaN for others, and dawdles where a file named slow stands
MOODY = """

class Moody(Decay):
    def simulate(self, theta, seeds):
        if Path("slow").exists():
            time.sleep(0.5)
        if (theta[:, 0] > 0.8).any():
            raise ArithmeticError("too fast")
        traces = super().simulate(theta, seeds)["decay"]
        traces[theta[:, 0] < 0.2] = np.nan
        return {"decay": traces}
"""


def expected_status(theta) -> np.ndarray:
    """Status that the simulator deserves, by theta of shape (n, 1)."""
    return np.select([theta[:, 0] > 0.8, theta[:, 0] < 0.2], [RAISED, NOT_FINITE], OK)


@pytest.fixture
def moody(fresh):
    """A folder with a study of a simulator of the user's own."""
    (fresh.path / "moody.py").write_text(decay.MODULE + MOODY)
    (fresh.path / "config" / "studies" / "moody.yaml").write_text(yaml.safe_dump(decay.study("moody.py", "Moody")))
    (fresh.path / "config" / "config.yaml").write_text("master_seed: 3\nstudies: {moody: smoke}\n")
    return fresh


def load(folder, monkeypatch):
    """The moody study; its simulator's path is relative to the folder."""
    monkeypatch.chdir(folder.path)
    return folder.study("moody")


def test_failing_simulations_cost_only_themselves(moody):
    moody.snakemake("results/moody/smoke/cnn/predictions.parquet")
    results = moody.results("moody")
    test = Dataset(results / "dataset" / "test.h5")
    for data in (test, Dataset(results / "dataset" / "train.h5")):
        status = expected_status(data.theta(0, data.n))
        assert set(status) == {OK, NOT_FINITE, RAISED}
        assert data.status(0, data.n).tolist() == status.tolist()
        traces = data.signal("decay", 0, data.n)
        assert np.isfinite(traces[status == OK]).all() and np.isnan(traces[status == RAISED]).all()
    counts = {
        "ok": (status == OK).sum(),
        "not finite": (status == NOT_FINITE).sum(),
        "raised an error": (status == RAISED).sum(),
        "silent": 0,
    }
    assert data.status_counts == counts and data.n_failed == counts["not finite"] + counts["raised an error"]
    log = (results / "logs" / "index_dataset" / "train.log").read_text()
    assert all(f"'{name}': {count}" in log for name, count in counts.items())
    log = (results / "logs" / "simulate_shard" / "train-00000.log").read_text()
    assert "too fast" in log and "theta" in log, "the reason for each failure is in the log"
    usable = test.index(0, test.n)[test.status(0, test.n) == OK]
    table = pd.read_parquet(results / "cnn" / "predictions.parquet")
    assert table["index"].tolist() == usable.tolist() and np.isfinite(table["rate_mean"]).all()
    assert read_metadata(results / "cnn" / "fold-0" / "model.keras")["n_train"] == counts["ok"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"estimators__cnn__hyperparameters__epoch": 5}, "unknown key 'epoch' (did you mean 'epochs'?)"),
        ({"estimators__cnn__hyperparameters__pool_len": 40}, "the network dies at layer pool_"),
        ({"simulator__name": "hodgkin"}, "unknown simulator 'hodgkin'; known: "),
    ],
    ids=["unknown key", "dying network", "unknown simulator"],
)
def test_a_study_that_cannot_work_is_refused_at_once(fresh, changes, message):
    fresh.edit(EDITED, **changes)
    printed = fresh.snakemake("all", check=False)
    assert message in printed and f"{EDITED}.yaml" in printed
    assert "Traceback" not in printed and len(printed.splitlines()) < 30
    assert not (fresh.path / "results").exists(), "a job has run"


def test_an_unknown_scale_is_refused_at_once(fresh):
    (fresh.path / "config" / "config.yaml").write_text(f"master_seed: 1\nstudies: {{{EDITED}: demmo}}\n")
    printed = fresh.snakemake("all", check=False)
    assert "demmo" in printed and "smoke" in printed and "Traceback" not in printed


def start(folder, *arguments) -> subprocess.Popen:
    """Starts the command line in a session of its own, as a terminal does for what it interrupts."""
    return subprocess.Popen(
        [BIN / "neuroinverse", *map(str, arguments)],
        cwd=folder.path,
        env=folder.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(what, process, seconds=90) -> None:
    """Waits until what() is true."""
    end = time.monotonic() + seconds
    while not what():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "it never began"
        time.sleep(0.01)


def strays(folder: Path) -> list[Path]:
    """Files below a folder, hidden ones too."""
    return [p for p in folder.rglob("*") if p.is_file()]


def test_ctrl_c_leaves_no_half_shard(moody, monkeypatch):
    study = load(moody, monkeypatch)
    shard = moody.results("moody") / "shards" / "train" / "00000.h5"
    spec = study.shard_spec("train", "00000")
    command = ["simulate_shard", "--spec", canonical(spec), "--output", shard, "--threads", 2]
    (moody.path / "slow").touch()
    process = start(moody, *command)
    wait_for(lambda: shard.parent.is_dir() and strays(shard.parent), process)
    assert not shard.exists(), "a shard has its name only when it is whole"
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    assert "interrupted" in printed
    assert strays(moody.path / "results") == []
    (moody.path / "slow").unlink()
    done = moody.neuroinverse(*command)
    assert done.returncode == 0, done.stderr
    assert verify_shard(shard, spec)["status_counts"]["ok"] > 0


EPOCHS = 12


def training(folder, monkeypatch, name) -> tuple[list, Path]:
    """Command and output of a training without dropout on the finished study, in a folder of its own."""
    monkeypatch.chdir(folder.path)
    spec = folder.study().train_spec("cnn", 0)
    spec["hyperparameters"] |= {"epochs": EPOCHS, "dropFrac": 0.0}
    output = folder.path / name / "model.keras"
    files = ["--dataset", folder.results() / "dataset" / "train.h5", "--output", output]
    return ["train_fold", "--spec", canonical(spec), *files, "--history", output.with_name("history.csv")], output


def stop(folder, command, output, epochs, number) -> str:
    """Starts a training, sends it a signal once some epochs are done, and returns what it printed."""
    state = output.parent / "checkpoint" / "state.json"
    process = start(folder, *command)
    wait_for(lambda: state.is_file() and yaml.safe_load(state.read_text())["epoch"] >= epochs, process)
    os.killpg(process.pid, number)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -number), printed
    assert {p.name for p in output.parent.iterdir()} == {"checkpoint"}, "something stands beside the checkpoint"
    return printed


def test_a_training_goes_on_after_ctrl_c_and_after_a_kill(finished, monkeypatch):
    command, whole = training(finished, monkeypatch, "whole")
    done = finished.neuroinverse(*command)
    assert done.returncode == 0, done.stderr
    assert "resumes" not in done.stdout
    command, output = training(finished, monkeypatch, "stopped")
    printed = stop(finished, command, output, 1, signal.SIGINT)
    assert "interrupted" in printed and "Traceback" not in printed
    printed = stop(finished, command, output, 4, signal.SIGKILL)
    assert "resumes after epoch" in printed
    done = finished.neuroinverse(*command)
    assert done.returncode == 0, done.stderr
    assert "resumes after epoch" in done.stdout
    assert {p.name for p in output.parent.iterdir()} == {"model.keras", "history.csv"}
    columns = ["epoch", "learning_rate", "loss", "val_loss"]
    expected, found = (pd.read_csv(f.with_name("history.csv"))[columns] for f in (whole, output))
    assert len(expected) == EPOCHS
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4)
    expected, found = (read_metadata(f) for f in (whole, output))
    assert found["best_epoch"] == expected["best_epoch"]
    assert found["validation_rmse_unit"] == pytest.approx(expected["validation_rmse_unit"], rel=1e-4)


def test_a_mod_file_that_does_not_compile(fresh):
    source = fresh.path / "broken.mod"
    source.write_text("NEURON {\n  SUFFIX broken\n  RANGE g\n}\nBREAKPOINT {\n  g = \n}\n")
    library = fresh.path / "libnrnmech.so"
    done = fresh.neuroinverse("compile_mechanisms", "--sources", source, "--output", library)
    assert done.returncode == 1
    last = done.stderr[done.stderr.index("error: nrnivmodl failed") :]
    assert "broken.mod" in last and "syntax error" in last and "Illegal block at line 7" in last
    assert "Traceback" not in last
    assert not library.exists() and not list(fresh.path.glob(".*libnrnmech*"))


LOADED = (
    "print(sorted({m.partition('.')[0] for m in sys.modules} & {'numpy', 'tensorflow', 'keras', 'neuron', 'nest'}))"
)


def imported(code: str, environment) -> str:
    """Which heavy packages are imported after some code has run."""
    program = f"import sys\n{code}\n{LOADED}"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPO, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1]


def test_reading_studies_imports_no_engine(environment):
    code = f"""
from neuroinverse.config import load_study
for name in {STUDIES}:
    for scale in ("smoke", "demo", "paper"):
        study = load_study(name, scale, 1)
        [study.report_spec(), study.shard_spec(study.datasets[0], "00000")]
"""
    assert imported(code, environment) in ("[]", "['numpy']"), "simulators may use numpy, nothing heavier"


def test_help_imports_nothing_heavy(environment):
    code = """
import contextlib
from neuroinverse import cli
with contextlib.suppress(SystemExit):
    cli.main(["--help"])
"""
    assert imported(code, environment) == "[]"
