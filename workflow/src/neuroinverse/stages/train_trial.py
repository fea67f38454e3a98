"""train_trial: trains one network of a search, and writes how it went, whatever that is."""

import json
import math
import sys
from pathlib import Path

import numpy as np

from neuroinverse.errors import DivergedError
from neuroinverse.estimators import architecture
from neuroinverse.features import feature_shape
from neuroinverse.files import atomic
from neuroinverse.provenance import collect
from neuroinverse.shards import Dataset
from neuroinverse.stages.train_fold import train


def run(
    spec: dict,
    dataset: Path,
    output: Path,
    history: Path,
    ranking: Path | None = None,
    threads: int = 1,
    gpus: int = 0,
    memory_mb: float = 2000,
) -> dict:
    """Trains a trial, a finalist or a repeat, or goes on with it after a kill.

    A design that cannot be trained is a result of the search: its status says so. What concerns every trial, such as a
    damaged dataset, is an error.

    Args:
        spec: Specification of the training: a trial's holds its design; that of a finalist or a repeat its `rank` in
            `ranking`.
        dataset: The training dataset.
        output: JSON to write: status (ok, diverged, failed, none), mse_unit over the held-out fold with the weights of
            the best epoch, loss, and what the network is.
        history: CSV of the epochs.
        ranking: ranking.json of the first tier, for a finalist; finalists.json of the second, for a repeat.
        threads: CPU threads.
        gpus: GPUs; 0 is the CPU.
        memory_mb: Memory for signals (MB).

    Returns:
        What is written to `output`.
    """
    from neuroinverse.estimators.training import write_history

    well = [] if ranking is None else _well(ranking)
    if ranking is not None and len(well) < spec["rank"]:
        tier = "finalists" if "repeat" in spec else "trials of the first tier"
        reason = f"only {len(well)} {tier} can go on"
        result = {"status": "none", "message": reason, **_place(spec), "provenance": collect(spec)}
        write_history([], history)
    else:
        found = spec if ranking is None else _with_design(spec, well[spec["rank"] - 1])
        result = _train(found, spec, Dataset(dataset), output.parent, history, (threads, gpus, memory_mb))
    with atomic(output) as temporary:
        temporary.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return result


def _well(ranking: Path) -> list[dict]:
    """The rows of a ranking that went well, the best first."""
    rows = json.loads(Path(ranking).read_text(encoding="utf-8"))["rows"]
    return [row for row in rows if row["status"] == "ok"]


def _with_design(spec: dict, row: dict) -> dict:
    """The specification of a finalist or a repeat with the design of a row; a finalist holds out its trial's fold."""
    return (
        {"fold": row["trial"] % spec["folds"]}
        | spec
        | {
            "hyperparameters": row["hyperparameters"] | {"epochs": spec["epochs"]},
            "trial": row["trial"],
        }
    )


def _place(spec: dict) -> dict:
    """Rank of a finalist; rank and number of a repeat."""
    return {key: spec[key] for key in ("rank", "repeat") if key in spec}


def _stream(found: dict) -> tuple[str, int]:
    """What the random numbers of a training are for, and its index there."""
    if "repeat" in found:
        return f"train_trial/design-{found['rank']}", found["repeat"]
    return "train_trial", found["trial"]


def _train(found: dict, spec: dict, data: Dataset, folder: Path, history: Path, machine: tuple) -> dict:
    import tensorflow as tf

    from neuroinverse.estimators.training import Checkpoint, write_history

    h, shape = found["hyperparameters"], feature_shape(found["features"], data.signals[found["signal"]])
    n_outputs = len(found["parameters"])
    result = {
        "trial": found["trial"],
        **_place(spec),
        "fold": found["fold"],
        "folds": found["folds"],
        "n": found["n"],
        "hyperparameters": h,
        "weights": architecture.weights(*shape, h, n_outputs),
        "flat_size": architecture.layer_shapes(*shape, h)[-1][1][0],
        "layers": architecture.layers(h),
        "multiply_adds": architecture.multiply_adds(*shape, h, n_outputs),
    }
    try:
        done = train(found, [data.path], folder, _stream(found), history, None, *machine)
    except DivergedError as error:
        write_history(error.state.history, history)
        result |= {"status": "diverged", "message": str(error), **_course(error.state, h)}
    except (MemoryError, tf.errors.ResourceExhaustedError, tf.errors.InternalError) as error:
        # a design too large for the machine; GPUs without memory give internal errors too
        print(f"failed: {error}", file=sys.stderr)
        Checkpoint(folder / "checkpoint", found).remove()
        write_history([], history)
        result |= {"status": "failed", "message": str(error).partition("\n")[0] or type(error).__name__}
    else:
        rmse = done.metadata["validation_rmse_unit"]
        mse, finite = float(np.mean(np.square(rmse))), _all_finite(done.state)
        ok = finite and math.isfinite(mse)
        result |= {
            "status": "ok" if ok else "diverged",
            "message": "" if ok else f"the loss is not finite after epoch {done.state.epoch}",
            "mse_unit": mse if math.isfinite(mse) else None,
            "n_train": done.metadata["n_train"],
            "n_validation": done.metadata["n_validation"],
            **_course(done.state, h),
        }
    return result | {"provenance": collect(spec)}


def _course(state, h: dict) -> dict:
    """What a training's state tells of it."""
    return {
        "loss": state.best_loss if math.isfinite(state.best_loss) else None,
        "early_stopped": bool(state.stopped and state.epoch < h["epochs"] and _all_finite(state)),
        "epochs": state.epoch,
        "best_epoch": state.best_epoch,
        "fit_minutes": round(state.seconds / 60, 4),
    }


def _all_finite(state) -> bool:
    losses = (row[key] for row in state.history for key in ("loss", "val_loss") if row[key] != "")
    return all(math.isfinite(loss) for loss in losses)
