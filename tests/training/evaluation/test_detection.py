"""Precision, recall, F1, average precision: by hand, by laws, and against pycocotools."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.training.evaluation.places import RAILCAR, found, place, scored, truth
from training.evaluation.detection import AllIous, average_precision, best_f1, f1_curve, figures, precision_at_recalls
from training.evaluation.truth import Place


def test_average_precision_by_hand() -> None:
    score, is_true = np.array([0.9, 0.8, 0.7]), np.array([True, False, True])
    # Precision 1 up to recall 0.5 (51 of the 101 recalls), 2/3 from there on.
    assert average_precision(score, is_true, 2) == pytest.approx((51 + 50 * 2 / 3) / 101)
    # Recall ends at 0.5: 26 recalls at 1, 25 at 2/3, the rest at 0.
    assert average_precision(score, is_true, 4) == pytest.approx((26 + 25 * 2 / 3) / 101)
    assert average_precision(score[:0], is_true[:0], 2) == 0
    assert np.isnan(average_precision(score[:0], is_true[:0], 0))


def test_best_f1_by_hand() -> None:
    score, is_true = np.array([0.9, 0.5, 0.5, 0.3]), np.array([True, True, False, False])
    # At 0.9: 2/3; at 0.5: 4/5, both of the equal scores taken; at 0.3: 4/6.
    thresholds, f1 = f1_curve(score, is_true, 2)
    assert thresholds.tolist() == [0.9, 0.5, 0.3]
    assert f1 == pytest.approx([2 / 3, 4 / 5, 4 / 6])
    assert best_f1(score, is_true, 2) == (pytest.approx(0.8), 0.5)
    assert np.isnan(best_f1(score, is_true, 0)[0])
    assert np.isnan(best_f1(score[:0], is_true[:0], 2)[0])


def test_figures_by_hand() -> None:
    # One well placed, one at IoU 0.4, one false alarm, one below the threshold on an object, one object not seen.
    shift = 15 * (1 - 0.4) / (1 + 0.4)
    seen = found([0, 100 + shift, 500, 200], [0.9, 0.8, 0.7, 0.3])
    got = figures(AllIous.of(scored(place(seen, truth([0, 100, 200, 300]))), RAILCAR))
    assert (got["n_true"], got["n_detected"]) == (4, 3)
    assert (got["precision_50"], got["recall_50"]) == (pytest.approx(1 / 3), 0.25)
    assert got["f1_50"] == pytest.approx(2 / 7)
    assert (got["precision_30"], got["recall_30"]) == (pytest.approx(2 / 3), 0.5)
    assert (got["best_f1_30"], got["best_threshold_30"]) == (pytest.approx(0.75), 0.3)
    assert got["ap_50"] == pytest.approx((26 * 1 + 25 * 0.5) / 101)
    assert got["ap_50_95"] == got["ap_50"]  # the hits are exact


def test_classes_of_the_same_family_do_not_hide_each_other() -> None:
    """As in COCO, categories are judged one by one: a locomotive's box does not take the railcar's object."""
    seen = found([0, 0], [0.9, 0.8], ["locomotive", "railcar"])
    got = figures(AllIous.of(scored(place(seen, truth([0]))), RAILCAR))
    assert (got["precision_50"], got["recall_50"]) == (1, 1)


def test_a_part_of_the_places_is_judged_alone() -> None:
    first, second = place(found([0], [0.9]), truth([0])), place(found([50], [0.9]), truth([0]))
    judged = AllIous.of(scored(first, second), RAILCAR)
    assert figures(judged)["f1_50"] == 0.5
    assert figures(judged.within(np.array([True, False]))) == figures(AllIous.of(scored(first), RAILCAR))


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.booleans()), min_size=1, max_size=30), st.integers(1, 5))
def test_weights_choose_and_scale(rows: list[tuple[float, bool, bool]], times: int) -> None:
    """Laws: weight 0 leaves a detection out, and weights all multiplied change nothing."""
    score, is_true, chosen = (np.array(column) for column in zip(*rows, strict=True))
    n_true = int((is_true & chosen).sum()) + 1
    weighted = precision_at_recalls(score, is_true, times * n_true, times * chosen.astype(float))
    assert weighted == pytest.approx(precision_at_recalls(score[chosen], is_true[chosen], n_true))


def random_place(rng: np.random.Generator, crowd: bool) -> Place:
    """Axis-aligned boxes, found with errors, with false alarms and don't-care objects."""
    n = int(rng.integers(5, 25))
    objects = np.column_stack([rng.uniform(0, 300, (n, 2)), rng.uniform(10, 20, n), rng.uniform(3, 6, n), np.zeros(n)])
    is_seen = rng.random(n) < 0.8
    errors = rng.normal(0, [1.2, 0.4, 1.5, 0.4, 0], (int(is_seen.sum()), 5))
    false = np.column_stack([rng.uniform(0, 300, (6, 2)), rng.uniform(10, 20, 6), rng.uniform(3, 6, 6), np.zeros(6)])
    seen = np.vstack([objects[is_seen] + errors, objects[is_seen][:3] + np.array([0.5, 0, 0, 0, 0]), false])
    seen[:, 2:4] = np.maximum(seen[:, 2:4], 1)
    ignored = shapely.box(20, 20, 120, 90) if crowd else None
    return place(found(seen, rng.random(len(seen)).tolist()), truth(objects, ignored=ignored))


def coco_precision(places: list[Place], crowd: bool) -> np.ndarray:
    """Average precision at IoU 0.50, 0.55 .. 0.95 by pycocotools."""

    def xywh(boxes: np.ndarray) -> np.ndarray:
        return np.column_stack([boxes[:, :2] - boxes[:, 2:4] / 2, boxes[:, 2:4]])

    annotations, results = [], []
    for image, each in enumerate(places, start=1):
        rows = [(box, 0) for box in xywh(each.truth.xywhr)]
        if crowd:
            x0, y0, x1, y1 = each.truth.ignored.bounds
            rows.append((np.array([x0, y0, x1 - x0, y1 - y0]), 1))
        for box, is_crowd in rows:
            common = {"id": len(annotations) + 1, "image_id": image, "category_id": 1}
            annotations.append({**common, "bbox": box.tolist(), "area": float(box[2] * box[3]), "iscrowd": is_crowd})
        for box, score in zip(xywh(each.found.xywhr), each.found.score, strict=True):
            results.append({"image_id": image, "category_id": 1, "bbox": box.tolist(), "score": float(score)})
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": i + 1} for i in range(len(places))],
        "categories": [{"id": 1}],
        "annotations": annotations,
    }
    coco.createIndex()
    judge = COCOeval(coco, coco.loadRes(results), "bbox")
    judge.params.maxDets = [1000]
    judge.evaluate()
    judge.accumulate()
    return np.asarray(judge.eval["precision"])[:, :, 0, 0, 0].mean(axis=1)


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = [random_place(rng, crowd=False) for _ in range(6)]
    expected = coco_precision(places, crowd=False)
    got = figures(AllIous.of(scored(*places), RAILCAR))
    assert got["ap_50"] == pytest.approx(expected[0], abs=1e-9)
    assert got["ap_50_95"] == pytest.approx(expected.mean(), abs=1e-9)
    assert 0.2 < got["ap_50_95"] < got["ap_50"] < 1


@pytest.mark.parametrize("seed", range(3))
def test_ignored_areas_are_the_crowds_of_pycocotools(seed: int) -> None:
    """At IoU 0.5, where their share of a detection in a crowd is our half."""
    rng = np.random.default_rng(100 + seed)
    places = [random_place(rng, crowd=True) for _ in range(6)]
    got = figures(AllIous.of(scored(*places), RAILCAR))
    assert got["ap_50"] == pytest.approx(coco_precision(places, crowd=True)[0], abs=1e-9)


def test_oriented_boxes_are_judged_by_exact_overlap() -> None:
    """Two cars side by side on a diagonal track: their hulls overlap by far, the boxes do not."""
    turn = np.pi / 4
    step = 4.5 * np.array([-np.sin(turn), np.cos(turn)])
    cars = np.array([[0, 0, 15, 3, turn], [*step, 15, 3, turn]])
    got = figures(AllIous.of(scored(place(found(cars[:1], [0.9]), truth(cars))), RAILCAR))
    assert (got["precision_50"], got["recall_50"], got["ap_50_95"]) == (1, 0.5, pytest.approx(51 / 101))
