"""check_posterior: whether a posterior can be believed, and what it says at the observation."""

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd

from neuroinverse.errors import NeuroinverseError
from neuroinverse.estimators.posterior import Posterior
from neuroinverse.estimators.probe import FeatureProbe
from neuroinverse.evaluation import learnt, posterior_checks, posterior_figures, posterior_observation, style
from neuroinverse.evaluation import metrics as measures
from neuroinverse.evaluation.calibration import LEVELS, warning_threshold
from neuroinverse.evaluation.conditionals import conditional_correlation, conditionals
from neuroinverse.evaluation.figures import learning_curves
from neuroinverse.files import atomic
from neuroinverse.joined import JoinedDatasets
from neuroinverse.observation import read_as, read_observation, signal_sha256, true_parameters
from neuroinverse.parameters import seed_sequence
from neuroinverse.progress import Progress
from neuroinverse.provenance import collect
from neuroinverse.shards import OK, Dataset
from neuroinverse.stages.posterior import summarise

# test observations and draws for each, and how many are in memory at a time
TESTED, DRAWS, BLOCK = 2000, 500, 100
# draws at the observation
SAMPLES = 10_000
# training simulations that the observation is compared with
COMPARED = 10_000
# simulations of each kind in the figure of predictive traces
SHOWN = 5


def run(
    spec: dict,
    models: list[Path],
    histories: list[Path],
    train_datasets: list[Path],
    test_dataset: Path,
    predictive_dataset: Path,
    observation: Path,
    samples: Path,
    metrics: Path,
    figures: Path,
) -> dict:
    """Checks a posterior on held-out simulations and at the observation.

    Args:
        spec: Specification of the step.
        models: The folds.
        histories: history.csv of every fold.
        train_datasets: What the folds were trained on.
        test_dataset: Simulations that no fold has seen, with parameters from the (truncated) prior.
        predictive_dataset: Simulations of draws from the posterior at the observation.
        observation: The dataset whose first simulation is the observation, or a recording.
        samples: Parquet file of draws at the observation: the parameters in physical units, and `gain_nats`, log
            density over that of the prior.
        metrics: metrics.json, written last.
        figures: Folder for the figures, one PNG per entry of `captions.POSTERIOR`.

    Returns:
        The contents of metrics.json.

    Raises:
        NeuroinverseError: If no test simulation has an answer, or a feature is undefined at the observation.
        ShardError: If a dataset is damaged.
    """
    posterior = Posterior(models)
    space, test = posterior.parameters, Dataset(test_dataset)
    train = JoinedDatasets([Dataset(path) for path in train_datasets])
    seed = int(seed_sequence(spec["master_seed"], f"{spec['study']}/{spec['estimator']}/check", 0).generate_state(1)[0])
    start = time.monotonic()
    held_out = _ask(posterior, test, seed)
    seconds = (time.monotonic() - start) / len(held_out["truth"])
    # log density of the prior over unit parameters
    prior = -len(space.names) * np.log(2)
    measured = posterior_checks.measure(
        space.names,
        held_out["truth"],
        held_out["samples"],
        held_out["gain_truth"] + prior,
        held_out["gain_samples"] + prior,
        seed,
    )
    observed = read_observation(observation, posterior.signal)
    answer = _answer(posterior, observed, seed)
    probe = FeatureProbe(posterior.signal, posterior.metadata[0]["features"])
    more, drawn = _predict(probe, observed, train, Dataset(predictive_dataset), posterior, answer)
    assessed = posterior_checks.assess(measured, more)
    truth = true_parameters(observation, space.names)
    result = _metrics(spec, posterior, assessed, held_out, train, test, answer, truth) | {
        "seconds": {
            "simulate_core": train.seconds_core + test.seconds_core,
            "train": float(np.mean([m["train_seconds"] for m in posterior.metadata])),
            "predict_per_trace": seconds,
        },
        "warning_threshold": warning_threshold(held_out["score"]),
        "observation_sha256": signal_sha256(observed[0]),
        "observation_read_as": read_as(observation, posterior.signal),
        "provenance": collect(spec),
    }
    points = {} if truth is None else {"truth": space.to_unit(truth)}
    _draw(Path(figures), space, measured, answer, points, probe, drawn, histories)
    table = pd.DataFrame(space.to_physical(answer["unit"]), columns=list(space.names))
    table["gain_nats"] = answer["gain"]
    with atomic(samples) as temporary:
        table.to_parquet(temporary, index=False)
    with atomic(metrics) as temporary:
        temporary.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return result


def _ask(posterior: Posterior, test: Dataset, seed: int) -> dict[str, np.ndarray]:
    """Posteriors of test simulations beside their true parameters.

    Returns:
        `index` (n,); `truth`, `mean` (n, K) and `samples` (n, S, K), unit parameters; `gain_truth` (n,), of each fold
        alone `gain_folds` (n, k), and `gain_samples` (n, S), nats over the prior; `score` (n,).
    """
    n, k, parts = min(test.n, TESTED), len(posterior.parameters.names), []
    progress, rng = Progress(n, "posteriors"), np.random.default_rng(seed)
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        usable = test.status(start, stop) == OK
        noise = rng.standard_normal((stop - start, DRAWS, k))[usable]
        if usable.any():
            signals = test.signal(posterior.signal["name"], start, stop)[usable]
            conditions = posterior.conditions(signals)
            truth = posterior.parameters.to_unit(test.theta(start, stop, posterior.parameters.names)[usable])
            samples = posterior.sample(conditions, noise)
            folds = posterior.gain_folds(truth[:, None], conditions)[:, :, 0]
            parts.append(
                {
                    "index": test.index(start, stop)[usable],
                    "truth": truth,
                    "mean": samples.mean(axis=1),
                    "samples": samples.astype(np.float32),
                    "gain_truth": np.logaddexp.reduce(folds, axis=0) - np.log(len(folds)),
                    "gain_folds": folds.T,
                    "gain_samples": posterior.gain(samples, conditions),
                    "score": posterior.score(signals),
                }
            )
        progress.add(stop - start)
    progress.close()
    if not parts:
        raise NeuroinverseError(f"{test.path}: every simulation failed; look at the logs of simulate_shard")
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _answer(posterior: Posterior, observed: np.ndarray, seed: int) -> dict:
    """The posterior at the observation: `conditions`; `unit`, draws (S, K), and their `gain` (S,); `mode` (K,)."""
    conditions = posterior.conditions(observed)
    if not all(np.isfinite(c).all() for c in conditions):
        raise NeuroinverseError(
            "a feature is undefined at the observation, so that no posterior can be asked about it; choose other "
            "statistics, or another observation"
        )
    rng = np.random.default_rng([seed, 1])
    unit = posterior.sample(conditions, rng.standard_normal((1, SAMPLES, len(posterior.parameters.names))))
    gain = posterior.gain(unit, conditions)[0]
    best = posterior.probit_density(unit, conditions)[0].argmax()
    mode, names = posterior.mode(conditions, unit[0, best]), posterior.parameters.names

    def density(parameters):
        return posterior.gain(parameters[None], conditions)[0]

    grids = conditionals(density, names, mode) | {"correlation": conditional_correlation(density, unit[0])}
    return {"conditions": conditions, "unit": unit[0], "gain": gain, "mode": mode, "grids": grids}


def _predict(probe, observed, train, predictive: Dataset, posterior: Posterior, answer: dict):
    """Results of the checks at the observation by name, and what their figure shows."""
    signal = posterior.signal["name"]
    usable = predictive.status(0, predictive.n) == OK
    traces = predictive.signal(signal, 0, predictive.n)[usable]
    theta = predictive.theta(0, predictive.n, posterior.parameters.names)[usable]
    density = posterior.probit_density(posterior.parameters.to_unit(theta)[None], answer["conditions"])[0]
    order = np.argsort(-density)
    simulated, own = probe(traces), probe(observed)[0]
    training = np.concatenate([probe(block) for block in _blocks(train, signal)])
    sd = np.nanstd(training, axis=0)
    results = {
        "predictive": posterior_observation.predictive(probe.names, own, simulated, sd),
        "misspecification": posterior_observation.misspecification(probe.names, training, own),
    }
    kinds = {
        "most probable draw": order[:1],
        "other draws": order[len(order) // 4 :: max(1, len(order) // 2 // SHOWN)][:SHOWN],
        "least probable draw": order[-1:],
    }
    features = posterior_figures.Features(
        probe.names, own, simulated, sd, {name: simulated[rows[0]] for name, rows in kinds.items() if len(rows) == 1}
    )
    shown = {name: traces[rows] for name, rows in kinds.items()}
    return results, {"observed": observed[0], "predicted": shown, "features": features}


def _blocks(train, signal: str):
    """Training signals in blocks, spread over the rounds."""
    step = max(1, train.n // COMPARED)
    for start in range(0, train.n, BLOCK * step):
        stop = min(start + BLOCK, train.n)
        usable = train.status(start, stop) == OK
        if usable.any():
            yield train.signal(signal, start, stop)[usable]


def _metrics(spec, posterior: Posterior, assessed, held_out, train, test, answer, truth) -> dict:
    space = posterior.parameters
    sd = held_out["samples"].std(axis=1, dtype=np.float64)
    predicted = measures.Predictions.from_units(
        space,
        held_out["index"],
        space.to_physical(held_out["truth"]),
        [held_out["mean"]],
        space.to_physical(held_out["mean"]),
        sd,
        sd,
    )
    coverage, gain = assessed["metrics"]["hpd_coverage"], assessed["metrics"]["log_prob"]
    return {
        "study": spec["study"],
        "scale": spec["scale"],
        "title": spec["title"],
        "estimator": spec["estimator"],
        "kind": "posterior",
        "n_train": train.n - train.n_failed - train.n_silent,
        "n_test": len(predicted),
        "n_failed": train.n_failed + test.n_failed,
        "n_silent": train.n_silent + test.n_silent,
        "folds": posterior.n_folds,
        "gain_nats": float(held_out["gain_truth"].mean()),
        "gain_nats_folds": held_out["gain_folds"].mean(axis=0).tolist(),
        "mse_unit": measures.mse(predicted.mean_unit, predicted.true_unit),
        "parameters": measures.parameter_errors(predicted),
        "learnt": learnt.of_posteriors(
            gain["gain_nats"], gain["standard_error"], assessed["metrics"]["contraction"]["parameters"]
        ),
        "coverage": {f"{level:g}": coverage["levels"][f"{level:g}"] for level in LEVELS},
        **{key: assessed[key] for key in ("verdict", "checks")},
        "posterior": assessed["metrics"],
        "observation": _summary(space, answer, truth),
        "published": dict(spec["published"]),
        "published_source": spec["published_source"],
    }


def _summary(space, answer: dict, truth: np.ndarray | None) -> dict:
    """By parameter what the posterior at the observation says: see `summarise`; `mode`, `truth` where it is known."""
    mode = space.to_physical(answer["mode"][None])[0]
    rows = summarise(space, answer["unit"])
    return {
        row.pop("parameter"): row | {"mode": float(mode[k]), "truth": None if truth is None else float(truth[k])}
        for k, row in enumerate(rows)
    }


def _draw(folder: Path, space, measured, answer: dict, points: dict, probe, drawn: dict, histories) -> None:
    """Writes every figure into a folder."""
    signal = probe.signal
    time_ms = signal["t0_ms"] + np.arange(signal["shape"][0]) * signal["dt_ms"]
    marked = points | {"mode": answer["mode"]}
    drawings = {
        "marginals": lambda: posterior_figures.marginals(space, {"posterior": answer["unit"]}, marked),
        "posterior_pairs": lambda: posterior_figures.pairs(space, answer["unit"], marked),
        "conditional_pairs": lambda: posterior_figures.conditional_pairs(space, answer["mode"], **answer["grids"]),
        "predictive": lambda: posterior_figures.predictive(
            time_ms, drawn["observed"], drawn["predicted"], signal["unit"], drawn["features"]
        ),
        "sbc": lambda: posterior_figures.sbc(measured),
        "posterior_coverage": lambda: posterior_figures.coverage(measured),
        "contraction": lambda: posterior_figures.contraction(measured),
        "learning_curves": lambda: learning_curves([pd.read_csv(path) for path in histories], "negative gain, nats"),
    }
    for name, draw in drawings.items():
        style.save(draw(), folder / f"{name}.png")
