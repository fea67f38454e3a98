"""Cells of many compartments: sites, several stimuli, geometry, and what is refused."""

import copy
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from neuroinverse.config import load_study
from neuroinverse.errors import ConfigError
from neuroinverse.features import feature_shape
from neuroinverse.provenance import file_sha256
from neuroinverse.simulators import make_simulator, simulator_class
from neuroinverse.simulators.ball_and_sticks import BallAndStick, BallAndSticks
from neuroinverse.simulators.cable_cell import standing_cell
from neuroinverse.simulators.hh_point import HHPoint
from neuroinverse.simulators.mainen import MORPHOLOGY, Mainen

ROOT = Path(__file__).parents[2]
STEP = {"kind": "step", "start_ms": 2, "stop_ms": 20, "amplitude": 0.3, "unit": "nA"}
RAMP = {"kind": "ramp", "start_ms": 0, "stop_ms": 25, "amplitude": 0.4, "unit": "nA"}
PROTOCOL = {"dt_ms": 0.02, "duration_ms": 25, "record_ms": [1, 24], "stimulus": STEP}
NONE = np.empty((1, 0))


def voltage(simulator):
    return simulator.simulate(NONE, np.zeros(1, np.uint64))["voltage"][0]


@pytest.mark.parametrize("engine", ["neuron", "compiled"])
def test_sites_and_stimuli_are_channels(library, engine):
    """Every channel is what the cell gives with that stimulus and site alone; one alone has no axis of its own."""

    def cell(stimulus, record):
        protocol = PROTOCOL | {"stimulus": stimulus}
        return BallAndSticks([], protocol, options={"record": record}, engine=engine, library=library)

    several = cell([STEP, RAMP | {"site": "apical"}], ["apical", "soma"])
    (signal,) = several.signals
    assert signal.shape == (1150, 4) and signal.t0_ms == 1.0
    assert signal.channels == ("1_step_soma:apical", "1_step_soma:soma", "2_ramp_apical:apical", "2_ramp_apical:soma")
    assert several.stimulus().shape == (1250, 2)
    alone = [
        voltage(cell(stimulus, [site])) for stimulus in (STEP, RAMP | {"site": "apical"}) for site in ("apical", "soma")
    ]
    assert {trace.shape for trace in alone} == {(1150,)}
    np.testing.assert_array_equal(voltage(several), np.stack(alone, axis=1))
    assert len(np.unique(np.stack(alone), axis=0)) == 4
    assert cell(STEP, ["soma", "basal"]).signals[0].channels == ("soma", "basal")


def test_channels_are_kept_by_name(library):
    options = {"record": ["soma", "apical", "basal"]}
    simulator = BallAndSticks([], PROTOCOL, options=options, library=library)
    (signal,) = simulator.signals
    assert feature_shape([{"channels": {"keep": ["basal", "soma"]}}], signal) == (1150, 2)
    with pytest.raises(ConfigError, match=r"no channel 'axon'; it has soma, apical, basal"):
        feature_shape([{"channels": {"keep": ["axon"]}}], signal)
    with pytest.raises(ConfigError, match="given twice"):
        feature_shape([{"channels": {"keep": ["soma"]}}, {"channels": {"keep": ["soma"]}}], signal)
    import keras

    from neuroinverse.features.chain import apply_features

    inputs = keras.Input((1150, 3))
    model = keras.Model(inputs, apply_features(inputs, [{"channels": {"keep": ["basal", "soma"]}}], signal))
    traces = voltage(simulator)[None]
    np.testing.assert_array_equal(model.predict(traces, verbose=0), traces[..., [2, 0]])


def refused(words, cell=BallAndStick, free=(), protocol=PROTOCOL, **arguments):
    with pytest.raises(ConfigError) as caught:
        cell(list(free), protocol, **arguments)
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in: {caught.value}"


def test_refusals_name_key_value_and_cure():
    refused(["options.record", "no site 'axon'", "soma, dend"], options={"record": ["axon"]})
    refused(["options.record", "list of sites, each once"], options={"record": ["soma", "soma"]})
    refused(["options.record", "'soma'", "list"], options={"record": "soma"})
    refused(["options.max_segment_um is 0", "above 0"], options={"max_segment_um": 0})
    refused(["options.leak is 'free'", "tied or by_part"], options={"leak": "free"})
    refused(["leak is tied", "gl_dend", "by_part"], free=["gl_dend"])
    refused(["na_shift_mV is 'no'"], options={"na_shift_mV": "no"})
    refused(["stimulus.site", "'apical'"], protocol=PROTOCOL | {"stimulus": STEP | {"site": "apical"}})
    refused(["options.morphology", "no.swc does not exist", "SWC"], cell=Mainen, options={"morphology": "no.swc"})
    refused(["options.spines is 'some'"], cell=Mainen, options={"spines": "some"})
    density = STEP | {"unit": "uA/cm2"}
    refused(["2 stimuli", "takes one"], cell=HHPoint, protocol=PROTOCOL | {"stimulus": [density, density]})
    refused(["has no sites"], cell=HHPoint, protocol=PROTOCOL | {"stimulus": density | {"site": "soma"}})
    refused(["stimulus.unit is 'uA/cm2'"], protocol=PROTOCOL | {"stimulus": [STEP, density]})


def test_leak_by_part_or_tied(library):
    """Tied, the soma's leak is that of all parts."""
    tied = BallAndStick([], PROTOCOL, fixed={"gl_soma": 2e-4}, library=library)
    both = {"gl_soma": 2e-4, "gl_dend": 2e-4}
    by_part = BallAndStick([], PROTOCOL, fixed=both, options={"leak": "by_part"}, library=library)
    other = BallAndStick([], PROTOCOL, fixed={"gl_soma": 2e-4}, options={"leak": "by_part"}, library=library)
    np.testing.assert_array_equal(voltage(tied), voltage(by_part))
    assert np.abs(voltage(tied) - voltage(other)).max() > 0.1


def test_mainen_geometry(library):
    """Spines add their area and no length-to-area distortion; axon and segments are as published."""
    areas = {}
    for spines in (False, True):
        simulator = Mainen([], PROTOCOL, options={"spines": spines}, library=library)
        regions = standing_cell(simulator).regions
        areas[spines] = [sum(seg.area() for seg in section) for section in regions["dendrites"]]
        if not spines:
            lengths = [section.L for section in regions["dendrites"]]
            assert sum(lengths) == pytest.approx(5560, rel=0.01)
            assert [section.nseg for section in regions["dendrites"]] == [int(length / 50) + 1 for length in lengths]
    # the area of an unfolded section is that of its cylinders
    np.testing.assert_allclose(areas[True], np.add(areas[False], np.multiply(lengths, 0.83)), rtol=0.01)
    (soma,), (initial,), (hillock,) = (regions[k] for k in ("soma", "initial_segment", "hillock"))
    area = sum(seg.area() for seg in soma)
    assert area == pytest.approx(778, rel=0.01)
    diameter = math.sqrt(area / (4 * math.pi)) / 10
    assert initial.diam == pytest.approx(diameter) and (initial.L, initial.nseg) == (15, 5)
    assert [seg.diam for seg in hillock] == pytest.approx([diameter * d for d in (3.7, 3.1, 2.5, 1.9, 1.3)])
    assert hillock.parentseg().x == 0.5 and hillock.parentseg().sec == soma
    assert [(s.L, s.nseg, round(s.diam / diameter, 3)) for s in regions["myelin"]] == [(100, 5, 1)] * 5
    assert [(s.L, s.nseg, round(s.diam / diameter, 3)) for s in regions["nodes"]] == [(1, 1, 0.75)] * 5


@pytest.mark.parametrize("spines", [False, True])
def test_thin_places_resist(library, tmp_path, spines):
    """A compartment whose diameter varies has the axial resistance of its points, not of a cylinder of its area."""
    diameters = [2.0, 0.5, 2.0, 0.5]
    points = [f"{i + 2} 3 {10 + 10 * i} 0 0 {d / 2} {i + 1}" for i, d in enumerate(diameters)]
    file = tmp_path / "rough.swc"
    file.write_text("\n".join(["1 1 0 0 0 8 -1", *points]))
    simulator = Mainen([], PROTOCOL, options={"morphology": str(file), "spines": spines}, library=library)
    (dendrite,) = standing_cell(simulator).regions["dendrites"]
    assert dendrite.nseg == 1
    pairs = list(itertools.pairwise(diameters))
    area = sum(math.pi * (a + b) / 2 * math.hypot(10, (a - b) / 2) for a, b in pairs)
    factor = (30 * 0.83 + area) / area if spines else 1.0
    # length goes with F^(2/3), the square of the diameter too: spines change no resistance; 1e-2: Ohm cm / um in MOhm
    resistance = sum(1e-2 * 150 * 4 * 10 / (math.pi * a * b) for a, b in pairs)
    assert dendrite(0.5).ri() + dendrite(1).ri() == pytest.approx(resistance, rel=1e-4)
    assert math.isclose(dendrite.L, 30 * factor ** (2 / 3), rel_tol=1e-4)
    # the slant of the frusta is steeper or flatter after folding
    assert dendrite(0.5).area() == pytest.approx(area * factor, rel=0.01)


def test_any_morphology(library, tmp_path):
    """A user's SWC file, here with an apical dendrite and an axon, which gives way to the standard one."""
    lines = ["1 1 0 0 0 8 -1", "2 1 0 8 0 8 1", "3 1 0 -8 0 8 1", "4 3 0 -90 0 0.6 1", "5 3 40 -150 0 0.5 4"]
    lines += ["6 3 -40 -150 0 0.5 4", "7 4 0 120 0 1 1", "8 4 0 400 0 0.7 7", "9 2 9 0 0 0.5 1", "10 2 90 0 0 0.5 9"]
    file = tmp_path / "mine.swc"
    file.write_text("\n".join(lines))
    protocol = PROTOCOL | {"stimulus": STEP | {"amplitude": 1.0}}
    options = {"morphology": str(file), "record": ["soma", "dendrite", "axon"]}
    mine = Mainen([], protocol, options=options, library=library)
    traces = voltage(mine)
    assert traces.shape == (1150, 3) and traces[:, 0].max() > 0
    apical = [s for s in standing_cell(mine).regions["dendrites"] if ".apic[" in s.name()]
    assert standing_cell(mine).sites["dendrite"].sec in apical
    assert mine.files() == (file,)


def test_a_morphology_is_part_of_the_specification(tmp_path, monkeypatch):
    """By its contents and not by its path, so that no path of a machine stands in a specification of the package's."""
    monkeypatch.chdir(ROOT)
    shipped = load_study("mainen_10", "smoke", 1).dataset_spec("train")["simulation"]
    assert list(shipped["files"]) == [MORPHOLOGY.name]
    content = yaml.safe_load((ROOT / "config/studies/mainen_10.yaml").read_text())
    own = copy.deepcopy(content)
    morphology = tmp_path / "own.swc"
    morphology.write_text(MORPHOLOGY.read_text())
    own["simulator"]["options"] = {"morphology": str(morphology)}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    before = load_study(tmp_path / "own.yaml", "smoke", 1).dataset_spec("train")["simulation"]["files"]
    morphology.write_text(MORPHOLOGY.read_text() + "# a remark\n")
    file_sha256.cache_clear()
    after = load_study(tmp_path / "own.yaml", "smoke", 1).dataset_spec("train")["simulation"]
    assert before.keys() == after["files"].keys() and before != after["files"]
    # how a user's file is read may change; the package's cells stay what they are
    assert after["revision"] == 2 and "revision" not in shipped


def test_cells_of_two_simulators_do_not_meet(library):
    """Only one cell stands in NEURON at a time."""
    from neuroinverse.simulators.neuron_batch import hoc

    ball = BallAndStick([], PROTOCOL, library=library)
    first = voltage(ball)
    voltage(BallAndSticks([], PROTOCOL, library=library))
    assert len([s for s in hoc(library).allsec() if s.name() in ("soma", "dend", "apical", "basal")]) == 4
    np.testing.assert_array_equal(voltage(ball), first)


def test_known_by_name():
    spec = {"simulator": {"name": "mainen"}, "parameters": [], "protocol": PROTOCOL, "master_seed": 1}
    assert isinstance(make_simulator(spec), Mainen)
    assert simulator_class({"name": "ball_and_sticks"}) is BallAndSticks
