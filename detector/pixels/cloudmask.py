"""Cloud masks on the grid of their image: which pixels are not hidden."""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window
from scipy.ndimage import binary_opening

from detector.errors import InputRejected
from detector.pixels.georef import is_on_earth
from detector.pixels.rasterfile import open_raster
from detector.scene import CloudMask, Scene

SPECK_PX = 5  # hidden areas narrower than this are bright roofs or noise
SAME_PX = 0.05  # a mask this close to the image's pixels lies on them
CURE = "Give a mask of the same place, as whole numbers, or remove it."
_HEAVY_HAZE, _CLOUD, _UNUSABLE = 5, 6, 8
_UDM1_CLOUD_BIT = 0b10


@dataclass(frozen=True)
class FileGrid:
    """The pixels of one image file: its CRS or None, transform, columns and rows."""

    crs: CRS | None
    transform: Affine
    width: int
    height: int

    @classmethod
    def of(cls, scene: Scene, index: int) -> Self:
        """The grid of file number `index` of a scene."""
        return cls(scene.crs, scene.transform * Affine.translation(*scene.offsets_px[index]), *scene.sizes_px[index])


class MaskReader:
    """Reads a cloud mask on the grid of its image, by nearest neighbour; what it does not reach is hidden.

    A context manager, to be used by the thread that made it.

    Args:
        mask: the mask.
        grid: of the image.

    Raises:
        InputRejected: the mask does not fit the image.
        RasterioError: it cannot be read.
    """

    def __init__(self, mask: CloudMask, grid: FileGrid) -> None:
        self.mask, self._grid = mask, grid
        self._dataset = open_raster(mask.path)
        self._warped: WarpedVRT | None = None
        try:
            self._check()
            if None not in (grid.crs, self._dataset.crs) and not self._same_grid():
                self._warped = WarpedVRT(
                    self._dataset,
                    crs=grid.crs,
                    transform=grid.transform,
                    width=grid.width,
                    height=grid.height,
                    resampling=Resampling.nearest,
                    add_alpha=True,
                )
        except BaseException:
            self._dataset.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        if self._warped is not None:
            self._warped.close()
        self._dataset.close()

    def seen(self, x: int, y: int, w: int, h: int, step: int = 1) -> NDArray[np.bool_]:
        """Which pixels of a window inside the image are not hidden.

        Law: a pixel does not depend on the window that it is read in, at `step` 1.

        Returns:
            bool (h, w), over `step`, rounded up. At `step` 1, specks narrower than `SPECK_PX` count as seen.
        """
        if step > 1:
            return ~self._hidden(Window(x, y, w, h), (-(-h // step), -(-w // step)))
        left, top = max(0, x - SPECK_PX), max(0, y - SPECK_PX)
        right, bottom = min(self._grid.width, x + w + SPECK_PX), min(self._grid.height, y + h + SPECK_PX)
        hidden = self._hidden(Window(left, top, right - left, bottom - top), (bottom - top, right - left))
        if hidden.any() and not hidden.all():
            # As if the image went on beyond its ends: a cloud is no speck because the image ends there.
            wide = np.pad(hidden, SPECK_PX, mode="edge")
            opened = binary_opening(wide, np.ones((SPECK_PX, SPECK_PX), dtype=bool))
            hidden = np.asarray(opened[SPECK_PX:-SPECK_PX, SPECK_PX:-SPECK_PX], dtype=np.bool_)
        return ~hidden[y - top : y - top + h, x - left : x - left + w]

    def _hidden(self, window: Window, shape: tuple[int, int]) -> NDArray[np.bool_]:
        bands = [_HEAVY_HAZE, _CLOUD, _UNUSABLE] if self.mask.meaning == "udm2" else [self.mask.band]
        source: DatasetReader | WarpedVRT = self._warped or self._dataset
        outside = np.zeros(shape, dtype=bool)
        if self._warped is not None:
            outside = source.read(source.count, window=window, out_shape=shape, resampling=Resampling.nearest) == 0
        elif (self._dataset.width, self._dataset.height) != (self._grid.width, self._grid.height):
            window = self._scaled(window)
        told = source.read(bands, window=window, out_shape=(len(bands), *shape), resampling=Resampling.nearest)
        if self.mask.meaning == "udm2":
            haze, cloud, unusable = told
            return np.asarray(
                outside | (haze > 0) | (cloud > 0) | ((unusable.astype(np.int64) & ~_UDM1_CLOUD_BIT) > 0),
                dtype=np.bool_,
            )
        return np.asarray(
            outside | ((told[0] == 0) if self.mask.meaning == "clear" else (told[0] != 0)), dtype=np.bool_
        )

    def _scaled(self, window: Window) -> Window:
        """The window on a coarser or finer mask of the same picture."""
        sx, sy = self._dataset.width / self._grid.width, self._dataset.height / self._grid.height
        return Window(window.col_off * sx, window.row_off * sy, window.width * sx, window.height * sy)

    def _same_grid(self) -> bool:
        dataset, grid = self._dataset, self._grid
        if dataset.crs != grid.crs or (dataset.width, dataset.height) != (grid.width, grid.height):
            return False
        far = (grid.width, grid.height)
        drift = [
            abs(a - b)
            for end in ((0, 0), far)
            for a, b in zip(~grid.transform * dataset.transform * end, end, strict=True)
        ]
        return bool(max(drift) < SAME_PX)

    def _check(self) -> None:
        dataset, grid, name = self._dataset, self._grid, self.mask.path.name
        bands = range(1, dataset.count + 1) if self.mask.meaning == "udm2" else [self.mask.band]
        if not all(np.issubdtype(np.dtype(dataset.dtypes[band - 1]), np.integer) for band in bands):
            raise InputRejected(self.mask.path, f"cloud mask {name} holds {dataset.dtypes[bands[0] - 1]}", CURE)
        if grid.crs is None or dataset.crs is None:
            aspect = dataset.width / dataset.height * grid.height / grid.width
            exact = (dataset.width, dataset.height) == (grid.width, grid.height)
            if not exact and (grid.crs is not None or abs(aspect - 1) > 0.01):
                reason = f"cloud mask {name} has {dataset.width} x {dataset.height} pixels and no place of its own"
                raise InputRejected(self.mask.path, f"{reason}, its image {grid.width} x {grid.height}", CURE)
            return
        if not is_on_earth(dataset.crs):
            reason = f"the CRS of cloud mask {name} gives no place on the Earth"
            raise InputRejected(self.mask.path, reason, "Give it the CRS of its image (gdal_edit.py -a_srs EPSG:...).")
        west, south, east, north = transform_bounds(dataset.crs, grid.crs, *dataset.bounds)
        corners = [grid.transform * (x, y) for x in (0, grid.width) for y in (0, grid.height)]
        xs, ys = zip(*corners, strict=True)
        if max(xs) <= west or min(xs) >= east or max(ys) <= south or min(ys) >= north:
            raise InputRejected(self.mask.path, f"cloud mask {name} is of another place than its image", CURE)
