"""From scene pixels to the ground and back: positions, pixel sizes, directions.

Everything is float64 and goes through the CRS to EPSG:4326; lengths and directions are geodesics on
the WGS 84 ellipsoid, so that no map projection's scale enters (EPSG:3857 doubles lengths at 60 degrees
north).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import pyproj
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import Affine

GEOD = pyproj.Geod(ellps="WGS84")
STEP_PX = 8.0  # half length of the geodesics that measure a pixel


class Georeferenced(Protocol):
    """What has a pixel grid on the Earth: a `Scene`, for one."""

    @property
    def crs(self) -> CRS | None:
        """Coordinate reference system; None without georeference."""

    @property
    def transform(self) -> Affine:
        """Pixels to CRS coordinates."""


class Measured(Georeferenced, Protocol):
    """A pixel grid whose ground sampling distance is known."""

    @property
    def gsd_x_m(self) -> float:
        """Metres along one pixel step to the right."""

    @property
    def gsd_y_m(self) -> float:
        """Metres along one pixel step down."""


@dataclass(frozen=True)
class Grid:
    """A pixel grid on the Earth, and nothing else."""

    crs: CRS
    transform: Affine


@dataclass(frozen=True)
class PixelSize:
    """Size and shape of a pixel on the ground.

    Attributes:
        gsd_x_m: metres along one pixel step to the right.
        gsd_y_m: metres along one pixel step down.
        shear_deg: by how much the angle between the two steps differs from 90 degrees.
    """

    gsd_x_m: float
    gsd_y_m: float
    shear_deg: float


def is_on_earth(crs: CRS) -> bool:
    """Whether positions in the CRS are places on the Earth; those of a site's own (local, engineering) grid are not."""
    try:
        _to_lonlat(crs.to_wkt())
    except (ProjError, CRSError):
        return False
    return True


def scene_px_to_lonlat(scene: Georeferenced, points_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (..., 2) in scene pixels as longitude and latitude, EPSG:4326 (..., 2).

    Law: `lonlat_to_scene_px` undoes it to 1e-3 px. Without georeference, and where the CRS is not
    defined, the result is NaN.
    """
    points = np.asarray(points_px, dtype=np.float64)
    if scene.crs is None:
        return np.full(points.shape, np.nan)
    t = scene.transform
    x, y = points[..., 0], points[..., 1]
    lon, lat = _to_lonlat(scene.crs.to_wkt()).transform(t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f)
    return _stack(lon, lat)


def lonlat_to_scene_px(scene: Georeferenced, lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (..., 2) in longitude and latitude, EPSG:4326, as scene pixels (..., 2).

    The inverse of `scene_px_to_lonlat`, NaN where that is NaN.
    """
    points = np.asarray(lonlat, dtype=np.float64)
    if scene.crs is None:
        return np.full(points.shape, np.nan)
    pixels = _inverse(scene.transform, scene.crs, points)
    # Datum shifts without heights invert to a few millimetres only: one step of iteration takes that out.
    again = _inverse(scene.transform, scene.crs, scene_px_to_lonlat(scene, pixels))
    return pixels + (pixels - again)


def pixel_size(grid: Georeferenced, at_px: tuple[float, float]) -> PixelSize:
    """Size and shape of the pixels around the point `at_px`, by geodesics."""
    centre = np.asarray(at_px, dtype=np.float64)
    steps = STEP_PX * np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
    left, right, up, down = scene_px_to_lonlat(grid, centre + steps)
    azimuth_x, _, length_x = GEOD.inv(*left, *right)
    azimuth_y, _, length_y = GEOD.inv(*up, *down)
    angle = (azimuth_y - azimuth_x) % 180.0
    return PixelSize(float(length_x) / (2 * STEP_PX), float(length_y) / (2 * STEP_PX), float(abs(angle - 90.0)))


def metres_per_degree(latitude: float) -> NDArray[np.float64]:
    """(2,) metres east per degree of longitude and north per degree of latitude, on the plane that touches WGS 84."""
    sine, cosine = np.sin(np.radians(latitude)), np.cos(np.radians(latitude))
    bend = 1 - GEOD.es * sine**2
    return np.asarray(np.radians(GEOD.a) * np.array([cosine / np.sqrt(bend), (1 - GEOD.es) / bend**1.5]))


def heading_deg(scene: Georeferenced, xywhr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Direction of the boxes' long axis (N,), degrees clockwise from north in [0, 180).

    NaN without georeference.

    Args:
        scene: the pixel grid the boxes lie on.
        xywhr: boxes (N, 5) in scene pixels; w lies along (cos angle, sin angle).
    """
    boxes = np.asarray(xywhr, dtype=np.float64).reshape(-1, 5)
    along = STEP_PX * _stack(np.cos(boxes[:, 4]), np.sin(boxes[:, 4]))
    back, front = (scene_px_to_lonlat(scene, boxes[:, :2] + sign * along) for sign in (-1, 1))
    if len(boxes) == 0 or scene.crs is None:
        return np.full(len(boxes), np.nan)
    azimuth, _, _ = GEOD.inv(back[:, 0], back[:, 1], front[:, 0], front[:, 1])
    heading = np.asarray(azimuth, dtype=np.float64) % 180.0
    return np.where(heading >= 180.0, 0.0, heading)


def size_m(scene: Measured, xywhr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length and width of boxes (N, 5) in metres, (N, 2), each measured along its own direction."""
    boxes = np.asarray(xywhr, dtype=np.float64).reshape(-1, 5)
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    along = np.hypot(cos * scene.gsd_x_m, sin * scene.gsd_y_m)
    across = np.hypot(sin * scene.gsd_x_m, cos * scene.gsd_y_m)
    return _stack(boxes[:, 2] * along, boxes[:, 3] * across)


def _inverse(transform: Affine, crs: CRS, lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = _to_lonlat(crs.to_wkt()).transform(lonlat[..., 0], lonlat[..., 1], direction="INVERSE")
    placed = _stack(x, y)
    a, b, c, d, e, f, *_ = transform
    # Solved about the origin: the plain inverse loses digits to the size of a northing.
    dx, dy, determinant = placed[..., 0] - c, placed[..., 1] - f, a * e - b * d
    return _stack((e * dx - b * dy) / determinant, (a * dy - d * dx) / determinant)


@lru_cache(maxsize=256)
def _to_lonlat(wkt: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(pyproj.CRS.from_wkt(wkt).to_2d(), "EPSG:4326", always_xy=True)


def _stack(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    points = np.stack([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)], axis=-1)
    points[~np.isfinite(points).all(axis=-1)] = np.nan  # PROJ marks what a CRS does not reach by inf
    return points
