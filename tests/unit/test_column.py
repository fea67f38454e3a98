"""The column as numbers: names, counts, drives, and what its simulators refuse before NEURON is there."""

import subprocess
import sys

import numpy as np
import pytest

from neuroinverse.errors import ConfigError
from neuroinverse.simulators import column as col
from neuroinverse.simulators.hnn_cell import HnnCell
from neuroinverse.simulators.hnn_column import HnnColumn

PROTOCOL = {"dt_ms": 0.5, "duration_ms": 100}
DRIVE = {"target": "L5_pyramidal", "location": "distal", "receptors": ["ampa"], "rate_Hz": 10, "weight_uS": 0.01}


def two_drives(n=200, rate_Hz=40.0):
    """Cells without projections: one drive on two channels, one on another type."""
    cells = {name: col.cell_type(name, n) for name in ("L5_pyramidal", "L5_basket")}
    drives = (
        col.Drive("a", "L5_pyramidal", ("proximal_ampa", "distal_ampa"), rate_Hz, 0.25),
        col.Drive("b", "L5_basket", ("soma_ampa",), rate_Hz, 0.5),
    )
    return col.Column(cells, (), drives, 0.0)


def test_names_of_projections_say_what_they_join():
    longer = {short: name for name, short in col.SHORT.items()}
    assert len(set(col.PROJECTIONS)) == 16
    for name in col.PROJECTIONS:
        source, target, channel = name.split("_", 2)
        assert source in longer
        assert channel in col.LOCATION_CHANNELS[longer[target]]
        assert ("gaba" in channel) == source.endswith("i")


def test_channels_and_outputs_of_cells():
    assert {name: len(col.section_channels(name)) for name in col.SHORT} == {
        "L2_pyramidal": 30,
        "L2_basket": 3,
        "L5_pyramidal": 34,
        "L5_basket": 3,
    }
    assert len(col.cell_type("L5_pyramidal").outputs) == 10 and col.cell_type("L5_pyramidal").outputs[-1] == "dipole"
    assert col.cell_type("L2_basket", 7) == col.CellType("L2_basket", 7, ("soma_ampa", "soma_gabaa"), ("soma",))


@pytest.mark.parametrize(
    ("mesh", "pyramidal", "basket"), [((10, 5), 50, 18), ((7, 7), 49, 18), ((3, 3), 9, 3), ((1, 1), 1, 1)]
)
def test_counts_of_the_published_meshes(mesh, pyramidal, basket):
    counts = col.cell_counts(mesh)
    assert counts["L2_pyramidal"] == counts["L5_pyramidal"] == pyramidal
    assert counts["L2_basket"] == counts["L5_basket"] == basket


def test_events_of_a_drive():
    inputs = col.drive_inputs(two_drives(), 2000, 0.5, 7)
    pyramidal, basket = inputs["L5_pyramidal"], inputs["L5_basket"]
    assert pyramidal.shape == (2000, 200, 6) and basket.shape == (2000, 200, 2) and pyramidal.dtype == np.float32
    np.testing.assert_array_equal(pyramidal[:, :, 0], pyramidal[:, :, 2])
    assert not pyramidal[:, :, [1, 3, 4, 5]].any() and not basket[:, :, 1].any()
    counts = pyramidal[:, :, 0] / 0.25
    np.testing.assert_array_equal(counts, counts.round())
    # 40 Hz over 1 s and 200 cells: 8000 expected, a standard deviation of 89
    assert abs(counts.sum() - 8000) < 400
    assert abs((basket[:, :, 0] / 0.5).sum() - 8000) < 400
    # trains of their own
    assert len(np.unique(counts, axis=1).T) == 200
    assert np.corrcoef(counts[:, 0], counts[:, 1])[0, 1] < 0.2
    assert np.corrcoef(counts[:, 0], basket[:, 0, 0])[0, 1] < 0.2


def test_events_come_from_the_seed_alone():
    column = two_drives()
    inputs = col.drive_inputs(column, 400, 0.5, 7)
    longer = col.drive_inputs(column, 2000, 0.5, 7)
    alone = col.drive_inputs(col.Column(column.cells, (), column.drives[:1], 0.0), 400, 0.5, 7)
    other = col.drive_inputs(column, 400, 0.5, 8)
    for name in inputs:
        np.testing.assert_array_equal(longer[name][:400], inputs[name])
        assert not np.array_equal(other[name], inputs[name])
    np.testing.assert_array_equal(alone["L5_pyramidal"], inputs["L5_pyramidal"])
    assert not alone["L5_basket"].any()


def test_drives_and_space_constants_are_read():
    (drive,) = col.read_drives([DRIVE], "drives")
    assert drive == col.Drive("L5e_distal_0", "L5_pyramidal", ("distal_ampa",), 10.0, 0.01)
    default = col.read_drives(col.DRIVES, "drives")
    assert {d.target for d in default} == set(col.SHORT) and len({d.name for d in default}) == len(default)
    assert col.read_lamtha({}, "lamtha") == {}
    assert col.read_lamtha(4, "lamtha") == dict.fromkeys(col.PROJECTIONS, 4.0)
    assert col.read_lamtha({"L5e_L5i_soma_ampa": 5}, "lamtha") == {"L5e_L5i_soma_ampa": 5.0}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mesh": [10]}, ["options.mesh", "[10, 5]"]),
        ({"mesh": [0, 3]}, ["options.mesh", "[0, 3]"]),
        ({"mesh": [2.5, 3]}, ["options.mesh", "2.5"]),
        ({"drives": "all"}, ["options.drives", "list"]),
        ({"drives": [3]}, ["options.drives[0]", "rate_Hz"]),
        ({"drives": [DRIVE | {"rate": 3}]}, ["options.drives[0]", "rate_Hz"]),
        ({"drives": [{k: v for k, v in DRIVE.items() if k != "weight_uS"}]}, ["options.drives[0]", "'weight_uS'"]),
        ({"drives": [DRIVE, DRIVE | {"target": "L5_pyramid"}]}, ["options.drives[1].target", "L5_pyramidal"]),
        ({"drives": [DRIVE | {"receptors": ["nmda"]}]}, ["options.drives[0]", "distal_nmda", "L5_pyramidal"]),
        ({"drives": [DRIVE | {"receptors": "ampa"}]}, ["options.drives[0].receptors", "[ampa, nmda]"]),
        ({"drives": [DRIVE | {"rate_Hz": -1}]}, ["options.drives[0].rate_Hz", "-1"]),
        ({"lamtha": 0}, ["options.lamtha", "above 0"]),
        ({"lamtha": {"L5e_L5i_soma_gabaa": 3}}, ["options.lamtha", "'L5e_L5i_soma_gabaa' is unknown"]),
        ({"dt_integration_ms": 0.3}, ["options.dt_integration_ms", "0.3", "0.5"]),
        ({"dt_integration_ms": 1.0}, ["options.dt_integration_ms", "0.5"]),
        ({"dt_integration_ms": 0}, ["options.dt_integration_ms", "above 0"]),
    ],
)
def test_what_a_column_refuses(options, words):
    with pytest.raises(ConfigError) as caught:
        HnnColumn([], PROTOCOL, options=options)
    for word in words:
        assert word in str(caught.value)


def test_a_column_refuses_negative_gains():
    with pytest.raises(ConfigError, match="gain_L5e_L5i_soma_ampa is -1"):
        HnnColumn([], PROTOCOL, fixed={"gain_L5e_L5i_soma_ampa": -1.0})
    free = HnnColumn(["gain_L5e_L5i_soma_ampa"], PROTOCOL)
    with pytest.raises(ConfigError, match="gain_L5e_L5i_soma_ampa is -2"):
        free.simulate(np.array([[1.0], [-2.0]]), np.zeros(2, np.uint64))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"options": {}}, ["missing 'cell'", "L5_basket"]),
        ({"options": {"cell": "L4_pyramidal"}}, ["options.cell", "'L4_pyramidal' is unknown"]),
        ({"options": {"cell": "L2_basket", "inputs": "sections"}}, ["options.inputs", "'section'"]),
        ({"options": {"cell": "L2_basket", "weight_low_uS": "low"}}, ["options.weight_low_uS", "'low'"]),
        ({"options": {"cell": "L2_basket"}, "fixed": {"rate": -3}}, ["rate is -3"]),
        (
            {"options": {"cell": "L2_basket"}, "fixed": {"weight_high_gaba": 1e-5}},
            ["weight_high_gaba", "1e-05", "0.0001"],
        ),
    ],
)
def test_what_a_cell_refuses(settings, words):
    with pytest.raises(ConfigError) as caught:
        HnnCell([], PROTOCOL, **settings)
    for word in words:
        assert word in str(caught.value)


def test_a_cell_refuses_weights_below_their_lower_end():
    simulator = HnnCell(["weight_high"], PROTOCOL, options={"cell": "L2_basket", "weight_low_uS": 0.01})
    with pytest.raises(ConfigError, match=r"weight_high is 0.001; expected at least 0.01"):
        simulator.simulate(np.array([[0.1], [0.001]]), np.zeros(2, np.uint64))


def test_signals_name_their_channels():
    protocol = PROTOCOL | {"record_ms": [20, 100]}
    cell = {s.name: s for s in HnnCell([], protocol, options={"cell": "L2_pyramidal"}).signals}
    assert cell["inputs"].channels == col.LOCATION_CHANNELS["L2_pyramidal"]
    assert cell["voltage"].shape == (160, 8) and cell["dipole"].shape == cell["spikes"].shape == (160, 1)
    assert all(s.t0_ms == 20 for s in cell.values())
    basket = [s.name for s in HnnCell([], protocol, options={"cell": "L5_basket", "inputs": "section"}).signals]
    assert basket == ["inputs", "voltage", "spikes"]
    dipole, spikes = HnnColumn([], protocol, options={"mesh": [3, 3]}).signals
    assert dipole.channels == ("L2", "L5") and dipole.unit == "fAm"
    assert len(spikes.channels) == 24 and spikes.channels[:2] == ("L2_pyramidal_0", "L2_pyramidal_1")
    assert spikes.channels[-1] == "L5_basket_2"


def test_a_study_is_read_without_neuron():
    """Plans, checks and surrogates need names and shapes: no simulation package is imported for them."""
    code = (
        "import sys; from neuroinverse.simulators.hnn_column import HnnColumn; "
        f"simulator = HnnColumn([], {PROTOCOL}); simulator.signals, simulator.core_seconds, simulator.worker_mb; "
        "sys.exit(bool({'neuron', 'hnn_core', 'tensorflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
