"""Ranges of numbers that come in blocks, and how they are written."""

import json
from dataclasses import dataclass

import numpy as np

# values that are held at a time
BLOCK = 1 << 22


@dataclass
class Ranges:
    """Least, greatest and mean value of numbers, and how many are none.

    Args:
        n: Values seen.
        lost: Of these, those that are NaN or infinite.
        low: Least finite value.
        high: Greatest finite value.
        total: Sum of the finite values.
    """

    n: int = 0
    lost: int = 0
    low: float = np.inf
    high: float = -np.inf
    total: float = 0.0

    def add(self, values) -> None:
        """Takes more values, an array of numbers of any shape."""
        values = np.asarray(values).ravel()
        finite = values[np.isfinite(values)] if values.dtype.kind in "fc" else values
        self.n += values.size
        self.lost += values.size - finite.size
        if finite.size:
            self.low, self.high = min(self.low, float(finite.min())), max(self.high, float(finite.max()))
            self.total += float(finite.sum(dtype=np.float64))

    def __str__(self) -> str:
        return self.words()

    def words(self, unit: str = "") -> str:
        """As "-80.1 to 35.2 mV, mean -65.3, 3 not finite"."""
        unit = f" {unit}" if unit else ""
        if self.n == self.lost:
            return f"no finite value in {self.n}" if self.n else "no values"
        mean = self.total / (self.n - self.lost)
        span = (
            f"{self.low:.4g}{unit} throughout" if self.low == self.high else f"{self.low:.4g} to {self.high:.4g}{unit}"
        )
        return f"{span}, mean {mean:.4g}" + (f", {self.lost} of {self.n} not finite" if self.lost else "")


def size_words(size: int) -> str:
    """A number of bytes in words."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"


def short(value, most: int = 110) -> str:
    """A JSON value in at most so many characters."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        # an object with few numbers is shown, of others their names
        if all(isinstance(v, int | float | str | None) for v in value.values()):
            text = ", ".join(f"{k}={short(v, 30)}" for k, v in value.items())
        else:
            text = ", ".join(map(str, value))
    elif isinstance(value, list):
        if all(isinstance(v, int | float | str) for v in value):
            text = ", ".join(short(v, 30) for v in value)
        else:
            text = f"{len(value)} items"
    else:
        text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 3]}..."
