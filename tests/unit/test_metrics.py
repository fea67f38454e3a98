import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import make_space, write_predictions

from neuroinverse.errors import NeuroinverseError
from neuroinverse.evaluation import metrics


def predictions_of(true_unit, mean_unit, space, **changes):
    """Predictions with a given truth and ensemble mean."""
    true_unit, mean_unit = np.asarray(true_unit, float), np.asarray(mean_unit, float)
    values = {
        "space": space,
        "index": np.arange(len(true_unit)),
        "true": space.to_physical(true_unit),
        "mean": space.to_physical(mean_unit),
        "true_unit": true_unit,
        "mean_unit": mean_unit,
        "sd_unit": np.zeros_like(true_unit),
        "error_unit": np.ones_like(true_unit),
        "out_of_range": np.abs(mean_unit).max(axis=1),
        "mse_unit_folds": (0.0,),
    }
    return metrics.Predictions(**values | changes)


def test_errors_of_a_constant_offset_are_exact():
    # ranges 0.01 … 0.04 and 0.02 … 0.08: a unit of the unit parameter is 0.015 and 0.03
    true = np.linspace(-0.8, 0.8, 41)[:, None] * [1, -1]
    errors = metrics.parameter_errors(predictions_of(true, true + np.array([0.1, -0.2]), make_space(2)))
    assert list(errors) == ["g_channel0", "g_channel1"]
    first, second = errors["g_channel0"], errors["g_channel1"]
    assert first["unit"] == "S/cm2"
    assert first["bias"] == pytest.approx(0.0015) and second["bias"] == pytest.approx(-0.006)
    assert first["mae"] == pytest.approx(0.0015) and second["rmse"] == pytest.approx(0.006)
    assert first["mae_unit"] == pytest.approx(0.1) and second["rmse_unit"] == pytest.approx(0.2)
    assert first["error_percent_of_range"] == pytest.approx(5) and second["error_percent_of_range"] == pytest.approx(10)
    assert second["r2"] == pytest.approx(1 - 0.04 / true[:, 1].var())


def test_mae_and_rmse_differ_as_they_should():
    errors = metrics.parameter_errors(predictions_of([[0.0], [0.5]], [[0.3], [0.4]], make_space(1)))["g_channel0"]
    assert errors["mae_unit"] == pytest.approx(0.2)
    assert errors["rmse_unit"] == pytest.approx(np.sqrt(0.05))
    assert errors["bias"] == pytest.approx(0.1 * 0.015)


def test_log_parameter_is_judged_by_its_logarithm():
    space = make_space(1, log=(0,))  # 0.01 … 0.04: from the centre to the end is a factor of 2
    errors = metrics.parameter_errors(predictions_of([[-1.0], [0.0]], [[0.0], [1.0]], space))["g_channel0"]
    assert errors["rmse_unit"] == pytest.approx(1)
    assert errors["mae"] == pytest.approx((0.01 + 0.02) / 2)


def test_r2_is_one_for_truth_zero_for_the_mean_and_none_without_variation():
    true = np.linspace(-1, 1, 11)[:, None]
    assert metrics.parameter_errors(predictions_of(true, true, make_space(1)))["g_channel0"]["r2"] == 1
    assert metrics.parameter_errors(predictions_of(true, 0 * true, make_space(1)))["g_channel0"]["r2"] == pytest.approx(
        0
    )
    assert metrics.parameter_errors(predictions_of(0 * true, true, make_space(1)))["g_channel0"]["r2"] is None


def test_read_predictions_gives_back_unit_space_and_the_error_of_every_fold(tmp_path):
    space = make_space(3, log=(1,))
    frame = write_predictions(tmp_path / "p.parquet", space, n=4000, folds=4, sd=0.1, seconds=2.5e-4)
    read = metrics.read_predictions(tmp_path / "p.parquet", space)
    assert len(read) == 4000 and read.n_folds == 4 and read.n_unpredicted == 0
    assert read.seconds_per_trace == 2.5e-4
    assert np.abs(read.true_unit).max() <= 1
    np.testing.assert_allclose(read.true[:, 1], frame["g_channel1_true"])
    # folds err by 0.1 independently, so that the mean of four errs by half of it
    assert read.mse_unit_folds == pytest.approx([0.01] * 4, rel=0.05)
    assert metrics.mse(read.mean_unit, read.true_unit) == pytest.approx(0.0025, rel=0.05)


def test_time_per_trace_is_found_where_a_parquet_writer_adds_it_at_the_end(tmp_path):
    space = make_space(1)
    table = pa.Table.from_pandas(write_predictions(tmp_path / "a.parquet", space, n=5), preserve_index=False)
    assert metrics.read_predictions(tmp_path / "a.parquet", space).seconds_per_trace is None
    with pq.ParquetWriter(tmp_path / "b.parquet", table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"predict_seconds_per_trace": "0.001"})
    assert metrics.read_predictions(tmp_path / "b.parquet", space).seconds_per_trace == 0.001


def test_rows_without_a_finite_answer_are_counted_and_left_out(tmp_path):
    space = make_space(2)
    frame = write_predictions(tmp_path / "p.parquet", space, n=10)
    frame.loc[3, "g_channel1_mean"] = np.nan
    frame.loc[7, "g_channel0_mean"] = np.inf
    frame.to_parquet(tmp_path / "p.parquet")
    read = metrics.read_predictions(tmp_path / "p.parquet", space)
    assert read.n_unpredicted == 2
    assert read.index.tolist() == [0, 1, 2, 4, 5, 6, 8, 9]
    frame["g_channel0_mean"] = np.nan
    frame.to_parquet(tmp_path / "p.parquet")
    with pytest.raises(NeuroinverseError, match="none of the 10 predictions"):
        metrics.read_predictions(tmp_path / "p.parquet", space)


def test_predictions_of_other_parameters_are_refused_with_the_missing_column(tmp_path):
    write_predictions(tmp_path / "p.parquet", make_space(1), n=5)
    with pytest.raises(NeuroinverseError, match="different folds"):
        metrics.read_predictions(tmp_path / "p.parquet", make_space(2))
    frame = write_predictions(tmp_path / "p.parquet", make_space(2), n=5)
    frame.drop(columns="g_channel1_error").to_parquet(tmp_path / "p.parquet")
    with pytest.raises(NeuroinverseError, match="missing: g_channel1_error"):
        metrics.read_predictions(tmp_path / "p.parquet", make_space(2))


def test_folds_of_a_name_that_another_name_ends_with_are_not_mixed_up():
    columns = ["g_fold0", "g_fold1", "xg_fold0", "xg_fold1", "g_fold10", "xg_fold10", "g_foldx"]
    assert metrics.fold_numbers(columns, ["g", "xg"]) == [0, 1, 10]


def test_correlation_matches_numpy_and_marks_constant_errors():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(500, 3)) @ [[1, 0.8, 0], [0, 0.6, 0], [0, 0, 1]]
    np.testing.assert_allclose(metrics.residual_correlation(values), np.corrcoef(values.T), atol=1e-12)
    values[:, 2] = 0.5
    matrix = metrics.residual_correlation(values)
    assert np.isnan(matrix[2]).all() and matrix[0, 0] == 1
    assert np.isnan(metrics.residual_correlation(values[:1])).all()


def test_binned_mean_includes_the_upper_edge_and_leaves_out_what_is_outside():
    means = metrics.binned_mean([1.0, 3.0, 5.0, 7.0, 100.0], [0.0, 0.5, 1.0, 2.0, 2.1], [0.0, 1.0, 2.0])
    assert means.tolist() == [2.0, 6.0]
    two = metrics.binned_mean([[1.0, 10.0], [3.0, 30.0]], [0.5, 0.6], [0.0, 1.0, 2.0])
    assert two[0].tolist() == [2.0, 20.0] and np.isnan(two[1]).all()


def test_example_rows_run_from_good_to_bad():
    order = np.random.default_rng(1).permutation(1001)
    predictions = predictions_of(np.zeros((1001, 1)), order[:, None] / 1001, make_space(1))
    assert order[metrics.example_rows(predictions, 5)].tolist() == [50, 275, 500, 725, 950]
    assert len(metrics.example_rows(predictions_of(np.zeros((3, 1)), np.ones((3, 1)), make_space(1)), 5)) == 3
