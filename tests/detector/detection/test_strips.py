"""Reading tiles together: the same pixels, each of them once."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector.detection.strips import BAND_TILES, STRIP_TILES, bands, pictures
from detector.raster import SceneReader
from detector.scenes import Scene, find_scenes
from detector.tiling import Tile, TileGrid
from tests.detector.imagery import picture, utm_grid, write_image

GRID = TileGrid(48, 12)
SHAPE = (260, 300)


@pytest.fixture(scope="module", params=[0.3, 0.41])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder: Path = tmp_path_factory.mktemp("scene")
    mask = np.ones((230, 260), dtype=bool)
    mask[40:90, 150:] = False
    write_image(folder / "yard_20231005.tif", picture(230, 260), transform=utm_grid(request.param), mask=mask)
    return find_scenes([folder]).scenes[0]


def tiles_at(places: set[tuple[int, int]]) -> list[Tile]:
    return [GRID.tile(row, col, SHAPE) for row, col in sorted(places)]


class CountingReader(SceneReader):
    """Counts how often each model pixel is read."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.seen = np.zeros((400, 400), dtype=int)

    def read_into(self, image: NDArray[np.uint8], valid: NDArray[np.bool_], x0: int, y0: int) -> None:
        h, w = valid.shape
        self.seen[y0 : y0 + h, x0 : x0 + w] += 1
        super().read_into(image, valid, x0, y0)


@settings(max_examples=30, deadline=None)
@given(
    places=st.sets(st.tuples(st.integers(0, 6), st.integers(0, 7)), min_size=1),
    shuffle=st.none() | st.randoms(use_true_random=False),
)
def test_tiles_read_together_are_those_read_alone(scene: Scene, places: set[tuple[int, int]], shuffle: object) -> None:
    """In whatever order they are asked for."""
    tiles = tiles_at(places)
    if shuffle is not None:
        shuffle.shuffle(tiles)  # type: ignore[attr-defined]
    with SceneReader(scene) as reader:
        for tile, (image, valid) in zip(tiles, pictures(reader, tiles), strict=True):
            alone, alone_valid = reader.read(*tile.window_px)
            np.testing.assert_array_equal(valid, alone_valid)
            assert np.abs(image.astype(int) - alone).max() <= 1


def test_no_pixel_of_a_full_grid_is_read_twice(scene: Scene) -> None:
    tiles = GRID.tiles_over(SHAPE, [_everything()])
    (numbers,) = bands(tiles, 1)
    with CountingReader(scene) as reader:
        assert sum(1 for _ in pictures(reader, [tiles[number] for number in numbers])) == len(tiles)
    assert reader.seen.max() == 1


def _everything() -> object:
    from shapely import box  # noqa: PLC0415

    return box(0, 0, SHAPE[1], SHAPE[0])


@given(rows=st.integers(1, 12), cols=st.integers(1, 3 * STRIP_TILES), parts=st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_bands_hold_every_tile_once_and_no_wide_rows(rows: int, cols: int, parts: int) -> None:
    grid = TileGrid(48, 12)
    shape = (rows * 36 + 12, cols * 36 + 12)
    tiles = [grid.tile(row, col, shape) for row in range(rows) for col in range(cols)]
    cut = bands(tiles, parts)
    assert sorted(number for band in cut for number in band) == list(range(len(tiles)))
    assert len(cut) <= parts
    assert len(cut) == 1 or min(map(len, cut)) >= BAND_TILES - 1
    for band in cut:
        columns = [tiles[number].col for number in band if tiles[number].row == tiles[band[0]].row]
        assert max(columns) - min(columns) < max(STRIP_TILES, cols)
    assert bands([], parts) == []
