"""An annotated scene in memory: its pixels with the objects on them; read, cut, resampled and written whole.

For scenes of up to some 10,000 pixels on a side. Imports no torch.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio.errors import RasterioError
from scipy import ndimage

from detector.config import IGNORE
from detector.errors import InputRejected, UsageError
from detector.geometry import corners_from_xywhr, xywhr_from_corners
from detector.pixels.georef import Grid, pixel_size, scene_px_to_lonlat
from training.classes import NO_CLASS, Vocabulary, class_names
from training.formats import polygons
from training.formats.annotations import Annotations

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_PSF = 0.5
"""Standard deviation of the point spread of a resampled scene, in its pixels."""


def as_stored(values: Floats, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in a picture's type, rounded where that has whole numbers only."""
    return (np.rint(values) if np.issubdtype(dtype, np.integer) else values).astype(dtype)


@dataclass(frozen=True)
class Objects:
    """The annotated objects of a scene, N.

    Attributes:
        class_name: (N,) names of configs/classes.yaml, or `ignore`.
        corners_px: (N, 4, 2) rectangles on the ground, in scene pixels; they may reach beyond the scene.
        visible: (N,) share that the picture shows, 0 to 1.
        ignore: (N,) neither object nor ground.
    """

    class_name: NDArray[np.str_]
    corners_px: Floats
    visible: Floats
    ignore: Bools

    def __len__(self) -> int:
        """How many."""
        return len(self.class_name)

    def __getitem__(self, chosen: Bools) -> "Objects":
        """Those that a mask chooses."""
        return Objects(self.class_name[chosen], self.corners_px[chosen], self.visible[chosen], self.ignore[chosen])


@dataclass(frozen=True)
class AnnotatedScene:
    """Pixels and objects.

    Attributes:
        name: stem of its files.
        image: (H, W, bands), as in the file.
        valid: (H, W) pixels that hold data.
        grid: where the pixels lie on the Earth.
        tags: of the file; the acquisition time is among them.
        objects: on it.
    """

    name: str
    image: NDArray[Any]
    valid: Bools
    grid: Grid
    tags: dict[str, str]
    objects: Objects

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a georeferenced picture and the truth beside it (`training.formats.polygons`).

        Raises:
            InputRejected: a file cannot be read, or something is wrong in the truth.
            UsageError: the picture has no georeference, or there is no truth.
        """
        truth = truth_beside(path)
        try:
            with rasterio.open(path) as file:
                image, valid = np.moveaxis(file.read(), 0, 2), file.dataset_mask() > 0
                crs, transform, tags = file.crs, file.transform, file.tags()
        except RasterioError as error:
            raise InputRejected(path, f"cannot be read ({error})", "Give a GeoTIFF.") from error
        if crs is None:
            raise UsageError(f"{path}: has no georeference.", "Give a GeoTIFF with a CRS and a geotransform.")
        return cls(path.stem, image, valid, Grid(crs, transform), tags, _objects(truth))

    @property
    def gsd_m(self) -> tuple[float, float]:
        """Pixel size on the ground in the middle, right and down."""
        rows, cols = self.valid.shape
        size = pixel_size(self.grid, (cols / 2, rows / 2))
        return size.gsd_x_m, size.gsd_y_m

    def window(self, rows: slice, cols: slice, name: str) -> "AnnotatedScene":
        """A part of the scene.

        Laws: an object is in the part where its rectangle overlaps it. One that the cut goes through has the share
        of it that is left as `visible`, and `ignore`; the edges of the scene itself cut nothing.
        """
        height, width = self.valid.shape
        y0, y1, _ = rows.indices(height)
        x0, x1, _ = cols.indices(width)
        away = 1e6  # the scene's own edges are no cut
        reach = shapely.box(
            x0 if x0 > 0 else -away, y0 if y0 > 0 else -away, x1 if x1 < width else away, y1 if y1 < height else away
        )
        bodies = shapely.polygons(self.objects.corners_px)
        share = shapely.area(shapely.intersection(bodies, reach)) / np.maximum(shapely.area(bodies), 1e-9)
        shows = shapely.area(shapely.intersection(bodies, shapely.box(x0, y0, x1, y1))) > 0
        is_cut = ~shapely.contains_properly(reach, bodies)
        objects = replace(
            self.objects,
            corners_px=self.objects.corners_px - (x0, y0),
            visible=np.where(is_cut, self.objects.visible * share, self.objects.visible),
            ignore=self.objects.ignore | is_cut,
        )
        return AnnotatedScene(
            name,
            self.image[y0:y1, x0:x1],
            self.valid[y0:y1, x0:x1],
            Grid(self.grid.crs, self.grid.transform @ Affine.translation(x0, y0)),
            self.tags,
            objects[shows],
        )

    def resampled(self, gsd_m: float, name: str) -> "AnnotatedScene":
        """The scene as a coarser sensor delivers it: blurred by that sensor's point spread, averaged over its pixels.

        The point spread is a Gaussian with a standard deviation of half a new pixel.

        Raises:
            ValueError: the scene is coarser than that.
        """
        factor = (gsd_m / self.gsd_m[0], gsd_m / self.gsd_m[1])
        if min(factor) < 1:
            raise ValueError(f"a scene of {self.gsd_m} m cannot be sharpened. Received: {gsd_m}")
        rows, cols = self.valid.shape
        size = (int(cols / factor[0]), int(rows / factor[1]))
        frame = (0.0, 0.0, size[0] * factor[0], size[1] * factor[1])

        def averaged(band: NDArray[Any]) -> Floats:
            picture = Image.fromarray(band.astype(np.float32))
            return np.asarray(picture.resize(size, Image.Resampling.BOX, box=frame), dtype=np.float64)

        sigma = (_PSF * factor[1], _PSF * factor[0])
        bands = [
            averaged(ndimage.gaussian_filter(self.image[..., i].astype(np.float32), sigma, mode="nearest"))
            for i in range(self.image.shape[2])
        ]
        return AnnotatedScene(
            name,
            as_stored(np.stack(bands, axis=2), self.image.dtype),
            averaged(self.valid) > 0.99,
            Grid(self.grid.crs, self.grid.transform @ Affine.scale(*factor)),
            self.tags,
            replace(self.objects, corners_px=self.objects.corners_px / factor),
        )

    def turned(self, quarters: int, name: str, *, mirrored: bool) -> "AnnotatedScene":
        """The scene turned counter-clockwise by quarters of a circle, mirrored left to right before; places stay true.

        Law: four quarters, or two mirrorings, change nothing.
        """
        image, valid, back = self.image, self.valid, Affine.identity()
        if mirrored:
            image, valid, back = image[:, ::-1], valid[:, ::-1], Affine(-1, 0, valid.shape[1], 0, 1, 0)
        for _ in range(quarters):
            image, valid, back = np.rot90(image), np.rot90(valid), back @ Affine(0, -1, valid.shape[1], 1, 0, 0)
        x, y = ~back * np.moveaxis(self.objects.corners_px, 2, 0)
        return AnnotatedScene(
            name,
            np.ascontiguousarray(image),
            np.ascontiguousarray(valid),
            Grid(self.grid.crs, self.grid.transform @ back),
            self.tags,
            replace(self.objects, corners_px=np.stack([x, y], axis=2)),
        )

    def write(self, folder: Path) -> Path:
        """Write `<name>.tif` and `<name>.truth.geojson`; returns the path of the picture."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.tif"
        rows, cols, bands = self.image.shape
        profile: dict[str, Any] = {
            "driver": "GTiff", "width": cols, "height": rows, "count": bands, "dtype": self.image.dtype.name,
            "crs": self.grid.crs, "transform": self.grid.transform, "compress": "deflate", "predictor": 2,
        }  # fmt: skip
        photometric = "RGB" if bands == 3 else "MINISBLACK"
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(path, "w", photometric=photometric, **profile) as file,
        ):
            file.write(np.moveaxis(self.image, 2, 0))
            file.update_tags(**{key: value for key, value in self.tags.items() if key != "AREA_OR_POINT"})
            if not self.valid.all():
                file.write_mask(self.valid)
        polygons.as_truth(self._annotations(path), folder)
        return path

    def outline(self) -> Floats:
        """Corners of the scene, (4, 2), longitude and latitude."""
        rows, cols = self.valid.shape
        return scene_px_to_lonlat(self.grid, np.array([[0.0, 0.0], [0.0, rows], [cols, rows], [cols, 0.0]]))

    def _annotations(self, path: Path) -> Annotations:
        many, (rows, cols) = len(self.objects), self.valid.shape
        known = class_names()
        return Annotations(
            image=path,
            size_px=(cols, rows),
            gsd_m=float(np.sqrt(np.prod(self.gsd_m))),
            source=path,
            classes=np.array(
                [known.index(name) if name in known else NO_CLASS for name in self.objects.class_name], int
            ),
            corners_px=self.objects.corners_px,
            visible=self.objects.visible,
            ignore=self.objects.ignore,
            axis_aligned=np.zeros(many, dtype=bool),
            line=np.arange(1, many + 1),
        )


def truth_beside(path: Path) -> Path:
    """The truth that lies beside a picture: `<stem>.truth.geojson`, or else `<stem>.geojson`.

    Raises:
        UsageError: there is none.
    """
    candidates = (path.with_name(f"{path.stem}{polygons.SUFFIX}"), path.with_suffix(".geojson"))
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise UsageError(f"{path}: has no truth beside it.", f"Put {candidates[0].name} there.")


def _objects(truth: Path) -> Objects:
    """The objects of a truth file, whatever is wrong in it being an error."""
    found, faults = polygons.read(truth, Vocabulary.of(polygons.NAME))
    if faults:
        raise InputRejected(truth, f"has faults, the first being: {faults[0]}", "Correct the annotations.")
    names = np.array([*class_names(), IGNORE], dtype=np.str_)  # NO_CLASS is -1
    given = found[0]
    sides = given.pixel_sides
    corners = corners_from_xywhr(xywhr_from_corners(given.corners_px * sides)) / sides
    return Objects(names[given.classes], corners, given.visible, given.ignore)
