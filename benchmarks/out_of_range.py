"""Which score tells best that a trace is unlike the training traces.

python benchmarks/out_of_range.py demo

After `snakemake --profile profiles/local results/mainen_10/demo/cnn/cross.json`: the score of the pipeline
(trace_range) beside others, on the test traces of the other studies and on distorted ones. Every score has its
threshold where 1 % of the calibration dataset lies above it. Figures: `auroc_<score>_<traces>`,
`warned_percent_<score>_<traces>`, and of the study's own test traces `false_alarm_percent_<score>`; those of
trace_range are those of cross.json.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from neuroinverse.config import load_study, read_config
from neuroinverse.cross import others
from neuroinverse.estimators.ensemble import Ensemble
from neuroinverse.evaluation import warning
from neuroinverse.evaluation.calibration import ErrorModel
from neuroinverse.records import write_record
from neuroinverse.shards import OK, Dataset

# training traces behind the statistics of the other scores, traces of each set that they are measured on
TRAIN, TRACES, BLOCK = 2500, 2000, 250
# windows of the coarse-grained trace; ridges in units of the mean variance
WINDOWS, RIDGE = 90, 1e-4


class Distance:
    """Mahalanobis' distance with a ridge: that of the principal components and of what they leave over in one."""

    def __init__(self, x: np.ndarray):
        self.mean, self.sd = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
        variances, axes = np.linalg.eigh(np.cov(((x - self.mean) / self.sd).T))
        self.whitening = axes / np.sqrt(np.maximum(variances, 0) + RIDGE)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.sqrt(np.square(((x - self.mean) / self.sd) @ self.whitening).mean(axis=1))


class Looks:
    """What the scores are made of, of any traces: answers, hidden layers, coarse-grained traces."""

    def __init__(self, files: list[Path]):
        import keras

        self.ensemble = Ensemble(files)
        models = [keras.models.load_model(f, compile=False) for f in files]
        self.hidden = [keras.Model(m.input, m.get_layer("unit_parameters").input) for m in models]

    def __call__(self, blocks) -> dict[str, np.ndarray]:
        found = []
        for x in blocks:
            x = np.asarray(x, np.float32).reshape(len(x), x.shape[1], -1)
            answer = self.ensemble.predict(x)
            coarse = [part.mean(axis=1) for part in np.array_split(x, WINDOWS, axis=1)]
            hidden = {f"hidden_{k}": model.predict(x, verbose=0) for k, model in enumerate(self.hidden)}
            found.append({"mean": answer.mean, "sd": answer.sd, "coarse": np.concatenate(coarse, axis=1), **hidden})
        return {key: np.concatenate([row[key] for row in found]).astype(np.float64) for key in found[0]}


def blocks(dataset: Path, signal: str, most: int, change=lambda x: x):
    """Traces of a dataset that did not fail, changed."""
    data = Dataset(dataset)
    for start in range(0, min(data.n, most), BLOCK):
        stop = min(start + BLOCK, data.n, most)
        usable = data.status(start, stop) == OK
        if usable.any():
            yield change(data.signal(signal, start, stop)[usable])


def scores(train: dict, calibration: dict):
    """The scores, functions of what `Looks` gives: by name."""
    usual = np.maximum(np.median(calibration["sd"], axis=0), 1e-9)
    hidden = {key: Distance(x) for key, x in train.items() if key.startswith("hidden")}
    coarse = Distance(train["coarse"])
    plain = {
        "disagreement": lambda x: np.sqrt(np.square(x["sd"] / usual).mean(axis=1)),
        "outside_box": lambda x: np.abs(x["mean"]).max(axis=1),
        "hidden_layer": lambda x: np.mean([d(x[key]) for key, d in hidden.items()], axis=0),
        "coarse_trace": lambda x: coarse(x["coarse"]),
    }
    limits = {name: threshold(score(calibration)).threshold for name, score in plain.items()}
    largest = lambda x: np.max([score(x) / limits[name] for name, score in plain.items()], axis=0)  # noqa: E731
    return plain | {"largest": largest}


def threshold(score: np.ndarray) -> ErrorModel:
    """The error model that warns above 99 % of these scores."""
    nothing = np.ones((len(score), 1))
    return ErrorModel.fit(nothing, nothing, score)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scale", nargs="?", default="demo")
    parser.add_argument("--study", default="mainen_10")
    parser.add_argument("--estimator", default="cnn")
    options = parser.parse_args()
    study = load_study(options.study, options.scale, read_config()["master_seed"])
    folder = Path("results") / study.name / study.scale
    estimator, signal = folder / options.estimator, study.input_signal(options.estimator)
    looks = Looks(sorted(estimator.glob("fold-*/model.keras")))

    def look(dataset: Path, most: int = TRACES, change=lambda x: x) -> dict:
        return looks(blocks(dataset, signal.name, most, change))

    test = folder / "dataset" / "test.h5"
    calibration = look(folder / "dataset" / "calibration.h5")
    candidates = scores(look(folder / "dataset" / "train.h5", TRAIN), calibration)
    own = look(test)
    tests = {s.name: Path("results") / s.name / s.scale / "dataset/test.h5" for s in others(study, options.estimator)}
    sets = {name: look(path) for name, path in tests.items()}
    changes = warning.distortions(signal.unit, signal.dt_ms, np.random.default_rng(0))
    sets |= {slug(name): look(test, warning.DISTORTED, change) for name, change in changes.items()}
    figures = {"n_calibration": len(calibration["mean"]), "n_test": len(own["mean"])}
    for name, score in candidates.items():
        errors = threshold(score(calibration))
        figures[f"false_alarm_percent_{name}"] = 100 * errors.warned(score(own))
        for traces, seen in sets.items():
            add(figures, f"{name}_{traces}", warning.told_apart(errors, score(own), score(seen)))
    cross = json.loads((estimator / "cross.json").read_text())
    for row in cross["datasets"]:
        if row["own"]:
            figures["false_alarm_percent_trace_range"] = 100 * row["warned"]
        else:
            add(figures, f"trace_range_{row['study']}", row)
    for row in cross["distorted"]:
        add(figures, f"trace_range_{slug(row['name'])}", row)
    write_record("out_of_range", f"python benchmarks/out_of_range.py {options.scale}", figures)


def add(figures: dict, name: str, row: dict) -> None:
    """Puts a set's figures under a name."""
    figures |= {f"auroc_{name}": row["auroc"], f"warned_percent_{name}": 100 * row["warned"]}


def slug(name: str) -> str:
    """A distortion as a part of a figure's name."""
    return name.replace(" ", "_")


if __name__ == "__main__":
    main()
