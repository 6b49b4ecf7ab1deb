"""Oriented boxes from upright hulls: strings of known cars, drawn as people draw them."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.geometry import Bools, Floats, canonical, iou_pairs
from tests.support import yard
from tests.training.formats.fakes import hulls
from training.formats.orient import Oriented, gradient_sign, orient

GSD_M = 0.3
NOBODY = np.zeros(0)


def drawn(boxes: Floats, seed: int, *, loose_px: float = 0.0) -> Floats:
    """Hulls as people draw them: each side off by 0.5 px or so and too far out by `loose_px`, in whole pixels."""
    noise = np.random.default_rng(seed).normal(0, 0.5, (len(boxes), 4))
    return np.rint(hulls(boxes) + noise + loose_px * np.array([-1, -1, 1, 1]))


def solve(boxes: Floats, seed: int = 0, *, loose_px: float = 0.0, across: Floats | None = None) -> Oriented:
    rail = np.ones(len(boxes), dtype=bool)
    across = np.zeros(len(boxes)) if across is None else across
    return orient(drawn(boxes, seed, loose_px=loose_px), rail, GSD_M, across)


def pictured(boxes: Floats, edge_px: int = 160) -> Floats:
    """A picture with a bright car on grey."""
    y, x = np.mgrid[:edge_px, :edge_px] + 0.5
    grey = np.full((edge_px, edge_px), 90.0)
    for cx, cy, w, h, angle in boxes:
        along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        aside = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        grey[(np.abs(along) < w / 2) & (np.abs(aside) < h / 2)] = 200.0
    return grey + np.random.default_rng(0).normal(0, 8, grey.shape)


def strings(tracks: int, cars: int) -> list[tuple[Floats, Oriented]]:
    """Yards at 24 angles, with cars of three lengths, widths and track distances, and what is made of their hulls."""
    result = []
    for number, (angle, length) in enumerate(itertools.product(np.arange(3.7, 180, 7.5), (9.5, 14.4, 19.0))):
        boxes = yard(
            tracks, cars, angle_deg=float(angle), gsd_m=GSD_M, length_m=length, width_m=2.7 + 0.2 * (number % 3),
            spacing_m=4.2 + 0.3 * (number % 3), gap_m=0.8 + 0.4 * (number % 3),
        )  # fmt: skip
        result.append((canonical(boxes), solve(boxes, number)))
    return result


def scored(found: list[tuple[Floats, Oriented]]) -> tuple[Floats, Bools]:
    """IoU with the truth and whether solved, over all boxes."""
    iou = np.concatenate([iou_pairs(result.xywhr, boxes) for boxes, result in found])
    return iou, np.concatenate([result.solved for _, result in found])


@pytest.mark.parametrize(("tracks", "cars"), [(1, 8), (2, 6), (5, 10)])
def test_strings_at_every_angle_are_recovered_without_the_image(tracks: int, cars: int) -> None:
    """Measured over 72 yards each: solved are 100 %, 99.4 % and 96.4 %; no solved box is below IoU 0.7, median 0.91.

    What is not solved are cars of 9.5 m at 11 degrees to the axes, where both signs leave room.
    """
    iou, solved = scored(strings(tracks, cars))
    assert solved.mean() > 0.95
    assert (iou[solved] > 0.5).all()
    assert (iou[solved] > 0.7).mean() > 0.98
    assert np.median(iou[solved]) > 0.88


def test_loose_hulls_are_recovered_too() -> None:
    """One pixel too far out on each side, a tenth of a car's width: 99.8 % solved, all above IoU 0.7, median 0.88."""
    found = []
    for angle in np.arange(3.7, 180, 7.5):
        boxes = yard(3, 8, angle_deg=float(angle), gsd_m=GSD_M, length_m=15.0, width_m=2.9)
        found.append((canonical(boxes), solve(boxes, loose_px=1.0)))
    iou, solved = scored(found)
    assert solved.mean() > 0.97
    assert (iou[solved] > 0.7).mean() > 0.98


class TestOneCar:
    @pytest.mark.parametrize("angle_deg", [20.0, 45.0, 70.0, 110.0, 135.0, 160.0])
    def test_alone_and_without_an_image_it_stays_upright(self, angle_deg: float) -> None:
        boxes = yard(1, 1, angle_deg=angle_deg, gsd_m=GSD_M)
        result = solve(boxes)
        assert not result.solved.any()
        np.testing.assert_allclose(hulls(result.xywhr), drawn(boxes, 0), atol=1e-9)

    @pytest.mark.parametrize("angle_deg", [20.0, 45.0, 70.0, 110.0, 135.0, 160.0])
    def test_the_image_decides(self, angle_deg: float) -> None:
        box = np.array([[80.0, 80.0, 50.0, 9.7, np.radians(angle_deg)]])
        x0, y0, x1, y1 = drawn(box, 0)[0].astype(int)
        sign = gradient_sign(pictured(box)[y0:y1, x0:x1])
        assert np.sign(sign) == np.sign(np.sin(2 * box[0, 4]))
        result = solve(box, across=np.array([sign]))
        assert result.solved.all()
        assert iou_pairs(result.xywhr, canonical(box))[0] > 0.7

    @pytest.mark.parametrize("angle_deg", [0.0, 90.0])
    def test_an_upright_car_needs_neither(self, angle_deg: float) -> None:
        boxes = yard(1, 1, angle_deg=angle_deg, gsd_m=GSD_M)
        result = solve(boxes)
        assert result.solved.all()
        assert iou_pairs(result.xywhr, canonical(boxes))[0] > 0.8


@pytest.mark.parametrize("size_px", [(150, 150), (10, 9), (300, 300)])
def test_what_is_no_car_stays_upright(size_px: tuple[int, int]) -> None:
    """A string drawn as one box, something small, a hall."""
    result = orient(
        np.array([[100, 100, 100 + size_px[0], 100 + size_px[1]]], float), np.ones(1, bool), GSD_M, np.ones(1)
    )
    assert not result.solved.any()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 500), st.floats(0, 500), st.floats(5, 90), st.floats(5, 90), st.booleans())),
    st.floats(-1, 1),
)
def test_laws(given_hulls: list[tuple[float, float, float, float, bool]], sign: float) -> None:
    """Whatever the hulls: one finite box each; solved ones have the sides of vehicles, the others are their hulls."""
    table = np.array(given_hulls, dtype=np.float64).reshape(-1, 5)
    boxes = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], axis=1)
    result = orient(boxes, table[:, 4] > 0, GSD_M, np.full(len(table), sign))
    assert result.xywhr.shape == (len(table), 5)
    assert np.isfinite(result.xywhr).all()
    sides = result.xywhr[result.solved, 2:4] * GSD_M
    assert ((sides >= (5.0, 2.1)) & (sides <= (32.0, 3.7))).all()
    np.testing.assert_allclose(hulls(result.xywhr)[~result.solved], boxes[~result.solved], atol=1e-6)


class TestGradientSign:
    def test_plain_and_tiny_pictures_say_nothing(self) -> None:
        assert gradient_sign(np.full((20, 20), 7.0)) == 0.0
        assert gradient_sign(np.ones((2, 20))) == 0.0

    def test_stripes_at_45_degrees_say_all(self) -> None:
        y, x = np.mgrid[:60, :60]
        assert gradient_sign(np.sin((x - y) / 3.0)) == pytest.approx(1.0, abs=0.02)
        assert gradient_sign(np.sin((x + y) / 3.0)) == pytest.approx(-1.0, abs=0.02)
