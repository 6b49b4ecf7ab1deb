"""All metrics of a run, by group, class and family, as one JSON value."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from detector.config import ClassTable, class_table, count_config
from detector.geometry import Bools, Floats
from detector.runfolder import read_tables
from detector.tally.sightings import find_sightings, find_views
from training.evaluation.boxes import box_quality
from training.evaluation.counts import counts_with_truth, detected_errors, estimate_errors
from training.evaluation.detection import LOOSE, AllIous, Judged, Scored, figures, precision_at_recalls
from training.evaluation.matching import confusion, match
from training.evaluation.page import write_page
from training.evaluation.reliability import reliability
from training.evaluation.slices import empty_scenes, sliced
from training.evaluation.truth import read_run


def evaluate(run: Path, truth: Path, *, page: Path | None = None) -> dict[str, Any]:
    """Metrics of a run; what of scenes and truth takes no part is told on standard error.

    Args:
        run: a RUN folder; without counts.parquet there are no estimates of counts.
        truth: a folder of `<stem>.truth.geojson`, or one GeoJSON file (`training.evaluation.truth.read_run`).
        page: where to write them as a page, with pictures of what went wrong.

    Returns:
        run, truth (their names), aside (`training.evaluation.aside.Aside.as_json`), and what `measure` gives.

    Raises:
        UsageError: a table is missing, no scene has truth, or truth cannot be used.
    """
    table = class_table()
    reading = read_run(run, truth, table.names)
    reading.aside.tell()
    scored = Scored.of(reading.places, table)
    counted = measure(scored, read_counts(run))
    result = {"run": run.name, "truth": truth.name, "aside": reading.aside.as_json(), **counted}
    if page is not None:
        write_page(page, run, scored, result)
    return result


def read_counts(run: Path) -> pd.DataFrame | None:
    """The counts table of a run, if there is one, with the column scene_id: the scene that each row was counted on.

    That is the best scene of the date, whose truth its count is judged by. facility_id is text, date a `datetime.date`.

    Raises:
        UsageError: a table is missing or damaged, or an earlier version made it.
    """
    path = run / "counts.parquet"
    if not path.exists():
        return None
    counts = pd.read_parquet(path)
    counts = counts.assign(facility_id=counts["facility_id"].astype(str), date=pd.to_datetime(counts["date"]).dt.date)
    return counts.merge(_counted_scenes(run), on=["facility_id", "date"])


def _counted_scenes(run: Path) -> pd.DataFrame:
    """The best scene of each facility and date of a run: facility_id, date, scene_id."""
    sightings = find_sightings(find_views(*read_tables(run), class_table()), count_config().same_time_minutes)
    rows = [(facility, one.date, one.views[0].scene_id) for facility, seen in sightings.items() for one in seen]
    return pd.DataFrame(rows, columns=["facility_id", "date", "scene_id"])


def measure(scored: Scored, counts: pd.DataFrame | None) -> dict[str, Any]:
    """Metrics of places.

    Returns:
        n_scenes, n_facilities; by group `groups`: `detection.figures`, curve (precision by recall), boxes, scores,
        empty, counts and slices; by class and by family of classes `classes` and `families`: `detection.figures`;
        `confusion` of classes at IoU 0.3; `scenes`, one short row per scene. A value that does not exist is None; so
        are the scores of p_true for a group that owns no class (`own_classes`).
    """
    table, places = scored.table, scored.places
    judged = {group: AllIous.of(scored, classes) for group, classes in table.groups.items()}
    groups = {group: _group(scored, judged[group], group, counts) for group in table.groups}
    result: dict[str, Any] = tidy(
        {
            "n_scenes": len({place.scene["scene_id"] for place in places}),
            "n_facilities": len({place.facility_id for place in places}),
            "groups": groups,
            "classes": {name: figures(AllIous.of(scored, (name,))) for name in table.names},
            "families": {name: figures(AllIous.of(scored, classes)) for name, classes in table.families.items()},
            "confusion": _confusion(scored),
            "scenes": scene_rows(scored, judged, counts),
        }
    )
    return result


def _group(scored: Scored, judged: AllIous, group: str, counts: pd.DataFrame | None) -> dict[str, Any]:
    strict, loose = judged.strict, judged.loose
    dates = None if counts is None else counts_with_truth(counts, scored.places, group, scored.table)
    n_detected, n_true = strict.per_place(strict.detected).astype(np.float64), strict.n_true.astype(np.float64)
    return {
        **figures(judged),
        "curve": {"iou_0.5": _curve(strict), "iou_0.3": _curve(loose)},
        "boxes": box_quality(scored.places, loose),
        "scores": {
            "score": reliability(loose.score, loose.is_true),
            "p_true": reliability(*_p_true(scored, loose, own_classes(scored.table, group))),
        },
        "empty": empty_scenes(scored.places, strict),
        "counts": {
            "detected": detected_errors(scored.places, n_detected, n_true),
            "estimated": None if dates is None else estimate_errors(dates),
        },
        "slices": sliced(scored, judged, scored.table.groups[group], estimates(dates, len(scored.places))),
    }


def estimates(dates: pd.DataFrame | None, n_places: int) -> Floats:
    """(P,) estimated counts of the places, from `counts_with_truth`; NaN where a place has none."""
    result = np.full(n_places, np.nan)
    if dates is not None:
        result[dates["place"].to_numpy(dtype=np.intp)] = dates["count"].to_numpy(dtype=np.float64)
    return result


def _curve(judged: Judged) -> list[float]:
    """Precision at the recalls 0, 0.01 .. 1; nothing where there is no object or no detection."""
    n_true = int(judged.n_true.sum())
    if n_true == 0 or judged.score.size == 0:
        return []
    return [round(float(v), 4) for v in precision_at_recalls(judged.score, judged.is_true, n_true)]


def own_classes(table: ClassTable, group: str) -> tuple[str, ...]:
    """The classes whose p_true is the probability of this group: p_true is of the first group that holds a class."""
    return tuple(name for name in table.groups[group] if table.group_of(name) == group)


def _p_true(scored: Scored, judged: Judged, classes: tuple[str, ...]) -> tuple[Floats, Bools]:
    """(d,) of the detections that are named one of the classes, and whether each is a true object."""
    at = [(scored.places[p].found, r) for p, r in zip(judged.place, judged.row, strict=True)]
    named = np.array([found.class_name[r] in classes for found, r in at], dtype=bool)
    p_true = np.array([found.p_true[r] for found, r in at], dtype=np.float64)
    return p_true[named], judged.is_true[named]


def _confusion(scored: Scored) -> dict[str, Any]:
    names = scored.table.names
    total = np.zeros((len(names) + 1, len(names) + 1), dtype=np.int64)
    for place in scored.places:
        matched = match(place.found, place.truth, LOOSE, scored.table)
        total += confusion(place.found, place.truth, matched, names)
    return {"true": [*names, "nothing"], "found": [*names, "missed"], "numbers": total.tolist()}


def scene_rows(scored: Scored, judged: Mapping[str, AllIous], counts: pd.DataFrame | None) -> list[dict[str, Any]]:
    """One row per place: what `training.evaluation.compare` needs of a run, in short.

    Per group n_true, n_detected, n_hits (at IoU 0.5), count (the estimate of its date, where the place is the best of
    the date) and scores: every detection's score, with `+` where it is a true object at IoU 0.5 and `-` where not.
    """
    counted = {
        group: estimates(
            None if counts is None else counts_with_truth(counts, scored.places, group, scored.table),
            len(scored.places),
        )
        for group in judged
    }
    rows = []
    for i, place in enumerate(scored.places):
        row: dict[str, Any] = {"scene_id": str(place.scene["scene_id"]), "facility_id": place.facility_id}
        for group, judgement in judged.items():
            at = judgement.strict
            mine = at.place == i
            marks = zip(at.score[mine], at.is_true[mine], strict=True)
            row[group] = {
                "n_true": int(at.n_true[i]),
                "n_detected": int((mine & at.detected).sum()),
                "n_hits": int((mine & at.detected & at.is_true).sum()),
                "count": float(counted[group][i]),
                "scores": " ".join(f"{score:.4f}{'+' if hit else '-'}" for score, hit in marks),
            }
        rows.append(row)
    return rows


def tidy(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The same JSON value with four decimals, and null for NaN."""
    if isinstance(value, dict):
        return {key: tidy(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [tidy(inner) for inner in value]
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 4)
    return value
