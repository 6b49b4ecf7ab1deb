"""Decoding: the formula, the floor, and no cap."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.backends.decode import HeadMaps, anchors, decode
from detector.errors import WeightsError
from detector.weights import ModelSpec

SPEC = ModelSpec(
    name="test",
    architecture="none",
    classes=("railcar", "container"),
    imgsz=64,
    gsd_m=0.3,
    strides=(8, 16, 32),
    reg_max=16,
    score_floor=0.05,
    operating_threshold={"rail_vehicle": 0.25, "off_rail": 0.25},
    sha256={"onnx": "0"},
)
N_ANCHORS = 64 + 16 + 4


def quiet_maps() -> HeadMaps:
    """Maps in which no anchor reaches the floor."""
    return HeadMaps(
        np.zeros((64, N_ANCHORS), np.float32),
        np.full((2, N_ANCHORS), -20, np.float32),
        np.zeros((1, N_ANCHORS), np.float32),
    )


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def one_hot(maps: HeadMaps, anchor: int, bins: tuple[int, int, int, int]) -> None:
    """Make the four distances of an anchor certain."""
    for side, value in enumerate(bins):
        maps.distances[side * 16 : (side + 1) * 16, anchor] = -1000
        maps.distances[side * 16 + value, anchor] = 1000


def test_anchors_run_level_by_level_and_row_by_row() -> None:
    points, stride = anchors((64, 64), (8, 16, 32))
    assert points.shape == (N_ANCHORS, 2)
    assert points[0].tolist() == [0.5, 0.5]
    assert points[1].tolist() == [1.5, 0.5]
    assert points[8].tolist() == [0.5, 1.5]
    assert points[64].tolist() == [0.5, 0.5]
    assert stride.tolist() == [8.0] * 64 + [16.0] * 16 + [32.0] * 4


def test_box_lies_around_its_anchor() -> None:
    maps = quiet_maps()
    anchor = 64 + 4 + 2  # second row, third column of the level with stride 16: point (40, 24)
    maps.classes[1, anchor] = logit(0.75)
    one_hot(maps, anchor, (3, 1, 2, 1))
    maps.angle[0, anchor] = logit(0.75)  # a quarter turn: left and right become up and down
    found = decode(maps, (64, 64), SPEC)
    assert found.xywhr == pytest.approx(np.array([[40, 24 - 8, 80, 32, math.pi / 2]]), abs=1e-5)
    assert found.scores == pytest.approx(np.array([[0, 0.75]]), abs=1e-6)


def test_turned_box_shifts_along_its_own_axes() -> None:
    maps = quiet_maps()
    maps.classes[0, 0] = logit(0.5)
    one_hot(maps, 0, (1, 1, 5, 1))
    maps.angle[0, 0] = logit(0.5)  # a quarter of pi
    x, y, w, h, angle = decode(maps, (64, 64), SPEC).xywhr[0]
    assert (x, y) == pytest.approx((4 + 8 * 2 * math.cos(math.pi / 4), 4 + 8 * 2 * math.sin(math.pi / 4)))
    assert (w, h, angle) == pytest.approx((48, 16, math.pi / 4))


def test_floor_is_inclusive_and_nothing_below_passes() -> None:
    maps = quiet_maps()
    floor = math.log(SPEC.score_floor / (1 - SPEC.score_floor))
    classes = maps.classes.astype(np.float64)
    classes[0, :3] = floor, np.nextafter(floor, -np.inf), floor + 1
    found = decode(HeadMaps(maps.distances, classes, maps.angle), (64, 64), SPEC)
    assert len(found) == 2


def test_no_cap() -> None:
    spec = SPEC.model_copy(update={"imgsz": 640})
    n = 8400
    maps = HeadMaps(np.zeros((64, n), np.float32), np.full((2, n), 3, np.float32), np.zeros((1, n), np.float32))
    assert len(decode(maps, (640, 640), spec)) == n


def test_nothing_found_has_the_right_shape() -> None:
    found = decode(quiet_maps(), (64, 64), SPEC)
    assert found.xywhr.shape == (0, 5)
    assert found.scores.shape == (0, 2)


def test_values_that_are_not_numbers_are_an_error() -> None:
    maps = quiet_maps()
    maps.classes[1, 7] = np.nan
    with pytest.raises(WeightsError, match="not numbers"):
        decode(maps, (64, 64), SPEC)


def test_maps_of_another_network_are_an_error() -> None:
    maps = quiet_maps()
    with pytest.raises(WeightsError, match="shapes"):
        decode(maps, (64, 96), SPEC)


@settings(deadline=None, max_examples=50)  # the first example imports torch
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.1, 30))
def test_agrees_with_ultralytics(seed: int, scale: float) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra `train`")
    tal = pytest.importorskip("ultralytics.utils.tal", reason="needs the extra `train`")
    rng = np.random.default_rng(seed)
    maps = HeadMaps(
        scale * rng.standard_normal((64, N_ANCHORS)),
        np.ones((2, N_ANCHORS)),
        rng.normal(0, 3, (1, N_ANCHORS)),
    )
    found = decode(maps, (64, 64), SPEC)

    sizes = [torch.zeros(1, 1, 64 // s, 64 // s) for s in SPEC.strides]
    points, strides = tal.make_anchors(sizes, torch.tensor(SPEC.strides), 0.5)
    bins = torch.from_numpy(maps.distances).view(1, 4, 16, N_ANCHORS).softmax(2)
    distances = (bins * torch.arange(16).view(1, 1, 16, 1)).sum(2).transpose(1, 2)
    angle = (torch.from_numpy(maps.angle).sigmoid()[None].transpose(1, 2) - 0.25) * math.pi
    theirs = (tal.dist2rbox(distances, angle, points[None].double()) * strides[None]).numpy()[0]
    cos, sin = np.cos(angle.numpy()[0, :, 0]), np.sin(angle.numpy()[0, :, 0])
    assert found.xywhr[:, :2] == pytest.approx(theirs[:, :2], abs=1e-9)
    assert np.sort(found.xywhr[:, 2:4]) == pytest.approx(np.sort(theirs[:, 2:]), abs=1e-9)
    # The same rectangle: the long side points along the angle, or across it where height was the longer.
    along = np.where(theirs[:, 2] >= theirs[:, 3], 0.0, np.pi / 2)
    turned = found.xywhr[:, 4] - along
    assert np.abs(np.cos(turned) * sin - np.sin(turned) * cos) == pytest.approx(np.zeros(N_ANCHORS), abs=1e-9)
