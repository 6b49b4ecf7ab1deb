"""Which detection is which true object: one to one, by score."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from detector.config import ClassTable
from detector.geometry import (
    Bools,
    Floats,
    areas,
    candidate_pairs,
    corners_from_xywhr,
    intersection_areas,
    iou_pairs,
)
from training.evaluation.truth import Found, Names, Truth

WRONG, IGNORED = -1, -2
_MOSTLY_INSIDE = 0.5

Index = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Overlaps:
    """All pairs of a detection and a true object that touch, and which detections lie on ignored ground.

    Attributes:
        a: (P,) detection of each pair.
        b: (P,) true object of each pair.
        iou: (P,) exact oriented IoU; where the object's rotation is unknown, that of the detection's hull
            along the axes of the frame.
        inside: (P,) share of the detection that lies in the object.
        is_off: (D,) at least half of the detection lies on an ignored area.
    """

    a: Index
    b: Index
    iou: Floats
    inside: Floats
    is_off: Bools

    @classmethod
    def of(cls, found: Found, truth: Truth) -> "Overlaps":
        """The overlaps of one place."""
        # A hull may reach an object that the box itself does not touch.
        hulls = _hulls(found.xywhr) if truth.axis_aligned.any() else found.xywhr
        a, b = candidate_pairs(hulls, truth.xywhr).T
        boxes = np.where(truth.axis_aligned[b][:, None], hulls[a], found.xywhr[a])
        iou = iou_pairs(boxes, truth.xywhr[b])
        shared = intersection_areas(boxes, truth.xywhr[b])
        inside = np.divide(shared, areas(boxes), out=np.zeros_like(shared), where=areas(boxes) > 0)
        return cls(a, b, iou, inside, _off(found.xywhr, truth))


def _hulls(xywhr: Floats) -> Floats:
    """Boxes along the axes of the frame around boxes, both N x 5."""
    corners = corners_from_xywhr(xywhr)
    low, high = corners.min(axis=1), corners.max(axis=1)
    return np.column_stack([(low + high) / 2, high - low, np.zeros(len(xywhr))])


def _off(xywhr: Floats, truth: Truth) -> Bools:
    if truth.ignored.is_empty or len(xywhr) == 0:
        return np.zeros(len(xywhr), dtype=bool)
    boxes = shapely.polygons(corners_from_xywhr(xywhr))
    shared = shapely.area(shapely.intersection(boxes, truth.ignored))
    return np.asarray(shared >= _MOSTLY_INSIDE * shapely.area(boxes))


def assign(overlaps: Overlaps, score: Floats, truth: Truth, *, min_iou: float, mine: Bools, theirs: Bools) -> Index:
    """(D,) index of the true object that each detection is, else `WRONG`, else `IGNORED`.

    Detections choose in order of score; each takes the free true object of greatest IoU of at least
    `min_iou`, as COCO's evaluation does. One that finds none but lies on a don't-care object (IoU of at least
    `min_iou`, or half of it inside) or on an ignored area is ignored.

    Args:
        overlaps: of the place.
        score: (D,) of its detections.
        truth: its true objects.
        min_iou: least IoU.
        mine: (D,) detections that take part; the others stay `WRONG`.
        theirs: (T,) objects that take part.
    """
    result = np.full(score.size, WRONG, dtype=np.intp)
    result[mine & overlaps.is_off] = IGNORED
    takes_part = mine[overlaps.a] & theirs[overlaps.b]
    is_good, care = overlaps.iou >= min_iou, truth.care[overlaps.b]
    result[overlaps.a[takes_part & ~care & (is_good | (overlaps.inside >= _MOSTLY_INSIDE))]] = IGNORED
    chosen = takes_part & care & is_good
    a, b, iou = overlaps.a[chosen], overlaps.b[chosen], overlaps.iou[chosen]
    partner = one_to_one(a, b, iou, score)
    return np.where(partner == WRONG, result, partner)


def one_to_one(a: Index, b: Index, iou: Floats, score: Floats) -> Index:
    """(D,) the object that each detection takes, else `WRONG`: in order of score, the free one of greatest IoU.

    Args:
        a: (P,) detection of each pair that may go together.
        b: (P,) object of each pair.
        iou: (P,) of each pair.
        score: (D,) of the detections.
    """
    result = np.full(score.size, WRONG, dtype=np.intp)
    taken: set[int] = set()
    for i in np.lexsort((b, a, -iou, -score[a])):
        if result[a[i]] == WRONG and b[i] not in taken:
            result[a[i]] = b[i]
            taken.add(b[i])
    return result


def match(found: Found, truth: Truth, min_iou: float, table: ClassTable) -> Index:
    """As `assign`, within each family whatever the class: a confused class is still that object.

    Objects of unknown classes may belong to any family: they stand as don't-care in each.
    """
    overlaps = Overlaps.of(found, truth)
    result = np.full(found.class_name.size, WRONG, dtype=np.intp)
    unknown = ~np.isin(truth.class_name, table.names)
    for classes in table.families.values():
        mine = np.isin(found.class_name, classes)
        theirs = np.isin(truth.class_name, classes) | unknown
        result[mine] = assign(overlaps, found.score, truth, min_iou=min_iou, mine=mine, theirs=theirs)[mine]
    return result


@dataclass(frozen=True)
class Labels:
    """What the detections of a group are, against its true objects.

    Attributes:
        row: (d,) positions of the group's detections that count, in their table.
        is_true: (d,) whether each is a true object of the group.
        n_true: true objects of the group, found or missed.
    """

    row: Index
    is_true: Bools
    n_true: int


def label(found: Found, truth: Truth, matched: Index, classes: tuple[str, ...]) -> Labels:
    """Labels of a group: a detection is true where the object it was matched to is of the group too.

    Args:
        found: detections of a place.
        truth: its true objects.
        matched: (D,) as `match` gives it.
        classes: of the group; detections that may be of these take part, whatever their names.
    """
    row = np.flatnonzero(found.scores.may_be(classes) & (matched != IGNORED))
    in_group = of_group(truth, classes)
    target = matched[row]
    is_true = np.zeros(row.size, dtype=bool)
    is_true[target >= 0] = in_group[target[target >= 0]]
    return Labels(row, is_true, int(in_group.sum()))


def of_group(truth: Truth, classes: tuple[str, ...]) -> Bools:
    """(T,) true objects of these classes that count."""
    return np.asarray(np.isin(truth.class_name, classes) & truth.care, dtype=bool)


def confusion(found: Found, truth: Truth, matched: Index, names: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """Numbers by true class (rows) and class of the detection (columns), C + 1 square.

    Detections at the operating threshold only. The last row holds false alarms, the last column misses.
    """
    position = {name: i for i, name in enumerate(names)}
    table = np.zeros((len(names) + 1, len(names) + 1), dtype=np.int64)
    is_found = np.zeros(truth.care.size, dtype=bool)
    is_found[matched[found.detected & (matched >= 0)]] = True
    for name, target, detected in zip(_strings(found.class_name), matched, found.detected, strict=True):
        if detected and target != IGNORED and name in position:
            row = len(names) if target == WRONG else position[str(truth.class_name[target])]
            table[row, position[name]] += 1
    for name in _strings(truth.class_name[truth.care & ~is_found]):
        table[position[name], len(names)] += 1
    return table


def _strings(names: Names) -> list[str]:
    return [str(name) for name in names]
