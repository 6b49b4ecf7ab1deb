"""Trains for tests of strings: coupled cars as boxes, in metres."""

from collections.abc import Sequence

import numpy as np

from detector.geometry import Floats

WIDTH_M = 3.0


def train(
    car_m: Sequence[float] | Floats, coupling_m: float = 1.0, *, radius_m: float = 1e9, beside_m: float = 0.0
) -> Floats:
    """Cars coupled on an arc that begins eastwards at (0, beside_m), as boxes."""
    car = np.asarray(car_m, dtype=np.float64)
    s = np.cumsum(car + coupling_m) - car / 2
    turn, reach = s / radius_m, radius_m - beside_m
    # 1 - cos loses all digits on what is nearly a straight line.
    sagitta = 2 * np.sin(turn / 2) ** 2
    return np.column_stack(
        [reach * np.sin(turn), beside_m + reach * sagitta, car, np.full(car.size, WIDTH_M), turn % np.pi]
    )


def moved(boxes: Floats, angle: float, by: tuple[float, float]) -> Floats:
    """The boxes turned by an angle about the origin, then shifted."""
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = boxes[:, 0], boxes[:, 1]
    places = np.column_stack([x * cos - y * sin, x * sin + y * cos]) + by
    return np.column_stack([places, boxes[:, 2:4], (boxes[:, 4] + angle) % np.pi])
