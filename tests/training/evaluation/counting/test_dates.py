"""Which dates are judged, and against which truth."""

from datetime import date
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from detector.config import class_table
from detector.tally.calibration_file import uncalibrated
from detector.tally.estimates import Tally
from detector.tally.sightings import Sighting, find_sightings, find_views
from tests.simulated_run import Tables, inside, outline, yard_run
from training.evaluation.counting.dates import find_dates
from training.evaluation.counting.partial import find_cuts
from training.evaluation.counting.rivals import Tallied
from training.evaluation.truth import Place, read_places

DAY = date(2023, 1, 5)
TABLE = class_table()
RAILCAR = TABLE.groups["railcar"]

Judged = tuple[dict[str, list[Sighting]], dict[tuple[str, str], Place]]


def parts(*shown: shapely.Polygon) -> Tables:
    """One date of a yard with 40 railcars, of which each scene, all of one minute, shows a part."""
    whole = yard_run({DAY: 40}, np.random.default_rng(1))
    (objects,) = whole.truth.values()
    names = [f"part{i}_{DAY:%Y%m%d}-0123abcd" for i in range(len(shown))]
    seen = [inside(whole.detections, part).assign(scene_id=name) for name, part in zip(names, shown, strict=True)]
    scenes = [
        whole.scenes.assign(scene_id=name, observed_fraction=part.area / outline().area).set_geometry([part])
        for name, part in zip(names, shown, strict=True)
    ]
    return Tables(
        gpd.GeoDataFrame(pd.concat(seen, ignore_index=True), crs="EPSG:4326"),
        gpd.GeoDataFrame(pd.concat(scenes, ignore_index=True), crs="EPSG:4326"),
        dict.fromkeys(names, objects),
    )


def judged(tables: Tables, folder: Path) -> Judged:
    tables.write(folder / "run", folder / "truth")
    places = read_places(folder / "run", folder / "truth", TABLE.names)
    sightings = find_sightings(find_views(tables.detections, tables.scenes, TABLE), 10)
    return sightings, {(str(place.scene["scene_id"]), place.facility_id): place for place in places}


def tally() -> Tally:
    return Tally("railcar", RAILCAR, uncalibrated(), 300, 0, 0.4, on_rail=True)


def test_a_mosaic_has_no_one_truth_even_where_it_shows_all(tmp_path: Path) -> None:
    left, bottom, right, top = outline().bounds
    east = shapely.box(left + 0.5 * (right - left), bottom, right, top)
    sightings, places = judged(parts(outline(0.6), east), tmp_path)
    (seen,) = sightings["yard"]
    assert seen.is_full
    assert seen.n_scenes == 2
    dates, ours = find_dates(sightings, places, tally())
    assert dates.facility == ()
    assert ours.count.size == 0
    assert find_cuts(sightings, places, RAILCAR) == []


def test_a_scene_that_shows_all_is_judged_whatever_stands_beside_it(tmp_path: Path) -> None:
    sightings, places = judged(parts(outline(), outline(), outline(0.5)), tmp_path)
    assert sightings["yard"][0].n_scenes == 2
    dates, _ = find_dates(sightings, places, tally())
    assert dates.n_true.tolist() == [40]
    assert {one.n_true for one in find_cuts(sightings, places, RAILCAR)} == {40}


def test_a_single_scene_is_judged_by_what_it_shows(tmp_path: Path) -> None:
    dates, _ = find_dates(*judged(parts(outline(0.5)), tmp_path), tally())
    assert not dates.is_full.any()
    assert 5 < dates.n_true[0] < 35


@pytest.mark.parametrize("group", ["railcar", "tarped"])
def test_rivals_are_fitted_on_the_number_that_they_are_given(tmp_path: Path, group: str) -> None:
    """Law: the number of a scene in the fit is the number of its date in the judgement."""
    tables = yard_run({DAY: 30, date(2023, 2, 5): 60}, np.random.default_rng(2))
    names = np.where(np.arange(len(tables.detections)) % 3 == 0, "tarped_railcar", "railcar")
    mixed = Tables(tables.detections.assign(**{"class": names}), tables.scenes, tables.truth)
    sightings, places = judged(mixed, tmp_path)
    classes = TABLE.groups[group]
    dates, _ = find_dates(sightings, places, Tally(group, classes, uncalibrated(), 300, 0, 0.4, on_rail=True))
    fitted = Tallied.of(list(places.values()), classes, TABLE)
    assert dates.n_detected.tolist() == fitted.n_found.tolist()
    assert dates.n_detected.min() > 0
