from unittest import mock

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread
from matplotlib.text import Text
from synthetic import FakeDataset, gaussian_errors, make_space, write_history, write_predictions

from neuroinverse.evaluation import figures, metrics, style
from neuroinverse.evaluation.captions import (
    CAPTIONS,
    CROSS,
    NETWORK,
    OBJECTIVE,
    POSTERIOR,
    SCALING,
    SEARCH,
    STABILITY,
    SURROGATE,
    TRANSFER,
)
from neuroinverse.evaluation.error_map import bins_for, error_map
from neuroinverse.evaluation.transfer import error_histograms
from neuroinverse.parameters import Parameter
from neuroinverse.simulators.base import Signal

LOG = {1: (0,), 2: (), 4: (1,), 10: (2, 3), 31: (0, 1, 5)}


def read(folder, count, prefix="g_channel", **options):
    space = make_space(count, LOG[count], prefix)
    write_predictions(folder / "p.parquet", space, **({"n": 300} | options))
    return metrics.read_predictions(folder / "p.parquet", space)


def draw_all(folder, count, **options):
    predictions = read(folder, count, **options)
    data = FakeDataset(predictions.space)
    rows = metrics.example_rows(predictions, 5)
    traces = [
        figures.Example(r, data.signal("soma_voltage", predictions.index[r], predictions.index[r] + 1)[0]) for r in rows
    ]
    histories = []
    for fold in range(3):
        write_history(folder / "h.csv", seed=fold)
        histories.append(pd.read_csv(folder / "h.csv"))
    return {
        "examples": figures.examples(predictions, traces, data.signals["soma_voltage"], "mV", data.stimulus, "uA/cm2"),
        "predicted_true": figures.predicted_true(predictions),
        "residuals": figures.residuals(predictions),
        "residual_correlation": figures.residual_correlation(predictions),
        "error_map": error_map(predictions),
        "learning_curves": figures.learning_curves(histories),
        "coverage": figures.coverage(predictions, gaussian_errors(count)),
    }


def drawn_texts(figure):
    """Every text that is drawn, with its box in pixels; not slanted ones, whose boxes overlap although they do not."""
    found = []
    draw = Text.draw

    def record(self, renderer, *args, **kwargs):
        draw(self, renderer, *args, **kwargs)
        if self.get_visible() and self.get_text().strip() and self.get_rotation() % 90 == 0:
            found.append((self.get_text(), self.get_window_extent(renderer)))

    # only what the renderer is asked for is on the page: an axis keeps more tick labels than it draws
    with style.styled(), mock.patch.object(Text, "draw", record):
        FigureCanvasAgg(figure).draw()
    return found


def overlaps(texts, tolerance=1.0):
    """Pairs of texts whose boxes overlap by more than `tolerance` pixels both ways."""
    boxes = np.array([box.extents for _, box in texts])
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    i, j = np.nonzero(np.triu(((high - low) > tolerance).all(axis=2), k=1))
    return [(texts[a][0], texts[b][0]) for a, b in zip(i, j, strict=True)]


@pytest.mark.parametrize(
    ("count", "prefix"),
    [(1, "g"), (2, "gbar_NaTs2_apical"), (4, "gbar_NaTs2_apical"), (10, "g"), (31, "gbar_NaTs2_apical")],
)
def test_every_text_lies_within_its_figure_and_on_no_other(tmp_path, count, prefix):
    for name, figure in draw_all(tmp_path, count, prefix=prefix).items():
        texts = drawn_texts(figure)
        width, height = figure.canvas.get_width_height()
        outside = [t for t, b in texts if b.x0 < -1 or b.y0 < -1 or b.x1 > width + 1 or b.y1 > height + 1]
        assert not outside, name
        assert not overlaps(texts), name


@pytest.mark.parametrize("count", [1, 4, 10])
def test_histograms_of_several_datasets(tmp_path, count):
    shifted = {f"test_of_something_{b}": read(tmp_path, count, bias=b, seed=i) for i, b in enumerate((0.0, 0.2, -0.4))}
    figure = error_histograms(shifted)
    texts = drawn_texts(figure)
    width, height = figure.canvas.get_width_height()
    assert not [t for t, b in texts if b.x0 < -1 or b.y0 < -1 or b.x1 > width + 1 or b.y1 > height + 1]
    assert not overlaps(texts)
    # a block of three parameters for each three rows of datasets
    places = [(k // 3, dataset, k % 3) for k in range(count) for dataset in range(3)]
    axes = dict(zip(sorted(places), figure.axes, strict=True))
    for dataset, predictions in enumerate(shifted.values()):
        residual = predictions.residual_unit
        for k in range(count):
            axis = axes[k // 3, dataset, k % 3]
            assert axis.get_xlim() == axes[k // 3, 0, k % 3].get_xlim(), "datasets compare"
            reach = axis.get_xlim()[1]
            shown = sum(bar.get_height() for bar in axis.patches)
            assert shown == pytest.approx((np.abs(residual[:, k]) <= reach).mean()) and shown >= 0.98
            (text,) = axis.texts
            assert f"bias {style.number(float(residual[:, k].mean()), 2)}" in text.get_text()


def test_the_check_of_overlaps_finds_one():
    figure = style.new_figure(2, 2)
    figure.text(0.5, 0.5, "first")
    figure.text(0.52, 0.51, "second")
    assert overlaps(drawn_texts(figure)) == [("first", "second")]


@pytest.mark.parametrize("count", [2, 4, 10, 31])
def test_a_panel_for_every_parameter_with_its_unit(tmp_path, count):
    predictions = read(tmp_path, count)
    figure = figures.predicted_true(predictions)
    assert [axis.get_title("left") for axis in figure.axes] == [f"{n} (S/cm²)" for n in predictions.space.names]
    assert len(figures.residuals(predictions).axes) == count


def test_log_parameters_have_log_axes_with_ticks_even_within_a_decade(tmp_path):
    first, second = figures.predicted_true(read(tmp_path, 4)).axes[:2]
    assert (first.get_xscale(), second.get_xscale(), second.get_yscale()) == ("linear", "log", "log")
    low, high = second.get_xlim()
    assert sum(low <= tick <= high for tick in second.get_xticks()) >= 2


def test_many_points_are_counted_in_hexagons(tmp_path):
    few = figures.predicted_true(read(tmp_path, 1, n=500)).axes[0].collections
    many = figures.predicted_true(read(tmp_path, 1, n=2500)).axes[0].collections
    assert len(few[0].get_offsets()) == 500
    assert many[0].get_array().max() > 1


def test_bias_and_spread_are_printed(tmp_path):
    figure = figures.residuals(read(tmp_path, 1, n=1000, folds=1, sd=0.02, bias=0.5))
    bias, spread = (float(line.split()[1]) for line in figure.axes[0].texts[0].get_text().splitlines()[:2])
    assert bias == pytest.approx(0.5, abs=0.01) and spread == pytest.approx(0.02, abs=0.002)


def test_numbers_stand_in_small_correlation_matrices_only(tmp_path):
    assert len(figures.residual_correlation(read(tmp_path, 10)).axes[0].texts) == 100
    assert len(figures.residual_correlation(read(tmp_path, 31)).axes[0].texts) == 0


def test_error_map_shows_where_the_error_is(tmp_path):
    predictions = read(tmp_path, 2, n=4000)
    # the first parameter errs by 0.5 where the second is high, and nowhere else
    error = np.where(predictions.true_unit[:, 1] > 0.5, 0.5, 0.0)
    predictions.mean_unit[:] = predictions.true_unit + error[:, None] * [1, 0]
    panels = error_map(predictions).axes[:2]
    first, second = (panel.collections[0].get_array() for panel in panels)
    assert first[-1].min() == pytest.approx(0.5) and first[0].max() == 0
    assert second.max() == 0


def test_error_strips_are_relative_to_the_mean_of_their_row(tmp_path):
    predictions = read(tmp_path, 10, n=4000)
    error = np.full((4000, 10), 0.1)
    error[:, 3] = np.where(predictions.true_unit[:, 7] > 0, 0.3, 0.1)  # mean 0.2: 1.5 times and half of it
    predictions.mean_unit[:] = predictions.true_unit + error
    image = error_map(predictions).axes[0].images[0].get_array()
    assert image.shape == (10, 100)
    assert image[3, 79] == pytest.approx(np.log2(1.5), abs=0.05) and image[3, 70] == pytest.approx(-1, abs=0.05)
    assert np.abs(np.delete(image, 3, axis=0)).max() < 1e-9


def test_few_simulations_make_few_bins():
    assert (bins_for(20), bins_for(150), bins_for(10_000)) == (3, 6, 10)


@pytest.mark.parametrize("count", [2, 6])
def test_a_handful_of_simulations_is_drawn_too(tmp_path, count):
    LOG.setdefault(count, ())
    for name, figure in draw_all(tmp_path, count, n=4, folds=1, stated=np.nan).items():
        style.save(figure, tmp_path / f"{name}.png")
        assert imread(tmp_path / f"{name}.png").std() > 0, name


def test_coverage_of_a_single_fold_has_no_curve_of_the_spread(tmp_path):
    labels = {}
    for folds in (1, 3):
        axis = figures.coverage(read(tmp_path, 2, folds=folds), gaussian_errors(2)).axes[0]
        labels[folds] = [text.get_text() for text in axis.get_legend().get_texts()]
    assert "spread over folds alone, read as Gaussian" not in labels[1]
    assert "spread over folds alone, read as Gaussian" in labels[3]


def test_learning_curves_without_validation(tmp_path):
    write_history(tmp_path / "h.csv", validation=False)
    axis = figures.learning_curves([pd.read_csv(tmp_path / "h.csv")]).axes[0]
    assert [t.get_text() for t in axis.get_legend().get_texts()] == ["training (1 fold)"]
    assert axis.get_yscale() == "log"


def test_example_of_few_parameters_states_truth_and_error(tmp_path):
    predictions = read(tmp_path, 2, folds=1, sd=0.1)
    data = FakeDataset(predictions.space)
    trace = figures.Example(0, data.signal("soma_voltage", 0, 1)[0])
    figure = figures.examples(predictions, [trace], data.signals["soma_voltage"], "mV", data.stimulus, "uA/cm2")
    title = figure.axes[0].get_title("left")
    assert f"true {predictions.true[0, 0]:.5f}" in title
    assert "± 0.0015" in title and "± 0.0030" in title  # 0.1 of half the range
    assert figure.axes[0].get_ylabel() == "mV" and figure.axes[-1].get_ylabel() == "µA/cm²"
    # the time of the first sample is that of the recorded window
    assert figure.axes[0].lines[0].get_xdata()[:2].tolist() == [2.0, 2.1]


def test_example_of_several_channels_and_no_stimulus(tmp_path):
    predictions = read(tmp_path, 2)
    data = FakeDataset(predictions.space, channels=3, stimulus=False)
    traces = [figures.Example(0, data.signal("soma_voltage", 0, 1)[0])]
    figure = figures.examples(predictions, traces, data.signals["soma_voltage"], "mV", data.stimulus, "1")
    assert len(figure.axes) == 1 and len(figure.axes[0].lines) == 3


def test_many_channels_stand_one_below_the_other(tmp_path):
    predictions = read(tmp_path, 2)
    data = FakeDataset(predictions.space, channels=6, stimulus=False)
    trace = data.signal("soma_voltage", 0, 1)[0] + 100 * np.arange(6)
    figure = figures.examples(predictions, [figures.Example(0, trace)], data.signals["soma_voltage"], "mV", None, "")
    (axis,) = figure.axes
    lines = np.stack([line.get_ydata() for line in axis.lines])
    step = float(axis.get_ylabel().split()[1])
    np.testing.assert_allclose(np.median(lines, axis=1), -step * np.arange(6), atol=1e-6)
    np.testing.assert_allclose(lines[2] + 2 * step, trace[:, 2] - np.median(trace[:, 2]), atol=1e-4)
    assert axis.get_ylabel().endswith("mV apart")


def test_figures_are_150_dpi_png_of_report_width(tmp_path):
    style.save(figures.predicted_true(read(tmp_path, 10)), tmp_path / "x.png")
    assert imread(tmp_path / "x.png").shape[1] == 150 * 8
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".png"] == ["x.png"]


def test_captions_of_both_reports_are_the_same(request):
    folder = request.config.rootpath / "workflow" / "report"
    texts = {path.stem: " ".join(path.read_text(encoding="utf-8").split()) for path in folder.glob("*.rst")}
    more = {"transfer": TRANSFER, "search": SEARCH, "stability": STABILITY, "scaling": SCALING}
    captions = SURROGATE | OBJECTIVE | CAPTIONS | NETWORK | CROSS | POSTERIOR | more
    assert {name: texts.get(name) for name in captions} == {name: caption for name, (_, caption) in captions.items()}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.000248, "2.48×10⁻⁴"), (0.9996, "1.00"), (1234.5, "1234"), (-0.0123, "−0.0123"), (12_345_678.0, "1.23×10⁷"),
        (3000, "3\u202f000"), (0.0, "0"), (None, "–"), (float("nan"), "–"), (0.00099999, "0.00100"),
    ],
)  # fmt: skip
def test_number(value, text):
    assert style.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.01, "0.01"), (152.0, "152"), (-80, "−80"), (1e-5, "1×10⁻⁵"), (1500, "1500")]
)
def test_exact(value, text):
    assert style.exact(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.3e-4, "230 µs"), (0.012, "12 ms"), (126, "126 s"), (1200.0, "20 min"), (36000.0, "10.0 h"), (None, "–")],
)
def test_duration(seconds, text):
    assert style.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.12034, 0.00123, "0.1203 ± 0.0012"), (-65.123, 2.5, "−65.1 ± 2.5"), (151.0, 23.0, "151 ± 23"),
        (2.5e-5, 1.3e-6, "(2.50 ± 0.13)×10⁻⁵"), (0.5, float("nan"), "0.5000"), (0.0996, 0.0099, "0.0996 ± 0.0099"),
    ],
)  # fmt: skip
def test_value_with_error(value, error, text):
    assert style.value_with_error(value, error) == text


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        ("uA/cm2", "µA/cm²"),
        ("S/cm2", "S/cm²"),
        ("1", ""),
        ("1/ms", "1/ms"),
        ("um", "µm"),
        ("ohm cm", "Ω cm"),
        ("mV", "mV"),
    ],
)
def test_units_are_printed_as_in_papers(unit, text):
    assert style.unit_text(unit) == text


def test_stated_error_in_physical_units():
    linear, log = Parameter("a", "mV", -80, -50), Parameter("b", "1", 0.01, 1, "log")
    assert style.physical_error(linear, -60, 0.1) == pytest.approx(1.5)
    # d ln b = ln(100) / 2 per unit
    assert style.physical_error(log, 0.1, 0.01) == pytest.approx(0.1 * 2.302585 * 0.01)


@pytest.mark.parametrize(("low", "high"), [(0.02, 0.08), (1e-5, 1e-1), (0.9, 1.3), (3, 40), (1e-9, 3e-9)])
def test_log_ticks_lie_within_and_are_few(low, high):
    ticks = style.log_ticks(low, high)
    assert 2 <= len(ticks) <= 5 and all(low <= t <= high for t in ticks)


def test_named_channels_stand_in_a_legend(tmp_path):
    """Two sites of a cell are told apart by name; a single one needs none."""
    predictions = read(tmp_path, 2)
    trace = np.stack([np.linspace(-70, -50, 200), np.linspace(-65, -60, 200)], axis=1)
    for names, expected in ((("soma", "apical"), ["soma", "apical"]), (("soma",), [])):
        signal = Signal("voltage", "mV", 0.1, (200, len(names)), channels=names)
        example = figures.Example(0, trace[:, : len(names)])
        figure = figures.examples(predictions, [example], signal, "mV", None, "")
        legend = figure.axes[0].get_legend()
        assert [t.get_text() for t in legend.get_texts()] == expected if expected else legend is None
