"""What every simulator promises, whichever it is: found in SIMULATORS and in config/studies by itself."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from neuroinverse import sampling
from neuroinverse.config import load_study
from neuroinverse.errors import ConfigError
from neuroinverse.shards import Dataset, join_shards, verify_shard
from neuroinverse.simulators import SIMULATORS, make_simulator, mechanism_files, simulator_class
from neuroinverse.stages import simulate_shard

ROOT = Path(__file__).parents[2]
STUDIES = sorted(p for p in (ROOT / "config" / "studies").glob("*.yaml") if not p.stem.startswith("_"))
USED = {path: yaml.safe_load(path.read_text())["simulator"].get("name") for path in STUDIES}
# one study per simulator of the package, for what need not be tested with each
PAIRS = [(name, path) for name in SIMULATORS for path in STUDIES if USED[path] == name]
FIRST = list({name: path for name, path in reversed(PAIRS)}.items())


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    """Studies name files relative to the repository."""
    monkeypatch.chdir(ROOT)


def specification(path):
    """Of the training dataset; where a study trains nothing, of its first one, drawn from the prior."""
    study = load_study(path, "smoke", 1)
    names = [name for name in study.settings["datasets"] if name != "shard_size"]
    simulation = study.dataset_spec("train" if "train" in names else names[0])["simulation"]
    return simulation if "train" in names else {k: v for k, v in simulation.items() if k != "sampling"}


@pytest.fixture
def files(library, kernel):
    """Gives what a study's simulator reads: the compiled mechanisms, and the kernel where it needs one."""
    return lambda path: {"library": library, "kernel": kernel(load_study(path, "smoke", 1))}


def draw(spec, n):
    return sampling.draw(spec, np.arange(n))


def signals_only(result):
    """Without what networks say of themselves beside their signals."""
    return {name: values for name, values in result.items() if name != "silent"}


def by_study(function):
    return pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)(function)


def by_simulator(function):
    return pytest.mark.parametrize(("name", "path"), FIRST, ids=[name for name, _ in FIRST])(function)


@pytest.mark.parametrize("name", SIMULATORS)
def test_is_used_by_a_study(name):
    assert name in USED.values(), f"no study in config/studies uses {name}: nobody can run it, nor do these tests"


@by_simulator
def test_declares_units_defaults_and_engines(name, path):
    section = specification(path)["simulator"]
    offered = simulator_class(section)
    assert offered.parameters and offered.stimulus_unit != "" and offered.batch > 0
    assert len(set(offered.engines)) == len(offered.engines) > 0
    for parameter, info in offered.parameters.items():
        assert parameter.isidentifier()
        assert info.unit and info.unit == info.unit.strip(), parameter
        assert np.isfinite(info.default), parameter
        assert info.description, parameter
    assert [file.name for file in mechanism_files(section)] == [Path(name).name for name in offered.mechanisms]
    assert offered.__doc__ and offered.__doc__ != offered.__mro__[1].__doc__


@by_study
def test_signals_are_what_they_say(path, files):
    spec = specification(path)
    simulator = make_simulator(spec, **files(path))
    protocol = spec["protocol"]
    start, stop = protocol.get("record_ms", (0, protocol["duration_ms"]))
    assert len({s.name for s in simulator.signals}) == len(simulator.signals) > 0
    theta, seeds = draw(spec, 2)
    result = simulator.simulate(theta, seeds)
    assert list(signals_only(result)) == [s.name for s in simulator.signals]
    for signal in simulator.signals:
        assert signal.unit
        assert result[signal.name].shape == (2, *signal.shape)
        assert result[signal.name].dtype == np.float32
        assert len(signal.shape) in (1, 2)
        assert signal.t0_ms == pytest.approx(start)
        # one number may describe the whole window
        assert signal.shape[0] == 1 or signal.shape[0] * signal.dt_ms == pytest.approx(stop - start)
    stimulus = simulator.stimulus()
    if simulator.stimulus_unit is None:
        assert stimulus is None and "stimulus" not in protocol
        return
    assert stimulus.shape == (round(protocol["duration_ms"] / protocol["dt_ms"]),)
    assert np.isfinite(stimulus).all() and np.ptp(stimulus) > 0


@by_study
def test_finite_at_the_defaults_and_over_the_prior(path, files):
    spec = specification(path)
    simulator = make_simulator(spec, **files(path))
    defaults = [[simulator.parameters[name].default for name in simulator.free]]
    theta, seeds = draw(spec, 20)
    result = simulator.simulate(np.concatenate([defaults, theta]), np.append(seeds, seeds[:1]))
    active = ~np.asarray(result.get("silent", np.zeros(21, bool)))
    assert active.sum() > 10
    for signal in simulator.signals:
        name, values = signal.name, result[signal.name][active]
        if signal.may_be_nan:
            assert not np.isinf(values).any() and np.isfinite(values).any(), name
            continue
        assert np.isfinite(values).all(), name
        # the parameters show: no two draws give the same trace, unless both are spike trains without a spike
        rows = values.reshape(len(values), -1)
        rows = rows[rows.any(axis=1)] if name == "spikes" else rows
        assert len(np.unique(rows, axis=0)) == len(rows) > 0
        print(f"{path.stem}, {name}: {values.min():.4g} to {values.max():.4g}")


@by_study
def test_a_trace_depends_on_its_own_row_alone(path, files):
    """The same bits again, in a batch of 7, alone, in reverse order, and beside other cells."""
    spec = specification(path)
    theta, seeds = draw(spec, 7)
    simulator = make_simulator(spec, **files(path))
    reference = simulator.simulate(theta, seeds)
    again = simulator.simulate(theta, seeds)
    another = make_simulator(spec, **files(path)).simulate(theta[::-1], seeds[::-1])
    some = simulator.simulate(theta[[2, 5]], seeds[[2, 5]])
    alone = [simulator.simulate(theta[i : i + 1], seeds[i : i + 1]) for i in range(7)]
    for name, values in reference.items():
        np.testing.assert_array_equal(again[name], values)
        np.testing.assert_array_equal(another[name][::-1], values)
        np.testing.assert_array_equal(some[name], values[[2, 5]])
        np.testing.assert_array_equal(np.concatenate([a[name] for a in alone]), values)


@by_simulator
def test_shards_and_threads_change_no_bit(name, path, files, tmp_path):
    """One shard with 1 process, with 2, two smaller shards, a smaller dataset: the traces of this process."""
    simulation = specification(path)
    theta, seeds = draw(simulation, 6)
    here = signals_only(make_simulator(simulation, **files(path)).simulate(theta, seeds))

    def make(file, start, stop, threads):
        spec = {"simulation": simulation, "start": start, "stop": stop}
        counts = simulate_shard.run(spec, tmp_path / file, threads=threads, **files(path))
        assert counts["ok"] + counts["silent"] == stop - start
        return verify_shard(tmp_path / file, spec)["content_sha256"]

    # a batch per process: 2 processes also split the batch
    assert make("one.h5", 0, 6, 1) == make("two.h5", 0, 6, 2)
    make("00000.h5", 0, 4, 1)
    make("00001.h5", 4, 6, 1)

    def join(file, size, shards):
        spec = {"simulation": simulation, "n": 6, "shard_size": size}
        join_shards(tmp_path / file, spec, [tmp_path / s for s in shards])
        return Dataset(tmp_path / file)

    for data in (join("a.h5", 6, ["one.h5"]), join("b.h5", 4, ["00000.h5", "00001.h5"])):
        np.testing.assert_array_equal(data.theta(0, 6), theta)
        for signal, values in here.items():
            np.testing.assert_array_equal(data.signal(signal, 0, 6), values)


@by_simulator
def test_refuses_what_it_does_not_offer(name, path):
    spec = specification(path)
    offered = simulator_class(spec["simulator"])
    free = [p["name"] for p in spec["parameters"]]
    protocol = spec["protocol"]
    stimulus = protocol.get("stimulus", {"kind": "step", "amplitude": 1}) | {"unit": "furlong"}
    wrong = "furlong" if offered.stimulus_unit else "takes no stimulus; remove it"
    for arguments, words in (
        ({"free": ["g_nonsense"]}, ["g_nonsense", *offered.parameters]),
        ({"free": free, "fixed": {"g_nonsense": 1.0}}, ["g_nonsense"]),
        ({"free": free, "fixed": {free[0]: 1.0}}, [free[0], "both inferred and fixed"]),
        ({"free": free, "engine": "abacus"}, ["abacus", *offered.engines]),
        ({"free": free, "options": {"colour": 1}}, ["colour"]),
        ({"free": free, "protocol": protocol | {"stimulus": stimulus}}, [wrong]),
    ):
        with pytest.raises(ConfigError) as caught:
            offered(**{"protocol": protocol} | arguments)
        for word in words:
            assert word in str(caught.value)


@by_simulator
def test_fixed_parameters_and_defaults_count(name, path, files):
    spec = specification(path)
    offered = simulator_class(spec["simulator"])
    theta, seeds = draw(spec, 1)
    values = dict(zip([p["name"] for p in spec["parameters"]], theta[0], strict=True))
    section = spec["simulator"]
    more = {k: section.get(k) for k in ("engine", "options")}
    expected = make_simulator(spec, **files(path)).simulate(theta, seeds)
    fixed = dict(section.get("fixed", {})) | values
    none_free = offered([], spec["protocol"], fixed=fixed, master_seed=1, **files(path), **more)
    found = none_free.simulate(np.empty((1, 0)), seeds)
    for signal in expected:
        np.testing.assert_array_equal(found[signal], expected[signal])
    if offered.mechanisms:
        with pytest.raises(ConfigError, match="compile_mechanisms"):
            make_simulator(spec, Path("no") / "library.so").simulate(theta, seeds)
