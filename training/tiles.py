"""From the truth of a scene to the labels of one tile: frames, cut boxes, what counts as visible. Pure arrays."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import shapely
from numpy.typing import NDArray

from detector.errors import InputRejected
from detector.geometry import corners_from_xywhr, xywhr_from_corners
from training.classes import class_index

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_PROBES = np.stack(np.meshgrid(np.linspace(-0.45, 0.45, 9), np.linspace(-0.4, 0.4, 3)), axis=-1).reshape(-1, 2)


@dataclass(frozen=True)
class Truth:
    """The objects of one scene.

    Attributes:
        classes: network output numbers, N.
        corners_px: rectangles in scene pixels, N x 4 x 2.
        visible: share of each object that the picture shows, 0 to 1, N.
    """

    classes: NDArray[np.int64]
    corners_px: Floats
    visible: Floats

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read `<stem>.truth.geojson`.

        Raises:
            InputRejected: the file is no such GeoJSON, or names an unknown class.
        """
        try:
            features = json.loads(path.read_text())["features"]
            rows = [feature["properties"] for feature in features]
            return cls(
                np.array([class_index(row["class"]) for row in rows], dtype=np.int64),
                np.array([row["corners_px"] for row in rows], dtype=np.float64).reshape(-1, 4, 2),
                np.array([row.get("visible", 1.0) for row in rows], dtype=np.float64),
            )
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise InputRejected(
                path,
                f"is no truth file ({error})",
                "Each feature needs the properties class and corners_px (8 numbers).",
            ) from error


@dataclass(frozen=True)
class TileLabels:
    """Labels of one tile: class numbers, N, and rectangles in tile pixels, N x 4 x 2."""

    classes: NDArray[np.int64]
    corners: Floats

    def as_text(self, size_px: int) -> str:
        """Lines `class x1 y1 x2 y2 x3 y3 x4 y4` with coordinates divided by the tile's edge."""
        return "".join(
            f"{number} " + " ".join(f"{value:.6f}" for value in corners.ravel() / size_px) + "\n"
            for number, corners in zip(self.classes, self.corners, strict=True)
        )


def to_model(corners_px: Floats, gsd_x_m: float, gsd_y_m: float, gsd_m: float) -> Floats:
    """Rectangles in scene pixels (N x 4 x 2) as exact rectangles in model pixels, where both axes have one GSD."""
    scaled = corners_px * (gsd_x_m / gsd_m, gsd_y_m / gsd_m)
    return corners_from_xywhr(xywhr_from_corners(scaled))


def clip_rectangles(corners: Floats, size_px: float) -> tuple[Floats, Floats]:
    """Cut rectangles down to what a tile shows of them.

    Laws: a rectangle inside (0, 0, size, size) is returned unchanged, with share 1. The result keeps the direction of
    the sides, lies inside the original, and holds all of it that is inside the tile; it is the smallest such.

    Args:
        corners: consecutive corners, N x 4 x 2, in tile pixels.
        size_px: edge of the tile.

    Returns:
        The cut rectangles, N x 4 x 2 (of those wholly outside: unchanged), and the share of each original's area that
        is inside the tile, N.
    """
    result = corners.copy()
    whole = np.asarray(((corners >= 0) & (corners <= size_px)).all(axis=(1, 2)))
    shares = whole.astype(np.float64)
    cut = np.flatnonzero(~whole)
    inside = shapely.intersection(shapely.polygons(corners[cut]), shapely.box(0, 0, size_px, size_px))
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

    Kept are objects of which at least `min_inside` lies in the tile and at least `min_visible` can be seen there.
    """
    size = valid.shape[0]
    corners = corners_model - origin
    near = (corners.max(axis=1) > 0).all(axis=1) & (corners.min(axis=1) < size).all(axis=1)
    near &= truth.visible >= min_visible
    kept, shares = clip_rectangles(corners[near], size)
    seen = truth.visible[near] * valid_shares(kept, valid)
    good = (shares >= min_inside) & (seen >= min_visible)
    return TileLabels(truth.classes[near][good], kept[good])


def tile_origins(length: int, size: int, overlap: int) -> list[int]:
    """Starts of tiles along one axis: they cover [0, length), overlap by at least `overlap`, and the last is flush."""
    if length <= size:
        return [0]
    count = int(np.ceil((length - overlap) / (size - overlap)))
    return [round(start) for start in np.linspace(0, length - size, count)]
