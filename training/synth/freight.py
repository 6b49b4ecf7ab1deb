"""Bodies of open freight wagons, as lists of parts: gondolas, hoppers, flats, tarped, car carriers."""

import numpy as np

from training.synth.loads import box, coils, crates, heap, rods, tarpaulin
from training.synth.objects import car_body
from training.synth.paint import CARS, FRAMES, TUBS, Noise, pick, vary
from training.synth.solid import Canvas, Draw, Part, Size, block, confined, lines, rgb, strip

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
    rim = vary(draw.unit, colour * np.float32(draw.between(0.9, 1.5)), 0.05)
    residue = pick(draw.unit, {"rust": 8, "brown": 8, "dark_grey": 4, "oxide": 5, "ballast": 7, "grey": 4, "tan": 2})
    spread, noise = float(draw.unit.uniform(0.2, 1.0)), Noise.draw(draw.unit)
    lean, braces = draw.between(0.0, 0.25), draw.chance(0.25)

    def paint(canvas: Canvas) -> None:
        u, v = canvas.u, canvas.v
        to_wall = np.minimum(size.length_m / 2 - np.abs(u), size.width_m / 2 - np.abs(v))
        post = lines(u, posts, 0.14) if ribbed else np.zeros_like(u)
        wall = to_wall <= thick + 0.06 * post
        broad = noise(u * 0.7, v * 1.1)
        share = np.clip(spread * (0.7 + 0.8 * broad + 0.4 * noise(u * 3, v * 3)), 0, 1)
        ground = colour * np.float32(0.6) + share[..., None] * (residue - colour * np.float32(0.6))
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


def flat_deck(draw: Draw, size: Size) -> list[Part]:
    """A flat wagon with a closed floor of planks or sheets, stakes, flaps or bulkheads."""
    wood, plank = draw.chance(0.6), draw.between(0.2, 0.32)
    floor = draw.colour({"ballast": 8, "brown": 7, "tan": 4, "rust": 3} if wood else FRAMES)
    edge, sheet = draw.colour(FRAMES), draw.between(1.2, 3.0)
    stakes, pitch = draw.chance(0.4), draw.between(1.3, 2.6)
    heads = size.height_m > DECK_M + 0.6
    bearers, noise = draw.chance(0.3), Noise.draw(draw.unit)

    def paint(canvas: Canvas) -> None:
        u, v = canvas.u, canvas.v
        inside = block(canvas, (0, 0), (size.length_m, size.width_m))
        gain = (
            1 - 0.18 * lines(u, plank if wood else sheet, 0.05) + 0.10 * noise.cell(u / (plank * 3 if wood else sheet))
        )
        gain += 0.10 * noise(u * 0.4, v * 0.9)
        canvas.lay(inside, DECK_M, floor * gain[..., None])
        side = inside & (np.abs(v) > size.width_m / 2 - 0.14)
        canvas.lay(side, DECK_M + 0.03, edge)
        canvas.tint(0.35 * strip(v, 0, 0.25) * inside, edge)
        if bearers:
            canvas.lay(inside & (lines(u, pitch, 0.2, pitch / 2) > 0.5), DECK_M + 0.15, edge * np.float32(1.2))
        if stakes:
            canvas.lay(
                side & (lines(u, pitch, 0.16) > 0.5),
                min(size.height_m, DECK_M + 0.45),
                edge * np.float32(1.3),
            )
        if heads:
            canvas.lay(inside & (np.abs(u) > size.length_m / 2 - 0.18), size.height_m, edge * np.float32(1.2))

    return [paint]


def skeleton(draw: Draw, size: Size, level: float = DECK_M - 0.05) -> list[Part]:
    """The frame of a container wagon: sills and cross members, the track visible between them."""
    colour = draw.colour(FRAMES)
    centre, sill = draw.between(0.3, 0.6), draw.between(0.12, 0.3)
    half = size.width_m / 2
    pitch, wide = draw.between(1.2, 3.2), draw.between(0.15, 0.4)
    platform, spigot = draw.between(0.8, 2.4), draw.between(2.5, 6.1)
    bogie = size.length_m / 2 - draw.between(1.6, 2.4)
    axle, clutter, noise = draw.between(0.85, 1.0), draw.between(0.3, 0.9), Noise.draw(draw.unit)

    def paint(canvas: Canvas) -> None:
        u, v = np.abs(canvas.u), np.abs(canvas.v)
        inside = (u <= size.length_m / 2) & (v <= size.width_m / 2)
        wheels = (np.abs(np.abs(u - bogie) - axle) < 0.42) & (np.abs(v - 0.75) < 0.12)
        frame = (np.abs(u - bogie) < axle + 0.5) & (np.abs(v - 1.0) < 0.12)
        canvas.lay(
            wheels | frame | ((np.abs(np.abs(u - bogie) - axle) < 0.09) & (v < 0.8)),
            0.85,
            rgb(0.07, 0.06, 0.05),
        )
        gear = (noise(canvas.u * 1.1, canvas.v * 1.6) > clutter) & (v < half - 0.1) & (u < bogie)
        canvas.lay(gear, 0.75, colour * np.float32(0.55))
        beams = (v < centre / 2) | ((v < half) & (v > half - sill))
        beams |= (lines(canvas.u, pitch, wide) > 0.5) & (v < half)
        beams |= (u > size.length_m / 2 - platform) & (v < half) & ((v < 0.5) | (u > size.length_m / 2 - 0.35))
        canvas.lay(inside & beams, level, colour)
        lugs = (lines(canvas.u, spigot, 0.3) > 0.5) & (v > half - 0.1) | (u > size.length_m / 2 - 0.2)
        canvas.lay(inside & lugs, level + 0.08, colour * np.float32(1.25))

    return [paint]


def flat_empty(draw: Draw, size: Size) -> list[Part]:
    """An empty flat wagon: closed deck or see-through container frame."""
    return flat_deck(draw, size) if size.height_m > DECK_M + 0.5 or draw.chance(0.5) else skeleton(draw, size)


def flat_loaded(draw: Draw, size: Size) -> list[Part]:
    """A flat wagon with timber, pipes, coils or crates: an open load without walls."""
    floor = Size(size.length_m, size.width_m, DECK_M + (0.3 if draw.chance(0.6) else 1.6))
    room = size.height_m - DECK_M - 0.05
    load = draw.style(rods=45, coils=20, crates=35)
    if load == "rods":
        return [*flat_deck(draw, floor), rods(draw, size.length_m - 0.5, size.width_m, DECK_M, room)]
    if load == "coils":
        return [*flat_deck(draw, floor), coils(draw, size.length_m - 0.6, size.width_m, DECK_M)]
    return [*flat_deck(draw, floor), crates(draw, size.length_m - 0.4, size.width_m - 0.1, DECK_M, room)]


def flat_container(draw: Draw, size: Size) -> list[Part]:
    """A frame with the containers that fit on it, of different colours, some places empty."""
    lengths = _slots(draw, size.length_m - 0.2)
    gap = float(draw.unit.uniform(0.05, 0.35))
    gap = min(gap, (size.length_m - sum(lengths)) / max(1, len(lengths)))
    start = -(sum(lengths) + gap * (len(lengths) - 1)) / 2
    missing = draw.unit.random(len(lengths)) < 0.10
    missing[int(draw.unit.integers(len(lengths)))] = False
    parts = skeleton(draw, size) if draw.chance(0.75) else flat_deck(draw, Size(size.length_m, size.width_m, DECK_M))
    wide = min(size.width_m, 2.438 if draw.chance(0.8) else 2.55)
    for length, absent in zip(lengths, missing, strict=True):
        height = size.height_m - float(draw.unit.choice([0.0, 0.0, 0.3]))
        if not absent:
            centre = start + length / 2
            parts.append(confined(box(draw, centre, length, wide, height), (centre, 0.0), (length, wide)))
        start += length + gap
    return parts


def _slots(draw: Draw, room: float) -> list[float]:
    """Lengths of boxes that fill the room as far as ISO lengths can."""
    choices = {6.058: 1.0, 12.192: 1.3, 13.716: 0.5, 7.82: 0.6}
    lengths: list[float] = []
    while True:
        fitting = [c for c in choices if c <= room - sum(lengths) - 0.1 * len(lengths)]
        if not fitting:
            return lengths or [6.058]
        share = np.array([choices[c] * c**0.7 for c in fitting])
        lengths.append(fitting[int(draw.unit.choice(len(fitting), p=share / share.sum()))])


def well(draw: Draw, size: Size) -> list[Part]:
    """A North American well wagon with containers, single or double stacked, or empty."""
    colour, stage = (
        draw.colour({"yellow": 4, "oxide": 4, "red": 2, "blue": 2, "ballast": 3}),
        draw.between(1.6, 3.0),
    )
    length = size.length_m - 2 * stage

    def paint(canvas: Canvas) -> None:
        inside = block(canvas, (0, 0), (size.length_m, size.width_m))
        canvas.lay(inside, 1.1, colour)
        floor = block(canvas, (0, 0), (length, size.width_m - 0.35))
        canvas.lay(floor & ~(lines(canvas.u, 3.0, 0.5) > 0.5), 0.35, rgb(0.10, 0.09, 0.08))
        canvas.lay(inside & ~floor & (np.abs(canvas.u) < length / 2), 1.45, colour)

    parts: list[Part] = [paint]
    if size.height_m > 2.0:
        boxed = min(length, 12.192 if length < 14 or draw.chance(0.5) else 16.15)
        parts.append(box(draw, 0.0, boxed, 2.5, size.height_m))
    return parts


def tarped(draw: Draw, size: Size) -> list[Part]:
    """A wagon whose load lies under a tarpaulin, on a flat deck or bulging out of an open wagon."""
    inset, margin = draw.between(0.0, 0.9) * draw.chance(0.5), draw.between(0.0, 0.12)
    length = size.length_m - 2 * inset
    if draw.chance(0.5):
        base = draw.between(DECK_M, DECK_M + 0.4)
        parts: list[Part] = flat_deck(draw, Size(size.length_m, size.width_m, DECK_M + (0.3 if inset < 0.2 else 1.0)))
    else:
        base = size.height_m - draw.between(0.25, 1.0)
        parts = [tub(draw, Size(size.length_m, size.width_m, base), DECK_M)]
        margin += 0.03
    return [*parts, tarpaulin(draw, length, size.width_m - 2 * margin, base - 0.05, size.height_m - base)]


def autorack_open(draw: Draw, size: Size) -> list[Part]:
    """A European car carrier: two open decks with cars on the upper one, or none."""
    frame, share = draw.colour(TUBS), float(draw.unit.choice([0.0, 0.85, 1.0]))
    deck = vary(draw.unit, pick(draw.design, {"grey": 4, "ballast": 3, "dark_grey": 2, "light_grey": 2}))
    count = int((size.length_m - 0.4) / 4.7)
    room = size.height_m - 1.55

    def paint(canvas: Canvas) -> None:
        inside = block(canvas, (0, 0), (size.length_m, size.width_m))
        canvas.lay(inside, room, deck * (1 - 0.2 * lines(canvas.u, 0.6, 0.08))[..., None])
        canvas.lay(inside & (np.abs(np.abs(canvas.v) - 0.55) < 0.25), room - 0.05, deck * np.float32(0.8))
        rail = inside & (np.abs(canvas.v) > size.width_m / 2 - 0.1)
        canvas.lay(rail, room + 0.25, frame)
        canvas.lay(rail & (lines(canvas.u, 3.1, 0.2) > 0.5), room + 0.35, frame)

    parts: list[Part] = [paint]
    for place in range(count):
        colour, length = pick(draw.unit, CARS), float(draw.unit.uniform(3.9, 4.6))
        if draw.unit.random() < share:
            centre = ((place + 0.5 - count / 2) * (size.length_m - 0.4) / count, 0.0)
            parts.append(car_body(colour, centre, Size(length, 1.78, float(draw.unit.uniform(1.4, 1.55))), room))
    return parts
