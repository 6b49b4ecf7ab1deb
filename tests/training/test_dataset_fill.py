"""Ignored areas are filled: what is covered leaves no trace, and nothing else is touched."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.geometry import corners_from_xywhr
from training.datasets.fill import DECOY_LENGTH_M, filled, ignored_area, with_decoys
from training.tiles import TileLabels

SIZE, GSD_M = 96, 0.3
VALID = np.ones((SIZE, SIZE), dtype=bool)
REACH_PX = 8  # of a fill beyond its area: 1 m, fading out over less than another

boxes = st.tuples(
    st.floats(0, SIZE), st.floats(0, SIZE), st.floats(5, 60), st.floats(3, 20), st.floats(0, np.pi, exclude_max=True)
)


def labels_of(ignored: list[tuple[float, ...]], objects: list[tuple[float, ...]]) -> TileLabels:
    corners = [corners_from_xywhr(np.array(rows, dtype=float).reshape(-1, 5)) for rows in (objects, ignored)]
    return TileLabels(np.zeros(len(objects), np.int64), *corners)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)


def centres_in(corners: np.ndarray, margin: float = 0.0) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    return shapely.contains_xy(shapely.union_all(shapely.polygons(corners)).buffer(margin), x, y)


class TestFill:
    @settings(max_examples=25, deadline=None)
    @given(st.lists(boxes, min_size=1, max_size=3), st.lists(boxes, max_size=3))
    def test_covered_pixels_leave_no_trace(
        self, ignored: list[tuple[float, ...]], objects: list[tuple[float, ...]]
    ) -> None:
        labels = labels_of(ignored, objects)
        area = ignored_area(labels, VALID)
        first, second = noise(), noise()
        second[area] = 255 - second[area]
        assert np.array_equal(filled(first, VALID, labels, GSD_M)[area], filled(second, VALID, labels, GSD_M)[area])

    @settings(max_examples=25, deadline=None)
    @given(st.lists(boxes, min_size=1, max_size=3), st.lists(boxes, max_size=3))
    def test_objects_and_what_is_far_are_unchanged(
        self, ignored: list[tuple[float, ...]], objects: list[tuple[float, ...]]
    ) -> None:
        labels, image = labels_of(ignored, objects), noise()
        valid = VALID.copy()
        valid[:, :10] = False
        result = filled(image, valid, labels, GSD_M)
        kept = ~centres_in(labels.ignored, REACH_PX) | ~valid
        if objects:
            kept |= centres_in(labels.corners)
        assert np.array_equal(result[kept], image[kept])

    def test_the_fill_has_the_colours_around_it_but_not_those_of_cars(self) -> None:
        image = np.full((SIZE, SIZE, 3), 90, dtype=np.uint8)
        image[40:50, 20:70] = 250  # to be ignored
        image[55:65, 20:70] = (255, 0, 0)  # a car beside it
        labels = labels_of([(45, 45, 50, 10, 0)], [(45, 60, 50, 10, 0)])
        result = filled(image, VALID, labels, GSD_M)
        assert (result[40:50, 20:70] == 90).all()
        assert (result[55:65, 20:70] == (255, 0, 0)).all()

    def test_a_tile_that_is_all_ignored_is_plain(self) -> None:
        result = filled(noise(), VALID, labels_of([(48, 48, 200, 200, 0)], []), GSD_M)
        assert np.ptp(result) == 0


class TestDecoys:
    @settings(max_examples=50, deadline=None)
    @given(st.lists(boxes, max_size=4), st.integers(0, 1000))
    def test_touch_no_object_and_are_drawn_by_seed(self, objects: list[tuple[float, ...]], seed: int) -> None:
        labels = labels_of([], objects)
        found = with_decoys(labels, VALID, GSD_M, np.random.default_rng(seed))
        again = with_decoys(labels, VALID, GSD_M, np.random.default_rng(seed))
        assert np.array_equal(found.ignored, again.ignored)
        assert np.array_equal(found.corners, labels.corners)
        for decoy in shapely.polygons(found.ignored):
            assert not shapely.intersects(decoy, shapely.polygons(labels.corners)).any()
            assert decoy.length / 2 * GSD_M > DECOY_LENGTH_M[0]

    def test_a_tile_without_room_gets_none(self) -> None:
        labels = labels_of([], [(48, 48, 96, 96, 0)])
        assert len(with_decoys(labels, VALID, GSD_M, np.random.default_rng(0)).ignored) == 0

    @pytest.mark.parametrize("share", [0.0, 1.0])
    def test_none_on_invalid_ground(self, share: float) -> None:
        valid = np.full((SIZE, SIZE), bool(share))
        assert bool(len(with_decoys(labels_of([], []), valid, GSD_M, np.random.default_rng(0)).ignored)) == bool(share)
