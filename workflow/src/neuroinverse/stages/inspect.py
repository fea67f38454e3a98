"""inspect: prints what a data file or a saved estimator holds."""

import json
from pathlib import Path

from neuroinverse.estimators.modelfile import read_metadata
from neuroinverse.shards import describe


def run(file: Path) -> dict:
    """Prints a shard, a dataset file or an estimator as text; a shard is verified on the way.

    Raises:
        NeuroinverseError: If the file is damaged or not one of this project.
    """
    content = read_metadata(file) if file.suffix == ".keras" else describe(file)
    print(f"{file}  ({file.stat().st_size / 1e6:.3f} MB)")
    for key, value in content.items():
        text = json.dumps(value, indent=2, default=str) if isinstance(value, dict | list) else str(value)
        print(f"{key}: " + text.replace("\n", "\n  "))
    return content
