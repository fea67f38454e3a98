"""What every study in config/studies promises, at every scale: found by itself."""

import copy
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from neuroinverse import surrogates
from neuroinverse.column import specs as column
from neuroinverse.config import load_study, read_config
from neuroinverse.cross import cross_spec
from neuroinverse.estimators.architecture import complete, layer_shapes
from neuroinverse.features import feature_shape
from neuroinverse.provenance import canonical
from neuroinverse.rounds import proposal_spec, proposed
from neuroinverse.scaling import scaled, scaling_spec
from neuroinverse.simulators import simulator_class
from neuroinverse.study import Study

ROOT = Path(__file__).parents[2]
STUDIES = sorted(p for p in (ROOT / "config" / "studies").glob("*.yaml") if not p.stem.startswith("_"))
SCALES = ("smoke", "demo", "paper")
by_study = pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
by_scale = pytest.mark.parametrize("scale", SCALES)


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    """Studies name files relative to the repository."""
    monkeypatch.chdir(ROOT)


def specifications(study):
    """Every specification of a study."""
    specs = {d: study.dataset_spec(d) for d in study.datasets}
    specs |= {(d, s): study.shard_spec(d, s) for d in study.datasets for s in study.shards(d)[:2]}
    for e in study.estimators:
        specs |= {(e, fold): study.train_spec(e, fold) for fold in study.folds(e)}
        specs[e, "evaluate"] = study.evaluate_spec(e)
        if not study.is_posterior(e):
            specs[e, "ensemble"] = study.ensemble_spec(e)
        if study.estimator(e).get("scaling"):
            specs[e, "scaling"] = scaling_spec(study, e)
        if study.estimator(e).get("transfer"):
            specs[e, "transfer"] = study.transfer_spec(e)
        if study.extras.get(e, {}).get("cross"):
            specs[e, "cross"] = cross_spec(study, e)
    specs |= {(d, "proposal"): proposal_spec(study, d) for d in study.datasets if proposed(study, d)}
    for name in surrogates.names(study):
        specs |= {
            (name, "train"): surrogates.train_spec(study, name),
            (name, "check"): surrogates.check_spec(study, name),
        }
    for name in column.names(study):
        specs |= {(name, "search"): column.search_spec(study, name), (name, "check"): column.check_spec(study, name)}
    if study.needs_kernel:
        specs["kernel"] = study.kernel_spec()
    return specs | {"report": study.report_spec()}


def test_there_are_studies_and_the_configuration_names_no_others():
    assert STUDIES
    config = read_config(ROOT / "config" / "config.yaml")
    named = config.get("studies", [])
    assert set(named) <= {p.stem for p in STUDIES}


@by_study
@by_scale
def test_loads_and_fits_its_simulator(path, scale):
    study = load_study(path, scale, 1)
    assert (study.name, study.scale) == (path.stem, scale)
    offered = simulator_class(study.settings["simulator"]).parameters
    for p in study.parameters.parameters:
        assert p.unit == offered[p.name].unit
        assert p.low < p.high
    # the stimulus of the protocol can be made
    stimulus = study.settings["protocol"].get("stimulus")
    assert stimulus is None or np.isfinite(stimulus["amplitude"])
    for dataset in study.datasets:
        assert 0 <= len(study.shards(dataset)) * study.shard_size - study.n(dataset) < study.shard_size
        assert study.megabytes(dataset) > 0
    assert set(study.report_datasets) <= set(study.datasets)
    print(f"{study.name} {scale}: " + ", ".join(f"{d} {study.n(d)}" for d in study.datasets))


@by_study
@by_scale
def test_shards_cover_every_simulation_once(path, scale):
    study = load_study(path, scale, 1)
    for dataset in study.datasets:
        shards = study.shards(dataset)
        ends = [(s["start"], s["stop"]) for s in (study.shard_spec(dataset, name) for name in shards)]
        assert ends[0][0] == 0 and ends[-1][1] == study.n(dataset)
        assert all(a[1] == b[0] for a, b in itertools.pairwise(ends))
        assert all(0 < stop - start <= study.shard_size for start, stop in ends)
        assert shards == sorted(set(shards))


@by_study
@by_scale
def test_specifications_are_stable_json(path, scale):
    first, second = (specifications(load_study(path, scale, 1)) for _ in range(2))
    for name, spec in first.items():
        text = canonical(spec)
        assert canonical(second[name]) == text
        # what the command line reads back is what the step was given
        assert canonical(json.loads(text)) == text
        assert json.loads(text) == spec, f"{name}: a value that JSON does not keep"
        assert isinstance(spec.get("version", spec.get("simulation", {}).get("version")), int), name
        assert str(ROOT) not in text, f"{name}: holds a path of this machine"


@by_study
def test_scales_differ_in_size_alone(path):
    """A smaller scale's dataset is the beginning of the larger one's, where its scales change nothing else."""
    studies = [load_study(path, scale, 1) for scale in SCALES]
    changed = {key for scale in yaml.safe_load(path.read_text())["scales"].values() for key in scale or {}}
    assert changed <= {"datasets", "estimators", "surrogates", "column", "objectives", "simulator", "protocol"}
    first = studies[0].datasets[0]
    for dataset in {first, "test"} & set(studies[0].datasets):
        specs = [s.dataset_spec(dataset)["simulation"] for s in studies]
        differ = {key for spec in specs for key in spec if canonical(spec[key]) != canonical(specs[0][key])}
        # a smaller network has another kernel
        assert differ <= changed | ({"kernel"} if "simulator" in changed else set())
    sizes = [s.n(first) for s in studies]
    assert sizes == sorted(sizes) and sizes[0] <= 200, f"a smoke run takes seconds; sizes are {sizes}"


@by_study
@by_scale
def test_estimators_fit_their_signals(path, scale):
    study = load_study(path, scale, 1)
    for name in study.estimators:
        settings = study.estimator(name)
        signal = study.input_signal(name)
        n, channels = feature_shape(settings["features"], signal)
        assert 0 < n <= signal.shape[0]
        shapes = layer_shapes(n, channels, settings["hyperparameters"])
        assert shapes[-1][0] == "flatten" and shapes[-1][1][0] > 0
        hyperparameters = complete(settings["hyperparameters"], settings["kind"])
        assert study.n(study.training_dataset(name)) // max(study.folds(name)[-1] + 1, 1) > 0
        assert hyperparameters["epochs"] >= 1 and hyperparameters["batch_size"] >= 1
        if "published" in settings:
            assert settings.get("published_source"), f"{name}: say where the published figures stand"


@by_study
def test_each_step_depends_on_what_it_should(path):
    """Epochs: trainings alone. The step size or the master seed: everything. Words: the report alone."""
    base = load_study(path, "smoke", 1)

    def changed(edit):
        settings = copy.deepcopy(dict(base.settings))
        edit(settings)
        study = Study(base.name, base.scale, base.master_seed, settings, base.searches, base.extras, base.linked)
        before, after = specifications(base), specifications(study)
        return {name for name in before if canonical(before[name]) != canonical(after[name])}

    def more_epochs(settings):
        for trained in (*settings["estimators"].values(), *settings.get("surrogates", {}).values()):
            trained["hyperparameters"]["epochs"] += 1
        for objective in settings.get("objectives", {}).values():
            objective["search"]["epochs"] += 1

    def finer(settings):
        settings["protocol"]["dt_ms"] /= 5

    def question(settings):
        settings["question"] += " Really?"

    def no_descriptions(settings):
        for row in settings["parameters"]:
            row.pop("description", None)

    # what a posterior proposes is of what it has learnt, what a search found of how it searched
    drawn = {d for d in base.datasets if not proposed(base, d) and not column.found(base, d)}
    simulations = {n for n in specifications(base) if n in drawn or (n[0] in drawn and n[1][0].isdigit())}
    assert changed(lambda settings: None) == set()
    assert changed(question) == {"report"}
    assert changed(no_descriptions) <= {"report"}
    everything = set(specifications(base))
    assert changed(more_epochs) == everything - simulations - {"kernel"}
    if not base.linked:  # surrogates of another study have its time step
        # a kernel may have a time step of its own
        assert changed(finer) | {"kernel"} == everything | {"kernel"}
    reseeded = specifications(load_study(path, "smoke", 2))
    assert all(canonical(spec) != canonical(reseeded[name]) for name, spec in specifications(base).items())


@by_study
@by_scale
def test_joined_shards_are_those_that_are_simulated(path, scale):
    """For every dataset, those of a scaling beyond the study's own size included, join and simulation mean the same."""
    study = load_study(path, scale, 1)
    sizes = [name for e in study.estimators if study.estimator(e).get("scaling") for name in scaled(study, e).values()]
    for dataset in {*study.datasets, *map(study.training_dataset, sizes)}:
        joined, size = study.dataset_spec(dataset), study.shard_size
        covered = 0
        for i, shard in enumerate(study.shards(dataset)):
            spec = study.shard_spec(dataset.partition("@")[0], shard)
            assert spec["simulation"] == joined["simulation"]
            assert (spec["start"], spec["stop"]) == (i * size, min((i + 1) * size, joined["n"]))
            covered += spec["stop"] - spec["start"]
        assert covered == study.n(dataset)
