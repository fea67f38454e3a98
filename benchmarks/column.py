"""Records of the surrogates of HNN's cells and of its column, and the pictures of the docs, from the finished demo.

snakemake --profile profiles/local results/hnn_cells/demo/report.html results/hnn_column/demo/report.html
snakemake --profile profiles/local results/hnn_column/demo/objectives/gamma_round_0/metrics.json
snakemake --profile profiles/local results/hnn_sections/demo/report.html
python benchmarks/column.py [column_surrogates | column_rates | column_optimised ...]
"""

import json
import shutil
import sys
from pathlib import Path

from neuroinverse.column import specs as column
from neuroinverse.config import load_study, master_seed
from neuroinverse.planning import cpu_seconds
from neuroinverse.records import RECORDS, write_record
from neuroinverse.simulators.column import SHORT

CELLS, COLUMN, SECTIONS = (Path(f"results/hnn_{name}/demo") for name in ("cells", "column", "sections"))
RUN = "snakemake --profile profiles/local"
IMAGES = RECORDS.parent / "images"
# the published single-cell figures of the layer 5 pyramid
PUBLISHED = {"L5e_soma_correlation": 0.843, "L5e_apical_tuft_correlation": 0.861, "L5e_dipole_correlation": 0.772}


def read(file: Path) -> dict:
    """A JSON file."""
    return json.loads(file.read_text())


def column_surrogates() -> None:
    """How far each surrogate does what its cell does."""
    figures = {}
    files = [*sorted(CELLS.glob("surrogates/*/metrics.json")), SECTIONS / "surrogates" / "l5e" / "metrics.json"]
    for file in files:
        m, name, run = read(file), file.parent.name, file.parents[2]
        cell = f"{name[:2].upper()}{name[2:]}" + ("_section" if run == SECTIONS else "")
        for output in ("soma", "apical_tuft", "dipole"):
            row = m["outputs"].get(output)
            for key, figure in (
                ("correlation", "correlation"),
                ("low", "correlation_low"),
                ("high", "correlation_high"),
            ):
                figures[f"{cell}_{output}_{figure}"] = row[key] if row else "–"
        spikes = m["spikes"]
        figures |= {f"{cell}_spike_{key}": spikes[key] for key in ("precision", "recall", "rate_ratio")}
        figures[f"{cell}_rate_simulated_Hz"] = spikes["rate_simulated_Hz"]
        figures |= {f"{cell}_{key}": m[key] for key in ("n_train", "n_test", "n_weights", "epochs")}
        figures[f"{cell}_train_core_seconds"] = cpu_seconds(run / "benchmarks" / "train_surrogate" / f"{name}.tsv")
    write_record("column_surrogates", f"{RUN} {CELLS}/report.html {SECTIONS}/report.html", figures, PUBLISHED)
    for picture in ("overlay", "drift"):
        shutil.copy(CELLS / "surrogates" / "l5e" / "figures" / f"{picture}.png", IMAGES / f"column_l5e_{picture}.png")


def objectives() -> dict[str, dict]:
    """metrics.json by objective, those of earlier rounds among them."""
    study = load_study("hnn_column", "demo", master_seed())
    return {name: read(COLUMN / "objectives" / name / "metrics.json") for name in column.names(study)}


def column_rates() -> None:
    """Firing rates of NEURON and of the surrogates of every round, under the same drives and gains.

    First those of the column as it is, then those with the gains that the search `gamma` of the round found.
    """
    first = f"{COLUMN}/objectives/gamma_round_0/metrics.json"
    rounds = [read(Path(first)), *(m for m in objectives().values() if m["of"] == "gamma")]
    figures = {"drives": rounds[0]["n"]["before"]}
    for m in sorted(rounds, key=lambda m: m["round"]):
        for cell, short in SHORT.items():
            row = m["rates_Hz"][cell]
            figures |= {
                f"neuron_Hz_{short}": row["simulator"]["before"],
                f"neuron_sd_Hz_{short}": row["simulator"]["sd_before"],
                f"surrogates_Hz_round_{m['round']}_{short}": row["surrogates"]["before"],
                f"ratio_round_{m['round']}_{short}": "–" if row["ratio_before"] is None else row["ratio_before"],
                f"ratio_after_round_{m['round']}_{short}": "–" if row["ratio_after"] is None else row["ratio_after"],
            }
    write_record("column_rates", f"{RUN} {COLUMN}/report.html {first}", figures)


def column_optimised() -> None:
    """What was asked for and the rates before and after, in NEURON and in the surrogates."""
    figures = {}
    for name, m in objectives().items():
        for term, row in m["measures"].items():
            for where, key in (("neuron", "simulator"), ("surrogates", "surrogates")):
                for value in ("before", "after", "low", "high", "p"):
                    figure = row[key][value]
                    figures[f"{term}_{value}_{where}_{name}"] = "–" if figure is None else figure
        for cell, short in SHORT.items():
            for where, key in (("neuron", "simulator"), ("surrogates", "surrogates")):
                for when in ("before", "after"):
                    figures[f"{short}_Hz_{when}_{where}_{name}"] = m["rates_Hz"][cell][key][when]
        for row in m["search"]["rows"]:
            label = row["name"].replace(", ", "_").replace(" ", "_")
            if row["error"] is None:
                figures |= {f"{key}_{label}_{name}": row[key] for key in ("best_loss", "rollouts", "seconds")}
    write_record("column_optimised", f"{RUN} {COLUMN}/report.html", figures)
    for picture in ("spectra", "activity"):
        shutil.copy(COLUMN / "objectives" / "gamma" / "figures" / f"{picture}.png", IMAGES / f"column_{picture}.png")


WRITERS = {f.__name__: f for f in (column_surrogates, column_rates, column_optimised)}


if __name__ == "__main__":
    for record in sys.argv[1:] or WRITERS:
        WRITERS[record]()
