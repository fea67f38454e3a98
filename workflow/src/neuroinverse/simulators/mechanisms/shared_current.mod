TITLE One stimulus waveform for all cells of a batch

COMMENT
A current density injected everywhere the mechanism is inserted. The waveform is one global
variable, so a batch of any size costs one played vector and not one per cell.
ENDCOMMENT

NEURON {
    SUFFIX shared_current
    ELECTRODE_CURRENT i
    GLOBAL density
    THREADSAFE
}

PARAMETER {
    density = 0 (milliamp/cm2)
}

ASSIGNED {
    i (milliamp/cm2)
}

BREAKPOINT {
    i = density
}
