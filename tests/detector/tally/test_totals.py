"""Sums of a run."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from detector.config import class_table, count_config
from detector.tally.calibration_file import CalibrationFile
from detector.tally.counts import Counted, count_run
from detector.tally.totals import TOTALS_COLUMNS, flag_overlaps
from tests.simulated_run import Tables, join, yard_run
from tests.simulation import World

EASY = World(facility_sd=0.05, scene_sd=0.1, string_sd=0.1, false_per_scene=2.0, recall_logit=3.0)
DAY, OTHER = date(2023, 10, 5), date(2023, 11, 2)
TRUE = {"north": 40, "south": 25, "west": 12}


def count(tables: Tables, calibration: CalibrationFile | None) -> Counted:
    return count_run(
        tables.detections,
        tables.scenes,
        calibration=calibration,
        history=None,
        config=count_config().model_copy(update={"draws": 400}),
        classes=class_table(),
    )


@pytest.fixture(scope="module")
def three() -> Tables:
    """Three yards, of which one is seen half on the second date and one not at all."""
    rng = np.random.default_rng(5)
    north, south = (
        yard_run({DAY: TRUE[name], OTHER: 30}, rng, facility_id=name, world=EASY, seen_share={OTHER: share})
        for name, share in (("north", 1.0), ("south", 0.6))
    )
    return join([north, south, yard_run({DAY: TRUE["west"]}, rng, facility_id="west", world=EASY)])


@pytest.fixture(scope="module")
def counted(three: Tables, calibration_file: CalibrationFile) -> Counted:
    return count(three, calibration_file)


def row_of(totals: pd.DataFrame, day: date, scope: str, group: str) -> Mapping[str, Any]:
    rows = totals[(totals["date"] == day) & (totals["scope"] == scope) & (totals["group"] == group)].to_dict("records")
    assert len(rows) == 1
    return {str(key): value for key, value in rows[0].items()}


def test_the_table_is_the_contract(counted: Counted) -> None:
    assert tuple(counted.totals.columns) == TOTALS_COLUMNS
    assert set(counted.totals["scope"]) == {"all", "north", "south", "west"}
    assert set(counted.totals["group"]) == {"railcar", "locomotive", "container", "tarped", "rail_vehicle"}
    assert set(counted.totals.loc[counted.totals["scope"] != "all", "group"]) == {"rail_vehicle"}


def test_facilities_in_one_scene_share_its_effect(three: Tables, calibration_file: CalibrationFile) -> None:
    hours = {"north": 0, "south": 1, "west": 2}
    apart = Tables(
        *(
            table.assign(acquired=table["acquired"] + pd.to_timedelta(table["facility_id"].map(hours), unit="h"))
            for table in (three.detections, three.scenes)
        ),
        {},
    )
    at_once, in_turn = (
        row_of(count(tables, calibration_file).totals, DAY, "all", "railcar") for tables in (three, apart)
    )
    assert at_once["hi95"] - at_once["lo95"] > in_turn["hi95"] - in_turn["lo95"]


def test_all_facilities_hold_the_sum_of_the_truth_more_narrowly_than_added_ends(counted: Counted) -> None:
    row = row_of(counted.totals, DAY, "all", "railcar")
    parts = counted.counts[(counted.counts["date"] == DAY) & (counted.counts["group"] == "railcar")]
    assert row["n_facilities"] == 3
    assert row["lo95"] <= sum(TRUE.values()) <= row["hi95"]
    assert row["hi95"] - row["lo95"] < (parts["hi95"] - parts["lo95"]).sum()
    assert row["hi95"] - row["lo95"] > (parts["hi95"] - parts["lo95"]).max()
    assert row["count"] == pytest.approx(parts["count"].sum(), abs=4)
    ends = [row[name] for name in ("lo95", "lo90", "lo80", "lo50", "count", "hi50", "hi80", "hi90", "hi95")]
    assert ends == sorted(ends)


def test_rail_vehicles_are_railcars_and_locomotives(counted: Counted) -> None:
    row = row_of(counted.totals, DAY, "north", "rail_vehicle")
    parts = counted.counts[(counted.counts["date"] == DAY) & (counted.counts["facility_id"] == "north")]
    parts = parts[parts["group"].isin(["railcar", "locomotive"])]
    assert row["n_facilities"] == 1
    assert parts["lo95"].sum() <= row["lo95"] <= row["count"] <= row["hi95"] <= parts["hi95"].sum()
    assert "calibration:railcar" in row["flags"]


def test_a_facility_seen_in_part_is_in_no_sum(counted: Counted) -> None:
    row = row_of(counted.totals, OTHER, "all", "railcar")
    assert row["n_facilities"] == 1
    assert "left_out:1" in row["flags"].split(";")
    alone = counted.counts[(counted.counts["date"] == OTHER) & (counted.counts["facility_id"] == "north")]
    alone = alone[alone["group"] == "railcar"].iloc[0]
    assert [row[name] for name in ("count", "lo95", "hi95", "lo50", "hi50")] == [
        alone[name] for name in ("count", "lo95", "hi95", "lo50", "hi50")
    ]
    scopes = counted.totals.loc[counted.totals["date"] == OTHER, "scope"]
    assert set(scopes) == {"all", "north"}


def flags_of_all(totals: pd.DataFrame, day: date) -> set[str]:
    return set(totals.loc[(totals["scope"] == "all") & (totals["date"] == day), "flags"])


def test_sums_that_hold_ground_twice_say_so(counted: Counted) -> None:
    pairs = [("north", "south"), ("north", "west"), ("east", "north")]
    flagged = flag_overlaps(counted.totals, pairs)
    assert all(flags.split(";")[0] == "overlap:2" for flags in flags_of_all(flagged, DAY))
    assert flags_of_all(flagged, OTHER) == flags_of_all(counted.totals, OTHER)  # south is not in that sum
    single = flagged["scope"] != "all"
    pd.testing.assert_frame_equal(flagged[single], counted.totals[single])
    pd.testing.assert_frame_equal(flagged.drop(columns="flags"), counted.totals.drop(columns="flags"))
    pd.testing.assert_frame_equal(flag_overlaps(counted.totals, []), counted.totals)
    assert flag_overlaps(counted.totals.iloc[:0], pairs).empty


def test_the_order_of_rows_does_not_matter(three: Tables, counted: Counted, calibration_file: CalibrationFile) -> None:
    mixed = Tables(three.detections.sample(frac=1, random_state=1), three.scenes.sample(frac=1, random_state=2), {})
    pd.testing.assert_frame_equal(count(mixed, calibration_file).totals, counted.totals)


def test_scenes_unlike_the_calibration_are_named_in_the_sum(three: Tables, calibration_file: CalibrationFile) -> None:
    coarse = three.scenes.assign(gsd_m=np.where(three.scenes["facility_id"] == "west", 0.9, three.scenes["gsd_m"]))
    row = row_of(count(Tables(three.detections, coarse, {}), calibration_file).totals, DAY, "all", "railcar")
    assert "insured:1" in row["flags"].split(";")


def test_without_a_calibration_sums_have_no_interval(three: Tables) -> None:
    totals = count(three, None).totals
    assert totals["count"].notna().all()
    assert totals[[name for name in TOTALS_COLUMNS if name.startswith(("lo", "hi"))]].isna().all(axis=None)
    assert totals["flags"].str.contains("no_calibration").all()


def test_all_levels_of_partly_seen_rows_nest(counted: Counted) -> None:
    row = counted.counts[(counted.counts["facility_id"] == "south") & (counted.counts["date"] == OTHER)]
    row = row[row["group"] == "railcar"].iloc[0]
    ends = [row[name] for name in ("lo95", "lo90", "lo80", "lo50", "hi50", "hi80", "hi90", "hi95")]
    assert ends == sorted(ends)
    assert row["hi50"] > row["lo50"]


def test_a_run_without_scenes_has_no_sums(three: Tables, calibration_file: CalibrationFile) -> None:
    empty = Tables(three.detections.iloc[:0], three.scenes.iloc[:0], {})
    totals = count(empty, calibration_file).totals
    assert tuple(totals.columns) == TOTALS_COLUMNS
    assert totals.empty
