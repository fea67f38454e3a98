"""check_simulator: the guard. A few simulations say whether the simulator can be trusted with many."""

import json
import sys
from pathlib import Path

from neuroinverse.files import atomic
from neuroinverse.guard import examine
from neuroinverse.provenance import collect


def run(spec: dict, output: Path, threads: int = 1, library: Path | None = None, kernel: Path | None = None) -> None:
    """Examines the simulator of a study.

    Args:
        spec: `simulator`, `parameters`, `protocol`, `master_seed`, and the sums of the files behind them.
        output: JSON to write: `simulations` and their core `seconds`, what each parameter moves, the range of each
            signal, warnings, provenance.
        threads: With two or more, both of its processes simulate.
        library: Compiled mechanisms, where the simulator has some.
        kernel: What `compute_kernel` made, where the simulator needs it.

    Raises:
        ConfigError: If a parameter does nothing, a signal rests or a simulation cannot be repeated; nothing is written.
    """
    found = examine(spec, library, kernel, threads)
    for warning in found.warnings:
        print(f"warning: simulator: {warning}", file=sys.stderr)
    print(f"{found.simulations} simulations, {found.seconds:.3g} core seconds", file=sys.stderr)
    found.refuse()
    told = {k: v for k, v in found.to_json().items() if k != "problems"}
    with atomic(output) as temporary:
        temporary.write_text(json.dumps(told | {"provenance": collect(spec)}, indent=1))
