"""The page of an evaluation: which errors it shows, and their pictures."""

import json
import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

from detector.errors import UsageError
from detector.scenes import find_scenes
from tests.simulated_run import with_class_scores
from tests.training.evaluation.places import RAILCAR, TABLE, found, place, scored, truth
from training.evaluation.detection import AllIous, Scored
from training.evaluation.errors import choose, find_faults, pictures
from training.evaluation.measure import evaluate
from training.evaluation.truth import Place, read_places

EAST, NORTH, GSD_M = 500_000.0, 4_600_000.0, 0.5


def test_faults_by_hand() -> None:
    shift = 15 * (1 - 0.4) / (1 + 0.4)
    seen = found([0, 100 + shift, 200, 500, 600], [0.9, 0.8, 0.3, 0.6, 0.7])
    scores = scored(place(seen, truth([0, 100, 200, 300], kind=["", "flat", "hopper", "boxcar"])))
    faults = find_faults(scores, AllIous.of(scores, RAILCAR), RAILCAR)
    misses = [(fault.kind_of_object, fault.box[0]) for fault in faults["miss"]]
    assert misses == [("boxcar", 300), ("hopper", 200)]  # the one that nothing reached first
    assert np.isnan(faults["miss"][0].score)
    assert faults["miss"][1].score == 0.3
    assert [fault.box[0] for fault in faults["false alarm"]] == [600, 500]
    (loose,) = faults["loose box"]
    assert (loose.kind_of_object, loose.iou) == ("flat", pytest.approx(0.4))


def test_every_scene_has_its_turn() -> None:
    first = place(found([0, 50, 100], [0.9, 0.8, 0.7]), truth([]))
    second = place(found([0], [0.6]), truth([]))
    scores = scored(first, second)
    false = find_faults(scores, AllIous.of(scores, RAILCAR), RAILCAR)["false alarm"]
    assert [(f.place, f.score) for f in choose(false, 2)] == [(0, 0.9), (1, 0.6)]
    assert len(choose(false, 9)) == 4


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of one image of 200 x 160 px in UTM: a bright car that was missed, and a false alarm."""
    pixels = np.full((3, 160, 200), 60, dtype=np.uint8)
    pixels[:, 77:83, 85:115] = 220
    image = tmp_path / "yard_20230105.tif"
    profile = {"driver": "GTiff", "width": 200, "height": 160, "count": 3, "dtype": "uint8", "crs": "EPSG:32635"}
    with rasterio.open(image, "w", transform=from_origin(EAST, NORTH, GSD_M, GSD_M), **profile) as file:
        file.write(pixels)
    (scene,) = find_scenes([image]).scenes
    folder = tmp_path / "run"
    folder.mkdir()
    common = {"scene_id": scene.scene_id, "facility_id": "yard", "acquired": scene.acquired}
    _table([shapely.box(0, 0, 200, 160)]).assign(
        **common, width=200, height=160, gsd_m=GSD_M, observed_fraction=1.0, sensor=None,
        sharpness=0.1, contrast=0.1, sun_elevation_deg=40.0,
    ).to_parquet(folder / "scenes.parquet")  # fmt: skip
    with_class_scores(
        _table([shapely.box(20, 20, 50, 26)]).assign(**common, score=0.75, detected=True, **{"class": "railcar"})
    ).to_parquet(folder / "detections.parquet")
    entry = {"scene_id": scene.scene_id, "path": str(image), "acquired": scene.acquired.isoformat()}
    (folder / "run.json").write_text(json.dumps({"weights": {}, "inputs": [entry]}))
    _table([shapely.box(85, 77, 115, 83)]).assign(kind="hopper").to_file(tmp_path / "yard_20230105.truth.geojson")
    return folder


def _table(boxes_px: list[shapely.Polygon]) -> gpd.GeoDataFrame:
    on_map = [shapely.affinity.affine_transform(b, [GSD_M, 0, 0, -GSD_M, EAST, NORTH]) for b in boxes_px]
    return gpd.GeoDataFrame(geometry=on_map, crs="EPSG:32635").to_crs("EPSG:4326")


def _missed(run: Path) -> tuple[list[Place], Scored]:
    places = read_places(run, run.parent, TABLE.names)
    return places, Scored.of(places, TABLE)


def test_a_picture_shows_the_fault_in_its_middle(run: Path) -> None:
    places, scores = _missed(run)
    faults = find_faults(scores, AllIous.of(scores, RAILCAR), RAILCAR)
    (shown,) = pictures(run, places, faults["miss"])
    assert (shown.length_m, shown.width_m) == (pytest.approx(15, abs=0.05), pytest.approx(3, abs=0.05))
    picture = shown.picture
    (box,) = [drawn for drawn in picture.boxes if drawn.name == "wrong"]
    corners = np.array([pair.split(",") for pair in box.points.split()], dtype=float)
    assert corners.mean(axis=0) == pytest.approx([picture.width / 2, picture.height / 2], abs=1)
    assert np.ptp(corners[:, 0]) * picture.view_gsd_m == pytest.approx(15, abs=0.3)


def test_the_page_holds_its_pictures(run: Path, tmp_path: Path) -> None:
    result = evaluate(run, tmp_path, page=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert result["groups"]["railcar"]["n_detected"] == 1
    assert page.count("data:image/jpeg;base64,") == 2
    assert re.search(r"hopper,\s+15\.0 × 3\.0 m", page)
    assert re.search(r"railcar,\s+15\.0 × 3\.0 m,\s+score 0\.75", page)
    assert "1 of 1: no detection at the operating threshold" in page
    assert "src=" not in page  # self-contained
    assert 'href="http' not in page


def test_a_scene_that_is_gone_is_said_so(run: Path, tmp_path: Path) -> None:
    (tmp_path / "yard_20230105.tif").unlink()
    evaluate(run, tmp_path, page=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("No picture: its file is no longer where it was counted.") == 2


def test_corners_in_pixels_are_truth_of_a_scene_on_the_ground(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "yard_20230105.truth.geojson"
    before = read_places(run, path, TABLE.names)[0].truth
    feature = json.loads(path.read_text())["features"][0]
    feature["properties"]["corners_px"] = [85, 77, 115, 77, 115, 83, 85, 83]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature | {"geometry": None}]}))
    after = read_places(run, path, TABLE.names)[0].truth
    assert after.xywhr == pytest.approx(before.xywhr, abs=1e-3)
    assert after.care.tolist() == [True]
    (tmp_path / "yard_20230105.tif").unlink()
    with pytest.raises(UsageError, match=r"feature 1: has corners_px and no polygon.*no longer where.*Put the image"):
        read_places(run, path, TABLE.names)
