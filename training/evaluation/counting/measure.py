"""All that is measured of a run's counts, as one JSON value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import process_time
from typing import Any

import geopandas as gpd
import numpy as np

from detector.config import ClassTable, CountConfig
from detector.counting.surge import Rules
from detector.errors import UsageError
from detector.tally.calibration_file import CalibrationFile
from detector.tally.estimates import Tally
from detector.tally.sightings import Sighting, find_sightings, find_views
from training.evaluation.counting.acceptance import acceptance
from training.evaluation.counting.dates import Dates, Forecast, find_dates
from training.evaluation.counting.figures import OURS, group_figures
from training.evaluation.counting.partial import find_cuts, judge_cuts
from training.evaluation.counting.replay import SEED_CASE, replay
from training.evaluation.counting.rivals import Tallied, rivals
from training.evaluation.truth import Place

HEADLINE = "railcar"
MIN_OBJECTS = 30
UNKNOWN = {
    "sun": ("sun_elevation_deg",),
    "slant": ("off_nadir_deg",),
    "sun and slant": ("sun_elevation_deg", "off_nadir_deg"),
}
"""Columns of the scenes table that the headline's counts are made without."""


@dataclass(frozen=True)
class Effort:
    """How much is replayed and cut.

    Attributes:
        n_quiet: quiet dates by usual mean and length of the history.
        n_surge: surges by size and length of the history.
        seed: of replay and cuts.
    """

    n_quiet: int = 250
    n_surge: int = 60
    seed: int = 0


@dataclass(frozen=True)
class Material:
    """What the measurement is made of.

    Attributes:
        detections, scenes: tables of the run.
        places: its scenes and facilities with truth.
        calibration: of the weights.
        fitted: scenes and facilities that the weights were calibrated on; the rivals are fitted on them too.
        config: counting settings.
        classes: the class table.
    """

    detections: gpd.GeoDataFrame
    scenes: gpd.GeoDataFrame
    places: Mapping[tuple[str, str], Place]
    calibration: CalibrationFile
    fitted: Sequence[Place]
    config: CountConfig
    classes: ClassTable


def measure_counts(material: Material, effort: Effort | None = None) -> dict[str, Any]:
    """Metrics of counts, intervals and verdicts.

    Returns:
        The headline's figures (railcars on fully seen dates): n_dates, n_facilities, coverage_50 .. coverage_95,
        coverage_95_by_stratum, interval_score_over_poisson and _over_bootstrap with their _upper bounds, bias_share,
        false_alarm_rate_001 (p_NB <= 0.01) and _0001, queued_73_vs_20; `acceptance`, a list of what is asked and
        measured; `groups`, by group `figures.group_figures`, where there are at least 30 true objects; `replay`
        (`replay.replay`), `visible_share` (`partial.judge_cuts`) and `unknown` (by what is not known of the scenes:
        coverage_95, count_mae, crps, mean_width_95) of railcars.

    Raises:
        UsageError: there are too few railcars to judge anything.
    """
    effort, config = effort or Effort(), material.config
    sightings = _sightings(material, material.scenes)
    tallies = {group: _tally(material, group) for group in material.classes.groups}
    started = process_time()
    found = {group: find_dates(sightings, material.places, tally) for group, tally in tallies.items()}
    seconds = process_time() - started
    groups: dict[str, Any] = {}
    for group, (dates, ours) in found.items():
        tallied = Tallied.of(material.fitted, material.classes.groups[group], material.classes)
        forecasts = _forecasts(dates, ours, tallied, effort.seed)
        if forecasts is not None:
            groups[group] = group_figures(dates, forecasts)
    if HEADLINE not in groups:
        raise UsageError(
            f"there are fewer than {MIN_OBJECTS} true {HEADLINE}s on fully seen dates or in the calibration run.",
            "Judge more facilities.",
        )
    dates, ours = found[HEADLINE]
    replayed = replay(
        dates.where(dates.is_full),
        ours.where(dates.is_full),
        Rules(queue_p=config.queue_p, queue_record=config.queue_record),
        n_quiet=effort.n_quiet,
        n_surge=effort.n_surge,
        seed=effort.seed,
    )
    tally = tallies[HEADLINE]
    cuts = find_cuts(sightings, material.places, tally.classes, seed=effort.seed)
    result: dict[str, Any] = _rounded(
        {
            **_headline(groups[HEADLINE], replayed),
            "acceptance": acceptance(groups[HEADLINE], replayed, 1000 * seconds / len(dates.facility)),
            "groups": groups,
            "replay": replayed,
            "visible_share": judge_cuts(cuts, tally, config),
            "unknown": {
                "nothing": _in_short(groups[HEADLINE]),
                **{name: _in_short(_without(material, columns)) for name, columns in UNKNOWN.items()},
            },
        }
    )
    return result


def _tally(material: Material, group: str) -> Tally:
    """What makes the group's estimates, as in the counts table of the run."""
    config, members = material.config, material.classes.groups[group]
    on_rail = set(members) <= set(material.classes.families["rail_vehicle"])
    counter = material.calibration.counter(group)
    return Tally(group, members, counter, config.draws, config.seed, config.repeat_rho, on_rail)


def _sightings(material: Material, scenes: gpd.GeoDataFrame) -> dict[str, list[Sighting]]:
    """What the run saw, by facility, if this were its scenes table."""
    views = find_views(material.detections, scenes, material.classes)
    return find_sightings(views, material.config.same_time_minutes)


def _without(material: Material, columns: Sequence[str]) -> dict[str, Any]:
    """Figures of the headline's counts where nothing is known of these columns of the scenes table."""
    sightings = _sightings(material, material.scenes.assign(**dict.fromkeys(columns, np.nan)))
    dates, ours = find_dates(sightings, material.places, _tally(material, HEADLINE))
    return group_figures(dates, {OURS: ours})


def _in_short(figures: Mapping[str, Any]) -> dict[str, float]:
    """What is told of our counts beside others of the same dates."""
    ours = figures["methods"][OURS]
    return {
        "coverage_95": ours["coverage95"],
        "count_mae": figures["count_mae"],
        "crps": ours["crps"],
        "mean_width_95": ours["mean_width95"],
    }


def _rounded(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The same JSON value with four significant digits, and null for what is not finite."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{value:.4g}") if np.isfinite(value) else None
    return value


def _forecasts(dates: Dates, ours: Forecast, scenes: Tallied, seed: int) -> dict[str, Forecast] | None:
    """What every method says of the dates; None where they or the calibration scenes hold too few objects."""
    if min(dates.n_true[dates.is_full].sum(), scenes.n_true.sum()) < MIN_OBJECTS or scenes.n_right.sum() == 0:
        return None
    return {OURS: ours, **{name: rival(dates.n_detected) for name, rival in rivals(scenes, seed).items()}}


def _headline(railcar: Mapping[str, Any], replayed: Mapping[str, Any]) -> dict[str, Any]:
    result = {
        "n_dates": railcar["n_dates"],
        "n_facilities": railcar["n_facilities"],
        **{f"coverage_{level}": at["share"] for level, at in railcar["coverage"].items()},
        "coverage_95_by_stratum": {name: at["share"] for name, at in railcar["coverage95_by_stratum"].items()},
        "bias_share": railcar["bias_share"],
    }
    for rival in ("poisson", "bootstrap"):
        ratio = railcar["ratios"][rival]
        result |= {f"interval_score_over_{rival}": ratio["ratio"], f"interval_score_over_{rival}_upper": ratio["high"]}
    return result | {
        "false_alarm_rate_001": replayed["quiet"]["at_001"]["share"],
        "false_alarm_rate_0001": replayed["quiet"]["at_0001"]["share"],
        "queued_73_vs_20": replayed["surge"][str(SEED_CASE)]["queued"]["share"],
    }
