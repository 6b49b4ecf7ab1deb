"""How good detections, counts and intervals of a run are, against truth. Imports no torch.

python -m training.evaluate RUN --truth TRUTH [--json FILE]
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from detector.config import ClassTable, class_table
from detector.errors import RailcarsError
from detector.geometry import Bools, Floats
from detector.store import write_json
from training.matching import average_precision, label, match
from training.truth import Place, read_places

IOUS = (0.3, 0.5)
_FULLY_SEEN = 0.98
_Z95 = 1.959964


def evaluate(run: Path, truth: Path) -> dict[str, Any]:
    """Metrics of a run by group.

    Args:
        run: a RUN folder; without counts.parquet there are no metrics of counts.
        truth: a folder of `<stem>.truth.geojson`, or one GeoJSON file (`training.truth.read_places`).

    Returns:
        run, truth, n_scenes, n_facilities and, by group, n_true, n_detected, iou_0.3, iou_0.5 (precision,
        recall, f1 at the operating threshold; best_f1 and its best_threshold; average_precision) and counts.
        A value that does not exist is None.
    """
    table = class_table()
    places = read_places(run, truth, table.names)
    counts_path = run / "counts.parquet"
    counts = pd.read_parquet(counts_path) if counts_path.exists() else None
    matched = {iou: [match(place.found, place.truth, iou, table) for place in places] for iou in IOUS}
    groups = {}
    for group, classes in table.groups.items():
        entry: dict[str, Any] = {f"iou_{iou}": detection_metrics(places, matched[iou], classes) for iou in IOUS}
        entry["n_true"] = entry["iou_0.5"].pop("n_true")
        entry["n_detected"] = entry["iou_0.5"].pop("n_detected")
        entry["iou_0.3"] = {k: v for k, v in entry["iou_0.3"].items() if k not in {"n_true", "n_detected"}}
        entry["counts"] = None if counts is None else count_metrics(_with_truth(counts, places, group, table))
        groups[group] = entry
    result = {
        "run": run.name,
        "truth": truth.name,
        "n_scenes": len({place.scene["scene_id"] for place in places}),
        "n_facilities": len({place.scene["facility_id"] for place in places}),
        "groups": groups,
    }
    return {key: _without_nan(value) for key, value in result.items()}


def detection_metrics(
    places: Sequence[Place], matched: Sequence["np.ndarray[Any, np.dtype[np.intp]]"], classes: tuple[str, ...]
) -> dict[str, Any]:
    """Precision, recall and F1 of a group at the operating and the best threshold, and average precision."""
    labels = [label(place.found, place.truth, m, classes) for place, m in zip(places, matched, strict=True)]
    is_true: Bools = np.concatenate([each.is_true for each in labels])
    score: Floats = np.concatenate([p.found.score[each.row] for p, each in zip(places, labels, strict=True)])
    detected: Bools = np.concatenate([p.found.detected[each.row] for p, each in zip(places, labels, strict=True)])
    n_true = sum(each.n_true for each in labels)
    best_f1, best_threshold = _best(score, is_true, n_true)
    return {
        "n_true": n_true,
        "n_detected": int(detected.sum()),
        **_rates(int((is_true & detected).sum()), int(detected.sum()), n_true),
        "best_f1": best_f1,
        "best_threshold": best_threshold,
        "average_precision": average_precision(score, is_true, n_true),
    }


def _rates(n_hits: int, n_detected: int, n_true: int) -> dict[str, float]:
    nan = float("nan")
    return {
        "precision": n_hits / n_detected if n_detected else nan,
        "recall": n_hits / n_true if n_true else nan,
        "f1": 2 * n_hits / (n_detected + n_true) if n_detected + n_true else nan,
    }


def _best(score: Floats, is_true: Bools, n_true: int) -> tuple[float, float]:
    """Greatest F1 over all thresholds, and that threshold."""
    if score.size == 0 or n_true == 0:
        return float("nan"), float("nan")
    order = np.argsort(-score, kind="stable")
    f1 = 2 * np.cumsum(is_true[order]) / (np.arange(1, score.size + 1) + n_true)
    # Equal scores stand or fall together: only the last of them is a threshold.
    is_last = np.append(np.diff(score[order]) < 0, True)
    at = int(np.argmax(np.where(is_last, f1, -1.0)))
    return float(f1[at]), float(score[order][at])


def _with_truth(counts: pd.DataFrame, places: Sequence[Place], group: str, table: ClassTable) -> pd.DataFrame:
    """Fully seen rows of a group with the column n_true, from the best scene of each date."""
    rows = [
        {
            "facility_id": str(place.scene["facility_id"]),
            "date": pd.Timestamp(place.scene["acquired"]).date(),
            "observed": float(place.scene["observed_fraction"]),
            "n_true": int((np.isin(place.truth.class_name, table.groups[group]) & place.truth.care).sum()),
        }
        for place in places
    ]
    known = pd.DataFrame(rows).sort_values("observed", kind="stable").groupby(["facility_id", "date"]).last()
    mine = counts[counts["group"] == group]
    mine = mine.assign(facility_id=mine["facility_id"].astype(str), date=pd.to_datetime(mine["date"]).dt.date)
    joined = mine.merge(known.reset_index(), on=["facility_id", "date"])
    is_full = (joined["observed_fraction"] >= _FULLY_SEEN) & (joined["observed"] >= _FULLY_SEEN)
    return joined[is_full & joined["count"].notna()]


def count_metrics(rows: pd.DataFrame) -> dict[str, Any]:
    """Errors of counts and coverage of their intervals.

    Args:
        rows: fully seen facility-dates with count, lo95, hi95, lo80, hi80, n_detected, n_true.

    Returns:
        n_dates, mae, bias (relative, of the summed count), the same of the raw count, coverage95, coverage80,
        missed_below95 and missed_above95 (share of dates whose truth lies below or above), coverage95 by true
        number, mean_width95, interval_score95 and that of n +- 1.96 sqrt(n) as poisson_score95.
    """
    if rows.empty:
        return {"n_dates": 0}
    n_true, count, raw = (rows[name].to_numpy(dtype=np.float64) for name in ("n_true", "count", "n_detected"))
    ends = {name: rows[name].to_numpy(dtype=np.float64) for name in ("lo95", "hi95", "lo80", "hi80")}
    inside = {k: (ends[f"lo{k}"] <= n_true) & (n_true <= ends[f"hi{k}"]) for k in (95, 80)}
    strata = {"0-5": n_true <= 5, "6-25": (n_true > 5) & (n_true <= 25), "26+": n_true > 25}
    half = _Z95 * np.sqrt(raw)
    return {
        "n_dates": len(rows),
        "mae": float(np.abs(count - n_true).mean()),
        "bias": _relative_bias(count, n_true),
        "raw_mae": float(np.abs(raw - n_true).mean()),
        "raw_bias": _relative_bias(raw, n_true),
        "coverage95": float(inside[95].mean()),
        "coverage80": float(inside[80].mean()),
        "missed_below95": float((n_true < ends["lo95"]).mean()),
        "missed_above95": float((n_true > ends["hi95"]).mean()),
        "coverage95_by_n": {
            name: {"n_dates": int(chosen.sum()), "coverage": float(inside[95][chosen].mean())}
            for name, chosen in strata.items()
            if chosen.any()
        },
        "mean_width95": float((ends["hi95"] - ends["lo95"]).mean()),
        "interval_score95": interval_score(ends["lo95"], ends["hi95"], n_true, 0.95),
        "poisson_score95": interval_score(np.maximum(raw - half, 0), raw + half, n_true, 0.95),
    }


def interval_score(low: Floats, high: Floats, n_true: Floats, level: float) -> float:
    """Mean width plus 2 / (1 - level) times the miss (Gneiting, Raftery, Strictly proper scoring rules)."""
    miss = np.maximum(low - n_true, 0) + np.maximum(n_true - high, 0)
    return float((high - low + 2 / (1 - level) * miss).mean())


def _relative_bias(count: Floats, n_true: Floats) -> float:
    return float(count.sum() / n_true.sum() - 1) if n_true.sum() > 0 else float("nan")


def _without_nan(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The same JSON value with null for NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value


def tables(result: Mapping[str, Any]) -> tuple[Table, Table]:
    """The metrics as two tables for a terminal: of boxes, and of counts."""
    boxes = Table("group", "true", "IoU", "precision", "recall", "F1", "best F1", "at score", "AP")
    sums = Table("group", "dates", "MAE", "bias", "raw MAE", "raw bias", "cover 95", "cover 80", "width 95", "score 95")
    for group, entry in result["groups"].items():
        for iou in IOUS:
            at = entry[f"iou_{iou}"]
            keys = ("precision", "recall", "f1", "best_f1", "best_threshold", "average_precision")
            boxes.add_row(group, str(entry["n_true"]), str(iou), *(_shown(at[key]) for key in keys))
        if entry["counts"] and entry["counts"]["n_dates"]:
            columns = ("mae", "bias", "raw_mae", "raw_bias", "coverage95", "coverage80", "mean_width95")
            cells = [_shown(entry["counts"][key]) for key in (*columns, "interval_score95")]
            sums.add_row(group, str(entry["counts"]["n_dates"]), *cells)
    return boxes, sums


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the metrics of a run and write them as JSON; exit code 2 where the inputs do not fit."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("run", type=Path, help="a RUN folder")
    parser.add_argument("--truth", type=Path, required=True, help="folder of <stem>.truth.geojson, or one GeoJSON")
    parser.add_argument("--json", type=Path, help="write the metrics here; - prints them instead of tables")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        result = evaluate(options.run, options.truth)
    except RailcarsError as error:
        Console(stderr=True).print(str(error), markup=False)
        return 2
    if str(options.json) == "-":
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
        return 0
    for table in tables(result):
        console.print(table)
    if options.json:
        write_json(options.json, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
