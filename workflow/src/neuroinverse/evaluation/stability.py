"""How much designs vary when they are trained again: repeats in numbers, the choice, and the picture."""

import statistics
from collections.abc import Mapping, Sequence

from neuroinverse.evaluation import style
from neuroinverse.evaluation.ranking import loss_axis
from neuroinverse.evaluation.style import BLUE, GREY, INK, ORANGE

# a loss that the last END-th of the epochs lowered by more than this share has not converged
END, SHARE = 10, 0.05
# of the table, in its order; the design follows
COLUMNS = (
    "design", "trial", "chosen", "repeats", "ok", "diverged", "failed", "unconverged", "mean_mse_unit", "sd_mse_unit",
    "min_mse_unit", "max_mse_unit", "upper_mse_unit", "fit_seconds",
)  # fmt: skip
DESIGN = (
    "weights_k", "optimizerName", "lossName", "batch_size", "conv_repeat", "conv_filter", "conv_kernel", "pool_len",
    "fc_dims", "dropFrac", "lastAct", "message",
)  # fmt: skip


def converged(losses: Sequence[float]) -> bool:
    """Whether a training was at its end: whether the last tenth of its epochs gained little.

    Under a learning rate that waits for plateaus, more epochs would have lowered a loss that has not converged. Under a
    cosine the rate is at most a fortieth of the first there: a loss that falls all the same had too few epochs; one
    that does not is at the end of its schedule, which says nothing of a longer one.

    Args:
        losses: Validation loss after each epoch, all that were done.

    Returns:
        False where the lowest loss of the last tenth of the epochs, at least one, is more than 5 % below the lowest one
        before, and where there is none before.
    """
    before = losses[: len(losses) - max(len(losses) // END, 1)]
    return bool(before) and min(losses) >= (1 - SHARE) * min(before)


def summarised(results: Sequence[Mapping], losses: Sequence[Sequence[float]]) -> list[dict]:
    """One row per design, in the order of their ranks.

    Args:
        results: What `train_trial` wrote for every repeat.
        losses: Validation loss after each epoch, for every repeat.

    Returns:
        Rows with counts of repeats by status and of those that had not converged; mean, standard deviation over repeats
        (of the sample), smallest and largest mean squared error (unit parameters) of those that went well, None where
        too few did; `upper_mse_unit`, mean plus standard deviation; `fit_seconds`, the mean; `hyperparameters`;
        `members`, the repeats.
    """
    found = []
    for rank in sorted({result["rank"] for result in results}):
        pairs = [(r, loss) for r, loss in zip(results, losses, strict=True) if r["rank"] == rank]
        members = [_member(result, loss) for result, loss in sorted(pairs, key=lambda pair: pair[0]["repeat"])]
        first = pairs[0][0]
        found.append(
            {
                "design": rank,
                "trial": first.get("trial"),
                "repeats": len(members),
                **{status: sum(m["status"] == status for m in members) for status in ("ok", "diverged", "failed")},
                "unconverged": sum(m["converged"] is False for m in members),
                **_moments([m["mse_unit"] for m in members if m["status"] == "ok"]),
                "fit_seconds": _mean([m["fit_seconds"] for m in members if m["fit_seconds"] is not None]),
                "message": "; ".join(dict.fromkeys(m["message"] for m in members if m["message"])),
                "weights": first.get("weights"),
                "hyperparameters": first.get("hyperparameters"),
                "members": members,
            }
        )
    return found


def _member(result: Mapping, losses: Sequence[float]) -> dict:
    keys = ("repeat", "fold", "status", "mse_unit", "epochs", "best_epoch", "message")
    return {key: result.get(key) for key in keys} | {
        "repeat": result["repeat"],
        "converged": converged(losses) if result["status"] == "ok" else None,
        "fit_seconds": round(60 * result["fit_minutes"], 3) if "fit_minutes" in result else None,
    }


def _moments(errors: Sequence[float]) -> dict:
    mean, sd = _mean(errors), statistics.stdev(errors) if len(errors) > 1 else None
    return {
        "mean_mse_unit": mean,
        "sd_mse_unit": sd,
        "min_mse_unit": min(errors, default=None),
        "max_mse_unit": max(errors, default=None),
        "upper_mse_unit": None if sd is None else mean + sd,
    }


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def choose(rows: Sequence[Mapping]) -> Mapping | None:
    """The golden model: the smallest `upper_mse_unit` of the designs that lost no repeat; None where all did."""
    whole = [row for row in rows if row["ok"] == row["repeats"]]
    return min(whole, key=lambda row: (row["upper_mse_unit"], row["design"]), default=None)


def table(rows: Sequence[Mapping], chosen: Mapping | None) -> list[dict]:
    """Rows of the table, by column."""
    found = []
    for row in rows:
        weights = row["weights"]
        more = {"chosen": row is chosen, "weights_k": None if weights is None else round(weights / 1000, 1)}
        values = (row["hyperparameters"] or {}) | row | more
        found.append({key: values.get(key) for key in (*COLUMNS, *DESIGN)})
    return found


def spread_plot(rows: Sequence[Mapping], chosen: Mapping | None):
    """Mean squared error of every repeat, by design, with mean and standard deviation beside.

    Args:
        rows: Of `summarised`.
        chosen: One of them, or None.
    """
    bar = {"color": INK, "marker": "_", "markersize": 9, "linestyle": "none", "elinewidth": 0.8, "capsize": 3}
    with style.styled():
        figure = style.new_figure(3.0, min(style.WIDTH, max(5.5, 2.5 + 1.1 * len(rows))))
        axes = figure.subplots()
        for x, row in enumerate(rows, start=1):
            colour = ORANGE if row is chosen else BLUE
            well = [m for m in row["members"] if m["status"] == "ok"]
            for m in well:
                # in the order of repeats, so that equal ones lie side by side
                place = x - 0.3 + 0.4 * (m["repeat"] + 0.5) / row["repeats"]
                look = {"color": colour, "markersize": 4, "fillstyle": "full" if m["converged"] else "none"}
                axes.plot(place, m["mse_unit"], "o", **look)
            if row["sd_mse_unit"] is not None:
                axes.errorbar(x + 0.22, row["mean_mse_unit"], row["sd_mse_unit"], **bar)
        for name, fill in (("converged", "full"), ("not converged", "none")):
            axes.plot([], [], "o", color=GREY, markersize=4, fillstyle=fill, label=name)
        axes.errorbar([], [], [], label="mean ± standard deviation", **bar)
        axes.set_yscale("log")
        axes.set_xlim(0.5, len(rows) + 0.5)
        loss_axis(axes)
        axes.set_xticks(range(1, len(rows) + 1), [_label(row, row is chosen) for row in rows])
        axes.set_xlabel("design, by its rank among the finalists")
        axes.set_ylabel("mean squared error, held-out fold\n(unit parameters)")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, columnspacing=1.2)
    return figure


def _label(row: Mapping, chosen: bool) -> str:
    lost = row["repeats"] - row["ok"]
    return "\n".join([str(row["design"]), *(["chosen"] if chosen else []), *([f"{lost} not shown"] if lost else [])])
