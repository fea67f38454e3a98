"""Training epoch by epoch: early stopping, learning-rate reduction, history, and resumption after a kill."""

import csv
import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from neuroinverse.errors import DivergedError
from neuroinverse.files import atomic
from neuroinverse.progress import Progress
from neuroinverse.provenance import digest

HISTORY_COLUMNS = ("epoch", "seconds", "learning_rate", "loss", "val_loss")


@dataclass
class TrainingState:
    """Where a training stands after its last whole epoch."""

    spec_sha256: str
    epoch: int = 0
    seconds: float = 0.0
    learning_rate: float = 0.0
    best_loss: float = math.inf
    best_epoch: int = 0
    since_reduction: int = 0
    stopped: bool = False
    history: list[dict] = field(default_factory=list)
    generators: list[list[int]] = field(default_factory=list)


class Checkpoint:
    """The state and weights of a training in a folder of its own.

    Two slots are written in turn and the state file is replaced last, so that a kill at any moment leaves a whole one.

    Args:
        folder: Where it is kept; removed when the training is done.
        spec: Specification of the training: a checkpoint of another one is discarded.
    """

    def __init__(self, folder: Path, spec: dict):
        self.folder, self.sum = Path(folder), digest(spec)

    @property
    def best(self) -> Path:
        """Weights of the best epoch so far."""
        return self.folder / "best.weights.h5"

    def _slot(self, epoch: int) -> Path:
        return self.folder / f"slot{epoch % 2}.weights.h5"

    def load(self, model, learning_rate: float) -> TrainingState:
        """Restores the model, its optimiser and the state of the last whole epoch; a fresh state if there is none."""
        file = self.folder / "state.json"
        state = TrainingState(**json.loads(file.read_text())) if file.is_file() else None
        generators = _generators(model)
        # what was begun without the states of its generators cannot be gone on with to the same end
        if state is None or state.spec_sha256 != self.sum or len(state.generators) != len(generators):
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            return TrainingState(self.sum, learning_rate=learning_rate)
        # the optimiser has its slots only once it is built
        model.optimizer.build(model.trainable_variables)
        model.load_weights(self._slot(state.epoch))
        for variable, value in zip(generators, state.generators, strict=True):
            variable.assign(value)
        model.optimizer.learning_rate = state.learning_rate
        return state

    def save(self, model, state: TrainingState, is_best: bool) -> None:
        """Keeps the model as it is after `state.epoch`."""
        state.generators = [np.asarray(variable).tolist() for variable in _generators(model)]
        with atomic(self._slot(state.epoch)) as temporary:
            model.save_weights(temporary, overwrite=True)
        if is_best:
            with atomic(self.best) as temporary:
                shutil.copy(self._slot(state.epoch), temporary)
        with atomic(self.folder / "state.json") as temporary:
            temporary.write_text(json.dumps(asdict(state)))

    def remove(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _generators(model) -> list:
    """States of the random generators of dropout and noise, which Keras does not save with the weights."""
    return [variable for variable in model.variables if variable.name == "seed_generator_state"]


def learning_rate(h: dict, epoch: int, state: TrainingState) -> float:
    """Learning rate of an epoch (0-based): a half cosine to zero, or what plateaus have left of it."""
    if h["lrSchedule"] == "cosine":
        return h["learning_rate"] * 0.5 * (1 + math.cos(math.pi * epoch / h["epochs"]))
    return state.learning_rate


def fit(
    model, data, h: dict, checkpoint: Checkpoint, after_epoch: Callable[[int], None] = lambda epoch: None
) -> TrainingState:
    """Trains to the end, from the last whole epoch of an earlier try if there is one; the model has the best weights.

    Args:
        model: Compiled Keras model.
        data: `FoldData`.
        h: Complete hyper-parameters.
        checkpoint: Where the training is kept.
        after_epoch: Called with the number of epochs done, for tests that interrupt.

    Returns:
        The final state.

    Raises:
        DivergedError: If the loss was never finite.
    """
    state = checkpoint.load(model, h["learning_rate"])
    if state.epoch:
        print(f"resumes after epoch {state.epoch}", flush=True)
    progress = Progress(h["epochs"], "epochs")
    progress.add(state.epoch)
    while state.epoch < h["epochs"] and not state.stopped:
        start = time.monotonic()
        rate = learning_rate(h, state.epoch, state)
        model.optimizer.learning_rate = rate
        try:
            batches = data.training(state.epoch, h["batch_size"], h.get("augment", {}).get("shift", 0))
            logs = model.fit(batches, shuffle=False, verbose=0).history
            loss = logs["loss"][-1]
            validation = model.evaluate(data.validation(), verbose=0) if data.n_validation else None
        except Exception:
            if data.error is not None:
                raise data.error from None
            raise
        state.epoch += 1
        state.seconds += time.monotonic() - start
        watched = loss if validation is None else validation
        is_best = _judge(state, h, watched)
        row = (state.epoch, round(state.seconds, 3), rate, loss, "" if validation is None else validation)
        state.history.append(dict(zip(HISTORY_COLUMNS, row, strict=True)))
        checkpoint.save(model, state, is_best)
        progress.add(note=f"loss {loss:.3g}, validation {watched:.3g}")
        after_epoch(state.epoch)
    progress.close()
    if not math.isfinite(state.best_loss):
        checkpoint.remove()
        raise DivergedError(
            f"the training diverged: its loss is {state.best_loss} after epoch {state.epoch}. Lower "
            f"hyperparameters.learning_rate (now {h['learning_rate']:g}) or add the feature standardize",
            state,
        )
    model.load_weights(checkpoint.best)
    return state


def _judge(state: TrainingState, h: dict, loss: float) -> bool:
    """Updates the state by an epoch's loss: best so far, learning-rate reduction, early stopping."""
    is_best = loss < state.best_loss or state.epoch == 1
    if is_best:
        state.best_loss, state.best_epoch, state.since_reduction = loss, state.epoch, 0
    else:
        state.since_reduction += 1
    if h["lrSchedule"] == "plateau" and state.since_reduction >= h["reduceLR_patience"]:
        state.learning_rate *= h["reduceLR_factor"]
        state.since_reduction = 0
    state.stopped = state.epoch - state.best_epoch >= h["earlyStop_patience"] or not math.isfinite(loss)
    return is_best


def write_history(rows: list[dict], path: Path) -> None:
    """Writes the history as CSV with the columns of HISTORY_COLUMNS."""
    with atomic(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, HISTORY_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
