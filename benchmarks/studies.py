"""Records of the studies, and the pictures of the docs, from finished runs.

snakemake --profile profiles/local all results/izhikevich/demo/cnn/{scaling.json,search/stability.html}
snakemake --profile profiles/local results/brunel_lfp_large/workstation/cnn/scaling.json \\
  results/brunel_lfp_{large,small}/workstation/report.html
snakemake --profile profiles/local results/{mainen_10,ball_and_sticks_10}/workstation/cnn/scaling.json
snakemake --profile profiles/local results/mainen_10/comparison/{cnn@3000,golden_203@3000,golden_203}/metrics.json
snakemake --profile profiles/local \\
  results/ball_and_sticks_10/comparison/{cnn@2000,golden_203@2000,golden_203}/metrics.json
python benchmarks/studies.py [record ...]
"""

import json
import shutil
import sys
from pathlib import Path

from neuroinverse.config import load_study, read_config, study_names
from neuroinverse.errors import NeuroinverseError
from neuroinverse.evaluation.network import STATES
from neuroinverse.planning import measured_rates, plan
from neuroinverse.records import RECORDS, read_records, write_record
from neuroinverse.shards import Dataset

RUN = "snakemake --profile profiles/local"
IMAGES = RECORDS.parent / "images"
SEARCH = Path("results/izhikevich/demo/cnn/search")
# of a design, what the space draws
DESIGN = (
    "conv_repeat", "conv_filter", "conv_kernel", "pool_len", "fc_dims", "dropFrac", "lastAct", "lossName",
    "optimizerName", "batch_size", "learning_rate", "reduceLR_factor",
)  # fmt: skip
# studies whose scale `comparison` was run
COMPARED = ("mainen_10", "ball_and_sticks_10")
# studies whose intervals are compared with the truth
CALIBRATED = ("hh_point_2", "izhikevich", "mainen_10")
# the published size of the training set, to which the curve of the error is drawn out
PUBLISHED_TRAIN = 40000
# training sizes to which the errors of the cells are drawn out: those published for Mainen's cell
CELL_SIZES = (100_000, 200_000, 400_000, 800_000)


def hh_point_2() -> None:
    """Errors of the demo beside the published ones, and the picture of the README."""
    target = Path("results/hh_point_2/demo/cnn/metrics.json")
    m = read(target)
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
        **errors(m),
        **{f"coverage_{k}": v for k, v in m["coverage"].items()},
    }
    write_record("hh_point_2", f"{RUN} {target}", figures, m["published"] | {"n_train": 3000})
    shutil.copy(target.with_name("figures") / "predicted_true.png", IMAGES / "hh_point_2_predicted_true.png")


def izhikevich() -> None:
    """Errors of the demo over the size of the training set."""
    target = Path("results/izhikevich/demo/cnn/scaling.json")
    figures = {}
    for size in read(target)["sizes"]:
        n = size["n_train"]
        figures |= {f"{key}_{n}": value for key, value in errors(size).items()}
        figures |= {f"rmse_{k}_{n}": p["rmse"] for k, p in size["parameters"].items()}
        figures |= {
            f"{k}_{n}": size[k] for k in ("mse_unit", "mse_unit_folds_mean", "train_seconds_per_fold", "n_test")
        }
    write_record("izhikevich", f"{RUN} {target}", figures)


def search() -> None:
    """What the search of the demo tried, and the best design of each tier."""
    first, second = (read(SEARCH / f"{tier}.json") for tier in ("ranking", "finalists"))
    best = second["rows"][0]
    place = {row["trial"]: row["place"] for row in first["rows"]}
    figures = {key: first[key] for key in ("trials", "rejected_draws")}
    figures |= {f"trials_{status}": count for status, count in first["status"].items()}
    figures |= {"fit_minutes_trials": first["fit_minutes"], "fit_minutes_finalists": second["fit_minutes"]}
    figures |= {"best_mse_unit_trials": first["rows"][0]["mse_unit"], "best_mse_unit_finalists": best["mse_unit"]}
    figures |= {"best_trial": best["trial"], "best_place_among_trials": place[best["trial"]]}
    figures |= {f"best_{key}": best[key] for key in ("weights", "multiply_adds")}
    h = best["hyperparameters"]
    figures |= {f"best_{key}": worded(h[key]) for key in DESIGN}
    write_record("search", f"{RUN} {SEARCH}/finalists.html", figures)
    shutil.copy(SEARCH / "ranking.csv", RECORDS / "search.csv")
    shutil.copy(SEARCH / "finalists.png", IMAGES / "search.png")


def worded(value):
    """A list as words, since a record is flat; anything else as it is."""
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def stability() -> None:
    """How much the best designs of the search vary when they are trained again."""
    found, first = read(SEARCH / "stability.json"), read(SEARCH / "ranking.json")
    place = {row["trial"]: row["place"] for row in first["rows"]}
    keys = ("trial", "repeats", "diverged", "unconverged", "mean_mse_unit", "sd_mse_unit", "min_mse_unit")
    keys += ("max_mse_unit", "upper_mse_unit", "fit_seconds", "weights")
    figures = {"chosen": found["chosen"] or "none"}
    for row in found["rows"]:
        values = {key: "–" if row[key] is None else row[key] for key in keys}
        values |= {"first_tier_place": place.get(row["trial"], "–")}
        values |= {"chosen": "yes" if row["design"] == found["chosen"] else "no"}
        figures |= {f"{key}_design_{row['design']}": value for key, value in values.items()}
    write_record("stability", f"{RUN} {SEARCH}/stability.html", figures)


def cells(study: str, scale: str) -> None:
    """Errors of a shaped cell over the size of the training set, and their power law drawn out."""
    target = Path(f"results/{study}/{scale}/cnn/scaling.json")
    scaling, figures = read(target), {}
    for size in scaling["sizes"]:
        figures |= {f"{key}_{size['n_train']}": value for key, value in errors(size).items()}
        keys = ("mse_unit", "mse_unit_folds_mean", "train_seconds_per_fold", "n_test")
        figures |= {f"{key}_{size['n_train']}": size[key] for key in keys}
    for key in ("mse_unit", "mse_unit_folds_mean"):
        law = scaling["laws"][key]
        figures[f"exponent_{key}"] = law["exponent"]
        figures |= {f"extrapolated_{key}_{size}": at(law, size) for size in CELL_SIZES}
        for row in scaling["extrapolated"]:
            for end, value in zip(("low", "high"), row[f"{key}_band"] or (), strict=False):
                figures[f"extrapolated_{key}_{end}_{row['n_train']}"] = value
    published = {f"extrapolated_mse_unit_folds_mean_{p['n_train']}": p["mse_unit"] for p in scaling["published"]}
    m = read(target.with_name("metrics.json"))
    figures |= {f"coverage_{k}": v for k, v in m["coverage"].items()}
    figures |= {"n_failed": m["n_failed"], "folds": len(m["mse_unit_folds"])}
    train = Dataset(target.parents[1] / "dataset" / "train.h5")
    figures["simulate_core_seconds_per_trace"] = train.seconds_core / train.n
    write_record(study, f"{RUN} {target}", figures, published)
    shutil.copy(target.with_name("figures") / "predicted_true.png", IMAGES / f"{study}_predicted_true.png")


def at(law: dict, n: int) -> float:
    """A power law of scaling.json at a training size."""
    return law["factor"] * n ** law["exponent"]


def mainen_10() -> None:
    """Mainen's cell on a workstation, beside the published errors: golden 203, a test of 50,000 traces."""
    cells("mainen_10", "workstation")


def ball_and_sticks_10() -> None:
    """The ball with two kinds of dendrites on a workstation."""
    cells("ball_and_sticks_10", "workstation")


def architecture() -> None:
    """The default network with half of golden 203's training traces, beside it; errors are means over the folds."""
    figures, targets = {}, []
    for name in COMPARED:
        study, mse = load_study(name, "comparison", read_config()["master_seed"]), {}
        half, folder = study.n("train") // 2, Path(f"results/{name}/comparison")
        runs = {"residual_half": f"cnn@{half}", "golden_203_half": f"golden_203@{half}", "golden_203": "golden_203"}
        targets += [str(folder / estimator / "metrics.json") for estimator in runs.values()]
        if not folder.is_dir():
            known = read_records().get("architecture", {}).get("figures", {})
            figures |= {key: value for key, value in known.items() if key.startswith(f"{name}_")}
            print(f"{name}: no results here, what is recorded stays")
            continue
        for run, estimator in runs.items():
            m = read(folder / estimator / "metrics.json")
            mse[run] = m["mse_unit_folds_mean"]
            values = {
                "n_train": m["n_train"],
                "epochs": study.estimator(estimator)["hyperparameters"]["epochs"],
                "mse_unit": mse[run],
                "mse_unit_worst_fold": max(m["mse_unit_folds"]),
                "mse_unit_ensemble": m["mse_unit"],
                "train_seconds_per_fold": m["train_seconds_per_fold"],
                **errors(m),
            }
            figures |= {f"{name}_{key}_{run}": value for key, value in values.items()}
        figures[f"{name}_error_ratio_at_half_data"] = mse["residual_half"] / mse["golden_203"]
        figures[f"{name}_error_ratio_at_equal_data"] = mse["residual_half"] / mse["golden_203_half"]
    write_record("architecture", f"{RUN} {' '.join(targets)}", figures)


def calibration() -> None:
    """How often stated intervals hold the truth of test traces; over all parameters, and of the worst of them.

    Of a study whose results are not here the record keeps what it has.
    """
    figures, targets = dict(read_records().get("calibration", {}).get("figures", {})), []
    for study in CALIBRATED:
        target = Path(f"results/{study}/demo/cnn/metrics.json")
        targets.append(str(target))
        if not target.is_file():
            continue
        m = read(target)
        figures |= {f"n_test_{study}": m["n_test"]}
        for level in m["coverage"]:
            worst = max((row[level] for row in m["coverage_parameters"].values()), key=lambda c: abs(c - float(level)))
            figures |= {f"coverage_{level}_{study}": m["coverage"][level]}
            figures |= {f"coverage_{level}_worst_parameter_{study}": worst}
            figures |= {f"coverage_{level}_gaussian_{study}": m["coverage_gaussian"][level]}
            figures |= {f"coverage_{level}_spread_only_{study}": m["coverage_spread_only"][level]}
    write_record("calibration", f"{RUN} {' '.join(targets)}", figures)


def scaling() -> None:
    """The default network's error over the size of the training set on Mainen's cell, drawn out with its band."""
    target = Path("results/mainen_10/comparison/cnn/scaling.json")
    found, figures = read(target), {}
    for size in found["sizes"]:
        keys = ("mse_unit", "mse_unit_folds_mean", "train_seconds_per_fold", "n_test")
        figures |= {f"{key}_{size['n_train']}": size[key] for key in keys}
    for key in ("mse_unit", "mse_unit_folds_mean"):
        figures[f"exponent_{key}"] = found["laws"][key]["exponent"]
        for row in found["extrapolated"]:
            figures[f"extrapolated_{key}_{row['n_train']}"] = at(found["laws"][key], row["n_train"])
            for end, value in zip(("low", "high"), row[f"{key}_band"] or (), strict=False):
                figures[f"extrapolated_{key}_{end}_{row['n_train']}"] = value
    published = {f"extrapolated_mse_unit_folds_mean_{p['n_train']}": p["mse_unit"] for p in found["published"]}
    write_record("scaling", f"{RUN} {target}", figures, published)
    shutil.copy(target.with_name("scaling.png"), IMAGES / "scaling.png")


def brunel_lfp() -> None:
    """Errors of the run on a workstation: per parameter, over the training size, by state, on other networks."""
    large, small = (Path(f"results/brunel_lfp_{box}/workstation") for box in ("large", "small"))
    m, scaling = read(large / "cnn" / "metrics.json"), read(large / "cnn" / "scaling.json")
    figures = {"n_train": m["n_train"], "n_test": m["n_test"], "n_failed": m["n_failed"]}
    figures |= {"n_silent": m.get("n_silent", 0), "train_seconds_per_fold": m["train_seconds_per_fold"]}
    figures |= errors(m) | {f"coverage_{k}": v for k, v in m["coverage"].items()}
    sizes = [size["n_train"] for size in scaling["sizes"]]
    for name in m["parameters"]:
        percent = [size["parameters"][name]["error_percent_of_range"] for size in scaling["sizes"]]
        figures |= {f"error_percent_of_range_{name}_{n}": e for n, e in zip(sizes, percent, strict=True)}
        law = scaling["laws"]["error_percent_of_range"][name]
        figures[f"exponent_{name}"] = law["exponent"]
        figures[f"extrapolated_{name}_{PUBLISHED_TRAIN}"] = at(law, PUBLISHED_TRAIN)
    for alone in ("eta", "g", "j"):
        figures |= {f"{key}_alone": e for key, e in errors(read(large / f"cnn_{alone}" / "metrics.json")).items()}
    grid = read(large / "cnn_grid" / "metrics.json")
    figures |= {f"{key}_grid": e for key, e in errors(grid).items()} | {"n_train_grid": grid["n_train"]}
    space = load_study("brunel_lfp_large", "workstation", read_config()["master_seed"]).parameters
    ranges = {p.name: p.high - p.low for p in space.parameters}
    for row in read(large / "cnn" / "transfer.json")["datasets"]:
        for name, p in row["parameters"].items():
            figures[f"error_percent_of_range_{name}_on_{row['dataset']}"] = p["error_percent_of_range"]
            figures[f"bias_percent_of_range_{name}_on_{row['dataset']}"] = 100 * p["bias"] / ranges[name]
    m = read(small / "cnn" / "metrics.json")
    figures |= {f"{key}_small": e for key, e in errors(m).items()} | {"n_train_small": m["n_train"]}
    states = read(large / "network" / "states.json")["errors_by_state_percent_of_range"]["cnn"]
    for state in STATES:
        figures |= {f"mean_absolute_{k}_{state}": v for k, v in states.get(state, {}).items()}
    # of the range, "less than 5 %" for every parameter
    published = {f"error_percent_of_range_{name}": 5 for name in ("eta", "g", "J")}
    targets = f"{large}/report.html {large}/cnn/scaling.json {small}/report.html"
    write_record("brunel_lfp", f"{RUN} {targets}", figures, published)
    for name in ("example_states", "phase_diagram", "errors_by_state"):
        shutil.copy(large / "network" / "figures" / f"{name}.png", IMAGES / f"brunel_{name}.png")
    for name in ("predicted_true", "error_map", "transfer"):
        shutil.copy(large / "cnn" / "figures" / f"{name}.png", IMAGES / f"brunel_lfp_{name}.png")
    shutil.copy(small / "cnn" / "figures" / "residuals.png", IMAGES / "brunel_lfp_small_residuals.png")


def needs() -> None:
    """The records rates and plan."""
    figures, plans = {}, {}
    for name in study_names():
        demo, paper = (load_study(name, scale, read_config()["master_seed"]) for scale in ("demo", "paper"))
        try:
            figures |= measured_rates(demo).figures(name)
            plans[name] = plan(paper, measured_rates(paper))
        except NeuroinverseError as error:
            print(f"left out: {error}")
    write_record("rates", RUN, figures)
    plan_figures = {f"{n}_{key}": value for n, needs in plans.items() for key, value in needs.items()}
    # of searches, where there are some
    plan_figures = {key: value for key, value in plan_figures.items() if value or not key.endswith("search_core_hours")}
    write_record("plan", "neuroinverse plan --scale paper", plan_figures)


def read(file: Path) -> dict:
    """A JSON file of a finished run."""
    return json.loads(file.read_text())


def errors(metrics: dict) -> dict[str, float]:
    """Root mean squared error in percent of the range, by parameter."""
    return {f"error_percent_of_range_{k}": p["error_percent_of_range"] for k, p in metrics["parameters"].items()}


WRITERS = {
    "hh_point_2": hh_point_2,
    "izhikevich": izhikevich,
    "search": search,
    "stability": stability,
    "brunel_lfp": brunel_lfp,
    "mainen_10": mainen_10,
    "ball_and_sticks_10": ball_and_sticks_10,
    "architecture": architecture,
    "scaling": scaling,
    "calibration": calibration,
    "plan": needs,
}


if __name__ == "__main__":
    for record in sys.argv[1:] or WRITERS:
        WRITERS[record]()
