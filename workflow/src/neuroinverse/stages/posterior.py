"""posterior: draws from the posterior of traces of the user's."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from neuroinverse.errors import ConfigError
from neuroinverse.estimators.modelfile import model_files
from neuroinverse.estimators.posterior import Posterior
from neuroinverse.evaluation import posterior_figures, style
from neuroinverse.evaluation.learnt import nothing
from neuroinverse.files import atomic
from neuroinverse.observation import signal_sha256
from neuroinverse.traces import read_recording


def run(
    model: Path,
    input: Path,
    output: Path,
    samples: int = 10_000,
    summary: Path | None = None,
    figure: Path | None = None,
    dt_ms: float | None = None,
    start_ms: float | None = None,
    dataset: str | None = None,
    seed: int = 0,
    unit: str | None = None,
    scale: float = 1.0,
) -> pd.DataFrame:
    """Draws from the posteriors of recorded traces.

    Args:
        model: A posterior's folder, with fold-*/model.keras and metrics.json.
        input: Traces, as for `predict`.
        output: Parquet to write: trace, the parameters in physical units, gain_nats (log density over that of
            the prior).
        samples: Draws per trace.
        summary: CSV to write; standard output when None.
        figure: PNG to write, all pairs of parameters of the first trace.
        dt_ms, start_ms, dataset, unit, scale: As for `predict`.
        seed: Seed of the draws.

    Returns:
        The summary, one row per trace and parameter: trace, parameter, unit, mean, sd, q05, median, q95,
        sd_over_prior_sd, score, warning, read_as.

    Raises:
        ConfigError: If the input cannot be read, does not cover what the posterior takes, or a feature is undefined in
            every trace.
    """
    if samples < 2:
        raise ConfigError(f"--samples: {samples}; expected two or more")
    posterior = Posterior(model_files(model, "posterior"))
    recording = read_recording(input, posterior.signal, dt_ms, start_ms, dataset, unit, scale)
    print(f"{input}: {recording.words}", file=sys.stderr)
    names, signals = recording.names, recording.values
    if posterior.truncated:
        _require_observation(model, names, signals)
    threshold, score = _threshold(model), posterior.score(signals)
    conditions = posterior.conditions(signals)
    space, rows, draws = posterior.parameters, [], []
    for i, name in enumerate(names):
        own = [c[i : i + 1] for c in conditions]
        noise = np.random.default_rng([seed, i]).standard_normal((1, samples, len(space.names)))
        drawn = posterior.sample(own, noise)
        if not all(np.isfinite(x).all() for x in (drawn, *own)):
            print(f"{input}: a feature of trace {name} is undefined or far out; it has no posterior", file=sys.stderr)
            continue
        physical = space.to_physical(drawn[0])
        draws.append(pd.DataFrame({"trace": name, **dict(zip(space.names, physical.T, strict=True))}))
        draws[-1]["gain_nats"] = posterior.gain(drawn, own)[0]
        warned = bool(score[i] > threshold)
        said = {"score": score[i], "warning": warned, "read_as": recording.words}
        rows += [{"trace": name, **row, **said} for row in summarise(space, drawn[0])]
        if figure is not None and len(draws) == 1:
            style.save(posterior_figures.pairs(space, drawn[0]), figure)
        if warned:
            print(
                f"trace {name} is unlike the training traces (score {score[i]:.3g}; 1 % of simulations are above "
                f"{threshold:.3g}): do not trust its posterior",
                file=sys.stderr,
            )
    if not draws:
        raise ConfigError(f"{input}: a feature is undefined in every trace, so that none has a posterior")
    with atomic(output) as temporary:
        pd.concat(draws, ignore_index=True).to_parquet(temporary, index=False)
    table = pd.DataFrame(rows)
    if summary is None:
        table.to_csv(sys.stdout, index=False, float_format="%.6g")
    else:
        with atomic(summary) as temporary:
            table.to_csv(temporary, index=False)
    return table


def summarise(space, unit: np.ndarray) -> list[dict]:
    """What draws of a posterior say of each parameter, in its unit.

    Args:
        space: The K parameters.
        unit: Draws, unit parameters, shape (S, K).

    Returns:
        For each parameter `parameter`, `unit`, `mean`, `sd`, `q05`, `median`, `q95`, and `sd_over_prior_sd`, of unit
        parameters: 1 where the prior stays as it is.
    """
    physical = space.to_physical(unit)
    ends = np.quantile(physical, (0.05, 0.5, 0.95), axis=0)
    return [
        {
            "parameter": p.name,
            "unit": p.unit,
            "mean": float(physical[:, k].mean()),
            "sd": float(physical[:, k].std()),
            **{key: float(ends[row, k]) for row, key in enumerate(("q05", "median", "q95"))},
            "sd_over_prior_sd": float(unit[:, k].std() * np.sqrt(3)),
        }
        for k, p in enumerate(space.parameters)
    ]


def _require_observation(model: Path, names: list[str], signals: np.ndarray) -> None:
    """Refuses to ask a posterior of several rounds about anything but the observation that they led to.

    Raises:
        ConfigError: If a trace is another, or the folder does not tell which it was.
    """
    file = model / "metrics.json"
    made_for = json.loads(file.read_text()).get("observation_sha256") if file.is_file() else None
    others = [name for name, signal in zip(names, signals, strict=True) if signal_sha256(signal) != made_for]
    if others:
        first = model.name.rpartition("_round_")[0] or model.name
        raise ConfigError(
            f"{model}: is a posterior of a further round, trained near what the one before said of its own "
            f"observation, and not for trace {', '.join(others[:3])}"
            + ("" if made_for else " (its metrics.json does not say which observation: make it again with Snakemake)")
            + f"; ask the first round, {model.with_name(first)}, or make a study whose observation this is"
        )


def _threshold(model: Path) -> float:
    """Score above which a trace is warned of; infinite, and said, where the folder does not tell.

    What the posterior has not learnt is said, too.
    """
    file = model / "metrics.json"
    if not file.is_file():
        print(f"{model}: no metrics.json there, so that no trace is warned of", file=sys.stderr)
        return np.inf
    metrics = json.loads(file.read_text())
    missing = nothing(metrics)
    if missing:
        print(f"{model}: {missing}", file=sys.stderr)
    return metrics["warning_threshold"]
