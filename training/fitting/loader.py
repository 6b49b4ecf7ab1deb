"""Tiles as training sees them: Ultralytics' dataset of oriented boxes, at a fixed GSD."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from ultralytics.data import YOLODataset
from ultralytics.data.augment import Albumentations, Compose, Mosaic
from ultralytics.utils.patches import imread

from detector.errors import UsageError
from training.fitting.augment import with_visible_affine
from training.fitting.order import Draw, TileOrder
from training.tilefolder import TILE_SUFFIXES
from training.tiles import network_edge_px

MOST_CROPPED = 1.6  # tiles on disk may be this much larger than what training sees of them


class TileDataset(YOLODataset):
    """Tiles that are never resized, since size in pixels is size in metres.

    For training, a window of the training size is taken out of a (turned, shifted) tile, which may be larger, so that
    turning leaves no empty corners. For looking at held-out tiles, the whole tile is taken.

    Law: equal draws give equal samples, whatever was drawn before.

    Args:
        min_inside: least share of a box that must stay inside the window.
        **arguments: those of Ultralytics' dataset; `imgsz` is the training size.

    Raises:
        UsageError: a tile is so large that training would see only its middle.
    """

    def __init__(self, min_inside: float, **arguments: object) -> None:
        self.min_inside = min_inside
        super().__init__(**arguments)

    def __getitem__(self, drawn: Draw | int) -> dict[str, Any]:
        """The sample of a draw, or of the tile with a number as the state of the random generators has it."""
        if isinstance(drawn, int):
            sample: dict[str, Any] = super().__getitem__(drawn)
            return sample
        random.seed(drawn.seed)
        np.random.seed(drawn.seed)  # noqa: NPY002 - what Ultralytics' transforms draw from
        torch.default_generator.manual_seed(drawn.seed)  # Ultralytics seeds Albumentations by it, unless it did last
        self.pixels.set_random_seed(drawn.seed)
        self.mosaic.p = self.mosaic_p if drawn.mixed else 0.0
        mixed: dict[str, Any] = super().__getitem__(drawn.index)
        return mixed

    @property
    def largest_px(self) -> int:
        """Longest edge of any tile."""
        return int(max(max(label["shape"]) for label in self.labels))

    def get_img_files(self, img_path: str | list[str]) -> list[str]:
        """The tiles below folders as Ultralytics finds them, and those that `img_path` names themselves, in order."""
        places = [img_path] if isinstance(img_path, str) else img_path
        tiles = [place for place in places if Path(place).suffix.lower() in TILE_SUFFIXES]
        folders = [place for place in places if Path(place).suffix.lower() not in TILE_SUFFIXES]
        return sorted(tiles + (super().get_img_files(folders) if folders else []))

    def build_transforms(self, hyp: object = None) -> Compose:
        """The stock pipeline with our affine change in it, and mosaics of tiles from the whole data set."""
        if not self.augment:
            self.imgsz = network_edge_px(self.largest_px)
        elif self.largest_px > MOST_CROPPED * self.imgsz:
            raise UsageError(
                f"Tiles of {self.largest_px} px are too large to train at tile_px {self.imgsz}.",
                "Cut the scenes again with `python -m training.dataset`, or raise tile_px.",
            )
        transforms = super().build_transforms(hyp)
        with_visible_affine(transforms, self.min_inside)
        if self.augment:
            self.mosaic: Mosaic = transforms.transforms[0].transforms[0]
            self.mosaic_p: float = self.mosaic.p
            steps = transforms.transforms
            self.pixels: A.Compose = next(step.transform for step in steps if isinstance(step, Albumentations))
            self.mosaic.buffer_enabled = False  # the tiles read last are not a function of the draw
        return transforms

    def load_image(
        self, i: int, rect_mode: bool = True, resize_short: bool = False
    ) -> tuple[NDArray[np.uint8], tuple[int, int], tuple[int, int]]:
        """Tile `i` as it is on disk, H x W x 3, and its shape twice (the stock method would resize it)."""
        del rect_mode, resize_short
        image = imread(self.im_files[i], flags=self.cv2_flag)
        shape = image.shape[:2]
        return image, shape, shape


class TileLoader(DataLoader[dict[str, Any]]):
    """Batches in the order of `order`, which decides anew in every epoch; workers stay.

    Args:
        dataset: the tiles.
        order: their order.
        batch: tiles per step of this device.
        workers: processes that prepare tiles; 0: in turn with the network.
        pinned: whether batches go to a GPU.
    """

    sampler: TileOrder

    def __init__(self, dataset: TileDataset, order: TileOrder, batch: int, workers: int, *, pinned: bool) -> None:
        super().__init__(
            dataset,
            batch_size=batch,
            sampler=order,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pinned,
            collate_fn=dataset.collate_fn,
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        """Start only when the first batch is asked for: the trainer makes two iterators per epoch and uses one."""
        yield from super().__iter__()
