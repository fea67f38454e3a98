"""The test traces of other studies given to a model, and the specification of `cross`.

What a model says of traces that its own simulator did not make tells whether its answers betray that.
"""

from neuroinverse.errors import ConfigError
from neuroinverse.provenance import digest
from neuroinverse.study import VERSIONS, Study


def others(study: Study, estimator: str) -> tuple[Study, ...]:
    """The other studies, at the scale of this one.

    Raises:
        ConfigError: If the study names none.
    """
    found = study.extras.get(estimator.partition("@")[0], {}).get("cross")
    if not found:
        raise ConfigError(
            f"study {study.name}, estimator {estimator}: add `cross: [other_study]` to the study file, or to this scale"
        )
    return found


def cross_spec(study: Study, estimator: str) -> dict:
    """Specification of `cross`."""
    return {
        "version": VERSIONS["cross"],
        "study": study.name,
        "scale": study.scale,
        "estimator": estimator,
        "ensemble": digest(study.ensemble_spec(estimator)),
        "signal": study.estimator(estimator)["signal"],
        "datasets": [
            {"study": s.name, "n": s.n("test"), "simulation": digest(s.dataset_spec("test")["simulation"])}
            for s in (study, *others(study, estimator))
        ],
    }


def check_cross(study: Study) -> None:
    """Checks that a model can take the test traces of the other studies.

    Raises:
        ConfigError: At the first that it cannot.
    """
    for estimator, extras in study.extras.items():
        signal, where = study.input_signal(estimator), f"estimators.{estimator}.cross"
        for other in extras.get("cross", ()):
            if other.name == study.name:
                raise ConfigError(f"{where}: {study.name} is this study, whose test traces always count; remove it")
            signals = other.signals_of("test")
            if signal.name not in signals:
                raise ConfigError(
                    f"{where}: {other.name} has no signal {signal.name!r}, which the estimator takes; it has "
                    f"{', '.join(signals)}. Remove it, or give both simulators a signal of this name"
                )
            for key in ("unit", "dt_ms", "shape"):
                own, its = getattr(signal, key), getattr(signals[signal.name], key)
                if own != its:
                    raise ConfigError(
                        f"{where}: {signal.name} has {key} {its!r} in {other.name} and {own!r} here; remove "
                        f"{other.name}, or give both studies the same protocol"
                    )
