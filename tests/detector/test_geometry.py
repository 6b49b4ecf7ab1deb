"""Laws of oriented boxes: conversions invert each other, areas are exact, candidate pairs miss nothing."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.geometry import (
    Floats,
    areas,
    as_xywhr,
    candidate_pairs,
    canonical,
    corners_from_xywhr,
    holds,
    intersection_areas,
    ios_pairs,
    iou_pairs,
    xywhr_from_corners,
)

without_deadline = settings(deadline=None)
sides = st.floats(0.5, 200)
places = st.floats(-1e5, 1e5)
boxes = st.tuples(places, places, sides, sides, st.floats(-10, 10)).map(lambda box: np.array([box]))
seeds = st.integers(0, 2**32 - 1)


def _random_boxes(rng: np.random.Generator, count: int, spread: float = 20.0) -> Floats:
    low, high = [0, 0, 0.1, 0.1, -7], [spread, spread, 20, 20, 7]
    return rng.uniform(low, high, (count, 5))


def _polygon_areas(a: Floats, b: Floats) -> Floats:
    polygons = (shapely.polygons(corners_from_xywhr(side)) for side in (a, b))
    return np.asarray(shapely.area(shapely.intersection(*polygons)))


def test_corners_stand_in_the_documented_order() -> None:
    corners = corners_from_xywhr(np.array([[10.0, 20.0, 4.0, 2.0, 0.0]]))
    assert corners.tolist() == [[[12, 21], [12, 19], [8, 19], [8, 21]]]
    turned = corners_from_xywhr(np.array([[0.0, 0.0, 4.0, 2.0, math.pi / 2]]))  # along y, which points down
    np.testing.assert_allclose(turned[0, :2].mean(axis=0), [0, 2], atol=1e-12)


@without_deadline
@given(boxes)
def test_canonical_keeps_the_corners_and_is_idempotent(box: Floats) -> None:
    once = canonical(box)
    assert once[0, 2] >= once[0, 3]
    assert 0 <= once[0, 4] < math.pi
    np.testing.assert_array_equal(canonical(once), once)
    distances = np.linalg.norm(corners_from_xywhr(once)[0][:, None] - corners_from_xywhr(box)[0], axis=2)
    np.testing.assert_allclose(distances.min(axis=1), 0, atol=1e-9)


def test_canonical_angle_stays_below_pi_for_tiny_negative_angles() -> None:
    assert canonical(np.array([[0.0, 0.0, 2.0, 1.0, -1e-20]]))[0, 4] == 0


@without_deadline
@given(boxes, st.permutations(range(4)))
def test_xywhr_inverts_corners_in_any_order(box: Floats, order: list[int]) -> None:
    expected = canonical(box)
    found = xywhr_from_corners(corners_from_xywhr(box)[:, order])
    np.testing.assert_allclose(found[:, :4], expected[:, :4], rtol=1e-9, atol=1e-8)
    if expected[0, 2] > expected[0, 3] * 1.001:  # the direction of a square is not unique
        turn = (found[0, 4] - expected[0, 4] + math.pi / 2) % math.pi - math.pi / 2
        assert abs(turn) < 1e-6


@without_deadline
@given(seeds)
def test_rectangle_around_four_points_is_the_least(seed: int) -> None:
    points = np.random.default_rng(seed).uniform(-50, 50, (4, 2))
    found = xywhr_from_corners(points[None])
    least = shapely.oriented_envelope(shapely.multipoints(points))
    assert areas(found)[0] == pytest.approx(least.area, rel=1e-9)
    around = shapely.polygons(corners_from_xywhr(found))[0].buffer(1e-6)
    assert around.covers(shapely.multipoints(points))


def test_intersection_equals_that_of_polygons() -> None:
    rng = np.random.default_rng(5)
    a, b = _random_boxes(rng, 20_000), _random_boxes(rng, 20_000)
    np.testing.assert_allclose(intersection_areas(a, b), _polygon_areas(a, b), atol=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "shared"),
    [
        ((0, 0, 4, 2, 0), (0, 0, 4, 2, 0), 8),  # the same box
        ((0, 0, 4, 2, 0), (0, 0, 2, 4, math.pi / 2), 8),  # the same box, written otherwise
        ((0, 0, 4, 2, 0), (0, 0, 4, 2, math.pi), 8),
        ((0, 0, 4, 2, 0), (1, 0, 2, 2, 0), 4),  # inside, three edges shared
        ((0, 0, 4, 2, 0), (4, 0, 4, 2, 0), 0),  # side by side
        ((0, 0, 4, 2, 0), (3, 1.5, 4, 2, 0), 0.5),  # corners
        ((0, 0, 9, 1, 0), (0, 0, 9, 1, math.pi / 2), 1),  # a cross
        ((0, 0, 10, 10, 0.3), (0, 0, 1, 1, 1), 1),  # contained
        ((0, 0, 4, 0, 0), (0, 0, 4, 2, 0), 0),  # no area
        ((0, 0, 4, 2, 0), (50, 0, 4, 2, 0), 0),  # far away
    ],
)
def test_intersection_of_special_cases(a: tuple[float, ...], b: tuple[float, ...], shared: float) -> None:
    for turn in (0.0, 0.7, 2.0):
        cos, sin = math.cos(turn), math.sin(turn)
        turned = [[x * cos - y * sin, x * sin + y * cos, w, h, r + turn] for x, y, w, h, r in (a, b)]
        pair = np.array(turned)[:, None]
        assert intersection_areas(*pair)[0] == pytest.approx(shared, abs=1e-9)
        assert intersection_areas(*reversed(pair))[0] == pytest.approx(shared, abs=1e-9)


@without_deadline
@given(seeds, st.floats(1e-16, 1e-3))
def test_intersection_is_continuous_where_edges_are_shared(seed: int, epsilon: float) -> None:
    rng = np.random.default_rng(seed)
    a = _random_boxes(rng, 20)
    b = a + rng.uniform(-epsilon, epsilon, a.shape)
    np.testing.assert_allclose(intersection_areas(a, b), areas(a), atol=500 * epsilon + 1e-9)


def test_intersection_is_as_good_at_utm_coordinates() -> None:
    rng = np.random.default_rng(6)
    a, b = np.round(_random_boxes(rng, 1000), 3), np.round(_random_boxes(rng, 1000), 3)
    far = np.array([500_000.0, 4_500_000.0, 0, 0, 0])
    np.testing.assert_allclose(intersection_areas(a + far, b + far), intersection_areas(a, b), atol=1e-6)


def test_ratios_are_those_of_the_areas() -> None:
    car = np.array([[0.0, 0.0, 20.0, 3.0, 0.5]] * 3)
    other = canonical(np.array([[0, 0, 10, 3, 0.5], [0, 0, 20, 3, 0.5], [90, 0, 20, 3, 0.5]]))
    np.testing.assert_allclose(iou_pairs(car, other), [0.5, 1, 0], atol=1e-12)
    np.testing.assert_allclose(ios_pairs(car, other), [1, 1, 0], atol=1e-12)
    nothing = np.array([[0.0, 0.0, 0.0, 0.0, 0.0]])
    assert iou_pairs(nothing, nothing).tolist() == ios_pairs(nothing, nothing).tolist() == [0]


@without_deadline
@given(seeds)
def test_candidate_pairs_miss_no_overlap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = _random_boxes(rng, 12, 60), _random_boxes(rng, 9, 60)
    rows = np.indices((len(a), len(b))).reshape(2, -1).T
    overlapping = rows[intersection_areas(a[rows[:, 0]], b[rows[:, 1]]) > 1e-9]
    assert set(map(tuple, overlapping)) <= set(map(tuple, candidate_pairs(a, b)))
    within = candidate_pairs(a)
    assert (within[:, 0] < within[:, 1]).all()
    upper = np.argwhere(np.triu(np.ones((len(a), len(a))), 1))
    overlapping = upper[intersection_areas(a[upper[:, 0]], a[upper[:, 1]]) > 1e-9]
    assert set(map(tuple, overlapping)) <= set(map(tuple, within))
    assert within.tolist() == sorted(within.tolist())


@without_deadline
@given(seeds, st.floats(0, 3))
def test_boxes_that_are_alike_hold_each_others_centres(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    a = _random_boxes(rng, 50)
    b = a + rng.normal(0, spread, a.shape) * [1, 1, 1, 1, 0.1]
    b[:, 2:4] = np.abs(b[:, 2:4])
    alike = iou_pairs(a, b) > 0.5 + 1e-9
    assert holds(a, b[:, :2])[alike].all()
    assert holds(b, a[:, :2])[alike].all()


def test_a_box_holds_its_inside() -> None:
    box = np.array([[10.0, 5.0, 8.0, 2.0, math.pi / 4]] * 3)
    assert holds(box, np.array([[12.0, 7.0], [12.0, 3.0], [10.0, 5.0]])).tolist() == [True, False, True]


def test_empty_input_gives_empty_arrays_of_the_right_shape() -> None:
    none = as_xywhr([])
    assert none.shape == (0, 5)
    assert canonical(none).shape == (0, 5)
    assert corners_from_xywhr(none).shape == (0, 4, 2)
    assert xywhr_from_corners(np.empty((0, 4, 2))).shape == (0, 5)
    assert intersection_areas(none, none).shape == (0,)
    assert iou_pairs(none, none).shape == ios_pairs(none, none).shape == (0,)
    assert candidate_pairs(none).shape == candidate_pairs(none, np.ones((1, 5))).shape == (0, 2)


@pytest.mark.parametrize("bad", [[[1, 2, 3, 4]], [1, 2, 3, 4, 5], [[0, 0, np.nan, 1, 0]], [[0, 0, -1, 1, 0]]])
def test_wrong_boxes_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="Received"):
        as_xywhr(bad)


def test_rows_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="Received 1 and 2 rows"):
        intersection_areas(np.ones((1, 5)), np.ones((2, 5)))
