"""The figures of one group: coverage, strata, widths, and its scores beside those of the rivals."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from detector.counting.inflation import LEVELS
from detector.counting.samples import Bools, Floats
from training.evaluation.counting.dates import Dates, Forecast
from training.evaluation.counting.scores import (
    crps,
    facility_band,
    interval_scores,
    pit,
    share_of,
    weighted_interval_scores,
)

OURS = "R"
_STRATA = {"0-5": (0, 5), "6-25": (6, 25), "26+": (26, np.inf)}
_FINE_STRATA = {"0": (0, 0), "1-5": (1, 5), "6-25": (6, 25), "26-80": (26, 80), ">80": (81, np.inf)}
_NARROW_UP_TO, _RELATIVE_FROM = 25, 20


def group_figures(dates: Dates, forecasts: Mapping[str, Forecast]) -> dict[str, Any]:
    """What is measured of one group.

    Args:
        dates: its dates, fully and partly seen.
        forecasts: by method, of the same dates; algorithm R's is called `OURS`.

    Returns:
        Of the fully seen dates: n_dates, n_facilities, n_true; coverage by level, each with its exact band (n, share,
        low, high) and the band of the facility bootstrap (facility_low, facility_high); coverage95_by_stratum and
        coverage95_by_fine_stratum of the true number; missed_below95, missed_above95 (share of dates whose truth lies
        there); count_mae; bias_share, sum(count) / sum(true) - 1; widths; pit; methods (coverage95, mean_width95,
        interval_score95, wis, crps, bias_share); ratios of our interval score to each rival's with the facility
        bootstrap's low and high; rows, one per date for the plots.
        Of the partly seen ones, partly_seen: coverage by level and bias_share of what stands in the visible part.
    """
    full = dates.is_full
    whole = {name: forecast.where(full) for name, forecast in forecasts.items()}
    at, ours = dates.where(full), whole[OURS]
    scores = {name: _score(forecast, at) for name, forecast in whole.items()}
    n_true = at.n_true
    return {
        "n_dates": len(at.facility),
        "n_facilities": at.n_facilities,
        "n_true": int(n_true.sum()),
        "coverage": {f"{level:.0%}".rstrip("%"): _coverage(ours, at, level) for level in LEVELS},
        "coverage95_by_stratum": _by_stratum(ours, at, _STRATA),
        "coverage95_by_fine_stratum": _by_stratum(ours, at, _FINE_STRATA),
        "missed_below95": float((n_true < ours.low[0.95]).mean()),
        "missed_above95": float((n_true > ours.high[0.95]).mean()),
        "count_mae": float(np.abs(ours.count - n_true).mean()),
        "bias_share": _bias(ours, n_true),
        "widths": _widths(ours),
        "pit": pit(ours.draws, n_true).tolist(),
        "methods": {name: _means(score) | _described(whole[name], at) for name, score in scores.items()},
        "ratios": {name: _ratio(scores[OURS], score, at) for name, score in scores.items() if name != OURS},
        "rows": _rows(ours, at),
        "partly_seen": _partly_seen(forecasts[OURS].where(~full), dates.where(~full)),
    }


def _coverage(forecast: Forecast, dates: Dates, level: float) -> dict[str, float | int]:
    inside = forecast.covers(dates.n_true, level)
    low, high = facility_band(inside.astype(np.float64), np.ones(inside.size), dates.code)
    return share_of(inside) | {"facility_low": low, "facility_high": high}


def _by_stratum(forecast: Forecast, dates: Dates, strata: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    inside = forecast.covers(dates.n_true, 0.95)
    return {
        name: share_of(inside[(dates.n_true >= low) & (dates.n_true <= high)]) for name, (low, high) in strata.items()
    }


def _bias(forecast: Forecast, n_true: Floats) -> float:
    total = float(n_true.sum())
    return float(forecast.count.sum()) / total - 1 if total > 0 else float("nan")


def _widths(forecast: Forecast) -> dict[str, float | int]:
    """Of the 95 % intervals: mean, mean where at most 25 are predicted, mean share of the count above 20, oddities."""
    width = forecast.width(0.95)
    few, many = forecast.count <= _NARROW_UP_TO, forecast.count > _RELATIVE_FROM
    return {
        "mean": float(width.mean()),
        "mean_up_to_25": _mean(width, few),
        "relative_above_20": _mean(width / np.maximum(forecast.count, 1), many),
        "n_zero": int((width <= 0).sum()),
        "n_infinite": int((~np.isfinite(width)).sum()),
    }


def _mean(values: Floats, mask: Bools) -> float:
    return float(values[mask].mean()) if mask.any() else float("nan")


def _score(forecast: Forecast, dates: Dates) -> dict[str, Floats]:
    low, high = forecast.low[0.95], forecast.high[0.95]
    return {
        "interval_score95": interval_scores(low, high, dates.n_true, 0.95),
        "wis": weighted_interval_scores(forecast.count, forecast.low, forecast.high, dates.n_true),
        "crps": crps(forecast.draws, dates.n_true),
    }


def _means(score: Mapping[str, Floats]) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in score.items()}


def _described(forecast: Forecast, dates: Dates) -> dict[str, float]:
    return {
        "coverage95": float(forecast.covers(dates.n_true, 0.95).mean()),
        "mean_width95": float(forecast.width(0.95).mean()),
        "bias_share": _bias(forecast, dates.n_true),
    }


def _ratio(ours: Mapping[str, Floats], theirs: Mapping[str, Floats], dates: Dates) -> dict[str, float]:
    """Our mean 95 % interval score over a rival's, and the facility bootstrap's 95 % interval of it."""
    parts = ours["interval_score95"], theirs["interval_score95"]
    low, high = facility_band(*parts, dates.code)
    total = float(parts[1].sum())
    return {"ratio": float(parts[0].sum()) / total if total > 0 else float("nan"), "low": low, "high": high}


def _rows(forecast: Forecast, dates: Dates) -> list[dict[str, Any]]:
    ends = [ends[level] for level in (0.5, 0.95) for ends in (forecast.low, forecast.high)]
    numbers = np.column_stack([dates.n_true, dates.n_detected, forecast.count, *ends])
    names = ("n_true", "n_detected", "count", "lo50", "hi50", "lo95", "hi95")
    return [
        {"facility_id": facility, **dict(zip(names, row.tolist(), strict=True))}
        for facility, row in zip(dates.facility, numbers, strict=True)
    ]


def _partly_seen(forecast: Forecast, dates: Dates) -> dict[str, Any]:
    return {
        "n_true": int(dates.n_true.sum()),
        "coverage": {f"{level:.0%}".rstrip("%"): share_of(forecast.covers(dates.n_true, level)) for level in LEVELS},
        "bias_share": _bias(forecast, dates.n_true),
    }
