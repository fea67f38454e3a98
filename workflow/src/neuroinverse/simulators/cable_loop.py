"""The compiled loop over the steps of a cell; `cable_compiled` calls it.

All of it stands in this one file: Numba compiles a function that it keeps on disk anew when its own file changes, and
not when that of a function it calls does.

Simulations of one cell run side by side, one per lane. A value of all lanes is one vector: a type of its own here, so
that no loop depends on what the compiler makes of it, and a lane never on what stands in the others.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic, models, overload, register_model

from neuroinverse.simulators.compiled import jit

# a power of two, from 8 on
LANES = 16
# what a node holds for every lane: potential (mV), diagonal and right side of its equation (uS, nA), the parts of the
# two that stay, capacitance over the time step (uS), conductances of channels (uS) and their states; of mainen_kca,
# opening per step and mM; calcium (mM)
U, D, R, D_FIXED, R_FIXED, C = range(6)
G_NA, M_NA, H_NA, G_KV, N_KV, G_KM, N_KM, G_CA, M_CA, H_CA, G_KCA, N_KCA, RATE, CALCIUM = range(6, 20)
CHANNELS = 20
# mechanisms of a node, as bits
NA, KV, KM, CA, KCA, CAD = 1, 2, 4, 8, 16, 32
# what a node holds for all lanes: conductance to the parent (uS), what is added to a potential to look it up in the
# tables of sodium and of the others (mV), reversal potentials (mV), calcium per inward current (mM/ms/nA)
AXIAL, X_NA, X, E_NA, E_KV, E_KM, E_CA, E_KCA, UPTAKE = range(9)
NODE_CONSTANTS = 9
# what the cell holds: bins of the tables per mV, their last row, closing of mainen_kca per step, share of the way to
# rest that mainen_cad covers in a step, its time constant (ms), its rest (mM); largest argument of an exponential and
# its scale; 1/k at SERIES + k
PER_MV, LAST_ROW, CLOSING, LOST, TAU, REST, MOST, SCALE = range(8)
SERIES, TERMS = 7, 13
CELL_CONSTANTS = SERIES + TERMS + 1


# --- vectors -----------------------------------------------------------------------------------------------------


class Vector(types.Type):
    """One number per lane.

    Args:
        dtype: Numba's type of the numbers.
    """

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, ir.VectorType(manager.lookup(kind.dtype).get_value_type(), LANES))


def _pointer(context, builder, kind, array, indices):
    """Address of the lanes of array[indices]; the array is contiguous and its last axis the lanes."""
    array = context.make_array(kind)(context, builder, array)
    sizes = cgutils.unpack_tuple(builder, array.shape)
    strides = [context.get_constant(types.intp, LANES)]
    for size in reversed(sizes[1 : len(indices)]):
        strides.insert(0, builder.mul(strides[0], size))
    pointer = array.data
    # one index after the other: between the values of a node the compiler sees a constant distance
    for index, stride in zip(indices, strides, strict=True):
        pointer = builder.gep(pointer, [builder.mul(index, stride)])
    return builder.bitcast(pointer, ir.VectorType(array.data.type.pointee, LANES).as_pointer())


@intrinsic
def load(typing, array, i, j):
    """The lanes of array[i, j]."""

    def code(context, builder, signature, arguments):
        pointer = _pointer(context, builder, array, arguments[0], arguments[1:])
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return Vector(array.dtype)(array, types.intp, types.intp), code


@intrinsic
def store(typing, array, i, j, vector):
    """Sets the lanes of array[i, j]."""

    def code(context, builder, signature, arguments):
        pointer = _pointer(context, builder, array, arguments[0], arguments[1:3])
        builder.store(arguments[3], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, vector), code


@intrinsic
def spread(typing, number):
    """The same number in all lanes."""

    def code(context, builder, signature, arguments):
        kind = ir.VectorType(arguments[0].type, LANES)
        one = builder.insert_element(ir.Constant(kind, ir.Undefined), arguments[0], ir.IntType(32)(0))
        return builder.shuffle_vector(one, one, _mask([0] * LANES))

    return Vector(number)(number), code


def _mask(indices):
    """Which elements a shuffle takes."""
    return ir.Constant(ir.VectorType(ir.IntType(32), len(indices)), indices)


def _define(symbol, instruction, **flags):
    """Gives vectors an operator."""

    @intrinsic
    def apply(typing, a, b):
        def code(context, builder, signature, arguments):
            return getattr(builder, instruction)(*arguments, **flags)

        return a(a, b), code

    @overload(symbol)
    def define(a, b):
        if isinstance(a, Vector) and a == b:
            return lambda a, b: apply(a, b)


# a product and a sum may be rounded once instead of twice
for _symbols, _instruction in (
    ((operator.add, operator.iadd), "fadd"),
    ((operator.sub, operator.isub), "fsub"),
    ((operator.mul, operator.imul), "fmul"),
):
    for _symbol in _symbols:
        _define(_symbol, _instruction, flags=("contract",))
_define(operator.truediv, "fdiv")


def _choose(comparison):
    """An intrinsic that takes the first of two vectors, lane by lane, where the comparison holds."""

    @intrinsic
    def choose(typing, a, b):
        def code(context, builder, signature, arguments):
            return builder.select(builder.fcmp_ordered(comparison, *arguments), *arguments)

        return a(a, b), code

    return choose


# the second where the first is not a number
larger, smaller = _choose(">"), _choose("<")


def _make_interpolate(n):
    """An intrinsic that reads whole rows of a table, one per lane, and turns them about in registers."""

    @intrinsic
    def interpolate(typing, table, place):
        """Looks up n functions in a table.

        Args:
            table: A row per bin: n values, then their differences from the next row, shape (rows, 2n).
            place: Vector: row and fraction of a bin, within the table.

        Returns:
            n vectors.
        """
        if not isinstance(place, Vector) or place.dtype != table.dtype:
            raise TypingError("a table and a place of one precision are needed")

        def code(context, builder, signature, arguments):
            index, fraction = _split(builder, arguments[1])
            data = context.make_array(table)(context, builder, arguments[0]).data
            parts = []
            for part in range(2):
                rows = [_row(builder, data, index, lane, part) for lane in range(LANES)]
                while len(rows) > n:
                    rows = [_join(builder, *rows[k : k + 2]) for k in range(0, len(rows), 2)]
                parts.append(rows)
            sums = []
            for k, (value, slope) in enumerate(zip(*parts, strict=True)):
                lanes = [k * LANES // n + j // n for j in range(LANES)]
                f = builder.shuffle_vector(fraction, fraction, _mask(lanes))
                sums.append(builder.fadd(value, builder.fmul(f, slope, flags=("contract",)), flags=("contract",)))
            return context.make_tuple(builder, signature.return_type, _transpose(builder, sums))

        return types.UniTuple(place, n)(table, place), code

    def _split(builder, place):
        index = builder.fptosi(place, ir.VectorType(ir.IntType(32), LANES))
        return index, builder.fsub(place, builder.sitofp(index, place.type))

    def _row(builder, data, index, lane, part):
        row = builder.zext(builder.extract_element(index, ir.IntType(32)(lane)), ir.IntType(64))
        place = builder.add(builder.mul(row, ir.IntType(64)(2 * n)), ir.IntType(64)(part * n))
        kind, size = ir.VectorType(data.type.pointee, n), 4 if isinstance(data.type.pointee, ir.FloatType) else 8
        return builder.load(builder.bitcast(builder.gep(data, [place]), kind.as_pointer()), align=size)

    def _join(builder, a, b):
        return builder.shuffle_vector(a, b, _mask(list(range(2 * a.type.count))))

    def _transpose(builder, rows):
        """From n vectors that hold LANES rows of n numbers one after the other to n columns."""
        if len(rows) == 1:
            return rows
        found = []
        for odd in range(2):
            mask = _mask(list(range(odd, 2 * LANES, 2)))
            half = [builder.shuffle_vector(*rows[k : k + 2], mask) for k in range(0, len(rows), 2)]
            found.append(_transpose(builder, half))
        return [column for pair in zip(*found, strict=True) for column in pair]

    return interpolate


interpolate_4, interpolate_8 = _make_interpolate(4), _make_interpolate(8)


# --- the loop ----------------------------------------------------------------------------------------------------


@jit
def _place(u, offset, cell):
    """Place of a potential in the tables; their ends where it is outside, their beginning where it is no number."""
    last = spread(cell[LAST_ROW])
    place = spread(cell[PER_MV]) * (u + spread(offset))
    return smaller(larger(place, last - last), last)


@jit
def _lost(x, cell):
    """1 − exp(−x) to rounding, for x ≥ 0: a series for x / 64, then six doublings of x."""
    one = spread(cell[SERIES + 1])
    two = one + one
    # beyond 40 the exponential is below rounding
    z = smaller(x, spread(cell[MOST])) * spread(cell[SCALE])
    y = one
    for k in range(TERMS, 1, -1):
        y = one - z * spread(cell[SERIES + k]) * y
    y = z * y
    for _ in range(6):
        y = y * (two - y)
    return y


@jit(nogil=True)
def simulate(s, parent, mechanisms, nodes, cell, table_na, table, current, site, record, first, out):
    """Simulates one cell with a set of parameters in every lane.

    Args:
        s: State of the nodes, shape (nodes, CHANNELS, LANES); changed. Parents stand before their children.
        parent: Of every node, int64; a root names itself or any node before it.
        mechanisms: Of every node, as bits, int64.
        nodes: What holds in all lanes, shape (nodes, NODE_CONSTANTS).
        cell: What holds in all nodes, shape (CELL_CONSTANTS,).
        table_na: Of m and h of mainen_na, shape (rows, 8).
        table: Of n of mainen_kv and of mainen_km, m and h of mainen_ca, shape (rows, 16).
        current: Injected in each step (nA), shape (steps,).
        site: Node where it is injected.
        record: Nodes whose potential is recorded, int64.
        first: Sample at which the record begins; sample 0 is the initial state.
        out: The record (mV), shape (samples, nodes recorded, LANES).
    """
    lost, tau, rest, closing = spread(cell[LOST]), spread(cell[TAU]), spread(cell[REST]), spread(cell[CLOSING])
    one = spread(cell[SERIES + 1])
    zero = one - one
    kv, kv_lost, km, km_lost, ca_m, ca_m_lost, ca_h, ca_h_lost = zero, zero, zero, zero, zero, zero, zero, zero
    n = s.shape[0]
    for step in range(first + out.shape[0]):
        moves = step > 0
        # from the root to the tips: potentials at the end of the step, states, and the equations of the next one
        for i in range(n):
            has = mechanisms[i]
            before = load(s, i, U)
            u = before
            if moves:
                u = load(s, i, R) + load(s, i, D) * load(s, parent[i], U)
                store(s, i, U, u)
            d = load(s, i, D_FIXED)
            r = load(s, i, R_FIXED) + load(s, i, C) * u
            if has & NA:
                m, h = load(s, i, M_NA), load(s, i, H_NA)
                if moves:
                    m_inf, m_lost, h_inf, h_lost = interpolate_4(table_na, _place(u, nodes[i, X_NA], cell))
                    m += (m_inf - m) * m_lost
                    h += (h_inf - h) * h_lost
                    store(s, i, M_NA, m)
                    store(s, i, H_NA, h)
                g = load(s, i, G_NA) * m * m * m * h
                d += g
                r += g * spread(nodes[i, E_NA])
            if has & (KV | KM | CA) and moves:
                kv, kv_lost, km, km_lost, ca_m, ca_m_lost, ca_h, ca_h_lost = interpolate_8(
                    table, _place(u, nodes[i, X], cell)
                )
            if has & KV:
                x = load(s, i, N_KV)
                if moves:
                    x += (kv - x) * kv_lost
                    store(s, i, N_KV, x)
                g = load(s, i, G_KV) * x
                d += g
                r += g * spread(nodes[i, E_KV])
            if has & KM:
                x = load(s, i, N_KM)
                if moves:
                    x += (km - x) * km_lost
                    store(s, i, N_KM, x)
                g = load(s, i, G_KM) * x
                d += g
                r += g * spread(nodes[i, E_KM])
            inward = zero
            if has & CA:
                m, h, g = load(s, i, M_CA), load(s, i, H_CA), load(s, i, G_CA)
                e = spread(nodes[i, E_CA])
                if moves:
                    # the pool takes up the current at the beginning of the step
                    inward = g * m * m * h * (e - before)
                    m += (ca_m - m) * ca_m_lost
                    h += (ca_h - h) * ca_h_lost
                    store(s, i, M_CA, m)
                    store(s, i, H_CA, h)
                g = g * m * m * h
                d += g
                r += g * e
            if has & CAD and moves:
                x = load(s, i, CALCIUM)
                x += lost * (rest + tau * spread(nodes[i, UPTAKE]) * larger(inward, zero) - x)
                store(s, i, CALCIUM, x)
            if has & KCA:
                x = load(s, i, N_KCA)
                if moves:
                    # the pool's new concentration
                    opening = load(s, i, RATE) * load(s, i, CALCIUM)
                    rate = opening + closing
                    x += (opening / rate - x) * _lost(rate, cell)
                    store(s, i, N_KCA, x)
                g = load(s, i, G_KCA) * x
                d += g
                r += g * spread(nodes[i, E_KCA])
            store(s, i, D, d)
            store(s, i, R, r)
        if step >= first:
            for j in range(record.size):
                store(out, step - first, j, load(s, record[j], U))
        store(s, site, R, load(s, site, R) + spread(current[step]))
        # from the tips to the root: every node's equation, given its parent's potential
        for i in range(n - 1, -1, -1):
            q = parent[i]
            axial = spread(nodes[i, AXIAL])
            inverse = one / load(s, i, D)
            r = load(s, i, R)
            share = axial * inverse
            store(s, i, D, share)
            store(s, i, R, r * inverse)
            store(s, q, D, load(s, q, D) - share * axial)
            store(s, q, R, load(s, q, R) + share * r)
