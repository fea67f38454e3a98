"""The best designs trained again: seeds and folds of the repeats, what they say of a design, and the choice."""

import csv
import json
import math
import re
import statistics

import numpy as np
import pytest
import yaml
from test_search import edited, finalist, result, run
from tiny import HYPERPARAMETERS, make_dataset

from neuroinverse import search
from neuroinverse.config import load_study, network_names
from neuroinverse.errors import ConfigError, NeuroinverseError
from neuroinverse.estimators.training import learning_rate
from neuroinverse.evaluation.stability import COLUMNS, DESIGN, choose, converged, spread_plot, summarised
from neuroinverse.provenance import canonical
from neuroinverse.stages import stability, train_trial


@pytest.fixture(autouse=True)
def at_root(root, monkeypatch):
    """Studies and spaces are named relative to the repository."""
    monkeypatch.chdir(root)


# --- studies ---


def test_no_training_of_the_search_depends_on_its_repeats(tmp_path, root):
    without, few, many = (
        edited(tmp_path, root, trials=10, stability=section)
        for section in (None, {"designs": 1, "repeats": 2}, {"designs": 4, "repeats": 16})
    )
    for member in [*search.members(without, "cnn", "ranking"), *search.members(without, "cnn", "finalists")]:
        specs = [canonical(search.member_spec(study, "cnn", member)) for study in (without, few, many)]
        assert specs[0] == specs[1] == specs[2]
    for tier in search.TIERS:
        specs = [canonical(search.tier_spec(study, "cnn", tier)) for study in (without, few, many)]
        assert specs[0] == specs[1] == specs[2]
    assert canonical(without.report_spec()) == canonical(many.report_spec())
    with pytest.raises(ConfigError, match=re.escape("add `stability: {designs: 3, repeats: 16}` to its search")):
        search.repeats(without, "cnn")


def test_a_repeat_depends_on_its_design_and_number_alone(tmp_path, root):
    few, many = (
        edited(tmp_path, root, trials=10, stability={"designs": d, "repeats": r}) for d, r in ((1, 2), (4, 16))
    )
    assert search.repeats(few, "cnn") == ["design-1-repeat-0", "design-1-repeat-1"]
    assert set(search.repeats(few, "cnn")) < set(search.repeats(many, "cnn"))
    specs = {m: search.member_spec(many, "cnn", m) for m in search.repeats(many, "cnn")}
    assert len({canonical(spec) for spec in specs.values()}) == 64
    for member, spec in specs.items():
        rank, repeat = map(int, re.fullmatch(r"design-(\d+)-repeat-(\d+)", member).groups())
        assert (spec["rank"], spec["repeat"], spec["fold"]) == (rank, repeat, repeat % 4)
        assert spec["epochs"] == 30 and spec == json.loads(canonical(spec))
        assert spec == search.member_spec(few, "cnn", member)
    other = edited(tmp_path, root, trials=10, finalists=4, stability={"designs": 1, "repeats": 2})
    assert search.repeat_spec(other, "cnn", 1, 0) != search.repeat_spec(few, "cnn", 1, 0), "its ranking is another"
    with pytest.raises(ConfigError, match=r"there is no design 6; search\.finalists is 5"):
        search.repeat_spec(few, "cnn", 6, 0)


def test_a_repeat_asks_for_what_a_finalist_does(tmp_path, root):
    study = edited(tmp_path, root, trials=5)
    of = [(search.member_minutes(study, "cnn", m, 1), search.layers_megabytes(study, "cnn", m))
          for m in ("finalist-1", "design-2-repeat-3")]  # fmt: skip
    assert of[0] == of[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"designs": 6, "repeats": 2}, r"search\.stability\.designs: 6 of 5 finalists"),
        ({"designs": 1, "repeats": 1}, r"stability\.repeats: 1 is less than the minimum of 2"),
        ({"designs": 1}, r"stability: missing 'repeats'"),
        ({"designs": 1, "repeat": 3, "repeats": 2}, r"unknown key 'repeat' \(did you mean 'repeats'"),
    ],
)
def test_a_request_that_cannot_work(tmp_path, root, changes, message):
    with pytest.raises(ConfigError, match=message):
        edited(tmp_path, root, stability=changes)


def test_the_published_number_of_repeats_fits_a_command_line():
    study = load_study("izhikevich", "paper", 1)
    assert search.settings(study, "cnn")["stability"] == {"designs": 3, "repeats": 16}
    assert len(canonical(search.stability_spec(study, "cnn"))) < 10_000


# --- trainings ---


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def finalists(tmp_path):
    """finalists.json: two designs that went well, the better one of trial 8, and one that did not."""
    designs = [HYPERPARAMETERS | {"fc_dims": [n]} for n in (5, 6, 7)]
    states = ("ok", "ok", "diverged")
    rows = [{"trial": t, "status": s, "hyperparameters": h} for t, s, h in zip((8, 2, 5), states, designs, strict=True)]
    path = tmp_path / "finalists.json"
    path.write_text(json.dumps({"rows": rows}))
    return path


def repeat(rank, i) -> dict:
    return finalist(rank) | {"repeat": i, "fold": i % 3, "finalists": "sum"}


def test_a_repeat_is_another_training_of_a_finalists_design(dataset, finalists, tmp_path):
    found = {}
    for rank, i, name in ((1, 0, "a"), (1, 0, "again"), (1, 3, "b"), (2, 0, "c")):
        found[name], history = run(repeat(rank, i), dataset, tmp_path / name, ranking=finalists)
        assert found[name]["status"] == "ok" and len(history) == 3
    place = {name: [f[key] for key in ("trial", "rank", "repeat", "fold")] for name, f in found.items()}
    assert place == {"a": [8, 1, 0, 0], "again": [8, 1, 0, 0], "b": [8, 1, 3, 0], "c": [2, 2, 0, 0]}
    assert found["a"]["hyperparameters"]["fc_dims"] == [5] and found["c"]["hyperparameters"]["fc_dims"] == [6]
    # the same fold of the same design, from other weights and in another order
    assert found["a"]["mse_unit"] == pytest.approx(found["again"]["mse_unit"], rel=1e-4)
    assert found["a"]["mse_unit"] != pytest.approx(found["b"]["mse_unit"], rel=1e-3)


def test_no_two_trainings_share_random_numbers(finalists, monkeypatch, tmp_path, dataset):
    streams = []

    def caught(found, path, folder, stream, *_):
        streams.append((stream, found["fold"]))
        raise MemoryError

    monkeypatch.setattr(train_trial, "train", caught)
    for spec in (finalist(1), repeat(1, 0), repeat(1, 8), repeat(2, 0)):
        run(spec, dataset, tmp_path / f"{len(streams)}", ranking=finalists)
    assert len({stream for stream, _ in streams}) == 4
    assert [fold for _, fold in streams] == [8 % 3, 0, 8 % 3, 0]


def test_a_design_that_is_not_there(dataset, finalists, tmp_path):
    found, history = run(repeat(3, 1), dataset, tmp_path / "x", ranking=finalists)
    assert found["status"] == "none" and found["message"] == "only 2 finalists can go on" and history == []
    assert (found["rank"], found["repeat"]) == (3, 1)


# --- whether a training was at its end ---


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([1.0], False),
        ([1.0, 0.5], False),
        ([1.0, 0.96], True),
        # a plateau, its best epoch the last
        ([0.1 + 0.9 * math.exp(-t / 3) for t in range(30)], True),
        # still falling by 3 % an epoch
        ([0.97**t for t in range(30)], False),
        # noise around a plateau, and the end of a training that got worse
        ([0.1 * (1 + 0.3 * (-1) ** t) for t in range(30)], True),
        ([0.97**t for t in range(20)] + [1.0] * 10, True),
    ],
)
def test_convergence(losses, expected):
    assert converged(losses) is expected


def test_a_cosine_that_has_come_to_its_end_has_converged_and_one_too_short_has_not():
    """A distance to the minimum that shrinks with the rate of every epoch, and noise as large as its square."""
    from neuroinverse.estimators.training import TrainingState

    def losses(epochs, speed):
        h = {"lrSchedule": "cosine", "learning_rate": 1.0, "epochs": epochs}
        rates = [learning_rate(h, e, TrainingState("")) for e in range(epochs)]
        distance = np.exp(-2 * speed * np.cumsum(rates))
        return (distance + 0.3 * np.array(rates) ** 2 + 0.05).tolist()

    settled = losses(30, 0.3)
    assert int(np.argmin(settled)) == 29, "its best epoch is the last, which says nothing"
    assert converged(settled)
    # the last of three epochs still has a quarter of the first rate
    assert not converged(losses(3, 0.5))


# --- the table ---


def repeated(rank, i, mse, status="ok", **more):
    row = result(10 + rank, mse, status, fc_dims=[rank]) | {"rank": rank, "repeat": i, "fold": i % 2, "best_epoch": 1}
    return row | more


FLAT, FALLING = [1.0, 0.1, 0.1], [1.0, 0.5, 0.2]


def test_numbers_of_a_design():
    members = [
        (repeated(2, 1, 0.4), FLAT),
        (repeated(1, 0, 0.1), FLAT),
        (repeated(1, 2, 0.3), FALLING),
        (repeated(1, 1, None, "diverged"), [math.nan]),
        (repeated(2, 0, 0.2), FLAT),
        (repeated(1, 3, None, "failed"), []),
    ]
    first, second = summarised(*zip(*members, strict=True))
    assert [first[key] for key in ("design", "trial", "repeats", "ok", "diverged", "failed", "unconverged")] == [
        1, 11, 4, 2, 1, 1, 1,
    ]  # fmt: skip
    assert [m["repeat"] for m in first["members"]] == [0, 1, 2, 3]
    assert [m["converged"] for m in first["members"]] == [True, None, False, None]
    sd = statistics.stdev([0.1, 0.3])
    assert (first["mean_mse_unit"], first["sd_mse_unit"]) == pytest.approx((0.2, sd))
    assert (first["min_mse_unit"], first["max_mse_unit"], first["upper_mse_unit"]) == pytest.approx(
        (0.1, 0.3, 0.2 + sd)
    )
    assert first["fit_seconds"] == pytest.approx(90)
    assert choose([first, second])["design"] == 2, "the first has lost repeats"
    assert choose([first]) is None
    (alone,) = summarised([repeated(1, 0, 0.1), repeated(1, 1, None, "diverged")], [FLAT, [math.nan]])
    assert alone["mean_mse_unit"] == 0.1 and alone["sd_mse_unit"] is None and alone["upper_mse_unit"] is None


def test_the_choice_weighs_mean_and_spread():
    def row(design, mean, sd):
        return {"design": design, "ok": 2, "repeats": 2, "mean_mse_unit": mean, "upper_mse_unit": mean + sd}

    assert choose([row(1, 0.10, 0.05), row(2, 0.12, 0.01), row(3, 0.20, 0.001)])["design"] == 2
    assert choose([row(1, 0.1, 0.1), row(2, 0.1, 0.1)])["design"] == 1


def write(folder, repeats):
    """The results of repeats, each with its validation losses; returns the specification of the step."""
    members = []
    for row, losses in repeats:
        members.append(f"design-{row['rank']}-repeat-{row['repeat']}")
        (folder / members[-1]).mkdir(parents=True)
        (folder / members[-1] / "result.json").write_text(json.dumps(row))
        lines = "".join(f"{e},1,0.1,{loss},{loss}\n" for e, loss in enumerate(losses, start=1))
        (folder / members[-1] / "history.csv").write_text("epoch,seconds,learning_rate,loss,val_loss\n" + lines)
    return {"study": "a_study", "scale": "demo", "estimator": "cnn", "members": members}


def compare(folder, spec):
    suffixes = {"output": "json", "table": "csv", "page": "html", "figure": "png"}
    files = {key: folder / f"stability.{suffix}" for key, suffix in suffixes.items()}
    return stability.run(spec, folder, **files, network=folder / "golden.yaml")


def test_the_tables_and_the_golden_model(tmp_path, monkeypatch, root):
    none = {"status": "none", "message": "only 2 finalists can go on", "rank": 3}
    spec = write(
        tmp_path,
        [
            *((repeated(1, i, mse), FLAT) for i, mse in enumerate((0.02, 0.06, 0.04))),
            *((repeated(2, i, mse), FALLING) for i, mse in enumerate((0.041, 0.040, 0.042))),
            *((none | {"repeat": i}, []) for i in range(3)),
        ],
    )
    found = compare(tmp_path, spec)
    assert found["chosen"] == 2, "its mean is larger, mean plus spread smaller"
    assert found == json.loads((tmp_path / "stability.json").read_text()) and found["fit_minutes"] == 9
    with (tmp_path / "stability.csv").open() as file:
        table = list(csv.DictReader(file))
    assert tuple(table[0]) == (*COLUMNS, *DESIGN)
    shown = ("design", "trial", "chosen", "ok", "unconverged", "fc_dims", "message")
    assert [[row[key] for key in shown] for row in table] == [
        ["1", "11", "False", "3", "0", "[1]", ""],
        ["2", "12", "True", "3", "3", "[2]", ""],
        ["3", "", "False", "0", "0", "", "only 2 finalists can go on"],
    ]
    assert float(table[1]["mean_mse_unit"]) == pytest.approx(0.041) and table[2]["mean_mse_unit"] == ""
    page = (tmp_path / "stability.html").read_text()
    assert "Design 2 (trial 12) is chosen" in page and "Design 3: 3 of 3 repeats did not go well" in page
    assert "data:image/png" in page and "http" not in page and (tmp_path / "stability.png").is_file()

    # the file is one of config/networks as it is
    networks = tmp_path / "networks"
    networks.mkdir()
    (tmp_path / "golden.yaml").rename(networks / "golden.yaml")
    monkeypatch.setattr("neuroinverse.config.NETWORKS", networks)
    assert network_names() == ["golden"]
    content = yaml.safe_load((root / "config" / "studies" / "hh_point_2.yaml").read_text())
    content["estimators"]["cnn"] = content["estimators"]["cnn"] | {"hyperparameters": {"network": "golden"}}
    content["scales"]["demo"] = {}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    study = load_study(tmp_path / "mine.yaml", "demo", 1)
    assert study.estimator("cnn")["hyperparameters"] == HYPERPARAMETERS | {"fc_dims": [2]}


def test_a_spread_without_a_choice(tmp_path):
    spec = write(tmp_path, [(repeated(1, 0, 0.1), FLAT), (repeated(1, 1, None, "diverged"), [math.nan])])
    found = compare(tmp_path, spec)
    assert found["chosen"] is None and found["rows"][0]["diverged"] == 1
    assert "No design is\nchosen" in (tmp_path / "stability.html").read_text()
    golden = (tmp_path / "golden.yaml").read_text()
    assert yaml.safe_load(golden) is None and "no design is chosen" in golden


def test_repeats_of_which_none_went_well_are_an_error(tmp_path):
    spec = write(tmp_path, [(repeated(1, i, None, "diverged"), [math.nan]) for i in range(2)])
    with pytest.raises(NeuroinverseError, match="none of 2 repeats went well; the first says: why"):
        compare(tmp_path, spec)
    assert not (tmp_path / "stability.json").exists()


def test_every_repeat_is_a_point():
    repeats = [(repeated(1, i, mse), FLAT) for i, mse in enumerate((0.1, 0.3, 0.2))]
    repeats += [(repeated(2, 0, 0.2), FALLING), (repeated(2, 1, None, "diverged"), [math.nan])]
    rows = summarised(*zip(*repeats, strict=True))
    (axes,) = spread_plot(rows, rows[0]).axes
    points = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata())]
    assert sorted(float(line.get_ydata()[0]) for line in points) == [0.1, 0.2, 0.2, 0.3]
    assert [line.get_fillstyle() for line in points] == ["full", "full", "full", "none"]
    assert [round(float(line.get_xdata()[0])) for line in points] == [1, 1, 1, 2]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1\nchosen", "2\n1 not shown"]
