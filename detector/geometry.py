"""Oriented boxes as arrays: corners, canonical form, exact intersection, IoU and IoS, candidate pairs.

A box is a row `x, y, w, h, angle` ("xywhr") in float64: centre, side `w` along `(cos angle, sin angle)` with
x to the right and y down, side `h` across, angle in radians. All functions work on whole arrays and in any
frame whose two axes have the same unit, such as model pixels.
"""

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

XYWHR = 5
_HALVES = np.array([(0.5, 0.5), (0.5, -0.5), (-0.5, -0.5), (-0.5, 0.5)])
_PAIRS_AT_ONCE = 1 << 16  # some 30 MB of temporaries however many pairs are asked for


def as_xywhr(boxes: ArrayLike) -> Floats:
    """Boxes as an N x 5 float64 array; an empty input gives shape 0 x 5.

    Raises:
        ValueError: the array has another shape, holds NaN or infinity, or a negative side.
    """
    xywhr = np.asarray(boxes, dtype=np.float64)
    if xywhr.size == 0:
        return xywhr.reshape(0, XYWHR)
    if xywhr.ndim != 2 or xywhr.shape[1] != XYWHR:
        raise ValueError(f"boxes must be N x {XYWHR} (x, y, w, h, angle). Received shape: {xywhr.shape}.")
    wrong = ~np.isfinite(xywhr).all(axis=1) | (xywhr[:, 2:4] < 0).any(axis=1)
    if wrong.any():
        raise ValueError(f"boxes must be finite, sides at least 0. Received: {xywhr[wrong][0].tolist()}.")
    return xywhr


def canonical(xywhr: Floats) -> Floats:
    """The same rectangles written with `w >= h` and the angle in [0, pi), N x 5.

    Law: it is idempotent and keeps the set of corners.
    """
    x, y, w, h, angle = as_xywhr(xywhr).T
    angle = np.mod(angle + np.where(h > w, np.pi / 2, 0.0), np.pi)
    angle = np.where(angle >= np.pi, 0.0, angle)  # mod rounds tiny negative angles up to pi itself
    return np.stack([x, y, np.maximum(w, h), np.minimum(w, h), angle], axis=1)


def corners_from_xywhr(xywhr: Floats) -> Floats:
    """Corners, N x 4 x 2, consecutive: (+w,+h), (+w,-h), (-w,-h), (-w,+h) halves from the centre."""
    boxes = as_xywhr(xywhr)
    return boxes[:, None, :2] + _corner_offsets(boxes)


def _corner_offsets(boxes: Floats) -> Floats:
    along, across = np.moveaxis(boxes[:, None, 2:4] * _HALVES, 2, 0)
    cos, sin = np.cos(boxes[:, 4:5]), np.sin(boxes[:, 4:5])
    return np.stack([along * cos - across * sin, along * sin + across * cos], axis=2)


def xywhr_from_corners(corners: ArrayLike) -> Floats:
    """Canonical boxes, N x 5, from corners, N x 4 x 2: the rectangle of least area around the four points.

    Law: the inverse of `corners_from_xywhr` on canonical boxes, whatever the order of the corners.
    A rectangle of least area has a side along an edge of the convex hull (Freeman and Shapira, "Determining
    the minimum-area encasing rectangle for an arbitrary closed curve", 1975), and the hull's edges are among
    the six segments between the points.
    """
    points = np.asarray(corners, dtype=np.float64).reshape(-1, 4, 2)
    middle = points.mean(axis=1, keepdims=True)
    points = points - middle
    first, second = np.triu_indices(4, 1)
    segment = points[:, second] - points[:, first]
    angle = np.arctan2(segment[..., 1], segment[..., 0])
    cos, sin = np.cos(angle)[..., None], np.sin(angle)[..., None]
    x, y = points[:, None, :, 0], points[:, None, :, 1]
    frame = np.stack([x * cos + y * sin, y * cos - x * sin], axis=-1)
    low, high = frame.min(axis=2), frame.max(axis=2)
    rows = np.arange(len(points))
    best = np.prod(high - low, axis=2).argmin(axis=1)
    sides, centre = (high - low)[rows, best], ((high + low) / 2)[rows, best]
    angle = angle[rows, best]
    turned = np.stack(
        [
            centre[:, 0] * np.cos(angle) - centre[:, 1] * np.sin(angle),
            centre[:, 0] * np.sin(angle) + centre[:, 1] * np.cos(angle),
        ],
        axis=1,
    )
    return canonical(np.column_stack([turned + middle[:, 0], sides, angle]))


def areas(xywhr: Floats) -> Floats:
    """Areas, N."""
    return xywhr[:, 2] * xywhr[:, 3]


def intersection_areas(xywhr_a: Floats, xywhr_b: Floats) -> Floats:
    """Exact area shared by box a and box b of each row, N, up to rounding: 1e-14 of the areas, apart or not.

    In the frame of a, where a is |x| <= W, |y| <= H, the shared area is the contour integral of
    clamp(y, -H, H) dx along the edges of b inside |x| <= W. It is continuous in the boxes, so shared and
    nearly shared edges need no special case, and it uses only differences of centres, so large coordinates
    cost nothing.
    """
    a, b = as_xywhr(xywhr_a), as_xywhr(xywhr_b)
    if len(a) != len(b):
        raise ValueError(f"boxes are compared row by row. Received {len(a)} and {len(b)} rows.")
    starts = range(0, len(a), _PAIRS_AT_ONCE)
    parts = [_shared_areas(a[i : i + _PAIRS_AT_ONCE], b[i : i + _PAIRS_AT_ONCE]) for i in starts]
    return np.concatenate(parts) if parts else np.zeros(0)


def _shared_areas(a: Floats, b: Floats) -> Floats:
    cos, sin = np.cos(a[:, 4]), np.sin(a[:, 4])
    dx, dy = (b[:, :2] - a[:, :2]).T
    in_frame = np.column_stack([dx * cos + dy * sin, dy * cos - dx * sin, b[:, 2:4], b[:, 4] - a[:, 4]])
    start = in_frame[:, None, :2] + _corner_offsets(in_frame)
    end = np.roll(start, -1, axis=1)
    half_w, half_h = a[:, 2:3] / 2, a[:, 3:4] / 2

    run = end[..., 0] - start[..., 0]
    slope = np.divide(end[..., 1] - start[..., 1], run, out=np.zeros_like(run), where=run != 0)
    x0, x1 = (np.clip(point[..., 0], -half_w, half_w) for point in (start, end))
    y0 = start[..., 1] + (x0 - start[..., 0]) * slope
    y1 = start[..., 1] + (x1 - start[..., 0]) * slope
    # The mean of clamp(y) as y runs evenly from y0 to y1: its parts before, inside and after the free range.
    low, high = np.clip(y0, -half_h, half_h), np.clip(y1, -half_h, half_h)
    weighted = np.abs(low - y0) * low + np.abs(high - low) * (low + high) / 2 + np.abs(y1 - high) * high
    mean = np.divide(weighted, np.abs(y1 - y0), out=low.copy(), where=low != high)
    shared = np.abs(((x1 - x0) * mean).sum(axis=1))
    smaller: Floats = np.minimum(areas(a), areas(b))
    return np.asarray(np.minimum(shared, smaller))


def holds(xywhr: Floats, xy: Floats) -> Bools:
    """Whether the box of each row holds the point of that row, N; points N x 2.

    Law: of two boxes with an IoU above 1/2 each holds the other's centre, since any line through a box's centre halves
    it.
    """
    cos, sin = np.cos(xywhr[:, 4]), np.sin(xywhr[:, 4])
    dx, dy = (xy - xywhr[:, :2]).T
    along, across = np.abs(dx * cos + dy * sin), np.abs(dy * cos - dx * sin)
    return np.asarray((along <= xywhr[:, 2] / 2) & (across <= xywhr[:, 3] / 2))


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def iou_pairs(xywhr_a: Floats, xywhr_b: Floats) -> Floats:
    """Intersection over union of each row, N; 0 where both boxes have no area."""
    shared = intersection_areas(xywhr_a, xywhr_b)
    return _ratio(shared, areas(xywhr_a) + areas(xywhr_b) - shared)


def ios_pairs(xywhr_a: Floats, xywhr_b: Floats) -> Floats:
    """Intersection over the smaller of the two areas of each row, N; 0 where the smaller has no area."""
    shared = intersection_areas(xywhr_a, xywhr_b)
    return _ratio(shared, np.minimum(areas(xywhr_a), areas(xywhr_b)))


class BoxIndex:
    """A spatial index over boxes: which of them may touch the boxes asked about.

    Args:
        xywhr: the boxes to find, N x 5.
    """

    def __init__(self, xywhr: Floats) -> None:
        self._envelopes = _envelopes(as_xywhr(xywhr))
        self._tree = shapely.STRtree(self._envelopes)

    def pairs(self, xywhr: Floats) -> Ints:
        """Pairs (row in `xywhr`, row in the index) whose envelopes touch, P x 2, by rising first column.

        Law: every pair of boxes with a common point is among them.
        """
        return self._touching(_envelopes(as_xywhr(xywhr)))

    def pairs_of(self, rows: Ints) -> Ints:
        """`pairs` of the boxes at some rows of the index: (number in `rows`, row in the index), P x 2."""
        return self._touching(self._envelopes[rows])

    def _touching(self, envelopes: NDArray[np.object_]) -> Ints:
        return np.ascontiguousarray(self._tree.query(envelopes).T, dtype=np.int64)


def _envelopes(boxes: Floats) -> NDArray[np.object_]:
    corners = corners_from_xywhr(boxes)
    # The tree looks at envelopes only: a diagonal has the same one as the box, in a third of the memory.
    diagonals = np.stack([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return np.atleast_1d(np.asarray(shapely.linestrings(diagonals), dtype=np.object_))


def candidate_pairs(xywhr_a: Floats, xywhr_b: Floats | None = None) -> Ints:
    """Pairs of rows whose boxes may overlap, P x 2, sorted: every pair with a common point is among them.

    Args:
        xywhr_a: boxes, N x 5.
        xywhr_b: boxes, M x 5; by default the pairs i < j within `xywhr_a`.
    """
    pairs = BoxIndex(xywhr_a if xywhr_b is None else xywhr_b).pairs(xywhr_a)
    if xywhr_b is None:
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
