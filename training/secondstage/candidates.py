"""What the first stage finds on tiles, beside the truth: what the second stage learns from. Imports no torch."""

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from detector.backends import Backend
from detector.detection.boxes import alone
from detector.detection.planning import Planner
from detector.errors import UsageError
from detector.geometry import Floats, Ints, candidate_pairs, iou_pairs, xywhr_from_corners
from detector.store import replacing
from training.datasets.mining import MARGIN_M, padded
from training.formats.listing import labels_of
from training.secondstage.pictures import Looks
from training.tilefolder import CUT_AGAIN, picture_of
from training.tiles import TileLabels

OBJECT_IOU = 0.45
"""From this overlap on, a box is on an object; it may come to lie on it by more than it did."""
GROUND_IOU = 0.3
"""Below this overlap it is on none; between the two it teaches where the object lies, and no class."""
UNSURE = -1
RULES = (OBJECT_IOU, GROUND_IOU, MARGIN_M)
"""What boxes teach follows from these, beside what they are on."""
_ARRAYS = ("tile", "xywhr", "scores", "target", "truth", "is_on")


@dataclass(frozen=True)
class Candidates:
    """Boxes of the first stage, N, on tiles, T.

    Attributes:
        tiles: the tiles' pictures, T; one may be looked at several times.
        tile: N, the tile of each.
        xywhr: N x 5, in pixels of the tile.
        scores: N x C, what the first stage says of each class.
        target: N, the class that is there, C for the ground, `UNSURE` for neither.
        truth: N x 5, the object that the box is on; the box itself where there is none.
        is_on: N, whether there is one.
    """

    tiles: tuple[Path, ...]
    tile: Ints
    xywhr: Floats
    scores: NDArray[np.float32]
    target: Ints
    truth: Floats
    is_on: NDArray[np.bool_]

    def __len__(self) -> int:
        """How many."""
        return len(self.tile)

    @classmethod
    def of(
        cls, tiles: Sequence[Path], backend: Backend, planner: Planner, looks: Looks | None = None, first: int = 0
    ) -> Self:
        """Look at tiles with the first stage, as detection does; their rims are not used.

        Args:
            tiles: pictures, with their labels where YOLO has them, at the model's GSD.
            backend: for tiles of `planner.config.tile_px`, no smaller than any of these.
            planner: settings and classes.
            looks: how their pixels are changed first; None for leaving them as they are.
            first: the number of the look at the first of them.

        Raises:
            UsageError: a tile cannot be read, is no square or too large, or its labels are none.
        """
        sizes: dict[int, int] = {}

        def pictures() -> Iterator[tuple[int, NDArray[np.uint8]]]:
            for number, path in enumerate(tiles):
                image = picture_of(path) if looks is None else looks.picture(path, first + number)
                sizes[number] = len(image)
                yield number, padded(image, planner.config.tile_px)

        rows = []
        for number, raw in backend.stream(pictures()):
            found = alone(raw, np.empty((0, 0, 3), np.uint8), planner)
            rim_px, size = MARGIN_M / planner.weights.spec.gsd_m, sizes.pop(number)
            inside = (np.abs(found.xywhr[:, :2] - size / 2) <= size / 2 - rim_px).all(axis=1)
            labels = _labels(tiles[number], size)
            target, truth, is_on = _targets(found.xywhr[inside], labels, planner.weights.spec.n_classes)
            many = np.full(int(inside.sum()), number, dtype=np.int64)
            rows.append((many, found.xywhr[inside], found.scores[inside], target, truth, is_on))
        rows.sort(key=lambda row: row[0][:1].tolist())
        return cls(tuple(tiles), *(np.concatenate(column) for column in zip(*rows, strict=True)))

    @classmethod
    def joined(cls, parts: "Sequence[Candidates]") -> Self:
        """Those of several lists of tiles, one after the other."""
        starts = np.cumsum([0, *(len(part.tiles) for part in parts)]).tolist()
        columns = {name: [getattr(part, name) for part in parts] for name in _ARRAYS}
        columns["tile"] = [part.tile + start for part, start in zip(parts, starts, strict=False)]
        tiles = tuple(tile for part in parts for tile in part.tiles)
        return cls(tiles, **{name: np.concatenate(column) for name, column in columns.items()})

    def save(self, path: Path, made_from: str) -> None:
        """Keep them in a file, with what they were made from."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        with replacing(path) as scratch, scratch.open("wb") as file:
            np.savez_compressed(file, made_from=np.array(made_from), **arrays)

    @classmethod
    def load(cls, path: Path, tiles: Sequence[Path], made_from: str) -> Self | None:
        """Those of `tiles` that were kept; None if there are none, or they were made from something else.

        Raises:
            UsageError: the file is damaged.
        """
        if not path.exists():
            return None
        try:
            with path.open("rb") as file, np.load(file) as kept:
                if kept["made_from"] != made_from:
                    return None
                return cls(tuple(tiles), **{name: kept[name] for name in _ARRAYS})
        except (OSError, ValueError, KeyError, BadZipFile, zlib.error) as error:
            raise UsageError(f"{path}: cannot be read ({error}).", "Delete it: it is made anew.") from error


def digest_of(tiles: Sequence[Path]) -> str:
    """SHA-256 over the names, sizes and labels of tiles.

    Raises:
        UsageError: one is gone, or its labels cannot be read.
    """
    hashed = hashlib.sha256()
    for tile in tiles:
        label = labels_of(tile)
        try:
            hashed.update(f"{tile.name} {tile.stat().st_size}".encode())
            hashed.update(label.read_bytes() if label.is_file() else b"")
        except OSError as error:
            raise UsageError(f"{error.filename}: cannot be read ({error.strerror}).", CUT_AGAIN) from error
    return hashed.hexdigest()


def _labels(tile: Path, size_px: int) -> TileLabels:
    """The labels of a tile; none where there is no file of them."""
    path = labels_of(tile)
    try:
        return TileLabels.from_text(path.read_text(), size_px) if path.is_file() else TileLabels()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: is no list of oriented boxes ({error}).", CUT_AGAIN) from error


def _targets(found: Floats, labels: TileLabels, classes: int) -> tuple[Ints, Floats, NDArray[np.bool_]]:
    """What boxes (N, 5) are on: class, object, and whether there is one. Of several, that of the greatest overlap."""
    target, truth = np.full(len(found), classes, dtype=np.int64), found.copy()
    best = np.zeros(len(found))
    there = xywhr_from_corners(labels.corners)
    if len(found) and len(there):
        a, b = candidate_pairs(found, there).T
        iou = iou_pairs(found[a], there[b])
        order = np.argsort(iou, kind="stable")  # the last to be written stays
        best[a[order]] = iou[order]
        truth[a[order]] = there[b[order]]
        target[a[order]] = labels.classes[b[order]]
    target[best < OBJECT_IOU] = UNSURE
    target[best < GROUND_IOU] = classes
    is_on = best >= GROUND_IOU
    return target, np.where(is_on[:, None], truth, found), is_on


def retold(target: Ints, is_on: NDArray[np.bool_], iou: Floats) -> tuple[Ints, NDArray[np.bool_]]:
    """What boxes teach that were on objects and now overlap them by `iou`, N each: less where they have left them."""
    return np.where(is_on & (iou < OBJECT_IOU), UNSURE, target), is_on & (iou >= GROUND_IOU)
