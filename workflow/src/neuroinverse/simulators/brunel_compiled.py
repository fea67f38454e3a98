"""The Brunel network as a compiled loop: what NEST's iaf_psc_delta does, step by step, on one core."""

import math
import time

import numpy as np

from neuroinverse.simulators.brunel_loop import BITS, REST, U, connect_lists, connect_rows, simulate
from neuroinverse.simulators.brunel_network import BIN_MS, DELAY_SPREAD, Activity, Network, mean_cv

# a row of target bits is filled up to 64 bytes
ALIGN = 32
# a mean that the Poisson table holds with room to spare; larger ones are drawn in parts
LARGEST_MEAN = 100.0


def alias_table(probabilities):
    """Prepares draws of a whole number from 32 random bits, without error.

    Probabilities are cut to whole multiples of 2^-32, which an alias table (Walker 1977; Vose 1991) of 256 columns of
    2^24 draws exactly. What was cut off, and all numbers from 255 on, is drawn by the inverse of its own cumulative
    distribution when the table gives 255, once in more than ten million draws.

    Args:
        probabilities: Of 0, 1, 2, …, float64; sum 1.

    Returns:
        The table, uint32, shape (256,): a threshold in the upper 24 bits, an alias in the lower 8; and the cumulative
        distribution of the rest, float64, shape of the probabilities.
    """
    p = np.zeros(max(len(probabilities), REST + 1))
    p[: len(probabilities)] = probabilities
    scaled = p / p.sum() * 2.0**32
    whole = np.floor(scaled)
    whole[REST:] = 0
    rest = np.cumsum(scaled - whole)
    mass = [int(x) for x in whole[:REST]]
    mass.append(2**32 - sum(mass))
    column = 2**24
    table = np.arange(REST + 1, dtype=np.uint32)
    small = [i for i, m in enumerate(mass) if m < column]
    large = [i for i, m in enumerate(mass) if m >= column]
    while small and large:
        i, j = small.pop(), large.pop()
        table[i] = (mass[i] << 8) | j
        mass[j] -= column - mass[i]
        (small if mass[j] < column else large).append(j)
    return table, rest / rest[-1] if rest[-1] > 0 else np.ones(len(rest))


def poisson_table(mean: float):
    """The alias table of a Poisson distribution with a mean of at most `LARGEST_MEAN`."""
    k = np.arange(2 * REST)
    log_factorial = np.cumsum(np.log(np.maximum(k, 1)))
    return alias_table(np.exp(k * math.log(mean) - mean - log_factorial) if mean > 0 else np.eye(1, 2 * REST)[0])


def delay_probabilities(network: Network):
    """Distribution of a delay in steps: normal, rounded, at least one step, ended `DELAY_SPREAD` deviations up."""
    mean = network.delay / network.dt_ms
    deviation = network.distributed["delay"] * mean
    last = network.steps(network.delay * (1 + DELAY_SPREAD * network.distributed["delay"]))
    edges = np.arange(1, last) + 0.5
    below = np.array([0.0, *(0.5 * math.erfc((mean - e) / deviation / math.sqrt(2)) for e in edges), 1.0])
    return np.concatenate([[0.0], np.diff(below)])


def words_per_row(network: Network) -> int:
    """16-bit words of a row of target bits."""
    return -(-network.n_neurons // (BITS * ALIGN)) * ALIGN


def run(network: Network, eta: float, g: float, J: float, seed: int) -> Activity:
    """Simulates one network with connections, initial state and input of its own.

    Args:
        network: Its constants.
        eta: External rate over the rate that alone brings the mean potential to threshold.
        g: Inhibitory over excitatory weight.
        J: Excitatory weight (mV).
        seed: Seed, below 2^64.

    Returns:
        What it did. The same seed gives the same bits.

    Raises:
        ValueError: If a parameter is out of the range where the model means something.
    """
    mean = network.external_rate(eta, J) * network.dt_ms
    if not 0 <= g < math.inf:
        raise ValueError(f"g is {g:g}; expected g >= 0")
    started = time.process_time()
    sequence = np.random.SeedSequence(int(seed))
    to_connect, to_drive, to_start = (int(x) for x in sequence.generate_state(3, np.uint64))
    n_e, n_i = network.n_excitatory, network.n_inhibitory
    by_rows = "delay" not in network.distributed
    nothing, index = np.zeros(1, np.uint8), np.empty(0, np.uint16 if n_e + n_i <= 2**16 else np.uint32)
    if by_rows:
        # made by numpy, which asks the system for large pages
        rows = np.zeros((network.n_neurons + 1, words_per_row(network)), np.uint16)
        start, targets = connect_rows(U(to_connect), n_e, n_i, *network.in_degrees, rows, index)
        delays, n_delay = nothing, network.steps(network.delay)
    else:
        probabilities = delay_probabilities(network)
        rows, n_delay = np.zeros((1, 4), np.uint16), len(probabilities) - 1
        start, targets, delays = connect_lists(
            U(to_connect), n_e, n_i, *network.in_degrees, *alias_table(probabilities), index
        )
    built = time.process_time()

    initial = network.initial_state(np.random.default_rng(to_start))
    padded = words_per_row(network) * BITS

    def filled(values, dtype):
        array = np.zeros(padded, dtype)
        array[: len(values)] = values
        return array

    each = bool({"tau_m", "t_ref", "V_th"} & set(network.distributed))
    constants = [
        (np.exp(-network.dt_ms / initial.get("tau_m", np.array([network.tau_m]))), np.float32),
        (initial.get("V_th", np.array([network.V_th])), np.float32),
        (np.rint(initial.get("t_ref", np.array([network.t_ref])) / network.dt_ms), np.int16),
    ]
    if each:
        constants = [
            (np.broadcast_to(values, network.n_neurons) if len(values) == 1 else values, dtype)
            for values, dtype in constants
        ]
        decay, v_th, n_ref = (filled(values, dtype) for values, dtype in constants)
    else:
        decay, v_th, n_ref = (values.astype(dtype) for values, dtype in constants)
    parts = max(1, math.ceil(mean / LARGEST_MEAN))
    table, rest = poisson_table(mean / parts)
    raster_e, raster_i = network.raster_neurons
    bins = network.raster_bins if network.raster else slice(0, 0)
    counts, intervals, total, squares, raster = simulate(
        n_e, n_i, network.n_steps, n_delay, U(to_drive), filled(initial["V_m"], np.float32), decay, v_th,
        np.float32(network.V_reset), n_ref, each, np.float32(J), np.float32(g * J), table, rest, parts,
        network.steps(network.delay), rows.view(np.uint64), start, targets, delays, by_rows,
        (network.window.start, network.window.stop), network.steps(BIN_MS), raster_e, raster_i, (bins.start, bins.stop),
    )  # fmt: skip
    return Activity(
        counts=counts,
        isi_cv=mean_cv(intervals, total, squares),
        raster=raster if network.raster else None,
        build_s=built - started,
        simulate_s=time.process_time() - built,
    )
