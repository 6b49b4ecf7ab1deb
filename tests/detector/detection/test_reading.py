"""Reader threads: order, bounds, and failures as values."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from shapely import box

from detector.detection.reading import Failure, Readers, view_of
from detector.detection.strips import BAND_TILES
from detector.facilities import load_facilities
from detector.pixels.modelgrid import NATIVE
from detector.raster import SceneReader
from detector.scenes import Scene, find_scenes
from detector.tiling import Tile, TileGrid
from tests.detector.fakes import facilities_file, paint, yard


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    load_facilities(facilities_file(tmp_path / "f.geojson", {"yard": (-40, -40, 40, 40)}))
    paint(tmp_path / "yard_20230105.tif", yard())
    return find_scenes([tmp_path / "yard_20230105.tif"]).scenes[0]


@dataclass(frozen=True)
class Place:
    """A tile of a scene."""

    scene: Scene
    tile: Tile


def tiles_of(scene: Scene, shift_px: int, size: int = 128) -> list[Place]:
    """The tiles of a scene, which begin at `shift_px`."""
    grid = TileGrid(size, size // 4)
    tiles = grid.tiles_over((scene.height, scene.width), [box(0, 0, scene.width, scene.height)])
    x0 = shift_px
    return [Place(scene, replace(t, window_px=(t.window_px[0] + x0, *t.window_px[1:]))) for t in tiles]


def test_outcomes_come_in_order_though_jobs_end_out_of_order() -> None:
    with Readers(0.3, threads=4) as readers:
        outcomes = list(readers.ordered(range(20), lambda n: time.sleep(0.01 * (n % 3)) or n * n))
    assert [(outcome.job, outcome.result) for outcome in outcomes] == [(n, n * n) for n in range(20)]


@pytest.mark.parametrize("ahead", [0, 3])
def test_no_more_than_asked_for_lies_ahead(ahead: int) -> None:
    taken = 0

    def jobs() -> Iterator[int]:
        nonlocal taken
        for n in range(30):
            taken += 1
            yield n

    with Readers(0.3, threads=4) as readers:
        for back, _ in enumerate(readers.ordered(jobs(), str, ahead)):
            assert taken - back <= ahead + 1


def test_a_damaged_file_is_a_value_and_a_fault_of_ours_is_raised() -> None:
    def read(n: int) -> int:
        if n == 1:
            raise OSError("gone")
        if n == 2:
            raise KeyError("bug")
        return n

    with Readers(0.3) as readers:
        stream = readers.ordered(range(4), read)
        assert next(stream).result == 0
        failure = next(stream).result
        assert isinstance(failure, Failure)
        assert str(failure.error) == "gone"
        with pytest.raises(KeyError):
            next(stream)


def test_readers_leave_no_thread_behind_when_stopped_early(scene: Scene) -> None:
    before = threading.active_count()
    with Readers(0.3, threads=2) as readers:
        opened = readers.ordered(range(50), lambda n: readers.valid_geometry(scene))
        next(opened)
        stream = readers.views([tiles_of(scene, 30 * n) for n in range(50)])
        next(stream)  # the stream is still open: its readers wait for room
    assert threading.active_count() == before


def test_a_stream_that_is_closed_leaves_the_readers_to_the_next(scene: Scene) -> None:
    with Readers(0.3, threads=2) as readers:
        stream = readers.views([tiles_of(scene, 30 * n) for n in range(50)])
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        again = [job for job, _ in readers.views([tiles_of(scene, 0)])]
    assert len(again) == len(tiles_of(scene, 0))


def test_every_tile_comes_back_once_however_many_readers(scene: Scene) -> None:
    batches = [tiles_of(scene, shift, size=32) for shift in (0, 7, 13)]
    assert len(batches[0]) > 3 * BAND_TILES
    for threads in (1, 3):
        with Readers(0.3, threads=threads) as readers:
            found = dict(readers.views(batches))
        assert found.keys() == {job for batch in batches for job in batch}
        for job, view in found.items():
            assert not isinstance(view, Failure)
            with SceneReader(scene, 0.3, NATIVE) as reader:
                image, valid = reader.read(*job.tile.window_px)
            np.testing.assert_array_equal(view.image, image)
            assert view.valid == valid.mean()


def test_a_file_that_breaks_is_a_failure_of_every_tile_not_yet_read(scene: Scene, tmp_path: Path) -> None:
    gone = replace(scene, paths=(tmp_path / "gone.tif",))
    with Readers(0.3, threads=1) as readers:
        found = dict(readers.views([tiles_of(gone, 0), tiles_of(scene, 0)]))
    assert len(found) == 2 * len(tiles_of(scene, 0))
    assert all(isinstance(view, Failure) == (job.scene == gone) for job, view in found.items())


def test_a_view_tells_what_is_valid_and_how_it_looks(scene: Scene) -> None:
    views = []
    with SceneReader(scene) as reader:
        for window in ((0, 0, 128, 128), (-64, 0, 128, 128), (-500, 0, 128, 128)):
            views.append(view_of(*reader.read(*window), reader.stretch))
    inside, half, outside = views
    assert inside.valid == 1
    assert half.valid == pytest.approx(0.5, abs=0.01)
    assert outside.valid == 0
    assert inside.look[0] == 8 * 8
    assert (outside.look == 0).all()
