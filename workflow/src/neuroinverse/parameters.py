"""Named parameters with unit, range and scale; the map between physical and unit parameters; draws by index."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from neuroinverse.errors import ConfigError


@dataclass(frozen=True)
class Parameter:
    """One parameter to infer.

    Args:
        name: Name of the simulator's parameter.
        unit: Physical unit, as the simulator states it.
        low: Lower end of the range, in `unit`.
        high: Upper end of the range, in `unit`.
        scale: "linear" or "log": the scale on which the prior is uniform.
        description: What the parameter is, for reports.

    Raises:
        ConfigError: If the range is empty, not finite, or not positive on a log scale.
    """

    name: str
    unit: str
    low: float
    high: float
    scale: str = "linear"
    description: str = ""

    def __post_init__(self):
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ConfigError(f"parameter {self.name}: low and high must be finite, not {self.low} and {self.high}")
        if not 0 < (self.high - self.low) / 2 < math.inf and self.low < self.high:
            raise ConfigError(
                f"parameter {self.name}: {self.low:g} to {self.high:g} is no range that can be computed with"
            )
        if self.low >= self.high:
            raise ConfigError(f"parameter {self.name}: low ({self.low}) must be below high ({self.high})")
        if self.scale not in ("linear", "log"):
            raise ConfigError(f"parameter {self.name}: scale must be linear or log, not {self.scale!r}")
        if self.scale == "log" and self.low <= 0:
            raise ConfigError(
                f"parameter {self.name}: a log scale needs low > 0, not {self.low}; raise low or use scale: linear"
            )


@dataclass(frozen=True)
class ParameterSpace:
    """The prior: independent parameters, each uniform in its unit parameter over [−1, 1]."""

    parameters: tuple[Parameter, ...]

    @classmethod
    def from_table(cls, table: Sequence[dict]) -> "ParameterSpace":
        """Makes a space of dictionaries with the fields of `Parameter`."""
        return cls(tuple(Parameter(**row) for row in table))

    def to_table(self) -> list[dict]:
        """The space as plain dictionaries, for a specification or an HDF5 attribute."""
        return [asdict(p) for p in self.parameters]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.parameters)

    def affine(self) -> tuple:
        """The map from unit parameters: middle + half · unit, exponentiated where `log`.

        Returns:
            log, bool; middle and half, float64, natural logarithms where log; shape (n_parameters,) each.
        """
        import numpy as np

        log = np.array([p.scale == "log" for p in self.parameters])
        ends = np.array([[p.low, p.high] for p in self.parameters], dtype=np.float64)
        ends[log] = np.log(ends[log])
        return log, ends.mean(axis=1), np.diff(ends, axis=1)[:, 0] / 2

    def to_physical(self, unit):
        """Maps unit parameters to physical ones.

        Args:
            unit: Unit parameters, shape (..., n_parameters); [−1, 1] is the prior's range.

        Returns:
            Physical parameters, float64, same shape.
        """
        import numpy as np

        log, middle, half = self.affine()
        physical = middle + half * np.asarray(unit, dtype=np.float64)
        physical[..., log] = np.exp(physical[..., log])
        return physical

    def to_unit(self, physical):
        """Maps physical parameters to unit ones; the inverse of `to_physical`.

        Args:
            physical: Physical parameters, shape (..., n_parameters).

        Returns:
            Unit parameters, float64, same shape.
        """
        import numpy as np

        log, middle, half = self.affine()
        values = np.array(physical, dtype=np.float64)
        values[..., log] = np.log(values[..., log])
        return (values - middle) / half

    def draw(self, master_seed: int, dataset: str, indices) -> tuple:
        """Draws the simulations with the given indices.

        Simulation i depends on (master_seed, dataset, i) alone, so that neither shards nor cores change a trace.

        Args:
            master_seed: The seed of the configuration.
            dataset: Full name of the dataset, "study/dataset".
            indices: Indices of simulations, shape (n,).

        Returns:
            Physical parameters, float64, shape (n, n_parameters), and one seed per simulation, uint64, shape (n,).
        """
        import numpy as np

        unit = np.empty((len(indices), len(self.parameters)))
        seeds = np.empty(len(indices), dtype=np.uint64)
        for row, index in enumerate(indices):
            prior_stream, simulator_stream = seed_sequence(master_seed, dataset, int(index)).spawn(2)
            unit[row] = np.random.default_rng(prior_stream).uniform(-1, 1, len(self.parameters))
            seeds[row] = simulator_stream.generate_state(1, np.uint64)[0]
        return self.to_physical(unit), seeds


def seed_sequence(master_seed: int, dataset: str, index: int):
    """The root of every random draw: SeedSequence([master_seed, dataset_id, index]).

    Args:
        master_seed: The seed of the configuration.
        dataset: Full name of what is drawn, such as "hh_point_2/train"; its SHA-256 gives the 64-bit id.
        index: Index within the dataset.
    """
    import numpy as np

    dataset_id = int.from_bytes(hashlib.sha256(dataset.encode()).digest()[:8], "little")
    return np.random.SeedSequence([master_seed, dataset_id, index])
