"""What a model says of traces of other studies: how its predictions are distributed. No truth is used."""

from collections.abc import Mapping, Sequence

import numpy as np

from neuroinverse.estimators.ensemble import Predictions
from neuroinverse.evaluation import metrics, style
from neuroinverse.evaluation.style import BLUE, INK, ORANGE, RED

# the range of the training, in unit parameters: what lies beyond is unphysical
LIMIT = 1.0
# an axis of predictions reaches as far at least, and at most
REACH = (1.3, 3.0)
# pairs of parameters that are drawn
PAIRS = 6
# up to this many parameters, numbers stand in the matrices
NUMBERS_LIMIT = 12


def summary(predictions: Predictions, error: np.ndarray, names: Sequence[str]) -> dict:
    """Figures of one dataset, in unit parameters.

    Args:
        predictions: Of its traces.
        error: The ensemble's stated error of each, one standard deviation, shape (n, K).
        names: The parameters.

    Returns:
        `n`; `beyond_any`, the share of traces with a parameter beyond the range of the training; `fold_spread` and
        `stated_error`, means over traces and parameters; `parameters`, for each the same beside mean, standard
        deviation and `distance_from_prior`, the largest distance between the cumulative distributions of predictions
        and prior; `correlation`, between predictions, None where one does not vary. Without several folds there is no
        spread: None.
    """
    mean, spread = predictions.mean, predictions.sd if len(predictions.folds) > 1 else None
    beyond = np.abs(mean) > LIMIT
    distance = distance_from_prior(mean)
    rows = {}
    for k, name in enumerate(names):
        rows[name] = {
            "beyond": float(beyond[:, k].mean()),
            "mean": float(mean[:, k].mean()),
            "sd": float(mean[:, k].std()),
            "distance_from_prior": float(distance[k]),
            "fold_spread": None if spread is None else float(spread[:, k].mean()),
            "stated_error": float(error[:, k].mean()),
        }
    matrix = metrics.residual_correlation(mean)
    return {
        "n": len(predictions),
        "beyond_any": float(beyond.any(axis=1).mean()),
        "fold_spread": None if spread is None else float(spread.mean()),
        "stated_error": float(error.mean()),
        "parameters": rows,
        "correlation": [[None if np.isnan(r) else float(r) for r in row] for row in matrix],
    }


def distance_from_prior(unit: np.ndarray) -> np.ndarray:
    """Kolmogorov and Smirnov's distance of each column from the uniform distribution over the range.

    Args:
        unit: Unit parameters, shape (n, K).

    Returns:
        0 (the prior itself) to 1, shape (K,).
    """
    n = len(unit)
    expected = np.clip((np.sort(unit, axis=0) + 1) / 2, 0, 1)
    above, below = np.arange(1, n + 1)[:, None] / n, np.arange(n)[:, None] / n
    return np.maximum(above - expected, expected - below).max(axis=0)


def strongest_pairs(matrices: Sequence[np.ndarray], count: int = PAIRS) -> list[tuple[int, int]]:
    """Pairs of parameters, most strongly correlated first, from the matrices in turn, each pair once.

    Args:
        matrices: A matrix of correlations for each dataset, shape (K, K), NaN where undefined.
        count: Most pairs.
    """
    places = list(zip(*np.triu_indices(len(matrices[0]), 1), strict=True))
    ranked = [sorted(places, key=lambda p: -abs(np.nan_to_num(m[p]))) for m in matrices]
    turns = (pair for turn in zip(*ranked, strict=True) for pair in turn)
    return [(int(i), int(j)) for i, j in dict.fromkeys(turns)][:count]


def distributions(means: Mapping[str, np.ndarray], names: Sequence[str]):
    """Histograms of predictions: a row for each parameter, a column for each dataset.

    Args:
        means: By dataset the ensemble's unit parameters, shape (n, K); the study's own first.
        names: The parameters.
    """
    reach = _reach(means.values())
    # bins that have an edge at both ends of the range
    width = 2 * LIMIT / 20
    edges = width * np.arange(-np.ceil(reach / width - 1e-9), np.ceil(reach / width - 1e-9) + 1)
    with style.styled():
        figure = style.new_figure(0.9 + 0.62 * len(names), min(style.WIDTH, 2.0 + 2.0 * len(means)))
        grid = figure.subplots(len(names), len(means), squeeze=False, sharex=True)
        for column, (title, values) in enumerate(means.items()):
            color = BLUE if column == 0 else ORANGE
            for k, name in enumerate(names):
                axis, x = grid[k, column], np.clip(values[:, k], edges[0], edges[-1])
                for low, high in ((edges[0], -LIMIT), (LIMIT, edges[-1])):
                    axis.axvspan(low, high, color=RED, alpha=0.09, linewidth=0)
                axis.hist(x, bins=edges, weights=np.full(len(x), 1 / (len(x) * width)), color=color, alpha=0.8)
                axis.plot([-LIMIT, -LIMIT, LIMIT, LIMIT], [0, 0.5, 0.5, 0], color=INK, linewidth=0.6, linestyle="--")
                share = float((np.abs(values[:, k]) > LIMIT).mean())
                axis.text(
                    0.5, 0.97, f"{100 * share:.1f} % beyond" if share else "",
                    transform=axis.transAxes, ha="center", va="top", fontsize=6.5, color=RED,
                )  # fmt: skip
                axis.set_xlim(edges[0], edges[-1])
                axis.set_yticks([])
                # room for the share above the highest bar
                axis.set_ylim(0, axis.get_ylim()[1] * 1.35)
                if column == 0:
                    axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=7.5)
            style.fit(grid[0, column].set_title, title, f"(n = {style.number(len(values))})", room=24, size=8.5)
        figure.supxlabel("predicted unit parameter", fontsize=8)
    return figure


def correlations(matrices: Mapping[str, np.ndarray], names: Sequence[str]):
    """Matrices of the correlations between predictions, one for each dataset, two side by side.

    Args:
        matrices: By dataset, shape (K, K), NaN where undefined.
        names: The parameters.
    """
    from neuroinverse.evaluation.figures import name_ticks

    columns = min(2, len(matrices))
    rows, letters = -(-len(matrices) // columns), 0.065 * max(map(len, names))
    side = float(np.clip(0.55 * len(names), 1.2, 2.8))
    with style.styled():
        figure = style.new_figure(rows * (side + letters + 0.45), columns * (side + letters + 0.3) + 0.5)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, (title, matrix) in zip(axes, matrices.items(), strict=False):
            image = axis.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
            name_ticks(axis, names, names)
            axis.spines[:].set_visible(False)
            axis.tick_params(length=0)
            axis.set_title(title)
            for (i, j), value in np.ndenumerate(matrix if len(names) <= NUMBERS_LIMIT else np.zeros((0, 0))):
                color = "white" if abs(value) > 0.6 else INK
                axis.text(j, i, _short(value), ha="center", va="center", fontsize=6, color=color)
        for empty in axes[len(matrices) :]:
            empty.remove()
        figure.colorbar(image, ax=list(axes[: len(matrices)]), shrink=0.6, pad=0.02, label="correlation of predictions")
    return figure


def pairs(means: Mapping[str, np.ndarray], matrices: Mapping[str, np.ndarray], names: Sequence[str]):
    """Two-dimensional histograms of the most strongly correlated pairs: a row for each dataset, a column for each pair.

    Args:
        means: By dataset the ensemble's unit parameters, shape (n, K).
        matrices: By dataset the correlations, shape (K, K).
        names: The parameters.
    """
    chosen, reach = strongest_pairs(list(matrices.values())), _reach(means.values())
    with style.styled():
        if not chosen:
            figure = style.new_figure(0.6, 4.0)
            figure.text(0.02, 0.5, f"{names[0]} is the only parameter: there are no pairs.", va="center")
            return figure
        columns = len(chosen)
        figure = style.new_figure(0.8 + 1.45 * len(means), min(style.WIDTH, 1.2 + 1.35 * columns))
        grid = figure.subplots(len(means), columns, squeeze=False, sharex=True, sharey=True)
        for row, (title, values) in zip(grid, means.items(), strict=True):
            for axis, (i, j) in zip(row, chosen, strict=True):
                x, y = (np.clip(values[:, k], -reach, reach) for k in (i, j))
                axis.hexbin(
                    x, y, gridsize=22, extent=(-reach, reach, -reach, reach), bins="log", mincnt=1, cmap="Blues",
                    linewidths=0.1, vmin=0.3, zorder=1,
                )  # fmt: skip
                box = LIMIT * np.array([[-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1]])
                axis.plot(*box, color=INK, linewidth=0.6, zorder=2)
                axis.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[-1, 0, 1], yticks=[-1, 0, 1])
                axis.set_aspect("equal", adjustable="box")
                names_of_pair = f"{names[j]} ↑\n{names[i]} →\n" if axis in grid[0] else ""
                axis.set_title(f"{names_of_pair}r = {_short(matrices[title][i, j])}", fontsize=7)
            style.fit(row[0].set_ylabel, title, room=18, size=7.5)
        figure.supxlabel("predicted unit parameter", fontsize=8)
    return figure


def _reach(means) -> float:
    """End of an axis that holds nearly all predictions."""
    return float(np.clip(max(np.quantile(np.abs(m), 0.999) for m in means), *REACH))


def _short(value: float) -> str:
    """A correlation with two digits; a dash where it is undefined. + 0 turns −0.00 into 0.00."""
    return "–" if np.isnan(value) else f"{round(value, 2) + 0:.2f}".replace("-", "−")
