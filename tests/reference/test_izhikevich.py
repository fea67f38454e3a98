"""Izhikevich's neuron against an independent integration with events, and its published firing classes."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from neuroinverse.simulators.izhikevich import Izhikevich

# a, b, c, d as published, and draws from the study's prior
RANGES = ([0.01, 0.1, -80, 0.5], [0.1, 0.4, -50, 5])
STUDY_STIMULUS = {"kind": "reset_chirp", "variant": "460ms", "amplitude": 15, "unit": "1"}


def study_current(t):
    """The published reset and chirp up to 252.5 ms, times 15, for 4 ms <= t < 120 and 120 <= t < 252.5."""
    if t < 120:
        return -15.0
    s = t - 120
    if s < 10:
        return 15 * 0.075 * s
    phase = 2 * np.pi * (0.028 * s + 0.5 * 0.00313 * s**2)
    return 15 * (0.5 + (0.31 + 0.012 * s) * np.sin(phase))


def silence(t):
    return 0.0


def reset(t):
    return -15.0


STUDY_PIECES = [
    (0, 4, silence), (4, 120, reset), (120, 130, study_current), (130, 252.5, study_current), (252.5, 290, silence),
]  # fmt: skip


def integrate(a, b, c, d, pieces, gain=1.0, delay=0.0):
    """Spike times (ms) of the published equations, every spike located as an event at tight tolerance.

    `delay` (ms) holds a cell at its peak before the reset.
    """

    def derivative(t, y, current):
        v, u = y
        return [0.04 * v * v + 5 * v + 140 - u + gain * current(t), a * (b * v - u)]

    def peak(t, y, current):
        return y[0] - 30

    peak.terminal, peak.direction = True, 1
    t, y, spikes = 0.0, [-65.0, b * -65.0], []
    for _, stop, current in pieces:
        while t < stop:
            part = solve_ivp(
                derivative, (t, stop), y, "LSODA", args=(current,), rtol=1e-10, atol=1e-10, events=peak, max_step=1.0
            )
            assert part.success
            t, y = part.t[-1], part.y[:, -1]
            if part.status == 1:
                spikes.append(t)
                t, y = t + delay, [c, y[1] + d]
    return np.array(spikes)


def _close(spikes, others, bound_ms):
    return len(spikes) == len(others) and np.abs(spikes - others).max() <= bound_ms


def simulate(library, theta, stimulus, duration_ms, dt_ms):
    """Voltage, shape (batch, time)."""
    protocol = {"dt_ms": dt_ms, "duration_ms": duration_ms, "stimulus": stimulus}
    simulator = Izhikevich(["a", "b", "c", "d"], protocol, library=library)
    theta = np.atleast_2d(np.asarray(theta, dtype=float))
    return simulator.simulate(theta, np.zeros(len(theta), np.uint64))["voltage"]


def spike_times(v, dt_ms):
    """Times of the samples that hold a peak (ms)."""
    return np.flatnonzero(v >= 30) * dt_ms


PUBLISHED = {
    "regular spiking": (0.02, 0.2, -65, 8),
    "intrinsically bursting": (0.02, 0.2, -55, 4),
    "chattering": (0.02, 0.2, -50, 2),
    "fast spiking": (0.1, 0.2, -65, 2),
    "low-threshold spiking": (0.02, 0.25, -65, 2),
}
STEP = {"kind": "step", "start_ms": 0, "stop_ms": 200, "amplitude": 10, "unit": "1"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_step_response_converges(library, name):
    """The peak is placed within its step: errors do not add up over spikes, and stay near the grid's spacing."""
    theta = PUBLISHED[name]
    expected = integrate(*theta, [(0, 200, lambda t: 10.0)])
    errors = []
    for dt in (0.02, 0.01, 0.005):
        found = spike_times(simulate(library, theta, STEP, 200, dt)[0], dt)
        n = min(len(found), len(expected))
        # a spike at the very end of the record may fall outside it
        assert abs(len(found) - len(expected)) <= (expected[-1] > 199)
        errors.append(np.abs(found[:n] - expected[:n]).max())
        assert errors[-1] <= 3 * dt
    ratios = np.divide(errors[:-1], errors[1:])
    print(f"{name}: {len(expected)} spikes, error {np.round(errors, 4)} ms, ratios {np.round(ratios, 2)}")
    assert errors[0] / errors[2] > 2.5


def test_response_to_the_study_converges_where_it_is_well_posed(library):
    """The chirp holds some cells so close to threshold that a spike comes or goes with any error whatever.

    Which cells those are is told by the independent solution alone: there, 0.02 ms of delay per spike, or 0.1 % of
    stimulus, moves a spike by more than 0.5 ms. The first three other draws are compared.
    """
    rng, kept, met = np.random.default_rng(2003), [], 0
    while len(kept) < 3:
        theta = rng.uniform(*RANGES)
        met += 1
        spikes = integrate(*theta, STUDY_PIECES)
        changes = ({"delay": 0.02}, {"gain": 0.999}, {"gain": 1.001})
        if all(_close(spikes, integrate(*theta, STUDY_PIECES, **change), 0.5) for change in changes):
            kept.append((theta, spikes))
    print(f"{len(kept)} of {met} draws are well posed")
    errors = np.empty((3, 3))
    for column, dt in enumerate((0.02, 0.01, 0.005)):
        voltages = simulate(library, [theta for theta, _ in kept], STUDY_STIMULUS, 290, dt)
        for row, (_, expected) in enumerate(kept):
            found = spike_times(voltages[row], dt)
            assert len(found) == len(expected) > 3
            errors[row, column] = np.abs(found - expected).max()
    print(f"errors (ms) at dt 0.02, 0.01, 0.005:\n{np.round(errors, 4)}\nratio over both halvings", end=" ")
    print(np.round(errors[:, 0] / errors[:, 2], 2))
    assert errors[:, 0].max() < 0.1
    # peaks lie on the grid, so single halvings scatter around 2
    assert np.all(errors[:, 0] / errors[:, 2] > 2)
    assert errors[:, 0].mean() / errors[:, 2].mean() > 2.5


@pytest.fixture(scope="module")
def intervals(library):
    """Interspike intervals (ms) of the published classes in 1 s of constant current 10."""
    stimulus = STEP | {"stop_ms": 1000}
    voltages = simulate(library, list(PUBLISHED.values()), stimulus, 1000, 0.02)
    return {name: np.diff(spike_times(v, 0.02)) for name, v in zip(PUBLISHED, voltages, strict=True)}


def rate_hz(isi):
    return 1e3 / isi[len(isi) // 2 :].mean()


def test_regular_spiking_adapts(intervals):
    isi = intervals["regular spiking"]
    print(f"first interval {isi[0]:.1f}, last {isi[-1]:.1f} ms")
    assert isi[-1] > 1.5 * isi[0]
    assert np.ptp(isi[-5:]) < 0.1
    assert 15 < rate_hz(isi) < 30


def test_intrinsically_bursting_begins_with_one_burst(intervals):
    isi = intervals["intrinsically bursting"]
    print(f"intervals {np.round(isi[:5], 1)} …")
    assert (isi[:2] < 6).all()
    assert (isi[3:] > 20).all()


def test_chattering_repeats_bursts(intervals):
    isi = intervals["chattering"]
    long = np.flatnonzero(isi > 30)
    within = isi[isi <= 30]
    per_burst = np.diff(long)
    print(f"{len(long)} gaps, bursts of {per_burst} spikes, intervals within up to {within.max():.1f} ms")
    assert len(long) > 10
    assert within.max() < 8
    assert ((per_burst >= 3) & (per_burst <= 8)).all()


def test_fast_spiking_is_fast_and_steady(intervals):
    isi = intervals["fast spiking"]
    print(f"{rate_hz(isi):.0f} Hz")
    assert rate_hz(isi) > 100
    # steady from the fourth interval on
    assert np.ptp(isi[3:]) < 0.2
    assert rate_hz(isi) > 3 * rate_hz(intervals["regular spiking"])


def test_low_threshold_spiking_is_fast_and_adapts(intervals):
    isi = intervals["low-threshold spiking"]
    print(f"first interval {isi[0]:.1f}, last {isi[-1]:.1f} ms, {rate_hz(isi):.0f} Hz")
    assert isi[-1] > 3 * isi[0]
    assert rate_hz(isi) > 2 * rate_hz(intervals["regular spiking"])


def test_low_threshold_spiking_has_the_lower_threshold(library):
    """With b 0.25 rest is higher and a current fires the cell that leaves a regular spiking one silent."""
    stimulus = STEP | {"amplitude": 2}
    both = [PUBLISHED["regular spiking"], PUBLISHED["low-threshold spiking"]]
    regular, low = (spike_times(v, 0.02) for v in simulate(library, both, stimulus, 200, 0.02))
    print(f"current 2: {len(regular)} spikes with b 0.2, {len(low)} with b 0.25")
    assert len(regular) == 0
    assert len(low) > 0


def test_peaks_are_30_mv_and_the_next_sample_starts_from_the_reset(library):
    a, b, c, d = PUBLISHED["regular spiking"]
    v = simulate(library, [(a, b, c, d)], STEP, 200, 0.02)[0].astype(float)
    peaks = np.flatnonzero(v >= 30)
    assert len(peaks) > 4
    assert v.max() == 30
    # one step of at most |v'| dt away from c
    assert np.abs(v[peaks + 1] - c).max() < 0.02 * 60
