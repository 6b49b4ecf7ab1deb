"""Rail vehicles: their kinds, how often they occur and how long they are by region, and how one is drawn."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from training.synth import flats, freight, odd, roofed, traction
from training.synth.solid import Draw, Part, Size, Solid, assemble, turned

Range = tuple[float, float]

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "covered": "railcar", "tank": "railcar", "open_empty": "railcar", "open_loaded": "railcar",
        "flat_empty": "railcar", "flat_loaded": "railcar", "flat_container": "railcar", "well": "railcar",
        "lumber": "railcar", "coil": "railcar", "hopper": "railcar", "hopper_open": "railcar",
        "two_axle": "railcar", "autorack": "railcar", "passenger": "railcar", "tarped": "tarped_railcar",
        "locomotive": "locomotive", "odd": "railcar",
    }
)  # fmt: skip
"""Kinds of rail vehicles and the class of each."""

REGIONS = ("europe", "north_america", "east_asia", "russia")
"""Regions whose vehicles differ in size, type and frequency."""

WEIGHTS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "europe": {
            "covered": 18, "tank": 13, "open_empty": 8, "open_loaded": 8, "flat_empty": 9, "flat_loaded": 4,
            "flat_container": 9, "well": 0, "lumber": 1, "coil": 6, "hopper": 6, "hopper_open": 4, "two_axle": 7,
            "autorack": 4, "passenger": 5, "tarped": 7, "locomotive": 1,
        },
        "north_america": {
            "covered": 14, "tank": 17, "open_empty": 7, "open_loaded": 7, "flat_empty": 4, "flat_loaded": 3,
            "flat_container": 3, "well": 9, "lumber": 5, "coil": 3, "hopper": 15, "hopper_open": 11, "two_axle": 0,
            "autorack": 7, "passenger": 2, "tarped": 2, "locomotive": 1,
        },
        "east_asia": {
            "covered": 19, "tank": 12, "open_empty": 13, "open_loaded": 16, "flat_empty": 6, "flat_loaded": 4,
            "flat_container": 7, "well": 0.3, "lumber": 0.5, "coil": 1.5, "hopper": 3, "hopper_open": 3,
            "two_axle": 2.5, "autorack": 0.5, "passenger": 4, "tarped": 12, "locomotive": 1,
        },
        "russia": {
            "covered": 14, "tank": 20, "open_empty": 15, "open_loaded": 15, "flat_empty": 7, "flat_loaded": 5,
            "flat_container": 7, "well": 0, "lumber": 1.5, "coil": 1.5, "hopper": 6, "hopper_open": 4,
            "two_axle": 0.5, "autorack": 0.7, "passenger": 3, "tarped": 5, "locomotive": 1,
        },
    }
)  # fmt: skip
"""How often each kind stands in a yard of a region, per wagon; `odd` ones are of no region."""

LENGTHS_M: Mapping[str, Mapping[str, tuple[Range, ...]]] = MappingProxyType(
    {
        "covered": {
            "europe": ((12.6, 14.4), (14.2, 16.2), (14.2, 16.2), (20.3, 23.2)),
            "north_america": ((15.3, 16.0), (15.3, 16.0), (18.3, 20.6)),
            "": ((13.8, 14.8), (15.0, 16.8)),
        },
        "tank": {
            "north_america": ((12.0, 14.0), (14.5, 18.2)),
            "": ((10.8, 12.4), (11.5, 14.5), (14.5, 17.2)),
        },
        "open": {
            "europe": ((10.0, 12.6), (12.6, 14.2), (12.6, 14.2), (14.5, 20.0)),
            "north_america": ((15.8, 16.3), (15.8, 16.3), (19.8, 20.4)),
            "": ((12.3, 13.9), (12.7, 13.2)),
        },
        "flat": {
            "europe": ((12.5, 13.9), (16.5, 18.6), (18.5, 19.9), (18.5, 19.9)),
            "north_america": ((18.3, 20.4), (26.5, 27.2)),
            "": ((12.9, 13.9), (13.2, 14.6), (18.2, 19.2)),
        },
        "flat_container": {
            "europe": ((12.4, 12.9), (16.3, 17.0), (18.4, 19.7), (18.4, 19.7), (24.8, 26.0)),
            "north_america": ((26.5, 27.2), (18.3, 20.4)),
            "": ((12.4, 13.4), (13.2, 14.2), (18.4, 19.6)),
        },
        "hopper": {
            "north_america": ((12.8, 15.0), (15.5, 18.3)),
            "": ((9.0, 11.8), (9.0, 11.8), (11.8, 14.0), (13.5, 17.5)),
        },
        "hopper_open": {"north_america": ((14.3, 15.4), (15.2, 16.3)), "": ((9.0, 11.5), (11.5, 14.0), (12.5, 14.5))},
        "well": {"": ((14.6, 16.4), (16.5, 17.6), (19.6, 21.7))},
        "lumber": {"north_america": ((18.6, 20.4), (22.0, 22.5)), "": ((13.2, 14.6), (18.2, 19.4))},
        "coil": {"north_america": ((12.8, 15.0), (16.0, 17.2)), "": ((10.8, 12.2), (11.6, 12.1), (13.0, 14.0))},
        "two_axle": {"": ((7.5, 8.6), (8.4, 9.4), (9.2, 10.5))},
        "autorack": {"north_america": ((27.0, 27.5),), "": ((12.8, 14.2), (25.0, 26.4))},
        "odd": {"": ((8.0, 12.0), (12.0, 15.0), (15.0, 20.0), (20.0, 26.0))},
        "passenger": {"north_america": ((25.3, 25.9),), "": ((24.0, 24.6), (26.0, 26.4), (26.0, 26.4))},
        "locomotive": {
            "europe": ((9.5, 12.5), (14.8, 17.0), (17.0, 19.6)),
            "north_america": ((13.0, 14.4), (17.0, 20.0), (20.5, 22.3)),
            "": ((10.5, 13.5), (15.0, 18.0), (18.0, 21.5)),
        },
    }
)
"""Lengths over body, by family and region ("" for the others); each range is as likely as the next."""

_FAMILY = {
    "open_empty": "open",
    "open_loaded": "open",
    "flat_empty": "flat",
    "flat_loaded": "flat",
    "tarped": "flat",
}


def _length(draw: Draw, kind: str) -> float:
    on_gondola = kind == "tarped" and draw.chance(0.5)
    table = LENGTHS_M["open" if on_gondola else _FAMILY.get(kind, kind)]
    ranges = table.get(draw.region, table[""] if "" in table else next(iter(table.values())))
    return draw.between(*ranges[int(draw.design.integers(len(ranges)))])


def _covered(draw: Draw, length: float) -> tuple[Size, list[Part]]:
    high = {"north_america": (4.5, 5.2), "russia": (4.4, 5.0)}.get(draw.region, (3.85, 4.35))
    size = Size(
        length,
        draw.between(2.7, 3.1) if draw.region == "europe" else draw.between(2.8, 3.25),
        draw.between(*high),
    )
    return size, roofed.covered(draw, size)


def _tank(draw: Draw, length: float) -> tuple[Size, list[Part]]:
    size = Size(length, draw.between(2.6, 3.1), draw.between(3.9, 4.6))
    return size, roofed.tank(draw, size)


def _open(draw: Draw, length: float, loaded: bool) -> tuple[Size, list[Part]]:
    low, high = (3.0, 3.55) if draw.region in {"russia", "east_asia"} else (2.0, 3.4)
    size = Size(length, draw.between(2.65, 3.15), draw.between(low, high) + (draw.between(0, 0.4) if loaded else 0.0))
    return size, (freight.open_loaded if loaded else freight.open_empty)(draw, size)


def _open_empty(draw: Draw, length: float) -> tuple[Size, list[Part]]:
    return _open(draw, length, loaded=False)


def _open_loaded(draw: Draw, length: float) -> tuple[Size, list[Part]]:
    return _open(draw, length, loaded=True)


def _flat_empty(draw: Draw, length: float) -> tuple[Size, list[Part]]:
    bulkheads = draw.chance(0.15)
    size = Size(length, draw.between(2.6, 3.1), draw.between(2.4, 3.8) if bulkheads else 1.65)
    return size, flats.flat_empty(draw, size)


def _flat_loaded(draw: Draw, length: float) -> tuple[Size, list[Part]]:
    size = Size(length, draw.between(2.65, 3.1), draw.between(2.2, 4.0))
    return size, flats.flat_loaded(draw, size)


def _flat_container(draw: Draw, length: float) -> tuple[Size, list[Part]]:
    size = Size(length, draw.between(2.45, 2.8), draw.between(3.7, 4.1))
    return size, flats.flat_container(draw, size)


def _well(draw: Draw, length: float) -> tuple[Size, list[Part]]:
    height = float(draw.design.choice([1.5, 3.2, 5.6, 6.1], p=[0.25, 0.25, 0.3, 0.2]))
    size = Size(length, draw.between(2.9, 3.1), height)
    return size, flats.well(draw, size)


def _lumber(draw: Draw, length: float) -> tuple[Size, list[Part]]:
    size = Size(length, draw.between(2.75, 3.1), draw.between(3.6, 4.6))
    return size, flats.lumber(draw, size)


def _coil(draw: Draw, length: float) -> tuple[Size, list[Part]]:
    size = Size(length, draw.between(2.7, 3.1), draw.between(3.2, 4.25))
    return size, roofed.coil(draw, size)


def _hopper_open(draw: Draw, length: float) -> tuple[Size, list[Part]]:
    high = (3.6, 4.2) if draw.region == "north_america" else (3.2, 4.0)
    size = Size(length, draw.between(2.8, 3.25), draw.between(*high))
    return size, freight.hopper_open(draw, size)


def _two_axle(draw: Draw, length: float) -> tuple[Size, list[Part]]:
    style = draw.style(covered=34, open_empty=18, open_loaded=16, hopper=12, flat=14, tank=6)
    high = {"covered": (3.5, 4.1), "hopper": (3.0, 3.8), "tank": (3.6, 4.2), "flat": (1.65, 1.65)}
    size = Size(length, draw.between(2.5, 3.0), draw.between(*high.get(style, (1.9, 2.9))))
    builders: Mapping[str, Callable[[Draw, Size], list[Part]]] = {
        "covered": roofed.covered, "open_empty": freight.open_empty, "open_loaded": freight.open_loaded,
        "hopper": freight.hopper_open, "flat": flats.flat_deck, "tank": roofed.tank,
    }  # fmt: skip
    return size, builders[style](draw, size)


def _hopper(draw: Draw, length: float) -> tuple[Size, list[Part]]:
    high = (4.2, 4.7) if draw.region == "north_america" else (3.3, 4.4)
    size = Size(length, draw.between(2.7, 3.2), draw.between(*high))
    return size, roofed.hopper_covered(draw, size)


def _autorack(draw: Draw, length: float) -> tuple[Size, list[Part]]:
    if draw.region == "north_america" or draw.chance(0.3):
        size = Size(
            length,
            draw.between(2.9, 3.2),
            draw.between(5.6, 6.0) if length > 26.5 else draw.between(4.2, 4.6),
        )
        return size, roofed.autorack_closed(draw, size)
    size = Size(length, draw.between(2.7, 3.1), draw.between(4.2, 4.6))
    return size, flats.autorack_open(draw, size)


def _passenger(draw: Draw, length: float) -> tuple[Size, list[Part]]:
    size = Size(length, draw.between(2.8, 3.15), draw.between(3.9, 4.65))
    return size, roofed.passenger(draw, size)


def _locomotive(draw: Draw, length: float) -> tuple[Size, list[Part]]:
    size = Size(length, draw.between(2.85, 3.2), draw.between(4.1, 4.9))
    return size, traction.locomotive(draw, size)


def _odd(draw: Draw, length: float) -> tuple[Size, list[Part]]:
    size = Size(length, draw.between(2.5, 3.25), draw.between(1.5, 4.6))
    return size, odd.odd(draw, size)


def _tarped(draw: Draw, length: float) -> tuple[Size, list[Part]]:
    size = Size(min(length, 20.0), draw.between(2.6, 3.2), draw.between(2.3, 4.2))
    return size, flats.tarped(draw, size)


_BUILDERS: Mapping[str, Callable[[Draw, float], tuple[Size, list[Part]]]] = {
    "covered": _covered, "tank": _tank, "open_empty": _open_empty, "open_loaded": _open_loaded,
    "flat_empty": _flat_empty, "flat_loaded": _flat_loaded, "flat_container": _flat_container,
    "well": _well, "lumber": _lumber, "coil": _coil, "hopper": _hopper, "hopper_open": _hopper_open,
    "two_axle": _two_axle, "autorack": _autorack, "passenger": _passenger, "locomotive": _locomotive,
    "tarped": _tarped, "odd": _odd,
}  # fmt: skip


def draw_vehicle(rng: np.random.Generator, kind: str, region: str = "europe", *, series: int | None = None) -> Solid:
    """One rail vehicle.

    Law: equal generators give equal vehicles; those of one `series`, kind and region share type and size.

    Args:
        rng: source of all randomness of the unit.
        kind: one of `KINDS`.
        region: one of `REGIONS`.
        series: number of the series it belongs to; one of its own by default.

    Raises:
        KeyError: an unknown kind.
    """
    number = int(rng.integers(2**62)) if series is None else series
    draw = Draw.of_series(rng, number, region)
    size, parts = _BUILDERS[kind](draw, _length(draw, kind))
    if draw.unit.random() < 0.5:
        parts = [turned(part) for part in parts]
    oldest = 0.6 if kind in {"passenger", "locomotive"} else 1.0
    weather = draw.weather(0.0, oldest, rusts=kind not in {"tarped", "open_loaded", "flat_loaded"})
    return assemble(kind, KINDS[kind], size, parts, weather)
