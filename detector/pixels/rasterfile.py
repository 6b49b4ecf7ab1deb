"""One raster file: open it, and read a window of its pixels together with their validity."""

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader
from rasterio.windows import Window

# GDAL's block cache in MB, for all files of the process together: its own default grows with the machine.
# GDAL reads it once, at the first block.
os.environ.setdefault("GDAL_CACHEMAX", "128")

_filters = threading.RLock()  # warning filters are global to the process


@contextmanager
def unplaced() -> Iterator[None]:
    """Rasters without a georeference are what is wanted here: no warning; one thread at a time."""
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def open_raster(path: Path) -> DatasetReader:
    """Open `path` for reading, quietly where it has no georeference; close it, or use it in a `with`.

    The dataset belongs to the thread that opened it; any thread may close it when that one is done.

    Raises:
        rasterio.errors.RasterioIOError: GDAL cannot read the file.
    """
    with unplaced():
        return rasterio.open(path)


def all_valid(dataset: DatasetReader, bands: tuple[int, ...]) -> bool:
    """True when the file states neither nodata, mask nor alpha, and its type cannot hold NaN."""
    integer = all(np.issubdtype(np.dtype(dataset.dtypes[band - 1]), np.integer) for band in bands)
    if _false_alpha(dataset):
        return integer and all(dataset.nodatavals[band - 1] is None for band in bands)
    flags = [dataset.mask_flag_enums[band - 1] for band in bands]
    return integer and all(flag == [MaskFlags.all_valid] for flag in flags)


def read_values(
    dataset: DatasetReader,
    bands: tuple[int, ...],
    window: Window,
    step: int = 1,
    *,
    whole: bool | None = None,
    out: NDArray[Any] | None = None,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Pixel values (B, h, w) and their validity (h, w) of a window inside the file.

    A pixel is valid where the mask, alpha or nodata of any used band says so and every value is
    finite: a band that happens to equal nodata where the others do not is a dark pixel, not a hole.

    Args:
        dataset: an open raster.
        bands: one-based band indexes.
        window: whole pixels, inside the file.
        step: read about every `step`-th pixel only; h and w are the window's over `step`, rounded up.
        whole: what `all_valid` says, where it is known already.
        out: where the values go (B, h, w), of the file's type; by default into memory of their own.
    """
    h, w = -(-int(window.height) // step), -(-int(window.width) // step)
    if out is None:
        out = np.empty((len(bands), h, w), dtype=dataset.dtypes[bands[0] - 1])
    values = dataset.read(list(bands), window=window, out=out)
    if all_valid(dataset, bands) if whole is None else whole:
        return values, np.ones((h, w), dtype=bool)
    if MaskFlags.per_dataset in dataset.mask_flag_enums[bands[0] - 1] and not _false_alpha(dataset):
        valid = dataset.read_masks(bands[0], window=window, out_shape=(h, w)) > 0
    else:
        valid = np.zeros((h, w), dtype=bool)
        for band, plane in zip(bands, values, strict=True):
            valid |= _differs(plane, dataset.nodatavals[band - 1])
    if np.issubdtype(values.dtype, np.floating):
        valid &= np.isfinite(values).all(axis=0)
    return values, valid


def _false_alpha(dataset: DatasetReader) -> bool:
    """Whether the band that passes for alpha has a name of its own: GDAL takes any fourth band of 8 bit for alpha."""
    if MaskFlags.alpha not in dataset.mask_flag_enums[0]:
        return False
    name = dataset.descriptions[dataset.colorinterp.index(ColorInterp.alpha)]
    return bool(name) and "alpha" not in str(name).lower()


def _differs(values: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    """Where values are not nodata; a float32 nodata is often written with fewer digits than it has."""
    if nodata is None:
        return np.ones(values.shape, dtype=bool)
    if np.issubdtype(values.dtype, np.floating):
        return np.asarray(~np.isclose(values, nodata, rtol=1e-6, atol=0.0, equal_nan=True), dtype=np.bool_)
    return np.asarray(values != nodata, dtype=np.bool_)
