"""Reader threads: results in order, a bounded number of them ahead, errors as values."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from shapely.geometry.base import BaseGeometry

from detector.errors import RailcarsError
from detector.pixels.look import look_sums, no_sums
from detector.raster import SceneReader, quality
from detector.scenes import Scene

J = TypeVar("J")
R = TypeVar("R")

READ_ERRORS = (OSError, RasterioError, RailcarsError, ValueError)
"""What a damaged or vanished file raises while it is read."""
AHEAD_PER_THREAD = 2
QUALITY_PX = 256
"""Edge of the part of a tile on which the quality of the picture is measured: enough for steady means."""


@dataclass(frozen=True)
class View:
    """One tile as read.

    Attributes:
        image: H x W x 3, uint8.
        valid: share of pixels with data.
        quality: sharpness, contrast, brightness; NaN where nothing is valid.
        look: sums over the pixels, see `detector.pixels.look`.
    """

    image: NDArray[np.uint8]
    valid: float
    quality: tuple[float, float, float]
    look: NDArray[np.float64]


@dataclass(frozen=True)
class Failure:
    """A read that failed."""

    error: Exception


@dataclass(frozen=True)
class Outcome(Generic[J, R]):
    """A job and what came of it."""

    job: J
    result: R | Failure


class Readers:
    """Reader threads, each of which keeps the scene that it read last open; a context manager.

    Files are opened, read and closed by one and the same thread, as GDAL wants it.

    Args:
        gsd_m: GSD to read at, the model's.
        threads: by default one for each processor, from 2 to 8.
    """

    def __init__(self, gsd_m: float, threads: int | None = None) -> None:
        self._gsd_m = gsd_m
        self.threads = threads or min(8, max(2, os.cpu_count() or 1))
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._mine = threading.local()
        self._team = [threading.Thread(target=self._work, daemon=True) for _ in range(self.threads)]

    def __enter__(self) -> Self:
        for thread in self._team:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(Empty):  # what nobody waits for any more
            while True:
                self._tasks.get_nowait()
        for _ in self._team:
            self._tasks.put(None)
        for thread in self._team:
            thread.join()

    def valid_geometry(self, scene: Scene) -> BaseGeometry:
        """Where the scene has data, in scene pixels."""
        return self._reader(scene).valid_geometry()

    def view(self, scene: Scene, window_px: tuple[int, int, int, int]) -> View:
        """A window in model pixels."""
        reader = self._reader(scene)
        image, valid = reader.read(*window_px)
        share = float(valid.mean())
        if share == 0:
            return View(image, 0.0, (np.nan, np.nan, np.nan), no_sums())
        part = _middle(valid)
        seen = quality(image[part], valid[part])
        look = look_sums(image, valid, reader.stretch.lo, reader.stretch.hi)
        return View(image, share, (seen["sharpness"], seen["contrast"], seen["brightness"]), look)

    def ordered(self, jobs: Iterable[J], read: Callable[[J], R], ahead: int | None = None) -> Iterator[Outcome[J, R]]:
        """Run `read` on each job in the pool; outcomes come in the order of the jobs.

        Law: at most `ahead` results wait to be asked for; `jobs` is advanced in the caller's thread.
        """
        limit = AHEAD_PER_THREAD * self.threads if ahead is None else ahead
        running: deque[tuple[J, Future[R | Failure]]] = deque()
        for job in jobs:
            running.append((job, self._submit(read, job)))
            if len(running) > limit:
                yield _outcome(*running.popleft())
        while running:
            yield _outcome(*running.popleft())

    def _submit(self, read: Callable[[J], R], job: J) -> "Future[R | Failure]":
        future: Future[R | Failure] = Future()

        def task() -> None:
            try:
                future.set_result(read(job))
            except READ_ERRORS as error:
                future.set_result(Failure(error))
            except BaseException as error:  # a fault of ours: it is raised where the result is asked for
                future.set_exception(error)

        self._tasks.put(task)
        return future

    def _work(self) -> None:
        with ExitStack() as stack:
            self._mine.stack, self._mine.reader = stack, None
            while (task := self._tasks.get()) is not None:
                task()

    def _reader(self, scene: Scene) -> SceneReader:
        """The calling thread's reader of a scene, opened in place of the one it had before."""
        reader: SceneReader | None = self._mine.reader
        if reader is None or reader.scene != scene:
            self._mine.stack.close()
            self._mine.reader = None
            reader = self._mine.stack.enter_context(SceneReader(scene, self._gsd_m))
            self._mine.reader = reader
        return reader


def _outcome(job: J, future: "Future[R | Failure]") -> Outcome[J, R]:
    return Outcome(job, future.result())


def _middle(valid: NDArray[np.bool_]) -> tuple[slice, slice]:
    """A square of at most `QUALITY_PX` around the middle of what is valid."""
    picks = []
    for axis in (1, 0):
        used = np.flatnonzero(valid.any(axis=axis))
        middle = int(used[len(used) // 2])
        start = max(0, min(middle - QUALITY_PX // 2, len(valid) - QUALITY_PX))
        picks.append(slice(start, start + QUALITY_PX))
    return picks[0], picks[1]
