"""A cell of the user's own: a HOC or Python template, and a list of what to vary in which of its sections."""

import difflib
import importlib.util
import os
import re
from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

from neuroinverse.errors import ConfigError, require_known
from neuroinverse.provenance import digest
from neuroinverse.simulators import template_settings
from neuroinverse.simulators.base import ParameterInfo
from neuroinverse.simulators.cable_cell import CableCell, Cell, Setting
from neuroinverse.simulators.template_settings import SECTION_UNITS, WHERE, TemplateSettings, Varied


@dataclass
class TemplateCell(Cell):
    """A cell made from a template.

    Args:
        carriers: For each parameter the sections or segments that carry it, each with the template's own value.
        owner: What the template gave; a HOC object takes its sections with it when it goes.
    """

    carriers: dict[str, list[tuple[object, float]]]
    owner: object


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
        }
        return type(cls.__name__, (cls,), about)

    def files(self):
        return self.template.files

    def build(self, h):
        settings = self.template
        sections, owner, parts = _make(h, settings)
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
            carriers[varied.parameter] = [(c, _value(c, varied)) for s in chosen for c in _carriers(s, varied)]
        _check_once(settings, carriers)
        return TemplateCell({"all": sections}, sites, carriers, owner)

    def settings_of(self, values):
        return [Setting(v.parameter, v.mechanism, v.name, values[v.parameter]) for v in self.template.vary]

    def apply(self, cell: TemplateCell, setting: Setting) -> None:
        """Sets a number where its parameter holds: its region goes by the parameter's name."""
        relative = next(v.relative for v in self.template.vary if v.parameter == setting.region)
        for carrier, own in cell.carriers[setting.region]:
            holder = getattr(carrier, setting.mechanism) if setting.mechanism else carrier
            setattr(holder, setting.name, setting.value * own if relative else setting.value)


# --- templates --------------------------------------------------------------------------------------------------------

_CALLED = {
    ".hoc": "A template is made without arguments: give its init defaults, or write a template around it",
    ".py": "The function is called with NEURON's h, and returns an object or a dictionary with the sections",
}
# template names are for good in a process: what each was loaded from
_loaded: dict[str, str] = {}


def _make(h, settings: TemplateSettings) -> tuple[list, object, dict[str, list]]:
    """Makes the cell in the template's own folder.

    Returns:
        Its sections, what the template gave, and sections by the names that they have there.
    """
    where, suffix = f"{WHERE}.template", settings.path.suffix
    # a library that the template imports may switch NEURON's physical constants, for whatever else runs here
    legacy = h.nrnunit_use_legacy()
    with chdir(settings.path.parent):
        make = _hoc_maker(h, settings) if suffix == ".hoc" else _python_maker(h, settings)
        before = set(h.allsec())
        try:
            owner = make()
            sections = [s for s in h.allsec() if s not in before]
            parts = _parts(owner, sections)
        except Exception as error:
            raise ConfigError(
                f"{where}: {settings.name} of {settings.path} cannot be made ({type(error).__name__}: {error}); what "
                f"NEURON printed stands above. {_CALLED[suffix]}"
            ) from error
        finally:
            if h.nrnunit_use_legacy() != legacy:
                h.nrnunit_use_legacy(legacy)
    if not parts:
        raise ConfigError(f"{where}: {settings.name} of {settings.path} gave no sections. {_CALLED[suffix]}")
    return sections, owner, parts


def _hoc_maker(h, settings: TemplateSettings):
    """Loads a HOC file in its own folder; returns the template."""
    where, file = f"{WHERE}.template", settings.path.name
    source = digest([f.read_text(errors="replace") for f in _hoc_files(settings)])
    if settings.name not in _loaded:
        if hasattr(h, settings.name):
            raise ConfigError(f"{where}.name: NEURON has a {settings.name} of its own; give the template another name")
        # 1: also a second file of this name
        loaded = h.load_file(1, file)
        if not loaded or not hasattr(h, settings.name):
            raise ConfigError(
                f"{where}.path: NEURON cannot load {settings.path}; what it printed stands above. Mechanisms that the "
                f"template inserts are compiled from {WHERE}.mechanisms"
            )
        _loaded[settings.name] = source
    elif _loaded[settings.name] != source:
        raise ConfigError(
            f"{where}.name: another {settings.name} was loaded in this process, and NEURON keeps one template of each "
            "name; give one of them another name"
        )
    return getattr(h, settings.name)


def _hoc_files(settings: TemplateSettings) -> list[Path]:
    """The HOC files behind the template, as they are called from its folder."""
    folder = settings.path.parent
    return [Path(os.path.relpath(f, folder)) for f in settings.files if f.suffix == ".hoc"]


def _python_maker(h, settings: TemplateSettings):
    """Runs a Python file in its own folder; returns the function, to be called without arguments."""
    spec = importlib.util.spec_from_file_location(f"neuroinverse_cell_{settings.path.stem}", settings.path.name)
    module = importlib.util.module_from_spec(spec)

    def make():
        spec.loader.exec_module(module)
        return getattr(module, settings.name)(h)

    return make


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
        if by_hoc and not (hasattr(value, "hname") and value.hname().startswith("SectionList[")):
            continue
        found = _sections_in(value)
        if found and set(found) <= own:
            parts[str(name)] = found
    return parts


def _sections_in(value) -> list:
    """Sections that a value is or holds; empty where it holds anything else."""
    from neuron import nrn

    if isinstance(value, nrn.Section):
        return [value]
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return []
    if not isinstance(value, list | tuple | set | frozenset | Mapping) and not hasattr(value, "hname"):
        return []
    items = list(value.values() if isinstance(value, Mapping) else value)
    return items if all(isinstance(item, nrn.Section) for item in items) else []


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
        inserted = section.psection()
        known = [*inserted["density_mechs"], *(f"{ion}_ion" for ion in inserted["ions"])]
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
