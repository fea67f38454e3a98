"""What all pages share: templates, figures in the page itself, results beside published figures."""

import base64
import struct
from pathlib import Path

from neuroinverse.evaluation.captions import CAPTIONS
from neuroinverse.evaluation.style import DPI, duration, exact, number, unit_text

TEMPLATES = Path(__file__).parent.parent / "reports"

LABELS = {
    "mse_unit": "mean squared error of the ensemble, unit parameters",
    "mse_unit_folds_mean": "mean squared error of a single fold, unit parameters",
    "train_seconds_per_fold": "training time per fold (s)",
    "n_train": "training simulations",
    "n_test": "test simulations",
    "out_of_range_fraction": "fraction of predictions outside of the prior",
}
# figures that are better when smaller, or larger; of any other key a report gives the ratio and no verdict
LOWER_IS_BETTER = ("mse", "rmse", "mae", "error", "out_of_range")
HIGHER_IS_BETTER = ("correlation",)
# of times there is none: those of another machine, and of one that others use, say nothing of the method
TIMES = ("seconds", "minutes", "hours")
# pixels of a page per inch of a figure: 8 inches are the width of the text
PIXELS_PER_INCH = 114


def render(template: str, **values) -> str:
    """Fills a template of the package; every value is escaped for HTML."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": number,
        "exact": exact,
        "duration": duration,
        "unit": unit_text,
        "percent": percent,
    }
    return environment.get_template(template).render(**values)


def percent(fraction) -> str:
    """A fraction as percent with one decimal; a dash for none."""
    return "–" if fraction is None else f"{100 * fraction:.1f} %"


def published_rows(metrics: dict) -> list[dict]:
    """Results beside the published figures.

    Args:
        metrics: Contents of metrics.json.

    Returns:
        Per published key: `key`, `label`, `here`, `published`, `ratio` (here / published), `met` (None where the
        report gives no verdict) and `remark`, which says why not.
    """
    rows = []
    for key, published in metrics.get("published", {}).items():
        here = metrics.get(key)
        timed = any(word in key for word in TIMES)
        comparable = isinstance(here, int | float) and not isinstance(here, bool)
        lower, higher = (any(word in key for word in words) for words in (LOWER_IS_BETTER, HIGHER_IS_BETTER))
        rows.append(
            {
                "key": key,
                "label": LABELS.get(key, key),
                "here": here if comparable else None,
                "published": published,
                "ratio": here / published if comparable and published else None,
                "met": (here <= published if lower else here >= published)
                if comparable and lower != higher and not timed
                else None,
                "remark": "not measured" if not comparable else "times of two machines" if timed else "for comparison",
            }
        )
    return rows


def embedded_figures(folder: Path, captions: dict[str, tuple[str, str]] = CAPTIONS) -> list[dict]:
    """Figures of an estimator as base64, in the order of the captions."""
    found = []
    for name, (title, caption) in captions.items():
        path = folder / f"{name}.png"
        if path.is_file():
            content = path.read_bytes()
            # the width in pixels stands at a fixed place in every PNG
            inches = struct.unpack(">I", content[16:20])[0] / DPI
            found.append(
                {
                    "title": title,
                    "caption": caption,
                    "data": base64.b64encode(content).decode("ascii"),
                    "width": round(inches * PIXELS_PER_INCH),
                }
            )
    return found
