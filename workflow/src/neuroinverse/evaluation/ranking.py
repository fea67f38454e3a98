"""The ranking of a search: its order, its columns and its picture."""

from collections.abc import Mapping, Sequence

from neuroinverse.evaluation import style
from neuroinverse.evaluation.style import BLUE, GREY, INK, ORANGE, PALE

# of a row of the ranking, in the order of the published table; a mark says what is not a plain number
COLUMNS = (
    "rank", "trial", "status", "mse_unit", "loss", "fold", "loss_name", "early_stopped", "epochs", "fit_minutes",
    "optimizer", "weights_k", "flat_size", "layers", "batch_size", "conv_repeat", "conv_filter", "conv_kernel",
    "pool_len", "fc_dims", "dropFrac", "lastAct", "reduceLR_factor", "message",
)  # fmt: skip
# of a finalist besides, after its trial
FIRST = ("first_rank", "first_mse_unit")
SHORTEST = 8


def ranked(results: Sequence[Mapping]) -> list[dict]:
    """Trials in their order: by mean squared error, whatever loss they were trained with.

    Those that diverged or failed come last; equal ones stand in the order of their trials.

    Args:
        results: What `train_trial` wrote.

    Returns:
        The same with `place`, from 1.
    """

    def key(result):
        mse = result.get("mse_unit")
        well = result["status"] == "ok" and mse is not None
        # a finalist without a trial has only its rank in the first tier
        return not well, mse if well else 0.0, result.get("trial", float("inf")), result.get("rank", 0)

    return [{**result, "place": place} for place, result in enumerate(sorted(results, key=key), start=1)]


def table(rows: Sequence[Mapping], first: Mapping[int, Mapping] | None = None) -> list[dict]:
    """Rows of the table, by column.

    Args:
        rows: Of `ranked`.
        first: For finalists, the rows of the first tier by trial.
    """
    found = []
    for row in rows:
        h, started = row.get("hyperparameters", {}), (first or {}).get(row.get("trial"), {})
        values = {
            **{key: row.get(key) for key in COLUMNS},
            **{key: h.get(key) for key in COLUMNS if key in h},
            "rank": row["place"],
            "loss_name": h.get("lossName"),
            "optimizer": h.get("optimizerName"),
            "weights_k": round(row["weights"] / 1000, 1) if "weights" in row else None,
        }
        if first is None:
            found.append({key: values[key] for key in COLUMNS})
        else:
            values |= {"first_rank": started.get("place"), "first_mse_unit": started.get("mse_unit")}
            found.append({key: values[key] for key in (*COLUMNS[:2], *FIRST, *COLUMNS[2:])})
    return found


def loss_plot(rows: Sequence[Mapping], finalists: Sequence[Mapping] = ()):
    """Mean squared error of every trial in the order of the ranking, and of the finalists above their trials.

    Args:
        rows: Of the first tier, as `ranked` gives them.
        finalists: Of the second tier.
    """
    shown = [row for row in rows if row.get("mse_unit") is not None and row["status"] == "ok"]
    place = {row["trial"]: row["place"] for row in shown}
    ended = [(place[f["trial"]], f["mse_unit"]) for f in finalists if f["status"] == "ok" and f.get("trial") in place]
    kinds = {name: [r for r in shown if r["hyperparameters"]["optimizerName"] == name] for name in _optimizers(shown)}
    with style.styled():
        figure = style.new_figure(3.0)
        axes = figure.subplots()
        # one third is what guessing the middle of the range gives
        axes.axhline(1 / 3, color=INK, linewidth=0.6, linestyle=":")
        place_of_text = {"transform": axes.get_yaxis_transform(), "ha": "left", "va": "bottom"}
        axes.text(0.005, 1 / 3, "centre of the prior", fontsize=6.5, **place_of_text)
        for (name, members), marker in zip(kinds.items(), "osD^v", strict=False):
            points = [r["place"] for r in members], [r["mse_unit"] for r in members]
            look = {"color": GREY if finalists else BLUE, "markersize": 4, "fillstyle": _fill(marker)}
            axes.plot(*points, marker, label=f"{name} ({len(members)})", **look)
        for x, mse in ended:
            axes.plot([x, x], [shown[x - 1]["mse_unit"], mse], color=PALE, zorder=0)
        if ended:
            axes.plot(*zip(*ended, strict=True), "o", color=ORANGE, markersize=5, label="trained to the end")
        axes.set_yscale("log")
        axes.set_xlim(0.3, max(len(shown), SHORTEST) + 0.7)
        loss_axis(axes)
        axes.set_xlabel("rank after the first tier")
        axes.set_ylabel("mean squared error, held-out fold\n(unit parameters)")
        axes.legend(loc="lower right")
    return figure


def _optimizers(rows) -> list[str]:
    return sorted({row["hyperparameters"]["optimizerName"] for row in rows})


def _fill(marker: str) -> str:
    return "full" if marker == "o" else "none"


def loss_axis(axes) -> None:
    """Sets the ticks of a logarithmic axis of losses, over whole numbers such as ranks."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(FixedLocator(style.log_ticks(low, high, 6)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: style.exact(value)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
