"""What a search for an objective is said to have done: means, differences, ratios, spectra, figures."""

import numpy as np
import pytest
from scipy import stats
from test_figures import drawn_texts, overlaps

from neuroinverse.column.network import ColumnActivity
from neuroinverse.column.objectives import Objective
from neuroinverse.evaluation import objective_figures, objectives
from neuroinverse.simulators.column import PROJECTIONS, SHORT

DT_MS, N = 0.5, 800
TERMS = [
    {"kind": "band_power", "low_Hz": 15, "high_Hz": 60},
    {"kind": "rate_bounds", "bounds_Hz": {"L5_basket": [0, 60]}},
]


def objective():
    dipoles = [name for name in SHORT if name.endswith("pyramidal")]
    return Objective({"terms": TERMS, "warm_up_ms": 100}, list(SHORT), dipoles, DT_MS, N)


def activity(rng, amplitude, rate_Hz, drives=6):
    """Dipoles with a rhythm of 20 Hz, Poisson spikes."""
    time = np.arange(N) * DT_MS * 1e-3
    rhythm = amplitude * np.sin(2 * np.pi * 20 * time + rng.uniform(0, 6, (drives, 1)))
    dipole = rng.normal(0, 1, (drives, N, 2)) + rhythm[..., None]
    spikes = {name: (rng.random((drives, N, 5)) < rate_Hz * DT_MS * 1e-3).astype(np.float32) for name in SHORT}
    return ColumnActivity(dipole.astype(np.float32), spikes)


@pytest.fixture(scope="module")
def activities():
    rng = np.random.default_rng(1)
    return {
        "simulator": {"before": activity(rng, 1, 10), "after": activity(rng, 10, 20)},
        "surrogates": {"before": activity(rng, 1, 5), "after": activity(rng, 10, 40)},
    }


def test_means_differences_and_ratios(activities):
    measured = {where: objectives.measure(objective(), pair) for where, pair in activities.items()}
    found = objectives.compare(measured)
    before, after = (measured["simulator"][when]["terms"]["band_power"] for when in ("before", "after"))
    row = found["measures"]["band_power"]["simulator"]
    assert (row["before"], row["after"]) == (pytest.approx(before.mean()), pytest.approx(after.mean()))
    test = stats.ttest_ind(after, before, equal_var=False)
    assert row["p"] == pytest.approx(test.pvalue)
    assert row["low"] < row["difference"] < row["high"] < 0
    # ten times the amplitude beside noise: a power that is larger by nearly a hundred
    assert -np.log(100) < row["difference"] < -np.log(10)
    rates = found["rates_Hz"]["L5_pyramidal"]
    spikes = activities["simulator"]["before"].spikes["L5_pyramidal"][:, 200:]
    assert rates["simulator"]["before"] == pytest.approx(spikes.sum() / (6 * 5 * 0.3), rel=1e-5)
    assert rates["ratio_before"] == pytest.approx(rates["surrogates"]["before"] / rates["simulator"]["before"])
    assert 1 < rates["ratio_after"] < 4


def test_a_term_is_that_of_all_drives_and_not_of_single_ones(activities):
    """Of a mean the jackknife's values are the drives' own; of a logarithm of one their mean is nearly its own."""
    one, pair = objective(), activities["simulator"]
    found = objectives.measure(one, pair)["after"]
    spikes = pair["after"].spikes["L2_basket"][:, 200:].mean(axis=(1, 2)) / (DT_MS * 1e-3)
    np.testing.assert_allclose(found["rates_Hz"]["L2_basket"], spikes, rtol=1e-4)
    whole = float(one(pair["after"])["band_power"])
    log_each = [
        float(one(ColumnActivity(pair["after"].dipole[i : i + 1], pair["after"].spikes))["band_power"])
        for i in range(6)
    ]
    powers = np.exp(-np.array(log_each))
    assert whole == pytest.approx(-np.log(powers.mean()), rel=1e-5)
    leave_one_out = -np.log((powers.sum() - powers) / 5)
    np.testing.assert_allclose(found["terms"]["band_power"], 6 * whole - 5 * leave_one_out, rtol=1e-3)


def test_a_measure_that_does_not_vary_has_no_test(activities):
    measured = {where: objectives.measure(objective(), pair) for where, pair in activities.items()}
    row = objectives.compare(measured)["measures"]["rate_bounds"]["simulator"]
    assert row["difference"] == row["low"] == row["high"] == 0 and row["p"] is None


def test_a_silent_population_has_no_ratio(activities):
    pair = activities["simulator"]
    silent = pair["before"]._replace(spikes=pair["before"].spikes | {"L5_basket": np.zeros((6, N, 5), np.float32)})
    measured = {
        "simulator": objectives.measure(objective(), {**pair, "before": silent}),
        "surrogates": objectives.measure(objective(), activities["surrogates"]),
    }
    assert objectives.compare(measured)["rates_Hz"]["L5_basket"]["ratio_before"] is None


def test_spectra_show_the_rhythm(activities):
    frequencies, densities = objectives.spectra(objective(), activities["simulator"])["after"]
    assert densities.shape == (6, len(frequencies))
    assert frequencies[densities.mean(axis=0).argmax()] == pytest.approx(20)


def search(losses, method="adam", rollouts=12, slope=50.0):
    rows = [{"loss": loss, "held_out_loss": loss} for loss in losses]
    settings = {"method": method, "slope": slope, "bound": 1.0, "projections": list(PROJECTIONS[:-1])}
    best = {"loss": min(losses), "log10_gains": dict.fromkeys(PROJECTIONS, 0.5)}
    first = {"loss": losses[0], "log10_gains": dict.fromkeys(PROJECTIONS, 0.0)}
    return {
        "settings": settings, "history": rows, "best": best, "initial": first, "rollouts": rollouts,
        "seconds": 1.5, "held_out_seeds": [1, 2, 3, 4],
    }  # fmt: skip


FOUND = {
    "search": search([3.0, 1.0, 2.0]),
    "controls": {"cma": search([3.0, 2.5], "cma"), "random": search([3.0, 3.5], "random")},
    "slopes": [{"slope": 1e6, **search([3.0, 2.0], slope=1e6)}, {"slope": 1.0, "error": "the gradient is not finite"}],
}


def test_searches_in_a_table():
    rows = objectives.summarise(FOUND)["rows"]
    assert [r["name"] for r in rows] == ["gradient", "gradient, slope 1e+06", "gradient, slope 1", "cma", "random"]
    assert [r["slope"] for r in rows] == [50, 1e6, 1, None, None]
    assert rows[0]["best_loss"] == 1 and rows[2]["error"] == "the gradient is not finite"


TARGET = {"frequencies_Hz": [10, 20, 40], "values": [1.0, 100.0, 1.0], "relative": True}


@pytest.mark.parametrize("relative", [True, False])
def test_the_target_is_drawn_at_the_level_of_what_was_found(activities, relative):
    spectra = {where: objectives.spectra(objective(), pair) for where, pair in activities.items()}
    figure = objective_figures.spectra(spectra, TARGET | {"relative": relative})
    assert len(figure.axes) == len(spectra)
    for axis in figure.axes:
        lines = {line.get_label(): line.get_xydata().T for line in axis.get_lines()}
        at, drawn = lines["target"]
        assert at.tolist() == TARGET["frequencies_Hz"]
        if not relative:
            np.testing.assert_allclose(drawn, TARGET["values"])
            continue
        np.testing.assert_allclose(drawn / drawn[0], TARGET["values"])
        after = np.interp(at, lines["after"][0], np.log(lines["after"][1]))
        assert np.log(drawn).mean() == pytest.approx(after.mean())


def test_every_text_lies_within_its_figure_and_on_no_other(activities):
    spectra = {where: objectives.spectra(objective(), pair) for where, pair in activities.items()}
    figures = {
        "spectra": objective_figures.spectra(spectra),
        "spectra_target": objective_figures.spectra(spectra, TARGET),
        "search_history": objective_figures.search_history(FOUND),
        "gains": objective_figures.gains(dict.fromkeys(PROJECTIONS, 0.4), FOUND["search"]["settings"]),
        "activity": objective_figures.activity(activities, objective().window),
    }
    for name, figure in figures.items():
        texts = drawn_texts(figure)
        width, height = figure.canvas.get_width_height()
        assert not [t for t, b in texts if b.x0 < -1 or b.y0 < -1 or b.x1 > width + 1 or b.y1 > height + 1], name
        assert not overlaps(texts), name
    fixed = [t for t, _ in drawn_texts(figures["gains"]) if "(fixed)" in t]
    assert fixed == [f"{PROJECTIONS[-1].replace('_', ' ')} (fixed)"]
