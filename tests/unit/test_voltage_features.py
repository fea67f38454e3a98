"""The voltage and its derivatives as channels."""

import keras
import numpy as np
import pytest

from neuroinverse.errors import ConfigError
from neuroinverse.features import feature_shape
from neuroinverse.features.chain import apply_features
from neuroinverse.simulators.base import Signal

SIGNAL = Signal("voltage", "mV", 0.02, (500,))
CHAIN = [{"voltage_derivatives": {"first": [0.1, 1], "second": [0.01, 0.2, 2]}}]


def features(x, chain=CHAIN, signal=SIGNAL):
    inputs = keras.Input(x.shape[1:])
    return keras.Model(inputs, apply_features(inputs, chain, signal)).predict(x, verbose=0)


def test_derivatives_are_those_of_the_function():
    t = np.arange(500) * 0.02
    v = -60 + 5 * np.sin(2 * t)
    found = features(v.astype(np.float32)[None, :, None])[0]
    assert found.shape == feature_shape(CHAIN, SIGNAL) == (500, 7)
    np.testing.assert_allclose(found[:, 0], np.log10(v + 81), atol=1e-5)
    np.testing.assert_allclose(found[:, 1], v, atol=1e-5)
    # a backward difference is the rate half a step before
    rate, curvature = 10 * np.cos(2 * (t - 0.01)), -20 * np.sin(2 * t)
    for channel, scale in ((2, 0.1), (3, 1)):
        np.testing.assert_allclose(found[1:, channel], np.arcsinh(scale * rate)[1:], atol=2e-3)
    # single precision holds a voltage of 60 mV to 4e-6 mV, and its curvature at 0.02 ms to 0.02 mV/ms²
    for channel, scale in ((4, 0.01), (5, 0.2), (6, 2)):
        np.testing.assert_allclose(np.sinh(found[1:-1, channel]) / scale, curvature[1:-1], atol=0.1)
    assert (found[0, 2:] == 0).all() and (found[-1, 4:] == 0).all()


def test_several_sites_have_channels_each():
    x = np.random.default_rng(0).normal(-60, 5, (3, 50, 2)).astype(np.float32)
    signal = Signal("voltage", "mV", 0.02, (50, 2))
    both = features(x, signal=signal)
    assert both.shape[1:] == feature_shape(CHAIN, signal) == (50, 14)
    for site in range(2):
        np.testing.assert_allclose(both[:, :, site::2], features(x[:, :, site : site + 1]), atol=1e-5)


@pytest.mark.parametrize(
    ("chain", "signal", "words"),
    [
        (CHAIN, Signal("lfp", "uV", 0.1, (500,)), ["voltage_derivatives takes mV", "uV"]),
        (CHAIN, Signal("voltage", "mV", 0.02, (2,)), ["needs 3 samples", "2"]),
        ([{"log_voltage": {}}, *CHAIN], SIGNAL, ["voltage_derivatives", "a feature before it has changed it"]),
        ([*CHAIN, {"log_voltage": {}}], SIGNAL, ["log_voltage", "a feature before it has changed it"]),
    ],
)
def test_what_it_does_not_take(chain, signal, words):
    with pytest.raises(ConfigError) as caught:
        feature_shape(chain, signal)
    for word in words:
        assert word in str(caught.value)
