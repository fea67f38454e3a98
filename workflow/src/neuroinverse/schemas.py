"""The schemas of study files and their like: what is wrong in words, with the key and the cure."""

import difflib
import functools
import json
from collections.abc import Mapping
from pathlib import Path

from neuroinverse.errors import ConfigError
from neuroinverse.yaml_files import EXPONENT, with_exponent

SCHEMAS = Path(__file__).parents[2] / "schemas"
# mistakes that are said at once
SAID = 5


def read(name: str) -> dict:
    """A schema of workflow/schemas."""
    return json.loads((SCHEMAS / name).read_text(encoding="utf-8"))


def validate(content, name: str, source: Path | str) -> None:
    """Checks content against a schema of workflow/schemas.

    Raises:
        ConfigError: With the first few mistakes.
    """
    check(content, read(name), source)


def check(content, schema: Mapping, source: Path | str) -> None:
    """Checks content against a schema.

    Raises:
        ConfigError: With the first few mistakes.
    """
    errors = sorted(_validator()(schema).iter_errors(content), key=lambda e: list(map(str, e.absolute_path)))
    if errors:
        said = dict.fromkeys(" ".join(_explain(e).split()) for e in errors)
        raise ConfigError(f"{source}: " + "; ".join(list(said)[:SAID]))


@functools.cache
def _validator():
    """The validator's class. Of whole numbers it takes those that are written so: 60.0 is no number of simulations."""
    from jsonschema import Draft202012Validator as Draft
    from jsonschema.validators import extend

    whole = Draft.TYPE_CHECKER.redefine("integer", lambda _, x: isinstance(x, int) and not isinstance(x, bool))
    return extend(Draft, type_checker=whole)


def _explain(error) -> str:
    where, found = ".".join(str(p) for p in error.absolute_path) or "top level", error.instance
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = [k for k in found if k not in known]
        return f"{where}: " + ", ".join(f"unknown key {key!r} ({_hint(key, known)})" for key in unknown)
    if error.validator == "required":
        missing = [k for k in error.validator_value if k not in found]
        name = f" of {found['name']!r}" if isinstance(found, dict) and "name" in found else ""
        return f"{where}{name}: missing {', '.join(repr(m) for m in missing)}; add it"
    if error.validator == "pattern":
        return f"{where}: the name {found!r} is not allowed; {_letters(error.validator_value)}"
    if error.validator in ("maxLength", "not") and isinstance(found, str):
        return f"{where}: the name {_short(found)} is {_unusable(error)}; rename it"
    if error.validator == "type" and list(error.absolute_path)[:-1] == ["datasets"]:
        (key,) = list(error.absolute_path)[1:]
        known = ["shard_size", "train", "calibration", "test"]
        if key not in known:
            return f"datasets: unknown key {key!r} ({_hint(key, known)}); a further dataset has a section with n"
    if error.validator == "type":
        return f"{where}: {_of_type(found, error.validator_value)}"
    if error.validator == "oneOf" and where == "simulator":
        return f"{where}: give name, of a simulator of the package, or path and class of your own, and not both"
    # a section of pages would hide what is said of it
    return f"{where}: {error.message.replace(repr(found), _short(found), 1)}"


def _hint(key, known: list) -> str:
    close = difflib.get_close_matches(str(key), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"


def _letters(pattern: str) -> str:
    case = "letters" if "A-Z" in pattern else "lower-case letters"
    return f"{case}, digits and underscores make a name, a letter first; rename it"


def _unusable(error) -> str:
    if error.validator == "maxLength":
        return f"longer than {error.validator_value} letters"
    return "that of a folder or a file which the workflow makes itself"


def _short(found) -> str:
    text = repr(found)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _of_type(found, wanted) -> str:
    """What a value of another type is taken for, and how to write it."""
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    words = " or ".join(_TYPES.get(name, name) for name in wanted)
    if found is None:
        return f"nothing is given; expected {words}, or remove the line"
    numeric = {"number", "integer"} & set(wanted)
    if isinstance(found, str) and numeric:
        if EXPONENT.fullmatch(found):
            return f"YAML reads {found} as text; write {with_exponent(found)}"
        try:
            float(found)
        except ValueError:
            return f"{_short(found)} is text; expected {words}"
        return f"{_short(found)} is text; write it without quotes"
    if isinstance(found, float) and wanted == ["integer"] and found.is_integer():
        return f"{found} is no whole number; write {found:.0f}"
    if wanted == ["string"] and isinstance(found, bool | int | float):
        return f'{found} is no text; write "{found}", in quotes'
    return f"{_short(found)} is {_TYPES.get(type(found).__name__, type(found).__name__)}; expected {words}"


# in the words of a schema and of Python
_TYPES = {
    "number": "a number", "integer": "a whole number", "string": "text", "object": "a section of keys and values",
    "array": "a list", "boolean": "true or false", "null": "null", "dict": "a section", "list": "a list",
    "str": "text", "int": "a whole number", "float": "a number", "bool": "true or false",
}  # fmt: skip
