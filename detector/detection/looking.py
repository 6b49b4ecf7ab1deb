"""From windows of scenes to what is in them: readers ahead, one network behind, in one process."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from detector.backends import Backend, SecondStage
from detector.detection.boxes import blank, owned
from detector.detection.planning import Planner
from detector.detection.reading import Failure, Job, Readers, View
from detector.store import TileResult

J = TypeVar("J", bound=Job)


@dataclass(frozen=True)
class Looker:
    """Looks at tiles with one backend, and again at what it finds where the weights have a second stage.

    Law: a tile's result follows from its pixels alone, not from the tiles around it in the stream.
    """

    planner: Planner
    backend: Backend
    readers: Readers
    second: SecondStage | None = None

    def look(self, batches: Iterable[Sequence[J]], tell: Callable[[J, TileResult | Failure], None]) -> None:
        """Look at every tile of every batch.

        Args:
            batches: hashable jobs, those of one batch of one scene: they are read together. Advanced in the calling
                thread, as fast as the network follows.
            tell: called in the same thread with what came of each, in any order; tiles without data are settled
                before the network sees them.
        """
        views: dict[J, View] = {}
        for job, raw in self.backend.stream(self._images(batches, views, tell)):
            tell(job, owned(job.tile, raw, views.pop(job), self.planner, self.second))

    def _images(
        self, batches: Iterable[Sequence[J]], views: dict[J, View], tell: Callable[[J, TileResult | Failure], None]
    ) -> Iterator[tuple[J, NDArray[np.uint8]]]:
        for job, view in self.readers.views(batches):
            if isinstance(view, Failure):
                tell(job, view)
            elif view.valid == 0:
                tell(job, blank(self.planner.weights.spec.n_classes))
            else:
                views[job] = view if self.second else View(np.empty((0, 0, 3), np.uint8), view.valid, view.look)
                yield job, view.image
