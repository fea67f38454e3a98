"""The compiled loop of Pospischil's neuron; `pospischil` calls it.

Simulations run side by side, one per lane, in a loop without branches, of which LLVM makes vector code. No operation is
reordered or fused with another: a lane's numbers depend neither on what stands in the others nor on the machine.
"""

import math

import numpy as np

from neuroinverse.simulators.compiled import jit

# LLVM leaves loops of fewer than 16 turns as they are
LANES = 32
# what a lane holds: voltage (mV) and gates
V, M, H, N, P = range(5)
STATES = 5
# what stays: conductances (mS/cm2), leak conductance times its reversal potential (uA/cm2), reversal potentials (mV),
# V_T (mV), 1 / tau_max (1/ms), exp(-(V_T + 35 mV) / 20 mV), standard deviation of the noise (uA/cm2), 1 / capacitance
# (cm2/uF)
G_NA, G_K, G_M, G_LEAK, LEAK, E_NA, E_K, V_T, SLOWNESS, SHIFT, NOISE, PER_C = range(12)
CONSTANTS = 12
# ln 2 in two parts: products of the first with whole numbers below 2^20 are exact
LOG2_E, LN2_HIGH, LN2_LOW = 1 / math.log(2), float.fromhex("0x1.62e42feep-1"), 1.9082149292705877e-10
# added to a small number, it leaves the nearest whole number in the last bits
MAGIC = 1.5 * 2.0**52
EXP_8, EXP_3, EXP_13_4, EXP_1_4 = (math.exp(x) for x in (8.0, 3.0, 13 / 4, 1 / 4))
# time in which gates reach their steady state (ms)
FOR_EVER = 1e9


@jit
def exponential(x):
    """exp(x) to rounding; beyond ±700 it stays what it is there, and what is no number stays none."""
    x = -700.0 if x < -700.0 else x
    x = 700.0 if x > 700.0 else x
    # exp(x) = 2^k exp(r), |r| <= ln(2) / 2
    shifted = x * LOG2_E + MAGIC
    k = shifted - MAGIC
    r = x - k * LN2_HIGH
    r = r - k * LN2_LOW
    # Taylor's series, in an order in which few terms wait for another
    r2 = r * r
    r4 = r2 * r2
    low = (1.0 + r) + r2 * (1 / 2 + r * (1 / 6))
    middle = (1 / 24 + r * (1 / 120)) + r2 * (1 / 720 + r * (1 / 5040))
    high = (1 / 40320 + r * (1 / 362880)) + r2 * (1 / 3628800 + r * (1 / 39916800)) + r4 * (1 / 479001600)
    y = low + r4 * (middle + r4 * high)
    # k is added to the exponent
    bits = np.float64(y).view(np.int64) + (np.float64(shifted).view(np.int64) << 52)
    return np.int64(bits).view(np.float64)


@jit(error_model="numpy")
def linoid(z, exp_z):
    """z / (exp(z) − 1), by its series near zero."""
    return 1.0 - z / 2 if abs(z) < 1e-4 else z / (exp_z - 1.0)


@jit(error_model="numpy")
def advance(s, c, current, noise, dt_v, dt_gates):
    """One step of exponential Euler: the voltage with the gates as they are, then the gates at the new voltage.

    Args:
        s: State, float64, shape (STATES, LANES); changed.
        c: Constants, float64, shape (CONSTANTS, LANES).
        current: Injected in all lanes (uA/cm2).
        noise: Standard normal numbers, float64, shape (LANES,).
        dt_v: Step of the voltage (ms); with 0 it stays.
        dt_gates: Step of the gates (ms).
    """
    for j in range(LANES):
        v, m, h, n, p = s[V, j], s[M, j], s[H, j], s[N, j], s[P, j]
        g_na = c[G_NA, j] * (m * m * m) * h
        n2 = n * n
        g_k = c[G_K, j] * (n2 * n2) + c[G_M, j] * p
        g = g_na + g_k + c[G_LEAK, j]
        drive = g_na * c[E_NA, j] + g_k * c[E_K, j] + c[LEAK, j] + (current + c[NOISE, j] * noise[j])
        v += (drive / g - v) * (1.0 - exponential(-dt_v * g * c[PER_C, j]))
        s[V, j] = v
        u = v - c[V_T, j]
        # exp(-u/40), and powers of it: exp(-u/20), exp(-u/5), exp(-u/4)
        e = exponential(u * (-1 / 40))
        e2 = e * e
        e4 = e2 * e2
        e8 = e4 * e4
        e10 = e8 * e2
        e40 = e8 * EXP_8  # exp(-(u - 40) / 5)
        opening = 1.28 * linoid((13.0 - u) / 4, e10 * EXP_13_4)
        rate = opening + 1.4 * linoid((u - 40.0) / 5, 1.0 / e40)
        steady = opening / rate
        s[M, j] = steady + (m - steady) * exponential(-dt_gates * rate)
        opening = 0.128 * exponential((17.0 - u) / 18)
        rate = opening + 4.0 / (1.0 + e40)
        steady = opening / rate
        s[H, j] = steady + (h - steady) * exponential(-dt_gates * rate)
        opening = 0.16 * linoid((15.0 - u) / 5, e8 * EXP_3)
        rate = opening + 0.5 * EXP_1_4 * e
        steady = opening / rate
        s[N, j] = steady + (n - steady) * exponential(-dt_gates * rate)
        # exp(-(v + 35) / 20): the slow gate does not move with V_T
        q = e2 * c[SHIFT, j]
        rate = (3.3 / q + q) * c[SLOWNESS, j]
        steady = 1.0 / (1.0 + q * q)
        s[P, j] = steady + (p - steady) * exponential(-dt_gates * rate)


@jit
def simulate(s, c, current, noise, dt, first, out):
    """Simulates a set of parameters in every lane.

    Args:
        s: State, float64, shape (STATES, LANES): voltage at the start, finite numbers elsewhere; changed.
        c: Constants, float64, shape (CONSTANTS, LANES).
        current: Injected in each step, in all lanes (uA/cm2), shape (steps,).
        noise: Standard normal numbers, float64, shape (LANES, steps).
        dt: Time step (ms).
        first: Sample at which the record begins; sample 0 is the initial state.
        out: The record of the voltage (mV), float32, shape (LANES, samples).
    """
    now = np.zeros(LANES)
    advance(s, c, 0.0, now, 0.0, FOR_EVER)
    for i in range(first + out.shape[1]):
        if i > 0:
            for j in range(LANES):
                now[j] = noise[j, i - 1]
            advance(s, c, current[i - 1], now, dt, dt)
        if i >= first:
            for j in range(LANES):
                out[j, i - first] = s[V, j]
