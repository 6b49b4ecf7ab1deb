"""What stands on the ground: the `Solid`, and the canvas on which its parts build its surface."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from training.synth.paint import Array, Palette, Real, Weather, pick, vary

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Patch:
    """A solid sampled from above.

    Attributes:
        height_m: above the ground (rail top for vehicles), 0 where cover is 0, at most the solid's height.
        albedo: linear reflectance, shape (..., 3), within [0, 1].
        cover: 1 where the solid hides the ground, 0 where the ground shows through.
    """

    height_m: Array
    albedo: Array
    cover: Array


Surface = Callable[[Array, Array], Patch]
"""(u_m, v_m) -> Patch; u along the length, v across, metres from the centre; deterministic."""


@dataclass(frozen=True)
class Solid:
    """One thing that stands on the ground.

    The rectangle length x width tightly encloses the body as seen from above, without buffers and couplers.

    Attributes:
        kind: what it is, see `training.synth.vehicles.KINDS` for rail vehicles.
        label: class of configs/classes.yaml, or None for a distractor.
        length_m: along u.
        width_m: across, along v.
        height_m: no point of the surface is higher.
        surface: the shape and its colours.
    """

    kind: str
    label: str | None
    length_m: float
    width_m: float
    height_m: float
    surface: Surface = field(compare=False, repr=False)


@dataclass(frozen=True)
class Size:
    """Length, width and height of a body in metres."""

    length_m: float
    width_m: float
    height_m: float


@dataclass(frozen=True)
class Draw:
    """The randomness of one object: `design` is shared by a series of equal vehicles, `unit` is its own."""

    design: np.random.Generator
    unit: np.random.Generator
    region: str = "europe"

    @classmethod
    def single(cls, rng: np.random.Generator, region: str = "europe") -> Self:
        """Both drawn from one generator, for an object that belongs to no series."""
        return cls.of_series(rng, int(rng.integers(2**62)), region)

    @classmethod
    def of_series(cls, rng: np.random.Generator, series: int, region: str = "europe") -> Self:
        """A unit of the series with this number: same design, wear of its own."""
        return cls(np.random.default_rng(series), np.random.default_rng(rng.integers(2**62)), region)

    def between(self, low: float, high: float) -> float:
        """A number of the design, uniform."""
        return float(self.design.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """A yes or no of the design."""
        return bool(self.design.random() < probability)

    def style(self, **weights: float) -> str:
        """A named variant of the design."""
        share = np.array(list(weights.values()), dtype=np.float64)
        return list(weights)[int(self.design.choice(len(share), p=share / share.sum()))]

    def colour(self, palette: Palette, mixed: float = 0.2) -> Array:
        """Paint of the series; with probability `mixed` each unit of the series has a paint of its own."""
        series = pick(self.design, palette)
        own = pick(self.unit, palette)
        return vary(self.unit, own if self.chance(mixed) else series)

    def weather(self, low: float = 0.0, high: float = 1.0, *, rusts: bool = True) -> Weather:
        """Weathering of this unit, at the age of its series; cloth and loads do not rust."""
        age = self.between(low, high) + float(self.unit.normal(0.0, 0.12))
        weather = Weather.draw(self.unit, float(np.clip(age, 0.0, 1.0)))
        return weather if rusts else replace(weather, rust=0.0)


class Canvas:
    """A solid under construction on sample points: later parts hide earlier ones.

    Heights given to its methods are scalars or arrays of the shape of the samples, colours (3,) or (..., 3).
    """

    def __init__(self, u_m: Array, v_m: Array) -> None:
        """Bare ground at the sample points."""
        self.u = u_m
        self.v = v_m
        self.z = np.zeros(u_m.shape, dtype=np.float32)
        self.rgb = np.full((*u_m.shape, 3), 0.15, dtype=np.float32)
        self.cover = np.zeros(u_m.shape, dtype=np.bool_)

    def lay(self, where: Mask, z: float | Real, colour: Real) -> None:
        """Set height and colour inside `where`."""
        np.copyto(self.z, np.asarray(z, dtype=np.float32), where=where)
        np.copyto(self.rgb, colour, where=where[..., None])
        self.cover |= where

    def top(self, where: Mask, z: float | Real, colour: Real) -> None:
        """As `lay`, but only where the new part is higher than what is there."""
        self.lay(where & (self.z < z), z, colour)

    def tint(self, share: Real, colour: Array) -> None:
        """Blend towards a colour by `share` (0..1)."""
        self.rgb += share[..., None] * (colour - self.rgb)


Part = Callable[[Canvas], None]
"""Something of a solid that paints itself on a canvas; all its randomness is drawn beforehand."""


def assemble(kind: str, label: str | None, size: Size, parts: Sequence[Part], weather: Weather) -> Solid:
    """Put parts together, in order, weather the whole and cut it to its box."""
    height = np.float32(size.height_m)

    def surface(u_m: Array, v_m: Array) -> Patch:
        canvas = Canvas(u_m, v_m)
        for part in parts:
            part(canvas)
        cover = canvas.cover & (np.abs(u_m) <= size.length_m / 2) & (np.abs(v_m) <= size.width_m / 2)
        albedo = np.clip(weather.apply(u_m, v_m, canvas.rgb), 0.015, 0.92)
        z = np.clip(canvas.z, 0.0, height) * cover
        return Patch(z, albedo, cover.astype(np.float32))

    return Solid(kind, label, size.length_m, size.width_m, size.height_m, surface)


def turned(part: Part) -> Part:
    """The part turned by half a turn."""

    def paint(canvas: Canvas) -> None:
        canvas.u, canvas.v = -canvas.u, -canvas.v
        part(canvas)
        canvas.u, canvas.v = -canvas.u, -canvas.v

    return paint


def confined(part: Part, centre: tuple[float, float], size: tuple[float, float]) -> Part:
    """The part worked out only inside a rectangle, for several parts side by side."""

    def paint(canvas: Canvas) -> None:
        where = block(canvas, centre, size)
        inner = Canvas(canvas.u[where], canvas.v[where])
        inner.z, inner.rgb, inner.cover = canvas.z[where], canvas.rgb[where], canvas.cover[where]
        part(inner)
        canvas.z[where], canvas.rgb[where], canvas.cover[where] = inner.z, inner.rgb, inner.cover

    return paint


def lines(x: Real, pitch: float, width: float, phase: float = 0.0) -> Array:
    """Soft-edged lines at every `pitch` metres of x: 1 on a line, 0 between."""
    turns = (x - phase) * (1 / pitch)
    distance = np.abs(turns - np.rint(turns)) * pitch
    return np.asarray(np.clip((width / 2 - distance) * 12.0 + 0.5, 0.0, 1.0), dtype=np.float32)


def strip(x: Real, centre: float, width: float) -> Array:
    """One soft-edged band of x: 1 inside, 0 outside."""
    return np.asarray(np.clip((width / 2 - np.abs(x - centre)) * 12.0 + 0.5, 0.0, 1.0), dtype=np.float32)


def block(canvas: Canvas, centre: tuple[float, float], size: tuple[float, float]) -> Mask:
    """The rectangle of a size (along u, along v) around a centre."""
    inside = (np.abs(canvas.u - centre[0]) <= size[0] / 2) & (np.abs(canvas.v - centre[1]) <= size[1] / 2)
    return np.asarray(inside)


def disc(canvas: Canvas, centre: tuple[float, float], radius: float) -> Mask:
    """The disc of a radius around a centre."""
    return np.asarray((canvas.u - centre[0]) ** 2 + (canvas.v - centre[1]) ** 2 <= radius * radius)


def rgb(red: float, green: float | None = None, blue: float | None = None) -> Array:
    """A colour as array; one number gives a grey."""
    return np.array((red, red if green is None else green, red if blue is None else blue), dtype=np.float32)
