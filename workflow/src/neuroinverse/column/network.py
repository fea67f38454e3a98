"""A column of surrogate cells as one differentiable network.

Every cell type has one surrogate, a recurrent network that goes one step of the grid at a time: call t takes the events
that arrive at t·dt_ms and returns the outputs at t·dt_ms, which those events have not reached yet. Cells spike where a
named output crosses its threshold from below. A spike of sample t arrives d steps later, d being the delay on the grid
and at least 1, with the weight of its synapse times the gain of its projection.

A crossing has no useful derivative; backwards it is given that of the fast sigmoid, 1/(1 + slope·|x|)², x being the
distance from the threshold in units of `Threshold.scale` (Zenke & Ganguli 2018, Neural Comput 30:1514).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from neuroinverse.column.delays import Outgoing, outgoing
from neuroinverse.column.settings import DELAY_BINS, LONGEST_MS, PRUNE
from neuroinverse.errors import ConfigError, require_known


@dataclass(frozen=True)
class Threshold:
    """Where cells of a type spike.

    Args:
        value: What the output crosses from below, in its unit.
        output: Name of the output.
        scale: Unit of the distance from the threshold in the surrogate gradient. 10 mV are about one standard deviation
            of a soma's voltage, so that slopes compare with those of networks whose voltages are z-scored.
    """

    value: float
    output: str = "soma"
    scale: float = 10.0


class ColumnActivity(NamedTuple):
    """What a column does, from a surrogate network or from a simulator; tensors or arrays.

    Args:
        dipole: Current dipole (fAm) summed over the cells of each population that has one, shape (batch, time,
            populations).
        spikes: By population, 1 in the sample by which a cell has crossed its threshold and 0 elsewhere, shape (batch,
            time, cells).
    """

    dipole: tf.Tensor
    spikes: dict[str, tf.Tensor]


def join(first, second, links: Sequence, prefixes: tuple[str, str] = ("first", "second")):
    """Two columns as one.

    Names of populations, projections and drives get a prefix and an underscore: "first_L5_pyramidal". A population
    keeps the name of its cell type, so that both columns run on the same surrogates.

    Args:
        first: A `Column`.
        second: Another; equal columns give equal halves with drives of their own.
        links: `Projection`s between them; source and target are names with their prefix.
        prefixes: Of the first and of the second.

    Raises:
        ConfigError: If the thresholds differ, or two things would have the same name.
    """
    if first.threshold_mV != second.threshold_mV:
        raise ConfigError(
            f"join: the columns spike at {first.threshold_mV:g} and {second.threshold_mV:g} mV; give both the same "
            "threshold_mV"
        )
    cells, projections, drives = {}, [], []
    for prefix, column in zip(prefixes, (first, second), strict=True):
        cells |= {f"{prefix}_{name}": cell for name, cell in column.cells.items()}
        for p in column.projections:
            ends = {"source": f"{prefix}_{p.source}", "target": f"{prefix}_{p.target}"}
            projections.append(replace(p, name=f"{prefix}_{p.name}", **ends))
        drives += [replace(d, name=f"{prefix}_{d.name}", target=f"{prefix}_{d.target}") for d in column.drives]
    projections += links
    for names, whole in (
        (cells, len(first.cells) + len(second.cells)),
        ({p.name for p in projections}, len(projections)),
    ):
        if len(names) < whole:
            raise ConfigError("join: two populations or projections have the same name; give other prefixes or links")
    return replace(first, cells=cells, projections=tuple(projections), drives=tuple(drives))


class ColumnNetwork:
    """A column that is differentiable in the gains of its projections.

    Args:
        column: `neuroinverse.simulators.column.Column`, or anything of that shape.
        surrogates: By cell type, an object with `channels`, `outputs`, `dt_ms`, `initial_state(n)` and
            `step(state, x) -> (state, outputs)` in TensorFlow's operations: x (uS), shape (n, channels); outputs, shape
            (n, outputs). It may have more channels than the column uses. For `segment_ms` its weights are to be NumPy
            arrays: TensorFlow loses tensors from outside where it runs a segment again.
        thresholds: By cell type; the column's threshold at the soma where none is given.
        delay_bins: Different delays that a projection may have on the grid; close ones are merged where it has more.
        prune: Synapses weaker than this fraction of their projection's strongest are left out.
        max_delay_ms: Longest delay that the network holds.
        segment_ms: The gradient needs what every step has computed: about 4 kB for a cell of 96 units. With this the
            network keeps the states between segments of this length alone, and runs each again on the way back, which
            takes half as long again.
        jit: Whether XLA compiles the network.

    Raises:
        ConfigError: If surrogates, column and settings do not fit each other.
    """

    def __init__(
        self,
        column,
        surrogates: Mapping,
        thresholds: Mapping[str, Threshold] | None = None,
        *,
        delay_bins: int = DELAY_BINS,
        prune: float = PRUNE,
        max_delay_ms: float = LONGEST_MS,
        segment_ms: float | None = None,
        jit: bool = True,
    ):
        self.column, self.jit = column, jit
        self.populations = tuple(column.cells)
        self.projections = tuple(p.name for p in column.projections)
        self.dipoles = tuple(name for name, cell in column.cells.items() if "dipole" in cell.outputs)
        self._members: dict[str, list[str]] = {}
        for name, cell in column.cells.items():
            self._members.setdefault(cell.name, []).append(name)
        require_known("column: thresholds", thresholds or (), self._members)
        self._surrogates, self._thresholds = {}, {}
        for kind, members in self._members.items():
            if kind not in surrogates:
                raise ConfigError(f"column: there is no surrogate of {kind}; there are {', '.join(surrogates)}")
            self._surrogates[kind] = surrogates[kind]
            self._thresholds[kind] = (thresholds or {}).get(kind, Threshold(column.threshold_mV))
            for member in members:
                self._check(column.cells[member])
        self.dt_ms = self._common_dt()
        self._outgoing = outgoing(column, self._channels, self.dt_ms, delay_bins, prune, max_delay_ms)
        self._segment = segment_ms and max(1, round(segment_ms / self.dt_ms))
        self._run = tf.function(self.rollout, jit_compile=jit, autograph=False)

    def _check(self, cell) -> None:
        """Refuses a surrogate that lacks a channel or an output."""
        surrogate, kind = self._surrogates[cell.name], cell.name
        for channel in cell.channels:
            if channel not in surrogate.channels:
                raise ConfigError(
                    f"column: the surrogate of {kind} has no channel {channel}; train it on the column's channels "
                    f"({', '.join(cell.channels)}), it has {', '.join(surrogate.channels)}"
                )
        for output in {self._thresholds[kind].output} | {"dipole"} & set(cell.outputs):
            if output not in surrogate.outputs:
                raise ConfigError(
                    f"column: the surrogate of {kind} has no output {output}; it has {', '.join(surrogate.outputs)}"
                )

    def _common_dt(self) -> float:
        steps = {kind: surrogate.dt_ms for kind, surrogate in self._surrogates.items()}
        if len(set(steps.values())) > 1:
            listed = ", ".join(f"{kind} {dt:g}" for kind, dt in steps.items())
            raise ConfigError(f"column: surrogates step by different dt_ms ({listed}); train them all on one grid")
        return next(iter(steps.values()))

    def _channels(self, population: str) -> tuple[str, ...]:
        return tuple(self._surrogates[self.column.cells[population].name].channels)

    def drive(self, n_steps: int, seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """The external events of several drives, by population: weights (uS), shape (seeds, n_steps, cells, channels).

        Args:
            n_steps: Number of samples.
            seeds: One for each member of the batch.
        """
        from neuroinverse.simulators.column import drive_inputs

        return self.arrange([drive_inputs(self.column, n_steps, self.dt_ms, int(seed)) for seed in seeds])

    def arrange(self, inputs: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Stacks external events (uS), shape (time, cells, channels of the column), with the surrogates' channels."""
        result = {}
        for name, cell in self.column.cells.items():
            events = np.stack([one[name] for one in inputs])
            result[name] = np.zeros((*events.shape[:3], len(self._channels(name))), np.float32)
            result[name][..., [self._channels(name).index(c) for c in cell.channels]] = events
        return result

    def simulate(self, log10_gains, drive: Mapping[str, np.ndarray]) -> ColumnActivity:
        """Runs the network, compiled.

        Args:
            log10_gains: Of every projection, shape (projections,); (batch, projections) for gains of each drive's own.
            drive: What `drive` or `arrange` gives.

        Returns:
            Arrays.
        """
        activity = self._run(tf.constant(log10_gains, tf.float32), _tensors(drive), tf.constant(1.0))
        return ColumnActivity(activity.dipole.numpy(), {k: v.numpy() for k, v in activity.spikes.items()})

    def rollout(self, log10_gains: tf.Tensor, drive: Mapping[str, tf.Tensor], slope: tf.Tensor) -> ColumnActivity:
        """Runs the network in TensorFlow's operations, to be traced.

        Args:
            log10_gains: Of every projection, float32, shape (projections,) or (batch, projections).
            drive: By population, weights of arriving events (uS), shape (batch, time, cells, channels).
            slope: Of the surrogate gradient; changes no activity.
        """
        batch, n_steps = next(iter(drive.values())).shape[:2]
        length = min(self._segment or n_steps, n_steps)
        n_segments = -(-n_steps // length)
        events = {}
        for kind, members in self._members.items():
            # (segment, time, batch, cells of the type, channels): what a step takes is one block
            x = tf.transpose(tf.concat([drive[m] for m in members], axis=2), (1, 0, 2, 3))
            x = tf.pad(x, [[0, n_segments * length - n_steps], [0, 0], [0, 0], [0, 0]])
            events[kind] = tf.reshape(x, (n_segments, length, *x.shape[1:]))
        gains = tf.pow(10.0, log10_gains)
        gains = {name: tf.gather(gains, out.projection, axis=-1) for name, out in self._outgoing.items()}
        carried = self._start(batch)
        if n_segments == 1:
            _, recorded = self._advance(carried, {kind: x[0] for kind, x in events.items()}, gains, slope)
        else:
            recorded = self._by_segments(carried, events, gains, slope)
        # time before batch
        recorded = {name: tf.transpose(x[:n_steps], (1, 0, 2)) for name, x in recorded.items()}
        return ColumnActivity(recorded.pop("dipole"), recorded)

    def _start(self, batch: int) -> dict:
        """What the first step finds."""
        cells = self.column.cells
        counts = {kind: batch * sum(cells[m].n for m in members) for kind, members in self._members.items()}
        return {
            "state": {kind: self._surrogates[kind].initial_state(n) for kind, n in counts.items()},
            # nothing has crossed before there is a sample below
            "above": {name: tf.ones((batch, cell.n)) for name, cell in cells.items()},
            "past": {name: tf.zeros((out.length, batch, cells[name].n)) for name, out in self._outgoing.items()},
        }

    def _by_segments(self, carried, events: Mapping, gains: Mapping, slope: tf.Tensor) -> dict[str, tf.Tensor]:
        """Runs segment after segment, of which backwards only the beginnings are kept."""
        structure = (carried, gains, slope)

        @tf.recompute_grad
        def segment(i, *flat):
            carried, gains, slope = tf.nest.pack_sequence_as(structure, flat)
            after, recorded = self._advance(carried, {kind: x[i] for kind, x in events.items()}, gains, slope)
            return (*tf.nest.flatten(after), *recorded.values())

        n_segments, length, batch = next(iter(events.values())).shape[:3]
        shapes = self._recorded_shapes(batch)
        arrays = [tf.TensorArray(tf.float32, n_segments, element_shape=(length, *s)) for s in shapes.values()]
        fixed = tf.nest.flatten((gains, slope))

        def step(i, flat, arrays):
            (*after,) = segment(i, *flat, *fixed)
            return i + 1, after[: len(flat)], [a.write(i, x) for a, x in zip(arrays, after[len(flat) :], strict=True)]

        start = (tf.constant(0), tf.nest.flatten(carried), arrays)
        _, _, arrays = tf.while_loop(lambda i, *_: i < n_segments, step, start, maximum_iterations=n_segments)
        whole = n_segments * length
        return {n: tf.reshape(a.stack(), (whole, *shapes[n])) for n, a in zip(shapes, arrays, strict=True)}

    def _recorded_shapes(self, batch: int) -> dict[str, tuple[int, int]]:
        return {"dipole": (batch, len(self.dipoles))} | {n: (batch, c.n) for n, c in self.column.cells.items()}

    def _advance(self, carried, events: Mapping, gains: Mapping, slope: tf.Tensor) -> tuple[dict, dict[str, tf.Tensor]]:
        """Steps through events, by cell type of shape (time, batch, cells, channels).

        Returns:
            What the next step would find, and what was recorded, each of shape (time, batch, ...).
        """
        n_steps, batch = next(iter(events.values())).shape[:2]
        shapes = self._recorded_shapes(batch)
        recorded = {name: tf.TensorArray(tf.float32, n_steps, element_shape=shape) for name, shape in shapes.items()}

        def step(t, carried, recorded):
            arriving = self._arriving(carried["past"], gains, batch)
            after, shown = {"state": {}, "above": {}, "past": {}}, {}
            for kind, members in self._members.items():
                x = tf.stop_gradient(events[kind][t]) + tf.concat([arriving[m] for m in members], axis=1)
                rows = tf.reshape(x, (-1, x.shape[-1]))
                after["state"][kind], y = self._surrogates[kind].step(carried["state"][kind], rows)
                sizes = [self.column.cells[m].n for m in members]
                y = tf.split(tf.reshape(y, (*x.shape[:2], -1)), sizes, axis=1)
                shown |= dict(zip(members, y, strict=True))
            spikes = {}
            for name, y in shown.items():
                after["above"][name] = self._above(name, y, slope)
                spikes[name] = after["above"][name] * (1 - carried["above"][name])
            for name, past in carried["past"].items():
                after["past"][name] = tf.concat([spikes[name][None], past[:-1]], axis=0)
            dipoles = [tf.reduce_sum(self._output(name, shown[name], "dipole"), axis=1) for name in self.dipoles]
            values = spikes | {"dipole": tf.stack(dipoles, axis=1) if dipoles else tf.zeros((batch, 0))}
            return t + 1, after, {name: array.write(t, values[name]) for name, array in recorded.items()}

        start = (tf.constant(0), carried, recorded)
        _, carried, recorded = tf.while_loop(lambda t, *_: t < n_steps, step, start, maximum_iterations=n_steps)
        return carried, {name: array.stack() for name, array in recorded.items()}

    def _output(self, population: str, y: tf.Tensor, output: str) -> tf.Tensor:
        """One output of a population's cells, shape (batch, cells)."""
        return y[..., tuple(self._surrogates[self.column.cells[population].name].outputs).index(output)]

    def _above(self, population: str, y: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
        """1 where a population's cells are above their threshold, shape (batch, cells)."""
        threshold = self._thresholds[self.column.cells[population].name]
        return heaviside((self._output(population, y, threshold.output) - threshold.value) / threshold.scale, slope)

    def _arriving(self, past: Mapping, gains: Mapping, batch: int) -> dict[str, tf.Tensor]:
        """Weights (uS) of the spikes that arrive now, by population, shape (batch, cells, channels)."""
        parts: dict[str, dict[int, list]] = {name: {} for name in self.populations}
        for name, out in self._outgoing.items():
            arriving = _weighted(past[name], out) * gains[name]
            for (target, channel), part in zip(out.blocks, tf.split(arriving, out.sizes, axis=1), strict=True):
                parts[target].setdefault(channel, []).append(part)
        result = {}
        for name, channels in parts.items():
            silent = tf.zeros((batch, self.column.cells[name].n))
            columns = [tf.add_n(channels.get(c, [silent])) for c in range(len(self._channels(name)))]
            result[name] = tf.stack(columns, axis=-1)
        return result


def _weighted(past: tf.Tensor, out: Outgoing) -> tf.Tensor:
    """Delayed spikes of a population times the weights of its synapses (uS), shape (batch, columns of `out`)."""
    # row r holds the spikes of r + 1 steps ago
    delayed = tf.gather(past, out.steps - 1, axis=0)
    rows = tf.reshape(tf.transpose(delayed, (1, 0, 2)), (past.shape[1], -1))
    return rows @ tf.constant(out.weights)


def _tensors(drive: Mapping[str, np.ndarray]) -> dict[str, tf.Tensor]:
    return {name: tf.constant(x, tf.float32) for name, x in drive.items()}


@tf.custom_gradient
def heaviside(x: tf.Tensor, slope: tf.Tensor):
    """1 where x is not negative, else 0; backwards the derivative of the fast sigmoid, 1/(1 + slope·|x|)²."""

    def gradient(upstream):
        return upstream / tf.square(1.0 + slope * tf.abs(x)), None

    return tf.cast(x >= 0, x.dtype), gradient
