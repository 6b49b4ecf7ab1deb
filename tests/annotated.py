"""A small annotated scene for tests: bright and dark wagons on grey ground, each with its shadow."""

from dataclasses import dataclass

import numpy as np
from affine import Affine
from PIL import Image, ImageDraw
from rasterio.crs import CRS

from detector.geometry import corners_from_xywhr
from detector.pixels.georef import Grid
from training.annotated import AnnotatedScene, Objects

GSD_M = 0.25
GROUND = (128, 124, 118)


@dataclass(frozen=True)
class Wagon:
    """A wagon: middle in pixels, length and width in metres, direction clockwise from the rows, colour."""

    x_px: float
    y_px: float
    length_m: float = 14.0
    width_m: float = 3.0
    angle: float = 0.0
    colour: tuple[int, int, int] = (150, 90, 60)
    visible: float = 1.0
    ignore: bool = False
    label: str = "railcar"


def annotated_scene(
    wagons: list[Wagon],
    size: tuple[int, int] = (200, 240),
    *,
    shadow_px: tuple[float, float] = (4.0, -14.0),
    dtype: type = np.uint8,
) -> AnnotatedScene:
    """A scene of (columns, rows) pixels of a quarter metre with these wagons; shadows fall by `shadow_px`."""
    picture = Image.new("RGB", size, GROUND)
    pen = ImageDraw.Draw(picture)
    boxes = np.array([(w.x_px, w.y_px, w.length_m / GSD_M, w.width_m / GSD_M, w.angle) for w in wagons])
    corners = corners_from_xywhr(boxes.reshape(-1, 5))
    for box in corners:
        for step in np.linspace(0, 1, 12):
            pen.polygon([tuple(p) for p in (box + np.array(shadow_px) * step - 0.5).tolist()], fill=(22, 22, 26))
    for box, wagon in zip(corners, wagons, strict=True):
        pen.polygon([tuple(p) for p in (box - 0.5).tolist()], fill=wagon.colour)
    image = np.asarray(picture)
    image = image if dtype is np.uint8 else (image.astype(dtype) * 8)
    objects = Objects(
        np.array([w.label for w in wagons], dtype=np.str_),
        corners,
        np.array([w.visible for w in wagons], dtype=float),
        np.array([w.ignore for w in wagons], dtype=bool),
    )
    grid = Grid(CRS.from_epsg(32632), Affine(GSD_M, 0, 400_000, 0, -GSD_M, 5_300_000))
    tags = {"TIFFTAG_DATETIME": "2020:05:06 10:00:00"}
    return AnnotatedScene("yard_20200506", image, np.ones(size[::-1], dtype=bool), grid, tags, objects)
