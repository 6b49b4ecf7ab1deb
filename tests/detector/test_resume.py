"""Killed at any moment and run again: the same bytes, and few tiles looked at twice."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.facilities import load_facilities
from detector.pipeline import detect
from detector.scenes import find_scenes
from detector.store import GROUP
from detector.weights import Weights
from tests.detector.fakes import PaintBackend, facilities_file, fake_config, fake_weights, paint, yard

ROOT = Path(__file__).parents[2]
OUTPUTS = ("detections.parquet", "scenes.parquet", "detections.gpkg", "facilities.geojson")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes, a facility and weights, and `whole`, a run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("resume")
    (folder / "images").mkdir()
    for day, cars in ((5, 9), (6, 4), (7, 1)):
        paint(folder / "images" / f"yard_202301{day:02}.tif", yard()[:cars])
    facilities_file(folder / "facilities.geojson", {"yard": (-40, -40, 40, 40)})
    weights = fake_weights(folder / "weights")
    run(folder, weights, folder / "whole", None)
    return folder


def run(folder: Path, weights: Weights, out: Path, stop_after: int | None) -> int:
    """Run until the end or the interruption; the number of tiles looked at."""
    backend = PaintBackend(weights.spec, stop_after)
    scenes = find_scenes([folder / "images"]).scenes
    facilities = load_facilities(folder / "facilities.geojson")
    try:
        detect(scenes, facilities, out, weights, fake_config(), backend=backend)
    except KeyboardInterrupt:
        assert stop_after is not None
    return backend.looks.total()


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in OUTPUTS}


@pytest.mark.integration
@settings(max_examples=4, deadline=None)
@given(stops=st.lists(st.integers(0, 30), min_size=1, max_size=2))
def test_interrupted_anywhere_it_ends_the_same(folder: Path, stops: list[int]) -> None:
    weights, out = fake_weights(folder / "weights"), folder / "stopped"
    shutil.rmtree(out, ignore_errors=True)
    for stop in stops:
        run(folder, weights, out, stop)
    run(folder, weights, out, None)
    assert contents(out) == contents(folder / "whole")


# Among tiles, twice; before a scene's first table; before its second; among tiles of another scene; after its part;
# after the last part; before the tables of the run; before the GeoPackage.
KILLS = (11, 10, 4, 5, 14, 12, 19, 2, 4)
AMONG_TILES = 4


@pytest.mark.integration
def test_killed_again_and_again_it_ends_the_same_and_repeats_little(folder: Path, tmp_path: Path) -> None:
    for name in ("images", "weights"):
        (tmp_path / name).symlink_to(folder / name)
    shutil.copy(folder / "facilities.geojson", tmp_path)
    log = tmp_path / "log"
    for kill_at in (*KILLS, 0):
        worker = [sys.executable, "-m", "tests.detector.resume_worker", tmp_path, log, str(kill_at)]
        done = subprocess.run(worker, cwd=ROOT, check=False, capture_output=True, text=True)
        assert done.returncode == (-signal.SIGKILL if kill_at else 0), done.stderr
    assert contents(tmp_path / "run") == contents(folder / "whole")
    assert not list((tmp_path / "run").rglob(".tmp-*"))
    events = log.read_text().splitlines()
    # A tile whose line is missing was put into the ledger when its process died. No kill costs more than a group.
    n_tiles = run(folder, fake_weights(folder / "weights"), tmp_path / "count", None)
    assert n_tiles - AMONG_TILES <= events.count("tile") <= n_tiles + AMONG_TILES * (GROUP - 1)
    finished = [event for event in events if event.startswith("scene")]
    assert len(finished) == len(set(finished))
