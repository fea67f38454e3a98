"""Mainen's mechanisms in CoreNEURON against NEURON: no state that its translation would share or lose."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_mechanisms import spike_times

from neuroinverse.simulators import MECHANISMS

# what `import neuroinverse` needs on the path
PACKAGE = MECHANISMS.parents[2]
# run in a process of its own, where CoreNEURON's library is loaded; a played current as in the package's simulators
IN_BOTH_ENGINES = """
import sys
import numpy as np
from neuron import coreneuron, h
import test_mechanisms

if not hasattr(h, "mainen_na"):
    h.nrn_load_dll(sys.argv[1])
h.CVode().active(False)
h.CVode().cache_efficient(True)
segment, clamp = test_mechanisms.spiking_cell(h)
dendrite = h.Section(name="dendrite")
dendrite.L, dendrite.diam, dendrite.nseg = 400, 2, 9
dendrite.connect(segment.sec(1))
for suffix in (*test_mechanisms.GATES, "kca", "cad"):
    dendrite.insert(f"mainen_{suffix}")
dendrite.insert("pas")
dendrite.ena, dendrite.ek, dendrite.eca = (test_mechanisms.REVERSALS[ion] for ion in ("na", "k", "ca"))
test_mechanisms.hold_reversals(h, dendrite)
for part in dendrite:
    part.pas.g, part.pas.e, part.mainen_na.gbar = 1 / 30000, -70, 20
    part.mainen_ca.gbar, part.mainen_kca.gbar, part.mainen_km.gbar = 0.3, 3, 0.1
clamp.delay, clamp.dur = 0, 1e9
times = np.arange(0, 200, 0.02)
played = h.Vector(0.3 + 0.6 * np.sin(times / 3)), h.Vector(times)
played[0].play(clamp._ref_amp, played[1], True)
record = h.Vector().record(segment._ref_v)
h.celsius, h.dt = 37, 0.02
solver = h.ParallelContext()
solver.set_maxstep(10)
traces = []
for core in (False, True):
    coreneuron.enable = core
    coreneuron.verbose = 0
    record.resize(0)
    h.finitialize(-70)
    solver.psolve(150)
    traces.append(list(record))
np.save(sys.argv[2], traces)
"""


def test_coreneuron_gives_the_trace_of_neuron(tmp_path):
    import neuron

    binaries = Path(sys.executable).parent
    if not shutil.which("g++"):
        pytest.skip("CoreNEURON's mechanisms are C++, and there is no g++")
    if not list(Path(neuron.__file__).parent.glob(".data/bin/nrnivmodl-core")):
        pytest.skip("this build of NEURON comes without CoreNEURON")
    folder = tmp_path / "mechanisms"
    folder.mkdir()
    for file in MECHANISMS.glob("mainen_*.mod"):
        shutil.copy(file, folder)
    build = subprocess.run(
        [binaries / "nrnivmodl", "-coreneuron", "."], cwd=folder, capture_output=True, text=True,
        env=os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    print(build.stdout[-2000:], build.stderr[-2000:])
    made = folder / platform.machine()
    core = list(made.glob("libcorenrnmech.*"))
    assert core
    variables = {
        "CORENEURONLIB": str(core[0]),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(PACKAGE), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-c", IN_BOTH_ENGINES, next(made.glob("**/libnrnmech.*")), tmp_path / "traces.npy"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | variables)
    assert run.returncode == 0, run.stderr
    ours, core_trace = np.load(tmp_path / "traces.npy")
    spikes, difference = len(spike_times(ours, 0.02)), np.abs(ours - core_trace).max()
    print(f"{spikes} spikes, largest difference of CoreNEURON from NEURON {difference:.1e} mV")
    assert spikes >= 3
    assert difference < 1e-9
