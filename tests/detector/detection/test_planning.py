"""Which scenes show something, and what is said of those that do not."""

import pickle
from pathlib import Path

import numpy as np
import rasterio

from detector.config import class_table
from detector.detection.planning import NO_DATA, Planner, unreadable
from detector.detection.reading import Failure
from detector.errors import InputRejected
from detector.facilities import load_facilities
from detector.listing import scene_table
from detector.scenes import find_scenes
from tests.detector.fakes import facilities_file, fake_config, fake_weights, paint, yard
from tests.detector.imagery import write_image


def test_a_facility_that_only_the_manifest_knows_is_named(tmp_path: Path) -> None:
    facilities = load_facilities(facilities_file(tmp_path / "f.geojson", {"yard": (-40, -40, 40, 40)}))
    with rasterio.open(paint(tmp_path / "yard_20230105.tif", yard())) as painted:
        write_image(tmp_path / "yard_20230106.png", painted.read(), crs=None, driver="PNG")
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,gsd_m,facility_id\nyard_20230106.png,0.3,yrad\n")
    survey = find_scenes([tmp_path], manifest=manifest)
    planner = Planner(fake_weights(tmp_path / "w"), fake_config(), class_table())
    plans, (rejection,) = planner.plan(survey.scenes, facilities)
    assert len(plans) == 1
    assert rejection.reason == "its manifest or STAC item names the facility 'yrad', which the polygons do not have"
    assert rejection.cure.endswith("known are: yard.")
    verdicts = scene_table(survey, facilities)["verdict"].tolist()
    assert verdicts == ["ok", f"ok, but {rejection.reason}"]


def test_a_listing_says_what_a_run_would_say(tmp_path: Path) -> None:
    path = paint(tmp_path / "yard_20230105.tif", yard())
    survey = find_scenes([path])
    planner = Planner(fake_weights(tmp_path / "w"), fake_config(), class_table())
    far = load_facilities(facilities_file(tmp_path / "f.geojson", {"far": (9e3, 0, 9.1e3, 100)}))
    _, (rejection,) = planner.plan(survey.scenes, far)
    assert scene_table(survey, far)["verdict"].tolist() == [f"ok, but {rejection.reason}"]
    with rasterio.open(path, "r+") as file:
        file.write_mask(np.pad(np.full((14, file.width), 255, np.uint8), ((0, file.height - 14), (0, 0))))
    survey = find_scenes([path])
    near = load_facilities(facilities_file(tmp_path / "f.geojson", {"yard": (-40, -40, 40, 40)}))
    assert scene_table(survey, near)["verdict"].tolist() == [f"ok, but it {NO_DATA}"]


def test_a_failure_keeps_the_words_of_its_cause_between_processes(tmp_path: Path) -> None:
    scene = find_scenes([paint(tmp_path / "yard_20230105.tif", yard())]).scenes[0]
    try:
        raise OSError("Read failed. See previous exception for details.") from ValueError("strip 3 is cut off")
    except OSError as error:
        failure, direct = pickle.loads(pickle.dumps(Failure.of(error))), unreadable(scene, error)
    assert unreadable(scene, failure.error) == direct
    assert direct[0].reason == "cannot be read (strip 3 is cut off)"
    rejected = InputRejected(scene.paths[0], "it changed while it was read", "Again.")
    rejected.__cause__ = ValueError("why")
    assert unreadable(scene, Failure.of(rejected).error)[0].reason == rejected.reason
