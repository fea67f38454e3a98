"""The published networks of config/networks: named by a study, they are what was published."""

import shutil
from pathlib import Path

import pytest
import yaml

from neuroinverse.config import NETWORKS, SPACES, load_study, network_names
from neuroinverse.errors import ConfigError
from neuroinverse.estimators.architecture import complete, layer_shapes
from neuroinverse.provenance import canonical

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "config" / "studies" / "izhikevich.yaml"

# Name, input, outputs, flat size, thousands of weights. The table of the search (2019) is for inputs of 14500 samples,
# ten outputs; the network of 2018 had 7600, two outputs
PUBLISHED = [
    ("golden_203", 14500, 10, 460, 106.4),
    ("model_410", 14500, 10, 2750, 458.6),
    ("model_335", 14500, 10, 6920, 288.6),
    ("funcinv_2018", 7600, 2, 372, 5.8),
]
# what is printed of the training
TRAINING = {
    "golden_203": {"lossName": "mse", "optimizerName": "adam", "batch_size": 16, "dropFrac": 0.02, "lastAct": "tanh"},
    "model_410": {"lossName": "mse", "optimizerName": "adam", "batch_size": 256, "dropFrac": 0.01, "lastAct": "tanh"},
    "model_335": {"lossName": "mse", "optimizerName": "nadam", "batch_size": 64, "dropFrac": 0.01, "lastAct": "linear"},
    "model_1": {"lossName": "mse", "optimizerName": "adam", "outAmpl": 1.2, "dropFrac": 0.02, "lastAct": "tanh"},
    "model_693": {
        "lossName": "mae",
        "optimizerName": "adam",
        "batch_size": 32,
        "reduceLR_factor": 0.14,
        "outAmpl": 1.2,
        "dropFrac": 0.01,
        "lastAct": "tanh",
    },
    "funcinv_2018": {"lossName": "mse", "optimizerName": "adam", "dropFrac": 0.1, "lastAct": "linear"},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with networks of its own."""
    monkeypatch.chdir(tmp_path)
    for own in (NETWORKS, SPACES):
        shutil.copytree(ROOT / own, tmp_path / own)
    return tmp_path


@pytest.fixture
def load(folder):
    """Loads the study with other hyper-parameters, and others at the scale smoke."""

    def load_with(smoke=None, scale="demo", **hyperparameters):
        content = yaml.safe_load(STUDY.read_text())
        content["estimators"]["cnn"]["hyperparameters"] = hyperparameters
        content["scales"]["smoke"]["estimators"]["cnn"]["hyperparameters"] = smoke or {}
        path = folder / "edited.yaml"
        path.write_text(yaml.safe_dump(content))
        return load_study(path, scale, 1)

    return load_with


def hyperparameters(study) -> dict:
    return study.train_spec("cnn", 0)["hyperparameters"]


def test_all_networks_are_known_here():
    ours = {"residual"}
    assert {p.stem for p in (ROOT / NETWORKS).iterdir()} == set(TRAINING) | ours
    assert set(TRAINING) >= {name for name, *_ in PUBLISHED}


def test_ours_is_the_default(load):
    default = hyperparameters(load(epochs=7))
    assert default == hyperparameters(load(network="residual", epochs=7)) and default["body"] == "residual"
    assert hyperparameters(load(epochs=7, batch_size=8)) == default | {"batch_size": 8}
    # one that says a part of what a network is has forgotten the rest
    with pytest.raises(ConfigError, match="missing 'conv_filter', 'pool_len', 'fc_dims'; add it"):
        load(epochs=1, conv_kernel=5)
    # a scale that takes a network out has the default
    taken = load({"network": None}, "smoke", network="golden_203", epochs=7)
    assert hyperparameters(taken) == default


@pytest.mark.parametrize("name", TRAINING)
def test_a_study_names_a_network(load, name):
    h = hyperparameters(load(network=name, epochs=7, learning_rate=0.002))
    file = yaml.safe_load((NETWORKS / f"{name}.yaml").read_text())
    assert h == complete(file | {"epochs": 7, "learning_rate": 0.002})
    assert {key: h[key] for key in TRAINING[name]} == TRAINING[name]
    assert not {"epochs", "learning_rate"} & set(file), "not published"
    shapes = layer_shapes(9000, 1, h)
    assert shapes[-1][0] == "flatten" and shapes[-1][1][0] >= h["conv_filter"][-1]


@pytest.mark.parametrize(("name", "n", "outputs", "flat", "weights_k"), PUBLISHED)
def test_its_size_is_the_published_one(load, name, n, outputs, flat, weights_k):
    from neuroinverse.estimators.cnn import build_models
    from neuroinverse.simulators.base import Signal

    h = hyperparameters(load(network=name, epochs=1))
    assert layer_shapes(n, 1, h)[-1] == ("flatten", (flat,))
    model = build_models(Signal("voltage", "mV", 0.02, (n,)), [], h, outputs, None)[0]
    assert model.get_layer("flatten").output.shape[1:] == (flat,)
    assert round(model.count_params() / 1000, 1) == weights_k


def test_model_1_and_model_693_as_printed(load):
    first, second = (hyperparameters(load(network=name, epochs=1)) for name in ("model_1", "model_693"))
    blocks = ("conv_filter", "conv_kernel", "conv_repeat", "pool_len", "fc_dims")
    assert [first[key] for key in blocks] == [[6, 12, 18, 24, 30, 36], 5, 2, 3, [20, 10, 10]]
    assert [second[key] for key in blocks] == [[18, 25], 5, 3, 7, [148, 131, 114, 97, 80, 63, 46]]


def test_the_study_goes_over_the_network_and_the_scale_over_both(load):
    own = {"network": "golden_203", "epochs": 40, "dropFrac": 0.0, "batch_size": 64}
    smoke = {"epochs": 2, "batch_size": 8, "conv_kernel": 5}
    demo, small = (hyperparameters(load(smoke, scale, **own)) for scale in ("demo", "smoke"))
    assert (demo["dropFrac"], demo["batch_size"], demo["epochs"], demo["conv_kernel"]) == (0.0, 64, 40, 6)
    assert small == demo | smoke
    other = hyperparameters(load({"network": "model_335"}, "smoke", **own))
    assert other["conv_filter"] == [13, 22, 31, 40] and other["batch_size"] == 64
    # what a scale takes out is the network's again
    assert hyperparameters(load({"batch_size": None}, "smoke", **own))["batch_size"] == 16


def test_its_name_enters_nothing(load, folder):
    study = load(network="golden_203", epochs=3)
    specs = canonical([study.train_spec("cnn", 0), study.report_spec()])
    assert "golden_203" not in specs and '"network"' not in canonical(study.train_spec("cnn", 0))
    (folder / NETWORKS / "golden_203.yaml").rename(folder / NETWORKS / "renamed.yaml")
    renamed = load(network="renamed", epochs=3)
    assert canonical([renamed.train_spec("cnn", 0), renamed.report_spec()]) == specs
    written = yaml.safe_load((folder / NETWORKS / "renamed.yaml").read_text())
    written = load(**written, epochs=3)
    assert canonical([written.train_spec("cnn", 0), written.report_spec()]) == specs


def test_the_working_directory_s_own_networks(load, folder):
    (folder / NETWORKS / "mine.yaml").write_text("conv_filter: [3]\nconv_kernel: 5\npool_len: 4\nfc_dims: [7]\n")
    assert "mine" in network_names()
    assert hyperparameters(load(network="mine", epochs=1))["fc_dims"] == [7]


def test_an_unknown_network(load, folder):
    with pytest.raises(ConfigError) as caught:
        load(network="golden_230", epochs=1)
    for word in (
        "edited.yaml",
        "estimators.cnn.hyperparameters.network",
        "'golden_230'",
        "did you mean 'golden_203'",
        str(NETWORKS),
        "funcinv_2018, golden_203, model_1, model_335, model_410, model_693, residual",
    ):
        assert word in str(caught.value)
    for name in ("zzzz", "../../edited", ""):
        with pytest.raises(ConfigError, match=r"is unknown.*; config/networks has funcinv_2018"):
            load(network=name, epochs=1)
    with pytest.raises(ConfigError, match=r"hyperparameters\.network: 203 is no text; write \"203\", in quotes"):
        load(network=203, epochs=1)
    shutil.rmtree(folder / NETWORKS)
    with pytest.raises(ConfigError, match="'golden_203' is unknown; config/networks has no files"):
        load(network="golden_203", epochs=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("conv_filters: [3]\n", ["unknown key 'conv_filters'", "did you mean 'conv_filter'"]),
        ("pool_len: many\n", ["pool_len", "'many'"]),
        ("learning_rate: 1e-3\n", ["learning_rate", "write 1.0e-3"]),
        ("network: golden_203\n", ["unknown key 'network'"]),
        ("- 3\n", ["expected keys and values"]),
        ("conv_filter: [\n", ["cannot be read as YAML"]),
    ],
)
def test_a_mistake_in_a_network_s_file_is_named_with_the_file(load, folder, text, words):
    (folder / NETWORKS / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(network="mine", epochs=1)
    for word in ("config/networks/mine.yaml", *words):
        assert word in str(caught.value)


def test_what_the_network_leaves_open_the_study_says(load, folder):
    with pytest.raises(ConfigError, match=r"edited\.yaml.*estimators\.cnn\.hyperparameters: missing 'epochs'; add it"):
        load(network="golden_203")
    (folder / NETWORKS / "mine.yaml").write_text("conv_filter: [3]\nconv_kernel: 5\nfc_dims: [7]\n")
    with pytest.raises(ConfigError, match="missing 'pool_len'; add it"):
        load(network="mine", epochs=1)
    assert hyperparameters(load(network="mine", epochs=1, pool_len=4))["pool_len"] == 4
