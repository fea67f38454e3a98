"""Cells of other packages as a user would bring them: templates, MOD files, and what is varied. See user_cells.py.

Each function writes what the user has to write into a folder, beside copies of the package's files, and gives the
study's `simulator.options`, and the areas to compare with, not from NEURON: µm² by how the sections' names begin.
"""

import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def relative(parameter: str, region: str, mechanism: str, name: str) -> dict:
    """A factor on the template's own values."""
    return {"parameter": parameter, "regions": [region], "mechanism": mechanism, "name": name, "relative": True}


def hnn_core(name: str) -> Callable:
    """One of hnn-core's four cells, with the package's own compiled mechanisms."""

    def write(sources: Path, folder: Path) -> tuple[dict, dict]:
        from hnn_core import basket, pyramidal

        kind = "pyramidal" if "pyramidal" in name else "basket"
        made = {"pyramidal": pyramidal, "basket": basket}[kind](name)
        (folder / "cell.py").write_text(
            f"""
def make_cell(h):
    from hnn_core import {kind}
    from hnn_core.network_builder import load_custom_mechanisms

    load_custom_mechanisms(net_verbose=False)
    cell = {kind}("{name}")
    cell.build()
    return cell._nrn_sections
"""
        )
        options = {
            "template": {"path": "cell.py", "name": "make_cell", "packages": ["hnn-core"]},
            "regions": {"all": list(made.sections)},
            "vary": [relative("gna", "all", "hh2", "gnabar"), relative("gk", "all", "hh2", "gkbar")],
            "v_init": -72,
        }
        # sections are cylinders
        return options, {"": sum(math.pi * s.L * s.diam for s in made.sections.values())}

    return write


def bluepyopt_hoc(example: str, script: str, morphology: str, name: str, mechanisms: bool = True) -> Callable:
    """A template that BluePyOpt's create_hoc writes for one of its examples, with a line of Python around it."""

    def write(sources: Path, folder: Path) -> Path:
        home = sources / "bluepyopt-1.14.26" / "examples" / example
        done = subprocess.run([sys.executable, "-c", script], cwd=home, capture_output=True, text=True, check=True)
        (folder / "cell.hoc").write_text(done.stdout)
        shutil.copy(home / morphology, folder)
        around_hoc(folder, name, Path(morphology).name)
        if mechanisms:
            shutil.copytree(home / "mechanisms", folder / "mechanisms")
        return folder / Path(morphology).name

    return write


def around_hoc(folder: Path, name: str, morphology: str) -> None:
    """A Python template around one in HOC that takes its morphology as arguments."""
    (folder / "cell.py").write_text(
        f"""
def make_cell(h):
    h.load_file("cell.hoc")
    return h.{name}(".", "{morphology}")
"""
    )


TEMPLATE = {"path": "cell.py", "name": "make_cell"}


def bluepyopt_options(vary: list, celsius: float, **others) -> dict:
    """What a study says of a template that BluePyOpt wrote."""
    sites = {"soma": "soma[0](0.5)"}
    return {"template": TEMPLATE, "sites": sites, "vary": vary, "celsius": celsius, **others}


def l5pc(sources: Path, folder: Path) -> tuple[dict, dict]:
    """Layer 5 pyramidal cell of Hay et al. (2011) in BluePyOpt's l5pc."""
    script = "import runpy; runpy.run_path('generate_hoc.py', run_name='__main__')"
    file = bluepyopt_hoc("l5pc", script, "morphology/C060114A7.asc", "l5pc")(sources, folder)
    vary = [
        relative("gna", "soma", "NaTs2_t", "gNaTs2_tbar"),
        relative("gk", "soma", "SKv3_1", "gSKv3_1bar"),
        relative("gca", "soma", "Ca_HVA", "gCa_HVAbar"),
        relative("gh", "apical", "Ih", "gIhbar"),
    ]
    return bluepyopt_options(vary, 34, mechanisms=["mechanisms"], v_init=-65), asc_areas(file)


def thalamocortical(sources: Path, folder: Path) -> tuple[dict, dict]:
    """Thalamocortical cell of Iavarone et al. (2019) in BluePyOpt's examples."""
    script = """
import csv, json, sys
sys.path.insert(0, "CellEvalSetup")
import template
cell = template.create(json.load(open("config/recipes.json")), "cAD_ltb")
values = map(float, next(csv.reader(open("results/cAD_ltb_params.csv"))))
names = [p.name for p in cell.params.values() if not p.frozen]
print(cell.create_hoc(dict(zip(names, values))))
"""
    file = bluepyopt_hoc("thalamocortical-cell", script, "morphologies/jy160728_A_idA.asc", "cAD_ltb")(sources, folder)
    vary = [
        relative("gna", "soma", "TC_HH", "gna_max"),
        relative("gt", "basal", "TC_iT_Des98", "pcabar"),
        relative("gh", "basal", "TC_ih_Bud97", "gh_max"),
    ]
    return bluepyopt_options(vary, 34, mechanisms=["mechanisms"], v_init=-79), asc_areas(file)


def simplecell(sources: Path, folder: Path) -> tuple[dict, dict]:
    """BluePyOpt's simplecell: Hodgkin and Huxley's channels on a ball."""
    script = "import runpy; runpy.run_path('generate_hoc.py', run_name='__main__')"
    bluepyopt_hoc("simplecell", script, "simple.swc", "simple_cell", mechanisms=False)(sources, folder)
    vary = [relative("gna", "soma", "hh", "gnabar"), relative("gk", "soma", "hh", "gkbar")]
    return bluepyopt_options(vary, 6.3), {"soma": math.pi * 10 * 10}


def stochastic(deterministic: bool) -> Callable:
    """BluePyOpt's stochkv: a potassium channel that draws random numbers in its MOD file."""

    def write(sources: Path, folder: Path) -> tuple[dict, dict]:
        home = sources / "bluepyopt-1.14.26" / "examples" / "stochkv"
        shutil.copy(home / f"stochkv3cell{'_det' if deterministic else ''}.hoc", folder / "cell.hoc")
        shutil.copy(home / "morphology" / "simple.swc", folder)
        around_hoc(folder, "stochkv3_cell", "simple.swc")
        (folder / "mechanisms").mkdir()
        shutil.copy(home / "mechanisms" / "StochKv3.mod", folder / "mechanisms")
        vary = [relative("gk", "soma", "StochKv3", "gkbar"), relative("gl", "soma", "pas", "g")]
        return bluepyopt_options(vary, 34, mechanisms=["mechanisms"]), {"soma": math.pi * 10 * 10}

    return write


def neuron_pyramid(sources: Path, folder: Path) -> tuple[dict, dict]:
    """The pyramidal cell of NEURON's demonstration, with its channels of Hodgkin and Huxley."""
    import neuron

    file = Path(neuron.__file__).parent / ".data" / "share" / "nrn" / "demo" / "pyramid.nrn"
    shutil.copy(file, folder)
    (folder / "cell.py").write_text(
        """
def make_cell(h):
    before = set(h.allsec())
    h.load_file(1, "pyramid.nrn")
    made = [s for s in h.allsec() if s not in before]
    for section in made:
        section.nseg = int(section.L / 50) + 1
        section.insert("hh" if section.name() == "soma" else "pas")
    return {"soma": made[0], "dendrites": made[1:]}
"""
    )
    options = {
        "template": TEMPLATE,
        "vary": [relative("gna", "soma", "hh", "gnabar"), relative("gl", "dendrites", "pas", "g")],
        "celsius": 15,
    }
    # the file's own account of its dendrites, by the program that wrote it
    area = re.search(r"um in length, ([\d.]+) um2", file.read_text(errors="replace"))[1]
    return options, {"dendrite": float(area)}


def asc_areas(file: Path) -> dict[str, float]:
    """Areas (µm²) of the dendrites of an .asc file, as MorphIO reads it."""
    import morphio

    names = {morphio.SectionType.basal_dendrite: "dend", morphio.SectionType.apical_dendrite: "apic"}
    areas = {}
    for section in morphio.Morphology(file).iter():
        if section.type in names:
            points, diameters = section.points.astype(float), section.diameters.astype(float)
            pieces = zip(points[:-1], points[1:], diameters[:-1] / 2, diameters[1:] / 2, strict=True)
            area = sum(frustum(math.dist(a, b), r, s) for a, b, r, s in pieces)
            areas[names[section.type]] = areas.get(names[section.type], 0.0) + float(area)
    return areas


def frustum(length: float, r: float, s: float) -> float:
    """The side (µm²) of a cone that was cut off."""
    return math.pi * (r + s) * math.hypot(length, r - s)


def asked(write: Callable, entry: dict) -> Callable:
    """The same cell, asked for something that cannot be varied there."""

    def write_it(sources: Path, folder: Path) -> tuple[dict, dict]:
        options, areas = write(sources, folder)
        return options | {"vary": [*options["vary"], entry]}, areas

    return write_it


# NEURON computes it from the calcium that CaDynamics_E2 writes
ECA = {"parameter": "eca", "unit": "mV", "regions": ["soma"], "mechanism": "ca_ion", "name": "eca", "default": 120.0}
# INITIAL computes it from gkbar and gamma
ETA = {
    "parameter": "eta",
    "unit": "/um2",
    "regions": ["soma"],
    "mechanism": "StochKv3",
    "name": "eta",
    "default": 100.0,
}
TEMPLATES: dict[str, Callable[[Path, Path], tuple[dict, dict]]] = {
    "hnn_l2_basket": hnn_core("L2_basket"),
    "hnn_l2_pyramidal": hnn_core("L2_pyramidal"),
    "hnn_l5_basket": hnn_core("L5_basket"),
    "hnn_l5_pyramidal": hnn_core("L5_pyramidal"),
    "bluepyopt_l5pc": l5pc,
    "bluepyopt_thalamocortical": thalamocortical,
    "bluepyopt_simplecell": simplecell,
    "bluepyopt_stochkv": stochastic(deterministic=False),
    "bluepyopt_stochkv_deterministic": stochastic(deterministic=True),
    "neuron_pyramid": neuron_pyramid,
    "bluepyopt_l5pc_eca": asked(l5pc, ECA),
    "bluepyopt_stochkv_eta": asked(stochastic(deterministic=False), ETA),
}
