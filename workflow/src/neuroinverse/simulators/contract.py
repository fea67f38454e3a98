"""What a simulator declares and returns, held to its contract: messages say what came and what was expected."""

import difflib
import math
import operator
from collections.abc import Mapping

from neuroinverse.errors import ConfigError
from neuroinverse.simulators.base import ParameterInfo, Signal, Simulator

# names of a shard and of a result that no signal can have
TAKEN = ("silent", "status", "theta", "index")


def check_class(found: type[Simulator], where: str) -> None:
    """Refuses a class of the user's whose table of parameters, or another attribute, is not as `Simulator` says.

    Args:
        found: The class.
        where: Place in the study that names it.

    Raises:
        ConfigError: At the first thing that is wrong.
    """
    where = f"{where}: {found.__name__}"
    parameters = getattr(found, "parameters", None)
    example = '{"tau": ParameterInfo("ms", 20.0, "membrane time constant")}'
    if not isinstance(parameters, Mapping):
        raise ConfigError(f"{where}.parameters is {_brief(parameters)}; expected a dictionary such as {example}")
    for name, info in parameters.items():
        if not (isinstance(name, str) and isinstance(info, ParameterInfo)):
            raise ConfigError(f"{where}.parameters has {name!r}: {_brief(info)}; expected {example}")
        if not isinstance(info.unit, str) or not info.unit.strip():
            raise ConfigError(f'{where}.parameters: the unit of {name} is {info.unit!r}; expected text, "1" for none')
        if isinstance(info.default, str | bool) or not _finite(info.default):
            raise ConfigError(f"{where}.parameters: the default of {name} is {info.default!r}; expected a number")
    if not hasattr(found, "stimulus_unit") or not isinstance(found.stimulus_unit, str | None):
        raise ConfigError(f'{where}: missing stimulus_unit; add the unit, such as "nA", or None where it takes none')
    for key in ("engines", "mechanisms", "packages", "options"):
        given = getattr(found, key)
        if isinstance(given, str) or not all(isinstance(item, str) for item in given):
            raise ConfigError(f"{where}.{key} is {given!r}; expected several texts, such as ({str(given)!r},)")
    if not isinstance(found.batch, int) or found.batch < 1:
        raise ConfigError(f"{where}.batch is {found.batch!r}; expected a number of simulations, 1 or more")


def check_signals(simulator: Simulator) -> None:
    """Refuses signals that cannot be recorded.

    Raises:
        ConfigError: At the first that is wrong.
    """
    where, signals = f"{type(simulator).__name__}.signals", simulator.signals
    if not isinstance(signals, tuple | list) or not signals:
        raise ConfigError(f"{where} is {_brief(signals)}; expected a tuple of Signal: (Signal(...),)")
    names = []
    for signal in signals:
        if not isinstance(signal, Signal):
            raise ConfigError(f"{where} holds {_brief(signal)}; expected a tuple of Signal: (Signal(...),)")
        name = signal.name
        if not isinstance(name, str) or not name or name.startswith(".") or "/" in name or name in TAKEN:
            raise ConfigError(f"{where}: a signal is named {name!r}; expected a word, and not {', '.join(TAKEN)}")
        if name in names:
            raise ConfigError(f"{where}: two are named {name!r}; give one another name")
        names.append(name)
        if not isinstance(signal.unit, str) or not signal.unit.strip():
            raise ConfigError(f'{where}: the unit of {name} is {signal.unit!r}; expected text, "1" for none')
        if not _finite(signal.dt_ms) or signal.dt_ms <= 0 or not _finite(signal.t0_ms):
            raise ConfigError(
                f"{where}: {name} has dt_ms {signal.dt_ms!r} and t0_ms {signal.t0_ms!r}; expected a sampling interval "
                "above 0 and the time of the first sample, in ms"
            )
        if not isinstance(signal.shape, tuple) or len(signal.shape) not in (1, 2) or not all(map(_size, signal.shape)):
            raise ConfigError(
                f"{where}: the shape of {name} is {signal.shape!r}; expected that of one simulation in whole numbers "
                "above 0: (time,) or (time, channels)"
            )
        width = signal.shape[1] if len(signal.shape) > 1 else 1
        if signal.channels and len(signal.channels) != width:
            raise ConfigError(f"{where}: {name} has {width} channels and {len(signal.channels)} names for them")


def check_result(simulator: Simulator, values, n: int) -> tuple[dict, object]:
    """Holds what `simulate` returned to what the simulator declares.

    Args:
        simulator: The simulator.
        values: What it returned for a batch.
        n: Simulations in the batch.

    Returns:
        Arrays by signal name, float32 of their own, shape (n, *signal.shape); and silent, bool, shape (n,).

    Raises:
        ConfigError: If it is anything else than numbers of these shapes by these names.
    """
    import numpy as np

    name, signals = f"{type(simulator).__name__}.simulate", simulator.signals
    asked = ", ".join(f"{s.name} of shape {(n, *s.shape)}" for s in signals)
    if not isinstance(values, Mapping):
        raise ConfigError(f"{name} returned {_brief(values)}; expected a dictionary with {asked}")
    missing = [s.name for s in signals if s.name not in values]
    if missing:
        there = ", ".join(map(repr, values)) or "nothing"
        raise ConfigError(f"{name} returned a dictionary with {there}; missing {', '.join(missing)}: expected {asked}")
    result = {}
    for signal in signals:
        array = _numbers(f"{name}: {signal.name}", values[signal.name], signal.unit)
        expected = (n, *signal.shape)
        if array.shape != expected:
            axes = "simulations, time" + (", channels" if len(signal.shape) > 1 else "")
            raise ConfigError(
                f"{name} gave {signal.name} of shape {array.shape}; expected {expected}: {axes}, as its Signal says"
            )
        with np.errstate(over="ignore"):
            # a copy: it may be a buffer that the next batch is written to
            result[signal.name] = np.array(array, np.float32)
    for key in values:
        if key not in result and key != "silent" and difflib.get_close_matches(str(key), ["silent"], cutoff=0.7):
            raise ConfigError(f"{name} returned {key!r}; simulations without a spike are told as 'silent'")
    silent = np.asarray(values.get("silent", np.zeros(n, bool)))
    if silent.shape != (n,) or not (silent.dtype == bool or np.isin(silent, (0, 1)).all()):
        raise ConfigError(
            f"{name} gave silent as {_brief(values['silent'])}; expected true or false for each of {n} simulations, "
            f"shape ({n},)"
        )
    return result, silent.astype(bool)


def _numbers(where: str, given, unit: str):
    """An array of real numbers; what is masked in it is undefined."""
    import numpy as np

    if any(hasattr(given, word) for word in ("units", "unit", "dimensionality", "magnitude")):
        raise ConfigError(f"{where} came as a quantity with a unit ({type(given).__name__}); give numbers in {unit}")
    if isinstance(given, np.ma.MaskedArray) and given.dtype.kind in "biuf":
        given = given.astype(float).filled(np.nan)
    try:
        array = np.asarray(given)
    except Exception as error:
        raise ConfigError(f"{where} came as {_brief(given)}, which is no array ({error}); expected numbers") from error
    if array.dtype.kind not in "biuf":
        kinds = {"c": "complex numbers", "O": "objects, such as rows of different lengths", "U": "text", "S": "text"}
        kind = kinds.get(array.dtype.kind, str(array.dtype))
        raise ConfigError(f"{where} came as {_brief(given)} of {kind}; expected real numbers, one array")
    return array


def _brief(value) -> str:
    """A value in a few words."""
    if value is None:
        return "None"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and hasattr(value, "dtype"):
        return f"an array of shape {shape}"
    if isinstance(value, int | float | str | bool):
        return repr(value)[:60]
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, list | tuple) else "")


def _finite(value) -> bool:
    try:
        return math.isfinite(value)
    except TypeError:
        return False


def _size(value) -> bool:
    try:
        return operator.index(value) > 0
    except TypeError:
        return False
