"""Bands of long, dark or bright rectangles that are no trains: what a detector mistakes for rail cars."""

import numpy as np

from training.synth import furniture
from training.synth.plan import Area, Plan
from training.synth.profile import uniform


def freeway(plan: Plan, low: float, high: float) -> None:
    """Two carriageways with lorries and buses; between them a barrier, a hedge or grass."""
    rng, gap = plan.rng, uniform(plan.rng, (1.5, 5.0))
    middle = (low + high) / 2
    plan.band("verge", low, high)
    for a, b, turn in ((low + 1, middle - gap / 2, np.pi), (middle + gap / 2, high - 1, 0.0)):
        plan.band("road", a, b)
        lanes = max(1, int((b - a) / 3.5))
        for i in range(lanes):
            # lorries keep to the outer lane
            outer = i == (0 if turn else lanes - 1)
            for s in plan.along((16.0, 60.0), 8.0):
                use = "haul" if rng.random() < (0.6 if outer else 0.1) else "traffic"
                plan.spot(use, s, a + (i + 0.5) * (b - a) / lanes, turn)
    if rng.random() < 0.5:
        barrier = plan.axis.strip(middle - 0.25, middle + 0.25, -plan.half_m, plan.half_m)
        plan.areas.append(Area("parapet", barrier))
    elif gap > 2.5:
        _hedge(plan, middle, min(gap - 1, 3.0))


def _hedge(plan: Plan, o: float, width: float) -> None:
    """A hedge with gaps along the whole axis."""
    for s in plan.along((14.0, 32.0)):
        if plan.rng.random() < 0.85:
            plan.put(furniture.hedge(plan.rng, uniform(plan.rng, (9.0, 30.0)), width, plan.dry), s, o)


def hedgerow(plan: Plan, low: float, high: float) -> None:
    """A hedge as wide as a wagon, or a row of trees, on grass."""
    plan.band("verge", low, high)
    if plan.rng.random() < 0.75:
        _hedge(plan, (low + high) / 2, min(high - low, uniform(plan.rng, (1.2, 3.4))))
        return
    radius = uniform(plan.rng, (1.5, 3.5))
    for s in plan.along((2.0 * radius, 4.0 * radius), 0.4):
        plan.put(furniture.tree(plan.rng, radius, plan.dry, plan.bare), s, (low + high) / 2)


def ditch(plan: Plan, low: float, high: float) -> None:
    """A drainage ditch: a dark strip with pale or green banks."""
    plan.band("verge", low, high)
    middle, half = (low + high) / 2, uniform(plan.rng, (0.4, (high - low) / 3))
    plan.band(str(plan.rng.choice(["cinder", "water", "weeds", "oil", "concrete"])), middle - half, middle + half)


def lorries(plan: Plan, low: float, high: float) -> None:
    """Lorries and trailers side by side or end to end, row after row."""
    rng = plan.rng
    plan.band(str(rng.choice(["asphalt", "old_asphalt", "concrete", "gravel"])), low, high)
    across = rng.random() < 0.5
    pitch_s, pitch_o = (uniform(rng, (3.1, 4.2)), 19.0) if across else (uniform(rng, (15.5, 19.0)), 4.2)
    turn = np.pi / 2 + float(rng.choice([0.0, 0.0, 0.6, -0.6])) if across else 0.0
    for o in np.arange(low + (9.0 if across else 2.5), high - (8.0 if across else 2.0), pitch_o):
        start, end = sorted(rng.uniform(-1.0, 1.0, 2) * plan.half_m)
        for s in np.arange(start, end, pitch_s):
            plan.spot("lorry", float(s), float(o), turn)


def store(plan: Plan, low: float, high: float) -> None:
    """Rails, pipes, sleepers, slabs and timber stacked along the tracks, as wide and long as wagons."""
    rng = plan.rng
    plan.band(str(rng.choice(["gravel", "soil", "cinder", "old_asphalt", "concrete", "weeds"])), low, high)
    for o in np.arange(low + 1.5, high - 1.0, uniform(rng, (3.2, 5.0))):
        s, density = -plan.half_m, rng.random()
        while s < plan.half_m:
            length = uniform(rng, (6.0, 26.0))
            if rng.random() < density:
                plan.put(furniture.stack(rng, length), s + length / 2, float(o), rng.normal(0, 0.01))
            s += length + uniform(rng, (0.8, 9.0))


def solar(plan: Plan, low: float, high: float) -> None:
    """Fields of solar panels in dark rows."""
    rng = plan.rng
    plan.band("verge", low, high)
    s = -plan.half_m + uniform(rng, (0.0, 60.0))
    while s < plan.half_m:
        length = uniform(rng, (15.0, 70.0))
        plan.put(furniture.panels(rng, length, high - low - 2), s + length / 2, (low + high) / 2)
        s += length + uniform(rng, (3.0, 40.0))


def glass(plan: Plan, low: float, high: float) -> None:
    """Greenhouses and foil tunnels."""
    rng = plan.rng
    plan.band(str(rng.choice(["soil", "verge", "gravel"])), low, high)
    s, width = -plan.half_m, uniform(rng, (6.0, 10.0))
    while s < plan.half_m:
        length = uniform(rng, (15.0, 60.0))
        for o in np.arange(low + width / 2 + 0.5, high - width / 2, width + uniform(rng, (0.5, 3.0))):
            plan.put(furniture.greenhouse(rng, length, width), s + length / 2, float(o))
        s += length + uniform(rng, (2.0, 25.0))


def barracks(plan: Plan, low: float, high: float) -> None:
    """Long narrow buildings with equal roofs, in rows along or across, such as stables and garages."""
    rng = plan.rng
    plan.band(str(rng.choice(["verge", "gravel", "old_asphalt", "concrete"])), low, high)
    across, width = rng.random() < 0.5, uniform(rng, (3.0, 8.0))
    length = high - low - 3 if across else uniform(rng, (14.0, 60.0))
    roof = furniture.building(rng, length, width, uniform(rng, (2.4, 5.0)), str(rng.choice(["flat", "gable", "mono"])))
    gap = uniform(rng, (1.5, 9.0))
    if across:
        for s in np.arange(-plan.half_m, plan.half_m, width + gap):
            plan.put(roof, float(s), (low + high) / 2, np.pi / 2)
        return
    for o in np.arange(low + 1 + width / 2, high - width / 2, width + gap):
        for s in np.arange(-plan.half_m, plan.half_m, length + uniform(rng, (1.0, 12.0))):
            plan.put(roof, float(s), float(o))


def gardens(plan: Plan, low: float, high: float) -> None:
    """Plots of beds and lawns with huts."""
    rng = plan.rng
    plan.band("verge", low, high)
    deep, wide = uniform(rng, (5.0, 12.0)), uniform(rng, (2.5, 7.0))
    kinds = ["soil", "grass", "dry_grass", "weeds", "gravel", "cinder", "sand"]
    for o in np.arange(low + 1, high - deep + 0.1, deep + 1.2):
        for s in np.arange(-plan.half_m, plan.half_m, wide + 0.8):
            if rng.random() < 0.6:
                outline = plan.axis.at(np.array([s, s + wide, s + wide, s]), np.array([o, o, o + deep, o + deep]))
                plan.areas.append(Area(str(rng.choice(kinds)), outline))
            if rng.random() < 0.15:
                hut = furniture.building(rng, uniform(rng, (2.5, 5.0)), uniform(rng, (2.0, 3.5)), 2.3)
                plan.put(hut, float(s) + wide / 2, float(o) + deep / 2, uniform(rng, (-0.2, 0.2)))


def orchard(plan: Plan, low: float, high: float) -> None:
    """Rows of fruit trees, bushes or vines, along or across."""
    rng = plan.rng
    plan.band(str(rng.choice(["soil", "verge", "grass", "dry_grass", "weeds", "sand"])), low, high)
    width = uniform(rng, (0.7, 4.5))
    between, pitch = width + uniform(rng, (0.8, 3.5)), width * uniform(rng, (0.55, 1.3))
    across = rng.random() < 0.4
    length = high - low - 1 if across else uniform(rng, (25.0, 110.0))
    rows = [furniture.tree_row(rng, length, pitch, width, plan.dry) for _ in range(6)]
    if across:
        for s in np.arange(-plan.half_m, plan.half_m, between):
            plan.put(rows[rng.integers(6)], float(s), (low + high) / 2, np.pi / 2)
        return
    for s in np.arange(-plan.half_m, plan.half_m + length, length + uniform(rng, (0.0, 12.0))):
        for o in np.arange(low + width, high - width / 2, between):
            plan.put(rows[rng.integers(6)], float(s), float(o))


def canal(plan: Plan, low: float, high: float) -> None:
    """A canal or river between banks or quays, with barges and boats, and piers into it."""
    rng = plan.rng
    bank = uniform(rng, (0.6, 3.0))
    plan.band(str(rng.choice(["concrete", "verge", "gravel", "sand"])), low, high)
    plan.band("water", low + bank, high - bank)
    width = high - low - 2 * bank
    if width > 12:
        for o in (low + bank + 4, high - bank - 4):
            for s in plan.along((40.0, 140.0), 15.0):
                if rng.random() < 0.6:
                    plan.put(furniture.barge(rng, uniform(rng, (12.0, 70.0)), uniform(rng, (2.6, 6.5))), s, o)
    if rng.random() < 0.35:
        for s in plan.along((10.0, 40.0), 2.0):
            reach = min(uniform(rng, (3.0, 14.0)), width / 2)
            pier = furniture.box(rng, "pier", (reach, uniform(rng, (1.2, 3.0)), 0.8), furniture.WALLS)
            plan.put(pier, s, low + bank + reach / 2, np.pi / 2)
            if rng.random() < 0.6:
                boat = furniture.barge(rng, uniform(rng, (5.0, 13.0)), uniform(rng, (2.0, 3.6)))
                plan.put(boat, s + 3.5, low + bank + reach / 2, np.pi / 2)


def crossings(plan: Plan, number: int) -> None:
    """Bridges over everything: roads with traffic on them, and narrow ones for people and pipes."""
    rng = plan.rng
    for _ in range(number):
        width = float(rng.choice([2.6, 4.0, 8.0, 12.0, 18.0])) * rng.uniform(0.9, 1.2)
        span = uniform(rng, (45.0, 2.2 * plan.half_m))
        bridge = furniture.bridge(rng, span, width, uniform(rng, (5.6, 8.5)))
        at = uniform(rng, (-0.8, 0.8)) * plan.half_m, uniform(rng, (-0.3, 0.3)) * plan.half_m
        plan.put(bridge, *at, np.pi / 2 + rng.normal(0, 0.3))
