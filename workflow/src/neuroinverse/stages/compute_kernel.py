"""compute_kernel: the LFP kernels of a network's populations, from NEURON cells and LFPykit."""

from pathlib import Path

from neuroinverse.progress import Progress
from neuroinverse.simulators.lfp_kernel import population_kernels, write_kernel


def run(spec: dict, output: Path) -> None:
    """Computes the kernels and writes them.

    Args:
        spec: `settings`, as `kernel_settings` gives them, and `seed`; `files`, the SHA-256 sums of files that the
            settings name, and whatever else stands there is stored with the kernel.
        output: The kernel file.

    Raises:
        NeuroinverseError: If a cell cannot be made or placed.
    """
    cells = sum(p["cells"] for p in spec["settings"]["lfp"]["populations"].values())
    progress = Progress(cells, "cells")
    kernel = population_kernels(spec["settings"], spec["seed"], progress.add)
    progress.close()
    write_kernel(output, kernel, spec)
