"""rank_trials: the table of a tier of a search, by loss."""

import csv
import json
from collections import Counter
from pathlib import Path

from neuroinverse.errors import NeuroinverseError
from neuroinverse.estimators.space import draw_design
from neuroinverse.evaluation import ranking as order
from neuroinverse.evaluation import style
from neuroinverse.evaluation.captions import SEARCH
from neuroinverse.evaluation.pages import embedded_figures, render
from neuroinverse.files import atomic
from neuroinverse.provenance import collect


def run(
    spec: dict, folder: Path, output: Path, table: Path, page: Path, figure: Path, ranking: Path | None = None
) -> dict:
    """Ranks the trials of a tier.

    Args:
        spec: Specification of the step.
        folder: Folder of the search, with result.json in a folder for each of `spec["members"]`.
        output: JSON to write: `rows` in their order, and for the first tier `rejected`, the draws that were rejected
            before anything was trained.
        table: CSV to write.
        page: HTML page to write; it needs no other file.
        figure: PNG to write, named after the tier.
        ranking: ranking.json of the first tier, for the second.

    Raises:
        NeuroinverseError: If no training went well.
    """
    members = [folder / name / "result.json" for name in spec["members"]]
    rows = order.ranked([json.loads(path.read_text(encoding="utf-8")) for path in members])
    if rows[0]["status"] != "ok":
        raise NeuroinverseError(
            f"{folder}: none of {len(rows)} trainings went well; the first says: {rows[0]['message'] or 'nothing'}. "
            "Look at its log under logs/train_trial, and change the space or the features"
        )
    first = json.loads(ranking.read_text(encoding="utf-8")) if ranking else None
    rejected = _rejected(spec) if first is None else first["rejected"]
    result = {key: spec[key] for key in ("study", "scale", "estimator", "tier")} | {
        "trials": len(first["rows"] if first else rows),
        "status": dict(Counter(row["status"] for row in rows)),
        "rejected_draws": len(rejected),
        "rejected_by_reason": dict(Counter(row["kind"] for row in rejected).most_common()),
        "fit_minutes": round(sum(row.get("fit_minutes", 0) for row in rows), 3),
        "rows": rows,
        # once, in the table of the first tier
        "rejected": [] if first else rejected,
        "provenance": collect(spec),
    }
    by_trial = {row["trial"]: row for row in first["rows"]} if first else None
    columns = order.table(rows, by_trial)
    style.save(order.loss_plot(first["rows"], rows) if first else order.loss_plot(rows), figure)
    with atomic(table) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns[0])
        writer.writeheader()
        writer.writerows(columns)
    with atomic(page) as temporary:
        temporary.write_text(_page(result, columns, first, Path(figure)), encoding="utf-8")
    with atomic(output) as temporary:
        temporary.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return result


def _rejected(spec: dict) -> list[dict]:
    """The draws before every trial's design that were rejected, each with its reason."""
    found = []
    for trial in range(len(spec["members"])):
        design = draw_design(
            spec["space"], spec["master_seed"], spec["study"], trial, tuple(spec["input"]), spec["n_outputs"]
        )
        for draw, row in enumerate(design.rejected):
            found.append({"trial": trial, "draw": draw, **vars(row)})
    return found


def _page(result: dict, columns: list[dict], first: dict | None, figure: Path) -> str:
    import yaml

    best = result["rows"][0]
    shown = ("study", "scale", "estimator", "tier", "trials", "status")
    shown += ("rejected", "rejected_draws", "rejected_by_reason", "provenance")
    return render(
        "search.html",
        **{key: result[key] for key in shown},
        fit_minutes=result["fit_minutes"] + (first["fit_minutes"] if first else 0),
        rows=columns,
        best=best,
        design=yaml.safe_dump(best["hyperparameters"], sort_keys=False, default_flow_style=None, width=100),
        figures=embedded_figures(figure.parent, {figure.stem: SEARCH}),
        command=f"snakemake --profile profiles/local {figure.parent / result['tier']}.html",
    )
