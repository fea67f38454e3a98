TITLE Calcium under the membrane of Mainen and Sejnowski's neocortical cells

COMMENT
Mainen ZF, Sejnowski TJ (1996) Nature 382:363-366, after Destexhe et al. (1993) Biophys J 65:1538: a shell of 0.1 um takes
up the calcium that flows in (never outward) and returns to 100 nM with 200 ms, independent of temperature.
1e4 turns mA/cm2 per um into mM/ms.
ENDCOMMENT

NEURON {
    SUFFIX mainen_cad
    USEION ca READ ica, cai WRITE cai
    RANGE depth
    THREADSAFE
}

UNITS {
    (mA) = (milliamp)
    (um) = (micron)
    (molar) = (1/liter)
    (mM) = (millimolar)
    FARADAY = (faraday) (coulomb)
}

PARAMETER {
    depth = 0.1 (um)
}

STATE { cai (mM) }

ASSIGNED {
    ica (mA/cm2)
    inflow (mM/ms)
}

INITIAL {
    cai = 1e-4
}

BREAKPOINT {
    SOLVE state METHOD cnexp
}

DERIVATIVE state {
    inflow = -1e4 * ica / (2 * FARADAY * depth)
    if (inflow < 0) {
        inflow = 0
    }
    cai' = inflow + (1e-4 - cai) / 200
}
