"""Welch spectra inside a network: SciPy's numbers, from a saved model that Keras loads by itself."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.signal

from neuroinverse.errors import ConfigError
from neuroinverse.estimators import cnn
from neuroinverse.estimators.architecture import complete
from neuroinverse.features import feature_shape, split
from neuroinverse.parameters import Parameter, ParameterSpace
from neuroinverse.simulators.base import Signal

LFP = Signal("lfp", "mV", 1.0, (700, 3), 150.0)
HYPERPARAMETERS = complete({"conv_filter": [4], "conv_kernel": 3, "pool_len": 2, "fc_dims": [5], "epochs": 1})


def recording(n=5, signal=LFP):
    """Noise of different colours and offsets, float32, shape (n, time, channel)."""
    white = np.random.default_rng(1).normal(size=(n, *signal.shape))
    coloured = scipy.signal.lfilter([1], [1, -0.95], white, axis=1)
    return (0.01 * coloured + np.arange(signal.shape[1]) * 0.3).astype(np.float32)


@pytest.mark.parametrize(
    ("settings", "dt_ms", "expected"),
    [
        ({"segment_ms": 300}, 1.0, {"nperseg": 300, "noverlap": 150, "window": "hann"}),
        ({"segment_ms": 101, "overlap": 0.3}, 1.0, {"nperseg": 101, "noverlap": 30, "window": "hann"}),
        ({"segment_ms": 64, "overlap": 0}, 0.5, {"nperseg": 128, "noverlap": 0, "window": "hann"}),
        ({"segment_ms": 700, "window": "boxcar"}, 1.0, {"nperseg": 700, "window": "boxcar"}),
    ],
)
def test_the_density_is_scipys(settings, dt_ms, expected):
    signal = Signal("lfp", "mV", dt_ms, LFP.shape)
    x = recording()
    found = cnn.feature_model(signal, [{"welch": settings}]).predict(x, verbose=0)
    _, density = scipy.signal.welch(x.astype(np.float64), fs=1000 / dt_ms, axis=1, **expected)
    assert found.shape[1:] == feature_shape([{"welch": settings}], signal) == density.shape[1:]
    # single precision, relative to the spectrum's own size at each frequency and channel
    np.testing.assert_allclose(found, density, rtol=2e-4, atol=1e-7 * density.max())
    logarithm = cnn.feature_model(signal, [{"welch": settings}, {"log_power": {}}]).predict(x, verbose=0)
    np.testing.assert_allclose(logarithm, np.log10(found), atol=1e-5)


def test_a_sine_has_its_power_at_its_frequency():
    """Parseval: half the squared amplitude, and all of it near 40 Hz."""
    x = (3 * np.sin(2 * np.pi * 0.04 * np.arange(700)))[None, :, None].repeat(3, axis=2).astype(np.float32)
    density = cnn.feature_model(LFP, [{"welch": {"segment_ms": 200}}]).predict(x, verbose=0)[0, :, 1]
    frequency = np.arange(101) * 1000 / 200
    assert frequency[density.argmax()] == 40
    assert density.sum() * 5 == pytest.approx(4.5, rel=1e-3)


def test_silence_has_a_finite_logarithm():
    found = cnn.feature_model(LFP, [{"welch": {"segment_ms": 100}}, {"log_power": {}}])(np.zeros((1, *LFP.shape)))
    assert np.asarray(found).max() == np.asarray(found).min() == pytest.approx(-30)


LOAD = """
import sys
import keras, numpy as np
model = keras.models.load_model(sys.argv[1])
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
print("neuroinverse" in sys.modules)
"""


@pytest.mark.parametrize("per", ["channel", "bin"])
def test_a_saved_network_needs_keras_alone(tmp_path, per):
    features = [{"window": {"start_ms": 200, "stop_ms": 850}}, {"welch": {"segment_ms": 100}}, {"log_power": {}}]
    features.append({"standardize": {"per": per}})
    x, first = recording(40), cnn.feature_model(LFP, features)
    spectra = first.predict(x, verbose=0)
    statistics = cnn.feature_statistics(lambda: iter([spectra[:30], spectra[30:]]))
    whole, trained = cnn.build_models(LFP, features, HYPERPARAMETERS, 2, statistics, first)
    import keras

    inner = keras.Model(first.output, whole.get_layer("standardize").output)
    standardized = inner.predict(spectra, verbose=0)
    axes = (0, 1) if per == "channel" else 0
    np.testing.assert_allclose(standardized.mean(axis=axes), 0, atol=1e-4)
    np.testing.assert_allclose(standardized.std(axis=axes), 1, atol=1e-3)
    if per == "channel":
        assert np.abs(standardized.mean(axis=0)).max() > 0.1, "frequencies differ, and keep their difference"
    np.testing.assert_allclose(whole.predict(x, verbose=0), trained.predict(spectra, verbose=0), atol=1e-6)
    space = ParameterSpace((Parameter("g", "1", 4.0, 6.0), Parameter("J", "mV", 0.1, 1.0, "log")))
    model = cnn.to_physical_model(whole, space)
    model.save(tmp_path / "m.keras")
    np.save(tmp_path / "x.npy", x)
    files = [tmp_path / name for name in ("m.keras", "x.npy", "y.npy")]
    done = subprocess.run([sys.executable, "-c", LOAD, *files], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.strip() == "False", done.stderr[-2000:]
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model.predict(x, verbose=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ([{"welch": {"segment_ms": 100.5}}], ["welch", "100.5", "no whole number of samples of 1 ms"]),
        ([{"welch": {"segment_ms": 1}}], ["welch", "two or more"]),
        ([{"welch": {"segment_ms": 800}}], ["segment_ms 800 is longer than the signal's 700 ms"]),
        (
            [{"window": {"start_ms": 150, "stop_ms": 250}}, {"welch": {"segment_ms": 200}}],
            ["segment_ms 200", "100 ms"],
        ),
        ([{"log_power": {}}], ["log_power", "put welch before it"]),
        ([{"welch": {"segment_ms": 50}}, {"log_voltage": {}}], ["log_voltage", "put it before welch"]),
        ([{"welch": {"segment_ms": 50}}, {"welch": {"segment_ms": 50}}], ["welch has made a spectrum"]),
    ],
)
def test_chains_that_make_no_sense_are_refused(features, words):
    with pytest.raises(ConfigError) as caught:
        feature_shape(features, LFP)
    for word in words:
        assert word in str(caught.value)


def test_a_chain_is_parted_before_what_is_fitted():
    chain = [{"welch": {"segment_ms": 50}}, {"standardize": {}}, {"log_power": {}}]
    assert split(chain) == (chain[:1], chain[1:])
    assert split(chain[1:]) == ([], chain[1:]) and split(chain[:1]) == (chain[:1], [])
    assert cnn.feature_model(LFP, chain[1:]) is None
