"""Truth is read by the rules of the importers; what is wrong in it is told, and nothing is lost unsaid."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from typer.testing import CliRunner

from detector.cli import app
from detector.errors import UsageError
from tests.simulated_run import LAT, LON, yard_run
from tests.simulation import World
from training.evaluation.measure import evaluate
from training.evaluation.truthfile import read_truth

EASY = World(facility_sd=0.05, scene_sd=0.1, string_sd=0.1, false_per_scene=2.0, recall_logit=3.0)
BIG = "yard_20230305.truth.geojson"

Collection = dict[str, Any]
Edit = Callable[[Collection], object]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    numbers = {date(2023, 1, 5): 2, date(2023, 2, 5): 0, date(2023, 3, 5): 6}
    yard_run(numbers, np.random.default_rng(1), world=EASY).write(tmp_path / "run", tmp_path / "truth")
    return tmp_path / "run", tmp_path / "truth"


def edit(truth: Path, change: Edit) -> None:
    collection = json.loads((truth / BIG).read_text())
    change(collection)
    (truth / BIG).write_text(json.dumps(collection))


def square(east: float = LON, north: float = LAT, side: float = 1e-4) -> dict[str, Any]:
    return shapely.geometry.mapping(shapely.box(east, north, east + side, north + side))


def one(geometry: object, **properties: object) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def first(name: str, value: object) -> Edit:
    return lambda c: c["features"][0]["properties"].update({name: value})


def place(value: object) -> Edit:
    return lambda c: c["features"][0].update(geometry=value)


def unplaced(name: str, value: object) -> Edit:
    """As `first`, of a feature without a polygon."""
    return lambda c: (place(None)(c), first(name, value)(c))


def in_utm(c: Collection) -> None:
    table = gpd.GeoDataFrame.from_features(c["features"], crs="EPSG:4326").to_crs("EPSG:32635")
    c["features"] = json.loads(table.to_json())["features"]
    c.pop("crs", None)


def in_parts(c: Collection) -> None:
    """Two cars become one feature."""
    other = c["features"].pop()["geometry"]["coordinates"]
    both = [c["features"][0]["geometry"]["coordinates"], other]
    c["features"][0]["geometry"] = {"type": "MultiPolygon", "coordinates": both}


def crossed(c: Collection) -> None:
    for feature in c["features"]:
        a, b, d, e, _ = feature["geometry"]["coordinates"][0]
        feature["geometry"]["coordinates"] = [[a, d, b, e, a]]


def each(name: str, value: object) -> Edit:
    return lambda c: [feature["properties"].update({name: value}) for feature in c["features"]]


@pytest.mark.parametrize(
    "change",
    [
        each("class", "Railcar"),
        each("class", None),
        each("ignore", "false"),
        each("ignore", 0),
        each("corners_px", "[537.041 9.062 550 9 550 20 537 20]"),  # the polygon counts
        each("corners_px", "somewhere"),
        each("corners_px", [1, 2, 3]),
        in_parts,
        crossed,
    ],
)
def test_the_same_truth_in_other_words(folders: tuple[Path, Path], change: Edit) -> None:
    run, truth = folders
    before = evaluate(run, truth)
    edit(truth, change)
    assert evaluate(run, truth)["groups"] == before["groups"]


def test_a_byte_order_mark_is_no_fault(folders: tuple[Path, Path]) -> None:
    run, truth = folders
    before = evaluate(run, truth)
    (truth / BIG).write_bytes(b"\xef\xbb\xbf" + (truth / BIG).read_bytes())
    assert evaluate(run, truth) == before


WRONG = [
    (place(None), "feature 1: has no geometry. Correct"),
    (place({"type": "Point", "coordinates": [LON, LAT]}), "feature 1: is a Point, not a polygon. Correct"),
    (place({"type": "Polygon", "coordinates": []}), "feature 1: is an empty Polygon. Correct"),
    (place({"type": "Polygon", "coordinates": [[[LON, LAT]] * 5]}), "feature 1: has no area"),
    (place({"type": "Polygon", "coordinates": [[[LON, LAT], [float("nan"), 1], [1, 1], [0, 1]]]}), "are not finite"),
    (place({"type": "Polygon"}), "feature 1: is no feature of ours"),
    (lambda c: c["features"].insert(0, "car"), "feature 1: is no feature of ours"),
    (first("visible", 80), "feature 1: visible must be 0 to 1. Received: 80"),
    (first("visible", "high"), "feature 1: visible must be 0 to 1. Received: 'high'"),
    (first("ignore", "perhaps"), "feature 1: ignore must be true or false. Received: 'perhaps'"),
    (unplaced("corners_px", [1, 2, 3]), "feature 1: corners_px has 3 numbers, not 8"),
    (unplaced("corners_px", "[1 2 much]"), "feature 1: could not convert string to float: 'much'"),
    (unplaced("corners_px", {}), "feature 1: is no feature of ours"),
    (in_utm, r"feature 1: \(50\d+.\d+, 457\d+.\d+\) is no longitude and latitude.*Name the CRS"),
    (lambda c: c.update(crs={"properties": {"name": "EPSG:999999"}}), "its CRS is unknown .*that PROJ knows"),
    (lambda c: c.update(conditions=["haze"]), "conditions must be an object"),
    (lambda c: c.update(features=None), "no GeoJSON feature collection"),
]


@pytest.mark.parametrize(("change", "words"), WRONG)
def test_faults_name_file_feature_and_cure(folders: tuple[Path, Path], change: Edit, words: str) -> None:
    run, truth = folders
    edit(truth, change)
    with pytest.raises(UsageError, match=f"{BIG}.*{words}"):
        evaluate(run, truth)


@pytest.mark.parametrize("value", [None, "strong", [1]])
def test_conditions_that_are_no_numbers_are_unknown(folders: tuple[Path, Path], value: object) -> None:
    run, truth = folders
    before = evaluate(run, truth)
    names = ("haze", "snow", "pan", "yard_heading_deg", "sun_elevation_deg", "off_nadir_deg")
    edit(truth, lambda c: c.update(conditions=dict.fromkeys(names, value) | {"style": None}))
    assert evaluate(run, truth) == before


def test_objects_that_do_not_count_are_told(folders: tuple[Path, Path]) -> None:
    run, truth = folders
    edit(truth, first("class", "boxcar"))
    edit(truth, lambda c: c["features"].append(one(square(LON + 1), **{"class": "railcar"})))
    edit(truth, lambda c: c["features"].append(one(square(LON + 1), visible=0.2)))
    edit(truth, lambda c: c["features"].append(one(square(LON + 1), **{"class": "pit"}, ignore=True)))
    (truth / BIG).with_name("shed.geojson").write_text((truth / BIG).read_text())
    (truth / "yard_20230105.truth.geojson").unlink()
    shown = CliRunner().invoke(app, ["evaluate", str(run), "--truth", str(truth), "--json"])
    result = json.loads(shown.stdout)
    assert result["groups"]["railcar"]["n_true"] == 5
    assert result["aside"] == {
        "unknown_class": {"boxcar": 1},
        "n_outside": 1,
        "n_left_out": 0,
        "scenes_without_truth": ["yard_20230105-0123abcd"],
        "truth_without_scene": ["shed.geojson"],
    }
    assert [line.removeprefix(f"note: {truth}: ") for line in shown.stderr.splitlines()] == [
        "1 objects are of no class of ours ('boxcar'): neither right nor wrong.",
        "1 objects lie outside of what the scenes show of the facilities: neither right nor wrong.",
        "has no truth for 1 of 3 scenes, which are left out: yard_20230105-0123abcd.",
        "1 files are of no scene of the run: shed.geojson.",
    ]


def test_nothing_is_told_where_all_takes_part(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    aside = evaluate(*folders)["aside"]
    assert not any(aside.values())
    assert capsys.readouterr().err == ""


def write(path: Path, *features: object) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_labels_mean_what_they_mean_to_the_importers(tmp_path: Path) -> None:
    labels = ["Tarped railcar", "ignore", "boxcar", 7]
    found = read_truth(write(tmp_path / "a.geojson", *(one(square(), **{"class": label}) for label in labels)))
    assert found.features["class"].tolist() == ["tarped_railcar", "ignore", "boxcar", "7"]
    assert found.features["ignore"].tolist() == [False, True, False, False]
    assert found.features["feature"].tolist() == [1, 2, 3, 4]


def test_corners_say_that_several_parts_are_one_object(tmp_path: Path) -> None:
    both = {"type": "MultiPolygon", "coordinates": [square()["coordinates"], square(LON + 1)["coordinates"]]}
    corners = [0, 0, 9, 0, 9, 3, 0, 3]
    apart = read_truth(write(tmp_path / "a.geojson", one(both))).features
    assert [shape.bounds[0] for shape in apart.geometry] == pytest.approx([LON, LON + 1])
    assert [shape.geom_type for shape in apart.geometry] == ["Polygon", "Polygon"]
    assert len(read_truth(write(tmp_path / "b.geojson", one(both, corners_px=corners))).features) == 1
    in_pixels = read_truth(write(tmp_path / "c.geojson", one(square(500, 900), corners_px=corners))).features
    assert in_pixels["corners_px"].tolist() == [corners]
    assert in_pixels.geometry.isna().all()


def test_no_feature_is_an_empty_table(tmp_path: Path) -> None:
    found = read_truth(write(tmp_path / "a.geojson"))
    assert len(found.features) == 0
    assert found.features.crs == "EPSG:4326"


@pytest.mark.parametrize(
    "text",
    [
        "[537.041 9.062 550. 9 5.5e2 20 537 20]",
        "537.041,9.062,550,9,550,20,537,20",
        "[[537.041, 9.062], [550, 9], [550, 20], [537, 20]]",
    ],
)
def test_corners_may_be_a_text(tmp_path: Path, text: str) -> None:
    source = write(tmp_path / "a.geojson", one(None, corners_px=text))
    assert read_truth(source).features["corners_px"].tolist() == [[537.041, 9.062, 550, 9, 550, 20, 537, 20]]


@pytest.mark.parametrize(("stated", "visible"), [(-0.004, 0.0), (1.005, 1.0), (0.5, 0.5)])
def test_visible_shares_within_rounding_are_those_of_the_ends(tmp_path: Path, stated: float, visible: float) -> None:
    assert read_truth(write(tmp_path / "a.geojson", one(square(), visible=stated))).features["visible"].tolist() == [
        visible
    ]
