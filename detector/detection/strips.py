"""Tiles of one scene read together: each pixel once, though tiles overlap."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Self

import numpy as np
from numpy.typing import NDArray

from detector.raster import SceneReader
from detector.tiling import Tile

STRIP_TILES = 32
"""Tiles side by side in a strip, at most: 40 MB at 640 px."""
READ_TILES = 4
"""Tiles side by side that are read at once: windows across many blocks of a file cost less than as many small ones."""
BAND_TILES = 32
"""Tiles for which a reader of its own is worth while, at least."""


def bands(tiles: Sequence[Tile], parts: int) -> list[list[int]]:
    """The order to read tiles in, cut into at most `parts` lists of nearly equal length that hardly share pixels.

    The columns are cut into swaths no wider than `STRIP_TILES`; in each, rows follow one another. Law: every number
    from 0 to N - 1 comes once.

    Args:
        tiles: N tiles of one scene.
        parts: how many readers there are.
    """
    if not tiles:
        return []
    first, last = min(tile.col for tile in tiles), max(tile.col for tile in tiles)
    swaths = -(-(last + 1 - first) // STRIP_TILES)
    width = -(-(last + 1 - first) // swaths)
    order = sorted(range(len(tiles)), key=lambda n: ((tiles[n].col - first) // width, tiles[n].row, tiles[n].col))
    parts = max(1, min(parts, len(tiles) // BAND_TILES))
    return [[int(n) for n in part] for part in np.array_split(order, parts)]


def pictures(reader: SceneReader, tiles: Sequence[Tile]) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """Image (H, W, 3) and validity (H, W) of each tile, in the order given.

    What a tile shares with the one before it, or with those of the row before, is not read again when the order is
    that of `bands`. Images are views into what neighbours see too: do not write to them.
    """
    above: _Strip | None = None
    for run in _runs(tiles):
        strip = _Strip.over(run)
        for tile in run:
            strip.fill(reader, tile, above)
            yield strip.picture(tile)
        above = strip


def _runs(tiles: Sequence[Tile]) -> Iterator[list[Tile]]:
    """Tiles side by side, cut to `STRIP_TILES`."""
    for _, group in groupby(enumerate(tiles), key=lambda item: (item[1].row, item[1].col - item[0])):
        run = [tile for _, tile in group]
        yield from (run[start : start + STRIP_TILES] for start in range(0, len(run), STRIP_TILES))


@dataclass
class _Strip:
    """Pixels of tiles side by side, filled from the left.

    Attributes:
        x0: left end, in model pixels.
        y0: upper end.
        planes: 3 x H x W.
        valid: H x W.
        filled: columns that are read.
    """

    x0: int
    y0: int
    planes: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    filled: int = field(default=0)

    @classmethod
    def over(cls, run: Sequence[Tile]) -> Self:
        x0, y0, _, height = run[0].window_px
        width = run[-1].window_px[0] + run[-1].window_px[2] - x0
        return cls(x0, y0, np.empty((3, height, width), np.uint8), np.empty((height, width), np.bool_))

    def fill(self, reader: SceneReader, tile: Tile, above: "_Strip | None") -> None:
        """Read a tile, and some ahead, if it is not there yet; rows that `above` holds are taken from it."""
        end = tile.window_px[0] + tile.window_px[2] - self.x0
        if end <= self.filled:
            return
        if not reader.grid.resampled:  # whose rounding may depend on the window: there, the tile's own
            end = max(end, min(self._stops(end + (READ_TILES - 1) * tile.window_px[2], above)))
        known = 0 if above is None else self._take(above, end)
        place = np.s_[known:, self.filled : end]
        reader.read_into(self.planes[:, *place], self.valid[place], self.x0 + self.filled, self.y0 + known)
        self.filled = end

    def _stops(self, wish: int, above: "_Strip | None") -> list[int]:
        """Columns not to read beyond at once: the one wished for, the end, where the strip above begins and ends."""
        ends = () if above is None else (above.x0 - self.x0, above.x0 + above.filled - self.x0)
        return [wish, self.valid.shape[1], *(end for end in ends if end > self.filled)]

    def _take(self, above: "_Strip", end: int) -> int:
        """Copy the rows that the strip above shares, where it has all columns; how many they are."""
        skip, left = self.y0 - above.y0, self.x0 + self.filled - above.x0
        right = left + end - self.filled
        if left < 0 or right > above.filled or not 0 < skip < len(above.valid):
            return 0
        known = len(above.valid) - skip
        self.planes[:, :known, self.filled : end] = above.planes[:, skip:, left:right]
        self.valid[:known, self.filled : end] = above.valid[skip:, left:right]
        return known

    def picture(self, tile: Tile) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The part that is a tile's."""
        x0, _, width, _ = tile.window_px
        columns = slice(x0 - self.x0, x0 - self.x0 + width)
        return np.moveaxis(self.planes[:, :, columns], 0, 2), self.valid[:, columns]
