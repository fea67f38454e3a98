"""The cells that are recorded in simulations of a column: which, what reached them, and how they are stored."""

from collections.abc import Mapping, Sequence

import numpy as np

from neuroinverse.simulators.base import Signal
from neuroinverse.simulators.column import LOCATION_CHANNELS, SECTIONS, SHORT, Column, cell_counts, is_pyramidal

# signals of a recorded cell with their units: those of `hnn_cell`, so that a surrogate learns from either
UNITS = {"inputs": "uS", "voltage": "mV", "dipole": "fAm"}


def recorded_cells(mesh: tuple[int, int], most: int) -> dict[str, np.ndarray]:
    """Numbers of the cells that are recorded, by type: spread evenly over its cells.

    Args:
        mesh: Pyramidal cells of a layer along x and y.
        most: Cells of a type; all where there are fewer. With 0 there is no type either.
    """
    # the middles of as many equal parts
    return {
        name: np.array([int((i + 0.5) * n / min(most, n)) for i in range(min(most, n))])
        for name, n in cell_counts(mesh).items()
        if most
    }


def cell_channels(name: str) -> dict[str, tuple[str, ...]]:
    """Channels of one cell by signal.

    Args:
        name: Key of `column.SHORT`.
    """
    dipole = {"dipole": ("dipole",)} if is_pyramidal(name) else {}
    return {"inputs": LOCATION_CHANNELS[name], "voltage": SECTIONS[name]} | dipole


def signal_name(name: str, signal: str) -> str:
    """Under which a signal of the recorded cells of a type is stored, such as "L5e_voltage"."""
    return f"{SHORT[name]}_{signal}"


def stored_signals(cells: Mapping[str, Sequence[int]], make) -> tuple[Signal, ...]:
    """The signals of all recorded cells; channels cell by cell, such as "17_proximal_ampa".

    Args:
        cells: Of `recorded_cells`.
        make: Gives a signal from name, unit and channels.
    """
    return tuple(
        make(signal_name(name, signal), UNITS[signal], tuple(f"{i}_{c}" for i in numbers for c in channels))
        for name, numbers in cells.items()
        for signal, channels in cell_channels(name).items()
    )


def arriving(
    column: Column,
    gains: np.ndarray,
    spikes: Mapping[str, np.ndarray],
    inputs: Mapping[str, np.ndarray],
    cells: Mapping[str, np.ndarray],
    dt_ms: float,
) -> dict[str, np.ndarray]:
    """Events at some cells, those of the drives and those of the column's own spikes, on the grid.

    As in the network of surrogates: a spike between a sample and the one before it arrives at the bin of that sample
    and its delay, in whole steps and at least one.

    Args:
        column: Cells and projections.
        gains: Factors on the projections' weights, shape (n_projections,).
        spikes: By cell type spikes between each sample and the one before it, shape (time, cells).
        inputs: Events of the drives as of `column.drive_inputs`.
        cells: Of each type the cells that are asked for.
        dt_ms: Width of a bin (ms).

    Returns:
        By cell type summed weights (uS), float32, shape (time, cells asked for, channels).
    """
    result = {name: np.array(inputs[name][:, numbers], np.float64) for name, numbers in cells.items()}
    for gain, p in zip(gains, column.projections, strict=True):
        if p.target not in cells:
            continue
        numbers, source = cells[p.target], spikes[p.source]
        weights = gain * p.weights[:, numbers]
        # far cells are reached after seconds, if at all
        steps = np.maximum(np.rint(np.minimum(p.delays_ms[:, numbers], 1e6) / dt_ms), 1).astype(int)
        channel = column.cells[p.target].channels.index(p.channel)
        for step in np.unique(steps[weights > 0]):
            if step < len(source):
                arrived = source[:-step] @ np.where(steps == step, weights, 0)
                result[p.target][step:, :, channel] += arrived
    return {name: x.astype(np.float32) for name, x in result.items()}
