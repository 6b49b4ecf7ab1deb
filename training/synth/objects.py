"""What stands beside the tracks: containers, tarped stacks, trucks, trailers and cars."""

from collections.abc import Callable, Mapping

import numpy as np

from training.synth.loads import box
from training.synth.paint import BOXES, CARS, LIVERIES, Array, pick, vary
from training.synth.solid import (
    Canvas,
    Draw,
    Part,
    Patch,
    Size,
    Solid,
    Surface,
    assemble,
    block,
    disc,
    lines,
    rgb,
)
from training.synth.tarps import tarpaulin

__all__ = [
    "OFF_RAIL", "Patch", "Solid", "Surface", "draw_car", "draw_container", "draw_coupling",
    "draw_tarped_stack", "draw_trailer", "draw_truck",
]  # fmt: skip

ISO_LENGTHS_M: Mapping[float, float] = {6.058: 0.42, 12.192: 0.50, 13.716: 0.05, 2.991: 0.03}
"""Lengths of containers with their relative frequency (20, 40, 45 and 10 feet)."""


def draw_container(rng: np.random.Generator) -> Solid:
    """An ISO container on the ground, sometimes stacked two or three high."""
    draw = Draw.single(rng)
    lengths = list(ISO_LENGTHS_M)
    share = np.array(list(ISO_LENGTHS_M.values()))
    length = float(lengths[int(rng.choice(len(lengths), p=share / share.sum()))])
    tiers = 1 + int(rng.random() < 0.25) + int(rng.random() < 0.08)
    size = Size(length, 2.438, tiers * float(rng.choice([2.591, 2.896])))
    weather = draw.weather(0.0, 0.9)
    return assemble("container", "container", size, [box(draw, 0.0, length, 2.438, size.height_m)], weather)


def draw_tarped_stack(rng: np.random.Generator) -> Solid:
    """A stack of goods on the ground under a tarpaulin."""
    draw = Draw.single(rng)
    width = draw.between(2.2, 3.2) if draw.chance(0.7) else draw.between(3.2, 5.5)
    length = max(width, draw.between(3.5, 13.5))
    size = Size(length, width, draw.between(1.3, 3.2))
    cover = tarpaulin(draw, length, width, (0.12, size.height_m - 0.15))
    return assemble("tarped_stack", "tarped_container", size, [cover], draw.weather(0.0, 0.7, rusts=False))


def _cab(draw: Draw, front: float, length: float, width: float, height: float) -> Part:
    """A truck cab whose front is at u = front."""
    colour = draw.colour({**CARS, **LIVERIES})
    glass = rgb(0.06, 0.07, 0.08)

    def paint(canvas: Canvas) -> None:
        middle = front - length / 2
        canvas.lay(block(canvas, (middle, 0), (length, width)), height - 0.3, colour)
        canvas.lay(block(canvas, (front - 0.15, 0), (0.3, width - 0.25)), height - 0.9, glass)
        canvas.lay(block(canvas, (middle - 0.15, 0), (length - 0.7, width - 0.4)), height, colour * np.float32(0.95))

    return paint


def _semi(draw: Draw, centre: float, length: float, height: float) -> Part:
    """A semi-trailer: box, curtain sider with bows under its roof, flat or tanker."""
    style = draw.style(box=35, curtain=40, flat=12, tank=13)
    colour = pick(draw.unit, {**BOXES, "white": 40, "silver": 10, "light_grey": 16})
    deck = vary(draw.unit, rgb(0.16, 0.13, 0.10), 0.2)
    pitch, bulge = draw.between(0.6, 2.4), draw.between(0.0, 0.06)

    def paint(canvas: Canvas) -> None:
        u, v = canvas.u - centre, canvas.v
        inside = block(canvas, (centre, 0), (length, 2.55))
        if style == "flat":
            canvas.lay(inside, 1.2, deck * (1 - 0.2 * lines(u, 0.3, 0.06))[..., None])
        elif style == "tank":
            canvas.lay(block(canvas, (centre, 0), (length, 0.9)), 1.0, deck)
            body = block(canvas, (centre, 0), (length - 0.6, 2.5))
            canvas.lay(body, height - 1.25 + np.sqrt(np.clip(1.25**2 - v**2, 0, None)), colour)
        else:
            gain = 1 - (0.08 if style == "curtain" else 0.04) * lines(u, pitch, 0.09)
            z = height - 0.05 - bulge * np.cos(u * (2 * np.pi / pitch)) * (style == "curtain")
            canvas.lay(inside, z, colour * gain[..., None])

    return paint


def draw_truck(rng: np.random.Generator) -> Solid:
    """A tractor with a semi-trailer, or a rigid truck; u > 0 is its front."""
    draw = Draw.single(rng)
    height = draw.between(3.3, 4.0)
    if draw.chance(0.55):
        length, cab = 16.4, 2.3
        body = _semi(draw, -(length - 13.6) / 2, 13.6, height)
    else:
        length, cab = draw.between(6.5, 11.5), draw.between(1.7, 2.2)
        body = _semi(draw, -(cab + 0.3) / 2, length - cab - 0.3, height)
    frame = _frame(length - 0.4, 0.9)
    parts = [frame, body, _cab(draw, length / 2, cab, 2.45, min(height, draw.between(2.7, 3.7)))]
    return assemble("truck", None, Size(length, 2.55, height), parts, draw.weather(0.0, 0.5))


def draw_trailer(rng: np.random.Generator) -> Solid:
    """A semi-trailer parked without its tractor."""
    draw = Draw.single(rng)
    length = draw.between(12.0, 13.7) if draw.chance(0.8) else draw.between(7.0, 10.0)
    height = draw.between(3.4, 4.0)
    parts = [_frame(length, 0.9), _semi(draw, 0.0, length, height)]
    return assemble("trailer", None, Size(length, 2.55, height), parts, draw.weather(0.0, 0.6))


def _frame(length: float, height: float) -> Part:
    """Dark beams of a road vehicle."""

    def paint(canvas: Canvas) -> None:
        canvas.lay(block(canvas, (0, 0), (length, 0.9)), height, rgb(0.07))

    return paint


def car_body(colour: Array, centre: tuple[float, float], size: Size, base: float) -> Part:
    """A passenger car on a floor of height `base`: bonnet, glass, roof."""
    glass = rgb(0.05, 0.06, 0.07)

    def paint(canvas: Canvas) -> None:
        u, v = canvas.u - centre[0], canvas.v - centre[1]
        half = size.width_m / 2 - 0.12 * np.clip(np.abs(u) * 2 / size.length_m, 0, 1) ** 4
        body = (np.abs(u) <= size.length_m / 2) & (np.abs(v) <= half)
        canvas.lay(body, base + 0.62 * size.height_m, colour)
        cabin = block(
            canvas, (centre[0] - 0.06 * size.length_m, centre[1]), (0.58 * size.length_m, size.width_m - 0.25)
        )
        canvas.lay(cabin, base + 0.8 * size.height_m, glass)
        roof = block(canvas, (centre[0] - 0.07 * size.length_m, centre[1]), (0.34 * size.length_m, size.width_m - 0.45))
        canvas.lay(roof, base + size.height_m, colour)

    return paint


def draw_car(rng: np.random.Generator) -> Solid:
    """A parked passenger car or van."""
    draw = Draw.single(rng)
    van = draw.chance(0.12)
    size = Size(draw.between(4.8, 6.2), 2.0, 2.4) if van else Size(draw.between(3.6, 4.9), 1.8, draw.between(1.4, 1.7))
    colour = pick(draw.unit, CARS)
    parts = [car_body(colour, (0.0, 0.0), size, 0.0)]
    if van:
        parts.append(_van_roof(colour, size))
    return assemble("car", None, size, parts, draw.weather(0.0, 0.2))


def _van_roof(colour: Array, size: Size) -> Part:
    """The long roof of a van, with a fan on it."""

    def paint(canvas: Canvas) -> None:
        middle = (-0.12 * size.length_m, 0.0)
        canvas.lay(block(canvas, middle, (0.74 * size.length_m, size.width_m - 0.12)), size.height_m - 0.02, colour)
        canvas.lay(disc(canvas, middle, 0.2), size.height_m, rgb(0.3))

    return paint


def draw_coupling(rng: np.random.Generator, gap_m: float) -> Solid:
    """What fills the gap between two coupled vehicles: a coupler and often buffers, the track below."""
    draw = Draw.single(rng)
    buffers, wide = draw.chance(0.6), draw.between(0.25, 0.45)
    colour = pick(draw.unit, {"brown": 4, "dark_grey": 5, "dark_oxide": 3, "rust": 2})

    def paint(canvas: Canvas) -> None:
        canvas.lay(np.abs(canvas.v) < wide / 2, 1.0, colour * np.float32(0.7))
        if buffers:
            canvas.lay(np.abs(np.abs(canvas.v) - 0.875) < 0.16, 1.1, colour)

    return assemble("coupling", None, Size(gap_m, 2.1, 1.1), [paint], draw.weather(0.3, 1.0))


OFF_RAIL: Mapping[str, Callable[[np.random.Generator], Solid]] = {
    "container": draw_container,
    "tarped_stack": draw_tarped_stack,
    "truck": draw_truck,
    "trailer": draw_trailer,
    "car": draw_car,
}
"""Kinds off the rails, each with its drawing function."""
