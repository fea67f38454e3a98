"""What is asked of a column's activity: a weighted sum of terms, differentiable, lower being better.

One implementation serves a surrogate network (tensors) and a simulator (arrays). A term is a mapping such as

    {kind: band_power, low_Hz: 15, high_Hz: 60, dipoles: [L5_pyramidal], weight: 1}

`weight` (1) may be negative, which turns the aim around; `name` (the kind) tells terms of one kind apart. Terms of the
dipole take `dipoles`, the populations whose dipoles are added, all by default. A batch holds realisations of the same
column: spectra and rates are means over them, of which logarithms are taken then.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from neuroinverse.column.settings import Window, resolve
from neuroinverse.features.spectrum import welch

# (fAm)²: a dipole of zero has a logarithm too
LOWEST_POWER = 1e-12
# Hz: a silent population has one too, and rates far below hardly differ
LOWEST_RATE = 0.1


class Objective:
    """A weighted sum of terms; for the arguments see `column.settings.resolve`."""

    def __init__(
        self, settings: Mapping, populations: Sequence[str], dipoles: Sequence[str], dt_ms: float, n_steps: int
    ):
        self.window, self.terms = resolve(settings, populations, dipoles, dt_ms, n_steps)

    def __call__(self, activity) -> dict[str, tf.Tensor]:
        """The terms by name, without their weights, and the weighted sum as "loss".

        Args:
            activity: `ColumnActivity` of tensors or arrays.
        """
        values = {term.name: MEASURES[term.kind](activity, term.settings, self.window) for term in self.terms}
        return {"loss": tf.add_n([term.weight * values[term.name] for term in self.terms]), **values}

    def rates(self, activity) -> dict[str, tf.Tensor]:
        """Firing rates after the warm-up (Hz), mean over cells and realisations, by population."""
        return {name: firing_rate(activity, name, self.window) for name in self.window.populations}


def firing_rate(activity, population: str, window: Window) -> tf.Tensor:
    """Mean firing rate of a population's cells after the warm-up (Hz)."""
    spikes = tf.cast(activity.spikes[population], tf.float32)
    return tf.reduce_mean(spikes[:, window.first :]) / (window.dt_ms * 1e-3)


def dipole(activity, populations: Sequence[str], window: Window) -> tf.Tensor:
    """Summed dipole of some populations after the warm-up (fAm), shape (batch, time)."""
    chosen = [window.dipoles.index(name) for name in populations]
    return tf.reduce_sum(tf.gather(tf.cast(activity.dipole, tf.float32)[:, window.first :], chosen, axis=-1), axis=-1)


def spectrum(x: tf.Tensor, dt_ms: float, segment_ms: float | None = None) -> tuple[np.ndarray, tf.Tensor]:
    """Power spectral density, mean over the batch.

    Args:
        x: Signal, shape (batch, time).
        dt_ms: Sampling interval (ms).
        segment_ms: Of Welch's method, with Hann windows that overlap by half, each without its mean; the whole signal
            where it is not given.

    Returns:
        Frequencies (Hz), and density (unit of the signal)²/Hz, both of shape (frequencies,).
    """
    segment_ms = segment_ms or x.shape[1] * dt_ms
    density = tf.reduce_mean(welch(x[..., None], {"segment_ms": segment_ms}, dt_ms)[..., 0], axis=0)
    return np.arange(density.shape[0]) * 1e3 / segment_ms, density


def log_power(activity, populations: Sequence[str], low_Hz: float, high_Hz: float, window: Window) -> tf.Tensor:
    """Logarithm of the dipole's power in a band, in (fAm)²: a sine of amplitude A within it has the power A²/2."""
    frequencies, density = spectrum(dipole(activity, populations, window), window.dt_ms)
    inside = (frequencies >= low_Hz - 1e-6) & (frequencies <= high_Hz + 1e-6)
    return tf.math.log(tf.reduce_sum(tf.boolean_mask(density, inside)) * frequencies[1] + LOWEST_POWER)


def band_power(activity, s: Mapping, window: Window) -> tf.Tensor:
    """−log of the dipole's power from low_Hz to high_Hz."""
    return -log_power(activity, s["dipoles"], s["low_Hz"], s["high_Hz"], window)


def relative_band_power(activity, s: Mapping, window: Window) -> tf.Tensor:
    """−log of the power from low_Hz to high_Hz over that from total_low_Hz to total_high_Hz."""
    total = log_power(activity, s["dipoles"], s["total_low_Hz"], s["total_high_Hz"], window)
    return total - log_power(activity, s["dipoles"], s["low_Hz"], s["high_Hz"], window)


def target_spectrum(activity, s: Mapping, window: Window) -> tf.Tensor:
    """Mean squared difference of log densities at frequencies_Hz from `values` (fAm²/Hz).

    With `relative` the difference's mean is taken off first, so that the shape alone counts. Between its frequencies
    the log density is interpolated.
    """
    at, density = spectrum(dipole(activity, s["dipoles"], window), window.dt_ms, s["segment_ms"])
    weights = np.stack([np.interp(s["frequencies_Hz"], at, row) for row in np.eye(len(at))], axis=1)
    found = tf.linalg.matvec(weights.astype(np.float32), tf.math.log(density + LOWEST_POWER))
    difference = found - np.log(s["values"]).astype(np.float32)
    if s["relative"]:
        difference -= tf.reduce_mean(difference)
    return tf.reduce_mean(tf.square(difference))


def evoked_dipole(activity, s: Mapping, window: Window) -> tf.Tensor:
    """Mean squared difference from a waveform, as a fraction of the waveform's variance.

    The waveform is given at times_ms from the start of the simulation as values_fAm and interpolated between; what is
    compared is the dipole's mean over realisations, over the span of the waveform. The mean over that span is taken off
    both: recordings have no absolute zero either.
    """
    times = np.arange(window.first, window.n_steps) * window.dt_ms
    inside = (times >= s["times_ms"][0] - 1e-9) & (times <= s["times_ms"][-1] + 1e-9)
    wanted = np.interp(times[inside], s["times_ms"], s["values_fAm"])
    found = tf.boolean_mask(tf.reduce_mean(dipole(activity, s["dipoles"], window), axis=0), inside)
    error = found - tf.reduce_mean(found) - (wanted - wanted.mean()).astype(np.float32)
    return tf.reduce_mean(tf.square(error)) / np.float32(wanted.var())


def rates(activity, s: Mapping, window: Window) -> tf.Tensor:
    """Mean squared log ratio of firing rates and targets_Hz, a mapping of populations."""
    distances = [_log_rate(activity, name, window) - _log(target) for name, target in s["targets_Hz"].items()]
    return tf.reduce_mean(tf.square(tf.stack(distances)))


def rate_bounds(activity, s: Mapping, window: Window) -> tf.Tensor:
    """Mean squared log distance of firing rates from bounds_Hz, a mapping of populations to [low, high]; 0 inside."""
    distances = []
    for name, (low, high) in s["bounds_Hz"].items():
        found = _log_rate(activity, name, window)
        distances.append(tf.nn.relu(_log(low) - found) + tf.nn.relu(found - _log(high)))
    return tf.reduce_mean(tf.square(tf.stack(distances)))


def _log(rate_Hz: float) -> float:
    return float(np.log(rate_Hz + LOWEST_RATE))


def _log_rate(activity, population: str, window: Window) -> tf.Tensor:
    return tf.math.log(firing_rate(activity, population, window) + LOWEST_RATE)


MEASURES = {
    f.__name__: f for f in (band_power, relative_band_power, target_spectrum, evoked_dipole, rates, rate_bounds)
}
