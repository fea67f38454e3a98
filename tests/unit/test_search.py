"""Random search: draws, rejected designs, specifications, trainings that go wrong, and the ranking."""

import copy
import csv
import itertools
import json
import math
import re

import numpy as np
import pytest
import yaml
from test_architecture import INPUT_SCAN, OUTPUTS_SCAN, PUBLISHED_SCAN, build, hyperparameters
from tiny import FEATURES, HYPERPARAMETERS, SPACE, make_dataset

from neuroinverse import search
from neuroinverse.config import load_study, read_space
from neuroinverse.errors import ConfigError, NeuroinverseError
from neuroinverse.estimators import architecture
from neuroinverse.estimators.space import check_space, draw_design, rejection
from neuroinverse.estimators.training import TrainingState
from neuroinverse.evaluation.ranking import COLUMNS, FIRST, ranked
from neuroinverse.provenance import canonical
from neuroinverse.stages import rank_trials, train_trial
from neuroinverse.stages.train_fold import Trained

INPUT, OUTPUTS = (9000, 1), 4


@pytest.fixture(autouse=True)
def at_root(root, monkeypatch):
    """Studies and spaces are named relative to the repository."""
    monkeypatch.chdir(root)


@pytest.fixture
def space():
    return read_space("published")


def draw(space, trial, seed=1, study="a_study", shape=INPUT, n_outputs=OUTPUTS):
    return draw_design(space, seed, study, trial, shape, n_outputs)


def test_a_trial_depends_on_seed_study_and_number_alone(space):
    designs = [draw(space, trial) for trial in range(20)]
    assert [draw(space, trial) for trial in reversed(range(20))] == designs[::-1]
    assert draw(dict(reversed(space.items())), 7) == designs[7], "the order of the file says nothing"
    texts = {canonical(d.hyperparameters) for d in designs}
    assert len(texts) == 20
    for other in ({"seed": 2}, {"study": "another"}):
        assert canonical(draw(space, 3, **other).hyperparameters) not in texts


def test_another_range_leaves_the_other_draws_as_they_are(space):
    wider = space | {"dropFrac": {"one_of": [0.1, 0.3]}}
    for trial in range(10):
        before, after = draw(space, trial), draw(wider, trial)
        assert after.hyperparameters["dropFrac"] in (0.1, 0.3)
        assert after.hyperparameters | {"dropFrac": 0} == before.hyperparameters | {"dropFrac": 0}


def test_draws_are_those_of_the_published_listing(space):
    """The ranges of the listing, written out; both ends of each are reached."""
    found = [draw(space, trial).hyperparameters for trial in range(600)]
    rejected = [r.hyperparameters for trial in range(600) for r in draw(space, trial).rejected]
    drawn = found + rejected

    def values(of):
        return {of(h) for h in drawn}

    def steps(widths):
        return {b - a for a, b in itertools.pairwise(widths)}

    assert values(lambda h: len(h["conv_filter"])) == set(range(2, 8))
    assert values(lambda h: h["conv_filter"][0]) == set(range(2, 21))
    assert set().union(*(steps(h["conv_filter"]) for h in drawn)) == set(range(8))
    assert values(lambda h: h["conv_kernel"]) == values(lambda h: h["pool_len"]) == set(range(3, 8))
    assert values(lambda h: h["conv_repeat"]) == {1, 2, 3}
    assert values(lambda h: len(h["fc_dims"])) == set(range(2, 8))
    assert values(lambda h: h["fc_dims"][-1]) == set(range(OUTPUTS, 51))
    assert set().union(*(steps(h["fc_dims"][::-1]) for h in drawn)) == set(range(20))
    assert values(lambda h: h["dropFrac"]) == {0.01, 0.02, 0.05}
    assert values(lambda h: h["optimizerName"]) == {"adam", "nadam", "adadelta"}
    assert values(lambda h: h["batch_size"]) == {16, 32, 64, 128}
    assert values(lambda h: (h["lastAct"], h.get("outAmpl", 1.0))) == {("linear", 1.0), ("tanh", 1.2)}
    assert values(lambda h: h["lossName"]) == {"mse", "mae"}
    factors = np.sqrt([h["reduceLR_factor"] for h in drawn])
    assert 0.2 <= factors.min() < 0.21 and 0.79 < factors.max() <= 0.8 and abs(factors.mean() - 0.5) < 0.03
    assert {h["learning_rate"] for h in drawn if h["optimizerName"] == "adadelta"} == {1.0}
    assert all(len(steps(h[key])) == 1 for h in drawn for key in ("conv_filter", "fc_dims")), "one step per network"


def test_rejected_draws_cannot_be_built_and_others_can(space):
    designs = [draw(space, trial) for trial in range(200)]
    assert all(rejection(d.hyperparameters, INPUT, OUTPUTS, {}) is None for d in designs)
    rejected = [r for d in designs for r in d.rejected]
    assert len(rejected) > 20, "nothing is shown where nothing is rejected"
    for r in rejected:
        block = int(re.fullmatch(r"the input is used up in block (\d)", r.kind)[1])
        match = re.fullmatch(
            r"the network dies at layer \w+?_(\d)(?:_\d)?: \w+ needs (\d+) .* (\d+) are left .*", r.reason
        )
        assert int(match[1]) == block <= len(r.hyperparameters["conv_filter"]) and int(match[2]) > int(match[3])
        with pytest.raises(ConfigError, match="dies"):
            architecture.layer_shapes(*INPUT, r.hyperparameters)


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        ({"flat_size": 459}, "flat size above 459"),
        ({"weights": 106_000}, "weights above 106000"),
        ({"multiply_adds": 1_000_000}, "multiply-adds above 1000000"),
    ],
)
def test_limits_reject_with_their_numbers(limits, kind):
    """Golden 203: 460 flat features and 106.4k weights."""
    h = hyperparameters(2, [18, 25, 32, 39, 46], 6, 4, [80, 63, 46, 29])
    assert rejection(h, (INPUT_SCAN, 1), OUTPUTS_SCAN, {"flat_size": 460, "weights": 107_000}) is None
    found = rejection(h, (INPUT_SCAN, 1), OUTPUTS_SCAN, limits)
    assert found[0] == kind and int(re.search(r"\d+", found[1])[0]) > next(iter(limits.values()))


def test_a_space_without_a_network_for_the_input_says_so(space):
    with pytest.raises(ConfigError, match=r"none of 2000 draws is a network for an input of 10 samples.*Draw fewer"):
        draw(space, 0, shape=(10, 1))


@pytest.mark.parametrize("row", PUBLISHED_SCAN, ids=lambda row: str(row[0]))
def test_sizes_are_those_of_the_published_table(row):
    _, repeat, filters, kernel, pool, fc, _, weights_k, layers = row
    h = hyperparameters(repeat, filters, kernel, pool, fc, dropFrac=0.01)
    assert round(architecture.weights(INPUT_SCAN, 1, h, OUTPUTS_SCAN) / 1000, 1) == weights_k
    # the published count has two more for every network, whatever it is made of
    assert architecture.layers(h) == layers - 2


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"dropFrac": 0.1, "outAmpl": 1.2},
        {"bias": ["conv"]},
        {"bias": ["fc"]},
        {"head": "gaussian", "lossName": "nll"},
    ],
)
def test_sizes_are_those_that_keras_counts(more):
    h = hyperparameters(2, [3, 5], 4, 2, [7, 6], **more)
    model = build(50, h, 3, n_channels=2)
    assert architecture.weights(50, 2, h, 3) == model.count_params()
    assert architecture.layers(h) == len(model.layers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv_kernels": 3}, r"unknown key 'conv_kernels' \(did you mean 'conv_kernel'"),
        ({"conv_kernel": {"integer": [3, 7]}}, r"unknown key 'integer' \(did you mean 'integers'"),
        ({"pool_len": None}, r"pool_len"),
        ({"lossName": {"one_of": ["mse", "msle"]}}, r"lossName: 'msle' is not one of"),
        ({"dropFrac": {"uniform": [0.1, 1.0]}}, r"dropFrac: 1.0 is greater than or equal to the maximum"),
        ({"conv_filter_first": {"integers": [0, 4]}}, r"conv_filter.0: 0 is less than the minimum"),
        ({"together": {"lossName": {"mse": {"optimiser": "adam"}}}}, r"unknown key 'optimiser'"),
        ({"limits": {"flat": 3}}, r"limits: unknown key 'flat' \(did you mean 'flat_size'"),
    ],
)
def test_a_space_that_is_none_is_refused(tmp_path, monkeypatch, space, change, message):
    monkeypatch.setattr("neuroinverse.config.SPACES", tmp_path)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(space | change))
    with pytest.raises(ConfigError, match=r"mine\.yaml.*" + message):
        read_space("mine")


def test_a_space_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"here: 'publised' is unknown \(did you mean 'published'\?\)"):
        read_space("publised", "here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pool_len": {"integers": [5, 3]}}, "pool_len.integers: 5 to 3 is no range"),
        ({"fc_last": {"integers": ["outputs", 3]}}, "fc_last.integers: 4 to 3 is no range"),
        ({"learning_rate": {"log_uniform": [0, 1]}}, "above zero"),
        ({"together": {"lastAct": {"relu": {}}}}, "'relu' is never drawn; lastAct is one of linear, tanh"),
    ],
)
def test_ranges_that_hold_nothing(space, change, message):
    with pytest.raises(ConfigError, match=message):
        check_space(space | change, OUTPUTS)


# --- studies ---


def edited(tmp_path, root, **changes):
    """The study izhikevich at the scale demo with another search."""
    content = yaml.safe_load((root / "config" / "studies" / "izhikevich.yaml").read_text())
    section = content["estimators"]["cnn"]["search"] | {k: v for k, v in changes.items() if k != "folds"}
    section = {k: v for k, v in section.items() if v is not None}
    # few finalists leave no room for the study's own repeats
    if "finalists" in changes and "stability" not in changes:
        del section["stability"]
    content["estimators"]["cnn"]["search"] = section
    content["estimators"]["cnn"]["folds"] = changes.get("folds", 4)
    path = tmp_path / "izhikevich.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_study(path, "demo", 1)


def test_trials_do_not_depend_on_each_other(tmp_path, root):
    base, more = edited(tmp_path, root, trials=10, finalists=2), edited(tmp_path, root, trials=12, finalists=3)
    for trial in range(10):
        spec = search.trial_spec(base, "cnn", trial)
        assert spec == search.trial_spec(more, "cnn", trial) == json.loads(canonical(spec))
        assert spec["fold"] == trial % 4 and spec["hyperparameters"]["epochs"] == 8
    assert search.ranking_spec(base, "cnn") != search.ranking_spec(more, "cnn")
    fewer = edited(tmp_path, root, trials=10, finalists=1)
    assert search.ranking_spec(fewer, "cnn") == search.ranking_spec(base, "cnn")
    assert search.finalist_spec(fewer, "cnn", 1) == search.finalist_spec(base, "cnn", 1)
    assert search.members(base, "cnn", "finalists") == ["finalist-1", "finalist-2"]
    with pytest.raises(ConfigError, match="there is no finalist 11"):
        search.finalist_spec(base, "cnn", 11)


def test_the_report_does_not_depend_on_the_search(tmp_path, root):
    base, other = edited(tmp_path, root), edited(tmp_path, root, trials=7, n=1000)
    assert canonical(base.report_spec()) == canonical(other.report_spec())
    assert "search" not in canonical(base.report_spec()) and "search" not in canonical(base.train_spec("cnn", 0))


def test_a_search_on_the_first_simulations(tmp_path, root):
    study = edited(tmp_path, root, n=1000)
    assert search.dataset(study, "cnn") == "train@1000" and search.trial_spec(study, "cnn", 0)["n"] == 1000
    assert search.finalist_spec(study, "cnn", 1)["n"] == 2000
    assert search.dataset(edited(tmp_path, root, n=2000), "cnn") == "train"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 1100}, r"search\.n: 1100 must be a multiple of datasets.shard_size \(500\)"),
        ({"n": 4000}, r"search\.n: 4000 of the 2000 simulations of train"),
        ({"finalists": 41}, r"search\.finalists: 41 of 40 trials"),
        ({"folds": 1}, r"the estimator 2 folds or more"),
        ({"space": "golden"}, r"search\.space: 'golden' is unknown"),
        ({"trails": 3}, r"unknown key 'trails' \(did you mean 'trials'"),
    ],
)
def test_a_search_that_cannot_work(tmp_path, root, changes, message):
    with pytest.raises(ConfigError, match=message):
        edited(tmp_path, root, **changes)


def test_the_published_number_of_trials_fits_a_command_line():
    study = load_study("izhikevich", "paper", 1)
    assert len(search.trials(study, "cnn")) == 400
    for tier in search.TIERS:
        assert len(canonical(search.tier_spec(study, "cnn", tier))) < 30_000


def test_requests_hold_for_the_largest_design():
    study = load_study("izhikevich", "demo", 1)
    trials = search.members(study, "cnn", "ranking")
    assert search.layers_megabytes(study, "cnn", "finalist-1") == max(
        search.layers_megabytes(study, "cnn", t) for t in trials
    )
    minutes = [search.member_minutes(study, "cnn", t, 1) for t in trials]
    assert min(minutes) >= 10 and search.member_minutes(study, "cnn", "finalist-1", 1) >= max(minutes)


# --- trainings ---


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("tiny"))


def trial(**h) -> dict:
    """Specification of a trial on the tiny dataset."""
    return {
        "version": 1,
        "simulation": {"study": "tiny"},
        "parameters": SPACE.to_table(),
        "n": 60,
        "signal": "voltage",
        "features": FEATURES,
        "hyperparameters": HYPERPARAMETERS | {"epochs": 2} | h,
        "precision": "float32",
        "folds": 3,
        "fold": 1,
        "master_seed": 1,
        "trial": 4,
    }


def run(spec, dataset, folder, **more):
    import tensorflow as tf

    threads = tf.config.threading.get_intra_op_parallelism_threads()
    found = train_trial.run(spec, dataset.path, folder / "result.json", folder / "history.csv", threads=threads, **more)
    assert json.loads((folder / "result.json").read_text()) == found
    return found, list(csv.DictReader((folder / "history.csv").open()))


def test_a_trial_is_ranked_by_squared_error_whatever_its_loss(dataset, tmp_path):
    squared, history = run(trial(lossName="mse"), dataset, tmp_path / "mse")
    assert squared["status"] == "ok" and squared["epochs"] == len(history) == 2 and not squared["early_stopped"]
    assert squared["mse_unit"] == pytest.approx(squared["loss"], rel=1e-5)
    assert (squared["n_train"], squared["n_validation"]) == (40, 20) and squared["fold"] == 1
    absolute, _ = run(trial(lossName="mae"), dataset, tmp_path / "mae")
    assert absolute["mse_unit"] != pytest.approx(absolute["loss"], rel=1e-2)
    again, _ = run(trial(lossName="mse"), dataset, tmp_path / "again")
    assert again["mse_unit"] == pytest.approx(squared["mse_unit"], rel=1e-4)
    assert not (tmp_path / "mse" / "checkpoint").exists()


def test_a_trial_that_diverges_is_a_result(dataset, tmp_path):
    found, history = run(trial(learning_rate=1e30, optimizerName="sgd"), dataset, tmp_path)
    assert found["status"] == "diverged" and "diverged" in found["message"] and found.get("mse_unit") is None
    assert found["loss"] is None and len(history) == found["epochs"] == 1 and found["weights"] > 0
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize("last", [0.05, math.nan])
def test_a_trial_that_diverges_late_is_no_good_one(dataset, tmp_path, monkeypatch, last):
    rows = [{"loss": 0.1, "val_loss": 0.1}, {"loss": last, "val_loss": last}]
    state = TrainingState("", epoch=2, best_loss=0.1, best_epoch=1, stopped=True, history=rows)
    metadata = {"validation_rmse_unit": [0.3, 0.4], "n_train": 40, "n_validation": 20}
    monkeypatch.setattr(train_trial, "train", lambda *_: Trained(metadata, state))
    # train writes the history
    (tmp_path / "history.csv").touch()
    found, _ = run(trial(epochs=3), dataset, tmp_path)
    assert found["mse_unit"] == pytest.approx(0.125) and found["epochs"] == 2
    well = math.isfinite(last)
    assert (found["status"], found["early_stopped"]) == (("ok", True) if well else ("diverged", False))


def test_a_design_too_large_for_the_machine_is_a_result(dataset, tmp_path, monkeypatch):
    def full(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(train_trial, "train", full)
    found, history = run(trial(), dataset, tmp_path)
    assert found["status"] == "failed" and found["message"] == "no room" and history == []


def test_what_concerns_every_trial_is_an_error(dataset, tmp_path, monkeypatch):
    def broken(*_):
        raise NeuroinverseError("the dataset is damaged")

    monkeypatch.setattr(train_trial, "train", broken)
    with pytest.raises(NeuroinverseError, match="damaged"):
        run(trial(), dataset, tmp_path)
    assert not (tmp_path / "result.json").exists()


def finalist(rank) -> dict:
    spec = {k: v for k, v in trial().items() if k not in ("hyperparameters", "fold", "trial")}
    return spec | {"rank": rank, "epochs": 3, "ranking": "sum"}


def test_a_finalist_takes_the_design_of_its_rank(dataset, tmp_path):
    designs = [HYPERPARAMETERS | {"epochs": 1, "fc_dims": [n]} for n in (5, 6, 7)]
    rows = [{"trial": t, "status": "ok", "hyperparameters": h} for t, h in zip((8, 2, 5), designs, strict=True)]
    rows[2]["status"] = "diverged"
    ranking = tmp_path / "ranking.json"
    ranking.write_text(json.dumps({"rows": rows}))
    found, history = run(finalist(2), dataset, tmp_path / "f2", ranking=ranking)
    assert found["trial"] == 2 and found["fold"] == 2 and found["rank"] == 2
    assert found["hyperparameters"] == designs[1] | {"epochs": 3} and len(history) == 3
    found, history = run(finalist(3), dataset, tmp_path / "f3", ranking=ranking)
    assert found["status"] == "none" and "only 2 trials" in found["message"] and history == []


# --- ranking ---


def result(trial, mse, status="ok", **h):
    values = {"fold": 0, "loss": mse, "early_stopped": False, "epochs": 1, "fit_minutes": 1.5, "weights": 1234}
    values |= {"flat_size": 10, "layers": 9, "message": "" if status == "ok" else "why"}
    return {
        "trial": trial, "status": status, "mse_unit": mse, "hyperparameters": HYPERPARAMETERS | h, **values
    }  # fmt: skip


def test_order_of_the_ranking():
    rows = [
        result(0, 0.5), result(1, None, "failed"), result(2, 0.1, "diverged"), result(3, 0.2), result(4, 0.5),
        result(5, None, "diverged"), result(6, 0.05),
    ]  # fmt: skip
    expected = [6, 3, 0, 4, 1, 2, 5]
    assert [r["trial"] for r in ranked(rows)] == [r["trial"] for r in ranked(rows[::-1])] == expected
    assert [r["place"] for r in ranked(rows)] == [1, 2, 3, 4, 5, 6, 7]


def write(folder, name, content):
    (folder / name).mkdir(parents=True)
    (folder / name / "result.json").write_text(json.dumps(content))


def rank(folder, spec, tier, **more):
    files = {"output": "json", "table": "csv", "page": "html", "figure": "png"}
    files = {key: folder / f"{tier}.{suffix}" for key, suffix in files.items()}
    spec = {"study": "a_study", "scale": "demo", "estimator": "cnn", "tier": tier} | spec
    return rank_trials.run(spec, folder, **files, **more)


def test_both_tables(tmp_path, space):
    results = [result(0, 0.3), result(1, None, "diverged"), result(2, 0.2, lossName="mae", optimizerName="nadam")]
    for r in results:
        write(tmp_path, f"trial-{r['trial']}", r)
    spec = {"members": [f"trial-{t}" for t in range(3)], "space": space, "master_seed": 1, "input": list(INPUT)}
    found = rank(tmp_path, spec | {"n_outputs": OUTPUTS}, "ranking")
    with (tmp_path / "ranking.csv").open() as file:
        table = list(csv.DictReader(file))
    assert tuple(table[0]) == COLUMNS
    assert [(r["rank"], r["trial"], r["status"]) for r in table] == [
        ("1", "2", "ok"),
        ("2", "0", "ok"),
        ("3", "1", "diverged"),
    ]
    first = {"loss_name": "mae", "optimizer": "nadam", "weights_k": "1.2", "conv_filter": "[4, 6]", "batch_size": "8"}
    assert {key: table[0][key] for key in first} == first
    assert table[2]["mse_unit"] == "" and table[2]["message"] == "why"
    rejected = [(t, r.reason) for t in range(3) for r in draw(space, t).rejected]
    assert [(r["trial"], r["reason"]) for r in found["rejected"]] == rejected
    assert found["status"] == {"ok": 2, "diverged": 1} and found["fit_minutes"] == 4.5
    page = (tmp_path / "ranking.html").read_text()
    assert "3 trials" in page and "data:image/png" in page and "diverged" in page and "http" not in page
    assert (tmp_path / "ranking.png").read_bytes()[:4] == b"\x89PNG"

    write(tmp_path, "finalist-1", copy.deepcopy(results[2]) | {"mse_unit": 0.12, "rank": 1})
    write(tmp_path, "finalist-2", copy.deepcopy(results[0]) | {"mse_unit": 0.02, "rank": 2})
    write(tmp_path, "finalist-3", {"status": "none", "message": "only 2 trials of the first tier can go on", "rank": 3})
    members = {"members": [f"finalist-{r}" for r in (1, 2, 3)]}
    ended = rank(tmp_path, members, "finalists", ranking=tmp_path / "ranking.json")
    with (tmp_path / "finalists.csv").open() as file:
        table = list(csv.DictReader(file))
    assert set(table[0]) == {*COLUMNS, *FIRST}
    shown = [(r["rank"], r["trial"], r["first_rank"], r["first_mse_unit"], r["status"]) for r in table]
    assert shown == [("1", "0", "2", "0.3", "ok"), ("2", "2", "1", "0.2", "ok"), ("3", "", "", "", "none")]
    assert ended["trials"] == 3 and ended["rejected_draws"] == len(rejected)
    page = (tmp_path / "finalists.html").read_text()
    assert "3 finalists of 3 trials" in page and "only 2 trials" in page


def test_a_search_in_which_nothing_went_well_is_an_error(tmp_path):
    write(tmp_path, "trial-0", result(0, None, "diverged"))
    with pytest.raises(NeuroinverseError, match="none of 1 trainings went well; the first says: why"):
        rank(tmp_path, {"members": ["trial-0"]}, "ranking")
