"""Wagons without walls: decks, container frames, wells, lumber and car carriers, and all under tarpaulins."""

import numpy as np

from training.synth.freight import DECK_M, tub
from training.synth.loads import box, coils, crates, rods
from training.synth.objects import car_body
from training.synth.paint import CARS, FRAMES, GROUND, TUBS, Noise, Palette, pick, vary
from training.synth.solid import Canvas, Draw, Part, Size, block, confined, lines, rgb, strip
from training.synth.tarps import straps, tarpaulin

_WRAPS: Palette = {"white": 7, "light_grey": 3, "cream": 3, "tan": 5, "yellow": 1, "blue": 0.7, "green": 0.7, "grey": 2}


def flat_deck(draw: Draw, size: Size) -> list[Part]:
    """A flat wagon with a closed floor of planks or sheets, stakes, flaps or bulkheads."""
    wood, plank = draw.chance(0.6), draw.between(0.2, 0.32)
    floor = draw.colour({**GROUND, "ballast": 6, "brown": 7, "tan": 3, "rust": 3} if wood else FRAMES)
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
    lashed = [straps(draw, size.length_m - 0.4, size.width_m)] if draw.chance(0.4) else []
    if load == "rods":
        return [*flat_deck(draw, floor), rods(draw, size.length_m - 0.5, size.width_m, DECK_M, room), *lashed]
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
    colour = draw.colour({"yellow": 4, "oxide": 4, "red": 2, "blue": 1, "ballast": 3, "ballast_brown": 3})
    stage, wheels = draw.between(1.0, 2.4), draw.chance(0.6)
    length = size.length_m - 2 * stage
    floor, cross = draw.colour(GROUND) * np.float32(0.5), draw.between(2.0, 4.0)

    def paint(canvas: Canvas) -> None:
        inside = block(canvas, (0, 0), (size.length_m, size.width_m))
        middle = np.abs(canvas.u) < length / 2
        ends = inside & ~middle & ((np.abs(canvas.v) < 0.8) | (lines(canvas.u, stage * 0.7, 0.3) > 0.5))
        canvas.lay(ends | (inside & middle), 1.1, colour)
        if wheels:
            near = np.abs(np.abs(canvas.u) - size.length_m / 2 + 0.5) < 0.45
            canvas.lay(inside & near & (np.abs(np.abs(canvas.v) - 0.75) < 0.15), 0.9, rgb(0.09, 0.07, 0.06))
        pit = block(canvas, (0, 0), (length, size.width_m - 0.35))
        canvas.lay(pit, 0.35, floor * (1 + 0.7 * lines(canvas.u, cross, 0.5))[..., None])
        canvas.lay(inside & middle & ~pit, 1.45, colour)
        canvas.lay(inside & (size.length_m / 2 - np.abs(canvas.u) < 0.3), 1.2, colour)

    parts: list[Part] = [paint]
    if size.height_m > 2.0:
        low = 12.192 if length < 15.9 or draw.chance(0.6) else 15.5
        low = min(low, length - 0.1)
        double = size.height_m > 4.5
        parts.append(box(draw, 0.0, low, 2.5, 3.2 if double else size.height_m))
        if double and draw.unit.random() < 0.9:
            high = min(size.length_m - 0.3, float(draw.unit.choice([12.192, 13.716, 16.154], p=[0.45, 0.1, 0.45])))
            parts.append(confined(box(draw, 0.0, high, 2.5, size.height_m), (0.0, 0.0), (high, 2.5)))
    return parts


def lumber(draw: Draw, size: Size) -> list[Part]:
    """A bulkhead or centre-beam flat wagon, empty or with wrapped bundles of sawn timber."""
    beam, full = draw.chance(0.65 if draw.region == "north_america" else 0.15), draw.chance(0.7)
    colour = draw.colour({"green": 2, "oxide": 4, "yellow": 3, "ballast": 3, "brown": 3, "blue": 1, "red": 2})
    half, level, pitch = size.length_m / 2, DECK_M, draw.between(2.4, 5.2)
    wraps = np.stack([draw.colour(_WRAPS, mixed=0.6) for _ in range(3)])
    noise, empty = Noise.draw(draw.unit), draw.between(0.0, 0.25)
    board, tiers = draw.between(0.08, 0.2), draw.between(0.5, 1.0)

    def paint(canvas: Canvas) -> None:
        u, v = canvas.u, canvas.v
        inside = block(canvas, (0, 0), (size.length_m, size.width_m))
        canvas.lay(inside, level, colour * (0.8 - 0.15 * lines(u, 1.5, 0.2))[..., None])
        room = size.height_m - 0.3 - level
        if full:
            at = (u + half) / pitch
            cell = np.floor(at) + (np.float32(31) * (v > 0) if beam else np.float32(0))
            there = (np.abs(at - np.floor(at) - 0.5) < 0.47) & (noise.cell(cell + 60) > 2 * empty - 1)
            there &= (np.abs(v) < size.width_m / 2 - 0.08) & (half - np.abs(u) > 0.35)
            wrap = wraps[(np.abs(noise.cell(cell + 90)) * 2.99).astype(np.intp)]
            z = level + room * (tiers + (1 - tiers) * np.abs(noise.cell(cell + 7)))
            gain = 1 + 0.08 * noise.cell(cell + 3) - 0.12 * lines(v, 1.2, 0.06) + 0.06 * noise.cell(v / board + 70)
            canvas.lay(there, z.astype(np.float32), wrap * gain[..., None])
        if beam:
            canvas.lay(inside & (np.abs(v) < 0.16), size.height_m - 0.05, colour)
            canvas.lay(inside & (np.abs(v) < 0.4) & (lines(u, 2.4, 0.25) > 0.5), size.height_m - 0.1, colour)
        canvas.lay(inside & (half - np.abs(u) < 0.28), size.height_m, colour * np.float32(1.1))

    return [paint]


def tarped(draw: Draw, size: Size) -> list[Part]:
    """A wagon whose load lies under a tarpaulin: on a flat deck, bulging out of an open wagon, or sagging into it."""
    inset, margin = draw.between(0.0, 1.2) * draw.chance(0.5), draw.between(0.0, 0.2)
    length, loose = size.length_m - 2 * inset, draw.between(0.0, 0.3)
    style = draw.style(deck=55, bulging=30, sunk=15)
    if style == "deck":
        base = draw.between(DECK_M, DECK_M + 0.35)
        parts: list[Part] = flat_deck(draw, Size(size.length_m, size.width_m, DECK_M + (0.3 if inset < 0.2 else 1.0)))
    else:
        base = size.height_m - (draw.between(0.4, 1.1) if style == "bulging" else draw.between(0.2, 0.35))
        parts = [tub(draw, Size(size.length_m, size.width_m, base), DECK_M)]
    room = size.height_m - base
    return [*parts, tarpaulin(draw, length, size.width_m - 2 * margin, (base - 0.05, room), loose)]


def autorack_open(draw: Draw, size: Size) -> list[Part]:
    """A European car carrier: two open decks with cars on the upper one, or none."""
    frame, share = draw.colour(TUBS), float(draw.unit.choice([0.0, 0.7, 0.9, 1.0]))
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
