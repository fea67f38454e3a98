import numpy as np
import pytest

from neuroinverse.errors import ConfigError
from neuroinverse.estimators.architecture import (
    DEFAULTS,
    check_network,
    complete,
    layer_shapes,
    layers,
    multiply_adds,
    weights,
)

# The published hyper-parameter scan (2019, 10 outputs, input of 14500 samples): id, repeat, filters, kernel, pool,
# dense layers, flat size, thousands of weights, number of layers
PUBLISHED_SCAN = [
    (410, 3, [19, 28, 37, 46, 55], 7, 3, [105, 87, 69, 51, 33, 15], 2750, 458.6, 58),
    (335, 2, [13, 22, 31, 40], 7, 3, [36, 26], 6920, 288.6, 31),
    (203, 2, [18, 25, 32, 39, 46], 6, 4, [80, 63, 46, 29], 460, 106.4, 42),
    (50, 3, [15, 23, 31, 39], 7, 3, [99, 80, 61, 42], 6630, 734.0, 45),
    (196, 2, [17, 25, 33, 41, 49], 5, 4, [82, 69, 56, 43], 539, 110.7, 42),
    (212, 3, [20, 27, 34, 41], 5, 6, [101, 86, 71, 56, 41, 26], 328, 110.3, 51),
    (246, 3, [9, 16, 23], 7, 6, [25, 18], 1449, 52.8, 32),
    (437, 1, [14, 21, 28, 35, 42, 49], 7, 3, [58, 51, 44, 37, 30, 23, 16], 784, 92.9, 44),
    (242, 3, [16, 23, 30], 7, 4, [68, 52, 36], 6600, 486.0, 35),
    (216, 3, [10, 18, 26], 6, 7, [57, 41, 25], 1014, 78.9, 35),
    (321, 1, [19, 21, 23, 25], 7, 4, [77, 67, 57, 47], 1350, 126.8, 29),
    (211, 2, [19, 22, 25, 28], 4, 4, [41, 26], 1512, 79.3, 31),
    (239, 3, [19, 26, 33, 40], 4, 5, [106, 96, 86, 76, 66, 56, 46], 800, 163.0, 54),
    (324, 3, [17, 24, 31], 3, 5, [80, 69, 58, 47, 36], 3534, 312.0, 41),
]
INPUT_SCAN, OUTPUTS_SCAN = 14500, 10


def hyperparameters(repeat, filters, kernel, pool, fc, **more):
    return complete(
        {"conv_repeat": repeat, "conv_filter": filters, "conv_kernel": kernel, "pool_len": pool, "fc_dims": fc} | more
    )


NETWORK_2018 = hyperparameters(1, [4, 6, 8, 10, 12], 7, 3, [10, 10], conv_padding="same", dropFrac=0.1)


def build(n_samples, h, n_outputs, n_channels=None):
    from neuroinverse.estimators.cnn import build_models
    from neuroinverse.simulators.base import Signal

    shape = (n_samples,) if n_channels is None else (n_samples, n_channels)
    return build_models(Signal("soma_voltage", "mV", 0.02, shape), [], h, n_outputs, None)[0]


def weights_by_hand(shapes, h, n_channels, n_outputs):
    """Kernel and bias of every convolution and dense layer, from the shapes alone."""
    total, before = 0, n_channels
    for name, shape in shapes:
        if name.startswith("conv"):
            total += (h["conv_kernel"] * before + 1) * shape[1]
        before = shape[-1]
    for width in (*h["fc_dims"], n_outputs):
        total, before = total + (before + 1) * width, width
    return total


@pytest.mark.parametrize(
    ("id", "repeat", "filters", "kernel", "pool", "fc", "flat", "weights_k", "layers"), PUBLISHED_SCAN
)
def test_flat_size_and_weights_are_the_published_ones(id, repeat, filters, kernel, pool, fc, flat, weights_k, layers):
    h = hyperparameters(repeat, filters, kernel, pool, fc)
    shapes = layer_shapes(INPUT_SCAN, 1, h)
    assert shapes[-1] == ("flatten", (flat,))
    assert round(weights_by_hand(shapes, h, 1, OUTPUTS_SCAN) / 1000, 1) == weights_k


def test_same_padding_gives_the_network_of_2018():
    shapes = dict(layer_shapes(7600, 1, NETWORK_2018))
    assert shapes["conv_1_1"] == (7600, 4)
    assert shapes["pool_5"] == (31, 12)
    assert shapes["flatten"] == (372,)


@pytest.mark.parametrize("published", [p for p in PUBLISHED_SCAN if p[0] in (203, 410, 335)], ids=lambda p: str(p[0]))
def test_keras_builds_the_published_networks(published):
    id, repeat, filters, kernel, pool, fc, flat, weights_k, layers = published
    h = hyperparameters(repeat, filters, kernel, pool, fc, dropFrac=0.01, lastAct="tanh")
    model = build(INPUT_SCAN, h, OUTPUTS_SCAN)
    for name, shape in layer_shapes(INPUT_SCAN, 1, h):
        assert model.get_layer(name).output.shape[1:] == shape
    print(
        f"{id}: {model.count_params()} weights, published {weights_k} k; {len(model.layers)} layers, published {layers}"
    )
    assert round(model.count_params() / 1000, 1) == weights_k
    assert model.get_layer("flatten").output.shape[1:] == (flat,)
    assert model.output.shape == (None, OUTPUTS_SCAN)


def test_keras_builds_the_network_of_2018():
    model = build(7600, NETWORK_2018, 2)
    for name, shape in layer_shapes(7600, 1, NETWORK_2018):
        assert model.get_layer(name).output.shape[1:] == shape
    assert model.count_params() == 5834
    drops = [layer.rate for layer in model.layers if layer.name.startswith("drop")]
    assert drops == [0.1, 0.1]
    answer = model.predict(np.random.default_rng(0).normal(size=(3, 7600, 1)).astype(np.float32), verbose=0)
    assert answer.shape == (3, 2) and np.isfinite(answer).all()


def test_several_channels_and_the_output_amplitude():
    h = hyperparameters(2, [3, 5], 4, 2, [7], lastAct="tanh", outAmpl=1.2)
    model = build(50, h, 3, n_channels=4)
    shapes = layer_shapes(50, 4, h)
    assert [s for _, s in shapes] == [(47, 3), (44, 3), (22, 3), (19, 5), (16, 5), (8, 5), (40,)]
    for name, shape in shapes:
        assert model.get_layer(name).output.shape[1:] == shape
    assert model.count_params() == weights_by_hand(shapes, h, 4, 3)
    extreme = np.abs(model.predict(1e6 * np.ones((1, 50, 4), np.float32), verbose=0))
    assert extreme.max() == pytest.approx(1.2, abs=1e-4)


RESIDUAL = {"body": "residual", "stem": {"length": 6, "stride": 4}, "activation": "relu"}


@pytest.mark.parametrize("more", [{}, {"dropFrac": 0.1}, {"conv_kernel": [3, 5]}])
def test_keras_builds_the_residual_network(more):
    h = hyperparameters(2, [3, 5], 3, 2, [7], **RESIDUAL) | more
    shapes = layer_shapes(50, 2, h)
    assert shapes == [
        ("stem", (13, 3)),
        *((f"conv_1_{name}", (13, 3)) for name in ("1_a", "1_b", "2_a", "2_b")),
        ("pool_1", (6, 3)),
        *((f"conv_2_{name}", (6, 5)) for name in ("1_a", "1_b", "1_skip", "2_a", "2_b")),
        ("pool_2", (3, 5)),
        ("flatten", (15,)),
    ]
    model = build(50, h, 4, n_channels=2)
    for name, shape in shapes:
        assert model.get_layer(name).output.shape[1:] == shape
    trained = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert trained == weights(50, 2, h, 4)
    assert len(model.layers) == layers(h)


def test_a_residual_network_is_its_shortcut_and_a_correction():
    """With the second normalisation of every unit at zero, what is left is the stem, the projection and the pooling."""
    import keras

    h = hyperparameters(1, [3, 5], 3, 2, [], **RESIDUAL)
    model = build(40, h, 2)
    x = np.random.default_rng(0).normal(size=(4, 40, 1)).astype(np.float32)
    for block in (1, 2):
        model.get_layer(f"conv_{block}_1_b_norm").set_weights([np.zeros(h["conv_filter"][block - 1])] * 4)
    stem = keras.Model(model.input, model.get_layer("stem_norm").output).predict(x, verbose=0)
    pooled = np.maximum(stem, 0).reshape(4, 5, 2, 3).max(axis=2)
    kernel, bias = model.get_layer("conv_2_1_skip").get_weights()
    shortcut = np.maximum(pooled @ kernel[0] + bias, 0)[:, :4].reshape(4, 2, 2, 5).max(axis=2)
    kernel, bias = model.get_layer("unit_parameters").get_weights()
    answer = shortcut.reshape(4, -1) @ kernel + bias
    np.testing.assert_allclose(model.predict(x, verbose=0), answer, atol=1e-5)
    assert multiply_adds(40, 1, h, 2) == 10 * 3 * 6 + 2 * 10 * 3 * 3 * 3 + 5 * 5 * (3 * 3 + 5 * 3 + 3) + 10 * 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"body": "residual"}, ["hyperparameters", "stem: {length: 16, stride: 8}"]),
        ({"stem": {"length": 3, "stride": 2}}, ["hyperparameters.stem", "body: residual"]),
        (RESIDUAL | {"conv_padding": "valid"}, ["hyperparameters.conv_padding", "remove it"]),
        ({"weight_decay": 0.1}, ["hyperparameters.weight_decay", "adamw"]),
        ({"weight_decay": 0.1, "optimizerName": "adam"}, ["hyperparameters.weight_decay", "adamw"]),
    ],
)
def test_keys_that_do_not_go_together(change, words):
    with pytest.raises(ConfigError) as caught:
        check_network(change)
    for word in words:
        assert word in str(caught.value)
    check_network(RESIDUAL | {"weight_decay": 0.1, "optimizerName": "adamw"})


def test_weight_decay_reaches_the_optimiser():
    from neuroinverse.estimators.cnn import make_optimizer

    h = complete({"optimizerName": "adamw", "weight_decay": 0.125})
    assert make_optimizer(h).weight_decay == 0.125
    assert make_optimizer(complete({})).weight_decay is None


@pytest.mark.parametrize(
    ("n", "changes", "layer", "words"),
    [
        (20, {}, "conv_2_1", ["conv_kernel needs 7 samples", "4 are left", "20"]),
        (6, {}, "conv_1_1", ["6 are left"]),
        (8, {}, "pool_1", ["pool_len needs 3", "2 are left"]),
        (12, {"conv_repeat": 2}, "conv_1_2", ["6 are left"]),
        (26, {"conv_padding": "same"}, "pool_3", ["pool_len needs 3", "2 are left"]),
    ],
)
def test_a_dying_network_names_the_layer(n, changes, layer, words):
    h = hyperparameters(1, [4, 4, 4], 7, 3, [10]) | changes
    with pytest.raises(ConfigError) as caught:
        layer_shapes(n, 1, h)
    for word in (f"layer {layer}:", "conv_filter", "pool_len", *words):
        assert word in str(caught.value)
    with pytest.raises(ConfigError, match=layer):
        build(n, h, 1)


def test_the_smallest_input_that_survives_is_one_more_than_the_largest_that_dies():
    h = hyperparameters(2, [4, 4, 4], 5, 3, [10])
    survives = [True] * 400
    for n in range(1, 400):
        try:
            layer_shapes(n, 1, h)
        except ConfigError:
            survives[n] = False
    least = survives.index(False, 1) + survives[1:].count(False)
    assert survives[1:least] == [False] * (least - 1) and all(survives[least:])
    # backwards by hand: 3 → +8 = 11 → ×3 = 33 → +8 = 41 → ×3 = 123 → +8
    assert least == 131
    assert layer_shapes(131, 1, h)[-1] == ("flatten", (4,))


# LFP spectra of six contacts, 151 frequencies: convolutions and output without bias
NETWORK_2020 = hyperparameters(1, [20, 20, 20], [12, 3, 3], 2, [128, 128], activation="relu", bias=["fc"])


def test_keras_builds_the_network_of_2020():
    shapes = layer_shapes(151, 6, NETWORK_2020)
    assert [s for _, s in shapes] == [(140, 20), (70, 20), (68, 20), (34, 20), (32, 20), (16, 20), (320,)]
    model = build(151, NETWORK_2020, 3, n_channels=6)
    for name, shape in shapes:
        assert model.get_layer(name).output.shape[1:] == shape
    convolutions = 12 * 6 * 20 + 2 * 3 * 20 * 20
    assert model.count_params() == convolutions + (320 + 1) * 128 + (128 + 1) * 128 + 128 * 3
    assert multiply_adds(151, 6, NETWORK_2020, 3) == (
        140 * 20 * 12 * 6 + 68 * 20 * 3 * 20 + 32 * 20 * 3 * 20 + 320 * 128 + 128 * 128 + 128 * 3
    )
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("ReLU") == 5 and "LeakyReLU" not in kinds


def test_lists_of_kernels_fit_the_blocks():
    with pytest.raises(ConfigError, match=r"conv_kernel: 2 lengths for the 3 blocks"):
        layer_shapes(151, 6, NETWORK_2020 | {"conv_kernel": [12, 3]})
    with pytest.raises(ConfigError, match=r"layer conv_3_1: conv_kernel needs 40 samples and 34 are left"):
        layer_shapes(151, 6, NETWORK_2020 | {"conv_kernel": [12, 3, 40]})
    twice = hyperparameters(2, [4, 4], [3, 5], 2, [7])
    assert [s for _, s in layer_shapes(50, 1, twice)] == [(48, 4), (46, 4), (23, 4), (19, 4), (15, 4), (7, 4), (28,)]
    assert multiply_adds(50, 1, twice, 1) == 48 * 4 * 3 + 46 * 4 * 3 * 4 + (19 + 15) * 4 * 5 * 4 + 28 * 7 + 7


def test_complete_keeps_what_is_given():
    assert complete({"batch_size": 7})["batch_size"] == 7
    assert complete({"batch_size": 7})["optimizerName"] == DEFAULTS["optimizerName"]
    assert "batch_size" in DEFAULTS and DEFAULTS["batch_size"] != 7
