"""The distance of a trace from the training traces: what it sees, what it leaves alone, and how it is kept."""

import json

import numpy as np
import pytest
from tiny import SPACE, make_dataset, make_model, metadata, traces

from neuroinverse.estimators import cnn
from neuroinverse.estimators.ensemble import Ensemble
from neuroinverse.estimators.modelfile import read_trace_range, save_model
from neuroinverse.estimators.streaming import FoldData
from neuroinverse.estimators.trace_range import TraceRange, describe
from neuroinverse.evaluation.calibration import ErrorModel

TIME = np.arange(1200) * 0.1


def cells(seed: int, n: int) -> np.ndarray:
    """Voltages (mV) of cells that fire in answer to a current from 20 to 100 ms, shape (n, time, 1), float32."""
    rng = np.random.default_rng(seed)
    interval, height, width, step = (
        rng.uniform(low, high, (n, 1)) for low, high in ((8, 16), (80, 100), (0.6, 1.2), (4, 9))
    )
    driven = (TIME > 20) & (TIME < 100)
    phase = (TIME - 20) / interval % 1 * interval
    slow = step * (1 - np.exp(-np.maximum(TIME - 20, 0) / 5)) * driven
    return (-70 + slow + driven * height * np.exp(-(((phase - 4) / width) ** 2)))[..., None].astype(np.float32)


@pytest.fixture(scope="module")
def fitted():
    """The range of 1000 traces, and the error model with its threshold of 2000 others."""
    known = cells(1, 1000)
    found = TraceRange.fit(known[i : i + 256] for i in range(0, 1000, 256))
    score = found.score(describe(cells(2, 2000)))
    return found, ErrorModel.fit(np.zeros((2000, 1)), np.ones((2000, 1)), score)


def test_one_in_a_hundred_traces_of_the_prior_is_warned_of(fitted):
    found, errors = fitted
    score = found.score(describe(cells(3, 4000)))
    print(errors.threshold, np.quantile(score, [0.5, 0.9, 0.99]), errors.warns(score).mean())
    # threshold and share are counts of 2000 and 4000: four standard deviations
    assert abs(errors.warns(score).mean() - 0.01) < 4 * np.sqrt(0.0099 * (1 / 2000 + 1 / 4000))
    assert np.median(score) == pytest.approx(1, abs=0.4)


def truncated(v):
    return np.concatenate([v[:, :800], np.repeat(v[:, 799:800], 400, axis=1)], axis=1)


def noisy(v):
    return v + np.random.default_rng(4).normal(0, 1, v.shape)


@pytest.mark.parametrize(
    ("distort", "least"),
    [
        (lambda v: 1.3 * v, 0.99),
        (lambda v: 0.7 * v, 0.99),
        (lambda v: v + 10, 0.99),
        (lambda v: v - 10, 0.99),
        (lambda v: np.roll(v, 50, axis=1), 0.99),
        (noisy, 0.99),
        (truncated, 0.99),
        (lambda v: -140 - v, 0.99),
        (np.zeros_like, 1),
        (lambda v: v[:, ::-1], 0.99),
    ],
    ids=["louder", "fainter", "higher", "lower", "late", "noisy", "truncated", "upside down", "zero", "backwards"],
)
def test_obvious_distortions_are_warned_of(fitted, distort, least):
    found, errors = fitted
    warned = errors.warns(found.score(describe(np.asarray(distort(cells(5, 300)), np.float32))))
    print(warned.mean())
    assert warned.mean() >= least


def test_what_is_no_distortion_is_left_alone(fitted):
    found, errors = fitted
    v = cells(6, 500)
    for same in (v, np.round(v, 2)):
        assert errors.warns(found.score(describe(same.astype(np.float32)))).mean() < 0.05


def test_blocks_make_no_difference():
    v = cells(7, 300)
    whole, parts = TraceRange.fit([v]), TraceRange.fit([v[:100], v[100:101], v[101:]])
    np.testing.assert_allclose(whole.score(describe(v)), parts.score(describe(v)), rtol=1e-5)


@pytest.mark.parametrize("shape", [(40, 24, 1), (40, 3, 2), (12, 400, 6), (40, 200, 64)])
def test_few_traces_few_samples_many_channels_and_a_dead_one(shape):
    rng = np.random.default_rng(8)
    v = rng.normal(0, 1e-6, shape).astype(np.float32)
    v[..., -1] = 1.0
    found = TraceRange.fit([v])
    again = TraceRange.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    score = again.score(describe(v))
    assert np.isfinite(score).all() and np.median(score) < 3
    if shape[-1] > 1 or shape[1] > 8:
        changed = v.copy()
        changed[..., -1] = 1.5
        assert again.score(describe(changed)).min() > score.max()


def test_few_calibration_simulations_have_their_largest_score_as_threshold():
    score = np.arange(20.0)
    errors = ErrorModel.fit(np.zeros((20, 1)), np.ones((20, 1)), score)
    assert errors.threshold == 19 and errors.warns([18.9, 19, 19.1]).tolist() == [False, False, True]
    many = ErrorModel.fit(np.zeros((200, 1)), np.ones((200, 1)), np.arange(200.0))
    # rank ⌈0.99 · 201⌉ = 199
    assert many.threshold == 198
    nothing = ErrorModel.fit(np.zeros((20, 1)), np.ones((20, 1)))
    assert not nothing.warns([1e9, np.nan]).any()


def test_threshold_is_kept_with_the_calibration(tmp_path):
    for score in (np.arange(20.0), None):
        errors = ErrorModel.fit(np.zeros((20, 1)), np.ones((20, 1)), score)
        (tmp_path / "c.json").write_text(json.dumps(errors.to_dict(), allow_nan=False))
        np.testing.assert_equal(ErrorModel.read(tmp_path / "c.json").threshold, errors.threshold)


def test_score_of_an_ensemble_is_the_mean_over_its_saved_folds(tmp_path):
    theta, _ = SPACE.draw(1, "tiny/train", np.arange(60))
    x = traces(theta)[..., None]
    ranges, files = [TraceRange.fit([x[:40]]), TraceRange.fit([x[20:]])], [tmp_path / f"{k}.keras" for k in range(2)]
    model = cnn.to_physical_model(make_model(), SPACE)
    for found, file in zip(ranges, files, strict=True):
        save_model(model, metadata(), file, found)
    expected = np.mean([found.score(describe(x)) for found in ranges], axis=0)
    np.testing.assert_allclose(Ensemble(files).predict(x[..., 0]).score, expected, rtol=1e-4)
    np.testing.assert_allclose(read_trace_range(files[0]).score(describe(x)), ranges[0].score(describe(x)), rtol=1e-4)
    save_model(model, metadata(), files[0])
    assert read_trace_range(files[0]) is None and np.isnan(Ensemble(files).predict(x[..., 0]).score).all()


def test_signals_of_a_fold_are_its_training_part(tmp_path):
    dataset = make_dataset(tmp_path, n=600, shard_size=300, failed=(5, 7))
    data = FoldData(dataset, "voltage", SPACE, 3, 0, 1e9, 1)
    rows = np.setdiff1d(np.arange(600), [*range(0, 600, 3), 5, 7])
    theta, _ = SPACE.draw(1, "tiny/train", np.arange(600))
    np.testing.assert_array_equal(np.concatenate(list(data.training_signals(10_000)))[..., 0], traces(theta)[rows])
    few = np.concatenate(list(data.training_signals(200)))
    assert 0 < len(few) < len(rows)
