"""Folders of the project's: results, a study at a scale, an estimator, a search, a dataset."""

import json
from collections import Counter
from pathlib import Path

from neuroinverse.inspection.ranges import short

LISTED = 30


def describe(path: Path) -> tuple[str, list[str]]:
    """What a folder is, and what is in it."""
    names = {child.name for child in path.iterdir()}
    if not names:
        return "an empty folder", []
    if {"Snakefile", "workflow"} <= names:
        return "a clone of neuroinverse", [
            f"  results: {path / 'results'}",
            f"  studies: {path / 'config' / 'studies'}",
        ]
    if any(path.glob("fold-*/")):
        return _estimator(path)
    if any(path.glob("trial-*/")) or "ranking.json" in names:
        return "a search over networks", _counted(path, "trial-*/result.json", "finalist-*/result.json", "*.html")
    if "dataset" in names or "shards" in names or "report.html" in names:
        return "the results of a study at a scale", _run(path)
    if "model.keras" in names:
        return "a trained network", [f"  {path / name}" for name in sorted(names)]
    if path.name == "shards" or path.parent.name == "shards":
        return "shards of simulations", _counted(path, "**/*.h5", "**/*.refused")
    if path.name == "dataset":
        return "datasets, each of which joins shards", [f"  {file}" for file in sorted(path.glob("*.h5"))]
    scales = sorted(p.parent for p in path.glob("*/*/") if p.name in ("dataset", "shards"))
    if scales:
        return "the results of a study", _runs(dict.fromkeys(scales))
    runs = sorted({p.parent for p in path.glob("*/*/*/") if p.name in ("dataset", "shards")})
    if runs:
        return "the results of studies", _runs(runs)
    studies = [p.stem for p in sorted(path.glob("*.yaml"))]
    if path.name == "studies" and studies:
        return "studies", [f"  {short(studies, 1000)}"]
    return f"a folder with {len(names)} entries", _kinds(path)


def _kinds(path: Path) -> list[str]:
    counts = Counter(f"*{p.suffix}" if p.is_file() else "folders" for p in path.iterdir())
    return [f"  {', '.join(f'{n} {kind}' for kind, n in counts.most_common(LISTED))}"]


def _counted(path: Path, *patterns: str) -> list[str]:
    counts = {pattern: sum(1 for _ in path.glob(pattern)) for pattern in patterns}
    return [f"  {n} {pattern.removeprefix('**/')}" for pattern, n in counts.items() if n]


def _runs(runs) -> list[str]:
    runs = list(runs)
    lines = []
    for run in runs[:LISTED]:
        done = "its report is there" if (run / "report.html").is_file() else "no report yet"
        lines.append(f"  {run}: {done}; {_estimators(run)}")
    return lines + ([f"  and {len(runs) - LISTED} more"] if len(runs) > LISTED else [])


def _estimators(run: Path) -> str:
    found = sorted({fold.parent.name for fold in run.glob("*/fold-*/")})
    found += sorted(f"surrogate {p.parent.name}" for p in run.glob("surrogates/*/model.keras"))
    return short(found) if found else "no estimators yet"


def _run(path: Path) -> list[str]:
    lines = ["  its report is there: report.html" if (path / "report.html").is_file() else "  no report yet"]
    for folder in sorted((path / "shards").glob("*/")):
        shards, refused = len(list(folder.glob("*.h5"))), len(list(folder.glob("*.refused")))
        joined = "joined" if (path / "dataset" / f"{folder.name}.h5").is_file() else "not joined yet"
        put_aside = f", {refused} refused and put aside" if refused else ""
        lines.append(f"  dataset {folder.name}: {shards} shards, {joined}{put_aside}")
    for joined in sorted((path / "dataset").glob("*.h5")):
        if not (path / "shards" / joined.stem.partition("@")[0]).is_dir():
            lines.append(f"  dataset {joined.stem}: joined; its shards are gone")
    for estimator in sorted({fold.parent for fold in path.glob("*/fold-*/")}):
        lines.append(f"  {estimator.name}: {'; '.join(line.strip() for line in _estimator(estimator)[1])}")
    for model in sorted(path.glob("surrogates/*/model.keras")):
        lines.append(f"  surrogate {model.parent.name}")
    for objective in sorted(path.glob("objectives/*/")):
        lines.append(f"  objective {objective.name}")
    return lines


def _estimator(path: Path) -> tuple[str, list[str]]:
    folds = sorted(path.glob("fold-*/"))
    trained = [fold for fold in folds if (fold / "model.keras").is_file()]
    lines = [f"  {len(trained)} of {len(folds)} folds that were begun are trained"]
    metrics, kind = _json(path / "metrics.json"), ""
    if metrics:
        kind = metrics.get("kind", "")
        if kind == "posterior":
            lines.append(
                f"  checks: {metrics.get('verdict')}; gain over the prior {metrics.get('gain_nats', 0):.3g} nats"
            )
        elif "mse_unit" in metrics:
            lines.append(f"  mean squared error {metrics['mse_unit']:.3g} of unit parameters (1/3: nothing learnt)")
        lines.append(f"  infers {short(list(metrics.get('parameters', ())))}")
    else:
        lines.append("  not measured yet: no metrics.json")
    if (path / "search").is_dir():
        lines.append(f"  a search over networks: {path / 'search'}")
    verb = "posterior" if kind == "posterior" or path.name.startswith("posterior") else "predict"
    return f"an estimator, for: neuroinverse {verb} --model {path} --input TRACES", lines


def _json(path: Path) -> dict:
    """A JSON file, empty where it is not there or not whole."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
