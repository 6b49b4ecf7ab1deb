"""Backgrounds: plain pictures as they are, others as scenes, and no tile of what holds no data."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import Affine, from_origin
from scipy.ndimage import gaussian_filter

from detector.pixels.rasterfile import unplaced
from training.backgrounds import Backgrounds, at_gsd, background_tiles, is_plain
from training.formats import Fault

SIZE = 32
UTM = "EPSG:32652"
Pixels = NDArray[np.uint8]


def ground(height: int = 128, width: int = 128) -> NDArray[np.float64]:
    """Smooth ground (H, W) of values 0 to 1."""
    rough = gaussian_filter(np.random.default_rng(4).normal(size=(height, width)), 3)
    return (rough - rough.min()) / np.ptp(rough)


def geotiff(path: Path, bands: NDArray[Any], gsd_m: float | None = 0.30, **more: object) -> Path:
    """A GeoTIFF of bands (B, H, W); without georeference where no GSD is given."""
    count, height, width = bands.shape
    place = {} if gsd_m is None else {"crs": UTM, "transform": from_origin(500000, 4600000, gsd_m, gsd_m)}
    profile = {"width": width, "height": height, "count": count, "dtype": bands.dtype, **place, **more}
    with unplaced(), rasterio.open(path, "w", driver="GTiff", **profile) as file:
        file.write(bands)
    return path


def tiles_of(path: Path, stated_gsd_m: float = 0.30) -> tuple[list[Pixels], list[Fault]]:
    """The tiles of one picture at 0.30 m, and what is wrong with it."""
    faults: list[Fault] = []
    batch = Backgrounds((path,), stated_gsd_m, "train")
    return list(background_tiles(batch, 0.30, SIZE, faults)), faults


def eight_bit(values: NDArray[np.float64], bands: int = 3) -> Pixels:
    return np.stack([(20 + 200 * values).astype(np.uint8)] * bands)


def assert_shows(tile: Pixels, bands: Pixels) -> None:
    """The tile shows what the bands do, perhaps in other contrast."""
    assert np.corrcoef(tile[..., 0].ravel(), bands[0].ravel())[0, 1] > 0.99


def striped(every: int) -> Pixels:
    """Ground with four blank columns in as many as stated."""
    bands = eight_bit(ground())
    for column in range(4):
        bands[:, :, column::every] = 255
    return bands


class TestPlain:
    @pytest.mark.parametrize("name", ["photo.jpg", "photo.png"])
    def test_pictures_are_as_they_were(self, tmp_path: Path, name: str) -> None:
        Image.fromarray(np.moveaxis(eight_bit(ground()), 0, 2)).save(tmp_path / name)
        assert is_plain(tmp_path / name)
        with Image.open(tmp_path / name) as picture:
            whole = np.asarray(picture.convert("RGB"))
        tiles, faults = tiles_of(tmp_path / name)
        assert faults == []
        assert len(tiles) == 16
        assert np.array_equal(np.concatenate(tiles[:4], axis=1), whole[:SIZE])

    @pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA"])
    def test_other_modes_of_8_bit_without_blank_pixels_are_plain_too(self, tmp_path: Path, mode: str) -> None:
        path = tmp_path / "photo.png"
        Image.fromarray(np.moveaxis(eight_bit(ground()), 0, 2)).convert(mode).save(path)
        assert is_plain(path)
        assert len(tiles_of(path)[0]) == 16

    def test_a_tiff_without_place_is_taken_at_the_stated_gsd(self, tmp_path: Path) -> None:
        path = geotiff(tmp_path / "photo.tif", eight_bit(ground()), None, photometric="RGB")
        assert is_plain(path)
        assert at_gsd(path, 0.60, 0.30).shape == (256, 256, 3)
        assert len(tiles_of(path, 0.60)[0]) == 64

    def test_what_cannot_be_read_is_a_fault(self, tmp_path: Path) -> None:
        path = tmp_path / "photo.png"
        Image.fromarray(np.moveaxis(eight_bit(ground()), 0, 2)).save(path)
        path.write_bytes(path.read_bytes()[:400])
        tiles, faults = tiles_of(path)
        assert tiles == []
        assert "cannot be read" in faults[0].reason


class TestScenes:
    @pytest.mark.parametrize("gsd_m", [0.30, None])
    @pytest.mark.parametrize("bands", [1, 3])
    def test_16_bit_is_stretched(self, tmp_path: Path, gsd_m: float | None, bands: int) -> None:
        values = np.stack([(300 + 1700 * ground()).astype(np.uint16)] * bands)
        tiles, faults = tiles_of(geotiff(tmp_path / "pan.tif", values, gsd_m))
        assert faults == []
        assert len(tiles) == 16
        levels = np.stack(tiles)
        assert 80 < levels.mean() < 170
        assert levels.std() > 30

    def test_a_png_of_16_bit_is_stretched(self, tmp_path: Path) -> None:
        Image.fromarray((300 + 1700 * ground()).astype(np.uint16)).save(tmp_path / "pan.png")
        tiles, _ = tiles_of(tmp_path / "pan.png")
        assert np.stack(tiles).std() > 30

    def test_the_gsd_is_that_of_the_georeference(self, tmp_path: Path) -> None:
        tiles, faults = tiles_of(geotiff(tmp_path / "a.tif", eight_bit(ground()), 0.60), stated_gsd_m=0.30)
        assert faults == []
        assert len(tiles) == 64

    def test_a_world_file_and_a_prj_place_a_picture(self, tmp_path: Path) -> None:
        Image.fromarray(np.moveaxis(eight_bit(ground()), 0, 2)).save(tmp_path / "photo.jpg")
        (tmp_path / "photo.jgw").write_text("0.6\n0\n0\n-0.6\n500000\n4600000\n")
        assert len(tiles_of(tmp_path / "photo.jpg")[0]) == 16
        (tmp_path / "photo.prj").write_text(rasterio.CRS.from_string(UTM).to_wkt(version="WKT1_ESRI"))
        assert len(tiles_of(tmp_path / "photo.jpg")[0]) == 64

    def test_another_georeference_makes_another_batch(self, tmp_path: Path) -> None:
        path = geotiff(tmp_path / "a.tif", eight_bit(ground()), 0.60)
        batch = Backgrounds((path,), 0.30, "train")
        before, content = batch.digest(), path.read_bytes()
        assert batch.digest() == before
        with rasterio.open(path, "r+") as file:
            file.transform = Affine(0.5, 0, 500000, 0, -0.5, 4600000)
        assert path.read_bytes() != content
        assert batch.digest() != before

    def test_a_gsd_that_cannot_be_used_is_a_fault(self, tmp_path: Path) -> None:
        tiles, faults = tiles_of(geotiff(tmp_path / "a.tif", eight_bit(ground()), 10.0))
        assert tiles == []
        assert "GSD 10 m is outside" in faults[0].reason


class TestNoData:
    @pytest.mark.parametrize("gsd_m", [0.30, None])
    def test_is_never_ground(self, tmp_path: Path, gsd_m: float | None) -> None:
        bands = eight_bit(ground())
        bands[:, :, :70] = 0
        tiles, faults = tiles_of(geotiff(tmp_path / "a.tif", bands, gsd_m, nodata=0))
        assert faults == []
        assert len(tiles) == 4  # the last of four columns: the third has 6 blank pixels a row
        assert not any((tile == 0).all(axis=2).mean() > 0.05 for tile in tiles)

    def test_transparent_parts_are_left_out(self, tmp_path: Path) -> None:
        alpha = np.full((128, 128), 255, np.uint8)
        alpha[:64] = 0
        Image.fromarray(np.dstack([*eight_bit(ground()), alpha])).save(tmp_path / "cut.png")
        assert len(tiles_of(tmp_path / "cut.png")[0]) == 8

    def test_a_small_picture_gives_its_largest_square_with_data(self, tmp_path: Path) -> None:
        bands = eight_bit(ground(30, 30))
        bands[:, :, :9] = 0
        tiles, faults = tiles_of(geotiff(tmp_path / "a.tif", bands, nodata=0))
        assert faults == []
        assert [tile.shape for tile in tiles] == [(SIZE, SIZE, 3)]
        assert (tiles[0] == 114).all(axis=2).mean() < 0.05

    def test_a_small_picture_with_too_little_left_is_a_fault(self, tmp_path: Path) -> None:
        bands = eight_bit(ground(30, 30))
        bands[:, :, :20] = 0
        tiles, faults = tiles_of(geotiff(tmp_path / "a.tif", bands, nodata=0))
        assert tiles == []
        assert "too little of it holds data" in faults[0].reason

    def test_a_blank_margin_is_cut_off(self, tmp_path: Path) -> None:
        """Of 5 blank pixels on each side, a grid from the corner would lose every tile."""
        bands = eight_bit(ground(74, 74))
        bands[:, :5] = bands[:, -5:] = bands[:, :, :5] = bands[:, :, -5:] = 0
        tiles, faults = tiles_of(geotiff(tmp_path / "a.tif", bands, nodata=0))
        assert faults == []
        assert len(tiles) == 4
        assert_shows(tiles[0], bands[:, 5:37, 5:37])

    def test_a_large_picture_without_a_whole_tile_gives_its_largest_square(self, tmp_path: Path) -> None:
        tiles, faults = tiles_of(geotiff(tmp_path / "a.tif", striped(every=SIZE), nodata=255))
        assert faults == []
        assert [tile.shape for tile in tiles] == [(SIZE, SIZE, 3)]
        assert (tiles[0] == 114).all(axis=2).mean() < 0.05

    def test_a_whole_square_off_the_grid_is_cut(self, tmp_path: Path) -> None:
        bands = eight_bit(ground(66, 66))
        bands[:, ::7, :16] = bands[:, ::7, 50:] = bands[:, :16, ::7] = bands[:, 50:, ::7] = 255
        tiles, faults = tiles_of(geotiff(tmp_path / "a.tif", bands, nodata=255))
        assert faults == []
        assert_shows(tiles[0], bands[:, 16:48, 16:48])

    def test_a_large_picture_with_too_little_left_is_a_fault(self, tmp_path: Path) -> None:
        tiles, faults = tiles_of(geotiff(tmp_path / "a.tif", striped(every=14), nodata=255))
        assert tiles == []
        assert "too little of it holds data" in faults[0].reason

    def test_a_picture_without_any_is_a_fault(self, tmp_path: Path) -> None:
        tiles, faults = tiles_of(geotiff(tmp_path / "a.tif", np.zeros_like(eight_bit(ground())), nodata=0))
        assert tiles == []
        assert "every pixel is nodata" in faults[0].reason
