"""What is wrong with a box is found, repaired where that is safe, and listed."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import Affine

from detector.geometry import Floats, corners_from_xywhr
from tests.training.formats.fakes import EDGE_PX, iou
from training.classes import NO_CLASS, Vocabulary, class_index
from training.formats.annotations import Annotations, Drawn, Fault, checked, upright
from training.formats.pictures import Picture

WORDS = Vocabulary({"railcar": "railcar", "lot": "ignore", "plane": None})
SOURCE = Path("labels.txt")
BOX = upright(100, 100, 150, 110)


def check(*drawn: Drawn) -> tuple[Annotations, list[Fault]]:
    picture = Picture(Path("a.png"), (EDGE_PX, EDGE_PX), None, Affine.identity(), 0.3)
    return checked(picture, SOURCE, drawn, WORDS)


def shifted(dx: float) -> Floats:
    return BOX + np.array([dx, 0.0])


class TestBoxes:
    def test_a_good_box_stays_as_it_is(self) -> None:
        found, faults = check(Drawn("railcar", BOX, 7))
        assert not faults
        assert found.corners_px.tolist() == [BOX.tolist()]
        assert (found.visible[0], found.line[0], found.gsd_m) == (1.0, 7, 0.3)

    @pytest.mark.parametrize(
        ("points", "reason"),
        [
            (BOX * np.nan, "not finite"),
            (BOX + np.inf, "not finite"),
            (upright(10, 10, 60, 10), "no area"),
            (upright(10, 10, 60, 10.3), "no area"),
            (np.full((4, 2), 20.0), "no area"),
            (np.array([(0, 0), (40, 0), (20, 10), (20, 60)], dtype=float), "no order of its corners is convex"),
            (shifted(1000), "outside the image"),
            (shifted(-300), "outside the image"),
            (BOX[:2], "2 points"),
            (np.array([(0.0, 0.0), (5.0, 5.0), (9.0, 9.0)]), "no area"),
        ],
    )
    def test_what_cannot_be_used_is_left_out_and_listed_with_its_line(self, points: Floats, reason: str) -> None:
        found, faults = check(Drawn("railcar", points, 12), Drawn("railcar", BOX, 13))
        assert found.line.tolist() == [13]
        (fault,) = faults
        assert (fault.file, fault.line) == (SOURCE, 12)
        assert reason in fault.reason
        assert fault.reason.endswith("left out")

    @given(st.permutations(range(4)), st.floats(0, np.pi), st.floats(2, 30), st.floats(2, 30))
    def test_corners_in_any_order_give_the_same_box(self, order: list[int], angle: float, w: float, h: float) -> None:
        corners = corners_from_xywhr(np.array([[200, 200, w, h, angle]]))[0]
        found, faults = check(Drawn("railcar", corners[order], 3))
        around = [(np.roll(np.arange(4), i)[::step]).tolist() for i, step in itertools.product(range(4), (1, -1))]
        crossed = list(order) not in around
        assert [fault.reason for fault in faults] == ["corners are in the wrong order: put in order"] * crossed
        assert iou(found.corners_px, corners[None])[0] == pytest.approx(1, abs=1e-6)

    def test_an_outline_becomes_the_tightest_rectangle(self) -> None:
        expected = corners_from_xywhr(np.array([[200, 200, 60, 10, 0.5]]))
        middles = (expected[0] + np.roll(expected[0], -1, axis=0)) / 2
        outline = np.stack([expected[0], middles], axis=1).reshape(-1, 2)
        found, faults = check(Drawn("railcar", outline, 1))
        assert not faults
        assert iou(found.corners_px, expected)[0] == pytest.approx(1, abs=1e-6)


class TestVisible:
    def test_a_box_that_sticks_out_is_kept_with_the_share_inside(self) -> None:
        found, faults = check(Drawn("railcar", shifted(-120), 2))
        assert found.visible[0] == pytest.approx(0.6)
        assert "sticks 20.0 px out" in faults[0].reason

    def test_a_stated_share_stands_and_explains_it(self) -> None:
        found, faults = check(Drawn("railcar", shifted(-120), 2, visible=0.55))
        assert found.visible[0] == 0.55
        assert not faults

    def test_rounding_at_the_edge_is_no_fault(self) -> None:
        found, faults = check(Drawn("railcar", shifted(-100.5), 2))
        assert not faults
        assert found.visible[0] == pytest.approx(0.99)

    def test_an_impossible_share_is_listed(self) -> None:
        found, faults = check(Drawn("railcar", BOX, 2, visible=55))
        assert found.visible[0] == 1.0
        assert "visible is 55" in faults[0].reason


class TestLabels:
    def test_an_unknown_class_is_listed_and_its_area_ignored(self) -> None:
        found, faults = check(Drawn("boxcar", BOX, 5))
        assert (found.classes[0], bool(found.ignore[0])) == (NO_CLASS, True)
        assert faults == [Fault(SOURCE, 5, "unknown class 'boxcar': its area is ignored")]

    def test_other_things_are_left_out_without_a_word(self) -> None:
        assert len(check(Drawn("plane", BOX * np.nan, 5))[0]) == 0
        assert check(Drawn("plane", BOX * np.nan, 5))[1] == []

    def test_areas_to_ignore_keep_a_class_they_have(self) -> None:
        found, _ = check(Drawn("lot", BOX, 1), Drawn("railcar", BOX, 2, ignore=True))
        assert found.ignore.all()
        assert found.classes.tolist() == [NO_CLASS, class_index("railcar")]


def test_arrays_of_different_lengths_are_refused() -> None:
    good, _ = check(Drawn("railcar", BOX, 1))
    with pytest.raises(ValueError, match="visible must have 1 values"):
        Annotations(**(vars(good) | {"visible": np.ones(2)}))
