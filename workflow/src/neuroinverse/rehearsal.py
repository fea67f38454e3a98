"""A few simulations and training steps of a study, before many: what its prior gives, and what it costs.

Mechanisms and kernels are made in a temporary folder; nothing of it is kept.
"""

import io
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroinverse.errors import ConfigError
from neuroinverse.inspection.ranges import Ranges
from neuroinverse.planning import Rates, estimated_rates
from neuroinverse.provenance import cores
from neuroinverse.shards import OK, SILENT, STATUS_NAMES
from neuroinverse.simulators.run import Watch, simulate_rows, workers
from neuroinverse.study import Study

# a voltage above it, by unit, is a spike
SPIKE = {"mV": -10.0, "V": -0.01}
# traces that are held at once (MB)
LARGEST_MB = 2000
# time that goes into measuring a rate (s), and batches of a training
SIMULATE_SECONDS, STEPS = 5.0, 12


@dataclass(frozen=True)
class Draws:
    """Simulations of parameters drawn from the prior.

    Args:
        theta: Physical parameters, shape (n, K).
        values: Arrays by signal, shape (n, time[, channel]).
        status: Of each, shape (n,).
        errors: Of each the error that it raised; None where it raised none.
        seconds: Core seconds of all.
    """

    theta: np.ndarray
    values: dict[str, np.ndarray]
    status: np.ndarray
    errors: list[str | None]
    seconds: float


@contextmanager
def prepared(study: Study) -> Iterator[tuple[Path | None, Path | None]]:
    """The compiled mechanisms and the kernel of a study, None where it needs none, for as long as the block lasts.

    Raises:
        NeuroinverseError: If they cannot be made.
    """
    from neuroinverse.stages import compile_mechanisms, compute_kernel

    with tempfile.TemporaryDirectory(prefix="neuroinverse-") as folder:
        library = Path(folder, "libnrnmech.so") if study.mechanisms else None
        kernel = Path(folder, "kernel.h5") if study.needs_kernel else None
        # what compilers print helps where they fail, and is in the error then
        with redirect_stderr(io.StringIO()):
            if library:
                compile_mechanisms.run(library, study.mechanisms)
            if kernel:
                compute_kernel.run(study.kernel_spec(), kernel)
        yield library, kernel


def draw_prior(study: Study, n: int, library: Path | None, kernel: Path | None) -> Draws:
    """Simulates draws from the prior of a study, as its first dataset does.

    Args:
        study: The study.
        n: How many.
        library: Compiled mechanisms, where the simulator has some.
        kernel: What `compute_kernel` made, where the simulator needs it.

    Raises:
        ConfigError: If so many do not fit into memory, or what fails would meet all of them.
    """
    megabytes = n * study.megabytes(study.datasets[0]) / study.n(study.datasets[0])
    if megabytes > LARGEST_MB:
        most = int(n * LARGEST_MB / megabytes)
        raise ConfigError(f"--simulate: {n} simulations take {megabytes:.0f} MB; ask for {most} or fewer")
    theta, seeds = study.parameters.draw(study.master_seed, f"{study.name}/rehearsal", np.arange(n))
    threads, watch = min(cores(), n), Watch(n)
    size = max(1, min(study.simulator.batch, -(-n // threads)))
    parts = []
    with workers("check", threads, study.scenario(study.datasets[0]), library, kernel) as pool:
        waiting = [pool.submit(simulate_rows, theta[i : i + size], seeds[i : i + size]) for i in range(0, n, size)]
        for future in waiting:
            parts.append(future.result())
            watch.add(*parts[-1][1:3])
    values = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
    errors = [error for part in parts for error in part[2]]
    return Draws(theta, values, np.concatenate([p[1] for p in parts]), errors, sum(p[3] for p in parts))


def say(study: Study, draws: Draws) -> list[str]:
    """What came of draws from the prior, in lines: failures by status, ranges of signals, spikes of voltages."""
    n = len(draws.status)
    counts = {name: int((draws.status == code).sum()) for code, name in STATUS_NAMES.items()}
    lines = [
        f"{n} draws from the prior, {draws.seconds / n:.3g} core seconds each",
        f"  status: {', '.join(f'{count} {name}' for name, count in counts.items() if count)}",
    ]
    for error, count in Counter(filter(None, draws.errors)).most_common(3):
        lines.append(f"    {count} × {' '.join(error.split())}")
    usable = np.isin(draws.status, (OK, SILENT))
    for signal in study.simulator.signals:
        values = draws.values[signal.name][usable].reshape(int(usable.sum()), signal.shape[0], -1)
        for c in range(values.shape[2]):
            channel = f" {signal.channels[c]}" if signal.channels else f" {c}" if values.shape[2] > 1 else ""
            ranges = Ranges()
            ranges.add(values[:, :, c])
            lines.append(f"  {signal.name}{channel}: {ranges.words(signal.unit)}")
            if signal.unit in SPIKE and len(values):
                spikes = count_spikes(values[:, :, c], SPIKE[signal.unit])
                lines.append(
                    f"    spikes per trace (upwards through {SPIKE[signal.unit]:g} {signal.unit}): {spikes.min()} to "
                    f"{spikes.max()}, median {np.median(spikes):g}; none in {int((spikes == 0).sum())} of {len(spikes)}"
                )
    return lines


def count_spikes(traces: np.ndarray, threshold: float) -> np.ndarray:
    """Crossings upwards of a threshold in each trace, shape (n,); a trace that begins above it has not crossed it.

    Args:
        traces: Shape (n, time).
        threshold: In their unit.
    """
    above = traces > threshold
    return (above[:, 1:] & ~above[:, :-1]).sum(axis=1)


def timed_rates(study: Study) -> Rates:
    """Rates of a study from a few simulations and training steps on this machine.

    Of networks that are no regressors, and of searches over the gains of a column, they are estimated.

    Raises:
        NeuroinverseError: If it cannot be simulated.
    """
    with prepared(study) as (library, kernel):
        simulate = _simulate_seconds(study, library, kernel)
    estimated = estimated_rates(study)
    timed = {name: _train_seconds(study, name) for name in study.estimators if not study.is_posterior(name)}
    others = [*(name for name in estimated.train if name not in timed), *estimated.search]
    source = "from a few simulations and training steps on this machine just now"
    if others:
        source += f"; estimated, rather high, for {', '.join(others)}"
    return Rates(simulate, estimated.train | timed, estimated.search, source)


def _simulate_seconds(study: Study, library: Path | None, kernel: Path | None) -> float:
    """Core seconds of a simulation, start and compilation left out as in a large shard."""
    n, spent, begin = 0, 0.0, time.monotonic()
    batch = max(1, min(study.simulator.batch, 10))
    with workers("plan", 1, study.scenario(study.datasets[0]), library, kernel) as pool:
        for i in range(1000):
            theta, seeds = study.parameters.draw(
                study.master_seed, f"{study.name}/rehearsal", np.arange(batch) + batch * i
            )
            _, _, _, seconds = pool.submit(simulate_rows, theta, seeds).result()
            slow = time.monotonic() - begin > 4 * SIMULATE_SECONDS
            # the first one compiles and loads; where one takes long, that is little
            if i or slow:
                n, spent = n + batch, spent + seconds
            if spent > SIMULATE_SECONDS or slow:
                break
    return spent / n


def _train_seconds(study: Study, estimator: str) -> float:
    """Core seconds of a training simulation and epoch, on numbers of the right shape."""
    # core seconds are those of the CPU; TensorFlow looks for devices when it starts
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    from neuroinverse.estimators import cnn, heads

    settings, signal = study.estimator(estimator), study.input_signal(estimator)
    spec = study.train_spec(estimator, 0)
    h, outputs = spec["hyperparameters"], len(spec["parameters"])
    rng = np.random.default_rng(0)
    first = cnn.feature_model(signal, settings["features"])
    shape = (*signal.shape, 1)[:2] if first is None else first.output.shape[1:]
    x = rng.normal(size=(h["batch_size"], *shape)).astype(np.float32)
    y = rng.uniform(-1, 1, (len(x), outputs)).astype(np.float32)
    statistics = cnn.feature_statistics(lambda: iter([x]))
    model = cnn.build_models(signal, settings["features"], h, outputs, statistics, first)[1]
    model.compile(cnn.make_optimizer(h), heads.loss(h))
    model.train_on_batch(x, y)
    begin = time.process_time()
    for _ in range(STEPS):
        model.train_on_batch(x, y)
    return (time.process_time() - begin) / (STEPS * len(x))
