"""hnn-core's cortical column in NEURON, with a gain on each of its projections."""

import numpy as np

from neuroinverse.errors import ConfigError
from neuroinverse.simulators.base import ParameterInfo
from neuroinverse.simulators.column import (
    DRIVES,
    PROJECTIONS,
    cell_counts,
    drive_inputs,
    read_drives,
    read_lamtha,
    read_mesh,
)
from neuroinverse.simulators.hnn_cell import STEP_US, HnnSimulator

LAYERS = {"L2": "L2_pyramidal", "L5": "L5_pyramidal"}


class HnnColumn(HnnSimulator):
    """Layers 2 and 5 of hnn-core's calcium model, wired as there, driven by Poisson trains.

    A gain multiplies hnn-core's weights of one projection; its delays, which grow with distance, stay. Events of the
    drives come from the simulation's seed alone (`column.drive_inputs`), so that a surrogate network can be given the
    same.

    Options: `mesh`, pyramidal cells of a layer along x and y ([10, 5], with 18 basket cells a layer); `drives`, a list
    of {target, location, receptors, rate_Hz, weight_uS}, each an independent train per cell (`column.DRIVES`);
    `lamtha`, space constants in grid steps, one for all or by projection (hnn-core's); `dt_integration_ms` (0.1).

    Signals: `dipole` (fAm, summed over the pyramidal cells of a layer, no baseline subtracted), `spikes` (of each cell
    between a sample and the one before it).
    """

    parameters = {
        f"gain_{name}": ParameterInfo("1", 1.0, f"factor on hnn-core's weights of the projection {name}")
        for name in PROJECTIONS
    }
    options = ("mesh", "drives", "lamtha", "dt_integration_ms")
    # one network stands for a batch
    batch = 8

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        where = "simulator.options"
        self.mesh = read_mesh(self.settings.get("mesh", (10, 5)), f"{where}.mesh")
        self.drives = read_drives(self.settings.get("drives", DRIVES), f"{where}.drives")
        self.lamtha = read_lamtha(self.settings.get("lamtha", {}), f"{where}.lamtha")
        self._check(self.fixed)

    def _check(self, values) -> None:
        for name, value in values.items():
            if not np.min(value) >= 0:
                raise ConfigError(f"{name} is {np.min(value):g}; expected a gain of 0 or more")

    @property
    def signals(self):
        cells = tuple(f"{name}_{i}" for name, n in cell_counts(self.mesh).items() for i in range(n))
        return self.signal("dipole", "fAm", tuple(LAYERS)), self.signal("spikes", "1", cells)

    @property
    def core_seconds(self):
        # half as much again for the events of the projections
        cells = sum(STEP_US[name] * n for name, n in cell_counts(self.mesh).items())
        return 1.5e-6 * self.n_steps * self.steps * cells

    @property
    def worker_mb(self):
        n = sum(cell_counts(self.mesh).values())
        # connections go with the square of the cells
        return 300 + round(0.004 * n**2 + n * self.n_steps * self.steps * 8e-6)

    def describe(self):
        """The column as numbers, see `column.Column`: cells, projections at gain 1, drives."""
        from neuroinverse.simulators.hnn_core_adapter import describe, make_network

        return describe(make_network(self.mesh, self.lamtha), self.drives)

    def simulate(self, theta, seeds):
        from neuroinverse.simulators.hnn_core_adapter import NeuronColumn

        values = self.columns(np.asarray(theta, float))
        self._check(values)
        column = self.describe()
        gains = np.stack([values[f"gain_{projection.name}"] for projection in column.projections], axis=1)
        network = NeuronColumn(column)
        result = {s.name: np.empty((len(seeds), *s.shape), np.float32) for s in self.signals}
        for i, seed in enumerate(seeds):
            inputs = drive_inputs(column, self.window.stop, self.dt_ms, int(seed))
            network.run(gains[i], inputs, self.stop_ms, self.dt_ms, self.step_ms)
            for layer, name in enumerate(LAYERS.values()):
                result["dipole"][i, :, layer] = self.kept(sum(cell.dipole for cell in network.cells[name]))
            cells = [cell for name in column.cells for cell in network.cells[name]]
            result["spikes"][i] = np.stack([self.spike_counts(cell.spike_times) for cell in cells], axis=1)
            if not np.isfinite(result["dipole"][i]).all():
                for array in result.values():
                    array[i] = np.nan
        return result
