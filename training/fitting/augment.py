"""Changes of geometry: Ultralytics' own, which know oriented boxes, with our rule for cut ones."""

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from ultralytics.data.augment import Compose, RandomPerspective


class VisibleAffine(RandomPerspective):
    """Ultralytics' affine change that drops the boxes of which too little stays inside the tile.

    The stock transform keeps slivers of 1 %. Here the rule is that of the tiles: at least `min_inside` of the
    rectangle's area.

    Args:
        min_inside: least share of a box that must stay inside.
        **arguments: those of Ultralytics' transform.
    """

    def __init__(self, min_inside: float, **arguments: object) -> None:
        super().__init__(**arguments)
        self.min_inside = min_inside

    def apply_segments(
        self, segments: NDArray[Any], M: NDArray[Any], size: tuple[int, int]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Move outlines (N, K, 2); those that leave the tile become empty, which the caller then drops."""
        bounds, moved = super().apply_segments(segments, M, size)
        if len(moved):
            gone = inside_shares(moved, size) < self.min_inside
            bounds[gone], moved[gone] = 0, 0
        return bounds, moved


def inside_shares(outlines: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float64]:
    """Share of the area of each convex outline (N, K, 2; points in order) inside (0, 0, width, height)."""
    low, high = outlines.min(axis=1), outlines.max(axis=1)
    whole = ((low >= 0) & (high <= np.asarray(size))).all(axis=1)
    shares = whole.astype(np.float64)
    cut = np.flatnonzero(~whole)
    polygons = shapely.polygons(outlines[cut].astype(np.float64))
    inside = shapely.area(shapely.clip_by_rect(polygons, 0, 0, *size))
    shares[cut] = inside / np.maximum(shapely.area(polygons), 1e-9)
    return np.asarray(shares, dtype=np.float64)


def with_visible_affine(transforms: Compose, min_inside: float) -> None:
    """Put `VisibleAffine` in the place of the affine change in an Ultralytics pipeline, with the same settings."""
    for index, step in enumerate(transforms.transforms):
        if isinstance(step, Compose):
            with_visible_affine(step, min_inside)
        elif type(step) is RandomPerspective:
            transforms.transforms[index] = VisibleAffine(min_inside, **vars(step))
