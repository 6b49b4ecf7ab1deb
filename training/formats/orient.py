"""Oriented boxes from upright hulls: what the width of rail vehicles, the neighbours and the image say of the rotation.

A box of length L and width W, turned by t, has the hull w = L |cos t| + W |sin t|, h = L |sin t| + W |cos t|. With W
known to some decimetres each hull gives L and t, up to the sign of t. The sign is decided by

- strings: a neighbour that stands before or behind, at the distance that both lengths ask for, gives the axis itself;
- room: with the wrong sign a car would stand across the cars beside it;
- the image: the long sides of cars and the rails run along the axis, so gradients point across it.

Where these do not agree clearly, or no length and width of a vehicle explains the hull, the box stays as it is.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from detector.geometry import Bools, Floats, Ints, candidate_pairs, canonical, ios_pairs

STEP_DEG = 0.5
HULL_PX = 0.75  # how exactly people draw each side of a hull
LINK_DEG = 1.0  # how exactly the line between two centres gives the axis
FIT = 9.0  # largest chi-square of a hull that is explained
REACH_M = 45.0  # farthest neighbour in a string, centre to centre
AROUND_M = 60.0  # how far the sign of others counts
GAP_M = (-1.0, 4.0)  # between the ends of coupled vehicles, as drawn
PLAIN_DEG = 1.5  # so near to upright the sign does not matter
IMAGE = 3.0  # evidence of edges that all run one way
SMOOTH_PX = 1.0  # noise points everywhere
DECIDED = 1.0  # least evidence for a sign
MAX_IOS = 0.4  # vehicles do not stand in one another


@dataclass(frozen=True)
class Kind:
    """Sides of vehicles of one kind, in metres: expected width and its spread, and the limits of both."""

    width_m: float
    spread_m: float
    widths_m: tuple[float, float]
    lengths_m: tuple[float, float]

    def columns(self) -> tuple[float, ...]:
        """All six numbers."""
        return self.width_m, self.spread_m, *self.widths_m, *self.lengths_m


RAIL = Kind(2.95, 0.2, (2.3, 3.7), (5.5, 32.0))
CONTAINER = Kind(2.5, 0.1, (2.1, 3.0), (5.0, 17.0))


@dataclass(frozen=True)
class Oriented:
    """Boxes (N, 5), in pixels like the hulls, and whether each was solved (N,); the others are their hulls."""

    xywhr: Floats
    solved: Bools


@dataclass(frozen=True)
class _Fits:
    """How hulls (N) fit each angle of the grid (A): chi-square, infinite where no vehicle is; sides in metres."""

    angles: Floats
    cost: Floats
    length: Floats
    width: Floats

    def at(self, angle: Floats) -> Ints:
        """Columns of the grid nearest to angles."""
        return np.asarray(np.rint(np.mod(angle, np.pi) / np.radians(STEP_DEG)).astype(np.int64) % len(self.angles))


def orient(hulls_px: Floats, rail: Bools, gsd_m: float, across: Floats) -> Oriented:
    """Oriented boxes of vehicles in one image.

    Args:
        hulls_px: (N, 4) upright boxes x0, y0, x1, y1 in pixels that are square on the ground.
        rail: (N,) rail vehicles; the others are containers.
        gsd_m: metres a pixel.
        across: (N,) from `gradient_sign`, in [-1, 1]: above 0 where the image says that the axis falls to the right
            (0 < t < 90 degrees, as y runs down); 0 where it says nothing.

    Returns:
        Boxes in pixels.
    """
    hulls = hulls_px * gsd_m
    centres, sides = (hulls[:, :2] + hulls[:, 2:]) / 2, hulls[:, 2:] - hulls[:, :2]
    upright = np.column_stack([centres, sides, np.zeros(len(hulls))]) / np.array([gsd_m] * 4 + [1.0])
    if len(hulls) == 0:
        return Oriented(canonical(upright), np.zeros(0, dtype=bool))
    fits = _fits(sides, rail, HULL_PX * gsd_m)
    rows = np.arange(len(hulls))
    half = len(fits.angles) // 2
    steep = fits.cost[:, : half + 1].argmin(axis=1)
    falling = fits.angles[steep]
    explained = fits.cost[rows, steep] <= FIT
    pairs = _neighbours(centres, explained)
    links = _links(fits, centres, pairs, rail)
    evidence = IMAGE * across
    for sign in (1, -1):
        angle = sign * falling
        ahead = np.abs(_difference(links.angle, angle[links.row])) < np.radians(4.0)
        evidence += sign * np.bincount(links.row[ahead], minlength=len(hulls))
        evidence -= sign * 2.0 * _stands_across(fits, centres, pairs, angle)
    evidence = _with_neighbours(evidence, centres, falling, explained)
    plain = np.minimum(falling, np.pi / 2 - falling) < np.radians(PLAIN_DEG)
    axis = _refined(fits, links, np.where(evidence >= 0, falling, -falling))
    best = fits.at(axis)
    xywhr = np.column_stack([centres / gsd_m, fits.length[rows, best] / gsd_m, fits.width[rows, best] / gsd_m, axis])
    solved = explained & (plain | (np.abs(evidence) >= DECIDED)) & (fits.cost[rows, best] <= 2 * FIT)
    solved &= ~_crowded(xywhr, solved, np.abs(evidence))
    return Oriented(canonical(np.where(solved[:, None], xywhr, upright)), solved)


def gradient_sign(grey: Floats) -> float:
    """Which way the edges in a picture (H x W) of a hull run, in [-1, 1]: 1 where all fall to the right at 45 degrees.

    The off-diagonal of the structure tensor over its trace (Bigun and Granlund, "Optimal Orientation Detection of
    Linear Symmetry", 1987), with its sign turned, since gradients point across edges.
    """
    if min(grey.shape) < 3:
        return 0.0
    dy, dx = np.gradient(gaussian_filter(grey, SMOOTH_PX))
    energy = float((dx**2 + dy**2).sum())
    return -2.0 * float((dx * dy).sum()) / energy if energy > 0 else 0.0


def _fits(sides: Floats, rail: Bools, spread: float) -> _Fits:
    """Least squares for length and width at each angle, given the hull's sides (spread) and the usual width."""
    angles = np.arange(0.0, np.pi - 1e-9, np.radians(STEP_DEG))
    cos, sin = np.abs(np.cos(angles)), np.abs(np.sin(angles))
    w, h = sides[:, :1], sides[:, 1:]
    kinds = np.where(rail[:, None], np.array(RAIL.columns()), np.array(CONTAINER.columns()))
    usual, loose, narrow, wide, short, long = kinds.T[:, :, None]
    known = 1.0 / spread**2
    prior = 1.0 / loose**2
    mixed, own = 2 * cos * sin * known, known + prior
    right_l, right_w = (w * cos + h * sin) * known, (w * sin + h * cos) * known + usual * prior
    determinant = known * own - mixed**2
    length = (right_l * own - right_w * mixed) / determinant
    width = (right_w * known - right_l * mixed) / determinant
    cost = ((w - length * cos - width * sin) ** 2 + (h - length * sin - width * cos) ** 2) * known
    cost += (width - usual) ** 2 * prior
    possible = (width >= narrow) & (width <= wide)
    possible &= (length >= short) & (length <= long)
    return _Fits(angles, np.where(possible, cost, np.inf), length, width)


def _neighbours(centres: Floats, explained: Bools) -> Ints:
    """Pairs (i, j), both ways, of explained hulls within reach of each other, P x 2."""
    rows = np.flatnonzero(explained)
    if len(rows) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    pairs = rows[cKDTree(centres[rows]).query_pairs(REACH_M, output_type="ndarray")]
    return np.concatenate([pairs, pairs[:, ::-1]])


@dataclass(frozen=True)
class _Links:
    """Lines from a hull (row) to the next in its string: their angle."""

    row: Ints
    angle: Floats


def _links(fits: _Fits, centres: Floats, pairs: Ints, rail: Bools) -> _Links:
    """Pairs that can stand one behind the other along the line between their centres."""
    i, j = pairs.T
    offset = centres[j] - centres[i]
    angle = np.arctan2(offset[:, 1], offset[:, 0])
    at = fits.at(angle)
    gap = np.hypot(*offset.T) - (fits.length[i, at] + fits.length[j, at]) / 2
    near = (_cost_around(fits, i, at) <= FIT) & (_cost_around(fits, j, at) <= FIT)
    good = near & (gap >= GAP_M[0]) & (gap <= GAP_M[1]) & (rail[i] == rail[j])
    return _Links(i[good], angle[good])


def _cost_around(fits: _Fits, rows: Ints, at: Ints) -> Floats:
    """Least cost within a few degrees of a column of the grid."""
    reach = np.arange(-6, 7)
    return np.asarray(fits.cost[rows[:, None], (at[:, None] + reach) % len(fits.angles)].min(axis=1))


def _stands_across(fits: _Fits, centres: Floats, pairs: Ints, angle: Floats) -> Floats:
    """How many centres of others lie inside each box, if its axis has that angle, N."""
    i, j = pairs.T
    offset = centres[j] - centres[i]
    cos, sin = np.cos(angle[i]), np.sin(angle[i])
    along, aside = offset[:, 0] * cos + offset[:, 1] * sin, offset[:, 1] * cos - offset[:, 0] * sin
    at = fits.at(angle[i])
    inside = (np.abs(along) < fits.length[i, at] / 2) & (np.abs(aside) < fits.width[i, at] / 2)
    return np.bincount(i[inside], minlength=len(centres)).astype(np.float64)


def _with_neighbours(evidence: Floats, centres: Floats, falling: Floats, explained: Bools) -> Floats:
    """Evidence with that of the vehicles around whose hulls say the same angle: tracks run side by side."""
    rows = np.flatnonzero(explained)
    if len(rows) < 2:
        return evidence
    pairs = rows[cKDTree(centres[rows]).query_pairs(AROUND_M, output_type="ndarray")]
    pairs = pairs[np.abs(falling[pairs[:, 0]] - falling[pairs[:, 1]]) < np.radians(10.0)]
    i, j = np.concatenate([pairs, pairs[:, ::-1]]).T
    count = np.bincount(i, minlength=len(evidence))
    total = np.bincount(i, weights=np.tanh(evidence[j]), minlength=len(evidence))
    return np.asarray(evidence + 2.0 * total / np.maximum(count, 1))


def _refined(fits: _Fits, links: _Links, angle: Floats) -> Floats:
    """The angle of the grid that suits the hull and the string best, near the given one."""
    apart = _difference(fits.angles[None, :], angle[:, None])
    cost = np.where(np.abs(apart) <= np.radians(8.0), fits.cost, np.inf)
    mine = np.abs(_difference(links.angle, angle[links.row])) < np.radians(8.0)
    for row, line in zip(links.row[mine], links.angle[mine], strict=True):
        cost[row] += (_difference(fits.angles, line) / np.radians(LINK_DEG)) ** 2
    return np.asarray(fits.angles[cost.argmin(axis=1)])


def _crowded(xywhr: Floats, solved: Bools, evidence: Floats) -> Bools:
    """Of two solved boxes that stand in one another the one with less evidence, N."""
    rows = np.flatnonzero(solved)
    pairs = rows[candidate_pairs(xywhr[rows])]
    clash = pairs[ios_pairs(xywhr[pairs[:, 0]], xywhr[pairs[:, 1]]) > MAX_IOS]
    crowded = np.zeros(len(xywhr), dtype=bool)
    crowded[np.where(evidence[clash[:, 0]] < evidence[clash[:, 1]], clash[:, 0], clash[:, 1])] = True
    return crowded


def _difference(angle: Floats, other: Floats | float) -> Floats:
    """Difference of two axes, in [-pi/2, pi/2)."""
    return np.asarray(np.mod(angle - other + np.pi / 2, np.pi) - np.pi / 2)
