"""Our own: GeoJSON polygons in any CRS over an image of the same stem, and the truth files made from all formats.

`a.tif` goes with `a.truth.geojson` or `a.geojson`. A feature has the property `class`; where it has `corners_px` (8
numbers in pixels of the image) these count, else its polygon, by the image's georeference. Optional are `visible` (0 to
1), `ignore` and `axis_aligned`. Coordinates are in the CRS that the member `crs` names, longitude and latitude without.
Each part of a MultiPolygon is an object of its own. Evaluation reads its truth by the same functions
(`training.evaluation.truthfile`).
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from pyproj.exceptions import CRSError
from shapely.errors import ShapelyError
from shapely.geometry import shape

from detector.config import IGNORE
from detector.errors import InputRejected
from detector.geometry import Floats
from detector.pixels.georef import lonlat_to_scene_px, scene_px_to_lonlat
from training.classes import NO_CLASS, Vocabulary, class_names
from training.formats.annotations import CORNERS, Annotations, BadBox, Drawn, Fault, checked, numbers, unlabelled
from training.formats.jsonfile import JsonObject, NotJson, read_object
from training.formats.pictures import Album, Picture, images_below, open_picture

NAME = "polygons"
SUFFIX = ".truth.geojson"
FACILITIES = "facilities.geojson"
_LONLAT = pyproj.CRS.from_epsg(4326)
_MOST_DEG = np.array([360.0, 90.0])
_FLAGS = dict.fromkeys(("true", "1", "1.0", "yes"), True) | dict.fromkeys(
    ("false", "0", "0.0", "no", "none", "nan", ""), False
)
_AROUND = str.maketrans("[](),", "     ")  # what stands around the numbers of an array that became a text
NO_FEATURE = (KeyError, IndexError, TypeError, ValueError, AttributeError, ShapelyError)
"""What reading a feature that is none may raise; `why` says it in words."""


class NotLonLat(BadBox):
    """Coordinates that are no longitude and latitude, in a file that says that they are, or says nothing."""


def claims(path: Path) -> bool:
    """Whether the file, or one below the folder, is a GeoJSON that an image goes with."""
    if path.is_file():
        return path.suffix.lower() == ".geojson"
    stems = {image.stem for image in images_below(path)}
    return any(stem_of(source) in stems for source in sources(path))


def read(path: Path, vocabulary: Vocabulary, gsd_m: float | None = None) -> tuple[list[Annotations], list[Fault]]:
    """Read a GeoJSON and the image beside it, or all below a folder.

    Args:
        path: the GeoJSON or the folder.
        vocabulary: what the property `class` means.
        gsd_m: of images without georeference.

    Returns:
        Annotations by image; of images whose collection is empty too, but not of images without one.
    """
    album = Album(images_below(path if path.is_dir() else path.parent))
    result: list[Annotations] = []
    faults: list[Fault] = []
    for source in sources(path):
        image = album.nearest(stem_of(source), source)
        if image is None:
            faults.append(Fault(source, 0, f"no single image {stem_of(source)}.* is near it: left out"))
            continue
        try:
            picture = open_picture(image).with_gsd(gsd_m)
            drawn, wrong = _drawn(source, read_collection(source), picture)
        except InputRejected as error:
            faults.append(Fault(source, 0, f"{error.path}: {error.reason}: left out"))
            continue
        except NotJson as error:
            faults.append(Fault(source, error.line, f"{error.reason}: left out"))
            continue
        annotations, more = checked(picture, source, drawn, vocabulary)
        result.append(annotations)
        faults += sorted([*wrong, *more], key=lambda fault: fault.line)
    return result, faults + (unlabelled(album.all(), result) if path.is_dir() else [])


def as_truth(annotations: Annotations, out: Path) -> Path:
    """Write `out/<stem>.truth.geojson`, one feature a line, and return its path.

    Law: reading it gives the same annotations, corners to 0.001 px and `visible` to 0.001.

    Args:
        annotations: of one image.
        out: the folder to write to, made if it is not there.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{annotations.image.stem}{SUFFIX}"
    picture = open_picture(annotations.image)
    places = scene_px_to_lonlat(picture, annotations.corners_px)
    features = [json.dumps(_feature(annotations, i, places[i])) for i in range(len(annotations))]
    partial = path.with_name(f".{path.name}.part")
    partial.write_text('{"type": "FeatureCollection", "features": [\n' + ",\n".join(features) + "\n]}\n")
    partial.replace(path)
    return path


def _feature(annotations: Annotations, i: int, lonlat: Floats) -> dict[str, Any]:
    number = int(annotations.classes[i])
    properties = {
        "class": IGNORE if number == NO_CLASS else class_names()[number],
        "visible": round(float(annotations.visible[i]), 3),
        "ignore": bool(annotations.ignore[i]),
        "axis_aligned": bool(annotations.axis_aligned[i]),
        "corners_px": [round(float(value), 3) for value in annotations.corners_px[i].ravel()],
        "source": f"{annotations.source}:{annotations.line[i]}",
    }
    geometry = None
    if np.isfinite(lonlat).all():
        ring = shapely.orient_polygons(shapely.polygons(lonlat), exterior_cw=False)
        geometry = {"type": "Polygon", "coordinates": [np.round(shapely.get_coordinates(ring), 8).tolist()]}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def sources(path: Path) -> list[Path]:
    """The GeoJSON itself, or all below a folder, sorted; `a.truth.geojson` goes before an `a.geojson` beside it.

    `facilities.geojson` and hidden files are none.
    """
    found = [path] if path.is_file() else sorted(path.rglob("*.geojson"))
    found = [file for file in found if file.name != FACILITIES and not file.name.startswith(".")]
    exact = {(file.parent, stem_of(file)) for file in found if file.name.endswith(SUFFIX)}
    return [file for file in found if file.name.endswith(SUFFIX) or (file.parent, stem_of(file)) not in exact]


def stem_of(path: Path) -> str:
    """The stem of the image that a GeoJSON goes with."""
    return path.name.removesuffix(SUFFIX) if path.name.endswith(SUFFIX) else path.stem


def read_collection(path: Path) -> JsonObject:
    """Read a GeoJSON feature collection.

    Raises:
        NotJson: it is none.
    """
    collection = read_object(path)
    if "features" not in collection.lines:
        raise NotJson(0, "has no array `features`: is no GeoJSON feature collection")
    return collection


def _drawn(source: Path, collection: JsonObject, picture: Picture) -> tuple[list[Drawn], list[Fault]]:
    """The features of a collection in pixels of its image.

    Raises:
        NotJson: its CRS is none.
    """
    to_lonlat = to_lonlat_of(collection)
    drawn: list[Drawn] = []
    faults: list[Fault] = []
    for line, feature in collection.elements("features"):
        try:
            rows = _rows(feature, line, picture, to_lonlat)
        except NO_FEATURE as error:
            faults.append(Fault(source, line, f"{why(error)}: left out"))
        else:
            drawn += rows
    return drawn, faults


def _rows(feature: Any, line: int, picture: Picture, to_lonlat: pyproj.Transformer | None) -> list[Drawn]:  # noqa: ANN401
    properties = feature["properties"] or {}
    if "class" not in properties:
        raise BadBox("has no property `class`")
    return [
        Drawn(
            label=properties["class"],
            points_px=points_px,
            line=line,
            visible=share_of(properties.get("visible")),
            ignore=flag_of(properties, "ignore"),
            axis_aligned=flag_of(properties, "axis_aligned"),
        )
        for points_px in _outlines_px(feature, properties, picture, to_lonlat)
    ]


def _outlines_px(
    feature: Mapping[str, Any],
    properties: Mapping[str, Any],
    picture: Picture,
    to_lonlat: pyproj.Transformer | None,
) -> list[Floats]:
    """The points (K, 2) of each object of a feature, in pixels of the image."""
    corners = corners_of(properties)
    if corners is not None:
        return [corners]
    if picture.crs is None:
        raise BadBox("its image has no georeference, and it has no corners_px")
    parts = parts_of(feature, to_lonlat)
    return [lonlat_to_scene_px(picture, shapely.get_coordinates(part.exterior)[:-1]) for part in parts]


def why(error: Exception) -> str:
    """What is wrong with a feature whose reading raised one of `NO_FEATURE`."""
    return str(error) if isinstance(error, BadBox) else f"is no feature of ours ({type(error).__name__} {error})"


def to_lonlat_of(collection: JsonObject) -> pyproj.Transformer | None:
    """From the collection's CRS to longitude and latitude; None where it is in these.

    Raises:
        NotJson: its CRS is none.
    """
    try:
        named = (collection.values.get("crs") or {}).get("properties", {}).get("name")
        crs = pyproj.CRS.from_user_input(named) if named else _LONLAT
    except (CRSError, AttributeError) as error:
        raise NotJson(0, f"its CRS is unknown ({error})") from error
    if crs.equals(_LONLAT, ignore_axis_order=True):
        return None
    return pyproj.Transformer.from_crs(crs.to_2d(), _LONLAT, always_xy=True)


def corners_of(properties: Mapping[str, Any]) -> Floats | None:
    """The corners (4, 2) that `corners_px` states, in pixels of the image; None where it is missing.

    A text of numbers between commas or blanks is read too: geopandas may write arrays so.

    Raises:
        BadBox: it is not 8 finite numbers.
        TypeError, ValueError: it is no array of numbers.
    """
    if properties.get("corners_px") is None:
        return None
    stated = properties["corners_px"]
    corners = numbers(stated.translate(_AROUND).split()) if isinstance(stated, str) else np.asarray(stated, np.float64)
    if corners.size != 2 * CORNERS:
        raise BadBox(f"corners_px has {corners.size} numbers, not 8")
    return _finite(corners.reshape(CORNERS, 2))


def parts_of(feature: Mapping[str, Any], to_lonlat: pyproj.Transformer | None) -> list[shapely.Polygon]:
    """The polygon of a feature, or each part of its MultiPolygon, in longitude and latitude.

    Args:
        feature: of a collection.
        to_lonlat: from the collection's CRS, as `to_lonlat_of` gives it.

    Raises:
        BadBox: it has no geometry, one of another kind, an empty one, or coordinates that are no place.
    """
    if feature.get("geometry") is None:
        raise BadBox("has no geometry")
    with np.errstate(invalid="ignore"):  # coordinates that are not finite are told below
        geometry = shapely.force_2d(shape(feature["geometry"]))
    if geometry.geom_type not in {"Polygon", "MultiPolygon"}:
        raise BadBox(f"is a {geometry.geom_type}, not a polygon")
    parts = [part for part in shapely.get_parts(geometry) if not part.is_empty]
    if not parts:
        raise BadBox(f"is an empty {geometry.geom_type}")
    return [shapely.transform(part, lambda points: _places(points, to_lonlat)) for part in parts]


def _places(points: Floats, to_lonlat: pyproj.Transformer | None) -> Floats:
    """Points (N, 2) in the collection's CRS as longitude and latitude."""
    places = _finite(points)
    if to_lonlat is not None:
        places = np.column_stack(to_lonlat.transform(points[:, 0], points[:, 1]))
    wrong = np.flatnonzero(~(np.abs(places) <= _MOST_DEG).all(axis=1))
    if wrong.size == 0:
        return places
    x, y = points[wrong[0]]
    if to_lonlat is not None:
        raise BadBox(f"({x:.10g}, {y:.10g}) is no place in its CRS")
    raise NotLonLat(f"({x:.10g}, {y:.10g}) is no longitude and latitude, and no other CRS is named")


def _finite(points: Floats) -> Floats:
    if not np.isfinite(points).all():
        raise BadBox(f"coordinates are not finite ({points.ravel().tolist()})")
    return points


def flag_of(properties: Mapping[str, Any], name: str) -> bool:
    """Whether a property is set; not where it is missing. Texts such as "false" mean what they say.

    Raises:
        BadBox: it is neither true nor false.
    """
    word = str(properties.get(name)).strip().lower()
    if word not in _FLAGS:
        raise BadBox(f"{name} must be true or false. Received: {properties[name]!r}")
    return _FLAGS[word]


def share_of(value: object) -> float:
    """A visible share; NaN where it is not stated.

    Raises:
        BadBox: it is no number.
    """
    try:
        return math.nan if value is None else float(str(value))
    except ValueError as error:
        raise BadBox(f"visible must be 0 to 1. Received: {value!r}") from error
