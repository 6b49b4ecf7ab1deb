"""From merged boxes and seen areas to the rows of the output tables; no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache, cached_property
from typing import Self

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from detector.classscores import ClassScores, column_of
from detector.config import ClassTable, class_table
from detector.detection.sun import sun_elevation_deg
from detector.facilities import Facility
from detector.geometry import corners_from_xywhr
from detector.pixels.georef import heading_deg, scene_px_to_lonlat
from detector.pixels.look import Look
from detector.pixels.modelgrid import ModelGrid
from detector.scenes import Scene
from detector.weights import ModelSpec

CRS = pyproj.CRS("EPSG:4326")
TIME = "datetime64[us, UTC]"
EDGE_PX = 2.0
"""A box that comes this close to where the scene's data end, in scene pixels, may be cut there."""
SCENE_TYPES = {
    "scene_id": "str",
    "facility_id": "str",
    "acquired": TIME,
    "acquired_source": "str",
    "sensor": "str",
    "gsd_m": "float64",
    "width": "int64",
    "height": "int64",
    "observed_fraction": "float64",
    "cloud_cover": "float64",
    "cloud_mask": "str",
    **{field.name: "float64" for field in fields(Look)},
    "sun_elevation_deg": "float64",
    "off_nadir_deg": "float64",
    "geometry": "geometry",
}
"""Columns of the table of scenes, in their order."""
PLAUSIBLE_M = {"rail_vehicle": ((6.0, 30.0), (2.0, 4.5)), "off_rail": ((2.5, 17.0), (1.8, 4.0))}
"""Length and width of real objects of a family, with what a detector's box is off by; see docs/method.md."""


@cache
def detection_types() -> dict[str, str]:
    """Columns of the table of detections, in their order."""
    return {
        "scene_id": "str",
        "facility_id": "str",
        "acquired": TIME,
        "class": "str",
        "score": "float64",
        **{column_of(name): "float32" for name in class_table().names},  # what the ledger keeps of them
        "p_true": "float64",
        "length_m": "float64",
        "width_m": "float64",
        "heading_deg": "float64",
        "corners_px": "object",
        "geometry": "geometry",
        "detected": "bool",
        "flags": "str",
    }


@dataclass(frozen=True)
class Objects:
    """The objects of one scene, one row each.

    Attributes:
        xywhr: N x 5, in model pixels of the scene.
        scores: of N, how sure it is that something stands there, shared out over the classes of its family.
        best: N, index of the class that each is called.
    """

    xywhr: NDArray[np.float64]
    scores: ClassScores
    best: NDArray[np.int64]

    @cached_property
    def score(self) -> NDArray[np.float64]:
        """N, probability that something of that class's family stands there."""
        return self.scores.total

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Some of them."""
        return type(self)(self.xywhr[rows], self.scores.take(rows), self.best[rows])


@dataclass(frozen=True)
class Area:
    """One facility as one scene shows it, in scene pixels.

    Attributes:
        facility: the facility.
        whole: all of it, also what the scene does not reach.
        visible: the part where the scene has data.
    """

    facility: Facility
    whole: BaseGeometry
    visible: BaseGeometry

    @property
    def observed(self) -> float:
        """Visible share of the facility's area."""
        return float(min(1.0, self.visible.area / self.whole.area)) if self.whole.area > 0 else 0.0


@dataclass(frozen=True)
class Ground:
    """What a scene shows.

    Attributes:
        valid: where it has data, in scene pixels.
        areas: the facilities of which it shows at least a part.
    """

    valid: BaseGeometry
    areas: tuple[Area, ...]


def detection_rows(
    scene: Scene, ground: Ground, found: Objects, spec: ModelSpec, table: ClassTable
) -> gpd.GeoDataFrame:
    """One row per object and facility whose polygon holds the object's centre.

    Args:
        scene: the scene.
        ground: what it shows of which facilities.
        found: its objects.
        spec: gives class names, GSD and operating thresholds.
        table: gives the families.
    """
    grid = ModelGrid.of(scene, spec.gsd_m)
    corners_px = corners_from_xywhr(found.xywhr) * grid.scales
    centres_px = found.xywhr[:, :2] * grid.scales
    sides_m = grid.sides_m(found.xywhr)
    outlines = shapely.polygons(scene_px_to_lonlat(scene, corners_px)) if scene.crs is not None else None
    heading = _heading(scene, centres_px, corners_px)
    threshold = np.array(spec.thresholds(table))
    flags = _flags(found, corners_px, sides_m, ground.valid, spec=spec, table=table)
    parts = []
    for area in ground.areas:
        shapely.prepare(area.whole)
        inside = np.flatnonzero(shapely.intersects_xy(area.whole, centres_px[:, 0], centres_px[:, 1]))
        parts.append(
            {
                "facility_id": [area.facility.facility_id] * len(inside),
                "class": [spec.classes[index] for index in found.best[inside]],
                "score": found.score[inside],
                **{column_of(name): 0.0 for name in table.names},
                **found.scores.take(inside).columns(),
                "detected": found.score[inside] >= threshold[found.best[inside]],
                "length_m": sides_m[inside, 0],
                "width_m": sides_m[inside, 1],
                "heading_deg": heading[inside],
                "corners_px": list(corners_px[inside].reshape(-1, 8)),
                "geometry": [None] * len(inside) if outlines is None else list(outlines[inside]),
                "flags": [flags[index] for index in inside],
            }
        )
    filled = [pd.DataFrame(part) for part in parts if part["facility_id"]]
    rows = pd.concat(filled) if filled else pd.DataFrame(empty_detections())
    rows = rows.assign(
        scene_id=scene.scene_id,
        acquired=pd.Timestamp(scene.acquired),
        p_true=np.nan,
    )
    return typed(rows, detection_types())


def scene_rows(scene: Scene, areas: Sequence[Area], looks: Sequence[Look]) -> gpd.GeoDataFrame:
    """One row per facility that the scene shows at least a part of."""
    rows = [
        {
            "scene_id": scene.scene_id,
            "facility_id": area.facility.facility_id,
            "acquired": pd.Timestamp(scene.acquired),
            "acquired_source": scene.acquired_source,
            "sensor": scene.sensor,
            "gsd_m": scene.gsd_m,
            "width": scene.width,
            "height": scene.height,
            "observed_fraction": area.observed,
            "cloud_cover": np.nan if scene.cloud_cover is None else scene.cloud_cover,
            "cloud_mask": ";".join(sorted({mask.path.name for mask in scene.masks if mask is not None})),
            **asdict(look),
            "sun_elevation_deg": sun_elevation_deg(scene.acquired, area.facility.geometry.centroid),
            "off_nadir_deg": np.nan if scene.off_nadir_deg is None else scene.off_nadir_deg,
            "geometry": _on_earth(scene, area.visible),
        }
        for area, look in zip(areas, looks, strict=True)
    ]
    return typed(pd.DataFrame(rows, columns=list(SCENE_TYPES)), SCENE_TYPES)


def empty_detections() -> gpd.GeoDataFrame:
    """The detections table without rows: its columns, their order and types."""
    return empty(detection_types())


def empty_scenes() -> gpd.GeoDataFrame:
    """The scenes table without rows: its columns, their order and types."""
    return empty(SCENE_TYPES)


def empty(types: Mapping[str, str]) -> gpd.GeoDataFrame:
    """A table without rows."""
    return typed(pd.DataFrame(columns=list(types)), types)


def typed(rows: pd.DataFrame, types: Mapping[str, str]) -> gpd.GeoDataFrame:
    """`rows` with the columns, order and types of a table."""
    plain = {name: rows[name].array for name in types}  # a table of a few rows takes `DataFrame.astype` twice as long
    cast = {name: plain[name].astype(dtype, copy=False) for name, dtype in types.items() if name != "geometry"}
    return gpd.GeoDataFrame(plain | cast, geometry=gpd.GeoSeries(plain["geometry"], crs=CRS))


def _heading(scene: Scene, centres_px: NDArray[np.float64], corners_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Direction of the long axis over the ground, from the middles of the short sides."""
    front, back = corners_px[:, :2].mean(axis=1), corners_px[:, 2:].mean(axis=1)
    dx, dy = (front - back).T
    zero = np.zeros(len(dx))
    return heading_deg(scene, np.column_stack([centres_px, zero, zero, np.arctan2(dy, dx)]))


def _flags(
    found: Objects,
    corners_px: NDArray[np.float64],
    sides_m: NDArray[np.float64],
    valid: BaseGeometry,
    *,
    spec: ModelSpec,
    table: ClassTable,
) -> list[str]:
    """`edge` where the data end at the box, `size` where nothing real is as large or small; ";" between."""
    if len(corners_px) == 0:
        return []
    near = shapely.box(*corners_px.min(axis=(0, 1)), *corners_px.max(axis=(0, 1))).buffer(2 * EDGE_PX)
    inner = shapely.intersection(valid, near).buffer(-EDGE_PX)
    shapely.prepare(inner)
    outlines = shapely.polygons(corners_px)
    whole = np.asarray(shapely.contains_properly(inner, outlines), dtype=bool)
    bounds = np.array([PLAUSIBLE_M[table.family_of(name)] for name in spec.classes])[found.best]
    odd_size = np.any((sides_m < bounds[..., 0]) | (sides_m > bounds[..., 1]), axis=1)
    return [
        ";".join(name for name, on in (("edge", not held), ("size", odd)) if on)
        for held, odd in zip(whole, np.asarray(odd_size, dtype=bool), strict=True)
    ]


def _on_earth(scene: Scene, geometry: BaseGeometry) -> BaseGeometry | None:
    """A geometry in scene pixels as longitude and latitude; None without georeference."""
    if scene.crs is None:
        return None
    return shapely.transform(geometry, lambda points: scene_px_to_lonlat(scene, points))
