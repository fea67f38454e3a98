"""The Brunel network as data: constants, checks, what is drawn outside the engines, what an engine returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from neuroinverse.errors import ConfigError

# a neuron with fewer spikes in the recorded window has no coefficient of variation of its interspike intervals
CV_SPIKES = 5
# spikes are counted in bins of this width (ms)
BIN_MS = 1.0
DISTRIBUTED = ("tau_m", "t_ref", "V_th", "delay")
# distributed delays end this many standard deviations above their mean: one synapse in a billion
DELAY_SPREAD = 6.0
# steps of the longest distributed delay: the compiled engine keeps them in a byte
LONGEST_DELAY = 250
# arrivals of one step are 16-bit counts
LARGEST_IN_DEGREE = 30_000


@dataclass(frozen=True)
class Raster:
    """Which spikes are kept one by one.

    Args:
        neurons: Number of neurons: the first of each population, excitatory ones first, in proportion to its size.
        start_ms: Start of the kept time (ms from the start of the simulation).
        stop_ms: Its end (ms).
    """

    neurons: int
    start_ms: float
    stop_ms: float


@dataclass(frozen=True)
class Network:
    """A random network of excitatory (E) and inhibitory (I) leaky integrate-and-fire neurons with delta synapses.

    Brunel N (2000) J Comput Neurosci 8:183, as in NEST's examples: E_L is 0 mV; every neuron gets C_E synapses from E
    neurons and C_I from I neurons drawn with replacement, itself not excluded.

    Args:
        order: N_I; N_E is four times that.
        connection_probability: C_E / N_E and C_I / N_I.
        tau_m: Membrane time constant (ms).
        t_ref: Refractory period (ms).
        V_th: Threshold (mV).
        V_reset: Potential after a spike (mV).
        delay: Synaptic delay (ms).
        dt_ms: Time step (ms).
        duration_ms: Simulated time (ms).
        record_ms: Start and end of the recorded window (ms).
        distributed: Relative standard deviation by name: `tau_m`, `t_ref`, `V_th` over neurons, `delay` over synapses.
        raster: Spikes to keep one by one.

    Raises:
        ConfigError: If a value cannot be, or the parts do not fit each other.
    """

    order: int = 2500
    connection_probability: float = 0.1
    tau_m: float = 20.0
    t_ref: float = 2.0
    V_th: float = 20.0
    V_reset: float = 10.0
    delay: float = 1.5
    dt_ms: float = 0.1
    duration_ms: float = 3000.0
    record_ms: tuple[float, float] = (150.0, 3000.0)
    distributed: Mapping[str, float] = field(default_factory=dict)
    raster: Raster | None = None

    def __post_init__(self):
        self._check_connections()
        self._check_neuron()
        self._check_times()
        self._check_distributed()
        self._check_raster()

    # --- sizes ---------------------------------------------------------------------------------------------------

    @property
    def n_excitatory(self) -> int:
        """N_E."""
        return 4 * self.order

    @property
    def n_inhibitory(self) -> int:
        """N_I."""
        return self.order

    @property
    def n_neurons(self) -> int:
        """All neurons: 0 to N_E − 1 are excitatory, the rest inhibitory."""
        return 5 * self.order

    @property
    def in_degrees(self) -> tuple[int, int]:
        """C_E and C_I."""
        return round(self.connection_probability * 4 * self.order), round(self.connection_probability * self.order)

    @property
    def n_steps(self) -> int:
        """Time steps."""
        return self.steps(self.duration_ms)

    @property
    def window(self) -> slice:
        """Steps of the recorded window."""
        return slice(*(self.steps(t) for t in self.record_ms))

    @property
    def bins(self) -> slice:
        """Bins of the recorded window."""
        return slice(*(round(t / BIN_MS) for t in self.record_ms))

    @property
    def n_bins(self) -> int:
        """Bins of the whole simulation."""
        return -(-self.n_steps // self.steps(BIN_MS))

    @property
    def raster_neurons(self) -> tuple[int, int]:
        """Neurons of the raster: E and I."""
        inhibitory = round(self.raster.neurons / 5) if self.raster else 0
        return (self.raster.neurons - inhibitory, inhibitory) if self.raster else (0, 0)

    @property
    def raster_bins(self) -> slice:
        """Bins of the raster."""
        return slice(round(self.raster.start_ms / BIN_MS), round(self.raster.stop_ms / BIN_MS))

    def steps(self, time_ms: float) -> int:
        """A time in steps, to the nearest."""
        return round(time_ms / self.dt_ms)

    def external_rate(self, eta: float, J: float) -> float:
        """Rate of the external Poisson input of one neuron (events per ms): eta·nu_th·C_E = eta·V_th/(J·tau_m).

        With distributed V_th or tau_m these are their means over the network.

        Raises:
            ValueError: If eta is negative, or J not positive or so small that a step's events exceed a 16-bit count.
        """
        if not (eta >= 0 and 0 < J < float("inf")):
            raise ValueError(f"eta is {eta:g} and J {J:g} mV; expected eta >= 0 and J > 0")
        rate = eta * self.V_th / (J * self.tau_m)
        if rate * self.dt_ms > LARGEST_IN_DEGREE:
            raise ValueError(
                f"eta {eta:g} and J {J:g} mV give {rate * self.dt_ms:.3g} external events per step; expected at most "
                f"{LARGEST_IN_DEGREE}"
            )
        return rate

    def initial_state(self, rng) -> dict:
        """Draws what differs between neurons.

        Args:
            rng: A numpy Generator.

        Returns:
            `V_m` (mV, uniform in [0, V_th)) and, where distributed, `tau_m` (ms, at least a tenth of the mean), `t_ref`
            (ms, whole steps, at least one) and `V_th` (mV, at least a tenth of the mean's distance above V_reset), all
            float64, shape (n_neurons,).
        """
        import numpy as np

        values = {}
        for name in ("tau_m", "t_ref", "V_th"):
            if name in self.distributed:
                mean = getattr(self, name)
                values[name] = rng.normal(mean, self.distributed[name] * mean, self.n_neurons)
        if "tau_m" in values:
            values["tau_m"] = np.maximum(values["tau_m"], self.tau_m / 10)
        if "t_ref" in values:
            values["t_ref"] = np.maximum(np.rint(values["t_ref"] / self.dt_ms), 1) * self.dt_ms
        if "V_th" in values:
            values["V_th"] = np.maximum(values["V_th"], self.V_reset + (self.V_th - self.V_reset) / 10)
        return {"V_m": rng.random(self.n_neurons) * values.get("V_th", self.V_th)} | values

    # --- checks --------------------------------------------------------------------------------------------------

    def _check_connections(self):
        if not (isinstance(self.order, int) and self.order >= 1):
            raise ConfigError(f"order is {self.order!r}; expected a whole number of neurons, such as 2500")
        p = self.connection_probability
        if not 0 < p <= 1:
            raise ConfigError(
                f"connection_probability is {p:g}: in-degrees of {p:g} · N are out of reach of order {self.order} "
                f"(N_E {self.n_excitatory}, N_I {self.n_inhibitory}); expected above 0 and at most 1"
            )
        if p * self.order < 1 - 1e-9:
            raise ConfigError(
                f"order {self.order} is too small for connection_probability {p:g}: the in-degree C_I, their product, "
                f"would be {p * self.order:g}; expected 1 or more. Raise order to {-(-1 // p):g} or more, or raise "
                "connection_probability"
            )
        if not _is_whole(p * self.order):
            near = next(n for n in range(self.order, 0, -1) if n == 1 or _is_whole(p * n))
            raise ConfigError(
                f"order {self.order} does not fit connection_probability {p:g}: the in-degree C_I, their product, "
                f"would be {p * self.order:g}; expected a whole number. Try order {near}, or change "
                "connection_probability"
            )
        if self.in_degrees[0] > LARGEST_IN_DEGREE:
            raise ConfigError(
                f"order {self.order} with connection_probability {p:g} gives an in-degree of {self.in_degrees[0]}; "
                f"expected at most {LARGEST_IN_DEGREE}. Lower connection_probability"
            )

    def _check_neuron(self):
        if not 0 < self.tau_m < float("inf"):
            raise ConfigError(f"tau_m is {self.tau_m:g} ms; expected a positive time")
        if not self.V_reset < self.V_th < float("inf") or not self.V_th > 0:
            raise ConfigError(
                f"V_th is {self.V_th:g} mV and V_reset {self.V_reset:g} mV; expected V_th above V_reset and "
                "above E_L, 0 mV"
            )

    def _check_times(self):
        if not 0 < self.dt_ms <= BIN_MS or not self._whole(BIN_MS):
            raise ConfigError(
                f"protocol.dt_ms is {self.dt_ms:g}; spikes are counted in bins of {BIN_MS:g} ms, which must be a whole "
                "number of steps, such as 0.1"
            )
        for name in ("delay", "t_ref"):
            value = getattr(self, name)
            # not half a step, which would round to one: a delay is what it says
            if not value >= self.dt_ms * (1 - 1e-9):
                raise ConfigError(
                    f"{name} is {value:g} ms, under the resolution, protocol.dt_ms {self.dt_ms:g}; expected one step "
                    f"or more. Raise {name} or lower dt_ms"
                )
            if not self._whole(value):
                near = self.steps(value) * self.dt_ms
                raise ConfigError(
                    f"{name} is {value:g} ms, no whole number of steps of protocol.dt_ms {self.dt_ms:g}; "
                    f"try {near:g} ms, or a finer dt_ms"
                )
        start, stop = self.record_ms
        if not 0 <= start < stop <= self.duration_ms or start % BIN_MS or stop % BIN_MS:
            raise ConfigError(
                f"protocol.record_ms is [{start:g}, {stop:g}]; expected whole milliseconds, 0 <= start < stop <= "
                f"duration_ms ({self.duration_ms:g})"
            )

    def _whole(self, time_ms: float) -> bool:
        return _is_whole(time_ms / self.dt_ms)

    def _check_distributed(self):
        for name, spread in self.distributed.items():
            if name not in DISTRIBUTED:
                raise ConfigError(f"distributed: unknown parameter {name!r}; expected {', '.join(DISTRIBUTED)}")
            if isinstance(spread, bool) or not isinstance(spread, (int, float)) or not 0 < spread < 1:
                raise ConfigError(
                    f"distributed.{name} is {spread!r}; expected a relative standard deviation above 0 and below 1 "
                    "(leave the key out for equal values)"
                )
        longest = self.delay * (1 + DELAY_SPREAD * self.distributed.get("delay", 0))
        if "delay" in self.distributed and self.steps(longest) > LONGEST_DELAY:
            raise ConfigError(
                f"distributed.delay is {self.distributed['delay']:g}: delays reach {longest:g} ms, "
                f"{self.steps(longest)} steps of protocol.dt_ms {self.dt_ms:g}; expected at most {LONGEST_DELAY}. "
                "Lower it, or raise dt_ms"
            )

    def _check_raster(self):
        if self.raster is None:
            return
        neurons, start, stop = self.raster.neurons, self.raster.start_ms, self.raster.stop_ms
        if isinstance(neurons, bool) or not isinstance(neurons, int) or not 1 <= neurons <= self.n_neurons:
            raise ConfigError(f"raster.neurons is {neurons!r}; expected 1 to {self.n_neurons}, the network's neurons")
        low, high = self.record_ms
        if not low <= start < stop <= high or start % BIN_MS or stop % BIN_MS:
            raise ConfigError(
                f"raster is kept from start_ms {start:g} to stop_ms {stop:g}; expected whole milliseconds within "
                f"protocol.record_ms, [{low:g}, {high:g}]"
            )


def _is_whole(x: float) -> bool:
    return abs(x - round(x)) <= 1e-6 * max(x, 1)


@dataclass(frozen=True, eq=False)
class Activity:
    """What a network did.

    Args:
        counts: Spikes of all E and of all I neurons in bins of 1 ms from the start of the simulation, int32, shape
            (n_bins, 2).
        isi_cv: Mean over E neurons of the coefficient of variation (standard deviation, normed by n, over mean) of the
            interspike intervals within the recorded window. Neurons with fewer than `CV_SPIKES` spikes there are left
            out; NaN where none is left.
        raster: Spikes of the raster's neurons in bins of 1 ms, uint8, shape (bins, neurons); None where not asked for.
        build_s: Processor time to build the network (s).
        simulate_s: Processor time to run it (s).
    """

    counts: object
    isi_cv: float
    raster: object = None
    build_s: float = 0.0
    simulate_s: float = 0.0

    def rates(self, network: Network) -> tuple[float, float]:
        """Mean firing rates of E and I neurons in the recorded window (Hz)."""
        start, stop = network.record_ms
        spikes = self.counts[network.bins].sum(axis=0)
        sizes = network.n_excitatory, network.n_inhibitory
        return tuple(float(1e3 * n / size / (stop - start)) for n, size in zip(spikes, sizes, strict=True))


def mean_cv(n, total, squares) -> float:
    """Mean coefficient of variation of interspike intervals.

    Args:
        n: Intervals per neuron, shape (neurons,).
        total: Sum of a neuron's intervals, in any unit.
        squares: Sum of their squares, in that unit squared.

    Returns:
        The mean over neurons with at least `CV_SPIKES` spikes; NaN where there are none.
    """
    import numpy as np

    enough = n >= CV_SPIKES - 1
    if not enough.any():
        return float("nan")
    n, total, squares = n[enough], total[enough], squares[enough]
    mean = total / n
    return float(np.mean(np.sqrt(np.maximum(squares / n - mean**2, 0)) / mean))
