"""The random search over networks that a study asks for: its trials, and the specification of every step.

The first tier trains every trial for a few epochs and ranks them; the second trains the best to the end. The best of
these may be trained again, to see how much they vary. A finalist is known by its rank, and finds its design in the
ranking of the first tier when it runs, as a repeat does in that of the second: so the graph of jobs is fixed.
"""

import functools
import math
import re
from collections.abc import Callable, Mapping

from neuroinverse.errors import ConfigError
from neuroinverse.estimators.architecture import layer_shapes, multiply_adds
from neuroinverse.estimators.space import Design, check_space, draw_design
from neuroinverse.provenance import digest
from neuroinverse.study import VERSIONS, Study
from neuroinverse.workload import fit_minutes

TIERS = ("ranking", "finalists")


def settings(study: Study, estimator: str) -> Mapping:
    """What is searched: `space`, `trials`, `epochs`, `finalists`, and `n` where the study says it.

    Raises:
        ConfigError: If the study asks for no search.
    """
    if estimator not in study.searches:
        raise ConfigError(
            f"study {study.name}, estimator {estimator}: "
            "add `search: {trials: 40, epochs: 8, finalists: 5}` to the study file"
        )
    return study.searches[estimator]


def dataset(study: Study, estimator: str) -> str:
    """What the first tier is trained on: the estimator's dataset, or the first simulations of it."""
    whole, n = study.training_dataset(estimator), settings(study, estimator).get("n")
    return whole if n in (None, study.n(whole)) else f"{whole}@{n}"


@functools.cache
def design(study: Study, estimator: str, trial: int) -> Design:
    """The design of a trial; see `draw_design`."""
    space, n_outputs = settings(study, estimator)["space"], len(study.estimator_space(estimator).parameters)
    return draw_design(space, study.master_seed, study.name, trial, study.input_shape(estimator), n_outputs)


def trials(study: Study, estimator: str) -> range:
    """The trials of the first tier."""
    return range(settings(study, estimator)["trials"])


def members(study: Study, estimator: str, tier: str) -> list[str]:
    """The folders of a tier: "trial-0" and so on, or "finalist-1" and so on."""
    if tier == "ranking":
        return [f"trial-{t}" for t in trials(study, estimator)]
    return [f"finalist-{r + 1}" for r in range(settings(study, estimator)["finalists"])]


def repeats(study: Study, estimator: str) -> list[str]:
    """The folders of the repeats: "design-1-repeat-0" and so on, design after design.

    Raises:
        ConfigError: If the study asks for none.
    """
    section = settings(study, estimator).get("stability")
    if section is None:
        raise ConfigError(
            f"study {study.name}, estimator {estimator}: add `stability: {{designs: 3, repeats: 16}}` to its search in "
            "the study file"
        )
    ranks = range(1, section["designs"] + 1)
    return [f"design-{rank}-repeat-{i}" for rank in ranks for i in range(section["repeats"])]


def trial_spec(study: Study, estimator: str, trial: int) -> dict:
    """Specification of `train_trial` in the first tier: of its own design alone, whatever the other trials are."""
    section, folds = settings(study, estimator), study.estimator(estimator)["folds"]
    spec = study.train_spec(estimator, trial % folds)
    return spec | {
        "version": VERSIONS["train_trial"],
        "n": study.n(dataset(study, estimator)),
        "hyperparameters": design(study, estimator, trial).hyperparameters | {"epochs": section["epochs"]},
        "trial": trial,
    }


def ranking_spec(study: Study, estimator: str) -> dict:
    """Specification of `rank_trials` for the first tier."""
    return {
        "version": VERSIONS["rank_trials"],
        "study": study.name,
        "scale": study.scale,
        "estimator": estimator,
        "tier": "ranking",
        "members": members(study, estimator, "ranking"),
        "training": digest([trial_spec(study, estimator, t) for t in trials(study, estimator)]),
        # the draws that were rejected are found again from these
        "space": settings(study, estimator)["space"],
        "master_seed": study.master_seed,
        "input": list(study.input_shape(estimator)),
        "n_outputs": len(study.estimator_space(estimator).parameters),
    }


@functools.cache
def _sum(of_tier: Callable[[Study, str], dict], study: Study, estimator: str) -> str:
    """Digest of a tier's specification: it goes over all trials, and each finalist and repeat holds it."""
    return digest(of_tier(study, estimator))


def finalist_spec(study: Study, estimator: str, rank: int) -> dict:
    """Specification of `train_trial` in the second tier: all epochs, and the whole training set.

    Raises:
        ConfigError: If there are fewer trials.
    """
    if not 1 <= rank <= len(trials(study, estimator)):
        raise ConfigError(
            f"study {study.name}, estimator {estimator}: there is no finalist {rank}; search.trials is "
            f"{len(trials(study, estimator))}"
        )
    return _ranked_spec(study, estimator, rank) | {"ranking": _sum(ranking_spec, study, estimator)}


def _ranked_spec(study: Study, estimator: str, rank: int) -> dict:
    """What a training to the end depends on, beside the ranking in which it finds its design."""
    spec = {k: v for k, v in study.train_spec(estimator, 0).items() if k not in ("hyperparameters", "fold")}
    return spec | {
        "version": VERSIONS["train_trial"],
        "epochs": study.estimator(estimator)["hyperparameters"]["epochs"],
        "rank": rank,
    }


def finalists_spec(study: Study, estimator: str) -> dict:
    """Specification of `rank_trials` for the second tier."""
    ranks = range(1, settings(study, estimator)["finalists"] + 1)
    return {
        "version": VERSIONS["rank_trials"],
        "study": study.name,
        "scale": study.scale,
        "estimator": estimator,
        "tier": "finalists",
        "members": members(study, estimator, "finalists"),
        "training": digest([finalist_spec(study, estimator, r) for r in ranks]),
    }


def repeat_spec(study: Study, estimator: str, rank: int, repeat: int) -> dict:
    """Specification of `train_trial` for a repeat of the finalist of a rank: a finalist's, and its own fold.

    Raises:
        ConfigError: If there are fewer finalists.
    """
    finalists = settings(study, estimator)["finalists"]
    if not 1 <= rank <= finalists:
        raise ConfigError(
            f"study {study.name}, estimator {estimator}: there is no design {rank}; search.finalists is {finalists}"
        )
    return _ranked_spec(study, estimator, rank) | {
        "fold": repeat % study.estimator(estimator)["folds"],
        "repeat": repeat,
        "finalists": _sum(finalists_spec, study, estimator),
    }


def stability_spec(study: Study, estimator: str) -> dict:
    """Specification of `stability`."""
    members = repeats(study, estimator)
    return {
        "version": VERSIONS["stability"],
        "study": study.name,
        "scale": study.scale,
        "estimator": estimator,
        "members": members,
        "training": digest([member_spec(study, estimator, member) for member in members]),
    }


def member_spec(study: Study, estimator: str, member: str) -> dict:
    """Specification of `train_trial` by the name of its folder."""
    of_kind = {"trial": trial_spec, "finalist": finalist_spec, "design": repeat_spec}[member.partition("-")[0]]
    return of_kind(study, estimator, *map(int, re.findall(r"\d+", member)))


def tier_spec(study: Study, estimator: str, tier: str) -> dict:
    """Specification of `rank_trials` by the name of its table."""
    return (ranking_spec if tier == "ranking" else finalists_spec)(study, estimator)


# --- what jobs ask for ---------------------------------------------------------------------------------------------


def member_minutes(study: Study, estimator: str, member: str, threads: int) -> int:
    """Walltime to ask for one training (min). What finds its design in a ranking may find the largest."""
    n_outputs, shape = len(study.estimator_space(estimator).parameters), study.input_shape(estimator)
    if member.startswith("trial"):
        spec = member_spec(study, estimator, member)
        return fit_minutes(
            spec["n"] * spec["hyperparameters"]["epochs"],
            multiply_adds(*shape, spec["hyperparameters"], n_outputs),
            threads,
        )
    designs = (design(study, estimator, t).hyperparameters for t in trials(study, estimator))
    samples = study.n(study.training_dataset(estimator)) * study.estimator(estimator)["hyperparameters"]["epochs"]
    return fit_minutes(samples, max(multiply_adds(*shape, h, n_outputs) for h in designs), threads)


def layers_megabytes(study: Study, estimator: str, member: str) -> float:
    """What a batch takes in memory between the layers (MB); of the largest design, but for a trial."""
    shape = study.input_shape(estimator)
    chosen = [int(member.partition("-")[2])] if member.startswith("trial") else trials(study, estimator)
    return max(_layers_megabytes(shape, design(study, estimator, t).hyperparameters) for t in chosen)


def _layers_megabytes(shape: tuple[int, int], hyperparameters: Mapping) -> float:
    values = sum(math.prod(s) for _, s in layer_shapes(*shape, hyperparameters))
    # a convolution, its activation, and the gradients of both; validation goes in batches of 256 without gradients
    return 4e-6 * max(4 * hyperparameters["batch_size"], 256) * values


# --- whether it fits -----------------------------------------------------------------------------------------------


def check_searches(study: Study) -> None:
    """Checks what a study asks to be searched.

    Raises:
        ConfigError: At the first thing that is wrong.
    """
    for estimator, section in study.searches.items():
        where, folds = f"estimators.{estimator}.search", study.estimator(estimator)["folds"]
        try:
            check_space(section["space"], len(study.estimator_space(estimator).parameters))
            design(study, estimator, 0)
        except ConfigError as error:
            raise ConfigError(f"{where}.space: {error}") from error
        if folds < 2:
            raise ConfigError(
                f"{where}: trials are ranked by what a fold holds out; give the estimator 2 folds or more"
            )
        if section["finalists"] > section["trials"]:
            raise ConfigError(f"{where}.finalists: {section['finalists']} of {section['trials']} trials; ask for fewer")
        if section.get("stability", {}).get("designs", 0) > section["finalists"]:
            raise ConfigError(
                f"{where}.stability.designs: {section['stability']['designs']} of {section['finalists']} finalists; "
                "ask for fewer"
            )
        if "n" in section:
            _check_size(study, estimator, section["n"], where, folds)


def _check_size(study: Study, estimator: str, n: int, where: str, folds: int) -> None:
    whole = study.training_dataset(estimator)
    if study.sampling(whole)[1]:
        raise ConfigError(f"{where}.n: the first simulations of {whole} are no smaller dataset of its kind; remove it")
    if n > study.n(whole):
        raise ConfigError(f"{where}.n: {n} of the {study.n(whole)} simulations of {whole}; ask for fewer, or remove it")
    if n % study.shard_size and n != study.n(whole):
        raise ConfigError(
            f"{where}.n: {n} must be a multiple of datasets.shard_size ({study.shard_size}), as datasets share shards"
        )
    if n < 2 * folds:
        raise ConfigError(f"{where}.n: {n} simulations are too few for {folds} folds")
