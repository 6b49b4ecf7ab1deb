"""Which ground a picture shows: a facility laid out alike on all dates, and the densest windows within."""

import datetime as dt
import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from detector.pixels.georef import lonlat_to_scene_px, scene_px_to_lonlat
from detector.scene import Scene

Role = Literal["judged", "maximum", "recent", "zoom"]
Floats = NDArray[np.float64]

ZOOM_M = (64.0, 48.0)
"""Ground size of a zoomed chip: some four cars long, ten tracks wide."""

MARGIN_M = 6.0

UNTURNED_RAD = math.radians(4)
"""Smaller turns, such as of map grids against north, are not worth resampling."""


@dataclass(frozen=True)
class Shot:
    """A picture to take.

    Windows are in turned metres: scene pixels times their GSD, turned so that a long facility lies along u.

    Attributes:
        facility_id: the facility shown.
        scene_id: the scene.
        date: its date.
        role: why it is shown.
        window_m: u0, v0, u1, v1.
        turn_rad: angle of the u axis against the scene's x axis.
        letter: names a zoomed window.
    """

    facility_id: str
    scene_id: str
    date: dt.date
    role: Role
    window_m: tuple[float, float, float, float]
    turn_rad: float = 0.0
    letter: str = ""


def overview(facility_id: str, scene: Scene, date: dt.date, role: Role, whole: BaseGeometry) -> Shot:
    """The shot of a facility, alike in all scenes: north up, or turned by `lay_flat`; with a small margin.

    Args:
        facility_id: the facility.
        scene: the scene.
        date: its date.
        role: why it is shown.
        whole: the facility, EPSG:4326; for a scene without georeference all of the scene is shown instead.
    """
    if scene.crs is None or whole.is_empty:
        window = (0.0, 0.0, scene.width * scene.gsd_x_m, scene.height * scene.gsd_y_m)
        return Shot(facility_id, scene.scene_id, date, role, window)
    whole_px = shapely.transform(whole, lambda lonlat: lonlat_to_scene_px(scene, lonlat))
    north = north_deg(scene, np.asarray(whole_px.centroid.coords), 0.0) or 0.0
    turn_rad = _wrapped(math.radians(north) + lay_flat(whole))
    if abs(turn_rad) < UNTURNED_RAD:
        turn_rad = 0.0
    turned = shapely.transform(whole_px, lambda points_px: to_turned(points_px, scene, turn_rad))
    u0, v0, u1, v1 = (float(value) for value in turned.bounds)
    window = (u0 - MARGIN_M, v0 - MARGIN_M, u1 + MARGIN_M, v1 + MARGIN_M)
    return Shot(facility_id, scene.scene_id, date, role, window, turn_rad)


def lay_flat(whole: BaseGeometry) -> float:
    """Angle, clockwise from east, of the long side of a facility (EPSG:4326); 0 where turning wins little.

    At most a quarter turn either way, so that what was up stays up.
    """
    stretch = math.cos(math.radians(whole.centroid.y))
    plane = shapely.transform(whole, lambda lonlat: lonlat * (stretch, -1.0))
    rectangle = np.asarray(plane.minimum_rotated_rectangle.exterior.coords)
    sides = np.diff(rectangle[:3], axis=0)
    lengths = np.hypot(*sides.T)
    x0, y0, x1, y1 = plane.bounds
    is_long = lengths.max() > 1.5 * lengths.min()
    is_wasteful = (x1 - x0) * (y1 - y0) > 1.4 * lengths.prod() or (y1 - y0) > 1.2 * (x1 - x0)
    if not (is_long and is_wasteful):
        return 0.0
    dx, dy = sides[lengths.argmax()]
    angle = math.atan2(dy, dx)
    return float((angle + math.pi / 2) % math.pi - math.pi / 2)


def zooms(base: Shot, scene: Scene, corners_px: Floats, most: int = 3) -> list[Shot]:
    """Up to `most` windows of `ZOOM_M` that hold the most boxes and do not overlap, lettered from the left.

    Args:
        base: the shot of the whole facility.
        scene: its scene.
        corners_px: (N, 4, 2) corners of the boxes in scene pixels.
        most: number of windows.
    """
    half = np.array(ZOOM_M) / 2
    u0, v0, u1, v1 = base.window_m
    if len(corners_px) == 0 or u1 - u0 <= ZOOM_M[0] or v1 - v0 <= ZOOM_M[1]:
        return []
    centres = to_turned(corners_px.mean(axis=1)[:: math.ceil(len(corners_px) / 2000)], scene, base.turn_rad)
    middles = centres.clip([u0 + half[0], v0 + half[1]], [u1 - half[0], v1 - half[1]])
    held = (np.abs(middles[:, None] - centres[None]) < half).all(axis=2).sum(axis=1)
    free = np.ones(len(middles), dtype=bool)
    found: list[Shot] = []
    while len(found) < most and free.any():
        u, v = middles[int(np.where(free, held, -1).argmax())]
        window = (float(u - half[0]), float(v - half[1]), float(u + half[0]), float(v + half[1]))
        found.append(replace(base, role="zoom", window_m=window))
        free &= (np.abs(middles - (u, v)) >= 2 * half).any(axis=1)
    found.sort(key=lambda shot: shot.window_m)
    return [replace(shot, letter=letter) for shot, letter in zip(found, "ABCDEF", strict=False)]


def _wrapped(angle_rad: float) -> float:
    """An angle in [-pi, pi)."""
    return (angle_rad + math.pi) % (2 * math.pi) - math.pi


def _rotation(turn_rad: float) -> Floats:
    """Matrix that takes row vectors of metres to turned metres; its transpose takes them back."""
    cos, sin = math.cos(turn_rad), math.sin(turn_rad)
    return np.array([[cos, -sin], [sin, cos]])


def to_turned(points_px: Floats, scene: Scene, turn_rad: float) -> Floats:
    """Points (..., 2) in scene pixels as turned metres; see `Shot`."""
    return np.asarray(points_px * (scene.gsd_x_m, scene.gsd_y_m) @ _rotation(turn_rad), dtype=np.float64)


def from_turned(points_m: Floats, turn_rad: float) -> Floats:
    """Points (..., 2) in turned metres as metres along the scene's own axes."""
    return np.asarray(points_m @ _rotation(turn_rad).T, dtype=np.float64)


def north_deg(scene: Scene, at_px: Floats, turn_rad: float) -> float | None:
    """Direction of north at a point (1, 2), degrees clockwise from up; None without georeference."""
    if scene.crs is None:
        return None
    here = scene_px_to_lonlat(scene, at_px)
    ends_px = lonlat_to_scene_px(scene, here + np.array([(0, 0), (0, 1e-4)]))
    du, dv = np.diff(to_turned(ends_px, scene, turn_rad), axis=0)[0]
    return round(math.degrees(math.atan2(du, -dv)), 1)
