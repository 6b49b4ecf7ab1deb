"""Sun and sky on a height field: shading, cast shadows, crevices, and the view from aside.

Shadows and the oblique view are one idea: on lines along a direction, a running maximum of heights decides.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.synth.canvas import Fields
from training.synth.paint import Array

N = TypeVar("N", bound=np.generic)

OVERHEAD_M = 6.4
"""Height of wires and portal beams."""

DARK = 0.05
"""Light, relative to level ground in the sun, below which nothing is told from the shadow that it lies in."""


@dataclass(frozen=True)
class Sky:
    """The light of a date, in the frame of the image.

    Attributes:
        sun: unit vector on the ground towards the sun, (right, down).
        elevation: of the sun, radians.
        diffuse: share of the light on level ground that comes from the sky.
        sun_rgb: colour of the direct light, mean 1.
        sky_rgb: colour of the diffuse light, mean 1.
    """

    sun: tuple[float, float]
    elevation: float
    diffuse: float
    sun_rgb: tuple[float, float, float]
    sky_rgb: tuple[float, float, float]


class Shear:
    """Lays the lines of a field that run along a direction upright, without interpolation.

    Rows of the sheared field follow each other in the direction `towards`; `step` cells lie between them.
    """

    def __init__(self, shape: tuple[int, int], towards: tuple[float, float]) -> None:
        x, y = towards
        self.transposed = abs(x) > abs(y)
        main, side = (x, y) if self.transposed else (y, x)
        rows, self.cols = shape[::-1] if self.transposed else shape
        self.backward = main < 0
        slope = side / abs(main)
        shift = np.rint(np.arange(rows) * slope).astype(np.intp)
        self.start = shift.max() - shift
        self.width = self.cols + int(self.start.max())
        self.step = float(np.hypot(1.0, slope))

    def lay(self, field: NDArray[N], fill: float) -> NDArray[N]:
        """The sheared copy; where there is no field stands `fill`."""
        upright = self._orient(field)
        out = np.full((upright.shape[0], self.width), fill, dtype=field.dtype)
        for row, start in enumerate(self.start):
            out[row, start : start + self.cols] = upright[row]
        return out

    def back(self, sheared: NDArray[N]) -> NDArray[N]:
        """The inverse of `lay`."""
        out = np.empty((sheared.shape[0], self.cols), dtype=sheared.dtype)
        for row, start in enumerate(self.start):
            out[row] = sheared[row, start : start + self.cols]
        return np.ascontiguousarray(self._orient_back(out))

    def _orient(self, field: NDArray[N]) -> NDArray[N]:
        upright = field.T if self.transposed else field
        return upright[::-1] if self.backward else upright

    def _orient_back(self, upright: NDArray[N]) -> NDArray[N]:
        field = upright[::-1] if self.backward else upright
        return field.T if self.transposed else field


def shadow_depth(z: Array, cell_m: float, sun: tuple[float, float], elevation: float) -> Array:
    """How far below the edge of the sunlight each cell lies, metres; 0 in the sun.

    A point at distance t away from the sun is in shadow when an earlier point t' has
    z(t') - (t - t') tan(elevation) > z(t): when the running maximum of z + t tan(elevation) exceeds its own.
    Law: a block of height h shades h / tan(elevation) of level ground behind it.
    """
    shear = Shear(z.shape, (-sun[0], -sun[1]))
    raised = shear.lay(z, -1e3)
    drop = np.float32(shear.step * cell_m * np.tan(elevation))
    raised += (np.arange(raised.shape[0], dtype=np.float32) * drop)[:, None]
    depth = np.maximum.accumulate(raised, axis=0)
    depth -= raised
    return shear.back(depth)


def lean_source(
    z: Array, cell_m: float, away: tuple[float, float], slope: float
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Which cell is seen at each cell of a view from aside, as flat indices, and where that is a wall.

    A thing of height h appears `slope` * h metres further in the direction `away` (from the viewer).
    The line of sight to the ground point q meets the first t with t + slope z(t) >= q: a running maximum.
    Where a cell is seen at several q, all but the last show the wall below it.
    """
    shear = Shear(z.shape, away)
    index: NDArray[np.int32] = shear.lay(np.arange(z.size, dtype=np.int32).reshape(z.shape), 0)
    reach = shear.lay(z, 0.0)
    reach *= np.float32(slope / (cell_m * shear.step))
    rows, cols = reach.shape
    reach += np.arange(rows, dtype=np.float32)[:, None]
    last = np.maximum.accumulate(reach, axis=0).astype(np.int32)
    first = np.zeros_like(last)
    first[1:] = last[:-1] + 1
    reached = np.flatnonzero((last >= first) & (first < rows)).astype(np.int32)
    row = reached // np.int32(cols)
    source = np.zeros((rows, cols), dtype=np.int32)
    source.reshape(-1)[first.reshape(-1)[reached] * np.int32(cols) + (reached - row * np.int32(cols))] = row
    np.maximum.accumulate(source, axis=0, out=source)
    wall = np.zeros((rows, cols), dtype=bool)
    np.equal(source[1:], source[:-1], out=wall[:-1])
    # the edge's own cell is a mixture; a wall takes its colour from a little further in
    source += 2 * wall
    np.minimum(source, rows - 1, out=source)
    return shear.back(np.take_along_axis(index, source, axis=0)), shear.back(wall)


def openness(z: Array, cell_m: float) -> Array:
    """Share of the sky that is not hidden by what stands around, about; 1 in the open."""
    step = 4
    rows, cols = (n - n % step for n in z.shape)
    coarse = z[:rows, :cols].reshape(rows // step, step, cols // step, step).mean(axis=(1, 3))
    around = ndimage.gaussian_filter(coarse, 1.6 / (cell_m * step), truncate=2.5)
    wide = np.repeat(np.repeat(around, step, axis=0), step, axis=1)
    wide = np.pad(wide, ((0, z.shape[0] - rows), (0, z.shape[1] - cols)), mode="edge")
    wide -= z
    np.clip(wide, 0, 4, out=wide)
    wide *= np.float32(-0.45)
    return np.asarray(np.exp(wide), dtype=np.float32)


def lambert(z: Array, cell_m: float, sun: tuple[float, float], elevation: float) -> Array:
    """Direct light on each cell relative to level ground: n . s / sin(elevation), never negative."""
    steep = 1.4
    dx, dy = np.empty_like(z), np.empty_like(z)
    np.subtract(z[:, 2:], z[:, :-2], out=dx[:, 1:-1])
    np.subtract(z[2:], z[:-2], out=dy[1:-1])
    dx[:, [0, -1]], dy[[0, -1]] = 0, 0
    for rise in (dx, dy):
        np.multiply(rise, np.float32(0.5 / cell_m), out=rise)
        np.clip(rise, -steep, steep, out=rise)
    flat = 1 - (dx * np.float32(sun[0]) + dy * np.float32(sun[1])) * np.float32(1 / np.tan(elevation))
    dx *= dx
    dy *= dy
    dx += dy
    dx += 1
    np.sqrt(dx, out=dx)
    flat /= dx
    return np.clip(flat, 0, None, out=flat)


def illuminate(fields: Fields, sky: Sky, cloud_shadow: Array | None = None) -> tuple[Array, Array]:
    """Radiance of every cell, in units in which white level ground in the sun is 1, and where shadows end.

    Args:
        fields: height and albedo.
        sky: the light.
        cloud_shadow: share of the sun that clouds take, (H, W).

    Returns:
        Radiance (H, W, 3), and the height up to which each cell is in the shadow of something, (H, W).
    """
    cell = fields.frame.cell_m
    direct = lambert(fields.z, cell, sky.sun, sky.elevation)
    depth = shadow_depth(fields.z, cell, sky.sun, sky.elevation)
    ceiling = fields.z + depth
    depth *= np.float32(-1 / max(0.12, 1.4 * cell * np.tan(sky.elevation)))
    depth += 1
    np.clip(depth, 0, 1, out=depth)
    direct *= depth
    if fields.veil.any():
        direct *= 1 - _veil_shadow(fields, sky)
    if cloud_shadow is not None:
        direct *= 1 - cloud_shadow
    diffuse = openness(fields.z, cell)
    out = np.empty_like(fields.rgb)
    for band in range(3):
        light = direct * np.float32((1 - sky.diffuse) * sky.sun_rgb[band])
        light += diffuse * np.float32(sky.diffuse * sky.sky_rgb[band])
        np.multiply(light, fields.rgb[..., band], out=out[..., band])
    return out, ceiling


def _veil_shadow(fields: Fields, sky: Sky) -> Array:
    """Shadow of the overhead things on whatever surface lies below them."""
    rows, cols = fields.z.shape
    scale = 1 / (np.tan(sky.elevation) * fields.frame.cell_m)
    below = np.clip(OVERHEAD_M - fields.z, 0, None)
    x = (below * np.float32(sky.sun[0] * scale)).astype(np.int32)
    x += np.arange(cols, dtype=np.int32)[None, :]
    y = (below * np.float32(sky.sun[1] * scale)).astype(np.int32)
    y += np.arange(rows, dtype=np.int32)[:, None]
    outside = (x < 0) | (x >= cols) | (y < 0) | (y >= rows)
    np.clip(x, 0, cols - 1, out=x)
    np.clip(y, 0, rows - 1, out=y)
    y *= cols
    y += x
    shade = fields.veil.reshape(-1).take(y)
    shade[outside] = 0
    return np.asarray(shade, dtype=np.float32)


def view(fields: Fields, radiance: Array, sky: Sky, away: tuple[float, float], off_nadir: float) -> tuple[Array, Array]:
    """The radiance as seen `off_nadir` radians from the vertical, things leaning in the direction `away`.

    Walls that come into sight take the colour of the roof's edge, darker on the side away from the sun.

    Returns:
        Radiance (H, W, 3), and the height of what is seen (H, W).
    """
    slope, height = float(np.tan(off_nadir)), fields.z
    if slope > 1e-3:
        source, wall = lean_source(fields.z, fields.frame.cell_m, away, slope)
        moved = np.flatnonzero(source.reshape(-1) != np.arange(source.size, dtype=np.int32))
        seen = radiance.copy()
        facing = -(away[0] * sky.sun[0] + away[1] * sky.sun[1])
        shade = np.where(wall.reshape(-1)[moved], 0.75 if facing > 0 else 0.12 + 0.4 * sky.diffuse, 1.0)
        flat = radiance.reshape(-1, 3)
        seen.reshape(-1, 3)[moved] = flat[source.reshape(-1)[moved]] * shade.astype(np.float32)[:, None]
        radiance, height = seen, height.copy()
        height.reshape(-1)[moved] = fields.z.reshape(-1)[source.reshape(-1)[moved]]
    if fields.veil.any():
        shift = np.rint(np.array(away)[::-1] * slope * OVERHEAD_M / fields.frame.cell_m).astype(int)
        veil = np.roll(fields.veil, tuple(shift), axis=(0, 1))[..., None]
        beam = np.array(sky.sun_rgb, dtype=np.float32) * np.float32(0.32 * (1 - sky.diffuse))
        radiance = radiance + veil * (beam - radiance)
    return radiance, height
