"""Small image files to order, for the tests of the input layer."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine
from scipy.ndimage import gaussian_filter

UTM = "EPSG:32652"
ORIGIN = (500_000.0, 4_500_000.0)


def utm_grid(gsd_m: float = 0.3, rotation_deg: float = 0.0, origin: tuple[float, float] = ORIGIN) -> Affine:
    """North-up (or rotated) pixels of `gsd_m` metres from `origin`."""
    angle = np.deg2rad(rotation_deg)
    cos, sin = gsd_m * float(np.cos(angle)), gsd_m * float(np.sin(angle))
    return Affine(cos, sin, origin[0], sin, -cos, origin[1])


def picture(height: int = 80, width: int = 100, bands: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth random picture without zeros (bands, height, width)."""
    rng = np.random.default_rng(seed)
    soft = gaussian_filter(rng.normal(size=(bands, height, width)), (0, 2, 2))
    soft = (soft - soft.min()) / np.ptp(soft)
    return (10 + 235 * soft).astype(np.uint8)


def write_image(
    path: Path,
    values: NDArray[Any] | None = None,
    *,
    transform: Affine | None = None,
    crs: str | None = UTM,
    tags: dict[str, str] | None = None,
    nodata: float | None = None,
    mask: NDArray[np.bool_] | None = None,
    colours: Sequence[ColorInterp] | None = None,
    names: Sequence[str] | None = None,
    driver: str = "GTiff",
    **options: object,
) -> Path:
    """Write `values` (bands, h, w), by default `picture()`, to `path`; without a CRS where `crs` is None."""
    values = picture() if values is None else values
    bands, height, width = values.shape
    if crs is not None:
        options.update(crs=crs, transform=transform or utm_grid())
    elif transform is not None:
        options.update(transform=transform)
    profile = {"driver": driver, "count": bands, "height": height, "width": width, "dtype": values.dtype}
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", nodata=nodata, **profile, **options) as dataset:
            if colours is not None:
                dataset.colorinterp = colours
            dataset.write(values)
            if names is not None:
                dataset.descriptions = names
            if tags:
                dataset.update_tags(**tags)
            if mask is not None:
                dataset.write_mask(mask)
    return path


def cut_in_four(folder: Path, name: str = "yard_20231005", shift: float = 0.0) -> None:
    """A 100 x 80 picture cut at column 60 and row 30."""
    values, t = picture(), utm_grid(0.3, 20)
    for part, (x, y, w, h) in enumerate([(60, 30, 40, 50), (0, 0, 60, 30), (60, 0, 40, 30), (0, 30, 60, 50)]):
        moved = shift if part == 3 else 0.0
        piece = t @ Affine.translation(x + moved, y)
        write_image(folder / f"{name}_{part}.tif", values[:, y : y + h, x : x + w], transform=piece)
