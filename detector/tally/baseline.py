"""The earlier counts that a date is compared with: same footprint, same model, errors on both sides."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from detector.counting.background import Counts, seasonal_offsets
from detector.counting.combine import combine_repeats
from detector.counting.interval import Estimate, from_draws, insured
from detector.counting.posterior import Draws, Joint, draw_objects
from detector.counting.samples import Bools, Floats
from detector.tally.calibration_file import Counter
from detector.tally.sightings import FULLY_SEEN, Footprints, Part, Sighting

EYE_GROUP = "railcar"
_Z95 = 1.959964
_SAYS_NOTHING = 0.2  # a date that shows less of today's footprint than this is no evidence
_CUT_DRAWS = 300  # for counts in another date's footprint


@dataclass(frozen=True)
class EyeCounts:
    """Counts made by eye at one facility, in order of date."""

    dates: tuple[date, ...] = ()
    value: Floats = field(default_factory=lambda: np.zeros(0))
    low: Floats = field(default_factory=lambda: np.zeros(0))
    high: Floats = field(default_factory=lambda: np.zeros(0))


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


@dataclass(frozen=True)
class _Drawn:
    """A sighting's count, and what was drawn of each of its views."""

    estimate: Estimate
    objects: "tuple[_Objects, ...]"


@dataclass(frozen=True)
class _Objects:
    """What was drawn of one view.

    Attributes:
        used: (V,) detections of the view that can be of the group.
        draws: of these, the first few.
        at_z: (n,) standard normals of its cuts.
        outside: in what the view is unlike those of the calibration.
    """

    used: Bools
    draws: Draws
    at_z: Floats
    outside: tuple[str, ...]


@dataclass
class Tally:
    """Estimates of one group, each made once: equal sightings, equal counts, whatever else is in the run.

    Attributes:
        group, classes: its name and members.
        counter: how its detections become counts.
        n_draws, seed: predictive draws.
        repeat_rho: correlation of the errors of two scenes of the same cars.
        on_rail: whether all its members stand on tracks.
        footprints: may be shared by the groups of a run.
    """

    group: str
    classes: tuple[str, ...]
    counter: Counter
    n_draws: int
    seed: int
    repeat_rho: float
    on_rail: bool
    footprints: Footprints = field(default_factory=Footprints)
    _known: dict[date, _Drawn] = field(default_factory=dict)
    _at: str = ""
    _first: Joint | None = None

    def rng(self, sighting: Sighting, purpose: str = "") -> np.random.Generator:
        """Random numbers that depend on the sighting, the group, the purpose and the seed alone."""
        key = f"{sighting.facility_id}|{sighting.date}|{self.group}|{purpose}"
        return np.random.default_rng([self.seed, zlib.crc32(key.encode())])

    def whole(self, sighting: Sighting) -> Estimate:
        """The count of all that is visible."""
        return self._drawn(sighting).estimate

    def cut(self, sighting: Sighting, parts: Sequence[Part]) -> Estimate:
        """The count of what stands in parts of its views.

        Law: from the same draws as `whole`, so that its draws are never more, and the same where nothing is cut.
        """
        estimates = [
            self._estimate(one.draws.among(part.inside[one.used], part.kept, one.at_z), is_outside=bool(one.outside))
            for one, part in zip(self._drawn(sighting).objects, parts, strict=True)
        ]
        return combine_repeats(estimates, self.repeat_rho)

    def outside(self, sighting: Sighting) -> tuple[str, ...]:
        """In what its views are unlike those of the calibration."""
        return tuple(name for one in self._drawn(sighting).objects for name in one.outside)

    def _drawn(self, sighting: Sighting) -> _Drawn:
        """Made once; kept for one facility at a time, since only its own dates are compared."""
        if sighting.facility_id != self._at:
            self._at = sighting.facility_id
            self._known.clear()
        if sighting.date not in self._known:
            self._known[sighting.date] = self._draw(sighting)
        return self._known[sighting.date]

    def _draw(self, sighting: Sighting) -> _Drawn:
        rng, at_z = self.rng(sighting), self.rng(sighting, "cut")
        seen, estimates = [], []
        few = min(self.n_draws, _CUT_DRAWS)
        for view in sighting.views:
            sample = view.sample(self.classes, self.counter.kin_classes)
            draws = draw_objects(self.counter.model, sample, self.n_draws, rng, self._joint(sighting))
            used = np.isin(view.class_name, [*self.classes, *self.counter.kin_classes])
            first = Draws(draws.is_true[:, :few].copy(), draws.missed[:few])
            seen.append(_Objects(used, first, at_z.standard_normal(few), view.outside(self.counter.domain)))
            estimates.append(self._estimate(draws.counts, is_outside=bool(seen[-1].outside)))
        return _Drawn(combine_repeats(estimates, self.repeat_rho), tuple(seen))

    def _estimate(self, draws: Floats, *, is_outside: bool) -> Estimate:
        """The count of one view; with the insurance factor where the view is outside of the calibration."""
        plain = from_draws(draws, self.counter.inflation)
        return insured(plain, self._shared("insured")) if is_outside else plain

    def _joint(self, sighting: Sighting) -> Joint:
        """What this count's errors share: the calibration's with all counts, the scene's with all groups in it.

        The scene is known by facility and date, so that neither its name nor its cut into files moves a count.
        """
        if self._first is None:
            self._first = Joint.draw(self.n_draws, self._shared("parameters"), self._shared("scene"))
        return self._first.of_scene(self._shared(f"scene|{sighting.facility_id}|{sighting.date}"))

    def _shared(self, what: str) -> np.random.Generator:
        """Random numbers that depend on what is shared and on the seed alone."""
        return np.random.default_rng([self.seed, zlib.crc32(what.encode())])


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
        half = _Z95 * eye_cv * value
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
    compared: dict[date, tuple[float, float, float, bool]] = {}
    seen, total = [], []
    for sighting in earlier:
        if sighting.date >= today.date:
            continue
        found, share, is_cut = _in_footprint(today, sighting, tally)
        if share < _SAYS_NOTHING:
            continue
        compared[sighting.date] = (found.count, found.low[0.95], found.high[0.95], share < FULLY_SEEN)
        if sighting.is_full and (is_cut or today.is_full):
            seen.append(found.count)
            total.append(tally.whole(sighting).count)
    by_eye = 0
    if tally.group == EYE_GROUP:
        for i, day in enumerate(eye.dates):
            is_bound = day in compared and compared[day][3]
            if day < today.date and (day not in compared or is_bound):
                compared[day] = (eye.value[i], eye.low[i], eye.high[i], False)
                by_eye += 1
    dates, rows = list(compared), list(compared.values())
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    years = np.array([_decimal_year(day) for day in dates])
    return Baseline(
        counts=Counts(table[:, 0], table[:, 1], table[:, 2], table[:, 3].astype(bool)),
        season=seasonal_offsets(table[:, 0], years, _decimal_year(today.date)),
        since=min(dates) if dates else None,
        seen=np.array(seen, dtype=np.float64),
        total=np.array(total, dtype=np.float64),
        flags=("eye_counts_whole",) if by_eye and not today.is_full else (),
    )


def _in_footprint(today: Sighting, earlier: Sighting, tally: Tally) -> tuple[Estimate, float, bool]:
    """The earlier count within today's visible part, the share of it that was seen then, and whether it was cut."""
    if today.is_full or today.visible.is_empty or earlier.visible.is_empty:
        return tally.whole(earlier), min(1.0, earlier.observed / today.observed), False
    parts = tally.footprints.parts(earlier, today)
    return tally.cut(earlier, parts), parts[0].share, True


def _decimal_year(day: date) -> float:
    return day.year + (day.timetuple().tm_yday - 1) / 365.25
