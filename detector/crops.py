"""Objects seen along their own axis: crops of a picture turned with a box, and boxes told from other boxes."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from detector.geometry import Floats, as_xywhr, canonical
from detector.raster import PAD

CROP_PX = (112, 40)
"""Width and height of a crop, 34 by 12 m at 0.30 m: a car of 27.5 m, what it is coupled to, and both its neighbours."""
OFFSETS = 5
_FARTHEST = np.array([2.0, 1.0, 4.0, 0.7, 0.7])
"""The most that a box is moved, lengthened, widened and turned, in widths."""
_LONGEST = 2.0
"""The most that a box grows along itself, as a factor, and its inverse the most that it shrinks."""


def crops(image: NDArray[np.uint8], xywhr: ArrayLike) -> NDArray[np.uint8]:
    """What a picture (H, W, 3) shows around each box (N, 5): its centre in the middle, its long side to the right.

    Pixels keep their size, so that sizes stay what they are in metres. What lies outside of the picture is grey.

    Returns:
        N x 40 x 112 x 3.
    """
    boxes, (width, height) = canonical(as_xywhr(xywhr)), CROP_PX
    out = np.full((len(boxes), height, width, 3), PAD, np.uint8)
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    reach = np.column_stack([np.abs(cos) * width + np.abs(sin) * height, np.abs(sin) * width + np.abs(cos) * height])
    low, high = (  # the part of the picture that is seen: Pillow takes it pixel by pixel before it turns it
        np.clip(corner, 0, image.shape[1::-1]).astype(np.int64)
        for corner in (np.floor(boxes[:, :2] - reach / 2) - 1, np.ceil(boxes[:, :2] + reach / 2) + 1)
    )
    left = boxes[:, 0] - low[:, 0] - cos * width / 2 + sin * height / 2
    top = boxes[:, 1] - low[:, 1] - sin * width / 2 - cos * height / 2
    to_part = np.column_stack([cos, -sin, left, sin, cos, top]).tolist()
    for row in np.flatnonzero((low < high).all(axis=1)):
        (x0, y0), (x1, y1) = low[row], high[row]
        turned = Image.fromarray(np.ascontiguousarray(image[y0:y1, x0:x1])).transform(
            CROP_PX, Image.Transform.AFFINE, to_part[row], Image.Resampling.BILINEAR, fillcolor=(PAD, PAD, PAD)
        )
        out[row] = np.asarray(turned)
    return out


def offsets(xywhr: ArrayLike, others: ArrayLike) -> Floats:
    """How other boxes lie in the frames of boxes, row by row, (N, 5) each; `moved` is the inverse.

    Along the box, across it, how much longer, how much wider, and turned by how much: each as far as it moves an edge
    or an end, in widths of the box, since that is what overlap is lost by.
    """
    boxes, there = canonical(as_xywhr(xywhr)), canonical(as_xywhr(others))
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    dx, dy = (there[:, :2] - boxes[:, :2]).T
    length, width = boxes[:, 2], boxes[:, 3]
    turn = np.mod(there[:, 4] - boxes[:, 4] + np.pi / 2, np.pi) - np.pi / 2
    return np.column_stack(
        [
            (dx * cos + dy * sin) / width,
            (dy * cos - dx * sin) / width,
            np.log(there[:, 2] / length) * length / width,
            np.log(there[:, 3] / width),
            turn * length / width,
        ]
    )


def moved(xywhr: ArrayLike, by: ArrayLike) -> Floats:
    """Boxes (N, 5) moved by offsets (N, 5), no farther than a second look may correct a first one.

    Law: `moved(a, offsets(a, b))` is b, where b is near a.
    """
    boxes = canonical(as_xywhr(xywhr))
    far = np.clip(_told(by), -_FARTHEST, _FARTHEST)
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    length, width = boxes[:, 2], boxes[:, 3]
    along, across = far[:, 0] * width, far[:, 1] * width
    share = width / length
    return canonical(
        np.column_stack(
            [
                boxes[:, 0] + along * cos - across * sin,
                boxes[:, 1] + along * sin + across * cos,
                length * np.exp(np.clip(far[:, 2] * share, -np.log(_LONGEST), np.log(_LONGEST))),
                width * np.exp(far[:, 3]),
                boxes[:, 4] + far[:, 4] * share,
            ]
        )
    )


def mirrored(by: ArrayLike) -> Floats:
    """Offsets (N, 5) in the mirror image of a crop about its long axis."""
    return np.asarray(_told(by) * (1.0, -1.0, 1.0, 1.0, -1.0))


def turned_round(by: ArrayLike) -> Floats:
    """Offsets (N, 5) in a crop turned by half a circle."""
    return np.asarray(_told(by) * (-1.0, -1.0, 1.0, 1.0, 1.0))


def _told(by: ArrayLike) -> Floats:
    rows: Floats = np.asarray(by, dtype=np.float64).reshape(-1, OFFSETS)
    return rows
