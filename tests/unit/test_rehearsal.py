"""A few simulations before many: what check --simulate says and draws, and rates from them."""

import numpy as np
import pytest
import yaml

from neuroinverse import cli, rehearsal
from neuroinverse.config import load_study
from neuroinverse.errors import ConfigError

SIMULATOR = """\
import numpy as np
from neuroinverse.simulators.base import ParameterInfo, Signal, Simulator, SimulationFailed


class Spikes(Simulator):
    parameters = {"count": ParameterInfo("1", 3.0), "base": ParameterInfo("mV", -70.0)}
    stimulus_unit = None
    batch = 4

    @property
    def signals(self):
        both = ("soma", "dend")
        return (Signal("voltage", "mV", self.dt_ms, (100, 2), channels=both), Signal("rate", "Hz", 1.0, (1,)))

    def simulate(self, theta, seeds):
        columns = self.columns(theta)
        if (columns["count"] > 8).any():
            raise SimulationFailed("too many")
        count = np.round(columns["count"]).astype(int)
        voltage = np.repeat(columns["base"][:, None, None], 100, axis=1).repeat(2, axis=2)
        for i, n in enumerate(count):
            voltage[i, 5 : 5 + 10 * n : 10, 0] = 20.0
        return {"voltage": voltage, "rate": count[:, None] * 10.0 + columns["base"][:, None] * 0.01}
"""


@pytest.fixture
def study(root, tmp_path, monkeypatch):
    content = yaml.safe_load((root / "config" / "studies" / "izhikevich.yaml").read_text())
    (tmp_path / "spikes.py").write_text(SIMULATOR)
    content |= {
        "simulator": {"path": "spikes.py", "class": "Spikes"},
        "parameters": [
            {"name": "count", "unit": "1", "low": 0.6, "high": 9.0},
            {"name": "base", "unit": "mV", "low": -80.0, "high": -60.0},
        ],
        "protocol": {"dt_ms": 0.5, "duration_ms": 50.0},
        "datasets": {"shard_size": 50, "train": {"n": 100}, "calibration": {"n": 20}, "test": {"n": 20}},
        "estimators": {
            "cnn": {"kind": "cnn", "signal": "voltage", "folds": 2, "features": [{"standardize": {}}],
                    "hyperparameters": {"conv_filter": [4], "conv_kernel": 3, "pool_len": 2, "fc_dims": [8],
                                    "epochs": 10}}
        },
        "scales": {"smoke": {}, "demo": {}, "paper": {}},
    }  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spikes.yaml").write_text(yaml.safe_dump(content))
    return load_study("spikes.yaml", "demo", 1)


def test_what_the_prior_gives_is_said_and_drawn(study, tmp_path, capsys):
    n = 30
    assert cli.main(["check", "spikes.yaml", "--simulate", str(n), "--figure", "prior.png"]) == 0
    printed = capsys.readouterr().out
    theta, _ = study.parameters.draw(0, "spikes/rehearsal", np.arange(n))
    good = theta[:, 0] <= 8
    spikes = np.round(theta[good, 0]).astype(int)
    assert 0 < good.sum() < n, "nothing is shown of failures"
    assert f"{n} draws from the prior" in printed
    assert f"status: {good.sum()} ok, {n - good.sum()} raised an error" in printed
    assert f"spikes per trace (upwards through -10 mV): {spikes.min()} to {spikes.max()}, median" in printed
    assert f"{np.median(spikes):g}; none in 0 of {good.sum()}" in printed
    base = theta[good, 1]
    assert f"voltage dend: {base.min():.4g} to {base.max():.4g} mV, mean {base.mean():.4g}" in printed
    assert f"median 0; none in {good.sum()} of {good.sum()}" in printed
    assert "guard: count moves" in printed and "guard: passed" in printed
    width, height = np.frombuffer((tmp_path / "prior.png").read_bytes()[16:24], ">u4")
    assert width == 1200 and height > 600


def test_more_than_fits_is_refused(study, monkeypatch):
    monkeypatch.setattr(rehearsal, "LARGEST_MB", 0.01)
    with pytest.raises(ConfigError, match=r"--simulate: 1000 simulations take 1 MB; ask for 12 or fewer"):
        rehearsal.draw_prior(study, 1000, None, None)
    assert cli.main(["check", "spikes.yaml", "--figure", "x.png"]) == 1


def test_spikes_are_crossings_upwards():
    traces = np.array([[-70, 0, 5, -70, 0], [0, -70, -70, 0, -70], [0, 1, 2, 3, 4]])
    assert rehearsal.count_spikes(traces, -10).tolist() == [2, 1, 0]


def test_a_plan_times_what_nothing_has_measured(study, monkeypatch, capsys):
    monkeypatch.setattr(rehearsal, "SIMULATE_SECONDS", 0.01)
    assert cli.main(["plan", "spikes.yaml", "--scale", "demo"]) == 0
    printed = capsys.readouterr().out
    assert "spikes at scale demo; rates from a few simulations and training steps" in printed
    assert "140 simulations" in printed and "estimated" not in printed
    rates = rehearsal.timed_rates(study)
    assert 0 < rates.simulate < 1 and 0 < rates.train["cnn"] < 1
