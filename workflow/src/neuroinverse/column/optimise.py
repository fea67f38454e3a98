"""Search for the gains of projections: Adam on the gradient through the network, and two controls without a gradient.

What is searched are log10 gains, one for each projection, within [−bound, bound]. Adam's steps are projected: after
each, the gains are clipped to the bounds, so that within them a step is what Adam says. Before it the gradient is
clipped by its norm, that of every drive by itself: backwards through spikes it may grow by orders of magnitude, and one
drive would outvote all others.

A seed stands for one realisation of the drives. The budget of a search is counted in rollouts of one seed; one with
its gradient counts as `GRADIENT_COST` of them, so that for the same `epochs` the controls try as many gains as take the
same work. The best gains are those with the lowest loss under seeds that no step has used; measuring these comes on top
for every method and is counted apart.
"""

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from neuroinverse.column.journal import Journal
from neuroinverse.column.settings import GRADIENT_COST, complete
from neuroinverse.errors import ConfigError, NeuroinverseError
from neuroinverse.parameters import seed_sequence


def optimise(network, objective, settings: Mapping, master_seed: int, journal: Journal | None = None) -> dict:
    """Searches for gains that make the objective small.

    Args:
        network: `ColumnNetwork`.
        objective: `Objective` for the network's activity; its window says how long a simulation is.
        settings: See `column.settings.complete`.
        master_seed: All seeds, and whatever a method draws, follow from it.
        journal: Where measurements are kept, if they are.

    Returns:
        Plain data. `history`, a row for the initial gains and one after every step: `log10_gains` by projection, and
        `loss`, `terms` and `rates_Hz` under the step's seeds; `held_out_loss` where it was measured; of Adam the
        clipped `gradient`, its `gradient_norm` before, how many drives are not in it (`exploded`), and the
        `learning_rate`; `losses` of a generation (CMA-ES), the
        row being its best. `initial` and `best`: `step` in the history, and `log10_gains`, `loss`, `terms`, `rates_Hz`
        under the held-out seeds. `rollouts` as the module counts them, `held_out_rollouts`, `held_out_seeds`,
        `seconds`, and `settings`.

    Raises:
        ConfigError: If the settings do not fit.
        NeuroinverseError: If a loss or a gradient is not finite.
    """
    settings, start = complete(settings, network.projections), time.monotonic()
    search = _Search(network, objective, settings, master_seed, journal or Journal())
    history, measured = [], []
    for row, gains in METHODS[search.settings["method"]](search):
        if gains is not None:
            measured.append({"step": len(history)} | search.held_out(gains))
            row["held_out_loss"] = measured[-1]["loss"]
            where, spent = f"{search.settings['method']}, step {len(history)}", time.monotonic() - start
            print(f"{where}: held-out loss {measured[-1]['loss']:.4g}, {spent:.0f} s", flush=True)
        history.append(row)
    return {
        "settings": search.settings,
        "initial": measured[0],
        "best": min(measured, key=lambda found: found["loss"]),
        "history": history,
        "rollouts": search.rollouts,
        "held_out_rollouts": len(measured) * len(search.held_out_seeds),
        "held_out_seeds": search.held_out_seeds,
        "seconds": time.monotonic() - start,
    }


def slopes(
    network, objective, settings: Mapping, values: Sequence[float], master_seed: int, journal: Journal | None = None
) -> dict:
    """The same search with several slopes of the surrogate gradient.

    A slope with which the search fails is reported with its message and does not end the others.

    Returns:
        `runs`, for each slope what `optimise` returns, or `error`, and `slope`; `best_slope`, that of the lowest
        held-out loss, None if all failed.

    Raises:
        ConfigError: If the settings do not fit.
    """
    runs = []
    for value in values:
        try:
            run = optimise(network, objective, {**settings, "slope": value}, master_seed, journal)
        except ConfigError:
            raise
        except NeuroinverseError as error:
            run = {"error": str(error)}
        runs.append({"slope": value, **run})
    done = [run for run in runs if "best" in run]
    return {"runs": runs, "best_slope": min(done, key=lambda run: run["best"]["loss"])["slope"] if done else None}


@functools.lru_cache(maxsize=1)
def compiled(network, objective) -> tuple[Callable, Callable]:
    """Functions of (log10 gains, drive, slope): terms and rates; these and what each drive adds to the loss' gradient.

    Kept, since several searches of one network would each compile them anew.
    """
    import tensorflow as tf

    def measure(gains, drive, slope):
        activity = network.rollout(gains, drive, slope)
        return objective(activity), objective.rates(activity)

    def differentiate(gains, drive, slope):
        each = tf.tile(gains[None], (next(iter(drive.values())).shape[0], 1))
        with tf.GradientTape() as tape:
            tape.watch(each)
            terms, rates = measure(each, drive, slope)
        return terms, rates, tape.gradient(terms["loss"], each, unconnected_gradients="zero")

    return tuple(tf.function(f, jit_compile=network.jit, autograph=False) for f in (measure, differentiate))


class _Search:
    """What the methods share: seeds by epoch, checked losses, the count of rollouts."""

    def __init__(self, network, objective, settings: dict, master_seed: int, journal: Journal):
        self.projections, self.settings, self.master_seed = network.projections, settings, master_seed
        self.start = np.array([np.log10(settings["initial_gains"].get(p, 1.0)) for p in self.projections])
        self.free = np.array([p in settings["projections"] for p in self.projections])
        self.rollouts = 0
        self._network, self._n_steps, self._journal = network, objective.window.n_steps, journal
        self._measure, self._differentiate = compiled(network, objective)
        self.held_out_seeds = self._seeds("held_out", 0, settings["held_out_seeds"])
        self._held_out_drive = network.drive(self._n_steps, self.held_out_seeds)

    def _seeds(self, purpose: str, epoch: int, n: int) -> list[int]:
        sequence = seed_sequence(self.master_seed, f"column/{purpose}", epoch)
        return [int(seed) for seed in sequence.generate_state(n, np.uint64)]

    def rng(self) -> np.random.Generator:
        """What a method draws from."""
        return np.random.default_rng(seed_sequence(self.master_seed, "column/method", 0))

    def drive(self, epoch: int) -> dict[str, np.ndarray]:
        """The external events of an epoch (or generation, or draw)."""
        epoch = epoch if self.settings["new_seeds"] else 0
        return self._network.drive(self._n_steps, self._seeds("training", epoch, self.settings["seeds"]))

    def loss(self, gains: np.ndarray, drive: Mapping, epoch: int) -> dict:
        """Row of a history for some gains.

        Raises:
            NeuroinverseError: If the loss is not finite.
        """
        self.rollouts += self.settings["seeds"]
        return self._measured(gains, drive, f"epoch {epoch}")

    def gradient(self, gains: np.ndarray, drive: Mapping, epoch: int) -> tuple[dict, np.ndarray]:
        """The same with what each drive adds to the gradient of the loss, shape (drives, projections).

        It is 0 for projections that do not change. Drives whose part has grown beyond all numbers are left out, and
        counted in the row as `exploded`.

        Raises:
            NeuroinverseError: If the loss, or the part of every drive, is not finite.
        """
        self.rollouts += GRADIENT_COST * self.settings["seeds"]

        def differentiate():
            terms, rates, gradient = self._differentiate(*self._tensors(gains, drive))
            row, gradient = self._row(gains, terms, rates, f"epoch {epoch}"), gradient.numpy().astype(float)
            gradient = np.where(self.free, gradient, 0.0)
            finite = np.isfinite(gradient).all(axis=1)
            if not finite.any():
                names = ", ".join(np.array(self.projections)[~np.isfinite(gradient).all(axis=0)])
                raise NeuroinverseError(
                    f"search: epoch {epoch}: the gradient of {names} is not finite; it grows backwards through spikes. "
                    f"Raise slope (now {self.settings['slope']:g}) or simulate shorter"
                )
            return {"row": row | {"exploded": int((~finite).sum())}, "gradient": gradient[finite].tolist()}

        question = [self.settings["method"], self.settings["slope"], f"gradient of epoch {epoch}", gains.tolist()]
        found = self._journal.measured(question, differentiate)
        return found["row"], np.array(found["gradient"])

    def held_out(self, gains: np.ndarray) -> dict:
        """Row of a history for some gains under the held-out seeds."""
        return self._measured(gains, self._held_out_drive, "held-out seeds")

    def _measured(self, gains: np.ndarray, drive: Mapping, where: str) -> dict:
        question = [self.settings["method"], self.settings["slope"], where, gains.tolist()]
        return self._journal.measured(
            question, lambda: self._row(gains, *self._measure(*self._tensors(gains, drive)), where)
        )

    def _tensors(self, gains: np.ndarray, drive: Mapping) -> tuple:
        import tensorflow as tf

        events = {name: tf.constant(x) for name, x in drive.items()}
        return tf.constant(gains, tf.float32), events, tf.constant(self.settings["slope"], tf.float32)

    def _row(self, gains: np.ndarray, terms: Mapping, rates: Mapping, where: str) -> dict:
        terms = {name: float(value) for name, value in terms.items()}
        if not np.isfinite(list(terms.values())).all():
            found = ", ".join(f"{name} {value:g}" for name, value in terms.items())
            raise NeuroinverseError(
                f"search: {where}: the loss is not finite ({found}). The surrogates may have left what they were "
                f"trained on: lower bound (now {self.settings['bound']:g}) or learning_rate, or add a term rate_bounds"
            )
        return {
            "log10_gains": self.named(gains),
            "loss": terms.pop("loss"),
            "terms": terms,
            "rates_Hz": {name: float(value) for name, value in rates.items()},
        }

    def named(self, values: np.ndarray) -> dict[str, float]:
        """Values of all projections by name."""
        return dict(zip(self.projections, values.tolist(), strict=True))


# A method yields a row for the initial gains, then one after every step; with it the gains, where they are worth
# measuring under the held-out seeds.


def clipped(each: np.ndarray, norm: float) -> np.ndarray:
    """The gradient, of which each of n drives adds no more than norm / n; shape (projections,).

    Args:
        each: What each drive adds, shape (drives, projections).
        norm: Largest norm of the whole.
    """
    most = norm / len(each)
    return (each * (most / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), most))).sum(axis=0)


def adam(search: _Search) -> Iterator[tuple[dict, np.ndarray | None]]:
    """Projected Adam (Kingma & Ba 2015, arXiv:1412.6980) with the paper's decay rates.

    Gains that excite too much are a region without a useful gradient, from which there is no way back. After `patience`
    epochs without a lower held-out loss the search goes back to the best gains, and on from there at half the rate.
    """
    s, gains, rate = search.settings, search.start, search.settings["learning_rate"]
    lowest, best, since = np.inf, gains, 0
    mean, square, taken = np.zeros_like(gains), np.zeros_like(gains), 0
    for epoch in range(s["epochs"]):
        row, each = search.gradient(gains, search.drive(epoch), epoch)
        gradient, norm = clipped(each, s["clip_norm"]), float(np.linalg.norm(each.sum(axis=0)))
        row |= {"gradient": search.named(gradient), "gradient_norm": norm, "learning_rate": rate}
        yield row, gains
        since += 1
        if row["held_out_loss"] < lowest:
            lowest, best, since = row["held_out_loss"], gains, 0
        if since == s["patience"]:
            gains, rate, since = best, rate / 2, 0
            mean, square, taken = np.zeros_like(gains), np.zeros_like(gains), 0
            continue
        taken += 1
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        unbiased = mean / (1 - 0.9**taken), square / (1 - 0.999**taken)
        moved = gains - rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
        gains = np.where(search.free, np.clip(moved, -s["bound"], s["bound"]), gains)
    yield search.loss(gains, search.drive(s["epochs"]), s["epochs"]), gains


def random_search(search: _Search) -> Iterator[tuple[dict, np.ndarray | None]]:
    """Gains drawn uniformly within the bounds; worth measuring where they are better than all before."""
    s, rng = search.settings, search.rng()
    row = search.loss(search.start, search.drive(0), 0)
    yield row, search.start
    lowest = row["loss"]
    for draw in range(1, GRADIENT_COST * s["epochs"] + 1):
        gains = np.where(search.free, rng.uniform(-s["bound"], s["bound"], len(search.start)), search.start)
        row = search.loss(gains, search.drive(draw), draw)
        yield row, gains if row["loss"] < lowest else None
        lowest = min(lowest, row["loss"])


def cma_es(search: _Search) -> Iterator[tuple[dict, np.ndarray | None]]:
    """CMA-ES (Hansen 2016, arXiv:1604.00772), at first with a third of the bound as its spread.

    All candidates of a generation have the same seeds. Whole generations only: the budget's rest is left.
    """
    try:
        import cma
    except ImportError as error:
        raise NeuroinverseError("search.method: cma needs the package cma; install it with pip install cma") from error
    s, budget = search.settings, GRADIENT_COST * search.settings["epochs"]
    yield search.loss(search.start, search.drive(0), 0), search.start
    seed, size = int(search.rng().integers(1, 2**31)), min(s["generation"], budget)
    options = {"bounds": [-s["bound"], s["bound"]], "popsize": size, "seed": seed, "verbose": -9}
    strategy = cma.CMAEvolutionStrategy(search.start[search.free], s["bound"] / 3, options)
    for generation in range(1, budget // size + 1):
        points, drive = strategy.ask(), search.drive(generation)
        candidates = np.tile(search.start, (size, 1))
        candidates[:, search.free] = points
        rows = [search.loss(gains, drive, generation) for gains in candidates]
        losses = [row["loss"] for row in rows]
        strategy.tell(points, losses)
        best = int(np.argmin(losses))
        yield rows[best] | {"losses": losses}, candidates[best]


METHODS: dict[str, Callable] = {"adam": adam, "cma": cma_es, "random": random_search}
