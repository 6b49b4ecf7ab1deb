"""Two runs on the same scenes: differences of F1, average precision and count error, with intervals."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detector.config import class_table
from detector.errors import UsageError
from detector.geometry import Bools, Floats, Ints
from detector.telling import note
from training.evaluation.detection import AllIous, Scored, average_precision
from training.evaluation.measure import read_counts, scene_rows, tidy
from training.evaluation.pairing import file_stems
from training.evaluation.truth import read_run

DRAWS = 2000
FEW_FACILITIES = 6
METRICS = {
    "f1_50": "F1 at IoU 0.5",
    "ap_50": "AP at IoU 0.5",
    "count_mae": "MAE of the numbers detected",
    "estimate_mae": "MAE of the estimated counts",
}
_OF_GROUP = ("n_true", "n_detected", "n_hits", "count", "scores")
SMALLER_IS_BETTER = frozenset({"count_mae", "estimate_mae"})


@dataclass(frozen=True)
class Outcome:
    """What a run made of one group in all scenes of a set.

    Attributes:
        name: of the run.
        keys: (P,) scene (by the stem of its file; by its whole scene_id where several have one stem) and facility.
        facility: (P,) facilities.
        n_true, n_detected, n_hits: (P,) numbers, hits at IoU 0.5.
        count: (P,) estimated counts, NaN where there is none.
        place: (D,) place of each detection.
        score: (D,) scores.
        is_true: (D,) whether it is a true object at IoU 0.5.
    """

    name: str
    keys: tuple[tuple[str, str], ...]
    facility: tuple[str, ...]
    n_true: Ints
    n_detected: Ints
    n_hits: Ints
    count: Floats
    place: Ints
    score: Floats
    is_true: Bools

    @classmethod
    def of(cls, name: str, rows: Sequence[dict[str, Any]], group: str) -> "Outcome":
        """From rows of `training.evaluation.measure.scene_rows`.

        Raises:
            UsageError: these are none of this group.
        """
        _check_group(name, rows, group)
        by_key = sorted(zip(_keys(rows), rows, strict=True), key=lambda pair: pair[0])
        rows = [row for _, row in by_key]
        mine = [row[group] for row in rows]
        marks = [(i, mark) for i, values in enumerate(mine) for mark in values["scores"].split()]
        return cls(
            name=name,
            keys=tuple(key for key, _ in by_key),
            facility=tuple(str(row["facility_id"]) for row in rows),
            n_true=np.array([values["n_true"] for values in mine], dtype=np.int64),
            n_detected=np.array([values["n_detected"] for values in mine], dtype=np.int64),
            n_hits=np.array([values["n_hits"] for values in mine], dtype=np.int64),
            count=np.array([np.nan if v["count"] is None else v["count"] for v in mine], dtype=np.float64),
            place=np.array([i for i, _ in marks], dtype=np.int64),
            score=np.array([float(mark[:-1]) for _, mark in marks], dtype=np.float64),
            is_true=np.array([mark.endswith("+") for _, mark in marks], dtype=bool),
        )

    def figures(self, weight: Floats) -> dict[str, float]:
        """The compared figures with each place (P,) counted `weight` times; NaN where one does not exist."""
        n_true = float(weight @ self.n_true)
        both = n_true + float(weight @ self.n_detected)
        known = ~np.isnan(self.count)
        return {
            "f1_50": 2 * float(weight @ self.n_hits) / both if both else float("nan"),
            "ap_50": average_precision(self.score, self.is_true, n_true, weight[self.place]),
            "count_mae": _mean(np.abs(self.n_detected - self.n_true), weight),
            "estimate_mae": _mean(np.abs(self.count - self.n_true)[known], weight[known]),
        }


def _keys(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """What each row is known by in both runs."""
    scene_ids = [str(row["scene_id"]) for row in rows]
    stems = file_stems(scene_ids)
    n_scenes = Counter(stems.values())
    names = [stems[scene_id] if n_scenes[stems[scene_id]] == 1 else scene_id for scene_id in scene_ids]
    return [(name, str(row["facility_id"])) for name, row in zip(names, rows, strict=True)]


def _check_group(name: str, rows: Sequence[dict[str, Any]], group: str) -> None:
    for row in rows:
        values = row.get(group)
        missing = [key for key in _OF_GROUP if not isinstance(values, dict) or key not in values]
        if missing:
            raise UsageError(
                f"{name}: its scene {row['scene_id']} says nothing of {group} ({', '.join(missing)} missing).",
                "Evaluate it again, or choose other --groups.",
            )


def names_apart(first: Path, second: Path) -> tuple[str, str]:
    """Short names of two sources: as many of the last parts of their paths as tell them apart.

    Law: the names differ wherever the paths do.
    """
    whole = (first.absolute(), second.absolute())
    parts = [(*path.parts[:-1], path.name if path.is_dir() else path.stem) for path in whole]
    for n_parts in range(1, max(len(each) for each in parts) + 1):
        name, other = ("/".join(each[-n_parts:]) for each in parts)
        if name != other:
            return name, other
    return str(first), str(second)


def _mean(values: Floats, weight: Floats) -> float:
    total = float(weight.sum())
    return float(weight @ values) / total if total > 0 else float("nan")


def read_rows(source: Path, truth: Path | None) -> list[dict[str, Any]]:
    """The scenes of a RUN folder, or of a JSON written by `railcars evaluate`.

    Raises:
        UsageError: it is neither, or a RUN without truth.
    """
    if source.is_dir():
        if truth is None:
            raise UsageError(f"{source}: a RUN folder needs truth.", "Give --truth.")
        table = class_table()
        reading = read_run(source, truth, table.names)
        for line in reading.aside.lines():
            note(f"{source}: {line}")  # the other run may set other scenes aside
        scored = Scored.of(reading.places, table)
        judged = {group: AllIous.of(scored, classes) for group, classes in table.groups.items()}
        rows: list[dict[str, Any]] = tidy(scene_rows(scored, judged, read_counts(source)))
        return rows
    try:
        stored: list[dict[str, Any]] = json.loads(source.read_text(encoding="utf-8-sig"))["scenes"]
        _ = [(row["scene_id"], row["facility_id"]) for row in stored]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{source}: is neither a RUN folder nor the JSON of an evaluation ({type(error).__name__} {error}).",
            "Give a RUN folder, or what `python -m training.evaluate RUN --truth TRUTH --json FILE` wrote.",
        ) from error
    if not stored:
        raise UsageError(f"{source}: holds no scene.", "Give an evaluation of at least one scene.")
    return stored


def compare(first: Outcome, second: Outcome, *, draws: int = DRAWS, seed: int = 0) -> dict[str, Any]:
    """Paired bootstrap by facility: facilities are drawn with replacement, the same ones for both runs.

    The interval holds the middle 95 % of the differences (Efron and Tibshirani, An introduction to the bootstrap,
    1993, percentile interval). Scenes of one facility are alike, so that they are drawn together.

    Args:
        first: one run.
        second: the other, on the same scenes.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        n_scenes, n_facilities and, by figure, first, second, difference (second - first), low and high of its
        interval (None with a single facility), and the verdict in words.

    Raises:
        UsageError: the runs do not show the same scenes.
    """
    _check_same(first, second)
    facilities, index = np.unique(first.facility, return_inverse=True)
    whole = np.ones(len(first.keys))
    at = [outcome.figures(whole) for outcome in (first, second)]
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in METRICS}
    for _ in range(draws if len(facilities) > 1 else 0):
        times = np.bincount(rng.integers(len(facilities), size=len(facilities)), minlength=len(facilities))
        one, other = (outcome.figures(times[index].astype(np.float64)) for outcome in (first, second))
        for name, values in drawn.items():
            values.append(other[name] - one[name])
    result: dict[str, Any] = {"n_scenes": len(first.keys), "n_facilities": len(facilities)}
    for name, values in drawn.items():
        differences = np.array([value for value in values if not np.isnan(value)])
        ends = np.quantile(differences, [0.025, 0.975]).tolist() if differences.size else [None, None]
        entry = {
            "first": at[0][name],
            "second": at[1][name],
            "difference": at[1][name] - at[0][name],
            "low": ends[0],
            "high": ends[1],
        }
        result[name] = entry | {"verdict": verdict(name, entry, (first.name, second.name), len(facilities))}
    return tidy(result)  # type: ignore[no-any-return]


def _check_same(first: Outcome, second: Outcome) -> None:
    only = set(first.keys) ^ set(second.keys)
    if only:
        raise UsageError(
            f"{first.name} and {second.name} do not show the same scenes: {len(only)} are in one only, such as "
            f"{sorted(only)[0][0]}.",
            "Run both weights on the same images and facilities.",
        )
    differing = np.flatnonzero(first.n_true != second.n_true)
    if differing.size:
        raise UsageError(
            f"{first.name} and {second.name} were judged against different truth: "
            f"{first.n_true[differing[0]]} and {second.n_true[differing[0]]} objects in {first.keys[differing[0]][0]}.",
            "Evaluate both against the same truth.",
        )


def verdict(metric: str, entry: dict[str, Any], names: tuple[str, str], n_facilities: int) -> str:
    """What a difference and its interval say, as a sentence."""
    difference, low, high = entry["difference"], entry["low"], entry["high"]
    what = METRICS[metric]
    if np.isnan(difference):
        return f"{what}: cannot be compared."
    if low is None:
        return f"{what}: a difference of {difference:+.3f} at a single facility, which gives no interval."
    shown = f"by {abs(difference):.3f} (95 % interval of the difference {low:+.3f} to {high:+.3f})"
    if low <= 0 <= high:
        sentence = f"{what}: no difference shown between {names[0]} and {names[1]} ({difference:+.3f}, 95 % interval "
        sentence += f"{low:+.3f} to {high:+.3f})"
    else:
        is_better = (difference > 0) != (metric in SMALLER_IS_BETTER)
        sentence = f"{what}: {names[1]} is {'better' if is_better else 'worse'} than {names[0]} {shown}"
    few = f"; only {n_facilities} facilities, so that the interval is rough" if n_facilities < FEW_FACILITIES else ""
    return f"{sentence}{few}."
