"""transfer: errors on further datasets, in units of the range of the training."""

import copy
import json

import numpy as np
import pytest
from synthetic import gaussian_errors
from tiny import SPACE, make_dataset, make_model, metadata, traces

from neuroinverse.errors import NeuroinverseError
from neuroinverse.estimators import cnn
from neuroinverse.estimators.modelfile import save_model
from neuroinverse.estimators.trace_range import TraceRange, describe
from neuroinverse.stages import transfer

SCALE, FLOOR = [1.5, 2.0], [0.1, 0.2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two folds, their calibration, a test dataset and one that goes beyond the range."""
    folder = tmp_path_factory.mktemp("transfer")
    (folder / "calibration.json").write_text(json.dumps(gaussian_errors(2, SCALE, FLOOR).to_dict()))
    theta, _ = SPACE.draw(1, "tiny/train", np.arange(20))
    found = TraceRange.fit([traces(theta)[..., None]])
    for k in range(2):
        save_model(cnn.to_physical_model(make_model(seed=k + 1), SPACE), metadata(), folder / f"{k}.keras", found)
    make_dataset(folder / "test", n=40, failed=(3, 4))
    make_dataset(folder / "wide", n=30, failed=tuple(range(30, 40)))
    make_dataset(folder / "lost", n=6, failed=tuple(range(6)))
    return folder


def run(folder, names=("test", "wide"), output="transfer.json"):
    trained = {"simulator": {"name": "tiny", "fixed": {"b": 1.0}}, "parameters": SPACE.to_table(), "dataset": "train"}
    sections = [{"simulation": copy.deepcopy(trained) | {"dataset": name}} for name in names]
    sections[1]["simulation"]["parameters"][0]["high"] = 2.0
    trained["simulator"]["fixed"]["c"] = 3.0
    sections[0]["simulation"]["simulator"]["fixed"]["c"] = 3.0
    sections[1]["simulation"]["simulator"] = {"name": "tiny", "fixed": {"b": 2.0}, "options": {"spread": {"b": 0.1}}}
    sections[1]["simulation"]["sampling"] = {"kind": "grid", "levels": [3, 2]}
    spec = {"study": "tiny", "scale": "demo", "estimator": "cnn", "datasets": sections}
    spec["ensemble"] = {"training": {"simulation": trained}}
    datasets = [folder / name / "dataset" / "train.h5" for name in names]
    models = [folder / f"{k}.keras" for k in range(2)]
    return transfer.run(spec, datasets, models, folder / "calibration.json", folder / output, folder / "transfer.png")


def test_errors_are_those_of_the_ensemble_mean(folder):
    import keras

    found = run(folder)
    assert json.loads((folder / "transfer.json").read_text())["datasets"] == found["datasets"]
    rows = {row["dataset"]: row for row in found["datasets"]}
    assert (rows["test"]["n"], rows["test"]["n_failed"], rows["test"]["n_silent"]) == (38, 2, 0)
    theta, _ = SPACE.draw(1, "tiny/train", np.setdiff1d(np.arange(40), (3, 4)))
    models = [keras.models.load_model(folder / f"{k}.keras", compile=False) for k in range(2)]
    signals = traces(theta)
    unit = np.stack([SPACE.to_unit(m.predict(signals[..., None], verbose=0)) for m in models])
    residual = unit.mean(axis=0) - SPACE.to_unit(theta)
    stated = SCALE * np.sqrt(unit.std(axis=0, ddof=1) ** 2 + np.array(FLOOR) ** 2)
    for k, name in enumerate(SPACE.names):
        errors = rows["test"]["parameters"][name]
        assert errors["error_percent_of_range"] == pytest.approx(50 * np.sqrt((residual[:, k] ** 2).mean()), rel=1e-4)
        assert errors["mae_unit"] == pytest.approx(np.abs(residual[:, k]).mean(), rel=1e-4)
    assert rows["test"]["coverage"]["0.9"] == pytest.approx((np.abs(residual) <= 1.6449 * stated).mean())
    theta, _ = SPACE.draw(1, "tiny/train", np.arange(20))
    score = TraceRange.fit([traces(theta)[..., None]]).score(describe(signals[..., None]))
    assert 0 < (score > 2).mean() == rows["test"]["warned_fraction"]
    assert rows["test"]["mse_unit"] == pytest.approx((residual**2).mean(), rel=1e-4)
    assert (folder / "transfer.png").read_bytes()[:4] == b"\x89PNG"


def test_what_differs_from_the_training_is_said(folder):
    rows = run(folder, output="again.json")["datasets"]
    assert rows[0]["differs"] == {}
    expected = {"b": 2.0, "c": "default", "spread": {"b": 0.1}, "amplitude": [1.0, 2.0], "sampling": "grid"}
    assert rows[1]["differs"] == expected


def test_a_dataset_without_a_usable_simulation_is_an_error(folder):
    with pytest.raises(NeuroinverseError, match=r"lost.*every simulation failed or is silent"):
        run(folder, ("test", "lost"), "never.json")
    assert not (folder / "never.json").exists()
