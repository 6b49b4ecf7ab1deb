"""From windows of scenes to what is in them, in one process: readers ahead, one network, second looks behind."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
        waiting: deque[tuple[J, Future[TileResult]]] = deque()
        threads = self.second.threads if self.second else 1
        with ThreadPoolExecutor(threads, "second-look") as behind:
            for job, raw in self.backend.stream(self._images(batches, views, tell)):
                view = views.pop(job)
                waiting.append((job, behind.submit(owned, job.tile, raw, view, self.planner, self.second)))
                while len(waiting) > 2 * threads or (waiting and waiting[0][1].done()):
                    _settle(*waiting.popleft(), tell)
            while waiting:
                _settle(*waiting.popleft(), tell)

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


def _settle(job: J, found: Future[TileResult], tell: Callable[[J, TileResult | Failure], None]) -> None:
    tell(job, found.result())
