"""The vocabulary of the convolutional networks: defaults, and what a network makes of its input, layer by layer.

Two bodies share it. `plain` is the published one (Balewski et al. 2019): every entry of `conv_filter` is a block of
`conv_repeat` × (convolution, activation), then max-pooling. `residual` (after He et al. 2016, CVPR 770) begins with one
strided convolution, the `stem`; its blocks are `conv_repeat` × (two batch-normalised convolutions beside a shortcut),
then max-pooling. Dense layers follow either.

Needs no Keras, so that an impossible network is refused while the study is read.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

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
ACTIVATION, BIAS, BODY = "leaky_relu", ("conv", "fc", "output"), "plain"
# of a flow, beside what a posterior shares with a regressor
FLOW = {"flow_layers": 5, "flow_widths": [64, 64], "flow_bins": 8, "flow_dropout": 0.0, "fc_dims": []}
# what only a regressor has; what only convolutions have
HEAD, CONVOLUTIONS = ("lossName", "lastAct", "outAmpl", "head"), ("conv_repeat", "conv_padding")
# losses that need a head gaussian
LIKELIHOODS = ("nll", "beta_nll")


@dataclass(frozen=True)
class Layer:
    """A layer with weights or pooling, before the dense ones.

    Args:
        name: Its name in the Keras model.
        shape: Its output, (time, channel); (values,) of the flattening.
        kernel: Length of a convolution; 0 of what is none.
        before: Channels of its input.
        normalised: Whether batch normalisation follows it, in the place of a bias.
        activated: Whether an activation follows it; in a residual unit that of the sum counts with the second.
    """

    name: str
    shape: tuple[int, ...]
    kernel: int = 0
    before: int = 0
    normalised: bool = False
    activated: bool = True


def complete(hyperparameters: Mapping, kind: str = "cnn") -> dict:
    """The hyper-parameters of a kind of estimator with defaults filled in."""
    if kind == "cnn":
        return DEFAULTS | dict(hyperparameters)
    unused = HEAD if "conv_filter" in hyperparameters else HEAD + CONVOLUTIONS
    return {k: v for k, v in DEFAULTS.items() if k not in unused} | FLOW | dict(hyperparameters)


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


def check_network(hyperparameters: Mapping, kind: str = "cnn") -> None:
    """Checks that the keys go together.

    Args:
        hyperparameters: The study's, defaults not filled in.
        kind: The kind of the estimator.

    Raises:
        ConfigError: At a key that is missing, or that the network would not use.
    """
    h = hyperparameters
    for key in (*HEAD, "augment") if kind == "posterior" else [k for k in FLOW if k.startswith("flow_")]:
        if key in h:
            raise ConfigError(f"hyperparameters.{key}: an estimator of kind {kind} does not use it; remove it")
    if is_residual(h) and "stem" not in h:
        raise ConfigError("hyperparameters: a residual body begins with a stem; add stem: {length: 16, stride: 8}")
    if "stem" in h and not is_residual(h):
        raise ConfigError("hyperparameters.stem: only a residual body has one; add body: residual, or remove it")
    if is_residual(h) and "conv_padding" in h:
        raise ConfigError("hyperparameters.conv_padding: a residual body pads to the same length; remove it")
    if "weight_decay" in h and h.get("optimizerName") != "adamw":
        raise ConfigError("hyperparameters.weight_decay: belongs to optimizerName: adamw; remove it, or name adamw")
    is_gaussian(h)


def is_residual(hyperparameters: Mapping) -> bool:
    """Whether the network has the residual body."""
    return hyperparameters.get("body", BODY) == "residual"


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


def body_layers(n_samples: int, n_channels: int, hyperparameters: Mapping) -> list[Layer]:
    """Follows the shape of one input through the convolutions.

    Args:
        n_samples: Length of the feature in time.
        n_channels: Its channels.
        hyperparameters: The study's, complete or not.

    Returns:
        The layers in their order, the flattening last.

    Raises:
        ConfigError: At the layer at which the input is used up.
    """
    if "conv_filter" not in hyperparameters:
        return [Layer("flatten", (n_samples * n_channels,), before=n_channels, activated=False)]
    h = complete(hyperparameters)
    layers, n, channels = [], n_samples, n_channels
    if is_residual(h):
        n, filters = -(-n // h["stem"]["stride"]), h["conv_filter"][0]
        layers.append(Layer("stem", (n, filters), h["stem"]["length"], channels, True))
        channels = filters
    for block, (filters, kernel) in enumerate(zip(h["conv_filter"], kernels(h), strict=True), start=1):
        for repeat in range(1, h["conv_repeat"] + 1):
            name = f"conv_{block}_{repeat}"
            if is_residual(h):
                layers.append(Layer(f"{name}_a", (n, filters), kernel, channels, True))
                layers.append(Layer(f"{name}_b", (n, filters), kernel, filters, True))
                if channels != filters:
                    layers.append(Layer(f"{name}_skip", (n, filters), 1, channels, activated=False))
            else:
                _require(n, kernel if h["conv_padding"] == "valid" else 1, name, "conv_kernel", h, n_samples)
                n -= kernel - 1 if h["conv_padding"] == "valid" else 0
                layers.append(Layer(name, (n, filters), kernel, channels))
            channels = filters
        name = f"pool_{block}"
        _require(n, h["pool_len"], name, "pool_len", h, n_samples)
        n //= h["pool_len"]
        layers.append(Layer(name, (n, channels), before=channels, activated=False))
    return [*layers, Layer("flatten", (n * channels,), before=channels, activated=False)]


def layer_shapes(n_samples: int, n_channels: int, hyperparameters: Mapping) -> list[tuple[str, tuple[int, ...]]]:
    """Name and output shape of every layer of `body_layers`, which see."""
    return [(layer.name, layer.shape) for layer in body_layers(n_samples, n_channels, hyperparameters)]


def multiply_adds(n_samples: int, n_channels: int, hyperparameters: Mapping, n_outputs: int) -> int:
    """Multiply-adds of one forward pass: what a network costs, up to the speed of the machine.

    Args:
        n_samples: Length of the feature in time.
        n_channels: Its channels.
        hyperparameters: The study's, complete or not.
        n_outputs: Number of parameters.
    """
    *convolutions, flat = body_layers(n_samples, n_channels, hyperparameters)
    total = sum(layer.shape[0] * layer.shape[1] * layer.kernel * layer.before for layer in convolutions)
    dense = [*flat.shape, *hyperparameters.get("fc_dims", ())]
    if "flow_layers" in hyperparameters:
        total += _flow_multiply_adds(dense[-1], hyperparameters, n_outputs)
    else:
        dense.append(n_outputs * (1 + is_gaussian(hyperparameters)))
    return total + sum(a * b for a, b in itertools.pairwise(dense))


def _flow_multiply_adds(condition: int, h: Mapping, n_outputs: int) -> int:
    """Of a coupling flow: two perceptrons a layer, each of which moves one half of the parameters by the other."""
    half = -(-n_outputs // 2)
    # four numbers of the domain, and the widths, heights and slopes of its bins
    widths = [half + condition, *h["flow_widths"], half * (3 * h["flow_bins"] + 3)]
    return 2 * h["flow_layers"] * sum(a * b for a, b in itertools.pairwise(widths))


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
    *convolutions, flat = body_layers(n_samples, n_channels, h)
    total, before = 0, flat.shape[0]
    for layer in convolutions:
        if layer.kernel:
            # batch normalisation has a scale and an offset
            more = 2 if layer.normalised else bias["conv"]
            total += (layer.kernel * layer.before + more) * layer.shape[1]
    for width in h["fc_dims"]:
        total, before = total + (before + bias["fc"]) * width, width
    return total + (before + bias["output"]) * n_outputs + (before + 1) * n_outputs * is_gaussian(h)


def layers(hyperparameters: Mapping) -> int:
    """Keras layers from the input to the output; activations, normalisation and dropout counted, features not."""
    h = complete(hyperparameters)
    # shapes count for nothing here: an input that is long enough
    body = body_layers(10**9, 1, h)
    convolutions = sum(1 + layer.activated + layer.normalised for layer in body[:-1])
    sums = len(h["conv_filter"]) * h["conv_repeat"] if is_residual(h) else 0
    dense = len(h["fc_dims"]) * (3 if h["dropFrac"] > 0 else 2)
    # besides these the input, the flattening and the output
    return convolutions + sums + dense + 3 + (h["outAmpl"] != 1) + 3 * is_gaussian(h)


def _require(n, needed, layer, key, hyperparameters, n_samples):
    if n < needed:
        raise ConfigError(
            f"hyperparameters: the network dies at layer {layer}: {key} needs {needed} samples and {n} are left of "
            f"the input's {n_samples}. Use fewer conv_filter blocks (now {len(hyperparameters['conv_filter'])}), "
            f"a smaller pool_len (now {hyperparameters['pool_len']}), or a longer input"
        )
