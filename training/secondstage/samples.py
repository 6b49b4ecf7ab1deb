"""Boxes on tiles as the second stage sees them while it learns: changed pixels, shifted boxes, turned and mirrored."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from detector.crops import crops, mirrored, moved, offsets, turned_round
from detector.errors import UsageError
from detector.geometry import Floats, Ints, iou_pairs
from training.secondstage.candidates import Candidates, retold
from training.secondstage.pictures import Looks
from training.settings import SecondConfig
from training.tilefolder import picture_of

_FARTHEST_END = 3.0  # widths


@dataclass(frozen=True)
class Samples:
    """What is learnt from N boxes; see `training.secondstage.candidates.Candidates`.

    Attributes:
        crops: N x H x W x 3.
        sides: N x 2, in pixels.
        scores: N x C.
        target: N.
        offsets: N x 5, to the object that the box is on.
        is_on: N, whether it is on one.
    """

    crops: NDArray[np.uint8]
    sides: NDArray[np.float32]
    scores: NDArray[np.float32]
    target: Ints
    offsets: NDArray[np.float32]
    is_on: NDArray[np.bool_]

    def __len__(self) -> int:
        """How many."""
        return len(self.target)

    def __getitem__(self, rows: slice) -> "Samples":
        """Some of them."""
        return Samples(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @classmethod
    def joined(cls, many: "list[Samples]") -> "Samples":
        """Those of several tiles."""
        return cls(*(np.concatenate([getattr(one, name) for one in many]) for name in cls.__dataclass_fields__))


class CandidateTiles(Dataset[Samples | UsageError]):
    """The candidates of each tile that has any.

    Law: equal (epoch, number) give equal samples.

    Args:
        candidates: what the first stage found.
        config: settings; None for looking at boxes and pixels as they are.
    """

    def __init__(self, candidates: Candidates, config: SecondConfig | None) -> None:
        self.candidates = candidates
        self.config = config
        order = np.argsort(candidates.tile, kind="stable")
        self.numbers, starts = np.unique(candidates.tile[order], return_index=True)
        self.rows = np.split(order, starts[1:]) if len(order) else []
        self._looks = Looks(config) if config else None

    def __len__(self) -> int:
        """Tiles with candidates."""
        return len(self.numbers)

    def __getitem__(self, drawn: tuple[int, int]) -> Samples | UsageError:
        """The samples of an epoch and a tile with candidates, by its place among them.

        A tile that cannot be read is given as the error: torch would not bring it whole from another process.
        """
        try:
            return self.sampled(*drawn)
        except UsageError as error:
            return error

    def sampled(self, epoch: int, place: int) -> Samples:
        """As above.

        Raises:
            UsageError: the tile cannot be read.
        """
        found, rows, number = self.candidates, self.rows[place], int(self.numbers[place])
        boxes = found.xywhr[rows]
        target, is_on = found.target[rows], found.is_on[rows]
        is_mirrored = is_turned = np.zeros(len(rows), dtype=bool)
        if self.config is None or self._looks is None:
            image = picture_of(found.tiles[number])
        else:
            image = self._looks.picture(found.tiles[number], number)
            rng = np.random.default_rng([self.config.seed, epoch, place])
            boxes = _misplaced(boxes, is_on, self.config, rng)
            target, is_on = retold(target, is_on, iou_pairs(boxes, found.truth[rows]))
            is_mirrored, is_turned = rng.integers(0, 2, (2, len(rows))).astype(bool)
        seen, by = crops(image, boxes), offsets(boxes, found.truth[rows])
        seen[is_mirrored], by[is_mirrored] = seen[is_mirrored, ::-1], mirrored(by[is_mirrored])
        seen[is_turned], by[is_turned] = seen[is_turned, ::-1, ::-1], turned_round(by[is_turned])
        return Samples(
            seen,
            boxes[:, 2:4].astype(np.float32),
            found.scores[rows],
            target,
            by.astype(np.float32),
            is_on,
        )


def _misplaced(boxes: Floats, is_on: NDArray[np.bool_], config: SecondConfig, rng: np.random.Generator) -> Floats:
    """Boxes (N, 5) as a first stage may put them: all a little off, some of those on objects with an end elsewhere.

    On the real yard the ends are what is wrong with most boxes that overlap an object by less than a half. What a
    box on the ground would come to lie on, nobody knows, so that it keeps its ends.
    """
    by = rng.normal(0.0, config.jitter, boxes.shape)
    wrong = is_on & (rng.random(len(boxes)) < config.wrong_ends)
    end, which = rng.uniform(-1, 1, len(boxes)) * _FARTHEST_END * wrong, rng.choice([-0.5, 0.5], len(boxes))
    length = boxes[:, 2] / boxes[:, 3]  # in widths
    end = np.maximum(end, -length / 2)  # no shorter than by half
    by[:, 0] += which * end
    by[:, 2] += np.log1p(end / length) * length
    return moved(boxes, by)
