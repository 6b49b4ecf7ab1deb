"""What stands in a yard on one date: strings on the tracks, containers, lorries and cars on their spots."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from shapely import STRtree, contains_xy
from shapely.geometry import LineString, Polygon

from training.synth.canvas import Placement
from training.synth.consist import MAX_GAP_M, Fleet, draw_string
from training.synth.furniture import bus
from training.synth.objects import (
    draw_car,
    draw_container,
    draw_coupling,
    draw_tarped_stack,
    draw_trailer,
    draw_truck,
)
from training.synth.profile import TrafficRanges, uniform
from training.synth.solid import Solid
from training.synth.tracks import Track
from training.synth.vehicles import KINDS, WEIGHTS
from training.synth.yard import Yard

CAR_LABELS = frozenset({"railcar", "tarped_railcar"})


@dataclass(frozen=True)
class Demand:
    """What is wanted on a date.

    Attributes:
        cars: rail cars (tarped ones included, locomotives not); fewer only where the tracks are full.
        tarped: share of cars under tarpaulins; negative for the region's own share.
        lots: share of taken spots.
        compact: neighbouring tracks are filled first, from one end.
        region: of the vehicle fleet.
        within: middles of cars and boxes lie in this polygon, if given.
        locomotives: share of strings with locomotives at an end.
        depot: a line of locomotives stands on a track of its own.
        unit: most strings are one unit train, parked in cuts.
        alone: share of strings that are a single wagon or two.
        odd: share of the cars without a tarpaulin that are of no known make.
    """

    cars: int
    tarped: float
    lots: float
    compact: bool
    region: str
    within: Polygon | None = None
    locomotives: float = 0.25
    depot: bool = False
    unit: bool = False
    alone: float = 0.0
    odd: float = 0.0


def demand(rng: np.random.Generator, ranges: TrafficRanges, region: str) -> Demand:
    """A date of the profile."""
    names = list(ranges.counts)
    share = np.array([ranges.counts[name][0] for name in names])
    _, low, high = ranges.counts[names[int(rng.choice(len(names), p=share / share.sum()))]]
    return Demand(
        cars=int(rng.integers(low, high + 1)),
        tarped=uniform(rng, ranges.tarped) if rng.random() < 0.5 else -1.0,
        lots=uniform(rng, ranges.lots) * float(rng.random() < 0.8),
        compact=bool(rng.random() < ranges.compact),
        region=region,
        locomotives=uniform(rng, ranges.locomotives),
        depot=bool(rng.random() < ranges.depot),
        unit=bool(rng.random() < ranges.unit_trains),
        alone=ranges.alone,
        odd=ranges.odd,
    )


def kind_weights(region: str, tarped: float, odd: float = 0.0) -> dict[str, float]:
    """Frequencies of kinds with a wanted share of tarped cars among the rail cars, and of odd ones among the others."""
    weights = dict(WEIGHTS[region])
    others = sum(w for kind, w in weights.items() if KINDS[kind] == "railcar")
    if odd > 0:
        weights["odd"] = others * odd / max(1 - odd, 1e-3)
        others += weights["odd"]
    if tarped >= 0:
        weights["tarped"] = others * tarped / max(1 - tarped, 1e-3)
    return weights


def on_tracks(rng: np.random.Generator, yard: Yard, wanted: Demand, gap_m: tuple[float, float]) -> list[Placement]:
    """Strings on the storage tracks until the wanted number of rail cars stands.

    Law: the number of rail cars is at most `wanted.cars`, and less only where no track has room.
    """
    placed: list[Placement] = []
    weights = kind_weights(wanted.region, wanted.tarped, wanted.odd)
    stretches = _stretches(rng, yard, wanted)
    missing = wanted.cars
    unit = Fleet.of_unit_train(rng, weights) if wanted.unit else None
    if wanted.depot and stretches:
        track, low, high = stretches.pop(int(rng.integers(len(stretches))))
        engines = draw_string(
            rng, min(high - low, rng.uniform(25, 140)), weights={"locomotive": 1}, region=wanted.region
        )
        placed.extend(_within(wanted, _couple(rng, track, engines, low, gap_m)[1]))
    # a first pass leaves room on the tracks, later ones fill it
    for _ in range(12):
        rest: list[tuple[Track, float, float]] = []
        for track, low, high in stretches:
            if missing <= 0:
                return placed
            room = high - low
            fill = room if wanted.compact and rng.random() < 0.8 else room * rng.uniform(0.15, 1.0)
            if rng.random() < wanted.alone:
                fill = min(fill, rng.uniform(14, 36))
            string = draw_string(
                rng,
                min(fill, missing * 17.0 + 8.0),
                weights=weights,
                region=wanted.region,
                locomotive_share=wanted.locomotives,
                unit=unit if rng.random() < 0.8 else None,
            )
            string = _limited(string, missing)
            length = sum(solid.length_m for solid in string) + gap_m[1] * len(string)
            if not string:
                rest.append((track, low, high))
                continue
            start = low + (0.0 if wanted.compact and rng.random() < 0.5 else rng.uniform(0, max(room - length, 0.0)))
            end, cars = _couple(rng, track, string, start, gap_m)
            cars = _within(wanted, cars)
            placed.extend(cars)
            missing -= sum(car.solid.label in CAR_LABELS for car in cars)
            rest.extend((track, a, b) for a, b in ((low, start - 5), (end + 5, high)) if b - a > 14)
        stretches = rest
        if not wanted.compact:
            rng.shuffle(stretches)
    return placed


def _within(wanted: Demand, cars: list[Placement]) -> list[Placement]:
    """Those whose middles lie where they are wanted."""
    if wanted.within is None:
        return cars
    return [car for car in cars if contains_xy(wanted.within, car.x_m, car.y_m)]


def _limited(string: Sequence[Solid], cars: int) -> list[Solid]:
    """The front of a string with at most this many rail cars."""
    result: list[Solid] = []
    for solid in string:
        cars -= solid.label in CAR_LABELS
        if cars < 0:
            break
        result.append(solid)
    return result


def _stretches(rng: np.random.Generator, yard: Yard, wanted: Demand) -> list[tuple[Track, float, float]]:
    """Free stretches inside the scene, in the order in which they are filled."""
    reach_x, reach_y = yard.size_m[0] / 2 + 12, yard.size_m[1] / 2 + 12
    found: list[tuple[Track, float, float]] = []
    storage = [track for track in yard.tracks if track.storage]
    order = list(range(len(storage)))
    if wanted.compact and order:
        start = int(rng.integers(len(order)))
        order.sort(key=lambda i: abs(i - start))
    else:
        rng.shuffle(order)
    for i in order:
        track = storage[i]
        for low, high in track.free:
            s = np.arange(low, high, 2.0)
            x, y = track.at(s).T
            inside = (np.abs(x) < reach_x) & (np.abs(y) < reach_y)
            if wanted.within is not None:
                inside &= contains_xy(wanted.within, x, y)
            edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
            found.extend((track, float(s[a]), float(s[b - 1])) for a, b in edges.reshape(-1, 2) if b - a > 7)
    return found


def _couple(
    rng: np.random.Generator, track: Track, string: Sequence[Solid], start: float, gap_m: tuple[float, float]
) -> tuple[float, list[Placement]]:
    """Stand a string from arc length `start` on: where it ends, and the cars with couplings between them."""
    s, placed = start, []
    usual = uniform(rng, gap_m)
    for i, solid in enumerate(string):
        if i:
            gap = float(np.clip(usual + rng.normal(0, 0.05), gap_m[0], min(gap_m[1], MAX_GAP_M)))
            placed.append(Placement(draw_coupling(rng, gap), *track.seat(s + gap / 2, 4.0)))
            s += gap
        x, y, heading = track.seat(s + solid.length_m / 2, solid.length_m)
        placed.append(Placement(solid, x, y, heading))
        s += solid.length_m
    return s, placed


def off_tracks(rng: np.random.Generator, yard: Yard, wanted: Demand) -> list[Placement]:
    """Containers, stacks, lorries, trailers and cars on their spots."""
    placed: list[Placement] = []
    stacks = rng.random() < 0.35
    rails = STRtree([LineString(track.points) for track in yard.tracks])
    for spot in yard.spots:
        moving = spot.use in {"traffic", "haul"}
        if rng.random() > wanted.lots * (0.35 if moving else 1.0):
            continue
        if spot.use == "box":
            solid = draw_tarped_stack(rng) if rng.random() < (0.5 if stacks else 0.06) else draw_container(rng)
        elif spot.use == "car" or (spot.use == "traffic" and rng.random() < 0.7):
            solid = draw_car(rng)
        elif spot.use == "haul" and rng.random() < 0.25:
            solid = bus(rng)
        else:
            solid = draw_trailer(rng) if not moving and rng.random() < 0.45 else draw_truck(rng)
        wobble = rng.normal(0, 0.25, 2)
        heading = spot.heading + rng.normal(0, 0.015)
        placed.append(Placement(solid, spot.x_m + wobble[0], spot.y_m + wobble[1], float(heading)))
    if not placed:
        return []
    shapes = [Polygon(placement.corners()) for placement in placed]
    taken = set(rails.query(shapes, predicate="dwithin", distance=2.0)[0]) if yard.tracks else set()
    first, second = STRtree(shapes).query(shapes, predicate="intersects")
    for a, b in zip(first, second, strict=True):
        if a < b and a not in taken:
            taken.add(b)
    return [placement for i, placement in enumerate(placed) if i not in taken]
