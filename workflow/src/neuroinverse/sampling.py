"""How the parameters of a dataset are chosen: drawn from the prior, on a grid, at given points, or by a posterior.

Whatever is chosen, simulation i of a dataset depends on its index and on settings alone, and draws the seed of its
simulator as every other does.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from neuroinverse.errors import ConfigError, NeuroinverseError, require_known
from neuroinverse.parameters import ParameterSpace
from neuroinverse.provenance import digest

# proposed by a posterior: draws from the prior within the region that it holds likely, and draws from itself
TRUNCATED, PREDICTIVE = "truncated", "predictive"
# found for an objective: the same parameters for all simulations
FOUND = "found"
PROPOSED = (TRUNCATED, PREDICTIVE, FOUND)


def resolve(where: str, settings: Mapping, space: ParameterSpace) -> tuple[int, dict | None]:
    """Checks how a dataset's parameters are chosen.

    Args:
        where: The dataset's place in the study file, for messages.
        settings: The dataset's section: `n`, `sampling`, `levels`, `points`.
        space: Its parameters with their ranges.

    Returns:
        Number of simulations, and what enters the specification: None for draws from the prior; for a grid `kind` and
        `levels`, for each parameter the number of its levels or a list of values; for points `kind` and `points`, rows
        of values. Values are in physical units.

    Raises:
        ConfigError: If a grid is not full, a point lacks a parameter, or keys do not fit each other.
    """
    kind = settings.get("sampling", "random")
    if kind in PROPOSED:
        return settings["n"], {"kind": kind, "by": settings["by"]}
    for key, belongs in (("levels", "grid"), ("points", "points")):
        if key in settings and kind != belongs:
            raise ConfigError(f"{where}.{key}: is of no use with sampling {kind}; say sampling: {belongs} or remove it")
    if kind == "grid":
        return _grid(where, settings, space)
    if kind == "points":
        return _points(where, settings, space)
    if "n" not in settings:
        raise ConfigError(f"{where}: missing 'n'; add it")
    return settings["n"], None


def _grid(where: str, settings: Mapping, space: ParameterSpace) -> tuple[int, dict]:
    names, n = space.names, settings.get("n")
    if "levels" in settings:
        levels = settings["levels"]
        require_known(f"{where}.levels", levels, names)
        for p in space.parameters:
            if p.name not in levels:
                raise ConfigError(f"{where}.levels: missing {p.name!r}; give a number of levels, or a list of values")
            values = levels[p.name]
            if p.scale == "log" and isinstance(values, list) and min(values) <= 0:
                raise ConfigError(f"{where}.levels.{p.name}: {min(values):g} is not positive, and the scale is log")
        rows = [levels[name] for name in names]
        counts = [len(row) if isinstance(row, list) else row for row in rows]
        full = math.prod(counts)
        if n not in (None, full):
            shape = " × ".join(map(str, counts))
            raise ConfigError(f"{where}.n: {n} is not the full grid of {shape} levels; write {full}, or leave n out")
        return full, {"kind": "grid", "levels": rows}
    if n is None:
        raise ConfigError(f"{where}: missing 'n' or 'levels'; add one of them")
    each = round(n ** (1 / len(names)))
    if each ** len(names) != n:
        lower = math.floor(n ** (1 / len(names)))
        near = " and ".join(f"{k ** len(names)} ({k} levels each)" for k in (lower, lower + 1) if k)
        raise ConfigError(
            f"{where}.n: {n} is no full grid of {len(names)} parameters; the next are {near}. Or give levels"
        )
    return n, {"kind": "grid", "levels": [each] * len(names)}


def _points(where: str, settings: Mapping, space: ParameterSpace) -> tuple[int, dict]:
    points = settings.get("points")
    if not points:
        raise ConfigError(f"{where}: missing 'points'; add a list of them, each with a value for every parameter")
    rows = []
    for i, point in enumerate(points):
        require_known(f"{where}.points.{i}", point, space.names)
        for p in space.parameters:
            if p.name not in point:
                raise ConfigError(f"{where}.points.{i}: missing {p.name!r}; add it, in {p.unit!r}")
            if p.scale == "log" and point[p.name] <= 0:
                raise ConfigError(f"{where}.points.{i}.{p.name}: {point[p.name]:g} is not positive, the scale is log")
        rows.append([point[name] for name in space.names])
    n = settings.get("n", len(rows))
    if n % len(rows):
        raise ConfigError(f"{where}.n: {n} is no multiple of the {len(rows)} points; write {len(rows)}, or leave n out")
    return n, {"kind": "points", "points": rows}


def draw(simulation: Mapping, indices, proposal: Path | None = None) -> tuple:
    """Parameters and seeds of some simulations of a dataset.

    A grid is walked with the last parameter fastest. Its levels are the centres of equal cells on the parameter's
    scale: each stands for its cell, the ends of the range belong to none. Points repeat in their order, each time with
    another seed.

    Args:
        simulation: The dataset's specification.
        indices: Indices of simulations, shape (n,).
        proposal: What `propose` wrote, where a posterior proposes the parameters.

    Returns:
        Physical parameters, float64, shape (n, n_parameters), and one seed per simulation, uint64, shape (n,).

    Raises:
        NeuroinverseError: If the proposal is of another dataset.
    """
    import numpy as np

    space = ParameterSpace.from_table(simulation["parameters"])
    name = f"{simulation['study']}/{simulation['dataset']}"
    theta, seeds = space.draw(simulation["master_seed"], name, indices)
    sampling = simulation.get("sampling")
    if sampling is None:
        return theta, seeds
    indices = np.asarray(indices)
    if sampling["kind"] in PROPOSED:
        return _proposed(proposal, simulation)[indices], seeds
    if sampling["kind"] == "points":
        points = np.array(sampling["points"], np.float64)
        return points[indices % len(points)], seeds
    columns = [_levels(p, levels) for p, levels in zip(space.parameters, sampling["levels"], strict=True)]
    places = np.unravel_index(indices, [len(c) for c in columns])
    return np.stack([column[place] for column, place in zip(columns, places, strict=True)], axis=1), seeds


def write_proposal(path: Path, spec: Mapping, theta, said: Mapping | None = None) -> None:
    """Writes parameters for `simulate_shard`.

    Args:
        path: HDF5 file, whole or not at all.
        spec: Specification of the step that proposes them: it is asked for when they are read.
        theta: In physical units, shape (n, n_parameters).
        said: How they were made, JSON values.
    """
    from neuroinverse.files import atomic
    from neuroinverse.hdf5 import fixed, new_file
    from neuroinverse.provenance import canonical, collect

    with atomic(path) as temporary, new_file(temporary) as (file, _):
        file.attrs["spec"] = fixed(canonical(spec))
        file.attrs["provenance"] = fixed(json.dumps(collect(spec)))
        if said is not None:
            file.attrs["proposal"] = fixed(json.dumps(said))
        file.create_dataset("theta", data=theta, chunks=theta.shape, fletcher32=True)


def _proposed(path: Path | None, simulation: Mapping):
    """Parameters that a posterior proposed or a search found, shape (n, n_parameters)."""
    import h5py

    from neuroinverse.hdf5 import text

    if path is None:
        raise NeuroinverseError(f"{simulation['dataset']}: another step proposes its parameters; give --proposal")
    try:
        with h5py.File(path) as file:
            if digest(json.loads(text(file.attrs, "spec"))) == simulation["proposal"]:
                return file["theta"][:]
    except (OSError, KeyError, ValueError) as error:
        raise NeuroinverseError(f"{path}: is no proposal ({error}); remove it and run again") from error
    raise NeuroinverseError(f"{path}: is the proposal of another posterior, search or dataset; remove it and run again")


def _levels(parameter, levels):
    """The levels of one parameter in physical units, shape (n_levels,)."""
    import numpy as np

    if isinstance(levels, list):
        return np.array(levels, np.float64)
    unit = (2 * np.arange(levels) + 1) / levels - 1
    return ParameterSpace((parameter,)).to_physical(unit[:, None])[:, 0]
