"""Surrogates of simulators as parts of a study: the datasets that follow from them, and their specifications.

A surrogate learns the forward model and not the inverse: from what reaches the synapses of a cell to all else that the
simulator records of it, sample by sample. It is no estimator, and a study may have surrogates alone.

A surrogate with `options` of its own is one of another cell of the same simulator: it has datasets of its own, NAME,
NAME_calibration and NAME_test, as large as those of the study.
"""

from collections.abc import Mapping

from neuroinverse.errors import ConfigError
from neuroinverse.estimators import surrogate_settings
from neuroinverse.provenance import digest
from neuroinverse.versions import VERSIONS

# what a surrogate takes, and what its spikes are counted in: signals that its simulator has
INPUTS, SPIKES = "inputs", "spikes"


def expand(surrogates: Mapping, datasets: Mapping) -> dict:
    """Adds the datasets of surrogates with options of their own to a study's.

    Args:
        surrogates: By name, checked against the schema.
        datasets: By name.

    Returns:
        The datasets.

    Raises:
        ConfigError: If a dataset has the name of such a surrogate.
    """
    datasets = dict(datasets)
    for name, settings in surrogates.items():
        if "options" not in settings:
            continue
        for dataset, base in _own(name).items():
            if dataset in datasets:
                raise ConfigError(f"surrogates.{name}: there is a dataset {dataset!r} already; rename one of the two")
            if base in datasets:
                options = {**datasets[base].get("options", {}), **settings["options"]}
                datasets[dataset] = {**datasets[base], "options": options}
    return datasets


def _own(name: str) -> dict[str, str]:
    """Datasets of a surrogate with options of its own, and of which of the study's they have the size."""
    return {name: "train", f"{name}_calibration": "calibration", f"{name}_test": "test"}


def names(study) -> list[str]:
    """Names of a study's surrogates."""
    return list(study.settings.get("surrogates", ()))


def settings(study, surrogate: str) -> Mapping:
    """Settings of a surrogate.

    Raises:
        ConfigError: If there is none of this name.
    """
    if surrogate not in names(study):
        there = ", ".join(names(study)) or "none"
        raise ConfigError(f"study {study.name} has no surrogate {surrogate!r}; it has {there}")
    return study.settings["surrogates"][surrogate]


def hyperparameters(study, surrogate: str) -> dict:
    """Hyper-parameters of a surrogate, with defaults filled in.

    Raises:
        ConfigError: If they do not go together.
    """
    try:
        return surrogate_settings.complete(settings(study, surrogate).get("hyperparameters", {}))
    except ConfigError as error:
        raise ConfigError(f"surrogates.{surrogate}.{error}") from error


def datasets(study, surrogate: str) -> tuple[str, str, str]:
    """What a surrogate is trained on, what its threshold is fitted to, and what it is measured on."""
    own = "options" in settings(study, surrogate)
    return tuple(_own(surrogate)) if own else tuple(_own(surrogate).values())


def outputs(study, surrogate: str) -> list[str]:
    """The signals that a surrogate puts out: all but what it takes, and spikes, which are an output of its own."""
    signals = study.signals_of(datasets(study, surrogate)[0])
    return [name for name in signals if name not in (INPUTS, SPIKES)]


def asked_datasets(study) -> list[str]:
    """The datasets of all surrogates."""
    return [dataset for name in names(study) for dataset in datasets(study, name)]


def train_spec(study, surrogate: str) -> dict:
    """Specification of `train_surrogate`."""
    train, calibration, _ = datasets(study, surrogate)
    return {
        "version": VERSIONS["train_surrogate"],
        "surrogate": surrogate,
        "simulation": study.dataset_spec(train)["simulation"],
        "n": study.n(train),
        "calibration": digest(study.dataset_spec(calibration)),
        "outputs": outputs(study, surrogate),
        "hyperparameters": hyperparameters(study, surrogate),
        "master_seed": study.master_seed,
    }


def check_spec(study, surrogate: str) -> dict:
    """Specification of `check_surrogate`."""
    own = settings(study, surrogate)
    return {
        "version": VERSIONS["check_surrogate"],
        "study": study.name,
        "scale": study.scale,
        "title": study.settings["title"],
        "surrogate": surrogate,
        "master_seed": study.master_seed,
        "training": digest(train_spec(study, surrogate)),
        "test": digest(study.dataset_spec(datasets(study, surrogate)[2])),
        "published": own.get("published", {}),
        "published_source": own.get("published_source", ""),
    }


def check_surrogates(study) -> None:
    """Checks that the simulator of every surrogate records what one is made of.

    Raises:
        ConfigError: At the first that has nothing to learn from.
    """
    for name in names(study):
        h, (train, *_) = hyperparameters(study, name), datasets(study, name)
        signals = study.signals_of(train)
        for needed in (INPUTS, SPIKES):
            if needed not in signals:
                raise ConfigError(
                    f"surrogates.{name}: the simulator records no {needed!r} (it records {', '.join(signals)}); "
                    "surrogates are made of simulators of cells that are driven through synapses, such as hnn_cell"
                )
        try:
            surrogate_settings.time_constants(signals[INPUTS].channels)
            surrogate_settings.check_times(h, signals[INPUTS].dt_ms, signals[INPUTS].shape[0])
        except ConfigError as error:
            raise ConfigError(f"surrogates.{name}.{error}") from error
