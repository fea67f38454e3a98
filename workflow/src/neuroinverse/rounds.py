"""Posteriors as parts of a study: the rounds and datasets that follow from them, and their specifications.

A posterior may be trained in rounds (truncated sequential neural posterior estimation, Deistler et al. 2022,
arXiv:2210.04815). Round 1 is the estimator itself, trained on simulations of the prior. Round r of the estimator P is
the estimator P_round_r: it is trained on the simulations of all rounds so far, those of its own drawn from the prior
within the region that the round before holds likely at the observation. The loss needs no correction: within the region
every proposal is proportional to the prior.

Datasets that follow: P_round_r; P_round_r_test, other draws from the same region, for its checks; and for every round
its predictive dataset, simulations of draws from its posterior at the observation. `propose` writes their parameters.
"""

from collections.abc import Mapping
from pathlib import Path

from neuroinverse import descriptions
from neuroinverse.errors import ConfigError, require_known
from neuroinverse.provenance import digest, file_sha256
from neuroinverse.sampling import PREDICTIVE, TRUNCATED
from neuroinverse.versions import VERSIONS

# the kind of an estimator that gives a posterior and no single answer
KIND = "posterior"
# share of the posterior's mass that may lie outside of the region, and the draws that the region is estimated from
EPSILON, REGION_DRAWS = 1e-4, 100_000
# acceptance of draws from the prior below which they are drawn from the posterior, and weighted, instead
LEAST_ACCEPTANCE = 1e-3
# simulations for the posterior predictive check
PREDICTIVE_N = 200
# files of a posterior are known by the estimator's name
PREFIX = "posterior"
# keys that one kind of estimator alone has
OF_POSTERIORS = ("observation", "rounds")
OF_REGRESSORS = ("transfer", "scaling", "published_scaling")


def expand(estimators: Mapping, datasets: Mapping) -> tuple[dict, dict]:
    """Adds the rounds of posteriors to a study's estimators, and what they are trained and checked on to its datasets.

    Args:
        estimators: By name, checked against the schema.
        datasets: By name.

    Returns:
        Estimators and datasets.

    Raises:
        ConfigError: If the study has one of such a name already.
    """
    estimators, datasets = dict(estimators), dict(datasets)
    for name, settings in list(estimators.items()):
        if settings["kind"] != KIND:
            continue
        own = {key: value for key, value in settings.items() if key not in ("rounds", "published")}
        # what follows is simulated as the training set is
        first = datasets.get(settings.get("dataset", "train"), {})
        kept = {key: first[key] for key in ("ranges", "fixed", "options") if key in first}
        estimators[name] = {key: value for key, value in settings.items() if key != "rounds"}
        previous, further = name, []
        for number, n in enumerate(settings.get("rounds", ()), start=2):
            this = f"{name}_round_{number}"
            further = [*further, this]
            if "n" not in datasets["test"]:
                raise ConfigError(
                    f"estimators.{name}.rounds: are tested on as many simulations; give datasets.test an n"
                )
            _require_free(f"estimators.{name}.rounds", this, estimators)
            for dataset, size in ((this, n), (f"{this}_test", datasets["test"]["n"])):
                _require_free(f"estimators.{name}.rounds", dataset, datasets)
                datasets[dataset] = kept | {"n": size, "sampling": TRUNCATED, "by": previous}
            estimators[this] = own | {"further": further, "test": f"{this}_test"}
            previous = this
        for this in (name, *further):
            _require_free(f"estimators.{name}", predictive(this), datasets)
            datasets[predictive(this)] = kept | {"n": PREDICTIVE_N, "sampling": PREDICTIVE, "by": this}
    return estimators, datasets


def _require_free(where: str, name: str, taken: Mapping) -> None:
    if name in taken:
        raise ConfigError(f"{where}: makes {name!r} by itself, and the study has one of this name; rename that")


def partial(lost: int, n: int) -> str:
    """Why there is no further round where simulations are lost, and what helps.

    In the first round those left out change nothing at an observation that has all statistics: the posterior given that
    it has them is the posterior. A truncated region is an estimate that such a choice would shift.
    """
    return (
        f"{lost} of {n} simulations failed or have an undefined statistic, and leaving them out would bias a posterior "
        "of several rounds. Use features that are always defined, a prior in which no simulation fails, or a single "
        "round (remove `rounds`)"
    )


def predictive(estimator: str) -> str:
    """The dataset of simulations of draws from the posterior at the observation."""
    return f"{estimator}_predictive"


def asked_datasets(study, estimator: str) -> list[str]:
    """What a posterior is checked on beside what it is trained on."""
    observation = study.estimator(estimator)["observation"]
    asked = [observation] if isinstance(observation, str) else []
    return [study.test_dataset(estimator), predictive(estimator), *asked]


def proposed(study, dataset: str) -> bool:
    """Whether the parameters of a dataset are proposed by a posterior."""
    return study.settings["datasets"][dataset.partition("@")[0]].get("sampling") in (TRUNCATED, PREDICTIVE)


def proposer(study, dataset: str) -> str:
    """The estimator whose posterior proposes the parameters of a dataset.

    Raises:
        ConfigError: If the dataset is drawn from the prior.
    """
    if not proposed(study, dataset):
        raise ConfigError(f"study {study.name}: the parameters of dataset {dataset} are not proposed by a posterior")
    return study.settings["datasets"][dataset]["by"]


def observation_file(study, estimator: str) -> Path | None:
    """The recording that a posterior is asked about; None where it is a simulation."""
    found = study.estimator(estimator)["observation"]
    return Path(found["path"]) if isinstance(found, Mapping) else None


def observation_spec(study, estimator: str) -> dict:
    """What the observation depends on: the first simulation of a dataset, or a file."""
    file = observation_file(study, estimator)
    if file is not None:
        return {"path": str(file), "sha256": file_sha256(file)}
    dataset = study.estimator(estimator)["observation"]
    return {"dataset": dataset, "simulation": digest(study.dataset_spec(dataset)["simulation"])}


def proposal_spec(study, dataset: str) -> dict:
    """Specification of `propose`."""
    by = proposer(study, dataset)
    spec = {
        "version": VERSIONS["propose"],
        "study": study.name,
        "dataset": dataset,
        "by": by,
        "n": study.n(dataset),
        "master_seed": study.master_seed,
        "kind": study.settings["datasets"][dataset]["sampling"],
        "parameters": descriptions.table(study, by, study.space(dataset)),
        "training": digest(study.train_spec(by, 0)),
        "observation": observation_spec(study, by),
    }
    if spec["kind"] == TRUNCATED:
        spec |= {"epsilon": EPSILON, "draws": REGION_DRAWS, "least_acceptance": LEAST_ACCEPTANCE}
    return spec


def check_spec(study, estimator: str) -> dict:
    """Specification of `check_posterior`."""
    settings = study.estimator(estimator)
    return {
        "version": VERSIONS["check_posterior"],
        "study": study.name,
        "scale": study.scale,
        "title": study.settings["title"],
        "estimator": estimator,
        "master_seed": study.master_seed,
        "training": digest(study.train_spec(estimator, 0)),
        "test": digest(study.dataset_spec(study.test_dataset(estimator))),
        "predictive": digest(study.dataset_spec(predictive(estimator))),
        "observation": observation_spec(study, estimator),
        "parameters": study.table(estimator),
        "signal": settings["signal"],
        "published": settings.get("published", {}),
        "published_source": settings.get("published_source", ""),
    }


def check_kind(study, name: str, estimator: Mapping) -> None:
    """Checks that an estimator has the keys of its kind, and a posterior what it needs.

    Raises:
        ConfigError: At the first thing that is wrong.
    """
    where, is_posterior = f"estimators.{name}", estimator["kind"] == KIND
    if name.startswith(PREFIX) != is_posterior:
        raise ConfigError(
            f"{where}: estimators of kind {KIND}, and no others, have names that begin with {PREFIX!r}; rename it"
        )
    for key in OF_REGRESSORS if is_posterior else OF_POSTERIORS:
        if key in estimator:
            raise ConfigError(f"{where}.{key}: is of no use to an estimator of kind {estimator['kind']}; remove it")
    if not is_posterior:
        return
    if "observation" not in estimator:
        raise ConfigError(f"{where}: missing 'observation'; name a dataset, or give path: of a recording")
    kind = (study.sampling(study.training_dataset(name))[1] or {}).get("kind", "random")
    if kind in ("grid", "points"):
        raise ConfigError(
            f"{where}.dataset: a posterior learns from draws of the prior, and {study.training_dataset(name)} has "
            f"sampling: {kind}; name a dataset without it"
        )
    if len(study.estimator_space(name).parameters) < 2:
        raise ConfigError(f"{where}: a posterior needs two parameters or more")
    if "further" in estimator and "parameters" in estimator:
        raise ConfigError(f"{where}.rounds: truncate the prior of all parameters; remove 'parameters' or 'rounds'")
    file = observation_file(study, name)
    if file is None:
        require_known(f"{where}.observation", [estimator["observation"]], study.datasets)
    elif not file.is_file():
        raise ConfigError(f"{where}.observation.path: {file} does not exist")
