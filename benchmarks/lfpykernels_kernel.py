"""Kernels by lfpykernels; run by brunel_kernel.py in an environment of its own, which has nothing of this package.

python lfpykernels_kernel.py <folder>: reads problem.json and the files it names there, writes kernels.json.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import scipy.stats


class Density:
    """Synapses per membrane area over depth, tabulated at the segments of the mean cell."""

    def __init__(self, z, density, **_):
        self.z, self.density = z, density

    def pdf(self, x):
        return np.interp(x, self.z, self.density)


class Delay:
    """One delay for all."""

    def __init__(self, delay, dt):
        self.delay, self.dt = delay, dt

    def pdf(self, t):
        return (np.abs(t - self.delay) < self.dt / 2).astype(float)


def set_passive(cell, g, e, cm, ra):
    """Passive membrane in all sections of the template."""
    for section in cell.template.all:
        section.insert("pas")
        section.g_pas, section.e_pas, section.cm, section.Ra = g, e, cm, ra


def main(folder: Path) -> None:
    """Computes the kernel of each pair of populations."""
    import lfpykernels
    import neuron

    problem = json.loads((folder / "problem.json").read_text())
    subprocess.run(
        [Path(sys.executable).with_name("nrnivmodl"), Path(lfpykernels.__file__).parent / "tests"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    neuron.load_mechanisms(str(folder))
    dt, names = problem["dt_ms"], list(problem["populations"])
    numbers = np.array([problem["populations"][n]["neurons"] for n in names], float)
    kernels = {}
    for target, population in problem["populations"].items():
        synapses = population["synapses"]
        z_low, z_high = population["soma_z_um"]
        approximation = lfpykernels.KernelApprox(
            X=names,
            Y=target,
            N_X=numbers.copy(),
            N_Y=population["neurons"],
            C_YX=np.full(len(names), problem["connection_probability"]),
            cellParameters={
                "templatefile": str(folder / population["template"]),
                "templatename": population["template_name"],
                "morphology": str(folder / population["morphology"]),
                "templateargs": None,
                "nsegs_method": None,
                "passive": False,
                "v_init": problem["E_pas_mV"],
                "custom_fun": [set_passive],
                "custom_fun_args": [problem["passive"]],
                "delete_sections": True,
            },
            populationParameters={
                "radius": problem["radius_um"],
                "loc": (z_low + z_high) / 2,
                "scale": (z_high - z_low) / 12**0.5,
            },
            rotationParameters={"x": 0.0, "y": 0.0},
            multapseFunction=scipy.stats.randint,
            multapseParameters=[{"low": 1, "high": 2}] * len(names),
            delayFunction=Delay,
            delayParameters=[{"delay": problem["delay_ms"], "dt": dt}] * len(names),
            synapseParameters=[
                {"syntype": "Exp2SynI", "weight": problem["weight_nA"], **problem["exp2syn"]} for _ in names
            ],
            synapsePositionArguments=[
                {
                    "section": synapses[source]["section"],
                    "fun": [Density],
                    # lfpykernels widens "scale" by the somata's; the table has their spread in it
                    "funargs": [{key: synapses[source][key] for key in ("z", "density")} | {"scale": 0.0}],
                    "funweights": [1.0],
                }
                for source in names
            ],
            conductance_based=False,
        )
        probe = lfpykernels.GaussCylinderPotential(
            cell=None,
            z=np.array(problem["contacts_z_um"]),
            sigma=problem["conductivity_S_per_m"],
            R=problem["radius_um"],
            sigma_z=(z_high - z_low) / 12**0.5,
        )
        for source in names:
            found = approximation.get_kernel(
                [probe], Vrest=problem["E_pas_mV"], dt=dt, X=source, t_X=problem["length_ms"],
                tau=problem["length_ms"], g_eff=False,
            )["GaussCylinderPotential"]  # fmt: skip
            # lags from 0 on
            kernels[f"{target}{source}"] = found[:, found.shape[1] // 2 :].tolist()
    (folder / "kernels.json").write_text(json.dumps(kernels))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
