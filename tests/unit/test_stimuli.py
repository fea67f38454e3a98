import numpy as np
import pytest

from neuroinverse.errors import ConfigError
from neuroinverse.stimuli import WAVEFORMS, chirp, waveform

DT = 0.02


def sample(duration_ms=460.0, dt=DT, master_seed=0, **stimulus):
    stimulus = {"amplitude": 1.0, "unit": "1"} | stimulus
    return waveform(stimulus, round(duration_ms / dt), dt, master_seed)


def sine_part(s):
    """The published chirp s ms after its start, by hand: 0.5 + (0.31 + 0.012 s) sin(phase), 28 + 3.13 s Hz."""
    cycles = 0.028 * s + 0.00313 * s * s / 2
    return 0.5 + (0.31 + 0.012 * s) * np.sin(2 * np.pi * cycles)


# time (ms), published value times the amplitude
PUBLISHED_460 = [
    (0, 0), (3.98, 0), (4, -1), (60, -1), (119.98, -1),
    (120, 0), (122, 0.15), (125, 0.375), (129.98, 0.7485),
    # s = 10: 0.4365 cycles; s = 20: 1.186 cycles
    (130, 0.5 + 0.43 * 0.38848), (140, 0.5 + 0.55 * 0.92023), (180, sine_part(60)), (252.48, sine_part(132.48)),
    (252.5, 0), (300, 0), (339.98, 0), (340, -1), (455.98, -1), (456, 0), (459.98, 0),
]  # fmt: skip


@pytest.mark.parametrize("amplitude", [1.0, 15.0])
def test_reset_chirp_is_the_published_table(amplitude):
    wave = sample(kind="reset_chirp", variant="460ms", amplitude=amplitude)
    assert wave.shape == (23000,)
    found = [wave[round(t / DT)] for t, _ in PUBLISHED_460]
    np.testing.assert_allclose(found, [amplitude * value for _, value in PUBLISHED_460], atol=2e-5 * amplitude)
    np.testing.assert_array_equal(sample(kind="reset_chirp", amplitude=amplitude), wave)


def test_short_variant_has_its_own_times():
    wave = sample(320, kind="reset_chirp", variant="320ms")
    at = {t: wave[round(t / DT)] for t in (3.98, 4, 69.98, 70, 75, 80, 120, 202.98, 203, 300)}
    assert [at[t] for t in (3.98, 4, 69.98, 70, 203, 300)] == [0, -1, -1, 0, 0, 0]
    assert at[75] == pytest.approx(0.375)
    assert [at[80], at[120], at[202.98]] == pytest.approx([sine_part(10), sine_part(50), sine_part(132.98)])


def test_frequency_rises_from_30_to_440_hz():
    t = np.arange(0, 132.5, 0.001)
    wave = chirp(t, 0, 132.5, ramp_ms=0) - 0.5
    i = np.flatnonzero(wave[:-1] * wave[1:] < 0)
    crossings = t[i] - wave[i] * 0.001 / (wave[i + 1] - wave[i])
    frequency = 500 / np.diff(crossings)
    middle = (crossings[1:] + crossings[:-1]) / 2
    np.testing.assert_allclose(frequency, 28 + 3.13 * middle, rtol=0.005)
    print(
        f"zero crossings: {frequency[0]:.0f} Hz at {middle[0]:.1f} ms to {frequency[-1]:.0f} Hz at {middle[-1]:.1f} ms"
    )
    assert frequency[-1] == pytest.approx(440, abs=5)
    # the first half cycle is long, with the frequency rising within it: the line is extrapolated to the start
    slope, start = np.polyfit(middle, frequency, 1)
    assert start == pytest.approx(28, abs=1.5)
    assert slope == pytest.approx(3.13, rel=0.01)


def test_amplitude_of_the_sine_grows_as_published():
    s = np.arange(0, 132.5, 0.001)
    wave = np.abs(chirp(s, 0, 132.5, ramp_ms=0) - 0.5)
    peaks = np.flatnonzero((wave[1:-1] > wave[:-2]) & (wave[1:-1] > wave[2:])) + 1
    assert len(peaks) > 50
    np.testing.assert_allclose(wave[peaks], 0.31 + 0.012 * s[peaks], rtol=0.01)


def test_chirp_begins_with_the_ramp_and_ends_in_silence():
    wave = sample(152, kind="chirp", start_ms=6, stop_ms=146, amplitude=20)
    assert wave.shape == (7600,)
    assert (wave[:300] == 0).all() and (wave[7300:] == 0).all()
    np.testing.assert_allclose(wave[300:800], 20 * 0.75 * np.arange(500) / 500, atol=1e-9)
    assert wave[7299] != 0


def test_step():
    wave = sample(10, 0.1, kind="step", start_ms=2, stop_ms=5, amplitude=-3)
    expected = np.zeros(100)
    expected[20:50] = -3
    np.testing.assert_array_equal(wave, expected)


@pytest.mark.parametrize("dt_ms", [0.005, 0.01, 0.02, 0.025, 0.05, 0.1])
def test_edges_fall_on_the_sample_they_name(dt_ms):
    """Every edge that is a whole number of steps, written as a decimal, whatever the rounding of k · dt."""
    for k in range(1, 3000, 7):
        wave = sample(3001 * dt_ms, dt_ms, kind="step", start_ms=round(k * dt_ms, 6), stop_ms=3001 * dt_ms + 1)
        assert np.flatnonzero(wave)[0] == k


def test_ramp():
    wave = sample(10, 0.1, kind="ramp", start_ms=2, stop_ms=6, low=-1, high=3, amplitude=2)
    np.testing.assert_array_equal(wave[:20], 0)
    np.testing.assert_allclose(wave[20:60], 2 * (-1 + 4 * np.arange(40) / 40))
    np.testing.assert_array_equal(wave[60:], 0)


def test_noise_has_the_stated_moments_and_correlation():
    n, tau = 400_000, 5.0
    wave = sample(n * 0.1, 0.1, kind="ou_noise", tau_ms=tau, mean=0.3, sd=0.2, amplitude=10)
    # 8000 correlation times: standard error of the mean sd · sqrt(2 tau / T) = 0.032
    print(f"mean {wave.mean():.3f} (3), sd {wave.std():.3f} (2)")
    assert wave.mean() == pytest.approx(3, abs=0.13)
    assert wave.std() == pytest.approx(2, rel=0.03)
    centred = wave - wave.mean()
    for lag_ms in (1, 5, 10, 20):
        lag = round(lag_ms / 0.1)
        found = np.mean(centred[:-lag] * centred[lag:]) / wave.var()
        print(f"autocorrelation at {lag_ms} ms: {found:.3f} ({np.exp(-lag_ms / tau):.3f})")
        assert found == pytest.approx(np.exp(-lag_ms / tau), abs=0.04)


def test_noise_starts_in_its_stationary_distribution():
    first = np.array([sample(1, 0.1, kind="ou_noise", tau_ms=5, sd=2, seed=s)[0] for s in range(600)])
    assert first.mean() == pytest.approx(0, abs=0.3)
    assert first.std() == pytest.approx(2, rel=0.12)


def test_noise_is_frozen_by_its_seeds_and_a_longer_one_continues_a_shorter():
    arguments = {"kind": "ou_noise", "tau_ms": 5}
    wave = sample(50, **arguments, seed=1, master_seed=3)
    np.testing.assert_array_equal(sample(50, **arguments, seed=1, master_seed=3), wave)
    np.testing.assert_array_equal(sample(20, **arguments, seed=1, master_seed=3), wave[:1000])
    assert not np.allclose(sample(50, **arguments, seed=2, master_seed=3), wave)
    assert not np.allclose(sample(50, **arguments, seed=1, master_seed=4), wave)


def test_from_npy_and_text(tmp_path):
    values = np.sin(np.arange(120.0))
    np.save(tmp_path / "wave.npy", values)
    np.savetxt(tmp_path / "wave.csv", np.column_stack([np.arange(120), values]), delimiter=",")
    np.savetxt(tmp_path / "one.txt", values)
    for name, column in (("wave.npy", 0), ("wave.csv", 1), ("one.txt", 0)):
        path, column = str(tmp_path / name), {"column": column} if name == "wave.csv" else {}
        wave = sample(12, 0.1, kind="from_file", path=path, dt_ms=0.1, amplitude=0.5, **column)
        assert wave.shape == (120,) and wave.dtype == np.float64
        np.testing.assert_allclose(wave, values / 2)
        # the file's own sampling stays when the protocol's changes
        fine = sample(12, 0.05, kind="from_file", path=path, dt_ms=0.1, amplitude=0.5, **column)
        np.testing.assert_allclose(fine[::2], values / 2)
        np.testing.assert_allclose(fine[1:-1:2], (values[1:] + values[:-1]) / 4)
        refused([name, "finer than the protocol's dt_ms 0.2"], dt=0.2, path=path, dt_ms=0.1, **column)
        refused([name, "does not say its sampling", "dt_ms"], path=path, **column)
        # in a longer protocol it has to be said where it begins
        late = sample(20, 0.1, kind="from_file", path=path, dt_ms=0.1, start_ms=3, amplitude=0.5, **column)
        np.testing.assert_allclose(late, [*np.zeros(30), *values / 2, *np.zeros(50)])
        refused([name, "lasts 12 ms", "protocol 20 ms", "start_ms"], duration=20, path=path, dt_ms=0.1, **column)
        refused([name, "ends at 12 ms", "the protocol at 10 ms"], duration=10, path=path, dt_ms=0.1, **column)


def refused(words, duration=12, dt=0.1, **stimulus):
    with pytest.raises(ConfigError) as caught:
        sample(duration, dt, kind="from_file", **stimulus)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_a_table_of_time_and_current(tmp_path):
    time, current = np.arange(120) * 0.1, np.sin(np.arange(120.0))
    rows = [f"{t:.1f},{i!r}" for t, i in zip(time.tolist(), current.tolist(), strict=True)]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["time_ms,I (nA)", *rows]))
    np.testing.assert_allclose(sample(12, 0.1, kind="from_file", path=str(path), unit="nA"), current)
    np.testing.assert_allclose(sample(12, 0.1, kind="from_file", path=str(path), unit="nA", column="I"), current)
    refused(["'I (nA)' is in nA, the stimulus in pA"], path=str(path), unit="pA")
    refused(["time says 0.1 ms", "dt_ms 0.2"], path=str(path), unit="nA", dt_ms=0.2)
    refused(["no column 'V'", "time_ms, I (nA)"], path=str(path), unit="nA", column="V")
    refused(["'time_ms' is time"], path=str(path), unit="nA", column=0)
    path.write_text("\n".join(rows))
    refused(["a column without a name", "time_ms"], path=str(path), dt_ms=0.1)
    refused(["or say which column"], path=str(path), dt_ms=0.1)
    refused(["start_ms is nan"], path=str(path), dt_ms=0.1, column=1, start_ms=float("nan"))
    refused(["'0' is time, or increases evenly"], path=str(path), dt_ms=0.1, column=0)
    np.testing.assert_allclose(sample(12, 0.1, kind="from_file", path=str(path), dt_ms=0.1, column=1), current)
    path.write_text("time_ms,a,b\n" + "\n".join(f"{row},0" for row in rows))
    refused(["several columns (a, b)", "column:"], path=str(path))
    path.write_text("0,75\n0,80\n" * 60)
    refused(["decimal commas"], path=str(path), dt_ms=0.1)
    path.write_text("time_ms,I\n" + "\n".join(f"{t + 1000:.1f},1" for t in time))
    refused(["begins at 1000 ms", "start_ms"], path=str(path))
    np.testing.assert_array_equal(sample(12, 0.1, kind="from_file", path=str(path), start_ms=0.0), np.ones(120))


def test_files_that_do_not_fit_are_refused(tmp_path):
    np.save(tmp_path / "short.npy", np.zeros(99))
    np.save(tmp_path / "table.npy", np.zeros((200, 2)))
    np.savetxt(tmp_path / "short.csv", np.zeros((99, 2)), delimiter=",")
    (tmp_path / "words.csv").write_text("time,current\n0,1\n")
    np.savetxt(tmp_path / "narrow.csv", np.zeros((200, 2)), delimiter=",")
    np.save(tmp_path / "nan.npy", [0.0, 1, 2, np.nan] * 30)
    np.save(tmp_path / "two.npz.npy", np.array([None] * 100))
    (tmp_path / "broken.npy").write_bytes(b"no numpy file")
    for name, column, word in (
        ("missing.npy", None, "does not exist"),
        ("short.npy", None, "at least 100 samples"),
        ("short.csv", 0, "at least 100 samples"),
        ("nan.npy", None, "sample 3 is not finite"),
        ("two.npz.npy", None, "cannot be read"),
        ("table.npy", None, "(200, 2)"),
        ("words.csv", 0, "words.csv"),
        ("narrow.csv", 2, "narrow.csv"),
        ("broken.npy", None, "broken.npy"),
    ):
        with pytest.raises(ConfigError) as caught:
            sample(10, 0.1, kind="from_file", path=str(tmp_path / name), column=column, dt_ms=0.1)
        assert name in str(caught.value)
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("stimulus", "words"),
    [
        ({"kind": "sawtooth"}, ["'sawtooth'", *WAVEFORMS]),
        ({"kind": "reset_chirp", "variant": "500ms"}, ["'500ms'", "460ms", "320ms"]),
        ({"kind": "step", "start_ms": 1}, ["step", "stop_ms"]),
        ({"kind": "step", "start_ms": 1, "stop_ms": 2, "stopp_ms": 3}, ["step", "stopp_ms"]),
        ({"kind": "step", "start_ms": 1, "stop_ms": [2, 1]}, ["stop_ms is [2, 1]", "a number"]),
        ({"kind": "step", "start_ms": True, "stop_ms": 2}, ["start_ms is True", "a number"]),
        ({"kind": "reset_chirp", "variant": ["460ms"]}, ["'460ms'", "320ms"]),
        ({"kind": "ou_noise"}, ["ou_noise", "tau_ms"]),
        ({"kind": "from_file"}, ["from_file", "path"]),
    ],
)
def test_unknown_kinds_and_arguments_are_refused(stimulus, words):
    with pytest.raises(ConfigError) as caught:
        sample(10, **stimulus)
    for word in words:
        assert word in str(caught.value)
