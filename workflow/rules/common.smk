# What the rules share: the command line, the studies, their files, and what jobs ask of a machine.

import atexit
import functools
import shlex
import sys
from pathlib import Path

from neuroinverse import cross, rounds, scaling, search, surrogates
from neuroinverse.column import specs as column
from neuroinverse.config import check_config, load_study
from neuroinverse.errors import ConfigError
from neuroinverse.provenance import canonical
from neuroinverse.reasons import HEADER, explain
from neuroinverse.slurm import advice, require_slurm
from neuroinverse.workload import guard_minutes, join_minutes, simulate_minutes, surrogate_minutes, train_minutes
from neuroinverse.study import ESTIMATOR_PATTERN, VERSIONS
from snakemake.io import IOFile


wildcard_constraints:
    # whatever they are: reading the study says what is wrong with a name
    study=r"[^/]+",
    scale=r"[^/]+",
    dataset=r"[a-z][a-z0-9_]*(?:@[0-9]+)?",
    shard=r"[0-9]+",
    estimator=ESTIMATOR_PATTERN.pattern,
    surrogate=r"[a-z][a-z0-9_]*",
    objective=r"[a-z][a-z0-9_]*",
    fold=r"[0-9]+",
    trial=r"trial-(?:0|[1-9][0-9]*)|finalist-[1-9][0-9]*|design-[1-9][0-9]*-repeat-(?:0|[1-9][0-9]*)",
    tier=r"ranking|finalists",


# The interpreter that runs Snakemake has the package beside it, activated or not.
shell.prefix(f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; ")


# Among the many lines that a refused job prints, the one that helps comes last.
onerror:
    for sentence in advice("".join(Path(file).read_text() for file in log), sys.argv):
        print(sentence, file=sys.stderr)


# The last lines of a dry run: why its jobs would run. Snakemake's own reasons hold specifications of some kilobytes, and
# it calls no hook after a dry run.
@atexit.register
def say_why():
    if workflow.dryrun and workflow.dag is not None:
        lines = explain(workflow)
        print(*([HEADER, *lines] if lines else []), sep="\n")


def record(file):
    """The params of the job that made a file, as Snakemake recorded them; nothing before it has its records."""
    last = workflow.persistence and workflow.persistence.metadata(IOFile(file))
    return (last and last.params) or ()


@functools.cache
def load(study, scale):
    return load_study(study, scale, config["master_seed"], record)


def study_of(wildcards):
    try:
        return load(wildcards.study, wildcards.scale)
    except ConfigError as error:
        raise WorkflowError(str(error)) from None


try:
    require_slurm(sys.argv)
    check_config(config, "config/config.yaml")
    CONFIGURED = list(config["studies"].items())
    for name, scale in CONFIGURED:
        load(name, scale)
except ConfigError as error:
    raise WorkflowError(str(error)) from None


def growing(base):
    """Memory (MB) that grows when a job is tried again, from a number or a function of wildcards and threads."""
    return lambda wildcards, threads, attempt: int(attempt * (base(wildcards, threads) if callable(base) else base))


def settled(rule, wildcards):
    """Whether a job's outputs are there, and none is known to be made with another specification."""
    spec = rule.params.spec
    spec = repr(spec(wildcards) if callable(spec) else spec)
    for file in expand(rule.output, **wildcards):
        last = record(file)
        if not Path(file).exists() or (last and spec not in last):
            return False
    return not (workflow.dag_settings.forceall or workflow.dag_settings.forcerun)


# The specification in params alone decides what runs again. To a settled job, finished inputs are given: touched files
# rerun nothing, and a shard simulated anew, with the same contents, retrains nothing. Snakemake 9 has no setting for it:
# it compares time stamps whatever --rerun-triggers says, and `ancient` alone makes it overlook what has changed in jobs
# behind an ancient file while another job is to run (its issue 4166); `before_update` keeps the file out of the graph.
def given(rule, wildcards, files):
    files = [files] if isinstance(files, str) else files
    if not settled(rule, wildcards):
        return files
    return [ancient(before_update(f)) if Path(f).exists() else f for f in files]


# A shard is asked for after the guard has looked at its simulator. One that was made before there was a guard, and has
# none among the inputs that Snakemake remembers, stays as it is.
def guard_file(wildcards):
    file, rule = f"results/{wildcards.study}/{wildcards.scale}/simulator.json", rules.simulate_shard
    last = workflow.persistence.metadata(IOFile(expand(rule.output, **wildcards)[0], rule=rule.rule))
    if settled(rule, wildcards) and file not in ((last and last.input) or ()):
        return []
    return given(rule, wildcards, file)


def shard_files(study, dataset):
    name = dataset.partition("@")[0]
    return [f"results/{study.name}/{study.scale}/shards/{name}/{shard}.h5" for shard in study.shards(dataset)]


# Signals up to this size are kept in memory while training; larger datasets are streamed.
SIGNALS_MB = 4000


def signals_mb(wildcards):
    return min(SIGNALS_MB, study_of(wildcards).training_megabytes(wildcards.estimator))


def train_mb(wildcards, threads):
    """TensorFlow, the signals, and as much again for copies on the way."""
    return 1500 + 2.5 * signals_mb(wildcards)


def figure(name, folder="{estimator}", within="figures"):
    return report(
        f"results/{{study}}/{{scale}}/{folder}/{within}/{name}.png",
        caption=f"../report/{name}.rst",
        category="{study}",
        subcategory=f"{{scale}}, {folder}",
        labels={"figure": name.replace("_", " ")},
    )


# of a posterior, beside its learning curves
POSTERIOR_FIGURES = [
    "marginals",
    "posterior_pairs",
    "conditional_pairs",
    "predictive",
    "sbc",
    "posterior_coverage",
    "contraction",
]


# of a surrogate, beside its learning curve
SURROGATE_FIGURES = ["overlay", "output_correlations", "drift"]
OBJECTIVE_FIGURES = ["spectra", "search_history", "gains", "activity"]


def library_file(wildcards):
    return f"results/{wildcards.study}/{wildcards.scale}/mechanisms/libnrnmech.so"


def kernel_file(wildcards):
    return f"results/{wildcards.study}/{wildcards.scale}/kernel.h5"


def estimator_folder(wildcards):
    return f"results/{wildcards.study}/{wildcards.scale}/{wildcards.estimator}"


def fold_files(wildcards, file):
    folds = study_of(wildcards).folds(wildcards.estimator)
    return [f"{estimator_folder(wildcards)}/fold-{k}/{file}" for k in folds]


def dataset_file(wildcards, dataset):
    return f"results/{wildcards.study}/{wildcards.scale}/dataset/{dataset}.h5"


def dataset_files(wildcards, datasets):
    return [dataset_file(wildcards, dataset) for dataset in datasets]


def scaled_files(wildcards, file):
    names = scaling.scaled(study_of(wildcards), wildcards.estimator).values()
    return [f"results/{wildcards.study}/{wildcards.scale}/{name}/{file}" for name in names]


def cross_files(wildcards):
    """The test dataset, and those of the other studies."""
    others = cross.others(study_of(wildcards), wildcards.estimator)
    return [f"results/{s}/{wildcards.scale}/dataset/test.h5" for s in (wildcards.study, *(o.name for o in others))]


def training_file(wildcards):
    return dataset_file(wildcards, study_of(wildcards).training_dataset(wildcards.estimator))


def training_files(wildcards):
    """All that a fold is trained on: of a posterior, the datasets of its rounds so far."""
    return dataset_files(wildcards, study_of(wildcards).training_datasets(wildcards.estimator))


def proposal_files(wildcards):
    """What proposes the parameters of a dataset, where it is not the prior."""
    study = study_of(wildcards)
    if study.is_drawn(wildcards.dataset):
        return []
    if column.found(study, wildcards.dataset):
        return f"results/{wildcards.study}/{wildcards.scale}/objectives/{wildcards.dataset}/found.h5"
    return f"results/{wildcards.study}/{wildcards.scale}/proposals/{wildcards.dataset}.h5"


def proposer(wildcards):
    return rounds.proposer(study_of(wildcards), wildcards.dataset)


def proposer_files(wildcards):
    study, by = study_of(wildcards), proposer(wildcards)
    return [f"results/{study.name}/{study.scale}/{by}/fold-{k}/model.keras" for k in study.folds(by)]


def observation_path(wildcards, estimator):
    """The dataset that the observation is of, or a recording."""
    study = study_of(wildcards)
    file = rounds.observation_file(study, estimator)
    return str(file) if file else dataset_file(wildcards, study.estimator(estimator)["observation"])


def surrogate_folder(wildcards):
    return f"results/{wildcards.study}/{wildcards.scale}/surrogates/{wildcards.surrogate}"


def surrogate_file(wildcards, dataset):
    """A dataset of a surrogate: what its threshold is fitted to, or what it is measured on."""
    return dataset_file(wildcards, dataset(study_of(wildcards), wildcards.surrogate))


def surrogate_training_files(wildcards):
    return dataset_files(wildcards, surrogates.training_datasets(study_of(wildcards), wildcards.surrogate))


def surrogate_base_files(wildcards):
    """The surrogate that this one goes on from, where there is one."""
    base = surrogates.base(study_of(wildcards), wildcards.surrogate)
    return [surrogates.file(*base)] if base else []


def surrogate_mb(wildcards, threads):
    """TensorFlow, the signals, and what is kept of a batch of long sequences for its gradients."""
    study = study_of(wildcards)
    megabytes = sum(map(study.megabytes, surrogates.training_datasets(study, wildcards.surrogate)))
    return 2500 + 2.5 * min(SIGNALS_MB, megabytes)


def search_folder(wildcards):
    return f"{estimator_folder(wildcards)}/search"


def members_files(wildcards):
    members = search.members(study_of(wildcards), wildcards.estimator, wildcards.tier)
    return [f"{search_folder(wildcards)}/{member}/result.json" for member in members]


def trial_dataset(wildcards):
    study = study_of(wildcards)
    first = wildcards.trial.startswith("trial")
    dataset = search.dataset(study, wildcards.estimator) if first else study.training_dataset(wildcards.estimator)
    return dataset_file(wildcards, dataset)


def repeats_files(wildcards, file):
    repeats = search.repeats(study_of(wildcards), wildcards.estimator)
    return [f"{search_folder(wildcards)}/{repeat}/{file}" for repeat in repeats]


def ranking_file(wildcards):
    return f"{search_folder(wildcards)}/ranking.json"


def design_files(wildcards):
    """Where a training finds its design, if that is in no specification."""
    place = {"finalist": "ranking", "design": "finalists"}.get(wildcards.trial.partition("-")[0])
    return [f"{search_folder(wildcards)}/{place}.json"] if place else []


def trial_mb(wildcards, threads):
    """That of a fold, and what a batch of a large network takes between its layers."""
    layers = search.layers_megabytes(study_of(wildcards), wildcards.estimator, wildcards.trial)
    return train_mb(wildcards, threads) + layers


def metrics_files(study):
    return [f"results/{study.name}/{study.scale}/{estimator}/metrics.json" for estimator in study.estimators]


def figure_folders(metrics):
    return " ".join(str(Path(file).parent / "figures") for file in metrics)


def objective_folder(wildcards):
    return f"results/{wildcards.study}/{wildcards.scale}/objectives/{wildcards.objective}"


def objectives_files(study):
    return [f"results/{study.name}/{study.scale}/objectives/{o}/metrics.json" for o in column.names(study)]


def surrogates_files(study):
    return [f"results/{study.name}/{study.scale}/surrogates/{s}/metrics.json" for s in surrogates.reported(study)]


def network_files(wildcards):
    return dataset_files(wildcards, study_of(wildcards).network_datasets)


def states_files(study):
    return [f"results/{study.name}/{study.scale}/network/states.json"] if study.network_datasets else []


def transfer_files(study):
    return [f"results/{study.name}/{study.scale}/{estimator}/transfer.json" for estimator in study.transferred]


CONFIGURED_METRICS = [
    file
    for item in CONFIGURED
    for files in (metrics_files, surrogates_files, objectives_files)
    for file in files(load(*item))
]
CONFIGURED_REPORTS = [f"results/{study}/{scale}/report.html" for study, scale in CONFIGURED]
