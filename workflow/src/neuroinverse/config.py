"""Reads config.yaml and study files, merges the scale, validates, and freezes the result into a Study."""

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from neuroinverse import surrogates
from neuroinverse.column import specs as column
from neuroinverse.cross import check_cross
from neuroinverse.errors import ConfigError, require_known
from neuroinverse.estimators.space import values_of
from neuroinverse.rounds import KIND, expand
from neuroinverse.search import check_searches
from neuroinverse.study import DATASETS, Study

# keys of an estimator that steps of their own alone depend on, like its search
EXTRAS = ("cross", "published_scaling")
# of a study that says nothing of its network, and of a search that names no space
NETWORK, SPACE = "residual", "published"
SCHEMAS = Path(__file__).parents[2] / "schemas"
# relative to the working directory, as Snakemake resolves config files: `--directory` gives a run its own config
STUDIES = Path("config/studies")
NETWORKS = Path("config/networks")
SPACES = Path("config/search")


def read_config(path: Path = Path("config/config.yaml")) -> dict:
    """Reads and checks the pipeline's configuration file.

    Raises:
        ConfigError: If it is not as its schema says.
    """
    config = _read_yaml(path)
    check_config(config, path)
    return config


def check_config(config: Mapping, source: Path | str) -> None:
    """Checks a configuration against workflow/schemas/config.schema.json."""
    _validate(config, "config.schema.json", source)


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


def load_study(study: str | Path, scale: str, master_seed: int) -> Study:
    """Reads a study at a scale.

    Args:
        study: Name of a file in config/studies, or the path of a study file.
        scale: smoke, demo, paper, or a further scale of the study.
        master_seed: The seed of the configuration.

    Returns:
        The checked, immutable study.

    Raises:
        ConfigError: If anything in it is wrong: the message names the file, the key, what was expected and the cure.
    """
    path = Path(study) if str(study).endswith((".yaml", ".yml")) else STUDIES / f"{study}.yaml"
    if not path.is_file():
        raise ConfigError(f"study {study!r}: {path} does not exist; there are {', '.join(study_names())}")
    return _load(path, scale, master_seed)


def _load(path: Path, scale: str, master_seed: int, alone: bool = False) -> Study:
    """Reads a study file; `alone` leaves out the other studies that it names, which may name it in turn."""
    content = _read_yaml(path)
    _validate(content, "study.schema.json", path)
    if scale not in content["scales"]:
        raise ConfigError(f"{path}: scale {scale!r} is unknown; there are {', '.join(content['scales'])}")
    content.setdefault("estimators", {})
    merged = _merge(content, content["scales"][scale], f"scales.{scale}")
    _validate(merged, "study.schema.json", f"{path} at scale {scale}")
    resolved = merged | {"estimators": _resolve_networks(merged["estimators"], f"{path} at scale {scale}")}
    # what a network leaves open, the study has to say
    _validate(resolved, "study.schema.json", f"{path} at scale {scale}")
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
    for name, n in _paper_sizes(content).items():
        if "scaling" in resolved["estimators"].get(name, {}):
            extras.setdefault(name, {})["paper_size"] = n
    for name, extra in extras.items():
        if "cross" in extra:
            where = f"{path} at scale {scale}: estimators.{name}.cross"
            extra["cross"] = () if alone else _load_others(extra["cross"], scale, master_seed, where)
    where = f"{path} at scale {scale}: column.surrogates"
    linked = _load_others(linked, scale, master_seed, where)
    try:
        study = Study(path.stem, scale, master_seed, resolved, searches, extras, {s.name: s for s in linked})
        check_searches(study)
        check_cross(study)
        return study
    except ConfigError as error:
        raise ConfigError(f"{path} at scale {scale}: {error}") from error


def _require_datasets(settings: Mapping) -> None:
    """Refuses a study that trains and lacks one of the datasets that this takes."""
    for name in DATASETS if settings["estimators"] or settings.get("surrogates") else ():
        if name not in settings["datasets"]:
            raise ConfigError(f"datasets: missing {name!r}; add it")


def _read_yaml(path: Path):
    try:
        content = yaml.safe_load(Path(path).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(content).__name__}")
    return content


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


def _paper_sizes(content: Mapping) -> dict[str, int]:
    """By estimator of the scale paper the size of the dataset that it is trained on, where it is a number."""
    paper = _merge(content, content["scales"]["paper"], "scales.paper")
    datasets = {name: paper["datasets"].get(e.get("dataset", "train"), {}) for name, e in paper["estimators"].items()}
    return {name: dataset["n"] for name, dataset in datasets.items() if "n" in dataset}


def _load_others(names: list[str], scale: str, master_seed: int, where: str) -> tuple[Study, ...]:
    """The other studies that an estimator names, at the same scale."""
    others = []
    for name in names:
        try:
            others.append(_load(_named(name, STUDIES, study_names(), where), scale, master_seed, alone=True))
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
    space = _read_yaml(path)
    _validate(space, "search.schema.json", path)
    known = _hyperparameters()
    # `outputs` stands for one, the narrowest there is: a range that is empty for a study is found with the study
    for key, values in values_of(space, 1).items():
        for value in values:
            _check({key: value}, {"type": "object", "additionalProperties": False, "properties": known}, path)
    return space


def _hyperparameters() -> dict:
    """Schemas of the hyper-parameters, the name of a network not among them."""
    schema = _schema("study.schema.json")["$defs"]["estimator"]["properties"]["hyperparameters"]
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
    network = _read_yaml(path)
    # a part of the hyper-parameters will do, but a network is no other one
    _check(network, {"type": "object", "additionalProperties": False, "properties": _hyperparameters()}, path)
    return network


def _schema(name: str) -> dict:
    return json.loads((SCHEMAS / name).read_text())


def _validate(content, schema_name: str, source) -> None:
    _check(content, _schema(schema_name), source)


def _check(content, schema: Mapping, source) -> None:
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema)
    errors = sorted(validator.iter_errors(content), key=lambda e: list(map(str, e.absolute_path)))
    if errors:
        raise ConfigError(f"{source}: " + "; ".join(_explain(e) for e in errors[:5]))


def _explain(error) -> str:
    where = ".".join(str(p) for p in error.absolute_path) or "top level"
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = [k for k in error.instance if k not in known]
        said = []
        for key in unknown:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
            said.append(f"unknown key {key!r} ({hint})")
        return f"{where}: " + ", ".join(said)
    if error.validator == "required":
        missing = [k for k in error.validator_value if k not in error.instance]
        name = (
            f" of {error.instance['name']!r}" if isinstance(error.instance, dict) and "name" in error.instance else ""
        )
        return f"{where}{name}: missing {', '.join(repr(m) for m in missing)}; add it"
    if error.validator == "type" and list(error.absolute_path)[:-1] == ["datasets"]:
        (key,) = list(error.absolute_path)[1:]
        known = ["shard_size", *DATASETS]
        close = difflib.get_close_matches(str(key), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
        return f"datasets: unknown key {key!r} ({hint}); a further dataset has a section with n"
    if error.validator == "type" and isinstance(error.instance, str) and _NUMBER.fullmatch(error.instance):
        mantissa, exponent = error.instance.lower().split("e")
        dot = "" if "." in mantissa else ".0"
        sign = "" if exponent[0] in "+-" else "+"
        return f"{where}: YAML reads {error.instance} as text; write {mantissa}{dot}e{sign}{exponent}"
    return f"{where}: {error.message}"


# YAML 1.1 wants a point and a signed exponent
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
