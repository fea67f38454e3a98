"""What jobs ask for, and what a plan says."""

import pytest

from neuroinverse import workload
from neuroinverse.config import load_study
from neuroinverse.errors import NeuroinverseError
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
    rates = workload.Rates(2.0, {"cnn": 1e-3})
    needs = workload.plan(study, rates)
    n = sum(study.n(d) for d in study.report_datasets)
    assert needs["simulations"] == n and needs["simulate_core_hours"] == pytest.approx(n * 2 / 3600)
    # 8 folds, each on 7/8 of the training set
    epochs = study.estimator("cnn")["hyperparameters"]["epochs"]
    assert needs["train_core_hours"] == pytest.approx(1e-3 * 8 * study.n("train") * 7 / 8 * epochs / 3600)
    assert needs["gigabytes"] == pytest.approx(n * 9000 * 4 / 1e9)


def test_recorded_rates_stand_in_for_a_demo(study, tmp_path, monkeypatch):
    figures = workload.Rates(0.5, {"cnn": 0.25}).figures("izhikevich")
    monkeypatch.setattr(workload, "read_records", lambda: {"rates": {"figures": figures}})
    assert workload.measured_rates(study, tmp_path) == workload.Rates(0.5, {"cnn": 0.25})
    monkeypatch.setattr(workload, "read_records", dict)
    with pytest.raises(NeuroinverseError, match=r"izhikevich; run its demo first: snakemake .*report\.html"):
        workload.measured_rates(study, tmp_path)
