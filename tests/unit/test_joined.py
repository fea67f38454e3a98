"""Several datasets read as one."""

import numpy as np
import pytest
from tiny import make_dataset

from neuroinverse.errors import NeuroinverseError
from neuroinverse.joined import JoinedDatasets


def test_rows_are_those_of_the_datasets_one_after_the_other(tmp_path):
    parts = [make_dataset(tmp_path / "a", n=60, failed=(3,)), make_dataset(tmp_path / "b", n=35, failed=(1, 2))]
    joined = JoinedDatasets(parts)
    assert (joined.n, joined.n_failed, joined.seconds_core) == (95, 3, sum(p.seconds_core for p in parts))
    for start, stop in ((0, 95), (10, 20), (50, 70), (60, 95), (94, 95)):
        rows = np.arange(start, stop)
        for read in (
            lambda d, *ends: d.signal("voltage", *ends),
            lambda d, *ends: d.theta(*ends, ("tau",)),
            lambda d, *ends: d.status(*ends),
            lambda d, *ends: d.index(*ends),
        ):
            whole = np.concatenate([read(p, 0, p.n) for p in parts])
            np.testing.assert_array_equal(read(joined, start, stop), whole[rows])


def test_datasets_of_other_signals_do_not_join(tmp_path):
    parts = [make_dataset(tmp_path / "a"), make_dataset(tmp_path / "b")]
    parts[1].signals = {}
    with pytest.raises(NeuroinverseError, match="other signals or parameters"):
        JoinedDatasets(parts)
