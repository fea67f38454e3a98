"""The Brunel network: what it refuses, its draws, its connections, and its compiled loop against plain Python."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from neuroinverse.errors import ConfigError
from neuroinverse.simulators.brunel import Brunel
from neuroinverse.simulators.brunel_network import CV_SPIKES, Network, Raster, mean_cv

PROTOCOL = {"dt_ms": 0.1, "duration_ms": 300, "record_ms": [100, 300]}
FREE = ["eta", "g", "J"]


@pytest.fixture(scope="module")
def compiled():
    from neuroinverse.simulators import brunel_compiled

    return brunel_compiled


@pytest.fixture(scope="module")
def loop():
    from neuroinverse.simulators import brunel_loop

    return brunel_loop


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"options": {"order": 4}}, ["order 4", "C_I", "0.4", "10 or more"]),
        ({"options": {"order": 2505}}, ["order 2505", "250.5", "Try order 2500"]),
        ({"options": {"order": 100, "connection_probability": 2.5}}, ["connection_probability is 2.5", "N_E 400"]),
        ({"options": {"order": 250.0}}, ["order is 250.0", "whole number"]),
        ({"options": {"order": "many"}}, ["order is 'many'"]),
        ({"options": {"order": 100000}}, ["in-degree of 40000", "at most 30000"]),
        ({"fixed": {"delay": 0.05}}, ["simulator.fixed.delay", "0.05", "under the resolution", "Raise delay"]),
        ({"fixed": {"delay": 0.0}}, ["under the resolution"]),
        ({"fixed": {"t_ref": 0.02}}, ["simulator.fixed.t_ref", "under the resolution"]),
        ({"fixed": {"delay": 1.55}}, ["delay is 1.55", "whole number of steps", "try 1.6 ms"]),
        ({"fixed": {"t_ref": 2.03}}, ["t_ref is 2.03", "try 2 ms"]),
        ({"fixed": {"tau_m": 0.0}}, ["tau_m", "positive"]),
        ({"fixed": {"V_reset": 25.0}}, ["V_th is 20", "V_reset 25"]),
        ({"fixed": {"g": -1.0}, "free": ["eta", "J"]}, ["simulator.fixed.g", "g >= 0"]),
        ({"fixed": {"J": 0.0}, "free": ["eta", "g"]}, ["simulator.fixed.J", "J > 0"]),
        ({"options": {"colour": 1}}, ["colour", "order"]),
        ({"options": {"distributed": {"V_theta": 0.1}}}, ["V_theta", "tau_m", "delay"]),
        ({"options": {"distributed": {"V_th": -0.1}}}, ["distributed.V_th", "above 0"]),
        ({"options": {"distributed": {"delay": 0.9}}, "fixed": {"delay": 5.0}}, ["distributed.delay", "250"]),
        ({"options": {"distributed": [0.1]}}, ["distributed", "keys and values"]),
        ({"options": {"distributed": {"tau_m": 0.1}}, "free": [*FREE, "tau_m"]}, ["tau_m is inferred"]),
        (
            {"options": {"raster": {"neurons": 50, "start_ms": 50, "stop_ms": 200}}},
            ["raster", "record_ms", "[100, 300]"],
        ),
        ({"options": {"raster": {"neurons": 50, "start_ms": 150, "stop_ms": 400}}}, ["raster", "400"]),
        ({"options": {"raster": {"neurons": 50, "start_ms": 150.5, "stop_ms": 200}}}, ["whole milliseconds"]),
        ({"options": {"raster": {"neurons": 0, "start_ms": 150, "stop_ms": 200}}}, ["raster.neurons", "12500"]),
        ({"options": {"raster": {"neurons": 50, "start_ms": 150}}}, ["raster.stop_ms", "missing"]),
        ({"options": {"raster": {"neurons": 50, "start_ms": 1, "stop": 2}}}, ["unknown key 'stop'", "stop_ms"]),
        ({"options": {"lfp": {"colour": 1}}}, ["colour"]),
        ({"protocol": PROTOCOL | {"dt_ms": 0.3, "record_ms": [90, 300]}}, ["dt_ms is 0.3", "1 ms"]),
        ({"protocol": PROTOCOL | {"record_ms": [100.5, 300]}}, ["record_ms", "whole milliseconds"]),
    ],
    ids=lambda x: "-".join(str(v) for v in x.values())[:40] if isinstance(x, dict) else "",
)
def test_refuses_what_cannot_be(change, words):
    with pytest.raises(ConfigError) as caught:
        Brunel(**{"free": FREE, "protocol": PROTOCOL} | change)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_a_network_is_described_without_engines():
    """Snakemake reads studies with this; numba and NEST take seconds to import."""
    code = (
        "import sys; from neuroinverse.simulators.brunel import Brunel\n"
        f"s = Brunel({FREE}, {PROTOCOL}); assert s.signals and s.core_seconds > 0 and s.kernel_settings()\n"
        "print(sorted({'numba', 'nest', 'neuron', 'lfpykit', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_sizes_windows_and_signals():
    raster = {"neurons": 100, "start_ms": 200, "stop_ms": 260}
    simulator = Brunel(FREE, PROTOCOL, options={"order": 2500, "raster": raster})
    network = simulator.network
    assert (network.n_excitatory, network.n_inhibitory, network.in_degrees) == (10000, 2500, (1000, 250))
    assert (network.n_steps, network.n_bins, network.window) == (3000, 300, slice(1000, 3000))
    assert network.raster_neurons == (80, 20)
    shapes = {s.name: (s.shape, s.dt_ms, s.t0_ms) for s in simulator.signals}
    assert shapes == {
        "lfp": ((200, 6), 1.0, 100),
        "spikes": ((200, 2), 1.0, 100),
        "isi_cv": ((1,), 200, 100),
        "raster": ((60, 100), 1.0, 200),
    }
    # one threshold's worth of J reaches a neuron per membrane time constant, times eta
    assert network.external_rate(2.0, 0.1) == pytest.approx(2 * 20 / 0.1 / 20)


def test_inferred_delays_are_rounded_to_steps():
    simulator = Brunel(["delay", "tau_m"], PROTOCOL)
    networks = simulator.networks(np.array([[1.23, 21.5], [0.01, 19.0]]))
    assert [(n.steps(n.delay), n.tau_m) for n in networks] == [(12, 21.5), (1, 19.0)]


def test_parameters_of_neurons_are_distributed_as_told():
    network = Network(order=2000, distributed={"tau_m": 0.1, "t_ref": 0.2, "V_th": 0.05})
    drawn = network.initial_state(np.random.default_rng(1))
    for name, spread, mean in (("tau_m", 0.1, 20), ("t_ref", 0.2, 2), ("V_th", 0.05, 20)):
        assert drawn[name].mean() == pytest.approx(mean, rel=5 * spread / 100)
        assert drawn[name].std() == pytest.approx(spread * mean, rel=0.05)
    steps = drawn["t_ref"] / 0.1
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)
    assert (drawn["V_m"] < drawn["V_th"]).all() and drawn["V_m"].min() < 0.1
    # however wide, nothing that cannot be
    wide = Network(distributed={"tau_m": 0.9, "t_ref": 0.9, "V_th": 0.9}).initial_state(np.random.default_rng(1))
    assert wide["tau_m"].min() == 2 and wide["t_ref"].min() == pytest.approx(0.1) and wide["V_th"].min() == 11


def test_cv_of_intervals():
    rng = np.random.default_rng(2)
    trains = [rng.exponential(10, n) for n in (3, 4, 50)]
    n = np.array([len(t) for t in trains])
    found = mean_cv(n, np.array([t.sum() for t in trains]), np.array([(t**2).sum() for t in trains]))
    # three intervals are four spikes: too few
    assert CV_SPIKES == 5
    assert found == pytest.approx(np.mean([stats.variation(t) for t in trains[1:]]))
    assert math.isnan(mean_cv(n[:1], n[:1], n[:1]))


# --- draws -----------------------------------------------------------------------------------------------------------


def test_generator_is_xoroshiro128plusplus(loop):
    """Against the published code, written anew with Python's whole numbers."""
    state = loop.generators(np.uint64(42), 3)
    mask = 2**64 - 1

    def rotl(x, k):
        return ((x << k) | (x >> (64 - k))) & mask

    pairs = [(int(state[0, i]), int(state[1, i])) for i in range(3)]
    out = np.empty(3, np.uint64)
    for _ in range(20):
        loop.draw(state, out)
        for i, (a, b) in enumerate(pairs):
            assert int(out[i]) == (rotl((a + b) & mask, 17) + a) & mask
            b ^= a
            pairs[i] = (rotl(a, 49) ^ b ^ ((b << 21) & mask), rotl(b, 28))


@pytest.mark.parametrize("mean", [0.02, 0.5, 2.0, 8.0, 99.0])
def test_poisson_table_holds_the_distribution_without_error(compiled, mean):
    table, rest = compiled.poisson_table(mean)
    mass = np.zeros(256)
    for column, entry in enumerate(table):
        threshold, alias = int(entry) >> 8, int(entry) & 255
        mass[column] += threshold
        mass[alias] += 2**24 - threshold
    assert mass.sum() == 2.0**32
    weights = np.diff(rest, prepend=0)
    p = mass[255] / 2**32 * weights
    p[:255] += mass[:255] / 2**32
    k = np.arange(len(p))
    np.testing.assert_allclose(p, stats.poisson.pmf(k, mean), rtol=1e-12, atol=1e-15)
    # the rest is rare, so that its slow way costs nothing
    assert mass[255] / 2**32 < 1e-7
    # counts that the table alone would never give
    tail = (stats.poisson.pmf(k, mean) < 2.0**-32) & (stats.poisson.pmf(k, mean) > 1e-20)
    np.testing.assert_allclose(p[tail], stats.poisson.pmf(k[tail], mean), rtol=1e-3)


def draws(compiled, loop, mean, width, steps, seed=3):
    """Poisson draws of one block, shape (steps, width)."""
    table, rest = compiled.poisson_table(mean)
    state, spare = loop.generators(np.uint64(seed), width // 2), loop.generators(np.uint64(~seed & (2**64 - 1)), 1)
    words, entries, out = np.empty(width // 2, np.uint64), np.empty(width, np.uint32), np.empty(width, np.uint16)
    result = np.empty((steps, width), np.uint16)
    for i in range(steps):
        loop.poisson(state, spare, words, entries, table, rest, out)
        result[i] = out
    return result


@pytest.mark.parametrize("mean", [0.02, 1.0, 8.0, 99.0])
def test_poisson_draws(compiled, loop, mean):
    x = draws(compiled, loop, mean, 800, 2000)
    n = x.size
    low, high = stats.poisson.ppf([10 / n, 1 - 10 / n], mean).astype(int)
    edges = np.arange(low, high + 2)
    observed = np.bincount(np.clip(x, low, high + 1).ravel(), minlength=high + 2)[low:]
    expected = n * np.diff(np.concatenate([[0], stats.poisson.cdf(edges[:-1], mean), [1]]))
    used = expected > 5
    _, p = stats.chisquare(observed[used], expected[used] * observed[used].sum() / expected[used].sum())
    print(f"mean {mean}: chi-square p {p:.3f}, mean {x.mean():.5f}, variance {x.var():.5f}")
    assert p > 1e-4
    # no correlation in time, nor between neurons, those that share a generator among them
    z = (x - mean) / math.sqrt(mean)
    for product in (z[1:] * z[:-1], z[:, 1:] * z[:, :-1], z[:, ::2] * z[:, 1::2], z[1:, ::2] * z[:-1, 1::2]):
        assert abs(product.mean()) < 5 / math.sqrt(product.size)
    # the sum over neurons, the input of the whole population, has the variance of independent draws
    total = z.sum(axis=1) / math.sqrt(z.shape[1])
    assert abs(total.var() - 1) < 5 * math.sqrt((2 + 1 / mean / z.shape[1]) / len(total))


def test_the_rest_is_drawn_from_the_rest(compiled, loop):
    """A table that always leaves it to the rest gives the distribution of the rest."""
    _, rest = compiled.alias_table(np.array([0.5, 0.25 + 2.0**-34, 0.25 - 2.0**-34]))
    np.testing.assert_allclose(np.diff(rest, prepend=0)[:3], [0, 0.25, 0.75], atol=1e-6)
    always = np.full(256, 255, np.uint32)
    state, spare = loop.generators(np.uint64(1), 2), loop.generators(np.uint64(2), 1)
    room = np.empty(2, np.uint64), np.empty(4, np.uint32)
    found, out = [], np.empty(4, np.uint16)
    for _ in range(5000):
        loop.poisson(state, spare, *room, always, rest, out)
        found += out.tolist()
    share = np.bincount(found, minlength=3) / len(found)
    np.testing.assert_allclose(share, [0, 0.25, 0.75], atol=0.015)


def test_distributed_delays_are_normal_and_rounded(compiled):
    network = Network(distributed={"delay": 0.4})
    p = compiled.delay_probabilities(network)
    steps = np.arange(len(p))
    assert p[0] == 0 and p.sum() == pytest.approx(1)
    x = np.maximum(np.rint(np.random.default_rng(1).normal(15, 6, 400_000)), 1).astype(int)
    np.testing.assert_allclose(p, np.bincount(x, minlength=len(p))[: len(p)] / len(x), atol=0.002)
    assert steps @ p == pytest.approx(x.mean(), abs=0.05)


# --- connections and the loop ----------------------------------------------------------------------------------------


def matrix(network, rows, start, targets):
    """Synapses from a neuron (row) to a neuron (column)."""
    n, width = network.n_neurons, rows.shape[1]
    bits = (rows[:n, None, :] >> np.arange(16, dtype=np.uint16)[None, :, None]) & 1
    counts = bits.reshape(n, 16 * width).astype(int)
    assert not counts[:, n:].any() and not rows[n].any()
    counts = counts[:, :n]
    for source in range(n):
        np.add.at(counts[source], targets[start[source] : start[source + 1]], 1)
    return counts


def connected(compiled, loop, network, seed):
    rows = np.zeros((network.n_neurons + 1, compiled.words_per_row(network)), np.uint16)
    sizes = network.n_excitatory, network.n_inhibitory, *network.in_degrees
    start, targets = loop.connect_rows(np.uint64(seed), *sizes, rows, np.empty(0, np.uint16))
    return rows, start, targets


def test_connections_have_their_in_degrees_and_are_random(compiled, loop):
    network = Network(order=150, connection_probability=0.1)
    counts = matrix(network, *connected(compiled, loop, network, 5))
    n_e = network.n_excitatory
    assert (counts[:n_e].sum(axis=0) == 60).all() and (counts[n_e:].sum(axis=0) == 15).all()
    # multapses and autapses: binomial numbers of synapses per pair
    for part, degree in ((counts[:n_e], 60), (counts[n_e:], 15)):
        expected = part.size * stats.binom.pmf(np.arange(4), degree, 1 / len(part))
        observed = np.bincount(part.ravel(), minlength=4)[:4]
        print(observed, expected.round())
        np.testing.assert_allclose(observed, expected, atol=5 * np.sqrt(expected.max()), rtol=0.2)
        assert abs(observed[2] - expected[2]) < 5 * math.sqrt(expected[2])
    assert abs(np.trace(counts) - 75) < 5 * math.sqrt(75)
    # out-degrees scatter as independent draws make them
    out = counts.sum(axis=1)
    assert out.var() == pytest.approx(75, rel=0.25)


def plain_python(compiled, loop, network, eta, g, J, seed):
    """Spikes (step, neuron) of the same network: its draws from the compiled functions, everything else anew."""
    to_connect, to_drive, to_start = np.random.SeedSequence(seed).generate_state(3, np.uint64)
    counts = matrix(network, *connected(compiled, loop, network, to_connect))
    n, n_e = network.n_neurons, network.n_excitatory
    values = network.initial_state(np.random.default_rng(int(to_start)))
    v = values["V_m"].astype(np.float32)
    decay = np.exp(-network.dt_ms / values.get("tau_m", np.full(n, network.tau_m))).astype(np.float32)
    v_th = values.get("V_th", np.full(n, network.V_th)).astype(np.float32)
    n_ref = np.rint(values.get("t_ref", np.full(n, network.t_ref)) / network.dt_ms).astype(int)
    width = compiled.words_per_row(network)
    mean = network.external_rate(eta, J) * network.dt_ms
    blocks = -(-n // width)
    external = draws(compiled, loop, mean, width, network.n_steps * blocks, int(to_drive))
    external = external.reshape(network.n_steps, blocks * width)[:, :n].astype(np.int64)
    # it is delayed as everything else: nothing comes in the first steps
    external = np.concatenate([np.zeros((network.steps(network.delay), n), np.int64), external])
    J32, gJ32 = np.float32(J), np.float32(g * J)
    arrivals = np.zeros((network.n_steps + network.steps(network.delay) + 1, 2, n), np.int64)
    refractory = np.zeros(n, int)
    spikes = []
    for step in range(network.n_steps):
        from_e, from_i = arrivals[step]
        jump = J32 * (from_e + external[step]).astype(np.float32) - gJ32 * from_i.astype(np.float32)
        free = refractory == 0
        v = np.where(free, decay * v + jump, v)
        refractory[~free] -= 1
        fired = np.flatnonzero(v >= v_th)
        v[fired] = network.V_reset
        refractory[fired] = n_ref[fired]
        spikes += [(step, i) for i in fired]
        later = arrivals[step + network.steps(network.delay)]
        later[0] += counts[fired[fired < n_e]].sum(axis=0)
        later[1] += counts[fired[fired >= n_e]].sum(axis=0)
    return np.array(spikes)


@pytest.mark.parametrize(
    ("eta", "g", "J", "more"),
    [
        (2.0, 5.0, 0.4, {}),
        # many spikes in the same step, and a mean that is drawn in parts
        (3.5, 3.5, 1.0, {"connection_probability": 0.5, "t_ref": 0.5}),
        (2.0, 5.0, 0.4, {"distributed": {"tau_m": 0.2, "V_th": 0.1, "t_ref": 0.3}}),
    ],
)
def test_loop_is_the_model_bit_by_bit(compiled, loop, eta, g, J, more):
    raster = Raster(neurons=50, start_ms=40, stop_ms=60)
    network = Network(
        **{"order": 120, "duration_ms": 80.0, "record_ms": (10.0, 80.0), "raster": raster, "delay": 0.7} | more
    )
    activity = compiled.run(network, eta, g, J, 11)
    spikes = plain_python(compiled, loop, network, eta, g, J, 11)
    step, neuron = spikes.T
    n_e = network.n_excitatory
    counts = np.stack([np.bincount(step[part] // 10, minlength=80) for part in (neuron < n_e, neuron >= n_e)], axis=1)
    print(f"{len(spikes)} spikes, up to {np.bincount(step).max()} in a step")
    assert len(spikes) > 500
    np.testing.assert_array_equal(activity.counts, counts)
    kept = np.zeros((20, 50), int)
    for s, i in spikes:
        column = i if i < 40 else i - n_e + 40 if n_e <= i < n_e + 10 else -1
        if column >= 0 and 400 <= s < 600:
            kept[s // 10 - 40, column] += 1
    assert kept.any()
    np.testing.assert_array_equal(activity.raster, kept)
    cvs = []
    for i in range(n_e):
        times = step[(neuron == i) & (step >= 100)]
        if len(times) >= CV_SPIKES:
            cvs.append(stats.variation(np.diff(times)))
    assert activity.isi_cv == pytest.approx(np.mean(cvs), rel=1e-12)


def test_input_of_a_large_mean_is_drawn_in_parts(compiled):
    """The external input alone: mean eta·V_th and the spike rate of a neuron driven far beyond threshold."""
    network = Network(order=120, duration_ms=100.0, record_ms=(20.0, 100.0))
    for J in (0.002, 0.0002):
        # at this drive the jumps are so small that the potential follows its mean: charge to V_th, then t_ref
        mean_v = 4.0 * network.V_th
        charge = network.tau_m * math.log((mean_v - network.V_reset) / (mean_v - network.V_th))
        e, i = compiled.run(network, 4.0, 0.0, J, 1).rates(network)
        assert e == pytest.approx(1e3 / (charge + network.t_ref), rel=0.03)
        assert i == pytest.approx(e, rel=0.01)


def test_lists_with_delays_are_the_same_network(compiled):
    """Delays distributed so little that all are alike: the statistics of the rows, by another way through the code."""
    rates = []
    for distributed in ({}, {"delay": 1e-6}):
        network = Network(order=250, duration_ms=600.0, record_ms=(100.0, 600.0), distributed=distributed)
        rates.append([compiled.run(network, 2.0, 5.0, 0.2, seed).rates(network)[0] for seed in range(6)])
    rows, lists = np.array(rates)
    error = math.sqrt((rows.var(ddof=1) + lists.var(ddof=1)) / 6)
    print(rows.round(2), lists.round(2))
    assert abs(rows.mean() - lists.mean()) < max(3.5 * error, 0.02 * rows.mean())


def test_same_seed_same_bits_and_another_seed_another_network(compiled):
    network = Network(order=120, duration_ms=100.0, record_ms=(20.0, 100.0))
    one, again, other = (compiled.run(network, 2.0, 5.0, 0.3, seed).counts for seed in (7, 7, 8))
    np.testing.assert_array_equal(one, again)
    assert one.any() and (one != other).any()
    # seeds of all 64 bits
    assert compiled.run(network, 2.0, 5.0, 0.3, 2**64 - 1).counts.any()


def test_refuses_parameters_without_meaning(compiled):
    network = Network(order=50, duration_ms=20.0, record_ms=(0.0, 20.0))
    for eta, g, J in ((-1.0, 5.0, 0.1), (2.0, -5.0, 0.1), (2.0, 5.0, 0.0), (math.nan, 5.0, 0.1), (2.0, 5.0, 1e-6)):
        with pytest.raises(ValueError, match="expected"):
            compiled.run(network, eta, g, J, 1)


def test_simulation_in_the_pipeline(compiled, monkeypatch):
    """Signals as declared, silence flagged, a simulation the same alone and in a batch; the LFP's kernel a stand-in."""

    class Kernel:
        def lfp(self, counts, J, g):
            assert len(counts) == 300
            return (counts @ [J, -g * J])[:, None] * np.ones(6)

    options = {"order": 120, "raster": {"neurons": 10, "start_ms": 150, "stop_ms": 200}}
    simulator = Brunel(FREE, PROTOCOL, engine="compiled", options=options)
    simulator._kernel = Kernel()
    # the first is far below threshold
    theta, seeds = np.array([[0.1, 5.0, 0.05], [2.0, 5.0, 0.3], [3.0, 4.0, 0.2]]), np.arange(3, dtype=np.uint64)
    result = simulator.simulate(theta, seeds)
    for signal in simulator.signals:
        assert result[signal.name].shape == (3, *signal.shape)
        assert result[signal.name].dtype == np.float32
    assert result["silent"].tolist() == [True, False, False]
    assert np.isnan(result["isi_cv"][:, 0]).tolist() == [True, False, False]
    expected = result["spikes"][1] @ [0.3, -1.5]
    np.testing.assert_allclose(result["lfp"][1, :, 3], expected, rtol=1e-5, atol=1e-4)
    alone = simulator.simulate(theta[2:], seeds[2:])
    for name, values in alone.items():
        np.testing.assert_array_equal(values, result[name][2:])


def test_runs_where_no_folder_can_be_written(tmp_path):
    """Without a place for Numba's machine code it is compiled for the process."""
    code = (
        "import numba.core.caching as c\n"
        "c.CacheImpl._locator_classes = []\n"
        "from neuroinverse.simulators.brunel_loop import generators\n"
        "print(generators(1, 2).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == "(2, 2)", done.stderr
