"""The contract of a simulator: physical parameters in, signals out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from neuroinverse.errors import ConfigError


class SimulationFailed(Exception):
    """Raised by a simulator: these parameters have no result, and that is no mistake of the study."""


@dataclass(frozen=True)
class ParameterInfo:
    """A parameter that a simulator offers: unit, default value in it, and meaning."""

    unit: str
    default: float
    description: str = ""


@dataclass(frozen=True)
class Signal:
    """One output of a simulator.

    Args:
        name: Name in the shard and in the study.
        unit: Physical unit.
        dt_ms: Sampling interval (ms).
        shape: Shape of one simulation's array: (time,) or (time, channel).
        t0_ms: Time of the first sample (ms).
        may_be_nan: Whether NaN says "undefined" here, and not that the simulation failed.
        channels: Names of the channels, where they have some.
    """

    name: str
    unit: str
    dt_ms: float
    shape: tuple[int, ...]
    t0_ms: float = 0.0
    may_be_nan: bool = False
    channels: tuple[str, ...] = ()


def stimuli(protocol: Mapping) -> list[Mapping]:
    """The stimuli of a protocol: none, one, or several, each a run of its own."""
    given = protocol.get("stimulus", [])
    return list(given) if isinstance(given, list) else [given]


class Simulator(ABC):
    """A forward model.

    Subclasses declare what they offer in class attributes and import their engine only inside `simulate`.

    Args:
        free: Names of the inferred parameters: the columns of theta.
        fixed: Values for other parameters, by name, in the parameter's unit; defaults hold where it is silent.
        protocol: `dt_ms`, `duration_ms`, optionally `record_ms`, the stored window, and `stimulus` where the simulator
            takes one, a list where it takes several.
        engine: One of `engines`; the first, the reference, where it is not given.
        options: What the simulator documents.
        library: Compiled mechanisms, for simulators that have `mechanisms`.
        kernel: File that `compute_kernel` made, for simulators that need one; read in `simulate` only.
        master_seed: Seed for noise in the stimulus.

    Raises:
        ConfigError: If a parameter, engine or option is unknown, or the protocol does not fit.
    """

    parameters: ClassVar[Mapping[str, ParameterInfo]]
    # None: the simulator takes no stimulus
    stimulus_unit: ClassVar[str | None]
    # several stimuli are as many runs, whose responses are further channels
    several_stimuli: ClassVar[bool] = False
    engines: ClassVar[tuple[str, ...]] = ("python",)
    # MOD files by name, and where they are; None: beside the user's own simulator, or in the package
    mechanisms: ClassVar[tuple[str, ...]] = ()
    mechanism_folder: ClassVar[Path | None] = None
    # Python packages behind the traces whose version is part of the specification
    packages: ClassVar[tuple[str, ...]] = ()
    # part of the specification where not 0: raised where the same study is simulated otherwise than before
    revision: int = 0
    # core time (us) of one simulation and time step, err high: jobs on clusters ask for time by it
    core_us_per_step: ClassVar[float] = 1.0
    # simulations per call of `simulate`: past about 50, point cells gain little more and only delay progress; networks
    # take one or a few
    batch: ClassVar[int] = 50
    options: ClassVar[tuple[str, ...]] = ()
    # whether a file made by `compute_kernel` is needed: see `kernel_settings`
    needs_kernel: ClassVar[bool] = False

    @classmethod
    def for_section(cls, section: Mapping) -> type["Simulator"]:
        """The class for a study's `simulator` section: another one where its options say what the parameters are."""
        return cls

    def __init__(
        self,
        free: Sequence[str],
        protocol: Mapping,
        fixed: Mapping[str, float] | None = None,
        engine: str | None = None,
        options: Mapping | None = None,
        library: Path | None = None,
        kernel: Path | None = None,
        master_seed: int = 0,
    ):
        name = type(self).__name__
        for what, given, known in (
            ("parameter", free, self.parameters),
            ("parameter", fixed or {}, self.parameters),
            ("engine", [engine] if engine else [], self.engines),
            ("option", options or {}, self.options),
        ):
            for item in given:
                if item not in known:
                    raise ConfigError(f"{name} has no {what} {item!r}; it has {', '.join(known) or 'none'}")
        both = set(free) & set(fixed or {})
        if both:
            raise ConfigError(f"{name}: {', '.join(sorted(both))} cannot be both inferred and fixed")
        # what the study says a word of: the rest has its default
        self._given = {*free, *(fixed or {})}
        self.free = tuple(free)
        self.fixed = {k: v.default for k, v in self.parameters.items() if k not in free} | dict(fixed or {})
        self.engine = engine or self.engines[0]
        self.settings = dict(options or {})
        self.library = library
        self.kernel = kernel
        self.master_seed = master_seed
        self._read_protocol(protocol)

    def _read_protocol(self, protocol: Mapping) -> None:
        self.dt_ms = float(protocol["dt_ms"])
        self.stimulus_specs, name = stimuli(protocol), type(self).__name__
        if self.stimulus_unit is None:
            if self.stimulus_specs:
                raise ConfigError(f"protocol.stimulus: {name} takes no stimulus; remove it")
        elif not self.stimulus_specs:
            raise ConfigError(f"protocol: missing 'stimulus'; {name} takes one in {self.stimulus_unit!r}; add it")
        elif len(self.stimulus_specs) > 1 and not self.several_stimuli:
            raise ConfigError(f"protocol.stimulus: {len(self.stimulus_specs)} stimuli; {name} takes one")
        for stimulus in self.stimulus_specs:
            if stimulus["unit"] != self.stimulus_unit:
                raise ConfigError(
                    f"protocol.stimulus.unit is {stimulus['unit']!r}; {name} takes {self.stimulus_unit!r}"
                )
            if "site" in stimulus and not self.several_stimuli:
                raise ConfigError(f"protocol.stimulus.site: {name} has no sites; remove it")
        self.n_steps = self._samples("duration_ms", protocol["duration_ms"])
        start, stop = protocol.get("record_ms") or (0, protocol["duration_ms"])
        self.window = slice(self._samples("record_ms", start), self._samples("record_ms", stop))
        if not 0 <= self.window.start < self.window.stop <= self.n_steps:
            raise ConfigError(
                f"protocol.record_ms is [{start:g}, {stop:g}]; expected 0 <= start < stop <= duration_ms "
                f"({protocol['duration_ms']:g})"
            )

    def _samples(self, key: str, time_ms: float) -> int:
        samples = round(time_ms / self.dt_ms)
        if abs(samples * self.dt_ms - time_ms) > 1e-6 * self.dt_ms * max(samples, 1):
            raise ConfigError(f"protocol.{key}: {time_ms:g} ms is no whole number of steps of dt_ms {self.dt_ms:g}")
        return samples

    def waveforms(self) -> list:
        """Every stimulus in `stimulus_unit`, float64, each of shape (n_steps,)."""
        from neuroinverse.stimuli import waveform

        return [waveform(spec, self.n_steps, self.dt_ms, self.master_seed) for spec in self.stimulus_specs]

    def stimulus(self):
        """What is injected, in `stimulus_unit`, float64, shape (n_steps,); (n_steps, stimuli) where there are several.

        None where the simulator takes none.
        """
        waves = self.waveforms()
        if len(waves) < 2:
            return waves[0] if waves else None
        import numpy as np

        return np.stack(waves, axis=1)

    def files(self) -> tuple[Path, ...]:
        """Files behind the traces beside mechanisms and kernel, such as morphologies: their contents are part of the
        specification."""
        return ()

    def describe(self) -> list[str]:
        """What a user's files were taken for, such as the parts of a cell, and what is odd about them: a line each."""
        return []

    @property
    def core_seconds(self) -> float:
        """Core time of one simulation (s), err high: jobs on clusters ask for time by it."""
        return self.n_steps * self.core_us_per_step * 1e-6

    @property
    def worker_mb(self) -> int:
        """Memory of one process that simulates (MB), err high: jobs ask for memory by it."""
        return 200

    def kernel_settings(self) -> dict:
        """Everything that the kernel depends on but files and the seed, as JSON values, where `needs_kernel`."""
        raise NotImplementedError(f"{type(self).__name__} says that it needs a kernel and not which")

    def kernel_files(self) -> tuple[Path, ...]:
        """Files that enter the kernel beside its settings, such as morphologies."""
        return ()

    def columns(self, theta) -> dict:
        """All parameters by name, each of shape (batch,): the inferred ones from theta, the others fixed."""
        import numpy as np

        values = {name: np.full(len(theta), value) for name, value in self.fixed.items()}
        return values | {name: theta[:, i] for i, name in enumerate(self.free)}

    @property
    @abstractmethod
    def signals(self) -> tuple[Signal, ...]:
        """The outputs, in a fixed order."""

    @abstractmethod
    def simulate(self, theta, seeds) -> dict:
        """Runs a batch.

        A simulation's result may depend on its own row of theta and its own seed alone, never on the batch. An
        exception is halved down to the simulations that raise it; SimulationFailed says that it is no mistake.

        Args:
            theta: Physical parameters, float64, shape (batch, n_parameters), columns in the order of `free`.
            seeds: One seed per simulation, uint64, shape (batch,).

        Returns:
            Arrays by signal name, shape (batch, time[, channel]); NaN where a simulation failed. Beside the signals, a
            network may return `silent`, bool, shape (batch,): where it is true nothing spiked, and the simulation is
            counted and left out.
        """
