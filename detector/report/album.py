"""The pictures of each facility: which scenes to open, what to show, and what to say where one is gone."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import shapely
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from detector.errors import RailcarsError
from detector.pixels.georef import lonlat_to_scene_px
from detector.report import chips, framing
from detector.report.chips import Picture
from detector.report.evidence import Evidence
from detector.report.framing import Role, Shot
from detector.report.rows import CountRow, headline_row
from detector.scene import Scene
from detector.scenes import find_scenes

ANY_GSD_M = (0.01, 100.0)
RECENT = 3
"""Dates before the judged one that are shown for comparison."""


@dataclass(frozen=True)
class _Wish:
    """A picture wanted: a facility on a date, and the row of scenes.parquet that shows it best."""

    facility_id: str
    role: Role
    row: Mapping[Any, Any]

    @property
    def scene_id(self) -> str:
        return str(self.row["scene_id"])

    @property
    def date(self) -> dt.date:
        return pd.Timestamp(self.row["acquired"]).date()

    def missing(self, note: str) -> Picture:
        """The placeholder where the scene cannot be read."""
        shot = Shot(self.facility_id, self.scene_id, self.date, self.role, (0.0, 0.0, 0.0, 0.0))
        return Picture(shot, note=note)


def album(evidence: Evidence, facility_ids: Sequence[str], room_bytes: float) -> dict[str, tuple[Picture, ...]]:
    """Pictures of these facilities: overview and zooms of the judged date, the earlier maximum, the last few dates.

    A scene whose file is gone, changed or unreadable gives a picture without image, whose note says so.

    Args:
        evidence: the RUN folder.
        facility_ids: the facilities.
        room_bytes: bytes of the page that all encoded images together may take.
    """
    wishes = _wishes(evidence, facility_ids)
    scenes, notes = open_scenes(evidence.provenance, {wish.scene_id: wish.row for wish in wishes})
    boxes = evidence.detections(sorted(scenes))
    whole = _wholes(wishes)
    sittings = [
        _sitting(wish, scenes[wish.scene_id], boxes, whole[wish.facility_id])
        for wish in wishes
        if wish.scene_id in scenes
    ]
    share = chips.shares([shot for sitting in sittings for shot in sitting.shots], room_bytes)
    taken = {id(sitting.wish): [_take(sitting, shot, share[shot]) for shot in sitting.shots] for sitting in sittings}
    pictures: dict[str, list[Picture]] = {}
    for wish in wishes:
        found = taken[id(wish)] if id(wish) in taken else [wish.missing(notes[wish.scene_id])]
        pictures.setdefault(wish.facility_id, []).extend(found)
    return {facility_id: tuple(found) for facility_id, found in pictures.items()}


@dataclass(frozen=True)
class _Sitting:
    """All pictures to take of one facility in one scene: the whole first, then its zooms."""

    wish: _Wish
    scene: Scene
    boxes: pd.DataFrame
    outline_px: BaseGeometry
    shots: tuple[Shot, ...]


def _sitting(wish: _Wish, scene: Scene, boxes: pd.DataFrame, whole: BaseGeometry) -> _Sitting:
    mine = boxes[(boxes["scene_id"] == wish.scene_id) & (boxes["facility_id"].astype(str) == wish.facility_id)]
    base = framing.overview(wish.facility_id, scene, wish.date, wish.role, whole)
    zooms = framing.zooms(base, scene, chips.corners_of(mine)) if wish.role == "judged" else []
    return _Sitting(wish, scene, mine, _outline_px(scene, wish.row), (base, *zooms))


def _take(sitting: _Sitting, shot: Shot, max_bytes: float) -> Picture:
    frames = sitting.shots[1:] if shot is sitting.shots[0] else ()
    try:
        picture = chips.take(shot, sitting.scene, sitting.boxes, max_bytes=max_bytes)
        return chips.framed(picture, sitting.scene, outline_px=sitting.outline_px, frames=frames)
    except (OSError, RailcarsError) as error:
        return Picture(shot, note=f"the picture could not be read ({error})")


def _wishes(evidence: Evidence, facility_ids: Sequence[str]) -> list[_Wish]:
    best = _best_scenes(evidence.scenes, facility_ids)
    return [
        _Wish(facility_id, role, best[facility_id, date])
        for facility_id in facility_ids
        for date, role in _chosen_dates(evidence.counts[facility_id, "railcar"])
        if (facility_id, date) in best
    ]


def open_scenes(
    run: Mapping[str, Any], rows: Mapping[str, Mapping[Any, Any]]
) -> tuple[dict[str, Scene], dict[str, str]]:
    """The scenes of a run that are still where they were, and for the others a note.

    They are known by path and content: of scenes with the same name and content, only one has an id without its date,
    and which one that is depends on what is opened.

    Args:
        run: run.json.
        rows: by scene_id, its row of scenes.parquet.
    """
    entries: dict[str, list[Mapping[str, Any]]] = {scene_id: [] for scene_id in rows}
    for entry in run.get("inputs", ()):
        if entry.get("scene_id") in entries:
            entries[entry["scene_id"]].append(entry)
    notes = {
        scene_id: "its file is no longer where it was counted" if found else "its path is not on record"
        for scene_id, found in entries.items()
    }
    here = {i: found for i, found in entries.items() if found and all(Path(e["path"]).is_file() for e in found)}
    if not here:
        return {}, notes
    with TemporaryDirectory() as folder:
        manifest = Path(folder) / "manifest.csv"
        stated = [_stated(entry, rows[scene_id]) for scene_id, found in here.items() for entry in found]
        pd.DataFrame(stated).to_csv(manifest, index=False)
        stated_bands = (run.get("config") or {}).get("detect", {}).get("bands")
        bands = tuple(stated_bands) if stated_bands else None
        paths = [Path(entry["path"]) for entry in stated]
        survey = find_scenes(paths, manifest=manifest, bands=bands, gsd_limits_m=ANY_GSD_M)
    notes.update(dict.fromkeys(here, "its file has changed since it was counted"))
    known = {(entry["path"], entry.get("scene_sha256")): scene_id for scene_id, e in here.items() for entry in e}
    found = [(known.get((str(scene.paths[0]), scene.sha256), scene.scene_id), scene) for scene in survey.scenes]
    return {scene_id: replace(scene, scene_id=scene_id) for scene_id, scene in found if scene_id in rows}, notes


def _stated(entry: Mapping[str, Any], row: Mapping[Any, Any]) -> dict[str, Any]:
    """A manifest row that says of a file what the run knew of it from a manifest or a STAC item."""
    placed = row.get("geometry") is not None
    return {
        "path": entry["path"],
        "acquired": entry.get("acquired"),
        "sensor": row["sensor"],
        "gsd_m": None if placed else row["gsd_m"],
        "facility_id": None if placed else row["facility_id"],
    }


def _wholes(wishes: Sequence[_Wish]) -> dict[str, BaseGeometry]:
    """By facility, all that its pictures show of it (EPSG:4326): all are framed by the same ground."""
    parts: dict[str, list[BaseGeometry]] = {wish.facility_id: [] for wish in wishes}
    for wish in wishes:
        if (geometry := wish.row.get("geometry")) is not None:
            parts[wish.facility_id].append(geometry)
    return {facility_id: shapely.union_all(geometries) for facility_id, geometries in parts.items()}


def _outline_px(scene: Scene, row: Mapping[Any, Any]) -> BaseGeometry:
    """The visible outline of the facility in scene pixels; empty without georeference."""
    geometry = row.get("geometry")
    if scene.crs is None or geometry is None or geometry.is_empty:
        return Polygon()
    outline: BaseGeometry = shapely.transform(geometry, lambda points: lonlat_to_scene_px(scene, points))
    return outline


def _chosen_dates(rows: Sequence[CountRow]) -> list[tuple[dt.date, Role]]:
    """Dates worth a picture: the judged one, the largest count before it, and the last few."""
    judged = headline_row(list(rows))
    chosen: dict[dt.date, Role] = {judged.date: "judged"}
    earlier = [row for row in rows if row.date < judged.date and row.count is not None]
    if earlier:
        chosen[max(earlier, key=lambda row: (row.level, row.date)).date] = "maximum"
    others = [row.date for row in rows if row.date not in chosen]
    chosen.update(dict.fromkeys(others[-RECENT:], "recent"))
    order = {"judged": 0, "maximum": 1, "recent": 2}
    return sorted(chosen.items(), key=lambda item: (order[item[1]], -item[0].toordinal()))


def _best_scenes(scenes: pd.DataFrame, facility_ids: Sequence[str]) -> dict[tuple[str, dt.date], Mapping[Any, Any]]:
    """By facility and date the row that shows most of it, the finest one among equals."""
    if scenes.empty:
        return {}
    mine = scenes[scenes["facility_id"].astype(str).isin(list(facility_ids))]
    order = mine.sort_values(["observed_fraction", "gsd_m", "scene_id"], ascending=[False, True, True])
    days = pd.to_datetime(order["acquired"], utc=True).dt.date
    first = ~pd.DataFrame({"facility": order["facility_id"].astype(str), "day": days}).duplicated()
    best = order[first].to_dict("records")
    return {(str(row["facility_id"]), day): row for row, day in zip(best, days[first], strict=True)}
