"""Recordings drawn at random, written as people write them, sound and damaged; what they are is known by a formula.

`outcome` compares what the product reads with the formula at the times that an estimator takes.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from hypothesis import strategies as st

from neuroinverse.errors import ConfigError
from neuroinverse.traces import read_recording

DAMAGES = (
    "decimal_comma", "field_less", "field_more", "nan", "word", "underscore", "backwards", "gap", "repeated_time",
    "bare_time", "no_name", "index_only", "other_unit", "volts_unsaid", "short", "elsewhere", "utf16", "empty",
    "counts",
    "complex", "pickle", "transposed", "two_times", "rate_attribute", "ending", "sweeps_below", "twice_named",
)  # fmt: skip
TIMES = {
    "ms": (
        "time_ms",
        "Time_ms",
        " time_ms",
        "time (ms)",
        "t [ms]",
        "ms",
        "Time in ms",
        "time/ms",
        "time (milliseconds)",
    ),
    "s": ("time_s", "t (s)", "seconds", "Time [sec]"),
    "us": ("time_us", "t (µs)", "time (usec)"),
}
PER_MS = {"ms": 1.0, "s": 1e-3, "us": 1e3}
UNITS = {
    "mV": (1.0, ("mV", "mv", "millivolt", "millivolts")),
    "V": (1e-3, ("V", "volts", "Volt")),
    "uV": (1e3, ("uV", "µV")),
}
# difference (mV) that counts as wrong, and at the ends, where a filter sees no more
TOLERANCE, AT_ENDS = 0.2, 1.5


@dataclass(frozen=True)
class Example:
    """A recording. `sound`: it was drawn to be read, and not damaged."""

    seed: int
    damage: str | None

    @property
    def sound(self) -> bool:
        return self.damage is None


def inputs() -> st.SearchStrategy[Example]:
    """Sound recordings and damaged ones, one to one."""
    return st.builds(Example, st.integers(0, 2**32), st.sampled_from([None, *DAMAGES]) | st.none())


def voltage(seed: int, trace: int, t: np.ndarray) -> np.ndarray:
    """The formula: a slow wave (mV) that no sampling here misses, and that is another half a millisecond later."""
    draw = random.Random(f"{seed}/{trace}")
    rest, frequency, phase = draw.uniform(-75, -55), draw.uniform(0.02, 0.04), draw.uniform(0, 6.28)
    return rest + 15 * np.sin(2 * np.pi * frequency * t + phase) + 0.2 * t


def outcome(example: Example, folder: Path) -> str:
    """Writes an example below a folder, reads it, and compares.

    Returns:
        "accepted", "refused", "traceback" or "wrong_acceptance".
    """
    draw = random.Random(example.seed)
    signal = {
        "name": "voltage",
        "unit": "mV",
        "dt_ms": draw.choice((0.02, 0.05, 0.1)),
        "shape": [draw.randrange(200, 600)],
        "t0_ms": draw.choice((0.0, 0.0, 12.5)),
    }
    path, options = _write(draw, example, signal, folder)
    wanted = signal["t0_ms"] + np.arange(signal["shape"][0]) * signal["dt_ms"]
    try:
        found = read_recording(path, signal, **options).values
    except ConfigError as error:
        told = ("\n" not in str(error) and path.name in str(error)) or "--" in str(error)
        return "refused" if told and not example.sound else "traceback" if not told else "wrong_refusal"
    except Exception:
        return "traceback"
    expected = np.array([voltage(example.seed, i, wanted) for i in range(len(found))])
    off = np.abs(found - expected)
    wrong = off[:, 5:-5].max() > TOLERANCE or off.max() > AT_ENDS or found.shape[1] != len(wanted)
    return "wrong_acceptance" if wrong else "accepted"


def _write(draw, example: Example, signal: dict, folder: Path) -> tuple[Path, dict]:
    damage = example.damage
    own = signal["dt_ms"] * draw.choice((1.0, 1.0, 0.5, 0.4, 2.0, 1 / 3))
    begin = signal["t0_ms"] - own * draw.randrange(0, 30) if signal["t0_ms"] else 0.0
    end = signal["t0_ms"] + signal["shape"][0] * signal["dt_ms"] + own * draw.randrange(0, 40)
    if damage == "short":
        end = signal["t0_ms"] + signal["shape"][0] * signal["dt_ms"] * 0.8
    time = begin + np.arange(int(np.ceil((end - begin) / own - 1e-9))) * own
    even = draw.random() < 0.8
    if not even:
        # as of a variable step
        time = np.sort(begin + (time - begin) + np.array([0, *(draw.uniform(-0.45, 0.45) * own for _ in time[2:]), 0]))
    if damage == "elsewhere":
        time = time + 500
    traces = np.array([voltage(example.seed, i, time) for i in range(draw.randrange(1, 4))])
    arrays = ("counts", "complex", "pickle", "transposed", "rate_attribute")
    array = damage in arrays or (damage is None and even and draw.random() < 0.3)
    if array:
        return _array(draw, damage, traces, time, own, signal, folder)
    return _table(draw, damage, traces, time, folder)


def _array(draw, damage, traces, time, own, signal, folder) -> tuple[Path, dict]:
    factor, spellings = UNITS[draw.choice(list(UNITS))]
    if damage == "rate_attribute" or (damage is None and draw.random() < 0.5):
        path = folder / "x.h5"
        with h5py.File(path, "w") as file:
            data = file.create_dataset("v", data=traces * factor)
            data.attrs["unit"] = draw.choice(spellings)
            if damage is None:
                data.attrs.update(dt_ms=own, t0_ms=time[0])
            else:
                data.attrs["sampling_rate"] = 1e3 / own
        return path, {"dataset": "v"}
    path, options = folder / "x.npy", {"dt_ms": own, "start_ms": float(time[0])}
    values = traces * factor
    if damage == "counts":
        values = np.round(traces * 100).astype(np.int16)
    elif damage == "complex":
        values = values.astype(complex)
    elif damage == "pickle":
        values = np.array([list(map(float, values[0])), None], dtype=object)
    elif damage == "transposed":
        values = traces.T
    else:
        options["unit"] = draw.choice(spellings)
        values = np.asfortranarray(values.astype(draw.choice(("<f8", ">f8", "<f4"))))
    np.save(path, values)
    return path, options


def _table(draw, damage, traces, time, folder) -> tuple[Path, dict]:
    factor, spellings = UNITS[draw.choice(list(UNITS))]
    unit_of_time = draw.choice(list(TIMES))
    heading = draw.choice(TIMES[unit_of_time])
    style = draw.choice(("v{i} ({u})", "v{i} [{u}]", "Vm{i} / {u}"))
    stated = draw.choice(spellings)
    if damage == "other_unit":
        stated = draw.choice(("nA", "pA", "s", "Ohm", "furlong"))
    names = [style.format(i=i, u=stated) for i in range(len(traces))]
    if damage == "volts_unsaid":
        factor, names = 1e-3, [f"v{i}" for i in range(len(traces))]
    if damage == "twice_named":
        names, traces = ["v", "v"], np.array([traces[0], traces[0]])
    columns = [time * PER_MS[unit_of_time], *(traces * factor)]
    if damage == "bare_time":
        heading = draw.choice(("t", "Time", "time", "zeit"))
    elif damage == "no_name":
        heading = draw.choice(("", "Unnamed: 0"))
    elif damage == "index_only":
        heading, columns[0] = draw.choice(("", "index", "sample")), np.arange(len(time), dtype=float)
    elif damage == "backwards":
        columns = [c[::-1] for c in columns]
    elif damage == "two_times":
        names, columns = [*names, "time_s"], [*columns, time * 1e-3 + 0.5]
    rows = [[f"{v:.12g}" for v in row] for row in zip(*columns, strict=True)]
    if damage == "index_only":
        rows = [[str(int(float(row[0]))), *row[1:]] for row in rows]
    at = draw.randrange(2, len(rows) - 60)
    field = draw.randrange(len(rows[0]))
    if damage == "field_less":
        del rows[at][field]
    elif damage == "field_more":
        rows[at].insert(field, "1.5")
    elif damage in ("nan", "word", "underscore"):
        rows[at][field] = {"nan": draw.choice(("nan", "NaN", "", "inf")), "word": "n/a", "underscore": "1_0"}[damage]
    elif damage == "gap":
        del rows[at : at + 50]
    elif damage == "repeated_time":
        rows[at][0] = rows[at - 1][0]
    elif damage == "sweeps_below":
        rows = rows + rows
    separator = draw.choice((",", ";", "\t", ", "))
    lines = [separator.join(row) for row in rows]
    if damage == "decimal_comma":
        lines = [line.replace(".", ",") for line in lines]
    head = separator.join([heading, *names])
    if damage is None and separator != "\t" and draw.random() < 0.2:
        head = f"# {head}"
    lines = [*(["# recorded by nobody"] if draw.random() < 0.2 else []), head, *lines]
    text = draw.choice(("\n", "\r\n")).join(lines) + draw.choice(("", "\n", "\n\n"))
    path = folder / f"x{draw.choice(('.csv', '.txt', '.tsv'))}"
    data = text.encode("utf-16" if damage == "utf16" else "utf-8-sig" if draw.random() < 0.2 else "utf-8")
    if damage == "empty":
        data = draw.choice((b"", b"\n\n", head.encode()))
    if damage == "ending":
        path = folder / draw.choice(("x.abf", "x.dat", "x.xlsx"))
    path.write_bytes(data)
    return path, {}
