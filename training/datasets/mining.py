"""Tiles without objects on which a detector is wrong stand several times in the list that is trained on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from detector.backends import RawBoxes
from detector.config import ClassTable
from detector.merge import merge
from detector.weights import ModelSpec
from training.datasets.balance import MOST

MARGIN_M = 5.0
"""The rim of a tile that is not judged: of a 26 m car that the tile's edge cuts, up to 9 m pass as ground there."""


@dataclass(frozen=True)
class FalseAlarms:
    """What a detector reports on one tile without objects, after the merge, within the judged part.

    Attributes:
        hardness: sum of the scores from the operating threshold on, of all classes; 0: nothing is reported.
        rail_vehicles: how many of these are of the family `rail_vehicle`.
    """

    hardness: float
    rail_vehicles: int


def false_alarms(raw: RawBoxes, spec: ModelSpec, table: ClassTable, *, tile_px: int, merge_ios: float) -> FalseAlarms:
    """Judge what the network says of a tile without objects.

    Args:
        raw: its boxes, in tile pixels.
        spec: gives GSD, classes and operating threshold.
        table: gives the families, inside which boxes are merged.
        tile_px: edge of the tile.
        merge_ios: as in `DetectConfig`.
    """
    if len(raw) == 0:
        return FalseAlarms(0.0, 0)
    families = [spec.families(table)[index] for index in raw.scores.argmax(axis=1)]
    score = raw.scores.max(axis=1)
    kept = merge(raw.xywhr, score, families, threshold_ios=merge_ios)
    from_middle_px = np.abs(raw.xywhr[kept, :2] - tile_px / 2).max(axis=1)
    judged = from_middle_px <= tile_px / 2 - MARGIN_M / spec.gsd_m
    reported = kept[judged & (score[kept] >= spec.operating_threshold)]
    rail_vehicle = list(table.families).index("rail_vehicle")
    return FalseAlarms(float(score[reported].sum()), sum(families[row] == rail_vehicle for row in reported))


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
        hardness: of tiles without objects.
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
