"""Whether an estimator has learnt anything: whether its answers are nearer to the truth than the prior alone is."""

from collections.abc import Mapping, Sequence

import numpy as np

from neuroinverse.evaluation.posterior_checks import ROUNDING

# resamples of the test set, and the share of them that an interval holds
RESAMPLES, LEVEL = 400, 0.95
# a posterior that lacks no more of the prior's variance is the prior
LEAST = 0.02


def of_answers(residual, true, names: Sequence[str]) -> dict:
    """What a regressor has learnt: its squared error over that of whoever always answers the middle of the prior.

    A parameter counts as learnt where the 95 % interval of that ratio, of a bootstrap over test simulations (Efron
    1979), lies below 1.

    Args:
        residual: Answer minus truth, unit parameters, shape (n, n_parameters).
        true: The truth, unit parameters, alike.
        names: The parameters.

    Returns:
        `overall` and, in `parameters`, by name: `ratio`, `low`, `high`, `learnt`.
    """
    squares = np.stack([np.square(residual), np.square(true)], axis=-1)
    # the last column is all parameters together
    squares = np.concatenate([squares, squares.mean(axis=1, keepdims=True)], axis=1)
    n, rng = len(squares), np.random.default_rng(0)
    counts = (np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(RESAMPLES))
    sums = np.stack([np.tensordot(count, squares, 1) for count in counts])
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(_ratio(sums), (tail, 1 - tail), axis=0)
    rows = [
        {"ratio": float(r), "low": float(a), "high": float(b), "learnt": bool(b < 1)}
        for r, a, b in zip(_ratio(squares.sum(axis=0)), low, high, strict=True)
    ]
    return {"overall": rows[-1], "parameters": dict(zip(names, rows, strict=False))}


def _ratio(sums) -> np.ndarray:
    # where the truth is the middle of the prior nothing is nearer
    return sums[..., 0] / np.maximum(sums[..., 1], np.finfo(float).tiny)


def of_posteriors(gain: float | None, error: float | None, contraction: Mapping[str, Mapping]) -> dict:
    """What a posterior has learnt: density of the truth over that of the prior, and variance below the prior's.

    Args:
        gain: Mean log density of the truth over that of the prior (nats); None where one has no density.
        error: Its standard error.
        contraction: By parameter `contraction`, the share of the prior's variance that posteriors lack.

    Returns:
        As `of_answers`: overall `gain_nats`, `learnt`; of the parameters `contraction`, `learnt`.
    """
    sure = gain is not None and gain > 2 * (error or 0) + ROUNDING
    shares = {name: row["contraction"] for name, row in contraction.items()}
    rows = {name: {"contraction": share, "learnt": share > LEAST} for name, share in shares.items()}
    return {"overall": {"gain_nats": gain, "learnt": bool(sure)}, "parameters": rows}


def nothing(metrics: Mapping) -> str:
    """In words what an estimator has not learnt; empty where that is nothing, or the metrics do not say.

    Args:
        metrics: Contents of metrics.json.
    """
    learnt, n = metrics.get("learnt"), metrics.get("n_test")
    if not learnt:
        return ""
    is_posterior = metrics.get("kind") == "posterior"
    if not learnt["overall"]["learnt"]:
        if is_posterior:
            return f"Has learnt nothing: over {n} test simulations the truth is no more probable than under the prior."
        return (
            f"Has learnt nothing: over {n} test simulations it does not measurably err less than who always answers "
            f"the middle of the prior (squared error over that one's: {_range(learnt['overall'])})."
        )
    missing = [name for name, row in learnt["parameters"].items() if not row["learnt"]]
    if not missing:
        return ""
    if is_posterior:
        return f"Has learnt nothing of {', '.join(missing)}: its posterior is as wide as the prior."
    listed = ", ".join(f"{name} ({_range(learnt['parameters'][name])})" for name in missing)
    return (
        f"Has learnt nothing of {listed}: it does not measurably err less than who always answers the middle of the "
        "prior; in brackets its squared error over that one's."
    )


def _range(row: Mapping) -> str:
    return f"{row['ratio']:.2f}, 95 % interval {row['low']:.2f} to {row['high']:.2f}"
