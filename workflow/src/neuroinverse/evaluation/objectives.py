"""What a column does before and after a search for an objective, over drives: terms, rates, spectra."""

from collections.abc import Mapping

import numpy as np
from scipy import stats

from neuroinverse.column.network import ColumnActivity
from neuroinverse.column.objectives import Objective, dipole, spectrum

# ms: segments of the spectra in figures
SEGMENT_MS = 200.0


def measure(objective: Objective, activities: Mapping[str, ColumnActivity]) -> dict:
    """What each drive adds to terms and rates: the jackknife's pseudo-values.

    Terms are of the spectrum and of the rates over all drives, as in the search, and not of single drives. Of n drives
    the pseudo-value of one is n times the term of all less n − 1 times that of the others; of a mean, such as a rate,
    it is the drive's own value. Their mean estimates the term without its bias of order 1/n, and they are compared as
    independent values (Tukey 1958, Ann Math Stat 29:614).

    Args:
        objective: The objective.
        activities: By name, such as before and after, of two or more drives.

    Returns:
        By name `terms` and `rates_Hz`, each by name an array of shape (drives,).
    """
    result = {}
    for when, activity in activities.items():
        n = len(activity.dipole)
        whole = _measured(objective, activity, np.arange(n))
        without = [_measured(objective, activity, np.delete(np.arange(n), i)) for i in range(n)]
        result[when] = {
            key: {name: n * value - (n - 1) * np.array([w[key][name] for w in without]) for name, value in row.items()}
            for key, row in whole.items()
        }
    return result


def _measured(objective: Objective, activity: ColumnActivity, drives) -> dict:
    """Terms and rates over some drives."""
    some = ColumnActivity(activity.dipole[drives], {name: s[drives] for name, s in activity.spikes.items()})
    terms, rates = objective(some), objective.rates(some)
    return {
        "terms": {name: float(value) for name, value in terms.items()},
        "rates_Hz": {name: float(value) for name, value in rates.items()},
    }


def compare(measured: Mapping[str, Mapping]) -> dict:
    """Before beside after, and the surrogates beside the simulator.

    Args:
        measured: What `measure` gives, by `simulator` and `surrogates`, each of `before` and `after`.

    Returns:
        `measures`: by term, `loss` among them, and by simulator and surrogates: `before` and `after`, `sd_before` and
        `sd_after` over drives, `difference`, its 95 % interval `low` and `high` and its p value (Welch's t-test).
        `rates_Hz` alike by cell type, and beside these `ratio_before` and `ratio_after`, those of the surrogates over
        the simulator's.
    """
    table = {}
    for key in ("terms", "rates_Hz"):
        names = measured["simulator"]["before"][key]
        table[key] = {
            name: {where: _difference(*(pair[when][key][name] for when in ("before", "after")))
                   for where, pair in measured.items()}
            for name in names
        }  # fmt: skip
    for row in table["rates_Hz"].values():
        for when in ("before", "after"):
            simulated = row["simulator"][when]
            row[f"ratio_{when}"] = row["surrogates"][when] / simulated if simulated else None
    return {"measures": table["terms"], "rates_Hz": table["rates_Hz"]}


def _difference(before: np.ndarray, after: np.ndarray) -> dict:
    found = {"before": float(before.mean()), "after": float(after.mean())}
    found |= {"sd_before": float(before.std(ddof=1)), "sd_after": float(after.std(ddof=1))}
    difference = found["after"] - found["before"]
    if not (before.std() or after.std()):
        # nothing varies, such as the penalty of rates that are all within their bounds
        return found | {"difference": difference, "low": difference, "high": difference, "p": None}
    test = stats.ttest_ind(after, before, equal_var=False)
    low, high = test.confidence_interval(0.95)
    return found | {"difference": difference, "low": float(low), "high": float(high), "p": float(test.pvalue)}


def spectra(objective: Objective, activities: Mapping[str, ColumnActivity]) -> dict:
    """Power spectral density of the whole dipole, drive by drive.

    Args:
        objective: Its window says what is measured.
        activities: By name.

    Returns:
        By name frequencies (Hz), shape (f,), and densities (fAm²/Hz), shape (drives, f).
    """
    window, result = objective.window, {}
    segment = min(SEGMENT_MS, (window.n_steps - window.first) * window.dt_ms)
    for when, activity in activities.items():
        whole = np.asarray(dipole(activity, window.dipoles, window))
        rows = [spectrum(row[None], window.dt_ms, segment) for row in whole]
        result[when] = rows[0][0], np.stack([np.asarray(density) for _, density in rows])
    return result


def summarise(found: Mapping) -> dict:
    """What a report says of the searches.

    Args:
        found: What `optimise` found.

    Returns:
        A list of rows: `name`, `slope` (None without a gradient), `initial_loss`, `best_loss` under held-out drives,
        `rollouts`, `seconds`, `error` of one that failed.
    """
    searches = [("gradient", found["search"])]
    searches += [(f"gradient, slope {run['slope']:g}", run) for run in found["slopes"]]
    searches += [(method, run) for method, run in found["controls"].items()]
    rows = []
    for name, run in searches:
        row = {"name": name, "error": run.get("error"), "slope": run.get("slope")}
        if "best" in run:
            row |= {
                "slope": run["settings"]["slope"] if run["settings"]["method"] == "adam" else None,
                "initial_loss": run["initial"]["loss"],
                "best_loss": run["best"]["loss"],
                "rollouts": run["rollouts"],
                "seconds": run["seconds"],
            }
        rows.append(row)
    return {"rows": rows, "held_out_seeds": len(found["search"]["held_out_seeds"])}
