TITLE Sodium, potassium and leak currents of the squid giant axon

COMMENT
Hodgkin AL, Huxley AF (1952) J Physiol 117:500-544, in today's sign convention (rest near -65 mV).
The rates are evaluated at every step: no look-up table, so a trace does not depend on the
cells that ran before it. alpha_m and alpha_n have removable singularities at -40 and -55 mV.
ENDCOMMENT

NEURON {
    SUFFIX hh1952
    USEION na READ ena WRITE ina
    USEION k READ ek WRITE ik
    NONSPECIFIC_CURRENT il
    RANGE gnabar, gkbar, gl, el
    THREADSAFE
}

UNITS {
    (mA) = (milliamp)
    (mV) = (millivolt)
    (S) = (siemens)
}

PARAMETER {
    gnabar = 0.12 (S/cm2)
    gkbar = 0.036 (S/cm2)
    gl = 0.0003 (S/cm2)
    el = -54.3 (mV)
    celsius (degC)
}

STATE { m h n }

ASSIGNED {
    v (mV)
    ena (mV)
    ek (mV)
    ina (mA/cm2)
    ik (mA/cm2)
    il (mA/cm2)
    minf hinf ninf
    mtau (ms) htau (ms) ntau (ms)
}

INITIAL {
    rates(v)
    m = minf
    h = hinf
    n = ninf
}

BREAKPOINT {
    SOLVE states METHOD cnexp
    ina = gnabar * m * m * m * h * (v - ena)
    ik = gkbar * n * n * n * n * (v - ek)
    il = gl * (v - el)
}

DERIVATIVE states {
    rates(v)
    m' = (minf - m) / mtau
    h' = (hinf - h) / htau
    n' = (ninf - n) / ntau
}

PROCEDURE rates(v (mV)) {
    LOCAL q10, alpha, beta
    q10 = 3^((celsius - 6.3) / 10)
    alpha = linoid(v + 40, 10)
    beta = 4 * exp(-(v + 65) / 18)
    mtau = 1 / (q10 * (alpha + beta))
    minf = alpha / (alpha + beta)
    alpha = 0.07 * exp(-(v + 65) / 20)
    beta = 1 / (exp(-(v + 35) / 10) + 1)
    htau = 1 / (q10 * (alpha + beta))
    hinf = alpha / (alpha + beta)
    alpha = 0.1 * linoid(v + 55, 10)
    beta = 0.125 * exp(-(v + 65) / 80)
    ntau = 1 / (q10 * (alpha + beta))
    ninf = alpha / (alpha + beta)
}

FUNCTION linoid(x, y) {
    : (x / y) / (1 - exp(-x / y)), by its series near zero
    if (fabs(x / y) < 1e-6) {
        linoid = 1 + x / y / 2
    } else {
        linoid = (x / y) / (1 - exp(-x / y))
    }
}
