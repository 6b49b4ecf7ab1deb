"""Finding scenes: files, bands, time, GSD, joining, and the table that `railcars scenes` prints."""

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.enums import ColorInterp
from rasterio.shutil import copy as copy_raster
from rasterio.transform import Affine

from detector.errors import UsageError
from detector.facilities import Facility
from detector.inputs.acquisition import parse_time, times_in_name
from detector.inputs.bands import BandsUnclear, choose_bands
from detector.listing import scene_table
from detector.scenes import Scene, Survey, find_scenes
from tests.detector.imagery import cut_in_four, picture, utm_grid, write_image

NAME = "yard_20231005.tif"


def only_scene(survey: Survey) -> Scene:
    assert survey.rejected == ()
    assert len(survey.scenes) == 1
    return survey.scenes[0]


def scene_of(path: Path, **options: object) -> Scene:
    return only_scene(find_scenes([path], **options))  # type: ignore[arg-type]


def test_a_geotiff_is_described_in_full(tmp_path: Path) -> None:
    path = write_image(tmp_path / NAME, tags={"TIFFTAG_DATETIME": "2023:10:05 02:30:00"})
    scene = scene_of(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert scene.scene_id == f"yard_20231005-{digest[:8]}"
    assert scene.sha256 == digest
    assert scene.paths == (path.resolve(),)
    assert (scene.width, scene.height, scene.bands, scene.n_bands, scene.dtype) == (
        100,
        80,
        (1, 2, 3),
        3,
        "uint8",
    )
    assert scene.acquired == datetime(2023, 10, 5, 2, 30, tzinfo=UTC)
    assert scene.acquired_source == "tag"
    assert scene.gsd_m == pytest.approx(0.30, rel=1e-3)
    assert scene.size_bytes == path.stat().st_size


@pytest.mark.parametrize(
    ("crs", "transform", "gsd_x_m", "gsd_y_m"),
    [
        ("EPSG:32652", utm_grid(0.3), 0.3001, 0.3001),  # 0.9996 on the central meridian
        ("EPSG:32652", utm_grid(0.3, 30), 0.3001, 0.3001),
        ("EPSG:3857", Affine(0.4, 0, 1.44e7, 0, -0.4, 5.2e6), 0.2965, 0.2954),  # not 0.40
        ("EPSG:2263", Affine(1, 0, 1e6, 0, -1, 2e5), 0.3048, 0.3048),  # US survey feet
        ("EPSG:4326", Affine(3.6e-6, 0, 129, 0, -2.7e-6, 42), 0.2983, 0.2999),
    ],
)
def test_gsd_is_measured_on_the_ground(
    tmp_path: Path, crs: str, transform: Affine, gsd_x_m: float, gsd_y_m: float
) -> None:
    scene = scene_of(write_image(tmp_path / NAME, crs=crs, transform=transform))
    assert scene.gsd_x_m == pytest.approx(gsd_x_m, abs=2e-4)
    assert scene.gsd_y_m == pytest.approx(gsd_y_m, abs=2e-4)


def test_square_degrees_far_north_are_used(tmp_path: Path) -> None:
    for north, stretch in ((60.2, 2.0), (69.0, 2.8), (75.0, 3.85)):
        transform = Affine(4e-6, 0, 25, 0, -4e-6, north)
        scene = scene_of(write_image(tmp_path / NAME, crs="EPSG:4326", transform=transform))
        assert scene.gsd_y_m / scene.gsd_x_m == pytest.approx(stretch, rel=0.01)


@pytest.mark.parametrize("gsd_m", [0.20, 0.75])
def test_a_nominal_limit_is_inside_the_limits(tmp_path: Path, gsd_m: float) -> None:
    assert scene_of(write_image(tmp_path / NAME, transform=utm_grid(gsd_m)))


def test_bands_are_found_by_colour_name_or_order() -> None:
    unnamed = [None] * 8
    grey = ["gray", *["undefined"] * 7]
    assert choose_bands(["blue", "green", "red", "undefined"], unnamed[:4]) == (3, 2, 1)
    assert choose_bands(["red", "green", "blue", "alpha"], unnamed[:4]) == (1, 2, 3)
    assert choose_bands(grey[:4], ["Blue", "Green", "Red", "NIR"]) == (3, 2, 1)
    assert choose_bands(["red", "green", "blue", "alpha"], ["blue", "green", "red", "nir"]) == (3, 2, 1)
    assert choose_bands(["red", "green", "blue"], ["Red edge", "green", "red"]) == (1, 2, 3)
    assert choose_bands(grey[:4], ["B", "G", "R", "RedEdge"]) == (3, 2, 1)
    assert choose_bands(grey[:4], unnamed[:4]) == (1, 2, 3)
    assert choose_bands(grey, unnamed) == (5, 3, 2)
    assert choose_bands(grey[:3], unnamed[:3]) == (1, 2, 3)
    assert choose_bands(grey[:1], unnamed[:1]) == (1,)
    assert choose_bands(["gray", "alpha"], unnamed[:2]) == (1,)
    assert choose_bands(grey, unnamed, override=(7, 3, 2)) == (7, 3, 2)
    for interpretation in (grey[:2], grey[:5], ["palette"]):
        with pytest.raises(BandsUnclear):
            choose_bands(interpretation, unnamed[: len(interpretation)])
    for override in ((1, 2), (1, 2, 9), (0,)):
        with pytest.raises(BandsUnclear):
            choose_bands(grey, unnamed, override=override)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("bands", [1, 3, 4, 8])
def test_pixel_types_and_band_counts(tmp_path: Path, dtype: str, bands: int) -> None:
    scene = scene_of(write_image(tmp_path / NAME, picture(40, 50, bands).astype(dtype)))
    assert (scene.dtype, scene.n_bands) == (dtype, bands)
    assert scene.bands == {1: (1,), 3: (1, 2, 3), 4: (1, 2, 3), 8: (5, 3, 2)}[bands]


def test_times_in_names() -> None:
    cases = {
        "yard_20231005.tif": [datetime(2023, 10, 5)],
        "2023-10-05T103000Z_yard.tif": [datetime(2023, 10, 5, 10, 30)],
        "yard_20231005T1030.tif": [datetime(2023, 10, 5, 10, 30)],
        "18OCT05103000-M2AS_R1C1-0123.TIF": [datetime(2018, 10, 5, 10, 30)],
        "18OCT05-M2AS.TIF": [datetime(2018, 10, 5)],
        "tile_20231345_4.tif": [],
        "order_1202310051.tif": [],
        "20230101_20231005.tif": [datetime(2023, 1, 1), datetime(2023, 10, 5)],
        "yard.tif": [],
    }
    for name, times in cases.items():
        assert list(times_in_name(Path(name))) == [time.replace(tzinfo=UTC) for time in times], name


def test_written_times_are_utc() -> None:
    half_past = datetime(2023, 10, 5, 10, 30, tzinfo=UTC)
    for text in ("2023-10-05T10:30Z", "2023-10-05 10:30:00", "2023:10:05 10:30:00", "2023-10-05T12:30+02:00"):
        assert parse_time(text) == half_past
    assert parse_time("20231005103000") == half_past
    assert parse_time("5 October") is None


def test_precedence_of_time_sources(tmp_path: Path) -> None:
    path = write_image(tmp_path / NAME)
    assert scene_of(path).acquired_source == "name"
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(TIFFTAG_DATETIME="2023:10:04 00:00:00")
    assert (scene_of(path).acquired.day, scene_of(path).acquired_source) == (4, "tag")
    item = write_item(tmp_path / "item.json", {"a": {"href": f"./{NAME}", "type": "image/tiff"}}, day=3)
    assert (scene_of(item).acquired.day, scene_of(item).acquired_source) == (3, "stac")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(f"path,acquired,sensor,cloud_cover,off_nadir_deg\n{NAME},2023-10-02,WV03,0.25,7.5\n")
    scene = scene_of(item, manifest=manifest)
    assert (scene.acquired.day, scene.acquired_source) == (2, "manifest")
    assert (scene.sensor, scene.cloud_cover, scene.off_nadir_deg) == ("WV03", 0.25, 7.5)


def test_an_impossible_tag_gives_way_to_the_name(tmp_path: Path) -> None:
    for tag in ("1970:01:01 00:00:00", "2999:01:01 00:00:00", "0000:00:00 00:00:00"):
        scene = scene_of(write_image(tmp_path / NAME, tags={"TIFFTAG_DATETIME": tag}))
        assert (scene.acquired.year, scene.acquired_source) == (2023, "name")


def test_vendor_tags_give_time_sensor_and_cloud(tmp_path: Path) -> None:
    path = write_image(tmp_path / "yard.tif")
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(TIFFTAG_DATETIME="2024:01:01 00:00:00")
        dataset.update_tags(
            ns="IMAGERY", ACQUISITIONDATETIME="2023-10-05 02:30:00", SATELLITEID="WV03", CLOUDCOVER="12"
        )
    scene = scene_of(path)
    assert scene.acquired == datetime(2023, 10, 5, 2, 30, tzinfo=UTC)
    assert (scene.sensor, scene.cloud_cover, scene.off_nadir_deg) == ("WV03", 0.12, None)


@pytest.mark.parametrize(
    ("tag", "text", "expected"),
    [
        ("OFF_NADIR", "12.5", 12.5),
        ("IMAGE_1.meanOffNadirViewAngle", "27.1", 27.1),
        ("OFF_NADIR", "steep", None),
        ("OFF_NADIR", "-3", None),
        ("OFF_NADIR", "95", None),
    ],
)
def test_vendor_tags_give_the_slant_of_the_view(tmp_path: Path, tag: str, text: str, expected: float | None) -> None:
    path = write_image(tmp_path / NAME)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="IMD", **{tag: text})
    assert scene_of(path).off_nadir_deg == expected


def write_item(path: Path, assets: dict[str, dict[str, object]], day: int = 5) -> Path:
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": path.stem,
        "properties": {
            "datetime": f"2023-10-{day:02d}T02:30:00Z",
            "platform": "wv3",
            "eo:cloud_cover": 10,
            "view:off_nadir": 21.5,
        },
        "assets": assets,
    }
    path.write_text(json.dumps(item))
    return path


def test_stac_collection_chooses_the_visual_asset(tmp_path: Path) -> None:
    folder = tmp_path / "items"
    folder.mkdir()
    write_image(folder / "visual.tif")
    write_image(folder / "pan.tif", picture(40, 40, 1))
    write_image(folder / "thumb.png", picture(8, 8), crs=None, driver="PNG")
    assets: dict[str, dict[str, object]] = {
        "visual": {"href": "visual.tif", "type": "image/tiff; application=geotiff", "roles": ["data"]},
        "pan": {"href": "./pan.tif", "type": "image/tiff", "roles": ["data"]},
        "small": {"href": "thumb.png", "type": "image/png", "roles": ["thumbnail"]},
    }
    write_item(folder / "item.json", assets)
    links = [
        {"rel": "item", "href": "./items/item.json"},
        {"rel": "self", "href": "https://example.org/c.json"},
    ]
    collection = tmp_path / "collection.json"
    collection.write_text(json.dumps({"type": "Collection", "stac_version": "1.0.0", "links": links}))
    for given in (collection, tmp_path):
        scene = scene_of(given)
        assert scene.paths[0].name == "visual.tif"
        assert (scene.sensor, scene.cloud_cover, scene.acquired_source) == ("wv3", 0.1, "stac")
        assert scene.off_nadir_deg == 21.5


def test_stac_faults_are_rejections(tmp_path: Path) -> None:
    assets: dict[str, dict[str, object]] = {
        "data": {"href": "https://example.org/a.tif", "type": "image/tiff"},
        "more": {"href": "gone.tif", "type": "image/tiff"},
    }
    survey = find_scenes([write_item(tmp_path / "item.json", assets)])
    reasons = [entry.reason for entry in survey.rejected]
    assert any("not on this disk" in reason for reason in reasons)
    assert any("does not exist" in reason for reason in reasons)
    (tmp_path / "broken.json").write_text('{"stac_version": ')
    (entry,) = find_scenes([tmp_path / "broken.json"]).rejected
    assert "not readable as STAC" in entry.reason


def test_png_with_a_manifest_needs_no_georeference(tmp_path: Path) -> None:
    write_image(tmp_path / "crop.png", crs=None, driver="PNG")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path,acquired,gsd_m,facility_id\ncrop.png,2023-10-05,0.4,north\n")
    scene = scene_of(tmp_path, manifest=manifest)
    assert scene.crs is None
    assert (scene.gsd_x_m, scene.gsd_y_m, scene.facility_id) == (0.4, 0.4, "north")


def test_png_with_a_world_file_and_prj(tmp_path: Path) -> None:
    write_image(tmp_path / "yard_20231005.png", crs=None, driver="PNG")
    (tmp_path / "yard_20231005.pgw").write_text("0.3\n0\n0\n-0.3\n500000.15\n4499999.85\n")
    (entry,) = find_scenes([tmp_path]).rejected
    assert "no CRS" in entry.reason
    (tmp_path / "yard_20231005.prj").write_text(rasterio.crs.CRS.from_epsg(32652).to_wkt())
    scene = scene_of(tmp_path)
    assert scene.transform.almost_equals(utm_grid(0.3))
    assert scene.crs == rasterio.crs.CRS.from_epsg(32652)


def test_jpeg_2000_and_vrt(tmp_path: Path) -> None:
    source = write_image(tmp_path / "yard_20231005.tif")
    write_image(tmp_path / "yard_20231006.jp2", picture(seed=1), driver="JP2OpenJPEG")
    copy_raster(source, tmp_path / "yard_20231004.vrt", driver="VRT")
    survey = find_scenes([tmp_path])
    assert survey.rejected == ()
    assert [scene.paths[0].name for scene in survey.scenes] == ["yard_20231004.vrt", "yard_20231006.jp2"]


def test_a_vrt_that_cannot_be_used_leaves_its_files(tmp_path: Path) -> None:
    source = write_image(tmp_path / NAME)
    copy_raster(source, tmp_path / "undated.vrt", driver="VRT")
    survey = find_scenes([tmp_path])
    assert [scene.paths[0].name for scene in survey.scenes] == [NAME]
    assert [entry.path.name for entry in survey.rejected] == ["undated.vrt"]


def test_what_lies_beside_images_is_no_input(tmp_path: Path) -> None:
    path = write_image(tmp_path / NAME)
    write_image(tmp_path / "yard_20231005_thumb.jpg", picture(8, 8), crs=None, driver="JPEG")
    write_image(tmp_path / "yard_20231005-browse.png", picture(8, 8), crs=None, driver="PNG")
    for name in (
        "yard_20231005.truth.geojson",
        "yard_20231005.tif.aux.xml",
        "notes.txt",
        "list.csv",
        "x.tfw",
        "raw",
    ):
        (tmp_path / name).write_text("{}")
    (tmp_path / ".hidden_20231005.tif").write_bytes(b"")
    beside = [tmp_path / f"yard_20231005.{suffix}" for suffix in ("truth.geojson", "tif.aux.xml")]
    for inputs in ([tmp_path], [path, *beside]):
        assert only_scene(find_scenes(inputs)).paths == (path.resolve(),)


def test_named_files_that_are_no_images_are_told(tmp_path: Path) -> None:
    path = write_image(tmp_path / NAME)
    for name in ("list.csv", "facilities.geojson", "item.json", "yard_20231005x.tfw"):
        (tmp_path / name).write_text('{"type": "Feature", "assets": {}}')
    survey = find_scenes(sorted(tmp_path.iterdir()))
    assert [scene.paths for scene in survey.scenes] == [(path,)]
    assert {entry.path.name: entry.reason for entry in survey.rejected} == {
        "list.csv": ".csv files are no images",
        "facilities.geojson": "it has no stac_version, so it is no STAC document",
        "item.json": "it has no stac_version, so it is no STAC document",
        "yard_20231005x.tfw": ".tfw files are no images",
    }


def test_a_manifest_among_the_images_is_no_fault(tmp_path: Path) -> None:
    write_image(tmp_path / NAME)
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(f"path,sensor\n{NAME},WV03\n")
    assert only_scene(find_scenes(sorted(tmp_path.iterdir()), manifest=manifest)).sensor == "WV03"


def test_an_item_without_a_version_is_told_in_a_folder_too(tmp_path: Path) -> None:
    write_image(tmp_path / NAME)
    (tmp_path / "item.json").write_text('{"type": "Feature", "assets": {"a": {"href": "a.tif"}}}')
    (tmp_path / "labels.json").write_text('{"type": "FeatureCollection", "features": [], "assets": 3}')
    (entry,) = find_scenes([tmp_path]).rejected
    assert (entry.path.name, "stac_version" in entry.reason) == ("item.json", True)


def test_previews_and_masks_of_nothing_are_left_aside(tmp_path: Path) -> None:
    path = write_image(tmp_path / NAME)
    aside = [f"yard_20231005{end}" for end in ("-preview.tif", "_mask.tif", "_overview.tif", "_ql.tif")]
    for name in (*aside, "yard_20231005_cloudmask.tif", "other_clouds.tif"):
        write_image(tmp_path / name, picture(bands=1) * 0)
    (tmp_path / "notes_preview.md").touch()
    survey = find_scenes([tmp_path])
    assert only_scene(survey).paths == (path,)
    assert [file.name for file in survey.aside] == ["other_clouds.tif", *aside]
    assert find_scenes([path]).aside == ()


def test_what_is_used_is_not_left_aside(tmp_path: Path) -> None:
    names = ("yard_20231005", "named_20231006_preview", "item_20231007_overview", "vrt_20231008_ql")
    images = [write_image(tmp_path / f"{name}.tif", picture(seed=i)) for i, name in enumerate(names)]
    masks = [write_image(tmp_path / name, picture(bands=1) * 0) for name in ("sky_udm.tif", "far_mask.tif")]
    copy_raster(masks[1], tmp_path / "sky_clouds.vrt", driver="VRT")
    copy_raster(images[3], tmp_path / "vrt_20231008.vrt", driver="VRT")
    assets: dict[str, dict[str, object]] = {
        "image": {"href": images[2].name, "type": "image/tiff"},
        "sky": {"href": "sky_clouds.vrt", "roles": ["cloud"]},
    }
    write_item(tmp_path / "item.json", assets)
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(f"path,cloud_mask\n{NAME},sky_udm.tif\n")
    survey = find_scenes([tmp_path, images[1]], manifest=manifest)
    assert (survey.rejected, survey.aside) == ((), ())
    assert [scene.paths[0].name for scene in survey.scenes] == [
        NAME,
        "item_20231007_overview.tif",
        "named_20231006_preview.tif",
        "vrt_20231008.vrt",
    ]
    survey = find_scenes([tmp_path])
    assert [file.name for file in survey.aside] == ["named_20231006_preview.tif", "sky_udm.tif"]


def test_inputs_may_be_lists_and_repeat_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    path = write_image(folder / NAME)
    listing = tmp_path / "list.txt"
    listing.write_text("# scenes\ndeep/er/yard_20231005.tif\ndeep/gone.tif\ndeep\n")
    assert [scene.paths for scene in find_scenes([listing]).scenes] == [(path.resolve(),)]
    survey = find_scenes([tmp_path, path, listing])
    assert [scene.paths for scene in survey.scenes] == [(path.resolve(),)]
    assert [entry.reason for entry in survey.rejected] == ["list.txt:3 names a file that does not exist"]
    with pytest.raises(UsageError, match="does not exist"):
        find_scenes([tmp_path / "gone"])


def test_linked_folders_are_followed_and_circles_end(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    images = tmp_path / "images"
    images.mkdir()
    path = write_image(tmp_path / "store" / NAME)
    (images / "link").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "circle").symlink_to(images)
    (images / "gone_20231005.tif").symlink_to(tmp_path / "nowhere.tif")
    survey = find_scenes([images])
    assert [scene.paths for scene in survey.scenes] == [(path.resolve(),)]
    assert [entry.path.name for entry in survey.rejected] == ["gone_20231005.tif"]


def test_a_linked_image_is_known_by_its_own_name(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (tmp_path / "store").mkdir()
    kept = write_image(tmp_path / "store" / "yard_20240115.tif").rename(tmp_path / "store" / "MD5E-s99--abcdef")
    link = images / NAME
    link.symlink_to(Path("..") / "store" / kept.name)
    for inputs in ([images], [link], [images, tmp_path / "store"]):
        scene = only_scene(find_scenes(inputs))
        assert scene.paths == (link,)
        assert (scene.acquired.date().isoformat(), scene.scene_id[:14]) == ("2023-10-05", "yard_20231005-")
    manifest = tmp_path / "manifest.csv"
    for name in ("images/yard_20231005.tif", f"store/{kept.name}"):
        manifest.write_text(f"path,sensor\n{name},WV03\n")
        assert scene_of(images, manifest=manifest).sensor == "WV03"


def test_links_to_equal_content_may_be_of_several_dates(tmp_path: Path) -> None:
    kept = write_image(tmp_path / "kept_20231005.tif", tags={"TIFFTAG_DATETIME": "2023:10:05 02:30:00"})
    (tmp_path / "again.tif").symlink_to(kept)
    assert only_scene(find_scenes([tmp_path])).paths == (kept,)
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path,acquired\nagain.tif,2023-11-05\n")
    survey = find_scenes([tmp_path], manifest=manifest)
    assert survey.rejected == ()
    assert [scene.acquired.month for scene in survey.scenes] == [10, 11]


def test_one_file_under_names_of_two_dates_is_told(tmp_path: Path) -> None:
    kept = write_image(tmp_path / NAME)
    (tmp_path / "a_20231105.tif").symlink_to(kept)
    survey = find_scenes([tmp_path])
    assert [scene.paths for scene in survey.scenes] == [(kept,)]
    (entry,) = survey.rejected
    assert entry.reason == f"it is the same file as {kept}, and dated 2023-11-05 in place of 2023-10-05"


def test_masks_beside_a_link_are_found_by_their_names(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    clear = np.zeros((8, 80, 100), dtype=np.uint8)
    for name, values in ((NAME, None), ("yard_20231005_udm2.tif", clear)):
        (images / name).symlink_to(write_image(tmp_path / f"{len(name)}.tif", values))
    (mask,) = only_scene(find_scenes([images])).masks
    assert mask is not None
    assert (mask.path.name, mask.meaning) == ("yard_20231005_udm2.tif", "udm2")


def test_a_copy_counts_once(tmp_path: Path) -> None:
    path = write_image(tmp_path / NAME)
    shutil.copy(path, tmp_path / "other_20231005.tif")
    survey = find_scenes([tmp_path])
    assert len(survey.scenes) == 1
    assert "is a copy of" in survey.rejected[0].reason


def test_a_copy_without_the_files_beside_it_is_still_a_copy(tmp_path: Path) -> None:
    path = write_image(tmp_path / NAME)
    shutil.copy(path, tmp_path / "other_20231005.tif")
    (tmp_path / f"{NAME}.aux.xml").write_text(
        '<PAMDataset><Metadata><MDI key="OWNER">x</MDI></Metadata><Metadata domain="IMD"/></PAMDataset>'
    )
    (tmp_path / "yard_20231005.XML").write_text("<isd><IMD><IMAGE><SATID>WV03</SATID></IMAGE></IMD></isd>")
    (tmp_path / "yard_20231005.IMD").write_text("numRows = 80;\nEND;\n")
    (tmp_path / "yard_20231005_rpc.txt").write_text("LINE_OFF: 1\n")
    with rasterio.open(path) as dataset:
        listed = {Path(name).suffix for name in dataset.files}
    assert {".xml", ".XML"} <= listed
    survey = find_scenes([tmp_path])
    assert len(survey.scenes) == 1
    assert "is a copy of" in survey.rejected[0].reason


def test_equal_content_of_stated_dates_is_no_copy(tmp_path: Path) -> None:
    for year in ("2020", "2021"):
        (tmp_path / year).mkdir()
        write_image(tmp_path / year / "yard.tif")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path,acquired\n2020/yard.tif,2020-05-01\n2021/yard.tif,2021-05-01\n")
    survey = find_scenes([tmp_path], manifest=manifest)
    assert survey.rejected == ()
    digest = survey.scenes[0].sha256[:8]
    assert [scene.scene_id for scene in survey.scenes] == [f"yard-{digest}", f"yard-20210501-{digest}"]
    manifest.write_text("path,acquired\n2020/yard.tif,2020-05-01\n2021/yard.tif,2020-05-01T02:30Z\n")
    (entry,) = find_scenes([tmp_path], manifest=manifest).rejected
    assert "is a copy of" in entry.reason


def test_a_scene_cut_in_four_is_one_scene(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = scene_of(write_image(tmp_path / "whole" / NAME, transform=utm_grid(0.3, 20)))
    cut_in_four(tmp_path / "cut")
    cut = scene_of(tmp_path / "cut")
    assert [path.name for path in cut.paths] == [f"yard_20231005_{i}.tif" for i in (1, 2, 3, 0)]
    assert cut.offsets_px == ((0, 0), (60, 0), (0, 30), (60, 30))
    assert (cut.width, cut.height) == (100, 80)
    assert cut.transform.almost_equals(whole.transform, precision=1e-6)
    assert cut.gsd_x_m == pytest.approx(whole.gsd_x_m, rel=1e-9)
    assert cut.gsd_y_m == pytest.approx(whole.gsd_y_m, rel=1e-9)


def test_files_on_another_grid_or_overlapping_stay_apart(tmp_path: Path) -> None:
    cut_in_four(tmp_path, shift=0.3)
    assert sorted(len(scene.paths) for scene in find_scenes([tmp_path]).scenes) == [1, 3]
    other = tmp_path / "overlap"
    other.mkdir()
    for part, column in enumerate((0, 50)):
        write_image(other / f"yard_20231005_{part}.tif", transform=utm_grid() @ Affine.translation(column, 0))
    assert [len(scene.paths) for scene in find_scenes([other]).scenes] == [1, 1]


def test_two_passes_on_one_date_are_two_scenes(tmp_path: Path) -> None:
    for hour in (2, 5):
        cut_in_four(tmp_path, f"yard_20231005T0{hour}3000")
    assert [len(scene.paths) for scene in find_scenes([tmp_path]).scenes] == [4, 4]


def test_the_order_of_the_inputs_changes_nothing(tmp_path: Path) -> None:
    cut_in_four(tmp_path)
    write_image(tmp_path / "yard_20231006.tif")
    (tmp_path / "empty_20231006.tif").touch()
    files = sorted(tmp_path.glob("*.tif"))
    assert find_scenes(files) == find_scenes(files[::-1]) == find_scenes([tmp_path])


def test_the_table_shows_every_file_and_its_verdict(tmp_path: Path) -> None:
    cut_in_four(tmp_path)
    write_image(tmp_path / "later_20231006.tif", tags={"TIFFTAG_DATETIME": "2024:02:01 10:00:00"})
    (tmp_path / "empty.tif").touch()
    survey = find_scenes([tmp_path])
    west = utm_grid() @ (-10.0, 0.0)
    lonlat = rasterio.warp.transform("EPSG:32652", "EPSG:4326", *np.array([west, utm_grid() @ (10.0, 80.0)]).T)
    (lon0, lon1), (lat0, lat1) = lonlat
    facility = Facility("north", "north", shapely.box(lon0, lat1, lon1, lat0), 1.0)
    table = scene_table(survey, [facility])
    assert len(table) == 6
    assert table["usable"].tolist() == [True] * 5 + [False]
    assert "empty (0 bytes)" in table["verdict"].iloc[5]
    assert "piece 1 of 4" in table["verdict"].iloc[0]
    assert "its name says 2023-10-06" in table["verdict"].iloc[4]
    assert table["covered"].iloc[4]["north"] == pytest.approx(0.5, abs=0.01)
    assert table["crs"].iloc[0] == "EPSG:32652"
    assert len(scene_table(find_scenes([tmp_path / "empty.tif"]))) == 1


def test_alpha_is_no_band(tmp_path: Path) -> None:
    colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    assert scene_of(write_image(tmp_path / NAME, picture(bands=4), colours=colours)).bands == (1, 2, 3)
    grey = [ColorInterp.gray, ColorInterp.alpha]
    assert scene_of(write_image(tmp_path / NAME, picture(bands=2), colours=grey)).bands == (1,)


def test_names_of_bands_win_over_the_colours_of_8_bit_tiffs(tmp_path: Path) -> None:
    for names in (["blue", "green", "red"], ["blue", "green", "red", "nir"]):
        values = picture(bands=len(names))
        assert scene_of(write_image(tmp_path / NAME, values, names=names, photometric="RGB")).bands == (3, 2, 1)
