"""The published CNN vocabulary: its defaults, and the check that a network's pooling leaves something of its input.

Needs no Keras, so that an impossible network is refused while the study is read.
"""

import itertools
from collections.abc import Mapping

from neuroinverse.errors import ConfigError

DEFAULTS = {
    "conv_repeat": 1,
    "conv_padding": "valid",
    "lastAct": "linear",
    "outAmpl": 1.0,
    "dropFrac": 0.0,
    "lossName": "mse",
    "optimizerName": "adam",
    "learning_rate": 0.001,
    "lrSchedule": "plateau",
    "batch_size": 32,
    "reduceLR_factor": 0.3,
    "reduceLR_patience": 5,
    "earlyStop_patience": 20,
}
# not among those that are filled in: a network that says nothing of them keeps the specification it had without them
ACTIVATION, BIAS = "leaky_relu", ("conv", "fc", "output")
# losses that need a head gaussian
LIKELIHOODS = ("nll", "beta_nll")


def complete(hyperparameters: Mapping) -> dict:
    """The hyper-parameters with defaults filled in."""
    return DEFAULTS | dict(hyperparameters)


def is_gaussian(hyperparameters: Mapping) -> bool:
    """Whether the network states a standard deviation for each parameter.

    Raises:
        ConfigError: If its loss is not that of its head.
    """
    head, name = hyperparameters.get("head", "point"), hyperparameters.get("lossName", DEFAULTS["lossName"])
    if (head == "gaussian") != (name in LIKELIHOODS):
        raise ConfigError(
            f"hyperparameters.lossName: {name} is no loss of the head {head}. Head gaussian takes lossName "
            f"{' or '.join(LIKELIHOODS)}, and head point, the default, any other"
        )
    return head == "gaussian"


def kernels(hyperparameters: Mapping) -> list[int]:
    """Length of the convolutions of every block.

    Raises:
        ConfigError: If a list of lengths has not one for each block.
    """
    kernel, blocks = hyperparameters["conv_kernel"], len(hyperparameters["conv_filter"])
    if not isinstance(kernel, list):
        return [kernel] * blocks
    if len(kernel) != blocks:
        raise ConfigError(
            f"hyperparameters.conv_kernel: {len(kernel)} lengths for the {blocks} blocks of conv_filter; "
            "give one for each, or a single number"
        )
    return kernel


def layer_shapes(n_samples: int, n_channels: int, hyperparameters: Mapping) -> list[tuple[str, tuple[int, ...]]]:
    """Follows the shape of one input through the network.

    Every entry of `conv_filter` is a block: `conv_repeat` × (convolution, activation), then max-pooling.

    Args:
        n_samples: Length of the feature in time.
        n_channels: Its channels.
        hyperparameters: The study's, complete or not.

    Returns:
        Name and output shape of every layer with weights or pooling, the flattened shape last.

    Raises:
        ConfigError: At the layer at which the input is used up.
    """
    h = complete(hyperparameters)
    shapes, n = [], n_samples
    for block, (filters, kernel) in enumerate(zip(h["conv_filter"], kernels(h), strict=True), start=1):
        for repeat in range(1, h["conv_repeat"] + 1):
            name = f"conv_{block}_{repeat}"
            _require(n, kernel if h["conv_padding"] == "valid" else 1, name, "conv_kernel", h, n_samples)
            n -= kernel - 1 if h["conv_padding"] == "valid" else 0
            shapes.append((name, (n, filters)))
        name = f"pool_{block}"
        _require(n, h["pool_len"], name, "pool_len", h, n_samples)
        n //= h["pool_len"]
        shapes.append((name, (n, filters)))
    shapes.append(("flatten", (n * h["conv_filter"][-1],)))
    return shapes


def multiply_adds(n_samples: int, n_channels: int, hyperparameters: Mapping, n_outputs: int) -> int:
    """Multiply-adds of one forward pass: what a network costs, up to the speed of the machine.

    Args:
        n_samples: Length of the feature in time.
        n_channels: Its channels.
        hyperparameters: The study's, complete or not.
        n_outputs: Number of parameters.
    """
    h = complete(hyperparameters)
    total, channels, flat = 0, n_channels, 0
    each = (k for k in kernels(h) for _ in range(h["conv_repeat"]))
    for name, shape in layer_shapes(n_samples, n_channels, h):
        if name.startswith("conv"):
            total += shape[0] * shape[1] * next(each) * channels
            channels = shape[1]
        flat = shape[0]
    widths = [flat, *h["fc_dims"], n_outputs * (1 + is_gaussian(h))]
    return total + sum(a * b for a, b in itertools.pairwise(widths))


def weights(n_samples: int, n_channels: int, hyperparameters: Mapping, n_outputs: int) -> int:
    """Weights and biases that are trained.

    Args:
        n_samples: Length of the feature in time.
        n_channels: Its channels.
        hyperparameters: The study's, complete or not.
        n_outputs: Number of parameters.
    """
    h = complete(hyperparameters)
    bias = {kind: kind in h.get("bias", BIAS) for kind in BIAS}
    total, before = 0, n_channels
    each = (k for k in kernels(h) for _ in range(h["conv_repeat"]))
    for name, shape in layer_shapes(n_samples, n_channels, h):
        if name.startswith("conv"):
            total += (next(each) * before + bias["conv"]) * shape[1]
        before = shape[-1]
    for width in h["fc_dims"]:
        total, before = total + (before + bias["fc"]) * width, width
    return total + (before + bias["output"]) * n_outputs + (before + 1) * n_outputs * is_gaussian(h)


def layers(hyperparameters: Mapping) -> int:
    """Keras layers from the input to the output, activations and dropout counted, features not."""
    h = complete(hyperparameters)
    convolutions = len(h["conv_filter"]) * (2 * h["conv_repeat"] + 1)
    dense = len(h["fc_dims"]) * (3 if h["dropFrac"] > 0 else 2)
    # besides these the input, the flattening and the output
    return convolutions + dense + 3 + (h["outAmpl"] != 1) + 3 * is_gaussian(h)


def _require(n, needed, layer, key, hyperparameters, n_samples):
    if n < needed:
        raise ConfigError(
            f"hyperparameters: the network dies at layer {layer}: {key} needs {needed} samples and {n} are left of "
            f"the input's {n_samples}. Use fewer conv_filter blocks (now {len(hyperparameters['conv_filter'])}), "
            f"a smaller pool_len (now {hyperparameters['pool_len']}), or a longer input"
        )
