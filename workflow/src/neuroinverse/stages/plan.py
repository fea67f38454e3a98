"""plan: what a study needs at a scale, computed from measured rates."""

from neuroinverse.config import load_study, master_seed, study_names
from neuroinverse.planning import measured_rates, plan

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

    Args:
        study: Name of a study; all when None.
        scale: One of its scales.

    Returns:
        The needs by study.

    Raises:
        NeuroinverseError: If no rates were measured for a study.
    """
    needs = {}
    for name in [study] if study else study_names():
        checked = load_study(name, scale, master_seed())
        needs[checked.name] = plan(checked, measured_rates(checked))
        print(f"{checked.name} at scale {scale}")
        for key, unit in UNITS.items():
            value = needs[checked.name][key]
            if key == "search_core_hours" and not value:
                continue
            print(f"  {value:>10,.{0 if isinstance(value, int) else 1}f} {unit}")
        for other in checked.linked:
            print(f"  beside what the surrogates of {other} need: neuroinverse plan {other} --scale {scale}")
    return needs
