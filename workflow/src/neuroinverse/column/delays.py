"""The synapses of a column on the grid: which are kept, their delays in whole steps, and one matrix per source."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from neuroinverse.errors import ConfigError, require_known


@dataclass(frozen=True)
class Outgoing:
    """All synapses that leave one population.

    Args:
        steps: The different delays (steps of the grid), ascending, shape (delays,).
        weights: Weights (uS), float32, shape (delays · cells, columns): delays outermost; one column for each target
            cell of each projection.
        projection: Index of the projection that a column belongs to, shape (columns,).
        blocks: Target population and index of its channel, for each projection.
        sizes: Columns of each projection.
    """

    steps: np.ndarray
    weights: np.ndarray
    projection: np.ndarray
    blocks: tuple[tuple[str, int], ...]
    sizes: tuple[int, ...]

    @property
    def length(self) -> int:
        """Steps for which spikes are to be kept."""
        return int(self.steps[-1])


def outgoing(
    column,
    channels: Callable,
    dt_ms: float,
    delay_bins: int,
    prune: float,
    max_delay_ms: float,
) -> dict[str, Outgoing]:
    """The synapses of a column by source; populations without any are left out.

    Args:
        column: The column.
        channels: Gives the input channels of a population in the order in which they are numbered.
        dt_ms: Step of the grid (ms).
        delay_bins: See `merge_delays`.
        prune: Synapses weaker than this fraction of their projection's strongest are left out.
        max_delay_ms: Longest delay that is accepted.

    Raises:
        ConfigError: If a projection names an unknown population or channel, or has a delay that is too long.
    """
    sources: dict[str, list] = {}
    for index, p in enumerate(column.projections):
        where = f"projection {p.name}"
        require_known(where, (p.source, p.target), column.cells)
        require_known(f"{where}: channel of {p.target}", (p.channel,), channels(p.target))
        weights = np.where(p.weights >= prune * np.max(p.weights, initial=0), p.weights, 0)
        longest = np.max(p.delays_ms, where=weights > 0, initial=0)
        if longest > max_delay_ms:
            raise ConfigError(
                f"{where}: has a delay of {longest:g} ms and the network holds {max_delay_ms:g}; raise max_delay_ms, "
                f"or prune (now {prune:g}) where only weak synapses are so late"
            )
        # a spike cannot arrive in the sample in which it is seen
        steps = np.maximum(np.rint(p.delays_ms / dt_ms).astype(int), 1)
        steps[weights == 0] = 0
        sources.setdefault(p.source, []).append((index, p, weights, merge_delays(steps, weights, delay_bins)))
    return {source: _assemble(parts, channels) for source, parts in sources.items()}


def merge_delays(steps: np.ndarray, weights: np.ndarray, bins: int) -> np.ndarray:
    """Delays of which at most `bins` are different.

    Neighbouring delays are merged into their mean, weighted by the synapses' weights, those first whose merging adds
    least to the weighted sum of squared errors (Ward 1963, J Am Stat Assoc 58:236).

    Args:
        steps: Delays in steps, shape (n_source, n_target).
        weights: Weights of the synapses, same shape; 0 where there is none.
        bins: Largest number of different delays.

    Returns:
        Delays in steps, same shape; unchanged where there are no more than `bins`.
    """
    values = np.unique(steps[weights > 0])
    mass = np.array([weights[steps == v].sum() for v in values])
    groups = [np.array([i]) for i in range(len(values))]
    while len(groups) > bins:
        m = np.array([mass[g].sum() for g in groups])
        mean = np.array([np.average(values[g], weights=mass[g]) for g in groups])
        k = int(np.argmin(m[1:] * m[:-1] / (m[1:] + m[:-1]) * np.diff(mean) ** 2))
        groups[k : k + 2] = [np.concatenate(groups[k : k + 2])]
    merged = steps.copy()
    for g in groups:
        merged[np.isin(steps, values[g])] = round(np.average(values[g], weights=mass[g]))
    return merged


def _assemble(parts: list, channels: Callable) -> Outgoing:
    """One matrix of the projections of a source, each as (index, projection, weights, steps)."""
    delays = np.unique(np.concatenate([steps[weights > 0] for _, _, weights, steps in parts]))
    # a projection without synapses still has its columns
    delays = delays if len(delays) else np.array([1])
    matrix = [np.concatenate([np.where(steps == d, weights, 0) for d in delays]) for _, _, weights, steps in parts]
    sizes = tuple(block.shape[1] for block in matrix)
    return Outgoing(
        delays.astype(np.int32),
        np.concatenate(matrix, axis=1).astype(np.float32),
        np.repeat([index for index, *_ in parts], sizes).astype(np.int32),
        tuple((p.target, channels(p.target).index(p.channel)) for _, p, _, _ in parts),
        sizes,
    )
