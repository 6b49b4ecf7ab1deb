"""From the truth of a scene to the labels of one tile: frames, cut boxes, what counts as visible. Pure arrays."""

import math
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import shapely
from numpy.typing import NDArray

from detector.geometry import corners_from_xywhr, xywhr_from_corners
from training.formats import Annotations

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Bounds = tuple[float, float, float, float]

STRIDE = 32
"""The network takes tiles whose edge is a multiple of this, in pixels."""
UPRIGHT_WIDTH_M = 4.0

_PROBES = np.stack(np.meshgrid(np.linspace(-0.45, 0.45, 9), np.linspace(-0.4, 0.4, 3)), axis=-1).reshape(-1, 2)


@dataclass(frozen=True)
class Truth:
    """The objects of one scene.

    Attributes:
        classes: network output numbers, N; `NO_CLASS` for areas to ignore that have none.
        corners_px: rectangles in scene pixels, N x 4 x 2.
        visible: share of each object that the picture shows, 0 to 1, N.
        ignore: areas that are neither an object to learn nor ground, N.
    """

    classes: NDArray[np.int64]
    corners_px: Floats
    visible: Floats
    ignore: Bools

    @classmethod
    def of(cls, annotations: Annotations, gsd_xy_m: tuple[float, float]) -> Self:
        """The truth that annotations of an image with that GSD give.

        Upright boxes of unknown rotation are kept only where that rotation is hardly in doubt: the upright hull of a
        vehicle some 3 m wide that stands askew is wider than `UPRIGHT_WIDTH_M`. Such a hull is no oriented label, nor
        is it ground: its area is ignored.
        """
        sides_m = np.ptp(annotations.corners_px, axis=1) * gsd_xy_m
        unsure = annotations.axis_aligned & (sides_m.min(axis=1, initial=np.inf) > UPRIGHT_WIDTH_M)
        ignore = annotations.ignore | unsure
        return cls(annotations.classes, annotations.corners_px, annotations.visible, ignore)


@dataclass(frozen=True)
class TileLabels:
    """What is known of one tile.

    Attributes:
        classes: class numbers of the objects to learn, N.
        corners: their rectangles in tile pixels, N x 4 x 2.
        ignored: rectangles that must teach neither object nor ground, in tile pixels, M x 4 x 2.
    """

    classes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    corners: Floats = field(default_factory=lambda: np.zeros((0, 4, 2)))
    ignored: Floats = field(default_factory=lambda: np.zeros((0, 4, 2)))

    def as_text(self, size_px: int) -> str:
        """Lines `class x1 y1 x2 y2 x3 y3 x4 y4` with coordinates divided by the tile's edge."""
        return "".join(
            f"{number} " + " ".join(f"{value:.6f}" for value in corners.ravel() / size_px) + "\n"
            for number, corners in zip(self.classes, self.corners, strict=True)
        )

    @classmethod
    def from_text(cls, text: str, size_px: int) -> Self:
        """The inverse of `as_text`, but for rounding; of areas to ignore, text says nothing."""
        rows = [[float(value) for value in line.split()] for line in text.splitlines()]
        table = np.array(rows, dtype=np.float64).reshape(-1, 9)
        return cls(table[:, 0].astype(np.int64), table[:, 1:].reshape(-1, 4, 2) * size_px)


def to_model(corners_px: Floats, gsd_x_m: float, gsd_y_m: float, gsd_m: float) -> Floats:
    """Rectangles in scene pixels (N x 4 x 2) as exact rectangles in model pixels, where both axes have one GSD."""
    scaled = corners_px * (gsd_x_m / gsd_m, gsd_y_m / gsd_m)
    return corners_from_xywhr(xywhr_from_corners(scaled))


def clip_rectangles(corners: Floats, bounds: Bounds) -> tuple[Floats, Floats]:
    """Cut rectangles down to what can be seen of them within upright bounds.

    Laws: a rectangle inside the bounds is returned unchanged, with share 1. The result keeps the direction of the
    sides, lies inside the original, and holds all of it that is inside the bounds; it is the smallest such.

    Args:
        corners: consecutive corners, N x 4 x 2, in tile pixels.
        bounds: x0, y0, x1, y1 in tile pixels.

    Returns:
        The cut rectangles, N x 4 x 2 (of those wholly outside: unchanged), and the share of each original's area that
        is inside, N.
    """
    result = corners.copy()
    whole = np.asarray(((corners >= bounds[:2]) & (corners <= bounds[2:])).all(axis=(1, 2)))
    shares = whole.astype(np.float64)
    cut = np.flatnonzero(~whole)
    inside = shapely.intersection(shapely.polygons(corners[cut]), shapely.box(*bounds))
    for index, part in zip(cut, inside, strict=True):
        first, second, third, _ = corners[index]
        along, across = second - first, third - second
        frame = np.stack([along / (along @ along), across / (across @ across)])  # corners are at 0 and 1 in it
        shares[index] = min(1.0, part.area / abs(along[0] * across[1] - along[1] * across[0]))
        if part.area <= 0:
            continue
        seen = ((shapely.get_coordinates(part) - first) @ frame.T).clip(0, 1)
        (a0, b0), (a1, b1) = seen.min(axis=0), seen.max(axis=0)
        result[index] = first + np.array([(a0, b0), (a1, b0), (a1, b1), (a0, b1)]) @ np.stack([along, across])
    return result, shares


def shown(valid: Bools) -> Bounds:
    """What a tile shows of its picture: the bounds x0, y0, x1, y1 of its valid pixels (H x W); all 0 without any."""
    columns, rows = (np.flatnonzero(valid.any(axis=axis)) for axis in (0, 1))
    if columns.size == 0:
        return (0, 0, 0, 0)
    return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def valid_shares(corners: Floats, valid: Bools) -> Floats:
    """Share of each rectangle (N x 4 x 2, tile pixels) that lies on valid pixels (H x W), from 27 probes, N."""
    if len(corners) == 0:
        return np.zeros(0)
    centre = corners.mean(axis=1)
    along, across = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 1]
    probes = centre[:, None] + _PROBES[None, :, :1] * along[:, None] + _PROBES[None, :, 1:] * across[:, None]
    limits = (valid.shape[1] - 1, valid.shape[0] - 1)
    columns, rows = np.moveaxis(np.floor(probes).clip(0, limits).astype(np.int64), -1, 0)
    return np.asarray(valid[rows, columns].mean(axis=1), dtype=np.float64)


def labels_of_tile(
    truth: Truth, corners_model: Floats, origin: tuple[int, int], valid: Bools, *, min_visible: float, min_inside: float
) -> TileLabels:
    """The labels of the tile at `origin` (x0, y0) in model pixels, whose validity mask is `valid` (size x size).

    Objects are cut where the tile or its picture ends. Labels are those of which at least `min_inside` is left and at
    least `min_visible` can be seen. To be ignored are areas that the truth says so of, and objects of which enough is
    left but too little can be seen; what an edge leaves of an object, if less than `min_inside`, is small enough to
    pass as ground.
    """
    bounds = shown(valid)
    corners = corners_model - origin
    near = (corners.max(axis=1) > bounds[:2]).all(axis=1) & (corners.min(axis=1) < bounds[2:]).all(axis=1)
    kept, shares = clip_rectangles(corners[near], bounds)
    # Both may say that data is missing, which must not count twice.
    seen = np.minimum(truth.visible[near], valid_shares(kept, valid))
    ignore, inside, clear = truth.ignore[near], shares >= min_inside, seen >= min_visible
    learnt = ~ignore & inside & clear
    hidden = ~ignore & inside & ~clear & (seen > 0)
    return TileLabels(truth.classes[near][learnt], kept[learnt], kept[(ignore & (shares > 0)) | hidden])


def tile_origins(length: int, size: int, overlap: int) -> list[int]:
    """Starts of tiles along one axis: they cover [0, length), overlap by at least `overlap`, and the last is flush."""
    if length <= size:
        return [0]
    count = int(np.ceil((length - overlap) / (size - overlap)))
    return [round(start) for start in np.linspace(0, length - size, count)]


def network_edge_px(tile_px: int) -> int:
    """The least edge that the network takes a tile of edge `tile_px` at."""
    return math.ceil(tile_px / STRIDE) * STRIDE
