"""The earlier counts that a date is compared with: same footprint, same model, errors on both sides."""

from dataclasses import dataclass, field
from datetime import date
from functools import cache

import numpy as np
import pandas as pd

from detector.counting.background import Z95, Counts, seasonal_offsets
from detector.counting.samples import Floats
from detector.tally.estimates import Tally
from detector.tally.sightings import FULLY_SEEN, Sighting

EYE_GROUP = "railcar"
_SAYS_NOTHING = 0.2  # a date that shows less of today's footprint than this is no evidence


@dataclass(frozen=True)
class EyeCounts:
    """Counts made by eye at one facility, in order of date."""

    dates: tuple[date, ...] = ()
    value: Floats = field(default_factory=lambda: np.zeros(0))
    low: Floats = field(default_factory=lambda: np.zeros(0))
    high: Floats = field(default_factory=lambda: np.zeros(0))

    def before(self, day: date) -> "EyeCounts":
        """Those of earlier dates."""
        n = sum(each < day for each in self.dates)
        return EyeCounts(self.dates[:n], self.value[:n], self.low[:n], self.high[:n])


@dataclass(frozen=True)
class Baseline:
    """The history of one facility and group as one date sees it.

    Attributes:
        counts: n earlier counts within today's visible part.
        season: (n,) log seasonal factors relative to today.
        since: first of their dates; None without any.
        seen, total: counts inside today's visible part, and in the whole, on the fully seen earlier dates; none where
            either date has no georeference.
        flags: what the reader must know of the comparison.
    """

    counts: Counts
    season: Floats
    since: date | None
    seen: Floats
    total: Floats
    flags: tuple[str, ...] = ()


def eye_counts(history: pd.DataFrame | None, eye_cv: float) -> dict[str, EyeCounts]:
    """Counts by eye per facility; where lo or hi is missing, the error is `eye_cv`.

    Args:
        history: facility_id, date, count, lo, hi.
        eye_cv: relative error of a count that states none.
    """
    if history is None or history.empty:
        return {}
    table = history.assign(date=pd.to_datetime(history["date"]).dt.date).sort_values("date", kind="stable")
    found = {}
    for facility_id, rows in table.groupby("facility_id"):
        value = rows["count"].to_numpy(dtype=np.float64)
        half = Z95 * eye_cv * value
        low, high = (
            rows[name].to_numpy(dtype=np.float64) if name in rows else np.full(value.size, np.nan)
            for name in ("lo", "hi")
        )
        found[str(facility_id)] = EyeCounts(
            tuple(rows["date"]),
            value,
            np.clip(np.where(np.isnan(low), value - half, low), 0, value),
            np.maximum(np.where(np.isnan(high), value + half, high), value),
        )
    return found


def baseline(today: Sighting, earlier: list[Sighting], eye: EyeCounts, tally: Tally) -> Baseline:
    """The earlier dates within today's footprint.

    A date that shows only part of that footprint is censored from below. Where either date has no
    georeference the visible shares alone decide. A count by eye is of the railcars in the whole facility;
    where today is partly seen it overstates the history: fewer surges, never more (`eye_counts_whole`).

    Args:
        today: the date that is judged.
        earlier: sightings of the same facility at earlier dates.
        eye: counts by eye; a date on which the run saw all of today's footprint too is taken from the run.
        tally: estimates of the group.
    """
    past = [sighting for sighting in earlier if sighting.date < today.date]
    look, found = tally.footprints.look(past, today), tally.wholes(past)
    total = found[:, 0].copy()
    if look.is_cut.any():
        found[look.is_cut] = tally.cuts([each for each, cut in zip(past, look.is_cut, strict=True) if cut], look.parts)
    told = look.share >= _SAYS_NOTHING
    is_whole = told & look.is_full & (look.is_cut | today.is_full)
    dates, table, by_eye = _with_eye(
        [sighting.date for sighting, says in zip(past, told, strict=True) if says],
        np.column_stack([found, look.share < FULLY_SEEN])[told],
        eye.before(today.date) if tally.group == EYE_GROUP else EyeCounts(),
    )
    years = np.array([_decimal_year(day) for day in dates])
    counts = Counts(table[:, 0], table[:, 1], table[:, 2], table[:, 3].astype(bool))
    return Baseline(
        counts=counts,
        season=seasonal_offsets(counts, years, _decimal_year(today.date)),
        since=min(dates) if dates else None,
        seen=found[is_whole, 0],
        total=total[is_whole],
        flags=("eye_counts_whole",) if by_eye and not today.is_full else (),
    )


def _with_eye(dates: list[date], table: Floats, eye: EyeCounts) -> tuple[list[date], Floats, int]:
    """Dates and rows (n, 4) with the counts by eye where the run has none or only a bound, and how many those are.

    Args:
        dates: n dates of the run.
        table: (n, 4) counts, ends of their intervals, and whether they are bounds.
        eye: counts by eye.
    """
    exact = {day for day, is_bound in zip(dates, table[:, 3], strict=True) if not is_bound}
    used = [i for i, day in enumerate(eye.dates) if day not in exact]
    if not used:
        return dates, table, 0
    by_eye = [eye.dates[i] for i in used]
    kept = [i for i, day in enumerate(dates) if day not in set(by_eye)]
    rows = np.column_stack([eye.value[used], eye.low[used], eye.high[used], np.zeros(len(used))])
    return [dates[i] for i in kept] + by_eye, np.vstack([table[kept], rows]), len(used)


@cache
def _decimal_year(day: date) -> float:
    return day.year + (day.timetuple().tm_yday - 1) / 365.25
