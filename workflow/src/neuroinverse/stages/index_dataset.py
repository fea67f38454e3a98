"""index_dataset: verifies every shard of a dataset and joins them; nothing is copied."""

import sys
from pathlib import Path

from neuroinverse.shards import join_shards


def run(spec: dict, shards: Path, output: Path) -> dict[str, int]:
    """Joins the shards of a dataset.

    Args:
        spec: `simulation`, `n`, `shard_size`.
        shards: Folder of the shards.
        output: The dataset file.

    Returns:
        Number of simulations by status name.

    Raises:
        ShardError: If a shard is missing, truncated, altered or of something else.
    """
    names = [shards / f"{i:05d}.h5" for i in range(-(-spec["n"] // spec["shard_size"]))]
    counts = join_shards(output, spec, names)
    print(f"{output}: {counts}", file=sys.stderr)
    return counts
