"""Objectives of a column as parts of a study: the datasets that follow from them, and their specifications.

An objective says what the column is to do. Gains of its projections are searched through a network of surrogates of its
cells, which another study has trained, and what is found is simulated by the study's own simulator.

Datasets that follow: `start`, the column as it is, and for every objective one of its name, the column with the gains
that were found; each simulation of them has a drive of its own. `column.retraining` adds rounds of both.
"""

from collections.abc import Mapping

from neuroinverse import surrogates
from neuroinverse.column import retraining
from neuroinverse.column.settings import GRADIENT_COST, LONGEST_MS, PRUNE, WARM_UP_MS, complete, resolve
from neuroinverse.errors import ConfigError, require_known
from neuroinverse.provenance import digest
from neuroinverse.sampling import FOUND
from neuroinverse.simulators import make_simulator
from neuroinverse.simulators.column import LOCATION_CHANNELS, PROJECTIONS, SHORT, is_pyramidal
from neuroinverse.simulators.hnn_column import HnnColumn
from neuroinverse.versions import VERSIONS

START = "start"
# gains are the parameters of the simulator that begin with this
GAIN = "gain_"
# of the search's specification, what its check reads too
SHOWN = ("cells", "network", "terms", "warm_up_ms")


def expand(settings: Mapping) -> dict:
    """Adds what follows from a column: rounds of its surrogates and objectives, and what is simulated before and after.

    Args:
        settings: The study's, checked against the schema.

    Returns:
        The settings with further datasets, surrogates and objectives.

    Raises:
        ConfigError: If names collide, or something is missing.
    """
    datasets, column = dict(settings["datasets"]), settings.get("column")
    if bool(column) != bool(settings.get("objectives")):
        raise ConfigError("objectives: a column is for objectives, and these are of a column; give both, or neither")
    if not column:
        return dict(settings)
    if START in settings["objectives"]:
        raise ConfigError(f"objectives.{START}: what is simulated before the search has this name; rename it")
    if retraining.rounds(column):
        _check_retraining(settings)
    objectives = retraining.expand_objectives(column, settings["objectives"])
    for name in (START, *objectives):
        if name in datasets:
            raise ConfigError(f"datasets.{name}: is made for the objectives; rename it")
    n, names = column["seeds"], [p["name"] for p in settings["parameters"]]
    datasets[START] = {"n": n, "sampling": "points", "points": [dict.fromkeys(names, 1.0)]}
    for objective in objectives:
        datasets[objective] = {"n": n, "sampling": FOUND, "by": objective}
    made = retraining.expand_surrogates(column, objectives)
    own = settings.get("surrogates", {})
    for name in made:
        if name in own:
            raise ConfigError(f"surrogates.{name}: is made by column.retraining; rename it")
    return settings | {"datasets": datasets, "objectives": objectives, "surrogates": {**own, **made}}


def _check_retraining(settings: Mapping) -> None:
    """Refuses rounds that have nothing to learn from."""
    for name in ("train", "calibration"):
        if name not in settings["datasets"]:
            raise ConfigError(f"datasets: missing {name!r}, columns whose cells column.retraining learns from; add it")


def names(study) -> list[str]:
    """Names of a study's objectives, rounds among them; not the searches with surrogates that are to be retrained."""
    rounds = retraining.rounds(study.settings.get("column", {}))
    return [name for name, own in study.settings.get("objectives", {}).items() if own["round"] or not rounds]


def found(study, dataset: str) -> bool:
    """Whether the parameters of a dataset are what a search for an objective found."""
    return study.settings["datasets"][dataset.partition("@")[0]].get("sampling") == FOUND


def asked_datasets(study) -> list[str]:
    """The datasets that the objectives are measured on."""
    return [START, *names(study)] if names(study) else []


def cells(study, objective: str) -> dict[str, tuple]:
    """By cell type the study that has the surrogate behind an objective, and the surrogate's name there."""
    named, number = study.settings["column"]["surrogates"], settings_of(study, objective)["round"]
    if number:
        return {cell: (study, retraining.surrogate_name(cell, number)) for cell in SHORT if cell in named}
    halves = {cell: named[cell].split("/") for cell in SHORT if cell in named}
    return {cell: (study.linked[of], surrogate) for cell, (of, surrogate) in halves.items()}


def surrogate_files(study, objective: str) -> list[str]:
    """The surrogates behind an objective, in the order of `cells`."""
    return [surrogates.file(s, name) for s, name in cells(study, objective).values()]


def settings_of(study, objective: str) -> Mapping:
    """Settings of an objective.

    Raises:
        ConfigError: If there is none of this name.
    """
    objectives = study.settings.get("objectives", {})
    if objective not in objectives:
        there = ", ".join(objectives) or "none"
        raise ConfigError(f"study {study.name} has no objective {objective!r}; it has {there}")
    return objectives[objective]


def rollouts(study, objective: str) -> int:
    """Rollouts of all searches for an objective: with a gradient one counts as two, held-out drives count too."""
    own = settings_of(study, objective)
    full = complete(own.get("search", {}), PROJECTIONS)
    each = (GRADIENT_COST * full["epochs"] + 1) * full["seeds"] + (full["epochs"] + 1) * full["held_out_seeds"]
    return each * (1 + len(own.get("controls", ())) + len(own.get("slopes", ())))


def search_spec(study, objective: str) -> dict:
    """Specification of `optimise`."""
    own = settings_of(study, objective)
    return {
        "version": VERSIONS["optimise"],
        "study": study.name,
        "objective": objective,
        "n": study.n(objective),
        "master_seed": study.master_seed,
        "simulation": study.dataset_spec(START)["simulation"],
        "network": dict(study.settings["column"].get("network", {})),
        "cells": list(cells(study, objective)),
        "surrogates": [digest(surrogates.train_spec(s, name)) for s, name in cells(study, objective).values()],
        "terms": list(own["terms"]),
        "warm_up_ms": own.get("warm_up_ms", WARM_UP_MS),
        "search": dict(own.get("search", {})),
        "controls": list(own.get("controls", ())),
        "slopes": list(own.get("slopes", ())),
    }


def check_spec(study, objective: str) -> dict:
    """Specification of `check_objective`."""
    search = search_spec(study, objective)
    return {
        "version": VERSIONS["check_objective"],
        "study": study.name,
        "scale": study.scale,
        "title": study.settings["title"],
        "objective": objective,
        "of": settings_of(study, objective)["of"],
        "round": settings_of(study, objective)["round"],
        "master_seed": study.master_seed,
        "search": digest(search),
        **{key: search[key] for key in SHOWN},
        "datasets": [digest(study.dataset_spec(d)) for d in (START, objective)],
    }


def linked_names(settings: Mapping) -> list[str]:
    """Names of the other studies whose surrogates a column is made of.

    Raises:
        ConfigError: If a surrogate is not given as study/surrogate.
    """
    found = {}
    for cell, text in settings.get("column", {}).get("surrogates", {}).items():
        halves = text.split("/")
        if len(halves) != 2 or not all(halves):
            raise ConfigError(f"column.surrogates.{cell}: {text!r}; expected study/surrogate, such as hnn_cells/l5e")
        found[halves[0]] = None
    return list(found)


def check_column(study) -> None:
    """Checks that column, surrogates and objectives fit each other.

    Raises:
        ConfigError: At the first thing that is wrong.
    """
    if not study.settings.get("column"):
        return
    simulator = make_simulator(study.scenario(START))
    if not isinstance(simulator, HnnColumn):
        raise ConfigError(f"column: {type(simulator).__name__} is no column; remove the section")
    if simulator.window.start:
        raise ConfigError("protocol.record_ms: a column is compared from its beginning on; remove it (see warm_up_ms)")
    require_known("column.surrogates", study.settings["column"]["surrogates"], SHORT)
    for name in SHORT:
        if name not in study.settings["column"]["surrogates"]:
            raise ConfigError(f"column.surrogates: missing {name!r}; add the surrogate of this cell, study/surrogate")
    for cell, text in study.settings["column"]["surrogates"].items():
        of, surrogate = text.split("/")
        other, where = study.linked[of], f"column.surrogates.{cell}"
        train = surrogates.training_datasets(other, surrogate)[0]
        made = make_simulator(other.scenario(train))
        if getattr(made, "cell", None) != cell:
            raise ConfigError(f"{where}: {other.name}/{surrogate} is of {getattr(made, 'cell', 'no such cell')}")
        signal = other.signals_of(train)[surrogates.INPUTS]
        missing = [c for c in LOCATION_CHANNELS[cell] if c not in signal.channels]
        if missing:
            raise ConfigError(
                f"{where}: {other.name}/{surrogate} has no channel {', '.join(missing)}; give it inputs: location"
            )
        if signal.dt_ms != simulator.dt_ms:
            raise ConfigError(
                f"{where}: {other.name} has protocol.dt_ms {signal.dt_ms:g}, this study {simulator.dt_ms:g}; give both "
                "the same"
            )
    _check_network(study.settings["column"].get("network", {}))
    _check_objectives(study, simulator)


def _check_network(settings: Mapping) -> None:
    prune, longest = settings.get("prune", PRUNE), settings.get("max_delay_ms", LONGEST_MS)
    # delays grow as weights fall: by 1 ms over the fraction of the weight that is left
    if longest < 1 / prune:
        raise ConfigError(
            f"column.network.max_delay_ms: {longest:g}; synapses that have {prune:g} of their projection's weight "
            f"(prune) come {1 / prune:g} ms late; raise max_delay_ms to that, or prune to {1 / longest:.2g}"
        )


def _check_objectives(study, simulator) -> None:
    dipoles = [cell for cell in SHORT if is_pyramidal(cell)]
    for name in names(study):
        where, own = f"objectives.{name}", settings_of(study, name)
        asked = {key: own[key] for key in ("terms", "warm_up_ms") if key in own}
        try:
            resolve(asked, list(SHORT), dipoles, simulator.dt_ms, simulator.window.stop)
            for method in ({}, *({"method": control} for control in own.get("controls", ()))):
                full = complete({**own.get("search", {}), **method}, PROJECTIONS)
        except ConfigError as error:
            raise ConfigError(f"{where}.{error}") from error
        low, high = 10 ** -full["bound"], 10 ** full["bound"]
        for p in study.parameters.parameters:
            if p.low > low * (1 + 1e-9) or p.high < high * (1 - 1e-9):
                raise ConfigError(
                    f"{where}.search.bound: {full['bound']:g} allows gains from {low:g} to {high:g}, and parameter "
                    f"{p.name} has the range {p.low:g} to {p.high:g}; lower the bound, or widen the range"
                )
