"""stability: how much the best networks of a search vary when they are trained again, and which of them to take."""

import csv
import json
from pathlib import Path

from neuroinverse.errors import NeuroinverseError
from neuroinverse.evaluation import stability as spread
from neuroinverse.evaluation import style
from neuroinverse.evaluation.captions import STABILITY
from neuroinverse.evaluation.pages import embedded_figures, render
from neuroinverse.files import atomic
from neuroinverse.provenance import collect


def run(spec: dict, folder: Path, output: Path, table: Path, page: Path, figure: Path, network: Path) -> dict:
    """Compares designs by their repeats.

    Args:
        spec: Specification of the step.
        folder: Folder of the search, with result.json and history.csv in a folder for each of `spec["members"]`.
        output: JSON to write: `rows`, one per design with its repeats as `members`, and `chosen`, the number of the
            golden design; None where each lost a repeat.
        table: CSV to write.
        page: HTML page to write; it needs no other file.
        figure: PNG to write.
        network: YAML to write, the golden design as a file of config/networks; without keys where there is none.

    Raises:
        NeuroinverseError: If no training went well.
    """
    results = [json.loads((folder / m / "result.json").read_text(encoding="utf-8")) for m in spec["members"]]
    rows = spread.summarised(results, [_losses(folder / m / "history.csv") for m in spec["members"]])
    if not any(row["ok"] for row in rows):
        raise NeuroinverseError(
            f"{folder}: none of {len(results)} repeats went well; the first says: "
            f"{results[0]['message'] or 'nothing'}. Look at its log under logs/train_trial"
        )
    chosen = spread.choose(rows)
    result = {key: spec[key] for key in ("study", "scale", "estimator")} | {
        "chosen": chosen and chosen["design"],
        "fit_minutes": round(sum(result.get("fit_minutes", 0) for result in results), 3),
        "rows": rows,
        "provenance": collect(spec),
    }
    columns = spread.table(rows, chosen)
    design = _design(result, chosen)
    style.save(spread.spread_plot(rows, chosen), figure)
    with atomic(table) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns[0])
        writer.writeheader()
        writer.writerows(columns)
    with atomic(network) as temporary:
        temporary.write_text(design, encoding="utf-8")
    with atomic(page) as temporary:
        temporary.write_text(
            render(
                "stability.html",
                **{key: result[key] for key in ("study", "scale", "estimator", "fit_minutes", "provenance")},
                rows=columns,
                designs=rows,
                chosen=chosen,
                design=design,
                figures=embedded_figures(Path(figure).parent, {Path(figure).stem: STABILITY}),
                command=f"snakemake --profile profiles/local {page}",
            ),
            encoding="utf-8",
        )
    with atomic(output) as temporary:
        temporary.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return result


def _losses(history: Path) -> list[float]:
    """The validation loss of every epoch."""
    with history.open(encoding="utf-8") as file:
        return [float(row["val_loss"]) for row in csv.DictReader(file)]


def _design(result: dict, chosen: dict | None) -> str:
    """The chosen design as YAML, with its origin."""
    import yaml

    origin = f"{result['study']}, scale {result['scale']}, estimator {result['estimator']}"
    if chosen is None:
        return f"# {origin}: no design is chosen, as each lost a repeat\n"
    error = style.value_with_error(chosen["mean_mse_unit"], chosen["sd_mse_unit"])
    head = f"# golden model of {origin}: trial {chosen['trial']} of its search\n# mean squared error {error} (unit"
    body = yaml.safe_dump(chosen["hyperparameters"], sort_keys=False, default_flow_style=None, width=100)
    return f"{head} parameters) over {chosen['repeats']} trainings from other weights and on other folds\n{body}"
