"""A facility under construction: areas, solids and places in the frame of its axis."""

from dataclasses import dataclass, field

import numpy as np

from training.synth import furniture
from training.synth.canvas import Overhead, Placement
from training.synth.profile import Profile, uniform
from training.synth.solid import Solid
from training.synth.tracks import Axis, Points, Track

NOTHING: Points = np.zeros((0, 2))


@dataclass(frozen=True)
class Area:
    """A piece of ground.

    Attributes:
        kind: what it is; `scene` knows how each kind is painted.
        outline: local metres.
        middle: its middle line where it is a road or a field, else empty.
        width_m: across the middle line.
    """

    kind: str
    outline: Points
    middle: Points = field(default_factory=lambda: NOTHING)
    width_m: float = 0.0


@dataclass(frozen=True)
class Spot:
    """A place where something may stand on some dates: local metres, radians.

    Attributes:
        use: "box" (containers and stacks), "lorry" or "car" (parked), "traffic" or "haul" (on a road; the latter is
            for lorries and buses only).
        x_m: east.
        y_m: north.
        heading: direction of the length.
    """

    use: str
    x_m: float
    y_m: float
    heading: float


@dataclass
class Plan:
    """A facility under construction.

    Attributes:
        rng: source of everything.
        profile: ranges.
        axis: that the bands follow.
        half_m: half the length of the visible part of the axis.
        dry: 0 lush, 1 withered.
    """

    rng: np.random.Generator
    profile: Profile
    axis: Axis
    half_m: float
    dry: float
    bare: bool
    tracks: list[Track] = field(default_factory=list)
    areas: list[Area] = field(default_factory=list)
    fixed: list[Placement] = field(default_factory=list)
    overhead: list[Overhead] = field(default_factory=list)
    spots: list[Spot] = field(default_factory=list)

    def band(self, kind: str, low: float, high: float) -> None:
        """Ground of a kind between two offsets."""
        reach = self.axis.reach_m
        s = np.arange(-reach, reach, 5.0)
        middle = self.axis.at(s, np.full_like(s, (low + high) / 2))
        self.areas.append(Area(kind, self.axis.strip(low, high, -reach, reach), middle, high - low))

    def put(self, solid: Solid, s: float, o: float, turn: float = 0.0) -> None:
        """A solid at (s, o), turned against the axis."""
        x, y = self.axis.at(np.array([s]), np.array([o]))[0]
        self.fixed.append(Placement(solid, float(x), float(y), self.axis.heading(s) + turn))

    def spot(self, use: str, s: float, o: float, turn: float = 0.0) -> None:
        """A place at (s, o)."""
        x, y = self.axis.at(np.array([s]), np.array([o]))[0]
        self.spots.append(Spot(use, float(x), float(y), self.axis.heading(s) + turn))

    def along(self, pitch: tuple[float, float], jitter: float = 0.0) -> list[float]:
        """Positions along the visible part of the axis, a drawn pitch apart."""
        step = uniform(self.rng, pitch)
        s = np.arange(-self.half_m + self.rng.uniform(0, step), self.half_m, step)
        return list(s + self.rng.normal(0, jitter, len(s)) if jitter else s)

    def plant(self, low: float, high: float, per_100m2: float, radius: tuple[float, float]) -> None:
        """Trees at random between two offsets."""
        number = self.rng.poisson(max(0.0, (high - low) * 2 * self.half_m / 100 * per_100m2))
        for _ in range(min(int(number), 260)):
            crown = furniture.tree(
                self.rng, uniform(self.rng, radius), self.dry, self.bare and self.rng.random() < 0.85
            )
            self.put(crown, uniform(self.rng, (-self.half_m, self.half_m)), uniform(self.rng, (low, high)))
