"""cross: what an ensemble says of the test traces of other studies, which its simulator did not make."""

import json
from pathlib import Path

import numpy as np

from neuroinverse.errors import NeuroinverseError
from neuroinverse.estimators.ensemble import Ensemble, Predictions
from neuroinverse.evaluation import cross, style, warning
from neuroinverse.evaluation.calibration import ErrorModel
from neuroinverse.evaluation.captions import CROSS
from neuroinverse.evaluation.pages import embedded_figures, render
from neuroinverse.files import atomic
from neuroinverse.provenance import collect
from neuroinverse.shards import OK, Dataset
from neuroinverse.stages.ensemble_folds import predict_blocks


def run(
    spec: dict, datasets: list[Path], models: list[Path], calibration: Path, output: Path, page: Path, figures: Path
) -> dict:
    """Predicts the test traces of a study and of others with one ensemble, and looks at the predictions alone.

    Args:
        spec: Specification of the step.
        datasets: Test datasets in the order of `spec["datasets"]`: the study's own, then those of the others.
        models: The folds' estimators.
        calibration: The ensemble's error model (JSON).
        output: JSON to write: for each dataset `cross.summary`, and what failed or has no finite prediction; for each
            and for each distortion of the study's own traces `warning.told_apart`.
        page: HTML page to write; it needs no other file.
        figures: Folder for the figures, one PNG per entry of `captions.CROSS`.

    Raises:
        NeuroinverseError: If a dataset has no finite prediction.
    """
    ensemble, errors = Ensemble(models), ErrorModel.read(calibration)
    space, rows, found = ensemble.parameters, [], {}
    for section, path in zip(spec["datasets"], datasets, strict=True):
        data = Dataset(path)
        predictions, lost = _predict(ensemble, data, spec["signal"])
        found[section["study"]] = predictions
        rows.append(
            {
                "study": section["study"],
                "own": section["study"] == spec["study"],
                "n_failed": data.n_failed,
                "n_silent": data.n_silent,
                "n_unpredicted": lost,
                **cross.summary(predictions, errors.error(predictions.sd), space.names),
                **warning.told_apart(errors, found[spec["study"]].score, predictions.score),
            }
        )
    others = {study: predictions.score for study, predictions in found.items()}
    own, distorted = others.pop(spec["study"]), _distorted(spec, ensemble, datasets[0])
    result = {key: spec[key] for key in ("study", "scale", "estimator")} | {
        "limit": cross.LIMIT,
        "folds": len(models),
        "parameters": space.to_table(),
        "threshold": errors.threshold if np.isfinite(errors.threshold) else None,
        "datasets": rows,
        "distorted": [
            {"name": name, "n": len(score), **warning.told_apart(errors, own, score)}
            for name, score in distorted.items()
        ],
        "provenance": collect(spec),
    }
    means = {study: predictions.mean for study, predictions in found.items()}
    matrices = {row["study"]: np.array(row["correlation"], np.float64) for row in rows}
    style.save(cross.distributions(means, space.names), figures / "distributions.png")
    style.save(cross.correlations(matrices, space.names), figures / "correlations.png")
    style.save(cross.pairs(means, matrices, space.names), figures / "pairs.png")
    style.save(warning.roc(own, others, distorted), figures / "roc.png")
    with atomic(page) as temporary:
        temporary.write_text(_page(result, Path(figures)), encoding="utf-8")
    with atomic(output) as temporary:
        temporary.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return result


def _predict(ensemble: Ensemble, data: Dataset, signal: str) -> tuple[Predictions, int]:
    """The finite predictions, and the number of the others: far from its training a model may overflow.

    Raises:
        NeuroinverseError: If there are none.
    """
    predictions = Predictions.joined([block for _, _, block, _ in predict_blocks(ensemble, data, signal)])
    finite = np.isfinite(predictions.folds).all(axis=(0, 2))
    if not finite.any():
        raise NeuroinverseError(f"{data.path}: none of {len(finite)} predictions is a finite number")
    return predictions[finite], int((~finite).sum())


def _distorted(spec: dict, ensemble: Ensemble, test: Path) -> dict[str, np.ndarray]:
    """Scores of the first of the study's own test traces, distorted in one way after the other."""
    data = Dataset(test)
    rows = range(min(data.n, warning.DISTORTED))
    usable = data.status(rows.start, rows.stop) == OK
    traces = data.signal(spec["signal"], rows.start, rows.stop)[usable]
    signal, scores = ensemble.signal, {}
    noise = np.random.default_rng(0)
    for name, distort in warning.distortions(signal["unit"], signal["dt_ms"], noise).items():
        changed = np.asarray(distort(traces), np.float32).reshape(len(traces), traces.shape[1], -1)
        scores[name] = ensemble.score(changed)
    return scores


def _page(result: dict, figures: Path) -> str:
    own, *others = result["datasets"]
    return render(
        "cross.html",
        **{key: result[key] for key in ("study", "scale", "estimator", "folds", "datasets", "distorted", "provenance")},
        own=own,
        others=others,
        names=[p["name"] for p in result["parameters"]],
        figures=embedded_figures(figures, CROSS),
        command=f"snakemake --profile profiles/local {figures.parent / 'cross.html'}",
    )
