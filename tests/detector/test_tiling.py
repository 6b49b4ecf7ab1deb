"""Laws of the tile grid: cores partition the plane, owners see what they own, polygons select tiles."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.geometry import Floats
from detector.tiling import Tile, TileGrid
from tests.support import all_tiles

without_deadline = settings(deadline=None)
sizes = st.integers(32, 200)
shapes = st.tuples(st.integers(1, 400), st.integers(1, 400))


@st.composite
def grids(draw: st.DrawFn) -> TileGrid:
    size = draw(sizes)
    return TileGrid(size, draw(st.integers(0, size // 2)))


def _owners(tiles: list[Tile], points: Floats) -> Floats:
    return np.stack([tile.owns(points) for tile in tiles], axis=1)


def _points(tiles: list[Tile], shape: tuple[int, int], seed: int) -> Floats:
    """Points inside and far around the scene, and, as the hardest ones, every corner of a core."""
    rng = np.random.default_rng(seed)
    anywhere = rng.uniform(-0.5, 1.5, (200, 2)) * np.array(shape[::-1])
    cores = np.array([tile.core_px for tile in tiles])
    corners = np.concatenate([cores[:, :2], cores[:, 2:]])
    return np.concatenate([anywhere, corners[np.isfinite(corners).all(axis=1)]])


@without_deadline
@given(grids(), shapes, st.integers(0, 2**32 - 1))
def test_every_point_has_exactly_one_owner(grid: TileGrid, shape: tuple[int, int], seed: int) -> None:
    tiles = all_tiles(grid, shape)
    assert (_owners(tiles, _points(tiles, shape, seed)).sum(axis=1) == 1).all()


@without_deadline
@given(grids(), shapes, st.integers(0, 2**32 - 1))
def test_owners_see_half_an_overlap_around_what_they_own(grid: TileGrid, shape: tuple[int, int], seed: int) -> None:
    tiles = all_tiles(grid, shape)
    points = _points(tiles, shape, seed)
    height, width = shape
    points = points[((points >= 0) & (points < [width, height])).all(axis=1)]
    owner = _owners(tiles, points).argmax(axis=1)
    x0, y0, w, h = np.array([tile.window_px for tile in tiles])[owner].T
    x, y = points.T
    half = grid.overlap / 2
    assert ((x - x0 >= half) | (x0 == 0)).all()
    assert ((y - y0 >= half) | (y0 == 0)).all()
    assert ((x0 + w - x >= half) | (x0 + w >= width)).all()
    assert ((y0 + h - y >= half) | (y0 + h >= height)).all()
    assert ((x >= x0) & (x < x0 + w) & (y >= y0) & (y < y0 + h)).all()


@without_deadline
@given(grids(), shapes)
def test_no_tile_is_needless(grid: TileGrid, shape: tuple[int, int]) -> None:
    rows, cols = grid.shape(shape)
    for count, extent in ((rows, shape[0]), (cols, shape[1])):
        last = (count - 1) * grid.step_px
        assert last + grid.size >= extent
        assert count == 1 or last - grid.step_px + grid.size < extent


def test_grid_of_a_small_scene() -> None:
    grid = TileGrid(640, 128)
    tiles = all_tiles(grid, (600, 1200))
    assert [(tile.row, tile.col) for tile in tiles] == [(0, 0), (0, 1), (0, 2)]
    assert [tile.window_px for tile in tiles] == [(0, 0, 640, 640), (512, 0, 640, 640), (1024, 0, 640, 640)]
    assert tiles[1].core_px == (576, -math.inf, 1088, math.inf)


@without_deadline
@given(grids(), shapes, st.integers(0, 2**32 - 1))
def test_points_in_a_polygon_are_owned_by_a_selected_tile(grid: TileGrid, shape: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = shape
    around = rng.uniform(-0.2, 1.2, (2, 4, 2)) * [width, height]
    polygons = [shapely.convex_hull(shapely.multipoints(points)) for points in around]
    valid = shapely.box(0, 0, width * 0.7, height)
    tiles = grid.tiles_over(shape, polygons, valid)
    assert [(tile.row, tile.col) for tile in tiles] == sorted({(tile.row, tile.col) for tile in tiles})
    points = rng.uniform(0, 1, (200, 2)) * [width * 0.7, height]
    inside = shapely.contains(shapely.union_all(polygons), shapely.points(points))
    if inside.any():
        assert (_owners(tiles, points[inside]).sum(axis=1) == 1).all()
    wanted = shapely.union_all(polygons).intersection(valid)
    for tile in tiles:
        x0, y0, x1, y1 = tile.core_px
        core = shapely.box(max(x0, 0), max(y0, 0), min(x1, width), min(y1, height))
        assert core.intersects(wanted)


@pytest.mark.parametrize(
    "polygons", [[], [shapely.Polygon()], [shapely.box(-90, -90, -10, -10)], [shapely.box(-10, 0, 0, 50)]]
)
def test_nothing_inside_the_scene_needs_no_tile(polygons: list[shapely.Geometry]) -> None:
    assert TileGrid(64, 16).tiles_over((100, 100), polygons) == []


def test_no_valid_data_needs_no_tile() -> None:
    assert TileGrid(64, 16).tiles_over((100, 100), [shapely.box(0, 0, 9, 9)], shapely.Polygon()) == []


def test_slack_widens_a_core() -> None:
    tile = Tile(0, 0, (0, 0, 64, 64), (8.0, 8.0, 56.0, 56.0))
    points = np.array([[8.0, 8.0], [56.0, 20.0], [59.0, 20.0], [61.0, 20.0]])
    assert tile.owns(points).tolist() == [True, False, False, False]
    assert tile.owns(points, 4).tolist() == [True, True, True, False]
    assert tile.owns(np.empty((0, 2))).shape == (0,)


def test_cut_boxes_reach_a_side_beyond_which_the_scene_goes_on() -> None:
    left, right = all_tiles(TileGrid(100, 40), (100, 160))
    boxes = np.array([[90.0, 50, 20, 6, 0], [50, 50, 20, 6, 0], [10, 50, 20, 6, 0], [70, 50, 20, 6, 0]])
    assert left.cuts(boxes).tolist() == [True, False, False, False]
    assert right.cuts(boxes).tolist() == [False, True, True, True]
    diagonal = np.array([[90.0, 50, 20, 2, math.pi / 4]])
    assert left.cuts(diagonal).tolist() == [True]
    assert left.cuts(diagonal, edge_px=1).tolist() == [False]
    assert left.cuts(np.empty((0, 5))).shape == (0,)


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (640, 321), (640, -1)])
def test_grids_that_cannot_partition_are_refused(size: int, overlap: int) -> None:
    with pytest.raises(ValueError, match=f"Received: size {size}, overlap {overlap}"):
        TileGrid(size, overlap)
