"""Wagons of no known make: any colours, panels, ribs, levels, gaps, gear, so that no wagon looks foreign."""

import numpy as np

from training.synth.freight import DECK_M
from training.synth.paint import COLOURS, GROUND, Array, Noise, Palette, pick, vary
from training.synth.solid import Canvas, Draw, Part, Size, block, disc, lines, rgb

_ANY: Palette = dict.fromkeys(COLOURS, 1.0)
_MOST_ALONG, _MOST_ACROSS = 8, 3


def odd(draw: Draw, size: Size) -> list[Part]:
    """A body of random panels on a frame; as often as not all of one colour, or all of one height."""
    along, across = int(draw.design.integers(1, _MOST_ALONG + 1)), int(draw.design.integers(1, _MOST_ACROSS + 1))
    number = along * across
    levels = draw.design.uniform(0.0, 1.0, number) if draw.chance(0.4) else np.full(number, draw.between(0.3, 1.0))
    palette = _ANY if draw.chance(0.6) else GROUND
    colours = np.stack([_paint(draw, palette) for _ in range(number if draw.chance(0.4) else 1)])
    colours = np.resize(colours, (number, 3))
    there = draw.unit.random(number) > (draw.between(0.1, 0.5) if draw.chance(0.3) else 0.0)
    crown = draw.between(0.0, 0.35) * draw.chance(0.6)
    ribs, deep = draw.between(0.5, 3.5), draw.between(-0.35, 0.35) * draw.chance(0.6)
    rib_wide, seam, seam_deep = draw.between(0.08, 0.4), draw.between(0.2, 1.2), draw.between(-0.3, 0.3)
    texture, along_grain, across_grain = draw.between(0.0, 0.3), draw.between(0.3, 3.0), draw.between(0.3, 3.0)
    rim, rim_wide = draw.chance(0.5), draw.between(0.1, 0.25)
    rim_colour, frame = _paint(draw, palette), _paint(draw, GROUND)
    platform, noise = draw.between(0.0, 1.2) * draw.chance(0.5), Noise.draw(draw.unit)
    body = size.length_m - 2 * platform

    def paint(canvas: Canvas) -> None:
        u, v = canvas.u, canvas.v
        sills = (np.abs(v) < 0.4) | (np.abs(np.abs(v) - size.width_m / 2 + 0.1) < 0.1)
        ends = np.abs(u) > size.length_m / 2 - 0.25
        canvas.lay(block(canvas, (0, 0), (size.length_m, size.width_m)) & (sills | ends), DECK_M - 0.1, frame)
        inside = block(canvas, (0, 0), (body, size.width_m))
        row = np.clip((u / body + 0.5) * along, 0, along - 1e-3).astype(np.intp)
        panel = row * across + np.clip((v / size.width_m + 0.5) * across, 0, across - 1e-3).astype(np.intp)
        rib = lines(u, ribs, rib_wide)
        gain = 1 + deep * rib + seam_deep * 0.5 * lines(v, seam, 0.08)
        gain += texture * noise(u * along_grain, v * across_grain)
        room = size.height_m - DECK_M
        z = DECK_M + room * levels[panel] * (1 - crown * (2 * v / size.width_m) ** 2) + 0.3 * deep * rib
        canvas.lay(inside & there[panel], z, colours[panel] * gain[..., None].astype(np.float32))
        if rim:
            edge = (np.abs(v) > size.width_m / 2 - rim_wide) | (np.abs(u) > body / 2 - rim_wide)
            canvas.lay(inside & edge, size.height_m, rim_colour)

    return [paint, _gear(draw, size, palette)] if draw.chance(0.35) else [paint]


def _gear(draw: Draw, size: Size, palette: Palette) -> Part:
    """Hatches, domes, fans or boxes along the top: not only locomotives carry them."""
    count, round_ones = int(draw.design.integers(1, 8)), draw.chance(0.6)
    along = draw.design.uniform(-0.42, 0.42, count) * size.length_m
    if draw.chance(0.6):  # evenly spaced
        along = (np.arange(count) + 0.5 - count / 2) * draw.between(0.5, 0.9) * size.length_m / count
    across = draw.design.uniform(-0.25, 0.25, count) * size.width_m * draw.chance(0.5)
    half, high, inner = draw.between(0.25, 0.8), draw.between(0.05, 0.35), draw.between(0.0, 0.85)
    rim, middle = _paint(draw, palette), _paint(draw, palette)

    def paint(canvas: Canvas) -> None:
        top = canvas.z.copy()
        for place in zip(along.tolist(), across.tolist(), strict=True):
            for reach, rise, colour in ((half, high, rim), (half * inner, high / 2, middle)):
                shape = disc(canvas, place, reach) if round_ones else block(canvas, place, (2.4 * reach, 2 * reach))
                canvas.lay(shape, top + np.float32(rise), colour)

    return paint


def _paint(draw: Draw, palette: Palette) -> Array:
    """A paint of the palette, or any colour that is not lurid."""
    if draw.chance(0.3):
        return vary(draw.unit, rgb(*draw.between(0.05, 0.5) * draw.design.uniform(0.6, 1.5, 3)), 0.05)
    return vary(draw.unit, pick(draw.design, palette), 0.05)
