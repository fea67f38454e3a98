"""Tables of a user's: every line and every number accounted for, or refused by its line."""

import csv
import io
import itertools
import re
from pathlib import Path

import numpy as np

from neuroinverse import units
from neuroinverse.errors import ConfigError
from neuroinverse.trace_columns import Column, parse

_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)
# what people write where a number is missing
_MISSING = re.compile(r"\s*([-+]?(nan|inf|infinity)|#?n/?a|null|none|#\S*|\?|-+)?\s*", re.IGNORECASE)
_SHEET_ERROR = re.compile(r"\s*#(n/?a|num!|div/0!|value!|ref!|null!|name\?)", re.IGNORECASE)
# how files of other kinds begin
_MAGIC = {
    b"PK\x03\x04": "an Excel or ZIP file; save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel file; save the sheet as CSV",
    b"\x89HDF": "an HDF5 file; name it .h5",
    b"\x93NUMPY": "a numpy file; name it .npy",
    b"\x1f\x8b": "compressed (gzip); unpack it",
    b"ABF": "an Axon file; export the sweeps as CSV",
    b"ATF\t": "an Axon text file; delete what stands above the line of the columns' names",
    b"IGOR": "an Igor text file; export the waves as delimited text, with their time",
    b"Interval=": "a LabChart file; delete what stands above the numbers, and name the columns: time_s, V (mV)",
    b"sep=": "written for Excel; delete the first line",
}


def read_table(path: Path) -> list[Column]:
    """Reads a table of numbers: .csv, .tsv, .txt.

    Columns are separated by commas, semicolons, tabs or spaces, the same in every line; decimals have points. The first
    line may name them, with units as in "V (mV)", "time_ms" or "t [s]"; or the first two.

    Raises:
        ConfigError: If a line has another number of fields or one that is no finite number; it names the line.
    """
    lines = _lines(path)
    numbers, rows = _rows(path, lines)
    numeric = [all(_NUMBER.fullmatch(f) for f in row) for row in rows[:3]]
    head = numeric.index(True) if True in numeric else len(numeric)
    broken = next((i for i in range(min(head, len(rows))) if _spoilt(rows[i], i)), None)
    if broken is not None:
        _refuse_fields(path, numbers[broken:], rows[broken:], rows[0] if broken else None)
    if head >= len(rows) or head > 2:
        line = numbers[-1]
        raise ConfigError(
            f"{path}: cannot be read as traces (no numbers in the first lines, to line {line}); expected at most two "
            "lines of names and units, then numbers alone"
        )
    if not head:
        _require_numbers_first(path, numbers[0], rows)
    # a table of one column may miss its first number
    _require_no_blanks(path, numbers[head - (len(rows[0]) == 1 and head > 0) :])
    titles = [" ".join(t.strip() for t in column) for column in zip(*rows[:head], strict=True)] if head else None
    if head == 2:
        # names and, below, units
        said = [unit.strip().strip("()[]") for unit in rows[1]]
        titles = [
            f"{name.strip()} ({unit})" if unit not in ("", "-") else name
            for name, unit in zip(rows[0], said, strict=True)
        ]
    try:
        table = np.array(rows[head:], float)
        # Python takes 1_0 for a number
        broken = not np.isfinite(table).all() or any("_" in field for row in rows[head:] for field in row)
    except ValueError:
        broken = True
    if broken:
        _refuse_fields(path, numbers[head:], rows[head:], titles)
    if titles is None:
        if _like_commas(rows):
            raise ConfigError(
                f"{path}: has no line of names, and its numbers are {', '.join(rows[0])!r}: are these decimal commas? "
                "Write decimal points, or name the columns in the first line"
            )
        return [Column("", None, values, str(i)) for i, values in enumerate(table.T)]
    try:
        said = [parse(title) for title in titles]
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return [Column(*said[i], table[:, i], title.strip()) for i, title in enumerate(titles)]


def _spoilt(row: list[str], place: int) -> bool:
    """Whether a line above the first one of numbers is one of numbers too, with some that are missing."""
    if place == 1:
        return any(_NUMBER.fullmatch(f) for f in row) or not any(units.known(f.strip(" ()[]")) for f in row)
    # pandas writes 0, 1, 2 above columns that have no names, and nothing above its index
    if not row[0].strip() and [f.strip() for f in row[1:]] == [str(i) for i in range(len(row) - 1)]:
        return False
    return all(_NUMBER.fullmatch(f) or _MISSING.fullmatch(f) for f in row)


def _require_numbers_first(path: Path, number: int, rows: list[list[str]]) -> None:
    """Refuses a first line that may be the numbers of the columns."""
    first = [f.strip() for f in rows[0]]
    counted = any(first == [str(i + start) for i in range(len(first))] for start in (0, 1))
    whole = len(first) == 1 and any(row[0].strip().lstrip("+-").isdigit() for row in rows[1:])
    if counted and len(rows) > 1 and not whole:
        raise ConfigError(
            f"{path}: line {number} ({', '.join(first[:3])}) may be the columns' numbers or the first samples; name "
            "the columns in the first line"
        )


def _require_no_blanks(path: Path, numbers: list[int]) -> None:
    """Refuses an empty line among the numbers: there may be one between all of them, from line ends written twice."""
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    if len(steps) > 1:
        line = next(a for a, b in itertools.pairwise(numbers) if b - a == max(steps)) + 1
        raise ConfigError(
            f"{path}: line {line} is empty or a remark among the numbers; fill what is missing, or take the line out"
        )


def _lines(path: Path) -> list[tuple[int, str]]:
    """Numbers and texts of the lines that hold something; a remark only where it is the heading."""
    content = path.read_bytes()
    for begin, words in _MAGIC.items():
        if content.startswith(begin):
            raise ConfigError(f"{path}: is {words}")
    content = content.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in content or content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ConfigError(f"{path}: is UTF-16 or binary, and cannot be read as traces; save it as plain text (UTF-8)")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = [(i, line) for i, line in enumerate(re.split(r"\r\n|\r|\n", text), 1) if line.strip()]
    remarks = [line for line in lines if line[1].lstrip().startswith("#") and not _SHEET_ERROR.match(line[1])]
    lines = [line for line in lines if line not in remarks] if remarks else lines
    before = [line for line in remarks if lines and line[0] < lines[0][0]]
    if before and _NUMBER.match(lines[0][1]):
        # as numpy.savetxt writes headings: the last remark, if it has as many fields
        number, heading = before[-1]
        heading = heading.lstrip().lstrip("#")
        fields = _split(heading, _separator([lines[0][1]]))
        names = not all(_NUMBER.fullmatch(f) or _MISSING.fullmatch(f) for f in fields)
        if names and len(fields) == len(_split(lines[0][1], _separator([lines[0][1]]))):
            lines.insert(0, (number, heading))
    if not lines:
        raise ConfigError(f"{path}: cannot be read as traces: it is empty")
    return lines


def _separator(texts: list[str]) -> str | None:
    """What stands between fields; None for spaces."""
    for separator in ("\t", ";", ","):
        if any(separator in text for text in texts):
            return separator
    return None


def _split(text: str, separator: str | None) -> list[str]:
    if separator is None:
        return text.split()
    try:
        return next(csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return [text]


def _rows(path: Path, lines: list[tuple[int, str]]) -> tuple[list[int], list[list[str]]]:
    """Line numbers and fields of every line."""
    numbers, texts = zip(*lines, strict=True)
    separator = _separator(list(texts))
    if separator in (";", "\t") and any(re.search(r"\d,\d", text) for text in texts):
        raise ConfigError(
            f"{path}: has decimal commas (line {next(n for n, t in lines if re.search(r'[0-9],[0-9]', t))}); write "
            "decimal points, and commas between columns"
        )
    if separator is None and not _NUMBER.match(texts[0]):
        # a heading of one column may have spaces
        width = len(texts[1].split()) if len(texts) > 1 else 1
        apart = re.split(r"\s{2,}", texts[0].strip())
        heads = [texts[0].strip()] if width == 1 else apart if len(apart) == width else texts[0].split()
        rows = [heads, *(t.split() for t in texts[1:])]
    elif any('"' in text for text in texts) or separator is None:
        rows = [_split(text, separator) for text in texts]
    else:
        rows = [text.split(separator) for text in texts]
    if all(len(row) > 1 and not row[-1].strip() for row in rows):
        # a separator at the end of every line
        rows = [row[:-1] for row in rows]
    for number, row in zip(numbers, rows, strict=True):
        if len(row) != len(rows[0]):
            hint = "; are these decimal commas? Write decimal points" if separator == "," else ""
            raise ConfigError(
                f"{path}: line {number} has {len(row)} fields, line {numbers[0]} has {len(rows[0])}{hint}. Every line "
                "of a table has as many"
            )
    return list(numbers), rows


def _like_commas(rows: list[list[str]]) -> bool:
    """Whether every second field may be the decimals of the one before."""
    whole = all("." not in field for row in rows for field in row)
    return whole and len(rows[0]) % 2 == 0 and all(f.strip().isdigit() for row in rows for f in row[1::2])


def _refuse_fields(path: Path, numbers: list[int], rows: list[list[str]], titles: list[str] | None) -> None:
    for number, row in zip(numbers, rows, strict=True):
        for i, field in enumerate(row):
            if not _NUMBER.fullmatch(field) or not np.isfinite(float(field)):
                column = f"column {titles[i].strip()!r}" if titles else f"column {i + 1}"
                commas = "; write decimal points" if re.fullmatch(r"\s*[-+]?\d*,\d+\s*", field) else ""
                raise ConfigError(
                    f"{path}: cannot be read as traces: line {number}, {column}: {field.strip()!r} is not finite, or "
                    f"no number{commas}; clean the traces first, for example cut out what is missing"
                )
    raise AssertionError("no field is wrong")
