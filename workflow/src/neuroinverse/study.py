"""A checked study: its datasets, shards and estimators, and the specification of every step.

A specification is exactly what a step depends on. Snakemake compares it with that of the last run, so it alone decides
what runs again; each carries the `version` of its stage, raised when the meaning of the stage changes.
"""

import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from neuroinverse.errors import ConfigError
from neuroinverse.estimators.architecture import complete, layer_shapes
from neuroinverse.features import feature_shape
from neuroinverse.parameters import ParameterSpace
from neuroinverse.provenance import version
from neuroinverse.simulators import make_simulator, mechanism_files, simulator_class
from neuroinverse.simulators.base import Signal

# what the folds learn from; what their stated error is fitted to; what everything is measured on
DATASETS = ("train", "calibration", "test")
VERSIONS = MappingProxyType(
    {
        "compile_mechanisms": 1,
        "simulate_shard": 1,
        "index_dataset": 1,
        "train_fold": 1,
        "ensemble_folds": 1,
        "evaluate": 1,
        "scaling": 1,
        "report": 1,
        "report_index": 1,
    }
)


@dataclass(frozen=True, eq=False)
class Study:
    """One inference problem at one scale.

    Args:
        name: Name of the study.
        scale: smoke, demo or paper.
        master_seed: Root of every random draw.
        settings: The study file with its scale merged in.

    Raises:
        ConfigError: If the parts do not fit each other.
    """

    name: str
    scale: str
    master_seed: int
    settings: Mapping

    def __post_init__(self):
        self._check_parameters()
        make_simulator(self._simulation_spec("test")).stimulus()
        signals = self.signals
        for name, estimator in self.settings["estimators"].items():
            if estimator["signal"] not in signals:
                raise ConfigError(
                    f"estimators.{name}.signal: {estimator['signal']!r} is unknown; "
                    f"the simulator gives {', '.join(signals)}"
                )
            try:
                n, channels = feature_shape(estimator["features"], signals[estimator["signal"]])
                layer_shapes(n, channels, estimator["hyperparameters"])
            except ConfigError as error:
                raise ConfigError(f"estimators.{name}.{error}") from error
            self._check_sizes(name, estimator)

    def _check_parameters(self) -> None:
        offered = simulator_class(self.settings["simulator"]).parameters
        names = [p["name"] for p in self.settings["parameters"]]
        repeated = {n for n in names if names.count(n) > 1}
        if repeated:
            raise ConfigError(f"parameters: {', '.join(sorted(repeated))} named twice")
        for p in self.parameters.parameters:
            if p.name not in offered:
                raise ConfigError(f"parameters: the simulator has no {p.name!r}; it has {', '.join(offered)}")
            if p.unit != offered[p.name].unit:
                raise ConfigError(
                    f"parameter {p.name}: unit is {p.unit!r}; the simulator takes {offered[p.name].unit!r}"
                )

    def _check_sizes(self, name: str, estimator: Mapping) -> None:
        for n in [self.n("train"), *estimator.get("scaling", ())]:
            if n < 2 * estimator["folds"]:
                raise ConfigError(
                    f"estimators.{name}: {n} training simulations are too few for {estimator['folds']} folds"
                )
            if estimator.get("scaling") and n % self.shard_size:
                raise ConfigError(
                    f"estimators.{name}.scaling: {n} must be a multiple of datasets.shard_size "
                    f"({self.shard_size}), so that all sizes share their shards"
                )

    # --- parts -------------------------------------------------------------------------------------------------

    @functools.cached_property
    def parameters(self) -> ParameterSpace:
        """The prior."""
        return ParameterSpace.from_table(self.settings["parameters"])

    @functools.cached_property
    def signals(self) -> dict[str, Signal]:
        """The simulator's outputs by name."""
        return {s.name: s for s in make_simulator(self._simulation_spec("train")).signals}

    @property
    def shard_size(self) -> int:
        """Simulations per shard."""
        return self.settings["datasets"]["shard_size"]

    def n(self, dataset: str) -> int:
        """Simulations in a dataset; "train@2000" is the first 2000 of the training set."""
        base, _, size = dataset.partition("@")
        return int(size) if size else self.settings["datasets"][base]["n"]

    def shards(self, dataset: str) -> list[str]:
        """Names of the dataset's shards, "00000" and so on."""
        return [f"{i:05d}" for i in range(-(-self.n(dataset) // self.shard_size))]

    def estimator(self, name: str) -> Mapping:
        """Settings of an estimator; "cnn@2000" is the estimator "cnn" trained on 2000 simulations."""
        base = name.partition("@")[0]
        if base not in self.settings["estimators"]:
            raise ConfigError(f"study {self.name} has no estimator {base!r}; it has {', '.join(self.estimators)}")
        return self.settings["estimators"][base]

    @property
    def estimators(self) -> list[str]:
        """Names of the estimators."""
        return list(self.settings["estimators"])

    def training_dataset(self, estimator: str) -> str:
        """The dataset an estimator is trained on: "train", or "train@n" for an estimator "name@n"."""
        size = estimator.partition("@")[2]
        return f"train@{size}" if size else "train"

    def folds(self, estimator: str) -> list[int]:
        """The folds of an estimator."""
        return list(range(self.estimator(estimator)["folds"]))

    @functools.cached_property
    def mechanisms(self) -> list[Path]:
        """The MOD files that the simulator needs."""
        return mechanism_files(self.settings["simulator"])

    @property
    def steps(self) -> int:
        """Time steps of one simulation."""
        return make_simulator(self._simulation_spec("train")).n_steps

    def megabytes(self, dataset: str, signal: str | None = None) -> float:
        """Size of a dataset, or of one of its signals."""
        floats = sum(_product(s.shape) for s in self.signals.values() if signal in (None, s.name))
        return self.n(dataset) * floats * 4 / 1e6

    # --- specifications ------------------------------------------------------------------------------------------

    def _simulation_spec(self, dataset: str) -> dict:
        """What every trace of a dataset depends on."""
        section = dict(self.settings["simulator"])
        spec = {
            "version": VERSIONS["simulate_shard"],
            "master_seed": self.master_seed,
            "study": self.name,
            "dataset": dataset.partition("@")[0],
            "simulator": section,
            "parameters": [{k: v for k, v in p.items() if k != "description"} for p in self.parameters.to_table()],
            "protocol": dict(self.settings["protocol"]),
        }
        if "path" in section:
            spec["source_sha256"] = _sha256(Path(section["path"]))
        if self.mechanisms:
            spec |= self._mechanism_sums()
        stimulus = self.settings["protocol"]["stimulus"]
        if Path(stimulus.get("path", "")).is_file():
            spec["stimulus_sha256"] = _sha256(Path(stimulus["path"]))
        return spec

    def _mechanism_sums(self) -> dict:
        return {"neuron": version("neuron"), "mechanisms": {f.name: _sha256(f) for f in self.mechanisms}}

    def mechanisms_spec(self) -> dict:
        """Specification of `compile_mechanisms`."""
        return {"version": VERSIONS["compile_mechanisms"], **self._mechanism_sums()}

    @functools.cache  # noqa: B019 - a study lives as long as the run
    def dataset_spec(self, dataset: str) -> dict:
        """Specification of `index_dataset`."""
        return {
            "version": VERSIONS["index_dataset"],
            "simulation": self._simulation_spec(dataset),
            "n": self.n(dataset),
            "shard_size": self.shard_size,
        }

    def shard_spec(self, dataset: str, shard: str) -> dict:
        """Specification of `simulate_shard`."""
        start = int(shard) * self.shard_size
        # training sets of a scaling share these shards, and go beyond the study's own size
        sizes = [n for e in self.settings["estimators"].values() for n in e.get("scaling", ())]
        last = max([self.n(dataset), *(sizes if dataset == "train" else ())])
        stop = min(start + self.shard_size, last)
        return {"simulation": self.dataset_spec(dataset)["simulation"], "start": start, "stop": stop}

    def train_spec(self, estimator: str, fold: int) -> dict:
        """Specification of `train_fold`."""
        settings = self.estimator(estimator)
        dataset = self.training_dataset(estimator)
        return {
            "version": VERSIONS["train_fold"],
            "simulation": self.dataset_spec(dataset)["simulation"],
            "parameters": self.parameters.to_table(),
            "n": self.n(dataset),
            "signal": settings["signal"],
            "features": settings["features"],
            "hyperparameters": complete(settings["hyperparameters"]),
            "precision": settings.get("precision", "float32"),
            "folds": settings["folds"],
            "fold": fold,
            "master_seed": self.master_seed,
        }

    def ensemble_spec(self, estimator: str) -> dict:
        """Specification of `ensemble_folds`."""
        return {
            "version": VERSIONS["ensemble_folds"],
            "training": self.train_spec(estimator, 0),
            "calibration": {"simulation": self.dataset_spec("calibration")["simulation"], "n": self.n("calibration")},
            "test": {"simulation": self.dataset_spec("test")["simulation"], "n": self.n("test")},
        }

    def evaluate_spec(self, estimator: str) -> dict:
        """Specification of `evaluate`."""
        settings = self.estimator(estimator)
        return {
            "version": VERSIONS["evaluate"],
            "ensemble": self.ensemble_spec(estimator),
            "study": self.name,
            "scale": self.scale,
            "title": self.settings["title"],
            "estimator": estimator,
            "kind": settings["kind"],
            "master_seed": self.master_seed,
            "parameters": self.parameters.to_table(),
            "signal": settings["signal"],
            "signal_unit": self.signals[settings["signal"]].unit,
            "stimulus_unit": self.settings["protocol"]["stimulus"]["unit"],
            "published": settings.get("published", {}),
            "published_source": settings.get("published_source", ""),
        }

    def scaled(self, estimator: str) -> dict[int, str]:
        """The estimator's name at each training size of its scaling: "cnn@4000", and "cnn" at the study's own size."""
        sizes = self.estimator(estimator).get("scaling")
        if not sizes:
            raise ConfigError(f"study {self.name}, estimator {estimator}: add `scaling: [sizes]` to the study file")
        return {n: estimator if n == self.n("train") else f"{estimator}@{n}" for n in sizes}

    def scaling_spec(self, estimator: str) -> dict:
        """Specification of `scaling`."""
        sizes = [{"n_train": n, "ensemble": self.ensemble_spec(e)} for n, e in self.scaled(estimator).items()]
        return {"version": VERSIONS["scaling"], "study": self.name, "scale": self.scale, "sizes": sizes}

    def report_spec(self) -> dict:
        """Specification of `report`."""
        return {
            "version": VERSIONS["report"],
            "study": self.name,
            "scale": self.scale,
            "title": self.settings["title"],
            "question": self.settings["question"],
            "references": self.settings.get("references", []),
            "estimators": self.estimators,
            "evaluations": [self.evaluate_spec(e) for e in self.estimators],
            "settings": {k: v for k, v in self.settings.items() if k != "scales"},
            "command": f"snakemake --profile profiles/local results/{self.name}/{self.scale}/report.html",
        }


@functools.cache
def _sha256(path: Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _product(shape) -> int:
    result = 1
    for n in shape:
        result *= n
    return result


ESTIMATOR_PATTERN = re.compile(r"[a-z][a-z0-9_]*(?:@[1-9][0-9]*)?")
