"""Past counts made by eye, which serve as a facility's baseline."""

import math
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pandas as pd

from detector.csvfile import csv_rows
from detector.errors import UsageError
from detector.facilities import Facility
from detector.tally.baseline import eye_counts

HISTORY = "history.csv"
"""In the RUN folder: the counts by eye that were compared with."""

COLUMNS = ("facility_id", "date", "count", "lo", "hi")
MOST = 20_000
"""More vehicles than any yard holds: a higher count is a slip of the pen."""
CURE = "Give a UTF-8 CSV with the columns facility_id,date,count and, if known, lo,hi."


def load_history(path: Path, facilities: Sequence[Facility] | None = None) -> pd.DataFrame:
    """Read a history CSV: one row per facility and date, with the count and, where known, its bounds.

    Args:
        path: the file.
        facilities: those that its rows may name; any where None.

    Returns:
        Columns `facility_id` (text), `date` (timestamp at 00:00), `count`, `lo`, `hi` (float; NaN where not
        given), sorted by facility and date.

    Raises:
        UsageError: the file or one of its rows cannot be used; the message names file and line.
    """
    known = None if facilities is None else {facility.facility_id for facility in facilities}
    seen: dict[tuple[str, date], int] = {}
    records = []
    for line, row in _rows(path):
        where = f"{path}:{line}"
        record = _record(where, row)
        if known is not None and record[0] not in known:
            raise UsageError(
                f"{where}: facility_id {record[0]!r} is not among the facilities.",
                f"Correct it, or add the facility; known are {', '.join(sorted(known))}.",
            )
        first = seen.setdefault(record[:2], line)
        if first != line:
            raise UsageError(f"{where}: {record[0]} on {record[1]} again, as in line {first}.", "Keep one of them.")
        records.append(record)
    table = pd.DataFrame(records, columns=list(COLUMNS)).astype(
        {"facility_id": "object", "count": "float64", "lo": "float64", "hi": "float64"}
    )
    table["date"] = pd.to_datetime(table["date"])
    return table.sort_values(["facility_id", "date"], ignore_index=True)


def as_used(history: pd.DataFrame, eye_cv: float) -> pd.DataFrame:
    """A history with the bounds that counting uses, those not given filled in from `eye_cv`; columns as `COLUMNS`."""
    rows = [
        (facility_id, *values)
        for facility_id, eye in eye_counts(history, eye_cv).items()
        for values in zip(eye.dates, eye.value, eye.low, eye.high, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    header, rows = csv_rows(path, COLUMNS, "history", CURE)
    if missing := [name for name in COLUMNS[:3] if name not in header]:
        raise UsageError(f"{path}: has no column `{missing[0]}` (found: {','.join(header) or 'nothing'}).", CURE)
    return [(line, row) for line, row in rows if any(row.values())]


def _record(where: str, row: dict[str, str]) -> tuple[str, date, float, float, float]:
    try:
        day = date.fromisoformat(row["date"])
    except ValueError as error:
        raise UsageError(f"{where}: date {row['date']!r} is not a date.", "Write it as 2023-10-05.") from error
    if day > date.today():
        raise UsageError(f"{where}: date {day} lies in the future.", "Correct it.")
    count = _count(where, "count", row["count"])
    if math.isnan(count):
        raise UsageError(f"{where}: has no count.", "Fill it in, or remove the row.")
    lo, hi = (_count(where, column, row.get(column, "")) for column in ("lo", "hi"))
    if math.isnan(lo) != math.isnan(hi):
        raise UsageError(f"{where}: gives only one of lo and hi.", "Give both, or none.")
    if not math.isnan(lo) and not lo <= count <= hi:
        raise UsageError(f"{where}: count {count:g} is not between lo {lo:g} and hi {hi:g}.", "Correct the bounds.")
    return row["facility_id"], day, count, lo, hi


def _count(where: str, column: str, text: str) -> float:
    """A number of vehicles; NaN where the cell is empty."""
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(f"{where}: {column} {text!r} is not a number of vehicles.", "Write it like 20.")
    if value > MOST:
        raise UsageError(
            f"{where}: {column} {text!r} is more vehicles than any yard holds (at most {MOST:,}).",
            "Write the number that was counted, like 20.",
        )
    return value
