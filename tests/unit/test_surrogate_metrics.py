"""Scores of surrogates: traces, spikes, thresholds, drift; and their figures."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy.optimize import linear_sum_assignment

from neuroinverse.errors import NeuroinverseError
from neuroinverse.evaluation import style, surrogate_figures, surrogates
from neuroinverse.evaluation.surrogates import (
    calibrate_threshold,
    correlation,
    crossings,
    drift,
    output_scores,
    rmse,
    spike_counts,
    spike_scores,
    trace_sums,
)

NAMES, UNITS = ("soma", "dipole"), ("mV", "fAm")


def traces(n: int = 40, length: int = 230, noise: float = 1.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Surrogate and simulation, float32, shape (n, length, 2): voltages around −70 and dipoles around 300."""
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(n, length, 2)).cumsum(axis=1) * [1, 20] + [-70, 300]
    predicted = true + rng.normal(size=true.shape) * [1, 20] * noise + [0.5, -3]
    return predicted.astype(np.float32), true.astype(np.float32)


def test_sums_give_what_numpy_does_and_blocks_join():
    predicted, true = traces()
    centre = true[:5].mean(axis=(0, 1))
    blocks = [trace_sums(predicted[a:b], true[a:b], centre, 30, 50) for a, b in ((0, 25), (25, 40))]
    sums = np.concatenate(blocks)
    assert sums.shape == (40, 4, 2, 6)
    scores = output_scores(sums, NAMES, UNITS)
    for i, name in enumerate(NAMES):
        p, t = (a[:, 30:, i].ravel().astype(np.float64) for a in (predicted, true))
        assert scores[name]["correlation"] == pytest.approx(np.corrcoef(p, t)[0, 1], abs=1e-9)
        assert scores[name]["rmse"] == pytest.approx(np.sqrt(((p - t) ** 2).mean()), rel=1e-9)
        assert scores[name]["bias"] == pytest.approx((p - t).mean(), rel=1e-6)
        assert scores[name]["sd"] == pytest.approx(t.std(), rel=1e-9)
        assert scores[name]["unit"] == UNITS[i]
    segment = correlation(sums.sum(axis=0))[2, 0]
    window = slice(130, 180)
    assert segment == pytest.approx(np.corrcoef(predicted[:, window, 0].ravel(), true[:, window, 0].ravel())[0, 1])
    assert rmse(sums[3, 0])[1] == pytest.approx(np.sqrt(((predicted - true)[3, 30:80, 1] ** 2).mean()), rel=1e-5)


def test_traces_that_are_too_short_or_constant():
    predicted, true = traces()
    with pytest.raises(NeuroinverseError, match="230 samples have no segment of 201 behind the first 30"):
        trace_sums(predicted, true, 0.0, 30, 201)
    true[..., 1] = 7
    row = output_scores(trace_sums(predicted, true, 0.0, 30, 50), NAMES, UNITS)["dipole"]
    assert row["correlation"] is None and row["low"] is None and row["rmse"] > 0


def test_the_interval_holds_the_correlation_of_further_simulations_and_narrows():
    predicted, true = traces(2000, noise=5, seed=2)
    everything = output_scores(trace_sums(predicted, true, 0.0, 30, 50), NAMES, UNITS)["soma"]["correlation"]
    held, widths = 0, {20: [], 80: []}
    for n in widths:
        for start in range(0, 1600, n):
            sums = trace_sums(predicted[start : start + n], true[start : start + n], 0.0, 30, 50)
            row = output_scores(sums, NAMES, UNITS, resamples=200)["soma"]
            assert row["low"] < row["correlation"] < row["high"]
            widths[n].append(row["high"] - row["low"])
            held += (row["low"] < everything < row["high"]) if n == 80 else 0
    assert 14 <= held <= 20
    assert 1.6 < np.mean(widths[20]) / np.mean(widths[80]) < 2.4, "as the root of the number of simulations"


def test_drift_is_seen_where_it_is():
    predicted, true = traces(noise=0.3)
    predicted[..., 0] += np.linspace(0, 10, predicted.shape[1], dtype=np.float32)
    predicted[:, 130:, 1] = true[::-1, 130:, 1]
    table = drift(trace_sums(predicted, true, [-70, 300], 30, 50), NAMES, 15.0, 25.0)
    assert table["time_ms"] == [27.5, 52.5, 77.5, 102.5]
    steps = np.diff(table["bias"]["soma"])
    np.testing.assert_allclose(steps, 50 / 229 * 10, rtol=0.1)
    first, second, third, fourth = table["correlation"]["dipole"]
    assert min(first, second) > 0.95 and max(third, fourth) < 0.7


def test_crossings_from_below():
    trace = np.array([[1.0, 3.0, 2.9, 3.0, 1.0, 5.0], [4.0, 4.0, 1.0, 1.0, 3.0, 3.0]])
    assert [np.flatnonzero(row).tolist() for row in crossings(trace, 3.0)] == [[1, 3, 5], [4]]


def test_matching_is_the_largest_one():
    rng = np.random.default_rng(3)
    predicted, true = rng.random((200, 60)) < 0.1, rng.random((200, 60)) < 0.1
    found = spike_counts(predicted, true, 2)
    for row, p, t in zip(found, predicted, true, strict=True):
        p, t = np.flatnonzero(p), np.flatnonzero(t)
        near = (np.abs(p[:, None] - t) <= 2).astype(int)
        rows, columns = linear_sum_assignment(near, maximize=True)
        assert row.tolist() == [near[rows, columns].sum(), len(p), len(t)]
    assert found[:, 0].sum() > 200


def test_scores_of_spikes():
    counts = np.array([[3, 4, 6], [0, 0, 2], [1, 2, 2]])
    scores = spike_scores(counts, 0.5)
    assert scores["precision"] == pytest.approx(4 / 6) and scores["recall"] == pytest.approx(4 / 10)
    assert scores["f1"] == pytest.approx(8 / 16) and scores["rate_ratio"] == pytest.approx(0.6)
    assert scores["rate_surrogate_Hz"] == pytest.approx(4) and scores["rate_simulated_Hz"] == pytest.approx(20 / 3)
    assert (scores["n_surrogate"], scores["n_simulated"]) == (6, 10)
    assert scores["rate_ratio_low"] <= 0.6 <= scores["rate_ratio_high"] <= 1
    silent = spike_scores(np.array([[0, 3, 0], [0, 1, 0]]), 1.0)
    assert silent["recall"] is None and silent["rate_ratio"] is None and silent["precision"] == 0
    assert silent["rate_ratio_low"] is None


def noisy_spikes(noise: float, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """A trace with a peak of about 1 at every spike, and the spikes, shape (30, 400)."""
    rng = np.random.default_rng(seed)
    spikes = np.zeros((30, 400), bool)
    for row in spikes:
        times = np.cumsum(rng.integers(8, 60, 20))
        row[times[times < 400]] = True
    trace = spikes * rng.uniform(0.6, 1.4, spikes.shape) + noise * rng.normal(size=spikes.shape)
    return trace, spikes


def test_the_threshold_gives_the_rate_and_the_better_output():
    good, spikes = noisy_spikes(0.05)
    bad, _ = noisy_spikes(0.4)
    found = calibrate_threshold({"soma": bad, "spike": good}, spikes, 0.5)
    assert found["output"] == "spike" and found["scale"] == pytest.approx(good.std())
    for name, trace in (("soma", bad), ("spike", good)):
        row = found["candidates"][name]
        assert crossings(trace, row["threshold"]).sum() == row["n_surrogate"] == spikes.sum()
        assert crossings(trace, row["threshold"] + 1e-3).sum() <= spikes.sum()
        expected = spike_scores(spike_counts(crossings(trace, row["threshold"]), spikes, 4), 0.2)
        assert row == {"threshold": row["threshold"]} | expected
    assert 0.3 < found["threshold"] < 0.6 and found["candidates"]["spike"]["f1"] == 1
    assert found["candidates"]["soma"]["f1"] < 0.99


def test_a_threshold_where_the_surrogate_cannot_spike_as_often():
    """A slow output with two peaks, and a cell with three spikes."""
    trace = np.sin(np.linspace(0, 4 * np.pi, 100))[None]
    spikes = np.zeros((1, 100), bool)
    spikes[0, [10, 40, 60]] = True
    found = calibrate_threshold({"soma": trace}, spikes, 0.5)
    assert found["candidates"]["soma"]["n_surrogate"] == 2 and found["threshold"] > 0.9
    with pytest.raises(NeuroinverseError, match="no calibration simulation has a spike"):
        calibrate_threshold({"soma": trace}, np.zeros((1, 100)), 0.5)


def example(title: str, seed: int) -> surrogate_figures.TraceExample:
    predicted, true = traces(1, 400, 0.3, seed)
    spikes = np.random.default_rng(seed).random((2, 400)) < 0.02
    return surrogate_figures.TraceExample(
        title,
        {name: true[0, :, i] for i, name in enumerate(NAMES)},
        {name: predicted[0, :, i] for i, name in enumerate(NAMES)},
        spikes[0],
        spikes[1],
    )


def drawn(figure) -> list[str]:
    with style.styled():
        FigureCanvasAgg(figure).draw()
    return [text.get_text() for axis in figure.axes for text in (axis.title, axis._left_title, *axis.texts)]


def test_the_overlay_shows_the_traces_and_their_spikes():
    examples = [example(f"simulation {i}", i) for i in (3, 8, 9)]
    figure = surrogate_figures.overlay(examples, dict(zip(NAMES, UNITS, strict=True)), 0.5, (50, 150))
    assert [t for t in drawn(figure) if t] == ["simulation 3", "simulation 8", "simulation 9"]
    axes = np.array(figure.axes).reshape(3, 3)
    for column, one in enumerate(examples):
        raster, soma, dipole = axes[:, column]
        for axis, name in ((soma, "soma"), (dipole, "dipole")):
            true, predicted = axis.lines
            np.testing.assert_array_equal(true.get_ydata(), one.true[name][100:300])
            np.testing.assert_array_equal(predicted.get_ydata(), one.predicted[name][100:300])
            assert (true.get_xdata()[0], true.get_xdata()[-1]) == (50, 149.5)
        by_line = [sorted(s[0][0] for s in c.get_segments()) for c in raster.collections]
        for found, spikes in zip(by_line, (one.predicted_spikes, one.true_spikes), strict=True):
            assert found == (0.5 * np.flatnonzero(spikes[100:300]) + 50).tolist()
    assert axes[1, 0].get_ylabel() == "soma (mV)" and axes[2, 1].get_xlabel() == "time (ms)"


def test_bars_and_drift_hold_the_numbers():
    predicted, true = traces()
    sums = trace_sums(predicted, true, [-70, 300], 30, 50)
    scores = output_scores(sums, NAMES, UNITS)
    (axis,) = surrogate_figures.output_correlations(scores).axes
    assert [t.get_text() for t in axis.get_yticklabels()] == list(NAMES)
    widths = [bar.get_width() for bar in axis.patches]
    assert widths == pytest.approx([scores[name]["correlation"] for name in NAMES])
    assert f"rmse {style.number(scores['dipole']['rmse'], 2)} fAm" in axis.texts[1].get_text()
    table = drift(sums, NAMES, 15.0, 25.0)
    shown, mV, fAm = surrogate_figures.drift(table, dict(zip(NAMES, UNITS, strict=True))).axes
    assert [line.get_label() for line in shown.lines] == list(NAMES)
    np.testing.assert_allclose(mV.lines[0].get_ydata(), table["bias"]["soma"])
    assert mV.get_ylabel().endswith("− simulation (mV)") and fAm.get_ylabel().endswith("− simulation (fAm)")


def test_a_correlation_that_is_not_defined_has_no_bar():
    rows = {"a": {"unit": "mV", "correlation": None, "low": None, "high": None, "rmse": 0.0, "bias": 0.0, "sd": 0.0}}
    (axis,) = surrogate_figures.output_correlations(rows).axes
    assert np.isnan(axis.patches[0].get_width()) and axis.texts[0].get_text().startswith("–")


def test_ends_of_steps_do_not_decide_by_rounding():
    """The threshold lies between values that occur, in single precision too."""
    trace, spikes = (a.astype(np.float32) for a in noisy_spikes(0.05))
    threshold = calibrate_threshold({"spike": trace}, spikes, 0.5)["threshold"]
    values = np.unique(trace)
    assert any(a < threshold < b for a, b in pairwise(values)) and surrogates.TOLERANCE_MS == 2
