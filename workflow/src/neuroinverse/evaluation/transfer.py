"""How an ensemble's errors are distributed on several datasets."""

from collections.abc import Mapping, Sequence

import numpy as np

from neuroinverse.evaluation import style
from neuroinverse.evaluation.metrics import Predictions
from neuroinverse.evaluation.style import BLUE, INK

COLUMNS = 3


def error_histograms(predictions: Mapping[str, Predictions]):
    """Histograms of predicted minus true, a row for each dataset and a column for each parameter, three side by side.

    All datasets of a parameter have one axis, so that they compare; it holds at least 98 % of every dataset, and what
    lies beyond is counted.

    Args:
        predictions: Predictions of one ensemble by dataset.
    """
    parameters = next(iter(predictions.values())).space.parameters
    columns, datasets = min(COLUMNS, len(parameters)), len(predictions)
    blocks = -(-len(parameters) // columns)
    with style.styled():
        figure = style.new_figure(0.5 + blocks * (0.45 + 0.95 * datasets), 2.0 + 2.0 * columns)
        grid = figure.subplots(blocks * datasets, columns, squeeze=False)
        for k in range(blocks * columns):
            axes = grid[k // columns * datasets :][:datasets, k % columns]
            if k < len(parameters):
                _draw_column(axes, [p.residual_unit[:, k] for p in predictions.values()])
                style.fit(axes[0].set_title, parameters[k].name, size=8.5)
            else:
                for axis in axes:
                    axis.remove()
        for i, axis in enumerate(grid[:, 0]):
            name, p = list(predictions.items())[i % datasets]
            axis.set_ylabel(f"{name}\n(n = {style.number(len(p))})", rotation=0, ha="right", va="center", fontsize=7)
        figure.supxlabel("predicted − true (unit parameter)", fontsize=8)
    return figure


def _draw_column(axes, errors: Sequence[np.ndarray]) -> None:
    """One parameter's errors on every dataset."""
    reach = max(max(float(np.quantile(np.abs(e), 0.98)) for e in errors), 1e-6) * 1.05
    for axis, values in zip(axes, errors, strict=True):
        weights = np.full(len(values), 1 / len(values))
        bins = int(np.clip(np.sqrt(len(values)), 12, 40))
        axis.hist(values, bins=bins, range=(-reach, reach), weights=weights, color=BLUE, alpha=0.75)
        axis.axvline(0, color=INK, linewidth=0.6)
        lines = [f"bias {style.number(float(values.mean()), 2)}", f"sd {style.number(float(values.std()), 2)}"]
        outside = int((np.abs(values) > reach).sum())
        lines += [f"{outside} beyond"] * (outside > 0)
        axis.text(0.02, 1.0, "\n".join(lines), transform=axis.transAxes, va="top", fontsize=6.5)
        axis.set_xlim(-reach, reach)
        # room for the numbers above the highest bar
        axis.set_ylim(0, axis.get_ylim()[1] * 1.6)
        axis.set_yticks([])
        axis.locator_params(axis="x", nbins=4)
        axis.tick_params(axis="x", labelbottom=axis is axes[-1])
