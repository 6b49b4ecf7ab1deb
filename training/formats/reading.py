"""Read a source of annotations: its format from what it holds, or by name; rotations found where they can be."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from rasterio.windows import Window

from detector.config import class_table
from detector.errors import UsageError
from detector.geometry import Bools, Floats, corners_from_xywhr
from detector.pixels.rasterfile import open_raster
from training.classes import NO_CLASS, Vocabulary, class_names
from training.formats import coco, dota, polygons, xview, yolo
from training.formats.annotations import Annotations, Fault
from training.formats.orient import gradient_sign, orient

EDGE_PX = 1.0  # a hull that touches the image's edge is cut, and says nothing of the rotation


class Room(Protocol):
    """What a module that reads one format has."""

    def claims(self, path: Path) -> bool:
        """Whether a file or folder looks like this format."""

    def read(
        self, path: Path, vocabulary: Vocabulary, gsd_m: float | None = None
    ) -> tuple[list[Annotations], list[Fault]]:
        """Annotations and faults of a file or folder."""


ROOMS: Mapping[str, Room] = {
    xview.NAME: xview,
    yolo.NAME: yolo,
    dota.NAME: dota,
    coco.NAME: coco,
    polygons.NAME: polygons,
}


@dataclass(frozen=True)
class Source:
    """Where annotations are: a file or folder, its format, None to find it, and the GSD of images that state none."""

    path: Path
    format: str | None
    gsd_m: float | None

    @classmethod
    def parsed(cls, given: str) -> "Source":
        """From "PATH", "FORMAT:PATH", either with "@GSD_M" behind.

        Raises:
            UsageError: the GSD is no positive number, or the path does not exist.
        """
        name, colon, rest = given.partition(":")
        chosen, place = (name, rest) if colon and name in ROOMS else (None, given)
        path, gsd_m = _split(place)
        if not path.exists():
            raise UsageError(f"{path}: does not exist.", f"Give PATH or FORMAT:PATH, FORMAT one of {', '.join(ROOMS)}.")
        return cls(path, chosen, gsd_m)


def read(
    source: str | Path, *, labels: Path | None = None, gsd_m: float | None = None
) -> tuple[list[Annotations], list[Fault]]:
    """Read the annotations of a file or folder.

    Args:
        source: "PATH", or "FORMAT:PATH" with xview, dota, coco, yolo or polygons; "@GSD_M" may stand behind.
        labels: a YAML file, their label -> our class, `ignore` or null, that goes before configs/classes.yaml.
        gsd_m: of images that state none, unless the source has its own.

    Returns:
        Annotations, one for each image, and a fault for whatever could not be used, or not as it was.

    Raises:
        UsageError: the source does not exist, or is in no format or several.
    """
    where = Source.parsed(str(source))
    name = where.format or _format_of(where.path)
    found, faults = ROOMS[name].read(where.path, Vocabulary.of(name, labels), where.gsd_m or gsd_m)
    once: dict[Path, Annotations] = {}
    for each in found:
        if each.image.resolve() in once:
            first = once[each.image.resolve()].source
            faults.append(Fault(each.source, 0, f"{each.image} has annotations in {first} already: left out"))
        else:
            once[each.image.resolve()] = each
    return [with_rotations(each) for each in once.values()], faults


def with_rotations(annotations: Annotations) -> Annotations:
    """The same with oriented boxes in the place of those upright hulls whose rotation can be found.

    They keep the mark `axis_aligned` where it cannot. Rotations are those on the ground: they are found in the image as
    it would be with square pixels of `gsd_m`.
    """
    whole = _whole(annotations)
    known = np.flatnonzero(annotations.classes != NO_CLASS)
    if annotations.gsd_m is None or not (annotations.axis_aligned & whole)[known].any():
        return annotations
    rows = known[(annotations.axis_aligned & whole & ~annotations.ignore)[known]]
    corners = annotations.corners_px[rows]
    hulls = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    rail = np.isin(np.array(class_names())[annotations.classes[rows]], rail_classes())
    square = hulls * (annotations.pixel_sides * 2)
    result = orient(square, rail, annotations.gsd_m, gradient_signs(annotations.image, hulls))
    solved = rows[result.solved]
    new_corners, upright = annotations.corners_px.copy(), annotations.axis_aligned.copy()
    new_corners[solved] = corners_from_xywhr(result.xywhr[result.solved]) / annotations.pixel_sides
    upright[solved] = False
    return replace(annotations, corners_px=new_corners, axis_aligned=upright)


def rail_classes() -> list[str]:
    """Names of the classes that stand on rails."""
    return list(class_table().families["rail_vehicle"])


def _whole(annotations: Annotations) -> Bools:
    """Boxes that the image's edge does not cut."""
    low, high = annotations.corners_px.min(axis=1), annotations.corners_px.max(axis=1)
    return np.asarray(((low > EDGE_PX) & (high < np.array(annotations.size_px) - EDGE_PX)).all(axis=1))


def gradient_signs(image: Path, hulls: Floats) -> Floats:
    """Which way the edges run inside each hull (N, 4), N."""
    signs = np.zeros(len(hulls))
    with open_raster(image) as dataset:
        bands = list(range(1, min(dataset.count, 3) + 1))
        for i, (x0, y0, x1, y1) in enumerate(hulls):
            column, row = max(0, math.floor(x0)), max(0, math.floor(y0))
            window = Window(column, row, math.ceil(x1) - column, math.ceil(y1) - row)
            signs[i] = gradient_sign(dataset.read(bands, window=window).astype(np.float64).mean(axis=0))
    return signs


def _format_of(path: Path) -> str:
    found = [name for name, room in ROOMS.items() if room.claims(path)]
    if xview.NAME in found and polygons.NAME in found:  # an xView file is GeoJSON too, and says more
        found.remove(polygons.NAME)
    if len(found) == 1:
        return found[0]
    reason = f"may be any of {', '.join(found)}" if found else "holds no annotations of a known format"
    raise UsageError(f"{path}: {reason}.", f"Say which: FORMAT:PATH, FORMAT one of {', '.join(ROOMS)}.")


def _split(place: str) -> tuple[Path, float | None]:
    """Path and stated GSD of "PATH" or "PATH@GSD_M"."""
    path, at, stated = place.rpartition("@")
    if not at or Path(place).exists():
        return Path(place), None
    try:
        gsd_m = float(stated)
    except ValueError:
        gsd_m = math.nan
    if not 0 < gsd_m < math.inf:
        raise UsageError(f"{place}: the GSD after @ must be a positive number.", "Write for example photos@0.25.")
    return Path(path), gsd_m
