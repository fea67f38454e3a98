"""Figures of surrogates. Every function draws one figure and gives it back; `style.save` writes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neuroinverse.evaluation import style
from neuroinverse.evaluation.style import BLUE, GREEN, GREY, INK, ORANGE, RED

COLOURS = (BLUE, ORANGE, GREEN, RED, GREY)


@dataclass(frozen=True)
class TraceExample:
    """A held-out simulation beside its surrogate.

    Args:
        title: What is written above it.
        true: Traces of the simulation by output, shape (time,).
        predicted: Those of the surrogate.
        true_spikes: Whether the simulated cell spikes, shape (time,).
        predicted_spikes: Whether the surrogate does.
    """

    title: str
    true: Mapping[str, np.ndarray]
    predicted: Mapping[str, np.ndarray]
    true_spikes: np.ndarray
    predicted_spikes: np.ndarray


def overlay(examples: Sequence[TraceExample], units: Mapping[str, str], dt_ms: float, shown_ms: tuple[float, float]):
    """The surrogate over the simulation, a column per simulation: spikes, then a row per output.

    Args:
        examples: The simulations.
        units: The outputs to show, with their units.
        dt_ms: Sampling interval (ms).
        shown_ms: First and last time to show (ms).
    """
    first, last = (round(t / dt_ms) for t in shown_ms)
    time = dt_ms * np.arange(first, last)
    with style.styled():
        figure = style.new_figure(0.8 + 1.25 * len(units))
        axes = figure.subplots(
            len(units) + 1, len(examples), squeeze=False, sharex=True, sharey="row",
            height_ratios=(0.3, *[1.0] * len(units)),
        )  # fmt: skip
        for column, example in enumerate(examples):
            raster, *panels = axes[:, column]
            raster.set_title(example.title)
            for row, (spikes, colour) in enumerate(((example.predicted_spikes, ORANGE), (example.true_spikes, BLUE))):
                times = time[np.asarray(spikes[first:last]) > 0]
                raster.eventplot(times, lineoffsets=row, linelengths=0.8, linewidths=1.0, colors=colour)
            raster.set(ylim=(-0.6, 1.6), yticks=[])
            for panel, name in zip(panels, units, strict=True):
                panel.plot(time, example.true[name][first:last], color=BLUE, linewidth=0.9, label="simulation")
                panel.plot(time, example.predicted[name][first:last], color=ORANGE, linewidth=0.7, label="surrogate")
                panel.locator_params(axis="y", nbins=4)
            panels[-1].set(xlabel="time (ms)", xlim=shown_ms)
        axes[0, 0].set_ylabel("spikes", rotation=0, ha="right", va="center")
        for panel, (name, unit) in zip(axes[1:, 0], units.items(), strict=True):
            style.fit(panel.set_ylabel, _words(name), style.in_brackets(unit), room=16)
        figure.align_ylabels(axes[1:, 0])
        figure.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def output_correlations(scores: Mapping[str, Mapping]):
    """Correlation of each output with its 95 % interval, and its rmse in words.

    Args:
        scores: Of `surrogates.output_scores`.
    """
    places = np.arange(len(scores))[::-1]
    values, low, high = (
        np.array([np.nan if row[key] is None else row[key] for row in scores.values()], float)
        for key in ("correlation", "low", "high")
    )
    with style.styled():
        figure = style.new_figure(0.7 + 0.24 * len(scores), 5.2)
        axis = figure.subplots()
        axis.barh(places, values, 0.6, color=BLUE, alpha=0.75)
        axis.errorbar(
            values, places, xerr=np.maximum([values - low, high - values], 0), fmt="none", ecolor=INK, capsize=2
        )
        axis.set_yticks(places, [_words(name) for name in scores])
        axis.set(xlim=(0, 1), xlabel="correlation over held-out simulations (bar: 95 %)")
        for place, row in zip(places, scores.values(), strict=True):
            error = f"rmse {style.number(row['rmse'], 2)} {style.unit_text(row['unit'])}"
            axis.text(
                1.02, place, f"{style.number(row['correlation'])}   {error}", va="center", fontsize=7, clip_on=False
            )
    return figure


def drift(table: Mapping, units: Mapping[str, str]):
    """Correlation and bias of outputs over the length of a rollout, a panel of biases for each unit.

    Args:
        table: Of `surrogates.drift`.
        units: The outputs to show, with their units; at most five.
    """
    colours = dict(zip(units, COLOURS, strict=False))
    by_unit = {unit: [name for name in units if units[name] == unit] for unit in dict.fromkeys(units.values())}
    panels = [("correlation", list(units), "correlation")]
    panels += [
        ("bias", names, f"mean of surrogate\n− simulation {style.in_brackets(unit)}") for unit, names in by_unit.items()
    ]
    with style.styled():
        figure = style.new_figure(2.3, min(style.WIDTH, 2.7 * len(panels)))
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, (key, names, label) in zip(axes, panels, strict=True):
            for name in names:
                values = np.array(table[key][name], dtype=float)
                axis.plot(table["time_ms"], values, ".-", color=colours[name], label=_words(name), markersize=3)
            axis.set(xlabel="time (ms)", ylabel=label)
            if key == "bias":
                axis.axhline(0, color=INK, linewidth=0.6, zorder=0)
            else:
                axis.set_ylim(top=1)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(units))
    return figure


def _words(name: str) -> str:
    """An output's name as it is read."""
    return name.replace("_", " ")
