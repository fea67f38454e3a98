"""Measured figures, committed: one JSON file per record in docs/records.

A record is flat: `name`, `command`, `revision`, `date`, `machine`, `cores`, `figures` (key → number, or words), and
`published` (the same keys where a published figure exists). The tables in docs/ are generated from records by
docs/tables.py.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from neuroinverse.files import atomic
from neuroinverse.provenance import cores, machine, revision

RECORDS = Path(__file__).parents[3] / "docs" / "records"


def write_record(
    name: str, command: str, figures: Mapping[str, float | str], published: Mapping[str, float] | None = None
) -> Path:
    """Writes a record.

    Args:
        name: Name of the file, without its ending.
        command: What was run to get the figures, as a reader would type it.
        figures: Numbers, or words, by name; units are part of the names.
        published: Published numbers by the same names.

    Returns:
        The file.
    """
    record = {
        "name": name,
        "command": command,
        "revision": revision(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "cores": cores(),
        "figures": {k: _rounded(v) for k, v in figures.items()},
        "published": dict(published or {}),
    }
    path = RECORDS / f"{name}.json"
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")
    print(path.read_text(), end="")
    return path


def read_records() -> dict[str, dict]:
    """All committed records by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(RECORDS.glob("*.json"))}


def _rounded(value: float | str) -> float | str:
    """Four significant digits: what a timing or an error on a few thousand traces can carry; words as they are."""
    return value if isinstance(value, int | str) else float(f"{value:.4g}")
