"""Mainen and Sejnowski's neocortical cell: any reconstructed dendrites, a standard axon, one set of channels.

Mainen ZF, Sejnowski TJ (1996) Influence of dendritic structure on firing pattern in model neocortical neurons. Nature
382:363-366. Parameters and ranges of the regression: Balewski J et al. (2019).
"""

import math
from pathlib import Path

from neuroinverse.errors import ConfigError
from neuroinverse.simulators.base import ParameterInfo
from neuroinverse.simulators.cable_cell import CableCell, Cell, Setting, insert, segments
from neuroinverse.simulators.swc import READING, read_setting

MORPHOLOGY = Path(__file__).parent / "morphologies" / "spiny_stellate.swc"
RESISTANCE_OHM_CM = 150.0
E_PAS_MV, E_K_MV, E_NA_MV, E_CA_MV = -70.0, -90.0, 60.0, 140.0
MYELIN_CM = 0.04  # uF/cm2
NODE_G_PAS = 0.02  # S/cm2
# per um of dendrite, and um2 each
SPINE_DENSITY, SPINE_AREA = 1.0, 0.83
MYELIN_PIECES = 5


class Mainen(CableCell):
    """The 10-parameter cell. Conductances are those at 23 degC; at 37 degC they and the rates are 3.2 times as large.

    Options beside those of every cable cell: `morphology`, an SWC file whose soma and dendrites are taken (a spiny
    stellate cell that comes with the package); `spines`, whether spines are folded into the dendrites (true).
    Sites: the soma, the middle of the axon's initial segment, and the tip of the longest dendrite, an apical one where
    the file has some.
    """

    parameters = {
        "gna_dend": ParameterInfo("pS/um2", 20.0, "sodium conductance of dendrites and myelin"),
        "gna_node": ParameterInfo("pS/um2", 30000.0, "sodium conductance of hillock, initial segment and nodes"),
        "gna_soma": ParameterInfo("pS/um2", 20.0, "sodium conductance of the soma"),
        "gkv_axon": ParameterInfo("pS/um2", 2000.0, "fast potassium conductance of hillock and initial segment"),
        "gkv_soma": ParameterInfo("pS/um2", 200.0, "fast potassium conductance of the soma"),
        "gkm_dend": ParameterInfo("pS/um2", 0.1, "slow potassium conductance of soma and dendrites"),
        "gkca_dend": ParameterInfo("pS/um2", 3.0, "calcium-dependent potassium conductance of soma and dendrites"),
        "gca_dend": ParameterInfo("pS/um2", 0.3, "calcium conductance of soma and dendrites"),
        "c_m": ParameterInfo("uF/cm2", 0.75, "membrane capacitance of all but myelin"),
        "rm": ParameterInfo("Ohm*cm2", 30000.0, "membrane resistance of all but nodes"),
        "kca_rate": ParameterInfo("1/ms/mM", 0.01, "activation of the calcium-dependent channel by calcium"),
    }
    mechanisms = tuple(f"mainen_{name}.mod" for name in ("na", "kv", "km", "kca", "ca", "cad"))
    options = (*CableCell.options, "morphology", "spines")
    site_names = ("soma", "axon", "dendrite")
    v_init = -70.0
    celsius = 37.0

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.morphology = Path(str(self.settings.get("morphology", MORPHOLOGY)))
        self.spines = self.settings.get("spines", True)
        if not isinstance(self.spines, bool):
            raise ConfigError(f"simulator.options.spines is {self.spines!r}; expected true or false")
        self._cell = read_setting("simulator.options.morphology", self.morphology)
        self.revision = 0 if self.morphology == MORPHOLOGY else READING

    def files(self):
        return (self.morphology,)

    def describe(self):
        return self._cell.describe()

    def build(self, h):
        somata, dendrites, tip = self._soma_and_dendrites(h)
        axon = self._axon(h, somata)
        regions = {"soma": somata, "dendrites": dendrites} | axon
        for name, sections in regions.items():
            for section in sections:
                self._insert(h, section, name)
        sites = {"soma": somata[len(somata) // 2](0.5), "axon": axon["initial_segment"][0](0.5), "dendrite": tip}
        return Cell(regions, sites)

    def _soma_and_dendrites(self, h):
        """The file's cell with spines folded into its points.

        The points stay, and with them the axial resistance of dendrites whose diameter varies within a compartment.
        Cylinders of the same area would resist less: in the layer 5 pyramid of the package 1.4 times on average, and of
        its burst of four spikes at 200 pA two would remain.

        Returns:
            Sections of the soma, those of the dendrites, and the segment at the tip of the longest one.
        """
        from neuroinverse.simulators.morphology import load_swc

        loaded = load_swc(h, str(self.morphology))
        for kind, section in loaded:
            section.nseg = segments(section.L, self.max_segment_um)
            if self.spines and kind != "soma":
                _fold_spines(section)
        somata = [section for kind, section in loaded if kind == "soma"]
        dendrites = [section for kind, section in loaded if kind != "soma"]
        longest = [section for kind, section in loaded if kind == "apical"] or dendrites or somata
        origin = somata[0](0.5)
        return somata, dendrites, max((section(1) for section in longest), key=lambda end: h.distance(origin, end))

    def _axon(self, h, somata) -> dict[str, list]:
        """Hillock, initial segment, and myelin with nodes; sizes follow from the area of the soma."""
        area = sum(segment.area() for section in somata for segment in section)
        diameter = math.sqrt(area / (4 * math.pi)) / 10

        def piece(name, length, thickness, nseg, parent):
            section = h.Section(name=name)
            section.L, section.diam, section.nseg = length, thickness, nseg
            section.connect(parent, 0)
            return section

        hillock = piece("hillock", 10, diameter, 5, somata[len(somata) // 2](0.5))
        for segment in hillock:
            segment.diam = diameter * (4 - 3 * segment.x)
        initial = piece("initial_segment", 15, diameter, 5, hillock(1))
        axon = {"hillock": [hillock], "initial_segment": [initial], "myelin": [], "nodes": []}
        end = initial
        for i in range(MYELIN_PIECES):
            axon["myelin"].append(piece(f"myelin{i}", 100, diameter, 5, end(1)))
            end = piece(f"node{i}", 1, 0.75 * diameter, 1, axon["myelin"][-1](1))
            axon["nodes"].append(end)
        return axon

    def _insert(self, h, section, region: str) -> None:
        section.Ra = RESISTANCE_OHM_CM
        insert(section, "pas", "mainen_na")
        section.ena = E_NA_MV
        if region in ("soma", "hillock", "initial_segment"):
            insert(section, "mainen_kv")
        if region in ("soma", "dendrites"):
            insert(section, "mainen_km", "mainen_ca", "mainen_kca", "mainen_cad")
            # the concentration is the pool's; the reversal potential stays
            h.ion_style("ca_ion", 3, 1, 0, 0, 0, sec=section)
            section.eca = E_CA_MV
        if region not in ("myelin", "nodes"):
            section.ek = E_K_MV
        if region == "myelin":
            section.cm = MYELIN_CM
        for segment in section:
            segment.pas.e = E_PAS_MV
            if region == "nodes":
                segment.pas.g = NODE_G_PAS

    def settings_of(self, values):
        sodium = {"soma": "gna_soma", "dendrites": "gna_dend", "myelin": "gna_dend"}
        regions = ("soma", "dendrites", "hillock", "initial_segment", "myelin", "nodes")
        found = [Setting(r, "mainen_na", "gbar", values[sodium.get(r, "gna_node")]) for r in regions]
        found += [Setting(r, None, "cm", values["c_m"]) for r in regions if r != "myelin"]
        found += [Setting(r, "pas", "g", 1 / values["rm"]) for r in regions if r != "nodes"]
        found += [Setting(r, "mainen_kv", "gbar", values["gkv_axon"]) for r in ("hillock", "initial_segment")]
        found.append(Setting("soma", "mainen_kv", "gbar", values["gkv_soma"]))
        for region in ("soma", "dendrites"):
            found += [Setting(region, f"mainen_{c}", "gbar", values[f"g{c}_dend"]) for c in ("km", "kca", "ca")]
            found.append(Setting(region, "mainen_kca", "ralpha", values["kca_rate"]))
        return found


def _fold_spines(section) -> None:
    """Spreads the spines' membrane over their dendrite (Jack et al. 1989): area and length grow, the shape stays."""
    area = sum(segment.area() for segment in section)
    factor = (section.L * SPINE_DENSITY * SPINE_AREA + area) / area
    longer, thicker = factor ** (2 / 3), factor ** (1 / 3)
    points = [(section.x3d(i), section.y3d(i), section.z3d(i), section.diam3d(i)) for i in range(section.n3d())]
    for i, (x, y, z, diameter) in enumerate(points):
        section.pt3dchange(i, longer * x, longer * y, longer * z, thicker * diameter)
