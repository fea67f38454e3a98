"""MOD files read without NEURON: what they declare, and what is wrong in them before a compiler sees them."""

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from neuroinverse.errors import ConfigError
from neuroinverse.simulators.neuron_names import MECHANISMS, NAMES

# NMODL's own random numbers, all from one stream of NEURON's that can be seeded
SEEDED = ("scop_random", "normrand", "exprand", "poisrand")
# those of C, in VERBATIM, are the process's own
UNSEEDED = ("rand", "random", "drand48", "lrand48", "mrand48", "rand_r", "arc4random", "time", "clock", "gettimeofday")
_KINDS = ("SUFFIX", "POINT_PROCESS", "ARTIFICIAL_CELL")
_DECLARED = ("USEION", "NONSPECIFIC_CURRENT", "ELECTRODE_CURRENT", "RANGE", "GLOBAL", "POINTER", "BBCOREPOINTER",
             "EXTERNAL", "THREADSAFE", "RANDOM", "REPRESENTS", *_KINDS)  # fmt: skip
_NO_CODE = ("NEURON", "UNITS", "PARAMETER", "CONSTANT", "ASSIGNED", "STATE", "INDEPENDENT", "DEFINE", "INCLUDE")


@dataclass
class Mod:
    """What a MOD file says.

    Args:
        name: Of the mechanism; None where the file does not say.
        kind: "SUFFIX", "POINT_PROCESS" or "ARTIFICIAL_CELL".
        line: Of the name.
        parameters: Names in PARAMETER, with their lines.
        ranges: Names under RANGE.
        ions: Variables that the mechanism writes, by ion.
        tables: Whether a look-up table stands in it.
        randoms: Variables under RANDOM.
        draws: NMODL's random functions that it calls, with their lines.
        unseeded: C's random functions that it calls, with their lines.
        assigned: Names that INITIAL or BREAKPOINT assigns without a condition, with their lines.
        kept: Variables that code changes and uses while INITIAL does not set them.
    """

    path: Path
    name: str | None = None
    kind: str = "SUFFIX"
    line: int = 0
    parameters: dict[str, int] = field(default_factory=dict)
    ranges: set[str] = field(default_factory=set)
    ions: dict[str, set[str]] = field(default_factory=dict)
    tables: bool = False
    randoms: list[str] = field(default_factory=list)
    draws: dict[str, int] = field(default_factory=dict)
    unseeded: dict[str, int] = field(default_factory=dict)
    assigned: dict[str, int] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)


def read(path: Path) -> Mod:
    """Reads a MOD file; one that NEURON's compiler would refuse is read as far as it goes.

    Raises:
        ConfigError: If it cannot be read.
    """
    try:
        state = path.stat()
        return _read(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise ConfigError(f"{path}: the MOD file cannot be read ({error.strerror})") from error


@functools.lru_cache(256)
def _read(path: Path, changed: int, size: int) -> Mod:
    text = _with_includes(path)
    verbatim = re.sub(r"(?s)(.*?)VERBATIM(.*?)ENDVERBATIM|.+", lambda m: _lines(m[1]) + (m[2] or ""), text)
    code = re.sub(r"(?s)VERBATIM.*?(ENDVERBATIM|$)", lambda m: _lines(m[0]), text)
    mod, blocks = Mod(path), _blocks(code)
    for keyword, _, line, body in blocks:
        if keyword == "NEURON":
            _read_neuron(mod, line, body)
        elif keyword == "PARAMETER":
            mod.parameters |= _names(line, body)
    mod.tables = any(re.search(r"\bTABLE\b", body) for keyword, _, _, body in blocks if keyword not in _NO_CODE)
    mod.draws = _called(code, SEEDED)
    mod.unseeded = _called(_without_c_comments(verbatim), UNSEEDED)
    for keyword, _, line, body in blocks:
        if keyword in ("INITIAL", "BREAKPOINT"):
            mod.assigned |= _assigned(line, _top(body))
    mod.kept = _kept(blocks)
    return mod


def check(mods: Iterable[Mod], where: str) -> None:
    """Refuses mechanisms whose names NEURON cannot take.

    Args:
        mods: All that are compiled together.
        where: Place in the study that names the files.

    Raises:
        ConfigError: At the first name that is NEURON's own, or stands in two files.
    """
    seen: dict[str, Mod] = {}
    for mod in mods:
        # the functions of SUFFIX nothing are HOC's; any number of files may have it
        if mod.name is None or mod.name == "nothing":
            continue
        at = f"{where}: {mod.path}, line {mod.line}: {mod.kind} {mod.name}"
        cure = f"write another, such as {mod.kind} my_{mod.name}, and use it in the template and under vary"
        if mod.name in NAMES:
            what = "mechanism" if mod.name in MECHANISMS else "word"
            raise ConfigError(
                f"{at} is the name of a {what} of NEURON's own, which refuses a second one; {cure}. To use NEURON's, "
                "leave the file out"
            )
        other = seen.setdefault(mod.name, mod)
        if other is not mod:
            raise ConfigError(
                f"{at} stands in {other.path} too, and NEURON keeps one mechanism of each name; leave out one of the "
                f"two files, or rename: {cure}"
            )


def check_varied(mods: Sequence[Mod], where: str, mechanism: str, name: str) -> None:
    """Refuses a parameter that a MOD file does not leave to the user.

    Args:
        mods: The study's.
        where: Place of the entry under `vary`.
        mechanism: That the entry names.
        name: The parameter that it names.

    Raises:
        ConfigError: If the file has no such RANGE parameter, or sets it itself.
    """
    mod = next((m for m in mods if m.name == mechanism), None)
    if mod is None:
        return
    can = [p for p in mod.parameters if p in mod.ranges]
    if mod.kind != "SUFFIX":
        raise ConfigError(
            f"{where}.mechanism: {mechanism} is a {mod.kind} ({mod.path}); what is varied is a density mechanism's, an "
            "ion's or the membrane's"
        )
    if name not in can:
        shared = name in mod.parameters
        why = f": line {mod.parameters[name]} makes one for all; write RANGE {name} in NEURON" if shared else ""
        raise ConfigError(
            f"{where}.name: {mechanism} has no parameter {name!r} that may differ from section to section{why}; it has "
            f"{', '.join(can) or 'none'} (RANGE variables in PARAMETER of its MOD file, {mod.path})"
        )
    if name in mod.assigned:
        raise ConfigError(
            f"{where}.name: {mod.path} sets {name} itself in line {mod.assigned[name]}, so that a value from outside "
            "is lost; vary what it is computed from, or take the assignment out"
        )


# --- text ------------------------------------------------------------------------------------------------------------


def _lines(text: str | None) -> str:
    """As many line ends as a text has: what follows keeps its line."""
    return "\n" * (text or "").count("\n")


def _with_includes(path: Path, depth: int = 0) -> str:
    """The text without comments; what it includes stands at its end, so that lines count."""
    text = path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(r"(?s)\bCOMMENT\b.*?(\bENDCOMMENT\b|$)", lambda m: _lines(m[0]), text)
    parts = re.split(r"(?s)(\bVERBATIM\b.*?\bENDVERBATIM\b)", text)
    parts[::2] = [re.sub(r"(?m)^[ \t]*TITLE\b.*$|[:?].*$", "", part) for part in parts[::2]]
    text = "".join(parts)
    if depth < 5:
        for name in re.findall(r'(?m)^\s*INCLUDE\s+"([^"\n]+)"', text):
            beside = path.parent / name
            if beside.is_file():
                text += "\n" + _with_includes(beside, depth + 1)
    return text


def _without_c_comments(text: str) -> str:
    return re.sub(r"(?s)/\*.*?\*/|//[^\n]*", lambda m: _lines(m[0]), text)


def _blocks(code: str) -> list[tuple[str, str, int, str]]:
    """Keyword, what stands behind it, line and content of every block at the top of a file."""
    blocks, start, depth, head = [], 0, 0, ""
    for match in re.finditer(r"[{}]", code):
        if match[0] == "{":
            if depth == 0:
                head, start = code[start : match.start()], match.end()
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                words = re.findall(r"[A-Z_]{4,}\b[^\n]*", head)
                keyword, _, rest = words[-1].strip().partition(" ") if words else ("", "", "")
                line = code.count("\n", 0, start) + 1
                blocks.append((re.sub(r"\W.*", "", keyword), rest, line, code[start : match.start()]))
                start = match.end()
    return blocks


def _top(body: str) -> str:
    """A block without the blocks in it, its lines kept."""
    text, depth = [], 0
    for char in body:
        depth += char == "{"
        text.append(char if depth == 0 or char == "\n" else " ")
        depth -= char == "}"
    # a condition of one line has no block
    return re.sub(r"\b(if|while)\b[^\n]*", "", "".join(text))


def _read_neuron(mod: Mod, line: int, body: str) -> None:
    word, ion, action = "", "", ""
    for match in re.finditer(r"[A-Za-z_]\w*", body):
        token = match[0]
        if token in _DECLARED:
            word, action = token, ""
        elif word in _KINDS:
            mod.kind, mod.name, mod.line, word = word, token, line + body.count("\n", 0, match.start()), ""
        elif word == "RANGE":
            mod.ranges.add(token)
        elif word == "RANDOM":
            mod.randoms.append(token)
        elif word == "USEION":
            if token in ("READ", "WRITE", "VALENCE"):
                action = token
            elif not action:
                ion = token
            elif action == "WRITE":
                mod.ions.setdefault(ion, set()).add(token)


def _names(line: int, body: str) -> dict[str, int]:
    """Names that a block declares, without units, limits and numbers."""
    body = re.sub(r"\([^()]*\)|<[^<>]*>", lambda m: " " + _lines(m[0]), body)
    found = ((m[0], line + body.count("\n", 0, m.start())) for m in re.finditer(r"(?<![\w.])[A-Za-z_]\w*", body))
    return {name: at for name, at in found if name not in ("FROM", "TO", "START", "WITH")}


def _called(text: str, functions: Sequence[str]) -> dict[str, int]:
    found = re.finditer(rf"(?<![\w.>])({'|'.join(functions)})\s*\(", text)
    return {m[1]: text.count("\n", 0, m.start()) + 1 for m in found}


def _assigned(line: int, body: str) -> dict[str, int]:
    found = re.finditer(r"\b([A-Za-z_]\w*)\s*=(?!=)", body)
    return {m[1]: line + body.count("\n", 0, m.start()) for m in found}


def _kept(blocks: list[tuple[str, str, int, str]]) -> list[str]:
    """Variables that outlive INITIAL: assigned and used elsewhere, and neither assigned there nor by what it calls."""
    procedures = {re.match(r"\w*", rest.strip())[0]: body for key, rest, _, body in blocks if key == "PROCEDURE"}
    states = {n for key, _, line, body in blocks if key == "STATE" for n in _names(line, body)}
    declared = {n for key, _, line, body in blocks if key in ("ASSIGNED", "PARAMETER") for n in _names(line, body)}
    initial = " ".join(body for key, _, _, body in blocks if key == "INITIAL")
    for _ in range(5):
        initial += " ".join(
            b for name, b in procedures.items() if re.search(rf"\b{name}\s*\(", initial) and b not in initial
        )
    code = "\n".join(body for key, _, _, body in blocks if key not in (*_NO_CODE, "INITIAL"))
    changed = (set(_assigned(0, code)) & declared) - set(_assigned(0, initial)) - states
    # its own value on the right, or in a condition
    return sorted(
        n for n in changed if re.search(rf"\b{n}\s*=(?!=)[^\n=]*\b{n}\b|\bif\s*\([^{{\n]*\b{n}\b", code)
    )  # fmt: skip
