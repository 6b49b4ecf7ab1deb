"""From what the backend saw in single tiles to the objects of a scene."""

from collections.abc import Sequence

import numpy as np
import shapely

from detector.backends import RawBoxes
from detector.detection.planning import Planner, to_model
from detector.detection.reading import View
from detector.detection.rows import Area, Objects
from detector.merge import merge, merge_tile
from detector.pixels.look import Look, look_of, no_sums
from detector.scenes import Scene
from detector.store import TileResult
from detector.tiling import Tile


def owned(tile: Tile, raw: RawBoxes, view: View, planner: Planner) -> TileResult:
    """What a tile contributes: its objects (with slack), in model pixels, without duplicates."""
    x0, y0, *_ = tile.window_px
    xywhr = raw.xywhr + np.array([x0, y0, 0, 0, 0], dtype=np.float64)
    judged = planner.judged(raw.scores)
    kept, boxes, cut = merge_tile(tile, xywhr, judged.score, judged.family, threshold_ios=planner.config.merge_ios)
    return TileResult(boxes, raw.scores[kept], cut, view.valid, view.look)


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
    judged = planner.judged(scores)
    kept = merge(xywhr, judged.score, judged.family, cut=cut, threshold_ios=planner.config.merge_ios)
    return Objects(xywhr[kept], judged.best[kept], judged.score[kept])


def look_at(area: Area, tiles: Sequence[Tile], results: Sequence[TileResult], scene: Scene, gsd_m: float) -> Look:
    """How the facility's picture looks, over the tiles that see it."""
    outline = to_model(scene, area.visible, gsd_m)
    x0, y0, x1, y1 = outline.bounds
    cores = np.clip([tile.core_px for tile in tiles], [x0, y0, x0, y0], [x1, y1, x1, y1])
    met = np.atleast_1d(shapely.intersects(outline, shapely.box(*cores.T)))
    looks = [result.look for result, on in zip(results, met, strict=True) if on]
    return look_of(np.sum([no_sums(), *looks], axis=0), is_whole=np.issubdtype(scene.dtype, np.integer))
