"""What jobs ask for, and what a plan says."""

import shutil

import pytest

from neuroinverse import planning, surrogates, workload
from neuroinverse.column import specs as column
from neuroinverse.config import load_study, study_names
from neuroinverse.estimators.architecture import multiply_adds


@pytest.fixture
def study(root, monkeypatch):
    monkeypatch.chdir(root)
    return load_study("izhikevich", "paper", 1)


def test_multiply_adds_of_a_network_counted_by_hand():
    h = {"conv_filter": [2, 3], "conv_kernel": 5, "pool_len": 2, "fc_dims": [7], "epochs": 1}
    # 20 → 16 ×2 → 8 → 4 ×3 → 2 ×3 = 6 flat → 7 → 4
    by_hand = 16 * 2 * 5 * 1 + 4 * 3 * 5 * 2 + 6 * 7 + 7 * 4
    assert multiply_adds(20, 1, h, 4) == by_hand


def test_requests_shrink_with_threads_and_stay_within_bounds(study, monkeypatch):
    minutes = [workload.simulate_minutes(study, threads) for threads in (1, 8, 128)]
    assert minutes == sorted(minutes, reverse=True) and minutes[0] > minutes[2] == workload.MINUTES
    monkeypatch.setattr(workload, "CORE_RATE", 1.0)
    assert workload.train_minutes(study, "cnn", 1) == workload.LONGEST_MINUTES


def test_plan_is_proportional_to_its_rates(study):
    rates = planning.Rates(2.0, {"cnn": 1e-3})
    needs = planning.plan(study, rates)
    n = sum(study.n(d) for d in study.report_datasets)
    assert needs["simulations"] == n and needs["simulate_core_hours"] == pytest.approx(n * 2 / 3600)
    # 8 folds, each on 7/8 of the training set
    epochs = study.estimator("cnn")["hyperparameters"]["epochs"]
    assert needs["train_core_hours"] == pytest.approx(1e-3 * 8 * study.n("train") * 7 / 8 * epochs / 3600)
    assert needs["gigabytes"] == pytest.approx(n * 9000 * 4 / 1e9)


def test_recorded_rates_stand_in_for_a_demo(study, tmp_path, monkeypatch):
    figures = planning.Rates(0.5, {"cnn": 0.25}).figures("izhikevich")
    monkeypatch.setattr(planning, "read_records", lambda: {"rates": {"figures": figures}})
    assert planning.measured_rates(study, tmp_path) == planning.Rates(0.5, {"cnn": 0.25})
    monkeypatch.setattr(planning, "read_records", dict)
    assert planning.measured_rates(study, tmp_path) is None
    estimated = planning.estimated_rates(study)
    # the simulator's own bound; three passes of a network at 2e9 multiply-adds per second
    assert estimated.simulate == study.simulator.core_seconds
    assert estimated.train["cnn"] == pytest.approx(3 * workload.forward_multiply_adds(study, "cnn") / 2e9)


def test_a_plan_of_all_studies_needs_no_rates(root, tmp_path, monkeypatch, capsys):
    shutil.copytree(root / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(planning, "read_records", dict)
    from neuroinverse.stages import plan

    needs = plan.run()
    printed = capsys.readouterr().out
    assert set(needs) == set(study_names())
    for name in needs:
        assert f"{name} at scale paper; rates estimated" in printed
        assert f"timed by: neuroinverse plan {name} --scale paper" in printed


def test_rates_are_drawn_out_to_steps_and_sizes(root, monkeypatch):
    """The paper scale of the column takes four times the steps of NEURON, and cells with twice the units."""
    monkeypatch.chdir(root)
    for name, simulated in (("hnn_cells", 4), ("hnn_column", 4 * 1100 / 600)):
        demo, paper = (load_study(name, scale, 1) for scale in ("demo", "paper"))
        of = surrogates.names(demo)[0]
        rates = planning.Rates(2.0, {of: 3.0}, {"gamma": 5.0})
        assert rates.at(demo, demo) == rates
        found = rates.at(paper, demo)
        assert found.simulate == pytest.approx(2 * simulated)
        # a gate of 192 units and their inputs for one of 96 and theirs
        steps = 1 if name == "hnn_cells" else 1100 / 600
        assert found.train[of] == pytest.approx(3 * steps * (192 * 384) / (96 * 192))
        assert found.search["gamma"] == pytest.approx(5 * steps)


def test_searches_are_planned_by_their_rollouts(root, monkeypatch):
    monkeypatch.chdir(root)
    study = load_study("hnn_column", "demo", 1)
    # the gradient's, with 25 epochs of 4 drives, and held-out drives for 26 gains; a slope and two controls as much
    assert column.rollouts(study, "gamma") == 4 * (51 * 4 + 26 * 4) == 4 * column.rollouts(study, "gamma_round_1")
    rates = planning.Rates(0.0, dict.fromkeys(surrogates.names(study), 0.0), dict.fromkeys(column.names(study), 3.6))
    total = sum(column.rollouts(study, o) for o in column.names(study))
    assert planning.plan(study, rates)["search_core_hours"] == pytest.approx(total * 3.6 / 3600)
    assert planning.Rates(**vars(rates)).figures("x")["x_gamma_core_seconds_per_rollout"] == 3.6
