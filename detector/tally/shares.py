"""The facilities of a run in shares, which are counted in several processes where there is much to count."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import current_process
from typing import Protocol, TypeVar, cast

import numpy as np
import pandas as pd
from loky import ProcessPoolExecutor, cpu_count

from detector.counting.samples import Index

R = TypeVar("R")

_SCENES = 500  # of a share, about: seconds of counting, beside which handing them to a process is little
_PROCESSES = 8  # at most: each holds all libraries, and this one has to hand them their shares
_ONE_THREAD = {f"{library}_NUM_THREADS": 1 for library in ("OMP", "OPENBLAS", "MKL")}  # of each process


class Rows(Protocol):
    """A table of which parts are taken: a frame, or one that lies in a file (`detector.runfolder.StoredTable`)."""

    def __len__(self) -> int:
        """How many rows."""

    def __getitem__(self, name: str, /) -> pd.Series:
        """A column."""

    def take(self, indices: Index, /) -> pd.DataFrame:
        """The rows at these positions."""


@dataclass(frozen=True)
class Share:
    """Some facilities of a run.

    Attributes:
        detections: (D,) positions of their detections in their table.
        scenes: (S,) positions of their scenes.
    """

    detections: Index
    scenes: Index


def shares(detections: Rows, scenes: Rows) -> list[Share]:
    """All facilities in order of their ids, some 500 scenes together; one share at least.

    Law: each row of both tables is in one share, in its order, and all rows of a facility are in the same one.
    """
    ids = pd.concat([table["facility_id"].astype(str) for table in (scenes, detections)])
    codes, names = pd.factorize(ids, sort=True)
    of_scene, of_detection = np.split(codes, [len(scenes)])
    number = np.bincount(of_scene, minlength=len(names))
    first = np.minimum(np.cumsum(number) - number, max(len(scenes) - _SCENES, 0))
    share = first // _SCENES
    numbers = np.unique(share).tolist() or [0]
    return [Share(*(np.flatnonzero(share[of] == each) for of in (of_detection, of_scene))) for each in numbers]


def mapped(
    count: Callable[[pd.DataFrame, pd.DataFrame], R], tables: Iterable[tuple[pd.DataFrame, pd.DataFrame]], number: int
) -> Iterator[R]:
    """What `count` makes of that many pairs of tables, in their order; on several processors where there are such.

    Tables are made as they are needed. The processes end with the last of them, and give their memory back. Where one
    is killed, for want of memory most likely, or the system allows none, this one goes on alone.
    """
    jobs = min(number, cpu_count(), _PROCESSES)
    processes = _started(jobs)
    if processes is None:
        yield from (count(*pair) for pair in tables)
        return
    waiting: deque[Callable[[], R]] = deque()
    try:
        for pair in tables:
            waiting.append(_begun(processes, count, pair))
            if len(waiting) > jobs:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()
    finally:
        processes.shutdown(kill_workers=True)  # on an interrupt they are in the midst of a share


def _started(jobs: int) -> ProcessPoolExecutor | None:
    """That many processes; None where one is enough, or the system has no locks for several."""
    if jobs < 2 or current_process().daemon:  # a daemon may have no processes of its own
        return None
    try:
        return ProcessPoolExecutor(jobs, env=_ONE_THREAD)
    except (OSError, ImportError):
        return None


def _begun(
    processes: ProcessPoolExecutor,
    count: Callable[[pd.DataFrame, pd.DataFrame], R],
    pair: tuple[pd.DataFrame, pd.DataFrame],
) -> Callable[[], R]:
    """Begin to count a pair of tables; what is returned waits for the result."""
    try:
        future = processes.submit(count, *pair)
    except (BrokenProcessPool, OSError):
        return partial(count, *pair)

    def result() -> R:
        try:
            return cast(R, future.result())
        except BrokenProcessPool:
            return count(*pair)

    return result
