"""Clouds told by a mask: found, placed on the image, left out of what is seen."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.transform import Affine
from shapely.geometry import Polygon, box

from detector.facilities import Facility
from detector.inputs.masks import cloud_mask, mask_bands
from detector.listing import covered_shares, scene_table
from detector.pixels.cloudmask import FileGrid, MaskReader
from detector.pixels.georef import scene_px_to_lonlat
from detector.raster import PAD, SceneReader
from detector.scene import CloudMask, Scene
from detector.scenes import find_scenes
from tests.detector.imagery import UTM, picture, utm_grid, write_image

NAME = "yard_20231005.tif"
HEIGHT, WIDTH = 80, 120
SITE = 'LOCAL_CS["site grid",UNIT["metre",1]]'
CLOUD = np.s_[20:60, 30:90]


def sky(hidden: int = 1, clear: int = 0, step: int = 1) -> NDArray[np.uint8]:
    """A mask (1, h, w), a pixel of which is `step` pixels of the image wide."""
    values = np.full((1, HEIGHT // step, WIDTH // step), clear, dtype=np.uint8)
    values[0, 20 // step : 60 // step, 30 // step : 90 // step] = hidden
    return values


def udm2(**hidden: int) -> NDArray[np.uint8]:
    """Planet's eight bands, clear but for what is given: band number (b6=1) and its value under the cloud."""
    values = np.zeros((8, HEIGHT, WIDTH), dtype=np.uint8)
    values[0], values[6] = 1, 90
    for name, value in hidden.items():
        values[int(name[1:]) - 1, *CLOUD] = value
    return values


def only(folder: Path, manifest: Path | None = None) -> Scene:
    survey = find_scenes([folder], manifest=manifest)
    assert survey.rejected == ()
    (scene,) = survey.scenes
    return scene


def seen(scene: Scene) -> NDArray[np.bool_]:
    with SceneReader(scene) as reader:
        image, valid = reader.read(0, 0, scene.width, scene.height)
    assert (image[~valid] == PAD).all()
    return valid


def is_hidden_where_the_cloud_is(scene: Scene) -> bool:
    expected = np.ones((HEIGHT, WIDTH), dtype=bool)
    expected[CLOUD] = False
    with SceneReader(scene) as reader:
        visible = reader.valid_geometry()
    cloud = box(30, 20, 90, 60)
    return (
        bool((seen(scene) == expected).all())
        and visible.symmetric_difference(box(0, 0, WIDTH, HEIGHT).difference(cloud)).area < 8
    )


def image(folder: Path) -> Path:
    return write_image(folder / NAME, picture(HEIGHT, WIDTH))


def test_without_a_mask_everything_is_seen(tmp_path: Path) -> None:
    image(tmp_path)
    scene = only(tmp_path)
    assert scene.masks == ()
    assert seen(scene).all()


@pytest.mark.parametrize("name", ["udm", "cloudmask", "cloud-mask", "CLOUD_MASK", "clouds"])
def test_a_mask_beside_the_image(tmp_path: Path, name: str) -> None:
    path = image(tmp_path)
    bare = only(tmp_path)
    mask = write_image(tmp_path / f"{path.stem}_{name}.tif", sky(), nodata=0)
    scene = only(tmp_path)
    assert scene.masks == (CloudMask(mask.resolve(), "cloud"),)
    assert is_hidden_where_the_cloud_is(scene)
    assert scene.sha256 != bare.sha256  # another mask is another scene: nothing known of the old one is used


@pytest.mark.parametrize(
    ("bands", "is_hidden"),
    [
        ({"b6": 1}, True),  # cloud
        ({"b5": 1}, True),  # heavy haze
        ({"b8": 0b1}, True),  # not imaged
        ({"b8": 0b100}, True),  # a band is missing or suspect
        ({"b8": 0b10}, False),  # the older mask's clouds, snow among them
        ({"b1": 0, "b2": 1}, False),  # snow
        ({"b1": 0, "b3": 1}, False),  # shadow
        ({"b1": 0, "b4": 1}, False),  # light haze
    ],
)
def test_a_udm2_beside_the_image(tmp_path: Path, bands: dict[str, int], is_hidden: bool) -> None:
    path = image(tmp_path)
    write_image(tmp_path / f"{path.stem}_udm2.tif", udm2(**bands))
    scene = only(tmp_path)
    assert scene.masks[0] is not None
    assert scene.masks[0].meaning == "udm2"
    assert is_hidden_where_the_cloud_is(scene) == is_hidden
    assert seen(scene).all() != is_hidden


def test_planets_names_fit(tmp_path: Path) -> None:
    write_image(tmp_path / "20231005_023100_ssc4_u0001_visual.tif", picture(HEIGHT, WIDTH))
    write_image(tmp_path / "20231005_023100_ssc4_u0001_udm2.tif", udm2(b6=1))
    write_image(tmp_path / "20231006_023100_ssc4_u0001_udm2.tif", udm2())
    assert is_hidden_where_the_cloud_is(only(tmp_path))


@pytest.mark.parametrize(("name", "hidden", "clear"), [("cloud", 255, 0), ("Cloud mask", 1, 0), ("dataMask", 0, 1)])
def test_a_band_of_the_image(tmp_path: Path, name: str, hidden: int, clear: int) -> None:
    values = np.concatenate([picture(HEIGHT, WIDTH), sky(hidden, clear)])
    write_image(tmp_path / NAME, values, names=["red", "green", "blue", name])
    scene = only(tmp_path)
    assert scene.bands == (1, 2, 3)
    assert is_hidden_where_the_cloud_is(scene)


def test_a_mask_band_is_no_part_of_the_picture(tmp_path: Path) -> None:
    values = np.concatenate([picture(HEIGHT, WIDTH, 1), sky()])
    write_image(tmp_path / NAME, values, names=["pan", "cloud"])
    assert only(tmp_path).bands == (1,)
    assert mask_bands(["red", None, "Cloud", "clear"]) == (3, 4)


def test_a_manifest_names_the_mask(tmp_path: Path) -> None:
    image(tmp_path)
    write_image(tmp_path / "sky.tif", sky())
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"path,cloud_mask\n{NAME},sky.tif\n")
    (scene,) = find_scenes([tmp_path / NAME], manifest=manifest).scenes
    assert is_hidden_where_the_cloud_is(scene)
    manifest.write_text(f"path,cloud_mask\n{NAME},gone.tif\n")
    (fault,) = find_scenes([tmp_path / NAME], manifest=manifest).rejected
    assert "m.csv:2 names a cloud mask that does not exist (gone.tif)" in fault.reason


def test_a_mask_on_another_grid_is_placed_by_its_georeference(tmp_path: Path) -> None:
    path = image(tmp_path)
    grid = utm_grid(3.0)  # ten times as coarse, begun a pixel of its own further north-west
    coarse = np.pad(sky(step=10)[0], 1)[None]
    write_image(tmp_path / f"{path.stem}_clouds.tif", coarse, transform=grid * Affine.translation(-1, -1))
    assert is_hidden_where_the_cloud_is(only(tmp_path))


def test_what_a_mask_does_not_reach_is_not_seen(tmp_path: Path) -> None:
    path = image(tmp_path)
    write_image(tmp_path / f"{path.stem}_clouds.tif", sky(hidden=0)[:, :, :60])
    valid = seen(only(tmp_path))
    assert valid[:, :60].all()
    assert not valid[:, 60:].any()


def test_without_georeference_the_mask_covers_the_picture(tmp_path: Path) -> None:
    for folder, step in ((tmp_path / "same", 1), (tmp_path / "coarse", 10)):
        folder.mkdir()
        write_image(folder / "a_20231005.png", picture(HEIGHT, WIDTH), crs=None, driver="PNG")
        write_image(folder / "a_20231005_cloudmask.png", sky(step=step), crs=None, driver="PNG")
        manifest = folder / "m.csv"
        manifest.write_text("path,gsd_m,facility_id\na_20231005.png,0.3,a\n")
        assert is_hidden_where_the_cloud_is(only(folder, manifest))


@pytest.mark.parametrize(
    ("key", "asset"),
    [
        ("sky", {"href": "sky.tif", "type": "image/tiff", "roles": ["cloud"]}),
        ("ortho_udm2", {"href": "a_udm2.tif", "type": "image/tiff", "roles": ["data"]}),
    ],
)
def test_stac_names_the_mask(tmp_path: Path, key: str, asset: dict[str, object]) -> None:
    write_image(tmp_path / "a.tif", picture(HEIGHT, WIDTH))
    write_image(tmp_path / str(asset["href"]), udm2(b6=1) if "udm2" in key else sky())
    assets = {"data": {"href": "a.tif", "type": "image/tiff", "roles": ["data"]}, key: asset}
    item = {"type": "Feature", "stac_version": "1.0.0", "assets": assets}
    item |= {"properties": {"datetime": "2023-10-05T02:31:00Z"}}
    (tmp_path / "item.json").write_text(json.dumps(item))
    assert is_hidden_where_the_cloud_is(only(tmp_path))


def test_the_listing_names_the_mask(tmp_path: Path) -> None:
    path = image(tmp_path)
    write_image(tmp_path / f"{path.stem}_clouds.tif", sky())
    (row,) = scene_table(find_scenes([tmp_path])).to_dict("records")
    assert row["verdict"] == "ok, clouds by yard_20231005_clouds.tif"


@pytest.mark.parametrize(
    ("name", "values", "options", "words"),
    [
        ("udm2", np.zeros((4, HEIGHT, WIDTH), np.uint8), {}, "has 4 bands, a UDM2 has 8"),
        ("clouds", np.zeros((2, HEIGHT, WIDTH), np.uint8), {}, "has 2 bands, none of them named cloud or clear"),
        ("clouds", np.zeros((1, HEIGHT, WIDTH), np.float32), {}, "holds float32"),
        ("clouds", sky(), {"transform": utm_grid(0.3, origin=(600_000.0, 4_500_000.0))}, "is of another place"),
        ("clouds", sky(), {"crs": SITE}, "gives no place on the Earth"),
        ("clouds", sky(step=10), {"crs": None}, "has 12 x 8 pixels and no place of its own"),
    ],
)
def test_a_mask_that_does_not_fit_rejects_its_image(
    tmp_path: Path, name: str, values: NDArray[np.uint8], options: dict[str, str], words: str
) -> None:
    path = image(tmp_path)
    write_image(tmp_path / f"{path.stem}_{name}.tif", values, **options)  # type: ignore[arg-type]
    survey = find_scenes([tmp_path])
    assert survey.scenes == ()
    (fault,) = survey.rejected
    assert fault.path == path.resolve()
    assert words in fault.reason
    assert fault.cure


def test_a_damaged_mask_rejects_its_image(tmp_path: Path) -> None:
    path = image(tmp_path)
    (tmp_path / f"{path.stem}_clouds.tif").write_bytes(b"not a raster")
    (fault,) = find_scenes([tmp_path]).rejected
    assert "cannot be read" in fault.reason


def test_the_visible_share_of_a_facility_leaves_clouds_out(tmp_path: Path) -> None:
    path = image(tmp_path)
    write_image(tmp_path / f"{path.stem}_clouds.tif", sky())
    scene = only(tmp_path)
    outline = Polygon(scene_px_to_lonlat(scene, np.asarray(box(30, 0, 90, 80).exterior.coords)))
    shares = covered_shares(scene, [Facility("a", "a", outline, 1.0)])
    assert shares["a"] == pytest.approx(0.5, abs=0.01)


def test_pieces_of_a_scene_keep_their_masks(tmp_path: Path) -> None:
    values = picture(HEIGHT, WIDTH)
    for i, columns in enumerate((np.s_[:, :, :60], np.s_[:, :, 60:])):
        grid = utm_grid() * Affine.translation(60 * i, 0)
        write_image(tmp_path / f"yard_20231005_r0c{i}.tif", values[columns], transform=grid)
        write_image(tmp_path / f"yard_20231005_r0c{i}_clouds.tif", sky()[columns], transform=grid)
    assert is_hidden_where_the_cloud_is(only(tmp_path))


@pytest.fixture(scope="module")
def speckled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MaskReader]:
    rng = np.random.default_rng(0)
    values = (np.kron(rng.random((8, 12)), np.ones((10, 10))) > 0.7).astype(np.uint8)
    values[rng.integers(0, HEIGHT, 60), rng.integers(0, WIDTH, 60)] = 1
    path = write_image(tmp_path_factory.mktemp("sky") / "sky.tif", values[None])
    with MaskReader(CloudMask(path, "cloud"), FileGrid(UTM, utm_grid(), WIDTH, HEIGHT)) as reader:
        yield reader


@settings(max_examples=60, deadline=None)
@given(x=st.integers(0, WIDTH - 1), y=st.integers(0, HEIGHT - 1), w=st.integers(1, 60), h=st.integers(1, 60))
def test_a_pixel_does_not_depend_on_its_window(speckled: MaskReader, x: int, y: int, w: int, h: int) -> None:
    w, h = min(w, WIDTH - x), min(h, HEIGHT - y)
    whole = speckled.seen(0, 0, WIDTH, HEIGHT)
    assert (speckled.seen(x, y, w, h) == whole[y : y + h, x : x + w]).all()


def test_specks_are_no_clouds(tmp_path: Path) -> None:
    values = sky()
    values[0, 70:73, 5:9] = 1
    path = image(tmp_path)
    write_image(tmp_path / f"{path.stem}_clouds.tif", values)
    assert is_hidden_where_the_cloud_is(only(tmp_path))


def test_the_nearest_name_wins(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a_20231005_visual.tif")
    assert cloud_mask(path, [None] * 3) is None
    write_image(tmp_path / "a_20231005_clouds.tif", sky())
    write_image(tmp_path / "a_20231005_visual_clouds.tif", sky())
    write_image(tmp_path / "a_20231005_visual_2_clouds.tif", sky())
    found = cloud_mask(path, [None] * 3)
    assert found is not None
    assert found.path.name == "a_20231005_visual_clouds.tif"
