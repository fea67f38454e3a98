"""Words about parameters change no specification, and results that were made with them keep theirs."""

import ast
import copy
from pathlib import Path

import pytest
import yaml

from neuroinverse import rounds
from neuroinverse.config import load_study
from neuroinverse.provenance import canonical, digest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def load(tmp_path, words, record=lambda file: (), study="hh_posterior_8"):
    """A study whose parameters are all described by `words`; by nothing where they are None."""
    content = yaml.safe_load((ROOT / "config" / "studies" / f"{study}.yaml").read_text())
    for row in content["parameters"]:
        row.pop("description", None)
        row |= {} if words is None else {"description": words}
    (tmp_path / f"{study}.yaml").write_text(yaml.safe_dump(content))
    return load_study(tmp_path / f"{study}.yaml", "smoke", 1, record)


def specs(study) -> dict[str, str]:
    """All that a posterior in rounds is made of, but reports."""
    names, datasets = study.estimators, [d for d in study.datasets if rounds.proposed(study, d)]
    found = {f"train {e}": study.train_spec(e, 0) for e in names} | {
        f"check {e}": study.evaluate_spec(e) for e in names
    }
    found |= {f"propose {d}": rounds.proposal_spec(study, d) for d in datasets}
    return {
        name: canonical(spec) for name, spec in (found | {d: study.dataset_spec(d) for d in study.datasets}).items()
    }


def test_words_are_in_no_specification(tmp_path):
    plain = specs(load(tmp_path, None))
    assert plain == specs(load(tmp_path, "one")) == specs(load(tmp_path, "another"))
    assert '"one"' not in "".join(specs(load(tmp_path, "one")).values())
    one, another = (load(tmp_path, words).report_spec() for words in ("one", "another"))
    assert digest(one) != digest(another), "the report shows them"


def earlier(study) -> dict[str, str]:
    """Specifications of a study's trainings as they were while descriptions stood in them."""
    found = {}
    for name in study.estimators:
        spec = copy.deepcopy(study.train_spec(name, 0))
        words = {p.name: p.description for p in study.parameters.parameters}
        spec["parameters"] = [row | {"description": words[row["name"]]} for row in spec["parameters"]]
        found[name] = spec
    return found


def test_results_of_an_earlier_version_keep_their_words(tmp_path):
    before = earlier(load(tmp_path, "one"))
    made = {f"results/hh_posterior_8/smoke/{name}/fold-0/model.keras": spec for name, spec in before.items()}

    def record(file):
        # as Snakemake writes them: the text of every param
        return ["4000", repr(canonical(made[file]))] if file in made else ()

    first = load(tmp_path, "one", record)
    # a first round is what it was; what is proposed of it holds its digest
    assert canonical(first.train_spec("posterior_sequential", 0)) == canonical(before["posterior_sequential"])
    proposal = rounds.proposal_spec(first, "posterior_sequential_predictive")
    assert proposal["training"] == digest(before["posterior_sequential"])
    assert {row["description"] for row in proposal["parameters"]} == {"one"}
    for words in ("another", None):
        assert specs(load(tmp_path, words, record)) == specs(first)
    # the same, read by Python as it was written
    assert ast.literal_eval(record(next(iter(made)))[1]) == canonical(next(iter(made.values())))


def test_a_search_of_an_earlier_version_keeps_its_words(tmp_path):
    study = load(tmp_path, "one", study="izhikevich")
    spec = earlier(study)["cnn"] | {"trial": 0}
    file = "results/izhikevich/smoke/cnn/search/trial-0/result.json"
    kept = load(tmp_path, "another", lambda f: [repr(canonical(spec))] if f == file else (), "izhikevich")
    assert {row["description"] for row in kept.train_spec("cnn", 0)["parameters"]} == {"one"}
