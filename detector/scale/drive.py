"""Scenes on their way through the workers: opened, looked at in rows of tiles, put together.

The driver alone writes: it keeps the books of the run as a run on one machine does, in the same ledger and parts. The
workers read the images and return what they have found, so that only the images must be where every node can read them.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial

import geopandas as gpd
from shapely.geometry.base import BaseGeometry

from detector.config import ScaleConfig
from detector.detection.books import Books, Work
from detector.detection.planning import Plan
from detector.detection.reading import Failure
from detector.scale.crew import Call, Crew
from detector.scale.worker import Facts, OpenNetwork, Recipe
from detector.store import TileResult
from detector.tiling import Tile

Tables = tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]


class Drive:
    """Does on a cluster what `detector.detection.engine.Engine` does in one process.

    Scenes are opened only as fast as workers take their tiles, so that memory holds a few per worker, whatever their
    number. All state is kept in the thread that calls `run`.

    Args:
        books: of the run.
        scale: settings.
        network: loads the network in a worker.
    """

    def __init__(self, books: Books, scale: ScaleConfig, network: OpenNetwork) -> None:
        self._books = books
        self._scale = scale
        planner, weights = books.planner, books.planner.weights
        self._recipe = Recipe(weights.spec, weights.networks(), planner.config, planner.table, scale, network)

    def run(self, todo: Sequence[Plan]) -> None:
        """Finish every scene of `todo` that can be read; the books reject the others."""
        self._books.expect(todo)
        calls = sum(math.ceil(tiles / self._scale.tiles_per_call) for tiles in self._books.expected.values())
        self._crew = Crew(self._recipe, calls, self._hired)
        waiting = deque(todo)
        try:
            while waiting or self._crew.busy:
                while waiting and self._crew.hungry:
                    plan = waiting.popleft()
                    self._crew.ask(Call("open", (plan,), partial(self._opened, plan)))
                self._crew.step()
        finally:
            self._crew.close()

    def _hired(self, facts: Facts) -> None:
        self._books.ledger.used(facts.backend)

    def _opened(self, plan: Plan, valid: BaseGeometry | Failure) -> None:
        work = self._books.open(plan, valid)
        if work is None:
            return
        missing = work.missing
        if not missing:
            self._assemble(work)
        for numbers in rows_of_tiles(work.tiles, missing, self._scale.tiles_per_call):
            tiles = [work.tiles[number] for number in numbers]
            self._crew.ask(Call("look", (plan.scene, tiles), partial(self._looked, work, numbers), work))

    def _looked(self, work: Work, numbers: Sequence[int], results: list[TileResult] | Failure) -> None:
        if isinstance(results, Failure):
            self._books.fail(work, results.error)
        elif self._books.keep(work, dict(zip(numbers, results, strict=True))):
            self._assemble(work)

    def _assemble(self, work: Work) -> None:
        self._crew.ask(Call("tables", (work,), partial(self._assembled, work), work), first=True)

    def _assembled(self, work: Work, tables: Tables | Failure) -> None:
        if isinstance(tables, Failure):
            self._books.fail(work, tables.error)
        else:
            self._books.finish(work, *tables)


def rows_of_tiles(tiles: Sequence[Tile], numbers: Sequence[int], least: int) -> Iterator[list[int]]:
    """Cut tile numbers into parts of whole rows, with at least `least` tiles each; only the last may have fewer.

    Args:
        tiles: of a scene, in row-major order.
        numbers: those to be cut, ascending.
        least: so many at least.
    """
    part: list[int] = []
    for number in numbers:
        if len(part) >= least and tiles[number].row != tiles[part[-1]].row:
            yield part
            part = []
        part.append(number)
    if part:
        yield part
