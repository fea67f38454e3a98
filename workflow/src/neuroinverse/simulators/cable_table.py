"""Reads a cell that stands in NEURON into arrays, for the compiled engine.

Areas, resistances and the tree are NEURON's own numbers, so that geometry is the same by construction. NEURON puts a
node without membrane at every end of a section: those that no branch and no site needs are taken out, which changes
the solution by no more than rounding.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neuroinverse.errors import ConfigError

# what the engine knows: numbers that a mechanism holds, and the ion whose reversal potential it reads
MECHANISMS: dict[str, tuple[tuple[str, ...], str | None]] = {
    "pas": (("g", "e"), None),
    "mainen_na": (("gbar", "shift"), "na"),
    "mainen_kv": (("gbar",), "k"),
    "mainen_km": (("gbar",), "k"),
    "mainen_ca": (("gbar",), "ca"),
    "mainen_kca": (("gbar", "ralpha"), "k"),
    "mainen_cad": (("depth",), None),
}
CURE = "engine: neuron runs it"
# bits of NEURON's ion_style: the concentration starts from a global; the reversal potential follows concentrations
STARTS_FROM_GLOBAL, FOLLOWS = 4, 32 + 64
# what mainen_cad starts from (mM)
RESTING_CALCIUM = 1e-4


@dataclass(frozen=True)
class Compartments:
    """A cell as arrays over its n nodes; parents stand before their children.

    Args:
        parent: Index of the parent, int64, shape (n,); -1 at a root.
        conductance: To the parent (uS), float64, shape (n,); 0 at a root.
        area: Membrane (um2), float64, shape (n,); 0 where nodes only branch or end.
        cm: As built (uF/cm2), float64, shape (n,).
        region: Index into `regions`, int64, shape (n,); -1 where there is no membrane.
        regions: Names.
        has: Whether a mechanism stands there, by its name: bool, shape (n,).
        values: As built, by mechanism and name: float64, shape (n,); 0 where the mechanism is not.
        reversal: Reversal potential of a channel (mV), by mechanism: float64, shape (n,).
        calcium: Concentration at the start (mM), float64, shape (n,).
        sites: Node of every site.
    """

    parent: np.ndarray
    conductance: np.ndarray
    area: np.ndarray
    cm: np.ndarray
    region: np.ndarray
    regions: tuple[str, ...]
    has: Mapping[str, np.ndarray]
    values: Mapping[tuple[str, str], np.ndarray]
    reversal: Mapping[str, np.ndarray]
    calcium: np.ndarray
    sites: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.parent)


def compartments(cell) -> Compartments:
    """Reads a cell.

    Args:
        cell: Its `regions`, NEURON's sections by name, and `sites`, NEURON's segments by name.

    Raises:
        ConfigError: If it holds a mechanism that the compiled engine does not know, or is not whole.
    """
    from neuron import h

    region_of = {section: name for name, sections in cell.regions.items() for section in sections}
    nodes = _Nodes()
    for section in _parents_first(region_of):
        _check(h, section)
        nodes.add(section, region_of[section])
    sites = {name: nodes.at(segment.sec, segment.x) for name, segment in cell.sites.items()}
    order = nodes.prune(set(sites.values()))
    index = {node: i for i, node in enumerate(order)}
    regions = tuple(cell.regions)
    segments = [nodes.segments[node] for node in order]

    def column(read, where=None):
        where = [segment is not None for segment in segments] if where is None else where
        return np.array([float(read(s)) if w else 0.0 for s, w in zip(segments, where, strict=True)])

    has = {m: np.array([s is not None and hasattr(s, m) for s in segments]) for m in MECHANISMS}
    return Compartments(
        parent=np.array([index.get(nodes.parents[node], -1) for node in order]),
        conductance=np.array(
            [1 / nodes.resistance[node] if nodes.parents[node] is not None else 0.0 for node in order]
        ),
        area=column(lambda s: s.area()),
        cm=column(lambda s: s.cm),
        region=np.array([-1 if s is None else regions.index(region_of[s.sec]) for s in segments]),
        regions=regions,
        has=has,
        values={
            (m, name): column(lambda s, m=m, name=name: getattr(getattr(s, m), name), has[m])
            for m, (names, _) in MECHANISMS.items()
            for name in names
        },
        reversal={
            m: column(lambda s, ion=ion: getattr(s, f"e{ion}"), has[m]) for m, (_, ion) in MECHANISMS.items() if ion
        },
        calcium=column(lambda s: _calcium(h, s)),
        sites={name: index[node] for name, node in sites.items()},
    )


class _Nodes:
    """NEURON's nodes: every segment, the far end of every section, the near end of a root section."""

    def __init__(self):
        self.parents: list[int | None] = []
        self.resistance: list[float] = []
        self.segments: list = []
        # of a section: nodes from the end at its parent to the other, the first being its parent's node
        self.of: dict = {}

    def add(self, section, region: str) -> None:
        parent = section.parentseg()
        first = self._new(None, 0.0, None) if parent is None else self.at(parent.sec, parent.x)
        if section.rallbranch != 1:
            raise ConfigError(
                f"{section.name()} (region {region}) stands for {section.rallbranch} branches; the compiled engine "
                f"takes one; {CURE}"
            )
        chain = [first]
        inner, end = list(section), section(1)
        if section.orientation() != 0:
            inner, end = inner[::-1], section(0)
        for segment in inner:
            chain.append(self._new(chain[-1], segment.ri(), segment))
        chain.append(self._new(chain[-1], end.ri(), None))
        self.of[section] = chain

    def _new(self, parent: int | None, resistance: float, segment) -> int:
        self.parents.append(parent)
        self.resistance.append(resistance)
        self.segments.append(segment)
        return len(self.parents) - 1

    def at(self, section, x: float) -> int:
        """Node of a position, as NEURON finds it."""
        if section not in self.of:
            raise ConfigError(f"{section.name()} is in no region; the compiled engine reads whole cells; {CURE}")
        chain = self.of[section]
        if section.orientation() != 0:
            chain = chain[::-1]
        if x <= 0 or x >= 1:
            return chain[0 if x <= 0 else -1]
        return chain[1 + min(int(section.nseg * x), section.nseg - 1)]

    def prune(self, keep: set[int]) -> list[int]:
        """Takes out nodes without membrane that have fewer than two children; the rest, parents first."""
        children: dict[int, list[int]] = {node: [] for node in range(len(self.parents))}
        for node, parent in enumerate(self.parents):
            if parent is not None:
                children[parent].append(node)
        kept = []
        for node in reversed(range(len(self.parents))):
            parent = self.parents[node]
            if self.segments[node] is not None or node in keep or len(children[node]) > 1:
                kept.append(node)
                continue
            if parent is not None:
                children[parent].remove(node)
            for child in children[node]:
                self.parents[child] = parent
                if parent is not None:
                    self.resistance[child] += self.resistance[node]
                    children[parent].append(child)
        return kept[::-1]


def _parents_first(sections) -> list:
    """The sections in an order in which a parent stands before its children."""
    found: dict = {}
    for section in sections:
        path = []
        while section is not None and section not in found:
            path.append(section)
            parent = section.parentseg()
            section = None if parent is None else parent.sec
        found |= dict.fromkeys(reversed(path))
    missing = [s.name() for s in found if s not in sections]
    if missing:
        raise ConfigError(f"{missing[0]} is in no region; the compiled engine reads whole cells; {CURE}")
    return list(found)


def _check(h, section) -> None:
    known = ", ".join(MECHANISMS)
    for segment in section:
        point = segment.point_processes()
        if point:
            raise ConfigError(
                f"{point[0].hname()} at {segment}: the compiled engine knows no point process but its stimulus; {CURE}"
            )
        for mechanism in segment:
            name = mechanism.name()
            if name not in MECHANISMS and not name.endswith("_ion"):
                raise ConfigError(f"{segment}: the compiled engine knows {known}, not {name}; {CURE}")
    for point in (p for end in (0, 1) for p in section(end).point_processes()):
        raise ConfigError(
            f"{point.hname()} at {section(point.get_segment().x)}: the compiled engine knows no point process but its "
            f"stimulus; {CURE}"
        )
    for mechanism, (_, ion) in MECHANISMS.items():
        if ion and section.has_membrane(mechanism) and int(h.ion_style(f"{ion}_ion", sec=section)) & FOLLOWS:
            raise ConfigError(
                f"{section.name()}: e{ion} follows concentrations there; the compiled engine holds it fixed, as "
                f'ion_style("{ion}_ion", 3, 1, 0, 0, 0) makes it; or {CURE}'
            )


def _calcium(h, segment) -> float:
    if hasattr(segment, "mainen_cad"):
        return RESTING_CALCIUM
    if not hasattr(segment, "mainen_kca"):
        return 0.0
    from_global = int(h.ion_style("ca_ion", sec=segment.sec)) & STARTS_FROM_GLOBAL
    return h.cai0_ca_ion if from_global else segment.cai
