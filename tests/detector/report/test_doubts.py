"""The page says how sure it is from what the run says, plainly, and what would overturn it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from detector.report import doubts
from detector.report.evidence import read_run
from detector.report.rows import CountRow, headline_row
from tests.detector.report.fake_run import Day, history, make_run

EYE = "facility_id,date,count,lo,hi\na,2015-03-01,14,12,16\n"


def told(run: Path, calibration: dict[str, Any] | str | None = "as it is") -> dict[str, str]:
    """The points of the box as plain text."""
    if calibration != "as it is":
        record = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps(record | {"calibration": calibration}))
    points = doubts.how_sure(read_run(run)).points
    return {name: text.replace("\u00a0", " ").replace("\u202f", " ") for name, text in points}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", {"a": ("A", history(30))}, by_eye=EYE, pictures=0)


def changed(run: Path, **columns: Any) -> CountRow:  # noqa: ANN401 - any value of a column
    """The row that facility "a" is judged by, after its latest rows were changed."""
    counts = pd.read_parquet(run / "counts.parquet")
    latest = (counts["group"] == "railcar") & (counts["date"] == counts["date"].max())
    for name, value in columns.items():
        counts.loc[latest, name] = value
    counts.to_parquet(run / "counts.parquet")
    return headline_row(read_run(run).counts["a", "railcar"])


def test_rendered_scenes_are_called_rendered(run: Path) -> None:
    text = told(run)
    assert "240 rendered scenes of 60 facilities, not on photographs" in text["Calibration"]
    assert "280 dates of 70 other rendered facilities" in text["Tested elsewhere"]
    assert "98 % with 0–5 railcars, 95 % with 6–25 railcars and 93 % with 26+ railcars" in text["Tested elsewhere"]
    levels = doubts.how_sure(read_run(run)).levels
    assert [share.replace("\u202f", " ") for _, share in levels] == ["55 %", "84 %", "93 %", "96 %"]
    photographed = {"n_scenes": 40, "n_facilities": 12, "synthetic": False, "measured": None}
    text = told(run, photographed)
    assert "rendered" not in " ".join(text.values())
    assert "fewer than 19 facilities" in text["Calibration"]
    assert "not on record" in text["Tested elsewhere"]


def test_weights_without_calibration_promise_nothing(run: Path) -> None:
    text = told(run, None)
    assert "no calibration of their own" in text["Calibration"]
    assert "Tested elsewhere" not in text and "These images" not in text


def test_dates_unlike_the_calibration_are_counted_and_named(run: Path) -> None:
    assert "2 of 30 dates are unlike the calibration images, in contrast (2)" in told(run)["These images"]
    assert (
        "On 3 of 30 dates a part of the facility was hidden, 2 of them too little for an estimate"
        in (told(run)["Hidden parts"])
    )
    changed(run, flags="domain:black_point;domain:contrast;insured")
    assert "3 of 30 dates are unlike the calibration images, in contrast (3) and haze (1)" in told(run)["These images"]


def test_trains_that_disagree_are_named_with_both_numbers(run: Path) -> None:
    assert "inside the interval of the first on every one" in told(run)["Trains"]
    row = changed(run, flags="string_gaps:3;string_doubles:1;strings_disagree", train_count=91.0)
    text = told(run)["Trains"]
    assert "outside the interval of the first on 1: 5 Oct 2023 (91 by length)" in text
    assert "3 gaps of one car in trains and 1 car perhaps boxed twice; pictures of such dates mark them" in text
    assert any("room for 91 railcars" in line for line in doubts.changes(row, row, "A", 8))


def test_trains_beside_counts_without_intervals_agree_with_nothing(run: Path) -> None:
    table = pd.read_parquet(run / "counts.parquet")
    bare = {name: np.nan for name in ("lo95", "hi95", "lo80", "hi80", "seen_lo95", "seen_hi95")}
    table.assign(**bare).to_parquet(run / "counts.parquet")
    assert "no interval to hold it against" in told(run)["Trains"]


def test_what_would_overturn_a_partly_seen_date_is_of_the_part(run: Path) -> None:
    row = changed(run, observed_fraction=0.8, seen_lo95=44.0, seen_hi95=65.0)
    found = doubts.changes(row, row, "", 8)
    assert any("shows 44 railcars or more in the part seen then" in line for line in found)
    assert any("outside 44\u201365 in the part seen then" in line for line in found)


def test_counts_by_eye_of_counted_dates_test_the_intervals(tmp_path: Path, run: Path) -> None:
    assert "cannot test the intervals" in told(run)["Counts by eye"]
    days = history(30)
    lines = f"a,{days[2].date},{days[2].n},,\na,{days[3].date},{days[3].n + 50},,\n"
    both = make_run(tmp_path / "both", {"a": ("A", days)}, by_eye=EYE + lines, pictures=0)
    assert "On 2 dates there is a count of the run too" in told(both)["Counts by eye"]
    assert "inside its 95 % interval on 1 of them" in told(both)["Counts by eye"]
    assert "Counts by eye" not in told(make_run(tmp_path / "none", {"a": ("A", days)}, pictures=0))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({}, "an image from before 5\u00a0October 2023 that shows 68 railcars or more"),
        ({"surge": "elevated"}, "a count by eye on the image of 5\u00a0October 2023 outside"),
        ({"surge": "too few dates", "baseline_n": 5, "baseline_whole": 5}, "8 are needed for a verdict"),
        ({"flags": "domain:black_point;insured"}, "like the calibration images in haze"),
        ({"observed_fraction": 0.8}, "when 80\u202f% was in view"),
    ],
)
def test_what_would_change_our_mind_follows_from_the_row(run: Path, columns: dict[str, Any], said: str) -> None:
    row = changed(run, **columns)
    lines = doubts.changes(row, row, "Yard", 8)
    assert any(said in line for line in lines)
    assert all(line.startswith("Yard: ") for line in lines)


def test_a_count_without_interval_overturns_nothing(run: Path) -> None:
    row = changed(run, lo95=float("nan"), hi95=float("nan"))
    assert doubts.changes(row, row, "Yard", 8) == []


def test_facilities_that_no_image_shows_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"a": ("A", [Day(history(2)[-1].date, 6, 0)])}, pictures=0)
    path = run / "facilities.geojson"
    table = json.loads(path.read_text())
    table["features"] += [{"properties": {"facility_id": f"z{i}", "name": f"Yard {i}"}} for i in range(5)]
    path.write_text(json.dumps(table))
    assert told(run)["Hidden parts"].endswith("No image shows Yard 0, Yard 1, Yard 2 and 2 more.")


def test_one_date_is_spoken_of_in_the_singular(tmp_path: Path) -> None:
    day = history(2)[-1]
    text = told(make_run(tmp_path / "run", {"a": ("A", [Day(day.date, 6, 0)])}, pictures=0))
    assert text["These images"] == "The image is like those of the calibration."
    assert text["Hidden parts"].startswith("The whole facility was in view on 1 date,")
