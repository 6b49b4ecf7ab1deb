"""The height field and the albedo field of a scene, and how polygons, lines and solids are put into them."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.synth.paint import Array
from training.synth.solid import Solid
from training.synth.tracks import Points

Flat = NDArray[np.intp]
"""Indices into a field's flattened cells."""


@dataclass(frozen=True)
class Frame:
    """How the cells of a canvas lie on the ground.

    Local metres (east, north) turn into frame metres (right, down) from the image's top left corner; the
    canvas reaches `margin_m` beyond the image on every side.

    Attributes:
        centre_m: middle of the image, local metres.
        turn: direction of the image's rows, radians counter-clockwise from local east.
        width_m: of the image.
        height_m: of the image.
        cell_m: edge of a cell.
        margin_m: around the image.
    """

    centre_m: tuple[float, float]
    turn: float
    width_m: float
    height_m: float
    cell_m: float
    margin_m: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the canvas."""
        edge = 2 * self.margin_m
        return round((self.height_m + edge) / self.cell_m), round((self.width_m + edge) / self.cell_m)

    def to_image(self, points: Points) -> Points:
        """Local metres to frame metres: right and down from the image's top left corner."""
        east, north = points[..., 0] - self.centre_m[0], points[..., 1] - self.centre_m[1]
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        right, up = cos * east + sin * north, cos * north - sin * east
        return np.stack([right + self.width_m / 2, self.height_m / 2 - up], axis=-1)

    def to_local(self, points: Points) -> Points:
        """Frame metres to local metres; the inverse of `to_image`."""
        right, up = points[..., 0] - self.width_m / 2, self.height_m / 2 - points[..., 1]
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        return np.stack([cos * right - sin * up + self.centre_m[0], sin * right + cos * up + self.centre_m[1]], -1)

    def to_cells(self, points: Points) -> Points:
        """Local metres to cell units (column, row), origin at the canvas's top left corner."""
        return (self.to_image(points) + self.margin_m) / self.cell_m

    def outline(self) -> Points:
        """Corners of the image, local metres, in the order of its rows."""
        w, h = self.width_m, self.height_m
        return self.to_local(np.array([[0.0, 0.0], [w, 0.0], [w, h], [0.0, h]]))


@dataclass(frozen=True)
class Placement:
    """A solid at its place: middle in local metres, direction of its length counter-clockwise from east."""

    solid: Solid
    x_m: float
    y_m: float
    heading: float

    def corners(self) -> Points:
        """The four corners of its rectangle, local metres: (+u,+v), (+u,-v), (-u,-v), (-u,+v)."""
        half = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * (
            self.solid.length_m / 2,
            self.solid.width_m / 2,
        )
        cos, sin = np.cos(self.heading), np.sin(self.heading)
        return np.asarray(half @ np.array([[cos, sin], [-sin, cos]]) + (self.x_m, self.y_m))


@dataclass(frozen=True)
class Overhead:
    """A thing in the air above a line: a wire or the beam of a portal.

    Attributes:
        points: the line, local metres.
        width_m: across.
        opacity: share of the light that it stops.
    """

    points: Points
    width_m: float
    opacity: float


@dataclass(frozen=True)
class Fields:
    """Height and albedo of every cell.

    Attributes:
        frame: where the cells lie.
        z: height in metres, (H, W).
        rgb: linear reflectance, (H, W, 3).
        veil: share of light stopped by overhead things, (H, W); all at one height above ground.
    """

    frame: Frame
    z: Array
    rgb: Array
    veil: Array = field(repr=False)

    @classmethod
    def empty(cls, frame: Frame) -> "Fields":
        """Level, black ground."""
        shape = frame.shape
        return cls(frame, np.zeros(shape, np.float32), np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32))

    def copy(self) -> "Fields":
        """A copy that can be painted on without changing this one; the veil is shared."""
        return Fields(self.frame, self.z.copy(), self.rgb.copy(), self.veil)

    def window(self, cells: Points, pad: float = 1.0) -> tuple[slice, slice]:
        """Rows and columns of the canvas that hold the points (cell units)."""
        rows, cols = self.frame.shape
        low, high = np.floor(cells.min(axis=0) - pad), np.ceil(cells.max(axis=0) + pad)
        x0, x1 = (int(v) for v in np.clip([low[0], high[0]], 0, cols))
        y0, y1 = (int(v) for v in np.clip([low[1], high[1]], 0, rows))
        return slice(y0, y1), slice(x0, x1)

    def mask(self, polygon: Points) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
        """Window and the cells in it that lie inside a polygon (local metres)."""
        cells = self.frame.to_cells(polygon)
        window = self.window(cells)
        rows, cols = (s.stop - s.start for s in window)
        if rows <= 0 or cols <= 0:
            return (slice(0, 0), slice(0, 0)), np.zeros((0, 0), dtype=bool)
        picture = Image.new("1", (cols, rows))
        corners = cells - (window[1].start + 0.5, window[0].start + 0.5)
        ImageDraw.Draw(picture).polygon([(float(x), float(y)) for x, y in corners], fill=1)
        return window, np.asarray(picture, dtype=bool)

    def corridor(self, line: Points, half_width_m: float, piece_m: float = 8.0) -> tuple[Flat, Array, Array]:
        """Cells within `half_width_m` of a line: flat index, metres along, metres to the left."""
        steps = np.hypot(*np.diff(line, axis=0).T)
        arc = np.concatenate([[0.0], np.cumsum(steps)])
        knots = np.linspace(0.0, arc[-1], max(2, int(np.ceil(arc[-1] / piece_m)) + 1))
        points = self.frame.to_cells(
            np.stack([np.interp(knots, arc, line[:, 0]), np.interp(knots, arc, line[:, 1])], -1)
        )
        half, cols = half_width_m / self.frame.cell_m, self.frame.shape[1]
        found: list[tuple[Flat, Array, Array]] = []
        for i in range(len(points) - 1):
            (y, x), length, (u, v) = self._around(points[i], points[i + 1], half)
            inside = np.flatnonzero((u.ravel() >= 0) & (u.ravel() < length) & (np.abs(v.ravel()) <= half))
            if inside.size:
                row, col = np.divmod(inside, u.shape[1])
                along = knots[i] + u.ravel()[inside] * np.float32(self.frame.cell_m)
                index = (row + y) * cols + col + x
                found.append((index, along.astype(np.float32), v.ravel()[inside] * np.float32(self.frame.cell_m)))
        if not found:
            nothing = np.zeros(0, dtype=np.float32)
            return np.zeros(0, dtype=np.intp), nothing, nothing
        index, along, aside = (np.concatenate(part) for part in zip(*found, strict=True))
        return index, along, aside

    def _around(self, a: Points, b: Points, half: float) -> tuple[tuple[int, int], float, tuple[Array, Array]]:
        """Cells around the segment a-b: first row and column, its length, (along, to the left) in cells."""
        rows, cols = self.window(np.stack([a, b]), half + 1)
        length = float(np.hypot(*(b - a)))
        cos, sin = (b - a) / max(length, 1e-9)
        dx = (np.arange(cols.start, cols.stop) + 0.5 - a[0]).astype(np.float32)[None, :]
        dy = (np.arange(rows.start, rows.stop) + 0.5 - a[1]).astype(np.float32)[:, None]
        c, s = np.float32(cos), np.float32(sin)
        return (rows.start, cols.start), length, (dx * c + dy * s, dx * s - dy * c)

    def stamp(self, placement: Placement) -> None:
        """Put a solid into both fields; its rectangle's edges are antialiased."""
        solid, cell = placement.solid, self.frame.cell_m
        cells = self.frame.to_cells(placement.corners())
        rows, cols = self.window(cells)
        if rows.stop <= rows.start or cols.stop <= cols.start:
            return
        middle = cells.mean(axis=0)
        cos, sin = (cells[0] - cells[3]) / max(solid.length_m / cell, 1e-9)
        dx = ((np.arange(cols.start, cols.stop) + 0.5 - middle[0]) * cell).astype(np.float32)[None, :]
        dy = ((np.arange(rows.start, rows.stop) + 0.5 - middle[1]) * cell).astype(np.float32)[:, None]
        c, s = np.float32(cos), np.float32(sin)
        u, v = dx * c + dy * s, dx * s - dy * c
        edge_u = np.clip((solid.length_m / 2 - np.abs(u)) / cell + 0.5, 0, 1)
        edge = edge_u * np.clip((solid.width_m / 2 - np.abs(v)) / cell + 0.5, 0, 1)
        inside = edge > 0
        limit_u, limit_v = np.float32(solid.length_m / 2 - 1e-3), np.float32(solid.width_m / 2 - 1e-3)
        patch = solid.surface(np.clip(u[inside], -limit_u, limit_u), np.clip(v[inside], -limit_v, limit_v))
        z, rgb = self.z[rows, cols], self.rgb[rows, cols]
        # what is clearly higher already, such as a crown above a car, stays in sight
        share = (patch.cover * edge[inside] * (z[inside] < patch.height_m + 0.3)).astype(np.float32)
        z[inside] = np.maximum(z[inside], patch.height_m * (share > 0.5))
        rgb[inside] += share[:, None] * (patch.albedo - rgb[inside])

    def hang(self, thing: Overhead) -> None:
        """Add a thing in the air."""
        cell = self.frame.cell_m
        index, _, aside = self.corridor(thing.points, thing.width_m / 2 + cell)
        width = thing.width_m / cell
        cover = np.clip(width / 2 + 0.5 - np.abs(aside) / cell, 0, min(1.0, width)) * thing.opacity
        flat = self.veil.reshape(-1)
        flat[index] = np.maximum(flat[index], cover)
