"""The tile grid over what is inside facilities and valid, and which tile owns which place.

All coordinates are model pixels of the scene. Windows overlap by V; cores end half an overlap inside their
windows and do not overlap: a detection belongs to the tile whose core holds its centre. Along one axis, let
the window's end at R cut an object of length L:

- L <= V: the visible part lies in (R - V, R), its centre beyond the core's end R - V / 2. The fragment is not
  owned, and the neighbour that owns the object's centre sees all of it.
- L > V and no window holds it whole: the visible part is longer than V, its centre inside the core, and the
  fragment is owned.

So ownership drops the fragments of objects that are whole elsewhere, and loses no object.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from detector.geometry import Bools, Floats, corners_from_xywhr

SLACK_PX = 8.0
"""How far two views of one object may disagree about its centre without its being lost between two cores."""
EDGE_PX = 4.0
"""A box that comes this close to its window's end may go on beyond it."""


@dataclass(frozen=True)
class Tile:
    """One window for the network, and the part of the plane that it answers for.

    Args:
        row: row in the grid, from 0 at the top.
        col: column in the grid, from 0 at the left.
        window_px: x0, y0, width, height; reaches beyond the scene in the last row and column.
        core_px: x0, y0, x1, y1, half-open; infinite where the scene ends, so that the cores fill the plane.
    """

    row: int
    col: int
    window_px: tuple[int, int, int, int]
    core_px: tuple[float, float, float, float]

    def owns(self, xy_px: Floats, slack_px: float = 0.0) -> Bools:
        """Whether the core, grown by `slack_px`, holds each point; points N x 2, answer N."""
        low, high = np.array(self.core_px[:2]) - slack_px, np.array(self.core_px[2:]) + slack_px
        return np.asarray(((xy_px >= low) & (xy_px < high)).all(axis=1))

    def cuts(self, xywhr: Floats, edge_px: float = EDGE_PX) -> Bools:
        """Whether each box ends within `edge_px` of a side beyond which the scene goes on; N x 5, answer N.

        Such a box may be the visible part of a longer object. The ends of the scene cut nothing that another
        tile could see whole, and do not count.
        """
        x0, y0, width, height = self.window_px
        corners = corners_from_xywhr(xywhr)
        core = np.array(self.core_px)
        low = np.where(np.isfinite(core[:2]), np.array([x0, y0]) + edge_px, -np.inf)
        high = np.where(np.isfinite(core[2:]), np.array([x0 + width, y0 + height]) - edge_px, np.inf)
        return np.asarray(((corners < low) | (corners > high)).any(axis=(1, 2)))


@dataclass(frozen=True)
class TileGrid:
    """Square windows at fixed steps from the scene's origin; the last ones reach beyond the scene.

    Laws: every point of the plane has exactly one owner; a point of the scene is at least overlap / 2 inside
    its owner's window on each side on which the scene goes on. So an object whose extent along both axes is
    at most the overlap is whole in the window of the tile that owns its centre, and if 2 * EDGE_PX are to
    spare it is not taken for cut there.

    Args:
        size: edge of a window.
        overlap: what neighbouring windows share, at most half of the edge.
    """

    size: int
    overlap: int

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 <= self.overlap * 2 <= self.size:
            raise ValueError(
                "the window must be at least 1 px and the overlap at most half of it. "
                f"Received: size {self.size}, overlap {self.overlap}."
            )

    @property
    def step_px(self) -> int:
        """Distance from a window to the next."""
        return self.size - self.overlap

    def shape(self, shape_model: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the grid over a scene of (height, width) model pixels."""
        rows, cols = (max(1, math.ceil((extent - self.overlap) / self.step_px)) for extent in shape_model)
        return rows, cols

    def tile(self, row: int, col: int, shape_model: tuple[int, int]) -> Tile:
        """The tile at a row and column of the grid over a scene of (height, width) model pixels."""
        rows, cols = self.shape(shape_model)
        x0, x1 = self._core(col, cols)
        y0, y1 = self._core(row, rows)
        window = (col * self.step_px, row * self.step_px, self.size, self.size)
        return Tile(row, col, window, (x0, y0, x1, y1))

    def _core(self, index: int, count: int) -> tuple[float, float]:
        low = index * self.step_px + self.overlap / 2
        return (low if index > 0 else -math.inf, low + self.step_px if index < count - 1 else math.inf)

    def tiles_over(
        self,
        shape_model: tuple[int, int],
        polygons_model_px: Sequence[shapely.Geometry],
        valid: shapely.Geometry | None = None,
    ) -> list[Tile]:
        """The tiles whose core meets the polygons inside the scene, in row-major order.

        Law: a point that lies in a polygon, in the scene and in valid data is owned by exactly one of them.

        Args:
            shape_model: height and width of the scene.
            polygons_model_px: valid polygons, in model pixels; empty ones are allowed.
            valid: where the scene has data, in model pixels; by default all of it.
        """
        height, width = shape_model
        scene = shapely.box(0, 0, width, height)
        wanted = shapely.intersection(shapely.union_all(list(polygons_model_px)), scene)
        if valid is not None:
            wanted = shapely.intersection(wanted, valid)
        if wanted.area == 0:
            return []
        n_rows, n_cols = self.shape(shape_model)
        x0, x1 = np.clip(np.transpose([self._core(col, n_cols) for col in range(n_cols)]), 0, width)
        y0, y1 = np.clip(np.transpose([self._core(row, n_rows) for row in range(n_rows)]), 0, height)
        shapely.prepare(wanted)
        met = shapely.intersects(wanted, shapely.box(x0, y0[:, None], x1, y1[:, None]))
        return [self.tile(int(row), int(col), shape_model) for row, col in np.argwhere(met)]
