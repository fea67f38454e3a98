import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from neuroinverse.errors import ConfigError
from neuroinverse.parameters import Parameter, ParameterSpace, seed_sequence


@st.composite
def spaces(draw):
    """One to four parameters, linear or log, of magnitudes from 1e-9 to 1e9."""
    parameters = []
    for k in range(draw(st.integers(1, 4))):
        scale = draw(st.sampled_from(["linear", "log"]))
        low = draw(st.floats(1e-9, 1e9))
        if scale == "linear" and draw(st.booleans()):
            low = -low
        high = low + abs(low) * draw(st.floats(0.01, 1e4))
        parameters.append(Parameter(f"p{k}", "1", low, high, scale))
    return ParameterSpace(tuple(parameters))


SPACE = ParameterSpace((Parameter("gl", "S/cm2", 1e-5, 1e-3, "log"), Parameter("el", "mV", -80.0, -50.0)))


@settings(deadline=None, max_examples=150)
@given(space=spaces(), data=st.data())
def test_unit_and_physical_are_inverse(space, data):
    k = len(space.parameters)
    unit = np.array(data.draw(st.lists(st.lists(st.floats(-1, 1), min_size=k, max_size=k), min_size=1, max_size=4)))
    physical = space.to_physical(unit)
    low, high = (np.array([getattr(p, end) for p in space.parameters]) for end in ("low", "high"))
    room = 1e-9 * np.maximum(abs(low), abs(high))
    assert ((physical >= low - room) & (physical <= high + room)).all()
    np.testing.assert_allclose(space.to_unit(physical), unit, atol=1e-6)
    np.testing.assert_allclose(space.to_physical(space.to_unit(physical)), physical, rtol=1e-9, atol=room.max())


def test_ends_and_middle_are_those_of_the_range():
    physical = SPACE.to_physical([[-1, -1], [0, 0], [1, 1]])
    # the middle of a log scale is the geometric mean
    np.testing.assert_allclose(physical, [[1e-5, -80], [1e-4, -65], [1e-3, -50]], rtol=1e-12)
    np.testing.assert_allclose(SPACE.to_unit(physical), [[-1, -1], [0, 0], [1, 1]], atol=1e-12)


def test_log_scale_has_equal_ratios_for_equal_unit_steps():
    values = SPACE.to_physical(np.column_stack([np.linspace(-1, 1, 9)] * 2))
    np.testing.assert_allclose(values[1:, 0] / values[:-1, 0], 100 ** (1 / 8))
    np.testing.assert_allclose(np.diff(values[:, 1]), 30 / 8)


def test_maps_leave_their_argument_alone_and_keep_leading_axes():
    unit = np.zeros((2, 3, 2))
    physical = SPACE.to_physical(unit)
    assert physical.shape == (2, 3, 2) and (unit == 0).all()
    before = physical.copy()
    assert SPACE.to_unit(physical).shape == (2, 3, 2)
    np.testing.assert_array_equal(physical, before)


def test_values_beyond_the_range_map_beyond_one():
    assert SPACE.to_unit([[1e-2, -95.0]]) == pytest.approx(np.array([[2.0, -2.0]]))


def test_table_roundtrip():
    assert ParameterSpace.from_table(SPACE.to_table()) == SPACE
    assert SPACE.names == ("gl", "el")


@settings(deadline=None, max_examples=30)
@given(
    indices=st.lists(st.integers(0, 10**9), min_size=1, max_size=8, unique=True),
    seed=st.integers(0, 2**63),
    data=st.data(),
)
def test_a_draw_depends_on_its_index_alone(indices, seed, data):
    theta, seeds = SPACE.draw(seed, "study/train", indices)
    order = data.draw(st.permutations(range(len(indices))))
    permuted = SPACE.draw(seed, "study/train", [indices[i] for i in order])
    np.testing.assert_array_equal(permuted[0], theta[list(order)])
    np.testing.assert_array_equal(permuted[1], seeds[list(order)])
    alone = SPACE.draw(seed, "study/train", indices[:1])
    np.testing.assert_array_equal(alone[0], theta[:1])
    np.testing.assert_array_equal(alone[1], seeds[:1])


def test_a_smaller_dataset_is_a_prefix():
    theta, seeds = SPACE.draw(7, "study/train", range(50))
    few, few_seeds = SPACE.draw(7, "study/train", range(20))
    np.testing.assert_array_equal(few, theta[:20])
    np.testing.assert_array_equal(few_seeds, seeds[:20])


@pytest.mark.parametrize("other", [(7, "study/test"), (7, "other/train"), (8, "study/train")])
def test_datasets_studies_and_master_seeds_are_independent(other):
    theta, seeds = SPACE.draw(7, "study/train", range(400))
    theta2, seeds2 = SPACE.draw(*other, range(400))
    assert not np.isin(seeds, seeds2).any()
    a, b = SPACE.to_unit(theta), SPACE.to_unit(theta2)
    correlation = [np.corrcoef(a[:, k], b[:, j])[0, 1] for k in range(2) for j in range(2)]
    # 400 pairs: standard deviation 0.05
    assert np.abs(correlation).max() < 0.2


def test_draws_are_uniform_and_uncorrelated():
    theta, seeds = SPACE.draw(2018, "study/train", range(4000))
    unit = SPACE.to_unit(theta)
    p = [stats.kstest(unit[:, k], "uniform", args=(-1, 2)).pvalue for k in range(2)]
    print(f"Kolmogorov-Smirnov p {np.round(p, 3)}, range {unit.min():.4f} to {unit.max():.4f}")
    assert min(p) > 1e-3
    assert unit.min() < -0.99 and unit.max() > 0.99
    # a log scale is uniform in the logarithm: half of the draws lie below the geometric mean
    assert np.mean(theta[:, 0] < 1e-4) == pytest.approx(0.5, abs=0.03)
    assert abs(np.corrcoef(unit.T)[0, 1]) < 0.06
    assert abs(np.corrcoef(unit[:-1, 0], unit[1:, 0])[0, 1]) < 0.06
    assert len(np.unique(seeds)) == 4000


def test_number_of_parameters_does_not_change_the_simulators_seeds():
    wide = ParameterSpace((*SPACE.parameters, Parameter("cm", "uF/cm2", 0.5, 2.0)))
    theta, seeds = SPACE.draw(7, "study/train", range(10))
    theta3, seeds3 = wide.draw(7, "study/train", range(10))
    np.testing.assert_array_equal(seeds, seeds3)
    assert seeds.dtype == np.uint64
    np.testing.assert_array_equal(theta, theta3[:, :2])


def test_seed_sequence_is_the_documented_one():
    import hashlib

    dataset_id = int.from_bytes(hashlib.sha256(b"study/train").digest()[:8], "little")
    expected = np.random.SeedSequence([7, dataset_id, 3]).generate_state(4)
    np.testing.assert_array_equal(seed_sequence(7, "study/train", 3).generate_state(4), expected)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"low": 2.0, "high": 1.0}, ["low (2.0)", "high (1.0)", "below"]),
        ({"low": 1.0, "high": 1.0}, ["low (1.0)", "below"]),
        ({"low": 0.0, "high": 1.0, "scale": "log"}, ["log scale", "low > 0", "scale: linear"]),
        ({"low": -1.0, "high": 1.0, "scale": "log"}, ["log scale", "-1.0"]),
        ({"low": math.nan, "high": 1.0}, ["finite", "nan"]),
        ({"low": 0.0, "high": math.inf}, ["finite", "inf"]),
        ({"low": 0.5, "high": 1.0, "scale": "logarithmic"}, ["linear or log", "'logarithmic'"]),
    ],
)
def test_impossible_ranges_are_refused(changes, words):
    with pytest.raises(ConfigError) as caught:
        Parameter(**({"name": "gkbar", "unit": "S/cm2"} | changes))
    for word in ("gkbar", *words):
        assert word in str(caught.value)
