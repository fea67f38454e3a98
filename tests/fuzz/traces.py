"""Recordings drawn at random, written as people write them or spoilt, and what is right of each by an own calculation.

A trace is a smooth function of time, so that its values are known at every sampling. `outcome` compares with them what
the product reads.
"""

import io
import random
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from hypothesis import strategies as st

from neuroinverse.errors import ConfigError
from neuroinverse.traces import read_recording

# spelling: how many mV
UNITS = {
    "mV": 1, "V": 1e3, "volts": 1e3, "Volt": 1e3, "uV": 1e-3, "µV": 1e-3, "millivolt": 1, "Millivolts": 1, "mv": 1,
    "microvolts": 1e-3,
}  # fmt: skip
# spelling: how many ms
TIME_UNITS = {"ms": 1, "msec": 1, "milliseconds": 1, "s": 1e3, "sec": 1e3, "seconds": 1e3, "us": 1e-3, "µs": 1e-3}
TIME_NAMES = ("time", "Time", "t", "T", " time", "TIME", "Zeit", "timestamps")
STYLES = ("{} ({})", "{} [{}]", "{}_{}", "{}/{}", "{}({})", "{} / {}", "two lines")
NAMES = ("V", "soma", "cell 1", "a-b", "sweep3", "Vm", "dend.v", "µ-cell", "v_soma", "n12")
TABLES = (".csv", ".tsv", ".txt")
OF_TIME = {
    "constant_time": lambda t, k: np.full(len(t), t[k]),
    "repeated_time": lambda t, k: np.insert(t, k, t[k])[: len(t)],
    "falling_time": lambda t, k: np.concatenate([t[:k], t[k : k + 2][::-1], t[k + 2 :]]),
    "pause": lambda t, k: np.concatenate([t[:k], t[k:] + 60 * (t[1] - t[0])]),
    "sweeps": lambda t, k: np.concatenate([t[:k], t[: len(t) - k]]),
}
# what stands in one field
OF_FIELD = {
    "not_finite": ("nan", "inf", "-inf", "NaN", "1e999"), "word": ("-", "n/a", "null", "x", "1_0", "--3", "1.2.3", "#"),
    "empty": ("", " "), "thousands": ('"1,000.5"', "1 000.5", "1'000.5"), "date": ("2026-12-01", "12:30:00", "1/2/26"),
}  # fmt: skip
TABLE_DAMAGES = (
    *OF_TIME, *OF_FIELD, "decimal_comma", "more", "less", "unit_unsaid", "other_unit", "dimension", "time_unsaid",
    "uneven_unsaid", "short", "late", "utf16", "other_file", "no_heading", "numbered", "same_names", "nan_first",
    "unit_against", "dt_against", "nothing", "heading_alone", "byte",
)  # fmt: skip
ARRAY_DAMAGES = (
    "not_finite", "unit_unsaid", "counts", "complex", "flags", "objects", "text", "none", "transposed", "time_in_it",
    "cut", "byte", "short", "ending", "archive", "dimension", "rate_unsaid", "no_such", "gain", "time_beside",
)  # fmt: skip


@dataclass(frozen=True)
class Example:
    """A file, how it is asked for, and what is right.

    Args:
        name: Of the file.
        data: Its bytes.
        signal: What the estimator takes.
        options: Of `read_recording`.
        names: Of the traces; None where they do not matter.
        values: Shape (traces, time[, channel]); None where only a refusal is right.
        atol: How far values may be off (mV), of a shape that goes with theirs.
        damage: What was spoilt, if anything.
        seed: It makes the same again.
    """

    name: str
    data: bytes
    signal: dict
    options: dict
    names: list[str] | None
    values: np.ndarray | None = field(repr=False)
    atol: np.ndarray = field(repr=False)
    damage: str | None
    seed: int


def inputs() -> st.SearchStrategy[Example]:
    """Sound files and spoilt ones, one to one."""
    return st.builds(example, st.integers(0, 2**32), st.booleans())


def outcome(example: Example, folder: Path) -> str:
    """What the product makes of a file.

    Returns:
        "accepted", "refused", "traceback" or "wrong_acceptance".
    """
    path = Path(folder) / example.name
    path.write_bytes(example.data)
    try:
        found = read_recording(path, example.signal, **example.options)
    except ConfigError as error:
        said = str(error)
        return "refused" if "\n" not in said and (example.name in said or "--" in said) else "traceback"
    except Exception:
        return "traceback"
    finally:
        path.unlink()
    if example.damage == "byte" and path.suffix not in TABLES:
        # other numbers
        return "accepted"
    right = (
        example.values is not None
        and found.values.shape == example.values.shape
        and bool((np.abs(found.values - example.values) <= example.atol).all())
        and example.names in (None, found.names)
    )
    return "accepted" if right else "wrong_acceptance"


def example(seed: int, spoilt: bool = False, damage: str | None = None, suffix: str | None = None) -> Example:
    """The file of a seed.

    Args:
        seed: Of everything in it.
        spoilt: Whether it is damaged.
        damage: How, of TABLE_DAMAGES or ARRAY_DAMAGES; drawn when None. One that a file cannot have is left out.
        suffix: Of the file; drawn when None.
    """
    draw = random.Random(seed)
    suffix = suffix or draw.choice([*TABLES, ".csv", ".csv", ".csv", ".npy", ".npy", ".h5"])
    if spoilt and damage is None:
        damage = draw.choice(TABLE_DAMAGES if suffix in TABLES else ARRAY_DAMAGES)
    recording = _Recording(draw, uneven=suffix in TABLES and draw.random() < 0.15 and damage not in OF_TIME)
    if suffix in TABLES:
        return _table(draw, recording, seed, suffix, damage)
    return _array(draw, recording, seed, suffix, damage)


class _Recording:
    """Sums of two slow sines around a resting potential, and what an estimator takes of them.

    Args:
        draw: Random numbers.
        uneven: Whether its times are as of a variable step.
    """

    def __init__(self, draw: random.Random, uneven: bool):
        dt, t0 = draw.choice([0.02, 0.025, 0.05, 0.1, 0.5]), draw.choice([0.0, 0.0, 5.0, 110.0])
        self.own = own = dt * draw.choice([1.0, 1.0, 1.0, 2.0, 5.0, 2.5, 0.5, 0.2, 0.4, 0.1, 1 / 3, 0.77])
        # in which a wave has its top and its bottom
        n = draw.randint(45, 90) * int(np.ceil(own / dt))
        self.traces, self.channels = draw.randint(1, 3), draw.choice([1, 1, 1, 3])
        self.signal = {
            "name": draw.choice(["voltage", "soma_voltage"]), "unit": "mV", "dt_ms": dt, "t0_ms": t0,
            "shape": [n] if self.channels == 1 else [n, self.channels],
        }  # fmt: skip
        begin = t0 - own * draw.choice([0, 0, 3, 20, 0.3])
        samples = int(np.ceil((t0 + n * dt - begin) / own - 1e-9)) + draw.choice([0, 0, 1, 25])
        self.uneven, self.time = uneven, begin + np.arange(samples) * own
        if uneven:
            jitter = draw.random() < 0.3
            kinds = [0.75, 0.9, 1.0, 1.0] if jitter else [0.01, 0.1, 0.3, 1.0, 1.0]
            steps = [own * draw.choice(kinds) for _ in range(200 * samples)]
            time = begin + np.concatenate([[0.0], np.cumsum(steps)])
            self.time = time[: int(np.searchsorted(time, t0 + n * dt)) + 2]
        shape, slowest = (self.traces, 1, self.channels), 20 * max(own, dt)
        number = lambda: np.reshape([draw.random() for _ in range(np.prod(shape))], shape)  # noqa: E731
        self._rest = -80 + 30 * number()
        self._waves = [(3 + 7 * number(), slowest * (1 + number()), 6 * number()) for _ in range(2)]

    def at(self, time_ms: np.ndarray) -> np.ndarray:
        """Values, shape (traces, time, channels)."""
        t = time_ms[None, :, None]
        return self._rest + sum(a * np.sin(2 * np.pi * t / p + f) for a, p, f in self._waves)

    def right(self) -> tuple[np.ndarray, np.ndarray]:
        """What the estimator takes, and how far it may be off."""
        dt, n = self.signal["dt_ms"], self.signal["shape"][0]
        wanted = self.signal["t0_ms"] + np.arange(n) * dt
        values = self.at(np.clip(wanted, self.time[0], self.time[-1]))
        slope = sum((2 * np.pi * a / p).max() for a, p, _ in self._waves)
        bend = sum((a * (2 * np.pi / p) ** 2).max() for a, p, _ in self._waves)
        if self.own < dt * (1 - 1e-6):
            # the filter reaches ten samples, and beyond an end of the recording it sees its last value
            near = np.minimum(wanted - self.time[0], self.time[-1] - wanted) < 12 * dt
            atol = 0.15 + bend * self.own**2 / 8 + near * 0.25 * slope * dt
        else:
            # chords of a curve
            atol = np.full(n, 1e-4 + bend * self.own**2 / 8)
        return self.shaped(values), atol[None, :, None] if self.channels > 1 else atol[None]

    def shaped(self, values: np.ndarray) -> np.ndarray:
        return values if self.channels > 1 else values[:, :, 0]


# --- tables -----------------------------------------------------------------------------------------------------------


def _table(draw: random.Random, recording: _Recording, seed: int, suffix: str, damage: str | None) -> Example:
    (values, atol), time, signal = recording.right(), recording.time, recording.signal
    options: dict = {}
    style, unit, stated = draw.choice(STYLES), draw.choice(list(UNITS)), draw.choice(["file", "file", "option", "none"])
    bare = draw.random() < 0.1
    time_name, time_unit = draw.choice(TIME_NAMES), draw.choice(list(TIME_UNITS))
    names = draw.sample(NAMES, recording.traces * recording.channels)
    of_time = damage in OF_TIME or damage in ("time_unsaid", "uneven_unsaid", "dt_against", "numbered", "no_heading")
    timed = recording.uneven or of_time or draw.random() < 0.7
    if unit == "V" and style in ("{}_{}", "{}/{}", "{} / {}"):
        style = "{} ({})"
    if stated == "none" and damage != "unit_against":
        unit = "mV"
    if damage == "unit_unsaid":
        stated, unit = "none", draw.choice(["V", "uV"])
    if stated == "option":
        options["unit"] = unit
    if damage == "unit_against":
        stated, options["unit"] = "file", "V" if UNITS[unit] != 1e3 else "mV"
    shown = time
    if not timed:
        just = len(time) == signal["shape"][0] and recording.own == signal["dt_ms"] and time[0] == signal["t0_ms"]
        if not just or draw.random() < 0.5:
            options |= {"dt_ms": recording.own, "start_ms": float(time[0])}
    elif draw.random() < 0.2:
        shown, options["start_ms"] = time + draw.choice([1000.0, -20.0, 3.0]), float(time[0])
    place = draw.randrange(1, len(time) - 2)
    if damage in OF_TIME:
        shown = OF_TIME[damage](shown, place)
    if damage == "dt_against":
        options["dt_ms"] = recording.own * draw.choice([0.5, 2.0, 1.1])
    if damage == "short":
        time = shown = time[: int(np.searchsorted(time, time[0] + 0.7 * (time[-1] - time[0])))]
        time = shown = time[time < signal["t0_ms"] + 0.8 * signal["shape"][0] * signal["dt_ms"]]
        options |= {} if timed else {"dt_ms": recording.own}
        options |= {"start_ms": float(time[0])} if "start_ms" in options or not timed else {}
    if damage == "late":
        options["start_ms"] = signal["t0_ms"] + 10 * max(recording.own, signal["dt_ms"])
    if damage == "time_unsaid":
        style, time_name, bare = "{} ({})", draw.choice(["t", "time", "", "index", "x", "Unnamed: 0", "tvec"]), False
    if damage == "dimension":
        unit_shown, stated, style = draw.choice(["nA", "pA", "ms", "furlong", "%"]), "file", "{} ({})"
        options.pop("unit", None)
    else:
        unit_shown = unit
    if damage == "other_unit" and stated == "file":
        # the numbers say that it cannot be
        unit_shown = draw.choice([u for u in UNITS if max(UNITS[u] / UNITS[unit], UNITS[unit] / UNITS[u]) > 500])
    if damage == "same_names" and len(names) > recording.channels:
        names[recording.channels] = names[0]

    traces = recording.at(time) / UNITS[unit]
    table = [traces[i, :, k] for i in range(recording.traces) for k in range(recording.channels)]
    units = [unit_shown if stated == "file" else None] * len(names)
    heads = [names, units]
    if timed:
        says = None if damage in ("time_unsaid", "uneven_unsaid") else time_unit
        heads, table = [[time_name, *names], [says, *units]], [shown / TIME_UNITS[time_unit], *table]
        if says and draw.random() < 0.15:
            counts = np.arange(len(time))
            heads, table = [[draw.choice(["", "Unnamed: 0", "index"]), *heads[0]], [None, *heads[1]]], [counts, *table]
    separator = {".tsv": "\t"}.get(suffix) or draw.choice([",", ",", ";", "\t", ", "])
    form = draw.choice(["{!r}", "{:.11g}"])
    rows = [[_number(form, v) for v in row] for row in zip(*table, strict=True)]
    lines = _heading(*heads, style, bare and timed, separator)
    numbered = separator.join(map(str, range(len(table))))
    lines = {"no_heading": [], "numbered": [numbered]}.get(damage, lines)
    k, column = draw.randrange(len(rows)), draw.randrange(len(table))
    if damage in OF_FIELD:
        rows[k][column] = draw.choice(OF_FIELD[damage])
    if damage == "nan_first":
        rows[0] = ["nan"] * len(rows[0])
        lines = lines if draw.random() < 0.5 else []
    if damage == "more":
        rows[k].insert(column, "1.5")
    if damage == "less":
        del rows[k][column]
    if damage == "decimal_comma":
        rows = [[f"{float(v):.3f}".replace(".", ",") for v in row] for row in rows]
    text_rows = [separator.join(row) for row in rows] if damage != "heading_alone" else []
    if draw.random() < 0.15 and lines:
        lines.insert(0, "# of cell three; the fifth of May, 2026")
    end = draw.choice(["\n", "\n", "\r\n"])
    begin, body = "".join(line + end for line in lines), end.join(text_rows) + draw.choice(["", end, 3 * end])
    expected = values if damage in (None, "byte") or not _applies(damage, recording, timed, stated) else None
    if damage == "byte" and (recording.own >= signal["dt_ms"] or recording.uneven):
        body = _bitten(draw, body)
        start = time[0] if "start_ms" in options else None
        expected = _independent(
            body, separator, len(table), timed, TIME_UNITS[time_unit], UNITS[unit], recording, start
        )
        atol = atol + 0.2
    data = (draw.choice(["", "", "\ufeff"]) + begin + body).encode()
    if damage == "utf16":
        data = (begin + body).encode(draw.choice(["utf-16", "utf-16-le", "utf-16-be"]))
    if damage == "other_file":
        data = draw.choice([b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"\x93NUMPY\x01"]) + b"\x05, 1\n" * 50
    if damage == "nothing":
        data = draw.choice([b"", b"\n\n", b"\xef\xbb\xbf", b"# nothing\n", b" \n"])
    named = names[:: recording.channels] if damage is None else None
    return Example(f"x{suffix}", data, signal, options, named, expected, atol, damage, seed)


def _applies(damage: str, recording: _Recording, timed: bool, stated: str) -> bool:
    """Whether a file is spoilt by a damage."""
    return {
        "other_unit": stated == "file",
        "same_names": recording.traces > 1,
        # one column has no names to number, and no field to lose
        "no_heading": timed,
        "numbered": timed,
    }.get(damage, True)


def _heading(names: list[str], units: list[str | None], style: str, bare: bool, separator: str) -> list[str]:
    """The lines that name columns."""
    if style == "two lines" and any(units):
        return [separator.join(names), separator.join(unit or "" for unit in units)]
    style = "{} ({})" if style == "two lines" else style
    titles = [style.format(n, u) if u else n for n, u in zip(names, units, strict=True)]
    if bare:
        time = 0 if names[0].strip().lower() in {n.strip().lower() for n in TIME_NAMES} else 1
        titles[time] = units[time] if units[time] and len(units[time]) > 1 else titles[time]
    return [separator.join(f'"{t}"' if separator.strip() and separator.strip() in t else t for t in titles)]


def _number(form: str, value: float) -> str:
    return str(value) if isinstance(value, np.integer) else form.format(float(value))


def _bitten(draw: random.Random, body: str) -> str:
    """One character is another."""
    k = draw.randrange(len(body.rstrip()))
    return body[:k] + draw.choice("0123456789.,;-+eE \tnxµ") + body[k + 1 :]


def _independent(
    body: str, separator: str, width: int, timed: bool, ms: float, mV: float, recording: _Recording, start: float | None
) -> np.ndarray | None:
    """What a table says at the estimator's times; None where it says nothing."""
    try:
        fields = [[float(f) for f in line.split(separator.strip(" "))] for line in body.splitlines() if line.strip()]
    except ValueError:
        return None
    if any(len(row) != width for row in fields) or not np.isfinite(fields).all():
        return None
    columns = np.array(fields).T
    count = recording.traces * recording.channels
    time = columns[width - count - 1] * ms if timed else recording.time
    time = time if start is None or not timed else time - time[0] + start
    n, signal = recording.signal["shape"][0], recording.signal
    wanted = signal["t0_ms"] + np.arange(n) * signal["dt_ms"]
    if len(time) != columns.shape[1]:
        return None
    values = np.array([np.interp(wanted, time, column * mV) for column in columns[width - count :]])
    return recording.shaped(values.reshape(recording.traces, recording.channels, n).transpose(0, 2, 1))


# --- arrays -----------------------------------------------------------------------------------------------------------


def _array(draw: random.Random, recording: _Recording, seed: int, suffix: str, damage: str | None) -> Example:
    (values, atol), time, signal = recording.right(), recording.time, recording.signal
    unit, stated, h5 = draw.choice(list(UNITS)), draw.choice(["file", "option", "none"]), suffix == ".h5"
    if damage == "unit_unsaid":
        stated, unit = "none", draw.choice(["V", "uV"])
    elif stated == "none" or not h5:
        stated, unit = ("option", unit) if stated == "option" else ("none", "mV")
    options: dict = {"unit": unit} if stated == "option" else {}
    attributes: dict = {draw.choice(["unit", "units"]): unit} if stated == "file" else {}
    if damage == "dimension" and h5:
        attributes, options = {"unit": draw.choice(["nA", "furlong"])}, {}
    if h5 and (damage == "rate_unsaid" or draw.random() < 0.5):
        attributes |= {"dt_ms": recording.own, "t0_ms": time[0]}
    else:
        options |= {"dt_ms": recording.own, "start_ms": float(time[0])}
    if damage == "short":
        time = time[: len(time) // 3]
    array = recording.shaped(recording.at(time)) / UNITS[unit]
    if draw.random() < 0.3 and len(array) == 1:
        array = array[0]
    k = draw.randrange(array.size)
    if damage == "not_finite":
        array.flat[k] = draw.choice([np.nan, np.inf])
    elif damage == "counts" or (damage is None and draw.random() < 0.2):
        factor = 1 / 32 / UNITS[unit]
        array, atol = np.round(array / factor).astype(draw.choice(["i2", "i4", ">i2", "i8"])), atol + 1 / 32
        options |= {} if damage else {"scale": factor}
        if damage:
            options.pop("unit", None)
    else:
        array = array.astype(draw.choice(["f8", ">f8", "f4", "<f4"]), order=draw.choice("CF"))
        atol = atol + 1e-4
    spoilt = {
        "complex": lambda: array.astype(complex),
        "flags": lambda: array > 0,
        "objects": lambda: np.array([array.tolist(), None], object),
        "text": lambda: array.astype(str).astype("S"),
        "none": lambda: np.float64(-65.0),
        "transposed": lambda: array.T if array.ndim > 1 and recording.channels == 1 else array[None, None, None],
        "time_in_it": lambda: np.vstack([time, np.atleast_2d(array)]) if recording.channels == 1 else array[:, None],
    }.get(damage, lambda: array)()
    if h5 and damage != "objects":
        data, options = _hdf5(draw, spoilt, signal, attributes, options, damage, recording)
    else:
        file = io.BytesIO()
        np.savez(file, spoilt) if damage == "archive" else np.save(file, spoilt)
        data = file.getvalue()
    if damage == "cut":
        data = data[: draw.randrange(len(data))]
    if damage == "byte":
        k = draw.randrange(len(data) if h5 else 128)
        data = data[:k] + bytes([draw.randrange(256)]) + data[k + 1 :]
    if damage == "ending":
        data = b"time_ms,V\n" + b"".join(b"%g,-65\n" % t for t in time)
    only_h5 = damage in ("dimension", "rate_unsaid", "no_such", "gain", "time_beside")
    expected = values if damage is None or (only_h5 and not h5) or (damage == "archive" and h5) else None
    names = [str(i) for i in range(len(values))] if damage is None else None
    return Example(f"x{suffix}", data, signal, options, names, expected, atol, damage, seed)


def _hdf5(draw, array, signal, attributes, options, damage, recording) -> tuple[bytes, dict]:
    """A file of HDF5 and the options that find its array."""
    place = draw.choice([f"signals/{signal['name']}", "a/b", "data"])
    options = dict(options) if place.startswith("signals") else options | {"dataset": place}
    if damage == "rate_unsaid":
        attributes = {k: v for k, v in attributes.items() if "ms" not in k}
        attributes[draw.choice(["dt", "rate", "sampling_rate", "fs", "sampling_rate_hz"])] = 1e3 / recording.own
    if damage == "gain":
        attributes[draw.choice(["conversion", "gain", "offset", "scale_factor"])] = 0.5
    if damage == "no_such":
        options["dataset"] = draw.choice(["nothing", "/", place + "/x"])
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        stored = h5.create_dataset(place, data=array)
        stored.attrs.update(attributes)
        if damage == "time_beside":
            h5[place.rpartition("/")[0] + "/" + draw.choice(["time", "timestamps", "t"])] = recording.time
            options = {k: v for k, v in options.items() if k not in ("dt_ms", "start_ms")}
            for name in ("dt_ms", "t0_ms"):
                stored.attrs.pop(name, None)
    return file.getvalue(), options
