"""The facilities of a run in shares, which are counted in several processes where there is much to count."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky import get_reusable_executor

from detector.counting.samples import Index

R = TypeVar("R")

_SCENES = 500  # of a share, about: seconds of counting, beside which handing them to a process is little


@dataclass(frozen=True)
class Share:
    """Some facilities of a run.

    Attributes:
        detections: (D,) positions of their detections in their table.
        scenes: (S,) positions of their scenes.
    """

    detections: Index
    scenes: Index


def shares(detections: pd.DataFrame, scenes: pd.DataFrame) -> list[Share]:
    """All facilities in order of their ids, some 500 scenes together.

    Law: each row of both tables is in one share, in its order, and all rows of a facility are in the same one.
    """
    names, codes = np.unique(np.r_[_facility_ids(scenes), _facility_ids(detections)], return_inverse=True)
    of_scene, of_detection = np.split(codes, [len(scenes)])
    number = np.bincount(of_scene, minlength=names.size)
    first = np.minimum(np.cumsum(number) - number, max(len(scenes) - _SCENES, 0))
    share = first // _SCENES
    return [Share(*(np.flatnonzero(share[of] == each) for of in (of_detection, of_scene))) for each in np.unique(share)]


def mapped(
    count: Callable[[pd.DataFrame, pd.DataFrame], R], tables: Iterable[tuple[pd.DataFrame, pd.DataFrame]], number: int
) -> Iterator[R]:
    """What `count` makes of that many pairs of tables, in their order; on all processors where there are several.

    Tables are made as they are needed. The processes end with the last of them, and give their memory back.
    """
    jobs = min(number, cpu_count())
    if jobs < 2:
        yield from (count(*pair) for pair in tables)
        return
    try:
        workers = Parallel(n_jobs=jobs, return_as="generator", pre_dispatch="n_jobs", batch_size=1, max_nbytes=None)
        yield from workers(delayed(count)(*pair) for pair in tables)
    finally:
        get_reusable_executor().shutdown(wait=True)


def _facility_ids(table: pd.DataFrame) -> npt.NDArray[np.str_]:
    return np.asarray(table["facility_id"].to_numpy(dtype=str))
