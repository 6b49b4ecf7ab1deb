"""Bad input: every fault is a rejection with reason and cure, and the good file beside it is still found."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from detector.errors import UsageError
from detector.scene import Rejection
from detector.scenes import find_scenes
from tests.detector.imagery import picture, utm_grid, write_image

BAD = "bad_20231005.tif"


def zero_bytes(folder: Path) -> Path:
    (folder / BAD).touch()
    return folder / BAD


def text(folder: Path) -> Path:
    (folder / BAD).write_text("<html><body>404 Not found</body></html>")
    return folder / BAD


def pointer(folder: Path) -> Path:
    (folder / BAD).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 12345\n")
    return folder / BAD


def truncated(share: float, **options: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        driver = options.get("driver", "GTiff")
        suffix = {"GTiff": ".tif", "PNG": ".png", "JPEG": ".jpg", "JP2OpenJPEG": ".jp2"}[str(driver)]
        noise = np.random.default_rng(0).integers(1, 255, (3, 600, 500), dtype=np.uint8)
        path = write_image(folder / f"bad_20231005{suffix}", noise, **options)  # type: ignore[arg-type]
        os.truncate(path, int(path.stat().st_size * share))
        return path

    return make


def one_byte_short(folder: Path) -> Path:
    path = write_image(folder / BAD)
    os.truncate(path, path.stat().st_size - 1)
    return path


def image(**options: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        return write_image(folder / str(options.get("name", BAD)), **{k: v for k, v in options.items() if k != "name"})  # type: ignore[arg-type]

    return make


def control_points_only(folder: Path) -> Path:
    path = write_image(folder / BAD)
    with rasterio.open(path, "r+") as dataset:
        corners = [(0, 0, 129.0, 41.0), (80, 100, 129.001, 40.999), (0, 100, 129.001, 41.0)]
        dataset.gcps = ([GroundControlPoint(*corner) for corner in corners], CRS.from_epsg(4326))
    return path


def palette(folder: Path) -> Path:
    return write_image(folder / BAD, picture(bands=1), colours=[ColorInterp.palette])


SITE = 'LOCAL_CS["site grid",UNIT["metre",1]]'
BLANK = np.zeros((3, 90, 90))
TURN = Affine.rotation(30)
SHEARED = Affine(3.6e-6 * TURN.a, 3.6e-6 * TURN.b, 129, 3.6e-6 * TURN.d, -3.6e-6 * TURN.e, 60)

CASES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "zero bytes": (zero_bytes, "empty (0 bytes)"),
    "text": (text, "holds text"),
    "git lfs pointer": (pointer, "Git LFS pointer"),
    "truncated early": (truncated(0.001), "cannot be read"),
    "truncated": (truncated(0.6), "truncated"),
    "truncated, tiled": (
        truncated(0.9, tiled=True, blockxsize=128, blockysize=128, compress="deflate"),
        "truncated",
    ),
    "one byte short": (one_byte_short, "last 1 bytes are missing"),
    "truncated png": (truncated(0.7, driver="PNG"), "truncated or damaged"),
    "truncated jpeg": (truncated(0.7, driver="JPEG"), "truncated or damaged"),
    "truncated jpeg 2000": (truncated(0.5, driver="JP2OpenJPEG"), "truncated or damaged"),
    "no CRS": (image(crs=None, transform=utm_grid()), "no CRS"),
    "no georeference": (image(crs=None), "no georeference"),
    "not orthorectified": (control_points_only, "not orthorectified"),
    "off the Earth": (image(transform=utm_grid(origin=(1e12, 1e12))), "outside its CRS"),
    "a site's own CRS": (image(crs=SITE), "its CRS gives no place on the Earth"),
    "pixels far from square": (image(transform=Affine(0.1, 0, 5e5, 0, -1, 4.5e6)), "0.1 m wide and 1 m high"),
    "sheared": (image(crs="EPSG:4326", transform=SHEARED), "sheared"),
    "no date": (image(name="bad.tif"), "no acquisition date"),
    "future date": (image(name="bad_20991005.tif"), "2099-10-05 in its name lies in the future"),
    "early date": (image(name="bad_19871005.tif"), "1987-10-05 in its name lies before 1990"),
    "GSD 10 m": (image(transform=utm_grid(10)), "GSD 10 m is outside 0.20-0.75 m"),
    "GSD 0.1 m": (image(transform=utm_grid(0.1)), "GSD 0.1 m is outside 0.20-0.75 m"),
    "all nodata": (image(values=BLANK.astype(np.uint8), nodata=0), "nodata or zero"),
    "all zero": (image(values=BLANK.astype(np.uint16)), "nodata or zero"),
    "all NaN": (image(values=(BLANK * np.nan).astype(np.float32)), "nodata or zero"),
    "all masked": (image(mask=np.zeros((80, 100), dtype=bool)), "nodata or zero"),
    "two bands": (image(values=picture(bands=2)), "2 bands"),
    "five bands": (image(values=picture(bands=5)), "5 bands"),
    "complex": (image(values=picture().astype(np.complex64)), "pixel type complex64"),
    "palette": (palette, "palette"),
}


def the_rejection(folder: Path, **options: object) -> Rejection:
    good = write_image(folder / "good_20231006.tif", picture(seed=1))
    survey = find_scenes([folder], **options)  # type: ignore[arg-type]
    assert [scene.paths for scene in survey.scenes] == [(good.resolve(),)]
    (rejection,) = survey.rejected
    return rejection


@pytest.mark.parametrize("case", CASES)
def test_a_bad_file_is_rejected_with_its_cure(tmp_path: Path, case: str) -> None:
    make, words = CASES[case]
    path = make(tmp_path)
    rejection = the_rejection(tmp_path)
    assert rejection.path == path.resolve()
    assert words in rejection.reason
    assert rejection.cure.endswith(".")


def test_nan_in_places_is_no_fault(tmp_path: Path) -> None:
    values = picture().astype(np.float32)
    values[:, :40] = np.nan
    write_image(tmp_path / BAD, values)
    assert find_scenes([tmp_path]).rejected == ()


MANIFEST_CASES = {
    "gone.tif,2023-10-05,,,,": "manifest.csv:2 names a file that does not exist",
    "bad_20231005.tif,5/10/2023,,,,": "manifest.csv:2: acquired '5/10/2023' is not a date",
    "bad_20231005.tif,2999-10-05,,,,": "2999-10-05 (manifest.csv:2) lies in the future",
    "bad_20231005.tif,,,40,,": "cloud_cover 40 is not a share",
    "bad_20231005.tif,,,,wide,": "gsd_m 'wide' is not a number",
    "bad_20231005.tif,,,,-1,": "gsd_m -1 is not positive",
    "bad_20231005.tif,,,,0.5,": "manifest.csv:2 says gsd_m 0.5, its georeference 0.3",
    "bad_20231005.tif,,,,,,-1": "off_nadir_deg -1 is no view from above",
    ",2023-10-05,,,,": "manifest.csv:2 names no file",
    "../elsewhere_20231005.tif,,,,,": "manifest.csv:2 names it, but it is no input",
}


@pytest.mark.parametrize("row", MANIFEST_CASES)
def test_a_bad_manifest_row_is_rejected_with_its_line(tmp_path: Path, row: str) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    write_image(tmp_path / "elsewhere_20231005.tif")
    if row.startswith("bad"):
        write_image(folder / BAD)
    manifest = folder / "manifest.csv"
    manifest.write_text(f"path,acquired,sensor,cloud_cover,gsd_m,facility_id,off_nadir_deg\n{row}\n")
    assert MANIFEST_CASES[row] in the_rejection(folder, manifest=manifest).reason


def test_a_file_with_two_manifest_rows_is_rejected(tmp_path: Path) -> None:
    write_image(tmp_path / BAD)
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(f"path,acquired\n{BAD},2023-10-05\n{BAD},2023-10-06\n")
    assert the_rejection(tmp_path, manifest=manifest).reason == "manifest.csv:3 is its second row"


def test_an_image_without_georeference_needs_its_facility(tmp_path: Path) -> None:
    write_image(tmp_path / "bad.png", crs=None, driver="PNG")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path,acquired,gsd_m\nbad.png,2023-10-05,0.3\n")
    assert "must name its facility" in the_rejection(tmp_path, manifest=manifest).reason


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"file,acquired\n", "no column `path`"),
        (b"path,aquired\n", "unknown column 'aquired'"),
        (b"", "no column `path`"),
        (b"path,sensor\n\xff\xfe,x\n", "cannot be read"),
    ],
)
def test_an_unreadable_manifest_is_a_usage_error(tmp_path: Path, content: bytes, words: str) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        find_scenes([tmp_path], manifest=manifest)
    assert words in str(caught.value)
    with pytest.raises(UsageError):
        find_scenes([tmp_path], manifest=tmp_path / "gone.csv")


def test_a_folder_that_cannot_be_read_is_a_rejection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    read = Path.iterdir

    def refusing(folder: Path) -> Iterator[Path]:
        if folder == closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return read(folder)

    monkeypatch.setattr(Path, "iterdir", refusing)
    rejection = the_rejection(tmp_path)
    assert (rejection.path, rejection.reason) == (closed, "the folder cannot be read (Permission denied)")


def test_a_name_that_is_not_utf_8_is_a_rejection(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"yard_\xe9_20231005.tif")
    try:
        write_image(tmp_path / BAD).rename(odd)
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    for inputs in ([tmp_path], [odd]):
        (rejection,) = find_scenes(inputs).rejected
        assert (rejection.path.name, rejection.reason) == (r"yard_\xe9_20231005.tif", "its name is not UTF-8")


def test_what_lies_in_a_folder_whose_name_is_not_utf_8_is_told(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"d\xff")
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    gone = {"a": {"href": "gone.tif", "type": "image/tiff"}, "b": {"href": "s3://x/b.tif", "type": "image/tiff"}}
    (odd / "item.json").write_text(json.dumps({"type": "Feature", "stac_version": "1.0.0", "assets": gone}))
    (odd / os.fsdecode(b"c\xfe.json")).write_text('{"stac_version": ')
    (odd / "list.txt").write_text("missing.tif\n")
    (odd / "manifest.csv").write_text("path\nlost.tif\n")
    (odd / "table.csv").touch()
    good = write_image(tmp_path / "good_20231006.tif")
    survey = find_scenes([tmp_path, odd / "list.txt", odd / "table.csv"], manifest=odd / "manifest.csv")
    assert [scene.paths for scene in survey.scenes] == [(good.resolve(),)]
    told = {str(entry.path.relative_to(tmp_path)): entry.reason for entry in survey.rejected}
    assert sorted(told) == [
        r"d\xff/c\xfe.json",
        r"d\xff/gone.tif",
        r"d\xff/item.json",
        r"d\xff/lost.tif",
        r"d\xff/missing.tif",
        r"d\xff/table.csv",
    ]
    for entry in survey.rejected:
        f"{entry.path}: {entry.reason}. {entry.cure}".encode()


def test_bands_that_a_file_lacks_are_rejected(tmp_path: Path) -> None:
    write_image(tmp_path / BAD)
    survey = find_scenes([tmp_path], bands=(5, 3, 2))
    assert "bands 5,3,2 asked for, but it has 3" in survey.rejected[0].reason
