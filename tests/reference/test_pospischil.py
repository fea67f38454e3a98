"""Pospischil's neuron: both engines against each other, against the equations and the published way to integrate them.

The equations below are written from Pospischil M et al. (2008) Biol Cybern 99:427 and share no code with the package.
What the published code finds at its ground truth and over its prior stands in test_step_statistics.
"""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from neuroinverse.errors import ConfigError
from neuroinverse.simulators.pospischil import Pospischil

# parameter: least and largest value of the published prior, its ground truth
PRIOR = {
    "gna": (0.5, 80, 50),
    "gk": (1e-4, 15, 5),
    "gleak": (1e-4, 0.6, 0.1),
    "gm": (1e-4, 0.6, 0.07),
    "tau_max": (50, 3000, 600),
    "minus_vt": (40, 90, 60),
    "sigma": (1e-4, 0.15, 0.1),
    "minus_eleak": (35, 100, 70),
}
LOW, HIGH, TRUTH = np.array(list(PRIOR.values()), float).T
SIGMA = list(PRIOR).index("sigma")
AMPLITUDE = 3.248  # uA/cm2
ON, OFF, END = 10.0, 110.0, 120.0  # ms
E_NA, E_K, V_0 = 53.0, -107.0, -70.0  # mV


def draws(n, seed=0, noise=1.0):
    """The truth and draws of the prior, shape (n, 8), the amplitude of their noise multiplied."""
    theta = LOW + (HIGH - LOW) * np.random.default_rng(seed).random((n, len(LOW)))
    theta[0] = TRUTH
    theta[:, SIGMA] *= noise
    return theta


def simulator(engine, library=None, dt_ms=0.01, duration_ms=END, amplitude=AMPLITUDE, free=tuple(PRIOR), **settings):
    step = {"kind": "step", "start_ms": ON, "stop_ms": OFF, "amplitude": amplitude, "unit": "uA/cm2"}
    protocol = {"dt_ms": dt_ms, "duration_ms": duration_ms, "stimulus": step}
    if "record_ms" in settings:
        protocol["record_ms"] = settings.pop("record_ms")
    return Pospischil(list(free), protocol, engine=engine, library=library, **settings)


def simulate(engine, theta, library=None, seeds=None, **settings):
    """Voltages (mV), float64, shape (batch, time)."""
    seeds = np.arange(len(theta)) if seeds is None else seeds
    return simulator(engine, library, **settings).simulate(theta, seeds)["voltage"].astype(float)


def spike_times(v, dt_ms):
    """Upward crossings of -10 mV, by linear interpolation (ms)."""
    i = np.flatnonzero((v[:-1] < -10) & (v[1:] >= -10))
    return dt_ms * (i + (-10 - v[i]) / (v[i + 1] - v[i]))


def quotient(x):
    """x / (exp(x) - 1); 1 at 0."""
    x = np.asarray(x, float)
    return np.where(x == 0, 1.0, x / np.where(x == 0, 1.0, np.expm1(x)))


def kinetics(v, v_t, tau_max):
    """Steady states, and time constants (ms), of m, h, n and p."""
    u = v - v_t
    rates = [
        (0.32 * 4 * quotient(-(u - 13) / 4), 0.28 * 5 * quotient((u - 40) / 5)),
        (0.128 * np.exp(-(u - 17) / 18), 4 / (1 + np.exp(-(u - 40) / 5))),
        (0.032 * 5 * quotient(-(u - 15) / 5), 0.5 * np.exp(-(u - 10) / 40)),
    ]
    p = 1 / (1 + np.exp(-(v + 35) / 10)), tau_max / (3.3 * np.exp((v + 35) / 20) + np.exp(-(v + 35) / 20))
    return [(a / (a + b), 1 / (a + b)) for a, b in rates] + [p]


def solve(theta):
    """Solution without noise at tight tolerance: voltage (mV) as a function of time, spike times (ms)."""
    g_na, g_k, g_leak, g_m, tau_max, minus_vt, _, minus_el = theta

    def derivative(t, y, current):
        v, m, h, n, p = y
        ionic = g_na * m**3 * h * (v - E_NA) + (g_k * n**4 + g_m * p) * (v - E_K) + g_leak * (v + minus_el)
        gates = kinetics(v, -minus_vt, tau_max)
        return [current - ionic, *((s - x) / tau for (s, tau), x in zip(gates, y[1:], strict=True))]

    def crossing(t, y, current):
        return y[0] + 10

    crossing.direction = 1
    y = [V_0, *(steady for steady, _ in kinetics(V_0, -minus_vt, tau_max))]
    parts, spikes = [], []
    for start, stop, current in ((0, ON, 0.0), (ON, OFF, AMPLITUDE), (OFF, END, 0.0)):
        part = solve_ivp(
            derivative, (start, stop), y, "LSODA", args=(current,), rtol=1e-9, atol=1e-10, dense_output=True,
            events=crossing, max_step=1.0,
        )  # fmt: skip
        assert part.success
        parts.append(part)
        spikes += list(part.t_events[0])
        y = part.y[:, -1]

    def voltage(t):
        which = np.searchsorted([ON, OFF], t, side="right")
        return np.select([which == i for i in range(3)], [part.sol(t)[0] for part in parts])

    return voltage, np.array(spikes)


def published_integration(theta, noise, dt_ms):
    """Exponential Euler, gates after the voltage, in NumPy; voltages (mV), shape (batch, time).

    Args:
        theta: Parameters, shape (batch, 8).
        noise: Standard normal numbers, shape (batch, steps).
        dt_ms: Time step (ms).
    """
    g_na, g_k, g_leak, g_m, tau_max, minus_vt, sigma, minus_el = theta.T
    t = np.arange(noise.shape[1] + 1) * dt_ms
    wave = AMPLITUDE * ((t >= ON) & (t < OFF))
    v = np.full(len(theta), V_0)
    gates = [steady for steady, _ in kinetics(v, -minus_vt, tau_max)]
    trace = [v]
    for i in range(noise.shape[1]):
        m, h, n, p = gates
        conductances = g_na * m**3 * h, g_k * n**4 + g_m * p, g_leak
        current = (wave[i] + wave[i + 1]) / 2 + sigma * noise[:, i] / np.sqrt(dt_ms)
        total = sum(conductances)
        target = conductances[0] * E_NA + conductances[1] * E_K - g_leak * minus_el + current
        target /= total
        v = target + (v - target) * np.exp(-dt_ms * total)
        moving = zip(kinetics(v, -minus_vt, tau_max), gates, strict=True)
        gates = [s + (x - s) * np.exp(-dt_ms / tau) for (s, tau), x in moving]
        trace.append(v)
    return np.stack(trace, axis=1)


def test_compiled_engine_is_the_published_integration():
    """With noise, to rounding and the single precision of the record."""
    theta, dt = draws(40), 0.01
    noise = np.stack([np.random.default_rng(i).standard_normal(11999) for i in range(len(theta))])
    expected, found = published_integration(theta, noise, dt), simulate("compiled", theta)
    difference = np.abs(found - expected).max(axis=1)
    counts = [len(spike_times(v, dt)) for v in expected]
    print(
        f"0 to {max(counts)} spikes: largest difference {difference.max():.1e} mV, median {np.median(difference):.1e}"
    )
    assert max(counts) > 10 and min(counts) == 0
    assert difference.max() < 1e-5


def test_exponential_is_exact_to_rounding():
    from neuroinverse.simulators.pospischil_loop import exponential

    x = np.concatenate([np.linspace(-690, 690, 20001), np.linspace(-1, 1, 20001), [0.0]])
    found = np.array([exponential(y) for y in x])
    error = np.abs(found / np.exp(x) - 1)
    print(f"largest relative error {error.max():.1e}, below 40 {error[np.abs(x) < 40].max():.1e}")
    assert error.max() < 1e-15
    assert exponential(0.0) == 1.0
    # beyond its range it does not turn round
    assert 0 < exponential(-1e6) < 1e-300 and 1e300 < exponential(1e6) < np.inf
    assert 0 < exponential(-np.inf) < 1e-300 and np.isnan(exponential(np.nan))


def test_both_engines_converge_to_the_solution(library):
    """Without noise: spike times, and the voltage where there is no spike."""
    theta, steps = draws(7, seed=1, noise=0), (0.01, 0.005, 0.0025)
    solved = [solve(row) for row in theta]
    errors = {}
    for engine in ("compiled", "neuron"):
        errors[engine] = []
        for dt in steps:
            moved = []
            for v, (voltage, spikes) in zip(simulate(engine, theta, library, dt_ms=dt), solved, strict=True):
                found = spike_times(v, dt)
                # a spike at threshold may come or go at the reference's coarse step
                if len(found) == len(spikes):
                    t = np.arange(len(v)) * dt
                    moved.append(np.abs(found - spikes).max() if len(spikes) else np.abs(v - voltage(t)).max())
                else:
                    moved.append(np.inf)
            errors[engine].append(moved)
        errors[engine] = np.array(errors[engine])
        print(engine, "spikes", [len(spikes) for _, spikes in solved])
        for dt, moved in zip(steps, errors[engine], strict=True):
            print(f"  dt {dt} ms: errors (ms; mV without spikes)", np.round(moved, 4))
    assert max(len(spikes) for _, spikes in solved) > 5 and min(len(spikes) for _, spikes in solved) == 0
    compiled, neuron = errors["compiled"], errors["neuron"]
    assert np.isfinite(compiled).all() and np.isfinite(neuron[1:]).all()
    assert compiled[0].max() < 0.06 and compiled[2].max() < 0.015
    assert neuron[2].max() < 0.6
    # first order; the compiled engine is so close that its next order shows
    assert np.median(compiled[0] / compiled[2]) > 3
    assert 3 < np.median(neuron[0] / neuron[2]) < 5.5
    assert np.median(neuron[0] / compiled[0]) > 2


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_engines_agree(library, noise):
    """The same currents in both: what remains, medians here, is the reference's step and goes with it."""
    theta = draws(32, noise=noise)
    moved = {}
    for dt in (0.01, 0.005, 0.0025):
        ours, theirs = (simulate(engine, theta, library, dt_ms=dt) for engine in ("compiled", "neuron"))
        pairs = [(spike_times(a, dt), spike_times(b, dt)) for a, b in zip(ours, theirs, strict=True)]
        equal = [len(a) == len(b) for a, b in pairs]
        silent = np.array([len(a) == len(b) == 0 for a, b in pairs])
        shifts = [np.abs(a - b).max() for a, b in pairs if len(a) == len(b) > 0]
        quiet = np.median(np.abs(ours - theirs)[silent].max(axis=1))
        moved[dt] = np.median(shifts), quiet
        print(f"dt {dt} ms: {sum(equal)} of 32 with as many spikes, {silent.sum()} with none; spikes moved by ", end="")
        print(f"{np.median(shifts):.3f} ms (largest {max(shifts):.2f}), voltages without spikes by {quiet:.4f} mV")
        assert sum(equal) >= 29 and silent.sum() > 5 and len(shifts) > 10
    assert moved[0.01][0] < 0.35 and moved[0.01][1] < 0.06
    assert 2.5 < moved[0.01][0] / moved[0.0025][0] < 6
    assert 3.6 < moved[0.01][1] / moved[0.0025][1] < 4.4


def test_both_engines_inject_the_same_noise(library):
    """A passive membrane has a recursion of one line in each engine: backward and exponential Euler."""
    dt, g, sigma, rest = 0.02, 0.3, 0.1, -65.0
    fixed = {"gna": 0, "gk": 0, "gm": 0}
    settings = {"free": ["gleak", "minus_eleak", "sigma"], "fixed": fixed, "dt_ms": dt, "amplitude": 2.0}
    theta, seeds = np.tile([g, -rest, sigma], (3, 1)), np.array([5, 6, 2**64 - 1], np.uint64)
    t = np.arange(round(END / dt)) * dt
    wave = 2.0 * ((t >= ON) & (t < OFF))
    for engine in ("compiled", "neuron"):
        found = simulate(engine, theta, library, seeds, **settings)
        for v, seed in zip(found, seeds, strict=True):
            noise = np.random.default_rng(int(seed)).standard_normal(len(t) - 1) * sigma / np.sqrt(dt)
            expected = [V_0]
            for current in (wave[1:] + wave[:-1]) / 2 + noise:
                if engine == "neuron":
                    expected.append((expected[-1] + dt * (g * rest + current)) / (1 + dt * g))
                else:
                    target = rest + current / g
                    expected.append(target + (expected[-1] - target) * np.exp(-dt * g))
            difference = np.abs(v - expected).max()
            print(f"{engine}: largest difference {difference:.1e} mV of {np.ptp(expected):.1f}")
            assert difference < 1e-5


@pytest.mark.parametrize("dt", [0.01, 0.1])
def test_noise_has_the_variance_of_its_process(dt):
    """Ornstein-Uhlenbeck at rest: sigma² / (2 g C), whatever the step."""
    g, sigma, cm, n = 0.2, 0.1, 1.5, 600
    settings = {"free": [], "fixed": {"gna": 0, "gk": 0, "gm": 0, "gleak": g, "sigma": sigma, "cm": cm}}
    v = simulate("compiled", np.empty((n, 0)), dt_ms=dt, amplitude=0.0, record_ms=[60, 120], **settings)
    # samples 30 ms apart, four time constants
    values = v[:, [round(30 / dt) - 1, -1]]
    expected = sigma**2 / (2 * g * cm)
    ratio = np.mean((values + 70) ** 2) / expected
    print(f"dt {dt} ms: variance over expected {ratio:.3f}")
    assert abs(ratio - 1) < 3.5 * np.sqrt(2 / values.size)
    assert abs(np.mean(values) + 70) < 3.5 * np.sqrt(expected / values.size)


def test_rates_at_their_removable_singularities(library):
    """At 13, 15 and 40 mV above V_T numerator and denominator of a rate vanish together."""
    theta = np.array([TRUTH * np.where(np.arange(8) == SIGMA, 0, 1)])
    for u in (13.0, 15.0, 40.0):
        for engine in ("compiled", "neuron"):
            start = TRUTH[5] * -1 + u
            near = [
                simulate(engine, theta, library, duration_ms=0.5, options={"v_init": start + d})[0, :20] - d
                for d in (-1e-4, -1e-8, 0, 1e-8, 1e-4)
            ]
            assert np.isfinite(near).all()
            assert np.ptp(near, axis=0).max() < 1e-3
            assert np.ptp(near[2]) > 0.1


@pytest.mark.parametrize(("engine", "n"), [("compiled", 70), ("neuron", 7)])
def test_a_trace_is_the_same_in_any_company(library, engine, n):
    """The same bits again, alone, in another order, and beside a simulation that fails; another seed differs."""
    theta, seeds = draws(n), np.random.default_rng(9).integers(0, 2**64, n, np.uint64)
    together = simulate(engine, theta, library, seeds)
    np.testing.assert_array_equal(simulate(engine, theta, library, seeds), together)
    np.testing.assert_array_equal(simulate(engine, theta[::-1], library, seeds[::-1])[::-1], together)
    # the last lane of a round of the compiled engine and the first of the next
    for i in (0, min(31, n - 3), min(32, n - 2), n - 1):
        alone = simulate(engine, theta[i : i + 1], library, seeds[i : i + 1])
        np.testing.assert_array_equal(alone[0], together[i])
    failing = theta.copy()
    failing[5, 0] = np.nan
    beside = simulate(engine, failing, library, seeds)
    assert np.isnan(beside[5]).all()
    np.testing.assert_array_equal(np.delete(beside, 5, 0), np.delete(together, 5, 0))
    assert np.abs(simulate(engine, theta[:3], library, seeds[3:6]) - together[:3])[:, -1].min() > 0


@pytest.mark.parametrize("engine", ["compiled", "neuron"])
def test_duration_and_window_change_no_sample(library, engine):
    theta = draws(3)
    whole = simulate(engine, theta, library)
    np.testing.assert_array_equal(simulate(engine, theta, library, duration_ms=60)[:, :6000], whole[:, :6000])
    np.testing.assert_array_equal(simulate(engine, theta, library, record_ms=[5, 50]), whole[:, 500:5000])


def test_mechanisms_give_the_same_in_two_threads(library):
    from neuroinverse.simulators.neuron_batch import hoc

    h = hoc(library)
    cells = []
    for i in range(6):
        section = h.Section(name=f"cell{i}")
        section.L = section.diam = 20
        section.insert("pospischil")
        section.insert("cell_current")
        section.ena, section.ek = E_NA, E_K
        section(0.5).pospischil.vt = -55 - i
        section(0.5).cell_current.density = (2 + i) * 1e-3
        cells.append((section, h.Vector().record(section(0.5)._ref_v)))
    h.CVode().active(False)
    h.dt, traces, context = 0.01, [], h.ParallelContext()
    try:
        for threads in (1, 2):
            context.nthread(threads)
            h.finitialize(V_0)
            for _ in range(5000):
                h.fadvance()
            traces.append(np.array([vector.as_numpy().copy() for _, vector in cells]))
    finally:
        context.nthread(1)
    np.testing.assert_array_equal(*traces)
    assert sum(len(spike_times(v, 0.01)) for v in traces[0]) > 5
    assert len(np.unique(traces[0][:, -1])) == 6


@pytest.mark.parametrize(
    "changes", [{"gna": np.nan}, {"gleak": -50.0}, {"sigma": np.inf}, {"gna": 0, "gk": 0, "gm": 0, "gleak": 0}]
)
def test_what_diverges_is_no_number(changes):
    theta = draws(3)
    for name, value in changes.items():
        theta[1, list(PRIOR).index(name)] = value
    found = simulate("compiled", theta)
    assert np.isnan(found[1]).all() and np.isfinite(found[[0, 2]]).all()


@pytest.mark.parametrize("value", ["-70", True, np.nan])
def test_the_first_potential_is_a_number(value):
    with pytest.raises(ConfigError, match="v_init"):
        simulator("compiled", options={"v_init": value})
