"""Partly seen facilities, from tables to rows: shares, tracks, clouds, mosaics, and scenes unlike the calibration."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
import shapely.affinity
from shapely.geometry.base import BaseGeometry

from detector.config import class_table, count_config
from detector.counting.samples import Floats
from detector.tally.baseline import EyeCounts, baseline
from detector.tally.calibration_file import CalibrationFile
from detector.tally.counts import count_run
from detector.tally.estimates import Tally
from detector.tally.sightings import find_sightings, find_views
from detector.tracks import Tracks
from tests.simulated_run import (
    HEIGHT_DEG,
    LAT,
    LON,
    WIDTH_DEG,
    Tables,
    inside,
    join,
    outline,
    with_class_scores,
    yard_run,
)
from tests.simulation import World

EASY = World(facility_sd=0.05, scene_sd=0.1, string_sd=0.1, false_per_scene=2.0, recall_logit=3.0)
LAST = date(2023, 10, 5)
PAST = {date(2018, 3, 1) + timedelta(days=60 * i): 4 + 2 * (i % 9) for i in range(12)}


CLASSES = class_table()
FEWER = CLASSES.model_copy(update={"groups": {name: CLASSES.groups[name] for name in ("railcar", "locomotive")}})


def row(
    tables: Tables, calibration: CalibrationFile | None, group: str = "railcar", tracks: Tracks | None = None
) -> Mapping[str, Any]:
    """The last date's row."""
    counted = count_run(
        tables.detections,
        tables.scenes,
        calibration=calibration,
        history=None,
        config=count_config().model_copy(update={"draws": 300}),
        classes=CLASSES if group == "container" else FEWER,
        tracks=tracks,
    )
    counts = counted.counts
    (found,) = counts[(counts["date"] == LAST) & (counts["group"] == group)].to_dict("records")
    return {str(key): value for key, value in found.items()}


def yard(share: float, number: int = 60, past: Mapping[date, int] = PAST) -> Tables:
    return yard_run({**past, LAST: number}, np.random.default_rng(31), seen_share={LAST: share}, world=EASY)


def track(length_share: float) -> BaseGeometry:
    """A track along the yard, from its western end."""
    y = LAT + 0.3 * HEIGHT_DEG
    return shapely.MultiLineString([[(LON, y), (LON + length_share * WIDTH_DEG, y)]])


def test_hidden_tracks_cap_what_the_hidden_part_can_hold(calibration_file: CalibrationFile) -> None:
    tables = yard(0.85)
    free = row(tables, calibration_file)
    # 5 % of the yard's 837 m lie beyond what is seen: room for four cars.
    capped = row(tables, calibration_file, tracks={"yard": track(0.9)})
    assert free["hi95"] > capped["hi95"]
    assert free["seen_count"] == capped["seen_count"]
    assert capped["count"] <= capped["seen_count"] + 4
    assert "track_cap" in capped["flags"].split(";")
    assert "track_cap" not in free["flags"].split(";")


def test_long_hidden_tracks_change_nothing(calibration_file: CalibrationFile) -> None:
    tables = yard(0.85, number=10)
    many = shapely.union_all([shapely.affinity.translate(track(1.0), 0, 0.01 * i * HEIGHT_DEG) for i in range(40)])
    free, roomy = (row(tables, calibration_file, tracks=tracks) for tracks in (None, {"yard": many}))
    assert free["hi95"] == roomy["hi95"]
    assert free["count"] == roomy["count"]
    assert "track_cap" not in roomy["flags"]


def test_no_hidden_track_means_no_hidden_car(calibration_file: CalibrationFile) -> None:
    found = row(yard(0.85), calibration_file, tracks={"yard": track(0.8)})
    assert found["count"] == found["seen_count"]
    assert found["lo95"] <= found["seen_count"] <= found["hi95"]


def test_tracks_do_not_bind_what_stands_off_rail(calibration_file: CalibrationFile) -> None:
    free, told = (row(yard(0.85), calibration_file, "container", tracks) for tracks in (None, {"yard": track(0.8)}))
    assert free["hi95"] == told["hi95"] > 0
    other = row(yard(0.85), calibration_file, tracks={"elsewhere": track(0.8)})
    assert other["hi95"] == row(yard(0.85), calibration_file)["hi95"]


def bare(tables: Tables) -> Tables:
    """The same without georeference."""
    return Tables(
        tables.detections.set_geometry([None] * len(tables.detections), crs="EPSG:4326"),
        tables.scenes.set_geometry([None] * len(tables.scenes), crs="EPSG:4326"),
        {},
    )


@pytest.mark.parametrize(("share", "flag"), [(0.3, "at_least"), (0.6, "no_estimate")])
def test_without_georeference_the_history_tells_no_share(
    calibration_file: CalibrationFile, share: float, flag: str
) -> None:
    found = row(bare(yard(share)), calibration_file)
    assert {flag, "partial", "no_common_footprint"} <= set(found["flags"].split(";"))
    assert np.isnan(found["count"])


def test_an_unlike_scene_widens_partly_seen_rows_too(calibration_file: CalibrationFile) -> None:
    tables = yard(0.85)
    is_last = tables.scenes["acquired"].dt.date == LAST
    coarse = Tables(
        tables.detections, tables.scenes.assign(gsd_m=tables.scenes["gsd_m"].where(~is_last, 0.9)), tables.truth
    )
    plain, unlike = row(tables, calibration_file), row(coarse, calibration_file)
    assert {"partial", "domain:gsd_m", "insured"} <= set(unlike["flags"].split(";"))
    assert unlike["hi95"] - unlike["lo95"] > plain["hi95"] - plain["lo95"]
    assert unlike["seen_hi95"] - unlike["seen_lo95"] > plain["seen_hi95"] - plain["seen_lo95"]
    least = row(yard(0.3), calibration_file)
    assert "insured" not in least["flags"]


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_unlike_scenes_in_the_history_are_insured_too(calibration_file: CalibrationFile, share: float) -> None:
    tables = yard(share)
    is_past = tables.scenes["acquired"].dt.date < LAST
    coarse = tables.scenes.assign(gsd_m=tables.scenes["gsd_m"].where(~is_past, 0.9))

    def widths(scenes: gpd.GeoDataFrame) -> Floats:
        views = find_views(tables.detections, scenes, CLASSES)
        seen = find_sightings(views, 10)["yard"]
        tally = Tally("railcar", CLASSES.groups["railcar"], calibration_file.counter("railcar"), 300, 0, 0.4, True)
        counts = baseline(seen[-1], seen[:-1], EyeCounts(), tally).counts
        return np.asarray(counts.high - counts.low)

    plain, unlike = widths(tables.scenes), widths(coarse)
    assert (unlike >= plain).all()
    assert (unlike > plain).sum() > len(PAST) / 2


def test_declared_clouds_are_flagged_unless_a_mask_leaves_them_out(calibration_file: CalibrationFile) -> None:
    tables = yard(1.0)
    cloudy = tables.scenes.assign(cloud_cover=0.3)
    masked = cloudy.assign(cloud_mask="yard_udm2.tif")
    flags = [row(Tables(tables.detections, s, {}), calibration_file)["flags"].split(";") for s in (cloudy, masked)]
    assert "cloud" in flags[0]
    assert "cloud" not in flags[1]


@pytest.mark.parametrize(("source", "days", "is_told"), [("tag", 90, True), ("tag", 1, False), ("manifest", 90, False)])
def test_a_tag_against_the_name_of_its_file_is_flagged(
    calibration_file: CalibrationFile, source: str, days: int, is_told: bool
) -> None:
    tables, told = yard(1.0), f"yard_{LAST + timedelta(days=days):%Y%m%d}-0123abcd"
    named = {tables.scenes["scene_id"].iloc[-1]: told}
    scenes, found = (table.replace({"scene_id": named}) for table in (tables.scenes, tables.detections))
    flags = row(Tables(found, scenes.assign(acquired_source=source), {}), calibration_file)["flags"].split(";")
    assert ("date_disputed" in flags) == is_told


def test_where_trains_may_have_moved_the_best_scene_alone_counts(calibration_file: CalibrationFile) -> None:
    tables = yard(1.0)
    last = tables.scenes.iloc[[-1]]
    found = tables.detections[tables.detections["scene_id"] == last["scene_id"].iloc[0]]
    past = tables.detections[tables.detections["acquired"].dt.date < LAST]

    def part(name: str, region: BaseGeometry, hours: float) -> Tables:
        when = last["acquired"].iloc[0] + timedelta(hours=hours)
        scene = last.assign(scene_id=name, acquired=when, observed_fraction=region.area / outline().area)
        objects = inside(found, region).assign(scene_id=name, acquired=when)
        return Tables(objects, scene.set_geometry([region], crs="EPSG:4326"), {})

    def both(hours: float) -> Mapping[str, Any]:
        west, east = part("west", outline(0.6), 0), part("east", outline().difference(outline(0.5)), hours)
        return row(join([Tables(past, tables.scenes.iloc[:-1], {}), west, east]), calibration_file)

    together, apart = both(0.1), both(5)
    assert together["observed_fraction"] == pytest.approx(1, abs=0.01)
    assert together["n_scenes"] == 2
    assert apart["observed_fraction"] == pytest.approx(0.6)
    assert apart["n_scenes"] == 1
    assert "other_times_unused" in apart["flags"].split(";")
    assert apart["seen_count"] < together["seen_count"]


def test_a_car_on_the_seam_of_a_mosaic_counts_once() -> None:
    def part(name: str, region: BaseGeometry, cars: list[BaseGeometry]) -> Tables:
        tables = yard_run({LAST: 1}, np.random.default_rng(2), world=EASY)
        scene = tables.scenes.assign(scene_id=name, observed_fraction=region.area / outline().area)
        columns = {"scene_id": name, "facility_id": "yard", "class": "railcar", "score": 0.9, "detected": True}
        boxes = gpd.GeoDataFrame(geometry=cars, crs="EPSG:4326").assign(length_m=15.0, width_m=3.0, **columns)
        return Tables(with_class_scores(boxes), scene.set_geometry([region], crs="EPSG:4326"), {})

    def car(middle: float, length: float) -> BaseGeometry:
        """A car along the yard; places and lengths in shares of its length."""
        x, y, half = LON + middle * WIDTH_DEG, LAT + 0.3 * HEIGHT_DEG, 0.5 * length * WIDTH_DEG
        return shapely.box(x - half, y, x + half, y + 0.00003)

    # On the seam at 0.6, a car from 0.595 to 0.613: the western scene sees the end of it, the eastern one all.
    west = part("a-west", outline(0.6), [car(0.5, 0.018), car(0.5975, 0.005)])
    east = part("b-east", outline().difference(outline(0.55)), [car(0.604, 0.018), car(0.624, 0.018)])
    both = join([west, east])
    views = find_views(both.detections, both.scenes, CLASSES)
    (sighting,) = find_sightings(views, 10)["yard"]
    assert sighting.is_full
    assert sighting.views[0].n_detected(["railcar"]) == 3
