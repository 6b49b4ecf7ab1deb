"""Lines on the ground: the yard's axis, and tracks that run beside it, fan out in ladders and curve away."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from training.synth.profile import uniform

Points = NDArray[np.float64]
"""Shape (N, 2): metres east and north of the facility's centre."""

STEP_M = 2.5
CLEARANCE_M = 3.7
"""Nearest that the axes of two tracks may come where cars stand on both."""


@dataclass(frozen=True)
class Axis:
    """The curve that a yard follows; positions beside it are (s along, o to the left), metres.

    Attributes:
        points: on the curve, `STEP_M` apart, from s = -reach_m to s = +reach_m.
        headings: direction at each point, radians counter-clockwise from east.
        reach_m: half the length of the curve.
    """

    points: Points
    headings: NDArray[np.float64]
    reach_m: float

    @classmethod
    def draw(cls, rng: np.random.Generator, heading: float, reach_m: float, radius_m: float) -> "Axis":
        """A gently bending axis through (0, 0), never tighter than `radius_m`."""
        s = np.arange(-reach_m, reach_m + STEP_M, STEP_M)
        bend = rng.choice([0.0, 0.15, 0.5, 1.0], p=[0.4, 0.25, 0.2, 0.15]) / radius_m * rng.choice([-1, 1])
        wave = rng.uniform(0.0, 1.0) * bend * np.sin(s / reach_m * rng.uniform(0.5, 2.5) + rng.uniform(0, 6))
        headings = np.cumsum((0.5 * bend + 0.5 * wave) * STEP_M)
        headings += heading - headings[len(s) // 2]
        points = np.cumsum(np.stack([np.cos(headings), np.sin(headings)], axis=1) * STEP_M, axis=0)
        return cls(points - points[len(s) // 2], headings, reach_m)

    def at(self, s: NDArray[np.float64], o: NDArray[np.float64]) -> Points:
        """Positions of (s, o)."""
        index = (np.asarray(s) + self.reach_m) / STEP_M
        grid = np.arange(len(self.points))
        x = np.interp(index, grid, self.points[:, 0])
        y = np.interp(index, grid, self.points[:, 1])
        turn = np.interp(index, grid, self.headings)
        return np.stack([x - np.sin(turn) * o, y + np.cos(turn) * o], axis=-1)

    def heading(self, s: float) -> float:
        """Direction at s, radians counter-clockwise from east."""
        return float(np.interp((s + self.reach_m) / STEP_M, np.arange(len(self.headings)), self.headings))

    def strip(self, o_low: float, o_high: float, s_low: float, s_high: float) -> Points:
        """Outline of a band beside the axis."""
        s = np.arange(max(s_low, -self.reach_m), min(s_high, self.reach_m), 2 * STEP_M)
        return np.concatenate([self.at(s, np.full_like(s, o_low)), self.at(s[::-1], np.full_like(s, o_high))])


@dataclass(frozen=True)
class Track:
    """One track.

    Attributes:
        points: its axis.
        gauge_m: between the rails.
        sleepers: "concrete", "wood" or "none" (paved).
        tone: relative brightness of the bed.
        rust: 0..1, brown bed.
        shine: 0..1, polished share of the rail heads.
        oil: 0..1, dark stripe of oil and dirt between the rails.
        storage: cars may stand here.
        electrified: a contact wire hangs above.
        group: index of the group of neighbours.
        free: stretches of arc length in which cars foul no other track, shape (K, 2).
    """

    points: Points
    gauge_m: float
    sleepers: str
    tone: float
    rust: float
    shine: float
    oil: float
    storage: bool
    electrified: bool
    group: int
    free: NDArray[np.float64]

    @property
    def arc(self) -> NDArray[np.float64]:
        """Arc length at each point."""
        steps = np.hypot(*np.diff(self.points, axis=0).T)
        return np.concatenate([[0.0], np.cumsum(steps)])

    def at(self, s: NDArray[np.float64]) -> Points:
        """Positions at arc lengths."""
        arc = self.arc
        return np.stack([np.interp(s, arc, self.points[:, 0]), np.interp(s, arc, self.points[:, 1])], axis=-1)

    def seat(self, s: float, length_m: float) -> tuple[float, float, float]:
        """Where a car with its middle at arc length s stands: x, y, heading; it rests on its bogies."""
        back, front = self.at(np.array([s - 0.35 * length_m, s + 0.35 * length_m]))
        middle = (back + front) / 2
        turn = np.arctan2(front[1] - back[1], front[0] - back[0])
        return float(middle[0]), float(middle[1]), float(turn)


@dataclass(frozen=True)
class Layout:
    """Where the tracks of a group lie.

    Attributes:
        offsets: of the tracks from the axis, ascending.
        lead: index of the track that the ladders run into.
        ladders: s of the ladder's tip at the low and the high end; infinite where the tracks run on.
        slope: lateral per longitudinal metre in the ladder.
        ends: s at which a track ends at a buffer stop, at the low and the high end, by track.
    """

    offsets: NDArray[np.float64]
    lead: int
    ladders: tuple[float, float]
    slope: float
    ends: NDArray[np.float64]


def draw_layout(
    rng: np.random.Generator, o_low: float, number: int, pitch: float, *, half_length_m: float, ladder: float
) -> Layout:
    """A group of `number` tracks, `pitch` apart, from offset `o_low` on.

    `half_length_m` is half the visible length of the axis, `ladder` the chance of switches at each end.
    """
    steps = np.full(number, pitch)
    steps[0] = 0.0
    if number > 4 and rng.random() < 0.4:
        steps[rng.integers(2, number - 1)] += uniform(rng, (1.0, 4.0))
    offsets = o_low + np.cumsum(steps)
    lead = (0, number - 1, int(rng.integers(number)))[int(rng.integers(3))]
    slope = 1 / uniform(rng, (5.5, 9.0))
    length = float(np.abs(offsets - offsets[lead]).max()) / slope
    tips = []
    for side in (-1, 1):
        # where the last track reaches its own line: mostly near the scene's edge or beyond it
        reached = uniform(rng, (0.6, 1.3)) if rng.random() < 0.7 else uniform(rng, (0.0, 0.7))
        here = number > 1 and rng.random() < ladder
        tips.append(side * (half_length_m * reached + length * uniform(rng, (0.4, 1.0))) if here else side * np.inf)
    ends = np.tile([-np.inf, np.inf], (number, 1))
    for i in range(number):
        if rng.random() < 0.07:
            side = int(rng.integers(2))
            ends[i, side] = (2 * side - 1) * half_length_m * uniform(rng, (0.3, 0.9))
    return Layout(offsets, lead, (tips[0], tips[1]), slope, ends)


def trace(axis: Axis, layout: Layout, index: int) -> Points:
    """The course of one track of a group: parallel to the axis, bent into the ladders of its group.

    In a ladder all tracks share one oblique line; each begins where it leaves that line.
    """
    offset, lead = layout.offsets[index], layout.offsets[layout.lead]
    aside = abs(offset - lead)
    previous = max(0.0, aside - 5.0)
    low = max(layout.ladders[0] + previous / layout.slope, layout.ends[index, 0], -axis.reach_m)
    high = min(layout.ladders[1] - previous / layout.slope, layout.ends[index, 1], axis.reach_m)
    if index == layout.lead:
        low, high = max(layout.ends[index, 0], -axis.reach_m), min(layout.ends[index, 1], axis.reach_m)
    s = np.arange(low, max(high, low + 4 * STEP_M), STEP_M)
    pull = np.zeros_like(s)
    soft = 7.0
    for tip, side in zip(layout.ladders, (1, -1), strict=True):
        if np.isfinite(tip) and index != layout.lead:
            over = (tip - s) * side + aside / layout.slope
            pull += layout.slope * soft * np.logaddexp(0.0, over / soft)
    return axis.at(s, offset + np.sign(lead - offset) * np.minimum(pull, aside))


def spur(axis: Axis, rng: np.random.Generator, offset: float, outward: int) -> Points:
    """A track that leaves the group's edge at `offset` and curves away to one side."""
    start = uniform(rng, (-0.8, 0.6)) * axis.reach_m
    radius, side = uniform(rng, (170.0, 450.0)), int(rng.choice([-1, 1]))
    along = np.arange(0.0, 2 * axis.reach_m, STEP_M)
    away = along**2 / (2 * radius)
    keep = (away < 0.8 * radius) & (np.abs(start + side * along) < axis.reach_m)
    return axis.at(start + side * along[keep], offset + outward * away[keep])


def with_free(tracks: list[Track]) -> tuple[Track, ...]:
    """The tracks, each with the stretches where cars foul no other track."""
    trees = [cKDTree(track.points) for track in tracks]
    result = []
    for i, track in enumerate(tracks):
        room = np.ones(len(track.points), dtype=bool)
        for j, tree in enumerate(trees):
            if j != i:
                # to the nearest of points a step apart it is farther than to the line between them
                room &= tree.query(track.points)[0] > np.hypot(CLEARANCE_M, STEP_M / 2)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], room, [False]]).astype(np.int8)))
        arc = track.arc
        free = [(arc[a], arc[b - 1]) for a, b in edges.reshape(-1, 2) if arc[b - 1] - arc[a] > 14.0]
        result.append(replace(track, free=np.array(free, dtype=np.float64).reshape(-1, 2)))
    return tuple(result)
