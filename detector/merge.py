"""Seams and duplicates: which boxes of many overlapping views stand for one object each.

Two steps, one rule: `merge_tile` settles the boxes that one tile owns, and where exactly its objects lie; `merge`
settles what the tiles of a scene still say twice. Both judge by exact oriented overlap.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from detector.geometry import (
    Bools,
    BoxIndex,
    Floats,
    Ints,
    areas,
    as_xywhr,
    candidate_pairs,
    canonical,
    holds,
    intersection_areas,
    iou_pairs,
)
from detector.tiling import SLACK_PX, Tile

ALIKE_IOU = 0.5
"""From this overlap on, two boxes say where one and the same object is."""
_FIRST_BLOCK, _FIRST_PAIRS, _LARGEST_BLOCK, _GROWTH = 16, 1 << 16, 2048, 2


def merge(
    xywhr: ArrayLike,
    score: ArrayLike,
    group: ArrayLike,
    *,
    cut: ArrayLike | None = None,
    threshold_ios: float = 0.5,
) -> Ints:
    """Rows to keep, ascending: one box for each object.

    Boxes are taken in order: whole before cut, then by falling score, ties by geometry. Each box that is kept
    lays claim to later boxes of its group: to all of one with which its intersection over the smaller area
    (IoS) reaches the threshold, otherwise to the share of the later box that it covers. A box goes when the
    claims on it reach the threshold.

    - A fragment goes to the whole car whatever their scores, and a box over half a car to a better one over
      all.
    - A box astride two better ones, less than half on each, goes because the two together claim it.
    - A long box over two cars goes when either car scores higher. When it scores higher than both it takes
      them: boxes do not tell which is right, and to prefer many small ones would let halves outvote a car.
    - Of a car longer than the tiles' overlap V, whole in no tile, the best fragment stays: the shorter of two
      fragments of a length L is at most (L + V) / 2, of which they share V, so at a threshold of 1/2 they are
      one object for every L up to 3 V.

    Laws: the result does not depend on the order of the rows (rows alike in every field stand for each
    other); merging the result again keeps all of it; boxes that do not overlap are all kept; memory grows
    with the number of boxes, not with their overlaps.

    Args:
        xywhr: boxes, N x 5, in one frame.
        score: N, higher is better.
        group: N integers; boxes of different groups never meet.
        cut: N, whether the box ends at its window's end and may be part of a longer one; by default none is.
        threshold_ios: share of a box, in (0, 1], that others must claim to remove it.

    Raises:
        ValueError: lengths differ, a value is not finite, or the threshold is outside (0, 1].
    """
    return _kept(*_checked(xywhr, score, group, cut), threshold_ios)


@dataclass(frozen=True)
class Settled:
    """The objects of a tile.

    Attributes:
        rows: K, the boxes that stand for them, ascending.
        xywhr: K x 5, where they are, see `averaged`.
        told: K x V, the mean of what the same boxes tell of them, by score.
        cut: K, whether the window's end cuts the box, see `Tile.cuts`.
    """

    rows: Ints
    xywhr: Floats
    told: Floats
    cut: Bools


def merge_tile(
    tile: Tile, xywhr: ArrayLike, score: ArrayLike, group: ArrayLike, told: ArrayLike, *, threshold_ios: float = 0.5
) -> Settled:
    """One tile's objects: those whose centre is no more than `SLACK_PX` outside its core.

    Args:
        tile: where the boxes were found.
        xywhr: boxes, N x 5, in model pixels of the scene (not of the window).
        score: N, higher is better.
        group: N integers; boxes of different groups never meet.
        told: N x V, numbers that each box tells of its object.
        threshold_ios: as in `merge`.
    """
    boxes, scores, groups, _ = _checked(xywhr, score, group, None)
    mine = np.flatnonzero(tile.owns(boxes[:, :2], SLACK_PX))
    boxes, scores, groups = boxes[mine], scores[mine], groups[mine]
    cut = tile.cuts(boxes)
    kept = _kept(boxes, scores, groups, cut, threshold_ios)
    a, b = _alike(boxes, groups, cut, kept)
    values = np.asarray(told, dtype=np.float64)[mine]
    return Settled(mine[kept], _moved(boxes, scores, kept, a, b), _mean(values, scores, kept, a, b), cut[kept])


def averaged(
    xywhr: ArrayLike, score: ArrayLike, group: ArrayLike, kept: Ints, *, cut: ArrayLike | None = None
) -> Floats:
    """Where the objects are that kept boxes stand for, K x 5: the mean of all that is said of each, by score.

    What is said of it are the boxes of its group with an IoU of `ALIKE_IOU` and more, itself included; of a whole box
    only the whole ones, since a cut one does not know the length. The best box of many is the surest that
    something is there, not the most exact: each errs in its own way (Solovyev et al., Weighted boxes fusion, 2021).

    Laws: a box that none is like stays as it is, and so do copies of one box; the order of the rows does not matter
    beyond rounding; it moves, turns and grows with the boxes.

    Args:
        xywhr: boxes, N x 5.
        score: N, above 0.
        group: N integers.
        kept: K rows of these.
        cut: N, as in `merge`.
    """
    boxes, scores, groups, cuts = _checked(xywhr, score, group, cut)
    return _moved(boxes, scores, kept, *_alike(boxes, groups, cuts, kept))


def _checked(
    xywhr: ArrayLike, score: ArrayLike, group: ArrayLike, cut: ArrayLike | None
) -> tuple[Floats, Floats, Ints, Bools]:
    boxes = canonical(as_xywhr(xywhr))
    scores = np.asarray(score, dtype=np.float64).reshape(-1)
    groups = np.asarray(group, dtype=np.int64).reshape(-1)
    cuts = np.zeros(len(boxes), bool) if cut is None else np.asarray(cut, dtype=bool).reshape(-1)
    if not len(boxes) == len(scores) == len(groups) == len(cuts):
        raise ValueError(
            "boxes, scores, groups and cuts must have one row each. "
            f"Received: {len(boxes)}, {len(scores)}, {len(groups)}, {len(cuts)}."
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"scores must be finite. Received: {scores[~np.isfinite(scores)][0]}.")
    return boxes, scores, groups, cuts


def _kept(boxes: Floats, scores: Floats, groups: Ints, cuts: Bools, threshold: float) -> Ints:
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold_ios must be in (0, 1]. Received: {threshold}.")
    if len(boxes) == 0:  # as in most tiles of many a scene
        return np.empty(0, dtype=np.int64)
    x, y, w, h, angle = boxes.T
    order = np.lexsort((groups, angle, h, w, y, x, -scores, cuts))
    return np.sort(order[_greedy(boxes[order], groups[order], threshold)])


def _alike(boxes: Floats, groups: Ints, cuts: Bools, kept: Ints) -> tuple[Ints, Ints]:
    """Pairs of a kept box, by its place in `kept`, and a box that says something of the same object; see `averaged`."""
    mine = boxes[kept]
    if len(mine) == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    a, b = candidate_pairs(mine, boxes).T
    told = (groups[b] == groups[kept[a]]) & (cuts[b] <= cuts[kept[a]]) & holds(boxes[b], mine[a, :2])
    a, b = a[told], b[told]
    alike = iou_pairs(mine[a], boxes[b]) >= ALIKE_IOU
    return a[alike], b[alike]


def _moved(boxes: Floats, scores: Floats, kept: Ints, a: Ints, b: Ints) -> Floats:
    """Kept boxes moved to the mean of those that are like them, K x 5."""
    mine = boxes[kept]
    quarters = np.rint((boxes[b, 4] - mine[a, 4]) / (np.pi / 2))
    sides = np.where(quarters[:, None] % 2 == 0, boxes[b, 2:4], boxes[b, 3:1:-1])
    turn = boxes[b, 4] - mine[a, 4] - quarters * (np.pi / 2)
    off = np.column_stack([boxes[b, :2] - mine[a, :2], sides - mine[a, 2:4], turn])
    return canonical(mine + _weighed(off, scores[b], a, len(kept)))


def _mean(values: Floats, scores: Floats, kept: Ints, a: Ints, b: Ints) -> Floats:
    """The mean of values (N, V) over the boxes that are like each kept one, K x V."""
    return values[kept] + _weighed(values[b] - values[kept[a]], scores[b], a, len(kept))


def _weighed(values: Floats, weights: Floats, places: Ints, n: int) -> Floats:
    """Weighted means of rows (P, V) by their place among n; 0 where all weights are 0 (n, V)."""
    total = np.bincount(places, weights, n)[:, None]
    sums = np.zeros((n, values.shape[1]))
    for column, out in zip(values.T, sums.T, strict=True):
        out[:] = np.bincount(places, weights * column, n)
    return np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)


def _greedy(boxes: Floats, groups: Ints, threshold: float) -> Bools:
    """Which boxes, given in order of precedence, are kept: N.

    Blocks of boxes are looked up in turn, only those still in play, so that no more pairs are held than a
    block has. Blocks grow from a few boxes, or from one where there are very many: if these lie in one place, the
    first claim the rest before those are asked for all their pairs.
    """
    claimed = np.zeros(len(boxes))
    index = BoxIndex(boxes)
    start, size = 0, max(1, min(_FIRST_BLOCK, _FIRST_PAIRS // max(1, len(boxes))))
    while start < len(boxes):
        rows = start + np.flatnonzero(claimed[start : start + size] < threshold)
        asked, later = index.pairs_of(rows).T
        first = rows[asked]
        use = (later > first) & (groups[later] == groups[first]) & (claimed[later] < threshold)
        first, later = first[use], later[use]
        claim = _claims(boxes[first], boxes[later], threshold)
        bounds = [*np.searchsorted(first, rows).tolist(), len(first)]
        for row, low, high in zip(rows.tolist(), bounds[:-1], bounds[1:], strict=True):
            if low < high and claimed[row] < threshold:
                claimed[later[low:high]] += claim[low:high]
        start, size = start + size, min(_GROWTH * size, _LARGEST_BLOCK)
    return np.asarray(claimed < threshold)


def _claims(kept: Floats, later: Floats, threshold: float) -> Floats:
    """What each kept box claims of the later one in its row: all of one object, else the share it covers."""
    shared = intersection_areas(kept, later)
    one_object = (shared > 0) & (shared >= threshold * np.minimum(areas(kept), areas(later)))
    share = np.divide(shared, areas(later), out=np.zeros_like(shared), where=areas(later) > 0)
    return np.where(one_object, 1.0, share)
