"""scaling: errors at several training sizes, their power law and its band."""

import itertools
import json

import numpy as np
import pytest
import yaml
from synthetic import make_space, write_predictions

from neuroinverse.config import load_study
from neuroinverse.errors import ConfigError
from neuroinverse.evaluation import metrics
from neuroinverse.evaluation import scaling as measures
from neuroinverse.evaluation.scaling import PowerLaw
from neuroinverse.parameters import seed_sequence
from neuroinverse.provenance import canonical
from neuroinverse.scaling import scaled, scaling_spec
from neuroinverse.stages import scaling

FACTOR, EXPONENT, SIZES = 2.0, -0.3, np.array([1000, 2000, 4000])


def folds(rng, scatter=0.0, k=4, sizes=SIZES):
    """Errors of k folds at each size, scattered around the law."""
    return FACTOR * sizes[:, None] ** EXPONENT * np.exp(rng.normal(-(scatter**2) / 2, scatter, (len(sizes), k)))


# --- the law -------------------------------------------------------------------------------------------------------


def test_the_fit_recovers_a_power_law():
    law = PowerLaw.fit(SIZES, folds(np.random.default_rng(1)), seed_sequence(1, "s/scaling", 0))
    assert (law.factor, law.exponent) == pytest.approx((FACTOR, EXPONENT), rel=1e-9)
    assert law.at([800_000]) == pytest.approx([FACTOR * 800_000**EXPONENT], rel=1e-9)
    # without scatter there is no width
    np.testing.assert_allclose(law.band([10, 1e6]), [law.at([10, 1e6])] * 2, rtol=1e-6)
    assert law.exponent_band() == pytest.approx([EXPONENT, EXPONENT], abs=1e-6)


@pytest.mark.parametrize(("k", "scatter"), [(4, 0.05), (2, 0.2), (8, 0.2)])
def test_the_band_holds_the_law_as_often_as_it_says(k, scatter, monkeypatch):
    """Over many synthetic studies, at a size that was measured and far beyond. Percentiles of the plain bootstrap hold
    it in 60 to 80 of 100 cases only."""
    monkeypatch.setattr(measures, "DRAWS", 600)
    rng, runs = np.random.default_rng(3), 400
    truth, held, exponents = FACTOR * np.array([2000, 800_000]) ** EXPONENT, np.zeros(2), 0
    for run in range(runs):
        law = PowerLaw.fit(SIZES, folds(rng, scatter, k), seed_sequence(1, "s/scaling", run))
        low, high = law.band([2000, 800_000])
        held += (low <= truth) & (truth <= high)
        below, above = law.exponent_band()
        exponents += below <= EXPONENT <= above
    # three standard deviations of a share over so many runs
    margin = 3 * np.sqrt(measures.LEVEL * (1 - measures.LEVEL) / runs)
    print(k, scatter, held / runs, exponents / runs)
    np.testing.assert_allclose([*held / runs, exponents / runs], measures.LEVEL, atol=margin)


def test_the_band_is_drawn_from_the_seed_alone():
    errors = folds(np.random.default_rng(1), 0.1)
    bands = [PowerLaw.fit(SIZES, errors, seed_sequence(s, "s/scaling", 0)).band([1e5]) for s in (1, 1, 2)]
    assert (bands[0] == bands[1]).all() and (bands[0] != bands[2]).all()
    assert bands[0][0] < bands[0][1]


def test_what_gives_no_band():
    rng = np.random.default_rng(1)
    seed = seed_sequence(1, "s/scaling", 0)
    for law in (
        PowerLaw.fit(SIZES[:2], folds(rng, 0.1, sizes=SIZES[:2]), seed),
        PowerLaw.fit(SIZES, folds(rng, 0.1, k=1), seed),
        PowerLaw.fit(SIZES, folds(rng, 0.1)),
    ):
        assert law.band([10]) is None and law.exponent_band() is None and np.isfinite(law.exponent)


def test_the_parts_of_the_folds_make_up_the_ensemble(tmp_path):
    """Their mean is the ensemble's error, and they tell how it changes when a fold counts more."""
    space = make_space(3, log=(1,))
    frame = write_predictions(tmp_path / "p.parquet", space, n=200, folds=3, sd=0.3, common_share=0.3)
    parts = measures.ensemble_parts(tmp_path / "p.parquet", space)
    read = metrics.read_predictions(tmp_path / "p.parquet", space)
    error = metrics.mse(read.mean_unit, read.true_unit)
    assert parts.mean() == pytest.approx(error, rel=1e-9)
    each = np.stack(
        [space.to_unit(np.column_stack([frame[f"{name}_fold{k}"] for name in space.names])) for k in range(3)]
    )
    step = 1e-5
    for fold in range(3):
        # weights of 1/3 each, less a little of all for this one
        weights = np.full(3, (1 - step) / 3) + step * (np.arange(3) == fold)
        moved = metrics.mse(np.tensordot(weights, each, 1), read.true_unit)
        assert (moved - error) / step == pytest.approx(parts[fold] - error, rel=1e-3, abs=1e-6)


# --- the stage -----------------------------------------------------------------------------------------------------


def run(folder, sizes, k=4, published=(), paper=(100_000,)):
    """The stage on ensembles whose error falls with the size."""
    space, paths = make_space(2), ([], [])
    for n in sizes:
        file = folder / f"{n}.parquet"
        write_predictions(file, space, n=300, folds=k, sd=n**-0.25, common_share=0.5, seed=n)
        read = metrics.read_predictions(file, space)
        content = {
            "n_test": len(read),
            "mse_unit": metrics.mse(read.mean_unit, read.true_unit),
            "mse_unit_folds": list(read.mse_unit_folds),
            "mse_unit_folds_mean": float(np.mean(read.mse_unit_folds)),
            "train_seconds_per_fold": n / 100,
            "parameters": metrics.parameter_errors(read),
        }
        (folder / f"{n}.json").write_text(json.dumps(content))
        paths[0].append(folder / f"{n}.json")
        paths[1].append(file)
    spec = {"study": "s", "scale": "demo", "estimator": "cnn", "master_seed": 1, "parameters": space.to_table()}
    spec |= {"sizes": [{"n_train": n, "ensemble": ""} for n in sizes], "paper_size": list(paper)}
    spec |= {"published": [{"n_train": n, "mse_unit": mse} for n, mse in published]}
    out = [folder / name for name in ("scaling.json", "scaling.html", "scaling.png")]
    return scaling.run(json.loads(canonical(spec)), *paths, *out), out


def test_sizes_laws_and_extrapolation(tmp_path):
    """Sizes come in the order of the study, which is not that of their digits."""
    found, (table, page, figure) = run(tmp_path, (500, 1000, 2000), published=[(1000, 0.5), (50_000, 0.01)])
    assert json.loads(table.read_text()) == found and figure.stat().st_size
    rows = found["sizes"]
    assert [(s["n_train"], s["published"]) for s in rows] == [(500, None), (1000, 0.5), (2000, None)]
    for s in rows:
        each = np.array(s["mse_unit_folds"])
        assert (s["mse_unit_folds_min"], s["mse_unit_folds_max"]) == (each.min(), each.max())
        assert s["mse_unit_folds_sd"] == pytest.approx(each.std(ddof=1))
        assert s["mse_unit_folds_mean"] == pytest.approx(each.mean())
        assert set(s["parameters"]) == {"g_channel0", "g_channel1"}
    # errors of the folds go with n^-0.5
    laws = found["laws"]
    assert laws["mse_unit_folds_mean"]["exponent"] == pytest.approx(-0.5, abs=0.1)
    assert laws["error_percent_of_range"]["g_channel0"]["exponent"] == pytest.approx(-0.25, abs=0.1)
    for key in ("mse_unit_folds_mean", "mse_unit"):
        slope, offset = np.polyfit(np.log([500, 1000, 2000]), np.log([s[key] for s in rows]), 1)
        assert (laws[key]["exponent"], laws[key]["factor"]) == pytest.approx((slope, np.exp(offset)), rel=1e-6)
        low, high = laws[key]["exponent_band"]
        assert low < slope < high
    assert [(r["n_train"], r["published"]) for r in found["extrapolated"]] == [
        (1000, 0.5),
        (50_000, 0.01),
        (100_000, None),
    ]
    for row in found["extrapolated"]:
        for key in ("mse_unit_folds_mean", "mse_unit"):
            low, high = row[f"{key}_band"]
            assert low < row[key] < high
            assert row[key] == pytest.approx(laws[key]["factor"] * row["n_train"] ** laws[key]["exponent"])
    assert found["no_band"] is None and "No band" not in page.read_text()


@pytest.mark.parametrize(
    ("sizes", "k", "reason"),
    [
        ((500,), 4, "1 training size: a band takes 3 or more"),
        ((500, 1000), 4, "2 training sizes: a band takes 3 or more"),
        ((500, 1000, 2000), 1, "a single fold: a band takes the scatter of several"),
    ],
)
def test_too_few_for_a_band(tmp_path, sizes, k, reason):
    found, (_, page, figure) = run(tmp_path, sizes, k)
    assert found["no_band"] == reason and f"No band can be had from {reason}" in page.read_text()
    assert figure.stat().st_size
    if len(sizes) == 1:
        assert found["laws"] is None and found["extrapolated"] == []
    else:
        assert found["laws"]["mse_unit"]["exponent"] < 0 and found["laws"]["mse_unit"]["exponent_band"] is None
        assert found["extrapolated"][0]["mse_unit_band"] is None


# --- the study -----------------------------------------------------------------------------------------------------


def test_the_study_s_own_size_is_not_trained_twice(root, monkeypatch):
    monkeypatch.chdir(root)
    study = load_study("izhikevich", "demo", 1)
    assert scaled(study, "cnn") == {2000: "cnn", 4000: "cnn@4000", 8000: "cnn@8000"}
    assert study.training_dataset("cnn@4000") == "train@4000" and study.n("train@4000") == 4000
    assert scaling_spec(study, "cnn")["paper_size"] == [800_000]


def test_sizes_are_nested(root, monkeypatch):
    """A smaller training set is the beginning of a larger one, of the same shards."""
    monkeypatch.chdir(root)
    study = load_study("izhikevich", "demo", 1)
    datasets = [study.training_dataset(name) for name in scaled(study, "cnn").values()]
    assert len({canonical(study.dataset_spec(d)["simulation"]) for d in datasets}) == 1
    shards = [study.shards(d) for d in datasets]
    assert all(longer[: len(shorter)] == shorter for shorter, longer in itertools.pairwise(shards))
    assert [len(s) for s in shards] == [4, 8, 16]


@pytest.fixture
def load(tmp_path, root, monkeypatch):
    """Loads mainen_10 after an edit of its estimator."""
    monkeypatch.chdir(root)

    def load_edited(scale="workstation", **changes):
        content = yaml.safe_load((root / "config" / "studies" / "mainen_10.yaml").read_text())
        estimator = content["estimators"]["cnn"] | changes
        content["estimators"]["cnn"] = {key: value for key, value in estimator.items() if value is not None}
        # named like the one whose specifications are compared
        path = tmp_path / "mainen_10.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return load_study(path, scale, 1)

    return load_edited


def test_only_the_table_depends_on_published_errors(load):
    def steps(study):
        names = [*scaled(study, "cnn").values()]
        specs = [study.train_spec(e, fold) for e in names for fold in study.folds(e)]
        specs += [study.evaluate_spec(e) for e in names] + [study.dataset_spec(d) for d in study.datasets]
        return [canonical(s) for s in (*specs, study.shard_spec("train", "00000"), study.report_spec())]

    with_keys, without = load(), load(published_scaling=None, cross=None)
    assert steps(with_keys) == steps(without)
    tables = [scaling_spec(study, "cnn") for study in (with_keys, without)]
    assert tables[0]["published"][0] == {"n_train": 100_000, "mse_unit": 0.056} and tables[1]["published"] == []
    assert {**tables[0], "published": []} == tables[1]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"many": 0.1}, "'many' is text; expected a whole number"),
        ({1000: 0}, "0 is less than or equal"),
        ({}, "non-empty"),
    ],
)
def test_published_errors_that_are_none(load, value, words):
    with pytest.raises(ConfigError, match=words):
        load(published_scaling=value)
