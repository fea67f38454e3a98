"""train_surrogate: trains a network to do what a simulator does, and fits the threshold of its spikes."""

from pathlib import Path

from neuroinverse import surrogates
from neuroinverse.estimators.modelfile import save_model, signal_table
from neuroinverse.parameters import seed_sequence
from neuroinverse.provenance import collect
from neuroinverse.shards import Dataset


def run(
    spec: dict,
    dataset: Path,
    calibration_dataset: Path,
    output: Path,
    history: Path,
    threads: int = 1,
    gpus: int = 0,
    memory_mb: float = 2000,
) -> dict:
    """Trains a surrogate, or goes on with it after a kill.

    Args:
        spec: Specification of the training.
        dataset: The training dataset.
        calibration_dataset: Simulations whose spikes the threshold is fitted to.
        output: The surrogate (.keras).
        history: CSV of the epochs.
        threads: CPU threads.
        gpus: GPUs; several train data-parallel, 0 is the CPU.
        memory_mb: Memory for signals (MB).

    Returns:
        The metadata that is saved in the surrogate.

    Raises:
        DivergedError: If its loss was never finite.
    """
    # TensorFlow reads its settings when it starts: devices come first
    from neuroinverse.estimators import devices

    purpose = f"{spec['simulation']['study']}/train_surrogate/{spec['surrogate']}"
    seed = int(seed_sequence(spec["master_seed"], purpose, 0).generate_state(1)[0] >> 1)
    scope = devices.use_devices(gpus, "float32", threads, seed)
    from neuroinverse.estimators import cnn, surrogate, surrogate_step, training
    from neuroinverse.estimators.surrogate_data import SurrogateData
    from neuroinverse.estimators.surrogate_settings import samples

    h, data_file = spec["hyperparameters"], Dataset(dataset)
    signal = data_file.signals[surrogates.INPUTS]
    with scope:
        first = surrogate.front_model(signal, h)
        data = SurrogateData(
            data_file, signal.name, spec["outputs"], surrogates.SPIKES, 1, 0, memory_mb * 1e6, seed, first
        )
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
        metadata["threshold"] = surrogate_step.calibrate_threshold(whole, Dataset(calibration_dataset), metadata)
        save_model(whole, metadata, output)
    training.write_history(state.history, history)
    checkpoint.remove()
    return metadata
