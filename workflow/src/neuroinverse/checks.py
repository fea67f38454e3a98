"""Whether the parts of a study fit each other: a mistake gives one message with the key, what is wrong and the cure."""

from collections.abc import Mapping

from neuroinverse import surrogates
from neuroinverse.column import specs as column
from neuroinverse.errors import ConfigError, NeuroinverseError, require_known
from neuroinverse.estimators.architecture import check_network, layer_shapes
from neuroinverse.features import feature_shape
from neuroinverse.rounds import check_kind, observation_file
from neuroinverse.simulators import make_simulator, mechanism_files, simulator_class
from neuroinverse.simulators.base import Signal, stimuli

# of one simulation: longer ones do not fit in memory
MOST_STEPS = 1e8
# of one dataset: names have five digits, and file systems mind more
MOST_SHARDS = 100_000


def check_study(study) -> None:
    """Checks a study whose file is as its schema says.

    Args:
        study: The `Study`.

    Raises:
        ConfigError: At the first thing that is wrong.
    """
    if not (study.estimators or surrogates.names(study) or column.names(study)):
        raise ConfigError("missing 'estimators'; add one, or a surrogate under 'surrogates', or objectives of a column")
    _check_parameters(study)
    _check_protocol(study)
    # errors of the other datasets' own settings name these
    make_simulator(study.scenario("test" if "test" in study.datasets else study.datasets[0])).stimulus()
    for dataset in study.datasets:
        _check_dataset(study, dataset)
    for name, estimator in study.settings["estimators"].items():
        where = f"estimators.{name}"
        check_kind(study, name, estimator)
        require_known(f"{where}.dataset", [study.training_dataset(name)], study.datasets)
        require_known(f"{where}.transfer", estimator.get("transfer", ()), study.datasets)
        require_known(f"{where}.parameters", estimator.get("parameters", ()), study.parameters.names)
        signal = _check_signal(study, name, estimator)
        _check_observation(study, name, signal)
        try:
            check_network(estimator["hyperparameters"], estimator["kind"])
            shape = feature_shape(estimator["features"], signal)
            _check_step(study, estimator["features"])
            layer_shapes(*shape, estimator["hyperparameters"])
        except ConfigError as error:
            raise ConfigError(f"{where}.{error}") from error
        _check_sizes(study, name, estimator)
    surrogates.check_surrogates(study)
    column.check_column(study)
    _check_network(study)


def _check_parameters(study) -> None:
    offered = simulator_class(study.settings["simulator"]).parameters
    names = [p["name"] for p in study.settings["parameters"]]
    repeated = {n for n in names if names.count(n) > 1}
    if repeated:
        raise ConfigError(f"parameters: {', '.join(sorted(repeated))} named twice")
    for p in study.parameters.parameters:
        if p.name not in offered:
            raise ConfigError(f"parameters: the simulator has no {p.name!r}; it has {', '.join(offered)}")
    _check_units(study, offered)


def _check_protocol(study) -> None:
    """Refuses times that no simulator can follow, before one is made."""
    protocol = study.settings["protocol"]
    duration, dt = protocol["duration_ms"], protocol["dt_ms"]
    if duration / dt > MOST_STEPS:
        raise ConfigError(
            f"protocol: {duration:g} ms in steps of {dt:g} ms are {duration / dt:.3g} steps, more than {MOST_STEPS:g}; "
            "make dt_ms longer or duration_ms shorter"
        )
    for stimulus in stimuli(protocol):
        start, stop = (stimulus.get(key) for key in ("start_ms", "stop_ms"))
        if not all(isinstance(x, int | float) for x in (start, stop)):
            continue
        if not (start < stop and start < duration and stop > 0):
            raise ConfigError(
                f"protocol.stimulus: start_ms {start:g} and stop_ms {stop:g} leave nothing of the stimulus within "
                f"[0, {duration:g}] ms; expected start_ms < stop_ms, and part of it before duration_ms"
            )


def _check_step(study, features) -> None:
    """Refuses statistics of a step that the protocol does not have."""
    given, asked = (
        stimuli(study.settings["protocol"]),
        [f["step_statistics"] for f in features if "step_statistics" in f],
    )
    # a file may hold a step, and a simulator that takes no stimulus may have one of its own
    if not asked or not given or any(s["kind"] == "from_file" for s in given):
        return
    steps = [(s.get("start_ms"), s.get("stop_ms")) for s in given if s["kind"] == "step"]
    for on, off in ((s["on_ms"], s["off_ms"]) for s in asked):
        if (on, off) not in steps:
            there = " and ".join(f"a step from {a:g} to {b:g} ms" for a, b in steps) or f"none, but {given[0]['kind']}"
            raise ConfigError(
                f"features.step_statistics: describe a step from on_ms {on:g} to off_ms {off:g}, and the protocol has "
                f"{there}; give its times, or use other features"
            )


def _check_units(study, offered: Mapping) -> None:
    for p in study.parameters.parameters:
        if p.unit != offered[p.name].unit:
            raise ConfigError(f"parameter {p.name}: unit is {p.unit!r}; the simulator takes {offered[p.name].unit!r}")


def _check_dataset(study, dataset: str) -> None:
    settings, where = study.settings["datasets"][dataset], f"datasets.{dataset}"
    require_known(f"{where}.ranges", settings.get("ranges", ()), study.parameters.names)
    try:
        study.space(dataset)
    except ConfigError as error:
        raise ConfigError(f"{where}.ranges: {error}") from error
    shards = -(-study.n(dataset) // study.shard_size)
    if shards > MOST_SHARDS:
        raise ConfigError(
            f"{where}: {study.n(dataset)} simulations in shards of {study.shard_size} are {shards} files; raise "
            f"datasets.shard_size until they are {MOST_SHARDS} at most"
        )
    if settings.get("fixed") or settings.get("options"):
        try:
            simulator = make_simulator(study.scenario(dataset))
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
        _check_units(study, simulator.parameters)
        if mechanism_files(study.scenario(dataset)["simulator"]) != study.mechanisms:
            raise ConfigError(
                f"{where}.options: changes the MOD files, and all datasets of a study share what is compiled; "
                "write a study of its own for it"
            )
        if simulator.needs_kernel and simulator.kernel_settings() != study.kernel_spec()["settings"]:
            raise ConfigError(
                f"{where}: changes what the kernel is made from, and all datasets of a study share one kernel; "
                "write a study of its own for it"
            )


def _check_signal(study, name: str, estimator: Mapping) -> Signal:
    where, signals = f"estimators.{name}.signal", study.signals_of(study.training_dataset(name))
    signal = signals.get(estimator["signal"])
    if signal is None:
        raise ConfigError(f"{where}: {estimator['signal']!r} is unknown; the simulator gives {', '.join(signals)}")
    if signal.may_be_nan:
        raise ConfigError(f"{where}: {signal.name} may be undefined (NaN), so that nothing can be trained on it")
    asked = estimator.get("observation")
    for dataset in ("calibration", *study.transfer_datasets(name), *([asked] if isinstance(asked, str) else ())):
        if study.signals_of(dataset).get(signal.name) != signal:
            raise ConfigError(
                f"{where}: {signal.name} is not the same in the dataset {dataset} as in that of the training; "
                "give both the same options"
            )
    return signal


def _check_observation(study, name: str, signal: Signal) -> None:
    """Reads the recording that a posterior is asked about, before a network is trained for it."""
    file = observation_file(study, name) if study.is_posterior(name) else None
    from neuroinverse.estimators.modelfile import signal_table
    from neuroinverse.shards import is_dataset
    from neuroinverse.traces import read_recording

    if file is None or is_dataset(file):
        return
    try:
        read_recording(file, signal_table(signal))
    except NeuroinverseError as error:
        raise ConfigError(f"estimators.{name}.observation: {error}") from error


def _check_sizes(study, name: str, estimator: Mapping) -> None:
    dataset, scaling = study.training_dataset(name), estimator.get("scaling", ())
    if scaling and study.sampling(dataset)[1]:
        raise ConfigError(
            f"estimators.{name}.scaling: the first simulations of {dataset} are no smaller dataset of its kind; "
            "only randomly sampled datasets scale"
        )
    for n in [study.n(dataset), *scaling]:
        if n < 2 * estimator["folds"]:
            raise ConfigError(f"estimators.{name}: {n} training simulations are too few for {estimator['folds']} folds")
        if scaling and n % study.shard_size:
            raise ConfigError(
                f"estimators.{name}.scaling: {n} must be a multiple of datasets.shard_size "
                f"({study.shard_size}), so that all sizes share their shards"
            )


def _check_network(study) -> None:
    if not study.network_datasets:
        return
    examples, phase = study.network_datasets
    require_known("network.examples", [examples], study.datasets)
    require_known("network.phase", [phase], study.datasets)
    simulator = make_simulator(study.scenario(examples))
    if not getattr(simulator, "populations", None):
        raise ConfigError(f"network: {type(simulator).__name__} is no network; remove the section")
    if "raster" not in study.signals_of(examples):
        raise ConfigError(f"network.examples: the dataset {examples} has no raster; give it the option raster")
    if (study.sampling(phase)[1] or {}).get("kind") != "grid":
        raise ConfigError(f"network.phase: the dataset {phase} is not on a grid; give it sampling: grid")
