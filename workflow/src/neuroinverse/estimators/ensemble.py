"""All folds together: the mean as the answer, and how far the folds disagree."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroinverse.errors import NeuroinverseError
from neuroinverse.estimators.modelfile import read_metadata, read_trace_range, require_family
from neuroinverse.estimators.trace_range import mean_score
from neuroinverse.parameters import ParameterSpace


@dataclass(frozen=True)
class Predictions:
    """Predictions of an ensemble for n signals.

    Args:
        folds: Every fold's unit parameters, shape (k, n, K).
        variances: Mean of the variances that the folds state, unit parameters, shape (n, K); 0 where they state none.
        score: How unlike the training traces each signal is, mean over folds, shape (n,): see `TraceRange`. NaN where
            the models do not say what those are like.
    """

    folds: np.ndarray
    variances: np.ndarray
    score: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence["Predictions"]) -> "Predictions":
        """Predictions of several blocks of signals, one after the other."""
        score = np.concatenate([part.score for part in parts])
        variances = np.concatenate([part.variances for part in parts])
        return cls(np.concatenate([part.folds for part in parts], axis=1), variances, score)

    def __getitem__(self, rows) -> "Predictions":
        """Predictions of some of the signals."""
        return Predictions(self.folds[:, rows], self.variances[rows], self.score[rows])

    def __len__(self) -> int:
        return self.folds.shape[1]

    @property
    def mean(self) -> np.ndarray:
        """Ensemble mean in unit parameters, shape (n, K)."""
        return self.folds.mean(axis=0)

    @property
    def sd(self) -> np.ndarray:
        """Spread of each answer in unit parameters, shape (n, K): √(variance over folds + mean of their variances).

        The variance over folds (n − 1) is zero for a single fold.
        """
        between = self.folds.var(axis=0, ddof=1) if len(self.folds) > 1 else np.zeros_like(self.folds[0])
        return np.sqrt(between + self.variances)

    @property
    def out_of_range(self) -> np.ndarray:
        """Largest |unit parameter| of the mean, shape (n,): above 1 the answer is outside the training range."""
        return np.abs(self.mean).max(axis=1)


class Ensemble:
    """The saved folds of one estimator.

    Args:
        models: The .keras files.

    Raises:
        NeuroinverseError: If there are none, one is no estimator, or they are of different parameters or signals.
    """

    def __init__(self, models: Sequence[Path]):
        import keras

        if not models:
            raise NeuroinverseError("no models: an estimator's folder holds fold-0/model.keras and so on")
        metadata = [read_metadata(m) for m in models]
        for path, other in zip(models, metadata, strict=True):
            require_family(path, other, "regressor")
            if any(other[key] != metadata[0][key] for key in ("parameters", "signal")):
                raise NeuroinverseError(f"{path} infers other parameters or takes another signal than {models[0]}")
        self.metadata = metadata
        self.parameters = ParameterSpace.from_table(metadata[0]["parameters"])
        self.signal = metadata[0]["signal"]
        self._ranges = [read_trace_range(m) for m in models]
        self._models = [keras.models.load_model(m, compile=False) for m in models]

    def predict(self, signals: np.ndarray) -> Predictions:
        """Infers the parameters of signals.

        Args:
            signals: In physical units, shape (n, time[, channel]), sampled as `signal` says.
        """
        x = np.asarray(signals, np.float32).reshape(len(signals), -1, (*self.signal["shape"], 1)[1])
        # a logarithmic parameter far below its range underflows in single precision: the smallest number stands for it
        log = np.array([p.scale == "log" for p in self.parameters.parameters])
        lowest = np.where(log, np.finfo(np.float32).tiny, -np.inf)
        folds, variances = [], []
        for model in self._models:
            answer = model.predict(x, verbose=0)
            stated = isinstance(answer, dict)
            variances.append(answer["sd_unit"].astype(np.float64) ** 2 if stated else np.zeros(answer.shape))
            folds.append(self.parameters.to_unit(np.maximum(answer["parameters"] if stated else answer, lowest)))
        return Predictions(np.stack(folds), np.mean(variances, axis=0), self.score(x))

    def score(self, signals: np.ndarray) -> np.ndarray:
        """How unlike the training traces signals are, shape (n,).

        Args:
            signals: In physical units, shape (n, time, channel).
        """
        return mean_score(self._ranges, signals)
