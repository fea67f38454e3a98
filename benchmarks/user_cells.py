"""Cells that are not ours, brought as a user would: whether they load, how large they are, and what the guard says.

    python benchmarks/user_cells.py            all
    python benchmarks/user_cells.py NAME ...   only these, printed and not recorded

Morphologies and templates come from packages of others, downloaded as pinned into a temporary folder: nothing of them
is in this repository. A morphology becomes that of the study `mainen_10`, a template a study of its own
(user_templates.py). Each has a process to itself. For every one the figures say whether it was loaded and what the
guard found; a refusal is quoted. Areas are those of NEURON's sections against a calculation without NEURON: for SWC
files by the rules of the format, as written out below; for .asc files on MorphIO's points; for cylinders and printed
areas from the package itself.
"""

import argparse
import math
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from contextlib import chdir
from multiprocessing import get_context
from pathlib import Path

import yaml

from neuroinverse.config import load_study
from neuroinverse.errors import NeuroinverseError
from neuroinverse.guard import examine
from neuroinverse.provenance import cores, digest
from neuroinverse.records import write_record
from neuroinverse.simulators import make_simulator
from neuroinverse.simulators.cable_cell import standing_cell
from neuroinverse.simulators.morphology import load_swc
from neuroinverse.simulators.neuron_batch import interpreter
from neuroinverse.stages import compile_mechanisms
from user_templates import TEMPLATES, frustum

REQUIREMENTS = Path(__file__).with_name("requirements-user-cells.txt").resolve()
STUDIES = Path(__file__).parents[1] / "config" / "studies"
DBBS, ARBOR, TREEM = "dbbs_models/morphologies", "arbor-0.12.1", "treem-1.2.0/tests/data"
BLUEPYOPT = "bluepyopt-1.14.26/examples"
MORPHOLOGIES = {
    "dbbs_basket": f"{DBBS}/BasketCell.swc",
    "dbbs_golgi": f"{DBBS}/GolgiCell.swc",
    "dbbs_granule": f"{DBBS}/GranuleCell.swc",
    "dbbs_purkinje": f"{DBBS}/PurkinjeCell.swc",
    "dbbs_stellate": f"{DBBS}/StellateCell.swc",
    "arbor_allen": f"{ARBOR}/python/example/single_cell_allen.swc",
    "arbor_detailed": f"{ARBOR}/python/example/single_cell_detailed.swc",
    "arbor_pyramidal": f"{ARBOR}/test/swc/pyramidal.swc",
    "arbor_ball_and_stick": f"{ARBOR}/test/swc/ball_and_stick.swc",
    "arbor_flywire": f"{ARBOR}/test/swc/720575940661205633.swc",
    "navis_hemibrain": "navis/data/swc/1734350788.swc",
    "treem_neuromorpho": f"{TREEM}/pass_nmo_1.swc",
    "treem_neuromorpho_cut": f"{TREEM}/pass_nmo_2_cut.swc",
    "treem_mouselight": f"{TREEM}/pass_mouselight_1.swc",
    "treem_allen_roots": f"{TREEM}/fail_allen_2.swc",
    "treem_simple_branch": f"{TREEM}/pass_simple_branch.swc",
    "bluepyopt_simple_swc": f"{BLUEPYOPT}/simplecell/simple.swc",
    "bluepyopt_two_compartments": f"{BLUEPYOPT}/metaparameters/twocompartment.swc",
}
PROTOCOL = {"dt_ms": 0.025, "duration_ms": 60}
STEP = {"kind": "step", "start_ms": 10, "stop_ms": 50, "amplitude": 0.3, "unit": "nA"}


def fetch(folder: Path) -> None:
    """Downloads the packages and unpacks them."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "-r", REQUIREMENTS]
    subprocess.run(command, cwd=folder, check=True)
    for file in folder.glob("*.whl"):
        zipfile.ZipFile(file).extractall(folder)
    for file in folder.glob("*.tar.gz"):
        with tarfile.open(file) as archive:
            archive.extractall(folder, filter="data")


def swc_areas(path: Path) -> dict[str, float]:
    """Areas (µm²) of an SWC file by the rules of the format: soma and dendrites, without the axon.

    A point and its parent are the side of a cone. From the soma to a neurite there is no membrane, but where the
    neurite is one point: that is a cylinder. A soma of one point is a sphere, and so is that of three which stands for
    one. Types that say nothing, 0 and those above 4, are those of the branch that they are on.
    """
    points, children = {}, defaultdict(list)
    for line in path.read_text(errors="replace").splitlines():
        values = line.partition("#")[0].split()
        if values:
            number, kind, x, y, z, radius, parent = map(float, values[:7])
            points[number] = int(kind), (x, y, z), radius, parent
            children[parent].append(number)
    kinds = settled(points, children)
    areas, soma = {"soma": 0.0, "dendrites": 0.0}, [i for i, kind in kinds.items() if kind == 1]
    for i, (_, at, radius, parent) in points.items():
        if parent not in points or kinds[i] == 2:
            continue
        _, base, thickness, _ = points[parent]
        if (kinds[i] == 1) == (kinds[parent] == 1):
            areas["soma" if kinds[i] == 1 else "dendrites"] += frustum(math.dist(at, base), radius, thickness)
        elif not children[i]:
            areas["dendrites"] += 2 * math.pi * radius * math.dist(at, base)
    centre, radius = points[soma[0]][1:3]
    steps = [math.dist(centre, points[i][1]) for i in children[soma[0]] if kinds[i] == 1]
    if len(soma) == 1 or (len(soma) == 3 and len(steps) == 2 and abs(sum(steps) / 2 / radius - 1) < 0.01):
        areas["soma"] = 4 * math.pi * radius**2
    return areas


def settled(points: dict, children: dict) -> dict:
    """The type of every point: its own from 1 to 4, else that of its branch above, else of what comes below, else 3."""
    kinds, waiting = {}, [i for i, (*_, parent) in points.items() if parent not in points]
    while waiting:
        i = waiting.pop()
        waiting += children[i]
        kind, _, _, parent = points[i]
        if not 1 <= kind <= 4:
            kind = kinds.get(parent, 1)
            level = children[i]
            while kind == 1 and level:
                kind = next((points[j][0] for j in level if 2 <= points[j][0] <= 4), 1)
                level = [k for j in level for k in children[j]]
            kind = 3 if kind == 1 else kind
        kinds[i] = kind
    return kinds


def parameter(entry: dict) -> dict:
    """A parameter of a study from what a template varies: half to twice its value."""
    default = entry.get("default", 1.0)
    return {"name": entry["parameter"], "unit": entry.get("unit", "1"), "low": default / 2, "high": 2 * default}


def study_of(name: str, sources: Path, folder: Path) -> tuple[Path, dict[str, float]]:
    """Writes a study about a cell; returns its file and the areas to compare with."""
    study = yaml.safe_load((STUDIES / "mainen_10.yaml").read_text())
    study["protocol"] = PROTOCOL | {"stimulus": STEP}
    study["estimators"]["cnn"] = {k: v for k, v in study["estimators"]["cnn"].items() if k != "cross"}
    if name in MORPHOLOGIES:
        path = (sources / MORPHOLOGIES[name]).resolve()
        study["simulator"]["options"], areas = {"morphology": str(path)}, swc_areas(path)
    else:
        options, areas = TEMPLATES[name](sources, folder)
        study["simulator"] = {"name": "cell_template", "options": options}
        study["parameters"] = [parameter(entry) for entry in options["vary"]]
    study["scales"] = {scale: {} for scale in ("smoke", "demo", "paper")}
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(study))
    return file, areas


def made_areas(simulator) -> dict[str, float]:
    """Areas (µm²) of a template's cell in NEURON, by the names of its sections."""
    areas: dict[str, float] = {}
    for section in standing_cell(simulator).regions["all"]:
        name = section.name().rpartition(".")[2].partition("[")[0]
        areas[name] = areas.get(name, 0.0) + sum(segment.area() for segment in section)
    return areas


def morphology_areas(path: Path) -> dict[str, float]:
    """Areas (µm²) of a morphology in NEURON: soma and the rest."""
    areas = {"soma": 0.0, "dendrites": 0.0}
    for kind, section in load_swc(interpreter(), str(path)):
        if kind != "axon":
            areas["soma" if kind == "soma" else "dendrites"] += sum(segment.area() for segment in section)
    return areas


def measure(name: str, sources: Path) -> dict:
    """What became of one cell: figures by the last part of their names, with `found` in words where it was refused."""
    sys.path.append(str(sources))
    found = {"loaded": 0, "area_um2": "", "area_error_percent": "", "guard_passed": 0}
    refusals, warnings = [], []
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        # networks of estimators stand in the clone
        Path("config").symlink_to(STUDIES.parent)
        file, reference = study_of(name, sources, Path(folder))
        try:
            study, library = load_study(str(file), "demo", 0), None
            if study.mechanisms:
                library = sources / f"{digest(study.mechanisms_spec())}.so"
                if not library.is_file():
                    compile_mechanisms.run(library, study.mechanisms)
            spec = study.guard_spec()
            if name in MORPHOLOGIES:
                made = morphology_areas(sources / MORPHOLOGIES[name])
            else:
                made = made_areas(make_simulator(spec, library))
            found["loaded"] = 1
            own = {part: sum(a for name, a in made.items() if name.startswith(part)) for part in reference}
            found["area_um2"] = sum(own.values())
            # a part that must not be there would be all wrong
            errors = [
                abs(own[part] - area) / area if area else float(own[part] > 0) for part, area in reference.items()
            ]
            found["area_error_percent"] = 100 * max(errors)
            examined = examine(spec, library)
            refusals, warnings = examined.problems, examined.warnings
            found["guard_passed"] = int(not refusals)
        except NeuroinverseError as error:
            refusals = [str(error)]
    for words in warnings:
        print(f"{name}: warning: {words}")
    if refusals:
        found["found"] = " ".join(refusals).replace(f"{sources.resolve()}/", "").replace(f"{folder}/", "")
    return found


def main() -> None:
    """Measures all cells and writes docs/records/user_cells.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    names = parser.parse_args().names or [*TEMPLATES, *MORPHOLOGIES]
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        fetch(Path(folder))
        # a process for each: NEURON keeps mechanisms and templates for good
        with ProcessPoolExecutor(cores(), get_context("spawn"), max_tasks_per_child=1) as pool:
            for name, found in zip(names, pool.map(measure, names, [Path(folder)] * len(names)), strict=True):
                print(name, found, flush=True)
                figures |= {f"{name}_{key}": value for key, value in found.items()}
    totals = {"cells": len(names)}
    for key in ("loaded", "guard_passed"):
        totals[key] = sum(value for name, value in figures.items() if name.endswith(f"_{key}"))
    totals["refused"] = totals["cells"] - totals["loaded"]
    errors = [value for name, value in figures.items() if name.endswith("_area_error_percent") and value != ""]
    totals["area_error_percent_largest"] = max(errors, default="")
    print(totals)
    if len(names) == len(TEMPLATES) + len(MORPHOLOGIES):
        write_record("user_cells", "python benchmarks/user_cells.py", totals | figures)


if __name__ == "__main__":
    main()
