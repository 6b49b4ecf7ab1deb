"""How well upright boxes become oriented ones: `python -m benchmarks.bench_hulls --scenes SOURCE`.

The objects of annotated scenes are drawn as upright hulls, as people draw them (each side off by half a pixel or so, in
whole pixels), turned into oriented boxes again, and compared with what they were.
"""

from typing import Annotated

import numpy as np
import typer

from detector.geometry import Bools, Floats, iou_pairs, xywhr_from_corners
from training.classes import NO_CLASS, class_names
from training.formats import Annotations, read
from training.formats.orient import orient
from training.formats.reading import gradient_signs, rail_classes

NOISE_PX = 0.5
ASKEW_DEG = 5.0


def recovered(annotations: Annotations, rng: np.random.Generator) -> tuple[Bools, Bools, Floats, Floats]:
    """Of each wholly visible object that stands askew: rail vehicle, solved, IoU solved, IoU of its hull."""
    low, high = annotations.corners_px.min(axis=1), annotations.corners_px.max(axis=1)
    whole = (low > 1).all(axis=1) & (high < np.array(annotations.size_px) - 1).all(axis=1)
    known = (annotations.classes != NO_CLASS) & ~annotations.ignore & ~annotations.axis_aligned
    rows = np.flatnonzero(whole & known & (annotations.visible >= 0.95))
    boxes = xywhr_from_corners(annotations.corners_px[rows])
    hulls = np.concatenate([low[rows], high[rows]], axis=1)
    hulls = np.rint(hulls + rng.normal(0, NOISE_PX, hulls.shape))
    rail = np.isin(np.array(class_names())[annotations.classes[rows]], rail_classes())
    result = orient(hulls, rail, annotations.gsd_m or 0.3, gradient_signs(annotations.image, hulls))
    upright = np.column_stack([(hulls[:, :2] + hulls[:, 2:]) / 2, hulls[:, 2:] - hulls[:, :2], np.zeros(len(hulls))])
    off = np.degrees(boxes[:, 4]) % 90
    askew = np.minimum(off, 90 - off) >= ASKEW_DEG
    return rail[askew], result.solved[askew], iou_pairs(result.xywhr, boxes)[askew], iou_pairs(upright, boxes)[askew]


def main(scenes: Annotated[list[str], typer.Option(help="Scenes with oriented boxes, [FORMAT:]PATH.")]) -> None:
    """Print what is recovered, for rail vehicles and containers."""
    rng = np.random.default_rng(0)
    found = [recovered(each, rng) for source in scenes for each in read(source)[0] if len(each)]
    rail, solved, iou, before = (np.concatenate(column) for column in zip(*found, strict=True))
    for name, kind in (("rail vehicles", rail), ("containers", ~rail)):
        if kind.any():
            good = [f"{(iou[kind & solved] >= limit).mean():.1%}" for limit in (0.5, 0.7)]
            typer.echo(
                f"{kind.sum()} {name} askew by {ASKEW_DEG:g}+ degrees: {solved[kind].mean():.1%} solved, of these "
                f"{good[0]} at IoU 0.5, {good[1]} at 0.7; as hulls {(before[kind] >= 0.5).mean():.1%} at IoU 0.5"
            )


if __name__ == "__main__":
    typer.run(main)
