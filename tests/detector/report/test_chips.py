"""Boxes lie on what they outline, however the picture is turned; zooms show where the boxes are."""

import datetime as dt
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from rasterio.transform import Affine

from detector.geometry import corners_from_xywhr
from detector.pixels.georef import scene_px_to_lonlat
from detector.report import chips, framing
from detector.report.framing import Floats
from detector.scene import Scene
from detector.scenes import find_scenes

DATE = dt.date(2023, 10, 5)


def strip(angle_deg: float, n: int = 9) -> tuple[Floats, shapely.Polygon]:
    """Boxes (n, 4, 2) in a row through a scene of 900 x 900 px, and an outline around them."""
    angle = math.radians(angle_deg)
    along = np.array([math.cos(angle), math.sin(angle)])
    centres = 450 + np.arange(-(n // 2), n - n // 2)[:, None] * 60.0 * along
    boxes = np.column_stack([centres, np.full(n, 44.0), np.full(n, 20.0), np.full(n, angle)])
    outline = corners_from_xywhr(np.array([[450, 450, 60.0 * n + 40, 90, angle]]))[0]
    return corners_from_xywhr(boxes), shapely.Polygon(outline)


def bright_scene(folder: Path, corners_px: Floats, transform: Affine, crs: str) -> Scene:
    """A dark scene whose boxes are bright."""
    mask = rasterio.features.rasterize([shapely.Polygon(c) for c in corners_px], (900, 900))
    path = folder / "yard_20231005.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=900, height=900, count=1, dtype="uint8", crs=crs, transform=transform
    ) as target:
        noise = np.random.default_rng(5).integers(-15, 15, mask.shape)
        target.write((np.where(mask, 220, 40) + noise).astype(np.uint8), 1)
    return find_scenes([path]).scenes[0]


def on_earth(scene: Scene, outline_px: shapely.Polygon) -> shapely.Polygon:
    return shapely.transform(outline_px, lambda points_px: scene_px_to_lonlat(scene, points_px))


GRIDS = {
    "utm": (Affine(0.3, 0, 640000, 0, -0.3, 4700000), "EPSG:32652"),
    "degrees": (Affine(3.6e-6, 0, 130.7, 0, -2.7e-6, 42.4), "EPSG:4326"),
    "turned grid": (
        Affine.translation(640000, 4700000) @ Affine.rotation(30) @ Affine.scale(0.3, -0.3),
        "EPSG:32652",
    ),
}


@pytest.mark.parametrize("angle_deg", [0, 20, 45, 90, 135, 170])
@pytest.mark.parametrize("grid", GRIDS)
def test_boxes_lie_on_what_they_outline(tmp_path: Path, angle_deg: float, grid: str) -> None:
    corners, outline = strip(angle_deg)
    scene = bright_scene(tmp_path, corners, *GRIDS[grid])
    shot = framing.overview("yard", scene, DATE, "judged", on_earth(scene, outline))
    boxes = pd.DataFrame({"class": ["railcar"] * len(corners), "corners_px": [c.ravel() for c in corners]})
    picture = chips.take(shot, scene, boxes, max_bytes=1e6)
    pixels = chips.read_window(scene, shot, picture.view_gsd_m)[..., 0]
    drawn = [shapely.Polygon(quad) for quad in chips.to_picture(picture, scene, corners)]
    inside = rasterio.features.rasterize([p.buffer(-1.5) for p in drawn], pixels.shape).astype(bool)
    outside = ~rasterio.features.rasterize([p.buffer(1.5) for p in drawn], pixels.shape).astype(bool)
    valid = pixels != chips.PAD
    assert len(picture.boxes) == len(corners)
    assert (pixels[inside & valid] > 128).mean() > 0.99
    assert (pixels[outside & valid] < 128).mean() > 0.99


def test_boxes_that_trains_make_doubtful_carry_a_sign_at_their_middle(tmp_path: Path) -> None:
    corners, outline = strip(20, n=5)
    scene = bright_scene(tmp_path, corners, *GRIDS["utm"])
    shot = framing.overview("yard", scene, DATE, "judged", on_earth(scene, outline))
    flags = ["", "edge;string_gap", "string_gap;double", "double", "fills_gap"]
    boxes = pd.DataFrame({"class": ["railcar"] * 5, "corners_px": [c.ravel() for c in corners], "flags": flags})
    picture = chips.take(shot, scene, boxes, max_bytes=1e6)
    assert [box.mark for box in picture.boxes] == ["", "string_gap", "double", "double", ""]
    middles = chips.to_picture(picture, scene, corners).mean(axis=1)
    for box, middle in zip(picture.boxes, middles, strict=True):
        assert bool(box.sign) == bool(box.mark)
        if box.sign:
            start = np.array(re.findall(r"-?[\d.]+", box.sign)[:2], dtype=float)
            assert np.abs(start - middle).max() < 6


@pytest.mark.parametrize("angle_deg", [20, 45, 90, 135])
def test_long_facilities_lie_flat_and_north_is_told(tmp_path: Path, angle_deg: float) -> None:
    corners, outline = strip(angle_deg)
    scene = bright_scene(tmp_path, corners, *GRIDS["utm"])
    shot = framing.overview("yard", scene, DATE, "recent", on_earth(scene, outline))
    picture = chips.take(shot, scene, pd.DataFrame({"class": [], "corners_px": []}), max_bytes=1e6)
    assert picture.width > 3 * picture.height
    assert picture.north_deg is not None
    turned_deg = math.degrees(shot.turn_rad)
    assert abs((picture.north_deg + turned_deg + 180) % 360 - 180) < 2  # of grid north
    assert abs(turned_deg) <= 90


def test_zooms_hold_the_densest_places_and_do_not_overlap(tmp_path: Path) -> None:
    corners, outline = strip(20)
    crowd = corners[:1] + np.random.default_rng(3).uniform(-40, 40, (30, 1, 2))
    scene = bright_scene(tmp_path, corners, *GRIDS["utm"])
    base = framing.overview("yard", scene, DATE, "judged", on_earth(scene, outline.buffer(150)))
    found = framing.zooms(base, scene, np.concatenate([corners, crowd]))
    windows = [shapely.box(*shot.window_m) for shot in found]
    assert [shot.letter for shot in found] == list("ABC")[: len(found)]
    assert all(a.intersection(b).area < 1e-6 for i, a in enumerate(windows) for b in windows[:i])
    turned = chips.to_picture(chips.Picture(base, view_gsd_m=1.0), scene, crowd.mean(axis=1)) + base.window_m[:2]
    assert max(shapely.contains_xy(w, *turned.T).sum() for w in windows) == len(crowd)


def test_pictures_shrink_to_the_room_they_have(tmp_path: Path) -> None:
    corners, outline = strip(0)
    scene = bright_scene(tmp_path, corners, *GRIDS["utm"])
    shot = framing.overview("yard", scene, DATE, "judged", on_earth(scene, outline))
    none = pd.DataFrame({"class": [], "corners_px": []})
    large, small = (chips.take(shot, scene, none, max_bytes=room) for room in (1e6, 2e4))
    assert len(small.image) <= 2e4 < len(large.image)
    assert "left out" in chips.take(shot, scene, none, max_bytes=100).note


def test_all_dates_show_the_same_ground_the_same_way_up(tmp_path: Path) -> None:
    corners, outline = strip(20)
    straight = bright_scene(tmp_path, corners, *GRIDS["utm"])
    whole = on_earth(straight, outline)
    (tmp_path / "tilted").mkdir()
    middle = Affine.translation(640135, 4699865)  # both grids have their centre on the yard's
    tilted = middle @ Affine.rotation(30) @ Affine.scale(0.4, -0.4) @ Affine.translation(-450, -450)
    other = bright_scene(tmp_path / "tilted", corners, tilted, "EPSG:32652")
    shots = [framing.overview("yard", scene, DATE, "recent", whole) for scene in (straight, other)]
    none = pd.DataFrame({"class": [], "corners_px": []})
    one, two = (
        chips.take(shot, scene, none, max_bytes=1e6) for shot, scene in zip(shots, (straight, other), strict=True)
    )
    assert one.north_deg is not None and two.north_deg is not None
    assert abs(one.north_deg - two.north_deg) < 4
    assert one.width / one.height == pytest.approx(two.width / two.height, rel=0.15)
