"""Pictures of tiles as the second stage is shown them while it learns. Imports no torch."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.settings import SecondConfig
from training.tilefolder import picture_of


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
