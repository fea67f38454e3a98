"""Cells of many compartments: built once in a process, given other parameters for every simulation.

A subclass builds its cell in NEURON and says which numbers its parameters become in which part of it. From the two
come both engines: NEURON itself, the reference, and a compiled one that reads the cell's compartments from NEURON.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neuroinverse.errors import ConfigError
from neuroinverse.simulators.base import Signal, Simulator


@dataclass(frozen=True)
class Setting:
    """One number that a simulation sets in a part of the cell.

    Args:
        region: Key of `Cell.regions`.
        mechanism: Such as "pas"; None for a property of the section, "cm" or "Ra".
        name: The mechanism's parameter, such as "g".
        value: In NEURON's unit of it.
    """

    region: str
    mechanism: str | None
    name: str
    value: float


@dataclass
class Cell:
    """A cell that stands in NEURON.

    Args:
        regions: NEURON's sections by the name of the region; every section is in one region.
        sites: NEURON's segments by the name of the site: where is injected and recorded.
    """

    regions: dict[str, list]
    sites: dict[str, object]

    def close(self) -> None:
        """Called when its sections are gone."""


class CableCell(Simulator):
    """A cell of many compartments, driven by currents.

    Fixed steps of dt_ms, backward Euler; the first sample is the initial state. Between its samples a stimulus is
    linear: a step sees the mean of its two ends.

    Options: `record`, the sites whose voltage is recorded (the soma); `max_segment_um`, the longest compartment (50).
    Each stimulus may name its `site` (the soma). The signal has a channel for every stimulus and site; one channel
    alone has no axis of its own.
    """

    stimulus_unit = "nA"
    several_stimuli = True
    engines = ("neuron", "compiled")
    options = ("record", "max_segment_um")
    # lanes of the compiled engine
    batch = 32
    core_us_per_step = 30.0
    # the first is where is injected and recorded unless said otherwise
    site_names: tuple[str, ...] = ("soma",)
    v_init: ClassVar[float]
    celsius: ClassVar[float]

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        where = "simulator.options"
        self.record = self.settings.get("record", list(self.site_names[:1]))
        if not isinstance(self.record, list) or not self.record or len(set(map(str, self.record))) < len(self.record):
            raise ConfigError(f"{where}.record is {self.record!r}; expected a list of sites, each once")
        self.stimulus_sites = [spec.get("site", self.site_names[0]) for spec in self.stimulus_specs]
        for key, sites in ((f"{where}.record", self.record), ("protocol.stimulus.site", self.stimulus_sites)):
            for site in sites:
                if site not in self.site_names:
                    raise ConfigError(
                        f"{key}: {type(self).__name__} has no site {site!r}; it has {', '.join(self.site_names)}"
                    )
        self.max_segment_um = self.settings.get("max_segment_um", 50.0)
        if not _positive(self.max_segment_um):
            raise ConfigError(f"{where}.max_segment_um is {self.max_segment_um!r}; expected a length above 0")
        self._compartments = None

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels: the site, and with several stimuli its number, kind and site before it."""
        if len(self.stimulus_specs) == 1:
            return tuple(self.record)
        given = zip(self.stimulus_specs, self.stimulus_sites, strict=True)
        return tuple(
            f"{i}_{spec['kind']}_{site}:{recorded}"
            for i, (spec, site) in enumerate(given, start=1)
            for recorded in self.record
        )

    @property
    def signals(self):
        n, names = self.window.stop - self.window.start, self.channels
        shape = (n, len(names)) if len(names) > 1 else (n,)
        return (Signal("voltage", "mV", self.dt_ms, shape, self.window.start * self.dt_ms, channels=names),)

    @property
    def core_seconds(self):
        return super().core_seconds * len(self.stimulus_specs) * (1.0 if self.engine == "neuron" else 0.1)

    @property
    def worker_mb(self):
        samples = self.n_steps * self.batch * len(self.channels)
        return 300 + samples * 16 // 2**20

    @abstractmethod
    def build(self, h) -> Cell:
        """Builds the cell with all mechanisms, and everything set that no parameter changes.

        Args:
            h: NEURON's interpreter.
        """

    @abstractmethod
    def settings_of(self, values: Mapping[str, float]) -> Sequence[Setting]:
        """What the parameters of one simulation become.

        Args:
            values: Every parameter by name, in its unit.
        """

    def apply(self, cell: Cell, setting: Setting) -> None:
        """Sets a number in the cell that stands in NEURON."""
        for section in cell.regions[setting.region]:
            if setting.mechanism is None:
                setattr(section, setting.name, setting.value)
                continue
            for segment in section:
                setattr(getattr(segment, setting.mechanism), setting.name, setting.value)

    def begin(self, cell: Cell, seed: int) -> None:
        """Called before each of NEURON's simulations is initialised: noise that NEURON draws comes from the seed."""

    def end(self, cell: Cell, settings: Sequence[Setting]) -> None:
        """Called after each of NEURON's simulations, the cell as it is then.

        Raises:
            ConfigError: If what was simulated is not what the settings say.
        """

    def simulate(self, theta, seeds):
        columns = self.columns(np.asarray(theta, float))
        settings = [self.settings_of({k: v[i] for k, v in columns.items()}) for i in range(len(theta))]
        run = self.run_neuron if self.engine == "neuron" else self._run_compiled
        sites = zip(self.stimulus_sites, self.waveforms(), strict=True)
        voltage = np.concatenate([run(settings, seeds, site, wave) for site, wave in sites], axis=2)
        return {"voltage": voltage if voltage.shape[2] > 1 else voltage[:, :, 0]}

    def _run_compiled(self, settings, seeds, site: str, wave: np.ndarray) -> np.ndarray:
        from neuroinverse.simulators import cable_compiled, cable_table

        if self._compartments is None:
            self._compartments = cable_table.compartments(standing_cell(self))
            take_down()
        return cable_compiled.run(
            self._compartments,
            settings,
            stimulus=wave,
            site=site,
            record=self.record,
            dt_ms=self.dt_ms,
            v_init=self.v_init,
            celsius=self.celsius,
            window=self.window,
        )

    def run_neuron(self, settings, seeds, site: str, wave: np.ndarray) -> np.ndarray:
        """One simulation after the other, float32, shape (simulations, window, sites)."""
        cell = standing_cell(self)
        h = interpreter_of(self)
        h.celsius, h.dt, h.secondorder = self.celsius, self.dt_ms, 0
        solver = h.CVode()
        solver.active(False)
        # values of a mechanism side by side in memory: a tenth faster
        solver.cache_efficient(True)
        clamp = h.IClamp(cell.sites[site])
        clamp.delay, clamp.dur = 0, 1e9
        amplitude, times = h.Vector(wave), h.Vector(np.arange(len(wave)) * self.dt_ms)
        amplitude.play(clamp._ref_amp, times, True)
        # without an interval NEURON samples at every step
        vectors = [h.Vector().record(cell.sites[name]._ref_v) for name in self.record]
        context = h.ParallelContext()
        context.set_maxstep(10)
        result = np.empty((len(settings), self.window.stop - self.window.start, len(vectors)), np.float32)
        try:
            for row, simulation, seed in zip(result, settings, seeds, strict=True):
                for setting in simulation:
                    self.apply(cell, setting)
                self.begin(cell, int(seed))
                h.finitialize(self.v_init)
                context.psolve((self.window.stop - 1) * self.dt_ms)
                for channel, vector in enumerate(vectors):
                    row[:, channel] = vector.as_numpy()[self.window]
                self.end(cell, simulation)
        finally:
            # an error may be held on to, and with it whatever stands here
            for vector in (amplitude, *vectors):
                vector.play_remove()
            del clamp
        return result


# NEURON simulates whatever stands in the process: one cell at a time
_standing: tuple[CableCell, Cell] | None = None


def standing_cell(simulator: CableCell) -> Cell:
    """The simulator's cell, built now where another stands in NEURON or none."""
    global _standing
    if _standing is None or _standing[0] is not simulator:
        take_down()
        _standing = simulator, simulator.build(interpreter_of(simulator))
    return _standing[1]


def take_down() -> None:
    """Removes the cell that stands in NEURON, if there is one."""
    global _standing
    if _standing is not None:
        simulator, cell = _standing
        _standing = None
        cell.sites.clear()
        for section in (s for region in cell.regions.values() for s in region):
            interpreter_of(simulator).delete_section(sec=section)
        cell.regions.clear()
        cell.close()


def interpreter_of(simulator: CableCell):
    """NEURON's interpreter, with the simulator's mechanisms."""
    from neuroinverse.simulators.neuron_batch import hoc, interpreter

    return hoc(simulator.library) if simulator.mechanisms else interpreter()


def insert(section, *mechanisms: str) -> None:
    """Inserts mechanisms into a section."""
    for mechanism in mechanisms:
        section.insert(mechanism)


def segments(length_um: float, longest_um: float) -> int:
    """Number of equal compartments, none longer than `longest_um`, as Mainen and Sejnowski count them."""
    return int(length_um / longest_um) + 1


def _positive(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
