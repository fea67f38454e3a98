"""The report of a study: one HTML page that needs no other file."""

import json
import math
from dataclasses import asdict
from pathlib import Path

from neuroinverse.errors import ConfigError
from neuroinverse.evaluation.captions import CAPTIONS, NETWORK, OBJECTIVE, POSTERIOR, SURROGATE, TRANSFER
from neuroinverse.evaluation.learnt import nothing
from neuroinverse.evaluation.network import STATES
from neuroinverse.evaluation.pages import embedded_figures, published_rows, render
from neuroinverse.evaluation.style import exact, number
from neuroinverse.files import atomic
from neuroinverse.parameters import ParameterSpace
from neuroinverse.simulators import describe


def run(
    spec: dict,
    datasets: list[Path],
    output: Path,
    metrics: list[Path] = (),
    figures: list[Path] = (),
    transfers: list[Path] = (),
    network: Path | None = None,
    surrogates: list[Path] = (),
    objectives: list[Path] = (),
) -> None:
    """Writes the report of a study.

    Args:
        spec: Specification of the step.
        datasets: The study's datasets, the training set first.
        output: The page.
        metrics: metrics.json of every estimator, in the order of `spec["estimators"]`.
        figures: Folders with the figures of every estimator, in the same order.
        transfers: transfer.json of the estimators in `spec["transfers"]`.
        network: states.json of a study of networks, its figures beside it.
        surrogates: metrics.json of every surrogate, its figures beside it.
        objectives: metrics.json of every objective of a column, its figures beside it.

    Raises:
        ShardError: If a dataset is damaged.
    """
    import yaml

    from neuroinverse.shards import Dataset

    data = [Dataset(path) for path in datasets]
    evaluations = [json.loads(Path(path).read_text(encoding="utf-8")) for path in metrics]
    table = [dataset_row(d, Path(path)) for d, path in zip(data, datasets, strict=True)]
    spaces = [ParameterSpace.from_table(e["parameters"]) for e in spec["evaluations"]]
    contents = (json.loads(Path(path).read_text(encoding="utf-8")) for path in transfers)
    transferred = {content["estimator"]: content for content in contents}
    estimators = []
    for name, evaluation, folder, space in zip(spec["estimators"], evaluations, figures, spaces, strict=True):
        if evaluation["kind"] == "posterior":
            estimators.append(posterior_section(name, evaluation, Path(folder), space, spec["settings"]))
        else:
            section = estimator_section(name, evaluation, Path(folder), space, spec["settings"])
            estimators.append(section | {"transfer": transfer_section(transferred.get(name), Path(folder))})
    of_surrogates = [surrogate_section(Path(path)) for path in surrogates]
    searched = [objective_section(Path(path)) for path in objectives]
    # the searches of earlier rounds are rows of a table
    of_objectives = [section for section in searched if section["name"] == section["metrics"]["of"]]
    sections = [*estimators, *of_surrogates, *of_objectives]
    # a column of zeros tells nothing where there is no network
    counted = [row["status_counts"] for row in table]
    shown = dict.fromkeys(s for counts in counted for s in counts if s != "silent" or any(c.get(s) for c in counted))
    signals = [signal_row(signal) for signal in data[0].signals.values()]
    page = render(
        "study.html",
        **{key: spec[key] for key in ("study", "scale", "title", "question", "references", "command")},
        date=max(section["metrics"]["provenance"].get("date", "")[:10] for section in sections),
        headline=headline(evaluations, spec["settings"], data[0], len({n for space in spaces for n in space.names}))
        if evaluations
        else "",
        estimators=estimators,
        posteriors=[e for e in estimators if e["posterior"]],
        regressors=[e for e in estimators if not e["posterior"]],
        network=network_section(Path(network)) if network else None,
        surrogates=of_surrogates,
        objectives=of_objectives,
        rounds=round_rows([section["metrics"] for section in searched]),
        departures=spec.get("departures", []),
        datasets=table,
        statuses=list(shown),
        provenance=provenance_rows(
            {f"evaluation of {e['name']}": e["metrics"]["provenance"] for e in sections}
            | {f"dataset {row['name']}": row["provenance"] for row in table}
        ),
        failures=failures_sentence(
            sum(d.n_failed for d in data), sum(d.n for d in data), sum(d.n_silent for d in data)
        ),
        signals=signals,
        described=_described(spec["settings"]),
        settings=yaml.safe_dump(
            spec["settings"], sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
        ),
    )
    with atomic(output) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _described(settings: dict) -> list[str]:
    """What the user's files were taken for; the page does without, where they are gone by now."""
    try:
        return describe(settings)
    except ConfigError as error:
        return [str(error)]


def headline(evaluations: list[dict], settings: dict, dataset, n_parameters: int) -> str:
    """What was inferred from what, in a sentence."""
    used = [settings["estimators"][e["estimator"].partition("@")[0]]["signal"] for e in evaluations]
    traces = []
    for name in dict.fromkeys(used):
        signal = dataset.signals[name]
        channels = math.prod(signal.shape[1:])
        length = exact(signal.shape[0] * signal.dt_ms)
        kind = "voltage" if "voltage" in name and signal.unit == "mV" else name.replace("_", " ")
        traces.append(f"a {length} ms {kind} trace" + (f" of {channels} channels" if channels > 1 else ""))
    n_train = " or ".join(dict.fromkeys(number(e["n_train"]) for e in evaluations))
    n_test = " or ".join(dict.fromkeys(number(e["n_test"]) for e in evaluations))
    what = f"{n_parameters} parameter{'s' * (n_parameters != 1)} from {' or '.join(traces)}"
    return f"{what}; {n_train} training traces, {n_test} test traces that no training saw."


def result_sentence(metrics: dict) -> str:
    """The result of an estimator in words."""
    errors = {name: row["error_percent_of_range"] for name, row in metrics["parameters"].items()}
    overall = number(50 * math.sqrt(metrics["mse_unit"]), 2)
    folds = len(metrics["mse_unit_folds"])
    subject = f"the mean of {folds} folds errs" if folds > 1 else "the single fold errs"
    text = f"{subject} by {overall} % of the prior's range (root mean square over all parameters)"
    best, worst = min(errors, key=errors.get), max(errors, key=errors.get)
    if number(errors[best], 2) != number(errors[worst], 2):
        text += f", from {number(errors[best], 2)} % for {best} to {number(errors[worst], 2)} % for {worst}"
    verdicts = [(row["label"], row["met"]) for row in published_rows(metrics) if row["met"] is not None]
    if verdicts:
        met = sum(met for _, met in verdicts)
        text += f". {met} of {len(verdicts)} published figure{'s' * (len(verdicts) != 1)} met"
    return text + "."


def estimator_section(name: str, metrics: dict, folder: Path, space: ParameterSpace, settings: dict) -> dict:
    """What the template shows of one estimator.

    Args:
        name: The estimator.
        metrics: Contents of its metrics.json.
        folder: Folder with its figures; those that are not there are left out.
        space: Its parameters with the ranges that it was trained on.
        settings: The study's settings, whose descriptions of parameters are shown.
    """
    descriptions = {p["name"]: p.get("description", "") for p in settings.get("parameters", [])}
    by_name = {p.name: p for p in space.parameters}
    rows = []
    for parameter, errors in metrics["parameters"].items():
        known = by_name.get(parameter)
        rows.append(
            {
                "name": parameter,
                "description": descriptions.get(parameter) or (known.description if known else ""),
                "low": known.low if known else None,
                "high": known.high if known else None,
                "scale": known.scale if known else "linear",
                "coverage": (metrics["coverage_parameters"] or {}).get(parameter, {}).get("0.9"),
                **errors,
            }
        )
    published = published_rows(metrics)
    return {
        "name": name,
        "metrics": metrics,
        "nothing": nothing(metrics),
        "sentence": result_sentence(metrics),
        "published": published,
        "parameters": rows,
        "figures": embedded_figures(folder),
        "unpredicted": metrics.get("n_unpredicted", 0),
        "posterior": False,
    }


def posterior_section(name: str, metrics: dict, folder: Path, space: ParameterSpace, settings: dict) -> dict:
    """What the template shows of one posterior; arguments as of `estimator_section`."""
    rows, contraction = [], metrics["posterior"]["contraction"]["parameters"]
    for p in space.parameters:
        at = metrics["observation"][p.name]
        rows.append({**asdict(p), **metrics["parameters"][p.name], **contraction[p.name], **at, "name": p.name})
    gain, percent = metrics["posterior"]["log_prob"]["gain_nats"], 50 * math.sqrt(metrics["mse_unit"])
    verdicts = [check["verdict"] for check in metrics["checks"]]
    counts = [f"{verdicts.count(v)} {v}" for v in ("pass", "warn", "fail") if v in verdicts]
    own = settings["estimators"].get(name, {})
    return {
        "name": name,
        "metrics": metrics,
        "nothing": nothing(metrics),
        "sentence": f"a truth gains {number(gain)} nats over the prior, the posterior mean errs by "
        f"{number(percent, 2)} % of the prior's range; {len(verdicts)} checks: {', '.join(counts)}.",
        "parameters": rows,
        "truth": any(row["truth"] is not None for row in rows),
        "percent_of_range": percent,
        "draws": metrics["posterior"]["test_set"]["n_samples"],
        "truncated": "test" in own,
        "figures": embedded_figures(folder, POSTERIOR | {"learning_curves": CAPTIONS["learning_curves"]}),
        "posterior": True,
    }


def transfer_section(content: dict | None, folder: Path) -> dict | None:
    """What the template shows of an estimator's error on further datasets; None where the study does not ask for it.

    Args:
        content: Contents of transfer.json.
        folder: Folder with the estimator's figures.
    """
    if content is None:
        return None
    rows = []
    for row in content["datasets"]:
        differs = ", ".join(f"{name} {_setting(value)}" for name, value in row["differs"].items())
        rows.append({**row, "differs": differs or "–", "percent": 50 * math.sqrt(row["mse_unit"])})
    names = list(content["datasets"][0]["parameters"])
    return {"names": names, "rows": rows, "figures": embedded_figures(folder, {"transfer": TRANSFER})}


def network_section(states: Path) -> dict:
    """What the template shows of a study's networks.

    Args:
        states: states.json; its figures are in the folder beside it.
    """
    content = json.loads(states.read_text(encoding="utf-8"))
    return content | {"names": STATES, "figures": embedded_figures(states.parent / "figures", NETWORK)}


def surrogate_section(metrics: Path) -> dict:
    """What the template shows of one surrogate.

    Args:
        metrics: Its metrics.json; its figures are in the folder beside it.
    """
    content = json.loads(metrics.read_text(encoding="utf-8"))
    return {
        "name": content["surrogate"],
        "metrics": content,
        "published": published_rows(content),
        "figures": embedded_figures(metrics.parent / "figures", SURROGATE),
    }


def objective_section(metrics: Path) -> dict:
    """What the template shows of one objective of a column; argument as of `surrogate_section`."""
    content = json.loads(metrics.read_text(encoding="utf-8"))
    return {
        "name": content["objective"],
        "metrics": content,
        "figures": embedded_figures(metrics.parent / "figures", OBJECTIVE),
    }


def round_rows(metrics: list[dict]) -> list[dict]:
    """The searches of all rounds, objective by objective; empty where there is one round alone."""
    if len({m["round"] for m in metrics}) < 2:
        return []
    names = list(dict.fromkeys(m["of"] for m in metrics))
    return sorted(metrics, key=lambda m: (names.index(m["of"]), m["round"]))


def _setting(value) -> str:
    """A setting as a person writes it: a range as "0.1 to 0.2"."""
    if isinstance(value, list) and len(value) == 2:
        return f"{exact(value[0])} to {exact(value[1])}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_setting(v)}" for name, v in value.items())
    return exact(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def dataset_row(dataset, path: Path) -> dict:
    """What the template shows of one dataset."""
    return {
        "name": path.stem,
        "n": dataset.n,
        "status_counts": dataset.status_counts,
        "seconds_core": dataset.seconds_core,
        "seconds_each": dataset.seconds_core / dataset.n if dataset.n else None,
        "provenance": dict(dataset.provenance),
    }


def provenance_rows(columns: dict[str, dict]) -> dict:
    """Provenance of several steps side by side.

    Args:
        columns: For each step its provenance, text by name.

    Returns:
        `columns`, the steps, and `rows`, (name, one text per step); a dash where a step does not state it.
    """
    names = dict.fromkeys(name for values in columns.values() for name in values)
    return {
        "columns": list(columns),
        "rows": [(name, [values.get(name, "–") for values in columns.values()]) for name in names],
    }


def signal_row(signal) -> dict:
    """What the template shows of one signal."""
    return {
        "name": signal.name,
        "unit": signal.unit,
        "start": float(signal.t0_ms),
        "stop": float(signal.t0_ms + signal.shape[0] * signal.dt_ms),
        "dt_ms": float(signal.dt_ms),
        "shape": " × ".join(number(int(n)) for n in signal.shape),
    }


def failures_sentence(n_failed: int, n: int, n_silent: int = 0) -> str:
    """How many simulations failed or are silent, and what became of them."""
    text = "No simulation failed."
    if n_failed:
        verb = "failed and is" if n_failed == 1 else "failed and are"
        text = f"{number(n_failed)} of {number(n)} simulations ({number(100 * n_failed / n, 2)} %) {verb} left out."
    if n_silent:
        verb = "it is" if n_silent == 1 else "they are"
        share = number(100 * n_silent / n, 2)
        text += f" In {number(n_silent)} of {number(n)} ({share} %) nothing spiked; {verb} left out too."
    return text
