"""What every backend is: tiles in, raw oriented boxes out."""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from detector.weights import ModelSpec

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class RawBoxes:
    """All boxes of one tile at or above the score floor, before any merging; there is no cap on their number.

    Attributes:
        xywhr: N x 5 float64, canonical oriented boxes in tile pixels.
        scores: N x C float32, probability of each class on its own.
    """

    xywhr: NDArray[np.float64]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: they do not fit together.
        """
        n = len(self.xywhr)
        if self.xywhr.shape != (n, 5) or self.scores.ndim != 2 or len(self.scores) != n:
            raise ValueError(
                f"Boxes must be N x 5 and scores N x C. Received: {self.xywhr.shape} and {self.scores.shape}."
            )

    def __len__(self) -> int:
        """Number of boxes."""
        return len(self.xywhr)


class Backend(Protocol):
    """A network on some hardware.

    Attributes:
        spec: what the network is.
        name: library, device and precision, for the record.
    """

    spec: ModelSpec
    name: str

    def stream(self, tiles: Iterable[tuple[K, NDArray[np.uint8]]]) -> Iterator[tuple[K, RawBoxes]]:
        """Detect on a stream of tiles, holding only a few in memory.

        Laws: each key comes back exactly once, in any order; the boxes of a tile depend on that tile alone,
        not on its neighbours in the stream. `tiles` is advanced in the caller's thread.

        Args:
            tiles: pairs of a key and an RGB tile, H x W x 3 uint8 with H = W = `spec.imgsz`; best with its planes
                one after another in memory.
        """
        ...


def chunks(
    tiles: Iterable[tuple[K, NDArray[np.uint8]]], size: int, edge_px: int
) -> Iterator[list[tuple[K, NDArray[np.uint8]]]]:
    """Cut a stream into batches of `size` tiles, fewer in the last one.

    Raises:
        ValueError: a tile is not `edge_px` x `edge_px` x 3.
    """
    stream = iter(tiles)
    shape = (edge_px, edge_px, 3)
    while chunk := list(islice(stream, size)):
        for key, image in chunk:
            if image.shape != shape:
                raise ValueError(f"Tiles must be {shape}. Received: {image.shape} for {key}.")
        yield chunk
