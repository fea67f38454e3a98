"""YAML files as they are meant: what YAML reads otherwise than it is written is refused, with its line and the cure.

YAML 1.1 takes the last of two equal keys, reads 1e-4 as text, 010 as eight, 1:30 as ninety and `no` as false, and says
nothing of it.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from neuroinverse.errors import ConfigError

# keys of text, which may look like numbers
TEXTS = ("title", "question", "references", "unit", "description", "published_source")
# keys whose own keys are numbers
BY_NUMBER = ("published_scaling",)
# YAML 1.1 wants a point and a signed exponent
EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
COMMA = re.compile(r"[-+]?\d+,\d+")
OCTAL = re.compile(r"[-+]?0[0-9_]*[0-9]|0o[0-7]+")
# digits of a whole number, all of which a floating-point number takes
LONGEST = 300
TAG = "tag:yaml.org,2002:"
PLAIN = {TAG + name for name in ("str", "int", "float", "bool", "null", "seq", "map", "merge", "timestamp")}


def read(path: Path) -> dict:
    """Reads a file of keys and values.

    Raises:
        ConfigError: If it is not one, or something in it would be read otherwise than it is written.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read as YAML: it is not UTF-8 ({error}); save it as UTF-8") from error
    try:
        documents = list(yaml.compose_all(text, yaml.SafeLoader))
        if len(documents) > 1:
            line = documents[1].start_mark.line + 1
            raise ConfigError(f"{path}, line {line}: a second document begins (---); a file holds one, split it")
        root = documents[0] if documents else None
        if not isinstance(root, yaml.MappingNode):
            found = "nothing" if root is None else _KINDS.get(type(root), "text")
            raise ConfigError(f"{path}: expected keys and values, found {found}")
        for mark, problem in _problems(root, (), set(), set()):
            raise ConfigError(f"{path}, line {mark.line + 1}: {problem}")
        return yaml.SafeLoader.construct_document(_Constructor(), root)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{path}{_line(error)}: cannot be read as YAML: {_problem(error)}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: cannot be read as YAML: it is nested too deeply; is a bracket missing?") from error


_KINDS = {yaml.SequenceNode: "list", yaml.ScalarNode: "str"}


class _Constructor(yaml.SafeLoader):
    """Makes values of nodes that are there already."""

    def __init__(self):
        super().__init__("")


def _line(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f", line {mark.line + 1}" if mark else ""


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = " ".join(filter(None, (error.context, error.problem)))
    return f"{problem}; indent with spaces" if "'\\t'" in problem else problem


def _problems(node, place: tuple, above: set, seen: set) -> Iterator[tuple]:
    """Mark and text of all that would be read otherwise than it is written, or not at all.

    Args:
        node: Of YAML's tree.
        place: Keys on the way to it.
        above: Nodes that hold it, by id.
        seen: Nodes that were looked at, by id: an anchor counts once.
    """
    if id(node) in above:
        yield node.start_mark, f"{_dotted(place)}: an anchor that holds itself; write out what it stands for"
        return
    if id(node) in seen:
        return
    seen.add(id(node))
    if node.tag not in PLAIN:
        yield node.start_mark, f"{_dotted(place)}: the tag {_tag(node)} has no meaning here; write the value alone"
    elif isinstance(node, yaml.ScalarNode):
        problem = _scalar(node, place)
        if problem:
            yield node.start_mark, f"{_dotted(place)}: {problem}"
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            yield from _problems(item, (*place, i), {*above, id(node)}, seen)
    else:
        yield from _keys(node, place)
        for key, value in node.value:
            yield from _problems(value, (*place, str(key.value)), {*above, id(node)}, seen)


def _keys(node: yaml.MappingNode, place: tuple) -> Iterator[tuple]:
    lines: dict[tuple, int] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            yield key.start_mark, f"{_dotted(place)}: a list or a section as a key; keys are words"
            continue
        mark, name = key.start_mark, (key.tag, key.value)
        if name in lines:
            problem = f"the key {key.value!r} is given twice, {_lines(lines[name], mark.line + 1)}"
            cure = "and YAML would take one of them; remove or rename the other"
            yield mark, f"{_dotted((*place, key.value))}: {problem}, {cure}"
        lines[name] = mark.line + 1
        if key.tag == TAG + "merge":
            yield from _merged(value, place)
        elif key.tag != TAG + "str" and not (key.tag == TAG + "int" and place and place[-1] in BY_NUMBER):
            yield mark, f"{_dotted(place)}: the key {key.value} is read as no text; put it in quotes, or use a word"


def _lines(first: int, second: int) -> str:
    return f"in line {first}" if first == second else f"in lines {first} and {second}"


def _merged(value, place: tuple) -> Iterator[tuple]:
    """Sections that are merged (<<) in one place and each say something of one key."""
    sources = value.value if isinstance(value, yaml.SequenceNode) else []
    lines: dict[str, int] = {}
    for source in (s for s in sources if isinstance(s, yaml.MappingNode)):
        for key, _ in source.value:
            line = key.start_mark.line + 1
            if key.value in lines and lines[key.value] != line:
                problem = f"<< merges the key {key.value!r} twice, {_lines(lines[key.value], line)}"
                cure = "and YAML would take the first; merge one, or write the key out"
                yield value.start_mark, f"{_dotted(place)}: {problem}, {cure}"
            lines[key.value] = line


def _scalar(node: yaml.ScalarNode, place: tuple) -> str | None:
    """What is wrong with a value, and the cure; None where it is read as it is written."""
    text, kind = node.value, node.tag.removeprefix(TAG)
    # in quotes, or a text
    if node.style is not None or (any(key in TEXTS for key in place) and kind == "str"):
        return None
    if kind == "timestamp":
        return f'YAML reads {text} as a date; for the text write "{text}", in quotes'
    if kind == "bool" and text.lower() not in ("true", "false"):
        meant = str(yaml.SafeLoader.bool_values[text.lower()]).lower()
        return f'YAML reads {text} as {meant}; write {meant}, or for the text "{text}", in quotes'
    if kind in ("int", "float") and ":" in text:
        return f'YAML reads {text} as a number to the base of 60; write the number, or for the text "{text}", in quotes'
    if kind in ("int", "str") and OCTAL.fullmatch(text):
        short = text.lstrip("+-0o_") or "0"
        return f'{text} begins with 0, and YAML takes it for octal; write {short}, or for the text "{text}", in quotes'
    if (kind == "int" and len(text) > LONGEST) or (kind == "float" and not math.isfinite(_float(text))):
        return f"{text[:LONGEST]} is not a finite number; write one"
    if kind == "str" and EXPONENT.fullmatch(text):
        return f"YAML reads {text} as text; write {with_exponent(text)}"
    if kind == "str" and COMMA.fullmatch(text):
        return f"YAML reads {text} as text; write {text.replace(',', '.')}, with a point"
    return None


def _float(text: str) -> float:
    text = text.replace("_", "").lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


def with_exponent(text: str) -> str:
    """A number with an exponent as YAML reads it: 1e5 as 1.0e+5."""
    mantissa, exponent = text.lower().split("e")
    dot = "" if "." in mantissa else ".0"
    return f"{mantissa}{dot}e{'' if exponent[0] in '+-' else '+'}{exponent}"


def _tag(node) -> str:
    return node.tag.replace(TAG, "!!")


def _dotted(place: tuple) -> str:
    return ".".join(map(str, place)) or "top level"


def require_readable(*paths: Path | str) -> None:
    """Refuses files that YAML would read otherwise than they are written; those that are not there are no concern.

    Raises:
        ConfigError: At the first.
    """
    for path in map(Path, paths):
        if path.is_file():
            read(path)
