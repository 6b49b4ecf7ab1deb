"""Reading at the model's GSD, whatever the window, cut, depth and grid; validity, stretch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject
from shapely.geometry import Polygon, box
from shapely.geometry.base import BaseGeometry

from detector.pixels.georef import lonlat_to_scene_px, scene_px_to_lonlat
from detector.pixels.scenefiles import OPEN_FILES, SceneFiles
from detector.pixels.stretch import PERCENTILES, SAMPLE_PX, sample_windows, stretch_limits, stretch_of
from detector.raster import PAD, SceneReader
from detector.scene import Scene
from detector.scenes import find_scenes
from tests.detector.imagery import picture, utm_grid, write_image

NAME = "yard_20231005.tif"
Read = tuple[NDArray[np.uint8], NDArray[np.bool_]]


def scene_in(folder: Path) -> Scene:
    survey = find_scenes([folder])
    assert survey.rejected == ()
    (scene,) = survey.scenes
    return scene


def read_all(scene: Scene, gsd_model_m: float = 0.30) -> Read:
    with SceneReader(scene, gsd_model_m) as reader:
        height, width = reader.shape_model
        return reader.read(0, 0, width, height)


@contextmanager
def reader_of(folder: Path, values: NDArray[Any] | None = None, **options: object) -> Iterator[SceneReader]:
    write_image(folder / NAME, values, **options)  # type: ignore[arg-type]
    with SceneReader(scene_in(folder)) as reader:
        yield reader


@pytest.fixture(scope="module", params=[0.2, 0.3, 0.41, 0.75])
def ready(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, Read]:
    folder = tmp_path_factory.mktemp("scene")
    mask = np.ones((150, 170), dtype=bool)
    mask[40:70, 100:] = False
    write_image(folder / NAME, picture(150, 170), transform=utm_grid(request.param, 15), mask=mask)
    scene = scene_in(folder)
    return scene, read_all(scene)


@settings(max_examples=40, deadline=None)
@given(x0=st.integers(-80, 120), y0=st.integers(-80, 120), w=st.integers(1, 150), h=st.integers(1, 150))
def test_a_pixel_does_not_depend_on_its_window(ready: tuple[Scene, Read], x0: int, y0: int, w: int, h: int) -> None:
    scene, (whole, whole_valid) = ready
    with SceneReader(scene) as reader:
        image, valid = reader.read(x0, y0, w, h)
        height, width = reader.shape_model
    assert image.shape == (h, w, 3)
    assert image.dtype == np.uint8
    ys, xs = np.arange(y0, y0 + h), np.arange(x0, x0 + w)
    inside = np.ix_((ys >= 0) & (ys < height), (xs >= 0) & (xs < width))
    there = np.ix_(ys[(ys >= 0) & (ys < height)], xs[(xs >= 0) & (xs < width)])
    assert np.abs(image[inside].astype(int) - whole[there].astype(int)).max(initial=0) <= 1
    expected = np.zeros((h, w), dtype=bool)
    expected[inside] = whole_valid[there]
    np.testing.assert_array_equal(valid, expected)
    assert (image[~valid] == PAD).all()


def test_at_the_models_gsd_pixels_pass_through(tmp_path: Path) -> None:
    values = picture()
    with reader_of(tmp_path, values) as reader:
        scene = reader.scene
        image, valid = read_all(scene, gsd_model_m=scene.gsd_m)
    assert valid.all()
    np.testing.assert_array_equal(image, np.rint(np.moveaxis(stretch_of(scene).grey(values), 0, -1)))


def test_the_model_grid_lies_where_it_says(tmp_path: Path) -> None:
    """A linear ramp, resampled, is the same ramp at the centres of the model pixels, at any GSD."""
    for gsd_m in (0.2, 0.33, 0.6):
        ramp = np.tile(np.linspace(0, 60000, 300), (60, 1)).astype(np.uint16)[None]
        with reader_of(tmp_path, ramp, transform=utm_grid(gsd_m)) as reader:
            scene, (height, width) = reader.scene, reader.shape_model
            image, _ = reader.read(0, 0, width, height)
        assert width == pytest.approx(300 * scene.gsd_x_m / 0.3, abs=1)
        at_px = (np.arange(width) + 0.5) * 0.3 / scene.gsd_x_m - 0.5
        stretch = stretch_of(scene)
        expected = 255 * (np.interp(at_px, np.arange(300), ramp[0, 0]) - stretch.lo) / (stretch.hi - stretch.lo)
        inner = slice(10, width - 10)
        assert np.abs(image[height // 2, inner, 0] - expected[inner]).max() < 1.5


@pytest.mark.parametrize(("dtype", "factor"), [("uint16", 257), ("uint16", 8), ("int16", 100), ("float32", 0.01)])
def test_bit_depth_does_not_change_the_picture(tmp_path: Path, dtype: str, factor: float) -> None:
    values = picture()
    with reader_of(tmp_path, values) as reader:
        eight = read_all(reader.scene)[0]
    with reader_of(tmp_path, (values.astype(np.float64) * factor).astype(dtype)) as reader:
        other = read_all(reader.scene)[0]
    assert np.abs(eight.astype(int) - other.astype(int)).max() <= 1


@pytest.mark.parametrize("size", [(80, 100), (90, 1100)])
def test_a_scene_cut_in_four_reads_as_whole(tmp_path: Path, size: tuple[int, int]) -> None:
    values, t = picture(*size), utm_grid(0.4, 30)
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    write_image(tmp_path / "whole" / NAME, values, transform=t)
    rows, columns = (0, 30, size[0]), (0, 60, size[1])
    for i in (0, 1):
        for j in (0, 1):
            part = values[:, rows[i] : rows[i + 1], columns[j] : columns[j + 1]]
            origin = t @ Affine.translation(columns[j], rows[i])
            write_image(tmp_path / "cut" / f"yard_20231005_{i}{j}.tif", part, transform=origin)
    whole, cut = scene_in(tmp_path / "whole"), scene_in(tmp_path / "cut")
    assert len(cut.paths) == 4
    assert stretch_of(whole) == stretch_of(cut)
    image, valid = read_all(whole)
    other, other_valid = read_all(cut)
    np.testing.assert_array_equal(valid, other_valid)
    np.testing.assert_array_equal(image, other)
    with SceneReader(cut) as reader:
        assert reader.valid_geometry().symmetric_difference(_frame(cut)).area == 0


def test_a_scene_of_many_files_keeps_few_open(tmp_path: Path) -> None:
    values, t = picture(60, 60, 1), utm_grid()
    for y in range(0, 60, 12):
        for x in range(0, 60, 12):
            piece = values[:, y : y + 12, x : x + 12]
            write_image(tmp_path / f"p{y}_{x}_20231005.tif", piece, transform=t @ Affine.translation(x, y))
    scene = scene_in(tmp_path)
    assert len(scene.paths) == 25 > OPEN_FILES
    with SceneFiles(scene) as files:
        read, valid = files.read(-1, 0, 62, 60)
    np.testing.assert_array_equal(read[:, :, 1:61], values)
    assert valid[:, 1:61].all()
    assert not valid[:, [0, 61]].any()


def _frame(scene: Scene) -> BaseGeometry:
    return box(0, 0, scene.width, scene.height)


@pytest.mark.parametrize(
    ("crs", "transform", "size"),
    [
        ("EPSG:32652", utm_grid(0.3, 30, (500_020.0, 4_500_000.0)), (200, 240)),
        ("EPSG:32652", utm_grid(0.5), (96, 120)),
        ("EPSG:4326", Affine(3.5e-6, 0, 129.0, 0, -2.7e-6, 40.65003), (180, 210)),
        ("EPSG:3857", Affine(0.4, 0, 0, 0, -0.4, 0), (160, 200)),
    ],
)
def test_the_ground_looks_the_same_on_another_grid(
    tmp_path: Path, crs: str, transform: Affine, size: tuple[int, int]
) -> None:
    """The value at a place on the ground is the same, up to resampling, whatever grid it came on."""
    values = picture(160, 200, 1)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write_image(tmp_path / "a" / NAME, values)
    utm = scene_in(tmp_path / "a")
    if crs == "EPSG:3857":
        x, y = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(*scene_px_to_lonlat(utm, np.zeros(2)))
        transform = Affine(0.4, 0, x, 0, -0.4, y)
    if crs == "EPSG:4326":
        lon, lat = scene_px_to_lonlat(utm, np.zeros(2))
        transform = Affine(3.5e-6, 0, lon, 0, -2.7e-6, lat)
    moved = np.zeros((1, *size), dtype=np.uint8)
    reproject(
        values,
        moved,
        src_transform=utm.transform,
        src_crs=utm.crs,
        dst_transform=transform,
        dst_crs=crs,
        resampling=Resampling.cubic,
        dst_nodata=0,
    )
    write_image(tmp_path / "b" / NAME, moved, crs=crs, transform=transform, nodata=0)
    other = scene_in(tmp_path / "b")
    image, valid = read_all(utm)
    other_image, other_valid = read_all(other)
    height, width = other_valid.shape
    to_px = np.array([0.3 / other.gsd_x_m, 0.3 / other.gsd_y_m])
    centres = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    ground = lonlat_to_scene_px(utm, scene_px_to_lonlat(other, centres * to_px))
    there = np.floor(ground * [utm.gsd_x_m / 0.3, utm.gsd_y_m / 0.3]).astype(int)
    inside = other_valid & (there >= 4).all(axis=-1) & (there < np.array([196, 156])).all(axis=-1)
    assert inside.mean() > 0.2
    one = other_image[inside][:, 0].astype(float)
    two = image[there[inside][:, 1], there[inside][:, 0], 0].astype(float)
    assert valid.all()
    assert np.corrcoef(one, two)[0, 1] > 0.98


def test_downsampling_does_not_alias(tmp_path: Path) -> None:
    """Stripes finer than the model's pixels become grey, not moire."""
    stripes = np.tile(np.array([20, 220], dtype=np.uint8), (3, 120, 60))
    with reader_of(tmp_path, stripes, transform=utm_grid(0.2)) as reader:
        image, _ = reader.read(10, 10, 50, 50)
    assert image.std() < 45  # the stripes themselves have 127
    assert image.mean() == pytest.approx(127.5, abs=3)


def test_pan_is_repeated(tmp_path: Path) -> None:
    with reader_of(tmp_path, picture(bands=1)) as reader:
        image, _ = reader.read(0, 0, 50, 50)
    assert (image == image[..., :1]).all()


def hole() -> NDArray[np.bool_]:
    valid = np.ones((80, 100), dtype=bool)
    valid[20:50, 30:70] = False
    return valid


def punch(values: NDArray[Any], with_value: float) -> NDArray[Any]:
    return np.where(hole(), values, with_value).astype(values.dtype)


def test_every_kind_of_mask_is_seen(tmp_path: Path) -> None:
    values, wide = picture(), picture().astype(np.uint16)
    rgba = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    alpha = np.concatenate([values, np.where(hole(), 255, 0)[None]]).astype(np.uint8)
    cases: list[tuple[NDArray[Any], dict[str, Any]]] = [
        (punch(values, 0), {"nodata": 0}),
        (punch(values, 255), {"nodata": 255}),
        (punch(wide, 65535), {"nodata": 65535}),
        (values, {"mask": hole()}),
        (alpha, {"colours": rgba}),
        (punch(values.astype(np.float32), np.nan), {}),
        (punch(values.astype(np.float32), np.nan), {"nodata": float("nan")}),
        (punch(values.astype(np.float32), -9999), {"nodata": -9999}),
    ]
    for pixels, options in cases:
        with reader_of(tmp_path, pixels, **options) as reader:
            image, valid = read_all(reader.scene, reader.scene.gsd_m)
            area = reader.valid_geometry()
        np.testing.assert_array_equal(valid, hole(), err_msg=str(options))
        assert (image[~valid] == PAD).all()
        assert image[valid].std() > 20
        assert area.area == pytest.approx(hole().sum(), rel=0.01)
        assert not area.contains(area.envelope.centroid)


def test_dark_pixels_are_no_holes(tmp_path: Path) -> None:
    """Where nodata is 0, shadows of a few black pixels are picture; one black band of three is, too."""
    values = punch(picture(), 0)
    values[:, 70:73, 10:14] = 0
    values[0, 5, 60:90] = 0
    with reader_of(tmp_path, values, nodata=0) as reader:
        _, valid = read_all(reader.scene, reader.scene.gsd_m)
    np.testing.assert_array_equal(valid, hole())


def test_a_black_collar_without_nodata_is_no_picture(tmp_path: Path) -> None:
    values = picture(200, 200)
    column, row = np.meshgrid(np.arange(200), np.arange(200))
    inside = column + row > 120
    with reader_of(tmp_path, np.where(inside, values, 0).astype(np.uint8)) as reader:
        image, valid = read_all(reader.scene, reader.scene.gsd_m)
        area = reader.valid_geometry().area
    assert (valid != inside).mean() < 0.005
    assert area == pytest.approx(inside.sum(), rel=0.01)
    assert image[valid].mean() > 100
    inner = values.copy()
    inner[:, 80:120, 80:120] = 0  # a black roof is picture
    with reader_of(tmp_path, inner) as reader:
        assert read_all(reader.scene)[1].all()


def test_valid_geometry_is_the_exact_rectangle(tmp_path: Path) -> None:
    for options in ({}, {"nodata": 0}, {"mask": np.ones((80, 100), dtype=bool)}):
        with reader_of(tmp_path, **options) as reader:
            assert reader.valid_geometry().symmetric_difference(_frame(reader.scene)).area == 0


def test_a_large_mask_is_decimated(tmp_path: Path) -> None:
    values = np.full((1, 300, 5000), 100, dtype=np.uint8)
    values[:, :, 4000:] = 0
    values[:, ::7, :4000] = 180
    with reader_of(tmp_path, values, nodata=0) as reader:
        area = reader.valid_geometry()
    assert area.area == pytest.approx(300 * 4000, rel=0.002)
    assert len(area.exterior.coords) < 20


def test_valid_geometry_within_a_part(tmp_path: Path) -> None:
    with reader_of(tmp_path, punch(picture(), 0), nodata=0) as reader:
        whole, part = reader.valid_geometry(), reader.valid_geometry(box(-50, 10.5, 50, 60.2))
        assert reader.valid_geometry(box(200, 200, 300, 300)).is_empty
        assert reader.valid_geometry(Polygon()).is_empty
    assert part.symmetric_difference(whole.intersection(box(0, 10, 50, 61))).area == 0


def test_outside_the_scene_is_padding(tmp_path: Path) -> None:
    with reader_of(tmp_path) as reader:
        image, valid = reader.read(-500, 2000, 30, 20)
    assert (image == PAD).all()
    assert not valid.any()


def test_constant_scenes_are_grey(tmp_path: Path) -> None:
    with reader_of(tmp_path, np.full((3, 40, 40), 77, dtype=np.uint8)) as reader:
        image, valid = reader.read(0, 0, 30, 30)
    assert valid.all()
    assert set(np.unique(image)) <= {127, 128}


@given(
    values=st.lists(st.integers(0, 255), min_size=2, max_size=60).filter(lambda v: len(set(v)) > 1),
    gain=st.floats(0.01, 300),
    bias=st.floats(-1000, 1000),
)
def test_the_stretch_follows_gain_and_bias(values: list[int], gain: float, bias: float) -> None:
    lo, hi = stretch_limits(np.array(values))
    moved_lo, moved_hi = stretch_limits(gain * np.array(values) + bias)
    assert moved_lo == pytest.approx(gain * lo + bias, abs=1e-6)
    assert moved_hi == pytest.approx(gain * hi + bias, abs=1e-6)
    assert hi > lo


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_limits_of_whole_numbers_are_their_percentiles(dtype: str) -> None:
    ends = np.iinfo(dtype)
    values = np.random.default_rng(0).integers(ends.min, ends.max, (3, 50_001), dtype=dtype, endpoint=True)
    assert stretch_limits(values) == pytest.approx(tuple(np.percentile(values, PERCENTILES)), abs=1e-6)


@given(width=st.integers(1, 40_000), height=st.integers(1, 40_000))
def test_samples_are_bounded_and_inside(width: int, height: int) -> None:
    windows = np.array(sample_windows(width, height))
    x, y, w, h = windows.T
    assert (x >= 0).all()
    assert (y >= 0).all()
    assert (x + w).max() == width
    assert (y + h).max() == height
    assert (w * h).sum() == min(width, SAMPLE_PX) * min(height, SAMPLE_PX)


@pytest.mark.parametrize(("edge_px", "blocks"), [(2048, 4), (4096, 16), (8192, 64), (40_960, 64)])
def test_samples_need_few_blocks_of_a_file(edge_px: int, blocks: int) -> None:
    needed = {
        (column, row)
        for x, y, w, h in sample_windows(edge_px, edge_px)
        for column in range(x // 512, (x + w - 1) // 512 + 1)
        for row in range(y // 512, (y + h - 1) // 512 + 1)
    }
    assert len(needed) == blocks
