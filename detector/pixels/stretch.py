"""How a scene's pixel values become grey levels, and which of them are blank."""

import threading
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_opening

from detector.pixels.scenefiles import SceneFiles
from detector.scene import Scene

PERCENTILES = (0.5, 99.5)
SAMPLE_PX = 1024  # the stretch looks at no more than this many pixels squared
MOST_WINDOWS = 8  # per axis, in scenes larger than that: few, for each has whole blocks of the file decoded
SOLID_PX = 5  # zeros narrower than this are shadow, not blank
BLANK_SHARE = 0.10  # of the samples along the scene's edge: then zero means "no data"

_PIECE = 1 << 16  # values that become levels, or are counted, at once: they stay in the processor's nearest caches

_stretch_lock = threading.Lock()


@dataclass(frozen=True)
class Stretch:
    """The linear map of pixel values to 0..255: `lo` becomes 0, `hi` 255, the rest is clipped.

    Attributes:
        lo: value that becomes 0.
        hi: value that becomes 255.
        blank_zero: solid areas of zero in all bands hold no data, by the file's nodata value or because the
            scene has a black collar that no nodata value declares.
    """

    lo: float
    hi: float
    blank_zero: bool = False

    def grey(self, values: NDArray[Any], out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Values (B, h, w) of any type as grey levels 0..255, rounded; NaN becomes 0.

        Args:
            values: of the file.
            out: where the levels of 8 bit values go (B, h, w), `values` itself for example.
        """
        if values.dtype != np.uint8:
            return self._mapped(values)
        levels = np.empty_like(values) if out is None else out
        rows = max(1, _PIECE // max(1, values.shape[2]))
        for source, target in zip(values, levels, strict=True):
            for top in range(0, len(source), rows):
                piece = source[top : top + rows]
                grey = bytearray(piece).translate(self._table)
                target[top : top + rows] = np.frombuffer(grey, np.uint8).reshape(piece.shape)
        return levels

    @cached_property
    def _table(self) -> bytes:
        """The grey level of every 8 bit value."""
        return self._mapped(np.arange(256)).tobytes()

    def _mapped(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        grey = values.astype(np.float32)
        grey -= np.float32(self.lo)
        grey *= np.float32(255.0 / (self.hi - self.lo))
        if np.issubdtype(values.dtype, np.floating):
            np.nan_to_num(grey, copy=False)
        return np.rint(grey, out=grey).clip(0, 255, out=grey).astype(np.uint8)

    def settle(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Validity (h, w) of values (B, h, w) where zero may mean "no data" and may be a shadow.

        Solid areas of zeros are blank; single zeros inside the picture are dark pixels, whatever nodata says.
        The result is exact `SOLID_PX` - 1 pixels away from the edge of the window.
        """
        if not self.blank_zero:
            return valid
        zero = _zero(values)
        return (valid | zero) & ~_solid(~valid | zero)


def stretch_of(scene: Scene) -> Stretch:
    """The scene's stretch, joint over its bands, computed once per scene and process."""
    with _stretch_lock:
        return _stretch_of(scene)


@lru_cache(maxsize=1024)
def _stretch_of(scene: Scene) -> Stretch:
    samples, on_edge, blank_on_edge = [], 0, 0
    with SceneFiles(scene) as files:
        nodata = files.dataset(0).nodata
        for x, y, w, h in sample_windows(scene.width, scene.height):
            values, valid = files.read(x, y, w, h)
            samples.append(_where(valid, values))
            if x == 0 or y == 0 or x + w == scene.width or y + h == scene.height:
                on_edge += int(valid.sum())
                blank_on_edge += int((_solid(_zero(values)) & valid).sum())
    pixels = np.concatenate(samples, axis=1)
    blank_zero = nodata == 0 or blank_on_edge > BLANK_SHARE * on_edge
    if blank_zero:
        pixels = _where(~_zero(pixels), pixels)
    return Stretch(*stretch_limits(pixels), blank_zero)


def stretch_limits(values: NDArray[Any]) -> tuple[float, float]:
    """The 0.5 and 99.5 percentiles of `values`; around the value itself where all are the same.

    Law: the limits of `a * values + b`, a > 0, are `a * lo + b` and `a * hi + b` unless the values are
    constant: the 8 and 16 bit deliveries of a scene give one picture.
    """
    if values.size == 0:
        return 0.0, 255.0
    lo, hi = _percentiles(values)
    if hi <= lo:  # nearly constant: the few values that differ decide, if there are any
        lo, hi = float(values.min()), float(values.max())
    return (lo, hi) if hi > lo else (lo - 0.5, lo + 0.5)


def _percentiles(values: NDArray[Any]) -> tuple[float, float]:
    """`np.percentile` of `values`; those of 8 and 16 bit by counting, in a tenth of the time."""
    if values.dtype.itemsize > 2 or not np.issubdtype(values.dtype, np.integer):
        lo, hi = np.percentile(np.asarray(values, dtype=np.float64), PERCENTILES)
        return float(lo), float(hi)
    least = int(values.min())
    counts = np.zeros(int(values.max()) - least + 1, dtype=np.int64)
    flat = values.ravel()
    for start in range(0, flat.size, _PIECE):
        steps = np.subtract(flat[start : start + _PIECE], least, dtype=np.int64)
        counts += np.bincount(steps, minlength=counts.size)
    places = np.array(PERCENTILES) / 100 * (values.size - 1)
    below, above = (np.searchsorted(counts.cumsum(), rank(places), side="right") for rank in (np.floor, np.ceil))
    lo, hi = least + below + (above - below) * (places - np.floor(places))
    return float(lo), float(hi)


def sample_windows(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Windows (x, y, w, h) of at most `SAMPLE_PX` squared pixels in all, spread evenly over the scene.

    They are read at full resolution, so that neither overviews nor the cut into files changes a
    percentile. There is one for about every `SAMPLE_PX` pixels along an axis, 2, 4 or 8, so that a scene of any size
    costs the same, and of a smaller one only a part is decoded. All but the last ones begin at multiples of their size,
    which blocks of files do too, so that each needs one block.
    """
    columns, rows = _sample_spans(width), _sample_spans(height)
    return [(x, y, w, h) for y, h in rows for x, w in columns]


def _sample_spans(length: int) -> list[tuple[int, int]]:
    if length <= SAMPLE_PX:
        return [(start, min(256, length - start)) for start in range(0, length, 256)]
    number = min(MOST_WINDOWS, max(2, 1 << (length // SAMPLE_PX).bit_length() - 1))
    size = SAMPLE_PX // number
    starts = np.linspace(0, length - size, number).astype(int)
    return [(int(start), size) for start in (*(starts[:-1] // size * size), length - size)]


def _where(mask: NDArray[np.bool_], values: NDArray[Any]) -> NDArray[Any]:
    """`values[:, mask]` of values (B, ...), plane by plane: numpy takes a tenth of the time for that."""
    return np.stack([plane[mask] for plane in values])


def _zero(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where values (B, ...) are zero in all bands."""
    return np.asarray(np.logical_not(values).all(axis=0), dtype=np.bool_)


def _solid(holes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The holes without those too narrow to hold a square of `SOLID_PX`."""
    if not holes.any():
        return holes
    return np.asarray(binary_opening(holes, np.ones((SOLID_PX, SOLID_PX), dtype=bool)), dtype=np.bool_)
