"""Where the pixels of a scene lie: on the ground, and in the coordinate reference system of its file."""

from dataclasses import dataclass

import numpy as np
from affine import Affine
from pyproj import Transformer

from training.synth.canvas import Frame
from training.synth.tracks import Points
from training.synth.yard import Yard

MARGIN_M = 6.0
"""Ground that is rendered around the image, so that shadows and leaning things reach into it."""


@dataclass(frozen=True)
class Grid:
    """The pixels of a scene.

    Attributes:
        frame: the canvas.
        size: columns and rows.
        gsd_m: pixel size on the ground, right and down.
        epsg: of the CRS.
        transform: pixel to CRS.
    """

    frame: Frame
    size: tuple[int, int]
    gsd_m: tuple[float, float]
    epsg: int
    transform: Affine

    def to_px(self, points: Points) -> Points:
        """Local metres to pixels: x right, y down, origin at the first pixel's top left corner."""
        return np.asarray(self.frame.to_image(points) / self.gsd_m)

    def to_geographic(self, points_px: Points) -> Points:
        """Pixels to longitude and latitude, through the file's transform and CRS."""
        a, b, c, d, e, f = self.transform[:6]
        x = a * points_px[:, 0] + b * points_px[:, 1] + c
        y = d * points_px[:, 0] + e * points_px[:, 1] + f
        return np.stack(Transformer.from_crs(self.epsg, 4326, always_xy=True).transform(x, y), axis=1)


def lay_grid(yard: Yard, *, gsd_m: float, epsg: int, rotation_deg: float, cell_m: float) -> Grid:
    """The pixels of a scene of a yard.

    The map from local metres to the CRS is linearised in the middle; over 600 m that errs by centimetres.

    Args:
        yard: the facility.
        gsd_m: geometric mean of the pixel's edges.
        epsg: of the CRS, any in which angles are nearly true.
        rotation_deg: of the image's rows against the x axis of the CRS, counter-clockwise.
        cell_m: of the canvas.
    """
    to_crs = Transformer.from_crs(yard.epsg, epsg, always_xy=True)
    east, north = np.array([0.0, 50.0, -50.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.0, 50.0, -50.0])
    x, y = to_crs.transform(yard.utm_m[0] + east, yard.utm_m[1] + north)
    jacobian = np.array([[x[1] - x[2], x[3] - x[4]], [y[1] - y[2], y[3] - y[4]]]) / 100.0
    along = np.linalg.solve(jacobian, np.array([1.0, 0.0]))
    turn = float(np.arctan2(along[1], along[0]) + np.radians(rotation_deg))
    # pixels of geographic files are square in degrees: narrower on the ground by the cosine of the latitude
    narrow = float(np.hypot(*jacobian[1]) / np.hypot(*jacobian[0])) if epsg == 4326 else 1.0
    squeeze = float(np.sqrt(np.clip(narrow, 0.6, 1.0)))
    pixel = (gsd_m * squeeze, gsd_m / squeeze)
    # the canvas is the same for every GSD, so that it can be painted once; the image fills all but an edge
    width, height = yard.size_m
    size = (int(width / pixel[0]), int(height / pixel[1]))
    right = jacobian @ np.array([np.cos(turn), np.sin(turn)]) * pixel[0]
    down = jacobian @ np.array([np.sin(turn), -np.cos(turn)]) * pixel[1]
    if rotation_deg == 0 and max(abs(right[1] / right[0]), abs(down[0] / down[1])) < 1e-4:
        # a residue far below a pixel; a file that is called north-up is exactly so
        right[1], down[0] = 0.0, 0.0
    corner = np.array([x[0], y[0]]) - right * (width / pixel[0] / 2) - down * (height / pixel[1] / 2)
    transform = Affine(right[0], down[0], corner[0], right[1], down[1], corner[1])
    return Grid(Frame((0.0, 0.0), turn, width, height, cell_m, MARGIN_M), size, pixel, epsg, transform)
