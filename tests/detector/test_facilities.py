"""Facility polygons, their place in scenes, and the counts by eye that go with them."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine
from shapely.affinity import rotate
from shapely.geometry import MultiPolygon, Polygon, box

from detector.errors import UsageError
from detector.facilities import (
    Facility,
    distances_km,
    facility_in_scene,
    footprint,
    load_facilities,
    overlaps,
)
from detector.listing import covered_shares
from detector.pixels.georef import scene_px_to_lonlat
from detector.scene import Scene
from detector.scenes import find_scenes
from detector.tally.history import load_history
from tests.detector.imagery import UTM, picture, utm_grid, write_image

SQUARE = [[129.0, 40.0], [129.01, 40.0], [129.01, 40.01], [129.0, 40.01], [129.0, 40.0]]


def feature(ring: list[list[float]] | None = None, kind: str = "Polygon", **properties: object) -> dict[str, Any]:
    coordinates = SQUARE if ring is None else ring
    geometry = {"type": kind, "coordinates": [coordinates] if kind == "Polygon" else coordinates}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def geojson(folder: Path, *features: dict[str, Any]) -> Path:
    path = folder / "facilities.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def test_geojson_is_read_with_defaults(tmp_path: Path) -> None:
    path = geojson(tmp_path, feature(facility_id="n", name="North yard"), feature(facility_id=7))
    north, seven = load_facilities(path)
    assert (north.facility_id, north.name) == ("n", "North yard")
    assert (seven.facility_id, seven.name) == ("7", "7")
    assert north.area_m2 == pytest.approx(853.9 * 1110.4, rel=2e-3)


def test_other_crs_and_formats_are_read(tmp_path: Path) -> None:
    outline = box(500_000, 4_500_000, 503_000, 4_501_000)
    table = gpd.GeoDataFrame({"facility_id": ["a"]}, geometry=[outline], crs=UTM)
    table.to_file(tmp_path / "f.gpkg")
    (facility,) = load_facilities(tmp_path / "f.gpkg")
    assert facility.area_m2 == pytest.approx(3e6 / 0.9996**2, rel=1e-4)
    back = gpd.GeoSeries([facility.geometry], crs=4326).to_crs(UTM).iloc[0]
    assert back.symmetric_difference(outline).area < 1.0  # m2: the long edges stay straight


def test_several_parts_and_heights_are_read(tmp_path: Path) -> None:
    high = [[x, y, 12.0] for x, y in SQUARE]
    other = [[x + 0.02, y] for x, y in SQUARE]
    path = geojson(tmp_path, feature([[high], [other]], "MultiPolygon", facility_id="a"))  # type: ignore[list-item]
    (facility,) = load_facilities(path)
    assert isinstance(facility.geometry, MultiPolygon)
    assert not facility.geometry.has_z


BOW_TIE = [[129.0, 40.0], [129.01, 40.01], [129.01, 40.0], [129.0, 40.01], [129.0, 40.0]]
METRES = [[x * 4000, y * 1e5] for x, y in SQUARE]


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ([], "no feature"),
        ([feature(name="x")], "no property `facility_id`"),
        ([feature(facility_id="a"), feature(facility_id=None)], "feature 2 has no facility_id"),
        ([feature(facility_id="a"), feature(facility_id="a")], "feature 2 (facility_id 'a') repeats"),
        (
            [feature(facility_id="a"), feature(facility_id="all")],
            "feature 2 (facility_id 'all') is called like the sum",
        ),
        ([feature([], facility_id="a")], "empty geometry"),
        ([{"type": "Feature", "properties": {"facility_id": "a"}, "geometry": None}], "geometry"),
        ([feature([129.0, 40.0], "Point", facility_id="a")], "is a Point"),  # type: ignore[list-item]
        ([feature(BOW_TIE, facility_id="a")], "Self-intersection[129.005 40.005]"),
        ([feature(METRES, facility_id="a")], "no longitude and latitude"),
    ],
)
def test_a_facility_that_cannot_be_used_is_named(tmp_path: Path, features: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_facilities(geojson(tmp_path, *features))
    assert words in str(caught.value)
    assert caught.value.cure


def test_files_that_hold_no_facilities(tmp_path: Path) -> None:
    text = tmp_path / "text.geojson"
    text.write_text("not json")
    table = tmp_path / "table.csv"
    table.write_text("facility_id\na\n")
    for path in (tmp_path / "gone.geojson", text, table, tmp_path):
        with pytest.raises(UsageError):
            load_facilities(path)


def test_a_hole_is_no_area_whichever_way_it_runs(tmp_path: Path) -> None:
    hole = [[129.002, 40.002], [129.008, 40.002], [129.008, 40.008], [129.002, 40.008], [129.002, 40.002]]
    rings = ([SQUARE, hole], [SQUARE, hole[::-1]])
    features = [feature([part], "MultiPolygon", facility_id=str(i)) for i, part in enumerate(rings)]  # type: ignore[list-item]
    for found in load_facilities(geojson(tmp_path, *features)):
        assert found.area_m2 == pytest.approx(0.64 * 853.9 * 1110.4, rel=2e-3)


def facility(outline: Polygon, name: str = "a") -> Facility:
    return Facility(name, name, outline, 1.0)


@pytest.mark.parametrize(
    ("outline", "is_pair"),
    [
        (box(0, 0, 1, 1), True),  # the same again
        (box(0.4, 0.4, 0.6, 0.6), True),  # inside
        (box(0.98, 0, 2, 1), True),  # 2 %
        (box(0.995, 0, 2, 1), False),  # drawn by hand along the same fence
        (box(0.9, 0.9, 0.99, 5), True),  # little of the larger, more of the smaller
        (box(1, 0, 2, 1), False),
        (box(3, 0, 4, 1), False),
    ],
)
def test_facilities_that_share_ground_are_found(outline: Polygon, is_pair: bool) -> None:
    unit = facility(box(0, 0, 1, 1), "unit")
    far, other = facility(box(50, 50, 51, 51), "far"), facility(outline, "other")
    expected = (("other", "unit"),) if is_pair else ()
    assert overlaps([unit, far, other]) == overlaps([other, unit, far]) == expected


def test_few_facilities_share_nothing_and_many_are_all_named() -> None:
    assert overlaps([]) == overlaps([facility(box(0, 0, 1, 1))]) == ()
    three = [facility(box(0, 0, 1, 1), name) for name in "cab"]
    assert overlaps(three) == (("a", "b"), ("a", "c"), ("b", "c"))


@pytest.fixture(scope="module", params=["utm", "rotated", "geographic"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    grids = {
        "utm": (UTM, utm_grid(0.4)),
        "rotated": (UTM, utm_grid(0.4, 30)),
        "geographic": ("EPSG:4326", Affine(3.6e-6, 0, 129, 0, -2.7e-6, 42)),
    }
    crs, transform = grids[request.param]
    folder = tmp_path_factory.mktemp("scene")
    write_image(folder / "yard_20231005.tif", picture(300, 400, 1), crs=crs, transform=transform)
    (found,) = find_scenes([folder]).scenes
    return found


def on_the_ground(scene: Scene, outline_px: Polygon) -> Polygon:
    return Polygon(scene_px_to_lonlat(scene, np.asarray(outline_px.exterior.coords)))


@settings(max_examples=30, deadline=None)
@given(
    x=st.floats(-300, 600),
    y=st.floats(-300, 500),
    w=st.floats(20, 800),
    h=st.floats(20, 800),
    a=st.floats(0, 90),
)
def test_a_facility_is_found_where_it_was_drawn(
    scene: Scene, *, x: float, y: float, w: float, h: float, a: float
) -> None:
    drawn = rotate(box(x - w / 2, y - h / 2, x + w / 2, y + h / 2), a)
    found = facility_in_scene(scene, facility(on_the_ground(scene, drawn)))
    frame = box(0, 0, scene.width, scene.height)
    shared = drawn.intersection(frame).area
    if shared > 1:  # the whole outline, also beyond the scene: what is visible of it is measured against it
        assert found.symmetric_difference(drawn).area < 5e-3 * drawn.length
    elif shared == 0:
        assert found.is_empty


def test_what_does_not_meet_the_scene_is_empty(scene: Scene) -> None:
    for outline in (box(0, 0, 1, 1), box(-129, 40, -128, 42), box(139, -41, 140, -40)):
        assert facility_in_scene(scene, facility(outline)).is_empty


def test_without_georeference_the_image_is_its_facility(scene: Scene) -> None:
    bare = dataclasses.replace(scene, crs=None, transform=Affine.identity(), facility_id="a")
    assert facility_in_scene(bare, facility(box(0, 0, 1, 1))).area == scene.width * scene.height
    assert facility_in_scene(bare, facility(box(0, 0, 1, 1), "b")).is_empty
    assert footprint(bare).is_empty
    assert distances_km([bare], [facility(box(0, 0, 1, 1))]) == {"a": 0.0}


@pytest.mark.parametrize(
    ("larger", "share"), [(0.3, 1.0), (1.0, 1.0), (1.04, 1.0), (1.06, 1 / 1.06), (2.0, 0.5), (8.0, 0.125)]
)
def test_a_picture_without_georeference_shows_no_more_than_its_own_area(
    scene: Scene, larger: float, share: float
) -> None:
    bare = dataclasses.replace(scene, crs=None, transform=Affine.identity(), facility_id="a")
    picture_m2 = scene.width * scene.height * scene.gsd_x_m * scene.gsd_y_m
    yard = dataclasses.replace(facility(box(0, 0, 1, 1)), area_m2=larger * picture_m2)
    assert facility_in_scene(bare, yard).contains(box(1, 1, scene.width - 1, scene.height - 1))
    assert covered_shares(bare, [yard]) == {"a": pytest.approx(share)}


def test_far_facilities_are_told(scene: Scene) -> None:
    area = footprint(scene)
    here = facility(area.buffer(-0.0001), "here")
    west, south, east, _ = area.bounds
    away = facility(box(west, south - 1.1, east, south - 1.0), "away")
    distances = distances_km([scene], [here, away])
    assert distances["here"] == 0
    assert distances["away"] == pytest.approx(111, abs=1.5)
    assert distances_km([], [here])["here"] == float("inf")


def test_covered_share_counts_footprint_and_nodata(tmp_path: Path) -> None:
    values = picture(100, 100, 1)
    values[:, :, :30] = 0
    write_image(tmp_path / "yard_20231005.tif", values, nodata=0)
    (scene,) = find_scenes([tmp_path]).scenes
    half_out = facility(on_the_ground(scene, box(50, 0, 150, 100)), "out")
    part_blank = facility(on_the_ground(scene, box(10, 0, 60, 100)), "blank")
    shares = covered_shares(scene, [half_out, part_blank, facility(box(0, 0, 1, 1), "away")])
    assert shares == {"out": pytest.approx(0.5, abs=0.01), "blank": pytest.approx(0.6, abs=0.01)}


def history(folder: Path, text: str) -> pd.DataFrame:
    path = folder / "history.csv"
    path.write_text(text)
    return load_history(path, [facility(box(0, 0, 1, 1), "a"), facility(box(0, 0, 1, 1), "b")])


def test_history_is_read_and_sorted(tmp_path: Path) -> None:
    table = history(tmp_path, "facility_id,date,count,lo,hi,note\nb,2022-01-02,4,,,\na,2021-05-06,20,18,22,fog\n\n")
    assert table["facility_id"].tolist() == ["a", "b"]
    assert table["date"].tolist() == [pd.Timestamp("2021-05-06"), pd.Timestamp("2022-01-02")]
    assert table["count"].tolist() == [20, 4]
    assert table["lo"].tolist()[0] == 18
    assert np.isnan(table["hi"].tolist()[1])
    assert history(tmp_path, "facility_id,date,count\n").empty
    assert history(tmp_path, "facility_id,date,count\na,2021-05-06,20000\n")["count"].tolist() == [20_000]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("c,2021-05-06,20,,", "history.csv:3: facility_id 'c' is not among the facilities"),
        ("a,6.5.2021,20,,", "history.csv:3: date '6.5.2021' is not a date"),
        ("a,2999-05-06,20,,", "in the future"),
        ("a,2021-05-06,many,,", "count 'many' is not a number of vehicles"),
        ("a,2021-05-06,-1,,", "'-1' is not a number"),
        ("a,2021-05-06,nan,,", "'nan' is not a number"),
        ("a,2021-05-06,,,", "has no count"),
        ("a,2021-05-06,20231005,,", "history.csv:3: count '20231005' is more vehicles than any yard holds"),
        ("a,2021-05-06,20,18,1e9", "history.csv:3: hi '1e9' is more vehicles"),
        ("a,2021-05-06,20,18,", "only one of lo and hi"),
        ("a,2021-05-06,20,21,25", "not between lo 21 and hi 25"),
        ("a,2021-01-01,20,,", "again, as in line 2"),
        ("a", "date '' is not a date"),
    ],
)
def test_a_wrong_history_row_is_named(tmp_path: Path, row: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        history(tmp_path, f"facility_id,date,count,lo,hi\na,2021-01-01,3,,\n{row}\n")
    assert words in str(caught.value)


def test_a_history_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column `count`"):
        history(tmp_path, "facility_id,date\na,2021-01-01\n")
    with pytest.raises(UsageError, match="cannot be read"):
        load_history(tmp_path / "gone.csv", [])
