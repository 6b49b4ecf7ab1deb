"""`index.html` of a training: curves, class against class, and the worst errors, written while it runs."""

import base64
import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from detector.geometry import Floats, corners_from_xywhr
from detector.report.svg import Axis, Svg, round_ticks
from detector.store import write_text
from training.classes import class_names
from training.fitting.looks import MIN_IOU, THRESHOLD, Fault, TileLook, confusion, worst_false_alarms, worst_misses

MOST_FAULTS = 24
CROP_PX = 96
_SHOWN_PX = 192
_COLOURS = ("#1f5a86", "#b8400b", "#3b7d3b", "#7a4f9a", "#8a8a00", "#5a6470")
_TICKS = 5

CURVES: Mapping[str, tuple[str, ...]] = {
    "Losses on the training tiles": ("train/box_loss", "train/cls_loss", "train/dfl_loss", "train/angle_loss"),
    "Losses on held-out tiles": ("val/box_loss", "val/cls_loss", "val/dfl_loss", "val/angle_loss"),
    "Held out": ("metrics/precision(B)", "metrics/recall(B)", "metrics/mAP50(B)", "metrics/mAP50-95(B)"),
    "Learning rate": ("lr/pg0",),
}


@dataclass(frozen=True)
class Crop:
    """One error as a picture: JPEG in base64, outline in its pixels, and what it is."""

    image: str
    points: str
    caption: str


def write_page(folder: Path, looks: Sequence[TileLook]) -> Path:
    """Write `folder`/index.html, self-contained, from its results.csv and the latest look at held-out tiles.

    Args:
        folder: run folder of a training.
        looks: some of the held-out tiles; empty before the first look.

    Returns:
        The page.
    """
    environment = Environment(
        loader=PackageLoader("training.fitting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = (*class_names(), "ground")
    rows = read_results(folder / "results.csv")
    page = environment.get_template("run_page.html.j2").render(
        name=folder.name,
        epochs=len(rows.get("epoch", ())),
        curves=[Markup(str(curves(title, rows, columns))) for title, columns in CURVES.items()],
        names=names,
        table=confusion(looks, len(class_names())).tolist(),
        tiles=len(looks),
        threshold=THRESHOLD,
        min_iou=MIN_IOU,
        false_alarms=[crop(fault, "found as") for fault in worst_false_alarms(looks, MOST_FAULTS)],
        misses=[crop(fault, "missed") for fault in worst_misses(looks, MOST_FAULTS)],
    )
    write_text(folder / "index.html", page)
    return folder / "index.html"


def read_results(path: Path) -> dict[str, Floats]:
    """The columns of results.csv by name; empty where there is none yet."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        header, *lines = [[cell.strip() for cell in line] for line in csv.reader(file) if line]
    values = np.array(lines, dtype=np.float64).reshape(-1, len(header))
    return {name: values[:, i] for i, name in enumerate(header)}


def curves(title: str, rows: Mapping[str, Floats], columns: Sequence[str]) -> Svg:
    """Some columns over the epochs; NaN, where an epoch was not looked at, is bridged."""
    svg = Svg(430, 220, title)
    shown = [(name, rows[name]) for name in columns if name in rows and np.isfinite(rows[name]).any()]
    svg.add("text", title, x=8, y=18, font_size="14", font_weight="600")
    if not shown:
        svg.add("text", "nothing yet", x=8, y=44, font_size="12", fill="#5a6470")
        return svg
    epochs = rows["epoch"]
    top = max(float(np.nanmax(values)) for _, values in shown) or 1.0
    x = Axis(min(1.0, epochs[0]), max(epochs[-1], epochs[0] + 1), 52, 418)
    ticks = round_ticks(top, _TICKS)
    y = Axis(0.0, ticks[-1], 178, 42)
    for value in ticks:
        svg.add("line", x1=x.start, x2=x.end, y1=y(value), y2=y(value), stroke="#e3e6ea")
        svg.add("text", f"{value:.3g}", x=46, y=y(value) + 4, font_size="11", text_anchor="end", fill="#5a6470")
    for epoch, anchor in ((epochs[0], "start"), (epochs[-1], "end"))[: len(epochs)]:
        svg.add("text", f"epoch {epoch:.0f}", x=x(epoch), y=194, font_size="11", text_anchor=anchor, fill="#5a6470")
    for place, ((name, values), colour) in enumerate(zip(shown, _COLOURS, strict=False)):
        known = np.isfinite(values)
        points = [(x(e), y(v)) for e, v in zip(epochs[known], values[known], strict=True)]
        text = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        svg.add("polyline", points=text, fill="none", stroke=colour, stroke_width="1.6")
        svg.add("circle", cx=points[-1][0], cy=points[-1][1], r="2.4", fill=colour)
        label = name.split("/")[1].removesuffix("_loss").removesuffix("(B)")
        last = f"{label} {values[known][-1]:.3g}"
        svg.add("text", last, x=52 + 94 * place, y=212, font_size="11", fill=colour)
    return svg


def crop(fault: Fault, verb: str) -> Crop:
    """The surroundings of an error, cut from its tile."""
    with Image.open(fault.image) as tile:
        half = max(CROP_PX / 2, 0.6 * math.hypot(*fault.box[2:4]))
        x0, y0 = (round(float(value) - half) for value in fault.box[:2])
        edge = round(2 * half)
        cut = tile.convert("RGB").crop((x0, y0, x0 + edge, y0 + edge)).resize((_SHOWN_PX, _SHOWN_PX))
    buffer = io.BytesIO()
    cut.save(buffer, "JPEG", quality=80)
    corners = (corners_from_xywhr(fault.box[None])[0] - (x0, y0)) * (_SHOWN_PX / edge)
    return Crop(
        image=base64.b64encode(buffer.getvalue()).decode(),
        points=" ".join(f"{x:.1f},{y:.1f}" for x, y in corners),
        caption=f"{verb} {class_names()[fault.class_number]}, score {fault.score:.2f}, {fault.image.stem}",
    )
