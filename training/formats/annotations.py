"""What every importer gives: the objects of one image, and what is wrong with the annotations, by file and line."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from detector.errors import UsageError
from detector.geometry import Bools, Floats, Ints
from training.classes import NO_CLASS, Vocabulary
from training.formats.pictures import Picture

MIN_SIDE_PX = 0.5
TOLERANCE_PX = 1.0
CORNERS = 4
_NEXT = np.array([1, 2, 3, 0])


@dataclass(frozen=True)
class Fault:
    """Something wrong with an input, and what became of it.

    Attributes:
        file: the file that holds it.
        line: its line, from 1; in JSON that is written on one line, the number of the element; 0 for the whole file.
        reason: what is wrong, with the value found, and what was done.
    """

    file: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@dataclass(frozen=True)
class Annotations:
    """The annotated objects of one image.

    Attributes:
        image: the image file.
        size_px: its width and height.
        gsd_m: metres a pixel, from its georeference, its annotations or the caller; None where none of them says.
        source: the file that holds the annotations.
        classes: (N,) class numbers; `NO_CLASS` for areas to ignore that have none.
        corners_px: (N, 4, 2) consecutive corners of convex quadrilaterals, in pixels of the image, from the top left
            corner of its first pixel; what is a rectangle on the ground is one here only where pixels are square.
        visible: (N,) share of each object that the image shows, 0 to 1.
        ignore: (N,) areas that are neither right nor wrong.
        axis_aligned: (N,) boxes that are upright hulls of objects of unknown rotation.
        line: (N,) place in `source`, as in `Fault`.
        pixel_sides: a pixel's sides on the ground, x and y, as shares of `gsd_m`.
    """

    image: Path
    size_px: tuple[int, int]
    gsd_m: float | None
    source: Path
    classes: Ints
    corners_px: Floats
    visible: Floats
    ignore: Bools
    axis_aligned: Bools
    line: Ints
    pixel_sides: tuple[float, float] = (1.0, 1.0)

    def __len__(self) -> int:
        return len(self.classes)

    def __post_init__(self) -> None:
        n = len(self.classes)
        if self.corners_px.shape != (n, CORNERS, 2):
            raise ValueError(f"corners_px must be {n} x 4 x 2. Received shape: {self.corners_px.shape}.")
        for name in ("visible", "ignore", "axis_aligned", "line"):
            if getattr(self, name).shape != (n,):
                raise ValueError(f"{name} must have {n} values. Received shape: {getattr(self, name).shape}.")


@dataclass(frozen=True)
class Drawn:
    """One annotation as its source states it, unchecked.

    Attributes:
        label: theirs.
        points_px: (K, 2) points in pixels of the image: four corners in any order, or the points of an outline.
        line: place in the source.
        visible: share that can be seen, NaN where the source does not say.
        ignore: whether the source says so.
        axis_aligned: whether it is an upright hull of unknown rotation.
    """

    label: str | int
    points_px: Floats
    line: int
    visible: float = math.nan
    ignore: bool = False
    axis_aligned: bool = False


class Unreadable(ValueError):
    """A file that is not what it should be.

    Args:
        line: where.
        reason: why.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


class BadBox(ValueError):
    """A box that cannot be used; the message says why."""


def upright(x0: float, y0: float, x1: float, y1: float) -> Floats:
    """Corners (4, 2) of the upright box between two opposite corners."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=np.float64)


def checked(
    picture: Picture, source: Path, drawn: Iterable[Drawn], vocabulary: Vocabulary
) -> tuple[Annotations, list[Fault]]:
    """The usable annotations of one image and a fault for each thing that is wrong.

    Repaired and listed: corners in the wrong order, boxes that stick out of the image where the source states no
    visible share, unknown labels, whose areas are then ignored. Left out and listed: numbers that are not finite,
    boxes without area, outside the image, or whose corners are not those of a convex shape. Left out without a word:
    labels that the vocabulary maps to null.
    """
    kept: list[tuple[int, Floats, float, bool, bool, int]] = []
    faults: list[Fault] = []
    for row in drawn:
        ignore = row.ignore
        try:
            number = vocabulary.number_of(row.label)
        except KeyError:
            faults.append(Fault(source, row.line, f"unknown class {row.label!r}: its area is ignored"))
            number, ignore = NO_CLASS, True
        if number is None:
            continue
        try:
            corners, repairs = _corners(row.points_px, picture.pixel_sides)
            share = _share_inside(corners, picture.size_px)
        except BadBox as error:
            faults.append(Fault(source, row.line, f"{error}: left out"))
            continue
        visible = row.visible
        if not 0 <= visible <= 1:
            if not math.isnan(visible):
                repairs.append(f"visible is {visible:g}, not 0 to 1: taken from the image's edge")
            elif _beyond(corners, picture.size_px) > TOLERANCE_PX:
                out = _beyond(corners, picture.size_px)
                repairs.append(f"sticks {out:.1f} px out of the image: kept, {share:.2f} of it visible")
            visible = share
        faults += [Fault(source, row.line, reason) for reason in repairs]
        kept.append((number, corners, visible, ignore or number == NO_CLASS, row.axis_aligned, row.line))
    columns = tuple(zip(*kept, strict=True)) if kept else ((), (), (), (), (), ())
    return Annotations(
        image=picture.path,
        size_px=picture.size_px,
        gsd_m=picture.gsd_m,
        source=source,
        classes=np.array(columns[0], dtype=np.int64),
        corners_px=np.array(columns[1], dtype=np.float64).reshape(-1, CORNERS, 2),
        visible=np.array(columns[2], dtype=np.float64),
        ignore=np.array(columns[3], dtype=bool),
        axis_aligned=np.array(columns[4], dtype=bool),
        line=np.array(columns[5], dtype=np.int64),
        pixel_sides=picture.pixel_sides,
    ), faults


def _corners(points: Floats, pixel_sides: tuple[float, float]) -> tuple[Floats, list[str]]:
    """Four consecutive corners of a convex shape around the points, and what had to be repaired.

    Of more or fewer than four points these are the rectangle of least area on the ground.

    Raises:
        BadBox: the points are not finite, enclose nothing, or are four that no order makes convex.
    """
    if not np.isfinite(points).all():
        raise BadBox(f"coordinates are not finite ({points.ravel().tolist()})")
    if len(points) < 3:
        raise BadBox(f"has {len(points)} points")
    points = points if len(points) == CORNERS else _tight(points * pixel_sides) / pixel_sides
    in_order = _is_convex(points)
    if not in_order:
        middle = points - points.mean(axis=0)
        points = points[np.argsort(np.arctan2(middle[:, 1], middle[:, 0]), kind="stable")]
    first, second = points[2] - points[0], points[3] - points[1]
    area, longest = abs(first[0] * second[1] - first[1] * second[0]) / 2, max(np.hypot(*first), np.hypot(*second))
    if area <= MIN_SIDE_PX * longest:
        raise BadBox(f"has no area ({area:.2f} square px, {longest:.2f} px long)")
    if in_order:
        return points, []
    if not _is_convex(points):
        raise BadBox(f"no order of its corners is convex ({points.round(2).ravel().tolist()})")
    return points, ["corners are in the wrong order: put in order"]


def _tight(points: Floats) -> Floats:
    """The rectangle of least area around the points; four times the same point or a flat box where they have none."""
    box = shapely.minimum_rotated_rectangle(shapely.MultiPoint(points))
    ring = shapely.get_coordinates(box)
    if len(ring) < CORNERS + 1:  # a point or a line
        return np.asarray(ring[np.array([0, 0, -1, -1])], dtype=np.float64)
    return np.asarray(ring[:-1], dtype=np.float64)


def _is_convex(points: Floats) -> bool:
    """Whether the four points, in this order, go once around a convex shape (a corner may be flat)."""
    edges = points[_NEXT] - points
    following = edges[_NEXT]
    turns = edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0]
    slack = 1e-9 * float(np.abs(turns).max())
    return bool((turns >= -slack).all() or (turns <= slack).all())


def _share_inside(corners: Floats, size_px: tuple[int, int]) -> float:
    """Share of the box's area inside the image.

    Raises:
        BadBox: nothing of it is inside.
    """
    if _beyond(corners, size_px) <= 0:
        return 1.0
    shape = shapely.polygons(corners)
    share = float(shapely.area(shapely.intersection(shape, shapely.box(0, 0, *size_px))) / shapely.area(shape))
    if share <= 0:
        centre = ", ".join(f"{value:.0f}" for value in corners.mean(axis=0))
        raise BadBox(f"lies outside the image (centre at {centre}; the image is {size_px[0]} x {size_px[1]} px)")
    return min(1.0, share)


def _beyond(corners: Floats, size_px: tuple[int, int]) -> float:
    """How far the box sticks out of the image, in pixels; 0 or less where it does not."""
    return float(max(-corners.min(), (corners - np.array(size_px)).max()))


def numbers(texts: Iterable[str]) -> NDArray[np.float64]:
    """Texts as numbers.

    Raises:
        BadBox: one of them is none.
    """
    try:
        return np.array([float(text) for text in texts], dtype=np.float64)
    except ValueError as error:
        raise BadBox(str(error)) from error


def unlabelled(images: Iterable[Path], found: Iterable[Annotations]) -> list[Fault]:
    """A fault for each image that no annotations are of, in formats that have a file of labels for each image."""
    labelled = {each.image for each in found}
    reason = "no file of labels: left out (an empty one says that it shows no object)"
    return [Fault(path, 0, reason) for path in images if path not in labelled]


def no_twins(annotations: Sequence[Annotations]) -> None:
    """Check that no two images would share a file of labels.

    Raises:
        UsageError: two images have one stem.
    """
    counted = Counter(each.image.stem for each in annotations)
    if twins := [stem for stem, count in counted.items() if count > 1]:
        raise UsageError(f"several images are called {', '.join(twins)}.", "Rename them: labels go by that name.")
