import json
import subprocess
import sys

import numpy as np
import pytest

from neuroinverse.errors import ConfigError, NeuroinverseError
from neuroinverse.provenance import canonical
from neuroinverse.simulators.lfp_kernel import Kernel, alpha_current, binned, read_kernel, write_kernel
from neuroinverse.simulators.lfp_populations import contact_points, place, rotations, synapse_shares
from neuroinverse.simulators.lfp_settings import (
    DEFAULTS,
    check_lfp,
    complete,
    kernel_files,
    kernel_settings,
    n_contacts,
)
from neuroinverse.stages import compute_kernel

SOMA_ONLY = {"soma": {"length_um": 20, "diameter_um": 20}}


def populations(**changes):
    return {"populations": {"E": changes}}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"conductivity": 0.3}, ["lfp: unknown key 'conductivity'", "conductivity_S_per_m"]),
        ({"conductivity_S_per_m": 0}, ["lfp.conductivity_S_per_m is 0", "positive"]),
        ({"c_m_uF_per_cm2": "1"}, ["lfp.c_m_uF_per_cm2 is '1'"]),
        ({"delay_ms": -1}, ["lfp.delay_ms is -1", "at least 0"]),
        ({"E_pas_mV": True}, ["lfp.E_pas_mV is True"]),
        ({"tau_syn_ms": float("nan")}, ["lfp.tau_syn_ms is nan"]),
        ({"dt_ms": 0.3}, ["lfp.dt_ms is 0.3", "whole number of steps"]),
        ({"dt_ms": 2}, ["lfp.dt_ms is 2"]),
        ({"length_ms": 100.5}, ["lfp.length_ms is 100.5", "whole milliseconds"]),
        ({"length_ms": 20}, ["lfp.length_ms is 20", "26.5"]),
        ({"contacts_um": []}, ["lfp.contacts_um is []", "[x, y, z]"]),
        ({"contacts_um": [[0, 0]]}, ["lfp.contacts_um[0] is [0, 0]", "3 numbers"]),
        ({"contact_normal": [0, 0, 0]}, ["lfp.contact_normal", "not all"]),
        ({"contact_points": 0}, ["lfp.contact_points is 0", "at least 1"]),
        ({"populations": {"X": {}}}, ["lfp.populations: unknown key 'X'", "E, I"]),
        (populations(cells=1.5), ["lfp.populations.E.cells is 1.5"]),
        (populations(soma_z_um=[-350, -450]), ["lfp.populations.E.soma_z_um", "lower end first"]),
        (populations(rotation="x"), ["lfp.populations.E.rotation is 'x'", "none, z, all"]),
        (populations(cell={"soma": {"length_um": 0}}), ["lfp.populations.E.cell.soma.length_um is 0"]),
        (populations(cell={"sticks": [{"section": "basal"}]}), ["cell.sticks[0]", "length_um, diameter_um, direction"]),
        (
            populations(
                cell={"sticks": [{"section": "axon", "length_um": 1, "diameter_um": 1, "direction": [0, 0, 1]}]}
            ),
            ["cell.sticks[0].section is 'axon'", "basal or apical"],
        ),
        (populations(cell={"swc": "nowhere.swc"}), ["lfp.populations.E.cell.swc: nowhere.swc does not exist"]),
        (populations(cell={"swc": "x.swc", "up": "w"}), ["lfp.populations.E.cell.up is 'w'"]),
        (populations(synapses={"E": []}), ["lfp.populations.E.synapses.E is []"]),
        (
            populations(synapses={"I": [{"share": 0.5, "z_um": [-500, 0], "sections": ["soma"]}]}),
            ["lfp.populations.E.synapses.I", "add up to 0.5", "expected 1"],
        ),
        (
            populations(synapses={"I": [{"share": 1, "z_um": [-500, 0], "sections": ["dend"]}]}),
            ["synapses.I[0].sections is ['dend']", "soma, basal, apical"],
        ),
    ],
)
def test_wrong_settings_name_the_key_and_what_was_expected(settings, words):
    with pytest.raises(ConfigError) as caught:
        check_lfp(settings)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1 1 0 0 0 5 -1\n2 3 0 0 9 one 1\n", ["line 2", "seven numbers"]),
        ("1 1 0 0 0 5\n", ["line 1", "seven numbers"]),
        ("1 1 0 0 0 5 -1\n2 3 0 0 9 1 7\n", ["line 2", "parent 7", "no point of the file"]),
        ("1 1 0 0 0 5 -1\n1 3 0 0 9 1 1\n", ["line 2", "id 1 stands in line 1"]),
        ("1 1 0 0 0 0 -1\n", ["line 1", "radius is 0"]),
        ("# nothing\n", ["no point"]),
        ("1 3 0 0 0 5 -1\n", ["no soma"]),
    ],
)
def test_a_wrong_swc_file_names_the_line_and_the_cure(tmp_path, content, words):
    path = tmp_path / "cell.swc"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        check_lfp(populations(cell={"swc": str(path)}))
    for word in (str(path), "another", *words):
        assert word in str(caught.value)


def test_binary_instead_of_swc_is_refused(tmp_path):
    path = tmp_path / "cell.swc"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ConfigError, match=r"cell\.swc is written in UTF-16"):
        check_lfp(populations(cell={"swc": str(path)}))


def test_swc_files_are_named_for_the_specification(tmp_path):
    path = tmp_path / "cell.swc"
    path.write_text("# a comment\n1 1 0 0 0 5 -1\n2 3 0 0 9.5 1e0 1 # another\n")
    settings = {"populations": {n: {"cell": {"swc": str(path), "up": "z"}} for n in "EI"}}
    check_lfp(settings)
    assert kernel_files(settings) == kernel_files(kernel_settings(settings)["lfp"]) == (path,)
    assert kernel_files({}) == ()


def test_defaults_spelled_out_give_the_same_text():
    assert canonical(kernel_settings({})) == canonical(kernel_settings(complete({})))
    assert canonical(kernel_settings({})) == canonical(kernel_settings({"contact_radius_um": 5, "delay_ms": 1.5}))
    contacts = [[0, 0, -100 * i] for i in range(6)]
    assert canonical(kernel_settings({"contacts_um": contacts})) == canonical(kernel_settings({}))
    assert canonical(kernel_settings({"delay_ms": 2})) != canonical(kernel_settings({}))


def test_the_defaults_are_never_changed():
    before = json.dumps(DEFAULTS)
    kernel_settings({"populations": {"E": {"cells": 3}}})["lfp"]["populations"]["I"]["synapses"]["E"].clear()
    assert json.dumps(DEFAULTS) == before


def test_all_neurons_have_a_cell_unless_fewer_are_asked_for():
    def cells(settings, order):
        return [p["cells"] for p in kernel_settings(settings, order)["lfp"]["populations"].values()]

    assert cells({}, 2500) == [10000, 2500]
    assert cells({"populations": {"E": {"cells": 500}}}, 2500) == [500, 2500]
    assert cells({"populations": {"E": {"cells": 500}}}, 50) == [200, 50]


def test_contacts_are_counted():
    assert n_contacts({}) == 6
    assert n_contacts({"contacts_um": [[0, 0, 0], [0, 0, 50]]}) == 2


def test_checking_imports_nothing_heavy():
    code = (
        "import sys; from neuroinverse.simulators.lfp_settings import check_lfp, kernel_settings, n_contacts; "
        "check_lfp({}); n_contacts({}); kernel_settings({}); "
        "print([m for m in ('numpy', 'neuron', 'lfpykit', 'h5py', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_reading_kernels_imports_neither_neuron_nor_lfpykit():
    code = (
        "import sys; from neuroinverse.simulators.lfp_kernel import read_kernel; "
        "print([m for m in ('neuron', 'lfpykit', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("tau", [2.0, 5.0])
def test_charge_of_the_synaptic_current(tau):
    lfp = complete({"tau_syn_ms": tau})
    current = alpha_current(lfp)
    assert len(current) == 8000
    # nA · ms = pC; a weight of 1 mV
    assert current.sum() * lfp["dt_ms"] == pytest.approx(0.1, rel=1e-5)
    assert np.argmax(current) * lfp["dt_ms"] == pytest.approx(lfp["delay_ms"] + tau, abs=lfp["dt_ms"])
    assert not current[: round(1.5 / lfp["dt_ms"])].any()
    if tau == 5:
        # the published amplitude
        assert current.max() == pytest.approx(7.357e-3, rel=1e-4)


def test_somata_fill_the_cylinder_and_keep_their_distance():
    crowded = {"radius_um": 20, "min_distance_um": 3, "populations": {"I": {"soma_z_um": [-100, -50]}}}
    lfp = kernel_settings(crowded, order=50)["lfp"]
    places = place(lfp, np.random.default_rng(0))
    assert [p.shape for p in places.values()] == [(200, 3), (50, 3)]
    everything = np.concatenate(list(places.values()))
    distance = np.linalg.norm(everything[:, None] - everything, axis=-1)[np.triu_indices(250, 1)]
    assert 3 < distance.min() < 5
    radius = np.hypot(everything[:, 0], everything[:, 1])
    assert radius.max() < 20
    # uniform over the disc: half of the cells within 1/√2 of the radius
    assert np.mean(radius < 20 / np.sqrt(2)) == pytest.approx(0.5, abs=0.1)
    for name, (low, high) in (("E", (-450, -350)), ("I", (-100, -50))):
        z = places[name][:, 2]
        assert low <= z.min() < low + 0.1 * (high - low) and high - 0.1 * (high - low) < z.max() <= high
    free = place(kernel_settings(crowded | {"min_distance_um": 0}, order=50)["lfp"], np.random.default_rng(0))
    assert np.abs(free["E"] - places["E"]).max() > 0


def test_cells_that_do_not_fit_are_refused():
    lfp = kernel_settings({"radius_um": 20, "min_distance_um": 30}, order=50)["lfp"]
    with pytest.raises(NeuroinverseError, match="250 cells do not fit with min_distance_um 30; expected a smaller"):
        place(lfp, np.random.default_rng(0))


def test_rotations_are_about_the_axes_asked_for():
    rng = np.random.default_rng(1)
    for kind in ("none", "z", "all"):
        turns = rotations(kind, 2000, rng)
        np.testing.assert_allclose(
            turns @ turns.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turns.shape), atol=1e-12
        )
        np.testing.assert_allclose(np.linalg.det(turns), 1)
        up, side = turns[:, 2, 2], turns[:, 0, 0]
        if kind == "all":
            # uniform on the sphere: each coordinate is uniform in [−1, 1]
            assert np.mean(up**2) == pytest.approx(1 / 3, abs=0.03)
        else:
            np.testing.assert_allclose(up, 1)
        assert np.mean(side) == pytest.approx(1 if kind == "none" else 0, abs=0.05)


def test_contact_points_cover_the_disc():
    lfp = complete({"contacts_um": [[1, 2, 3], [0, 0, 0]], "contact_normal": [1, 1, 0], "contact_points": 50})
    points = contact_points(lfp)
    assert points.shape == (2, 50, 3)
    offset = points[0] - [1, 2, 3]
    np.testing.assert_allclose(offset, points[1], atol=1e-12)
    np.testing.assert_allclose(offset @ [1, 1, 0], 0, atol=1e-12)
    radius = np.linalg.norm(offset, axis=1)
    assert radius.max() < 5
    # mean square distance from the middle of a disc: half its radius squared
    assert np.mean(radius**2) == pytest.approx(12.5)
    np.testing.assert_allclose(offset.mean(axis=0), 0, atol=0.1)
    np.testing.assert_array_equal(contact_points(complete({"contact_radius_um": 0}))[:, 0], DEFAULTS["contacts_um"])


AREA, SECTION = np.array([3.0, 1.0, 1.0, 2.0]), np.array(["soma", "basal", "apical", "apical"])


def test_synapses_go_by_area_within_their_layers():
    z = np.array([[-400.0, -350.0, -250.0, -100.0]])
    layers = [
        {"share": 0.5, "z_um": [-300, 0], "sections": ["basal", "apical"]},
        {"share": 0.5, "z_um": [-500, -300], "sections": ["soma", "basal"]},
    ]
    shares = synapse_shares(z, AREA, SECTION, layers)
    np.testing.assert_allclose(shares, [[0.5 * 3 / 4, 0.5 / 4, 0.5 / 3, 0.5 * 2 / 3]])
    layers[1]["sections"] = ["basal", "apical"]
    np.testing.assert_allclose(synapse_shares(z, AREA, SECTION, layers), [[0, 0.5, 0.5 / 3, 0.5 * 2 / 3]])


def test_the_share_of_a_layer_without_membrane_goes_to_the_others():
    z = np.array([[-400.0, -350.0, -250.0, -100.0], [-900.0, -850.0, -800.0, -650.0]])
    layers = [
        {"share": 0.75, "z_um": [-300, 0], "sections": ["apical"]},
        {"share": 0.25, "z_um": [-1000, -300], "sections": ["apical"]},
    ]
    np.testing.assert_allclose(synapse_shares(z, AREA, SECTION, layers), [[0, 0, 1 / 3, 2 / 3]] * 2)
    with pytest.raises(NeuroinverseError, match=r"1 of 2 cells have no membrane in any layer.*z from -900 to -650 um"):
        synapse_shares(z, AREA, SECTION, layers[:1])


def test_bins_keep_the_integral():
    fine = np.random.default_rng(2).normal(size=(2, 2001, 3))
    fine[:, 1950:] = 0
    kernel = binned(fine, 0.05)
    assert kernel.shape == (2, 100, 3)
    # lag 0: spikes of a bin act within it only where they come before; the other half would be acausal
    ramp = np.minimum(np.arange(2001) * 0.05, 1)
    whole = 0.05 * fine.sum(axis=1)
    before = 0.05 * ((1 - ramp)[None, :, None] * fine).sum(axis=1)
    np.testing.assert_allclose(kernel.sum(axis=1), whole, atol=1e-12)
    np.testing.assert_allclose(kernel[:, 0], before, atol=1e-12)


@pytest.fixture
def kernel():
    values = np.random.default_rng(4).normal(size=(2, 30, 3))
    return Kernel(values, np.zeros((3, 3)))


def test_lfp_is_the_causal_sum_of_convolutions(kernel):
    counts = np.random.default_rng(5).poisson(20, (100, 2))
    J, g = 0.3, 4.5
    expected = np.stack(
        [
            J * np.convolve(counts[:, 0], kernel.values[0, :, c])[:100]
            - g * J * np.convolve(counts[:, 1], kernel.values[1, :, c])[:100]
            for c in range(3)
        ],
        axis=1,
    )
    np.testing.assert_allclose(kernel.lfp(counts, J, g), expected, rtol=1e-10, atol=1e-10)
    single = np.zeros((100, 2))
    single[40, 1] = 1
    lfp = kernel.lfp(single, J, g)
    assert np.abs(lfp[:40]).max() < 1e-12
    np.testing.assert_allclose(lfp[40:70], -g * J * kernel.values[1], atol=1e-12)
    assert np.abs(lfp[70:]).max() < 1e-12
    # shorter than the kernel
    np.testing.assert_allclose(kernel.lfp(counts[:10], J, g), expected[:10], rtol=1e-10, atol=1e-10)


THREE = {"contacts_um": [[0, 0, 0], [0, 0, -50], [0, 0, -100]]}


@pytest.fixture
def written(tmp_path, kernel):
    path = tmp_path / "kernel.h5"
    settings = kernel_settings(THREE, order=40)
    spec = {"version": 1, "settings": settings, "seed": 7, "files": {}}
    write_kernel(path, kernel, spec)
    return path, settings


def test_a_written_kernel_is_read_back(written, kernel):
    path, settings = written
    found = read_kernel(path, settings)
    np.testing.assert_array_equal(found.values, kernel.values)
    np.testing.assert_array_equal(found.contacts_um, THREE["contacts_um"])
    assert [p.name for p in path.parent.iterdir()] == ["kernel.h5"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            (THREE | {"contacts_um": [[0, 0, 0], [0, 0, -50], [0, 0, -99]]}, 40),
            ["settings.lfp.contacts_um is", "-99.0"],
        ),
        (({}, 40), ["settings.lfp.contacts_um is", "-500.0"]),
        ((THREE | {"delay_ms": 2}, 40), ["settings.lfp.delay_ms is 1.5, expected 2.0"]),
        ((THREE | populations(cell=SOMA_ONLY), 40), ["settings.lfp.populations.E.cell.sticks is"]),
        ((THREE, 41), ["settings.lfp.populations.E.cells is 160, expected 164"]),
        ((THREE, 40, 0.2), ["settings.connection_probability is 0.1, expected 0.2"]),
    ],
)
def test_a_kernel_made_for_something_else_is_refused(written, settings, words):
    path, _ = written
    with pytest.raises(NeuroinverseError) as caught:
        read_kernel(path, kernel_settings(*settings))
    for word in (str(path), "made for something else", "Remove the file and run the same target again", *words):
        assert word in str(caught.value)


def test_a_kernel_of_another_morphology_is_refused(tmp_path, kernel):
    swc = tmp_path / "cell.swc"
    swc.write_text("1 1 0 0 0 5 -1\n2 3 0 0 50 1 1\n")
    settings = kernel_settings(THREE | populations(cell={"swc": str(swc)}), order=40)
    write_kernel(tmp_path / "kernel.h5", kernel, {"settings": settings, "seed": 7, "files": {str(swc): "0" * 64}})
    with pytest.raises(NeuroinverseError, match=r"made for something else: SHA-256\..*cell\.swc is '0000"):
        read_kernel(tmp_path / "kernel.h5", settings)


def test_a_damaged_kernel_is_refused(written, tmp_path):
    path, settings = written
    whole = path.read_bytes()
    place = whole.index(read_kernel(path, settings).values[0, 3].tobytes())
    (tmp_path / "altered.h5").write_bytes(whole[: place + 5] + bytes([whole[place + 5] ^ 4]) + whole[place + 6 :])
    (tmp_path / "short.h5").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.h5").write_bytes(b"")
    for name in ("altered", "short", "empty"):
        with pytest.raises(NeuroinverseError, match=rf"{name}\.h5: .*altered.* Remove the file and run the same"):
            read_kernel(tmp_path / f"{name}.h5", settings)
    with pytest.raises(NeuroinverseError, match=r"none\.h5: no LFP kernel there; snakemake makes"):
        read_kernel(tmp_path / "none.h5", settings)
    with pytest.raises(NeuroinverseError, match="no LFP kernel there"):
        read_kernel(None, settings)


def test_the_stage_writes_what_its_specification_says(tmp_path):
    lfp = {"segment_um": 100, "dt_ms": 0.25, "length_ms": 40, "contact_points": 2} | THREE
    spec = {"version": 1, "settings": kernel_settings(lfp, order=3), "seed": 1, "files": {}}
    compute_kernel.run(json.loads(canonical(spec)), tmp_path / "kernel.h5")
    kernel = read_kernel(tmp_path / "kernel.h5", spec["settings"])
    assert kernel.values.shape == (2, 40, 3)
    assert np.isfinite(kernel.values).all() and np.abs(kernel.values).max() > 0
