"""cross: what is said of predictions without their truth, and what a study may ask for."""

import json

import numpy as np
import pytest
import yaml
from synthetic import gaussian_errors
from tiny import SPACE, make_dataset, make_model, metadata, traces

from neuroinverse import cross
from neuroinverse.config import load_study
from neuroinverse.errors import ConfigError, NeuroinverseError
from neuroinverse.estimators import cnn
from neuroinverse.estimators.ensemble import Predictions
from neuroinverse.estimators.modelfile import save_model
from neuroinverse.estimators.trace_range import TraceRange
from neuroinverse.evaluation import cross as measures
from neuroinverse.evaluation.captions import CROSS
from neuroinverse.provenance import canonical
from neuroinverse.stages import cross as stage

NAMES = ("a", "b", "c")


def predictions(mean, spread=0.0):
    """Two folds on both sides of a mean."""
    return Predictions(np.stack([mean - spread, mean + spread]), np.zeros_like(mean), np.ones(len(mean)))


def test_shares_beyond_the_range():
    mean = np.zeros((10, 3))
    mean[:3, 0], mean[2:4, 1] = 1.01, -1.2
    found = measures.summary(predictions(mean, 0.1), np.full((10, 3), 0.3), NAMES)
    assert [found["parameters"][n]["beyond"] for n in NAMES] == pytest.approx([0.3, 0.2, 0.0])
    assert found["beyond_any"] == pytest.approx(0.4) and found["n"] == 10
    # two folds, 0.1 to either side: a standard deviation (n - 1) of 0.1 sqrt 2
    assert found["fold_spread"] == pytest.approx(0.1 * np.sqrt(2)) and found["stated_error"] == pytest.approx(0.3)
    assert found["correlation"][2] == [None, None, None] and found["correlation"][0][0] == pytest.approx(1)
    json.dumps(found, allow_nan=False)
    single = measures.summary(Predictions(mean[None], np.zeros_like(mean), np.ones(10)), np.full((10, 3), 0.3), NAMES)
    assert single["fold_spread"] is None and single["parameters"]["a"]["fold_spread"] is None


def test_distance_from_the_prior():
    """Beside scipy's statistic, and its values for the prior itself, a constant, and what lies beyond."""
    from scipy.stats import kstest

    rng = np.random.default_rng(1)
    unit = np.stack([rng.normal(0.2, 0.6, 200), rng.uniform(-1, 1, 200)], axis=1)
    expected = [kstest(column, "uniform", args=(-1, 2)).statistic for column in unit.T]
    np.testing.assert_allclose(measures.distance_from_prior(unit), expected, rtol=1e-12)
    middles = (np.arange(100)[:, None] + 0.5) / 50 - 1
    assert measures.distance_from_prior(middles) == pytest.approx([0.005])
    assert measures.distance_from_prior(np.zeros((9, 1))) == pytest.approx([0.5])
    assert measures.distance_from_prior(np.full((9, 1), -1.2)) == pytest.approx([1.0])


def test_the_strongest_pairs_of_each_dataset_in_turn():
    first, second = np.eye(3), np.eye(3)
    first[0, 1], first[0, 2], first[1, 2] = 0.1, -0.9, np.nan
    second[0, 1], second[0, 2], second[1, 2] = 0.0, 0.8, -0.7
    assert measures.strongest_pairs([first, second]) == [(0, 2), (0, 1), (1, 2)]
    assert measures.strongest_pairs([second, first]) == [(0, 2), (1, 2), (0, 1)]
    assert measures.strongest_pairs([first, second], 1) == [(0, 2)]
    assert measures.strongest_pairs([np.eye(1)]) == []


@pytest.mark.parametrize("count", [1, 2, 13])
def test_figures_of_any_number_of_parameters(count):
    rng = np.random.default_rng(2)
    names = [f"g_channel{k}" for k in range(count)]
    means = {"own": rng.uniform(-1, 1, (300, count)), "other": rng.normal(2, 3, (40, count))}
    matrices = {key: np.corrcoef(m, rowvar=False).reshape(count, count) for key, m in means.items()}
    figure = measures.distributions(means, names)
    assert len(figure.axes) == 2 * count
    axis = figure.axes[1]
    assert axis.get_xlim() == pytest.approx((-3.0, 3.0), abs=0.11)
    # nothing that lies further out is lost: the bars are a density
    assert sum(p.get_height() * p.get_width() for p in axis.patches[2:]) == pytest.approx(1)
    share = 100 * np.mean(np.abs(means["other"][:, 0]) > 1)
    assert f"{share:.1f} % beyond" in [text.get_text() for text in axis.texts]
    assert len(measures.correlations(matrices, names).axes) == 2 + 1
    pairs = measures.pairs(means, matrices, names)
    assert len(pairs.axes) == 2 * min(6, count * (count - 1) // 2)


# --- the stage -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two folds, their error model, and two datasets."""
    folder = tmp_path_factory.mktemp("cross")
    (folder / "calibration.json").write_text(json.dumps(gaussian_errors(2, [1.5, 2.0], [0.1, 0.2]).to_dict()))
    theta, _ = SPACE.draw(1, "tiny/train", np.arange(60))
    known = TraceRange.fit([traces(theta)[..., None]])
    for k in range(2):
        save_model(cnn.to_physical_model(make_model(seed=k + 1), SPACE), metadata(), folder / f"{k}.keras", known)
    make_dataset(folder / "own", n=40, failed=(3, 4))
    make_dataset(folder / "other", n=30)
    make_dataset(folder / "lost", n=6, failed=tuple(range(6)))
    return folder


def run(folder, *names):
    spec = {"study": "own", "scale": "demo", "estimator": "cnn", "signal": "voltage"}
    spec |= {"datasets": [{"study": name} for name in names]}
    datasets = [folder / name / "dataset" / "train.h5" for name in names]
    models, out = [folder / f"{k}.keras" for k in range(2)], folder / "cnn"
    files = folder / "calibration.json", out / "cross.json", out / "cross.html", out / "cross"
    return stage.run(spec, datasets, models, *files)


def test_predictions_of_other_traces(folder):
    import keras

    found = run(folder, "own", "other")
    assert json.loads((folder / "cnn" / "cross.json").read_text()) == found
    own, other = found["datasets"]
    assert (own["study"], own["own"], own["n"], own["n_failed"]) == ("own", True, 38, 2)
    assert (other["study"], other["own"], other["n"], other["n_unpredicted"]) == ("other", False, 30, 0)
    theta, _ = SPACE.draw(1, "tiny/train", np.arange(30))
    models = [keras.models.load_model(folder / f"{k}.keras", compile=False) for k in range(2)]
    unit = np.stack([SPACE.to_unit(m.predict(traces(theta)[..., None], verbose=0)) for m in models])
    for k, name in enumerate(SPACE.names):
        row = other["parameters"][name]
        assert row["mean"] == pytest.approx(unit.mean(axis=(0, 1))[k], rel=1e-4, abs=1e-6)
        assert row["fold_spread"] == pytest.approx(unit.std(axis=0, ddof=1).mean(axis=0)[k], rel=1e-4)
        assert row["beyond"] == pytest.approx((np.abs(unit.mean(axis=0)[:, k]) > 1).mean())
    page = (folder / "cnn" / "cross.html").read_text()
    assert page.count("data:image/png") == len(CROSS) and "<code>other</code>" in page
    assert {p.stem for p in (folder / "cnn" / "cross").iterdir()} == set(CROSS)


def test_warnings_of_other_and_of_distorted_traces(folder):
    found = run(folder, "own", "other")
    own, other = found["datasets"]
    # both are of one prior: the score cannot tell them
    assert own["auroc"] == 0.5 and 0.3 < other["auroc"] < 0.7
    assert found["threshold"] == 2 and own["warned"] < 0.1 and other["warned"] < 0.1
    rows = {row["name"]: row for row in found["distorted"]}
    # as many as the own traces that did not fail
    assert {row["n"] for row in rows.values()} == {38} and len(rows) == 8
    for name in ("5 mV higher", "10 mV higher", "noise of 1 mV", "noise of 5 mV", "last third flat"):
        assert rows[name]["auroc"] > 0.95 and rows[name]["warned"] > 0.8, name
    assert "noise of 5 mV" in (folder / "cnn" / "cross.html").read_text()


def test_the_truth_is_not_read(folder, monkeypatch):
    def refuse(*_):
        raise AssertionError("the truth was read")

    monkeypatch.setattr("neuroinverse.shards.Dataset.theta", refuse)
    run(folder, "own", "other")


def test_a_dataset_without_predictions_is_an_error(folder, monkeypatch):
    with pytest.raises(NeuroinverseError, match="every simulation failed"):
        run(folder, "own", "lost")
    monkeypatch.setattr("neuroinverse.parameters.ParameterSpace.to_unit", lambda self, p: np.full(p.shape, np.nan))
    with pytest.raises(NeuroinverseError, match="none of 38 predictions is a finite number"):
        run(folder, "own", "other")


# --- the study -----------------------------------------------------------------------------------------------------


@pytest.fixture
def load(tmp_path, root, monkeypatch):
    """Loads studies of a folder with copies of the repository's, after an edit of mainen_10."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    for name in ("networks", "search", "cells"):
        (tmp_path / "config" / name).symlink_to(root / "config" / name)

    def load_edited(edit=lambda content: None, study="mainen_10", scale="demo"):
        folder = tmp_path / "config" / "studies"
        folder.mkdir(exist_ok=True)
        for path in (root / "config" / "studies").glob("*.yaml"):
            content = yaml.safe_load(path.read_text())
            if path.stem == "mainen_10":
                edit(content)
            (folder / path.name).write_text(yaml.safe_dump(content, sort_keys=False))
        return load_study(study, scale, 1)

    return load_edited


def put(value, **settings):
    def edit(content):
        content["estimators"]["cnn"]["cross"] = value
        content["protocol"] |= settings

    return edit


def test_studies_may_name_each_other(load):
    assert [s.name for s in cross.others(load(), "cnn")] == ["izhikevich", "ball_and_sticks_10"]
    other = load(study="ball_and_sticks_10")
    assert [s.name for s in cross.others(other, "cnn@500")] == ["izhikevich", "mainen_10"]
    spec = cross.cross_spec(other, "cnn")
    assert [d["study"] for d in spec["datasets"]] == ["ball_and_sticks_10", "izhikevich", "mainen_10"]
    assert canonical(json.loads(canonical(spec))) == canonical(spec)


def test_the_specification_depends_on_the_other_test_sets(load):
    def coarser(content):
        content["protocol"]["stimulus"]["amplitude"] = 0.5

    before = cross.cross_spec(load(study="ball_and_sticks_10"), "cnn")
    after = cross.cross_spec(load(coarser, study="ball_and_sticks_10"), "cnn")
    assert [a == b for a, b in zip(before["datasets"], after["datasets"], strict=True)] == [True, True, False]
    assert before["ensemble"] == after["ensemble"]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (put(["izhikevic"]), ["estimators.cnn.cross", "'izhikevic'", "did you mean 'izhikevich'"]),
        (put(["mainen_10"]), ["estimators.cnn.cross", "is this study", "remove it"]),
        (put(["hh_point_2"]), ["estimators.cnn.cross", "hh_point_2", "no signal 'voltage'", "soma_voltage"]),
        (put(["izhikevich"], dt_ms=0.01), ["estimators.cnn.cross", "dt_ms 0.02 in izhikevich and 0.01 here"]),
        (
            put(["izhikevich"], record_ms=[110, 280]),
            ["estimators.cnn.cross", "shape (9000,) in izhikevich and (8500,) here", "same protocol"],
        ),
        (put("izhikevich"), ["estimators.cnn.cross", "expected a list"]),
        (put([]), ["estimators.cnn.cross", "[]"]),
    ],
)
def test_studies_that_cannot_be_crossed(load, edit, words):
    with pytest.raises(ConfigError) as caught:
        load(edit)
    for word in ("mainen_10.yaml", *words):
        assert word in str(caught.value)


def test_a_scale_that_the_other_study_lacks(load):
    def edit(content):
        content["scales"]["overnight"] = {}

    with pytest.raises(ConfigError, match=r"cnn\.cross: .*izhikevich\.yaml: scale 'overnight' is unknown; there are"):
        load(edit, scale="overnight")

    def without(content):
        content["scales"]["overnight"] = {"estimators": {"cnn": {"cross": None}}}

    with pytest.raises(ConfigError, match=r"add `cross: \[other_study\]` to the study file"):
        cross.others(load(without, scale="overnight"), "cnn")


def test_no_other_step_depends_on_it(load):
    def without(content):
        del content["estimators"]["cnn"]["cross"]

    def steps(study):
        specs = [study.train_spec("cnn", fold) for fold in study.folds("cnn")]
        specs += [study.dataset_spec(d) for d in study.datasets] + [study.shard_spec("train", "00000")]
        return [canonical(s) for s in (*specs, study.evaluate_spec("cnn"), study.report_spec())]

    assert steps(load()) == steps(load(without))
