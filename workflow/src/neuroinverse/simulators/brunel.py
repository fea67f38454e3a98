"""The Brunel network and its local field potential."""

import dataclasses
import math
from collections.abc import Mapping

from neuroinverse.errors import ConfigError, NeuroinverseError
from neuroinverse.simulators.base import ParameterInfo, Signal, Simulator
from neuroinverse.simulators.brunel_network import BIN_MS, Network, Raster
from neuroinverse.simulators.lfp_settings import check_lfp, kernel_files, kernel_settings, n_contacts
from neuroinverse.simulators.swc import READING, read_swc

NEURON = ("tau_m", "t_ref", "V_th", "V_reset", "delay")
# core time (us) of a step at order 2500 and connection probability 0.1, err high: a saturated network
STEP_US = {"nest": 7000.0, "compiled": 150.0}
# memory (MB) of a process at that size, err high
WORKER_MB = {"nest": 2000, "compiled": 500}


class Brunel(Simulator):
    """A sparse random network of excitatory and inhibitory leaky integrate-and-fire neurons with delta synapses.

    Brunel N (2000) J Comput Neurosci 8:183; the sizes and the LFP are those of Skaar et al. (2020) PLoS Comput Biol
    16:e1007725. Every simulation has connections, initial state and external input of its own, drawn from its seed.

    Engines: `nest`, the reference, is NEST (iaf_psc_delta, static_synapse_hom_w, poisson_generator), the network
    rebuilt for every simulation; `compiled` is the same model as a compiled loop. They differ in their draws and agree
    in their statistics.

    Options: `order` (2500; N_E = 4·order, N_I = order), `connection_probability` (0.1), `distributed` (relative
    standard deviation of `tau_m`, `t_ref`, `V_th` over neurons and of `delay` over synapses), `raster` (`neurons`,
    `start_ms`, `stop_ms`: spikes kept one by one), `lfp` (settings of the LFP's kernel, see `lfp_settings`).

    Signals, over protocol.record_ms: `lfp` (mV, shape (ms, contacts)), `spikes` (spikes of E and of I in bins of 1 ms),
    `isi_cv` (mean coefficient of variation of the interspike intervals of E neurons, NaN where they spike too rarely)
    and, where asked for, `raster` (spikes of single neurons in bins of 1 ms, E first).
    """

    parameters = {
        "eta": ParameterInfo(
            "1", 2.0, "external rate, over the rate that alone brings the mean potential to threshold"
        ),
        "g": ParameterInfo("1", 5.0, "inhibitory over excitatory weight"),
        "J": ParameterInfo("mV", 0.1, "excitatory weight"),
        "tau_m": ParameterInfo("ms", 20.0, "membrane time constant"),
        "t_ref": ParameterInfo("ms", 2.0, "refractory period; rounded to steps where it is inferred"),
        "V_th": ParameterInfo("mV", 20.0, "threshold above rest"),
        "V_reset": ParameterInfo("mV", 10.0, "potential after a spike, above rest"),
        "delay": ParameterInfo("ms", 1.5, "synaptic delay; rounded to steps where it is inferred"),
    }
    stimulus_unit = None
    engines = ("nest", "compiled")
    options = ("order", "connection_probability", "distributed", "raster", "lfp")
    needs_kernel = True
    batch = 1

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._kernel = None
        for name, least in (("eta", "eta >= 0"), ("g", "g >= 0"), ("J", "J > 0")):
            value = self.fixed.get(name, 1.0)
            if not 0 <= value < math.inf or (name == "J" and value == 0):
                raise ConfigError(f"simulator.fixed.{name} is {value:g}; expected {least}")
        check_lfp(self._mapping("lfp"))
        self.revision = READING if self.kernel_files() else 0
        self.network = self._network()

    def _mapping(self, option: str) -> Mapping:
        value = self.settings.get(option, {})
        if not isinstance(value, Mapping):
            raise ConfigError(f"simulator.options.{option} is {value!r}; expected keys and values")
        return value

    def _network(self) -> Network:
        """The network with the defaults of what is inferred."""
        try:
            raster = None
            if "raster" in self.settings:
                raster = Raster(**_numbers("raster", self._mapping("raster"), ("neurons", "start_ms", "stop_ms")))
            distributed = dict(self._mapping("distributed"))
            values = {k: self.fixed.get(k, self.parameters[k].default) for k in NEURON}
            for key in distributed:
                if key in self.free:
                    raise ConfigError(f"distributed.{key}: {key} is inferred; distribute what is fixed")
            sizes = {k: self.settings[k] for k in ("order", "connection_probability") if k in self.settings}
            for name, value in sizes.items():
                if isinstance(value, bool) or not isinstance(value, (int, float)):
                    raise ConfigError(f"{name} is {value!r}; expected a number")
            window = (self.window.start * self.dt_ms, self.window.stop * self.dt_ms)
            return Network(
                **sizes,
                **values,
                dt_ms=self.dt_ms,
                duration_ms=round(self.n_steps * self.dt_ms, 9),
                record_ms=tuple(round(t, 9) for t in window),
                distributed=distributed,
                raster=raster,
            )
        except ConfigError as error:
            raise ConfigError(_placed(str(error))) from error

    @property
    def signals(self):
        start, stop = self.network.record_ms
        bins = round((stop - start) / BIN_MS)
        signals = (
            Signal("lfp", "mV", BIN_MS, (bins, n_contacts(self._mapping("lfp"))), start),
            Signal("spikes", "1", BIN_MS, (bins, 2), start),
            Signal("isi_cv", "1", stop - start, (1,), start, may_be_nan=True),
        )
        raster = self.network.raster
        if raster is None:
            return signals
        bins = round((raster.stop_ms - raster.start_ms) / BIN_MS)
        return (*signals, Signal("raster", "1", BIN_MS, (bins, raster.neurons), raster.start_ms))

    @property
    def populations(self) -> dict:
        """What a reader of the signals must know: the size of each population, and how many of the raster are E."""
        return {
            "neurons": {"E": self.network.n_excitatory, "I": self.network.n_inhibitory},
            "raster_E": self.network.raster_neurons[0],
        }

    @property
    def core_seconds(self):
        synapses = self.network.n_neurons * sum(self.network.in_degrees)
        share = synapses / (12_500 * 1250) + self.network.n_neurons / 12_500
        return self.n_steps * STEP_US[self.engine] * 1e-6 * share / 2

    @property
    def worker_mb(self):
        return WORKER_MB[self.engine]

    def kernel_settings(self):
        return kernel_settings(self._mapping("lfp"), self.network.order, self.network.connection_probability)

    def kernel_files(self):
        return kernel_files(self._mapping("lfp"))

    def describe(self):
        return [line for path in self.kernel_files() for line in read_swc(path).describe()]

    def networks(self, theta) -> list[Network]:
        """The network of every simulation.

        Args:
            theta: As of `simulate`.
        """
        values = self.columns(theta)
        inferred = [name for name in NEURON if name in self.free]
        networks = []
        for i in range(len(theta)):
            changes = {name: float(values[name][i]) for name in inferred}
            for name in {"t_ref", "delay"} & set(inferred):
                changes[name] = max(1, round(changes[name] / self.dt_ms)) * self.dt_ms
            networks.append(dataclasses.replace(self.network, **changes) if changes else self.network)
        return networks

    def simulate(self, theta, seeds):
        """As the contract says; `silent` is true where no neuron spiked in the recorded window.

        Raises:
            NeuroinverseError: If there is no kernel, or it was made for other settings.
        """
        import numpy as np

        kernel = self._read_kernel()
        if self.engine == "nest":
            from neuroinverse.simulators.brunel_nest import run
        else:
            from neuroinverse.simulators.brunel_compiled import run
        theta = np.asarray(theta)
        values = self.columns(theta)
        result = {s.name: np.zeros((len(theta), *s.shape), np.float32) for s in self.signals}
        silent = np.zeros(len(theta), bool)
        for i, network in enumerate(self.networks(theta)):
            eta, g, J = (float(values[name][i]) for name in ("eta", "g", "J"))
            activity = run(network, eta, g, J, int(seeds[i]))
            # from the start of the simulation: the potential of earlier spikes reaches into the window
            result["lfp"][i] = kernel.lfp(activity.counts, J, g)[network.bins]
            result["spikes"][i] = activity.counts[network.bins]
            result["isi_cv"][i] = activity.isi_cv
            if network.raster:
                result["raster"][i] = activity.raster
            silent[i] = not activity.counts[network.bins].any()
        return result | {"silent": silent}

    def _read_kernel(self):
        if self._kernel is None:
            if self.kernel is None:
                raise NeuroinverseError(
                    "Brunel: the LFP needs a kernel; make it with `neuroinverse compute_kernel` and give it as --kernel"
                )
            from neuroinverse.simulators.lfp_kernel import read_kernel

            self._kernel = read_kernel(self.kernel, self.kernel_settings())
        return self._kernel


def _numbers(option: str, given: Mapping, keys: tuple[str, ...]) -> dict:
    """The option's keys, all of them and no others, as numbers."""
    for key in given:
        if key not in keys:
            raise ConfigError(f"{option}: unknown key {key!r}; expected {', '.join(keys)}")
    for key in keys:
        if key not in given:
            raise ConfigError(f"{option}.{key} is missing; add it ({', '.join(keys)} are needed)")
        if isinstance(given[key], bool) or not isinstance(given[key], (int, float)):
            raise ConfigError(f"{option}.{key} is {given[key]!r}; expected a number")
    return dict(given)


def _placed(message: str) -> str:
    """The message with the place of its key in the study file in front."""
    first = message.split()[0].partition(".")[0].rstrip(":")
    if first in NEURON:
        return f"simulator.fixed.{message}"
    return message if first == "protocol" else f"simulator.options.{message}"
