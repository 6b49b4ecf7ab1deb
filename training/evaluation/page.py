"""The evaluation as one self-contained page: figures, plots, slices, and pictures of what went wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup

from detector.report import words
from detector.store import write_text
from training.evaluation.detection import AllIous, Scored
from training.evaluation.errors import KINDS, MOST, Fault, Kind, Shown, choose, find_faults, pictures
from training.evaluation.plots import precision_recall, reliability_plot
from training.evaluation.tables import shown

SLICE_NAMES = {
    "gsd": "Pixel size",
    "density": "Rail vehicles",
    "yard_angle": "Tracks against the map's axes",
    "sun": "Sun elevation",
    "sun_side": "Sun against the tracks",
    "off_nadir": "Off nadir",
    "haze": "Haze",
    "snow": "Snow",
    "pan": "Bands",
    "style": "Kind of place",
    "region": "Region of the fleet",
    "length": "Length",
    "truncated": "Visible part",
    "tarp": "Tarpaulin",
    "kind": "Kind of object",
}
SLICE_COLUMNS = {
    "n_scenes": "Scenes",
    "n_true": "True",
    "precision_50": "Precision",
    "recall_50": "Recall",
    "f1_50": "F1",
    "recall_30": "Recall at 0.3",
    "ap_50": "AP 50",
    "ap_50_95": "AP 50-95",
    "detected_mae": "Detected MAE",
    "count_mae": "Count MAE",
    "count_bias": "Count bias",
}
HEADINGS: dict[Kind, tuple[str, str]] = {
    "miss": ("Misses", "no detection at the operating threshold with IoU 0.3 or more"),
    "false alarm": ("False alarms", "no object with IoU 0.3 or more"),
    "loose box": ("Loose boxes", "found at IoU 0.3, not at 0.5"),
}


@dataclass(frozen=True)
class Album:
    """Pictures of one kind of fault, and how many there were."""

    title: str
    meaning: str
    n_all: int
    shown: tuple[Shown, ...]


def write_page(path: Path, run: Path, scored: Scored, result: Mapping[str, Any]) -> None:
    """Write the page of an evaluation.

    Args:
        path: the HTML file.
        run: the RUN folder; its run.json says where the scenes lie.
        scored: its places.
        result: their metrics, `training.evaluation.measure.measure`.
    """
    classes = scored.table.groups["railcar"]
    faults = find_faults(scored, AllIous.of(scored, classes), classes)
    chosen = {kind: choose(faults[kind], MOST[kind]) for kind in KINDS}
    environment = Environment(
        loader=PrefixLoader(
            {"page": PackageLoader("training.evaluation", "."), "report": PackageLoader("detector.report", ".")}
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    text = environment.get_template("page/page.html.j2").render(
        result=result,
        words=words,
        plots={group: _plots(entry) for group, entry in result["groups"].items() if any(entry["curve"].values())},
        slice_names=SLICE_NAMES,
        slice_columns=SLICE_COLUMNS,
        albums=_albums(run, scored, faults, chosen),
    )
    write_text(path, text)


def _plots(entry: Mapping[str, Any]) -> tuple[Markup, Markup]:
    point = None
    if entry["recall_50"] is not None and entry["precision_50"] is not None:
        point = (entry["recall_50"], entry["precision_50"])
    curves = {f"IoU {name.removeprefix('iou_')}": values for name, values in entry["curve"].items()}
    return Markup(precision_recall(curves, point)), Markup(reliability_plot(entry["scores"]))


def _albums(
    run: Path, scored: Scored, faults: Mapping[Kind, list[Fault]], chosen: Mapping[Kind, list[Fault]]
) -> list[Album]:
    wanted = [fault for kind in KINDS for fault in chosen[kind]]
    taken = pictures(run, scored.places, wanted) if wanted else []
    return [
        Album(*HEADINGS[kind], len(faults[kind]), tuple(one for one in taken if one.fault.kind == kind))
        for kind in KINDS
    ]
