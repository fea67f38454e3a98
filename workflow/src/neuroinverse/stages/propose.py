"""propose: parameters that a posterior proposes, for a further round or for a check of its predictions."""

from pathlib import Path

import numpy as np

from neuroinverse.errors import NeuroinverseError
from neuroinverse.estimators.posterior import Posterior
from neuroinverse.observation import read_observation
from neuroinverse.parameters import seed_sequence
from neuroinverse.progress import Progress
from neuroinverse.rounds import partial
from neuroinverse.sampling import PREDICTIVE, TRUNCATED, write_proposal

# candidates of one simulation that are weighed at a time, and indices that are drawn together
TRIES, TOGETHER = 64, 250
# draws of the posterior among which one is chosen by weight where the prior accepts too few
RESAMPLED = 64


def run(spec: dict, models: list[Path], observation: Path, output: Path) -> dict:
    """Proposes the parameters of a dataset.

    Simulation i depends on (master seed, dataset, i) and on the posterior alone: its candidates come from a stream of
    its own, and it takes the first that lies in the region.

    Args:
        spec: Specification: `kind`, `n`, `parameters`, `epsilon`, `draws`, `least_acceptance`.
        models: The folds of the posterior.
        observation: The dataset whose first simulation is the observation, or a recording.
        output: HDF5 file with /theta (n, K) in physical units, and attributes that say how it was made.

    Returns:
        `method`, and for the truncated prior `threshold_nats`, `acceptance`.

    Raises:
        NeuroinverseError: If the posterior is not finite at the observation, or a further round would be of no use.
    """
    posterior = Posterior(models)
    if spec["kind"] == TRUNCATED:
        _require_all(posterior.metadata[0], models)
    conditions = posterior.conditions(read_observation(observation, posterior.signal))
    if not all(np.isfinite(c).all() for c in conditions):
        raise NeuroinverseError(
            f"{observation}: a feature is undefined at the observation, so that no posterior can be asked about it; "
            "choose another window or other statistics, or another observation"
        )
    if spec["kind"] == PREDICTIVE:
        unit, said = _predictive(spec, posterior, conditions), {"method": "draws of the posterior"}
    else:
        unit, said = _truncated(spec, posterior, conditions)
    print(f"{output}: {said}", flush=True)
    write_proposal(output, spec, posterior.parameters.to_physical(unit), said)
    return said


def _require_all(metadata: dict, models: list[Path]) -> None:
    """Refuses a further round where the first lost simulations: before they are made, not when they are trained on."""
    n = metadata["spec"]["n"]
    # a later round was trained on all there are, or it would not be here
    lost = 0 if metadata["spec"]["rounds"] else n - metadata["n_train"] - metadata["n_validation"]
    if lost:
        raise NeuroinverseError(f"{models[0]}: of the first round {partial(lost, n)}")


def _stream(spec: dict, index: int, purpose: str) -> np.random.Generator:
    """Random numbers of one simulation for one purpose."""
    return np.random.default_rng(
        seed_sequence(spec["master_seed"], f"{spec['study']}/{spec['dataset']}/{purpose}", index)
    )


def _predictive(spec: dict, posterior: Posterior, conditions: list) -> np.ndarray:
    """Draws of the posterior, unit parameters, shape (n, K)."""
    k = len(posterior.parameters.names)
    noise = np.stack([_stream(spec, i, "posterior").standard_normal(k) for i in range(spec["n"])])
    return posterior.sample(conditions, noise[None])[0]


def _truncated(spec: dict, posterior: Posterior, conditions: list) -> tuple[np.ndarray, dict]:
    """Draws of the prior within the region, unit parameters, shape (n, K), and how they were drawn."""
    n, k = spec["n"], len(posterior.parameters.names)
    # the same region for all datasets that one posterior truncates
    rng = np.random.default_rng(seed_sequence(spec["master_seed"], f"{spec['study']}/{spec['by']}/region", 0))
    drawn = posterior.sample(conditions, rng.standard_normal((1, spec["draws"], k)))
    threshold = float(np.quantile(posterior.gain(drawn, conditions)[0], spec["epsilon"]))

    if not np.isfinite(threshold):
        raise NeuroinverseError(
            "the posterior has no finite density at the observation, which must be far from all simulations: look at "
            "the checks of the round before"
        )

    def inside(unit: np.ndarray) -> np.ndarray:
        return posterior.gain(unit[None], conditions)[0] > threshold

    acceptance = float(inside(rng.uniform(-1, 1, (spec["draws"], k))).mean())
    said = {"threshold_nats": threshold, "acceptance": acceptance}
    if acceptance < spec["least_acceptance"]:
        return _resampled(spec, posterior, conditions, threshold), said | {"method": "importance resampling"}
    unit, progress = np.empty((n, k)), Progress(n, "proposals")
    for start in range(0, n, TOGETHER):
        streams = {i: _stream(spec, i, "prior") for i in range(start, min(start + TOGETHER, n))}
        while streams:
            candidates = np.stack([stream.uniform(-1, 1, (TRIES, k)) for stream in streams.values()])
            accepted = inside(candidates.reshape(-1, k)).reshape(len(streams), TRIES)
            for row, i in enumerate(list(streams)):
                if accepted[row].any():
                    unit[i] = candidates[row, accepted[row].argmax()]
                    del streams[i]
                    progress.add()
    progress.close()
    return unit, said | {"method": "rejection"}


def _resampled(spec: dict, posterior: Posterior, conditions: list, threshold: float) -> np.ndarray:
    """Draws of the prior within the region, by sampling importance resampling (Rubin 1988) from the posterior.

    Of a few draws of the posterior one is chosen, with weights prior over posterior: approximate, where rejection would
    be exact and take too long.
    """
    n, k = spec["n"], len(posterior.parameters.names)
    unit, progress = np.empty((n, k)), Progress(n, "proposals")
    for start in range(0, n, TOGETHER):
        streams = [_stream(spec, i, "resampling") for i in range(start, min(start + TOGETHER, n))]
        noise = np.concatenate([stream.standard_normal((RESAMPLED, k)) for stream in streams])
        drawn = posterior.sample(conditions, noise[None])
        gain = posterior.gain(drawn, conditions)[0].reshape(len(streams), RESAMPLED)
        # the smallest weights would all be zero beside one draw far out, which lies outside of the region
        weights = np.where(gain > threshold, np.exp(threshold - gain), 0)
        for row, (stream, candidates) in enumerate(zip(streams, drawn[0].reshape(-1, RESAMPLED, k), strict=True)):
            total = weights[row].sum()
            chances = weights[row] / total if total else None
            unit[start + row] = candidates[stream.choice(RESAMPLED, p=chances)]
        progress.add(len(streams))
    progress.close()
    return unit
