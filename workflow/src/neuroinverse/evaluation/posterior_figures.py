"""Figures of neural posteriors. Every function draws one figure and gives it back; `style.save` writes it as PNG."""

from collections.abc import Mapping, Sequence

import numpy as np

from neuroinverse.evaluation import calibration, style
from neuroinverse.evaluation import posterior_panels as panels
from neuroinverse.evaluation.figures import SCATTER_LIMIT
from neuroinverse.evaluation.metrics import residual_correlation
from neuroinverse.evaluation.posterior_checks import Measured
from neuroinverse.evaluation.posterior_panels import Features
from neuroinverse.evaluation.style import BLUE, GREEN, GREY, INK, ORANGE, PALE, RED
from neuroinverse.parameters import ParameterSpace

# more parameters than this are not legible in a matrix of pairs
PAIRS_LIMIT = 10
COLOURS = (BLUE, ORANGE, GREEN, RED)
# points of the rank figure
GRID = np.linspace(0.01, 0.99, 99)
# |z| that the contraction figure reaches
FARTHEST_Z = 4
# traces of a kind that lie over each other
TRACES = 3


def marginals(space: ParameterSpace, posteriors: Mapping[str, np.ndarray], points: Mapping[str, np.ndarray] = {}):
    """Posterior of every parameter over the range of its prior, a panel each.

    Args:
        space: The K parameters.
        posteriors: Samples by label, unit parameters, shape (S, K) each; up to four.
        points: Up to three parameter sets to mark by label, such as the truth, unit parameters, shape (K,) each.
    """
    with style.styled():
        figure, axes = style.panel_grid(
            len(space.parameters), panel_height=1.75, extra_height=0.3 if len(space.names) < 3 else 0.1
        )
        for k, (axis, parameter) in enumerate(zip(axes, space.parameters, strict=True)):
            for colour, (label, samples) in zip(COLOURS, posteriors.items(), strict=False):
                panels.histogram(axis, parameter, np.asarray(samples)[:, k], colour, label, fill=len(posteriors) == 1)
            axis.axhline(1, color=GREY, linestyle="--", linewidth=0.8, label="prior")
            panels.mark(axis, parameter, {label: point[k] for label, point in points.items()})
            axis.set(xscale=parameter.scale, xlim=panels.physical(parameter, [-1, 1]))
            style.parameter_axis(axis.xaxis, parameter, ticks=3)
            axis.set_ylim(bottom=0)
            style.fit(axis.set_title, parameter.name, style.in_brackets(parameter.unit), size=8.5)
            axis.locator_params(axis="y", nbins=3)
        columns = 3 if len(axes) == 1 else 6
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=columns)
        figure.supylabel("density (prior = 1)", fontsize=8)
    return figure


def pairs(
    space: ParameterSpace,
    samples: np.ndarray,
    points: Mapping[str, np.ndarray] = {},
    chosen: Sequence[str] = (),
    zoom: bool = False,
):
    """Posterior of every pair of parameters, with their correlations above the diagonal.

    Args:
        space: The K parameters.
        samples: Unit parameters, shape (S, K).
        points: Up to three parameter sets to mark by label, unit parameters, shape (K,) each.
        chosen: Parameters to show; by default all, or those that the posterior narrows down most where they are many.
        zoom: Show where the samples are instead of the range of the prior.
    """
    samples = np.asarray(samples, np.float64)
    count = len(chosen) or min(len(space.names), PAIRS_LIMIT)
    narrowest = np.sort(np.argsort(samples.std(axis=0), kind="stable")[:count])
    numbers = [space.names.index(name) for name in chosen] or narrowest.tolist()
    title = f"{count} of {len(space.names)} parameters" + ", those that the data inform most" * (not chosen)
    low, high = np.full(len(space.names), -1.0), np.ones(len(space.names))
    if zoom:
        low, high = np.quantile(samples, (0.002, 0.998), axis=0)
        margin = 0.15 * np.maximum(high - low, 1e-6)
        low, high = low - margin, high + margin
    correlation = residual_correlation(samples[:, numbers])
    with style.styled():
        shown = [space.parameters[k] for k in numbers]
        figure, axes, place = panels.corner(shown, low[numbers], high[numbers])
        for (i, j), axis in axes.items():
            y, x = numbers[i], numbers[j]
            if i == j:
                panels.histogram(axis, shown[j], samples[:, x], BLUE, "posterior", True, (low[x], high[x]))
                panels.mark(axis, shown[j], {label: point[x] for label, point in points.items()})
                continue
            panels.density(axis, shown[j], shown[i], samples[:, [x, y]], [(low[x], high[x]), (low[y], high[y])])
            for (colour, _), point in zip(panels.MARKS, points.values(), strict=False):
                spot = panels.physical(shown[j], point[x]), panels.physical(shown[i], point[y])
                axis.plot(*spot, "o", color=colour, markersize=3.2, markeredgecolor="white", markeredgewidth=0.5)
            panels.number_cell(figure, place(j, i), correlation[i, j])
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles[1:], labels[1:], loc="upper right", ncols=4, borderaxespad=0.1)
        if count < len(space.names):
            figure.suptitle(title, x=0.01, y=0.995, ha="left", fontsize=8.5)
    return figure


def conditional_pairs(
    space: ParameterSpace,
    point: np.ndarray,
    grid: np.ndarray,
    single: Mapping[str, np.ndarray],
    pair: Mapping[tuple[str, str], np.ndarray],
    correlation: np.ndarray | None = None,
):
    """Densities of one or two parameters with all others held at a point, and conditional correlations of all.

    Args:
        space: The K parameters.
        point: Where the others are held, unit parameters, shape (K,).
        grid: Increasing, evenly spaced unit parameters that the densities are given at, shape (G,).
        single: Density over the grid by the name of the parameter, shape (G,), up to a factor. Their order is that of
            the figure; up to `PAIRS_LIMIT` are shown.
        pair: Density over the grid by two names, axes in their order, shape (G, G), up to a factor.
        correlation: Mean conditional correlations of all parameters, shape (K, K).
    """
    names = list(single)[:PAIRS_LIMIT]
    numbers = [space.names.index(name) for name in names]
    parameters = [space.parameters[k] for k in numbers]
    step = grid[1] - grid[0]
    edges = np.append(grid, grid[-1] + step) - step / 2
    with style.styled():
        room = 0.0 if correlation is None or len(correlation) < 2 else min(max(3.4, 0.15 * len(space.names) + 2), 6.5)
        figure, axes, _ = panels.corner(parameters, *(np.full(len(names), end) for end in grid[[0, -1]]), room)
        for (i, j), axis in axes.items():
            if i == j:
                x = panels.physical(parameters[i], grid)
                axis.fill_between(x, single[names[i]] / np.max(single[names[i]]), color=BLUE, alpha=0.4, linewidth=0)
                axis.axvline(panels.physical(parameters[i], point[numbers[i]]), color=INK, linewidth=0.8)
                axis.set_ylim(0, 1.1)
                continue
            density = pair.get((names[j], names[i]))
            density = pair[names[i], names[j]] if density is None else density.T
            x, y = (panels.physical(parameters[k], edges) for k in (j, i))
            axis.pcolormesh(x, y, density / density.max(), cmap="Blues", vmin=0, vmax=1, rasterized=True)
            x, y = (panels.physical(parameters[k], point[numbers[k]]) for k in (j, i))
            axis.plot(x, y, "o", color=INK, markersize=3, markeredgecolor="white", markeredgewidth=0.5)
        if len(names) < len(space.names):
            text = f"{len(names)} of {len(space.names)} parameters"
            figure.suptitle(text, x=0.01, y=0.995, ha="left", fontsize=8.5)
        if room:
            panels.correlation_panel(figure, space.names, correlation, room)
    return figure


def sbc(measured: Measured):
    """Distribution of the truth's ranks less the uniform one, a panel per parameter with a band for all at once."""
    n, count = measured.marginal.shape
    low, high = ecdf_band(n, GRID, 1 - 0.05 / count)
    with style.styled():
        figure, axes = style.panel_grid(count, panel_height=1.6 if count > 4 else 2.0, extra_height=0.05)
        observed = (measured.marginal[:, :, None] <= GRID).mean(axis=0) - GRID
        reach = 1.15 * max(np.abs(observed).max(), (high - GRID).max(), (GRID - low).max())
        for axis, name, curve in zip(axes, measured.names, observed, strict=True):
            outside = ((curve + GRID < low) | (curve + GRID > high)).any()
            axis.fill_between(GRID, low - GRID, high - GRID, color=PALE, linewidth=0, alpha=0.7)
            axis.axhline(0, color=INK, linewidth=0.5)
            axis.plot(GRID, curve, color=RED if outside else BLUE)
            style.fit(axis.set_title, name, size=8.5)
            axis.set(xlim=(0, 1), ylim=(-reach, reach))
            axis.locator_params(nbins=4)
        figure.supxlabel("rank of the truth among the samples (fraction)", fontsize=8)
        figure.supylabel("distribution function − uniform", fontsize=8)
    return figure


def coverage(measured: Measured):
    """Expected coverage of highest-density regions, and the curve of TARP, each with the band of honest posteriors."""
    levels = np.linspace(0, 1, 101)
    band = calibration.sampling_band(levels, len(measured.density))
    shown = {"regions of highest density": measured.density, "distance to random points (TARP)": measured.distance}
    with style.styled():
        figure = style.new_figure(3.9, 7.0)
        axes = figure.subplots(1, 2, sharey=True)
        for axis, (title, credibility) in zip(axes, shown.items(), strict=True):
            axis.fill_between(levels, *band, color=PALE, linewidth=0, alpha=0.7, label="honest, 95 % at each level")
            axis.plot([0, 1], [0, 1], color=INK, linewidth=0.6)
            observed = (credibility[:, None] <= levels).mean(axis=0)
            axis.plot(levels, observed, color=BLUE, label=f"{len(credibility)} observations")
            stated = (credibility[:, None] <= calibration.LEVELS).mean(axis=0)
            axis.plot(calibration.LEVELS, stated, "o", color=BLUE, markersize=3.5)
            axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="nominal coverage", title=title)
            axis.set_aspect("equal", adjustable="box")
        axes[0].set_ylabel("observed coverage")
        # below, where no curve is
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def predictive(time_ms, observed, predicted: Mapping[str, np.ndarray], unit: str, features: Features | None = None):
    """Observed trace, simulations from the posterior, and their features beside those of the observation.

    Args:
        time_ms: Time of each sample (ms), shape (time,).
        observed: Trace, shape (time[, channel]); None where only its features are known.
        predicted: Simulated traces by label, such as "mode", shape (m, time[, channel]) each; the first few are drawn.
        unit: Of the traces.
        features: The features; their points are coloured like the traces of the same label.
    """
    rows = {} if observed is None else {"observed": np.asarray(observed)[None]}
    rows |= {label: np.asarray(traces) for label, traces in predicted.items()}
    colours = dict(zip(predicted, (BLUE, GREEN, RED, ORANGE), strict=False)) | {"observed": INK}
    longest = max(map(len, features.names)) if features else 0
    with style.styled():
        below = 2.2 + 0.06 * longest if features else 0.0
        figure = style.new_figure(1.15 * len(rows) + 0.4 + below)
        parts = figure.subfigures(2, 1, height_ratios=[1.15 * len(rows) + 0.4, below]) if features else [figure]
        axes = parts[0].subplots(len(rows), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        channels = [traces.reshape(*traces.shape[:2], -1) for traces in rows.values()]
        step = 1.1 * max(float(np.nanmax(c) - np.nanmin(c)) for c in channels)
        for axis, (label, traces), values in zip(axes, rows.items(), channels, strict=True):
            for k, trace in enumerate(values[:TRACES]):
                shade = 1 - 0.3 * k
                axis.plot(
                    time_ms, trace - step * np.arange(trace.shape[1]), color=colours[label], linewidth=0.6, alpha=shade
                )
            several = f" ({min(len(traces), TRACES)} of {len(traces)})" if len(traces) > 1 else ""
            axis.set_title(label + several)
            axis.margins(x=0.01)
            if values.shape[2] > 1:
                axis.set_yticks([])
        many = channels[0].shape[2] > 1
        apart = f"channels, {style.number(step, 2)} {style.unit_text(unit)} apart"
        parts[0].supylabel(apart if many else style.unit_text(unit) or "no unit", fontsize=8)
        axes[-1].set_xlabel("time (ms)")
        if features:
            panels.feature_panel(parts[1].subplots(), features, colours)
    return figure


def contraction(measured: Measured):
    """Contraction against z-score of every test observation, a panel per parameter (Betancourt 2018, Schad 2021)."""
    x, z = measured.contraction, measured.z
    left = min(0.0, max(float(np.quantile(x, 0.005)), -1.0)) - 0.05
    with style.styled():
        figure, axes = style.panel_grid(len(measured.names), panel_height=1.8 if len(x.T) > 4 else 2.4)
        for k, (axis, name) in enumerate(zip(axes, measured.names, strict=True)):
            axis.axhspan(-2, 2, color=PALE, alpha=0.5, linewidth=0)
            axis.axhline(0, color=INK, linewidth=0.5)
            shown = (np.abs(z[:, k]) <= FARTHEST_Z) & (x[:, k] >= left)
            if len(x) < SCATTER_LIMIT:
                axis.scatter(x[shown, k], z[shown, k], s=5, color=BLUE, alpha=0.45, linewidths=0, zorder=2)
            else:
                extent = (left, 1.05, -FARTHEST_Z, FARTHEST_Z)
                axis.hexbin(
                    x[shown, k], z[shown, k], gridsize=35, extent=extent, bins="log", mincnt=1, cmap="Blues", vmin=0.4
                )
            # + 0 turns −0.00 into 0.00
            place = round(float(z[:, k].mean()), 2) + 0
            text = f"contraction {x[:, k].mean():.2f}, z {place:.2f} ± {z[:, k].std():.2f}".replace("-", "−")
            axis.text(0.03, 1.0, text, transform=axis.transAxes, va="top", fontsize=6)
            if not shown.all():
                axis.text(0.03, 0.02, f"{(~shown).sum()} beyond", transform=axis.transAxes, fontsize=6)
            # room for the numbers above the points
            axis.set(xlim=(left, 1.05), ylim=(-FARTHEST_Z, 1.35 * FARTHEST_Z))
            axis.set_yticks([-4, -2, 0, 2, 4])
            style.fit(axis.set_title, name, size=8.5)
        figure.supxlabel("contraction (1 − posterior / prior variance)", fontsize=8)
        figure.supylabel("z-score of the posterior mean", fontsize=8)
    return figure


def ecdf_band(n: int, grid, share: float = 0.95, draws: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Where the distribution function of n uniform numbers lies, at all points of a grid at once.

    Binomial intervals of one level each, the level such that a share of uniform draws stays within all of them
    (Säilynoja et al. 2022, doi:10.1007/s11222-022-10090-6, by simulation).

    Args:
        n: Numbers.
        grid: Increasing points within (0, 1), shape (m,).
        share: Of the draws that stay within the band.
        draws: Simulated draws; always the same.

    Returns:
        Lower and upper end of the distribution function, shape (m,) each.
    """
    from scipy.stats import binom

    grid = np.asarray(grid, np.float64)
    cells = np.diff(grid, prepend=0, append=1)
    counts = np.random.default_rng(0).multinomial(n, cells, draws)[:, :-1].cumsum(axis=1)
    # of every count at every point, by a table: draws are many
    every = np.arange(n + 1)[:, None]
    tails = np.minimum(binom.cdf(every, n, grid), binom.sf(every - 1, n, grid))
    extreme = tails[counts, np.arange(len(grid))].min(axis=1)
    tail = np.quantile(extreme, 1 - share, method="lower")
    return binom.ppf(tail, n, grid) / n, binom.isf(tail, n, grid) / n
