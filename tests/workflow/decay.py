"""A user's own simulator, small enough for any test: an exponential decay with one parameter, and its study file."""

# tests add classes of their own to this module
MODULE = """
import time
from pathlib import Path

import numpy as np

from neuroinverse.simulators.base import ParameterInfo, Signal, Simulator


class Decay(Simulator):
    parameters = {"rate": ParameterInfo("1/ms", 0.1, "rate of the decay")}
    stimulus_unit = "mV"

    @property
    def signals(self):
        return (Signal("decay", "mV", self.dt_ms, (self.n_steps,)),)

    def simulate(self, theta, seeds):
        return {"decay": 10 * np.exp(-theta[:, :1] * self.dt_ms * np.arange(self.n_steps))}
"""


def study(path: str, class_name: str, n_test: int = 20, folds: int = 1, **hyperparameters) -> dict:
    """The content of a study file.

    Args:
        path: The simulator's file, relative to the working directory.
        class_name: Its class.
        n_test: Test simulations.
        folds: Folds of its estimator.
        **hyperparameters: Those that differ.
    """
    network = {"conv_filter": [4], "conv_kernel": 3, "pool_len": 4, "fc_dims": [4], "epochs": 2}
    return {
        "title": f"The simulator {class_name}",
        "question": "Which rate?",
        "simulator": {"path": path, "class": class_name},
        "parameters": [{"name": "rate", "unit": "1/ms", "low": 0.0, "high": 1.0}],
        "protocol": {
            "dt_ms": 0.5,
            "duration_ms": 20,
            "stimulus": {"kind": "step", "amplitude": 0, "unit": "mV", "start_ms": 0, "stop_ms": 20},
        },
        "datasets": {"shard_size": 20, "train": {"n": 40}, "calibration": {"n": 20}, "test": {"n": n_test}},
        "estimators": {
            "cnn": {
                "kind": "cnn",
                "signal": "decay",
                "features": [{"standardize": {}}],
                "folds": folds,
                "hyperparameters": network | hyperparameters,
            }
        },
        "scales": {"smoke": {}, "demo": {}, "paper": {}},
    }
