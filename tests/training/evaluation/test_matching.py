"""Which detection is which object."""

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.geometry import iou_pairs
from tests.training.evaluation.places import RAILCAR, TABLE, boxes, found, truth
from training.evaluation.matching import IGNORED, WRONG, confusion, label, match


def test_each_object_is_found_once_by_the_most_confident() -> None:
    matched = match(found([0, 1, 100], [0.6, 0.9, 0.8]), truth([0, 200]), 0.3, TABLE)
    assert matched.tolist() == [WRONG, 0, WRONG]


def test_iou_decides() -> None:
    shifted = found([5.0], [0.9])  # IoU (15 - 5) / (15 + 5) = 0.5
    assert match(shifted, truth([0]), 0.49, TABLE).tolist() == [0]
    assert match(shifted, truth([0]), 0.51, TABLE).tolist() == [WRONG]


def test_dont_care_is_neither_right_nor_wrong() -> None:
    hidden = truth([0, 100], care=[False, True])
    matched = match(found([0, 1, 100], [0.9, 0.8, 0.7]), hidden, 0.3, TABLE)
    assert matched.tolist() == [IGNORED, IGNORED, 1]
    labels = label(found([0, 1, 100], [0.9, 0.8, 0.7]), hidden, matched, RAILCAR)
    assert (labels.row.tolist(), labels.is_true.tolist(), labels.n_true) == ([2], [True], 1)


def test_a_detection_of_the_visible_end_of_a_dont_care_object_is_ignored_but_one_around_it_is_not() -> None:
    hidden = truth([0], care=[False])
    assert match(found(boxes(5.0, length=5.0), [0.9]), hidden, 0.5, TABLE).tolist() == [IGNORED]
    assert match(found(boxes(0.0, length=60.0), [0.9]), hidden, 0.5, TABLE).tolist() == [WRONG]


def test_detections_on_an_ignored_area_do_not_count_whatever_their_class() -> None:
    area = shapely.Polygon([(-10, -10), (100, -10), (100, 10), (-10, 10)])
    lots = truth([50], ignored=area)
    detections = found([0, 50, 95, 105, 200], [0.9] * 5, ["railcar", "railcar", "container", "container", "railcar"])
    # At 95, a car from 87.5 to 102.5 lies mostly inside; at 105, mostly outside. The labelled car stays an object.
    assert match(detections, lots, 0.5, TABLE).tolist() == [IGNORED, 0, IGNORED, WRONG, WRONG]


def test_boxes_of_unknown_rotation_are_compared_with_hulls() -> None:
    diagonal = np.array([[0.0, 0.0, 15.0, 3.0, np.pi / 4]])
    side = 18 / np.sqrt(2)
    hull = np.array([[0.0, 0.0, side, side, 0.0]])
    assert match(found(diagonal, [0.9]), truth(hull, axis_aligned=True), 0.95, TABLE).tolist() == [0]
    assert match(found(diagonal, [0.9]), truth(hull), 0.5, TABLE).tolist() == [WRONG]


def test_a_confused_class_is_no_miss_of_the_family_but_wrong_in_its_group() -> None:
    mixed_truth = truth([0, 100], ["railcar", "locomotive"])
    mixed = found([0, 100], [0.9, 0.9], ["tarped_railcar", "railcar"])
    matched = match(mixed, mixed_truth, 0.3, TABLE)
    assert matched.tolist() == [0, 1]
    assert label(mixed, mixed_truth, matched, RAILCAR).is_true.tolist() == [True, False]
    assert label(mixed, mixed_truth, matched, ("locomotive",)).n_true == 1


def test_families_do_not_meet() -> None:
    assert match(found([0], [0.9], ["container"]), truth([0]), 0.3, TABLE).tolist() == [WRONG]


def test_objects_of_unknown_classes_are_ignored() -> None:
    area = truth([0], ["ignore"], [False])
    assert match(found([0], [0.9]), area, 0.3, TABLE).tolist() == [IGNORED]


def test_confusion_by_hand() -> None:
    objects = truth([0, 100, 200, 300], ["railcar", "locomotive", "railcar", "railcar"], [True, True, True, False])
    seen = found([0, 100, 200, 300, 400], [0.9, 0.9, 0.4, 0.9, 0.9], ["tarped_railcar"] + ["railcar"] * 4)
    table = confusion(seen, objects, match(seen, objects, 0.3, TABLE), TABLE.names)
    assert table[0, 1] == 1  # a railcar taken for a tarped one
    assert table[2, 0] == 1  # a locomotive taken for a railcar
    assert table[0, -1] == 1  # the railcar below the threshold is missed
    assert table[-1, 0] == 1  # a false alarm; the don't-care object counts nowhere
    assert table.sum() == 4
    nothing = truth([])
    empty = confusion(seen, nothing, match(seen, nothing, 0.3, TABLE), TABLE.names)
    assert (empty[-1].tolist(), empty.sum()) == ([3, 1, 0, 0, 0, 0], 4)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0.05, 1)), max_size=12))
def test_matches_are_one_to_one_and_leave_nothing_free(seen: list[tuple[int, float]]) -> None:
    """Law: one to one, each at the least IoU, and no wrong detection could have had a free object."""
    objects = truth([0, 9, 21, 33, 40, 58])
    detections = found([x for x, _ in seen], [s for _, s in seen])
    matched = match(detections, objects, 0.3, TABLE)
    hits = np.flatnonzero(matched >= 0)
    assert len(set(matched[hits].tolist())) == len(hits)
    assert (iou_pairs(detections.xywhr[hits], objects.xywhr[matched[hits]]) >= 0.3).all()
    free = np.setdiff1d(np.arange(6), matched[hits])
    for wrong in np.flatnonzero(matched == WRONG):
        assert (iou_pairs(np.repeat(detections.xywhr[[wrong]], len(free), axis=0), objects.xywhr[free]) < 0.3).all()
