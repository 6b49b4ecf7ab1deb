"""What a scene is known by: the content of all files that decide its pixels, and of no others."""

import hashlib
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy as copy_raster

from detector.errors import InputRejected
from detector.pixels.scenefiles import SceneFiles
from detector.scenes import Scene, find_scenes
from tests.detector.imagery import cut_in_four, picture, write_image

NAME = "yard_20231005.tif"
PAM = f"{NAME}.aux.xml"
NODATA_OF_ALL = '<Metadata><MDI key="NODATA_VALUES">0 0 0</MDI></Metadata>'
ARCGIS = '<Metadata domain="xml:ESRI" format="xml"><GeodataXform><Order>1</Order></GeodataXform></Metadata>'
OWNER = '<Metadata><MDI key="OWNER">x</MDI></Metadata><Metadata domain="IMD"><MDI key="a">1</MDI></Metadata>'
STATISTICS = '<Metadata><MDI key="STATISTICS_MAXIMUM">255</MDI></Metadata><Histograms><HistItem/></Histograms>'
PRJ = rasterio.crs.CRS.from_epsg(32652).to_wkt()

BAND = """<VRTRasterBand dataType="Byte" band="{0}"><SimpleSource>
<SourceFilename relativeToVRT="1">parts/inner_20231005.vrt</SourceFilename><SourceBand>{0}</SourceBand>
</SimpleSource></VRTRasterBand>"""
OUTER = f"""<VRTDataset rasterXSize="100" rasterYSize="80"><SRS>EPSG:32652</SRS>
<GeoTransform>500000, 0.3, 0, 4500000, 0, -0.3</GeoTransform>
{"".join(BAND.format(i) for i in (1, 2, 3))}</VRTDataset>"""


def pam(band: str = "", file: str = "") -> str:
    """An `.aux.xml` with something about a band, and about the file."""
    return f'<PAMDataset>{file}<PAMRasterBand band="1">{band}</PAMRasterBand></PAMDataset>'


def scene_in(folder: Path) -> Scene:
    survey = find_scenes([folder])
    assert survey.rejected == ()
    (scene,) = survey.scenes
    return scene


def tiff(folder: Path) -> None:
    write_image(folder / NAME)


def beside_tiff(name: str, text: str) -> Callable[[Path], None]:
    """A GeoTIFF and a text beside it."""

    def make(folder: Path) -> None:
        tiff(folder)
        (folder / name).write_text(text)

    return make


def unreadable(encoding: str, value: object) -> Callable[[Path], None]:
    """A GeoTIFF with an `.aux.xml` that Python cannot read."""
    return beside_tiff(PAM, f'<?xml version="1.0" encoding="{encoding}"?>{pam(f"<NoDataValue>{value}</NoDataValue>")}')


def external_mask(hidden: int) -> Callable[[Path], None]:
    """A GeoTIFF with `.msk`, of which some columns are hidden."""

    def make(folder: Path) -> None:
        (folder / f"{NAME}.msk").unlink(missing_ok=True)
        write_image(folder / NAME)
        seen = np.full((80, 100), 255, dtype=np.uint8)
        seen[:, :hidden] = 0
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(folder / NAME, "r+") as dataset:
            dataset.write_mask(seen)

    return make


def png(world: float = 0.3, band: str = "") -> Callable[[Path], None]:
    """A PNG with a world file of this pixel size, and an `.aux.xml`."""

    def make(folder: Path) -> None:
        path = write_image(folder / "yard_20231005.png", crs=None, driver="PNG")
        path.with_suffix(".pgw").write_text(f"{world}\n0\n0\n-{world}\n500000\n4500000\n")
        path.with_suffix(".prj").write_text(PRJ)
        if band:
            (folder / f"{path.name}.aux.xml").write_text(pam(band))

    return make


def nested_vrt(seed: int) -> Callable[[Path], None]:
    """A VRT of a VRT of an image."""

    def make(folder: Path) -> None:
        (folder / "parts").mkdir(exist_ok=True)
        tile = write_image(folder / "parts" / "tile_20231005.tif", picture(seed=seed))
        copy_raster(tile, folder / "parts" / "inner_20231005.vrt", driver="VRT")
        (folder / "yard_20231005.vrt").write_text(OUTER)

    return make


def cloud_mask(cloud: int) -> Callable[[Path], None]:
    """An image with a cloud mask beside it."""

    def make(folder: Path) -> None:
        if not (folder / NAME).exists():
            write_image(folder / NAME)
        write_image(folder / "yard_20231005_clouds.tif", np.full((1, 80, 100), cloud, dtype=np.uint8))

    return make


def test_a_geotiff_alone_has_the_hash_of_its_content(tmp_path: Path) -> None:
    tiff(tmp_path)
    assert scene_in(tmp_path).sha256 == hashlib.sha256((tmp_path / NAME).read_bytes()).hexdigest()


def test_a_vrt_has_the_hash_of_its_files_in_order(tmp_path: Path) -> None:
    tiff(tmp_path)
    copy_raster(tmp_path / NAME, tmp_path / "a_20231004.vrt", driver="VRT")
    hashes = [hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("a_20231004.vrt", NAME)]
    assert scene_in(tmp_path).sha256 == hashlib.sha256("".join(hashes).encode()).hexdigest()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (tiff, external_mask(40)),
        (external_mask(40), external_mask(60)),
        (png(), png(band="<NoDataValue>0</NoDataValue>")),
        (png(band="<NoDataValue>0</NoDataValue>"), png(band="<NoDataValue>7</NoDataValue>")),
        (png(), png(world=0.31)),
        (nested_vrt(0), nested_vrt(1)),
        (unreadable("GB2312", 0), unreadable("GB2312", 7)),
        (unreadable("foo", 0), unreadable("foo", 7)),
        (unreadable("ascii", "\xe9"), unreadable("ascii", "\xe8")),
        (tiff, beside_tiff(PAM, pam(file=NODATA_OF_ALL))),
        (tiff, beside_tiff(PAM, pam(file=ARCGIS))),
    ],
    ids=[
        "mask added",
        "mask",
        "nodata added",
        "nodata",
        "world file",
        "nested vrt",
        "encoding of several bytes",
        "unknown encoding",
        "no XML",
        "nodata of all bands",
        "georeference of ArcGIS",
    ],
)
def test_another_file_beside_it_is_another_scene(
    tmp_path: Path, before: Callable[[Path], None], after: Callable[[Path], None]
) -> None:
    before(tmp_path)
    old = scene_in(tmp_path)
    after(tmp_path)
    assert scene_in(tmp_path).sha256 != old.sha256


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (tiff, external_mask(0)),
        (external_mask(40), external_mask(60)),
        (png(), png(world=0.31)),
        (nested_vrt(0), nested_vrt(1)),
        (cloud_mask(0), cloud_mask(1)),
    ],
    ids=["image", "mask", "world file", "nested vrt", "cloud mask"],
)
def test_a_file_that_changes_after_the_survey_is_not_read(
    tmp_path: Path, before: Callable[[Path], None], after: Callable[[Path], None]
) -> None:
    before(tmp_path)
    scene = pickle.loads(pickle.dumps(scene_in(tmp_path)))  # as it comes to a worker
    with SceneFiles(scene) as files:
        files.read(0, 0, 9, 9)
        time.sleep(0.02)  # file systems tell times by the tick
        after(tmp_path)
        for attempt in (lambda: files.read(0, 0, 9, 9), lambda: SceneFiles(scene).dataset(0), scene.see_unchanged):
            with pytest.raises(InputRejected, match="changed while it was read"):
                attempt()
    assert scene_in(tmp_path).sha256 != scene.sha256
    scene_in(tmp_path).see_unchanged()


def test_each_piece_of_a_cut_scene_is_looked_at(tmp_path: Path) -> None:
    cut_in_four(tmp_path)
    (scene,) = find_scenes([tmp_path]).scenes
    for path in scene.paths:
        facts = path.stat()
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
        with pytest.raises(InputRejected, match="changed while it was read"):
            scene.see_unchanged()
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    scene.see_unchanged()


def test_files_are_compared_once_when_opened_and_after_each_read(tmp_path: Path) -> None:
    nested_vrt(0)(tmp_path)
    scene = scene_in(tmp_path)
    spy = patch.object(Scene, "see_unchanged", autospec=True, side_effect=Scene.see_unchanged)
    with spy as compared, SceneFiles(scene) as files:
        for x in range(3):
            files.read(x, 0, 9, 9)
    assert compared.call_count == 1 + 3


def test_a_file_that_changed_before_it_was_opened_stays_closed(tmp_path: Path) -> None:
    tiff(tmp_path)
    scene = scene_in(tmp_path)
    os.utime(tmp_path / NAME, (1e9, 1e9))
    with SceneFiles(scene) as files:
        for _ in range(2):
            with pytest.raises(InputRejected, match="changed while it was read"):
                files.dataset(0)


def test_when_a_file_was_written_is_no_part_of_a_scene(tmp_path: Path) -> None:
    tiff(tmp_path)
    old = scene_in(tmp_path)
    os.utime(tmp_path / NAME, (1e9, 1e9))
    new = scene_in(tmp_path)
    assert (new, hash(new)) == (old, hash(old)) and new.states != old.states


def test_what_viewers_leave_behind_changes_nothing(tmp_path: Path) -> None:
    tiff(tmp_path)
    old = scene_in(tmp_path)
    (tmp_path / PAM).write_text(pam(STATISTICS, OWNER))
    write_image(tmp_path / "half.tif", picture(40, 50)).rename(tmp_path / f"{NAME}.ovr")
    (tmp_path / "yard_20231005.IMD").write_text("numRows = 80;\nEND;\n")
    assert scene_in(tmp_path) == old


def test_links_to_what_viewers_leave_behind_change_nothing(tmp_path: Path) -> None:
    tiff(tmp_path)
    old = scene_in(tmp_path)
    (tmp_path / ".store").mkdir()
    write_image(tmp_path / "half.tif", picture(40, 50)).rename(tmp_path / ".store" / "MD5E-s99--ab")
    (tmp_path / ".store" / "MD5E-s99--cd").write_text(pam(STATISTICS))
    (tmp_path / f"{NAME}.ovr").symlink_to(tmp_path / ".store" / "MD5E-s99--ab")
    (tmp_path / f"{NAME}.aux.xml").symlink_to(tmp_path / ".store" / "MD5E-s99--cd")
    assert scene_in(tmp_path) == old


def test_statistics_beside_nodata_change_nothing(tmp_path: Path) -> None:
    png(band="<NoDataValue>0</NoDataValue>")(tmp_path)
    old = scene_in(tmp_path)
    png(band=f"<NoDataValue>0</NoDataValue>{STATISTICS}")(tmp_path)
    assert scene_in(tmp_path).sha256 == old.sha256


def test_a_cloud_mask_is_known_by_all_its_files(tmp_path: Path) -> None:
    tiff(tmp_path)
    (tmp_path / "sky").mkdir()
    hashes = []
    for cloud in (0, 1):
        sky = write_image(tmp_path / "sky" / "x.tif", np.full((1, 80, 100), cloud, dtype=np.uint8))
        copy_raster(sky, tmp_path / "yard_20231005_clouds.vrt", driver="VRT")
        hashes.append(next(scene for scene in find_scenes([tmp_path / NAME]).scenes).sha256)
    assert hashes[0] != hashes[1]
