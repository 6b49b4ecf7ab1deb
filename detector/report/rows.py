"""The tables of a RUN as typed rows: counts, sums, and counts by eye."""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

GROUPS = ("railcar", "tarped", "locomotive", "container")


@dataclass(frozen=True)
class CountRow:
    """One row of counts.parquet; None where the table has no value.

    `hi95` is None where the facility was seen too little for an upper end: "at least `lo95`". All ends are None where
    the weights have no calibration of their own. `train_count` is the second estimate, from the length of the trains,
    of what was seen; `seen_lo95` and `seen_hi95` are the interval of that.
    """

    facility_id: str
    date: dt.date
    group: str
    n_detected: int
    count: float | None
    lo95: float | None
    hi95: float | None
    lo80: float | None
    hi80: float | None
    train_count: float | None
    seen_lo95: float | None
    seen_hi95: float | None
    observed_fraction: float
    flags: tuple[str, ...]
    baseline_n: int
    baseline_whole: int
    baseline_max: float | None
    p_surge: float | None
    p_usual: float | None
    p_rank: float | None
    surge: str
    verdict: str

    @property
    def level(self) -> float:
        """Where the row stands on a count axis: estimate, else middle of its interval, else floor."""
        return _level(self.count, self.lo95, self.hi95)

    @property
    def is_told(self) -> bool:
        """Whether there is any number: too little may have been seen, by weights without a calibration."""
        return self.count is not None or self.lo95 is not None

    @property
    def outside(self) -> tuple[str, ...]:
        """In what the picture is unlike those of the calibration: names of `domain:` flags."""
        return tuple(name.removeprefix("domain:") for name in self.flags if name.startswith("domain:"))

    def flagged(self, name: str) -> int:
        """The number that a flag `name:N` carries; 1 for a flag without number, 0 where it is not set."""
        values = [text.removeprefix(name).removeprefix(":") for text in self.flags if text.split(":")[0] == name]
        return sum(int(value or 1) for value in values)


@dataclass(frozen=True)
class SumRow:
    """One row of totals.parquet: a sum over groups of a facility, or over the facilities fully seen on a date."""

    date: dt.date
    scope: str
    group: str
    count: float | None
    lo95: float | None
    hi95: float | None
    lo80: float | None
    hi80: float | None
    n_facilities: int
    flags: tuple[str, ...]

    @property
    def level(self) -> float:
        """Where the row stands on a count axis."""
        return _level(self.count, self.lo95, self.hi95)


@dataclass(frozen=True)
class EyeRow:
    """A count by eye with its error; the ends are None where it states none."""

    date: dt.date
    count: float
    lo: float | None
    hi: float | None


def _level(count: float | None, low: float | None, high: float | None) -> float:
    if count is not None:
        return count
    return (low or 0.0) if high is None else ((low or 0.0) + high) / 2


def count_rows(counts: pd.DataFrame) -> dict[tuple[str, str], tuple[CountRow, ...]]:
    """The rows of a counts table by facility and group, each in order of date."""
    names = (
        *("count", "lo95", "hi95", "lo80", "hi80", "train_count", "seen_lo95", "seen_hi95"),
        *("baseline_max", "p_surge", "p_usual", "p_rank"),
    )
    columns: dict[str, Sequence[Any]] = {name: _numbers(counts, name) for name in names}
    columns |= {name: _texts(counts, name) for name in ("facility_id", "group", "surge", "verdict")}
    columns |= {
        "date": _dates(counts),
        "n_detected": [int(value) for value in counts["n_detected"]],
        "observed_fraction": [float(value) for value in counts["observed_fraction"]],
        "baseline_n": [int(value or 0) for value in _numbers(counts, "baseline_n")],
        "baseline_whole": [int(value or 0) for value in _numbers(counts, "baseline_whole")],
        "flags": [_flags(value) for value in counts["flags"]],
    }
    found: dict[tuple[str, str], list[CountRow]] = {}
    for values in zip(*columns.values(), strict=True):
        row = CountRow(**dict(zip(columns, values, strict=True)))
        found.setdefault((row.facility_id, row.group), []).append(row)
    return {key: tuple(sorted(rows, key=lambda row: row.date)) for key, rows in found.items()}


def rows_of(counts: pd.DataFrame, facility_id: str, group: str) -> tuple[CountRow, ...]:
    """The rows of one facility and group in order of date.

    Raises:
        ValueError: the table has none.
    """
    chosen = counts[(counts["facility_id"].astype(str) == facility_id) & (counts["group"] == group)]
    if chosen.empty:
        raise ValueError(f"counts hold no row of facility {facility_id!r} and group {group!r}")
    return count_rows(chosen)[facility_id, group]


def sum_rows(totals: pd.DataFrame) -> dict[tuple[str, str], tuple[SumRow, ...]]:
    """The rows of a totals table by scope and group, each in order of date."""
    columns: dict[str, Sequence[Any]] = {
        name: _numbers(totals, name) for name in ("count", "lo95", "hi95", "lo80", "hi80")
    }
    columns |= {name: _texts(totals, name) for name in ("scope", "group")}
    columns |= {"date": _dates(totals), "n_facilities": [int(value) for value in totals["n_facilities"]]}
    columns["flags"] = [_flags(value) for value in totals["flags"]]
    found: dict[tuple[str, str], list[SumRow]] = {}
    for values in zip(*columns.values(), strict=True):
        row = SumRow(**dict(zip(columns, values, strict=True)))
        found.setdefault((row.scope, row.group), []).append(row)
    return {key: tuple(sorted(rows, key=lambda row: row.date)) for key, rows in found.items()}


def eye_rows(history: pd.DataFrame) -> dict[str, tuple[EyeRow, ...]]:
    """Counts by eye by facility, each in order of date."""
    ends = [_numbers(history, name) if name in history else [None] * len(history) for name in ("lo", "hi")]
    values = zip(
        _texts(history, "facility_id"),
        _dates(history),
        (float(value) for value in history["count"]),
        *ends,
        strict=True,
    )
    found: dict[str, list[EyeRow]] = {}
    for facility_id, date, count, low, high in values:
        found.setdefault(facility_id, []).append(EyeRow(date, count, low, high))
    return {key: tuple(sorted(rows, key=lambda row: row.date)) for key, rows in found.items()}


def headline_row(rows: Sequence[CountRow]) -> CountRow:
    """The row a facility is judged by: its latest surge, else its latest date."""
    return next((row for row in reversed(rows) if row.surge == "yes"), rows[-1])


def _numbers(table: pd.DataFrame, name: str) -> list[float | None]:
    values = pd.to_numeric(table[name]).tolist()
    return [float(value) if math.isfinite(value) else None for value in values]


def _texts(table: pd.DataFrame, name: str) -> list[str]:
    return [str(value) for value in table[name]]


def _dates(table: pd.DataFrame) -> list[dt.date]:
    return [stamp.date() for stamp in pd.to_datetime(table["date"])]


def _flags(value: object) -> tuple[str, ...]:
    return tuple(flag.strip() for flag in value.split(";") if flag.strip()) if isinstance(value, str) else ()
