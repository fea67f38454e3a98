"""The layer 5 pyramidal cell of hnn-core, as that package builds it with its own compiled mechanisms.

Cell of Jones et al. (2009) J Neurophysiol 102:3554; hnn-core: Jas et al. (2023) J Open Source Softw 8:5848. Its nine
sections come back by name: soma, apical_trunk, apical_1, apical_2, apical_tuft, apical_oblique, basal_1 to basal_3.

hnn-core starts each section at a potential of its own and switches NEURON to its physical constants of before 2019.
Here the cell starts at v_init, so let it settle before what is recorded, and has the constants of today: 2e-7 away.
"""


def make_cell(h):
    from hnn_core import pyramidal
    from hnn_core.network_builder import load_custom_mechanisms

    load_custom_mechanisms(net_verbose=False)
    cell = pyramidal("L5_pyramidal")
    cell.build()
    # without its synapses, which nothing drives here
    return cell._nrn_sections
