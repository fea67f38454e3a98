"""Forward models: one module per simulator."""

import importlib
from collections.abc import Mapping
from pathlib import Path

from neuroinverse.errors import ConfigError
from neuroinverse.simulators import mod_files, user_module
from neuroinverse.simulators.base import Simulator
from neuroinverse.simulators.contract import check_class, check_signals

# name in a study: module and class
SIMULATORS = {
    "ball_and_stick": "ball_and_sticks:BallAndStick",
    "ball_and_sticks": "ball_and_sticks:BallAndSticks",
    "brunel": "brunel:Brunel",
    "cell_template": "cell_template:CellTemplate",
    "hnn_cell": "hnn_cell:HnnCell",
    "hnn_column": "hnn_column:HnnColumn",
    "hh_point": "hh_point:HHPoint",
    "izhikevich": "izhikevich:Izhikevich",
    "mainen": "mainen:Mainen",
    "pospischil": "pospischil:Pospischil",
}

MECHANISMS = Path(__file__).parent / "mechanisms"


def simulator_class(simulator: dict) -> type[Simulator]:
    """Finds the class that a study's `simulator` section names.

    Args:
        simulator: `name` of a simulator of the package, or `path` and `class` of the user's own.

    Raises:
        ConfigError: If there is no such simulator.
    """
    if "name" in simulator:
        name = simulator["name"]
        if name not in SIMULATORS:
            raise ConfigError(
                f"simulator.name: unknown simulator {name!r}; known: {', '.join(SIMULATORS)}. "
                "For a simulator of your own give path and class"
            )
        module, class_name = SIMULATORS[name].split(":")
        found = getattr(importlib.import_module(f"neuroinverse.simulators.{module}"), class_name)
        return found.for_section(simulator)
    path = Path(simulator["path"])
    module = user_module.load(path, "simulator.path")
    found = getattr(module, simulator["class"], None)
    if not (isinstance(found, type) and issubclass(found, Simulator)):
        others = [n for n, c in vars(module).items() if isinstance(c, type) and issubclass(c, Simulator)]
        others = ", ".join(n for n in others if n != "Simulator") or "none"
        raise ConfigError(
            f"simulator.class: {path} has no subclass of Simulator named {simulator['class']!r}; it has {others}"
        )
    check_class(found, "simulator.class")
    return found.for_section(simulator)


def mechanism_files(simulator: dict) -> list[Path]:
    """The MOD files of a study's simulator: beside the user's own file where they stand there, else the package's.

    Raises:
        ConfigError: If one does not exist, or has a mechanism of NEURON's own.
    """
    found_class = simulator_class(simulator)
    beside = Path(simulator["path"]).parent if "path" in simulator else found_class.mechanism_folder or MECHANISMS
    files = []
    for name in found_class.mechanisms:
        found = [folder / name for folder in (beside, MECHANISMS) if (folder / name).is_file()]
        if not found:
            raise ConfigError(f"simulator: mechanism {name} is neither in {beside} nor among those of the package")
        files.append(found[0])
    if "path" in simulator:
        mod_files.check([mod_files.read(f) for f in files if f.suffix == ".mod"], "simulator.mechanisms")
    return files


def source_files(simulator: Simulator, section: dict) -> list[Path]:
    """Files behind the traces beside mechanisms and kernel: what the simulator says, and what a user's one names.

    Args:
        simulator: The simulator.
        section: The study's `simulator` section.

    Raises:
        ConfigError: If one does not exist.
    """
    given, where = simulator.files(), f"simulator: {type(simulator).__name__}.files()"
    if isinstance(given, str | Path) or not all(isinstance(file, str | Path) for file in given):
        raise ConfigError(f"{where} gave {given!r}; expected several paths, such as (Path('us/table.npy'),)")
    files = list(map(Path, given))
    for file in files:
        if file.is_dir():
            raise ConfigError(f"{where}: {file} is a folder; name the files in it")
        if not file.is_file():
            raise ConfigError(f"{where}: {file} does not exist; it counts from where Snakemake runs, {Path.cwd()}")
    if "path" in section:
        # MOD files enter by themselves
        there = {f.resolve() for f in [*files, *mechanism_files(section)]}
        named = user_module.named_files(Path(section["path"]), "simulator.path")
        files += [file for file in named if file.resolve() not in there]
    return files


def make_simulator(spec: dict, library: Path | None = None, kernel: Path | None = None) -> Simulator:
    """Makes the simulator of a dataset's specification, with its parameters, protocol and options.

    Args:
        spec: The dataset's specification: `simulator`, `parameters`, `protocol`, `master_seed`.
        library: Compiled mechanisms, where the simulator has some.
        kernel: What `compute_kernel` made, where the simulator needs it.
    """
    section = spec["simulator"]
    found = simulator_class(section)

    def make() -> Simulator:
        return found(
            free=[p["name"] for p in spec["parameters"]],
            protocol=spec["protocol"],
            fixed=section.get("fixed"),
            engine=section.get("engine"),
            options=section.get("options"),
            library=library,
            kernel=kernel,
            master_seed=spec["master_seed"],
        )

    if "path" not in section:
        return make()
    with user_module.running(f"simulator.class: {found.__name__} cannot be made"):
        simulator = make()
        check_signals(simulator)
    return simulator


def describe(settings: Mapping) -> list[str]:
    """What a user's files were taken for, a line each, over all datasets of a study.

    Args:
        settings: The study's settings; a dataset's own options count.

    Raises:
        ConfigError: If a simulator cannot be made or described.
    """
    lines: dict[str, None] = {}
    section = settings.get("simulator", {})
    own = [d["options"] for d in settings.get("datasets", {}).values() if isinstance(d, Mapping) and d.get("options")]
    for options in [{}, *own] if section else ():
        simulator = make_simulator(
            {
                "simulator": {**section, "options": {**section.get("options", {}), **options}},
                "parameters": settings["parameters"],
                "protocol": settings["protocol"],
                "master_seed": 0,
            }
        )
        with user_module.running(f"simulator: {type(simulator).__name__}.describe()"):
            lines |= dict.fromkeys(map(str, simulator.describe()))
    return list(lines)
