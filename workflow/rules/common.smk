# What the rules share: the command line, the studies, their files, and what jobs ask of a machine.

import functools
import shlex
import sys
from pathlib import Path

from neuroinverse.config import check_config, load_study
from neuroinverse.errors import ConfigError
from neuroinverse.provenance import canonical
from neuroinverse.study import ESTIMATOR_PATTERN, VERSIONS, mechanisms_spec


wildcard_constraints:
    study=r"[a-z][a-z0-9_]*",
    scale="smoke|demo|paper",
    dataset=r"(?:train|test)(?:@[0-9]+)?",
    shard=r"[0-9]+",
    estimator=ESTIMATOR_PATTERN.pattern,
    fold=r"[0-9]+",


# The interpreter that runs Snakemake has the package beside it, activated or not.
shell.prefix(f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; ")

# The name of what envs/environment.yaml makes, for --software-deployment-method conda.
ENVIRONMENT = "neuroinverse"


@functools.cache
def load(study, scale):
    return load_study(study, scale, config["master_seed"])


def study_of(wildcards):
    try:
        return load(wildcards.study, wildcards.scale)
    except ConfigError as error:
        raise WorkflowError(str(error)) from None


try:
    check_config(config, "config/config.yaml")
    CONFIGURED = list(config["studies"].items())
    for name, scale in CONFIGURED:
        load(name, scale)
except ConfigError as error:
    raise WorkflowError(str(error)) from None


def growing(base):
    """Memory (MB) that grows when a job is tried again."""
    return lambda wildcards, attempt: int(attempt * (base(wildcards) if callable(base) else base))


# Finished inputs count as given: what runs again is decided by the specification in params alone, never by the time
# stamp of a file, and a shard that is simulated anew, with the same contents, retrains nothing.
def given(files):
    return [ancient(f) for f in ([files] if isinstance(files, str) else files)]


def shard_files(study, dataset):
    name = dataset.partition("@")[0]
    return [f"results/{study.name}/{study.scale}/shards/{name}/{shard}.h5" for shard in study.shards(dataset)]


# Signals up to this size are kept in memory while training; larger datasets are streamed.
SIGNALS_MB = 4000


def signals_mb(wildcards):
    study = study_of(wildcards)
    return min(SIGNALS_MB, study.megabytes(study.training_dataset(wildcards.estimator)))


def figure(name):
    return report(
        f"results/{{study}}/{{scale}}/{{estimator}}/figures/{name}.png",
        caption=f"../report/{name}.rst",
        category="{study}",
        subcategory="{scale}, {estimator}",
        labels={"figure": name.replace("_", " ")},
    )


def folds_of(wildcards, file):
    folder = f"results/{wildcards.study}/{wildcards.scale}/{wildcards.estimator}"
    return given([f"{folder}/fold-{k}/{file}" for k in study_of(wildcards).folds(wildcards.estimator)])
