"""How a picture looks, as sums over its pixels: tiles add up to a facility.

Colour is that of the stretched picture, which the network sees. The stretch hides haze and darkness, so that its
limits, the black and the white point of the file, are looked at too. The spectrum tells the true resolution, whatever
the file states.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft2

Floats = NDArray[np.float64]

COARSE, FINE = (0.04, 0.08), (0.15, 0.21)
BELOW, AT, ABOVE = (0.08, 0.12), (0.14, 0.18), (0.18, 0.22)
"""Bands of the spectrum in cycles per model pixel. At 0.30 m, a picture of 1 m holds nothing above 0.15."""
_BANDS = (COARSE, FINE, BELOW, AT, ABOVE)
PATCH_PX = 64
_PATCHES = 4  # per axis of a tile; every second one is taken, as the fields of one colour of a chessboard
_STEP = 16  # colours are taken from every sixteenth pixel and row
_RED, _RED_FROM = 1.5, 0.2  # of a saturated red: so much more than green and blue, and no darker than this
_FLOOR = 0.01  # squared grey levels, below all noise: flat areas would have no logarithm
_FLAT = 1e-7  # variance of a picture of one grey, with rounding
_LEVELS = 255.0
_PAIRS = np.triu_indices(3)  # of colours
_OF_PATCHES = 3 + len(_BANDS)
_SIZE = 13 + _OF_PATCHES


@dataclass(frozen=True)
class Look:
    """How the picture of one facility looks; NaN where unknown.

    Attributes:
        sharpness: mean squared 4-neighbour Laplacian over 20 times the variance, both over patches: 1 for white
            noise (20 is the sum of the squared weights of the Laplacian), near 0 for a blurred picture, the same at
            any contrast.
        contrast: standard deviation of the grey, 1 for white.
        brightness: mean grey, 1 for white.
        chroma: spread of the colour differences over the spread of the grey: 0 without colour, above 1 where
            colours say more than light and shade.
        red_cast: mean of red minus green over the mean grey.
        red_share: share of saturated red: vegetation in infrared false colour.
        detail: log of the spectrum's power at 0.15-0.21 over that at 0.04-0.08 cycles per pixel: falls with the
            true resolution, rises with noise.
        cutoff: log of its power at 0.14-0.18 over the geometric mean of those at 0.08-0.12 and at 0.18-0.22: low where
            it breaks off, as that of a picture of 1 m does that was brought to smaller pixels, but not that of a
            soft one, which falls evenly.
        black_point: file value that is stretched to black over the one stretched to white: high under haze.
        grey_levels: log2 of the file's values between the two: few in the dark; unknown in files of real numbers.
    """

    sharpness: float = math.nan
    contrast: float = math.nan
    brightness: float = math.nan
    chroma: float = math.nan
    red_cast: float = math.nan
    red_share: float = math.nan
    detail: float = math.nan
    cutoff: float = math.nan
    black_point: float = math.nan
    grey_levels: float = math.nan


def look_sums(image: NDArray[np.uint8], valid: NDArray[np.bool_], lo: float, hi: float) -> Floats:
    """(21,) sums over some of the valid pixels of a tile, spread evenly; all zero where nothing is valid.

    Args:
        image: H x W x 3, stretched.
        valid: H x W.
        lo: file value that became 0.
        hi: file value that became 255.
    """
    thin = np.s_[::_STEP, ::_STEP]
    colours = image[thin][valid[thin]].T / _LEVELS
    red, green, blue = colours
    reds = (red > _RED * np.maximum(green, blue)) & (red > _RED_FROM)
    products = (colours @ colours.T)[_PAIRS]
    count = float(colours.shape[1])
    return np.concatenate(
        [[count], colours.sum(axis=1), products, [reds.sum()], _detail(image, valid), [count * lo, count * hi]]
    )


def no_sums() -> Floats:
    """(21,) the sums of no pixels."""
    return np.zeros(_SIZE)


def look_of(sums: Floats, *, is_whole: bool = True) -> Look:
    """What the sums over all tiles of a facility say.

    Law: tiles may be weighted, and added in any order.

    Args:
        sums: (21,), those of the tiles added up.
        is_whole: the file's values are whole numbers, so that those between two can be counted.
    """
    count, patches = sums[0], float(sums[11])
    if count <= 0:
        return Look()
    mean, cov = sums[1:4] / count, np.zeros((3, 3))
    cov[_PAIRS] = sums[4:10] / count
    cov = np.maximum(cov, cov.T) - np.outer(mean, mean)
    grey, variance = float(mean.mean()), float(cov.mean())
    to_green = np.array([[1.0, -1.0, 0.0], [0.0, -1.0, 1.0]])
    spread = float(np.trace(to_green @ cov @ to_green.T)) / 2
    coarse, fine, below, at, above, edges, of_noise = sums[12:-2].tolist()
    lo, hi = (float(value) for value in sums[-2:] / count)
    nan = math.nan
    return Look(
        sharpness=edges / of_noise if patches > 0 and of_noise > _FLAT * patches else nan,
        contrast=math.sqrt(max(variance, 0.0)),
        brightness=grey,
        chroma=math.sqrt(max(spread, 0.0) / variance) if variance > _FLAT else nan,
        red_cast=float(mean[0] - mean[1]) / grey if grey > 0 else nan,
        red_share=float(sums[10] / count),
        detail=(fine - coarse) / patches if patches > 0 else nan,
        cutoff=(at - (below + above) / 2) / patches if patches > 0 else nan,
        black_point=lo / hi if hi > 0 else nan,
        grey_levels=math.log2(hi - lo) if is_whole and hi > lo else nan,
    )


def _detail(image: NDArray[np.uint8], valid: NDArray[np.bool_]) -> Floats:
    """(8,) number of patches that are valid throughout, and sums over them.

    These are the log powers of the five bands in squared grey levels (logarithms are added so that a few bright
    patches do not outshout the rest), the mean squared Laplacian, and 20 times the variance.
    """
    planes = np.moveaxis(image, 2, 0)
    patches = [planes[:, *place] for place in _places(*valid.shape) if valid[place].all()]
    return _detail_of(np.array(patches)) if patches else np.zeros(_OF_PATCHES)


def _detail_of(patches: NDArray[np.uint8]) -> Floats:
    """The sums of `_detail` over patches, N x 3 x H x W."""
    red, green, blue = np.moveaxis(patches, 1, 0)
    grey = (np.add(red, green, dtype=np.uint16) + blue).astype(np.float32) / 3
    grey -= grey.mean(axis=(1, 2), keepdims=True)
    edges = 4 * grey[:, 1:-1, 1:-1]
    for place in (np.s_[:, :-2, 1:-1], np.s_[:, 2:, 1:-1], np.s_[:, 1:-1, :-2], np.s_[:, 1:-1, 2:]):
        edges -= grey[place]
    of_noise = 20.0 * np.vdot(grey, grey) / PATCH_PX**2
    waves = rfft2(grey * _window()).reshape(len(patches), -1)
    logs = []
    for band in _bands():
        power = (np.abs(waves[:, band]) ** 2).mean(axis=1, dtype=np.float64) / _energy()
        logs.append(float(np.log(power + _FLOOR).sum()))
    return np.array([len(patches), *logs, np.vdot(edges, edges) / (PATCH_PX - 2) ** 2, of_noise])


@lru_cache(maxsize=16)
def _places(height: int, width: int) -> list[tuple[slice, slice]]:
    """Where the patches of a picture lie: the fields of one colour of a chessboard."""
    rows, cols = _starts(height), _starts(width)
    corners = [(y, x) for row, y in enumerate(rows) for column, x in enumerate(cols) if (row + column) % 2 == 0]
    return [np.s_[y : y + PATCH_PX, x : x + PATCH_PX] for y, x in corners]


def _starts(length: int) -> list[int]:
    """Where patches begin along one axis: at most `_PATCHES`, side by side, evenly spread."""
    if length < PATCH_PX:
        return []
    return [int(start) for start in np.linspace(0, length - PATCH_PX, min(_PATCHES, length // PATCH_PX))]


@lru_cache(maxsize=1)
def _window() -> NDArray[np.float32]:
    edge = np.hanning(PATCH_PX)
    return np.outer(edge, edge).astype(np.float32)  # in single precision the transform takes an eighth of the time


@lru_cache(maxsize=1)
def _energy() -> np.float32:
    """What the window leaves of white noise of variance 1, over the transform of a patch."""
    energy: np.float32 = (_window() ** 2).sum()
    return energy


@lru_cache(maxsize=1)
def _bands() -> tuple[NDArray[np.intp], ...]:
    """Where in the flattened half plane of `rfft2` the frequencies of each band are."""
    frequency = np.hypot(np.fft.fftfreq(PATCH_PX)[:, None], np.fft.rfftfreq(PATCH_PX)[None, :])
    return tuple(np.flatnonzero((frequency >= low) & (frequency < high)) for low, high in _BANDS)
