"""What lies beside the axis of a yard, band by band: roads, verges, sheds, lots, town, fields."""

from collections.abc import Callable

import numpy as np

from training.synth import furniture, works
from training.synth.plan import Area, Plan
from training.synth.profile import choose, uniform


def road(plan: Plan, low: float, high: float) -> None:
    """A road with traffic, lamps or trees beside it."""
    plan.band("road", low, high)
    lanes = max(1, int((high - low) / 3.4))
    for i in range(lanes):
        o = low + (i + 0.5) * (high - low) / lanes
        for s in plan.along((14.0, 40.0), 6.0):
            use = "haul" if plan.rng.random() < 0.2 else "traffic"
            plan.spot(use, s, o + plan.rng.normal(0, 0.2), np.pi * (i < lanes / 2))
    side = plan.rng.random()
    for s in plan.along((9.0, 35.0), 1.0):
        if side < 0.3:
            crown = furniture.tree(plan.rng, uniform(plan.rng, (1.5, 4.0)), plan.dry, plan.bare)
            plan.put(crown, s, low - 2.5)
        elif side < 0.6:
            plan.put(furniture.box(plan.rng, "mast", (0.25, 0.25, 9.0), furniture.WALLS), s, high + 0.6)


def path(plan: Plan, low: float, high: float) -> None:
    """A service way of gravel, asphalt or concrete, with a lorry now and then."""
    plan.band("path", low, high)
    for s in plan.along((50.0, 120.0), 15.0):
        plan.spot("traffic", s, (low + high) / 2)


def verge(plan: Plan, low: float, high: float) -> None:
    """Grass, bushes, hedges, trees or bare soil."""
    rng = plan.rng
    plan.band("verge", low, high)
    if rng.random() < 0.45:
        o, width = uniform(rng, (low + 1, high - 1)), uniform(rng, (1.2, min(4.0, high - low)))
        for s in plan.along((18.0, 45.0)):
            if rng.random() < 0.75:
                plan.put(furniture.hedge(rng, uniform(rng, (8.0, 34.0)), width, plan.dry), s, o)
    if high - low > 5:
        plan.plant(low + 2, high - 2, float(rng.choice([0.0, 0.15, 0.6, 1.6])), (0.8, 4.0))
    if rng.random() < 0.2:
        for _ in range(int(rng.integers(1, 6))):
            plan.put(furniture.pile(rng), uniform(rng, (-plan.half_m, plan.half_m)), uniform(rng, (low, high)))


def platform(plan: Plan, low: float, high: float) -> None:
    """A platform, often with a long roof on it."""
    rng = plan.rng
    start, end = uniform(rng, (-1.3, -0.2)) * plan.half_m, uniform(rng, (0.2, 1.3)) * plan.half_m
    plan.areas.append(Area("platform", plan.axis.strip(low, high, start, end)))
    if rng.random() < 0.5:
        length = uniform(rng, (0.3, 0.9)) * (end - start)
        centre = uniform(rng, (start + length / 2, end - length / 2))
        pieces = max(1, int(length / 22))
        roof = furniture.building(rng, length / pieces, (high - low) * 0.75, 4.2, str(rng.choice(["flat", "gable"])))
        for i in range(pieces):
            plan.put(roof, centre + (i + 0.5 - pieces / 2) * length / pieces, (low + high) / 2)


def sheds(plan: Plan, low: float, high: float) -> None:
    """Long narrow buildings along the tracks, on an apron."""
    rng = plan.rng
    plan.band(str(rng.choice(["old_asphalt", "concrete", "gravel", "soil"])), low, high)
    s = -plan.half_m + uniform(rng, (0, 40))
    while s < plan.half_m:
        length, width = uniform(rng, (10.0, 75.0)), uniform(rng, (4.0, max(5.0, high - low - 3)))
        plan.put(
            furniture.building(rng, length, width, uniform(rng, (3.0, 9.0))),
            s + length / 2,
            low + 1.5 + width / 2,
        )
        if high - low - width > 7 and rng.random() < 0.6:
            for k in range(int(length / 4)):
                plan.spot("lorry", s + 2 + 4 * k, high - 4, np.pi / 2)
        s += length + uniform(rng, (1.0, 30.0))


def lot(plan: Plan, low: float, high: float) -> None:
    """A hard standing with rows of containers and stacks, lorries, trailers, heaps."""
    rng = plan.rng
    plan.band(str(rng.choice(["concrete", "old_asphalt", "asphalt", "gravel", "soil", "cinder"])), low, high)
    across = rng.random() < 0.3
    pitch_o = 13.0 if across else uniform(rng, (2.75, 6.5))
    o = low + 3
    while o < high - 3:
        pitch_s = uniform(rng, (2.8, 4.0)) if across else uniform(rng, (12.6, 13.6))
        use = str(rng.choice(["box", "lorry", ""], p=[0.6, 0.2, 0.2]))
        start, end = sorted(rng.uniform(-1.0, 1.0, 2) * plan.half_m)
        for s in np.arange(start, end, pitch_s):
            if use:
                plan.spot(use, float(s), o, (np.pi / 2 if across else 0.0) + rng.normal(0, 0.01))
        o += pitch_o * (1 if rng.random() < 0.7 else 2)
    for _ in range(int(rng.poisson(2))):
        thing = furniture.heap(rng) if rng.random() < 0.5 else furniture.pile(rng)
        plan.put(thing, uniform(rng, (-plan.half_m, plan.half_m)), uniform(rng, (low, high)), rng.uniform(0, 3))


def parking(plan: Plan, low: float, high: float) -> None:
    """Rows of parked cars."""
    plan.band(str(plan.rng.choice(["asphalt", "old_asphalt", "gravel"])), low, high)
    for o in np.arange(low + 3, high - 2, 8.0):
        for s in plan.along((2.5, 2.9)):
            plan.spot("car", s, float(o), np.pi / 2 + plan.rng.normal(0, 0.02))


def town(plan: Plan, low: float, high: float) -> None:
    """Houses with gardens, sheds and trees."""
    rng = plan.rng
    plan.band("verge", low, high)
    for o in np.arange(low + 8, high - 5, 22.0):
        for s in plan.along((16.0, 26.0), 2.0):
            turn = rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.08)
            size = (uniform(rng, (8, 18)), uniform(rng, (7, 12)), uniform(rng, (3, 9)))
            plan.put(furniture.building(rng, *size, "gable" if rng.random() < 0.75 else "flat"), s, o, turn)
            plan.spot("car", s + 10, float(o) + rng.normal(0, 3), turn)
    plan.plant(low, high, uniform(rng, (0.2, 1.2)), (1.2, 4.5))


def industry(plan: Plan, low: float, high: float) -> None:
    """Large halls with yards between them."""
    rng = plan.rng
    plan.band(str(rng.choice(["old_asphalt", "concrete", "asphalt", "gravel"])), low, high)
    s = -plan.half_m - 20
    while s < plan.half_m:
        length, width = uniform(rng, (18.0, 80.0)), uniform(rng, (0.4, 0.9)) * (high - low)
        plan.put(furniture.building(rng, length, width, uniform(rng, (4, 12))), s + length / 2, (low + high) / 2)
        for k in range(int(rng.integers(0, 6))):
            plan.spot(
                str(rng.choice(["lorry", "car", "box"])),
                s + length + 3 + 3.2 * k,
                (low + high) / 2,
                np.pi / 2,
            )
        s += length + uniform(rng, (6.0, 30.0))


def field_band(plan: Plan, low: float, high: float) -> None:
    """Farmland."""
    plan.band("field", low, high)


def wood(plan: Plan, low: float, high: float) -> None:
    """Trees close together."""
    plan.band("verge", low, high)
    plan.plant(low, high, uniform(plan.rng, (1.5, 4.0)), (1.8, 4.5))


def wall(plan: Plan, low: float, high: float) -> None:
    """A retaining wall, a fence or a noise barrier."""
    plan.areas.append(Area("wall", plan.axis.strip(low, min(high, low + 0.5), -plan.half_m, plan.half_m)))


Band = Callable[[Plan, float, float], None]
BANDS: dict[str, tuple[Band, tuple[float, float]]] = {
    "road": (road, (6.5, 15.0)),
    "path": (path, (3.0, 5.5)),
    "verge": (verge, (4.0, 22.0)),
    "sheds": (sheds, (9.0, 26.0)),
    "lot": (lot, (14.0, 45.0)),
    "parking": (parking, (16.0, 34.0)),
    "town": (town, (36.0, 80.0)),
    "industry": (industry, (30.0, 70.0)),
    "field": (field_band, (40.0, 120.0)),
    "wood": (wood, (12.0, 50.0)),
    "water": (works.canal, (10.0, 40.0)),
    "freeway": (works.freeway, (19.0, 38.0)),
    "lorries": (works.lorries, (14.0, 34.0)),
    "store": (works.store, (3.0, 11.0)),
    "solar": (works.solar, (9.0, 34.0)),
    "glass": (works.glass, (14.0, 40.0)),
    "barracks": (works.barracks, (14.0, 50.0)),
    "gardens": (works.gardens, (9.0, 30.0)),
    "orchard": (works.orchard, (14.0, 70.0)),
    "ditch": (works.ditch, (2.0, 4.5)),
    "hedgerow": (works.hedgerow, (1.8, 4.5)),
    "wall": (wall, (1.2, 2.0)),
    "platform": (platform, (5.0, 10.0)),
}
"""Builder and range of widths of each band."""

SURROUNDINGS: dict[str, dict[str, float]] = {
    "marshalling": {
        "road": 3, "path": 3, "verge": 4, "sheds": 4, "lot": 2, "town": 2, "industry": 2, "wood": 1, "field": 1,
        "parking": 1, "wall": 2, "store": 4, "ditch": 2, "hedgerow": 2, "freeway": 1, "lorries": 2, "barracks": 1,
        "solar": 1, "gardens": 1, "water": 1, "platform": 1,
    },
    "station": {
        "road": 4, "path": 1, "verge": 2, "sheds": 3, "parking": 3, "town": 4, "industry": 2, "wood": 1, "wall": 2,
        "platform": 2, "hedgerow": 1, "store": 1, "gardens": 2, "freeway": 1, "barracks": 1, "water": 1,
    },
    "terminal": {
        "road": 4, "path": 2, "verge": 2, "sheds": 3, "lot": 8, "parking": 1, "industry": 4, "water": 2, "lorries": 4,
        "store": 3, "wall": 1, "ditch": 1, "freeway": 1, "barracks": 1,
    },
    "siding": {
        "road": 3, "path": 2, "verge": 3, "sheds": 4, "lot": 3, "industry": 5, "field": 2, "wood": 1, "wall": 2,
        "store": 5, "lorries": 2, "barracks": 2, "solar": 1, "glass": 1, "ditch": 2, "hedgerow": 2, "water": 1,
        "orchard": 1,
    },
    "mainline": {
        "road": 2, "path": 2, "verge": 4, "field": 4, "wood": 3, "town": 3, "water": 2, "wall": 2, "ditch": 3,
        "hedgerow": 4, "freeway": 2, "solar": 1, "glass": 1, "gardens": 2, "store": 1, "orchard": 3,
    },
    "town": {
        "road": 3, "town": 7, "parking": 1, "verge": 1, "gardens": 3, "hedgerow": 2, "wall": 1, "barracks": 2,
        "water": 1, "platform": 1, "orchard": 1,
    },
    "road": {
        "road": 4, "freeway": 5, "verge": 3, "wood": 2, "town": 2, "lot": 1, "parking": 2, "industry": 1, "lorries": 3,
        "hedgerow": 3, "wall": 2, "ditch": 2, "orchard": 1,
    },
    "bridge": {
        "freeway": 5, "water": 5, "road": 3, "path": 2, "verge": 3, "hedgerow": 2, "wall": 3, "lorries": 1, "ditch": 1,
        "town": 1, "barracks": 1,
    },
    "field": {
        "field": 5, "path": 2, "wood": 2, "verge": 2, "water": 2, "road": 1, "glass": 3, "solar": 3, "ditch": 3,
        "hedgerow": 3, "gardens": 1, "barracks": 1, "orchard": 5,
    },
    "industry": {
        "industry": 5, "lot": 3, "parking": 3, "road": 3, "sheds": 4, "verge": 2, "path": 1, "lorries": 4, "store": 4,
        "barracks": 3, "solar": 1, "water": 1, "wall": 1,
    },
}  # fmt: skip
"""Frequencies of the bands around the tracks, by style of the yard."""


def surround(plan: Plan, style: str, start: float, outward: int, limit: float) -> None:
    """Fill the ground from offset `start` outward to `limit` with bands that suit the style."""
    o, last = start, ""
    while abs(o) < limit:
        kind = choose(plan.rng, {k: w for k, w in SURROUNDINGS[style].items() if k != last})
        builder, widths = BANDS[kind]
        width = uniform(plan.rng, widths)
        low, high = sorted((o, o + outward * width))
        builder(plan, low, high)
        o, last = o + outward * width, kind
