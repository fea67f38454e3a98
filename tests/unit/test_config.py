"""Every mistake in a study gives one message that names the file, the key or value, and the cure."""

import textwrap
from pathlib import Path

import pytest
import yaml

from neuroinverse.config import check_config, load_study, read_config, study_names
from neuroinverse.errors import ConfigError
from neuroinverse.provenance import canonical, digest
from neuroinverse.simulators import make_simulator

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "config" / "studies" / "hh_point_2.yaml"


def put(where, value):
    """An edit that sets a value at a dotted path; numbers index lists."""

    def edit(content):
        *folders, last = [int(k) if k.isdigit() else k for k in where.split(".")]
        for key in folders:
            content = content[key]
        content[last] = value

    return edit


def drop(where):
    def edit(content):
        *folders, last = [int(k) if k.isdigit() else k for k in where.split(".")]
        for key in folders:
            content = content[key]
        del content[last]

    return edit


@pytest.fixture
def load(tmp_path):
    """Loads a copy of the study after an edit."""

    def load_edited(*edits, scale="demo"):
        content = yaml.safe_load(STUDY.read_text())
        for edit in edits:
            edit(content)
        path = tmp_path / "edited.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return load_study(path, scale, 1)

    return load_edited


def test_the_unedited_copy_loads(load):
    study = load()
    assert study.name == "edited"
    assert study.parameters.names == ("gnabar", "gkbar")


MISTAKES = [
    ("unknown key", put("protocol.dt_mss", 0.02), ["protocol", "'dt_mss'", "did you mean 'dt_ms'"]),
    ("unknown key at the top", put("paramters", []), ["'paramters'", "did you mean 'parameters'"]),
    ("nothing near", put("datasets.zzzz", 1), ["'zzzz'", "known keys: shard_size, train, calibration, test"]),
    ("a size without n", put("datasets.train", 3000), ["datasets.train: 3000", "expected a section"]),
    ("hyper-parameter", put("estimators.cnn.hyperparameters.batchsize", 3), ["estimators.cnn", "'batch_size'"]),
    ("missing unit", drop("parameters.0.unit"), ["parameters.0", "'gnabar'", "missing 'unit'", "add it"]),
    ("missing section", drop("protocol"), ["missing 'protocol'"]),
    ("empty range", put("parameters.0.low", 0.24), ["gnabar", "low (0.24) must be below high (0.24)"]),
    ("reversed range", put("parameters.1.high", 0.01), ["gkbar", "low (0.018) must be below high (0.01)"]),
    (
        "log of zero",
        lambda c: c["parameters"][0].update(low=0.0, scale="log"),
        ["gnabar", "log scale needs low > 0", "use scale: linear"],
    ),
    ("infinite", put("parameters.0.high", float("inf")), ["line 15: parameters.0.high: .inf", "finite"]),
    ("not a number", put("parameters.0.low", float("nan")), ["parameters.0.low: .nan", "finite"]),
    ("text for a number", put("parameters.0.low", "much"), ["parameters.0.low", "'much'", "number"]),
    ("bad scale", put("parameters.0.scale", "logarithmic"), ["parameters.0.scale", "'logarithmic'", "'log'"]),
    (
        "unknown simulator",
        put("simulator.name", "hh_pont"),
        ["simulator.name", "'hh_pont'", "hh_point", "path and class"],
    ),
    ("unknown engine", put("simulator.engine", "abacus"), ["engine", "'abacus'", "neuron"]),
    ("unknown option", put("simulator.options", {"celcius": 6}), ["option", "'celcius'", "celsius"]),
    ("unknown parameter", put("parameters.0.name", "gna"), ["'gna'", "gnabar", "gkbar"]),
    ("parameter twice", put("parameters.1.name", "gnabar"), ["gnabar", "twice"]),
    ("fixed and inferred", put("simulator.fixed", {"gnabar": 0.1}), ["gnabar", "both inferred and fixed"]),
    ("unknown fixed parameter", put("simulator.fixed", {"gca": 0.1}), ["'gca'", "gnabar"]),
    ("wrong unit", put("parameters.0.unit", "mS/cm2"), ["gnabar", "'mS/cm2'", "'S/cm2'"]),
    ("unit of the stimulus", put("protocol.stimulus.unit", "nA"), ["stimulus.unit", "'nA'", "'uA/cm2'"]),
    (
        "pooling that eats its input",
        put("estimators.cnn.hyperparameters.pool_len", 20),
        ["estimators.cnn", "layer pool_3", "pool_len needs 20", "19 are left", "7600", "smaller pool_len"],
    ),
    (
        "record of no whole number of steps",
        put("protocol.record_ms", [0, 100.01]),
        ["protocol.record_ms", "100.01 ms", "dt_ms 0.02"],
    ),
    ("duration of no whole number", put("protocol.duration_ms", 152.005), ["protocol.duration_ms", "dt_ms"]),
    ("record beyond the end", put("protocol.record_ms", [0, 160]), ["record_ms", "[0, 160]", "duration_ms (152)"]),
    ("record reversed", put("protocol.record_ms", [100, 50]), ["record_ms", "start < stop"]),
    ("negative step", put("protocol.dt_ms", -0.02), ["protocol.dt_ms", "-0.02"]),
    (
        "scaling that shares no shards",
        put("estimators.cnn.scaling", [1000, 1200]),
        ["estimators.cnn.scaling", "1200", "multiple of datasets.shard_size (500)"],
    ),
    ("too few for the folds", put("datasets.train.n", 7), ["estimators.cnn", "7", "4 folds"]),
    ("unknown signal", put("estimators.cnn.signal", "voltage"), ["estimators.cnn.signal", "'voltage'", "soma_voltage"]),
    ("unknown feature", put("estimators.cnn.features", [{"standardise": {}}]), ["'standardise'", "'standardize'"]),
    (
        "window outside the signal",
        put("estimators.cnn.features", [{"window": {"start_ms": 100, "stop_ms": 200}}]),
        ["estimators.cnn", "features.window", "[100, 200]", "[0, 152]"],
    ),
    ("no simulations", put("datasets.train.n", 0), ["datasets.train.n", "0"]),
    ("no number of simulations", drop("datasets.test.n"), ["datasets.test", "missing 'n'"]),
    ("no stimulus", drop("protocol.stimulus"), ["protocol", "missing 'stimulus'", "HHPoint", "'uA/cm2'"]),
    (
        "unknown range",
        put("datasets.narrow", {"n": 5, "ranges": {"gnabr": [0.1, 0.2]}}),
        ["datasets.narrow.ranges", "'gnabr'", "did you mean 'gnabar'"],
    ),
    (
        "empty range of a dataset",
        put("datasets.narrow", {"n": 5, "ranges": {"gnabar": [0.2, 0.1]}}),
        ["datasets.narrow.ranges", "gnabar", "low (0.2) must be below high (0.1)"],
    ),
    ("grid that is not full", put("datasets.grid", {"n": 10, "sampling": "grid"}), ["datasets.grid.n", "10", "16 (4"]),
    (
        "inferred and fixed in a dataset",
        put("datasets.other", {"n": 5, "fixed": {"gnabar": 0.1}}),
        ["datasets.other", "gnabar", "both inferred and fixed"],
    ),
    (
        "unknown option of a dataset",
        put("datasets.other", {"n": 5, "options": {"celcius": 6}}),
        ["datasets.other", "'celcius'", "celsius"],
    ),
    ("unknown sampling", put("datasets.other", {"n": 5, "sampling": "gird"}), ["datasets.other.sampling", "'gird'"]),
    (
        "unknown dataset to train on",
        put("estimators.cnn.dataset", "trian"),
        ["estimators.cnn.dataset", "'trian'", "did you mean 'train'"],
    ),
    (
        "unknown dataset to measure on",
        put("estimators.cnn.transfer", ["tset"]),
        ["estimators.cnn.transfer", "'tset'", "did you mean 'test'"],
    ),
    (
        "unknown parameter to infer",
        put("estimators.cnn.parameters", ["gnabarr"]),
        ["estimators.cnn.parameters", "'gnabarr'", "did you mean 'gnabar'"],
    ),
    (
        "scaling of a grid",
        lambda c: (
            put("datasets.grid", {"n": 10000, "sampling": "grid"})(c),
            c["estimators"]["cnn"].update(dataset="grid", scaling=[500]),
        ),
        ["estimators.cnn.scaling", "grid", "randomly sampled"],
    ),
    (
        "logarithm of no spectrum",
        put("estimators.cnn.features", [{"log_power": {}}]),
        ["estimators.cnn", "features.log_power", "put welch before it"],
    ),
    (
        "kernels that fit no blocks",
        put("estimators.cnn.hyperparameters.conv_kernel", [7, 7]),
        ["estimators.cnn", "conv_kernel", "2 lengths for the 5 blocks"],
    ),
    (
        "unknown activation",
        put("estimators.cnn.hyperparameters.activation", "rely"),
        ["estimators.cnn.hyperparameters.activation", "'rely'", "'relu'"],
    ),
    (
        "new dataset in a scale",
        put("scales.demo", {"datasets": {"tran": {"n": 3}}}),
        ["scale demo", "datasets", "'tran'", "did you mean 'train'"],
    ),
    ("a name of a folder", lambda c: c["estimators"].update(shards=c["estimators"]["cnn"]), ["'shards'", "rename it"]),
    ("a name in capitals", lambda c: c["estimators"].update(Cnn=c["estimators"]["cnn"]), ["'Cnn'", "lower-case"]),
    ("a dataset in other letters", put("datasets.étude", {"n": 5}), ["datasets", "'étude'", "lower-case letters"]),
    ("a name with its line's end", put("datasets.other\n", {"n": 5}), ["datasets", "lower-case letters"]),
    ("a parameter that is a column of draws", put("parameters.0.name", "trace"), ["'trace'", "rename it"]),
    ("a list of what is inferred twice", put("estimators.cnn.parameters", ["gkbar", "gkbar"]), ["non-unique"]),
    ("a whole number with a point", put("datasets.train.n", 60.0), ["datasets.train.n", "write 60"]),
    ("a number in quotes", put("protocol.dt_ms", "0.02"), ["protocol.dt_ms", "'0.02' is text", "without quotes"]),
    ("a text without quotes", put("parameters.0.unit", 1), ["parameters.0.unit", 'write "1", in quotes']),
    ("an empty section", put("protocol", None), ["protocol", "nothing is given", "remove the line"]),
    ("an empty scale", put("scales.demo", None), ["scales.demo", "nothing is given"]),
    ("a scale without estimators", put("scales.demo", {"estimators": None}), ["missing 'estimators'"]),
    ("too many steps", put("protocol.dt_ms", 1e-9), ["protocol", "1.52e+11 steps", "make dt_ms longer"]),
    (
        "too many files",
        put("datasets", {"shard_size": 1, "train": {"n": 200_000}, "calibration": {"n": 9}, "test": {"n": 9}}),
        ["datasets.train", "200000 files", "raise datasets.shard_size"],
    ),
    ("stimulus reversed", put("protocol.stimulus.stop_ms", 5), ["protocol.stimulus", "start_ms 6", "stop_ms 5"]),
    (
        "stimulus after the end",
        lambda c: c["protocol"]["stimulus"].update(start_ms=200, stop_ms=300),
        ["protocol.stimulus", "within [0, 152] ms"],
    ),
    (
        "statistics of a step without one",
        put("estimators.cnn.features", [{"step_statistics": {"on_ms": 10, "off_ms": 100}}]),
        ["estimators.cnn.features.step_statistics", "none, but chirp"],
    ),
    (
        "statistics of another step",
        lambda c: (
            put("estimators.cnn.features", [{"step_statistics": {"on_ms": 10, "off_ms": 100}}])(c),
            put(
                "protocol.stimulus", {"kind": "step", "start_ms": 20, "stop_ms": 100, "amplitude": 1, "unit": "uA/cm2"}
            )(c),
        ),
        ["features.step_statistics", "a step from 20 to 100 ms", "give its times"],
    ),
    (
        "unknown statistic",
        put("estimators.cnn.features", [{"step_statistics": {"on_ms": 10, "off_ms": 100, "keep": ["spikes"]}}]),
        ["step_statistics.keep", "'spikes'"],
    ),
    (
        "voltages reversed",
        put("estimators.cnn.features", [{"log_voltage": {"low_mV": 50, "high_mV": -80}}]),
        ["features.log_voltage", "low_mV (50) must be below high_mV (-80)"],
    ),
    (
        "a voltage that is none any more",
        put("estimators.cnn.features", [{"standardize": {}}, {"log_voltage": {}}]),
        ["features.log_voltage", "a feature before it has changed it"],
    ),
    (
        "logarithm of a standardized spectrum",
        put("estimators.cnn.features", [{"welch": {"segment_ms": 100}}, {"standardize": {}}, {"log_power": {}}]),
        ["features.log_power", "standardize has changed it"],
    ),
    (
        "a spectrum longer than the window",
        put("estimators.cnn.features", [{"window": {"start_ms": 0, "stop_ms": 50}}, {"welch": {"segment_ms": 100}}]),
        ["features.welch", "longer than the signal's 50 ms"],
    ),
    ("a range without a width", lambda c: c["parameters"][0].update(low=-1.7e308, high=1.7e308), ["gnabar", "range"]),
    (
        "mistake inside a scale",
        put("scales.demo", {"datasets": {"shardsize": 3}}),
        ["scale demo", "'shardsize'", "'shard_size'"],
    ),
]


def test_names_of_studies(load, tmp_path, monkeypatch):
    """The workflow's folders and wildcards want them; `check` and the workflow read a study by the same function."""
    load()
    for name in ("My-Study", "2cells", "étude", "logs", "a" * 81, "x y"):
        path = tmp_path / f"{name}.yaml"
        (tmp_path / "edited.yaml").rename(path)
        with pytest.raises(ConfigError, match=rf"{name}\.yaml: .*[Rr]ename the file"):
            load_study(path, "demo", 1)
        path.rename(tmp_path / "edited.yaml")
    (tmp_path / "edited.yaml").rename(tmp_path / "edited.yml")
    with pytest.raises(ConfigError, match=r"reads studies of files \*\.yaml; rename it to edited\.yaml"):
        load_study(tmp_path / "edited.yml", "demo", 1)


@pytest.mark.parametrize(("edit", "words"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_mistakes_are_named_with_their_cure(load, edit, words):
    with pytest.raises(ConfigError) as caught:
        load(edit)
    message = str(caught.value)
    print(message)
    for word in ("edited.yaml", *words):
        assert word in message
    assert message.count("\n") == 0


@pytest.mark.parametrize(("text", "cure"), [("6e-2", "6.0e-2"), ("6E2", "6.0e+2"), ("-1.5e3", "-1.5e+3")])
def test_numbers_that_yaml_reads_as_text(load, text, cure):
    with pytest.raises(ConfigError) as caught:
        load(put("parameters.0.low", text))
    assert f"parameters.0.low: YAML reads {text} as text; write {cure}" in str(caught.value)
    assert yaml.safe_load(text) == text and yaml.safe_load(cure) == float(text)


def test_several_mistakes_come_at_once(load):
    with pytest.raises(ConfigError) as caught:
        load(put("protocol.dt_mss", 1), drop("parameters.1.low"), put("estimators.cnn.folds", 0))
    for word in ("'dt_mss'", "missing 'low'", "estimators.cnn.folds"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title: [unclosed", ["cannot be read as YAML"]),
        ("a: b: c", ["cannot be read as YAML"]),
        ("- one\n- two", ["expected keys and values", "list"]),
        ("just words", ["expected keys and values", "str"]),
        ("", ["expected keys and values"]),
        (b"\x89HDF\xff\xfe\x00", ["cannot be read as YAML"]),
    ],
)
def test_files_that_are_no_study(tmp_path, text, words):
    path = tmp_path / "broken.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_study(path, "demo", 1)
    for word in ("broken.yaml", *words):
        assert word in str(caught.value)
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        read_config(path)


def test_missing_studies_and_scales(load, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError, match=r"hh_pont.*does not exist.*hh_point_2"):
        load_study("hh_pont", "demo", 1)
    with pytest.raises(ConfigError, match=r"edited\.yaml: scale 'huge' is unknown.*smoke, demo, paper"):
        load(scale="huge")
    assert "hh_point_2" in study_names()
    assert not any(name.startswith("_") for name in study_names())


FURTHER = {
    "narrow": {"n": 40, "ranges": {"gnabar": [0.1, 0.12]}},
    "warm": {"n": 40, "options": {"celsius": 10}},
    "leaky": {"n": 40, "fixed": {"gl": 0.001}},
    "grid": {"n": 36, "sampling": "grid"},
    "states": {"sampling": "points", "points": [{"gnabar": 0.1, "gkbar": 0.03}]},
}


def test_a_dataset_s_settings_are_its_own(load):
    """What a dataset changes stands in its specification, and in no other."""
    plain, more = load(), load(lambda c: c["datasets"].update(FURTHER))
    assert plain.datasets == ["train", "calibration", "test"]
    assert more.datasets == [*plain.datasets, *FURTHER]
    for dataset in plain.datasets:
        assert canonical(more.dataset_spec(dataset)) == canonical(plain.dataset_spec(dataset))
    assert canonical(more.train_spec("cnn", 0)) == canonical(plain.train_spec("cnn", 0))
    assert canonical(more.evaluate_spec("cnn")) == canonical(plain.evaluate_spec("cnn"))
    specs = {d: more.dataset_spec(d)["simulation"] for d in more.datasets}
    base = specs["test"]
    changed = {d: {k for k in {*base, *s} if s.get(k) != base.get(k)} - {"dataset"} for d, s in specs.items()}
    assert changed == {
        "train": set(), "calibration": set(), "test": set(), "narrow": {"parameters"}, "warm": {"simulator"},
        "leaky": {"simulator"}, "grid": {"sampling"}, "states": {"sampling"},
    }  # fmt: skip
    assert (specs["narrow"]["parameters"][0]["low"], specs["narrow"]["parameters"][0]["high"]) == (0.1, 0.12)
    assert specs["warm"]["simulator"] == base["simulator"] | {"options": {"celsius": 10}}
    assert specs["leaky"]["simulator"] == base["simulator"] | {"fixed": {"gl": 0.001}}
    assert [more.n(d) for d in FURTHER] == [40, 40, 40, 36, 1]


def test_a_report_takes_the_datasets_that_estimators_name(load):
    study = load(
        lambda c: c["datasets"].update(FURTHER),
        lambda c: c["estimators"].update(
            {
                "on_grid": c["estimators"]["cnn"] | {"dataset": "grid"},
                "na": c["estimators"]["cnn"] | {"parameters": ["gnabar"], "transfer": ["leaky", "warm"]},
            }
        ),
    )
    assert study.report_datasets == ["train", "calibration", "test", "warm", "leaky", "grid"]
    assert study.transferred == ["na"]
    assert study.transfer_datasets("na") == ["test", "leaky", "warm"]
    spec = study.train_spec("on_grid", 0)
    assert spec["simulation"]["dataset"] == "grid" and spec["n"] == 36
    assert [p["name"] for p in study.train_spec("na", 0)["parameters"]] == ["gnabar"]
    assert list(study.report_spec()["transfers"]) == ["na"]


def test_an_estimator_s_range_is_that_of_its_training(load):
    study = load(lambda c: c["datasets"].update(FURTHER), lambda c: c["estimators"]["cnn"].update(dataset="narrow"))
    assert [(p.low, p.high) for p in study.estimator_space("cnn").parameters] == [(0.1, 0.12), (0.018, 0.072)]
    assert study.training_dataset("cnn@500") == "narrow@500"


def test_a_scale_changes_what_it_names_and_nothing_else(load):
    edit = put(
        "scales.smoke", {"datasets": {"train": {"n": 80}}, "estimators": {"cnn": {"hyperparameters": {"epochs": 3}}}}
    )
    demo, smoke = load(edit), load(edit, scale="smoke")
    assert (demo.n("train"), smoke.n("train")) == (3000, 80)
    assert smoke.n("test") == demo.n("test") and smoke.shard_size == demo.shard_size
    was, now = (dict(s.estimator("cnn")["hyperparameters"]) for s in (demo, smoke))
    assert now.pop("epochs") == 3 and was.pop("epochs") != 3
    assert now == was
    assert "scales" not in smoke.report_spec()["settings"]


OWN = """
    from neuroinverse.simulators.base import ParameterInfo, Signal, Simulator

    class MyCell(Simulator):
        parameters = {"gnabar": ParameterInfo("S/cm2", 0.1), "gkbar": ParameterInfo("S/cm2", 0.1)}
        stimulus_unit = "uA/cm2"

        @property
        def signals(self):
            return (Signal("soma_voltage", "mV", self.dt_ms, (self.n_steps,)),)

        def simulate(self, theta, seeds):
            raise NotImplementedError

    class NoSimulator:
        pass
"""


def test_a_simulator_without_a_stimulus(load, tmp_path):
    file = tmp_path / "my_cell.py"
    file.write_text(textwrap.dedent(OWN).replace('stimulus_unit = "uA/cm2"', "stimulus_unit = None"))
    own = put("simulator", {"path": str(file), "class": "MyCell"})
    with pytest.raises(ConfigError, match=r"edited\.yaml.*protocol\.stimulus: MyCell takes no stimulus; remove it"):
        load(own)
    study = load(own, drop("protocol.stimulus"))
    assert study.evaluate_spec("cnn")["stimulus_unit"] is None
    assert make_simulator(study.dataset_spec("test")["simulation"]).stimulus() is None


KERNEL = """
    needs_kernel = True
    options = ("electrode", "order")

    def kernel_settings(self):
        return {"electrode": self.settings.get("electrode", 1)}

    def kernel_files(self):
        return (Path(__file__).with_name("cell.swc"),)

    @property
"""


def test_a_kernel_is_part_of_what_it_enters(load, tmp_path):
    """Another electrode or another morphology is another kernel, and other simulations; the order is not."""
    morphology, file = tmp_path / "cell.swc", tmp_path / "my_cell.py"
    morphology.write_text("1 1 0 0 0 5 -1\n")
    code = textwrap.dedent(OWN).replace('stimulus_unit = "uA/cm2"', "stimulus_unit = None")
    file.write_text("from pathlib import Path\n" + code.replace("    @property\n", KERNEL, 1))
    own = {"path": str(file), "class": "MyCell"}

    def specs(*edits, **options):
        section = own | ({"options": options} if options else {})
        study = load(put("simulator", section), drop("protocol.stimulus"), *edits)
        return study.kernel_spec(), study.dataset_spec("test")["simulation"]

    kernel, simulation = specs()
    assert simulation["kernel"] == digest(kernel) and kernel["settings"] == {"electrode": 1} and kernel["seed"] == 1
    assert list(kernel["files"]) == [str(morphology)] and len(kernel["files"][str(morphology)]) == 64
    assert specs(electrode=2)[0] != kernel
    other_order = specs(order=3)
    assert other_order[0] == kernel and other_order[1] != simulation
    specs(put("datasets.bigger", {"n": 5, "options": {"order": 3}}))
    with pytest.raises(ConfigError, match=r"datasets\.moved: changes what the kernel is made from"):
        specs(put("datasets.moved", {"n": 5, "options": {"electrode": 3}}))


def test_a_simulator_of_the_users_own(load, tmp_path):
    file = tmp_path / "my_cell.py"
    own = {"path": str(file), "class": "MyCell"}
    with pytest.raises(ConfigError, match=r"edited\.yaml.*simulator\.path: .*my_cell\.py does not exist"):
        load(put("simulator", own))
    file.write_text(textwrap.dedent(OWN))
    study = load(put("simulator", own))
    assert list(study.signals_of("train")) == ["soma_voltage"]
    before = study.dataset_spec("train")["simulation"]["source_sha256"]
    for wrong in ("MyCel", "NoSimulator"):
        with pytest.raises(ConfigError) as caught:
            load(put("simulator", own | {"class": wrong}))
        for word in ("edited.yaml", "simulator.class", "my_cell.py", "subclass of Simulator", repr(wrong)):
            assert word in str(caught.value)
    with pytest.raises(ConfigError, match=r"edited\.yaml: simulator"):
        load(put("simulator", {"path": str(file)}))
    with pytest.raises(ConfigError, match=r"edited\.yaml: simulator"):
        load(put("simulator", own | {"name": "hh_point"}))
    assert len(before) == 64


def test_the_pipelines_configuration():
    config = read_config(ROOT / "config" / "config.yaml")
    assert isinstance(config["master_seed"], int)
    with pytest.raises(ConfigError, match=r"here\.yaml.*'master_sead'.*did you mean 'master_seed'"):
        check_config(config | {"master_sead": 1}, "here.yaml")
    without = {k: v for k, v in config.items() if k != "master_seed"}
    with pytest.raises(ConfigError, match="missing 'master_seed'"):
        check_config(without, "here.yaml")


def test_a_study_may_have_scales_of_its_own(root, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    content = yaml.safe_load((root / "config" / "studies" / "izhikevich.yaml").read_text())
    file = tmp_path / "izhikevich.yaml"
    file.write_text(yaml.safe_dump(content | {"scales": content["scales"] | {"overnight": {"title": "All night"}}}))
    assert load_study(file, "overnight", 1).settings["title"] == "All night"
    with pytest.raises(ConfigError, match=r"scale 'overnigth' is unknown; there are .*overnight"):
        load_study(file, "overnigth", 1)
    file.write_text(yaml.safe_dump(content | {"scales": content["scales"] | {"Over night": {}}}))
    with pytest.raises(ConfigError, match="Over night"):
        load_study(file, "demo", 1)
