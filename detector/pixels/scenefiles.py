"""The files of one scene as one plane of pixels."""

from collections import OrderedDict
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

from detector.pixels.rasterfile import open_raster, read_values
from detector.scene import Scene

OPEN_FILES = 16  # of one scene, per reader: a scene may be cut into more files than a process may open


class SceneFiles:
    """Reads a scene at full resolution, whole or cut into files, each opened when it is needed.

    A context manager, to be used by the thread that made it.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._open: OrderedDict[int, DatasetReader] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def dataset(self, index: int) -> DatasetReader:
        """File number `index`, open until `OPEN_FILES` others have been asked for."""
        if index not in self._open:
            if len(self._open) == OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            self._open[index] = open_raster(self.scene.paths[index])
        self._open.move_to_end(index)
        return self._open[index]

    def read(self, x: int, y: int, w: int, h: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values (B, h, w) and validity (h, w) of a window in scene pixels; outside all files 0 and False.

        Where two files overlap by a seam, the first that is valid there gives the value.
        """
        values = np.zeros((len(self.scene.bands), h, w), dtype=self.scene.dtype)
        valid = np.zeros((h, w), dtype=bool)
        for index, ((dx, dy), (width, height)) in enumerate(
            zip(self.scene.offsets_px, self.scene.sizes_px, strict=True)
        ):
            left, top = max(x, dx), max(y, dy)
            right, bottom = min(x + w, dx + width), min(y + h, dy + height)
            if left >= right or top >= bottom:
                continue
            window = Window(left - dx, top - dy, right - left, bottom - top)
            part, part_valid = read_values(self.dataset(index), self.scene.bands, window)
            place = np.s_[top - y : bottom - y, left - x : right - x]
            fresh = part_valid & ~valid[place]
            values[:, *place] = np.where(fresh, part, values[:, *place])
            valid[place] |= fresh
        return values, valid
