"""Figures of posteriors: what they show, and that every text stands within its figure and on no other."""

from unittest import mock

import numpy as np
import pytest
from matplotlib.image import imread
from matplotlib.text import Text
from synthetic import make_space
from test_figures import overlaps

from neuroinverse.evaluation import posterior_checks, posterior_figures, style
from neuroinverse.evaluation.captions import CAPTIONS, CROSS, NETWORK, POSTERIOR

FIGURES = {
    "marginals": "marginals", "pairs": "posterior_pairs", "conditional_pairs": "conditional_pairs", "sbc": "sbc",
    "coverage": "posterior_coverage", "predictive": "predictive", "contraction": "contraction",
}  # fmt: skip
TIME = np.arange(0, 60, 0.5)
LOG = {1: (), 2: (1,), 8: (4,), 31: (24, 25)}


def traces(rng, count, channels):
    shape = (count, len(TIME), channels) if channels > 1 else (count, len(TIME))
    return rng.normal(-60, 5, shape)


def draw_all(count, prefix="gbar_Na_", channels=1, features=7, names="all"):
    rng = np.random.default_rng(1)
    space = make_space(count, LOG[count], prefix)
    wide = np.geomspace(0.05, 2, count)
    posterior = np.tanh(0.4 * rng.normal(size=(1500, count)) * wide + 0.2)
    points = {"truth": np.full(count, 0.3), "mode": np.full(count, 0.2)}
    truth = rng.uniform(-1, 1, (150, count))
    samples = np.clip(truth[:, None] + wide * rng.normal(size=(150, 1, count)), -1, 1)
    samples = np.clip(samples + wide * rng.normal(size=(150, 60, count)), -1, 1)
    density = -np.square(samples).sum(axis=-1)
    measured = posterior_checks.measure(space.names, truth, samples, -np.square(truth).sum(axis=-1), density, 1)
    grid = (2 * np.arange(15) + 1) / 15 - 1
    single = {name: np.exp(-np.square(grid - 0.1)) for name in space.names}
    both = np.exp(-np.square(grid[:, None] - grid))
    pair = {(a, b): both for k, a in enumerate(space.names) for b in space.names[k + 1 :]}
    correlation = np.eye(count) if names == "all" else None
    simulated = rng.normal(0, np.geomspace(0.02, 0.3, features), (80, features))
    simulated[:10, 1] = np.nan
    observed = np.where(np.arange(features) == features - 2, np.nan, 0.01)
    shown = posterior_figures.Features(
        [f"sd_of_something_{k}" for k in range(features)], observed, simulated, np.ones(features),
        {"mode": simulated[20], "low probability": np.linspace(-1, 1, features)},
    )  # fmt: skip
    kinds = {"mode": 1, "posterior samples": 5, "low probability": 1}
    predicted = {name: traces(rng, n, channels) for name, n in kinds.items()}
    return {
        "marginals": posterior_figures.marginals(space, {"posterior": posterior}, points),
        "pairs": posterior_figures.pairs(space, posterior, points),
        "conditional_pairs": posterior_figures.conditional_pairs(
            space, points["mode"], grid, single, pair, correlation
        ),
        "sbc": posterior_figures.sbc(measured),
        "coverage": posterior_figures.coverage(measured),
        "predictive": posterior_figures.predictive(TIME, traces(rng, 1, channels)[0], predicted, "mV", shown),
        "contraction": posterior_figures.contraction(measured),
    }


def saved_texts(figure, path):
    """Writes a figure and gives the texts that were drawn with their boxes in pixels; to draw once more takes long."""
    found, draw = {}, Text.draw

    def record(self, renderer, *args, **kwargs):
        draw(self, renderer, *args, **kwargs)
        if self.get_visible() and self.get_text().strip() and self.get_rotation() % 90 == 0:
            # drawn twice, to lay it out and to write it
            found[self] = self.get_text(), self.get_window_extent(renderer)

    with mock.patch.object(Text, "draw", record):
        style.save(figure, path)
    return list(found.values())


@pytest.mark.parametrize(
    ("count", "options"),
    [
        (1, {}),
        (2, {"names": "none", "prefix": "gbar_NaTs2_apical"}),
        (8, {}),
        (31, {"channels": 3, "features": 18, "prefix": "g_syn_AB_LP_"}),
    ],
)
def test_every_text_stands_by_itself_and_files_are_written(tmp_path, count, options):
    drawn = draw_all(count, **options)
    assert list(drawn) == list(FIGURES)
    for name, figure in drawn.items():
        texts = saved_texts(figure, tmp_path / f"{name}.png")
        height, width, _ = imread(tmp_path / f"{name}.png").shape
        assert 300 < width <= 150 * style.WIDTH and 200 < height < 3000, name
        outside = [t for t, b in texts if b.x0 < -1 or b.y0 < -1 or b.x1 > width + 1 or b.y1 > height + 1]
        assert not outside, name
        assert not overlaps(texts), name


def test_every_figure_has_a_caption_of_its_own():
    assert set(POSTERIOR) == set(FIGURES.values())
    assert not set(POSTERIOR) & set(CAPTIONS | CROSS | NETWORK)


def test_marginals_are_densities_over_the_prior():
    space = make_space(2, (1,))
    rng = np.random.default_rng(2)
    samples = np.stack([rng.uniform(-1, 1, 4000), rng.normal(0, 0.02, 4000)], axis=1)
    figure = posterior_figures.marginals(space, {"one": samples, "other": samples / 2}, {"truth": np.zeros(2)})
    flat, narrow = figure.axes
    for axis, parameter in zip((flat, narrow), space.parameters, strict=True):
        assert axis.get_xlim() == pytest.approx((parameter.low, parameter.high)) and len(axis.patches) == 2
        for stairs in axis.patches:
            heights, edges, _ = stairs.get_data()
            to_unit = np.interp(np.log(edges) if parameter.scale == "log" else edges, *_ends(parameter))
            # relative to a density of ½
            assert (heights * np.diff(to_unit)).sum() / 2 == pytest.approx(1)
    heights = flat.patches[0].get_data()[0]
    assert heights.mean() == pytest.approx(1) and heights.std() < 0.2
    assert narrow.patches[0].get_data()[0].max() > 25


def _ends(parameter):
    ends = np.array([parameter.low, parameter.high])
    return np.log(ends) if parameter.scale == "log" else ends, (-1, 1)


def test_pairs_of_many_parameters_show_the_best_known_and_say_so():
    space = make_space(31, (0,))
    rng = np.random.default_rng(3)
    sd = np.where(np.arange(31) % 3 == 0, 0.05, 0.15)
    samples = np.clip(sd * rng.normal(size=(500, 31)), -1, 1)
    figure = posterior_figures.pairs(space, samples)
    assert len(figure.axes) == 55 and len(figure.texts) >= 45
    assert figure.get_suptitle() == "10 of 31 parameters, those that the data inform most"
    # eleven are narrow
    names = [axis.get_xlabel().split("\n")[0].split(" (")[0] for axis in figure.axes[-10:]]
    assert {int(name.removeprefix("g_channel")) % 3 for name in names} == {0}
    chosen = posterior_figures.pairs(space, samples, chosen=["g_channel7", "g_channel2"], zoom=True)
    assert chosen.get_suptitle() == "2 of 31 parameters" and len(chosen.axes) == 3
    low, high = chosen.axes[2].get_xlim()
    assert high - low < 2 / 3 * (space.parameters[2].high - space.parameters[2].low)


def test_outlines_hold_their_share_of_the_samples():
    from matplotlib.contour import QuadContourSet

    space = make_space(2)
    samples = 0.2 * np.random.default_rng(4).normal(size=(20_000, 2))
    axis = posterior_figures.pairs(space, samples).axes[1]
    (contours,) = (c for c in axis.collections if isinstance(c, QuadContourSet))
    physical = space.to_physical(samples)
    # the outermost first: levels increase
    for path, share in zip(contours.get_paths(), (0.9, 0.5), strict=True):
        assert path.contains_points(physical).mean() == pytest.approx(share, abs=0.03)


def test_conditional_densities_take_either_order_of_names():
    space, grid = make_space(2), np.array([-0.5, 0.0, 0.5])
    single = dict.fromkeys(space.names, np.ones(3))
    table = np.arange(9.0).reshape(3, 3)
    one, other = (
        posterior_figures.conditional_pairs(space, np.zeros(2), grid, single, {key: values}).axes[1]
        for key, values in ((space.names, table), (space.names[::-1], table.T))
    )
    for axis in (one, other):
        # rows of a mesh are the second parameter
        np.testing.assert_allclose(np.asarray(axis.collections[0].get_array()).reshape(3, 3), table.T / 8)


def test_ranks_that_leave_the_band_are_red():
    rng = np.random.default_rng(5)
    truth = rng.uniform(-1, 1, (400, 2))
    samples = rng.uniform(-1, 1, (400, 100, 2)) * [1, 0.7]
    measured = posterior_checks.measure("ab", truth, samples, np.zeros(400), np.zeros((400, 100)), 1)
    colours = [axis.lines[-1].get_color() for axis in posterior_figures.sbc(measured).axes]
    assert colours == [style.BLUE, style.RED]


def test_points_beyond_the_axes_are_counted():
    rng = np.random.default_rng(6)
    truth = rng.uniform(-1, 1, (300, 1))
    samples = np.clip(truth[:, None] + rng.normal(0, 0.1, (300, 50, 1)), -1, 1)
    truth[:7] = -np.sign(truth[:7])
    measured = posterior_checks.measure("a", truth, samples, np.zeros(300), np.zeros((300, 50)), 1)
    (axis,) = posterior_figures.contraction(measured).axes
    assert [text.get_text() for text in axis.texts][1] == f"{(np.abs(measured.z) > 4).sum()} beyond"
    assert (np.abs(measured.z) > 4).sum() >= 7


def test_features_alone_are_enough():
    rng = np.random.default_rng(7)
    features = posterior_figures.Features(["a", "b"], np.zeros(2), rng.normal(size=(50, 2)), np.ones(2))
    figure = posterior_figures.predictive(TIME, None, {"mode": traces(rng, 1, 1)}, "mV", features)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["mode", ""]
    assert len(posterior_figures.predictive(TIME, TIME, {}, "mV").axes) == 1
