"""Reader threads: order, bounds, and failures as values."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detector.detection.reading import QUALITY_PX, Failure, Readers
from detector.facilities import load_facilities
from detector.raster import quality
from detector.scenes import Scene, find_scenes
from tests.detector.fakes import facilities_file, paint, yard


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    load_facilities(facilities_file(tmp_path / "f.geojson", {"yard": (-40, -40, 40, 40)}))
    paint(tmp_path / "yard_20230105.tif", yard())
    return find_scenes([tmp_path / "yard_20230105.tif"]).scenes[0]


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
    with Readers(0.3) as readers:
        stream = readers.ordered(range(50), lambda n: readers.view(scene, (n, 0, 64, 64)))
        next(stream)
    assert threading.active_count() == before


def test_a_view_tells_what_is_valid_and_how_it_looks(scene: Scene) -> None:
    with Readers(0.3, threads=2) as readers:
        inside, half, outside = (
            outcome.result
            for outcome in readers.ordered(
                [(0, 0, 128, 128), (-64, 0, 128, 128), (-500, 0, 128, 128)],
                lambda window: readers.view(scene, window),
            )
        )
    assert not isinstance(inside, Failure)
    assert inside.valid == 1
    expected = quality(inside.image, np.ones((128, 128), bool))
    assert inside.quality == tuple(expected[name] for name in ("sharpness", "contrast", "brightness"))
    assert not isinstance(half, Failure)
    assert half.valid == pytest.approx(0.5, abs=0.01)
    assert not isinstance(outside, Failure)
    assert outside.valid == 0
    assert np.isnan(outside.quality).all()
    assert inside.look[0] == 64 * 64
    assert (outside.look == 0).all()


def test_quality_of_a_large_tile_is_measured_where_it_is_valid(scene: Scene) -> None:
    wide = replace(scene, scene_id="again")
    with Readers(0.3, threads=2) as readers:
        (outcome,) = readers.ordered([(-700, -700, 1000, 1000)], lambda window: readers.view(wide, window))
    assert not isinstance(outcome.result, Failure)
    assert outcome.result.valid < 0.15
    assert np.isfinite(outcome.result.quality).all()
    assert QUALITY_PX < 1000
