"""The facilities to watch: their outlines, and where these lie in a scene."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import scale
from shapely.geometry import MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry

from detector.errors import UsageError
from detector.pixels.georef import GEOD, lonlat_to_scene_px, scene_px_to_lonlat
from detector.scene import Scene
from detector.vectorfile import EDGE_DEG, as_text, check_on_earth, read_features

EDGE_STEPS = 16  # per side of a scene's outline
FACILITIES = "facilities.geojson"
"""In the RUN folder: the outlines that were counted."""
ALL = "all"
"""Scope of the sums over facilities, which no facility can be called."""
_SLIVER = 0.01  # of the smaller outline: what neighbours may share where they were drawn by hand
_SIZE_ERROR = 0.05  # of an area that follows from a stated pixel size


@dataclass(frozen=True)
class Facility:
    """One facility.

    Attributes:
        facility_id: its identifier, as text.
        name: what reports call it.
        geometry: Polygon or MultiPolygon, EPSG:4326 (longitude, latitude).
        area_m2: area on the ellipsoid.
    """

    facility_id: str
    name: str
    geometry: BaseGeometry
    area_m2: float


def load_facilities(path: Path) -> tuple[Facility, ...]:
    """Read facility polygons (GeoJSON, GeoPackage or another vector format, any CRS) as EPSG:4326.

    Each feature has a `facility_id`; `name` is optional and defaults to it.

    Raises:
        UsageError: the file cannot be read, or a feature cannot be used; the message names the feature.
    """
    columns, geometries = read_features(path, "facilities", "facility polygons")
    facilities: dict[str, Facility] = {}
    names = columns.get("name", [None] * len(geometries))
    rows = zip(columns["facility_id"], names, geometries, strict=True)
    for number, (value, name, geometry) in enumerate(rows, start=1):
        facility_id = as_text(value)
        label = f"{path}: feature {number}" + (f" (facility_id {facility_id!r})" if facility_id else "")
        if not facility_id:
            raise UsageError(f"{label} has no facility_id.", "Give it one, different from all others.")
        if facility_id == ALL:
            raise UsageError(f"{label} is called like the sum over all facilities.", "Give it another facility_id.")
        if facility_id in facilities:
            raise UsageError(f"{label} repeats the facility_id of another.", "Give each feature its own.")
        _check_polygon(label, geometry)
        # Holes are subtracted only where they run the other way round than their outline.
        area_m2 = abs(GEOD.geometry_area_perimeter(shapely.orient_polygons(geometry))[0])
        facilities[facility_id] = Facility(facility_id, as_text(name) or facility_id, geometry, area_m2)
    return tuple(facilities.values())


def overlaps(facilities: Sequence[Facility]) -> tuple[tuple[str, str], ...]:
    """Pairs of facilities that share more than 1 % of the smaller one: what stands there is counted in both.

    Laws: neither the order of facilities nor that within a pair matters; facilities that only touch are no pair.

    Returns:
        Their `facility_id`, sorted, each pair once.
    """
    outlines = np.array([facility.geometry for facility in facilities], dtype=object)
    one, other = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    # A ratio of areas: the same in degrees as in metres, since a facility is small against the Earth.
    shared = shapely.area(shapely.intersection(outlines[one], outlines[other]))
    smaller = np.minimum(shapely.area(outlines[one]), shapely.area(outlines[other]))
    found = np.column_stack([one, other])[(one < other) & (shared > _SLIVER * smaller)]
    pairs = [sorted((facilities[i].facility_id, facilities[j].facility_id)) for i, j in found.tolist()]
    return tuple(sorted((first, second) for first, second in pairs))


def _check_polygon(label: str, geometry: BaseGeometry | None) -> None:
    """Raise UsageError unless the geometry is a valid polygon on the Earth."""
    if geometry is None or geometry.is_empty:
        raise UsageError(f"{label} has an empty geometry.", "Draw its polygon, or remove the feature.")
    if not isinstance(geometry, Polygon | MultiPolygon):
        raise UsageError(f"{label} is a {geometry.geom_type}.", "Draw the facility as a polygon.")
    if not geometry.is_valid:
        raise UsageError(
            f"{label} is not a valid polygon: {shapely.is_valid_reason(geometry)}.",
            "Mend it there, for example with Fix geometries in QGIS.",
        )
    check_on_earth(label, geometry)


def facility_in_scene(scene: Scene, facility: Facility) -> BaseGeometry:
    """The whole outline of the facility in scene pixels, also beyond the scene; empty where they do not meet.

    Edges are straight in longitude and latitude and bent to the scene's projection. A scene without
    georeference shows the facility that its `facility_id` names, and nothing else: see `_about_picture`.
    """
    if scene.crs is None:
        return _about_picture(scene, facility) if scene.facility_id == facility.facility_id else Polygon()
    if not _reach(scene).intersects(facility.geometry):
        return Polygon()
    dense = shapely.segmentize(facility.geometry, EDGE_DEG)
    outline = shapely.transform(dense, lambda lonlat: lonlat_to_scene_px(scene, lonlat))
    if not outline.is_valid:
        outline = shapely.make_valid(outline)
    frame = box(0, 0, scene.width, scene.height)
    return outline if outline.intersection(frame).area > 0 else Polygon()


def _about_picture(scene: Scene, facility: Facility) -> BaseGeometry:
    """The outline of a facility, in scene pixels, about a picture of it that has no georeference.

    It is the picture's frame. Where the picture is smaller than the facility by more than 5 % it shows a part of it,
    nobody knows which: then the outline is the frame enlarged about its middle to the facility's area, so that
    the visible share of it is the picture's area over the facility's.
    """
    frame = box(0, 0, scene.width, scene.height)
    larger = facility.area_m2 / (frame.area * scene.gsd_x_m * scene.gsd_y_m)
    if larger <= 1 + _SIZE_ERROR:
        return frame
    return scale(frame, math.sqrt(larger), math.sqrt(larger))


def footprint(scene: Scene) -> BaseGeometry:
    """The scene's rectangle in EPSG:4326, valid or not; empty without georeference."""
    return Polygon() if scene.crs is None else Polygon(_outline(scene))


def distances_km(scenes: Sequence[Scene], facilities: Sequence[Facility]) -> dict[str, float]:
    """Distance of each facility from the nearest scene, by `facility_id`: 0 where a scene shows some of it.

    Infinite where no scene can tell. A facility far from all imagery is worth a warning: its polygon, or the
    imagery's georeference, is probably wrong.
    """
    footprints = [footprint(scene) for scene in scenes if scene.crs is not None]
    named = {scene.facility_id for scene in scenes if scene.crs is None}
    result = {}
    for facility in facilities:
        distances = [_distance_km(area, facility.geometry) for area in footprints]
        result[facility.facility_id] = 0.0 if facility.facility_id in named else min(distances, default=math.inf)
    return result


def _distance_km(one: BaseGeometry, other: BaseGeometry) -> float:
    if one.intersects(other):
        return 0.0
    ends = [(point.x, point.y) for point in shapely.ops.nearest_points(one, other)]
    return float(GEOD.inv(*ends[0], *ends[1])[2]) / 1000


@lru_cache(maxsize=4096)
def _reach(scene: Scene) -> BaseGeometry:
    """The scene's bounding box in degrees, with room for what bends between the points."""
    outline = _outline(scene)
    (west, south), (east, north) = outline.min(axis=0), outline.max(axis=0)
    if east - west > 180:  # across the antimeridian
        west, east = -180.0, 180.0
    room = 0.1 * max(east - west, north - south)
    return box(west - room, south - room, east + room, north + room)


def _outline(scene: Scene) -> NDArray[np.float64]:
    """The scene's edge as longitudes and latitudes (4 * EDGE_STEPS, 2)."""
    t = np.linspace(0, 1, EDGE_STEPS, endpoint=False)[:, None]
    corners = np.array([(0, 0), (scene.width, 0), (scene.width, scene.height), (0, scene.height)], dtype=float)
    sides = [a + t * (b - a) for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)]
    return scene_px_to_lonlat(scene, np.concatenate(sides))
