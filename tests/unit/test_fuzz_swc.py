"""SWC files drawn at random: read as an independent reader reads them, or refused."""

from collections import Counter

import pytest
import swc_files
from hypothesis import HealthCheck, given, settings

COMMON = {"derandomize": True, "deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("swc")


def test_no_file_is_read_otherwise(folder):
    seen = Counter()

    @settings(max_examples=200, **COMMON)
    @given(swc_files.inputs())
    def run(example):
        seen[swc_files.outcome(example, folder)] += 1

    run()
    assert not set(seen) - {"accepted", "refused"}, seen
    assert min(seen["accepted"], seen["refused"]) > 40, seen


def test_every_sound_file_is_read_right(folder):
    @settings(max_examples=200, **COMMON)
    @given(swc_files.sound())
    def run(example):
        assert swc_files.outcome(example, folder) == "accepted"

    run()


def test_every_damage_is_tried(folder):
    """Those that leave another cell, a branch less or another digit, are read as they stand."""
    for i, damage in enumerate(swc_files.DAMAGES):
        seen = {swc_files.outcome(swc_files.example(100 * i + j, damage), folder) for j in range(5)}
        assert "refused" in seen and not seen - {"accepted", "refused"}, damage


def test_the_comparison_sees_a_wrong_reading(folder, monkeypatch):
    from neuroinverse.simulators import swc_cell

    sound = swc_files.example(3)
    assert swc_files.outcome(sound, folder) == "accepted"
    monkeypatch.setattr(swc_cell, "frustum", lambda length, start, end: 6.25 * length * start)
    assert swc_files.outcome(sound, folder) == "wrong_acceptance"
    monkeypatch.setattr(swc_cell.SwcCell, "areas", lambda cell: {}[0])
    assert swc_files.outcome(sound, folder) == "traceback"
