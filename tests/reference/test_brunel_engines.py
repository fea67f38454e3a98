"""The Brunel network: NEST against the compiled loop, and both against the theory of one neuron in Poisson input.

Networks are smaller than published (order 250, C_E 400, C_I 100) and cover the same states: saturated and synchronous,
asynchronous irregular, slow oscillations, quiet. Networks of the published size are compared by
benchmarks/brunel_engines.py.
"""

import functools
import itertools
import math

import numpy as np
import pytest
from scipy import integrate, optimize, signal, special

from neuroinverse.simulators import brunel_compiled, brunel_nest
from neuroinverse.simulators.brunel_network import Network, Raster

RUN = {"nest": brunel_nest.run, "compiled": brunel_compiled.run}
SMALL = {"order": 250, "connection_probability": 0.4, "duration_ms": 700.0, "record_ms": (100.0, 700.0)}
STATES = {
    "saturated": (3.0, 3.6, 0.3),
    "fast oscillation": (4.0, 6.0, 0.2),
    "asynchronous irregular": (2.0, 5.0, 0.1),
    "slow oscillation": (0.9, 4.5, 0.3),
    "quiet": (1.2, 7.0, 0.4),
}
SEEDS = {"nest": 4, "compiled": 20}


def measures(network, activity):
    """Rates, irregularity, and log power of both populations in six bands, shape (15,)."""
    counts = activity.counts[network.bins]
    f, power = signal.welch(counts, 1000.0, nperseg=200, axis=0, detrend="constant")
    edges = [5, 15, 40, 80, 150, 300, 501]
    bands = [np.log10(power[(f >= a) & (f < b)].mean(axis=0) + 1e-9) for a, b in itertools.pairwise(edges)]
    return np.concatenate([activity.rates(network), [activity.isi_cv], *bands])


@functools.cache
def sample(engine, state, *changes):
    """Measures of networks that differ in their seeds alone, shape (seeds, 15)."""
    network = Network(**SMALL | {k: dict(v) if k == "distributed" else v for k, v in changes})
    runs = (RUN[engine](network, *STATES[state], seed) for seed in range(1, SEEDS[engine] + 1))
    return np.array([measures(network, activity) for activity in runs])


def deviations(a, b):
    """Differences of the means over seeds, and their standard errors; the spread is that of both samples."""
    difference = a.mean(axis=0) - b.mean(axis=0)
    variance = (a.var(axis=0) * len(a) + b.var(axis=0) * len(b)) / (len(a) + len(b) - 2)
    return difference, np.sqrt(variance * (1 / len(a) + 1 / len(b)))


def compare(reference, found):
    """Largest deviation in standard errors, and whether all are as small as they must be."""
    difference, error = deviations(reference, found)
    # 2 % of a rate and of the CV, and as much in the root of power, where seeds differ less than that
    floor = np.concatenate(
        [0.02 * np.abs(reference.mean(axis=0)[:3]), np.full(len(difference) - 3, 2 * math.log10(1.02))]
    )
    return np.max(np.abs(difference) / error), (np.abs(difference) <= np.maximum(floor, 4 * error)).all()


@pytest.mark.parametrize("state", STATES)
def test_compiled_loop_is_nest(state):
    samples = {engine: sample(engine, state) for engine in RUN}
    largest, same = compare(samples["nest"], samples["compiled"])
    for engine, values in samples.items():
        rate_e, rate_i, cv = values.mean(axis=0)[:3]
        print(f"{state}, {engine}: E {rate_e:.2f}, I {rate_i:.2f} Hz, CV {cv:.3f}")
    print(f"largest deviation {largest:.2f} standard errors")
    assert samples["nest"][:, 0].mean() > 1
    assert same


@pytest.mark.parametrize("change", [("delay", 1.7), ("t_ref", 2.2), ("tau_m", 19.0), ("V_reset", 10.5)])
def test_the_comparison_would_notice(change):
    """A compiled network that is a little off is told from NEST's in at least one state."""
    told = []
    for state in ("saturated", "fast oscillation"):
        largest, same = compare(sample("nest", state), sample("compiled", state, change))
        print(f"{change}, {state}: {largest:.1f} standard errors")
        told.append(not same)
    assert any(told)


@pytest.mark.parametrize("distributed", [("delay", 0.4), ("tau_m", 0.5), ("t_ref", 0.5), ("V_th", 0.2)])
def test_distributed_parameters(distributed):
    change, state = ("distributed", (distributed,)), "fast oscillation"
    largest, same = compare(sample("nest", state, change), sample("compiled", state, change))
    # and they matter: equal values give something else
    equal, as_equal = compare(sample("nest", state), sample("compiled", state, change))
    print(f"{distributed}: largest deviation {largest:.2f} standard errors, from equal values {equal:.1f}")
    assert same
    assert not as_equal


@pytest.mark.parametrize("engine", RUN)
@pytest.mark.parametrize(("eta", "g"), [(0.95, 4.0), (1.2, 5.0), (2.0, 5.0)])
def test_rate_of_a_neuron_in_poisson_input(engine, eta, g):
    """Brunel (2000), eq. 21: mean first-passage time; recurrent input is weak here and enters by its mean and variance.

    Steps of dt show in two ways: input that comes at the end of a step has not decayed, so mean and variance are those
    of a sum; and a threshold tested every dt acts as one that is 0.583·σ·√(dt/tau_m) higher (Broadie et al. 1997 Math
    Finance 7:325).
    """
    J, tau, t_ref, v_th, v_reset, dt = 0.05, 20.0, 2.0, 20.0, 10.0, 0.1
    network = Network(order=30, connection_probability=0.1, duration_ms=5100.0, record_ms=(100.0, 5100.0))
    c_e, c_i = network.in_degrees

    def rate(nu):
        external = eta * v_th / (J * tau)
        mu = J * dt * (external + c_e * nu - g * c_i * nu) / -math.expm1(-dt / tau)
        sigma = J * math.sqrt(2 * dt * (external + c_e * nu + g * g * c_i * nu) / -math.expm1(-2 * dt / tau))
        shift = 0.583 * sigma * math.sqrt(dt / tau)
        low, high = (v_reset - mu) / sigma, (v_th + shift - mu) / sigma
        # exp(u²)(1 + erf u) without overflow
        area, _ = integrate.quad(lambda u: special.erfcx(-u), low, high)
        return 1 / (t_ref + tau * math.sqrt(math.pi) * area)

    expected = 1e3 * optimize.brentq(lambda nu: rate(nu) - nu, 1e-6, 0.4)
    e, i = RUN[engine](network, eta, g, J, 3).rates(network)
    found = (4 * e + i) / 5
    print(
        f"{engine}, eta {eta}, g {g}: {found:.3f} Hz, theory {expected:.3f} Hz ({100 * (found / expected - 1):+.2f} %)"
    )
    assert found == pytest.approx(expected, rel=0.025)


@pytest.mark.parametrize("engine", RUN)
def test_raster_and_counts_agree(engine):
    raster = Raster(neurons=1250, start_ms=150, stop_ms=200)
    network = Network(**SMALL | {"duration_ms": 250.0, "record_ms": (100.0, 250.0)}, raster=raster)
    activity = RUN[engine](network, 2.0, 5.0, 0.3, 1)
    assert activity.raster.shape == (50, 1250)
    np.testing.assert_array_equal(activity.raster[:, :1000].sum(axis=1), activity.counts[150:200, 0])
    np.testing.assert_array_equal(activity.raster[:, 1000:].sum(axis=1), activity.counts[150:200, 1])
    assert activity.counts[150:200].min() >= 0 and activity.counts[150:200].any()


def test_nest_is_silent_and_repeats_itself(capfd):
    network = Network(**SMALL | {"duration_ms": 150.0, "record_ms": (50.0, 150.0)})
    one, again, published, other = (
        brunel_nest.run(network, 2.0, 5.0, 0.2, *more) for more in ((1,), (1,), (1, "published"), (2,))
    )
    out, err = capfd.readouterr()
    assert out == err == ""
    np.testing.assert_array_equal(one.counts, again.counts)
    # homogeneous weights change the memory, not the network
    np.testing.assert_array_equal(one.counts, published.counts)
    assert one.counts.any() and (one.counts != other.counts).any()
