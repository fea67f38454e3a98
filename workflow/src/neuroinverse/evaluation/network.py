"""What a network does: firing rates, irregularity, synchrony, and the state that these make up."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# limits between states: with them the four example networks of Brunel N (2000) J Comput Neurosci 8:183, figure 8, are
# in the states that he names
IRREGULAR, SYNCHRONOUS = 0.4, 0.55
STATES = {
    "SR": "synchronous regular",
    "SI": "synchronous irregular",
    "AI": "asynchronous irregular",
    "AR": "asynchronous regular",
}


@dataclass(frozen=True)
class Activity:
    """Measures of n networks, each of shape (n,); NaN where a measure is undefined.

    Args:
        rate_E: Mean firing rate of excitatory neurons (1/s).
        rate_I: Mean firing rate of inhibitory neurons (1/s).
        cv: Coefficient of variation of interspike intervals.
        synchrony: Relative modulation of the excitatory population's rate, see `synchrony`.
    """

    rate_E: np.ndarray
    rate_I: np.ndarray
    cv: np.ndarray
    synchrony: np.ndarray

    @property
    def state(self) -> np.ndarray:
        """Key of STATES, shape (n,); empty where irregularity is undefined."""
        first = np.where(self.synchrony > SYNCHRONOUS, "S", "A")
        second = np.where(self.cv > IRREGULAR, "I", "R")
        return np.where(np.isfinite(self.cv) & np.isfinite(self.synchrony), np.char.add(first, second), "")


def measure(spikes, cv, neurons: Mapping[str, int]) -> Activity:
    """Measures networks by their population spike counts.

    Args:
        spikes: Counts of E and I in bins of 1 ms, shape (n, time, 2).
        cv: Coefficient of variation of interspike intervals, shape (n,) or (n, 1).
        neurons: Size of each population: {"E": …, "I": …}.
    """
    spikes = np.asarray(spikes, np.float64)
    seconds = spikes.shape[1] / 1000
    rates = spikes.sum(axis=1) / seconds / np.array([neurons["E"], neurons["I"]])
    return Activity(
        rates[:, 0],
        rates[:, 1],
        np.asarray(cv, np.float64).reshape(len(spikes)),
        synchrony(spikes[:, :, 0], neurons["E"]),
    )


def synchrony(counts, neurons: int) -> np.ndarray:
    """How much the rate that all neurons share varies: its standard deviation over its mean, in bins of 1 ms.

    The count of N neurons has the variance N·v + N·(N − 1)·c, v being that of one neuron and c the covariance of two,
    so c is what the population's variance leaves, and its root the standard deviation of the shared rate. A neuron
    spikes at most once in a bin, which gives v. Independent neurons have 0, whatever their number and rate.

    Args:
        counts: Spikes of the population in bins of 1 ms, shape (n, time).
        neurons: Its size N.

    Returns:
        Shape (n,); NaN where nothing spikes.
    """
    each = counts.mean(axis=1) / neurons
    covariance = (counts.var(axis=1) - neurons * each * (1 - each)) / (neurons * (neurons - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(each > 0, np.sqrt(np.maximum(covariance, 0)) / each, np.nan)


def errors_by_state(state, residual_unit, names) -> dict[str, dict[str, float]]:
    """Mean absolute error in percent of the prior's range, for the test networks in each state.

    Args:
        state: Key of STATES, shape (n,).
        residual_unit: Predicted minus true unit parameters, shape (n, K).
        names: The K parameters.

    Returns:
        By state: `n`, and one error per parameter; states that do not occur are left out.
    """
    table = {}
    for key in STATES:
        rows = np.asarray(state) == key
        if rows.any():
            errors = 50 * np.abs(residual_unit[rows]).mean(axis=0)
            table[key] = {"n": int(rows.sum())} | {name: float(e) for name, e in zip(names, errors, strict=True)}
    return table
