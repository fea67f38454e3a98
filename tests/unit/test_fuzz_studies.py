"""Some hundreds of generated study files: none ends in a traceback, none is accepted although it is wrong."""

from collections import Counter

from hypothesis import HealthCheck, Phase, given, settings

import studies


def test_generated_studies_are_read_right_or_refused(tmp_path):
    found, wrong = Counter(), []

    @settings(
        max_examples=150, derandomize=True, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(studies.inputs())
    def judge(example):
        outcome = studies.outcome(example, tmp_path)
        found[outcome] += 1
        if outcome not in ("accepted", "refused"):
            wrong.append((outcome, example.decode(errors="replace")))

    judge()
    print(dict(found))
    assert not wrong, "\n".join(wrong[0])
    # generators that give nothing right, or nothing wrong, would show nothing
    assert min(found["accepted"], found["refused"]) > 20


def test_the_scan_sees_what_the_reader_must_refuse():
    """The independent look is no copy of the reader, and not blind."""
    text = (studies.ROOT / "config" / "studies" / "izhikevich.yaml").read_text(encoding="utf-8")
    assert studies.mistakes(text.encode()) == []
    for line in ("n: 1\nn: 2", "a: {b: 1, b: 2}", "x: 1e-4", "x: [010]", "x: {y: 1:30}", "x: no", "x: -.inf"):
        assert studies.mistakes(f"{line}\n".encode()), line
    assert studies.mistakes(b"title: 1e-4\n") == [] and studies.mistakes(b'x: "no"\n') == []
