"""Parts of the places and of the objects by which results are broken down."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from detector.config import ClassTable
from detector.geometry import Bools, Floats
from detector.tally.sightings import scene_metadata, visible_ha
from training.evaluation.counts import count_errors
from training.evaluation.detection import AllIous, Judged, Scored, figures, rates
from training.evaluation.matching import Index, of_group
from training.evaluation.truth import Names, Place

_WHOLE = 0.98
Labels = dict[str, Bools]


def _bins(values: Floats, edges: Sequence[float], unit: str = "") -> Labels:
    """Masks of values below, between and above edges; NaN are in none."""
    labels = {f"below {edges[0]:g}{unit}": values < edges[0]}
    for low, high in pairwise(edges):
        labels[f"{low:g} to {high:g}{unit}"] = (values >= low) & (values < high)
    return labels | {f"from {edges[-1]:g}{unit}": values >= edges[-1]}


def _names(values: Names) -> Labels:
    return {str(name): values == name for name in np.unique(values) if name}


def place_slices(places: Sequence[Place], table: ClassTable) -> dict[str, Labels]:
    """By name of the slice and value, which places (P,) belong to it; empty values and unknown ones are left out.

    gsd (m), density (true rail vehicles per hectare), yard_angle (of the tracks against the axes of the map, 0-45
    degrees), sun (elevation, degrees), sun_side (from along the tracks, 0, to across, 90 degrees), off_nadir (degrees),
    haze (share of veil), snow, pan, style, region.
    """
    gsd, sun = np.array([scene_metadata(place.scene)[[0, 3]] for place in places]).T
    stated = _numbers(places, "sun_elevation_deg")
    snow, pan = _numbers(places, "snow"), _numbers(places, "pan")
    slices = {
        "gsd": _bins(gsd, (0.30, 0.40, 0.50), " m"),
        "density": _bins(np.array([_density(place, table) for place in places]), (2, 10, 30), " per ha"),
        "yard_angle": _bins(np.array([_yard_angle(place) for place in places]), (15, 30), "°"),
        "sun": _bins(np.where(np.isnan(stated), sun, stated), (20, 35, 50), "°"),
        "sun_side": _bins(np.array([_sun_side(place) for place in places]), (30, 60), "°"),
        "off_nadir": _bins(_numbers(places, "off_nadir_deg"), (10, 20), "°"),
        "haze": _bins(_numbers(places, "haze"), (0.05, 0.15), ""),
        "snow": {"none": snow == 0, "snow": snow > 0},
        "pan": {"colour": pan == 0, "panchromatic": pan > 0},
        "style": _names(_texts(places, "style")),
        "region": _names(_texts(places, "region")),
    }
    return {name: {v: m for v, m in labels.items() if m.any()} for name, labels in slices.items()}


def _number(place: Place, name: str) -> float:
    """A stated condition; NaN where it is not stated or no number."""
    try:
        return float(place.conditions.get(name, np.nan))
    except (TypeError, ValueError):
        return float("nan")


def _numbers(places: Sequence[Place], name: str) -> Floats:
    return np.array([_number(place, name) for place in places])


def _texts(places: Sequence[Place], name: str) -> Names:
    stated = [place.conditions.get(name) for place in places]
    return np.array(["" if value is None else str(value) for value in stated])


def _density(place: Place, table: ClassTable) -> float:
    n_true = int(of_group(place.truth, table.families["rail_vehicle"]).sum())
    area_ha = visible_ha(place.scene)
    return n_true / area_ha if area_ha > 0 else float("nan")


def _yard_angle(place: Place) -> float:
    """Least angle between the tracks and an axis of the map: as stated, else the axial mean of the true boxes."""
    heading = _number(place, "yard_heading_deg")
    if np.isnan(heading) and place.truth.care.any():
        doubled = 2 * place.truth.xywhr[place.truth.care, 4]
        heading = float(np.degrees(np.arctan2(np.sin(doubled).mean(), np.cos(doubled).mean())) / 2)
    return abs((heading + 45) % 90 - 45)


def _sun_side(place: Place) -> float:
    """Angle between the sun's azimuth and the tracks, 0-90 degrees, as stated."""
    sun, heading = _number(place, "sun_azimuth_deg"), _number(place, "yard_heading_deg")
    return abs((sun - heading + 90) % 180 - 90)


@dataclass(frozen=True)
class Objects:
    """The true objects of some classes over all places.

    Attributes:
        place: (n,) position of the place.
        index: (n,) position in the place's truth.
        class_name, kind, visible, length_m: (n,) columns.
    """

    place: Index
    index: Index
    class_name: Names
    kind: Names
    visible: Floats
    length_m: Floats

    @classmethod
    def of(cls, places: Sequence[Place], classes: tuple[str, ...]) -> "Objects":
        """The objects that count."""
        index = [np.flatnonzero(of_group(place.truth, classes)) for place in places]

        def column(get: Callable[[Place], Any]) -> Any:  # noqa: ANN401 - arrays of several types
            return np.concatenate([get(place)[i] for place, i in zip(places, index, strict=True)])

        return cls(
            place=np.repeat(np.arange(len(places)), [i.size for i in index]),
            index=np.concatenate(index),
            class_name=column(lambda place: place.truth.class_name),
            kind=column(lambda place: place.truth.kind),
            visible=column(lambda place: place.truth.visible),
            length_m=column(lambda place: place.truth.xywhr[:, 2] * place.frame.unit_m),
        )

    def is_found(self, judged: Judged) -> Bools:
        """(n,) whether a detection at the operating threshold is this object."""
        hits = judged.is_true & judged.detected
        found = set(zip(judged.place[hits].tolist(), judged.target[hits].tolist(), strict=True))
        return np.array(
            [key in found for key in zip(self.place.tolist(), self.index.tolist(), strict=True)], dtype=bool
        )


LENGTHS_M = (10.0, 14.0)


def object_slices(objects: Objects) -> dict[str, Labels]:
    """By name of the slice and value, which objects (n,) belong to it: length, truncated, tarp, kind."""
    tarped = np.char.startswith(objects.class_name, "tarped") if objects.class_name.size else np.zeros(0, dtype=bool)
    slices = {
        "length": _bins(objects.length_m, LENGTHS_M, " m"),
        "truncated": {"whole": objects.visible >= _WHOLE, "truncated or partly hidden": objects.visible < _WHOLE},
        "tarp": {"no tarpaulin": ~tarped, "tarpaulin": tarped},
        "kind": _names(objects.kind),
    }
    return {name: {v: m for v, m in labels.items() if m.any()} for name, labels in slices.items()}


def sliced(
    scored: Scored, judged: AllIous, classes: tuple[str, ...], estimates: Floats
) -> dict[str, dict[str, dict[str, Any]]]:
    """The figures of a set of classes by slice and value.

    Slices of places hold all of `figures`, n_scenes, detected_mae and detected_bias of the numbers detected, count_mae
    and count_bias of the estimates (P,), NaN where a place has none. Slices of objects hold n_true, recall_50 and
    recall_30; those by length, where unmatched detections fall by their own length, precision_50 and f1_50 too.
    """
    strict = judged.strict
    n_detected, n_true = strict.per_place(strict.detected).astype(np.float64), strict.n_true.astype(np.float64)
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for name, labels in place_slices(scored.places, scored.table).items():
        result[name] = {
            value: {
                "n_scenes": int(mask.sum()),
                **figures(judged.within(mask)),
                **_errors("detected", n_detected[mask], n_true[mask]),
                **_errors("count", estimates[mask], n_true[mask]),
            }
            for value, mask in labels.items()
        }
    objects = Objects.of(scored.places, classes)
    is_found = {name: objects.is_found(at) for name, at in (("50", strict), ("30", judged.loose))}
    wrong = _false_lengths(scored.places, strict)
    for name, labels in object_slices(objects).items():
        false = _bins(wrong, LENGTHS_M, " m") if name == "length" else None
        result[name] = {value: _recalls(mask, is_found, false, value) for value, mask in labels.items()}
    return result


def _errors(name: str, count: Floats, n_true: Floats) -> dict[str, float | int]:
    known = ~np.isnan(count)
    errors = count_errors(count[known], n_true[known])
    return {f"{name}_mae": errors["mae"], f"{name}_bias": errors["bias"]}


def _recalls(mask: Bools, is_found: Mapping[str, Bools], false: Labels | None, value: str) -> dict[str, float | int]:
    n_true, hits = int(mask.sum()), {name: int((found & mask).sum()) for name, found in is_found.items()}
    result: dict[str, float | int] = {"n_true": n_true, **{f"recall_{n}": h / n_true for n, h in hits.items()}}
    if false is not None:
        at = rates(hits["50"], hits["50"] + int(false[value].sum()), n_true)
        result |= {"precision_50": at["precision"], "f1_50": at["f1"]}
    return result


def _false_lengths(places: Sequence[Place], judged: Judged) -> Floats:
    """(n,) lengths in metres of the false alarms at the operating threshold."""
    false = judged.detected & ~judged.is_true
    at = zip(judged.place[false], judged.row[false], strict=True)
    return np.array([places[p].found.xywhr[r, 2] * places[p].frame.unit_m for p, r in at], dtype=np.float64)


def empty_scenes(places: Sequence[Place], judged: Judged) -> dict[str, float | int]:
    """False alarms in scenes without any object of the classes that counts.

    Returns:
        n_scenes, area_ha, n_false at the operating threshold, false_per_10ha.
    """
    is_empty = judged.n_true == 0
    area_ha = float(sum(visible_ha(place.scene) for place, chosen in zip(places, is_empty, strict=True) if chosen))
    n_false = int((judged.detected & ~judged.is_true & is_empty[judged.place]).sum())
    return {
        "n_scenes": int(is_empty.sum()),
        "area_ha": area_ha,
        "n_false": n_false,
        "false_per_10ha": 10 * n_false / area_ha if area_ha > 0 else float("nan"),
    }
