"""scaling: what the error becomes as the training set grows."""

import json
from pathlib import Path

import numpy as np

from neuroinverse.evaluation import scaling, style
from neuroinverse.evaluation.captions import SCALING
from neuroinverse.evaluation.pages import embedded_figures, render
from neuroinverse.evaluation.scaling import PowerLaw
from neuroinverse.files import atomic
from neuroinverse.parameters import ParameterSpace, seed_sequence
from neuroinverse.provenance import collect

# what scaling.json keeps of metrics.json
KEPT = ("n_test", "mse_unit", "mse_unit_folds", "mse_unit_folds_mean", "train_seconds_per_fold")


def run(spec: dict, metrics: list[Path], predictions: list[Path], output: Path, page: Path, figure: Path) -> dict:
    """Gathers the errors of one estimator at several training sizes, and draws their power law out to larger ones.

    Args:
        spec: Specification of the step.
        metrics: metrics.json of each size, in the order of `spec["sizes"]`.
        predictions: predictions.parquet of each size.
        output: JSON to write: `sizes`, for each the errors of folds, ensemble and parameters and the training time;
            `laws`, factor and exponent by error, None where there is one size; `extrapolated`, the laws with their
            bands at the published sizes and at the study's paper size; `no_band`, why there is none, else None.
        page: HTML page to write; it needs no other file.
        figure: PNG to write.
    """
    published = {row["n_train"]: row["mse_unit"] for row in spec["published"]}
    space = ParameterSpace.from_table(spec["parameters"])
    contents = [json.loads(Path(path).read_text(encoding="utf-8")) for path in metrics]
    rows = [_size(size["n_train"], m, published) for size, m in zip(spec["sizes"], contents, strict=True)]
    errors = {
        "mse_unit_folds_mean": np.array([row["mse_unit_folds"] for row in rows]),
        "mse_unit": np.stack([scaling.ensemble_parts(path, space) for path in predictions]),
    }
    n, laws, parameters = [row["n_train"] for row in rows], {}, {}
    if len(n) > 1:
        for i, (key, folds) in enumerate(errors.items()):
            laws[key] = PowerLaw.fit(n, folds, seed_sequence(spec["master_seed"], f"{spec['study']}/scaling", i))
        for name in space.names:
            percent = [[row["parameters"][name]["error_percent_of_range"]] for row in rows]
            parameters[name] = PowerLaw.fit(n, percent).to_dict()
    targets = sorted({*published, *spec["paper_size"]})
    result = {key: spec[key] for key in ("study", "scale", "estimator")} | {
        "sizes": rows,
        "level": scaling.LEVEL,
        "no_band": _no_band(len(n), errors["mse_unit"].shape[1]),
        "laws": {key: law.to_dict() for key, law in laws.items()} | {"error_percent_of_range": parameters}
        if laws
        else None,
        "extrapolated": [_extrapolated(target, laws, published) for target in targets] if laws else [],
        "published": spec["published"],
        "provenance": collect(spec),
    }
    style.save(scaling.plot(rows, laws, published, max([*n, *targets])), figure)
    with atomic(page) as temporary:
        temporary.write_text(_page(result, space, Path(figure)), encoding="utf-8")
    with atomic(output) as temporary:
        temporary.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return result


def _size(n: int, metrics: dict, published: dict) -> dict:
    folds = np.array(metrics["mse_unit_folds"])
    kept = ("unit", "rmse", "error_percent_of_range")
    return {
        "n_train": n,
        **{key: metrics[key] for key in KEPT},
        "mse_unit_folds_sd": float(folds.std(ddof=1)) if len(folds) > 1 else None,
        "mse_unit_folds_min": float(folds.min()),
        "mse_unit_folds_max": float(folds.max()),
        "published": published.get(n),
        "parameters": {name: {key: p[key] for key in kept} for name, p in metrics["parameters"].items()},
    }


def _no_band(sizes: int, folds: int) -> str | None:
    if sizes < scaling.FEWEST:
        return f"{sizes} training size{'s' * (sizes != 1)}: a band takes {scaling.FEWEST} or more"
    return "a single fold: a band takes the scatter of several" if folds < 2 else None


def _extrapolated(n: int, laws: dict[str, PowerLaw], published: dict) -> dict:
    row = {"n_train": n, "published": published.get(n)}
    for key, law in laws.items():
        band = law.band([n])
        row |= {key: float(law.at(n)), f"{key}_band": None if band is None else band[:, 0].tolist()}
    return row


def _page(result: dict, space: ParameterSpace, figure: Path) -> str:
    shown = ("study", "scale", "estimator", "sizes", "level", "no_band", "laws", "extrapolated", "provenance")
    return render(
        "scaling.html",
        **{key: result[key] for key in shown},
        folds=len(result["sizes"][0]["mse_unit_folds"]),
        names=space.names,
        figures=embedded_figures(figure.parent, {figure.stem: SCALING}),
        command=f"snakemake --profile profiles/local {figure.with_suffix('.html')}",
    )
