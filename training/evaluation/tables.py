"""Metrics as tables for a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def tables(result: Mapping[str, Any]) -> tuple[Table, Table, Table]:
    """The metrics of `training.evaluation.measure` as three tables.

    Of boxes at IoU 0.5 and 0.3 (precision, recall and F1 at the operating threshold; best F1, and at which score); of
    counts and their intervals; of the shapes of found boxes (median and 90th percentile of the error in metres and
    degrees) and of the calibration of scores and of p_true.
    """
    boxes = _table("", "true", "IoU", "prec.", "recall", "F1", "best", "at", "AP", "50-95")
    for entries in (result["groups"], {f"class {name}": e for name, e in result["classes"].items()}):
        for name, entry in entries.items():
            for iou in ("50", "30"):
                keys = ("precision", "recall", "f1", "best_f1", "best_threshold", "ap")
                last = shown(entry["ap_50_95"]) if iou == "50" else ""
                boxes.add_row(name, str(entry["n_true"]), f"0.{iou}", *(shown(entry[f"{k}_{iou}"]) for k in keys), last)
    counts = _table("", "n", "MAE", "bias", "relative", "in 95", "in 80", "width")
    for group, entry in result["groups"].items():
        for name, errors in entry["counts"]["detected"].items():
            counts.add_row(f"{group} detected, {name}", *_errors(errors))
        estimated = entry["counts"]["estimated"]
        if estimated and estimated["n"]:
            estimates = ("coverage95", "coverage80", "mean_width95")
            counts.add_row(
                f"{group} estimated, dates", *_errors(estimated), *(shown(estimated.get(key)) for key in estimates)
            )
    fit = _table("", "found", "length", "90 %", "width", "90 %", "turn °", "90 %", "ECE", "p_true")
    for group, entry in result["groups"].items():
        shapes = [f"{name}_{end}" for name in ("length_m", "width_m", "heading_deg") for end in ("median", "p90")]
        scores = [entry["scores"][name] for name in ("score", "p_true")]
        cells = [shown(entry["boxes"][key]) for key in shapes] + [shown(s and s["ece"]) for s in scores]
        fit.add_row(group, str(entry["boxes"]["n"]), *cells)
    return boxes, counts, fit


def _table(first: str, *columns: str) -> Table:
    table = Table()
    table.add_column(first, no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _errors(errors: Mapping[str, Any]) -> list[str]:
    return [str(errors["n"]), *(shown(errors[key]) for key in ("mae", "bias", "relative_bias"))]


def shown(value: float | None) -> str:
    """A figure with three decimals; a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"
