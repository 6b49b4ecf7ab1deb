"""What each date shows of each facility: detections, visible part and metadata of its best scenes."""

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from detector.classscores import ClassScores
from detector.config import ClassTable
from detector.counting.combine import best_first
from detector.counting.domain import PICTURE, Domain, object_values
from detector.counting.samples import METADATA, Bools, Floats, Sample, density
from detector.inputs.acquisition import date_in_name
from detector.pixels.georef import GEOD
from detector.runfolder import need_columns
from detector.tracks import Tracks

FULLY_SEEN = 0.98
_CLOUDY = 0.05
_SAME_BOX = 0.5  # of the smaller one's area: as where tiles are merged
_METADATA = METADATA[:-1]


@dataclass(frozen=True)
class Part:
    """What a view shows of a region.

    Attributes:
        inside: (D,) detections whose centre lies in the region.
        share: of the region, how much the view shows.
        kept: of the view, how much lies in the region.
    """

    inside: Bools
    share: float
    kept: float


@dataclass(frozen=True)
class View:
    """What one scene, or a mosaic of scenes, shows of one facility.

    Attributes:
        scene_id: the scene; the best one of a mosaic.
        acquired: acquisition time, UTC.
        is_disputed: that time is a tag's, and the file's name says another date.
        observed: visible share of the facility's area.
        visible: visible part of the facility (EPSG:4326), empty without georeference.
        area_ha: visible area, NaN where unknown.
        scene_metadata: (K - 1,) those of `METADATA` but for the density, NaN where unknown.
        looks: (V, K) what the domain check looks at, a row per scene of the mosaic.
        cloud_cover: of the scene, 0 where unknown, and where a mask leaves its clouds out.
        outlines: (D,) boxes of its detections, EPSG:4326; None without georeference.
        row: (D,) positions of the detections in their table.
        lonlat: (D, 2) their centres, NaN without georeference.
        scores: (D, C) their scores, by class.
        class_name: (D,) their classes.
        detected: (D,) whether they reach the operating threshold.
    """

    scene_id: str
    acquired: datetime
    is_disputed: bool
    observed: float
    visible: BaseGeometry
    area_ha: float
    scene_metadata: Floats
    looks: Floats
    cloud_cover: float
    outlines: npt.NDArray[np.object_]
    row: npt.NDArray[np.intp]
    lonlat: Floats
    scores: ClassScores
    class_name: npt.NDArray[np.object_]
    detected: Bools

    def may_be(self, classes: Collection[str]) -> Bools:
        """(D,) which detections may be of these classes: those of their families, whatever their names."""
        return self.scores.may_be(classes)

    def sample(self, classes: Collection[str]) -> Sample:
        """The detections that may be of these classes, as counting takes them."""
        score = self.scores.of(classes)
        used = score[score > 0]
        return Sample(used, np.r_[self.scene_metadata, density(used, self.area_ha)])

    def outside(self, domain: Domain | None) -> tuple[str, ...]:
        """In what a scene of the view is unlike those of the calibration; nothing where that is not known."""
        if domain is None:
            return ()
        return tuple(dict.fromkeys(name for look in self.looks for name in domain.outside(look)))

    def n_detected(self, classes: Collection[str]) -> int:
        """Detections of these classes at or above the operating threshold."""
        return int((is_any(self.class_name, classes) & self.detected).sum())

    def part_in(self, region: BaseGeometry) -> Part:
        """What the view shows of a region."""
        shapely.prepare(region)
        common, whole, wanted = (shapely.area(shapely.intersection(self.visible, region)), shapely.area(self.visible),
                                 shapely.area(region))  # fmt: skip
        return Part(
            np.asarray(shapely.contains_xy(region, self.lonlat), dtype=bool),
            min(1.0, float(common / wanted)) if wanted > 0 else 0.0,
            min(1.0, float(common / whole)) if whole > 0 else 0.0,
        )

    def within(self, region: BaseGeometry) -> "View":
        """The view cut to a region."""
        part = self.part_in(region)
        visible = shapely.intersection(self.visible, region)
        return replace(self._select(part.inside), visible=visible, area_ha=self.area_ha * part.kept)

    def _select(self, keep: Bools) -> "View":
        return replace(
            self,
            outlines=self.outlines[keep],
            row=self.row[keep],
            lonlat=self.lonlat[keep],
            scores=self.scores.take(keep),
            class_name=self.class_name[keep],
            detected=self.detected[keep],
        )

    def joined(self, other: "View") -> "View":
        """A mosaic: this view, and of the other what lies outside of this one's visible part.

        What stands on the seam may be boxed in both, whole and cut, with a centre on either side: it counts once.
        """
        outside = ~np.asarray(shapely.contains_xy(self.visible, other.lonlat), dtype=bool)
        extra = other._select(outside)
        extra = extra._select(~_boxed_in(extra.outlines, self.outlines))
        visible = shapely.union(self.visible, other.visible)
        growth = float(shapely.area(visible) / shapely.area(self.visible))
        return replace(
            self,
            observed=min(1.0, self.observed * growth),
            visible=visible,
            area_ha=self.area_ha * growth,
            looks=np.vstack([self.looks, other.looks]),
            outlines=np.r_[self.outlines, extra.outlines],
            row=np.r_[self.row, extra.row],
            lonlat=np.vstack([self.lonlat, extra.lonlat]),
            scores=self.scores.joined(extra.scores),
            class_name=np.r_[self.class_name, extra.class_name],
            detected=np.r_[self.detected, extra.detected],
        )


@dataclass(frozen=True)
class Sighting:
    """One facility on one date.

    Attributes:
        facility_id: the facility.
        date: the date, UTC.
        views: the best view first; more than one where scenes minutes apart show the same area.
        n_scenes: scenes that the views are made of.
        flags: what the reader must know of this date.
        hidden_tracks: the facility's track lines outside of the visible part; None where that is not known.
    """

    facility_id: str
    date: date
    views: tuple[View, ...]
    n_scenes: int
    flags: tuple[str, ...]
    hidden_tracks: BaseGeometry | None = None

    @property
    def observed(self) -> float:
        """Visible share of the facility's area."""
        return self.views[0].observed

    @property
    def visible(self) -> BaseGeometry:
        """Visible part of the facility."""
        return self.views[0].visible

    @property
    def is_full(self) -> bool:
        """Whether the facility was seen whole, but for slivers."""
        return self.observed >= FULLY_SEEN

    def within(self, region: BaseGeometry) -> "Sighting":
        """The sighting cut to a region."""
        return replace(self, views=tuple(view.within(region) for view in self.views))


def is_any(class_name: npt.NDArray[np.object_], names: Collection[str]) -> Bools:
    """(D,) which are of these few classes; sooner than `numpy.isin`."""
    found = np.zeros(class_name.shape, dtype=bool)
    for name in names:
        found |= class_name == name
    return found


def find_views(detections: pd.DataFrame, scenes: pd.DataFrame, table: ClassTable) -> dict[str, list[View]]:
    """Views of each facility that saw any of it.

    Args:
        detections: the contract's table; geometry may be null.
        scenes: one row per scene and facility.
        table: the classes; the domain check looks at the sizes and scores of the rail vehicles.

    Raises:
        UsageError: a table lacks a column, since an earlier version made it.
    """
    need_columns("scenes.parquet", scenes, sorted(PICTURE))
    places = detections.groupby(["scene_id", "facility_id"]).indices
    outlines = _outlines(detections)
    lonlat = _centres(outlines)
    score = detections["score"].to_numpy(dtype=np.float64)
    codes, names = pd.factorize(detections["class"])
    class_name = np.asarray(names, dtype=object)[codes]  # one string for each class, not for each detection
    detected = detections["detected"].to_numpy(dtype=bool)
    sides_m = detections[["length_m", "width_m"]].to_numpy(dtype=np.float64)
    scores = ClassScores.read(detections, table.names)
    is_rail = is_any(class_name, table.families["rail_vehicle"])
    views: dict[str, list[View]] = {}
    for record in scenes.to_dict("records"):
        facility_id, observed = str(record["facility_id"]), float(record["observed_fraction"])
        if not observed > 0:
            continue
        row = np.asarray(places.get((str(record["scene_id"]), facility_id), []), dtype=np.intp)
        rail, visible, area_ha = row[is_rail[row]], record.get("geometry"), visible_ha(record)
        found = object_values(score[rail], sides_m[rail], detected[rail], area_ha)
        scene_id, acquired = str(record["scene_id"]), pd.Timestamp(record["acquired"]).to_pydatetime()
        stem = Path(scene_id.rpartition("-")[0])
        views.setdefault(facility_id, []).append(
            View(
                scene_id=scene_id,
                acquired=acquired,
                is_disputed=date_in_name(stem, acquired, str(record.get("acquired_source"))) is not None,
                observed=min(1.0, observed),
                visible=visible if isinstance(visible, BaseGeometry) else shapely.Polygon(),
                area_ha=area_ha,
                scene_metadata=scene_metadata(record),
                looks=np.r_[picture_values(record), found][None],
                cloud_cover=0.0 if record.get("cloud_mask") else _number(record.get("cloud_cover"), 0.0),
                outlines=outlines[row],
                row=row,
                lonlat=lonlat[row],
                scores=scores.take(row),
                class_name=class_name[row],
                detected=detected[row],
            )
        )
    return views


def scene_metadata(record: Mapping[Hashable, Any]) -> Floats:
    """(K - 1,) those of `METADATA` but for the density, of a row of the scenes table; NaN where missing.

    A sun below the horizon is that of a scene whose hour is unknown: missing too.
    """
    values = np.array([_number(record.get(name), float("nan")) for name in _METADATA])
    sun = METADATA.index("sun_elevation_deg")
    values[sun] = values[sun] if values[sun] > 0 else np.nan
    return values


def picture_values(record: Mapping[Hashable, Any]) -> Floats:
    """(P,) what `domain.PICTURE` names, of a row of the scenes table; NaN where missing."""
    known = dict(zip(_METADATA, scene_metadata(record).tolist(), strict=True))
    return np.array([known.get(name, _number(record.get(name), float("nan"))) for name in PICTURE])


def visible_ha(record: Mapping[Hashable, Any]) -> float:
    """Visible area of a row of the scenes table in hectares; without georeference that share of the image."""
    visible = record.get("geometry")
    if isinstance(visible, BaseGeometry) and not visible.is_empty:
        return _geodesic_ha(shapely.to_wkb(visible))
    pixels = float(record["width"]) * float(record["height"]) * float(record["observed_fraction"])
    return pixels * float(record["gsd_m"]) ** 2 / 1e4


@lru_cache(maxsize=1024)
def _geodesic_ha(outline: bytes) -> float:
    """Area of a geometry in WKB: most dates of a facility show the same part of it, all."""
    polygons = shapely.orient_polygons(shapely.from_wkb(outline))  # else holes may be added
    return abs(float(GEOD.geometry_area_perimeter(polygons)[0])) / 1e4


def find_sightings(
    views: Mapping[str, list[View]], same_time_minutes: float, tracks: Tracks | None = None
) -> dict[str, list[Sighting]]:
    """Sightings of each facility in order of date.

    Args:
        views: by facility.
        same_time_minutes: scenes closer in time than this saw the same cars.
        tracks: by facility, where they are known.
    """
    found: dict[str, list[Sighting]] = {}
    for facility_id, seen in views.items():
        by_date: dict[date, list[View]] = {}
        for view in seen:
            by_date.setdefault(view.acquired.date(), []).append(view)
        lines = (tracks or {}).get(facility_id)
        found[facility_id] = [
            _with_tracks(_sighting(facility_id, day, by_date[day], same_time_minutes), lines) for day in sorted(by_date)
        ]
    return found


def _with_tracks(sighting: Sighting, lines: BaseGeometry | None) -> Sighting:
    if lines is None or sighting.visible.is_empty:
        return sighting
    return replace(sighting, hidden_tracks=lines.difference(sighting.visible))


def _sighting(facility_id: str, day: date, views: list[View], same_time_minutes: float) -> Sighting:
    views = sorted(views, key=lambda view: view.scene_id)
    order = best_first(
        np.array([view.observed for view in views]), np.array([view.scene_metadata[1] for view in views])
    )
    best = views[order[0]]
    together = [
        views[i] for i in order if abs((views[i].acquired - best.acquired).total_seconds()) <= 60 * same_time_minutes
    ]
    flags = [] if len(together) == len(views) else ["other_times_unused"]
    used, seen = _combined(together)
    if seen[0].observed < FULLY_SEEN:
        flags.append("partial")
    if max(view.cloud_cover for view in used) > _CLOUDY:  # what no mask leaves out counts as visible
        flags.append("cloud")
    if any(view.is_disputed for view in used):
        flags.append("date_disputed")
    if best.visible.is_empty:
        flags += ["gsd_stated"] + (["scenes_left_out"] if len(used) < len(together) else [])
    return Sighting(facility_id, day, seen, len(used), tuple(flags))


def _combined(views: list[View]) -> tuple[list[View], tuple[View, ...]]:
    """Which views of one time are of use, and what they show: side by side where they show the same, else one mosaic.

    The best one's footprint is looked at where all together show no more than that, but for slivers. Pictures without
    georeference that show a part each may show different parts: the best one alone is of use.
    """
    best = views[0]
    if best.visible.is_empty:
        used = [best, *(view for view in views[1:] if min(view.observed, best.observed) >= FULLY_SEEN)]
        return used, tuple(used)
    union = shapely.union_all([view.visible for view in views])
    if shapely.area(union) * FULLY_SEEN <= shapely.area(best.visible):
        used = [view for view in views if view.part_in(best.visible).share >= FULLY_SEEN]
        return used, tuple(used)
    mosaic = best
    for view in views[1:]:
        mosaic = mosaic.joined(view)
    return views, (mosaic,)


def _outlines(detections: pd.DataFrame) -> npt.NDArray[np.object_]:
    """(T,) boxes, None without georeference."""
    if "geometry" not in detections:
        return np.full(len(detections), None, dtype=object)
    return np.asarray(detections["geometry"], dtype=object)


def _boxed_in(boxes: npt.NDArray[np.object_], others: npt.NDArray[np.object_]) -> Bools:
    """(N,) whether a box shares half of itself, or of the other, with one of the others."""
    mine, theirs = shapely.STRtree(others).query(boxes, predicate="intersects")
    least = np.minimum(shapely.area(boxes[mine]), shapely.area(others[theirs]))
    shared = shapely.area(shapely.intersection(boxes[mine], others[theirs])) >= _SAME_BOX * least
    return np.isin(np.arange(len(boxes)), mine[shared])


def _centres(outlines: npt.NDArray[np.object_]) -> Floats:
    centre = shapely.centroid(outlines)
    return np.column_stack([shapely.get_x(centre), shapely.get_y(centre)]).astype(np.float64)


def _number(value: object, missing: float) -> float:
    number = float(value) if isinstance(value, int | float | np.number) else float("nan")
    return missing if np.isnan(number) else number
