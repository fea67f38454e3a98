"""The Hodgkin-Huxley point neuron."""

import numpy as np

from neuroinverse.simulators.base import ParameterInfo, Signal, Simulator


class HHPoint(Simulator):
    """A spherical cell with the sodium, potassium and leak currents of Hodgkin and Huxley (1952, J Physiol 117:500).

    Reference engine: NEURON, backward Euler at the protocol's dt_ms. The stimulus is a current density, so that the
    diameter, 20 um, does not enter the solution. The first sample is the initial state.
    """

    parameters = {
        "gnabar": ParameterInfo("S/cm2", 0.12, "maximal sodium conductance"),
        "gkbar": ParameterInfo("S/cm2", 0.036, "maximal potassium conductance"),
        "gl": ParameterInfo("S/cm2", 0.0003, "leak conductance"),
        "el": ParameterInfo("mV", -54.3, "leak reversal potential"),
        "ena": ParameterInfo("mV", 50.0, "sodium reversal potential"),
        "ek": ParameterInfo("mV", -77.0, "potassium reversal potential"),
        "cm": ParameterInfo("uF/cm2", 1.0, "membrane capacitance"),
    }
    stimulus_unit = "uA/cm2"
    engines = ("neuron",)
    mechanisms = ("hh1952.mod", "shared_current.mod")
    options = ("celsius", "v_init")

    @property
    def signals(self):
        shape = (self.window.stop - self.window.start,)
        return (Signal("soma_voltage", "mV", self.dt_ms, shape, self.window.start * self.dt_ms),)

    def simulate(self, theta, seeds):
        from neuroinverse.simulators.neuron_batch import hoc, run_batch

        h = hoc(self.library)
        values = self.columns(np.asarray(theta))

        def make_cell(i):
            section = h.Section(name=f"soma{i}")
            section.L = section.diam = 20
            section.insert("hh1952")
            section.insert("shared_current")
            section.cm = values["cm"][i]
            section.ena = values["ena"][i]
            section.ek = values["ek"][i]
            segment = section(0.5)
            for name in ("gnabar", "gkbar", "gl", "el"):
                setattr(segment.hh1952, name, values[name][i])
            return section, segment._ref_v

        voltage = run_batch(
            h,
            make_cell,
            len(theta),
            self.stimulus() * 1e-3,
            "density_shared_current",
            self.dt_ms,
            v_init=self.settings.get("v_init", -65.0),
            celsius=self.settings.get("celsius", 6.3),
            window=self.window,
        )
        return {"soma_voltage": voltage}
