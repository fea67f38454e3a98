"""Records of the posteriors of hh_posterior_8, and the pictures of the docs, from the finished demo.

snakemake --profile profiles/local results/hh_posterior_8/demo/report.html
python benchmarks/hh_posteriors.py [hh_posterior_8 | hh_rounds | hh_raw_trace ...]
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np

from neuroinverse.estimators.posterior import Posterior
from neuroinverse.evaluation.posterior_checks import VERDICTS
from neuroinverse.hdf5 import text
from neuroinverse.observation import read_observation, true_parameters
from neuroinverse.planning import cpu_seconds
from neuroinverse.records import RECORDS, write_record
from neuroinverse.shards import OK, Dataset

RESULTS = Path("results/hh_posterior_8/demo")
IMAGES = RECORDS.parent / "images"
COMMAND = f"snakemake --profile profiles/local {RESULTS}/report.html"
# posteriors by the number of statistics that they see
STATISTICS = {1: "posterior_1", 4: "posterior_4", 7: "posterior"}
# test simulations of the region on which rounds are compared, draws that tell how much of a posterior lies within it
COMPARED, DRAWS = 500, 1000


def metrics(estimator: str) -> dict:
    """metrics.json of a posterior."""
    return json.loads((RESULTS / estimator / "metrics.json").read_text())


def models(estimator: str, folds: int | None = None) -> list[Path]:
    """The folds of a posterior, all or the first."""
    return sorted((RESULTS / estimator).glob("fold-*/model.keras"))[:folds]


def train_seconds(estimator: str) -> float:
    """CPU seconds of the trainings of all folds, start and compilation included."""
    files = sorted((RESULTS / "benchmarks" / "train_fold").glob(f"{estimator}-[0-9]*.tsv"))
    return sum(map(cpu_seconds, files))


def hh_posterior_8() -> None:
    """Gain, coverage, contraction per parameter and number of statistics; the answer at the observation."""
    figures = {}
    for count, estimator in STATISTICS.items():
        m = metrics(estimator)
        figures |= {
            f"gain_nats_{count}": m["gain_nats"],
            f"gain_nats_single_fold_{count}": float(np.mean(m["gain_nats_folds"])),
            f"held_out_log_probability_{count}": m["posterior"]["log_prob"]["mean"],
            f"train_core_seconds_{count}": train_seconds(estimator),
            f"folds_{count}": m["folds"],
            f"n_train_{count}": m["n_train"],
            f"n_test_{count}": m["n_test"],
            **{f"coverage_{level}_{count}": c for level, c in m["coverage"].items()},
            **{f"checks_{v}_{count}": sum(c["verdict"] == v for c in m["checks"]) for v in VERDICTS},
        }
        for name, row in m["posterior"]["contraction"]["parameters"].items():
            figures[f"contraction_{name}_{count}"] = row["contraction"]
            figures[f"sd_over_prior_sd_{name}_{count}"] = m["observation"][name]["sd_over_prior_sd"]
    write_record("hh_posterior_8", COMMAND, figures)
    for name in ("posterior_pairs", "predictive"):
        shutil.copy(RESULTS / "posterior" / "figures" / f"{name}.png", IMAGES / f"hh_posterior_8_{name}.png")


def hh_rounds() -> None:
    """Two rounds beside one of as many simulations, with as many folds, where the observation's parameters lie."""
    first, second = "posterior_sequential", "posterior_sequential_round_2"
    folds = len(models(second))
    one, two, before = Posterior(models("posterior", folds)), Posterior(models(second)), Posterior(models(first))
    observed = read_observation(RESULTS / "dataset" / "observation.h5", one.signal)
    truth = one.parameters.to_unit(true_parameters(RESULTS / "dataset" / "observation.h5", one.parameters.names))
    said, at = proposal(f"{second}_test"), before.conditions(observed)
    test = Dataset(RESULTS / "dataset" / f"{second}_test.h5")
    n = min(test.n, COMPARED)
    usable = test.status(0, n) == OK
    unit = one.parameters.to_unit(test.theta(0, n)[usable])[:, None]
    signals, rng = test.signal("voltage", 0, n)[usable], np.random.default_rng(0)
    noise = rng.standard_normal((len(signals), DRAWS, unit.shape[-1]))
    figures = {"acceptance": said["acceptance"], "folds": folds, "n_test": len(signals)}
    gains = {}
    for name, posterior in (("one_round", one), ("two_rounds", two)):
        conditions = posterior.conditions(signals)
        gain = posterior.gain(unit, conditions)[:, 0]
        # what a posterior holds outside of the region, its test simulations cannot come from
        drawn = posterior.sample(conditions, noise)
        inside = before.gain(drawn.reshape(1, -1, unit.shape[-1]), at)[0] > said["threshold_nats"]
        share = np.maximum(inside.reshape(len(signals), DRAWS).mean(axis=1), 1 / DRAWS)
        gains[name] = gain - np.log(share)
        figures |= {
            f"gain_nats_{name}": gain.mean(),
            f"gain_nats_within_region_{name}": gains[name].mean(),
            f"gain_nats_at_observation_{name}": posterior.gain(truth[None, None], posterior.conditions(observed))[0, 0],
        }
    difference = gains["two_rounds"] - gains["one_round"]
    figures["difference_nats_within_region"] = difference.mean()
    figures["difference_standard_error"] = difference.std(ddof=1) / np.sqrt(len(difference))
    for name, estimator in (("one_round", "posterior"), ("two_rounds", second)):
        m = metrics(estimator)
        figures[f"predictive_distance_{name}"] = m["posterior"]["predictive"]["median_distance"]
        figures[f"n_train_{name}"] = m["n_train"]
        figures |= {f"sd_over_prior_sd_{k}_{name}": row["sd_over_prior_sd"] for k, row in m["observation"].items()}
    write_record("hh_rounds", COMMAND, {k: float(v) if isinstance(v, np.floating) else v for k, v in figures.items()})


def proposal(dataset: str) -> dict:
    """How the parameters of a dataset were proposed."""
    import h5py

    with h5py.File(RESULTS / "proposals" / f"{dataset}.h5") as file:
        return json.loads(text(file.attrs, "proposal"))


def hh_raw_trace() -> None:
    """A posterior of the trace itself beside that of the seven statistics, on the same simulations."""
    figures = {}
    for name, estimator in (("statistics", "posterior"), ("trace", "posterior_trace")):
        m = metrics(estimator)
        figures |= {
            f"gain_nats_{name}": m["gain_nats"],
            f"gain_nats_single_fold_{name}": float(np.mean(m["gain_nats_folds"])),
            f"folds_{name}": m["folds"],
            f"n_train_{name}": m["n_train"],
            f"train_core_seconds_{name}": train_seconds(estimator),
            **{f"coverage_{level}_{name}": c for level, c in m["coverage"].items()},
        }
        for parameter, row in m["parameters"].items():
            figures[f"error_percent_of_range_{parameter}_{name}"] = row["error_percent_of_range"]
            at = m["posterior"]["contraction"]["parameters"][parameter]
            figures[f"contraction_{parameter}_{name}"] = at["contraction"]
    write_record("hh_raw_trace", COMMAND, figures)


WRITERS = {"hh_posterior_8": hh_posterior_8, "hh_rounds": hh_rounds, "hh_raw_trace": hh_raw_trace}


if __name__ == "__main__":
    for record in sys.argv[1:] or WRITERS:
        WRITERS[record]()
