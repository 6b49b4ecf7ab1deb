"""What is right and wrong on a scene: as a list, and drawn on its picture."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from detector.geometry import corners_from_xywhr
from detector.pixels.georef import lonlat_to_scene_px
from training.annotated import AnnotatedScene
from training.evaluation.detection import AllIous
from training.evaluation.matching import Index, Overlaps, of_group
from training.evaluation.truth import Place

COLOURS = {"found": "#30e030", "loose": "#30b0ff", "missed": "#ff2020", "false": "#ffe000"}
_HEIGHT_PX = 2000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Verdicts:
    """What the detections of a group are at the operating threshold, in one place.

    Attributes:
        found: detections that are a true object at IoU 0.5.
        loose: those that are one at IoU 0.3 only.
        false: those that are none.
        missed: true objects that no detection is, at IoU 0.3.
        nearest: of each missed one, the greatest score of what lies on it with IoU 0.3 below the threshold, or 0.
    """

    found: Index
    loose: Index
    false: Index
    missed: Index
    nearest: Floats

    @classmethod
    def of(cls, place: Place, judged: AllIous, index: int, classes: tuple[str, ...]) -> "Verdicts":
        """The verdicts on a place, which is number `index` of those that were judged."""
        rows, hits = {}, {}
        for name, at in (("strict", judged.strict), ("loose", judged.loose)):
            mine = (at.place == index) & at.detected
            rows[name], hits[name] = at.row[mine], at.target[mine]
        found = rows["strict"][hits["strict"] >= 0]
        right = rows["loose"][hits["loose"] >= 0]
        missed = np.setdiff1d(np.flatnonzero(of_group(place.truth, classes)), hits["loose"])
        overlaps = Overlaps.of(place.found, place.truth)
        nearest = []
        for object_ in missed:
            on_it = overlaps.a[(overlaps.b == object_) & (overlaps.iou >= 0.3)]
            nearest.append(float(place.found.score[on_it].max(initial=0.0)))
        every = np.union1d(rows["strict"], rows["loose"])
        false = np.setdiff1d(every, np.union1d(found, right))
        return cls(found, np.setdiff1d(right, found), false, missed, np.array(nearest))


def corners_on(scene: AnnotatedScene, place: Place, xywhr: Floats) -> Floats:
    """Corners of a place's boxes in the pixels of its scene, (N, 4, 2)."""
    corners = corners_from_xywhr(xywhr)
    return corners if place.frame.origin is None else lonlat_to_scene_px(scene.grid, place.frame.to_lonlat(corners))


def faults(scene: AnnotatedScene, place: Place, verdicts: Verdicts) -> list[dict[str, Any]]:
    """Every miss, false alarm and loose box, with its place in the picture."""
    found, truth = corners_on(scene, place, place.found.xywhr), corners_on(scene, place, place.truth.xywhr)
    listed = []
    for kind, rows in (("false", verdicts.false), ("loose", verdicts.loose)):
        listed += [_fault(kind, found[row], place.found.xywhr[row], float(place.found.score[row])) for row in rows]
    missed = zip(verdicts.missed, verdicts.nearest, strict=True)
    return listed + [_fault("missed", truth[row], place.truth.xywhr[row], near) for row, near in missed]


def _fault(kind: str, corners: Floats, xywhr: Floats, score: float) -> dict[str, Any]:
    x, y = corners.mean(axis=0)
    sides = {"length_m": round(float(max(xywhr[2:4])), 1), "width_m": round(float(min(xywhr[2:4])), 1)}
    return {"fault": kind, "x_px": round(float(x)), "y_px": round(float(y)), "score": round(score, 3), **sides}


def draw_overlay(scene: AnnotatedScene, place: Place, verdicts: Verdicts, path: Path) -> None:
    """Found boxes green, loose ones blue, misses red, false alarms yellow, with scores; saved as a picture."""
    low, high = np.percentile(scene.image[scene.valid], (0.5, 99.5))
    shown = np.clip((scene.image.astype(np.float64) - low) / max(high - low, 1e-9) * 255, 0, 255).astype(np.uint8)
    picture = Image.fromarray(shown[..., :3] if shown.shape[2] >= 3 else np.repeat(shown[..., :1], 3, axis=2))
    scale = max(1, round(_HEIGHT_PX / max(picture.size)))
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    found, truth = corners_on(scene, place, place.found.xywhr), corners_on(scene, place, place.truth.xywhr)

    def box(corners: Floats, kind: str, text: str) -> None:
        ring = [(float(x), float(y)) for x, y in corners * scale]
        pen.polygon(ring, outline=COLOURS[kind], width=2)
        pen.text(max(ring), text, fill=COLOURS[kind], font_size=18)

    for kind, rows in (("found", verdicts.found), ("loose", verdicts.loose), ("false", verdicts.false)):
        for row in rows:
            box(found[row], kind, f"{place.found.score[row]:.2f}")
    for row, near in zip(verdicts.missed, verdicts.nearest, strict=True):
        box(truth[row], "missed", f"({near:.2f})")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
