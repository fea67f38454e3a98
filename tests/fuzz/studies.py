"""Study files, right and wrong, and whether reading one does as it promises: read as it is written, or refused.

`inputs` gives valid studies of several kinds with mistakes in their values and in their text; `outcome` reads one and
judges it by a scan of the text that shares nothing with the reader but YAML's own events.
"""

import contextlib
import copy
import functools
import math
import re
from pathlib import Path

import yaml
from hypothesis import strategies as st

from neuroinverse.config import load_study
from neuroinverse.errors import ConfigError

ROOT = Path(__file__).parents[2]
# one of each kind: point neurons, cells of compartments, posteriors with rounds, the template with its comments
BASES = ("izhikevich", "hh_point_2", "ball_and_stick_4", "hh_posterior_8", "_template")
SCALE = "smoke"
VALUES = (
    None, True, False, 0, -1, 1, 7, 60.0, 0.5, -0.5, 1e-300, 1e300, 1e308, 10**12, 10**30, math.nan, math.inf,
    -math.inf, "", "text", "5", "1e-4", "yes", [], {}, [1, 2], [2, 1], {"a": 1}, ["x"], [[]], "\n", "ü", "a" * 300,
)  # fmt: skip
# a plain scalar and what stands in its place
SCALARS = (
    "1e-4", "1,5", "010", "0o17", "1:30", "12:30:45", "yes", "off", "No", "2024-01-01", ".nan", "-.inf", "~",
    "!!float 1", "*x", "0x1f", "1_000", "+5", "5 ms",
)  # fmt: skip


@functools.cache
def base(name: str) -> dict:
    """A study of the repository."""
    return yaml.safe_load((ROOT / "config" / "studies" / f"{name}.yaml").read_text(encoding="utf-8"))


def places(content, way: tuple = ()) -> list[tuple]:
    """All places of a study, sections and values."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [found for key, value in items for found in ((*way, key), *places(value, (*way, key)))]


def _parent(content, place: tuple):
    for key in place[:-1]:
        content = content[key]
    return content


@st.composite
def _changed(draw, content: dict) -> dict:
    """The study after one mistake, which may be none."""
    content = copy.deepcopy(content)
    place = draw(st.sampled_from(places(content)))
    parent, key = _parent(content, place), place[-1]
    kind = draw(st.sampled_from(["value", "scaled", "drop", "rename", "twin", "swap", "sizes"]))
    if kind == "value":
        parent[key] = draw(st.sampled_from(VALUES))
    elif kind == "scaled" and isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
        factor = draw(st.sampled_from([-1, 0, 0.1, 1.5, 2, 10, 1000]))
        if math.isfinite(parent[key] * factor):
            parent[key] = type(parent[key])(parent[key] * factor)
    elif kind == "drop":
        del parent[key]
    elif kind == "rename" and isinstance(parent, dict):
        new = draw(st.sampled_from([f"{key}x", str(key).upper(), f"my-{key}", "logs", "dataset", "ünit", "2x", 3]))
        parent[new] = parent.pop(key)
    elif kind == "twin" and isinstance(parent, dict):
        parent[f"{key}_b"] = copy.deepcopy(parent[key])
    elif kind == "twin":
        parent.append(copy.deepcopy(parent[key]))
    elif kind == "swap" and isinstance(parent, dict) and {"low", "high"} <= set(parent):
        parent["low"], parent["high"] = parent["high"], parent["low"]
    elif kind == "sizes":
        names = st.sampled_from(["train", "test", "calibration"])
        n = draw(st.sampled_from([1, 2, 3, 8, 19, 60]))
        scales = content.get("scales")
        scale = scales.get(SCALE) if isinstance(scales, dict) else None
        datasets = scale.setdefault("datasets", {}) if isinstance(scale, dict) else None
        if isinstance(datasets, dict):
            datasets[draw(names)] = {"n": n}
    return content


@st.composite
def _rewritten(draw, text: str) -> bytes:
    """The text, or the text after one mistake of writing."""
    # most files are written as YAML wants them: a mistake of writing hides all others
    if draw(st.integers(0, 2)):
        return text.encode()
    lines = text.split("\n")
    i = draw(st.integers(0, len(lines) - 1))
    kind = draw(
        st.sampled_from(
            ["twice", "twice", "scalar", "scalar", "delete", "indent", "tab", "cut", "list", "documents",
             "bom", "latin", "utf16", "crlf", "merge", "flow", "comment"]
        )
    )  # fmt: skip
    match = re.fullmatch(r"(\s*(?:- )?[\w]+: )(\S.*)", lines[i])
    if kind == "twice":
        lines.insert(i, lines[i])
    elif kind == "scalar" and match:
        lines[i] = match[1] + draw(st.sampled_from(SCALARS))
    elif kind == "delete":
        del lines[i]
    elif kind == "indent":
        lines[i] = "  " + lines[i]
    elif kind == "tab":
        lines[i] = "\t" + lines[i]
    elif kind == "cut":
        lines = lines[: i + 1]
    elif kind == "list":
        lines = ["- " + lines[0], *("  " + line for line in lines[1:])]
    elif kind == "documents":
        lines += ["---", "title: another"]
    elif kind == "merge" and match:
        indent = re.match(r"\s*", lines[i])[0]
        lines[i] = f"{indent}<<: &x {{{lines[i].strip().removeprefix('- ')}}}"
    elif kind == "flow" and match:
        lines[i] = f"{match[1]}{{a: {match[2]}, a: 2}}"
    elif kind == "comment":
        lines[i] = lines[i][: len(lines[i]) // 2] + " # " + lines[i][len(lines[i]) // 2 :]
    text = "\n".join(lines)
    if kind == "crlf":
        return text.replace("\n", "\r\n").encode()
    if kind == "latin":
        return text.replace("a", "ä", 1).encode("latin-1", "replace")
    return (b"\xef\xbb\xbf" if kind == "bom" else b"") + text.encode("utf-16" if kind == "utf16" else "utf-8")


@st.composite
def inputs(draw) -> bytes:
    """A study file."""
    content = base(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
        content = draw(_changed(content))
    flow = draw(st.sampled_from([None, False]))
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=flow)
    return draw(_rewritten(text))


def outcome(example: bytes, folder: Path) -> str:
    """Reads a study file.

    Returns:
        "accepted", "refused", "traceback" for any other error, or one of more than a line, and "wrong_acceptance" where
        the scan of the text finds a mistake in what was accepted.
    """
    file = folder / "fuzzed.yaml"
    file.write_bytes(example)
    with contextlib.chdir(ROOT):
        try:
            study = load_study(file, SCALE, 1)
        except ConfigError as error:
            return "refused" if "\n" not in str(error) and "fuzzed.yaml" in str(error) else "traceback"
        except Exception:
            return "traceback"
    return "wrong_acceptance" if mistakes(example) or differs(example, study) else "accepted"


# --- an independent look --------------------------------------------------------------------------------------------

NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
# plain scalars that YAML 1.1 reads otherwise than a person does
MISREAD = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"[-+]?\d+(:[0-5]?\d)+(\.\d*)?", r"[-+]?0\d+", r"0o\d+", r"[-+]?\d+\.?\d*e\d+", r"[-+]?\d+e[-+]\d+", r"\d+,\d+",
        r"yes|no|on|off", r"[-+]?\.(nan|inf)", r"\d{4}-\d\d?-\d\d?",
    )
]  # fmt: skip
TEXTS = {"title", "question", "description", "unit", "published_source", "references"}
KNOWN = {
    "title", "question", "references", "simulator", "parameters", "protocol", "datasets", "estimators", "surrogates",
    "column", "objectives", "network", "scales",
}  # fmt: skip


def mistakes(example: bytes) -> list[str]:
    """Mistakes that are seen in the text alone, by YAML's events."""
    text, found, open_maps = example.decode("utf-8-sig"), [], []
    events = [e for e in yaml.parse(text) if not isinstance(e, yaml.StreamStartEvent | yaml.StreamEndEvent)]
    if sum(isinstance(e, yaml.DocumentStartEvent) for e in events) != 1:
        return ["not one document"]
    for event in events:
        top = open_maps[-1] if open_maps else None
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            open_maps.pop()
            continue
        is_key = isinstance(top, dict) and top["key"] is None
        if isinstance(event, yaml.ScalarEvent):
            if is_key:
                if event.value in top["seen"]:
                    found.append(f"{event.value} twice")
                top["seen"].add(event.value)
                top["key"] = event.value
                continue
            # the key of this value, or of the list that it is in
            holder = next((m["key"] or m["last"] for m in reversed(open_maps) if isinstance(m, dict)), None)
            if not event.style and holder not in TEXTS and any(p.fullmatch(event.value) for p in MISREAD):
                found.append(f"{holder}: {event.value}")
        # a value was given, or begins
        if isinstance(top, dict) and isinstance(event, yaml.NodeEvent):
            top["last"], top["key"] = top["key"], None
        if isinstance(event, yaml.MappingStartEvent):
            open_maps.append({"seen": set(), "key": None, "last": None})
        elif isinstance(event, yaml.SequenceStartEvent):
            open_maps.append([])
    return found


def _over(content, own):
    """A scale put over a study."""
    if not (isinstance(content, dict) and isinstance(own, dict)):
        return own
    merged = {**content, **{k: _over(content.get(k), v) for k, v in own.items()}}
    return {k: v for k, v in merged.items() if k not in own or own[k] is not None}


def differs(example: bytes, study) -> list[str]:
    """What in a study that was accepted cannot work, or is not as the text says."""
    content = yaml.safe_load(example.decode("utf-8-sig"))
    said, found = _over(content, content["scales"][SCALE]), []
    found += [f"unknown {key}" for key in set(content) - KNOWN]
    rows, protocol, fixed = said["parameters"], said["protocol"], said["simulator"].get("fixed") or {}
    for row in rows:
        if not (_number(row["low"]) and _number(row["high"]) and row["low"] < row["high"]):
            found.append(f"range of {row['name']}")
        if row.get("scale", "linear") not in ("linear", "log") or (row.get("scale") == "log" and row["low"] <= 0):
            found.append(f"scale of {row['name']}")
        if row["name"] in fixed:
            found.append(f"{row['name']} fixed and free")
    if len({row["name"] for row in rows}) < len(rows):
        found.append("a parameter twice")
    read = [(p.name, p.unit, p.low, p.high, p.scale) for p in study.parameters.parameters]
    if read != [(r["name"], r["unit"], r["low"], r["high"], r.get("scale", "linear")) for r in rows]:
        found.append("other parameters")
    steps = protocol["duration_ms"] / protocol["dt_ms"]
    if not 1 <= steps <= 2e8 or abs(steps - round(steps)) > 1e-3:
        found.append("steps")
    start, stop = protocol.get("record_ms", [0, protocol["duration_ms"]])
    if not 0 <= start < stop <= protocol["duration_ms"] * (1 + 1e-9):
        found.append("record_ms")
    for name, dataset in said["datasets"].items():
        if not NAME.match(name):
            found.append(f"the name {name}")
        if name == "shard_size":
            if type(dataset) is not int or dataset < 1:
                found.append("shard_size")
        elif "n" in dataset and (type(dataset["n"]) is not int or dataset["n"] < 1 or study.n(name) != dataset["n"]):
            found.append(f"n of {name}")
    for name, estimator in said.get("estimators", {}).items():
        if not NAME.match(name) or name in ("logs", "dataset", "shards"):
            found.append(f"the name {name}")
        folds, n = estimator["folds"], study.n(estimator.get("dataset", "train"))
        if type(folds) is not int or folds < 1 or n < 2 * folds:
            found.append(f"folds of {name}")
        for key in ("epochs", "batch_size", "learning_rate"):
            if not estimator["hyperparameters"].get(key, 1) > 0:
                found.append(f"{key} of {name}")
    return found + [f"{'.'.join(map(str, place))} is not finite" for place in places(said) if not _finite(said, place)]


def _number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _finite(content, place: tuple) -> bool:
    value = _parent(content, place)[place[-1]]
    return not isinstance(value, float) or math.isfinite(value)
