"""The compiled engine of cells with many compartments: NEURON's fixed step, many simulations side by side.

Every step is backward Euler with currents linear in the potential and states one step behind, as NEURON takes it: the
gates as the MOD files of the package hold them in tables, calcium and the channel that it opens in closed form. All is
double precision: the numbers are NEURON's to rounding.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from neuroinverse.errors import ConfigError, require_known
from neuroinverse.simulators import cable_loop as loop
from neuroinverse.simulators.cable_table import CURE, Compartments

FARADAY = 96485.33212331001
# tables of the MOD files: from, to (mV), bins
TABLE = (-300.0, 200.0, 5000)
# mainen_cad: time constant (ms) and rest (mM); mainen_kca: closing (1/ms)
TAU, REST, CLOSING = 200.0, 1e-4, 0.02
# of channels: their bit, where their conductance and the reversal potential stand
CHANNELS = {
    "mainen_na": (loop.NA, loop.G_NA, loop.E_NA),
    "mainen_kv": (loop.KV, loop.G_KV, loop.E_KV),
    "mainen_km": (loop.KM, loop.G_KM, loop.E_KM),
    "mainen_ca": (loop.CA, loop.G_CA, loop.E_CA),
    "mainen_kca": (loop.KCA, loop.G_KCA, loop.E_KCA),
}
# what a simulation may set
VARIED = (
    (None, "cm"),
    ("pas", "g"),
    ("pas", "e"),
    ("mainen_kca", "ralpha"),
    *((mechanism, "gbar") for mechanism in CHANNELS),
)


def run(
    cell: Compartments,
    settings: Sequence[Sequence],
    stimulus: np.ndarray,
    site: str,
    record: Sequence[str],
    dt_ms: float,
    v_init: float,
    celsius: float,
    window: slice,
    dtype=np.float32,
) -> np.ndarray:
    """Simulates one cell with many sets of parameters.

    A trace is the same to the bit wherever it stands and whatever stands beside it.

    Args:
        cell: The cell.
        settings: What each simulation sets: objects with `region`, `mechanism`, `name` and `value`; of two for the
            same number the last counts.
        stimulus: Current (nA), shape (n_steps,): sample i at time i·dt, linear between samples, then constant.
        site: Where the current is injected.
        record: Where the potential is recorded.
        dt_ms: Time step (ms).
        v_init: Potential at the start (mV).
        celsius: Temperature (degC).
        window: Samples that are kept; sample 0 is the initial state.
        dtype: Of the result; the simulation itself is in double precision.

    Returns:
        Potential (mV), shape (simulations, window, sites).

    Raises:
        ConfigError: If a setting or a site is not one that this engine knows.
    """
    require_known("site", [site, *record], cell.sites)
    current = _middles(np.asarray(stimulus, float), window.stop)
    factor = 2.3 ** ((celsius - 23) / 10)
    sodium, others = gate_tables(dt_ms, factor)
    where = np.maximum(cell.parent, 0), _mechanisms(cell), _node_constants(cell), _cell_constants(dt_ms, factor)
    recorded = np.array([cell.sites[name] for name in record])
    voltage = np.empty((len(settings), window.stop - window.start, len(record)), dtype)
    trace = np.empty((*voltage.shape[1:], loop.LANES))
    for begin in range(0, len(settings), loop.LANES):
        lanes = settings[begin : begin + loop.LANES]
        state = _start(cell, lanes, dt_ms, v_init, factor, sodium, others)
        loop.simulate(state, *where, sodium, others, current, cell.sites[site], recorded, window.start, trace)
        voltage[begin : begin + len(lanes)] = np.moveaxis(trace, 2, 0)[: len(lanes)]
    return voltage


def _middles(stimulus: np.ndarray, n: int) -> np.ndarray:
    """What n steps see of a stimulus: the mean of its values at their two ends."""
    ends = stimulus[np.minimum(np.arange(n + 1), len(stimulus) - 1)]
    return (ends[:-1] + ends[1:]) / 2


def gate_tables(dt_ms: float, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Tables of the gates, as the MOD files hold them.

    Args:
        dt_ms: Time step (ms).
        factor: Of the rates at the temperature.

    Returns:
        Of m and h of mainen_na; of n of mainen_kv, n of mainen_km, and m and h of mainen_ca: for every gate its
        steady state and the share of the way there that a step covers, then the differences of all from the next row,
        shapes (5001, 8) and (5001, 16).
    """
    low, high, bins = TABLE
    # NEURON adds up the voltages of a table one by one
    x = np.add.accumulate(np.r_[low, np.full(bins, (high - low) / bins)])

    def gate(a, b, steady=None):
        return [a / (a + b) if steady is None else steady, -np.expm1(-dt_ms * factor * (a + b))]

    def table(*gates):
        columns = np.stack([column for gate in gates for column in gate], axis=1)
        return np.concatenate([columns, np.diff(columns, axis=0, append=columns[-1:])], axis=1)

    na_m = gate(0.182 * 9 * _linoid((x + 35) / 9), 0.124 * 9 * _linoid(-(x + 35) / 9))
    na_h = gate(
        0.024 * 5 * _linoid((x + 50) / 5), 0.0091 * 5 * _linoid(-(x + 75) / 5), 1 / (1 + np.exp((x + 65) / 6.2))
    )
    kv = gate(0.02 * 9 * _linoid((x - 25) / 9), 0.002 * 9 * _linoid(-(x - 25) / 9))
    km = gate(0.001 * 9 * _linoid((x + 30) / 9), 0.001 * 9 * _linoid(-(x + 30) / 9))
    ca_m = gate(0.055 * 3.8 * _linoid((x + 27) / 3.8), 0.94 * np.exp((-75 - x) / 17))
    ca_h = gate(4.57e-4 * np.exp((-13 - x) / 50), 0.0065 / (np.exp((-x - 15) / 28) + 1))
    return table(na_m, na_h), table(kv, km, ca_m, ca_h)


def _linoid(z):
    """z / (1 − exp(−z)), by its series near zero."""
    near = np.abs(z) < 1e-6
    return np.where(near, 1 + z / 2, z / -np.expm1(-np.where(near, 1.0, z)))


def _look_up(table: np.ndarray, v) -> np.ndarray:
    """Values of all columns at potentials (mV), shape (columns, potentials)."""
    low, high, bins = TABLE
    place = np.clip((v - low) * (bins / (high - low)), 0, bins)
    row = place.astype(int)
    n = table.shape[1] // 2
    return (table[row, :n] + (place - row)[:, None] * table[row, n:]).T


def _mechanisms(cell: Compartments) -> np.ndarray:
    bits = {name: bit for name, (bit, *_) in CHANNELS.items()} | {"mainen_cad": loop.CAD}
    return np.sum([np.where(cell.has[name], bit, 0) for name, bit in bits.items()], axis=0, dtype=np.int64)


def _node_constants(cell: Compartments) -> np.ndarray:
    nodes = np.zeros((len(cell), loop.NODE_CONSTANTS))
    nodes[:, loop.AXIAL] = cell.conductance
    nodes[:, loop.X] = -TABLE[0]
    nodes[:, loop.X_NA] = cell.values["mainen_na", "shift"] - TABLE[0]
    for name, (*_, column) in CHANNELS.items():
        nodes[:, column] = cell.reversal[name]
    pool = cell.has["mainen_cad"]
    # mA/cm2 per um is 1e4 mM/ms times the charge of a mole; nA per um2 is 100 mA/cm2
    depth = cell.values["mainen_cad", "depth"][pool]
    nodes[pool, loop.UPTAKE] = 1e4 / (2 * FARADAY * depth) * 100 / cell.area[pool]
    return nodes


def _cell_constants(dt_ms: float, factor: float) -> np.ndarray:
    low, high, bins = TABLE
    constants = np.empty(loop.CELL_CONSTANTS)
    constants[loop.PER_MV], constants[loop.LAST_ROW] = bins / (high - low), bins
    constants[loop.CLOSING] = dt_ms * factor * CLOSING
    constants[loop.LOST] = -np.expm1(-dt_ms / TAU)
    constants[loop.TAU], constants[loop.REST] = TAU, REST
    # beyond an argument of 40 an exponential is below rounding
    constants[loop.MOST], constants[loop.SCALE] = 40.0, 1 / 64
    constants[loop.SERIES + 1 :] = 1 / np.arange(1, loop.TERMS + 1)
    return constants


def _values(cell: Compartments, lanes: Sequence[Sequence]) -> Mapping[tuple[str | None, str], np.ndarray]:
    """What holds in every lane, by mechanism and name, shape (nodes, LANES); in lanes that are left, as built."""
    built = {key: cell.cm if key[0] is None else cell.values[key] for key in VARIED}
    values = {key: np.repeat(column[:, None], loop.LANES, axis=1) for key, column in built.items()}
    for lane, simulation in enumerate(lanes):
        for setting in simulation:
            nodes, key = _nodes(cell, setting), (setting.mechanism, setting.name)
            values[key][nodes, lane] = setting.value
    return values


def _nodes(cell: Compartments, setting) -> np.ndarray:
    """Nodes of a setting's region."""
    name = setting.name if setting.mechanism is None else f"{setting.mechanism}.{setting.name}"
    if (setting.mechanism, setting.name) not in VARIED:
        known = ", ".join(name if m is None else f"{m}.{name}" for m, name in VARIED)
        raise ConfigError(f"{name} of {setting.region} is to be set; the compiled engine sets {known}; {CURE}")
    require_known(f"region of {name}", [setting.region], cell.regions)
    nodes = cell.region == cell.regions.index(setting.region)
    if setting.mechanism is not None and not cell.has[setting.mechanism][nodes].all():
        raise ConfigError(f"{name} of {setting.region} is to be set, where not every section has {setting.mechanism}")
    return nodes


def _start(cell: Compartments, lanes, dt_ms, v_init, factor, sodium, others) -> np.ndarray:
    """State of all nodes and lanes before the first step, float64, shape (nodes, CHANNELS, LANES)."""
    values = _values(cell, lanes)
    state = _aligned((len(cell), loop.CHANNELS, loop.LANES))
    # um2 times S/cm2 in uS
    area = cell.area[:, None] * 1e-2
    # backward Euler in the potential itself: (C/dt + conductances) v' = C/dt v + conductances times reversal potentials
    state[:, loop.U] = v_init
    state[:, loop.C] = area * values[None, "cm"] * 1e-3 / dt_ms
    leak = area * values["pas", "g"]
    inner = cell.parent >= 0
    axial = cell.conductance.copy()
    np.add.at(axial, cell.parent[inner], cell.conductance[inner])
    state[:, loop.D_FIXED] = state[:, loop.C] + leak + axial[:, None]
    state[:, loop.R_FIXED] = leak * values["pas", "e"]
    for name, (_, column, _) in CHANNELS.items():
        # pS/um2 are 1e-4 S/cm2
        state[:, column] = area * 1e-4 * factor * values[name, "gbar"]
    gates = _look_up(sodium, v_init + cell.values["mainen_na", "shift"])[::2]
    gates = [*gates, *_look_up(others, np.full(len(cell), v_init))[::2]]
    for column, gate in zip((loop.M_NA, loop.H_NA, loop.N_KV, loop.N_KM, loop.M_CA, loop.H_CA), gates, strict=True):
        state[:, column] = gate[:, None]
    rate = values["mainen_kca", "ralpha"]
    state[:, loop.CALCIUM] = cell.calcium[:, None]
    state[:, loop.RATE] = dt_ms * factor * rate
    opening = rate * state[:, loop.CALCIUM]
    state[:, loop.N_KCA] = opening / (opening + CLOSING)
    return state


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """Zeros, float64, that begin at a whole cache line: vectors that straddle two cost a tenth of the time."""
    size = 8 * int(np.prod(shape))
    room = np.zeros(size + 64, np.uint8)
    begin = -room.ctypes.data % 64
    return room[begin : begin + size].view(np.float64).reshape(shape)
