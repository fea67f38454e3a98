"""Izhikevich's simple spiking neuron."""

import numpy as np

from neuroinverse.simulators.base import ParameterInfo, Signal, Simulator


class Izhikevich(Simulator):
    """v' = 0.04v² + 5v + 140 − u + I, u' = a(bv − u); at v ≥ 30 mV: v ← c, u ← u + d.

    Izhikevich EM (2003) IEEE Trans Neural Netw 14:1569. The reference engine is a NEURON mechanism that takes one
    midpoint step per dt_ms and starts at v = −65 mV, u = b·v. The peak is placed within its step by interpolation; its
    sample is 30 mV.
    """

    parameters = {
        "a": ParameterInfo("1/ms", 0.02, "rate of the recovery variable"),
        "b": ParameterInfo("1", 0.2, "sensitivity of recovery to voltage"),
        "c": ParameterInfo("mV", -65.0, "voltage after a spike"),
        "d": ParameterInfo("1", 8.0, "jump of recovery at a spike"),
    }
    stimulus_unit = "1"
    engines = ("neuron",)
    mechanisms = ("izhikevich.mod",)

    @property
    def signals(self):
        shape = (self.window.stop - self.window.start,)
        return (Signal("voltage", "mV", self.dt_ms, shape, self.window.start * self.dt_ms),)

    def simulate(self, theta, seeds):
        from neuroinverse.simulators.neuron_batch import hoc, run_batch

        h = hoc(self.library)
        values = self.columns(np.asarray(theta))

        def make_cell(i):
            section = h.Section(name=f"carrier{i}")
            cell = h.IzhikevichCell(section(0.5))
            for name in ("a", "b", "c", "d"):
                setattr(cell, name, values[name][i])
            return (section, cell), cell._ref_mv

        voltage = run_batch(
            h,
            make_cell,
            len(theta),
            self.stimulus(),
            "drive_IzhikevichCell",
            self.dt_ms,
            v_init=-65.0,
            celsius=6.3,
            window=self.window,
        )
        return {"voltage": voltage}
