"""What a look at held-out tiles showed: class against class, the worst misses and false alarms. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detector.geometry import Floats, candidate_pairs, iou_pairs
from training.evaluation.matching import WRONG, one_to_one

MIN_IOU = 0.5
THRESHOLD = 0.25


@dataclass(frozen=True)
class TileLook:
    """One tile with its true boxes and those found.

    Attributes:
        image: the tile.
        truth: x, y, w, h in tile pixels and angle in radians of the true boxes, N x 5.
        truth_class: their class numbers, N.
        found: the same of the detections above a low score, M x 5.
        found_class: their class numbers, M.
        score: their scores, M.
    """

    image: Path
    truth: Floats
    truth_class: NDArray[np.int64]
    found: Floats
    found_class: NDArray[np.int64]
    score: Floats


@dataclass(frozen=True)
class Fault:
    """One false alarm or miss.

    Attributes:
        image: its tile.
        box: x, y, w, h in tile pixels and angle in radians, 5.
        class_number: class found, or class missed.
        score: of the false alarm; of the best box on a missed object, 0 without one.
    """

    image: Path
    box: Floats
    class_number: int
    score: float


def partners(look: TileLook, threshold: float = THRESHOLD) -> NDArray[np.intp]:
    """The true box that each detection is, else `WRONG`, M.

    In order of score, each detection from `threshold` on takes the free true box, of whatever class, that it overlaps
    most, by an oriented IoU of at least `MIN_IOU`.
    """
    pairs = candidate_pairs(look.found, look.truth)
    iou = iou_pairs(look.found[pairs[:, 0]], look.truth[pairs[:, 1]])
    good = (iou >= MIN_IOU) & (look.score[pairs[:, 0]] >= threshold)
    return one_to_one(pairs[good, 0], pairs[good, 1], iou[good], look.score)


def confusion(looks: Sequence[TileLook], classes: int) -> NDArray[np.int64]:
    """How often each true class was found as each class, (classes + 1) x (classes + 1).

    Rows are truth, columns what was found from `THRESHOLD` on; the last row and column are the ground.
    """
    table = np.zeros((classes + 1, classes + 1), dtype=np.int64)
    for look in looks:
        partner, sure = partners(look), look.score >= THRESHOLD
        hit = partner != WRONG
        np.add.at(table, (look.truth_class[partner[hit]], look.found_class[hit]), 1)
        np.add.at(table, (classes, look.found_class[sure & ~hit]), 1)
        missed = np.setdiff1d(np.arange(len(look.truth)), partner[hit])
        np.add.at(table, (look.truth_class[missed], classes), 1)
    return table


def worst_false_alarms(looks: Sequence[TileLook], most: int) -> list[Fault]:
    """The surest detections that are no object."""
    faults = [
        Fault(look.image, look.found[i], int(look.found_class[i]), float(look.score[i]))
        for look in looks
        for i in np.flatnonzero((look.score >= THRESHOLD) & (partners(look) == WRONG))
    ]
    return sorted(faults, key=lambda fault: -fault.score)[:most]


def worst_misses(looks: Sequence[TileLook], most: int) -> list[Fault]:
    """The objects without a detection from `THRESHOLD` on: those of the lowest score first, then the largest."""
    faults = []
    for look in looks:
        weak = partners(look, threshold=0.0)
        best = {int(true): float(look.score[i]) for i, true in enumerate(weak) if true != WRONG}
        for i in np.setdiff1d(np.arange(len(look.truth)), partners(look)):
            faults.append(Fault(look.image, look.truth[i], int(look.truth_class[i]), best.get(int(i), 0.0)))
    return sorted(faults, key=lambda fault: (fault.score, -fault.box[2] * fault.box[3]))[:most]
