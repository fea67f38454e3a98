"""A cortical column as plain numbers: its cells, its projections and its drives, for whatever simulates it.

The model is that of hnn-core's `calcium_model`: layers 2 and 5 with pyramidal and basket cells, Jones SR et al. (2009)
J Neurophysiol 102:3554 with the calcium distribution of Kohl C et al. (2022) Brain Topogr 35:19.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neuroinverse.errors import ConfigError, require_known

# hnn-core's names, and short ones: e excitatory (pyramidal), i inhibitory (basket)
SHORT = {"L2_pyramidal": "L2e", "L2_basket": "L2i", "L5_pyramidal": "L5e", "L5_basket": "L5i"}

# in hnn-core's order
SECTIONS = {
    "L2_pyramidal": (
        "apical_trunk",
        "apical_1",
        "apical_tuft",
        "apical_oblique",
        "basal_1",
        "basal_2",
        "basal_3",
        "soma",
    ),
    "L2_basket": ("soma",),
    "L5_pyramidal": (
        "apical_trunk",
        "apical_1",
        "apical_2",
        "apical_tuft",
        "apical_oblique",
        "basal_1",
        "basal_2",
        "basal_3",
        "soma",
    ),
    "L5_basket": ("soma",),
}

# what projections and drives reach: location and receptor. A location is one section or several
LOCATION_CHANNELS = {
    "L2_pyramidal": ("proximal_ampa", "proximal_nmda", "distal_ampa", "soma_gabaa", "soma_gabab"),
    "L2_basket": ("soma_ampa", "soma_gabaa"),
    "L5_pyramidal": (
        "proximal_ampa",
        "proximal_nmda",
        "distal_ampa",
        "distal_gabaa",
        "soma_gabaa",
        "soma_gabab",
    ),
    "L5_basket": ("soma_ampa", "soma_gabaa"),
}

# source, target, location, receptor; in hnn-core's order
PROJECTIONS = (
    "L2e_L2e_proximal_nmda",
    "L2e_L2e_proximal_ampa",
    "L5e_L5e_proximal_nmda",
    "L5e_L5e_proximal_ampa",
    "L2i_L2e_soma_gabaa",
    "L2i_L2e_soma_gabab",
    "L5i_L5e_soma_gabaa",
    "L5i_L5e_soma_gabab",
    "L2e_L5e_proximal_ampa",
    "L2e_L5e_distal_ampa",
    "L2i_L5e_distal_gabaa",
    "L2e_L2i_soma_ampa",
    "L2i_L2i_soma_gabaa",
    "L5i_L5i_soma_gabaa",
    "L5e_L5i_soma_ampa",
    "L2e_L5i_soma_ampa",
)

DRIVE_KEYS = ("target", "location", "receptors", "rate_Hz", "weight_uS")
# one that keeps the column at moderate rates: 10 by 5 pyramidal cells fire at about 15 Hz in layer 2 and 10 Hz in layer
# 5, baskets at 11 Hz
DRIVES = tuple(
    dict(zip(DRIVE_KEYS, (target, location, ("ampa",), 10.0, weight_uS), strict=True))
    for target, locations, weight_uS in (
        ("L2_pyramidal", ("proximal", "distal"), 0.004),
        ("L5_pyramidal", ("proximal", "distal"), 0.006),
        ("L2_basket", ("soma",), 0.004),
        ("L5_basket", ("soma",), 0.004),
    )
    for location in locations
)


@dataclass(frozen=True)
class CellType:
    """The cells of one type.

    Args:
        name: hnn-core's name of the type.
        n: Number of cells.
        channels: Where events arrive, such as "proximal_ampa".
        outputs: What a cell shows: the voltages (mV) of its sections by name, then "dipole" (fAm) where there is one.
    """

    name: str
    n: int
    channels: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Projection:
    """The synapses of one channel between two cell types; a spike reaches every section of the channel's location.

    Args:
        name: Such as "L2e_L5e_distal_ampa".
        source: Key of `Column.cells`.
        target: Key of `Column.cells`.
        channel: Of the target.
        weights: Peak conductance of a spike at gain 1 (uS), shape (n_source, n_target); 0 where there is no synapse.
        delays_ms: Time from a spike to its arrival (ms), same shape.
    """

    name: str
    source: str
    target: str
    channel: str
    weights: np.ndarray
    delays_ms: np.ndarray


@dataclass(frozen=True)
class Drive:
    """Independent Poisson trains, one per target cell; an event reaches all channels.

    Args:
        name: Such as "L5e_distal_ampa".
        target: Key of `Column.cells`.
        channels: Of the target.
        rate_Hz: Mean rate of a train.
        weight_uS: Peak conductance of an event in every section that it reaches.
    """

    name: str
    target: str
    channels: tuple[str, ...]
    rate_Hz: float
    weight_uS: float


@dataclass(frozen=True, eq=False)
class Column:
    """A network of cells with its drives.

    Args:
        cells: The cell types by name.
        projections: In the order of their gains.
        drives: The external input.
        threshold_mV: A soma that crosses it from below spikes.
    """

    cells: dict[str, CellType]
    projections: tuple[Projection, ...]
    drives: tuple[Drive, ...]
    threshold_mV: float


def cell_type(name: str, n: int = 1) -> CellType:
    """The type of that name, with the channels that projections and drives reach.

    Args:
        name: Key of `SHORT`.
        n: Number of cells.
    """
    dipole = ("dipole",) if is_pyramidal(name) else ()
    return CellType(name, n, LOCATION_CHANNELS[name], SECTIONS[name] + dipole)


def is_pyramidal(name: str) -> bool:
    """Whether cells of the type have dendrites, and with them a current dipole."""
    return name.endswith("pyramidal")


def section_channels(name: str) -> tuple[str, ...]:
    """All synapses of a cell: every receptor of every section, in hnn-core's order.

    Args:
        name: Key of `SHORT`.
    """
    dendrite, soma = ("ampa", "nmda", "gabaa", "gabab"), ("gabaa", "gabab")
    if not is_pyramidal(name):
        soma = ("ampa", "gabaa", "nmda")
    return tuple(f"{s}_{receptor}" for s in SECTIONS[name] for receptor in (soma if s == "soma" else dendrite))


def cell_counts(mesh: tuple[int, int]) -> dict[str, int]:
    """Number of cells of each type: a grid of pyramidal cells, and a basket cell at every third of a row.

    Args:
        mesh: Pyramidal cells of a layer along x and y.
    """
    nx, ny = mesh
    # from 0 in even rows and from 1 in odd ones
    baskets = sum(len(range(y % 2, nx, 3)) for y in range(ny))
    return {name: nx * ny if is_pyramidal(name) else baskets for name in SHORT}


def read_mesh(mesh, where: str) -> tuple[int, int]:
    """Checks a setting `mesh`.

    Args:
        mesh: Pyramidal cells of a layer along x and y, from a study.
        where: Place in the study file.

    Raises:
        ConfigError: If it is not two whole numbers from 1.
    """
    if not (isinstance(mesh, Sequence) and len(mesh) == 2 and all(type(n) is int and n > 0 for n in mesh)):
        raise ConfigError(f"{where} is {mesh!r}; expected cells along x and y, such as [10, 5]")
    return tuple(mesh)


def read_lamtha(lamtha, where: str) -> dict[str, float]:
    """Reads a setting `lamtha`: the space constant (grid steps) of all projections, or those of some by name.

    Args:
        lamtha: From a study.
        where: Place in the study file.

    Returns:
        By projection; hnn-core's hold where it is silent.

    Raises:
        ConfigError: If a projection is unknown or a number not above 0.
    """
    constants = lamtha if isinstance(lamtha, Mapping) else dict.fromkeys(PROJECTIONS, lamtha)
    require_known(where, constants, PROJECTIONS)
    for value in constants.values():
        if not _number(value) or value == 0:
            raise ConfigError(f"{where} is {lamtha!r}; expected grid steps above 0, one number or some by projection")
    return {name: float(value) for name, value in constants.items()}


def read_drives(drives, where: str) -> tuple[Drive, ...]:
    """Reads a setting `drives`: a list of {target, location, receptors, rate_Hz, weight_uS}.

    Args:
        drives: From a study.
        where: Place in the study file.

    Raises:
        ConfigError: If a key is unknown or missing, a cell type or channel does not exist, or a number is negative.
    """
    if not isinstance(drives, Sequence) or isinstance(drives, str):
        raise ConfigError(f"{where} is {drives!r}; expected a list of drives")
    return tuple(_read_drive(drive, f"{where}[{i}]", i) for i, drive in enumerate(drives))


def _read_drive(drive, where: str, number: int) -> Drive:
    if not isinstance(drive, Mapping):
        raise ConfigError(f"{where} is {drive!r}; expected {', '.join(DRIVE_KEYS)}")
    require_known(where, drive, DRIVE_KEYS)
    for key in DRIVE_KEYS:
        if key not in drive:
            raise ConfigError(f"{where}: missing {key!r}; a drive has {', '.join(DRIVE_KEYS)}")
    target, location, receptors = drive["target"], drive["location"], drive["receptors"]
    require_known(f"{where}.target", [target], SHORT)
    if not isinstance(receptors, Sequence) or isinstance(receptors, str) or not receptors:
        raise ConfigError(f"{where}.receptors is {receptors!r}; expected a list such as [ampa, nmda]")
    channels = tuple(f"{location}_{receptor}" for receptor in receptors)
    require_known(f"{where}: location and receptor of {target}", channels, LOCATION_CHANNELS[target])
    for key in ("rate_Hz", "weight_uS"):
        if not _number(drive[key]):
            raise ConfigError(f"{where}.{key} is {drive[key]!r}; expected a number, 0 or more")
    name = f"{SHORT[target]}_{location}_{number}"
    return Drive(name, target, channels, float(drive["rate_Hz"]), float(drive["weight_uS"]))


def _number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < np.inf


def drive_inputs(column: Column, n_steps: int, dt_ms: float, seed: int) -> dict[str, np.ndarray]:
    """Draws the events of all drives on the time grid.

    Each drive has a random stream of its own from `seed`, and a longer time only adds events at the end.

    Args:
        column: Cells and drives.
        n_steps: Number of bins; events arrive at the start of theirs.
        dt_ms: Width of a bin (ms).
        seed: Of the simulation.

    Returns:
        Summed weights of the events in each bin (uS), by cell type, float32, shape (n_steps, n_cells, n_channels).
    """
    inputs = {name: np.zeros((n_steps, cell.n, len(cell.channels)), np.float32) for name, cell in column.cells.items()}
    for i, drive in enumerate(column.drives):
        cell = column.cells[drive.target]
        stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i,)))
        counts = stream.poisson(drive.rate_Hz * dt_ms * 1e-3, (n_steps, cell.n))
        for channel in drive.channels:
            inputs[drive.target][:, :, cell.channels.index(channel)] += drive.weight_uS * counts
    return inputs
