"""Which tile comes when, with which randomness: a function of seed, epoch and place, so that a run can be resumed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler


@dataclass(frozen=True)
class Draw:
    """One tile to be prepared.

    Attributes:
        index: its number in the data set.
        seed: of all its random changes.
        mixed: whether it may become a mosaic with others.
    """

    index: int
    seed: int
    mixed: bool


class TileOrder(Sampler[Draw]):
    """The draws of one epoch after another.

    Laws: every tile is drawn once in an epoch; the draws depend on seed, epoch and place in the epoch only, so that
    an epoch begun after `skip` batches goes on as the whole one would. Of several devices each gets its share of every
    batch; tiles are drawn twice there to fill the last one.

    Args:
        tiles: how many there are.
        batch: tiles per step, of all devices together.
        seed: of the run.
        mixes: whether mosaics are made at a given share of the epoch, 0 to 1.
        rank: number of this device.
        world: number of devices, a divisor of `batch`.
    """

    def __init__(
        self, tiles: int, batch: int, seed: int, mixes: Callable[[float], bool], *, rank: int = 0, world: int = 1
    ) -> None:
        self.tiles, self.batch, self.seed = tiles, batch, seed
        self.mixes = mixes
        self.rank, self.world = rank, world
        self.epoch = self.skip = 0

    @property
    def _places(self) -> int:
        return self.tiles if self.world == 1 else -(-self.tiles // self.batch) * self.batch

    def __len__(self) -> int:
        """Draws of this device in a whole epoch."""
        return self._places // self.world

    def begin(self, epoch: int, skip: int = 0) -> None:
        """Make the next pass that of `epoch` without its first `skip` batches."""
        self.epoch, self.skip = epoch, skip

    def set_epoch(self, epoch: int) -> None:
        """What Ultralytics calls on several devices, after `begin`; the same epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Draw]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = np.resize(rng.permutation(self.tiles), self._places)
        seeds = rng.integers(2**32, size=self._places)
        places = np.arange(self.skip * self.batch, self._places)
        mine = places[places % self.batch // (self.batch // self.world) == self.rank]
        for place in mine.tolist():
            yield Draw(int(order[place]), int(seeds[place]), self.mixes(place / self._places))
