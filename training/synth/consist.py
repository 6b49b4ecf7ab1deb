"""Strings of coupled vehicles as they stand in a yard: unit trains, blocks, mixed freight, coaches, engines."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from training.synth.solid import Solid
from training.synth.vehicles import WEIGHTS, draw_vehicle

MAX_GAP_M = 1.5
"""Largest gap between the bodies of coupled vehicles, kept free by `draw_string`."""

UNIT_WEIGHTS: Mapping[str, float] = {
    "hopper_open": 5, "hopper": 3, "tank": 2.5, "open_loaded": 2, "open_empty": 2, "well": 2, "autorack": 2,
    "coil": 1.5, "two_axle": 1.5, "flat_container": 1.5, "covered": 1, "flat_empty": 1, "lumber": 1, "tarped": 0.7,
    "flat_loaded": 0.7, "odd": 1,
}  # fmt: skip
"""How much likelier a kind travels in unit trains than among others; kinds left out never do."""

_APART = frozenset({"passenger", "locomotive"})


@dataclass(frozen=True)
class Fleet:
    """Equal vehicles: one kind, one series."""

    kind: str
    series: int

    @classmethod
    def draw(cls, rng: np.random.Generator, kind: str) -> Self:
        """A series of its own."""
        return cls(kind, int(rng.integers(2**62)))

    @classmethod
    def of_unit_train(cls, rng: np.random.Generator, weights: Mapping[str, float]) -> Self | None:
        """What unit trains of a fleet with these frequencies of kinds consist of; None if it has none."""
        share = {kind: weight * UNIT_WEIGHTS.get(kind, 0.0) for kind, weight in weights.items()}
        return cls.draw(rng, _pick(rng, share)) if sum(share.values()) > 0 else None


def _pick(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    kinds = [kind for kind, weight in weights.items() if weight > 0]
    share = np.array([weights[kind] for kind in kinds])
    return kinds[int(rng.choice(len(kinds), p=share / share.sum()))]


def _heads(rng: np.random.Generator, weights: Mapping[str, float], locomotive_share: float) -> Iterator[Fleet]:
    """The locomotives of a string: none, one, or up to four, half of them of one series."""
    if weights.get("locomotive", 0.0) <= 0 or rng.random() >= locomotive_share:
        return
    fleet = Fleet.draw(rng, "locomotive")
    for _ in range(int(rng.choice([1, 2, 3, 4], p=[0.58, 0.28, 0.10, 0.04]))):
        yield fleet
        fleet = fleet if rng.random() < 0.5 else Fleet.draw(rng, "locomotive")


def _consist(
    rng: np.random.Generator, weights: Mapping[str, float], locomotive_share: float, unit: Fleet | None
) -> Iterator[Fleet]:
    """An endless string, vehicle by vehicle."""
    yield from _heads(rng, weights, locomotive_share)
    wagons = {kind: weight for kind, weight in weights.items() if kind not in _APART and weight > 0}
    coaches, total = weights.get("passenger", 0.0), sum(weights.values())
    if unit is None and coaches > 0 and (not wagons or rng.random() < coaches / total):
        unit = Fleet.draw(rng, "passenger")
    while not wagons and unit is None:
        yield Fleet.draw(rng, "locomotive")
    mean = float(rng.choice([400.0, 6.0, 1.7], p=[0.3, 0.4, 0.3]))
    while True:
        block = unit or Fleet.draw(rng, _pick(rng, wagons))
        for _ in range(int(rng.geometric(1 / mean))):
            yield block


def draw_string(
    rng: np.random.Generator,
    length_m: float,
    *,
    weights: Mapping[str, float] | None = None,
    region: str = "europe",
    locomotive_share: float = 0.15,
    unit: Fleet | None = None,
) -> list[Solid]:
    """A string of coupled vehicles: a unit train, blocks of equal wagons, mixed freight or coaches.

    Law: the bodies with gaps of up to `MAX_GAP_M` between them fit into `length_m`; the gaps are left to the
    caller, who places the vehicles. With `unit`, all vehicles but locomotives are of that fleet.

    Args:
        rng: source of all randomness.
        length_m: room on the track.
        weights: frequency of kinds, by default `WEIGHTS[region]`; kinds left out do not occur.
        region: one of `REGIONS`.
        locomotive_share: probability that the string has locomotives at an end.
        unit: the fleet of a unit train.

    Returns:
        The vehicles in order; none if no vehicle fits.
    """
    solids: list[Solid] = []
    room = length_m
    for fleet in _consist(rng, weights or WEIGHTS[region], locomotive_share, unit):
        solid = draw_vehicle(rng, fleet.kind, region, series=fleet.series)
        if solid.length_m > room:
            break
        solids.append(solid)
        room -= solid.length_m + MAX_GAP_M
    return solids[::-1] if rng.random() < 0.5 else solids
