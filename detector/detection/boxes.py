"""From what the backend saw in single tiles to the objects of a scene."""

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from detector.backends import RawBoxes
from detector.detection.planning import Planner, to_model
from detector.detection.reading import View
from detector.detection.rows import Area, Objects
from detector.merge import merge
from detector.pixels.look import Look, look_of, no_sums
from detector.scenes import Scene
from detector.store import TileResult
from detector.tiling import SLACK_PX, Tile


def owned(tile: Tile, raw: RawBoxes, view: View, planner: Planner) -> TileResult:
    """What a tile contributes: the boxes it owns (with slack), in model pixels, without duplicates.

    Duplicates are settled by the same rule as later across tiles, only to keep the ledger small.
    """
    if len(raw) == 0:
        return TileResult(raw.xywhr, raw.scores, np.empty(0, bool), view.valid, view.look)
    x0, y0, *_ = tile.window_px
    xywhr = raw.xywhr + np.array([x0, y0, 0, 0, 0], dtype=np.float64)
    mine = tile.owns(xywhr[:, :2], SLACK_PX)
    xywhr, scores = xywhr[mine], raw.scores[mine]
    cut = tile.cuts(xywhr)
    kept = _merge(xywhr, scores, cut, planner)
    return TileResult(xywhr[kept], scores[kept], cut[kept], view.valid, view.look)


def blank(n_classes: int) -> TileResult:
    """The result of a tile without data."""
    none = np.empty((0, 5)), np.empty((0, n_classes), np.float32), np.empty(0, bool)
    return TileResult(*none, 0.0, no_sums())


def merged(results: Sequence[TileResult], planner: Planner) -> Objects:
    """One box per object of the scene, in the order of the results."""
    every = [blank(planner.weights.spec.n_classes), *results]
    xywhr = np.concatenate([result.xywhr for result in every])
    scores = np.concatenate([result.scores for result in every])
    cut = np.concatenate([result.cut for result in every])
    kept = _merge(xywhr, scores, cut, planner)
    return Objects(xywhr[kept], scores[kept])


def look_at(area: Area, tiles: Sequence[Tile], results: Sequence[TileResult], scene: Scene, gsd_m: float) -> Look:
    """How the facility's picture looks, over the tiles that see it."""
    outline = to_model(scene, area.visible, gsd_m)
    x0, y0, x1, y1 = outline.bounds
    cores = np.clip([tile.core_px for tile in tiles], [x0, y0, x0, y0], [x1, y1, x1, y1])
    met = np.atleast_1d(shapely.intersects(outline, shapely.box(*cores.T)))
    looks = [result.look for result, on in zip(results, met, strict=True) if on]
    return look_of(np.sum([no_sums(), *looks], axis=0))


def _merge(
    xywhr: NDArray[np.float64], scores: NDArray[np.float32], cut: NDArray[np.bool_], planner: Planner
) -> NDArray[np.int64]:
    """Rows to keep: boxes compete inside the family of their best class, with that class's probability."""
    score = scores.max(axis=1, initial=0.0)
    group = planner.families[scores.argmax(axis=1)]
    return merge(xywhr, score, group, cut=cut, threshold_ios=planner.config.merge_ios)
