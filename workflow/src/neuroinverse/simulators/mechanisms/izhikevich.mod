TITLE Izhikevich's simple spiking neuron

COMMENT
Izhikevich EM (2003) IEEE Trans Neural Netw 14:1569-1572:
    v' = 0.04 v^2 + 5 v + 140 - u + I,  u' = a (b v - u),  at v >= 30: v <- c, u <- u + d.
The state has its own variables (mv, u) and does not touch the section's membrane potential.
One midpoint (second-order Runge-Kutta) step per dt; the sample at which the peak is passed is
written as 30 mV, and the step after it starts from the reset state.
ENDCOMMENT

NEURON {
    POINT_PROCESS IzhikevichCell
    RANGE a, b, c, d, v0, mv, u
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
}

INITIAL {
    mv = v0
    u = b * v0
}

BREAKPOINT {
    SOLVE advance_state
}

PROCEDURE advance_state() {
    LOCAL vh, uh
    if (mv >= 30) {
        mv = c
        u = u + d
    }
    vh = mv + dt / 2 * (0.04 * mv * mv + 5 * mv + 140 - u + drive)
    uh = u + dt / 2 * a * (b * mv - u)
    mv = mv + dt * (0.04 * vh * vh + 5 * vh + 140 - uh + drive)
    u = u + dt * a * (b * vh - uh)
    if (mv > 30) {
        mv = 30
    }
}
