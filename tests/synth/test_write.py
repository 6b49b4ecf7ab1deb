"""Files keep what was rendered, and the command resumes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.warp
from shapely.geometry import shape

from training.synth.__main__ import main
from training.synth.profile import Profile
from training.synth.scene import Conditions, Date, RenderedScene, Studio
from training.synth.write import facility_feature, write_facilities, write_scene
from training.synth.yard import Yard


def test_the_image_comes_back(scene: RenderedScene, yard: Yard, tmp_path: Path) -> None:
    path = write_scene(scene, yard, tmp_path)
    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == yard.epsg
        assert file.transform.almost_equals(scene.grid.transform)
        assert file.profile["tiled"]
        assert file.profile["compress"] == "deflate"
        assert file.tags()["TIFFTAG_DATETIME"] == f"{scene.conditions.acquired:%Y:%m:%d %H:%M:%S}"
        assert file.tags()["OFF_NADIR"] == f"{scene.conditions.off_nadir_deg:.1f}"
        assert np.array_equal(np.moveaxis(file.read(), 0, 2), scene.image)
        assert file.dataset_mask().all()
        assert abs(file.transform.a) == pytest.approx(0.3, rel=2e-3)
    assert path.name == f"{yard.facility_id}_{scene.conditions.acquired:%Y%m%d}.tif"
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize("change", [{"epsg": 4326}, {"rotation_deg": 30.0}, {"epsg": 3857}])
def test_truth_on_the_map_agrees_with_truth_in_pixels(
    change: dict[str, float], yard: Yard, profile: Profile, date: Date, tmp_path: Path
) -> None:
    scene = Studio(yard, profile).render(replace(date, conditions=replace(date.conditions, **change)))
    path = write_scene(scene, yard, tmp_path)
    features = json.loads(path.with_suffix(".truth.geojson").read_text())["features"]
    assert len(features) == len(scene.truth) > 0
    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == change.get("epsg", yard.epsg)
        for feature in features:
            corners = np.array(feature["properties"]["corners_px"]).reshape(4, 2)
            ring = np.array(feature["geometry"]["coordinates"][0])[:-1]
            x, y = rasterio.warp.transform("EPSG:4326", file.crs, ring[:, 0], ring[:, 1])
            a, b, c, d, e, f = (~file.transform)[:6]
            found = np.stack([a * np.array(x) + b * np.array(y) + c, d * np.array(x) + e * np.array(y) + f], axis=1)
            assert np.abs(found[:, None] - corners[None]).max(axis=2).min(axis=0).max() < 0.05


def test_truth_states_the_conditions(scene: RenderedScene, yard: Yard, tmp_path: Path) -> None:
    path = write_scene(scene, yard, tmp_path)
    stated = json.loads(path.with_suffix(".truth.geojson").read_text())["conditions"]
    assert (stated["style"], stated["region"], stated["pan"]) == ("marshalling", yard.region, False)
    assert stated["yard_heading_deg"] == 70.0  # 20 degrees counter-clockwise from east
    assert (stated["sun_elevation_deg"], stated["haze"], stated["snow"]) == (50.0, 0.0, 0.0)


def test_the_footprint_is_a_mask(yard: Yard, profile: Profile, date: Date, plain: Conditions, tmp_path: Path) -> None:
    deep = replace(plain.sensor, pan=True, deep=True, gamma=1.0)
    scene = Studio(yard, profile).render(replace(date, conditions=replace(plain, cut=0.4, sensor=deep)))
    with rasterio.open(write_scene(scene, yard, tmp_path)) as file:
        assert file.count == 1
        assert file.dtypes == ("uint16",)
        assert np.array_equal(file.dataset_mask() > 0, scene.valid)
        assert 255 < file.read(1).max() <= 2047


def test_facilities_are_polygons_around_the_scene(yard: Yard, scene: RenderedScene, tmp_path: Path) -> None:
    feature = json.loads(write_facilities([yard], tmp_path).read_text())["features"][0]
    assert feature == json.loads(json.dumps(facility_feature(yard)))
    outline = shape(feature["geometry"])
    assert outline.is_valid
    corners = np.array([[0.0, 0.0], [scene.grid.size[0], scene.grid.size[1]]])
    (west, north), (east, south) = scene.grid.to_geographic(corners)
    assert west < outline.centroid.x < east
    assert south < outline.centroid.y < north


@pytest.mark.parametrize("wrong", ["--profile", "--backgrounds", "--cutouts"])
def test_a_wrong_input_is_told_before_anything_is_rendered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    (tmp_path / "nothing").mkdir()
    assert main(["--facilities", "1", "--out", str(tmp_path / "out"), wrong, str(tmp_path / "nothing")]) == 2
    assert "nothing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.integration
def test_the_command_keeps_finished_files_of_its_own(
    profile: Profile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = profile.model_copy(
        update={"yard": profile.yard.model_copy(update={"width_m": (60.0, 70.0), "height_m": (50.0, 60.0)})}
    )
    settings = tmp_path / "small.yaml"
    settings.write_text(json.dumps(small.model_dump()))
    out = tmp_path / "out"
    call = ["--profile", str(settings), "--facilities", "2", "--dates", "2", "--out", str(out), "--quiet"]
    assert main([*call, "--workers", "1"]) == 0
    images = sorted(out.glob("*.tif"))
    assert len(images) == 4
    assert len(list(out.glob("*.truth.geojson"))) == 4
    assert len(json.loads((out / "facilities.geojson").read_text())["features"]) == 2
    before = {path: path.read_bytes() for path in images}
    images[0].unlink()
    stamps = {path: path.stat().st_mtime_ns for path in images[1:]}
    assert main([*call, "--workers", "1"]) == 0
    assert {path: path.read_bytes() for path in images} == before
    assert {path: path.stat().st_mtime_ns for path in images[1:]} == stamps
    settings.write_text(json.dumps(small.model_copy(update={"name": "other"}).model_dump()))
    assert main([*call, "--workers", "1"]) == 2
    assert "holds scenes of another profile" in " ".join(capsys.readouterr().err.split())
    assert {path: path.read_bytes() for path in images} == before
