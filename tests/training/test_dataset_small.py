"""Pictures smaller than a tile are used, and a picture that gives no tile is listed."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from detector.errors import UsageError
from tests.tile_scenes import small_config, write_scene
from tests.training.formats.fakes import scene
from training.dataset import build
from training.datasets.cut import room_share

TILE_PX = 64
STEMS = tuple(f"yard{number}" for number in range(12))


@pytest.fixture
def chips(tmp_path: Path) -> Path:
    """Chips of half a tile's edge: a quarter of a tile, less than `min_valid`."""
    rng = np.random.default_rng(0)
    for stem in STEMS:
        scene(tmp_path / "chips" / f"{stem}.tif", rng.integers(20, 60, (TILE_PX // 2, TILE_PX // 2), dtype=np.uint8))
        annotate(tmp_path / "chips", stem, feature([4, 8, 28, 8, 28, 18, 4, 18]))
    return tmp_path / "chips"


def feature(corners_px: list[float], **properties: object) -> dict[str, object]:
    named = {"class": "railcar", "visible": 1.0, "corners_px": corners_px} | properties
    return {"type": "Feature", "geometry": None, "properties": named}


def annotate(chips: Path, stem: str, *features: dict[str, object]) -> None:
    content = {"type": "FeatureCollection", "features": features}
    (chips / f"{stem}.truth.geojson").write_text(json.dumps(content))


def blank(chips: Path, stem: str) -> None:
    """Leave no data but in one corner."""
    with rasterio.open(chips / f"{stem}.tif", "r+") as file:
        pixels = file.read()
        pixels[:, 4:] = 0
        file.nodata = 0
        file.write(pixels)


def faults_in(out: Path) -> dict[str, str]:
    with (out / "faults.csv").open(newline="") as stream:
        return {Path(row["file"]).name: row["reason"] for row in csv.DictReader(stream)}


@pytest.mark.parametrize("edge_share", [0.0, 1.0])
def test_every_chip_gives_its_tile(chips: Path, tmp_path: Path, edge_share: float) -> None:
    manifest = build(small_config(edge_share=edge_share), [str(chips)], tmp_path / "yolo", processes=1)
    assert [len(source["tiles"]) for source in manifest["sources"]] == [1] * len(STEMS)
    assert manifest["faults"] == 0
    counts = manifest["counts"]
    assert counts["train"]["railcar"] + counts["val"]["railcar"] >= len(STEMS) // 2


def test_what_holds_no_data_is_listed(chips: Path, tmp_path: Path) -> None:
    blank(chips, "yard3")
    manifest = build(small_config(), [str(chips)], tmp_path / "yolo", processes=1)
    assert sum(len(source["tiles"]) for source in manifest["sources"]) == len(STEMS) - 1
    assert faults_in(tmp_path / "yolo") == {
        "yard3.tif": "gives no tile: less than 30% of any holds data (tiles.min_valid)"
    }
    again = build(small_config(), [str(chips)], tmp_path / "yolo", processes=1)
    assert again == manifest


def test_what_is_mostly_ignored_is_listed(chips: Path, tmp_path: Path) -> None:
    annotate(chips, "yard3", feature([0, 0, 32, 0, 32, 32, 0, 32], ignore=True))
    build(small_config(), [str(chips)], tmp_path / "yolo", processes=1)
    assert faults_in(tmp_path / "yolo") == {"yard3.tif": "gives no tile: its area is mostly to be ignored"}


@pytest.mark.parametrize("empty", ["train", "val"])
def test_a_split_without_tiles_is_an_error_and_no_data_set(chips: Path, tmp_path: Path, empty: str) -> None:
    out, split = tmp_path / "yolo", tmp_path / "split.csv"
    other = "val" if empty == "train" else "train"
    split.write_text("facility,split\n" + "".join(f"{stem},{empty if stem == 'yard3' else other}\n" for stem in STEMS))
    build(small_config(), [str(chips)], out, processes=1, split=split)
    blank(chips, "yard3")
    with pytest.raises(UsageError, match=rf"no tile for {empty}\. 1 scenes give none.*yard3\.tif.*--split"):
        build(small_config(), [str(chips)], out, processes=1, split=split)
    assert list(faults_in(out)) == ["yard3.tif"]
    assert not (out / "manifest.json").exists()
    assert not (out / "data.yaml").exists()


@pytest.mark.parametrize(
    ("shape", "share"), [((64, 64), 1.0), ((500, 64), 1.0), ((32, 64), 0.5), ((32, 16), 0.125), ((1000, 32), 0.5)]
)
def test_the_room_that_a_picture_fills(shape: tuple[int, int], share: float) -> None:
    assert room_share(small_config(), shape) == pytest.approx(share)


def test_a_drawn_edge_loses_no_picture_of_one_tile(tmp_path: Path) -> None:
    """Of each tile 40 % hold data: more than `min_valid`, and less than that beside most edges that are drawn."""
    stems = STEMS[:6]
    for stem in stems:
        write_scene(tmp_path / "scenes", stem, edge_px=TILE_PX)
        with rasterio.open(tmp_path / "scenes" / f"{stem}.tif", "r+") as file:
            pixels = file.read()
            pixels[:, :, 26:] = 0
            file.nodata = 0
            file.write(pixels)
    manifest = build(small_config(edge_share=1.0), [str(tmp_path / "scenes")], tmp_path / "yolo", processes=1)
    assert [len(source["tiles"]) for source in manifest["sources"]] == [1] * len(stems)


def test_larger_pictures_are_judged_by_the_whole_tile(tmp_path: Path) -> None:
    """A tile of 64 px of which the picture shows a fifth is left out, though all of its neighbours are used."""
    for stem in STEMS[:4]:
        write_scene(tmp_path / "scenes", stem, edge_px=2 * TILE_PX)
        with rasterio.open(tmp_path / "scenes" / f"{stem}.tif", "r+") as file:
            pixels = file.read()
            pixels[:, :, :50] = 0
            file.nodata = 0
            file.write(pixels)
    manifest = build(small_config(edge_share=0.0), [str(tmp_path / "scenes")], tmp_path / "yolo", processes=1)
    columns = {int(name.split("_")[-2]) for source in manifest["sources"] for name in source["tiles"]}
    assert 0 not in columns
    assert np.array(list(columns)).min() > 0
