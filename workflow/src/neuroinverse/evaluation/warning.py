"""How well the warning of unlike traces tells: on traces of other studies, and on distorted ones of the study's own."""

from collections.abc import Callable, Mapping

import numpy as np

from neuroinverse.evaluation import style
from neuroinverse.evaluation.calibration import FALSE_ALARMS, ErrorModel
from neuroinverse.evaluation.style import GREY, INK

# traces that are distorted
DISTORTED = 500
LINES = ("-", "--", "-.")


def distortions(unit: str, dt_ms: float, noise: np.random.Generator) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """What may be wrong with a recording, by name: functions of traces of shape (n, time[, channel]).

    Args:
        unit: Of the signal; offsets and noise are in mV, so that only a signal in mV has them.
        dt_ms: Its sampling interval.
        noise: For white noise.
    """

    def late(x):
        steps = min(max(round(5 / dt_ms), 1), x.shape[1] - 1)
        return np.concatenate([np.repeat(x[:, :1], steps, axis=1), x[:, :-steps]], axis=1)

    def flat(x):
        kept = 2 * x.shape[1] // 3
        return np.concatenate([x[:, :kept], np.repeat(x[:, kept - 1 : kept], x.shape[1] - kept, axis=1)], axis=1)

    in_mv = {
        "5 mV higher": lambda x: x + 5,
        "10 mV higher": lambda x: x + 10,
        "noise of 1 mV": lambda x: x + noise.normal(0, 1, x.shape),
        "noise of 5 mV": lambda x: x + noise.normal(0, 5, x.shape),
    }
    return {
        "scaled by 1.1": lambda x: 1.1 * x,
        "scaled by 0.8": lambda x: 0.8 * x,
        **(in_mv if unit == "mV" else {}),
        "5 ms late": late,
        "last third flat": flat,
    }


def auroc(own, other) -> float | None:
    """Area under the ROC curve: how often one of the others has a higher score than one of its own, ties as half.

    Args:
        own: Scores of traces of the prior, shape (n,).
        other: Scores of other traces, shape (m,).

    Returns:
        0.5 where the score tells nothing, 1 where it parts them; None where a score is not finite.
    """
    own, other = np.sort(own), np.asarray(other)
    if not (np.isfinite(own).all() and np.isfinite(other).all()):
        return None
    ranks = np.searchsorted(own, other, "left") + np.searchsorted(own, other, "right")
    return float(ranks.mean() / (2 * len(own)))


def told_apart(errors: ErrorModel, own, other) -> dict:
    """Figures of a set of traces: `auroc` against those of the prior, and `warned`, the share that is warned of."""
    return {"auroc": auroc(own, other), "warned": errors.warned(other)}


def roc(own, others: Mapping[str, np.ndarray], distorted: Mapping[str, np.ndarray]):
    """ROC curves: share warned of against false alarms, of other studies (left) and of distortions (right).

    Args:
        own: Scores of the study's own test traces, shape (n,).
        others: Scores of the traces of each other study.
        distorted: Scores of its own traces after each distortion.
    """
    share = np.geomspace(1 / max(len(own), 2), 1, 200)
    thresholds = np.quantile(own, 1 - share)
    with style.styled():
        figure = style.new_figure(3.7, style.WIDTH)
        axes = figure.subplots(1, 2, sharey=True)
        for axis, curves, title in zip(axes, (others, distorted), ("other studies", "distorted traces"), strict=True):
            for k, (name, scores) in enumerate(curves.items()):
                warned = (np.asarray(scores)[:, None] > thresholds).mean(axis=0)
                axis.plot(100 * share, 100 * warned, linewidth=1.1, color=f"C{k}", label=name, linestyle=LINES[k % 3])
            axis.plot(100 * share, 100 * share, color=GREY, linewidth=0.6, linestyle=":")
            axis.axvline(FALSE_ALARMS, color=INK, linewidth=0.6)
            axis.set(xscale="log", ylim=(-2, 102), xlabel="own test traces warned of (%)", title=title)
            if curves:
                # below, where no curve is
                axis.legend(fontsize=6.5, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
        axes[0].set_ylabel("warned of (%)")
    return figure
