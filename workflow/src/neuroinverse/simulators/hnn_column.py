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
from neuroinverse.simulators.column_cells import arriving, cell_channels, recorded_cells, signal_name, stored_signals
from neuroinverse.simulators.hnn_cell import STEP_US, HnnSimulator

LAYERS = {"L2": "L2_pyramidal", "L5": "L5_pyramidal"}


class HnnColumn(HnnSimulator):
    """Layers 2 and 5 of hnn-core's calcium model, wired as there, driven by Poisson trains.

    A gain multiplies hnn-core's weights of one projection; its delays, which grow with distance, stay. Events of the
    drives come from the simulation's seed alone (`column.drive_inputs`), so that a surrogate network can be given the
    same.

    Options: `mesh`, pyramidal cells of a layer along x and y ([10, 5], with 18 basket cells a layer); `drives`, a list
    of {target, location, receptors, rate_Hz, weight_uS}, each an independent train per cell (`column.DRIVES`);
    `lamtha`, space constants in grid steps, one for all or by projection (hnn-core's); `record_cells`, of how many
    cells of each type all is recorded (0); `dt_integration_ms` (0.1).

    Signals: `dipole` (fAm, summed over the pyramidal cells of a layer, no baseline subtracted), `spikes` (of each cell
    between a sample and the one before it); of recorded cells, by type such as `L5e_inputs`, `L5e_voltage` and
    `L5e_dipole`, what `hnn_cell` records, one cell's channels after the other's.
    """

    parameters = {
        f"gain_{name}": ParameterInfo("1", 1.0, f"factor on hnn-core's weights of the projection {name}")
        for name in PROJECTIONS
    }
    options = ("mesh", "drives", "lamtha", "record_cells", "dt_integration_ms")
    # one network stands for a batch
    batch = 8

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        where = "simulator.options"
        self.mesh = read_mesh(self.settings.get("mesh", (10, 5)), f"{where}.mesh")
        self.drives = read_drives(self.settings.get("drives", DRIVES), f"{where}.drives")
        self.lamtha = read_lamtha(self.settings.get("lamtha", {}), f"{where}.lamtha")
        self.record_cells = self.settings.get("record_cells", 0)
        if type(self.record_cells) is not int or self.record_cells < 0:
            raise ConfigError(f"{where}.record_cells is {self.record_cells!r}; expected a whole number, 0 or more")
        self._check(self.fixed)

    def _check(self, values) -> None:
        for name, value in values.items():
            if not np.min(value) >= 0:
                raise ConfigError(f"{name} is {np.min(value):g}; expected a gain of 0 or more")

    @property
    def signals(self):
        cells = tuple(f"{name}_{i}" for name, n in cell_counts(self.mesh).items() for i in range(n))
        whole = self.signal("dipole", "fAm", tuple(LAYERS)), self.signal("spikes", "1", cells)
        return *whole, *stored_signals(self.recorded, self.signal)

    @property
    def recorded(self) -> dict[str, np.ndarray]:
        """Numbers of the recorded cells by type."""
        return recorded_cells(self.mesh, self.record_cells)

    @property
    def core_seconds(self):
        # half as much again for the events of the projections
        cells = sum(STEP_US[name] * n for name, n in cell_counts(self.mesh).items())
        return 1.5e-6 * self.n_steps * self.steps * cells

    @property
    def worker_mb(self):
        n = sum(cell_counts(self.mesh).values())
        # connections go with the square of the cells
        recorded = sum(len(cells) * len(cell_channels(name)["voltage"]) for name, cells in self.recorded.items())
        return 300 + round(0.004 * n**2 + (n + recorded) * self.n_steps * self.steps * 8e-6)

    def as_column(self):
        """The column as numbers, see `column.Column`: cells, projections at gain 1, drives."""
        from neuroinverse.simulators.hnn_core_adapter import describe, make_network

        return describe(make_network(self.mesh, self.lamtha), self.drives)

    def simulate(self, theta, seeds):
        from neuroinverse.simulators.hnn_core_adapter import NeuronColumn

        values = self.columns(np.asarray(theta, float))
        self._check(values)
        column = self.as_column()
        gains = np.stack([values[f"gain_{projection.name}"] for projection in column.projections], axis=1)
        network, recorded = NeuronColumn(column), self.recorded
        voltages = {name: [network.cells[name][i].record() for i in cells] for name, cells in recorded.items()}
        result = {s.name: np.empty((len(seeds), *s.shape), np.float32) for s in self.signals}
        for i, seed in enumerate(seeds):
            inputs = drive_inputs(column, self.window.stop, self.dt_ms, int(seed))
            network.run(gains[i], inputs, self.stop_ms, self.dt_ms, self.step_ms)
            for layer, name in enumerate(LAYERS.values()):
                result["dipole"][i, :, layer] = self.kept(sum(cell.dipole for cell in network.cells[name]))
            spikes = {
                name: np.stack([self.spike_counts(cell.spike_times) for cell in cells], axis=1)
                for name, cells in network.cells.items()
            }
            result["spikes"][i] = np.concatenate(list(spikes.values()), axis=1)
            reached = arriving(column, gains[i], spikes, inputs, recorded, self.dt_ms)
            for name, cells in recorded.items():
                sections = [[self.kept(v[s]) for s in cell_channels(name)["voltage"]] for v in voltages[name]]
                shown = {"inputs": reached[name], "voltage": np.moveaxis(sections, -1, 0)}
                if name in LAYERS.values():
                    shown["dipole"] = np.stack([self.kept(network.cells[name][k].dipole) for k in cells], axis=-1)
                for signal, x in shown.items():
                    result[signal_name(name, signal)][i] = x.reshape(len(x), -1)
            if not np.isfinite(result["dipole"][i]).all():
                for array in result.values():
                    array[i] = np.nan
        return result
