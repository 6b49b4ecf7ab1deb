"""Which scenes show something, and what is said of those that do not."""

from pathlib import Path

import rasterio

from detector.config import class_table
from detector.detection.planning import Planner
from detector.facilities import load_facilities
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
