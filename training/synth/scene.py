"""One date of a facility: its conditions, what stands there, and the rendered image with exact truth."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.synth.canvas import Fields, Frame, Placement
from training.synth.clock import time_of
from training.synth.compose import paint_yard, snowed
from training.synth.cutouts import Stock, with_cutouts
from training.synth.grid import Grid, lay_grid
from training.synth.light import DARK, Sky, illuminate, view
from training.synth.profile import Profile, uniform
from training.synth.sensor import Sensor, clouds, expose, resample
from training.synth.tracks import Points
from training.synth.traffic import Demand, demand, off_tracks, on_tracks
from training.synth.yard import Yard


@dataclass(frozen=True)
class Conditions:
    """Everything about a date but the things that stand there.

    Attributes:
        acquired: UTC; the sun has the elevation of that time, and any azimuth, since any yard could be turned.
        gsd_m: geometric mean of the pixel's edges.
        epsg: of the file; the yard's UTM zone or any other.
        rotation_deg: of the image's rows against the axes of the CRS.
        sun_azimuth_deg: clockwise from north.
        sun_elevation_deg: above the horizon.
        diffuse: share of skylight.
        off_nadir_deg: angle of the view.
        view_azimuth_deg: direction in which things lean, clockwise from north.
        snow: 0 none .. 1 deep.
        cloud: share of the image under clouds.
        cloud_masked: the file's mask leaves the clouds out, as deliveries with a mask of usable data do.
        cut: share of the image outside the footprint.
        sensor: the camera.
    """

    acquired: datetime
    gsd_m: float
    epsg: int
    rotation_deg: float
    sun_azimuth_deg: float
    sun_elevation_deg: float
    diffuse: float
    off_nadir_deg: float
    view_azimuth_deg: float
    snow: float
    cloud: float
    cloud_masked: bool
    cut: float
    sensor: Sensor


@dataclass(frozen=True)
class Date:
    """A date of a yard: conditions, and all that stands there besides the yard's fixed things."""

    seed: int
    conditions: Conditions
    placements: tuple[Placement, ...]


@dataclass(frozen=True)
class Truth:
    """One labelled object.

    Attributes:
        label: class of configs/classes.yaml.
        kind: of the vehicle or object.
        corners_px: (4, 2), scene pixels.
        visible: share inside the image and its footprint, not under opaque cloud, not behind something higher;
            what lies in the near-black shadow of something higher counts half.
        length_m: of the body.
        width_m: of the body.
    """

    label: str
    kind: str
    corners_px: NDArray[np.float64]
    visible: float
    length_m: float
    width_m: float


@dataclass(frozen=True)
class RenderedScene:
    """An image with its truth.

    Attributes:
        image: uint8 or uint16, (H, W, 1) or (H, W, 3).
        valid: inside the footprint, (H, W).
        truth: all labelled objects that are at least partly in the image.
        grid: where the pixels lie.
        conditions: of the date.
    """

    image: NDArray[Any]
    valid: NDArray[np.bool_]
    truth: tuple[Truth, ...]
    grid: Grid
    conditions: Conditions


def draw_conditions(rng: np.random.Generator, yard: Yard, profile: Profile) -> Conditions:
    """Light, sensor and file of a date."""
    light, sensor = profile.light, profile.sensor
    azimuth, side = uniform(rng, (0.0, 360.0)), rng.random()
    if side < light.along + light.across:
        turn = 0 if side < light.along else 90
        azimuth = 90 - np.degrees(yard.heading) + turn + 180 * int(rng.integers(2)) + uniform(rng, (-20.0, 20.0))
    low, high = light.elevation_deg
    other, gsd = rng.random(), uniform(rng, sensor.gsd_m)
    # clear skies differ by factors, not by sums: 0.02 and 0.04 are as far apart as 0.1 and 0.2
    clear = float(np.exp(uniform(rng, (np.log(light.sky[0]), np.log(light.sky[1])))))
    day = datetime(2018, 1, 1, tzinfo=UTC) + timedelta(days=int(rng.integers(0, 2500)))
    morning = bool(rng.integers(2))
    drawn = Conditions(
        acquired=day,
        gsd_m=gsd,
        epsg=4326 if other < sensor.geographic else yard.epsg,
        rotation_deg=uniform(rng, (-45.0, 45.0)) if other > 1 - sensor.rotated else 0.0,
        sun_azimuth_deg=float(azimuth % 360),
        sun_elevation_deg=low + (high - low) * float(rng.beta(1.2, 1.7)),
        diffuse=uniform(rng, light.veil) if rng.random() < light.veiled else clear,
        off_nadir_deg=uniform(rng, light.off_nadir_deg) if rng.random() < light.lean else 0.0,
        view_azimuth_deg=uniform(rng, (0.0, 360.0)),
        snow=uniform(rng, (0.3, 1.0)) if rng.random() < sensor.snow else 0.0,
        cloud=uniform(rng, (0.03, 0.45)) if rng.random() < sensor.cloud else 0.0,
        cloud_masked=False,
        cut=uniform(rng, (0.1, 0.6)) if rng.random() < sensor.cut else 0.0,
        sensor=Sensor.draw(rng, sensor, gsd),
    )
    acquired, elevation = time_of(drawn.sun_elevation_deg, day, yard.place, morning=morning)
    return replace(drawn, acquired=acquired, sun_elevation_deg=elevation)


def draw_date(
    yard: Yard,
    seed: int,
    profile: Profile,
    *,
    conditions: Conditions | None = None,
    wanted: Demand | None = None,
    stock: Stock | None = None,
) -> Date:
    """A date of a yard.

    Law: equal arguments give an equal date.

    Args:
        yard: the facility.
        seed: of the date.
        profile: the ranges.
        conditions: instead of drawn ones.
        wanted: what stands there, instead of a draw.
        stock: real wagons, set in place of some of the rendered ones.
    """
    rng = np.random.default_rng([yard.seed, seed, 31])
    drawn = draw_conditions(rng, yard, profile)
    conditions = conditions or drawn
    wanted = wanted or demand(rng, profile.traffic, yard.region)
    placements = on_tracks(rng, yard, wanted, profile.traffic.gap_m) + off_tracks(rng, yard, wanted)
    if stock:
        real = np.random.default_rng([yard.seed, seed, 61])
        placements = with_cutouts(real, placements, stock, conditions.sun_azimuth_deg)
    if conditions.snow > 0:
        placements = [replace(p, solid=snowed(p.solid, rng, conditions.snow)) for p in placements]
    return Date(seed, conditions, tuple(placements))


class Studio:
    """Renders dates of one yard; what does not change between dates is painted once.

    Args:
        yard: the facility.
        profile: the ranges.
        backgrounds: folder of real pictures that may lie under the facility.
    """

    def __init__(self, yard: Yard, profile: Profile, backgrounds: Path | None = None) -> None:
        self.yard = yard
        self.profile = profile
        self.backgrounds = backgrounds
        self._painted: tuple[tuple[Frame, float], Fields] | None = None

    def ground(self, frame: Frame, snow: float) -> Fields:
        """The yard without what moves, as a fresh copy."""
        if self._painted is None or self._painted[0] != (frame, snow):
            fields = Fields.empty(frame)
            paint_yard(fields, self.yard, self.profile, self.backgrounds, snow)
            self._painted = ((frame, snow), fields)
        return self._painted[1].copy()

    def render(self, date: Date) -> RenderedScene:
        """The image of a date, and its truth.

        Law: equal arguments give equal pixels; the boxes do not depend on light or sensor.
        """
        return _render(self, date)


def render(yard: Yard, date: Date, profile: Profile, backgrounds: Path | None = None) -> RenderedScene:
    """The image of one date, and its truth; see `Studio.render`."""
    return Studio(yard, profile, backgrounds).render(date)


def _render(studio: Studio, date: Date) -> RenderedScene:
    yard, conditions = studio.yard, date.conditions
    rng = np.random.default_rng([yard.seed, date.seed, 47])
    grid = lay_grid(
        yard,
        gsd_m=conditions.gsd_m,
        epsg=conditions.epsg,
        rotation_deg=conditions.rotation_deg,
        cell_m=studio.profile.cell_m,
    )
    fields = studio.ground(grid.frame, conditions.snow)
    # couplings first: the bodies' ends hide them
    for placement in sorted(date.placements, key=lambda p: p.solid.kind != "coupling"):
        fields.stamp(placement)
    sky, away = _sky(rng, conditions, grid.frame)
    cloud = clouds(rng, grid.size, conditions.gsd_m, conditions.cloud) if conditions.cloud > 0 else None
    shade = None if cloud is None else 0.85 * _cloud_shadow(cloud, fields.z.shape, sky)
    lit, ceiling = illuminate(fields, sky, shade)
    radiance, height = view(fields, lit, sky, away, float(np.radians(conditions.off_nadir_deg)))
    # operators let snow be white
    sensor = replace(conditions.sensor, level=max(conditions.sensor.level, 0.62 * conditions.snow))
    image = expose(resample(radiance, grid.frame, grid.size, grid.gsd_m), sensor, rng, cloud)
    valid = _footprint(rng, grid.size, conditions.cut)
    image[~valid] = 0
    seen = valid if cloud is None else valid & (cloud < 0.6)
    usable = seen if conditions.cloud_masked else valid
    dim = np.where(lit[..., 1] < DARK * fields.rgb[..., 1], ceiling, 0)
    return RenderedScene(image, usable, _truth(date, grid, away, seen, height=height, dim=dim), grid, conditions)


def _sky(rng: np.random.Generator, conditions: Conditions, frame: Frame) -> tuple[Sky, tuple[float, float]]:
    def direction(azimuth_deg: float) -> tuple[float, float]:
        turn = np.radians(90 - azimuth_deg) - frame.turn
        return float(np.cos(turn)), float(-np.sin(turn))

    low = np.clip((45 - conditions.sun_elevation_deg) / 30, 0, 1)
    sun = np.array([1.0 + 0.12 * low, 1.0, 1.0 - 0.14 * low])
    blue = uniform(rng, (0.0, 1.0))
    sky = np.array([1.0 - 0.30 * blue, 1.0, 1.0 + 0.45 * blue])
    return Sky(
        sun=direction(conditions.sun_azimuth_deg),
        elevation=float(np.radians(conditions.sun_elevation_deg)),
        diffuse=conditions.diffuse,
        sun_rgb=(float(sun[0]), float(sun[1]), float(sun[2])),
        sky_rgb=(float(sky[0]), float(sky[1]), float(sky[2])),
    ), direction(conditions.view_azimuth_deg)


def _cloud_shadow(cloud: NDArray[np.float32], shape: tuple[int, int], sky: Sky) -> NDArray[np.float32]:
    """The clouds' shadow on the canvas, shifted away from the sun."""
    reach = 0.25 * min(cloud.shape)
    picked = []
    for cells, pixels, towards in zip(shape, cloud.shape, sky.sun[::-1], strict=True):
        # beyond the image the clouds go on as their mirror image
        there = (np.arange(cells) * pixels / cells + towards * reach).astype(np.intp) % (2 * pixels)
        picked.append(np.minimum(there, 2 * pixels - 1 - there))
    return np.asarray(cloud[np.ix_(*picked)], dtype=np.float32)


def _footprint(rng: np.random.Generator, size: tuple[int, int], cut: float) -> NDArray[np.bool_]:
    """Inside the footprint; its oblique edge cuts off a share of the image."""
    cols, rows = size
    if cut <= 0:
        return np.ones((rows, cols), dtype=bool)
    turn = rng.choice([0.0, np.pi / 2, np.pi, -np.pi / 2]) + rng.uniform(-0.3, 0.3)
    x, y = np.arange(cols, dtype=np.float32)[None, :], np.arange(rows, dtype=np.float32)[:, None]
    level = x * np.float32(np.cos(turn)) + y * np.float32(np.sin(turn))
    return np.asarray(level > np.quantile(level[::7, ::7], cut))


def _truth(
    date: Date,
    grid: Grid,
    away: tuple[float, float],
    seen: NDArray[np.bool_],
    *,
    height: NDArray[np.float32],
    dim: NDArray[np.float32],
) -> tuple[Truth, ...]:
    """Labelled objects; in a leaning view a body's box is shifted by half of what its roof is shifted.

    `dim` is the height up to which each cell of the canvas is in near-black shadow, 0 where light is enough: what
    reaches above it shades itself, and is told by its sunlit rim.
    """
    lean_px = np.array(away) * np.tan(np.radians(date.conditions.off_nadir_deg)) / grid.gsd_m
    found = []
    for placement in date.placements:
        solid = placement.solid
        if solid.label is None:
            continue
        corners = grid.to_px(placement.corners()) + lean_px * solid.height_m / 2
        samples = _samples(corners)
        free = _take(height, (samples * grid.gsd_m + grid.frame.margin_m) / grid.frame.cell_m, 1e3)
        # a roof or a crown that leans over the body hides it
        clear = (_take(seen, samples, 0) > 0) & (free < solid.height_m + 0.5)
        dark = _take(dim, _samples(grid.frame.to_cells(placement.corners())), 0.0) > solid.height_m
        visible = float(np.mean(clear * np.where(dark, 0.5, 1.0)))
        if visible > 0:
            found.append(Truth(solid.label, solid.kind, corners, visible, solid.length_m, solid.width_m))
    return tuple(found)


def _samples(corners: Points) -> Points:
    """A grid of 24 x 8 points inside a box, (8, 24, 2)."""
    u, v = np.meshgrid((np.arange(24) + 0.5) / 24, (np.arange(8) + 0.5) / 8)
    return np.asarray(corners[2] + u[..., None] * (corners[1] - corners[2]) + v[..., None] * (corners[3] - corners[2]))


def _take(field: NDArray[Any], points: Points, outside: float) -> NDArray[Any]:
    """Values of a raster at points (column, row); `outside` beyond its edges."""
    col, row = np.floor(points[..., 0]).astype(int), np.floor(points[..., 1]).astype(int)
    rows, cols = field.shape
    inside = (col >= 0) & (col < cols) & (row >= 0) & (row < rows)
    return np.where(inside, field[np.clip(row, 0, rows - 1), np.clip(col, 0, cols - 1)], outside)
