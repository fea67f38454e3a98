"""Retraining: surrogates go on learning from cells of the column itself, in rounds.

A surrogate that was trained on independent events meets others in the column: volleys, at the rates that the column
has. In round 1 the surrogates go on from those of single cells, with recorded cells of columns whose gains are drawn
from the prior (`train`). Searches find gains with these, which are simulated; the next round adds the cells of these
simulations, where the surrogates were used and not only where they were made (Ross, Gordon and Bagnell 2011, AISTATS),
and goes on from the round before. Searches of the last round have the objective's own name.

Names that follow, round r being 1 or later: surrogates l5e_round_r, and for the rounds before the last the objectives
NAME_round_r with datasets of that name. NAME_round_0 is the search with the surrogates of single cells; only its own
target asks for it.
"""

from collections.abc import Mapping

from neuroinverse.errors import ConfigError
from neuroinverse.simulators.column import SHORT


def rounds(column: Mapping) -> int:
    """Rounds of retraining; 0 where there are none.

    Args:
        column: The section of a study.
    """
    return column.get("retraining", {}).get("rounds", 0)


def surrogate_name(cell: str, number: int) -> str:
    """The surrogate of a cell in a round."""
    return f"{SHORT[cell].lower()}_round_{number}"


def expand_objectives(column: Mapping, objectives: Mapping) -> dict:
    """Adds the searches of the rounds before the last, without controls and other slopes.

    Args:
        column: The section of a study.
        objectives: By name, checked against the schema.

    Returns:
        Objectives, each with the round of its surrogates.

    Raises:
        ConfigError: If an objective has the name of such a search.
    """
    last, result = rounds(column), {}
    for name, own in objectives.items():
        result[name] = {**own, "of": name, "round": last}
        shared = {key: own[key] for key in ("terms", "warm_up_ms", "search") if key in own}
        for number in range(last):
            if f"{name}_round_{number}" in objectives:
                raise ConfigError(f"objectives.{name}_round_{number}: is a round of {name}; rename it")
            result[f"{name}_round_{number}"] = {**shared, "of": name, "round": number}
    return result


def expand_surrogates(column: Mapping, objectives: Mapping) -> dict:
    """The surrogates of all rounds.

    Args:
        column: The section of a study.
        objectives: Of `expand_objectives`.

    Returns:
        Surrogates by name, as settings of a study: the type of the `cell`, the `base` that it goes on from, the
        datasets `train` and `test`, and whether a later round has `superseded` it.
    """
    last, result, train = rounds(column), {}, ["train"]
    for number in range(1, last + 1):
        for cell in SHORT:
            if cell not in column["surrogates"]:
                # refused when the study is checked
                continue
            result[surrogate_name(cell, number)] = {
                "cell": cell,
                "base": column["surrogates"][cell] if number == 1 else surrogate_name(cell, number - 1),
                "train": train,
                "test": "start",
                "superseded": number < last,
                "hyperparameters": column["retraining"].get("hyperparameters", {}),
            }
        train = [*train, *(name for name, own in objectives.items() if own["round"] == number)]
    return result
