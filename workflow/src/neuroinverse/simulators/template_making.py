"""Makes a cell from its template in NEURON, in the template's own folder, or says in one line why it cannot be made."""

import inspect
import os
import re
import sys
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path

from neuroinverse.errors import ConfigError
from neuroinverse.provenance import digest
from neuroinverse.simulators import neuron_state, template_files, user_module
from neuroinverse.simulators.neuron_batch import load_packaged
from neuroinverse.simulators.neuron_messages import cause, listening
from neuroinverse.simulators.template_settings import DEFAULTS, WHERE, TemplateSettings, check_stated

_CALLED = {
    ".hoc": "A template is made without arguments: give its init defaults, or write a template around it",
    ".py": "The function is called with NEURON's h, or without it where all that it takes has defaults, and returns an "
    "object or a dictionary with the sections",
}


# NEURON goes on without a file that is to be loaded
MISSING = "Couldn't find"


@dataclass
class Made:
    """A cell that stands in NEURON.

    Args:
        owner: What the template gave; a HOC object takes its sections with it when it goes.
        sections: Its sections.
        sources: Its random sources.
    """

    owner: object
    sections: list
    sources: neuron_state.Sources

    def close(self) -> None:
        """Lets go of everything, whoever still refers to this: a handler or clamp would act on the next cell."""
        # NEURON holds a handler, which holds what the template gave, which holds the handler
        held = self.owner if isinstance(self.owner, dict) else getattr(self.owner, "__dict__", None)
        if isinstance(held, dict):
            held.clear()
        self.owner = self.sources = None
        self.sections = []


@dataclass
class _Loaded:
    """A template's file, loaded once in a process: template names are for good.

    Args:
        source: Digest of what was loaded.
        failure: Why it could not be loaded.
        stated: What it set while it was loaded.
        objects: Random sources that it made then.
    """

    source: str
    failure: str = ""
    stated: dict[str, float] = field(default_factory=dict)
    objects: dict[str, object] = field(default_factory=dict)


_loaded: dict[str, _Loaded] = {}
# contents of HOC files by name: of each name NEURON's load_file reads one in a process, whatever its folder
_files: dict[str, str] = {}


def make(h, settings: TemplateSettings, dt_ms: float) -> Made:
    """Makes the cell.

    Args:
        h: NEURON's interpreter, with the study's mechanisms.
        settings: Of the study.
        dt_ms: Time step (ms), which a template may read.

    Raises:
        ConfigError: If it cannot be made, or sets a temperature or potential that the study does not say.
    """
    # a file that states v_init states it after this one, which sets it too
    h.load_file("stdrun.hoc")
    for package in settings.packages:
        load_packaged(h, package)
    try:
        with neuron_state.constants_kept(h), neuron_state.own_streams(h):
            return _make(h, settings, dt_ms)
    finally:
        _prepare(h, settings, dt_ms)


def _prepare(h, settings: TemplateSettings, dt_ms: float) -> None:
    h.celsius, h.v_init, h.dt, h.secondorder = settings.celsius, settings.v_init, dt_ms, 0
    neuron_state.exact(h, settings.mods)


def _changed(h, settings: TemplateSettings) -> dict[str, float]:
    return {key: getattr(h, key) for key in DEFAULTS if getattr(h, key) != getattr(settings, key)}


def _make(h, settings: TemplateSettings, dt_ms: float) -> Made:
    loaded = _load(h, settings, dt_ms)
    before, objects = set(h.allsec()), set(neuron_state.standing(h))
    _prepare(h, settings, dt_ms)
    # without objects of its own: for what is drawn while it is made
    neuron_state.Sources(h, (), (), (), True).seed(0)

    def construct():
        if settings.path.suffix == ".hoc":
            return getattr(h, settings.name)()
        where = f"{WHERE}.template.path is {settings.path}"
        function = getattr(user_module.load(Path(settings.path.name), where), settings.name)
        return function(h) if _takes_h(function) else function()

    try:
        owner = _run(settings, construct)
        for key, value in (loaded.stated | _changed(h, settings)).items():
            if not check_stated(settings, key, value, str(settings.path)):
                warn(f"{settings.path} sets {key} = {value:g}; the study's {getattr(settings, key):g} holds")
        sections = [s for s in h.allsec() if s not in before]
        made = {name: o for name, o in neuron_state.standing(h).items() if name not in objects}
        text = "".join(template_files.code(f) for f in settings.files if f.suffix in (".hoc", ".py"))
        own, has_own = list((loaded.objects | made).values()), re.search(r"\bnoiseFromRandom", text) is not None
        return Made(owner, sections, neuron_state.Sources(h, own, settings.mods, sections, has_own))
    except BaseException:
        for section in set(h.allsec()) - before:
            h.delete_section(sec=section)
        raise


def _takes_h(function: Callable) -> bool:
    """Whether a function is to be given NEURON's h: not where all it takes has defaults, and nothing is called so."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    first = next((p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)), None)
    if first is None:
        return any(p.kind == p.VAR_POSITIONAL for p in parameters)
    return first.default is first.empty or first.name.lower() in ("h", "hoc", "nrn", "neuron")


def warn(words: str) -> None:
    """Says what is odd and goes on."""
    print(f"warning: {words}", file=sys.stderr)


def _run(settings: TemplateSettings, step: Callable) -> object:
    """Runs a step of the template's own code in its folder."""
    with chdir(settings.path.parent), listening() as printed:
        raised = None
        try:
            done = step()
        except ConfigError:
            raise
        except (Exception, SystemExit) as error:
            raised = error
    if raised is None and MISSING not in "".join(printed):
        return done
    raise ConfigError(_failed(settings, cause(printed, raised, by_python=settings.path.suffix == ".py")))


def _failed(settings: TemplateSettings, why: str) -> str:
    return (
        f"{WHERE}.template: {settings.name} of {settings.path} cannot be made: {why}. {_CALLED[settings.path.suffix]}"
    )


def check_parts(settings: TemplateSettings, parts: dict) -> None:
    """Refuses a cell without sections."""
    if not parts:
        raise ConfigError(
            f"{WHERE}.template: {settings.name} of {settings.path} gave no sections. {_CALLED[settings.path.suffix]}"
        )


def _load(h, settings: TemplateSettings, dt_ms: float) -> _Loaded:
    """Loads a HOC file in its own folder, once in a process; Python files are imported when they are called."""
    where, name = f"{WHERE}.template", settings.name
    for file in _hoc_files(settings):
        content = digest(file.read_text(errors="replace"))
        if _files.setdefault(file.name, content) != content and file != settings.path:
            raise ConfigError(
                f"{where}: another {file.name} than {file} was loaded in this process, and NEURON loads one file of "
                "each name; go on in a new process, or rename one"
            )
    if settings.path.suffix == ".py":
        return _Loaded("")
    source = digest([f.read_text(errors="replace") for f in _hoc_files(settings)])
    loaded = _loaded.get(name)
    failed = next((other.failure for other in _loaded.values() if other.failure), "")
    if failed and loaded is None and neuron_state.version() < 9:
        # its parser stays inside the template that failed, and crashes sooner or later
        raise ConfigError(f"{failed} NEURON 8 loads no template after one that failed: go on in a new process")
    if loaded is None:
        if hasattr(h, name):
            raise ConfigError(f"{where}.name: NEURON has a {name} of its own; give the template another name")
        loaded = _loaded[name] = _Loaded(source)
        objects = set(neuron_state.standing(h))
        _prepare(h, settings, dt_ms)
        neuron_state.Sources(h, (), (), (), True).seed(0)
        with chdir(settings.path.parent), listening() as printed:
            done, raised = 0, None
            try:
                # 1: also a second file of this name; as bytes: of text NEURON takes ASCII alone
                done = h.load_file(1, os.fsencode(settings.path.name))
            except (Exception, SystemExit) as error:
                raised = error
        if not done or not hasattr(h, name) or MISSING in "".join(printed):
            loaded.failure = (
                f"{where}.path: NEURON cannot load {settings.path}: {cause(printed, raised)}. Mechanisms that the "
                f"template inserts are compiled from {WHERE}.mechanisms"
            )
        loaded.stated = _changed(h, settings)
        loaded.objects = {n: o for n, o in neuron_state.standing(h).items() if n not in objects}
    if loaded.source != source:
        raise ConfigError(
            f"{where}.name: another {name} was loaded in this process, and NEURON keeps one template of each "
            "name; give one of them another name"
        )
    if loaded.failure:
        raise ConfigError(loaded.failure)
    return loaded


def _hoc_files(settings: TemplateSettings) -> list[Path]:
    return [f for f in settings.files if f.suffix == ".hoc"]
