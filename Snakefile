"""neuroinverse: find the biophysical parameters behind a recording."""

from neuroinverse.errors import ConfigError
from neuroinverse.yaml_files import require_readable
from snakemake.utils import min_version

min_version("9.0")


# before Snakemake reads it, which takes the last of two equal keys
try:
    require_readable("config/config.yaml", *workflow.overwrite_configfiles)
except ConfigError as error:
    raise WorkflowError(str(error)) from None


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/simulate.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/posterior.smk"
include: "workflow/rules/surrogate.smk"
include: "workflow/rules/objective.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/trust.smk"


report: "workflow/report/workflow.rst"


localrules:
    all,
    simulations,


rule all:
    default_target: True
    input:
        CONFIGURED_METRICS,
        CONFIGURED_REPORTS,
        "results/index.html",
