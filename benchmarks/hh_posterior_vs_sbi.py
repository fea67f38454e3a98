"""The posterior of hh_posterior_8 beside sbi's, on the same simulations and the same seven statistics.

    snakemake --profile profiles/local results/hh_posterior_8/demo/posterior/metrics.json
    python3 -m venv sbi && sbi/bin/pip install -r benchmarks/requirements-sbi.txt
    python benchmarks/hh_posterior_vs_sbi.py --sbi-python sbi/bin/python

sbi's flow is its default, a masked autoregressive one with its default training, in logits of the prior box; a spline
flow with --flow nsf. Both get the same 10,000 simulations and are asked about the same test simulations; ours is a
mixture of folds, so that its folds alone are stated too. Gains are log densities of the truth over the prior (nats),
whatever parameters a flow lives in. Training times are of one thread, start and compilation of ours included.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from hh_posteriors import RESULTS, metrics, models, train_seconds
from neuroinverse.estimators.posterior import Posterior
from neuroinverse.estimators.probe import FeatureProbe
from neuroinverse.evaluation.calibration import LEVELS
from neuroinverse.records import write_record
from neuroinverse.shards import OK, Dataset

BLOCK = 250


def described(dataset: Path, probe: FeatureProbe, parameters, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Statistics, shape (n, F), and unit parameters, shape (n, K), of a dataset's first simulations."""
    data = Dataset(dataset)
    x, unit = [], []
    for start in range(0, min(data.n, most), BLOCK):
        stop = min(start + BLOCK, data.n, most)
        usable = data.status(start, stop) == OK
        x.append(probe(data.signal("voltage", start, stop)[usable]))
        unit.append(parameters.to_unit(data.theta(start, stop)[usable]))
    return np.concatenate(x), np.concatenate(unit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sbi-python", required=True, help="the interpreter of an environment that has sbi")
    parser.add_argument("--flow", default="maf", choices=("maf", "nsf"))
    options = parser.parse_args()
    posterior, ours = Posterior(models("posterior")), metrics("posterior")
    probe = FeatureProbe(posterior.signal, posterior.metadata[0]["features"])
    sets = {}
    for name, most in (("train", ours["n_train"]), ("test", ours["n_test"])):
        path = RESULTS / "dataset" / f"{name}.h5"
        sets[f"x_{name}"], sets[f"u_{name}"] = described(path, probe, posterior.parameters, most)
    peer = Path(__file__).with_name("sbi_peer.py").resolve()
    # sbi writes logs where it runs
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "in.npz", **sets)
        subprocess.run([options.sbi_python, peer, "in.npz", "out.npz", options.flow], cwd=folder, check=True)
        theirs = dict(np.load(Path(folder) / "out.npz"))
    gain, n = theirs["gain_test"], len(theirs["gain_test"])
    figures = {
        "gain_nats_ours": ours["gain_nats"],
        "gain_nats_single_fold_ours": float(np.mean(ours["gain_nats_folds"])),
        "gain_nats_sbi": float(gain.mean()),
        "standard_error_ours": ours["posterior"]["log_prob"]["standard_error"],
        "standard_error_sbi": float(gain.std(ddof=1) / np.sqrt(n)),
        "gain_difference_nats": ours["gain_nats"] - float(gain.mean()),
        "train_core_seconds_ours": train_seconds("posterior"),
        "train_core_seconds_single_fold_ours": train_seconds("posterior") / ours["folds"],
        "train_core_seconds_sbi": float(theirs["cpu_seconds"]),
        "epochs_sbi": int(theirs["epochs"]),
        "folds_ours": ours["folds"],
        "n_train": len(sets["x_train"]),
        "n_test": n,
        "flow_sbi": options.flow,
    }
    for level in LEVELS:
        figures[f"coverage_{level:g}_ours"] = ours["coverage"][f"{level:g}"]
        figures[f"coverage_{level:g}_sbi"] = float((theirs["above"] <= level).mean())
    command = f"python benchmarks/hh_posterior_vs_sbi.py --sbi-python sbi/bin/python --flow {options.flow}"
    write_record("hh_posterior_vs_sbi", command, figures)


if __name__ == "__main__":
    main()
