"""Recordings as people have them: read as they mean it, or refused with the line and the cure."""

import h5py
import numpy as np
import pytest
from scipy.signal import resample_poly

from neuroinverse import units
from neuroinverse.errors import ConfigError
from neuroinverse.observation import read_as, read_observation
from neuroinverse.traces import read_at_sampling, read_recording

# six samples from 0 ms
SIGNAL = {"name": "voltage", "unit": "mV", "dt_ms": 0.5, "shape": [6], "t0_ms": 0.0}
RAMP = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
TRACE = [-65.0, -64.0, -60.0, 20.0, -70.0, -66.0]


def read(tmp_path, text: str, name="x.csv", signal=SIGNAL, **options) -> np.ndarray:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_at_sampling(tmp_path / name, signal, **options)[1][0]


def table(heading: str, time, values=TRACE, separator=",") -> str:
    return "\n".join([heading, *(f"{t}{separator}{v}" for t, v in zip(time, values, strict=True))]) + "\n"


def refused(tmp_path, text, *words, **options) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, **options)
    for word in words:
        assert word in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    "heading",
    ["time_ms,V", "Time_ms,V", " time_ms,V", "time (ms),V", "t [ms],V", "t/ms,V", "Time in ms,V", "ms,V", "TIME_MSEC,V",
     "time (milliseconds),V (mV)", '"time (ms)","Vm (mV)"', "time_ms,voltage_mV"],
)  # fmt: skip
def test_time_by_any_usual_name(tmp_path, heading):
    assert read(tmp_path, table(heading, RAMP)).tolist() == TRACE


@pytest.mark.parametrize(
    ("heading", "factor"), [("time_s,V", 1e-3), ("seconds,V", 1e-3), ("t (us),V", 1e3), ("Time [µs],V", 1e3)]
)
def test_time_in_other_units(tmp_path, heading, factor):
    assert read(tmp_path, table(heading, [f"{t * factor:.10g}" for t in RAMP])).tolist() == TRACE


@pytest.mark.parametrize("heading", ["t,V", "Time,V", ",V", "Unnamed: 0,V", "index,V", "x,V", "sample,V", "abc,V"])
def test_what_may_be_time_is_never_a_trace(tmp_path, heading):
    refused(tmp_path, table(heading, range(6)), "looks like time", "name it time_ms")


def test_an_index_is_left_out_where_the_sampling_is_told(tmp_path):
    text = table("sample,V", range(6))
    recording = read_recording(_written(tmp_path, text), SIGNAL, dt_ms=0.5)
    assert recording.values.tolist() == [TRACE] and "index column 'sample' left out" in recording.words


def test_two_time_columns_that_differ_are_refused(tmp_path):
    refused(tmp_path, "time_ms,V,time_s\n0,1,0\n1,2,2\n", "several time columns")


@pytest.mark.parametrize(
    ("time", "words"),
    [
        ([0, 0, 0, 0, 0, 0], ["does not increase at row 2"]),
        ([0, 0.5, 0.25, 1, 2, 2.5], ["does not increase at row 3"]),
        ([0, 0.5, 1, 0, 0.5, 1], ["row 4", "side by side"]),
        ([0, 0.5, "", 1.5, 2, 2.5], ["line 4", "'time_ms'", "not finite"]),
        ([0, 0.5, "nan", 1.5, 2, 2.5], ["line 4"]),
        ([0, 0.5, 1, 1.5, 101.5, 102], ["gap at row 5", "100 ms"]),
    ],
)
def test_times_that_do_not_serve_name_the_row(tmp_path, time, words):
    refused(tmp_path, table("time_ms,V", time), *words)


def test_rounded_times_are_the_even_ones_that_they_are_of(tmp_path):
    """0.025 ms written with two decimals: 0.02, 0.05, 0.08, 0.10."""
    signal, time = SIGNAL | {"dt_ms": 0.025, "shape": [2000]}, np.arange(2100) * 0.025
    values = -60 + 10 * np.sin(2 * time)
    found = read(tmp_path, table("time_ms,V", [f"{t:.2f}" for t in time], values), signal=signal)
    # of the rounded times: 20 mV/ms in 0.005 ms
    np.testing.assert_allclose(found, values[:2000], atol=0.045)


def test_uneven_times_are_interpolated_on_themselves(tmp_path):
    """As NEURON's variable step gives them. The values are the times."""
    time = [0, 0.001, 0.002, 0.003, 1, 3]
    np.testing.assert_allclose(read(tmp_path, table("time_ms,V", time, time)), RAMP, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("V\n-65,311\n-64,900\n", ["line 2 has 2 fields", "decimal commas"]),
        ("time_ms;V\n0,0;-65,311\n0,5;-64,900\n", ["decimal commas (line 2)"]),
        ("time_ms\tV\n0,0\t-65,311\n", ["decimal commas"]),
        ("0,75\n0,75\n0,80\n", ["decimal commas"]),
        ("time_ms,V\n0,-65\n0.5\n", ["line 3 has 1 fields"]),
        ("time_ms,V\n0,-65,1\n", ["line 2 has 3 fields"]),
        ("time_ms,V\n0,-65\n0.5,n/a\n", ["line 3", "'V'", "'n/a'"]),
        ("time_ms,V\n0,-65\n0.5,inf\n", ["line 3", "not finite"]),
        ("time_ms,V\n0,-65\n0.5,1_0\n", ["line 3"]),
        ("time_ms,V\n", ["no numbers"]),
        ("", ["empty"]),
        ("0,-65\n0.5,-64\n1,-60\n", ["a column without a name", "time_ms"]),
        ("time_ms,V\n".encode("utf-16"), ["UTF-16"]),
        (b"PK\x03\x04", ["Excel"]),
        ("time_ms,V,V\n" + "".join(f"{t},1,2\n" for t in RAMP), ["several columns are called 'V'"]),
        ("time_ms,I (nA)\n0,1\n0.5,1\n", ["'nA'", "expected mV"]),
        ("time_ms,V (furlong)\n0,1\n0.5,1\n", ["'furlong'", "expected mV"]),
        (table("time_ms,I,V", RAMP, [f"1,{v}" for v in TRACE]), ["'I' is named as another quantity", "delete"]),
        (table("sweep,time_ms,V", [1] * 6, [f"{t},{v}" for t, v in zip(RAMP, TRACE, strict=True)]), ["which sweep"]),
        (table("time_ms,layer_V", RAMP), ["'layer (V)'"]),
        (table("time_ms (s),V", RAMP), ["two units"]),
        (table("time_ms,V_mV_uV", RAMP), ["two units, mV and uV"]),
        (table("time_ms,soma/V", RAMP), ["'soma (V)' or 'soma/V (mV)'"]),
        (table("V,tvec", TRACE, RAMP), ["'tvec' looks like time"]),
        (table("tvec,V", [0, 0.1, 0.3, 0.6, 1, 4]), ["'tvec' looks like time"]),
        (table("0,1", TRACE), ["line 1 (0, 1) may be"]),
        ("0\n" + "\n".join(map(str, TRACE)), ["line 1 (0) may be"]),
        ("V\n-65\n\n-64\n-60\n", ["line 3 is empty"]),
        ("V\n\n-65\n-64\n-60\n", ["line 2 is empty"]),
        ("V\n#N/A\n-65\n-64\n-60\n", ["line 2", "'#N/A'"]),
        ("nan\n-65\n-64\n-60\n", ["line 1", "'nan'"]),
        ('time_ms,V\n"0,0","-65,3"\n', ["line 2", "decimal points"]),
        (table("time_s,V", np.multiply(RAMP, 1)), ["every 500 ms", "another unit"]),
    ],
)
def test_tables_that_are_refused(tmp_path, text, words):
    refused(tmp_path, text, *words)


@pytest.mark.parametrize(
    "text",
    [
        table("time_ms;V", RAMP, separator=";"),
        table("time_ms\tV", RAMP, separator="\t"),
        table("time_ms V", RAMP, separator="  "),
        "# of cell 3\n" + table("time_ms,V", RAMP) + "\n\n",
        "# time_ms,V\n" + "\n".join(f"{t},{v}" for t, v in zip(RAMP, TRACE, strict=True)),
        table("time,V", RAMP).replace("time,V\n", "time,V\nms,mV\n"),
        table("time,V", RAMP).replace("time,V\n", "time,V\nms,\n"),
        table("time (ms)   Vm (mV)", RAMP, separator="   "),
        table("simulation time (ms),V", RAMP),
        table("time_ms,soma(0.5).v", RAMP),
        table("time_ms,soma(0.5)", RAMP),
        table("time_ms,mV soma", RAMP),
        table("time_ms,V_V", RAMP, [f"{v / 1e3:.6f}" for v in TRACE]),
        table("time_ms,Vm/V", RAMP, [f"{v / 1e3:.6f}" for v in TRACE]),
        table("time_ms,cell_A", RAMP),
        table("time_ms,V [V] soma", RAMP, [f"{v / 1e3:.6f}" for v in TRACE]),
        table("time_ms,V", RAMP).replace("\n", "\r\r\n"),
        table("time_ms,V", RAMP).replace("\n", "\r\n"),
        table("time_ms,V", RAMP).replace("\n", ",\n"),
        "\ufeff" + table("time_ms,V", RAMP),
        "V\n" + "\n".join(map(str, TRACE)),
        "\n".join(map(str, TRACE)),
    ],
)
def test_dialects(tmp_path, text):
    np.testing.assert_allclose(read(tmp_path, text), TRACE, rtol=1e-14)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("V", 1e-3),
        ("volts", 1e-3),
        ("mV", 1),
        ("mv", 1),
        ("millivolt", 1),
        ("uV", 1e3),
        ("µV", 1e3),
        ("microvolts", 1e3),
    ],
)
def test_units_are_converted(tmp_path, unit, factor):
    values = [f"{v * factor:.10g}" for v in TRACE]
    np.testing.assert_allclose(read(tmp_path, table(f"time_ms,Vm ({unit})", RAMP, values)), TRACE, rtol=1e-12)
    np.testing.assert_allclose(units.factor(unit, "mV", "x"), 1 / factor, rtol=1e-15)


@pytest.mark.parametrize("factor", [1e-3, 1e3, 37.0, 5.0])
def test_values_that_are_no_membrane_potential_are_refused(tmp_path, factor):
    refused(tmp_path, table("time_ms,V", RAMP, np.multiply(TRACE, factor)), "no membrane potential does", "--unit")


def test_volts_that_are_millivolts_are_refused_and_can_be_told(tmp_path):
    refused(tmp_path, table("time_ms,V (V)", RAMP), "reaches 7e+04 mV", "--unit")
    path = _written(tmp_path, table("time_ms,V", RAMP, np.multiply(TRACE, 1e-3)))
    np.testing.assert_allclose(read_recording(path, SIGNAL, unit="V").values[0], TRACE)
    np.testing.assert_allclose(read_recording(path, SIGNAL, scale=1e3).values[0], TRACE)


def _written(tmp_path, text):
    (tmp_path / "x.csv").write_text(text)
    return tmp_path / "x.csv"


def test_a_window_is_where_its_time_says(tmp_path):
    window = SIGNAL | {"t0_ms": 110.0}
    refused(tmp_path, table("time_ms,V", RAMP), "spans 0 to 3 ms", "110 to 113 ms", "--start-ms", signal=window)
    assert read(tmp_path, table("time_ms,V", RAMP), signal=window, start_ms=110).tolist() == TRACE
    late = table("time_ms,V", np.add(RAMP, 1000))
    refused(tmp_path, late, "spans 1000 to 1003 ms")
    assert read(tmp_path, late, start_ms=0.0).tolist() == TRACE, "the file's time is relative then"
    refused(tmp_path, table("time_ms,V", RAMP), "--dt-ms 0.1", "leave --dt-ms out", dt_ms=0.1)


@pytest.mark.parametrize("rate_kHz", [10, 20, 25, 50])
def test_exactly_the_protocol_at_its_own_sampling_is_enough(tmp_path, rate_kHz):
    """460 ms at 0.02 ms: the last sample of a coarser recording is held."""
    protocol = SIGNAL | {"dt_ms": 0.02, "shape": [23000]}
    np.save(tmp_path / "x.npy", np.full(460 * rate_kHz, -70.0))
    values = read_at_sampling(tmp_path / "x.npy", protocol, dt_ms=1 / rate_kHz)[1]
    assert values.shape == (1, 23000) and (values == -70).all()
    np.save(tmp_path / "x.npy", np.full(460 * rate_kHz - 2, -70.0))
    with pytest.raises(ConfigError, match="the estimator needs 0 to 460 ms"):
        read_at_sampling(tmp_path / "x.npy", protocol, dt_ms=1 / rate_kHz)


@pytest.mark.parametrize("own", [0.01, 0.02, 0.004, 1 / 30, 0.013])
def test_a_finer_recording_is_filtered_and_keeps_its_rest(tmp_path, own):
    """A slow wave stays, what is above the model's Nyquist frequency goes, a constant stays to the bit."""
    signal = SIGNAL | {"dt_ms": 0.05, "shape": [2000], "t0_ms": 5.0}
    time, wanted = np.arange(round(110 / own)) * own, 5 + np.arange(2000) * 0.05
    slow = -60 + 10 * np.sin(2 * np.pi * 0.2 * time)
    fast = 5 * np.sin(2 * np.pi * 14 * time)
    np.save(tmp_path / "x.npy", [slow + fast, slow, np.full(len(time), -70.123)])
    both, alone, constant = read_at_sampling(tmp_path / "x.npy", signal, dt_ms=own)[1]
    expected = -60 + 10 * np.sin(2 * np.pi * 0.2 * wanted)
    np.testing.assert_allclose(alone[20:-20], expected[20:-20], atol=0.02)
    np.testing.assert_allclose(alone, expected, atol=0.3)
    np.testing.assert_allclose(both[20:-20], expected[20:-20], atol=0.1)
    assert (constant == -70.123).all()


def test_a_peak_stays_where_it_is(tmp_path):
    signal = SIGNAL | {"dt_ms": 0.05, "shape": [400]}
    time = np.arange(2000) * 0.01
    np.save(tmp_path / "x.npy", -70 + 100 * np.exp(-(((time - 7.5) / 0.4) ** 2)))
    trace = read_at_sampling(tmp_path / "x.npy", signal, dt_ms=0.01)[1][0]
    assert trace.argmax() == 150 and trace.max() == pytest.approx(30, abs=0.3)


def test_arrays(tmp_path):
    for name, array, options, words in [
        ("counts", np.array([TRACE], np.int16), {}, "whole numbers (int16)"),
        ("complex", np.array([TRACE], complex), {}, "complex128"),
        ("flags", np.array([TRACE]) > 0, {}, "bool"),
        ("objects", np.array([[1, None]]), {}, "cannot be read as traces"),
        ("text", np.array(["a"]), {}, "expected real numbers"),
        ("none", np.float64(1.0), {}, "expected (traces, time)"),
        ("timed", np.array([RAMP, TRACE]), {}, "first row increases"),
        ("time_last", np.array([TRACE, RAMP]), {}, "row 1 increases"),
        ("columns", np.zeros((1000, 2)), {}, "transposed"),
    ]:
        np.save(tmp_path / f"{name}.npy", array)
        with pytest.raises(ConfigError) as caught:
            read_at_sampling(tmp_path / f"{name}.npy", SIGNAL, **options)
        assert words in str(caught.value) and name in str(caught.value)
    np.save(tmp_path / "counts.npy", np.array(TRACE, np.int16) * 32)
    np.testing.assert_allclose(read_recording(tmp_path / "counts.npy", SIGNAL, scale=1 / 32).values[0], TRACE)
    np.save(tmp_path / "big.npy", np.asfortranarray([TRACE, TRACE]).astype(">f4"))
    assert read_at_sampling(tmp_path / "big.npy", SIGNAL)[1].tolist() == [TRACE, TRACE]


def test_attributes_of_arrays(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["v"] = np.multiply([TRACE], 1e-3)
        file["v"].attrs.update(unit="volts")
        file["rate"] = [TRACE]
        file["rate"].attrs["sampling_rate"] = 20000.0
        file["raw"] = np.array([TRACE], np.int16)
        file["raw"].attrs["conversion"] = 0.1
        file["shifted"] = [TRACE]
        file["shifted"].attrs["offset"] = -70.0
        file["micro"] = np.multiply([TRACE], 1e3)
        file["micro"].attrs["units"] = "uV"
        file["beside/data"] = TRACE
        file["beside/timestamps"] = RAMP
        file["counted/data"] = TRACE
        file["counted/Fs"] = 20000.0
        file["igor"] = TRACE
        file["igor"].attrs["IGORWaveScaling"] = [[0.0, 0.0], [5e-5, 0.0]]
        file["group/data"] = TRACE
        file["group"].attrs["sampling_rate_hz"] = 2000.0
        file["dated"] = TRACE
        file["dated"].attrs.update(dt_ms=-1.0)
    np.testing.assert_allclose(read_at_sampling(path, SIGNAL, dataset="v")[1], [TRACE])
    np.testing.assert_allclose(read_at_sampling(path, SIGNAL, dataset="micro")[1], [TRACE])
    assert read_at_sampling(path, SIGNAL, dataset="beside/data", dt_ms=0.5)[1].tolist() == [TRACE]
    for dataset, word in (
        ("beside/data", "/beside has timestamps"),
        ("counted/data", "/counted has Fs"),
        ("igor", "igorwavescaling"),
        ("group/data", "/group has sampling_rate_hz"),
        ("dated", "dt_ms = -1"),
        ("nothing", "--dataset: beside/data, beside/timestamps"),
        ("rate", "--dt-ms"),
        ("raw", "conversion = 0.1"),
        ("shifted", "offset = -70"),
        ("/", "a group"),
    ):
        with pytest.raises(ConfigError) as caught:
            read_at_sampling(path, SIGNAL, dataset=dataset)
        assert word in str(caught.value)


def test_more_samples_than_are_taken_need_a_sampling(tmp_path):
    """A recording at twice the model's rate is not its first half in slow motion."""
    finer = np.repeat(TRACE, 2)
    np.save(tmp_path / "x.npy", finer)
    with pytest.raises(ConfigError, match="holds 12 samples and does not say how far apart"):
        read_recording(tmp_path / "x.npy", SIGNAL)
    refused(tmp_path, "V\n" + "\n".join(map(str, finer)), "holds 12 samples", "--dt-ms")
    assert read_recording(tmp_path / "x.npy", SIGNAL, dt_ms=0.5).values.tolist() == [finer[:6].tolist()]


@pytest.mark.parametrize("name", ["trigger", "TTL", "SEM", "std"])
def test_columns_beside_a_trace_are_no_traces(tmp_path, name):
    text = f"time_ms,V,{name}\n" + "".join(f"{t},{v},1\n" for t, v in zip(RAMP, TRACE, strict=True))
    refused(tmp_path, text, name, "another quantity")


@pytest.mark.parametrize("begin", ["ATF\t1.0\n8\t2\n", "IGOR\nWAVES\tv\n", "Interval=\t5e-05 s\n", "sep=,\n"])
def test_heads_of_other_programs_are_named(tmp_path, begin):
    refused(tmp_path, begin + table("time_ms,V", RAMP), "x.csv: is ", "; ")


def test_what_was_understood_is_said(tmp_path, capsys):
    path = _written(tmp_path, "time (s),a (V),b (V)\n" + "".join(f"{t / 1e4},-0.07,-0.06\n" for t in range(60)))
    words = read_recording(path, SIGNAL).words
    for part in ("2 traces a, b (V)", "time from column 'time (s)'", "0.1 ms apart", "60 samples", "filtered against"):
        assert part in words, words
    observed = read_observation(path, SIGNAL)
    assert observed.shape == (1, 6) and "the first, 'a', is the observation" in capsys.readouterr().err
    assert read_as(path, SIGNAL) == f"{words}; the first, 'a', is the observation"


def test_a_recording_that_begins_within_a_sample_is_read_from_there(tmp_path):
    """Times at the middle of samples: the first is held, and nothing moves."""
    signal, time = SIGNAL | {"dt_ms": 0.05, "shape": [400]}, (np.arange(2000) + 0.4) * 0.01
    np.save(tmp_path / "x.npy", -60 + 10 * np.sin(time))
    found = read_at_sampling(tmp_path / "x.npy", signal, dt_ms=0.01, start_ms=0.004)[1][0]
    np.testing.assert_allclose(found, -60 + 10 * np.sin(np.arange(400) * 0.05), atol=0.3)
    np.testing.assert_allclose(found[20:-20], -60 + 10 * np.sin(np.arange(20, 380) * 0.05), atol=0.05)


def test_a_signal_of_another_name_is_a_membrane_potential_too(tmp_path):
    """The Hodgkin-Huxley point neuron's is soma_voltage."""
    volts = table("time_ms,V", RAMP, np.multiply(TRACE, 1e-3))
    refused(tmp_path, volts, "no membrane potential does", signal=SIGNAL | {"name": "soma_voltage"})
    assert read(tmp_path, volts, signal=SIGNAL | {"name": "lfp"})[0] == -0.065


@pytest.mark.parametrize(
    ("option", "value"), [("scale", np.nan), ("scale", 0.0), ("start_ms", np.inf), ("dt_ms", -1.0)]
)
def test_options_that_are_no_numbers_of_their_kind(tmp_path, option, value):
    with pytest.raises(ConfigError, match=f"--{option.replace('_', '-')} is"):
        read_recording(_written(tmp_path, "\n".join(map(str, TRACE))), SIGNAL, **{option: value})


def test_times_that_jitter_are_filtered_too(tmp_path):
    """A tone above the model's Nyquist frequency goes, a slow wave stays; of a variable step nothing is filtered."""
    signal, n = SIGNAL | {"dt_ms": 0.05, "shape": [1000]}, 6000
    time = np.arange(n) * 0.01 + np.random.default_rng(1).uniform(0, 0.003, n)
    slow, tone = -60 + 10 * np.sin(2 * np.pi * 0.2 * time), 5 * np.sin(2 * np.pi * 14 * time)
    path = _written(tmp_path, "time_ms,V\n" + "".join(f"{t},{v}\n" for t, v in zip(time, slow + tone, strict=True)))
    found = read_recording(path, SIGNAL | signal, start_ms=float(time[0]))
    assert "interpolated on the given times, filtered" in found.words
    expected = -60 + 10 * np.sin(2 * np.pi * 0.2 * np.arange(1000) * 0.05)
    np.testing.assert_allclose(found.values[0][20:-20], expected[20:-20], atol=0.35)


def test_ten_kilohertz_in_seconds(tmp_path):
    """Five samples to one of the estimator's, as scipy filters them with the ends held."""
    values = np.tile(np.repeat(TRACE, 2), 5)
    text = table("time_s,V", [f"{i * 1e-4:.4f}" for i in range(60)], values)
    expected = resample_poly(values, 1, 5, padtype="edge")[:6]
    np.testing.assert_allclose(read(tmp_path, text), expected, atol=1e-9)
