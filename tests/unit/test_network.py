"""Measures of networks against spike trains whose statistics are known."""

import numpy as np
import pytest

from neuroinverse.evaluation import network

N_E, N_I, MS = 10000, 2500, 3000


def counts(rng, rate, modulation=0.0):
    """Population counts (time, 2) of independent neurons whose common rate (1/s) is modulated at 40 Hz."""
    drive = rate / 1000 * (1 + modulation * np.sin(2 * np.pi * 0.04 * np.arange(MS)))
    return np.stack([rng.binomial(n, drive) for n in (N_E, N_I)], axis=1)


def test_rates_and_states():
    rng = np.random.default_rng(1)
    spikes = np.stack([counts(rng, 40), counts(rng, 40, 0.9), counts(rng, 40), np.zeros((MS, 2))])
    activity = network.measure(spikes, [[1.0], [0.9], [0.2], [np.nan]], {"E": N_E, "I": N_I})
    assert activity.rate_E[:3] == pytest.approx(40, rel=0.01) and activity.rate_I[:3] == pytest.approx(40, rel=0.02)
    assert activity.state.tolist() == ["AI", "SI", "AR", ""]
    assert activity.rate_E[3] == 0 and np.isnan(activity.synchrony[3])


@pytest.mark.parametrize("neurons", [1000, 4000, 10000])
def test_synchrony_is_the_modulation_of_the_shared_rate(neurons):
    rng, modulation = np.random.default_rng(2), 0.5
    drive = 0.04 * (1 + modulation * np.sin(2 * np.pi * 0.04 * np.arange(300000)))
    found = network.synchrony(rng.binomial(neurons, drive)[None].astype(float), neurons)[0]
    assert found == pytest.approx(modulation / np.sqrt(2), rel=0.01)


def test_errors_by_state():
    residual = np.array([[0.1, -0.2], [-0.3, 0.2], [1.0, 1.0]])
    table = network.errors_by_state(np.array(["AI", "AI", ""]), residual, ["g", "J"])
    assert table == {"AI": {"n": 2, "g": pytest.approx(10.0), "J": pytest.approx(10.0)}}
