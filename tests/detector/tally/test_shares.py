"""Facilities counted in shares, and in several processes, are counted as in one."""

import os
import signal
from datetime import date, timedelta
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.config import class_table, count_config
from detector.errors import UsageError
from detector.tally import shares as module
from detector.tally.calibration_file import CalibrationFile
from detector.tally.counts import Counted, count_run
from detector.tally.shares import mapped, shares
from tests.simulated_run import Tables, join, yard_run


@given(
    st.lists(st.sampled_from("abcdefg"), max_size=60), st.lists(st.sampled_from("abcdefgh"), max_size=60),
    st.integers(1, 30),
)  # fmt: skip
def test_each_row_is_in_one_share_with_its_facility(seen: list[str], found: list[str], at_once: int) -> None:
    scenes, detections = (pd.DataFrame({"facility_id": pd.Series(ids, dtype=str)}) for ids in (seen, found))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SCENES", at_once)
        parts = shares(detections, scenes)
    for table, rows in ((detections, [part.detections for part in parts]), (scenes, [part.scenes for part in parts])):
        assert sorted(np.concatenate([np.zeros(0, int), *rows]).tolist()) == list(range(len(table)))
        assert all((np.diff(each) > 0).all() for each in rows)
        ids = [set(table["facility_id"].iloc[each]) for each in rows]
        assert sum(map(len, ids)) == len(set(table["facility_id"]))
    assert len(parts) == 1 or len(scenes) >= 2 * at_once


def run_of(n_facilities: int) -> Tables:
    days = [date(2023, 1, 1) + timedelta(days=30 * i) for i in range(4)]
    yards = []
    for number in range(n_facilities):
        rng = np.random.default_rng(number)
        yards.append(yard_run(dict.fromkeys(days, 5 + number), rng, facility_id=f"yard-{number}",
                              seen_share={days[2]: 0.7}))  # fmt: skip
    return join(yards)


def counted(run: Tables, calibration: CalibrationFile, told: list[tuple[int, int]] | None = None) -> Counted:
    progress = None if told is None else lambda *how_far: told.append(how_far)
    return count_run(run.detections, run.scenes, calibration=calibration, history=None, config=count_config(),
                     classes=class_table(), progress=progress)  # fmt: skip


def test_counts_do_not_depend_on_the_shares(monkeypatch: pytest.MonkeyPatch, calibration_file: CalibrationFile) -> None:
    run = run_of(5)
    whole = counted(run, calibration_file)
    monkeypatch.setattr(module, "_SCENES", 4)
    monkeypatch.setattr(module, "cpu_count", lambda: 2)
    assert len(shares(run.detections, run.scenes)) == 5
    told: list[tuple[int, int]] = []
    apart = counted(run, calibration_file, told)
    assert told == [(4, 20)] * 5
    for name in ("counts", "totals"):
        pd.testing.assert_frame_equal(getattr(whole, name), getattr(apart, name))
    assert np.array_equal(whole.p_true, apart.p_true) and whole.flags == apart.flags


def fail(_: pd.DataFrame, scenes: pd.DataFrame) -> int:
    if scenes["facility_id"].iloc[0] == "bad":
        raise UsageError("bad cannot be counted.", "Leave it out.")
    return len(scenes)


def test_what_fails_in_another_process_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cpu_count", lambda: 2)
    one = partial(pd.DataFrame, columns=["facility_id"])
    tables = [(one(), one([["good"]])), (one(), one([["bad"]]))]
    with pytest.raises(UsageError, match="bad cannot be counted"):
        list(mapped(fail, tables, 2))


def rows_or_death(alive: int, _: pd.DataFrame, scenes: pd.DataFrame) -> int:
    if os.getpid() != alive:
        os.kill(os.getpid(), signal.SIGKILL)
    return len(scenes)


def test_where_processes_are_killed_this_one_goes_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cpu_count", lambda: 2)
    tables = [(pd.DataFrame(), pd.DataFrame(range(n))) for n in range(6)]
    assert list(mapped(partial(rows_or_death, os.getpid()), tables, 6)) == list(range(6))


def test_where_the_system_allows_no_processes_this_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(module, "cpu_count", lambda: 2)
    monkeypatch.setattr(module, "ProcessPoolExecutor", refuse)
    tables = [(pd.DataFrame(), pd.DataFrame(range(n))) for n in range(3)]
    assert list(mapped(partial(rows_or_death, os.getpid()), tables, 3)) == [0, 1, 2]
