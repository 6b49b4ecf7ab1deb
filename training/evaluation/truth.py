"""True objects of the scenes of a run, in the same plane frame as its detections."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

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
from training.evaluation.aside import Aside
from training.evaluation.onground import on_ground
from training.evaluation.pairing import pair
from training.evaluation.truthfile import TruthFile, read_truth
from training.formats.polygons import SUFFIX

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
            the facility (of the image, without georeference), or where the class is none of ours: neither right nor
            wrong.
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
class Reading:
    """The scenes of a run for which there is truth, and what does not take part."""

    places: list[Place]
    aside: Aside


def read_places(run: Path, truth: Path, names: tuple[str, ...]) -> list[Place]:
    """The places of `read_run`; what does not take part is said."""
    reading = read_run(run, truth, names)
    reading.aside.tell()
    return reading.places


def read_run(run: Path, truth: Path, names: tuple[str, ...]) -> Reading:
    """The scenes of a run for which there is truth, and what of scenes and truth does not take part.

    Args:
        run: a RUN folder with detections.parquet and scenes.parquet.
        truth: a folder with `<stem>.truth.geojson` (or `<stem>.geojson`), or one GeoJSON file; polygons in
            any CRS with `class` (railcar where missing) and `visible` (1 where missing), or `corners_px`.
            Optional: `kind`, `ignore` (an area whose detections do not count), `axis_aligned`; and a member
            `conditions` of the collection, by which results are sliced.
        names: our class names; objects of other classes are neither right nor wrong.

    Raises:
        UsageError: a table is missing or damaged, no scene has truth, truth cannot be used, or it cannot be told
            which scene it is of.
    """
    detections, scenes = read_tables(run)
    scene_ids = [str(scene_id) for scene_id in scenes["scene_id"]]
    paired = pair(run, truth, scene_ids)
    if not paired.files:
        raise UsageError(
            f"{truth}: has no truth for any of the {len(set(scene_ids))} scenes of {run}.",
            f"Name the files <scene file without extension>{SUFFIX}.",
        )
    records = [record for record in scenes.to_dict("records") if str(record["scene_id"]) in paired.files]
    files = on_ground(run, {scene_id: read_truth(path) for scene_id, path in paired.files.items()}, records)
    by_place = dict(list(detections.groupby(["scene_id", "facility_id"])))
    none = detections.iloc[:0]
    places: list[Place] = []
    accounted = {scene_id: _barely_visible(file) for scene_id, file in files.items()}
    for record in records:
        scene_id = str(record["scene_id"])
        found = by_place.get((record["scene_id"], record["facility_id"]), none)
        place, is_shown = _place(record, found, files[scene_id], names)
        places.append(place)
        accounted[scene_id] |= is_shown
    n_outside = sum(int((~each).sum()) for each in accounted.values())
    return Reading(places, Aside.of(list(files.values()), names, n_outside, paired, truth))


def _is_area(file: TruthFile) -> Bools:
    return np.asarray(file.features["ignore"], dtype=bool)


def _barely_visible(file: TruthFile) -> Bools:
    """(T,) objects of a file that do not count wherever they stand."""
    visible = np.asarray(file.features["visible"], dtype=np.float64)
    return np.asarray(visible[~_is_area(file)] < CARE_FROM)


def _place(
    scene: Mapping[Hashable, Any], found: pd.DataFrame, file: TruthFile, names: tuple[str, ...]
) -> tuple[Place, Bools]:
    """A place, and which of the file's objects (T,) stand in what the scene shows of the facility."""
    frame = Frame.of(scene)
    is_area = _is_area(file)
    truth, areas = file.features[~is_area], file.features[is_area]
    class_name, visible = truth["class"].to_numpy(dtype=str), truth["visible"].to_numpy(dtype=float)
    xywhr = _boxes(truth, frame, file.path)
    is_shown = _is_shown(scene, frame, truth, xywhr)
    place = Place(
        scene,
        Found(
            xywhr=_boxes(found, frame),
            class_name=found["class"].to_numpy(dtype=str),
            scores=ClassScores.read(found, names),
            p_true=found["p_true"].to_numpy(dtype=np.float64) if "p_true" in found else np.full(len(found), np.nan),
            detected=found["detected"].to_numpy(dtype=bool),
        ),
        Truth(
            xywhr=xywhr,
            class_name=class_name,
            kind=truth["kind"].to_numpy(dtype=str),
            visible=visible,
            care=(visible >= CARE_FROM) & np.isin(class_name, names) & is_shown,
            axis_aligned=truth["axis_aligned"].to_numpy(dtype=bool),
            ignored=_ignored(areas, frame, file.path),
        ),
        file.conditions,
        frame,
    )
    return place, is_shown


def _is_shown(scene: Mapping[Hashable, Any], frame: Frame, truth: pd.DataFrame, xywhr: Floats) -> Bools:
    """(T,) whether the centre of an object lies in the visible part of the facility; in the image, in pixels."""
    if frame.origin is None:
        size = np.array([scene["width"], scene["height"]], dtype=np.float64)
        return np.asarray(((xywhr[:, :2] >= 0) & (xywhr[:, :2] <= size)).all(axis=1))
    polygons = truth["geometry"].to_numpy()
    # Corners in the wrong order have no centroid of use.
    polygons = np.where(shapely.is_valid(polygons), polygons, shapely.convex_hull(polygons))
    return np.asarray(shapely.contains(scene["geometry"], shapely.centroid(polygons)), dtype=bool)


def _ignored(areas: pd.DataFrame, frame: Frame, path: Path) -> BaseGeometry:
    if frame.origin is not None:
        shapes = [shapely.transform(polygon, frame.from_lonlat) for polygon in areas["geometry"]]
    else:
        shapes = [shapely.Polygon(corners) for corners in _corners_px(areas, path)]
    return shapely.union_all([shapely.make_valid(polygon) for polygon in shapes])


def _boxes(table: pd.DataFrame, frame: Frame, path: Path | None = None) -> Floats:
    """Boxes of the polygons of a table, or of its `corners_px`, in the frame.

    Args:
        table: detections, or the features of a truth file.
        frame: the plane.
        path: of the truth file.
    """
    if len(table) == 0:
        return np.zeros((0, 5))
    if frame.origin is None:
        rings = [np.vstack([corners, corners[:1]]) for corners in _corners_px(table, path)]
    else:
        rings = [frame.from_lonlat(shapely.get_coordinates(polygon)) for polygon in table["geometry"]]
    return xywhr_from_corners(np.array([_four_corners(ring) for ring in rings]))


def _four_corners(ring: Floats) -> Floats:
    """The ring's corners if it is one of four, else those of the rectangle of least area around it."""
    points = ring[:-1]
    if len(points) != 4 or not shapely.is_valid(shapely.polygons(ring)):
        box = shapely.minimum_rotated_rectangle(shapely.MultiPoint(ring))
        points = shapely.get_coordinates(box)[:-1]
    return points


def _corners_px(table: pd.DataFrame, path: Path | None) -> Sequence[Floats]:
    """Corners (4, 2) of each row.

    Raises:
        UsageError: a row of truth has none.
    """
    if len(table) == 0:
        return []
    missing = table["corners_px"].isna().to_numpy()
    if missing.any():
        number = table["feature"].to_numpy()[missing][0] if "feature" in table else "?"
        raise UsageError(
            f"{path}: feature {number}: truth for a scene without georeference needs the property corners_px.",
            "Add x1,y1..x4,y4 in pixels.",
        )
    return [np.asarray(corners, dtype=np.float64).reshape(4, 2) for corners in table["corners_px"]]
