TITLE A current of its own for every cell of a batch

COMMENT
A current density with a value for each segment, such as noise from a played vector; shared_current carries what all
cells have in common.
ENDCOMMENT

NEURON {
    SUFFIX cell_current
    ELECTRODE_CURRENT i
    RANGE density
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
