"""Studies of surrogates and of a column: what follows from their files, what each step depends on, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from test_config import put

from neuroinverse import sampling, surrogates
from neuroinverse.column import specs as column
from neuroinverse.config import load_study
from neuroinverse.errors import ConfigError, NeuroinverseError
from neuroinverse.hdf5 import fixed, new_file
from neuroinverse.provenance import canonical

CELLS, COLUMN = (Path(f"config/studies/{name}.yaml") for name in ("hnn_cells", "hnn_column"))
GAIN = "gain_L2e_L2e_proximal_nmda"


@pytest.fixture(autouse=True)
def at_root(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


def load(tmp_path, file, edit=lambda content: None, scale="demo"):
    content = yaml.safe_load(file.read_text())
    edit(content)
    path = tmp_path / file.name
    path.write_text(yaml.safe_dump(content))
    return load_study(path, scale, 1)


def datasets_of(study, surrogate):
    single = (surrogates.calibration_dataset, surrogates.test_dataset)
    return surrogates.training_datasets(study, surrogate) + [which(study, surrogate) for which in single]


def test_a_surrogate_of_another_cell_has_datasets_of_its_own(tmp_path):
    study = load(tmp_path, CELLS)
    assert datasets_of(study, "l5e") == ["train", "calibration", "test"]
    own = datasets_of(study, "l2e")
    assert own == ["l2e", "l2e_calibration", "l2e_test"]
    assert [study.n(d) for d in own] == [study.n(d) for d in ("train", "calibration", "test")]
    assert {study.scenario(d)["simulator"]["options"]["cell"] for d in own} == {"L2_pyramidal"}
    assert study.scenario("train")["simulator"]["options"]["cell"] == "L5_pyramidal"
    assert set(own) <= set(study.report_datasets)


def test_a_surrogate_learns_all_that_its_cell_shows(tmp_path):
    study = load(tmp_path, CELLS)
    assert surrogates.outputs(study, "l5e") == ["voltage", "dipole"]
    assert surrogates.outputs(study, "l5i") == ["voltage"]


def test_its_training_depends_on_what_it_is_made_of_alone(tmp_path):
    base = load(tmp_path, CELLS)
    more = load(tmp_path, CELLS, put("surrogates.l2e.hyperparameters", {"epochs": 7}))
    larger = load(tmp_path, CELLS, put("datasets.test.n", 200))
    for name in surrogates.names(base):
        same = canonical(surrogates.train_spec(base, name))
        assert (canonical(surrogates.train_spec(more, name)) == same) == (name != "l2e")
        assert canonical(surrogates.train_spec(larger, name)) == same
        assert canonical(surrogates.check_spec(larger, name)) != canonical(surrogates.check_spec(base, name))


def test_what_is_simulated_before_and_after(tmp_path):
    study = load(tmp_path, COLUMN)
    found = ["gamma", "gamma_round_0", "gamma_round_1", "spectrum", "spectrum_round_0", "spectrum_round_1"]
    assert study.datasets == ["train", "calibration", column.START, *found]
    assert study.report_datasets == [d for d in study.datasets if not d.endswith("_0")]
    theta, seeds = sampling.draw(study.dataset_spec(column.START)["simulation"], np.arange(study.n(column.START)))
    assert (theta == 1).all() and len(set(seeds.tolist())) == study.n(column.START)
    assert column.found(study, "gamma") and not column.found(study, column.START)


def test_rounds_of_retraining(tmp_path):
    study = load(tmp_path, COLUMN)
    cells = ("l2e", "l2i", "l5e", "l5i")
    assert surrogates.names(study) == [f"{cell}_round_{r}" for r in (1, 2) for cell in cells]
    assert surrogates.reported(study) == [f"{cell}_round_2" for cell in cells]
    assert column.names(study) == ["gamma", "gamma_round_1", "spectrum", "spectrum_round_1"]
    # each goes on from the one before, with what was found with it
    assert datasets_of(study, "l5e_round_1") == ["train", "calibration", column.START]
    second = datasets_of(study, "l5e_round_2")
    assert second == ["train", "gamma_round_1", "spectrum_round_1", "calibration", column.START]
    assert [(s.name, name) for s, name in (surrogates.base(study, f"l5e_round_{r}") for r in (1, 2))] == [
        ("hnn_cells", "l5e"),
        ("hnn_column", "l5e_round_1"),
    ]
    for name, (of, ending) in {
        "gamma_round_0": ("hnn_cells", ""),
        "gamma_round_1": ("hnn_column", "_round_1"),
        "gamma": ("hnn_column", "_round_2"),
    }.items():
        files = [f"results/{of}/demo/surrogates/{cell}{ending}/model.keras" for cell in cells]
        assert column.surrogate_files(study, name) == files
    # layers stay as they are
    single, own = study.linked["hnn_cells"], surrogates.hyperparameters(study, "l5e_round_2")
    changed = {"epochs": 8, "learning_rate": 0.001}
    assert own == surrogates.hyperparameters(single, "l5e") | changed
    assert surrogates.n_training(study, "l5e_round_2") == 12 * (32 + 10 + 10)
    assert list(surrogates.signals(study, "l5i_round_1")) == ["inputs", "voltage", "spikes"]


def test_without_retraining_a_column_has_its_searches_alone(tmp_path):
    study = load(tmp_path, COLUMN, lambda c: c["column"].pop("retraining"), "paper")
    assert not surrogates.names(study) and column.names(study) == ["gamma", "spectrum"]
    assert all("hnn_cells" in file for file in column.surrogate_files(study, "gamma"))


def test_a_round_depends_on_the_one_before(tmp_path):
    base = load(tmp_path, COLUMN)
    longer = load(tmp_path, COLUMN, put("objectives.gamma.search.epochs", 31))
    first, second = (canonical(surrogates.train_spec(base, f"l5e_round_{r}")) for r in (1, 2))
    assert canonical(surrogates.train_spec(longer, "l5e_round_1")) == first
    assert canonical(surrogates.train_spec(longer, "l5e_round_2")) != second


def test_what_was_found_is_simulated(tmp_path):
    study = load(tmp_path, COLUMN)
    simulation, spec = study.dataset_spec("gamma")["simulation"], column.search_spec(study, "gamma")
    for name, of, gain in (("right", spec, 3.0), ("other", column.search_spec(study, "spectrum"), 4.0)):
        with new_file(tmp_path / f"{name}.h5") as (file, _):
            file.attrs["spec"] = fixed(canonical(of))
            file["theta"] = np.full((study.n("gamma"), len(study.parameters.names)), gain)
    assert (sampling.draw(simulation, np.arange(4), tmp_path / "right.h5")[0] == 3).all()
    with pytest.raises(NeuroinverseError, match=r"other\.h5.*another.*remove it"):
        sampling.draw(simulation, np.arange(4), tmp_path / "other.h5")


def test_a_search_depends_on_its_surrogates_and_on_no_other_objective(tmp_path):
    base = load(tmp_path, COLUMN)
    more = load(tmp_path, COLUMN, put("objectives.gamma.search.epochs", 31))
    longer = load(tmp_path, COLUMN, put("column.seeds", 12))

    def searches(study):
        return {name: canonical(column.search_spec(study, name)) for name in column.names(study)}

    # with the surrogates of the next round, so do all that is searched with these
    assert {n for n, spec in searches(base).items() if searches(more)[n] != spec} == {
        "gamma",
        "gamma_round_1",
        "spectrum",
    }
    assert canonical(more.dataset_spec("gamma")) != canonical(base.dataset_spec("gamma"))
    assert canonical(more.dataset_spec(column.START)) == canonical(base.dataset_spec(column.START))
    # as many simulations of the start do not change what the search makes of it, but how many it hands on
    assert json.loads(searches(longer)["gamma"])["simulation"] == json.loads(searches(base)["gamma"])["simulation"]
    other = {"hnn_cells": load(tmp_path, CELLS, put("surrogates.l5i.hyperparameters.epochs", 5))}
    changed = type(base)(base.name, base.scale, 1, base.settings, base.searches, base.extras, other)
    assert all(spec != searches(base)[name] for name, spec in searches(changed).items())


@pytest.mark.parametrize(
    ("file", "edit", "words"),
    [
        (CELLS, put("surrogates.l5e.hyperparameters", {"lstm_unit": 3}), ["surrogates.l5e", "'lstm_units'"]),
        (CELLS, put("surrogates.l5e.hyperparameters", {"mask_ms": 1000}), ["surrogates.l5e", "mask_ms", "1000"]),
        (CELLS, put("surrogates.l5e.hyperparameters", {"conv_kernel": 9}), ["surrogates.l5e", "front: learnt"]),
        (CELLS, put("surrogates.l2e.options.cell", "L2_pyramid"), ["l2e", "'L2_pyramid'", "'L2_pyramidal'"]),
        (CELLS, put("datasets.l2e", {"n": 3}), ["surrogates.l2e", "'l2e'", "rename"]),
        (CELLS, lambda c: c["datasets"].pop("test"), ["datasets", "'test'", "add it"]),
        (CELLS, lambda c: c.pop("surrogates"), ["missing 'estimators'", "surrogates", "objectives"]),
        (COLUMN, put("parameters.0.name", "gain_L2e_L2e_nmda"), ["gain_L2e_L2e_nmda", GAIN]),
        (COLUMN, put("column.surrogates.L5_pyramidal", "hnn_cells/l5x"), ["hnn_cells", "'l5x'", "l5e"]),
        (COLUMN, put("column.surrogates.L5_pyramidal", "hnn_cell/l5e"), ["'hnn_cell'", "'hnn_cells'"]),
        (COLUMN, put("column.surrogates.L5_pyramidal", "l5e"), ["L5_pyramidal", "'l5e'", "study/surrogate"]),
        (COLUMN, put("column.surrogates.L5_pyramidal", "hnn_cells/l2e"), ["L5_pyramidal", "hnn_cells/l2e", "L2_pyra"]),
        (COLUMN, lambda c: c["column"]["surrogates"].pop("L2_basket"), ["column.surrogates", "'L2_basket'", "add"]),
        (COLUMN, put("column.surrogates.L6_basket", "hnn_cells/l2i"), ["'L6_basket'", "'L5_basket'"]),
        (COLUMN, put("column.network", {"max_delay_ms": 20}), ["max_delay_ms", "20", "50 ms"]),
        (COLUMN, put("protocol.dt_ms", 1.0), ["hnn_cells", "dt_ms", "0.5"]),
        (COLUMN, put("protocol.record_ms", [100, 600]), ["record_ms", "remove"]),
        (COLUMN, put("objectives.gamma.terms.0.kind", "bandpower"), ["objectives.gamma.terms.0", "'band_power'"]),
        (COLUMN, put("objectives.gamma.terms.0.high_Hz", 5000), ["objectives.gamma.terms.0", "5000", "1000"]),
        (COLUMN, put("objectives.gamma.search.bound", 2), ["objectives.gamma.search.bound", "0.01", "widen"]),
        (COLUMN, put("objectives.gamma.search.projections", ["L2e_L2e"]), ["'L2e_L2e'", "gamma"]),
        (COLUMN, put("objectives.gamma.search.initial_gains", {"L2e_L2e_proximal_nmda": 20}), ["20", "bound"]),
        (COLUMN, put("objectives.start", {"terms": [{"kind": "band_power"}]}), ["start", "rename"]),
        (COLUMN, put("objectives.gamma_round_1", {"terms": [{"kind": "band_power"}]}), ["gamma_round_1", "rename"]),
        (COLUMN, put("column.retraining.rounds", 0), ["column.retraining.rounds", "minimum"]),
        (COLUMN, put("column.retraining.hyperparameters.lstm_units", 9), ["'lstm_units'", "retraining"]),
        (COLUMN, put("column.retraining.hyperparameters.mask_ms", 600), ["l2e_round_1", "mask_ms", "600"]),
        (COLUMN, put("simulator.options.record_cells", 0), ["record_cells", "L2_pyramidal", "give a number"]),
        (COLUMN, put("datasets.train.options", {"record_cells": 0}), ["record_cells", "L2_pyramidal"]),
        (COLUMN, put("simulator.options.record_cells", 1.5), ["record_cells", "1.5"]),
        (COLUMN, lambda c: c["datasets"].pop("train"), ["'train'", "retraining"]),
        (COLUMN, lambda c: c.pop("column"), ["objectives", "column"]),
        (COLUMN, lambda c: c.pop("objectives"), ["objectives"]),
        (COLUMN, put("simulator", {"name": "hnn_cell", "options": {"cell": "L2_basket"}}), ["gain_"]),
    ],
)
def test_what_is_wrong_is_said(tmp_path, file, edit, words):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, file, edit)
    assert all(word in str(error.value) for word in [file.name, *words]), str(error.value)
