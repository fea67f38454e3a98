"""Saved estimators, studies, pages, pictures, logs and other files of text."""

import json
import re
import struct
import zipfile
from pathlib import Path

import yaml

from neuroinverse.errors import NeuroinverseError
from neuroinverse.inspection.json_files import origin
from neuroinverse.inspection.ranges import short

CURE = "Remove it and run its target again"
MEMBER = "neuroinverse.json"


def describe_keras(path: Path) -> tuple[str, list[str]]:
    """What a saved network does, takes and gives.

    Raises:
        NeuroinverseError: If it is no archive, or a member of it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
            if broken:
                raise NeuroinverseError(f"{path}: is damaged: its member {broken} does not match its sum. {CURE}")
            content = json.loads(archive.read(MEMBER)) if MEMBER in archive.namelist() else None
            config = json.loads(archive.read("config.json")) if "config.json" in archive.namelist() else None
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise NeuroinverseError(f"{path}: is no .keras file, or was cut off: {error}. {CURE}") from error
    if content is None:
        layers = len((config or {}).get("config", {}).get("layers", ()))
        what = f"a Keras model with {layers} layers" if config else "an archive without a Keras model"
        return f"{what}, which neuroinverse did not train: it has no member {MEMBER}", []
    kind = content.get("kind") or (content.get("spec") or {}).get("kind", "regressor")
    words = {
        "surrogate": "a surrogate, which does what a simulator does (it infers nothing)",
        "posterior": "one fold of a posterior (for neuroinverse posterior, with its folder)",
    }.get(kind, "one fold of an estimator (for neuroinverse predict, best with its folder)")
    signal = content["signal"]
    time, *channels = signal["shape"]
    lines = [
        f"  takes {signal['name']} in {signal['unit']}: {time} samples, every {signal['dt_ms']:g} ms from "
        f"{signal.get('t0_ms', 0):g} ms" + (f", {channels[0]} channels" if channels else "")
    ]
    if kind == "surrogate":
        lines.append(f"  gives {short(content['outputs'])}")
    else:
        lines.append("  infers")
        for p in content["parameters"]:
            lines.append(
                f"    {p['name']}: trained from {p['low']:g} to {p['high']:g} {p['unit']}, {p.get('scale', 'linear')}"
            )
    if content.get("features"):
        lines.append(f"  features {', '.join(name for feature in content['features'] for name in feature)}")
    shown = ("n_train", "n_validation", "n_weights", "epochs", "best_epoch", "train_seconds", "validation_loss", "loss")
    lines.append("  " + ", ".join(f"{key}: {short(content[key])}" for key in shown if content.get(key) is not None))
    if content.get("validation_rmse_unit"):
        lines.append(f"  validation_rmse_unit: {short(content['validation_rmse_unit'])} (1 is half of a range)")
    simulation = (content.get("spec") or {}).get("simulation")
    if simulation:
        lines.append(f"  of study {simulation['study']}, dataset {simulation['dataset']}")
    return words, lines + origin(content.get("provenance"))


def describe_yaml(path: Path) -> tuple[str, list[str]]:
    """What a YAML file is for.

    Raises:
        NeuroinverseError: If it is no YAML.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise NeuroinverseError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        return f"a YAML file with {short(content)}", []
    if {"simulator", "scales"} <= set(content):
        return "a study", _study(path, content)
    kinds = (
        ("master_seed", "the configuration: which studies run at which scale"),
        ("default-resources", "a profile of Snakemake"),
        ("rerun-triggers", "a profile of Snakemake"),
        ("conv_filter", "a published network, which a study's hyperparameters may name"),
        ("dependencies", "an environment of conda"),
    )
    kind = next((words for key, words in kinds if key in content), "a YAML file")
    if path.parent.name == "search":
        kind = "a space of networks, which a study's search may name"
    return kind, [f"  {key}: {short(value)}" for key, value in list(content.items())[:20]]


def _study(path: Path, content: dict) -> list[str]:
    simulator = content["simulator"] if isinstance(content["simulator"], dict) else {"name": content["simulator"]}
    lines = [f"  {short(content[key], 200)}" for key in ("title", "question") if key in content]
    lines.append(f"  simulator {simulator.get('name') or simulator.get('path')}")
    for p in content.get("parameters") or ():
        if isinstance(p, dict):
            lines.append("    " + " ".join(str(p.get(k, "")) for k in ("name", "low", "high", "unit", "scale")).strip())
    for key in ("datasets", "estimators", "surrogates", "scales"):
        if isinstance(content.get(key), dict):
            lines.append(f"  {key}: {', '.join(map(str, content[key]))}")
    return [*lines, f"  whether it is right, and its sizes: neuroinverse check {path}"]


def describe_html(path: Path) -> tuple[str, list[str]]:
    """The title of a page."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(65536).decode(errors="replace")
        file.seek(max(0, size - 4096))
        end = file.read().decode(errors="replace")
    title = re.search(r"<title>(.*?)</title>", start, re.DOTALL)
    if "</html>" not in end.lower() and "<html" in start.lower():
        raise NeuroinverseError(f"{path}: is a page that ends before its end: it was cut off. {CURE}")
    import html

    name = f": {html.unescape(' '.join(title[1].split()))}" if title else ""
    return f"a page for a browser{name}", []


def describe_png(path: Path) -> tuple[str, list[str]]:
    """The size of a picture.

    Raises:
        NeuroinverseError: If it is none, or cut off.
    """
    with path.open("rb") as file:
        start = file.read(24)
        file.seek(max(0, path.stat().st_size - 12))
        end = file.read()
    if start[:8] != b"\x89PNG\r\n\x1a\n":
        raise NeuroinverseError(f"{path}: is no PNG: its first bytes are not those of one. {CURE}")
    if len(start) < 24 or end[4:8] != b"IEND":
        raise NeuroinverseError(f"{path}: is a picture that was cut off. {CURE}")
    width, height = struct.unpack(">II", start[16:24])
    return f"a picture of {width} × {height} pixels", []


def describe_text(path: Path) -> tuple[str, list[str]]:
    """Lines of a log or of another text; a file of other bytes is called that."""
    count, last, errors = 0, "", []
    with path.open("rb") as file:
        if b"\0" in file.read(4096):
            return "a file of a kind that neuroinverse does not know", []
        file.seek(0)
        for line in file:
            count += 1
            # a progress line ends without a line break
            text = line[-2000:].decode(errors="replace").replace("\r", "\n").strip().rpartition("\n")[2]
            last = text or last
            if re.match(r"(error|warning)\b", text, re.IGNORECASE):
                errors = [*errors[-4:], text]
    kinds = {
        ".log": "what a job printed", ".swc": "a morphology", ".mod": "a mechanism for NEURON", ".hoc": "a HOC file",
        ".asc": "a morphology", ".py": "a Python module", ".md": "a text", ".smk": "rules of Snakemake",
    }  # fmt: skip
    kind = f"{kinds.get(path.suffix, 'a text')}, {count} lines"
    if path.suffix != ".log":
        return kind, []
    return kind, [
        *(f"  {short(e, 300)}" for e in errors),
        *([f"  last: {short(last, 300)}"] if last not in errors else []),
    ]
