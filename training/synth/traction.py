"""Locomotives: electric with pantographs, diesel with full body or hood, small shunters."""

import numpy as np

from training.synth.freight import underframe
from training.synth.loads import sag
from training.synth.paint import COACH_ROOFS, LIVERIES, Array, pick, vary
from training.synth.solid import Canvas, Draw, Part, Size, block, disc, lines, rgb

_DARK = rgb(0.045)


def locomotive(draw: Draw, size: Size) -> list[Part]:
    """A locomotive whose type follows its length and region."""
    america = draw.region == "north_america"
    if america or size.length_m < 14.5:
        return hood(draw, size)
    return electric(draw, size) if draw.chance(0.65) else full_body(draw, size)


def _body(draw: Draw, size: Size, roof: Array, livery: Array) -> Part:
    """A full-width body with rounded shoulders in its livery, sloping fronts with windscreens."""
    shoulder, depth = draw.between(0.62, 0.9), draw.between(0.4, 0.9)
    nose = draw.between(0.3, 1.2)

    def paint(canvas: Canvas) -> None:
        u, v = canvas.u, canvas.v
        front = np.clip((np.abs(u) - size.length_m / 2 + nose) / nose, 0, 1)
        z = size.height_m - 0.6 - sag(v, size.width_m / 2, depth, 3.0) - 1.3 * front**2
        inside = block(canvas, (0, 0), (size.length_m, size.width_m))
        canvas.lay(inside, z, livery)
        canvas.lay(inside & (np.abs(v) < shoulder * size.width_m / 2) & (front <= 0), z, roof)
        canvas.lay(inside & (front > 0.25) & (front < 0.7) & (np.abs(v) < size.width_m / 2 - 0.25), z, rgb(0.05))

    return paint


def electric(draw: Draw, size: Size) -> list[Part]:
    """An electric locomotive: roof equipment between the cabs and one or two pantographs."""
    livery = draw.colour(LIVERIES, mixed=0.5)
    roof = vary(draw.unit, livery) if draw.chance(0.3) else draw.colour(COACH_ROOFS)
    well, count = draw.between(0.5, 0.8) * size.width_m, int(draw.design.integers(3, 8))
    gear = [
        pick(draw.design, {"grey": 4, "light_grey": 3, "dark_grey": 4, "oxide": 1, "silver": 2}) for _ in range(count)
    ]
    spots = np.sort(draw.design.uniform(-0.33, 0.33, count)) * size.length_m
    shapes = draw.design.uniform([0.4, 0.3], [2.2, 1.4], (count, 2))
    raised = bool(draw.unit.random() < 0.4)
    places = (-0.33 * size.length_m, 0.33 * size.length_m) if draw.chance(0.8) else (0.3 * size.length_m,)

    def paint(canvas: Canvas) -> None:
        deck = size.height_m - 0.6
        canvas.lay(block(canvas, (0, 0), (size.length_m * 0.72, well)), deck - 0.05, roof * np.float32(0.8))
        for spot, shape, colour in zip(spots, shapes, gear, strict=True):
            where = block(canvas, (float(spot), 0.0), (float(shape[0]), float(shape[1])))
            canvas.lay(where, deck + 0.2, colour)
        for number, place in enumerate(places):
            _pantograph(canvas, place, size.height_m - (0.0 if raised and number == 0 else 0.25))

    return [_body(draw, size, roof, livery), paint]


def _pantograph(canvas: Canvas, place: float, height: float) -> None:
    """Dark thin arms of a folded pantograph and the bow across."""
    u, v = canvas.u - place, canvas.v
    arms = (np.abs(np.abs(v) - 0.45 + 0.25 * np.abs(u)) < 0.07) & (np.abs(u) < 1.1)
    bow = (np.abs(np.abs(u) - 0.2) < 0.07) & (np.abs(v) < 0.85)
    base = (np.abs(np.abs(u) - 0.9) < 0.07) & (np.abs(v) < 0.6)
    canvas.lay(arms | bow | base, height, _DARK)


def full_body(draw: Draw, size: Size) -> list[Part]:
    """A diesel locomotive with a full-width body: fans, exhaust and grilles in its roof."""
    livery = draw.colour(LIVERIES, mixed=0.4)
    roof = vary(draw.unit, livery * np.float32(0.9)) if draw.chance(0.5) else draw.colour(COACH_ROOFS)
    fans, radius = int(draw.design.integers(1, 5)), draw.between(0.45, 0.85)
    first, exhaust = draw.between(0.05, 0.2) * size.length_m, -draw.between(0.0, 0.15) * size.length_m

    def paint(canvas: Canvas) -> None:
        deck = size.height_m - 0.58
        for number in range(fans):
            place = (first + number * (2 * radius + 0.15), 0.0)
            canvas.lay(disc(canvas, place, radius), deck + 0.12, rgb(0.12))
            canvas.lay(disc(canvas, place, radius * 0.8), deck, _DARK)
        grille = block(canvas, (-0.25 * size.length_m, 0), (3.0, 1.6))
        canvas.lay(grille, deck, roof * (0.6 + 0.25 * lines(canvas.u, 0.4, 0.15))[..., None])
        canvas.lay(block(canvas, (exhaust, 0), (0.9, 0.5)), size.height_m, _DARK)

    return [_body(draw, size, roof, livery), paint]


def hood(draw: Draw, size: Size) -> list[Part]:
    """A hood unit: narrow bonnets between walkways, the cab near one end or in the middle, fans, exhaust."""
    livery, walkway = (
        draw.colour(LIVERIES, mixed=0.5),
        pick(draw.design, {"grey": 3, "dark_grey": 4, "ballast": 2}),
    )
    top = vary(draw.unit, livery) if draw.chance(0.6) else draw.colour(COACH_ROOFS)
    bonnet, cab_long = draw.between(1.5, 2.0), draw.between(1.8, 2.8)
    middle = size.length_m < 14.5 and draw.chance(0.5)
    cab = (draw.between(-0.05, 0.1) if middle else draw.between(0.26, 0.36)) * size.length_m
    fans, radius = int(draw.design.integers(1, 4)), min(0.45 * bonnet, draw.between(0.4, 0.75))
    crown = size.height_m - 0.25
    roof = vary(draw.unit, top * np.float32(draw.between(0.8, 1.4)))

    def paint(canvas: Canvas) -> None:
        u, v = canvas.u, canvas.v
        inside = block(canvas, (0, 0), (size.length_m, size.width_m))
        canvas.lay(inside, 1.55, walkway)
        edge = np.minimum(size.length_m / 2 - np.abs(u), size.width_m / 2 - np.abs(v))
        canvas.lay(inside & (edge < 0.08), 1.9, livery)
        low = 0.9 if middle else 0.35
        canvas.lay(
            block(canvas, (0, 0), (size.length_m - 1.8, bonnet)),
            crown - low - sag(v, bonnet / 2, 0.25, 3),
            top,
        )
        for number in range(fans):
            place = (-size.length_m / 2 + 1.8 + radius + number * (2 * radius + 0.2), 0.0)
            canvas.lay(disc(canvas, place, radius), crown - low + 0.12, rgb(0.13))
            canvas.lay(disc(canvas, place, radius * 0.75), crown - low, _DARK)
        canvas.lay(block(canvas, (cab - 0.3 * size.length_m, 0), (1.0, 0.5)), crown - 0.1, _DARK)
        canvas.lay(
            block(canvas, (cab, 0), (cab_long, size.width_m)),
            crown - 0.05 - sag(v, size.width_m / 2, 0.3, 2),
            roof,
        )
        canvas.lay(block(canvas, (cab, 0.2), (0.5, 0.4)), size.height_m, roof * np.float32(0.6))

    return [underframe(draw, size, 1.2), paint]
