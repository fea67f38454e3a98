TITLE Calcium-dependent potassium channel of Mainen and Sejnowski's neocortical cells

COMMENT
Mainen ZF, Sejnowski TJ (1996) Nature 382:363-366, after Reuveni et al. (1993) J Neurosci 13:4609:
alpha = 0.01 [Ca], beta = 0.02 per ms, at 23 degC; q10 2.3 of rates and conductance.
[Ca] in mM, as in the authors' model: cells fire as in their figure 1. With [Ca] in uM (ralpha = 10) the first spike
silences them.
ENDCOMMENT

NEURON {
    SUFFIX mainen_kca
    USEION k READ ek WRITE ik
    USEION ca READ cai
    RANGE gbar, ralpha
    THREADSAFE
}

UNITS {
    (mA) = (milliamp)
    (mV) = (millivolt)
    (pS) = (picosiemens)
    (um) = (micron)
    (molar) = (1/liter)
    (mM) = (millimolar)
}

PARAMETER {
    gbar = 0 (pS/um2)
    ralpha = 0.01 (/ms/mM)
    celsius (degC)
}

STATE { n }

ASSIGNED {
    v (mV)
    ek (mV)
    cai (mM)
    ik (mA/cm2)
    q10
}

INITIAL {
    q10 = 2.3^((celsius - 23) / 10)
    n = ralpha * cai / (ralpha * cai + 0.02)
}

BREAKPOINT {
    SOLVE states METHOD cnexp
    ik = 1e-4 * q10 * gbar * n * (v - ek)
}

DERIVATIVE states {
    n' = q10 * (ralpha * cai * (1 - n) - 0.02 * n)
}
