"""A cortical column of surrogate cells: one differentiable network, what is asked of it, and the search for gains.

`network.py` runs a column (`simulators/column.py`) with one surrogate per cell type; `objectives.py` says what its
activity is worth, and measures a simulator's alike; `optimise.py` changes the strengths of projections, by the gradient
or without it; `settings.py` checks what all of them are asked. Nothing here knows NEURON.
"""
