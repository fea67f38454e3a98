"""Passive cells against cable theory, and how far time step and compartments move passive and active ones.

Balls with sticks: a soma of two resistive halves with uniform cylinders at its ends, their far ends sealed (Rall 1959,
1969). With s the Laplace variable, q² = 1 + s tau and l the electrotonic length, a stick's input admittance is
G∞ q tanh(q l) and its tip sees 1/cosh(q l) of the voltage at its base. The poles of the soma's impedance are the cell's
time constants; the sum over them is the response to any current, in continuous time or in the steps of backward Euler.
Mainen's cell: every compartment is such a cylinder, and Kirchhoff's law holds where they meet.

Units here: nA, mV, uS, MOhm, ms, nF, cm.
"""

import importlib.util
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.signal import lfilter
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

from neuroinverse.simulators.ball_and_sticks import BallAndStick, BallAndSticks
from neuroinverse.simulators.mainen import Mainen

RA = 35.4  # Ohm cm
SOMA_CM = 21e-4
ENGINES = ("neuron", "compiled")


@dataclass
class Stick:
    """Identical sticks at one end of the soma. Length and diameter in cm, leak in S/cm2."""

    length: float
    leak: float
    count: int = 1
    diameter: float = 2.1e-4

    @property
    def electrotonic(self):
        return self.length / np.sqrt(self.diameter / (4 * RA * self.leak))

    @property
    def semi_infinite(self):
        """Input conductance of such a cylinder without end (uS)."""
        return 1e6 * np.pi / 2 * self.diameter**1.5 * np.sqrt(self.leak / RA)


class Theory:
    """A soma with a stick, or some that are alike, at each of its ends."""

    def __init__(self, soma_leak: float, sticks: list[Stick], cm: float):
        area = np.pi * SOMA_CM**2
        self.conductance = 1e6 * soma_leak * area
        self.capacitance = 1e3 * cm * area
        self.half = 1e-6 * RA * (SOMA_CM / 2) / (np.pi / 4 * SOMA_CM**2)
        self.cm = cm
        self.sticks = sticks

    def stick(self, stick: Stick, s):
        """(P, Q): the admittance at the middle of the soma is P/Q; the tip sees the part 1/Q. Entire functions of s."""
        q = np.sqrt(1 + s * 1e-3 * self.cm / stick.leak + 0j)
        p = stick.count * stick.semi_infinite * q * np.sinh(q * stick.electrotonic)
        return p, np.cosh(q * stick.electrotonic) + self.half * p

    def functions(self, s):
        """(N, D) with impedance of the soma N/D, and Q of every stick."""
        pairs = [self.stick(stick, s) for stick in self.sticks]
        n = np.prod([q for _, q in pairs], axis=0)
        return n, n * (self.conductance + s * self.capacitance + sum(p / q for p, q in pairs)), [q for _, q in pairs]

    def resistances(self):
        """Soma to soma, then soma to every tip, in steady state (MOhm)."""
        n, d, qs = self.functions(0.0)
        return np.real([n / d, *(n / d / q for q in qs)])

    def tip_resistance(self):
        """Of the only stick, at its tip: a cable into which the soma is a load."""
        (stick,) = self.sticks
        load = 1 / (self.half + 1 / self.conductance) / stick.semi_infinite
        tanh = np.tanh(stick.electrotonic)
        return (1 + load * tanh) / (load + tanh) / stick.semi_infinite

    def modes(self, n_modes: int):
        """Rates (1/ms), and the response at soma and tips to a unit of charge: shapes (modes,), (sites, modes)."""

        def denominator(root):
            return np.real(self.functions(-(root**2))[1])

        # rates grow like squares: equal steps of their roots
        grid, found = np.linspace(0, 3000, 1_000_000), []
        values = denominator(grid)
        for i in np.flatnonzero(np.sign(values[:-1]) * np.sign(values[1:]) < 0)[:n_modes]:
            found.append(brentq(denominator, grid[i], grid[i + 1], xtol=1e-13, rtol=1e-14))
        assert len(found) == n_modes
        rates = np.square(found)
        # derivative by a complex step
        slope = np.imag(self.functions(-rates + 1e-30j)[1]) / 1e-30
        n, _, qs = self.functions(-rates)
        residues = np.real([n, *(n / q for q in qs)]) / slope
        return rates, residues


def passive(library, kind, stimulus, dt_ms, duration_ms, longest_um, engine="neuron", **fixed):
    """A simulator whose cell has no channels."""
    silent = {name: 0.0 for name in kind.parameters if name.startswith(("gna", "gk", "gca"))}
    protocol = {"dt_ms": dt_ms, "duration_ms": duration_ms, "stimulus": stimulus}
    options = {"record": list(kind.site_names), "max_segment_um": longest_um}
    if issubclass(kind, BallAndStick):
        options["leak"] = "by_part"
    return kind([], protocol, fixed=silent | fixed, engine=engine, options=options, library=library)


def response(library, kind, stimulus, *settings, **more):
    """Half of the difference between a current and its negative: what it adds at rest, (sites, time) in mV."""
    both = [stimulus, stimulus | {"amplitude": -stimulus["amplitude"]}]
    found = passive(library, kind, both, *settings, **more)
    v = found.simulate(np.empty((1, 0)), np.zeros(1, np.uint64))["voltage"][0].T.astype(float)
    n = len(kind.site_names)
    assert found.channels[0].endswith("soma")
    return (v[:n] - v[n:]) / 2


def long_step(site="soma"):
    # large, as traces are kept in single precision
    return {"kind": "step", "start_ms": 0, "stop_ms": 1e9, "amplitude": 10.0, "unit": "nA", "site": site}


# leak of the soma and the stick (S/cm2): electrotonic lengths 0.39, 0.39, 1.2, 1.7
LEAKS = [(5e-4, 5e-4), (2e-3, 5e-4), (5e-4, 5e-3), (1e-3, 1e-2)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("soma", "dend"), LEAKS)
def test_steady_state_of_ball_and_stick(library, soma, dend, engine):
    """Input resistances of soma and tip, and the attenuation between them; the errors are of second order."""
    theory = Theory(soma, [Stick(210e-4, dend)], 0.5)
    expected = [*theory.resistances(), theory.tip_resistance()]
    # the textbook's formula, without the halves of the soma
    stick = theory.sticks[0]
    plain = 1 / (theory.conductance + stick.semi_infinite * np.tanh(stick.electrotonic))
    assert expected[0] == pytest.approx(plain, rel=2e-3)
    assert expected[1] / expected[0] == pytest.approx(1 / np.cosh(stick.electrotonic), rel=5e-3)
    errors = []
    # 5, 15 and 45 compartments
    for longest in (50, 14.5, 4.75):
        settings = (0.5, 60, longest, engine)
        leaks = {"gl_soma": soma, "gl_dend": dend}
        from_soma = response(library, BallAndStick, long_step(), *settings, **leaks)[:, -1] / 10
        from_tip = response(library, BallAndStick, long_step("dend"), *settings, **leaks)[:, -1] / 10
        assert from_tip[0] == pytest.approx(from_soma[1], rel=1e-6)
        errors.append(np.abs(np.array([*from_soma, from_tip[1]]) / expected - 1))
    errors = np.array(errors)
    ratios = errors[:-1] / errors[1:]
    print(
        f"l {stick.electrotonic:.2f}: {np.round(expected, 2)} MOhm, relative errors {errors[0]} at 5 compartments, ",
        end="",
    )
    print(f"ratios {np.round(ratios, 2).tolist()}")
    assert errors[0].max() < 0.025
    assert np.all((ratios[0] > 8) & (ratios[0] < 10))
    assert np.all((ratios[1] > 7) & (ratios[1] < 11))


@pytest.mark.parametrize("engine", ENGINES)
def test_steady_state_of_ball_and_sticks(library, engine):
    """Each part has its own leak: none may be given to another."""
    sticks = [Stick(210e-4, 2e-3), Stick(52.5e-4, 8e-3, count=2)]
    expected = Theory(1e-3, sticks, 0.5).resistances()
    leaks = {"gl_soma": 1e-3, "gl_apical": 2e-3, "gl_basal": 8e-3}
    errors = []
    for longest in (17.5, 17.5 / 3 + 1e-6):
        found = response(library, BallAndSticks, long_step(), 0.5, 60, longest, engine, **leaks)[:, -1] / 10
        errors.append(np.abs(found / expected - 1))
    print(f"{np.round(expected, 3)} MOhm, relative errors {errors[0]}, {errors[1]}")
    assert np.max(errors[0]) < 3e-3
    assert np.max(errors[1]) < 4e-4


# leak of the soma, sticks, capacitance
CELLS = {
    "default": (BallAndStick, 5e-4, {"dend": 5e-4}, 0.5),
    "long": (BallAndStick, 5e-3, {"dend": 5e-3}, 5.0),
    "leaky stick": (BallAndStick, 5e-4, {"dend": 2e-3}, 1.0),
    "sticks": (BallAndSticks, 5e-4, {"apical": 1e-3, "basal": 3e-4}, 0.5),
}


def theory_of(name):
    kind, soma, leaks, cm = CELLS[name]
    sticks = [Stick(52.5e-4, leak, count=2) if part == "basal" else Stick(210e-4, leak) for part, leak in leaks.items()]
    fixed = {"gl_soma": soma, "cm": cm} | {f"gl_{part}": leak for part, leak in leaks.items()}
    return kind, Theory(soma, sticks, cm), fixed


@pytest.mark.parametrize("name", CELLS)
def test_modes_add_up_to_the_steady_state(name):
    """The theory against itself."""
    _, theory, _ = theory_of(name)
    rates, residues = theory.modes(60)
    np.testing.assert_allclose((residues / rates).sum(axis=1), theory.resistances(), rtol=1e-5)
    assert residues[0].sum() == pytest.approx(1 / theory.capacitance, rel=0.05)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", CELLS)
def test_every_sample_is_backward_eulers_of_the_cable(library, name, engine):
    """Each mode advances as backward Euler has it, under the mean of the stimulus at the ends of the step."""
    kind, theory, fixed = theory_of(name)
    rates, residues = theory.modes(60)
    stimulus = {"kind": "chirp", "start_ms": 1, "stop_ms": 35, "amplitude": 10.0, "unit": "nA"}
    dt, longest = 0.02, 2.0
    v = response(library, kind, stimulus, dt, 40, longest, engine, **fixed)
    current = passive(library, kind, stimulus, dt, 40, longest).stimulus()
    mean = np.concatenate([[0], (current[1:] + current[:-1]) / 2])
    expected = np.zeros_like(v)
    for rate, residue in zip(rates, residues.T, strict=True):
        kept = 1 / (1 + rate * dt)
        expected += residue[:, None] * lfilter([dt * kept], [1, -kept], mean)
    error = np.abs(v - expected).max() / np.abs(expected).max()
    print(f"{name} {engine}: up to {np.abs(v).max():.0f} mV, largest deviation {error:.1e} of it")
    assert error < 1e-4


@pytest.mark.parametrize("name", ["default", "long", "leaky stick"])
def test_time_constants(library, name):
    """Peeled from the decay after a step: the membrane's Rm Cm where it is uniform, and the first equalising one."""
    kind, theory, fixed = theory_of(name)
    (slow, fast, third), _ = theory.modes(3)
    if name != "leaky stick":
        assert 1 / slow == pytest.approx(1e-3 * fixed["cm"] / fixed["gl_soma"], rel=1e-9)
    dt = 0.01 / fast
    # on until settled; off from the middle on
    half = round(20 / slow / dt) * dt
    stimulus = {"kind": "step", "start_ms": 0, "stop_ms": half - dt / 2, "amplitude": 1e4, "unit": "nA"}
    v = response(library, kind, stimulus, dt, 2 * half, 2.0, **fixed)[0, round(half / dt) :]

    def rate(trace, start, stop):
        """Backward Euler divides by 1 + rate dt."""
        i, j = int(start / dt), int(stop / dt)
        return ((trace[i] / trace[j]) ** (1 / (j - i)) - 1) / dt

    # from where the second mode is gone; then without the first one, from where the third is gone
    gone = 16 / (fast - slow)
    peeled_slow = rate(v, gone, gone + 2 / slow)
    decay = (1 + peeled_slow * dt) ** -np.arange(len(v))
    rest = v - decay * (v[int(gone / dt)] / decay[int(gone / dt)])
    gone = 6 / (third - fast)
    peeled_fast = rate(rest, gone, gone + 1 / fast)
    print(f"{name}: tau {1 / peeled_slow:.6f}, theory {1 / slow:.6f} ms; {1 / peeled_fast:.6f}, {1 / fast:.6f} ms")
    assert peeled_slow == pytest.approx(slow, rel=1e-5)
    assert peeled_fast == pytest.approx(fast, rel=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_passive_response_converges_in_first_order_of_dt(library, engine):
    kind, theory, fixed = theory_of("sticks")
    rates, residues = theory.modes(60)
    errors = []
    for dt in (0.04, 0.02, 0.01):
        stimulus = {"kind": "step", "start_ms": 1.0, "stop_ms": 1e9, "amplitude": 10.0, "unit": "nA"}
        v = response(library, kind, stimulus, dt, 8, 3.0, engine, **fixed)
        after = np.maximum(np.arange(v.shape[1]) * dt - 1.0, 0)
        exact = 10 * (residues / rates) @ (1 - np.exp(-rates[:, None] * after))
        errors.append(np.abs(v - exact)[:, after > 0.19].max() / exact.max())
    ratios = np.divide(errors[:-1], errors[1:])
    print(f"{engine}: largest relative error {np.round(errors, 6)}, ratios {np.round(ratios, 2)}")
    assert errors[0] < 0.05
    assert np.all((ratios > 1.85) & (ratios < 2.15))


def nodal_impedances(cell, s, cm, leak):
    """Soma to every site of a built cell (MOhm): every half of a compartment is a cylinder, in the continuum.

    Args:
        cell: Of `CableCell.build`: lengths and diameters (um) and the tree are taken from it, nothing of its membrane.
        s: Laplace variable (1/ms).
        cm: Capacitance (uF/cm2) by region.
        leak: Conductance (S/cm2) by region.
    """
    numbers, rows, columns, entries = {}, [], [], []

    def number(section, place):
        """Of a place in halves of compartments; where a section starts is a place of its parent."""
        parent = section.parentseg()
        if parent is not None and place == (0 if section.orientation() == 0 else 2 * section.nseg):
            return number_of(parent)
        return numbers.setdefault((section, place), len(numbers))

    def number_of(segment):
        n, x = segment.sec.nseg, segment.x
        return number(segment.sec, 0 if x == 0 else 2 * n if x == 1 else 2 * int(x * n) + 1)

    for region, sections in cell.regions.items():
        g = leak[region] + s * 1e-3 * cm[region]
        for section in sections:
            half = 1e-4 * section.L / section.nseg / 2
            for i, segment in enumerate(section):
                diameter = 1e-4 * segment.diam
                electrotonic = half * np.sqrt(4 * section.Ra * g / diameter + 0j)
                semi_infinite = 1e6 * np.pi / 2 * np.sqrt(diameter**3 * g / section.Ra + 0j)
                own, mutual = semi_infinite / np.tanh(electrotonic), semi_infinite / np.sinh(electrotonic)
                ends = [number(section, 2 * i + k) for k in range(3)]
                for a, b in ((ends[0], ends[1]), (ends[1], ends[2])):
                    rows += [a, b, a, b]
                    columns += [a, b, b, a]
                    entries += [own, own, -mutual, -mutual]
    current = np.zeros(len(numbers), complex)
    current[number_of(cell.sites["soma"])] = 1
    matrix = coo_array((entries, (rows, columns)), shape=(len(numbers), len(numbers)))
    voltage = splu(matrix.tocsc()).solve(current)
    return voltage[[number_of(segment) for segment in cell.sites.values()]]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("frequency_Hz", [0, 40, 300])
def test_impedance_of_mainens_cell(library, engine, frequency_Hz):
    """Amplitude and phase at soma, axon and the tip of a dendrite: each part of the cell has its own membrane."""
    from neuroinverse.simulators.cable_cell import standing_cell

    dt, longest, c_m, rm = 0.05, 6.0, 0.6, 20000.0
    wave = {"start_ms": 0, "stop_ms": 1e9, "amplitude": 1.0, "unit": "nA"}
    if frequency_Hz:
        wave |= {"kind": "chirp", "ramp_ms": 0, "offset": 0, "amplitude_start": 1, "amplitude_per_ms": 0}
        wave |= {"frequency_start_Hz": frequency_Hz, "frequency_slope_Hz_per_ms": 0}
    else:
        wave |= {"kind": "step"}
    settings = (dt, 250, longest, engine)
    v = response(library, Mainen, wave, *settings, c_m=c_m, rm=rm)
    # the last 100 ms: whole periods; backward Euler has 1/z for the step before, and the current's ends are averaged
    omega = 2e-3 * np.pi * frequency_Hz
    before = np.exp(-1j * omega * dt)
    last = np.arange(v.shape[1])[-round(100 / dt) :]
    found = v[:, last].mean(axis=1) + 0j
    if frequency_Hz:
        # of the sine, exp(iwt)/i
        found = 2j * (v[:, last] * np.exp(-1j * omega * dt * last)).mean(axis=1)
    cell = standing_cell(passive(library, Mainen, wave, *settings))
    regions = dict.fromkeys(cell.regions)
    expected = (
        nodal_impedances(
            cell,
            (1 - before) / dt,
            dict.fromkeys(regions, c_m) | {"myelin": 0.04},
            dict.fromkeys(regions, 1 / rm) | {"nodes": 0.02},
        )
        * (1 + before)
        / 2
    )
    error = np.abs(found - expected) / np.abs(expected)
    print(f"{frequency_Hz} Hz {engine}: |Z| {np.abs(expected).round(3)} MOhm, phase ", end="")
    print(f"{np.degrees(np.angle(expected)).round(2)} deg at {list(cell.sites)}; relative errors {error}")
    assert error.max() < 3e-3


@pytest.fixture
def convergence(root):
    """benchmarks/cell_convergence.py, whose figures the docs show."""
    spec = importlib.util.spec_from_file_location("cell_convergence", root / "benchmarks" / "cell_convergence.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("cell", ["ball_and_stick", "ball_and_sticks", "mainen"])
def test_spike_times_converge_in_first_order_of_dt(library, convergence, cell):
    shifts, differences = convergence.by_time_step(library, cell)
    steps, finest = np.array(convergence.TIME_STEPS_MS), convergence.FINEST_MS
    # in units of what an error proportional to dt would leave against the finest step
    slopes = shifts / (steps - finest)
    print(f"{cell}: dt {steps} ms: spikes move by {np.round(shifts, 4)} ms, hyperpolarised voltage by ", end="")
    print(f"{np.round(differences, 4)} mV; shift over dt {np.round(slopes, 2)}")
    assert shifts[1] < 0.4
    assert slopes[0] / slopes[3] == pytest.approx(1, abs=0.35)
    assert slopes[2] / slopes[3] == pytest.approx(1, abs=0.07)
    assert np.all(np.diff(differences) < 0)


@pytest.mark.parametrize("cell", ["ball_and_stick", "ball_and_sticks"])
def test_spike_times_converge_in_second_order_of_compartments(library, convergence, cell):
    shifts, differences = convergence.by_length(library, cell)
    # of a stick of 210 um: as many compartments as `max_segment_um` asks for
    lengths = 210 / np.array([210 // longest + 1 for longest in convergence.LENGTHS_UM])
    finest = 210 / (210 // convergence.FINEST_UM + 1)
    slopes = np.divide(shifts, lengths**2 - finest**2)
    print(
        f"{cell}: compartments of {lengths} um: spikes move by {np.round(shifts, 6)} ms, hyperpolarised voltage by ",
        end="",
    )
    print(f"{np.round(differences, 5)} mV; shift over length² {slopes}")
    assert shifts[1] < 0.003
    if cell == "ball_and_stick":
        # the basal sticks have compartments of their own lengths
        assert slopes / slopes[3] == pytest.approx(1, abs=0.25)
    assert np.all(np.divide(shifts[:-1], shifts[1:]) > 2.3)


def test_mainens_cell_settles_as_compartments_get_shorter(library, convergence):
    """Its dendrites' diameters are means over compartments, so that the cell itself changes a little: no order."""
    shifts, differences = convergence.by_length(library, "mainen")
    print(f"compartments up to {convergence.LENGTHS_UM} um: spikes move by {np.round(shifts, 4)} ms, ", end="")
    print(f"hyperpolarised voltage by {np.round(differences, 5)} mV")
    assert np.all(np.diff(shifts) < 0)
    assert np.all(np.divide(differences[:-1], differences[1:]) > 2)
    assert shifts[2] < 0.3
