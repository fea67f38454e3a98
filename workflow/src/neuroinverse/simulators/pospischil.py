"""Pospischil's minimal Hodgkin-Huxley neuron with noise."""

import numpy as np

from neuroinverse.errors import ConfigError
from neuroinverse.simulators.base import ParameterInfo, Signal, Simulator


class Pospischil(Simulator):
    """One compartment with sodium, delayed-rectifier, slow potassium and leak currents, driven by a current and noise.

    C dv/dt = -g_leak (v - E_leak) - g_Na m³h (v - E_Na) - (g_K n⁴ + g_M p) (v - E_K) + I + sigma·eta(t), with the
    kinetics of Pospischil M et al. (2008) Biol Cybern 99:427 and the eight parameters and defaults of Gonçalves PJ et
    al. (2020) eLife 9:e56261. Noise is a current of sigma/√dt times a standard normal number, constant over a step;
    that of a simulation comes from its seed alone and is the same in both engines.

    The first sample is the initial state: v at the option `v_init` (-70 mV), gates at their steady state. Between its
    samples the stimulus is linear: a step sees the mean of its two ends.

    Engines: `neuron`, backward Euler, the reference; `compiled`, exponential Euler, as the published simulations.
    """

    parameters = {
        "gna": ParameterInfo("mS/cm2", 50.0, "maximal sodium conductance"),
        "gk": ParameterInfo("mS/cm2", 5.0, "maximal conductance of the delayed-rectifier potassium current"),
        "gleak": ParameterInfo("mS/cm2", 0.1, "leak conductance"),
        "gm": ParameterInfo("mS/cm2", 0.07, "maximal conductance of the slow (M-type) potassium current"),
        "tau_max": ParameterInfo("ms", 600.0, "scale of the time constant of the slow potassium current"),
        "minus_vt": ParameterInfo("mV", 60.0, "potential by which the kinetics are shifted, its sign turned"),
        "sigma": ParameterInfo("uA/cm2*ms^0.5", 0.1, "amplitude of the current noise"),
        "minus_eleak": ParameterInfo("mV", 70.0, "leak reversal potential, its sign turned"),
        "ena": ParameterInfo("mV", 53.0, "sodium reversal potential"),
        "ek": ParameterInfo("mV", -107.0, "potassium reversal potential"),
        "cm": ParameterInfo("uF/cm2", 1.0, "membrane capacitance"),
    }
    stimulus_unit = "uA/cm2"
    engines = ("neuron", "compiled")
    mechanisms = ("pospischil.mod", "cell_current.mod", "shared_current.mod")
    options = ("v_init",)
    # two rounds of the compiled engine's lanes
    batch = 64

    @classmethod
    def for_section(cls, section):
        return CompiledPospischil if section.get("engine") == "compiled" else cls

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.v_init = self.settings.get("v_init", -70.0)
        if isinstance(self.v_init, bool) or not isinstance(self.v_init, int | float) or not np.isfinite(self.v_init):
            raise ConfigError(f"simulator.options.v_init is {self.v_init!r}; expected a potential in mV")

    @property
    def signals(self):
        shape = (self.window.stop - self.window.start,)
        return (Signal("voltage", "mV", self.dt_ms, shape, self.window.start * self.dt_ms),)

    @property
    def core_seconds(self):
        return super().core_seconds * (1.0 if self.engine == "neuron" else 0.1)

    def simulate(self, theta, seeds):
        values = self.columns(np.asarray(theta, float))
        run = self._run_neuron if self.engine == "neuron" else self._run_compiled
        voltage = run(values, seeds)
        voltage[~np.isfinite(voltage).all(axis=1)] = np.nan
        return {"voltage": voltage}

    def _run_compiled(self, values, seeds) -> np.ndarray:
        """Voltage (mV), float32, shape (batch, window); a simulation's numbers are the same beside any others."""
        from neuroinverse.simulators import pospischil_loop as loop

        wave = self.stimulus()[: self.window.stop]
        current = (wave[:-1] + wave[1:]) / 2
        constants = self._constants(values)
        voltage = np.empty((len(seeds), self.window.stop - self.window.start), np.float32)
        noise = np.zeros((loop.LANES, len(current)))
        trace = np.empty((loop.LANES, voltage.shape[1]), np.float32)
        for begin in range(0, len(seeds), loop.LANES):
            rows = slice(begin, min(begin + loop.LANES, len(seeds)))
            n = rows.stop - rows.start
            # lanes that are left repeat the last simulation
            lanes = np.ascontiguousarray(np.pad(constants[:, rows], ((0, 0), (0, loop.LANES - n)), mode="edge"))
            state = np.zeros((loop.STATES, loop.LANES))
            state[loop.V] = self.v_init
            fill_noise(noise[:n], seeds[rows])
            loop.simulate(state, lanes, current, noise, self.dt_ms, self.window.start, trace)
            voltage[rows] = trace[:n]
        return voltage

    def _constants(self, values) -> np.ndarray:
        """What the loop calls constants, shape (CONSTANTS, batch)."""
        from neuroinverse.simulators import pospischil_loop as loop

        constants = np.empty((loop.CONSTANTS, len(values["gna"])))
        constants[loop.G_NA], constants[loop.G_K] = values["gna"], values["gk"]
        constants[loop.G_M], constants[loop.G_LEAK] = values["gm"], values["gleak"]
        constants[loop.LEAK] = -values["gleak"] * values["minus_eleak"]
        constants[loop.E_NA], constants[loop.E_K] = values["ena"], values["ek"]
        constants[loop.V_T], constants[loop.SLOWNESS] = -values["minus_vt"], 1 / values["tau_max"]
        constants[loop.SHIFT] = np.exp((values["minus_vt"] - 35) / 20)
        constants[loop.NOISE], constants[loop.PER_C] = values["sigma"] / np.sqrt(self.dt_ms), 1 / values["cm"]
        return constants

    def _run_neuron(self, values, seeds) -> np.ndarray:
        """Voltage (mV), float32, shape (batch, window)."""
        from neuroinverse.simulators.neuron_batch import hoc, run_batch

        h = hoc(self.library)
        noise = fill_noise(np.empty((len(seeds), max(self.window.stop - 1, 1))), seeds)
        # NEURON solves for the voltage with the currents at the middle of a step: there stands the step's own number
        times = h.Vector((np.arange(noise.shape[1]) + 0.5) * self.dt_ms)

        def make_cell(i):
            section = h.Section(name=f"soma{i}")
            section.L = section.diam = 20
            for mechanism in ("pospischil", "shared_current", "cell_current"):
                section.insert(mechanism)
            section.cm, section.ena, section.ek = (values[name][i] for name in ("cm", "ena", "ek"))
            segment = section(0.5)
            channels = segment.pospischil
            # mS/cm2 in S/cm2
            for name, ours in (("gnabar", "gna"), ("gkbar", "gk"), ("gmbar", "gm"), ("gl", "gleak")):
                setattr(channels, name, values[ours][i] * 1e-3)
            channels.el, channels.vt = -values["minus_eleak"][i], -values["minus_vt"][i]
            channels.taumax = values["tau_max"][i]
            # uA/cm2 in mA/cm2
            played = h.Vector(noise[i] * (values["sigma"][i] / np.sqrt(self.dt_ms) * 1e-3))
            played.play(segment.cell_current._ref_density, times, True)
            return (section, played), segment._ref_v

        return run_batch(
            h,
            make_cell,
            len(seeds),
            self.stimulus() * 1e-3,
            "density_shared_current",
            self.dt_ms,
            v_init=self.v_init,
            # the rates are given at the recordings' temperature and do not change with it
            celsius=36.0,
            window=self.window,
        )


class CompiledPospischil(Pospischil):
    """The same for a study of the compiled engine, which needs no mechanisms: nothing is compiled for NEURON."""

    mechanisms = ()


def fill_noise(out: np.ndarray, seeds) -> np.ndarray:
    """Draws standard normal numbers, each simulation's from its own seed alone.

    Args:
        out: Float64, shape (batch, steps); filled. More steps only add numbers at the end.
        seeds: One per simulation, shape (batch,).

    Returns:
        `out`.
    """
    for row, seed in zip(out, seeds, strict=True):
        np.random.default_rng(int(seed)).standard_normal(out=row)
    return out
