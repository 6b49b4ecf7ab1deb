"""Tiles as training sees them: Ultralytics' dataset of oriented boxes, at a fixed GSD."""

import contextlib
import io
import math

import numpy as np
from numpy.typing import NDArray
from ultralytics.data import YOLODataset
from ultralytics.data.augment import Compose
from ultralytics.utils.patches import imread

from detector.errors import UsageError
from training.augment import with_visible_affine

STRIDE = 32
MOST_CROPPED = 1.6  # tiles on disk may be this much larger than what training sees of them


class TileDataset(YOLODataset):
    """Tiles that are never resized, since size in pixels is size in metres.

    For training, a window of the training size is taken out of a (turned, shifted) tile, which may be larger, so that
    turning leaves no empty corners. For looking at held-out tiles, the whole tile is taken.

    Args:
        min_inside: least share of a box that must stay inside the window.
        **arguments: those of Ultralytics' dataset; `imgsz` is the training size.

    Raises:
        UsageError: a tile is so large that training would see only its middle.
    """

    buffer: list[int]

    def __init__(self, min_inside: float, **arguments: object) -> None:
        self.min_inside = min_inside
        super().__init__(**arguments)

    @property
    def largest_px(self) -> int:
        """Longest edge of any tile."""
        return int(max(max(label["shape"]) for label in self.labels))

    def build_transforms(self, hyp: object = None) -> Compose:
        """The stock pipeline with our affine change in it."""
        if not self.augment:
            self.imgsz = math.ceil(self.largest_px / STRIDE) * STRIDE
        elif self.largest_px > MOST_CROPPED * self.imgsz:
            raise UsageError(
                f"Tiles of {self.largest_px} px are too large to train at tile_px {self.imgsz}.",
                "Cut the scenes again with `python -m training.dataset`, or raise tile_px.",
            )
        transforms = super().build_transforms(hyp)
        with_visible_affine(transforms, self.min_inside)
        return transforms

    def load_image(
        self, i: int, rect_mode: bool = True, resize_short: bool = False
    ) -> tuple[NDArray[np.uint8], tuple[int, int], tuple[int, int]]:
        """Tile `i` as it is on disk, H x W x 3, and its shape twice (the stock method would resize it)."""
        del rect_mode, resize_short
        image = self.ims[i]
        if image is None:
            image = imread(self.im_files[i], flags=self.cv2_flag)
            if self.augment and self.cache != "ram":  # mosaics choose among the tiles read last
                self.buffer = [*self.buffer[1 - self.max_buffer_length :], i]
        shape = image.shape[:2]
        return image, shape, shape

    def cache_images(self) -> None:
        """Read all tiles into memory, without the stock progress bar."""
        with contextlib.redirect_stdout(io.StringIO()):
            super().cache_images()
