"""Recorded cells of a column: which they are, what reached them, how they are read."""

import numpy as np
import pytest
from tiny_column import DT_ms, loop

from neuroinverse.column.cells import ColumnCells, cell_signals, n_cells
from neuroinverse.simulators.column import PROJECTIONS, SHORT, cell_counts
from neuroinverse.simulators.column_cells import arriving, recorded_cells
from neuroinverse.simulators.hnn_cell import HnnCell
from neuroinverse.simulators.hnn_column import HnnColumn

PROTOCOL = {"dt_ms": 0.5, "duration_ms": 10}
COLUMN = HnnColumn([f"gain_{p}" for p in PROJECTIONS], PROTOCOL, options={"mesh": [3, 3], "record_cells": 2})
STORED = {signal.name: signal for signal in COLUMN.signals}


@pytest.mark.parametrize(("mesh", "most"), [((10, 5), 12), ((3, 3), 5), ((3, 3), 100)])
def test_recorded_cells_are_spread_over_all(mesh, most):
    found = recorded_cells(mesh, most)
    for name, n in cell_counts(mesh).items():
        cells = found[name]
        assert len(cells) == len(set(cells.tolist())) == min(most, n)
        assert cells.min() >= 0 and cells.max() < n and np.ptp(np.diff(cells)) <= 1
    assert recorded_cells(mesh, 0) == {}


def test_what_arrives_is_every_spike_after_its_delay():
    column, n_steps, rng = loop(), 60, np.random.default_rng(2)
    spikes = {name: (rng.random((n_steps, cell.n)) < 0.1).astype(float) for name, cell in column.cells.items()}
    inputs = {name: rng.random((n_steps, cell.n, 2)) for name, cell in column.cells.items()}
    cells, gains = {"E": np.array([1, 4]), "I": np.array([2])}, np.array([0.5, 1.0, 2.0, 3.0])
    expected = {name: inputs[name][:, numbers].copy() for name, numbers in cells.items()}
    for gain, p in zip(gains, column.projections, strict=True):
        channel = column.cells[p.target].channels.index(p.channel)
        for at, source in np.argwhere(spikes[p.source]):
            for place, target in enumerate(cells[p.target]):
                arrival = at + max(1, round(p.delays_ms[source, target] / DT_ms))
                if arrival < n_steps:
                    expected[p.target][arrival, place, channel] += gain * p.weights[source, target]
    found = arriving(column, gains, spikes, inputs, cells, DT_ms)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6)


def test_a_recorded_cell_has_the_signals_of_a_cell_alone():
    for name in SHORT:
        alone = {signal.name: signal for signal in HnnCell([], PROTOCOL, options={"cell": name}).signals}
        assert cell_signals(STORED, name) == alone
        assert n_cells(STORED, name) == 2


class Numbered:
    """A dataset of columns in which every value tells where it stands."""

    path, parameters, n, n_failed, signals = "here.h5", None, 5, 1, STORED

    def signal(self, name, start, stop):
        shape = STORED[name].shape
        return np.arange(self.n * np.prod(shape), dtype=np.float64).reshape(self.n, *shape)[start:stop]

    def status(self, start, stop):
        return np.array([0, 0, 2, 0, 0], np.uint8)[start:stop]

    def index(self, start, stop):
        return np.arange(start, stop)

    def theta(self, start, stop, names=None):
        return np.arange(start, stop)[:, None] * np.ones(len(names or PROJECTIONS))


@pytest.mark.parametrize(("start", "stop"), [(0, 10), (0, 1), (3, 8), (9, 10)])
def test_a_row_is_a_cell_of_a_simulation(start, stop):
    dataset, name = Numbered(), "L5_pyramidal"
    cells = ColumnCells(dataset, name)
    assert (cells.n, cells.n_failed) == (10, 2)
    numbers = recorded_cells((3, 3), 2)[name]
    spikes = STORED["spikes"].channels
    for offset, row in enumerate(range(start, stop)):
        simulation, place = divmod(row, 2)
        for signal in ("inputs", "voltage", "dipole"):
            whole = STORED[f"L5e_{signal}"]
            chosen = [i for i, c in enumerate(whole.channels) if c.startswith(f"{numbers[place]}_")]
            expected = dataset.signal(whole.name, simulation, simulation + 1)[0][:, chosen]
            np.testing.assert_array_equal(cells.signal(signal, start, stop)[offset], expected)
        expected = dataset.signal("spikes", simulation, simulation + 1)[0]
        expected = expected[:, [spikes.index(f"{name}_{numbers[place]}")]]
        np.testing.assert_array_equal(cells.signal("spikes", start, stop)[offset], expected)
        assert cells.status(start, stop)[offset] == dataset.status(simulation, simulation + 1)[0]
        assert cells.index(start, stop)[offset] == cells.theta(start, stop)[offset, 0] == simulation
