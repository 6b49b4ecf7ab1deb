"""The measurement of counts as one self-contained page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup

from detector.report import words
from detector.report.svg import Svg
from detector.store import write_text
from training.evaluation.counting.figures import OURS
from training.evaluation.counting.measure import HEADLINE
from training.evaluation.counting.plots import Range, estimates, pit_histogram, quiet_p_values, ranges

METHODS = {
    OURS: "algorithm R (ours)",
    "poisson": "n ± 1.96 √n",
    "delta": "precision and recall, delta method",
    "bootstrap": "predictive bootstrap",
    "conformal": "split conformal",
}
METHOD_COLUMNS = {
    "coverage95": "95 % covers",
    "mean_width95": "Mean width",
    "interval_score95": "Interval score",
    "wis": "WIS",
    "crps": "CRPS",
    "bias_share": "Bias of the sum",
}
_LEVELS = ("50", "80", "90", "95")


def write_counting_page(path: Path, result: Mapping[str, Any]) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        result: of `measure.measure_counts`, with run, truth, weights and calibration.
    """
    environment = Environment(
        loader=PrefixLoader(
            {
                "page": PackageLoader("training.evaluation.counting", "."),
                "report": PackageLoader("detector.report", "."),
            }
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = figure
    environment.filters["share"] = share
    text = environment.get_template("page/page.html.j2").render(
        result=result,
        railcar=result["groups"][HEADLINE],
        words=words,
        methods=METHODS,
        method_columns=METHOD_COLUMNS,
        levels=_LEVELS,
        plots={name: Markup(plot) for name, plot in _plots(result).items()},
    )
    write_text(path, text)


def figure(value: float | None) -> str:
    """Three significant digits; a dash where there is none."""
    return "–" if value is None else f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def share(value: float | None) -> str:
    """A share in percent; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f} %"


def _plots(result: Mapping[str, Any]) -> dict[str, Svg]:
    railcar, replayed, visible = result["groups"][HEADLINE], result["replay"], result["visible_share"]
    levels = [Range.of(f"{level} %", railcar["coverage"][level], int(level) / 100) for level in _LEVELS]
    strata = railcar["coverage95_by_stratum"] | railcar["coverage95_by_fine_stratum"]
    parts = [Range.of(f"{name} railcars", at, 0.95) for name, at in strata.items() if at["n"]]
    ratios = [
        Range(METHODS[name].split(",")[0], at["ratio"], at["low"], at["high"], 1.0)
        for name, at in railcar["ratios"].items()
    ]
    power = [Range.of(_size(name), at["queued"]) for name, at in replayed["surge"].items()]
    return {
        "levels": ranges("Coverage by level", levels, (0.4, 1.0), step=0.1),
        "strata": ranges("Coverage of 95 % intervals by the true number", parts, (0.5, 1.0), step=0.1),
        "ratios": ranges("Our interval score over that of others", ratios, (0.0, 1.5), step=0.25, percent=False),
        "pit": pit_histogram(railcar["pit"], railcar["n_dates"]),
        "estimates": estimates(railcar["rows"]),
        "visible": ranges("Coverage by visible share", _visible(visible), (0.5, 1.0), step=0.1),
        "quiet": quiet_p_values(replayed["quiet"]["curve"]),
        "power": ranges("Surges queued", power),
    }


def _visible(visible: Mapping[str, Mapping[str, Any]]) -> list[Range]:
    return [Range.of(f"{100 * float(name):.0f} % seen", at["coverage95"], 0.95) for name, at in visible.items()]


def _size(name: str) -> str:
    return f"{name[1:]} × maximum" if name.startswith("x") else f"{name} cars"
