"""The figures of an evaluation. Every function draws one figure and gives it back; `style.save` writes it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuroinverse.evaluation import calibration, metrics, style
from neuroinverse.evaluation.calibration import ErrorModel
from neuroinverse.evaluation.metrics import Predictions
from neuroinverse.evaluation.style import BLUE, GREEN, GREY, INK, ORANGE, PALE, with_unit

# more points than this are counted in hexagons
SCATTER_LIMIT = 2000
# up to this many parameters are written above a trace, and numbers stand in the matrix of correlations
TITLE_LIMIT, NUMBERS_LIMIT = 4, 12
# what fits on a line above a trace
TITLE_CHARACTERS = 130


@dataclass(frozen=True)
class Example:
    """A test trace.

    Args:
        row: Its row in the predictions.
        signal: Samples, shape (time,) or (time, channel).
    """

    row: int
    signal: np.ndarray


def predicted_true(predictions: Predictions):
    """Ensemble mean against truth, a panel per parameter with identity line, r² and rmse."""
    errors = metrics.parameter_errors(predictions)
    with style.styled():
        # long names push their unit to a second line
        long = any(len(with_unit(p.name, p.unit)) > 20 for p in predictions.space.parameters)
        figure, axes = style.panel_grid(len(errors), extra_height=0.3 if long else 0.0)
        for k, (axis, parameter) in enumerate(zip(axes, predictions.space.parameters, strict=True)):
            x, y = predictions.true[:, k], predictions.mean[:, k]
            limits = style.prior_limits(parameter, predictions.mean_unit[:, k])
            if parameter.scale == "log":
                axis.set(xscale="log", yscale="log")
            axis.plot(limits, limits, color=INK, linewidth=0.6, zorder=3)
            if len(x) < SCATTER_LIMIT:
                axis.scatter(x, y, s=5, color=BLUE, alpha=0.45, linewidths=0, zorder=2)
            else:
                extent = np.log10(limits) if parameter.scale == "log" else limits
                axis.hexbin(
                    x, y, gridsize=45, extent=(*extent, *extent), xscale=axis.get_xscale(), yscale=axis.get_yscale(),
                    bins="log", mincnt=1, cmap="Blues", linewidths=0.1, vmin=0.4, zorder=2,
                )  # fmt: skip
            axis.set(xlim=limits, ylim=limits)
            axis.set_aspect("equal", adjustable="box")
            row = errors[parameter.name]
            outside = int(((y < limits[0]) | (y > limits[1])).sum())
            lines = [f"r² = {style.number(row['r2'])}", f"rmse = {style.number(row['rmse'])}"]
            axis.text(
                0.04, 0.96, "\n".join(lines + [f"{outside} beyond the axis"] * (outside > 0)),
                transform=axis.transAxes, va="top", fontsize=7, zorder=4,
                bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1},
            )  # fmt: skip
            style.fit(axis.set_title, parameter.name, style.in_brackets(parameter.unit), size=8.5)
            style.parameter_axis(axis.xaxis, parameter)
            style.parameter_axis(axis.yaxis, parameter)
        figure.supxlabel("true value", fontsize=8)
        figure.supylabel("predicted value", fontsize=8)
    return figure


def residuals(predictions: Predictions):
    """Histograms of predicted minus true in unit space, a panel per parameter with bias and standard deviation."""
    values = predictions.residual_unit
    with style.styled():
        figure, axes = style.panel_grid(len(predictions.space.parameters), panel_height=1.75)
        for axis, parameter, column in zip(axes, predictions.space.parameters, values.T, strict=True):
            # the axis shows all but the rare far outliers, which are counted instead
            reach = max(1.15 * float(np.quantile(np.abs(column), 0.99)), 1e-6)
            bins = int(np.clip(np.sqrt(len(column)), 12, 50))
            axis.hist(column, bins=bins, range=(-reach, reach), color=BLUE, alpha=0.75)
            axis.axvline(0, ymax=1 / 1.45, color=INK, linewidth=0.6)
            lines = [
                f"bias {style.number(float(column.mean()), 2)}",
                f"sd {style.number(float(column.std()), 2)}",
            ]
            outside = int((np.abs(column) > reach).sum())
            lines += [f"{outside} beyond"] * (outside > 0)
            axis.text(0.03, 1.0, "\n".join(lines), transform=axis.transAxes, va="top", fontsize=7)
            style.fit(axis.set_title, parameter.name, size=8.5)
            axis.set_xlim(-reach, reach)
            # room for the numbers above the highest bar
            axis.set_ylim(0, axis.get_ylim()[1] * 1.45)
            axis.locator_params(nbins=4)
        figure.supxlabel("predicted − true (unit parameter; the prior spans −1 to 1)", fontsize=8)
        figure.supylabel("test simulations", fontsize=8)
    return figure


def residual_correlation(predictions: Predictions):
    """Matrix of the correlations between the errors of different parameters."""
    names = predictions.space.names
    matrix = metrics.residual_correlation(predictions.residual_unit)
    # the names take their room from the matrix, upright below it and to its left
    letters = 0.065 * max(map(len, names))
    side = float(np.clip(0.55 * len(names), 1.2, 5.4)) + letters
    with style.styled():
        figure = style.new_figure(max(side, 2.2) + 0.2, side + 1.2)
        axis = figure.subplots()
        image = axis.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
        name_ticks(axis, names, names)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
        if len(names) <= NUMBERS_LIMIT:
            for (i, j), value in np.ndenumerate(matrix):
                # + 0 turns −0.00 into 0.00
                text = "–" if np.isnan(value) else f"{round(value, 2) + 0:.2f}".replace("-", "−")
                axis.text(
                    j,
                    i,
                    text,
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if abs(value) > 0.6 else INK,
                )
        figure.colorbar(image, ax=axis, shrink=0.8, pad=0.02, label="correlation of the errors")
    return figure


def coverage(predictions: Predictions, errors: ErrorModel, levels: Sequence[float] = calibration.CURVE_LEVELS):
    """Observed against nominal coverage: of the stated intervals, and of others read as Gaussian for comparison."""
    distance, gaussian = predictions.distance_unit, calibration.gaussian_widths(levels)
    widths = [errors.half_widths(level) for level in levels]
    stated = calibration.coverage(distance, predictions.error_unit, widths)
    others = [("stated error, read as Gaussian", GREEN, "^", ":", predictions.error_unit)]
    if predictions.n_folds > 1:
        others.append(("spread over folds alone, read as Gaussian", ORANGE, "s", "--", predictions.sd_unit))
    with style.styled():
        figure = style.new_figure(4.2, 4.6)
        axis = figure.subplots()
        axis.fill_between(
            levels, *calibration.sampling_band(levels, len(predictions)), color=PALE, linewidth=0, alpha=0.7,
            label=f"honest interval, 95 % band for {len(predictions)} simulations",
        )  # fmt: skip
        axis.plot([0, 1], [0, 1], color=INK, linewidth=0.6)
        if stated is not None:
            if stated.shape[1] > 1:
                axis.plot(levels, stated, color=BLUE, alpha=0.3, linewidth=0.6)
            axis.plot(levels, stated.mean(axis=1), color=BLUE, marker="o", markersize=3, label="stated interval")
            if stated.shape[1] > 1:
                axis.plot([], [], color=BLUE, alpha=0.3, linewidth=0.6, label="stated interval, single parameters")
        for label, color, marker, line, error in others:
            observed = calibration.coverage(distance, error, gaussian)
            if observed is not None:
                axis.plot(
                    levels, observed.mean(axis=1), color=color, marker=marker, markersize=2.5, linestyle=line,
                    linewidth=0.8, label=label,
                )  # fmt: skip
        if not axis.get_lines()[1:]:
            axis.text(0.5, 0.25, "no error is stated", ha="center", color=GREY)
        axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="nominal coverage", ylabel="observed coverage")
        axis.set_aspect("equal", adjustable="box")
        axis.legend(loc="upper left", borderaxespad=0.2, fontsize=6)
    return figure


def learning_curves(histories, of: str = "unit parameters"):
    """Loss and validation loss of every fold against the epoch.

    Args:
        histories: A table per fold with the columns epoch, loss and val_loss (NaN where there is no validation).
        of: What it is a loss of, or its unit.
    """
    with style.styled():
        figure = style.new_figure(3.2, 6.0)
        axis = figure.subplots()
        best = []
        for history in histories:
            single = "o" if len(history) == 1 else None
            loss, validation = history["loss"].astype(float), history["val_loss"].astype(float)
            axis.plot(history["epoch"], loss, color=BLUE, alpha=0.7, linewidth=0.9, marker=single, markersize=3)
            if validation.notna().any():
                axis.plot(
                    history["epoch"], validation, color=ORANGE, alpha=0.8, linewidth=0.9, linestyle="--",
                    marker=single, markersize=3,
                )  # fmt: skip
                best.append(float(validation.min()))
        axis.plot([], [], color=BLUE, label=f"training ({len(histories)} fold{'s' * (len(histories) != 1)})")
        if best:
            axis.plot(
                [], [], color=ORANGE, linestyle="--",
                label=f"validation (best, mean over folds: {style.number(float(np.mean(best)))})",
            )  # fmt: skip
        # a likelihood may be negative
        lowest = min(float(h[["loss", "val_loss"]].astype(float).min().min()) for h in histories)
        axis.set_yscale("log" if lowest > 0 else "linear")
        axis.set(xlabel="epoch", ylabel=f"loss ({of})")
        axis.legend()
        axis.grid(axis="y", color=PALE, linewidth=0.4)
        axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


def examples(predictions: Predictions, traces: Sequence[Example], signal, unit: str, stimulus, stimulus_unit: str):
    """Test traces with their true and predicted parameters, and the stimulus, where there is one, below them.

    Up to four parameters are written above each trace; more are drawn beside it in unit space.

    Args:
        predictions: Predictions of the test set.
        traces: The traces to show, one panel each.
        signal: Its description: `name`, `dt_ms`, `t0_ms` and `channels`.
        unit: Unit of the signal.
        stimulus: Stimulus over the same window, shape (time,), or None where there is none.
        stimulus_unit: Its unit.
    """
    parameters = predictions.space.parameters
    beside = len(parameters) > TITLE_LIMIT
    rows = len(traces) + (stimulus is not None)
    titles = [] if beside else [_example_title(predictions, t.row) for t in traces]
    title_height = 0.14 * max((title.count("\n") for title in titles), default=0)
    with style.styled():
        figure = style.new_figure((1.15 + title_height) * len(traces) + (1.1 if stimulus is not None else 0.4))
        axes = figure.subplots(
            rows, 2 if beside else 1, squeeze=False, sharex="col",
            gridspec_kw={"width_ratios": [1.7, 1] if beside else [1],
                         "height_ratios": [1.0] * len(traces) + [0.75] * (stimulus is not None)},
        )  # fmt: skip
        for k, (example, axis) in enumerate(zip(traces, axes[:, 0], strict=False)):
            time = signal.t0_ms + signal.dt_ms * np.arange(len(example.signal))
            _draw_channels(axis, time, np.asarray(example.signal).reshape(len(time), -1), unit, signal.channels)
            axis.margins(x=0.01)
            axis.set_title(_short_title(predictions, example.row) if beside else titles[k], fontsize=7.5)
            if beside:
                _draw_unit_parameters(axes[k, 1], predictions, example.row, legend=k == 0)
        if axes[0, 0].get_legend_handles_labels()[0]:
            # above the panel, where no trace is
            axes[0, 0].legend(
                loc="lower right", bbox_to_anchor=(1, 1), ncols=4, fontsize=6.5, borderpad=0.2, handlelength=1
            )
        if stimulus is not None:
            axis = axes[-1, 0]
            axis.plot(signal.t0_ms + signal.dt_ms * np.arange(len(stimulus)), stimulus, color=INK, linewidth=0.6)
            axis.set_ylabel(style.unit_text(stimulus_unit) or "no unit")
            axis.set_title("stimulus", fontsize=7.5)
            if beside:
                axes[-1, 1].remove()
        if beside:
            axes[len(traces) // 2, 1].set_ylabel("unit parameter")
            name_ticks(axes[len(traces) - 1, 1], predictions.space.names, None)
            if stimulus is not None:
                # the names hang into the empty place beside the stimulus instead of pushing it down
                axes[len(traces) - 1, 1].xaxis.set_in_layout(False)
        axes[-1, 0].set_xlabel("time (ms)")
        figure.suptitle(with_unit(signal.name.replace("_", " "), unit), x=0.01, ha="left", fontsize=8.5)
    return figure


def _draw_channels(axis, time: np.ndarray, channels: np.ndarray, unit: str, names: Sequence[str]) -> None:
    """Few channels on one axis as they are; many, such as the contacts of a probe, one below the other."""
    shades = [BLUE, ORANGE, style.GREEN, GREY]
    if channels.shape[1] <= len(shades):
        labels = names if len(names) > 1 else [None] * len(shades)
        for channel, shade, label in zip(channels.T, shades, labels, strict=False):
            axis.plot(time, channel, linewidth=0.6, color=shade, label=label)
        axis.set_ylabel(style.unit_text(unit) or "no unit")
        return
    middle = np.median(channels, axis=0)
    low, high = np.quantile(channels - middle, (0.005, 0.995))
    # a digit is as exact as the eye
    step = float(f"{max(high - low, 1e-30):.0e}")
    places = -step * np.arange(channels.shape[1])
    axis.plot(time, channels - middle + places, linewidth=0.4, color=BLUE)
    axis.set_yticks(places[[0, -1]], [1, channels.shape[1]])
    axis.set_ylabel(f"channels,\n{style.exact(step)} {style.unit_text(unit)} apart", fontsize=7)


def _example_title(predictions: Predictions, row: int) -> str:
    """True and predicted parameters in words, two to a line where they fit."""
    parts = []
    for k, parameter in enumerate(predictions.space.parameters):
        mean = predictions.mean[row, k]
        error = float(style.physical_error(parameter, mean, predictions.error_unit[row, k]))
        text = style.value_with_error(mean, error)
        parts.append(
            f"{with_unit(parameter.name, parameter.unit)}: true {style.number(float(predictions.true[row, k]), 4)}, "
            f"predicted {text}"
        )
    pairs = ["     ".join(parts[i : i + 2]) for i in range(0, len(parts), 2)]
    return "\n".join(pairs if max(map(len, pairs)) <= TITLE_CHARACTERS else parts)


def _short_title(predictions: Predictions, row: int) -> str:
    rmse = float(np.sqrt(np.mean(predictions.residual_unit[row] ** 2)))
    return f"simulation {predictions.index[row]}: rmse over parameters {style.number(rmse, 2)} (unit parameters)"


def _draw_unit_parameters(axis, predictions: Predictions, row: int, legend: bool) -> None:
    """True and predicted unit parameters of one simulation side by side."""
    places = np.arange(predictions.true_unit.shape[1])
    error = np.nan_to_num(predictions.error_unit[row])
    axis.axhspan(-1, 1, color=PALE, alpha=0.35, linewidth=0)
    axis.errorbar(
        places, predictions.mean_unit[row], yerr=error, fmt=".", markersize=3.5, color=ORANGE, elinewidth=0.8,
        label="predicted ± error",
    )  # fmt: skip
    axis.plot(places, predictions.true_unit[row], "_", color=INK, markersize=5, label="true")
    # long error bars must not flatten the rest
    axis.set_ylim(*(np.array([-1, 1]) * max(1.15, min(2.5, np.abs(predictions.mean_unit[row]).max() * 1.1))))
    axis.set_xlim(-0.6, len(places) - 0.4)
    axis.tick_params(axis="x", labelbottom=False)
    if legend:
        axis.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.1, handletextpad=0.3)


def name_ticks(axis, columns: Sequence[str], rows: Sequence[str] | None) -> None:
    """Names of parameters along the axes, upright unless they are too short to collide."""
    size = 7 if len(columns) <= 16 else 5.5
    short = max(map(len, columns)) <= 3 and len(columns) <= 12
    axis.set_xticks(range(len(columns)), columns, rotation=0 if short else 90, fontsize=size)
    axis.tick_params(axis="x", labelbottom=True)
    if rows is not None:
        axis.set_yticks(range(len(rows)), rows, fontsize=size)
