"""The compiled functions of the Brunel network; `brunel_compiled` calls them.

All of them stand in this one file: a function kept on disk by Numba is compiled anew when its own file changes, and not
when that of a function it calls does.

What makes them fast:

- Neuron b·W + w is bit b of 16-bit word w: the targets of a neuron are one row of W words, 1.6 kB in place of 1250
  indices. Arrivals of a step are the sums over the rows of all neurons that spiked, taken for hundreds of neurons at a
  time by carry-save adders on bit planes (positional population count). A second and third synapse between the same two
  neurons stands in a short list.
- Arrivals from E, from I and from outside are whole numbers, so a weight is one multiplication per neuron and step.
- External input is one Poisson draw per neuron and step, from an alias table, without error.
- Loops are written so that LLVM makes vector code of them: few arrays each, no branches, numbers of one width.

With distributed delays, targets and delays stand in lists and arrivals in a ring of counters.

Random numbers are xoroshiro128++ (Blackman and Vigna, ACM Trans Math Softw 2021), a generator per lane.
"""

import numpy as np

from neuroinverse.simulators.compiled import jit

U = np.uint64
ONE_PER_LANE = U(0x0001000100010001)
# bits of a row's word
BITS = 16
# planes of a sum: 2^18 neurons may spike in one step
PLANES = 18
# index of the alias table that says: draw from the rest
REST = 255


# --- random numbers ----------------------------------------------------------------------------------------------


@jit
def generators(seed, n):
    """States of n generators, uint64, shape (2, n), by splitmix64 from the seed."""
    state = np.empty((2, n), np.uint64)
    x = U(seed)
    for i in range(n):
        for j in range(2):
            x += U(0x9E3779B97F4A7C15)
            z = x
            z = (z ^ (z >> U(30))) * U(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> U(27))) * U(0x94D049BB133111EB)
            state[j, i] = z ^ (z >> U(31))
    return state


@jit
def draw(state, out):
    """One 64-bit number of every generator."""
    for i in range(out.size):
        a, b = state[0, i], state[1, i]
        s = a + b
        out[i] = ((s << U(17)) | (s >> U(47))) + a
        b ^= a
        state[0, i] = ((a << U(49)) | (a >> U(15))) ^ b ^ (b << U(21))
        state[1, i] = (b << U(28)) | (b >> U(36))


@jit
def _next(state):
    """One 64-bit number of the first generator."""
    a, b = state[0, 0], state[1, 0]
    s = a + b
    b ^= a
    state[0, 0] = ((a << U(49)) | (a >> U(15))) ^ b ^ (b << U(21))
    state[1, 0] = (b << U(28)) | (b >> U(36))
    return ((s << U(17)) | (s >> U(47))) + a


@jit
def _look_up(bits, table, entries, out):
    """One draw per 32 bits; whether any is still to be made from the rest."""
    # apart from the comparisons: these loads are the one thing here that does not become vector code
    for i in range(out.size):
        entries[i] = table[bits[i] & np.uint32(255)]
    rest = np.uint32(0)
    for i in range(out.size):
        r, entry = bits[i], entries[i]
        k = np.uint32(
            (r if np.uint32(r >> np.uint32(8)) < np.uint32(entry >> np.uint32(8)) else entry) & np.uint32(255)
        )
        out[i] = np.uint16(k)
        rest |= np.uint32(np.uint32(k + np.uint32(1)) >> np.uint32(8))
    return rest != 0


@jit
def _from_rest(state, rest):
    u = (_next(state) >> U(11)) * 2.0**-53
    return np.searchsorted(rest, u, side="right")


@jit
def poisson(state, spare, words, entries, table, rest, out):
    """Draws for one block of neurons.

    Args:
        state: Generators, shape (2, half a block).
        spare: One generator, for draws from the rest.
        words: Room for random bits, uint64, half a block.
        entries: Room for what the table says, uint32, a block.
        table: As of `alias_table`.
        rest: Likewise.
        out: The draws, uint16, at most a block.
    """
    draw(state, words)
    if _look_up(words.view(np.uint32), table, entries, out):
        for i in range(out.size):
            if out[i] == 255:
                out[i] = np.uint16(_from_rest(spare, rest))


# --- connections -------------------------------------------------------------------------------------------------


@jit
def _below(state, n):
    """Two whole numbers from 0 to n − 1; uneven by less than n / 2^32."""
    r = _next(state)
    return ((r >> U(32)) * U(n)) >> U(32), ((r & U(0xFFFFFFFF)) * U(n)) >> U(32)


@jit
def connect_rows(seed, n_e, n_i, c_e, c_i, rows, index):
    """Draws the sources of every neuron.

    Args:
        seed: Seed.
        n_e: E neurons.
        n_i: I neurons.
        c_e: Synapses from E per neuron.
        c_i: Synapses from I per neuron.
        rows: Rows of target bits, uint16, shape (neurons + 1, words of a row), zeros; filled here but for the last.
        index: An array of the type that holds a neuron's index.

    Returns:
        Second and further synapses of a source: where they begin, int64, shape (neurons + 2,), and their targets, of
        the type of `index`.
    """
    n = n_e + n_i
    width = rows.shape[1]
    state = generators(seed, 1)
    # untouched pages of it cost nothing
    extra = np.empty(n * (c_e + c_i), np.uint64)
    n_extra = 0
    start = np.zeros(n + 2, np.int64)
    # word by word: the part of all rows that is being written stays in the cache
    for w in range(width):
        for b in range(BITS):
            target = b * width + w
            if target >= n:
                continue
            bit = np.uint16(1 << b)
            for population in range(2):
                first, size, degree = (0, n_e, c_e) if population == 0 else (n_e, n_i, c_i)
                for pair in range((degree + 1) // 2):
                    one, two = _below(state, size)
                    for which in range(2 if 2 * pair + 1 < degree else 1):
                        source = first + np.int64(one if which == 0 else two)
                        word = rows[source, w]
                        if word & bit:
                            extra[n_extra] = (U(source) << U(32)) | U(target)
                            n_extra += 1
                            start[source + 1] += 1
                        else:
                            rows[source, w] = word | bit
    start = np.cumsum(start)
    place = start.copy()
    targets = np.empty(n_extra, index.dtype)
    for k in range(n_extra):
        source = np.int64(extra[k] >> U(32))
        targets[place[source]] = extra[k] & U(0xFFFFFFFF)
        place[source] += 1
    return start, targets


@jit
def connect_lists(seed, n_e, n_i, c_e, c_i, table, rest, index):
    """Draws the sources of every neuron and the delays of its synapses.

    Args:
        seed: Seed.
        n_e: E neurons.
        n_i: I neurons.
        c_e: Synapses from E per neuron.
        c_i: Synapses from I per neuron.
        table: Of the distribution of delays (steps), as of `alias_table`.
        rest: Likewise.
        index: An array of the type that holds a neuron's index.

    Returns:
        Where a source's synapses begin, int64, shape (neurons + 1,); their targets, of the type of `index`, and delays
        (steps), uint8.
    """
    n = n_e + n_i
    start = np.zeros(n + 1, np.int64)
    place = start
    targets = np.empty(n * (c_e + c_i), index.dtype)
    delays = np.empty(n * (c_e + c_i), np.uint8)
    bits, entry, out = np.empty(1, np.uint32), np.empty(1, np.uint32), np.empty(1, np.uint16)
    # the same draws twice: to count, then to place
    for placing in range(2):
        state, other = generators(seed, 1), generators(~U(seed), 1)
        for target in range(n):
            for population in range(2):
                first, size, degree = (0, n_e, c_e) if population == 0 else (n_e, n_i, c_i)
                for pair in range((degree + 1) // 2):
                    one, two = _below(state, size)
                    for which in range(2 if 2 * pair + 1 < degree else 1):
                        source = first + np.int64(one if which == 0 else two)
                        if placing == 0:
                            start[source + 1] += 1
                            continue
                        bits[0] = np.uint32(_next(other) >> U(32))
                        if _look_up(bits, table, entry, out):
                            out[0] = np.uint16(_from_rest(other, rest))
                        targets[place[source]] = target
                        delays[place[source]] = out[0]
                        place[source] += 1
        if placing == 0:
            start = np.cumsum(start)
            place = start.copy()
    return start, targets, delays


# --- arrivals ----------------------------------------------------------------------------------------------------


@jit
def _add_rows(rows, i, j, planes, p, carry):
    """planes[p] + rows[i] + rows[j], bit by bit; carries into planes[carry]."""
    for w in range(rows.shape[1]):
        x, y, z = planes[p, w], rows[i, w], rows[j, w]
        u = x ^ y
        planes[p, w] = u ^ z
        planes[carry, w] = (x & y) | (u & z)


@jit
def _add_planes(planes, i, j, p, carry):
    """planes[p] + planes[i] + planes[j], bit by bit; carries into planes[carry]."""
    for w in range(planes.shape[1]):
        x, y, z = planes[p, w], planes[i, w], planes[j, w]
        u = x ^ y
        planes[p, w] = u ^ z
        planes[carry, w] = (x & y) | (u & z)


@jit
def _ripple(planes, p, carry):
    """planes[p] + planes[carry], bit by bit; carries stay in planes[carry]."""
    for w in range(planes.shape[1]):
        x, y = planes[p, w], planes[carry, w]
        planes[p, w] = x ^ y
        planes[carry, w] = x & y


@jit
def _spread(planes, p, b, part):
    """Adds bit b of every 16-bit word of planes p, p + 1 and p + 2, times 2^p and so on, to the counts in part."""
    by, one, two = U(p), U(1), U(2)
    for w in range(part.size):
        x = (planes[p, w] >> b) & ONE_PER_LANE
        y = (planes[p + 1, w] >> b) & ONE_PER_LANE
        z = (planes[p + 2, w] >> b) & ONE_PER_LANE
        part[w] += (x + (y << one) + (z << two)) << by


@jit
def count_rows(spikes, n, rows, start, extra, planes, counts):
    """Arrivals from neurons that spiked.

    Args:
        spikes: Their indices, int32, the first n of it; overwritten beyond.
        n: How many.
        rows: Rows of target bits as of `connect_rows`, as uint64.
        start: As of `connect_rows`.
        extra: Likewise.
        planes: Room, uint64, shape (PLANES + 5, words of a row).
        counts: The arrivals, uint16, shape (16 · words of a row in 16 bits,).
    """
    counts[:] = 0
    if n == 0:
        return
    empty = rows.shape[0] - 1
    for k in range(n, n + (-n) % 8):
        spikes[k] = empty
    used = 3
    while (1 << used) <= n:
        used += 3
    planes[:used] = 0
    a, b, c, d = PLANES, PLANES + 1, PLANES + 2, PLANES + 3
    for k in range(0, n, 8):
        _add_rows(rows, spikes[k], spikes[k + 1], planes, 0, a)
        _add_rows(rows, spikes[k + 2], spikes[k + 3], planes, 0, b)
        _add_planes(planes, a, b, 1, c)
        _add_rows(rows, spikes[k + 4], spikes[k + 5], planes, 0, a)
        _add_rows(rows, spikes[k + 6], spikes[k + 7], planes, 0, b)
        _add_planes(planes, a, b, 1, d)
        _add_planes(planes, c, d, 2, a)
        for p in range(3, used):
            _ripple(planes, p, a)
        for i in range(k, k + 8):
            for j in range(start[spikes[i]], start[spikes[i] + 1]):
                counts[extra[j]] += np.uint16(1)
    part, n_words = counts.view(np.uint64), rows.shape[1]
    for bit in range(BITS):
        of_bit = part[bit * n_words : (bit + 1) * n_words]
        for p in range(0, used, 3):
            _spread(planes, p, U(bit), of_bit)


@jit
def scatter(spikes, n, start, targets, delays, step, ring):
    """Puts the arrivals that n spikes of this step cause into the ring of counters, shape (slots, neurons)."""
    slots = ring.shape[0]
    for k in range(n):
        for j in range(start[spikes[k]], start[spikes[k] + 1]):
            slot = step + delays[j]
            if slot >= slots:
                slot -= slots
            ring[slot, targets[j]] += np.uint16(1)


# --- neurons -----------------------------------------------------------------------------------------------------


@jit
def _input(e, i, x, J, gJ, out):
    """Sum of the jumps of a step (mV)."""
    for k in range(out.size):
        out[k] = J * np.float32(np.uint16(e[k] + x[k])) - gJ * np.float32(i[k])


@jit
def integrate(v, wait, jump, spiked, decay, v_th, v_reset, n_ref):
    """One step of neurons with equal constants, as iaf_psc_delta takes it.

    A neuron that waits neither decays nor takes input, which is lost; the threshold is tested at the end of the step.

    Args:
        v: Membrane potential (mV), float32.
        wait: Steps left of the refractory period, int16.
        jump: Input of the step (mV), float32.
        spiked: 1 where a neuron spikes, uint8.
        decay: exp(−dt / tau_m), float32.
        v_th: Threshold (mV).
        v_reset: Potential after a spike (mV).
        n_ref: Refractory period (steps), int16.
    """
    for k in range(v.size):
        free = wait[k] == 0
        x = decay * v[k] + jump[k] if free else v[k]
        fires = x >= v_th
        v[k] = v_reset if fires else x
        wait[k] = n_ref if fires else (np.int16(0) if free else np.int16(wait[k] - np.int16(1)))
        spiked[k] = fires


@jit
def integrate_each(v, wait, jump, spiked, decay, v_th, v_reset, n_ref):
    """As `integrate`; `decay`, `v_th` and `n_ref` are arrays."""
    for k in range(v.size):
        free = wait[k] == 0
        x = decay[k] * v[k] + jump[k] if free else v[k]
        fires = x >= v_th[k]
        v[k] = v_reset if fires else x
        wait[k] = n_ref[k] if fires else (np.int16(0) if free else np.int16(wait[k] - np.int16(1)))
        spiked[k] = fires


@jit
def _collect(spiked, begin, n, spikes, n_spikes):
    """Appends the indices of the neurons of a block that spiked."""
    eight = spiked.view(np.uint64)
    for k in range(eight.size):
        if eight[k] != 0:
            for j in range(8 * k, min(8 * k + 8, n)):
                if spiked[j]:
                    spikes[n_spikes] = begin + j
                    n_spikes += 1
    return n_spikes


@jit
def simulate(
    n_e, n_i, n_steps, n_delay, seed, v, decay, v_th, v_reset, n_ref, each, J, gJ, table, rest, parts, first,
    rows, start, targets, delays, by_rows, window, bin_steps, raster_e, raster_i, raster_bins,
):  # fmt: skip
    """Runs a network.

    Args:
        n_e: E neurons.
        n_i: I neurons.
        n_steps: Steps.
        n_delay: The delay (steps), or with distributed delays the longest.
        seed: Seed of the external input.
        v: Initial membrane potentials (mV), float32, filled up to whole blocks.
        decay: exp(−dt / tau_m), float32, shape (1,) or, where `each`, that of v.
        v_th: Threshold (mV), likewise.
        v_reset: Potential after a spike (mV), float32.
        n_ref: Refractory period (steps), int16, as `decay`.
        each: Whether neurons differ.
        J: Weight of a synapse from E and from outside (mV), float32.
        gJ: Size of the weight of a synapse from I (mV), float32.
        table: Of the external input, as of `poisson_table`.
        rest: Likewise.
        parts: The external input is the sum of so many draws.
        first: Step at which the external input, which is delayed too, begins.
        rows: As of `connect_rows`, as uint64; without meaning for lists.
        start: As of `connect_rows` or `connect_lists`.
        targets: Likewise.
        delays: As of `connect_lists`; without meaning for rows.
        by_rows: Whether connections are rows.
        window: First step of the recorded window and the one after it.
        bin_steps: Steps per bin.
        raster_e: E neurons of the raster.
        raster_i: I neurons of the raster.
        raster_bins: First bin of the raster and the one after it.

    Returns:
        Spikes per bin, int32, shape (bins, 2); number of interspike intervals per E neuron, int64, the sum of them and
        of their squares (steps), int64; the raster, uint8, shape (bins, neurons).
    """
    n = n_e + n_i
    width = v.size // BITS
    state, spare = generators(seed, width // 2), generators(~U(seed), 1)
    words, entries = np.empty(width // 2, np.uint64), np.empty(width, np.uint32)
    external, more = np.zeros(width, np.uint16), np.zeros(width, np.uint16)
    jump, spiked = np.empty(width, np.float32), np.empty(width, np.uint8)
    wait = np.zeros(v.size, np.int16)
    planes = np.zeros((PLANES + 5, width // 4), np.uint64)
    # spikes of the last steps, or arrivals of the next
    slots = n_delay if by_rows else n_delay + 1
    late_e = np.empty((slots if by_rows else 1, n_e + 8), np.int32)
    late_i = np.empty((slots if by_rows else 1, n_i + 8), np.int32)
    n_late = np.zeros((slots, 2), np.int64)
    ring_e = np.zeros((1 if by_rows else slots, v.size), np.uint16)
    ring_i = np.zeros((1 if by_rows else slots, v.size), np.uint16)
    spikes = np.empty(n, np.int32)
    counts = np.zeros((-(-n_steps // bin_steps), 2), np.int32)
    raster = np.zeros((raster_bins[1] - raster_bins[0], raster_e + raster_i), np.uint8)
    last = np.full(n_e, -1, np.int64)
    intervals, total, squares = np.zeros(n_e, np.int64), np.zeros(n_e, np.int64), np.zeros(n_e, np.int64)
    slot = 0
    for step in range(n_steps):
        if by_rows:
            count_rows(late_e[slot], n_late[slot, 0], rows, start, targets, planes, ring_e[0])
            count_rows(late_i[slot], n_late[slot, 1], rows, start, targets, planes, ring_i[0])
        from_e, from_i = ring_e[0 if by_rows else slot], ring_i[0 if by_rows else slot]
        n_spikes = 0
        for block in range(BITS):
            begin = block * width
            size = min(width, n - begin)
            if size <= 0:
                break
            end = begin + size
            if step >= first:
                poisson(state, spare, words, entries, table, rest, external[:size])
                for _ in range(parts - 1):
                    poisson(state, spare, words, entries, table, rest, more[:size])
                    external += more
            _input(from_e[begin:end], from_i[begin:end], external, J, gJ, jump[:size])
            if each:
                integrate_each(
                    v[begin:end], wait[begin:end], jump, spiked, decay[begin:end], v_th[begin:end], v_reset,
                    n_ref[begin:end],
                )  # fmt: skip
            else:
                integrate(v[begin:end], wait[begin:end], jump, spiked, decay[0], v_th[0], v_reset, n_ref[0])
            n_spikes = _collect(spiked, begin, size, spikes, n_spikes)
        split = np.searchsorted(spikes[:n_spikes], n_e)
        if by_rows:
            late_e[slot, :split] = spikes[:split]
            late_i[slot, : n_spikes - split] = spikes[split:n_spikes]
            n_late[slot, 0], n_late[slot, 1] = split, n_spikes - split
        else:
            from_e[:] = 0
            from_i[:] = 0
            scatter(spikes, split, start, targets, delays, slot, ring_e)
            scatter(spikes[split:], n_spikes - split, start, targets, delays, slot, ring_i)
        slot += 1
        if slot == slots:
            slot = 0
        now = step // bin_steps
        counts[now, 0] += split
        counts[now, 1] += n_spikes - split
        if window[0] <= step < window[1]:
            for k in range(split):
                i = spikes[k]
                if last[i] >= 0:
                    interval = step - last[i]
                    intervals[i] += 1
                    total[i] += interval
                    squares[i] += interval * interval
                last[i] = step
        if raster_bins[0] <= now < raster_bins[1]:
            for k in range(n_spikes):
                i = spikes[k]
                if i < raster_e:
                    raster[now - raster_bins[0], i] += np.uint8(1)
                elif n_e <= i < n_e + raster_i:
                    raster[now - raster_bins[0], raster_e + i - n_e] += np.uint8(1)
    return counts, intervals, total, squares, raster
