"""check_objective: what the gains found do in the simulator and the surrogates, beside the column as it was."""

import json
from pathlib import Path

import numpy as np

from neuroinverse.errors import NeuroinverseError
from neuroinverse.files import atomic
from neuroinverse.provenance import collect
from neuroinverse.shards import OK, Dataset
from neuroinverse.simulators import make_simulator

BEFORE, AFTER = "before", "after"
SIMULATOR, SURROGATES = "simulator", "surrogates"


def run(
    spec: dict,
    surrogates: list[Path],
    search: Path,
    start_dataset: Path,
    found_dataset: Path,
    metrics: Path,
    network: Path,
    figures: Path,
) -> dict:
    """Measures an objective before and after its search, in the simulator and in the network of surrogates.

    Both are given the same drives, one for each simulation; those of before and after differ.

    Args:
        spec: Specification of the step.
        surrogates: The cells' surrogates (.keras), in the order of the search.
        search: What `optimise` found.
        start_dataset: Simulations of the column as it is.
        found_dataset: Simulations with the gains found.
        metrics: metrics.json, written last.
        network: The column with these gains, for hnn-core's `read_network_configuration`.
        figures: Folder for the figures, one PNG per entry of `captions.OBJECTIVE`.

    Returns:
        The contents of metrics.json.

    Raises:
        NeuroinverseError: If fewer than two simulations of a dataset did not fail.
    """
    from neuroinverse.column.surrogate_column import load_column, make_objective
    from neuroinverse.evaluation import objective_figures, objectives, style
    from neuroinverse.simulators.hnn_core_adapter import write_network

    found = json.loads(Path(search).read_text(encoding="utf-8"))
    datasets = {BEFORE: Dataset(start_dataset), AFTER: Dataset(found_dataset)}
    simulator = make_simulator(datasets[BEFORE].spec["simulation"])
    files = dict(zip(spec["cells"], surrogates, strict=True))
    net = load_column(simulator, files, spec["network"])
    objective = make_objective(spec, simulator, net)
    gains = {BEFORE: found["search"]["initial"]["log10_gains"], AFTER: found["search"]["best"]["log10_gains"]}
    activities = {SIMULATOR: {}, SURROGATES: {}}
    for when, dataset in datasets.items():
        simulated, seeds = _simulated(simulator, dataset)
        log10_gains = np.array([gains[when][name] for name in net.projections], np.float32)
        activities[SIMULATOR][when] = simulated
        activities[SURROGATES][when] = net.simulate(log10_gains, net.drive(simulator.window.stop, seeds))
    measured = {where: objectives.measure(objective, pair) for where, pair in activities.items()}
    result = {
        **{key: spec[key] for key in ("study", "scale", "title", "objective", "of", "round", "terms")},
        "kind": "objective",
        "n": {when: len(activity.dipole) for when, activity in activities[SIMULATOR].items()},
        "n_failed": sum(d.n_failed for d in datasets.values()),
        **objectives.compare(measured),
        "search": objectives.summarise(found),
        "log10_gains": gains[AFTER],
        "seconds": {"simulate_core": sum(d.seconds_core for d in datasets.values())},
        "provenance": collect(spec),
    }
    spectra = {where: objectives.spectra(objective, pair) for where, pair in activities.items()}
    # of the whole dipole, as it is drawn
    targets = [t.settings for t in objective.terms if t.kind == "target_spectrum"]
    target = next((t for t in targets if set(t["dipoles"]) == set(net.dipoles)), None)
    for name, draw in {
        "spectra": lambda: objective_figures.spectra(spectra, target),
        "search_history": lambda: objective_figures.search_history(found),
        "gains": lambda: objective_figures.gains(gains[AFTER], found["search"]["settings"]),
        "activity": lambda: objective_figures.activity(activities, objective.window),
    }.items():
        style.save(draw(), Path(figures) / f"{name}.png")
    with atomic(network) as temporary:
        factors = {name: 10**value for name, value in gains[AFTER].items()}
        write_network(temporary, simulator.mesh, simulator.drives, factors, simulator.lamtha)
    with atomic(metrics) as temporary:
        temporary.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return result


def _simulated(simulator, dataset: Dataset):
    """What the simulator recorded of a dataset, and the seeds of its simulations."""
    from neuroinverse.column.surrogate_column import simulated_activity

    usable = dataset.status(0, dataset.n) == OK
    if usable.sum() < 2:
        raise NeuroinverseError(
            f"{dataset.path}: {usable.sum()} of {dataset.n} simulations did not fail, and two are needed; look at the "
            "logs of simulate_shard"
        )
    simulation = dataset.spec["simulation"]
    name = f"{simulation['study']}/{simulation['dataset']}"
    _, seeds = dataset.parameters.draw(simulation["master_seed"], name, np.flatnonzero(usable))
    arrays = (dataset.signal(signal, 0, dataset.n)[usable] for signal in ("dipole", "spikes"))
    return simulated_activity(simulator, *arrays), [int(seed) for seed in seeds]
