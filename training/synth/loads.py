"""Loads: heaps, timber, pipes, coils, crates and boxes, as parts of a solid."""

from collections.abc import Mapping

import numpy as np

from training.synth.paint import BOXES, Array, Noise, Palette, pick, vary
from training.synth.solid import Canvas, Draw, Part, block, lines, rgb, strip

MATERIALS: Mapping[str, tuple[tuple[float, float, float], float, float]] = {
    # reflectance, roughness of the heap in metres, contrast of its grains
    "coal": ((0.068, 0.067, 0.068), 0.07, 0.30),
    "ore": ((0.155, 0.080, 0.055), 0.05, 0.18),
    "gravel": ((0.26, 0.25, 0.235), 0.05, 0.14),
    "sand": ((0.42, 0.35, 0.23), 0.03, 0.07),
    "soil": ((0.17, 0.115, 0.070), 0.08, 0.22),
    "limestone": ((0.48, 0.46, 0.42), 0.06, 0.12),
    "chips": ((0.40, 0.29, 0.16), 0.04, 0.16),
    "scrap": ((0.16, 0.12, 0.10), 0.16, 0.55),
}
"""Bulk goods."""

_STEEL: Palette = {"grey": 5, "silver": 3, "rust": 4, "dark_grey": 3, "light_grey": 2}
_CRATES: Palette = {
    "tan": 6, "grey": 4, "ballast": 3, "olive": 3, "dark_grey": 2, "green": 2, "blue": 1, "oxide": 2,
    "white": 1, "yellow": 0.6,
}  # fmt: skip


def heap(draw: Draw, length: float, width: float, level: float, crown: float) -> Part:
    """A heap of bulk goods: crowned across, sometimes with the humps of the loader, rough.

    Args:
        draw: randomness.
        length: inside length of the tub.
        width: inside width of the tub.
        level: height of the heap at its edge.
        crown: how much higher it may be in the middle.
    """
    name = draw.style(coal=12, ore=15, gravel=20, sand=11, soil=11, limestone=8, chips=8, scrap=15)
    base, rough, contrast = MATERIALS[name]
    colour = vary(draw.unit, vary(draw.design, rgb(*base), 0.2), 0.05)
    other = vary(draw.unit, pick(draw.unit, {"rust": 4, "silver": 3, "grey": 3, "blue": 1, "dark_grey": 3}))
    pitch, hump = draw.between(2.2, 5.5), draw.between(0.0, 0.45) * crown * draw.chance(0.6)
    phase, noise = float(draw.unit.uniform(0, 5)), Noise.draw(draw.unit)

    def paint(canvas: Canvas) -> None:
        u, v = canvas.u, canvas.v
        across = np.clip(1 - (2 * v / width) ** 2, 0.0, 1.0)
        along = np.clip((length / 2 - np.abs(u)) * 0.9, 0.0, 1.0)
        shape = along * (across * (crown - hump) + hump * np.cos((u - phase) * (2 * np.pi / pitch)))
        broad, fine = noise(u * 0.8, v * 0.8), noise(u * 3.1 + 9, v * 3.1)
        z = level + shape + rough * (1.6 * broad + fine)
        albedo = colour * (1 + contrast * (0.4 * broad + 0.8 * fine))[..., None]
        if name == "scrap":
            speck = np.clip((noise(u * 2.9 + 3, v * 4.3 + 5) - 0.35) * 1.6, 0, 0.8)
            albedo += speck[..., None] * (other - albedo)
        canvas.lay(block(canvas, (0, 0), (length, width)), z, albedo)

    return paint


def rods(draw: Draw, length: float, width: float, level: float, room: float) -> Part:
    """Timber logs, pipes or bars along the wagon, in one or several stacks, with bunks or stakes between."""
    timber = draw.chance(0.6)
    thick = draw.between(0.2, 0.42) if timber else draw.between(0.15, 0.9)
    colour = draw.colour({"tan": 6, "brown": 4, "ballast": 3, "cream": 1} if timber else _STEEL)
    stacks = int(draw.design.integers(1, 6)) if timber else int(draw.design.integers(1, 4))
    gap, crown = draw.between(0.1, 0.7), draw.between(0.0, 0.35) * room
    wide, tone = width - draw.between(0.1, 0.5), (0.22 if timber else 0.10)
    noise = Noise.draw(draw.unit)
    missing = draw.unit.random(stacks) < (0.12 if stacks > 1 else 0.0)
    drop = draw.unit.uniform(0, 0.35 * room, stacks)

    def paint(canvas: Canvas) -> None:
        pitch = length / stacks
        place = np.clip(np.floor((canvas.u + length / 2) / pitch), 0, stacks - 1)
        index = place.astype(np.intp)
        inside = np.abs(canvas.u + length / 2 - (place + 0.5) * pitch) <= (pitch - gap) / 2
        rod = canvas.v / thick + place * 3.0
        offset = (rod - np.floor(rod) - 0.5) * 2
        shape = crown * (1 - (2 * canvas.v / wide) ** 2) - drop[index].astype(np.float32)
        pile = noise.cell(rod + place * 57)
        z = level + (room - crown) + shape + thick * (0.35 * np.sqrt(np.clip(1 - offset**2, 0, 1)) - 0.4 * np.abs(pile))
        albedo = colour * ((1 + tone * pile) * (1 - 0.35 * offset**2))[..., None]
        canvas.lay(inside & (np.abs(canvas.v) <= wide / 2) & ~missing[index], z, albedo)

    return paint


def coils(draw: Draw, length: float, width: float, level: float) -> Part:
    """Steel coils in troughs, axes across, a few places left empty."""
    radius, wide = draw.between(0.55, 0.95), draw.between(1.0, 1.8)
    pitch = 2 * radius + draw.between(0.1, 1.3)
    count = max(1, int((length - 0.4) / pitch))
    colour = draw.colour(_STEEL, mixed=0.4)
    present = draw.unit.random(count) < draw.between(0.6, 1.0)
    present[int(draw.unit.integers(count))] = True
    noise = Noise.draw(draw.unit)

    def paint(canvas: Canvas) -> None:
        at = canvas.u / pitch + count / 2
        place = np.clip(np.floor(at), 0, count - 1)
        offset = (at - place - 0.5) * pitch
        inside = (np.abs(offset) < radius) & (np.abs(canvas.v) < wide / 2) & present[place.astype(np.intp)]
        z = level + 0.15 + radius + np.sqrt(np.clip(radius**2 - offset**2, 0, None))
        gain = 1 + 0.2 * noise.cell(place) + 0.1 * lines(canvas.v, 0.33, 0.06) + 0.5 * strip(offset, 0.1, 0.2)
        canvas.lay(inside, z, colour * gain[..., None])

    return paint


def crates(draw: Draw, length: float, width: float, level: float, room: float) -> Part:
    """Crates, slabs, bundles or machines: blocks of several sizes, colours and heights."""
    pitch, halves = draw.between(1.5, 5.5), draw.chance(0.3)
    low, noise = draw.between(0.1, 0.9) * room, Noise.draw(draw.unit)
    kinds = int(draw.design.choice([1, 2, 4], p=[0.5, 0.35, 0.15]))
    goods: list[Array] = []
    for _ in range(4):
        goods.append(goods[-kinds] if len(goods) >= kinds else draw.colour(_CRATES, mixed=0.5))
    colours = np.stack([vary(draw.unit, colour, 0.08) for colour in goods])
    wide, empty = width - draw.between(0.1, 0.7), draw.between(0.0, 0.35)

    def paint(canvas: Canvas) -> None:
        at = canvas.u / pitch + 50.5
        side = (canvas.v > 0) * np.float32(31) if halves else np.zeros_like(canvas.v)
        cell = np.floor(at) + side
        margin = 0.04 + 0.12 * np.abs(noise.cell(cell + 7))
        across = np.abs(np.abs(canvas.v) - wide / 4) <= wide / 4 - 0.06 if halves else np.abs(canvas.v) <= wide / 2
        inside = (np.abs(at - np.floor(at) - 0.5) <= 0.5 - margin) & across & (np.abs(canvas.u) <= length / 2)
        inside &= noise.cell(cell + 101) > 2 * empty - 1
        pattern = (np.abs(noise.cell(cell + 211)) * 3.99).astype(np.intp)
        z = level + low + (room - low) * np.abs(noise.cell(cell + 5))
        gain = 1 + 0.08 * noise.cell(cell + 17) - 0.15 * lines(canvas.v, 0.3, 0.05) * (pattern == 1)
        canvas.top(inside, z.astype(np.float32), colours[pattern] * gain[..., None])

    return paint


def box(draw: Draw, centre: float, length: float, width: float, height: float) -> Part:
    """An ISO container or swap body: corrugated or panelled roof, corner castings, at a height of its top."""
    colour, corrugated = draw.colour(BOXES, mixed=1.0), bool(draw.unit.random() < 0.75)
    pitch = float(draw.unit.uniform(0.25, 0.5) if corrugated else draw.unit.uniform(1.0, 2.5))
    depth, panel = (0.018, 0.04) if corrugated else (0.006, 0.05)
    casting = vary(draw.unit, colour * float(draw.unit.choice([0.45, 0.6, 1.4])), 0.1)
    dent, noise = float(draw.unit.uniform(0.0, 0.04)), Noise.draw(draw.unit)
    marks, dust = bool(draw.unit.random() < 0.2), float(max(0.0, draw.unit.uniform(-0.4, 0.4)))

    def paint(canvas: Canvas) -> None:
        u, v = canvas.u - centre, canvas.v
        inside = block(canvas, (centre, 0), (length, width))
        groove = 0.5 + 0.5 * np.cos(u * (2 * np.pi / pitch)) if corrugated else lines(u, pitch, 0.06)
        sheet = noise.cell(u * 0.42 + 40)
        z = height - 0.02 - depth * groove - dent * np.abs(noise(u * 0.5, v * 0.6))
        gain = 1 + panel * sheet - (0.10 if corrugated else 0.25) * groove
        albedo = colour * gain[..., None]
        albedo += np.clip(dust * (noise(u * 0.3, v) + 0.3), 0, 1)[..., None] * (rgb(0.2, 0.18, 0.15) - albedo)
        if marks:
            share = strip(u, length / 2 - 1.0, 0.35) * strip(v, 0, 1.2) * (noise(u * 9, v * 7) > 0)
            albedo += 0.6 * share[..., None] * (rgb(0.6) - albedo)
        rim = (np.abs(v) > width / 2 - 0.09) | (np.abs(u) > length / 2 - 0.09)
        corner = (np.abs(v) > width / 2 - 0.2) & (np.abs(u) > length / 2 - 0.2)
        canvas.lay(inside, z, albedo)
        canvas.lay(inside & rim, height, colour * np.float32(0.92))
        canvas.lay(inside & corner, height, casting)

    return paint


def sag(x: Array, half: float, depth: float, power: float) -> Array:
    """How much a roof with a drop of `depth` at its eaves lies below its crown at x."""
    return np.asarray(depth * np.clip(np.abs(x) / half, 0, 1) ** power, dtype=np.float32)
