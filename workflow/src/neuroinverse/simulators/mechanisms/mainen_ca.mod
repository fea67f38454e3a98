TITLE High-voltage activated calcium channel of Mainen and Sejnowski's neocortical cells

COMMENT
Mainen ZF, Sejnowski TJ (1996) Nature 382:363-366, after Reuveni et al. (1993) J Neurosci 13:4609; rates at 23 degC,
q10 2.3 of rates and conductance. A fixed reversal potential stands for the Goldman-Hodgkin-Katz equation.
The table holds what one step of dt needs; usetable_mainen_ca = 0 turns it off.
ENDCOMMENT

NEURON {
    SUFFIX mainen_ca
    USEION ca READ eca WRITE ica
    RANGE gbar
    THREADSAFE
}

UNITS {
    (mA) = (milliamp)
    (mV) = (millivolt)
    (pS) = (picosiemens)
    (um) = (micron)
}

PARAMETER {
    gbar = 0 (pS/um2)
    celsius (degC)
    dt (ms)
}

STATE { m h }

ASSIGNED {
    v (mV)
    eca (mV)
    ica (mA/cm2)
    q10
    minf
    mkept
    hinf
    hkept
}

INITIAL {
    q10 = 2.3^((celsius - 23) / 10)
    rates(v)
    m = minf
    h = hinf
}

BREAKPOINT {
    SOLVE advance
    ica = 1e-4 * q10 * gbar * m * m * h * (v - eca)
}

PROCEDURE advance() {
    rates(v)
    m = minf + (m - minf) * mkept
    h = hinf + (h - hinf) * hkept
}

PROCEDURE rates(x (mV)) {
    LOCAL a, b
    TABLE minf, mkept, hinf, hkept DEPEND dt, celsius FROM -300 TO 200 WITH 5000
    a = 0.055 * 3.8 * linoid((x + 27) / 3.8)
    b = 0.94 * exp((-75 - x) / 17)
    minf = a / (a + b)
    mkept = exp(-dt * 2.3^((celsius - 23) / 10) * (a + b))
    a = 4.57e-4 * exp((-13 - x) / 50)
    b = 0.0065 / (exp((-x - 15) / 28) + 1)
    hinf = a / (a + b)
    hkept = exp(-dt * 2.3^((celsius - 23) / 10) * (a + b))
}

FUNCTION linoid(z) {
    : z / (1 - exp(-z)), by its series near zero
    if (fabs(z) < 1e-6) {
        linoid = 1 + z / 2
    } else {
        linoid = z / (1 - exp(-z))
    }
}
