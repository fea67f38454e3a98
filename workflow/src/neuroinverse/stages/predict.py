"""predict: the parameters behind traces of the user's."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from neuroinverse.errors import ConfigError
from neuroinverse.estimators.ensemble import Ensemble
from neuroinverse.estimators.modelfile import model_files
from neuroinverse.evaluation.calibration import ErrorModel
from neuroinverse.evaluation.learnt import nothing
from neuroinverse.files import atomic
from neuroinverse.traces import read_recording


def run(
    model: Path,
    input: Path,
    output: Path | None = None,
    dt_ms: float | None = None,
    start_ms: float | None = None,
    dataset: str | None = None,
    level: float = 0.9,
    unit: str | None = None,
    scale: float = 1.0,
) -> pd.DataFrame:
    """Infers parameters, with errors, of recorded traces.

    Args:
        model: An estimator's folder (with fold-*/model.keras) or one .keras file.
        input: Traces, as `traces.read_recording` takes them: .csv (one column per trace, and one of time), .npy of
            shape (time,) or (n, time), or .h5 (one of this project's, or with `dataset`). Where the signal has
            channels, a trace is as many consecutive columns of a .csv, and arrays have the shape (time, channel) or
            (n, time, channel).
        output: CSV to write; standard output when None.
        dt_ms: Sampling interval of the input (ms), where the file does not say it; that of the training when None.
        start_ms: Time in the protocol (ms) of the input's first sample; what the file says, or 0, when None.
        dataset: Path of the array in an .h5 file of another origin.
        unit: Unit of the values, where the file does not say it; that of the training when None.
        scale: What the values are multiplied by to be in that unit.
        level: How often the truth lies between low and high, 0.01 to 0.99 in steps of 0.01.

    Returns:
        One row per trace and parameter: trace, parameter, unit, value, low, high, level, error_unit (one stated
        standard deviation), spread_unit, out_of_range, score (how unlike the training traces the trace is), warning
        (whether that is more than 99 % of the simulations of the prior have), read_as (what the input was taken for).

    Raises:
        ConfigError: If the input cannot be read, or does not cover what the estimator was trained on, or there is no
            interval of the level.
    """
    ensemble = Ensemble(model_files(model, "regressor"))
    errors = _error_model(model, level)
    recording = read_recording(input, ensemble.signal, dt_ms, start_ms, dataset, unit, scale)
    print(f"{input}: {recording.words}", file=sys.stderr)
    names, predictions = recording.names, ensemble.predict(recording.values)
    space = ensemble.parameters
    errors = errors or ErrorModel.nothing(len(space.parameters))
    error = errors.error(predictions.sd)
    warned = errors.warns(predictions.score)
    value = space.to_physical(predictions.mean)
    low, high = errors.interval(space, predictions.mean, predictions.sd, level)
    rows = [
        {
            "trace": name,
            "parameter": p.name,
            "unit": p.unit,
            "value": value[i, k],
            "low": low[i, k],
            "high": high[i, k],
            "level": level,
            "error_unit": error[i, k],
            "spread_unit": predictions.sd[i, k],
            "out_of_range": predictions.out_of_range[i],
            "score": predictions.score[i],
            "warning": bool(warned[i]),
            "read_as": recording.words,
        }
        for i, name in enumerate(names)
        for k, p in enumerate(space.parameters)
    ]
    table = pd.DataFrame(rows)
    if output is None:
        table.to_csv(sys.stdout, index=False, float_format="%.6g")
    else:
        with atomic(output) as temporary:
            table.to_csv(temporary, index=False)
    missing = nothing(json.loads((model / "metrics.json").read_text())) if (model / "metrics.json").is_file() else ""
    if missing:
        print(f"{model}: {missing}", file=sys.stderr)
    if warned.any():
        print(
            f"{int(warned.sum())} of {len(names)} traces are unlike the training traces (score above "
            f"{errors.threshold:.3g}, as 1 % of simulations are): do not trust their parameters nor their intervals",
            file=sys.stderr,
        )
    outside = int((predictions.out_of_range > 1).sum())
    if outside:
        print(
            f"{outside} of {len(names)} traces give parameters outside the training range: do not trust them. "
            "Their value is the network's"
            + (", and their intervals end where the range ends" if np.isfinite(low).all() else ""),
            file=sys.stderr,
        )
    return table


def _error_model(model: Path, level: float) -> ErrorModel | None:
    """The calibration beside the folds; None, as for a single file, means no errors, and that is said."""
    file = model / "calibration.json"
    if not file.is_file():
        print(
            f"{model}: no calibration.json there, so values have no errors and no warning. Give an estimator's folder",
            file=sys.stderr,
        )
        return None
    errors = ErrorModel.read(file)
    try:
        widths = errors.half_widths(level)
    except ValueError as error:
        raise ConfigError(f"--level: {error}") from error
    if np.isinf(widths).any():
        raise ConfigError(
            f"--level: {errors.n} calibration simulations support levels up to {errors.highest_level:g}, "
            f"not {level:g}. Ask for a lower level, or enlarge the calibration dataset"
        )
    return errors
