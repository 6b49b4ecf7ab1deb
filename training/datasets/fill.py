"""Areas to ignore are filled with what surrounds them: labels of a tile can say "object" or "ground", not "neither"."""

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy.ndimage import gaussian_filter

from detector.geometry import corners_from_xywhr
from detector.raster import PAD
from training.tiles import TileLabels

Image = NDArray[np.uint8]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

MARGIN_M = 1.0  # a fill reaches this far beyond the area, and fades out there
FADE_M = 0.3
BLUR_M = 3.0
DECOY_LENGTH_M, DECOY_WIDTH_M = (4.0, 40.0), (2.5, 12.0)
MOST_DECOYS, TRIES = 3, 8
_FAINT = 1e-3  # weight of the tile's mean against the blurred surroundings: it shows deep inside large areas only


def ignored_area(labels: TileLabels, valid: Bools) -> Bools:
    """Pixels (H x W) whose centre lies in an ignored rectangle and in no object to learn, among the valid ones."""
    return _drawn(labels.ignored, 0.0, valid) & ~_drawn(labels.corners, 0.0, valid) & valid


def filled(image: Image, valid: Bools, labels: TileLabels, gsd_m: float) -> Image:
    """The tile with its ignored areas filled by the blurred colours around them, without the objects to learn.

    Laws: pixels of objects to learn, invalid pixels, and those further than some two metres from an ignored area are
    returned unchanged; the fill does not depend on the pixels it covers.

    Args:
        image: H x W x 3.
        valid: its validity, H x W.
        labels: of the tile.
        gsd_m: GSD of the tile.
    """
    if len(labels.ignored) == 0:
        return image
    objects = _drawn(labels.corners, 0.0, valid)
    covered = _drawn(labels.ignored, MARGIN_M / gsd_m, valid)
    share = gaussian_filter(covered.astype(np.float32), FADE_M / gsd_m, mode="nearest")
    share[_drawn(labels.ignored, 0.0, valid)] = 1.0
    share[objects | ~valid] = 0.0
    source = valid & ~objects & ~(share > 0)
    weight = source.astype(np.float32)[..., None]
    mean = (image * weight).sum(axis=(0, 1)) / weight.sum() if source.any() else PAD
    sigma = (BLUR_M / gsd_m, BLUR_M / gsd_m, 0)
    around = gaussian_filter(image * weight, sigma) + _FAINT * mean
    smooth = around / (gaussian_filter(weight, sigma) + _FAINT)
    mixed = image + share[..., None] * (smooth - image)
    result: Image = np.where(share[..., None] > 0, np.rint(mixed).clip(0, 255).astype(np.uint8), image)
    return result


def with_decoys(labels: TileLabels, valid: Bools, gsd_m: float, rng: np.random.Generator) -> TileLabels:
    """The labels with up to three rectangles of ground as ignored areas: a fill alone then says nothing of cars.

    They have the sizes of vehicles up to small stacks of them, touch no object to learn, and lie on valid ground.
    """
    size = valid.shape[0]
    objects = shapely.polygons(labels.corners)
    found = []
    for _ in range(int(rng.integers(1, MOST_DECOYS + 1))):
        for _ in range(TRIES):
            length, width = rng.uniform(*DECOY_LENGTH_M), rng.uniform(*DECOY_WIDTH_M)
            place = rng.uniform(0, size, 2)
            box = np.array([[*place, length / gsd_m, min(width, length) / gsd_m, rng.uniform(0, np.pi)]])
            corners = corners_from_xywhr(box)
            x, y = place.astype(int)
            if valid[y, x] and not shapely.intersects(shapely.polygons(corners[0]), objects).any():
                found.append(corners)
                break
    return TileLabels(labels.classes, labels.corners, np.concatenate([labels.ignored, *found]))


def _drawn(corners: Floats, margin_px: float, valid: Bools) -> Bools:
    """Pixels whose centre lies in one of the rectangles grown by a margin, H x W."""
    if len(corners) == 0:
        return np.zeros(valid.shape, dtype=bool)
    polygons = shapely.polygons(corners)
    grown = shapely.buffer(polygons, margin_px, join_style="mitre") if margin_px else polygons
    return np.asarray(rasterize(list(grown), out_shape=valid.shape, dtype=np.uint8), dtype=bool)
