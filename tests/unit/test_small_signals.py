"""Features do not depend on the unit of a signal: what is small is not taken for nothing, and nothing not for small."""

import keras
import numpy as np
import pytest

from neuroinverse.estimators import cnn
from neuroinverse.estimators.trace_range import TraceRange, describe
from neuroinverse.features.chain import apply_features
from neuroinverse.simulators.base import Signal

LFP = Signal("lfp", "mV", 1.0, (120, 3), channels=("a", "b", "c"))
WELCH, LOG = {"welch": {"segment_ms": 40}}, {"log_power": {}}


def walks(seed: int = 0) -> np.ndarray:
    """Random walks, channels of very different scale."""
    steps = np.random.default_rng(seed).normal(size=(24, 120, 3))
    return (steps.cumsum(axis=1) * [1.0, 1e-3, 1e3]).astype(np.float32)


def features_of(x: np.ndarray, chain: list, training: np.ndarray | None = None) -> np.ndarray:
    """What a chain that is fitted to training signals makes of signals."""
    training = x if training is None else training
    begin = keras.Input(x.shape[1:])
    fit = cnn.feature_statistics(lambda: iter([training[:10], training[10:]]))
    return np.asarray(keras.Model(begin, apply_features(begin, chain, LFP, fit)).predict_on_batch(x))


@pytest.mark.parametrize("per", ["channel", "bin"])
@pytest.mark.parametrize("before", [[], [WELCH], [WELCH, LOG]], ids=["signal", "power", "logarithm"])
def test_signals_in_another_unit_are_standardized_alike(before, per):
    chain = [*before, {"standardize": {"per": per}}]
    plain = features_of(walks(), chain)
    axes = (0, 1) if per == "channel" else 0
    np.testing.assert_allclose(plain.std(axis=axes), 1, atol=1e-3)
    for scale in (1e-9, 1e6):
        np.testing.assert_allclose(features_of(walks() * np.float32(scale), chain), plain, atol=1e-4)


def test_ordinary_signals_have_the_statistics_that_they_always_had():
    x = walks()
    mean, variance = cnn.feature_statistics(lambda: iter([x[:10], x[10:]]))(None, None, False)
    first, second = (sum((part.astype(np.float64) ** k).sum(axis=(0, 1)) for part in (x[:10], x[10:])) for k in (1, 2))
    n = x.shape[0] * x.shape[1]
    assert mean == (first / n).tolist() and variance == (second / n - (first / n) ** 2).tolist()


@pytest.mark.parametrize("per", ["channel", "bin"])
@pytest.mark.parametrize("value", [0.0, -65.0, 7e-9, 3e9, 5])
def test_what_never_changes_is_zero(per, value):
    """Beside channels that change, among them one of whole numbers."""
    x = walks(1)
    x[..., 0], x[..., 1] = value, np.random.default_rng(2).integers(0, 9, x.shape[:2])
    found = features_of(x, [{"standardize": {"per": per}}])
    assert (found[..., 0] == 0).all()
    np.testing.assert_allclose(found[..., 1:].std(axis=(0, 1)), 1, atol=0.02)


def test_rounding_is_not_taken_for_a_signal():
    """−65 mV whose last digit flickers once: its own standard deviation, 1e-7 mV, would make it 76 of them."""
    x = walks()
    x[..., 0] = -65
    x[3, 7, 0] = np.nextafter(np.float32(-65), np.float32(0))
    assert np.abs(features_of(x, [{"standardize": {}}])[..., 0]).max() < 10


@pytest.mark.parametrize("scale", [1e-9, 1e-12])
def test_the_logarithm_of_a_small_power_moves_by_its_scale_alone(scale):
    plain = features_of(walks(), [WELCH, LOG])
    np.testing.assert_allclose(
        features_of(walks() * np.float32(scale), [WELCH, LOG]), plain + 2 * np.log10(scale), atol=1e-3
    )


def test_a_silent_contact_has_the_lowest_power():
    x = walks()
    x[..., 1], x[0] = 0, 0
    found = features_of(x, [WELCH, LOG])
    np.testing.assert_allclose(found[0], -30, rtol=1e-6)
    np.testing.assert_allclose(found[1:, :, 1], -30, rtol=1e-6)
    small = features_of(x * np.float32(1e-12), [WELCH, LOG])[1:]
    assert (small[..., 1] < small[..., [0, 2]].min(axis=(1, 2))[:, None]).all(), "below all that is there"


@pytest.mark.parametrize("chain", [[{"window": {"start_ms": 20, "stop_ms": 100}}], [WELCH]], ids=["window", "welch"])
def test_half_precision_changes_no_feature(chain):
    """Layers that compute in it would round −65 mV to 0.06 mV and leave nothing of a power of 1e-9 mV²/Hz."""
    x = walks() * np.float32(1e-3) - np.array([65, 0, 0], np.float32)
    plain = features_of(x, chain)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        np.testing.assert_array_equal(features_of(x, chain), plain)
    finally:
        keras.config.set_dtype_policy("float32")


def test_the_warning_of_unlike_traces_does_not_depend_on_the_unit():
    x, other = walks(), 3 * walks(5)
    plain = TraceRange.fit([x]).score(describe(other))
    scale = np.float32(1e-9)
    np.testing.assert_allclose(TraceRange.fit([x * scale]).score(describe(other * scale)), plain, rtol=1e-4)


def test_a_saved_network_of_small_signals_needs_keras_alone(tmp_path):
    x = walks() * np.float32(1e-9)
    begin = keras.Input(x.shape[1:])
    chain = [{"standardize": {"per": "bin"}}]
    model = keras.Model(begin, apply_features(begin, chain, LFP, cnn.feature_statistics(lambda: iter([x]))))
    model.save(tmp_path / "m.keras")
    assert {layer.__class__.__module__.split(".")[0] for layer in model.layers} == {"keras"}
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict_on_batch(x), model.predict_on_batch(x))
