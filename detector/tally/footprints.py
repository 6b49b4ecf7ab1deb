"""What earlier dates show of a later one's footprint."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from operator import is_not

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from detector.counting.samples import Bools, Floats
from detector.tally.sightings import Part, Sighting, View

_SLIVER_DEG = 1e-7  # about a centimetre: by how much outlines of one facility may differ


@dataclass(frozen=True)
class Look:
    """What E earlier dates show of one date's footprint.

    Attributes:
        share: (E,) of the footprint, how much each shows.
        is_cut: (E,) whether its count is that of a part of it, since the date itself is seen in part.
        is_full: (E,) whether it was seen whole.
        parts: of those that are cut, the part of each view.
    """

    share: Floats
    is_cut: Bools
    is_full: Bools
    parts: tuple[tuple[Part, ...], ...]


@dataclass
class Footprints:
    """Looks of one date after the other, each taken once for all groups."""

    _of: tuple[Sighting, ...] = ()
    _look: Look | None = None
    _grown: dict[tuple[str, date], tuple[BaseGeometry, ...]] = field(default_factory=dict)

    def look(self, earlier: Sequence[Sighting], today: Sighting) -> Look:
        """What earlier dates, all those of the facility, show of today's visible part.

        Where either date has no georeference the visible shares alone decide.
        """
        asked = (today, *earlier)
        if self._look is None or len(asked) != len(self._of) or any(map(is_not, asked, self._of)):
            if self._of and self._of[0].facility_id != today.facility_id:
                self._grown.clear()
            self._of, self._look = asked, self._found(earlier, today)
        return self._look

    def _found(self, earlier: Sequence[Sighting], today: Sighting) -> Look:
        observed = np.array([sighting.observed for sighting in earlier], dtype=np.float64)
        share, is_cut = np.minimum(1.0, observed / today.observed), np.zeros(len(earlier), dtype=bool)
        parts: tuple[tuple[Part, ...], ...] = ()
        if not today.is_full and not today.visible.is_empty:
            is_cut = np.array([not sighting.visible.is_empty for sighting in earlier], dtype=bool)
            parts = self._parts([each for each in earlier if not each.visible.is_empty], today.visible)
            share[is_cut] = [part[0].share for part in parts]
        is_full = np.array([sighting.is_full for sighting in earlier], dtype=bool)
        return Look(share, is_cut, is_full, parts)

    def _parts(self, sightings: Sequence[Sighting], region: BaseGeometry) -> tuple[tuple[Part, ...], ...]:
        """What each view of each sighting shows of a region."""
        if not sightings:
            return ()
        views = [view for sighting in sightings for view in sighting.views]
        grown = np.array([each for sighting in sightings for each in self._outlines(sighting)], dtype=object)
        shows_all = np.asarray(shapely.covers(grown, region), dtype=bool)
        inside = iter(_split(region, views))
        kept = iter(np.minimum(1.0, shapely.area(region) / shapely.area([view.visible for view in views])).tolist())
        found = iter(
            Part(within, 1.0, ratio) if is_all else view.part_in(region)
            for view, within, ratio, is_all in zip(views, inside, kept, shows_all.tolist(), strict=True)
        )
        return tuple(tuple(next(found) for _ in sighting.views) for sighting in sightings)

    def _outlines(self, sighting: Sighting) -> tuple[BaseGeometry, ...]:
        """Visible parts of its views, a sliver wider."""
        key = sighting.facility_id, sighting.date
        if key not in self._grown:
            self._grown[key] = tuple(shapely.buffer(view.visible, _SLIVER_DEG) for view in sighting.views)
            shapely.prepare(list(self._grown[key]))
        return self._grown[key]


def _split(region: BaseGeometry, views: Sequence[View]) -> list[Bools]:
    """Of each view, (D,) whether the centres of its detections lie in the region."""
    shapely.prepare(region)
    lonlat = np.concatenate([view.lonlat for view in views])
    inside = np.asarray(shapely.contains_xy(region, lonlat), dtype=bool)
    return np.split(inside, np.cumsum([len(view.lonlat) for view in views])[:-1])
