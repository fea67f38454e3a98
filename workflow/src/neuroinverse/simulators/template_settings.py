"""Options of a cell of the user's own: read and checked without NEURON, when a study is read."""

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neuroinverse.errors import ConfigError, require_known
from neuroinverse.simulators import mod_files, template_files
from neuroinverse.simulators.mod_files import Mod
from neuroinverse.simulators.neuron_names import NAMES

WHERE = "simulator.options"
OPTIONS = ("record", "template", "mechanisms", "regions", "sites", "vary", "celsius", "v_init")
# properties of sections that NEURON knows without a mechanism
SECTION_UNITS = {"cm": "uF/cm2", "Ra": "Ohm*cm"}
NAME = r"[A-Za-z_]\w*(?:\[\d+\])?"


@dataclass(frozen=True)
class Varied:
    """One entry of `vary`: a parameter of the study, and what it is in the cell.

    Args:
        regions: Names of regions.
        mechanism: Such as "hh"; None for a property of the section.
        name: The mechanism's parameter, "cm" or "Ra".
        relative: Whether the parameter is a factor on the template's own values.
    """

    parameter: str
    unit: str
    regions: tuple[str, ...]
    mechanism: str | None
    name: str
    relative: bool
    default: float
    description: str

    @property
    def target(self) -> str:
        """What is set, in words."""
        return f"{self.mechanism}.{self.name}" if self.mechanism else self.name


@dataclass(frozen=True)
class TemplateSettings:
    """The options of a study.

    Args:
        path: File of the template, .hoc or .py.
        name: The template in it, or the function that makes the cell.
        files: All files that make the cell, the template's first, without MOD files.
        packages: Python packages whose version counts.
        mechanisms: MOD files, and what they include.
        mods: What the MOD files say.
        regions: Section lists or sections of the template by region; None: the template's own.
        sites: Section list or section, and the place along it, by site.
        vary: What the parameters are in the cell.
        stated: Which of celsius and v_init the study states.
    """

    path: Path
    name: str
    files: tuple[Path, ...]
    packages: tuple[str, ...]
    mechanisms: tuple[Path, ...]
    mods: tuple[Mod, ...]
    regions: Mapping[str, tuple[str, ...]] | None
    sites: Mapping[str, tuple[str, float]]
    vary: tuple[Varied, ...]
    celsius: float
    v_init: float
    stated: frozenset[str]


# what holds where the study is silent
DEFAULTS = {"celsius": 37.0, "v_init": -65.0}
UNITS = {"celsius": "degC", "v_init": "mV"}


def read(options: Mapping) -> TemplateSettings:
    """Reads the options of `cell_template`.

    Raises:
        ConfigError: At the first thing that is wrong: the message names the key, the value and the cure.
    """
    require_known(WHERE, options, OPTIONS)
    for key, what in (("template", "{path: my_cell.hoc, name: MyCell}"), ("vary", "a list of what is varied")):
        if key not in options:
            raise ConfigError(f"{WHERE}: missing {key!r}; cell_template needs {what}")
    path, name, files, packages = _template(options["template"])
    regions, mechanisms = _regions(options.get("regions")), _mechanisms(options.get("mechanisms", []))
    mods = tuple(mod_files.read(f) for f in mechanisms if f.suffix == ".mod")
    settings = TemplateSettings(
        path=path,
        name=name,
        files=files,
        packages=packages,
        mechanisms=mechanisms,
        mods=mods,
        regions=regions,
        sites=_sites(options.get("sites", {"soma": "soma(0.5)"})),
        vary=_vary(options["vary"], regions),
        celsius=_number(f"{WHERE}.celsius", options.get("celsius", DEFAULTS["celsius"]), "a temperature in degC"),
        v_init=_number(f"{WHERE}.v_init", options.get("v_init", DEFAULTS["v_init"]), "a potential in mV"),
        stated=frozenset(DEFAULTS) & frozenset(options),
    )
    mod_files.check(mods, f"{WHERE}.mechanisms")
    for i, varied in enumerate(settings.vary):
        if varied.mechanism:
            mod_files.check_varied(mods, f"{WHERE}.vary[{i}]", varied.mechanism, varied.name)
    varied = [(f"{WHERE}.vary[{i}].mechanism", v.mechanism) for i, v in enumerate(settings.vary) if v.mechanism]
    template_files.check_inserted(files, mods, varied, f"{WHERE}.template")
    for key, value, place in template_files.stated(files):
        check_stated(settings, key, value, place)
    return settings


def revision(settings: TemplateSettings) -> int:
    """1 for cells that were simulated otherwise before: with tables, unseeded noise, or made at 6.3 degC."""
    drawn = any(mod.tables or mod.draws or mod.randoms for mod in settings.mods)
    texts = (template_files.code(f) for f in settings.files if f.suffix in (".hoc", ".py"))
    return int(drawn or any(re.search(r"\b(?:NetStim|Random|random|celsius)\b", text) for text in texts))


def check_stated(settings: TemplateSettings, key: str, value: float, place: str) -> bool:
    """Whether the study's temperature or potential is the one that a file states, or else is the study's own word.

    Raises:
        ConfigError: If the file states another than holds, and the study says nothing of it.
    """
    holds = getattr(settings, key)
    if value != holds and key not in settings.stated:
        raise ConfigError(
            f"{WHERE}.{key}: {place} sets {key} = {value:g}, and the study, which decides, does not say it: {holds:g} "
            f"{UNITS[key]} would hold; add {key}: {value:g} under {WHERE}, or {key}: {holds:g} if that is meant"
        )
    return value == holds


# --- the template and its files --------------------------------------------------------------------------------------


def _template(template) -> tuple[Path, str, tuple[Path, ...], tuple[str, ...]]:
    where = f"{WHERE}.template"
    _mapping(where, template, "path and name")
    require_known(where, template, ("path", "name", "files", "packages"))
    for key in ("path", "name"):
        if not isinstance(template.get(key), str) or not template[key]:
            raise ConfigError(f"{where}.{key} is {template.get(key)!r}; expected text, such as "
                              f"{'cells/my_cell.hoc' if key == 'path' else 'MyCell'}")  # fmt: skip
    path, name = Path(template["path"]), template["name"]
    if path.suffix not in (".hoc", ".py"):
        raise ConfigError(f"{where}.path: {path} is neither .hoc nor .py; give a HOC template or a Python file")
    if not path.is_file():
        raise ConfigError(f"{where}.path: {path} does not exist; it counts from where Snakemake runs, {Path.cwd()}")
    if not (name.isascii() and name.isidentifier()):
        raise ConfigError(f"{where}.name is {name!r}; expected letters a to z, digits and underscores")
    if path.suffix == ".hoc" and name in NAMES:
        raise ConfigError(f"{where}.name: NEURON has a {name} of its own; give the template another name")
    named = template_files.behind(path, where)
    if path.suffix == ".py":
        found = template_files.defined(path, where)
    else:
        found = [t for f in named if f.suffix == ".hoc" for t in template_files.templates(f)]
    if name not in found:
        close = difflib.get_close_matches(name, found, n=1)
        kind = "function" if path.suffix == ".py" else "begintemplate"
        hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(found) or 'none'}"
        raise ConfigError(f"{where}.name: {path} has no {kind} {name!r} ({hint})")
    listed = _texts(f"{where}.files", template.get("files", []))
    for file in map(Path, listed):
        if not file.is_file():
            raise ConfigError(f"{where}.files: {file} does not exist; it counts from where Snakemake runs")
    files = tuple(dict.fromkeys([*named, *map(Path, listed)]))
    packages = _texts(f"{where}.packages", template.get("packages", []))
    if "files" not in template and not packages:
        template_files.check_seen(files, where)
    return path, name, files, packages


def _mechanisms(given) -> tuple[Path, ...]:
    where, files = f"{WHERE}.mechanisms", []
    for path in map(Path, _texts(where, given)):
        if path.is_dir():
            found = sorted(path.glob("*.mod"))
            if not found:
                raise ConfigError(f"{where}: the folder {path} holds no .mod file; name the folder that does")
            files += found + sorted(path.glob("*.inc")) + sorted(path.glob("*.h"))
        elif path.is_file() and path.suffix in (".mod", ".inc", ".h"):
            files.append(path)
        else:
            wrong = "is no .mod file" if path.is_file() else "does not exist"
            raise ConfigError(f"{where}: {path} {wrong}; give MOD files, or folders of them, from where Snakemake runs")
    by_name = {}
    for file in dict.fromkeys(files):
        other = by_name.setdefault(file.name, file)
        if other != file:
            raise ConfigError(f"{where}: {other} and {file} have one name, and are compiled together; leave out one")
    return tuple(by_name.values())


# --- regions, sites, parameters --------------------------------------------------------------------------------------


def _regions(given) -> dict[str, tuple[str, ...]] | None:
    if given is None:
        return None
    where = f"{WHERE}.regions"
    _mapping(where, given, "section lists of the template by region")
    regions = {}
    for name, members in given.items():
        members = [members] if isinstance(members, str) else members
        regions[name] = _texts(f"{where}.{name}", members)
        for member in regions[name]:
            if not re.fullmatch(NAME, member):
                raise ConfigError(f"{where}.{name}: {member!r} is no section list or section; write soma, or dend[3]")
        if not members:
            raise ConfigError(f"{where}.{name} is empty; name a section list of the template, or remove it")
    return regions


def _sites(given) -> dict[str, tuple[str, float]]:
    where, sites = f"{WHERE}.sites", {}
    _mapping(where, given, "places such as soma(0.5) by site")
    for name, place in given.items():
        match = re.fullmatch(rf"({NAME})\(([0-9.eE+-]+)\)", str(place).replace(" ", ""))
        x = _float(match[2]) if match else math.nan
        if not 0 <= x <= 1:
            raise ConfigError(
                f"{where}.{name} is {place!r}; expected a section and a place along it from 0 to 1, "
                "such as soma(0.5) or dend[3](1)"
            )
        sites[name] = match[1], x
    return sites


def _vary(given, regions: Mapping | None) -> tuple[Varied, ...]:
    where = f"{WHERE}.vary"
    if not isinstance(given, list) or not given:
        raise ConfigError(f"{where} is {given!r}; expected a list with an entry for every parameter")
    entries = [_varied(f"{where}[{i}]", entry, regions) for i, entry in enumerate(given)]
    for i, entry in enumerate(entries):
        for j, other in enumerate(entries[:i]):
            if entry.parameter == other.parameter:
                raise ConfigError(
                    f"{where}[{i}]: {entry.parameter!r} is named twice; give the second another name, or join their "
                    "regions in one entry"
                )
            common = set(entry.regions) & set(other.regions)
            if common and entry.target == other.target:
                raise ConfigError(
                    f"{where}: {other.parameter} (entry {j}) and {entry.parameter} (entry {i}) both set {entry.target} "
                    f"of {', '.join(sorted(common))}; leave the region out of one"
                )
    return tuple(entries)


def _varied(where: str, entry, regions: Mapping | None) -> Varied:
    _mapping(where, entry, "parameter, unit, regions, mechanism, name and default")
    known = ("parameter", "unit", "regions", "mechanism", "name", "relative", "default")
    require_known(where, entry, known)
    relative = entry.get("relative", False)
    if not isinstance(relative, bool):
        raise ConfigError(f"{where}.relative is {relative!r}; expected true or false")
    entry = ({"unit": "1", "default": 1.0} if relative else {}) | dict(entry)
    missing = [k for k in ("parameter", "unit", "regions", "name", "default") if k not in entry]
    if missing:
        raise ConfigError(f"{where}: missing {', '.join(map(repr, missing))}; add it")
    for key in ("parameter", "unit", "name", "mechanism"):
        if key in entry and not (isinstance(entry[key], str) and entry[key].strip()):
            raise ConfigError(f"{where}.{key} is {entry[key]!r}; expected text")
    parameter, mechanism, name = entry["parameter"], entry.get("mechanism"), entry["name"]
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", parameter):
        raise ConfigError(f"{where}.parameter is {parameter!r}; expected letters, digits and underscores")
    members = _texts(f"{where}.regions", entry["regions"])
    if not members:
        raise ConfigError(f"{where}.regions is empty; name the regions where {parameter} holds")
    if regions is not None:
        require_known(f"{where}.regions", members, regions)
    if mechanism is None and name not in SECTION_UNITS:
        raise ConfigError(
            f"{where}.name is {name!r}: without a mechanism expected {' or '.join(SECTION_UNITS)}; add the mechanism "
            "that has it"
        )
    if relative and entry["unit"] != "1":
        raise ConfigError(f"{where}.unit is {entry['unit']!r}; a relative parameter is a factor, of the unit '1'")
    return Varied(
        parameter=parameter,
        unit=entry["unit"],
        regions=members,
        mechanism=mechanism,
        name=name,
        relative=relative,
        default=_number(f"{where}.default", entry["default"], "a number"),
        description=f"{mechanism + ' ' if mechanism else ''}{name} of {', '.join(members)}"
        + (", times the template's" if relative else ""),
    )


def _mapping(where: str, given, expected: str) -> None:
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"{where} is {given!r}; expected keys and values: {expected}")


def _texts(where: str, given) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(t, str) and t for t in given):
        raise ConfigError(f"{where} is {given!r}; expected a list of names: [...]")
    return tuple(given)


def _number(where: str, given, expected: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        hint = " (YAML reads 1e-4 as text; write 1.0e-4)" if math.isfinite(_float(given)) else ""
        raise ConfigError(f"{where} is {given!r}; expected {expected}{hint}")
    return float(given)


def _float(text) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan
