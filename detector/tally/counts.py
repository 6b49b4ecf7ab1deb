"""From a run's detections to its counts table: intervals, partly seen dates, verdicts, and p_true."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from detector.config import ClassTable, CountConfig
from detector.counting.interval import Estimate
from detector.counting.samples import Floats
from detector.counting.surge import Rules, Verdict, decide
from detector.tally.baseline import eye_counts
from detector.tally.calibration_file import CalibrationFile, uncalibrated
from detector.tally.counting import Counting, Judged
from detector.tally.shares import Rows, mapped, shares
from detector.tally.totals import Key, sum_counts
from detector.tally.verdicts import NOT_CALIBRATED, verdict_sentence
from detector.tracks import Tracks

COLUMNS = (
    "facility_id",
    "date",
    "group",
    "n_detected",
    "count",
    "lo95",
    "hi95",
    "lo80",
    "hi80",
    "observed_fraction",
    "n_scenes",
    "flags",
    "baseline_n",
    "baseline_max",
    "p_surge",
    "surge",
    "p_usual",
    "p_rank",
    "baseline_since",
    "baseline_whole",
    "seen_count",
    "seen_lo95",
    "seen_hi95",
    "lo50",
    "hi50",
    "lo90",
    "hi90",
    "train_count",
    "verdict",
)
_NO_JUDGEMENT = {"p_surge": float("nan"), "p_usual": float("nan"), "surge": NOT_CALIBRATED}


@dataclass(frozen=True)
class Counted:
    """What counting a run gives.

    Attributes:
        counts: the contract's columns, then `p_usual` (probability of a count at least this high on a usual
            date), `p_rank`, `baseline_since` (first date compared), `seen_count`, `seen_lo95`, `seen_hi95`
            (in the visible part: what the verdict compares) and `verdict` (a sentence). `p_surge` is the
            probability that the date is a record. `count` is NaN where too little was seen for an estimate,
            upper ends where too little for a total; all ends where the errors were not measured.
        totals: sums over groups and facilities (`detector.tally.totals.sum_counts`).
        p_true: (D,) calibrated probability of each of the run's detections; NaN where none of a group's.
        flags: (D,) their flags.
    """

    counts: pd.DataFrame
    totals: pd.DataFrame
    p_true: Floats
    flags: list[str]


def count_run(
    detections: Rows,
    scenes: pd.DataFrame,
    *,
    calibration: CalibrationFile | None,
    history: pd.DataFrame | None,
    config: CountConfig,
    classes: ClassTable,
    tracks: Tracks | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Counted:
    """Count every group at every facility and date that was seen.

    Laws: the order of rows does not matter; the count of a fully seen date does not depend on other dates; a
    date's verdict depends on earlier dates alone (its own included, at other facilities), but for the multiplicity
    control over a release.

    Args:
        detections: detections.parquet, all above the score floor.
        scenes: scenes.parquet, one row per scene and facility.
        calibration: of the weights used; None gives counts without intervals and verdicts, flagged `no_calibration`.
        history: counts by eye: facility_id, date, count, lo, hi.
        config: counting settings.
        classes: the class table.
        tracks: track lines by facility, which cap what a hidden part can hold.
        progress: told how many more scenes are counted, and how many there are.
    """
    rules = Rules(**config.model_dump(include={field.name for field in fields(Rules)}))
    counters = {group: calibration.counter(group) if calibration else uncalibrated() for group in classes.groups}
    counting = Counting(counters, eye_counts(history, config.eye_cv), config, classes, tracks or {})
    judged: dict[str, list[Judged]] = {group: [] for group in classes.groups}
    whole: dict[Key, Estimate] = {}
    sums: list[pd.DataFrame] = []
    p_true, flags = np.full(len(detections), np.nan), np.full(len(detections), "", dtype=object)
    parts = shares(detections, scenes)
    tables = ((detections.take(part.detections), scenes.take(part.scenes)) for part in parts)
    for part, found in zip(parts, mapped(counting.of, tables, len(parts)), strict=True):
        for group, seen in found.judged.items():
            judged[group].append(seen)
        whole |= found.whole
        sums.append(found.sums)
        p_true[part.detections], flags[part.detections] = found.p_true, found.flags
        if progress:
            progress(part.scenes.size, len(scenes))
    # One family of tests per group: each group is a question of its own.
    decided = [_decided(judged[group], rules, is_measured=counter.is_measured) for group, counter in counters.items()]
    counts = pd.concat(decided).sort_values(["facility_id", "date"], kind="stable", ignore_index=True)
    return Counted(counts, sum_counts(whole, counts, sums, classes), p_true, flags.tolist())


def _decided(judged: Sequence[Judged], rules: Rules, *, is_measured: bool) -> pd.DataFrame:
    """The rows of one group, in order of date, completed with the columns of their verdicts, decided together."""
    table = pd.concat([each.rows for each in judged], ignore_index=True)
    if table.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    table = table.sort_values(["date", "facility_id"])
    found = [verdict for each in judged for verdict in each.verdicts]
    verdicts = [found[i] for i in table.index]
    rows = [dict(zip(map(str, table), values, strict=True)) for values in table.itertuples(index=False, name=None)]
    for row, verdict, word in zip(rows, verdicts, decide(verdicts, rules), strict=True):
        row.update(_verdict_columns(verdict, word, rules))
        row.update({} if is_measured else _NO_JUDGEMENT)
        row["verdict"] = verdict_sentence(row, rules)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _verdict_columns(verdict: Verdict, word: str, rules: Rules) -> dict[str, object]:
    """The verdict's columns; probabilities are withheld where there are too few dates to mean anything."""
    told = rules.can_judge(verdict)
    return {
        "baseline_n": verdict.n,
        "baseline_whole": verdict.n_whole,
        "baseline_max": verdict.maximum,
        "p_surge": verdict.p_record if told else float("nan"),
        "surge": word,
        "p_usual": verdict.p_usual if told else float("nan"),
        "p_rank": verdict.p_rank,
    }
