"""plan: what a study needs at a scale, computed from measured rates."""

import sys
from dataclasses import replace

from neuroinverse.config import load_study, master_seed, require_root, study_names
from neuroinverse.errors import ConfigError
from neuroinverse.planning import estimated_rates, measured_rates, plan

UNITS = {
    "simulations": "simulations",
    "shards": "shards",
    "gigabytes": "GB of shards",
    "simulate_core_hours": "core-hours of simulation",
    "train_core_hours": "core-hours of training on the CPU",
    "search_core_hours": "core-hours of searches",
    "jobs": "jobs",
}


def run(study: str | None = None, scale: str = "paper") -> dict[str, dict[str, float]]:
    """Prints the needs of one study, or of all in config/studies.

    Where nothing was measured, a few simulations and training steps are timed for one study; for all, it is estimated.

    Args:
        study: Name of a study, or path of a study file; all when None.
        scale: One of its scales.

    Returns:
        The needs by study.

    Raises:
        NeuroinverseError: If a study cannot be read, or its simulator does not run.
    """
    if study is None:
        require_root()
    needs = {}
    for name in [study] if study else study_names():
        try:
            checked = load_study(name, scale, master_seed())
        except ConfigError as error:
            if study:
                raise
            # the others are planned all the same
            print(f"error: {error}", file=sys.stderr)
            continue
        rates = measured_rates(checked)
        if rates is None and study is None:
            rates = estimated_rates(checked)
            rates = replace(rates, source=f"{rates.source}; timed by: neuroinverse plan {name} --scale {scale}")
        elif rates is None:
            from neuroinverse.rehearsal import timed_rates

            rates = timed_rates(checked)
        needs[checked.name] = plan(checked, rates)
        print(f"{checked.name} at scale {scale}; rates {rates.source}")
        for key, unit in UNITS.items():
            value = needs[checked.name][key]
            if key == "search_core_hours" and not value:
                continue
            print(f"  {value:>10,.{0 if isinstance(value, int) else 1}f} {unit}")
        for other in checked.linked:
            print(f"  beside what the surrogates of {other} need: neuroinverse plan {other} --scale {scale}")
    return needs
