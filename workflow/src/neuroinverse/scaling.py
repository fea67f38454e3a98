"""An estimator at several training sizes: the specification of `scaling`."""

from neuroinverse.errors import ConfigError
from neuroinverse.provenance import digest
from neuroinverse.study import VERSIONS, Study


def scaled(study: Study, estimator: str) -> dict[int, str]:
    """The estimator's name at each training size of its scaling: "cnn@4000", and "cnn" at the study's own size.

    Raises:
        ConfigError: If the study asks for no scaling.
    """
    sizes = study.estimator(estimator).get("scaling")
    if not sizes:
        raise ConfigError(f"study {study.name}, estimator {estimator}: add `scaling: [sizes]` to the study file")
    own = study.n(study.training_dataset(estimator))
    return {n: estimator if n == own else f"{estimator}@{n}" for n in sizes}


def scaling_spec(study: Study, estimator: str) -> dict:
    """Specification of `scaling`."""
    names, extras = scaled(study, estimator), study.extras.get(estimator, {})
    published = sorted(extras.get("published_scaling", {}).items())
    return {
        "version": VERSIONS["scaling"],
        "study": study.name,
        "scale": study.scale,
        "estimator": estimator,
        "master_seed": study.master_seed,
        "parameters": study.table(estimator),
        "sizes": [{"n_train": n, "ensemble": digest(study.ensemble_spec(e))} for n, e in names.items()],
        "published": [{"n_train": int(n), "mse_unit": mse} for n, mse in published],
        # none, where the paper scale does not train this estimator
        "paper_size": [extras["paper_size"]] if "paper_size" in extras else [],
    }
