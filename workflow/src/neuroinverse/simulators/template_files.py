"""Files behind a cell template, and what their text says: read without NEURON and without running anything."""

import ast
import difflib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from neuroinverse.errors import ConfigError
from neuroinverse.simulators import user_module
from neuroinverse.simulators.mod_files import Mod
from neuroinverse.simulators.neuron_names import MECHANISMS

# text that may name further files; data is read by the cell and names none
_SOURCES = (".hoc", ".py", ".ses", ".json", ".yaml", ".yml")
MORPHOLOGIES = (".swc", ".asc", ".xml", ".nml", ".ses")
_DATA = (*MORPHOLOGIES, *_SOURCES, ".dat", ".txt", ".csv", ".tsv", ".npy", ".npz", ".h5", ".hdf5", ".mat", ".pkl")
_MORPHOLOGY = r"\bImport3d_(?!GUI)\w+|\b(?:import|from)\s+(?:morphio|neurom)\b"
_READS = {
    ".hoc": r"\bropen\s*\(|\bxopen\s*\(\s*\$?\w|\bload_file\s*\(\s*(?:\d\s*,\s*)?\$?[A-Za-z]",
    ".py": r"\bopen\((?![^)\n]*[\"'][wax])|\.read_(?:text|bytes|csv)\(|\b(?:np|numpy)\.(?:load|loadtxt|genfromtxt)\("
    r"|\bjson\.load\(|\bh5py\.File\(|\bloadmat\(|\.load_file\(\s*(?:\d\s*,\s*)?[A-Za-z_]\w*\s*[,)]",
}
# a collection of cells is more than a cell reads
MANY = 100
_LISTS = r"\b(?:listdir|iterdir|scandir|walk|rglob|glob)\s*\("
_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"


# --- which files -----------------------------------------------------------------------------------------------------


def behind(path: Path, where: str) -> tuple[Path, ...]:
    """A template and the files that it reads, as far as texts in quotes tell, then what these read, and so on.

    Names count from the template's folder, where it runs, and from folders that are quoted too: folder and name may be
    two texts. A name with a place to fill in, such as "cell_%d.swc", stands for all files that it fits.

    Raises:
        ConfigError: If a module beside a Python template has the name of something installed.
    """
    sources, found, seen = [path], {}, set()
    if path.suffix == ".py":
        sources += user_module.neighbours(path, where).values()
    folders, texts = [path.parent], []
    while sources:
        file = sources.pop(0)
        if file.resolve() in seen:
            continue
        seen.add(file.resolve())
        found[file if not file.is_absolute() else _relative(file)] = None
        if file.suffix.lower() in _SOURCES:
            texts = list(dict.fromkeys([*texts, *_quoted(file)]))
            folders = _folders(folders, texts)
            sources += _files(folders, texts, bool(re.search(_LISTS, _text(file))), path.stem)
    return tuple(found)


def _relative(file: Path) -> Path:
    """As the study would write it: from where Snakemake runs, if it lies there."""
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


def _text(file: Path) -> str:
    return file.read_bytes().decode("utf-8", "replace")


def _quoted(file: Path) -> list[str]:
    text = _text(file)
    found = re.findall(r"[\"']([^\"'\n]{1,200})[\"']", text)
    if re.search(r"\.parents?\b.*\.parent|\.parents\b|dirname\(.*dirname\(|\bpardir\b", text):
        found.append("..")
    return [t for t in dict.fromkeys(found) if t.strip() and "\0" not in t]


def _folders(known: Iterable[Path], texts: Sequence[str]) -> list[Path]:
    """Folders that the texts name, also one in another; never a whole disk."""
    folders = list(known)
    seen = {f.resolve() for f in folders} | {Path(folders[0].resolve().anchor)}
    for base in folders:
        for folder in _there(base, texts, Path.is_dir):
            if len(folder.parts) <= len(folders[0].parts) + 4 and folder.resolve() not in seen and len(folders) < 50:
                seen.add(folder.resolve())
                folders.append(folder)
    return folders


def _there(base: Path, names: Iterable[str], kind: Callable[[Path], bool]) -> Iterator[Path]:
    """Those of the names that are in a folder, or below it; a slash at the start may join it to a text before."""
    try:
        entries = {".", "..", *(f.name for f in base.iterdir())}
    except OSError:
        return
    for name in names:
        for part in dict.fromkeys((name, name.strip("/"))):
            if part and ("/" in part or part in entries) and _is(kind, base / part):
                yield base / part
                break


def _is(kind: Callable[[Path], bool], path: Path) -> bool:
    try:
        return kind(path)
    except (OSError, ValueError):
        return False


def _files(folders: Sequence[Path], texts: Sequence[str], lists: bool, stem: str) -> Iterator[Path]:
    ends = [t for t in texts if re.fullmatch(r"\.\w{1,5}", t)]
    names = [*texts, *(t + end for end in ends for t in (*texts, stem) if not Path(t).suffix)]
    # places to be filled in: sprint's, format's, and those of a glob
    patterns = (re.sub(r"(?:%[-+.\d]*[a-z]|\{[^{}]*\}|\*)+", "*", name) for name in texts)
    patterns = [p for p in patterns if "*" in p and Path(p).suffix.lower() in _DATA and not p.startswith("/")]
    patterns = dict.fromkeys(part for p in patterns for part in (p, p.removeprefix("*/")))
    for folder in folders:
        yield from _there(folder, names, Path.is_file)
        for pattern in patterns:
            yield from _few(folder.glob(pattern))
        if lists and folder is not folders[0] and ".." not in folder.parts:
            yield from _few(folder.rglob("*"))


def _few(found: Iterable[Path]) -> list[Path]:
    """Data files among what was found, in order; none where they are too many."""
    files = (f for f in found if f.suffix.lower() in _DATA and f.is_file())
    files = sorted(itertools.islice(files, MANY + 1))
    return files if len(files) <= MANY else []


# --- what they say ---------------------------------------------------------------------------------------------------


def code(file: Path) -> str:
    """A file's text without comments, its lines kept."""
    text = _text(file)
    if file.suffix == ".py":
        return re.sub(r"(?m)(^|[ \t])#.*$", "", text)
    text = re.sub(r"(?s)/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), text)
    return re.sub(r"(?m)//.*$", "", text)


def check_seen(files: Sequence[Path], where: str) -> None:
    """Refuses a template that reads a file while no such file is known.

    Raises:
        ConfigError: With the line that reads it.
    """
    known = {f.suffix.lower() for f in files}
    for file in files:
        if file.suffix not in _READS:
            continue
        for pattern, what, kinds in (
            (_MORPHOLOGY, "a morphology", MORPHOLOGIES),
            (_READS[file.suffix], "a file", None),
        ):
            match = re.search(pattern, code(file))
            if match and not (known & set(kinds) if kinds else len(files) > 1):
                raise ConfigError(
                    f"{where}: {file}, line {_line(code(file), match.start())} reads {what} ({match[0].strip()}…) and "
                    "its name is not found in quotes, so that a change of it would go unseen; name all files that the "
                    "cell reads under template.files: [...], or write files: [] if there is none"
                )


def stated(files: Iterable[Path]) -> Iterator[tuple[str, float, str]]:
    """What the text sets celsius and v_init to: key, value and place."""
    for file in files:
        if file.suffix not in (".hoc", ".py"):
            continue
        text = code(file)
        # in Python h's own, or HOC in quotes
        before = r"(?:\bh\.|[\"'][^\"'\n]*\b)" if file.suffix == ".py" else r"(?<![\w.])"
        for match in re.finditer(rf"{before}(celsius|v_init)\s*=\s*{_NUMBER}(?![\w.]|\s*[-+*/^%])", text):
            yield match[1], float(match[2]), f"{file}, line {_line(text, match.start(1))}"


def check_inserted(
    files: Sequence[Path], mods: Sequence[Mod], mechanisms: Iterable[tuple[str, str]], where: str
) -> None:
    """Refuses mechanisms that are neither NEURON's own nor among the study's MOD files, where all is HOC.

    Args:
        files: Behind the template.
        mods: The study's.
        mechanisms: What the study names, each with its place.
        where: Place of the template in the study.

    Raises:
        ConfigError: At the first one.
    """
    texts = {f: re.sub(r'"[^"\n]*"', '""', code(f)) for f in files if f.suffix == ".hoc"}
    loads = r"nrn_load_dll|nrnpython|KSChan|make_mechanism|load_mechanisms"
    if any(f.suffix == ".py" for f in files) or any(m.name is None for m in mods):
        return
    if any(re.search(loads, text) for text in texts.values()):
        return
    own = {m.name for m in mods if m.kind == "SUFFIX"}
    known = sorted(own | {m for m in MECHANISMS if m[0].islower()})

    def refuse(place: str, name: str) -> None:
        if name in known or name.endswith("_ion"):
            return
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"MOD files have {', '.join(sorted(own)) or 'none'}"
        raise ConfigError(
            f"{place} {name!r} is no mechanism of NEURON's own or of simulator.options.mechanisms ({hint}); correct "
            "the name, or add the MOD file that has this SUFFIX"
        )

    for file, text in texts.items():
        for match in re.finditer(r"(?<![\w.])insert[ \t]+([A-Za-z_]\w*)", text):
            refuse(f"{where}: {file}, line {_line(text, match.start(1))}: insert", match[1])
    for place, name in mechanisms:
        refuse(f"{place}:", name)


def templates(path: Path) -> list[str]:
    """Names of the templates that a HOC file defines."""
    return re.findall(r"^\s*begintemplate\s+(\w+)", _text(path), re.MULTILINE)


def defined(path: Path, where: str) -> list[str]:
    """Names that a Python file defines at its top.

    Raises:
        ConfigError: If it is not Python, or makes random numbers that differ from process to process.
    """
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"{where}.path: {path} is not Python: {error}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and not node.args and not node.keywords:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ("default_rng", "RandomState", "SystemRandom", "SeedSequence"):
                raise ConfigError(
                    f"{where}.path: {path}, line {node.lineno}: {name}() without a seed makes another cell in every "
                    f"process; give it one, such as {name}(1)"
                )
    names = [n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    names += [t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)]
    imports = (a for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names)
    return names + [(a.asname or a.name) for a in imports]


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
