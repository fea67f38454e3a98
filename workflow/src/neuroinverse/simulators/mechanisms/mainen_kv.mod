TITLE Fast potassium channel of Mainen and Sejnowski's neocortical cells

COMMENT
Mainen ZF, Sejnowski TJ (1996) Nature 382:363-366; rates at 23 degC, q10 2.3 of rates and conductance.
The table holds what one step of dt needs; usetable_mainen_kv = 0 turns it off.
ENDCOMMENT

NEURON {
    SUFFIX mainen_kv
    USEION k READ ek WRITE ik
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

STATE { n }

ASSIGNED {
    v (mV)
    ek (mV)
    ik (mA/cm2)
    q10
    ninf
    nkept
}

INITIAL {
    q10 = 2.3^((celsius - 23) / 10)
    rates(v)
    n = ninf
}

BREAKPOINT {
    SOLVE advance
    ik = 1e-4 * q10 * gbar * n * (v - ek)
}

PROCEDURE advance() {
    rates(v)
    n = ninf + (n - ninf) * nkept
}

PROCEDURE rates(x (mV)) {
    LOCAL a, b
    TABLE ninf, nkept DEPEND dt, celsius FROM -300 TO 200 WITH 5000
    a = 0.02 * 9 * linoid((x - 25) / 9)
    b = 0.002 * 9 * linoid(-(x - 25) / 9)
    ninf = a / (a + b)
    nkept = exp(-dt * 2.3^((celsius - 23) / 10) * (a + b))
}

FUNCTION linoid(z) {
    : z / (1 - exp(-z)), by its series near zero
    if (fabs(z) < 1e-6) {
        linoid = 1 + z / 2
    } else {
        linoid = z / (1 - exp(-z))
    }
}
