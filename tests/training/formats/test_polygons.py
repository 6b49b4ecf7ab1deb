"""Our own polygons in any CRS, and truth files as the common form of all formats."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.geometry import Floats, corners_from_xywhr
from tests.training.formats.fakes import FEW, annotations_of, assert_same, iou, photo, rows, scene
from training.classes import Vocabulary, class_index
from training.formats import polygons
from training.formats.pictures import open_picture

WORDS = Vocabulary.of("polygons")
BOXES = corners_from_xywhr(np.array([[120, 200, 50, 10, 0.4], [250, 220, 60, 11, 2.0]]))


def feature(ring: list[Any] | None, **properties: Any) -> dict[str, Any]:  # noqa: ANN401
    geometry = None if ring is None else {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "properties": {"class": "railcar"} | properties, "geometry": geometry}


def rings(image: Path, corners: Floats, crs: str) -> list[list[Any]]:
    """Closed rings in a CRS around corners in pixels."""
    transform = open_picture(image).transform
    result = []
    for box in corners:
        x, y = transform @ (box[:, 0], box[:, 1])
        places = np.column_stack(pyproj.Transformer.from_crs("EPSG:32633", crs, always_xy=True).transform(x, y))
        result.append([*places.tolist(), places[0].tolist()])
    return result


def write(path: Path, features: list[Any], crs: str | None = None) -> Path:
    member = {"crs": {"type": "name", "properties": {"name": crs}}} if crs else {}
    path.write_text(json.dumps({"type": "FeatureCollection", **member, "features": features}))
    return path


@pytest.mark.parametrize("crs", [None, "EPSG:4326", "urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:EPSG::3857"])
def test_polygons_in_any_crs(tmp_path: Path, crs: str | None) -> None:
    image = scene(tmp_path / "yard.tif")
    drawn = rings(image, BOXES, "EPSG:3857" if crs and "3857" in crs else "EPSG:4326")
    source = write(tmp_path / "yard.geojson", [feature(ring, visible=0.5) for ring in drawn], crs)
    (found,), faults = polygons.read(tmp_path, WORDS)
    assert not faults
    assert found.source == source
    assert found.gsd_m == pytest.approx(0.3, rel=1e-3)
    assert found.line.tolist() == [1, 2]
    assert found.visible.tolist() == [0.5, 0.5]
    np.testing.assert_allclose(found.corners_px, BOXES, atol=0.01)


def test_corners_in_pixels_go_before_the_polygon(tmp_path: Path) -> None:
    photo(tmp_path / "yard.png")
    write(tmp_path / "yard.geojson", [feature(None, corners_px=BOXES[0].ravel().tolist())])
    (found,), faults = polygons.read(tmp_path / "yard.geojson", WORDS, 0.45)
    assert not faults
    assert found.corners_px.tolist() == BOXES[:1].tolist()
    assert found.gsd_m == 0.45


def test_many_points_become_one_box_and_each_part_its_own(tmp_path: Path) -> None:
    image = scene(tmp_path / "yard.tif")
    middles = (BOXES + np.roll(BOXES, -1, axis=1)) / 2
    dense = np.stack([BOXES, middles], axis=2).reshape(2, 8, 2)
    parts = {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings(image, dense, "EPSG:4326")]}
    write(tmp_path / "yard.geojson", [feature(None, visible=0.5) | {"geometry": parts}])
    (found,), faults = polygons.read(tmp_path, WORDS)
    assert not faults
    assert found.line.tolist() == [1, 1]
    assert found.visible.tolist() == [0.5, 0.5]
    assert iou(found.corners_px, BOXES) == pytest.approx([1, 1], abs=1e-3)


def test_marks_mean_what_they_say(tmp_path: Path) -> None:
    photo(tmp_path / "yard.png")
    corners = BOXES[0].ravel().tolist()
    words = ["false", "True", 0, 1, None, "no"]
    source = write(tmp_path / "yard.geojson", [feature(None, corners_px=corners, ignore=word) for word in words])
    (found,), faults = polygons.read(source, WORDS, 0.45)
    assert not faults
    assert found.ignore.tolist() == [False, True, False, True, False, False]
    write(source, [feature(None, corners_px=corners, axis_aligned="maybe")])
    (found,), faults = polygons.read(source, WORDS, 0.45)
    assert len(found) == 0
    assert "axis_aligned must be true or false. Received: 'maybe'" in faults[0].reason


def test_places_that_are_none_are_listed(tmp_path: Path) -> None:
    image = scene(tmp_path / "yard.tif")
    (utm,) = rings(image, BOXES[:1], "EPSG:32633")
    (good,) = rings(image, BOXES[:1], "EPSG:4326")
    broken = [good[0], [float("nan"), 45.0], *good[2:]]
    empty = {"geometry": {"type": "Polygon", "coordinates": []}}
    write(tmp_path / "yard.geojson", [feature(utm), feature(broken), feature(good) | empty])
    (found,), faults = polygons.read(tmp_path, WORDS)
    assert len(found) == 0
    for fault, word in zip(faults, ["no longitude and latitude", "not finite", "an empty Polygon"], strict=True):
        assert word in fault.reason


def test_faults_name_file_and_place(tmp_path: Path) -> None:
    image = scene(tmp_path / "yard.tif")
    ring = rings(image, BOXES, "EPSG:4326")[0]
    point = {"geometry": {"type": "Point", "coordinates": [15.0, 45.1]}}
    wrong = [
        feature(ring) | {"properties": {}},
        feature(ring, **{"class": "wagon"}),
        feature(None),
        feature(ring) | point,
        feature([[0.0, 0.0], [1e-4, 0.0], [1e-4, 1e-5], [0.0, 0.0]]),
        feature(ring, corners_px=[1, 2, 3]),
        feature(ring, visible="most"),
        "nothing",
    ]
    source = write(tmp_path / "yard.geojson", wrong)
    (found,), faults = polygons.read(tmp_path, WORDS)
    assert [(fault.file, fault.line) for fault in faults] == [(source, place) for place in range(1, 9)]
    words = ["no property `class`", "'wagon'", "no geometry", "a Point", "outside", "3 numbers", "most", "TypeError"]
    for fault, word in zip(faults, words, strict=True):
        assert word in fault.reason
    assert found.ignore.tolist() == [True]


@pytest.mark.parametrize(
    ("text", "reason"), [("[]", "not JSON"), ("{}", "no GeoJSON"), ('{"crs": 3, "features": []}', "CRS is unknown")]
)
def test_what_is_no_collection_is_listed(tmp_path: Path, text: str, reason: str) -> None:
    scene(tmp_path / "yard.tif")
    (tmp_path / "yard.geojson").write_text(text)
    found, faults = polygons.read(tmp_path / "yard.geojson", WORDS)
    assert not found
    assert reason in faults[0].reason


def test_facilities_are_no_annotations_and_truth_goes_before_plain(tmp_path: Path) -> None:
    scene(tmp_path / "yard.tif")
    write(tmp_path / "facilities.geojson", [])
    write(tmp_path / "yard.geojson", [feature(None, corners_px=BOXES[0].ravel().tolist())])
    write(tmp_path / "yard.truth.geojson", [])
    write(tmp_path / "else.geojson", [])
    (found,), faults = polygons.read(tmp_path, WORDS)
    assert len(found) == 0
    assert [fault.file.name for fault in faults] == ["else.geojson"]


@pytest.mark.parametrize("georeferenced", [True, False])
@FEW
@given(drawn=rows, data=st.data())
def test_as_truth_and_read_again(georeferenced: bool, drawn: list[tuple[float, ...]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = scene(folder / "yard_20240102.tif") if georeferenced else photo(folder / "yard_20240102.png")
        expected = annotations_of(image, drawn)
        upright = data.draw(st.lists(st.booleans(), min_size=len(drawn), max_size=len(drawn)))
        expected = type(expected)(**(vars(expected) | {"axis_aligned": np.array(upright, dtype=bool)}))
        path = polygons.as_truth(expected, folder)
        (found,), faults = polygons.read(path, WORDS, expected.gsd_m)
        assert not faults
        assert_same(found, expected, 0.00051)
        stated = [item["properties"]["source"] for item in json.loads(path.read_text())["features"]]
        assert stated == [f"{expected.source}:{line}" for line in expected.line]


def test_truth_also_has_the_polygons_on_the_ground(tmp_path: Path) -> None:
    image = scene(tmp_path / "yard.tif")
    expected = annotations_of(image, [(120, 200, 50, 10, 0.4, class_index("railcar"), False)])
    path = polygons.as_truth(expected, tmp_path / "out")
    content = json.loads(path.read_text())
    del content["features"][0]["properties"]["corners_px"]
    (tmp_path / "yard.geojson").write_text(json.dumps(content))
    (found,), _ = polygons.read(tmp_path / "yard.geojson", WORDS)
    assert iou(found.corners_px, expected.corners_px)[0] > 0.99


@pytest.mark.parametrize("written", [str, json.dumps, lambda corners: str(np.array(corners))])
def test_corners_that_became_a_text_are_read(tmp_path: Path, written: Callable[[list[float]], str]) -> None:
    photo(tmp_path / "yard.png")
    stated = written(BOXES[0].round(3).ravel().tolist())
    write(tmp_path / "yard.geojson", [feature(None, corners_px=stated), feature(None, corners_px="1 2 much")])
    (found,), (fault,) = polygons.read(tmp_path, WORDS, 0.3)
    np.testing.assert_allclose(found.corners_px, BOXES[:1], atol=0.01)
    assert fault.reason == "could not convert string to float: 'much': left out"
