"""What a posterior looks at, as named numbers: its statistics, or of a signal with many samples a few quantiles."""

from collections.abc import Mapping

import numpy as np

from neuroinverse.estimators.cnn import feature_model
from neuroinverse.estimators.trace_range import QUANTILES
from neuroinverse.features import STEP_STATISTICS
from neuroinverse.simulators.base import Signal

# more values than these are no statistics but samples or frequencies
MOST = 64


class FeatureProbe:
    """Named features of signals.

    Args:
        signal: The signal, as a saved estimator describes it.
        features: The study's chain; what is fitted to the training set, such as standardize, is left out.
    """

    def __init__(self, signal: Mapping, features: list):
        self.signal = signal
        described = Signal(**{**signal, "shape": tuple(signal["shape"]), "channels": tuple(signal["channels"])})
        model = feature_model(described, features)
        few = model is not None and np.prod(model.output.shape[1:]) <= MOST
        self._model = model if few else None
        self.names = _names(features, int(np.prod(model.output.shape[1:]))) if few else None
        if self.names is None:
            channels = described.shape[1] if len(described.shape) > 1 else 1
            labels = described.channels or (("",) if channels == 1 else tuple(map(str, range(channels))))
            self.names = [f"{f'{c} ' if c else ''}quantile {q:g}" for c in labels for q in QUANTILES]

    def __call__(self, signals: np.ndarray) -> np.ndarray:
        """Features of signals, shape (n, F).

        Args:
            signals: In physical units, shape (n, time[, channel]).
        """
        x = np.asarray(signals, np.float32).reshape(len(signals), self.signal["shape"][0], -1)
        if self._model is not None:
            return np.asarray(self._model.predict_on_batch(x), np.float64).reshape(len(x), -1)
        return np.concatenate([np.quantile(x[:, :, c], QUANTILES, axis=1).T for c in range(x.shape[2])], axis=1)


def _names(features: list, count: int) -> list[str]:
    last = {name: settings for feature in features for name, settings in feature.items()}.get("step_statistics")
    if last is not None:
        return list(last.get("keep", STEP_STATISTICS))
    return [f"feature {i}" for i in range(count)]
