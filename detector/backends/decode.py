"""From the network's raw head maps to oriented boxes, in float64 and without a cap."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from detector.backends.base import RawBoxes
from detector.errors import WeightsError
from detector.geometry import canonical
from detector.weights import ModelSpec


@dataclass(frozen=True)
class HeadMaps:
    """Raw outputs of the network for one tile with A anchors; all logits.

    Attributes:
        distances: 4 * reg_max x A, bins of the distances left, top, right, bottom.
        classes: C x A.
        angle: 1 x A.
    """

    distances: NDArray[np.floating]
    classes: NDArray[np.floating]
    angle: NDArray[np.floating]


def decode(maps: HeadMaps, shape_hw: tuple[int, int], spec: ModelSpec) -> RawBoxes:
    """Decode the anchors whose best class probability reaches the score floor.

    Args:
        maps: raw outputs for one tile.
        shape_hw: height and width of the tile, in pixels.
        spec: the network's description.

    Raises:
        WeightsError: the maps do not fit the description, or hold values that are not numbers.
    """
    check_shapes(maps.distances.shape, maps.classes.shape, maps.angle.shape, shape_hw, spec)
    best = maps.classes.max(axis=0)
    keep = np.flatnonzero(~(best < floor_logit(spec)))  # what is no number is kept, and found
    kept = HeadMaps(maps.distances[:, keep], maps.classes[:, keep], maps.angle[:, keep])
    return decode_kept(kept, keep, shape_hw, spec)


def floor_logit(spec: ModelSpec) -> float:
    """The score floor as a logit."""
    return math.log(spec.score_floor / (1 - spec.score_floor))


def decode_kept(kept: HeadMaps, keep: NDArray[np.int64], shape_hw: tuple[int, int], spec: ModelSpec) -> RawBoxes:
    """Decode some anchors.

    Distances are expectations over the bins' softmax (Generalized Focal Loss, 2020); the angle is
    (sigmoid(a) - 1/4) pi; the box's centre is the anchor's point moved by half the difference of the opposite
    distances, turned by the angle; its sides are the sums of opposite distances.

    Args:
        kept: raw outputs of K anchors.
        keep: K, which anchors they are.
        shape_hw: height and width of the tile, in pixels.
        spec: the network's description.

    Raises:
        WeightsError: values are not numbers.
    """
    if keep.size == 0:
        return RawBoxes(np.empty((0, 5)), np.empty((0, spec.n_classes), np.float32))
    if np.isnan(kept.classes).any():
        raise WeightsError(
            f"{spec.name} returned scores that are not numbers.",
            "Set precision: fp32, or export the weights again.",
        )
    points, stride = (values[keep] for values in anchors(shape_hw, spec.strides))
    bins = kept.distances.astype(np.float64).reshape(4, spec.reg_max, len(keep))
    left, top, right, bottom = np.einsum("drn,r->dn", _softmax(bins), np.arange(float(spec.reg_max)))
    angle = (_sigmoid(kept.angle[0]) - 0.25) * np.pi
    cos, sin = np.cos(angle), np.sin(angle)
    shift_x, shift_y = (right - left) / 2, (bottom - top) / 2
    centre_x = points[:, 0] + shift_x * cos - shift_y * sin
    centre_y = points[:, 1] + shift_x * sin + shift_y * cos
    in_strides = np.stack([centre_x, centre_y, left + right, top + bottom], axis=1)
    xywhr = np.concatenate([in_strides * stride[:, None], angle[:, None]], axis=1)
    return RawBoxes(canonical(xywhr), _sigmoid(kept.classes).T.astype(np.float32))


@cache
def anchors(shape_hw: tuple[int, int], strides: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Anchor points and their strides, level after level, each row by row.

    Returns:
        A x 2 points (x, y) at cell centres, in units of their stride; A strides in pixels.
    """
    points, scale = [], []
    for stride in strides:
        rows, cols = shape_hw[0] // stride, shape_hw[1] // stride
        y, x = np.meshgrid(np.arange(rows) + 0.5, np.arange(cols) + 0.5, indexing="ij")
        points.append(np.stack([x.ravel(), y.ravel()], axis=1))
        scale.append(np.full(rows * cols, float(stride)))
    return np.concatenate(points), np.concatenate(scale)


def check_shapes(
    distances: Sequence[int], classes: Sequence[int], angle: Sequence[int], shape_hw: tuple[int, int], spec: ModelSpec
) -> None:
    """Compare the shapes of one tile's maps with the description.

    Raises:
        WeightsError: they do not fit.
    """
    n_anchors = len(anchors(shape_hw, spec.strides)[1])
    found = (tuple(distances), tuple(classes), tuple(angle))
    wanted = ((4 * spec.reg_max, n_anchors), (spec.n_classes, n_anchors), (1, n_anchors))
    if found != wanted:
        raise WeightsError(
            f"{spec.name} returned maps of shapes {found}, not {wanted} as its description says.",
            "Export the weights again, so that the .onnx and the .json fit.",
        )


def _sigmoid(logit: NDArray[np.floating]) -> NDArray[np.float64]:
    logit = logit.astype(np.float64)
    small = np.exp(-np.abs(logit))
    probability: NDArray[np.float64] = np.where(logit >= 0, 1.0, small) / (1.0 + small)
    return probability


def _softmax(bins: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(bins - bins.max(axis=1, keepdims=True))
    share: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return share
