"""train_fold: trains one of k networks on the shards of a dataset."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuroinverse.estimators.architecture import is_gaussian
from neuroinverse.estimators.modelfile import save_model, signal_table
from neuroinverse.estimators.trace_range import TRACES, TraceRange
from neuroinverse.joined import JoinedDatasets
from neuroinverse.parameters import ParameterSpace, seed_sequence
from neuroinverse.provenance import collect
from neuroinverse.shards import Dataset


def run(
    spec: dict,
    dataset: list[Path],
    output: Path,
    history: Path,
    threads: int = 1,
    gpus: int = 0,
    memory_mb: float = 2000,
) -> dict:
    """Trains a fold, or goes on with it after a kill.

    Args:
        spec: Specification of the training.
        dataset: The training dataset; with those of the rounds so far, of a posterior of several.
        output: The saved estimator (.keras).
        history: CSV of the epochs.
        threads: CPU threads.
        gpus: GPUs; several train data-parallel, 0 is the CPU.
        memory_mb: Memory for signals (MB).

    Returns:
        The metadata that is saved in the estimator.
    """
    stream = ("train_fold", spec["fold"])
    return train(spec, dataset, output.parent, stream, history, output, threads, gpus, memory_mb).metadata


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Args:
        metadata: What is saved in the estimator.
        state: `TrainingState` at the end.
    """

    metadata: dict
    state: Any


def train(
    spec: dict,
    datasets: list[Path],
    folder: Path,
    stream: tuple[str, int],
    history: Path,
    output: Path | None = None,
    threads: int = 1,
    gpus: int = 0,
    memory_mb: float = 2000,
) -> Trained:
    """Trains a network on a fold of a dataset, or goes on with it after a kill.

    Args:
        spec: What is trained: `simulation`, `parameters`, `signal`, `features`, `hyperparameters`, `precision`,
            `folds`, `fold`, `master_seed`, and `kind` where it is not a regressor.
        datasets: The training dataset, or several that are joined.
        folder: Folder of its results, where its checkpoint is kept.
        stream: What its random numbers are for, and its index there.
        history: CSV of the epochs to write.
        output: The estimator to write, with the weights of the best epoch; None where it is not wanted.
        threads: CPU threads.
        gpus: GPUs; 0 is the CPU.
        memory_mb: Memory for signals (MB).

    Raises:
        DivergedError: If its loss was never finite.
    """
    # TensorFlow reads its settings when it starts: devices come first
    from neuroinverse.estimators import devices

    study, (purpose, index) = spec["simulation"]["study"], stream
    seed = int(seed_sequence(spec["master_seed"], f"{study}/{purpose}", index).generate_state(1)[0] >> 1)
    scope = devices.use_devices(gpus, spec["precision"], threads, seed)
    from neuroinverse.estimators import cnn, heads, posterior, streaming, training

    data_file = JoinedDatasets([Dataset(path) for path in datasets])
    is_posterior = spec.get("kind") == "posterior"
    family, kept = (posterior, posterior.PairedData) if is_posterior else (cnn, streaming.FoldData)
    parameters = ParameterSpace.from_table(spec["parameters"])
    signal, h = data_file.signals[spec["signal"]], spec["hyperparameters"]
    with scope:
        first = cnn.feature_model(signal, spec["features"])
        data = kept(data_file, signal.name, parameters, spec["folds"], spec["fold"], memory_mb * 1e6, seed, first)
        if spec.get("rounds"):
            posterior.require_all(data)
        statistics = cnn.feature_statistics(data.training_features)
        n_outputs = len(parameters.parameters)
        whole, model = family.build_models(signal, spec["features"], h, n_outputs, statistics, first)
        model.compile(cnn.make_optimizer(h), posterior.loss if is_posterior else heads.loss(h))
        checkpoint = training.Checkpoint(folder / "checkpoint", spec)
        state = training.fit(model, data, h, checkpoint)
        metadata = {
            "parameters": parameters.to_table(),
            "signal": signal_table(signal),
            "features": spec["features"],
            "spec": spec,
            "outputs": ["gain"] if is_posterior else ["parameters", "sd_unit"] if is_gaussian(h) else ["parameters"],
            "n_train": data.n_train,
            "n_validation": data.n_validation,
            **({"n_undefined": data.n_undefined} if is_posterior else {}),
            "n_weights": int(whole.count_params()),
            "epochs": state.epoch,
            "best_epoch": state.best_epoch,
            "train_seconds": round(state.seconds, 3),
            "validation_loss": state.best_loss if data.n_validation else None,
            "validation_rmse_unit": None if is_posterior else _validation_rmse(model, data),
            "provenance": collect(spec),
        }
        if output is not None:
            trace_range = TraceRange.fit(data.training_signals(TRACES))
            saved = whole if is_posterior else cnn.to_physical_model(whole, parameters)
            save_model(saved, metadata, output, trace_range)
    training.write_history(state.history, history)
    checkpoint.remove()
    return Trained(metadata, state)


def _validation_rmse(model, data) -> list[float] | None:
    """Root mean squared error per unit parameter over the held-out simulations; None where nothing is held out."""
    if not data.n_validation:
        return None
    squares = 0.0
    for x, y in data.validation().as_numpy_iterator():
        # a Gaussian head's standard deviations follow its means
        means = model.predict_on_batch(x)[:, : y.shape[1]]
        squares = squares + ((means - y).astype(np.float64) ** 2).sum(axis=0)
    return np.sqrt(squares / data.n_validation).tolist()
