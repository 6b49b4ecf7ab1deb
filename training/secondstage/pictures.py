"""Pictures of tiles as the second stage is shown them while it learns. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detector.errors import UsageError
from training.settings import SecondConfig
from training.tiles import network_edge_px

CUT_AGAIN = "Cut the scenes again with `python -m training.dataset`."


class Looks:
    """Tiles on another day, from another sensor: a numbered look at a tile is always the same.

    Both stages must see the same: what the first one makes of a poor picture is what the second one has to mend.

    Args:
        config: settings.
    """

    def __init__(self, config: SecondConfig) -> None:
        import albumentations as A  # noqa: PLC0415 - asks the network on import, unless the environment is set

        from training.fitting.pixels import pixel_transforms  # noqa: PLC0415 - imports it too

        self._seed = config.seed
        self._pixels = A.Compose(pixel_transforms(config.pixels))

    def picture(self, path: Path, number: int) -> NDArray[np.uint8]:
        """A look at a tile, S x S x 3.

        Raises:
            UsageError: it cannot be read, or is no square.
        """
        self._pixels.set_random_seed(int(np.random.default_rng([self._seed, number]).integers(2**31)))
        return np.asarray(self._pixels(image=picture_of(path))["image"], dtype=np.uint8)


def picture_of(path: Path) -> NDArray[np.uint8]:
    """A tile, S x S x 3.

    Raises:
        UsageError: it cannot be read, or is no square.
    """
    try:
        with Image.open(path) as picture:
            image = np.asarray(picture.convert("RGB"), dtype=np.uint8)
    except (OSError, ImportError) as error:  # where Ultralytics is at hand, it tries another library
        raise UsageError(f"{path}: cannot be read ({error}).", CUT_AGAIN) from error
    if image.shape[0] != image.shape[1]:
        raise UsageError(f"{path}: is {image.shape[1]} x {image.shape[0]} px, no square.", CUT_AGAIN)
    return image


def edge_of(tiles: Sequence[Path]) -> int:
    """The edge of tiles that hold any of these, as the network takes them."""
    return max(network_edge_px(max(_size(path))) for path in tiles)


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as picture:
            return picture.size
    except (OSError, ImportError) as error:
        raise UsageError(f"{path}: cannot be read ({error}).", CUT_AGAIN) from error
