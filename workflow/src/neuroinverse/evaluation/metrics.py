"""Errors of an estimator on a test set, in physical units and in unit parameters."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroinverse.errors import NeuroinverseError
from neuroinverse.parameters import ParameterSpace

PREDICT_SECONDS_KEY = b"predict_seconds_per_trace"


@dataclass(frozen=True)
class Predictions:
    """The test simulations that an ensemble gave a finite answer for.

    Args:
        space: The parameters, in the order of the columns of every array here.
        index: Index of each simulation, int64, shape (n,).
        true: True parameters, physical units, shape (n, n_parameters).
        mean: Ensemble mean, physical units, shape (n, n_parameters).
        true_unit: True parameters, unit space, shape (n, n_parameters).
        mean_unit: Ensemble mean, unit space, shape (n, n_parameters).
        sd_unit: Standard deviation over folds, unit space, shape (n, n_parameters).
        error_unit: The ensemble's stated error (one standard deviation), unit space, shape (n, n_parameters).
        out_of_range: Largest |unit parameter| of the ensemble mean, shape (n,); above 1 is outside of the prior.
        mse_unit_folds: Mean squared error of each fold over the same simulations, unit space.
        n_unpredicted: Rows left out because the truth or a prediction is not finite.
        seconds_per_trace: Time that a prediction took (s), or None where it was not measured.
        score: How unlike the training traces each trace is, shape (n,), or None.
    """

    space: ParameterSpace
    index: np.ndarray
    true: np.ndarray
    mean: np.ndarray
    true_unit: np.ndarray
    mean_unit: np.ndarray
    sd_unit: np.ndarray
    error_unit: np.ndarray
    out_of_range: np.ndarray
    mse_unit_folds: tuple[float, ...]
    n_unpredicted: int = 0
    seconds_per_trace: float | None = None
    score: np.ndarray | None = None

    @classmethod
    def from_units(
        cls,
        space: ParameterSpace,
        index: np.ndarray,
        true: np.ndarray,
        folds: Iterable[np.ndarray],
        mean: np.ndarray,
        sd_unit: np.ndarray,
        error_unit: np.ndarray,
        seconds_per_trace: float | None = None,
        score: np.ndarray | None = None,
    ) -> "Predictions":
        """Makes predictions of an ensemble's answers, of which rows that are not finite are left out.

        Args:
            space: The parameters.
            index: Index of each simulation, shape (n,).
            true: True parameters, physical units, shape (n, n_parameters).
            folds: Unit parameters of every fold, shape (n, n_parameters) each.
            mean: Ensemble mean, physical units, shape (n, n_parameters).
            sd_unit: Standard deviation over folds, unit space, shape (n, n_parameters).
            error_unit: Stated error, unit space, shape (n, n_parameters).
            seconds_per_trace: Time that a prediction took (s).
            score: How unlike the training traces each trace is, shape (n,).

        Raises:
            ValueError: If no row is finite.
        """
        finite = np.isfinite(true).all(axis=1) & np.isfinite(mean).all(axis=1)
        if not finite.any():
            raise ValueError(f"none of the {len(finite)} predictions is a finite number")
        true_unit, mean_unit = space.to_unit(true[finite]), space.to_unit(mean[finite])
        return cls(
            space=space,
            index=index[finite],
            true=true[finite],
            mean=mean[finite],
            true_unit=true_unit,
            mean_unit=mean_unit,
            sd_unit=sd_unit[finite],
            error_unit=error_unit[finite],
            out_of_range=np.abs(mean_unit).max(axis=1),
            mse_unit_folds=tuple(mse(fold[finite], true_unit) for fold in folds),
            n_unpredicted=int((~finite).sum()),
            seconds_per_trace=seconds_per_trace,
            score=None if score is None else score[finite],
        )

    @property
    def residual_unit(self) -> np.ndarray:
        """Ensemble mean minus truth, unit space, shape (n, n_parameters)."""
        return self.mean_unit - self.true_unit

    @property
    def distance_unit(self) -> np.ndarray:
        """|residual| as intervals see it, which end where the range ends: infinite where the truth lies beyond it."""
        beyond = np.abs(self.true_unit) > 1 + 1e-9
        return np.where(beyond, np.inf, np.abs(self.residual_unit))

    @property
    def n_folds(self) -> int:
        return len(self.mse_unit_folds)

    def __len__(self) -> int:
        return len(self.index)


def read_predictions(path: Path | str, space: ParameterSpace) -> Predictions:
    """Reads predictions.parquet.

    Args:
        path: The file, with the columns that the ensemble stage writes.
        space: The parameters of the study.

    Raises:
        NeuroinverseError: If a column is missing, folds differ between parameters, or no row is finite.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    names = space.names
    folds = fold_numbers(table.column_names, names)
    wanted = ["index", "score"]
    wanted += [f"{name}_{part}" for name in names for part in ("true", "mean", "sd", "error")]
    missing = sorted(set(wanted) - set(table.column_names))
    if missing or not folds:
        raise NeuroinverseError(
            f"{path}: expected predictions of {', '.join(names)}; "
            f"missing: {', '.join(missing) or 'the folds'}. Delete the file and run the workflow again"
        )

    def columns(part):
        return np.column_stack([table[f"{name}_{part}"].to_numpy() for name in names]).astype(np.float64)

    seconds = (pq.read_metadata(path).metadata or {}).get(PREDICT_SECONDS_KEY)
    try:
        return Predictions.from_units(
            space,
            table["index"].to_numpy(),
            columns("true"),
            # one fold at a time: all of them at once would be the largest array of the whole stage
            (space.to_unit(columns(f"fold{fold}")) for fold in folds),
            columns("mean"),
            columns("sd"),
            columns("error"),
            None if seconds is None else float(seconds),
            table["score"].to_numpy(),
        )
    except ValueError as error:
        raise NeuroinverseError(
            f"{path}: {error}. See the logs of the simulations and of the training: every test simulation failed, or "
            "the training diverged"
        ) from error


def fold_numbers(columns: Sequence[str], names: Sequence[str]) -> list[int]:
    """Finds the folds that every parameter has a column of.

    Args:
        columns: Names of the columns of predictions.parquet.
        names: Names of the parameters.

    Raises:
        NeuroinverseError: If two parameters have different folds.
    """
    found = [
        sorted(int(match[1]) for match in (re.fullmatch(rf"{re.escape(name)}_fold(\d+)", c) for c in columns) if match)
        for name in names
    ]
    if any(folds != found[0] for folds in found):
        raise NeuroinverseError("predictions: the parameters have different folds. Run the ensemble step again")
    return found[0]


def mse(predicted, true) -> float:
    """Mean squared error over all elements of two arrays of the same shape."""
    return float(np.mean((np.asarray(predicted) - np.asarray(true)) ** 2))


def parameter_errors(predictions: Predictions) -> dict[str, dict]:
    """Errors of each parameter.

    `mae`, `rmse` and `bias` (predicted minus true) are in the parameter's unit, the `_unit` ones in unit space.
    `r2`, the coefficient of determination, is taken in unit space, which is the logarithm for parameters on a log
    scale; it is None where the truth does not vary. `error_percent_of_range` is the unit rmse in percent of the
    width of the prior.

    Returns:
        One dictionary per parameter, by its name.
    """
    physical = predictions.mean - predictions.true
    unit = predictions.residual_unit
    variance = predictions.true_unit.var(axis=0)
    errors = {}
    for k, parameter in enumerate(predictions.space.parameters):
        mean_square = float(np.mean(unit[:, k] ** 2))
        errors[parameter.name] = {
            "unit": parameter.unit,
            "mae": float(np.mean(np.abs(physical[:, k]))),
            "rmse": float(np.sqrt(np.mean(physical[:, k] ** 2))),
            "bias": float(np.mean(physical[:, k])),
            "mae_unit": float(np.mean(np.abs(unit[:, k]))),
            "rmse_unit": float(np.sqrt(mean_square)),
            "r2": 1 - mean_square / float(variance[k]) if variance[k] > 0 else None,
            "error_percent_of_range": 100 * float(np.sqrt(mean_square)) / 2,
        }
    return errors


def residual_correlation(residual) -> np.ndarray:
    """Pearson correlation of the errors of different parameters.

    Large entries name parameters that compensate each other in the signal.

    Args:
        residual: Errors, shape (n, n_parameters).

    Returns:
        Symmetric matrix with a diagonal of 1, shape (n_parameters, n_parameters); NaN where an error is constant.
    """
    residual = np.asarray(residual, dtype=np.float64)
    if len(residual) < 2:
        return np.full((residual.shape[1],) * 2, np.nan)
    centred = residual - residual.mean(axis=0)
    norm = np.sqrt((centred**2).sum(axis=0))
    norm[norm == 0] = np.nan
    matrix = (centred / norm).T @ (centred / norm)
    return np.clip(matrix, -1, 1)


def binned_mean(values, by, edges) -> np.ndarray:
    """Mean of values in bins of another quantity; NaN for an empty bin.

    Args:
        values: What is averaged, shape (n,) or (n, m).
        by: What is binned, shape (n,).
        edges: Increasing edges of the bins, shape (n_bins + 1,); the last bin includes its upper edge and what lies
            outside of all bins is left out.

    Returns:
        Means, shape (n_bins,) or (n_bins, m).
    """
    values, by, edges = np.asarray(values, dtype=np.float64), np.asarray(by), np.asarray(edges)
    flat = values.reshape(len(values), -1)
    number = np.where(by == edges[-1], len(edges) - 2, np.searchsorted(edges, by, side="right") - 1)
    inside = (number >= 0) & (number < len(edges) - 1)
    count = np.bincount(number[inside], minlength=len(edges) - 1)
    total = np.column_stack(
        [np.bincount(number[inside], weights=column[inside], minlength=len(edges) - 1) for column in flat.T]
    )
    means = total / np.where(count == 0, np.nan, count)[:, None]
    return means.reshape((len(edges) - 1, *values.shape[1:]))


def example_rows(predictions: Predictions, count: int = 5) -> np.ndarray:
    """Rows that show the whole range of quality: evenly spaced from the 5th to the 95th percentile of the error.

    Returns:
        Row numbers, from the best to the worst, shape (min(count, n),).
    """
    rank = np.argsort(np.mean(predictions.residual_unit**2, axis=1), kind="stable")
    places = np.linspace(0.05, 0.95, min(count, len(rank))) * (len(rank) - 1)
    return rank[np.unique(np.round(places).astype(int))]
