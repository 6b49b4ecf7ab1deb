"""Locomotives: electric with pantographs, diesel with full body or hood, small shunters."""

import numpy as np

from training.synth.freight import underframe
from training.synth.loads import sag
from training.synth.paint import COACH_ROOFS, LIVERIES, Array, pick, vary
from training.synth.roofed import pantograph
from training.synth.solid import Canvas, Draw, Mask, Part, Size, block, disc, lines, rgb

_DARK = rgb(0.045)
_GLASS = rgb(0.055, 0.065, 0.075)


def locomotive(draw: Draw, size: Size) -> list[Part]:
    """A locomotive whose type follows its length and region."""
    america = draw.region == "north_america"
    if size.length_m < 14.5 or draw.chance(0.85 if america else 0.25):
        return hood(draw, size)
    return electric(draw, size) if draw.chance(0.65) else full_body(draw, size)


def _body(draw: Draw, size: Size, roof: Array, livery: Array) -> Part:
    """A full-width body with rounded shoulders in its livery, sloping fronts with windscreens."""
    shoulder, depth = draw.between(0.62, 0.9), draw.between(0.4, 0.9)
    nose = draw.between(0.5, 1.5)
    striped, warning = draw.chance(0.5), pick(draw.design, {"yellow": 3, "white": 2, "red": 2})

    def paint(canvas: Canvas) -> None:
        u, v = canvas.u, canvas.v
        front = np.clip((np.abs(u) - size.length_m / 2 + nose) / nose, 0, 1)
        z = size.height_m - 0.6 - sag(v, size.width_m / 2, depth, 3.0) - 1.3 * front**2
        inside = block(canvas, (0, 0), (size.length_m, size.width_m))
        canvas.lay(inside, z, livery)
        canvas.lay(inside & (np.abs(v) < shoulder * size.width_m / 2) & (front <= 0), z, roof)
        canvas.lay(inside & (front > 0.15) & (front < 0.75) & (np.abs(v) < size.width_m / 2 - 0.2), z, _GLASS)
        canvas.lay(inside & (front >= 0.75) & striped, z, warning)

    return paint


def electric(draw: Draw, size: Size) -> list[Part]:
    """An electric locomotive: a sunk roof full of equipment between the cabs, bus bars, one or two pantographs."""
    livery = draw.colour(LIVERIES, mixed=0.4)
    roof = vary(draw.unit, livery) if draw.chance(0.2) else draw.colour(COACH_ROOFS)
    well, count = draw.between(0.55, 0.85) * size.width_m, int(draw.design.integers(5, 12))
    palette = {"grey": 4, "light_grey": 4, "dark_grey": 4, "oxide": 2, "silver": 3, "black": 2, "white": 1}
    gear = np.stack([pick(draw.design, palette) for _ in range(count)])
    spots = np.sort(draw.design.uniform(-0.34, 0.34, count)) * size.length_m
    aside = draw.design.uniform(-0.25, 0.25, count) * well
    shapes = draw.design.uniform([0.4, 0.3], [2.4, 1.5], (count, 2))
    raised = bool(draw.unit.random() < 0.4)
    at = draw.between(0.27, 0.36) * size.length_m
    places = (-at, at) if draw.chance(0.75) else (at,)
    diamond, arms = draw.chance(0.35), rgb(0.30, 0.06, 0.05) if draw.chance(0.3) else _DARK
    bars, bar = draw.between(0.25, 0.45) * well, pick(draw.design, {"oxide": 2, "light_grey": 3, "silver": 2})
    dark = np.float32(draw.between(0.45, 0.85))

    def paint(canvas: Canvas) -> None:
        deck = size.height_m - 0.6
        canvas.lay(block(canvas, (0, 0), (size.length_m * 0.78, well)), deck - 0.1, roof * dark)
        for spot, side, shape, colour in zip(spots, aside, shapes, gear, strict=True):
            where = block(canvas, (float(spot), float(side)), (float(shape[0]), float(shape[1])))
            canvas.lay(where, deck + 0.25, colour)
        canvas.lay(block(canvas, (0, bars), (size.length_m * 0.55, 0.12)), deck + 0.35, bar)
        for number, place in enumerate(places):
            lift = raised and number == 0
            pantograph(canvas, place, size.height_m - (0.0 if lift else 0.25), arms, diamond)

    return [_body(draw, size, roof, livery), paint]


def full_body(draw: Draw, size: Size) -> list[Part]:
    """A diesel locomotive with a full-width body: fans, exhaust and grilles in its roof."""
    livery = draw.colour(LIVERIES, mixed=0.4)
    roof = vary(draw.unit, livery * np.float32(0.9)) if draw.chance(0.5) else draw.colour(COACH_ROOFS)
    fans, radius = int(draw.design.integers(1, 5)), draw.between(0.45, 0.85)
    first, exhaust = draw.between(0.05, 0.2) * size.length_m, -draw.between(0.0, 0.12) * size.length_m
    rim = pick(draw.design, {"dark_grey": 3, "silver": 3, "grey": 3})
    hump = (exhaust - draw.between(0.7, 2.0), exhaust + draw.between(0.7, 1.5))
    grille_long, pitch = draw.between(2.0, 4.5), draw.between(0.35, 0.7)

    def paint(canvas: Canvas) -> None:
        deck = size.height_m - 0.58
        for number in range(fans):
            place = (first + number * (2 * radius + 0.15), 0.0)
            canvas.lay(disc(canvas, place, radius), deck + 0.12, rim)
            canvas.lay(disc(canvas, place, radius - 0.14), deck, _DARK)
        grille = block(canvas, (-0.25 * size.length_m, 0), (grille_long, 1.7))
        canvas.lay(grille, deck + 0.1, (0.07 + 0.14 * lines(canvas.u, pitch, 0.15))[..., None] * rgb(1.0))
        canvas.lay(_span(canvas, hump, 1.5), size.height_m - 0.3, roof * np.float32(0.8))
        canvas.lay(block(canvas, (exhaust, 0), (1.1, 0.6)), size.height_m, _DARK)

    return [_body(draw, size, roof, livery), paint]


def hood(draw: Draw, size: Size) -> list[Part]:
    """A hood unit: bonnets of different width and height between walkways, a wider cab, fans, louvres, exhaust."""
    livery = draw.colour(LIVERIES, mixed=0.3)
    walkway = pick(draw.design, {"grey": 3, "dark_grey": 4, "ballast": 2, "light_grey": 1})
    top = vary(draw.unit, livery) if draw.chance(0.6) else draw.colour(COACH_ROOFS)
    rail = pick(draw.design, {"white": 3, "yellow": 4, "light_grey": 2, "dark_grey": 2})
    half, crown = size.length_m / 2, size.height_m - 0.25
    middle = size.length_m < 15.5 and draw.chance(0.5)
    cab_long, cab_wide = draw.between(1.9, 3.0), size.width_m - draw.between(0.0, 0.2)
    cab = (draw.between(-0.08, 0.14) if middle else draw.between(0.24, 0.36)) * size.length_m
    bonnet, nose = draw.between(1.45, 2.0), draw.between(1.4, 2.6)
    low = draw.between(0.6, 1.3) if middle else draw.between(0.0, 0.4)
    nose_low, porch = max(low, draw.between(0.5, 1.5)), draw.between(0.7, 1.5)
    tail = (-half + porch, cab - cab_long / 2)
    front = (cab + cab_long / 2, half - porch)
    roof = vary(draw.unit, top * np.float32(draw.between(0.7, 1.6)))
    radiator = draw.between(2.2, 4.5) if not middle and draw.chance(0.6) else 0.0
    blower, engine = draw.between(0.25, 0.5), draw.between(0.5, 0.75)
    gear = _hood_gear(draw, tail, crown - low, min(bonnet, size.width_m) / 2, radiator)

    def paint(canvas: Canvas) -> None:
        u, v = canvas.u, canvas.v
        inside = block(canvas, (0, 0), (size.length_m, size.width_m))
        canvas.lay(inside, 1.55, walkway)
        edge = np.minimum(half - np.abs(u), size.width_m / 2 - np.abs(v))
        canvas.lay(inside & (edge < 0.10), 2.3, rail)
        canvas.lay(inside & (half - np.abs(u) < 0.3) & (np.abs(v) < 1.0), 1.9, livery)
        canvas.lay(_span(canvas, tail, bonnet), crown - low - sag(v, bonnet / 2, 0.25, 3), top)
        if front[1] - front[0] > 0.3:
            canvas.lay(_span(canvas, front, nose), crown - nose_low - sag(v, nose / 2, 0.3, 3), livery)
        if radiator:
            ends = (tail[0], tail[0] + radiator)
            canvas.lay(_span(canvas, ends, min(bonnet + 0.9, size.width_m)), crown - low + 0.05, top)
        if not middle:
            box = (tail[0] + engine * (tail[1] - tail[0]), 1.6)
            canvas.lay(block(canvas, (box[0], 0), (box[1], bonnet + blower)), crown - low + 0.1, top * np.float32(0.9))
        gear(canvas)
        around = block(canvas, (cab, 0), (cab_long, cab_wide))
        canvas.lay(around, crown - 0.5, _GLASS)
        inner = block(canvas, (cab, 0), (cab_long - 0.55, cab_wide - 0.1))
        canvas.lay(inner, crown - 0.05 - sag(v, size.width_m / 2, 0.3, 2), roof)
        canvas.lay(block(canvas, (cab, 0.2), (0.8, 0.7)), size.height_m, roof * np.float32(0.6))

    return [underframe(draw, size, 1.2), paint]


def _span(canvas: Canvas, ends: tuple[float, float], width: float) -> Mask:
    """The rectangle from one place along the body to another, centred across."""
    return block(canvas, ((ends[0] + ends[1]) / 2, 0.0), (ends[1] - ends[0], width))


def _hood_gear(draw: Draw, ends: tuple[float, float], level: float, half: float, radiator: float) -> Part:
    """What a bonnet carries: fans at its end and over the brake resistors, louvres, exhausts."""
    fans, radius = int(draw.design.integers(1, 4)), min(0.9 * half, draw.between(0.45, 0.8))
    if radiator:
        radius = max(radius, 0.6)
    more = ends[0] + draw.between(0.55, 0.7) * (ends[1] - ends[0]) if draw.chance(0.5) else None
    places = [ends[0] + 0.5 + radius + number * (2 * radius + 0.2) for number in range(fans)]
    if more is not None:
        places += [more, more + 1.3]
    places = [place for place in places if place + radius < ends[1] - 0.2]
    stack, twin = ends[0] + draw.between(0.4, 0.55) * (ends[1] - ends[0]), draw.chance(0.4)
    louvres, pitch = draw.chance(0.6), draw.between(0.3, 0.6)
    rim = pick(draw.design, {"dark_grey": 3, "silver": 2, "grey": 3})

    def paint(canvas: Canvas) -> None:
        if louvres:
            area = _span(canvas, (stack - 2.0, stack + 2.0), 2 * half) & (np.abs(canvas.v) > half - 0.45)
            area &= _span(canvas, ends, 2 * half)
            canvas.lay(area, canvas.z, (0.06 + 0.12 * lines(canvas.u, pitch, 0.12))[..., None] * rgb(1.0))
        for place in places:
            canvas.lay(disc(canvas, (place, 0.0), radius), level + 0.14, rim)
            canvas.lay(disc(canvas, (place, 0.0), radius - 0.13), level + 0.02, _DARK)
        for place in (stack, stack + 0.9) if twin else (stack,):
            canvas.lay(block(canvas, (place, 0), (0.7, 0.6)), level + 0.2, _DARK)

    return paint
