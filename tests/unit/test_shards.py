import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from neuroinverse import shards
from neuroinverse.errors import ShardError, StorageError
from neuroinverse.files import atomic, require_space
from neuroinverse.hdf5 import new_file
from neuroinverse.provenance import canonical
from neuroinverse.shards import (
    NOT_FINITE,
    OK,
    RAISED,
    SILENT,
    Dataset,
    join_shards,
    put_aside,
    verify_shard,
    write_shard,
)
from neuroinverse.simulators.base import Signal

SIGNALS = (Signal("soma_voltage", "mV", 0.02, (40,), 1.2), Signal("current", "µA/cm²", 0.04, (20, 3)))


def make_spec(start=0, stop=12, **changes):
    simulation = {
        "version": 1, "study": "test_study", "dataset": "train", "master_seed": 1, "simulator": {"name": "hh_point"},
        "protocol": {"dt_ms": 0.02},
        "parameters": [
            {"name": "gnabar", "unit": "S/cm2", "low": 0.06, "high": 0.24, "scale": "linear"},
            {"name": "gl", "unit": "S/cm2", "low": 1e-5, "high": 1e-3, "scale": "log"},
        ],
    }  # fmt: skip
    return {"simulation": simulation | changes, "start": start, "stop": stop}


def make_arrays(spec, signals=SIGNALS, salt=0):
    """Arrays that depend on the index of the simulation alone."""
    rows = [np.random.default_rng([i, salt]) for i in range(spec["start"], spec["stop"])]
    theta = np.array([r.uniform(0.1, 1, 2) for r in rows])
    values = {s.name: np.array([r.normal(size=s.shape) for r in rows], np.float32) for s in signals}
    status = np.array([(OK, OK, NOT_FINITE, OK, RAISED)[i % 5] for i in range(spec["start"], spec["stop"])], np.uint8)
    return theta, values, status


def write(path, spec=None, signals=SIGNALS, salt=0, block=5):
    spec = spec or make_spec()
    theta, values, status = make_arrays(spec, signals, salt)

    def blocks():
        for i in range(0, len(theta), block):
            yield i, {k: v[i : i + block] for k, v in values.items()}, status[i : i + block]

    return write_shard(path, spec, theta, signals, blocks(), lambda: 2.5)


def everything(path):
    """Every array and attribute of a file, as comparable values."""
    found = {}

    def add(name, item):
        found.update({f"{name}@{k}": np.asarray(v).tolist() for k, v in item.attrs.items()})
        if isinstance(item, h5py.Dataset):
            found[name] = (item.dtype.str, item.shape, item[()].tobytes())

    with h5py.File(path) as file:
        add("/", file)
        file.visititems(add)
    return found


@pytest.fixture
def joined(tmp_path):
    """Three shards of a study (5 + 5 + 2 simulations), and the dataset that joins them, in the folders of a run."""
    paths = [tmp_path / "shards" / "train" / f"{i:05d}.h5" for i in range(3)]
    for i, path in enumerate(paths):
        write(path, make_spec(5 * i, min(5 * i + 5, 12)))
    dataset = tmp_path / "dataset" / "train.h5"
    spec = {"version": 1, "simulation": make_spec()["simulation"], "n": 12, "shard_size": 5}
    counts = join_shards(dataset, spec, paths)
    return dataset, spec, paths, counts


# --- roundtrip ---------------------------------------------------------------------------------------------------


def test_signals_that_may_be_undefined_say_so(tmp_path):
    signals = (Signal("isi_cv", "1", 1.0, (1,), 150.0, may_be_nan=True), Signal("lfp", "mV", 1.0, (4, 2), 150.0))
    spec = make_spec()
    write(tmp_path / "shards" / "00000.h5", spec, signals)
    assert tuple(verify_shard(tmp_path / "shards" / "00000.h5", spec)["signals"].values()) == signals
    join_shards(
        tmp_path / "d.h5",
        {"simulation": spec["simulation"], "n": 12, "shard_size": 12},
        [tmp_path / "shards" / "00000.h5"],
    )
    assert tuple(Dataset(tmp_path / "d.h5").signals.values()) == signals


def test_silent_simulations_are_counted_by_themselves(tmp_path):
    spec = make_spec()
    theta, values, status = make_arrays(spec)
    status[[0, 5]] = SILENT
    path = tmp_path / "shards" / "00000.h5"
    path.parent.mkdir()
    counts = write_shard(path, spec, theta, SIGNALS, [(0, values, status)], lambda: 1.0)
    assert counts == {"ok": 6, "not finite": 2, "raised an error": 2, "silent": 2}
    join_shards(tmp_path / "d.h5", {"simulation": spec["simulation"], "n": 12, "shard_size": 12}, [path])
    data = Dataset(tmp_path / "d.h5")
    assert (data.n_failed, data.n_silent) == (4, 2)
    np.testing.assert_array_equal(data.theta(3, 9, ["gl"]), theta[3:9, 1:])
    np.testing.assert_array_equal(data.theta(3, 9, ["gl", "gnabar"]), theta[3:9, ::-1])


def test_roundtrip_of_a_shard(tmp_path):
    spec = make_spec(start=30, stop=42)
    path = tmp_path / "a" / "b" / "00000.h5"
    counts = write(path, spec)
    theta, values, status = make_arrays(spec)
    assert counts == {"ok": 8, "not finite": 2, "raised an error": 2, "silent": 0}
    attributes = verify_shard(path, spec)
    assert attributes["status_counts"] == counts
    assert attributes["signals"] == {s.name: s for s in SIGNALS}
    assert json.loads(attributes["spec"]) == spec
    assert attributes["seconds_core"] == 2.5
    assert (attributes["study"], attributes["dataset"]) == ("test_study", "train")
    assert json.loads(attributes["provenance"])["neuroinverse"]
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["theta"], theta)
        np.testing.assert_array_equal(file["index"], np.arange(30, 42))
        np.testing.assert_array_equal(file["status"], status)
        for name, value in values.items():
            assert file[f"signals/{name}"].dtype == np.float32
            np.testing.assert_array_equal(file[f"signals/{name}"], value)
        assert all(file[n].fletcher32 for n in ("theta", "index", "status", "signals/soma_voltage", "signals/current"))
        assert [n.decode() for n in file["theta"].attrs["names"]] == ["gnabar", "gl"]
        assert [n.decode() for n in file["theta"].attrs["units"]] == ["S/cm2", "S/cm2"]
        assert [n.decode() for n in file["theta"].attrs["scale"]] == ["linear", "log"]
        assert file["theta"].attrs["high"].tolist() == [0.24, 1e-3]


def test_content_sum_does_not_depend_on_the_blocks(tmp_path):
    sums = []
    for block in (1, 5, 12):
        write(tmp_path / f"{block}.h5", block=block)
        sums.append(verify_shard(tmp_path / f"{block}.h5")["content_sha256"])
    assert len(set(sums)) == 1
    write(tmp_path / "other.h5", salt=1)
    assert verify_shard(tmp_path / "other.h5")["content_sha256"] != sums[0]


def test_roundtrip_of_a_dataset(joined):
    path, spec, _, counts = joined
    data = Dataset(path)
    theta, values, status = make_arrays(make_spec())
    assert (data.n, data.shard_size, data.spec) == (12, 5, spec)
    assert data.status_counts == counts and data.n_failed == 4 == (status != OK).sum()
    assert data.signals == {s.name: s for s in SIGNALS}
    assert data.parameters.names == ("gnabar", "gl")
    assert data.seconds_core == 7.5
    for start, stop in ((0, 12), (0, 5), (4, 6), (5, 10), (3, 12), (11, 12), (9, 10)):
        np.testing.assert_array_equal(data.theta(start, stop), theta[start:stop])
        np.testing.assert_array_equal(data.index(start, stop), np.arange(start, stop))
        np.testing.assert_array_equal(data.status(start, stop), status[start:stop])
        for name, value in values.items():
            np.testing.assert_array_equal(data.signal(name, start, stop), value[start:stop])


def test_plain_hdf5_reads_the_joined_dataset_also_after_the_folder_moved(joined, tmp_path):
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.move(tmp_path / "shards", moved / "shards")
    shutil.move(tmp_path / "dataset", moved / "dataset")
    theta, values, _ = make_arrays(make_spec())
    with h5py.File(moved / "dataset" / "train.h5") as file:
        np.testing.assert_array_equal(file["theta"], theta)
        np.testing.assert_array_equal(file["signals/current"], values["current"])
    np.testing.assert_array_equal(Dataset(moved / "dataset" / "train.h5").theta(0, 12), theta)


def formats(path: Path) -> tuple[int, set[bytes]]:
    """Version of a file's superblock, and which of HDF5's structures it has by their signatures."""
    with h5py.File(path) as file:
        superblock = file.id.get_create_plist().get_version()[0]
    data = path.read_bytes()
    structures = (b"OHDR", b"TREE", b"SNOD", b"HEAP", b"FADB", b"FAHD", b"EAHD", b"BTHD")
    return superblock, {s for s in structures if s in data}


def test_files_are_of_a_format_that_old_libraries_read(joined):
    """Superblock 2 and its checksummed headers are HDF5 1.8's; 0 had no checksums, and 3 came with 1.10."""
    path, _, paths, _ = joined
    assert [formats(p) for p in paths] == [(2, {b"OHDR", b"TREE"})] * 3
    assert formats(path) == (2, {b"OHDR", b"TREE"}), "its names of shards are chunked, all else is virtual"


def test_the_library_itself_refuses_what_the_oldest_reader_does_not_know(tmp_path):
    layout = h5py.VirtualLayout((4,), np.float64)
    layout[:] = h5py.VirtualSource("x.h5", "x", (4,), np.float64)
    with new_file(tmp_path / "a.h5") as (file, _), pytest.raises(ValueError, match="out of bounds"):
        file.create_virtual_dataset("x", layout)
    with new_file(tmp_path / "b.h5", "v110") as (file, _):
        file.create_virtual_dataset("x", layout)


def test_files_of_before_are_read_and_joined_with_new_ones(joined, monkeypatch):
    """They were written in HDF5's latest format."""

    @contextmanager
    def latest(path, *_):
        with h5py.File(path, "w", libver="latest") as file:
            yield file, SimpleNamespace(check=lambda: None)

    path, spec, paths, counts = joined
    with monkeypatch.context() as old:
        old.setattr(shards, "new_file", latest)
        write(paths[1], make_spec(5, 10))
    assert formats(paths[1])[0] > formats(paths[0])[0]
    theta, values, _ = make_arrays(make_spec())
    for join in (None, latest, new_file):
        if join is not None:
            monkeypatch.setattr(shards, "new_file", join)
            assert join_shards(path, spec, paths) == counts
        data = Dataset(path)
        np.testing.assert_array_equal(data.theta(0, 12), theta)
        np.testing.assert_array_equal(data.signal("current", 0, 12), values["current"])
        with h5py.File(path) as file:
            np.testing.assert_array_equal(file["signals/current"], values["current"])


def test_rows_of_a_lost_shard_cannot_be_taken_for_results_by_other_tools(joined):
    path, _, paths, _ = joined
    paths[1].unlink()
    theta, values, status = make_arrays(make_spec())
    kept = np.r_[0:5, 10:12]
    with h5py.File(path) as file:
        found = {name: file[name][:] for name in ("theta", "index", "status", *(f"signals/{s.name}" for s in SIGNALS))}
    for name in ("theta", *(f"signals/{s.name}" for s in SIGNALS)):
        assert np.isnan(found[name][5:10]).all(), name
    assert found["status"][5:10].tolist() == [255] * 5 and 255 not in shards.STATUS_NAMES
    assert found["index"][5:10].tolist() == [-1] * 5
    expected = {"theta": theta, "index": np.arange(12), "status": status}
    for name, value in (expected | {f"signals/{k}": v for k, v in values.items()}).items():
        np.testing.assert_array_equal(found[name][kept], value[kept])


# --- damage ------------------------------------------------------------------------------------------------------


def test_truncated_shards_are_refused(tmp_path):
    path, cut = tmp_path / "00000.h5", tmp_path / "cut.h5"
    write(path)
    data = path.read_bytes()
    for n in (0, 1, 100, len(data) // 4, len(data) // 2, len(data) - 4096, len(data) - 100, len(data) - 1):
        cut.write_bytes(data[:n])
        with pytest.raises(ShardError, match=r"cut\.h5.*truncated or altered.*run the same target again"):
            verify_shard(cut, make_spec())


def test_no_text_lies_outside_checksums(joined):
    """HDF5's heap for text of variable length has no checksum; an altered byte there can hang the library."""
    _, _, paths, _ = joined
    for path in paths:
        assert b"GCOL" not in path.read_bytes()


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_an_altered_byte_is_refused_or_changes_nothing(tmp_path, mask):
    path, altered = tmp_path / "00000.h5", tmp_path / "altered.h5"
    write(path)
    data, whole = path.read_bytes(), everything(path)
    refused = 0
    positions = range(mask % 7, len(data), 27)
    for i in positions:
        changed = bytearray(data)
        changed[i] ^= mask
        altered.write_bytes(changed)
        try:
            verify_shard(altered, make_spec())
        except ShardError as error:
            refused += 1
            assert "altered.h5" in str(error)
        else:
            assert everything(altered) == whole, f"byte {i} of {len(data)} altered the contents unnoticed"
    print(f"{len(positions)} bytes altered: {refused} refused, the others are padding")
    assert refused > len(positions) / 3


def test_altered_values_behind_valid_checksums_are_refused(tmp_path):
    """A program that rewrites values through HDF5 renews its checksums, but not the sum over the contents."""
    for name, value in (("theta", 0.5), ("status", 9), ("index", 3), ("signals/current", 1.0)):
        path = tmp_path / "00000.h5"
        write(path)
        with h5py.File(path, "r+") as file:
            file[name][4] = value
        with pytest.raises(ShardError, match="SHA-256"):
            verify_shard(path, make_spec())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"study": "other"}, ["simulation.study is 'test_study', expected 'other'"]),
        ({"dataset": "test"}, ["simulation.dataset"]),
        ({"master_seed": 2}, ["simulation.master_seed is 1, expected 2"]),
        ({"protocol": {"dt_ms": 0.01}}, ["simulation.protocol.dt_ms is 0.02, expected 0.01"]),
        ({"stop": 13}, ["stop is 12, expected 13"]),
        ({"neuron": "9"}, ["simulation.neuron is 'nothing', expected '9'"]),
    ],
)
def test_a_shard_of_something_else_is_refused_with_the_difference(tmp_path, changes, words):
    path = tmp_path / "00000.h5"
    write(path)
    with pytest.raises(ShardError, match="something else") as caught:
        verify_shard(path, make_spec(**changes))
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_other_files_and_missing_ones_are_refused(tmp_path):
    (tmp_path / "text.h5").write_text("no HDF5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = [1.0]
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["format"] = "neuroinverse-shard-0"
    for name, word in (
        ("text", "truncated"),
        ("foreign", "no shard of format"),
        ("old", "no shard of format"),
        ("no", "not exist"),
    ):
        with pytest.raises(ShardError, match=word):
            verify_shard(tmp_path / f"{name}.h5")


# --- joined datasets ---------------------------------------------------------------------------------------------


def test_join_refuses_damaged_missing_and_swapped_shards(joined, tmp_path):
    _, spec, paths, _ = joined
    output = tmp_path / "dataset" / "again.h5"
    with pytest.raises(ShardError, match="something else"):
        join_shards(output, spec, [paths[1], paths[0], paths[2]])
    with pytest.raises(ShardError, match="does not exist"):
        join_shards(output, spec, [*paths[:2], tmp_path / "00009.h5"])
    data = bytearray(paths[1].read_bytes())
    paths[1].write_bytes(data[:-200])
    with pytest.raises(ShardError, match=r"00001\.h5"):
        join_shards(output, spec, paths)
    assert not output.exists()


def test_a_missing_shard_raises_and_never_gives_fill_values(joined):
    path, _, paths, _ = joined
    data = Dataset(path)
    paths[1].unlink()
    for name in ("theta", "index", "status", "signals/soma_voltage"):
        with pytest.raises(ShardError, match=r"00001\.h5: does not exist"):
            data.read(name, 0, 12)
    # rows of the other shards can be read
    np.testing.assert_array_equal(data.theta(10, 12), make_arrays(make_spec(10, 12))[0])
    paths[0].unlink()
    with pytest.raises(ShardError, match=r"00000\.h5"):
        Dataset(path)


def test_a_damaged_or_exchanged_shard_under_a_dataset_raises(joined):
    path, _, paths, _ = joined
    data = Dataset(path)
    good = paths[1].read_bytes()
    paths[1].write_bytes(good[: len(good) // 2])
    with pytest.raises(ShardError, match=r"00001\.h5"):
        data.signal("soma_voltage", 4, 6)
    write(paths[1], make_spec(5, 10), salt=1)
    with pytest.raises(ShardError, match="not the shard that was joined"):
        data.theta(0, 12)
    # the same simulations written anew are the same shard, whenever that was
    write(paths[1], make_spec(5, 10), block=2)
    np.testing.assert_array_equal(data.theta(0, 12), make_arrays(make_spec())[0])


def test_put_aside_keeps_the_shard_and_removes_what_joins_it(joined, tmp_path):
    path, spec, paths, _ = joined
    for name in ("train@5.h5", "test.h5"):
        shutil.copy(path, path.with_name(name))
    bad = paths[1].read_bytes()
    put_aside(paths[1])
    assert not paths[1].exists()
    assert paths[1].with_suffix(".refused").read_bytes() == bad
    assert sorted(p.name for p in path.parent.iterdir()) == ["test.h5"]
    assert paths[0].exists() and paths[2].exists()
    write(paths[1], make_spec(5, 10))
    join_shards(path, spec, paths)
    put_aside(tmp_path / "shards" / "train" / "00007.h5")


def test_a_dataset_file_of_something_else_is_refused(tmp_path):
    write(tmp_path / "00000.h5")
    with pytest.raises(ShardError, match="is no dataset file"):
        Dataset(tmp_path / "00000.h5")
    with pytest.raises(ShardError, match="does not exist"):
        Dataset(tmp_path / "nothing.h5")


# --- whole or absent ---------------------------------------------------------------------------------------------


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_atomic_gives_the_whole_file_or_nothing(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with pytest.raises(RuntimeError, match="half-way"), atomic(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        raise RuntimeError("half-way")
    assert leftovers(path.parent) == []
    with atomic(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole" and leftovers(path.parent) == ["file.txt"]
    # an old file stays as it was
    with pytest.raises(KeyboardInterrupt), atomic(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "whole" and leftovers(path.parent) == ["file.txt"]


def test_atomic_gives_the_permissions_of_any_other_file(tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    with atomic(tmp_path / "made") as temporary:
        temporary.touch()
    assert (tmp_path / "made").stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, RuntimeError("the engine died"), OSError(5, "Input/output error")]
)
def test_an_interrupted_shard_leaves_nothing(tmp_path, error):
    spec = make_spec()
    theta, values, status = make_arrays(spec)

    def blocks():
        yield 0, {k: v[:5] for k, v in values.items()}, status[:5]
        raise error

    with pytest.raises(error if isinstance(error, type) else type(error)):
        write_shard(tmp_path / "00000.h5", spec, theta, SIGNALS, blocks(), lambda: 0.0)
    assert leftovers(tmp_path) == []
    write(tmp_path / "00000.h5", spec)
    verify_shard(tmp_path / "00000.h5", spec)


def test_a_killed_process_leaves_no_file_under_the_final_name(tmp_path):
    path = tmp_path / "shards" / "00000.h5"
    code = f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_shards import SIGNALS, make_arrays, make_spec, write_shard
        from pathlib import Path

        spec = make_spec()
        theta, values, status = make_arrays(spec)

        def blocks():
            yield 0, {{k: v[:5] for k, v in values.items()}}, status[:5]
            print("writing", flush=True)
            time.sleep(600)

        write_shard(Path({str(path)!r}), spec, theta, SIGNALS, blocks(), lambda: 0.0)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "writing\n"
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    finally:
        process.kill()
        process.stdout.close()
    assert not path.exists()
    assert all(name.startswith(".") for name in leftovers(path.parent))
    # nothing that the dead process left stands in the way
    write(path)
    verify_shard(path, make_spec())


# --- a full disk -------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if not done or done.returncode:
        pytest.skip(f"cannot mount a small disk: {done.stderr.strip() if done else 'no mount command'}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


LARGE = (Signal("soma_voltage", "mV", 0.02, (50_000,)),)


def test_a_shard_that_cannot_fit_is_refused_before_it_begins(small_disk):
    spec = make_spec(stop=20)
    theta, _, _ = make_arrays(spec, ())

    def blocks():
        raise AssertionError("simulated although there is no room")
        yield

    with pytest.raises(StorageError, match=r"needs 4\.1 MB and its disk has 2\.\d MB free"):
        write_shard(small_disk / "00000.h5", spec, theta, LARGE, blocks(), lambda: 0.0)
    assert leftovers(small_disk) == []


def test_a_disk_that_fills_while_a_shard_is_written(small_disk, monkeypatch):
    monkeypatch.setattr(shards, "require_space", lambda path, needed: None)
    path = small_disk / "00000.h5"
    with pytest.raises(StorageError, match=r"00000\.h5: the disk is full"):
        write(path, make_spec(stop=20), LARGE, block=4)
    assert leftovers(small_disk) == []
    # with room again, the same call succeeds
    write(path, make_spec(stop=5), LARGE)
    verify_shard(path, make_spec(stop=5))


def test_a_disk_that_fills_under_any_other_file(small_disk):
    path = small_disk / "model.keras"
    with pytest.raises(StorageError, match="the disk is full"), atomic(path) as temporary:
        temporary.write_bytes(bytes(4_000_000))
    assert leftovers(small_disk) == []
    require_space(path, 1_000_000)
    with pytest.raises(StorageError, match="Free some space"):
        require_space(path, 3_000_000)


def test_canonical_text_of_a_spec_does_not_depend_on_the_order_of_keys():
    spec = make_spec()
    reversed_order = {k: spec[k] for k in reversed(spec)}
    assert canonical(spec) == canonical(reversed_order)
    assert json.loads(canonical(spec)) == spec
