"""Which detection is which true object: one to one, by score, within a family. Imports no torch."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detector.config import ClassTable
from detector.geometry import Bools, Floats, candidate_pairs, ios_pairs, iou_pairs
from training.truth import Found, Truth

WRONG, IGNORED = -1, -2
_MOSTLY_INSIDE = 0.5


@dataclass(frozen=True)
class Labels:
    """What the detections of a group are, against its true objects.

    Attributes:
        row: (d,) positions of the group's detections that count, in their table.
        is_true: (d,) whether each is a true object of the group.
        n_true: true objects of the group, found or missed.
    """

    row: npt.NDArray[np.intp]
    is_true: Bools
    n_true: int


def match(found: Found, truth: Truth, min_iou: float, table: ClassTable) -> npt.NDArray[np.intp]:
    """(D,) index of the true object that each detection is, else `WRONG`, else `IGNORED`.

    Within a family the detections choose in order of score; each takes the free true object of greatest
    oriented IoU of at least `min_iou`. One that finds none but lies on a don't-care object is ignored.
    """
    result = np.full(found.score.size, WRONG, dtype=np.intp)
    truth_family = _families(truth.class_name, table)
    for family in range(len(table.families)):
        mine = np.flatnonzero(_families(found.class_name, table) == family)
        # Objects of unknown classes may belong to any family: they stand as don't-care in each.
        theirs = np.flatnonzero((truth_family == family) | (truth_family < 0))
        pairs = candidate_pairs(found.xywhr[mine], truth.xywhr[theirs])
        a, b = mine[pairs[:, 0]], theirs[pairs[:, 1]]
        iou = iou_pairs(found.xywhr[a], truth.xywhr[b])
        inside = ios_pairs(found.xywhr[a], truth.xywhr[b]) >= _MOSTLY_INSIDE
        care = truth.care[b]
        result[a[~care & (inside | (iou >= min_iou))]] = IGNORED
        good = care & (iou >= min_iou)
        a, b, iou = a[good], b[good], iou[good]
        order = np.lexsort((b, a, -iou, -found.score[a]))
        is_taken = np.zeros(truth.care.size, dtype=bool)
        is_placed = np.zeros(found.score.size, dtype=bool)
        for i in order:
            if not is_placed[a[i]] and not is_taken[b[i]]:
                result[a[i]] = b[i]
                is_placed[a[i]] = is_taken[b[i]] = True
    return result


def label(found: Found, truth: Truth, matched: npt.NDArray[np.intp], classes: tuple[str, ...]) -> Labels:
    """Labels of a group: a detection is true where the object it was matched to is of the group too."""
    row = np.flatnonzero(np.isin(found.class_name, classes) & (matched != IGNORED))
    in_group = np.isin(truth.class_name, classes) & truth.care
    target = matched[row]
    is_true = np.zeros(row.size, dtype=bool)
    is_true[target >= 0] = in_group[target[target >= 0]]
    return Labels(row, is_true, int(in_group.sum()))


def _families(class_name: npt.NDArray[np.str_], table: ClassTable) -> npt.NDArray[np.intp]:
    known = {name: table.family_of(name) for name in table.names}
    return np.array([known.get(str(name), -1) for name in class_name], dtype=np.intp)


def average_precision(score: Floats, is_true: Bools, n_true: int) -> float:
    """Area under the precision envelope over recall; NaN without true objects."""
    if n_true == 0:
        return float("nan")
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(is_true[order])
    precision = hits / np.arange(1, hits.size + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[is_true[order]].sum() / n_true)
