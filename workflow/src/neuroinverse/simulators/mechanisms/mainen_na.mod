TITLE Sodium channel of Mainen and Sejnowski's neocortical cells

COMMENT
Mainen ZF, Sejnowski TJ (1996) Nature 382:363-366; kinetics at 23 degC after Huguenard et al. (1988) and Hamill et
al. (1991). The conductance grows with temperature like the rates (q10 2.3), as in the authors' model.
The table holds what one step of dt needs, so that a step costs no exponential; usetable_mainen_na = 0 turns it off.
ENDCOMMENT

NEURON {
    SUFFIX mainen_na
    USEION na READ ena WRITE ina
    RANGE gbar, shift
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
    shift = -5 (mV)
    celsius (degC)
    dt (ms)
}

STATE { m h }

ASSIGNED {
    v (mV)
    ena (mV)
    ina (mA/cm2)
    q10
    minf
    mkept
    hinf
    hkept
}

INITIAL {
    q10 = 2.3^((celsius - 23) / 10)
    rates(v + shift)
    m = minf
    h = hinf
}

BREAKPOINT {
    SOLVE advance
    ina = 1e-4 * q10 * gbar * m * m * m * h * (v - ena)
}

PROCEDURE advance() {
    rates(v + shift)
    m = minf + (m - minf) * mkept
    h = hinf + (h - hinf) * hkept
}

PROCEDURE rates(x (mV)) {
    LOCAL a, b
    TABLE minf, mkept, hinf, hkept DEPEND dt, celsius FROM -300 TO 200 WITH 5000
    a = 0.182 * 9 * linoid((x + 35) / 9)
    b = 0.124 * 9 * linoid(-(x + 35) / 9)
    minf = a / (a + b)
    mkept = exp(-dt * 2.3^((celsius - 23) / 10) * (a + b))
    a = 0.024 * 5 * linoid((x + 50) / 5)
    b = 0.0091 * 5 * linoid(-(x + 75) / 5)
    hinf = 1 / (1 + exp((x + 65) / 6.2))
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
