"""The example networks of Brunel N (2000) J Comput Neurosci 8:183, figure 8, are in the states that he names."""

import pytest

from neuroinverse.evaluation import network
from neuroinverse.simulators.brunel_compiled import run
from neuroinverse.simulators.brunel_network import Network


@pytest.mark.parametrize(
    ("eta", "g", "state"), [(2.0, 3.0, "SR"), (4.0, 6.0, "SI"), (2.0, 5.0, "AI"), (0.9, 4.5, "SI")], ids="ABCD"
)
def test_states_of_the_publication(eta, g, state):
    net = Network(duration_ms=1500.0, record_ms=(150.0, 1500.0))
    activity = run(net, eta, g, 0.1, seed=7)
    sizes = {"E": net.n_excitatory, "I": net.n_inhibitory}
    measured = network.measure(activity.counts[net.bins][None], [activity.isi_cv], sizes)
    print(state, measured)
    assert measured.state == [state]
