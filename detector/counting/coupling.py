"""Which boxes of cars claim one place, and which ends of cars face each other closely enough to be coupled.

In metric planes, of any orientation. The thresholds were chosen on rendered scenes with known truth; what they do is
measured by `python -m benchmarks.bench_strings`.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from detector.geometry import Bools, Floats, Ints

COUPLED_M = 3.0
"""Largest space between coupled cars: 0.3-1.5 m in truth, and boxes are up to 1.5 m short; parked cuts keep 4 m."""
LATERAL_M = 1.3
"""Most that a car's centre is off its neighbour's axis: 1.1 m in 99 % of pairs; shadows between tracks are 2 m off."""
TURN_DEG, CURVE_M = 5.0, 150.0
"""Most that two cars' axes differ: by what boxes are off, and by their distance over the radius of a tight curve."""
CLASH_M, CLASH_SHARE = 1.5, 0.25
"""Overlap in line, in metres and as a share of the shorter box, from which two boxes are not taken for two cars."""
BESIDE_M, BESIDE_SHARE = 2.8, 0.5
"""Distance of axes that no two tracks have, 3.5 m being the least, and the overlap from which boxes are abreast."""
CAR_M = (6.0, 30.0)
"""Lengths of rail vehicles."""
_APART_M = 1e7  # between planes

_NO_PAIRS: Ints = np.zeros((0, 2), dtype=np.int64)
_REACH_M = float(np.hypot(CLASH_SHARE * CAR_M[1], 2 * LATERAL_M))  # between the ends of coupled cars, also overlapping


@dataclass(frozen=True)
class Pairs:
    """P pairs of ends of boxes. The ends of box i have the numbers 2 i (ahead) and 2 i + 1 (behind).

    Attributes:
        ends: (P, 2) the two ends.
        hole_m: (P,) space between the boxes along their common axis, negative where they overlap.
        lateral_m: (P,) how far one centre lies off the axis through the other.
        turn_rad: (P,) angle between the boxes' axes.
        along_m: (P,) distance of the centres along the common axis, negative where the ends face away.
    """

    ends: Ints
    hole_m: Floats
    lateral_m: Floats
    turn_rad: Floats
    along_m: Floats

    @property
    def boxes(self) -> Ints:
        """(P, 2) the two boxes."""
        return self.ends // 2

    def take(self, rows: Bools) -> "Pairs":
        """These pairs only."""
        return Pairs(self.ends[rows], self.hole_m[rows], self.lateral_m[rows], self.turn_rad[rows], self.along_m[rows])

    def in_line(self) -> "Pairs":
        """Those of two boxes that follow each other on one track, straight or curved."""
        turn_limit = np.radians(TURN_DEG) + self.along_m / CURVE_M
        other = self.boxes[:, 0] != self.boxes[:, 1]
        return self.take(other & (self.along_m > 0) & (self.lateral_m <= LATERAL_M) & (self.turn_rad <= turn_limit))


def outward(boxes: Floats) -> Floats:
    """(2N, 2) unit vectors out of both ends of each box."""
    along = np.column_stack([np.cos(boxes[:, 4]), np.sin(boxes[:, 4])])
    return np.stack([along, -along], axis=1).reshape(-1, 2)


def tips(boxes: Floats) -> Floats:
    """(2N, 2) the middles of the short sides."""
    return np.asarray(np.repeat(boxes[:, :2], 2, axis=0) + outward(boxes) * np.repeat(boxes[:, 2:3] / 2, 2, axis=0))


def pairs_of(boxes: Floats, ends: Ints) -> Pairs:
    """Pairs of ends, measured along the mean of both axes: on an arc that is the chord, so curves cost no offset."""
    (first, second), out = ends.T // 2, outward(boxes)
    there, back = out[ends[:, 0]], out[ends[:, 1]]
    mean = there - back
    mean /= np.maximum(np.hypot(*mean.T), 1e-12)[:, None]
    step = boxes[second, :2] - boxes[first, :2]
    along = np.sum(step * mean, axis=1)
    lateral = np.abs(step[:, 0] * mean[:, 1] - step[:, 1] * mean[:, 0])
    turn = np.arccos(np.clip(-np.sum(there * back, axis=1), -1.0, 1.0))
    return Pairs(ends, along - (boxes[first, 2] + boxes[second, 2]) / 2, lateral, turn, along)


def _overlap_limits(boxes: Floats, pairs: Ints) -> Floats:
    """(P,) overlap in line from which two boxes cannot both be cars."""
    shorter = boxes[pairs, 2].min(axis=1)
    return np.asarray(np.maximum(CLASH_M, CLASH_SHARE * shorter))


def placed(points: Floats, plane: Ints) -> Floats:
    """(P, 3) points (P, 2) in space, with their planes so far from each other that nothing reaches across."""
    return np.column_stack([points, plane * _APART_M])


def standing(boxes: Floats, scores: Floats, strong: Bools, plane: Ints) -> Bools:
    """(N,) boxes whose place no better box claims: one that clashes with fewer detected boxes, then of higher score.

    A faint box never beats a detected one.
    """
    clash = _clashes(boxes, plane)
    n_clashes = np.bincount(clash[strong[clash].all(axis=1)].ravel(), minlength=len(boxes))
    order = np.lexsort((boxes[:, 1], boxes[:, 0], -scores, n_clashes, ~strong))
    rank = np.empty(len(boxes), dtype=np.int64)
    rank[order] = np.arange(len(boxes))
    clash = np.sort(rank[clash], axis=1)
    stands = [True] * len(boxes)
    for better, worse in clash[np.lexsort(clash.T)].tolist():
        stands[worse] = stands[worse] and not stands[better]
    return np.array(stands, dtype=bool)[rank]


def _clashes(boxes: Floats, plane: Ints) -> Ints:
    """(C, 2) pairs of boxes that cannot both be cars."""
    # By distance, not by hulls: those depend on the orientation of the plane.
    reach = float(boxes[:, 2].max(initial=0.0)) + BESIDE_M
    near = cKDTree(placed(boxes[:, :2], plane)) if len(boxes) else None
    touching = near.query_pairs(reach, output_type="ndarray") if near else _NO_PAIRS
    same_way = np.cos(boxes[touching[:, 0], 4] - boxes[touching[:, 1], 4]) > 0
    found = pairs_of(boxes, 2 * touching + np.column_stack([np.zeros_like(same_way), same_way]))
    shorter = boxes[touching, 2].min(axis=1)
    overlap = boxes[touching, 2].sum(axis=1) / 2 - np.abs(found.along_m)
    in_line = (found.lateral_m <= LATERAL_M) & (overlap > _overlap_limits(boxes, touching))
    abreast = (found.lateral_m <= BESIDE_M) & (overlap > BESIDE_SHARE * shorter)
    return np.asarray(touching[in_line | abreast])


def coupled(boxes: Floats, stands: Bools, plane: Ints) -> Pairs:
    """Ends of standing boxes that may be coupled."""
    ends = np.flatnonzero(np.repeat(stands, 2))
    if len(ends) == 0:
        return pairs_of(boxes, _NO_PAIRS)
    near = cKDTree(placed(tips(boxes)[ends], plane[ends // 2])).query_pairs(_REACH_M, output_type="ndarray")
    found = pairs_of(boxes, ends[near]).in_line()
    return found.take((found.hole_m <= COUPLED_M) & (found.hole_m >= -_overlap_limits(boxes, found.boxes)))
