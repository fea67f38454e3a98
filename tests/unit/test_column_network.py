"""The network of surrogates: a plain loop over cells does the same; gradients are those of finite differences."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from tiny_column import CHANNELS, DT_ms, LeakyCell, chain, loop, projection, run_plainly, surrogates

from neuroinverse.column import network as networks
from neuroinverse.column.delays import merge_delays
from neuroinverse.column.network import ColumnNetwork, Threshold, heaviside, join
from neuroinverse.errors import ConfigError
from neuroinverse.simulators.column import Drive, drive_inputs


def network(column, **settings) -> ColumnNetwork:
    return ColumnNetwork(column, surrogates(column), **{"jit": False, "delay_bins": 100, "prune": 0.0} | settings)


def one_event(column, n_steps, at=4, weight=0.2):
    """A single event for the first cell of the first population."""
    silent = replace(column, drives=())
    events = drive_inputs(silent, n_steps, DT_ms, 0)
    next(iter(events.values()))[at, 0, 0] = weight
    return events


def gradient(net, loss, drive):
    """A function of log10 gains and slope: value and gradient of a loss."""
    drive = {name: tf.constant(x) for name, x in drive.items()}

    @tf.function(jit_compile=net.jit)
    def both(gains, slope):
        with tf.GradientTape() as tape:
            tape.watch(gains)
            value = loss(net.rollout(gains, drive, slope))
        return value, tape.gradient(value, gains)

    return lambda gains, slope: [
        x.numpy() for x in both(tf.constant(gains, tf.float32), tf.constant(slope, tf.float32))
    ]


@pytest.mark.parametrize(("delay_ms", "steps"), [(0.1, 1), (0.5, 1), (1.0, 2), (3.2, 6), (20.0, 40)])
def test_a_spike_arrives_after_its_delay_with_weight_and_gain(delay_ms, steps):
    column = chain(weight=0.05, delay_ms=delay_ms)
    net = network(column)
    activity = net.simulate([np.log10(1.7)], net.arrange([one_event(column, 80)]))
    # the event of sample 4 acts on sample 5, which is above the threshold
    assert np.flatnonzero(activity.spikes["first"][0, :, 0]).tolist() == [5]
    arrived = activity.dipole[0, :, net.dipoles.index("second")]
    assert np.flatnonzero(arrived)[0] == 5 + steps + 1, "an arriving event shows in the next sample"
    assert arrived[5 + steps + 1] == pytest.approx(100 * 0.8 * 1.7 * 0.05, rel=1e-5)


@pytest.mark.parametrize("settings", [{"jit": False}, {"jit": True}, {"segment_ms": 50}], ids=str)
def test_the_network_is_a_loop_over_cells_and_events(settings):
    column, n_steps, gains = loop(), 240, np.array([0.6, 1.5, 0.8, 2.0])
    net = network(column, **settings)
    activity = net.simulate(np.log10(gains), net.drive(n_steps, [7, 8]))
    for b, seed in enumerate((7, 8)):
        dipole, spikes = run_plainly(column, drive_inputs(column, n_steps, DT_ms, seed), gains, n_steps)
        for i, name in enumerate(net.populations):
            assert spikes[name].sum() > 10
            np.testing.assert_array_equal(activity.spikes[name][b], spikes[name])
            np.testing.assert_allclose(activity.dipole[b, :, i], dipole[name], rtol=1e-4, atol=1e-4)


def test_sample_0_is_the_initial_state_and_no_crossing():
    column = replace(chain(), threshold_mV=-80.0)
    activity = network(column).simulate([0.0], network(column).drive(20, [1]))
    assert not activity.dipole[:, 0].any()
    assert not activity.spikes["first"].any() and not activity.spikes["second"].any()


def test_channels_and_outputs_go_by_name():
    """A surrogate with other channels, other outputs and another order is the same cell."""
    column = loop()
    other = {
        name: LeakyCell(("distal_ampa", *reversed(CHANNELS)), ("dipole", "apical_tuft", "soma"))
        for name in column.cells
    }
    plain = network(column)
    shuffled = ColumnNetwork(column, other, jit=False, delay_bins=100, prune=0.0)
    drive = plain.drive(150, [1])
    a, b = plain.simulate(np.zeros(4), drive), shuffled.simulate(np.zeros(4), shuffled.drive(150, [1]))
    np.testing.assert_array_equal(a.spikes["E"], b.spikes["E"])
    np.testing.assert_allclose(a.dipole, b.dipole, rtol=1e-5)


def test_thresholds_are_each_types_own():
    column = loop()
    drive = network(column).drive(150, [1])
    plain = network(column).simulate(np.zeros(4), drive)
    silent = network(column, thresholds={"I": Threshold(1e4)}).simulate(np.zeros(4), drive)
    assert plain.spikes["I"].any() and silent.spikes["E"].any() and not silent.spikes["I"].any()


def test_drives_follow_their_seeds():
    net = network(loop())
    drive = net.drive(100, [3, 4, 3])
    assert all(x.shape == (3, 100, net.column.cells[name].n, 2) for name, x in drive.items())
    assert all((x[0] == x[2]).all() for x in drive.values()) and (drive["E"][0] != drive["E"][1]).any()
    single = net.simulate(np.zeros(4), net.drive(100, [4]))
    np.testing.assert_allclose(net.simulate(np.zeros(4), drive).dipole[1], single.dipole[0], rtol=1e-6)


def test_weak_synapses_are_left_out():
    weights = [[1.0, 0.03, 0.01]]
    cells = {"first": replace(chain().cells["first"]), "second": replace(chain().cells["second"], n=3)}
    link = projection("first_second", "first", "second", "soma_ampa", weights, [[1.0, 1.0, 500.0]])
    column = replace(chain(), cells=cells, projections=(link,))
    net = network(column, prune=0.02)
    activity = net.simulate([0.0], net.arrange([one_event(column, 30)]))
    assert activity.dipole[0, 8, 1] == pytest.approx(100 * 0.8 * 1.03, rel=1e-5)


@pytest.mark.parametrize("bins", [1, 3, 8, 50])
def test_merged_delays_are_few_and_near(bins):
    rng = np.random.default_rng(0)
    steps, weights = rng.integers(1, 40, (20, 10)), rng.random((20, 10))
    weights[steps > 35] = 0
    merged = merge_delays(steps, weights, bins)
    kept = weights > 0
    values = np.unique(merged[kept])
    assert len(values) <= bins
    if bins >= 35:
        np.testing.assert_array_equal(merged, steps)
    # the mean of all synapses stays, but for the rounding; each is near; what is early stays early
    assert np.average(merged[kept], weights=weights[kept]) == pytest.approx(
        np.average(steps[kept], weights=weights[kept]), abs=0.5
    )
    assert np.abs(merged - steps)[kept].max() <= 40 / bins
    order = np.argsort(steps[kept], kind="stable")
    assert (np.diff(merged[kept][order]) >= 0).all()


def test_few_delays_are_kept_whatever_their_weights():
    steps = np.array([[1, 40, 41]])
    np.testing.assert_array_equal(merge_delays(steps, np.array([[1.0, 1e-6, 1.0]]), 3), steps)
    np.testing.assert_array_equal(merge_delays(steps, np.array([[1.0, 1.0, 1.0]]), 2), [[1, 40, 40]])


def test_backwards_a_crossing_is_the_fast_sigmoid():
    x = tf.constant([-2.0, -0.1, 0.0, 0.5])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = heaviside(x, tf.constant(4.0))
    np.testing.assert_array_equal(y, [0, 0, 1, 1])
    np.testing.assert_allclose(tape.gradient(y, x), [1 / 81, 1 / 1.96, 1, 1 / 9], rtol=1e-6)


def test_where_spikes_do_not_change_the_gradient_is_exact():
    """A driven cell's dipole is proportional to the gain: its derivative by log10 gain is ln 10 times itself."""
    net = network(chain(weight=0.001), jit=True)
    drive = net.drive(200, [2])
    dipole = net.simulate([0.3], drive).dipole[..., 1].sum()
    assert dipole > 1
    value, found = gradient(net, lambda a: tf.reduce_sum(a.dipole[..., 1]), drive)([0.3], 1e6)
    assert value == pytest.approx(dipole, rel=1e-4)
    assert found[0] == pytest.approx(np.log(10) * dipole, rel=1e-4)


@pytest.mark.parametrize("segment_ms", [None, 7])
def test_the_gradient_of_smooth_spikes_is_that_of_finite_differences(monkeypatch, segment_ms):
    """With a sigmoid for the step everything is smooth: delays, gains and both factors of a crossing in one check."""
    monkeypatch.setattr(networks, "heaviside", lambda x, slope: tf.sigmoid(slope * x))
    column = loop(spread_ms=4.0)
    net = network(column, segment_ms=segment_ms)
    drive, gains = net.drive(60, [5, 6]), np.array([0.1, -0.2, 0.2, 0.0])

    def loss(activity):
        return tf.reduce_mean(tf.square(activity.dipole[..., 0] - 3.0)) + tf.reduce_mean(activity.spikes["I"])

    at = gradient(net, loss, drive)
    found = at(gains, 2.0)[1]
    for i, unit in enumerate(np.eye(4)):
        expected = (at(gains + 0.004 * unit, 2.0)[0] - at(gains - 0.004 * unit, 2.0)[0]) / 0.008
        assert abs(expected) > 1e-2
        assert found[i] == pytest.approx(expected, rel=0.02)


def test_a_steep_slope_hides_projections_that_act_through_spikes():
    """With a slope of 1e6 only what reaches a dipole directly has a gradient; with a moderate one all have."""
    net = network(loop())
    at = gradient(net, lambda a: tf.reduce_sum(a.dipole[..., 0]), net.drive(120, [1]))
    steep, moderate = (np.abs(at(np.zeros(4), slope)[1]) for slope in (1e6, 5.0))
    assert steep[0] > 1 and steep[1:].max() < 1e-3 * steep[0]
    assert moderate.min() > 0.1


def test_unlinked_columns_do_not_know_of_each_other():
    column, n_steps = loop(), 150
    both = join(column, column, ())
    assert list(both.cells) == ["first_E", "first_I", "second_E", "second_I"]
    assert [p.name for p in both.projections][4:6] == ["second_E_E", "second_E_I"]
    net, alone = network(both), network(column)
    assert list(net._surrogates) == ["E", "I"], "types share surrogates"
    events = [drive_inputs(column, n_steps, DT_ms, seed) for seed in (1, 2)]
    named = {f"{half}_{k}": x for half, one in zip(("first", "second"), events, strict=True) for k, x in one.items()}
    joined = net.simulate(np.zeros(8), net.arrange([named]))
    for half, one in zip(("first", "second"), events, strict=True):
        single = alone.simulate(np.zeros(4), alone.arrange([one]))
        for name in column.cells:
            np.testing.assert_array_equal(joined.spikes[f"{half}_{name}"], single.spikes[name])
            d = net.dipoles.index(f"{half}_{name}")
            np.testing.assert_allclose(joined.dipole[..., d], single.dipole[..., alone.dipoles.index(name)], rtol=1e-5)
    drive = net.drive(n_steps, [1])
    assert (drive["first_E"] != drive["second_E"]).any(), "equal columns have drives of their own"


def test_a_link_carries_spikes_from_one_column_to_the_other():
    link = projection("a_b", "a_second", "b_first", "soma_ampa", [[0.2]], 7.0)
    both = join(chain(0.2), replace(chain(0.2), drives=()), (link,), ("a", "b"))
    net = network(both)
    activity = net.simulate(np.zeros(3), net.arrange([one_event(both, 120)]))
    times = [np.flatnonzero(activity.spikes[f"{c}_{k}"][0, :, 0])[0] for c in "ab" for k in ("first", "second")]
    assert np.diff(times).tolist() == [7, 15, 7], "a step from arrival to crossing, and delays of 3, 7 and 3 ms"


def test_a_column_without_projections_runs():
    column = replace(loop(), projections=())
    net = network(column)
    activity = net.simulate(np.zeros(0), net.drive(60, [1]))
    _, spikes = run_plainly(column, drive_inputs(column, 60, DT_ms, 1), (), 60)
    np.testing.assert_array_equal(activity.spikes["E"][0], spikes["E"])


def changed_projection(**change):
    column = chain()
    return replace(column, projections=(replace(column.projections[0], **change),))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: network(chain(delay_ms=80.0)), ["first_second", "80 ms", "64", "max_delay_ms", "prune"]),
        (lambda: network(changed_projection(target="secnd")), ["first_second", "secnd", "did you mean 'second'"]),
        (lambda: network(changed_projection(channel="soma_nmda")), ["first_second", "second", "soma_nmda"]),
        (lambda: ColumnNetwork(chain(), {"first": LeakyCell()}), ["no surrogate of second", "first"]),
        (
            lambda: ColumnNetwork(chain(), {"first": LeakyCell(), "second": LeakyCell(dt_ms=0.1)}),
            ["first 0.5", "second 0.1", "one grid"],
        ),
        (
            lambda: ColumnNetwork(chain(), dict.fromkeys(("first", "second"), LeakyCell(CHANNELS[:1]))),
            ["first", "no channel soma_gabaa", "train"],
        ),
        (
            lambda: ColumnNetwork(chain(), dict.fromkeys(("first", "second"), LeakyCell(outputs=("soma",)))),
            ["first", "no output dipole"],
        ),
        (
            lambda: network(chain(), thresholds={"first": Threshold(0.0, "spike")}),
            ["first", "no output spike", "soma"],
        ),
        (lambda: network(chain(), thresholds={"frist": Threshold(0.0)}), ["frist", "did you mean 'first'"]),
        (lambda: join(chain(), replace(chain(), threshold_mV=0.0), ()), ["-50", "0 mV", "threshold_mV"]),
        (lambda: join(chain(), chain(), (), ("a", "a")), ["same name", "prefixes"]),
    ],
)
def test_what_does_not_fit_is_named(make, words):
    with pytest.raises(ConfigError) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


def test_an_event_reaches_all_channels_of_its_drive():
    column = replace(chain(), drives=(Drive("both", "first", CHANNELS, 100.0, 0.1),))
    drive = network(column).drive(400, [0])["first"]
    assert drive.any() and (drive[..., 0] == drive[..., 1]).all()
