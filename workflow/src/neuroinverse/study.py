"""A checked study: its datasets, shards and estimators, and the specification of every step.

A specification is exactly what a step depends on. Snakemake compares it with that of the last run, so it alone decides
what runs again; each carries the `version` of its stage, raised when the meaning of the stage changes. What a step
depends on without reading it enters as a digest.
"""

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from neuroinverse import descriptions, pages, rounds, surrogates
from neuroinverse.checks import check_study
from neuroinverse.column import specs as column
from neuroinverse.errors import ConfigError
from neuroinverse.estimators.architecture import complete
from neuroinverse.features import feature_shape, split
from neuroinverse.parameters import ParameterSpace
from neuroinverse.provenance import digest, file_sha256, version
from neuroinverse.sampling import FOUND, PROPOSED, resolve
from neuroinverse.simulators import make_simulator, mechanism_files, simulator_class, source_files
from neuroinverse.simulators.base import Signal, Simulator, stimuli
from neuroinverse.simulators.user_module import neighbours
from neuroinverse.versions import VERSIONS

# every study has these: what the folds learn from; what their stated error is fitted to; what everything is measured on
DATASETS = ("train", "calibration", "test")


@dataclass(frozen=True, eq=False)
class Study:
    """One inference problem at one scale.

    Args:
        name: Name of the study.
        scale: smoke, demo or paper.
        master_seed: Root of every random draw.
        settings: The study file with its scale merged in.
        searches: By estimator what is searched: no other step depends on it.
        extras: By estimator what further targets alone depend on: `cross`, other studies at this scale;
            `published_scaling`, error by training size; `paper_size`, the training size of the scale paper.
        linked: By name the other studies, at this scale, that this one is built on: those of a column's surrogates.
        record: What Snakemake recorded of the params of the job that made a file: see `descriptions`.

    Raises:
        ConfigError: If the parts do not fit each other.
    """

    name: str
    scale: str
    master_seed: int
    settings: Mapping
    searches: Mapping = field(default_factory=dict)
    extras: Mapping = field(default_factory=dict)
    linked: Mapping = field(default_factory=dict)
    record: descriptions.Record = descriptions.nothing

    def __post_init__(self):
        check_study(self)

    # --- parts -------------------------------------------------------------------------------------------------

    @functools.cached_property
    def parameters(self) -> ParameterSpace:
        """The prior."""
        return ParameterSpace.from_table(self.settings["parameters"])

    def space(self, dataset: str) -> ParameterSpace:
        """The parameters of a dataset, with ranges of its own where it has some."""
        ranges = self.settings["datasets"][dataset.partition("@")[0]].get("ranges", {})
        ends = {name: {"low": low, "high": high} for name, (low, high) in ranges.items()}
        return ParameterSpace(tuple(replace(p, **ends.get(p.name, {})) for p in self.parameters.parameters))

    def estimator_space(self, estimator: str) -> ParameterSpace:
        """What an estimator infers: its parameters, or all, over the ranges that it is trained on."""
        space = self.space(self.training_dataset(estimator))
        names = self.estimator(estimator).get("parameters", space.names)
        return ParameterSpace(tuple(p for p in space.parameters if p.name in names))

    @functools.cache  # noqa: B019 - a study lives as long as the run
    def table(self, estimator: str) -> list[dict]:
        """What an estimator infers, for a specification."""
        return descriptions.table(self, estimator, self.estimator_space(estimator))

    @functools.cache  # noqa: B019 - a study lives as long as the run
    def signals_of(self, dataset: str) -> dict[str, Signal]:
        """The simulator's outputs in a dataset by name."""
        return {s.name: s for s in make_simulator(self.scenario(dataset)).signals}

    def input_signal(self, estimator: str) -> Signal:
        """What an estimator takes."""
        return self.signals_of(self.training_dataset(estimator).partition("@")[0])[self.estimator(estimator)["signal"]]

    def input_shape(self, estimator: str) -> tuple[int, int]:
        """Shape (time or frequency, channel) of what an estimator's network takes: its features."""
        return feature_shape(self.estimator(estimator)["features"], self.input_signal(estimator))

    @property
    def datasets(self) -> list[str]:
        """Names of all datasets, those that every study has first."""
        given = [name for name in self.settings["datasets"] if name != "shard_size"]
        return sorted(given, key=lambda name: DATASETS.index(name) if name in DATASETS else len(DATASETS))

    @property
    def report_datasets(self) -> list[str]:
        """Names of the datasets behind the report: those that every study has, and those that estimators name."""
        named = {d for e in self.estimators for d in (*self.training_datasets(e), *self.transfer_datasets(e))}
        named |= {d for e in self.estimators if self.is_posterior(e) for d in rounds.asked_datasets(self, e)}
        named |= {*surrogates.asked_datasets(self), *column.asked_datasets(self)}
        if self.estimators or surrogates.names(self):
            named |= set(DATASETS)
        return [d for d in self.datasets if d in {*named, *self.network_datasets}]

    @property
    def shard_size(self) -> int:
        """Simulations per shard."""
        return self.settings["datasets"]["shard_size"]

    def n(self, dataset: str) -> int:
        """Simulations in a dataset; "train@2000" is the first 2000 of the training set."""
        base, _, size = dataset.partition("@")
        if base not in self.datasets:
            raise ConfigError(f"study {self.name} has no dataset {base!r}; it has {', '.join(self.datasets)}")
        return int(size) if size else self.sampling(base)[0]

    def sampling(self, dataset: str) -> tuple[int, dict | None]:
        """How a dataset's parameters are chosen: see `sampling.resolve`."""
        return resolve(f"datasets.{dataset}", self.settings["datasets"][dataset], self.space(dataset))

    def is_drawn(self, dataset: str) -> bool:
        """Whether the parameters of a dataset follow from the study alone, and no step proposes them."""
        return self.settings["datasets"][dataset.partition("@")[0]].get("sampling") not in PROPOSED

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
        """The dataset an estimator is trained on: its own, "train", or "train@n" for an estimator "name@n"."""
        dataset, size = self.estimator(estimator).get("dataset", "train"), estimator.partition("@")[2]
        return f"{dataset}@{size}" if size else dataset

    def training_datasets(self, estimator: str) -> list[str]:
        """All that an estimator is trained on: its dataset, and those of its further rounds."""
        return [self.training_dataset(estimator), *self.estimator(estimator).get("further", ())]

    def n_training(self, estimator: str) -> int:
        """Simulations in all that an estimator is trained on."""
        return sum(map(self.n, self.training_datasets(estimator)))

    def test_dataset(self, estimator: str) -> str:
        """What an estimator is measured on."""
        return self.estimator(estimator).get("test", "test")

    def is_posterior(self, estimator: str) -> bool:
        """Whether an estimator gives a posterior."""
        return self.estimator(estimator)["kind"] == rounds.KIND

    def transfer_datasets(self, estimator: str) -> list[str]:
        """What `transfer` measures an estimator on: the test set, and the datasets it names."""
        return list(dict.fromkeys(["test", *self.estimator(estimator).get("transfer", ())]))

    def folds(self, estimator: str) -> list[int]:
        """The folds of an estimator."""
        return list(range(self.estimator(estimator)["folds"]))

    @functools.cached_property
    def mechanisms(self) -> list[Path]:
        """The MOD files that the simulator needs."""
        return mechanism_files(self.settings["simulator"])

    @functools.cached_property
    def simulator(self) -> Simulator:
        """The simulator of the first dataset, the training set where there is one."""
        return make_simulator(self.scenario(self.datasets[0]))

    def megabytes(self, dataset: str, signal: str | None = None) -> float:
        """Size of a dataset, or of one of its signals."""
        signals = self.signals_of(dataset.partition("@")[0]).values()
        floats = sum(math.prod(s.shape) for s in signals if signal in (None, s.name))
        return self.n(dataset) * floats * 4 / 1e6

    def training_megabytes(self, estimator: str) -> float:
        """Size of what a training keeps in memory: features that need no fitting."""
        first = split(self.estimator(estimator)["features"])[0]
        values = math.prod(feature_shape(first, self.input_signal(estimator)))
        return self.n_training(estimator) * values * 4 / 1e6

    # --- specifications ------------------------------------------------------------------------------------------

    def scenario(self, dataset: str) -> dict:
        """The settings behind every trace of a dataset: the study's, with the dataset's own put in their place."""
        base = dataset.partition("@")[0]
        section, own = dict(self.settings["simulator"]), self.settings["datasets"][base]
        for key in ("fixed", "options"):
            if own.get(key):
                section[key] = dict(section.get(key, {})) | dict(own[key])
        return {
            "version": VERSIONS["simulate_shard"],
            "master_seed": self.master_seed,
            "study": self.name,
            "dataset": base,
            "simulator": section,
            "parameters": [{k: v for k, v in p.items() if k != "description"} for p in self.space(base).to_table()],
            "protocol": dict(self.settings["protocol"]),
        }

    def _simulation_spec(self, dataset: str) -> dict:
        """What every trace of a dataset depends on."""
        spec = self.scenario(dataset)
        base = spec["dataset"]
        sampling = self.sampling(base)[1]
        if sampling:
            spec["sampling"] = sampling
        if rounds.proposed(self, base):
            spec["proposal"] = digest(rounds.proposal_spec(self, base))
        elif sampling and sampling["kind"] == FOUND:
            spec["proposal"] = digest(column.search_spec(self, sampling["by"]))
        return spec | self._sources(base)

    def _sources(self, dataset: str) -> dict:
        """What the files and packages behind the traces of a dataset are, by their contents and versions."""
        scenario, spec = self.scenario(dataset), {}
        section = scenario["simulator"]
        if "path" in section:
            spec["source_sha256"] = file_sha256(Path(section["path"]))
            behind = neighbours(Path(section["path"]), "simulator.path")
            if behind:
                spec["modules"] = {name: file_sha256(file) for name, file in behind.items()}
        if self.mechanisms:
            spec |= self._mechanism_sums()
        if self.needs_kernel:
            spec["kernel"] = digest(self.kernel_spec())
        waves = (Path(s["path"]) for s in stimuli(self.settings["protocol"]) if "path" in s)
        simulator = make_simulator(scenario)
        files = [*source_files(simulator, section), *(f for f in waves if f.is_file())]
        if files:
            # where the package is installed counts for nothing
            names = [f.name if f.is_absolute() else str(f) for f in files]
            unique = [str(f) if names.count(n) > 1 else n for f, n in zip(files, names, strict=True)]
            spec["files"] = {name: file_sha256(file) for name, file in zip(unique, files, strict=True)}
        packages = simulator_class(section).packages
        if packages:
            spec["packages"] = {p: version(p) for p in packages}
        if simulator.revision:
            spec["revision"] = simulator.revision
        return spec

    def guard_spec(self) -> dict:
        """Specification of `check_simulator`: the simulator as the first dataset uses it."""
        dataset = self.datasets[0]
        scenario = {k: v for k, v in self.scenario(dataset).items() if k not in ("study", "dataset")}
        return scenario | self._sources(dataset) | {"version": VERSIONS["check_simulator"]}

    @property
    def needs_kernel(self) -> bool:
        """Whether the simulator needs the file that `compute_kernel` makes."""
        return simulator_class(self.settings["simulator"]).needs_kernel

    def kernel_spec(self) -> dict:
        """Specification of `compute_kernel`. The study's name is not in it: the same settings give the same kernel."""
        simulator = self.simulator
        spec = {
            "version": VERSIONS["compute_kernel"],
            "neuron": version("neuron"),
            "lfpykit": version("lfpykit"),
            "seed": self.master_seed,
            "settings": simulator.kernel_settings(),
            "files": {str(f): file_sha256(f) for f in simulator.kernel_files()},
        }
        if simulator.revision:
            spec["revision"] = simulator.revision
        return spec

    def _mechanism_sums(self) -> dict:
        return {"neuron": version("neuron"), "mechanisms": {f.name: file_sha256(f) for f in self.mechanisms}}

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
        scaled = (e for name, e in self.settings["estimators"].items() if self.training_dataset(name) == dataset)
        last = max([self.n(dataset), *(n for e in scaled for n in e.get("scaling", ()))])
        stop = min(start + self.shard_size, last)
        return {"simulation": self.dataset_spec(dataset)["simulation"], "start": start, "stop": stop}

    def train_spec(self, estimator: str, fold: int) -> dict:
        """Specification of `train_fold`."""
        settings = self.estimator(estimator)
        dataset, is_posterior = self.training_dataset(estimator), self.is_posterior(estimator)
        spec = {
            "version": VERSIONS["train_fold"],
            "simulation": self.dataset_spec(dataset)["simulation"],
            "parameters": self.table(estimator),
            "n": self.n(dataset),
            "signal": settings["signal"],
            "features": settings["features"],
            "hyperparameters": complete(settings["hyperparameters"], settings["kind"]),
            "precision": settings.get("precision", "float32"),
            "folds": settings["folds"],
            "fold": fold,
            "master_seed": self.master_seed,
        }
        if is_posterior:
            spec |= {"kind": rounds.KIND, "rounds": [digest(self.dataset_spec(d)) for d in settings.get("further", ())]}
        return spec

    def ensemble_spec(self, estimator: str) -> dict:
        """Specification of `ensemble_folds`."""
        return {
            "version": VERSIONS["ensemble_folds"],
            "training": self.train_spec(estimator, 0),
            "calibration": {"simulation": self.dataset_spec("calibration")["simulation"], "n": self.n("calibration")},
            "test": {"simulation": self.dataset_spec("test")["simulation"], "n": self.n("test")},
        }

    def evaluate_spec(self, estimator: str) -> dict:
        """Specification of `evaluate`, of a posterior that of `check_posterior`."""
        if self.is_posterior(estimator):
            return rounds.check_spec(self, estimator)
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
            "parameters": self.table(estimator),
            "signal": settings["signal"],
            "signal_unit": self.input_signal(estimator).unit,
            "stimulus_unit": next((s["unit"] for s in stimuli(self.settings["protocol"])), None),
            "published": settings.get("published", {}),
            "published_source": settings.get("published_source", ""),
        }

    def transfer_spec(self, estimator: str) -> dict:
        """Specification of `transfer`."""
        datasets = self.transfer_datasets(estimator)
        return {
            "version": VERSIONS["transfer"],
            "ensemble": self.ensemble_spec(estimator),
            "study": self.name,
            "scale": self.scale,
            "estimator": estimator,
            "datasets": [{"simulation": self.dataset_spec(d)["simulation"], "n": self.n(d)} for d in datasets],
        }

    @property
    def transferred(self) -> list[str]:
        """Estimators whose error on further datasets the study asks for."""
        return [e for e in self.estimators if self.estimator(e).get("transfer")]

    @property
    def network_datasets(self) -> list[str]:
        """The datasets of the example states and of the phase diagram; empty where the study asks for neither."""
        network = self.settings.get("network")
        return [network["examples"], network["phase"]] if network else []

    def network_spec(self) -> dict:
        """Specification of `network_states`."""
        return pages.network_spec(self)

    def report_spec(self) -> dict:
        """Specification of `report`."""
        return pages.report_spec(self)


ESTIMATOR_PATTERN = re.compile(r"[a-z][a-z0-9_]*(?:@[1-9][0-9]*)?")
