"""The table over all studies, with a link to the report of each."""

import json
import math
import os
from pathlib import Path
from urllib.parse import quote

from neuroinverse.evaluation.learnt import nothing
from neuroinverse.evaluation.pages import published_rows, render
from neuroinverse.files import atomic


def run(metrics: list[Path], reports: list[Path], output: Path) -> None:
    """Writes the index.

    Args:
        metrics: metrics.json of every estimator, surrogate and objective of every study.
        reports: Reports of the studies. A report belongs to the metrics in folders below its own.
        output: The page; its links are relative to it.
    """
    rows = []
    for path in map(Path, metrics):
        content = json.loads(path.read_text(encoding="utf-8"))
        report = find_report(path, [Path(r) for r in reports])
        verdicts = [row["met"] for row in published_rows(content) if row["met"] is not None]
        rows.append(
            {
                **{key: content[key] for key in ("study", "scale", "title")},
                "of": described(content),
                "nothing": nothing(content),
                **{key: content.get(key) for key in ("n_train", "n_test", "mse_unit")},
                "percent_of_range": 50 * math.sqrt(content["mse_unit"]) if "mse_unit" in content else None,
                "met": sum(verdicts),
                "compared": len(verdicts),
                "date": content.get("provenance", {}).get("date", "–")[:10],
                "link": link(report, Path(output)) if report else None,
            }
        )
    order = {"smoke": 0, "demo": 1, "paper": 2}
    rows.sort(key=lambda row: (row["study"], order.get(row["scale"], 3), row["scale"]))
    previous = None
    for row in rows:
        # title and scale stand once for all estimators of a study
        row["first"] = (row["study"], row["scale"]) != previous
        previous = (row["study"], row["scale"])
    with atomic(output) as temporary:
        temporary.write_text(render("index.html", rows=rows), encoding="utf-8")


def described(metrics: dict) -> str:
    """What metrics are of: an estimator by its name, a surrogate or an objective."""
    kind = metrics.get("kind")
    return f"{kind} {metrics[kind]}" if kind in ("surrogate", "objective") else metrics["estimator"]


def find_report(metrics: Path, reports: list[Path]) -> Path | None:
    """The report in the nearest folder above a metrics.json, or None."""
    folders = {report.resolve().parent: report for report in reports}
    return next((folders[parent] for parent in metrics.resolve().parents if parent in folders), None)


def link(target: Path, page: Path) -> str:
    """Address of a file relative to the page that names it."""
    return quote(Path(os.path.relpath(target.resolve(), page.resolve().parent)).as_posix())
