"""The pixel grid on which the network sees a scene: that of the scene, rescaled to the model's GSD."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from detector.scene import Scene

NATIVE = 0.01
"""A scene whose GSD differs from the model's by no more than this share is seen as it is: nothing is resampled."""


@dataclass(frozen=True)
class ModelGrid:
    """Model pixels are the scene's pixel axes rescaled: x_model = x_px / scale_x, and so for y.

    Attributes:
        scale_x: scene pixels per model pixel, to the right.
        scale_y: the same, down.
        gsd_x_m: metres per model pixel, to the right.
        gsd_y_m: the same, down.
    """

    scale_x: float
    scale_y: float
    gsd_x_m: float
    gsd_y_m: float

    @classmethod
    def of(cls, scene: Scene, gsd_m: float, native: float = NATIVE) -> Self:
        """The grid of a scene for a model of `gsd_m`; the scene's own where both axes are within `native` of it."""
        if all(abs(gsd_m / own - 1.0) <= native for own in (scene.gsd_x_m, scene.gsd_y_m)):
            return cls(1.0, 1.0, scene.gsd_x_m, scene.gsd_y_m)
        return cls(gsd_m / scene.gsd_x_m, gsd_m / scene.gsd_y_m, gsd_m, gsd_m)

    @property
    def resampled(self) -> bool:
        """Whether model pixels are others than the scene's."""
        return (self.scale_x, self.scale_y) != (1.0, 1.0)

    @property
    def scales(self) -> NDArray[np.float64]:
        """(2,) scene pixels per model pixel, x and y."""
        return np.array([self.scale_x, self.scale_y])

    def shape(self, scene: Scene) -> tuple[int, int]:
        """(H, W) of the scene in model pixels: those whose centre lies in the scene."""
        height, width = scene.height / self.scale_y, scene.width / self.scale_x
        return max(1, math.ceil(height - 0.5 - 1e-6)), max(1, math.ceil(width - 0.5 - 1e-6))

    def sides_m(self, xywhr: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 2) length and width in metres of boxes (N, 5) in model pixels, each along its own direction."""
        cos, sin = np.cos(xywhr[:, 4]), np.sin(xywhr[:, 4])
        along = np.hypot(cos * self.gsd_x_m, sin * self.gsd_y_m)
        across = np.hypot(sin * self.gsd_x_m, cos * self.gsd_y_m)
        return np.asarray(xywhr[:, 2:4] * np.stack([along, across], axis=1))
