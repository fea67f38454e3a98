"""Records of the studies, and the picture of the README, from finished runs.

snakemake --profile profiles/local all results/izhikevich/demo/cnn/scaling.json
python benchmarks/studies.py
"""

import json
import shutil
from pathlib import Path

from neuroinverse.config import load_study, read_config, study_names
from neuroinverse.records import RECORDS, write_record
from neuroinverse.workload import measured_rates, plan

RUN = "snakemake --profile profiles/local"


def main() -> None:
    """Writes the records hh_point_2, izhikevich, rates and plan."""
    target = Path("results/hh_point_2/demo/cnn/metrics.json")
    m = json.loads(target.read_text())
    figures = {
        "mse_unit_folds_mean": m["mse_unit_folds_mean"],
        "mse_unit_folds_worst": max(m["mse_unit_folds"]),
        "mse_unit_ensemble": m["mse_unit"],
        "train_seconds_per_fold": m["train_seconds_per_fold"],
        "folds": len(m["mse_unit_folds"]),
        "n_train": m["n_train"],
        "n_test": m["n_test"],
        "n_failed": m["n_failed"],
        "simulate_core_seconds": m["seconds"]["simulate_core"],
        **{f"error_percent_of_range_{k}": p["error_percent_of_range"] for k, p in m["parameters"].items()},
        **{f"coverage_{k}": v for k, v in m["coverage"].items()},
    }
    published = m["published"] | {"n_train": 3000}
    write_record("hh_point_2", f"{RUN} {target}", figures, published)

    picture = target.with_name("figures") / "predicted_true.png"
    shutil.copy(picture, RECORDS.parent / "images" / "hh_point_2_predicted_true.png")

    target = Path("results/izhikevich/demo/cnn/scaling.json")
    figures = {}
    for size in json.loads(target.read_text())["sizes"]:
        n = size["n_train"]
        figures |= {
            f"error_percent_of_range_{k}_{n}": p["error_percent_of_range"] for k, p in size["parameters"].items()
        }
        figures |= {f"rmse_{k}_{n}": p["rmse"] for k, p in size["parameters"].items()}
        figures |= {
            f"{k}_{n}": size[k] for k in ("mse_unit", "mse_unit_folds_mean", "train_seconds_per_fold", "n_test")
        }
    write_record("izhikevich", f"{RUN} {target}", figures)

    studies = [load_study(name, "paper", read_config()["master_seed"]) for name in study_names()]
    rates = {study.name: measured_rates(study) for study in studies}
    figures = [rate.figures(name) for name, rate in rates.items()]
    write_record("rates", RUN, dict(item for f in figures for item in f.items()))
    needs = {study.name: plan(study, rates[study.name]) for study in studies}
    write_record(
        "plan", "neuroinverse plan --scale paper", {f"{n}_{k}": v for n, p in needs.items() for k, v in p.items()}
    )


if __name__ == "__main__":
    main()
