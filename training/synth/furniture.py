"""What stands in and around a yard: buildings, bridges, trees, hedges, masts, stacks, boats, and buses."""

from collections.abc import Callable

import numpy as np

from training.synth.paint import CARS, Array, Noise, Palette, pick
from training.synth.solid import Patch, Solid, lines

ROOFS: Palette = {
    "grey": 18, "light_grey": 14, "dark_grey": 14, "white": 8, "silver": 8, "oxide": 8, "rust": 8, "brown": 8,
    "dark_oxide": 7, "orange": 3, "green": 2, "blue": 2, "tan": 5, "cream": 2, "ballast": 5, "light_blue": 1,
}  # fmt: skip
WALLS: Palette = {"light_grey": 5, "grey": 5, "ballast": 4, "dark_grey": 2, "tan": 1}
TIMBER: Palette = {"brown": 8, "dark_grey": 4, "ballast": 3, "grey": 3, "rust": 3, "black": 2}

STACKED: Palette = {
    "brown": 6,
    "rust": 7,
    "dark_oxide": 4,
    "dark_grey": 5,
    "grey": 4,
    "ballast": 3,
    "tan": 2,
    "black": 2,
}
GLASS: Palette = {"white": 6, "light_grey": 4, "silver": 4, "light_blue": 1, "cream": 1, "grey": 2}
HULLS: Palette = {"dark_grey": 5, "grey": 4, "oxide": 3, "white": 4, "navy": 2, "brown": 2, "black": 2, "dark_green": 1}
BUSES: Palette = {"white": 6, "light_grey": 3, "yellow": 2, "orange": 1, "red": 2, "blue": 2, "green": 1, "cream": 1}

Shape = Callable[[Array, Array], tuple[Array, Array]]
"""(u, v) -> height, brightness."""


def _noise_gain(noise: Noise, u: Array, v: Array, weight: float) -> Array:
    return 1 + np.float32(weight) * (noise(u * 0.35, v * 0.35) + np.float32(0.6) * noise(u * 2.1 + 5, v * 2.1))


def _solid(
    kind: str, size: tuple[float, float, float], rgb: Array, shape: Shape, noise: Noise, *, wear: float
) -> Solid:
    """A solid that covers its whole rectangle, of one colour."""

    def surface(u: Array, v: Array) -> Patch:
        z, gain = shape(u, v)
        gain = gain * _noise_gain(noise, u, v, wear)
        albedo = np.clip(gain[..., None] * rgb, 0.015, 0.85)
        return Patch(z.astype(np.float32), albedo.astype(np.float32), np.ones_like(u))

    return Solid(kind, None, size[0], size[1], size[2], surface)


def building(rng: np.random.Generator, length_m: float, width_m: float, height_m: float, roof: str = "") -> Solid:
    """A building with a flat, gabled, single-pitched or saw-tooth roof.

    Args:
        rng: source of its details.
        length_m: along its ridge.
        width_m: across.
        height_m: of its eaves.
        roof: "flat", "gable", "mono" or "saw"; drawn if empty.
    """
    kind = roof or str(rng.choice(["flat", "gable", "mono", "saw"], p=[0.5, 0.33, 0.12, 0.05]))
    pitch = rng.uniform(0.15, 0.75) if width_m < 14 else rng.uniform(0.04, 0.25)
    rib, phase, deep = rng.choice([0.5, 1.0, 2.0, 5.0]), rng.uniform(0, 5), rng.uniform(0.0, 0.12)
    units = rng.uniform(-0.45, 0.45, (int(rng.integers(0, 3 + int(length_m * width_m / 150))), 2)) * (
        length_m,
        width_m,
    )
    sizes = rng.uniform(0.6, 2.6, (len(units), 2))
    tints = rng.uniform(0.4, 2.0, len(units))
    light = rng.random() < 0.3

    def shape(u: Array, v: Array) -> tuple[Array, Array]:
        z: Array
        gain: Array = 1 - np.float32(deep) * lines(u, rib, rib * 0.35, phase)
        if kind == "gable":
            z = (height_m + (width_m / 2 - np.abs(v)) * pitch).astype(np.float32)
            gain *= np.where(np.abs(v) < 0.2, 0.8, 1.0)
        elif kind == "mono":
            z = (height_m + (v + width_m / 2) * pitch * 0.5).astype(np.float32)
        elif kind == "saw":
            z = (height_m + (((u / 5) % 1) * 2.0)).astype(np.float32)
            gain *= np.where(((u / 5) % 1) > 0.8, 0.5, 1.0)
        else:
            rim = np.minimum(length_m / 2 - np.abs(u), width_m / 2 - np.abs(v)) < 0.35
            z = (height_m + 0.5 * rim).astype(np.float32)
            gain = np.where(rim, gain * 1.15, gain)
            for (x, y), (a, b), tint in zip(units, sizes, tints, strict=True):
                box = (np.abs(u - x) < a) & (np.abs(v - y) < b)
                z, gain = np.where(box, height_m + 0.8 + 0.3 * a, z), np.where(box, gain * tint, gain)
        if light and kind != "flat":
            band = (np.abs(np.abs(v) - width_m * 0.25) < 0.6) & (lines(u, 6.0, 3.5) > 0.5)
            gain = np.where(band, gain * 1.5, gain)
        return z.astype(np.float32), gain.astype(np.float32)

    top = height_m + max(width_m * pitch * 0.5, 2.0)
    wear = float(rng.uniform(0.03, 0.16))
    return _solid("building", (length_m, width_m, top), pick(rng, ROOFS), shape, Noise.draw(rng), wear=wear)


def box(rng: np.random.Generator, kind: str, size: tuple[float, float, float], palette: Palette) -> Solid:
    """A plain box: hut, pier, pile, mast, wall."""

    def shape(u: Array, _v: Array) -> tuple[Array, Array]:
        return np.full_like(u, size[2]), np.ones_like(u)

    return _solid(kind, size, pick(rng, palette), shape, Noise.draw(rng), wear=0.12)


def pile(rng: np.random.Generator) -> Solid:
    """A stack of sleepers, rails or timber, with grooves between its pieces."""
    size = (rng.uniform(2.4, 9.0), rng.uniform(1.4, 3.0), rng.uniform(0.4, 2.2))
    across = rng.random() < 0.5
    pitch = rng.uniform(0.25, 0.6)
    steps = Noise.draw(rng)

    def shape(u: Array, v: Array) -> tuple[Array, Array]:
        along = u if across else v
        groove = lines(along, pitch, pitch * 0.3)
        z = size[2] * (0.8 + 0.2 * steps.cell(along / pitch * 0.4)) - 0.1 * groove
        return np.clip(z, 0.05, size[2]), 1 - 0.5 * groove

    return _solid("pile", size, pick(rng, TIMBER), shape, Noise.draw(rng), wear=0.2)


def heap(rng: np.random.Generator) -> Solid:
    """A heap of ballast, sand or scrap."""
    size = (rng.uniform(3.0, 14.0), rng.uniform(2.5, 8.0), rng.uniform(0.8, 3.0))
    palette = {"ballast": 4.0, "dark_grey": 2.0, "tan": 2.0, "brown": 2.0, "light_grey": 2.0}
    rgb, noise = pick(rng, palette), Noise.draw(rng)

    def surface(u: Array, v: Array) -> Patch:
        far = np.sqrt((2 * u / size[0]) ** 2 + (2 * v / size[1]) ** 2) + 0.25 * noise(u * 0.8, v * 0.8)
        z = np.clip(1 - far, 0, 1) * size[2]
        gain = _noise_gain(noise, u, v, 0.15)
        albedo = np.clip(gain[..., None] * rgb, 0.015, 0.85).astype(np.float32)
        return Patch(z.astype(np.float32), albedo, (far < 1).astype(np.float32))

    return Solid("heap", None, size[0], size[1], size[2], surface)


def tree(rng: np.random.Generator, radius_m: float, dry: float, bare: bool = False) -> Solid:
    """A crown of lumpy foliage; bare ones are sparse twigs."""
    height = radius_m * rng.uniform(1.4, 2.6)
    green = np.array([0.058, 0.085, 0.032]) * rng.uniform(0.6, 1.7) * np.exp(rng.normal(0, 0.12, 3))
    rgb = (green + dry * rng.uniform(0.2, 0.9) * (np.array([0.14, 0.12, 0.06]) - green)).astype(np.float32)
    if bare:
        rgb = np.array([0.11, 0.095, 0.08], dtype=np.float32) * np.float32(rng.uniform(0.7, 1.4))
    noise, lump = Noise.draw(rng), rng.uniform(0.6, 1.4)

    def surface(u: Array, v: Array) -> Patch:
        fine = noise(u * 2.3 + 3, v * 2.3)
        rough = noise(u * lump, v * lump + 9) + 0.6 * fine
        far = np.sqrt(u * u + v * v) / radius_m + 0.22 * noise(u * 0.45 + 3, v * 0.45) + 0.12 * rough + 0.06
        dome = np.sqrt(np.clip(1 - far * far, 0, 1))
        z = height * (0.35 + 0.45 * dome + 0.22 * rough)
        cover = far < (0.93 if not bare else 0.85)
        if bare:
            cover &= (noise(u * 3.7, v * 3.7 + 2) + 0.4 * fine) > 0.15
        albedo = np.clip((1 + 0.35 * rough)[..., None] * rgb, 0.01, 0.4)
        return Patch(
            (np.clip(z, 0, height) * cover).astype(np.float32),
            albedo.astype(np.float32),
            cover.astype(np.float32),
        )

    return Solid("tree", None, 2 * radius_m, 2 * radius_m, height, surface)


def hedge(rng: np.random.Generator, length_m: float, width_m: float, dry: float) -> Solid:
    """A strip of bushes."""
    height = rng.uniform(0.8, 3.0)
    rgb = (np.array([0.050, 0.082, 0.030]) + dry * rng.uniform(0, 0.7) * np.array([0.09, 0.05, 0.03])).astype(
        np.float32
    )
    noise, gappy = Noise.draw(rng), rng.uniform(-0.9, 0.3)

    def surface(u: Array, v: Array) -> Patch:
        rough = noise(u * 0.5, v * 0.8) + 0.5 * noise(u * 1.9, v * 1.9)
        edge = 1 - np.abs(v) * 2 / width_m
        cover = (rough + 1.4 * edge > 0.35 + gappy * 0.5) & (noise(u * 0.12, np.zeros_like(v)) > gappy - 0.3)
        z = height * np.clip(0.35 + 0.5 * edge + 0.35 * rough, 0.1, 1) * cover
        albedo = np.clip((1 + 0.3 * rough)[..., None] * rgb, 0.01, 0.4)
        return Patch(z.astype(np.float32), albedo.astype(np.float32), cover.astype(np.float32))

    return Solid("hedge", None, length_m, width_m, height, surface)


def tree_row(rng: np.random.Generator, length_m: float, pitch_m: float, width_m: float, dry: float) -> Solid:
    """Fruit trees, bushes or vines planted in a line, alike but for a few that are small or missing.

    Args:
        rng: source of their details.
        length_m: of the row.
        pitch_m: from plant to plant.
        width_m: of a crown; crowns wider than the pitch grow together.
        dry: 0 lush, 1 withered.
    """
    height = width_m * rng.uniform(0.6, 1.3)
    rgb = (np.array([0.050, 0.080, 0.032]) * rng.uniform(0.6, 1.8) + dry * rng.uniform(0, 0.06)).astype(np.float32)
    noise, missing, uneven = Noise.draw(rng), rng.uniform(-1.0, -0.7), rng.uniform(0.05, 0.25)

    def surface(u: Array, v: Array) -> Patch:
        place = u / np.float32(pitch_m)
        grown = noise.cell(place)
        from_stem = (place - np.floor(place) - np.float32(0.5)) * np.float32(pitch_m)
        rough = noise(u * 0.9, v * 0.9) + np.float32(0.6) * noise(u * 2.4, v * 2.4 + 7)
        radius = width_m / 2 * (1 + np.float32(uneven) * grown)
        far = np.sqrt(from_stem * from_stem + v * v) / radius + np.float32(0.2) * rough
        cover = (far < 1) & (grown > missing)
        z = height * (
            np.float32(0.3) + np.float32(0.5) * np.sqrt(np.clip(1 - far * far, 0, 1)) + np.float32(0.12) * rough
        )
        albedo = np.clip((1 + np.float32(0.35) * rough)[..., None] * rgb, 0.01, 0.4)
        return Patch(
            (np.clip(z, 0, height) * cover).astype(np.float32), albedo.astype(np.float32), cover.astype(np.float32)
        )

    return Solid("tree_row", None, length_m, width_m * 1.4, height, surface)


def stack(rng: np.random.Generator, length_m: float) -> Solid:
    """Rails, pipes, sleepers, slabs or timber stacked lengthwise or crosswise, as wide as a wagon."""
    size = (length_m, rng.uniform(1.0, 3.2), rng.uniform(0.3, 2.0))
    crosswise, pitch = rng.random() < 0.4, rng.uniform(0.2, 0.9)
    bundle, depth = rng.uniform(2.5, 12.0), rng.uniform(0.2, 0.6)
    steps = Noise.draw(rng)

    def shape(u: Array, v: Array) -> tuple[Array, Array]:
        groove = lines(u if crosswise else v, pitch, pitch * 0.3)
        gap = lines(u, bundle, 0.4)
        level = np.float32(0.75) + np.float32(0.25) * steps.cell(u / bundle)
        z = size[2] * level * (1 - np.float32(0.9) * gap) - np.float32(0.1) * groove
        return np.clip(z, 0.05, size[2]), 1 - np.float32(depth) * np.maximum(groove, gap)

    return _solid("stack", size, pick(rng, STACKED), shape, Noise.draw(rng), wear=0.15)


def panels(rng: np.random.Generator, length_m: float, width_m: float) -> Solid:
    """Rows of solar panels above the ground, tilted to one side."""
    pitch, share, tilt = rng.uniform(3.0, 8.0), rng.uniform(0.45, 0.75), rng.uniform(0.1, 0.6)
    rgb = np.array([0.030, 0.042, 0.075], dtype=np.float32) * np.float32(rng.uniform(0.7, 1.8))
    height = 0.7 + pitch * share * tilt

    def surface(u: Array, v: Array) -> Patch:
        across = (v + width_m / 2) % pitch
        cover = across < pitch * share
        frame = np.maximum(lines(u, 1.0, 0.06), lines(across, 1.7, 0.06))
        albedo = rgb + np.float32(0.2) * frame[..., None]
        z = (0.7 + across * tilt) * cover
        return Patch(np.clip(z, 0, height).astype(np.float32), albedo.astype(np.float32), cover.astype(np.float32))

    return Solid("panels", None, length_m, width_m, height, surface)


def greenhouse(rng: np.random.Generator, length_m: float, width_m: float) -> Solid:
    """A greenhouse or a foil tunnel: a pale vault with ribs."""
    rib, deep, eaves = rng.uniform(1.0, 4.0), rng.uniform(0.1, 0.4), rng.uniform(0.5, 3.0)

    def shape(u: Array, v: Array) -> tuple[Array, Array]:
        vault = np.sqrt(np.clip(1 - (2 * v / width_m) ** 2, 0, 1))
        return eaves + 1.5 * vault, 1 - np.float32(deep) * lines(u, rib, 0.2)

    return _solid("greenhouse", (length_m, width_m, eaves + 1.5), pick(rng, GLASS), shape, Noise.draw(rng), wear=0.1)


def barge(rng: np.random.Generator, length_m: float, width_m: float) -> Solid:
    """A barge or a boat: a pointed hull with a hold or covers, and a cabin."""
    hull, hold, cabin = pick(rng, HULLS), pick(rng, STACKED if rng.random() < 0.6 else GLASS), pick(rng, BUSES)
    bay, noise = rng.uniform(3.0, 12.0), Noise.draw(rng)

    def surface(u: Array, v: Array) -> Patch:
        half = width_m / 2 * np.sqrt(np.clip((length_m / 2 - u) / (0.9 * width_m), 0, 1))
        cover = np.abs(v) <= half
        inner = (np.abs(v) < half - 0.12 * width_m) & (u > -0.3 * length_m) & (u < 0.38 * length_m)
        aft = (np.abs(v) < 0.36 * width_m) & (u > -0.46 * length_m) & (u < -0.32 * length_m)
        albedo = np.where(inner[..., None], hold * (1 - np.float32(0.3) * lines(u, bay, 0.3))[..., None], hull)
        albedo = np.where(aft[..., None], cabin, albedo) * _noise_gain(noise, u, v, 0.1)[..., None]
        z = (1.0 + 0.5 * inner + 2.0 * aft) * cover
        return Patch(z.astype(np.float32), np.clip(albedo, 0.015, 0.85).astype(np.float32), cover.astype(np.float32))

    return Solid("barge", None, length_m, width_m, 3.5, surface)


def bus(rng: np.random.Generator) -> Solid:
    """A bus with boxes on its roof."""
    size = (float(rng.choice([9.5, 12.0, 13.5, 18.0])), 2.55, 3.2)
    boxes = rng.uniform(-0.4, 0.4, int(rng.integers(0, 4))) * size[0]

    def shape(u: Array, v: Array) -> tuple[Array, Array]:
        unit = np.zeros(u.shape, dtype=np.bool_)
        for middle in boxes:
            unit |= (np.abs(u - middle) < 0.9) & (np.abs(v) < 0.8)
        front = np.where(u > size[0] / 2 - 0.3, np.float32(0.3), np.float32(1.0))
        return 2.95 + np.float32(0.25) * unit, np.where(unit, np.float32(0.7), front)

    return _solid("bus", size, pick(rng, BUSES), shape, Noise.draw(rng), wear=0.03)


def bridge(rng: np.random.Generator, length_m: float, width_m: float, deck_m: float) -> Solid:
    """A bridge between parapets, `deck_m` above the ground, with lanes, lorries, buses and cars where it is wide.

    Ramps lead up to it.
    """
    deck = np.array([0.20, 0.198, 0.19], dtype=np.float32) * np.float32(rng.uniform(0.4, 1.7))
    rim = pick(rng, WALLS)
    noise, worn = Noise.draw(rng), rng.uniform(0.0, 1.0)
    lanes = int((width_m - 1.0) // 3.2)
    loads = []
    for lane in range(lanes):
        for _ in range(int(rng.poisson(length_m / 60))):
            long = bool(rng.random() < 0.4)
            size = (rng.uniform(7.0, 16.5), 2.5, rng.uniform(2.8, 3.9)) if long else (4.4, 1.8, 1.5)
            place = (rng.uniform(-0.5, 0.5) * length_m, ((lane + 0.5) / lanes - 0.5) * (width_m - 1.0))
            loads.append((place, size, pick(rng, BUSES if long else CARS)))

    def surface(u: Array, v: Array) -> Patch:
        edge = np.abs(v) > width_m / 2 - 0.4
        level = deck_m * np.clip((length_m / 2 - np.abs(u)) * np.float32(0.05), 0, 1)
        z = level + 0.9 * edge
        albedo = np.where(edge[..., None], rim, deck) * _noise_gain(noise, u, v, 0.08)[..., None]
        if lanes > 1:
            mark = lines(v, (width_m - 1.0) / lanes, 0.15, (width_m - 1.0) / 2) * (np.mod(u, 9.0) < 4) * ~edge
            albedo += np.float32(0.35 * worn) * mark[..., None]
        for (x, y), size, colour in loads:
            inside = (np.abs(u - x) < size[0] / 2) & (np.abs(v - y) < size[1] / 2)
            z = np.where(inside, level + size[2], z)
            albedo = np.where(inside[..., None], colour, albedo)
        albedo = np.clip(albedo, 0.015, 0.85).astype(np.float32)
        return Patch(z.astype(np.float32), albedo, np.ones_like(u, dtype=np.float32))

    return Solid("bridge", None, length_m, width_m, deck_m + 4.0, surface)
