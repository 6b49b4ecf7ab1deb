"""From a run's tables to counts and verdicts."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from shapely.geometry.base import BaseGeometry

from detector.config import class_table, count_config
from detector.errors import UsageError
from detector.tally.calibration_file import CalibrationFile
from detector.tally.counts import COLUMNS, Counted, count_run
from detector.tally.sightings import find_views
from tests.simulated_run import Tables, inside, join, outline, yard_run
from tests.simulation import World

EASY = World(facility_sd=0.05, scene_sd=0.1, string_sd=0.1, false_per_scene=2.0, recall_logit=3.0)
LAST = date(2023, 10, 5)


def dates(n: int, first: date = date(2018, 3, 1), step: int = 47) -> list[date]:
    return [first + timedelta(days=step * i) for i in range(n)]


def quiet(n: int, seed: int = 0) -> dict[date, int]:
    """Counts of at most 20."""
    rng = np.random.default_rng(seed)
    numbers = np.minimum(rng.poisson(9 * rng.gamma(3.0, 1 / 3, n)), 19)
    numbers[n // 2] = 20
    return dict(zip(dates(n), numbers.tolist(), strict=True))


def count(tables: Tables, calibration: CalibrationFile | None, history: pd.DataFrame | None = None) -> Counted:
    return count_run(
        tables.detections,
        tables.scenes,
        calibration=calibration,
        history=history,
        config=count_config().model_copy(update={"draws": 300}),
        classes=class_table(),
    )


def row_of(counted: Counted, day: date, group: str = "railcar") -> Mapping[str, Any]:
    counts = counted.counts
    rows = counts[(counts["date"] == day) & (counts["group"] == group)].to_dict("records")
    assert len(rows) == 1
    return {str(key): value for key, value in rows[0].items()}


@pytest.fixture(scope="module")
def yard() -> Tables:
    return yard_run({**quiet(41), LAST: 73}, np.random.default_rng(21), world=EASY)


@pytest.fixture(scope="module")
def counted(yard: Tables, calibration_file: CalibrationFile) -> Counted:
    return count(yard, calibration_file)


def test_the_case_the_project_is_for(counted: Counted) -> None:
    row = row_of(counted, LAST)
    assert row["surge"] == "yes"
    assert row["p_surge"] > 0.999
    assert row["lo95"] <= 73 <= row["hi95"]
    assert row["baseline_n"] == 41
    assert row["baseline_max"] == pytest.approx(20, abs=4)
    assert row["verdict"].startswith(f"{row['count']:.0f} railcars, 95 % interval ")
    assert "on 5 October 2023; the most seen on the 41 dates since 2018 was" in row["verdict"]
    assert row["verdict"].endswith("probability that this is a new record > 0.999")


def test_no_quiet_date_is_a_surge(counted: Counted) -> None:
    earlier = counted.counts[(counted.counts["date"] < LAST) & (counted.counts["group"] == "railcar")]
    assert "yes" not in set(earlier["surge"])
    assert (earlier["surge"] == "too few dates").sum() == 8


def test_the_table_is_the_contract(counted: Counted) -> None:
    counts = counted.counts
    assert tuple(counts.columns) == COLUMNS
    assert len(counts) == 42 * 4
    assert (counts["lo95"] <= counts["lo80"]).all()
    assert (counts["hi80"] <= counts["hi95"]).all()
    assert (counts["lo80"] <= counts["count"]).all()
    assert (counts["count"] <= counts["hi80"]).all()
    assert not counts.duplicated(["facility_id", "date", "group"]).any()


def test_intervals_cover_the_simulated_truth(calibration_file: CalibrationFile) -> None:
    rng = np.random.default_rng(5)
    yards = []
    for i in range(12):
        numbers = dict(zip(dates(5), rng.integers(0, 120, 5).tolist(), strict=True))
        yards.append((numbers, yard_run(numbers, rng, facility_id=f"y{i}")))
    counts = count(join([tables for _, tables in yards]), calibration_file).counts
    rows = counts[counts["group"] == "railcar"]
    truth = np.array([yards[int(i[1:])][0][day] for i, day in zip(rows["facility_id"], rows["date"], strict=True)])
    assert ((rows["lo95"] <= truth) & (truth <= rows["hi95"])).mean() >= 0.88


def test_the_order_of_rows_does_not_matter(yard: Tables, counted: Counted, calibration_file: CalibrationFile) -> None:
    shuffled = Tables(
        yard.detections.sample(frac=1, random_state=1), yard.scenes.sample(frac=1, random_state=2), yard.truth
    )
    again = count(shuffled, calibration_file)
    pd.testing.assert_frame_equal(again.counts, counted.counts)
    assert np.allclose(again.p_true[np.argsort(shuffled.detections.index)], counted.p_true)


def test_counts_of_the_past_do_not_change_when_a_run_grows(
    yard: Tables, counted: Counted, calibration_file: CalibrationFile
) -> None:
    before = yard.scenes["acquired"].dt.date < LAST
    known = set(yard.scenes["scene_id"][before])
    past = Tables(yard.detections[yard.detections["scene_id"].isin(known)], yard.scenes[before], yard.truth)
    columns = ["count", "lo95", "hi95", "p_usual", "p_surge", "p_rank"]
    then = count(past, calibration_file).counts[columns]
    now = counted.counts[counted.counts["date"] < LAST][columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(then, now)


def test_p_true_orders_and_fills_all_rows(yard: Tables, counted: Counted) -> None:
    table = yard.detections.assign(p_true=counted.p_true)
    assert table["p_true"].between(0, 1).all()
    one = table[table["scene_id"] == table["scene_id"].iloc[-1]]
    assert (np.diff(one.sort_values("score")["p_true"]) >= 0).all()


def test_without_a_calibration_there_are_counts_but_no_intervals_and_no_verdicts(yard: Tables) -> None:
    rows = count(yard, None).counts
    assert rows["flags"].str.contains("no_calibration").all()
    unknown = ["lo95", "hi95", "lo80", "hi80", "seen_lo95", "seen_hi95", "p_surge", "p_usual"]
    assert rows[unknown].isna().all(axis=None)
    assert set(rows["surge"]) == {"not calibrated"}
    row = row_of(count(yard, None), LAST)
    assert row["count"] == pytest.approx(73, abs=15)
    assert row["verdict"].startswith(f"{row['count']:.0f} railcars on 5 October 2023; no interval")
    assert "`make calibrate` fits one; the most seen on the 41 dates since 2018 was" in row["verdict"]
    assert row["verdict"].endswith("no verdict")


def test_without_a_calibration_a_partly_seen_yard_has_no_count() -> None:
    tables = yard_run({**quiet(9), LAST: 73}, np.random.default_rng(31), seen_share={LAST: 0.3}, world=EASY)
    row = row_of(count(tables, None), LAST)
    assert np.isnan(row["count"])
    assert np.isnan(row["lo95"])
    assert row["verdict"].startswith("too little seen to count railcars on 5 October 2023")


def test_a_group_that_no_calibration_covers_has_no_interval(yard: Tables, calibration_file: CalibrationFile) -> None:
    empty = calibration_file.model_copy(update={"groups": {}})
    row = row_of(count(yard, empty), LAST)
    assert np.isnan(row["hi95"])
    assert "no_calibration" in row["flags"].split(";")


def test_counts_by_eye_serve_as_history(calibration_file: CalibrationFile) -> None:
    tables = yard_run({LAST: 73}, np.random.default_rng(3), world=EASY)
    past = quiet(41)
    history = pd.DataFrame({"facility_id": "yard", "date": list(past), "count": list(past.values())})
    history["lo"] = history["hi"] = np.nan
    counted = count(tables, calibration_file, history)
    row = row_of(counted, LAST)
    assert (row["baseline_n"], row["baseline_max"], row["surge"]) == (41, 20, "yes")
    assert row_of(counted, LAST, "container")["baseline_n"] == 0
    assert "no earlier date" in row_of(counted, LAST, "container")["verdict"]


def test_the_run_prevails_over_a_count_by_eye_of_the_same_date(calibration_file: CalibrationFile) -> None:
    past = quiet(10)
    tables = yard_run({**past, LAST: 30}, np.random.default_rng(4), world=EASY)
    history = pd.DataFrame({"facility_id": "yard", "date": [str(next(iter(past)))], "count": [500]})
    row = row_of(count(tables, calibration_file, history), LAST)
    assert row["baseline_n"] == 10
    assert row["baseline_max"] < 40


def test_few_dates_give_no_probabilities(calibration_file: CalibrationFile) -> None:
    tables = yard_run({**quiet(5), LAST: 73}, np.random.default_rng(6), world=EASY)
    row = row_of(count(tables, calibration_file), LAST)
    assert row["surge"] == "too few dates"
    assert np.isnan(row["p_surge"])
    assert np.isnan(row["p_usual"])
    assert "only 5 earlier dates to compare with" in row["verdict"]


@pytest.fixture(scope="module")
def partly(calibration_file: CalibrationFile) -> dict[float, Mapping[str, Any]]:
    """The last date of a yard with 73 cars at three visible shares."""
    rows = {}
    for share in (0.3, 0.6, 0.85):
        rng = np.random.default_rng(31)
        tables = yard_run({**quiet(30), LAST: 73}, rng, seen_share={LAST: share}, world=EASY)
        rows[share] = row_of(count(tables, calibration_file), LAST)
    return rows


def test_a_partly_seen_yard_is_never_counted_as_empty(partly: dict[float, Mapping[str, Any]]) -> None:
    least, interval, total = partly[0.3], partly[0.6], partly[0.85]
    assert np.isnan(least["count"])
    assert np.isnan(least["hi95"])
    assert 10 <= least["lo95"] <= 40
    assert "at_least" in least["flags"].split(";")
    assert least["verdict"].startswith("at least ")
    assert "30 % of the facility was seen" in least["verdict"]
    assert np.isnan(interval["count"])
    assert "no_estimate" in interval["flags"]
    for row in (interval, total):
        assert row["lo95"] <= 73 <= row["hi95"]
        assert row["lo95"] >= row["seen_lo95"]
        assert "partial" in row["flags"].split(";")
    assert total["lo95"] <= total["count"] <= total["hi95"]
    assert total["count"] > total["seen_count"]


def test_a_partly_seen_yard_is_compared_with_its_common_footprint(
    partly: dict[float, Mapping[str, Any]],
) -> None:
    # A third of the yard holds a third of its 20: the history is cut to what is visible today.
    assert partly[0.3]["baseline_max"] < 15
    assert partly[0.3]["baseline_n"] == 30
    assert partly[0.3]["surge"] == "yes"
    assert "in the part seen" in partly[0.3]["verdict"]


def test_a_partly_seen_quiet_date_is_no_surge(calibration_file: CalibrationFile) -> None:
    tables = yard_run({**quiet(30), LAST: 10}, np.random.default_rng(8), seen_share={LAST: 0.5}, world=EASY)
    assert row_of(count(tables, calibration_file), LAST)["surge"] == "within usual range"


def test_partly_seen_dates_of_the_past_are_lower_bounds(calibration_file: CalibrationFile) -> None:
    past = quiet(20)
    numbers = {**past, LAST: 40}
    whole = yard_run(numbers, np.random.default_rng(9), world=EASY)
    halved = yard_run(numbers, np.random.default_rng(9), seen_share=dict.fromkeys(list(past)[:8], 0.5), world=EASY)
    full, half = (row_of(count(tables, calibration_file), LAST) for tables in (whole, halved))
    assert half["baseline_n"] == 20
    assert half["p_rank"] == pytest.approx(1 / 13)
    assert full["p_rank"] == pytest.approx(1 / 21)
    assert half["p_usual"] > full["p_usual"]
    assert half["p_surge"] < full["p_surge"]


def test_a_date_that_shows_nothing_has_no_row(calibration_file: CalibrationFile) -> None:
    tables = yard_run({**quiet(9), LAST: 40}, np.random.default_rng(10), world=EASY)
    blind = tables.scenes.copy()
    blind.loc[blind["acquired"].dt.date == LAST, "observed_fraction"] = 0.0
    counts = count(Tables(tables.detections, blind, {}), calibration_file).counts
    assert LAST not in set(counts["date"])


def again(tables: Tables, scene_id: str, minutes: int, region: BaseGeometry | None = None) -> Tables:
    """The last date's scene once more, under another name, later, and cut to a region."""
    scene = tables.scenes.iloc[[-1]]
    later = scene["acquired"].iloc[0] + timedelta(minutes=minutes)
    found = tables.detections[tables.detections["scene_id"] == scene["scene_id"].iloc[0]]
    if region is not None:
        share = region.area / outline().area
        scene = scene.assign(observed_fraction=share).set_geometry([region], crs="EPSG:4326")
        found = inside(found, region)
    return Tables(found.assign(scene_id=scene_id, acquired=later), scene.assign(scene_id=scene_id, acquired=later), {})


def test_two_scenes_of_one_date_are_one_count(calibration_file: CalibrationFile) -> None:
    tables = yard_run({**quiet(9), LAST: 60}, np.random.default_rng(12), world=EASY)
    single = row_of(count(tables, calibration_file), LAST)
    both = row_of(count(join([tables, again(tables, "b-0123abcd", 3)]), calibration_file), LAST)
    later = row_of(count(join([tables, again(tables, "b-0123abcd", 300)]), calibration_file), LAST)
    assert both["n_scenes"] == 2
    assert both["count"] == pytest.approx(single["count"], abs=2)
    assert both["hi95"] - both["lo95"] <= single["hi95"] - single["lo95"]
    assert later["n_scenes"] == 1
    assert "other_times_unused" in later["flags"]
    assert later["count"] == pytest.approx(single["count"], abs=2)


def test_a_blurred_scene_of_the_same_minute_takes_no_part(calibration_file: CalibrationFile) -> None:
    tables = yard_run({**quiet(9), LAST: 60}, np.random.default_rng(12), world=EASY)
    tables = replace(tables, scenes=tables.scenes.assign(sharpness=0.2))
    single = row_of(count(tables, calibration_file), LAST)
    blurred = again(tables, "a-0123abcd", 3)
    blurred = Tables(blurred.detections.iloc[::4], blurred.scenes.assign(sharpness=0.1), {})
    both = row_of(count(join([tables, blurred]), calibration_file), LAST)
    assert [both[name] for name in ("count", "lo95", "hi95")] == [single[name] for name in ("count", "lo95", "hi95")]
    assert both["n_scenes"] == 1
    assert "scenes_left_out" in both["flags"].split(";") and "several_scenes" not in both["flags"]
    assert "scenes_left_out" not in single["flags"]


def test_a_scene_that_shows_no_more_is_not_named(calibration_file: CalibrationFile) -> None:
    tables = yard_run({**quiet(9), LAST: 60}, np.random.default_rng(12), world=EASY)
    single = row_of(count(tables, calibration_file), LAST)
    both = row_of(count(join([tables, again(tables, "b-0123abcd", 3, outline(0.5))]), calibration_file), LAST)
    assert {name: both[name] for name in ("count", "n_scenes", "flags")} == {
        name: single[name] for name in ("count", "n_scenes", "flags")
    }


def test_two_parts_minutes_apart_make_one_whole(calibration_file: CalibrationFile) -> None:
    tables = yard_run({**quiet(9), LAST: 60}, np.random.default_rng(13), world=EASY)
    whole = row_of(count(tables, calibration_file), LAST)
    is_past = tables.detections["acquired"].dt.date < LAST
    past = Tables(tables.detections[is_past], tables.scenes.iloc[:-1], {})
    west = again(tables, "west-0123abcd", 0, outline(0.6))
    east = again(tables, "east-0123abcd", 2, outline().difference(outline(0.4)))
    row = row_of(count(join([past, west, east]), calibration_file), LAST)
    assert row["observed_fraction"] == pytest.approx(1, abs=0.01)
    assert row["n_detected"] == whole["n_detected"]
    assert "partial" not in row["flags"]


def test_scenes_without_georeference_are_counted(yard: Tables, calibration_file: CalibrationFile) -> None:
    bare = Tables(
        yard.detections.set_geometry([None] * len(yard.detections), crs="EPSG:4326"),
        yard.scenes.set_geometry([None] * len(yard.scenes), crs="EPSG:4326"),
        {},
    )
    row = row_of(count(bare, calibration_file), LAST)
    assert row["lo95"] <= 73 <= row["hi95"]
    assert "gsd_stated" in row["flags"].split(";")
    assert row["surge"] == "yes"


def test_parts_without_georeference_are_not_taken_for_one_another(calibration_file: CalibrationFile) -> None:
    tables = yard_run({LAST: 60}, np.random.default_rng(12), world=EASY, seen_share={LAST: 0.5})
    halves = join([tables, again(tables, "b-0123abcd", 0, outline(0.5))])
    bare = Tables(
        *(table.set_geometry([None] * len(table), crs="EPSG:4326") for table in (halves.detections, halves.scenes)), {}
    )
    row = row_of(count(bare, calibration_file), LAST)
    assert row["n_scenes"] == 1
    assert {"partial", "scenes_left_out"} <= set(row["flags"].split(";"))


def test_a_run_without_detections_counts_zero(calibration_file: CalibrationFile) -> None:
    tables = yard_run(quiet(10), np.random.default_rng(14), world=EASY)
    counts = count(Tables(tables.detections.iloc[:0], tables.scenes, {}), calibration_file).counts
    assert (counts["count"] == 0).all()
    assert (counts["lo95"] == 0).all()
    assert (counts["hi95"] > 0).all()


def test_a_run_without_scenes_gives_an_empty_table(calibration_file: CalibrationFile) -> None:
    tables = yard_run(quiet(2), np.random.default_rng(15))
    counts = count(Tables(tables.detections.iloc[:0], tables.scenes.iloc[:0], {}), calibration_file).counts
    assert tuple(counts.columns) == COLUMNS
    assert counts.empty


def test_groups_hold_their_classes(calibration_file: CalibrationFile) -> None:
    tables = yard_run({LAST: 30}, np.random.default_rng(16), class_name="tarped_railcar", world=EASY)
    counted = count(tables, calibration_file)
    assert row_of(counted, LAST, "tarped")["count"] == pytest.approx(row_of(counted, LAST)["count"], abs=1)
    assert row_of(counted, LAST, "container")["count"] == 0
    assert "calibration:railcar" in row_of(counted, LAST, "container")["flags"]


def test_a_scene_unlike_the_calibration_is_flagged(yard: Tables, calibration_file: CalibrationFile) -> None:
    coarse = yard.scenes.assign(gsd_m=np.where(yard.scenes["acquired"].dt.date == LAST, 0.9, yard.scenes["gsd_m"]))
    plain, found = (count(Tables(yard.detections, scenes, {}), calibration_file) for scenes in (yard.scenes, coarse))
    row, before = row_of(found, LAST), row_of(plain, LAST)
    assert {"domain:gsd_m", "insured"} <= set(row["flags"].split(";"))
    assert row["hi95"] - row["lo95"] > before["hi95"] - before["lo95"]
    others = found.counts[found.counts["date"] != LAST]
    assert not others["flags"].str.contains("domain").any()


def test_cars_of_half_the_size_are_flagged(yard: Tables, calibration_file: CalibrationFile) -> None:
    sides = yard.detections[["length_m", "width_m"]]
    halved = yard.detections.assign(**(sides / 2))
    flags = row_of(count(Tables(halved, yard.scenes, {}), calibration_file), LAST)["flags"].split(";")
    assert {"domain:length", "domain:width"} <= set(flags)


def test_a_run_of_an_earlier_version_is_refused_with_the_cure(yard: Tables, calibration_file: CalibrationFile) -> None:
    with pytest.raises(UsageError, match=r"no columns chroma.*same `railcars detect`"):
        count(Tables(yard.detections, yard.scenes.drop(columns=["chroma"]), {}), calibration_file)


def test_a_mosaic_with_one_unlike_scene_is_flagged(calibration_file: CalibrationFile) -> None:
    tables = yard_run(quiet(3), np.random.default_rng(14), world=EASY)
    views = find_views(tables.detections, tables.scenes, class_table())["yard"]
    domain = calibration_file.counter("railcar").domain
    strange = replace(views[1], looks=np.full_like(views[1].looks, 1e6))
    assert views[0].outside(domain) == ()
    assert views[0].joined(strange).outside(domain) == strange.joined(views[0]).outside(domain) != ()
