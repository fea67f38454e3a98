"""Rounds of a posterior: what follows from a study file, what each step depends on, and the parameters proposed."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from tiny import SPACE

from neuroinverse import rounds, sampling
from neuroinverse.config import load_study
from neuroinverse.errors import ConfigError, NeuroinverseError
from neuroinverse.hdf5 import fixed, new_file
from neuroinverse.provenance import canonical, digest
from neuroinverse.stages import propose

STUDY = "config/studies/hh_posterior_8.yaml"


@pytest.fixture(autouse=True)
def at_root(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


def load(tmp_path, edit=lambda content: None, scale="demo"):
    content = yaml.safe_load(Path(STUDY).read_text())
    edit(content)
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_study(path, scale, 1)


def test_rounds_make_estimators_and_datasets(tmp_path):
    study = load(tmp_path, lambda c: c["estimators"]["posterior_sequential"].update(rounds=[3000, 2000]))
    names = [f"posterior_sequential{end}" for end in ("", "_round_2", "_round_3")]
    assert [e for e in study.estimators if e.startswith(names[0])] == names
    assert study.training_datasets(names[2]) == ["half", names[1], names[2]]
    assert study.n_training(names[2]) == 5000 + 3000 + 2000
    assert [rounds.proposer(study, d) for d in (names[1], names[2], f"{names[2]}_test")] == [names[0], *names[1:2] * 2]
    assert rounds.proposer(study, rounds.predictive(names[2])) == names[2]
    assert study.test_dataset(names[0]) == "test" and study.test_dataset(names[2]) == f"{names[2]}_test"


def test_an_earlier_round_depends_on_no_later_one(tmp_path):
    one = load(tmp_path)
    two = load(tmp_path, lambda c: c["estimators"]["posterior_sequential"].update(rounds=[5000, 2000]))
    for name in ("posterior_sequential", "posterior_sequential_round_2"):
        assert canonical(one.train_spec(name, 0)) == canonical(two.train_spec(name, 0))
    dataset = "posterior_sequential_round_2"
    assert canonical(one.dataset_spec(dataset)) == canonical(two.dataset_spec(dataset))


def test_another_observation_changes_what_is_proposed_and_not_the_first_round(tmp_path):
    def move(content):
        content["datasets"]["observation"]["points"][0]["gk"] = 6

    one, two = load(tmp_path), load(tmp_path, move)
    assert canonical(one.train_spec("posterior", 0)) == canonical(two.train_spec("posterior", 0))
    for dataset in ("posterior_sequential_round_2", "posterior_predictive"):
        assert canonical(one.dataset_spec(dataset)) != canonical(two.dataset_spec(dataset))


def _rename(content):
    content["estimators"]["flow"] = content["estimators"].pop("posterior")
    content["scales"]["smoke"]["estimators"].pop("posterior")


def _set(key, value, part="posterior"):
    return lambda content: content["estimators"][part].update({key: value})


def _hyper(key, value):
    return lambda content: content["estimators"]["posterior"]["hyperparameters"].update({key: value})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_rename, "names that begin with 'posterior'; rename it"),
        (lambda c: c["estimators"]["posterior"].pop("observation"), "missing 'observation'"),
        (_set("observation", "observatoin"), "did you mean 'observation'"),
        (_set("observation", {"path": "nowhere.csv"}), "nowhere.csv does not exist"),
        (_set("transfer", ["half"]), "of no use to an estimator of kind posterior"),
        (_set("parameters", ["gna"]), "two parameters or more"),
        (_set("parameters", ["gna", "gk"], "posterior_sequential"), "truncate the prior of all parameters"),
        (_set("rounds", []), "rounds"),
        (_hyper("lossName", "mse"), "does not use it; remove it"),
        (_hyper("augment", {"shift": 1, "noise": 0.1}), "does not use it; remove it"),
        (_hyper("flow_layer", 3), "did you mean 'flow_layers'"),
        (lambda c: c["estimators"]["posterior"]["features"][0]["step_statistics"].update(off_ms=130), "do not fit"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path, edit, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, edit)


class Toy:
    """A posterior of two parameters that is known: normal in probits, of standard deviation `sd` about 0."""

    def __init__(self, sd):
        self.sd, self.parameters, self.signal = sd, SPACE, {}
        self.metadata = [{"n_train": 80, "n_validation": 20, "spec": {"n": 100, "rounds": []}}]

    def conditions(self, signals):
        return [np.zeros((1, 1))]

    def gain(self, unit, conditions):
        from scipy.special import ndtri

        z = ndtri((unit + 1) / 2)
        return (-0.5 * (z / self.sd) ** 2 - np.log(self.sd) + 0.5 * z**2).sum(axis=-1)

    def sample(self, conditions, noise):
        from scipy.special import ndtr

        return 2 * ndtr(self.sd * noise) - 1


SPEC = {
    "study": "s", "dataset": "p_round_2", "by": "p", "n": 40, "master_seed": 3, "kind": sampling.TRUNCATED,
    "parameters": SPACE.to_table(), "epsilon": 1e-3, "draws": 20_000, "least_acceptance": 1e-3,
}  # fmt: skip


@pytest.fixture
def proposed(monkeypatch, tmp_path):
    """Proposes with the toy; gives unit parameters and what was said."""

    def run(sd=0.3, models=(), **changes):
        monkeypatch.setattr(propose, "Posterior", lambda models: Toy(sd))
        monkeypatch.setattr(propose, "read_observation", lambda path, signal: None)
        path, spec = tmp_path / "proposal.h5", SPEC | changes
        said = propose.run(spec, models, tmp_path, path)
        simulation = {k: spec[k] for k in ("study", "dataset", "master_seed", "parameters")}
        simulation |= {"sampling": {"kind": spec["kind"], "by": "p"}, "proposal": digest(spec)}
        theta, _ = sampling.draw(simulation, np.arange(spec["n"]), path)
        return SPACE.to_unit(theta), said

    return run


def test_a_proposal_depends_on_its_index_alone(proposed, monkeypatch):
    many, said = proposed(n=40)
    monkeypatch.setattr(propose, "TOGETHER", 7)
    few, again = proposed(n=10)
    np.testing.assert_array_equal(many[:10], few)
    assert said == again and len(np.unique(many, axis=0)) == 40


def test_the_truncated_prior_is_the_prior_within_the_region(proposed):
    unit, said = proposed(n=4000)
    gain = Toy(0.3).gain(unit, None)
    assert said["method"] == "rejection" and (gain > said["threshold_nats"]).all()
    # within a disc of probits, draws of the prior are as rare at its rim as in its middle, per volume of the prior
    uniform = np.random.default_rng(1).uniform(-1, 1, (200_000, 2))
    inside = uniform[Toy(0.3).gain(uniform, None) > said["threshold_nats"]]
    assert said["acceptance"] == pytest.approx(len(inside) / len(uniform), rel=0.05)
    for q in (0.25, 0.5, 0.75):
        edge = np.quantile(np.hypot(*inside.T), q)
        assert (np.hypot(*unit.T) < edge).mean() == pytest.approx(q, abs=5 * np.sqrt(q * (1 - q) / 4000))


def test_too_small_an_acceptance_falls_back_to_resampling_and_says_so(proposed):
    unit, said = proposed(sd=0.005, n=2000)
    assert said["method"] == "importance resampling" and said["acceptance"] < 1e-3
    inside = Toy(0.005).gain(unit, None) > said["threshold_nats"]
    assert inside.all()
    # the prior within a small disc is flat, and so are squared distances from its middle; those of a normal are not
    radius = np.hypot(*unit.T)
    flat = (radius / radius.max()) ** 2
    assert 0.35 < np.median(flat) < 0.65


def test_predictive_draws_are_draws_of_the_posterior(proposed):
    unit, said = proposed(kind=sampling.PREDICTIVE, n=3000)
    from scipy.special import ndtri

    assert ndtri((unit + 1) / 2).std(axis=0) == pytest.approx(0.3, rel=0.06)
    assert said == {"method": "draws of the posterior"}


def test_a_proposal_of_something_else_is_refused(tmp_path):
    path = tmp_path / "p.h5"
    with new_file(path) as (file, _):
        file.attrs["spec"] = fixed(json.dumps(SPEC))
        file.create_dataset("theta", data=np.zeros((40, 2)))
    simulation = {k: SPEC[k] for k in ("study", "dataset", "master_seed", "parameters")}
    simulation |= {"sampling": {"kind": sampling.TRUNCATED, "by": "p"}, "proposal": digest(SPEC | {"n": 41})}
    with pytest.raises(NeuroinverseError, match="the proposal of another posterior"):
        sampling.draw(simulation, np.arange(3), path)
    with pytest.raises(NeuroinverseError, match="give --proposal"):
        sampling.draw(simulation, np.arange(3))


@pytest.mark.parametrize(
    ("metadata", "lost"),
    [
        ({"n_train": 60, "n_validation": 24, "n_undefined": 16, "spec": {"n": 100, "rounds": []}}, 16),
        ({"n_train": 100, "n_validation": 0, "spec": {"n": 100, "rounds": []}}, 0),
        # trained on 100 and on the 50 of a second round
        ({"n_train": 100, "n_validation": 50, "spec": {"n": 100, "rounds": ["digest"]}}, 0),
    ],
)
def test_a_round_after_lost_simulations_is_refused_before_it_is_simulated(
    proposed, monkeypatch, tmp_path, metadata, lost
):
    monkeypatch.setattr(Toy, "__init__", lambda self, sd: self.__dict__.update(sd=sd, parameters=SPACE, signal={}))
    monkeypatch.setattr(Toy, "metadata", [metadata], raising=False)
    if not lost:
        proposed(n=5)
        return
    model = tmp_path / "fold-0" / "model.keras"
    with pytest.raises(NeuroinverseError, match=rf"{model}: of the first round {lost} of 100 simulations failed or"):
        proposed(models=[model], n=5)
    assert not (tmp_path / "proposal.h5").exists()
    # a check of its predictions is no round
    proposed(kind=sampling.PREDICTIVE, n=5)


def test_what_rounds_make_takes_no_other_name(tmp_path):
    def estimator(content):
        content["estimators"]["posterior_sequential_round_2"] = dict(content["estimators"]["posterior"])

    def dataset(content):
        content["datasets"]["posterior_predictive"] = {"n": 5}

    for edit, name in ((estimator, "posterior_sequential_round_2"), (dataset, "posterior_predictive")):
        with pytest.raises(ConfigError, match=f"makes '{name}' by itself"):
            load(tmp_path, edit)


def test_what_a_round_simulates_is_as_the_first(tmp_path):
    def cold(content):
        content["datasets"]["half"]["ranges"] = {"gna": [1, 70]}

    study = load(tmp_path, cold)
    for dataset in ("half", "posterior_sequential_round_2", "posterior_sequential_round_2_test"):
        row = study.space(dataset).parameters[0]
        assert (row.name, row.low, row.high) == ("gna", 1, 70)
    assert study.space("train").parameters[0].high == 80


def test_a_posterior_learns_from_the_prior(tmp_path):
    def points(content):
        content["datasets"]["half"] = {"sampling": "points", "points": content["datasets"]["observation"]["points"]}
        content["scales"]["smoke"]["datasets"]["half"] = content["datasets"]["half"]

    with pytest.raises(ConfigError, match="learns from draws of the prior, and half has sampling: points"):
        load(tmp_path, points)


def test_an_observation_without_an_answer_is_said(monkeypatch, tmp_path):
    undefined = SimpleNamespace(
        conditions=lambda s: [np.full((1, 2), np.nan)], signal={}, parameters=SPACE, metadata=Toy(1).metadata
    )
    monkeypatch.setattr(propose, "Posterior", lambda models: undefined)
    monkeypatch.setattr(propose, "read_observation", lambda path, signal: None)
    with pytest.raises(NeuroinverseError, match="undefined at the observation"):
        propose.run(SPEC, [], tmp_path / "observation.h5", tmp_path / "out.h5")
