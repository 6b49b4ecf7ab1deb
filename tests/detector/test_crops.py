"""Crops turn with their boxes, and offsets say where another box lies."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from detector.crops import CROP_PX, crops, mirrored, moved, offsets, turned_round
from detector.geometry import Floats, corners_from_xywhr, iou_pairs
from detector.raster import PAD

places = st.floats(-500, 500)
boxes = st.tuples(places, places, st.floats(30, 90), st.floats(6, 14), st.floats(1e-3, math.pi - 1e-3)).map(np.array)
nudges = st.tuples(
    st.floats(-0.9, 0.9), st.floats(-0.9, 0.9), st.floats(-1.4, 1.4), st.floats(-0.3, 0.3), st.floats(-0.6, 0.6)
).map(np.array)


def painted(box: Floats, size_px: int = 240) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A grey picture with a box, its one end white and its one side darker."""
    fine = 4
    canvas = Image.new("RGB", (size_px * fine, size_px * fine), (90, 90, 90))
    draw = ImageDraw.Draw(canvas)
    x, y, length, width, angle = box
    along, across = np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])
    for shift, part, colour in ((0, box, (200, 40, 40)), (0.4, None, (255, 255, 255)), (0.35, "side", (40, 40, 200))):
        if part is None:
            middle, sides = np.array([x, y]) + shift * length * along, (length * 0.2, width)
        elif isinstance(part, str):
            middle, sides = np.array([x, y]) + shift * width * across, (length, width * 0.3)
        else:
            middle, sides = np.array([x, y]), (length, width)
        corners = corners_from_xywhr(np.array([[*middle, *sides, angle]]))[0] * fine
        draw.polygon([(float(a), float(b)) for a, b in corners], fill=colour)
    return np.asarray(canvas.resize((size_px, size_px), Image.Resampling.BOX))


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.2, math.pi / 2, 2.5])
def test_an_object_looks_alike_at_any_angle(angle: float) -> None:
    upright, turned = np.array([120.5, 119.5, 60, 12, 0.0]), np.array([120.5, 119.5, 60, 12, angle])
    (expected,), (seen,) = crops(painted(upright), upright[None]), crops(painted(turned), turned[None])
    assert seen.shape == (CROP_PX[1], CROP_PX[0], 3)
    assert np.abs(seen.astype(int) - expected).mean() < 4  # edges are blurred by resampling
    assert np.abs(seen[14:26, 30:82].astype(int) - expected[14:26, 30:82]).mean() < 8


def test_an_upright_object_is_cut_out_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (80, 160, 3), dtype=np.uint8)
    (seen,) = crops(image, np.array([[70.0, 40.0, 60, 12, 0.0]]))
    assert (seen == image[20:60, 14:126]).all()


def test_beyond_the_picture_all_is_grey() -> None:
    image = np.full((60, 60, 3), 200, np.uint8)
    (seen,) = crops(image, np.array([[0.0, 30.0, 40, 10, 0.0]]))
    assert (seen[:, :50] == PAD).all()
    assert (seen[:, 60:110] == 200).all()
    assert crops(image, np.zeros((0, 5))).shape == (0, CROP_PX[1], CROP_PX[0], 3)


def test_a_crop_depends_on_what_it_shows_alone() -> None:
    """Also at the ends of the picture, and beyond them."""
    rng = np.random.default_rng(2)
    image = rng.integers(0, 256, (300, 260, 3), dtype=np.uint8)
    here = np.column_stack(
        [rng.uniform(70, 200, 40), rng.uniform(-40, 340, 40), np.full((40, 2), (50, 10)), rng.uniform(0, 3, 40)]
    )
    part = image[:, 5:]
    assert (crops(part, here - (5, 0, 0, 0, 0)) == crops(image, here)).all()
    assert (crops(image, np.array([[900.0, 100, 50, 10, 0.3], [100, -200, 50, 10, 0.3]])) == PAD).all()


def test_planes_one_after_another_are_read_too() -> None:
    image = np.random.default_rng(1).integers(0, 256, (3, 90, 130), dtype=np.uint8)
    box = np.array([[60.0, 45.0, 50, 10, 0.7]])
    assert (crops(np.moveaxis(image, 0, 2), box) == crops(np.moveaxis(image, 0, 2).copy(), box)).all()


@given(boxes, nudges)
def test_offsets_and_moving_are_inverse(box: Floats, nudge: Floats) -> None:
    there = moved(box[None], nudge[None])
    assert offsets(box[None], there)[0] == pytest.approx(nudge, abs=1e-6)
    assert moved(box[None], offsets(box[None], there))[0] == pytest.approx(there[0], abs=1e-6)


@given(boxes)
def test_no_offset_moves_nothing_and_none_moves_far(box: Floats) -> None:
    assert iou_pairs(moved(box[None], np.zeros((1, 5))), box[None])[0] == pytest.approx(1)
    (wild,) = moved(box[None], np.array([[1e9, -1e9, 1e9, 1e9, 1e9]]))
    assert np.hypot(*(wild[:2] - box[:2])) <= 2.3 * box[3]
    assert box[2] < wild[2] <= 2.001 * box[2]


@given(boxes, nudges)
def test_crops_turned_round_or_mirrored_have_their_own_offsets(box: Floats, nudge: Floats) -> None:
    there = moved(box[None], nudge[None])
    other_way = box + np.array([0, 0, 0, 0, math.pi])  # the same rectangle, seen from its other end
    cos, sin = math.cos(other_way[4]), math.sin(other_way[4])
    dx, dy = (there[0, :2] - box[:2]).tolist()
    assert turned_round(nudge[None])[0, :2] == pytest.approx(
        [(dx * cos + dy * sin) / box[3], (dy * cos - dx * sin) / box[3]], abs=1e-9
    )
    upside_down, image_of = box * [1, -1, 1, 1, -1], there * [1, -1, 1, 1, -1]
    expected = turned_round(mirrored(nudge[None]))  # angles lie in [0, pi): it is written from its other end
    assert offsets(upside_down[None], image_of)[0] == pytest.approx(expected[0], abs=1e-6)
