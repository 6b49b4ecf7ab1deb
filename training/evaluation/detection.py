"""Precision, recall, F1 and average precision of a set of classes over many places."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from detector.config import ClassTable
from detector.geometry import Bools, Floats, Ints
from training.evaluation.matching import IGNORED, Index, Overlaps, assign, of_group
from training.evaluation.truth import Place, Truth

COCO_IOUS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
LOOSE, STRICT = 0.3, 0.5
IOUS = (LOOSE, *COCO_IOUS)
RECALLS = np.linspace(0, 1, 101)

Figures = dict[str, float | int]


@dataclass(frozen=True)
class Judged:
    """The detections of some classes that count, over all places, at one least IoU.

    Attributes:
        place: (d,) position of the place.
        row: (d,) position in the place's detections.
        target: (d,) the place's true object that it is, else -1.
        score: (d,) scores for these classes.
        detected: (d,) named one of them, and at or above the operating threshold.
        n_true: (P,) true objects of each place.
    """

    place: Index
    row: Index
    target: Index
    score: Floats
    detected: Bools
    n_true: Ints

    @property
    def is_true(self) -> Bools:
        """(d,) whether each is a true object."""
        return self.target >= 0

    def within(self, places: Bools) -> "Judged":
        """The same of these places (P,) only."""
        return self.only(places[self.place], np.where(places, self.n_true, 0))

    def only(self, rows: Bools, n_true: Ints) -> "Judged":
        """These detections (d,), against that many true objects of each place."""
        taken = {name: getattr(self, name)[rows] for name in ("place", "row", "target", "score", "detected")}
        return replace(self, **taken, n_true=n_true)

    def per_place(self, rows: Bools) -> Ints:
        """(P,) numbers of these detections (d,) by place."""
        return np.bincount(self.place[rows], minlength=len(self.n_true))


@dataclass(frozen=True)
class Scored:
    """Places with all that overlaps in them, ready to be judged for any classes and IoU."""

    places: tuple[Place, ...]
    overlaps: tuple[Overlaps, ...]
    table: ClassTable

    @classmethod
    def of(cls, places: Sequence[Place], table: ClassTable) -> "Scored":
        """Compute the overlaps of every place once."""
        return cls(tuple(places), tuple(Overlaps.of(place.found, place.truth) for place in places), table)

    def judge(self, classes: tuple[str, ...], min_iou: float) -> Judged:
        """Match detections with the true objects of these classes by their scores for them, as COCO does per category.

        All that may be of these classes take part; those named otherwise are not `detected`. Don't-care objects of the
        same families, or of no class of ours, stand beside the true ones.
        """
        parts: list[tuple[Index, Index, Index, Floats, Bools]] = []
        for i, (place, overlaps) in enumerate(zip(self.places, self.overlaps, strict=True)):
            found = place.found
            score = found.scores.of(classes)
            theirs = self._theirs(place.truth, classes)
            target = assign(overlaps, score, place.truth, min_iou=min_iou, mine=score > 0, theirs=theirs)
            row = np.flatnonzero((score > 0) & (target != IGNORED))
            detected = found.detected & np.isin(found.class_name, classes)
            parts.append((np.full(row.size, i), row, target[row], score[row], detected[row]))
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        n_true = np.array([of_group(place.truth, classes).sum() for place in self.places], dtype=np.int64)
        return Judged(columns[0], columns[1], columns[2], columns[3], columns[4], n_true)

    def _theirs(self, truth: Truth, classes: tuple[str, ...]) -> Bools:
        related = {name for family in self.table.families.values() if set(family) & set(classes) for name in family}
        others = set(self.table.names) - related
        return np.asarray(of_group(truth, classes) | (~truth.care & ~np.isin(truth.class_name, sorted(others))))


@dataclass(frozen=True)
class AllIous:
    """The detections of some classes judged at every IoU."""

    by_iou: dict[float, Judged]

    @classmethod
    def of(cls, scored: Scored, classes: tuple[str, ...]) -> "AllIous":
        """Judge at `IOUS`."""
        return cls({iou: scored.judge(classes, iou) for iou in IOUS})

    @property
    def strict(self) -> Judged:
        """At IoU 0.5."""
        return self.by_iou[STRICT]

    @property
    def loose(self) -> Judged:
        """At IoU 0.3."""
        return self.by_iou[LOOSE]

    @cached_property
    def n_places(self) -> int:
        """Number of places."""
        return len(self.strict.n_true)

    def within(self, places: Bools) -> "AllIous":
        """The same of these places (P,) only."""
        return AllIous({iou: judged.within(places) for iou, judged in self.by_iou.items()})


def figures(judged: AllIous) -> Figures:
    """The figures of detection; NaN where one does not exist.

    Returns:
        n_true, n_detected; precision, recall and f1 at the operating threshold, best_f1 over all thresholds and
        its best_threshold, and ap, each at IoU 0.5 (`_50`) and 0.3 (`_30`); ap_50_95, the mean over the IoUs
        0.50, 0.55 .. 0.95.
    """
    found: Figures = {
        "n_true": int(judged.strict.n_true.sum()),
        "n_detected": int(judged.strict.detected.sum()),
    }
    for name, at in (("50", judged.strict), ("30", judged.loose)):
        n_true = int(at.n_true.sum())
        best, threshold = best_f1(at.score, at.is_true, n_true)
        values = {
            **rates(int((at.is_true & at.detected).sum()), int(at.detected.sum()), n_true),
            "best_f1": best,
            "best_threshold": threshold,
            "ap": average_precision(at.score, at.is_true, n_true),
        }
        found |= {f"{key}_{name}": value for key, value in values.items()}
    at_each = [judged.by_iou[iou] for iou in COCO_IOUS]
    precisions = [average_precision(at.score, at.is_true, int(at.n_true.sum())) for at in at_each]
    return found | {"ap_50_95": float(np.mean(precisions))}


def rates(n_hits: int, n_detected: int, n_true: int) -> dict[str, float]:
    """Precision, recall and F1 = 2 hits / (detected + true); NaN where the denominator is 0."""
    nan = float("nan")
    return {
        "precision": n_hits / n_detected if n_detected else nan,
        "recall": n_hits / n_true if n_true else nan,
        "f1": 2 * n_hits / (n_detected + n_true) if n_detected + n_true else nan,
    }


def best_f1(score: Floats, is_true: Bools, n_true: int) -> tuple[float, float]:
    """Greatest F1 over all thresholds, and the greatest threshold that reaches it; NaN where there is none."""
    thresholds, f1 = f1_curve(score, is_true, n_true)
    if thresholds.size == 0 or n_true == 0:
        return float("nan"), float("nan")
    at = int(np.argmax(f1))
    return float(f1[at]), float(thresholds[at])


def f1_curve(score: Floats, is_true: Bools, n_true: int) -> tuple[Floats, Floats]:
    """All thresholds that tell detections apart, falling, and F1 of what reaches each."""
    order = np.argsort(-score, kind="stable")
    f1 = 2 * np.cumsum(is_true[order]) / (np.arange(1, score.size + 1) + n_true)
    # Equal scores stand or fall together: only the last of them is a threshold.
    is_last = np.append(np.diff(score[order]) < 0, True)[: score.size]
    return score[order][is_last], np.asarray(f1[is_last], dtype=np.float64)


def precision_at_recalls(score: Floats, is_true: Bools, n_true: float, weight: Floats | None = None) -> Floats:
    """(101,) greatest precision at a recall of at least 0, 0.01 .. 1; 0 where that recall is not reached.

    Args:
        score: (d,) scores.
        is_true: (d,) whether each is a true object.
        n_true: true objects, by the same weights.
        weight: (d,) how often each detection counts, once by default.
    """
    order = np.argsort(-score, kind="stable")
    times = np.ones(score.size) if weight is None else weight[order]
    hits = np.cumsum(is_true[order] * times)
    precision = hits / np.maximum(np.cumsum(times), 1e-12)
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    reached = np.searchsorted(hits / n_true, RECALLS, side="left")
    return np.asarray(envelope[reached], dtype=np.float64)


def average_precision(score: Floats, is_true: Bools, n_true: float, weight: Floats | None = None) -> float:
    """Mean of `precision_at_recalls`, COCO's 101-point definition; NaN without true objects."""
    if n_true == 0:
        return float("nan")
    return float(precision_at_recalls(score, is_true, n_true, weight).mean())
