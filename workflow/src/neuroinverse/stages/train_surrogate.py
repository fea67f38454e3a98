"""train_surrogate: trains a network to do what a simulator does, and fits the threshold of its spikes."""

from pathlib import Path

import numpy as np

from neuroinverse import surrogates
from neuroinverse.column.cells import open_cells
from neuroinverse.estimators.modelfile import read_metadata, save_model, signal_table
from neuroinverse.parameters import seed_sequence
from neuroinverse.provenance import collect


def run(
    spec: dict,
    datasets: list[Path],
    calibration_dataset: Path,
    output: Path,
    history: Path,
    base: Path | None = None,
    threads: int = 1,
    gpus: int = 0,
    memory_mb: float = 2000,
) -> dict:
    """Trains a surrogate, or goes on with it after a kill.

    Args:
        spec: Specification of the training.
        datasets: What it is trained on, one after the other.
        calibration_dataset: Simulations whose spikes the threshold is fitted to.
        output: The surrogate (.keras).
        history: CSV of the epochs.
        base: The surrogate whose weights the training begins with, where it goes on from one.
        threads: CPU threads.
        gpus: GPUs; several train data-parallel, 0 is the CPU.
        memory_mb: Memory for signals (MB).

    Returns:
        The metadata that is saved in the surrogate.

    Raises:
        DivergedError: If its loss was never finite.
        NeuroinverseError: If the base has other inputs or outputs.
    """
    # TensorFlow reads its settings when it starts: devices come first
    from neuroinverse.estimators import devices

    purpose = f"{spec['simulation']['study']}/train_surrogate/{spec['surrogate']}"
    seed = int(seed_sequence(spec["master_seed"], purpose, 0).generate_state(1)[0] >> 1)
    scope = devices.use_devices(gpus, "float32", threads, seed)
    from neuroinverse.estimators import cnn, surrogate, surrogate_step, training
    from neuroinverse.estimators.surrogate_data import SurrogateData
    from neuroinverse.estimators.surrogate_settings import samples

    h, data_file = spec["hyperparameters"], open_cells(spec, *datasets)
    signal = data_file.signals[surrogates.INPUTS]
    with scope:
        first = surrogate.front_model(signal, h)
        data = SurrogateData(
            data_file, signal.name, spec["outputs"], surrogates.SPIKES, 1, 0, memory_mb * 1e6, seed, first
        )
        if base:
            scale = np.array(read_metadata(base)["scale"])
            whole, model = surrogate.continue_models(base, signal, data.names, h)
        else:
            scale = data.scale(samples(h["mask_ms"], signal.dt_ms))
            statistics = cnn.feature_statistics(data.training_features)
            whole, model = surrogate.build_models(signal, data.names, h, scale, statistics)
        checkpoint = training.Checkpoint(output.parent / "checkpoint", spec)
        state = training.fit(model, data, h, checkpoint)
        units = {n: s.unit for s in map(data_file.signals.get, spec["outputs"]) for n in (s.channels or (s.name,))}
        metadata = {
            "kind": "surrogate",
            "parameters": data_file.parameters.to_table(),
            "signal": signal_table(signal),
            "outputs": [*data.names, surrogate.SPIKE],
            "units": units,
            "scale": scale.tolist(),
            "hyperparameters": h,
            "spec": spec,
            "n_train": data.n_train,
            "n_weights": int(whole.count_params()),
            "epochs": state.epoch,
            "train_seconds": round(state.seconds, 3),
            "loss": state.best_loss,
            "provenance": collect(spec),
        }
        calibration = open_cells(spec, calibration_dataset)
        metadata["threshold"] = surrogate_step.calibrate_threshold(whole, calibration, metadata)
        save_model(whole, metadata, output)
    training.write_history(state.history, history)
    checkpoint.remove()
    return metadata
