"""Vector files: the properties of features by name, and their geometries in EPSG:4326."""

import math
from pathlib import Path

import numpy as np
import pyogrio
import pyproj
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj.exceptions import ProjError
from shapely.errors import ShapelyError
from shapely.geometry.base import BaseGeometry

from detector.errors import UsageError

EDGE_DEG = 0.001  # outlines are bent to the scene's projection in steps of about 100 m


def read_features(path: Path, layer: str, drawn: str) -> tuple[dict[str, NDArray[np.object_]], NDArray[np.object_]]:
    """The properties of the features, by name, and their geometries in EPSG:4326.

    Args:
        path: GeoJSON, GeoPackage or another vector format, any CRS.
        layer: the layer to read where there are several.
        drawn: what its features are, for messages: "facility polygons".

    Raises:
        UsageError: the file cannot be read, is empty, or its features have no `facility_id`.
    """
    if not path.is_file():
        raise UsageError(f"{path}: does not exist.", f"Give a GeoJSON or GeoPackage with {drawn}.")
    try:
        layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
        if len(layers) > 1 and layer not in layers:
            raise UsageError(f"{path}: has several layers ({', '.join(layers)}).", f"Name one `{layer}`.")
        # Raw, because a property with numbers and texts, as identifiers often are, passes for JSON otherwise.
        meta, _, wkb, fields = pyogrio.raw.read(path, layer=layer if len(layers) > 1 else None)
        geometries = shapely.force_2d(shapely.from_wkb([] if wkb is None else wkb))
    except (DataSourceError, DataLayerError, ShapelyError, OSError, ValueError) as error:
        raise UsageError(
            f"{path}: cannot be read as vector data ({error}).", f"Give a GeoJSON or GeoPackage with {drawn}."
        ) from error
    if len(geometries) == 0:
        raise UsageError(f"{path}: has no feature with a geometry.", f"Draw {drawn}.")
    if meta["crs"] is None:
        raise UsageError(f"{path}: has no CRS.", "Save it again with its CRS, or as GeoJSON in EPSG:4326.")
    columns = dict(zip(meta["fields"], fields, strict=True))
    if "facility_id" not in columns:
        raise UsageError(
            f"{path}: its features have no property `facility_id` (they have: {', '.join(columns) or 'none'}).",
            "Give every feature its facility_id.",
        )
    try:
        return columns, _to_lonlat(geometries, pyproj.CRS.from_user_input(meta["crs"]))
    except ProjError as error:
        raise UsageError(f"{path}: cannot be brought to EPSG:4326 ({error}).", "Correct its CRS.") from error


def check_on_earth(label: str, geometry: BaseGeometry) -> None:
    """Raise UsageError unless all coordinates are longitudes and latitudes."""
    west, south, east, north = geometry.bounds
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise UsageError(
            f"{label} lies at {west:.6g}, {south:.6g}, which is no longitude and latitude.",
            "GeoJSON is in EPSG:4326: export it in that CRS.",
        )


def as_text(value: object) -> str:
    """A property as text: 7.0 is "7", missing is empty."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.15g}"
    return "" if value is None else str(value).strip()


def _to_lonlat(geometries: NDArray[np.object_], crs: pyproj.CRS) -> NDArray[np.object_]:
    """Geometries in EPSG:4326, with points every 100 m or so, that long edges stay where they were drawn."""
    if crs.to_epsg() == 4326:
        return geometries
    step = 100.0 / crs.axis_info[0].unit_conversion_factor if crs.is_projected else EDGE_DEG
    transformer = pyproj.Transformer.from_crs(crs.to_2d(), "EPSG:4326", always_xy=True)
    dense = shapely.segmentize(geometries, step)
    return np.asarray(shapely.transform(dense, transformer.transform, interleaved=False))
