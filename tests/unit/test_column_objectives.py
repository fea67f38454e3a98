"""What is asked of a column: known signals have known values, arrays and tensors the same, settings are checked."""

import json

import numpy as np
import pytest
import tensorflow as tf
from scipy.signal import welch

from neuroinverse.column.network import ColumnActivity
from neuroinverse.column.objectives import Objective, spectrum
from neuroinverse.errors import ConfigError

DT_ms, N, WARM_UP_ms = 0.5, 1000, 100
NAMES, DIPOLES = ("L2_pyramidal", "L2_basket", "L5_pyramidal"), ("L2_pyramidal", "L5_pyramidal")
TIME_s = np.arange(N) * DT_ms * 1e-3


def activity(signals, rates_Hz=None) -> ColumnActivity:
    """A dipole of layer 5 alone, shape (batch, time), and spikes of four cells by population."""
    signals = np.atleast_2d(signals)
    dipole = np.stack([np.zeros_like(signals), signals], axis=-1).astype(np.float32)
    spikes = {name: np.zeros((len(signals), N, 4), np.float32) for name in NAMES}
    for name, rate in (rates_Hz or {}).items():
        # spikes of the warm-up are not to be counted
        spikes[name][:, :200] = 1
        spikes[name][:, 200 : 200 + round(rate * (N * DT_ms - WARM_UP_ms) * 1e-3)] = 1
    return ColumnActivity(dipole, spikes)


def objective(*terms, n=N) -> Objective:
    return Objective({"terms": list(terms), "warm_up_ms": WARM_UP_ms}, NAMES, DIPOLES, DT_ms, n)


def value(term, what) -> float:
    return float(objective(term)(what)[term["kind"]])


def sine(frequency_Hz, amplitude=3.0):
    return amplitude * np.sin(2 * np.pi * frequency_Hz * TIME_s + 0.4)


def noise(seed, n=1):
    return np.random.default_rng(seed).normal(size=(n, N)) * 50


@pytest.mark.parametrize("frequency", [20, 31, 42.5])
def test_a_sine_has_half_its_squared_amplitude(frequency):
    """Whatever the offset, and whether or not a whole number of periods fits."""
    term = {"kind": "band_power", "low_Hz": 10, "high_Hz": 60}
    assert value(term, activity(1e3 + sine(frequency))) == pytest.approx(-np.log(4.5), abs=0.01)


def test_a_sine_outside_the_band_has_little_power():
    term = {"kind": "band_power"}
    inside, outside = (value(term, activity(sine(f))) for f in (30, 90))
    assert outside - inside > np.log(1e4)


def test_what_came_before_the_warm_up_ends_is_not_looked_at():
    changed = sine(30).copy()
    changed[:200] = 1e5
    assert value({"kind": "band_power"}, activity(changed)) == value({"kind": "band_power"}, activity(sine(30)))


def test_the_spectrum_holds_the_whole_power():
    """Parseval: its sum is the mean square of the windowed signal, over the window's."""
    x = noise(1)[0]
    frequencies, density = spectrum(tf.constant(x[None], tf.float32), DT_ms)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N) / N)
    expected = np.sum(((x - x.mean()) * window) ** 2) / np.sum(window**2)
    assert float(tf.reduce_sum(density)) * frequencies[1] == pytest.approx(expected, rel=1e-4)
    assert frequencies[-1] == 1000


@pytest.mark.parametrize("segment_ms", [500, 200])
def test_the_spectrum_is_that_of_scipy_averaged_over_realisations(segment_ms):
    x = noise(2, 3)
    frequencies, density = spectrum(tf.constant(x, tf.float32), DT_ms, segment_ms)
    at, expected = welch(x, 1e3 / DT_ms, nperseg=round(segment_ms / DT_ms))
    np.testing.assert_allclose(frequencies, at)
    np.testing.assert_allclose(density, expected.mean(axis=0), rtol=2e-3, atol=1e-4)


def test_power_is_averaged_over_realisations_before_the_logarithm():
    both = activity(np.stack([sine(30, 3.0), sine(30, 1.0)]))
    assert value({"kind": "band_power"}, both) == pytest.approx(-np.log((4.5 + 0.5) / 2), abs=0.01)


def test_dipoles_are_added():
    what = activity(sine(30))
    what = ColumnActivity(np.repeat(what.dipole[..., 1:], 2, axis=-1), what.spikes)
    total = value({"kind": "band_power"}, what)
    single = value({"kind": "band_power", "dipoles": ["L2_pyramidal"]}, what)
    assert single - total == pytest.approx(np.log(4), abs=1e-4)


def test_relative_power_knows_no_scale():
    term = {"kind": "relative_band_power", "low_Hz": 15, "high_Hz": 60, "total_high_Hz": 200}
    x = sine(30) + sine(120, 4.0)
    assert value(term, activity(x)) == pytest.approx(-np.log(9 / 25), abs=0.01)
    assert value(term, activity(1e3 * x)) == pytest.approx(value(term, activity(x)), abs=1e-4)


def test_a_spectrum_that_is_its_own_target():
    x = noise(3)
    at, expected = welch(x[:, 200:], 1e3 / DT_ms, nperseg=400)
    asked = [10, 20, 40, 80]
    values = np.exp(np.interp(asked, at, np.log(expected[0])))
    term = {"kind": "target_spectrum", "frequencies_Hz": asked, "values": values.tolist(), "segment_ms": 200}
    assert value(term, activity(x)) == pytest.approx(0, abs=1e-5)
    assert value(term, activity(3 * x)) == pytest.approx(np.log(9) ** 2, rel=1e-3)
    assert value(term | {"relative": True}, activity(3 * x)) == pytest.approx(0, abs=1e-5)
    steeper = term | {"relative": True, "values": (values * np.array([np.e, 1, 1, 1 / np.e])).tolist()}
    assert value(steeper, activity(x)) == pytest.approx(0.5, rel=1e-3)


def test_a_waveform_is_matched_but_for_its_offset():
    times = np.arange(150, 300, 5.0)
    wanted = 40 * np.exp(-(((times - 220) / 15) ** 2))
    term = {"kind": "evoked_dipole", "times_ms": times.tolist(), "values_fAm": wanted.tolist()}
    exact = np.interp(TIME_s * 1e3, times, wanted)
    assert value(term, activity(exact - 500)) == pytest.approx(0, abs=1e-6)
    assert value(term, activity(np.zeros(N))) == pytest.approx(1, rel=1e-4)
    assert value(term, activity(-exact)) == pytest.approx(4, rel=1e-4)
    # realisations are averaged first
    ripple = sine(200, 100.0)
    assert value(term, activity(np.stack([exact + ripple, exact - ripple]))) == pytest.approx(0, abs=1e-6)
    # what lies outside its span does not count
    elsewhere = exact + 1e3 * (TIME_s * 1e3 > 300)
    assert value(term, activity(elsewhere)) == pytest.approx(0, abs=1e-6)


def test_rates_are_compared_on_a_logarithmic_scale():
    what = activity(np.zeros((2, N)), {"L2_pyramidal": 10, "L5_pyramidal": 40})
    found = {name: float(rate) for name, rate in objective({"kind": "band_power"}).rates(what).items()}
    assert found == pytest.approx({"L2_pyramidal": 10, "L2_basket": 0, "L5_pyramidal": 40}, rel=1e-5)
    term = {"kind": "rates", "targets_Hz": {"L2_pyramidal": 10, "L5_pyramidal": 20}}
    assert value(term, what) == pytest.approx(np.log(40.1 / 20.1) ** 2 / 2, rel=1e-4)


def test_rates_within_their_bounds_cost_nothing():
    what = activity(np.zeros((2, N)), {"L2_pyramidal": 10, "L5_pyramidal": 40})
    term = {"kind": "rate_bounds", "bounds_Hz": {"L2_pyramidal": [1, 30], "L5_pyramidal": [1, 40]}}
    assert value(term, what) == pytest.approx(0, abs=1e-9)
    assert value({"kind": "rate_bounds", "bounds_Hz": {"L5_pyramidal": [1, 20]}}, what) == pytest.approx(
        np.log(40.1 / 20.1) ** 2, rel=1e-4
    )
    assert value({"kind": "rate_bounds", "bounds_Hz": {"L2_basket": [5, 20]}}, what) == pytest.approx(
        np.log(5.1 / 0.1) ** 2, rel=1e-4
    )


TERMS = [
    {"kind": "band_power", "weight": 2.0},
    {"kind": "band_power", "name": "alpha", "low_Hz": 8, "high_Hz": 13, "weight": -0.5},
    {"kind": "relative_band_power"},
    {"kind": "target_spectrum", "frequencies_Hz": [10, 30], "values": [1.0, 0.1]},
    {"kind": "evoked_dipole", "times_ms": [150, 200, 300], "values_fAm": [0, 5, 0]},
    {"kind": "rates", "targets_Hz": {"L5_pyramidal": 8}},
    {"kind": "rate_bounds", "weight": 10, "bounds_Hz": {"L2_basket": [1, 30]}},
]


def test_the_loss_is_the_weighted_sum_for_arrays_and_compiled_tensors():
    asked = objective(*json.loads(json.dumps(TERMS)))
    what = activity(noise(4, 2), {"L5_pyramidal": 5})
    terms = {name: float(x) for name, x in asked(what).items()}
    weights = {term.get("name", term["kind"]): term.get("weight", 1) for term in TERMS}
    assert terms["loss"] == pytest.approx(sum(weights[name] * terms[name] for name in weights), rel=1e-5)
    tensors = ColumnActivity(tf.constant(what.dipole), {k: tf.constant(x) for k, x in what.spikes.items()})
    compiled = tf.function(asked, jit_compile=True)(tensors)
    assert {k: float(x) for k, x in compiled.items()} == pytest.approx(terms, rel=1e-3)


def test_every_term_has_a_gradient():
    what = activity(noise(4, 2), {"L5_pyramidal": 5})
    for term in TERMS:
        asked = objective(term)
        dipole, spikes = tf.constant(what.dipole), {k: tf.constant(x) for k, x in what.spikes.items()}
        with tf.GradientTape() as tape:
            tape.watch([dipole, spikes])
            loss = asked(ColumnActivity(dipole, spikes))["loss"]
        gradients = tape.gradient(loss, [dipole, *spikes.values()])
        found = [g.numpy() for g in gradients if g is not None]
        assert all(np.isfinite(g).all() for g in found) and any(g.any() for g in found), term["kind"]
        early = [g[:, :200] for g in found]
        assert not any(g.any() for g in early), "the warm-up has none"


def test_the_gradient_of_band_power_is_that_of_finite_differences():
    asked, rng = objective({"kind": "band_power"}), np.random.default_rng(5)
    x, direction = noise(6), rng.normal(size=(1, N))

    def loss(h):
        return float(asked(activity(x + h * direction))["loss"])

    dipole = tf.constant(activity(x).dipole)
    with tf.GradientTape() as tape:
        tape.watch(dipole)
        y = asked(ColumnActivity(dipole, activity(x).spikes))["loss"]
    found = float(tf.reduce_sum(tape.gradient(y, dipole)[..., 1] * direction.astype(np.float32)))
    assert found == pytest.approx((loss(0.5) - loss(-0.5)) / 1.0, rel=0.01)


@pytest.mark.parametrize(
    ("term", "words"),
    [
        ({"kind": "bandpower"}, ["terms.0.kind", "bandpower", "band_power"]),
        ({"weight": 1}, ["terms.0.kind", "unknown"]),
        ({"kind": "band_power", "low_hz": 15}, ["terms.0", "low_hz", "low_Hz"]),
        ({"kind": "band_power", "dipoles": ["L5_basket"]}, ["terms.0.dipoles", "L5_basket"]),
        ({"kind": "band_power", "high_Hz": 2000}, ["high_Hz 2000", "1000 Hz", "2.5"]),
        ({"kind": "band_power", "low_Hz": 15.1, "high_Hz": 17.4}, ["no frequency", "2.5", "400 ms", "longer"]),
        ({"kind": "band_power", "low_Hz": 30, "high_Hz": 20}, ["low_Hz 30", "high_Hz 20"]),
        ({"kind": "band_power", "low_Hz": "15"}, ["terms.0.low_Hz", "'15'", "a number"]),
        ({"kind": "band_power", "weight": [1]}, ["terms.0.weight", "[1]", "a number"]),
        ({"kind": "band_power", "dipoles": "L5_pyramidal"}, ["terms.0.dipoles", "a list of names"]),
        ({"kind": "evoked_dipole", "times_ms": 150, "values_fAm": [1]}, ["terms.0.times_ms", "a list of numbers"]),
        ({"kind": "rates", "targets_Hz": [5]}, ["terms.0.targets_Hz", "a mapping"]),
        ({"kind": "relative_band_power", "high_Hz": 200}, ["high_Hz 200", "total_high_Hz 100"]),
        ({"kind": "target_spectrum", "values": [1]}, ["needs 'frequencies_Hz'"]),
        ({"kind": "target_spectrum", "values": [1], "frequencies_Hz": [10, 20]}, ["as many positive values"]),
        ({"kind": "target_spectrum", "values": [1], "frequencies_Hz": [2]}, ["from 4 to 1000 Hz"]),
        ({"kind": "target_spectrum", "values": [0.0], "frequencies_Hz": [20]}, ["positive"]),
        (
            {"kind": "target_spectrum", "values": [1], "frequencies_Hz": [20], "segment_ms": 500},
            ["segment_ms: 500", "400 ms"],
        ),
        ({"kind": "evoked_dipole", "times_ms": [50, 200], "values_fAm": [0, 1]}, ["times_ms from 100", "499.5"]),
        ({"kind": "evoked_dipole", "times_ms": [200, 150], "values_fAm": [0, 1]}, ["ascending"]),
        ({"kind": "evoked_dipole", "times_ms": [150, 200], "values_fAm": [1, 1]}, ["flat"]),
        ({"kind": "rates", "targets_Hz": {"L5_pyramid": 5}}, ["targets_Hz", "did you mean 'L5_pyramidal'"]),
        ({"kind": "rates", "targets_Hz": {}}, ["targets_Hz", "empty", "L2_basket"]),
        ({"kind": "rates", "targets_Hz": {"L2_basket": -1}}, ["targets_Hz.L2_basket", "-1", "0 Hz or more"]),
        ({"kind": "rate_bounds", "bounds_Hz": {"L2_basket": [5, 1]}}, ["bounds_Hz.L2_basket", "low <= high"]),
        ({"kind": "rate_bounds", "bounds_Hz": {"L2_basket": [5]}}, ["bounds_Hz.L2_basket", "low <= high"]),
    ],
)
def test_settings_that_do_not_fit_are_named(term, words):
    with pytest.raises(ConfigError) as caught:
        objective(term)
    for word in words:
        assert word in str(caught.value)


def test_objectives_as_a_whole_are_checked():
    with pytest.raises(ConfigError, match="terms: there are none; add one of band_power"):
        objective()
    with pytest.raises(ConfigError, match=r"terms\.1: there is another 'band_power'; give this one a `name`"):
        objective({"kind": "band_power"}, {"kind": "band_power"})
    with pytest.raises(ConfigError, match=r"warm_up_ms: .*less than the simulation's 100 ms, not 100"):
        objective({"kind": "band_power"}, n=200)
    with pytest.raises(ConfigError, match="'term' is unknown"):
        Objective({"term": []}, NAMES, DIPOLES, DT_ms, N)
    with pytest.raises(ConfigError, match="no population of the column has a dipole; ask for rates"):
        Objective({"terms": [{"kind": "band_power"}]}, NAMES, (), DT_ms, N)
