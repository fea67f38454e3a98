"""Where a result comes from: versions, revision, machine, specification."""

import functools
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

PACKAGES = ("neuroinverse", "neuron", "tensorflow", "keras", "numpy", "h5py", "snakemake")


def canonical(spec) -> str:
    """The one way to write a specification as text: sorted keys, no spaces.

    Two equal specifications give the same text, so Snakemake sees a change only where there is one.
    """
    return json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(spec) -> str:
    """SHA-256 of the canonical text, hexadecimal."""
    return hashlib.sha256(canonical(spec).encode()).hexdigest()


@functools.cache
def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal; read once per process."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def leaves(settings: Mapping, where: str) -> list[str]:
    """Every value of nested settings behind its dotted key."""
    lines = []
    for key, value in settings.items():
        place = f"{where}.{key}"
        lines += leaves(value, place) if isinstance(value, Mapping) else [f"{place} {value}"]
    return lines


# what a specification lacks
NOTHING = "nothing"


def differences(a, b, where: str = "") -> Iterator[tuple[str, object, object]]:
    """Where two specifications differ.

    Args:
        a: JSON values.
        b: JSON values.
        where: The dotted place that they stand at.

    Yields:
        The dotted place and the value in each, NOTHING where it has none. Items of a list go by their name, where each
        has one, else by their number.
    """
    if isinstance(a, list) and isinstance(b, list):
        named = [isinstance(x, Mapping) and "name" in x for x in a + b]
        a, b = ({x["name"] if all(named) else str(i): x for i, x in enumerate(items)} for items in (a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted({*a, *b}):
            yield from differences(a.get(key, NOTHING), b.get(key, NOTHING), f"{where}.{key}" if where else key)
    elif a != b:
        yield where, a, b


@functools.cache
def revision() -> str:
    """Revision of the checkout that the package is installed from, marked when files differ from it."""
    command = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--dirty",
        "--exclude=*",
        "--abbrev=12",
    ]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown (not a git checkout)"


def version(package: str) -> str:
    """Version of an installed package, without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def machine() -> str:
    """Processor in words: its name where Linux tells it, and the architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        if cpuinfo.exists()
        else []
    )
    return f"{names[0] if names else platform.processor() or 'unknown processor'} ({platform.machine()})"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def collect(spec) -> dict[str, str]:
    """Provenance of what is made from `spec` now, as text by name."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision(),
        "host": platform.node(),
        "machine": machine(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "spec_sha256": digest(spec),
    }
