"""Cells and column against hnn-core's own simulations, and synapses against their equation."""

import gc
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from neuroinverse.errors import NeuroinverseError
from neuroinverse.simulators import column as col
from neuroinverse.simulators import hnn_core_adapter as adapter
from neuroinverse.simulators.hnn_cell import HnnCell
from neuroinverse.simulators.hnn_column import HnnColumn

DT, STEP = 0.5, 0.1
# rise and decay (ms) of hnn-core's receptors
TIMES = {"ampa": (0.5, 5), "nmda": (1, 20), "gabaa": (0.5, 5), "gabab": (1, 20)}
# weights without rounding in single precision
DRIVES = (
    col.Drive("L2e", "L2_pyramidal", ("proximal_ampa",), 40.0, 2**-6),
    col.Drive("L5e", "L5_pyramidal", ("proximal_ampa", "proximal_nmda"), 30.0, 2**-7),
    col.Drive("L2i", "L2_basket", ("soma_ampa",), 40.0, 2**-6),
    col.Drive("L5i", "L5_basket", ("soma_ampa",), 40.0, 2**-6),
)


@pytest.fixture
def hnn():
    """hnn-core; what its own simulations leave in NEURON is removed after the test."""
    yield adapter.load()[1]
    remove_theirs()


def remove_theirs():
    """Removes the last network of hnn-core's own from NEURON."""
    from hnn_core import network_builder

    if network_builder._LAST_NETWORK is not None:
        network_builder._LAST_NETWORK._clear_neuron_objects()
        network_builder._LAST_NETWORK = None
        gc.collect()


def hnn_simulates(hnn, network, stop_ms, **settings):
    """hnn-core's own simulation; its dipole object."""
    # as in a process of its own, and not as cable cells leave it: see DrivenCell
    adapter.load()[0].CVode().cache_efficient(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (dipole,) = hnn.simulate_dipole(network, tstop=stop_ms, dt=STEP, n_trials=1, verbose=False, **settings)
    return dipole


def as_hnn_says(hnn, times, dipoles, mesh):
    """Dipoles (fAm) of layers 2 and 5 with what hnn-core does to its own: its baseline subtracted, in nAm."""
    dipole = hnn.Dipole(times=times, data=np.stack([sum(dipoles), *dipoles], axis=1))
    dipole._baseline_renormalize(*mesh)
    dipole._convert_fAm_to_nAm()
    return dipole.data


def sections_standing():
    return sum(1 for _ in adapter.load()[0].allsec())


@pytest.mark.parametrize("name", ["L2_pyramidal", "L5_pyramidal"])
def test_a_cell_alone_is_hnn_cores(hnn, name):
    """The same spike train onto two locations of the same cell, through hnn-core's public functions."""
    times, weights = [5.0, 9.5, 30.0], {"proximal_ampa": 2**-7, "proximal_nmda": 2**-9, "distal_ampa": 2**-7}
    network = adapter.make_network((1, 1))
    network.clear_connectivity()
    for location in ("proximal", "distal"):
        found = {c.rsplit("_", 1)[1]: {name: w} for c, w in weights.items() if c.startswith(location)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network.add_spike_train_drive(
                location,
                spike_data={"source": times},
                location=location,
                space_constant=1e50,
                synaptic_delays=0.0,
                conn_seed=1,
                **{f"weights_{receptor}": weight for receptor, weight in found.items()},
            )
    stop = 60.0
    theirs = hnn_simulates(hnn, network, stop, record_vsec="all")
    (gid,) = network.gid_ranges[name]
    voltages = network.cell_response.vsec[0][gid]

    channels = col.LOCATION_CHANNELS[name]
    inputs = np.zeros((121, len(channels)), np.float32)
    for channel, weight in weights.items():
        inputs[(np.array(times) / DT).astype(int), channels.index(channel)] = weight
    cell = adapter.DrivenCell(name, channels)
    recorded = cell.record()
    cell.play(inputs, DT)
    adapter.run([cell], stop, STEP)
    assert list(recorded) == list(col.SECTIONS[name])
    for section, voltage in recorded.items():
        np.testing.assert_allclose(voltage, voltages[section], rtol=0, atol=1e-9)
    assert len(cell.spike_times) > 0
    ours = as_hnn_says(hnn, theirs.times, [cell.dipole, cell.dipole], (1, 1))
    layer = name[:2]
    np.testing.assert_allclose(theirs.data[layer], ours[layer], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["L5_pyramidal", "L2_basket"])
def test_conductances_are_those_of_two_exponentials(name):
    """At every synapse of every channel: events in the first bin, in the next, far apart, of any weight."""
    channels = col.section_channels(name)
    rng = np.random.default_rng(3)
    inputs = np.where(rng.random((200, len(channels))) < 0.03, 1e-4 * rng.random((200, len(channels))), 0)
    inputs[:2, 0], inputs[:, 1] = (5e-5, 3e-5), 0
    cell = adapter.DrivenCell(name, channels)
    h, _ = adapter.load()
    states = [[h.Vector().record(getattr(s, f"_ref_{x}")) for x in "BA"] for (s,) in cell.synapses]
    # another simulation stands before it: nothing of it is left
    cell.play(1e-4 * rng.random(inputs.shape), DT)
    adapter.run([cell], 10.0, STEP)
    cell.play(inputs, DT)
    adapter.run([cell], 199 * DT, STEP)
    t = np.arange(200) * DT
    for channel, weights, (decaying, rising) in zip(channels, inputs.T, states, strict=True):
        rise, decay = TIMES[channel.rsplit("_", 1)[1]]
        peak = rise * decay / (decay - rise) * np.log(decay / rise)
        shape = np.exp(-t / decay) - np.exp(-t / rise)
        shape /= np.exp(-peak / decay) - np.exp(-peak / rise)
        found = (np.array(decaying) - np.array(rising))[:: round(DT / STEP)]
        np.testing.assert_allclose(found, np.convolve(weights, shape)[:200], rtol=0, atol=1e-15)


def test_an_event_of_a_location_reaches_all_its_sections():
    h, _ = adapter.load()
    cell = adapter.DrivenCell("L5_pyramidal", ("proximal_ampa",))
    (synapses,) = cell.synapses
    names = [synapse.get_segment().sec.name().split("_", 1)[1] for synapse in synapses]
    assert names == ["apical_oblique", "basal_2", "basal_3"]
    states = [h.Vector().record(synapse._ref_B) for synapse in synapses]
    cell.play(np.array([[0.0], [1e-3], [0.0]]), DT)
    adapter.run([cell], 2.0, STEP)
    assert states[0].max() > 1e-3
    for other in states[1:]:
        np.testing.assert_array_equal(other, states[0])


@pytest.fixture(scope="module")
def cells():
    """Two simulations of a layer 5 pyramidal cell at a fine and a coarse step."""

    def simulate(step_ms, n=5):
        options = {"cell": "L5_pyramidal", "dt_integration_ms": step_ms}
        simulator = HnnCell([], {"dt_ms": DT, "duration_ms": 300}, options=options)
        return simulator.simulate(np.empty((n, 0)), np.arange(n, dtype=np.uint64))

    return simulate(STEP), simulate(0.025)


def test_rates_do_not_depend_on_the_step(cells):
    coarse, fine = (result["spikes"].sum(axis=(1, 2)) for result in cells)
    np.testing.assert_array_equal(cells[0]["inputs"], cells[1]["inputs"])
    print(f"spikes at 0.1 and 0.025 ms: {coarse.sum():g}, {fine.sum():g}")
    assert fine.sum() >= 20
    assert abs(coarse - fine).max() <= 1 and abs(coarse.sum() / fine.sum() - 1) < 0.1


def test_signals_of_a_cell_belong_together(cells):
    """A spike of the soma's voltage is a spike, the first sample is hnn-core's start, the dipole follows."""
    result = cells[0]
    soma = result["voltage"][:, :, col.SECTIONS["L5_pyramidal"].index("soma")]
    np.testing.assert_array_equal(soma[:, 0], -72)
    seen = (soma[:, 1:] > 0) & (soma[:, :-1] <= 0)
    spikes = result["spikes"][:, 1:, 0]
    # the samples see all but a crossing that is over within a bin
    assert (seen <= spikes).all() and seen.sum() > 0.9 * spikes.sum()
    assert np.ptp(result["dipole"], axis=1).min() > 1000


def test_spikes_are_counted_to_the_integration_step():
    cell = adapter.DrivenCell("L2_pyramidal", ("proximal_ampa",))
    voltage = cell.record()["soma"]
    inputs = np.zeros((200, 1))
    inputs[10::40] = 0.05
    cell.play(inputs, DT)
    adapter.run([cell], 199 * DT, STEP)
    crossings = np.flatnonzero(np.diff((np.array(voltage) > 0).astype(int)) == 1) + 1
    assert len(crossings) >= 3
    expected = np.zeros(200)
    np.add.at(expected, -(-crossings // 5), 1)
    simulator = HnnCell([], {"dt_ms": DT, "duration_ms": 100}, options={"cell": "L2_pyramidal"})
    np.testing.assert_array_equal(simulator.spike_counts(cell.spike_times), expected)
    # on the sample, and one step before and after it
    np.testing.assert_array_equal(
        np.flatnonzero(simulator.spike_counts([20.0 + 1e-10, 29.9 + 1e-10, 40.1 + 1e-10])), [40, 60, 81]
    )


def test_events_follow_the_stated_law():
    values = {"rate": 400.0, "weight_high": 0.01, "rate_gaba": 100.0, "weight_high_gaba": 1.0}
    options = {"cell": "L5_basket", "inputs": "section", "weight_low_uS": 0.001}
    simulator = HnnCell(list(values), {"dt_ms": DT, "duration_ms": 500}, options=options)
    theta = np.array([list(values.values())] * 8)
    inputs = simulator.simulate(theta, np.arange(8, dtype=np.uint64))["inputs"].astype(float)
    for channel, name in enumerate(simulator.channels):
        rate, high = (100, 1.0) if "gaba" in name else (400, 0.01)
        weights = inputs[:, :, channel]
        some = weights[weights > 0]
        # P(k > 0) of a bin, 8000 bins
        share = 1 - np.exp(-rate * DT * 1e-3)
        assert abs(len(some) / weights.size - share) < 5 * np.sqrt(share / weights.size)
        # most bins have one event: the logarithm of its weight is uniform
        assert some.min() >= 0.001 * (1 - 1e-6) and np.median(some[some <= high]) > 0.001
        quartiles = np.quantile(np.log(some / 0.001) / np.log(high / 0.001), [0.25, 0.5, 0.75])
        np.testing.assert_allclose(quartiles, [0.25, 0.5, 0.75], atol=0.12)


@pytest.fixture(scope="module")
def columns():
    """A column of ours and hnn-core's network with the same events: what each did, without what stood in NEURON.

    Returns spikes by cell, dipoles of both layers as hnn-core says them, and (weight, delay) of synapses by name, each
    as theirs and ours; and the description.
    """
    from hnn_core import network_builder
    from hnn_core.params import _short_name

    _, hnn = adapter.load()
    mesh, bins = (3, 3), 300
    network = adapter.make_network(mesh)
    column = adapter.describe(network, DRIVES)
    inputs = col.drive_inputs(column, bins, DT, 5)
    for drive in DRIVES:
        (location, *_), receptors = zip(*(channel.rsplit("_", 1) for channel in drive.channels), strict=True)
        network.add_poisson_drive(
            drive.name,
            rate_constant=drive.rate_Hz,
            location=location,
            space_constant=1e50,
            synaptic_delays=0.0,
            **{f"weights_{receptor}": {drive.target: drive.weight_uS} for receptor in receptors},
        )

    def give_events(**_):
        for drive in DRIVES:
            channel = column.cells[drive.target].channels.index(drive.channels[0])
            counts = (inputs[drive.target][:, :, channel] / drive.weight_uS).astype(int)
            trains = [np.repeat(np.arange(bins) * DT, n).tolist() for n in counts.T]
            network.external_drives[drive.name]["events"] = [trains]

    network._instantiate_drives = give_events
    dipole = hnn_simulates(hnn, network, (bins - 1) * DT)
    times, gids = (np.array(x[0]) for x in (network.cell_response.spike_times, network.cell_response.spike_gids))
    connections = network_builder._LAST_NETWORK.ncs
    theirs = SimpleNamespace(
        spikes={n: [np.sort(times[gids == gid]) for gid in network.gid_ranges[n]] for n in column.cells},
        dipole=dipole.data,
        synapses={name: [(c.weight[0], c.delay) for c in made] for name, made in connections.items()},
    )
    del connections
    remove_theirs()

    standing = adapter.NeuronColumn(column)
    standing.run(np.ones(16), inputs, (bins - 1) * DT, DT, STEP)
    dipoles = [sum(cell.dipole for cell in standing.cells[name]) for name in ("L2_pyramidal", "L5_pyramidal")]
    synapses = {}
    for projection in column.projections:
        source, target = (_short_name(name) for name in (projection.source, projection.target))
        location, receptor = projection.channel.rsplit("_", 1)
        made = projection.weights > 0
        pairs = zip(projection.weights[made], projection.delays_ms[made], strict=True)
        synapses.setdefault(f"{source}_{target}_{receptor}", []).extend(
            pair for pair in pairs for _ in range(3 if location == "proximal" else 1)
        )
    ours = SimpleNamespace(
        spikes={name: [np.array(cell.spike_times) for cell in cells] for name, cells in standing.cells.items()},
        dipole=as_hnn_says(hnn, dipole.times, dipoles, mesh),
        synapses=synapses,
    )
    return theirs, ours


def test_a_column_is_hnn_cores(columns):
    """Every spike of every cell, and the dipoles of both layers."""
    theirs, ours = columns
    for name, trains in ours.spikes.items():
        print(f"{name}: {sum(map(len, trains))} spikes")
        assert sum(map(len, trains)) >= 5
        for found, expected in zip(trains, theirs.spikes[name], strict=True):
            np.testing.assert_array_equal(found, expected)
    for layer in ("L2", "L5"):
        np.testing.assert_allclose(ours.dipole[layer], theirs.dipole[layer], rtol=0, atol=1e-10)


def test_the_description_has_the_weights_and_delays_of_hnn_cores_synapses(columns):
    """Against the connections that hnn-core made in NEURON, as sets for each pair of types and receptor."""
    theirs, ours = columns
    assert len(ours.synapses) == 15
    for name, pairs in ours.synapses.items():
        assert len(theirs.synapses[name]) == len(pairs), name
        np.testing.assert_allclose(sorted(pairs), sorted(theirs.synapses[name]), rtol=1e-12)


def test_the_description_has_the_published_names_and_numbers():
    network = adapter.make_network((3, 3), {"L5e_L5i_soma_ampa": 5.0})
    column = adapter.describe(network)
    assert tuple(p.name for p in column.projections) == col.PROJECTIONS
    assert {name: cell.n for name, cell in column.cells.items()} == col.cell_counts((3, 3))
    assert column.threshold_mV == 0
    projections = {p.name: p for p in column.projections}
    recurrent = projections["L5e_L5e_proximal_nmda"]
    # cells in the order of y, then x: the third and the ninth are two steps apart
    assert recurrent.weights[2, 8] == pytest.approx(5e-4 * np.exp(-4 / 9))
    assert recurrent.delays_ms[2, 8] == pytest.approx(np.exp(4 / 9))
    assert not np.diag(recurrent.weights).any() and np.diag(projections["L2i_L2i_soma_gabaa"].weights).all()
    assert projections["L2i_L2e_soma_gabab"].weights.max() == pytest.approx(0.05)
    assert projections["L2i_L5e_distal_gabaa"].weights.shape == (3, 9)
    longest = projections["L5e_L5i_soma_ampa"]
    assert longest.delays_ms.max() == pytest.approx(np.exp(8 / 25))
    assert projections["L2e_L5i_soma_ampa"].delays_ms.max() == pytest.approx(np.exp(8 / 9))


@pytest.mark.parametrize("name", col.SHORT)
def test_tables_of_sections_and_channels_are_hnn_cores(name):
    cell = adapter.DrivenCell(name, col.LOCATION_CHANNELS[name])
    assert tuple(cell.sections) == col.SECTIONS[name]
    assert tuple(cell._cell._nrn_synapses) == col.section_channels(name)


def test_a_column_without_gains_is_its_cells_alone():
    """With all gains 0 the drive's events are all that a cell gets; gains that come back change nothing."""
    free = [f"gain_{name}" for name in col.PROJECTIONS]
    options = {"mesh": [2, 1], "drives": [drive | {"rate_Hz": 60} for drive in col.DRIVES]}
    simulator = HnnColumn(free, {"dt_ms": DT, "duration_ms": 80}, options=options)
    theta, seeds = np.stack([np.ones(16), np.zeros(16), np.ones(16)]), np.full(3, 11, np.uint64)
    dipole = simulator.simulate(theta, seeds)["dipole"]
    np.testing.assert_array_equal(dipole[0], dipole[2])
    assert abs(dipole[0] - dipole[1]).max() > 50
    column = simulator.as_column()
    inputs = col.drive_inputs(column, 160, DT, 11)
    for layer, name in enumerate(("L2_pyramidal", "L5_pyramidal")):
        assert inputs[name].any()
        cells = [adapter.DrivenCell(name, column.cells[name].channels) for _ in range(2)]
        for i, cell in enumerate(cells):
            cell.play(inputs[name][:, i], DT)
        adapter.run(cells, 79.5, STEP)
        alone = simulator.kept(sum(cell.dipole for cell in cells))
        np.testing.assert_array_equal(dipole[1, :, layer], alone.astype(np.float32))
        del cells, cell


def test_recorded_cells_are_those_of_the_column():
    """A cell alone that is given the inputs of a recorded one does what that did in the column, but for the grid.

    In the column spikes arrive at any time, alone at the next step of 0.5 ms. Without them it would be another trace.
    """
    drives = [drive | {"rate_Hz": 40} for drive in col.DRIVES]
    options = {"mesh": [3, 3], "drives": drives, "record_cells": 2}
    free = [f"gain_{name}" for name in col.PROJECTIONS]
    simulator = HnnColumn(free, {"dt_ms": DT, "duration_ms": 150}, options=options)
    result = simulator.simulate(np.full((1, 16), 2.0), np.array([5], np.uint64))
    inputs = col.drive_inputs(simulator.as_column(), 300, DT, 5)
    assert simulator.recorded["L2_pyramidal"].tolist() == [2, 6]
    for short, name in (("L2e", "L2_pyramidal"), ("L5e", "L5_pyramidal"), ("L2i", "L2_basket"), ("L5i", "L5_basket")):
        channels = col.LOCATION_CHANNELS[name]
        number = simulator.recorded[name][1]
        given = result[f"{short}_inputs"][0].reshape(300, 2, -1)[:, 1]
        shown = result[f"{short}_voltage"][0].reshape(300, 2, -1)[:, 1]
        driven = inputs[name][:, number]
        assert (given >= driven - 1e-9).all() and given.sum() > 1.2 * driven.sum()
        traces = []
        for events in (given, driven):
            cell = adapter.DrivenCell(name, channels)
            recorded = cell.record()
            cell.play(events, DT)
            adapter.run([cell], 149.5, STEP)
            traces.append(np.stack([simulator.kept(recorded[s]) for s in col.SECTIONS[name]], axis=1))
            del cell, recorded
        # spikes that come half a step later are large errors of short duration: below them
        errors = [np.median(np.abs(trace - shown)) for trace in traces]
        assert errors[0] < 0.5 and errors[0] < 0.2 * errors[1], (name, errors)


def test_the_file_is_one_that_hnn_core_opens(hnn, tmp_path, capsys):
    mesh, path = (2, 2), tmp_path / "column.json"
    gains = {"L5i_L5e_soma_gabaa": 2.5, "L2e_L5e_distal_ampa": 0.1}
    drives = (*col.read_drives(col.DRIVES, "drives"), DRIVES[1])
    adapter.write_network(path, mesh, drives, gains, {"L2e_L5e_distal_ampa": 4.0})
    opened = hnn.read_network_configuration(path)
    assert capsys.readouterr().out == "", "hnn-core warns of it"
    written = {d.name: d for d in drives}
    assert set(opened.external_drives) == set(written)
    for name, drive in opened.external_drives.items():
        assert drive["type"] == "poisson" and drive["location"] == written[name].channels[0].rsplit("_", 1)[0]
        rates = drive["dynamics"]["rate_constant"]
        assert rates[written[name].target] == written[name].rate_Hz
        assert drive["weights_ampa"] == {written[name].target: written[name].weight_uS}
    assert opened.external_drives["L5e"]["weights_nmda"] == {"L5_pyramidal": 2**-7}
    inner = hnn.read_network_configuration(path, read_drives=False)
    original = adapter.describe(adapter.make_network(mesh, {"L2e_L5e_distal_ampa": 4.0}))
    for found, projection in zip(adapter.describe(inner).projections, original.projections, strict=True):
        assert (found.name, found.channel) == (projection.name, projection.channel)
        np.testing.assert_allclose(found.weights, gains.get(found.name, 1.0) * projection.weights, rtol=1e-12)
        np.testing.assert_allclose(found.delays_ms, projection.delays_ms, rtol=1e-12)
    hnn_simulates(hnn, opened, 5.0)
    inhibitory = col.Drive("tonic", "L5_pyramidal", ("soma_gabaa",), 10.0, 0.01)
    with pytest.raises(NeuroinverseError, match="drive tonic reaches soma_gabaa"):
        adapter.write_network(path, mesh, [inhibitory])


def test_cells_come_and_go_beside_other_simulators():
    """Cable cells keep NEURON's mechanisms side by side in memory, with which cells of hnn-core cannot be removed."""
    h, _ = adapter.load()
    before = sections_standing()
    simulator = HnnCell([], {"dt_ms": DT, "duration_ms": 20}, options={"cell": "L5_pyramidal"})
    results = []
    for _ in range(3):
        h.CVode().cache_efficient(True)
        results.append(simulator.simulate(np.empty((2, 0)), np.arange(2, dtype=np.uint64)))
    assert sections_standing() == before
    for name, values in results[0].items():
        np.testing.assert_array_equal(results[2][name], values)


def test_physical_constants_stay_those_of_today():
    h, _ = adapter.load()
    before = h.nrnunit_use_legacy()
    adapter.load.__wrapped__()
    assert h.nrnunit_use_legacy() == before


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "hnn_core", None)
    with pytest.raises(NeuroinverseError, match=r"(?s)here are hnn-core .*NEURON 8.2.7.*pip install hnn-core==0.6.1"):
        adapter.load.__wrapped__()
