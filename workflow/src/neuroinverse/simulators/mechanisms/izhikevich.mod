TITLE Izhikevich's simple spiking neuron

COMMENT
Izhikevich EM (2003) IEEE Trans Neural Netw 14:1569-1572:
    v' = 0.04 v^2 + 5 v + 140 - u + I,  u' = a (b v - u),  at v >= 30: v <- c, u <- u + d.
The state has its own variables (mv, u) and does not touch the section's membrane potential.
One midpoint (second-order Runge-Kutta) step per dt. The peak is passed within a step, at a time found
by linear interpolation; the step's sample is written as 30 mV, and the next one integrates from the
reset at that time. NEURON has played the end of a step into `drive` when the state advances: the step
sees the mean of its two ends.
ENDCOMMENT

NEURON {
    POINT_PROCESS IzhikevichCell
    RANGE a, b, c, d, v0, mv, u, last, late
    GLOBAL drive
    THREADSAFE
}

PARAMETER {
    a = 0.02
    b = 0.2
    c = -65
    d = 8
    v0 = -65
    drive = 0
    dt
}

ASSIGNED {
    mv
    u
    last
    late
}

INITIAL {
    mv = v0
    u = b * v0
    last = drive
    late = 0
}

BREAKPOINT {
    SOLVE advance_state
}

PROCEDURE advance_state() {
    LOCAL i, span, mh, uh, mnew, unew, part
    i = (last + drive) / 2
    last = drive
    span = dt
    if (mv >= 30) {
        mv = c
        u = u + d
        span = dt + late
    }
    mh = mv + span / 2 * (0.04 * mv * mv + 5 * mv + 140 - u + i)
    uh = u + span / 2 * a * (b * mv - u)
    mnew = mv + span * (0.04 * mh * mh + 5 * mh + 140 - uh + i)
    unew = u + span * a * (b * mh - uh)
    if (mnew >= 30) {
        part = (30 - mv) / (mnew - mv)
        late = (1 - part) * span
        u = u + part * (unew - u)
        mv = 30
    } else {
        mv = mnew
        u = unew
    }
}
