"""Pixels that are not square on the ground: grids of equal degrees, away from the equator."""

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import from_origin

from detector.geometry import Floats, corners_from_xywhr
from detector.pixels.georef import metres_per_degree
from tests.support import placed, yard
from tests.training.formats.fakes import FEW, hulls, iou
from training.annotated import AnnotatedScene
from training.classes import Vocabulary
from training.formats import read
from training.formats.annotations import Drawn, checked
from training.formats.pictures import open_picture
from training.tiles import Truth, to_model

WORDS = Vocabulary.of("polygons")
STEP_DEG = 0.3 / 111_320
LENGTH_M, WIDTH_M = 15.0, 3.0


def picture_at(path: Path, latitude: float, size_px: tuple[int, int] = (600, 400)) -> Floats:
    """A picture of square degrees whose upper edge is at a latitude; returns metres a pixel, x and y, in its middle."""
    width, height = size_px
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=1, dtype="uint8", crs="EPSG:4326",
        transform=from_origin(10, latitude, STEP_DEG, STEP_DEG),
    ) as file:  # fmt: skip
        file.write(np.full((height, width), 100, dtype=np.uint8), 1)
    return STEP_DEG * metres_per_degree(latitude - height / 2 * STEP_DEG)


def outline(corners: Floats) -> Floats:
    """The same rectangle with a fifth point on one side."""
    return np.vstack([corners[:1], corners[:2].mean(axis=0), corners[1:]])


@FEW
@given(st.floats(40, 60), st.floats(0, math.pi, exclude_max=True), st.booleans())
def test_wagons_at_any_heading_come_back_on_the_ground(latitude: float, heading: float, five: bool) -> None:
    """Law: a drawn rectangle of the ground, four corners or an outline, is that rectangle again, there and in tiles."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "a.tif"
        gsd_m = picture_at(path, latitude)
        wagon = corners_from_xywhr(np.array([[*(gsd_m * (300, 200)), LENGTH_M, WIDTH_M, heading]]))
        points = outline(wagon[0]) if five else wagon[0]
        found, faults = checked(open_picture(path), path, [Drawn("railcar", points / gsd_m, 1)], WORDS)
        assert not faults
        assert iou(found.corners_px * gsd_m, wagon)[0] > 0.999
        truth = Truth.of(found, (gsd_m[0], gsd_m[1]))
        assert iou(to_model(truth.corners_px, gsd_m[0], gsd_m[1], 0.3) * 0.3, wagon)[0] > 0.999


@pytest.mark.parametrize("latitude", [0.0, 40.0, 50.0, 60.0])
@pytest.mark.parametrize("angle_deg", [12.0, 35.0, 60.0, 110.0, 155.0])
def test_hulls_become_wagons_of_the_ground(tmp_path: Path, latitude: float, angle_deg: float) -> None:
    """xView boxes, in whole pixels, around two strings in a picture that shows nothing."""
    boxes, _ = placed(yard(2, 6, angle_deg=angle_deg, gsd_m=1.0, length_m=LENGTH_M, width_m=WIDTH_M), (10.0, 10.0))
    (tmp_path / "train_images").mkdir()
    gsd_m = picture_at(tmp_path / "train_images" / "1.tif", latitude, (900, 450))
    features = [
        {"type": "Feature", "geometry": None, "properties": {
            "bounds_imcoords": ",".join(f"{value:.0f}" for value in hull / np.tile(gsd_m, 2)),
            "type_id": 35, "image_id": "1.tif",
        }}
        for hull in hulls(boxes)
    ]  # fmt: skip
    content = {"type": "FeatureCollection", "features": features}
    (tmp_path / "xView_train.geojson").write_text(json.dumps(content))
    (found,), faults = read(tmp_path)
    assert not faults
    assert not found.axis_aligned.any()
    assert iou(found.corners_px * gsd_m, corners_from_xywhr(boxes)).min() > 0.8


def test_an_annotated_scene_keeps_them(tmp_path: Path) -> None:
    gsd_m = picture_at(tmp_path / "a.tif", 60.0)
    wagon = corners_from_xywhr(np.array([[*(gsd_m * (300, 200)), LENGTH_M, WIDTH_M, 0.6]]))
    properties = {"class": "railcar", "corners_px": (wagon[0] / gsd_m).ravel().tolist()}
    features = [{"type": "Feature", "geometry": None, "properties": properties}]
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    scene = AnnotatedScene.read(tmp_path / "a.tif")
    assert iou(scene.objects.corners_px * gsd_m, wagon)[0] > 0.999


@pytest.mark.parametrize("latitude", [0.0, 60.0])
def test_the_sides_of_a_pixel(tmp_path: Path, latitude: float) -> None:
    gsd_m = picture_at(tmp_path / "a.tif", latitude)
    picture = open_picture(tmp_path / "a.tif")
    assert picture.gsd_m is not None
    assert np.array(picture.pixel_sides) * picture.gsd_m == pytest.approx(gsd_m, rel=1e-4)
    assert picture.with_gsd(5.0) == picture
