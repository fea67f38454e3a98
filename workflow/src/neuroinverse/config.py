"""Reads config.yaml and study files, merges the scale, validates, and freezes the result into a Study."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

from neuroinverse import schemas, surrogates, yaml_files
from neuroinverse.column import specs as column
from neuroinverse.cross import check_cross
from neuroinverse.descriptions import Record, nothing
from neuroinverse.errors import ConfigError, require_known
from neuroinverse.estimators.space import values_of
from neuroinverse.files import CLONE
from neuroinverse.rounds import KIND, expand
from neuroinverse.search import check_searches
from neuroinverse.study import DATASETS, Study

# keys of an estimator that steps of their own alone depend on, like its search
EXTRAS = ("cross", "published_scaling")
# of a study that says nothing of its network, and of a search that names no space
NETWORK, SPACE = "residual", "published"
# relative to the working directory, as Snakemake resolves config files: `--directory` gives a run its own config
STUDIES = Path("config/studies")
NETWORKS = Path("config/networks")
SPACES = Path("config/search")
# of a study: a template's begins with an underscore. And what stands beside studies in results/
NAME, FOLDERS = re.compile(r"_?[a-z][a-z0-9_]*"), ("benchmarks", "logs")


def read_config(path: Path = Path("config/config.yaml")) -> dict:
    """Reads and checks the pipeline's configuration file.

    Raises:
        ConfigError: If it is not as its schema says.
    """
    config = yaml_files.read(path)
    check_config(config, path)
    return config


def check_config(config: Mapping, source: Path | str) -> None:
    """Checks a configuration against workflow/schemas/config.schema.json."""
    schemas.validate(config, "config.schema.json", source)


def master_seed(path: Path = Path("config/config.yaml")) -> int:
    """The configured master seed; 0 where there is no configuration, as when a study file is looked at by itself."""
    return read_config(path)["master_seed"] if path.is_file() else 0


def study_names() -> list[str]:
    """The studies in config/studies."""
    return sorted(p.stem for p in STUDIES.glob("*.yaml") if not p.stem.startswith("_"))


def network_names() -> list[str]:
    """The published networks in config/networks, which a study's hyper-parameters may name."""
    return sorted(p.stem for p in NETWORKS.glob("*.yaml"))


def space_names() -> list[str]:
    """The spaces in config/search, which a study's search may name."""
    return sorted(p.stem for p in SPACES.glob("*.yaml"))


def require_root(sought: str = "") -> None:
    """Refuses a folder that is no place of studies.

    Args:
        sought: What is looked for, for the message.

    Raises:
        ConfigError: With the place to go to.
    """
    if not STUDIES.is_dir():
        there = f": cd {CLONE}" if CLONE else ""
        raise ConfigError(f"{sought}there is no {STUDIES} in {Path.cwd()}; run in the root of the clone{there}")


def load_study(study: str | Path, scale: str, master_seed: int, record: Record = nothing) -> Study:
    """Reads a study at a scale.

    Args:
        study: Name of a file in config/studies, or the path of a study file.
        scale: smoke, demo, paper, or a further scale of the study.
        master_seed: The seed of the configuration.
        record: What Snakemake recorded of the params of the job that made a file: see `descriptions`.

    Returns:
        The checked, immutable study.

    Raises:
        ConfigError: If anything in it is wrong: the message names the file, the key, what was expected and the cure.
    """
    path = Path(study) if str(study).endswith((".yaml", ".yml")) else STUDIES / f"{study}.yaml"
    if not path.is_file():
        if path.parent == STUDIES:
            require_root(f"study {str(study)!r}: ")
        raise ConfigError(f"study {str(study)!r}: {path} does not exist; there are {', '.join(study_names())}")
    return _load(path, scale, master_seed, record)


def _check_name(path: Path) -> None:
    """Refuses the name of a study that the workflow would not find, or whose results would lie among its own."""
    if path.suffix != ".yaml":
        raise ConfigError(f"{path}: the workflow reads studies of files *.yaml; rename it to {path.stem}.yaml")
    if not NAME.fullmatch(path.stem) or len(path.stem) > 80:
        raise ConfigError(
            f"{path}: {path.stem!r} is no name of a study, as its folder of results has it too; lower-case letters, "
            "digits and underscores make one, a letter first, 80 at most. Rename the file"
        )
    if path.stem in FOLDERS:
        raise ConfigError(f"{path}: results/{path.stem} is a folder of the workflow's own; rename the file")


def _load(path: Path, scale: str, master_seed: int, record: Record = nothing, alone: bool = False) -> Study:
    """Reads a study file; `alone` leaves out the other studies that it names, which may name it in turn."""
    _check_name(path)
    content = yaml_files.read(path)
    schemas.validate(content, "study.schema.json", path)
    if scale not in content["scales"]:
        raise ConfigError(f"{path}: scale {scale!r} is unknown; there are {', '.join(content['scales'])}")
    content.setdefault("estimators", {})
    merged = _at_scale(content, scale, path)
    # a scale may leave them all out
    merged.setdefault("estimators", {})
    schemas.validate(merged, "study.schema.json", f"{path} at scale {scale}")
    resolved = merged | {"estimators": _resolve_networks(merged["estimators"], f"{path} at scale {scale}")}
    # what a network leaves open, the study has to say
    schemas.validate(resolved, "study.schema.json", f"{path} at scale {scale}")
    # a name mistyped in a scale would be one more dataset, and the one that was meant would keep its size
    require_known(f"{path} at scale {scale}: datasets", resolved["datasets"], content["datasets"])
    try:
        _require_datasets(resolved)
        estimators, datasets = expand(resolved["estimators"], resolved["datasets"])
        datasets = surrogates.expand(resolved.get("surrogates", {}), datasets)
        linked = column.linked_names(resolved)
        resolved = column.expand(resolved | {"estimators": estimators, "datasets": datasets})
    except ConfigError as error:
        raise ConfigError(f"{path} at scale {scale}: {error}") from error
    searches = _take_searches(resolved["estimators"], f"{path} at scale {scale}")
    extras = _take_extras(resolved["estimators"])
    for name, n in _paper_sizes(content, path).items():
        if "scaling" in resolved["estimators"].get(name, {}):
            extras.setdefault(name, {})["paper_size"] = n
    for name, extra in extras.items():
        if "cross" in extra:
            where = f"{path} at scale {scale}: estimators.{name}.cross"
            extra["cross"] = () if alone else _load_others(extra["cross"], scale, master_seed, record, where)
    where = f"{path} at scale {scale}: column.surrogates"
    linked = _load_others(linked, scale, master_seed, record, where)
    try:
        study = Study(path.stem, scale, master_seed, resolved, searches, extras, {s.name: s for s in linked}, record)
        check_searches(study)
        check_cross(study)
        return study
    except ConfigError as error:
        raise ConfigError(f"{path} at scale {scale}: {error}") from error


def _at_scale(content: Mapping, scale: str, path: Path) -> dict:
    """A study with the settings of a scale in it.

    Raises:
        ConfigError: If the scale leaves out what is not there.
    """
    try:
        return _merge(content, content["scales"][scale], f"scales.{scale}")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _require_datasets(settings: Mapping) -> None:
    """Refuses a study that trains and lacks one of the datasets that this takes."""
    for name in DATASETS if settings["estimators"] or settings.get("surrogates") else ():
        if name not in settings["datasets"]:
            raise ConfigError(f"datasets: missing {name!r}; add it")


def _merge(base: Mapping, over: Mapping, where: str) -> dict:
    """Base with every value of `over` put in its place, and what is null there left out.

    Raises:
        ConfigError: If there is nothing to leave out.
    """
    merged = {k: v for k, v in base.items()}
    for key, value in over.items():
        if value is None:
            if key not in base:
                raise ConfigError(f"{where}.{key}: null leaves a key out, and there is no {key!r}; remove the line")
            del merged[key]
            continue
        inside = isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        merged[key] = _merge(base[key], value, f"{where}.{key}") if inside else value
    return merged


def _resolve_networks(estimators: Mapping, source: str) -> dict:
    """The estimators with the keys of a named network in the place of its name, and under the study's own."""
    resolved = {}
    for name, estimator in estimators.items():
        own = dict(estimator["hyperparameters"])
        if "conv_filter" not in own and estimator["kind"] == "cnn":
            own.setdefault("network", NETWORK)
        if "network" in own:
            where = f"{source}: estimators.{name}.hyperparameters.network"
            network = _read_network(own.pop("network"), where)
            if estimator["kind"] == KIND:
                # a posterior trained on noisier signals than it is asked about would be too wide
                network.pop("augment", None)
            own = network | own
        resolved[name] = estimator | {"hyperparameters": own}
    return resolved


def _take_searches(estimators: dict, source: str) -> dict:
    """Takes the searches out of the estimators: by estimator, each with the content of its space for its name."""
    searches = {}
    for name, estimator in estimators.items():
        if "search" in estimator:
            section = estimator["search"]
            estimators[name] = {k: v for k, v in estimator.items() if k != "search"}
            space = read_space(section.get("space", SPACE), f"{source}: estimators.{name}.search.space")
            searches[name] = section | {"space": space}
    return searches


def _take_extras(estimators: dict) -> dict[str, dict]:
    """Takes out of the estimators what further targets alone depend on: by estimator, the keys of EXTRAS."""
    extras = {}
    for name, estimator in estimators.items():
        extras[name] = {key: estimator[key] for key in EXTRAS if key in estimator}
        estimators[name] = {key: value for key, value in estimator.items() if key not in EXTRAS}
    return {name: found for name, found in extras.items() if found}


def _paper_sizes(content: Mapping, path: Path) -> dict[str, int]:
    """By estimator of the scale paper the size of the dataset that it is trained on, where it is a number.

    Another scale than the one that is read: what is wrong with it is said when it is read.
    """
    paper, sizes = _at_scale(content, "paper", path), {}
    estimators, datasets = (_section(paper, key) for key in ("estimators", "datasets"))
    for name in estimators:
        n = _section(datasets, str(_section(estimators, name).get("dataset", "train"))).get("n")
        if isinstance(n, int):
            sizes[name] = n
    return sizes


def _section(content: Mapping, key: str) -> Mapping:
    """A section; an empty one where there is something else."""
    found = content.get(key)
    return found if isinstance(found, Mapping) else {}


def _load_others(names: list[str], scale: str, master_seed: int, record: Record, where: str) -> tuple[Study, ...]:
    """The other studies that an estimator names, at the same scale."""
    others = []
    for name in names:
        try:
            others.append(_load(_named(name, STUDIES, study_names(), where), scale, master_seed, record, alone=True))
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
    return tuple(others)


def read_space(name: str, where: str = "space") -> dict:
    """Reads a space of networks.

    Args:
        name: A file in config/search.
        where: Where it is named.

    Raises:
        ConfigError: If there is none, or it is not as its schema says, or its ends are no hyper-parameters.
    """
    path = _named(name, SPACES, space_names(), where)
    space = yaml_files.read(path)
    schemas.validate(space, "search.schema.json", path)
    known = _hyperparameters()
    # `outputs` stands for one, the narrowest there is: a range that is empty for a study is found with the study
    for key, values in values_of(space, 1).items():
        for value in values:
            schemas.check({key: value}, {"type": "object", "additionalProperties": False, "properties": known}, path)
    return space


def _hyperparameters() -> dict:
    """Schemas of the hyper-parameters, the name of a network not among them."""
    schema = schemas.read("study.schema.json")["$defs"]["estimator"]["properties"]["hyperparameters"]
    return {key: value for key, value in schema["properties"].items() if key != "network"}


def _named(name: str, folder: Path, names: list[str], where: str) -> Path:
    """The file of a name.

    Raises:
        ConfigError: If there is none.
    """
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ConfigError(f"{where}: {name!r} is unknown{hint}; {folder} has {', '.join(names) or 'no files'}")
    return folder / f"{name}.yaml"


def _read_network(name: str, where: str) -> dict:
    path = _named(name, NETWORKS, network_names(), where)
    network = yaml_files.read(path)
    # a part of the hyper-parameters will do, but a network is no other one
    schemas.check(network, {"type": "object", "additionalProperties": False, "properties": _hyperparameters()}, path)
    return network
