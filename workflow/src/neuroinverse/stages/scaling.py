"""scaling: what the error becomes as the training set grows."""

import json
from pathlib import Path

from neuroinverse.files import atomic
from neuroinverse.provenance import collect


def run(spec: dict, metrics: list[Path], output: Path) -> dict:
    """Gathers the metrics of one estimator at several training sizes.

    Args:
        spec: `study`, `scale`, and `sizes`: for each `n_train`, the `ensemble`'s specification.
        metrics: metrics.json of each size, in the order of `sizes`.
        output: The JSON file: for each size mse_unit, mse_unit_folds_mean, and per parameter rmse and
            error_percent_of_range.
    """
    sizes = []
    for size, path in zip(spec["sizes"], metrics, strict=True):
        m = json.loads(Path(path).read_text())
        errors = {
            name: {k: p[k] for k in ("unit", "rmse", "error_percent_of_range")} for name, p in m["parameters"].items()
        }
        kept = {k: m[k] for k in ("n_test", "mse_unit", "mse_unit_folds_mean", "train_seconds_per_fold")}
        sizes.append({"n_train": size["n_train"], **kept, "parameters": errors})
    result = {"study": spec["study"], "scale": spec["scale"], "sizes": sizes, "provenance": collect(spec)}
    with atomic(output) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n")
    return result
