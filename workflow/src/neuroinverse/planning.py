"""What a study needs of a machine: simulations, bytes, core-hours, jobs.

Plans are made from measured rates: those of the study's own demo where it has run, else those recorded in
docs/records/rates.json. Of a study that has neither, they are estimated here, or measured by `rehearsal.timed_rates`.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from neuroinverse import rounds, surrogates
from neuroinverse.column import specs as column
from neuroinverse.config import load_study
from neuroinverse.estimators.modelfile import read_metadata
from neuroinverse.records import read_records
from neuroinverse.study import Study
from neuroinverse.workload import forward_multiply_adds, seconds_per_sample

# core seconds of a rollout of a column where none is recorded
ROLLOUT_SECONDS = 0.5


@dataclass(frozen=True)
class Rates:
    """Measured rates of a study.

    Args:
        simulate: Core seconds per simulation.
        train: Per estimator and surrogate, core seconds per training simulation and epoch, validation and start-up
            included.
        search: Per objective of a column, core seconds per rollout, all searches and start-up included.
        source: Where they are from, in words.
    """

    simulate: float
    train: dict[str, float]
    search: dict[str, float] = field(default_factory=dict)
    source: str = field(default="", compare=False)

    def figures(self, study: str) -> dict[str, float]:
        """As the figures of a record."""
        train = {f"{study}_{e}_core_seconds_per_simulation_epoch": rate for e, rate in self.train.items()}
        search = {f"{study}_{o}_core_seconds_per_rollout": rate for o, rate in self.search.items()}
        return {f"{study}_core_seconds_per_simulation": self.simulate} | train | search

    def at(self, study: Study, measured: Study) -> "Rates":
        """At another scale than they were measured: by the steps and the sizes that the two differ in."""
        simulated = study.simulator.core_seconds / measured.simulator.core_seconds
        networks = {e: forward_multiply_adds(study, e) / forward_multiply_adds(measured, e) for e in self.train}
        steps = study.simulator.n_steps / measured.simulator.n_steps
        return Rates(
            self.simulate * simulated,
            {e: rate * networks[e] for e, rate in self.train.items()},
            {o: rate * steps for o, rate in self.search.items()},
            self.source,
        )


def measured_rates(study: Study, results: Path = Path("results")) -> Rates | None:
    """Rates from the study's demo in `results`, else from another scale run there, else from the record `rates`.

    They are drawn out to the scale of the study. None where there are neither.
    """
    demo = results / study.name / "demo"
    # the few simulations of a smoke run tell little
    others = sorted(report.parent for report in demo.parent.glob("*/report.html") if report.parent.name != "smoke")
    for run in [demo, *others]:
        if (run / "report.html").is_file():
            return _rates_of_run(run).at(study, load_study(study.name, run.name, study.master_seed))
    figures = read_records().get("rates", {}).get("figures", {})
    try:
        trained = [*study.estimators, *surrogates.names(study)]
        train = {e: figures[f"{study.name}_{e}_core_seconds_per_simulation_epoch"] for e in trained}
        search = {o: figures[f"{study.name}_{o}_core_seconds_per_rollout"] for o in column.names(study)}
        source = "measured in its demo, as recorded in docs/records/rates.json"
        rates = Rates(figures[f"{study.name}_core_seconds_per_simulation"], train, search, source)
        return rates.at(study, load_study(study.name, "demo", study.master_seed))
    except KeyError:
        return None


def estimated_rates(study: Study) -> Rates:
    """Rates that nothing has measured: from what simulators say of themselves, and from the sizes of networks."""
    trained = [*study.estimators, *surrogates.names(study)]
    train = {name: seconds_per_sample(forward_multiply_adds(study, name)) for name in trained}
    search = dict.fromkeys(column.names(study), ROLLOUT_SECONDS)
    return Rates(study.simulator.core_seconds, train, search, "estimated, rather high; nothing was measured")


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
    search = {}
    for file in sorted(run.glob("objectives/*/search.json")):
        found, name = json.loads(file.read_text()), file.parent.name
        searches = [found["search"], *found["controls"].values(), *(s for s in found["slopes"] if "best" in s)]
        rollouts = sum(s["rollouts"] + s["held_out_rollouts"] for s in searches)
        search[name] = cpu_seconds(made / "optimise" / f"{name}.tsv") / rollouts
    return Rates(data.seconds_core / data.n, train, search, f"measured in {run}")


def cpu_seconds(benchmark: Path) -> float:
    """CPU seconds of a job, start and compilation included, from the file of its rule's `benchmark`."""
    names, values = (line.split("\t") for line in benchmark.read_text().splitlines()[:2])
    return float(dict(zip(names, values, strict=True))["cpu_time"])


def plan(study: Study, rates: Rates) -> dict[str, float]:
    """What a study needs at its scale, beside what studies that it is built on need.

    Returns:
        simulations, shards, gigabytes, simulate_core_hours, train_core_hours, search_core_hours, jobs.
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
    # dataset: one join, one proposal where a posterior makes it; per surrogate one and per reported one another, per
    # objective two; and the study's own, the guard among them
    jobs = shards + len(datasets) + sum(rounds.proposed(study, d) for d in datasets) + len(study.transferred)
    jobs += sum(k + (1 if study.is_posterior(e) else 2) for e, k in folds.items())
    jobs += len(surrogates.names(study)) + len(surrogates.reported(study)) + 2 * len(column.names(study))
    jobs += 2 + bool(study.mechanisms) + study.needs_kernel + bool(study.network_datasets)
    return {
        "simulations": simulations,
        "shards": shards,
        "gigabytes": sum(study.megabytes(d) for d in datasets) / 1e3,
        "simulate_core_hours": simulations * rates.simulate / 3600,
        "train_core_hours": train / 3600,
        "search_core_hours": sum(rates.search[o] * column.rollouts(study, o) for o in column.names(study)) / 3600,
        "jobs": jobs,
    }
