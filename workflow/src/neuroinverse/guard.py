"""The guard: a few simulations before many. Does every parameter act, and does a simulation depend on its row alone?

Each parameter is moved from a draw of the prior to the further end of its range; where nothing changes, from one end to
the other beside several draws of the others. Simulations are made again after others, beside others, alone and in
another process: the same parameters and seed must give the same bits. Simulations run in processes of their own, and
leave no trace in this one.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from neuroinverse.errors import ConfigError
from neuroinverse.parameters import ParameterSpace
from neuroinverse.shards import OK, SILENT
from neuroinverse.simulators import make_simulator, mechanism_files, source_files
from neuroinverse.simulators.base import stimuli
from neuroinverse.simulators.run import ALIKE, files_touched, kind, simulate_rows, workers
from neuroinverse.simulators.user_module import neighbours, shown

# in so many rounds, of twice the draws each time, a parameter is moved before it is said to do nothing: 31 draws
ROUNDS = 5
# so far within its range, in turn: simulations at the very ends may fail
WITHIN = (1.0, 1.0, 0.9, 0.5)
# differences up to this share of a signal's range, or a few of the last digits of float32, are rounding
ROUNDING, DIGITS = 1e-6, 4
# no membrane potential goes beyond (mV)
LARGEST_MV = 200.0

DEAD = (
    "Usual causes: the simulator does not read it, or something sets the value again; it is a factor on zero; what it "
    "changes is not recorded; NEURON overrules it, as a reversal potential whose concentration a mechanism writes; a "
    "TABLE of a MOD file keeps the first value. Mend it, or take the parameter out of the study"
)
UNLIKE = (
    "A simulation may depend on its row of parameters and its seed alone. Usual causes: random numbers that are not "
    "drawn from the simulation's seed (np.random and random without it, one generator for a batch, NetStim, normrand); "
    "values kept from the simulation before, as variables that INITIAL does not set; the clock; the order of a set"
)


@dataclass
class Findings:
    """What the guard found.

    Args:
        simulations: How many it took.
        seconds: Core seconds of these.
        parameters: By parameter the signal that it moves most, and by which share of that signal's range.
        signals: By signal its least and greatest value.
        problems: What makes the study's answers wrong.
        warnings: What cannot be seen, or matters little.
    """

    simulations: int = 0
    seconds: float = 0.0
    parameters: dict[str, dict] = field(default_factory=dict)
    signals: dict[str, dict] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def refuse(self) -> None:
        """Refuses a simulator with problems.

        Raises:
            ConfigError: With all of them in one line.
        """
        if self.problems:
            raise ConfigError(f"simulator: {'; and '.join(self.problems)}")

    def to_json(self) -> dict:
        """As JSON values."""
        return asdict(self)


@dataclass
class _Rows:
    """Simulations of one process: parameters, seeds, arrays by signal, status and error of each."""

    theta: np.ndarray
    seeds: np.ndarray
    values: dict[str, np.ndarray]
    status: np.ndarray
    errors: list[str | None]

    @property
    def usable(self) -> np.ndarray:
        """Which have a result, silence among them."""
        return np.isin(self.status, (OK, SILENT))

    def known(self, signal: str) -> np.ndarray:
        """The finite numbers of a signal in simulations with a result."""
        values = self.values[signal][self.usable]
        return values[np.isfinite(values)]

    def and_then(self, more: "_Rows") -> "_Rows":
        """These simulations and others after them."""
        return _Rows(
            np.concatenate([self.theta, more.theta]),
            np.concatenate([self.seeds, more.seeds]),
            {k: np.concatenate([v, more.values[k]]) for k, v in self.values.items()},
            np.concatenate([self.status, more.status]),
            self.errors + more.errors,
        )


def examine(simulation: Mapping, library: Path | None = None, kernel: Path | None = None, threads: int = 1) -> Findings:
    """Examines a simulator as a study uses it.

    Args:
        simulation: `simulator`, `parameters`, `protocol` and `master_seed`, as in the specification of a dataset.
        library: Compiled mechanisms, where the simulator has some.
        kernel: What `compute_kernel` made, where the simulator needs it.
        threads: With two or more, both processes simulate.

    Returns:
        What was found; `refuse()` of it raises.

    Raises:
        ConfigError: If the simulator cannot be made, returns what it should not, or no simulation has a result.
    """
    about = (dict(simulation), library, kernel)
    with workers("guard", 1, *about, listen=True) as pool, workers("guard", 1, *about) as other:
        return _Guard(simulation, pool, other, threads).run()


class _Guard:
    def __init__(self, simulation: Mapping, pool: Executor, other: Executor, threads: int):
        self.simulation, self.pool, self.other, self.threads = simulation, pool, other, threads
        self.space = ParameterSpace.from_table(simulation["parameters"])
        self.simulator = make_simulator(simulation)
        self.found = Findings()

    def run(self) -> Findings:
        theta, seeds = self._moved()
        # while this goes on, the other process makes the first simulation as its first
        elsewhere = self.other.submit(simulate_rows, theta[:1], seeds[:1])
        self.rows = self._spread(theta, seeds)
        self._look_at_parameters()
        self._look_at_signals()
        again = int(np.flatnonzero(self.rows.usable)[0])
        theta, seeds = self.rows.theta[[again]], self.rows.seeds[[again]]
        if again:
            elsewhere = self.other.submit(simulate_rows, theta, seeds)
        self._look_at_repeats(again, self._joined(theta, seeds, [elsewhere.result()]))
        self._look_at_files()
        self.found.seconds = round(self.found.seconds, 4)
        return self.found

    # --- simulations ---------------------------------------------------------------------------------------------

    def _draws(self, numbers) -> tuple[np.ndarray, np.ndarray]:
        return self.space.draw(self.simulation["master_seed"], "guard", np.asarray(numbers))

    def _moved(self) -> tuple[np.ndarray, np.ndarray]:
        """A draw of the prior, and for each parameter the same with that at the further end of its range; one seed."""
        theta, seeds = self._draws([0])
        unit = self.space.to_unit(theta)[0]
        theta = np.repeat(theta, 1 + len(unit), axis=0)
        for i, p in enumerate(self.space.parameters):
            theta[i + 1, i] = p.low if unit[i] > 0 else p.high
        return theta, np.repeat(seeds, len(theta))

    def _ends(self, cases: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
        """Two rows for each parameter and draw: both ends of its range beside that draw of the others, one seed."""
        n = len(self.space.parameters)
        theta, seeds = self._draws([n * draw + p for p, draw in cases for _ in range(2)])
        for i, (p, draw) in enumerate(cases):
            for end in (-1, 1):
                row = 2 * i + (end > 0)
                theta[row, p] = self.space.to_physical(np.full(n, end * WITHIN[draw % len(WITHIN)]))[p]
        return theta, seeds

    def _spread(self, theta, seeds, threads: int | None = None) -> _Rows:
        """In batches as in a shard, over the processes that there are threads for, the first one first."""
        size, pools = self.simulator.batch, (self.pool, self.other)[: threads or self.threads]
        parts = [slice(i, i + size) for i in range(0, len(theta), size)]
        done = [pools[i % len(pools)].submit(simulate_rows, theta[p], seeds[p]) for i, p in enumerate(parts)]
        return self._joined(theta, seeds, [d.result() for d in done])

    def _joined(self, theta, seeds, results) -> _Rows:
        self.found.simulations += len(theta)
        self.found.seconds += sum(r[3] for r in results)
        values = {s.name: np.concatenate([r[0][s.name] for r in results]) for s in self.simulator.signals}
        return _Rows(theta, seeds, values, np.concatenate([r[1] for r in results]), [e for r in results for e in r[2]])

    # --- parameters ----------------------------------------------------------------------------------------------

    def _look_at_parameters(self) -> None:
        """Looks what each parameter moves; beside further draws where it seems to move nothing."""
        n = len(self.space.parameters)
        pairs = {p: [(0, p + 1)] for p in range(n)}
        if not self.rows.usable.any() and not self._fail_alike():
            self.rows = self.rows.and_then(self._spread(*self._draws(range(ALIKE))))
        for i in range(ROUNDS):
            waiting = [p for p in pairs if not self._moves(pairs[p])]
            # a signal may rest in some simulations and not in others
            waiting = waiting or ([0] if self._resting() else [])
            if not waiting or not self.rows.usable.any():
                break
            start, cases = len(self.rows.theta), [(p, 2**i - 1 + d) for p in waiting for d in range(2**i)]
            self.rows = self.rows.and_then(self._spread(*self._ends(cases)))
            for k, (p, _) in enumerate(cases):
                pairs[p].append((start + 2 * k, start + 2 * k + 1))
        if not self.rows.usable.any():
            raise ConfigError(f"simulator: {self._no_result()}")
        for p, parameter in enumerate(self.space.parameters):
            moved = self._moves(pairs[p])
            if moved:
                self.found.parameters[parameter.name] = moved
                continue
            where = f"parameter {parameter.name}: from {parameter.low:g} to {parameter.high:g} {parameter.unit}"
            seen = sum(self.rows.usable[[a, b]].all() for a, b in pairs[p][1:])
            if seen:
                signals = ", ".join(s.name for s in self.simulator.signals)
                self.found.problems.append(
                    f"{where}, beside {seen} draws of the others, it changes nothing recorded ({signals}). {DEAD}"
                )
            else:
                self.found.warnings.append(f"{where}, simulations fail, and whether it acts is not known")

    def _fail_alike(self) -> bool:
        errors = self.rows.errors
        return len(errors) >= ALIKE and None not in errors and len(set(map(kind, errors))) == 1

    def _moves(self, pairs) -> dict | None:
        """The signal that a parameter moves most; None where it moves none."""
        best, rows = None, self.rows
        for a, b in pairs:
            if rows.usable[[a, b]].any() and rows.status[a] != rows.status[b]:
                best = best or {"signal": "status", "share": 1.0}
            if not rows.usable[[a, b]].all():
                continue
            for name, values in rows.values.items():
                share, rounding = self._apart(name, values[a], values[b])
                if share > rounding and (best is None or share > best["share"]):
                    best = {"signal": name, "share": round(float(share), 6)}
        return best

    def _apart(self, name: str, a, b) -> tuple[float, float]:
        """How far two arrays are apart in shares of the signal's range, and up to where that is rounding."""
        if not np.array_equal(np.isfinite(a), np.isfinite(b)):
            return 1.0, 0.0
        both = np.isfinite(a)
        furthest = float(np.abs(a[both].astype(float) - b[both]).max(initial=0.0))
        if not furthest:
            return 0.0, 0.0
        known = self.rows.known(name).astype(float)
        width = float(known.max() - known.min()) or furthest
        digits = DIGITS * float(np.spacing(np.float32(np.abs(known).max())))
        return furthest / width, ROUNDING + digits / width

    # --- signals -------------------------------------------------------------------------------------------------

    def _resting(self) -> list[str]:
        """Signals that are one and the same number in all simulations with a result, or never a number."""
        names = (s.name for s in self.simulator.signals)
        return [n for n in names if (known := self.rows.known(n)).size == 0 or known.min() == known.max()]

    def _look_at_signals(self) -> None:
        resting = self._resting()
        for signal in self.simulator.signals:
            known = self.rows.known(signal.name)
            if known.size:
                low, high = float(known.min()), float(known.max())
                self.found.signals[signal.name] = {"low": low, "high": high}
                if signal.unit == "mV" and "voltage" in signal.name and max(-low, high) > LARGEST_MV:
                    self.found.warnings.append(
                        f"signal {signal.name}: reaches {low:.4g} to {high:.4g} mV, as no living cell does; is the "
                        "stimulus too strong for this cell (protocol.stimulus.amplitude)?"
                    )
            if signal.name in resting:
                said = f"is {known[0]:g} {signal.unit}" if known.size else "is undefined"
                # nothing learns from a signal that may be undefined
                (self.found.warnings if signal.may_be_nan else self.found.problems).append(
                    f"signal {signal.name}: {said} at all times in all {self.rows.usable.sum()} simulations; record "
                    "where something happens, or leave the signal out"
                )

    def _no_result(self) -> str:
        said, raised = f"none of {len(self.rows.status)} simulations over the prior has a result", self.rows.errors
        first = next((e for e in raised if e), "all give NaN, infinite values or SimulationFailed")
        return f"{said}: {first}"

    # --- the same again ------------------------------------------------------------------------------------------

    def _look_at_repeats(self, again: int, elsewhere: _Rows) -> None:
        rows, beside = self.rows, int(np.flatnonzero(self.rows.usable)[-1])
        places = {
            "beside another simulation, in another place of the batch": ([beside, again], None),
            "alone, after others": ([again], None),
            "in another process": ([again], elsewhere),
        }
        apart = []
        for where, (which, found) in places.items():
            found = found or self._spread(rows.theta[which], rows.seeds[which], threads=1)
            for i, first in enumerate(which):
                for name, values in rows.values.items():
                    same = rows.status[first] == found.status[i]
                    share, rounding = self._apart(name, values[first], found.values[name][i]) if same else (1.0, 0.0)
                    if share:
                        apart.append((share > rounding, share, name, where))
        for real in {real for real, *_ in apart}:
            chosen = [a for a in apart if a[0] == real]
            _, share, name, _ = max(chosen)
            where = ", and ".join(dict.fromkeys(w for *_, w in chosen))
            said = f"the same parameters and seed give another {name} {where}: up to {share:.2g} of its range apart"
            if real:
                self.found.problems.append(f"{said}. {UNLIKE}")
            else:
                self.found.warnings.append(
                    f"{said}. That is rounding, and a shard made again is not the same to the bit"
                )

    # --- files ---------------------------------------------------------------------------------------------------

    def _look_at_files(self) -> None:
        read, written = self.pool.submit(files_touched).result()
        section = self.simulation["simulator"]
        known = [*source_files(self.simulator, section), *mechanism_files(section)]
        if "path" in section:
            known += [Path(section["path"]), *neighbours(Path(section["path"]), "simulator.path").values()]
        known += [Path(s["path"]) for s in stimuli(self.simulation["protocol"]) if "path" in s]
        known = {str(file.absolute()) for file in known}
        unseen = sorted(shown(file) for file in read if file not in known)
        if unseen:
            self.found.warnings.append(
                f"reads what is in no specification: {', '.join(unseen)}. When that changes, nothing is simulated "
                "anew: name it in the simulator's files(), or of a template under files"
            )
        changed = sorted(shown(file) for file in written if file in known)
        if changed:
            self.found.problems.append(
                f"writes to {', '.join(changed)}, which is part of its specification: everything would run anew every "
                "time. Write elsewhere"
            )
