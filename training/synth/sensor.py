"""From radiance to delivered pixels: resampling, blur, clouds, haze, noise, tone, JPEG, number format."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage, sparse

from training.synth.canvas import Frame
from training.synth.paint import Array, Colour
from training.synth.profile import SensorRanges, uniform


@dataclass(frozen=True)
class Sensor:
    """The camera and the processing of a date.

    Attributes:
        psf_px: standard deviation of the point spread, delivered pixels.
        noise: standard deviation on mid grey, of full scale.
        sharpen: weight of the unsharp mask.
        halo_px: standard deviation of the unsharp mask.
        haze: share of the radiance replaced by bluish veil.
        gamma: of the tone curve; 1 for 16-bit numbers.
        contrast: steepness of the tone curve at its middle.
        toe: steepness in the shadows against that in the lights.
        level: median of the delivered image, of full scale.
        burn: brightest that the whitest things may become, before the tone curve; 1 = full scale.
        gains: of the channels.
        saturation: 0 grey, 1 true.
        coarse: how much coarser the grid was through which the image went on its way; 1 for none.
        upsampling: "nearest", "bilinear" or "bicubic": the way back from that grid.
        smear: how much coarser colour is than brightness; 1 for not at all.
        offset_px: of colour against brightness where it is coarser, whole pixels right and down.
        jpeg: quality, 0 for none.
        pan: one panchromatic band.
        deep: 16-bit numbers of 11 significant bits.
    """

    psf_px: float
    noise: float
    sharpen: float
    halo_px: float
    haze: float
    gamma: float
    contrast: float
    toe: float
    level: float
    burn: float
    gains: tuple[float, float, float]
    saturation: float
    coarse: float
    upsampling: str
    smear: float
    offset_px: tuple[int, int]
    jpeg: int
    pan: bool
    deep: bool

    @classmethod
    def draw(cls, rng: np.random.Generator, ranges: SensorRanges, gsd_m: float) -> "Sensor":
        """A sensor of the profile that delivers pixels of a size."""
        deep = bool(rng.random() < ranges.deep)
        gains = np.exp(rng.normal(0, ranges.tint, 3))
        if rng.random() < ranges.cast:
            gains *= np.array(_CASTS[int(rng.integers(len(_CASTS)))]) ** rng.uniform(0.1, 0.8)
        coarse = min(uniform(rng, ranges.coarse_factor), ranges.coarsest_m / gsd_m)
        best, worst = ranges.jpeg_quality[1], ranges.jpeg_quality[0]
        weak, strong = ranges.sharpen
        return cls(
            psf_px=uniform(rng, ranges.psf_px),
            noise=uniform(rng, ranges.noise),
            sharpen=weak + (strong - weak) * float(rng.random()) ** 2 if rng.random() < 0.8 else 0.0,
            halo_px=uniform(rng, ranges.halo_px),
            haze=uniform(rng, ranges.haze) * float(rng.random()),
            gamma=uniform(rng, ranges.gamma) if not deep or rng.random() < 0.3 else 1.0,
            contrast=uniform(rng, ranges.contrast),
            toe=uniform(rng, ranges.toe),
            level=uniform(rng, ranges.level),
            burn=uniform(rng, (1.0, 2.4)),
            gains=(float(gains[0]), float(gains[1]), float(gains[2])),
            saturation=uniform(rng, ranges.saturation),
            coarse=coarse if rng.random() < ranges.coarse and coarse > 1.15 else 1.0,
            upsampling=str(rng.choice(["nearest", "bilinear", "bicubic"], p=[0.15, 0.4, 0.45])),
            smear=uniform(rng, (1.5, 4.0)) if rng.random() < ranges.smear else 1.0,
            offset_px=(int(rng.integers(-1, 2)), int(rng.integers(-1, 2))),
            jpeg=int(best - (best - worst) * rng.random() ** 1.4) if rng.random() < ranges.jpeg and not deep else 0,
            pan=bool(rng.random() < ranges.pan),
            deep=deep,
        )


_CASTS: tuple[Colour, ...] = ((0.80, 0.98, 1.26), (0.90, 1.12, 0.97), (1.10, 1.04, 0.76), (1.08, 0.94, 1.06))
"""Channel gains: bluish, greenish, yellow, reddish."""


def area_matrix(cells: int, pixels: int, start: float, cells_per_pixel: float) -> sparse.csr_matrix:
    """Weights (pixels, cells) that average cells over pixels by overlap; each row sums to 1.

    Args:
        cells: number of cells.
        pixels: number of pixels.
        start: where the first pixel begins, in cells.
        cells_per_pixel: at least 1.
    """
    low = start + np.arange(pixels) * cells_per_pixel
    reach = int(np.ceil(cells_per_pixel)) + 1
    column = np.floor(low).astype(np.intp)[:, None] + np.arange(reach)[None, :]
    overlap = np.minimum(column + 1, low[:, None] + cells_per_pixel) - np.maximum(column, low[:, None])
    weight = np.clip(overlap, 0, None) * ((column >= 0) & (column < cells))
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
    row = np.repeat(np.arange(pixels), reach)
    data = weight.astype(np.float32).ravel()
    return sparse.csr_matrix((data, (row, np.clip(column, 0, cells - 1).ravel())), shape=(pixels, cells))


def resample(field: Array, frame: Frame, size: tuple[int, int], gsd_m: tuple[float, float]) -> Array:
    """Area average of a canvas field onto the image's pixels.

    Law: a constant stays that constant, and a whole number of cells per pixel conserves the mean.

    Args:
        field: (H, W) or (H, W, bands) on the canvas.
        frame: the canvas.
        size: pixels (columns, rows).
        gsd_m: pixel size (right, down).
    """
    start = frame.margin_m / frame.cell_m
    across = area_matrix(field.shape[1], size[0], start, gsd_m[0] / frame.cell_m)
    down = area_matrix(field.shape[0], size[1], start, gsd_m[1] / frame.cell_m)
    bands = 1 if field.ndim == 2 else field.shape[2]
    lower = down @ field.reshape(field.shape[0], -1)
    turned = np.ascontiguousarray(lower.reshape(size[1], field.shape[1], bands).transpose(1, 0, 2))
    out = across @ turned.reshape(field.shape[1], -1)
    out = np.ascontiguousarray(out.reshape(size[0], size[1], bands).transpose(1, 0, 2), dtype=np.float32)
    return out[..., 0] if field.ndim == 2 else out


def clouds(rng: np.random.Generator, size: tuple[int, int], gsd_m: float, share: float) -> Array:
    """Opacity of clouds that cover about `share` of an image of (columns, rows); soft white heaps."""
    cols, rows = size
    level = np.zeros((rows, cols), dtype=np.float32)
    for pitch, weight in ((110.0, 1.0), (45.0, 0.6), (18.0, 0.35), (7.0, 0.2), (3.0, 0.1)):
        small = (int(rows * gsd_m / pitch) + 4, int(cols * gsd_m / pitch) + 4)
        grid = rng.standard_normal(small, dtype=np.float32)
        zoom = (rows / (small[0] - 3), cols / (small[1] - 3))
        level += weight * ndimage.zoom(grid, zoom, order=3 if pitch > 20 else 1)[:rows, :cols]
    threshold = np.quantile(level, 1 - share)
    return np.asarray(np.clip((level - threshold) * 1.1, 0, 1) ** 0.8, dtype=np.float32)


def expose(radiance: Array, sensor: Sensor, rng: np.random.Generator, cloud: Array | None = None) -> Array:
    """Delivered numbers from radiance at the pixels of the image.

    Args:
        radiance: (H, W, 3), already resampled.
        sensor: the camera.
        rng: of its noise.
        cloud: opacity of clouds, (H, W).

    Returns:
        uint8 or uint16, (H, W, 1) or (H, W, 3).
    """
    light = radiance
    for band in range(3):
        ndimage.gaussian_filter(light[..., band], sensor.psf_px, output=light[..., band], truncate=3)
    bright = float(np.quantile(light[::4, ::4].mean(axis=2), 0.985))
    air = np.array([0.82, 1.0, 1.22], dtype=np.float32) * np.float32(0.6 * bright)
    light += np.float32(sensor.haze) * (air - light)
    if cloud is not None:
        white = np.float32(max(0.75, 1.3 * bright)) * np.ones(3, np.float32)
        light += cloud[..., None] * (white - light)
    if sensor.pan:
        light = light @ np.array([[0.36], [0.38], [0.26]], dtype=np.float32)
    else:
        grey = light.mean(axis=2, keepdims=True)
        light = grey + np.float32(sensor.saturation) * (light - grey)
        light *= np.array(sensor.gains, dtype=np.float32)
    # exposure: the middle of the image at the wanted level, without burning more than a little
    middle = float(np.median(light[::3, ::3]))
    gain = min(sensor.level**sensor.gamma / max(middle, 1e-4), sensor.burn / max(bright, 1e-4))
    return _deliver(_processed(_tone(_noisy(light * np.float32(gain), sensor, rng), sensor), sensor), sensor)


def _noisy(light: Array, sensor: Sensor, rng: np.random.Generator) -> Array:
    """Shot and read noise."""
    spread = np.float32(sensor.noise) * np.sqrt(np.clip(light, 0, None) * 1.7 + 0.06)
    light = light + spread * rng.standard_normal(light.shape, dtype=np.float32)
    return np.asarray(np.clip(light, 0, None), dtype=np.float32)


def _tone(light: Array, sensor: Sensor) -> Array:
    """The tone curve, full scale 1: it keeps the level, shadows fall by `toe`, whites are compressed, not cut."""
    if sensor.gamma == 1:
        return light
    tone = light ** np.float32(1 / sensor.gamma)
    tone -= np.float32(sensor.level)
    tone *= np.where(tone < 0, np.float32(sensor.contrast * sensor.toe), np.float32(sensor.contrast))
    tone += np.float32(sensor.level)
    over = tone > 0.8
    tone[over] = 0.8 + 0.2 * np.tanh((tone[over] - 0.8) / 0.2)
    return np.asarray(tone, dtype=np.float32)


def _processed(tone: Array, sensor: Sensor) -> Array:
    """What is done to pictures before delivery: coarser grids, halos of sharpening, coarser colour."""
    rows, cols, bands = tone.shape
    if sensor.coarse > 1:
        small = (max(2, round(cols / sensor.coarse)), max(2, round(rows / sensor.coarse)))
        back = Image.Resampling[sensor.upsampling.upper()]
        tone = _resized(_resized(tone, small, Image.Resampling.BILINEAR), (cols, rows), back)
    if sensor.sharpen > 0.05:
        soft = ndimage.gaussian_filter(tone, (sensor.halo_px, sensor.halo_px, 0), truncate=2.5)
        tone = tone + np.float32(sensor.sharpen) * (tone - soft)
    if sensor.smear > 1 and bands == 3:
        grey = tone.mean(axis=2, keepdims=True)
        small = (max(2, round(cols / sensor.smear)), max(2, round(rows / sensor.smear)))
        colour = _resized(_resized(tone - grey, small, Image.Resampling.BOX), (cols, rows), Image.Resampling.BICUBIC)
        tone = grey + np.roll(colour, sensor.offset_px[::-1], axis=(0, 1))
    return tone


def _resized(field: Array, size: tuple[int, int], method: Image.Resampling) -> Array:
    """An image on a grid of another size (columns, rows) over the same ground."""
    bands = [Image.fromarray(np.ascontiguousarray(field[..., i])).resize(size, method) for i in range(field.shape[2])]
    return np.stack([np.asarray(band, dtype=np.float32) for band in bands], axis=2)


def _deliver(tone: Array, sensor: Sensor) -> Array:
    """Number format."""
    if sensor.deep:
        return np.clip(60 + tone * 900, 1, 2047).astype(np.uint16)
    delivered = np.clip(tone * 255 + 0.5, 0, 255).astype(np.uint8)
    if sensor.jpeg:
        buffer = io.BytesIO()
        Image.fromarray(delivered[..., 0] if sensor.pan else delivered).save(buffer, "JPEG", quality=sensor.jpeg)
        delivered = np.array(Image.open(buffer), dtype=np.uint8).reshape(delivered.shape)
    return np.asarray(delivered)
