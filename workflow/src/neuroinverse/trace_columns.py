"""Columns of a table of a user's: names and units as people write them, and which column is time.

A name or unit that can be read in two ways is refused with the name to give.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroinverse import units
from neuroinverse.errors import ConfigError

# of columns that are time, in several languages; with a unit beside it any of them says it all
_TIME = {"time", "times", "t", "tijd", "zeit", "temps", "tiempo", "tempo", "timestamp", "timestamps"}
_INDEX = {
    "", "index", "idx", "sample", "samples", "#", "n", "i", "row", "point", "points", "x", "no", "nr", "number",
    "frame", "step", "tick", "count", "id", "sample number", "sample no", "sample nr", "sample index", "row number",
}  # fmt: skip
# of columns that say which trace a line is of
_LABELS = {"sweep", "trial", "episode", "segment", "series", "run", "repeat", "cell", "cell id", "channel", "protocol"}
# of columns that are another quantity, where they say no unit, by what the signal is measured in
_OTHERS = {
    "V": {
        "i", "im", "iinj", "i inj", "current", "stim", "stimulus", "command", "cmd", "injected current", "trigger",
        "trig", "ttl", "marker", "sem", "sd", "std", "stdev", "standard deviation",
    },
    "A": {"v", "vm", "voltage", "membrane potential", "membrane voltage"},
}  # fmt: skip
# with which a single letter behind is a unit: "cell_A" is a name
_QUANTITIES = {
    "V": {"v", "vm", "u", "um", "voltage", "potential", "membrane potential", "membrane voltage", "lfp", "signal"},
    "A": {"i", "im", "iinj", "i inj", "current", "signal"},
    "s": _TIME,
}
# units that stand anywhere in a name; others at its end alone
_SYMBOLS = {"kV", "mV", "uV", "µV", "μV", "nV", "mA", "uA", "µA", "μA", "nA", "pA", "fA", "ms", "us", "µs", "μs"}
_OF_TIME_ALONE = {"min", "minutes", "sec", "secs", "second", "seconds"}
_BETWEEN = r"[\s_.,-]+"


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
        return self.unit if says and (plain(self.name) in _TIME | {""} or self.rises) else None

    @property
    def rises(self) -> bool:
        """Whether each number is larger than the one before, as times are and no recording is."""
        return len(self.values) > 1 and bool((np.diff(self.values) > 0).all())

    @property
    def named_time(self) -> bool:
        """Whether it is called time."""
        return plain(self.name) in _TIME

    @property
    def counts(self) -> bool:
        """Whether it is a number of the line."""
        return plain(self.name) in _INDEX and self.rises and bool((np.diff(self.values) == 1).all())


def plain(name: str) -> str:
    """A name in lower case and with single spaces; "" for what pandas writes where there is none."""
    name = " ".join(re.split(r"[\s_.-]+", name.strip().lower())).strip()
    return "" if re.fullmatch(r"unnamed(: ?\d+)?|none|nan", name) else name


def is_even(values: np.ndarray) -> bool:
    """Whether numbers increase by steps that differ by less than a twentieth."""
    steps = np.diff(values)
    return len(steps) > 0 and bool((steps > 0).all() and np.ptp(steps) <= 0.05 * steps.mean())


def parse(title: str) -> tuple[str, str | None]:
    """Name and unit of a heading such as "V (mV)", "V [mV] soma", "V / mV", "time_ms", "ms".

    Raises:
        ConfigError: If it says two units.
    """
    title = title.strip().strip("\"'").strip()
    found = re.findall(r"[(\[]([^()\[\]]*)[)\]]", title)
    said = [text for text in found if units.known(_unit(text))]
    if not said and found and title[-1] in ")]" and not re.fullmatch(r"\s*[\d.+-]*\s*", found[-1]):
        said = found[-1:]
    if said:
        name = re.sub(r"\s*[(\[]" + re.escape(said[0]) + r"[)\]]", "", title).strip()
        rest, other = parse(name)
        if other is not None and units.known(other) != units.known(_unit(said[0])):
            raise ConfigError(f"column {title!r} says two units, {other} and {_unit(said[0])}; name one")
        return (rest if other is not None else name), _unit(said[0])
    slashed = re.fullmatch(r"(.*?)\s*/\s*([^/]+)", title)
    if slashed:
        name, unit = slashed[1].strip(), _unit(slashed[2])
        # "soma/V" may be a name
        return (name, unit) if len(unit) > 1 or plain(name) in _QUANTITIES.get(unit, ()) else (title, None)
    if units.known(title) and title not in ("V", "A", "v", "a", "s"):
        return "", title
    tokens = re.split(f"({_BETWEEN})", title)
    symbols = [i for i, token in enumerate(tokens) if token in _SYMBOLS]
    if len({tokens[i] for i in symbols}) > 1:
        raise ConfigError(f"column {title!r} says two units, {' and '.join(tokens[i] for i in symbols[:2])}; name one")
    if symbols:
        i = symbols[0]
        before, after = "".join(tokens[: max(i - 1, 0)]), "".join(tokens[i + 1 :])
        before = re.sub(r"[\s_]in$", "", before)
        return (before + after if before else "".join(tokens[i + 2 :])).strip(), tokens[i]
    suffixed = re.fullmatch(rf"(.*?){_BETWEEN}(?:in[\s_])?([^\s_.,-]+)", title)
    if suffixed and units.known(suffixed[2]):
        name, unit = suffixed[1].strip(), suffixed[2]
        alone = len(unit) == 1 and plain(name) in _QUANTITIES.get(unit, ())
        if alone or (len(unit) > 1 and (unit.lower() not in _OF_TIME_ALONE or plain(name) in _TIME)):
            return name, unit
    return title, None


def _unit(text: str) -> str:
    return text.strip().removeprefix("in ").strip()


def require_of(path: Path, column: Column, signal_unit: str) -> None:
    """Refuses a column whose name says that it is no trace of a signal.

    Raises:
        ConfigError: If it is a label, another quantity, or ends in a letter that may be a unit.
    """
    if column.unit is not None:
        return
    name, measures = plain(column.name), (units.known(signal_unit) or ("",))[0]
    if name in _LABELS and np.ptp(column.values) == 0 and column.values[0] % 1 == 0:
        raise ConfigError(f"{path}: column {column.title!r} says which {name} the lines are of; delete the column")
    if name in _OTHERS.get(measures, ()):
        raise ConfigError(
            f"{path}: column {column.title!r} is named as another quantity than one in {signal_unit}; delete the "
            f"column, or name it otherwise if it is a trace, such as '{column.title} ({signal_unit})'"
        )
    if measures and re.fullmatch(rf".+[\s_.,/-]+{measures}", column.title.strip()):
        raise ConfigError(
            f"{path}: column {column.title!r} may end in its unit or be called so; name it "
            f"'{column.title.strip()[:-2]} ({measures})' or '{column.title.strip()} ({signal_unit})'"
        )


def require_no_time(path: Path, column: Column, columns: int) -> None:
    """Refuses a column that was chosen by name or number, and is time.

    Raises:
        ConfigError: If it is.
    """
    nameless = columns > 1 and plain(column.name) in _INDEX and is_even(column.values)
    if column.time_unit or column.named_time or nameless:
        raise ConfigError(
            f"{path}: column {column.title!r} is time, or increases evenly as time does and has no name; choose "
            "another, or name it in the first line"
        )


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
    first = milliseconds(times[0]) if times else None
    if any(not np.allclose(milliseconds(c), first, rtol=1e-9, atol=0) for c in times[1:]):
        names = ", ".join(repr(c.title) for c in times)
        raise ConfigError(
            f"{path}: has several time columns ({names}) that differ; write traces of other times to other files"
        )
    rest = [c for c in columns if not c.time_unit]
    dropped = ""
    for i, column in enumerate(list(rest)):
        untold = not times and column.unit is None and len(columns) > 1
        unsaid = untold and column.rises and (i == 0 or is_even(column.values))
        like_index = plain(column.name) in _INDEX and column.rises and len(columns) > 1
        if not (unsaid or like_index or column.named_time):
            continue
        from_start = column.values[0] in (0, 1)
        if column.counts and (times or (told and from_start)) and len(rest) > 1:
            rest.remove(column)
            dropped = f"; index column {column.title!r} left out"
            continue
        called = f"column {column.title!r}" if column.name else "a column without a name"
        raise ConfigError(
            f"{path}: {called} looks like time and says no unit of time; name it time_ms, time_s or time_us"
            + (
                ", or give --dt-ms if it is the number of the sample"
                if column.counts and from_start and not told
                else ", or another name if it is a trace"
            )
        )
    if not times:
        return None, rest, dropped
    check_time(path, first, times[0].title)
    rounded = "" if unrounded(times[0].values) is times[0].values else ", rounded ones of an even sampling"
    return first, rest, f"time from column {times[0].title!r}{rounded}{dropped}"


def milliseconds(column: Column) -> np.ndarray:
    """The times of a column of time (ms)."""
    return unrounded(column.values) * units.factor(column.time_unit, "ms", column.title)


def unrounded(times: np.ndarray) -> np.ndarray:
    """The even times that rounded ones are of, such as 0, 0.03, 0.05, 0.08 of 0.025; others as they are."""
    steps = np.diff(times)
    if len(times) < 10 or (steps <= 0).any() or np.ptp(steps) < 0.01 * steps.mean():
        return times
    for decimals in range(7):
        scaled = times * 10.0**decimals
        if np.abs(scaled - np.round(scaled)).max() < 1e-5:
            counts = np.arange(len(times))
            even = np.polyval(np.polyfit(counts, times, 1), counts)
            return even if np.abs(even - times).max() < 0.75 * 10.0**-decimals else times
    return times


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
    # with jitter, too
    middle = np.median(steps)
    gaps = steps > 1.7 * middle
    if (np.abs(steps - middle) <= 0.3 * middle).mean() < 0.75:
        # a variable step grows tenfold at most from one to the next (CVODE); what stands alone is a gap
        before, after = np.r_[np.inf, steps[:-1]], np.r_[steps[1:], np.inf]
        gaps = steps > 12 * np.maximum(np.maximum(before, after), middle)
    if gaps.any():
        row = int(np.argmax(gaps)) + 2
        raise ConfigError(
            f"{path}: {title!r} has a gap at row {row}: {steps[row - 2]:.6g} ms where samples are {middle:.6g} ms "
            "apart; cut the recording there, or fill the gap"
        )
