"""Annotated scenes: read and written, cut into folds, resampled."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import InputRejected, UsageError
from detector.geometry import xywhr_from_corners
from tests.annotated import GSD_M, Wagon, annotated_scene
from training.annotated import AnnotatedScene, Objects
from training.evaluation.truthfile import read_truth
from training.folds import main, split

WAGONS = st.lists(
    st.builds(
        Wagon,
        x_px=st.floats(0, 239),
        y_px=st.floats(0, 639),
        length_m=st.floats(6.0, 26.0),
        angle=st.floats(-1.6, 1.6),
    ),
    max_size=25,
    unique_by=lambda wagon: (wagon.x_px, wagon.y_px),
)


def keys(objects: Objects, shift: tuple[float, float]) -> list[tuple[float, ...]]:
    """Objects by their corners in the frame of the whole scene."""
    return [tuple(np.round((corners + shift).ravel(), 6)) for corners in objects.corners_px]


@given(wagons=WAGONS, folds=st.integers(2, 4), wide=st.booleans())
@settings(max_examples=25, deadline=None)
def test_every_object_is_judged_once_or_cut(wagons: list[Wagon], folds: int, wide: bool) -> None:
    size = (640, 240) if wide else (240, 640)
    if wide:
        wagons = [replace(w, x_px=w.y_px, y_px=w.x_px) for w in wagons]
    scene = annotated_scene(wagons, size)
    everything = keys(scene.objects, (0, 0))
    judged: list[tuple[float, ...]] = []
    cut: list[tuple[float, ...]] = []
    seen = np.zeros(scene.valid.shape, dtype=int)
    for fold in split(scene, folds):
        shift = ~scene.grid.transform @ (fold.test.grid.transform.c, fold.test.grid.transform.f)
        x, y = (round(v) for v in shift)
        rows, cols = fold.test.valid.shape
        assert np.array_equal(fold.test.image, scene.image[y : y + rows, x : x + cols])
        seen[y : y + rows, x : x + cols] += 1
        assert sum(part.valid.size for part in fold.train) + fold.test.valid.size == scene.valid.size
        named = keys(fold.test.objects, (x, y))
        judged += [key for key, ignored in zip(named, fold.test.objects.ignore, strict=True) if not ignored]
        cut += [key for key, ignored in zip(named, fold.test.objects.ignore, strict=True) if ignored]
        # what is judged here was not to be learnt
        learnt = {key for part in fold.train for key in keys(part.objects[~part.objects.ignore], shift_of(scene, part))}
        mine = shapely.box(x, y, x + cols, y + rows)
        assert all(not mine.contains(shapely.Polygon(np.reshape(key, (4, 2))).centroid) for key in learnt)
    assert (seen == 1).all()
    assert len(judged) == len(set(judged))
    assert not set(judged) & set(cut)
    assert set(judged) | set(cut) == set(everything)


def shift_of(scene: AnnotatedScene, part: AnnotatedScene) -> tuple[float, float]:
    x, y = ~scene.grid.transform @ (part.grid.transform.c, part.grid.transform.f)
    return round(x), round(y)


def test_a_cut_object_keeps_its_visible_share() -> None:
    scene = annotated_scene([Wagon(100, 320, 16.0, 3.0, np.pi / 2), Wagon(100, 2, 10.0, visible=0.7)], (240, 640))
    upper, lower = (fold.test for fold in split(scene, 2))
    assert upper.objects.visible.tolist() == pytest.approx([0.5, 0.7], abs=1e-6)
    assert upper.objects.ignore.tolist() == [True, False]  # the scene's own edge cuts nothing
    assert lower.objects.visible.tolist() == pytest.approx([0.5], abs=1e-6)


def test_too_thin_strips_are_refused() -> None:
    with pytest.raises(UsageError, match="30 m"):
        split(annotated_scene([]), 3)


@given(wagons=WAGONS)
@settings(max_examples=15, deadline=None)
def test_writing_and_reading_change_nothing(wagons: list[Wagon], tmp_path_factory: pytest.TempPathFactory) -> None:
    scene = annotated_scene(wagons, (240, 640))
    scene = replace(scene, objects=replace(scene.objects, ignore=np.arange(len(wagons)) % 3 == 1))
    folder = tmp_path_factory.mktemp("scene")
    again = AnnotatedScene.read(scene.write(folder))
    assert np.array_equal(again.image, scene.image)
    assert again.grid.transform == scene.grid.transform
    assert again.gsd_m == pytest.approx((GSD_M, GSD_M), rel=2e-3)
    assert again.tags["TIFFTAG_DATETIME"] == scene.tags["TIFFTAG_DATETIME"]
    assert again.objects.ignore.tolist() == scene.objects.ignore.tolist()
    boxes = [xywhr_from_corners(objects.corners_px)[:, :4] for objects in (again.objects, scene.objects)]
    assert np.allclose(boxes[0], boxes[1], atol=5e-3)
    # evaluation reads the same
    features = read_truth(folder / f"{scene.name}.truth.geojson").features
    assert features["ignore"].tolist() == scene.objects.ignore.tolist()


def test_polygons_of_any_crs_are_read(tmp_path: Path) -> None:
    scene = annotated_scene([Wagon(100, 60, angle=0.4)])
    path = scene.write(tmp_path)
    (tmp_path / f"{scene.name}.truth.geojson").unlink()
    ring = [list(scene.grid.transform @ tuple(corner)) for corner in scene.objects.corners_px[0]]
    feature = {
        "type": "Feature",
        "properties": {"class": "railcar"},
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
    }
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    plain = path.with_suffix(".geojson")
    plain.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    objects = AnnotatedScene.read(path).objects
    assert (objects.class_name.tolist(), objects.visible.tolist()) == (["railcar"], [1.0])
    boxes = [xywhr_from_corners(corners) for corners in (objects.corners_px, scene.objects.corners_px)]
    assert np.allclose(boxes[0], boxes[1], atol=1e-2)
    plain.write_text("[]")
    with pytest.raises(InputRejected, match="faults"):
        AnnotatedScene.read(path)
    plain.unlink()
    with pytest.raises(UsageError, match="no truth beside"):
        AnnotatedScene.read(path)


def test_resampling_keeps_brightness_and_places() -> None:
    scene = annotated_scene([Wagon(100, 60, angle=0.4)], (240, 640))
    coarse = scene.resampled(0.5, "coarse")
    assert coarse.gsd_m == pytest.approx((0.5, 0.5), rel=1e-3)
    assert coarse.image.mean() == pytest.approx(scene.image.mean(), abs=0.5)
    assert np.allclose(coarse.outline(), scene.outline(), atol=1e-5)
    here, there = (objects.grid.transform @ tuple(objects.objects.corners_px[0, 0]) for objects in (scene, coarse))
    assert here == pytest.approx(there)
    # a point spreads over a Gaussian of half a new pixel, and over the pixel
    point = replace(scene, image=np.zeros((640, 240, 3), dtype=np.uint16))
    point.image[321, 121] = 60_000
    spread = point.resampled(0.5, "point").image[..., 0].astype(float)
    x = np.arange(spread.shape[1]) + 0.5
    share = spread.sum(axis=0) / spread.sum()
    assert np.sqrt(share @ (x - share @ x) ** 2) == pytest.approx(np.sqrt(0.5**2 + 1 / 12), abs=0.08)
    with pytest.raises(ValueError, match="sharpened"):
        scene.resampled(0.2, "finer")


@given(st.integers(0, 3), st.booleans())
def test_a_turned_scene_shows_the_same_at_the_same_places(quarters: int, mirrored: bool) -> None:
    scene = annotated_scene([Wagon(100, 60, angle=0.4), Wagon(60, 400, angle=-1.0)], (240, 640))
    scene = replace(scene, valid=scene.image[..., 0] != scene.image[60, 100, 0])
    turned = scene.turned(quarters, "turned", mirrored=mirrored)
    assert turned.valid.shape == scene.valid.shape[:: -1 if quarters % 2 else 1]
    for one, other in zip(scene.objects.corners_px, turned.objects.corners_px, strict=True):
        here, there = (of.grid.transform @ tuple(at.mean(axis=0)) for of, at in ((scene, one), (turned, other)))
        assert here == pytest.approx(there)
        (x, y), (column, row) = (np.floor(at.mean(axis=0)).astype(int) for at in (one, other))
        assert (turned.image[row, column] == scene.image[y, x]).all()
        assert not turned.valid[row, column]
    back = turned.turned(4 - quarters, "back", mirrored=False).turned(0, "whole", mirrored=mirrored)
    if quarters == 0 or not mirrored:
        assert (back.image == scene.image).all()
        assert (back.valid == scene.valid).all()
        assert back.objects.corners_px == pytest.approx(scene.objects.corners_px)
        assert tuple(back.grid.transform) == pytest.approx(tuple(scene.grid.transform))


def test_the_command_writes_folds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = annotated_scene([Wagon(100, 60), Wagon(100, 300), Wagon(100, 600)], (240, 640)).write(tmp_path)
    assert main([str(path), "--folds", "2", "--out", str(tmp_path / "folds")]) == 0
    assert "fold0: 2 objects to judge, 0 cut by a border" in capsys.readouterr().out
    for fold, number in ((0, 2), (1, 1)):
        (test,) = (tmp_path / f"folds/fold{fold}/test").glob("*.tif")
        (train,) = (tmp_path / f"folds/fold{fold}/train").glob("*.tif")
        assert len(AnnotatedScene.read(test).objects) == number
        assert len(AnnotatedScene.read(train).objects) == 3 - number
    assert main([str(tmp_path / "none.tif"), "--out", str(tmp_path)]) == 2
