"""The books of a run: scenes under way, what is known of their tiles, and what is finished or rejected.

Whoever computes the tiles - this process or a cluster - reports here, in one thread; only the books write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import geopandas as gpd
import shapely
from shapely.geometry.base import BaseGeometry

from detector.detection.boxes import look_at, merged
from detector.detection.planning import Plan, Planner, unreadable, unseen
from detector.detection.reading import READ_ERRORS, Failure
from detector.detection.rows import Area, Ground, detection_rows, scene_rows
from detector.detection.tables import Parts
from detector.memory import give_back
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
class Work:
    """A scene under way: what it shows, its tiles with their keys, and the results so far by tile number."""

    plan: Plan
    ground: Ground
    tiles: list[Tile]
    keys: list[str]
    results: dict[int, TileResult] = field(default_factory=dict)
    failed: bool = False

    @property
    def missing(self) -> list[int]:
        """Numbers of the tiles without a result."""
        return [index for index in range(len(self.tiles)) if index not in self.results]


@dataclass
class Books:
    """Keeps ledger, parts, rejections and progress of the scenes that a call has to finish.

    Laws: a tile that the ledger knows is never asked for; a scene is finished once, or rejected once, and finished
    only while its files are those that its hash is of; the order of `rejected` is that of the scenes, whatever the
    order of events.

    Attributes:
        n_computed: tiles computed.
        n_known: tiles taken from the ledger.
        expected: how many tiles each scene has at most, by the name of its part.
    """

    planner: Planner
    ledger: Ledger
    parts: Parts
    progress: Progress
    n_computed: int = 0
    n_known: int = 0
    expected: dict[str, int] = field(default_factory=dict)
    _rejected: dict[str, list[Rejection]] = field(default_factory=dict)
    _total: int = 0
    _scenes: int = 0

    @property
    def rejected(self) -> list[Rejection]:
        """The files of the scenes that could not be used."""
        return [entry for entries in self._rejected.values() for entry in entries]

    def expect(self, todo: Sequence[Plan]) -> None:
        """Begin: these scenes are to be finished."""
        self._scenes = len(todo)
        self._rejected = {plan.part: [] for plan in todo}
        self.expected = {plan.part: len(self.planner.tiles(plan)) for plan in todo}
        self._grow(sum(self.expected.values()))

    def open(self, plan: Plan, valid: BaseGeometry | Failure) -> Work | None:
        """A scene whose valid area is known, with what the ledger has of it; None where nothing can be seen."""
        expected = self.expected[plan.part]
        if isinstance(valid, Failure):
            self._reject(plan, unreadable(plan.scene, valid.error), expected)
            return None
        parts = [Area(f, whole, shapely.intersection(whole, valid)) for f, whole in plan.facilities]
        areas = tuple(area for area in parts if area.visible.area > 0)
        if not areas:
            self._reject(plan, unseen(plan.scene), expected)
            return None
        tiles = self.planner.tiles(plan, valid)
        self._grow(len(tiles) - expected)
        work = Work(plan, Ground(valid, areas), tiles, [self.planner.tile_key(plan.scene, tile) for tile in tiles])
        for index, key in enumerate(work.keys):
            if (known := self.ledger.get(key)) is not None:
                self.n_known += 1
                self.progress.tile(computed=False)
                work.results[index] = known
        return work

    def keep(self, work: Work, results: Mapping[int, TileResult]) -> bool:
        """Record tiles of a scene, by number; whether all of it is known now."""
        for index, result in results.items():
            self.ledger.put(work.keys[index], result)
            self.n_computed += 1
            if not work.failed:
                self.progress.tile(computed=True)
        work.results.update(results)
        return not work.failed and len(work.results) == len(work.tiles)

    def fail(self, work: Work, error: Exception) -> None:
        """Reject a scene that cannot be read on."""
        if not work.failed:
            work.failed = True
            self._reject(work.plan, unreadable(work.plan.scene, error), len(work.tiles) - len(work.results))

    def finish(self, work: Work, detections: gpd.GeoDataFrame, scenes: gpd.GeoDataFrame) -> None:
        """Write the rows of a scene; see `scene_tables`. It is rejected if its files changed since they were hashed."""
        try:
            work.plan.scene.see_unchanged()
        except READ_ERRORS as error:
            self.fail(work, error)
            return
        self.parts.write(work.plan.part, detections, scenes)
        give_back()  # small pieces of every scene, kept for later, would add up
        self.progress.scene(work.plan.scene.scene_id, int(detections["detected"].sum()))
        work.results.clear()

    def _reject(self, plan: Plan, rejections: list[Rejection], tiles: int) -> None:
        self._rejected[plan.part] = rejections
        self._grow(-tiles)

    def _grow(self, tiles: int) -> None:
        self._total += tiles
        self.progress.total(self._scenes, self._total)


def scene_tables(work: Work, planner: Planner) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """What a scene contributes to detections and scenes, once all its tiles are known."""
    scene, spec, areas = work.plan.scene, planner.weights.spec, work.ground.areas
    results = [work.results[index] for index in range(len(work.tiles))]
    detections = detection_rows(scene, work.ground, merged(results, planner), spec, planner.table)
    looks = [look_at(area, work.tiles, results, scene, spec.gsd_m) for area in areas]
    return detections, scene_rows(scene, areas, looks)
