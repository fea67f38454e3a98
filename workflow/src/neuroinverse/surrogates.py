"""Surrogates of simulators as parts of a study: the datasets that follow from them, and their specifications.

A surrogate learns the forward model and not the inverse: from what reaches the synapses of a cell to all else that the
simulator records of it, sample by sample. It is no estimator, and a study may have surrogates alone.

A surrogate with `options` of its own is one of another cell of the same simulator: it has datasets of its own, NAME,
NAME_calibration and NAME_test, as large as those of the study.

A surrogate with a `base` goes on from what another one has learnt, with the recorded cells of a column: see
`column.retraining`.
"""

from collections.abc import Mapping

from neuroinverse.column.cells import cell_signals, n_cells
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


def reported(study) -> list[str]:
    """Those that the report shows: of several rounds the last."""
    return [name for name in names(study) if not settings(study, name).get("superseded")]


def settings(study, surrogate: str) -> Mapping:
    """Settings of a surrogate.

    Raises:
        ConfigError: If there is none of this name.
    """
    if surrogate not in names(study):
        there = ", ".join(names(study)) or "none"
        raise ConfigError(f"study {study.name} has no surrogate {surrogate!r}; it has {there}")
    return study.settings["surrogates"][surrogate]


def base(study, surrogate: str) -> tuple | None:
    """Study and name of the surrogate that this one goes on from; None where it begins anew."""
    if "base" not in settings(study, surrogate):
        return None
    of, _, name = settings(study, surrogate)["base"].rpartition("/")
    return (study.linked[of] if of else study), name


def hyperparameters(study, surrogate: str) -> dict:
    """Hyper-parameters of a surrogate, with those of its base or defaults filled in.

    Raises:
        ConfigError: If they do not go together.
    """
    own, before = settings(study, surrogate).get("hyperparameters", {}), base(study, surrogate)
    if before:
        return hyperparameters(*before) | dict(own)
    try:
        return surrogate_settings.complete(own)
    except ConfigError as error:
        raise ConfigError(f"surrogates.{surrogate}.{error}") from error


def training_datasets(study, surrogate: str) -> list[str]:
    """What a surrogate is trained on, one after the other."""
    own = settings(study, surrogate)
    return list(own["train"]) if "train" in own else [_names(own, surrogate)[0]]


def calibration_dataset(study, surrogate: str) -> str:
    """What the threshold of a surrogate's spikes is fitted to."""
    return _names(settings(study, surrogate), surrogate)[1]


def test_dataset(study, surrogate: str) -> str:
    """What a surrogate is measured on."""
    own = settings(study, surrogate)
    return own.get("test", _names(own, surrogate)[2])


def _names(own: Mapping, surrogate: str) -> tuple[str, str, str]:
    return tuple(_own(surrogate)) if "options" in own else tuple(_own(surrogate).values())


def signals(study, surrogate: str) -> dict:
    """The signals that a surrogate is made of, by name."""
    stored, own = study.signals_of(training_datasets(study, surrogate)[0]), settings(study, surrogate)
    return cell_signals(stored, own["cell"]) if "cell" in own else stored


def n_training(study, surrogate: str) -> int:
    """Simulated cells that a surrogate is trained on."""
    train, own = training_datasets(study, surrogate), settings(study, surrogate)
    each = n_cells(study.signals_of(train[0]), own["cell"]) if "cell" in own else 1
    return sum(map(study.n, train)) * each


def file(study, surrogate: str) -> str:
    """Where a surrogate is kept."""
    return f"results/{study.name}/{study.scale}/surrogates/{surrogate}/model.keras"


def outputs(study, surrogate: str) -> list[str]:
    """The signals that a surrogate puts out: all but what it takes, and spikes, which are an output of its own."""
    return [name for name in signals(study, surrogate) if name not in (INPUTS, SPIKES)]


def asked_datasets(study) -> list[str]:
    """The datasets of all surrogates."""
    return [
        dataset
        for name in names(study)
        for dataset in (*training_datasets(study, name), calibration_dataset(study, name), test_dataset(study, name))
    ]


def train_spec(study, surrogate: str) -> dict:
    """Specification of `train_surrogate`."""
    train, before = training_datasets(study, surrogate), base(study, surrogate)
    spec = {
        "version": VERSIONS["train_surrogate"],
        "surrogate": surrogate,
        "simulation": study.dataset_spec(train[0])["simulation"],
        "n": study.n(train[0]),
        "calibration": digest(study.dataset_spec(calibration_dataset(study, surrogate))),
        "outputs": outputs(study, surrogate),
        "hyperparameters": hyperparameters(study, surrogate),
        "master_seed": study.master_seed,
    }
    if before:
        spec["cell"] = settings(study, surrogate)["cell"]
        spec["base"] = digest(train_spec(*before))
        spec["further"] = [digest(study.dataset_spec(d)) for d in train[1:]]
    return spec


def check_spec(study, surrogate: str) -> dict:
    """Specification of `check_surrogate`."""
    own = settings(study, surrogate)
    spec = {
        "version": VERSIONS["check_surrogate"],
        "study": study.name,
        "scale": study.scale,
        "title": study.settings["title"],
        "surrogate": surrogate,
        "master_seed": study.master_seed,
        "training": digest(train_spec(study, surrogate)),
        "test": digest(study.dataset_spec(test_dataset(study, surrogate))),
        "published": own.get("published", {}),
        "published_source": own.get("published_source", ""),
    }
    return spec | ({"cell": own["cell"]} if "cell" in own else {})


def check_surrogates(study) -> None:
    """Checks that the simulator of every surrogate records what one is made of.

    Raises:
        ConfigError: At the first that has nothing to learn from.
    """
    for name in names(study):
        h, recorded = hyperparameters(study, name), signals(study, name)
        for needed in (INPUTS, SPIKES):
            if needed not in recorded:
                raise ConfigError(
                    f"surrogates.{name}: the simulator records no {needed!r} (it records {', '.join(recorded)}); "
                    "surrogates are made of simulators of cells that are driven through synapses, such as hnn_cell"
                )
        try:
            surrogate_settings.time_constants(recorded[INPUTS].channels)
            surrogate_settings.check_times(h, recorded[INPUTS].dt_ms, recorded[INPUTS].shape[0])
        except ConfigError as error:
            raise ConfigError(f"surrogates.{name}.{error}") from error
