"""Facilities counted by themselves: rows of the counts table, and what their verdicts will follow from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from detector.config import ClassTable, CountConfig
from detector.counting.background import Counts, fit_background
from detector.counting.coverage import Usual, hidden_draws, publishable, visible_share
from detector.counting.inflation import LEVELS, quantiles
from detector.counting.interval import Estimate, compact
from detector.counting.samples import Floats
from detector.counting.surge import Verdict, assess
from detector.tally.baseline import Baseline, EyeCounts, baseline
from detector.tally.calibration_file import Counter
from detector.tally.estimates import SceneNormals, Tally
from detector.tally.footprints import Footprints
from detector.tally.sightings import Sighting, View, find_sightings, find_views, is_any
from detector.tally.strings import GROUP, Trains
from detector.tally.totals import Key, facility_sums, interval_columns
from detector.tracks import Tracks, capacity

_TOLD_BY_CAP = 0.025  # of the draws: from there on the tracks set the upper end of the 95 % interval
_MIN_TOTALS = 3  # fully seen dates needed to know a facility's usual total
_NO_VERDICT = Verdict(float("nan"), float("nan"), float("nan"), 0, 0, float("nan"))


@dataclass(frozen=True)
class Judged:
    """Rows of the counts table that lack their verdicts, and what the verdicts follow from.

    Attributes:
        rows: of one group, in order of facility and date.
        verdicts: of each.
    """

    rows: pd.DataFrame
    verdicts: list[Verdict]

    @classmethod
    def of(cls, found: Sequence[tuple[dict[str, Any], Verdict]]) -> Self:
        """Of rows with their verdicts."""
        return cls(pd.DataFrame([row for row, _ in found]), [verdict for _, verdict in found])


@dataclass(frozen=True)
class Part:
    """What counting some facilities gives, before words are found for their verdicts.

    Attributes:
        judged: by group.
        whole: the counts of the fully seen dates, to be summed over facilities.
        sums: of each facility by itself.
        p_true, flags: (D,) of their detections.
    """

    judged: dict[str, Judged]
    whole: dict[Key, Estimate]
    sums: pd.DataFrame
    p_true: Floats
    flags: list[str]


@dataclass(frozen=True)
class Counting:
    """Counts facilities, each by itself.

    Attributes:
        counters: by group.
        eye: counts by eye, by facility.
        config: counting settings.
        classes: the class table.
        tracks: track lines by facility.
    """

    counters: Mapping[str, Counter]
    eye: Mapping[str, EyeCounts]
    config: CountConfig
    classes: ClassTable
    tracks: Tracks

    def of(self, detections: pd.DataFrame, scenes: pd.DataFrame) -> Part:
        """Count the facilities in these tables."""
        views = find_views(detections, scenes, self.classes)
        sightings = find_sightings(views, self.config.same_time_minutes, self.tracks)
        trains = Trains.of(detections, self.classes.families["rail_vehicle"], self.classes.groups[GROUP])
        tallies = self._tallies()
        judged: dict[str, list[tuple[dict[str, Any], Verdict]]] = {group: [] for group in self.counters}
        whole: dict[Key, Estimate] = {}
        for facility_id in sorted(sightings):
            seen, eye = sightings[facility_id], self.eye.get(facility_id, EyeCounts())
            trains.look_at(views[facility_id])
            for tally in tallies:
                tally.look_at(seen)
            for last in range(1, len(seen) + 1):
                for tally in tallies:
                    judged[tally.group].append(self._judged(seen[:last], eye, tally, trains))
            full = [(sighting, tally) for sighting in seen if sighting.is_full for tally in tallies]
            kept = compact([tally.whole(sighting) for sighting, tally in full])
            for (sighting, tally), estimate in zip(full, kept, strict=True):
                whole[facility_id, sighting.date, tally.group] = estimate
        flags = trains.flags(detections, (view for seen in views.values() for view in seen))
        tables = {group: Judged.of(found) for group, found in judged.items()}
        sums = facility_sums(whole, (row for found in judged.values() for row, _ in found), self.classes)
        return Part(tables, whole, sums, _p_true(len(detections), views, self.classes, self.counters), flags)

    def _judged(
        self, seen: list[Sighting], eye: EyeCounts, tally: Tally, trains: Trains
    ) -> tuple[dict[str, Any], Verdict]:
        """The last of a facility's dates, beside those before it."""
        *earlier, sighting = seen
        past = baseline(sighting, earlier, eye, tally)
        row = _row(sighting, past, tally, self.config)
        row = trains.check(sighting.views[0]).onto(row) if tally.group == GROUP else row
        return row, _verdict(tally.whole(sighting), past)

    def _tallies(self) -> list[Tally]:
        """What makes the estimates of each group."""
        footprints, scenes, rail = Footprints(), SceneNormals(), set(self.classes.families["rail_vehicle"])
        return [
            Tally(
                group,
                self.classes.groups[group],
                counter,
                self.config.draws,
                self.config.seed,
                self.config.repeat_rho,
                set(self.classes.groups[group]) <= rail,
                footprints,
                scenes,
            )
            for group, counter in self.counters.items()
        ]


def _row(sighting: Sighting, past: Baseline, tally: Tally, config: CountConfig) -> dict[str, Any]:
    """The count's columns of one group at one sighting."""
    seen = tally.whole(sighting)
    flags = [*sighting.flags, *past.flags, *tally.counter.flags]
    outside = tally.outside(sighting)
    flags += [f"domain:{name}" for name in outside] + (["insured"] if outside else [])
    left_out = tally.n_left_out(sighting)
    n_scenes = sighting.n_scenes - left_out
    flags += ["several_scenes"] * (n_scenes > 1) + ["scenes_left_out"] * (left_out > 0)
    published = {"count": seen.count, **interval_columns(seen.low, seen.high)}
    if not sighting.is_full:
        published, told = partly_seen(sighting, past, tally, config)
        flags += told
        if sighting.visible.is_empty:
            flags.append("no_common_footprint")
    published |= {"seen_lo95": seen.low[0.95], "seen_hi95": seen.high[0.95]}
    if not tally.counter.is_measured:
        published = {name: value if name == "count" else float("nan") for name, value in published.items()}
    return {
        "facility_id": sighting.facility_id,
        "date": sighting.date,
        "group": tally.group,
        "n_detected": sighting.views[0].n_detected(tally.classes),
        **published,
        "observed_fraction": sighting.observed,
        "n_scenes": n_scenes,
        "flags": ";".join(dict.fromkeys(flags)),
        "baseline_since": past.since,
        "seen_count": seen.count,
    }


def partly_seen(
    sighting: Sighting, past: Baseline, tally: Tally, config: CountConfig
) -> tuple[dict[str, float], list[str]]:
    """Algorithm P: the published columns of a partly seen sighting, and its flags."""
    seen, nan = tally.whole(sighting), float("nan")
    share = visible_share(past.seen, past.total, sighting.observed)
    kind = publishable(share.mean, config.total_from, config.point_from)
    if kind == "at_least":
        return {"count": nan, **interval_columns(seen.low, dict.fromkeys(LEVELS, nan))}, ["at_least"]
    rng = tally.rng(sighting, "hidden")
    shares = share.draws(seen.draws.size, rng)
    usual = _usual(past)
    cap = _most_hidden(sighting, tally, config)
    hidden = hidden_draws(seen.draws, shares, usual, rng, cap)
    count = float(np.median(seen.draws + hidden).round())
    low, high = {}, {}
    inner_low, inner_high = count, count
    for level in LEVELS:
        _, start, end = quantiles(seen.inflated(level) + hidden, level)
        start, end = max(start, seen.low[level]), max(end, seen.high[level])  # what is seen is a part of the whole
        inner_low, inner_high = min(inner_low, start), max(inner_high, end, inner_low + 1)
        low[level], high[level] = inner_low, inner_high
    published = {"count": count if kind == "total" else nan, **interval_columns(low, high)}
    flags = ["track_cap"] if (hidden == cap).mean() > _TOLD_BY_CAP else []
    return published, flags if kind == "total" else ["no_estimate", *flags]


def _most_hidden(sighting: Sighting, tally: Tally, config: CountConfig) -> float:
    """The most vehicles that stand on the hidden tracks; infinite where they are not known, or off rail."""
    if sighting.hidden_tracks is None or not tally.on_rail:
        return float("inf")
    return float(capacity(sighting.hidden_tracks, config.car_pitch_m))


def _usual(past: Baseline) -> Usual | None:
    if past.total.size < _MIN_TOTALS:
        return None
    exact = Counts(past.total, past.total, past.total, np.zeros(past.total.size, dtype=bool))
    rate, psi = fit_background(exact).mean()
    return Usual(rate, psi, float(past.total.max()))


def _verdict(seen: Estimate, past: Baseline) -> Verdict:
    """What was seen today against the same footprint's history."""
    if past.counts.value.size == 0:
        return _NO_VERDICT
    today = Counts(
        np.array([seen.count]),
        np.array([seen.low[0.95]]),
        np.array([seen.high[0.95]]),
        np.zeros(1, dtype=bool),
    )
    return assess(today, past.counts, past.season)


def _p_true(
    n_rows: int, views: Mapping[str, list[View]], classes: ClassTable, counters: Mapping[str, Counter]
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """(n_rows,) calibrated probability of each detection; by the first group that holds its class."""
    owned: dict[str, list[str]] = {group: [] for group in classes.groups}
    for name in classes.names:
        if (owner := classes.group_of(name)) is not None:
            owned[owner].append(name)
    out = np.full(n_rows, np.nan)
    for seen in views.values():
        for view in seen:
            for group, members in owned.items():
                chosen = is_any(view.class_name, members)
                if chosen.any():
                    # The whole group's sample, since its density is what the model was fitted on.
                    sample, used = view.sample(classes.groups[group]), view.may_be(classes.groups[group])
                    out[view.row[chosen]] = counters[group].model.p_true(sample)[chosen[used]]
    return out
