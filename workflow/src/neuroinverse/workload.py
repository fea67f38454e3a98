"""The time that jobs ask for: from assumptions that err high, since what runs longer is killed."""

import math

from neuroinverse import surrogates
from neuroinverse.estimators.architecture import multiply_adds
from neuroinverse.study import Study

# a request is this many times the estimate, and at least MINUTES
SAFETY = 4.0
MINUTES = 10
# simulations of the guard for each parameter; one, and more where it has doubts
GUARD_SIMULATIONS = 5
# common limit of cluster partitions; a training that needs longer resumes on its retry
LONGEST_MINUTES = 12 * 60
# forward multiply-adds per second of small convolutions on one core
CORE_RATE = 2e9
# shards are read and summed at this many MB per second, of a busy shared file system
READ_RATE = 50.0
# a training step costs about three forward passes
PASSES = 3.0


def simulate_minutes(study: Study, threads: int = 1, attempt: int = 1) -> int:
    """Walltime to ask for one shard (min): a killed one begins anew, so the next attempt asks for more."""
    return _request(study.shard_size * study.simulator.core_seconds / threads, attempt)


def guard_minutes(study: Study, attempt: int = 1) -> int:
    """Walltime to ask for the guard (min)."""
    return _request(GUARD_SIMULATIONS * len(study.parameters.parameters) * study.simulator.core_seconds, attempt)


def join_minutes(study: Study, dataset: str, attempt: int = 1) -> int:
    """Walltime to ask for verifying and joining the shards of a dataset (min)."""
    return _request(study.megabytes(dataset) / READ_RATE, attempt)


def train_minutes(study: Study, estimator: str, threads: int) -> int:
    """Walltime to ask for the training of one fold on CPUs (min); what is cut off goes on with the next attempt."""
    samples = study.n_training(estimator) * study.estimator(estimator)["hyperparameters"]["epochs"]
    return fit_minutes(samples, forward_multiply_adds(study, estimator), threads)


def fit_minutes(samples: int, forward: int, threads: int) -> int:
    """Walltime to ask for a training on CPUs (min).

    Args:
        samples: Simulations times epochs.
        forward: Multiply-adds of one prediction.
        threads: CPU threads.
    """
    return _request(samples * seconds_per_sample(forward) / threads)


def seconds_per_sample(forward: int) -> float:
    """Core seconds of a training simulation and epoch (s), assumed.

    Args:
        forward: Multiply-adds of one prediction.
    """
    return PASSES * forward / CORE_RATE


def surrogate_minutes(study: Study, surrogate: str, threads: int) -> int:
    """Walltime to ask for the training of a surrogate on CPUs (min); what is cut off goes on with the next attempt."""
    samples = surrogates.n_training(study, surrogate) * surrogates.hyperparameters(study, surrogate)["epochs"]
    return fit_minutes(samples, forward_multiply_adds(study, surrogate), threads)


def forward_multiply_adds(study: Study, estimator: str) -> int:
    """Multiply-adds of one prediction of an estimator, or of a surrogate's rollout of one simulation."""
    if estimator in surrogates.names(study):
        h = surrogates.hyperparameters(study, estimator)
        steps, width = surrogates.signals(study, estimator)[surrogates.INPUTS].shape[0], h["lstm_units"]
        # four gates, each of the input of a layer and of its state before
        return steps * h["lstm_layers"] * 4 * width * (width + max(width, h["conv_units"]))
    hyperparameters = study.estimator(estimator)["hyperparameters"]
    n_outputs = len(study.estimator_space(estimator).parameters)
    return multiply_adds(*study.input_shape(estimator), hyperparameters, n_outputs)


def _request(seconds: float, attempt: int = 1) -> int:
    return min(LONGEST_MINUTES, attempt * max(MINUTES, math.ceil(SAFETY * seconds / 60)))
