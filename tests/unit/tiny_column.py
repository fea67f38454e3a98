"""Columns of a few leaky cells, whose surrogates are written down, and the same in plain numpy."""

import numpy as np
import tensorflow as tf

from neuroinverse.simulators.column import CellType, Column, Drive, Projection

DT_ms = 0.5
CHANNELS, OUTPUTS = ("soma_ampa", "soma_gabaa"), ("soma", "dipole")
# of conductances and of the voltage, in one step; mV per uS and step; fAm per uS
KEPT, LEAK, PUSH, MOMENT = np.array([0.8, 0.9], np.float32), 0.9, np.array([400.0, -300.0], np.float32), 100.0
REST_mV = -65.0


class LeakyCell:
    """Two conductances that decay, and a voltage that leaks and follows them; the first one's dipole."""

    def __init__(self, channels=CHANNELS, outputs=OUTPUTS, dt_ms=DT_ms):
        self.channels, self.outputs, self.dt_ms, self.calls = channels, outputs, dt_ms, 0

    def initial_state(self, n):
        return {"g": tf.zeros((n, 2)), "v": tf.fill((n,), REST_mV)}

    def step(self, state, x):
        self.calls += 1
        g, v = state["g"], state["v"]
        values = {"soma": v, "dipole": MOMENT * g[:, 0]}
        outputs = tf.stack([values.get(name, tf.zeros_like(v)) for name in self.outputs], axis=1)
        g = g + tf.gather(x, [self.channels.index(c) for c in CHANNELS], axis=1)
        v = REST_mV + LEAK * (v - REST_mV) + tf.linalg.matvec(g, PUSH)
        return {"g": KEPT * g, "v": v}, outputs


def run_plainly(column, events, gains, n_steps):
    """Cells one by one, spikes as events in a queue: dipoles and spikes of one realisation, both by population."""
    arriving = {name: x.astype(float).copy() for name, x in events.items()}
    state = {name: [(np.zeros(2), REST_mV, True) for _ in range(c.n)] for name, c in column.cells.items()}
    dipole = {name: np.zeros(n_steps) for name in column.cells}
    spikes = {name: np.zeros((n_steps, c.n)) for name, c in column.cells.items()}
    for t in range(n_steps):
        for name, cells in state.items():
            for i, (g, v, was_above) in enumerate(cells):
                dipole[name][t] += MOMENT * g[0]
                above = v >= column.threshold_mV
                spikes[name][t, i] = above and not was_above
                g = g + arriving[name][t, i]
                cells[i] = (KEPT * g, REST_mV + LEAK * (v - REST_mV) + g @ PUSH, above)
        for p, gain in zip(column.projections, gains, strict=True):
            channel = column.cells[p.target].channels.index(p.channel)
            for i, j in zip(*np.nonzero(p.weights * spikes[p.source][t][:, None]), strict=True):
                arrival = t + max(1, round(p.delays_ms[i, j] / DT_ms))
                if arrival < n_steps:
                    arriving[p.target][arrival, j, channel] += gain * p.weights[i, j]
    return dipole, spikes


def projection(name, source, target, channel, weights, delays_ms) -> Projection:
    weights = np.array(weights, float)
    return Projection(
        name, source, target, channel, weights, np.broadcast_to(np.array(delays_ms, float), weights.shape)
    )


def chain(weight=0.05, delay_ms=3.0) -> Column:
    """One cell that drives another."""
    cells = {name: CellType(name, 1, CHANNELS, OUTPUTS) for name in ("first", "second")}
    link = projection("first_second", "first", "second", "soma_ampa", [[weight]], delay_ms)
    drive = Drive("first_soma_ampa", "first", ("soma_ampa",), 40.0, 0.1)
    return Column(cells, (link,), (drive,), -50.0)


def loop(seed=3, spread_ms=12.0) -> Column:
    """Excitatory cells E and inhibitory cells I, all projections between them, delays from 0.5 ms on."""
    rng = np.random.default_rng(seed)
    n = {"E": 6, "I": 3}
    cells = {name: CellType(name, size, CHANNELS, OUTPUTS) for name, size in n.items()}
    projections = []
    for source, target, weight in (("E", "E", 0.012), ("E", "I", 0.02), ("I", "E", 0.02), ("I", "I", 0.01)):
        channel = "soma_ampa" if source == "E" else "soma_gabaa"
        weights = rng.uniform(0.5, 1.5, (n[source], n[target])) * weight
        delays = 0.5 + spread_ms * rng.random((n[source], n[target]))
        projections.append(projection(f"{source}_{target}", source, target, channel, weights, delays))
    drives = tuple(Drive(f"{name}_soma_ampa", name, ("soma_ampa",), 60.0, 0.04) for name in n)
    return Column(cells, tuple(projections), drives, -50.0)


def surrogates(column, make=LeakyCell) -> dict:
    return {cell.name: make() for cell in column.cells.values()}
