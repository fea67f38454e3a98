"""LFP kernels against the hybrid scheme cell by cell, LFPykit cell by cell, cable theory and the field of a dipole."""

import math

import numpy as np
import pytest
from direct_hybrid import cell_matrix, direct_lfp

from neuroinverse.errors import NeuroinverseError
from neuroinverse.simulators.lfp_cells import passive_cell
from neuroinverse.simulators.lfp_kernel import (
    alpha_current,
    binned,
    fine_kernels,
    kernel_settings,
    placement,
    population_kernels,
)
from neuroinverse.simulators.lfp_populations import contact_points, placed, potentials

# coarse in space and time: what holds exactly holds for any
COARSE = {"segment_um": 60, "dt_ms": 0.1, "length_ms": 60}


def the_cell(name="E", **changes):
    settings = kernel_settings(COARSE | changes, order=5)
    return settings["lfp"]["populations"][name]["cell"], settings["lfp"]


def sections_in_neuron():
    from neuron import h

    return len(list(h.allsec()))


@pytest.fixture(scope="module")
def network():
    """A network small enough to simulate every cell, its placement, spikes and fine kernels."""
    settings = kernel_settings(COARSE, order=3, connection_probability=0.4)
    rng = np.random.default_rng(7)
    trains = {name: [np.sort(rng.uniform(0, 30, 2)) for _ in range(n)] for name, n in (("E", 12), ("I", 3))}
    return settings, placement(settings, 5), trains, fine_kernels(settings, 5)


def on_grid(trains, dt):
    return {name: [np.round(t / dt) * dt for t in some] for name, some in trains.items()}


def convolved(fine, trains, dt, J, g):
    total = np.zeros_like(fine[0])
    for x, (name, weight) in enumerate((("E", J), ("I", -g * J))):
        for train in trains[name]:
            for t in train:
                k = round(t / dt)
                total[k:] += weight * fine[x, : len(total) - k]
    return total


def test_kernel_is_the_hybrid_scheme_cell_by_cell(network):
    settings, places, trains, fine = network
    dt = settings["lfp"]["dt_ms"]
    trains = on_grid(trains, dt)
    # before NEURON's alpha synapses end, at 10 time constants
    direct = direct_lfp(settings, places, contact_points(settings["lfp"]), trains, 51, J=0.2, g=4.5)
    ours = convolved(fine, trains, dt, 0.2, 4.5)[:511]
    error = np.abs(ours - direct).max() / np.abs(direct).max()
    print(f"largest error {error:.1e} of the largest LFP, {1e3 * np.abs(direct).max():.4f} uV")
    assert direct.shape == ours.shape == (511, 6)
    assert error < 1e-6
    # the comparison would see a tenth of a per cent, and the sign of inhibition
    assert np.abs(convolved(fine, trains, dt, 0.2, 4.495)[:511] - direct).max() > 1e-4 * np.abs(direct).max()


def test_placed_synapses_scatter_about_the_kernel_as_samples_do(network):
    """Drawn presynaptic neurons and segments: the mean of k draws comes nearer as 1/√k."""
    settings, places, trains, fine = network
    dt = settings["lfp"]["dt_ms"]
    trains = on_grid(trains, dt)
    points = contact_points(settings["lfp"])
    rng = np.random.default_rng(11)
    ours = convolved(fine, trains, dt, 0.2, 4.5)
    errors = []
    # 0.4 of 12 and 3 neurons are no whole numbers: ten times the synapses of a tenth the weight
    for times in (10, 160):
        degrees = {"E": round(4.8 * times), "I": round(1.2 * times)}
        drawn = direct_lfp(settings, places, points, trains, 60, rng, degrees, J=0.2 / times, g=4.5)
        errors.append(np.sqrt(np.mean((drawn - ours) ** 2) / np.mean(ours**2)))
    print(f"relative RMS error {errors[0]:.3f} with 10 times the synapses, {errors[1]:.3f} with 160 times")
    assert errors[0] < 0.6
    assert 2 < errors[0] / errors[1] < 8


def test_bins_are_the_mean_over_spikes_within_a_bin():
    """A neuron that fires at every phase of a bin, against the kernel in bins."""
    rng = np.random.default_rng(3)
    dt = 0.01
    t = np.arange(5001) * dt
    fine = np.stack([(t / tau) * np.exp(-t / tau) for tau in rng.uniform(2, 5, 6)], axis=1)[None]
    kernel = binned(fine, dt)
    at = (np.arange(10000) + 0.5) * dt / 2
    later = np.zeros((50, 6))
    for phase in (np.arange(200) + 0.5) / 200:
        response = np.stack([np.interp(at - phase, t, fine[0, :, c], left=0) for c in range(6)], axis=1)
        later += response.reshape(50, -1, 6).mean(axis=1) / 200
    assert kernel.shape == (1, 50, 6)
    np.testing.assert_allclose(kernel[0], later, atol=2e-5 * later.max())
    assert (kernel[0, 0] > 0).all()


def test_kernel_converges_in_the_first_order_of_the_step():
    def values(dt):
        return population_kernels(kernel_settings(COARSE | {"dt_ms": dt}, order=3), 5).values

    fine = values(0.0125)
    errors = [np.abs(values(dt) - fine).max() / np.abs(fine).max() for dt in (0.1, 0.05, 0.025)]
    print(f"error at dt 0.1, 0.05, 0.025 ms: {np.round(errors, 5)} of the largest value")
    # (0.1 − 0.0125) : (0.05 − 0.0125) : (0.025 − 0.0125)
    assert errors[0] / errors[1] == pytest.approx(7 / 3, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(3, rel=0.1)
    assert errors[2] < 3e-3


def test_currents_add_up_to_zero():
    cell, lfp = the_cell()
    with passive_cell(cell, lfp) as built:
        for j in (0, 5, len(built) - 1):
            currents = built.currents({j: alpha_current(lfp)}, lfp["dt_ms"])
            largest = np.abs(currents).max()
            assert largest > 1e-3
            assert np.abs(currents.sum(axis=1)).max() < 1e-12 * largest
            # the synapse is a sink, the rest of the cell the source
            assert currents[:, j].min() == -largest
            assert np.delete(currents, j, axis=1).min() > -1e-3 * largest


def test_one_compartment_has_no_current_to_the_outside():
    cell = {"soma": {"length_um": 20.0, "diameter_um": 20.0}, "sticks": []}
    with passive_cell(cell, the_cell()[1]) as built:
        assert len(built) == 1
        assert built.area[0] == pytest.approx(math.pi * 400)
        currents = built.currents({0: alpha_current(the_cell()[1])}, 0.1)
    assert np.abs(currents).max() < 1e-15


def test_transfer_of_charge_is_that_of_the_cable():
    """What leaves each segment in all after a charge into the soma: the steady solution of soma and sealed cable.

    Rall W (1977) Handbook of Physiology: V = V0 cosh((L − x)/λ)/cosh(L/λ), input conductance G∞ tanh(L/λ).
    """
    length, diameter, soma = 600.0, 2.0, 15.0
    cell = {
        "soma": {"length_um": soma, "diameter_um": soma},
        "sticks": [{"section": "apical", "length_um": length, "diameter_um": diameter, "direction": [0.0, 0.0, 1.0]}],
    }
    lfp = the_cell(segment_um=10, dt_ms=0.05, length_ms=400)[1]
    r_m, r_a = lfp["r_m_Ohm_cm2"] * 1e8, lfp["R_a_Ohm_cm"] * 1e4  # Ohm um2, Ohm um
    constant = math.sqrt(diameter / 4 * r_m / r_a)
    infinite = math.pi / 2 * diameter**1.5 / math.sqrt(r_m * r_a)
    g_soma, g_stick = math.pi * soma**2 / r_m, infinite * math.tanh(length / constant)
    with passive_cell(cell, lfp) as built:
        current = alpha_current(lfp)
        left = built.currents({0: current}, lfp["dt_ms"]).sum(axis=0) / current.sum()
        x = np.abs(built.start[1:, 2] - built.start[1, 2]), np.abs(built.end[1:, 2] - built.start[1, 2])
    sinh = [np.sinh((length - at) / constant) for at in x]
    expected = (sinh[0] - sinh[1]) / math.sinh(length / constant) * g_stick / (g_soma + g_stick)
    print(f"λ {constant:.0f} um; the stick gets {expected.sum():.4f} of the charge, NEURON {left[1:].sum():.4f}")
    assert left[0] == pytest.approx(g_soma / (g_soma + g_stick) - 1, rel=2e-4)
    np.testing.assert_allclose(left[1:], expected, rtol=5e-4)


@pytest.mark.parametrize("name", ["E", "I"])
def test_matrix_is_lfpykits_own(name):
    """All cells at once against RecExtElectrode for each, somata at and near contacts among them."""
    settings = kernel_settings(COARSE, order=20)
    lfp = settings["lfp"]
    positions, rotations = placement(settings, 1)[name]
    positions = positions.copy()
    positions[:3] = [[0, 0, -400], [0.5, 0, -399], [4, 7, -404]]
    points = contact_points(lfp)
    with passive_cell(lfp["populations"][name]["cell"], lfp) as built:
        ours = [
            potentials(start, end, built.diameter, points, lfp["conductivity_S_per_m"])
            for _, start, end in placed(built, positions, rotations)
        ]
        theirs = [cell_matrix(built, p, r, points, 0.3)[0] for p, r in zip(positions, rotations, strict=True)]
    np.testing.assert_allclose(np.concatenate(ours), theirs, rtol=1e-10)


def test_contacts_average_as_lfpykit_does():
    """LFPykit's mean over random points of a contact, at the same points, and evenly placed ones instead of random."""
    from lfpykit import CellGeometry, RecExtElectrode

    cell, lfp = the_cell()
    with passive_cell(cell, lfp) as built:
        # a dendrite passes a contact at 2 um
        position = np.array([2.0, 0.0, -400.0]) - (built.start[2] + built.end[2]) / 2
        ends = built.start + position, built.end + position
        x, y, z = (np.stack([a[:, i] for a in ends], axis=1) for i in range(3))
        electrode = RecExtElectrode(
            CellGeometry(x, y, z, built.diameter), sigma=0.3, x=[0, 0], y=[0, 0], z=[-400.0, -300.0],
            N=[[1, 0, 0]] * 2, r=5, n=2000, method="root_as_point",
        )  # fmt: skip
        # LFPykit draws the points by numpy's own global generator
        state = np.random.get_state()
        np.random.seed(0)
        theirs = electrode.get_transformation_matrix()
        np.random.set_state(state)
        same = potentials(ends[0][None], ends[1][None], built.diameter, electrode.recorded_points, 0.3)[0]
        np.testing.assert_allclose(same, theirs, rtol=1e-10)
        points = contact_points(lfp | {"contacts_um": [[0, 0, -400], [0, 0, -300]], "contact_points": 2000})
        even = potentials(ends[0][None], ends[1][None], built.diameter, points, 0.3)[0]
    assert np.abs(electrode.recorded_points[..., 0]).max() < 1e-9
    np.testing.assert_allclose(even, theirs, rtol=0.01)
    middle = potentials(ends[0][None], ends[1][None], built.diameter, points.mean(axis=1, keepdims=True), 0.3)[0]
    assert np.abs(middle / theirs - 1).max() > 0.03


def test_far_away_the_field_is_a_dipoles():
    cell, lfp = the_cell()
    far = np.array([[[0.0, 0, 3e4]], [[2e4, 1e4, -2e4]]])
    with passive_cell(cell, lfp) as built:
        currents = built.currents({len(built) - 1: alpha_current(lfp)}, lfp["dt_ms"])
        matrix = potentials(built.start[None], built.end[None], built.diameter, far, 0.3)[0]
        moment = currents @ ((built.start + built.end) / 2)
    distance = np.linalg.norm(far[:, 0], axis=1)
    dipole = moment @ far[:, 0].T / (4 * math.pi * 0.3 * distance**3)
    field = currents @ matrix.T
    assert np.abs(moment[:, 2]).max() > 0.1
    np.testing.assert_allclose(field, dipole, atol=0.03 * np.abs(dipole).max(axis=0).min())


def test_fewer_cells_stand_for_all():
    full = kernel_settings(COARSE, order=4)
    double = kernel_settings(COARSE | {"populations": {"E": {"cells": 16}, "I": {"cells": 4}}}, order=8)
    np.testing.assert_allclose(fine_kernels(double, 9), 2 * fine_kernels(full, 9), rtol=1e-9)


def test_same_seed_same_kernel_other_seed_another():
    settings = kernel_settings(COARSE, order=4)
    first, again, other = (population_kernels(settings, seed).values for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01 * np.abs(first).max()


SWC = """# soma as three points, one bent apical branch, two basal ones, an axon
1 1 0 0 0 10 -1
2 1 0 -10 0 10 1
3 1 0 10 0 10 1
4 4 0 10 0 1.5 1
5 4 0 210 0 1.5 4
6 4 0 400 0 1.5 5
7 3 -100 -100 -90 1.5 1
8 3 100 -100 90 1.5 1
9 2 0 -10 0 0.5 1
10 2 0 -300 0 0.5 9
"""


@pytest.fixture
def swc(tmp_path):
    path = tmp_path / "cell.swc"
    path.write_text(SWC)
    return path


def test_swc_file_makes_the_cell_it_describes(swc):
    before = sections_in_neuron()
    _, lfp = the_cell()
    with passive_cell({"swc": str(swc), "up": "y"}, lfp) as built:
        assert sections_in_neuron() == before + 4
        area = {kind: built.area[built.section == kind].sum() for kind in np.unique(built.section)}
        top = built.end[built.section == "apical"][-1]
        middle = (built.start[0] + built.end[0]) / 2
        lowest = built.end[built.section == "basal", 2].min()
        ends = built.end[built.section == "basal"]
    assert sections_in_neuron() == before
    assert set(area) == {"soma", "apical", "basal"}
    assert area["soma"] == pytest.approx(math.pi * 20 * 20, rel=1e-6)
    assert area["apical"] == pytest.approx(math.pi * 3 * 390, rel=1e-6)
    assert area["basal"] == pytest.approx(math.pi * 3 * 2 * math.sqrt(2 * 100**2 + 90**2), rel=1e-6)
    np.testing.assert_allclose(middle, 0, atol=1e-9)
    np.testing.assert_allclose(top, [0, 0, 400], atol=1e-6)
    # y up: the file's (x, y, z) become (z, x, y)
    assert lowest == pytest.approx(-100)
    assert any(np.allclose(e, [-90, -100, -100], atol=1e-6) for e in ends)


def test_swc_cells_give_a_kernel(swc):
    both = {name: {"cell": {"swc": str(swc)}} for name in "EI"}
    before = sections_in_neuron()
    kernel = population_kernels(kernel_settings(COARSE | {"populations": both}, order=5), 1)
    assert kernel.values.shape == (2, 60, 6)
    assert np.isfinite(kernel.values).all() and np.abs(kernel.values).max() > 1e-9
    assert sections_in_neuron() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1 1 0 0 0 5 -1\n1 1 0 0 5 5 1\n2 3 0 0 100 1 1\n", ", line 2: the id 1 stands in line 1"),
        ("1 3 0 0 0 5 -1\n2 3 0 0 5 1 1\n3 3 0 0 100 1 2\n", " has no soma"),
        ("1 1 0 0 0 5 -1\n2 3 0 0 5 1 1\n3 3 0 0 5 1 2\n4 3 0 0 5 1 3\n", ", lines 2, 3: a branch without length"),
        # out and back within a segment
        ("1 1 0 0 0 5 -1\n2 3 0 0 5 1 1\n3 3 0 0 9 1 2\n4 3 0 0 5 1 3\n", ": 1 of 2 segments have no length"),
    ],
)
def test_a_file_that_neuron_cannot_use_is_named(tmp_path, content, words):
    path = tmp_path / "broken.swc"
    path.write_text(content)
    before = sections_in_neuron()
    with (
        pytest.raises(NeuroinverseError, match=rf"broken\.swc{words}.* give another"),
        passive_cell({"swc": str(path), "up": "y"}, the_cell()[1]),
    ):
        pass
    assert sections_in_neuron() == before


def test_neuron_is_left_as_it_was():
    from neuron import h

    cell, lfp = the_cell()
    before, dt, fast = sections_in_neuron(), h.dt, h.CVode().use_fast_imem()
    with passive_cell(cell, lfp) as built:
        built.currents({0: alpha_current(lfp)}, 0.1)
        assert sections_in_neuron() == before + 6
    with pytest.raises(RuntimeError, match="stop"), passive_cell(cell, lfp):
        raise RuntimeError("stop")
    assert (sections_in_neuron(), h.dt, h.CVode().use_fast_imem()) == (before, dt, fast)


def test_a_cell_outside_all_layers_is_refused():
    high = {"populations": {"I": {"soma_z_um": [400, 500]}}}
    with pytest.raises(NeuroinverseError, match=r"no membrane in any layer.*Change the layers, soma_z_um or the cell"):
        population_kernels(kernel_settings(COARSE | high, order=3), 1)
