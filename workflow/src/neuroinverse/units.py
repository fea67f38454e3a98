"""Units as people write them."""

import re

from neuroinverse.errors import ConfigError

_PREFIXES = {"k": 1e3, "": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
_WORD_PREFIXES = {"kilo": "k", "": "", "milli": "m", "micro": "u", "nano": "n", "pico": "p", "femto": "f"}
# symbol, words, and the prefixes that are in use
_BASES = {
    "V": (("volt", "volts"), "kmun" + " "),
    "A": (("amp", "amps", "ampere", "amperes"), "munpf" + " "),
    "s": (("sec", "secs", "second", "seconds"), "mun" + " "),
}


def _table() -> dict[str, tuple[str, float]]:
    known = {}
    for base, (words, prefixes) in _BASES.items():
        for prefix in prefixes:
            prefix = prefix.strip()
            known[prefix + base] = base, _PREFIXES[prefix]
            for name, symbol in _WORD_PREFIXES.items():
                if symbol == prefix:
                    known |= {name + word: (base, _PREFIXES[prefix]) for word in words}
                    known |= {prefix + word: (base, _PREFIXES[prefix]) for word in words}
    return known | {"min": ("s", 60.0), "minutes": ("s", 60.0)}


_KNOWN = _table()


def known(unit: str) -> tuple[str, float] | None:
    """What a unit measures.

    Args:
        unit: Such as mV, millivolt, µV, Volts, msec.

    Returns:
        "V", "A" or "s", and how many of these it is; None for any other unit.
    """
    plain = re.sub("[µμ]", "u", unit.strip())
    for spelling in (plain, plain.lower()):
        if spelling in _KNOWN:
            return _KNOWN[spelling]
    # "mv" and "ma" are written often, "MV" and "MA" would be mega
    lower = {k.lower(): v for k, v in _KNOWN.items()}
    return lower.get(plain) if plain == plain.lower() else None


def factor(given: str, wanted: str, where: str) -> float:
    """How many of the wanted unit the given one is.

    Raises:
        ConfigError: If it is not known, or measures something else.
    """
    if given.strip() == wanted:
        return 1.0
    one, other = known(given), known(wanted)
    if one is None:
        raise ConfigError(
            f"{where} is in {given!r}, which is no unit known here; expected {wanted}, or a unit that converts into "
            "it: correct the unit, or what stands in its place"
        )
    if other is None or one[0] != other[0]:
        raise ConfigError(
            f"{where} is in {given!r}; expected {wanted}, or a unit that converts into it. Convert it, or leave it out"
        )
    # exact for powers of ten: 1e-3 / 1e-6 is not
    return float(f"{one[1] / other[1]:.12g}")
