"""Laws of the merge: every car once, whatever the angle, the tiles, the order and the number of boxes."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from detector.geometry import Floats, Ints, canonical, corners_from_xywhr, iou_pairs
from detector.merge import averaged, merge, merge_tile
from detector.tiling import EDGE_PX, Tile, TileGrid
from tests.support import Views, all_tiles, perfect_views, placed, yard

without_deadline = settings(deadline=None)
seeds = st.integers(0, 2**32 - 1)
CARS = 960


def _one_group(views: Views) -> Ints:
    return np.zeros(len(views.score), np.int64)


def _seam_merged(views: Views, tiles: list[Tile]) -> Views:
    """The way of the pipeline: each tile settled on its own, the survivors merged."""
    left = []
    for number, tile in enumerate(tiles):
        rows = np.flatnonzero(views.tile == number)
        boxes, told = views.xywhr[rows], views.score[rows, None]
        settled = merge_tile(tile, boxes, views.score[rows], np.zeros(len(rows)), told)
        np.testing.assert_array_equal(settled.cut, views.cut[rows[settled.rows]])
        np.testing.assert_array_equal(settled.xywhr, canonical(boxes[settled.rows]))  # seen once by a tile
        np.testing.assert_array_equal(settled.told, told[settled.rows])
        left.append(rows[settled.rows])
    survivors = views.take(np.concatenate(left))
    return survivors.take(merge(survivors.xywhr, survivors.score, _one_group(survivors), cut=survivors.cut))


def _by_place(boxes: Floats) -> Floats:
    return boxes[np.lexsort(np.round(boxes[:, :2], 3).T)]


@pytest.mark.parametrize("gsd_m", [0.30, 0.50])
@pytest.mark.parametrize("angle_deg", [0, 30, 45, 60, 90])
def test_perfect_boxes_of_a_yard_all_survive(angle_deg: float, gsd_m: float) -> None:
    boxes = yard(10, 20, angle_deg=angle_deg, gsd_m=gsd_m)
    assert len(boxes) == 200
    scores = np.random.default_rng(1).uniform(0.05, 1, len(boxes))
    assert merge(boxes, scores, np.zeros(200)).tolist() == list(range(200))


@pytest.mark.parametrize("jitter_px", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("gsd_m", [0.30, 0.50])
@pytest.mark.parametrize("angle_deg", [0, 20, 45, 70])
def test_cut_fragments_leave_every_car_once(angle_deg: float, gsd_m: float, jitter_px: float) -> None:
    boxes, shape = placed(yard(24, 40, angle_deg=angle_deg, gsd_m=gsd_m))
    tiles = all_tiles(TileGrid(640, 64), shape)
    views = perfect_views(boxes, tiles, np.random.default_rng(2), jitter_px=jitter_px)
    assert len(views.car) > CARS + 50
    merged = _seam_merged(views, tiles)
    assert len(np.unique(merged.car)) >= CARS - 1
    assert abs(len(merged.car) - CARS) <= 1


@pytest.mark.parametrize("car_frame", [False, True])
@pytest.mark.parametrize("angle_deg", [0, 20, 45, 70])
def test_whole_boxes_absorb_fragments_without_ownership(angle_deg: float, car_frame: bool) -> None:
    boxes, shape = placed(yard(24, 40, angle_deg=angle_deg, gsd_m=0.5))
    tiles = all_tiles(TileGrid(640, 64), shape)
    views = perfect_views(boxes, tiles, np.random.default_rng(3), car_frame=car_frame)
    kept = merge(views.xywhr, views.score, _one_group(views), cut=views.cut)
    assert sorted(views.car[kept]) == list(range(CARS))
    np.testing.assert_allclose(_by_place(views.xywhr[kept]), _by_place(boxes), atol=1e-6)


@pytest.mark.parametrize("car_frame", [False, True])
@pytest.mark.parametrize("angle_deg", [0, 20, 45, 70, 90])
def test_cars_longer_than_the_overlap_are_neither_lost_nor_doubled(angle_deg: float, car_frame: bool) -> None:
    boxes, shape = placed(yard(24, 40, angle_deg=angle_deg, gsd_m=0.30, length_m=26))  # 87 px, overlap 64 px
    tiles = all_tiles(TileGrid(640, 64), shape)
    views = perfect_views(boxes, tiles, np.random.default_rng(4), car_frame=car_frame)
    merged = _seam_merged(views, tiles)
    assert merged.cut.any()
    assert sorted(merged.car) == list(range(CARS))


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(200, 700),
    overlap_share=st.floats(0, 1),
    angle_deg=st.floats(0, 180),
    margin=st.tuples(st.floats(0, 300), st.floats(0, 300)),
    seed=seeds,
)
def test_any_partition_into_tiles_gives_what_one_image_gives(
    size: int, overlap_share: float, angle_deg: float, margin: tuple[float, float], seed: int
) -> None:
    boxes, shape = placed(yard(6, 12, angle_deg=angle_deg, gsd_m=0.30), margin)
    least = math.ceil(np.ptp(corners_from_xywhr(boxes), axis=1).max() + 2 * EDGE_PX)
    assume(2 * least <= size)
    grid = TileGrid(size, least + int(overlap_share * (size // 2 - least)))
    rng = np.random.default_rng(seed)
    tiles = all_tiles(grid, shape)
    tiles = [tiles[i] for i in rng.permutation(len(tiles))]
    views = perfect_views(boxes, tiles, rng, car_frame=bool(rng.integers(2)))
    one_image = boxes[merge(boxes, rng.uniform(size=len(boxes)), np.zeros(len(boxes)))]
    np.testing.assert_allclose(_by_place(_seam_merged(views, tiles).xywhr), _by_place(one_image), atol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_tiles_over_a_facility_find_every_car_inside_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes, shape = placed(yard(24, 40, angle_deg=rng.uniform(0, 180), gsd_m=0.30))
    outline = rng.uniform(0, 1, (5, 2)) * np.array(shape[::-1])
    facility = shapely.convex_hull(shapely.multipoints(outline))
    tiles = TileGrid(640, 128).tiles_over(shape, [facility])
    merged = _seam_merged(perfect_views(boxes, tiles, rng), tiles)
    inside = shapely.contains(facility, shapely.points(boxes[:, :2]))
    found = merged.xywhr[shapely.contains(facility, shapely.points(merged.xywhr[:, :2]))]
    np.testing.assert_allclose(_by_place(found), _by_place(boxes[inside]), atol=1e-6)


@st.composite
def crowds(draw: st.DrawFn) -> tuple[Floats, Floats, Ints, Ints]:
    """Boxes that overlap a lot, with ties in score and place."""
    rng = np.random.default_rng(draw(seeds))
    count = draw(st.integers(0, 60))
    boxes = rng.uniform([0, 0, 1, 1, 0], [40, 40, 20, 6, math.pi], (count, 5))
    boxes = boxes[rng.integers(0, max(count, 1), count)] if draw(st.booleans()) else boxes
    return boxes, rng.integers(1, 6, count) / 5, rng.integers(0, 2, count), rng.integers(0, 2, count)


@without_deadline
@given(crowds(), seeds, st.floats(0.1, 1))
def test_order_of_the_rows_is_of_no_account(
    crowd: tuple[Floats, Floats, Ints, Ints], seed: int, threshold: float
) -> None:
    table = np.column_stack(crowd).astype(np.float64)
    shuffled = np.random.default_rng(seed).permutation(table)

    def kept(rows: Floats) -> list[list[float]]:
        keep = merge(rows[:, :5], rows[:, 5], rows[:, 6], cut=rows[:, 7], threshold_ios=threshold)
        assert keep.tolist() == sorted(set(keep.tolist()))
        return sorted(rows[keep].tolist())

    assert kept(table) == kept(shuffled)


@without_deadline
@given(crowds(), st.floats(0.1, 1))
def test_merging_again_changes_nothing(crowd: tuple[Floats, Floats, Ints, Ints], threshold: float) -> None:
    boxes, scores, groups, cuts = crowd
    keep = merge(boxes, scores, groups, cut=cuts, threshold_ios=threshold)
    again = merge(boxes[keep], scores[keep], groups[keep], cut=cuts[keep], threshold_ios=threshold)
    assert again.tolist() == list(range(len(keep)))


@without_deadline
@given(crowds())
def test_groups_are_merged_as_if_alone(crowd: tuple[Floats, Floats, Ints, Ints]) -> None:
    boxes, scores, groups, cuts = crowd
    together = merge(boxes, scores, groups, cut=cuts)
    apart = [
        rows[merge(boxes[rows], scores[rows], groups[rows], cut=cuts[rows])]
        for rows in (np.flatnonzero(groups == group) for group in (0, 1))
    ]
    assert together.tolist() == sorted(np.concatenate(apart).tolist())


def _near(boxes: Floats, others: Floats) -> None:
    """The same rectangles, up to rounding."""
    for box, other in zip(corners_from_xywhr(boxes), corners_from_xywhr(others), strict=True):
        gaps = np.linalg.norm(box[:, None] - other[None], axis=2)
        assert gaps.min(axis=1).max() < 1e-6


@without_deadline
@given(crowds(), seeds)
def test_averages_do_not_depend_on_the_order(crowd: tuple[Floats, Floats, Ints, Ints], seed: int) -> None:
    boxes, scores, groups, cuts = crowd
    kept = merge(boxes, scores, groups, cut=cuts)
    order = np.random.default_rng(seed).permutation(len(boxes))
    place = np.argsort(order)
    shuffled = averaged(boxes[order], scores[order], groups[order], place[kept], cut=cuts[order])
    _near(averaged(boxes, scores, groups, kept, cut=cuts), shuffled)


@without_deadline
@given(
    crowds(),
    st.floats(0, math.tau),
    st.floats(0.5, 3),
    st.tuples(st.floats(-1000, 1000), st.floats(-1000, 1000)),
)
def test_averages_move_turn_and_grow_with_the_boxes(
    crowd: tuple[Floats, Floats, Ints, Ints], angle: float, scale: float, shift: tuple[float, float]
) -> None:
    boxes, scores, groups, cuts = crowd
    kept = merge(boxes, scores, groups, cut=cuts)
    same_frame = averaged(boxes, scores, groups, kept, cut=cuts)
    pairs = np.stack(np.meshgrid(kept, np.arange(len(boxes)), indexing="ij"), axis=-1).reshape(-1, 2)
    assume((np.abs(iou_pairs(boxes[pairs[:, 0]], boxes[pairs[:, 1]]) - 0.5) > 1e-9).all())  # rounding decides there
    turns = np.abs(np.mod(boxes[pairs[:, 0], 4] - boxes[pairs[:, 1], 4], math.pi / 2) - math.pi / 4)
    assume((turns > 1e-9).all())

    def moved(rows: Floats) -> Floats:
        x, y = rows[:, :2].T * scale
        turned = [x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)]
        return np.column_stack([np.transpose(turned) + shift, rows[:, 2:4] * scale, rows[:, 4] + angle])

    _near(averaged(moved(boxes), scores, groups, kept, cut=cuts), moved(same_frame))


@without_deadline
@given(crowds(), st.integers(1, 4))
def test_copies_of_a_box_average_to_it(crowd: tuple[Floats, Floats, Ints, Ints], copies: int) -> None:
    boxes, scores, groups, cuts = (rows[:1] for rows in crowd)
    table = [np.repeat(rows, copies, axis=0) for rows in (boxes, scores, groups)]
    kept = np.arange(min(1, len(boxes)))
    np.testing.assert_array_equal(averaged(*table, kept, cut=np.repeat(cuts, copies)), canonical(boxes))


def test_many_inexact_boxes_say_together_where_a_car_is() -> None:
    rng = np.random.default_rng(5)
    car = np.array([100.0, 80.0, 50.0, 10.0, 0.6])
    boxes = car + rng.normal(0, 1, (40, 5)) * [2, 2, 4, 1, 0.05]
    scores = rng.uniform(0.2, 0.9, 40)
    best = np.array([scores.argmax()])
    found = averaged(boxes, scores, np.zeros(40), best)
    assert iou_pairs(found, car[None])[0] > max(0.9, iou_pairs(boxes[best], car[None])[0])


def test_what_boxes_tell_is_averaged_over_those_of_the_object() -> None:
    tile = all_tiles(TileGrid(640, 64), (640, 640))[0]
    boxes = np.array([(300, 300, 34, 6.2, 0), (304, 300, 26, 6.2, 0), (300, 309, 34, 6.2, 0)])
    told = np.array([(0.6, 0.2), (0.2, 0.4), (0.5, 0.1)])
    settled = merge_tile(tile, boxes, [0.6, 0.3, 0.5], np.zeros(3), told)
    assert settled.rows.tolist() == [0, 2]
    np.testing.assert_allclose(
        settled.told, [((0.6 * 0.6 + 0.3 * 0.2) / 0.9, (0.6 * 0.2 + 0.3 * 0.4) / 0.9), (0.5, 0.1)]
    )


def test_what_is_said_of_a_box() -> None:
    boxes = np.array([CAR, (4, 0, 26, 6.2, 0), (2, 1, 34, 6.2, 0), (18, 0, 70, 6.2, 0), (0, 9, 34, 6.2, 0)])
    scores, groups = np.array([0.6, 0.5, 0.2, 0.5, 0.5]), np.array([0, 0, 0, 0, 0])
    first = np.array([0])
    whole = averaged(boxes, scores, groups, first, cut=[0, 1, 0, 0, 0])
    np.testing.assert_allclose(whole, [(0.5, 0.25, 34, 6.2, 0)])  # neither the cut one nor the one over two cars
    of_group = averaged(boxes, scores, np.array([0, 0, 1, 0, 0]), first, cut=[0, 1, 0, 0, 0])
    np.testing.assert_allclose(of_group, [CAR])
    cut = averaged(boxes, scores, groups, np.array([1]), cut=[0, 1, 0, 0, 0])
    assert 26 < cut[0, 2] < 34


CAR, NEXT = (0.0, 0.0, 34.0, 6.2, 0.0), (36.0, 0.0, 34.0, 6.2, 0.0)


@pytest.mark.parametrize(
    ("boxes", "scores", "cut", "kept"),
    [
        ([CAR, (8.5, 0, 17, 6.2, 0)], [0.3, 0.9], [0, 1], [0]),  # a fragment, scored better
        ([CAR, (8.5, 0, 17, 6.2, 0)], [0.9, 0.3], [0, 0], [0]),  # half a car
        ([CAR, NEXT, (18, 0, 34, 6.2, 0)], [0.8, 0.7, 0.4], [0, 0, 0], [0, 1]),  # astride, 16 / 34 on each
        ([CAR, NEXT, (18, 0, 70, 6.2, 0)], [0.8, 0.3, 0.4], [0, 0, 0], [0, 1]),  # over both, scored between
        ([CAR, NEXT, (18, 0, 70, 6.2, 0)], [0.8, 0.7, 0.9], [0, 0, 0], [2]),  # over both, scored best
        ([CAR, (0, 9, 34, 6.2, 0)], [0.8, 0.7], [0, 0], [0, 1]),  # on the next track
        ([CAR, (0, 0, 0, 0, 0)], [0.8, 0.9], [0, 0], [0, 1]),  # no area, no claim
    ],
)
def test_who_goes_to_whom(boxes: Floats, scores: list[float], cut: list[int], kept: list[int]) -> None:
    assert merge(boxes, scores, np.zeros(len(scores)), cut=cut).tolist() == kept


def test_empty_input_gives_empty_output() -> None:
    tile = all_tiles(TileGrid(640, 64), (640, 640))[0]
    settled = merge_tile(tile, [], [], [], np.empty((0, 3)))
    assert merge([], [], []).shape == settled.rows.shape == settled.cut.shape == (0,)
    assert (settled.xywhr.shape, settled.told.shape) == ((0, 5), (0, 3))
    assert merge([], [], []).dtype == settled.rows.dtype == np.int64


@pytest.mark.parametrize(
    ("score", "threshold", "message"),
    [
        ([0.5], 0.5, "Received: 2, 1, 2, 2"),
        ([0.5, np.nan], 0.5, "Received: nan"),
        ([0.5, 0.5], 0, "Received: 0"),
    ],
)
def test_wrong_input_is_refused(score: list[float], threshold: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        merge([CAR, NEXT], score, [0, 0], threshold_ios=threshold)


@pytest.mark.integration
@pytest.mark.parametrize("layout", ["yard", "crowd", "pile"])
def test_memory_stays_flat_up_to_300_000_boxes(layout: str) -> None:
    command = [sys.executable, "-m", "benchmarks.bench_merge", "--json", "--layouts", layout]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [*command, "--sizes", "10000", "300000"], cwd=root, capture_output=True, text=True, check=True
    )
    small, large = json.loads(done.stdout)
    assert large["boxes"] == 300_000
    assert large["peak_mb"] < 1000
    per_box = (large["peak_mb"] - small["peak_mb"]) * 1e6 / (large["boxes"] - small["boxes"])
    assert per_box < 1500
