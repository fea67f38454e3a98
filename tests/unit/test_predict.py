"""predict: traces of the user's in several formats, and what is refused."""

import json
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from synthetic import gaussian_errors
from tiny import SIGNAL, SPACE, make_dataset, make_model, metadata, traces

from neuroinverse import cli
from neuroinverse.errors import ConfigError
from neuroinverse.estimators import cnn
from neuroinverse.estimators.architecture import complete
from neuroinverse.estimators.modelfile import save_model
from neuroinverse.estimators.trace_range import TraceRange
from neuroinverse.simulators.base import Signal
from neuroinverse.stages import predict

SCALE, FLOOR = [1.5, 2.0], [0.1, 0.2]
N, DT, T0 = SIGNAL.shape[0], SIGNAL.dt_ms, SIGNAL.t0_ms


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Folder of an estimator with two folds and their calibration."""
    folder = tmp_path_factory.mktemp("cnn")
    (folder / "calibration.json").write_text(json.dumps(gaussian_errors(2, SCALE, FLOOR).to_dict()))
    theta, _ = SPACE.draw(1, "tiny/train", np.arange(200))
    found = TraceRange.fit([traces(theta)[..., None]])
    for k in range(2):
        file = folder / f"fold-{k}" / "model.keras"
        save_model(cnn.to_physical_model(make_model(seed=k + 1), SPACE), metadata(), file, found)
    return folder


@pytest.fixture(scope="module")
def signals():
    theta, _ = SPACE.draw(1, "tiny/mine", np.arange(3))
    return traces(theta).astype(float)


@pytest.fixture(scope="module")
def expected(model, signals, tmp_path_factory):
    """The answer for the signals as they were trained."""
    file = tmp_path_factory.mktemp("expected") / "x.npy"
    np.save(file, signals)
    return predict.run(model, file, file.with_suffix(".csv"))


def write_csv(path, signals, time=None):
    table = pd.DataFrame(signals.T, columns=[f"cell{i}" for i in range(len(signals))])
    if time is not None:
        table.insert(0, "time_ms", time)
    table.to_csv(path, index=False)
    return path


def write_npy(path, signals):
    np.save(path, signals)
    return path


def assert_same(table, expected, names=None, rtol=1e-4):
    if names:
        assert list(table["trace"].unique()) == names
    for column in ("value", "low", "high", "spread_unit", "out_of_range"):
        np.testing.assert_allclose(table[column], expected[column], rtol=rtol)


def test_columns(expected, signals):
    assert list(expected) == [
        "trace", "parameter", "unit", "value", "low", "high", "level", "error_unit", "spread_unit", "out_of_range",
        "score", "warning", "read_as",
    ]  # fmt: skip
    assert list(expected["parameter"]) == ["amplitude", "tau"] * len(signals)
    assert list(expected["unit"][:2]) == ["mV", "ms"]
    assert (expected["low"] < expected["value"]).all() and (expected["value"] < expected["high"]).all()
    assert (expected["spread_unit"] > 0).all(), "two folds differ"
    unit = SPACE.to_unit(expected[["low", "value", "high"]].to_numpy().reshape(-1, 2, 3).transpose(0, 2, 1))
    stated = SCALE * np.sqrt(expected["spread_unit"].to_numpy().reshape(-1, 2) ** 2 + np.array(FLOOR) ** 2)
    np.testing.assert_allclose(expected["error_unit"].to_numpy().reshape(-1, 2), stated, rtol=1e-6)
    # 90 % of a Gaussian
    assert (expected["level"] == 0.9).all()
    np.testing.assert_allclose(unit[:, 2] - unit[:, 1], 1.64485 * stated, rtol=1e-4)
    np.testing.assert_allclose(unit[:, 1] - unit[:, 0], 1.64485 * stated, rtol=1e-4)


def test_intervals_are_those_of_the_level_that_is_asked_for(model, signals, expected, tmp_path):
    table = predict.run(model, write_npy(tmp_path / "x.npy", signals), tmp_path / "y.csv", level=0.5)
    width, wider = ((t["high"] - t["low"])[t["parameter"] == "amplitude"] for t in (table, expected))
    np.testing.assert_allclose(width / wider, 0.67449 / 1.64485, rtol=1e-4)
    np.testing.assert_allclose(table["error_unit"], expected["error_unit"])
    assert (table["level"] == 0.5).all()


def test_levels_without_an_interval_are_refused(model, signals, tmp_path, capsys):
    file = write_npy(tmp_path / "x.npy", signals)
    assert "--level: a level must be 0.01 to 0.99 in steps of 0.01, not 90" in refused(
        model, file, capsys, "--level", "90"
    )
    few = gaussian_errors(2, SCALE, FLOOR)
    few.widths[90:], folder = np.inf, tmp_path / "few"
    shutil.copytree(model, folder)
    (folder / "calibration.json").write_text(json.dumps(few.to_dict()))
    message = refused(folder, file, capsys, "--level", "0.95")
    assert "1000 calibration simulations support levels up to 0.9, not 0.95" in message


@pytest.mark.parametrize("time", [None, T0 + DT * np.arange(N)], ids=["without time", "with time"])
def test_csv(model, signals, expected, tmp_path, time):
    table = predict.run(model, write_csv(tmp_path / "x.csv", signals, time), tmp_path / "y.csv")
    assert_same(table, expected, ["cell0", "cell1", "cell2"])
    assert_same(pd.read_csv(tmp_path / "y.csv"), expected)


def test_npy_of_one_trace(model, signals, expected, tmp_path):
    table = predict.run(model, write_npy(tmp_path / "x.npy", signals[1]), tmp_path / "y.csv")
    assert_same(table, expected[2:4], ["0"])


def test_h5_of_this_project_and_of_others(model, signals, expected, tmp_path):
    data = make_dataset(tmp_path / "own", n=4, shard_size=2)
    table = predict.run(model, data.shards[1], tmp_path / "y.csv")
    assert list(table["trace"].unique()) == ["2", "3"]
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["recordings/soma"] = signals
    table = predict.run(model, tmp_path / "other.h5", tmp_path / "y.csv", dataset="recordings/soma")
    assert_same(table, expected, ["0", "1", "2"])


def test_a_longer_recording_at_another_rate_is_cut_and_resampled(model, expected, tmp_path):
    theta, _ = SPACE.draw(1, "tiny/mine", np.arange(3))
    time = np.arange(0, 40, 0.05)
    # no step at the window's start, which a filter would smear
    longer = theta[:, :1] * np.exp(-(time - T0) / theta[:, 1:])
    table = predict.run(model, write_csv(tmp_path / "x.csv", longer, time), tmp_path / "y.csv")
    assert_same(table, expected, rtol=2e-2)
    table = predict.run(model, write_npy(tmp_path / "x.npy", longer), tmp_path / "y.csv", dt_ms=0.05)
    assert_same(table, expected, rtol=2e-2)
    late = longer[:, time >= T0 - 1e-9]
    table = predict.run(model, write_npy(tmp_path / "x.npy", late), tmp_path / "y.csv", dt_ms=0.05, start_ms=T0)
    assert_same(table, expected, rtol=2e-2)


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    """Folder of an estimator of one fold that takes three channels."""
    signal = Signal("lfp", "mV", DT, (N, 3), T0)
    first = cnn.feature_model(signal, [{"welch": {"segment_ms": 4}}])
    h = complete({"conv_filter": [4], "conv_kernel": 3, "pool_len": 2, "fc_dims": [4], "epochs": 1})
    whole, _ = cnn.build_models(signal, [{"welch": {"segment_ms": 4}}], h, 2, None, first)
    content = metadata() | {"signal": {"name": "lfp", "unit": "mV", "dt_ms": DT, "shape": [N, 3], "t0_ms": T0}}
    folder = tmp_path_factory.mktemp("probe")
    (folder / "calibration.json").write_text(json.dumps(gaussian_errors(2, SCALE, FLOOR).to_dict()))
    save_model(cnn.to_physical_model(whole, SPACE), content, folder / "fold-0" / "model.keras")
    return folder


def test_channels(probe, tmp_path, capsys):
    x = np.random.default_rng(1).normal(size=(2, N, 3))
    expected = predict.run(probe, write_npy(tmp_path / "x.npy", x), tmp_path / "y.csv")
    assert expected["value"].nunique() == 4, "traces and parameters differ"
    one = predict.run(probe, write_npy(tmp_path / "one.npy", x[1]), tmp_path / "y.csv")
    assert_same(one, expected[2:4], ["0"])
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["lfp"] = x[1]
    assert_same(predict.run(probe, tmp_path / "other.h5", tmp_path / "y.csv", dataset="lfp"), expected[2:4], ["0"])
    columns = {f"{trace}{c}": x[t, :, c] for t, trace in enumerate("ab") for c in range(3)}
    pd.DataFrame({"time_ms": T0 + DT * np.arange(N)} | columns).to_csv(tmp_path / "x.csv", index=False)
    assert_same(predict.run(probe, tmp_path / "x.csv", tmp_path / "y.csv"), expected, ["a0", "b0"])
    time = T0 + DT / 2 * np.arange(2 * N)
    fine = np.stack(
        [
            np.stack([np.cos(2 * np.pi * (f + 1 + t) * (time - T0) / (N * DT)) for f in range(3)], axis=1)
            for t in range(2)
        ]
    )
    expected = predict.run(probe, write_npy(tmp_path / "x.npy", fine[:, ::2]), tmp_path / "y.csv")
    pd.DataFrame({"time_ms": time} | {f"{t}{c}": fine[t, :, c] for t in range(2) for c in range(3)}).to_csv(
        tmp_path / "fine.csv", index=False
    )
    assert_same(predict.run(probe, tmp_path / "fine.csv", tmp_path / "y.csv"), expected, rtol=0.02)
    pd.DataFrame(x[0, :, :2], columns=["a", "b"]).to_csv(tmp_path / "two.csv", index=False)
    assert "2 columns of samples; lfp has 3 channels" in refused(probe, tmp_path / "two.csv", capsys)
    assert "with 3 channels (traces, time, 3)" in refused(probe, write_npy(tmp_path / "z.npy", x[..., :2]), capsys)


def test_one_file_has_values_and_no_errors(model, signals, tmp_path, capsys):
    table = predict.run(model / "fold-0" / "model.keras", write_npy(tmp_path / "x.npy", signals), tmp_path / "y.csv")
    assert table["value"].notna().all() and table[["low", "high"]].isna().all(axis=None)
    assert "values have no errors and no warning" in capsys.readouterr().err


def refused(model, path, capsys, *options) -> str:
    """The one line that the command line prints for input that it refuses."""
    output = path.with_name("refused.csv")
    capsys.readouterr()
    assert cli.main(["predict", "--model", str(model), "--input", str(path), "--output", str(output), *options]) == 1
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err and printed.err.startswith("error: ") and not output.exists()
    return printed.err


def test_what_is_refused(model, signals, tmp_path, capsys):
    message = refused(model, write_npy(tmp_path / "short.npy", signals[:, :-5]), capsys)
    assert "the estimator needs" in message and "24 samples at 0.5 ms" in message and "--dt-ms" in message
    with_gap = signals.copy()
    with_gap[1, 3] = np.nan
    assert "not finite" in refused(model, write_npy(tmp_path / "gap.npy", with_gap), capsys)
    assert "does not exist" in refused(model, tmp_path / "missing.csv", capsys)
    assert "expected .csv, .npy or .h5" in refused(
        model, write_npy(tmp_path / "x.npy", signals).rename(tmp_path / "x.abf"), capsys
    )
    (tmp_path / "words.csv").write_text("a,b\nx,y\n")
    assert "cannot be read as traces" in refused(model, tmp_path / "words.csv", capsys)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["recordings"] = signals
    assert "cannot be read as traces" in refused(model, tmp_path / "other.h5", capsys)
    assert "no models" in refused(tmp_path, write_npy(tmp_path / "x.npy", signals), capsys)


@pytest.mark.parametrize("shape", [(0, N), (2, N, 3), (2, 2, N, 1)], ids=["no trace", "channels", "four axes"])
def test_arrays_of_the_wrong_shape_are_refused(model, tmp_path, shape):
    np.save(tmp_path / "x.npy", np.zeros(shape))
    with pytest.raises(ConfigError):
        predict.run(model, tmp_path / "x.npy", tmp_path / "y.csv")


def test_answers_out_of_range_are_marked(model, tmp_path, capsys):
    wild = np.where(np.arange(N) % 2, 50.0, -80.0)[None]
    table = predict.run(model, write_npy(tmp_path / "x.npy", wild), None)
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0].startswith("trace,parameter,unit,value"), "without --output the table is printed"
    assert (table["out_of_range"] > 1).all()
    for p in SPACE.parameters:
        row = table[table["parameter"] == p.name]
        assert p.low <= row["low"].item() <= row["high"].item() <= p.high, "no interval leaves the prior"
    assert "their intervals end where the range ends" in printed.err
    assert "1 of 1 traces give parameters outside the training range" in printed.err


def test_a_model_that_has_learnt_nothing_says_so(model, signals, tmp_path, capsys):
    folder = shutil.copytree(model, tmp_path / "cnn")
    found = {"ratio": 1.0, "low": 0.98, "high": 1.02, "learnt": False}
    (folder / "metrics.json").write_text(json.dumps({"n_test": 50, "learnt": {"overall": found, "parameters": {}}}))
    predict.run(folder, write_npy(tmp_path / "x.npy", signals), tmp_path / "y.csv")
    assert (
        "cnn: Has learnt nothing: over 50 test simulations it does not measurably err less" in capsys.readouterr().err
    )


def test_traces_unlike_those_of_the_training_are_warned_of(model, signals, expected, tmp_path, capsys):
    assert not expected["warning"].any() and (expected["score"] < 2).all()
    strange = np.concatenate([signals, signals[:1] + 5])
    table = predict.run(model, write_npy(tmp_path / "x.npy", strange), tmp_path / "y.csv")
    assert table["warning"].tolist() == 6 * [False] + 2 * [True]
    np.testing.assert_allclose(table["score"][:6], expected["score"], rtol=1e-4)
    assert table["score"].iloc[6] == table["score"].iloc[7] > 2
    said = capsys.readouterr().err
    assert "1 of 4 traces are unlike the training traces (score above 2, as 1 % of simulations are)" in said
    assert pd.read_csv(tmp_path / "y.csv")["warning"].dtype == bool
    # a file alone has no threshold
    alone = predict.run(model / "fold-0" / "model.keras", tmp_path / "x.npy", tmp_path / "y.csv")
    assert not alone["warning"].any() and alone["score"].iloc[6] > 2
    assert "no errors and no warning" in capsys.readouterr().err
