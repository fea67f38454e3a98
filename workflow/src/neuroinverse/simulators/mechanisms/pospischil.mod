TITLE Currents of the minimal Hodgkin-Huxley model of cortical and thalamic neurons

COMMENT
Pospischil M et al. (2008) Biol Cybern 99:427-441: sodium, delayed-rectifier and slow (M-type) potassium, and leak
currents. vt shifts the kinetics of all but the slow current, whose slowest time constant is about taumax / 3.6.
The rates are evaluated at every step: no look-up table, so a trace does not depend on the cells that ran before it.
ENDCOMMENT

NEURON {
    SUFFIX pospischil
    USEION na READ ena WRITE ina
    USEION k READ ek WRITE ik
    NONSPECIFIC_CURRENT il
    RANGE gnabar, gkbar, gmbar, gl, el, vt, taumax
    THREADSAFE
}

UNITS {
    (mA) = (milliamp)
    (mV) = (millivolt)
    (S) = (siemens)
}

PARAMETER {
    gnabar = 0.05 (S/cm2)
    gkbar = 0.005 (S/cm2)
    gmbar = 7e-5 (S/cm2)
    gl = 1e-4 (S/cm2)
    el = -70 (mV)
    vt = -60 (mV)
    taumax = 600 (ms)
}

STATE { m h n p }

ASSIGNED {
    v (mV)
    ena (mV)
    ek (mV)
    ina (mA/cm2)
    ik (mA/cm2)
    il (mA/cm2)
    minf hinf ninf pinf
    mtau (ms) htau (ms) ntau (ms) ptau (ms)
}

INITIAL {
    rates(v)
    m = minf
    h = hinf
    n = ninf
    p = pinf
}

BREAKPOINT {
    SOLVE states METHOD cnexp
    ina = gnabar * m * m * m * h * (v - ena)
    ik = (gkbar * n * n * n * n + gmbar * p) * (v - ek)
    il = gl * (v - el)
}

DERIVATIVE states {
    rates(v)
    m' = (minf - m) / mtau
    h' = (hinf - h) / htau
    n' = (ninf - n) / ntau
    p' = (pinf - p) / ptau
}

PROCEDURE rates(v (mV)) {
    LOCAL u, alpha, beta
    u = v - vt
    alpha = 0.32 * 4 * linoid((13 - u) / 4)
    beta = 0.28 * 5 * linoid((u - 40) / 5)
    mtau = 1 / (alpha + beta)
    minf = alpha / (alpha + beta)
    alpha = 0.128 * exp((17 - u) / 18)
    beta = 4 / (1 + exp((40 - u) / 5))
    htau = 1 / (alpha + beta)
    hinf = alpha / (alpha + beta)
    alpha = 0.032 * 5 * linoid((15 - u) / 5)
    beta = 0.5 * exp((10 - u) / 40)
    ntau = 1 / (alpha + beta)
    ninf = alpha / (alpha + beta)
    ptau = taumax / (3.3 * exp((v + 35) / 20) + exp(-(v + 35) / 20))
    pinf = 1 / (1 + exp(-(v + 35) / 10))
}

FUNCTION linoid(z) {
    : z / (exp(z) - 1), by its series near zero
    if (fabs(z) < 1e-6) {
        linoid = 1 - z / 2
    } else {
        linoid = z / (exp(z) - 1)
    }
}
