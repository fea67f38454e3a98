"""optimise: searches for the gains of a column's projections that serve an objective, through its surrogates.

A search that was killed goes on where it was.
"""

import json
from pathlib import Path

import numpy as np

from neuroinverse.column.specs import GAIN
from neuroinverse.files import atomic
from neuroinverse.provenance import collect
from neuroinverse.sampling import write_proposal
from neuroinverse.simulators import make_simulator


def run(spec: dict, surrogates: list[Path], output: Path, found: Path, threads: int = 1) -> dict:
    """Searches by gradient, and with other slopes and without a gradient where the objective asks for it.

    Args:
        spec: Specification of the step.
        surrogates: The cells' surrogates (.keras), in the order of `spec["cells"]`.
        output: JSON with what every search found, see `column.optimise.optimise`.
        found: HDF5 file with /theta (n, K), the best gains of the first search for every simulation of them.
        threads: CPU threads.

    Returns:
        `search`; `controls` by method; `slopes`, a list; `projections`; `provenance`.

    Raises:
        NeuroinverseError: If a loss or a gradient of the first search is not finite.
    """
    from neuroinverse.estimators import devices

    devices.use_devices(0, "float32", threads, 0)
    from neuroinverse.column import optimise
    from neuroinverse.column.journal import Journal
    from neuroinverse.column.surrogate_column import load_column, make_objective

    simulator = make_simulator(spec["simulation"])
    network = load_column(simulator, dict(zip(spec["cells"], surrogates, strict=True)), spec["network"])
    objective = make_objective(spec, simulator, network)
    search, seed = {"projections": free_projections(simulator), **spec["search"]}, spec["master_seed"]
    journal = Journal(Path(output).parent / "checkpoint", spec)
    result = {
        "projections": list(network.projections),
        "search": optimise.optimise(network, objective, search, seed, journal),
        "controls": {
            method: optimise.optimise(network, objective, {**search, "method": method}, seed, journal)
            for method in spec["controls"]
        },
        "slopes": optimise.slopes(network, objective, search, spec["slopes"], seed, journal)["runs"],
        "provenance": collect(spec),
    }
    gains = {name: 10**value for name, value in result["search"]["best"]["log10_gains"].items()}
    theta = np.tile([gains[name.removeprefix(GAIN)] for name in simulator.free], (spec["n"], 1))
    write_proposal(found, spec, theta)
    with atomic(output) as temporary:
        temporary.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    journal.remove()
    return result


def free_projections(simulator) -> list[str]:
    """The projections whose gains are parameters of the study."""
    return [name.removeprefix(GAIN) for name in simulator.free if name.startswith(GAIN)]
