"""Facility-dates with known truth, and what a method of counting says of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detector.counting.inflation import LEVELS
from detector.counting.interval import Estimate
from detector.counting.samples import Bools, Floats
from detector.tally.estimates import Tally
from detector.tally.sightings import FULLY_SEEN, Sighting
from training.evaluation.matching import of_group
from training.evaluation.truth import Place


@dataclass(frozen=True)
class Dates:
    """D facility-dates of one group.

    Attributes:
        facility: (D,) facilities.
        n_true: (D,) true objects in the visible part.
        n_detected: (D,) detections at or above the operating threshold.
        observed: (D,) visible share of the facility.
    """

    facility: tuple[str, ...]
    n_true: Floats
    n_detected: Floats
    observed: Floats

    @property
    def is_full(self) -> Bools:
        """(D,) whether the facility was seen whole, but for slivers."""
        return np.asarray(self.observed >= FULLY_SEEN, dtype=bool)

    @property
    def code(self) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
        """(D,) number of each date's facility, from 0."""
        return np.unique(np.array(self.facility, dtype=str), return_inverse=True)[1]

    @property
    def n_facilities(self) -> int:
        """How many facilities there are."""
        return len(set(self.facility))

    def where(self, mask: Bools) -> "Dates":
        """The dates of a mask (D,)."""
        names = tuple(name for name, chosen in zip(self.facility, mask, strict=True) if chosen)
        return Dates(names, self.n_true[mask], self.n_detected[mask], self.observed[mask])


@dataclass(frozen=True)
class Forecast:
    """What one method says of D facility-dates.

    Attributes:
        count: (D,) estimates.
        low, high: by level, (D,) ends of the intervals.
        draws: (D, n) draws of the true number, whole and not negative.
    """

    count: Floats
    low: Mapping[float, Floats]
    high: Mapping[float, Floats]
    draws: Floats

    @classmethod
    def of(cls, estimates: Sequence[Estimate]) -> "Forecast":
        """What algorithm R published; its draws are those before the inflation."""
        return cls(
            count=np.array([estimate.count for estimate in estimates]),
            low={level: np.array([estimate.low[level] for estimate in estimates]) for level in LEVELS},
            high={level: np.array([estimate.high[level] for estimate in estimates]) for level in LEVELS},
            draws=np.array([estimate.draws for estimate in estimates]),
        )

    @classmethod
    def between(
        cls, count: Floats, low: Mapping[float, Floats], high: Mapping[float, Floats], draws: Floats
    ) -> "Forecast":
        """Of real ends: none below 0, and the whole numbers between them, as algorithm R rounds its own.

        Where no whole number lies between the ends, the one nearest to their middle stands for both.
        """
        lows, highs = {}, {}
        for level in low:
            ends = np.maximum(low[level], 0.0), np.maximum(high[level], 0.0)
            inner, outer = np.ceil(ends[0]), np.floor(ends[1])
            finite = np.where(np.isfinite(ends[1]), ends[1], ends[0])
            middle = np.round((ends[0] + finite) / 2)
            lows[level] = np.where(inner > outer, middle, inner)
            highs[level] = np.where(inner > outer, middle, outer)
        return cls(count, lows, highs, np.maximum(np.round(draws), 0.0))

    def where(self, mask: Bools) -> "Forecast":
        """Of the dates of a mask (D,)."""
        low, high = ({level: at[mask] for level, at in ends.items()} for ends in (self.low, self.high))
        return Forecast(self.count[mask], low, high, self.draws[mask])

    def covers(self, n_true: Floats, level: float) -> Bools:
        """(D,) whether the truth lies in the interval."""
        return np.asarray((self.low[level] <= n_true) & (n_true <= self.high[level]), dtype=bool)

    def width(self, level: float) -> Floats:
        """(D,) widths of the intervals."""
        return np.asarray(self.high[level] - self.low[level], dtype=np.float64)


def has_one_truth(sighting: Sighting, best: Place) -> bool:
    """Whether the truth of a date's best scene is that of all that the date shows.

    It is where there is no other scene, or where the best one alone shows the facility whole, but for slivers: truth is
    limited to what its own scene shows, and a mosaic shows more.

    Args:
        sighting: the date.
        best: its best scene with its truth.
    """
    return sighting.n_scenes == 1 or float(best.scene["observed_fraction"]) >= FULLY_SEEN


def find_dates(
    sightings: Mapping[str, Sequence[Sighting]], places: Mapping[tuple[str, str], Place], tally: Tally
) -> tuple[Dates, Forecast]:
    """The dates whose truth is known, and what algorithm R says of them, as in the counts table of their run.

    The truth is that of the date's best scene. A partly seen date is judged by what stands in its visible part. Where
    no one truth fits (`has_one_truth`), the date is left out.

    Args:
        sightings: by facility.
        places: by scene and facility.
        tally: estimates of the group.
    """
    rows: list[tuple[str, float, float, float]] = []
    estimates: list[Estimate] = []
    for facility_id in sorted(sightings):
        for sighting in sightings[facility_id]:
            best = sighting.views[0]
            place = places.get((best.scene_id, facility_id))
            if place is None or not has_one_truth(sighting, place):
                continue
            n_true = float(of_group(place.truth, tally.classes).sum())
            rows.append((facility_id, n_true, float(best.n_detected(tally.classes)), sighting.observed))
            estimates.append(tally.whole(sighting))
    names = tuple(row[0] for row in rows)
    numbers = np.array([row[1:] for row in rows], dtype=np.float64).reshape(-1, 3)
    return Dates(names, *numbers.T), Forecast.of(estimates)
