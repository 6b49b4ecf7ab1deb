"""Windows of a scene at the model's GSD, stretched to 8 bit, with the validity of every pixel."""

import math
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.features import shapes, sieve
from rasterio.transform import Affine
from rasterio.windows import Window
from shapely import make_valid, unary_union
from shapely.geometry import MultiPolygon, Polygon, box, shape
from shapely.geometry.base import BaseGeometry

from detector.pixels.rasterfile import all_valid, read_values
from detector.pixels.scenefiles import SceneFiles
from detector.pixels.stretch import SOLID_PX, Stretch, stretch_of
from detector.scene import Scene

PAD = 114  # grey of all that is not valid
MASK_PX = 2048  # long side of the decimated mask
SPECK_M2 = 4.0  # holes in the mask below this area are dark pixels or dust
CUBIC_REACH = 2.0  # half width of the cubic kernel, in pixels of the coarser grid


class SceneReader:
    """Reads a scene at the model's GSD; a context manager, one per thread.

    Model pixels are the scene's pixel axes rescaled: x_model = x_px * gsd_x_m / gsd_model_m, and so for y.
    Law: the pixel at one model coordinate does not depend on the window it is read in, nor on how
    the scene is cut into files (within 1 grey level, the rounding of the resampling).

    Args:
        scene: the scene.
        gsd_model_m: GSD of the model in metres.
    """

    def __init__(self, scene: Scene, gsd_model_m: float = 0.30) -> None:
        self.scene = scene
        self.scale_x = gsd_model_m / scene.gsd_x_m  # scene pixels per model pixel
        self.scale_y = gsd_model_m / scene.gsd_y_m
        self._files = SceneFiles(scene)

    @cached_property
    def stretch(self) -> Stretch:
        """How the scene's values become grey levels."""
        return stretch_of(self.scene)

    def __enter__(self) -> Self:
        self._files.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, trace)

    @property
    def shape_model(self) -> tuple[int, int]:
        """(H, W) of the scene in model pixels: those whose centre lies in the scene."""
        height, width = self.scene.height / self.scale_y, self.scene.width / self.scale_x
        return max(1, math.ceil(height - 0.5 - 1e-6)), max(1, math.ceil(width - 0.5 - 1e-6))

    def read(self, x0: int, y0: int, w: int, h: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """A window in model pixels, which may reach beyond the scene.

        Returns:
            The image, uint8 (h, w, 3): red, green, blue, or grey three times; 114 where it is not valid. The
            validity, bool (h, w): the centre of the model pixel falls on a valid pixel of the scene.
        """
        xs, ys = _Span.of(x0, w, self.scale_x), _Span.of(y0, h, self.scale_y)
        values, source_valid = self._files.read(xs.first, ys.first, xs.count, ys.count)
        source_valid = self.stretch.settle(values, source_valid)
        grey = self.stretch.grey(values)
        grey[:, ~source_valid] = PAD
        valid = source_valid[np.ix_(ys.nearest, xs.nearest)]
        frame = (xs.start, ys.start, xs.stop, ys.stop)
        # As floats: 8 bit would be clipped between the two passes, whose order depends on the window.
        planes = [Image.fromarray(band).resize((w, h), Image.Resampling.BICUBIC, box=frame) for band in grey]
        levels = np.rint(np.stack([np.asarray(plane) for plane in planes], axis=-1)).clip(0, 255)
        image = np.empty((h, w, 3), dtype=np.uint8)
        image[...] = levels
        image[~valid] = PAD
        return image, valid

    def valid_geometry(self, within: BaseGeometry | None = None) -> BaseGeometry:
        """Where the scene has data: polygons in scene pixels, from a mask of at most `MASK_PX` a side.

        Exactly the rectangle of the scene (or of its files) where everything is valid; empty where
        nothing is.

        Args:
            within: look only into the bounding box of this geometry (scene pixels): a finer mask, sooner.
        """
        left, top, right, bottom = 0, 0, self.scene.width, self.scene.height
        if within is not None:
            if within.is_empty:
                return Polygon()
            x0, y0, x1, y1 = within.bounds
            left, top = max(left, math.floor(x0)), max(top, math.floor(y0))
            right, bottom = min(right, math.ceil(x1)), min(bottom, math.ceil(y1))
        step = max(1, math.ceil(max(right - left, bottom - top) / MASK_PX))
        parts = []
        for index, ((dx, dy), (w, h)) in enumerate(zip(self.scene.offsets_px, self.scene.sizes_px, strict=True)):
            frame = (max(left, dx), max(top, dy), min(right, dx + w), min(bottom, dy + h))
            if frame[0] < frame[2] and frame[1] < frame[3]:
                parts.append(self._valid_part(index, frame, step))
        return unary_union(parts)

    def _valid_part(self, index: int, frame: tuple[int, int, int, int], step: int) -> BaseGeometry:
        """Where file `index` has data within `frame` (left, top, right, bottom in scene pixels)."""
        (dx, dy), (left, top, right, bottom) = self.scene.offsets_px[index], frame
        rectangle = box(*frame)
        dataset, blank_zero = self._files.dataset(index), self.stretch.blank_zero
        if all_valid(dataset, self.scene.bands) and not blank_zero:
            return rectangle
        window = Window(left - dx, top - dy, right - left, bottom - top)
        values, valid = read_values(dataset, self.scene.bands, window, step)
        if blank_zero:
            valid &= values.any(axis=0)
        rows, columns = valid.shape
        step_x, step_y = (right - left) / columns, (bottom - top) / rows
        cell_m2 = self.scene.gsd_x_m * step_x * self.scene.gsd_y_m * step_y
        mask = sieve(valid.astype(np.uint8), size=max(1, round(SPECK_M2 / cell_m2)))
        if mask.all():
            return rectangle
        to_scene = Affine(step_x, 0, left, 0, step_y, top)
        cells = [shape(cell) for cell, _ in shapes(mask, mask=mask == 1, connectivity=4, transform=to_scene)]
        outline = unary_union(cells).simplify(step_x) if cells else Polygon()
        return _polygons(make_valid(outline).intersection(rectangle))


@dataclass(frozen=True)
class _Span:
    """One axis of a read: the scene pixels needed, and where the model pixels lie among them.

    The scene pixels `first` .. `first + count` hold the window with the reach of the kernel around
    it; counted from `first`, `start` and `stop` are the window's ends, and `nearest` the pixel under
    each model pixel's centre.
    """

    first: int
    count: int
    start: float
    stop: float
    nearest: NDArray[np.intp]

    @classmethod
    def of(cls, start: int, length: int, scale: float) -> Self:
        """The span of `length` model pixels from `start`, at `scale` scene pixels per model pixel."""
        reach = CUBIC_REACH * max(1.0, scale) + SOLID_PX
        first = math.floor(start * scale - reach)
        count = math.ceil((start + length) * scale + reach) - first
        nearest = np.floor((np.arange(start, start + length) + 0.5) * scale).astype(np.intp) - first
        return cls(first, count, start * scale - first, (start + length) * scale - first, nearest)


def _polygons(geometry: BaseGeometry) -> BaseGeometry:
    """The polygonal part of a geometry, without the lines and points that an intersection can leave."""
    if isinstance(geometry, Polygon | MultiPolygon):
        return geometry
    return unary_union([part for part in getattr(geometry, "geoms", ()) if part.area > 0])


def quality(image: NDArray[np.uint8], valid: NDArray[np.bool_]) -> dict[str, float]:
    """Sharpness, contrast and brightness of the valid pixels of an image (h, w, 3).

    brightness is the mean grey / 255 and contrast its standard deviation / 255. sharpness is the mean
    squared 4-neighbour Laplacian over 20 times the variance: 1 for white noise (20 is the sum of the
    squared weights of the Laplacian), near 0 for a blurred image, the same at any contrast. NaN where
    too little is valid.
    """
    if not valid.any():
        return {"sharpness": math.nan, "contrast": math.nan, "brightness": math.nan}
    grey = image.astype(np.float64).mean(axis=-1)
    variance = float(grey[valid].var())
    cross = (np.s_[1:-1, 1:-1], np.s_[:-2, 1:-1], np.s_[2:, 1:-1], np.s_[1:-1, :-2], np.s_[1:-1, 2:])
    centre, *around = (grey[place] for place in cross)
    inner = np.logical_and.reduce([valid[place] for place in cross])
    laplacian = (4 * centre - sum(around))[inner]
    sharpness = float((laplacian**2).mean()) / (20 * variance) if inner.any() and variance > 0 else math.nan
    return {
        "sharpness": sharpness,
        "contrast": math.sqrt(variance) / 255,
        "brightness": float(grey[valid].mean()) / 255,
    }
