"""neuroinverse posterior: draws, table and picture of traces of a user's; what it says of those it cannot answer."""

import json
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
from tiny import SIGNAL, SPACE, traces

from neuroinverse.errors import ConfigError
from neuroinverse.estimators.modelfile import MEMBER, model_files
from neuroinverse.observation import signal_sha256
from neuroinverse.stages import posterior as verb

THETA = np.array([[2.0, 10.0], [1.5, 40.0], [2.5, 3.0]])
NAMED = {
    "name": SIGNAL.name,
    "unit": SIGNAL.unit,
    "dt_ms": SIGNAL.dt_ms,
    "shape": list(SIGNAL.shape),
    "t0_ms": SIGNAL.t0_ms,
}


class Known:
    """Posteriors that are normal in unit parameters about half of a trace's first value; none of a flat trace."""

    parameters, signal, truncated = SPACE, NAMED, False

    def __init__(self, models):
        pass

    def conditions(self, signals):
        first = signals[:, :1] / 8
        return [np.where(signals.std(axis=1, keepdims=True) > 0, first, np.nan)]

    def sample(self, conditions, noise):
        return np.clip(conditions[0][:, None] + 0.1 * noise, -0.999, 0.999)

    def gain(self, unit, conditions):
        return -np.square(unit - conditions[0][:, None]).sum(axis=-1)

    def score(self, signals):
        return np.abs(signals).max(axis=1)


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setattr(verb, "Posterior", Known)
    monkeypatch.setattr(verb, "model_files", lambda model, family: [model])
    (tmp_path / "posterior" / "fold-0").mkdir(parents=True)
    (tmp_path / "posterior" / "fold-0" / "model.keras").touch()
    (tmp_path / "posterior" / "metrics.json").write_text(json.dumps({"warning_threshold": 2.2}))
    return tmp_path / "posterior"


def test_draws_table_and_picture(model, tmp_path, capsys):
    np.save(tmp_path / "x.npy", traces(THETA))
    files = {"output": tmp_path / "draws.parquet", "summary": tmp_path / "t.csv", "figure": tmp_path / "p.png"}
    table = verb.run(model, tmp_path / "x.npy", samples=4000, start_ms=SIGNAL.t0_ms, **files)
    draws = pd.read_parquet(files["output"])
    assert list(draws.columns) == ["trace", "amplitude", "tau", "gain_nats"] and len(draws) == 3 * 4000
    assert draws["amplitude"].between(1, 3).all() and draws["tau"].between(1, 100).all()
    pd.testing.assert_frame_equal(pd.read_csv(files["summary"], dtype={"trace": str}), table, check_dtype=False)
    row = table.iloc[0]
    assert row["mean"] == pytest.approx(SPACE.to_physical(np.array([[0.25, 0.25]]))[0, 0], abs=0.01)
    assert row["sd_over_prior_sd"] == pytest.approx(0.1 * np.sqrt(3), rel=0.05)
    assert row["q05"] < row["median"] < row["q95"]
    assert files["figure"].stat().st_size > 5000
    assert list(table["warning"]) == [False] * 4 + [True] * 2
    assert "trace 2 is unlike the training traces" in capsys.readouterr().err
    again = verb.run(model, tmp_path / "x.npy", samples=4000, start_ms=SIGNAL.t0_ms, **files)
    pd.testing.assert_frame_equal(table, again)


def test_a_trace_without_statistics_is_said_and_the_others_are_answered(model, tmp_path, capsys):
    x = traces(THETA)
    x[1] = 1.0
    np.save(tmp_path / "x.npy", x)
    options = {"output": tmp_path / "d.parquet", "start_ms": SIGNAL.t0_ms, "samples": 10}
    assert set(verb.run(model, tmp_path / "x.npy", **options)["trace"]) == {"0", "2"}
    assert "trace 1 is undefined" in capsys.readouterr().err
    np.save(tmp_path / "flat.npy", np.ones_like(x))
    with pytest.raises(ConfigError, match="undefined in every trace"):
        verb.run(model, tmp_path / "flat.npy", **options)


def test_without_metrics_nothing_is_warned_of_and_that_is_said(model, tmp_path, capsys):
    (model / "metrics.json").unlink()
    np.save(tmp_path / "x.npy", traces(THETA))
    table = verb.run(model, tmp_path / "x.npy", tmp_path / "d.parquet", samples=10, start_ms=SIGNAL.t0_ms)
    assert not table["warning"].any() and "no metrics.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: np.save(path, traces(THETA)[:, :20]), "Give --start-ms"),
        (lambda path: np.save(path, np.full((1, 24), np.nan)), "not finite"),
    ],
)
def test_a_recording_that_does_not_fit_is_refused(model, tmp_path, change, message):
    change(tmp_path / "x.npy")
    with pytest.raises(ConfigError, match=message):
        verb.run(model, tmp_path / "x.npy", tmp_path / "d.parquet", start_ms=SIGNAL.t0_ms)


def test_a_file_that_says_its_unit_and_sampling_is_taken_at_its_word(model, tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        array = file.create_dataset("signals/voltage", data=traces(THETA))
        array.attrs["unit"], array.attrs["dt_ms"], array.attrs["t0_ms"] = "mV", SIGNAL.dt_ms, SIGNAL.t0_ms
    assert len(verb.run(model, tmp_path / "x.h5", tmp_path / "d.parquet", samples=5)) == 6
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["signals/voltage"].attrs["unit"] = "nA"
    with pytest.raises(ConfigError, match=r"is in 'nA'; expected mV"):
        verb.run(model, tmp_path / "x.h5", tmp_path / "d.parquet", samples=5)
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["signals/voltage"].attrs["unit"], file["signals/voltage"].attrs["dt_ms"] = "mV", 0.1
    with pytest.raises(ConfigError, match=r"at 0\.1 ms"):
        verb.run(model, tmp_path / "x.h5", tmp_path / "d.parquet", samples=5)


def test_a_further_round_answers_its_own_observation_alone(model, tmp_path, monkeypatch):
    monkeypatch.setattr(Known, "truncated", True)
    x = traces(THETA)
    np.save(tmp_path / "x.npy", x[0])
    options = {"output": tmp_path / "d.parquet", "samples": 10, "start_ms": SIGNAL.t0_ms}
    with pytest.raises(ConfigError, match=r"not for trace 0 \(its metrics.json does not say.*ask the first round"):
        verb.run(model, tmp_path / "x.npy", **options)
    (model / "metrics.json").write_text(
        json.dumps({"warning_threshold": 2.2, "observation_sha256": signal_sha256(x[0])})
    )
    assert len(verb.run(model, tmp_path / "x.npy", **options)) == 2
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(ConfigError, match="not for trace 1, 2; ask the first round"):
        verb.run(model, tmp_path / "x.npy", **options)


def test_what_is_no_posterior_says_what_serves_it(tmp_path, monkeypatch):
    for folder, metadata in (
        ("posterior", {"outputs": ["gain"]}),
        ("cnn", {"outputs": ["parameters"]}),
        ("surrogate", {"kind": "surrogate", "outputs": []}),
    ):
        (tmp_path / folder / "fold-0").mkdir(parents=True)
        with zipfile.ZipFile(tmp_path / folder / "fold-0" / "model.keras", "w") as archive:
            archive.writestr(MEMBER, json.dumps(metadata))
    with pytest.raises(ConfigError, match=r"cnn is a regressor; ask it with: neuroinverse predict; expected"):
        model_files(tmp_path / "cnn", "posterior")
    with pytest.raises(ConfigError, match=r"posterior is a posterior; ask it with: neuroinverse posterior; expected"):
        model_files(tmp_path / "posterior", "regressor")
    with pytest.raises(ConfigError, match="infers nothing"):
        model_files(tmp_path / "surrogate" / "fold-0", "regressor")
    with pytest.raises(ConfigError, match="there are cnn, posterior, surrogate in it"):
        model_files(tmp_path, "regressor")
    with pytest.raises(ConfigError, match="does not exist"):
        model_files(tmp_path / "none", "regressor")
    assert model_files(tmp_path / "cnn", "regressor") == [tmp_path / "cnn" / "fold-0" / "model.keras"]


def test_no_posterior_no_draws(tmp_path):
    with pytest.raises(ConfigError, match="give the folder of a posterior"):
        verb.run(tmp_path, tmp_path / "x.npy", tmp_path / "d.parquet")
