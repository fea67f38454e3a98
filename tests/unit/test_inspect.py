"""inspect: what files and folders are said to be; damaged are those that are."""

import json
import os
import shutil
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
from tiny import SPACE, make_dataset, make_model, metadata

from neuroinverse import cli
from neuroinverse.errors import NeuroinverseError
from neuroinverse.inspection import describe
from neuroinverse.inspection.ranges import Ranges


def said(path) -> str:
    return "\n".join(describe(path))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("inspect"), n=6, shard_size=4, failed=(1,))


def test_a_shard_and_a_dataset_with_their_ranges(dataset):
    theta, voltage = dataset.theta(0, 4), dataset.signal("voltage", 0, 4)
    finite = voltage[np.isfinite(voltage)]
    text = said(dataset.shards[0])
    assert "a shard of simulations" in text and "study tiny, dataset train: simulations 0 to 3" in text
    assert "status: 3 ok, 1 not finite" in text
    assert f"amplitude: {theta[:, 0].min():.4g} to {theta[:, 0].max():.4g} mV, mean {theta[:, 0].mean():.4g}" in text
    assert f"{finite.min():.4g} to {finite.max():.4g} mV, mean {finite.mean():.4g}, 24 of 96 not finite" in text
    assert "24 samples, every 0.5 ms from 10 ms" in text
    whole = said(dataset.path)
    assert "6 simulations in 2 shards" in whole and "status: 5 ok, 1 not finite" in whole
    assert f"tau: {dataset.theta(0, 6)[:, 1].min():.4g} to" in whole and "24 of 144 not finite" in whole


def test_a_dataset_whose_shards_are_gone_is_whole(tmp_path):
    data = make_dataset(tmp_path, n=6, shard_size=4)
    data.shards[0].unlink()
    text = said(data.path)
    assert (
        "1 of its shards are gone" in text
        and f"snakemake --profile profiles/local {tmp_path}/shards/train/00000.h5" in text
    )
    theta = np.sort(SPACE.draw(1, "tiny/train", np.arange(4, 6))[0][:, 0])
    assert f"amplitude: {theta[0]:.4g} to {theta[1]:.4g} mV" in text
    data.shards[1].unlink()
    assert "2 of its shards are gone" in said(data.path) and "no values" in said(data.path)


def test_a_look_at_a_damaged_shard_changes_nothing(tmp_path, capsys):
    data = make_dataset(tmp_path, n=6, shard_size=4)
    shard, content = data.shards[0], data.shards[0].read_bytes()
    place = content.index(np.float32(data.signal("voltage", 0, 1)[0, 3]).tobytes())
    for damaged in (content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :], content[: len(content) // 2]):
        shard.write_bytes(damaged)
        for path in (shard, data.path):
            assert cli.main(["inspect", str(path)]) == 1
            err = capsys.readouterr().err
            assert (
                "shards/train/00000.h5: is truncated or altered" in err
                and "altered" in err
                and "Remove it" in err
                and len(err.splitlines()) == 1
            )
        assert shard.read_bytes() == damaged and data.path.is_file()
    shutil.copy(data.shards[1], shard)
    with pytest.raises(NeuroinverseError, match="is not the shard that was joined"):
        describe(data.path)


def test_hdf5_of_other_origin(tmp_path):
    path = tmp_path / "recording.h5"
    with h5py.File(path, "w") as file:
        file.attrs["title"] = "slice 3"
        file.create_dataset("cell 1/voltage", data=np.array([[-70.0, 20.0], [np.nan, -60.0]]))
        file["cell 1/voltage"].attrs["unit"] = "mV"
        file["cell 1/names"] = np.array(["a", "b"], dtype="S1")
        file["cell 1/empty"] = np.zeros((0, 3))
        file["scalar"] = 3.5
        file["loop"] = h5py.SoftLink("/")
        file["away"] = h5py.ExternalLink("nowhere.h5", "/x")
        file["none"] = h5py.Empty("f4")
    text = said(path)
    assert "did not write" in text and "title = slice 3" in text and "unit = mV" in text
    assert "cell 1/voltage: 2 × 2 float64: -70 to 20, mean -36.67, 1 of 4 not finite" in text
    assert "/scalar: one value float64: 3.5" in text and "/cell 1/empty: 0 × 3" in text
    assert "/loop: a link to /" in text and "/away: a link to nowhere.h5:/x, which is not there" in text
    assert "neuroinverse predict ... --dataset '/cell 1/voltage'" in text


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({"names": ["a"], "half_widths": {}, "threshold": 1.0}, "the calibration of an estimator"),
        ({"study": "x", "estimator": "cnn", "kind": "cnn", "mse_unit": 0.1}, "the measures of an estimator"),
        ({"kind": "posterior", "checks": [], "posterior": {}, "mse_unit": 1, "estimator": "p"}, "of a posterior"),
        ({"study": "x", "sizes": [], "laws": {}}, "error against training size"),
        ({"tier": "ranking", "trials": 3}, "the table of a search"),
        ({"projections": [], "search": {}}, "a search for gains"),
        ({"name": "x", "command": "y", "figures": {}}, "a record"),
        ({"simulation": {}, "start": 0, "stop": 1}, "the specification of a shard"),
        ({"simulations": 1, "parameters": {}, "signals": {}, "warnings": []}, "what the guard found"),
        ({"some": float("nan"), "other": [1, 2]}, "a JSON file"),
        ([1, 2], "a JSON list of 2 items"),
    ],
)
def test_json_by_its_keys(tmp_path, content, kind):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content))
    assert kind in said(path) and "damaged" not in said(path)


def test_committed_files_are_known(root):
    text = said(root / "docs" / "records" / "rates.json")
    assert "a record of measured figures" in text and "command: snakemake" in text
    assert "a study" in said(root / "config" / "studies" / "izhikevich.yaml")
    assert "the configuration" in said(root / "config" / "config.yaml")
    assert "a space of networks" in said(root / "config" / "search" / "published.yaml")
    assert "a profile of Snakemake" in said(root / "profiles" / "local" / "config.yaml")
    assert "a JSON schema" in said(root / "workflow" / "schemas" / "study.schema.json")
    assert "a picture of " in said(root / "docs" / "images" / "search.png")
    link = said(root / "slurm")
    assert "slurm -> profiles/slurm: a folder" in link


def test_tables(tmp_path):
    def table(name, text):
        (tmp_path / name).write_text(text)
        return said(tmp_path / name)

    history = table("history.csv", "epoch,seconds,learning_rate,loss,val_loss\n1,2.5,0.1,0.5,\n2,5,0.05,0.25,0.4\n")
    assert "the history of a training" in history and "loss: 0.25 to 0.5, mean 0.375" in history
    assert "val_loss: 0.4 throughout, mean 0.4, 1 of 2 not finite" in history
    traces = table("traces.csv", "# amplifier 3\ntime_ms;a;a\n0;-70;1\n0.5;-60;2\n")
    assert "2 rows, 3 columns" in traces and "a: -70 to -60" in traces and "a: 1 to 2" in traces and "predict" in traces
    assert "without names" in table("bare.csv", "1,2\n3,4\n") and "2 rows" in said(tmp_path / "bare.csv")
    assert "1 rows have more or fewer cells" in table("odd.csv", "a,b\n1,2\n1,2,3\n")
    assert "time and memory" in table("job.tsv", "s\th:m:s\tmax_rss\n1.5\t0:00:01\t100\n")
    (tmp_path / "utf16.csv").write_text("a,b\n1,2\n", encoding="utf-16")
    with pytest.raises(NeuroinverseError, match="UTF-8"):
        describe(tmp_path / "utf16.csv")


def test_parquet(tmp_path):
    rows = {"index": [0, 1], "g_true": [1.0, 2.0], "g_fold0": [1.0, 1.0], "g_mean": [1.5, np.nan]}
    pd.DataFrame(rows | {"out_of_range": [0.5, 0.5], "score": [1.0, 2.0]}).to_parquet(tmp_path / "predictions.parquet")
    text = said(tmp_path / "predictions.parquet")
    assert "predictions of its test set" in text and "2 rows" in text and "g_true: 1 to 2, mean 1.5" in text
    assert "g_mean: 1.5 throughout, mean 1.5, 1 of 2 not finite" in text
    pd.DataFrame({"trace": ["a"], "gna": [2.0], "gain_nats": [0.1]}).to_parquet(tmp_path / "draws.parquet")
    assert "draws from a posterior" in said(tmp_path / "draws.parquet") and "trace: text" in said(
        tmp_path / "draws.parquet"
    )
    content = (tmp_path / "draws.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(NeuroinverseError, match=r"cut.parquet: is no parquet file, or was cut off"):
        describe(tmp_path / "cut.parquet")


def test_arrays(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[1.0, 2.0, np.nan]]))
    text = said(tmp_path / "x.npy")
    assert "1 × 3 float64" in text and "1 to 2, mean 1.5, 1 of 3 not finite" in text and "1 traces of 3 samples" in text
    np.save(tmp_path / "object.npy", np.array([{"a": 1}], dtype=object))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-8])
    for name in ("object", "cut"):
        with pytest.raises(NeuroinverseError, match=rf"{name}.npy: is no NumPy array of numbers"):
            describe(tmp_path / f"{name}.npy")


def test_saved_networks(tmp_path):
    from neuroinverse.estimators import cnn
    from neuroinverse.estimators.modelfile import save_model

    model, path = cnn.to_physical_model(make_model(), SPACE), tmp_path / "fold-0" / "model.keras"
    save_model(model, metadata(), path)
    text = said(path)
    assert "one fold of an estimator" in text and "tau: trained from 1 to 100 ms, log" in text and "n_train: 30" in text
    assert "takes voltage in mV: 24 samples, every 0.5 ms from 10 ms" in text
    folder = said(tmp_path)
    assert "an estimator, for: neuroinverse predict" in folder and "1 of 1 folds" in folder and "not measured" in folder
    model.save(tmp_path / "other.keras")
    assert "neuroinverse did not train" in said(tmp_path / "other.keras")
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("model.weights.h5").header_offset + 1000
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    (tmp_path / "altered.keras").write_bytes(content)
    (tmp_path / "cut.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(NeuroinverseError, match=r"member model.weights.h5 does not match"):
        describe(tmp_path / "altered.keras")
    with pytest.raises(NeuroinverseError, match=r"cut.keras: is no .keras file, or was cut off"):
        describe(tmp_path / "cut.keras")


def test_surrogates_and_posteriors_say_what_they_are(tmp_path):
    for kind, words in (("surrogate", "a surrogate"), ("posterior", "one fold of a posterior")):
        content = metadata() | (
            {"kind": kind, "outputs": ["soma"]} if kind == "surrogate" else {"spec": {"kind": kind}}
        )
        with zipfile.ZipFile(tmp_path / f"{kind}.keras", "w") as archive:
            archive.writestr("neuroinverse.json", json.dumps(content))
        assert words in said(tmp_path / f"{kind}.keras")


def test_folders(tmp_path, dataset):
    run = tmp_path / "results" / "tiny" / "smoke"
    shutil.copytree(dataset.path.parent.parent, run)
    assert "a study at a scale" in said(run) and "dataset train: 2 shards, joined" in said(run)
    assert "no report yet" in said(run)
    assert "datasets" in said(run / "dataset") and "2 *.h5" in said(run / "shards")
    assert f"{run}: no report yet" in said(run.parent) and f"{run}: no report yet" in said(tmp_path / "results")
    shutil.rmtree(run / "shards")
    assert "dataset train: joined; its shards are gone" in said(run)
    (tmp_path / "nothing").mkdir()
    assert "an empty folder" in said(tmp_path / "nothing")


def test_pages_pictures_and_logs(tmp_path, root):
    page = tmp_path / "page.html"
    page.write_text("<html><title>Two &amp; more\n (smoke)</title>x</html>\n")
    assert "a page for a browser: Two & more (smoke)" in said(page)
    page.write_text("<html><title>Two</title>x")
    with pytest.raises(NeuroinverseError, match="cut off"):
        describe(page)
    picture = (root / "docs" / "images" / "search.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(picture[:-20])
    with pytest.raises(NeuroinverseError, match="picture that was cut off"):
        describe(tmp_path / "cut.png")
    (tmp_path / "job.log").write_text("1 of 2\r2 of 2\nerror: no room\nlast words\n")
    assert "error: no room" in said(tmp_path / "job.log") and "last: last words" in said(tmp_path / "job.log")
    (tmp_path / "empty.log").touch()
    assert "nothing was written" in said(tmp_path / "empty.log")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.h5", "missing.h5: does not exist"),
        ("broken.h5", "broken.h5: is a link to gone.h5, which does not exist"),
        ("empty.h5", "empty.h5: is empty (0 bytes)"),
        ("text.h5", "text.h5: is no HDF5 file"),
        ("cut.json", "cut.json: is no JSON, or was cut off"),
        ("bad.yaml", "bad.yaml: cannot be read as YAML"),
        ("text.png", "text.png: is no PNG"),
        ("text.keras", "text.keras: is no .keras file"),
        ("pipe", "pipe: is neither a file nor a folder"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, monkeypatch, capsys, name, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.h5").symlink_to("gone.h5")
    os.mkfifo("pipe")
    (tmp_path / "empty.h5").touch()
    for file in ("text.h5", "text.png", "text.keras"):
        (tmp_path / file).write_text("text")
    (tmp_path / "cut.json").write_text('{"a": [1,')
    (tmp_path / "bad.yaml").write_text("a: [1\nb: 2\n")
    assert cli.main(["inspect", name]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {words}") and len(printed.err.splitlines()) == 1 and not printed.out


def test_ranges_in_blocks_are_those_of_the_whole():
    values = np.random.default_rng(1).normal(size=1000).astype(np.float32)
    values[::7] = np.nan
    ranges = Ranges()
    for part in np.array_split(values, 9):
        ranges.add(part)
    finite = values[np.isfinite(values)].astype(np.float64)
    assert (ranges.n, ranges.lost) == (1000, 1000 - len(finite))
    assert (ranges.low, ranges.high) == (finite.min(), finite.max())
    assert ranges.total == pytest.approx(finite.sum())
