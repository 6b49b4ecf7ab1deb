"""Reader threads: a bounded number of results ahead, errors as values."""

import os
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from shapely import unary_union
from shapely.geometry.base import BaseGeometry

from detector.detection.strips import bands, pictures
from detector.errors import RailcarsError
from detector.memory import free_at_once
from detector.pixels.look import look_sums, no_sums
from detector.pixels.modelgrid import NATIVE
from detector.pixels.stretch import Stretch
from detector.raster import SceneReader
from detector.scenes import Scene
from detector.tiling import Tile

J = TypeVar("J")
R = TypeVar("R")
T = TypeVar("T", bound="Job")

READ_ERRORS = (OSError, RasterioError, RailcarsError, ValueError)
"""What a damaged or vanished file raises while it is read."""
AHEAD_PER_THREAD = 8


@dataclass(frozen=True)
class View:
    """One tile as read.

    Attributes:
        image: H x W x 3, uint8.
        valid: share of pixels with data.
        look: sums over the pixels, see `detector.pixels.look`.
    """

    image: NDArray[np.uint8]
    valid: float
    look: NDArray[np.float64]


@dataclass(frozen=True)
class Failure:
    """A read that failed."""

    error: Exception

    @classmethod
    def of(cls, error: Exception) -> Self:
        """The failure with the words of its cause, which an error would lose on its way to another process."""
        if error.__cause__ is None or isinstance(error, RailcarsError):
            return cls(error)
        return cls(OSError(str(error.__cause__)))


@dataclass(frozen=True)
class Outcome(Generic[J, R]):
    """A job and what came of it."""

    job: J
    result: R | Failure


class Job(Hashable, Protocol):
    """A tile to look at."""

    @property
    def scene(self) -> Scene:
        """The scene that it is of."""

    @property
    def tile(self) -> Tile:
        """Its place there."""


class Readers:
    """Threads that open scenes and read tiles, each with its own handle of the scene it is at; a context manager.

    Files are opened, read and closed by one and the same thread, as GDAL wants it. Scenes are opened by threads of
    their own, so that the next one is ready when the tiles of the one before it are read.

    Args:
        gsd_m: GSD to read at, the model's.
        threads: that read tiles; by default one for every two processors, up to 8: reading takes a small share of
            what the network takes, and a second reader of one scene decodes a little of it twice.
    """

    def __init__(self, gsd_m: float, threads: int | None = None) -> None:
        self.threads = threads or min(8, max(1, (os.cpu_count() or 1) // 2))
        self._tiles = _Team(gsd_m, self.threads)
        self._openers = _Team(gsd_m, min(2, self.threads))
        self._flows: list[_Flow] = []

    def __enter__(self) -> Self:
        free_at_once()
        for team in (self._tiles, self._openers):
            team.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for flow in self._flows:
            flow.stop(self.threads)
        for team in (self._tiles, self._openers):
            team.close()

    def valid_geometry(self, scene: Scene, within: BaseGeometry | None = None) -> BaseGeometry:
        """Where the scene has data, in scene pixels; to be called by `ordered`.

        Args:
            scene: the scene.
            within: look only into the bounding boxes of its parts.
        """
        reader = self._openers.reader(scene)
        if within is None:
            return reader.valid_geometry()
        return unary_union([reader.valid_geometry(part) for part in getattr(within, "geoms", [within])])

    def ordered(self, jobs: Iterable[J], read: Callable[[J], R], ahead: int = 1) -> Iterator[Outcome[J, R]]:
        """Run `read` on each job in the threads that open scenes; outcomes come in the order of the jobs.

        Law: at most `ahead` results wait to be asked for; `jobs` is advanced in the caller's thread.
        """
        running: deque[tuple[J, Future[R | Failure]]] = deque()
        for job in jobs:
            running.append((job, self._submit(read, job)))
            if len(running) > ahead:
                yield _outcome(*running.popleft())
        while running:
            yield _outcome(*running.popleft())

    def _submit(self, read: Callable[[J], R], job: J) -> "Future[R | Failure]":
        future: Future[R | Failure] = Future()

        def task() -> None:
            try:
                future.set_result(read(job))
            except READ_ERRORS as error:
                future.set_result(Failure.of(error))
            except BaseException as error:  # a fault of ours: it is raised where the result is asked for
                future.set_exception(error)

        self._openers.submit(task)
        return future

    def views(self, batches: Iterable[Sequence[T]]) -> Iterator[tuple[T, View | Failure]]:
        """What each tile shows, in any order; where a file breaks, a failure for each tile not yet read of a band.

        Law: each job comes back once, and at most `AHEAD_PER_THREAD` views a thread wait to be asked for; `batches`
        is advanced in the caller's thread.

        Args:
            batches: jobs of one scene each, which are read together; see `detector.detection.strips`.
        """
        flow = _Flow(AHEAD_PER_THREAD * self.threads)
        self._flows.append(flow)
        waiting = (band for batch in batches for band in _bands(batch, self.threads))
        running = 0
        try:
            while True:
                while running <= self.threads and (band := next(waiting, None)) is not None:
                    self._tiles.submit(partial(self._read, band, flow))
                    running += 1
                if running == 0:
                    return
                item = flow.get()
                if item is None:
                    running -= 1
                elif isinstance(item, BaseException):  # a fault of ours
                    raise item
                else:
                    yield item
        finally:
            flow.stop(self.threads)
            self._flows.remove(flow)

    def _read(self, band: Sequence[T], flow: "_Flow") -> None:
        """Read a band of tiles into the flow, until that is stopped."""
        if flow.stopped:
            return
        done = 0
        try:
            reader = self._tiles.reader(band[0].scene)
            for job, (image, valid) in zip(band, pictures(reader, [job.tile for job in band]), strict=True):
                if not flow.put((job, view_of(image, valid, reader.stretch))):
                    return
                done += 1
        except READ_ERRORS as error:
            failure = Failure.of(error)
            for job in band[done:]:
                flow.put((job, failure))
        except BaseException as error:
            flow.end(error)
        flow.end(None)


class _Team:
    """Threads that take tasks in turn and keep the scene that each read last open."""

    def __init__(self, gsd_m: float, size: int) -> None:
        self._gsd_m = gsd_m
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._mine = threading.local()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(size)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, task: Callable[[], None]) -> None:
        self._tasks.put(task)

    def close(self) -> None:
        """End the threads when their present task ends; what waits is dropped."""
        with suppress(Empty):
            while True:
                self._tasks.get_nowait()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def reader(self, scene: Scene) -> SceneReader:
        """The calling thread's reader of a scene, opened in place of the one it had before."""
        reader: SceneReader | None = self._mine.reader
        if reader is None or reader.scene != scene:
            self._mine.stack.close()
            self._mine.reader = None
            reader = self._mine.stack.enter_context(SceneReader(scene, self._gsd_m, NATIVE))
            self._mine.reader = reader
        return reader

    def _work(self) -> None:
        with ExitStack() as stack:
            self._mine.stack, self._mine.reader = stack, None
            while (task := self._tasks.get()) is not None:
                task()


class _Flow:
    """From readers to one caller, with a bounded number of items between them.

    Room is given back for half of them at once: readers work in bursts, for which the processor's caches are warm.
    """

    def __init__(self, limit: int) -> None:
        self._items: SimpleQueue[Any] = SimpleQueue()
        self._room = threading.Semaphore(limit)
        self._burst, self._taken = max(1, limit // 2), 0
        self.stopped = False

    def put(self, item: object) -> bool:
        """Hand on an item when there is room for it; False when nobody wants it any more."""
        if not self.stopped:
            self._room.acquire()
        if not self.stopped:
            self._items.put(item)
        return not self.stopped

    def end(self, error: BaseException | None) -> None:
        """Tell that a reader has ended, and with what fault."""
        self._items.put(error)

    def get(self) -> Any:  # noqa: ANN401
        """The next item; None for a reader that has ended."""
        item = self._items.get()
        if isinstance(item, tuple):
            self._taken += 1
            if self._taken % self._burst == 0:
                self._room.release(self._burst)
        return item

    def stop(self, readers: int) -> None:
        """Let go of all that wait for room, for good."""
        self.stopped = True
        self._room.release(readers)


def view_of(image: NDArray[np.uint8], valid: NDArray[np.bool_], stretch: Stretch) -> View:
    """A tile as read, with its look."""
    share = np.count_nonzero(valid) / valid.size
    return View(image, share, look_sums(image, valid, stretch.lo, stretch.hi) if share > 0 else no_sums())


def _bands(batch: Sequence[T], parts: int) -> list[list[T]]:
    return [[batch[number] for number in numbers] for numbers in bands([job.tile for job in batch], parts)]


def _outcome(job: J, future: "Future[R | Failure]") -> Outcome[J, R]:
    return Outcome(job, future.result())
