"""Colours of what stands in a yard, and the seeded noise that weathers them.

All colours are linear reflectances (not sRGB): sunlit ballast is about 0.25, a clean white roof about 0.65.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
"""Float32 array; positions in metres, reflectances 0..1."""

Real = NDArray[np.floating[Any]]
"""Numbers on the way to an `Array`."""

Colour = tuple[float, float, float]
"""Linear reflectance red, green, blue."""

_LATTICE = 32

COLOURS: Mapping[str, Colour] = {
    "white": (0.62, 0.62, 0.60),
    "cream": (0.56, 0.50, 0.38),
    "silver": (0.45, 0.48, 0.52),
    "light_grey": (0.36, 0.37, 0.37),
    "grey": (0.22, 0.225, 0.23),
    "dark_grey": (0.105, 0.11, 0.115),
    "black": (0.05, 0.05, 0.053),
    "ballast": (0.24, 0.215, 0.185),
    "brown": (0.15, 0.095, 0.062),
    "oxide": (0.27, 0.10, 0.075),
    "dark_oxide": (0.16, 0.070, 0.052),
    "rust": (0.21, 0.115, 0.065),
    "tan": (0.42, 0.32, 0.20),
    "orange": (0.60, 0.31, 0.14),
    "red": (0.46, 0.085, 0.07),
    "yellow": (0.55, 0.38, 0.08),
    "olive": (0.16, 0.16, 0.085),
    "green": (0.075, 0.17, 0.10),
    "dark_green": (0.05, 0.095, 0.065),
    "teal": (0.17, 0.37, 0.34),
    "light_blue": (0.17, 0.30, 0.37),
    "violet_blue": (0.20, 0.24, 0.39),
    "violet": (0.22, 0.12, 0.30),
    "blue": (0.085, 0.15, 0.33),
    "navy": (0.05, 0.075, 0.15),
    "ballast_pale": (0.36, 0.35, 0.325),
    "ballast_grey": (0.25, 0.248, 0.245),
    "ballast_brown": (0.185, 0.155, 0.122),
    "ballast_rusty": (0.19, 0.138, 0.10),
    "ballast_weedy": (0.165, 0.155, 0.105),
    "ballast_sandy": (0.33, 0.28, 0.205),
}

Palette = Mapping[str, float]
"""Names of `COLOURS` with their relative frequency."""

GROUND: Palette = {
    "ballast_pale": 4, "ballast_grey": 6, "ballast_brown": 7, "ballast_rusty": 6, "ballast_weedy": 3,
    "ballast_sandy": 4,
}  # fmt: skip
"""Colours of what the tracks lie on: vehicles of low contrast have them too, and the dust of the others does."""

ROOFS: Palette = {
    **GROUND,
    "white": 19, "cream": 5, "silver": 15, "light_grey": 13, "grey": 11, "dark_grey": 2, "ballast": 10,
    "brown": 6, "oxide": 13, "dark_oxide": 4, "rust": 4, "tan": 5, "orange": 5, "red": 8, "olive": 2,
    "green": 4, "teal": 2, "light_blue": 3, "violet_blue": 2, "blue": 5, "yellow": 4, "violet": 2,
}  # fmt: skip
TUBS: Palette = {
    **GROUND,
    "oxide": 14, "dark_oxide": 7, "brown": 14, "rust": 12, "grey": 12, "dark_grey": 3, "ballast": 10,
    "light_grey": 5, "green": 5, "teal": 3, "blue": 4, "violet_blue": 4, "tan": 3, "silver": 4,
    "black": 0.7, "light_blue": 2, "white": 3, "red": 8, "orange": 3, "yellow": 3, "violet": 1.5,
}  # fmt: skip
TANKS: Palette = {
    "ballast_brown": 4, "ballast_rusty": 3, "ballast_sandy": 3, "ballast_grey": 4,
    "white": 20, "silver": 14, "light_grey": 18, "grey": 14, "ballast": 8, "dark_grey": 5, "black": 4,
    "tan": 5, "oxide": 4, "brown": 4, "blue": 3, "green": 3, "orange": 3, "light_blue": 2, "cream": 3,
    "red": 3, "yellow": 2, "violet": 1,
}  # fmt: skip
FRAMES: Palette = {
    **GROUND,
    "brown": 10, "rust": 8, "dark_oxide": 6, "dark_grey": 4, "grey": 5, "ballast": 5, "green": 2,
    "red": 3, "blue": 2, "yellow": 1.5,
}  # fmt: skip
HOPPERS: Palette = {
    **GROUND,
    "light_grey": 14, "grey": 10, "ballast": 7, "white": 9, "silver": 6, "violet_blue": 5, "tan": 5,
    "oxide": 4, "green": 2, "brown": 3, "blue": 3, "teal": 1,
    "red": 3, "orange": 2, "yellow": 2, "violet": 1,
}  # fmt: skip
BOXES: Palette = {
    "oxide": 14, "red": 8, "orange": 8, "blue": 12, "navy": 6, "light_blue": 5, "grey": 9, "light_grey": 8,
    "white": 12, "green": 6, "teal": 3, "tan": 4, "yellow": 3, "brown": 6, "dark_grey": 3, "dark_oxide": 6,
    "silver": 4,
}  # fmt: skip
TARPS: Palette = {
    "green": 17, "dark_green": 9, "olive": 17, "grey": 15, "light_grey": 9, "blue": 13, "light_blue": 4,
    "tan": 7, "cream": 2, "white": 3, "ballast": 6, "teal": 2, "navy": 3, "dark_grey": 5, "orange": 1,
    "silver": 2,
}  # fmt: skip
COACH_ROOFS: Palette = {
    "light_grey": 18, "grey": 22, "silver": 14, "white": 12, "dark_grey": 7, "ballast": 8, "ballast_brown": 3,
    "green": 3, "blue": 4, "red": 3, "brown": 4, "oxide": 2,
}  # fmt: skip
LIVERIES: Palette = {
    "red": 20, "blue": 13, "green": 10, "dark_green": 5, "orange": 8, "yellow": 7, "navy": 6, "grey": 6,
    "white": 5, "oxide": 6, "black": 4, "teal": 3, "light_grey": 4, "brown": 3,
}  # fmt: skip
CARS: Palette = {
    "white": 24, "silver": 18, "grey": 16, "dark_grey": 14, "black": 12, "red": 6, "blue": 8, "navy": 4,
    "tan": 2, "green": 2,
}  # fmt: skip


def pick(rng: np.random.Generator, palette: Palette, spread: float = 0.14) -> Array:
    """Draw a colour of the palette, with its own brightness, hue shift and fading.

    Args:
        rng: source of the draw.
        palette: names and relative frequencies.
        spread: standard deviation of the logarithm of the brightness.

    Returns:
        Reflectance, shape (3,), within [0.03, 0.85].
    """
    names = list(palette)
    share = np.array([palette[name] for name in names], dtype=np.float64)
    base = np.array(COLOURS[names[int(rng.choice(len(names), p=share / share.sum()))]])
    faded = base + rng.uniform(0.0, 0.45) * (base.mean() * 1.1 - base)
    gain = np.exp(rng.normal(0.0, spread) + rng.normal(0.0, 0.03, 3))
    return np.asarray(np.clip(faded * gain, 0.03, 0.85), dtype=np.float32)


def vary(rng: np.random.Generator, colour: Array, spread: float = 0.06) -> Array:
    """The same paint on another object: brightness and hue shifted a little."""
    gain = np.exp(rng.normal(0.0, spread) + rng.normal(0.0, min(0.03, spread / 3), 3))
    return np.asarray(np.clip(colour * gain, 0.02, 0.9), dtype=np.float32)


@dataclass(frozen=True)
class Noise:
    """Smooth value noise on a periodic lattice, values in [-1, 1], one unit between lattice points."""

    lattice: Array

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """A noise of its own."""
        return cls(rng.random(_LATTICE * _LATTICE, dtype=np.float32) * 2 - 1)

    def __call__(self, x: Array, y: Array) -> Array:
        """Noise at (x, y); bilinear between lattice points with smoothed weights.

        Law: deterministic, continuous, within [-1, 1], of the broadcast shape of `x` and `y`.
        """
        x_cell, y_cell = np.floor(x), np.floor(y)
        x_part, y_part = x - x_cell, y - y_cell
        x_part *= x_part * (3 - 2 * x_part)
        y_part *= y_part * (3 - 2 * y_part)
        row = x_cell.astype(np.intp) & (_LATTICE - 1)
        col = y_cell.astype(np.intp) & (_LATTICE - 1)
        row_next, col_next = ((row + 1) & (_LATTICE - 1)) * _LATTICE, (col + 1) & (_LATTICE - 1)
        row *= _LATTICE
        take = self.lattice.take
        near = take(row + col)
        near += (take(row + col_next) - near) * y_part
        far = take(row_next + col)
        far += (take(row_next + col_next) - far) * y_part
        near += (far - near) * x_part
        return near

    def cell(self, index: Array) -> Array:
        """A constant in [-1, 1] for each whole number, for panels, planks and crates."""
        return self.lattice.take((np.floor(index).astype(np.intp) * 7 + 3) & (_LATTICE * _LATTICE - 1))


@dataclass(frozen=True)
class Weather:
    """What years outdoors do to an object: blotches, grain, streaks across, dust and rust."""

    noise: Noise
    blotch: float
    grain: float
    streak: float
    dust: float
    dust_colour: Array
    dust_side: float
    rust: float
    bleach: float

    @classmethod
    def draw(cls, rng: np.random.Generator, age: float) -> Self:
        """Weathering of one object.

        Args:
            rng: source of the draw.
            age: 0 for new, 1 for worn out.
        """
        dust = np.asarray(pick(rng, {**GROUND, "ballast": 6, "brown": 4, "grey": 2}, 0.15))
        return cls(
            noise=Noise.draw(rng),
            blotch=float(rng.uniform(0.02, 0.06) + 0.10 * age * rng.random()),
            grain=float(rng.uniform(0.01, 0.03) + 0.05 * age * rng.random()),
            streak=float(rng.uniform(0.0, 0.03) + 0.10 * age * rng.random()),
            dust=float(age * rng.uniform(0.0, 0.6)),
            dust_colour=dust,
            dust_side=float(rng.uniform(-0.5, 0.5)),
            rust=float(max(0.0, age * rng.uniform(-0.4, 1.0))),
            bleach=float(age * rng.uniform(0.0, 0.10)),
        )

    def apply(self, u: Array, v: Array, albedo: Array) -> Array:
        """Weathered reflectance, shape (..., 3), of a clean one at (u, v) in metres."""
        noise = self.noise
        broad = noise(u * 0.31, v * 0.75 + 7)
        fine = noise(u * 2.6 + 11, v * 2.6)
        gain = 1 + self.blotch * broad + self.grain * fine + self.bleach
        if self.streak > 0.02:
            gain += self.streak * noise(u * 2.2 + 5, v * 0.3 + 3)
        out = albedo * gain[..., None]
        share = np.clip(self.dust * (0.7 + 0.6 * broad + self.dust_side * v), 0.0, 0.8)
        out += share[..., None] * (self.dust_colour - out)
        if self.rust > 0.05:
            patches = noise(u * 0.9 + 17, v * 1.3 + 19) + 0.35 * fine
            share = np.clip((patches - (1.15 - 0.75 * self.rust)) * 3.0, 0.0, 0.75) * self.rust
            out += share[..., None] * (np.array(COLOURS["rust"], dtype=np.float32) - out)
        return np.asarray(out, dtype=np.float32)
