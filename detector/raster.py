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

from detector.pixels.modelgrid import ModelGrid
from detector.pixels.rasterfile import all_valid, read_values, unplaced
from detector.pixels.scenefiles import SceneFiles
from detector.pixels.stretch import SOLID_PX, Stretch, stretch_of
from detector.scene import Scene

PAD = 114  # grey of all that is not valid
MASK_PX = 2048  # long side of the decimated mask
SPECK_M2 = 4.0  # holes in the mask below this area are dark pixels or dust
CUBIC_REACH = 2.0  # half width of the cubic kernel, in pixels of the coarser grid


class SceneReader:
    """Reads a scene on a model's pixel grid; a context manager, one per thread.

    Law: the pixel at one model coordinate does not depend on the window it is read in, nor on how
    the scene is cut into files (within 1 grey level, the rounding of the resampling).

    Args:
        scene: the scene.
        gsd_model_m: GSD of the model in metres.
        native: a scene within this share of the model's GSD is read as it is; see `ModelGrid`.
    """

    def __init__(self, scene: Scene, gsd_model_m: float = 0.30, native: float = 0.0) -> None:
        self.scene = scene
        self.grid = ModelGrid.of(scene, gsd_model_m, native)
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
        return self.grid.shape(self.scene)

    def read(self, x0: int, y0: int, w: int, h: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """A window in model pixels, which may reach beyond the scene.

        Returns:
            The image, uint8 (h, w, 3): red, green, blue, or grey three times; 114 where it is not valid. In memory
            one plane follows another, as in files and in the network. The validity, bool (h, w): the centre of the
            model pixel falls on a valid pixel of the scene.
        """
        image, valid = np.empty((3, h, w), np.uint8), np.empty((h, w), np.bool_)
        self.read_into(image, valid, x0, y0)
        return np.moveaxis(image, 0, 2), valid

    def read_into(self, image: NDArray[np.uint8], valid: NDArray[np.bool_], x0: int, y0: int) -> None:
        """Read the window at (x0, y0) in model pixels into memory of the caller's; see `read`.

        Args:
            image: where the planes go (3, h, w).
            valid: where the validity goes (h, w).
            x0: left end of the window.
            y0: upper end.
        """
        h, w = valid.shape
        xs, ys = self._span(x0, w, self.grid.scale_x), self._span(y0, h, self.grid.scale_y)
        in_place = (len(self.scene.bands), ys.count, xs.count) == image.shape and not self.grid.resampled
        out = image if in_place and self.scene.dtype == "uint8" else None
        values, seen = self._files.read(xs.first, ys.first, xs.count, ys.count, out)
        seen = self.stretch.settle(values, seen)
        levels = self.stretch.grey(values, out)
        if self.grid.resampled:
            if not seen.all():
                np.copyto(levels, PAD, where=~seen)
            image[...] = _resized(levels, xs, ys)
            seen = seen[np.ix_(ys.nearest, xs.nearest)]
        elif out is None:
            image[...] = levels[:, ys.inner, xs.inner]
            seen = seen[ys.inner, xs.inner]
        if not seen.all():
            np.copyto(image, PAD, where=~seen)
        valid[...] = seen

    def _span(self, start: int, length: int, scale: float) -> "_Span":
        solid = SOLID_PX if self.stretch.blank_zero else 0
        return _Span.of(start, length, scale, solid)

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
        if all_valid(dataset, self.scene.bands) and not blank_zero and self.scene.mask(index) is None:
            return rectangle
        window = Window(left - dx, top - dy, right - left, bottom - top)
        values, valid = read_values(dataset, self.scene.bands, window, step)
        if blank_zero:
            valid &= values.any(axis=0)
        valid = self._files.unclouded(index, valid, window, step)
        rows, columns = valid.shape
        step_x, step_y = (right - left) / columns, (bottom - top) / rows
        cell_m2 = self.scene.gsd_x_m * step_x * self.scene.gsd_y_m * step_y
        to_scene = Affine(step_x, 0, left, 0, step_y, top)
        with unplaced():
            mask = sieve(valid.astype(np.uint8), size=max(1, round(SPECK_M2 / cell_m2)))
            if mask.all():
                return rectangle
            cells = [shape(cell) for cell, _ in shapes(mask, mask=mask == 1, connectivity=4, transform=to_scene)]
        outline = unary_union(cells).simplify(step_x) if cells else Polygon()
        return _polygons(make_valid(outline).intersection(rectangle))


@dataclass(frozen=True)
class _Span:
    """One axis of a read: the scene pixels needed, and where the model pixels lie among them.

    The scene pixels `first` .. `first + count` hold the window with the reach of the kernel and of the
    blank areas around it; counted from `first`, `start` and `stop` are the window's ends, `inner` the same
    where nothing is resampled, and `nearest` the pixel under each model pixel's centre. `origin` and `length` are
    the window in model pixels.
    """

    first: int
    count: int
    start: float
    stop: float
    origin: int
    length: int
    scale: float

    @property
    def inner(self) -> slice:
        return slice(int(self.start), int(self.stop))

    @property
    def nearest(self) -> NDArray[np.intp]:
        centres = np.arange(self.origin, self.origin + self.length) + 0.5
        return np.asarray(np.floor(centres * self.scale), dtype=np.intp) - self.first

    @classmethod
    def of(cls, start: int, length: int, scale: float, solid: int) -> Self:
        """The span of `length` model pixels from `start`, at `scale` scene pixels per model pixel."""
        reach = solid + (CUBIC_REACH * max(1.0, scale) if scale != 1.0 else 0.0)
        first = math.floor(start * scale - reach)
        count = math.ceil((start + length) * scale + reach) - first
        return cls(first, count, start * scale - first, (start + length) * scale - first, start, length, scale)


def _resized(levels: NDArray[np.uint8], xs: _Span, ys: _Span) -> NDArray[np.uint8]:
    """The window (B, h, w) of levels (B, H, W), by cubic convolution.

    Along x, then along y: done at once, the order would depend on the window, and with it what is clipped
    between the two.
    """
    height, w, h = levels.shape[1], xs.length, ys.length
    planes = [Image.fromarray(plane) for plane in levels]
    picture = Image.merge("RGB", planes) if len(planes) == 3 else planes[0]
    across = picture.resize((w, height), Image.Resampling.BICUBIC, box=(xs.start, 0, xs.stop, height))
    image = across.resize((w, h), Image.Resampling.BICUBIC, box=(0, ys.start, w, ys.stop))
    return np.stack([np.asarray(plane) for plane in image.split()])


def _polygons(geometry: BaseGeometry) -> BaseGeometry:
    """The polygonal part of a geometry, without the lines and points that an intersection can leave."""
    if isinstance(geometry, Polygon | MultiPolygon):
        return geometry
    return unary_union([part for part in getattr(geometry, "geoms", ()) if part.area > 0])
