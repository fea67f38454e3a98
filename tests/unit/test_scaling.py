"""scaling: metrics of several training sizes in one file."""

import json

from neuroinverse.config import load_study
from neuroinverse.scaling import scaled
from neuroinverse.stages import scaling


def test_sizes_keep_their_metrics(tmp_path):
    """Sizes come in the order of the study, which is not that of their digits."""
    paths = []
    for n in (500, 1000):
        row = {"unit": "mV", "rmse": n / 10, "error_percent_of_range": n / 100, "mae": 1.0}
        metrics = {"n_test": 9, "mse_unit": 1 / n, "mse_unit_folds_mean": 2 / n, "train_seconds_per_fold": 1.0}
        paths.append(tmp_path / f"{n}.json")
        paths[-1].write_text(json.dumps(metrics | {"parameters": {"c": row}}))
    sizes = [{"n_train": 500, "ensemble": {}}, {"n_train": 1000, "ensemble": {}}]
    spec = {"study": "s", "scale": "demo", "sizes": sizes}
    scaling.run(json.loads(json.dumps(spec, sort_keys=True)), paths, tmp_path / "scaling.json")
    found = json.loads((tmp_path / "scaling.json").read_text())["sizes"]
    assert [(s["n_train"], s["mse_unit"]) for s in found] == [(500, 1 / 500), (1000, 1 / 1000)]
    assert found[0]["parameters"]["c"] == {"unit": "mV", "rmse": 50.0, "error_percent_of_range": 5.0}


def test_the_study_s_own_size_is_not_trained_twice(root, monkeypatch):
    monkeypatch.chdir(root)
    study = load_study("izhikevich", "demo", 1)
    assert scaled(study, "cnn") == {2000: "cnn", 4000: "cnn@4000", 8000: "cnn@8000"}
    assert study.training_dataset("cnn@4000") == "train@4000" and study.n("train@4000") == 4000
    assert study.dataset_spec("train@4000")["simulation"] == study.dataset_spec("train")["simulation"]
