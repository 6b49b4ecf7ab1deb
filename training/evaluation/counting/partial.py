"""Algorithm P on cut facilities: fully seen dates of which a part is hidden afterwards, judged by the full truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import cycle
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from detector.config import CountConfig
from detector.counting.samples import Floats
from detector.tally.baseline import EyeCounts, baseline
from detector.tally.counting import partly_seen
from detector.tally.estimates import Tally
from detector.tally.sightings import Sighting
from training.evaluation.counting.dates import has_one_truth
from training.evaluation.counting.scores import share_of
from training.evaluation.matching import of_group
from training.evaluation.truth import Place

SHARES = ((0.3, 0.7), (0.5, 0.9))
"""Visible shares that a date is cut to, and the next date."""

_GRID = 60


@dataclass(frozen=True)
class Cut:
    """A fully seen date of which only a part is shown.

    Attributes:
        today: the cut sighting, later than all others of its facility.
        past: the facility's other dates, as they were seen.
        target: share of the facility that the cut was meant to show.
        n_true: true objects in the whole facility.
    """

    today: Sighting
    past: tuple[Sighting, ...]
    target: float
    n_true: float


def part_of(outline: BaseGeometry, share: float, rng: np.random.Generator) -> BaseGeometry:
    """About that share of an outline: what one edge of a footprint leaves of it, or two parallel ones, as often.

    The edges lie at a random angle and place.
    """
    left, bottom, right, top = outline.bounds
    x, y = np.meshgrid(np.linspace(left, right, _GRID), np.linspace(bottom, top, _GRID))
    inside = shapely.contains_xy(outline, x, y)
    angle = rng.uniform(0, 2 * np.pi)
    across, along = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    at = np.column_stack([x[inside], y[inside]]) @ across
    is_one_sided = rng.random() < 0.5
    first = 0.0 if is_one_sided else rng.uniform(0, 1 - share)
    near, far = np.quantile(at, [first, first + share])
    reach = 2 * float(np.hypot(right - left, top - bottom))
    near -= reach if is_one_sided else 0.0
    middle = float(np.array([left + right, bottom + top]) / 2 @ along)
    ends = [(near, -reach), (far, -reach), (far, reach), (near, reach)]
    strip = shapely.Polygon([a * across + (middle + b) * along for a, b in ends])
    return shapely.intersection(outline, strip)


def cut(sighting: Sighting, region: BaseGeometry, day: date) -> Sighting:
    """The sighting as if only the region had been seen, on another day."""
    part = sighting.within(region)
    share = float(shapely.area(part.visible) / shapely.area(sighting.visible))
    views = tuple(replace(view, observed=sighting.observed * share) for view in part.views)
    return replace(part, date=day, views=views)


def find_cuts(
    sightings: Mapping[str, Sequence[Sighting]],
    places: Mapping[tuple[str, str], Place],
    classes: tuple[str, ...],
    *,
    shares: Sequence[Sequence[float]] = SHARES,
    seed: int = 0,
) -> list[Cut]:
    """Cuts of all fully seen dates whose truth is known, and one (`has_one_truth`).

    Args:
        sightings: by facility.
        places: by scene and facility.
        classes: of the group that is counted.
        shares: visible shares; the first date is cut to each of the first entry, the next date to those of the next.
        seed: of the cuts.
    """
    rng = np.random.default_rng(seed)
    turns, cuts = cycle(shares), list[Cut]()
    for facility_id in sorted(sightings):
        seen = sightings[facility_id]
        latest = max(sighting.date for sighting in seen)
        for sighting in seen:
            place = places.get((sighting.views[0].scene_id, facility_id))
            if place is None or not sighting.is_full or sighting.visible.is_empty:
                continue
            if not has_one_truth(sighting, place):
                continue
            n_true = float(of_group(place.truth, classes).sum())
            past = tuple(other for other in seen if other is not sighting)
            for target in next(turns):
                latest += timedelta(days=1)  # no two cuts are the same sighting
                today = cut(sighting, part_of(sighting.visible, target, rng), latest)
                cuts.append(Cut(today, past, target, n_true))
    return cuts


def judge_cuts(cuts: Sequence[Cut], tally: Tally, config: CountConfig) -> dict[str, Any]:
    """What is published of cut dates, by visible share.

    Returns:
        By share: n; n_total, n_interval and n_at_least, dates with an estimate, with an interval alone, and with a
        lower end alone; coverage95 (share and band) of the dates with an interval, missed_below95, missed_above95 and
        mean_width95; bias_share of the estimates' sum; at_least_holds (share and band) of the dates with a lower end
        alone; scaled_coverage95, that of the visible count's interval divided by the visible share of the area, as is
        usually done.
    """
    rows: dict[float, list[tuple[float, ...]]] = {}
    for one in cuts:
        past = baseline(one.today, list(one.past), EyeCounts(), tally)
        published, _ = partly_seen(one.today, past, tally, config)
        seen = tally.whole(one.today)
        scaled = np.ceil(seen.low[0.95] / one.today.observed), np.floor(seen.high[0.95] / one.today.observed)
        told = published["count"], published["lo95"], published["hi95"]
        rows.setdefault(one.target, []).append((one.n_true, *told, *scaled))
    return {f"{target:g}": _judge(np.array(rows[target])) for target in sorted(rows)}


def _judge(rows: Floats) -> dict[str, Any]:
    n_true, count, low, high, scaled_low, scaled_high = rows.T
    told, bounded = ~np.isnan(count), ~np.isnan(high)
    total = float(n_true[told].sum())

    def mean(values: Floats) -> float:
        return float(values[bounded].mean()) if bounded.any() else float("nan")

    return {
        "n": len(rows),
        "n_total": int(told.sum()),
        "n_interval": int((bounded & ~told).sum()),
        "n_at_least": int((~bounded).sum()),
        "coverage95": share_of(((low <= n_true) & (n_true <= high))[bounded]),
        "missed_below95": mean(n_true < low),
        "missed_above95": mean(n_true > high),
        "mean_width95": mean(high - low),
        "bias_share": float(count[told].sum()) / total - 1 if total > 0 else float("nan"),
        "at_least_holds": share_of((low <= n_true)[~bounded]),
        "scaled_coverage95": share_of((scaled_low <= n_true) & (n_true <= scaled_high)),
    }
