"""The files of one scene as one plane of pixels."""

from collections import OrderedDict
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

from detector.errors import InputRejected
from detector.pixels.cloudmask import FileGrid, MaskReader
from detector.pixels.rasterfile import all_valid, open_raster, read_values
from detector.scene import Scene

OPEN_FILES = 16  # of one scene, per reader: a scene may be cut into more files than a process may open


class SceneFiles:
    """Reads a scene at full resolution, whole or cut into files, each opened when it is needed.

    A context manager, to be used by the thread that made it. Law: what `read` returns was in the files that the
    scene's hash is of, since their states are compared when one has been opened and after each read.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._open: OrderedDict[int, DatasetReader] = OrderedDict()
        self._whole: dict[int, bool] = {}
        self._masks: OrderedDict[int, MaskReader] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._open:
            self._open.popitem()[1].close()
        while self._masks:
            self._masks.popitem()[1].close()

    def dataset(self, index: int) -> DatasetReader:
        """File number `index`, open until `OPEN_FILES` others have been asked for.

        Raises:
            InputRejected: it, or a file behind it, was not the one that was hashed when it was opened.
            RasterioError, OSError: it cannot be read.
        """
        if index not in self._open:
            if len(self._open) == OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            self._open[index] = self._opened(index)
        self._open.move_to_end(index)
        return self._open[index]

    def _opened(self, index: int) -> DatasetReader:
        dataset = open_raster(self.scene.paths[index])
        try:
            self.scene.see_unchanged(index)
        except (InputRejected, OSError):
            dataset.close()
            raise
        return dataset

    def unclouded(self, index: int, valid: NDArray[np.bool_], window: Window, step: int = 1) -> NDArray[np.bool_]:
        """What of the valid pixels (h, w) of a window of file number `index` its cloud mask leaves to be seen."""
        mask = self.scene.mask(index)
        if mask is None:
            return valid
        if index not in self._masks:
            if len(self._masks) == OPEN_FILES:
                self._masks.popitem(last=False)[1].close()
            self._masks[index] = MaskReader(mask, FileGrid.of(self.scene, index))
        self._masks.move_to_end(index)
        x, y, w, h = (int(v) for v in (window.col_off, window.row_off, window.width, window.height))
        return valid & self._masks[index].seen(x, y, w, h, step)

    def read(
        self, x: int, y: int, w: int, h: int, out: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values (B, h, w) and validity (h, w) of a window in scene pixels; values are 0 where they are not valid.

        Where two files overlap by a seam, the first that is valid there gives the value.

        Args:
            x: left end.
            y: upper end.
            w: width.
            h: height.
            out: where the values go (B, h, w), of the scene's type; by default into memory of their own.

        Raises:
            InputRejected: a file changed since it was hashed.
            RasterioError, OSError: a file cannot be read.
        """
        values = np.empty((len(self.scene.bands), h, w), dtype=self.scene.dtype) if out is None else out
        valid: NDArray[np.bool_] | None = None
        for index, ((dx, dy), (width, height)) in enumerate(
            zip(self.scene.offsets_px, self.scene.sizes_px, strict=True)
        ):
            left, top = max(x, dx), max(y, dy)
            right, bottom = min(x + w, dx + width), min(y + h, dy + height)
            if left >= right or top >= bottom:
                continue
            window = Window(left - dx, top - dy, right - left, bottom - top)
            if valid is None and (right - left, bottom - top) == (w, h):
                valid = self._part(index, window, values)[1]
                if valid.all():
                    return values, valid
                np.copyto(values, 0, where=~valid)
                continue
            if valid is None:
                values[:], valid = 0, np.zeros((h, w), dtype=bool)
            part, part_valid = self._part(index, window)
            place = np.s_[top - y : bottom - y, left - x : right - x]
            fresh = part_valid & ~valid[place]
            np.copyto(values[:, *place], part, where=fresh)
            valid[place] |= fresh
        if valid is None:
            values[:], valid = 0, np.zeros((h, w), dtype=bool)
        return values, valid

    def _part(
        self, index: int, window: Window, out: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """What file number `index` holds of a window of its own pixels."""
        dataset = self.dataset(index)
        if index not in self._whole:
            self._whole[index] = all_valid(dataset, self.scene.bands)
        values, valid = read_values(dataset, self.scene.bands, window, whole=self._whole[index], out=out)
        seen = self.unclouded(index, valid, window)
        self.scene.see_unchanged(index)
        return values, seen
