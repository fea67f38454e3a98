"""A ball with one stick, and a ball with two kinds of sticks, with the channels of Mainen and Sejnowski's cells.

Balewski J et al. (2019) Characterization of neuron physiology by regression of its time-dependent response with CNN.
What that publication leaves to NEURON's defaults is NEURON's here too: axial resistance 35.4 Ohm cm, reversal
potentials 50 (sodium), -77 (potassium), 132.458 (calcium) and -70 mV (leak), start at -65 mV.
"""

from neuroinverse.errors import ConfigError
from neuroinverse.simulators.base import ParameterInfo
from neuroinverse.simulators.cable_cell import CableCell, Cell, Setting, insert, segments

SOMA_UM = 21.0
STICK_UM = 10 * SOMA_UM
STICK_DIAMETER_UM = SOMA_UM / 10
# key of the parameters: mechanism, its parameter, unit, default, words
DENSITIES = {
    "gnabar": ("mainen_na", "gbar", "pS/um2", 500.0, "sodium conductance"),
    "gkbar": ("mainen_kv", "gbar", "pS/um2", 10.0, "potassium conductance"),
    "gcabar": ("mainen_ca", "gbar", "pS/um2", 1.5, "calcium conductance"),
    "gl": ("pas", "g", "S/cm2", 5e-4, "leak conductance"),
}


def _parameters(parts: dict[str, str]) -> dict[str, ParameterInfo]:
    table = {
        f"{key}_{part}": ParameterInfo(unit, default, f"{words} of {of}")
        for key, (_, _, unit, default, words) in DENSITIES.items()
        for part, of in parts.items()
    }
    return table | {"cm": ParameterInfo("uF/cm2", 0.5, "membrane capacitance")}


class BallAndStick(CableCell):
    """A soma of 21 x 21 um with one dendrite of 210 x 2.1 um; up to 9 parameters.

    Options beside those of every cable cell: `leak`, "tied" (gl_soma holds in all parts; the default) or "by_part";
    `na_shift_mV`, the voltage shift of the sodium kinetics (-10, the default of the mechanism that was published).
    """

    parts = {"soma": "the soma", "dend": "the dendrite"}
    parameters = _parameters(parts)
    mechanisms = ("mainen_na.mod", "mainen_kv.mod", "mainen_ca.mod")
    options = (*CableCell.options, "leak", "na_shift_mV")
    site_names = ("soma", "dend")
    core_us_per_step = 8.0
    v_init = -65.0
    celsius = 37.0

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        leak, shift = self.settings.get("leak", "tied"), self.settings.get("na_shift_mV", -10.0)
        if leak not in ("tied", "by_part"):
            raise ConfigError(f"simulator.options.leak is {leak!r}; expected tied or by_part")
        if not isinstance(shift, int | float) or isinstance(shift, bool):
            raise ConfigError(f"simulator.options.na_shift_mV is {shift!r}; expected a number")
        self.tied, self.na_shift_mV = leak == "tied", float(shift)
        own = [name for name in (f"gl_{part}" for part in list(self.parts)[1:]) if name in self._given]
        if self.tied and own:
            raise ConfigError(
                f"simulator.options.leak is tied: gl_soma holds in all parts, and {', '.join(own)} would count for "
                "nothing; remove it, or write leak: by_part"
            )

    def sticks(self) -> list[tuple[str, float, float]]:
        """Part, length (um) and end of the soma of every stick."""
        return [("dend", STICK_UM, 1.0)]

    def build(self, h):
        soma = h.Section(name="soma")
        soma.L = soma.diam = SOMA_UM
        regions = {"soma": [soma]}
        for part, length, end in self.sticks():
            stick = h.Section(name=part)
            stick.L, stick.diam = length, STICK_DIAMETER_UM
            stick.nseg = segments(length, self.max_segment_um)
            stick.connect(soma(end), 0)
            regions.setdefault(part, []).append(stick)
        for section in (s for region in regions.values() for s in region):
            insert(section, "mainen_na", "mainen_kv", "mainen_ca", "pas")
            section.Ra = 35.4
            section.ena, section.ek, section.eca = 50.0, -77.0, 132.458
            for segment in section:
                segment.pas.e = -70.0
                segment.mainen_na.shift = self.na_shift_mV
        ends = {part: regions[part][0](1) for part in regions if part != "soma"}
        return Cell(regions, {"soma": soma(0.5)} | ends)

    def settings_of(self, values):
        found = [Setting(part, None, "cm", values["cm"]) for part in self.parts]
        for key, (mechanism, name, *_) in DENSITIES.items():
            for part in self.parts:
                source = "soma" if key == "gl" and self.tied else part
                found.append(Setting(part, mechanism, name, values[f"{key}_{source}"]))
        return found


class BallAndSticks(BallAndStick):
    """A soma of 21 x 21 um with an apical dendrite of 210 x 2.1 um and two basal ones of a quarter of its length.

    Up to 13 parameters; options as those of BallAndStick.
    """

    parts = {"soma": "the soma", "apical": "the apical dendrite", "basal": "the basal dendrites"}
    parameters = _parameters(parts)
    site_names = ("soma", "apical", "basal")

    def sticks(self):
        return [("apical", STICK_UM, 1.0), ("basal", STICK_UM / 4, 0.0), ("basal", STICK_UM / 4, 0.0)]
