"""The hybrid scheme without kernels: every cell simulated in NEURON with a synapse for each of its inputs.

Shares with the package the cell's sections and where the cells are; synapses, currents, rotation, potentials and sums
are its own.
"""

from contextlib import redirect_stdout
from math import e

import numpy as np

POTENTIAL = 1e9


def synapses_of(share, events, rng=None):
    """Synapses of one cell.

    Args:
        share: Share of the synapses that each segment gets, shape (segments,).
        events: (spike time (ms), weight (mV)) of every presynaptic spike that reaches the cell, one list per synapse.
        rng: Draws the segment of each synapse; None spreads every synapse over all segments.

    Returns:
        (segment, time (ms), weight (mV)) of every activation.
    """
    found = []
    for train in events:
        places = [(j, s) for j, s in enumerate(share) if s] if rng is None else [(rng.choice(len(share), p=share), 1.0)]
        found += [(j, time, part * weight) for time, weight in train for j, part in places]
    return found


def cell_currents(cell, activations, lfp, duration_ms):
    """Transmembrane currents of one cell (nA), shape (steps + 1, segments).

    NEURON's own alpha synapse is a conductance: with a reversal potential of a million volts it gives a current. It
    ends 10 time constants after its onset.
    """
    from neuron import h

    solver = h.CVode()
    solver.active(False)
    solver.use_fast_imem(True)
    h.dt, h.secondorder = lfp["dt_ms"], 0
    amplitude = lfp["charge_fC_per_mV"] / (e * lfp["tau_syn_ms"]) * 1e-3
    synapses = []
    for j, time, weight in activations:
        synapse = h.AlphaSynapse(cell.segments[j])
        synapse.onset, synapse.tau = time + lfp["delay_ms"], lfp["tau_syn_ms"]
        synapse.e, synapse.gmax = np.copysign(POTENTIAL, weight), abs(weight) * amplitude / POTENTIAL
        synapses.append(synapse)
    records = [h.Vector().record(s._ref_i_membrane_) for s in cell.segments]
    h.finitialize(lfp["E_pas_mV"])
    h.ParallelContext().set_maxstep(10)
    h.ParallelContext().psolve(duration_ms)
    solver.use_fast_imem(False)
    return np.stack([r.as_numpy() for r in records], axis=1)


def cell_matrix(cell, position, rotation, points, conductivity):
    """LFPykit's own matrix for one cell, averaged over each contact's points (mV/nA), shape (contacts, segments)."""
    from lfpykit import CellGeometry, RecExtElectrode

    ends = [(rotation @ a.T).T + position for a in (cell.start, cell.end)]
    geometry = CellGeometry(*(np.stack([ends[0][:, i], ends[1][:, i]], axis=1) for i in range(3)), cell.diameter)
    x, y, z = points.reshape(-1, 3).T
    electrode = RecExtElectrode(geometry, sigma=conductivity, x=x, y=y, z=z, method="root_as_point")
    # LFPykit prints a line for every soma at a contact
    with redirect_stdout(None):
        matrix = electrode.get_transformation_matrix()
    return matrix.reshape(*points.shape[:2], -1).mean(axis=1), geometry


def share_of(cell, geometry, layers):
    """Synapses by membrane area within each layer, segment by segment."""
    share = np.zeros(len(cell))
    for layer in layers:
        inside = [
            j
            for j in range(len(cell))
            if cell.section[j] in layer["sections"] and layer["z_um"][0] <= geometry.z[j].mean() < layer["z_um"][1]
        ]
        share[inside] += layer["share"] * cell.area[inside] / cell.area[inside].sum()
    return share


def direct_lfp(settings, places, points, trains, duration_ms, rng=None, in_degrees=None, J=1.0, g=1.0):
    """LFP of a population, cell by cell.

    Args:
        settings: The kernel's settings.
        places: Positions and rotations of the cells by population.
        points: Points of the contacts (um), shape (contacts, points, 3).
        trains: Spike times (ms) of every neuron by population.
        duration_ms: Length of the simulation (ms).
        rng: Draws presynaptic neurons and segments; None: every neuron reaches every cell with the weight times the
            connection probability, spread over the segments.
        in_degrees: Synapses per cell by presynaptic population, where drawn.
        J: Excitatory weight (mV).
        g: Inhibitory over excitatory weight.

    Returns:
        LFP (mV) at 0, dt_ms, …, shape (steps + 1, contacts).
    """
    from neuroinverse.simulators.lfp_cells import passive_cell

    lfp, total = settings["lfp"], 0
    weights = {"E": J, "I": -g * J}
    for name, population in lfp["populations"].items():
        with passive_cell(population["cell"], lfp) as cell:
            for position, rotation in zip(*places[name], strict=True):
                matrix, geometry = cell_matrix(cell, position, rotation, points, lfp["conductivity_S_per_m"])
                activations = []
                for source, layers in population["synapses"].items():
                    if rng is None:
                        weight = weights[source] * settings["connection_probability"]
                        events = [[(t, weight) for train in trains[source] for t in train]]
                    else:
                        chosen = rng.integers(len(trains[source]), size=in_degrees[source])
                        events = [[(t, weights[source]) for t in trains[source][i]] for i in chosen]
                    activations += synapses_of(share_of(cell, geometry, layers), events, rng)
                total = total + cell_currents(cell, activations, lfp, duration_ms) @ matrix.T
    return total
