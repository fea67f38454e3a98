"""One cell of hnn-core's column, driven by random events: what a surrogate of it learns from."""

import numpy as np

from neuroinverse.errors import ConfigError, require_known
from neuroinverse.simulators.base import ParameterInfo, Signal, Simulator
from neuroinverse.simulators.column import LOCATION_CHANNELS, SECTIONS, cell_type, is_pyramidal, section_channels

INPUTS = ("location", "section")
# core time (us) of an integration step, err high
STEP_US = {"L2_pyramidal": 10.0, "L2_basket": 2.0, "L5_pyramidal": 30.0, "L5_basket": 2.0}


class HnnSimulator(Simulator):
    """What simulators of hnn-core's cells share: NEURON steps of `dt_integration_ms`, of which every so many is kept.

    The potentials of the first sample are those with which hnn-core starts each section, and the dipole of the first is
    0. The transient after it lasts about 100 ms.
    """

    stimulus_unit = None
    engines = ("neuron",)
    packages = ("hnn-core", "neuron")

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.step_ms = self.number("dt_integration_ms", 0.1)
        self.steps = round(self.dt_ms / self.step_ms)
        if abs(self.steps * self.step_ms - self.dt_ms) > 1e-9 or not self.steps:
            raise ConfigError(
                f"simulator.options.dt_integration_ms is {self.step_ms:g}; expected a whole part of protocol.dt_ms "
                f"({self.dt_ms:g})"
            )
        self.stop_ms = (self.window.stop - 1) * self.dt_ms

    def number(self, option: str, default: float) -> float:
        """An option that is a number above 0."""
        value = self.settings.get(option, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < np.inf:
            raise ConfigError(f"simulator.options.{option} is {value!r}; expected a number above 0")
        return float(value)

    def signal(self, name: str, unit: str, channels: tuple[str, ...]) -> Signal:
        """A signal over the stored window, with an axis of channels also where there is one."""
        start, stop = self.window.start, self.window.stop
        return Signal(name, unit, self.dt_ms, (stop - start, len(channels)), start * self.dt_ms, channels=channels)

    def kept(self, recorded) -> np.ndarray:
        """What is kept of a value at every integration step, shape (window,)."""
        return np.asarray(recorded)[:: self.steps][self.window]

    def spike_counts(self, times) -> np.ndarray:
        """Spikes between each sample and the one before it, shape (window,).

        Args:
            times: Of the spikes (ms).
        """
        # NEURON's spikes are 1e-10 ms after their step
        samples = np.ceil(np.asarray(times) / self.dt_ms - 1e-6).astype(int)
        return np.bincount(samples, minlength=self.window.stop)[self.window]


class HnnCell(HnnSimulator):
    """A cell of hnn-core's calcium model alone, every channel driven by a Poisson train of its own.

    Events arrive at the start of a bin of dt_ms. The weight of each (peak conductance, uS) is log-uniform between the
    option `weight_low_uS` and the parameter `weight_high`; several in a bin add up. Inhibitory channels have rate and
    upper end of their own. An event of a location reaches all its sections with its weight.

    Options: `cell`, hnn-core's name; `inputs`, `location` (the channels of the column's projections and drives) or
    `section` (every receptor of every section); `weight_low_uS` (1e-4); `dt_integration_ms` (0.1).

    Signals: `inputs` (uS, summed weights of the events at the start of each bin), `voltage` (mV, each section's
    middle), `dipole` (fAm, of pyramidal cells, no baseline subtracted), `spikes` (crossings of 0 mV by the soma between
    a sample and the one before it). A sample is the state at its time, which events of that time have not reached yet.
    """

    parameters = {
        "rate": ParameterInfo("Hz", 10.0, "mean rate of the events of each AMPA or NMDA channel"),
        "weight_high": ParameterInfo("uS", 0.1, "upper end of their weights"),
        "rate_gaba": ParameterInfo("Hz", 10.0, "mean rate of the events of each GABA channel"),
        "weight_high_gaba": ParameterInfo("uS", 0.1, "upper end of their weights"),
    }
    options = ("cell", "inputs", "weight_low_uS", "dt_integration_ms")
    batch = 20

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        where = "simulator.options"
        if "cell" not in self.settings:
            raise ConfigError(f"{where}: missing 'cell'; expected one of {', '.join(SECTIONS)}")
        self.cell, self.inputs = self.settings["cell"], self.settings.get("inputs", INPUTS[0])
        require_known(f"{where}.cell", [self.cell], SECTIONS)
        require_known(f"{where}.inputs", [self.inputs], INPUTS)
        self.channels = LOCATION_CHANNELS[self.cell] if self.inputs == "location" else section_channels(self.cell)
        self.weight_low = self.number("weight_low_uS", 1e-4)
        self._check({name: value for name, value in self.fixed.items() if name not in self.free})

    def _check(self, values) -> None:
        """Refuses rates below 0, and upper ends of the weights below their lower one."""
        for name, value in values.items():
            least, key = (
                (0.0, "") if name.startswith("rate") else (self.weight_low, " (simulator.options.weight_low_uS)")
            )
            if not np.min(value) >= least:
                raise ConfigError(f"{name} is {np.min(value):g}; expected at least {least:g}{key}")

    @property
    def signals(self):
        signals = (
            self.signal("inputs", "uS", self.channels),
            self.signal("voltage", "mV", SECTIONS[self.cell]),
            self.signal("dipole", "fAm", ("dipole",)),
            self.signal("spikes", "1", ("soma",)),
        )
        return signals if is_pyramidal(self.cell) else tuple(s for s in signals if s.name != "dipole")

    @property
    def core_seconds(self):
        return self.n_steps * self.steps * STEP_US[self.cell] * 1e-6

    @property
    def worker_mb(self):
        # each value of each section at every integration step, while a batch runs
        return 300 + round(self.batch * self.n_steps * self.steps * len(cell_type(self.cell).outputs) * 8e-6)

    def simulate(self, theta, seeds):
        from neuroinverse.simulators.hnn_core_adapter import DrivenCell, run

        values = self.columns(np.asarray(theta, float))
        self._check(values)
        result = {s.name: np.empty((len(seeds), *s.shape), np.float32) for s in self.signals}
        # built anew for every batch, 3 ms each: what would stand here any longer would be simulated by others too
        cells = [DrivenCell(self.cell, self.channels) for _ in seeds]
        voltages = [cell.record() for cell in cells]
        for i, cell in enumerate(cells):
            inputs = self._events(int(seeds[i]), {name: value[i] for name, value in values.items()})
            cell.play(inputs, self.dt_ms)
            result["inputs"][i] = inputs[self.window]
        run(cells, self.stop_ms, self.step_ms)
        for i, cell in enumerate(cells):
            for channel, name in enumerate(SECTIONS[self.cell]):
                result["voltage"][i, :, channel] = self.kept(voltages[i][name])
            if "dipole" in result:
                result["dipole"][i, :, 0] = self.kept(cell.dipole)
            result["spikes"][i, :, 0] = self.spike_counts(cell.spike_times)
        failed = ~np.isfinite(result["voltage"]).all(axis=(1, 2))
        for array in result.values():
            array[failed] = np.nan
        return result

    def _events(self, seed: int, values: dict[str, float]) -> np.ndarray:
        """Summed weights of the events of every bin (uS), float32, shape (n_steps, n_channels)."""
        suffixes = ["_gaba" if "gaba" in channel else "" for channel in self.channels]
        rates, highs = (np.array([values[name + s] for s in suffixes]) for name in ("rate", "weight_high"))
        counting, weighing = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
        counts = counting.poisson(rates * self.dt_ms * 1e-3, (self.n_steps, len(rates)))
        # one entry per event: bin after bin, and in each channel after channel
        places = np.repeat(np.arange(counts.size), counts.ravel())
        highs = highs[places % len(highs)]
        weights = self.weight_low * (highs / self.weight_low) ** weighing.random(len(places))
        return np.bincount(places, weights, counts.size).reshape(counts.shape).astype(np.float32)
