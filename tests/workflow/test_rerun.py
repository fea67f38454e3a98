"""What runs again after what: a step's specification decides, never a time stamp; and damaged data never passes."""

import json
import os
import shutil
import time
from collections import Counter

import h5py
import numpy as np
import pytest
from running import EDITED, REPO, SMOKED, arrays

from neuroinverse import cli
from neuroinverse.provenance import canonical
from neuroinverse.shards import Dataset
from neuroinverse.study import Study

# everything behind the training of EDITED, at two folds
AFTER_TRAINING = {"ensemble_folds": 1, "evaluate": 1, "report": 1, "report_index": 1}


def folders(jobs) -> set[str]:
    """Second part of every job's first output: the study."""
    return {job.output[0].split("/")[1] for job in jobs if job.rule != "report_index"}


def n_shards(study: Study) -> int:
    """Shards of all datasets behind a study's report."""
    return sum(len(study.shards(dataset)) for dataset in study.report_datasets)


def alter(path) -> None:
    """Changes one bit of a signal's raw data in a shard."""
    with h5py.File(path) as file:
        signal = file[next(f"signals/{name}" for name in file["signals"])]
        offset = signal.id.get_chunk_info(0).byte_offset
    with path.open("rb+") as file:
        file.seek(offset + 1000)
        byte = file.read(1)[0]
        file.seek(offset + 1000)
        file.write(bytes([byte ^ 1]))


def truncate(path) -> None:
    """Cuts a file in half."""
    os.truncate(path, path.stat().st_size // 2)


def test_nothing_runs_twice(finished):
    assert finished.plan("all") == []
    assert "Why:" not in finished.last_plan


def test_epochs_resimulate_nothing(finished):
    finished.edit(EDITED, scales__smoke__estimators__cnn__hyperparameters__epochs=3)
    jobs = finished.plan("all")
    assert Counter(job.rule for job in jobs) == {"train_fold": 2, **AFTER_TRAINING}
    assert folders(jobs) == {EDITED}
    why = finished.last_plan.partition("\nWhy:\n")[2].splitlines()
    model = f"results/{EDITED}/smoke/cnn/fold-0/model.keras"
    assert why[0] == f"{model} and 1 more (train_fold): hyperparameters.epochs: 2 → 3"
    assert f"results/{EDITED}/smoke/cnn/predictions.parquet (ensemble_folds): it follows train_fold" in why
    assert len(why) == 1 + len(AFTER_TRAINING)
    finished.edit(EDITED, scales__smoke__estimators__cnn__hyperparameters__batch_size=8)
    shutil.rmtree(finished.results() / "cnn" / "fold-1")
    done = finished.neuroinverse("why", model, model.replace("fold-0", "fold-1"))
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith(f"{model} (train_fold): hyperparameters.batch_size: ")
    assert first.endswith("→ 8; hyperparameters.epochs: 2 → 3")
    assert second == f"{model.replace('fold-0', 'fold-1')} (train_fold): its output was there and is missing"


def test_sampling_interval_resimulates_only_its_study(finished):
    finished.edit(EDITED, protocol__dt_ms=0.04)
    jobs = finished.plan("all")
    assert Counter(job.rule for job in jobs) == {
        "check_simulator": 1,
        "simulate_shard": n_shards(finished.study()),
        "index_dataset": len(finished.study().report_datasets),
        "train_fold": 2,
        **AFTER_TRAINING,
    }
    assert folders(jobs) == {EDITED}
    assert len(SMOKED) > 1, "nothing is shown where there is no other study"


def test_words_retrain_nothing(finished):
    described = [{**p, "description": "another word"} for p in finished.study().settings["parameters"]]
    finished.edit(EDITED, question="Another wording of the question?", parameters=described)
    assert finished.rules("all") == {"report": 1, "report_index": 1}


def test_changed_steps_run_although_an_earlier_one_is_missing(finished):
    """Snakemake overlooks changes behind inputs that are marked as ancient while an earlier job is to run."""
    (finished.results() / "cnn" / "fold-0" / "model.keras").unlink()
    finished.edit(EDITED, title="Another title", scales__smoke__estimators__cnn__hyperparameters__epochs=3)
    assert finished.rules("all") == {"train_fold": 2, **AFTER_TRAINING}


def test_touched_files_rerun_nothing(finished):
    package = REPO / "workflow" / "src" / "neuroinverse"
    sources = [*package.rglob("*.mod"), package / "simulators" / "hh_point.py", package / "stages" / "train_fold.py"]
    stamps = {source: source.stat() for source in sources}
    later = time.time() + 60
    try:
        for file in [*sources, *finished.path.glob("config/**/*"), *finished.path.glob("results/**/*")]:
            if file.is_file():
                os.utime(file, (later, later))
                later += 1
        # Snakemake compares the sums of small files, and all files are small here: show what large ones do
        assert finished.plan("--max-checksum-file-size", "0", "all") == []
    finally:
        for source, stamp in stamps.items():
            os.utime(source, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def test_one_fold_asks_for_no_more_than_it_needs(fresh):
    jobs = fresh.plan(f"results/{EDITED}/smoke/cnn/fold-0/model.keras")
    assert Counter(job.rule for job in jobs) == {
        "compile_mechanisms": 1,
        "check_simulator": 1,
        "simulate_shard": 3,
        "index_dataset": 1,
        "train_fold": 1,
    }
    assert not [file for job in jobs for file in job.output if "test" in file or "fold-1" in file]


def test_a_deleted_shard_comes_back_bit_for_bit_and_retrains_nothing(finished):
    shard = finished.results() / "shards" / "train" / "00001.h5"
    before = arrays(shard)
    shard.unlink()
    jobs = finished.plan("simulations")
    assert [job.output for job in jobs] == [(str(shard.relative_to(finished.path)),)]
    finished.snakemake("simulations")
    assert arrays(shard) == before
    assert finished.plan("all") == []
    joined = Dataset(finished.results() / "dataset" / "train.h5")
    assert joined.index(0, joined.n).tolist() == list(range(joined.n)), "the dataset takes the shard back"


def test_shards_made_before_there_was_a_guard_stay(finished):
    """Neither does the guard run for what is there, nor are its shards made anew; one that is missing asks for it."""
    guard = finished.results() / "simulator.json"
    guard.unlink()
    name = str(guard.relative_to(finished.path))
    for record in (finished.path / ".snakemake" / "metadata").rglob("*"):
        if record.is_file() and name in (content := json.loads(record.read_text())).get("input", ()):
            content["input"].remove(name)
            record.write_text(json.dumps(content))
    assert finished.plan("all", "simulations") == []
    (finished.results() / "shards" / "train" / "00001.h5").unlink()
    assert finished.rules("simulations") == {"check_simulator": 1, "simulate_shard": 1}


def test_another_shard_size_gives_the_same_traces(finished):
    target = finished.results() / "dataset" / "train.h5"
    size = 24
    before = Dataset(target)
    names = ["theta", "status", *(f"signals/{s}" for s in before.signals)]
    expected = {name: before.read(name, 0, before.n).tobytes() for name in names}
    finished.edit(EDITED, scales__smoke__datasets__shard_size=size)
    relative = str(target.relative_to(finished.path))
    assert finished.rules(relative) == {"simulate_shard": 3, "index_dataset": 1}
    finished.snakemake(relative)
    after = Dataset(target)
    assert after.shard_size == size and before.shard_size != size
    assert {name: after.read(name, 0, after.n).tobytes() for name in names} == expected


def test_more_simulations_keep_those_there_are(finished):
    finished.edit(EDITED, scales__smoke__datasets__train={"n": 100})
    jobs = finished.plan("all")
    shards = {job.output[0].rpartition("/")[2] for job in jobs if job.rule == "simulate_shard"}
    assert shards == {"00003.h5", "00004.h5"}
    assert {"index_dataset": 1, "train_fold": 2}.items() <= Counter(job.rule for job in jobs).items()


def _other_study(shard):
    study = next(name for name in SMOKED if name != EDITED)
    shutil.copy(shard.parents[4] / study / "smoke" / "shards" / "train" / shard.name, shard)


def _neighbour(shard):
    shutil.copy(shard.with_name("00000.h5"), shard)


@pytest.mark.parametrize("damage", [truncate, alter, _other_study, _neighbour], ids=lambda f: f.__name__.strip("_"))
def test_a_bad_shard_is_refused_and_put_aside(finished, damage, capsys):
    results = finished.results()
    shard, target = results / "shards" / "train" / "00001.h5", results / "dataset" / "train.h5"
    spec = canonical(finished.study().dataset_spec("train"))
    damage(shard)
    command = ["index_dataset", "--spec", spec, "--shards", str(shard.parent), "--output", str(target)]
    assert cli.main(command) == 1
    message = capsys.readouterr().err
    assert str(shard) in message and "run the same target again" in message and "Traceback" not in message
    assert shard.with_suffix(".refused").is_file() and not shard.exists()
    assert not target.exists(), "a dataset must not go on without its shard"


def test_the_run_after_a_refused_shard_simulates_it(finished):
    results = finished.results()
    shard, target = results / "shards" / "train" / "00002.h5", results / "dataset" / "train.h5"
    before = arrays(shard)
    target.unlink()
    alter(shard)
    relative = str(target.relative_to(finished.path))
    printed = finished.snakemake(relative, check=False)
    # the failed job's log, with the file and the cure, is on the screen
    assert str(shard.relative_to(finished.path)) in printed and "run the same target again" in printed
    assert finished.rules(relative) == {"simulate_shard": 1, "index_dataset": 1}
    finished.snakemake(relative)
    assert arrays(shard) == before
    assert Dataset(target).n_failed == 0


def test_a_shard_altered_after_indexing_stops_the_training_and_heals(finished):
    results = finished.results()
    shard, model = results / "shards" / "train" / "00001.h5", results / "cnn" / "fold-1" / "model.keras"
    alter(shard)
    for file in (model, model.parent.parent / "predictions.parquet"):
        file.unlink()
    spec = canonical(finished.study().train_spec("cnn", 1))
    files = [
        "--dataset",
        results / "dataset" / "train.h5",
        "--output",
        model,
        "--history",
        model.with_name("history.csv"),
    ]
    done = finished.neuroinverse("train_fold", "--spec", spec, *files)
    assert done.returncode == 1 and "shards/train/00001.h5: is truncated or altered" in done.stderr
    assert "run the same target again" in done.stderr and "Traceback" not in done.stderr
    assert not model.exists() and shard.with_suffix(".refused").is_file()
    jobs = finished.plan(f"results/{EDITED}/smoke/cnn/predictions.parquet")
    simulated = [job.output[0] for job in jobs if job.rule == "simulate_shard"]
    assert simulated == [str(shard.relative_to(finished.path))]
    assert {"index_dataset", "train_fold", "ensemble_folds"} == {job.rule for job in jobs} - {"simulate_shard"}


def test_another_seed_is_another_study(finished):
    before = finished.study().parameters.draw(1, f"{EDITED}/train", np.arange(3))
    after = finished.study().parameters.draw(2, f"{EDITED}/train", np.arange(3))
    assert not np.isclose(before[0], after[0]).any() and not (before[1] == after[1]).any()
    planned = Counter(job.rule for job in _plan_with_seed(finished))
    assert planned["simulate_shard"] == sum(n_shards(finished.study(name)) for name in SMOKED)
    assert planned["compile_mechanisms"] == 0


def _plan_with_seed(folder):
    file = folder.path / "config" / "config.yaml"
    file.write_text(file.read_text().replace("master_seed: ", "master_seed: 1"))
    return folder.plan("all")
