"""Cells placed in space: positions, synapses over segments, and LFPykit's potentials of all cells at all contacts."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from neuroinverse.errors import NeuroinverseError
from neuroinverse.simulators.lfp_cells import PassiveCell

# positions at a time: keeps LFPykit's arrays within the processor's cache
SEGMENTS_AT_ONCE = 8192


def place(settings: Mapping, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Soma positions of all populations, uniform in the cylinder.

    Cells closer than `min_distance_um` to another are drawn anew.

    Args:
        settings: Completed settings with the number of cells of each population.
        rng: Random generator.

    Returns:
        Positions (um) by population, each of shape (cells, 3).

    Raises:
        NeuroinverseError: If the cells do not fit.
    """
    from scipy.spatial import cKDTree

    populations = settings["populations"]
    sizes = [p["cells"] for p in populations.values()]
    low, high = np.repeat([p["soma_z_um"] for p in populations.values()], sizes, axis=0).T

    def draw(which):
        radius = settings["radius_um"] * np.sqrt(rng.uniform(size=len(which)))
        angle = rng.uniform(0, 2 * np.pi, len(which))
        return np.stack([radius * np.cos(angle), radius * np.sin(angle), rng.uniform(low[which], high[which])], axis=1)

    positions = draw(np.arange(len(low)))
    for _ in range(100):
        close = cKDTree(positions).query_pairs(settings["min_distance_um"], output_type="ndarray")
        if not len(close) or settings["min_distance_um"] == 0:
            return dict(zip(populations, np.split(positions, np.cumsum(sizes)[:-1]), strict=True))
        again = np.unique(close[:, 1])
        positions[again] = draw(again)
    raise NeuroinverseError(
        f"lfp: {sum(sizes)} cells do not fit with min_distance_um {settings['min_distance_um']:g}; "
        "expected a smaller distance, a larger radius_um or soma_z_um, or fewer cells"
    )


def rotations(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Random rotation matrices, shape (n, 3, 3): about z by a uniform angle, or uniform over all orientations."""
    from scipy.spatial.transform import Rotation

    if kind == "none":
        return np.broadcast_to(np.eye(3), (n, 3, 3))
    if kind == "z":
        return Rotation.from_euler("z", rng.uniform(0, 2 * np.pi, (n, 1))).as_matrix()
    return Rotation.random(n, rng).as_matrix()


def contact_points(settings: Mapping) -> np.ndarray:
    """Points over which a contact averages the potential (um), shape (contacts, points, 3).

    They cover the contact's disc evenly (a sunflower pattern, which LFPykit's random points approach): the kernel needs
    no random numbers for them.
    """
    contacts = np.array(settings["contacts_um"])
    n = settings["contact_points"] if settings["contact_radius_um"] > 0 else 1
    normal = np.array(settings["contact_normal"]) / math.hypot(*settings["contact_normal"])
    # two axes within the disc
    first = np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))])
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    k = np.arange(n)
    radius = settings["contact_radius_um"] * np.sqrt((k + 0.5) / n) * (n > 1)
    angle = k * math.pi * (3 - math.sqrt(5))
    disc = np.outer(radius * np.cos(angle), first) + np.outer(radius * np.sin(angle), second)
    return contacts[:, None, :] + disc


def potentials(start, end, diameter, points, conductivity_S_per_m: float) -> np.ndarray:
    """LFPykit's transformation matrices of many cells of one kind: soma a point source, the others line sources.

    Args:
        start: Where segments begin (um), shape (cells, segments, 3); segment 0 is the soma.
        end: Where they end (um), the same shape.
        diameter: Diameters (um), shape (segments,).
        points: Points of the contacts (um), shape (contacts, points, 3).
        conductivity_S_per_m: Extracellular conductivity (S/m).

    Returns:
        Potential per current (mV/nA), averaged over each contact's points, shape (cells, contacts, segments).
    """
    from lfpykit import CellGeometry, LineSourcePotential, PointSourcePotential

    cells, segments, _ = start.shape
    x, y, z = points.reshape(-1, 3).T

    def matrix(model, which):
        # LFPykit works on all segments at once, and knows nothing of which cell they belong to
        ends = np.stack([start[:, which], end[:, which]], axis=-1).reshape(-1, 3, 2)
        geometry = CellGeometry(*np.moveaxis(ends, 1, 0), np.tile(diameter[which], cells))
        values = model(geometry, x, y, z, conductivity_S_per_m).get_transformation_matrix()
        return values.reshape(*points.shape[:2], cells, -1).mean(axis=1)

    result = np.empty((cells, len(points), segments))
    result[:, :, :1] = np.moveaxis(matrix(PointSourcePotential, slice(0, 1)), 0, 1)
    if segments > 1:
        result[:, :, 1:] = np.moveaxis(matrix(LineSourcePotential, slice(1, None)), 0, 1)
    return result


def synapse_shares(z, area, section, layers: Sequence[Mapping]) -> np.ndarray:
    """The share of a cell's synapses that each of its segments gets: by membrane area within each layer.

    A segment lies in the layer that its middle lies in. Where a cell has no membrane in a layer, the layer's share goes
    to the cell's other layers in proportion to theirs, so that the in-degree holds.

    Args:
        z: Middle of each segment (um), shape (cells, segments).
        area: Membrane areas (um2), shape (segments,).
        section: Kind of each segment, shape (segments,).
        layers: `share`, `z_um`, `sections` of each layer.

    Returns:
        Shares that add up to one per cell, shape (cells, segments).

    Raises:
        NeuroinverseError: If a cell has no membrane in any of the layers.
    """
    shares = np.zeros_like(z)
    for layer in layers:
        low, high = layer["z_um"]
        weight = area * (np.isin(section, layer["sections"]) & (z >= low) & (z < high))
        total = weight.sum(axis=1, keepdims=True)
        shares += layer["share"] * np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    total = shares.sum(axis=1, keepdims=True)
    empty = np.flatnonzero(total[:, 0] == 0)
    if len(empty):
        raise NeuroinverseError(
            f"{len(empty)} of {len(z)} cells have no membrane in any layer of "
            f"{[(layer['z_um'], layer['sections']) for layer in layers]}: the first one's segments lie at z from "
            f"{z[empty[0]].min():.0f} to {z[empty[0]].max():.0f} um. Change the layers, soma_z_um or the cell"
        )
    return shares / total


def placed(
    cell: PassiveCell, positions: np.ndarray, rotation: np.ndarray
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Cells rotated about their somata and moved into place, in blocks.

    Args:
        cell: The cell that all are copies of.
        positions: Soma positions (um), shape (cells, 3).
        rotation: Rotation matrices, shape (cells, 3, 3).

    Yields:
        Which cells, and where their segments start and end (um), each of shape (block, segments, 3).
    """
    size = max(1, SEGMENTS_AT_ONCE // len(cell))
    for first in range(0, len(positions), size):
        block = slice(first, first + size)
        move = positions[block, None, :]
        turn = rotation[block].transpose(0, 2, 1)
        yield block, cell.start @ turn + move, cell.end @ turn + move


def coupling(
    cell: PassiveCell,
    positions: np.ndarray,
    rotation: np.ndarray,
    synapses: Mapping,
    settings: Mapping,
    count: Callable[[int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Sum over cells of (potential at a contact per current from segment k) × (share of synapses on segment j).

    Args:
        cell: The cell that all are copies of.
        positions: Soma positions (um), shape (cells, 3).
        rotation: Rotation matrices, shape (cells, 3, 3).
        synapses: Layers by presynaptic population.
        settings: Completed settings.
        count: Called with the number of cells that are done since the last call.

    Returns:
        By presynaptic population: mV/nA, shape (contacts, segments k, segments j).
    """
    points = contact_points(settings)
    k = len(cell)
    result = {source: np.zeros((len(points) * k, k)) for source in synapses}
    for _, start, end in placed(cell, positions, rotation):
        transfer = potentials(start, end, cell.diameter, points, settings["conductivity_S_per_m"])
        z = (start[..., 2] + end[..., 2]) / 2
        for source, layers in synapses.items():
            result[source] += transfer.reshape(len(z), -1).T @ synapse_shares(z, cell.area, cell.section, layers)
        if count is not None:
            count(len(z))
    return {source: sums.reshape(len(points), k, k) for source, sums in result.items()}
