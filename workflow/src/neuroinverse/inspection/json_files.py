"""JSON files: those of the project by their keys, others by what they hold."""

import json
from pathlib import Path

from neuroinverse.errors import NeuroinverseError
from neuroinverse.inspection.ranges import short

# larger ones are not read
LARGEST = 200_000_000
# kind of a file by keys that it has; the first that fits
KINDS = (
    (("$schema",), "a JSON schema"),
    (
        ("half_widths", "threshold", "names"),
        "the calibration of an estimator: its error model, intervals and threshold of the warning",
    ),
    (("values", "probabilities"), "what the training traces of an estimator are like (trace range)"),
    (("kind", "surrogate", "outputs"), "the measures of a surrogate (check_surrogate)"),
    (("kind", "objective", "measures"), "the measures of an objective of a column (check_objective)"),
    (("kind", "checks", "posterior"), "the measures of a posterior (check_posterior)"),
    (("kind", "estimator", "mse_unit"), "the measures of an estimator (evaluate)"),
    (("sizes", "laws"), "error against training size (scaling)"),
    (("datasets", "distorted"), "an estimator on traces of other studies (cross)"),
    (("study", "estimator", "datasets"), "an estimator's error on further datasets (transfer)"),
    (("tier", "trials"), "the table of a search over networks (rank_trials)"),
    (("chosen", "rows"), "the best networks of a search, trained again (stability)"),
    (("hyperparameters", "mse_unit", "fit_minutes"), "one training of a search (train_trial)"),
    (("projections", "search"), "a search for gains of a column's projections (optimise)"),
    (("examples", "phase_states"), "what the networks of a study do (network_states)"),
    (("object_type", "cell_types"), "a network of hnn-core"),
    (("simulations", "parameters", "signals", "warnings"), "what the guard found of a simulator (check_simulator)"),
    (("name", "command", "figures"), "a record of measured figures"),
    (("simulation", "start", "stop"), "the specification of a shard"),
    (("simulation", "shard_size"), "the specification of a dataset"),
    (("simulation", "hyperparameters"), "the specification of a training"),
    (("parameters", "signal", "n_weights"), "the description of a saved estimator (a member of its .keras file)"),
    (("cells", "metadata", "nbformat"), "a Jupyter notebook"),
)
# said of no file: where it comes from is said at the end, and these are long and of no use to people
LEFT_OUT = ("provenance", "spec", "title", "version", "half_widths", "published_source")


def describe(path: Path) -> tuple[str, list[str]]:
    """Kind and content of a JSON file.

    Raises:
        NeuroinverseError: If it is no JSON, with the place.
    """
    if path.stat().st_size > LARGEST:
        return "a JSON file, too large to be looked into", []
    try:
        content = json.loads(path.read_bytes())
    except UnicodeDecodeError as error:
        raise NeuroinverseError(f"{path}: is no JSON: byte {error.start} is no UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise NeuroinverseError(
            f"{path}: is no JSON, or was cut off: {error}. If the workflow wrote it, remove it and run its target again"
        ) from error
    if isinstance(content, list):
        return f"a JSON list of {len(content)} items", [f"  first: {short(content[0])}"] if content else []
    if not isinstance(content, dict):
        return f"a JSON file with one value: {short(content)}", []
    kind = next((words for keys, words in KINDS if all(k in content for k in keys)), "a JSON file")
    lines = [f"  {content['title']}"] if isinstance(content.get("title"), str) else []
    shown = [k for k, value in content.items() if k not in LEFT_OUT and value not in ({}, [], "", None)]
    lines += [f"  {key}: {short(content[key])}" for key in shown[:25]]
    lines += [f"  and {len(shown) - 25} more"] if len(shown) > 25 else []
    return kind, lines + origin(content.get("provenance"))


def origin(provenance) -> list[str]:
    """Where a file comes from, in a line."""
    if not isinstance(provenance, dict):
        return []
    said = [f"{k} {provenance[k]}" for k in ("revision", "neuron", "keras") if k in provenance]
    return [f"  made {provenance.get('date', 'at an unknown time')} by {', '.join(said)}"]
