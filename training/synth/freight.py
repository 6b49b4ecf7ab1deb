"""Bodies of open freight wagons with walls, as lists of parts: gondolas and hoppers."""

import numpy as np

from training.synth.loads import coils, crates, heap, rods
from training.synth.paint import FRAMES, GROUND, TUBS, Noise, pick, vary
from training.synth.solid import Canvas, Draw, Part, Size, block, lines

DECK_M = 1.2
"""Height of the floor of a wagon above the rail."""


def underframe(draw: Draw, size: Size, level: float = DECK_M - 0.15, width: float = 2.3) -> Part:
    """The frame that shows at the ends of a body: headstocks over the full length."""
    colour = draw.colour(FRAMES)

    def paint(canvas: Canvas) -> None:
        canvas.lay(block(canvas, (0, 0), (size.length_m, width)), level, colour)
        heads = np.abs(np.abs(canvas.u) - size.length_m / 2 + 0.12) <= 0.12
        canvas.lay(heads & (np.abs(canvas.v) <= size.width_m / 2 - 0.1), level, colour * np.float32(1.15))

    return paint


def tub(draw: Draw, size: Size, floor: float) -> Part:
    """The walls and the floor of an open wagon."""
    colour, thick = draw.colour(TUBS), draw.between(0.10, 0.16)
    posts, ribbed = draw.between(1.0, 1.9), draw.chance(0.7)
    rim = vary(draw.unit, colour * np.float32(draw.between(0.9, 1.7)), 0.05)
    residue = pick(draw.unit, {**GROUND, "rust": 8, "brown": 6, "oxide": 4, "ballast": 7, "tan": 2})
    spread, noise = float(draw.unit.uniform(0.2, 1.0)), Noise.draw(draw.unit)
    lean, braces = draw.between(0.0, 0.25), draw.chance(0.25)

    def paint(canvas: Canvas) -> None:
        u, v = canvas.u, canvas.v
        to_wall = np.minimum(size.length_m / 2 - np.abs(u), size.width_m / 2 - np.abs(v))
        post = lines(u, posts, 0.14) if ribbed else np.zeros_like(u)
        wall = to_wall <= thick + 0.06 * post
        broad = noise(u * 0.7, v * 1.1)
        share = np.clip(spread * (0.7 + 0.8 * broad + 0.4 * noise(u * 3, v * 3)), 0, 1)
        ground = colour * np.float32(0.75) + share[..., None] * (residue - colour * np.float32(0.75))
        ground *= (1 - 0.18 * lines(u, posts, 0.10))[..., None]
        box_floor = np.full_like(u, floor) + 0.05 * broad
        slope = np.clip(1 - (to_wall - thick) / (lean + 0.06), 0, 1)
        z = box_floor + (size.height_m - 0.1 - box_floor) * slope * (lean > 0.08)
        canvas.lay(to_wall >= 0, z, ground)
        inner = (to_wall < thick + lean) & (lean > 0.08)
        canvas.tint(inner * np.float32(0.8), colour)
        canvas.lay(wall & (to_wall >= 0), size.height_m - 0.04 * (1 - post), rim * (1 - 0.1 * post)[..., None])
        if braces:
            bar = (lines(u, posts * 3, 0.14, posts / 2) > 0.5) & (to_wall > 0)
            canvas.top(bar, size.height_m - 0.2, rim)

    return paint


def open_empty(draw: Draw, size: Size) -> list[Part]:
    """An empty open wagon."""
    return [tub(draw, size, DECK_M)]


def open_loaded(draw: Draw, size: Size) -> list[Part]:
    """An open wagon with bulk goods, scrap, timber, pipes, coils or crates."""
    inside, width = size.length_m - 0.3, size.width_m - 0.3
    walls = Size(size.length_m, size.width_m, size.height_m - draw.between(0.0, 0.7))
    parts = [tub(draw, walls, DECK_M)]
    load = draw.style(heap=72, rods=9, coils=5, crates=14)
    if load == "heap":
        free = (
            walls.height_m
            - (draw.between(0.0, 0.12) if draw.chance(0.45) else draw.between(0.1, 0.8))
            + float(draw.unit.normal(0, 0.04))
        )
        level = max(DECK_M + 0.2, free)
        return [*parts, heap(draw, inside, width, level, max(0.15, size.height_m - level - 0.15))]
    room = size.height_m - DECK_M - draw.between(0.0, 0.6)
    if load == "rods":
        return [*parts, rods(draw, inside, width, DECK_M, room)]
    if load == "coils":
        return [*parts, coils(draw, inside, width, DECK_M)]
    return [*parts, crates(draw, inside, width, DECK_M, room)]


def hopper_open(draw: Draw, size: Size) -> list[Part]:
    """An open hopper: its floor falls from the ends and from the centre ridge to the discharge gates."""
    colour, end = draw.colour(TUBS), draw.between(0.15, 0.35) * size.length_m
    ridge, noise = draw.chance(0.5), Noise.draw(draw.unit)
    bays = int(draw.design.integers(1, 5))
    dark = vary(draw.unit, colour * np.float32(draw.between(0.5, 1.0)), 0.1)
    bars = draw.chance(0.5)

    def paint(canvas: Canvas) -> None:
        u, v = canvas.u, canvas.v
        low, rim = 1.0, size.height_m
        inside = np.clip((size.length_m / 2 - np.abs(u)) / end, 0, 1)
        cells = 0.5 + 0.5 * np.cos(u * (2 * np.pi * bays / (size.length_m - end)) + np.pi * (bays % 2 == 0))
        across = np.clip(1 - np.abs(v) * 2 / size.width_m, 0, 1) if ridge else np.clip(np.abs(v) * 1.2 - 0.5, 0, 1)
        z = rim - 0.15 - (rim - 0.15 - low) * inside * (1 - 0.45 * cells * (bays > 1)) * (1 - 0.55 * across)
        gain = 1 + 0.10 * noise(u * 0.8, v) + 0.05 * noise(u * 3, v * 3)
        edge = np.minimum(size.length_m / 2 - np.abs(u), size.width_m / 2 - np.abs(v))
        canvas.lay(edge >= 0, z.astype(np.float32), dark * gain[..., None])
        canvas.lay((edge >= 0) & (edge < 0.13), rim, colour)
        if bars:
            canvas.top((lines(u, size.length_m / 3, 0.13, size.length_m / 6) > 0.5) & (edge > 0), rim - 0.1, colour)

    if draw.chance(0.5):
        return [paint]
    level = size.height_m - draw.between(0.15, 0.6) - float(draw.unit.uniform(0, 0.1))
    crown = size.height_m - level - 0.1
    return [paint, heap(draw, size.length_m - 0.3, size.width_m - 0.3, level, max(0.2, crown))]
