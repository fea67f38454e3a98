# What every rule shares: the command line, the studies, and what jobs ask of a machine.

import functools
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
CLI = Path(sys.executable).with_name("neuroinverse")


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
    return lambda wildcards, attempt: int(
        attempt * (base(wildcards) if callable(base) else base)
    )


# Finished inputs count as given: what runs again is decided by the specification in params alone, never by the time
# stamp of a file, and a shard that is simulated anew, with the same contents, retrains nothing.
def given(files):
    return [ancient(f) for f in ([files] if isinstance(files, str) else files)]
