"""Strings: which cars stand coupled in line, where one is missing inside, and for how many their length has room.

A detector judges boxes one by one, but cars stand in strings: end to end on one axis, with about a metre between.
That order is evidence of its own. A hole of one car's length inside a string is a car that was missed, or two cuts
that happen to stand so; a box that runs into its neighbour is one too many; and the length of a string over the pitch
of its cars is a second estimate of their number, which no single miss inside and no double moves.

All is in a metric plane, whatever its orientation: metres east and north, or scene pixels times their size. The
thresholds were chosen on the rendered calibration scenes; `python -m benchmarks.bench_strings` measures what they do.
"""

from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from detector.counting.coupling import (
    BESIDE_M,
    CAR_M,
    COUPLED_M,
    LATERAL_M,
    Pairs,
    coupled,
    outward,
    pairs_of,
    placed,
    standing,
    tips,
)
from detector.geometry import Bools, Floats, Ints, as_xywhr, canonical

FIT_M = 1.0
"""Most that a hole, or a faint box in one, differs from a car of its string; with 1.5 m there are more false gaps."""

NONE = -1
_GAP_OF = 3  # cars in the two strings beside a gap, so that at least two of them stand coupled


@dataclass(frozen=True)
class Strings:
    """The strings among N boxes, S of them, each of two cars or more.

    Attributes:
        string: (N,) number of the string in which the box is a car, `NONE` for cars that stand alone, for doubles and
            for boxes below the threshold that fill no hole. Numbered by plane and the place of their first car.
        position: (N,) place of the car in its string, from 0 at its western end; `NONE` outside of strings.
        gap_after: (N,) whether one car is missing between this car and the next one of its string.
        gap_before: (N,) the same towards the one before.
        is_double: (N,) detected boxes that stand where a better one has a car.
        is_filler: (N,) boxes below the threshold that fit into a string between detected cars.
        n_cars: (S,) cars of each string, fillers included.
        length_m: (S,) from end to end along the axis, bends followed.
        pitch_m: (S,) mean length of its cars and of the spaces between those that are coupled.
        room: (S,) cars that the string's length has room for, (length + space) / pitch.
    """

    string: Ints
    position: Ints
    gap_after: Bools
    gap_before: Bools
    is_double: Bools
    is_filler: Bools
    n_cars: Ints
    length_m: Floats
    pitch_m: Floats
    room: Floats

    @property
    def is_car(self) -> Bools:
        """(N,) cars of strings."""
        return np.asarray(self.string != NONE)


def find_strings(xywhr: ArrayLike, score: ArrayLike, detected: ArrayLike, plane: ArrayLike | None = None) -> Strings:
    """Join boxes into strings.

    Boxes that claim one place are settled first: the one that clashes with fewer others stands, then the one of
    higher score. Ends that face each other in line, no farther apart than a coupling, are joined, nearest first and
    detected cars before fainter ones. Faint boxes stay only between detected cars, and only where they have the
    length of a neighbour. At last strings are joined over a hole that one of their own cars would fill.

    The pitch is the mean over the string's cars, not the median: strings of mixed cars are common, and for one of
    short and long cars the median counts a long one twice. With the mean a string without a hole has room for just its
    cars, whatever they are, so that the estimate differs from their number only where the geometry says so.

    Laws: the result does not depend on the order of the rows; moving and turning the plane changes it only in which end
    comes first, and the strings' numbers; what is found in one plane does not depend on what lies in others; a string
    without gaps has `room == n_cars`; cars on parallel tracks are never in one string.

    Args:
        xywhr: boxes of rail vehicles, N x 5, in metres (see `detector.geometry`).
        score: N, higher is better.
        detected: N, whether the box reaches the operating threshold.
        plane: N, number of the plane that each lies in, where many are looked at together; by default all in one.

    Raises:
        ValueError: lengths differ, or a value is not finite.
    """
    boxes, scores, strong = _checked(xywhr, score, detected)
    planes = np.zeros(len(boxes), dtype=np.int64) if plane is None else np.asarray(plane, dtype=np.int64)
    stands = standing(boxes, scores, strong, planes)
    near = coupled(boxes, stands, planes)
    faint = np.sum(~strong[near.boxes], axis=1)
    partner = _matched(near, np.lexsort((near.lateral_m + np.abs(near.hole_m), faint)), np.full(2 * len(boxes), NONE))
    length_m, is_strong = boxes[:, 2].tolist(), strong.tolist()
    chains = [part for chain in _chains(partner, stands) for part in _held(chain, length_m, is_strong)]
    walk = _Walk.of(chains, boxes)
    wide, misfit_m = _missing_one(boxes, chains, walk, strong & stands, planes)
    partner = _matched(wide, np.lexsort((misfit_m + wide.lateral_m,)), walk.partner(len(boxes)))
    strings = [chain for chain in _chains(partner, walk.holds(len(boxes))) if len(chain) > 1]
    return _measured(boxes, strong, strong & ~stands, strings, planes)


def _checked(xywhr: ArrayLike, score: ArrayLike, detected: ArrayLike) -> tuple[Floats, Floats, Bools]:
    boxes = canonical(as_xywhr(xywhr))
    scores = np.asarray(score, dtype=np.float64).reshape(-1)
    strong = np.asarray(detected, dtype=bool).reshape(-1)
    if not len(boxes) == len(scores) == len(strong):
        raise ValueError(
            f"boxes, scores and detected must have one row each. Received: {len(boxes)}, {len(scores)}, {len(strong)}."
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"scores must be finite. Received: {scores[~np.isfinite(scores)][0]}.")
    return boxes, scores, strong


def _missing_one(
    boxes: Floats, chains: list[list[int]], walk: "_Walk", strong: Bools, plane: Ints
) -> tuple[Pairs, Floats]:
    """Free ends with an empty hole between them that one of their own cars would fill, and its misfit in metres."""
    ends = np.array([end for chain in chains for end in (chain[0], chain[-1] ^ 1)], dtype=np.int64)
    if len(ends) == 0:
        return pairs_of(boxes, np.zeros((0, 2), dtype=np.int64)), np.zeros(0)
    number = np.repeat(np.arange(len(chains)), 2)
    shortest, longest = CAR_M[0], CAR_M[1] + 2 * COUPLED_M
    points, of_end = tips(boxes)[ends], plane[ends // 2]
    # The end sought is ahead, not around: a disc between the shortest and the longest hole holds it.
    ahead = points + outward(boxes)[ends] * (shortest + longest) / 2
    reach = (longest - shortest) / 2 + 2 * LATERAL_M
    tree = cKDTree(placed(points, of_end))
    near = cKDTree(placed(ahead, of_end)).sparse_distance_matrix(tree, reach, output_type="ndarray")
    once = number[near["i"]] < number[near["j"]]
    found = pairs_of(boxes, ends[np.column_stack([near["i"][once], near["j"][once]])]).in_line()
    found = found.take((found.hole_m >= shortest) & (found.hole_m <= longest))
    owner = np.full(2 * len(boxes), NONE)
    owner[ends] = number
    spaces_m = walk.sum_steps(walk.hole_m)
    cars = np.split(boxes[walk.box, 2], np.cumsum(walk.n_cars)[:-1])
    misfit = np.full(len(found.ends), np.inf)
    for row, (a, b) in enumerate(owner[found.ends].tolist()):
        n_cars = walk.n_cars[a] + walk.n_cars[b]
        if n_cars >= _GAP_OF:
            room_m = found.hole_m[row] - 2 * (spaces_m[a] + spaces_m[b]) / (n_cars - 2)
            misfit[row] = min(np.abs(cars[chain] - room_m).min() for chain in (a, b))
    fits = misfit <= FIT_M
    found, misfit = found.take(fits), misfit[fits]
    empty = _empty(boxes, found, strong, plane)
    return found.take(empty), misfit[empty]


def _empty(boxes: Floats, holes: Pairs, strong: Bools, plane: Ints) -> Bools:
    """(P,) whether no detected box has its centre in the hole."""
    rows = np.flatnonzero(strong)
    first, last = np.moveaxis(tips(boxes)[holes.ends], 1, 0)
    middle, along = (first + last) / 2, (last - first) / np.maximum(np.hypot(*(last - first).T), 1e-12)[:, None]
    tree = cKDTree(placed(boxes[rows, :2], plane[rows]))
    inside = tree.query_ball_point(placed(middle, plane[holes.boxes[:, 0]]), holes.hole_m / 2)
    hole = np.repeat(np.arange(len(middle)), [len(found) for found in inside])
    step = boxes[rows[np.concatenate([np.zeros(0, dtype=np.int64), *inside]).astype(np.int64)], :2] - middle[hole]
    off = np.abs(step[:, 0] * along[hole, 1] - step[:, 1] * along[hole, 0])
    empty = np.ones(len(middle), dtype=bool)
    empty[hole[off <= BESIDE_M]] = False
    return empty


def _matched(pairs: Pairs, order: Ints, partner: Ints) -> Ints:
    """(2N,) the end that each end is joined to, else `NONE`: each to one other, in this order, beside those given."""
    joined = partner.tolist()
    for first, second in pairs.ends[order].tolist():
        if joined[first] == NONE and joined[second] == NONE:
            joined[first], joined[second] = second, first
    return np.array(joined, dtype=np.int64)


def _chains(partner: Ints, taken: Bools) -> list[list[int]]:
    """Runs of joined boxes among those taken, each as the ends by which a walk along it enters its boxes."""
    onward, seen = partner.tolist(), (~taken).tolist()
    is_last = (partner.reshape(-1, 2) == NONE).any(axis=1)
    chains = []
    # A ring has no end to begin at; it is cut at any of its cars.
    for box in [*np.flatnonzero(taken & is_last).tolist(), *np.flatnonzero(taken & ~is_last).tolist()]:
        end = 2 * box if onward[2 * box] == NONE else 2 * box + 1
        chain = []
        while end != NONE and not seen[end // 2]:
            seen[end // 2] = True
            chain.append(end)
            end = onward[end ^ 1]
        if chain:
            chains.append(chain)
    return chains


def _held(chain: list[int], length_m: list[float], strong: list[bool]) -> list[list[int]]:
    """The parts of a chain between faint boxes that are no cars, without faint boxes at their ends."""
    rows = [end // 2 for end in chain]

    def is_car(place: int) -> bool:
        beside = (rows[other] for other in (place - 1, place + 1) if 0 <= other < len(rows))
        own = length_m[rows[place]]
        return strong[rows[place]] or any(abs(length_m[row] - own) <= FIT_M for row in beside)

    held = []
    for good, run in groupby(range(len(rows)), is_car):
        found = [place for place in run if strong[rows[place]]]
        if good and found:
            held.append(chain[found[0] : found[-1] + 1])
    return held


def _steps(chain: list[int]) -> Ints:
    """(len - 1, 2) the ends that face each other along a chain."""
    ends = np.array(chain, dtype=np.int64)
    return np.column_stack([ends[:-1] ^ 1, ends[1:]])


@dataclass(frozen=True)
class _Walk:
    """C chains, one after the other.

    Attributes:
        n_cars: (C,) boxes of each chain.
        box: (B,) their boxes.
        steps: (B - C, 2) the ends that face each other, from each box to the next of its chain.
        hole_m: (B - C,) the space between them.
    """

    n_cars: Ints
    box: Ints
    steps: Ints
    hole_m: Floats

    @classmethod
    def of(cls, chains: list[list[int]], boxes: Floats) -> "_Walk":
        """The walk along these chains."""
        steps = np.concatenate([np.zeros((0, 2), dtype=np.int64), *map(_steps, chains)])
        box = np.array([end // 2 for chain in chains for end in chain], dtype=np.int64)
        return cls(
            np.array([len(chain) for chain in chains], dtype=np.int64), box, steps, pairs_of(boxes, steps).hole_m
        )

    def sum_cars(self, values: Floats) -> Floats:
        """(C,) sum over the cars of each chain."""
        return self._sum(values, self.n_cars)

    def sum_steps(self, values: Floats) -> Floats:
        """(C,) sum over the steps of each chain."""
        return self._sum(values, self.n_cars - 1)

    def partner(self, n_boxes: int) -> Ints:
        """(2N,) the end that each end is joined to, else `NONE`."""
        joined = np.full(2 * n_boxes, NONE)
        joined[self.steps] = self.steps[:, ::-1]
        return joined

    def holds(self, n_boxes: int) -> Bools:
        """(N,) boxes of a chain."""
        held = np.zeros(n_boxes, dtype=bool)
        held[self.box] = True
        return held

    def _sum(self, values: Floats, times: Ints) -> Floats:
        at = np.repeat(np.arange(len(times)), times)
        return np.bincount(at, weights=values, minlength=len(times)).astype(np.float64)


def _measured(boxes: Floats, strong: Bools, is_double: Bools, chains: list[list[int]], plane: Ints) -> Strings:
    """The strings' numbers, plane by plane from west to east."""
    runs = [_from_west(chain, boxes) for chain in chains]
    runs.sort(key=lambda run: (int(plane[run[0] // 2]), *boxes[run[0] // 2, :2].tolist(), len(run)))
    walk = _Walk.of(runs, boxes)
    is_gap = walk.hole_m > COUPLED_M
    cars_m, n_coupled = walk.sum_cars(boxes[walk.box, 2]), walk.sum_steps(np.where(is_gap, 0.0, 1.0))
    space_m = walk.sum_steps(np.where(is_gap, 0.0, walk.hole_m)) / n_coupled
    length_m, pitch_m = cars_m + walk.sum_steps(walk.hole_m), cars_m / walk.n_cars + space_m
    string, position = np.full(len(boxes), NONE), np.full(len(boxes), NONE)
    string[walk.box] = np.repeat(np.arange(len(runs)), walk.n_cars)
    position[walk.box] = np.arange(len(walk.box)) - np.repeat(np.cumsum(walk.n_cars) - walk.n_cars, walk.n_cars)
    gaps = np.zeros((2, len(boxes)), dtype=bool)
    for side in (0, 1):
        gaps[side, walk.steps[is_gap, side] // 2] = True
    return Strings(
        string=string,
        position=position,
        gap_after=gaps[0],
        gap_before=gaps[1],
        is_double=is_double,
        is_filler=(string != NONE) & ~strong,
        n_cars=walk.n_cars,
        length_m=length_m,
        pitch_m=pitch_m,
        room=(length_m + space_m) / pitch_m,
    )


def _from_west(chain: list[int], boxes: Floats) -> list[int]:
    """The same chain, walked from its western (then southern) end."""
    first, last = (boxes[end // 2, :2].tolist() for end in (chain[0], chain[-1]))
    return chain if first <= last else [end ^ 1 for end in reversed(chain)]
