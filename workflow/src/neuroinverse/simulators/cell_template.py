"""A cell of the user's own: a HOC or Python template, and a list of what to vary in which of its sections."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroinverse.errors import ConfigError, require_known
from neuroinverse.simulators import cable_cell, neuron_state, template_making, template_settings
from neuroinverse.simulators.base import ParameterInfo
from neuroinverse.simulators.cable_cell import CableCell, Cell, Setting
from neuroinverse.simulators.cable_table import FOLLOWS
from neuroinverse.simulators.neuron_messages import cause, listening
from neuroinverse.simulators.template_settings import SECTION_UNITS, WHERE, TemplateSettings, Varied

# batches from this size on are checked, at the cost of one simulation; and the first of every cell
CHECKED = 16


@dataclass
class TemplateCell(Cell):
    """A cell made from a template.

    Args:
        carriers: For each parameter the sections or segments that carry it, each with the template's own value.
        made: What the template gave, which holds the sections, and its random sources.
        is_checked: Whether a simulation was run again.
    """

    carriers: dict[str, list[tuple[object, float]]]
    made: template_making.Made
    is_checked: bool = False

    def close(self):
        self.carriers.clear()
        self.made.close()


class CellTemplate(CableCell):
    """A cell that the study describes: a template, its MOD files, and which of its numbers are the parameters.

    Options: `template`, the file and the name in it; `mechanisms`, MOD files or folders of them; `regions`, names for
    section lists of the template; `sites`, where is injected and recorded, the first unless said otherwise; `vary`,
    what the parameters are; `celsius` (37 degC), `v_init` (-65 mV), `record`. Compartments are those of the template.
    A study has a class of its own, see `for_section`.
    """

    parameters = {}
    engines = ("neuron",)
    options = template_settings.OPTIONS
    # of cells with some hundred compartments
    core_us_per_step = 60.0
    mechanism_folder = Path()
    template: TemplateSettings

    @classmethod
    def for_section(cls, section: Mapping) -> type["CellTemplate"]:
        """The class of a study: what the options describe becomes parameters, sites and mechanisms."""
        settings = template_settings.read(section.get("options") or {})
        about = {
            "__doc__": f"The cell {settings.name} of {settings.path}.",
            "template": settings,
            "parameters": {v.parameter: ParameterInfo(v.unit, v.default, v.description) for v in settings.vary},
            "mechanisms": tuple(map(str, settings.mechanisms)),
            "packages": ("neuron", *settings.packages),
            "site_names": tuple(settings.sites),
            "celsius": settings.celsius,
            "v_init": settings.v_init,
            "revision": template_settings.revision(settings),
        }
        return type(cls.__name__, (cls,), about)

    def files(self):
        return self.template.files

    def build(self, h):
        made = template_making.make(h, self.template, self.dt_ms)
        try:
            return self._described(h, made)
        except BaseException:
            for section in made.sections:
                h.delete_section(sec=section)
            made.close()
            raise

    def _described(self, h, made: template_making.Made) -> TemplateCell:
        """What the study names in the cell.

        Raises:
            ConfigError: If the cell lacks it, or is not what the study says.
        """
        settings = self.template
        parts = _parts(made.owner, made.sections)
        template_making.check_parts(settings, parts)
        regions = {
            name: [s for member in members for s in _find(f"{WHERE}.regions.{name}", member, parts)]
            for name, members in (settings.regions or {part: (part,) for part in parts}).items()
        }
        sites = {name: _site(name, *place, parts) for name, place in settings.sites.items()}
        carriers = {}
        for i, varied in enumerate(settings.vary):
            where = f"{WHERE}.vary[{i}]"
            require_known(f"{where}.regions", varied.regions, regions)
            # one section may be in several lists of a template
            chosen = dict.fromkeys(s for region in varied.regions for s in regions[region])
            for section in chosen:
                _check_carried(h, where, varied, section)
            found = [(c, _value(c, varied)) for s in chosen for c in _carriers(s, varied)]
            if varied.relative and not any(own for _, own in found):
                raise ConfigError(
                    f"{where}: {varied.target} is 0 in all of {', '.join(varied.regions)}, and a factor on 0 stays 0; "
                    "give the template a value there, or vary it without relative"
                )
            carriers[varied.parameter] = found
        _check_once(settings, carriers)
        self._check_start(h, made.sections)
        self._check_noise(h, made.sections)
        return TemplateCell({"all": made.sections}, sites, carriers, made)

    def _check_start(self, h, sections: Sequence) -> None:
        """Initialises once, and refuses a template that starts otherwise than the study says."""
        path, solver = self.template.path, h.CVode()
        solver.active(False)
        with listening() as printed:
            try:
                h.finitialize(self.v_init)
                raised = None
            except Exception as error:
                raised = error
        if raised is not None:
            raise ConfigError(f"{WHERE}.template: {path} cannot be initialised: {cause(printed, raised)}")
        self._check_held(h)
        if solver.active():
            raise ConfigError(
                f"{WHERE}.template: when {path} is initialised it switches to variable steps; cells are simulated "
                "with protocol.dt_ms; take cvode.active(1) out of its handlers"
            )
        starts = [segment.v for section in sections for segment in section]
        other = next((v for v in starts if v != self.v_init), self.v_init)
        if not template_settings.check_stated(self.template, "v_init", other, f"{path}, where it is initialised,"):
            template_making.warn(
                f"{path} starts parts of the cell at other potentials, {other:g} mV among them, than v_init "
                f"{self.v_init:g} mV: those hold"
            )

    def _check_held(self, h) -> None:
        for name, value in (("celsius", self.celsius), ("dt", self.dt_ms)):
            if getattr(h, name) != value:
                raise ConfigError(
                    f"{WHERE}.template: when {self.template.path} is initialised or simulated it sets {name} = "
                    f"{getattr(h, name):g}, where the study has {value:g}; take that out of its handlers and events, "
                    "or say the same in the study"
                )

    def _check_noise(self, h, sections: Sequence) -> None:
        for mod in self.template.mods:
            inserted = mod.name and any(
                s.has_membrane(mod.name) if mod.kind == "SUFFIX" else h.List(mod.name).count() for s in sections
            )
            if mod.unseeded and inserted:
                name, line = next(iter(mod.unseeded.items()))
                raise ConfigError(
                    f"{WHERE}.mechanisms: {mod.path}, line {line} calls C's {name}(), which no seed of a simulation "
                    "reaches; draw with normrand, scop_random or exprand, or from Random123"
                )

    def settings_of(self, values):
        return [Setting(v.parameter, v.mechanism, v.name, values[v.parameter]) for v in self.template.vary]

    def apply(self, cell: TemplateCell, setting: Setting) -> None:
        """Sets a number where its parameter holds: its region goes by the parameter's name."""
        for holder, value in self._places(cell, setting):
            setattr(holder, setting.name, value)

    def _places(self, cell: TemplateCell, setting: Setting) -> Iterator[tuple[object, float]]:
        """What holds the number in the cell, and its value there."""
        relative = next(v.relative for v in self.template.vary if v.parameter == setting.region)
        for carrier, own in cell.carriers[setting.region]:
            holder = getattr(carrier, setting.mechanism) if setting.mechanism else carrier
            yield holder, setting.value * own if relative else setting.value

    def begin(self, cell, seed):
        cell.made.sources.seed(seed)

    def end(self, cell, settings):
        self._check_held(cable_cell.interpreter_of(self))
        for setting in settings:
            for i, (holder, value) in enumerate(self._places(cell, setting)):
                found = getattr(holder, setting.name)
                if found != value:
                    where = cell.carriers[setting.region][i][0]
                    raise ConfigError(
                        f"{WHERE}.vary: {setting.region} was set to {value:g} in {where} and is {found:g} after the "
                        f"simulation: something in the cell computes {setting.name} anew, so that the parameter is not "
                        "what the study says; vary what it is computed from, or keep its range where it is left alone"
                    )

    def run_neuron(self, settings, seeds, site, wave):
        with neuron_state.own_streams(cable_cell.interpreter_of(self)):
            cell = cable_cell.standing_cell(self)
            repeats = not cell.is_checked or len(settings) >= CHECKED
            if repeats:
                settings, seeds = [*settings, settings[0]], [*seeds, seeds[0]]
            result = super().run_neuron(settings, seeds, site, wave)
        if not repeats:
            return result
        same = (result[0] == result[-1]) | (np.isnan(result[0]) & np.isnan(result[-1]))
        differs = np.flatnonzero(~same.all(axis=0))
        if differs.size:
            raise ConfigError(self._irreproducible(self.record[differs[0]]))
        cell.is_checked = True
        return result[:-1]

    def _irreproducible(self, site: str) -> str:
        mods = self.template.mods
        kept = [f"{m.path}: {', '.join(m.kept)}" for m in mods if m.kept]
        hint = f" Not set in INITIAL are, by the text, {'; '.join(kept)}." if kept else ""
        return (
            f"{WHERE}.template: the voltage at {site} is another when the same parameters and seed are simulated again "
            f"after others: something in {self.template.path} or its mechanisms outlives the initialisation, or draws "
            f"random numbers that no seed reaches.{hint} Set in INITIAL every variable that a MOD file changes, and "
            "what HOC or Python code counts in an FInitializeHandler"
        )


# --- sections ---------------------------------------------------------------------------------------------------------


def _parts(owner, sections: list) -> dict[str, list]:
    """What a template calls its sections: lists by name, from the names of the sections and from what it returned."""
    parts: dict[str, list] = {}
    by_hoc = hasattr(owner, "hname")
    if by_hoc:
        # also those that are not public: "Cell[0].dend[3]" is one of dend
        for section in sections:
            name = section.name().rpartition(".")[2].partition("[")[0]
            parts.setdefault(name, []).append(section)
        named = {name: getattr(owner, name, None) for name in dir(owner) if not name.startswith("_")}
    else:
        named = (
            owner
            if isinstance(owner, Mapping)
            else {n: getattr(owner, n, None) for n in dir(owner) if not n.startswith("__")}
        )
    own = set(sections)
    for name, value in named.items():
        if by_hoc and not _is_list(value):
            continue
        found = _sections_in(value)
        if found and set(found) <= own:
            parts[str(name)] = found
    return parts


def _is_list(value) -> bool:
    return hasattr(value, "hname") and value.hname().startswith("SectionList[")


def _sections_in(value, depth: int = 0) -> list:
    """Sections that a value is or holds, also in lists within lists; empty where it holds anything else."""
    from neuron import nrn

    if isinstance(value, nrn.Section):
        return [value]
    if depth > 3 or not (isinstance(value, list | tuple | set | frozenset | Mapping) or _is_list(value)):
        return []
    found = [_sections_in(item, depth + 1) for item in (value.values() if isinstance(value, Mapping) else value)]
    return [section for sections in found for section in sections] if all(found) else []


def _find(where: str, member: str, parts: dict[str, list]) -> list:
    """The sections of "dend" or "dend[3]"."""
    name, index = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", member).groups()
    if name not in parts:
        close = difflib.get_close_matches(name, parts, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ConfigError(
            f"{where}: the template has no section list or section {name!r}{hint}; "
            f"it has {', '.join(f'{n} ({len(s)} sections)' if len(s) > 1 else n for n, s in parts.items())}"
        )
    if index is None:
        return parts[name]
    if int(index) >= len(parts[name]):
        raise ConfigError(f"{where}: {member} is not there; {name} has {len(parts[name])} sections, counted from 0")
    return [parts[name][int(index)]]


def _site(site: str, member: str, x: float, parts: dict[str, list]):
    where = f"{WHERE}.sites.{site}"
    found = _find(where, member, parts)
    if len(found) > 1:
        raise ConfigError(f"{where}: {member} has {len(found)} sections; say which, such as {member}[0]({x:g})")
    return found[0](x)


# --- what is varied ---------------------------------------------------------------------------------------------------


def _check_carried(h, where: str, varied: Varied, section) -> None:
    """Refuses a mechanism or parameter that the section does not have, and a unit that is not NEURON's."""
    if varied.mechanism is None:
        names, unit = list(SECTION_UNITS), SECTION_UNITS[varied.name]
    else:
        # not by psection(), which fails on a pointer that nothing sets; ions last
        known = sorted((m.name() for m in section(0.5)), key=lambda name: name.endswith("_ion"))
        if varied.mechanism not in known:
            raise ConfigError(
                f"{where}.mechanism: {varied.mechanism!r} is not inserted in {section.name()}, which has "
                f"{', '.join(known) or 'none'}; leave its region out, or correct the name"
            )
        names = _settable(h, varied.mechanism)
        if varied.name not in names:
            raise ConfigError(
                f"{where}.name: {varied.mechanism} has no parameter {varied.name!r} that may differ from section to "
                f"section; it has {', '.join(names) or 'none'} (RANGE variables in PARAMETER of its MOD file)"
            )
        ion = varied.mechanism.removesuffix("_ion")
        if varied.name == f"e{ion}" and int(h.ion_style(varied.mechanism, sec=section)) & FOLLOWS:
            raise ConfigError(
                f"{where}.name: in {section.name()} a mechanism reads or writes the concentration of {ion}, from which "
                f"NEURON computes {varied.name}, so that a value from outside is lost; leave the region out, "
                f'vary the mechanism that writes it, or have the template call ion_style("{ion}_ion", 3, 1, 0, 0, 0)'
            )
        unit = "mV" if varied.name == f"e{ion}" else h.units(f"{varied.name}_{varied.mechanism}")
    if not varied.relative and unit and _plain(unit) != _plain(varied.unit):
        raise ConfigError(
            f"{where}.unit is {varied.unit!r}; NEURON takes {varied.target} in {unit!r}. Give unit, default and range "
            "in that"
        )


def _settable(h, mechanism: str) -> list[str]:
    """Parameters of a mechanism that a section can have its own value of."""
    if mechanism.endswith("_ion"):
        return [f"e{mechanism.removesuffix('_ion')}"]
    standard, name = h.MechanismStandard(mechanism, 1), h.ref("")
    names = []
    for i in range(int(standard.count())):
        standard.name(name, i)
        names.append(name[0].removesuffix(f"_{mechanism}"))
    return names


def _plain(unit: str) -> str:
    """One spelling of a unit: MOD files write mho for S, and ohm-cm."""
    return unit.replace(" ", "").replace("mho", "S").replace("ohm", "Ohm").replace("-", "*").replace("µ", "u")


def _carriers(section, varied: Varied) -> list:
    """Where NEURON keeps the value: in the section, or in each segment."""
    return [section] if varied.name == "Ra" and varied.mechanism is None else list(section)


def _value(carrier, varied: Varied) -> float:
    return getattr(getattr(carrier, varied.mechanism) if varied.mechanism else carrier, varied.name)


def _check_once(settings: TemplateSettings, carriers: dict[str, list]) -> None:
    """Refuses two parameters that set the same number of the same segment: the last would win."""
    taken: dict[tuple, str] = {}
    for varied in settings.vary:
        for carrier, _ in carriers[varied.parameter]:
            other = taken.setdefault((str(carrier), varied.target), varied.parameter)
            if other != varied.parameter:
                raise ConfigError(
                    f"{WHERE}.vary: {other} and {varied.parameter} both set {varied.target} of {carrier}, which is in "
                    "regions of both; make their regions disjoint"
                )
