"""The strings of cars in a run's detections: a second estimate of the railcars, and flags where cars stand oddly."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import shapely

from detector.counting.samples import Bools, Floats, Index
from detector.counting.strings import Strings, find_strings
from detector.geometry import xywhr_from_corners
from detector.pixels.georef import metres_per_degree
from detector.tally.sightings import View, is_any

GROUP = "railcar"
"""The group that strings are a second estimate of; locomotives are cars of strings, but not of this count."""
GAP, DOUBLE, FILLER = "string_gap", "double", "fills_gap"


@dataclass(frozen=True)
class CrossCheck:
    """What the strings of a view say of its railcars.

    Attributes:
        train_count: room of the strings in cars, less the locomotives found in them, and the detected railcars that
            stand alone; NaN where there is no string.
        n_gaps: places for one car inside strings where none was detected.
        n_doubles: detected railcars that stand where a better box has a car.
    """

    train_count: float
    n_gaps: int
    n_doubles: int

    def onto(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row of the counts table with `train_count` and its flags; compared with what was seen, never the total."""
        flags = [str(row["flags"])] if row["flags"] else []
        flags += [f"string_gaps:{self.n_gaps}"] if self.n_gaps else []
        flags += [f"string_doubles:{self.n_doubles}"] if self.n_doubles else []
        whole = round(self.train_count, 0)
        # A comparison with NaN, which stands for no string or no interval, is no disagreement.
        if whole < row["seen_lo95"] or whole > row["seen_hi95"]:
            flags.append("strings_disagree")
        return {**row, "train_count": round(self.train_count, 1), "flags": ";".join(flags)}


@dataclass(frozen=True)
class Trains:
    """Strings of the views of a run, found in the detections of the rail vehicles, once for each view.

    Attributes:
        corners: (N, 4, 2) of all detections, in longitude and latitude; NaN without georeference.
        corners_px: (N, 4, 2) in pixels of their scenes, where some have no georeference.
        rail: classes of rail vehicles.
        cars: those of them that are railcars.
    """

    corners: Floats
    corners_px: Floats
    rail: tuple[str, ...]
    cars: tuple[str, ...]
    _marks: dict[str, Bools]
    _checks: dict[bytes, CrossCheck] = field(default_factory=dict)

    @classmethod
    def of(cls, detections: pd.DataFrame, rail: Collection[str], cars: Collection[str]) -> "Trains":
        """The strings of a run's detections."""
        corners = np.full((len(detections), 4, 2), np.nan)
        geometry = np.asarray(detections["geometry"], dtype=object)
        known = ~np.asarray(shapely.is_missing(geometry), dtype=bool)
        corners[known] = shapely.get_coordinates(geometry[known]).reshape(-1, 5, 2)[:, :4]
        corners_px = corners
        if not known.all() and "corners_px" in detections:
            corners_px = np.array(detections["corners_px"].tolist(), dtype=np.float64).reshape(-1, 4, 2)
        marks = {name: np.zeros(len(detections), dtype=bool) for name in (GAP, DOUBLE, FILLER)}
        return cls(corners, corners_px, tuple(sorted(rail)), tuple(sorted(cars)), marks)

    def look_at(self, views: Iterable[View]) -> None:
        """Find the strings of several views together, which is sooner than one by one."""
        new = [view for view in views if view.row.tobytes() not in self._checks]
        if not new:
            return
        rail = [np.flatnonzero(is_any(view.class_name, self.rail)) for view in new]
        pairs = list(zip(new, rail, strict=True))
        plane = np.repeat(np.arange(len(new)), [len(at) for at in rail])
        corners_m = np.concatenate([self._corners_m(view, at) for view, at in pairs])
        row = np.concatenate([view.row[at] for view, at in pairs])
        score = np.concatenate([view.scores.total[at] for view, at in pairs])
        detected = np.concatenate([view.detected[at] for view, at in pairs])
        is_car = np.concatenate([is_any(view.class_name[at], self.cars) for view, at in pairs])
        placed = np.isfinite(corners_m).all(axis=(1, 2))
        plane, row, is_car = plane[placed], row[placed], is_car[placed]
        found = find_strings(xywhr_from_corners(corners_m[placed]), score[placed], detected[placed], plane)
        self._marks[GAP][row] = found.gap_after | found.gap_before
        self._marks[DOUBLE][row] = found.is_double
        self._marks[FILLER][row] = found.is_filler
        checks = _checks(found, plane, len(new), is_car, detected[placed])
        self._checks.update(zip((view.row.tobytes() for view in new), checks, strict=True))

    def check(self, view: View) -> CrossCheck:
        """What the strings of a view say."""
        self.look_at([view])
        return self._checks[view.row.tobytes()]

    def flags(self, detections: pd.DataFrame, views: Iterable[View]) -> list[str]:
        """(N,) flags of all detections: their own, with `string_gap`, `double` and `fills_gap` set anew."""
        self.look_at(views)
        flags = detections["flags"].tolist() if "flags" in detections else [""] * len(detections)
        for i in np.flatnonzero(np.any([*self._marks.values(), np.array(flags, dtype=bool)], axis=0)).tolist():
            kept = [name for name in flags[i].split(";") if name and name not in self._marks]
            flags[i] = ";".join([*kept, *(name for name, marked in self._marks.items() if marked[i])])
        return flags

    def _corners_m(self, view: View, at: Index) -> Floats:
        """(R, 4, 2) corners of these detections of a view in metres; NaN where they have no place."""
        corners = self.corners[view.row[at]]
        if np.isnan(corners).any():
            return np.asarray(self.corners_px[view.row[at]] * view.scene_metadata[0])
        return _local_m(corners)


def _checks(found: Strings, plane: Index, n_views: int, is_railcar: Bools, detected: Bools) -> list[CrossCheck]:
    """What the strings of each view say.

    Args:
        found: in the rail vehicles of all views.
        plane: (R,) number of the view of each.
        n_views: number of views.
        is_railcar: (R,) whether it is called one.
        detected: (R,) at or above the operating threshold.
    """

    def number(chosen: Bools) -> Index:
        return np.bincount(plane[chosen], minlength=n_views)

    of_string = np.zeros(len(found.n_cars), dtype=np.intp)
    of_string[found.string[found.is_car]] = plane[found.is_car]
    room = np.bincount(of_string, weights=found.room, minlength=n_views).astype(np.float64)
    alone = number(detected & is_railcar & ~found.is_car & ~found.is_double)
    train_count = room - number(found.is_car & ~is_railcar) + alone
    train_count[np.bincount(of_string, minlength=n_views) == 0] = np.nan
    n_gaps, n_doubles = number(found.gap_after), number(found.is_double & is_railcar)
    return [CrossCheck(*each) for each in zip(train_count.tolist(), n_gaps.tolist(), n_doubles.tolist(), strict=True)]


def _local_m(lonlat: Floats) -> Floats:
    """Points (..., 2) as metres east and north on the plane that touches WGS 84 in their midst."""
    if lonlat.size == 0:
        return lonlat
    origin = lonlat.reshape(-1, 2).mean(axis=0)
    return np.asarray((lonlat - origin) * metres_per_degree(float(origin[1])))
