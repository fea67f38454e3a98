"""What NEURON holds beside a cell's own numbers: temperature, tables, random sources.

Set here, so that a simulation depends on its parameters and its seed alone: on no other cell, simulation or process.
"""

import ctypes
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from neuroinverse.simulators.mod_files import Mod

_CLASSES = ("Random", "NetStim")
# this module's own, whose method sets the third key of all Random123 streams
_own: list = []


def exact(h, mods: Iterable[Mod]) -> None:
    """Switches look-up tables off, in the study's mechanisms and in NEURON 9's hh.

    A table keeps the parameters that it was filled with, and one serves all sections.
    """
    names = [mod.name for mod in mods if mod.tables and mod.name]
    for name in ("usetable_hh", *("usetable" if n == "nothing" else f"usetable_{n}" for n in names)):
        if hasattr(h, name):
            setattr(h, name, 0)


def version() -> int:
    """NEURON's, 8 or 9."""
    import neuron

    return int(neuron.__version__.partition(".")[0])


@contextmanager
def constants_kept(h) -> Iterator[None]:
    """While a library is imported that may switch NEURON's physical constants, for whatever else runs here."""
    # 9 has no others, and says so whenever it is asked
    if version() >= 9:
        yield
        return
    legacy = h.nrnunit_use_legacy()
    try:
        yield
    finally:
        if h.nrnunit_use_legacy() != legacy:
            h.nrnunit_use_legacy(legacy)


def standing(h) -> dict[str, object]:
    """NEURON's random sources that are there now, by their names, in the order in which they were made."""
    _any_random(h)
    lists = [h.List(kind) for kind in _CLASSES]
    found = (items.o(i) for items in lists for i in range(int(items.count())))
    return {o.hname(): o for o in found if o.hname() != _own[0].hname()}


def _any_random(h):
    if not _own:
        _own.append(h.Random())
    return _own[0]


def _set_seed():
    """The seed of NMODL's own random numbers, which NEURON gives to MOD files alone; None where it is not found."""
    import neuron

    # of C in NEURON 8, of C++ in 9
    for name in ("set_seed", "_Z8set_seedd"):
        try:
            function = neuron.nrn_dll_sym(name)
        except (AttributeError, OSError):
            continue
        function.argtypes, function.restype = [ctypes.c_double], None
        return function
    return None


class Sources:
    """Random sources of a cell.

    Args:
        h: NEURON's interpreter.
        objects: What `standing` gave and is the cell's.
        mods: The study's.
        sections: The cell's.
        has_own: Whether its NetStims are given sources by the template.
    """

    def __init__(self, h, objects: Sequence, mods: Iterable[Mod], sections: Sequence, has_own: bool):
        self._h, self._set_seed = h, _set_seed()
        self._randoms = [o for o in objects if o.hname().startswith("Random[")]
        # those of 8 draw from NMODL's one stream; each of 9 has its own, numbered by all that the process made before
        if not has_own and version() >= 9:
            stims = [o for o in objects if o.hname().startswith("NetStim[")]
            for i, stim in enumerate(stims, start=1):
                stim.noiseFromRandom123(i, 1, 0)
        self._variables = [v for mod in mods for v in _variables(h, mod, sections)]

    def seed(self, seed: int) -> None:
        """Starts all sources anew.

        Args:
            seed: Of the simulation.
        """
        index, scop, python = (int(n) for n in np.random.SeedSequence(seed).generate_state(3))
        _any_random(self._h).Random123_globalindex(index)
        if self._set_seed is not None:
            self._set_seed(float(scop))
        # whatever its generator was; its distribution stays
        for i, source in enumerate(self._randoms, start=1):
            source.Random123(i, 2, 0)
        for i, variable in enumerate(self._variables, start=1):
            variable.set_ids(i, 3, 0)
            variable.set_seq(0)
        random.seed(python)
        np.random.seed(python)


def _variables(h, mod: Mod, sections: Sequence) -> list:
    """RANDOM variables of NEURON 9's MOD files."""
    if not mod.randoms or mod.name is None:
        return []
    if mod.kind == "SUFFIX":
        holders = [getattr(seg, mod.name) for s in sections if s.has_membrane(mod.name) for seg in s]
    else:
        items = h.List(mod.name)
        holders = [items.o(i) for i in range(int(items.count()))]
    return [getattr(holder, name) for holder in holders for name in mod.randoms]


@contextmanager
def own_streams(h) -> Iterator[None]:
    """While a cell is made or simulated: whoever else draws random numbers in this process is not disturbed."""
    source, python, numpy = _any_random(h), random.getstate(), np.random.get_state()
    index = int(source.Random123_globalindex())
    try:
        yield
    finally:
        source.Random123_globalindex(index)
        random.setstate(python)
        np.random.set_state(numpy)
