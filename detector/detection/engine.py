"""The stream of tiles: readers ahead, one backend, a ledger behind, scenes finished as tiles come in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from detector.backends import Backend
from detector.detection.boxes import blank, merged, owned, quality_of
from detector.detection.planning import Plan, Planner, unreadable, unseen
from detector.detection.reading import Failure, Readers, View
from detector.detection.rows import Area, Ground, detection_rows, scene_rows
from detector.detection.tables import Parts
from detector.scenes import Rejection
from detector.store import Ledger, TileResult
from detector.tiling import Tile


class Progress(Protocol):
    """What the pipeline tells while it works; all calls come from the thread that called `detect`."""

    def total(self, scenes: int, tiles: int) -> None:
        """How much there is to do in all; called again when it turns out to be more or less."""

    def tile(self, *, computed: bool) -> None:
        """One more tile is done: computed now, or taken from the ledger."""

    def scene(self, scene_id: str, n_detected: int) -> None:
        """A scene is finished."""


class Silent:
    """Progress that nobody watches."""

    def total(self, scenes: int, tiles: int) -> None:
        """See `Progress`."""

    def tile(self, *, computed: bool) -> None:
        """See `Progress`."""

    def scene(self, scene_id: str, n_detected: int) -> None:
        """See `Progress`."""


@dataclass(eq=False)
class _Work:
    """A scene under way."""

    plan: Plan
    ground: Ground
    tiles: list[Tile]
    keys: list[str]
    results: dict[int, TileResult] = field(default_factory=dict)
    failed: bool = False


@dataclass(frozen=True)
class _Job:
    """A tile to compute."""

    work: _Work
    index: int

    @property
    def tile(self) -> Tile:
        return self.work.tiles[self.index]


@dataclass
class Engine:
    """Drives scenes through readers, backend and merge; one stream of tiles over all of them.

    Scenes are opened ahead of need, so that the backend does not wait between them. All state is kept in the
    thread that calls `run`.
    """

    planner: Planner
    backend: Backend
    readers: Readers
    ledger: Ledger
    parts: Parts
    progress: Progress
    rejected: list[Rejection] = field(default_factory=list)
    n_computed: int = 0
    n_known: int = 0
    _views: dict[_Job, View] = field(default_factory=dict)
    _total: int = 0
    _scenes: int = 0

    def run(self, todo: Sequence[Plan]) -> None:
        """Finish every scene of `todo` that can be read; the others are in `rejected` afterwards."""
        self._scenes = len(todo)
        self._grow(sum(len(self.planner.tiles(plan)) for plan in todo))
        for job, raw in self.backend.stream(self._images(todo)):
            view = self._views.pop(job)
            self._keep(job, owned(job.tile, raw, view, self.planner))

    def _images(self, todo: Sequence[Plan]) -> Iterator[tuple[_Job, NDArray[np.uint8]]]:
        """Tiles for the backend; those without data are settled on the way."""

        def read(job: _Job) -> View:
            return self.readers.view(job.work.plan.scene, job.tile.window_px)

        for outcome in self.readers.ordered(self._jobs(todo), read):
            job, view = outcome.job, outcome.result
            if isinstance(view, Failure):
                self._fail(job.work, view.error)
            elif view.valid == 0:
                self._keep(job, blank(self.planner.weights.spec.n_classes))
            else:
                self._views[job] = View(np.empty((0, 0, 3), np.uint8), view.valid, view.quality, view.look)
                yield job, view.image

    def _jobs(self, todo: Sequence[Plan]) -> Iterator[_Job]:
        """The tiles that are not in the ledger, scene after scene."""

        def read(plan: Plan) -> BaseGeometry:
            return self.readers.valid_geometry(plan.scene)

        for outcome in self.readers.ordered(todo, read, ahead=1):
            work = self._open(outcome.job, outcome.result)
            if work is None:
                continue
            for index, key in enumerate(work.keys):
                if (known := self.ledger.get(key)) is not None:
                    self.n_known += 1
                    self.progress.tile(computed=False)
                    work.results[index] = known
            missing = [index for index in range(len(work.tiles)) if index not in work.results]
            if not missing:
                self._finish(work)
            for index in missing:
                if not work.failed:
                    yield _Job(work, index)

    def _open(self, plan: Plan, valid: BaseGeometry | Failure) -> _Work | None:
        expected = len(self.planner.tiles(plan))
        if isinstance(valid, Failure):
            self.rejected += unreadable(plan.scene, valid.error)
            self._grow(-expected)
            return None
        parts = [Area(f, whole, shapely.intersection(whole, valid)) for f, whole in plan.facilities]
        areas = tuple(area for area in parts if area.visible.area > 0)
        if not areas:
            self.rejected += unseen(plan.scene)
            self._grow(-expected)
            return None
        tiles = self.planner.tiles(plan, valid)
        self._grow(len(tiles) - expected)
        keys = [self.planner.tile_key(plan.scene, tile) for tile in tiles]
        return _Work(plan, Ground(valid, areas), tiles, keys)

    def _keep(self, job: _Job, result: TileResult) -> None:
        """Record a tile; its scene is finished with the last of them."""
        work = job.work
        self.ledger.put(work.keys[job.index], result)
        self.n_computed += 1
        self.progress.tile(computed=True)
        work.results[job.index] = result
        if len(work.results) == len(work.tiles) and not work.failed:
            self._finish(work)

    def _fail(self, work: _Work, error: Exception) -> None:
        if work.failed:
            return
        work.failed = True
        self.rejected += unreadable(work.plan.scene, error)
        self._grow(len(work.results) - len(work.tiles))

    def _finish(self, work: _Work) -> None:
        scene, spec, table = work.plan.scene, self.planner.weights.spec, self.planner.table
        results, areas = [work.results[index] for index in range(len(work.tiles))], work.ground.areas
        found = merged(results, self.planner)
        detections = detection_rows(scene, work.ground, found, spec, table)
        looks = [quality_of(area, work.tiles, results, scene, spec.gsd_m) for area in areas]
        self.parts.write(work.plan.part, detections, scene_rows(scene, areas, looks))
        self.progress.scene(scene.scene_id, int(detections["detected"].sum()))
        work.results.clear()

    def _grow(self, tiles: int) -> None:
        self._total += tiles
        self.progress.total(self._scenes, self._total)
