"""What figures and reports have in common: sizes, colours, grids of panels, units and numbers as text."""

import math
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from neuroinverse.files import atomic
from neuroinverse.parameters import Parameter

# Okabe and Ito's colours, told apart with any colour vision
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#D55E00", "#009E73", "#CC3311", "#767676"
INK, PALE = "#222222", "#D9D9D9"

# inches; a report shows this width at 60 rem, so that 8 pt stay about 13 pixels
WIDTH = 8.0
DPI = 150

SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.formatter.limits": (-3, 4),
    "axes.formatter.use_mathtext": True,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "text.color": INK,
}

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def new_figure(height: float, width: float = WIDTH):
    """A figure without pyplot, so that nothing global is touched; call it within `styled()`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def styled():
    """Context in which matplotlib draws in the style of the reports."""
    import matplotlib

    return matplotlib.rc_context(SETTINGS)


def save(figure, path: Path | str) -> None:
    """Writes a figure as PNG, whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png", facecolor="white")


def panel_grid(count: int, panel_height: float | None = None, extra_height: float = 0.0):
    """A figure with a wrapped grid of panels, as square as the width allows.

    Args:
        count: Number of panels.
        panel_height: Height of a panel (inches); by default its width.
        extra_height: What its title needs in addition (inches).

    Returns:
        The figure and its panels in reading order; places that are not needed are empty.
    """
    columns = {1: 1, 2: 2, 4: 2}.get(count, 3 if count <= 6 else 4)
    rows = math.ceil(count / columns)
    # few panels do not grow beyond what the eye needs
    width = min(WIDTH, 3.4 * columns)
    height = extra_height + (panel_height if panel_height is not None else width / columns)
    figure = new_figure(height * rows, width)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for empty in axes[count:]:
        empty.remove()
    return figure, list(axes[:count])


def unit_text(unit: str) -> str:
    """A unit as it is printed: "uA/cm2" → "µA/cm²", "ohm" → "Ω"; dimensionless ("1") is empty."""
    if unit.strip() in ("", "1"):
        return ""
    text = re.sub(r"\bu(?=[AFSVMmsHJ])", "µ", unit.strip())
    text = re.sub(r"(?<=[A-Za-z])-?\d\b", lambda power: power[0].translate(_SUPERSCRIPT), text)
    return re.sub(r"[Oo]hm\b", "Ω", text)


def with_unit(name: str, unit: str) -> str:
    """Label of an axis or a column: "gnabar (S/cm²)", or the name alone where there is no unit."""
    unit = unit_text(unit)
    return f"{name} ({unit})" if unit else name


def fit(setter, *parts: str, room: int = 20, size: float = 8.0) -> None:
    """Sets a title or an axis label so that it fits, on one line where there is room, else a line per part.

    Args:
        setter: set_title, set_xlabel or set_ylabel of an axes.
        parts: What the label consists of, such as name and "(unit)"; empty ones are left out.
        room: Characters that fit on a line at `size`; longer lines are set smaller.
        size: Size of the text (pt).
    """
    parts = [part for part in parts if part]
    one_line = " ".join(parts)
    text = one_line if len(one_line) <= room else "\n".join(parts)
    longest = max(len(line) for line in text.split("\n"))
    setter(text, fontsize=size * min(1.0, max(room / longest, 0.65)))


def in_brackets(unit: str) -> str:
    """A printed unit in brackets, empty where there is none."""
    return f"({unit_text(unit)})" if unit_text(unit) else ""


def number(value, digits: int = 3) -> str:
    """A number with `digits` significant digits, as it is read: 0.0123, 1250, 2.48×10⁻⁴; a dash for none.

    Numbers without a fraction, such as counts, are kept whole.
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int | np.integer):
        return f"{int(value):,}".replace(",", "\u202f")
    if value == 0:
        return "0"
    exponent = int(f"{abs(value):.{digits - 1}e}".split("e")[1])
    if exponent < -3 or exponent >= 6:
        mantissa = f"{value / 10.0**exponent:.{digits - 1}f}".replace("-", "−")
        return f"{mantissa}×10{str(exponent).translate(_SUPERSCRIPT)}"
    return f"{value:.{max(digits - 1 - exponent, 0)}f}".replace("-", "−")


def exact(value) -> str:
    """A number that somebody chose, without the zeros that `number` appends: 0.01, 152, 7600."""
    text = number(float(value), 6)
    mantissa, times, power = text.partition("×")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return mantissa + times + power


def duration(seconds) -> str:
    """A duration in the unit that suits it: "3.2 ms", "126 s", "2.1 h"; a dash for none."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    for limit, size, unit in ((1e-3, 1e-6, "µs"), (1, 1e-3, "ms"), (180, 1, "s"), (3 * 3600, 60, "min")):
        if seconds < limit:
            return f"{number(float(seconds) / size, 2 if unit != 's' else 3)} {unit}"
    return f"{number(float(seconds) / 3600)} h"


def value_with_error(value: float, error: float) -> str:
    """A value rounded to two digits of its error: "0.1203 ± 0.0012"; the value alone without a finite error."""
    if not (math.isfinite(error) and error > 0 and math.isfinite(value)):
        return number(float(value), 4)
    exponent = int(f"{error:.1e}".split("e")[1])
    size = math.floor(math.log10(abs(value))) if value else exponent
    if size < -3 or size >= 6:
        decimals = max(size - exponent + 1, 0)
        scale = 10.0**size
        power = f"×10{str(size).translate(_SUPERSCRIPT)}"
        return f"({value / scale:.{decimals}f} ± {error / scale:.{decimals}f}){power}".replace("-", "−")
    decimals = max(1 - exponent, 0)
    return f"{value:.{decimals}f} ± {error:.{decimals}f}".replace("-", "−")


def physical_error(parameter: Parameter, value, error_unit):
    """A stated error from unit space in the parameter's unit, to first order.

    Args:
        parameter: The parameter.
        value: Where it is taken: the predicted parameter, physical units.
        error_unit: Standard deviation in unit space.
    """
    if parameter.scale == "log":
        return np.asarray(value) * math.log(parameter.high / parameter.low) / 2 * error_unit
    return (parameter.high - parameter.low) / 2 * np.asarray(error_unit)


def prior_limits(parameter: Parameter, unit_values: Iterable[float], widest: float = 1.5) -> tuple[float, float]:
    """Ends of an axis that shows the prior and the values around it, physical units.

    Args:
        parameter: The parameter.
        unit_values: Values in unit space; what lies beyond ±`widest` does not stretch the axis.
        widest: Largest |unit parameter| on the axis.
    """
    from neuroinverse.parameters import ParameterSpace

    values = np.clip(np.asarray(list(unit_values), dtype=np.float64), -widest, widest)
    low, high = min(-1.0, values.min()) - 0.06, max(1.0, values.max()) + 0.06
    ends = ParameterSpace((parameter,)).to_physical(np.array([[low], [high]]))[:, 0]
    return float(ends[0]), float(ends[1])


def parameter_axis(axis, parameter: Parameter, ticks: int = 4) -> None:
    """Sets scale and ticks of a parameter's axis, few enough that their labels stay apart in a small panel.

    Args:
        axis: `axes.xaxis` or `axes.yaxis`, its limits already set on the right scale.
        parameter: The parameter it shows.
        ticks: Most ticks that there is room for.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    if parameter.scale == "log":
        # ranges of less than a decade hold no power of ten, where matplotlib would put its labels
        axis.set_major_locator(FixedLocator(log_ticks(*sorted(axis.get_view_interval()), ticks)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: _tick_text(value)))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(MaxNLocator(nbins=ticks, steps=[1, 2, 2.5, 5, 10]))


def log_ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Round numbers between two positive ends, about evenly spaced on a log scale, at least two."""
    from matplotlib.ticker import MaxNLocator

    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    candidates = []
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        candidates = [t for d in decades for m in digits if low <= (t := float(f"{m}e{d}")) <= high]
        if len(candidates) >= min(most, 3):
            break
    if len(candidates) < 2:
        candidates = [float(t) for t in MaxNLocator(most).tick_values(low, high) if low <= t <= high]
    gap = 0.9 / most * math.log(high / low)
    kept = candidates[:1]
    for tick in candidates[1:]:
        if math.log(tick / kept[-1]) >= gap:
            kept.append(tick)
    return kept if len(kept) > 1 else [candidates[0], candidates[-1]]


def _tick_text(value: float) -> str:
    exponent = math.floor(math.log10(value) + 1e-9)
    if -3 <= exponent < 5:
        return f"{value:g}"
    mantissa = value / 10.0**exponent
    power = f"10{str(exponent).translate(_SUPERSCRIPT)}"
    return power if abs(mantissa - 1) < 1e-9 else f"{mantissa:g}×{power}"
