"""Strings in the tables of a run: the second estimate, and flags on counts and detections."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from detector.config import class_table, count_config
from detector.counting.samples import Floats
from detector.tally.calibration_file import CalibrationFile
from detector.tally.counts import count_run
from detector.tally.sightings import View, find_views
from detector.tally.strings import CrossCheck, Trains
from tests.simulated_run import LAT, LON, Tables, with_class_scores, yard_run
from tests.trains import moved, train

DAY = date(2023, 10, 5)
GSD_M = 0.4
METRES = np.array([83660.0, 111060.0])  # of a degree of longitude and latitude at the yard
RAIL, CARS = class_table().families["rail_vehicle"], class_table().groups["railcar"]


def tables(boxes: Floats, score: Sequence[float], names: Sequence[str] | str = "railcar", flags: str = "") -> Tables:
    """A yard on one date in whose middle these boxes, in metres, were detected."""
    yard = yard_run({DAY: 0}, np.random.default_rng(0))
    scenes = yard.scenes.assign(gsd_m=GSD_M)
    half = boxes[:, None, 2:4] * np.array([(0.5, 0.5), (0.5, -0.5), (-0.5, -0.5), (-0.5, 0.5)])
    cos, sin = np.cos(boxes[:, 4:5]), np.sin(boxes[:, 4:5])
    corners = np.stack([half[..., 0] * cos - half[..., 1] * sin, half[..., 0] * sin + half[..., 1] * cos], axis=-1)
    corners_m = corners + boxes[:, None, :2] + [150.0, 100.0]
    rows = pd.DataFrame(
        {
            "scene_id": scenes["scene_id"].iloc[0],
            "facility_id": "yard",
            "acquired": scenes["acquired"].iloc[0],
            "class": names,
            "score": score,
            "detected": np.asarray(score) >= 0.5,
            "length_m": boxes[:, 2],
            "width_m": boxes[:, 3],
            "corners_px": list((corners_m / GSD_M).reshape(-1, 8)),
            "flags": flags,
        }
    )
    found = gpd.GeoDataFrame(rows, geometry=list(shapely.polygons([LON, LAT] + corners_m / METRES)), crs="EPSG:4326")
    return Tables(with_class_scores(found), scenes, {})


def bare(run: Tables) -> Tables:
    """The same run without georeference."""
    return Tables(
        run.detections.set_geometry([None] * len(run.detections), crs="EPSG:4326"),
        run.scenes.set_geometry([None] * len(run.scenes), crs="EPSG:4326"),
        {},
    )


def trains_and_view(run: Tables) -> tuple[Trains, View]:
    return Trains.of(run.detections, RAIL, CARS), find_views(run.detections, run.scenes, class_table())["yard"][0]


def check(run: Tables) -> CrossCheck:
    trains, view = trains_and_view(run)
    return trains.check(view)


def yard_of_two_strings() -> tuple[Floats, list[float]]:
    """Eight cars with the third missing and a double on the last, and six with a faint fourth; both askew."""
    first, second = train([14.0] * 8, 1.0), train([17.0] * 6, 1.2, beside_m=5.0)
    double = first[7] + np.array([5.0, 0.2, 0, 0, 0])
    boxes = moved(np.vstack([np.delete(first, 2, axis=0), double, second]), 0.4, (0.0, 0.0))
    return boxes, [0.8] * 7 + [0.6] + [0.8, 0.8, 0.8, 0.2, 0.8, 0.8]


def test_the_strings_of_a_view() -> None:
    boxes, score = yard_of_two_strings()
    found = check(tables(boxes, score))
    assert found.train_count == pytest.approx(14, abs=0.1)
    assert (found.n_gaps, found.n_doubles) == (1, 1)


def test_pixels_without_georeference_give_the_same() -> None:
    run = tables(*yard_of_two_strings())
    known, unknown = check(run), check(bare(run))
    assert unknown.train_count == pytest.approx(known.train_count, abs=0.05)
    assert (unknown.n_gaps, unknown.n_doubles) == (known.n_gaps, known.n_doubles)
    without_place = bare(run)
    del without_place.detections["corners_px"]
    assert np.isnan(check(without_place).train_count)


def test_locomotives_are_cars_of_strings_but_not_of_the_count() -> None:
    alone = train([14.0]) + np.array([0, 60.0, 0, 0, 0])
    boxes = np.vstack([train([20.0, 20.0, *[14.0] * 5], 1.0), alone, alone + np.array([0, 30.0, 0, 0, 0])])
    names = ["locomotive"] * 2 + ["railcar"] * 4 + ["tarped_railcar", "railcar", "locomotive"]
    found = check(tables(boxes, [0.8] * 9, names))
    assert found.train_count == pytest.approx(6, abs=0.05)


def test_containers_are_no_cars_and_without_a_string_there_is_no_count() -> None:
    run = tables(train([12.2] * 5, 0.6), [0.8] * 5, "container")
    assert np.isnan(check(run).train_count)
    assert np.isnan(check(tables(train([14.0]), [0.8])).train_count)


def test_flags_of_detections_are_set_anew_beside_those_of_detecting() -> None:
    run = tables(*yard_of_two_strings(), flags="edge;double")
    trains, view = trains_and_view(run)
    flags = trains.flags(run.detections, [view])
    expected = ["edge"] * 14
    expected[1] = expected[2] = "edge;string_gap"
    expected[7], expected[11] = "edge;double", "edge;fills_gap"
    assert flags == expected
    again = run.detections.assign(flags=flags)
    assert Trains.of(again, RAIL, CARS).flags(again, [view]) == flags


def row(low: float, high: float, flags: str = "partial") -> dict[str, Any]:
    return {"flags": flags, "seen_lo95": low, "seen_hi95": high, "hi95": 99.0}


@pytest.mark.parametrize(
    ("low", "high", "flags"),
    [
        (3.0, 14.0, "partial;string_gaps:2"),
        (3.0, 13.0, "partial;string_gaps:2;strings_disagree"),
        (15.0, 20.0, "partial;string_gaps:2;strings_disagree"),
        (np.nan, np.nan, "partial;string_gaps:2"),
    ],
)
def test_disagreement_is_with_the_interval_of_what_was_seen(low: float, high: float, flags: str) -> None:
    told = CrossCheck(14.34, 2, 0).onto(row(low, high))
    assert (told["train_count"], told["flags"], told["hi95"]) == (14.3, flags, 99.0)


def test_without_strings_nothing_is_said() -> None:
    told = CrossCheck(float("nan"), 0, 0).onto(row(3.0, 5.0, ""))
    assert (str(told["train_count"]), told["flags"]) == ("nan", "")


def test_counts_and_detections_of_a_run_carry_what_strings_say(calibration_file: CalibrationFile) -> None:
    run = tables(*yard_of_two_strings())
    counted = count_run(
        run.detections,
        run.scenes,
        calibration=calibration_file,
        history=None,
        config=count_config().model_copy(update={"draws": 200}),
        classes=class_table(),
    )
    counts = counted.counts.set_index("group")
    assert counts.loc["railcar", "train_count"] == pytest.approx(14, abs=0.1)
    assert {"string_gaps:1", "string_doubles:1"} <= set(str(counts.loc["railcar", "flags"]).split(";"))
    assert counts["train_count"].drop("railcar").isna().all()
    assert not counts["flags"].drop("railcar").str.contains("string").any()
    assert pd.Series(counted.flags).value_counts().to_dict() == {
        "": 10,
        "string_gap": 2,
        "double": 1,
        "fills_gap": 1,
    }
