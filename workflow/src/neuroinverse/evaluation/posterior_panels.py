"""Parts of the figures of neural posteriors: densities of one and two parameters, their matrix, features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from neuroinverse.evaluation import style
from neuroinverse.evaluation.figures import name_ticks
from neuroinverse.evaluation.style import BLUE, GREEN, INK, ORANGE
from neuroinverse.parameters import Parameter, ParameterSpace

# highest-density regions that a pair shows
REGIONS = (0.5, 0.9)
CELLS = 60
# room around a matrix of pairs (inches): for names and ticks, and for a title
LEFT, BOTTOM, TOP, RIGHT = 0.75, 0.75, 0.3, 0.1
# colours and lines of single parameter sets
MARKS = ((INK, "-"), (ORANGE, "--"), (GREEN, ":"))
# where features of single simulations stand beside the distribution
BESIDE = (0.2, -0.2, 0.35, -0.35)


@dataclass(frozen=True)
class Features:
    """Features of an observation beside those of simulations from its posterior, as the estimator is given them.

    Args:
        names: The F features.
        observed: Shape (F,); NaN where one is undefined.
        simulated: Of M simulations, shape (M, F), alike.
        training_sd: Standard deviation over the training simulations, shape (F,).
        points: Features of single simulations by the label of their trace, shape (F,) each.
    """

    names: Sequence[str]
    observed: np.ndarray
    simulated: np.ndarray
    training_sd: np.ndarray
    points: Mapping[str, np.ndarray] = field(default_factory=dict)


def physical(parameter: Parameter, unit):
    """Unit values of one parameter in physical units, same shape."""
    return ParameterSpace((parameter,)).to_physical(np.asarray(unit, np.float64)[..., None])[..., 0]


def histogram(axis, parameter: Parameter, samples, colour: str, label: str, fill: bool, ends=(-1.0, 1.0)) -> None:
    """Density of samples relative to the prior, in bins that a narrow posterior still fills several of."""
    width = np.clip(samples.std() / 2.5, (ends[1] - ends[0]) / 200, (ends[1] - ends[0]) / 40)
    edges = np.linspace(*ends, round((ends[1] - ends[0]) / width) + 1)
    # the prior's density over unit parameters is ½
    density = 2 * np.histogram(samples, edges)[0] / (len(samples) * np.diff(edges))
    style_ = {"fill": True, "alpha": 0.45} if fill else {"linewidth": 1.0}
    axis.stairs(density, physical(parameter, edges), color=colour, label=label, **style_)


def mark(axis, parameter: Parameter, values: Mapping[str, float]) -> None:
    """Marks values of one parameter, in unit space, by label."""
    for (label, value), (colour, line) in zip(values.items(), MARKS, strict=False):
        axis.axvline(physical(parameter, value), color=colour, linestyle=line, linewidth=0.9, label=label)


def corner(parameters: Sequence[Parameter], low: np.ndarray, high: np.ndarray, below: float = 0.0):
    """The lower half of a square matrix of panels, with limits, scales and names at its left and bottom.

    Args:
        parameters: One for each row and column.
        low: Lower end of each axis, unit parameters.
        high: Upper end, alike.
        below: Room that is left below it (inches).

    Returns:
        The figure; its panels by row and column; and a function that gives the place of a row and column, (left,
        bottom, width, height) as a share of the figure, for what stands above the diagonal.
    """
    from matplotlib.ticker import NullFormatter, NullLocator

    n = len(parameters)
    width = min(style.WIDTH, 1.9 * n + 1.2)
    side = width - LEFT - RIGHT
    height = side + TOP + BOTTOM + below
    figure = style.new_figure(height, width)
    # every panel has its place, so that all are of one size; to lay out 100 of them would take long, too
    figure.set_layout_engine("none")

    def place(i: int, j: int) -> tuple[float, float, float, float]:
        step, gap = side / n, 0.06 * side / n
        bottom = below + BOTTOM + (n - 1 - i) * step
        return (LEFT + j * step) / width, bottom / height, (step - gap) / width, (step - gap) / height

    letters = max(round(90 / n), 11) if n > 1 else 40
    panels = {}
    for i, j in zip(*np.tril_indices(n), strict=True):
        x, y = parameters[j], parameters[i]
        axis = panels[i, j] = figure.add_axes(place(i, j))
        axis.set(xscale=x.scale, xlim=tuple(physical(x, [low[j], high[j]])))
        _inner_ticks(axis.xaxis, x, low[j], high[j])
        if i == j:
            axis.yaxis.set_major_locator(NullLocator())
        else:
            axis.set(yscale=y.scale, ylim=tuple(physical(y, [low[i], high[i]])))
            _inner_ticks(axis.yaxis, y, low[i], high[i])
        axis.tick_params(labelsize=6)
        if i == n - 1:
            style.fit(axis.set_xlabel, x.name, style.in_brackets(x.unit), room=letters, size=7)
            axis.tick_params(axis="x", rotation=90)
            axis.xaxis.set_label_coords(0.5, -0.4 * n / side)
        else:
            axis.xaxis.set_major_formatter(NullFormatter())
        if j == 0:
            style.fit(axis.set_ylabel, y.name, style.in_brackets(y.unit), room=letters, size=7)
            axis.yaxis.set_label_coords(-0.4 * n / side, 0.5)
        elif i != j:
            axis.yaxis.set_major_formatter(NullFormatter())
    return figure, panels, place


def _inner_ticks(axis, parameter: Parameter, low: float, high: float) -> None:
    """Ticks of an axis from `low` to `high` (unit space) that do not meet those of the next panel, two or more."""
    from matplotlib.ticker import FixedLocator

    for ticks in (2, 3, 4, 6):
        style.parameter_axis(axis, parameter, ticks)
        places = axis.get_majorticklocs()
        share = (ParameterSpace((parameter,)).to_unit(places[:, None])[:, 0] - low) / (high - low)
        inner = places[(share > 0.07) & (share < 0.93)]
        if len(inner) > 1:
            break
    axis.set_major_locator(FixedLocator(inner))


def density(axis, x: Parameter, y: Parameter, samples: np.ndarray, ends: Sequence[tuple[float, float]]) -> None:
    """Smoothed density of two parameters with the outlines of its highest-density regions."""
    from scipy.ndimage import gaussian_filter

    counts, *edges = np.histogram2d(*samples.T, bins=CELLS, range=ends)
    if not counts.any():
        return
    # Scott's rule, in cells; reflected at the edges of the prior, where a density does not fall off
    widths = [s / (e[1] - e[0]) for s, e in zip(samples.std(axis=0), edges, strict=True)]
    density = gaussian_filter(counts, np.clip(np.multiply(widths, len(samples) ** (-1 / 6)), 0.5, 6), mode="reflect")
    axis.pcolormesh(
        *(physical(p, e) for p, e in zip((x, y), edges, strict=True)), density.T, cmap="Blues", rasterized=True
    )
    ordered = np.sort(density, axis=None)[::-1]
    mass = np.cumsum(ordered) / ordered.sum()
    levels = np.unique([ordered[np.searchsorted(mass, level)] for level in REGIONS])
    middles = [physical(p, (e[1:] + e[:-1]) / 2) for p, e in zip((x, y), edges, strict=True)]
    axis.contour(*middles, density.T, levels=levels, colors=INK, linewidths=0.6)


def number_cell(figure, place: tuple[float, float, float, float], value: float) -> None:
    """A correlation as a coloured number."""
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    left, bottom, width, height = place
    colour = colormaps["RdBu_r"](0.5 + 0.5 * np.nan_to_num(value))
    figure.add_artist(Rectangle((left, bottom), width, height, facecolor=colour, linewidth=0))
    # + 0 turns −0.00 into 0.00
    text = "–" if np.isnan(value) else f"{round(float(value), 2) + 0:.2f}".replace("-", "−")
    colour = "white" if abs(value) > 0.6 else INK
    figure.text(left + width / 2, bottom + height / 2, text, ha="center", va="center", fontsize=6.5, color=colour)


def correlation_panel(figure, names: Sequence[str], matrix: np.ndarray, room: float) -> None:
    """Matrix of correlations in the lowest `room` inches of a figure."""
    width, height = figure.get_size_inches()
    letters = 0.065 * max(map(len, names)) + 0.15
    side = min(room - letters - 0.1, width - letters - 1.0)
    left = (width - side + letters - 0.6) / 2
    axis = figure.add_axes((left / width, (room - 0.1 - side) / height, side / width, side / height))
    image = axis.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    name_ticks(axis, names, names)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    figure.colorbar(image, cax=axis.inset_axes((1.03, 0.1, 0.04, 0.8)), label="mean conditional correlation")


def feature_panel(axis, features: Features, colours: Mapping[str, str]) -> None:
    """Medians, middle halves and middle 95 % of simulated features around the observed ones."""
    scale = np.where(features.training_sd > 0, features.training_sd, 1.0)
    offset = (features.simulated - features.observed) / scale
    places = np.arange(len(features.names))
    shown = np.isfinite(features.observed) & (np.isfinite(offset).sum(axis=0) > 1)
    ends = np.full((5, len(places)), np.nan)
    ends[:, shown] = np.nanquantile(offset[:, shown], (0.025, 0.25, 0.5, 0.75, 0.975), axis=0)
    axis.vlines(places, ends[0], ends[4], color=BLUE, linewidth=1.0, label="simulated, 95 %")
    axis.vlines(places, ends[1], ends[3], color=BLUE, linewidth=4.0, alpha=0.5, label="50 %")
    axis.plot(places, ends[2], "_", color=BLUE, markersize=7, label="median")
    axis.axhline(0, color=INK, linewidth=0.7, label="observed")
    edge = max(1.2 * np.abs(ends[[0, 4]][:, shown]).max(initial=0.0), 0.05)
    for aside, (label, values) in zip(BESIDE, features.points.items(), strict=False):
        distance = (np.asarray(values) - features.observed) / scale
        colour = colours.get(label, ORANGE)
        for within, marker in ((np.abs(distance) <= edge, "o"), (distance > edge, "^"), (distance < -edge, "v")):
            drawn = np.clip(np.where(within, distance, np.nan), -edge, edge)
            named = label if marker == "o" else None
            axis.plot(places + aside, drawn, marker, markersize=3.5, color=colour, label=named)
    lacking = np.isnan(features.simulated).mean(axis=0)
    for place, ok, share in zip(places, shown, lacking, strict=True):
        if not ok or share > 0:
            text = f"{100 * share:.0f} % un-\ndefined" if ok else "un-\ndefined"
            axis.text(place, 1.0, text, transform=axis.get_xaxis_transform(), ha="center", va="top", fontsize=5.5)
    # room for what is undefined
    axis.set(xlim=(-0.6, len(places) - 0.4), ylim=(-1.07 * edge, (1.35 if axis.texts else 1.07) * edge))
    axis.set_ylabel("simulated − observed\n(training sd)")
    axis.legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncols=6, fontsize=6.5)
    name_ticks(axis, features.names, None)
