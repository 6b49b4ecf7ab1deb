"""Errors of counts, raw and estimated, and of their intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from detector.config import ClassTable
from detector.counting.background import Z95
from detector.geometry import Floats
from training.evaluation.counting.scores import interval_scores
from training.evaluation.matching import of_group
from training.evaluation.truth import Place

_FULLY_SEEN = 0.98
_ENDS = ("lo95", "hi95", "lo80", "hi80")


def count_errors(count: Floats, n_true: Floats) -> dict[str, float | int]:
    """How far counts are off.

    Returns:
        n; bias, the mean of count - true; mae, the mean of |count - true|; relative_bias, sum(count) / sum(true) - 1;
        relative_mae, sum |count - true| / sum(true).
    """
    error, total = count - n_true, float(n_true.sum())
    nan = float("nan")
    return {
        "n": int(count.size),
        "bias": float(error.mean()) if count.size else nan,
        "mae": float(np.abs(error).mean()) if count.size else nan,
        "relative_bias": float(error.sum()) / total if total > 0 else nan,
        "relative_mae": float(np.abs(error).sum()) / total if total > 0 else nan,
    }


def detected_errors(places: Sequence[Place], n_detected: Floats, n_true: Floats) -> dict[str, dict[str, float | int]]:
    """Errors of the numbers detected at the operating threshold, by scene and by facility (its mean over scenes).

    Args:
        places: the places.
        n_detected: (P,) detections of the group that count.
        n_true: (P,) true objects of the group.
    """
    table = pd.DataFrame({"found": n_detected, "true": n_true}, dtype=np.float64)
    means = table.groupby([place.facility_id for place in places], sort=True).mean()
    return {
        "scenes": count_errors(table["found"].to_numpy(), table["true"].to_numpy()),
        "facilities": count_errors(means["found"].to_numpy(), means["true"].to_numpy()),
    }


def counts_with_truth(counts: pd.DataFrame, places: Sequence[Place], group: str, table: ClassTable) -> pd.DataFrame:
    """Fully seen rows of a group with the columns n_true and place, those of the scene that was counted.

    Rows whose scene has no truth, or does not show the facility whole by itself, are left out.

    Args:
        counts: as `training.evaluation.measure.read_counts` gives them, with the scene_id of each row.
        places: the places.
        group: the group.
        table: the class table.
    """
    rows = [
        {
            "scene_id": str(place.scene["scene_id"]),
            "facility_id": place.facility_id,
            "observed": float(place.scene["observed_fraction"]),
            "n_true": int(of_group(place.truth, table.groups[group]).sum()),
            "place": position,
        }
        for position, place in enumerate(places)
    ]
    mine = counts[counts["group"] == group]
    joined = mine.merge(pd.DataFrame(rows), on=["scene_id", "facility_id"])
    is_full = (joined["observed_fraction"] >= _FULLY_SEEN) & (joined["observed"] >= _FULLY_SEEN)
    return joined[is_full & joined["count"].notna()]


def estimate_errors(rows: pd.DataFrame) -> dict[str, Any]:
    """Errors of the estimated counts of dates and coverage of their intervals.

    Args:
        rows: fully seen facility-dates with count, lo95, hi95, lo80, hi80, n_detected, n_true.

    Returns:
        n, bias, mae, relative_bias and relative_mae (`count_errors`); n_intervals, the dates that have an interval,
        and of those coverage95, coverage80, missed_below95 and missed_above95 (share of dates whose truth lies below or
        above), coverage95 by true number, mean_width95, interval_score95 and that of n +- 1.96 sqrt(n) as
        poisson_score95.
    """
    if rows.empty:
        return {"n": 0}
    errors = count_errors(*(rows[name].to_numpy(dtype=np.float64) for name in ("count", "n_true")))
    rows = rows.dropna(subset=list(_ENDS))
    if rows.empty:
        return {**errors, "n_intervals": 0}
    n_true, raw = (rows[name].to_numpy(dtype=np.float64) for name in ("n_true", "n_detected"))
    ends = {name: rows[name].to_numpy(dtype=np.float64) for name in _ENDS}
    inside = {k: (ends[f"lo{k}"] <= n_true) & (n_true <= ends[f"hi{k}"]) for k in (95, 80)}
    strata = {"0-5": n_true <= 5, "6-25": (n_true > 5) & (n_true <= 25), "26+": n_true > 25}
    half = Z95 * np.sqrt(raw)
    return {
        **errors,
        "n_intervals": len(rows),
        "coverage95": float(inside[95].mean()),
        "coverage80": float(inside[80].mean()),
        "missed_below95": float((n_true < ends["lo95"]).mean()),
        "missed_above95": float((n_true > ends["hi95"]).mean()),
        "coverage95_by_n": {
            name: {"n": int(chosen.sum()), "coverage": float(inside[95][chosen].mean())}
            for name, chosen in strata.items()
            if chosen.any()
        },
        "mean_width95": float((ends["hi95"] - ends["lo95"]).mean()),
        "interval_score95": float(interval_scores(ends["lo95"], ends["hi95"], n_true, 0.95).mean()),
        "poisson_score95": float(interval_scores(np.maximum(raw - half, 0), raw + half, n_true, 0.95).mean()),
    }
