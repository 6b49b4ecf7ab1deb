"""From what the backend saw in single tiles to the objects of a scene."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import shapely
from numpy.typing import NDArray

from detector.backends import RawBoxes, SecondStage
from detector.classscores import ClassScores
from detector.detection.planning import Planner, to_model
from detector.detection.reading import View
from detector.detection.rows import Area, Objects
from detector.merge import merge, merge_tile
from detector.pixels.look import Look, look_of, no_sums
from detector.scenes import Scene
from detector.store import TileResult
from detector.tiling import SLACK_PX, Tile, TileGrid


def owned(tile: Tile, raw: RawBoxes, view: View, planner: Planner, second: SecondStage | None = None) -> TileResult:
    """What a tile contributes: its objects (with slack), in model pixels, without duplicates.

    The best box of many says how sure it is that something stands there; what it is, all boxes of the object say
    together. Where there is a second stage, it has the last word on both, and on where the object lies.
    """
    x0, y0, *_ = tile.window_px
    xywhr = raw.xywhr + np.array([x0, y0, 0, 0, 0], dtype=np.float64)
    judged = planner.judged(raw.scores)
    told = raw.scores * judged.related
    settled = merge_tile(tile, xywhr, judged.score, judged.family, told, threshold_ios=planner.config.merge_ios)
    shares = settled.told / settled.told.sum(axis=1, keepdims=True)
    scores = (judged.score[settled.rows, None] * shares).astype(np.float32)
    first = TileResult(settled.xywhr, scores, settled.cut, view.valid, view.look)
    return first if second is None or not len(scores) else _seen_again(tile, first, view, planner, second)


def _seen_again(tile: Tile, first: TileResult, view: View, planner: Planner, second: SecondStage) -> TileResult:
    """The objects of a tile as the second stage has them.

    An object is of the likeliest family. Two boxes on one object come to lie on each other, and one of them goes; what
    falls below the score floor goes too. Boxes stay where they are if the window's end cuts them, before or after,
    since nobody sees there what is whole; and if their centre would leave what the tile owns.
    """
    x0, y0, *_ = tile.window_px
    corner = np.array([x0, y0, 0, 0, 0], dtype=np.float64)
    found = second.look(view.image, first.xywhr - corner, first.scores)
    moved = found.xywhr + corner
    stays = first.cut | tile.cuts(moved) | ~tile.owns(moved[:, :2], SLACK_PX)
    xywhr = np.where(stays[:, None], first.xywhr, moved)
    family = np.stack([found.probabilities[:, planner.family_of == i].sum(axis=1) for i in planner.families], axis=1)
    of = family.argmax(axis=1)
    scores = np.where(planner.family_of == of[:, None], found.probabilities, np.float32(0))
    total = scores.sum(axis=1, dtype=np.float64)
    sure = np.flatnonzero(total >= planner.weights.spec.score_floor)
    kept = sure[merge(xywhr[sure], total[sure], of[sure], cut=first.cut[sure], threshold_ios=planner.config.merge_ios)]
    return replace(first, xywhr=xywhr[kept], scores=scores[kept], cut=first.cut[kept])


def alone(raw: RawBoxes, image: NDArray[np.uint8], planner: Planner, second: SecondStage | None = None) -> TileResult:
    """What stands on a picture that is a tile by itself, in its pixels; its ends cut nothing that goes on elsewhere.

    Args:
        raw: what the network sees on it, filled up to the size of a tile.
        image: the picture, H x W x 3.
        planner: settings and classes.
        second: the second stage, where it is to look too.
    """
    edge = planner.config.tile_px
    whole = TileGrid(edge, 0).tile(0, 0, (edge, edge))
    return owned(whole, raw, View(image, 1.0, no_sums()), planner, second)


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
    found = Objects(xywhr, ClassScores(planner.weights.spec.classes, scores), planner.named(scores))
    family = planner.family_of[found.best]
    return found.take(merge(xywhr, found.score, family, cut=cut, threshold_ios=planner.config.merge_ios))


def look_at(area: Area, tiles: Sequence[Tile], results: Sequence[TileResult], scene: Scene, gsd_m: float) -> Look:
    """How the facility's picture looks, over the tiles that see it."""
    outline = to_model(scene, area.visible, gsd_m)
    x0, y0, x1, y1 = outline.bounds
    cores = np.clip([tile.core_px for tile in tiles], [x0, y0, x0, y0], [x1, y1, x1, y1])
    met = np.atleast_1d(shapely.intersects(outline, shapely.box(*cores.T)))
    looks = [result.look for result, on in zip(results, met, strict=True) if on]
    return look_of(np.sum([no_sums(), *looks], axis=0), is_whole=np.issubdtype(scene.dtype, np.integer))
