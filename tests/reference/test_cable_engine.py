"""The compiled engine of cells with many compartments against NEURON: the same numbers to rounding.

Cells are random: trees with sections at the ends, in the middle and elsewhere, also attached by their far end, thick
and thin, with densities that differ from part to part, and an axon of its own.
"""

import pickle
from types import SimpleNamespace

import numba
import numpy as np
import pytest

from neuroinverse.errors import ConfigError
from neuroinverse.simulators import cable_compiled, cable_loop, cable_table
from neuroinverse.simulators.cable_cell import Setting, take_down
from neuroinverse.simulators.neuron_batch import hoc
from neuroinverse.stimuli import reset_chirp

# by region: mechanisms beside pas, and the least and largest density of each (pS/um2)
DENSITIES = {
    "soma": {"na": (100, 8000), "kv": (100, 2000), "km": (0.05, 0.2), "ca": (0.15, 3), "kca": (1.5, 6)},
    "tree": {"na": (10, 250), "km": (0.05, 0.2), "ca": (0.15, 0.6), "kca": (1.5, 6)},
    "axon": {"na": (15000, 60000), "kv": (1000, 5000)},
}
# of double precision, as upstrokes amplify it
ROUNDING_MV = 1e-5


@pytest.fixture
def h(library):
    """NEURON with nothing in it, before and after."""
    take_down()
    h = hoc(library)
    assert not list(h.allsec())
    h.celsius = 37
    yield h
    for section in list(h.allsec()):
        h.delete_section(sec=section)


def piece(h, name, length, diameter, nseg, at=None, end=0):
    section = h.Section(name=name)
    section.L, section.diam, section.nseg, section.Ra = length, diameter, nseg, 150
    if at is not None:
        section.connect(at, end)
    return section


def insert(h, section, *mechanisms):
    """Channels by their short name, a leak, and a pool of calcium beside kca."""
    section.insert("pas")
    for mechanism in mechanisms:
        section.insert(f"mainen_{mechanism}")
    if "kca" in mechanisms:
        section.insert("mainen_cad")
        h.ion_style("ca_ion", 3, 1, 0, 0, 0, sec=section)
    for segment in section:
        segment.pas.e, segment.pas.g = -70, 3e-5
        for ion, e in (("na", 60), ("k", -90), ("ca", 140)):
            if hasattr(segment, f"{ion}_ion"):
                setattr(segment, f"e{ion}", e)


def random_tree(h, rng, n=40):
    """A soma with n − 1 sections that hang on anything at anything, and an axon of a thick and a thin section."""
    soma = piece(h, "soma", 24, 11, 3)
    sections = [soma]
    for i in range(1, n):
        parent = soma if i < 5 else sections[rng.integers(len(sections))]
        at = (0, 1, 0.5, rng.random())[rng.integers(4)] if i > 2 else i - 1
        length, diameter = rng.uniform(10, 120), rng.uniform(0.4, 2.5)
        sections.append(piece(h, f"tree{i}", length, diameter, rng.integers(1, 6), parent(at), i % 7 == 3))
    hillock = piece(h, "hillock", 10, 2, 5, soma(0.5))
    for segment in hillock:
        segment.diam = 4 - 3 * segment.x
    axon = [hillock, piece(h, "thin", 15, 1, 5, hillock(1))]
    regions = {"tree": sections[1:], "soma": [soma], "axon": axon}
    for region, densities in DENSITIES.items():
        for section in regions[region]:
            insert(h, section, *densities)
    sites = {"soma": soma(0.5), "axon": axon[1](0.5), "tip": sections[-1](1), "some": sections[n // 2](0.4)}
    return SimpleNamespace(regions=regions, sites=sites)


def random_settings(rng):
    settings = [
        Setting(region, f"mainen_{mechanism}", "gbar", low * (high / low) ** rng.random())
        for region, densities in DENSITIES.items()
        for mechanism, (low, high) in densities.items()
    ]
    for region in DENSITIES:
        settings.append(Setting(region, None, "cm", rng.uniform(0.3, 1.5)))
        settings.append(Setting(region, "pas", "g", 1 / rng.uniform(15000, 60000)))
        settings.append(Setting(region, "pas", "e", rng.uniform(-75, -65)))
    for region in ("soma", "tree"):
        settings.append(Setting(region, "mainen_kca", "ralpha", 10 ** rng.uniform(-2, 2)))
    return settings


def wave(duration_ms, dt_ms, amplitude=0.6):
    """The published reset and chirp (nA), begun late enough to see the rest."""
    t = np.arange(round(duration_ms / dt_ms)) * dt_ms
    return amplitude * reset_chirp(t + 90)


def neuron(h, cell, settings, stimulus, site, record, dt_ms=0.02, v_init=-70.0, celsius=37.0):
    """NEURON's voltages (mV), shape (simulations, time, sites), with its own loop and clamp."""
    h.celsius, h.dt, h.secondorder = celsius, dt_ms, 0
    h.CVode().active(False)
    clamp = h.IClamp(cell.sites[site])
    clamp.delay, clamp.dur = 0, 1e9
    played, times = h.Vector(stimulus), h.Vector(np.arange(len(stimulus)) * dt_ms)
    played.play(clamp._ref_amp, times, True)
    vectors = [h.Vector().record(cell.sites[name]._ref_v) for name in record]
    found = []
    for simulation in settings:
        for s in simulation:
            for section in cell.regions[s.region]:
                for segment in section:
                    setattr(getattr(segment, s.mechanism) if s.mechanism else segment, s.name, s.value)
        h.finitialize(v_init)
        for _ in range(len(stimulus) - 1):
            h.fadvance()
        found.append(np.stack([v.as_numpy().copy() for v in vectors], axis=1))
    played.play_remove()
    return np.array(found)


def compiled(cell, settings, stimulus, site, record, dt_ms=0.02, v_init=-70.0, celsius=37.0, window=None):
    window = window or slice(0, len(stimulus))
    return cable_compiled.run(cell, settings, stimulus, site, record, dt_ms, v_init, celsius, window, np.float64)


def upstrokes(v, threshold=-20.0):
    return np.flatnonzero((v[:-1] < threshold) & (v[1:] >= threshold))


def compare(h, cell, settings, stimulus, site="soma", record=None, bound=ROUNDING_MV, **constants):
    """Both engines; voltages (mV) of the compiled one."""
    record = record or list(cell.sites)
    table = cable_table.compartments(cell)
    expected = neuron(h, cell, settings, stimulus, site, record, **constants)
    found = compiled(table, settings, stimulus, site, record, **constants)
    assert found.shape == expected.shape
    difference = np.abs(found - expected).max()
    print(f"{len(table)} nodes, range {np.ptp(expected):.1f} mV, largest difference {difference:.1e} mV")
    assert np.ptp(expected, axis=1).max() > 1
    assert difference < bound
    return found


@pytest.mark.parametrize("seed", range(4))
def test_same_as_neuron_on_random_trees(h, seed):
    rng = np.random.default_rng(seed)
    cell = random_tree(h, rng)
    settings = [random_settings(rng) for _ in range(3)]
    stimulus = wave(180, 0.02)
    found = compare(h, cell, settings, stimulus)
    expected = neuron(h, cell, settings, stimulus, "soma", ["soma", "axon"])
    counts = []
    for mine, theirs in zip(found, expected, strict=True):
        for channel in range(2):
            a, b = upstrokes(mine[:, channel]), upstrokes(theirs[:, channel])
            assert len(a) == len(b)
            assert np.abs(a - b).max(initial=0) <= 1
            counts.append(len(a))
    print("spikes", counts)
    assert sum(counts) > 3
    # the simulations are not all one
    assert np.abs(np.diff(found, axis=0)).max(axis=(1, 2)).min() > 1


@pytest.mark.parametrize(
    ("dt_ms", "celsius", "v_init"), [(0.1, 23.0, -55.0), (0.025, 30.0, -80.0), (0.005, 37.0, -70.0)]
)
def test_same_as_neuron_at_any_step_and_temperature(h, dt_ms, celsius, v_init):
    rng = np.random.default_rng(11)
    cell = random_tree(h, rng, 8)
    settings = [random_settings(rng) for _ in range(2)]
    compare(h, cell, settings, wave(100, dt_ms), dt_ms=dt_ms, celsius=celsius, v_init=v_init)


@pytest.mark.parametrize("site", ["axon", "tip", "some"])
def test_same_as_neuron_wherever_the_current_is_injected(h, site):
    rng = np.random.default_rng(5)
    cell = random_tree(h, rng, 12)
    compare(h, cell, [random_settings(rng)], wave(100, 0.02, 0.3), site)


@pytest.mark.parametrize("parent_nseg", [1, 2, 5])
@pytest.mark.parametrize("x", [0, 0.2, 0.5, 0.8, 1])
@pytest.mark.parametrize("end", [0, 1])
def test_branches_hang_where_neuron_hangs_them(h, parent_nseg, x, end):
    """A branch of a branch, on a section that hangs by either end; both ends of the root bear something."""
    root = piece(h, "root", 40, 8, parent_nseg)
    first = piece(h, "first", 90, 2, parent_nseg, root(x), end)
    second = piece(h, "second", 70, 1, 2, first(x), 1 - end)
    low, high = piece(h, "low", 60, 1.5, 3, root(0)), piece(h, "high", 50, 1, 1, root(1))
    sections = [root, first, second, low, high]
    for section in sections:
        insert(h, section, "na", "kv")
    settings = [[Setting("all", "mainen_na", "gbar", 2000.0), Setting("all", "mainen_kv", "gbar", 300.0)]]
    # every end and every middle, of which some are one place
    sites = {f"{s.name()}{at}": s(at) for s in sections for at in (0, 0.5, 1)}
    # the order of the regions is not that of the tree
    cell = SimpleNamespace(regions={"all": sections[::-1]}, sites=sites)
    compare(h, cell, settings, wave(60, 0.02, 0.1), "root0.5", bound=1e-8)


def test_unbranched_and_single_sections(h):
    sections = [piece(h, "s0", 20, 10, 1)]
    for i in range(1, 4):
        sections.append(piece(h, f"s{i}", 50, 1, i, sections[-1](1)))
    for section in sections:
        insert(h, section, "na", "kv")
    settings = [[Setting("all", "mainen_na", "gbar", 2000.0), Setting("all", "mainen_kv", "gbar", 300.0)]]
    cell = SimpleNamespace(regions={"all": sections}, sites={"soma": sections[0](0.5)})
    # the ends between two sections need no node
    assert len(cable_table.compartments(cell)) == 1 + 1 + 2 + 3
    compare(h, cell, settings, wave(60, 0.02, 0.1))
    for section in sections[1:]:
        h.delete_section(sec=section)
    cell.regions["all"] = sections[:1]
    assert len(cable_table.compartments(cell)) == 1
    compare(h, cell, settings, wave(60, 0.02, 0.05))


def test_values_that_differ_within_a_region_stay_as_built(h):
    """All numbers by segment; channels without a pool, and a pool without channels."""
    soma = piece(h, "soma", 20, 15, 3)
    parts = [piece(h, f"part{i}", 60, 1.5, 3, soma(i % 2)) for i in range(5)]
    insert(h, soma, "na", "kv", "ca", "kca")
    for part, mechanisms in zip(parts, (["ca"], ["kca"], ["kca", "ca"], ["km"], []), strict=True):
        insert(h, part, *mechanisms)
    # calcium that nothing changes, and a pool that nothing fills
    bare = piece(h, "bare", 30, 1, 1, soma(1))
    bare.insert("mainen_kca")
    bare.ek = -85
    pool = piece(h, "pool", 30, 1, 1, soma(1))
    pool.insert("mainen_cad")
    sections = [soma, *parts, bare, pool]
    rng = np.random.default_rng(3)
    for segment in (x for section in sections for x in section):
        segment.cm = rng.uniform(0.4, 1.2)
        for name, values in {
            "pas": {"g": (2e-5, 1e-4), "e": (-75, -65)},
            "mainen_na": {"gbar": (4000, 6000), "shift": (-8.37, -2.13)},
            "mainen_kv": {"gbar": (200, 600)},
            "mainen_km": {"gbar": (0.1, 0.5)},
            "mainen_ca": {"gbar": (0.1, 1)},
            "mainen_kca": {"gbar": (1, 5), "ralpha": (0.01, 1)},
            "mainen_cad": {"depth": (0.05, 0.5)},
        }.items():
            if hasattr(segment, name):
                for key, bounds in values.items():
                    setattr(getattr(segment, name), key, rng.uniform(*bounds))
        if hasattr(segment, "mainen_na"):
            segment.ena = rng.uniform(50, 60)
        if hasattr(segment, "mainen_kca"):
            segment.ek = rng.uniform(-95, -80)
        if hasattr(segment, "mainen_ca"):
            # some so low that calcium flows outward, which the pool does not follow
            segment.eca = rng.uniform(-60, 140)
    cell = SimpleNamespace(regions={"all": sections}, sites={s.name(): s(0.7) for s in sections})
    found = compare(h, cell, [[]], wave(120, 0.02, 0.25))
    assert len(upstrokes(found[0, :, 0])) > 1
    # and what a simulation sets, it sets everywhere, for itself alone
    one = [Setting("all", None, "cm", 2.0), Setting("all", None, "cm", 0.9)]
    table = cable_table.compartments(cell)
    both = compiled(table, [one, []], wave(120, 0.02, 0.25), "soma", list(cell.sites))
    expected = neuron(h, cell, [one], wave(120, 0.02, 0.25), "soma", list(cell.sites))
    assert np.abs(both[0] - expected[0]).max() < ROUNDING_MV
    np.testing.assert_array_equal(both[1], found[0])


def test_concentration_that_starts_from_the_global(h):
    """Calcium of a channel without a pool, started by NEURON from cai0_ca_ion."""
    soma = piece(h, "soma", 20, 15, 1)
    soma.insert("mainen_kca")
    soma.insert("pas")
    soma.ek, soma(0.5).mainen_kca.gbar, soma(0.5).cai = -90, 20, 3e-4
    cell = SimpleNamespace(regions={"soma": [soma]}, sites={"soma": soma(0.5)})
    stimulus = wave(60, 0.02, 0.05)
    own = compare(h, cell, [[]], stimulus)
    h.ion_style("ca_ion", 1, 1, 0, 0, 1, sec=soma)
    assert np.abs(compare(h, cell, [[]], stimulus) - own).max() > 1e-3


@pytest.fixture
def small(h):
    """Compartments of a small random cell, 37 simulations of it, and their voltages."""
    rng = np.random.default_rng(8)
    table = cable_table.compartments(random_tree(h, rng, 10))
    settings = [random_settings(rng) for _ in range(37)]
    stimulus = wave(60, 0.02)
    return table, settings, stimulus, compiled(table, settings, stimulus, "soma", ["soma", "tip"])


def test_bits_do_not_depend_on_the_batch(small):
    table, settings, stimulus, voltage = small
    for take in ([3], [36], list(range(37))[::-1], list(range(5, 21)), [7] * 3 + [8]):
        again = compiled(table, [settings[i] for i in take], stimulus, "soma", ["soma", "tip"])
        np.testing.assert_array_equal(again, voltage[take])
    assert compiled(table, [], stimulus, "soma", ["soma"]).shape == (0, len(stimulus), 1)
    # nor on the process that reads the cell
    np.testing.assert_array_equal(
        compiled(pickle.loads(pickle.dumps(table)), settings, stimulus, "soma", ["soma", "tip"]), voltage
    )


def test_a_simulation_that_fails_leaves_the_others_alone(small):
    table, settings, stimulus, voltage = small
    broken = [*settings[:4], [*settings[4], Setting("tree", None, "cm", np.nan)], *settings[5:]]
    again = compiled(table, broken, stimulus, "soma", ["soma", "tip"])
    assert np.isnan(again[4, 1:]).all()
    others = np.arange(37) != 4
    np.testing.assert_array_equal(again[others], voltage[others])


def test_window_and_end_of_the_stimulus(small):
    table, settings, stimulus, voltage = small
    part = compiled(table, settings[:2], stimulus, "soma", ["tip"], window=slice(700, 1500))
    np.testing.assert_array_equal(part, voltage[:2, 700:1500, 1:])
    # after its end a stimulus stays what it was
    short, held = stimulus[:2000], np.r_[stimulus[:2000], np.full(500, stimulus[1999])]
    found = [compiled(table, settings[:1], x, "soma", ["soma"], window=slice(0, 2500)) for x in (short, held)]
    np.testing.assert_array_equal(*found)
    single = cable_compiled.run(table, settings[:1], stimulus, "soma", ["soma"], 0.02, -70.0, 37.0, slice(0, 100))
    np.testing.assert_array_equal(single, voltage[:1, :100, :1].astype(np.float32))
    assert single.dtype == np.float32


def test_share_lost_is_the_exponential_to_rounding():
    @numba.njit
    def lost(x, cell):
        cable_loop.store(x, 0, 0, cable_loop._lost(cable_loop.load(x, 0, 0), cell))

    constants = cable_compiled._cell_constants(0.02, 1.0)
    for x in np.r_[0.0, np.geomspace(1e-12, 1e4, 479)].reshape(-1, cable_loop.LANES):
        room = x.copy().reshape(1, 1, -1)
        lost(room, constants)
        np.testing.assert_allclose(room[0, 0], -np.expm1(-x), rtol=5e-15)


def test_refuses_what_only_neuron_can_run(h):
    soma = piece(h, "soma", 20, 15, 1)
    dend = piece(h, "dend", 50, 1, 3, soma(1))
    insert(h, soma, "na", "ca", "kca")
    cell = SimpleNamespace(regions={"soma": [soma], "dend": [dend]}, sites={"soma": soma(0.5)})
    cable_table.compartments(cell)

    def refused(*words):
        with pytest.raises(ConfigError) as error:
            cable_table.compartments(cell)
        for word in (*words, "engine: neuron"):
            assert word in str(error.value)

    dend.insert("hh")
    refused("hh", "dend", "mainen_na")
    dend.uninsert("hh")
    h.ion_style("ca_ion", 3, 2, 1, 1, 1, sec=soma)
    refused("eca", "soma", "ion_style")
    h.ion_style("ca_ion", 3, 1, 0, 0, 0, sec=soma)
    dend.rallbranch = 2
    refused("2", "dend")
    dend.rallbranch = 1
    # for good: NEURON takes it out no more
    dend.insert("extracellular")
    refused("extracellular")
    cell.regions.pop("soma")
    refused("soma is in no region")
    cell.regions = {"soma": [soma]}
    cell.sites["dend"] = dend(0.5)
    refused("dend is in no region")


@pytest.mark.parametrize("x", [0, 0.5, 1])
def test_refuses_point_processes(h, x):
    soma = piece(h, "soma", 20, 15, 1)
    synapse = h.ExpSyn(soma(x))
    cell = SimpleNamespace(regions={"soma": [soma]}, sites={"soma": soma(0.5)})
    with pytest.raises(ConfigError, match=r"ExpSyn\[\d+\] at soma.*engine: neuron"):
        cable_table.compartments(cell)
    assert synapse.get_segment().x == x


def test_refuses_settings_and_sites_it_does_not_know(small):
    table, _, stimulus, _ = small

    def refused(setting, *words, site="soma", record=("soma",)):
        with pytest.raises(ConfigError) as error:
            compiled(table, [[setting] if setting else []], stimulus, site, record)
        for word in words:
            assert word in str(error.value)

    refused(Setting("tree", None, "Ra", 100.0), "Ra of tree", "cm", "engine: neuron")
    refused(Setting("tree", "mainen_na", "shift", 0.0), "mainen_na.shift of tree", "mainen_na.gbar", "engine: neuron")
    refused(Setting("trees", None, "cm", 1.0), "region of cm", "'trees'", "tree")
    refused(Setting("axon", "mainen_km", "gbar", 1.0), "mainen_km.gbar of axon")
    refused(None, "'somma'", "soma", site="somma")
    refused(None, "'tips'", "tip", record=("soma", "tips"))
