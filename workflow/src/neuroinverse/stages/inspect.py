"""inspect: says what a file or a folder is and holds."""

from pathlib import Path

from neuroinverse.inspection import describe


def run(file: Path) -> list[str]:
    """Prints what a file or a folder is; a shard is verified on the way.

    Args:
        file: Any path.

    Raises:
        NeuroinverseError: If there is nothing there, it is empty, cannot be read or is damaged.
    """
    lines = describe(file)
    print(*lines, sep="\n")
    return lines
