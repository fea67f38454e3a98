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


def test_a_surrogate_of_another_cell_has_datasets_of_its_own(tmp_path):
    study = load(tmp_path, CELLS)
    assert surrogates.datasets(study, "l5e") == ("train", "calibration", "test")
    own = surrogates.datasets(study, "l2e")
    assert own == ("l2e", "l2e_calibration", "l2e_test")
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
    assert study.datasets == [column.START, "gamma", "spectrum"] == study.report_datasets
    theta, seeds = sampling.draw(study.dataset_spec(column.START)["simulation"], np.arange(study.n(column.START)))
    assert (theta == 1).all() and len(set(seeds.tolist())) == study.n(column.START)
    assert column.found(study, "gamma") and not column.found(study, column.START)
    files = column.surrogate_files(study)
    assert files == [f"results/hnn_cells/demo/surrogates/{name}/model.keras" for name in ("l2e", "l2i", "l5e", "l5i")]


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

    assert {n for n, spec in searches(base).items() if searches(more)[n] != spec} == {"gamma"}
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
        (COLUMN, lambda c: c.pop("column"), ["objectives", "column"]),
        (COLUMN, lambda c: c.pop("objectives"), ["objectives"]),
        (COLUMN, put("simulator", {"name": "hnn_cell", "options": {"cell": "L2_basket"}}), ["gain_"]),
    ],
)
def test_what_is_wrong_is_said(tmp_path, file, edit, words):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, file, edit)
    assert all(word in str(error.value) for word in [file.name, *words]), str(error.value)
