"""Sums over groups and facilities by date, from joint draws of the counts that are summed."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import pandas as pd

from detector.config import ClassTable
from detector.counting.inflation import LEVELS
from detector.counting.interval import Estimate
from detector.counting.total import total
from detector.facilities import ALL

RAIL_VEHICLE = "rail_vehicle"
TOTALS_COLUMNS = (
    "date",
    "scope",
    "group",
    "count",
    *(f"{end}{round(100 * level)}" for level in (0.95, 0.8, 0.5, 0.9) for end in ("lo", "hi")),
    "n_facilities",
    "flags",
)
_OF_THE_COUNTER = ("no_calibration", "no_facility_guarantee")

Key = tuple[str, date, str]


def interval_columns(low: Mapping[float, float], high: Mapping[float, float]) -> dict[str, float]:
    """`lo95`, `hi95` and so on for the levels given."""
    ends = {f"lo{round(100 * level)}": low[level] for level in LEVELS}
    return ends | {f"hi{round(100 * level)}": high[level] for level in LEVELS}


def facility_sums(
    estimates: Mapping[Key, Estimate], rows: Iterable[Mapping[str, Any]], classes: ClassTable
) -> pd.DataFrame:
    """The sums of facilities by themselves: rail vehicles, that is railcars and locomotives, on each fully seen date.

    Args:
        estimates: by facility, date and group; of the fully seen dates, drawn jointly.
        rows: of the counts table, those of these facilities.
        classes: the class table.
    """
    flags = _flags((row["facility_id"], row["date"], row["group"], row["flags"]) for row in rows)
    vehicles = _vehicle_groups(classes)
    sums = []
    for facility, day in dict.fromkeys((facility, day) for facility, day, _ in estimates):
        keys = [(facility, day, group) for group in vehicles]
        told = dict.fromkeys(flag for key in keys for flag in flags[key] if flag)
        sums.append({"date": day, "scope": facility, "group": RAIL_VEHICLE, **_sum(keys, estimates, told)})
    return pd.DataFrame(sums, columns=list(TOTALS_COLUMNS))


def sum_counts(
    estimates: Mapping[Key, Estimate], counts: pd.DataFrame, own: Iterable[pd.DataFrame], classes: ClassTable
) -> pd.DataFrame:
    """The sums that are published, a row per date, scope and group.

    Scope is a facility (its rail vehicles) or `all`: over the facilities that were fully seen on the date, each group
    and the rail vehicles. Facilities seen in part are in no sum; `left_out:N` says how many there were. What stands in
    two facilities at once is summed twice: see `flag_overlaps`.

    Args:
        estimates: by facility, date and group; of the fully seen dates, drawn jointly.
        counts: the counts table: what is published, and the flags of its rows.
        own: those of each facility (`facility_sums`), in order of the facilities.
        classes: the class table.
    """
    flags = _flags(zip(*(counts[name] for name in ("facility_id", "date", "group", "flags")), strict=True))
    vehicles = _vehicle_groups(classes)
    summed = {**{group: (group,) for group in classes.groups}, RAIL_VEHICLE: vehicles}
    seen_on: dict[date, set[str]] = {}
    for facility, day, _ in flags:
        seen_on.setdefault(day, set()).add(facility)
    rows: list[dict[str, Any]] = []
    for day, seen in seen_on.items():
        full = [facility for facility in sorted(seen) if (facility, day, vehicles[0]) in estimates]
        for name, groups in summed.items() if full else ():
            keys = [(facility, day, group) for facility in full for group in groups]
            told = dict.fromkeys(_told(keys, flags, len(seen) - len(full)))
            rows.append({"date": day, "scope": ALL, "group": name, **_sum(keys, estimates, told)})
    over_all = pd.DataFrame(rows, columns=list(TOTALS_COLUMNS))
    filled = [table for table in (*own, over_all) if len(table)]
    return pd.concat(filled or [over_all]).sort_values("date", kind="stable", ignore_index=True)


def flag_overlaps(totals: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """The totals with `overlap:N` on each sum over facilities that holds both of N pairs of overlapping ones.

    Their common ground is summed twice. No facility is left out for that: which of two is the one to be summed only
    those can say who drew them. The facilities in the sum of a date are those that have a sum of their own on it.

    Args:
        totals: of `sum_counts`.
        pairs: facilities that share ground (`detector.facilities.overlaps`).
    """
    own = totals[totals["scope"] != ALL]
    summed = set(zip(own["date"], own["scope"], strict=True))
    twice = {
        day: sum((day, one) in summed and (day, other) in summed for one, other in pairs) for day in set(own["date"])
    }
    flags = [
        ";".join(filter(None, (f"overlap:{n}", told))) if scope == ALL and (n := twice.get(day, 0)) else told
        for day, scope, told in zip(totals["date"], totals["scope"], totals["flags"], strict=True)
    ]
    return totals.assign(flags=flags)


def _flags(rows: Iterable[tuple[str, date, str, str]]) -> dict[Key, list[str]]:
    """Flags of rows of the counts table: of facility, date, group and flags as they are written."""
    return {(str(facility), day, str(group)): str(flags).split(";") for facility, day, group, flags in rows}


def _sum(keys: list[Key], estimates: Mapping[Key, Estimate], flags: Iterable[str]) -> dict[str, Any]:
    """The columns of one sum that tell what it is."""
    found = total([estimates[key] for key in keys])
    ends = interval_columns(found.low, found.high)
    if "no_calibration" in flags:
        ends = dict.fromkeys(ends, float("nan"))
    n_facilities = len({facility for facility, _, _ in keys})
    return {"count": found.count, **ends, "n_facilities": n_facilities, "flags": ";".join(flags)}


def _told(keys: list[Key], flags: Mapping[Key, list[str]], n_left_out: int) -> Iterable[str]:
    """What touches a sum over facilities."""
    if n_left_out:
        yield f"left_out:{n_left_out}"
    if n_insured := len({facility for facility, day, group in keys if "insured" in flags[facility, day, group]}):
        yield f"insured:{n_insured}"
    for flag in (flag for key in keys for flag in flags[key]):
        if flag in _OF_THE_COUNTER or flag.startswith("calibration:"):
            yield flag


def _vehicle_groups(classes: ClassTable) -> tuple[str, ...]:
    """Groups that together are the rail vehicles, none counted twice."""
    left, found = set(classes.families[RAIL_VEHICLE]), []
    for group, members in classes.groups.items():
        if set(members) <= left:
            left -= set(members)
            found.append(group)
    return tuple(found)
