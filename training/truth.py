"""True objects of the scenes of a run, in the same plane frame as its detections. Imports no torch."""

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from detector.errors import UsageError
from detector.geometry import Bools, Floats, xywhr_from_corners

SUFFIX = ".truth.geojson"
CARE_FROM = 0.5
_EQUATOR_M, _FLATTENING = 6378137.0, 1 / 298.257223563


@dataclass(frozen=True)
class Truth:
    """True objects of one scene at one facility.

    Attributes:
        xywhr: (T, 5) boxes.
        class_name: (T,) classes.
        care: (T,) false where less than half is visible, where the centre lies outside the visible part of
            the facility, or where the class is none of ours: neither right nor wrong.
    """

    xywhr: Floats
    class_name: npt.NDArray[np.str_]
    care: Bools


@dataclass(frozen=True)
class Found:
    """Detections of one scene at one facility, in the frame of its truth.

    Attributes:
        xywhr: (D, 5) boxes.
        class_name, score, detected: (D,) columns of the detections table.
    """

    xywhr: Floats
    class_name: npt.NDArray[np.str_]
    score: Floats
    detected: Bools


@dataclass(frozen=True)
class Place:
    """One row of the scenes table with its detections and its truth."""

    scene: Mapping[Hashable, Any]
    found: Found
    truth: Truth


def read_places(run: Path, truth: Path, names: tuple[str, ...]) -> list[Place]:
    """The scenes of a run for which there is truth.

    Args:
        run: a RUN folder with detections.parquet and scenes.parquet.
        truth: a folder with `<stem>.truth.geojson` (or `<stem>.geojson`), or one GeoJSON file; polygons in
            any CRS with `class` (railcar where missing) and `visible` (1 where missing), or `corners_px`.
        names: our class names; objects of other classes are neither right nor wrong.

    Raises:
        UsageError: a table is missing, or no scene has truth.
    """
    for name in ("detections.parquet", "scenes.parquet"):
        if not (run / name).exists():
            raise UsageError(f"{run}: has no {name}.", "Run `railcars detect` for this folder first.")
    scenes, detections = (
        gpd.read_parquet(run / "scenes.parquet"),
        gpd.read_parquet(run / "detections.parquet"),
    )
    stems = [str(scene_id).rpartition("-")[0] for scene_id in scenes["scene_id"]]
    files = _files(truth, set(stems))
    by_place = dict(list(detections.groupby(["scene_id", "facility_id"])))
    none = detections.iloc[:0]
    places = []
    for record, stem in zip(scenes.to_dict("records"), stems, strict=True):
        if stem in files:
            found = by_place.get((record["scene_id"], record["facility_id"]), none)
            places.append(_place(record, found, _features(files[stem]), names))
    if not places:
        raise UsageError(
            f"{truth}: has no truth for any of the {len(set(stems))} scenes of {run}.",
            f"Name the files <scene file without extension>{SUFFIX}.",
        )
    return places


def _files(truth: Path, stems: set[str]) -> dict[str, Path]:
    """Truth file of each scene stem."""
    if truth.is_file():
        stem = _stem(truth)
        if stem not in stems and len(stems) == 1:
            return {next(iter(stems)): truth}
        return {stem: truth}
    if not truth.is_dir():
        raise UsageError(f"{truth}: does not exist.", "Give a folder of truth files or one GeoJSON file.")
    plain = {path.stem: path for path in sorted(truth.rglob("*.geojson"))}
    return plain | {_stem(path): path for path in sorted(truth.rglob(f"*{SUFFIX}"))}


def _stem(path: Path) -> str:
    return path.name.removesuffix(SUFFIX) if path.name.endswith(SUFFIX) else path.stem


def _features(path: Path) -> gpd.GeoDataFrame:
    """Features of a truth file in EPSG:4326, with columns class and visible, and corners_px where given."""
    try:
        collection = json.loads(path.read_text())
        features = collection["features"]
        if not features:
            return gpd.GeoDataFrame({"class": [], "visible": []}, geometry=[], crs="EPSG:4326")
        named = (collection.get("crs") or {}).get("properties", {}).get("name", "EPSG:4326")
        table = gpd.GeoDataFrame.from_features(features, crs=named).to_crs("EPSG:4326")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UsageError(f"{path}: is no GeoJSON feature collection ({error}).", "Give truth as GeoJSON.") from error
    table["class"] = table["class"].fillna("railcar") if "class" in table else "railcar"
    table["visible"] = table["visible"].astype(float).fillna(1.0) if "visible" in table else 1.0
    return table


def _place(
    scene: Mapping[Hashable, Any], found: pd.DataFrame, truth: gpd.GeoDataFrame, names: tuple[str, ...]
) -> Place:
    region = scene["geometry"]
    class_name = truth["class"].to_numpy(dtype=str)
    care = (truth["visible"].to_numpy(dtype=float) >= CARE_FROM) & np.isin(class_name, names)
    if isinstance(region, BaseGeometry) and not region.is_empty:
        centre = shapely.centroid(truth.geometry.to_numpy())
        care &= np.asarray(shapely.contains(region, centre), dtype=bool)
        origin = (region.centroid.x, region.centroid.y)
        boxes = [_metres(table.geometry.to_numpy(), origin) for table in (found, truth)]
    else:
        boxes = [_pixels(table) for table in (found, truth)]
    return Place(
        scene,
        Found(
            boxes[0],
            found["class"].to_numpy(dtype=str),
            found["score"].to_numpy(dtype=np.float64),
            found["detected"].to_numpy(dtype=bool),
        ),
        Truth(boxes[1], class_name, care),
    )


def _metres(polygons: npt.NDArray[np.object_], origin: tuple[float, float]) -> Floats:
    """Boxes of polygons in longitude and latitude, in metres east and south of a near origin (WGS 84)."""
    if len(polygons) == 0:
        return np.zeros((0, 5))
    latitude = np.radians(origin[1])
    squared = _FLATTENING * (2 - _FLATTENING)
    bend = 1 - squared * np.sin(latitude) ** 2
    scale = np.radians(_EQUATOR_M) * np.array([np.cos(latitude) / np.sqrt(bend), -(1 - squared) / bend**1.5])
    corners = np.array([_four_corners((shapely.get_coordinates(p) - origin) * scale) for p in polygons])
    return xywhr_from_corners(corners)


def _four_corners(ring: Floats) -> Floats:
    """The ring's corners if it has four, else those of the rectangle of least area around it."""
    points = ring[:-1]
    if len(points) != 4:
        box = shapely.minimum_rotated_rectangle(shapely.MultiPoint(ring))
        points = shapely.get_coordinates(box)[:-1]
    return points


def _pixels(table: pd.DataFrame) -> Floats:
    """Boxes from `corners_px`, in pixels of the scene."""
    if len(table) == 0:
        return np.zeros((0, 5))
    if "corners_px" not in table:
        raise UsageError(
            "Truth for a scene without georeference needs the property corners_px.",
            "Add x1,y1..x4,y4 in pixels.",
        )
    return xywhr_from_corners(np.array(table["corners_px"].tolist(), dtype=np.float64).reshape(-1, 4, 2))
