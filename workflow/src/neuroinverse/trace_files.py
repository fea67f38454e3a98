"""Tables and arrays of a user's: every number accounted for, columns understood by their names and units.

A name or unit that can be read in two ways is refused with the name to give.
"""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroinverse import units
from neuroinverse.errors import ConfigError

# of columns that are time, in several languages; with a unit beside it any of them says it all
_TIME = {"time", "times", "t", "tijd", "zeit", "temps", "tiempo", "tempo", "timestamp", "timestamps"}
_INDEX = {"", "index", "idx", "sample", "samples", "#", "n", "i", "row", "point", "points", "x"}
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
# how files of other kinds begin
_MAGIC = {
    b"PK\x03\x04": "an Excel or ZIP file; save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel file; save the sheet as CSV",
    b"\x89HDF": "an HDF5 file; name it .h5",
    b"\x93NUMPY": "a numpy file; name it .npy",
    b"\x1f\x8b": "compressed (gzip); unpack it",
    b"ABF": "an Axon file; export the sweeps as CSV",
}


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        name: As the file has it, without its unit; "" where it has none.
        unit: As the file has it; None where it says none.
        values: Its numbers, float64.
        title: All that the file calls it.
    """

    name: str
    unit: str | None
    values: np.ndarray
    title: str

    @property
    def time_unit(self) -> str | None:
        """Unit of a column that is time and says in what; None of any other."""
        says = self.unit is not None and (units.known(self.unit) or ("",))[0] == "s"
        return self.unit if says and _plain(self.name) in _TIME | {""} else None

    @property
    def like_time(self) -> bool:
        """Whether it is named as time, or as nothing, and increases, as time or an index does."""
        increases = len(self.values) > 1 and bool((np.diff(self.values) > 0).all())
        return _plain(self.name) in _TIME | _INDEX and increases

    @property
    def named_time(self) -> bool:
        """Whether it is called time."""
        return _plain(self.name) in _TIME


def _plain(name: str) -> str:
    name = name.strip().lower()
    return "" if re.fullmatch(r"unnamed(: ?\d+)?|none|nan", name) else name


def is_even(values: np.ndarray) -> bool:
    """Whether numbers increase by steps that differ by less than a twentieth."""
    steps = np.diff(values)
    return len(steps) > 0 and bool((steps > 0).all() and np.ptp(steps) <= 0.05 * steps.mean())


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
    if head >= len(rows) or head > 2:
        line = numbers[-1]
        raise ConfigError(
            f"{path}: cannot be read as traces (no numbers in the first lines, to line {line}); expected at most two "
            "lines of names and units, then numbers alone"
        )
    titles = [" ".join(t.strip() for t in column) for column in zip(*rows[:head], strict=True)] if head else None
    if head == 2:
        # names and, below, units
        titles = [f"{name.strip()} ({unit.strip()})" for name, unit in zip(*rows[:2], strict=True)]
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
    return [Column(*_parse(title), values, title.strip()) for title, values in zip(titles, table.T, strict=True)]


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
    remarks = [line for line in lines if line[1].lstrip().startswith("#")]
    lines = [line for line in lines if not line[1].lstrip().startswith("#")]
    if remarks and lines and _NUMBER.match(lines[0][1]):
        # as numpy.savetxt writes headings: the last remark, if it has as many fields
        number, heading = remarks[-1]
        heading = heading.lstrip().lstrip("#")
        if len(_split(heading, _separator([lines[0][1]]))) == len(_split(lines[0][1], _separator([lines[0][1]]))):
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
    return next(csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True), [])


def _rows(path: Path, lines: list[tuple[int, str]]) -> tuple[list[int], list[list[str]]]:
    """Line numbers and fields of every line."""
    numbers, texts = zip(*lines, strict=True)
    separator = _separator(list(texts))
    if separator in (";", "\t") and any(re.search(r"\d,\d", text) for text in texts):
        raise ConfigError(
            f"{path}: has decimal commas (line {next(n for n, t in lines if re.search(r'[0-9],[0-9]', t))}); write "
            "decimal points, and commas between columns"
        )
    if (
        separator is None
        and any(re.fullmatch(r"\s*\S+(\s\S+)*\s*", t) for t in texts[:1])
        and not _NUMBER.match(texts[0])
    ):
        # a heading of one column may have spaces
        width = len(texts[1].split()) if len(texts) > 1 else 1
        rows = [[texts[0].strip()] if width == 1 else texts[0].split(), *(t.split() for t in texts[1:])]
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
                raise ConfigError(
                    f"{path}: cannot be read as traces: line {number}, {column}: {field.strip()!r} is not finite, or "
                    "no number; clean the traces first, for example cut out what is missing"
                )
    raise AssertionError("no field is wrong")


def _parse(title: str) -> tuple[str, str | None]:
    """Name and unit of "V (mV)", "V [mV]", "V / mV", "time_ms", "ms"."""
    title = title.strip().strip("\"'").strip()
    bracketed = re.fullmatch(r"(.*?)\s*(?:\(([^()]*)\)|\[([^\[\]]*)\]|/\s*([^/()\[\]]+))", title)
    if bracketed:
        unit = next(g for g in bracketed.groups()[1:] if g is not None).strip()
        return bracketed[1].strip(), unit.removeprefix("in ").strip() or None
    if units.known(title) and title not in ("V", "A", "v", "a", "s"):
        return "", title
    suffixed = re.fullmatch(r"(.*?)[\s_.,-]+(?:in[\s_])?([^\s_.,-]+)", title)
    if suffixed and units.known(suffixed[2]):
        name, unit = suffixed[1].strip(), suffixed[2]
        # "cell_A" and "trial_s" are names
        if len(unit) > 1 or _plain(name) in _TIME:
            return name, unit
    return title, None


# --- time -------------------------------------------------------------------------------------------------------------


def take_time(path: Path, columns: list[Column], told: bool) -> tuple[np.ndarray | None, list[Column], str]:
    """Takes the time out of a table.

    Args:
        path: The file, for messages.
        columns: Its columns.
        told: Whether the sampling is told otherwise, so that an index may be left out.

    Returns:
        Time (ms) or None, the other columns, and what was understood.

    Raises:
        ConfigError: If a column may be time and does not say so, or time does not increase.
    """
    times = [c for c in columns if c.time_unit]
    if len(times) > 1 and any(not np.array_equal(milliseconds(c), milliseconds(times[0])) for c in times[1:]):
        names = ", ".join(repr(c.title) for c in times)
        raise ConfigError(
            f"{path}: has several time columns ({names}) that differ; write traces of other times to other files"
        )
    rest = [c for c in columns if not c.time_unit]
    dropped = ""
    for i, column in enumerate(list(rest)):
        first = i == 0 and not times and len(columns) > 1 and _plain(column.name) not in _TIME | _INDEX
        if len(columns) == 1 or not (column.like_time or column.named_time or (first and is_even(column.values))):
            continue
        steps = set(np.diff(column.values))
        index = _plain(column.name) in _INDEX and steps == {1.0} and column.values[0] in (0, 1)
        if index and (times or told) and len(rest) > 1:
            rest.remove(column)
            dropped = f"; index column {column.title!r} left out"
        elif column.named_time or column.like_time or first:
            called = f"column {column.title!r}" if column.name else "a column without a name"
            raise ConfigError(
                f"{path}: {called} looks like time and says no unit of time; name it time_ms, time_s or time_us"
                + (
                    ", or give --dt-ms if it is the number of the sample"
                    if index
                    else ", or another name if it is a trace"
                )
            )
    if not times:
        return None, rest, dropped
    time_ms = milliseconds(times[0])
    check_time(path, time_ms, times[0].title)
    return time_ms, rest, f"time from column {times[0].title!r}{dropped}"


def milliseconds(column: Column) -> np.ndarray:
    """The times of a column of time (ms)."""
    return column.values * units.factor(column.time_unit, "ms", column.title)


def check_time(path: Path, time_ms: np.ndarray, title: str) -> None:
    """Refuses times that do not increase, or have a gap.

    Raises:
        ConfigError: It names the row, counted from 1 below the heading.
    """
    if len(time_ms) < 2:
        raise ConfigError(f"{path}: has {len(time_ms)} sample; expected a trace")
    steps = np.diff(time_ms)
    if (steps <= 0).any():
        row = int(np.argmax(steps <= 0)) + 2
        raise ConfigError(
            f"{path}: {title!r} does not increase at row {row} ({time_ms[row - 2]:.10g} → {time_ms[row - 1]:.10g} ms); "
            "write sweeps side by side as columns, and every time once"
        )
    middle = np.median(steps)
    even = np.abs(steps - middle) <= 0.05 * middle
    gaps = steps > 1.9 * middle
    if even.mean() < 0.75:
        # a variable step grows tenfold at most from one to the next (CVODE); what stands alone is a gap
        before, after = np.r_[np.inf, steps[:-1]], np.r_[steps[1:], np.inf]
        gaps = steps > 12 * np.maximum(np.maximum(before, after), middle)
    if gaps.any():
        row = int(np.argmax(gaps)) + 2
        raise ConfigError(
            f"{path}: {title!r} has a gap at row {row}: {steps[row - 2]:.6g} ms where samples are {middle:.6g} ms "
            "apart; cut the recording there, or fill the gap"
        )
