"""Figures of networks: example states, the phase diagram, errors by state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neuroinverse.evaluation import style
from neuroinverse.evaluation.network import STATES
from neuroinverse.evaluation.style import BLUE, GREEN, GREY, INK, ORANGE, RED, unit_text

# what the panels of an example state show (ms), and the segments of its spectra
SHOWN_MS = 150
SEGMENT = 300
COLOURS = {"SR": GREY, "SI": ORANGE, "AI": BLUE, "AR": GREEN}
BOX_COLOURS = (INK, ORANGE)


@dataclass(frozen=True)
class StateExample:
    """A network and its state.

    Args:
        name: Letter of the column.
        theta: Values of the parameters by name.
        spikes: Counts of E and I in bins of 1 ms, shape (time, 2).
        lfp: Shape (time, contact).
        raster: Counts in bins of 1 ms of sampled neurons, E before I, shape (time, neuron).
        n_E: How many of the sampled neurons are excitatory.
        state: Key of STATES, or empty.
    """

    name: str
    theta: Mapping[str, float]
    spikes: np.ndarray
    lfp: np.ndarray
    raster: np.ndarray
    n_E: int
    state: str


def example_states(examples: Sequence[StateExample], neurons: Mapping[str, int], lfp_unit: str):
    """Raster, population rates, LFP and its spectrum, a column per example.

    Args:
        examples: The networks.
        neurons: Size of each population.
        lfp_unit: Unit of the LFP.
    """
    from scipy.signal import welch

    scale, unit = (1000, "µV") if lfp_unit == "mV" else (1, unit_text(lfp_unit))
    with style.styled():
        figure = style.new_figure(7.6)
        axes = figure.subplots(4, len(examples), squeeze=False, height_ratios=(1.2, 0.9, 1.4, 1.2))
        for column, example in enumerate(examples):
            raster, rates, lfp, spectrum = axes[:, column]
            _title(raster, example)
            rows = min(SHOWN_MS, len(example.raster))
            for first, last, colour in ((0, example.n_E, BLUE), (example.n_E, example.raster.shape[1], RED)):
                time, neuron = np.nonzero(example.raster[:rows, first:last])
                raster.plot(time, neuron + first, "|", color=colour, markersize=1.6, markeredgewidth=0.5)
            raster.set(xlim=(0, SHOWN_MS), ylim=(-1, example.raster.shape[1]), yticks=[], xticklabels=[])
            per_second = example.spikes[:SHOWN_MS] * 1000 / np.array([neurons["E"], neurons["I"]])
            rates.plot(per_second[:, 0], color=BLUE, linewidth=0.8)
            rates.plot(per_second[:, 1], color=RED, linewidth=0.6)
            rates.set(xlim=(0, SHOWN_MS), xticklabels=[])
            rates.set_ylim(bottom=0)
            rates.locator_params(axis="y", nbins=3)
            trace = scale * (example.lfp - example.lfp.mean(axis=0))
            # one scale for all contacts of a column: the bar says how large
            step = 1.1 * float(np.ptp(trace[:SHOWN_MS], axis=0).max()) or 1.0
            for contact in range(trace.shape[1]):
                lfp.plot(trace[:SHOWN_MS, contact] - step * contact, color=INK, linewidth=0.6)
            _scale_bar(lfp, step, trace.shape[1], unit)
            lfp.set(xlim=(0, 1.02 * SHOWN_MS), yticks=[], xlabel="time (ms)")
            frequency, power = welch(trace, fs=1000, nperseg=min(SEGMENT, len(trace)), axis=0)
            for contact in range(trace.shape[1]):
                # the deeper the contact, the paler
                spectrum.loglog(
                    frequency[1:],
                    power[1:, contact],
                    color=BLUE,
                    alpha=1 - 0.75 * contact / trace.shape[1],
                    linewidth=0.7,
                )
            spectrum.set(xlabel="frequency (Hz)", xlim=(frequency[1], 500))
            if column == 0:
                raster.set_ylabel("sampled neurons")
                rates.set_ylabel("rate (1/s)")
                lfp.set_ylabel("LFP by contact,\ntop to bottom")
                spectrum.set_ylabel(f"power ({unit}²/Hz)")
        figure.align_ylabels(axes[:, 0])
    return figure


def _title(axis, example: StateExample) -> None:
    values = ", ".join(f"{name} {style.number(float(value))}" for name, value in example.theta.items())
    words = STATES.get(example.state, "undefined")
    axis.set_title(f"{example.name}  {words}\n{values}", fontsize=6)


def _scale_bar(axis, step: float, contacts: int, unit: str) -> None:
    """A vertical bar of a round size beside the lowest trace."""
    size = float(f"{step / 1.1:.0e}")
    bottom = -step * (contacts - 0.5)
    axis.plot([SHOWN_MS, SHOWN_MS], [bottom, bottom + size], color=ORANGE, linewidth=2, solid_capstyle="butt")
    axis.text(
        0.98 * SHOWN_MS, bottom, f"{style.number(size, 1)} {unit}", ha="right", va="bottom", fontsize=6.5, color=ORANGE,
        bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5},
    )  # fmt: skip


def phase_diagram(grid: Mapping[str, np.ndarray], measures: Mapping[str, np.ndarray], boxes: Mapping[str, Mapping]):
    """Rate, irregularity and synchrony over eta and g, a column per J.

    Args:
        grid: Values of `eta`, `g` and `J` of every network, shape (n,); a full product.
        measures: What is shown, by the title of its row, shape (n,); NaN is left blank.
        boxes: Priors drawn into every panel: by name, [low, high] of `eta` and `g`.
    """
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.patches import Rectangle

    eta, g, J = (np.unique(grid[name]) for name in ("eta", "g", "J"))
    with style.styled():
        figure = style.new_figure(2.1 * len(measures) + 0.4, min(style.WIDTH, 2.4 * len(J) + 1.0))
        axes = figure.subplots(len(measures), len(J), squeeze=False, sharex=True, sharey=True)
        for row, (title, values) in enumerate(measures.items()):
            finite = values[np.isfinite(values)]
            # rates and synchrony span decades, irregularity does not
            wide = len(finite) and finite.min() > 0 and finite.max() > 20 * finite.min()
            norm = (LogNorm if wide else Normalize)(*(finite.min(), finite.max()) if len(finite) else (0, 1))
            for column, weight in enumerate(J):
                axis, here = axes[row, column], grid["J"] == weight
                table = np.full((len(eta), len(g)), np.nan)
                table[np.searchsorted(eta, grid["eta"][here]), np.searchsorted(g, grid["g"][here])] = values[here]
                image = axis.pcolormesh(_edges(g), _edges(eta), table, norm=norm, cmap="viridis", rasterized=True)
                for colour, (name, box) in zip(BOX_COLOURS, boxes.items(), strict=False):
                    (g0, g1), (e0, e1) = box["g"], box["eta"]
                    axis.add_patch(
                        Rectangle((g0, e0), g1 - g0, e1 - e0, fill=False, edgecolor=colour, linewidth=1.4, label=name)
                    )
                if row == 0:
                    axis.set_title(f"J = {style.exact(weight)} mV")
                if row == len(measures) - 1:
                    axis.set_xlabel("g")
            figure.colorbar(image, ax=axes[row].tolist(), label=title, fraction=0.05, pad=0.02)
        figure.supylabel("eta", fontsize=8)
        if boxes:
            figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=len(boxes))
    return figure


def _edges(centres: np.ndarray) -> np.ndarray:
    """Borders of cells around evenly spaced centres."""
    step = centres[1] - centres[0] if len(centres) > 1 else 1.0
    return np.append(centres, centres[-1] + step) - step / 2


def errors_by_state(tables: Mapping[str, Mapping[str, Mapping[str, float]]], names: Sequence[str]):
    """Bars of the mean absolute error of every parameter in every state, a panel per estimator.

    Args:
        tables: Per estimator what `network.errors_by_state` gives.
        names: The parameters.
    """
    # every estimator sees the same test networks
    counts = {state: row["n"] for table in tables.values() for state, row in table.items()}
    states = [state for state in STATES if state in counts]
    width = 0.8 / max(len(states), 1)
    with style.styled():
        figure, axes = style.panel_grid(len(tables), panel_height=1.9, extra_height=0.2)
        for axis, (estimator, table) in zip(axes, tables.items(), strict=True):
            shown = [name for name in names if any(name in row for row in table.values())]
            for k, state in enumerate(states):
                heights = [table.get(state, {}).get(name, np.nan) for name in shown]
                places = np.arange(len(shown)) + (k - (len(states) - 1) / 2) * width
                axis.bar(places, heights, width, color=COLOURS[state], label=f"{STATES[state]} ({counts[state]})")
            axis.set_xticks(range(len(shown)), shown)
            axis.set_title(estimator)
        figure.supylabel("mean |error| (% of range)", fontsize=8)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(states))
    return figure
