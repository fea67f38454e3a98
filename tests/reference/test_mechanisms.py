"""The channels and the calcium pool of Mainen and Sejnowski's cells against their published equations.

Mainen ZF, Sejnowski TJ (1996) Nature 382:363. The equations below are written from the paper's notation and share no
code with the MOD files; `expm1` carries them through their removable singularities.
"""

import numpy as np
import pytest

FARADAY = 96485.33212  # C/mol
DT = 0.025  # ms
REVERSALS = {"na": 60.0, "k": -90.0, "ca": 140.0}  # mV
# mV where numerator and denominator of a rate vanish together: three of sodium, 5 mV up by its shift, Kv, Km, Ca
SINGULAR = (-30.0, -45.0, -70.0, 25.0, -30.0, -27.0)
VOLTAGES = np.unique(
    [*np.arange(-120.0, 60.5, 0.5), *(v + d for v in SINGULAR for d in (-1e-3, -1e-5, -1e-8, 1e-8, 1e-5, 1e-3))]
)


def e(z):
    """z / (exp(z) − 1), 1 at z = 0."""
    z = np.asarray(z, dtype=float)
    return np.where(z == 0, 1.0, z / np.where(z == 0, 1.0, np.expm1(z)))


def steady(alpha, beta):
    return alpha / (alpha + beta), alpha + beta


def sodium_h(v):
    return 1 / (1 + np.exp((v + 65) / 6.2)), 0.024 * 5 * e((-50 - v) / 5) + 0.0091 * 5 * e((v + 75) / 5)


# (steady state, alpha + beta in 1/ms at 23 degC) of each gate at v (mV)
GATES = {
    "na": {
        # all of sodium's kinetics are shifted by −5 mV
        "m": lambda v: steady(0.182 * 9 * e((-35 - (v - 5)) / 9), 0.124 * 9 * e((v - 5 + 35) / 9)),
        "h": lambda v: sodium_h(v - 5),
    },
    "kv": {"n": lambda v: steady(0.02 * 9 * e((25 - v) / 9), 0.002 * 9 * e((v - 25) / 9))},
    "km": {"n": lambda v: steady(0.001 * 9 * e((-30 - v) / 9), 0.001 * 9 * e((v + 30) / 9))},
    "ca": {
        "m": lambda v: steady(0.055 * 3.8 * e((-27 - v) / 3.8), 0.94 * np.exp((-75 - v) / 17)),
        "h": lambda v: steady(4.57e-4 * np.exp((-13 - v) / 50), 0.0065 / (np.exp((-v - 15) / 28) + 1)),
    },
}
# ion and powers of the gates
CURRENTS = {
    "na": ("na", {"m": 3, "h": 1}),
    "kv": ("k", {"n": 1}),
    "km": ("k", {"n": 1}),
    "ca": ("ca", {"m": 2, "h": 1}),
}


def q10(celsius):
    return 2.3 ** ((celsius - 23) / 10)


@pytest.fixture
def h(library):
    """NEURON as a test finds it: fixed step, one thread, tables in use."""
    from neuroinverse.simulators.neuron_batch import hoc

    h = hoc(library)
    h.CVode().active(False)
    h.dt = DT
    yield h
    set_tables(h, True)


def set_tables(h, used):
    for suffix in GATES:
        setattr(h, f"usetable_mainen_{suffix}", int(used))


def clamped_cells(h, voltages, *suffixes):
    """One compartment per voltage. The clamp is a membrane whose capacitance no current can charge."""
    segments = []
    for i, v in enumerate(voltages):
        section = h.Section(name=f"clamped{i}")
        section.L = section.diam = 20
        section.cm = 1e25
        for suffix in suffixes:
            section.insert(f"mainen_{suffix}")
        for ion, reversal in REVERSALS.items():
            if hasattr(section(0.5), f"e{ion}"):
                setattr(section, f"e{ion}", reversal)
        hold_reversals(h, section)
        section.v = v
        segments.append(section(0.5))
    # the segments keep their sections alive
    return segments


def hold_reversals(h, section):
    """Where a mechanism writes the concentration, NEURON would take the calcium's reversal potential from Nernst."""
    if hasattr(section(0.5), "eca"):
        h.ion_style("ca_ion", 3, 1, 0, 0, 0, sec=section)


def states(segments, suffix, gate):
    return np.array([getattr(getattr(segment, f"mainen_{suffix}"), gate) for segment in segments])


def measured_kinetics(h, suffix, voltages, celsius):
    """(steady state, alpha + beta at 23 degC) of each gate: what one step makes of a closed and of an open gate."""
    h.celsius = celsius
    pair = [clamped_cells(h, voltages, suffix) for _ in range(2)]
    h.finitialize()
    for start, segments in enumerate(pair):
        for segment in segments:
            for gate in GATES[suffix]:
                setattr(getattr(segment, f"mainen_{suffix}"), gate, start)
    h.fadvance()
    result = {}
    for gate in GATES[suffix]:
        closed, opened = (states(segments, suffix, gate) for segments in pair)
        kept = opened - closed
        result[gate] = closed / (1 - kept), -np.log(kept) / (DT * q10(celsius))
    np.testing.assert_array_equal([s.v for s in pair[0]], voltages)
    return result


@pytest.mark.parametrize("celsius", [23, 37])
@pytest.mark.parametrize("suffix", GATES)
def test_kinetics_are_the_published_ones(h, suffix, celsius):
    set_tables(h, False)
    measured = measured_kinetics(h, suffix, VOLTAGES, celsius)
    for gate, (found, rate) in measured.items():
        expected, expected_rate = GATES[suffix][gate](VOLTAGES)
        print(
            f"{suffix} {gate} {celsius} degC: steady state {np.abs(found / expected - 1).max():.1e}, "
            f"rate {np.abs(rate / expected_rate - 1).max():.1e} (largest relative deviation)"
        )
        np.testing.assert_allclose(found, expected, rtol=1e-8)
        np.testing.assert_allclose(rate, expected_rate, rtol=1e-8)


@pytest.mark.parametrize("celsius", [23, 37])
@pytest.mark.parametrize("suffix", GATES)
def test_tables_are_close_to_the_equations(h, suffix, celsius):
    """Linear interpolation over 0.1 mV: a bound on the second derivative bounds the error; midway it is largest."""
    voltages = np.arange(-120.05, 60, 0.1)
    measured = measured_kinetics(h, suffix, voltages, celsius)
    for gate, (found, rate) in measured.items():
        expected, expected_rate = GATES[suffix][gate](voltages)
        errors = np.abs(found - expected).max(), np.abs(rate / expected_rate - 1).max()
        print(f"{suffix} {gate} {celsius} degC: steady state {errors[0]:.1e} absolute, rate {errors[1]:.1e} relative")
        assert 0 < errors[0] < 1e-5
        assert 0 < errors[1] < 1e-4


@pytest.mark.parametrize("celsius", [23, 37])
@pytest.mark.parametrize("suffix", GATES)
def test_current_after_a_voltage_step(h, suffix, celsius):
    """From −70 mV to each voltage: every gate relaxes exponentially, also over 200 steps, and the current follows."""
    set_tables(h, False)
    h.celsius = celsius
    voltages = np.arange(-110.0, 60.0, 10.0)
    segments = clamped_cells(h, voltages, suffix)
    gbar = np.linspace(0.5, 5000, len(voltages))
    for segment, g in zip(segments, gbar, strict=True):
        getattr(segment, f"mainen_{suffix}").gbar = g
    h.finitialize(-70)
    for segment, v in zip(segments, voltages, strict=True):
        segment.v = v
    ion, powers = CURRENTS[suffix]
    for step in range(200):
        h.fadvance()
        # the current of a step is that of the gates at its start
        conductance = 1e-4 * q10(celsius) * gbar
        for gate, power in powers.items():
            start, _ = GATES[suffix][gate](-70.0)
            end, rate = GATES[suffix][gate](voltages)
            conductance = conductance * (end + (start - end) * np.exp(-step * DT * q10(celsius) * rate)) ** power
        current = [getattr(segment, f"i{ion}") for segment in segments]
        np.testing.assert_allclose(current, conductance * (voltages - REVERSALS[ion]), rtol=1e-8)
    # and of a clamp that lasts: the steady state
    h.dt = 1e5
    h.fadvance()
    for gate in powers:
        np.testing.assert_allclose(states(segments, suffix, gate), GATES[suffix][gate](voltages)[0], rtol=1e-8)


@pytest.mark.parametrize("suffix", GATES)
def test_starts_in_the_steady_state(h, suffix):
    set_tables(h, False)
    h.celsius = 37
    segments = clamped_cells(h, VOLTAGES, suffix)
    h.finitialize()
    for gate in GATES[suffix]:
        np.testing.assert_allclose(states(segments, suffix, gate), GATES[suffix][gate](VOLTAGES)[0], rtol=1e-8)


@pytest.mark.parametrize("shift", [-10.0, 0.0, 7.5])
def test_shift_moves_sodium_along_the_voltage_axis(h, shift):
    set_tables(h, False)
    segments = clamped_cells(h, VOLTAGES, "na")
    for segment in segments:
        segment.mainen_na.shift = shift
    h.finitialize()
    # the equations above have −5 built in
    for gate in "mh":
        expected, _ = GATES["na"][gate](VOLTAGES + shift + 5)
        np.testing.assert_allclose(states(segments, "na", gate), expected, rtol=1e-8)


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("suffix", GATES)
def test_far_outside_of_the_tables_gates_stay_gates(h, suffix, used):
    """A diverging cell must give a wrong trace, not a dead process; what lies beyond the table is its edge."""
    set_tables(h, used)
    h.celsius = 37
    voltages = np.array([-310.0, 210.0, -1000.0, 1000.0])
    segments = clamped_cells(h, voltages, suffix)
    h.finitialize(-70)
    for segment, v in zip(segments, voltages, strict=True):
        segment.v = v
    h.fadvance()
    for gate in GATES[suffix]:
        found = states(segments, suffix, gate)
        assert np.isfinite(found).all()
        assert ((found >= 0) & (found <= 1)).all()
        if used:
            np.testing.assert_array_equal(found[2:], found[:2])


@pytest.mark.parametrize("celsius", [23, 37])
@pytest.mark.parametrize("per_uM", [None, 0.01])
def test_calcium_activates_its_potassium_channel(h, celsius, per_uM):
    """alpha 0.01 [Ca], beta 0.02 per ms: [Ca] in mM, as in the authors' model, or, where `ralpha` says so, in uM."""
    h.celsius = celsius
    micromolar = np.array([0.0, 0.05, 0.1, 1.0, 2.0, 10.0, 100.0])
    pair = [clamped_cells(h, np.full(len(micromolar), -20.0), "kca") for _ in range(2)]
    for segments in pair:
        for segment, concentration in zip(segments, micromolar, strict=True):
            segment.cai = concentration * 1e-3
            segment.mainen_kca.gbar = 3
            if per_uM is not None:
                segment.mainen_kca.ralpha = per_uM * 1e3
    h.finitialize()
    expected, rate = steady((1e-5 if per_uM is None else per_uM) * micromolar, 0.02)
    np.testing.assert_allclose(states(pair[0], "kca", "n"), expected, rtol=1e-12)
    for start, segments in enumerate(pair):
        for segment in segments:
            segment.mainen_kca.n = start
    n = [np.zeros_like(expected), np.ones_like(expected)]
    for step in range(1, 101):
        h.fadvance()
        for start, segments in enumerate(pair):
            current = 1e-4 * q10(celsius) * 3 * n[start] * (-20 + 90)
            np.testing.assert_allclose([s.ik for s in segments], current, rtol=1e-10, atol=1e-18)
            n[start] = expected + (start - expected) * np.exp(-step * DT * q10(celsius) * rate)
            np.testing.assert_allclose(states(segments, "kca", "n"), n[start], rtol=1e-10, atol=1e-16)


@pytest.mark.parametrize("celsius", [23, 37])
@pytest.mark.parametrize("depth", [0.1, 0.25])
def test_calcium_flows_in_and_decays(h, celsius, depth):
    """With a constant current: an exponential to 100 nM − 1e4 i 200 / (2 F depth); an outward one takes none."""
    set_tables(h, False)
    h.celsius = celsius
    voltages = np.array([-120.0, -60.0, -20.0, 0.0, 40.0, 139.0, 141.0, 180.0])
    segments = clamped_cells(h, voltages, "ca", "cad")
    for segment in segments:
        segment.mainen_ca.gbar = 0.3
        segment.mainen_cad.depth = depth
    # gates in their steady state: a constant current
    h.finitialize()
    assert [segment.cai for segment in segments] == [1e-4] * len(segments)
    (m, _), (inactivation, _) = (GATES["ca"][gate](voltages) for gate in "mh")
    current = 1e-4 * q10(celsius) * 0.3 * m**2 * inactivation * (voltages - 140)
    assert (current < 0).sum() == 6
    assert (current > 0).sum() == 2
    rise = np.where(current < 0, -1e4 * current / (2 * FARADAY * depth), 0) * 200
    deviation = 0
    for step in range(1, 4001):
        h.fadvance()
        if step % 100 == 0:
            expected = 1e-4 + rise * (1 - np.exp(-step * DT / 200))
            found = np.array([segment.cai for segment in segments])
            deviation = max(deviation, np.abs(found / expected - 1).max())
    np.testing.assert_allclose([segment.ica for segment in segments], current, rtol=1e-8)
    print(f"{celsius} degC, depth {depth} um: up to {found.max() * 1e3:.3g} uM, relative deviation {deviation:.1e}")
    # NEURON's own Faraday constant has carried several values
    assert deviation < 1e-6
    # without calcium channels the shell empties with 200 ms at any temperature
    for segment in segments:
        segment.mainen_ca.gbar = 0
    h.fadvance()
    start = np.array([segment.cai for segment in segments])
    for _ in range(400):
        h.fadvance()
    expected = 1e-4 + (start - 1e-4) * np.exp(-400 * DT / 200)
    np.testing.assert_allclose([segment.cai for segment in segments], expected, rtol=1e-10)


def spiking_cell(h):
    """A soma with every mechanism that fires on a step of current."""
    section = h.Section(name="spiking")
    section.L = section.diam = 20
    for suffix in (*GATES, "kca", "cad"):
        section.insert(f"mainen_{suffix}")
    section.insert("pas")
    segment = section(0.5)
    section.ena, section.ek, section.eca = (REVERSALS[ion] for ion in ("na", "k", "ca"))
    hold_reversals(h, section)
    segment.pas.g, segment.pas.e = 1 / 30000, -70
    for suffix, gbar in {"na": 1500, "kv": 200, "km": 0.1, "ca": 0.3, "kca": 3}.items():
        getattr(segment, f"mainen_{suffix}").gbar = gbar
    clamp = h.IClamp(segment)
    clamp.delay, clamp.dur, clamp.amp = 10, 90, 0.4
    return segment, clamp


def spiking_trace(h, celsius=37.0, dt=DT, threads=1):
    """Voltage (mV) over 100 ms of two such cells, the second one with less leak; shape (2, time)."""
    cells = [spiking_cell(h) for _ in range(2)]
    cells[1][0].pas.g /= 2
    records = [h.Vector().record(segment._ref_v) for segment, _ in cells]
    h.celsius, h.dt = celsius, dt
    solver = h.ParallelContext()
    solver.nthread(threads)
    solver.set_maxstep(10)
    try:
        h.finitialize(-70)
        solver.psolve(100)
        return np.array([list(record) for record in records])
    finally:
        solver.nthread(1)


def spike_times(v, dt):
    i = np.flatnonzero((v[:-1] < 0) & (v[1:] >= 0))
    return dt * (i - v[i] / (v[i + 1] - v[i]))


def test_tables_do_not_move_spikes(h):
    interpolated = spiking_trace(h)
    set_tables(h, False)
    exact = spiking_trace(h)
    for with_table, without in zip(interpolated, exact, strict=True):
        found, expected = spike_times(with_table, DT), spike_times(without, DT)
        assert len(found) == len(expected) >= 3
        print(f"{len(found)} spikes: moved by {np.abs(found - expected).max():.1e} ms; largest |dv| ", end="")
        print(f"{np.abs(with_table - without).max():.1e} mV")
        assert 0 < np.abs(found - expected).max() < 1e-3


@pytest.mark.parametrize("used", [True, False])
def test_trace_does_not_depend_on_what_ran_before(h, used):
    """A table made for another temperature or time step is made anew."""
    set_tables(h, used)
    first = spiking_trace(h)
    other = spiking_trace(h, celsius=23.0, dt=0.05)
    assert np.abs(other - first[:, ::2]).max() > 1
    np.testing.assert_array_equal(spiking_trace(h), first)


@pytest.mark.parametrize("used", [True, False])
def test_two_threads_give_the_trace_of_one(h, used):
    set_tables(h, used)
    one = spiking_trace(h)
    assert len(spike_times(one[0], DT)) >= 3
    np.testing.assert_array_equal(spiking_trace(h, threads=2), one)
