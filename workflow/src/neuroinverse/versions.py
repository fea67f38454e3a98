"""The version of every stage, part of its specification: raised when what the stage means changes."""

from types import MappingProxyType

VERSIONS = MappingProxyType(
    {
        "compile_mechanisms": 1,
        "compute_kernel": 1,
        "check_simulator": 1,
        "simulate_shard": 1,
        "index_dataset": 1,
        "train_fold": 2,
        "ensemble_folds": 2,
        "evaluate": 2,
        "scaling": 2,
        "transfer": 2,
        "cross": 2,
        "train_trial": 1,
        "rank_trials": 1,
        "stability": 1,
        "propose": 1,
        "check_posterior": 1,
        "train_surrogate": 1,
        "check_surrogate": 1,
        "optimise": 1,
        "check_objective": 1,
        "network_states": 1,
        "report": 1,
        "report_index": 1,
    }
)
