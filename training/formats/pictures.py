"""The images that annotations are of: found by name, with their size, place on the Earth and GSD."""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.transform import Affine

from detector.errors import InputRejected
from detector.inputs.files import RASTER_SUFFIXES
from detector.pixels.georef import Grid, pixel_size
from detector.pixels.rasterfile import open_raster


@dataclass(frozen=True)
class Picture:
    """What importers need to know of an image.

    Attributes:
        path: the file.
        size_px: width and height.
        crs: its CRS, None without georeference.
        transform: pixels to CRS coordinates.
        gsd_m: geometric mean of its pixel's sides, None where nothing says.
        pixel_sides: a pixel's sides on the ground, x and y, as shares of that mean; 1 and 1 without georeference.
    """

    path: Path
    size_px: tuple[int, int]
    crs: CRS | None
    transform: Affine
    gsd_m: float | None
    pixel_sides: tuple[float, float] = (1.0, 1.0)

    def with_gsd(self, *stated_m: float | None) -> "Picture":
        """The same with the first GSD that is stated, unless its georeference gives one."""
        gsd_m = next((gsd for gsd in (self.gsd_m, *stated_m) if gsd is not None), None)
        return replace(self, gsd_m=gsd_m)


def open_picture(path: Path) -> Picture:
    """Read an image's header.

    Raises:
        InputRejected: the file is no image that can be read.
    """
    try:
        with open_raster(path) as dataset:
            size, crs, transform = (dataset.width, dataset.height), dataset.crs, dataset.transform
    except (RasterioError, OSError) as error:
        raise InputRejected(path, f"cannot be read as an image ({error})", "Copy or download it again.") from error
    if crs is None or transform == Affine.identity():
        return Picture(path, size, None, Affine.identity(), None)
    measured = pixel_size(Grid(crs, transform), (size[0] / 2, size[1] / 2))
    gsd_m = math.sqrt(measured.gsd_x_m * measured.gsd_y_m)
    if not (np.isfinite(gsd_m) and gsd_m > 0):
        return Picture(path, size, crs, transform, None)
    return Picture(path, size, crs, transform, gsd_m, (measured.gsd_x_m / gsd_m, measured.gsd_y_m / gsd_m))


def images_below(folder: Path) -> list[Path]:
    """All image files below a folder, sorted; hidden ones, which macOS leaves beside the others, are none."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in RASTER_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


class Album:
    """Images by the stem of their names.

    Args:
        images: their paths.
    """

    def __init__(self, images: Iterable[Path]) -> None:
        self._by_stem: dict[str, list[Path]] = {}
        for path in images:
            self._by_stem.setdefault(path.stem, []).append(path)

    def nearest(self, stem: str, beside: Path) -> Path | None:
        """The image of that stem which shares most folders with `beside`; None where there is none or no single one."""
        found = sorted(self._by_stem.get(stem, []), key=lambda path: _shared(path, beside), reverse=True)
        if len(found) > 1 and _shared(found[0], beside) == _shared(found[1], beside):
            return None
        return found[0] if found else None

    def all(self) -> list[Path]:
        """Every image, sorted."""
        return sorted(path for paths in self._by_stem.values() for path in paths)


def _shared(path: Path, other: Path) -> tuple[int, int]:
    """How many folders two files share, then how few more the first lies in."""
    shared = len(Path(os.path.commonpath([path.parent.absolute(), other.parent.absolute()])).parts)
    return shared, -len(path.absolute().parts)
