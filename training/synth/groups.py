"""Groups of parallel tracks with all that belongs to them: ballast, masts or portals, wires, signals."""

import numpy as np
from shapely.geometry import LineString, Polygon
from shapely.ops import unary_union

from training.synth import furniture
from training.synth.canvas import Overhead
from training.synth.plan import Area, Plan
from training.synth.profile import uniform
from training.synth.tracks import Points, Track, draw_layout, spur, trace


def rails(plan: Plan, low: float, number: int, storage: float, ladder: float) -> float:
    """A group of tracks from offset `low` on, with ballast, spurs, masts, clutter; returns where it ends."""
    rng, ranges = plan.rng, plan.profile
    pitch = uniform(rng, ranges.yard.spacing_m)
    layout = draw_layout(rng, low + 2.5, number, pitch, half_length_m=plan.half_m, ladder=ladder)
    group = 1 + max((track.group for track in plan.tracks), default=-1)
    wired = bool(rng.random() < ranges.yard.electrified)
    sleepers = str(rng.choice(["concrete", "wood"], p=[0.6, 0.4]))
    gauge = float(rng.choice([1.435, 1.52, 1.0], p=[0.8, 0.16, 0.04]))
    rust, shine = rng.random(), uniform(rng, ranges.ground.shine)
    tone = np.exp(rng.normal(-0.4, 0.25))
    lines = [line for i in range(number) if len(line := trace(plan.axis, layout, i)) > 16]
    if rng.random() < 0.3 and number < 12:
        outward = int(rng.choice([-1, 1]))
        lines.append(spur(plan.axis, rng, layout.offsets[-1 if outward > 0 else 0], outward))
    for line in lines:
        plan.tracks.append(
            Track(
                points=line,
                gauge_m=gauge,
                sleepers=sleepers if rng.random() < 0.9 else "wood",
                tone=float(tone * np.exp(rng.normal(0, 0.07))),
                rust=float(np.clip(rust + rng.normal(0, 0.2), 0, 1)),
                shine=float(np.clip(shine * rng.uniform(0.2, 1.1), 0, 1)),
                oil=float(rng.random() ** 2) if rng.random() < 0.5 else 0.0,
                storage=bool(rng.random() < storage),
                electrified=wired,
                group=group,
                free=np.zeros((0, 2)),
            )
        )
    bed = unary_union([LineString(line).buffer(5.0, quad_segs=2) for line in lines]).buffer(-2.2, quad_segs=2)
    plan.areas.extend(Area("ballast", np.asarray(part.exterior.coords)) for part in _polygons(bed))
    if wired:
        _electrify(plan, lines, layout.offsets)
    _clutter(plan, layout.offsets)
    return float(layout.offsets[-1] + 2.5)


def _polygons(shape: object) -> list[Polygon]:
    parts = getattr(shape, "geoms", [shape])
    return [part for part in parts if isinstance(part, Polygon) and not part.is_empty]


def _electrify(plan: Plan, lines: list[Points], offsets: np.ndarray) -> None:
    rng = plan.rng
    plan.overhead.extend(Overhead(line, rng.uniform(0.02, 0.05), 1.0) for line in lines)
    portals = len(offsets) > 2 and rng.random() < plan.profile.yard.portals
    width = uniform(rng, (0.35, 1.1))
    for s in plan.along((42.0, 72.0), 3.0):
        if portals:
            low, high = offsets[0] - 2.6, offsets[-1] + 2.6
            beam = plan.axis.at(np.array([s, s]), np.array([low, high]))
            plan.overhead.append(Overhead(beam, width, uniform(rng, (0.45, 0.85))))
            middle = [low, high] if len(offsets) < 6 else [low, (offsets[2] + offsets[3]) / 2, high]
            for o in middle:
                plan.put(furniture.box(rng, "mast", (0.4, 0.4, 7.6), furniture.WALLS), s, float(o))
            continue
        for i in range(0, len(offsets), 2):
            o = float(
                offsets[i] - 2.1 if i % 4 == 0 or i + 1 >= len(offsets) else offsets[min(i + 1, len(offsets) - 1)] + 2.1
            )
            plan.put(furniture.box(rng, "mast", (0.3, 0.3, 8.0), furniture.WALLS), s, o)
            arm = plan.axis.at(np.array([s, s]), np.array([o, float(offsets[i])]))
            plan.overhead.append(Overhead(arm, 0.12, 1.0))


def _clutter(plan: Plan, offsets: np.ndarray) -> None:
    """Signals, point machines, boxes, lamp masts and heaps between the tracks."""
    rng = plan.rng
    gaps = np.concatenate([[offsets[0] - 2.3], (offsets[1:] + offsets[:-1]) / 2, [offsets[-1] + 2.3]])
    tints: dict[str, float] = {
        "yellow": 3,
        "white": 2,
        "grey": 4,
        "light_grey": 3,
        "dark_grey": 2,
        "oxide": 1,
    }
    for _ in range(int(rng.poisson(0.04 * plan.half_m * rng.uniform(0, 2.5)))):
        size = (rng.uniform(0.3, 1.1), rng.uniform(0.3, 0.8), rng.uniform(0.2, 1.2))
        s = uniform(rng, (-plan.half_m, plan.half_m))
        plan.put(furniture.box(rng, "clutter", size, tints), s, float(rng.choice(gaps)) + rng.normal(0, 0.25))
    if rng.random() < 0.5:
        for s in plan.along((60.0, 140.0), 8.0):
            o, height = float(rng.choice(gaps)), uniform(rng, (9.0, 30.0))
            plan.put(furniture.box(rng, "mast", (0.32, 0.32, height), furniture.WALLS), s, o)
    for _ in range(int(rng.poisson(1.0))):
        s, o = (
            uniform(rng, (-plan.half_m, plan.half_m)),
            float(rng.choice([offsets[0] - 4.5, offsets[-1] + 4.5])),
        )
        thing = furniture.pile(rng) if rng.random() < 0.7 else furniture.heap(rng)
        plan.put(thing, s, o, rng.normal(0, 0.1))
