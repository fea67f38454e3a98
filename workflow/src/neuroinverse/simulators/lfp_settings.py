"""Settings of the LFP kernels: defaults and checks. Imports nothing heavy.

The defaults are the passive cells, populations and contacts of Skaar et al. (2020) PLoS Comput Biol 16:e1007725, with
ball-and-sticks cells of the size used in the public examples of the hybrid scheme (Hagen et al. 2016, Cereb Cortex
26:4461) in place of reconstructed ones.
"""

import copy
import math
from collections.abc import Mapping
from pathlib import Path

from neuroinverse.errors import ConfigError
from neuroinverse.simulators.swc import read_setting

POPULATIONS = ("E", "I")
SECTIONS = ("soma", "basal", "apical")
ROTATIONS = ("none", "z", "all")

_BASAL = [
    {"section": "basal", "length_um": 168.0, "diameter_um": 3.0, "direction": direction}
    for direction in ([1.0, -1.0, 1.0], [-1.0, 1.0, 1.0], [1.0, 1.0, -1.0], [-1.0, -1.0, -1.0])
]
_SOMA = {"length_um": 20.0, "diameter_um": 20.0}
_APICAL = {"section": "apical", "length_um": 390.0, "diameter_um": 3.0, "direction": [0.0, 0.0, 1.0]}
_LOWER = {"share": 1.0, "z_um": [-500.0, -300.0], "sections": ["soma", "basal", "apical"]}

DEFAULTS = {
    "contacts_um": [[0.0, 0.0, -100.0 * i] for i in range(6)],
    "contact_radius_um": 5.0,
    "contact_normal": [1.0, 0.0, 0.0],
    "contact_points": 20,
    "conductivity_S_per_m": 0.3,
    "c_m_uF_per_cm2": 1.0,
    "R_a_Ohm_cm": 150.0,
    "r_m_Ohm_cm2": 20000.0,
    "E_pas_mV": 0.0,
    "segment_um": 20.0,
    "tau_syn_ms": 5.0,
    "charge_fC_per_mV": 100.0,
    "delay_ms": 1.5,
    "length_ms": 200.0,
    "dt_ms": 0.025,
    "radius_um": 1000 / math.sqrt(math.pi),
    "min_distance_um": 1.0,
    "populations": {
        "E": {
            "cells": None,
            "soma_z_um": [-450.0, -350.0],
            "rotation": "z",
            "cell": {"soma": _SOMA, "sticks": [*_BASAL, _APICAL]},
            "synapses": {
                "E": [
                    {"share": 0.5, "z_um": [-300.0, 0.0], "sections": ["basal", "apical"]},
                    {"share": 0.5, "z_um": [-500.0, -300.0], "sections": ["basal", "apical"]},
                ],
                "I": [_LOWER],
            },
        },
        "I": {
            "cells": None,
            "soma_z_um": [-450.0, -350.0],
            "rotation": "all",
            "cell": {"soma": _SOMA, "sticks": _BASAL},
            "synapses": {"E": [_LOWER], "I": [_LOWER]},
        },
    },
}
POSITIVE = (
    "conductivity_S_per_m", "c_m_uF_per_cm2", "R_a_Ohm_cm", "r_m_Ohm_cm2", "segment_um", "tau_syn_ms",
    "charge_fC_per_mV", "length_ms", "dt_ms", "radius_um",
)  # fmt: skip
NOT_NEGATIVE = ("contact_radius_um", "delay_ms", "min_distance_um")


def check_lfp(settings: Mapping) -> None:
    """Checks the settings `simulator.options.lfp`, and that SWC files can be read as cells.

    Raises:
        ConfigError: If a key is unknown or a value impossible; it names the key, what was expected and the cure.
    """
    complete(settings)


def n_contacts(settings: Mapping) -> int:
    """Number of contacts, the channels of the LFP."""
    return len(settings.get("contacts_um", DEFAULTS["contacts_um"]))


def kernel_settings(settings: Mapping, order: int = 2500, connection_probability: float = 0.1) -> dict:
    """All that a kernel depends on but the seed and the contents of files, as plain data.

    What spells a default out equals what leaves it out.

    Args:
        settings: `simulator.options.lfp`.
        order: N_I; N_E is four times that.
        connection_probability: In-degree over presynaptic neurons.

    Raises:
        ConfigError: As `check_lfp`.
    """
    full = complete(settings)
    for name, neurons in zip(POPULATIONS, (4 * order, order), strict=True):
        population = full["populations"][name]
        population["cells"] = min(population["cells"] or neurons, neurons)
    return {"lfp": full, "order": int(order), "connection_probability": float(connection_probability)}


def kernel_files(settings: Mapping) -> tuple[Path, ...]:
    """The SWC files that `simulator.options.lfp` names."""
    cells = (p.get("cell", {}) for p in settings.get("populations", {}).values())
    return tuple(Path(f) for f in sorted({str(c["swc"]) for c in cells if "swc" in c}))


def complete(settings: Mapping) -> dict:
    """The settings with the defaults filled in, checked; numbers as floats.

    Raises:
        ConfigError: As `check_lfp`.
    """
    _known(settings, DEFAULTS, "lfp")
    full = copy.deepcopy(DEFAULTS) | {k: v for k, v in settings.items() if k != "populations"}
    for key in (*POSITIVE, *NOT_NEGATIVE):
        full[key] = _number(full[key], f"lfp.{key}", positive=key in POSITIVE)
    full["E_pas_mV"] = _number(full["E_pas_mV"], "lfp.E_pas_mV", signed=True)
    full["contact_points"] = _whole(full["contact_points"], "lfp.contact_points")
    contacts = full["contacts_um"]
    if not isinstance(contacts, list | tuple) or not contacts:
        raise ConfigError(f"lfp.contacts_um is {contacts!r}; expected a list of positions [x, y, z] in um")
    full["contacts_um"] = [_vector(c, 3, f"lfp.contacts_um[{i}]") for i, c in enumerate(contacts)]
    full["contact_normal"] = _direction(full["contact_normal"], "lfp.contact_normal")
    _check_times(full)
    given = settings.get("populations", {})
    _known(given, POPULATIONS, "lfp.populations")
    full["populations"] = {name: _population(name, given.get(name, {})) for name in POPULATIONS}
    return full


def _check_times(full: Mapping) -> None:
    steps = 1 / full["dt_ms"]
    if steps < 1 or abs(steps - round(steps)) > 1e-9 * steps:
        raise ConfigError(
            f"lfp.dt_ms is {full['dt_ms']:g}; a millisecond must be a whole number of steps, as with 0.025"
        )
    if full["length_ms"] != int(full["length_ms"]):
        raise ConfigError(
            f"lfp.length_ms is {full['length_ms']:g}; expected whole milliseconds, the bins of the kernel"
        )
    # ten time constants of synapse and membrane would be ample; a kernel cut off early would lose charge
    least = full["delay_ms"] + 5 * full["tau_syn_ms"]
    if full["length_ms"] < least:
        raise ConfigError(
            f"lfp.length_ms is {full['length_ms']:g}; with this delay_ms and tau_syn_ms expected {least:g} or more"
        )


def _population(name: str, given: Mapping) -> dict:
    where = f"lfp.populations.{name}"
    _known(given, DEFAULTS["populations"][name], where)
    full = copy.deepcopy(DEFAULTS["populations"][name]) | {k: v for k, v in given.items() if k != "synapses"}
    if full["cells"] is not None:
        full["cells"] = _whole(full["cells"], f"{where}.cells")
    full["soma_z_um"] = _range(full["soma_z_um"], f"{where}.soma_z_um")
    if full["rotation"] not in ROTATIONS:
        raise ConfigError(f"{where}.rotation is {full['rotation']!r}; expected one of {', '.join(ROTATIONS)}")
    full["cell"] = _cell(full["cell"], f"{where}.cell")
    synapses = given.get("synapses", {})
    _known(synapses, POPULATIONS, f"{where}.synapses")
    full["synapses"] = {
        source: _layers(layers, f"{where}.synapses.{source}")
        for source, layers in (full["synapses"] | dict(synapses)).items()
    }
    return full


def _cell(cell: Mapping, where: str) -> dict:
    if isinstance(cell, Mapping) and "swc" in cell:
        _known(cell, ("swc", "up"), where)
        up = cell.get("up", "y")
        if up not in ("x", "y", "z"):
            raise ConfigError(f"{where}.up is {up!r}; expected x, y or z: the file's axis that points to the surface")
        read_setting(f"{where}.swc", cell["swc"])
        return {"swc": str(cell["swc"]), "up": up}
    _known(cell, ("soma", "sticks"), where)
    soma = cell.get("soma", _SOMA)
    _known(soma, _SOMA, f"{where}.soma")
    sticks = cell.get("sticks", [])
    if not isinstance(sticks, list | tuple):
        raise ConfigError(f"{where}.sticks is {sticks!r}; expected a list of sticks")
    full = {"soma": {k: _number((_SOMA | dict(soma))[k], f"{where}.soma.{k}", positive=True) for k in _SOMA}}
    full["sticks"] = []
    for i, stick in enumerate(sticks):
        place = f"{where}.sticks[{i}]"
        _exactly(stick, _APICAL, place, "a stick")
        if stick["section"] not in SECTIONS[1:]:
            raise ConfigError(f"{place}.section is {stick['section']!r}; expected basal or apical")
        full["sticks"].append(
            {
                "section": stick["section"],
                "length_um": _number(stick["length_um"], f"{place}.length_um", positive=True),
                "diameter_um": _number(stick["diameter_um"], f"{place}.diameter_um", positive=True),
                "direction": _direction(stick["direction"], f"{place}.direction"),
            }
        )
    return full


def _exactly(given, keys, where: str, what: str) -> None:
    """All of the keys and no others."""
    _known(given, keys, where)
    missing = [k for k in keys if k not in given]
    if missing:
        raise ConfigError(f"{where}: {', '.join(missing)} missing; {what} has {', '.join(keys)}")


def _layers(layers, where: str) -> list[dict]:
    if not isinstance(layers, list | tuple) or not layers:
        raise ConfigError(f"{where} is {layers!r}; expected a list of layers with share, z_um and sections")
    full = []
    for i, layer in enumerate(layers):
        place = f"{where}[{i}]"
        _exactly(layer, _LOWER, place, "a layer")
        sections = layer["sections"]
        if not isinstance(sections, list | tuple) or not sections or set(sections) - set(SECTIONS):
            raise ConfigError(f"{place}.sections is {sections!r}; expected a list of {', '.join(SECTIONS)}")
        full.append(
            {
                "share": _number(layer["share"], f"{place}.share", positive=True),
                "z_um": _range(layer["z_um"], f"{place}.z_um"),
                "sections": [s for s in SECTIONS if s in sections],
            }
        )
    total = sum(layer["share"] for layer in full)
    if abs(total - 1) > 1e-9:
        raise ConfigError(f"{where}: the shares add up to {total:g}; expected 1")
    return full


def _known(given, known, where: str) -> None:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where} is {given!r}; expected a mapping with {', '.join(known)}")
    for key in given:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}; it has {', '.join(known)}")


def _number(value, where: str, positive: bool = False, signed: bool = False) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or (not signed and value < 0) or (positive and value <= 0):
        expected = "a number" if signed else "a positive number" if positive else "a number of at least 0"
        raise ConfigError(f"{where} is {value!r}; expected {expected}")
    # no negative zero, which is another text
    return float(value) + 0.0


def _whole(value, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{where} is {value!r}; expected a whole number of at least 1")
    return value


def _vector(value, n: int, where: str) -> list[float]:
    if not isinstance(value, list | tuple) or len(value) != n:
        raise ConfigError(f"{where} is {value!r}; expected {n} numbers")
    return [_number(v, f"{where}[{i}]", signed=True) for i, v in enumerate(value)]


def _range(value, where: str) -> list[float]:
    low, high = _vector(value, 2, where)
    if low >= high:
        raise ConfigError(f"{where} is [{low:g}, {high:g}]; expected the lower end first")
    return [low, high]


def _direction(value, where: str) -> list[float]:
    direction = _vector(value, 3, where)
    if not any(direction):
        raise ConfigError(f"{where} is {value!r}; expected a direction: not all of x, y, z zero")
    return direction
