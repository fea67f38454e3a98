"""Python files of the user's own: imported as Python would run them in their folder, with the modules beside them.

A file is imported under its own name, with its folder on `sys.path` from then on, so that it finds its neighbours, also
inside functions and in processes that it starts. Folders do not see each other: when a file of another one is imported,
the modules of the first are laid aside. What is installed keeps its names: a neighbour of such a name is refused.
"""

import ast
import functools
import hashlib
import importlib
import importlib.util
import os
import re
import site
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path
from types import ModuleType

from neuroinverse.errors import ConfigError, NeuroinverseError

# folders named within folders are looked into so deep
NESTED = 3
PACKAGE = Path(__file__).parents[1]


@dataclass
class _Home:
    """A folder of the user's: what `sys.path` needs for it, and its modules while another folder is in use."""

    paths: tuple[str, ...]
    added: list[str] = field(default_factory=list)
    modules: dict[str, ModuleType] = field(default_factory=dict)
    contents: dict[Path, str] = field(default_factory=dict)


_homes: dict[tuple[str, ...], _Home] = {}
_current: _Home | None = None


def load(path: Path, where: str) -> ModuleType:
    """Imports a file; once in a process, as long as it and its neighbours stay as they are.

    Args:
        path: The file.
        where: Place in the study that names it, for messages.

    Raises:
        ConfigError: If it does not exist, cannot be imported, or has a neighbour that goes by the name of something
            installed. The message holds the error with its file and line.
    """
    file = Path(path).absolute()
    if not file.is_file():
        raise ConfigError(f"{where}: {path} does not exist; it counts from where Snakemake runs, {Path.cwd()}")
    sources = {file, *neighbours(path, where).values()}
    roots, own = _roots(file)
    home = _enter(roots)
    contents = {source: _sum(source) for source in sources}
    if any(home.contents.get(source, now) != now for source, now in contents.items()):
        for old in _modules_of(home):
            del sys.modules[old]
    home.contents |= contents
    # a name that is taken is left to what is installed
    for name in (own, "neuroinverse_user_" + re.sub(r"\W", "_", own)):
        if getattr(sys.modules.get(name), "__file__", None) == str(file):
            return sys.modules[name]
        if name not in sys.modules and not _installed(name.partition(".")[0], roots):
            break
    _separate_cache(file, contents)
    with running(f"{where}: {shown(file)} cannot be imported"):
        if "." in name:
            importlib.import_module(name.rpartition(".")[0])
            if name in sys.modules:
                # the package imports it by itself
                return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, file)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return module


@contextmanager
def running(what: str) -> Iterator[None]:
    """While code of the user's runs: an error becomes one message, and the process stays as it is.

    Args:
        what: Place in the study and what was tried, for the message.

    Raises:
        ConfigError: With the error, and the line that led to it.
    """
    folder, bytecode = Path.cwd(), sys.dont_write_bytecode
    # Python takes a file for the one that it has compiled if second and size agree
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        with stdout_to_stderr():
            yield
    except (NeuroinverseError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise ConfigError(f"{what}: {cause(error)}") from error
    finally:
        sys.dont_write_bytecode = bytecode
        os.chdir(folder)


def _separate_cache(file: Path, contents: dict[Path, str]) -> None:
    """Gives numba a cache for these very sources: it looks for a change in the file of the cached function alone."""
    if len(contents) < 2:
        return
    name = f"numba-{hashlib.sha256(''.join(sorted(contents.values())).encode()).hexdigest()[:16]}"
    writable = os.access(file.parent, os.W_OK)
    folder = file.parent / "__pycache__" if writable else Path(tempfile.gettempdir(), f"neuroinverse-{os.getuid()}")
    os.environ["NUMBA_CACHE_DIR"] = str(folder / name)
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = str(folder / name)


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Sends what is printed, by compiled code too, to standard error: standard output is for what a command answers."""
    sys.stdout.flush()
    kept = os.dup(1)
    stdout, sys.stdout = sys.stdout, sys.stderr
    try:
        os.dup2(2, 1)
        yield
    finally:
        sys.stdout = stdout
        os.dup2(kept, 1)
        os.close(kept)


# --- folders ---------------------------------------------------------------------------------------------------------


def _roots(file: Path) -> tuple[tuple[str, ...], str]:
    """Folders that a file's imports count from, and its name there: a dotted one within a package."""
    folder, parts = file.parent, [file.stem.replace(".", "_")]
    levels = max((level for _, level in _imports(file.read_bytes())), default=0)
    while (folder / "__init__.py").is_file() or levels > len(parts) - 1:
        parts.insert(0, folder.name)
        folder = folder.parent
    return tuple(dict.fromkeys((str(file.parent), str(folder)))), ".".join(parts)


def _enter(paths: tuple[str, ...]) -> _Home:
    """Makes a folder the one whose modules are found, at the end of `sys.path`: what is installed keeps its names."""
    global _current
    home = _homes.setdefault(paths, _Home(paths))
    if _current is not home:
        if _current is not None:
            for name in _modules_of(_current):
                _current.modules[name] = sys.modules.pop(name)
            sys.path[:] = [p for p in sys.path if p not in _current.added]
        sys.modules.update(home.modules)
        _current = home
    home.added = [p for p in paths if p not in sys.path or p in home.added]
    sys.path.extend(p for p in home.added if p not in sys.path)
    return home


def _modules_of(home: _Home) -> list[str]:
    """Names of the imported modules that stand in a folder, with what is below them."""

    def stands(module) -> bool:
        file, places = getattr(module, "__file__", None), list(getattr(module, "__path__", ()))
        place = file if file and not places else places[0] if places else ""
        return bool(place) and str(Path(place).parent) in home.paths

    tops = {name.partition(".")[0] for name in list(sys.modules)} - {"neuroinverse", "__main__", "__mp_main__"}
    own = {top for top in tops if stands(sys.modules.get(top))}
    return [name for name in list(sys.modules) if name.partition(".")[0] in own]


# --- the modules behind a file ---------------------------------------------------------------------------------------


def neighbours(path: Path, where: str) -> dict[str, Path]:
    """Modules of the user's own that a file imports, and that these import: read from the sources, nothing is run.

    Args:
        path: The file.
        where: Place in the study that names it, for messages.

    Returns:
        Files by the name that they are imported by: those in the file's folder, and others that are neither installed
        packages nor Python's.

    Raises:
        ConfigError: If a neighbour has the name of something installed.
    """
    file = Path(path).absolute()
    roots, name = _roots(file)
    _enter(roots)
    package = name.partition(".")[0]
    installed = _installed(package, roots)
    if installed and any(level for _, level in _imports(file.read_bytes())):
        raise ConfigError(
            f"{where}: {shown(file)} imports relatively, as a module of the package {package!r}, which is a name of "
            f"{installed}; rename the folder, or import what stands beside the file by plain names"
        )
    found: dict[str, Path] = {}
    # what is installed has no files of the user's beside it
    waiting = [(file, name)] if is_own(file) else []
    while waiting:
        source, importer = waiting.pop()
        # the packages that it is in are imported before it
        for imported in filter(None, (importer.rpartition(".")[0], *_absolute(source, importer))):
            parts = imported.split(".")
            for n in range(1, len(parts) + 1):
                module = ".".join(parts[:n])
                other = None if module in found else _find(module, roots, file, where)
                if other:
                    found[module] = other
                    waiting.append((other, module))
    return dict(sorted(found.items()))


def _absolute(file: Path, name: str) -> Iterator[str]:
    """What a module may import, by whole names."""
    if file.suffix != ".py":
        return
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for imported, level in _imports(file.read_bytes()):
        above = package[: len(package) - level + 1] if level else []
        yield ".".join([*above, *filter(None, [imported])])


@functools.lru_cache(4096)
def _imports(source: bytes) -> tuple[tuple[str, int], ...]:
    """Names that a source imports, anywhere in it, and how many dots stand before each."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):
        # told with its line when it is run
        return ()
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [(alias.name, 0) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            found += [(".".join(filter(None, (base, alias.name))), node.level) for alias in node.names]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                found.append((node.args[0].value.lstrip("."), 0))
    return tuple(dict.fromkeys(found))


def _find(module: str, roots: tuple[str, ...], main: Path, where: str) -> Path | None:
    """The file of a module, if it is the user's own."""
    top = module.partition(".")[0]
    if top == "neuroinverse":
        return None
    file = next((f for root in roots if (f := _file(Path(root), module))), None)
    if file == main:
        return None
    installed = _installed(top, roots)
    if file:
        if installed:
            raise ConfigError(
                f"{where}: {shown(file)} has the name of {installed}, and which of the two is imported is uncertain; "
                "rename the file"
            )
        return file
    elsewhere = getattr(sys.modules.get(top), "__file__", None) or installed
    if elsewhere and Path(elsewhere).is_absolute() and is_own(elsewhere):
        place = Path(elsewhere).parent
        return _file(place.parent if Path(elsewhere).stem == "__init__" else place, module)
    return None


def _file(root: Path, module: str) -> Path | None:
    """The file that a dotted name has below a folder."""
    base = root.joinpath(*module.split("."))
    for file in (base / "__init__.py", *(Path(f"{base}{end}") for end in (".py", *EXTENSION_SUFFIXES))):
        if file.is_file():
            return file
    return None


def _installed(top: str, roots: tuple[str, ...]) -> str | None:
    """Where a name leads to outside the user's folder; None where nowhere."""
    if top in sys.stdlib_module_names:
        return f"a module of Python's, {top}"
    found = PathFinder.find_spec(top, [p for p in sys.path if str(Path(p).absolute()) not in roots])
    if found is None or found.origin is None:
        return None
    return found.origin


@functools.cache
def _installations() -> tuple[str, ...]:
    """Folders of what is installed: Python's own modules, packages, and neuroinverse."""
    paths = sysconfig.get_paths()
    folders = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages(), str(PACKAGE)]
    return tuple(dict.fromkeys(f"{f}{os.sep}" for folder in folders for f in (folder, Path(folder).resolve())))


def is_own(file: str | Path) -> bool:
    """Whether a file is the user's: neither of an installed package, of Python, nor of neuroinverse."""
    if str(file).startswith(("<", *_installations())):
        return False
    return not {"site-packages", "dist-packages"} & set(Path(file).parts)


def _sum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def named_files(path: Path, where: str) -> list[Path]:
    """Files that a module or its neighbours name in quotes: beside them or below the working directory.

    Folders that are named too are looked into. What a name that is put together when it runs leads to is not seen.

    Args:
        path: The user's file.
        where: Place in the study that names it, for messages.

    Returns:
        The files, relative to the working directory where they lie below it; no modules.
    """
    modules = [Path(path).absolute(), *neighbours(path, where).values()]
    sources = [m for m in modules if m.suffix == ".py"]
    texts = dict.fromkeys(text for m in sources for text in _texts(m.read_bytes()))
    folders = dict.fromkeys([*(m.parent for m in sources), Path.cwd()])
    for _ in range(NESTED):
        folders |= dict.fromkeys(inner for f in list(folders) for t in texts if (inner := f / t).is_dir())
    found = dict.fromkeys(file for f in folders for t in texts if (file := f / t).is_file())
    real = {m.resolve() for m in modules}
    return [
        Path(shown(file)) for file in {f.resolve(): f for f in reversed(found)}.values() if file.resolve() not in real
    ]


@functools.lru_cache(4096)
def _texts(source: bytes) -> tuple[str, ...]:
    """Texts in a source that could name a file."""
    try:
        nodes = ast.walk(ast.parse(source))
        texts = [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    except (SyntaxError, ValueError):
        return ()
    return tuple(dict.fromkeys(t for t in texts if 0 < len(t) <= 200 and t.isprintable() and t.strip("./ ")))


# --- messages --------------------------------------------------------------------------------------------------------


def shown(file: str | Path) -> str:
    """A path as the user would write it: relative where it lies below the working directory."""
    relative = os.path.relpath(file)
    return str(file) if relative.startswith("..") else relative


def cause(error: BaseException) -> str:
    """An error in one line: class and message, the last place in the user's own code that led to it, and a cure."""
    text = " ".join(str(error).split())
    frames = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    place = next((frame for frame in reversed(frames) if is_own(frame[0])), None)
    if isinstance(error, SyntaxError) and error.filename:
        text, place = error.msg, (error.filename, error.lineno)
    elif place is None and frames and not isinstance(error, NeuroinverseError):
        place = frames[-1]
    said = f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
    return f"{said} ({shown(place[0])}, line {place[1]}){_cure(error, Path(place[0]).parent)}" if place else said


def _cure(error: BaseException, folder: Path) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f". Install {error.name.partition('.')[0]} beside neuroinverse, or put it into {shown(folder)}"
    if isinstance(error, FileNotFoundError) and isinstance(error.filename, str) and (folder / error.filename).is_file():
        return (
            ". It stands beside the module, and relative names count from where Snakemake runs: open "
            f"Path(__file__).with_name({error.filename!r})"
        )
    return ""
