"""Figures of a search for a column's gains. Every function draws one figure and gives it back."""

from collections.abc import Mapping

import numpy as np

from neuroinverse.evaluation import style
from neuroinverse.evaluation.style import BLUE, GREEN, GREY, INK, ORANGE, RED
from neuroinverse.simulators.column import SHORT

WHEN = {"before": BLUE, "after": ORANGE}
CELLS = dict(zip(SHORT, (BLUE, GREEN, ORANGE, RED), strict=True))
# Hz
HIGHEST = 120.0


def spectra(densities: Mapping[str, Mapping], target: Mapping | None = None):
    """Spectra of the dipole before and after, in the simulator and in the surrogates.

    Args:
        densities: By `simulator` and `surrogates` what `objectives.spectra` gives.
        target: Settings of a term `target_spectrum`; where its shape alone counts it is drawn at the level of after.
    """
    with style.styled():
        figure = style.new_figure(2.8)
        axes = figure.subplots(1, len(densities), sharex=True, sharey=True, squeeze=False)[0]
        for axis, (where, pair) in zip(axes, densities.items(), strict=True):
            for when, (frequencies, rows) in pair.items():
                shown = (frequencies > 0) & (frequencies <= HIGHEST)
                # of logarithms, as they are drawn
                logs = np.log(np.maximum(rows[:, shown], 1e-12))
                mean, error = logs.mean(axis=0), 1.96 * logs.std(axis=0, ddof=1) / np.sqrt(len(logs))
                axis.semilogy(frequencies[shown], np.exp(mean), color=WHEN[when], label=when)
                axis.fill_between(
                    frequencies[shown], np.exp(mean - error), np.exp(mean + error), color=WHEN[when], alpha=0.25, lw=0
                )
            if target:
                at, wanted = target["frequencies_Hz"], np.log(target["values"])
                if target["relative"]:
                    # the last mean is that of after
                    wanted += np.mean(np.interp(at, frequencies[shown], mean) - wanted)
                axis.semilogy(at, np.exp(wanted), "--", color=INK, label="target")
            axis.set_title(where)
            axis.set(xlabel="frequency (Hz)")
        axes[0].set_ylabel("power of the dipole (fAm²/Hz)")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return figure


def search_history(found: Mapping):
    """Loss under held-out drives against the rollouts spent, of every search.

    Args:
        found: What `optimise` wrote.
    """
    searches = {"gradient": found["search"]} | {f"slope {r['slope']:g}": r for r in found["slopes"] if "best" in r}
    searches |= found["controls"]
    colours = (BLUE, GREEN, RED, GREY, ORANGE, INK)
    with style.styled():
        figure = style.new_figure(3.0, 6.0)
        axis = figure.subplots()
        for i, (name, run) in enumerate(searches.items()):
            # spent evenly over the steps
            spent = run["rollouts"] * np.arange(len(run["history"])) / max(len(run["history"]) - 1, 1)
            measured = [k for k, row in enumerate(run["history"]) if "held_out_loss" in row]
            losses = [run["history"][k]["held_out_loss"] for k in measured]
            axis.step(
                np.append(spent[measured], run["rollouts"]), np.append(np.minimum.accumulate(losses), min(losses)),
                where="post", color=colours[i % len(colours)], label=f"{name}: {style.number(min(losses))}",
            )  # fmt: skip
        axis.set(xlabel="rollouts (one with its gradient counts twice)", ylabel="best loss so far\n(held-out drives)")
        figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper")
    return figure


def gains(log10_gains: Mapping[str, float], settings: Mapping):
    """Gains of all projections.

    Args:
        log10_gains: By projection.
        settings: Of the search: `bound`, and `projections` that it changes.
    """
    names, bound = list(log10_gains), settings["bound"]
    places = np.arange(len(names))[::-1]
    with style.styled():
        figure = style.new_figure(0.7 + 0.2 * len(names), 5.6)
        axis = figure.subplots()
        axis.barh(places, list(log10_gains.values()), 0.65, color=[_colour(name) for name in names])
        axis.axvline(0, color=INK, linewidth=0.6)
        fixed = [name for name in names if name not in settings["projections"]]
        axis.set_yticks(places, [name.replace("_", " ") + (" (fixed)" if name in fixed else "") for name in names])
        ticks = np.array([t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10) if abs(np.log10(t)) <= bound + 1e-9])
        axis.set_xticks(np.log10(ticks), [f"{t:g}" for t in ticks])
        axis.set(xlim=(-1.05 * bound, 1.05 * bound), xlabel="gain of the projection")
    return figure


def _colour(projection: str) -> str:
    """Of the source: excitatory or inhibitory."""
    return BLUE if projection.partition("_")[0].endswith("e") else RED


def activity(activities: Mapping[str, Mapping], window):
    """Spikes of all cells and the dipole under one drive, before and after, in the simulator and in the surrogates.

    Args:
        activities: By `simulator` and `surrogates`, of `before` and `after`: `ColumnActivity`.
        window: `Objective.window`.
    """
    time = np.arange(window.n_steps) * window.dt_ms
    with style.styled():
        figure = style.new_figure(4.2)
        columns = [(where, when) for when in WHEN for where in activities]
        axes = figure.subplots(2, len(columns), sharex=True, sharey="row", height_ratios=(1.5, 1))
        for (raster, trace), (where, when) in zip(axes.T, columns, strict=True):
            shown, row = activities[where][when], 0
            for name in window.populations:
                spikes = np.asarray(shown.spikes[name])[0]
                at, cell = np.nonzero(spikes)
                raster.plot(time[at], row + cell, "|", color=CELLS[name], markersize=2.2, label=SHORT[name])
                row += spikes.shape[1]
            raster.set_title(f"{where}, {when}")
            raster.set_ylim(row, 0)
            trace.plot(time, np.asarray(shown.dipole)[0].sum(axis=-1) * 1e-3, color=INK, linewidth=0.7)
            trace.axvspan(0, window.first * window.dt_ms, color=style.PALE, alpha=0.6, linewidth=0)
            trace.set(xlabel="time (ms)", xlim=(0, time[-1]))
        axes[0, 0].set_ylabel("cell")
        axes[1, 0].set_ylabel("dipole (pAm)")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), markerscale=3)
    return figure
