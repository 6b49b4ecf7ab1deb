"""False alarms on real ground: which pictures are judged, what counts, and how it is told."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import from_origin

from benchmarks import bench_grounds
from benchmarks.bench_grounds import Ground, figures, grounds, main
from detector.backends import RawBoxes
from detector.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "meadows"
    path.mkdir()
    for number in range(30):
        Image.fromarray(np.full((60, 100, 3), number, dtype=np.uint8)).save(path / f"{number}.png")
    return path


class BrightIsACar:
    """Calls the middle of every bright tile a railcar, and its lower right corner a container."""

    def stream(self, tiles: Iterable[tuple[Ground, NDArray[np.uint8]]]) -> Iterator[tuple[Ground, RawBoxes]]:
        for ground, tile in tiles:
            assert tile.shape == (640, 640, 3)
            score = 0.9 if tile[0, 0, 0] >= 15 else 0.1
            boxes = np.array([(50.0, 30.0, 47.0, 10.0, 0.0), (80.0, 50.0, 20.0, 8.0, 0.0)])
            yield ground, RawBoxes(boxes, np.array([(score, 0, 0, 0, 0), (0, 0, 0, 0.9, 0)], dtype=np.float32))


def test_pictures_that_training_uses_are_left_out(folder: Path) -> None:
    held_out, everything = (list(grounds([f"{folder}@0.3"], 0.3, 640, held_out=only)) for only in (True, False))
    assert 0 < len(held_out) < len(everything) == 30
    assert {ground.path for ground in held_out} < {ground.path for ground in everything}


def test_pictures_are_brought_to_the_gsd_and_cut(folder: Path) -> None:
    coarse = list(grounds([f"{folder}@0.6"], 0.3, 64, held_out=False))
    assert len(coarse) == 30 * 2 * 4
    area = sum(ground.pixels.shape[0] * ground.pixels.shape[1] for ground in coarse)
    assert area == 30 * 120 * 200
    assert figures(coarse, [], 0.3)["folders"]["meadows"]["ha"] == pytest.approx(30 * 36 * 60 / 1e4, abs=0.05)


def test_a_picture_that_cannot_be_read_is_named(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "broken.png")
    whole = (folder / "broken.png").read_bytes()
    (folder / "broken.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match=r"broken\.png: cannot be read"):
        list(grounds([str(folder)], 0.3, 640, held_out=False))


def test_pictures_are_read_as_in_training(tmp_path: Path) -> None:
    """16 bit is stretched, a georeference states the GSD, and what holds no data is no ground."""
    bands = np.tile(np.linspace(300, 2000, 128).astype(np.uint16), (1, 128, 1))
    bands[:, :, :64] = 0
    place = {"crs": "EPSG:32652", "transform": from_origin(500000, 4600000, 0.6, 0.6)}
    profile = {"driver": "GTiff", "width": 128, "height": 128, "count": 1, "dtype": "uint16", "nodata": 0}
    with rasterio.open(tmp_path / "pan.tif", "w", **profile, **place) as file:
        file.write(bands)
    found = list(grounds([f"{tmp_path}@0.3"], 0.3, 64, held_out=False))
    assert len(found) == 8  # 256 px at 0.3 m: 4 x 4 tiles, half of them blank
    levels = np.stack([ground.pixels for ground in found])
    assert np.ptp(levels) > 150
    assert figures(found, [], 0.3)["all"]["ha"] == pytest.approx(128 * 64 * 0.36 / 1e4, abs=0.05)


def test_rail_vehicles_are_false_and_told_by_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_grounds, "open_backend", lambda *_: BrightIsACar())
    out, sheet = tmp_path / "grounds.json", tmp_path / "sheet.png"
    arguments = ["--backgrounds", f"{folder}@0.3", "--json", str(out), "--sheet", str(sheet)]
    assert main([*arguments, "--all"]) == 0
    result = json.loads(out.read_text())
    assert result["all"] == result["folders"]["meadows"]
    assert result["all"]["false_rail_vehicles"] == result["all"]["pictures_with_false"] == 15
    assert result["all"]["false_per_10ha"] == pytest.approx(15 / (30 * 18 * 30 / 1e5), rel=0.01)
    assert len(result["surest"]) == 15
    assert "meadows: pictures 30" in capsys.readouterr().out
    with Image.open(sheet) as picture:
        assert picture.size == (8 * 240, 2 * 240)
        assert (np.asarray(picture) == (255, 0, 0)).all(axis=2).any()


def test_nothing_to_judge_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--backgrounds", str(tmp_path)]) == 2
    assert "holds no pictures" in capsys.readouterr().err
