"""A space of networks: how a design is drawn from it, and which draws are rejected before anything is trained.

A space (config/search) gives for every hyper-parameter a range or a constant. Needs no Keras: studies are checked and
workflows are planned with it.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from neuroinverse.errors import ConfigError
from neuroinverse.estimators.architecture import complete, layer_shapes, multiply_adds, weights
from neuroinverse.parameters import seed_sequence

# these become conv_filter and fc_dims
GEOMETRY = ("conv_blocks", "conv_filter_first", "conv_filter_step", "fc_layers", "fc_last", "fc_step")
# what is no hyper-parameter
SECTIONS = ("together", "limits")
# a space of which fewer draws are valid than about one in a hundred is of no use
MOST_DRAWS = 2000


@dataclass(frozen=True)
class Rejected:
    """A draw that cannot be trained, or is not to be.

    Args:
        kind: The reason in words that are shared by many, to be counted.
        reason: The reason with its numbers.
        hyperparameters: What was drawn.
    """

    kind: str
    reason: str
    hyperparameters: dict


@dataclass(frozen=True)
class Design:
    """The network of a trial: complete hyper-parameters without epochs, and the draws before it that were rejected."""

    hyperparameters: dict
    rejected: list[Rejected] = field(default_factory=list)


def draw_design(
    space: Mapping, master_seed: int, study: str, trial: int, shape: tuple[int, int], n_outputs: int
) -> Design:
    """Draws the design of a trial: the first valid one of a stream that is the trial's own.

    It depends on (master_seed, study, trial) alone, beside the space and what the network is for: neither on other
    trials nor on their number.

    Args:
        space: Content of a file in config/search.
        master_seed: The seed of the configuration.
        study: Name of the study.
        trial: Number of the trial, from 0.
        shape: Samples and channels of the network's input.
        n_outputs: Number of parameters that are inferred.

    Raises:
        ConfigError: If no draw is valid.
    """
    import numpy as np

    rng = np.random.default_rng(seed_sequence(master_seed, f"{study}/search", trial))
    rejected = []
    while len(rejected) < MOST_DRAWS:
        hyperparameters = _draw(space, rng, n_outputs)
        found = rejection(hyperparameters, shape, n_outputs, space.get("limits", {}))
        if found is None:
            return Design(complete(hyperparameters), rejected)
        rejected.append(Rejected(*found, hyperparameters))
    raise ConfigError(
        f"none of {MOST_DRAWS} draws is a network for an input of {shape[0]} samples; the last: {rejected[-1].reason}. "
        "Draw fewer conv_blocks or a smaller pool_len, raise the limits, or take a longer input"
    )


def rejection(
    hyperparameters: Mapping, shape: tuple[int, int], n_outputs: int, limits: Mapping
) -> tuple[str, str] | None:
    """Why a network is not to be trained, as `Rejected.kind` and `Rejected.reason`; None where it may be.

    Args:
        hyperparameters: The network.
        shape: Samples and channels of its input.
        n_outputs: Number of parameters that are inferred.
        limits: Of the space.
    """
    try:
        flat = layer_shapes(*shape, hyperparameters)[-1][1][0]
    except ConfigError as error:
        # without the cure, which is for those who chose the network themselves
        reason = str(error).removeprefix("hyperparameters: ").partition(". ")[0]
        block = re.search(r"layer \w+?_(\d+)", reason)[1]
        return f"the input is used up in block {block}", reason
    for key, words, value in (
        ("flat_size", "flat size", lambda: flat),
        ("weights", "weights", lambda: weights(*shape, hyperparameters, n_outputs)),
        ("multiply_adds", "multiply-adds", lambda: multiply_adds(*shape, hyperparameters, n_outputs)),
    ):
        if key in limits and value() > limits[key]:
            kind = f"{words} above {limits[key]}"
            return kind, f"{words} {value()} above {limits[key]}"
    return None


def _draw(space: Mapping, rng, n_outputs: int) -> dict:
    """One draw, valid or not. Keys are drawn by name and take one number each, so that neither the order of a file nor
    another range of one key changes what the others give."""
    values = {}
    for key in sorted(set(space) - set(SECTIONS)):
        section = space[key]
        values[key] = _value(section, rng.random(), n_outputs) if isinstance(section, Mapping) else section
    for key, choices in sorted(space.get("together", {}).items()):
        values |= choices.get(str(values[key]), {})
    blocks, first, step, layers, last, wider = (values.pop(key) for key in GEOMETRY)
    values["conv_filter"] = [first + step * i for i in range(blocks)]
    values["fc_dims"] = [last + wider * i for i in reversed(range(layers))]
    return values


def _value(section: Mapping, u: float, n_outputs: int):
    """The value of a range at u in [0, 1)."""
    ((kind, ends),) = section.items()
    if kind == "one_of":
        return ends[int(u * len(ends))]
    low, high = (n_outputs if end == "outputs" else end for end in ends)
    if kind in ("integers", "powers_of_two"):
        whole = low + int(u * (high - low + 1))
        return whole if kind == "integers" else 2**whole
    if kind == "log_uniform":
        value = math.exp(math.log(low) + u * (math.log(high) - math.log(low)))
    else:
        value = low + u * (high - low)
    # what a person can read and write again
    return float(f"{value**2 if kind == 'uniform_squared' else value:.4g}")


def check_space(space: Mapping, n_outputs: int) -> None:
    """Checks what a schema cannot see of a space.

    Args:
        space: Content of a file in config/search, as its schema says.
        n_outputs: Number of parameters that are inferred.

    Raises:
        ConfigError: If a range is empty, or a value goes together with one that is never drawn.
    """
    for key, section in space.items():
        if key in SECTIONS or not isinstance(section, Mapping) or "one_of" in section:
            continue
        ((kind, ends),) = section.items()
        low, high = (n_outputs if end == "outputs" else end for end in ends)
        if low > high or (kind == "log_uniform" and low <= 0):
            raise ConfigError(
                f"{key}.{kind}: {low} to {high} is no range; write the lower end first"
                + (", above zero" if kind == "log_uniform" else "")
            )
    for key, choices in space.get("together", {}).items():
        section = space.get(key)
        drawn = section.get("one_of", []) if isinstance(section, Mapping) else [section]
        for value in choices:
            if value not in map(str, drawn):
                raise ConfigError(
                    f"together.{key}: {value!r} is never drawn; {key} is one of {', '.join(map(str, drawn)) or 'none'}"
                )


def values_of(space: Mapping, n_outputs: int) -> dict[str, list]:
    """Of every hyper-parameter in a space, the ends of its range or its choices: what a schema can check.

    Args:
        space: Content of a file in config/search, as its schema says.
        n_outputs: Number of parameters that are inferred.
    """
    found = {}
    for key, section in space.items():
        if key in SECTIONS:
            continue
        if not isinstance(section, Mapping):
            found[key] = [section]
        elif "one_of" in section:
            found[key] = list(section["one_of"])
        else:
            found[key] = [_value(section, u, n_outputs) for u in (0.0, math.nextafter(1.0, 0.0))]
    for choices in space.get("together", {}).values():
        for values in choices.values():
            for key, value in values.items():
                found.setdefault(key, []).append(value)
    # a list of filters, of one: what a schema asks of its members holds for these too
    for key, what in (("conv_filter_first", "conv_filter"), ("fc_last", "fc_dims")):
        found[what] = [[value] for value in found[key]]
    return {key: values for key, values in found.items() if key not in GEOMETRY}
