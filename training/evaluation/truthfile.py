"""One file of truth: objects with class, visible share and marks, by the rules of `training.formats.polygons`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import shapely
from shapely.geometry.base import BaseGeometry

from detector.config import IGNORE
from detector.errors import UsageError
from detector.geometry import Floats
from training.classes import NO_CLASS, Vocabulary, class_names
from training.formats import polygons
from training.formats.annotations import BadBox
from training.formats.jsonfile import JsonObject, NotJson

DEFAULT_CLASS = "railcar"
COLUMNS = ("feature", "class", "kind", "visible", "ignore", "axis_aligned", "corners_px")
_FLAT = 1e-6  # of the square of the extent: what is flatter than this has no area
_ROUNDING = 0.01  # shares measured as a quotient of areas may be this much outside of 0 to 1
_CURE_FILE = "Give truth as a GeoJSON feature collection; its `crs`, if it has one, must be one that PROJ knows."
_CURE = "Correct the feature, or take it out."
_CURE_CRS = 'Name the CRS in the collection: "crs": {"type": "name", "properties": {"name": "EPSG:32635"}}.'


@dataclass(frozen=True)
class TruthFile:
    """One truth file.

    Attributes:
        path: the file.
        features: one row per object and per area to ignore, in EPSG:4326: feature (its number in the file, from 1),
            class (one of ours, or the text of the file where it is none), kind, visible, ignore, axis_aligned,
            corners_px (eight numbers in pixels of the scene, or None) and geometry (None where there are pixels only).
        conditions: of the scene, by which results are broken down.
        n_left_out: objects whose class the label set `polygons` of configs/classes.yaml maps to null.
    """

    path: Path
    features: gpd.GeoDataFrame
    conditions: Mapping[str, Any]
    n_left_out: int


def read_truth(path: Path) -> TruthFile:
    """Read one truth file.

    Each part of a MultiPolygon is an object of its own, unless `corners_px` says that it is one.

    Raises:
        UsageError: it is no GeoJSON feature collection, its CRS is unknown, or a feature cannot be used.
    """
    try:
        collection = polygons.read_collection(path)
        to_lonlat = polygons.to_lonlat_of(collection)
    except NotJson as error:
        at = f"{path}:{error.line}" if error.line else str(path)
        raise UsageError(f"{at}: is no GeoJSON of ours ({error.reason}).", _CURE_FILE) from error
    vocabulary = Vocabulary.of(polygons.NAME)
    rows: list[dict[str, Any]] = []
    n_left_out = 0
    for number, (_, feature) in enumerate(collection.elements("features"), start=1):
        try:
            found = _rows(feature, number, to_lonlat, vocabulary)
        except polygons.NO_FEATURE as error:
            cure = _CURE_CRS if isinstance(error, polygons.NotLonLat) else _CURE
            raise UsageError(f"{path}: feature {number}: {polygons.why(error)}.", cure) from error
        rows += found
        n_left_out += not found
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    table = gpd.GeoDataFrame(columns, geometry=[row["geometry"] for row in rows], crs="EPSG:4326")
    return TruthFile(path, table, _conditions(path, collection), n_left_out)


def _conditions(path: Path, collection: JsonObject) -> dict[str, Any]:
    stated = collection.values.get("conditions") or {}
    if not isinstance(stated, dict):
        raise UsageError(
            f"{path}: its conditions must be an object. Received: {stated!r}.",
            'Write "conditions": {"haze": 0.1}, or leave the member out.',
        )
    return stated


def _rows(
    feature: Any,  # noqa: ANN401 - any JSON value
    number: int,
    to_lonlat: pyproj.Transformer | None,
    vocabulary: Vocabulary,
) -> list[dict[str, Any]]:
    """The rows of a feature; none where its class means no object of ours."""
    properties = feature["properties"] or {}
    label = _stated(properties, "class", DEFAULT_CLASS)
    class_name, ignored = _meaning(label, vocabulary)
    if class_name is None:
        return []
    corners, wrong = _corners(properties)
    common = {
        "feature": number,
        "class": class_name,
        "kind": _stated(properties, "kind", ""),
        "visible": _visible(properties),
        "ignore": ignored or polygons.flag_of(properties, "ignore"),
        "axis_aligned": polygons.flag_of(properties, "axis_aligned"),
        "corners_px": None if corners is None else corners.ravel().tolist(),
    }
    try:
        parts = _parts(feature, to_lonlat)
    except polygons.NO_FEATURE as error:
        if wrong is not None:
            raise wrong from error
        if corners is None:
            raise
        return [common | {"geometry": None}]
    if corners is not None and len(parts) > 1:
        parts = [shapely.MultiPolygon(parts)]
    return [common | {"geometry": part} for part in parts]


def _corners(properties: Mapping[str, Any]) -> tuple[Floats | None, Exception | None]:
    """What `corners_px` states, None where it states nothing or is unusable, and then what is wrong with it."""
    try:
        corners = polygons.corners_of(properties)
        return (None if corners is None else _with_area(corners)), None
    except polygons.NO_FEATURE as error:
        return None, error


def _parts(feature: Mapping[str, Any], to_lonlat: pyproj.Transformer | None) -> list[BaseGeometry]:
    """The polygon of each object of a feature.

    Raises:
        BadBox: there is none that can be used.
    """
    parts = polygons.parts_of(feature, to_lonlat)
    for part in parts:
        _with_area(shapely.get_coordinates(part))
    return list(parts)


def _with_area(points: Floats) -> Floats:
    hull = shapely.convex_hull(shapely.MultiPoint(points))
    extent = float(np.hypot(*np.ptp(points, axis=0)))
    if not hull.area > _FLAT * extent**2:
        raise BadBox(f"has no area ({points.ravel().tolist()})")
    return points


def _meaning(label: str, vocabulary: Vocabulary) -> tuple[str | None, bool]:
    """Our name for a label and whether it marks an area to ignore; the label itself where it is unknown."""
    try:
        number = vocabulary.number_of(label)
    except KeyError:
        return label, False
    if number is None:
        return None, False
    return (IGNORE, True) if number == NO_CLASS else (class_names()[number], False)


def _stated(properties: Mapping[str, Any], name: str, default: str) -> str:
    value = properties.get(name)
    return default if value is None or value != value else str(value)  # noqa: PLR0124 - NaN, which JSON may hold


def _visible(properties: Mapping[str, Any]) -> float:
    visible = polygons.share_of(properties.get("visible"))
    if np.isnan(visible):
        return 1.0
    if not -_ROUNDING <= visible <= 1 + _ROUNDING:
        raise BadBox(f"visible must be 0 to 1. Received: {properties['visible']!r}")
    return min(max(visible, 0.0), 1.0)
