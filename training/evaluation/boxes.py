"""How well the boxes of found objects fit, in metres and degrees."""

from collections.abc import Sequence

import numpy as np

from detector.geometry import Floats
from training.evaluation.detection import Judged
from training.evaluation.truth import Place

_WHOLE = 0.98


def box_errors(places: Sequence[Place], judged: Judged) -> Floats:
    """(n, 4) length, width, heading and position errors of the detections that are true objects.

    Of detections at the operating threshold, whole objects and known rotations only; found minus true, in
    metres, heading in degrees within [-90, 90) turning clockwise on the map, position as a distance.
    """
    errors = [np.zeros((0, 4))]
    for at in np.unique(judged.place):
        place = places[int(at)]
        chosen = (judged.place == at) & judged.is_true & judged.detected
        row, target = judged.row[chosen], judged.target[chosen]
        usable = (place.truth.visible[target] >= _WHOLE) & ~place.truth.axis_aligned[target]
        found, truth = place.found.xywhr[row[usable]], place.truth.xywhr[target[usable]]
        turn = (np.degrees(found[:, 4] - truth[:, 4]) + 90) % 180 - 90
        moved = np.hypot(*(found[:, :2] - truth[:, :2]).T)
        unit = place.frame.unit_m
        errors.append(np.column_stack([(found[:, 2:4] - truth[:, 2:4]) * unit, turn, moved * unit]))
    return np.concatenate(errors)


def box_quality(places: Sequence[Place], judged: Judged) -> dict[str, float | int]:
    """Median error, and median and 90th percentile of its size, of `box_errors`.

    Returns:
        n, and for length_m, width_m, heading_deg: `_bias` (median), `_median` and `_p90` (of absolute values);
        for position_m `_median` and `_p90`.
    """
    errors = box_errors(places, judged)
    result: dict[str, float | int] = {"n": len(errors)}
    for name, column in zip(("length_m", "width_m", "heading_deg", "position_m"), errors.T, strict=True):
        if not name.startswith("position"):
            result[f"{name}_bias"] = _quantile(column, 0.5)
        result[f"{name}_median"] = _quantile(np.abs(column), 0.5)
        result[f"{name}_p90"] = _quantile(np.abs(column), 0.9)
    return result


def _quantile(values: Floats, share: float) -> float:
    return float(np.quantile(values, share)) if values.size else float("nan")
