"""Recordings drawn at random: read as the formula behind them says, or refused."""

from collections import Counter

import numpy as np
import pytest
import traces as recordings
from hypothesis import HealthCheck, given, settings

COMMON = {"derandomize": True, "deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("traces")


def test_no_recording_is_read_otherwise(folder):
    seen = Counter()

    @settings(max_examples=250, **COMMON)
    @given(recordings.inputs())
    def run(example):
        seen[recordings.outcome(example, folder)] += 1

    run()
    assert not set(seen) - {"accepted", "refused"}, seen
    assert min(seen["accepted"], seen["refused"]) > 50, seen


def test_every_damage_is_refused(folder):
    for i, damage in enumerate(recordings.DAMAGES):
        seen = {recordings.outcome(recordings.Example(100 * i + j, damage), folder) for j in range(5)}
        assert "refused" in seen and not seen - {"accepted", "refused"}, (damage, seen)


def test_the_comparison_sees_a_wrong_reading(folder, monkeypatch):
    from neuroinverse import traces as module

    sound = recordings.Example(3, None)
    assert recordings.outcome(sound, folder) == "accepted"
    right = module.at_times
    monkeypatch.setattr(module, "at_times", lambda v, given, wanted: right(v, given + 0.2, wanted))
    assert recordings.outcome(sound, folder) == "wrong_acceptance"
    monkeypatch.setattr(module, "at_times", lambda v, given, wanted: np.zeros(3)[4])
    assert recordings.outcome(sound, folder) == "traceback"
