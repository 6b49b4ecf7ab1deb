"""Bodies with a roof: covered and tank wagons, covered hoppers, hooded coil wagons, closed autoracks, coaches."""

import numpy as np

from training.synth.freight import DECK_M, underframe
from training.synth.loads import sag
from training.synth.paint import COACH_ROOFS, GROUND, HOPPERS, LIVERIES, ROOFS, TANKS, Array, Noise, Palette, pick, vary
from training.synth.solid import Canvas, Draw, Part, Size, block, disc, lines, rgb, strip

_SLIDING: Palette = {
    "white": 12, "silver": 12, "light_grey": 7, "grey": 3, "cream": 2, "orange": 2, "blue": 2, "red": 4,
    "yellow": 1.5, "green": 1, "violet": 1,
}  # fmt: skip
_HOODS: Palette = {
    **GROUND,
    "silver": 9, "light_grey": 9, "grey": 5, "blue": 3, "oxide": 5, "white": 4, "green": 2, "red": 3, "yellow": 1,
    "violet": 1.5,
}  # fmt: skip


def _roof(colour: Array, size: Size, length: float, drop: tuple[float, float], taper: float) -> Part:
    """A roof that falls to its eaves by drop[0] with the power drop[1], and at its ends by `taper`."""

    def paint(canvas: Canvas) -> None:
        u, v = canvas.u, canvas.v
        z = size.height_m - 0.08 - sag(v, size.width_m / 2, *drop)
        z -= taper * np.clip(1 - (length / 2 - np.abs(u)) / 0.7, 0, 1) ** 2
        canvas.lay(block(canvas, (0, 0), (length, size.width_m)), z, colour)

    return paint


def _ribs(draw: Draw, pitch: float, depth: float, contrast: float, panel: float) -> Part:
    """Seams or ribs across a roof, raised or sunk, with panels between them of slightly different tone."""
    noise, phase = Noise.draw(draw.unit), draw.between(0, 1) * pitch

    def paint(canvas: Canvas) -> None:
        rib = lines(canvas.u, pitch, 0.1, phase)
        canvas.z += depth * rib * canvas.cover
        canvas.rgb *= (1 + contrast * rib + panel * noise.cell((canvas.u - phase) / pitch + 40))[..., None]

    return paint


def _stripes(draw: Draw, positions: tuple[float, ...], width: float, contrast: float, rise: float = 0.0) -> Part:
    """Bands along the roof: seams, gutters, walkways, glints."""
    gain = contrast * float(draw.unit.uniform(0.7, 1.3))

    def paint(canvas: Canvas) -> None:
        for position in positions:
            band = strip(canvas.v, position, width)
            canvas.rgb *= (1 + gain * band)[..., None]
            if rise:
                canvas.z += rise * band * canvas.cover

    return paint


def _glint(draw: Draw, width: float, strength: float) -> Part:
    """The streak of mirrored sky along the crown of a shiny round body."""
    place, wide = float(draw.unit.uniform(-0.28, 0.28)) * width, float(draw.unit.uniform(0.12, 0.35))

    def paint(canvas: Canvas) -> None:
        share = strength * np.exp(-(((canvas.v - place) / wide) ** 2)) * canvas.cover
        canvas.tint(share, rgb(0.85, 0.87, 0.9))

    return paint


def covered(draw: Draw, size: Size) -> list[Part]:
    """A covered wagon: curved, flat, corrugated or sliding-wall."""
    america = draw.region == "north_america"
    style = draw.style(curved=38, sliding=34 if not america else 2, flat=14 if not america else 50, corrugated=14)
    end = 0.0 if draw.chance(0.6) else draw.between(0.1, 0.4)
    length = size.length_m - 2 * end
    frame = underframe(draw, size)
    if style == "sliding":
        colour = draw.colour(_SLIDING)
        roof = _roof(colour, size, length, (draw.between(0.25, 0.6), draw.between(2.2, 4.5)), draw.between(0.05, 0.3))
        parts = [frame, roof, _ribs(draw, draw.between(1.0, 4.0), 0.01, draw.between(-0.10, 0.05), 0.03)]
        if draw.chance(0.6):
            parts.append(_stripes(draw, (0.0,), 0.12, draw.between(-0.2, 0.15), 0.02))
        return [*parts, _glint(draw, size.width_m, draw.between(0.0, 0.4))]
    colour = draw.colour(ROOFS)
    if style == "curved":
        roof = _roof(colour, size, length, (draw.between(0.3, 0.75), draw.between(1.7, 2.4)), 0.0)
        parts = [
            frame,
            roof,
            _ribs(draw, draw.between(0.7, 2.2), draw.between(-0.005, 0.02), draw.between(-0.12, 0.1), 0.05),
        ]
    elif style == "flat":
        roof = _roof(colour, size, length, (draw.between(0.06, 0.2), 1.0), 0.0)
        parts = [frame, roof, _ribs(draw, draw.between(0.9, 1.6), 0.02, draw.between(-0.15, 0.1), 0.05)]
    else:
        roof = _roof(colour, size, length, (draw.between(0.1, 0.5), 2.0), 0.0)
        parts = [frame, roof, _ribs(draw, draw.between(0.35, 0.7), 0.02, draw.between(-0.15, -0.03), 0.02)]
    if draw.chance(0.35):
        parts.append(_stripes(draw, (0.0,), draw.between(0.3, 0.7), draw.between(-0.25, 0.2), 0.03))
    if draw.chance(0.3):
        parts.append(_hatches(draw, size, int(draw.design.integers(2, 7)), 0.25))
    return parts


def _hatches(draw: Draw, size: Size, count: int, radius: float, offset: float = 0.0) -> Part:
    """Round hatches or vents in a row, or in two rows at +-offset."""
    gain, span = np.float32(draw.between(0.6, 1.4)), size.length_m * draw.between(0.55, 0.85)
    square = draw.chance(0.4)

    def paint(canvas: Canvas) -> None:
        pitch = span / count
        at = canvas.u / pitch + count / 2
        du = (at - np.floor(at) - 0.5) * pitch
        dv = np.abs(canvas.v) - offset
        where = np.maximum(np.abs(du), np.abs(dv)) < radius if square else du**2 + dv**2 < radius**2
        where &= np.abs(canvas.u) < span / 2
        canvas.rgb *= np.where(where, gain, np.float32(1))[..., None]
        canvas.z += np.float32(0.07) * (where & canvas.cover)

    return paint


def hopper_covered(draw: Draw, size: Size) -> list[Part]:
    """A covered hopper: rounded roof with a trough hatch or round hatches, sloping ends over the frame."""
    colour = draw.colour(HOPPERS)
    slope, trough = draw.between(0.3, 1.8), draw.chance(0.5)
    drop = (draw.between(0.3, 0.9), draw.between(1.5, 2.6))
    length = size.length_m - 2 * slope
    dark = vary(draw.unit, colour * np.float32(0.75))

    def ends(canvas: Canvas) -> None:
        share = np.clip((size.length_m / 2 - np.abs(canvas.u)) / slope, 0, 1)
        where = block(canvas, (0, 0), (size.length_m - 0.3, size.width_m - 0.3))
        canvas.lay(where, 1.3 + share * (size.height_m - 2.0), dark)

    parts = [underframe(draw, size), ends, _roof(colour, size, length, drop, 0.0)]
    parts.append(_ribs(draw, draw.between(0.8, 1.8), 0.015, draw.between(-0.08, 0.12), 0.02))
    if trough:
        parts.append(_stripes(draw, (0.0,), draw.between(0.5, 0.9), draw.between(-0.2, 0.2), 0.07))
    else:
        offset = 0.0 if draw.chance(0.5) else draw.between(0.5, 0.8)
        parts.append(_hatches(draw, size, int(draw.design.integers(3, 7)), 0.35, offset))
    if draw.chance(0.5):
        at = draw.between(0.75, 0.95) * size.width_m / 2
        parts.append(_stripes(draw, (-at, at), 0.14, draw.between(-0.25, 0.25)))
    return parts


def tank(draw: Draw, size: Size) -> list[Part]:
    """A tank wagon: a lying cylinder with domed ends, walkway, dome, ladders, its frame at both ends."""
    colour, radius = draw.colour(TANKS), size.width_m / 2
    platform, walk = draw.between(0.25, 1.1), draw.chance(0.75)
    barrel = size.length_m - 2 * platform
    walk_wide, walk_gain = draw.between(0.4, 0.9), draw.between(0.5, 1.3)
    band_pitch, band_gain = draw.between(1.5, 4.0), draw.between(-0.15, 0.10) * draw.chance(0.6)
    domes = [0.0] if draw.chance(0.7) else [-barrel * 0.2, barrel * 0.2]
    dome_radius, crown = draw.between(0.25, 0.55), size.height_m - 0.25
    spill, noise = float(draw.unit.uniform(0, 0.6)) * draw.chance(0.5), Noise.draw(draw.unit)
    stain = pick(draw.unit, {"dark_grey": 4, "black": 3, "brown": 3, "rust": 2})

    def paint(canvas: Canvas) -> None:
        u, v = canvas.u, canvas.v
        cap = np.clip((np.abs(u) - barrel / 2 + 0.55) / 0.55, 0, 1)
        local = radius * np.sqrt(np.clip(1 - cap**2 * 0.9, 0, 1))
        inside = (np.abs(u) <= barrel / 2) & (np.abs(v) <= local)
        z = crown - radius + np.sqrt(np.clip(local**2 - v**2, 0, None))
        band = lines(u, band_pitch, 0.12, band_pitch / 2)
        canvas.lay(inside, z.astype(np.float32), colour * (1 + band_gain * band)[..., None])
        if spill:
            share = spill * np.exp(-((u - domes[0]) ** 2)) * np.clip(0.6 + noise(u * 2.5, v * 0.4), 0, 1) * inside
            canvas.tint(share, stain)
        if walk:
            where = inside & (np.abs(v) < walk_wide / 2) & (np.abs(u) < barrel / 2 - 0.5)
            grid = 1 - 0.2 * lines(u, 0.5, 0.1)
            canvas.lay(where, crown + 0.05, vary_gain(colour, walk_gain) * grid[..., None])
            ladder = (np.abs(u - domes[0] - 0.6) < 0.22) & (np.abs(v) < radius)
            canvas.lay(ladder & inside, np.minimum(crown, z + 0.08), vary_gain(colour, walk_gain * 0.9))
        for place in domes:
            canvas.lay(disc(canvas, (place, 0.0), dome_radius), size.height_m, colour * np.float32(0.85))
            canvas.lay(disc(canvas, (place + 0.1, 0.05), dome_radius * 0.5), size.height_m, colour * np.float32(0.6))

    return [underframe(draw, size), paint, _glint(draw, size.width_m, draw.between(0.0, 0.35))]


def vary_gain(colour: Array, gain: float) -> Array:
    """A colour made brighter or darker."""
    return np.asarray(np.clip(colour * gain, 0.03, 0.8), dtype=np.float32)


def autorack_closed(draw: Draw, size: Size) -> list[Part]:
    """A closed car carrier with a corrugated, nearly flat roof."""
    colour = draw.colour({"light_grey": 10, "silver": 10, "grey": 6, "ballast": 4, "tan": 2, "oxide": 2, "yellow": 1})
    roof = _roof(colour, size, size.length_m, (draw.between(0.1, 0.4), draw.between(1.0, 3.0)), 0.0)
    at = 0.9 * size.width_m / 2
    return [
        roof,
        _ribs(draw, draw.between(0.6, 1.3), 0.025, draw.between(-0.14, 0.08), 0.03),
        _stripes(draw, (-at, at), 0.16, draw.between(-0.3, 0.3)),
    ]


def coil(draw: Draw, size: Size) -> list[Part]:
    """A wagon for steel coils under rounded hoods, telescoping ones of unequal height or lids side by side."""
    colour = draw.colour(_HOODS)
    hoods = int(draw.design.integers(1, 3)) if draw.region == "north_america" else int(draw.design.choice([3, 3, 2, 5]))
    end, step = draw.between(0.15, 0.7), draw.between(0.06, 0.16)
    drop, ribbed = (draw.between(0.4, 1.0), draw.between(1.6, 2.6)), draw.chance(0.5)
    length = (size.length_m - 2 * end) / hoods
    tones = 1 + 0.06 * draw.unit.standard_normal(hoods).astype(np.float32)
    pitch, gap = draw.between(0.6, 1.6), 0.0 if hoods > 2 else draw.between(0.05, 0.3)

    def paint(canvas: Canvas) -> None:
        u, v = canvas.u, canvas.v
        at = u / length + hoods / 2
        i = np.clip(np.floor(at), 0, hoods - 1).astype(np.intp)
        inner = (i % 2) * np.float32(step * (hoods > 2))
        inside = (np.abs(at - i - 0.5) * length < length / 2 - gap / 2) & (np.abs(v) < size.width_m / 2 - 0.05)
        z = size.height_m - step + inner - sag(v, size.width_m / 2, *drop)
        gain = tones[i] * (1 - 0.10 * lines(u, pitch, 0.1) * ribbed)
        canvas.lay(inside, z, colour * gain[..., None])

    return [underframe(draw, size, DECK_M + 0.1, size.width_m), paint]


def passenger(draw: Draw, size: Size) -> list[Part]:
    """A coach: rounded roof with seams along it, air conditioning, vents, and gangways at its ends."""
    colour = draw.colour(COACH_ROOFS, mixed=0.1)
    side = draw.colour(LIVERIES, mixed=0.05)
    drop, shoulder = (draw.between(0.35, 0.8), draw.between(2.2, 4.0)), draw.between(0.78, 0.98)
    units = int(draw.design.integers(0, 5))
    gain = np.float32(draw.between(0.55, 1.35))
    box_length, box_width = draw.between(1.5, 5.0), draw.between(1.2, 2.2)
    places = [(i + 0.5) / units - 0.5 for i in range(units)] if units != 2 else [-0.42, 0.42]
    sunk = draw.chance(0.3)
    current = draw.chance(0.25) and bool(draw.unit.random() < 0.5)
    place_of_bow = draw.between(0.2, 0.4) * size.length_m

    def paint(canvas: Canvas) -> None:
        skirt = (np.abs(canvas.v) > shoulder * size.width_m / 2) & canvas.cover
        canvas.lay(skirt, canvas.z, side)
        for place in places:
            centre = (place * (size.length_m - box_length), 0.0)
            where = block(canvas, centre, (box_length, box_width))
            canvas.lay(where, canvas.z + (-0.04 if sunk else 0.07), colour * gain)
            for fan in (-0.3, 0.3):
                spot = (centre[0] + fan * box_length, 0.0)
                canvas.lay(disc(canvas, spot, 0.35), canvas.z, colour * gain * np.float32(0.6))
        if current:
            pantograph(canvas, place_of_bow, size.height_m, rgb(0.045), diamond=False)

    seam = draw.between(0.3, 0.7) * size.width_m / 2
    return [
        _gangway(size),
        _roof(colour, size, size.length_m - 0.3, drop, 0.15),
        _ribs(draw, draw.between(1.0, 4.0), 0.008, draw.between(-0.08, 0.05), 0.02),
        _stripes(draw, (-seam, seam), 0.08, draw.between(-0.2, 0.15)),
        paint,
    ]


def pantograph(canvas: Canvas, place: float, height: float, colour: Array, diamond: bool) -> None:
    """The thin arms of a pantograph, of two halves or of one, its base frame and the bow across."""
    u, v = canvas.u - place, canvas.v
    reach = 1.25 if diamond else 0.9
    arms = (np.abs(np.abs(v) - 0.5 + 0.3 * np.abs(u)) < 0.09) & (np.abs(u) < reach)
    if not diamond:
        arms &= u > -0.5
    bow = (np.abs(np.abs(u - (0.0 if diamond else 0.6)) - 0.2) < 0.09) & (np.abs(v) < 0.9)
    base = (np.abs(np.abs(u) - reach + 0.1) < 0.09) & (np.abs(v) < 0.65)
    canvas.lay(arms | bow | base, height, colour)


def _gangway(size: Size) -> Part:
    """Dark bellows at both ends of a coach."""

    def paint(canvas: Canvas) -> None:
        canvas.lay(block(canvas, (0, 0), (size.length_m, size.width_m - 0.3)), size.height_m - 0.5, rgb(0.06))

    return paint
