"""Writes the tables of README.md and docs/*.md from docs/records, so that no figure is typed by hand.

A table stands between two markers; the first names the record and, after a colon, the figures (all when it names none):

    <!-- record hh_point_2: mse_unit_folds_mean train_seconds_per_fold -->
    <!-- end -->

    python docs/tables.py           writes them
    python docs/tables.py --check   fails where a table is not what its record says
"""

import re
import sys
from pathlib import Path

from neuroinverse.records import read_records

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- record (\w+)(?:: ([^>]*?))? -->\n).*?(<!-- end -->)", re.DOTALL)


def table(record: dict, keys: list[str]) -> str:
    """A Markdown table of figures beside the published ones."""
    chosen = keys or list(record["figures"])
    published = {k: number(v) for k, v in record["published"].items() if k in chosen}
    columns = ["figure", "measured", "published"] if published else ["figure", "measured"]
    rows = [[key, number(record["figures"][key]), published.get(key, "")][: len(columns)] for key in chosen]
    lines = [f"| {' | '.join(row)} |" for row in (columns, ["---", "---:", "---:"][: len(columns)], *rows)]
    made = f"`{record['command']}`, {record['date']}, revision {record['revision']}"
    return "\n".join([*lines, "", f"{made}; {record['cores']} cores, {record['machine']}.", ""])


def number(value: float) -> str:
    """A number as a reader wants it: integers whole, others with four significant digits."""
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def filled(text: str) -> str:
    """The text with every table written anew."""
    records = read_records()

    def write(match: re.Match) -> str:
        head, name, keys, end = match.groups()
        return f"{head}{table(records[name], (keys or '').split())}{end}"

    return BLOCK.sub(write, text)


def main() -> None:
    """Writes or checks all pages."""
    stale = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text()
        new = filled(text)
        if new != text:
            stale.append(page.name)
            if "--check" not in sys.argv:
                page.write_text(new)
    if "--check" in sys.argv and stale:
        sys.exit(f"tables that are not what docs/records says: {', '.join(stale)}; run python docs/tables.py")


if __name__ == "__main__":
    main()
