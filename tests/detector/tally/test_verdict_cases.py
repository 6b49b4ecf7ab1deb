"""The verdict from tables to words: the case of the seed, histories by eye, releases and streams."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from detector.config import CountConfig, class_table, count_config
from detector.tally.calibration_file import CalibrationFile
from detector.tally.counts import Counted, count_run
from tests.simulated_run import Tables, join, yard_run
from tests.simulation import World

EASY = World(facility_sd=0.05, scene_sd=0.1, string_sd=0.1, false_per_scene=2.0, recall_logit=3.0)
SURGE_DAY, AFTER = date(2023, 10, 5), date(2023, 11, 20)
CLASSES = class_table()
CLASSES = CLASSES.model_copy(update={"groups": {name: CLASSES.groups[name] for name in ("railcar", "locomotive")}})
CONFIG = count_config().model_copy(update={"draws": 300})
STREAM = CONFIG.model_copy(update={"control": "stream"})


def quiet(n: int, seed: int = 0) -> dict[date, int]:
    """Counts of at most 20, 47 days apart."""
    rng = np.random.default_rng(seed)
    numbers = np.minimum(rng.poisson(9 * rng.gamma(3.0, 1 / 3, n)), 19)
    numbers[n // 2] = 20
    return {date(2018, 3, 1) + timedelta(days=47 * i): int(number) for i, number in enumerate(numbers)}


def by_eye(numbers: Mapping[date, int], facility_id: str = "yard") -> pd.DataFrame:
    return pd.DataFrame({"facility_id": facility_id, "date": list(numbers), "count": list(numbers.values())})


def count(
    tables: Tables, calibration: CalibrationFile, history: pd.DataFrame | None = None, config: CountConfig = CONFIG
) -> Counted:
    return count_run(
        tables.detections,
        tables.scenes,
        calibration=calibration,
        history=history,
        config=config,
        classes=CLASSES,
    )


def row_of(counted: Counted, day: date, facility_id: str = "yard") -> Mapping[str, Any]:
    counts = counted.counts
    is_asked = (counts["date"] == day) & (counts["group"] == "railcar") & (counts["facility_id"] == facility_id)
    (row,) = counts[is_asked].to_dict("records")
    return {str(key): value for key, value in row.items()}


def until(tables: Tables, day: date) -> Tables:
    kept = tables.scenes["acquired"].dt.date <= day
    known = tables.detections["scene_id"].isin(set(tables.scenes["scene_id"][kept]))
    return Tables(tables.detections[known], tables.scenes[kept], tables.truth)


@pytest.fixture(scope="module")
def yard() -> Tables:
    """41 dates of at most 20 cars, then 73, then 25."""
    return yard_run({**quiet(41), SURGE_DAY: 73, AFTER: 25}, np.random.default_rng(21), world=EASY)


@pytest.mark.parametrize("config", [CONFIG, STREAM], ids=["release", "stream"])
def test_the_case_the_project_is_for(yard: Tables, calibration_file: CalibrationFile, config: CountConfig) -> None:
    counted = count(yard, calibration_file, config=config)
    surge, after = row_of(counted, SURGE_DAY), row_of(counted, AFTER)
    assert (surge["surge"], surge["baseline_n"]) == ("yes", 41)
    assert surge["p_surge"] > 0.999
    assert surge["p_rank"] == pytest.approx(1 / 42)
    control = {
        "release": "a surge, confirmed against all counts of railcars in this run (Benjamini-Hochberg, 5 %)",
        "stream": "a surge, confirmed against all counts of railcars up to then (LORD++, 2 %)",
    }[config.control]
    assert control in surge["verdict"]
    assert (after["surge"], after["baseline_n"]) == ("within usual range", 42)
    assert "within the usual range of the 42 dates since 2018" in after["verdict"]


def test_five_dates_are_too_few(calibration_file: CalibrationFile) -> None:
    tables = yard_run({**quiet(5), SURGE_DAY: 73}, np.random.default_rng(6), world=EASY)
    row = row_of(count(tables, calibration_file), SURGE_DAY)
    assert row["surge"] == "too few dates"
    assert row["verdict"].endswith("only 5 earlier dates to compare with, too few for a verdict")


@pytest.mark.parametrize("n_by_eye", [41, 21], ids=["all by eye", "half by eye"])
def test_a_history_by_eye_gives_the_same_verdicts(
    yard: Tables, calibration_file: CalibrationFile, n_by_eye: int
) -> None:
    past = quiet(41)
    told = dict(list(past.items())[:n_by_eye])
    kept = yard.scenes["acquired"].dt.date.map(lambda day: day not in told)
    known = yard.detections["scene_id"].isin(set(yard.scenes["scene_id"][kept]))
    rest = Tables(yard.detections[known], yard.scenes[kept], yard.truth)
    counted = count(rest, calibration_file, by_eye(told))
    surge, after = row_of(counted, SURGE_DAY), row_of(counted, AFTER)
    assert (surge["surge"], surge["baseline_n"], surge["baseline_since"]) == ("yes", 41, date(2018, 3, 1))
    assert surge["p_surge"] > 0.999
    assert (after["surge"], after["baseline_n"]) == ("within usual range", 42)


def test_five_dates_by_eye_are_too_few_and_three_more_are_not(calibration_file: CalibrationFile) -> None:
    tables = yard_run({SURGE_DAY: 73}, np.random.default_rng(3), world=EASY)
    words = [row_of(count(tables, calibration_file, by_eye(quiet(n))), SURGE_DAY)["surge"] for n in (5, 7, 8)]
    assert words == ["too few dates", "too few dates", "yes"]


def test_stated_errors_of_counts_by_eye_are_used(calibration_file: CalibrationFile) -> None:
    tables = yard_run({SURGE_DAY: 40}, np.random.default_rng(3), world=EASY)
    past = by_eye(quiet(20))
    unsure = past.assign(lo=past["count"] * 0.5, hi=past["count"] * 3.0)
    sure, doubtful = (row_of(count(tables, calibration_file, table), SURGE_DAY) for table in (past, unsure))
    assert doubtful["p_surge"] < sure["p_surge"]


def test_a_count_by_eye_stands_in_for_a_date_that_was_hardly_seen(calibration_file: CalibrationFile) -> None:
    past = quiet(10)
    first, second = list(past)[:2]
    hidden = {first: 0.1, second: 0.5}  # the run says nothing of the first, and only a lower bound of the second
    tables = yard_run({**past, SURGE_DAY: 40}, np.random.default_rng(4), seen_share=hidden, world=EASY)
    alone = row_of(count(tables, calibration_file), SURGE_DAY)
    told = row_of(count(tables, calibration_file, by_eye({first: 60, second: 70})), SURGE_DAY)
    assert (alone["baseline_n"], told["baseline_n"], told["baseline_max"]) == (9, 10, 70)
    assert told["surge"] == "within usual range"


def test_counts_by_eye_of_the_whole_are_flagged_where_today_is_partly_seen(calibration_file: CalibrationFile) -> None:
    days = {SURGE_DAY: 73}
    part, whole = (
        yard_run(days, np.random.default_rng(3), seen_share=shown, world=EASY) for shown in ({SURGE_DAY: 0.6}, None)
    )
    flags = [
        row_of(count(t, calibration_file, by_eye(quiet(20))), SURGE_DAY)["flags"].split(";") for t in (part, whole)
    ]
    assert "eye_counts_whole" in flags[0]
    assert "eye_counts_whole" not in flags[1]


def two_yards() -> Tables:
    """Two facilities on the same dates, one with a surge early, the other with one at the end."""
    past = quiet(20)
    early = {day: (70 if i == 12 else number) for i, (day, number) in enumerate(past.items())}
    one = yard_run({**early, SURGE_DAY: 12}, np.random.default_rng(40), facility_id="a", world=EASY)
    other = yard_run({**quiet(20, seed=1), SURGE_DAY: 73}, np.random.default_rng(41), facility_id="b", world=EASY)
    return join([one, other])


def test_in_a_stream_later_dates_change_no_verdict(calibration_file: CalibrationFile) -> None:
    tables = two_yards()
    whole = count(tables, calibration_file, config=STREAM).counts
    assert set(whole["surge"]) >= {"yes", "within usual range", "too few dates"}
    for day in list(quiet(20))[12::4]:
        then = count(until(tables, day), calibration_file, config=STREAM).counts
        now = whole[whole["date"] <= day].reset_index(drop=True)
        pd.testing.assert_frame_equal(then[["surge", "verdict"]], now[["surge", "verdict"]])


def test_in_a_release_all_dates_together_decide(calibration_file: CalibrationFile) -> None:
    counted = count(two_yards(), calibration_file)
    assert row_of(counted, SURGE_DAY, "b")["surge"] == "yes"
    rows = counted.counts[counted.counts["group"] == "railcar"]
    assert (rows["surge"] == "yes").sum() == 2
