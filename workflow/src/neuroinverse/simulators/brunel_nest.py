"""The Brunel network in NEST: the reference engine, and the published way of running it."""

import os
import time

import numpy as np

from neuroinverse.simulators.brunel_network import BIN_MS, Activity, Network, mean_cv

# recorded spikes are read and dropped after so much simulated time (ms): a saturated network has twelve million in 3 s
SLICE_MS = 100.0
MODELS = {"tuned": "static_synapse_hom_w", "published": "static_synapse"}


def nest():
    """NEST, without its banner and messages."""
    os.environ.setdefault("PYNEST_QUIET", "1")
    import nest

    nest.verbosity = nest.VerbosityLevel.ERROR
    return nest


def run(network: Network, eta: float, g: float, J: float, seed: int, way: str = "tuned") -> Activity:
    """Simulates one network with connections, initial state and input of its own.

    Args:
        network: Its constants.
        eta: External rate over the rate that alone brings the mean potential to threshold.
        g: Inhibitory over excitatory weight.
        J: Excitatory weight (mV).
        seed: Seed, below 2^64.
        way: "tuned", all weights of a population in one place (static_synapse_hom_w); "published", a weight in every
            synapse (static_synapse).

    Returns:
        What it did.

    Raises:
        ValueError: If a parameter is out of the range where the model means something.
    """
    rate_Hz = 1e3 * network.external_rate(eta, J)
    if not 0 <= g < float("inf"):
        raise ValueError(f"g is {g:g}; expected g >= 0")
    sim = nest()
    started = time.process_time()
    to_nest, to_start = np.random.SeedSequence(int(seed)).spawn(2)
    sim.ResetKernel()
    sim.SetKernelStatus(
        {
            "resolution": network.dt_ms,
            "print_time": False,
            "overwrite_files": True,
            "local_num_threads": 1,
            "rng_seed": int(to_nest.generate_state(1)[0] % (2**32 - 1)) + 1,
        }
    )
    # C_m scales currents alone, and there are none
    constants = {"E_L": 0.0, "C_m": 250.0} | {k: getattr(network, k) for k in ("tau_m", "t_ref", "V_th", "V_reset")}
    neurons = sim.Create("iaf_psc_delta", network.n_neurons, params=constants)
    for name, values in network.initial_state(np.random.default_rng(to_start)).items():
        setattr(neurons, name, values)
    excitatory, inhibitory = neurons[: network.n_excitatory], neurons[network.n_excitatory :]
    _connect(sim, network, excitatory, inhibitory, neurons, g, J, MODELS[way], rate_Hz)
    recorder = sim.Create("spike_recorder", params={"time_in_steps": True})
    # over synapses with the network's delay: a shorter one would make NEST exchange spikes more often
    sim.Connect(neurons, recorder, syn_spec={"synapse_model": "excitatory"})
    tally, done, built = _Tally(network), 0, started
    while done < network.n_steps:
        # at its first step NEST sorts the connections: that step counts as building
        steps = min(network.steps(SLICE_MS), network.n_steps - done) if done else 1
        sim.Simulate(steps * network.dt_ms)
        built = built if done else time.process_time()
        done += steps
        events = recorder.events
        tally.add(events["times"], events["senders"])
        recorder.n_events = 0
    return tally.activity(built - started, time.process_time() - built)


def _connect(sim, network, excitatory, inhibitory, neurons, g, J, model, rate_Hz) -> None:
    delay = network.delay
    if "delay" in network.distributed:
        delay = sim.math.max(sim.random.normal(delay, network.distributed["delay"] * delay), network.dt_ms)
    for name, weight in (("excitatory", J), ("inhibitory", -g * J)):
        sim.CopyModel(model, name, {"weight": weight, "delay": network.delay})
    for name, sources, degree in zip(
        ("excitatory", "inhibitory"), (excitatory, inhibitory), network.in_degrees, strict=True
    ):
        rule = {"rule": "fixed_indegree", "indegree": degree, "allow_autapses": True, "allow_multapses": True}
        sim.Connect(sources, neurons, rule, {"synapse_model": name} | ({"delay": delay} if network.distributed else {}))
    generator = sim.Create("poisson_generator", params={"rate": rate_Hz})
    sim.Connect(generator, neurons, syn_spec={"synapse_model": "excitatory"})


class _Tally:
    """Adds spikes up as they come."""

    def __init__(self, network: Network):
        self.network = network
        self.counts = np.zeros((network.n_bins, 2), np.int32)
        bins = network.raster_bins if network.raster else slice(0, 0)
        self.raster = np.zeros((bins.stop - bins.start, sum(network.raster_neurons)), np.uint8)
        self.last = np.full(network.n_excitatory, -1, np.int64)
        self.intervals, self.total, self.squares = np.zeros((3, network.n_excitatory), np.int64)

    def add(self, times, senders) -> None:
        """Spikes of a slice: times in steps as NEST gives them, one more than the step's index; global ids from 1."""
        network = self.network
        step, neuron = np.asarray(times, np.int64) - 1, np.asarray(senders, np.int64) - 1
        n_e, bin_steps = network.n_excitatory, network.steps(BIN_MS)
        bins = step // bin_steps
        for population, part in enumerate((neuron < n_e, neuron >= n_e)):
            self.counts[:, population] += np.bincount(bins[part], minlength=network.n_bins).astype(np.int32)
        inside = (step >= network.window.start) & (step < network.window.stop) & (neuron < n_e)
        self._add_intervals(step[inside], neuron[inside])
        if network.raster:
            self._add_raster(bins, neuron)

    def _add_intervals(self, step, neuron) -> None:
        order = np.lexsort((step, neuron))
        step, neuron = step[order], neuron[order]
        first = np.flatnonzero(np.diff(neuron, prepend=-1))
        before = np.concatenate([[-1], step[:-1]])[: len(step)]
        before[first] = self.last[neuron[first]]
        known = before >= 0
        interval = (step - before)[known]
        np.add.at(self.intervals, neuron[known], 1)
        np.add.at(self.total, neuron[known], interval)
        np.add.at(self.squares, neuron[known], interval**2)
        self.last[neuron] = step

    def _add_raster(self, bins, neuron) -> None:
        kept_e, kept_i = self.network.raster_neurons
        n_e, window = self.network.n_excitatory, self.network.raster_bins
        column = np.where(neuron < kept_e, neuron, -1)
        is_inhibitory = (neuron >= n_e) & (neuron < n_e + kept_i)
        column[is_inhibitory] = neuron[is_inhibitory] - n_e + kept_e
        keep = (column >= 0) & (bins >= window.start) & (bins < window.stop)
        np.add.at(self.raster, (bins[keep] - window.start, column[keep]), 1)

    def activity(self, build_s: float, simulate_s: float) -> Activity:
        """What was added up."""
        return Activity(
            counts=self.counts,
            isi_cv=mean_cv(self.intervals, self.total, self.squares),
            raster=self.raster if self.network.raster else None,
            build_s=build_s,
            simulate_s=simulate_s,
        )
