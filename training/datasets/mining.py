"""Tiles on which a detector is wrong stand several times in the list that is trained on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.backends import RawBoxes
from detector.config import ClassTable
from detector.geometry import Bools, Floats, Ints, candidate_pairs, iou_pairs, xywhr_from_corners
from detector.merge import averaged, merge
from detector.raster import PAD
from detector.weights import ModelSpec
from training.datasets.balance import MOST
from training.evaluation.matching import WRONG, one_to_one
from training.tiles import TileLabels

MIN_IOU = 0.5
"""A box that overlaps no object by this is a false alarm, and the object is missed."""
MARGIN_M = 5.0
"""The rim of a tile that is not judged: of a 26 m car that the tile's edge cuts, up to 9 m pass as ground there."""


@dataclass(frozen=True)
class Faults:
    """What a detector gets wrong on one tile, after the merge, within the judged part.

    Attributes:
        hardness: sum of the scores of false alarms from the operating threshold on, of all classes, and 1 for each
            object missed; 0: nothing is wrong.
        false_rail_vehicles: how many false alarms are of the family `rail_vehicle`.
        missed: how many objects are missed.
    """

    hardness: float
    false_rail_vehicles: int
    missed: int


def faults(
    raw: RawBoxes, labels: TileLabels, spec: ModelSpec, table: ClassTable, *, tile_px: int, merge_ios: float
) -> Faults:
    """Judge what the network says of a tile. A box under another name of the same family is no fault.

    Args:
        raw: its boxes, in tile pixels.
        labels: the tile's objects.
        spec: gives GSD, classes and operating thresholds.
        table: gives the families, inside which boxes are merged.
        tile_px: edge of the tile.
        merge_ios: as in `DetectConfig`.
    """
    found, classes, score = said(raw, spec, table, merge_ios)
    family = np.array(spec.families(table))
    there = xywhr_from_corners(labels.corners)
    a, b = candidate_pairs(found, there).T
    iou = iou_pairs(found[a], there[b])
    fits = (iou >= MIN_IOU) & (family[classes[a]] == family[labels.classes[b]])
    partner = one_to_one(a[fits], b[fits], iou[fits], score)
    false = (partner == WRONG) & _judged(found, tile_px, spec.gsd_m)
    missed = _judged(there, tile_px, spec.gsd_m)
    missed[partner[partner != WRONG]] = False
    on_rail = np.isin(spec.classes, table.families["rail_vehicle"])[classes]
    return Faults(float(score[false].sum() + missed.sum()), int((false & on_rail).sum()), int(missed.sum()))


def padded(picture: NDArray[np.uint8], edge_px: int) -> NDArray[np.uint8]:
    """A picture (H, W, 3) in the upper left of a tile (edge_px, edge_px, 3), as detection pads the ends of scenes."""
    tile = np.full((edge_px, edge_px, 3), PAD, dtype=np.uint8)
    tile[: picture.shape[0], : picture.shape[1]] = picture
    return tile


def said(raw: RawBoxes, spec: ModelSpec, table: ClassTable, merge_ios: float) -> tuple[Floats, Ints, Floats]:
    """What the network says of one tile, after the merge and from the operating thresholds on.

    Returns:
        boxes, D x 5, in tile pixels; numbers of their classes, D; scores, D.
    """
    judged, threshold = spec.judged(raw.scores, table), np.array(spec.thresholds(table))
    kept = merge(raw.xywhr, judged.score, judged.family, threshold_ios=merge_ios)
    told = kept[judged.score[kept] >= threshold[judged.best[kept]]]
    return averaged(raw.xywhr, judged.score, judged.family, told), judged.best[told], judged.score[told]


def _judged(xywhr: Floats, tile_px: int, gsd_m: float) -> Bools:
    """(N,) whether the centres of boxes lie within the rim."""
    from_middle_px = np.abs(xywhr[:, :2] - tile_px / 2).max(axis=1)
    return np.asarray(from_middle_px <= tile_px / 2 - MARGIN_M / gsd_m)


def judged_ha(tile_px: int, gsd_m: float) -> float:
    """Area of a tile within its rim, in hectares."""
    return max(0.0, tile_px * gsd_m - 2 * MARGIN_M) ** 2 / 1e4


def with_hardest(times: Mapping[str, int], hardness: Mapping[str, float], share: float) -> dict[str, int]:
    """How often each tile is listed when the hardest are repeated, in the order of `times`.

    Repetitions are given out one by one, each to the tile with the highest hardness / (times listed + 1), the highest
    averages of D'Hondt, so that times go with hardness; equals by name.

    Laws: it ends as soon as the repeated tiles have their share of the list, or when all of any hardness stand there
    `MOST` times. Of two tiles that were listed alike, the harder is never listed less often. Tiles without hardness
    stay as they were.

    Args:
        times: how often each tile is listed so far.
        hardness: of each tile.
        share: of the list that the repeated tiles shall make up.
    """
    result = dict(times)
    offers = [
        (-value / (listed + 1), tile)
        for tile, value in hardness.items()
        if value > 0
        for listed in range(times[tile], int(MOST))
    ]
    own, total = 0, sum(times.values())
    for _, tile in sorted(offers):
        if own >= share * total:
            break
        own += 1 if result[tile] > times[tile] else 1 + times[tile]
        result[tile] += 1
        total += 1
    return result
