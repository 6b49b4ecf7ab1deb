"""A run in this process: scenes opened ahead, one stream of tiles over all of them, the books behind."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shapely.geometry.base import BaseGeometry

from detector.backends import Backend, SecondStage
from detector.detection.books import Books, Work, scene_tables
from detector.detection.looking import Looker
from detector.detection.planning import Plan
from detector.detection.reading import Failure, Readers
from detector.scenes import Scene
from detector.store import TileResult
from detector.tiling import Tile


@dataclass(frozen=True)
class _Job:
    """A tile to compute."""

    work: Work
    index: int

    @property
    def scene(self) -> Scene:
        return self.work.plan.scene

    @property
    def tile(self) -> Tile:
        return self.work.tiles[self.index]


@dataclass(frozen=True)
class Engine:
    """Drives scenes through readers, backend and merge; one stream of tiles over all of them.

    Scenes are opened ahead of need, so that the backend does not wait between them. All state is kept in the
    thread that calls `run`.
    """

    books: Books
    backend: Backend
    readers: Readers
    second: SecondStage | None = None

    def run(self, todo: Sequence[Plan]) -> None:
        """Finish every scene of `todo` that can be read; the books reject the others."""
        self.books.expect(todo)
        looker = Looker(self.books.planner, self.backend, self.readers, self.second)
        looker.look(self._batches(todo), self._seen)

    def _batches(self, todo: Sequence[Plan]) -> Iterator[list[_Job]]:
        """The tiles that are not in the ledger, scene by scene."""

        def read(plan: Plan) -> BaseGeometry:
            return self.readers.valid_geometry(plan.scene, self.books.planner.reach(plan))

        for outcome in self.readers.ordered(todo, read, ahead=self.readers.threads + 1):
            work = self.books.open(outcome.job, outcome.result)
            if work is None:
                continue
            if work.missing:
                yield [_Job(work, index) for index in work.missing]
            else:
                self._finish(work)

    def _seen(self, job: _Job, result: TileResult | Failure) -> None:
        """Record a tile; its scene is finished with the last of them."""
        if isinstance(result, Failure):
            self.books.fail(job.work, result.error)
        elif self.books.keep(job.work, {job.index: result}):
            self._finish(job.work)

    def _finish(self, work: Work) -> None:
        self.books.finish(work, *scene_tables(work, self.books.planner))
