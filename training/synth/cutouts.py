"""Real wagons in rendered yards: cut out of annotated scenes, painted anew, and set in place of rendered cars.

A cut-out has the outline of its label, so that truth stays exact, and the light of its own day taken out as far as
that is possible; the renderer lights it again and casts its shadow. The outermost part of it, where labels and pictures
are least certain, is painted over with an edge of the wagon's own colour, so that it cannot become a cue.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from detector.errors import UsageError
from training.annotated import AnnotatedScene
from training.synth.canvas import Placement
from training.synth.paint import Array, Noise
from training.synth.solid import Patch, Solid

KIND = "cutout"

SHARE = 0.35
"""Of the cars for which there is a fitting cut-out, by default."""

STRETCH = (0.85, 1.15)
"""A wagon is stretched or shortened lengthwise by at most this."""

_CELL_M = 0.125
_WHOLE = 0.9
_GROUND = 0.22
"""Reflectance of the ground that takes up most of a yard."""
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_TALL_M, _FLAT_M = 3.8, 1.3


@dataclass(frozen=True)
class Cutout:
    """A real wagon seen from above.

    Attributes:
        label: class of configs/classes.yaml.
        length_m: along u.
        width_m: along v.
        height_m: estimated from its shadow.
        lit: +1 where the sun stood on the side of positive v, -1 on the other, 0 unknown.
        albedo: (n_v, n_u, 3) linear reflectance under the light of its day; rows from -v to +v, columns from -u to +u.
    """

    label: str
    length_m: float
    width_m: float
    height_m: float
    lit: int
    albedo: Array


@dataclass(frozen=True)
class Stock:
    """What there is to set in place of rendered cars, and how often that is done."""

    cutouts: tuple[Cutout, ...]
    share: float = SHARE


@cache
def read_cutouts(folder: Path) -> tuple[Cutout, ...]:
    """All whole wagons of the annotated scenes in a folder, or of one scene; read once in a process.

    Raises:
        UsageError: there is no scene with truth, or none of its objects is seen whole.
    """
    paths = [folder] if folder.is_file() else sorted(folder.rglob("*.tif"))
    found: list[Cutout] = []
    for path in paths:
        found += cut(AnnotatedScene.read(path))
    if not found:
        raise UsageError(
            f"{folder}: holds no wagon that is at least {_WHOLE:.0%} visible.",
            "Give a folder of GeoTIFFs with <stem>.truth.geojson beside them.",
        )
    return tuple(found)


def cut(scene: AnnotatedScene) -> list[Cutout]:
    """The whole wagons of a scene; those marked `ignore` are left out."""
    light = _linear(scene)
    objects = scene.objects[(scene.objects.visible >= _WHOLE) & ~scene.objects.ignore]
    frames = [_Oriented.of(corners, scene.gsd_m) for corners in objects.corners_px]
    shades = [_shade(light, frame) for frame in frames]
    sun = _towards_sun(frames, shades)
    widths = np.array([max(shade.wide_m) for shade in shades])
    usual = float(np.median(widths[widths > 0])) if (widths > 0).any() else 1.0
    cutouts = []
    for name, frame, wide in zip(objects.class_name, frames, widths, strict=True):
        height = float(np.clip(3.4 * wide / usual, _FLAT_M, _TALL_M))
        across = float(frame.left @ sun)
        lit = int(np.sign(across)) if abs(across) > 0.2 else 0
        cutouts.append(Cutout(str(name), frame.length_m, frame.width_m, height, lit, frame.texture(light)))
    return cutouts


@dataclass(frozen=True)
class _Oriented:
    """A box in a picture with its own axes: `along` and `left` are unit steps on the ground, right and down."""

    centre_px: NDArray[np.float64]
    along: NDArray[np.float64]
    left: NDArray[np.float64]
    length_m: float
    width_m: float
    gsd_m: tuple[float, float]

    @classmethod
    def of(cls, corners_px: NDArray[np.float64], gsd_m: tuple[float, float]) -> "_Oriented":
        metres = corners_px * gsd_m
        sides = metres[1] - metres[0], metres[2] - metres[1]
        long, short = sorted(sides, key=lambda side: -float(np.hypot(*side)))
        length, width = float(np.hypot(*long)), float(np.hypot(*short))
        along = long / length
        return cls(corners_px.mean(axis=0), along, np.array([along[1], -along[0]]), length, width, gsd_m)

    def sample(self, picture: Array, u_m: Array, v_m: Array) -> Array:
        """Values of a picture (H, W, C) at places in the box's own frame."""
        ground = u_m[..., None] * self.along + v_m[..., None] * self.left
        x, y = np.moveaxis(ground / self.gsd_m + self.centre_px - 0.5, -1, 0)
        bands = [ndimage.map_coordinates(picture[..., i], (y, x), order=1, mode="nearest") for i in range(3)]
        return np.asarray(np.stack(bands, axis=-1), dtype=np.float32)

    def texture(self, picture: Array) -> Array:
        """What lies in the box, on a grid of cells of about 0.125 m."""
        cols, rows = max(8, round(self.length_m / _CELL_M)), max(4, round(self.width_m / _CELL_M))
        u = ((np.arange(cols) + 0.5) / cols - 0.5) * self.length_m
        v = ((np.arange(rows) + 0.5) / rows - 0.5) * self.width_m
        grid_u, grid_v = np.meshgrid(u.astype(np.float32), v.astype(np.float32))
        return self.sample(picture, grid_u, grid_v)


def _linear(scene: AnnotatedScene) -> Array:
    """A picture as linear reflectance: tone curve and haze taken out, its usual ground set to a usual value."""
    image = scene.image if scene.image.shape[2] >= 3 else np.repeat(scene.image[..., :1], 3, axis=2)
    full = float(np.iinfo(image.dtype).max) if image.dtype == np.uint8 else float(image[scene.valid].max())
    light = (image[..., :3].astype(np.float32) / np.float32(full)) ** np.float32(2.2)
    luma = light[scene.valid] @ _LUMA
    light -= np.float32(0.7 * np.quantile(luma, 0.001))
    gain = _GROUND / max(float(np.median(luma)), 1e-4)
    return np.asarray(np.clip(light * np.float32(gain), 0.01, 0.92), dtype=np.float32)


@dataclass(frozen=True)
class _Shade:
    """The ground beside a wagon, on the side of -v and of +v.

    Attributes:
        dark: how much of the ground's light is missing just beside the body.
        wide_m: how far from the body it is missing.
    """

    dark: tuple[float, float]
    wide_m: tuple[float, float]


def _shade(light: Array, frame: _Oriented) -> _Shade:
    away = np.arange(0.4, 5.0, 0.2, dtype=np.float32)
    u = np.linspace(-0.35, 0.35, 9, dtype=np.float32) * np.float32(frame.length_m)
    dark, wide = [], []
    for side in (-1, 1):
        v = side * (frame.width_m / 2 + away).astype(np.float32)
        luma = np.median(frame.sample(light, *np.meshgrid(u, v)) @ _LUMA, axis=1)
        lost = np.clip(1 - luma / _GROUND, 0, 1)
        dark.append(float(lost[:4].mean()))
        end = np.flatnonzero(lost < 0.45)
        wide.append(float(0.4 + 0.2 * (end[0] if end.size else away.size)) if lost[0] >= 0.45 else 0.0)
    return _Shade((dark[0], dark[1]), (wide[0], wide[1]))


def _towards_sun(frames: Sequence[_Oriented], shades: Sequence[_Shade]) -> NDArray[np.float64]:
    """Unit step on the ground towards the sun, as far as the sides of the wagons' shadows tell; else zero."""
    votes = [frame.left * (shade.dark[0] - shade.dark[1]) for frame, shade in zip(frames, shades, strict=True)]
    total = np.sum(votes, axis=0) if votes else np.zeros(2)
    length = float(np.hypot(*total))
    return np.asarray(total / length if length > 0.05 * len(votes) and length > 0 else np.zeros(2))


@dataclass(frozen=True)
class Paint:
    """How a wagon is painted anew.

    Attributes:
        gain: per channel, on the reflectance.
        saturation: 0 grey, 1 as it was.
        contrast: on the differences from the wagon's own mean.
    """

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    contrast: float = 1.0

    @classmethod
    def draw(cls, rng: np.random.Generator, mean: Array) -> "Paint":
        """A plausible coat: mostly the wagon's own, sometimes the colour of another one with the same structure."""
        shade = float(np.exp(rng.normal(0.0, 0.25)))
        tint = np.exp(rng.normal(0.0, 0.05, 3))
        if rng.random() < 0.4:  # channels change places: brown turns to green or blue, grey stays grey
            swapped = mean[[[1, 0, 2], [2, 1, 0]][int(rng.integers(2))]]
            if swapped.argmin() == 1:  # no wagon is purple
                swapped = mean[[2, 1, 0]]
            tint *= swapped / mean * float(mean @ _LUMA) / max(float(swapped @ _LUMA), 1e-3)
        low, high = 0.05 / float(mean.mean()), 0.65 / float(mean.mean())
        gain = np.clip(shade * tint, low, max(high, low))
        return cls(
            (float(gain[0]), float(gain[1]), float(gain[2])),
            float(rng.uniform(0.5, 1.3)),
            float(rng.uniform(0.8, 1.25)),
        )

    def apply(self, albedo: Array) -> Array:
        """The painted reflectance, same shape."""
        mean = albedo.mean(axis=(0, 1))
        out = (mean + (albedo - mean) * np.float32(self.contrast)) * np.array(self.gain, dtype=np.float32)
        grey = (out @ _LUMA)[..., None]
        return np.asarray(np.clip(grey + (out - grey) * np.float32(self.saturation), 0.015, 0.92), dtype=np.float32)


def relit(albedo: Array, share: float) -> Array:
    """The reflectance without a share of its light's slope along and across; its mean stays.

    What a plane through the logarithm of the brightness explains is taken for light, the rest for paint.
    """
    rows, cols = albedo.shape[:2]
    v, u = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : cols * 1j]
    tone = np.log(np.maximum(albedo @ _LUMA, 0.01))
    slope_u, slope_v = float((tone * u).sum() / (u * u).sum()), float((tone * v).sum() / (v * v).sum())
    out = albedo * np.exp(-share * (slope_u * u + slope_v * v))[..., None]
    return np.asarray(out * (albedo.mean() / out.mean()), dtype=np.float32)


def _framed(rng: np.random.Generator, albedo: Array, size_m: tuple[float, float]) -> Array:
    """The reflectance under a rendered edge of the body: in the wagon's own colour, each side a shade of its own."""
    rows, cols = albedo.shape[:2]
    u = (np.arange(cols) + 0.5) * size_m[0] / cols
    v = (np.arange(rows) + 0.5) * size_m[1] / rows
    inner = albedo[rows // 4 : rows - rows // 4, cols // 12 : cols - cols // 12]
    own, mean = float(rng.uniform(0.0, 1.0)), inner.mean(axis=(0, 1))
    across = inner.mean(axis=0)  # the wagon's bays and loads go on to its edge
    across = ndimage.zoom(across, (cols / len(across), 1), order=1, grid_mode=True, mode="nearest")[:cols]
    out = albedo.copy()
    for distance, by_row in ((u, False), (u[::-1], False), (v, True), (v[::-1], True)):
        breadth, soft = rng.uniform(0.35, 0.6), rng.uniform(0.06, 0.2)
        shade = float(np.exp(rng.normal(0.0, 0.22)))
        share = np.clip((breadth - distance) / soft + 0.5, 0, 1).astype(np.float32)
        colour = (own * across[None, :, :] + (1 - own) * mean) * shade if by_row else mean * shade
        share = share[:, None, None] if by_row else share[None, :, None]
        out += share * (colour - out)
    return np.asarray(out, dtype=np.float32)


def set_up(
    rng: np.random.Generator, cutout: Cutout, length_m: float, lit: int = 0, paint: Paint | None = None
) -> Solid:
    """A cut-out as a solid.

    Laws: length, width and label are exactly those asked for; equal generators give equal surfaces.

    Args:
        rng: edge, wear and turns of this unit.
        cutout: the wagon.
        length_m: to which it is stretched.
        lit: +1 where the sun stands on the side of positive v on the rendered date, -1 on the other, 0 along it.
        paint: its coat; one of its own by default.
    """
    albedo = relit(cutout.albedo, float(rng.uniform(0.4, 1.0)))
    sharp = np.float32(rng.uniform(0.0, 0.6))
    albedo = albedo + sharp * (albedo - ndimage.gaussian_filter(albedo, (2.0, 2.0, 0.0), mode="nearest"))
    paint = paint or Paint.draw(rng, albedo.mean(axis=(0, 1)))
    albedo = _framed(rng, paint.apply(albedo), (length_m, cutout.width_m))
    flips = bool(rng.random() < 0.5)
    if lit and cutout.lit:
        flips = lit != cutout.lit
    albedo = albedo[::-1] if flips else albedo
    albedo = np.ascontiguousarray(albedo[:, ::-1] if rng.random() < 0.5 else albedo)
    noise, grain = Noise.draw(rng), np.float32(rng.uniform(0.0, 0.06))
    height = float(np.clip(cutout.height_m + rng.normal(0.0, 0.25), 1.1, 4.4))
    rows, cols = albedo.shape[:2]

    def surface(u_m: Array, v_m: Array) -> Patch:
        col = (u_m / length_m + 0.5) * cols - 0.5
        row = (v_m / cutout.width_m + 0.5) * rows - 0.5
        bands = [ndimage.map_coordinates(albedo[..., i], (row, col), order=1, mode="nearest") for i in range(3)]
        rgb = np.stack(bands, axis=-1) * (1 + grain * noise(u_m * 4.1, v_m * 4.1))[..., None]
        inside = (np.abs(u_m) <= length_m / 2) & (np.abs(v_m) <= cutout.width_m / 2)
        cover = inside.astype(np.float32)
        return Patch(height * cover, np.clip(rgb, 0.015, 0.92).astype(np.float32), cover)

    return Solid(KIND, cutout.label, length_m, cutout.width_m, height, surface)


def with_cutouts(
    rng: np.random.Generator, placements: Sequence[Placement], stock: Stock, sun_azimuth_deg: float
) -> list[Placement]:
    """The placements with a share of the cars replaced by cut-outs of their class.

    Laws: places, headings, lengths and labels stay, so that nothing overlaps that did not; a car stays as it is where
    no cut-out of its class can be stretched to its length. Equal generators give equal results.

    Args:
        rng: source of all randomness.
        placements: what stands on a date.
        stock: what there is to choose from; its share holds in the mean.
        sun_azimuth_deg: of the date, clockwise from north.
    """
    sun = np.radians(90 - sun_azimuth_deg)
    series: dict[tuple[str, float], int] = {}
    result = []
    for placement in placements:
        solid = placement.solid
        fitting = [
            i
            for i, cutout in enumerate(stock.cutouts)
            if cutout.label == solid.label and STRETCH[0] <= solid.length_m / cutout.length_m <= STRETCH[1]
        ]
        if not fitting:
            result.append(placement)
            continue
        # half of all series of equal cars are replaced as a whole by equal cut-outs, the others car by car
        number = series.setdefault((solid.kind, solid.length_m), int(rng.integers(2**62)))
        shared = np.random.default_rng(number)
        alike = bool(shared.random() < 0.5)
        source = shared if alike else rng
        if source.random() >= stock.share:
            result.append(placement)
            continue
        cutout = stock.cutouts[fitting[int(source.integers(len(fitting)))]]
        paint = Paint.draw(source, cutout.albedo.mean(axis=(0, 1)))
        across = float(np.sin(sun - placement.heading))
        lit = int(np.sign(across)) if abs(across) > 0.2 else 0
        result.append(replace(placement, solid=set_up(rng, cutout, solid.length_m, lit, paint)))
    return result
