"""hnn-core's cells and column in NEURON: the one module that touches that package.

Jas M et al. (2023) J Open Source Softw 8:5848. Its cells are built by its own code and driven by events of our own,
since its drives reach AMPA and NMDA receptors only. Its column is taken apart into a `Column` and wired anew from it,
so that whatever else simulates the `Column` has the same weights and delays.
"""

import contextlib
import io
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from neuroinverse.errors import NeuroinverseError
from neuroinverse.simulators.column import SHORT, Column, Drive, Projection, cell_type, is_pyramidal
from neuroinverse.simulators.neuron_batch import interpreter, load_packaged

CELSIUS = 37.0


@cache
def load():
    """NEURON's interpreter with hnn-core's mechanisms, and hnn-core.

    Its import switches NEURON to its physical constants of before 2019; they are switched back, a relative change of
    2e-7.

    Raises:
        NeuroinverseError: If it is not there, or refuses the NEURON that is.
    """
    h = interpreter()
    legacy = h.nrnunit_use_legacy()
    try:
        # it prints a banner when it is imported for the first time
        with contextlib.redirect_stdout(io.StringIO()):
            import hnn_core
            from hnn_core.network_builder import load_custom_mechanisms

            load_packaged(h, "hnn_core")
            load_custom_mechanisms(net_verbose=False)
    except (ImportError, RuntimeError, OSError, ValueError) as error:
        from importlib.metadata import PackageNotFoundError, version

        found = []
        for package in ("hnn-core", "neuron"):
            with contextlib.suppress(PackageNotFoundError):
                found.append(f"{package} {version(package)}")
        raise NeuroinverseError(
            f"hnn-core cannot be loaded ({type(error).__name__}: {error}); here are {', '.join(found) or 'neither'}. "
            "Cells and column need hnn-core 0.6.1 and NEURON 8.2.7; install them with: "
            "pip install hnn-core==0.6.1 neuron==8.2.7"
        ) from error
    finally:
        if h.nrnunit_use_legacy() != legacy:
            h.nrnunit_use_legacy(legacy)
    return h, hnn_core


def make_network(mesh: tuple[int, int], lamtha: Mapping[str, float] | None = None):
    """hnn-core's network of the calcium model, without drives.

    Args:
        mesh: Pyramidal cells of a layer along x and y.
        lamtha: Space constants (grid steps) by projection; hnn-core's where it is silent.
    """
    with warnings.catch_warnings():
        # of a name that hnn-core itself uses
        warnings.simplefilter("ignore", DeprecationWarning)
        network = load()[1].calcium_model(mesh_shape=tuple(mesh))
    for connection in network.connectivity:
        law = connection["nc_dict"]
        law["lamtha"] = (lamtha or {}).get(_name(connection), law["lamtha"])
    return network


def describe(network, drives: Sequence[Drive] = ()) -> Column:
    """The network of `make_network` as numbers.

    A synapse over the distance d (grid steps) has the weight A·exp(−d²/lamtha²) and the delay A_delay·exp(d²/lamtha²).
    """
    cells = {name: cell_type(name, len(network.gid_ranges[name])) for name in SHORT}
    projections = []
    for connection in network.connectivity:
        source, target, law = connection["src_type"], connection["target_type"], connection["nc_dict"]
        at = [np.array(network.pos_dict[name])[:, :2] for name in (source, target)]
        squares = ((at[0][:, None] - at[1][None]) ** 2).sum(axis=2)
        factors = np.exp(-squares / (law["lamtha"] * network._inplane_distance) ** 2)
        connected = np.zeros(factors.shape, bool)
        first_source, first_target = (network.gid_ranges[name][0] for name in (source, target))
        for gid, targets in connection["gid_pairs"].items():
            connected[gid - first_source, np.array(targets, int) - first_target] = True
        projections.append(
            Projection(
                _name(connection),
                source,
                target,
                f"{connection['loc']}_{connection['receptor']}",
                np.where(connected, law["A_weight"] * law["gain"] * factors, 0.0),
                law["A_delay"] / factors,
            )
        )
    return Column(cells, tuple(projections), tuple(drives), network.threshold)


def _name(connection) -> str:
    source, target = SHORT[connection["src_type"]], SHORT[connection["target_type"]]
    return f"{source}_{target}_{connection['loc']}_{connection['receptor']}"


def write_network(
    path: Path,
    mesh: tuple[int, int],
    drives: Sequence[Drive] = (),
    gains: Mapping[str, float] | None = None,
    lamtha: Mapping[str, float] | None = None,
) -> None:
    """Writes the column as a file that `hnn_core.read_network_configuration` opens.

    Args:
        path: JSON file.
        mesh: Pyramidal cells of a layer along x and y.
        drives: Become Poisson drives; hnn-core draws their events anew.
        gains: Factors on the weights by name of the projection, 1 where it is silent.
        lamtha: As of `make_network`.

    Raises:
        NeuroinverseError: If hnn-core has no drive onto such channels.
    """
    network, gains = make_network(mesh, lamtha), gains or {}
    for connection in network.connectivity:
        # in the weight: hnn-core warns of gains that differ between projections
        connection["nc_dict"]["A_weight"] *= float(gains.get(_name(connection), 1.0))
    for i, drive in enumerate(drives):
        locations, receptors = zip(*(channel.rsplit("_", 1) for channel in drive.channels), strict=True)
        if len(set(locations)) > 1 or not set(receptors) <= {"ampa", "nmda"}:
            raise NeuroinverseError(
                f"{path}: drive {drive.name} reaches {', '.join(drive.channels)}; hnn-core's drives reach ampa and "
                "nmda of one location. Leave it out or give it those"
            )
        network.add_poisson_drive(
            drive.name,
            rate_constant=drive.rate_Hz,
            location=locations[0],
            # weights and delays do not fall off with the distance from the column's centre
            space_constant=1e50,
            synaptic_delays=0.0,
            # hnn-core adds the number of the cell: streams of different drives stay apart
            event_seed=1_000_003 * (i + 1),
            **{f"weights_{receptor}": {drive.target: drive.weight_uS} for receptor in receptors},
        )
    network.write_configuration(path)


# --- in NEURON --------------------------------------------------------------------------------------------------------


@cache
def _templates() -> dict:
    return {name: entry["cell_object"] for name, entry in make_network((1, 1)).cell_types.items()}


class DrivenCell:
    """A cell that stands in NEURON, with events played into its channels. It goes when nothing refers to it.

    Args:
        name: hnn-core's name of its type.
        channels: What events reach: a location or a section, and a receptor.
        threshold_mV: A soma that crosses it from below spikes.

    Attributes:
        sections: NEURON's sections by name.
        synapses: For each channel the synapses that it reaches (Exp2Syn).
        spike_times: Times of spikes (ms) of the last run, a NEURON vector.
    """

    def __init__(self, name: str, channels: Sequence[str], threshold_mV: float = 0.0):
        self._h, _ = load()
        # a tenth faster elsewhere; with hnn-core's dipole in them NEURON 8.2.7 crashes when cells are removed
        self._h.CVode().cache_efficient(False)
        # the template keeps what is built
        self._cell = _templates()[name].copy()
        self._cell.build(sec_name_apical="apical_trunk" if is_pyramidal(name) else None)
        self.sections = self._cell._nrn_sections
        self.synapses = [self._synapses(channel) for channel in channels]
        self._ports = [_Port(self._h, synapses) for synapses in self.synapses]
        self.spike_times = self._h.Vector()
        self._detector = self.connect(None)
        self._detector.threshold = threshold_mV
        self._detector.record(self.spike_times)

    def _synapses(self, channel: str) -> list:
        location, receptor = channel.rsplit("_", 1)
        sections = self._cell.sect_loc.get(location, [location])
        return [self._cell._nrn_synapses[f"{section}_{receptor}"] for section in sections]

    def connect(self, synapse):
        """A connection of this cell's spikes to a synapse: NEURON's NetCon, for the caller to keep."""
        soma = self.sections["soma"]
        return self._h.NetCon(soma(0.5)._ref_v, synapse, sec=soma)

    def record(self) -> dict:
        """NEURON vectors of the potential (mV) in the middle of each section, at every integration step."""
        return {name: self._h.Vector().record(section(0.5)._ref_v) for name, section in self.sections.items()}

    @property
    def dipole(self) -> np.ndarray:
        """Current dipole of the last run (fAm), at every integration step; pyramidal cells only."""
        return self._cell.dipole.as_numpy()

    def play(self, inputs: np.ndarray, dt_ms: float) -> None:
        """Sets the events of the next run.

        Args:
            inputs: Summed weights of the events at the start of each bin (uS), shape (n_steps, n_channels).
            dt_ms: Width of a bin (ms).
        """
        for port, weights in zip(self._ports, inputs.T, strict=True):
            port.play(weights, dt_ms)

    def rest(self) -> None:
        """Sets the potentials with which hnn-core starts a cell, section by section."""
        for name, section in self.sections.items():
            section.v = self._cell.sections[name].v0


class _Port:
    """Plays events of any weight into synapses.

    Args:
        h: NEURON's interpreter.
        synapses: All are reached by every event.
    """

    def __init__(self, h, synapses: Sequence):
        self._times, self._weights, self._changes = h.Vector(), h.Vector(), h.Vector()
        self._source = h.VecStim()
        self._source.play(self._times)
        self._connections = [h.NetCon(self._source, synapse, 0, 0, 0) for synapse in synapses]
        for connection in self._connections:
            self._weights.play(connection._ref_weight[0], self._changes)

    def play(self, weights: np.ndarray, dt_ms: float) -> None:
        """Sets the events of the next run.

        Args:
            weights: Of the event at the start of each bin (uS), shape (n_steps,); 0 where there is none.
            dt_ms: Width of a bin (ms).
        """
        bins = np.flatnonzero(weights)
        self._times.from_python(bins * dt_ms)
        # each weight stands from half a bin after the event before it
        self._changes.from_python((bins[:-1] + 0.5) * dt_ms)
        self._weights.from_python(weights[bins[1:]])
        for connection in self._connections:
            connection.weight[0] = weights[bins[0]] if len(bins) else 0.0


def run(cells: Sequence[DrivenCell], stop_ms: float, dt_ms: float) -> None:
    """Runs all cells together from their initial state, backward Euler with fixed steps.

    Args:
        cells: All that stand in this process.
        stop_ms: End (ms).
        dt_ms: Integration step (ms).
    """
    h, _ = load()
    h.celsius, h.dt, h.secondorder = CELSIUS, dt_ms, 0
    h.CVode().active(False)
    context = h.ParallelContext()
    context.set_maxstep(10)
    for cell in cells:
        cell.rest()
    h.finitialize()
    context.psolve(stop_ms)


class NeuronColumn:
    """A column that stands in NEURON. It goes when nothing refers to it.

    Args:
        column: Its cell types are those of hnn-core.
    """

    def __init__(self, column: Column):
        self.column = column
        self.cells = {
            name: [DrivenCell(cell.name, cell.channels, column.threshold_mV) for _ in range(cell.n)]
            for name, cell in column.cells.items()
        }
        self._connections = [self._connect(projection) for projection in column.projections]
        self._gains = np.ones(len(column.projections))

    def _connect(self, projection: Projection) -> list[tuple[object, float]]:
        """NEURON's connections, each with its weight at gain 1."""
        sources, targets = self.cells[projection.source], self.cells[projection.target]
        channel = self.column.cells[projection.target].channels.index(projection.channel)
        made = []
        for i, j in np.argwhere(projection.weights):
            weight, delay = float(projection.weights[i, j]), float(projection.delays_ms[i, j])
            for synapse in targets[j].synapses[channel]:
                connection = sources[i].connect(synapse)
                connection.delay, connection.weight[0] = delay, weight
                made.append((connection, weight))
        return made

    def run(
        self, gains: np.ndarray, inputs: Mapping[str, np.ndarray], stop_ms: float, dt_ms: float, step_ms: float
    ) -> None:
        """Simulates the column from its initial state; the cells hold what became of it.

        Args:
            gains: Factors on the projections' weights, shape (n_projections,).
            inputs: Events of the drives as of `drive_inputs`.
            stop_ms: End (ms).
            dt_ms: Width of a bin of the inputs (ms).
            step_ms: Integration step (ms).
        """
        for k in np.flatnonzero(gains != self._gains):
            for connection, weight in self._connections[k]:
                connection.weight[0] = gains[k] * weight
        self._gains = np.array(gains, float)
        for name, cells in self.cells.items():
            for i, cell in enumerate(cells):
                cell.play(inputs[name][:, i], dt_ms)
        run([cell for cells in self.cells.values() for cell in cells], stop_ms, step_ms)
