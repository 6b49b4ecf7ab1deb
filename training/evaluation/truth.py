"""True objects of the scenes of a run, in the same plane frame as its detections."""

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from detector.classscores import ClassScores
from detector.errors import UsageError
from detector.geometry import Bools, Floats, xywhr_from_corners
from detector.pixels.georef import metres_per_degree
from detector.runfolder import read_tables

SUFFIX = ".truth.geojson"
CARE_FROM = 0.5

Names = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Truth:
    """True objects of one scene at one facility.

    Attributes:
        xywhr: (T, 5) boxes.
        class_name: (T,) classes.
        kind: (T,) kinds of vehicle or object, empty where not stated.
        visible: (T,) visible share.
        care: (T,) false where less than half is visible, where the centre lies outside the visible part of
            the facility, or where the class is none of ours: neither right nor wrong.
        axis_aligned: (T,) the box is the hull along the axes of the frame, the object's rotation unknown.
        ignored: area that is neither object nor ground; detections on it do not count. Same frame.
    """

    xywhr: Floats
    class_name: Names
    kind: Names
    visible: Floats
    care: Bools
    axis_aligned: Bools
    ignored: BaseGeometry


@dataclass(frozen=True)
class Found:
    """Detections of one scene at one facility, in the frame of its truth.

    Attributes:
        xywhr: (D, 5) boxes.
        class_name, p_true, detected: (D,) columns of the detections table; p_true is NaN where unknown.
        scores: (D, C) scores by class.
    """

    xywhr: Floats
    class_name: Names
    scores: ClassScores
    p_true: Floats
    detected: Bools

    @cached_property
    def score(self) -> Floats:
        """(D,) how sure it is that something of the family stands there."""
        return self.scores.total


@dataclass(frozen=True)
class Frame:
    """The plane of a place's boxes: metres east and south of `origin`, or the pixels of a scene without georeference.

    Attributes:
        origin: longitude and latitude; None for pixels.
        scale: (2,) metres per degree; ones for pixels.
        unit_m: metres per unit of the plane.
    """

    origin: tuple[float, float] | None
    scale: Floats
    unit_m: float

    @classmethod
    def of(cls, scene: Mapping[Hashable, Any]) -> "Frame":
        """The frame of a row of the scenes table: metres on the tangent plane of WGS 84 where it has an outline."""
        region = scene["geometry"]
        if not isinstance(region, BaseGeometry) or region.is_empty:
            return cls(None, np.ones(2), float(scene["gsd_m"]))
        origin = (region.centroid.x, region.centroid.y)
        return cls(origin, metres_per_degree(origin[1]) * [1, -1], 1.0)

    def from_lonlat(self, points: Floats) -> Floats:
        """Points (..., 2) in longitude and latitude, in the plane."""
        return np.asarray((points - (self.origin or (0.0, 0.0))) * self.scale)

    def to_lonlat(self, points: Floats) -> Floats:
        """The inverse of `from_lonlat`."""
        return np.asarray(points / self.scale + (self.origin or (0.0, 0.0)))


@dataclass(frozen=True)
class Place:
    """One row of the scenes table with its detections, its truth and what the truth says of the conditions."""

    scene: Mapping[Hashable, Any]
    found: Found
    truth: Truth
    conditions: Mapping[str, Any]
    frame: Frame

    @property
    def facility_id(self) -> str:
        """The facility shown."""
        return str(self.scene["facility_id"])


@dataclass(frozen=True)
class TruthFile:
    """One truth file: features in EPSG:4326 with class, kind, visible, ignore, axis_aligned; and its conditions."""

    features: gpd.GeoDataFrame
    conditions: Mapping[str, Any]


def read_places(run: Path, truth: Path, names: tuple[str, ...]) -> list[Place]:
    """The scenes of a run for which there is truth.

    Args:
        run: a RUN folder with detections.parquet and scenes.parquet.
        truth: a folder with `<stem>.truth.geojson` (or `<stem>.geojson`), or one GeoJSON file; polygons in
            any CRS with `class` (railcar where missing) and `visible` (1 where missing), or `corners_px`.
            Optional: `kind`, `ignore` (an area whose detections do not count), `axis_aligned`; and a member
            `conditions` of the collection, by which results are sliced.
        names: our class names; objects of other classes are neither right nor wrong.

    Raises:
        UsageError: a table is missing or damaged, or no scene has truth.
    """
    detections, scenes = read_tables(run)
    stems = [str(scene_id).rpartition("-")[0] for scene_id in scenes["scene_id"]]
    files = _files(truth, set(stems))
    by_place = dict(list(detections.groupby(["scene_id", "facility_id"])))
    none = detections.iloc[:0]
    places = []
    for record, stem in zip(scenes.to_dict("records"), stems, strict=True):
        if stem in files:
            found = by_place.get((record["scene_id"], record["facility_id"]), none)
            places.append(_place(record, found, read_truth(files[stem]), names))
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


_DEFAULTS: dict[str, object] = {
    "class": "railcar",
    "kind": "",
    "visible": 1.0,
    "ignore": False,
    "axis_aligned": False,
}


def read_truth(path: Path) -> TruthFile:
    """Read one truth file.

    Raises:
        UsageError: it is no GeoJSON feature collection.
    """
    try:
        collection = json.loads(path.read_text())
        features = collection["features"]
        named = (collection.get("crs") or {}).get("properties", {}).get("name", "EPSG:4326")
        table = gpd.GeoDataFrame.from_features(features, crs=named if features else None)
        table = table.to_crs("EPSG:4326") if features else gpd.GeoDataFrame(geometry=[], crs="EPSG:4326")
        for name, default in _DEFAULTS.items():
            given = table[name] if name in table else pd.Series([None] * len(table), index=table.index, dtype=object)
            table[name] = given.astype(object).where(given.notna(), default).astype(type(default))
        conditions = dict(collection.get("conditions") or {})
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UsageError(f"{path}: is no GeoJSON feature collection ({error}).", "Give truth as GeoJSON.") from error
    return TruthFile(table, conditions)


def _place(scene: Mapping[Hashable, Any], found: pd.DataFrame, file: TruthFile, names: tuple[str, ...]) -> Place:
    frame = Frame.of(scene)
    is_area = file.features["ignore"].to_numpy(dtype=bool)
    truth, areas = file.features[~is_area], file.features[is_area]
    class_name, visible = truth["class"].to_numpy(dtype=str), truth["visible"].to_numpy(dtype=float)
    care = (visible >= CARE_FROM) & np.isin(class_name, names)
    if frame.origin is not None:
        centre = shapely.centroid(truth.geometry.to_numpy())
        care &= np.asarray(shapely.contains(scene["geometry"], centre), dtype=bool)
    return Place(
        scene,
        Found(
            xywhr=_boxes(found, frame),
            class_name=found["class"].to_numpy(dtype=str),
            scores=ClassScores.read(found, names),
            p_true=found["p_true"].to_numpy(dtype=np.float64) if "p_true" in found else np.full(len(found), np.nan),
            detected=found["detected"].to_numpy(dtype=bool),
        ),
        Truth(
            xywhr=_boxes(truth, frame),
            class_name=class_name,
            kind=truth["kind"].to_numpy(dtype=str),
            visible=visible,
            care=care,
            axis_aligned=truth["axis_aligned"].to_numpy(dtype=bool),
            ignored=_ignored(areas, frame),
        ),
        file.conditions,
        frame,
    )


def _ignored(areas: gpd.GeoDataFrame, frame: Frame) -> BaseGeometry:
    if frame.origin is not None:
        shapes = [shapely.transform(polygon, frame.from_lonlat) for polygon in areas.geometry]
    else:
        shapes = [shapely.Polygon(np.reshape(corners, (4, 2))) for corners in _corners_px(areas)]
    return shapely.union_all([shapely.make_valid(polygon) for polygon in shapes])


def _boxes(table: pd.DataFrame, frame: Frame) -> Floats:
    """Boxes of the polygons of a table, or of its `corners_px`, in the frame."""
    if len(table) == 0:
        return np.zeros((0, 5))
    if frame.origin is None:
        return xywhr_from_corners(np.array(_corners_px(table), dtype=np.float64).reshape(-1, 4, 2))
    rings = [frame.from_lonlat(shapely.get_coordinates(polygon)) for polygon in table["geometry"]]
    return xywhr_from_corners(np.array([_four_corners(ring) for ring in rings]))


def _four_corners(ring: Floats) -> Floats:
    """The ring's corners if it has four, else those of the rectangle of least area around it."""
    points = ring[:-1]
    if len(points) != 4:
        box = shapely.minimum_rotated_rectangle(shapely.MultiPoint(ring))
        points = shapely.get_coordinates(box)[:-1]
    return points


def _corners_px(table: pd.DataFrame) -> list[Any]:
    if len(table) and "corners_px" not in table:
        raise UsageError(
            "Truth for a scene without georeference needs the property corners_px.",
            "Add x1,y1..x4,y4 in pixels.",
        )
    return table["corners_px"].tolist() if len(table) else []
