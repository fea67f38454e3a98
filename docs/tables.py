"""Writes the tables of README.md and docs/*.md from docs/records, so that no figure is typed by hand.

A table stands between two markers; the first names the record and, after a colon, the figures (all when it names none):

    <!-- record hh_point_2: mse_unit_folds_mean train_seconds_per_fold -->
    <!-- end -->

A matrix has a row for each first and a column for each last part of the figures' names, and a row of published figures
where there are some:

    <!-- matrix izhikevich: mse_unit train_seconds_per_fold | 2000 4000 -->
    <!-- end -->

A record that has not been made yet leaves a sentence that says so.

    python docs/tables.py           writes them
    python docs/tables.py --check   fails where a table is not what its record says
"""

import re
import sys
from pathlib import Path

from neuroinverse.records import read_records

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"(<!-- (record|matrix) (\w+)(?:: ([^>]*?))? -->\n).*?(<!-- end -->)", re.DOTALL)


def table(record: dict, keys: str) -> str:
    """Figures, one a row, beside the published ones."""
    chosen = keys.split() or list(record["figures"])
    published = {k: number(v) for k, v in record["published"].items() if k in chosen}
    columns = ["figure", "measured", "published"] if published else ["figure", "measured"]
    rows = [[key, number(record["figures"][key]), published.get(key, "")][: len(columns)] for key in chosen]
    return laid_out(columns, rows, record)


def matrix(record: dict, keys: str) -> str:
    """Figures named <row>_<column>, such as an error at several training sizes, or <column>_<row>."""
    names, columns = (part.split() for part in keys.split("|"))
    rows = []
    for name in names:
        last = f"{name}_{columns[0]}" in record["figures"]
        keys = [f"{name}_{column}" if last else f"{column}_{name}" for column in columns]
        rows.append([name, *(number(record["figures"][key]) for key in keys)])
        if any(key in record["published"] for key in keys):
            rows.append(["published", *(number(record["published"].get(key, "")) for key in keys)])
    return laid_out(["figure", *columns], rows, record)


def laid_out(columns: list[str], rows: list[list[str]], record: dict) -> str:
    """A Markdown table and, below it, what made the figures."""
    lines = [f"| {' | '.join(row)} |" for row in (columns, ["---", *["---:"] * (len(columns) - 1)], *rows)]
    made = f"`{record['command']}`, {record['date']}, revision {record['revision']}"
    return "\n".join([*lines, "", f"{made}; {record['cores']} cores, {record['machine']}.", ""])


def number(value: float) -> str:
    """A number as a reader wants it: integers whole, others with four significant digits."""
    return str(value) if isinstance(value, int | str) else f"{value:.4g}"


def filled(text: str) -> str:
    """The text with every table written anew."""
    records = read_records()

    def write(match: re.Match) -> str:
        head, kind, name, keys, end = match.groups()
        if name not in records:
            return f"{head}Not measured yet: docs/records/{name}.json does not exist.\n{end}"
        return head + {"record": table, "matrix": matrix}[kind](records[name], keys or "") + end

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
