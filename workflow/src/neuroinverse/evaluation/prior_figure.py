"""Traces of draws from the prior: what a study's simulator gives before anything is inferred from it."""

import numpy as np

from neuroinverse.evaluation import style
from neuroinverse.shards import OK, SILENT

# traces of their own panel, and quantiles over all traces
EXAMPLES, BANDS = 6, ((0.05, 0.95), (0.25, 0.75))
# signals with fewer samples are no traces
FEWEST = 8


def prior_traces(study, draws):
    """Some traces one by one, and the spread of all; the stimulus below, where there is one.

    Args:
        study: `Study`.
        draws: `Draws` of its prior.
    """
    usable = np.isin(draws.status, (OK, SILENT))
    signals = [s for s in study.simulator.signals if s.shape[0] >= FEWEST][:2]
    others = [s for s in study.simulator.signals if s.shape[0] < FEWEST]
    count = min(EXAMPLES, int(usable.sum()))
    stimulus = study.simulator.stimulus()
    rows = count + 1 + (stimulus is not None) + bool(others)
    with style.styled():
        figure = style.new_figure(0.95 * rows + 0.4)
        if not count:
            figure.suptitle(f"{study.name}: no draw of the prior has a result", x=0.01, ha="left")
            return figure
        parts = figure.subfigures(2 if others else 1, 1, squeeze=False, height_ratios=[rows - 1, 1] if others else [1])
        if signals:
            axes = parts[0, 0].subplots(rows - bool(others), len(signals), squeeze=False, sharex="col")
            for k, signal in enumerate(signals):
                _draw_signal(axes[:, k], study, signal, draws.values[signal.name][usable], count, stimulus)
        if others:
            _draw_values(parts[-1, 0], others, draws, usable)
        figure.suptitle(
            f"{study.name}: {count} of {len(draws.status)} draws from the prior, and the spread of all",
            x=0.01, ha="left", fontsize=8.5,
        )  # fmt: skip
    return figure


def _draw_signal(axes, study, signal, values: np.ndarray, count: int, stimulus) -> None:
    """One column: traces, the spread of all, the stimulus."""
    time = signal.t0_ms + signal.dt_ms * np.arange(signal.shape[0])
    channels = values.reshape(len(values), len(time), -1)
    colours = (style.BLUE, style.ORANGE, style.GREEN, style.RED)
    names = signal.channels or [str(c) for c in range(channels.shape[2])]
    limits = [float(np.nanmin(channels)), float(np.nanmax(channels))] if np.isfinite(channels).any() else [0.0, 1.0]
    margin = 0.05 * (limits[1] - limits[0]) or 1.0
    for i in range(count):
        for c in range(min(len(colours), channels.shape[2])):
            axes[i].plot(time, channels[i, :, c], color=colours[c], linewidth=0.6, label=names[c])
        axes[i].set_ylim(limits[0] - margin, limits[1] + margin)
    if channels.shape[2] > 1:
        axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, fontsize=6.5, borderpad=0.2, handlelength=1)
    axes[0].set_title(style.with_unit(signal.name.replace("_", " "), signal.unit), fontsize=7.5)
    spread = axes[count]
    for low, high in BANDS:
        band = np.nanquantile(channels[:, :, 0], (low, high), axis=0)
        spread.fill_between(time, *band, color=style.BLUE, alpha=0.25, linewidth=0)
    spread.plot(time, np.nanmedian(channels[:, :, 0], axis=0), color=style.BLUE, linewidth=0.8)
    spread.set_title(
        f"median, 50 % and 90 % of {len(values)} traces" + (f", {names[0]}" if channels.shape[2] > 1 else "")
    )
    if stimulus is not None:
        window = np.asarray(stimulus)[study.simulator.window]
        axes[count + 1].plot(study.simulator.dt_ms * (study.simulator.window.start + np.arange(len(window))), window,
                             color=style.INK, linewidth=0.6)  # fmt: skip
        axes[count + 1].set_title(style.with_unit("stimulus", study.simulator.stimulus_unit or ""), fontsize=7.5)
    axes[-1].set_xlabel("time (ms)")


def _draw_values(part, signals, draws, usable) -> None:
    """Histograms of signals of a few numbers."""
    axes = part.subplots(1, len(signals), squeeze=False)[0]
    for axis, signal in zip(axes, signals, strict=True):
        values = draws.values[signal.name][usable].ravel()
        axis.hist(values[np.isfinite(values)], bins=20, color=style.BLUE)
        axis.set_title(style.with_unit(signal.name.replace("_", " "), signal.unit), fontsize=7.5)
