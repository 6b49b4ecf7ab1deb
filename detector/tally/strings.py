"""The strings of cars in a run's detections: a second estimate of the railcars, and flags where cars stand oddly."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from detector.counting.samples import Bools, Floats
from detector.counting.strings import Strings, find_strings
from detector.geometry import xywhr_from_corners
from detector.pixels.georef import metres_per_degree
from detector.tally.sightings import View, is_any

GROUP = "railcar"
"""The group that strings are a second estimate of; locomotives are cars of strings, but not of this count."""
GAP, DOUBLE, FILLER = "string_gap", "double", "fills_gap"

Index = npt.NDArray[np.intp]


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
        corners_px: (N, 4, 2) in pixels of their scenes.
        rail: classes of rail vehicles.
        cars: those of them that are railcars.
    """

    corners: Floats
    corners_px: Floats
    rail: tuple[str, ...]
    cars: tuple[str, ...]
    _known: dict[bytes, tuple[Strings, Index]] = field(default_factory=dict)

    @classmethod
    def of(cls, detections: pd.DataFrame, rail: Collection[str], cars: Collection[str]) -> "Trains":
        """The strings of a run's detections."""
        corners = np.full((len(detections), 4, 2), np.nan)
        corners_px = corners.copy()
        geometry = np.asarray(detections["geometry"], dtype=object)
        known = ~np.asarray(shapely.is_missing(geometry), dtype=bool)
        corners[known] = shapely.get_coordinates(geometry[known]).reshape(-1, 5, 2)[:, :4]
        if not known.all() and "corners_px" in detections:
            corners_px[:] = np.array(detections["corners_px"].tolist(), dtype=np.float64).reshape(-1, 4, 2)
        return cls(corners, corners_px, tuple(sorted(rail)), tuple(sorted(cars)))

    def strings(self, view: View) -> tuple[Strings, Index]:
        """The strings of a view, and which of its detections (R,) are the boxes they were sought among."""
        key = view.row.tobytes()
        if key not in self._known:
            rail = np.flatnonzero(is_any(view.class_name, self.rail))
            corners_m = self._corners_m(view, rail)
            is_placed = np.isfinite(corners_m).all(axis=(1, 2))
            rail, xywhr = rail[is_placed], xywhr_from_corners(corners_m[is_placed])
            self._known[key] = find_strings(xywhr, view.score[rail], view.detected[rail]), rail
        return self._known[key]

    def _corners_m(self, view: View, at: Index) -> Floats:
        """(R, 4, 2) corners of these detections of a view in metres; NaN where they have no place."""
        corners = self.corners[view.row[at]]
        if np.isnan(corners).any():
            return np.asarray(self.corners_px[view.row[at]] * view.scene_metadata[0])
        return _local_m(corners)

    def check(self, view: View) -> CrossCheck:
        """What the strings of a view say."""
        found, rail = self.strings(view)
        is_railcar = is_any(view.class_name[rail], self.cars)
        alone = view.detected[rail] & is_railcar & ~found.is_car & ~found.is_double
        count = found.room.sum() - (found.is_car & ~is_railcar).sum() + alone.sum()
        return CrossCheck(
            train_count=float(count) if len(found.n_cars) else float("nan"),
            n_gaps=int(found.gap_after.sum()),
            n_doubles=int((found.is_double & is_railcar).sum()),
        )

    def flags(self, detections: pd.DataFrame, views: Iterable[View]) -> list[str]:
        """(N,) flags of all detections: their own, with `string_gap`, `double` and `fills_gap` set anew."""
        before = detections["flags"].tolist() if "flags" in detections else [""] * len(detections)
        marks = {name: np.zeros(len(before), dtype=bool) for name in (GAP, DOUBLE, FILLER)}
        for view in views:
            found, rail = self.strings(view)
            row = view.row[rail]
            marks[GAP][row] = found.gap_after | found.gap_before
            marks[DOUBLE][row] = found.is_double
            marks[FILLER][row] = found.is_filler
        return [_with(text, marks, i) for i, text in enumerate(before)]


def _with(text: str, marks: dict[str, Bools], at: int) -> str:
    kept = [name for name in text.split(";") if name and name not in marks]
    return ";".join([*kept, *(name for name, on in marks.items() if on[at])])


def _local_m(lonlat: Floats) -> Floats:
    """Points (..., 2) as metres east and north on the plane that touches WGS 84 in their midst."""
    if lonlat.size == 0:
        return lonlat
    origin = lonlat.reshape(-1, 2).mean(axis=0)
    return np.asarray((lonlat - origin) * metres_per_degree(float(origin[1])))
