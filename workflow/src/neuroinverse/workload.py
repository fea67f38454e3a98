"""What a study asks of a machine: simulations, bytes, core-hours, jobs, and the time a job may take.

Requests of jobs (walltime) are made from assumptions that err high. Plans are made from measured rates: those of the
study's own demo where it has run, else those recorded in docs/records/rates.json.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from neuroinverse import rounds, surrogates
from neuroinverse.column import specs as column
from neuroinverse.errors import NeuroinverseError
from neuroinverse.estimators.architecture import multiply_adds
from neuroinverse.estimators.modelfile import read_metadata
from neuroinverse.records import read_records
from neuroinverse.study import Study

# a request is this many times the estimate, and at least MINUTES
SAFETY = 4.0
MINUTES = 10
# common limit of cluster partitions; a training that needs longer resumes on its retry
LONGEST_MINUTES = 12 * 60
# forward multiply-adds per second of small convolutions on one core
CORE_RATE = 2e9
# shards are read and summed at this many MB per second, of a busy shared file system
READ_RATE = 50.0
# a training step costs about three forward passes
PASSES = 3.0


def simulate_minutes(study: Study, threads: int = 1, attempt: int = 1) -> int:
    """Walltime to ask for one shard (min): a killed one begins anew, so the next attempt asks for more."""
    return _request(study.shard_size * study.simulator.core_seconds / threads, attempt)


def join_minutes(study: Study, dataset: str, attempt: int = 1) -> int:
    """Walltime to ask for verifying and joining the shards of a dataset (min)."""
    return _request(study.megabytes(dataset) / READ_RATE, attempt)


def train_minutes(study: Study, estimator: str, threads: int) -> int:
    """Walltime to ask for the training of one fold on CPUs (min); what is cut off goes on with the next attempt."""
    samples = study.n_training(estimator) * study.estimator(estimator)["hyperparameters"]["epochs"]
    return fit_minutes(samples, forward_multiply_adds(study, estimator), threads)


def fit_minutes(samples: int, forward: int, threads: int) -> int:
    """Walltime to ask for a training on CPUs (min).

    Args:
        samples: Simulations times epochs.
        forward: Multiply-adds of one prediction.
        threads: CPU threads.
    """
    return _request(PASSES * samples * forward / (CORE_RATE * threads))


def surrogate_minutes(study: Study, surrogate: str, threads: int) -> int:
    """Walltime to ask for the training of a surrogate on CPUs (min); what is cut off goes on with the next attempt."""
    h, width = surrogates.hyperparameters(study, surrogate), surrogates.hyperparameters(study, surrogate)["lstm_units"]
    steps = surrogates.signals(study, surrogate)[surrogates.INPUTS].shape[0]
    # four gates, each of the input of a layer and of its state before
    forward = steps * h["lstm_layers"] * 4 * width * (width + max(width, h["conv_units"]))
    return fit_minutes(surrogates.n_training(study, surrogate) * h["epochs"], forward, threads)


def forward_multiply_adds(study: Study, estimator: str) -> int:
    """Multiply-adds of one prediction."""
    hyperparameters = study.estimator(estimator)["hyperparameters"]
    n_outputs = len(study.estimator_space(estimator).parameters)
    return multiply_adds(*study.input_shape(estimator), hyperparameters, n_outputs)


def _request(seconds: float, attempt: int = 1) -> int:
    return min(LONGEST_MINUTES, attempt * max(MINUTES, math.ceil(SAFETY * seconds / 60)))


@dataclass(frozen=True)
class Rates:
    """Measured rates of a study.

    Args:
        simulate: Core seconds per simulation.
        train: Per estimator and surrogate, core seconds per training simulation and epoch, validation and start-up
            included.
    """

    simulate: float
    train: dict[str, float]

    def figures(self, study: str) -> dict[str, float]:
        """As the figures of a record."""
        train = {f"{study}_{e}_core_seconds_per_simulation_epoch": rate for e, rate in self.train.items()}
        return {f"{study}_core_seconds_per_simulation": self.simulate} | train


def measured_rates(study: Study, results: Path = Path("results")) -> Rates:
    """Rates from the study's demo in `results`, else from another scale run there, else from the record `rates`.

    Raises:
        NeuroinverseError: If there are neither.
    """
    demo = results / study.name / "demo"
    # the few simulations of a smoke run tell little
    others = sorted(report.parent for report in demo.parent.glob("*/report.html") if report.parent.name != "smoke")
    for run in [demo, *others]:
        if (run / "report.html").is_file():
            return _rates_of_run(run)
    figures = read_records().get("rates", {}).get("figures", {})
    try:
        trained = [*study.estimators, *surrogates.names(study)]
        train = {e: figures[f"{study.name}_{e}_core_seconds_per_simulation_epoch"] for e in trained}
        return Rates(figures[f"{study.name}_core_seconds_per_simulation"], train)
    except KeyError:
        raise NeuroinverseError(
            f"no rates were measured for {study.name}; run its demo first: "
            f"snakemake --profile profiles/local {demo}/report.html"
        ) from None


def _rates_of_run(run: Path) -> Rates:
    from neuroinverse.shards import Dataset

    # of a column, the start
    first = next(f for d in ("train", column.START) if (f := run / "dataset" / f"{d}.h5").is_file())
    data, train, made = Dataset(first), {}, run / "benchmarks"
    trainings = {m.parent.parent.name: (m, "train_fold", "-0") for m in sorted(run.glob("*/fold-0/model.keras"))}
    trainings |= {m.parent.name: (m, "train_surrogate", "") for m in sorted(run.glob("surrogates/*/model.keras"))}
    for name, (model, verb, fold) in trainings.items():
        if "@" not in name:
            m = read_metadata(model)
            train[name] = cpu_seconds(made / verb / f"{name}{fold}.tsv") / (m["n_train"] * m["epochs"])
    return Rates(data.seconds_core / data.n, train)


def cpu_seconds(benchmark: Path) -> float:
    """CPU seconds of a job, start and compilation included, from the file of its rule's `benchmark`."""
    names, values = (line.split("\t") for line in benchmark.read_text().splitlines()[:2])
    return float(dict(zip(names, values, strict=True))["cpu_time"])


def plan(study: Study, rates: Rates) -> dict[str, float]:
    """What a study needs at its scale, beside what studies that it is built on need.

    Returns:
        simulations, shards, gigabytes, simulate_core_hours, train_core_hours, jobs.
    """
    datasets = study.report_datasets
    simulations = sum(study.n(d) for d in datasets)
    shards = sum(len(study.shards(d)) for d in datasets)
    folds = {e: len(study.folds(e)) for e in study.estimators}
    train = sum(
        rates.train[e]
        * k
        * study.n_training(e)
        * (1 - 1 / k if k > 1 else 1)
        * study.estimator(e)["hyperparameters"]["epochs"]
        for e, k in folds.items()
    )
    for name in surrogates.names(study):
        n = surrogates.n_training(study, name)
        train += rates.train[name] * n * surrogates.hyperparameters(study, name)["epochs"]
    # per estimator: folds, and ensemble and evaluation, or the check of a posterior, transfer where asked for; per
    # dataset: one join, one proposal where a posterior makes it; per surrogate and objective two; and the study's own
    jobs = shards + len(datasets) + sum(rounds.proposed(study, d) for d in datasets) + len(study.transferred)
    jobs += sum(k + (1 if study.is_posterior(e) else 2) for e, k in folds.items())
    jobs += 2 * (len(surrogates.names(study)) + len(column.names(study)))
    jobs += 1 + bool(study.mechanisms) + study.needs_kernel + bool(study.network_datasets)
    return {
        "simulations": simulations,
        "shards": shards,
        "gigabytes": sum(study.megabytes(d) for d in datasets) / 1e3,
        "simulate_core_hours": simulations * rates.simulate / 3600,
        "train_core_hours": train / 3600,
        "jobs": jobs,
    }
