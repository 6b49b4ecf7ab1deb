"""Pictures without objects as tiles: real ground for the detector to stay silent on."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from detector.errors import UsageError
from training.formats import Fault
from training.formats.reading import Source

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif")
BATCH = 64  # pictures


def pictures_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The pictures in a folder and those below it.

    Raises:
        UsageError: there is none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    if not paths:
        raise UsageError(f"{folder}: holds no pictures ({', '.join(suffixes)}).", "Give a folder of backgrounds.")
    return paths


@dataclass(frozen=True)
class Backgrounds:
    """A batch of pictures of one folder, GSD and split."""

    paths: tuple[Path, ...]
    gsd_m: float
    split: str

    @classmethod
    def batches(cls, given: str, default_gsd_m: float, val_share: float) -> list[Self]:
        """All pictures below "PATH" or "PATH@GSD_M", by split, in batches. A picture's name decides its split.

        Raises:
            UsageError: the folder holds no pictures, or the GSD is no positive number.
        """
        source = Source.parsed(given)
        folder, gsd_m = source.path, source.gsd_m or default_gsd_m
        paths = pictures_in(folder, SUFFIXES)
        held_out = [_draw(path) < val_share for path in paths]
        result = []
        for split, wanted in (("train", False), ("val", True)):
            chosen = [path for path, is_val in zip(paths, held_out, strict=True) if is_val is wanted]
            chosen.sort(key=_draw)  # neighbours by name are pictures of one kind; mix them
            result += [cls(tuple(chosen[i : i + BATCH]), gsd_m, split) for i in range(0, len(chosen), BATCH)]
        return result

    def digest(self) -> str:
        """SHA-256 over the names and bytes of the pictures."""
        hashed = hashlib.sha256()
        for path in self.paths:
            hashed.update(path.name.encode())
            hashed.update(path.read_bytes())
        return hashed.hexdigest()


def background_tiles(
    batch: Backgrounds, gsd_m: float, size_px: int, faults: list[Fault]
) -> Iterator[NDArray[np.uint8]]:
    """Tiles (size, size, 3) at the model's GSD: large pictures are cut, small ones laid side by side, turned at random.

    Each picture is used once; the last tile repeats some to be full. Pictures that cannot be read go to `faults`.
    """
    rng = np.random.default_rng(int(batch.digest()[:8], 16))
    small: list[NDArray[np.uint8]] = []
    for path in batch.paths:
        try:
            picture = at_gsd(path, batch.gsd_m, gsd_m)
        except (OSError, Image.DecompressionBombError) as error:
            faults.append(Fault(path, 0, f"cannot be read ({type(error).__name__}: {error})"))
            continue
        height, width = picture.shape[:2]
        if min(height, width) < size_px:
            small.append(picture)
            continue
        for y0 in range(0, height - size_px + 1, size_px):
            for x0 in range(0, width - size_px + 1, size_px):
                yield picture[y0 : y0 + size_px, x0 : x0 + size_px]
    while small:
        yield _patchwork(small, size_px, rng)


def _patchwork(pictures: list[NDArray[np.uint8]], size_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One tile from the first pictures of the list, which are taken out of it."""
    edge = min(min(picture.shape[:2]) for picture in pictures)
    cells = math.ceil(size_px / edge)
    taken, pictures[:] = pictures[: cells**2], pictures[cells**2 :]
    chosen = [taken[i % len(taken)] for i in range(cells**2)]
    turned = [np.rot90(picture[:edge, :edge], int(rng.integers(4))) for picture in chosen]
    rows = [np.concatenate(turned[i : i + cells], axis=1) for i in range(0, cells**2, cells)]
    whole = np.concatenate(rows, axis=0)
    x0, y0 = rng.integers(0, whole.shape[0] - size_px + 1, size=2)
    return np.ascontiguousarray(whole[y0 : y0 + size_px, x0 : x0 + size_px])


def at_gsd(path: Path, gsd_m: float, wanted_gsd_m: float) -> NDArray[np.uint8]:
    """A picture (H, W, 3), brought from its GSD to another.

    Raises:
        OSError, Image.DecompressionBombError: it cannot be read.
    """
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGB")
        size = tuple(max(1, round(edge * gsd_m / wanted_gsd_m)) for edge in upright.size)
        return np.asarray(upright.resize((size[0], size[1]), Image.Resampling.BICUBIC), dtype=np.uint8)


def _draw(path: Path) -> float:
    """A number in [0, 1) that depends on the picture's name only."""
    digest = hashlib.sha256(path.name.encode()).digest()
    return int.from_bytes(digest[:2], "big") / 0x10000
