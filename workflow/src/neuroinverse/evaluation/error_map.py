"""Where in parameter space an estimator is good and where it is not."""

import numpy as np

from neuroinverse.evaluation import metrics, style
from neuroinverse.evaluation.metrics import Predictions
from neuroinverse.evaluation.style import BLUE, GREY

# with more parameters the curves would be too small to read, and strips of colour take their place
CURVES_LIMIT = 5


def error_map(predictions: Predictions):
    """Mean absolute error over parameter space.

    Two parameters give a map over both; up to five give a curve for every pair of a predicted parameter and a true
    one; more give a strip of colour for every pair, relative to the mean error of the predicted parameter.
    """
    count = len(predictions.space.parameters)
    with style.styled():
        if count == 2:
            return _maps(predictions)
        return _curves(predictions) if count <= CURVES_LIMIT else _strips(predictions)


def bins_for(n: int, most: int = 10) -> int:
    """Bins of a parameter that hold about 25 simulations or more each, at least 3."""
    return int(np.clip(n // 25, 3, most))


def _physical_edges(parameter, edges):
    from neuroinverse.parameters import ParameterSpace

    from_unit = ParameterSpace((parameter,)).to_physical
    return from_unit(np.asarray(edges)[:, None])[:, 0]


def _maps(predictions: Predictions):
    first, second = predictions.space.parameters
    absolute = np.abs(predictions.residual_unit)
    # as many cells as keep a handful of simulations in each
    side = int(np.clip(np.sqrt(len(predictions) / 15), 3, 20))
    edges = np.linspace(-1, 1, side + 1)
    cell = [np.clip(np.searchsorted(edges, predictions.true_unit[:, k], side="right") - 1, 0, side - 1) for k in (0, 1)]
    flat = metrics.binned_mean(absolute, cell[0] * side + cell[1], np.arange(side * side + 1) - 0.5)
    x, y = _physical_edges(first, edges), _physical_edges(second, edges)
    figure = style.new_figure(3.1, style.WIDTH)
    axes = figure.subplots(1, 2, sharey=True)
    style.fit(axes[0].set_ylabel, f"true {second.name}", style.in_brackets(second.unit), room=40)
    for axis, parameter, values in zip(axes, (first, second), flat.T, strict=True):
        image = axis.pcolormesh(x, y, values.reshape(side, side).T, cmap="cividis", vmin=0)
        axis.set_facecolor("white")
        axis.set(xscale=first.scale, yscale=second.scale)
        style.parameter_axis(axis.xaxis, first)
        style.parameter_axis(axis.yaxis, second, ticks=6)
        axis.set_title(f"error of {parameter.name}")
        style.fit(axis.set_xlabel, f"true {first.name}", style.in_brackets(first.unit), room=40)
        figure.colorbar(image, ax=axis, label="mean |error| (unit parameter)")
    return figure


def _curves(predictions: Predictions):
    parameters = predictions.space.parameters
    count = len(parameters)
    edges = np.linspace(-1, 1, bins_for(len(predictions)) + 1)
    absolute = np.abs(predictions.residual_unit)
    figure = style.new_figure(max(2.4, 1.5 * count), float(np.clip(2.0 * count + 1.2, 4.5, style.WIDTH)))
    grid = figure.subplots(count, count, sharex="col", sharey="row", squeeze=False)
    for j, by in enumerate(parameters):
        means = metrics.binned_mean(absolute, predictions.true_unit[:, j], edges)
        x = _physical_edges(by, edges)
        middle = _physical_edges(by, (edges[1:] + edges[:-1]) / 2)
        for i, predicted in enumerate(parameters):
            axis = grid[i, j]
            axis.axhline(absolute[:, i].mean(), color=GREY, linewidth=0.6, linestyle=":")
            axis.plot(middle, means[:, i], color=BLUE, marker="o", markersize=2.2)
            axis.set_xscale(by.scale)
            axis.set_xlim(x[0], x[-1])
            if j == 0:
                style.fit(axis.set_ylabel, "error of", predicted.name)
            if i == count - 1:
                style.fit(axis.set_xlabel, f"true {by.name}", style.in_brackets(by.unit), room=24)
            style.parameter_axis(axis.xaxis, by)
            axis.yaxis.get_major_locator().set_params(nbins=4)
    # the highest curve of a row decides for the whole row
    for i in range(count):
        top = max(float(np.nanmax(line.get_ydata())) for axis in grid[i] for line in axis.get_lines())
        grid[i, 0].set_ylim(0, 1.15 * top if top > 0 else 1)
    figure.suptitle("mean |error| (unit parameter); dotted: mean over the test set", x=0.01, ha="left", fontsize=8)
    return figure


def _strips(predictions: Predictions):
    names = predictions.space.names
    count = len(names)
    bins = bins_for(len(predictions), most=10 if count <= 12 else 6)
    edges = np.linspace(-1, 1, bins + 1)
    absolute = np.abs(predictions.residual_unit)
    average = absolute.mean(axis=0)
    # (by, bin, predicted) → rows of predicted, columns of by × bin
    blocks = np.stack([metrics.binned_mean(absolute, predictions.true_unit[:, j], edges) for j in range(count)])
    relative = (blocks / np.where(average > 0, average, np.nan)).transpose(2, 0, 1).reshape(count, count * bins)
    size = 7 if count <= 16 else 5.5
    figure = style.new_figure(1.4 + max(2.4, 0.21 * count), style.WIDTH)
    axis = figure.subplots()
    image = axis.imshow(
        np.log2(relative), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest",
        extent=(0, count, count, 0),
    )  # fmt: skip
    axis.set_xticks(np.arange(count) + 0.5, names, rotation=90, fontsize=size)
    axis.set_yticks(np.arange(count) + 0.5, names, fontsize=size)
    axis.tick_params(length=0)
    axis.hlines(np.arange(1, count), 0, count, color="white", linewidth=1.2)
    axis.vlines(np.arange(1, count), 0, count, color="white", linewidth=1.2)
    axis.spines[:].set_visible(False)
    axis.set_xlabel("true parameter (each strip: low to high end of the prior)")
    axis.set_ylabel("predicted parameter")
    right = axis.secondary_yaxis("right")
    right.set_yticks(np.arange(count) + 0.5, [style.number(float(a), 2) for a in average], fontsize=size)
    right.tick_params(length=0)
    right.spines[:].set_visible(False)
    right.set_ylabel("mean |error| (unit parameter)")
    bar = figure.colorbar(image, ax=axis, ticks=[-1, 0, 1], extend="both", pad=0.02, aspect=45)
    bar.set_ticklabels(["half", "as on average", "twice"])
    bar.ax.tick_params(rotation=90)
    for label in bar.ax.get_yticklabels():
        label.set_va("center")
    return figure
