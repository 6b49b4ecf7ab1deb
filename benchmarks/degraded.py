"""Pictures that a detector should not be trusted on, made from good ones: coarse, hazy, infrared, dark."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import Affine
from scipy.ndimage import gaussian_filter

from detector.scenes import find_scenes

Planes = NDArray[np.float32]
"""B x H x W, 0 to 1 of the file's range."""

COARSE_M, CLAIMED_M = 1.0, 0.5
_VEIL = np.array([0.78, 0.80, 0.82], dtype=np.float32)[:, None, None]  # blue haze, bright
_LAMPLIGHT = np.array([1.0, 0.85, 0.6], dtype=np.float32)[:, None, None]


def as_it_is(planes: Planes, gsd_m: float, rng: np.random.Generator) -> tuple[Planes, float]:
    """The picture itself."""
    return planes, gsd_m


def coarse(planes: Planes, gsd_m: float, rng: np.random.Generator) -> tuple[Planes, float]:
    """What a sensor of 1 m sees, brought to pixels of 0.5 m."""
    seen = _resized(_blurred(planes, 0.5 * COARSE_M / gsd_m), gsd_m / COARSE_M)
    return _resized(seen, COARSE_M / CLAIMED_M), CLAIMED_M


def wrong_scale(planes: Planes, gsd_m: float, rng: np.random.Generator) -> tuple[Planes, float]:
    """Pixels of 1 m whose file claims 0.5 m: everything seems half as large."""
    return _resized(_blurred(planes, 0.5 * COARSE_M / gsd_m), gsd_m / COARSE_M), CLAIMED_M


def haze(depth: float) -> Callable[[Planes, float, np.random.Generator], tuple[Planes, float]]:
    """A veil that leaves 1 - `depth` of the contrast."""

    def veiled(planes: Planes, gsd_m: float, rng: np.random.Generator) -> tuple[Planes, float]:
        return (1 - depth) * planes + depth * _VEIL[: len(planes)], gsd_m

    return veiled


def false_colour(planes: Planes, gsd_m: float, rng: np.random.Generator) -> tuple[Planes, float]:
    """Near infrared, red, green as red, green, blue: patches of vegetation are bright red."""
    height, width = planes.shape[1:]
    field = gaussian_filter(rng.normal(size=(height, width)), 20.0 / gsd_m)
    plants = np.clip((field - np.quantile(field, 0.6)) / (field.std() + 1e-9) * 4, 0, 1).astype(np.float32)
    red, green = (planes[0], planes[1]) if len(planes) > 1 else (planes[0], planes[0])
    red, green = red * (1 - 0.65 * plants), green * (1 - 0.45 * plants)  # what plants take up
    infrared = planes.mean(axis=0) * (1 - plants) + plants * (0.45 + 0.5 * planes.mean(axis=0))
    return np.clip(np.stack([infrared, red, green]), 0, 1).astype(np.float32), gsd_m


def night(planes: Planes, gsd_m: float, rng: np.random.Generator) -> tuple[Planes, float]:
    """Dark and noisy, with a lamp on every 1,500 square metres."""
    height, width = planes.shape[1:]
    lamps = np.zeros((height, width), dtype=np.float32)
    number = max(4, round(height * width * gsd_m**2 / 1500))
    lamps[rng.integers(0, height, number), rng.integers(0, width, number)] = 1
    pool, bulb = (gaussian_filter(lamps, width_m / gsd_m) for width_m in (2.0, 0.6))
    light = 0.15 * pool / pool.max() + bulb / bulb.max()
    noise = rng.normal(0, 0.012, planes.shape).astype(np.float32)
    return np.clip(0.03 * planes + noise + light * _LAMPLIGHT[: len(planes)], 0, 1).astype(np.float32), gsd_m


DEGRADED: Mapping[str, Callable[[Planes, float, np.random.Generator], tuple[Planes, float]]] = {
    "as it is": as_it_is,
    "1 m brought to 0.5 m": coarse,
    "1 m that claims 0.5 m": wrong_scale,
    "haze over 60 %": haze(0.60),
    "haze over 75 %": haze(0.75),
    "haze over 85 %": haze(0.85),
    "infrared false colour": false_colour,
    "night": night,
}


def write_degraded(source: Path, name: str, target: Path, seed: int = 0) -> None:
    """Write a GeoTIFF as it would look degraded, of the same pixel type, with its top left corner kept."""
    with rasterio.open(source) as file:
        values, valid = file.read(), file.dataset_mask() > 0
        profile, transform, tags = file.profile, file.transform, file.tags()
    top = 255.0 if values.dtype == np.uint8 else float(np.percentile(values[:, valid], 99.9))
    gsd_m = _metres(source)
    planes, new_m = DEGRADED[name](np.clip(values / np.float32(top), 0, 1), gsd_m, np.random.default_rng(seed))
    bands, height, width = planes.shape
    stated = transform * Affine.scale(new_m / gsd_m)
    profile.update(count=bands, height=height, width=width, transform=stated)
    profile.update(photometric="RGB" if bands == 3 else "MINISBLACK")
    mask = Image.fromarray(valid).resize((width, height), Image.Resampling.NEAREST)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(target, "w", **profile) as file:
        file.write(np.rint(planes * top).astype(values.dtype))
        file.update_tags(**{key: value for key, value in tags.items() if key == "TIFFTAG_DATETIME"})
        if not valid.all():
            file.write_mask(np.asarray(mask))


def _metres(source: Path) -> float:
    """GSD of a file, as the product reads it."""
    return find_scenes([source]).scenes[0].gsd_m


def _blurred(planes: Planes, sigma_px: float) -> Planes:
    return np.asarray(gaussian_filter(planes, (0, sigma_px, sigma_px)), dtype=np.float32)


def _resized(planes: Planes, factor: float) -> Planes:
    size = round(planes.shape[2] * factor), round(planes.shape[1] * factor)
    way = Image.Resampling.BICUBIC if factor > 1 else Image.Resampling.BOX
    resized = [np.asarray(Image.fromarray(plane).resize(size, way)) for plane in planes]
    return np.asarray(np.clip(np.stack(resized), 0, 1), dtype=np.float32)
