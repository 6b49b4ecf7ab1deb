"""Pictures without objects as tiles: real ground for the detector to stay silent on."""

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from scipy.ndimage import distance_transform_cdt

from detector.errors import InputRejected, UsageError
from detector.inputs.probe import measure, read_header
from detector.pixels.rasterfile import all_valid, open_raster
from detector.raster import SceneReader
from detector.scene import Scene
from training.datasets.sources import open_scene, read_image
from training.formats import Fault
from training.formats.reading import Source

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif")
BATCH = 64  # pictures
LEAST_LEFT = 0.5  # of a tile's edge, or a small picture's shorter side: least edge of a square of which tiles are made
UNREADABLE = (OSError, RasterioError, Image.DecompressionBombError)
"""What reading a damaged picture raises."""

Pixels = NDArray[np.uint8]
Bools = NDArray[np.bool_]


def pictures_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The pictures in a folder and those below it.

    Raises:
        UsageError: there is none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    if not paths:
        raise UsageError(f"{folder}: holds no pictures ({', '.join(suffixes)}).", "Give a folder of backgrounds.")
    return paths


@dataclass(frozen=True)
class Backgrounds:
    """A batch of pictures of one folder, GSD and split."""

    paths: tuple[Path, ...]
    gsd_m: float
    split: str

    @classmethod
    def batches(cls, given: str, default_gsd_m: float, val_share: float) -> list[Self]:
        """All pictures below "PATH" or "PATH@GSD_M", by split, in batches. A picture's name decides its split.

        Raises:
            UsageError: the folder holds no pictures, or the GSD is no positive number.
        """
        source = Source.parsed(given)
        folder, gsd_m = source.path, source.gsd_m or default_gsd_m
        paths = pictures_in(folder, SUFFIXES)
        held_out = [_draw(path) < val_share for path in paths]
        result = []
        for split, wanted in (("train", False), ("val", True)):
            chosen = [path for path, is_val in zip(paths, held_out, strict=True) if is_val is wanted]
            chosen.sort(key=_draw)  # neighbours by name are pictures of one kind; mix them
            result += [cls(tuple(chosen[i : i + BATCH]), gsd_m, split) for i in range(0, len(chosen), BATCH)]
        return result

    def digest(self) -> str:
        """SHA-256 over the names and bytes of the pictures, and the GSD of those that are read as scenes."""
        hashed = hashlib.sha256()
        for path in self.paths:
            hashed.update(path.name.encode())
            hashed.update(path.read_bytes())
            if not is_plain(path):
                hashed.update(f"scene {_own_gsd_m(path)}".encode())
        return hashed.hexdigest()


def background_tiles(batch: Backgrounds, gsd_m: float, size_px: int, faults: list[Fault]) -> Iterator[Pixels]:
    """Tiles (size, size, 3) at the model's GSD: large pictures are cut, small ones laid side by side, turned at random.

    Pictures that are not plain are read as scenes are for detection: stretched to 8 bit, at the GSD of their own
    georeference; `batch.gsd_m` is for the others. What holds no data is in no tile: blank margins are cut off first.

    Each picture is used once; the last tile repeats some to be full. Pictures that cannot be read, or of which too
    little holds data, go to `faults`.
    """
    rng = np.random.default_rng(int(batch.digest()[:8], 16))
    small: list[Pixels] = []
    for path in batch.paths:
        try:
            with opened(path, batch.gsd_m, gsd_m) as reader:
                yield from _tiles(reader, path, size_px, small)
        except InputRejected as error:
            faults.append(Fault(path, 0, f"{error.reason}: left out. {error.cure}"))
        except UNREADABLE as error:
            faults.append(Fault(path, 0, f"cannot be read ({type(error).__name__}: {error})"))
    while small:
        yield _patchwork(small, size_px, rng)


@dataclass(frozen=True)
class PlainReader:
    """A plain picture (H, W, 3) at the model's GSD, read as `SceneReader` reads scenes; it holds data everywhere."""

    pixels: Pixels

    @property
    def shape_model(self) -> tuple[int, int]:
        """(H, W) in model pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def read(self, x0: int, y0: int, w: int, h: int) -> tuple[Pixels, Bools]:
        """The pixels (h, w, 3) of a window within the picture, and that they hold data (h, w)."""
        return self.pixels[y0 : y0 + h, x0 : x0 + w], np.ones((h, w), dtype=bool)


@contextmanager
def opened(path: Path, stated_gsd_m: float, gsd_m: float) -> Iterator[PlainReader | SceneReader]:
    """A picture to be read at a GSD: a plain one at the stated GSD, any other as detection reads a scene.

    Args:
        path: the picture.
        stated_gsd_m: its GSD, where it has no georeference.
        gsd_m: the GSD that it is brought to.

    Raises:
        InputRejected: it cannot be used as a scene.
        OSError, RasterioError, Image.DecompressionBombError: it cannot be read; see `UNREADABLE`.
    """
    if is_plain(path):
        yield PlainReader(at_gsd(path, stated_gsd_m, gsd_m))
        return
    with SceneReader(_scene(path, stated_gsd_m), gsd_m) as reader:
        yield reader


def is_plain(path: Path) -> bool:
    """Whether a picture is no more than its 8 bit levels: without a place on the Earth, and with data everywhere.

    What GDAL cannot open counts as plain: the reader of plain pictures says what is wrong with it, or can read it.
    """
    try:
        with open_raster(path) as file:
            return set(file.dtypes) == {"uint8"} and file.count <= 4 and not _is_placed(path, file) and _is_whole(file)
    except RasterioError:
        return True


def _is_placed(path: Path, file: DatasetReader) -> bool:
    """Whether a picture has a geotransform, and a CRS in it or beside it."""
    beside = (path.with_suffix(suffix) for suffix in (".prj", ".PRJ"))
    return file.transform != Affine.identity() and (file.crs is not None or any(prj.is_file() for prj in beside))


def _is_whole(file: DatasetReader) -> bool:
    """Whether every pixel holds data: by what the file states of nodata, mask and alpha, or else by each pixel."""
    return all_valid(file, tuple(file.indexes)) or bool(file.dataset_mask().all())


def _scene(path: Path, stated_gsd_m: float) -> Scene:
    """A picture as a scene, at the GSD of its georeference, or the stated one where it has none.

    Raises:
        InputRejected: it cannot be used.
    """
    return open_scene(path, stated_gsd_m if read_image(path).crs is None else None)


def _own_gsd_m(path: Path) -> float | None:
    """The GSD that a picture's georeference gives; None where it gives none that can be used."""
    try:
        size = measure(read_header(path), limits_m=(0, math.inf))
    except InputRejected:
        return None
    return math.sqrt(size.gsd_x_m * size.gsd_y_m)


def _tiles(reader: PlainReader | SceneReader, path: Path, size_px: int, small: list[Pixels]) -> Iterator[Pixels]:
    """The tiles of a picture in which all pixels hold data, side by side from the corner of what does.

    Where there is none, the largest square that holds data everywhere goes to `small`, or is cut if it is large enough.

    Raises:
        InputRejected: that square is too small.
    """
    left, top, width, height = _extent(reader, path, size_px)
    given = 0
    for x0, y0 in _origins(height, width, size_px):
        image, valid = reader.read(left + x0, top + y0, size_px, size_px)
        if valid.all():
            given += 1
            yield image
    if given:
        return
    square = _whole_square(*reader.read(left, top, width, height))
    if min(square.shape[:2]) < LEAST_LEFT * min(size_px, *reader.shape_model):
        raise InputRejected(path, "too little of it holds data", "Cut it to the part that shows something.")
    if min(square.shape[:2]) < size_px:
        small.append(square)
    for x0, y0 in _origins(square.shape[0], square.shape[1], size_px):
        yield square[y0 : y0 + size_px, x0 : x0 + size_px]


def _extent(reader: PlainReader | SceneReader, path: Path, strip_px: int) -> tuple[int, int, int, int]:
    """The bounding box (left, top, width, height) of what holds data, read in strips of that height.

    Raises:
        InputRejected: nothing does.
    """
    height, width = reader.shape_model
    in_rows, in_columns = np.zeros(height, dtype=bool), np.zeros(width, dtype=bool)
    for y0 in range(0, height, strip_px):
        _, valid = reader.read(0, y0, width, min(strip_px, height - y0))
        in_rows[y0 : y0 + strip_px] = valid.any(axis=1)
        in_columns |= valid.any(axis=0)
    rows, columns = np.flatnonzero(in_rows), np.flatnonzero(in_columns)
    if not rows.size:
        raise InputRejected(path, "none of it holds data", "Take it out of the folder.")
    return int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def _origins(height: int, width: int, size_px: int) -> Iterator[tuple[int, int]]:
    """Places (x0, y0) of the tiles that lie in a picture side by side."""
    for y0 in range(0, height - size_px + 1, size_px):
        for x0 in range(0, width - size_px + 1, size_px):
            yield x0, y0


def _whole_square(image: Pixels, valid: Bools) -> Pixels:
    """A picture (H, W, 3) where all of it holds data, or else the largest square of an odd edge that does."""
    if valid.all():
        return image
    reach = distance_transform_cdt(np.pad(valid, 1), "chessboard")[1:-1, 1:-1]  # pixels to the nearest blank one
    y, x = np.unravel_index(int(reach.argmax()), reach.shape)
    half = int(reach[y, x]) - 1
    return image[y - half : y + half + 1, x - half : x + half + 1]


def _patchwork(pictures: list[Pixels], size_px: int, rng: np.random.Generator) -> Pixels:
    """One tile from the first pictures of the list, which are taken out of it."""
    edge = min(min(picture.shape[:2]) for picture in pictures)
    cells = math.ceil(size_px / edge)
    taken, pictures[:] = pictures[: cells**2], pictures[cells**2 :]
    chosen = [taken[i % len(taken)] for i in range(cells**2)]
    turned = [np.rot90(picture[:edge, :edge], int(rng.integers(4))) for picture in chosen]
    rows = [np.concatenate(turned[i : i + cells], axis=1) for i in range(0, cells**2, cells)]
    whole = np.concatenate(rows, axis=0)
    x0, y0 = rng.integers(0, whole.shape[0] - size_px + 1, size=2)
    return np.ascontiguousarray(whole[y0 : y0 + size_px, x0 : x0 + size_px])


def at_gsd(path: Path, gsd_m: float, wanted_gsd_m: float) -> Pixels:
    """A plain picture (H, W, 3), brought from its GSD to another.

    Raises:
        OSError, Image.DecompressionBombError: it cannot be read.
    """
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGB")
        size = tuple(max(1, round(edge * gsd_m / wanted_gsd_m)) for edge in upright.size)
        return np.asarray(upright.resize((size[0], size[1]), Image.Resampling.BICUBIC), dtype=np.uint8)


def _draw(path: Path) -> float:
    """A number in [0, 1) that depends on the picture's name only."""
    digest = hashlib.sha256(path.name.encode()).digest()
    return int.from_bytes(digest[:2], "big") / 0x10000
