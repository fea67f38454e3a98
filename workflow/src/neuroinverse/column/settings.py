"""Settings of a column's network, of what is asked of it, and of the search: defaults and checks.

Imports nothing heavy, so that a study is checked before any work.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from neuroinverse.errors import ConfigError, require_known

# of a network: different delays of a projection; weakest synapse as a fraction of the strongest; longest delay
DELAY_BINS, PRUNE, LONGEST_MS = 16, 0.02, 64.0
WARM_UP_MS = 100.0
# time of a rollout with its gradient over that of one without, under XLA
GRADIENT_COST = 2
REQUIRED = object()
_BAND = {"low_Hz": 15.0, "high_Hz": 60.0, "dipoles": None}
# the terms of an objective with their keys and the defaults of these
TERMS = {
    "band_power": _BAND,
    "relative_band_power": _BAND | {"total_low_Hz": 1.0, "total_high_Hz": 100.0},
    "target_spectrum": {
        "frequencies_Hz": REQUIRED,
        "values": REQUIRED,
        "relative": False,
        "segment_ms": 250.0,
        "dipoles": None,
    },
    "evoked_dipole": {"times_ms": REQUIRED, "values_fAm": REQUIRED, "dipoles": None},
    "rates": {"targets_Hz": REQUIRED},
    "rate_bounds": {"bounds_Hz": REQUIRED},
}
METHODS = ("adam", "cma", "random")
SEARCH = {
    "method": "adam",
    "epochs": 25,
    "learning_rate": 0.1,
    "patience": 5,
    "clip_norm": 1.0,
    "bound": 1.0,
    "slope": 10.0,
    "seeds": 4,
    "new_seeds": True,
    "held_out_seeds": 4,
    "projections": None,
    "initial_gains": {},
    "generation": 12,
}


@dataclass(frozen=True)
class Window:
    """Where an activity is measured, and what its arrays hold.

    Args:
        populations: Names in `ColumnActivity.spikes`.
        dipoles: Names of the last axis of `ColumnActivity.dipole`.
        dt_ms: Sampling interval (ms).
        n_steps: Number of samples.
        first: First sample after the warm-up.
    """

    populations: tuple[str, ...]
    dipoles: tuple[str, ...]
    dt_ms: float
    n_steps: int
    first: int

    @property
    def n(self) -> int:
        """Samples after the warm-up."""
        return self.n_steps - self.first


@dataclass(frozen=True)
class Term:
    """A term of an objective.

    Args:
        name: In results.
        kind: Key of TERMS.
        weight: Its factor in the sum.
        settings: The kind's keys, all of them.
    """

    name: str
    kind: str
    weight: float
    settings: Mapping


def resolve(
    settings: Mapping, populations: Sequence[str], dipoles: Sequence[str], dt_ms: float, n_steps: int
) -> tuple[Window, list[Term]]:
    """Checks what is asked of a column.

    Args:
        settings: `terms`, a list, and `warm_up_ms` (100), which is not looked at.
        populations: Names of the column's populations.
        dipoles: Those that have a dipole.
        dt_ms: Sampling interval (ms).
        n_steps: Number of samples.

    Raises:
        ConfigError: If a key, a name, a band or a time does not fit.
    """
    require_known("objective", settings, ("terms", "warm_up_ms"))
    warm_up = settings.get("warm_up_ms", WARM_UP_MS)
    window = Window(tuple(populations), tuple(dipoles), dt_ms, n_steps, round(warm_up / dt_ms))
    if warm_up < 0 or window.n < 2:
        raise ConfigError(
            f"warm_up_ms: expected 0 or more, and less than the simulation's {n_steps * dt_ms:g} ms, not {warm_up:g}"
        )
    terms: list[Term] = []
    for i, given in enumerate(settings.get("terms") or ()):
        where = f"terms.{i}"
        require_known(f"{where}.kind", (given.get("kind"),), TERMS)
        kind, name = given["kind"], given.get("name", given["kind"])
        require_known(where, given, ("kind", "weight", "name", *TERMS[kind]))
        full = {key: given.get(key, default) for key, default in TERMS[kind].items()}
        for key, value in full.items():
            if value is REQUIRED:
                raise ConfigError(f"{where}: {kind} needs {key!r}; add it")
            _expect(f"{where}.{key}", value, *_EXPECTED.get(key, _NUMBER))
        _expect(f"{where}.weight", given.get("weight", 1), *_NUMBER)
        if name == "loss" or name in [term.name for term in terms]:
            raise ConfigError(f"{where}: there is another {name!r}; give this one a `name` of its own")
        if "dipoles" in full:
            full["dipoles"] = _dipoles(where, full["dipoles"], window)
        _CHECKS[kind](where, full, window)
        terms.append(Term(name, kind, float(given.get("weight", 1)), full))
    if not terms:
        raise ConfigError(f"terms: there are none; add one of {', '.join(TERMS)}")
    return window, terms


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_list(value) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _are_numbers(value) -> bool:
    return _is_list(value) and all(map(_is_number, value))


def _is_range(value) -> bool:
    return _are_numbers(value) and len(value) == 2 and 0 <= value[0] <= value[1]


def _whole(least: int) -> tuple[Callable, str]:
    return lambda value: isinstance(value, int) and _is_number(value) and value >= least, f"an integer from {least} on"


# what a value is to be: a test, and words
_NUMBER = _is_number, "a number"
_POSITIVE = (lambda value: _is_number(value) and value > 0), "a positive number"
_RATE = (lambda value: _is_number(value) and value >= 0), "a rate of 0 Hz or more"
_RANGE = _is_range, "[low, high], 0 <= low <= high"
_NUMBERS = _are_numbers, "a list of numbers"
_NAMES = (lambda value: value is None or _is_list(value)), "a list of names"
_MAPPING = (lambda value: isinstance(value, Mapping)), "a mapping"
_SWITCH = (lambda value: isinstance(value, bool)), "true or false"
# of a term's keys; the others are numbers
_EXPECTED = (
    dict.fromkeys(("frequencies_Hz", "values", "times_ms", "values_fAm"), _NUMBERS)
    | dict.fromkeys(("targets_Hz", "bounds_Hz"), _MAPPING)
    | {"dipoles": _NAMES, "relative": _SWITCH}
)


def _expect(where: str, value, test: Callable, expected: str) -> None:
    if not test(value):
        raise ConfigError(f"{where}: {value!r}; expected {expected}")


def _dipoles(where: str, names: Sequence[str] | None, window: Window) -> tuple[str, ...]:
    """The populations whose dipoles are added."""
    if not window.dipoles:
        raise ConfigError(f"{where}: no population of the column has a dipole; ask for rates")
    require_known(f"{where}.dipoles", names or (), window.dipoles)
    return tuple(names or window.dipoles)


def _check_band(where: str, s: Mapping, window: Window, prefix: str = "") -> None:
    low, high, step = s[f"{prefix}low_Hz"], s[f"{prefix}high_Hz"], 1e3 / (window.n * window.dt_ms)
    highest = window.n // 2 * step
    if not 0 <= low < high <= highest + 1e-6 or math.floor(high / step + 1e-6) < low / step - 1e-6:
        raise ConfigError(
            f"{where}: {prefix}low_Hz {low:g} and {prefix}high_Hz {high:g} hold no frequency of the spectrum, which "
            f"goes to {highest:g} Hz in steps of {step:g} ({window.n * window.dt_ms:g} ms after the warm-up); change "
            "them, or simulate longer"
        )


def _check_relative(where: str, s: Mapping, window: Window) -> None:
    _check_band(where, s, window)
    _check_band(where, s, window, "total_")
    if s["low_Hz"] < s["total_low_Hz"] or s["high_Hz"] > s["total_high_Hz"]:
        raise ConfigError(
            f"{where}: low_Hz {s['low_Hz']:g} and high_Hz {s['high_Hz']:g} are to lie within total_low_Hz "
            f"{s['total_low_Hz']:g} and total_high_Hz {s['total_high_Hz']:g}"
        )


def _check_spectrum(where: str, s: Mapping, window: Window) -> None:
    segment, at, values = s["segment_ms"], s["frequencies_Hz"], s["values"]
    n = round(segment / window.dt_ms)
    if not 2 <= n <= window.n or abs(n * window.dt_ms - segment) > 1e-6 * segment:
        raise ConfigError(
            f"{where}.segment_ms: {segment:g} is no whole number of steps of {window.dt_ms:g} ms up to the "
            f"{window.n * window.dt_ms:g} ms after the warm-up; change it or simulate longer"
        )
    lowest, highest = 1e3 / segment, n // 2 * 1e3 / segment
    if not at or len(at) != len(values) or min(at) < lowest or max(at) > highest or min(values) <= 0:
        raise ConfigError(
            f"{where}: expected as many positive values as frequencies_Hz, these from {lowest:g} to {highest:g} Hz, "
            f"the spectrum of segments of {segment:g} ms"
        )


def _check_waveform(where: str, s: Mapping, window: Window) -> None:
    times, values = s["times_ms"], s["values_fAm"]
    first, last = window.first * window.dt_ms, (window.n_steps - 1) * window.dt_ms
    ascending = len(times) > 1 and all(a < b for a, b in pairwise(times))
    if not ascending or len(times) != len(values) or times[0] < first or times[-1] > last:
        raise ConfigError(
            f"{where}: expected ascending times_ms from {first:g}, after the warm-up, to {last:g}, and as many "
            "values_fAm"
        )
    if times[-1] - times[0] < 2 * window.dt_ms or min(values) == max(values):
        raise ConfigError(f"{where}.values_fAm: is flat, or too short; give a waveform that changes")


def _check_rates(where: str, s: Mapping, window: Window) -> None:
    key = "targets_Hz" if "targets_Hz" in s else "bounds_Hz"
    require_known(f"{where}.{key}", s[key], window.populations)
    if not s[key]:
        raise ConfigError(f"{where}.{key}: is empty; there are {', '.join(window.populations)}")
    for name, value in s[key].items():
        _expect(f"{where}.{key}.{name}", value, *(_RATE if key == "targets_Hz" else _RANGE))


_CHECKS: dict[str, Callable] = {
    "band_power": _check_band,
    "relative_band_power": _check_relative,
    "target_spectrum": _check_spectrum,
    "evoked_dipole": _check_waveform,
    "rates": _check_rates,
    "rate_bounds": _check_rates,
}


def complete(settings: Mapping, projections: Sequence[str]) -> dict:
    """The settings of a search with defaults filled in.

    Args:
        settings: Any of these. `method`: adam, cma or random. `epochs`. `learning_rate` of Adam, in log10 gain.
            `patience`, epochs after which it goes back to the best gains. `clip_norm` of the gradient. `bound` of
            |log10 gain|. `slope` of the surrogate gradient. `seeds` per epoch, and whether every epoch has `new_seeds`.
            `held_out_seeds`. `projections` that change, all by default. `initial_gains`, a mapping of projections, 1
            for the others. `generation`, candidates of CMA-ES at a time.
        projections: Names of the network's projections.

    Raises:
        ConfigError: If a key or a name is unknown, or a value is out of range.
    """
    require_known("search", settings, SEARCH)
    full = {**SEARCH, **settings}
    require_known("search.method", (full["method"],), METHODS)
    for key, least in (("epochs", 1), ("seeds", 1), ("held_out_seeds", 1), ("patience", 1), ("generation", 2)):
        _expect(f"search.{key}", full[key], *_whole(least))
    for key in ("learning_rate", "clip_norm", "bound", "slope"):
        _expect(f"search.{key}", full[key], *_POSITIVE)
    for key, expected in (("new_seeds", _SWITCH), ("projections", _NAMES), ("initial_gains", _MAPPING)):
        _expect(f"search.{key}", full[key], *expected)
    require_known("search.projections", full["projections"] or (), projections)
    require_known("search.initial_gains", full["initial_gains"], projections)
    full["projections"] = list(full["projections"] or projections)
    full["initial_gains"] = dict(full["initial_gains"])
    if full["method"] == "cma" and len(set(full["projections"])) < 2:
        raise ConfigError("search.projections: method cma needs two or more; use adam or random")
    for name, gain in full["initial_gains"].items():
        _expect(f"search.initial_gains.{name}", gain, *_POSITIVE)
        if name in full["projections"] and abs(math.log10(gain)) > full["bound"] + 1e-9:
            raise ConfigError(
                f"search.initial_gains.{name}: {gain:g} is outside [{10 ** -full['bound']:g}, "
                f"{10 ** full['bound']:g}]; change it or raise bound"
            )
    return full
