"""Misses, false alarms and loose boxes of a run: which to show, and their pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from detector.errors import RailcarsError
from detector.geometry import Floats, corners_from_xywhr, iou_pairs
from detector.pixels.georef import lonlat_to_scene_px
from detector.report import chips
from detector.report.album import open_scenes
from detector.report.chips import Picture
from detector.report.framing import Shot
from detector.runfolder import read_record
from detector.scene import Scene
from training.evaluation.detection import AllIous, Judged, Scored
from training.evaluation.matching import of_group
from training.evaluation.truth import Place

Kind = Literal["miss", "false alarm", "loose box"]
KINDS: tuple[Kind, ...] = ("miss", "false alarm", "loose box")
MOST = {"miss": 24, "false alarm": 24, "loose box": 12}
"""Pictures of each kind in a page."""

_WINDOW_M = (44.0, 33.0)
_PICTURE_BYTES = 45_000


@dataclass(frozen=True)
class Fault:
    """One thing that went wrong.

    Attributes:
        kind: what it is.
        place: position of its place.
        box: (5,) in the place's frame: the object missed, the false detection, the loose detection.
        class_name: of that box.
        kind_of_object: of the true object, empty where unknown or none.
        score: of the detection; of a miss, of the best detection on it below the threshold, NaN without one.
        iou: with the true object; 0 for misses and false alarms.
    """

    kind: Kind
    place: int
    box: Floats
    class_name: str
    kind_of_object: str
    score: float
    iou: float


def find_faults(scored: Scored, judged: AllIous, classes: tuple[str, ...]) -> dict[Kind, list[Fault]]:
    """All faults of some classes at the operating threshold, the worst of each kind first.

    A miss has no detection at IoU 0.3, a false alarm no object at IoU 0.3, and a loose box an object at IoU 0.3 but
    not at 0.5. Misses that no weaker detection reaches come first, then by visible share; false alarms by score;
    loose boxes by IoU.
    """
    faults: dict[Kind, list[Fault]] = {kind: [] for kind in KINDS}
    loose, strict = judged.loose, judged.strict
    for i, place in enumerate(scored.places):
        faults["miss"] += _misses(i, place, loose, classes)
        faults["false alarm"] += [
            _detection("false alarm", i, place, int(row), -1)
            for row in loose.row[(loose.place == i) & loose.detected & ~loose.is_true]
        ]
        mine = (loose.place == i) & loose.detected & loose.is_true
        held = set(strict.row[(strict.place == i) & strict.is_true].tolist())
        faults["loose box"] += [
            _detection("loose box", i, place, int(row), int(target))
            for row, target in zip(loose.row[mine], loose.target[mine], strict=True)
            if int(row) not in held
        ]
    faults["miss"].sort(key=lambda fault: 0.0 if np.isnan(fault.score) else fault.score)
    faults["false alarm"].sort(key=lambda fault: -fault.score)
    faults["loose box"].sort(key=lambda fault: fault.iou)
    return faults


def _misses(position: int, place: Place, loose: Judged, classes: tuple[str, ...]) -> list[Fault]:
    mine = (loose.place == position) & loose.is_true
    weak = dict(zip(loose.target[mine].tolist(), loose.score[mine].tolist(), strict=True))
    found = set(loose.target[mine & loose.detected].tolist())
    missed = [int(t) for t in np.flatnonzero(of_group(place.truth, classes)) if int(t) not in found]
    missed.sort(key=lambda t: -float(place.truth.visible[t]))
    truth = place.truth
    return [
        Fault("miss", position, truth.xywhr[t], str(truth.class_name[t]), str(truth.kind[t]), weak.get(t, np.nan), 0.0)
        for t in missed
    ]


def _detection(kind: Kind, position: int, place: Place, row: int, target: int) -> Fault:
    box, name, iou = place.found.xywhr[row], "", 0.0
    if target >= 0:
        name = str(place.truth.kind[target])
        iou = float(iou_pairs(box[None], place.truth.xywhr[[target]])[0])
    score = float(place.found.score[row])
    return Fault(kind, position, box, str(place.found.class_name[row]), name, score, iou)


def choose(faults: Sequence[Fault], most: int) -> list[Fault]:
    """At most `most` faults: the worst of every scene, then the second of every scene, and so on."""
    rank: dict[int, int] = {}
    turns = []
    for fault in faults:
        turns.append(rank.setdefault(fault.place, 0))
        rank[fault.place] += 1
    order = sorted(range(len(faults)), key=lambda i: (turns[i], i))
    return [faults[i] for i in sorted(order[:most])]


@dataclass(frozen=True)
class Shown:
    """A fault with its picture."""

    fault: Fault
    picture: Picture
    scene: str
    length_m: float
    width_m: float


def pictures(run: Path, places: Sequence[Place], faults: Sequence[Fault]) -> list[Shown]:
    """Crops around faults, with true boxes, detections at the threshold, and the fault itself drawn.

    A scene whose file is gone gives a picture without image, whose note says so.
    """
    rows: dict[str, Mapping[Any, Any]] = {
        str(places[fault.place].scene["scene_id"]): places[fault.place].scene for fault in faults
    }
    scenes, notes = open_scenes(read_record(run), rows)
    return [_shown(fault, places[fault.place], scenes, notes) for fault in faults]


def _shown(fault: Fault, place: Place, scenes: Mapping[str, Scene], notes: Mapping[str, str]) -> Shown:
    scene_id = str(place.scene["scene_id"])
    date = pd.Timestamp(place.scene["acquired"]).date()
    blank = Shot(place.facility_id, scene_id, date, "zoom", (0.0, 0.0, 0.0, 0.0))
    if scene_id not in scenes:
        picture = Picture(blank, note=notes[scene_id])
    else:
        scene = scenes[scene_id]
        centre = _corners_px(place, scene, fault.box[None])[0].mean(axis=0) * (scene.gsd_x_m, scene.gsd_y_m)
        half = np.array(_WINDOW_M) / 2
        (u0, v0), (u1, v1) = centre - half, centre + half
        shot = Shot(place.facility_id, scene_id, date, "zoom", (float(u0), float(v0), float(u1), float(v1)))
        try:
            picture = chips.take(shot, scene, _drawn(fault, place, scene), max_bytes=_PICTURE_BYTES)
        except (OSError, RailcarsError) as error:
            picture = Picture(shot, note=f"the picture could not be read ({error})")
    length_m, width_m = (float(side) * place.frame.unit_m for side in fault.box[2:4])
    return Shown(fault, picture, scene_id.rpartition("-")[0], length_m, width_m)


def _drawn(fault: Fault, place: Place, scene: Scene) -> pd.DataFrame:
    """The boxes of a picture, drawn by class: aside (don't care), found, true, and wrong, the fault itself."""
    found, truth = place.found, place.truth
    sets = (
        ("aside", truth.xywhr[~truth.care]),
        ("true", truth.xywhr[truth.care]),
        ("found", found.xywhr[found.detected]),
        ("wrong", fault.box[None]),
    )
    corners = [(name, quad) for name, boxes in sets for quad in _corners_px(place, scene, boxes)]
    return pd.DataFrame({"class": [n for n, _ in corners], "corners_px": [quad.ravel() for _, quad in corners]})


def _corners_px(place: Place, scene: Scene, boxes: Floats) -> Floats:
    """Corners (N, 4, 2) in scene pixels of boxes in the place's frame."""
    corners = corners_from_xywhr(boxes)
    if place.frame.origin is None or len(boxes) == 0:
        return corners
    return lonlat_to_scene_px(scene, place.frame.to_lonlat(corners))
