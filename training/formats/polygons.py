"""Our own: GeoJSON polygons in any CRS over an image of the same stem, and the truth files made from all formats.

`a.tif` goes with `a.truth.geojson` or `a.geojson`. A feature has the property `class`; where it has `corners_px` (8
numbers in pixels of the image) these count, else its polygon, by the image's georeference. Optional are `visible` (0 to
1), `ignore` and `axis_aligned`. Coordinates are in the CRS that the member `crs` names, longitude and latitude without.
"""

import json
import math
from collections.abc import Iterator
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
from training.formats.annotations import CORNERS, Annotations, BadBox, Drawn, Fault, checked, unlabelled
from training.formats.jsonfile import JsonObject, NotJson, read_object
from training.formats.pictures import Album, Picture, images_below, open_picture

NAME = "polygons"
SUFFIX = ".truth.geojson"
FACILITIES = "facilities.geojson"
_LONLAT = pyproj.CRS.from_epsg(4326)


def claims(path: Path) -> bool:
    """Whether the file, or one below the folder, is a GeoJSON that an image goes with."""
    if path.is_file():
        return path.suffix.lower() == ".geojson"
    stems = {image.stem for image in images_below(path)}
    return any(_stem(source) in stems for source in _files(path))


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
    sources = list(_files(path))
    exact = {(source.parent, _stem(source)) for source in sources if source.name.endswith(SUFFIX)}
    result: list[Annotations] = []
    faults: list[Fault] = []
    for source in sources:
        if not source.name.endswith(SUFFIX) and (source.parent, _stem(source)) in exact:
            continue
        image = album.nearest(_stem(source), source)
        if image is None:
            faults.append(Fault(source, 0, f"no single image {_stem(source)}.* is near it: left out"))
            continue
        try:
            picture = open_picture(image).with_gsd(gsd_m)
            drawn, wrong = _drawn(source, read_object(source), picture)
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


def _files(path: Path) -> Iterator[Path]:
    for file in [path] if path.is_file() else sorted(path.rglob("*.geojson")):
        if file.name != FACILITIES and not file.name.startswith("."):
            yield file


def _stem(path: Path) -> str:
    return path.name.removesuffix(SUFFIX) if path.name.endswith(SUFFIX) else path.stem


def _drawn(source: Path, collection: JsonObject, picture: Picture) -> tuple[list[Drawn], list[Fault]]:
    """The features of a collection in pixels of its image.

    Raises:
        NotJson: it is no collection of features, or its CRS is none.
    """
    if "features" not in collection.lines:
        raise NotJson(0, "is no GeoJSON feature collection")
    to_lonlat = _to_lonlat(collection)
    drawn: list[Drawn] = []
    faults: list[Fault] = []
    for line, feature in collection.elements("features"):
        try:
            properties = feature["properties"] or {}
            if "class" not in properties:
                raise BadBox("has no property `class`")
            row = Drawn(
                label=properties["class"],
                points_px=_points(feature, properties, picture, to_lonlat),
                line=line,
                visible=_share(properties.get("visible")),
                ignore=bool(properties.get("ignore", False)),
                axis_aligned=bool(properties.get("axis_aligned", False)),
            )
        except BadBox as error:
            faults.append(Fault(source, line, f"{error}: left out"))
        except (KeyError, TypeError, ValueError, AttributeError, ShapelyError) as error:
            faults.append(Fault(source, line, f"is no feature of ours ({type(error).__name__} {error}): left out"))
        else:
            drawn.append(row)
    return drawn, faults


def _to_lonlat(collection: JsonObject) -> pyproj.Transformer | None:
    """From the collection's CRS to longitude and latitude; None where it is in these."""
    try:
        named = (collection.values.get("crs") or {}).get("properties", {}).get("name")
        crs = pyproj.CRS.from_user_input(named) if named else _LONLAT
    except (CRSError, AttributeError) as error:
        raise NotJson(0, f"its CRS is unknown ({error})") from error
    if crs.equals(_LONLAT, ignore_axis_order=True):
        return None
    return pyproj.Transformer.from_crs(crs.to_2d(), _LONLAT, always_xy=True)


def _points(
    feature: dict[str, Any], properties: dict[str, Any], picture: Picture, to_lonlat: pyproj.Transformer | None
) -> Floats:
    if properties.get("corners_px") is not None:
        corners = np.asarray(properties["corners_px"], dtype=np.float64)
        if corners.size != 2 * CORNERS:
            raise BadBox(f"corners_px has {corners.size} numbers, not 8")
        return corners.reshape(CORNERS, 2)
    if picture.crs is None:
        raise BadBox("its image has no georeference, and it has no corners_px")
    if feature.get("geometry") is None:
        raise BadBox("has no geometry")
    polygon = shape(feature["geometry"])
    if polygon.geom_type not in {"Polygon", "MultiPolygon"} or polygon.is_empty:
        raise BadBox(f"is a {polygon.geom_type}, not a polygon")
    rings = [part.exterior for part in (polygon.geoms if polygon.geom_type == "MultiPolygon" else [polygon])]
    points = np.concatenate([np.asarray(ring.coords, dtype=np.float64)[:-1, :2] for ring in rings])
    if to_lonlat is not None:
        points = np.column_stack(to_lonlat.transform(points[:, 0], points[:, 1]))
    return lonlat_to_scene_px(picture, points)


def _share(value: object) -> float:
    """A visible share; NaN where it is not stated."""
    return math.nan if value is None else float(str(value))
