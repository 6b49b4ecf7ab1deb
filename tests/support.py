"""Generators for tests of merging: yards of cars, and what a perfect detector says of them tile by tile."""

import math
from dataclasses import dataclass

import numpy as np
import shapely

from detector.geometry import Bools, Floats, Ints, corners_from_xywhr, xywhr_from_corners
from detector.tiling import Tile, TileGrid


def yard(
    tracks: int,
    cars: int,
    *,
    angle_deg: float,
    gsd_m: float,
    length_m: float = 17.0,
    width_m: float = 3.1,
    spacing_m: float = 4.5,
    gap_m: float = 1.0,
) -> Floats:
    """Straight parallel strings of equal cars as canonical boxes in pixels, around the origin."""
    along, across = np.meshgrid(np.arange(cars) - (cars - 1) / 2, np.arange(tracks) - (tracks - 1) / 2)
    x = along.ravel() * (length_m + gap_m) / gsd_m
    y = across.ravel() * spacing_m / gsd_m
    angle = math.radians(angle_deg)
    cos, sin = math.cos(angle), math.sin(angle)
    sides = np.tile([length_m / gsd_m, width_m / gsd_m, angle], (x.size, 1))
    return np.column_stack([x * cos - y * sin, x * sin + y * cos, sides])


def placed(boxes: Floats, margin_px: tuple[float, float] = (40.0, 40.0)) -> tuple[Floats, tuple[int, int]]:
    """The boxes moved into a scene that ends `margin_px` (x, y) beyond them, and its (height, width)."""
    corners = corners_from_xywhr(boxes)
    moved = boxes.copy()
    moved[:, :2] += np.array(margin_px) - corners.min(axis=(0, 1))
    width, height = np.ceil(np.ptp(corners, axis=(0, 1)) + 2 * np.array(margin_px)).astype(int).tolist()
    return moved, (height, width)


@dataclass(frozen=True)
class Views:
    """What the tiles say: boxes in scene pixels, scores, whether cut, and which car and tile each is of."""

    xywhr: Floats
    score: Floats
    cut: Bools
    car: Ints
    tile: Ints

    def take(self, rows: Ints | Bools) -> "Views":
        return Views(self.xywhr[rows], self.score[rows], self.cut[rows], self.car[rows], self.tile[rows])


def perfect_views(
    boxes: Floats,
    tiles: list[Tile],
    rng: np.random.Generator,
    *,
    visible_from: float = 0.25,
    jitter_px: float = 0.0,
    car_frame: bool = False,
) -> Views:
    """Every tile reports each car of which it sees at least `visible_from`, as the rectangle of that part.

    Scores rise with the visible share but overlap widely, so that many fragments outscore the whole car.
    Whole cars are reported exactly, up to the jitter.

    Args:
        boxes: the true cars, N x 5, in scene pixels.
        tiles: the windows.
        rng: source of scores and jitter.
        visible_from: least visible share of a car that is reported.
        jitter_px: standard deviation of the position of each of the four sides.
        car_frame: give fragments the car's own direction, else the rectangle of least area.
    """
    cars = shapely.polygons(corners_from_xywhr(boxes))
    parts = [_view(boxes, cars, tile, visible_from, car_frame) for tile in tiles]
    xywhr = np.concatenate([part[0] for part in parts])
    visible = np.concatenate([part[1] for part in parts])
    car = np.concatenate([part[2] for part in parts])
    tile_of = np.repeat(np.arange(len(tiles)), [len(part[2]) for part in parts])
    score = np.clip(0.5 * visible + rng.normal(0.3, 0.12, len(visible)), 0.05, 0.99)
    xywhr = _jittered(xywhr, jitter_px, rng)
    cut = np.concatenate([tile.cuts(xywhr[tile_of == i]) for i, tile in enumerate(tiles)])
    return Views(xywhr, score, cut, car, tile_of)


def _view(
    boxes: Floats, cars: np.ndarray, tile: Tile, visible_from: float, car_frame: bool
) -> tuple[Floats, Floats, Ints]:
    x0, y0, width, height = tile.window_px
    window = shapely.box(x0, y0, x0 + width, y0 + height)
    car = np.flatnonzero(shapely.intersects(window, cars))
    seen = shapely.intersection(window, cars[car])
    visible = shapely.area(seen) / shapely.area(cars[car])
    use = visible >= visible_from
    car, seen, visible = car[use], seen[use], visible[use]
    found = boxes[car].copy()
    for row in np.flatnonzero(visible < 1 - 1e-9):
        points = shapely.get_coordinates(seen[row])
        found[row] = _in_car_frame(points, boxes[car[row], 4]) if car_frame else _least_rectangle(points)
    return found, visible, car


def _in_car_frame(points: Floats, angle: float) -> Floats:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    local = points @ turn
    low, high = local.min(axis=0), local.max(axis=0)
    return np.asarray(np.concatenate([turn @ ((low + high) / 2), high - low, [angle]]))


def _least_rectangle(points: Floats) -> Floats:
    rectangle = shapely.oriented_envelope(shapely.multipoints(points))
    return np.asarray(xywhr_from_corners(shapely.get_coordinates(rectangle)[None, :4])[0])


def _jittered(boxes: Floats, jitter_px: float, rng: np.random.Generator) -> Floats:
    noise = rng.normal(0.0, 1.0, (len(boxes), 4)) * jitter_px
    along, across = (noise[:, 0] + noise[:, 1]) / 2, (noise[:, 2] + noise[:, 3]) / 2
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    moved = boxes.copy()
    moved[:, 0] += along * cos - across * sin
    moved[:, 1] += along * sin + across * cos
    moved[:, 2] = np.maximum(moved[:, 2] + noise[:, 0] - noise[:, 1], 1.0)
    moved[:, 3] = np.maximum(moved[:, 3] + noise[:, 2] - noise[:, 3], 1.0)
    return moved


def all_tiles(grid: TileGrid, shape: tuple[int, int]) -> list[Tile]:
    """Every tile of the grid over a scene of (height, width)."""
    return grid.tiles_over(shape, [shapely.box(0, 0, shape[1], shape[0])])
