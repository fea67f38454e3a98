"""Recordings drawn at random: read as an own calculation says, or refused."""

from collections import Counter

import numpy as np
import pytest
import traces as drawn
from hypothesis import HealthCheck, given, settings

import neuroinverse.traces
from neuroinverse.errors import ConfigError

COMMON = {"derandomize": True, "deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("traces")


def test_no_recording_is_read_otherwise(folder):
    seen = Counter()

    @settings(max_examples=200, **COMMON)
    @given(drawn.inputs())
    def run(example):
        seen[drawn.outcome(example, folder)] += 1

    run()
    assert not set(seen) - {"accepted", "refused"}, seen
    assert min(seen["accepted"], seen["refused"]) > 50, seen


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".npy", ".h5"])
def test_every_sound_recording_is_read_right(folder, suffix):
    for seed in range(60):
        assert drawn.outcome(drawn.example(seed, suffix=suffix), folder) == "accepted", seed


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".h5"])
def test_every_damage_is_tried(folder, suffix):
    """Those that a file cannot have leave it sound, and so does a character that is another by chance."""
    for damage in drawn.TABLE_DAMAGES if suffix == ".csv" else drawn.ARRAY_DAMAGES:
        examples = [drawn.example(seed, True, damage, suffix) for seed in range(8)]
        seen = {drawn.outcome(example, folder) for example in examples}
        assert not seen - {"accepted", "refused"}, damage
        others = damage == "byte" or all(e.values is not None for e in examples)
        assert "refused" in seen or others, damage


def test_the_comparison_sees_a_wrong_reading(folder, monkeypatch):
    sound, read = drawn.example(4, suffix=".csv"), neuroinverse.traces.read_recording
    assert drawn.outcome(sound, folder) == "accepted"

    def shifted(*arguments, **options):
        found = read(*arguments, **options)
        return type(found)(found.names, np.roll(found.values, 1, axis=1), found.time_ms, found.words)

    def fails(error):
        def raises(*arguments, **options):
            raise error

        return raises

    for made, expected in (
        (shifted, "wrong_acceptance"),
        (fails(KeyError("V")), "traceback"),
        (fails(ConfigError("two\nlines of x.csv")), "traceback"),
        (fails(ConfigError("x.csv: no")), "refused"),
    ):
        monkeypatch.setattr(drawn, "read_recording", made)
        assert drawn.outcome(sound, folder) == expected
